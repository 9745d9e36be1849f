/** Relay's runtime with what its compiler made: its store, its connections, and the three things it asks of a server. */
import assert from "node:assert/strict";
import { createClient } from "graphql-ws";
import relay from "relay-runtime";
import WebSocket from "ws";
import { comment, number, told } from "./billing.mjs";
import { check, endpoint, socketEndpoint } from "./checks.mjs";

const {
  ConnectionHandler,
  Environment,
  Network,
  Observable,
  RecordSource,
  Store,
  commitMutation,
  createOperationDescriptor,
  fetchQuery,
  getRequest,
  requestSubscription,
} = relay;

const compiled = async (name) => (await import(`./relay/relay_documents${name}.graphql.js`)).default;

async function ask({ text, name }, variables) {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
    body: JSON.stringify({ query: text, operationName: name, variables }),
  });
  const result = await answer.json();
  if (result.errors) throw new Error(JSON.stringify(result.errors));
  return result;
}

const sockets = createClient({ url: socketEndpoint, webSocketImpl: WebSocket });
const watch = ({ text, name }, variables) =>
  Observable.create((sink) => sockets.subscribe({ query: text, operationName: name, variables }, sink));

const open = () => new Environment({ network: Network.create(ask, watch), store: new Store(new RecordSource()) });

/** Fetch, and keep what came. */
async function load(environment, name, variables) {
  const query = await compiled(name);
  const operation = createOperationDescriptor(getRequest(query), variables);
  environment.retain(operation);
  await fetchQuery(environment, query, variables).toPromise();
  return environment.lookup(operation.fragment).data;
}

/** The numbers that the store holds of the connection. */
const kept = (environment) => {
  let numbers;
  environment.commitUpdate((store) => {
    const connection = ConnectionHandler.getConnection(store.getRoot(), "relay_documents_creditMemos");
    numbers = connection.getLinkedRecords("edges").map((edge) => edge.getLinkedRecord("node").getValue("number"));
  });
  return numbers;
};

const pageInfo = (environment) => {
  let found;
  environment.commitUpdate((store) => {
    const connection = ConnectionHandler.getConnection(store.getRoot(), "relay_documents_creditMemos");
    const info = connection.getLinkedRecord("pageInfo");
    const names = ["endCursor", "startCursor", "hasNextPage", "hasPreviousPage"];
    found = Object.fromEntries(names.map((name) => [name, info.getValue(name)]));
  });
  return found;
};

await check("pages are put together forwards by the connection handler", async () => {
  const environment = open();
  await load(environment, "ListQuery", { first: 1 });
  while (pageInfo(environment).hasNextPage) {
    await load(environment, "PageQuery", { first: 1, after: pageInfo(environment).endCursor });
  }
  const numbers = kept(environment);
  assert.ok(numbers.length >= 4);
  assert.deepEqual(numbers, [...new Set(numbers)].sort());
});

await check("pages are put together backwards too", async () => {
  const environment = open();
  await load(environment, "PageQuery", { last: 1 });
  while (pageInfo(environment).hasPreviousPage) {
    await load(environment, "PageQuery", { last: 2, before: pageInfo(environment).startCursor });
  }
  const forwards = open();
  await load(forwards, "ListQuery", { first: 100 });
  assert.deepEqual(kept(environment), kept(forwards));
});

await check("a fragment is fetched again by its node, with other arguments", async () => {
  const environment = open();
  await load(environment, "ListQuery", { first: 100 });
  const ids = environment.getStore().getSource().getRecordIDs().filter((id) => /^cm_[0-9a-f]{32}$/.test(id));
  assert.ok(ids.length >= 4);
  for (const id of ids) {
    await load(environment, "MemoQuery", { id, items: true });
    const record = environment.getStore().getSource().get(id);
    assert.equal(record.__typename, "CreditMemo");
    assert.ok(Object.keys(record).some((key) => key.startsWith("items(")));
  }
});

await check("every object that has an id is fetched again by it, as what it was", async () => {
  const environment = open();
  const query = `{
    creditMemos { nodes {
      id __typename account { id __typename billToContact { id __typename } } referredInvoice { id __typename }
      items { nodes { id __typename taxationItems { nodes { id __typename } } } }
      parts { nodes { id __typename itemParts { nodes { id __typename } } } }
      history { nodes { id __typename } }
    } }
    invoices { nodes { id __typename items { nodes { id __typename taxationItems { nodes { id __typename } } } } } }
    debitMemos { nodes { id __typename items { nodes { id __typename } } } }
    productRatePlanCharges { nodes { id __typename } }
    reasonCodes { nodes { id __typename } }
    accountingPeriods { nodes { id __typename } }
  }`;
  const { data } = await ask({ text: query }, {});
  const found = new Map();
  const collect = (value) => {
    if (value?.id) found.set(value.id, value.__typename);
    if (value && typeof value === "object") Object.values(value).forEach(collect);
  };
  collect(data);
  assert.ok(new Set(found.values()).size >= 10, [...new Set(found.values())].join());
  for (const [id, type] of found) {
    const { node } = await load(environment, "NodeQuery", { id });
    assert.deepEqual([node.id, node.__typename], [id, type]);
  }
});

await check("nodes come in the order of their ids, and unknown ones are null", async () => {
  const environment = open();
  const [first, second] = [1, 2].map((digit) => `cm_${"0".repeat(31)}${digit}`);
  const { nodes } = await load(environment, "NodesQuery", { ids: [second, `cm_${"f".repeat(32)}`, first, second] });
  assert.deepEqual(
    nodes.map((node) => node?.memo?.number ?? null),
    ["CM00000002", null, "CM00000001", "CM00000002"],
  );
});

await check("a mutation changes the record that the store holds", async () => {
  const environment = open();
  await load(environment, "ListQuery", { first: 100 });
  const mutation = await compiled("CommentMutation");
  const variables = { input: { key: number, comment: "by Relay" } };
  const answer = await new Promise((onCompleted, onError) =>
    commitMutation(environment, { mutation, variables, onCompleted, onError }),
  );
  assert.deepEqual(answer.updateCreditMemo.userErrors, []);
  const { id } = answer.updateCreditMemo.creditMemo;
  assert.equal(environment.getStore().getSource().get(id).comment, "by Relay");
});

await check("a subscription changes it too", async () => {
  const environment = open();
  const subscription = await compiled("WatchSubscription");
  const heard = await told((onNext, onError) => {
    const { dispose } = requestSubscription(environment, { subscription, variables: {}, onNext, onError });
    return dispose;
  });
  const { id } = heard[0].creditMemoChanged.creditMemo;
  assert.match(environment.getStore().getSource().get(id).comment, /^told /);
  await comment("afterwards");
  await sockets.dispose();
});
