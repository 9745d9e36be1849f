"""What can go wrong between us and the database, by what a caller can do about it."""

from typing import Any, Final

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


_SQLSTATES: Final[dict[str, StoreError]] = {
    "40001": Conflict("others changed the same meanwhile"),
    "40P01": Conflict("others waited for this action, and it for them"),
    "55P03": LockTimeout("others have had what it needs locked for too long"),
    "57014": StatementTimeout("it took too long"),
}
_SQLITE_BUSY: Final = 5
_SQLITE_LOCKED: Final = 6


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


def wrapped(error: Exception, dialect: Any) -> Exception:
    """A driver's error as SQLAlchemy would have raised it."""
    return DBAPIError.instance(None, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect)
