"""Brings made-up rows into a database as fast as its driver can, all of them or none."""

import gc
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from itertools import chain
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.seeding.rows import COLUMNS, Row
from cm_graphql.store.database import Database

ROWS_PER_STATEMENT: Final = 32
"""Rows that SQLite is given at once: half the work of one by one, and more would gain nothing."""

_POSTGRESQL_SETTINGS: Final = (
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL lock_timeout = 0",
    "SET LOCAL maintenance_work_mem = '256MB'",
    # Lines that refer to each other come in one statement; what is put off until the end would be kept in memory.
    "SET CONSTRAINTS ALL IMMEDIATE",
)
_QUICK: Final[dict[str, str | int]] = {
    "foreign_keys": 0,
    "ignore_check_constraints": 1,
    "cache_size": -262_144,
    # New pages are written once, and not first to a log that would grow as large as the data.
    "journal_mode": "DELETE",
}
_TABLES: Final = ", ".join(f"'{name}'" for name in COLUMNS)


@asynccontextmanager
async def loading(database: Database) -> AsyncIterator[AsyncConnection]:
    """A writing transaction for many rows, of which nothing is kept when it fails.

    PostgreSQL checks every row as ever. SQLite, where that would be half of the time, takes the rows unchecked:
    they are the same, and the tests check them there too.
    """
    with _without_collector():
        if database.dialect == "postgresql":
            async with database.write() as connection:
                for statement in _POSTGRESQL_SETTINGS:
                    await connection.execute(text(statement))
                yield connection
            return
        async with database.writers.connect() as connection:
            # Most of these hold outside of transactions only, where SQLAlchemy never is.
            driver: Any = (await connection.get_raw_connection()).driver_connection
            before = [await _pragma(driver, name) for name in _QUICK]
            try:
                await _set_pragmas(driver, _QUICK.items())
                async with connection.begin():
                    yield connection
            finally:
                await _set_pragmas(driver, zip(_QUICK, before, strict=True))


async def _pragma(driver: Any, name: str) -> Any:
    async with driver.execute(f"PRAGMA {name}") as cursor:
        return (await cursor.fetchone())[0]


async def _set_pragmas(driver: Any, values: Iterable[tuple[str, Any]]) -> None:
    for name, value in values:
        # Where somebody else has the file open, its journal stays as it is.
        with suppress(sqlite3.OperationalError) if name == "journal_mode" else nullcontext():
            await driver.execute(f"PRAGMA {name} = {value}")


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from looking for cycles among millions of tuples that have none, which takes half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def write(connection: AsyncConnection, rows: Mapping[str, Sequence[Row]]) -> None:
    """Insert rows of `COLUMNS`, parents first, the shortest way the driver has."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    for name, columns in COLUMNS.items():
        if not rows[name]:
            continue
        if connection.dialect.name == "postgresql":
            await driver.copy_records_to_table(name, records=rows[name], columns=columns)
        else:
            await _insert(driver, name, columns, rows[name])


async def _insert(driver: Any, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    into = f"INSERT INTO {name} ({', '.join(columns)}) VALUES "  # noqa: S608  names of ours
    places = f"({', '.join('?' * len(columns))})"
    odd = len(rows) % ROWS_PER_STATEMENT
    even = (
        tuple(chain.from_iterable(rows[start : start + ROWS_PER_STATEMENT]))
        for start in range(odd, len(rows), ROWS_PER_STATEMENT)
    )
    await driver.executemany(into + places, rows[:odd])
    await driver.executemany(into + ", ".join([places] * ROWS_PER_STATEMENT), even)


@asynccontextmanager
async def unburdened(connection: AsyncConnection) -> AsyncIterator[None]:
    """Take away what is kept up row by row, indexes and PostgreSQL's foreign keys, and make it again afterwards.

    To sort and to join once, at the end, takes a fraction of the time.
    """
    on_postgresql = connection.dialect.name == "postgresql"
    indexes = (await connection.execute(text(_POSTGRESQL_INDEXES if on_postgresql else _SQLITE_INDEXES))).all()
    keys = (await connection.execute(text(_POSTGRESQL_KEYS))).all() if on_postgresql else []
    for key in keys:
        await connection.exec_driver_sql(f"ALTER TABLE {key.owner} DROP CONSTRAINT {key.name}")
    for index in indexes:
        await connection.exec_driver_sql(f"DROP INDEX {index.name}")
    yield
    for index in indexes:
        await connection.exec_driver_sql(index.definition)
    for key in keys:
        await connection.exec_driver_sql(f"ALTER TABLE {key.owner} ADD CONSTRAINT {key.name} {key.definition}")


_SQLITE_INDEXES: Final = (
    "SELECT name, sql AS definition FROM sqlite_master"  # noqa: S608  names of ours
    f" WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({_TABLES})"
)
_OURS: Final = f"t.relname IN ({_TABLES}) AND t.relnamespace = current_schema()::regnamespace"
_POSTGRESQL_INDEXES: Final = (
    "SELECT i.indexrelid::regclass AS name, pg_get_indexdef(i.indexrelid) AS definition"  # noqa: S608  names of ours
    f" FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid WHERE {_OURS}"
    " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)"
)
"""The indexes that are not there for a constraint, with the statements that make them."""
_POSTGRESQL_KEYS: Final = (
    "SELECT t.oid::regclass AS owner, quote_ident(k.conname) AS name,"  # noqa: S608  names of ours
    " pg_get_constraintdef(k.oid) AS definition FROM pg_constraint k"
    f" JOIN pg_class t ON t.oid = k.conrelid WHERE k.contype = 'f' AND {_OURS}"
)
