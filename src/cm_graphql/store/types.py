"""How a value looks in the database, so that SQLite and PostgreSQL keep, compare and sort it alike.

Money and scaled decimals are integers, because SQLite would make floats of them; text sorts by code point; moments
are UTC with six fraction digits.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import orjson
from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement, Dialect, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TIMESTAMP, TypeDecorator, TypeEngine

SCALE_DIGITS: Final = 9
"""Fraction digits of a `Scaled` number (domain.md 0, Money)."""

SCALED_LIMIT: Final = 10 ** (2 * SCALE_DIGITS)
"""The first whole number of billionths that has more than nine integer digits; BIGINT could hold nine times as many."""


class PlainText(TypeDecorator[str]):
    """Text that compares and sorts by code point on both databases."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask PostgreSQL for the C collation; SQLite compares bytes of UTF-8, which is the same order."""
        # Not through dialect.type_descriptor, which turns TEXT into VARCHAR on PostgreSQL.
        return Text(collation="C") if dialect.name == "postgresql" else Text()


class Id(PlainText):
    """An identifier exactly as the API shows it: `cm_` and 32 hex digits."""

    cache_ok = True


class Amount(TypeDecorator[int]):
    """Money in ten-thousandths of its currency's main unit: 12.50 USD is 125000."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[int | None], int | None]:
        """Let only whole numbers in: SQLite would keep a float in an integer column without a word."""
        return _whole


def _whole(value: int | None) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError(f"{value!r} is no amount: amounts are int, in ten-thousandths of the currency's main unit")
    return value


class Scaled(TypeDecorator[Decimal]):
    """A quantity, unit price or rate: an exact Decimal here, an integer scaled by 10**9 in the database."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], int | None]:
        """Scale up; raises ValueError for what would have to be rounded or does not fit."""
        return lambda value: None if value is None else to_scaled(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[int | None], Decimal | None]:
        """Scale down, without padding zeros."""
        return _decimal_of


def to_scaled(value: Decimal) -> int:
    """Turn a Decimal into whole billionths; raises ValueError for more than 9 fraction digits or 9 integer digits."""
    if not isinstance(value, Decimal):
        raise TypeError(f"{value!r} is no Decimal")
    if not value.is_finite() or value.adjusted() >= SCALE_DIGITS:  # before a huge exponent becomes a huge integer
        raise ValueError(f"{value} has more than {SCALE_DIGITS} integer digits")
    if value and value.adjusted() < -SCALE_DIGITS:
        raise ValueError(f"{value} has more than {SCALE_DIGITS} fraction digits")
    numerator, denominator = value.as_integer_ratio()  # exact, whatever the decimal context's precision
    scaled, rest = divmod(numerator * 10**SCALE_DIGITS, denominator)
    if rest:
        raise ValueError(f"{value} has more than {SCALE_DIGITS} fraction digits")
    assert abs(scaled) < SCALED_LIMIT
    return scaled


@lru_cache(maxsize=4_096)  # the same few rates and quantities come again and again
def _decimal_of(value: int | None) -> Decimal | None:
    return None if value is None else from_scaled(value)


def from_scaled(value: int) -> Decimal:
    """Turn whole billionths back into a Decimal, without trailing zeros."""
    sign, digits = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(digits, 10**SCALE_DIGITS)
    return Decimal(f"{sign}{whole}.{fraction:0{SCALE_DIGITS}d}".rstrip("0").rstrip("."))


