/** graphql-ws, the protocol's own client: life of a socket, many operations on one, and codes of closing. */
import assert from "node:assert/strict";
import { createClient, CloseCode } from "graphql-ws";
import WebSocket from "ws";
import { COMMENT, READ, WATCH, number, told } from "./billing.mjs";
import { check, pause, socketEndpoint } from "./checks.mjs";

const connect = (options = {}) => createClient({ url: socketEndpoint, webSocketImpl: WebSocket, retryAttempts: 0, ...options });

async function all(results) {
  const found = [];
  for await (const result of results) found.push(result);
  return found;
}

/** A socket without a client's manners, and the code with which it was closed. */
function closing(...messages) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(socketEndpoint, "graphql-transport-ws");
    socket.on("open", () => messages.forEach((message) => socket.send(message)));
    socket.on("close", (code) => resolve(code));
    socket.on("error", reject);
  });
}

const init = JSON.stringify({ type: "connection_init" });
const subscribe = (id, query, more = {}) => JSON.stringify({ type: "subscribe", id, payload: { query, ...more } });

await check("a subscription is told, a query and a mutation are answered on the same socket", async () => {
  const client = connect();
  const heard = await told((next, error) => client.subscribe({ query: WATCH }, { next, error, complete() {} }));
  assert.equal(heard[0].data.creditMemoChanged.creditMemo.number, number);
  const [read] = await all(client.iterate({ query: READ, variables: { key: number } }));
  assert.equal(read.data.creditMemo.number, number);
  const input = { key: number, comment: "by socket", dryRun: true };
  const [changed] = await all(client.iterate({ query: COMMENT, variables: { input } }));
  assert.equal(changed.data.updateCreditMemo.creditMemo.comment, "by socket");
  await client.dispose();
});

await check("many operations share a socket", async () => {
  let opened = 0;
  const client = connect({ on: { opened: () => (opened += 1) } });
  const asked = Array.from({ length: 50 }, async () => {
    for await (const { data } of client.iterate({ query: READ, variables: { key: number } })) return data.creditMemo.number;
  });
  assert.deepEqual(new Set(await Promise.all(asked)), new Set([number]));
  assert.equal(opened, 1);
  await client.dispose();
});

await check("a mistake ends its operation and not the socket", async () => {
  const client = connect({ lazy: false });
  await assert.rejects(
    async () => {
      for await (const _ of client.iterate({ query: "{ nothing }" }));
    },
    (errors) => errors[0].extensions.code === "GRAPHQL_VALIDATION_FAILED",
  );
  for await (const { data } of client.iterate({ query: "{ __typename }" })) assert.equal(data.__typename, "Query");
  await client.dispose();
});

await check("pings are answered, and the client's keep-alive finds the server alive", async () => {
  let pongs = 0;
  const client = connect({ lazy: false, keepAlive: 50, on: { pong: (received) => received && (pongs += 1) } });
  while (pongs < 5) await pause(20);
  await client.dispose();
});

await check("a payload of a ping comes back", async () => {
  const socket = new WebSocket(socketEndpoint, "graphql-transport-ws");
  const answer = await new Promise((resolve, reject) => {
    socket.on("open", () => socket.send(JSON.stringify({ type: "ping", payload: { mark: 1 } })));
    socket.on("message", (data) => resolve(JSON.parse(data)));
    socket.on("error", reject);
  });
  socket.close();
  assert.equal(answer.type, "pong");
});

await check("what breaks the protocol closes the socket with the protocol's code", async () => {
  const watch = subscribe("1", WATCH);
  const expected = [
    [CloseCode.Unauthorized, watch],
    [CloseCode.TooManyInitialisationRequests, init, init],
    [CloseCode.SubscriberAlreadyExists, init, watch, watch],
    [CloseCode.BadRequest, "nonsense"],
    [CloseCode.BadRequest, "null"],
    [CloseCode.BadRequest, "[]"],
    [CloseCode.BadRequest, "{}"],
    [CloseCode.BadRequest, JSON.stringify({ type: 7 })],
    [CloseCode.BadRequest, JSON.stringify({ type: "start" })],
    [CloseCode.BadRequest, init, JSON.stringify({ type: "subscribe", payload: { query: WATCH } })],
    [CloseCode.BadRequest, init, JSON.stringify({ type: "subscribe", id: "", payload: { query: WATCH } })],
    [CloseCode.BadRequest, init, JSON.stringify({ type: "subscribe", id: "1", payload: null })],
    [CloseCode.BadRequest, init, JSON.stringify({ type: "subscribe", id: "1", payload: {} })],
    [CloseCode.BadRequest, init, JSON.stringify({ type: "subscribe", id: "1", payload: { query: 7 } })],
    [CloseCode.BadRequest, init, subscribe("1", WATCH, { variables: [] })],
    [CloseCode.BadRequest, init, subscribe("1", WATCH, { operationName: 7 })],
    [CloseCode.BadRequest, init, JSON.stringify({ type: "complete" })],
    [CloseCode.BadRequest, JSON.stringify({ type: "connection_init", payload: 7 })],
    [CloseCode.BadRequest, JSON.stringify({ type: "ping", payload: "x" })],
  ];
  const wrong = [];
  for (const [code, ...messages] of expected) {
    const found = await Promise.race([closing(...messages), pause(3_000).then(() => "never")]);
    if (found !== code) wrong.push({ code, found, messages });
  }
  assert.deepEqual(wrong, []);
});

await check("a socket that does not speak the subprotocol comes to nothing", async () => {
  const ends = (...protocols) =>
    new Promise((resolve) => {
      const socket = new WebSocket(socketEndpoint, protocols);
      socket.on("close", resolve);
      socket.on("error", (error) => resolve(error.message));
    });
  assert.equal(await ends(), CloseCode.SubprotocolNotAcceptable);
  for (const protocol of ["graphql-ws", "nonsense"]) assert.equal(await ends(protocol), "Server sent no subprotocol");
});

await check("who does not introduce themselves is let go with 4408", async () => {
  assert.equal(await closing(), CloseCode.ConnectionInitialisationTimeout);
});

await check("an id can be used again after its operation was completed by either side", async () => {
  const socket = new WebSocket(socketEndpoint, "graphql-transport-ws");
  const completed = await new Promise((resolve, reject) => {
    let times = 0;
    socket.on("open", () => socket.send(init));
    socket.on("message", (data) => {
      const { type } = JSON.parse(data);
      if (type === "connection_ack") {
        socket.send(subscribe("1", WATCH));
        socket.send(JSON.stringify({ type: "complete", id: "1" }));
        socket.send(subscribe("1", "{ __typename }"));
      }
      if (type === "complete") {
        times += 1;
        if (times === 2) resolve(times);
        else socket.send(subscribe("1", "{ __typename }"));
      }
    });
    socket.on("close", (code) => reject(new Error(`closed with ${code}`)));
  });
  socket.removeAllListeners("close");
  socket.close();
  assert.equal(completed, 2);
});
