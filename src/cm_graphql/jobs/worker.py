"""Does jobs: claims them one by one, holds on to them while their runners work, and ends them.

Any number of workers share a PostgreSQL database; on SQLite the server itself has one. A worker that dies is missed
when its lease runs out, and another begins its job anew; one that was only slow finds out before it changes anything
(docs/decisions/0005).
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, Final, TypeVar
from uuid import uuid4

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain.enums import JobOperation
from cm_graphql.domain.errors import ErrorCode, Refusal
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.jobs import Runner, TryLater
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import jobs as store
from cm_graphql.store import records
from cm_graphql.store.database import Database
from cm_graphql.store.errors import StoreError
from cm_graphql.store.holds import MOVING
from cm_graphql.store.jobs import Job
from cm_graphql.store.session import Session

OTHERS_AT_ONCE: Final = 3
"""Jobs that move no money, such as mail, which wait for others more than they work."""

MOST_ATTEMPTS: Final = 20
"""A job that was begun so often and then lost its worker again is given up: it may be what kills them."""

STOP_SECONDS: Final = 10.0
"""Longer than it takes to give a job back."""

CLEAN_UP_SECONDS: Final = 600.0
CLEAN_UP_ROWS: Final = 10_000

UNREACHABLE: Final = (StoreError, SQLAlchemyError, OSError)
"""How a database shows that it is away or busy."""

T = TypeVar("T")

log = structlog.get_logger("cm_graphql.jobs")


@dataclass(frozen=True)
class Pace:
    """How a worker keeps time."""

    poll: float = 1.0
    """Seconds until it looks for jobs again that nobody told it of."""
    lease: float = 15.0
    """Seconds after which a worker that is not heard of is believed dead; another then takes its job."""
    beat: float = 0.5
    """Seconds between looks at whether the job was called off; progress is written as often."""
    patience: float = 2.0
    """Seconds until a job is begun anew that the database was in the way of."""
    keep_days: int = 30
    """Days after which jobs that ended are forgotten."""


class Lost(Exception):
    """Somebody else has the job by now: nothing of this attempt may count."""


class CalledOff(Exception):
    """Somebody asked to cancel the job."""


class Worker:
    """Claims jobs and has them done until it is told to stop."""

    def __init__(self, gate: Gate, runners: Mapping[JobOperation, Runner], pace: Pace | None = None) -> None:
        self.gate = gate
        self.pace = pace or Pace()
        self.id = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._runners = runners
        self._calls: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Begin; the loop of the caller does the work."""
        self._stopping.clear()
        moving = [operation for operation in self._runners if operation in MOVING]
        others = [operation for operation in self._runners if operation not in MOVING]
        # One at a time moves money, because such a job may fill the memory; what else there is need not wait for it.
        lanes = [moving] * bool(moving) + [others] * (OTHERS_AT_ONCE if others else 0)
        for lane in lanes:
            call = asyncio.Event()
            self._calls.append(call)
            self._tasks.append(asyncio.create_task(self._serve(lane, call)))
        self._tasks.append(asyncio.create_task(self._clean_up()))

    def wake(self) -> None:
        """Have it look for jobs now."""
        for call in self._calls:
            call.set()

    async def stop(self) -> None:
        """Stop; jobs at work are given back, so that others begin them at once."""
        self._stopping.set()
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            # A driver that is losing its connection may swallow this: those who are still there are told again.
            _, left = await asyncio.wait(left, timeout=STOP_SECONDS)
        self._tasks.clear()
        self._calls.clear()

    async def _serve(self, operations: Collection[JobOperation], call: asyncio.Event) -> None:
        while not self._stopping.is_set():
            call.clear()
            try:
                while not self._stopping.is_set() and (job := await self._claim(operations)) is not None:
                    await self._do(job)
            except UNREACHABLE as error:
                # The database is away or busy; jobs wait for it.
                log.warning("jobs_cannot_be_claimed", worker=self.id, reason=_first_line(error))
                await asyncio.sleep(self.pace.patience)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pace.poll):
                    await call.wait()

    async def _claim(self, operations: Collection[JobOperation]) -> Job | None:
        database = self.gate.database
        async with database.read() as connection:
            if not await store.is_any_free(Session(connection, database.dialect), operations):
                return None
        lease = timedelta(seconds=self.pace.lease)
        return await self._write(lambda session: store.claim(session, self.id, lease, operations))

    async def _do(self, job: Job) -> None:
        """Run one job to its end, whatever that is; what cannot be written down is found by the end of its lease."""
        attempt = Attempt(job, self.gate, self.pace)
        said = log.bind(job=job.id, operation=job.operation.value, attempt=job.attempt, worker=self.id)
        if job.orphaned and job.attempt > MOST_ATTEMPTS:
            await self._end(job, "job_given_up", lambda session: store.fail(session, job, _masked(job)))
            return
        said.info("job_begun")
        watch = asyncio.create_task(attempt.watch())
        try:
            if job.cancel_requested:
                raise CalledOff
            await self._runners[job.operation](attempt)
            assert attempt.finished, "a runner ends with Run.finish"
            said.info("job_processed")
        except Lost:
            said.warning("job_lost")
        except CalledOff:
            await self._end(job, "job_canceled", lambda session: store.call_off(session, job))
        except Refusal as refusal:
            reasons = "\n".join(f"{fault.code}: {fault.message}" for fault in refusal.faults)
            await self._end(job, "job_refused", lambda session: store.fail(session, job, reasons))
        except TryLater as later:
            await self._give_back(job, later.delay, str(later))
        except asyncio.CancelledError:
            await self._give_back(job, timedelta(0), "the worker stops")
            raise
        except (IntegrityError, ProgrammingError, DataError) as error:
            await self._broke(job, error)
        except UNREACHABLE as error:
            await self._give_back(job, timedelta(seconds=self.pace.patience), _first_line(error))
        except Exception as error:
            await self._broke(job, error)
        finally:
            watch.cancel()
            self.gate.database.underway.forget(job.id)

    async def _give_back(self, job: Job, delay: timedelta, reason: str) -> None:
        await self._end(job, "job_given_back", lambda session: store.release(session, job, delay), reason=reason)

    async def _broke(self, job: Job, error: Exception) -> None:
        """Our own mistake: nothing of it is told but where to look."""
        log.error("job_failed", job=job.id, operation=job.operation.value, exc_info=error)
        await self._end(job, "job_broken", lambda session: store.fail(session, job, _masked(job)))

    async def _end(self, job: Job, what: str, write: Callable[[Session], Awaitable[bool]], **more: str) -> None:
        try:
            ours = await self._write(write)
        except UNREACHABLE as error:
            log.warning("job_end_not_written", job=job.id, what=what, reason=_first_line(error))
        else:
            log.info(what if ours else "job_not_held_any_more", job=job.id, attempt=job.attempt, **more)

    async def _write(self, work: Callable[[Session], Awaitable[T]]) -> T:
        return await _write(self.gate.database, self.pace, work)

    async def _clean_up(self) -> None:
        """Forget what ended long ago, again and again."""
        while True:
            try:
                await self._write(self._forget)
            except UNREACHABLE as error:
                log.warning("clean_up_failed", reason=_first_line(error))
            await asyncio.sleep(CLEAN_UP_SECONDS)

    async def _forget(self, session: Session) -> None:
        """Drop old jobs, so many that it stays a short transaction, and outcomes of requests that nobody repeats."""
        moment = self.gate.clock.now()
        await store.drop_old(session, moment - timedelta(days=self.pace.keep_days), CLEAN_UP_ROWS)
        await records.drop_expired(session, moment)


