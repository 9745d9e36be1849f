/**
 * What stands before a server with keys and is no client of people: Hive Gateway over our subgraph and another that
 * refers to its things, and the tools of The Guild that load a remote schema, stitch it, and pass operations on.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createGatewayRuntime } from "@graphql-hive/gateway-runtime";
import { loadSchema } from "@graphql-tools/load";
import { stitchSchemas } from "@graphql-tools/stitch";
import { SubscriptionProtocol, UrlLoader } from "@graphql-tools/url-loader";
import { schemaFromExecutor } from "@graphql-tools/wrap";
import { composeServices } from "@theguild/federation-composition";
import { graphql, parse } from "graphql";
import WebSocket from "ws";
import { COMMENT, WATCH, number } from "./billing.mjs";
import { check, endpoint, pause, socketEndpoint } from "./checks.mjs";
import { CUSTOMERS } from "./customers.mjs";

const headers = { authorization: process.argv[3] };
const executor = (options) => new UrlLoader().getExecutorAsync(endpoint, { headers, ...options });
const ask = async (document, variables) => {
  const { data, errors } = await executor()({ document: parse(document), variables });
  assert.equal(errors, undefined);
  return data;
};

const memos = (await ask("{ creditMemos(first: 3) { nodes { id number account { number name } } } }")).creditMemos.nodes;
const customers = memos.map(({ id, account }, index) => ({
  __typename: "Customer",
  id: `${index}`,
  account: { __typename: "Account", number: account.number },
  lastMemo: { __typename: "CreditMemo", id },
}));

/** The other subgraph, which has but one thing to say. */
const other = createServer((_, response) => {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ data: { __typename: "Query", customers } }));
});
await new Promise((listening) => other.listen(0, "127.0.0.1", listening));

const { sdl } = (await ask("{ _service { sdl } }"))._service;
const composed = composeServices([
  { name: "memos", url: endpoint, typeDefs: parse(sdl) },
  { name: "customers", url: `http://127.0.0.1:${other.address().port}/`, typeDefs: parse(CUSTOMERS) },
]);
const gateway = createGatewayRuntime({
  supergraph: composed.supergraphSdl,
  logging: false,
  propagateHeaders: {
    fromClientToSubgraphs: ({ request }) => ({ authorization: request.headers.get("authorization") }),
  },
});
const through = async (query, variables, shown = headers) => {
  const body = JSON.stringify({ query, variables });
  const answer = await gateway.fetch("http://gateway/graphql", {
    method: "POST",
    headers: { ...shown, "content-type": "application/json" },
    body,
  });
  return answer.json();
};

await check("Hive Gateway finds memos by their ids and accounts by their numbers for another subgraph", async () => {
  const { data, errors } = await through("{ customers { account { name } lastMemo { number account { name } } } }");
  assert.equal(errors, undefined);
  assert.deepEqual(
    data.customers.map(({ account, lastMemo }) => [account.name, lastMemo.number, lastMemo.account.name]),
    memos.map(({ number, account }) => [account.name, number, account.name]),
  );
});

await check("Hive Gateway passes on sorting by variables, summaries and mutations", async () => {
  const { data, errors } = await through(
    `query ($way: SortDirection) {
      creditMemos(first: 1, sort: [{ field: NUMBER, direction: $way }]) { nodes { number status } }
      creditMemoSummary(groupBy: [STATUS]) { count key { status } } }`,
    { way: "DESC" },
  );
  assert.equal(errors, undefined);
  assert.equal(data.creditMemos.nodes.length, 1);
  const done = await through(COMMENT, { input: { key: number, comment: "through a gateway" } });
  assert.equal(done.data.updateCreditMemo.creditMemo.comment, "through a gateway");
});

await check("Hive Gateway tells whoever shows no key that they have to", async () => {
  const { errors } = await through("{ customers { lastMemo { number } } }", {}, {});
  assert.deepEqual([...new Set(errors.map((error) => error.extensions.code))], ["UNAUTHENTICATED"]);
});

await check("graphql-tools loads the schema by POST and by GET", async () => {
  for (const method of ["POST", "GET"]) {
    const schema = await loadSchema(endpoint, { loaders: [new UrlLoader()], headers, method });
    assert.equal(schema.getType("CreditMemoSort").getFields().direction.defaultValue, "ASC");
  }
});

await check("graphql-tools stitches fields of others onto memos, and asks for many in one operation", async () => {
  const schema = stitchSchemas({
    subschemas: [{ schema: await schemaFromExecutor(executor()), executor: executor(), batch: true }],
    typeDefs: "extend type CreditMemo { label: String! }",
    resolvers: {
      CreditMemo: { label: { selectionSet: "{ number currency }", resolve: (memo) => memo.number + memo.currency } },
    },
  });
  const source = `{ creditMemo(key: "${number}") { label account { name } } creditMemos(first: 2) { nodes { label } } }`;
  const { data, errors } = await graphql({ schema, source });
  assert.equal(errors, undefined);
  assert.match(data.creditMemo.label, new RegExp(`^${number}[A-Z]{3}$`));
  assert.equal(data.creditMemos.nodes.length, 2);
});

await check("graphql-tools hears of changes as events and over a socket", async () => {
  for (const options of [
    { subscriptionsProtocol: SubscriptionProtocol.SSE },
    {
      subscriptionsProtocol: SubscriptionProtocol.WS,
      subscriptionsEndpoint: socketEndpoint,
      webSocketImpl: WebSocket,
      connectionParams: headers,
    },
  ]) {
    let ended = false;
    const changes = (async () => {
      for (let turn = 0; !ended; turn++) {
        await ask(COMMENT, { input: { key: number, comment: `turn ${turn}` } });
        await pause(200);
      }
    })();
    const told = await executor(options)({ document: parse(WATCH) });
    const { value } = await told[Symbol.asyncIterator]().next();
    ended = true;
    await changes;
    assert.equal(value.data.creditMemoChanged.creditMemo.number, number);
  }
});

await check("graphql-tools hands in a file with its token alone", async () => {
  const file = new File(["no PDF"], "a.pdf", { type: "application/pdf" });
  const document = `mutation ($file: Upload!) {
    uploadCreditMemoFile(input: { key: "${number}", file: $file }) { userErrors { code } } }`;
  const { uploadCreditMemoFile } = await ask(document, { file });
  assert.deepEqual(uploadCreditMemoFile.userErrors, [{ code: "FILE_NOT_PDF" }]);
});

other.close();
process.exit(0);
