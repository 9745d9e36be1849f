"""Single things that several ask for at the same time, read in one go.

What a statement costs PostgreSQL and its driver hardly grows with a few rows more. So whoever asks for one thing by its
id, while others read such things by the same plan and with the same rights, waits until one of them has read, and is
read for with all who came meanwhile. Whoever comes alone waits for nobody.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from graphql import GraphQLError

from cm_graphql.engine.plan import Object, Run
from cm_graphql.engine.roots import Plan
from cm_graphql.store.direct import Direct, Extent, ReadingFailed, TooLong

UNDER_WAY: Final = 2
"""Readings at a time that others wait for: the database works for one while the answers of another are made."""

MOST: Final = 32
"""Things that are read in one go at most."""

MOST_ROWS: Final = 1_000
"""Rows that are read in one go at most, going by the last reading."""

COMPANY: Final = 4
"""A thing of more rows than leave room for so many of them is read alone."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    key: str
    run: Run
    found: asyncio.Future[dict[str, Any] | None]


class _Crowd:
    """Those who read by one plan with the same rights."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.under_way = 0
        self.waiting: deque[_Waiting] = deque()
        self.extent = Extent()

    @property
    def most(self) -> int:
        """How many may be read for in one go."""
        return min(MOST, MOST_ROWS // max(1, self.plan.extent.rows))


class Crowds:
    """All who read single things."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct
        self._crowds: dict[Hashable, _Crowd] = {}
        self._readings: dict[asyncio.Task[None], list[_Waiting]] = {}

    async def read(self, plan: Plan, run: Run, who: Hashable, alone: Callable[[], Awaitable[Object]]) -> Object:
        """The data of a plan: what `alone` would read, but perhaps in one go with others.

        `who` must be the same for two callers only if both may see the same.
        """
        key = _key(plan, run)
        if key is None:
            return await alone()
        place = id(plan), who
        crowd = self._crowds.get(place)
        if crowd is None:
            crowd = self._crowds[place] = _Crowd(plan)
        if crowd.under_way < UNDER_WAY or crowd.most < COMPANY:
            crowd.under_way += 1
            try:
                return await alone()
            finally:
                self._is_over(place, crowd)
        waiting = _Waiting(key, run, asyncio.get_running_loop().create_future())
        crowd.waiting.append(waiting)
        try:
            found = await waiting.found
        except asyncio.CancelledError:
            self._has_left(waiting)
            raise
        if found is None:
            return await alone()
        return {name: found.get(key) for name in plan.roots}

    def _has_left(self, waiting: _Waiting) -> None:
        """Break off the reading of somebody whose deadline has come, unless it is for others too: it has none itself,
        and a connection that has died unnoticed never answers.
        """
        for task, together in self._readings.items():
            if waiting in together and all(one.found.done() for one in together):
                task.cancel()

    def _is_over(self, place: Hashable, crowd: _Crowd) -> None:
        crowd.under_way -= 1
        if crowd.most < COMPANY:  # those who come now wait for nobody, and would go before these for ever
            for one in crowd.waiting:
                if not one.found.done():
                    one.found.set_result(None)
            crowd.waiting.clear()
        while crowd.waiting and crowd.under_way < UNDER_WAY:
            next_ones = [crowd.waiting.popleft() for _ in range(min(crowd.most, len(crowd.waiting)))]
            together = [one for one in next_ones if not one.found.done()]  # nobody waits for the others any more
            if together:
                crowd.under_way += 1
                task = asyncio.create_task(self._read(place, crowd, together))
                self._readings[task] = together
                task.add_done_callback(self._readings.pop)
        if not crowd.under_way:
            self._crowds.pop(place, None)

    async def _read(self, place: Hashable, crowd: _Crowd, together: list[_Waiting]) -> None:
        plan, found, lost = crowd.plan, None, None
        assert plan.single is not None
        keys = sorted({one.key for one in together})
        try:
            work = plan.single.things.objects(keys, together[0].run)
            alone = plan.statements_at_most == 1
            found = await self._direct.run(work, short=True, alone=alone, extent=crowd.extent)
            plan.extent.rows = crowd.extent.rows // len(keys)
        except Exception as error:  # whatever it was, each is told of its own
            if isinstance(error, ReadingFailed) and not isinstance(error, TooLong):
                lost = str(error)
        finally:
            for one in together:
                if not one.found.done():
                    if lost is None:
                        one.found.set_result(found)
                    else:  # as who reads alone would hear; to try that first could take as long again
                        one.found.set_exception(ReadingFailed(lost))
            self._is_over(place, crowd)


def _key(plan: Plan, run: Run) -> str | None:
    """The id of the only thing that a plan is asked for, if others may be asked for with it."""
    root = plan.single
    try:
        return root.only(run) if root is not None and run.loaders.may(root.scopes) else None
    except GraphQLError:
        return None
