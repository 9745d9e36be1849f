"""Checks of single values: what is too long, too precise or out of range, gathered so that all are told at once."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cm_graphql.domain import limits
from cm_graphql.domain.errors import ErrorCode, Faults, field_name
from cm_graphql.domain.money import MAX_AMOUNT, SCALE, Currency

MAX_NUMBER = Decimal(10) ** 9
"""Quantities, prices and rates stay below this in magnitude (domain.md 0, Money)."""

NET_SUITE_FIELDS = ("integration_id", "integration_status", "origin", "sync_date", "transaction")

_CUSTOM_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*__c\Z")
_NUMBER = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
_TEMPORARY = re.compile(r"TMP-CM-[0-9]{8,}\Z")
_LIKE_AN_ID = re.compile(r"([a-z]{2,3}_)?[0-9a-f]{32}\Z")


def amount(value: Decimal, currency: Currency, faults: Faults, *path: str | int) -> int:
    """Read an amount into ten-thousandths; note AMOUNT_PRECISION or INVALID_VALUE and return 0 where it has none."""
    if abs(value) * SCALE > MAX_AMOUNT:
        faults.add(ErrorCode.INVALID_VALUE, f"{value:f} has more than 13 integer digits.", *path)
        return 0
    if not currency.fits(value):
        faults.add(
            ErrorCode.AMOUNT_PRECISION,
            f"{value:f} has more decimals than {currency.code} allows ({currency.decimals}).",
            *path,
        )
        return 0
    return currency.amount(value)


def number(value: Decimal | None, faults: Faults, *path: str | int) -> Decimal | None:
    """Check a quantity, price or rate: at most 9 integer and 9 fraction digits (domain.md 0): INVALID_VALUE."""
    if value is None:
        return None
    if abs(value) >= MAX_NUMBER or value != value.quantize(Decimal("1e-9")):
        faults.add(ErrorCode.INVALID_VALUE, f"{value:f} has more than 9 integer or 9 fraction digits.", *path)
        return None
    return value


def text(value: str | None, longest: int, faults: Faults, *path: str | int) -> None:
    """Note TOO_LONG for a text over its limit."""
    if value is not None and len(value) > longest:
        faults.add(
            ErrorCode.TOO_LONG,
            f"{field_name(path[-1])} has {len(value)} characters; at most {longest} are allowed.",
            *path,
        )


def custom_fields(value: Mapping[str, Any] | None, faults: Faults, *path: str | int) -> None:
    """Note INVALID_VALUE for custom field names that do not end in `__c` (domain.md 0, Custom fields)."""
    for key in value or {}:
        if not _CUSTOM_KEY.match(key):
            faults.add(
                ErrorCode.INVALID_VALUE,
                f"Custom field {key!r}: a name is letters, digits and underscores, a letter first, and ends in __c.",
                *path,
            )


def document_number(value: str | None, faults: Faults, *path: str | int) -> None:
    """Note INVALID_VALUE or TOO_LONG for a custom number: 1 to 32 of [A-Za-z0-9_-], and not like an id (api.md)."""
    if value is None:
        return
    if len(value) > limits.NUMBER_LENGTH:
        text(value, limits.NUMBER_LENGTH, faults, *path)
    elif not _NUMBER.match(value):
        faults.add(ErrorCode.INVALID_VALUE, f"Number {value!r}: only A-Z, a-z, 0-9, _ and - are allowed.", *path)
    elif _LIKE_AN_ID.match(value):
        faults.add(
            ErrorCode.INVALID_VALUE, f"Number {value!r} looks like an id, which a key could not tell apart.", *path
        )


def is_temporary(number: str) -> bool:
    """Tell whether a number is one of drafts that get their formal one at posting (domain.md 0, Numbers)."""
    return _TEMPORARY.match(number) is not None


def as_id(key: str, prefix: str) -> str:
    """The id that a key names, which may come as its bare 32 digits."""
    return key if "_" in key else f"{prefix}_{key}"


def identifier(key: str | None, prefix: str, faults: Faults, *path: str | int) -> None:
    """Note INVALID_VALUE for what is no id of a kind, with its prefix or as the bare 32 digits."""
    if key is not None and not re.fullmatch(rf"({prefix}_)?[0-9a-f]{{32}}", key):
        message = f"{key[:60]!r} is no id of this kind: expected {prefix}_ and 32 lowercase hex digits."
        faults.add(ErrorCode.INVALID_VALUE, message, *path)


def required(value: object, faults: Faults, *path: str | int) -> None:
    """Note FIELD_REQUIRED for a value that is missing."""
    if value is None:
        faults.add(ErrorCode.FIELD_REQUIRED, f"{field_name(path[-1])} is required.", *path)


def at_most(count: int, limit: int, what: str, faults: Faults, *path: str | int) -> None:
    """Note LIMIT_EXCEEDED with limit and actual (domain.md 5)."""
    if count > limit:
        faults.add(ErrorCode.LIMIT_EXCEEDED, f"{count} {what} were given; at most {limit} are allowed.", *path)
