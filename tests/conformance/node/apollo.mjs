/** Apollo Client, with no settings but the endpoint: queries, cache, pages, mutations, uploads and subscriptions. */
import assert from "node:assert/strict";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import UploadHttpLink from "apollo-upload-client/UploadHttpLink.mjs";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { COMMENT, LIST, READ, UPLOAD, WATCH, emptyPdf, nobody, number, told } from "./billing.mjs";
import { check, endpoint, pause, socketEndpoint } from "./checks.mjs";

const create = (link) =>
  new ApolloClient({
    link,
    cache: new InMemoryCache({
      typePolicies: { Query: { fields: { creditMemos: relayStylePagination(["filter", "sort"]) } } },
    }),
  });

const client = create(new HttpLink({ uri: endpoint }));

await check("a query is answered, and again from the cache without asking", async () => {
  let asked = 0;
  const counting = create(
    ApolloLink.from([
      new ApolloLink((operation, forward) => {
        asked += 1;
        return forward(operation);
      }),
      new HttpLink({ uri: endpoint }),
    ]),
  );
  for (let turn = 0; turn < 3; turn += 1) {
    const { data } = await counting.query({ query: gql(READ), variables: { key: number } });
    assert.equal(data.creditMemo.number, number);
    assert.equal(data.creditMemo.account.__typename, "Account");
  }
  assert.equal(asked, 1);
});

await check("a mutation changes what the cache holds of the memo", async () => {
  await client.query({ query: gql(READ), variables: { key: number } });
  const { data } = await client.mutate({
    mutation: gql(COMMENT),
    variables: { input: { key: number, comment: "by Apollo" } },
  });
  assert.deepEqual(data.updateCreditMemo.userErrors, []);
  const kept = client.readQuery({ query: gql(READ), variables: { key: number } });
  assert.equal(kept.creditMemo.comment, "by Apollo");
});

await check("pages are put together by relayStylePagination", async () => {
  const query = client.watchQuery({ query: gql(LIST), variables: { first: 1 } });
  const subscription = query.subscribe({});
  while (!query.getCurrentResult().data) await pause(20);
  let { pageInfo } = query.getCurrentResult().data.creditMemos;
  while (pageInfo.hasNextPage) {
    const { data } = await query.fetchMore({ variables: { after: pageInfo.endCursor } });
    pageInfo = data.creditMemos.pageInfo;
  }
  const kept = client.readQuery({ query: gql(LIST), variables: { first: 1 } });
  const numbers = kept.creditMemos.edges.map(({ node }) => node.number);
  subscription.unsubscribe();
  assert.deepEqual(numbers, [...new Set(numbers)].sort());
  assert.ok(numbers.length >= 4);
});

await check("a refusal is in the payload, and an error of the request is Apollo's", async () => {
  const input = { key: nobody, comment: "x" };
  const { data } = await client.mutate({ mutation: gql(COMMENT), variables: { input } });
  assert.equal(data.updateCreditMemo.userErrors[0].code, "CREDIT_MEMO_NOT_FOUND");
  await assert.rejects(client.query({ query: gql`{ nothing }` }), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error));
    assert.equal(error.errors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
    return true;
  });
});

await check("queries go by GET where that is wished, and mutations still by POST", async () => {
  const getting = create(new HttpLink({ uri: endpoint, useGETForQueries: true }));
  const { data } = await getting.query({ query: gql(READ), variables: { key: number } });
  assert.equal(data.creditMemo.number, number);
  const changed = await getting.mutate({
    mutation: gql(COMMENT),
    variables: { input: { key: number, comment: "by GET", dryRun: true } },
  });
  assert.equal(changed.data.updateCreditMemo.creditMemo.comment, "by GET");
});

await check("apollo-upload-client hands in a file", async () => {
  const link = new UploadHttpLink({ uri: endpoint, headers: { "apollo-require-preflight": "1" } });
  const { data } = await create(link).mutate({
    mutation: gql(UPLOAD),
    variables: { key: "CM00000001", file: emptyPdf() },
  });
  assert.deepEqual(data.uploadCreditMemoFile.userErrors, []);
  assert.equal(data.uploadCreditMemoFile.file.fileName, "memo.pdf");
});

await check("a subscription is told over the link of graphql-ws", async () => {
  const sockets = createClient({ url: socketEndpoint, webSocketImpl: WebSocket });
  const watching = create(new GraphQLWsLink(sockets));
  const heard = await told((next, error) => {
    const subscription = watching.subscribe({ query: gql(WATCH) }).subscribe({ next, error });
    return () => subscription.unsubscribe();
  });
  assert.equal(heard[0].data.creditMemoChanged.event.action, "UPDATED");
  await sockets.dispose();
});
