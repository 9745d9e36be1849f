"""Many rows in few statements: what an action of 15,000 lines writes costs a handful of round trips.

The statements are the drivers' own. PostgreSQL is handed a whole column at a time as an array; SQLite, which has no
round trips, has one prepared statement run for every row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Dialect

from cm_graphql.store.session import Session
from cm_graphql.store.statements import Written

Values = dict[str, Any]
Row = Mapping[str, Any]

CHUNK = 500
"""Keys per statement where they are listed one by one; far below every driver's limit of parameters."""

ROWS = 2_000
"""Rows handed to the driver at once: enough to make round trips cheap, few enough to share the processor in between."""


async def insert(session: Session, table: Table, rows: Iterable[Row]) -> None:
    """Insert rows, all of the same columns; none is fine. They are taken one chunk at a time."""
    for chunk in _chunks(rows):
        await _run(session, table, chunk, _inserting)


async def update(session: Session, table: Table, rows: Iterable[Row]) -> None:
    """Set the given columns of the rows with the given ids; all name the same columns, none is fine."""
    for chunk in _chunks(rows):
        await _run(session, table, chunk, _updating)


async def delete(session: Session, table: Table, ids: Sequence[str]) -> None:
    """Delete the rows with these ids; none is fine."""
    for start in range(0, len(ids), ROWS):
        chunk = list(ids[start : start + ROWS])
        statement = f'DELETE FROM "{table.name}" WHERE "id" = '  # noqa: S608  names of our own tables
        # Apart, because what is inserted beside it may take its place in a unique index.
        if session.dialect == "sqlite":
            await session.put(Written(f"{statement}?", [(key,) for key in chunk]), apart=True)
        else:
            await session.put(Written(f"{statement}ANY($1::text[])", (chunk,)), apart=True)
        session.wrote(len(chunk))


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while chunk := list(islice(left, ROWS)):
        yield chunk


async def _run(
    session: Session, table: Table, rows: Sequence[Row], write: Callable[[Table, tuple[str, ...], Dialect], str]
) -> None:
    names = tuple(rows[0])
    dialect = session.connection.dialect
    statement = write(table, names, dialect)
    if session.dialect == "sqlite":
        if write is _updating:
            names = (*(name for name in names if name != "id"), "id")  # in the order of the statement's marks
        columns = [_values(table, name, rows, dialect) for name in names]
        await session.put(Written(statement, list(zip(*columns, strict=True))))
    else:
        written = Written(statement, [_values(table, name, rows, dialect) for name in names])
        await session.put(written, apart=len(rows) == ROWS)  # enough for a round trip of its own
    session.wrote(len(rows))


def _values(table: Table, name: str, rows: Sequence[Row], dialect: Dialect) -> list[Any]:
    """One column of the rows, as the driver takes it."""
    convert = _converter(table, name, dialect)
    if convert is None:
        return [row[name] for row in rows]
    converted: list[Any] = []
    latest, as_taken = None, convert(None)
    for row in rows:
        if row[name] is not latest:  # who and when are the same for all rows of an action
            latest = row[name]
            as_taken = convert(latest)
        converted.append(as_taken)
    return converted


@lru_cache(maxsize=1_024)
def _converter(table: Table, name: str, dialect: Dialect) -> Callable[[Any], Any] | None:
    return table.c[name].type.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=256)
def _inserting(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    into = f'INSERT INTO "{table.name}" ({columns}) '
    if dialect.name == "sqlite":
        return f"{into}VALUES ({', '.join('?' * len(names))})"
    return f"{into}SELECT * FROM {_arrays(table, names, dialect)} AS given"  # noqa: S608  our own names


@lru_cache(maxsize=256)
def _updating(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    changed = [name for name in names if name != "id"]
    if dialect.name == "sqlite":
        values = ", ".join(f'"{name}" = ?' for name in changed)
        return f'UPDATE "{table.name}" SET {values} WHERE "id" = ?'  # noqa: S608  as above
    values = ", ".join(f'"{name}" = given."{name}"' for name in changed)
    columns = ", ".join(f'"{name}"' for name in names)
    given = f"{_arrays(table, names, dialect)} AS given ({columns})"
    return f'UPDATE "{table.name}" SET {values} FROM {given} WHERE "{table.name}"."id" = given."id"'  # noqa: S608


def _arrays(table: Table, names: Sequence[str], dialect: Dialect) -> str:
    # A collation belongs to the column, not to what comes in.
    types = [table.c[name].type.compile(dialect).partition(" COLLATE")[0] for name in names]
    # Sub-selects hide from PostgreSQL how long the arrays are. Where it sees that, it plans anew each time, which
    # was a third of its work for an application; else the plan of the prepared statement is as good, and kept.
    return f"unnest({', '.join(f'(SELECT ${place}::{kind}[])' for place, kind in enumerate(types, 1))})"
