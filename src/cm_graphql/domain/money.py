"""Exact money: whole ten-thousandths of a currency's main unit, and the one function that rounds.

One scale serves domain and database alike, because no ISO currency has more than four decimals and amounts of
different currencies then compare by value (docs/decisions/0002). A `Currency` knows its own smallest amount.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from cm_graphql.domain.enums import RoundingMode

SCALE = 10_000
"""Units of the inner scale in one main unit of any currency."""

MAX_AMOUNT = 10**13 * SCALE - 1
"""The largest magnitude an amount may have: 13 integer digits (domain.md 0, Money)."""


MOST_DECIMALS = 4
"""No ISO currency has more."""

_CENTS = [Decimal(1).scaleb(-decimals) for decimals in range(MOST_DECIMALS + 1)]
"""One cent of a currency with so many decimals."""


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 currency as the tenant uses it (domain.md 0 Money, 2.9)."""

    code: str
    decimals: int
    rounding: RoundingMode = RoundingMode.HALF_UP
    increment: int | None = None
    active: bool = True

    @property
    def cent(self) -> int:
        """The smallest amount the decimals can tell apart, in ten-thousandths."""
        return int(10 ** (4 - self.decimals))

    @property
    def unit(self) -> int:
        """The step amounts are rounded and spread in: the rounding increment, else one cent."""
        return self.increment or self.cent

    def fits(self, value: Decimal) -> bool:
        """Tell whether the decimals of this currency can hold the value without rounding."""
        return value == value.quantize(_CENTS[self.decimals])

    def amount(self, value: Decimal) -> int:
        """Turn a value that fits into ten-thousandths; a value that does not is our mistake."""
        assert self.fits(value), "an amount is checked before it is converted"
        return int(value * SCALE)

    def show(self, amount: int) -> str:
        """Write an amount with exactly the currency's decimals, as in `12.50`."""
        sign, digits = ("-", -amount) if amount < 0 else ("", amount)
        whole, rest = divmod(digits, SCALE)
        return f"{sign}{whole}.{rest:04d}"[: self.decimals - 4 or None] if self.decimals else f"{sign}{whole}"

    def round(self, exact: Fraction) -> int:
        """Round an exact number of ten-thousandths to this currency's step; halves go away from zero (7.34)."""
        return _round(exact / self.unit, self.rounding) * self.unit


def _round(exact: Fraction, mode: RoundingMode) -> int:
    magnitude, rest = divmod(abs(exact.numerator), exact.denominator)
    grows = {
        RoundingMode.HALF_UP: 2 * rest >= exact.denominator,
        RoundingMode.UP: rest > 0,
        RoundingMode.DOWN: False,
    }[mode]
    return (magnitude + grows) * (1 if exact >= 0 else -1)


def split(total: int, weights: Sequence[int], unit: int) -> list[int]:
    """Share a total in proportion to weights, exactly, by largest remainder; ties go to the earlier (domain.md 4.4).

    Shares are multiples of the unit; what the total has beyond a multiple goes where a cent would, last.
    No share passes its weight when the total does not pass the sum of the weights.
    """
    whole = sum(weights)
    assert total >= 0
    assert whole > 0
    assert min(weights) >= 0
    step = whole * unit
    shares = [total * weight // step * unit for weight in weights]
    rest = total - sum(shares)
    if rest:
        lacking = [total * weight % step for weight in weights]
        order = sorted(range(len(weights)), key=lacking.__getitem__, reverse=True)  # ties stay in their order
        left, rest = divmod(rest, unit)
        for i in order:
            if left == 0:
                break
            if shares[i] + unit <= weights[i] or total > whole:
                shares[i] += unit
                left -= 1
        rest += left * unit
        for i in order:
            if rest == 0:
                break
            room = rest if total > whole else min(rest, weights[i] - shares[i])
            shares[i] += room
            rest -= room
    assert sum(shares) == total, "shares add up to the whole"
    return shares
