"""One database behind one URL, SQLite or PostgreSQL: short reading and writing transactions, and nothing else.

SQLite has one writer at a time, so writers queue here, in the order they came, before they ask the file for its lock;
those who wait at the same time share a commit (see `groups`).
PostgreSQL locks rows: whoever changes a row says FOR UPDATE first, in one global order.
"""

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any, Final, Literal, Self, TypeVar
from uuid import uuid4

import aiosqlite
from sqlalchemy import URL, event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from cm_graphql.store import inline
from cm_graphql.store.connections import FAILURES, GOODBYE, Connections
from cm_graphql.store.endings import to_the_end
from cm_graphql.store.errors import Conflict, StoreError, is_lost, typed, unreachable
from cm_graphql.store.fold import fold_text
from cm_graphql.store.groups import Writers
from cm_graphql.store.statements import Asked
from cm_graphql.store.trips import Trips
from cm_graphql.store.types import to_json
from cm_graphql.store.underway import Underway

Dialect = Literal["sqlite", "postgresql"]
Result = TypeVar("Result")

DEFAULT_LOCK_TIMEOUT: Final = 5.0
"""Seconds that a writer waits for a lock, and anybody for a connection."""

PATIENCE_AT_ONCE: Final = 0.05
"""Seconds that whoever moves money without locks waits for those who have them: a commit's time. Whoever holds them for
longer, as a large job does, would have all connections of `at_once` wait for it, and those who need no lock with them;
under locks, one waits on others."""

STATEMENTS: Final = 1_000
"""So many different statements stand prepared on a connection that reads by plans."""

STATEMENTS_AT_ONCE: Final = 200
"""So many on one that moves money without locks: the server keeps 0.3 MB for each of those that write everything, and
there are some fifty of them for each payload that clients word."""

IDLE: Final = 2
"""How many times as long as one statement may take a transaction may say nothing: then PostgreSQL undoes it."""

CONFLICT_ATTEMPTS: Final = 4
"""How often `Database.transact` tries before it gives a conflict back."""

_ANNOUNCED: Final = "cm_graphql_announced"

_DRIVERS: Final[dict[str, tuple[Dialect, str]]] = {
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
    "sqlite+aiosqlite": ("sqlite", "sqlite+aiosqlite"),
    "postgres": ("postgresql", "postgresql+asyncpg"),
    "postgresql": ("postgresql", "postgresql+asyncpg"),
    "postgresql+asyncpg": ("postgresql", "postgresql+asyncpg"),
}


