"""Jobs as rows: asked for in somebody's transaction, claimed by one worker for a while, ended once.

A claim is told by the worker and the number of the attempt. Whoever writes as the holder of a job says both, so that a
worker which slept through the end of its lease changes nothing any more (docs/decisions/0005).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, delete, func, literal, or_, select, update

from cm_graphql.domain.enums import JobOperation, JobStatus
from cm_graphql.store import holds
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Query

FINAL = frozenset({JobStatus.PROCESSED, JobStatus.ERROR, JobStatus.CANCELED})
"""Where a job ends."""

_jobs = t.credit_memo_jobs
_c = t.credit_memo_jobs.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work on one memo that outlives its request."""

    id: str
    operation: JobOperation
    status: JobStatus
    memo_id: str
    input: Mapping[str, Any]
    """What is needed to do it, as the action that asked for it wrote it down."""
    by: str
    """Who asked for it."""
    request_id: str | None
    attempt: int
    """Counts the claims; the present one is told by its number."""
    worker_id: str | None
    cancel_requested: bool
    lease_until: datetime | None
    """Until when its worker is believed to be at it."""
    orphaned: bool = False
    """Whether it was taken from a worker that was not heard of any more."""


async def now(session: Session) -> datetime:
    """This moment by the clock that all workers share: the database's, or the machine's on SQLite."""
    if session.dialect != "postgresql":
        return datetime.now(UTC)
    moment: datetime = (await session.ask(_NOW))[0].now
    return moment.astimezone(UTC)


_NOW: Final = Query(lambda _among: select(func.clock_timestamp().label("now")))


async def add(
    session: Session,
    *,
    job_id: str,
    operation: JobOperation,
    memo_id: str,
    given: Mapping[str, Any],
    by: str,
    at: datetime,
    request_id: str | None,
) -> None:
    """Ask for a job; it begins after the commit."""
    await session.execute(
        _jobs.insert(),
        {
            "id": job_id,
            "operation_type": operation,
            "reference_id": memo_id,
            "input": dict(given),
            "created_by_id": by,
            "created_date": at,
            "updated_date": at,
            "request_id": request_id,
        },
    )
    if operation in holds.MOVING:
        await holds.touch(session, memo_id)
    session.announce(job_id)


async def load(session: Session, job_id: str, *, lock: bool = True) -> Job | None:
    """A job, locked unless said otherwise; None when there is none."""
    statement = select(_jobs).where(_c.id == job_id)
    row = await session.first(statement.with_for_update() if lock else statement)
    return None if row is None else _job(row)


async def counted(session: Session) -> list[tuple[JobStatus, int, datetime]]:
    """How many jobs there are of each status, and when the oldest of them was asked for."""
    number, oldest = func.count().label("number"), func.min(_c.created_date).label("oldest")
    rows = await session.rows(select(_c.status, number, oldest).group_by(_c.status))
    return [(row.status, row.number, row.oldest) for row in rows]


def _free(moment: Any, operations: Collection[JobOperation]) -> Any:
    """The condition of jobs that a worker may claim: those waiting, and those whose worker is not heard of any more."""
    return and_(
        _c.operation_type.in_(sorted(operations)),
        or_(
            and_(_c.status == JobStatus.PENDING, or_(_c.run_after.is_(None), _c.run_after <= moment)),
            and_(_c.status == JobStatus.PROCESSING, or_(_c.lease_until.is_(None), _c.lease_until < moment)),
        ),
    )


async def is_any_free(session: Session, operations: Collection[JobOperation]) -> bool:
    """Whether there is something to claim; asks without a lock."""
    found: bool = (await session.ask(_any_free(frozenset(operations)), moment=await now(session)))[0].found
    return found


@lru_cache(maxsize=32)
def _any_free(operations: frozenset[JobOperation]) -> Query:
    """The question of `is_any_free`, which every worker asks each second for each of its lanes."""
    moment = bindparam("moment", None, _c.run_after.type)
    return Query(lambda _among: select(select(_c.id).where(_free(moment, operations)).exists().label("found")))


