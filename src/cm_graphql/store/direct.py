"""Reading straight on the driver, for statements that stand compiled: SQLAlchemy's execution costs as much as the rest.

Whoever reads gives a generator that yields statements with their parameters and is sent their rows.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite.pysqlite import dialect as sqlite_dialect
from sqlalchemy.engine import Dialect

from cm_graphql.store.connections import FAILURES, Connections
from cm_graphql.store.database import Database
from cm_graphql.store.endings import broken_off
from cm_graphql.store.errors import StoreError
from cm_graphql.store.fold import fold_text
from cm_graphql.store.inline import PROGRESS_STEPS

Work: TypeAlias = Generator[tuple[str, Sequence[Any]], list[Any], Any]


INLINE_SECONDS: Final = 0.02
"""A reading that was thought short may compute so long in the database, since all others wait meanwhile."""

INLINE_WAIT: Final = 0.25
"""So long it may take in all, with waits for the disk and for other processes."""

SHORT_ROWS: Final = 5_000
"""On either database it may read so many rows; shaping them takes as long again."""

LARGER_ROWS: Final = 300
"""A reading of PostgreSQL that reads more rows, and yet is short, is one of the larger ones."""

LARGER_AT_ONCE: Final = 3
"""So many of those go on at once: they keep this process busy, and more would only make all of them late."""

INLINE_CACHE: Final = 2_000
"""Kilobytes of pages that the connection of short readings keeps."""

THREADS: Final = 4
"""So many long readings go on at once."""

THREAD_CACHE: Final = 2_000
"""Kilobytes that the connection of each keeps."""


class ReadingFailed(StoreError):
    """The driver could not carry out a reading; the ordinary way may tell why."""


class TooLong(ReadingFailed):
    """A reading was not short: it was broken off, and may be tried once more as a long one."""


@dataclass(slots=True)
class Extent:
    """How far a reading went the last time, which tells about how far it goes the next time."""

    rows: int = 0


class Direct(Protocol):
    """A way to read one database."""

    name: str
    dialect: Dialect

    async def run(self, work: Work, *, short: bool, alone: bool = False, extent: Extent | None = None) -> Any:
        """Carry out a reading, all of it on one snapshot; `short` says that it needs no care, or else is TooLong.

        `alone` says that it has one statement, which needs no transaction for its snapshot. `extent` is kept with what
        is read again and again.
        """
        ...

    def usage(self) -> tuple[int, int]:
        """How many connections are in use, and how many there may be."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class SqliteDirect:
    """Reads a file in this process: a short reading takes less than handing it to a thread would."""

    name = "sqlite"

    def __init__(self, database: Database) -> None:
        self.dialect = database.readers.dialect
        self._path = str(database.readers.url.database)
        self._underway = database.underway
        self._inline: sqlite3.Connection | None = None
        self._until: tuple[float, float] | None = None
        """Until when the reading at hand may compute and may take, once it has been long enough to be looked at."""
        self._idle: list[sqlite3.Connection] = []
        self._busy = 0
        self._threads = asyncio.Semaphore(THREADS)

    async def run(self, work: Work, *, short: bool, alone: bool = False, extent: Extent | None = None) -> Any:
        """Carry out a reading at once, or as one job of a thread."""
        if short:
            if self._inline is None:
                self._inline = self._connect()
                self._inline.set_progress_handler(self._is_too_long, PROGRESS_STEPS)
            self._until = None
            return _carry_out(self._inline, work, most_rows=SHORT_ROWS, alone=alone)
        async with self._threads:
            connection = self._idle.pop() if self._idle else self._connect()
            self._busy += 1
            stopped = threading.Event()
            # No task, which the end of a loop would stop, and the thread go on.
            try:
                done = asyncio.get_running_loop().run_in_executor(None, _carry_out, connection, work, stopped)
            except BaseException:  # no thread can be had; one that comes later may take the work all the same
                stopped.set()
                self._busy -= 1
                raise
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                stopped.set()
                # Nobody else may have the connection before the thread has let go of it.
                await broken_off(done, connection.interrupt)
                raise
            finally:
                self._busy -= 1
                self._idle.append(connection)

    def usage(self) -> tuple[int, int]:
        """How many connections of threads are in use, and how many there may be."""
        return self._busy, THREADS

    def _is_too_long(self) -> bool:
        if self._until is None:  # most readings end before they are looked at, and need no clock
            self._until = time.thread_time() + INLINE_SECONDS, time.monotonic() + INLINE_WAIT
        computing, waiting = self._until
        return time.thread_time() > computing or time.monotonic() > waiting

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=512)
        connection.create_function(
            "fold", 1, lambda text: None if text is None else fold_text(text), deterministic=True
        )
        self._underway.introduce(connection)
        # Pages are kept, not mapped: what is mapped counts as memory of each process, up to all of the file.
        cache = INLINE_CACHE if self._inline is None else THREAD_CACHE
        for pragma in ("query_only = ON", "busy_timeout = 5000", f"cache_size = -{cache}"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    async def close(self) -> None:
        """Close the connections."""
        for connection in (*self._idle, *([self._inline] if self._inline else [])):
            connection.close()
        self._idle, self._inline = [], None


def _carry_out(
    connection: sqlite3.Connection,
    work: Work,
    stopped: threading.Event | None = None,
    most_rows: int | None = None,
    *,
    alone: bool = False,
) -> Any:
    rows: Any = None
    read = 0
    try:
        if not alone:
            connection.execute("BEGIN")
        while True:
            sql, parameters = work.send(rows)
            if stopped is not None and stopped.is_set():
                raise ReadingFailed("nobody waits for it any more")
            rows = connection.execute(sql, parameters).fetchall()
            read += len(rows)
            if most_rows is not None and read > most_rows:
                raise TooLong(f"it read more than {most_rows} rows")
    except StopIteration as done:
        return done.value
    except sqlite3.Error as error:
        if most_rows is not None and error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise TooLong("it took too long") from error
        raise ReadingFailed(str(error)) from error
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


class PostgresqlDirect:
    """Reads PostgreSQL through asyncpg, its statements prepared once per connection."""

    name = "postgresql"

    def __init__(self, database: Database, size: int) -> None:
        self.dialect = database.readers.dialect
        self._connections = Connections(database.plain_url, database.driver_options, size)
        self._larger = asyncio.Semaphore(LARGER_AT_ONCE)

    async def run(self, work: Work, *, short: bool, alone: bool = False, extent: Extent | None = None) -> Any:
        """Carry out a reading; larger ones have few of the connections, so that small ones need not wait for one."""
        extent = extent or Extent()
        turn = self._larger if LARGER_ROWS < extent.rows <= SHORT_ROWS else nullcontext()
        try:
            async with turn, self._connections.one() as connection:
                if alone:
                    return await self._carry_out(connection, work, short, extent)
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await self._carry_out(connection, work, short, extent)
        except FAILURES as error:
            raise ReadingFailed(str(error)) from error

    def usage(self) -> tuple[int, int]:
        """How many connections are in use, and how many there may be."""
        return self._connections.usage()

    async def _carry_out(self, connection: Any, work: Work, short: bool, extent: Extent) -> Any:
        rows: Any = None
        read = 0
        try:
            while True:
                sql, parameters = work.send(rows)
                # As `fetch`, but the server is told how many rows it may send.
                rows = await connection._execute(sql, parameters, SHORT_ROWS + 1 - read if short else 0, None)
                read += len(rows)
                if short and read > SHORT_ROWS:
                    raise TooLong(f"it read more than {SHORT_ROWS} rows")
        except StopIteration as done:
            return done.value
        finally:
            extent.rows = read

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()


class Unconnected:
    """Reads nothing: for those who only want to know what would be read."""

    def __init__(self, name: Literal["sqlite", "postgresql"]) -> None:
        self.name: str = name
        self.dialect: Dialect = sqlite_dialect() if name == "sqlite" else postgresql_dialect()  # type: ignore[no-untyped-call]

    async def run(self, work: Work, *, short: bool, alone: bool = False, extent: Extent | None = None) -> Any:
        """Refuse."""
        raise ReadingFailed("there is no database")

    def usage(self) -> tuple[int, int]:
        """None, of none."""
        return 0, 0

    async def close(self) -> None:
        """There is nothing to close."""


def open_direct(database: Database, size: int = 10) -> Direct:
    """The way to read a database straight on its driver."""
    if database.dialect == "sqlite":
        return SqliteDirect(database)
    return PostgresqlDirect(database, size)
