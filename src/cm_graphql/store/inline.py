"""SQLite for writers: a statement runs where it is asked for, since handing it to a thread would take longer."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, cast

import aiosqlite

from cm_graphql.store.endings import broken_off
from cm_graphql.store.statements import Asked, Written

DRIVER: Final = "cm_graphql_driver"
"""Where a connection to SQLite says what its driver calls a connection; SQLAlchemy would tell by way of a greenlet."""

MANY: Final = 200
"""Sets of parameters from which on a statement goes to the thread, so that others are served meanwhile."""

INLINE_SECONDS: Final = 0.25
"""A question that was thought short has so long, since all others wait meanwhile; then the thread asks it anew."""

PROGRESS_STEPS: Final = 50_000
"""So many steps of SQLite's machine lie between two looks at the clock: about a millisecond."""

_NEVER: Final = float("inf")

T = TypeVar("T")


@dataclass(slots=True)
class _Limit:
    """When SQLite, which looks at the clock as it works, is to break a statement off."""

    at: float = _NEVER


class Opened(aiosqlite.Connection):
    """A connection that is opened to the end, and closed again, where nobody waits for it any more.

    Its thread would else answer an event loop that is gone, as where a server stops while it connects.
    """

    _told_to_stop = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limit = _Limit()

    async def _connect(self) -> aiosqlite.Connection:
        done: asyncio.Future[sqlite3.Connection] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, self._connector))
        try:
            self._connection = await self._answer(done)
        except BaseException:
            if done.done() and not done.cancelled() and done.exception() is None:
                self._connection = done.result()  # for the thread to close
            await self.close()
            raise
        return self

    def stop(self) -> asyncio.Future[Any] | None:
        """Have the thread close the file after whatever it is at, and stop; once, as it answers nobody who asks again.

        From now on nobody reaches the file: to ask SQLite something while the thread closes it would end the process.
        """
        if self._told_to_stop:
            return None
        self._told_to_stop = True
        return super().stop()

    async def close(self) -> None:
        """Wait until the thread has stopped, as told."""
        stopped = self.stop()
        if stopped is not None:
            await self._answer(stopped)

    async def rollback(self) -> None:
        """Undo what is open, as closing the file does too."""
        if not self._told_to_stop:
            await super().rollback()

    def break_off(self) -> None:
        """Have SQLite see that it is late; once interrupted, it would undo nothing as long as a cursor is open."""
        self._limit.at = -_NEVER

    def watch(self, connection: sqlite3.Connection) -> None:
        """Have SQLite look at the clock as it works."""
        limit = self._limit  # and not this object, which nothing would let go of any more
        connection.set_progress_handler(lambda: time.monotonic() > limit.at, PROGRESS_STEPS)

    @property
    def _conn(self) -> sqlite3.Connection:
        if self._told_to_stop or self._connection is None:
            raise sqlite3.OperationalError("no active connection")  # of which SQLAlchemy knows what it means
        return self._connection

    async def _in_thread(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Wait for the thread, also where nobody waits for its answer any more: what follows must not overtake it."""
        connection = self._conn
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, partial(fn, *args, **kwargs)))
        try:
            return await self._answer(done)
        except asyncio.CancelledError:
            self._limit.at = _NEVER
            # SQLAlchemy closes the connection, which keeps its locks as long as a traceback holds a statement.
            self._undo(connection)
            raise

    async def _answer(self, done: asyncio.Future[T]) -> T:
        """Wait for the thread without a task in between, which the end of a loop would stop, and the thread go on."""
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await broken_off(done, self.break_off)
            raise

    def _undo(self, connection: sqlite3.Connection) -> None:
        """Undo what is open, unless the file is being closed, which undoes it too."""
        if not self._told_to_stop and connection.in_transaction:
            connection.rollback()


class Inline(Opened):
    """A connection whose statements run in the event loop, save those that may take long or wait for somebody."""

    apart = False
    """Whether everything goes to the thread: whoever writes much says so."""

    keeps = True
    """Whether what is written is kept: no more, once nobody waits for it and the database is closed."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.apart or self._told_to_stop or self._connection is None or _may_wait(args):
            return await self._in_thread(fn, *args, **kwargs)
        if not _only_asks(args):
            return fn(*args, **kwargs)
        self._limit.at = time.monotonic() + INLINE_SECONDS
        try:
            return fn(*args, **kwargs)
        except sqlite3.OperationalError:
            if time.monotonic() <= self._limit.at:
                raise
        finally:
            self._limit.at = _NEVER
        # Broken off, which leaves the transaction as it was: nothing but a question can be asked twice.
        return await self._in_thread(fn, *args, **kwargs)

    async def ask(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """The rows of each question, without aiosqlite's wrappers."""
        connection = self._conn
        if self.apart:
            return cast(list[list[Any]], await self._in_thread(answer, connection, asked))
        self._limit.at = time.monotonic() + INLINE_SECONDS
        try:
            return answer(connection, asked)
        except sqlite3.OperationalError:
            if time.monotonic() <= self._limit.at:
                raise
        finally:
            self._limit.at = _NEVER
        return cast(list[list[Any]], await self._in_thread(answer, connection, asked))  # as above

    async def write(self, statements: Sequence[Written]) -> None:
        """Carry out writing statements, each for all its sets of parameters, without aiosqlite's wrappers."""
        connection = self._conn
        for sql, parameters, _, _ in statements:
            if self.apart or len(parameters) > MANY:
                await self._in_thread(connection.executemany, sql, parameters)
            elif len(parameters) == 1:
                connection.execute(sql, parameters[0])
            else:
                connection.executemany(sql, parameters)

    async def begin(self) -> None:
        """Begin to write; for the lock of the file the thread waits."""
        await self._in_thread(self._conn.execute, "BEGIN IMMEDIATE")

    def say(self, sql: str) -> None:
        """Carry out at once what only concerns the transaction."""
        self._conn.execute(sql)

    def look(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """The rows that answer at once what is asked of one row."""
        return self._conn.execute(sql, parameters).fetchall()

    @property
    def rows_written(self) -> int:
        """How many rows this connection has written in all."""
        return self._conn.total_changes

    async def copy_log(self) -> None:
        """Copy the log to the file, as far as nobody else does or reads it."""
        await self._in_thread(self._conn.execute, "PRAGMA wal_checkpoint(PASSIVE)")

    async def commit(self) -> None:
        """Commit; others go on while the disk is waited for."""
        connection = self._conn
        if not connection.in_transaction:  # to commit nothing would succeed
            raise sqlite3.OperationalError("SQLite has undone the transaction")
        if not self.keeps:
            raise sqlite3.OperationalError("the database was closed meanwhile")
        try:
            await self._in_thread(connection.commit)
        except sqlite3.Error:
            # Where a reference is missing SQLite leaves the transaction open, while SQLAlchemy takes it for ended.
            self._undo(connection)
            raise


def answer(connection: sqlite3.Connection, asked: Sequence[Asked]) -> list[list[Any]]:
    """The rows of each question."""
    return [
        question.rows(connection.execute(question.sql, question.parameters(values)).fetchall())
        for question, values in asked
    ]


def _may_wait(args: tuple[Any, ...]) -> bool:
    """Whether a statement waits for the lock of the file, or has much to do."""
    if not args or not isinstance(args[0], str):
        return False
    return args[0].startswith("BEGIN") or (len(args) > 1 and isinstance(args[1], list) and len(args[1]) > MANY)


def _only_asks(args: tuple[Any, ...]) -> bool:
    return bool(args) and isinstance(args[0], str) and args[0].lstrip().startswith(("SELECT", "WITH RECURSIVE"))


def connect(path: str, **options: Any) -> Inline:
    """What SQLAlchemy awaits for a new connection."""

    def open_file() -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(path, **options | {"check_same_thread": False})
        made.watch(connection)
        return connection

    made = Inline(open_file, iter_chunk_size=64)
    made._thread.daemon = True  # as SQLAlchemy has it of those that it makes itself
    return made


@asynccontextmanager
async def apart(driver: Any) -> AsyncIterator[None]:
    """Have everything that a connection is asked meanwhile done in its thread; other drivers wait anyway."""
    if not isinstance(driver, Inline):
        yield
        return
    driver.apart = True
    try:
        yield
    finally:
        driver.apart = False
