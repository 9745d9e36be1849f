"""Connections over real sockets whose other end reads nothing, or little: how much waits for them, and for how long."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from cm_graphql.api import stalls
from cm_graphql.api.connections import Connection
from cm_graphql.api.stalls import Socket
from postgres import free_port

PIECE = b"x" * 10_000


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for long."""
    monkeypatch.setattr(stalls, "STALLED_SECONDS", 1.0)


class Endless:
    """An application that says the same for ever, to whoever listens."""

    def __init__(self) -> None:
        self.said = 0
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            telling = asyncio.create_task(self._say(send, {"type": "websocket.send", "bytes": PIECE}))
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            telling = asyncio.create_task(
                self._say(send, {"type": "http.response.body", "body": PIECE, "more_body": True})
            )
        while not (await receive())["type"].endswith("disconnect"):
            pass
        telling.cancel()
        self.ended.set()

    async def _say(self, send: Send, piece: dict[str, Any]) -> None:
        with suppress(OSError, ClientDisconnect, WebSocketDisconnect):
            while True:
                await send(piece)
                self.said += len(PIECE)
                await asyncio.sleep(0)


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[int]:
    """The port at which an application is served as the real one is."""
    port = free_port()
    config = uvicorn.Config(
        application,
        port=port,
        http=Connection,
        ws=Socket,
        lifespan="off",
        log_config=None,
        ws_ping_interval=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.01)
        yield port
    finally:
        server.should_exit = True
        await running


def narrow(port: int, takes: int = 4_096) -> socket.socket:
    """A connection whose end here takes only so much before it is read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    return made


def request(kind: str) -> bytes:
    """What asks for an endless answer."""
    upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: " + "A" * 22
    offers = {"stream": "", "socket": f"{upgrade}==\r\n"}
    return f"GET / HTTP/1.1\r\nhost: localhost\r\n{offers[kind]}\r\n".encode()


@pytest.mark.parametrize("kind", ["stream", "socket"])
async def test_who_reads_nothing_is_cut_off_and_holds_little_until_then(kind: str) -> None:
    endless = Endless()
    async with serving(endless) as port:
        with narrow(port) as lazy:
            lazy.send(request(kind))

            async with asyncio.timeout(5):
                await endless.ended.wait()

            assert endless.said < 10_000_000, "what the systems at both ends hold, and no more"


@pytest.mark.parametrize("kind", ["stream", "socket"])
async def test_who_reads_slowly_is_not_cut_off(kind: str) -> None:
    endless = Endless()
    async with serving(endless) as port:
        with narrow(port, takes=100_000) as slow:
            slow.send(request(kind))
            for _ in range(130):  # together longer than anybody is waited for who reads nothing
                await asyncio.get_running_loop().sock_recv(slow, 100_000)
                await asyncio.sleep(0.01)

            assert not endless.ended.is_set()
