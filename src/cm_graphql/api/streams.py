"""Answers that go on: server-sent events, and sockets that speak graphql-transport-ws."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import ExitStack, aclosing, suppress
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import orjson
import uuid_utils
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from cm_graphql.api import bodies
from cm_graphql.api.errors import (
    ApiError,
    Code,
    DatabaseAway,
    DocumentRefused,
    ExecutionErrors,
    FormattedError,
    from_api_error,
)
from cm_graphql.api.limits import Limits
from cm_graphql.api.sockets import introduce
from cm_graphql.api.traffic import TooMuch, Traffic, TrafficRules, address_of

PROTOCOL: Final = "graphql-transport-ws"
KEEP_ALIVE_SECONDS: Final = 12.0
"""Proxies close what is silent for longer."""
INIT_SECONDS: Final = 10.0
"""Time that a client has to introduce itself."""
MOST_OPERATIONS: Final = 100
"""Operations that one socket may have open."""

ADMIT_SECONDS: Final = 5.0
"""So often it is seen whether a caller's token still holds, while they are told of things."""

ENDING: Final = "ending"
"""Under this name the state of a request has what tells that the server is about to stop."""

Result = dict[str, Any]
"""A formatted result: `data`, `errors`, `extensions`."""


class Answering(Protocol):
    """What runs an operation, each result formatted; raises DocumentRefused and ApiError before the first."""

    def results(
        self, parameters: bodies.Parameters, connection: HTTPConnection, errors: ExecutionErrors
    ) -> AsyncIterator[Result]:
        """The results of an operation, one after another."""
        ...

    async def admit(self, connection: HTTPConnection, request_id: str) -> str:
        """Tell who the caller is, if they may still be answered; raises ApiError where not."""
        ...


# --- server-sent events -----------------------------------------------------------------------------------------------


async def send_events(
    results: AsyncIterator[Result],
    receive: Receive,
    send: Send,
    admit: Callable[[], Awaitable[object]],
    ending: asyncio.Event | None = None,
) -> None:
    """Send results as events, each a message of its own, until they end, nobody listens any more, or nobody may.

    `ending` breaks off what would go on for as long as the server does. Only what has come to its own end is complete:
    without that event the stream just ends, and clients that care for the rest connect again.
    """
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def say(text: bytes, *, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": text, "more_body": more})

    async def tell() -> None:
        async for result in results:
            await say(b"event: next\ndata: " + encode(result) + b"\n\n")
        await say(b"event: complete\ndata:\n\n", more=False)

    async def keep_alive() -> None:
        while True:
            await say(b":\n\n")
            await asyncio.sleep(KEEP_ALIVE_SECONDS)

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    telling, leaving = asyncio.create_task(tell()), asyncio.create_task(leave())
    ends = [telling, leaving, asyncio.create_task(until_refused(admit))]
    if ending is not None:
        ends.append(asyncio.create_task(until_set(ending)))
    others = [*ends, asyncio.create_task(keep_alive())]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        is_over = leaving.done() or (telling.done() and telling.exception() is None)
    finally:
        for task in others:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*others, return_exceptions=True)
    if not is_over:
        await say(b"", more=False)


async def until_set(event: asyncio.Event) -> None:
    """Wait for an event, and know nothing of it."""
    await event.wait()


async def until_refused(admit: Callable[[], Awaitable[object]]) -> None:
    """Wait until the caller's token holds no longer; while the database is away, nobody is told anything anyway."""
    with suppress(ApiError):
        while True:
            await asyncio.sleep(ADMIT_SECONDS)
            with suppress(DatabaseAway):
                await admit()


def encode(answer: Result | list[Result]) -> bytes:
    """Write a result as JSON on one line."""
    try:
        return orjson.dumps(answer)
    except TypeError:
        # Integers past 64 bits and lone surrogates, which a JSON scalar may hold, are beyond orjson.
        return json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()


# --- sockets ----------------------------------------------------------------------------------------------------------


