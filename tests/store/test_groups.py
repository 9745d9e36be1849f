"""Actions that wait for each other share a durable commit on SQLite, and each stands or falls alone all the same."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.store import bulk, groups
from cm_graphql.store.database import Database, announce
from cm_graphql.store.endings import to_the_end
from cm_graphql.store.errors import Conflict, LockTimeout
from cm_graphql.store.groups import Group, Writers
from cm_graphql.store.inline import DRIVER
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Query, given
from cm_graphql.store.tables import accounts, contacts
from databases import Databases, Kind, chosen_kinds
from store.rows import NOW, insert

CONTACT = Query(lambda _among: select(contacts.c.id).where(contacts.c.id == given("contact")))

STAMPED = {"created_by_id": "usr_1", "created_date": NOW, "updated_by_id": "usr_1", "updated_date": NOW}

SQLITE = [kind for kind in chosen_kinds() if kind == "sqlite"]


async def add(database: Database, name: str) -> None:
    async with database.write() as connection:
        await insert(connection, contacts, id=name)
        await asyncio.sleep(0)


async def kept(database: Database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(select(contacts.c.id))).scalars())


@contextmanager
def commits(database: Database) -> Iterator[list[str]]:
    """The commits that are asked for meanwhile."""
    seen: list[str] = []

    def note(_connection: object) -> None:
        seen.append("commit")

    event.listen(database.writers.sync_engine, "commit", note)
    try:
        yield seen
    finally:
        event.remove(database.writers.sync_engine, "commit", note)


@pytest.fixture(params=SQLITE)
def path(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Path]:
    """The file of an empty, migrated SQLite database."""
    kind: Kind = request.param
    with databases.fresh(kind) as url:
        yield Path(url.removeprefix("sqlite+aiosqlite:///"))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group takes others in however slow the machine is."""
    monkeypatch.setattr(groups, "LONGEST", 60.0)


