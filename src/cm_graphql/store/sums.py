"""Sums of amounts that may pass 64 bits: each amount has at most 17 digits, and nobody limits how many there are."""

from typing import Any, Final

from sqlalchemy import ColumnElement, case, cast, func

from cm_graphql.store.types import Amount

_PIECE: Final = 10**9
_MOST: Final = 8 * 10**9
"""As many pieces still leave room in 64 bits to subtract them from an amount."""


def split_sum(amount: Any) -> tuple[Any, Any]:
    """The sum of amounts in two pieces, because SQLite fails where a sum passes 64 bits; see `whole_sum`."""
    return func.sum(amount // _PIECE), func.sum(amount % _PIECE)


def whole_sum(high: Any, low: Any) -> int:
    """Put the pieces of a sum together; PostgreSQL answers with Decimals, SQLite with None where there are no rows."""
    return int(high or 0) * _PIECE + int(low or 0)


def bounded_sum(amount: Any) -> ColumnElement[int]:
    """The sum of amounts inside of a statement; where it passes 800 trillion, either way, it is that."""
    # PostgreSQL makes a NUMERIC of a sum of BIGINT.
    high, low = (func.coalesce(piece, 0) for piece in split_sum(amount))
    pieces = case((high > _MOST, _MOST), (high < -_MOST, -_MOST), else_=high)
    return cast(pieces * _PIECE + low, Amount)
