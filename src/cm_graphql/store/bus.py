"""Tells whoever listens which jobs and entries of the history were committed, in this process or in any other.

On SQLite there is only this process. On PostgreSQL ids travel by NOTIFY, over one connection of each process; it is not
the connection that committed, so that telling takes no time from anybody who writes. What is told while that connection
is lost may not arrive: whoever must know looks for itself from time to time.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import asyncpg
import structlog

from cm_graphql.store.database import Database

CHANNEL: Final = "cm_graphql"
IDS_PER_MESSAGE: Final = 100
"""Far below the 8,000 bytes that NOTIFY carries."""
MOST_WAITING: Final = 1_000
"""Ids that wait for one listener; one that is slower than that has to begin anew."""
RECONNECT_SECONDS: Final = 1.0

log = structlog.get_logger("cm_graphql.bus")


class TooSlow(Exception):
    """A listener did not keep up; it missed some of what happened."""


class Listener:
    """What one listener has not heard yet, at most so much."""

    def __init__(self, prefix: str, most: int = MOST_WAITING) -> None:
        self._prefix = prefix
        self._most = most
        self._waiting: deque[str] = deque()
        self._something = asyncio.Event()
        self._overrun = False

    def put(self, ids: Sequence[str]) -> None:
        """Have these ids heard, as far as they are of the kind that is listened for; never waits."""
        mine = [changed for changed in ids if changed.startswith(self._prefix)]
        if len(self._waiting) + len(mine) > self._most:
            self._overrun = True
            mine = []
        self._waiting.extend(mine)
        if mine or self._overrun:
            self._something.set()

    async def heard(self, patience: float | None = None) -> list[str]:
        """Wait for something, at most so many seconds, and take all that waits; raises TooSlow when some was lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._something.wait()
        self._something.clear()
        if self._overrun:
            raise TooSlow
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


class Bus:
    """The listeners of this process, and the way to those of the others."""

    def __init__(self, database: Database, url: str | None = None) -> None:
        """`url` leads past a connection pooler, which does not know LISTEN; left out, the database's own is taken."""
        own = database.writers.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._url = (url or own).replace("postgresql+asyncpg://", "postgresql://", 1)
        self._listeners: set[Listener] = set()
        self._outgoing: deque[str] = deque(maxlen=100_000)
        self._something = asyncio.Event()
        self._relay: asyncio.Task[None] | None = None
        self._across = database.dialect == "postgresql"
        database.listeners.append(self._committed)

    def start(self) -> None:
        """Reach the other processes, if there can be any."""
        if self._across:
            self._relay = asyncio.create_task(self._keep_relaying())

    async def stop(self) -> None:
        """Tell nobody else any more."""
        if self._relay is not None:
            self._relay.cancel()
            await asyncio.wait([self._relay])

    @contextmanager
    def listening(self, prefix: str, most: int = MOST_WAITING) -> Iterator[Listener]:
        """Listen for ids that begin so, from now on."""
        listener = Listener(prefix, most)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _committed(self, ids: Sequence[str]) -> None:
        self._tell(ids)
        if self._across:
            self._outgoing.extend(ids)
            self._something.set()

    def _tell(self, ids: Sequence[str]) -> None:
        for listener in self._listeners:
            listener.put(ids)

    async def _keep_relaying(self) -> None:
        while True:
            try:
                await self._relay_until_lost()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("bus_lost", reason=str(error).partition("\n")[0])
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _relay_until_lost(self) -> None:
        settings = {"application_name": "cm-graphql-bus"}
        connection: Any = await asyncpg.connect(self._url, server_settings=settings, statement_cache_size=0)
        try:
            me = connection.get_server_pid()

            def hear(_connection: Any, sender: int, _channel: str, payload: str) -> None:
                if sender != me:  # what this process did, its listeners know
                    self._tell(json.loads(payload))

            lost = asyncio.Event()

            def lose(_connection: Any) -> None:
                lost.set()
                self._something.set()

            connection.add_termination_listener(lose)
            await connection.add_listener(CHANNEL, hear)
            while not lost.is_set():
                await self._something.wait()
                self._something.clear()
                while self._outgoing and not lost.is_set():
                    ids = [self._outgoing[place] for place in range(min(IDS_PER_MESSAGE, len(self._outgoing)))]
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, json.dumps(ids))
                    for _ in ids:
                        self._outgoing.popleft()
        finally:
            connection.terminate()
