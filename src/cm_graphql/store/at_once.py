"""Movements of money on PostgreSQL in two statements: one reads everything, one writes it if nothing changed meanwhile.

A transaction that locks first costs eight round trips, of which seven wait while nobody else may have the memo. Here
no lock is held while rules are thought about. Whoever changes a memo or a target writes its head, and whoever begins
to hold a memo touches it (see `holds`); PostgreSQL names the transaction that wrote a row last (`xmin`). So the
statement that writes says of both heads who wrote them last when they were read, and does nothing where that is
somebody else by now. Then, and wherever more is asked than was foreseen, the action is done under locks instead. Those
who come at the same time share both statements (see `trips`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any, Final, NoReturn, TypeVar

from sqlalchemy import literal_column, select
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncEngine

from cm_graphql.store import memos, moving, reference
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database, announced_on
from cm_graphql.store.holds import HOLDERS
from cm_graphql.store.records import OUTCOME, IdempotentRequest
from cm_graphql.store.session import CURRENCY, Session, show
from cm_graphql.store.statements import Compiled, Query, Told, Written, asked_together, given
from cm_graphql.store.targets import KINDS, Kind
from cm_graphql.store.trips import Passenger
from cm_graphql.store.writing import Head, Overtaken, Parted, Writing

Result = TypeVar("Result")

MOST_TOLD: Final = 32
"""So many different questions are answered with what is written. Clients word them, and each makes another statement,
whose plan PostgreSQL keeps for every connection."""


async def attempt(
    database: Database,
    memo_id: str,
    target_id: str,
    work: Callable[[Session], Awaitable[Result]],
    *,
    also: tuple[Query, ...] = (),
    request: IdempotentRequest | None = None,
    told: Told | None = None,
) -> Result:
    """Run `work`, which moves money between this memo and this target, and write what it puts once it is done.

    It may ask `also` what these queries say of the memo, under the name `memo`. What is written counts as the first
    answer to `request`, whose outcome `work` puts too. What is to be `told` of the memo or the target is answered as it
    is written. Raises Overtaken where it has to be done under locks, and whatever `work` raises; in both cases nothing
    was done. Where the trip of several failed, it is run once more for this one alone.
    """
    kind = next((kind for kind in KINDS if target_id.startswith(kind.prefix)), None)
    if kind is None:
        raise Overtaken("nothing has such an id")
    foresight = _foresight(kind.prefix, also, request is not None, database.writers.dialect)
    told = _admitted(database, told)
    try:
        return await _attempt(database, AtOnce(database.writers, foresight, memo_id, target_id, request, told), work)
    except Parted:
        session = AtOnce(database.writers, foresight, memo_id, target_id, request, told)
        return await _attempt(database, session, work, alone=True)


async def _attempt(
    database: Database, session: "AtOnce", work: Callable[[Session], Awaitable[Result]], *, alone: bool = False
) -> Result:
    assert database.trips is not None, "only PostgreSQL has round trips to save"
    trip, found = await database.trips.join(session.passenger, alone=alone)
    try:
        session.know(found)
        result = await work(session)
        writing = session.writing()
    except BaseException:
        trip.leave(session.passenger)
        raise
    stopped = await trip.write(session.passenger, writing)
    database.tell(announced_on(session.connection))
    if stopped is not None:
        raise stopped
    return result


def _admitted(database: Database, told: Told | None) -> Told | None:
    """A question, unless too many different ones are answered with what is written already."""
    if told is not None and len(database.told) < MOST_TOLD:
        database.told.add(told.sql)
    return told if told is not None and told.sql in database.told else None


class _Nobody:
    """Stands where a transaction has its connection: whoever needs one cannot do without a transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.dialect = engine.dialect
        self.sync_engine = engine.sync_engine
        self.sync_connection = None
        self.info: dict[str, Any] = {}

    def __getattr__(self, name: str) -> NoReturn:
        raise Overtaken(f"{name} needs a transaction")


