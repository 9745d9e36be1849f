"""Statements that every action needs: composed and compiled once, then run straight on the driver.

SQLAlchemy's execution costs several times what the drivers and the databases need for a handful of rows. Its compiler
and its types still say how a statement is spelled and what a value becomes, so that both ways give the same rows.
"""

import json
import re
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from sqlalchemy import ARRAY, BindParameter, ColumnElement, CompoundSelect, Select, Text, bindparam, cast, func, select
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.sql.visitors import iterate

from cm_graphql.store.types import PlainText

Among: TypeAlias = Callable[[ColumnElement[Any], str], ColumnElement[bool]]
"""The condition that a column's value is one of those in a parameter of this name, a list of texts."""

Make: TypeAlias = Callable[[Among], Select[Any] | CompoundSelect[Any]]


def given(name: str) -> ColumnElement[Any]:
    """The place of a parameter that is a text."""
    return bindparam(name, None, PlainText())


_MARK: Final = re.compile(r"\$(\d+)")


class Query:
    """A question with named parameters, which `Session.ask` answers."""

    def __init__(self, make: Make, record: Any = None) -> None:
        """Rows become named tuples, or this `record`: a kind of them whose fields are the columns in their order.

        Where it is `tuple`, they are only to be taken apart.
        """
        self._make = make
        self._record = record
        self._compiled: dict[tuple[str, bool], Compiled] = {}

    def with_values(self, dialect: Dialect, values: Mapping[str, Any]) -> Select[Any] | CompoundSelect[Any]:
        """The question for SQLAlchemy to ask, as where rows are too many to be taken at once."""
        return self._make(_AMONG[dialect.name]).params(dict(values))

    def made(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows that SQLAlchemy answered, as `Compiled.rows` would make them."""
        return rows if self._record in (None, tuple) else [self._record._make(row) for row in rows]

    def on(self, dialect: Dialect, values: Mapping[str, Any]) -> "Compiled":
        """The question as this database and its driver take it.

        A list of one `ids` is asked for as that one: it needs no list to be read, and rows come in the order of an
        index. SQLite takes a third of the time for it.
        """
        key = dialect.name, "ids" in values and len(values["ids"]) == 1
        compiled = self._compiled.get(key)
        if compiled is None:
            statement = self._make(_only if key[1] else _AMONG[dialect.name])
            compiled = self._compiled[key] = Compiled(statement, dialect, self._record)
        return compiled


class Compiled:
    """A statement's text, how its parameters are handed over, and what its rows become."""

    def __init__(
        self,
        statement: Select[Any] | CompoundSelect[Any],
        dialect: Dialect,
        record: Any = None,
    ) -> None:
        for part in iterate(statement):
            # What stands in the statement itself is named by SQLAlchemy, and unique. The database plans with it.
            if isinstance(part, BindParameter) and part.unique:
                part.literal_execute = True
        compiled: Any = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        self.sql = str(compiled)
        names = compiled.positiontup or ()
        known: dict[str, Any] = {}
        taken = [taking(f"values[{name!r}]", name, compiled._bind_processors.get(name), known) for name in names]
        self.taken = len(names)
        """How many parameters it takes."""
        source = f"lambda values: [{', '.join(taken)}]"
        self.parameters: Callable[[Mapping[str, Any]], list[Any]] = eval(source, known)  # noqa: S307 - our own names
        """The values in the order and the form that the driver takes them in."""
        self.rows = rows_of(statement, dialect, record)


def taking(value: str, name: str, convert: Callable[[Any], Any] | None, known: dict[str, Any]) -> str:
    """The expression for a value as the driver takes it, in a function that is written out for what it handles.

    Such a function takes a third of the time of a loop. What it has to know is added to what is `known`.
    """
    known[f"as_{name}"] = convert
    return value if convert is None else f"as_{name}({value})"


def rows_of(
    statement: Select[Any] | CompoundSelect[Any], dialect: Dialect, record: Any = None
) -> Callable[[Sequence[Any]], list[Any]]:
    """Make the function that makes of what the driver answered rows whose columns are attributes, with values as
    SQLAlchemy gives them.
    """
    columns = list(statement.selected_columns)
    return _maker(
        record or namedtuple("Row", [column.key for column in columns], rename=True),  # type: ignore[misc]
        [converter(column.type, dialect) for column in columns],
    )


def _maker(kind: Any, converters: Sequence[Callable[[Any], Any] | None]) -> Callable[[Sequence[Any]], list[Any]]:
    """A function that makes rows of a kind, each value converted where it needs that.

    Where any does, the function is written out for this row.
    """
    new = tuple.__new__
    if not any(converters):
        return list if kind is tuple else lambda found: [new(kind, row) for row in found]
    names = [f"v{place}" for place in range(len(converters))]
    values = [name if convert is None else f"c{name}({name})" for name, convert in zip(names, converters, strict=True)]
    known = {f"c{name}": convert for name, convert in zip(names, converters, strict=True)} | {"new": new, "kind": kind}
    source = f"lambda found: [new(kind, ({', '.join(values)},)) for {', '.join(names)}, in found]"
    made: Callable[[Sequence[Any]], list[Any]] = eval(source, known)  # noqa: S307 - all of it stands above
    return made


def converter(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What turns a driver's value of a column into Python's, as SQLAlchemy would; None where they are the same."""
    found: Callable[[Any], Any] | None = type_.dialect_impl(dialect).result_processor(dialect, None)
    return found


class _Json(Text):
    """A list of texts as SQLite's functions for JSON take it."""

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        return lambda value: json.dumps(list(value))


def _among_array(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    # The sub-select hides the list's length (see `bulk`).
    texts = ARRAY(Text(collation="C"))
    return column == func.any(cast(select(bindparam(name, None, texts)).scalar_subquery(), texts))


def _among_json(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    given = func.json_each(bindparam(name, None, _Json())).table_valued("value")
    return column.in_(select(given.c.value))


class _One(PlainText):
    """The only member of a list of texts."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        return _first


def _first(members: Sequence[str]) -> str:
    return members[0]


def _only(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return column == bindparam(name, None, _One())


_AMONG: Final[dict[str, Among]] = {"postgresql": _among_array, "sqlite": _among_json}


CLAIM: Final = "pg_try_advisory_xact_lock(hashtextextended({}, 7))"
"""PostgreSQL's claim of an idempotent request's name for a transaction, unless another has claimed it."""


class Written(NamedTuple):
    """A writing statement as the driver takes it: on SQLite with one set of parameters for each run."""

    sql: str
    parameters: Sequence[Any]
    changes: tuple[str, str] | None = None
    """The table and the id of the only row that it changes, where it does no more, and ends with naming it."""
    several: str | None = None
    """On PostgreSQL the statement that does the same for several rows, and takes a list for each parameter."""


@dataclass(slots=True)
class Told:
    """A question about a row that is about to be written, which PostgreSQL answers with the statement that writes it,
    and SQLite in the same transaction.

    It reads nothing but that row of its table, so that it makes no difference that all else is as it was before.
    """

    table: str
    sql: str
    parameters: Sequence[Any]
    rows: list[Any] | None = None
    """The answer; None where the row was not written that way."""


Asked: TypeAlias = tuple[Compiled, Mapping[str, Any]]
"""A question with the values of its parameters."""


class Driver(Protocol):
    """The driver's connection of an open transaction."""

    async def ask(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """The rows of each question, all of them in one round trip and, on PostgreSQL, as of one moment."""
        ...

    async def write(self, statements: Sequence[Written]) -> None:
        """Carry out statements that do not see each other's changes, in one round trip."""
        ...


class PostgresqlDriver:
    """asyncpg's connection, once SQLAlchemy has begun the transaction on it."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def ask(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """The rows of each question; several travel as arrays of one row."""
        parameters = [value for question, values in asked for value in question.parameters(values)]
        if len(asked) == 1:
            ((question, _),) = asked
            return [question.rows(await self._driver.fetch(question.sql, *parameters))]
        sql = asked_together(tuple((question.sql, question.taken) for question, _ in asked))
        answer = await self._driver.fetchrow(sql, *parameters)
        return [question.rows(found) for (question, _), found in zip(asked, answer, strict=True)]

    async def write(self, statements: Sequence[Written]) -> None:
        """Carry out statements, which must be about different rows, as parts of one."""
        if len(statements) == 1:
            await self._driver.fetch(statements[0].sql, *statements[0].parameters)
            return
        sql = written_together(tuple((statement.sql, len(statement.parameters)) for statement in statements), "")
        await self._driver.fetch(sql, *(value for statement in statements for value in statement.parameters))


Counted: TypeAlias = tuple[tuple[str, int], ...]
"""Statements, each with the number of its parameters."""


@lru_cache(maxsize=1_024)
def asked_together(questions: Counted) -> str:
    """One question of many, whose answers are arrays of rows."""
    return "SELECT " + ", ".join(f"ARRAY(SELECT found FROM ({part}) AS found)" for part in _numbered_on(questions))  # noqa: S608


@lru_cache(maxsize=1_024)
def written_together(statements: Counted, result: str) -> str:
    """One statement of many writing ones, which answers a result that may refer to them as part_0, part_1 and so on."""
    named = ", ".join(f"part_{place} AS ({part})" for place, part in enumerate(_numbered_on(statements)))
    return f"WITH {named} SELECT {result}"


@lru_cache(maxsize=256)
def for_each(selection: str, parameters: int) -> str:
    """A selection of what stands in no table, asked for each of several sets of parameters, all of which are texts.

    It takes a list for each parameter, and answers a row for each set, in their order.
    """
    # As in `bulk`, the sub-selects hide from PostgreSQL how long the lists are.
    lists = ", ".join(f"(SELECT ${place}::text[])" for place in range(1, parameters + 1))
    names = ", ".join(f"p{place}" for place in range(1, parameters + 1))
    return f"{_MARK.sub(lambda mark: f'asked.p{mark[1]}', selection)} FROM unnest({lists}) AS asked ({names})"


def _numbered_on(statements: Counted) -> tuple[str, ...]:
    """Statements whose parameters are numbered on from one to the next."""
    before = accumulate((count for _, count in statements), initial=0)
    return tuple(shifted(sql, by) for (sql, _), by in zip(statements, before, strict=False))


def shifted(sql: str, by: int) -> str:
    """A statement whose parameters have so many others before them."""
    return _MARK.sub(lambda mark: f"${int(mark[1]) + by}", sql) if by else sql
