"""Values of the database as the answers show them, by hand: for the contenders in Python."""

from datetime import UTC, date, datetime

PLACES = {"EUR": 2, "USD": 2, "GBP": 2, "CAD": 2, "CHF": 2, "JPY": 0, "KWD": 3}


def money(stored: int, currency: str) -> str:
    """An amount in ten-thousandths, with its currency's decimals."""
    sign, stored = ("-", -stored) if stored < 0 else ("", stored)
    places = PLACES[currency]
    if places == 0:
        return f"{sign}{stored // 10_000}"
    return f"{sign}{stored // 10_000}.{stored % 10_000 // 10 ** (4 - places):0{places}d}"


def scaled(stored: int | None) -> str | None:
    """A number in billionths, without needless zeros."""
    if stored is None:
        return None
    sign, stored = ("-", -stored) if stored < 0 else ("", stored)
    whole, fraction = divmod(stored, 1_000_000_000)
    return f"{sign}{whole}.{fraction:09d}".rstrip("0") if fraction else f"{sign}{whole}"


def moment(stored: datetime | str) -> str:
    """A moment in UTC; SQLite keeps it as it is shown."""
    if isinstance(stored, str):
        return stored
    return f"{stored.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def day(stored: date | str | None) -> str | None:
    """A day; SQLite keeps it as it is shown."""
    return stored if stored is None or isinstance(stored, str) else stored.isoformat()
