"""Many rows in few statements: what an action of 15,000 lines writes costs a handful of round trips.

The statements are the drivers' own. PostgreSQL is handed a whole column at a time as an array; SQLite, which has no
round trips, has one prepared statement run for every row. A single row, which is what most actions write of most
tables, is handed over as it is.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.engine import Dialect

from cm_graphql.store.session import Session
from cm_graphql.store.statements import Written, taking

Values = dict[str, Any]
Row = Mapping[str, Any]
Names = tuple[str, ...]
Take = Callable[[Sequence[Any], Row], list[list[Any]]]

NOTHING: Final[Row] = MappingProxyType({})
"""What rows share that have nothing in common."""

CHUNK = 500
"""Keys per statement where they are listed one by one; far below every driver's limit of parameters."""

ROWS = 2_000
"""Rows handed to the driver at once: enough to make round trips cheap, few enough to share the processor in between."""


def insert(session: Session, table: Table, rows: Iterable[Row], shared: Row = NOTHING) -> Awaitable[None]:
    """Insert rows, all of the same columns; none is fine. They are taken one chunk at a time.

    What all of them have alike is `shared`, and said once.
    """
    return _write(session, table, rows, shared, _Writer.inserting)


async def put(session: Session, table: Table, row: Row) -> None:
    """Insert a row, or write it over the one of the same primary key."""
    await session.put(_Writer.putting(table, tuple(row), session.sql_dialect).written([row], NOTHING))


def update(session: Session, table: Table, rows: Iterable[Row], shared: Row = NOTHING) -> Awaitable[None]:
    """Set the given columns of the rows with the given ids; all name the same columns, none is fine.

    What all of them get alike is `shared`.
    """
    return _write(session, table, rows, shared, _Writer.updating)


class Change:
    """Columns that are set to what fields of records say; each record has the `id` of its row."""

    def __init__(self, **columns: str) -> None:
        """Of each column the field."""
        self._names = (*columns, "id")
        self._fields = (*columns.values(), "id")

    async def write(self, session: Session, table: Table, records: Sequence[Any], shared: Row = NOTHING) -> None:
        """Set them for these records, and what all of them get alike; none is fine."""
        for start in range(0, len(records), ROWS):
            chunk = records[start : start + ROWS]
            writer = _Writer.updating(table, self._names, tuple(shared), session.sql_dialect, self._fields)
            await session.put(writer.written(chunk, shared), apart=len(chunk) == ROWS)  # as in `_write`
            session.wrote(len(chunk))


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
    shared: Row,
    writer: Callable[[Table, Names, Names, Dialect], "_Writer"],
) -> None:
    left = iter(rows)
    whole = True
    while whole and (chunk := list(islice(left, ROWS))):
        whole = len(chunk) == ROWS
        written = writer(table, tuple(chunk[0]), tuple(shared), session.sql_dialect).written(chunk, shared)
        await session.put(written, apart=whole)  # enough for a round trip of its own
        session.wrote(len(chunk))


class _Writer:
    """How rows of one table are written that all have the same columns."""

    def __init__(self, take: Take, dialect: Dialect, one: str, many: str, changes: str | None = None) -> None:
        """`take` gives each row's values in the order of the statements' marks; many rows take arrays of them.

        `changes` names the table where rows are written over.
        """
        self._take = take
        self._one = one
        self._many = many
        self._changes = changes
        self.written = self._on_sqlite if dialect.name == "sqlite" else self._on_postgresql
        """Makes the statement for rows, and what they share."""

    @classmethod
    @lru_cache(maxsize=256)
    def inserting(cls, table: Table, names: Names, shared: Names, dialect: Dialect) -> "_Writer":
        """To insert them."""
        every = (*names, *shared)
        into = f'INSERT INTO "{table.name}" ({_listed(every)}) '
        one = f"{into}VALUES ({', '.join(_marks(dialect, len(every)))})"
        many = f"{into}SELECT * FROM {_arrays(table, every, dialect)} AS given"  # noqa: S608  our own names
        return cls(_taking(table, every, shared, dialect), dialect, one, many)

    @classmethod
    @lru_cache(maxsize=16)
    def putting(cls, table: Table, names: Names, dialect: Dialect) -> "_Writer":
        """To insert one, or write it over the one of the same primary key."""
        key = [column.name for column in table.primary_key]
        values = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in key)
        insert = cls.inserting(table, names, (), dialect)
        over = f"ON CONFLICT ({_listed(key)}) DO UPDATE SET {values}"
        return cls(insert._take, dialect, f"{insert._one} {over}", f"{insert._many} {over}")

    @classmethod
    @lru_cache(maxsize=256)
    def updating(
        cls, table: Table, names: Names, shared: Names, dialect: Dialect, fields: Names | None = None
    ) -> "_Writer":
        """To write over those with the same ids; rows may be records that have these `fields`."""
        every = (*(name for name in (*names, *shared) if name != "id"), "id")
        *marks, key = _marks(dialect, len(every))
        changes = ", ".join(f'"{name}" = {mark}' for name, mark in zip(every, marks, strict=False))
        one = f'UPDATE "{table.name}" SET {changes} WHERE "id" = {key}'  # noqa: S608  as above
        changes = ", ".join(f'"{name}" = given."{name}"' for name in every[:-1])
        given = f"{_arrays(table, every, dialect)} AS given ({_listed(every)})"
        many = f'UPDATE "{table.name}" SET {changes} FROM {given} WHERE "{table.name}"."id" = given."id"'  # noqa: S608
        places = None if fields is None else dict(zip(names, fields, strict=True))
        return cls(_taking(table, every, shared, dialect, places), dialect, one, many, table.name)

    def _on_sqlite(self, rows: Sequence[Any], shared: Row) -> Written:
        return Written(self._one, self._take(rows, shared))

    def _on_postgresql(self, rows: Sequence[Any], shared: Row) -> Written:
        values = self._take(rows, shared)
        if len(values) > 1:
            return Written(self._many, list(map(list, zip(*values, strict=True))), several=self._many)
        changes = None if self._changes is None else (self._changes, values[0][-1])  # the id comes last
        return Written(self._one, values[0], changes, self._many)


def _taking(
    table: Table, names: Names, shared: Names, dialect: Dialect, fields: Mapping[str, str] | None = None
) -> Take:
    """Make the function that takes from rows what all these columns are given, in the form that the driver takes.

    The values of `shared` ones are taken from what all rows have alike. Records have others in these `fields`.
    """
    known: dict[str, Any] = {}

    def taken(name: str, value: str) -> str:
        return taking(value, name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect), known)

    values = [
        f"shared_{name}" if name in shared else taken(name, f"row.{fields[name]}" if fields else f"row[{name!r}]")
        for name in names
    ]
    alike = "".join(f"for shared_{name} in [{taken(name, f'shared[{name!r}]')}] " for name in shared)
    source = f"lambda rows, shared: [[{', '.join(values)}] {alike}for row in rows]"
    made: Take = eval(source, known)  # noqa: S307 - all of it stands above
    return made


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
