"""Values as drivers give them, straight to the wire: what SQLAlchemy's result processing would do, at its cost."""

import json
import re
from datetime import date
from typing import Any, Final

import orjson
from sqlalchemy import Boolean, ColumnElement, Date
from sqlalchemy.sql.type_api import TypeEngine

from cm_graphql.engine.code import Code
from cm_graphql.fields.wire import AMOUNTS, Shown
from cm_graphql.store.types import Amount, JsonText, Scaled, Timestamp


def leaf(source: ColumnElement[Any], dialect: str, value: str, currency: str | None, code: Code) -> str:
    """The source of a column's wire value, given the source of its raw value and of the row's currency."""
    type_ = source.type
    if isinstance(type_, Amount):
        return f"{code.constant(AMOUNTS)}[{currency}][{value}]"
    if isinstance(type_, JsonText):
        return f"{code.constant(_loads)}({value})"
    if isinstance(type_, Scaled):
        return f"{code.constant(_SCALED)}[{value}]"
    if isinstance(type_, Date) and dialect == "postgresql":
        return f"{code.constant(_DATES)}[{value}]"
    if isinstance(type_, Boolean) and dialect == "sqlite":
        return f"{code.constant(_BOOLEANS)}[{value}]"
    return value  # moments, and SQLite's dates, are read in the very form of the wire


def is_read_as_text(type_: TypeEngine[Any], dialect: str) -> bool:
    """Whether values of a type are to be shown by the database (`wire.moment_text`)."""
    return dialect == "postgresql" and isinstance(type_, Timestamp)


_SHORT: Final = 18
"""Text of so many characters holds no integer past 64 bits."""

_LONG = re.compile(r"\d{19}").search


def _loads(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # orjson makes a float of an integer past 64 bits, which would no longer be the number that was written.
    return json.loads(value) if len(value) > _SHORT and _LONG(value) else orjson.loads(value)


def _scaled(value: int) -> str:
    sign, digits = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(digits, 10**9)
    return f"{sign}{whole}.{fraction:09d}".rstrip("0") if fraction else f"{sign}{whole}"


_SCALED = Shown(_scaled)
_DATES = Shown(date.isoformat)
_BOOLEANS = Shown(bool)
