"""Jobs for tests: asking for them, workers in this process that do them, and runners that wait to be let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from cm_graphql.domain.commands.base import Command, Key
from cm_graphql.domain.commands.settlement import ApplyCreditMemoAsync, InvoiceAmount, UnapplyCreditMemoAsync
from cm_graphql.domain.enums import JobStatus
from cm_graphql.jobs.runners import RUNNERS
from cm_graphql.jobs.worker import Pace, Worker
from cm_graphql.operations import settlement
from cm_graphql.operations.gate import Action
from cm_graphql.operations.jobs import Run, Runner
from cm_graphql.store import jobs as store
from cm_graphql.store import tables as t
from cm_graphql.store.holds import MOVING
from operating import Desk

QUICK = Pace(poll=0.02, lease=2.0, beat=0.02, patience=0.02)


@asynccontextmanager
async def working(desk: Desk, runner: Runner | None = None, pace: Pace = QUICK) -> AsyncIterator[Worker]:
    """A worker of the desk's database, which does applications, and their undoing, with this runner."""
    worker = Worker(desk.gate, {**RUNNERS, **(dict.fromkeys(MOVING, runner) if runner else {})}, pace)
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


def money(text: str) -> int:
    """An amount as it is stored."""
    return int(Decimal(text) * 10_000)


def applying_later(memo: str, *wants: tuple[str, str], **fields: Any) -> ApplyCreditMemoAsync:
    """A request to apply a memo in a job."""
    invoices = tuple(InvoiceAmount(invoice_key=Key(invoice), amount=Decimal(amount)) for invoice, amount in wants)
    return ApplyCreditMemoAsync(key=Key(memo), invoices=invoices, **fields)


def unapplying_later(memo: str, *wants: tuple[str, str], **fields: Any) -> UnapplyCreditMemoAsync:
    """A request to take a memo off invoices in a job."""
    invoices = tuple(InvoiceAmount(invoice_key=Key(invoice), amount=Decimal(amount)) for invoice, amount in wants)
    return UnapplyCreditMemoAsync(key=Key(memo), invoices=invoices, **fields)


async def ask(desk: Desk, command: Command) -> str:
    """Ask for a job."""
    what: Action[Any] = (
        settlement.apply_async if isinstance(command, ApplyCreditMemoAsync) else settlement.unapply_async
    )
    return str((await desk.do(what, command))["job"])


async def until(desk: Desk, job: str, *statuses: JobStatus) -> Any:
    """The row of a job as soon as it has one of these statuses; of those that end it unless told."""
    async with asyncio.timeout(60):
        wanted = statuses or tuple(store.FINAL)
        while (row := await desk.row(t.credit_memo_jobs, id=job)).status not in wanted:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.02)
    return row


async def done(desk: Desk, command: Command) -> Any:
    """Ask for a job, have a worker do it, and answer its row."""
    job = await ask(desk, command)
    async with working(desk):
        return await until(desk, job)


class Gate:
    """A runner that waits at a point until it is let go."""

    def __init__(self, then: Runner) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.runs = 0
        self._then = then

    async def __call__(self, run: Run) -> None:
        self.runs += 1
        self.reached.set()
        while not self.open.is_set():
            run.check()
            await asyncio.sleep(0.005)
        await self._then(run)
