"""Round trips to PostgreSQL that several movements of money share.

What a statement costs there hardly grows with a few rows more: it is begun, looks up every constraint of every table
that it writes, and waits for the disk, once for all of them. So whoever comes while others are under way waits until
some of them are back, and goes with all who came meanwhile: one statement reads for all of them, each thinks for
itself, and one statement, which is one transaction, writes for all. Whoever comes alone goes alone, and waits for
nobody. Who is refused stays behind. Where somebody else was faster with one of the documents, or has it locked, nothing
is written, and each of them goes on its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from cm_graphql.store.connections import FAILURES, Connections
from cm_graphql.store.endings import to_the_end
from cm_graphql.store.statements import for_each
from cm_graphql.store.writing import Overtaken, Parted, Writing, one, several, turned

UNDER_WAY: Final = 2
"""Trips at a time that others wait for: PostgreSQL works for one while the others think."""

LATE: Final = 0.2
"""Seconds after which nobody waits for a trip any more: it may be waiting for a lock, or have lost its way."""

MOST_TOGETHER: Final = 16
"""Movements that share a trip at most."""

_ABOUT_THE_SERVER: Final = {"08", "57", "58", "XX"}
"""Classes of SQLSTATE that tell of a lost connection or of a server in trouble; all others say what was not done."""
_CANCELED: Final = "57014"


class Passenger:
    """A movement on its way."""

    def __init__(
        self, asks: str, parameters: Sequence[str], documents: frozenset[str], note: Callable[[str], None]
    ) -> None:
        """What it `asks` is one statement; `documents` are the ids of those that it changes.

        `note` is told of statements.
        """
        loop = asyncio.get_running_loop()
        self.asks = asks
        self.parameters = parameters
        self.documents = documents
        self.note = note
        self.read: asyncio.Future[tuple[Trip, Any]] = loop.create_future()
        """On which trip it is, and what was read for it."""
        self.wrote: asyncio.Future[None] = loop.create_future()
        self.writing: Writing | None = None


class Trips:
    """All that are under way from this process to one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lines: dict[str, _Line] = {}
        self._changing: dict[str, Passenger] = {}
        """Who came last of those who change a document."""

    async def join(self, passenger: Passenger, *, alone: bool) -> tuple["Trip", Any]:
        """Set out, alone or with whoever there is, and tell the trip, and what was read; raises Overtaken.

        Who has joined either says on that trip what is to be written, or leaves it.
        """
        await self._turn(passenger)
        line = self._lines.get(passenger.asks)
        if line is None:
            line = self._lines[passenger.asks] = _Line(self._connections)
        line.come(passenger, alone=alone)
        try:
            return await passenger.read
        except BaseException:
            if not passenger.read.done() or passenger.read.cancelled() or passenger.read.exception() is not None:
                passenger.wrote.cancel()
            else:  # it was stopped in the moment that it could have gone on
                passenger.read.result()[0].leave(passenger)
            raise

    async def _turn(self, passenger: Passenger) -> None:
        """Wait for all who came before and change one of the same documents.

        Whoever reads what another one is changing finds itself overtaken, and spoils the trip for all others. Each
        waits for those before it alone, else who wants two documents could wait for ever until both are free.
        """
        before = {self._changing[key].wrote for key in passenger.documents if key in self._changing}
        self._changing.update(dict.fromkeys(passenger.documents, passenger))
        passenger.wrote.add_done_callback(lambda _wrote: self._is_back(passenger))
        if not before:
            return
        all_back = asyncio.gather(*before, return_exceptions=True)
        try:
            await asyncio.shield(all_back)
        except BaseException:
            # Whoever comes after it still has to wait for those before it.
            all_back.add_done_callback(lambda _back: passenger.wrote.cancel())
            raise

    def _is_back(self, passenger: Passenger) -> None:
        for key in passenger.documents:
            if self._changing.get(key) is passenger:
                del self._changing[key]


