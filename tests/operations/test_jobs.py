"""Jobs on the real store: asked for with a request, done once and wholly by whichever worker lives, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import UnpostCreditMemo
from cm_graphql.domain.commands.settlement import (
    CancelCreditMemoJob,
)
from cm_graphql.domain.enums import JobStatus
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.jobs.runners import RUNNERS
from cm_graphql.jobs.worker import Pace
from cm_graphql.operations import jobs, lifecycle, settlement
from cm_graphql.operations.jobs import Run, TryLater
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import jobs as store
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session
from jobbing import Gate, applying_later, ask, done, money, unapplying_later, until, working
from operating import TODAY, Desk

# --- what a job does --------------------------------------------------------------------------------------------------


async def test_a_job_applies_a_memo_to_invoices_as_it_would_have_been_at_once(desk: Desk) -> None:
    memo = await desk.posted("30.00", "20.00")
    first, second = await desk.invoice("25.00"), await desk.invoice("40.00")

    job = await done(desk, applying_later(memo, (first, "25.00"), (second, "15.00")))

    assert (job.status, job.error, job.outcome["applied_rule"]) == (JobStatus.PROCESSED, None, "PRORATION")
    assert job.lines_done == job.lines_total == 4
    assert job.started_date is not None
    assert job.finished_date is not None
    applied = await desk.memo(memo)
    assert (applied.applied, applied.unapplied) == (money("40.00"), money("10.00"))
    assert {part.target_id: part.amount for part in applied.parts} == {
        first: money("25.00"),
        second: money("15.00"),
        None: money("10.00"),
    }
    assert (await desk.row(t.invoices, id=second)).credit_amount == money("15.00")


async def test_a_job_takes_a_memo_off_every_invoice_and_leaves_debit_memos(desk: Desk) -> None:
    memo, invoice, debit_memo = await desk.posted("50.00"), await desk.invoice("20.00"), await desk.debit_memo("20.00")
    await desk.apply_to(memo, invoice, "20.00")
    await desk.apply_to(memo, debit_memo, "20.00")

    job = await done(desk, unapplying_later(memo))

    assert job.status is JobStatus.PROCESSED
    assert {part.target_id for part in (await desk.memo(memo)).parts} == {debit_memo, None}


async def test_a_job_that_is_refused_says_why_and_changes_nothing(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    before = await desk.memo(memo)

    job = await done(desk, applying_later(memo, (invoice, "30.00")))

    assert job.status is JobStatus.ERROR
    assert job.error.startswith("AMOUNT_EXCEEDS_BALANCE: ")
    assert await desk.memo(memo) == before


async def test_what_can_be_told_without_lines_is_refused_at_once(desk: Desk) -> None:
    draft, invoice = await desk.draft("50.00"), await desk.invoice("20.00")
    memo = await desk.posted("50.00")

    assert await desk.refused(settlement.apply_async, applying_later(draft, (invoice, "1.00"))) == [
        (ErrorCode.INVALID_STATUS,)
    ]
    assert await desk.refused(settlement.apply_async, applying_later(memo)) == [(ErrorCode.NO_TARGET, "invoices")]
    nobody = f"inv_{0:032x}"
    assert await desk.refused(settlement.apply_async, applying_later(memo, (invoice, "1.00"), (nobody, "1.00"))) == [
        (ErrorCode.INVOICE_NOT_FOUND, "invoices", 1, "invoice_key")
    ]
    assert await desk.refused(settlement.apply_async, applying_later(memo, (invoice, "0.001"))) == [
        (ErrorCode.AMOUNT_PRECISION, "invoices", 0, "amount")
    ]
    assert await desk.refused(settlement.apply_async, applying_later(memo, (invoice, "1"), if_version=1)) == [
        (ErrorCode.STALE_VERSION, "if_version")
    ]


async def test_a_dry_run_checks_and_asks_for_nothing(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")

    outcome = await desk.do(settlement.apply_async, applying_later(memo, (invoice, "1.00"), dry_run=True))

    assert outcome["job"] is None
    assert await desk.rows(t.credit_memo_jobs) == []


async def test_a_memo_is_held_while_its_job_has_not_ended(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))

    assert await desk.refused(settlement.apply_async, applying_later(memo, (invoice, "1.00"))) == [
        (ErrorCode.LOCK_CONTENTION,)
    ]
    assert await desk.refused(lifecycle.unpost, UnpostCreditMemo(key=Key(memo))) == [(ErrorCode.LOCK_CONTENTION,)]
    async with working(desk):
        await until(desk, job)
    await done(desk, unapplying_later(memo))
    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))


async def test_targets_may_change_while_a_job_works_and_it_computes_anew(desk: Desk) -> None:
    memo, other = await desk.posted("50.00"), await desk.posted("50.00")
    invoice = await desk.invoice("20.00", "20.00")
    plans = 0

    async def overtaken(run: Run) -> None:
        finish = run.finish

        async def finish_late(work: Callable[[Unit], Awaitable[Mapping[str, Any] | None]]) -> None:
            nonlocal plans
            plans += 1
            if plans <= 4:
                await desk.apply_to(other, invoice, "1.00")
            await finish(work)

        run.finish = finish_late  # type: ignore[method-assign]  # to act between the plan and its writing
        await settlement.run_apply(run)

    job = await ask(desk, applying_later(memo, (invoice, "36.00")))
    async with working(desk, overtaken):
        assert (await until(desk, job)).status is JobStatus.PROCESSED

    assert plans == 4
    assert (await desk.row(t.invoices, id=invoice)).balance == 0


# --- calling off ------------------------------------------------------------------------------------------------------


async def test_a_job_that_waits_is_called_off_at_once(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))

    await desk.do(jobs.cancel, CancelCreditMemoJob(id=Key(job)))

    assert (await desk.row(t.credit_memo_jobs, id=job)).status is JobStatus.CANCELED
    await desk.apply_to(memo, invoice, "20.00")


async def test_a_job_at_work_is_called_off_before_its_final_commit(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    gate = Gate(settlement.run_apply)
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    before = await desk.memo(memo)

    async with working(desk, gate):
        await gate.reached.wait()
        await desk.do(jobs.cancel, CancelCreditMemoJob(id=Key(job)))
        ended = await until(desk, job)

    assert (ended.status, ended.lines_done) == (JobStatus.CANCELED, 0)
    assert await desk.memo(memo) == before
    assert await desk.refused(jobs.cancel, CancelCreditMemoJob(id=Key(job))) == [(ErrorCode.INVALID_STATUS,)]


async def test_calling_off_wins_until_the_statement_that_ends_the_job(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    before = await desk.memo(memo)

    async def called_off_late(run: Run) -> None:
        await desk.do(jobs.cancel, CancelCreditMemoJob(id=Key(run.job.id)))
        await settlement.run_apply(run)

    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with working(desk, called_off_late, Pace(poll=0.02, beat=60)):
        assert (await until(desk, job)).status is JobStatus.CANCELED

    assert await desk.memo(memo) == before


async def test_only_who_might_have_asked_for_a_job_calls_it_off(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))

    desk.viewer = Viewer("usr_blind", accounts=frozenset())
    assert await desk.refused(jobs.cancel, CancelCreditMemoJob(id=Key(job))) == [(ErrorCode.JOB_NOT_FOUND, "id")]


# --- workers that die, freeze or fail ---------------------------------------------------------------------------------


async def test_the_job_of_a_dead_worker_is_done_by_a_living_one(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with desk.database.write() as connection:
        session = Session(connection, desk.database.dialect)
        assert await store.claim(session, "dead", timedelta(seconds=0.5), RUNNERS) is not None

    async with working(desk):
        row = await until(desk, job)

    assert (row.status, row.attempts) == (JobStatus.PROCESSED, 2)


async def test_a_frozen_worker_that_wakes_up_changes_nothing(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    frozen = Gate(settlement.run_apply)

    # Neither looks at its job nor renews its lease: what it knows when it goes on is what it knew before.
    async with working(desk, frozen, Pace(poll=0.02, lease=0.3, beat=60)):
        await frozen.reached.wait()
        async with working(desk):
            assert (await until(desk, job)).status is JobStatus.PROCESSED
        after = await desk.dump()
        frozen.open.set()
        await asyncio.sleep(0.5)

    assert await desk.dump() == after
    assert (await desk.memo(memo)).applied == money("20.00")


async def test_two_workers_do_each_job_once(desk: Desk) -> None:
    memos = [await desk.posted("10.00") for _ in range(8)]
    invoice = await desk.invoice("80.00")
    asked = [await ask(desk, applying_later(memo, (invoice, "10.00"))) for memo in memos]

    async with working(desk), working(desk):
        for job in asked:
            assert (await until(desk, job)).status is JobStatus.PROCESSED

    assert (await desk.row(t.invoices, id=invoice)).balance == 0
    assert len(await desk.rows(t.credit_memo_applications)) == 8


async def test_a_worker_that_stops_gives_its_job_back(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    gate = Gate(settlement.run_apply)

    async with working(desk, gate):
        await gate.reached.wait()

    assert (await desk.row(t.credit_memo_jobs, id=job)).status is JobStatus.PENDING
    async with working(desk):
        assert (await until(desk, job)).status is JobStatus.PROCESSED


async def test_our_mistakes_end_a_job_without_details(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")

    async def broken(_run: Run) -> None:
        raise RuntimeError("the secret of 4711")

    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with working(desk, broken):
        row = await until(desk, job)

    assert row.status is JobStatus.ERROR
    assert row.error == f"INTERNAL_ERROR: An unexpected error occurred; nothing was changed. Job {job}."


async def test_a_job_that_cannot_go_on_now_is_begun_anew_later(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")

    async def patient(run: Run) -> None:
        if run.job.attempt < 3:
            raise TryLater("not yet", timedelta(seconds=0.05))
        await settlement.run_apply(run)

    job = await ask(desk, applying_later(memo, (invoice, "20.00")))
    async with working(desk, patient):
        assert (await until(desk, job)).attempts == 3


async def test_old_jobs_are_forgotten_and_unfinished_ones_never(desk: Desk) -> None:
    memo, other, invoice = await desk.posted("50.00"), await desk.posted("1.00"), await desk.invoice("20.00")
    old = await done(desk, applying_later(memo, (invoice, "1.00")))
    young = await done(desk, applying_later(memo, (invoice, "1.00")))
    waiting = await ask(desk, applying_later(other, (invoice, "1.00")))
    async with desk.database.write() as connection:
        jobs_table = t.credit_memo_jobs
        long_ago = desk.gate.clock.now() - timedelta(days=31)
        await connection.execute(
            update(jobs_table)
            .where(jobs_table.c.id.in_([old.id, waiting]))
            .values(finished_date=long_ago, created_date=long_ago)
        )

    async with working(desk):
        await until(desk, waiting)
        async with asyncio.timeout(10):
            while await desk.rows(t.credit_memo_jobs, id=old.id):  # noqa: ASYNC110  rows tell nobody
                await asyncio.sleep(0.02)

    assert {row.id for row in await desk.rows(t.credit_memo_jobs)} >= {young.id}


@pytest.mark.parametrize("days", [-1, 0])
async def test_a_job_takes_effect_on_the_day_that_was_asked_for(desk: Desk, days: int) -> None:
    day = TODAY + timedelta(days=days)
    memo, invoice = await desk.posted("50.00", effective_date=TODAY - timedelta(days=5)), await desk.invoice("20.00")

    await done(desk, applying_later(memo, (invoice, "20.00"), effective_date=day))

    assert (await desk.row(t.credit_memo_applications)).effective_date == day
