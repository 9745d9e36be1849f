"""What keeps memos from being changed for a while: a job at work on them, or a refund at the payment gateway."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from sqlalchemy import CompoundSelect, literal, select, union_all, update

from cm_graphql.domain.enums import JobOperation, JobStatus, RefundStatus
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Among, Query

M = TypeVar("M")

UNFINISHED = (JobStatus.PENDING, JobStatus.PROCESSING)
MOVING = (JobOperation.ASYNC_CREDIT_MEMO_APPLY, JobOperation.ASYNC_CREDIT_MEMO_UNAPPLY)


async def holders(session: Session, memo_ids: Iterable[str]) -> dict[str, str]:
    """What holds each of these memos, as a message calls it; memos that nothing holds are left out.

    One statement (`HOLDERS`), for at most a few hundred memos.
    """
    return {row.memo_id: row.holder for row in await session.ask(HOLDERS, ids=list(memo_ids))}


def with_holder(
    load: Callable[[Session, str], Awaitable[M | None]],
) -> Callable[[Session, str], Awaitable[tuple[M, str | None] | None]]:
    """Make a way to load a memo that also tells what holds it."""

    async def loaded(session: Session, memo_id: str) -> tuple[M, str | None] | None:
        memo = await load(session, memo_id)
        return None if memo is None else (memo, (await holders(session, [memo_id])).get(memo_id))

    return loaded


async def touch(session: Session, memo_id: str) -> None:
    """Show that a memo is held from now on to those who move money without locks (see `at_once`)."""
    if session.dialect == "postgresql":
        same = {"version": t.credit_memos.c.version}
        await session.execute(update(t.credit_memos).where(t.credit_memos.c.id == memo_id).values(same))


def _holders(among: Among) -> CompoundSelect[Any]:
    jobs, refunds = t.credit_memo_jobs.c, t.refunds.c
    working = select(jobs.reference_id.label("memo_id"), literal("job ").op("||")(jobs.id).label("holder")).where(
        among(jobs.reference_id, "ids"), jobs.status.in_(UNFINISHED), jobs.operation_type.in_(MOVING)
    )
    refund = literal("refund ").op("||")(refunds.number).op("||")(", which is at the payment gateway")
    paying = select(refunds.credit_memo_id.label("memo_id"), refund.label("holder")).where(
        among(refunds.credit_memo_id, "ids"), refunds.status == RefundStatus.PROCESSING
    )
    return union_all(paying, working)


HOLDERS: Final = Query(_holders)
