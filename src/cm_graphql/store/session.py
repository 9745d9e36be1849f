"""One open transaction as the store's functions use it."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NoReturn

from iso4217 import Currency as Iso
from sqlalchemy import CompoundSelect, Executable, Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain.money import Currency
from cm_graphql.store import tables as t
from cm_graphql.store.database import announce
from cm_graphql.store.errors import wrapped
from cm_graphql.store.inline import DRIVER, Inline
from cm_graphql.store.statements import Driver, PostgresqlDriver, Query, Told, Written, given

DECIMALS: dict[str, int] = {currency.code: min(currency.exponent or 0, 4) for currency in Iso}
"""The decimals of each ISO 4217 currency; none has more than four."""


def show(watchers: Any, sql: str, connection: Any = None) -> None:
    """Let those see a statement who watch SQLAlchemy's."""
    for listener in watchers.before_cursor_execute:
        listener(connection, None, sql, (), None, False)


class UnknownCurrency(ValueError):
    """A code that ISO 4217 does not have."""


class Session:
    """A connection inside a transaction, and what is remembered for its duration."""

    def __init__(self, connection: AsyncConnection, dialect: str) -> None:
        self.connection = connection
        self.dialect = dialect
        self.locks = dialect == "postgresql"
        """Whether what is loaded to be changed is locked by that, row by row."""
        self.tells = dialect == "sqlite"
        """Whether a question about what was written is answered before the commit: whoever reads after it finds no page
        of the file at hand any more, while the writer has them all."""
        self.wrote: Callable[[int], None] = lambda rows: None
        """Told by `bulk` how many rows it wrote, after each chunk."""
        self.sql_dialect = connection.dialect
        """How SQLAlchemy spells statements for the database."""
        self._watchers = connection.sync_engine.dispatch
        self._currencies: dict[str, Currency] = {}
        self._direct: Driver | None = None
        self._gathered: list[Written] | None = None

    def announce(self, changed: str) -> None:
        """Have the id of a job, or of an entry of the history, told to whoever listens, once this is committed."""
        announce(self.connection, changed)

    async def ask(self, query: Query, **values: Any) -> list[Any]:
        """The rows that answer a question."""
        return (await self.ask_all((query, values)))[0]

    async def ask_all(self, *asked: tuple[Query, Mapping[str, Any]]) -> list[list[Any]]:
        """The rows that answer each of several questions, in one round trip."""
        driver = self._direct or await self._driver()
        dialect = self.sql_dialect
        questions = [(query.on(dialect, values), values) for query, values in asked]
        if self._watchers.before_cursor_execute:
            self._note(question for question, _ in questions)
        try:
            return await driver.ask(questions)
        except Exception as error:
            await self._fail(error)

    def tell(self, told: Told) -> None:
        """Answer a question about what was written, where the session `tells`."""
        if isinstance(self._direct, Inline):
            if self._watchers.before_cursor_execute:
                self._note([told])
            with suppress(sqlite3.Error):  # as if it had not been asked: it is read after the commit
                told.rows = self._direct.look(told.sql, told.parameters)

    @asynccontextmanager
    async def nested(self) -> AsyncIterator[None]:
        """Undo what is done meanwhile, and nothing else, where an exception leaves the block."""
        if self.dialect != "sqlite":
            async with self.connection.begin_nested():
                yield
            return
        driver: Inline = self.connection.info[DRIVER]
        driver.say("SAVEPOINT inside")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):  # where SQLite has undone everything, whoever has the transaction is told
                driver.say("ROLLBACK TO inside")
                driver.say("RELEASE inside")
            raise
        driver.say("RELEASE inside")

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Have everything that is written meanwhile by `put` travel as one; it must be about different rows."""
        gathered = self._gathered = []
        try:
            yield
        finally:
            self._gathered = None
        if gathered:
            await self._write(gathered)

    async def put(self, statement: Written, *, apart: bool = False) -> None:
        """Carry out a writing statement, together with others where that was asked for and it is not to be `apart`."""
        if self._gathered is None:
            await self._write([statement])
        elif apart:
            gathered = [*self._gathered]
            self._gathered.clear()
            if gathered:
                await self._write(gathered)
            await self._write([statement])
        else:
            self._gathered.append(statement)

    async def _write(self, statements: Sequence[Written]) -> None:
        driver = self._direct or await self._driver()
        if self._watchers.before_cursor_execute:
            self._note(statements)
        try:
            await driver.write(statements)
        except Exception as error:
            await self._fail(error)

    async def _driver(self) -> Driver:
        if self.dialect == "sqlite":
            inline: Driver = self.connection.info[DRIVER]  # which has no round trips to save
            self._direct = inline
            return inline
        pooled: Any = await self.connection.get_raw_connection()
        if pooled.dbapi_connection._transaction is None:  # SQLAlchemy puts it off until its own first statement
            await pooled.dbapi_connection._start_transaction()
        self._direct = PostgresqlDriver(pooled.driver_connection)
        return self._direct

    def _note(self, statements: Iterable[Any]) -> None:
        """Let those see the `sql` of statements who watch SQLAlchemy's."""
        show(self._watchers, "; ".join(statement.sql for statement in statements), self.connection.sync_connection)

    async def _fail(self, error: Exception) -> NoReturn:
        """Raise the driver's error as SQLAlchemy would have."""
        dialect: Any = self.connection.dialect
        if self.dialect != "sqlite":
            pooled: Any = await self.connection.get_raw_connection()
            try:
                pooled.dbapi_connection._handle_exception(error)
            except Exception as translated:
                error = translated
        raise wrapped(error, dialect) from error

    async def execute(self, statement: Executable, parameters: Any = None) -> None:
        """Run a writing statement, once or for many sets of parameters."""
        await self.connection.execute(statement, parameters)

    async def rows(self, statement: Select[Any] | CompoundSelect[Any]) -> Sequence[Row[Any]]:
        """All rows of a query."""
        return list(await self.connection.execute(statement))

    async def pages(self, statement: Select[Any] | CompoundSelect[Any], size: int) -> AsyncIterator[Sequence[Row[Any]]]:
        """All rows of a query, so many at a time: what many rows take is never held at once."""
        async with self.connection.stream(statement) as result:
            async for page in result.partitions(size):
                yield page

    async def first(self, statement: Any) -> Row[Any] | None:
        """The first row of a statement, or nothing."""
        row: Row[Any] | None = (await self.connection.execute(statement)).first()
        return row

    async def scalar(self, statement: Any) -> Any:
        """The first value of the first row, or nothing."""
        return await self.connection.scalar(statement)

    async def currency(self, code: str) -> Currency:
        """A currency as the tenant uses it; raises UnknownCurrency for a code that ISO 4217 does not have."""
        if code not in self._currencies:
            if code not in DECIMALS:
                raise UnknownCurrency(code)
            return self.know_currency(code, await self.ask(CURRENCY, code=code))
        return self._currencies[code]

    def know_currency(self, code: str, rows: Sequence[Any]) -> Currency:
        """The currency that `CURRENCY` answered of, remembered for the rest of the transaction."""
        made = Currency(code, DECIMALS[code])
        for row in rows:
            made = Currency(code, DECIMALS[code], row.rounding_mode, row.rounding_increment, row.active)
        self._currencies[code] = made
        return made


CURRENCY: Final = Query(
    lambda _among: select(t.currencies.c.rounding_mode, t.currencies.c.rounding_increment, t.currencies.c.active).where(
        t.currencies.c.code == given("code")
    )
)
