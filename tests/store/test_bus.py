"""What listeners are told: what was committed and nothing else, in every process, and never more than they can keep."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from sqlalchemy import text

from cm_graphql.store.bus import Bus, Listener, TooSlow
from cm_graphql.store.database import Database, announce
from databases import Databases, chosen_kinds
from watching import lines_that_listen

COMMITTED = "cme_committed"


@asynccontextmanager
async def a_process(url: str) -> AsyncIterator[tuple[Database, Bus]]:
    """All that one process has of a database and its bus; two of them share nothing but the database."""
    database = Database.open(url)
    bus = Bus(database)
    bus.start()
    try:
        yield database, bus
    finally:
        await bus.stop()
        await database.dispose()


async def say(database: Database, *changed: str) -> None:
    """Commit a transaction that announces these."""
    async with database.write() as connection:
        for one in changed:
            announce(connection, one)


async def next_heard(listener: Listener) -> list[str]:
    """What a listener hears next, which must be soon."""
    told = await listener.heard(30)
    assert told, "nothing was told"
    return told


# --- after the commit -------------------------------------------------------------------------------------------------


async def test_nothing_is_told_before_the_commit(database_url: str) -> None:
    async with a_process(database_url) as (database, bus):
        with bus.listening("cme_") as listener:
            async with database.write() as connection:
                announce(connection, COMMITTED)

                assert await listener.heard(0.1) == []

            assert await listener.heard(0) == [COMMITTED]


async def test_nothing_is_told_of_what_was_rolled_back_or_only_tried(database_url: str) -> None:
    async with a_process(database_url) as (database, bus):
        with bus.listening("cme_") as listener:
            async with database.write(dry_run=True) as connection:
                announce(connection, "cme_tried")
            with suppress(ZeroDivisionError):
                async with database.write() as connection:
                    announce(connection, "cme_undone")
                    raise ZeroDivisionError
            await say(database, COMMITTED)

            assert await next_heard(listener) == [COMMITTED]


# --- slow listeners ---------------------------------------------------------------------------------------------------


async def test_a_listener_that_does_not_listen_keeps_a_bounded_number_and_is_told_that_it_missed_some(
    database_url: str,
) -> None:
    async with a_process(database_url) as (database, bus):
        with bus.listening("cme_", most=10) as slow, bus.listening("cme_") as quick:
            for number in range(30):
                await say(database, f"cme_{number}")
                assert await quick.heard(0) == [f"cme_{number}"], "the slow one holds nobody up"

            assert len(slow._waiting) <= 10
            with pytest.raises(TooSlow):
                await slow.heard(0)


# --- other processes --------------------------------------------------------------------------------------------------


@pytest.fixture
def postgresql_url(databases: Databases) -> Iterator[str]:
    """The URL of a database that several processes can share."""
    if "postgresql" not in chosen_kinds():
        pytest.skip("on SQLite there is only one process")
    with databases.fresh("postgresql") as url:
        yield url


async def test_what_one_process_commits_is_told_once_in_every_other(postgresql_url: str) -> None:
    async with a_process(postgresql_url) as (database, here), a_process(postgresql_url) as (_, there):
        await lines_that_listen(database, count=2)
        with here.listening("cme_") as near, there.listening("cme_") as far, there.listening("cmj_") as other:
            await say(database, "cme_1", "cme_2")
            await say(database, "cmj_1")

            assert await next_heard(other) == ["cmj_1"]  # it came last, so the others have all there is
            assert await near.heard(0) == ["cme_1", "cme_2"]
            assert await far.heard(0) == ["cme_1", "cme_2"]


async def cut(database: Database, lines: frozenset[int]) -> None:
    """End connections as an administrator would."""
    async with database.write() as connection:
        for pid in lines:
            await connection.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))


async def test_a_process_whose_line_was_cut_hears_again_as_soon_as_it_has_another(postgresql_url: str) -> None:
    async with a_process(postgresql_url) as (database, _), a_process(postgresql_url) as (_, there):
        with there.listening("cme_") as far:
            lines = await lines_that_listen(database, count=2)
            await cut(database, lines)
            await lines_that_listen(database, but=lines, count=2)
            await say(database, "cme_later")

            assert await next_heard(far) == ["cme_later"]


async def test_what_a_process_commits_while_its_line_is_cut_is_told_to_the_others_afterwards(
    postgresql_url: str,
) -> None:
    async with a_process(postgresql_url) as (database, _):
        lines = await lines_that_listen(database)
        async with a_process(postgresql_url) as (other, there):
            await lines_that_listen(other, but=lines)
            with there.listening("cme_") as far:
                await cut(database, lines)
                await say(database, "cme_meanwhile")

                assert await next_heard(far) == ["cme_meanwhile"]
