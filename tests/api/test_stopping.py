"""A server that is told to stop ends what would go on for as long as it does, and finishes what ends by itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from websockets.exceptions import ConnectionClosed

import servers
from cm_graphql.store.database import Database
from databases import Databases
from postgres import free_port
from programs import Program
from watching import WATCH, heard, socket_to, subscribe

COMPLAINTS = ("Traceback", "Exception in ASGI", "Cancel ", "without completing")
SYNC = """mutation { syncAccounts(input: {accounts: [{number: "A-1", name: "Acme", currency: "USD"}]}) {
  results { userErrors { code } } } }"""


class Stream:
    """An answer in events, as it comes off the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""

    async def begin(self, document: str, **variables: Any) -> None:
        """Ask for it, and wait until it has begun."""
        body = json.dumps({"query": document, "variables": variables}).encode()
        head = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
        head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._writer.write(head + body)
        self.head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 30)
        assert b"200 OK" in self.head
        assert b"transfer-encoding: chunked" in self.head
        assert await asyncio.wait_for(self._reader.readuntil(b":\n\n\r\n"), 30), "its first sign of life"

    async def rest(self) -> bytes:
        """Everything until the connection is closed."""
        return await asyncio.wait_for(self._reader.read(), 30)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


@asynccontextmanager
async def a_stream(port: int) -> AsyncIterator[Stream]:
    """A connection for one stream."""
    stream = Stream(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield stream
    finally:
        stream.close()


@asynccontextmanager
async def serving(database_url: str, folder: Path, **environment: str) -> AsyncIterator[tuple[Program, int]]:
    """A server that the test may stop, and its port."""
    port = free_port()
    process = await asyncio.to_thread(servers.started, database_url, folder, port, **environment)
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


async def ended(process: Program) -> float:
    """Tell a server to stop, and after how many seconds it was gone."""
    began = time.monotonic()
    process.terminate()
    await asyncio.to_thread(process.wait, 30)
    return time.monotonic() - began


async def test_a_stream_ends_with_the_server_and_is_not_complete(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as (process, port):
        async with a_stream(port) as first, a_stream(port) as second, a_stream(port) as third:
            streams = first, second, third
            for stream in streams:
                await stream.begin(WATCH)

            seconds = await ended(process)

            for stream in streams:
                assert await stream.rest() == b"0\r\n\r\n"
        log = (tmp_path / "server.log").read_text()
        assert not [complaint for complaint in COMPLAINTS if complaint in log], log
        assert seconds < 6, "well before its patience with requests ends"


async def test_streams_keep_sockets_and_sockets_keep_streams_from_nothing(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as (process, port):
        async with a_stream(port) as stream, socket_to(f"http://127.0.0.1:{port}") as socket:
            await stream.begin(WATCH)
            await subscribe(socket, "1", WATCH)

            seconds = await ended(process)

            with pytest.raises(ConnectionClosed) as closed:
                await heard(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            assert await stream.rest() == b"0\r\n\r\n"
        assert seconds < 6


async def test_a_mutation_that_is_told_in_events_is_finished_before_the_server_stops(
    databases: Databases, tmp_path: Path
) -> None:
    with databases.fresh("postgresql") as url:
        database = Database.open(url)
        async with serving(url, tmp_path) as (process, port), a_stream(port) as stream:
            async with database.write() as connection:
                await connection.execute(text("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"))
                await stream.begin(SYNC)
                stopping = asyncio.create_task(ended(process))
                await asyncio.sleep(1)
                assert not stopping.done()

            told = await stream.rest()
            await stopping

        await database.dispose()
        assert b'{"data":{"syncAccounts":{"results":[{"userErrors":[]}]}}}' in told
        assert b"event: complete" in told
        assert told.endswith(b"0\r\n\r\n")
