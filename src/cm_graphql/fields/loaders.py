"""Batched reads: what many fields ask for one by one is fetched in one statement per kind of question."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, and_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from strawberry.dataloader import DataLoader

from cm_graphql.fields.declare import Loaded, NodeType
from cm_graphql.fields.errors import RequestError
from cm_graphql.fields.filters import all_of
from cm_graphql.fields.pages import Slice, count, counts, page, pages
from cm_graphql.store.database import Database
from cm_graphql.store.lists import among, owned
from cm_graphql.store.session import Session

MOST_KEYS = 5_000
"""Keys that one statement is asked for; more are asked in several."""


class Source(Protocol):
    """Where rows come from."""

    dialect: str

    async def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """Run one reading statement and answer its rows."""

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Several reading statements that see one state of the database."""


class Committed:
    """Reads what is committed, each statement on a short connection of its own, so that fields can run together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect: str = database.dialect

    async def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """Run one reading statement and answer its rows."""
        async with self._database.read() as connection:
            return list(await connection.execute(statement))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Several reading statements in one short transaction."""
        async with self._database.read() as connection:
            yield Session(connection, self.dialect)


class Ended(Exception):
    """Nothing is read any more; it is told to nobody, since nobody waits any more."""


class Pinned:
    """Reads inside a transaction that is still open: what a dry run shows before it is undone."""

    def __init__(self, connection: AsyncConnection, dialect: str) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()
        self._has_ended = False
        self.dialect = dialect

    async def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """Run one reading statement and answer its rows; one at a time, since a connection is no crowd."""
        async with self._alone():
            return list(await self._connection.execute(statement))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Several reading statements, with the connection to themselves."""
        async with self._alone():
            yield Session(self._connection, self.dialect)

    async def end(self) -> None:
        """Let whoever reads come to an end, and nobody begin any more.

        When a field fails, those beside it are given up, but what they share is still read. To undo the transaction in
        the middle of that would leave it open for ever, with all its locks.
        """
        async with self._turn:
            self._has_ended = True

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._turn:
            if self._has_ended:
                raise Ended
            yield


@dataclass(frozen=True)
class Page:
    """Rows of a list, in its order."""

    rows: list[Any]
    more: bool
    """Whether there is a row beyond the last one asked for."""


class _Shared(DataLoader[Any, Any]):
    """A loader whose answers several fields await.

    When a field fails under a non-null one, graphql-core cancels the fields beside it. That must not cancel what they
    await together with fields elsewhere.
    """

    def load(self, key: Any) -> Awaitable[Any]:
        """The answer for a key; whoever awaits it may be cancelled alone, and then nobody is left to miss an error."""
        answer = asyncio.ensure_future(super().load(key))
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return asyncio.shield(answer)


class Loaders:
    """The loaders of one request, until its next write; after a write what they remember is stale."""

    def __init__(
        self, source: Source, accounts: frozenset[str] | None = None, scopes: frozenset[str] | None = None
    ) -> None:
        """`accounts` and `scopes` are those that the caller is limited to; None is no limit."""
        self.source = source
        self.accounts = None if accounts is None else sorted(accounts)
        """The accounts this caller is limited to, in order; None is no limit."""
        self._scopes = scopes
        self._made: dict[Hashable, DataLoader[Any, Any]] = {}

    def loader(self, key: Hashable, load: Callable[[list[Any]], Any], most: int = MOST_KEYS) -> DataLoader[Any, Any]:
        """The loader of one kind of question; `load` answers many at once, at `most` so many, in the order asked."""
        if key not in self._made:
            self._made[key] = _Shared(load_fn=load, max_batch_size=most)
        return self._made[key]

    def may(self, scopes: Collection[str]) -> bool:
        """Whether the caller may do all of this."""
        return self._scopes is None or self._scopes.issuperset(scopes)

    def require(self, scope: str | None) -> None:
        """Refuse to read what the caller may not: FORBIDDEN."""
        if scope is not None and not self.may((scope,)):
            raise RequestError("FORBIDDEN", f"You do not have permission to read this: it needs {scope}.")

    def visible(self, node_type: NodeType) -> ColumnElement[bool]:
        """The condition of the rows this caller may see; FORBIDDEN where they may see none of the type."""
        self.require(node_type.scope)
        if self.accounts is None or node_type.owner is None:
            return true()
        return owned(self.source.dialect, node_type.owner(node_type.table), self.accounts)

    async def node(self, node_type: NodeType, key: str) -> Any:
        """The row of an id as its type, or nothing."""
        return await self.keyed(node_type, "id", key)

    async def keyed(self, node_type: NodeType, name: str, key: str) -> Any:
        """The row whose unique column `name` has this value, as its type, or nothing."""
        source = node_type.sources[name]

        async def load(keys: list[str]) -> list[Any]:
            wanted = and_(among(self.source.dialect, source, keys), self.visible(node_type))
            rows = await self.source.rows(select(*node_type.columns).where(wanted))
            at = node_type.positions[name]
            found = {row[at]: node_type.cls.of(row) for row in rows}  # type: ignore[attr-defined]
            return [found.get(key) for key in keys]

        return await self.loader(("keyed", node_type.prefix, name), load).load(key)

    async def value(self, node_type: NodeType, name: str, expression: ColumnElement[Any], key: str) -> Any:
        """A derived value of one row."""

        async def load(keys: list[str]) -> list[Any]:
            wanted = among(self.source.dialect, node_type.table.c.id, keys)
            currency = [node_type.table.c.currency] if "currency" in node_type.table.c else []
            rows = await self.source.rows(select(node_type.table.c.id, expression, *currency).where(wanted))
            found = {row[0]: row for row in rows}
            return [found.get(key) for key in keys]

        return await self.loader(("value", node_type.prefix, name), load).load(key)

    async def found(self, name: str, declared: Loaded, key: str) -> list[Any]:
        """What the statement of a loaded field finds for one row."""

        async def load(keys: list[str]) -> list[list[Any]]:
            grouped: dict[str, list[Any]] = {key: [] for key in keys}
            for row in await self.source.rows(declared.statement(self.source.dialect, keys)):
                grouped[row[0]].append(row)
            return [grouped[key] for key in keys]

        answer: list[Any] = await self.loader(("found", name, id(declared)), load).load(key)
        return answer

    async def page(
        self,
        node_type: NodeType,
        parent: str | None,
        by: ColumnElement[Any] | None,
        where: ColumnElement[bool],
        wanted: Slice,
        identity: Hashable,
    ) -> Page:
        """A page of a list; lists of many parents that ask alike share a statement. `identity` says who asks alike."""
        where = all_of(where, self.visible(node_type))

        async def load(parents: list[str]) -> list[Page]:
            if by is None:
                # Several fields of one connection ask for the same page: it is read once.
                rows = await self.source.rows(page(self.source.dialect, node_type, where, wanted))
                return [Page(*wanted.kept(list(rows)))] * len(parents)
            statement = pages(self.source.dialect, node_type, by, parents, where, wanted)
            grouped: dict[str, list[Any]] = {key: [] for key in parents}
            for row in await self.source.rows(statement):
                grouped[row[-1]].append(row)
            return [Page(*wanted.kept(grouped[key])) for key in parents]

        found: Page = await self.loader(("page", identity), load).load(parent or "")
        return found

    async def total(
        self,
        node_type: NodeType,
        parent: str | None,
        by: ColumnElement[Any] | None,
        where: ColumnElement[bool],
        identity: Hashable,
    ) -> int:
        """How many rows a list has in all."""
        where = all_of(where, self.visible(node_type))

        async def load(parents: list[str]) -> list[int]:
            if by is None:
                return [int((await self.source.rows(count(node_type, where)))[0][0])] * len(parents)
            statement = counts(self.source.dialect, node_type, by, parents, where)
            found = {row[0]: row[1] for row in await self.source.rows(statement)}
            return [found.get(key, 0) for key in parents]

        return int(await self.loader(("total", identity), load).load(parent or ""))
