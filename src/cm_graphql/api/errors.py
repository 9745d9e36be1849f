"""How an answer says that something went wrong: one shape, a code on every error, and nothing of our inside shown."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias

import structlog
from graphql import GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError

from cm_graphql.store.errors import Unreachable

MASKED_MESSAGE = "Something went wrong on our side. Please report it with the request id."

AWAY_MESSAGE: Final = "The database cannot be reached: try again in a moment."
UNDONE_MESSAGE: Final = "The database cannot be reached: this was not done; the actions before it were answered."
"""Of an action in a request of several."""

UNREAD_MESSAGE: Final = (
    "The database could not be reached to read this. The action it belongs to was answered: do not ask for it anew."
)
"""Of a field below an action, which was done or refused before."""

AWAY_SECONDS: Final = 5
"""After so long those are asked to try again whom the database keeps waiting."""

_AWAY: Final = {"retryAfter": AWAY_SECONDS}

TOLD_SECONDS: Final = 10.0
"""So often the log says why the database cannot be reached; each request that meets it has its line there anyway."""

FormattedError: TypeAlias = dict[str, Any]
"""One entry of an answer's `errors`: message, extensions with the code, and locations and path where there are any."""

log = structlog.get_logger("cm_graphql.api")


class Code(StrEnum):
    """The codes of `errors[].extensions.code` (api.md, Mutations); a billing rule's refusal is a user error instead."""

    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    PERSISTED_QUERY_HASH_MISMATCH = "PERSISTED_QUERY_HASH_MISMATCH"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class ApiError(Exception):
    """An error whose message is meant for the caller; any other exception reaches them masked."""

    def __init__(self, message: str, code: Code, extensions: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.extensions = dict(extensions or {})


class RequestRefused(ApiError):
    """An HTTP request that is not answered with a GraphQL result: a status, perhaps headers, and one error."""

    def __init__(
        self, status: int, message: str, code: Code = Code.BAD_USER_INPUT, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, code)
        self.status = status
        self.headers = dict(headers or {})


class DatabaseAway(RequestRefused):
    """Nothing could be read or done, because the database cannot be reached, which the log is told too."""

    def __init__(self, cause: Unreachable) -> None:
        headers = {"retry-after": str(AWAY_SECONDS)}
        super().__init__(503, AWAY_MESSAGE, Code.SERVICE_UNAVAILABLE, headers=headers)
        self.extensions |= _AWAY
        _outages.note(cause)


class Outages:
    """Says in the log why the database cannot be reached, not for each who asks meanwhile."""

    def __init__(self) -> None:
        self._told: float | None = None

    def note(self, cause: Unreachable) -> None:
        """Say it, unless that was a moment ago."""
        now = time.monotonic()
        if self._told is None or now - self._told >= TOLD_SECONDS:
            self._told = now
            log.warning("database_away", reason=str(cause))


_outages = Outages()


class DocumentRefused(Exception):
    """A document or its variables cannot be executed; the errors stand ready for the answer."""

    def __init__(self, errors: list[FormattedError]) -> None:
        super().__init__("the request cannot be executed")
        self.errors = errors


def from_api_error(error: ApiError) -> FormattedError:
    """Format an error that belongs to the whole request."""
    return {"message": error.message, "extensions": {**error.extensions, "code": str(error.code)}}


def away(error: GraphQLError) -> Unreachable | None:
    """That the database cannot be reached, where that is what a field met."""
    cause = _cause(error)
    return cause if isinstance(cause, Unreachable) else None


def from_request_error(error: GraphQLError, code: Code) -> FormattedError:
    """Format an error found before execution: in the document, its variables or the choice of operation.

    A value that a scalar refused carries the scalar's own code, or BAD_USER_INPUT, wherever it was found.
    """
    cause = _cause(error)
    stated = _stated(cause)
    if stated is not None:
        return _located(error, error.message, *stated)
    if not isinstance(cause, GraphQLError):
        code = Code.BAD_USER_INPUT
    return _located(error, error.message, code)


class ExecutionErrors:
    """Formats what fields raised during one request, and logs each distinct bug of ours once.

    The log gets neither the document nor the variables: what a caller sends can be confidential.
    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self._logged: set[tuple[object, ...]] = set()

    def format(self, error: GraphQLError, *, in_mutation: bool = False) -> FormattedError:
        """Show an error made for the caller as it is, and any other masked, with the request id to quote."""
        cause = _cause(error)
        stated = _stated(cause)
        if stated is not None:
            return _located(error, error.message, *stated)
        if _is_argument_error(cause):
            return _located(error, error.message, Code.BAD_USER_INPUT)
        if isinstance(cause, Unreachable):
            _outages.note(cause)
            message = AWAY_MESSAGE
            if in_mutation:
                message = UNREAD_MESSAGE if len(error.path or ()) > 1 else UNDONE_MESSAGE
            return _located(error, message, Code.SERVICE_UNAVAILABLE, _AWAY)
        self._log_once(cause, error.path)
        return _located(error, MASKED_MESSAGE, Code.INTERNAL_SERVER_ERROR, {"requestId": self.request_id})

    def crashed(self, error: BaseException) -> FormattedError:
        """Mask an exception that ended the whole request."""
        self._log_once(error, None)
        masked = ApiError(MASKED_MESSAGE, Code.INTERNAL_SERVER_ERROR, {"requestId": self.request_id})
        return from_api_error(masked)

    def _log_once(self, cause: BaseException, path: list[str | int] | None) -> None:
        # The same field fails alike in every row of a list: one entry tells it all.
        field = tuple(part for part in path or () if isinstance(part, str))
        if (type(cause), field) in self._logged:
            return
        self._logged.add((type(cause), field))
        log.error("internal_error", request_id=self.request_id, field=".".join(field) or None, exc_info=cause)


def _cause(error: GraphQLError) -> BaseException:
    """Unwrap the exception that graphql-core put locations and a path around."""
    cause: BaseException = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def _stated(cause: BaseException) -> tuple[Code, Mapping[str, object]] | None:
    """Give the code and extensions of an error that was made for the caller: ours, or GraphQL's with a known code."""
    if isinstance(cause, ApiError):
        return cause.code, cause.extensions
    if isinstance(cause, GraphQLError) and cause.extensions and cause.extensions.get("code") in set(Code):
        return Code(cause.extensions["code"]), cause.extensions
    return None


def _is_argument_error(cause: BaseException) -> bool:
    """Tell whether graphql-core or Strawberry refused an argument only when the field was about to run.

    Both raise the same class for our bugs too, a wrong return type for one; those have other messages.
    """
    if isinstance(cause, StrawberryInputCoercionError):
        return True
    return isinstance(cause, GraphQLError) and bool(cause.nodes) and cause.message.startswith("Argument ")


def _located(
    error: GraphQLError, message: str, code: Code, extensions: Mapping[str, object] | None = None
) -> FormattedError:
    formatted: FormattedError = {"message": message}
    if error.locations:
        formatted["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path:
        formatted["path"] = error.path
    formatted["extensions"] = {**(extensions or {}), "code": str(code)}
    return formatted
