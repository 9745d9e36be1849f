"""What is told of a job while it works: steadily more, its final transaction included, and from any connection."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import UnapplyCreditMemoAsync
from cm_graphql.domain.enums import JobStatus
from cm_graphql.operations import settlement
from cm_graphql.operations.jobs import Run, Runner
from cm_graphql.operations.unit import Unit
from cm_graphql.store import tables as t
from cm_graphql.store.underway import told
from jobbing import applying_later, ask, until, working
from large import a_large_memo
from operating import Desk

LINES = 12_000


async def shown(desk: Desk, job: str) -> tuple[int, int]:
    """The lines done, and all of them, as a query shows them."""
    jobs = t.credit_memo_jobs
    wanted = select(told(jobs, "lines_done"), told(jobs, "lines_total")).where(jobs.c.id == job)
    async with desk.database.read() as connection:
        done, total = (await connection.execute(wanted)).one()
    return done, total


async def test_progress_grows_in_small_steps_through_reading_computing_and_writing(desk: Desk) -> None:
    await desk.set(application_rule="FIFO")
    large = await a_large_memo(desk, LINES, invoices=5)
    steps: list[int] = []

    def noting(work: Runner) -> Runner:
        async def noted(run: Run) -> None:
            tell = run.progress

            def progress(done: int, total: int) -> None:
                assert total == LINES
                steps.append(done)
                tell(done, total)

            run.progress = progress  # type: ignore[method-assign]  # to see what is told before it is written down
            await work(run)

        return noted

    for command, work in (
        (large.later(), settlement.run_apply),
        (UnapplyCreditMemoAsync(key=Key(large.memo)), settlement.run_unapply),
    ):
        steps[:] = [0]
        job = await ask(desk, command)
        async with working(desk, noting(work)):
            row = await until(desk, job)

        assert row.status is JobStatus.PROCESSED
        assert row.lines_done == row.lines_total == LINES
        assert max(later - earlier for earlier, later in pairwise([*steps, LINES])) <= LINES * 8 // 100
        assert steps == sorted(steps)


@pytest.mark.parametrize("fails", [False, True])
async def test_progress_is_seen_by_others_while_the_final_transaction_is_open(desk: Desk, fails: bool) -> None:
    memo, invoice = await desk.posted("50.00", "25.00"), await desk.invoice("30.00")
    heard: list[tuple[int, int]] = []

    async def looked_at(run: Run) -> None:
        finish = run.finish

        async def finish_slowly(work: Callable[[Unit], Awaitable[Mapping[str, Any] | None]]) -> None:
            async def slow(unit: Unit) -> Mapping[str, Any] | None:
                outcome = await work(unit)
                async with asyncio.timeout(30):
                    while (seen := await shown(desk, run.job.id)) != (2, 3):
                        heard.append(seen)
                        await asyncio.sleep(0.01)
                heard.append(seen)
                if fails:
                    raise RuntimeError("a mistake of ours")
                return outcome

            await finish(slow)

        run.finish = finish_slowly  # type: ignore[method-assign]  # to look before the commit
        await settlement.run_apply(run)

    job = await ask(desk, applying_later(memo, (invoice, "30.00")))
    async with working(desk, looked_at):
        row = await until(desk, job)

    assert heard[-1] == (2, 3)
    assert row.status is (JobStatus.ERROR if fails else JobStatus.PROCESSED)
    assert await shown(desk, job) == (row.lines_done, row.lines_total)
