"""Transactions keep their promises on both databases: nothing lost, nothing half done, nobody waits forever."""

import asyncio
import itertools
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import func, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.store import checkpoints, inline
from cm_graphql.store.database import Database
from cm_graphql.store.direct import ReadingFailed, Work, open_direct
from cm_graphql.store.errors import Conflict, Contention, LockTimeout, StatementTimeout
from cm_graphql.store.session import CURRENCY, Session
from cm_graphql.store.tables import contacts, sequences
from databases import Databases, chosen_kinds
from store.rows import insert

POSTGRESQL = [kind for kind in chosen_kinds() if kind == "postgresql"]
MEMOS = sequences.c.document_type == "CREDIT_MEMO"


async def _take_number(connection: AsyncConnection) -> int:
    """Read, think, write: what loses updates when two do it at once."""
    number = (await connection.execute(select(sequences.c.next_number).where(MEMOS).with_for_update())).scalar_one()
    await asyncio.sleep(0)
    await connection.execute(update(sequences).where(MEMOS).values(next_number=number + 1))
    return int(number)


async def _next_number(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(sequences.c.next_number).where(MEMOS))).scalar_one())


async def test_of_a_hundred_increments_at_once_none_is_lost(database: Database) -> None:
    async def increment() -> int:
        async with database.write() as connection:
            return await _take_number(connection)

    taken = await asyncio.gather(*(increment() for _ in range(100)))

    assert sorted(taken) == list(range(1, 101))
    assert await _next_number(database) == 101


async def test_eight_writers_with_pools_of_their_own_lose_nothing(database_url: str) -> None:
    writers = [Database.open(database_url, lock_timeout=30) for _ in range(8)]

    async def increment_often(writer: Database) -> None:
        for _ in range(10):
            await writer.transact(_take_number)

    await asyncio.gather(*(increment_often(writer) for writer in writers))

    assert await _next_number(writers[0]) == 81
    for writer in writers:
        await writer.dispose()


async def test_an_exception_leaves_nothing_behind(database: Database) -> None:
    async def fail_late(connection: AsyncConnection) -> None:
        await insert(connection, contacts)
        await _take_number(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.transact(fail_late)

    assert await _next_number(database) == 1
    async with database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(contacts))).scalar_one() == 0


async def test_a_dry_run_leaves_nothing_behind(database: Database) -> None:
    assert await database.transact(_take_number, dry_run=True) == 1
    assert await database.transact(_take_number, dry_run=True) == 1

    assert await _next_number(database) == 1


async def test_a_cancelled_writer_leaves_nothing_behind_and_gives_up_its_turn(database: Database) -> None:
    writing = asyncio.Event()

    async def write_forever() -> None:
        async with database.write() as connection:
            await _take_number(connection)
            writing.set()
            await asyncio.sleep(3600)

    writer = asyncio.create_task(write_forever())
    await writing.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer

    assert await database.transact(_take_number) == 1


async def test_what_is_committed_after_somebody_was_stopped_while_beginning_is_committed(database_url: str) -> None:
    database, other = Database.open(database_url, pool_size=1), Database.open(database_url)

    async def take_a_number() -> None:
        async with database.write() as connection:
            await Session(connection, database.dialect).ask(CURRENCY, code="USD")  # begins straight on the driver
            await _take_number(connection)

    for moments in range(24):
        await take_a_number()  # on the only connection that there is
        stopped = asyncio.create_task(take_a_number())
        for _ in range(moments):
            await asyncio.sleep(0)
        stopped.cancel()
        await asyncio.wait([stopped])
        before = await _next_number(other)
        await take_a_number()
        assert await _next_number(other) == before + 1, moments
    await database.dispose()
    await other.dispose()


@pytest.mark.parametrize("kind", POSTGRESQL)
async def test_a_transaction_that_cannot_be_undone_gives_up_its_locks(databases: Databases, kind: str) -> None:
    assert kind == "postgresql"
    with databases.fresh("postgresql") as url:
        database = Database.open(url, lock_timeout=1)
        reading: list[asyncio.Task[object]] = []

        async def fail_while_something_reads() -> None:
            async with database.write() as connection:
                await _take_number(connection)
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                reading.append(asyncio.ensure_future(driver.fetch("SELECT pg_sleep(0.3)")))
                await asyncio.sleep(0.1)
                raise RuntimeError

        with pytest.raises(DBAPIError, match="another operation is in progress"):
            await fail_while_something_reads()

        async with database.write() as connection:
            assert await _take_number(connection) == 1
        await asyncio.gather(*reading, return_exceptions=True)
        await database.dispose()


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    statement = select(sequences.c.next_number).where(MEMOS)
    async with database.read() as connection:
        before = (await connection.execute(statement)).scalar_one()
        await database.transact(_take_number)
        after = (await connection.execute(statement)).scalar_one()

    assert (before, after) == (1, 1)
    assert await _next_number(database) == 2


