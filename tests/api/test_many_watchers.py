"""Many who watch one change: what that costs a real server, in processor time and in memory."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from operating import a_desk
from postgres import free_port
from programs import Program
from servers import started
from watching import WATCH, Memos, heard, socket_to, subscribe

MEGABYTE = 1_024


class Watched:
    """A server with a memo, and what it needs."""

    def __init__(self, process: Program, address: str, memo: str) -> None:
        self.address = address
        self._process = process
        self._memos = Memos(address, memo, "")

    async def change_one(self) -> None:
        """Change the memo."""
        await self._memos.comment("just this one")

    def seconds(self) -> float:
        """The processor time that the server took so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def until_idle(self) -> None:
        """Wait until all subscriptions have begun; who only waits then costs next to nothing."""
        async with asyncio.timeout(30):
            before = -1.0
            while self.seconds() - before > 0.05:
                before = self.seconds()
                await asyncio.sleep(0.5)

    def memory(self) -> int:
        """The memory that the server has now, in KB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.fixture
async def watched(database_url: str, tmp_path: Path) -> AsyncIterator[Watched]:
    async with a_desk(database_url) as desk:
        memo = await desk.draft("10.00")
    port = free_port()
    process = started(database_url, tmp_path, port)
    try:
        yield Watched(process, f"http://127.0.0.1:{port}", memo)
    finally:
        process.kill()
        process.wait()


async def test_three_hundred_watch_one_change_for_little(watched: Watched) -> None:
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(socket_to(watched.address)) for _ in range(3)]
        before = watched.memory()
        for socket in sockets:
            for number in range(100):
                await subscribe(socket, str(number), WATCH)
        await watched.until_idle()

        waiting = watched.seconds()
        await watched.change_one()
        told = [await heard(socket) for socket in sockets for _ in range(100)]

        assert len({(message["type"], message["id"]) for message in told}) == 100
        assert watched.seconds() - waiting < 300 * 0.005, "what is read for one is read for all"
        assert watched.memory() - before < 60 * MEGABYTE
