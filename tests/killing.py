"""Real processes that do jobs, to be killed and frozen; none may need more memory than it may."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cm_graphql.store import tables as t
from cm_graphql.store.jobs import FINAL
from operating import Desk

MOST_MEMORY = 500 * 1_024  # KB


class Process:
    """A worker on PostgreSQL; on SQLite, the server, which has the only one."""

    def __init__(self, url: str, directory: Path, lease: float) -> None:
        command = ["worker"] if url.startswith("postgresql") else ["serve", "--port", "0"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CM_GRAPHQL_")}
        with (directory / "process.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cm_graphql", *command],
                cwd=directory,
                env={**inherited, "CM_GRAPHQL_DATABASE_URL": url, "CM_GRAPHQL_JOB_LEASE": str(lease)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def memory(self) -> int:
        """The most memory it ever had, in KB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


@asynccontextmanager
async def running(database_url: str, directory: Path, lease: float = 5) -> AsyncIterator[Process]:
    """A process that must not need more memory than it may, whatever becomes of it."""
    process = Process(database_url, directory, lease)
    try:
        yield process
        assert process.memory() < MOST_MEMORY
    finally:
        process.kill()


async def ended(desk: Desk, job: str, seconds: float = 600) -> Any:
    async with asyncio.timeout(seconds):
        while (row := await desk.row(t.credit_memo_jobs, id=job)).status not in FINAL:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.2)
    return row


async def begun(desk: Desk, job: str, after: int = 0) -> Any:
    """The row of a job as soon as an attempt later than that was begun."""
    async with asyncio.timeout(60):
        while (row := await desk.row(t.credit_memo_jobs, id=job)).attempts <= after:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.02)
    return row