async def test_a_read_refuses_to_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"(?i)read.?only"):
        async with database.read() as connection:
            await _take_number(connection)

    assert await database.transact(_take_number) == 1


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.write() as connection:
        await _take_number(connection)

        seen = await asyncio.gather(*(_next_number(database) for _ in range(5)))

    assert seen == [1] * 5


async def test_a_violated_constraint_stays_an_integrity_error(database: Database) -> None:
    with pytest.raises(IntegrityError, match="ck_sequences_next_number"):
        async with database.write() as connection:
            await connection.execute(update(sequences).values(next_number=0))


async def test_a_lock_that_is_not_to_be_had_is_a_typed_error(database_url: str) -> None:
    holder = Database.open(database_url)
    impatient = Database.open(database_url, lock_timeout=0.1)

    async with holder.write() as connection:
        await _take_number(connection)
        with pytest.raises(LockTimeout):
            await impatient.transact(_take_number)

    assert await impatient.transact(_take_number) == 2
    await holder.dispose()
    await impatient.dispose()


async def test_a_writer_of_the_same_pool_waits_no_longer_than_the_timeout(database_url: str) -> None:
    database = Database.open(database_url, lock_timeout=0.1)

    async with database.write() as connection:
        await _take_number(connection)
        with pytest.raises(LockTimeout):
            await database.transact(_take_number)

    await database.dispose()


async def test_an_exhausted_pool_is_contention(database_url: str) -> None:
    database = Database.open(database_url, pool_size=1, lock_timeout=0.1)

    async with database.read():
        with pytest.raises(Contention, match="pool"):
            await _next_number(database)

    await database.dispose()


async def test_a_conflict_is_repeated_a_few_times_and_then_given_back(database: Database) -> None:
    tries = 0

    async def work(_connection: AsyncConnection) -> None:
        nonlocal tries
        tries += 1
        raise Conflict("again and again")

    with pytest.raises(Conflict):
        await database.transact(work)

    assert tries == 4


@pytest.mark.parametrize("kind", POSTGRESQL)
async def test_a_deadlock_is_broken_and_repeated(databases: Databases, kind: str) -> None:
    assert kind == "postgresql"
    with databases.fresh("postgresql") as url:
        database = Database.open(url)
        met = asyncio.Barrier(2)
        tries: list[str] = []

        def crossing(first: str, second: str) -> Callable[[AsyncConnection], Awaitable[None]]:
            async def work(connection: AsyncConnection) -> None:
                tries.append(first)
                for document in (first, second):
                    chosen = sequences.c.document_type == document
                    await connection.execute(
                        update(sequences).where(chosen).values(next_number=sequences.c.next_number + 1)
                    )
                    if len(tries) <= 2 and document == first:
                        await met.wait()

            return work

        await asyncio.gather(
            database.transact(crossing("INVOICE", "CREDIT_MEMO")), database.transact(crossing("CREDIT_MEMO", "INVOICE"))
        )

        assert len(tries) == 3
        assert await _next_number(database) == 3
        await database.dispose()


@pytest.mark.parametrize("kind", POSTGRESQL)
async def test_a_connection_that_the_server_closed_is_replaced(databases: Databases, kind: str) -> None:
    assert kind == "postgresql"
    with databases.fresh("postgresql") as url:
        database, executioner = Database.open(url, pool_size=1), Database.open(url)
        async with database.read() as connection:
            backend = (await connection.execute(select(func.pg_backend_pid()))).scalar_one()
        async with executioner.write() as connection:
            await connection.execute(select(func.pg_terminate_backend(backend, 5000)))
        await asyncio.sleep(0.05)

        assert await _next_number(database) == 1
        await database.dispose()
        await executioner.dispose()


@pytest.mark.parametrize("kind", POSTGRESQL)
async def test_a_reading_that_loses_its_connection_says_so_whenever_that_is(databases: Databases, kind: str) -> None:
    assert kind == "postgresql"

    def work() -> Work:
        return (yield "SELECT pg_sleep(0.005)", ())

    with databases.fresh("postgresql") as url:
        database = Database.open(url)
        direct = open_direct(database)
        others = "application_name = 'cm-graphql-plans' AND datname = current_database()"
        told: list[object] = []
        for _ in range(20):
            await asyncio.gather(*(direct.run(work(), short=True) for _ in range(10)), return_exceptions=True)
            async with database.read() as connection:
                await connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
            for _ in range(5):
                reading = [direct.run(work(), short=True, alone=True) for _ in range(3)]
                told += await asyncio.gather(*reading, return_exceptions=True)

        assert {type(one) for one in told} <= {list, ReadingFailed}
        await direct.close()
        await database.dispose()


