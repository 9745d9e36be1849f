"""Many rows in few statements: what an action of 15,000 lines writes costs a handful of round trips.

The statements are the drivers' own. PostgreSQL is handed a whole column at a time as an array; SQLite, which has no
round trips, has one prepared statement run for every row. A single row, which is what most actions write of most
tables, is handed over as it is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Dialect

from cm_graphql.store.session import Session
from cm_graphql.store.statements import Written

Values = dict[str, Any]
Row = Mapping[str, Any]
Converter = Callable[[Any], Any]

CHUNK = 500
"""Keys per statement where they are listed one by one; far below every driver's limit of parameters."""

ROWS = 2_000
"""Rows handed to the driver at once: enough to make round trips cheap, few enough to share the processor in between."""


async def insert(session: Session, table: Table, rows: Iterable[Row]) -> None:
    """Insert rows, all of the same columns; none is fine. They are taken one chunk at a time."""
    await _write(session, table, rows, _Writer.inserting)


async def put(session: Session, table: Table, row: Row) -> None:
    """Insert a row, or write it over the one of the same primary key."""
    await session.put(_Writer.putting(table, tuple(row), session.sql_dialect).written([row]))


async def update(session: Session, table: Table, rows: Iterable[Row]) -> None:
    """Set the given columns of the rows with the given ids; all name the same columns, none is fine."""
    await _write(session, table, rows, _Writer.updating)


async def delete(session: Session, table: Table, ids: Sequence[str]) -> None:
    """Delete the rows with these ids; none is fine."""
    for start in range(0, len(ids), ROWS):
        chunk = list(ids[start : start + ROWS])
        statement = f'DELETE FROM "{table.name}" WHERE "id" = '  # noqa: S608  names of our own tables
        # Apart, because what is inserted beside it may take its place in a unique index.
        if session.dialect == "sqlite":
            await session.put(Written(f"{statement}?", [(key,) for key in chunk]), apart=True)
        else:
            sql = f"{statement}ANY($1::text[])"
            await session.put(Written(sql, (chunk,), several=sql), apart=True)
        session.wrote(len(chunk))


async def _write(
    session: Session,
    table: Table,
    rows: Iterable[Row],
    writer: Callable[[Table, tuple[str, ...], Dialect], "_Writer"],
) -> None:
    left = iter(rows)
    while chunk := list(islice(left, ROWS)):
        written = writer(table, tuple(chunk[0]), session.sql_dialect).written(chunk)
        await session.put(written, apart=len(chunk) == ROWS)  # enough for a round trip of its own
        session.wrote(len(chunk))


class _Writer:
    """How rows of one table are written that all have the same columns."""

    def __init__(
        self, columns: Sequence[tuple[str, Converter | None]], one: str, many: str | None, changes: str | None = None
    ) -> None:
        """`columns` in the order of the statements' marks; `one` row takes values, `many` take arrays if given.

        `changes` names the table where rows are written over.
        """
        self._columns = columns
        self._one = one
        self._many = many
        self._changes = changes

    @classmethod
    @lru_cache(maxsize=256)
    def inserting(cls, table: Table, names: tuple[str, ...], dialect: Dialect) -> "_Writer":
        """To insert them."""
        into = f'INSERT INTO "{table.name}" ({_listed(names)}) '
        one = f"{into}VALUES ({', '.join(_marks(dialect, len(names)))})"
        many = f"{into}SELECT * FROM {_arrays(table, names, dialect)} AS given"  # noqa: S608  our own names
        return cls(_converters(table, names, dialect), one, None if dialect.name == "sqlite" else many)

    @classmethod
    @lru_cache(maxsize=16)
    def putting(cls, table: Table, names: tuple[str, ...], dialect: Dialect) -> "_Writer":
        """To insert one, or write it over the one of the same primary key."""
        key = [column.name for column in table.primary_key]
        values = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in key)
        insert = cls.inserting(table, names, dialect)
        over = f"ON CONFLICT ({_listed(key)}) DO UPDATE SET {values}"
        return cls(insert._columns, f"{insert._one} {over}", insert._many and f"{insert._many} {over}")

    @classmethod
    @lru_cache(maxsize=256)
    def updating(cls, table: Table, names: tuple[str, ...], dialect: Dialect) -> "_Writer":
        """To write over those with the same ids."""
        names = (*(name for name in names if name != "id"), "id")
        *marks, key = _marks(dialect, len(names))
        values = ", ".join(f'"{name}" = {mark}' for name, mark in zip(names, marks, strict=False))
        one = f'UPDATE "{table.name}" SET {values} WHERE "id" = {key}'  # noqa: S608  as above
        values = ", ".join(f'"{name}" = given."{name}"' for name in names[:-1])
        given = f"{_arrays(table, names, dialect)} AS given ({_listed(names)})"
        many = f'UPDATE "{table.name}" SET {values} FROM {given} WHERE "{table.name}"."id" = given."id"'  # noqa: S608
        return cls(_converters(table, names, dialect), one, None if dialect.name == "sqlite" else many, table.name)

    def written(self, rows: Sequence[Row]) -> Written:
        """The statement for these rows."""
        if len(rows) == 1:
            row = rows[0]
            values = [row[name] if convert is None else convert(row[name]) for name, convert in self._columns]
            changed = None if self._changes is None else (self._changes, row["id"])
            return Written(self._one, values if self._many else [values], changed, self._many)
        columns = [_values(name, convert, rows) for name, convert in self._columns]
        if self._many is None:
            return Written(self._one, list(zip(*columns, strict=True)))
        return Written(self._many, columns, several=self._many)


def _values(name: str, convert: Converter | None, rows: Sequence[Row]) -> list[Any]:
    """One column of the rows, as the driver takes it."""
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


def _converters(table: Table, names: Sequence[str], dialect: Dialect) -> list[tuple[str, Converter | None]]:
    return [(name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in names]


def _marks(dialect: Dialect, count: int) -> list[str]:
    return ["?"] * count if dialect.name == "sqlite" else [f"${place}" for place in range(1, count + 1)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _arrays(table: Table, names: Sequence[str], dialect: Dialect) -> str:
    # A collation belongs to the column, not to what comes in.
    types = [table.c[name].type.compile(dialect).partition(" COLLATE")[0] for name in names]
    # Sub-selects hide from PostgreSQL how long the arrays are. Where it sees that, it plans anew each time, which
    # was a third of its work for an application; else the plan of the prepared statement is as good, and kept.
    return f"unnest({', '.join(f'(SELECT ${place}::{kind}[])' for place, kind in enumerate(types, 1))})"