class Database:
    """The pools of one database. `readers` and `writers` are its engines; everything goes through `read` and `write`.

    It belongs to the event loop that first uses it.
    """

    def __init__(self, dialect: Dialect, readers: AsyncEngine, writers: AsyncEngine, lock_timeout: float) -> None:
        self.dialect: Dialect = dialect
        self.underway = Underway()
        """How far jobs are that this process works at."""
        self.readers = readers
        self.writers = writers
        self.lock_timeout = lock_timeout
        self.driver_options: dict[str, Any] = {}
        """What PostgreSQL's driver is told when it is used without SQLAlchemy."""
        self.straight: Connections | None = None
        """PostgreSQL's connections for what needs no transaction (see `at_once`)."""
        self.trips: Trips | None = None
        """What goes on these connections, where several may go together."""
        self.told: set[str] = set()
        """The questions that are answered with what is written (see `at_once`)."""
        self.listeners: list[Callable[[Sequence[str]], None]] = []
        """Told after each commit what it announced; they must not wait, nor fail."""
        self._queue = Writers(writers, lock_timeout) if dialect == "sqlite" else None

    @classmethod
    def open(
        cls,
        url: str,
        *,
        pool_size: int = 10,
        prepared_statements: bool = True,
        lock_timeout: float = DEFAULT_LOCK_TIMEOUT,
        statement_timeout: float | None = None,
    ) -> Self:
        """Prepare the pools for a URL; connections are made when they are needed.

        `postgresql://user@host/name` speaks through asyncpg, `sqlite:///path` through aiosqlite. Without
        `prepared_statements` the connections can pass a pooler in transaction mode. Times are in seconds;
        `statement_timeout` is PostgreSQL's, which also undoes a transaction that says nothing for twice as long.
        Raises ValueError for a URL that cannot be used.
        """
        parsed, dialect = driver_url(url)
        if dialect == "sqlite":
            pool: dict[str, Any] = {"pool_timeout": lock_timeout}
            checks = ("foreign_keys = ON",)
            readers = (*checks, "query_only = ON", "cache_size = -1000")
            reading = _sqlite_engine(
                parsed, lock_timeout, "BEGIN", readers, pool_size=pool_size, max_overflow=0, **pool
            )
            # What a large transaction changes stays in memory until the commit, instead of going to the file twice;
            # of what it only reads, the system keeps more than enough. A commit copies the log to the file only where
            # it has grown to 64 MB: a thread does that before (see `checkpoints`).
            # What a savepoint may have to undo is kept in memory too; else every group of actions makes a file for it.
            memory = ("cache_size = -2000", "cache_spill = -32768", "temp_store = MEMORY")
            writers = (*checks, *memory, "wal_autocheckpoint = 16000")
            # The queue keeps the one that writes; another is for whoever loads a file that nobody else uses.
            writing = _sqlite_engine(
                parsed,
                lock_timeout,
                "BEGIN IMMEDIATE",
                writers,
                pool_size=1,
                max_overflow=1,
                connect=inline.connect,
                **pool,
            )
            database = cls(dialect, reading, writing, lock_timeout)
            for engine in (reading, writing):  # those that write read too, for who is shown what a dry run came to
                event.listen(engine.sync_engine, "connect", lambda opened, _record: database.underway.introduce(opened))
            return database
        writing = _postgresql_engine(parsed, lock_timeout, statement_timeout, prepared_statements, pool_size)
        # One snapshot for all statements of a read, as on SQLite; read-only transactions never fail for it.
        reading = writing.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        database = cls(dialect, reading, writing, lock_timeout)
        database.driver_options = _driver_options(lock_timeout, statement_timeout, prepared_statements)
        if prepared_statements:  # a pooler forgets between statements how long one may wait for a lock
            soon = _driver_options(min(lock_timeout, PATIENCE_AT_ONCE), statement_timeout, prepared_statements)
            soon["statement_cache_size"] = STATEMENTS_AT_ONCE
            database.straight = Connections(database.plain_url, soon, pool_size, _read_json)
            database.trips = Trips(database.straight)
        return database

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many connections of each pool are in use, and how many there may be."""
        reads, writes = (engine.sync_engine.pool for engine in (self.readers, self.writers))
        named = {"reads_and_writes": writes} if reads is writes else {"reads": reads, "writes": writes}
        used = {name: (pool.checkedout(), pool.size()) for name, pool in named.items() if isinstance(pool, QueuePool)}
        if self._queue is not None:
            used["writes"] = int(self._queue.busy), 1
        return used if self.straight is None else {**used, "at_once": self.straight.usage()}

    @property
    def plain_url(self) -> str:
        """The URL as PostgreSQL's driver itself takes it, password and all."""
        return self.readers.url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def dispose(self) -> None:
        """Close all connections."""
        if self._queue is not None:
            await self._queue.close()
        if self.straight is not None:
            await self.straight.close()
        for engine in (self.readers, self.writers):
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A short transaction that sees one snapshot and refuses to write. Do not share it between tasks.

        Raises Unreachable where the database is away, or goes away meanwhile.
        """
        is_open = False
        try:
            async with self.readers.begin() as connection:
                is_open = True
                yield connection
        except (DBAPIError, PoolTimeout, *FAILURES) as error:
            known = _known(error, is_open=is_open)
            if known is None:
                raise
            raise known from error

    @asynccontextmanager
    async def write(self, *, dry_run: bool = False, long: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed when this ends, or of which nothing stays when an exception leaves the block.

        A `dry_run` undoes everything in any case. A `long` one, of thousands of rows, keeps nobody else's commit
        waiting on SQLite, and leaves the processor to others meanwhile. Raises LockTimeout or Conflict (both
        Contention), and Unreachable where the database is away or lost before the commit; lost in the commit, it may be
        done all the same, which stays SQLAlchemy's DBAPIError, as a violated constraint its IntegrityError. Do no other
        I/O inside: on SQLite everybody else waits.
        """
        announced: dict[str, None] = {}
        is_open = commits = False
        try:
            if self._queue is None:
                async with self.writers.connect() as connection, self._own(connection, announced, dry_run=dry_run):
                    is_open = True
                    yield connection
                    commits = True
            elif dry_run or long:
                async with (
                    self._queue.alone() as connection,
                    self._own(connection, announced, dry_run=dry_run, apart=long),
                ):
                    is_open = True
                    yield connection
                    commits = True
            else:
                async with self._queue.together(lambda: self.tell(list(announced))) as group:
                    group.connection.info[_ANNOUNCED] = announced
                    is_open = True
                    yield group.connection
                    commits = True
        except (DBAPIError, PoolTimeout, *FAILURES) as error:
            known = typed(error) if commits else _known(error, is_open=is_open)
            if known is None:
                raise
            raise known from error

    @asynccontextmanager
    async def _own(
        self, connection: AsyncConnection, announced: dict[str, None], *, dry_run: bool, apart: bool = False
    ) -> AsyncIterator[None]:
        """A transaction shared with nobody."""
        connection.info[_ANNOUNCED] = announced
        async with inline.apart(connection.info.get(inline.DRIVER)) if apart else nullcontext():
            transaction = await connection.begin()
            try:
                yield
                stopped = None if dry_run else await to_the_end(transaction.commit())
            except BaseException:
                await _undo(connection, transaction)
                raise
            if dry_run:
                await _undo(connection, transaction)
                return
        self.tell(list(announced))
        if stopped is not None:
            raise stopped

    def tell(self, changed: Sequence[str]) -> None:
        """Have the listeners look at these."""
        if changed:
            for listener in self.listeners:
                listener(changed)

    async def transact(
        self, work: Callable[[AsyncConnection], Awaitable[Result]], *, dry_run: bool = False, long: bool = False
    ) -> Result:
        """Run `work` in a `write` and answer its result; repeat it from the start when the database breaks a deadlock.

        So `work` has no effects but those on the connection.
        """
        for attempt in range(1, CONFLICT_ATTEMPTS):
            try:
                async with self.write(dry_run=dry_run, long=long) as connection:
                    return await work(connection)
            except Conflict:
                # The longer it takes, the wider those in each other's way are spread.
                await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  spreads load, guards nothing
                long = True  # where a shared commit failed, each is tried without the others
        async with self.write(dry_run=dry_run, long=long) as connection:
            return await work(connection)


