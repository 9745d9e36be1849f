"""How dates, numbers and money are spelled where the reader lives; with Babel everywhere, else plainly."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from cm_graphql.domain.money import SCALE, Currency

try:
    from babel import Locale, UnknownLocaleError
    from babel.dates import format_date
    from babel.numbers import format_decimal, format_percent
except ImportError:  # the extra `babel` is not installed
    Locale = None  # type: ignore[assignment, misc] # what is optional has no other way to be missing


@dataclass(frozen=True)
class Formats:
    """The spelling of one place."""

    tag: str
    """As in `de-CH`."""
    _locale: Any = None

    @property
    def language(self) -> str:
        """As in `de`."""
        return self.tag.replace("_", "-").partition("-")[0]

    @property
    def region(self) -> str | None:
        """As in `CH`; None where the tag names none."""
        last = self.tag.replace("_", "-").rpartition("-")[2]
        return last if len(last) == 2 and last.isupper() else None

    def date(self, day: date) -> str:
        """A day, as in `Mar 15, 2026`; by ISO 8601 without Babel."""
        return day.isoformat() if self._locale is None else format_date(day, "medium", self._locale)

    def amount(self, amount: int, currency: Currency) -> str:
        """Ten-thousandths with exactly the currency's decimals and no sign of the currency, as in `1,234.50`."""
        return self._decimal(Decimal(amount) / SCALE, currency.decimals, currency.decimals)

    def money(self, amount: int, currency: Currency) -> str:
        """An amount after its currency's code, as in `USD 1,234.50`, which no other dollar can be meant by."""
        return f"{currency.code}\N{NO-BREAK SPACE}{self.amount(amount, currency)}"

    def number(self, value: Decimal, fewest: int = 0) -> str:
        """A quantity or price with the decimals that it needs, and at least some."""
        return self._decimal(value, fewest, 9)

    def percent(self, rate: Decimal) -> str:
        """A rate, of which 0.0625 is 6.25 %."""
        if self._locale is None:
            return f"{self.number(rate * 100)}%"
        pattern = self._locale.percent_formats[None].pattern.partition(";")[0]
        exact = re.sub(r"[#0]+(?=[^#0]*%|$)", r"\g<0>.#######", pattern, count=1)
        return format_percent(rate, exact, self._locale)

    def country(self, code: str) -> str:
        """The name of a country by its two letters; without Babel, the letters."""
        return code if self._locale is None else self._locale.territories.get(code, code)

    def _decimal(self, value: Decimal, fewest: int, most: int) -> str:
        return self._digits(value, fewest, most).replace("-", "\N{MINUS SIGN}")

    def _digits(self, value: Decimal, fewest: int, most: int) -> str:
        if self._locale is None:
            digits = max(fewest, -int(value.normalize().as_tuple().exponent)) if value else fewest
            return f"{value:,.{min(digits, most)}f}"
        pattern = self._locale.decimal_formats[None].pattern.partition(";")[0].partition(".")[0]
        tail = "0" * fewest + "#" * (most - fewest)
        return format_decimal(value, f"{pattern}.{tail}" if tail else pattern, self._locale)


def country_code(text: str | None) -> str | None:
    """The two letters of a country that is given by them, or, with Babel, by its English name."""
    if not text:
        return None
    if re.fullmatch("[A-Za-z]{2}", text):
        return text.upper()
    return None if Locale is None else _codes().get(text.strip().lower())


@cache
def _codes() -> dict[str, str]:
    return {name.lower(): code for code, name in Locale("en").territories.items() if len(code) == 2}


@lru_cache(maxsize=64)
def formats(tag: str) -> Formats:
    """The spelling of a place; where it is not known, that of its language, or plain English."""
    if Locale is None:
        return Formats(tag)
    parsed = tag.replace("-", "_")
    for candidate in (parsed, parsed.partition("_")[0], "en"):
        try:
            return Formats(tag, Locale.parse(candidate))
        except (UnknownLocaleError, ValueError):
            continue
    raise AssertionError("Babel knows English")
