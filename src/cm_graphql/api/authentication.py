"""Who sends a request: told by its bearer token alone, never by a cookie, and refused without saying why."""

from collections.abc import Sequence
from typing import Final, Protocol

from cm_graphql.api.errors import Code, DatabaseAway, RequestRefused
from cm_graphql.operations.viewer import LOCAL, CannotTell, Viewer
from cm_graphql.store.errors import Unreachable

REALM: Final = 'Bearer realm="cm-graphql"'

KEY_PREFIX: Final = "cmk_"
"""How API keys begin; a JWT never does."""


class Check(Protocol):
    """Tells who holds a token."""

    async def viewer(self, token: str) -> Viewer | None:
        """The holder; None where the token is not good. Raises CannotTell where that cannot be found out now."""
        ...

    def known(self, token: str) -> Viewer | None:
        """The holder of a token that was looked at a moment ago; None where it has to be looked at."""
        ...


class Keys(Check, Protocol):
    """Tells who holds a key, and can do so from memory."""

    def remembered(self, token: str) -> Viewer | None:
        """The holder of a key that was good when it was looked at last, however long ago."""
        ...


class Authentication:
    """Finds the caller of each request, by API keys, by JWTs, or by both; by neither, it is the local one."""

    def __init__(self, keys: Keys | None = None, tokens: Check | None = None) -> None:
        self._keys = keys
        self._tokens = tokens

    def known(self, authorization: bytes) -> Viewer | None:
        """The caller, by an `Authorization` header that was looked at a moment ago; None where it has to be."""
        if self._keys is None and self._tokens is None:
            return LOCAL
        if authorization[:7] != b"Bearer ":
            return None
        token = authorization[7:].decode("latin-1")
        check = self._check(token)
        return None if check is None else check.known(token)

    def _check(self, token: str) -> Check | None:
        return self._keys if token.startswith(KEY_PREFIX) else self._tokens

    def remembered(self, authorization: Sequence[str]) -> Viewer | None:
        """The caller by a key that was good when the database could be asked last; for what needs no database."""
        token = authorization[0].strip().partition(" ")[2].strip() if len(authorization) == 1 else ""
        return None if self._keys is None else self._keys.remembered(token)

    async def viewer(self, authorization: Sequence[str]) -> Viewer:
        """The caller, by the `Authorization` headers of a request; raises RequestRefused, 401 or 503."""
        if self._keys is None and self._tokens is None:
            return LOCAL
        if not authorization:
            raise _refusal(REALM)
        scheme, _, token = authorization[0].strip().partition(" ")
        if len(authorization) > 1 or scheme.lower() != "bearer":
            raise _refusal(REALM)
        token = token.strip()
        check = self._check(token)
        try:
            viewer = None if check is None else await check.viewer(token)
        except CannotTell as error:
            message = "Who you are cannot be found out now: try again in a moment."
            refused = RequestRefused(503, message, Code.SERVICE_UNAVAILABLE, headers={"retry-after": "30"})
            refused.extensions["retryAfter"] = 30
            raise refused from error
        except Unreachable as error:
            raise DatabaseAway(error) from error
        if viewer is None:
            raise _refusal(f'{REALM}, error="invalid_token"')
        return viewer


def _refusal(challenge: str) -> RequestRefused:
    message = "You have to say who you are: send `Authorization: Bearer` with an API key or a token that is valid."
    return RequestRefused(401, message, Code.UNAUTHENTICATED, headers={"www-authenticate": challenge})
