"""What the actions on documents need of the world outside: somebody to draw PDFs, keep files and carry mail."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from cm_graphql.domain.paper import Paper

if TYPE_CHECKING:
    from cm_graphql.domain.letters import Letter


class PdfFailed(Exception):
    """A PDF could not be made, and would not be if it were tried again; the message is for the caller."""

    def __init__(self, category: str, message: str) -> None:
        super().__init__(message)
        self.category = category
        """A symbol for programs: INVALID_TEMPLATE, MISSING_FONT or INVALID_EINVOICE."""


class Printer(Protocol):
    """Makes PDFs."""

    async def pdf(self, paper: Paper, at: datetime) -> bytes:
        """Make the PDF of a memo, dated as told; the same paper gives the same bytes. Raises PdfFailed."""
        ...


class Judge(Protocol):
    """Looks into what somebody uploads."""

    async def wrong_with(self, content: bytes) -> str | None:
        """Say why content is no PDF that can be kept, or nothing; the work is bounded whatever it holds."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What lies in the file store."""

    key: str
    stored: datetime


class FileStore(Protocol):
    """Keeps the bytes of files under keys that are written once."""

    async def put(self, key: str, content: bytes) -> None:
        """Store content; where the key is there already, with the same content, do nothing."""
        ...

    async def get(self, key: str) -> AsyncIterator[bytes] | None:
        """The content, piece by piece; None where there is none."""
        ...

    def all(self) -> AsyncIterator[Sequence[StoredObject]]:
        """Everything that is kept, in portions."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are gone already do not matter."""
        ...


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A letter on its way."""

    message_id: str
    """Stays the same however often it is sent, so that a mailbox can tell repeats."""
    date: datetime
    recipients: tuple[str, ...]
    letter: "Letter"
    attachment: tuple[str, bytes] | None = None
    """The name and the content of a PDF."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of a mail that a server has taken for at least one of its recipients."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Recipients that never get it, with the server's reason."""
    later: Mapping[str, str] = field(default_factory=dict)
    """Recipients that the server did not want to hear of now, with its reason: to be tried again."""


class MailRefused(Exception):
    """No server will ever take this mail; the message says why."""


class FilesAway(OSError):
    """The file store cannot be reached, or did not do what was asked; jobs wait for it."""


class MailDelayed(Exception):
    """The mail could not be handed over now, but may be later; the message says why."""


class Mailer(Protocol):
    """Carries mail."""

    @property
    def domain(self) -> str:
        """The domain of the sender, for message ids."""
        ...

    async def send(self, mail: Mail) -> Sent:
        """Hand a mail over; answers which of its recipients were refused, where others were not.

        Raises MailRefused where all were for good, and MailDelayed.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class DocumentPorts:
    """All of them together."""

    printer: Printer
    judge: Judge
    files: FileStore
    mailer: Mailer
