"""Movements of money on PostgreSQL in two statements: one reads everything, one writes it if nothing changed meanwhile.

A transaction that locks first costs eight round trips, of which seven wait while nobody else may have the memo. Here
no lock is held while rules are thought about. Whoever changes a memo or a target writes its head, and whoever begins
to hold a memo touches it (see `holds`); PostgreSQL names the transaction that wrote a row last (`xmin`). So the
statement that writes says of both heads who wrote them last when they were read, and does nothing where that is
somebody else by now. Then, and wherever more is asked than was foreseen, the action is done under locks instead.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeVar

import asyncpg
from sqlalchemy import literal_column, select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cm_graphql.store import memos, moving, reference
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database, announced_on
from cm_graphql.store.groups import to_the_end
from cm_graphql.store.holds import HOLDERS
from cm_graphql.store.records import CLAIM, OUTCOME, IdempotentRequest
from cm_graphql.store.session import CURRENCY, Session
from cm_graphql.store.statements import Compiled, Query, Told, Written, asked_together, given, shifted, written_together
from cm_graphql.store.targets import KINDS, Kind

Result = TypeVar("Result")

_ABOUT_THE_SERVER: Final = {"08", "57", "58", "XX"}
"""Classes of SQLSTATE that tell of a lost connection or of a server in trouble; all others say what was not done."""
_CANCELED: Final = "57014"

MOST_TOLD: Final = 32
"""So many different questions are answered with what is written. Clients word them, and each makes another statement,
whose plan PostgreSQL keeps for every connection."""


class Overtaken(Exception):
    """Nothing was done: somebody was faster, or more is asked than can be done at once."""


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
    was done.
    """
    connections = database.straight
    assert connections is not None, "only PostgreSQL has round trips to save"
    try:
        async with connections.one() as connection:
            session = AtOnce(database.writers, connection, memo_id, target_id, request, _admitted(database, told))
            await session.foresee(also)
            result = await work(session)
            try:
                await session.write()
            finally:
                if session.done:
                    database.tell(announced_on(session.connection))
            return result
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise Overtaken(str(error)) from error  # it could not even be read


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
    """Answers from what was read at the beginning, and writes once."""

    def __init__(
        self,
        engine: AsyncEngine,
        connection: Any,
        memo_id: str,
        target_id: str,
        request: IdempotentRequest | None,
        told: Told | None,
    ) -> None:
        nobody: Any = _Nobody(engine)
        super().__init__(nobody, "postgresql")
        self.locks = False
        self.done = False
        self._straight = connection
        self._memo_id = memo_id
        self._target_id = target_id
        self._request = request
        self._told = told
        self._put: list[Written] = []
        self._answers: dict[Query, tuple[Mapping[str, Any] | None, Compiled, Any]] = {}
        """Of each question what it was about, if that matters, how its rows are made, and what the driver answered."""
        self._last_written: list[tuple[str, str, int]] = []
        """Of each head in the order of locks its table, its id, and the transaction that wrote it last."""

    async def foresee(self, also: tuple[Query, ...]) -> None:
        """Ask everything in one round trip."""
        kind = next((kind for kind in KINDS if self._target_id.startswith(kind.prefix)), None)
        if kind is None:
            raise Overtaken("nothing has such an id")
        foresight = _foresight(kind.prefix, also, self._request is not None, self.sql_dialect)
        values: dict[str, Mapping[str, Any]] = {
            "nothing": {},
            "memo": {"memo": self._memo_id},
            "memos": {"ids": [self._memo_id]},
            "targets": {"ids": [self._target_id]},
            "request": {} if self._request is None else self._request.identity,
        }
        self._note([foresight])
        found = await self._straight.fetchrow(foresight.sql, *foresight.parameters(values))
        for (asked, about, compiled), answer in zip(foresight.questions, found, strict=True):
            self._answers[asked] = values.get(about), compiled, answer
        if self._request is not None and found[-1]:
            raise Overtaken("the request was answered before")
        # The heads are the first two questions.
        for table, (_, _, compiled), head in zip(
            ("credit_memos", kind.head.name), foresight.questions, found, strict=False
        ):
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

    async def write(self) -> None:
        """Write everything if the heads are as they were; one that has begun is not stopped halfway."""
        changes = {statement.changes: statement for statement in self._put}
        if len(self._last_written) != 2:
            raise Overtaken("one of them does not exist")
        guarded: list[Written] = []
        for table, key, writer in self._last_written:
            statement = changes.pop((table, key), None)
            if statement is None:
                raise Overtaken("one of them does not change")
            # The second waits for the first, so that they are locked in the one order that all keep to.
            after = " AND EXISTS (SELECT FROM part_0)" if guarded else ""
            back = f'"{table}".*' if self._told is not None and self._told.table == table else "1"
            sql = f'{statement.sql} AND "xmin" = ${len(statement.parameters) + 1}{after} RETURNING {back}'
            guarded.append(Written(sql, [*statement.parameters, writer]))
        heads = {(table, key) for table, key, _ in self._last_written}
        every = [*guarded, *(statement for statement in self._put if statement.changes not in heads)]
        counted = tuple((statement.sql, len(statement.parameters)) for statement in every)
        parameters = [value for statement in every for value in statement.parameters]
        # Dividing by the number of heads that were as they were fails everything when that is none.
        result = "1 / (SELECT count(*) FROM part_1)"
        if self._request is not None:
            parameters.append(self._request.name)
            # Nor may anybody be at the same request; who comes later finds the outcome.
            result += f", 1 / {CLAIM.format(f'${len(parameters)}')}::int"
        if self._told is not None:
            # The name of the table means the row as it is written, not the table, which is still as it was.
            place = [table for table, _, _ in self._last_written].index(self._told.table)
            asked = f'WITH "{self._told.table}" AS (SELECT * FROM part_{place}) '  # noqa: S608  our own statements
            asked += shifted(self._told.sql, len(parameters))
            result += f", ARRAY(SELECT told FROM ({asked}) AS told)"  # noqa: S608  as above
            parameters.extend(self._told.parameters)
        sql = written_together(counted, result)
        self._note([Written(sql, ())])
        stopped = await to_the_end(self._carry_out(sql, parameters))
        self.done = True
        if stopped is not None:
            raise stopped

    async def _carry_out(self, sql: str, parameters: Sequence[Any]) -> None:
        try:
            answer = await self._straight.fetchrow(sql, *parameters)
            if self._told is not None:
                self._told.rows = answer[-1]
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            state = getattr(error, "sqlstate", None) or "08"
            if state[:2] in _ABOUT_THE_SERVER and state != _CANCELED:
                # Whether it was done, nobody knows, as where the connection is lost in the middle of a commit.
                raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=True) from error
            raise Overtaken(str(error)) from error


class _Foresight:
    """Everything that an action asks, as one question."""

    def __init__(self, asked: Sequence[tuple[Query, str, Query]], dialect: Dialect) -> None:
        """`asked` as which question, about what, and in which words."""
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
    return _Foresight(asked, dialect)


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
