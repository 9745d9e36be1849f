"""Documents that a request names instead of bringing them: registered ones, and those a client has sent before."""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

from cm_graphql.api.bodies import Parameters
from cm_graphql.api.errors import ApiError, Code, DocumentRefused, RequestRefused, from_api_error
from cm_graphql.operations.registered import hash_of

PREFIX: Final = "sha256:"

MOST_CHARACTERS: Final = 16 << 20
"""What is remembered of the texts that clients have sent, all together."""

_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Registered(Protocol):
    """Knows the registered documents."""

    def recent(self, key: str) -> str | None:
        """The document of an id, or of a hash, if it was looked up a moment ago."""
        ...

    async def text(self, key: str) -> str | None:
        """The document of an id, or of a hash."""
        ...


class PersistedDocuments:
    """Finds the document of a request.

    `registered_only` answers nothing but registered documents, whether a request names them or brings them. `automatic`
    remembers what clients send with its hash (Apollo's automatic persisted queries).
    """

    def __init__(
        self,
        registered: Callable[[], Registered | None] = lambda: None,
        *,
        automatic: bool = True,
        registered_only: bool = False,
    ) -> None:
        self._registered = registered
        self._automatic = automatic and not registered_only
        self._registered_only = registered_only
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._kept_characters = 0

    def at_hand(self, parameters: Parameters) -> str | None:
        """The text of the document, where it is known already and needs no remembering; raises RequestRefused."""
        text, document_id = parameters.query, parameters.document_id
        named = _named_by_extension(parameters)
        if text is None:
            key = document_id or named or ""
            return self._remembered(key.removeprefix(PREFIX)) if named is None or document_id is None else None
        if named is not None or (self._registered_only and self._recent(hash_of(text)) is None):
            return None
        return text

    async def text(self, parameters: Parameters) -> str:
        """The text of the document; raises RequestRefused and DocumentRefused."""
        text, document_id = parameters.query, parameters.document_id
        named = _named_by_extension(parameters)
        if text is None:
            return await self._found(document_id or named or "", by_extension=document_id is None)
        if named is not None and named != hash_of(text):
            raise RequestRefused(400, "provided sha does not match query", Code.PERSISTED_QUERY_HASH_MISMATCH)
        if self._registered_only and await self._in_registry(hash_of(text)) is None:
            raise DocumentRefused([from_api_error(ApiError(_ONLY, Code.FORBIDDEN))])
        return text

    def keep(self, parameters: Parameters, text: str) -> None:
        """Remember a document that came with its hash, now that it is known to be a good one."""
        named = _named_by_extension(parameters)
        if not self._automatic or named is None or parameters.query is None or named in self._kept:
            return
        self._kept[named] = text
        self._kept_characters += len(text)
        while self._kept_characters > MOST_CHARACTERS:
            _, forgotten = self._kept.popitem(last=False)
            self._kept_characters -= len(forgotten)

    async def _found(self, document_id: str, *, by_extension: bool) -> str:
        key = document_id.removeprefix(PREFIX)
        text = self._remembered(key) or await self._in_registry(key)
        if text is not None:
            return text
        # Clients know what to do by these very words.
        if by_extension and not self._automatic and not self._registered_only:
            error = ApiError("PersistedQueryNotSupported", Code.PERSISTED_QUERY_NOT_SUPPORTED)
        elif by_extension:
            error = ApiError("PersistedQueryNotFound", Code.PERSISTED_QUERY_NOT_FOUND)
        else:
            message = f"There is no document {document_id[:80]!r}: register it with `cm-graphql documents register`."
            error = ApiError(message, Code.PERSISTED_QUERY_NOT_FOUND)
        raise DocumentRefused([from_api_error(error)])

    def _remembered(self, key: str) -> str | None:
        """What a client has sent with its hash, or what was registered and looked up a moment ago."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return self._recent(key)

    def _recent(self, key: str) -> str | None:
        registered = self._registered()
        return None if registered is None else registered.recent(key)

    async def _in_registry(self, key: str) -> str | None:
        registered = self._registered()
        return None if registered is None or not key else await registered.text(key)


_ONLY: Final = "This server answers registered documents only: register yours with `cm-graphql documents register`."


def _named_by_extension(parameters: Parameters) -> str | None:
    """The hash that a request gives as Apollo's clients do; raises RequestRefused where it is none."""
    given: Any = (parameters.extensions or {}).get("persistedQuery")
    if given is None:
        return None
    found = given.get("sha256Hash") if isinstance(given, dict) else None
    if not isinstance(found, str) or not _HASH.fullmatch(found) or given.get("version") != 1:
        message = "`extensions.persistedQuery` has a `version` of 1 and a `sha256Hash` of 64 small hex digits."
        raise RequestRefused(400, message)
    return found
