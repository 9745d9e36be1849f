/** graphql-sse, the protocol's own client, in its mode of distinct connections, and a browser's EventSource by hand. */
import assert from "node:assert/strict";
import { createClient } from "graphql-sse";
import { READ, WATCH, number, told } from "./billing.mjs";
import { check, endpoint } from "./checks.mjs";

const client = createClient({ url: endpoint, retryAttempts: 0 });

await check("a subscription is told", async () => {
  const heard = await told((next, error) => client.subscribe({ query: WATCH }, { next, error, complete() {} }));
  assert.equal(heard[0].data.creditMemoChanged.event.action, "UPDATED");
});

await check("a query is answered as one event and completed", async () => {
  const heard = [];
  for await (const result of client.iterate({ query: READ, variables: { key: number } })) heard.push(result);
  assert.equal(heard.length, 1);
  assert.equal(heard[0].data.creditMemo.number, number);
});

await check("a mistake is told as the only event", async () => {
  for (const [query, code] of [
    ["subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"],
    ["{", "GRAPHQL_PARSE_FAILED"],
    [`query ($n: Int!) { creditMemos(first: $n) { totalCount } }`, "BAD_USER_INPUT"],
  ]) {
    const heard = [];
    for await (const result of client.iterate({ query })) heard.push(result);
    assert.deepEqual(
      heard.map(({ errors }) => errors[0].extensions.code),
      [code],
    );
  }
});

await check("two subscriptions have a connection each", async () => {
  const other = createClient({ url: endpoint, retryAttempts: 0 });
  const both = await Promise.all(
    [client, other].map((one) => told((next, error) => one.subscribe({ query: WATCH }, { next, error, complete() {} }))),
  );
  assert.ok(both.every((heard) => heard.length > 0));
});

await check("a subscription is told to GET, as EventSource asks", async () => {
  const query = new URLSearchParams({ query: WATCH });
  const heard = await told((next, error) => {
    const stop = new AbortController();
    (async () => {
      const headers = { accept: "text/event-stream" };
      const answer = await fetch(`${endpoint}?${query}`, { headers, signal: stop.signal });
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get("content-type"), /^text\/event-stream/);
      let text = "";
      for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
        text += piece;
        const events = text.split("\n\n");
        text = events.pop();
        for (const event of events) {
          const found = /^event: next\ndata: (.*)$/.exec(event);
          if (found) next(JSON.parse(found[1]));
          else assert.match(event, /^:/);
        }
      }
    })().catch((failure) => failure.name === "AbortError" || error(failure));
    return () => stop.abort();
  });
  assert.equal(heard[0].data.creditMemoChanged.event.action, "UPDATED");
});

await check("an event stream ends with an event of its own", async () => {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify({ query: "{ __typename }" }),
  });
  assert.match(await answer.text(), /event: next\ndata: {"data":{"__typename":"Query"}}\n\nevent: complete\ndata:\s*\n\n$/);
});

await check("a mutation is refused to GET, as events too", async () => {
  const query = new URLSearchParams({ query: "mutation { __typename }" });
  const answer = await fetch(`${endpoint}?${query}`, { headers: { accept: "text/event-stream" } });
  assert.equal(answer.status, 405);
});