async def claim(session: Session, worker_id: str, lease: timedelta, operations: Collection[JobOperation]) -> Job | None:
    """Take the oldest job that is free, for the time of a lease; None when there is none."""
    moment = await now(session)
    free = (
        select(_c.id, _c.status)
        .where(_free(moment, operations))
        .order_by(_c.created_date, _c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = await session.first(free)
    if found is None:
        return None
    row = await session.first(
        update(_jobs)
        .where(_c.id == found.id)
        .values(
            status=JobStatus.PROCESSING,
            worker_id=worker_id,
            attempts=_c.attempts + 1,
            lease_until=moment + lease,
            run_after=None,
            started_date=func.coalesce(_c.started_date, literal(moment, _c.started_date.type)),
            updated_date=moment,
            lines_done=0,
        )
        .returning(_jobs)
    )
    assert row is not None
    session.announce(found.id)
    return replace(_job(row), orphaned=found.status is JobStatus.PROCESSING)


def _mine(job: Job) -> Any:
    """The condition that a job is still held under this claim."""
    return and_(
        _c.id == job.id,
        _c.status == JobStatus.PROCESSING,
        _c.worker_id == job.worker_id,
        _c.attempts == job.attempt,
    )


async def standing(session: Session, job: Job) -> Job | None:
    """The job as it is now if it is still held under this claim; None when it was lost."""
    row = await session.first(select(_jobs).where(_mine(job)))
    return None if row is None else _job(row)


async def beat(session: Session, job: Job, lease: timedelta, done: int, total: int) -> bool:
    """Hold on to a job for another lease, and say how far it is; False when it was lost."""
    moment = await now(session)
    values = {"lease_until": moment + lease, "updated_date": moment, "lines_done": done, "lines_total": total}
    row = await session.first(update(_jobs).where(_mine(job)).values(values).returning(_c.id))
    session.announce(job.id)
    return row is not None


async def finish(session: Session, job: Job, outcome: Mapping[str, Any] | None, total: int) -> bool:
    """End a job with success; False when it was lost or called off, and then nothing else may be committed either."""
    moment = await now(session)
    values = {**_ended(moment, JobStatus.PROCESSED), "lines_done": total, "lines_total": total, "outcome": outcome}
    row = await session.first(
        update(_jobs).where(_mine(job), _c.cancel_requested.is_(False)).values(values).returning(_c.id)
    )
    session.announce(job.id)
    return row is not None


async def fail(session: Session, job: Job, error: str) -> bool:
    """End a job with an error; False when it was lost."""
    moment = await now(session)
    values = {**_ended(moment, JobStatus.ERROR), "error": error, "lines_done": 0}
    row = await session.first(update(_jobs).where(_mine(job)).values(values).returning(_c.id))
    session.announce(job.id)
    return row is not None


async def release(session: Session, job: Job, delay: timedelta) -> bool:
    """Give a job back, to be done anew by anybody after a while; False when it was lost."""
    moment = await now(session)
    values = {
        "status": JobStatus.PENDING,
        "worker_id": None,
        "lease_until": None,
        "run_after": moment + delay,
        "updated_date": moment,
        "lines_done": 0,
    }
    row = await session.first(update(_jobs).where(_mine(job)).values(values).returning(_c.id))
    session.announce(job.id)
    return row is not None


async def call_off(session: Session, job: Job) -> bool:
    """End a job as canceled; it must be locked, or held by whoever calls this. False when it had ended by itself."""
    moment = await now(session)
    values = {**_ended(moment, JobStatus.CANCELED), "cancel_requested": True, "lines_done": 0}
    unfinished = update(_jobs).where(_c.id == job.id, _c.status.not_in(sorted(FINAL)))
    row = await session.first(unfinished.values(values).returning(_c.id))
    session.announce(job.id)
    return row is not None


async def ask_to_cancel(session: Session, job: Job) -> None:
    """Tell the worker of a locked job to stop before its final commit; without a worker, it ends at once."""
    moment = await now(session)
    if job.status is JobStatus.PENDING or job.lease_until is None or job.lease_until < moment:
        await call_off(session, job)
        return
    await session.execute(update(_jobs).where(_c.id == job.id).values(cancel_requested=True, updated_date=moment))
    session.announce(job.id)


async def drop_old(session: Session, before: datetime, most: int) -> int:
    """Forget jobs that ended before a moment, at most so many; answers how many that were."""
    old = select(_c.id).where(_c.status.in_(sorted(FINAL)), _c.finished_date < before).limit(most)
    gone = await session.connection.execute(delete(_jobs).where(_c.id.in_(old)))
    return int(gone.rowcount)


def _ended(moment: datetime, status: JobStatus) -> dict[str, Any]:
    return {
        "status": status,
        "worker_id": None,
        "lease_until": None,
        "finished_date": moment,
        "updated_date": moment,
    }


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        operation=row.operation_type,
        status=row.status,
        memo_id=row.reference_id,
        input=row.input,
        by=row.created_by_id,
        request_id=row.request_id,
        attempt=row.attempts,
        worker_id=row.worker_id,
        cancel_requested=row.cancel_requested,
        lease_until=row.lease_until,
    )
