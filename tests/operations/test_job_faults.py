"""Jobs while the database is locked, full or cut off, while they are called off, and when they kill their workers."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text, update

import postgres
from auditing import audit
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import CancelCreditMemoJob
from cm_graphql.domain.enums import JobOperation, JobStatus
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.jobs.worker import MOST_ATTEMPTS, Worker
from cm_graphql.operations import jobs, settlement
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.jobs import Run, Runner
from cm_graphql.operations.ports import SystemClock, new_id
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import jobs as store
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.session import Session
from dying_worker import die_after_a_job
from jobbing import QUICK, applying_later, ask, money, until, working
from jobbing import Gate as Held
from large import a_large_memo
from operating import TODAY, Desk, a_desk

Work = Callable[[Unit], Awaitable[Mapping[str, Any] | None]]


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk that waits for nobody long."""
    database = Database.open(database_url, lock_timeout=0.3)
    try:
        opened = Desk(Gate(database, SystemClock(TODAY)))
        await opened.new_account()
        yield opened
    finally:
        await database.dispose()


def before_the_commit(act: Callable[[int], Awaitable[None]]) -> Runner:
    """A runner that does applications, and something else when all is written and nothing committed.

    What it does is told how often it was done.
    """
    times = 0

    async def run_apply(run: Run) -> None:
        finish = run.finish

        async def late(work: Work) -> None:
            async def then_act(unit: Unit) -> Mapping[str, Any] | None:
                nonlocal times
                outcome = await work(unit)
                times += 1
                await act(times)
                return outcome

            await finish(then_act)

        run.finish = late  # type: ignore[method-assign]  # to act where only chance would
        await settlement.run_apply(run)

    return run_apply


# --- the database -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Somebody of another process keeps everybody from writing."""
    other = Database.open(database_url)
    try:
        async with other.write() as connection:
            if other.dialect == "postgresql":
                await connection.execute(text("LOCK TABLE credit_memo_items IN EXCLUSIVE MODE"))
            yield
    finally:
        await other.dispose()


async def test_a_job_waits_for_a_database_that_is_locked_for_long(desk: Desk, database_url: str) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    held = Held(settlement.run_apply)
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))

    async with working(desk, held):
        await held.reached.wait()
        async with locked(database_url):
            held.open.set()
            await asyncio.sleep(1.5)  # several times longer than anybody waits for a lock
            assert (await desk.row(t.credit_memos, id=memo)).applied_amount == 0
        row = await until(desk, job)

    assert (row.status, row.error) == (JobStatus.PROCESSED, None)
    assert row.attempts > 1
    await audit(desk.database)


async def test_a_job_waits_for_room_on_a_full_disk(desk: Desk) -> None:
    if desk.database.dialect != "sqlite":
        pytest.skip("a PostgreSQL that runs out of room cannot be had without a file system of its own")
    large = await a_large_memo(desk, 2_000)
    await desk.set(application_rule="FIFO")
    job = await ask(desk, large.later())

    async def pages(most: str) -> None:
        async with desk.database.write() as connection:
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")

    async with desk.database.read() as connection:
        used = await connection.scalar(text("PRAGMA page_count"))
    await pages(str(used))
    async with working(desk):
        async with asyncio.timeout(30):
            while (await desk.row(t.credit_memo_jobs, id=job)).attempts < 3:  # noqa: ASYNC110  rows tell nobody
                await asyncio.sleep(0.02)
        assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == 0
        await pages("1073741823")
        row = await until(desk, job)

    assert row.status is JobStatus.PROCESSED
    assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == large.applied
    await audit(desk.database)


async def test_a_job_survives_the_loss_of_all_connections_before_its_commit(desk: Desk, database_url: str) -> None:
    if desk.database.dialect != "postgresql":
        pytest.skip("on SQLite there is no connection to lose")
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")

    done = asyncio.Event()

    async def cut(times: int) -> None:
        if times == 1:
            other = await asyncpg.connect(database_url.replace("+asyncpg", ""))
            mine = "datname = current_database() AND pid <> pg_backend_pid()"
            await other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")
            await other.close()
            done.set()

    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with working(desk, before_the_commit(cut)):
        await done.wait()
        await asyncio.sleep(0.5)  # this test looks through the same pool
        row = await until(desk, job)

    assert (row.status, row.error) == (JobStatus.PROCESSED, None)
    assert row.attempts > 1
    assert len(await desk.rows(t.credit_memo_applications)) == 1
    await audit(desk.database)


@pytest.mark.parametrize("what", ["claim", "beat"])
async def test_a_worker_that_freezes_while_it_writes_of_its_job_is_replaced_all_the_same(
    desk: Desk, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if desk.database.dialect != "postgresql":
        pytest.skip("on SQLite there is nobody who could replace it")
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    frozen = asyncio.Event()
    write = getattr(store, what)

    async def freeze(*given: Any) -> None:
        monkeypatch.setattr(store, what, write)
        assert await write(*given)
        frozen.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store, what, freeze)
    pace = replace(QUICK, lease=0.3)
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with working(desk, Held(settlement.run_apply), pace):  # which does not get on by itself
        await frozen.wait()
        async with working(desk):
            row = await until(desk, job)

    assert (row.status, row.error) == (JobStatus.PROCESSED, None)
    await audit(desk.database)


