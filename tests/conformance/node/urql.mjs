/** urql, which lists event streams among what it accepts, and graphql-request. */
import assert from "node:assert/strict";
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { GraphQLClient, ClientError } from "graphql-request";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { COMMENT, LIST, READ, UPLOAD, WATCH, emptyPdf, nobody, number, told } from "./billing.mjs";
import { check, endpoint, socketEndpoint } from "./checks.mjs";

const client = new Client({ url: endpoint, exchanges: [cacheExchange, fetchExchange], preferGetMethod: false });

/** urql's streams end with what `subscribe` returns. */
const listen = (source) => (next, error) => {
  const { unsubscribe } = source.subscribe((result) => (result.error ? error(result.error) : next(result)));
  return unsubscribe;
};

await check("urql is answered in JSON although it accepts event streams", async () => {
  const { data, error } = await client.query(READ, { key: number }).toPromise();
  assert.equal(error, undefined);
  assert.equal(data.creditMemo.number, number);
});

await check("urql's query is answered in JSON where it accepts event streams first", async () => {
  const eager = new Client({
    url: endpoint,
    exchanges: [fetchExchange],
    preferGetMethod: false,
    fetchOptions: { headers: { accept: "text/event-stream, application/graphql-response+json;q=0.9" } },
  });
  const { data, error } = await eager.query(READ, { key: number }).toPromise();
  assert.equal(error, undefined);
  assert.equal(data.creditMemo.number, number);
});

await check("urql asks by GET, as it does of itself, and for long queries by POST", async () => {
  const getting = new Client({ url: endpoint, exchanges: [fetchExchange], preferGetMethod: true });
  for (const text of ["", `# ${"long ".repeat(1_000)}\n`]) {
    const { data, error } = await getting.query(`${text}${READ}`, { key: number }).toPromise();
    assert.equal(error, undefined);
    assert.equal(data.creditMemo.number, number);
  }
});

await check("urql's cache asks again after a mutation", async () => {
  await client.query(READ, { key: number }).toPromise();
  const input = { key: number, comment: "by urql" };
  const { data, error } = await client.mutation(COMMENT, { input }).toPromise();
  assert.equal(error, undefined);
  assert.deepEqual(data.updateCreditMemo.userErrors, []);
  const again = await client.query(READ, { key: number }).toPromise();
  assert.equal(again.data.creditMemo.comment, "by urql");
});

await check("urql hands in a file", async () => {
  const uploading = new Client({
    url: endpoint,
    exchanges: [fetchExchange],
    preferGetMethod: false,
    fetchOptions: { headers: { "graphql-require-preflight": "1" } },
  });
  const { data, error } = await uploading.mutation(UPLOAD, { key: "CM00000001", file: emptyPdf() }).toPromise();
  assert.equal(error, undefined);
  assert.deepEqual(data.uploadCreditMemoFile.userErrors, []);
});

await check("urql tells errors with their codes", async () => {
  const { error } = await client.query("{ nothing }", {}).toPromise();
  assert.equal(error.graphQLErrors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
});

await check("urql's subscription is told over graphql-ws", async () => {
  const sockets = createClient({ url: socketEndpoint, webSocketImpl: WebSocket });
  const watching = new Client({
    url: endpoint,
    preferGetMethod: false,
    exchanges: [
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
  const heard = await told(listen(watching.subscription(WATCH, {})));
  assert.equal(heard[0].data.creditMemoChanged.event.action, "UPDATED");
  await sockets.dispose();
});

await check("urql's subscription is told as events by its own fetch", async () => {
  const watching = new Client({
    url: endpoint,
    exchanges: [fetchExchange],
    preferGetMethod: false,
    fetchSubscriptions: true,
    fetchOptions: { headers: { accept: "text/event-stream" } },
  });
  const heard = await told(listen(watching.subscription(WATCH, {})));
  assert.equal(heard[0].data.creditMemoChanged.event.action, "UPDATED");
});

await check("urql's subscription is told as events with its own Accept header", async () => {
  const watching = new Client({
    url: endpoint,
    exchanges: [fetchExchange],
    preferGetMethod: false,
    fetchSubscriptions: true,
  });
  const heard = await told(listen(watching.subscription(WATCH, {})));
  assert.equal(heard[0].data.creditMemoChanged.event.action, "UPDATED");
});

await check("graphql-request reads, writes, pages and tells errors", async () => {
  const asking = new GraphQLClient(endpoint);
  const { creditMemo } = await asking.request(READ, { key: number });
  assert.equal(creditMemo.number, number);
  const { creditMemos } = await asking.request(LIST, { first: 2 });
  const rest = await asking.request(LIST, { first: 2, after: creditMemos.pageInfo.endCursor });
  assert.ok(rest.creditMemos.edges[0].node.number > creditMemos.edges[1].node.number);
  const changed = await asking.request(COMMENT, { input: { key: nobody, comment: "x" } });
  assert.equal(changed.updateCreditMemo.userErrors[0].code, "CREDIT_MEMO_NOT_FOUND");
  await assert.rejects(asking.request("{ nothing }"), (error) => {
    assert.ok(error instanceof ClientError);
    assert.equal(error.response.errors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
    return true;
  });
});

await check("graphql-request asks by GET where that is wished", async () => {
  const getting = new GraphQLClient(endpoint, { method: "GET", jsonSerializer: JSON });
  const { creditMemo } = await getting.request(READ, { key: number });
  assert.equal(creditMemo.number, number);
});
