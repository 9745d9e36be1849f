"""Tells whoever listens which jobs and entries of the history were committed, in this process or in any other.

On SQLite there is only this process. On PostgreSQL ids travel by NOTIFY, over one connection of each process; it is not
the connection that committed, so that telling takes no time from anybody who writes. What is told while that connection
is lost does not arrive, and a process may die before it tells. So each looks into the history now and then, and as soon
as it is connected again, for entries that it was not told of. Of jobs nothing is kept that could be looked up: who
watches one is woken when the connection is back, to look for itself.
"""

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import asyncpg
import structlog

from cm_graphql.store import tables as t
from cm_graphql.store.connections import FAILURES
from cm_graphql.store.database import Database

CHANNEL: Final = "cm_graphql"
IDS_PER_MESSAGE: Final = 100
"""Far below the 8,000 bytes that NOTIFY carries."""
MOST_WAITING: Final = 1_000
"""Ids that wait for one listener; one that is slower than that has to begin anew."""
PAUSE_SECONDS: Final = 0.05
"""So long nothing is told after something was: what many commit meanwhile travels together, and costs one commit."""
RECONNECT_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 5.0
"""So often the history is looked into; a connection that does not answer for twice as long is lost."""
MARGIN_SECONDS: Final = 120.0
"""An entry's id may be so much older than its commit, clocks that differ included."""
MOST_KNOWN: Final = 20_000
"""Entries that are remembered, so that each is told once; of more than that nobody can say which were told."""

_HISTORY: Final = "cme_"
_RECENT: Final = f"SELECT id FROM {t.credit_memo_events.name} WHERE id > $1 ORDER BY id DESC LIMIT $2"  # noqa: S608  no input

log = structlog.get_logger("cm_graphql.bus")


class TooSlow(Exception):
    """More happened than a listener can be told; it missed some of it."""


class Listener:
    """What one listener has not heard yet, at most so much."""

    def __init__(self, prefix: str, most: int = MOST_WAITING) -> None:
        self.prefix = prefix
        self.since = time.time()
        self._most = most
        self._waiting: deque[str] = deque()
        self._something = asyncio.Event()
        self._overrun = False

    def put(self, ids: Sequence[str]) -> None:
        """Have these ids heard, as far as they are of the kind that is listened for; never waits."""
        mine = [changed for changed in ids if changed.startswith(self.prefix)]
        if len(self._waiting) + len(mine) > self._most:
            self.miss()
        elif mine:
            self._waiting.extend(mine)
            self._something.set()

    def miss(self) -> None:
        """Know that ids of the kind may have been lost."""
        self._overrun = True
        self._something.set()

    def wake(self) -> None:
        """Have whoever listens look for itself, though nothing was told."""
        self._something.set()

    async def heard(self, patience: float | None = None) -> list[str]:
        """Wait for something, at most so many seconds, and take all that waits, which may be nothing.

        Raises TooSlow when some was lost.
        """
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
        self._known: OrderedDict[str, None] = OrderedDict()
        self._looked = time.time()
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
        news = self._news(ids) if self._across else ids
        for listener in self._listeners:
            listener.put(news)

    def _news(self, ids: Sequence[str]) -> list[str]:
        return [changed for changed in ids if self._is_news(changed)]

    def _is_news(self, changed: str) -> bool:
        """Whether it is to be told; an entry of the history is once, a job whenever it changes."""
        if not changed.startswith(_HISTORY):
            return True
        if changed in self._known:
            return False
        self._known[changed] = None
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return True

    async def _keep_relaying(self) -> None:
        while True:
            try:
                await self._relay_until_lost()
            except FAILURES as error:
                log.warning("bus_lost", reason=str(error).partition("\n")[0] or type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _relay_until_lost(self) -> None:
        # Whoever listens hears a message, or is cut off by the server's crash and looks for itself: no disk is needed.
        settings = {"application_name": "cm-graphql-bus", "synchronous_commit": "off"}
        connection: Any = await asyncpg.connect(
            self._url, server_settings=settings, statement_cache_size=0, command_timeout=2 * LOOK_SECONDS
        )
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
            await self._catch_up(connection)
            while not lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._something.wait()
                self._something.clear()
                told, to_tell = 0, len(self._outgoing)
                while told < to_tell and not lost.is_set():
                    ids = [self._outgoing[place] for place in range(min(IDS_PER_MESSAGE, to_tell - told))]
                    told += len(ids)
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, json.dumps(ids))
                    for _ in ids:
                        self._outgoing.popleft()
                if not lost.is_set() and time.time() - self._looked > LOOK_SECONDS:
                    await self._look(connection)
                if told:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            connection.terminate()

    # --- what nobody told ---------------------------------------------------------------------------------------------

    async def _catch_up(self, connection: Any) -> None:
        """Tell what was missed while there was no connection, and have those look for themselves who watch jobs."""
        told = await self._look(connection)
        for listener in self._listeners:
            if told or listener.prefix != _HISTORY:
                listener.wake()
            else:
                listener.miss()

    async def _look(self, connection: Any) -> bool:
        """Tell the entries of the history that nobody told; False where there are too many to say which those are."""
        now = time.time()
        rows = await connection.fetch(_RECENT, _first_id(self._looked - MARGIN_SECONDS), MOST_KNOWN + 1)
        self._looked = now
        if len(rows) > MOST_KNOWN:
            return False
        news = self._news([row["id"] for row in reversed(rows)])
        for listener in self._listeners:
            begun = _first_id(listener.since)
            listener.put([entry for entry in news if entry >= begun])
        return True


def _first_id(moment: float) -> str:
    """The least id that an entry of the history can have which was made then: ids begin with their millisecond."""
    return f"{_HISTORY}{int(moment * 1_000):012x}"
