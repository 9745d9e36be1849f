/** Persisted queries of Apollo Client and urql, by POST and by GET, and Apollo's batches where they are allowed. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { BatchHttpLink } from "@apollo/client/link/batch-http";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { COMMENT, READ, number } from "./billing.mjs";
import { check, endpoint } from "./checks.mjs";

const sha256 = async (text) => createHash("sha256").update(text).digest("hex");

/** `fetch`, and what it was asked. */
function spying() {
  const asked = [];
  const spy = (url, options = {}) => {
    asked.push({ method: options.method, url: String(url), body: options.body ?? "" });
    return fetch(url, options);
  };
  return { asked, spy };
}

const marked = (mark) => `query ${mark}($key: ID!) { creditMemo(key: $key) { number } }`;
const variables = { key: number };

for (const method of ["POST", "GET"]) {
  await apollo(method);
  await urql(method);
}

async function apollo(method) {
  const { asked, spy } = spying();
  const http = new HttpLink({ uri: endpoint, fetch: spy });
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries: method === "GET" });
  const client = () => new ApolloClient({ link: ApolloLink.from([persisted, http]), cache: new InMemoryCache() });
  const query = gql(marked(`Apollo${method}`));
  const turns = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const { data } = await client().query({ query, variables });
    assert.equal(data.creditMemo.number, number);
    turns.push(asked.splice(0));
  }
  apollo[method] = turns;
}

async function urql(method) {
  const { asked, spy } = spying();
  const turns = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const client = new Client({
      url: endpoint,
      fetch: spy,
      preferGetMethod: method === "GET" ? "force" : false,
      exchanges: [persistedExchange({ generateHash: sha256, preferGetForPersistedQueries: method === "GET" }), fetchExchange],
    });
    const { data, error } = await client.query(marked(`Urql${method}`), variables).toPromise();
    assert.equal(error, undefined);
    assert.equal(data.creditMemo.number, number);
    turns.push(asked.splice(0));
  }
  urql[method] = turns;
}

/** First the hash, then hash and document; from then on the hash alone, by the method that was wished. */
function learnt(turns, method) {
  assert.deepEqual(turns.map((turn) => turn.length), [2, 1]);
  const [{ method: used, url, body }] = turns[1];
  assert.equal(used, method);
  assert.ok(!`${decodeURIComponent(url)}${body}`.includes("creditMemo(key"));
}

await check("Apollo Client's persisted queries are learnt by POST", async () => learnt(apollo.POST, "POST"));
await check("Apollo Client's persisted queries are learnt by GET", async () => learnt(apollo.GET, "GET"));
await check("urql's persisted queries are learnt by POST", async () => learnt(urql.POST, "POST"));
await check("urql's persisted queries are learnt by GET", async () => learnt(urql.GET, "GET"));

await check("Apollo Client's batches are answered in one request", async () => {
  const { asked, spy } = spying();
  const link = new BatchHttpLink({ uri: endpoint, fetch: spy, batchInterval: 50, batchMax: 10 });
  const client = new ApolloClient({ link, cache: new InMemoryCache(), queryDeduplication: false });
  const input = { key: number, comment: "in a batch", dryRun: true };
  const [first, second, changed] = await Promise.all([
    client.query({ query: gql(READ), variables }),
    client.query({ query: gql(READ), variables: { key: "CM00000001" } }),
    client.mutate({ mutation: gql(COMMENT), variables: { input } }),
  ]);
  assert.equal(first.data.creditMemo.number, number);
  assert.equal(second.data.creditMemo.number, "CM00000001");
  assert.deepEqual(changed.data.updateCreditMemo.userErrors, []);
  assert.equal(asked.length, 1);
});
