"""The largest jobs in real processes that are killed, frozen and woken up at random: the books are exact in the end."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from auditing import audit
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import UnapplyCreditMemoAsync
from cm_graphql.domain.enums import JobStatus
from cm_graphql.operations import settlement
from cm_graphql.store import tables as t
from cm_graphql.store.jobs import FINAL
from killing import begun, ended, running
from large import Large, a_large_memo
from operating import Desk, a_desk

pytestmark = pytest.mark.soak

LINES = int(os.environ.get("CM_GRAPHQL_TEST_SOAK_LINES", "300000"))
SEED = int(os.environ.get("CM_GRAPHQL_TEST_SOAK_SEED", str(time.time_ns() % 10_000)))
KILLS = 6
FREEZES = 4


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk at which large documents apply first come, first served."""
    async with a_desk(database_url) as opened:
        await opened.set(application_rule="FIFO")
        yield opened


async def check_applied(desk: Desk, large: Large, times: int = 1) -> None:
    """The books are exact, and everything was applied so many times in all, and lies there once."""
    await audit(desk.database)
    memo = await desk.row(t.credit_memos, id=large.memo)
    assert memo.applied_amount == large.applied
    entries = await desk.rows(t.credit_memo_applications, credit_memo_id=large.memo, kind="APPLY")
    assert len(entries) == len(large.invoices) * times
    for key in large.invoices:
        assert (await desk.row(t.invoices, id=key)).credit_amount == large.amount


async def check_unapplied(desk: Desk, large: Large) -> None:
    """The books are exact, and everything is where it was."""
    await audit(desk.database)
    assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == 0
    for key in large.invoices:
        assert (await desk.row(t.invoices, id=key)).credit_amount == 0


async def test_a_job_killed_again_and_again_is_done_exactly_once(desk: Desk, database_url: str, tmp_path: Path) -> None:
    print("seed", SEED)
    chance = random.Random(SEED)
    large = await a_large_memo(desk, LINES, invoices=100, seed=SEED)
    job = str((await desk.do(settlement.apply_async, large.later()))["job"])

    for _ in range(KILLS):
        async with running(database_url, tmp_path):
            await asyncio.sleep(chance.uniform(1, 25 * LINES / 300_000 + 5))
        row = await desk.row(t.credit_memo_jobs, id=job)
        if row.status in FINAL:
            break
        assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == 0, "all or nothing"

    async with running(database_url, tmp_path) as process:
        row = await ended(desk, job)
        print("most memory to apply", process.memory() // 1_024, "MB")

    assert (row.status, row.error) == (JobStatus.PROCESSED, None)
    assert row.lines_done == row.lines_total
    await check_applied(desk, large)

    undo = UnapplyCreditMemoAsync(key=Key(large.memo))
    job = str((await desk.do(settlement.unapply_async, undo))["job"])
    async with running(database_url, tmp_path) as process:
        assert (await ended(desk, job)).status is JobStatus.PROCESSED
        print("most memory to unapply", process.memory() // 1_024, "MB")
    await check_unapplied(desk, large)


async def test_a_worker_that_is_dead_or_frozen_is_replaced_within_thirty_seconds_and_changes_nothing_when_it_wakes_up(
    desk: Desk, database_url: str, tmp_path: Path
) -> None:
    """On SQLite there is nobody who could replace the one process: it finds its own job again when it wakes up."""
    print("seed", SEED)
    chance = random.Random(SEED)
    large = await a_large_memo(desk, LINES, invoices=100, seed=SEED)
    undo = UnapplyCreditMemoAsync(key=Key(large.memo))
    several = database_url.startswith("postgresql")
    for number in range(FREEZES):
        back = number % 2 == 1
        wanted = desk.do(settlement.unapply_async, undo) if back else desk.do(settlement.apply_async, large.later())
        job = str((await wanted)["job"])
        async with running(database_url, tmp_path, lease=15) as first:
            attempt = (await begun(desk, job)).attempts
            moment = chance.uniform(0, 25 * LINES / 300_000)
            await asyncio.sleep(moment)
            first.signal(signal.SIGSTOP)
            at = time.monotonic()
            if several:
                async with running(database_url, tmp_path, lease=15):
                    over = (await desk.row(t.credit_memo_jobs, id=job)).status in FINAL
                    if not over:
                        await begun(desk, job, after=attempt)
                        took = time.monotonic() - at
                        print(f"frozen after {moment:.1f} s, replaced {took:.1f} s later")
                        assert took < 30
                    row = await ended(desk, job)
                    assert over or row.attempts == attempt + 1, "nothing of the frozen one is in the way"
                    first.signal(signal.SIGCONT)
                    await asyncio.sleep(3)
            else:
                await asyncio.sleep(20)
                first.signal(signal.SIGCONT)
                row = await ended(desk, job)
        assert (row.status, row.error) == (JobStatus.PROCESSED, None)
        if back:
            await check_unapplied(desk, large)
        else:
            await check_applied(desk, large, number // 2 + 1)