@pytest.mark.usefixtures("patient")
async def test_writers_who_wait_share_a_commit(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    names = {f"con_{i}" for i in range(40)}

    with commits(database) as seen:
        await asyncio.gather(*(add(database, name) for name in names))

    assert await kept(database) == names
    assert len(seen) <= 10
    await database.dispose()


async def test_nobody_is_answered_before_the_file_has_it(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    found: list[int] = []

    async def add_and_look(name: str) -> None:
        await add(database, name)
        with sqlite3.connect(path) as other:
            found.append(other.execute("SELECT count(*) FROM contacts WHERE id = ?", (name,)).fetchone()[0])
        other.close()

    await asyncio.gather(*(add_and_look(f"con_{i}") for i in range(20)))

    assert found == [1] * 20
    await database.dispose()


async def test_half_go_at_a_time_while_the_disk_is_quick_and_all_when_it_is_slow(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    now = [0.0]  # a clock that knows of nothing but the work told here, however slow the machine is
    disk = 0.0
    commit = Group.commit

    async def slowly(group: Group) -> None:
        sizes.append(group.members)
        now[0] += disk
        await commit(group)

    async def write_often(database: Database, writer: int) -> None:
        for number in range(12):
            async with database.write() as connection:
                await insert(connection, contacts, id=f"con_{disk}_{writer}_{number}")
                now[0] += 0.001

    monkeypatch.setattr(Group, "commit", slowly)
    monkeypatch.setattr(groups, "monotonic", lambda: now[0])
    database = Database.open(f"sqlite:///{path}")
    await asyncio.gather(*(write_often(database, writer) for writer in range(12)))
    quick = median(sizes)
    sizes.clear()
    disk = 0.1
    await asyncio.gather(*(write_often(database, writer) for writer in range(12)))

    assert 3 <= quick <= 7
    assert median(sizes) >= 10
    await database.dispose()


async def test_who_is_committed_is_told_soon_however_long_the_next_one_takes(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    assert database._queue is not None
    began: list[float] = []

    async def slow() -> None:
        async with database.write() as connection:
            began.append(time.monotonic())
            await insert(connection, contacts, id="con_slow")
            await asyncio.sleep(0.5)

    quick = asyncio.create_task(add(database, "con_quick"))
    while database._queue._committing is None:  # noqa: ASYNC110  not a moment later
        await asyncio.sleep(0)
    waiting = asyncio.create_task(slow())
    await quick
    told = time.monotonic()
    await waiting

    assert told - began[0] < 0.25
    assert await kept(database) == {"con_quick", "con_slow"}
    await database.dispose()


async def test_an_action_that_fails_takes_nobody_with_it(database: Database) -> None:
    async def fail(name: str) -> None:
        async with database.write() as connection:
            await insert(connection, contacts, id=name)
            raise ZeroDivisionError

    outcomes = await asyncio.gather(
        *((fail if i % 3 == 0 else lambda name: add(database, name))(f"con_{i}") for i in range(12)),
        return_exceptions=True,
    )

    assert [isinstance(outcome, ZeroDivisionError) for outcome in outcomes] == [i % 3 == 0 for i in range(12)]
    assert await kept(database) == {f"con_{i}" for i in range(12) if i % 3}


async def test_a_dry_run_among_others_leaves_theirs_alone(database: Database) -> None:
    async def rehearse(name: str) -> None:
        async with database.write(dry_run=True) as connection:
            await insert(connection, contacts, id=name)
            await asyncio.sleep(0.01)

    await asyncio.gather(*((rehearse if i == 5 else lambda name: add(database, name))(f"con_{i}") for i in range(12)))

    assert await kept(database) == {f"con_{i}" for i in range(12) if i != 5}


async def test_where_a_commit_fails_only_whoever_is_to_blame_is_told(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")

    async def promise(connection: AsyncConnection) -> None:
        # The reference is looked at when everything is committed, and there is no such contact.
        await connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        await insert(connection, accounts, id="acc_1", bill_to_contact_id="con_nobody")

    async def proper(name: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            await insert(connection, contacts, id=name)

        await database.transact(work)

    outcomes = await asyncio.gather(
        proper("con_1"), proper("con_2"), database.transact(promise), proper("con_3"), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), IntegrityError, type(None)]
    assert await kept(database) == {"con_1", "con_2", "con_3"}
    await database.dispose()


async def test_after_a_commit_that_failed_the_next_ones_write_as_ever(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")

    async def promise(name: str, *, long: bool) -> None:
        async with database.write(long=long) as connection:
            await connection.execute(text("PRAGMA defer_foreign_keys = ON"))
            await insert(connection, accounts, id=name, bill_to_contact_id="con_nobody")

    for number, long in enumerate((True, False, True, False)):
        with pytest.raises(IntegrityError):
            await promise(f"acc_{number}", long=long)
        await add(database, f"con_{number}")
        async with database.write(long=True) as connection:
            await insert(connection, contacts, id=f"con_{number}_long")

    assert await kept(database) == {f"con_{number}{ending}" for number in range(4) for ending in ("", "_long")}
    await database.dispose()


async def test_actions_without_sqlalchemy_share_transactions_with_those_that_use_it(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")

    async def straight(name: str) -> None:
        async with database.write() as connection:
            session = Session(connection, "sqlite")
            await bulk.insert(session, contacts, [{"id": name}], STAMPED)
            await asyncio.sleep(0)
            assert [row.id for row in await session.ask(CONTACT, contact=name)] == [name]
            if name.endswith("7"):
                raise ZeroDivisionError

    ways = (straight, lambda name: add(database, name))
    outcomes = await asyncio.gather(*(ways[i % 2 == 0](f"con_{i}") for i in range(40)), return_exceptions=True)

    failed = [f"con_{i}" for i, outcome in enumerate(outcomes) if outcome is not None]
    assert failed == ["con_7", "con_17", "con_27", "con_37"]
    assert await kept(database) == {f"con_{i}" for i in range(40)} - set(failed)
    await database.dispose()


async def test_what_was_announced_is_told_once_it_is_committed(database: Database) -> None:
    told: list[str] = []
    database.listeners.append(lambda ids: told.extend(ids))

    async def tell(name: str, *, fails: bool) -> None:
        async with database.write() as connection:
            await insert(connection, contacts, id=name)
            announce(connection, name)
            await asyncio.sleep(0)
            assert name not in told
            if fails:
                raise ZeroDivisionError
        assert name in told

    outcomes = await asyncio.gather(*(tell(f"con_{i}", fails=i == 2) for i in range(6)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes].count(ZeroDivisionError) == 1
    assert set(told) == await kept(database) == {"con_0", "con_1", "con_3", "con_4", "con_5"}


async def test_a_long_action_neither_waits_forever_nor_holds_back_what_is_done(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    order: list[str] = []

    async def short(name: str) -> None:
        await add(database, name)
        order.append(name)

    async def long() -> None:
        async with database.write(long=True) as connection:
            order.append("long begins")
            await insert(connection, contacts, id="con_long")
            await asyncio.sleep(0.2)
        order.append("long ends")

    before = [asyncio.create_task(short(f"con_before_{i}")) for i in range(3)]
    await asyncio.sleep(0)
    working = asyncio.create_task(long())
    await asyncio.sleep(0)
    after = [asyncio.create_task(short(f"con_after_{i}")) for i in range(3)]
    await asyncio.gather(*before, working, *after)

    ends = order.index("long ends")
    assert all(order.index(f"con_before_{i}") < ends for i in range(3))
    assert all(order.index(f"con_after_{i}") > order.index("long begins") for i in range(3))
    assert len(await kept(database)) == 7
    await database.dispose()


async def test_one_who_gives_up_waiting_passes_the_turn_on(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}", lock_timeout=0.2)

    async with database.write() as connection:
        await insert(connection, contacts, id="con_first")
        impatient = asyncio.create_task(add(database, "con_impatient"))
        cancelled = asyncio.create_task(add(database, "con_cancelled"))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        with pytest.raises(LockTimeout):
            await impatient
        patient = asyncio.create_task(add(database, "con_patient"))
        await asyncio.sleep(0)
    await patient

    assert await kept(database) == {"con_first", "con_patient"}
    await database.dispose()


async def test_who_gives_up_as_its_turn_comes_is_told_that_it_was_stopped(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")

    async with database.write() as connection:
        await insert(connection, contacts, id="con_first")
        stopped = asyncio.create_task(add(database, "con_stopped"))
        patient = asyncio.create_task(add(database, "con_patient"))
        await asyncio.sleep(0)
        stopped.cancel()  # the turn is passed on before it can take itself out of the line
    await asyncio.wait([stopped, patient])

    assert (stopped.cancelled(), patient.exception()) == (True, None)
    assert await kept(database) == {"con_first", "con_patient"}
    await database.dispose()


async def about_to_be_committed(database: Database, name: str) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
    """Who writes, and the commit of it, which has not begun."""
    assert database._queue is not None
    writing = asyncio.create_task(add(database, name))
    while (commit := database._queue._committing) is None:  # noqa: ASYNC110  not a moment later
        await asyncio.sleep(0)
    return writing, commit


async def test_nobody_waits_for_a_commit_that_was_stopped_before_it_began(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    writing, commit = await about_to_be_committed(database, "con_first")
    for task in (writing, commit):  # as the end of a loop does
        task.cancel()

    assert await asyncio.wait([writing], timeout=3) == ({writing}, set())
    await database.dispose()


# --- what SQLite undoes by itself -------------------------------------------------------------------------------------


async def undo_everything(database: Database, *, long: bool = False) -> None:
    """Go on as if nothing were wrong where SQLite has undone the transaction, as it does when the disk fails."""
    async with database.write(long=long) as connection:
        await insert(connection, contacts, id="con_undone")
        connection.info[DRIVER].say("ROLLBACK")


async def test_nobody_is_told_success_whose_part_was_undone_with_that_of_another(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    names = [f"con_{i}" for i in range(6)]

    outcomes = await asyncio.gather(
        *(add(database, name) for name in names[:3]),
        undo_everything(database),
        *(add(database, name) for name in names[3:]),
        return_exceptions=True,
    )

    told = [outcome is None for outcome in outcomes]
    assert told[3] is False
    assert await kept(database) == {name for name, fine in zip(names, told[:3] + told[4:], strict=True) if fine}
    await add(database, "con_after")
    await database.dispose()


@pytest.mark.parametrize("long", [False, True])
async def test_who_goes_on_without_a_transaction_is_not_told_success(path: Path, *, long: bool) -> None:
    database = Database.open(f"sqlite:///{path}")

    with pytest.raises((sqlite3.OperationalError, OperationalError)):
        await undo_everything(database, long=long)

    assert await kept(database) == set()
    await add(database, "con_after")
    await database.dispose()


@pytest.mark.usefixtures("patient")
async def test_the_others_are_told_also_where_the_one_that_undid_them_is_stopped_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disconnect = Writers._disconnect
    closing = asyncio.Event()

    async def slowly(writers: Writers) -> None:
        closing.set()
        await asyncio.sleep(0.05)
        await disconnect(writers)

    database = Database.open(f"sqlite:///{path}")
    first = asyncio.create_task(add(database, "con_first"))
    breaking = asyncio.create_task(undo_everything(database))
    monkeypatch.setattr(Writers, "_disconnect", slowly)
    await closing.wait()
    breaking.cancel()

    done, _ = await asyncio.wait([first, breaking], timeout=3)
    assert done == {first, breaking}
    assert isinstance(first.exception(), Conflict)
    await database.dispose()


@pytest.mark.parametrize("others", [0, 1])
async def test_who_gives_up_before_a_long_action_begins_lets_the_commit_before_it_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    commit = Group.commit
    committing = asyncio.Event()

    async def slowly(group: Group) -> None:
        committing.set()
        await asyncio.sleep(0.05)
        await commit(group)

    async def long() -> None:
        async with database.write(long=True):
            pass

    monkeypatch.setattr(Group, "commit", slowly)
    database = Database.open(f"sqlite:///{path}")
    first = asyncio.create_task(add(database, "con_first"))
    stopped = asyncio.create_task(long())
    after = [asyncio.create_task(add(database, f"con_{number}")) for number in range(others)]
    await committing.wait()
    stopped.cancel()
    done, _ = await asyncio.wait([first, stopped, *after], timeout=3)

    assert done == {first, stopped, *after}
    assert [task.exception() for task in (first, *after)] == [None] * (1 + others)
    assert stopped.cancelled()
    assert await kept(database) == {"con_first"} | {f"con_{number}" for number in range(others)}
    await database.dispose()


async def test_a_database_that_is_closed_lets_whoever_writes_come_to_an_end(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    halfway = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            session = Session(connection, "sqlite")
            await bulk.insert(session, contacts, [{"id": "con_one"}], STAMPED)
            for _ in range(20):
                halfway.set()
                await asyncio.sleep(0.001)
            await bulk.insert(session, contacts, [{"id": "con_two"}], STAMPED)

    writing = asyncio.create_task(write())
    await halfway.wait()
    await database.dispose()
    await asyncio.wait([writing])

    assert writing.exception() is None
    assert await kept(database) == {"con_one", "con_two"}
    await database.dispose()


async def test_of_who_still_writes_when_the_database_is_closed_all_the_same_nothing_is_kept(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}", lock_timeout=0.1)
    began = asyncio.Event()

    async def write() -> None:
        async with database.write(long=True) as connection:
            await insert(connection, contacts, id="con_one")
            began.set()
            driver = connection.info[DRIVER]
            await driver._in_thread(time.sleep, 0.4)
            driver.say(
                "INSERT INTO contacts (id, created_by_id, created_date, updated_by_id, updated_date) "
                "SELECT 'con_two', created_by_id, created_date, updated_by_id, updated_date FROM contacts"
            )

    writing = asyncio.create_task(write())
    await began.wait()
    await database.dispose()
    await asyncio.wait([writing])

    assert writing.exception() is not None
    assert await kept(database) == set()
    await database.dispose()


@pytest.mark.parametrize("long", [False, True])
async def test_who_writes_while_the_database_is_closed_is_told_what_is_kept(path: Path, long: bool) -> None:
    for moments in range(8):
        database = Database.open(f"sqlite:///{path}", lock_timeout=0.05)
        began = asyncio.Event()

        async def write(
            name: str, database: Database = database, began: asyncio.Event = began, moments: int = moments
        ) -> None:
            async with database.write(long=long) as connection:
                await insert(connection, contacts, id=name)
                began.set()
                await asyncio.sleep(0.01)
                time.sleep(0.06)  # noqa: ASYNC251  who waits for the turn gives up before the loop goes on
                for _ in range(moments):
                    await asyncio.sleep(0)

        writing = {f"con_{moments}": asyncio.create_task(write(f"con_{moments}"))}
        await began.wait()
        for number in range(3):
            writing[f"con_{moments}_{number}"] = asyncio.create_task(add(database, f"con_{moments}_{number}"))
        await database.dispose()
        await asyncio.wait(writing.values(), timeout=3)

        others = [task.exception() for name, task in writing.items() if name != f"con_{moments}"]
        assert all(error is None or isinstance(error, LockTimeout) for error in others)
        told = {name for name, task in writing.items() if task.exception() is None}
        assert {name for name in await kept(database) if name in writing} == told, moments
        await database.dispose()


async def test_the_turn_is_passed_on_where_a_commit_is_stopped_before_it_begins(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    writing, commit = await about_to_be_committed(database, "con_first")
    commit.cancel()
    await asyncio.wait([writing])

    await asyncio.wait_for(add(database, "con_next"), 3)
    assert await kept(database) == {"con_next"}
    await database.dispose()


async def test_however_many_give_up_at_once_the_next_one_has_its_turn(path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    done = asyncio.Event()

    async def first() -> None:
        async with database.write() as connection:
            await insert(connection, contacts, id="con_first")
            await done.wait()

    writing = asyncio.create_task(first())
    waiting = [asyncio.create_task(add(database, f"con_{number}")) for number in range(2_000)]
    await asyncio.sleep(0.05)
    next_one = asyncio.create_task(add(database, "con_next"))
    await asyncio.sleep(0)
    done.set()
    for task in waiting:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(writing, next_one), 3)
    await asyncio.wait(waiting)

    assert await kept(database) == {"con_first", "con_next"}
    await database.dispose()


# --- a power cut ------------------------------------------------------------------------------------------------------


async def write_until_killed(url: str) -> None:
    """Make accounts with their contacts from sixteen tasks, and print each one's name when it is answered."""
    database = Database.open(url)

    async def write(writer: int) -> None:
        for number in range(100_000):
            name = f"{writer}_{number}"
            async with database.write() as connection:
                await insert(connection, contacts, id=f"con_{name}")
                await asyncio.sleep(0)
                await insert(connection, accounts, id=f"acc_{name}", number=name, bill_to_contact_id=f"con_{name}")
            print(name, flush=True)

    await asyncio.gather(*(write(writer) for writer in range(16)))


def test_of_a_killed_process_everything_answered_is_there_and_nothing_is_half(database_url: str) -> None:
    writing = subprocess.Popen(
        [sys.executable, __file__, database_url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert writing.stdout is not None
    answered = [writing.stdout.readline() for _ in range(50)]
    time.sleep(0.3)
    writing.send_signal(signal.SIGKILL)
    answered.extend(line for line in writing.stdout if line.endswith("\n"))
    writing.wait()

    found, alone = asyncio.run(accounts_and_lonely_contacts(database_url))
    assert len(answered) >= 50
    assert {line.strip() for line in answered} <= found
    assert alone == 0


async def accounts_and_lonely_contacts(url: str) -> tuple[set[str], int]:
    """The numbers of all accounts, and how many contacts have none."""
    database = Database.open(url)
    async with database.read() as connection:
        found = set((await connection.execute(select(accounts.c.number))).scalars())
        alone = await connection.scalar(
            select(func.count())
            .select_from(contacts)
            .where(contacts.c.id.not_in(select(accounts.c.bill_to_contact_id)))
        )
    await database.dispose()
    return found, alone or 0


def main(arguments: Sequence[str]) -> None:
    """Write until killed."""
    asyncio.run(write_until_killed(arguments[1]))


if __name__ == "__main__":
    main(sys.argv)


async def test_who_was_stopped_is_told_so_also_where_the_commit_fails() -> None:
    async def commit() -> None:
        await asyncio.sleep(0.02)
        raise LockTimeout("another action has been writing for too long")

    task = asyncio.create_task(to_the_end(commit()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    with pytest.raises(LockTimeout):
        await to_the_end(commit())
