"""Ids as requests ask for them: whatever is malformed is the request's fault."""

from cm_graphql.fields.declare import PREFIXES, NodeType
from cm_graphql.fields.errors import BadUserInput
from cm_graphql.store import keys


def kind_of(value: str) -> NodeType:
    """The type that an id is of; a malformed id or an unknown kind is BAD_USER_INPUT."""
    try:
        kind = PREFIXES.get(keys.prefix_of(value))
    except keys.MalformedId as error:
        raise BadUserInput(str(error)) from error
    if kind is None:
        raise BadUserInput(f"{value} has a prefix that nothing here has.")
    return kind


def id_of(value: str, *prefixes: str) -> str:
    """Check an id of one kind, or of one of several; the bare 32 digits get the (first) prefix."""
    try:
        return keys.id_of(value, *prefixes)
    except keys.MalformedId as error:
        raise BadUserInput(str(error)) from error


def read_key(value: str, prefix: str) -> tuple[str | None, str | None]:
    """Read a key as an id or as a number, of which one is None; an id of another kind is BAD_USER_INPUT."""
    try:
        return keys.read_key(value, prefix)
    except keys.MalformedId as error:
        raise BadUserInput(str(error)) from error
