"""One open transaction as the store's functions use it."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from iso4217 import Currency as Iso
from sqlalchemy import CompoundSelect, Executable, Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain.money import Currency
from cm_graphql.store import tables as t
from cm_graphql.store.database import announce

DECIMALS: dict[str, int] = {currency.code: min(currency.exponent or 0, 4) for currency in Iso}
"""The decimals of each ISO 4217 currency; none has more than four."""


class UnknownCurrency(ValueError):
    """A code that ISO 4217 does not have."""


class Session:
    """A connection inside a transaction, and what is remembered for its duration."""

    def __init__(self, connection: AsyncConnection, dialect: str) -> None:
        self.connection = connection
        self.dialect = dialect
        self.wrote: Callable[[int], None] = lambda rows: None
        """Told by `bulk` how many rows it wrote, after each chunk."""
        self._currencies: dict[str, Currency] = {}

    def announce(self, changed: str) -> None:
        """Have the id of a job, or of an entry of the history, told to whoever listens, once this is committed."""
        announce(self.connection, changed)

    async def execute(self, statement: Executable, parameters: Any = None) -> None:
        """Run a writing statement, once or for many sets of parameters."""
        await self.connection.execute(statement, parameters)

    async def rows(self, statement: Select[Any] | CompoundSelect[Any]) -> Sequence[Row[Any]]:
        """All rows of a query."""
        return list(await self.connection.execute(statement))

    async def pages(self, statement: Select[Any], size: int) -> AsyncIterator[Sequence[Row[Any]]]:
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
            row = await self.first(select(t.currencies).where(t.currencies.c.code == code))
            made = Currency(code, DECIMALS[code])
            if row is not None:
                made = Currency(code, DECIMALS[code], row.rounding_mode, row.rounding_increment, row.active)
            self._currencies[code] = made
        return self._currencies[code]
