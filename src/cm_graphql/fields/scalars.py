"""Exact scalars: what they accept, what they refuse, and how values look on the wire."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, IntValueNode, StringValueNode, Undefined, ValueNode, value_from_ast_untyped
from graphql.pyutils import inspect

from cm_graphql.fields.errors import BadValue

Json = NewType("Json", object)
"""Any JSON value."""

LONGEST_DECIMAL = 30
"""Digits beyond this are refused before anything is computed with them; the largest legal number has 18."""

_DECIMAL = re.compile(r"-?\d+(\.\d+)?\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:[0-5]\d)\Z", re.ASCII)


def parse_decimal(value: object) -> Decimal:
    """Read an exact decimal from a string or a whole number; a float has already lost its cents."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValue(f'Decimal takes a string such as "12.50" or a whole number, not {inspect(value)}.')
    if isinstance(value, int):
        # str() of an enormous integer is slow, so its size is looked at first.
        return _decimal_of(str(value) if value.bit_length() <= 128 else "")
    return _decimal_of(value)


def _decimal_of(text: str) -> Decimal:
    if len(text) - ("-" in text) - ("." in text) > LONGEST_DECIMAL or not _DECIMAL.match(text):
        raise BadValue(
            f'Decimal takes digits with at most one point, as in "12.50", and at most {LONGEST_DECIMAL} of them.'
        )
    return Decimal(text)


def _decimal_literal(node: ValueNode, _variables: Any = None) -> Decimal:
    if not isinstance(node, StringValueNode | IntValueNode):
        raise BadValue('Decimal takes a string such as "12.50" or a whole number; a float literal is refused.')
    return _decimal_of(node.value)


def show_decimal(value: Decimal) -> str:
    """Write a number without exponent and without padding zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_date(value: object) -> date:
    """Read an ISO 8601 calendar date."""
    if isinstance(value, str) and _DATE.match(value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise BadValue(f"{value} is no day of the calendar.") from error
    raise BadValue(f'Date takes a string such as "2026-01-31", not {inspect(value)}.')


def parse_moment(value: object) -> datetime:
    """Read an RFC 3339 moment, which names its offset."""
    if isinstance(value, str) and _MOMENT.match(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise BadValue(f"{value} is no moment of the calendar.") from error
    raise BadValue(f'DateTime takes a string such as "2026-01-31T12:00:00Z", not {inspect(value)}.')


def show_moment(value: datetime) -> str:
    """Write a moment in UTC with six fraction digits."""
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _json_literal(node: ValueNode, variables: dict[str, object] | None = None) -> object:
    try:
        value = value_from_ast_untyped(node, variables)
    except ValueError as error:  # Python reads no more than 4,300 digits
        raise BadValue("JSON holds a number of more than 4,300 digits: give it as text.") from error
    return _as_sent(value) if variables else value


def _as_sent(value: object) -> object:
    """JSON with the variables in it as they were sent; one that was not given is left out."""
    if isinstance(value, dict):
        return {name: _as_sent(inner) for name, inner in value.items() if inner is not Undefined}
    if isinstance(value, list):
        return [None if inner is Undefined else _as_sent(inner) for inner in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return show_moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if value is None or value is Undefined or isinstance(value, str | int | float):
        return value
    raise BadValue(f"JSON takes no variable of this type, but text, numbers and the like: not {inspect(value)}.")


def _as_is(value: object) -> object:
    if isinstance(value, str):
        return value
    raise GraphQLError(f"A wire value is text, not {inspect(value)}.")


def _out_decimal(value: object) -> object:
    return show_decimal(value) if isinstance(value, Decimal) else _as_is(value)


def _out_date(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else _as_is(value)


def _out_moment(value: object) -> object:
    return show_moment(value) if isinstance(value, datetime) else _as_is(value)


SCALARS: Mapping[object, Any] = {
    Decimal: strawberry.scalar(
        name="Decimal",
        description=(
            'An exact decimal number, written as a string such as "12.50"; amounts carry exactly their currency\'s '
            "decimals. Input is such a string or a whole number; float literals are refused, since they lose cents."
        ),
        specified_by_url="https://cm-graphql.readthedocs.io/scalars/decimal",
        serialize=_out_decimal,
        parse_value=parse_decimal,
        parse_literal=_decimal_literal,
    ),
    date: strawberry.scalar(
        name="Date",
        description='A calendar date by ISO 8601, such as "2026-01-31".',
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        serialize=_out_date,
        parse_value=parse_date,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description=(
            'A moment by RFC 3339, answered in UTC with six fraction digits, such as "2026-01-31T12:00:00.000000Z".'
        ),
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_out_moment,
        parse_value=parse_moment,
    ),
    Json: strawberry.scalar(
        name="JSON",
        description="Any JSON value: object, list, string, number, boolean or null.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
        serialize=lambda value: value,
        parse_value=lambda value: value,
        parse_literal=_json_literal,
    ),
}
