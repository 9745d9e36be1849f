"""SQLite's log is copied to the file beside those who write, not by one of them.

What is written goes to a log first, which has to be copied to the file before it can begin anew. Left to SQLite, a
commit does that whenever the log has grown long, and everybody waits for it. Here a thread copies it while others
write, on a connection of its own. Then so little is left that whoever commits next copies the rest: only between two
writers can all of it be copied, and the log begin anew.
"""

import asyncio
import sqlite3
from typing import Final

import structlog

AFTER: Final = 5_000
"""Rows that are written before the log is copied: about 8,000 pages or 32 MB, where they are spread over the file."""

TIMES: Final = 4
"""How often at most, one time after the other, the thread copies what was written while it copied."""

SHORT: Final = 500
"""Pages of which whoever commits copies the rest."""

log = structlog.get_logger("cm_graphql.store")


class Checkpoints:
    """Copies the log of one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._copying: asyncio.Future[bool] | None = None
        self._rows = 0
        self._rest_is_short = False

    def take_rest(self) -> bool:
        """Whether it is time for whoever has committed to copy the rest, which is asked for once."""
        taken, self._rest_is_short = self._rest_is_short, False
        return taken

    def written(self, rows: int) -> None:
        """Know that a connection has written so many rows in all, and begin to copy when they are enough."""
        if rows < self._rows:  # another connection
            self._rows = 0
        if self._copying is None and rows - self._rows >= AFTER:
            self._rows = rows
            # No task, which the end of a loop would stop, and the thread go on.
            try:
                self._copying = asyncio.get_running_loop().run_in_executor(None, self._copied)
            except RuntimeError as error:  # no thread can be had
                log.warning("log_not_copied", reason=str(error))
            else:
                self._copying.add_done_callback(self._has_copied)

    def _has_copied(self, copying: asyncio.Future[bool]) -> None:
        self._copying = None
        try:
            self._rest_is_short = copying.result()
        except sqlite3.Error as error:  # then commits do it, once the log is twice as long
            log.warning("log_not_copied", reason=str(error))

    def _copied(self) -> bool:
        """Copy as far as readers let it; tells whether little is left."""
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous = FULL")
        before = 0
        for _ in range(TIMES):
            _, pages, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages - copied > SHORT:  # somebody still reads what was before that
                return False
            if copied - before <= SHORT:
                return True
            before = copied
        return False

    async def close(self) -> None:
        """Wait for the thread, and close the connection."""
        if self._copying is not None:
            await asyncio.wait([self._copying])
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