def announce(connection: AsyncConnection, changed: str) -> None:
    """Have an id told to the listeners of the database, once the transaction of this connection is committed."""
    connection.info.setdefault(_ANNOUNCED, {})[changed] = None


def _known(error: Exception, *, is_open: bool) -> StoreError | None:
    """Name the error of a transaction that was not to be committed yet; whatever keeps one from beginning is alike."""
    known = typed(error)
    return unreachable(error) if known is None and (not is_open or is_lost(error)) else known


async def _undo(connection: AsyncConnection, transaction: AsyncTransaction) -> None:
    """Roll a transaction back, or where that fails drop its connection, whose locks would stay else."""
    try:
        await transaction.rollback()
    except Exception:
        await connection.invalidate()
        raise


def announced_on(connection: AsyncConnection) -> list[str]:
    """What was announced on a connection."""
    return list(connection.info.get(_ANNOUNCED, ()))


def driver_url(url: str) -> tuple[URL, Dialect]:
    """Read a database URL and name its driver; raises ValueError, which says what would do, without the password."""
    try:
        parsed = make_url(url)
    except Exception:
        raise ValueError("The database URL is malformed: expected postgresql://... or sqlite:///path.") from None
    if parsed.drivername not in _DRIVERS:
        raise ValueError(
            f"The database URL begins with {parsed.drivername}://: only postgresql:// and sqlite:/// are known."
        )
    dialect, drivername = _DRIVERS[parsed.drivername]
    if dialect == "sqlite" and (not parsed.database or ":memory:" in parsed.database or "mode" in parsed.query):
        raise ValueError(
            "An SQLite database in memory is another one for each connection: name a file, as in sqlite:///memos.db."
        )
    return parsed.set(drivername=drivername), dialect


def migration_engine(url: str) -> AsyncEngine:
    """An engine for one connection that changes the schema: it waits for locks as long as it takes."""
    parsed, dialect = driver_url(url)
    if dialect == "sqlite":
        # Rebuilding a table must not cascade to its children, so references are checked once, at the end.
        return _sqlite_engine(parsed, 3600.0, "BEGIN IMMEDIATE", ("foreign_keys = OFF",), poolclass=NullPool)
    options = _unprepared() | {"server_settings": {"application_name": "cm-graphql-migration"}}
    return create_async_engine(parsed, poolclass=NullPool, connect_args=options)


