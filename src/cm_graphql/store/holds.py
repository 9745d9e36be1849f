"""What keeps memos from being changed for a while: a job at work on them, or a refund at the payment gateway."""

from collections.abc import Iterable

from sqlalchemy import literal, select, union_all

from cm_graphql.domain.enums import JobOperation, JobStatus, RefundStatus
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session

UNFINISHED = (JobStatus.PENDING, JobStatus.PROCESSING)
MOVING = (JobOperation.ASYNC_CREDIT_MEMO_APPLY, JobOperation.ASYNC_CREDIT_MEMO_UNAPPLY)


async def holders(session: Session, memo_ids: Iterable[str]) -> dict[str, str]:
    """What holds each of these memos, as a message calls it; memos that nothing holds are left out.

    One statement, for at most a few hundred memos.
    """
    wanted = list(memo_ids)
    jobs, refunds = t.credit_memo_jobs.c, t.refunds.c
    working = select(jobs.reference_id.label("memo_id"), literal("job ").op("||")(jobs.id).label("holder")).where(
        jobs.reference_id.in_(wanted), jobs.status.in_(UNFINISHED), jobs.operation_type.in_(MOVING)
    )
    refund = literal("refund ").op("||")(refunds.number).op("||")(", which is at the payment gateway")
    paying = select(refunds.credit_memo_id.label("memo_id"), refund.label("holder")).where(
        refunds.credit_memo_id.in_(wanted), refunds.status == RefundStatus.PROCESSING
    )
    return {row.memo_id: row.holder for row in await session.rows(union_all(paying, working))}
