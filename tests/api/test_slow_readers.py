"""Subscribers that stop reading: they slow nobody down, need little memory, and are told that they missed something."""

import asyncio
import json
import os
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection

from cm_graphql.store.bus import MOST_WAITING
from operating import a_desk
from postgres import free_port
from servers import started
from watching import WATCH, heard, socket_to, subscribe

pytestmark = pytest.mark.soak

MEMOS = 50
"""As many as one request changes."""
LARGE = f"subscription {{ creditMemoChanged {{ creditMemo {{ {' '.join(f'c{n}: comment' for n in range(90))} }} }} }}"
"""Each event of it is 20 KB."""
BODY = json.dumps({"query": LARGE})
STREAM = (
    "POST /graphql HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n"
    f"content-length: {len(BODY)}\r\n\r\n{BODY}"
).encode()
MISSED = '"message":"More happened than this subscription can be told'
MEGABYTE = 1_024


class Server:
    """A real server with some memos."""

    def __init__(self, address: str, pid: int, memos: list[str]) -> None:
        self.address = address
        self.memos = memos
        self._pid = pid

    def memory(self) -> int:
        """The memory that it has now, in KB."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def seconds(self) -> float:
        """The processor time that it took so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def change_all(self, client: httpx.AsyncClient, number: int) -> None:
        """Change each memo."""
        document = "mutation ($in: UpdateCreditMemosInput!) { u: updateCreditMemos(input: $in) { results { index } } }"
        memos = [{"key": memo, "comment": f"{number} ".ljust(255, "x")} for memo in self.memos]
        answer = await client.post("/graphql", json={"query": document, "variables": {"in": {"memos": memos}}})
        assert len(answer.json()["data"]["u"]["results"]) == MEMOS, answer.text


@pytest.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[Server]:
    async with a_desk(database_url) as desk:
        memos = [await desk.draft("10.00") for _ in range(MEMOS)]
    port = free_port()
    process = started(database_url, tmp_path, port)
    try:
        yield Server(f"http://127.0.0.1:{port}", process.pid, memos)
    finally:
        process.kill()
        process.wait()


def narrow(address: str) -> sockets.socket:
    """A connection whose end here takes little before it is read."""
    made = sockets.socket()
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    url = urlsplit(address)
    made.connect((url.hostname, url.port))
    made.setblocking(False)
    return made


async def last_told(socket: ClientConnection) -> Any:
    """The last result before a subscription ended; None where the connection ended before."""
    last: Any = None
    try:
        while (message := await heard(socket))["type"] == "next":
            last = message["payload"]
    except ConnectionClosed:
        assert socket.close_code in (1006, 1011), "the codes for who answered no ping for 40 seconds, or 50"
        return None
    return last


async def events(stream: sockets.socket) -> list[str]:
    """The events of a stream until its end."""
    loop, text = asyncio.get_running_loop(), ""
    while "event: complete" not in text:
        piece = await loop.sock_recv(stream, 1_000_000)
        assert piece, "the connection ended without an event that says so"
        text += piece.decode()
    return [event for event in text.split("\n\n") if "event: next" in event]


async def test_readers_that_stop_reading_are_ended_and_told_while_others_hear_everything(server: Server) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60)
        )
        quick = await stack.enter_async_context(socket_to(server.address))
        await subscribe(quick, "quick", WATCH)
        told: list[str] = []

        async def change_all(number: int) -> float:
            """Change all memos, which must be heard; answer what it cost the server."""
            before = server.seconds()
            await server.change_all(client, number)
            for _ in server.memos:
                change = (await heard(quick))["payload"]["data"]["creditMemoChanged"]
                told.append(change["creditMemo"]["comment"].split()[0])
            return server.seconds() - before

        alone = [await change_all(number) for number in range(5)]
        narrowed: dict[str, Any] = {"compression": None, "max_queue": 1, "ping_interval": None}
        lazy = [
            await stack.enter_async_context(socket_to(server.address, sock=narrow(server.address), **narrowed))
            for _ in range(3)
        ]
        for socket in lazy:
            await subscribe(socket, "lazy", LARGE)
        streams = [stack.enter_context(narrow(server.address)) for _ in range(3)]
        for stream in streams:
            stream.send(STREAM)
        before = server.memory()

        beside = [await change_all(number) for number in range(5, 5 + (MOST_WAITING + 500) // MEMOS)]

        assert told == [str(number) for number in range(5 + len(beside)) for _ in server.memos]
        assert sum(beside[-10:]) / 10 < 2 * sum(alone) / len(alone), "who does not read costs nothing"
        assert server.memory() - before < 60 * MEGABYTE
        for stream in streams:
            assert MISSED in (await events(stream))[-1]
        for socket in lazy:
            last = await last_told(socket)
            assert last is None or last["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