# --- a database that crashes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before it computes", "before its commit"])
async def test_a_job_survives_a_crash_of_the_database(mortal_server: tuple[str, Path], moment: str) -> None:
    url, data = mortal_server
    crashed = asyncio.Event()

    async def crash(times: int = 1) -> None:
        if times == 1:
            await asyncio.to_thread(postgres.crash, data)
            crashed.set()

    async with a_desk(url) as desk, asyncio.timeout(60):
        memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00", invoice_number=moment.replace(" ", "-"))
        job = await ask(desk, applying_later(memo, (invoice, "20.00")))
        held = Held(settlement.run_apply)
        async with working(desk, held if moment == "before it computes" else before_the_commit(crash)):
            if moment == "before it computes":
                await held.reached.wait()
                await crash()
                held.open.set()
            await crashed.wait()
            await asyncio.sleep(0.5)  # this test looks through the same pool
            row = await until(desk, job)

        assert (row.status, row.error) == (JobStatus.PROCESSED, None)
        assert len(await desk.rows(t.credit_memo_applications, credit_memo_id=memo)) == 1
        assert (await desk.memo(memo)).applied == money("20.00")
        await audit(desk.database)


async def test_a_worker_killed_after_its_commit_has_done_its_job_once(desk: Desk, database_url: str) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))

    assert await die_after_a_job(database_url) == -signal.SIGKILL
    async with working(desk):
        row = await until(desk, job)
        await asyncio.sleep(10 * QUICK.poll)  # nobody takes it for undone

    assert (row.status, row.error, row.attempts) == (JobStatus.PROCESSED, None, 1)
    assert len(await desk.rows(t.credit_memo_applications)) == 1
    await audit(desk.database)


# --- calling off ------------------------------------------------------------------------------------------------------


async def test_calling_off_a_job_that_is_about_to_commit_undoes_it_or_is_refused(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    refused: list[ErrorCode] = []

    async def call_off(_times: int) -> None:
        answer = await desk.ask(jobs.cancel, CancelCreditMemoJob(id=Key(job)))
        refused.extend(fault.code for fault in answer.faults)

    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with working(desk, before_the_commit(call_off)):
        row = await until(desk, job)

    if desk.database.dialect == "postgresql":
        assert (refused, row.status) == ([], JobStatus.CANCELED)
        assert (await desk.memo(memo)).applied == 0
    else:  # the job's own transaction keeps everybody from writing
        assert (refused, row.status) == ([ErrorCode.LOCK_CONTENTION], JobStatus.PROCESSED)
        assert (await desk.memo(memo)).applied == money("20.00")
    await audit(desk.database)


async def a_mail(desk: Desk, memo: str) -> str:
    """A job that sends mail."""
    job = new_id("cmj")
    async with desk.database.write() as connection:
        await store.add(
            Session(connection, desk.database.dialect),
            job_id=job,
            operation=JobOperation.EMAIL_CREDIT_MEMO,
            memo_id=memo,
            given={},
            by="usr_1",
            at=desk.gate.clock.now(),
            request_id=None,
        )
    return job


async def test_mail_is_called_off_while_it_waits_and_while_it_is_worked_at(desk: Desk) -> None:
    memo = await desk.posted("50.00")
    waiting = await a_mail(desk, memo)
    await desk.do(jobs.cancel, CancelCreditMemoJob(id=Key(waiting)))
    held = Held(settlement.run_apply)
    worker = Worker(desk.gate, {JobOperation.EMAIL_CREDIT_MEMO: held}, QUICK)
    job = await a_mail(desk, memo)
    worker.start()
    await held.reached.wait()

    await desk.do(jobs.cancel, CancelCreditMemoJob(id=Key(job)))

    assert (await until(desk, job)).status is JobStatus.CANCELED
    assert (await until(desk, waiting)).attempts == 0
    await worker.stop()


async def test_mail_is_called_off_by_those_who_may_send_it(desk: Desk) -> None:
    job = await a_mail(desk, await desk.posted("50.00"))

    desk.viewer = Viewer("usr_1", scopes=frozenset({"credit_memos:read", "credit_memos:apply"}))
    with pytest.raises(Exception, match="credit_memos:email"):
        await desk.ask(jobs.cancel, CancelCreditMemoJob(id=Key(job)))

    assert (await desk.row(t.credit_memo_jobs, id=job)).status is JobStatus.PENDING


# --- targets that change, and jobs that kill --------------------------------------------------------------------------


async def test_a_job_whose_invoice_was_paid_meanwhile_fails_and_loses_nothing(desk: Desk) -> None:
    memo, other, invoice = await desk.posted("50.00"), await desk.posted("50.00"), await desk.invoice("20.00")
    held = Held(settlement.run_apply)
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))

    async with working(desk, held):
        await held.reached.wait()
        await desk.apply_to(other, invoice, "15.00")
        held.open.set()
        row = await until(desk, job)

    assert row.status is JobStatus.ERROR
    assert row.error.startswith("AMOUNT_EXCEEDS_BALANCE: ")
    assert (await desk.memo(memo)).applied == 0
    assert (await desk.row(t.invoices, id=invoice)).balance == money("5.00")
    await desk.apply_to(memo, invoice, "5.00")  # the memo is free again
    await audit(desk.database)


@pytest.mark.parametrize("attempts", [MOST_ATTEMPTS - 1, MOST_ATTEMPTS])
async def test_a_job_that_loses_worker_after_worker_is_given_up_in_the_end(desk: Desk, attempts: int) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with desk.database.write() as connection:
        await connection.execute(
            update(t.credit_memo_jobs).values(
                status=JobStatus.PROCESSING,
                worker_id="dead",
                attempts=attempts,
                lease_until=desk.gate.clock.now() - timedelta(seconds=1),
            )
        )

    async with working(desk):
        row = await until(desk, job)

    if attempts < MOST_ATTEMPTS:
        assert row.status is JobStatus.PROCESSED
    else:
        assert row.status is JobStatus.ERROR
        assert row.error == f"INTERNAL_ERROR: An unexpected error occurred; nothing was changed. Job {job}."
        assert (await desk.memo(memo)).applied == 0
