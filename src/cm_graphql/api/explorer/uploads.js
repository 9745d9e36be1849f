// Files for variables of the scalar Upload: picked above the editor, sent along as the GraphQL multipart request
// specification wants it. Links to files in an answer are shown there too, since GraphiQL cannot follow them.
"use strict";

const uploads = (() => {
  const e = React.createElement;
  const { parse, typeFromAST, getNullableType, isListType, isInputObjectType, isNonNullType } = GraphiQL.GraphQL;
  const SCALAR = "Upload";
  const DEEPEST = 8;

  const chosen = new Map(); // by tab, operation and path: the files
  let schema = null;
  let tab = "";
  let links = [];
  let redraw = () => {};

  // --- where files belong ------------------------------------------------------------------------------------------

  // Every place for a file below a type: `file`, `input.file`; those below lists of inputs have no fixed place.
  const placesBelow = (type, path, required, above = []) => {
    const needed = required && isNonNullType(type);
    const bare = getNullableType(type);
    const inner = isListType(bare) ? getNullableType(bare.ofType) : bare;
    if (inner?.name === SCALAR) return [{ path, required: needed, many: isListType(bare) }];
    if (isListType(bare) || !isInputObjectType(inner)) return [];
    if (above.includes(inner.name) || above.length >= DEEPEST) return [];
    return Object.values(inner.getFields()).flatMap((field) =>
      placesBelow(field.type, `${path}.${field.name}`, needed, [...above, inner.name]),
    );
  };

  const operationsOf = (query) => {
    try {
      return parse(query ?? "").definitions.filter((definition) => definition.kind === "OperationDefinition");
    } catch {
      return []; // half a document, still being written
    }
  };

  const placesOf = (operation) =>
    (operation.variableDefinitions ?? []).flatMap(({ variable, type }) => {
      const known = schema && typeFromAST(schema, type);
      return known ? placesBelow(known, variable.name.value, true) : [];
    });

  const key = (operation, path) => JSON.stringify([tab, operation.name?.value ?? "", path]);

  // --- sending -----------------------------------------------------------------------------------------------------

  // Put a value into the variables, making the objects that lead there.
  const put = (variables, path, value) => {
    const steps = path.split(".");
    const last = steps.pop();
    let holder = variables;
    for (const step of steps) holder = holder[step] ??= {};
    holder[last] = value;
  };

  // The body and headers of a request: a form where files were chosen for its operation, else JSON.
  const pack = (parameters) => {
    const operations = operationsOf(parameters.query);
    const operation = parameters.operationName
      ? operations.find(({ name }) => name?.value === parameters.operationName)
      : operations[0];
    const places = operation ? placesOf(operation) : [];
    const variables = structuredClone(parameters.variables ?? {});
    const map = {};
    const files = [];
    for (const { path, required, many } of places) {
      const picked = chosen.get(key(operation, path)) ?? [];
      if (!picked.length) {
        if (required) throw new Error(`Choose a file for $${path} above the editor first.`);
        continue;
      }
      put(variables, path, many ? picked.map(() => null) : null);
      for (const [index, file] of picked.entries()) {
        map[files.length] = [`variables.${path}${many ? `.${index}` : ""}`];
        files.push(file);
      }
    }
    if (!files.length) {
      return { body: JSON.stringify(parameters), headers: { "content-type": "application/json" } };
    }
    const body = new FormData();
    body.append("operations", JSON.stringify({ ...parameters, variables }));
    body.append("map", JSON.stringify(map));
    files.forEach((file, index) => body.append(String(index), file, file.name));
    // The browser writes the content type, as it alone knows the boundary; the header shows that no stranger sends it.
    return { body, headers: { "graphql-require-preflight": "1" } };
  };

  // Remember the signed links of an answer, each with the name of its file where that was asked for.
  const look = (answer) => {
    const found = new Map();
    const visit = (value) => {
      if (!value || typeof value !== "object") return;
      for (const inner of Object.values(value)) {
        if (typeof inner === "string" && /^\/files\/cmf_[0-9a-f]{32}\?.*signature=/.test(inner)) {
          found.set(inner.split("?")[0], { href: inner, name: value.fileName ?? "file" });
        }
        visit(inner);
      }
    };
    visit(answer?.data);
    links = [...found.values()].slice(0, 12);
    redraw();
  };

  // --- what is seen ------------------------------------------------------------------------------------------------

  const size = (bytes) => (bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`);

  const Picked = ({ file, remove }) =>
    e(
      "span",
      { className: "picked" },
      e("span", { className: "picked-name", title: file.name }, file.name),
      e("span", { className: "picked-size" }, size(file.size)),
      e("button", { type: "button", "aria-label": `Remove ${file.name}`, onClick: remove }, "\u00d7"),
    );

  const Pick = ({ operation, place, shown }) => {
    const [over, setOver] = React.useState(false);
    const id = key(operation, place.path);
    const files = chosen.get(id) ?? [];
    const take = (list) => {
      const taken = [...list];
      if (taken.length) chosen.set(id, place.many ? [...files, ...taken] : taken.slice(-1));
      redraw();
    };
    const remove = (index) => {
      chosen.set(id, files.filter((_, other) => other !== index));
      redraw();
    };
    return e(
      "div",
      {
        className: `pick${over ? " pick-over" : ""}`,
        onDragOver: (event) => {
          event.preventDefault();
          setOver(true);
        },
        onDragLeave: () => setOver(false),
        onDrop: (event) => {
          event.preventDefault();
          setOver(false);
          take(event.dataTransfer.files);
        },
      },
      e("span", { className: "pick-for" }, `$${place.path}`, shown && e("small", null, ` of ${shown}`)),
      files.map((file, index) => e(Picked, { key: index, file, remove: () => remove(index) })),
      (place.many || !files.length) &&
        e(
          "label",
          { className: "pick-button", title: "Choose it, or drop it here" },
          place.many ? "Add a PDF" : "Choose a PDF",
          e("input", {
            type: "file",
            accept: ".pdf,application/pdf",
            multiple: place.many,
            "data-path": place.path,
            onChange: (event) => {
              take(event.target.files);
              event.target.value = ""; // so that the same file can be chosen again
            },
          }),
        ),
    );
  };

  // Lives in GraphiQL's toolbar, where the tabs and the schema are known, and draws above the editor.
  const Strip = () => {
    const { tabs, activeTabIndex } = GraphiQL.React.useEditorContext({ nonNull: true });
    const [, count] = React.useReducer((number) => number + 1, 0);
    ({ schema } = GraphiQL.React.useSchemaContext({ nonNull: true }));
    redraw = count;
    tab = tabs[activeTabIndex]?.id ?? "";
    const operations = operationsOf(tabs[activeTabIndex]?.query);
    const picks = operations.flatMap((operation) =>
      placesOf(operation).map((place) =>
        e(Pick, {
          key: key(operation, place.path),
          operation,
          place,
          shown: operations.length > 1 && operation.name?.value,
        }),
      ),
    );
    const found = links.map(({ href, name }) =>
      e("a", { key: href, className: "found", href, download: name, title: "Works for some minutes" }, name),
    );
    const strip = document.getElementById("files");
    return ReactDOM.createPortal(
      (picks.length > 0 || found.length > 0) &&
        e(
          "div",
          { className: "strip" },
          picks.length > 0 && e("div", { className: "strip-part" }, e("h2", null, "Files to send"), picks),
          found.length > 0 && e("div", { className: "strip-part" }, e("h2", null, "Files in the answer"), found),
        ),
      strip,
    );
  };

  return { pack, look, Strip };
})();