class Closed(Exception):
    """The socket is closed with a code, because the client broke the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Sockets:
    """The ASGI application behind `/graphql` for WebSocket connections."""

    def __init__(
        self, answering: Answering, limits: Limits, traffic: Traffic | None = None, origins: Collection[str] = ()
    ) -> None:
        self._answering = answering
        self._limits = limits
        self._traffic = traffic or Traffic(TrafficRules())
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        if socket.headers.get("origin") not in self._origins and not _same_origin(socket):
            # Browsers let any page open a socket to anywhere; only the Origin header tells whose page it is.
            await socket.close(4403, "Pages of another origin are not answered.")
            return
        if PROTOCOL not in scope.get("subprotocols", []):
            await socket.accept()
            await socket.close(4406, "Subprotocol not acceptable")
            return
        await socket.accept(PROTOCOL)
        with ExitStack() as held:
            try:
                # Strangers count by their address, until they are known.
                held.enter_context(self._traffic.socket(f"stranger {address_of(socket)}"))
            except TooMuch as refused:
                await socket.close(4429, refused.message[:120])
                return
            await Conversation(self._answering, self._limits, socket, self._traffic, held).hold()


class Conversation:
    """One socket, from its introduction to its end."""

    def __init__(
        self, answering: Answering, limits: Limits, socket: WebSocket, traffic: Traffic, held: ExitStack
    ) -> None:
        self._answering = answering
        self._limits = limits
        self._socket = socket
        self._traffic = traffic
        self._held = held
        self._introduced = False
        self._open: dict[str, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None

    async def hold(self) -> None:
        """Answer messages until either side ends it."""
        try:
            async with asyncio.timeout(INIT_SECONDS) as patience:
                while True:
                    await self._answer(await self._message())
                    if self._introduced:
                        patience.reschedule(None)
        except TimeoutError:
            await self._close(4408, "Connection initialisation timeout")
        except Closed as closed:
            await self._close(closed.code, closed.reason)
        except WebSocketDisconnect:
            pass
        finally:
            tasks = [*self._open.values(), *([self._watching] if self._watching else ())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self, code: int, reason: str) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):  # the client may have gone meanwhile
            await self._socket.close(code, reason[:120])

    async def _message(self) -> dict[str, Any]:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        if text is None:
            raise Closed(4400, "Messages are text")
        if len(text) > self._limits.body_bytes:
            raise Closed(1009, "Message too big")
        try:
            message = bodies.load_json(text.encode("utf-8", "surrogatepass"), self._limits, "A message")
        except ApiError as error:
            raise Closed(4400, error.message) from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closed(4400, "A message is an object with a type")
        return message

    async def _answer(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in ("connection_init", "ping", "pong") and not isinstance(message.get("payload", {}), dict | None):
            raise Closed(4400, f"The payload of a {kind} message is an object")
        if kind in ("subscribe", "complete") and not (isinstance(message.get("id"), str) and message["id"]):
            raise Closed(4400, f"A {kind} message has an id")
        if kind == "connection_init":
            if self._introduced:
                raise Closed(4429, "Too many initialisation requests")
            await self._meet(message.get("payload"))
            self._introduced = True
            await self._say({"type": "connection_ack"})
        elif kind == "ping":
            await self._say({"type": "pong"})
        elif kind == "pong":
            pass
        elif kind == "subscribe":
            self._begin(message)
        elif kind == "complete":
            task = self._open.pop(message["id"], None)
            if task is not None:
                task.cancel()
        else:
            raise Closed(4400, f"There is no message {kind[:50]!r}")

    async def _meet(self, payload: Any) -> None:
        """Know the caller, by the token of the introduction where the connection brought none: browsers cannot."""
        token = payload.get("authorization", payload.get("Authorization")) if isinstance(payload, dict) else None
        if isinstance(token, str):
            self._socket.scope["headers"].append((b"authorization", token.encode("latin-1", "replace")))
        try:
            caller = await self._admit()
            self._held.close()
            self._held.enter_context(self._traffic.socket(caller))
        except TooMuch as refused:
            raise Closed(4429, refused.message) from refused
        except ApiError as refused:
            if refused.code is Code.SERVICE_UNAVAILABLE:
                raise Closed(1013, refused.message) from refused  # at which clients connect again
            raise Closed(4403, "Forbidden") from refused
        introduce(self._socket.scope)
        self._watching = asyncio.create_task(self._watch())

    async def _admit(self) -> str:
        return await self._answering.admit(self._socket, "")

    async def _watch(self) -> None:
        """Close the socket when the caller's token ends."""
        await until_refused(self._admit)
        for task in self._open.values():
            task.cancel()
        await self._close(4403, "Forbidden")

    def _begin(self, message: dict[str, Any]) -> None:
        if not self._introduced:
            raise Closed(4401, "Unauthorized")
        key, payload = message["id"], message.get("payload")
        if not isinstance(payload, dict):
            raise Closed(4400, "A subscribe message has a payload")
        try:
            parameters = bodies.parameters_of(payload)
        except ApiError as error:
            raise Closed(4400, error.message) from error
        if key in self._open:
            raise Closed(4409, f"Subscriber for {key[:50]} already exists")
        if len(self._open) >= MOST_OPERATIONS:
            raise Closed(4400, f"A socket has at most {MOST_OPERATIONS} operations open")
        self._open[key] = asyncio.create_task(self._tell(key, parameters))

    async def _tell(self, key: str, parameters: bodies.Parameters) -> None:
        """Send what an operation answers; a client that reads slowly makes this wait, and nobody else."""
        errors = ExecutionErrors(uuid_utils.uuid7().hex)
        refused: list[FormattedError] | None = None
        try:
            results: Any = self._answering.results(parameters, self._socket, errors)
            async with aclosing(results):
                async for result in results:
                    await self._say({"type": "next", "id": key, "payload": result})
        except DocumentRefused as error:
            refused = error.errors
        except ApiError as error:
            refused = [from_api_error(error)]
        except (WebSocketDisconnect, RuntimeError):
            return  # nobody is left to tell
        except Exception as error:
            refused = [errors.crashed(error)]
        self._open.pop(key, None)
        with suppress(WebSocketDisconnect, RuntimeError):
            if refused is None:
                await self._say({"type": "complete", "id": key})
            else:
                await self._say({"type": "error", "id": key, "payload": refused})

    async def _say(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(encode(message).decode())


def _same_origin(socket: WebSocket) -> bool:
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == socket.headers.get("host", "").lower()
