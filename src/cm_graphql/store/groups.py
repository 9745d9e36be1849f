"""SQLite's one writer at a time, several of whom share a durable commit.

A commit waits for the disk, thousands of times longer than the statements of an action. So an action that finds others
waiting leaves the commit to them: each runs in a savepoint of its own, and all are answered once the transaction that
holds them is safe. Whoever is refused, or only tries, undoes no more than its own savepoint.

While a commit waits, nobody can write. So that there is something else to do, half of those who are there go at a time,
and are told of their commit when that of the other half has begun: then their answers are made and their next requests
are read while the disk is busy with the others.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cm_graphql.store.checkpoints import Checkpoints
from cm_graphql.store.endings import to_the_end
from cm_graphql.store.errors import Conflict, LockTimeout, wrapped
from cm_graphql.store.inline import DRIVER, Inline

MOST_TOGETHER: Final = 64
"""Actions that share a commit at most."""
LONGEST: Final = 0.05
"""Seconds after which a group takes nobody else in, so that the first of it are not kept waiting."""
LATEST: Final = 0.02
"""Seconds after its commit when a group is told of it, wherever the next one is."""
AROUND: Final = 0.4
"""What there is to do for an action outside its turn, to read the request and to answer it, as a share of its turn."""

log = structlog.get_logger("cm_graphql.store")


class Group:
    """A transaction that several actions share, until its commit."""

    def __init__(self, connection: AsyncConnection, most: int) -> None:
        """It has room for so many members at `most`."""
        self.connection = connection
        self.driver: Inline = connection.info[DRIVER]
        self.members = 0
        self._most = most
        self._since = monotonic()
        self._outcome: BaseException | None = None
        self._ended = False
        self._committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def worked(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._since

    @property
    def full(self) -> bool:
        """Whether it is time to commit, whoever waits."""
        return self.members >= self._most or self.worked > LONGEST

    async def committed(self) -> asyncio.CancelledError | None:
        """Wait until all of it is safe, as `to_the_end` does."""
        return await to_the_end(self._committed)

    async def commit(self) -> None:
        """Make all of it safe. SQLAlchemy knows of the transaction only if somebody has used it."""
        if self.connection.in_transaction():
            await self.connection.commit()
            return
        try:
            await self.driver.commit()
        except sqlite3.Error as error:
            raise wrapped(error, self.connection.dialect) from error

    async def roll_back(self) -> None:
        """Undo all of it."""
        if self.connection.in_transaction():
            await self.connection.rollback()
        else:
            self.driver.say("ROLLBACK")

    def give_up(self) -> None:
        """Let the members go if it has come to no end: the loop ended before the commit began."""
        if not self._ended:
            self._committed.cancel()

    def end(self, error: BaseException | None) -> None:
        """Know what became of the members."""
        self._ended = True
        # Any of them may be to blame, so each is to be repeated alone.
        shared = error is not None and self.members > 1
        self._outcome = Conflict("others that were to be committed together with it failed") if shared else error

    def tell(self) -> None:
        """Tell the members what became of them."""
        if self._committed.done() or not self._ended:
            return
        if self._outcome is None:
            self._committed.set_result(None)
        else:
            self._committed.set_exception(self._outcome)
            self._committed.exception()  # there may be nobody left to hear it


class Writers:
    """Those who want to write, in the order they came."""

    def __init__(self, engine: AsyncEngine, patience: float) -> None:
        """`patience` is how many seconds one waits for one's turn."""
        self._engine = engine
        self._checkpoints = Checkpoints(str(engine.url.database))
        self._patience = patience
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._connection: AsyncConnection | None = None
        """The only one that writes, kept for as long as it works: what SQLAlchemy does to take one from its pool and
        give it back costs as much as an action."""
        self._group: Group | None = None
        self._abandoned = False
        """Whether what the connection has open is nobody's any more."""
        self._outlived = False
        """Whether the connection is to be closed as soon as whoever writes comes to an end."""
        self._committing: asyncio.Task[None] | None = None
        self._before: Group | None = None
        """The group before, whose members may not yet have been told what became of them."""
        self._commit_took = 0.0
        """Seconds that the last commit waited for the disk."""
        self._turn_took = 0.0
        """Seconds that a turn took, going by the last group."""

    @asynccontextmanager
    async def together(self, then: Callable[[], None]) -> AsyncIterator[Group]:
        """Take one's turn in a savepoint of a transaction that others may share; ends when that is committed.

        `then` is called after the commit, also where the caller was cancelled meanwhile.
        """
        await self._turn()
        try:
            group = self._group = self._group or await self._begun()
            group.driver.say("SAVEPOINT one")
            try:
                yield group
                group.driver.say("RELEASE one")  # fails where SQLite has undone everything, whoever was told so
            except BaseException:
                await self._undo(group)
                raise
            group.members += 1
        finally:
            self._pass_on()
        stopped = await group.committed()
        then()
        if stopped is not None:
            raise stopped

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[AsyncConnection]:
        """Take one's turn with nobody else's changes open; the transaction is one's own business."""
        await self._turn()
        try:
            await self._commit_what_is_open()
            yield await self._connected()
        finally:
            self._pass_on()

    @property
    def busy(self) -> bool:
        """Whether anybody writes."""
        return self._taken

    async def close(self) -> None:
        """Wait for the one that writes, and for those who are to be committed together with it; close the connection.

        One that writes for too long is not waited for: it finds at its end that nothing of it is kept.
        """
        try:
            await self._turn()
        except LockTimeout:
            if self._connection is not None and not self._connection.closed:
                self._connection.info[DRIVER].keeps = False
                self._outlived = True
            await self._checkpoints.close()
            return
        try:
            await self._commit_what_is_open()
            await self._checkpoints.close()
            await self._disconnect()
        finally:
            self._pass_on()

    async def _turn(self) -> None:
        if not self._taken:
            self._taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it came in the moment that it was no longer waited for
            elif turn in self._waiting:  # else it has been passed over
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise LockTimeout("another action has been writing for too long") from None
            raise

    def _pass_on(self) -> None:
        """Let the next one write; where there is none, or too much is open, commit first."""
        group = self._group
        if group is not None and (group.full or not self._waiting):
            self._committing = asyncio.create_task(self._commit_and_pass_on(group))
            self._committing.add_done_callback(lambda _task: self._has_ended(group))
            return
        if group is None and self._outlived:
            self._committing = asyncio.create_task(self._disconnect())
            self._committing.add_done_callback(lambda _task: self._is_disconnected())
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        if group is None:
            self._taken = False
        else:  # all who waited have given up
            self._pass_on()

    def _is_disconnected(self) -> None:
        """Let the next one write; where the loop ended before, that one gives the connection up."""
        self._abandoned, self._outlived = self._abandoned or self._outlived, False
        self._pass_on()

    def _has_ended(self, group: Group) -> None:
        """Let everybody go on where the loop ended before the commit began: nobody else would pass the turn on."""
        group.give_up()
        if self._group is group:
            self._group, self._abandoned = None, True
            self._pass_on()

    async def _commit_what_is_open(self) -> None:
        """Commit, and tell everybody, before one who shares nothing. Whoever gives up meanwhile waits for the end of it
        all the same, so that nobody has the turn before."""
        group = self._group
        if group is not None:
            committing = asyncio.create_task(self._commit(group))
            committing.add_done_callback(lambda _task: group.give_up())
            try:
                stopped = await to_the_end(committing)
            finally:
                self._tell()  # there may be no next commit to do it
            if stopped is not None:
                raise stopped
        self._tell()

    async def _commit_and_pass_on(self, group: Group) -> None:
        try:
            await self._commit(group)
        finally:
            if self._waiting and self._halve():
                asyncio.get_running_loop().call_later(LATEST, self._tell, group)
            else:
                self._tell()
            self._pass_on()

    async def _begun(self) -> Group:
        group = Group(await self._connected(), self._room())
        try:
            await group.driver.begin()
        except sqlite3.Error as error:
            raise wrapped(error, group.connection.dialect) from error
        return group

    @property
    def _there(self) -> int:
        """How many wait for their turn, or have had it and may come again; the one that has it now included."""
        return 1 + len(self._waiting) + (self._before.members if self._before is not None else 0)

    def _room(self) -> int:
        """For how many the next group has room."""
        return min(-(-self._there // 2), MOST_TOGETHER) if self._halve() else MOST_TOGETHER

    def _halve(self) -> bool:
        """Whether half of those who are there should go at a time, or would only wait for the disk more often."""
        return self._commit_took < AROUND * self._turn_took * self._there

    def _tell(self, which: Group | None = None) -> None:
        """Tell the group before, if it is this one, what became of it."""
        if self._before is not None and which in (None, self._before):
            self._before.tell()

    async def _connected(self) -> AsyncConnection:
        if self._connection is not None and (
            self._abandoned or self._outlived or self._connection.closed or self._connection.invalidated
        ):
            await self._disconnect()
        if self._connection is None:
            self._connection = await self._engine.connect()
        return self._connection

    async def _disconnect(self) -> None:
        """Give the connection up, which rolls back what is still open; no pool keeps one that is to be closed."""
        connection, self._connection = self._connection, None
        outlived, self._abandoned, self._outlived = self._outlived, False, False
        if connection is not None:
            if outlived:
                await connection.invalidate()
            await connection.close()

    async def _commit(self, group: Group) -> None:
        """Make everything of a group safe, or nothing, and know which; does not fail itself."""
        self._group = None
        self._turn_took = group.worked / max(group.members, 1)
        error: BaseException | None = None
        # Once the disk is busy with these, there is time for those before.
        asyncio.get_running_loop().call_soon(self._tell)
        begun = monotonic()
        try:
            await to_the_end(group.commit() if group.members else group.roll_back())
        except BaseException as problem:
            error = problem
            if group.members > 1:
                reason = str(problem).partition("\n")[0] or type(problem).__name__
                log.warning("group_not_committed", members=group.members, reason=reason)
            with suppress(Exception):
                await self._disconnect()
        self._commit_took = monotonic() - begun
        group.end(error)
        self._tell()
        self._before = group
        if error is None:
            await self._copy_log(group)

    async def _copy_log(self, group: Group) -> None:
        """Copy what is left of the log, or have it copied once it is long."""
        with suppress(sqlite3.Error):
            if self._checkpoints.take_rest():
                self._tell()
                await group.driver.copy_log()
            else:
                self._checkpoints.written(group.driver.rows_written)

    async def _undo(self, group: Group) -> None:
        """Undo one's own; where even that fails, SQLite has undone everything, and the group is at its end."""
        try:
            group.driver.say("ROLLBACK TO one")
            group.driver.say("RELEASE one")
        except Exception as problem:
            self._group = None
            group.members += 1  # the one that failed is told by its own error
            group.end(problem)
            group.tell()
            with suppress(Exception):
                await self._disconnect()