class _Line:
    """Those who ask in the same words."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._waiting: deque[Passenger] = deque()
        self._under_way: set[Trip] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shapes: dict[str, int] = {}
        """What those who shared a trip have written so far: statements, with the number of their parameters.

        Every shared trip has all of them, some without rows, so that there are few different ones whose plans
        PostgreSQL keeps on each connection.
        """

    def come(self, passenger: Passenger, *, alone: bool) -> None:
        """Take a passenger along, now or as soon as others are back."""
        if alone:
            self._set_out(Trip(self._connections, [passenger], self._shapes))
        elif len(self._under_way) < UNDER_WAY:
            self._set_out_with([passenger])
        else:
            self._waiting.append(passenger)

    def _set_out_with(self, passengers: list[Passenger]) -> None:
        trip = Trip(self._connections, passengers, self._shapes)
        self._under_way.add(trip)
        late = asyncio.get_running_loop().call_later(LATE, self._back, trip)
        task = self._set_out(trip)
        task.add_done_callback(lambda _task: late.cancel())
        task.add_done_callback(lambda _task: self._back(trip))

    def _set_out(self, trip: "Trip") -> "asyncio.Task[None]":
        task = asyncio.create_task(trip.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _back(self, trip: "Trip") -> None:
        """Have the next ones set out, once for each trip: when it is back, or late."""
        if trip not in self._under_way:
            return
        self._under_way.remove(trip)
        waiting = [passenger for passenger in self._waiting if not passenger.read.done()]
        # All trips of the same size keep PostgreSQL and this process busy alike.
        everybody = len(waiting) + sum(len(other.passengers) for other in self._under_way)
        together = min(-(-everybody // UNDER_WAY), MOST_TOGETHER)
        self._waiting = deque(waiting[together:])
        if waiting:
            self._set_out_with(waiting[:together])


class Trip:
    """A way there and back, twice: to read, and to write."""

    def __init__(self, connections: Connections, passengers: list[Passenger], shapes: dict[str, int]) -> None:
        self.passengers = passengers
        self._connections = connections
        self._shapes = shapes
        self._thinking = len(passengers)
        self._thought: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Read for all, wait until each has thought, and write for those who want to."""
        try:
            async with self._connections.one() as connection:
                await self._read(connection)
                await self._thought
                going = [passenger for passenger in self.passengers if passenger.writing is not None]
                if going:
                    await self._write(connection, going)
        except FAILURES as error:  # it could not even be read
            self._end(Overtaken(str(error)))
        except BaseException as error:
            self._end(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._end(None)

    def leave(self, passenger: Passenger) -> None:
        """Go on without one that has nothing to write."""
        passenger.wrote.cancel()
        self._has_thought()

    async def write(self, passenger: Passenger, writing: Writing) -> asyncio.CancelledError | None:
        """Write this too, which nobody can stop any more; gives back the cancellation that came meanwhile.

        Raises Overtaken where nothing was written, and DBAPIError where nobody knows.
        """
        passenger.writing = writing
        self._has_thought()
        return await to_the_end(passenger.wrote)

    def _has_thought(self) -> None:
        self._thinking -= 1
        if not self._thinking and not self._thought.done():
            self._thought.set_result(None)

    async def _read(self, connection: Any) -> None:
        first, together = self.passengers[0], len(self.passengers) > 1
        asked = [passenger.parameters for passenger in self.passengers]
        sql = for_each(first.asks, len(asked[0])) if together else first.asks
        first.note(sql)
        rows = await connection.fetch(sql, *(turned(asked) if together else asked[0]))
        for passenger, row in zip(self.passengers, rows, strict=True):
            if passenger.read.done():  # nobody waits for it any more
                self.leave(passenger)
            else:
                passenger.read.set_result((self, row))

    async def _write(self, connection: Any, going: Sequence[Passenger]) -> None:
        writings = [passenger.writing for passenger in going if passenger.writing is not None]
        together = len(writings) > 1
        sql, parameters = several(writings, self._shapes) if together else one(writings[0])
        going[0].note(sql)
        try:
            rows = await connection.fetch(sql, *parameters)
        except FAILURES as error:
            state = getattr(error, "sqlstate", None) or "08"
            if state[:2] in _ABOUT_THE_SERVER and state != _CANCELED:
                # Whether it was done, nobody knows, as where the connection is lost in the middle of a commit.
                raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=True) from error
            raise (Parted if together else Overtaken)(str(error)) from error
        if len(rows[0]) > 1:
            asked = writings[0].told
            for writing, row in zip(writings, rows, strict=True):
                if writing.told is not None and asked is not None and writing.told.sql == asked.sql:
                    writing.told.rows = row[-1]

    def _end(self, error: BaseException | None) -> None:
        """Tell all what became of them, and forget them: each of them knows the trip, and would be kept by it."""
        for passenger in self.passengers:
            if error is None:
                if not passenger.wrote.done():
                    passenger.wrote.set_result(None)
                continue
            waited_for: asyncio.Future[Any]
            for waited_for in (passenger.read, passenger.wrote):
                if not waited_for.done():
                    waited_for.set_exception(error)
                    waited_for.exception()  # there may be nobody left to hear it
        self.passengers.clear()
