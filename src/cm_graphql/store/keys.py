"""Ids and keys as clients write them: `cm_` and 32 hex digits, those digits alone, or a document's number."""

import re
from typing import Final

_ID: Final = re.compile(r"([a-z]{2,3})_([0-9a-f]{32})\Z", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)


class MalformedId(ValueError):
    """An id that cannot be one, or is one of another kind: the caller's mistake, whatever the database holds."""


def prefix_of(value: str) -> str:
    """The prefix of an id, which tells its kind; raises MalformedId."""
    match = _ID.match(value)
    if match is None:
        raise MalformedId(f"{_short(value)} is no id: an id is a prefix, an underscore and 32 lowercase hex digits.")
    return match[1]


def id_of(value: str, *prefixes: str) -> str:
    """Check an id of one kind, or of one of several; the bare 32 digits get the (first) prefix. Raises MalformedId."""
    if _DIGITS.match(value):
        return f"{prefixes[0]}_{value}"
    match = _ID.match(value)
    if match is None or match[1] not in prefixes:
        expected = " or ".join(f"{prefix}_" for prefix in prefixes)
        raise MalformedId(f"{_short(value)} is no id of this kind: expected {expected} and 32 lowercase hex digits.")
    return value


def read_key(value: str, prefix: str) -> tuple[str | None, str | None]:
    """Read a key as an id or as a number, of which one is None; an id of another kind raises MalformedId."""
    match = _ID.match(value)
    if match is not None and match[1] == prefix:
        return value, None
    if match is not None or _DIGITS.match(value):
        return id_of(value, prefix), None
    return None, value


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:60] + "...")
