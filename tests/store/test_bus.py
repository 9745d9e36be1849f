"""What listeners are told: what was committed and nothing else, in every process, and never more than they can keep."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from cm_graphql.operations.ports import new_id
from cm_graphql.store import bus
from cm_graphql.store import tables as t
from cm_graphql.store.bus import Bus, Listener, TooSlow
from cm_graphql.store.database import Database, announce
from databases import Databases, chosen_kinds
from store.rows import insert
from watching import cut, lines_that_listen

COMMITTED = "cme_committed"


@asynccontextmanager
async def a_process(url: str) -> AsyncIterator[tuple[Database, Bus]]:
    """All that one process has of a database and its bus; two of them share nothing but the database."""
    database = Database.open(url)
    made = Bus(database)
    made.start()
    try:
        yield database, made
    finally:
        await made.stop()
        await database.dispose()


async def say(database: Database, *changed: str) -> None:
    """Commit a transaction that announces these."""
    async with database.write() as connection:
        for one in changed:
            announce(connection, one)


async def next_heard(listener: Listener) -> list[str]:
    """What a listener hears next, which must be soon."""
    async with asyncio.timeout(30):
        while not (told := await listener.heard()):
            pass  # only woken
    return told


# --- after the commit -------------------------------------------------------------------------------------------------


async def test_nothing_is_told_before_the_commit(database_url: str) -> None:
    async with a_process(database_url) as (database, here):
        with here.listening("cme_") as listener:
            async with database.write() as connection:
                announce(connection, COMMITTED)

                assert await listener.heard(0.1) == []

            assert await listener.heard(0) == [COMMITTED]


async def test_nothing_is_told_of_what_was_rolled_back_or_only_tried(database_url: str) -> None:
    async with a_process(database_url) as (database, here):
        with here.listening("cme_") as listener:
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
    async with a_process(database_url) as (database, here):
        with here.listening("cme_", most=10) as slow, here.listening("cme_") as quick:
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


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that were cut are soon there again."""
    monkeypatch.setattr(bus, "RECONNECT_SECONDS", 0.05)


async def happen(database: Database) -> str:
    """Commit a new entry of the history and announce it, and answer its id."""
    async with database.write() as connection:
        entry = await insert(connection, t.credit_memo_events, id=new_id("cme"))
        announce(connection, entry["id"])
    return str(entry["id"])


@pytest.mark.usefixtures("quickly")
async def test_what_is_committed_in_quick_succession_travels_together(postgresql_url: str) -> None:
    ids = [new_id("cme") for _ in range(40)]
    messages: list[list[str]] = []
    told = asyncio.Event()

    def hear(_connection: object, _sender: int, _channel: str, payload: str) -> None:
        messages.append(json.loads(payload))
        if sum(len(message) for message in messages) == len(ids):
            told.set()

    line = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    await line.add_listener(bus.CHANNEL, hear)
    async with a_process(postgresql_url) as (database, _here):
        await lines_that_listen(database, count=1)
        began = time.monotonic()
        for one in ids:
            await say(database, one)
        took = time.monotonic() - began
        await asyncio.wait_for(told.wait(), 30)
    await line.close()

    assert [one for message in messages for one in message] == ids
    assert len(messages) <= took / bus.PAUSE_SECONDS + 2


async def test_a_process_whose_line_was_cut_hears_once_what_it_missed(postgresql_url: str) -> None:
    nobody = Database.open(postgresql_url)  # has no bus, so that what it does is told to none
    await happen(nobody)
    async with a_process(postgresql_url) as (database, here), a_process(postgresql_url) as (_, there):
        lines = await lines_that_listen(database, count=2)
        with there.listening("cme_") as far, here.listening("cme_") as near, there.listening("cmj_1") as job:
            told = await happen(database)
            assert await next_heard(far) == [told]
            missed = [await happen(nobody) for _ in range(3)]

            await cut(database, lines)

            assert await next_heard(far) == missed
            assert await job.heard(0.5) == [], "nothing is known of jobs"
            heard = await next_heard(near)
            while len(heard) < 1 + len(missed):  # its line may be there again after the other one's
                heard += await next_heard(near)
            assert heard == [told, *missed]
            later = await happen(database)
            assert await next_heard(far) == await next_heard(near) == [later]
    await nobody.dispose()


@pytest.mark.usefixtures("quickly")
async def test_who_watches_a_job_is_woken_when_the_line_is_there_again(postgresql_url: str) -> None:
    async with a_process(postgresql_url) as (database, there):
        lines = await lines_that_listen(database)
        with there.listening("cmj_1") as job:
            await cut(database, lines)
            async with asyncio.timeout(3):
                assert await job.heard() == []


@pytest.mark.usefixtures("quickly")
async def test_who_missed_more_than_anybody_knows_is_told_that(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "MOST_KNOWN", 2)
    nobody = Database.open(postgresql_url)
    async with a_process(postgresql_url) as (database, there):
        lines = await lines_that_listen(database)
        with there.listening("cme_") as far:
            for _ in range(3):
                await happen(nobody)
            await cut(database, lines)

            with pytest.raises(TooSlow):
                await next_heard(far)
    await nobody.dispose()


async def test_what_a_process_did_not_live_to_tell_is_found_by_the_others(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "LOOK_SECONDS", 0.1)
    nobody = Database.open(postgresql_url)
    async with a_process(postgresql_url) as (database, there):
        await lines_that_listen(database)
        with there.listening("cme_") as far:
            unsaid = await happen(nobody)

            assert await next_heard(far) == [unsaid]
    await nobody.dispose()


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
