"""How much is read at once: everything for what fits into a request, page by page for what does not."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from cm_graphql.store.session import Session
from cm_graphql.store.statements import Query

T = TypeVar("T")

Take: TypeAlias = Callable[[Sequence[Any]], None]
"""What is done with rows: with all of them, or with one page after another."""

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

    async def each(self, session: Session, *asked: tuple[Query, Mapping[str, Any], Take]) -> None:
        """Hand the rows that answer each of several questions to its `Take`, one question after the other.

        All of them cost one round trip where nothing is paged.
        """
        if not self.paged:
            found = await session.ask_all(*[(query, values) for query, values, _ in asked])
            for (_, _, take), rows in zip(asked, found, strict=True):
                take(rows)
            return
        for query, values, take in asked:
            async for page in session.pages(query.with_values(session.sql_dialect, values), PAGE):
                take(query.made(page))
                self.seen(len(page))

    async def apart(self, work: Callable[[], T]) -> T:
        """Do what takes long for many rows: in a thread of its own, so that other tasks go on meanwhile."""
        return await asyncio.to_thread(work) if self.paged else work()


AT_ONCE: Final = Reading()