class Attempt:
    """One attempt at a job: what its runner is given, and what keeps the job ours meanwhile."""

    def __init__(self, job: Job, gate: Gate, pace: Pace) -> None:
        self.job = job
        self.gate = gate
        self.finished = False
        self._pace = pace
        self._done = 0
        self._total = 0
        self._committing = False
        self._fate: type[Lost] | type[CalledOff] | None = None

    def progress(self, done: int, total: int) -> None:
        """Say how many lines are done; it is written down by and by, and never goes back, whatever is done anew."""
        self._done, self._total = max(self._done, done), total
        self.check()

    def check(self) -> None:
        """Stop here if the job was called off or lost."""
        if self._fate is not None:
            raise self._fate

    async def finish(self, work: Callable[[Unit], Awaitable[Mapping[str, Any] | None]]) -> None:
        """Do the work's part in the database and end the job in the same transaction, or neither of both."""
        self.check()
        database = self.gate.database

        async def commit(connection: AsyncConnection) -> None:
            session = Session(connection, database.dialect)
            await _let_go(session, self._pace)
            unit = await Unit.begin(session, Viewer(self.job.by), self.gate.clock, request_id=self.job.request_id)
            outcome = await work(unit)
            self.check()
            if not await store.finish(session, self.job, outcome, self._total):
                raise CalledOff if await store.standing(session, self.job) else Lost

        self._committing = True
        try:
            await database.transact(commit, long=True)
        finally:
            self._committing = False
        self.finished = True

    async def watch(self) -> None:
        """Hold on to the job, tell how far it is, and notice when it is called off or lost."""
        told = (0, 0)
        beaten = monotonic()
        while self._fate is None:
            await asyncio.sleep(self._pace.beat)
            now = (self._done, self._total)
            try:
                standing = await self._standing()
                if standing is None:
                    self._fate = Lost
                elif standing.cancel_requested:
                    self._fate = CalledOff
                elif (now != told and not self._alone) or self._due(beaten):
                    beaten = monotonic()
                    if not await self._beat(*now):
                        self._fate = Lost
                elif now != told:
                    self.gate.database.underway.remember(self.job.id, *now)
                    self.gate.database.tell([self.job.id])
                told = now
            except UNREACHABLE as error:
                # The final commit asks again whose the job is; until then hope is cheap.
                log.warning("job_not_held", job=self.job.id, reason=_first_line(error))

    @property
    def _alone(self) -> bool:
        """Whether this process is the only one, so that memory tells how far a job is, and spares everybody a write."""
        return self.gate.database.dialect == "sqlite"

    def _due(self, beaten: float) -> bool:
        """Whether the lease has to be renewed; while our own transaction keeps all others out, nobody can take it."""
        return monotonic() - beaten > self._pace.lease / 3 and not (self._alone and self._committing)

    async def _standing(self) -> Job | None:
        async with self.gate.database.read() as connection:
            return await store.standing(Session(connection, self.gate.database.dialect), self.job)

    async def _beat(self, done: int, total: int) -> bool:
        lease = timedelta(seconds=self._pace.lease)
        return await _write(
            self.gate.database, self._pace, lambda session: store.beat(session, self.job, lease, done, total)
        )


async def _write(database: Database, pace: Pace, work: Callable[[Session], Awaitable[T]]) -> T:
    """Write something about jobs, in a short transaction."""

    async def write(connection: AsyncConnection) -> T:
        session = Session(connection, database.dialect)
        await _let_go(session, pace)
        return await work(session)

    return await database.transact(write)


async def _let_go(session: Session, pace: Pace) -> None:
    """Have the database undo this transaction after a lease without a word of us.

    A worker that freezes in it must not keep its locks, the job's own included, from whoever takes over.
    """
    if session.dialect == "postgresql":
        limit = int(pace.lease * 1000)
        await session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {limit}"))


def _masked(job: Job) -> str:
    return f"{ErrorCode.INTERNAL_ERROR}: An unexpected error occurred; nothing was changed. Job {job.id}."


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
