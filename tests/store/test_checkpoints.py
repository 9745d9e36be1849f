"""SQLite's log is copied to the file while others write, and begins anew, so that no commit has to wait for that."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text

from cm_graphql.store import checkpoints
from cm_graphql.store.database import Database
from cm_graphql.store.fold import fold_text
from cm_graphql.store.tables import contacts
from databases import Databases, Kind, chosen_kinds
from store.rows import insert

SQLITE = [kind for kind in chosen_kinds() if kind == "sqlite"]
PAGE = 4_096
NUMBERS = count()


@pytest.fixture(params=SQLITE)
def path(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Path]:
    """The file of an empty, migrated SQLite database."""
    kind: Kind = request.param
    with databases.fresh(kind) as url:
        yield Path(url.removeprefix("sqlite+aiosqlite:///"))


@pytest.fixture
def copied_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is copied after few rows."""
    monkeypatch.setattr(checkpoints, "AFTER", 40)


async def write(database: Database, times: int) -> None:
    async def one_after_another() -> None:
        for _ in range(times):
            async with database.write() as connection:
                await insert(connection, contacts, id=f"con_{next(NUMBERS)}")

    await asyncio.gather(*(one_after_another() for _ in range(8)))


def pages(path: Path) -> int:
    """How long the log ever was; it begins anew in its place."""
    return path.with_name(f"{path.name}-wal").stat().st_size // PAGE


@pytest.mark.usefixtures("copied_often")
async def test_the_log_begins_anew_while_there_is_always_somebody_who_writes(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    await write(database, 40)
    after_some = pages(path)
    await write(database, 200)

    assert pages(path) < 3 * after_some  # without it, six times
    await database.dispose()
    with closing(sqlite3.connect(path)) as other:
        other.create_function("fold", 1, fold_text, deterministic=True)
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (found,) = other.execute("SELECT count(*) FROM contacts").fetchone()
    assert found == 8 * 240


@pytest.mark.usefixtures("copied_often")
async def test_a_reader_of_what_was_before_keeps_nobody_from_writing(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    await write(database, 10)

    async with database.read() as connection:
        seen = await connection.scalar(text("SELECT count(*) FROM contacts"))
        await asyncio.wait_for(write(database, 60), 20)
        assert await connection.scalar(text("SELECT count(*) FROM contacts")) == seen
    with_reader = pages(path)
    await write(database, 120)

    assert pages(path) < 2 * with_reader
    await database.dispose()


async def test_where_the_log_cannot_be_copied_beside_them_those_who_write_do_not_notice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[checkpoints.Checkpoints] = []

    def fail(self: checkpoints.Checkpoints) -> bool:
        tries.append(self)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(checkpoints, "AFTER", 1)
    monkeypatch.setattr(checkpoints.Checkpoints, "_copied", fail)
    database = Database.open(f"sqlite:///{path}")

    await write(database, 10)

    assert len(tries) > 1, "it is tried again"
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM contacts")) == 80
    await database.dispose()
