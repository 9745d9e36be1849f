// Starts GraphiQL on the page that the server renders: examples in tabs, a token on every request, no outside address.
"use strict";

(() => {
  const TOKEN = "cm-graphql:token";
  const TABS = "graphiql:tabState";
  const endpoint = window.location.pathname;
  const files = new URL(".", document.currentScript.src);

  // Storage can be switched off in a browser; the page then forgets, and works.
  const remember = (storage, key, value) => {
    try {
      if (value) window[storage].setItem(key, value);
      else window[storage].removeItem(key);
    } catch {
      // Nothing to remember with.
    }
  };
  const recall = (storage, key) => {
    try {
      return window[storage].getItem(key);
    } catch {
      return null;
    }
  };

  const token = document.getElementById("token");
  token.value = recall("sessionStorage", TOKEN) ?? "";
  token.addEventListener("input", () => remember("sessionStorage", TOKEN, token.value.trim()));
  // Another token may see another schema, or one at all.
  token.addEventListener("change", () => render());

  document.getElementById("examples").addEventListener("click", () => {
    if (!window.confirm("Close all tabs and open the examples again?")) return;
    remember("localStorage", TABS, null);
    generation += 1;
    render();
  });

  // What a browser says of a request that failed, "Failed to fetch", helps nobody; why it failed it keeps to itself.
  const reached = (promise, also = "") =>
    promise.catch(() => {
      const { origin } = window.location;
      throw new Error(`The server at ${origin} cannot be reached (is it running?)${also}: this page goes on once it is back.`);
    });

  const send = async (parameters, options, accept, signal) => {
    const { body, headers: fitting } = uploads.pack(parameters);
    const headers = {
      accept,
      ...(token.value.trim() && { authorization: `Bearer ${token.value.trim()}` }),
      ...options.headers,
      ...fitting,
    };
    new Headers(headers); // throws, and says why, where a header could not be sent: no fault of the server
    const also = body instanceof FormData ? ", or a file has changed since it was chosen" : "";
    return reached(fetch(endpoint, { method: "POST", headers, body, signal }), also);
  };

  const isSubscription = ({ operationName }, { documentAST }) =>
    (documentAST?.definitions ?? []).some(
      (definition) =>
        definition.kind === "OperationDefinition" &&
        definition.operation === "subscription" &&
        (!operationName || definition.name?.value === operationName),
    );

  const read = async (response) => {
    const text = await reached(response.text());
    try {
      return JSON.parse(text);
    } catch {
      return { errors: [{ message: `HTTP ${response.status}: ${text.slice(0, 2000)}` }] };
    }
  };

  const complaint = (error) => ({ errors: [{ message: error.message }] });

  // Server-sent events, one operation to a connection ("distinct connections" of GraphQL over SSE).
  async function* listen(parameters, options, leaving) {
    try {
      const response = await send(parameters, options, "text/event-stream", leaving.signal);
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
        yield await read(response);
        return;
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { done, value } = await reached(reader.read());
        if (done) return;
        buffer += value.replaceAll("\r\n", "\n");
        const events = buffer.split("\n\n");
        buffer = events.pop();
        for (const event of events) {
          const lines = event.split("\n");
          if (lines.includes("event: complete")) return;
          const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
          if (data.length) yield JSON.parse(data.join("\n"));
        }
      }
    } catch (error) {
      // GraphiQL would show where in a script it was thrown, too.
      if (!leaving.signal.aborted) yield complaint(error);
    } finally {
      leaving.abort();
    }
  }

  // A generator that waits returns only at its next event, which GraphiQL would write into whatever tab is open by then.
  const subscribe = (parameters, options) => {
    const leaving = new AbortController();
    const events = listen(parameters, options, leaving);
    const end = events.return.bind(events);
    events.return = () => {
      leaving.abort();
      return end();
    };
    return events;
  };

  const ask = async (parameters, options) => {
    try {
      const answer = await send(parameters, options, "application/graphql-response+json, application/json;q=0.9").then(read);
      uploads.look(answer);
      return answer;
    } catch (error) {
      return complaint(error);
    }
  };

  const fetcher = (parameters, options = {}) =>
    isSubscription(parameters, options) ? subscribe(parameters, options) : ask(parameters, options);

  // Tab indents in an editor, so that the keyboard would never leave it again; in an answer it has nothing to indent.
  let leaving = false;
  document.addEventListener(
    "keydown",
    (event) => {
      const editor = event.target.closest?.(".CodeMirror")?.CodeMirror;
      if (editor && event.key === "Tab" && (leaving || editor.getOption("readOnly"))) event.stopPropagation();
      if (event.key !== "Shift") leaving = event.key === "Escape";
    },
    { capture: true },
  );

  // Lines too long for an editor go on below, beneath what they begin with.
  const wrap = (editor) => {
    if (!editor) return; // not there yet
    editor.on("renderLine", (_, { text }, element) => {
      const indent = text.match(/^[ #]*/)[0].length;
      element.style.textIndent = `-${indent}ch`;
      element.style.paddingLeft = `calc(${indent}ch + 4px)`;
    });
    editor.setOption("lineWrapping", true);
  };

  // GraphiQL shows one component of ours in its toolbar, where its editors are known.
  const Tools = () => {
    const { queryEditor, variableEditor } = GraphiQL.React.useEditorContext({ nonNull: true });
    React.useEffect(() => wrap(queryEditor), [queryEditor]);
    React.useEffect(() => wrap(variableEditor), [variableEditor]);
    return React.createElement(uploads.Strip);
  };

  const plugin = GraphiQLPluginExplorer.explorerPlugin();
  const root = ReactDOM.createRoot(document.getElementById("explorer"));
  let generation = 0;
  let tabs = [];

  const render = () =>
    root.render(
      React.createElement(GraphiQL, {
        key: `${generation}:${token.value}`,
        fetcher,
        plugins: [plugin],
        toolbar: { additionalComponent: Tools },
        defaultTabs: tabs.map((query) => ({ query })),
        // On a small screen the editor needs their room; a click on "Variables" shows them.
        defaultEditorToolsVisibility: window.matchMedia("(max-width: 800px), (max-height: 500px)").matches ? false : "variables",
        inputValueDeprecation: true,
        schemaDescription: true,
        shouldPersistHeaders: false,
      }),
    );

  fetch(new URL("examples.json", files))
    .then((response) => (response.ok ? response.json() : []))
    .catch(() => [])
    .then((examples) => {
      tabs = examples;
      render();
    });
})();
