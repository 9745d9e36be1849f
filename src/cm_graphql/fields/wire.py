"""What a column's type means outside: its GraphQL type and the form its values take on the wire."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import strawberry
from sqlalchemy import Boolean, ColumnElement, Date, Integer, Text, func, literal_column
from sqlalchemy.sql.type_api import TypeEngine

from cm_graphql.fields.scalars import Json, show_decimal, show_moment
from cm_graphql.store.session import DECIMALS
from cm_graphql.store.types import Amount, EnumText, Id, JsonText, Scaled, Timestamp

Row = Sequence[Any]
Read = Callable[[Row], Any]
"""Takes a row and gives one field's wire value."""


MOST_SHOWN = 2_000
"""Values of one kind that are remembered as they are shown; they take about 0.3 MB."""


class Shown(dict[Any, Any]):
    """Values of the store as they are shown: few of them, such as zero or today, make up most of any answer."""

    def __init__(self, show: Callable[[Any], Any]) -> None:
        super().__init__()
        self._show = show

    def __missing__(self, value: Any) -> Any:
        if len(self) >= MOST_SHOWN:
            self.clear()
        shown = self[value] = None if value is None else self._show(value)
        return shown


def _amount(decimals: int) -> Callable[[int], str]:
    pattern, step = f"%d.%0{decimals}d", 10 ** (4 - decimals)

    def show(amount: int) -> str:
        if amount < 0:
            return f"-{show(-amount)}"
        whole, rest = divmod(amount, 10_000)
        return pattern % (whole, rest // step) if decimals else str(whole)

    return show


AMOUNTS = {code: Shown(_amount(decimals)) for code, decimals in DECIMALS.items()}
"""Per currency how an amount is written."""


def show_amount(amount: int, currency: str) -> str:
    """Write ten-thousandths with exactly the currency's decimals, as in `12.50`."""
    shown: str = AMOUNTS[currency][amount]
    return shown


def storable(text: str) -> bool:
    """Tell whether a database can hold a text: not with NUL, which PostgreSQL refuses, nor with lone surrogates."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text))


def graphql_type(type_: TypeEngine[Any]) -> Any:
    """The Python annotation from which the schema takes the GraphQL type of a column."""
    if isinstance(type_, EnumText):
        return type_.vocabulary
    for kind, annotation in _ANNOTATIONS:
        if isinstance(type_, kind):
            return annotation
    return str


_ANNOTATIONS: tuple[tuple[type[TypeEngine[Any]], Any], ...] = (
    (Id, strawberry.ID),
    (Amount, Decimal),
    (Scaled, Decimal),
    (Timestamp, datetime),
    (Date, date),
    (Boolean, bool),
    (Integer, int),
    (JsonText, Json),
)


def reader(type_: TypeEngine[Any], index: int, currency_index: int | None) -> Read:
    """Make the function that reads a column of this type from a row; amounts need the row's currency."""
    if isinstance(type_, Amount):
        if currency_index is None:
            raise TypeError("an amount is shown with its currency's decimals, so its row must have a currency")
        return lambda row: None if row[index] is None else show_amount(row[index], row[currency_index])
    if isinstance(type_, Scaled):
        return lambda row: None if row[index] is None else show_decimal(row[index])
    if isinstance(type_, Timestamp):
        return lambda row: None if row[index] is None else show_moment(row[index])
    if isinstance(type_, Date):
        return lambda row: None if row[index] is None else row[index].isoformat()
    if isinstance(type_, EnumText):
        return lambda row: None if row[index] is None else row[index].value
    return lambda row: row[index]


def moment_text(moment: ColumnElement[Any]) -> ColumnElement[str]:
    """For PostgreSQL a moment as `show_moment` writes it, which takes the database a fifth of the time that the driver
    and Python take.
    """
    in_utc = func.timezone(literal_column("'UTC'"), moment)
    return func.to_char(in_utc, literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""), type_=Text())


def nullable(source: ColumnElement[Any]) -> bool:
    """Whether a value can be missing; amounts that the database derives of a row never are."""
    derived = getattr(source, "computed", None) is not None and isinstance(source.type, Amount)
    return bool(getattr(source, "nullable", True)) and not derived