@asynccontextmanager
async def a_way_to(url: str, is_open: asyncio.Event) -> AsyncIterator[str]:
    """The URL of a database at the end of a way on which nothing moves unless it is open."""
    there = make_url(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await is_open.wait()
            writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(there.host, there.port)
        await asyncio.gather(carry(reader, questions), carry(answers, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield there.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    finally:
        is_open.set()
        server.close()


@pytest.mark.parametrize("kind", POSTGRESQL)
async def test_a_database_that_answers_no_more_keeps_nobody_from_leaving(
    databases: Databases, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind == "postgresql"
    for place in ("connections", "database"):
        monkeypatch.setattr(f"cm_graphql.store.{place}.GOODBYE", 0.2)
    is_open = asyncio.Event()
    is_open.set()
    with databases.fresh("postgresql") as url:
        async with a_way_to(url, is_open) as way:
            database = Database.open(way)
            assert database.straight is not None
            assert await _next_number(database) == 1
            async with database.straight.one() as connection:
                await connection.fetch("SELECT 1")
            is_open.clear()
            await asyncio.wait_for(database.dispose(), 5)


@pytest.mark.parametrize("kind", POSTGRESQL)
async def test_however_many_statements_move_money_a_connection_keeps_two_hundred(
    databases: Databases, kind: str
) -> None:
    assert kind == "postgresql"
    with databases.fresh("postgresql") as url:
        database = Database.open(url, pool_size=1)
        assert database.straight is not None
        async with database.straight.one() as connection:
            for number in range(250):
                await connection.fetch(f"SELECT {number}")
            kept = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements")
        await database.dispose()

    assert kept == 200


@pytest.mark.parametrize("kind", POSTGRESQL)
@pytest.mark.parametrize("prepared", [True, False])
async def test_limits_hold_with_and_without_prepared_statements(
    databases: Databases, kind: str, prepared: bool
) -> None:
    assert kind == "postgresql"
    with databases.fresh("postgresql") as url:
        database = Database.open(url, lock_timeout=1.5, statement_timeout=0.2, prepared_statements=prepared)
        async with database.write() as connection:
            assert (await connection.execute(text("SHOW lock_timeout"))).scalar_one() == "1500ms"
        with pytest.raises(StatementTimeout):
            async with database.read() as connection:
                await connection.execute(select(func.pg_sleep(5)))
        async with database.read() as connection:
            names = (await connection.execute(text("SELECT name FROM pg_prepared_statements"))).scalars().all()
        # Behind a pooler the server's names are shared by clients, so each must be nobody else's.
        assert names
        assert all(name.startswith("__cm_graphql_") for name in names) is not prepared
        await database.dispose()


@pytest.mark.parametrize("kind", POSTGRESQL)
@pytest.mark.parametrize("prepared", [True, False])
async def test_a_process_that_freezes_in_a_transaction_does_not_keep_its_locks(
    databases: Databases, kind: str, prepared: bool
) -> None:
    assert kind == "postgresql"
    with databases.fresh("postgresql") as url:
        frozen = Database.open(url, statement_timeout=0.25, prepared_statements=prepared)
        other = Database.open(url, lock_timeout=10)

        async def freeze() -> None:
            async with frozen.write() as connection:
                await _take_number(connection)
                assert await other.transact(_take_number) == 1  # which waits until the frozen one is undone

        with pytest.raises(DBAPIError):
            await freeze()

        assert await _next_number(other) == 2
        assert await frozen.transact(_take_number) == 2
        await frozen.dispose()
        await other.dispose()


async def test_sqlite_is_told_to_keep_money_safe(database: Database) -> None:
    async with database.read() as reader, database.write() as writer:
        for connection in (reader, writer):
            if database.dialect == "sqlite":
                pragmas = {
                    name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                }
                assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
            else:
                assert (await connection.execute(text("SHOW lock_timeout"))).scalar_one() == "5s"
                assert (await connection.execute(text("SHOW timezone"))).scalar_one() == "UTC"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_in_memory_is_refused_with_advice(url: str) -> None:
    with pytest.raises(ValueError, match="name a file"):
        Database.open(url)


@pytest.mark.parametrize("url", ["mysql://root:hunter2@host/db", "nonsense hunter2", ""])
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as refused:
        Database.open(url)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://u:p@h/db", "postgres://u:p@h/db", "postgresql+asyncpg://u:p@h/db"])
def test_every_spelling_of_postgresql_means_asyncpg(url: str) -> None:
    assert Database.open(url).writers.driver == "asyncpg"


@pytest.mark.parametrize("how", ["read", "write", "alone"])
async def test_who_is_stopped_twice_while_connecting_is_told_that_they_were_stopped(
    database_url: str, how: Literal["read", "write", "alone"]
) -> None:
    async def look(database: Database) -> None:
        opened = database.read() if how == "read" else database.write(dry_run=how == "alone")
        async with opened as connection:
            await connection.execute(select(1))

    async def let_pass(moments: int) -> None:
        for _ in range(moments):
            await asyncio.sleep(0)
            time.sleep(0.0005)  # noqa: ASYNC251  a thread comes to its end, and the loop has not heard of it

    for before, between in itertools.product(range(1, 12), range(5)):
        database = Database.open(database_url)
        looking = asyncio.create_task(look(database))
        await let_pass(before)
        looking.cancel()
        await let_pass(between)
        looking.cancel()
        await asyncio.wait([looking])

        assert looking.cancelled() or looking.exception() is None, (before, between)
        await look(database)  # whoever comes next finds everything as it should be
        await database.dispose()


async def test_who_is_stopped_with_a_cursor_open_is_told_that_they_were_stopped(database_url: str) -> None:
    database = Database.open(database_url)

    async def write(name: str) -> None:
        async with database.write(long=True) as connection:
            await insert(connection, contacts, id=name)
            async with connection.stream(select(contacts.c.id)) as rows:
                async for _ in rows:
                    await connection.execute(select(1))

    for number in range(80):
        writing = asyncio.create_task(write(f"con_{number}"))
        await asyncio.sleep(number % 20 * 0.0003)
        writing.cancel()
        await asyncio.wait([writing])
        assert writing.cancelled() or writing.exception() is None, writing.exception()
    await database.dispose()


@pytest.mark.skipif("sqlite" not in chosen_kinds(), reason="only SQLite's connections have threads")
@pytest.mark.parametrize("how", ["close", "stop"])
async def test_nobody_reaches_a_file_that_its_thread_is_about_to_close(tmp_path: Path, how: str) -> None:
    driver = inline.connect(str(tmp_path / "file.db"))
    await driver
    busy = threading.Event()
    before = asyncio.create_task(driver._in_thread(busy.wait, 5))
    await asyncio.sleep(0)
    closing = asyncio.create_task(driver.close()) if how == "close" else driver.stop()
    await asyncio.sleep(0)

    with pytest.raises(sqlite3.OperationalError, match="no active connection"):
        driver.say("SELECT 1")
    with pytest.raises(sqlite3.OperationalError, match="no active connection"):
        driver.look("SELECT 1", ())
    for wait in (driver.ask([]), driver.write([]), driver.begin(), driver.commit(), driver.execute("SELECT 1")):
        with pytest.raises(sqlite3.OperationalError, match="no active connection"):
            await wait
    busy.set()
    assert await before
    assert closing is not None
    await closing


@pytest.mark.skipif("sqlite" not in chosen_kinds(), reason="only SQLite's connections have threads")
async def test_where_no_thread_can_be_had_only_who_needs_one_is_told(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_work: object) -> None:
        raise RuntimeError("can't start new thread")

    with databases.fresh("sqlite") as url:
        database = Database.open(url)
        direct = open_direct(database)
        monkeypatch.setattr(checkpoints, "AFTER", 1)
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
        for number in range(4):
            async with database.write(long=number % 2 == 1) as connection:
                await insert(connection, contacts, id=f"con_{number}")
        with pytest.raises(RuntimeError):
            await direct.run(look_once(), short=False)

        assert direct.usage()[0] == 0
        await direct.close()
        await database.dispose()


def look_once() -> Work:
    rows = yield "SELECT 1", ()
    return rows


@pytest.mark.skipif("sqlite" not in chosen_kinds(), reason="only SQLite's connections have threads")
@pytest.mark.parametrize("steps", range(8))
def test_a_connection_that_nobody_waits_for_any_more_leaves_no_thread_behind(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)

    async def look(database: Database) -> None:
        async with database.read() as connection:
            await connection.execute(select(1))

    async def stop_while_connecting(url: str) -> None:
        database = Database.open(url)
        looking = asyncio.create_task(look(database))
        for _ in range(steps):
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.wait([looking])

    with databases.fresh("sqlite") as url:
        for _ in range(5):
            asyncio.run(stop_while_connecting(url))

    for thread in threading.enumerate():
        if "connection_worker" in thread.name:
            thread.join(timeout=5)
    assert failures == []
