"""Values as drivers give them, straight to the wire: what SQLAlchemy's result processing would do, at its cost."""

from collections import namedtuple
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Date, Numeric, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.type_api import TypeEngine

from cm_graphql.engine.declare import NodeType, Order
from cm_graphql.engine.scalars import show_moment
from cm_graphql.engine.wire import show_amount
from cm_graphql.store.session import DECIMALS
from cm_graphql.store.types import Amount, JsonText, Scaled, Timestamp

Constant = Callable[[Any], str]
"""Gives a value a name in generated code."""


def leaf(type_: TypeEngine[Any], dialect: str, value: str, currency: str | None, constant: Constant) -> str:
    """The source of a column's wire value, given the source of its raw value and of the row's currency."""
    show = _shower(type_, dialect)
    if isinstance(type_, Amount):
        shown = f"{constant(AMOUNTS)}[{currency}]({value})"
    elif show is None:
        return value
    else:
        shown = f"{constant(show)}({value})"
    return f"(None if {value} is None else {shown})"


def _shower(type_: TypeEngine[Any], dialect: str) -> Callable[[Any], Any] | None:
    if isinstance(type_, Scaled):
        return _scaled
    if isinstance(type_, JsonText):
        return _loads
    if dialect == "sqlite":
        # Dates and moments are kept there in the very form of the wire.
        return bool if isinstance(type_, Boolean) else None
    if isinstance(type_, Timestamp):
        return _moment
    return str if isinstance(type_, Date) else None


def _loads(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _moment(value: datetime) -> str:
    return show_moment(value)


def _scaled(value: int) -> str:
    sign, digits = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(digits, 10**9)
    return f"{sign}{whole}.{fraction:09d}".rstrip("0").rstrip(".") if fraction else f"{sign}{whole}"


def _amounts(decimals: int) -> Callable[[int], str]:
    if decimals == 2:

        def cents(amount: int) -> str:
            if amount < 0:
                amount = -amount
                return f"-{amount // 10_000}.{amount // 100 % 100:02d}"
            return f"{amount // 10_000}.{amount // 100 % 100:02d}"

        return cents
    code = next(code for code, places in DECIMALS.items() if places == decimals)
    return lambda amount: show_amount(amount, code)


_BY_DECIMALS = {decimals: _amounts(decimals) for decimals in set(DECIMALS.values())}

AMOUNTS = {code: _BY_DECIMALS[decimals] for code, decimals in DECIMALS.items()}
"""Per currency the function that writes an amount."""


def processor(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What turns a column's raw value into Python's, as SQLAlchemy would; None where they are the same."""
    if isinstance(type_, Numeric):
        return None  # sums: exact in both forms
    process: Callable[[Any], Any] | None = type_.dialect_impl(dialect).result_processor(dialect, None)
    return process


def row_reader(statement: Select[Any], dialect: Dialect) -> Callable[[Sequence[Any]], Any]:
    """Make the function that turns a raw row of a statement into one as SQLAlchemy would give it."""
    columns = list(statement.selected_columns)
    kind = namedtuple("Found", [column.key for column in columns], rename=True)  # type: ignore[misc]
    processors = [processor(column.type, dialect) for column in columns]

    def read(row: Sequence[Any]) -> Any:
        return kind(*(value if make is None else make(value) for make, value in zip(processors, row, strict=True)))

    return read


def python_values(node_type: NodeType, dialect: Dialect) -> Callable[[Sequence[Any], Sequence[Order]], list[Any]]:
    """Make the function that turns raw sorted values into Python's, as SQLAlchemy would; cursors are made of those."""
    processors: dict[str, Any] = {}

    def values(raw: Sequence[Any], orders: Sequence[Order]) -> list[Any]:
        found = []
        for value, term in zip(raw, orders, strict=False):
            if term.field not in processors:
                processors[term.field] = processor(node_type.sources[term.field].type, dialect)
            process = processors[term.field]
            found.append(value if process is None else process(value))
        return found

    return values
