"""What keeps memos from being changed for a while: a job at work on them, or a refund at the payment gateway."""

from collections.abc import Iterable

from sqlalchemy import select

from cm_graphql.domain.enums import JobOperation, JobStatus, RefundStatus
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session

UNFINISHED = (JobStatus.PENDING, JobStatus.PROCESSING)
MOVING = (JobOperation.ASYNC_CREDIT_MEMO_APPLY, JobOperation.ASYNC_CREDIT_MEMO_UNAPPLY)


async def holders(session: Session, memo_ids: Iterable[str]) -> dict[str, str]:
    """What holds each of these memos, as a message calls it; memos that nothing holds are left out.

    Two statements, for at most a few hundred memos.
    """
    wanted = list(memo_ids)
    jobs, refunds = t.credit_memo_jobs.c, t.refunds.c
    working = select(jobs.reference_id, jobs.id).where(
        jobs.reference_id.in_(wanted), jobs.status.in_(UNFINISHED), jobs.operation_type.in_(MOVING)
    )
    paying = select(refunds.credit_memo_id, refunds.number).where(
        refunds.credit_memo_id.in_(wanted), refunds.status == RefundStatus.PROCESSING
    )
    found = {
        row.credit_memo_id: f"refund {row.number}, which is at the payment gateway"
        for row in await session.rows(paying)
    }
    return found | {row.reference_id: f"job {row.id}" for row in await session.rows(working)}
