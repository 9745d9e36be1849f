"""What can go wrong between us and the database, by what a caller can do about it."""

from typing import Any, Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class StoreError(Exception):
    """The database could not do what was asked, through no fault of the data."""


class Contention(StoreError):
    """Others were in the way; nothing was changed, and the same call may succeed when repeated."""


class Conflict(Contention):
    """The database broke a deadlock or a serialisation conflict by ending this transaction."""


class LockTimeout(Contention):
    """A lock, or a free connection, was not to be had in time."""


class StatementTimeout(StoreError):
    """A statement ran longer than the statement timeout allows."""


class Unreachable(StoreError):
    """The database cannot be reached, or was lost before anything was to be committed; nothing was changed."""


_SQLSTATES: Final[dict[str, StoreError]] = {
    "40001": Conflict("others changed the same meanwhile"),
    "40P01": Conflict("others waited for this action, and it for them"),
    "55P03": LockTimeout("others have had what it needs locked for too long"),
    "57014": StatementTimeout("it took too long"),
}
_SQLITE_BUSY: Final = 5
_SQLITE_LOCKED: Final = 6
_LOST: Final = ("08", "57P")
"""How the SQLSTATEs begin of a connection that broke, and of a server that stops or is not there yet."""


def typed(error: Exception) -> StoreError | None:
    """Name the store error that a driver's error stands for; None when it is another kind of failure."""
    if isinstance(error, PoolTimeout):
        return LockTimeout("every connection of the pool was in use for too long")
    if not isinstance(error, DBAPIError) or error.orig is None:
        return None
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate in _SQLSTATES:
        known = _SQLSTATES[sqlstate]
        return type(known)(*known.args)
    # The low byte is the primary code; the rest of it says which kind of busy.
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED):
        return LockTimeout("another process has been writing for too long")
    return None


def is_lost(error: BaseException) -> bool:
    """Whether an error of the driver, or SQLAlchemy's, says that there is no connection any more."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        error = error.orig or error
    if (getattr(error, "sqlstate", None) or "").startswith(_LOST):
        return True
    return isinstance(error, ConnectionError | asyncpg.InternalClientError)


def unreachable(error: BaseException) -> Unreachable:
    """What an error comes to that says so; for the log, in one line."""
    cause = (error.orig or error) if isinstance(error, DBAPIError) else error
    return Unreachable(str(cause).partition("\n")[0] or type(cause).__name__)


def wrapped(error: Exception, dialect: Any) -> Exception:
    """A driver's error as SQLAlchemy would have raised it."""
    return DBAPIError.instance(None, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect)
