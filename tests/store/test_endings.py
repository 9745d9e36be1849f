"""An event loop that ends in the middle of everything comes to its end, and so does its process."""

import asyncio
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select

from cm_graphql.store.database import Database
from cm_graphql.store.direct import open_direct
from cm_graphql.store.tables import contacts
from databases import Databases, chosen_kinds
from store.rows import insert

LOOPS = 20
WRITERS = 6


def counting() -> Generator[tuple[str, Sequence[Any]], list[Any], int]:
    """A reading that takes a while."""
    rows = yield "SELECT count(*) FROM contacts a, contacts b", ()
    return int(rows[0][0])


async def serve(url: str, name: str) -> None:
    """Read and write until stopped, and then close everything, as a server does."""
    database = Database.open(url)
    direct = open_direct(database)

    async def write(writer: int) -> None:
        for number in range(1_000):
            async with database.write(long=number % 5 == 4) as connection:
                await insert(connection, contacts, id=f"con_{name}_{writer}_{number}_a")
                await asyncio.sleep(0)
                await insert(connection, contacts, id=f"con_{name}_{writer}_{number}_b")

    async def read() -> None:
        while True:
            await direct.run(counting(), short=False)
            async with database.read() as connection:
                await connection.execute(select(func.count()).select_from(contacts))

    tasks = [asyncio.create_task(one) for one in (*(write(writer) for writer in range(WRITERS)), read(), read())]
    try:
        await asyncio.wait(tasks)
    finally:
        await direct.close()
        await database.dispose()


async def begin(url: str, name: str, seconds: float) -> None:
    """Leave everything to the end of the loop."""
    serving = asyncio.create_task(serve(url, name))
    await asyncio.wait([serving], timeout=seconds)


async def stop_twice(url: str, moments: int) -> None:
    """Have a reader stopped, and again a moment later, before the end of the loop."""
    database = Database.open(url)

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(select(1))

    reading = asyncio.create_task(read())
    for _ in range(moments):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.sleep(0)
    reading.cancel()


def main(url: str, seed: int) -> None:
    """Begin and end so many loops, one after the other."""
    dice = Random(seed)
    for moments in range(25):
        asyncio.run(stop_twice(url, moments))
    for loop in range(LOOPS):
        asyncio.run(begin(url, f"{seed}_{loop}", dice.random() * dice.choice([0.005, 0.05, 0.1])))


@pytest.mark.skipif("sqlite" not in chosen_kinds(), reason="only SQLite's connections have threads")
@pytest.mark.parametrize("seed", range(2))
def test_a_loop_that_ends_in_the_middle_of_everything_ends_and_nothing_is_half(databases: Databases, seed: int) -> None:
    with databases.fresh("sqlite") as url:
        tests = Path(__file__).parent.parent
        ended = subprocess.run(
            [sys.executable, "-X", "faulthandler", __file__, url, str(seed)],
            env={"PYTHONPATH": str(tests)},
            cwd=tests,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        kept = asyncio.run(halves(url))

    assert ended.returncode == 0, ended.stderr[-3_000:]
    assert kept
    assert all(f"{half[:-1]}{'b' if half.endswith('a') else 'a'}" in kept for half in kept)


async def halves(url: str) -> set[str]:
    database = Database.open(url)
    async with database.read() as connection:
        found = set((await connection.execute(select(contacts.c.id))).scalars())
    await database.dispose()
    return found


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