class Timestamp(TypeDecorator[datetime]):
    """A moment in UTC: TIMESTAMPTZ on PostgreSQL, `YYYY-MM-DDTHH:MM:SS.ffffffZ` on SQLite."""

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep fixed-width text on SQLite, which has no type for moments but sorts such text rightly."""
        return Text() if dialect.name == "sqlite" else TIMESTAMP(timezone=True)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Refuse a naive datetime (ValueError), since it does not say which moment it is."""
        return _text_of if dialect.name == "sqlite" else _moment_of

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Answer an aware datetime in UTC."""
        return lambda value: (
            None if value is None else _in_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
        )


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return value


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


@lru_cache(maxsize=64)  # all rows of an action are of one moment
def _text_of(value: datetime | None) -> str | None:
    return None if value is None else timestamp_text(_aware(value))


@lru_cache(maxsize=64)
def _moment_of(value: datetime | None) -> datetime | None:
    return None if value is None else _in_utc(_aware(value))


def timestamp_text(value: datetime) -> str:
    """Write a moment as SQLite keeps it and as the API shows it."""
    return f"{value.astimezone(UTC).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"


class JsonText(TypeDecorator[Any]):
    """A JSON object or list kept as the text it was written in; None is SQL's NULL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use PostgreSQL's JSON, which keeps the text; JSONB would reorder keys."""
        return postgresql.JSON(none_as_null=True) if dialect.name == "postgresql" else Text()

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """Write JSON; on PostgreSQL the driver's JSON type does so, with the same function."""
        return super().bind_processor(dialect) if dialect.name == "postgresql" else _json_of

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Read JSON; on PostgreSQL the driver's JSON type has done so."""
        return json.loads(value) if isinstance(value, str) and dialect.name != "postgresql" else value


_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _json_of(value: Any) -> str | None:
    return None if value is None else to_json(value)


_WRITTEN_ALIKE: Final = frozenset({str, int, bool, type(None)})
"""What orjson writes as the standard library does, to the letter; not so floats, and what is not JSON's own."""


def to_json(value: Any) -> str:
    """Write compact JSON; raises ValueError for NaN and Infinity, which JSON does not know."""
    for each in value if type(value) is list else (value,):
        if type(each) is not dict or not _WRITTEN_ALIKE.issuperset(map(type, each.values())):
            break
    else:
        with suppress(TypeError):  # of keys that are no texts, numbers of more than 64 bits, halves of characters
            return orjson.dumps(value).decode()  # which takes a tenth of the time
    return _COMPACT.encode(value)


class EnumText(TypeDecorator[StrEnum]):
    """A member of a closed vocabulary, stored as its name."""

    impl = Text
    cache_ok = True

    def __init__(self, vocabulary: type[StrEnum]) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Sort by code point, like all text."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Refuse a word that is not in the vocabulary (ValueError)."""
        return _Words(self.vocabulary, {member: member.value for member in self.vocabulary}).__getitem__

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Answer the member."""
        return _Words(self.vocabulary, {member.value: member for member in self.vocabulary}).__getitem__


class _Words(dict[Any, Any]):
    """What each word of a vocabulary becomes; nothing stays nothing."""

    def __init__(self, vocabulary: type[StrEnum], known: dict[Any, Any]) -> None:
        super().__init__({None: None, **known})
        self._vocabulary = vocabulary

    def __missing__(self, word: Any) -> Any:
        return self[self._vocabulary(word)]  # which raises what says why there is none


class Condition(ColumnElement[bool]):
    """A condition of a CHECK constraint, and the same as PostgreSQL is best told.

    PostgreSQL reads every condition of a table anew for each statement that writes to it, about 30 instructions a
    character of its tree: a list of words makes a tree several times as large as one array of them.
    """

    def __init__(self, everywhere: str, postgresql: str) -> None:
        self.everywhere = everywhere
        self.postgresql = postgresql


@compiles(Condition)
def _everywhere(condition: Condition, _compiler: Any, **_options: Any) -> str:
    return condition.everywhere


@compiles(Condition, "postgresql")
def _on_postgresql(condition: Condition, _compiler: Any, **_options: Any) -> str:
    return condition.postgresql


def enum_column(
    name: str, vocabulary: type[StrEnum], *, nullable: bool = False, default: StrEnum | None = None
) -> tuple[Column[Any], CheckConstraint]:
    """Make a column and the constraint, named after it, that admits only the vocabulary; unpack it into a Table."""
    column: Column[Any] = Column(
        name, EnumText(vocabulary), nullable=nullable, server_default=None if default is None else default.value
    )
    words = [member.value for member in vocabulary]
    listed = ", ".join(f"'{word}'" for word in words)
    allowed = Condition(f"{name} IN ({listed})", f"{name} = ANY ('{{{','.join(words)}}}'::text[])")
    return column, CheckConstraint(allowed, name=name)