class AtOnce(Session):
    """Answers from what was read at the beginning, and tells at the end what is to be written."""

    def __init__(
        self,
        engine: AsyncEngine,
        foresight: "_Foresight",
        memo_id: str,
        target_id: str,
        request: IdempotentRequest | None,
        told: Told | None,
    ) -> None:
        nobody: Any = _Nobody(engine)
        super().__init__(nobody, "postgresql")
        self.locks = False
        self._foresight = foresight
        self._values: dict[str, Mapping[str, Any]] = {
            "nothing": {},
            "memo": {"memo": memo_id},
            "memos": {"ids": [memo_id]},
            "targets": {"ids": [target_id]},
            "request": {} if request is None else request.identity,
        }
        asked = foresight.parameters(self._values)
        documents = frozenset((memo_id, target_id))
        self.passenger = Passenger(foresight.sql, asked, documents, partial(show, self._watchers))
        self._request = request
        self._told = told
        self._put: list[Written] = []
        self._answers: dict[Query, tuple[Mapping[str, Any] | None, Compiled, Any]] = {}
        """Of each question what it was about, if that matters, how its rows are made, and what the driver answered."""
        self._last_written: list[tuple[str, str, int]] = []
        """Of each head in the order of locks its table, its id, and the transaction that wrote it last."""

    def know(self, found: Sequence[Any]) -> None:
        """Take what was read; raises Overtaken where the request was answered before."""
        questions = self._foresight.questions
        for (asked, about, compiled), answer in zip(questions, found, strict=True):
            self._answers[asked] = self._values.get(about), compiled, answer
        if self._request is not None and found[-1]:
            raise Overtaken("the request was answered before")
        # The heads are the first two questions.
        for table, (_, _, compiled), head in zip(self._foresight.heads, questions, found, strict=False):
            self._last_written.extend((table, row.id, row.last_written_by) for row in compiled.rows(head))

    async def ask_all(self, *asked: tuple[Query, Mapping[str, Any]]) -> list[list[Any]]:
        """The rows that were read for each question."""
        found: list[list[Any]] = []
        for query, values in asked:
            answered = self._answers.get(query)
            if answered is None or answered[0] not in (None, values):
                raise Overtaken("something was asked that was not foreseen")
            _, compiled, rows = answered
            found.append(compiled.rows(rows))
        return found

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Everything that is put is written together, at the end."""
        yield

    async def put(self, statement: Written, *, apart: bool = False) -> None:
        """Keep a statement for the one that writes; deletions too, since a clash only sends all under locks."""
        if apart and not statement.sql.startswith("DELETE"):
            raise Overtaken("it takes several statements")
        self._put.append(statement)

    def writing(self) -> Writing:
        """All that is to be written; raises Overtaken where it cannot be written at once."""
        changes = {statement.changes: statement for statement in self._put}
        heads: list[Head] = []
        for table, key, writer in self._last_written:
            change = changes.get((table, key))
            if change is None:
                raise Overtaken("one of them does not change")
            heads.append(Head(table, key, writer, change))
        if len(heads) != 2:
            raise Overtaken("one of them does not exist")
        others = [statement for statement in self._put if all(statement is not head.change for head in heads)]
        claim = None if self._request is None else self._request.name
        return Writing((heads[0], heads[1]), others, claim, self._told)


class _Foresight:
    """Everything that an action asks, as one question."""

    def __init__(self, heads: tuple[str, str], asked: Sequence[tuple[Query, str, Query]], dialect: Dialect) -> None:
        """`heads` are the tables that the first two questions are about.

        All that is `asked`, as which question, about what, and in which words.
        """
        self.heads = heads
        some: Mapping[str, Any] = {"ids": ("",)}
        self.questions = [(query, about, words.on(dialect, some)) for query, about, words in asked]
        self._about = [(compiled, "memo" if about == "currency" else about) for _, about, compiled in self.questions]
        self.sql = asked_together(tuple((compiled.sql, compiled.taken) for _, _, compiled in self.questions))

    def parameters(self, values: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """The parameters, given what the questions are about."""
        return [value for compiled, about in self._about for value in compiled.parameters(values[about])]


@lru_cache(maxsize=64)
def _foresight(prefix: str, also: tuple[Query, ...], requested: bool, dialect: Dialect) -> _Foresight:
    (kind,) = (kind for kind in KINDS if kind.prefix == prefix)
    asked = [
        (moving.LOCKED_HEAD, "memo", _MEMO),
        (kind.locked_heads, "targets", _TARGETS[prefix]),
        (CURRENCY, "currency", _MEMO_CURRENCY),
        *((query, "nothing", query) for query in reference.RULES),
        *((query, "memo", query) for query in (moving.TAXES, moving.ITEMS, *also)),
        *((query, "memos", query) for query in (memos.ITEM_PARTS, memos.PARTS, HOLDERS)),
        *((query, "targets", query) for query in (kind.tax_lines, kind.item_lines)),
    ]
    if requested:
        asked.append((OUTCOME, "request", OUTCOME))
    return _Foresight(("credit_memos", kind.head.name), asked, dialect)


def _memo_currency() -> Query:
    own = select(t.credit_memos.c.currency).where(t.credit_memos.c.id == given("memo")).scalar_subquery()
    c = t.currencies.c
    return Query(lambda _among: select(c.rounding_mode, c.rounding_increment, c.active).where(c.code == own))


def _last_written_by(table: str) -> Any:
    return literal_column(f'"{table}"."xmin"').label("last_written_by")


def _seen(kind: Kind) -> Query:
    return Query(lambda among: kind.select_heads(among).add_columns(_last_written_by(kind.head.name)))


_MEMO: Final = Query(lambda among: moving.select_head(among).add_columns(_last_written_by("credit_memos")))
_MEMO_CURRENCY: Final = _memo_currency()
_TARGETS: Final = {kind.prefix: _seen(kind) for kind in KINDS}
