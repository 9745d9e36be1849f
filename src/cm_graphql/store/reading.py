"""How much is read at once: everything for what fits into a request, page by page for what does not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cm_graphql.store.session import Session
from cm_graphql.store.statements import Query

T = TypeVar("T")

PAGE: Final = 1_000
"""Rows that are taken at once where there may be hundreds of thousands; other tasks run in between."""


def _nothing(_rows: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Reading:
    """A way to read the rows of documents."""

    paged: bool = False
    seen: Callable[[int], None] = _nothing
    """Told after each page how many rows it had."""

    async def of(self, session: Session, query: Query, **values: Any) -> AsyncIterator[Sequence[Any]]:
        """The rows that answer a question."""
        if not self.paged:
            yield await session.ask(query, **values)
            return
        async for page in session.pages(query.with_values(session.sql_dialect, values), PAGE):
            yield page
            self.seen(len(page))

    async def each(
        self, session: Session, *asked: tuple[Query, Mapping[str, Any]]
    ) -> list[AsyncIterator[Sequence[Any]]]:
        """The rows that answer each of several questions; all of them cost one round trip where nothing is paged."""
        if self.paged:
            return [self.of(session, query, **values) for query, values in asked]
        return [_OnePage(rows) for rows in await session.ask_all(*asked)]

    async def apart(self, work: Callable[[], T]) -> T:
        """Do what takes long for many rows: in a thread of its own, so that other tasks go on meanwhile."""
        return await asyncio.to_thread(work) if self.paged else work()


class _OnePage:
    """Rows that were all read. Not a generator, of which the event loop keeps a register: there are eight an action."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows: Sequence[Any] | None = rows

    def __aiter__(self) -> AsyncIterator[Sequence[Any]]:
        return self

    async def __anext__(self) -> Sequence[Any]:
        rows, self._rows = self._rows, None
        if rows is None:
            raise StopAsyncIteration
        return rows


AT_ONCE: Final = Reading()
