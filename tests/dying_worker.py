"""A worker that is killed at the worst moment: its job is committed, and nobody was told of it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from cm_graphql.jobs.runners import RUNNERS
from cm_graphql.jobs.worker import Worker
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.ports import SystemClock
from cm_graphql.store.bus import Bus
from cm_graphql.store.database import Database
from jobbing import QUICK
from operating import TODAY


async def die_after_a_job(database_url: str) -> int:
    """Have another process do a job and die before it tells anybody; answers its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        database_url,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    async with asyncio.timeout(60):
        return await process.wait()


def _die(changed: Sequence[str]) -> None:
    # Entries of the history come with the effect of a job, not with its claim or its progress.
    if any(one.startswith("cme_") for one in changed):
        os.kill(os.getpid(), signal.SIGKILL)


async def _work(database_url: str) -> None:
    database = Database.open(database_url)
    database.listeners.append(_die)  # heard before the bus
    Bus(database).start()
    Worker(Gate(database, SystemClock(TODAY)), RUNNERS, QUICK).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1]))