class _Connection(inline.Opened):
    """Stops its statement when whoever waits for it is cancelled: its thread would go on to the end.

    The transaction is undone at once. SQLAlchemy closes the connection only, and as long as any traceback still holds
    the statement, a closed connection holds its locks.
    """

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._in_thread(fn, *args, **kwargs)

    async def ask(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """The rows of each question, for which the thread is asked once."""
        answer: list[list[Any]] = await self._execute(inline.answer, self._conn, asked)
        return answer


def _connect(database: str, **options: Any) -> _Connection:
    def open_file() -> sqlite3.Connection:
        opened: sqlite3.Connection = sqlite3.connect(database, **options)
        made.watch(opened)
        return opened

    made = _Connection(open_file, iter_chunk_size=64)
    made._thread.daemon = True  # whoever ends the process does not wait for it
    return made


def _sqlite_engine(
    url: URL,
    lock_timeout: float,
    begin: str,
    pragmas: tuple[str, ...],
    *,
    connect: Callable[..., aiosqlite.Connection] = _connect,
    **options: Any,
) -> AsyncEngine:
    """An engine whose every transaction starts with `begin`, on connections with `pragmas` beside the usual ones."""
    engine = create_async_engine(
        url, json_serializer=to_json, hide_parameters=True, connect_args={"async_creator_fn": connect}, **options
    )
    usual = (f"busy_timeout = {int(lock_timeout * 1000)}", "journal_mode = WAL", "synchronous = FULL")

    def prepare(dbapi_connection: Any, record: Any) -> None:
        record.info[inline.DRIVER] = dbapi_connection.driver_connection
        # The driver must not begin transactions on its own: it does so too late, and increments get lost.
        dbapi_connection.isolation_level = None
        dbapi_connection.create_function("fold", 1, _fold_nullable, deterministic=True)
        cursor = dbapi_connection.cursor()
        for pragma in (*usual, *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def start(connection: Connection) -> None:
        driver = connection.info[inline.DRIVER]
        if not driver.in_transaction:  # which a group of writers begins straight on the driver
            connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", start)
    return engine


def _fold_nullable(text: str | None) -> str | None:
    return None if text is None else fold_text(text)


def _postgresql_engine(
    url: URL, lock_timeout: float, statement_timeout: float | None, prepared_statements: bool, pool_size: int
) -> AsyncEngine:
    limits = {"lock_timeout": str(int(lock_timeout * 1000))}
    if statement_timeout is not None:
        limits["statement_timeout"] = str(int(statement_timeout * 1000))
        # A process that freezes in a transaction says nothing any more, and must not keep its locks until it wakes up.
        limits["idle_in_transaction_session_timeout"] = str(int(statement_timeout * 1000 * IDLE))
    settings = {"application_name": "cm-graphql", "timezone": "UTC"}
    engine = create_async_engine(
        url,
        json_serializer=to_json,
        hide_parameters=True,  # errors are logged; what rows hold is nobody's business there
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=lock_timeout,
        connect_args={"server_settings": settings | limits}
        if prepared_statements
        else _unprepared() | {"server_settings": settings},
    )
    event.listen(engine.sync_engine, "checkout", _replace_unusable)
    if not prepared_statements:
        # A pooler refuses limits at connect, and forgets them between transactions: say them in each.
        set_limits = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())

        def limit(connection: Connection) -> None:
            connection.exec_driver_sql(set_limits)

        event.listen(engine.sync_engine, "begin", limit)
    return engine


def _driver_options(lock_timeout: float, statement_timeout: float | None, prepared_statements: bool) -> dict[str, Any]:
    if not prepared_statements:
        return {"statement_cache_size": 0}
    limits = {"lock_timeout": str(int(lock_timeout * 1000))}
    if statement_timeout is not None:
        limits["statement_timeout"] = str(int(statement_timeout * 1000))
    settings = {"application_name": "cm-graphql-plans", "timezone": "UTC", "jit": "off", **limits}
    return {"statement_cache_size": STATEMENTS, "server_settings": settings}


async def _read_json(connection: Any) -> None:
    """Have JSON handed over as SQLAlchemy does."""
    text: dict[str, Any] = {"encoder": str.encode, "decoder": json.loads, "schema": "pg_catalog", "format": "binary"}
    await connection.set_type_codec("json", **text)


def _unprepared() -> dict[str, Any]:
    """What asyncpg needs to pass a pooler in transaction mode: no caches, and no name used twice."""
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__cm_graphql_{uuid4().hex}__",
    }


def _replace_unusable(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that is not as it was made; asking it costs no round trip."""
    driver = dbapi_connection.driver_connection
    if driver.is_closed():
        raise DisconnectionError("the server closed this connection")
    # SQLAlchemy does not know of a transaction that somebody was stopped in beginning. The driver does, and would take
    # the next one for a part of it: what is committed then is a savepoint, and is lost.
    if driver._top_xact is not None or driver.is_in_transaction():
        raise DisconnectionError("somebody was stopped while beginning a transaction on this connection")
