"""Ids as clients write them: `cm_` and 32 hex digits, whose prefix tells the kind."""

import re

from cm_graphql.engine.declare import PREFIXES, NodeType
from cm_graphql.engine.errors import BadUserInput

_ID = re.compile(r"([a-z]{2,3})_([0-9a-f]{32})\Z", re.ASCII)
_DIGITS = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)


def kind_of(value: str) -> NodeType:
    """The type that an id is of; a malformed id or an unknown kind is BAD_USER_INPUT."""
    match = _ID.match(value)
    if match is None:
        raise BadUserInput(f"{_short(value)} is no id: an id is a prefix, an underscore and 32 lowercase hex digits.")
    kind = PREFIXES.get(match[1])
    if kind is None:
        raise BadUserInput(f"{_short(value)} has the unknown prefix {match[1]}_.")
    return kind


def id_of(value: str, prefix: str) -> str:
    """Check an id of one kind; the bare 32 digits get their prefix."""
    if _DIGITS.match(value):
        return f"{prefix}_{value}"
    match = _ID.match(value)
    if match is None or match[1] != prefix:
        raise BadUserInput(f"{_short(value)} is no id of this kind: expected {prefix}_ and 32 lowercase hex digits.")
    return value


def is_id(value: str, prefix: str) -> bool:
    """Tell whether a key is an id of this kind, with or without its prefix, rather than a number."""
    match = _ID.match(value)
    return bool(_DIGITS.match(value)) or (match is not None and match[1] == prefix)


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:60] + "...")
