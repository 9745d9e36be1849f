"""An audit of the raw tables: every amount that is stored is added up again from what it is said to consist of."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.store import tables as t
from cm_graphql.store.database import Database

Sums = dict[Any, int]


async def audit(database: Database) -> None:
    """Assert domain.md 4.2 over the whole database; the message of a failure names the row."""
    async with database.read() as connection:
        await _Books(connection).check()


def _sum(rows: Iterable[Row[Any]], key: str, value: str) -> Sums:
    sums: Sums = defaultdict(int)
    for row in rows:
        sums[getattr(row, key)] += getattr(row, value)
    return sums


class _Books:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _all(self, table: Any) -> list[Row[Any]]:
        return list(await self._connection.execute(select(table)))

    async def check(self) -> None:
        self.parts = await self._all(t.credit_memo_parts)
        self.item_parts = await self._all(t.credit_memo_item_parts)
        self.items = await self._all(t.credit_memo_items)
        self.taxes = await self._all(t.credit_memo_taxation_items)
        await self._memos()
        self._parts()
        await self._targets()
        await self._ledger()

    async def _memos(self) -> None:
        applied = _sum([part for part in self.item_parts if part.target_line_id], "source_line_id", "amount")
        unapplied = _sum([part for part in self.item_parts if not part.target_line_id], "source_line_id", "amount")
        memos = {memo.id: memo for memo in await self._all(t.credit_memos)}
        totals: dict[str, list[int]] = {key: [0, 0, 0, 0] for key in memos}
        for line, worth in [
            *((line, line.amount_without_tax) for line in self.items),
            *((line, line.tax_amount) for line in self.taxes),
        ]:
            assert worth == line.applied_amount + line.unapplied_amount + line.refund_amount, line.id
            assert applied[line.id] == line.applied_amount, line.id
            if memos[line.credit_memo_id].status == "POSTED":
                assert unapplied[line.id] == line.unapplied_amount, line.id
            amounts = (worth, line.applied_amount, line.unapplied_amount, line.refund_amount)
            totals[line.credit_memo_id] = [a + b for a, b in zip(totals[line.credit_memo_id], amounts, strict=True)]
        taxes = _sum(self.taxes, "credit_memo_id", "tax_amount")
        in_parts = _sum(self.parts, "credit_memo_id", "amount")
        for memo in memos.values():
            stored = [memo.amount, memo.applied_amount, memo.unapplied_amount, memo.refund_amount]
            assert stored == totals[memo.id], memo.id
            assert memo.tax_amount == taxes[memo.id], memo.id
            assert in_parts[memo.id] == (memo.amount - memo.refund_amount if memo.status == "POSTED" else 0), memo.id

    def _parts(self) -> None:
        inside = _sum(self.item_parts, "part_id", "amount")
        assert {part.id for part in self.parts} == {part.part_id for part in self.item_parts}
        for part in self.parts:
            assert part.amount == inside[part.id], part.id

    async def _targets(self) -> None:
        received = _sum([part for part in self.item_parts if part.target_line_id], "target_line_id", "amount")
        for head, items, taxes, owner in (
            (t.invoices, t.invoice_items, t.invoice_taxation_items, "invoice_id"),
            (t.debit_memos, t.debit_memo_items, t.debit_memo_taxation_items, "debit_memo_id"),
        ):
            credited: Sums = defaultdict(int)
            for line in [*await self._all(items), *await self._all(taxes)]:
                assert line.credit_amount == received[line.id], line.id
                credited[getattr(line, owner)] += line.credit_amount
            by_part = _sum([part for part in self.parts if getattr(part, owner)], owner, "amount")
            for document in await self._all(head):
                assert document.credit_amount == credited[document.id] == by_part[document.id], document.id
                assert document.balance == document.amount - document.credit_amount - document.payment_amount

    async def _ledger(self) -> None:
        """What the ledger tells, all movements summed, is what lies in the parts now."""
        lines = _sum(await self._all(t.credit_memo_application_items), "application_id", "amount")
        moved: Sums = defaultdict(int)
        for entry in await self._all(t.credit_memo_applications):
            assert entry.amount == lines[entry.id], entry.id
            target = entry.invoice_id or entry.debit_memo_id
            if target is not None:
                moved[entry.credit_memo_id, target] += -entry.amount if entry.kind == "UNAPPLY" else entry.amount
        lies: Sums = defaultdict(int)
        for part in self.parts:
            if part.invoice_id or part.debit_memo_id:
                lies[part.credit_memo_id, part.invoice_id or part.debit_memo_id] += part.amount
        assert {key: amount for key, amount in moved.items() if amount} == {k: v for k, v in lies.items() if v}
