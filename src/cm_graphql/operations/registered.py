"""Documents that clients were built with: registered by whoever deploys them, found by their ids."""

import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cm_graphql.operations.ports import Clock
from cm_graphql.operations.viewer import LOCAL
from cm_graphql.store import registered as store
from cm_graphql.store.database import Database
from cm_graphql.store.registered import RegisteredDocument
from cm_graphql.store.session import Session

FRESH_SECONDS: Final = 5.0
"""How long a document that was looked up is believed; so soon takes effect that it was removed."""

SUFFIXES: Final = (".graphql", ".gql", ".json")

_MOST_KEPT: Final = 2_000
_MOST_BYTES: Final = 32 << 20
_ID: Final = re.compile(r"(?:sha256:[0-9a-f]{64}|(?:x-[A-Za-z0-9._~-]+:)?[A-Za-z0-9._~-]{1,200})", re.ASCII)


class NotRegistered(Exception):
    """Documents cannot be registered, or removed, as asked; the message says why."""


def hash_of(text: str) -> str:
    """The SHA-256 of a document, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read(paths: Iterable[Path]) -> dict[str, str]:
    """The documents by their ids in files and folders, of any format that clients' tools write; raises NotRegistered.

    Relay's `persistConfig` and graphql-codegen's client preset write an object of ids and texts, Apollo a manifest. A
    file of GraphQL is one document, its id the hash of its text.
    """
    found: dict[str, str] = {}
    for path in paths:
        files = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES) if path.is_dir() else [path]
        if not files:
            raise NotRegistered(f"{path} holds no file that ends with {', '.join(SUFFIXES)}.")
        for file in files:
            for id, text in _documents(file).items():
                if found.setdefault(id, text) != text:
                    raise NotRegistered(f"{file}: {id} stands for another document elsewhere.")
    return found


def _documents(file: Path) -> Mapping[str, str]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise NotRegistered(f"{file} has more than {_MOST_BYTES} bytes.")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise NotRegistered(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise NotRegistered(f"{file} is no text in UTF-8.") from None
    if file.suffix != ".json":
        return {hash_of(text): text}
    try:
        content = json.loads(text)
    except ValueError:
        raise NotRegistered(f"{file} is no JSON.") from None
    listed = content
    if isinstance(content, dict) and "operations" in content and isinstance(content["operations"], list):
        if content.get("format") != "apollo-persisted-query-manifest" or content.get("version") != 1:
            raise NotRegistered(f"{file} is no manifest of version 1 of Apollo's format.")
        listed = {str(_of(one, "id")): _of(one, "body") for one in content["operations"]}
    if not isinstance(listed, dict) or not all(isinstance(one, str) for one in listed.values()):
        raise NotRegistered(f"{file} is neither Apollo's manifest nor an object of ids and documents.")
    return listed


def _of(operation: Any, name: str) -> Any:
    return operation.get(name) if isinstance(operation, dict) else None


async def register(database: Database, clock: Clock, documents: Mapping[str, str]) -> int:
    """Keep documents by their ids, and tell how many are new. An id stands for one text for ever; raises NotRegistered.

    That its text would be answered is for the caller to see first.
    """
    for id in documents:
        if not _ID.fullmatch(id):
            raise NotRegistered(f"{id[:80]!r} is no id: it has 1 to 200 letters, digits, dots, dashes and the like.")
    now = clock.now()
    async with database.write() as connection:
        session = Session(connection, database.dialect)
        known = {one.id: one.text for one in await store.every(session)}
        for id, text in documents.items():
            if known.get(id, text) != text:
                raise NotRegistered(f"{id} is registered with another text: remove it first.")
        made = [
            RegisteredDocument(id=id, hash=hash_of(text), text=text, created_date=now)
            for id, text in documents.items()
            if id not in known
        ]
        await store.insert(session, made, LOCAL.id)
    return len(made)


async def every(database: Database) -> list[RegisteredDocument]:
    """All documents, in the order of their ids."""
    async with database.read() as connection:
        return await store.every(Session(connection, database.dialect))


async def remove(database: Database, ids: Sequence[str]) -> None:
    """Forget documents; raises NotRegistered where one is not known, and forgets none."""
    async with database.write() as connection:
        session = Session(connection, database.dialect)
        known = {one.id for one in await store.every(session)}
        for id in ids:
            if id not in known:
                raise NotRegistered(f"There is no document {id}: `cm-graphql documents list` shows their ids.")
        await store.remove(session, ids)


class Registry:
    """Finds registered documents for a server, which asks for the same few over and over."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def recent(self, key: str) -> str | None:
        """The document of an id, or of a hash, if it was looked up a moment ago."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and time.monotonic() - kept[0] < FRESH_SECONDS else None

    async def text(self, key: str) -> str | None:
        """The document of an id, or of a hash."""
        recent = self.recent(key)
        if recent is not None:
            return recent
        asked = time.monotonic()
        async with self._database.read() as connection:
            found = await store.find(Session(connection, self._database.dialect), key)
        # What does not exist is not kept: anybody can make such ids up.
        self._kept.pop(key, None)
        if found is None:
            return None
        self._kept[key] = asked, found.text
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return found.text
