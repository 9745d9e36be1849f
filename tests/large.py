"""Memos and invoices of hundreds of thousands of lines, made by copying the rows of small ones."""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, select, update

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    ApplyCreditMemoAsync,
    InvoiceAmount,
    InvoiceApplication,
)
from cm_graphql.operations.ports import new_id
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session
from operating import Desk

CENT = 100


@dataclass(frozen=True)
class Large:
    """A posted memo of many lines, and invoices that owe more than it has."""

    memo: str
    invoices: tuple[str, ...]
    amount: int
    """What is to be applied to each invoice."""

    @property
    def applied(self) -> int:
        """What is to be applied in all."""
        return self.amount * len(self.invoices)

    def at_once(self) -> ApplyCreditMemo:
        """The request to apply it."""
        return ApplyCreditMemo(
            key=Key(self.memo),
            invoices=tuple(
                InvoiceApplication(invoice_key=Key(key), amount=Decimal(self.asked)) for key in self.invoices
            ),
        )

    def later(self) -> ApplyCreditMemoAsync:
        """The request to apply it in a job."""
        return ApplyCreditMemoAsync(
            key=Key(self.memo),
            invoices=tuple(InvoiceAmount(invoice_key=Key(key), amount=Decimal(self.asked)) for key in self.invoices),
        )

    @property
    def asked(self) -> str:
        """The same as a request spells it."""
        return str(Decimal(self.amount) / 10_000)


async def a_large_memo(desk: Desk, lines: int, *, invoices: int = 1, seed: int = 1) -> Large:
    """Half of the lines on the memo, half on the invoices, all of different amounts; what is applied fits both."""
    chance = random.Random(seed)
    memo, invoice = await desk.posted("1.00"), await desk.invoice("1.00")
    item = await _copied(desk, t.credit_memo_items, credit_memo_id=memo)
    part = await _copied(desk, t.credit_memo_item_parts, credit_memo_id=memo)
    head = await _copied(desk, t.invoices, id=invoice)
    owed = await _copied(desk, t.invoice_items, invoice_id=invoice)
    each = lines // 2 // invoices
    credits = [chance.randint(1, 500) * CENT for _ in range(each * invoices - 1)]
    async with desk.database.write() as connection:
        session = Session(connection, desk.database.dialect)
        keys = [new_id("cmi") for _ in credits]
        given = list(enumerate(zip(keys, credits, strict=True), 2))
        await bulk.insert(
            session,
            t.credit_memo_items,
            (
                {**item, "id": key, "position": place, "amount": worth, "amount_without_tax": worth, "unit_price": None}
                for place, (key, worth) in given
            ),
        )
        await bulk.insert(
            session,
            t.credit_memo_item_parts,
            (
                {**part, "id": new_id("cip"), "credit_memo_item_id": key, "position": place, "amount": worth}
                for place, (key, worth) in given
            ),
        )
        total = sum(credits) + 10_000
        for table, column in ((t.credit_memos, "id"), (t.credit_memo_parts, "credit_memo_id")):
            await connection.execute(update(table).where(table.c[column] == memo).values(amount=total))
        made: list[str] = []
        least = total
        for number in range(invoices):
            debts = [chance.randint(1, 500) * CENT for _ in range(each)]
            made.append(new_id("inv"))
            worth = sum(debts)
            least = min(least, worth)
            numbered = {"id": made[-1], "invoice_number": f"LARGE-{memo[-6:]}-{number}"}
            await bulk.insert(session, t.invoices, [{**head, **numbered, "amount": worth, "amount_without_tax": worth}])
            await bulk.insert(
                session,
                t.invoice_items,
                (
                    {**owed, "id": new_id("ini"), "invoice_id": made[-1], "position": place, "charge_amount": debt}
                    for place, debt in enumerate(debts, 1)
                ),
            )
    return Large(memo, tuple(made), min(least, total // invoices // CENT * CENT))


async def _copied(desk: Desk, table: Table, **where: Any) -> dict[str, Any]:
    """The only such row, without what the database computes."""
    row = (await desk.row(table, **where))._mapping
    return {column.name: row[column.name] for column in table.c if column.computed is None}


async def rows_of(desk: Desk, table: Table, **where: Any) -> int:
    """How many such rows there are."""
    async with desk.database.read() as connection:
        statement = select(table.c.id)
        for name, value in where.items():
            statement = statement.where(table.c[name] == value)
        return len(list(await connection.execute(statement)))
