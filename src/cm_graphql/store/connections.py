"""PostgreSQL's connections straight through asyncpg: for statements that stand compiled and begin no transaction.

The pool is our own: asyncpg's asks the server at each release to forget settings, which nothing here makes, and that
round trip costs as much as a small reading.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What the driver raises; an internal error of its own where it has been told of the end of a connection, but sees it
a moment later."""

GOODBYE: Final = 2.0
"""Seconds for a server to hear that a connection ends: one that froze, or is out of reach, never does."""


class Connections:
    """Connections to one database, of which at most so many are open."""

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any],
        size: int,
        prepare: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        """`prepare` is run with each new connection."""
        self._url = url
        self._options = options
        self._size = size
        self._prepare = prepare
        self._busy = 0
        self._turns = asyncio.Semaphore(size)
        self._idle: list[asyncpg.Connection] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Any]:
        """A connection that is open, as far as one can tell without asking; the one used last, for its warm caches."""
        async with self._turns:
            connection = None
            self._busy += 1
            try:
                while self._idle and (connection is None or connection.is_closed()):
                    connection = self._idle.pop()
                if connection is None or connection.is_closed():
                    # Connecting keeps an eye on the clock, for which it has to be a task, whatever this is part of.
                    connection = await asyncio.ensure_future(self._connect())
                yield connection
            except asyncio.CancelledError:
                if connection is not None:
                    connection.terminate()  # its statement may still run, and its answer is nobody's
                raise
            finally:
                self._busy -= 1
                if connection is not None and not connection.is_closed():
                    self._idle.append(connection)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._url, **self._options)
        if self._prepare is not None:
            await self._prepare(connection)
        return connection

    def usage(self) -> tuple[int, int]:
        """How many connections are in use, and how many there may be."""
        return self._busy, self._size

    async def close(self) -> None:
        """Close the connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.close(timeout=GOODBYE) for connection in idle), return_exceptions=True)
