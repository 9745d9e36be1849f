"""Work that goes on after its request: how an action asks for it, what does it, and how it is called off.

An action asks within its own transaction, so that what was refused asks for nothing. A *runner* does the work of one
kind of job; `jobs/runners.py` names them all. It may be begun anew at any time, by another process too: what it does
outside of the database must be harmless to repeat, and what it does inside counts only with `Run.finish`.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from cm_graphql.domain.commands.settlement import CancelCreditMemoJob
from cm_graphql.domain.enums import JobOperation
from cm_graphql.domain.errors import ErrorCode, Refusal, not_found, refuse
from cm_graphql.operations.gate import Gate, Outcome, action
from cm_graphql.operations.ports import new_id
from cm_graphql.operations.unit import Unit
from cm_graphql.store import jobs as store
from cm_graphql.store import memos
from cm_graphql.store.jobs import Job
from cm_graphql.store.keys import id_of

SCOPES: Mapping[JobOperation, str] = {
    JobOperation.ASYNC_CREDIT_MEMO_APPLY: "credit_memos:apply",
    JobOperation.ASYNC_CREDIT_MEMO_UNAPPLY: "credit_memos:unapply",
    JobOperation.GENERATE_CREDIT_MEMO_PDF: "credit_memos:pdf",
    JobOperation.EMAIL_CREDIT_MEMO: "credit_memos:email",
}
"""What a caller must be allowed to do to call a job off: what it took to ask for it."""


class TryLater(Exception):
    """Raised by a runner that cannot go on now: the job waits, and is then begun anew. The reason is for the log."""

    def __init__(self, reason: str, delay: timedelta) -> None:
        super().__init__(reason)
        self.delay = delay


class Run(Protocol):
    """One attempt at a job, as its runner sees it.

    A runner ends in one of these ways: `finish` succeeded; a Refusal, whose messages become the job's `error`;
    TryLater. Any other exception is our bug, and becomes an `error` without details.
    """

    @property
    def job(self) -> Job:
        """The job: `memo_id`, `input`, who asked, and which `attempt` this is, counted from 1."""
        ...

    @property
    def gate(self) -> Gate:
        """The database, the clock and the other ports."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Say how many lines are done; it is written down about once a second."""
        ...

    def check(self) -> None:
        """Stop here if the job was called off or lost; call it now and then in long work."""
        ...

    async def finish(self, work: Callable[[Unit], Awaitable[Mapping[str, Any] | None]]) -> None:
        """Do the work's part in the database and end the job in the same transaction, or neither of both.

        What `work` answers is kept as the job's outcome. It runs again from the start after a deadlock.
        """
        ...


Runner = Callable[[Run], Awaitable[None]]
"""Does the work of one kind of job."""


async def enqueue(unit: Unit, operation: JobOperation, memo_id: str, given: Mapping[str, Any]) -> str | None:
    """Ask for a job within the action's transaction, and answer its id; a dry run asks for nothing (domain.md 7.28).

    `given` is all that the runner will know, as JSON. The job begins after the commit.
    """
    if unit.dry_run:
        return None
    job_id = new_id("cmj")
    await store.add(
        unit.session,
        job_id=job_id,
        operation=operation,
        memo_id=memo_id,
        given=given,
        by=unit.stamp.by,
        at=unit.stamp.at,
        request_id=unit.request_id,
    )
    return job_id


@action("credit_memos:read")
async def cancel(unit: Unit, command: CancelCreditMemoJob) -> Outcome:
    """Call a job off: at once while it waits, and before its final commit while a worker is at it (domain.md 2.10)."""
    job_id = id_of(command.id, "cmj")
    job = await store.load(unit.session, job_id)
    memo = None if job is None else await memos.load_head(unit.session, job.memo_id, lock=False)
    # Whose job it was for a memo that is deleted, nobody can tell: it is nobody's who sees some accounts only.
    seen = unit.viewer.accounts is None if memo is None else unit.viewer.sees(memo.account_id)
    if job is None or not seen:
        raise Refusal(not_found(ErrorCode.JOB_NOT_FOUND, command.id, "id"))
    unit.viewer.require(SCOPES[job.operation])
    if job.status in store.FINAL:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Job {job.id} is {job.status.value.capitalize()}: only a job that has not ended can be cancelled.",
        )
    await store.ask_to_cancel(unit.session, job)
    return {"job": job.id}
