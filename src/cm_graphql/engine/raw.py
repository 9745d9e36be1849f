"""Values as drivers give them, straight to the wire: what SQLAlchemy's result processing would do, at its cost."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import orjson
from sqlalchemy import Boolean, ColumnElement, Date
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.type_api import TypeEngine

from cm_graphql.fields.declare import NodeType, Order
from cm_graphql.fields.wire import nullable
from cm_graphql.store.session import DECIMALS
from cm_graphql.store.statements import converter
from cm_graphql.store.types import Amount, JsonText, Scaled, Timestamp

Constant = Callable[[Any], str]
"""Gives a value a name in generated code."""


def leaf(source: ColumnElement[Any], dialect: str, value: str, currency: str | None, constant: Constant) -> str:
    """The source of a column's wire value, given the source of its raw value and of the row's currency."""
    type_ = source.type
    if isinstance(type_, Amount):
        return f"{constant(AMOUNTS)}[{currency}][{value}]"
    if isinstance(type_, Scaled):
        return f"{constant(_SCALED)}[{value}]"
    if isinstance(type_, Date) and dialect == "postgresql":
        return f"{constant(_DATES)}[{value}]"
    show = _shower(type_, dialect)
    if show is None:
        return value
    shown = f"{constant(show)}({value})"
    return f"(None if {value} is None else {shown})" if nullable(source) else shown


def _shower(type_: TypeEngine[Any], dialect: str) -> Callable[[Any], Any] | None:
    if isinstance(type_, JsonText):
        return _loads
    # Moments, and SQLite's dates, are read in the very form of the wire.
    return bool if dialect == "sqlite" and isinstance(type_, Boolean) else None


def is_read_as_text(type_: TypeEngine[Any], dialect: str) -> bool:
    """Whether values of a type are to be shown by the database (`wire.moment_text`)."""
    return dialect == "postgresql" and isinstance(type_, Timestamp)


def _loads(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


MOST_SHOWN = 2_000
"""Values of one kind that are remembered as they are shown; they take about 0.3 MB."""


class _Shown(dict[Any, str | None]):
    """Values of the store as they are shown: few of them, such as zero or today, make up most of any answer."""

    def __init__(self, show: Callable[[Any], str]) -> None:
        super().__init__()
        self._show = show

    def __missing__(self, value: Any) -> str | None:
        if len(self) >= MOST_SHOWN:
            self.clear()
        shown = self[value] = None if value is None else self._show(value)
        return shown


def _scaled(value: int) -> str:
    sign, digits = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(digits, 10**9)
    return f"{sign}{whole}.{fraction:09d}".rstrip("0") if fraction else f"{sign}{whole}"


_SCALED = _Shown(_scaled)
_DATES = _Shown(date.isoformat)


def _amount(decimals: int) -> Callable[[int], str]:
    """Writes amounts with so many decimals, as `show_amount` does, in less time."""
    pattern, step = f"%d.%0{decimals}d", 10 ** (4 - decimals)

    def show(amount: int) -> str:
        if amount < 0:
            return f"-{show(-amount)}"
        whole, rest = divmod(amount, 10_000)
        return pattern % (whole, rest // step) if decimals else str(whole)

    return show


AMOUNTS = {code: _Shown(_amount(decimals)) for code, decimals in DECIMALS.items()}
"""Per currency how an amount is written."""


def python_values(node_type: NodeType, dialect: Dialect) -> Callable[[Sequence[Any], Sequence[Order]], list[Any]]:
    """Make the function that turns raw sorted values into Python's, as SQLAlchemy would; cursors are made of those."""
    processors: dict[str, Any] = {}

    def values(raw: Sequence[Any], orders: Sequence[Order]) -> list[Any]:
        found = []
        for value, term in zip(raw, orders, strict=False):
            if term.field not in processors:
                processors[term.field] = converter(node_type.sources[term.field].type, dialect)
            process = processors[term.field]
            found.append(value if process is None else process(value))
        return found

    return values
