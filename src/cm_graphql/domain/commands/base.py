"""What every request of a change has in common.

A field is written once, with its meaning: `amount: Annotated[Decimal, Doc("...")]`. The api turns the record into
a GraphQL input of the same name plus `Input`. A field that may be left out has a default; one where leaving it
out differs from null is `T | Unset | None = UNSET`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, Literal, NewType, TypeAlias

Key = NewType("Key", str)
"""An id with its prefix, the bare 32 digits of one, or a number; `ID` in GraphQL."""

Json: TypeAlias = Mapping[str, Any]
"""An object whose members the caller names; `JSON` in GraphQL."""


@dataclass(frozen=True, slots=True)
class Doc:
    """The meaning of a field, for the client's documentation."""

    text: str


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that came along with a request; `Upload` in GraphQL."""

    name: str | None
    """What the sender calls it, which nothing here believes or opens."""
    content: bytes
    """As far as it was read: not all of a file that is too large."""
    size: int
    """In bytes, of the whole file."""


class Unset(Enum):
    """The type of a field that was not given at all, where that differs from null."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, kw_only=True)
class Command:
    """A request of a change."""

    idempotency_key: Annotated[
        str | None,
        Doc(
            "At most 255 characters. A repeat by the same caller with the same key and input within 24 hours returns "
            "the first outcome instead of acting again."
        ),
    ] = None
    dry_run: Annotated[bool, Doc("Do everything, checks, effects and answer included, and let nothing of it stay.")] = (
        False
    )


@dataclass(frozen=True, kw_only=True)
class MemoCommand(Command):
    """A request to change one credit memo."""

    key: Annotated[Key, Doc("The credit memo: its id, the bare 32 digits of it, or its number.")]
    if_version: Annotated[int | None, Doc("Refuse with STALE_VERSION when the memo's version is another by now.")] = (
        None
    )
