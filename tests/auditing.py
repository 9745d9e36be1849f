"""An audit of the raw tables: every amount that is stored is added up again from what it is said to consist of.

Nothing of the product computes here: rows are read as they lie in the tables, and sums are made line by line.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.store import tables as t
from cm_graphql.store.database import Database

Sums = dict[Any, int]
Lines = Mapping[str, tuple[str, int]]
"""Of each line by its id: the id of its document, and what the line is worth."""


async def audit(database: Database) -> None:
    """Assert domain.md 4.2 over the whole database; the message of a failure names the row."""
    async with database.read() as connection:
        await _Books(connection).check()


def _sum(rows: Iterable[Row[Any]], key: str, value: str) -> Sums:
    sums: Sums = defaultdict(int)
    for row in rows:
        sums[getattr(row, key)] += getattr(row, value)
    return sums


def _nonzero(sums: Sums) -> Sums:
    return {key: amount for key, amount in sums.items() if amount}


def _between(amount: int, worth: int, what: object) -> None:
    """A part of a line is of the line's sign, and no more than it."""
    sign = -1 if worth < 0 else 1
    assert 0 <= sign * amount <= sign * worth, what


class _Books:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _all(self, table: Table, *names: str) -> list[Row[Any]]:
        """The rows of a table, of which only some columns are asked for: there may be hundreds of thousands."""
        return list(await self._connection.execute(select(*(table.c[name] for name in names))))

    async def check(self) -> None:
        self.parts = await self._all(
            t.credit_memo_parts, "id", "credit_memo_id", "currency", "amount", "invoice_id", "debit_memo_id"
        )
        self.item_parts = await self._all(
            t.credit_memo_item_parts,
            *("id", "credit_memo_id", "part_id", "position", "currency", "amount", "source_line_id", "target_line_id"),
        )
        self.memos = {
            memo.id: memo
            for memo in await self._all(
                t.credit_memos,
                *("id", "status", "currency", "amount", "tax_amount"),
                *("applied_amount", "unapplied_amount", "refund_amount"),
            )
        }
        used = ("id", "credit_memo_id", "applied_amount", "unapplied_amount", "refund_amount")
        self.items = await self._all(t.credit_memo_items, *used, "amount_without_tax")
        self.taxes = await self._all(t.credit_memo_taxation_items, *used, "tax_amount")
        self.sources = {line.id: (line.credit_memo_id, line.amount_without_tax) for line in self.items}
        self.sources.update((line.id, (line.credit_memo_id, line.tax_amount)) for line in self.taxes)
        self._lines()
        self._heads()
        targets = await self._targets()
        self._parts(targets)
        await self._ledger()
        await self._refunds()

    # --- memos --------------------------------------------------------------------------------------------------------

    def _lines(self) -> None:
        """What is used of each line is what its item parts say, and no more than the line."""
        applied = _sum([part for part in self.item_parts if part.target_line_id], "source_line_id", "amount")
        unapplied = _sum([part for part in self.item_parts if not part.target_line_id], "source_line_id", "amount")
        for line in (*self.items, *self.taxes):
            memo_id, worth = self.sources[line.id]
            assert worth == line.applied_amount + line.unapplied_amount + line.refund_amount, line.id
            for amount in (line.applied_amount, line.unapplied_amount, line.refund_amount):
                _between(amount, worth, line.id)
            assert applied[line.id] == line.applied_amount, line.id
            if self.memos[memo_id].status == "POSTED":
                assert unapplied[line.id] == line.unapplied_amount, line.id

    def _heads(self) -> None:
        """The amounts of a memo are those of its lines, and of its parts."""
        totals: dict[str, list[int]] = {key: [0, 0, 0, 0] for key in self.memos}
        for line in (*self.items, *self.taxes):
            memo_id, worth = self.sources[line.id]
            amounts = (worth, line.applied_amount, line.unapplied_amount, line.refund_amount)
            totals[memo_id] = [a + b for a, b in zip(totals[memo_id], amounts, strict=True)]
        taxes = _sum(self.taxes, "credit_memo_id", "tax_amount")
        in_parts = _sum(self.parts, "credit_memo_id", "amount")
        for memo in self.memos.values():
            stored = [memo.amount, memo.applied_amount, memo.unapplied_amount, memo.refund_amount]
            assert stored == totals[memo.id], memo.id
            assert memo.tax_amount == taxes[memo.id], memo.id
            assert in_parts[memo.id] == (memo.amount - memo.refund_amount if memo.status == "POSTED" else 0), memo.id

    def _parts(self, targets: Lines) -> None:
        """A part is the sum of its item parts, each between a line of its memo and a line of its target, or none."""
        inside = _sum(self.item_parts, "part_id", "amount")
        parts = {part.id: part for part in self.parts}
        assert parts.keys() == inside.keys()
        for part in self.parts:
            assert part.amount == inside[part.id], part.id
            assert part.currency == self.memos[part.credit_memo_id].currency, part.id
        places = set()
        for row in self.item_parts:
            part = parts[row.part_id]
            target = part.invoice_id or part.debit_memo_id
            memo_id, worth = self.sources[row.source_line_id]
            assert memo_id == part.credit_memo_id == row.credit_memo_id, row.id
            assert row.currency == part.currency, row.id
            _between(row.amount, worth, row.id)
            assert (target is None) == (row.target_line_id is None), row.id
            if target is not None:
                assert targets[row.target_line_id][0] == target, row.id
                _between(row.amount, targets[row.target_line_id][1], row.id)
            places.add((memo_id, row.position))
        assert len(places) == len(self.item_parts), "one after the other is released"

    # --- targets ------------------------------------------------------------------------------------------------------

    async def _targets(self) -> Lines:
        """Balances are what is left when credits and payments are taken off, line by line and of the whole."""
        received = _sum([part for part in self.item_parts if part.target_line_id], "target_line_id", "amount")
        lines: dict[str, tuple[str, int]] = {}
        for head, items, taxes, owner, worth in (
            (t.invoices, t.invoice_items, t.invoice_taxation_items, "invoice_id", "charge_amount"),
            (t.debit_memos, t.debit_memo_items, t.debit_memo_taxation_items, "debit_memo_id", "amount_without_tax"),
        ):
            credited: Sums = defaultdict(int)
            for table, column in ((items, worth), (taxes, "tax_amount")):
                for line in await self._all(table, "id", owner, column, "credit_amount", "payment_amount", "balance"):
                    amount, document = getattr(line, column), getattr(line, owner)
                    lines[line.id] = (document, amount)
                    assert line.credit_amount == received.pop(line.id, 0), line.id
                    assert line.balance == amount - line.credit_amount - line.payment_amount, line.id
                    _between(line.balance, amount, line.id)
                    credited[document] += line.credit_amount
            by_part = _sum([part for part in self.parts if getattr(part, owner)], owner, "amount")
            for document in await self._all(head, "id", "amount", "credit_amount", "payment_amount", "balance"):
                assert document.credit_amount == credited[document.id] == by_part[document.id], document.id
                assert document.balance == document.amount - document.credit_amount - document.payment_amount
                if document.amount >= 0:
                    _between(document.balance, document.amount, document.id)
        assert received == {}, "money lies on lines that there are"
        return lines

    # --- the ledger ---------------------------------------------------------------------------------------------------

    async def _ledger(self) -> None:
        """What the ledger tells of two lines, all movements summed, is what lies between them now."""
        names = ("id", "credit_memo_id", "kind", "currency", "amount", "invoice_id", "debit_memo_id", "refund_id")
        entries = {entry.id: entry for entry in await self._all(t.credit_memo_applications, *names)}
        summed: Sums = defaultdict(int)
        moved: Sums = defaultdict(int)
        self.refunded: Sums = defaultdict(int)
        columns = ("credit_memo_item_id", "credit_tax_item_id", "invoice_item_id", "debit_memo_item_id", "tax_item_id")
        for line in await self._all(
            t.credit_memo_application_items, "id", "application_id", "credit_memo_id", "currency", "amount", *columns
        ):
            entry = entries[line.application_id]
            assert (line.credit_memo_id, line.currency) == (entry.credit_memo_id, entry.currency), line.id
            summed[entry.id] += line.amount
            source = line.credit_memo_item_id or line.credit_tax_item_id
            at = line.invoice_item_id or line.debit_memo_item_id or line.tax_item_id
            target = entry.invoice_id or entry.debit_memo_id
            assert (at is None) == (target is None) == (entry.kind == "REFUND"), line.id
            if target is None:
                self.refunded[entry.refund_id, source] += line.amount
            else:
                amount = -line.amount if entry.kind == "UNAPPLY" else line.amount
                moved[entry.credit_memo_id, target, source, at] += amount
        for entry in entries.values():
            assert entry.amount == summed[entry.id], entry.id
        parts = {part.id: part.invoice_id or part.debit_memo_id for part in self.parts}
        lies: Sums = defaultdict(int)
        for part in self.item_parts:
            if part.target_line_id:
                key = (part.credit_memo_id, parts[part.part_id], part.source_line_id, part.target_line_id)
                lies[key] += part.amount
        assert _nonzero(moved) == _nonzero(lies)

    # --- refunds ------------------------------------------------------------------------------------------------------

    async def _refunds(self) -> None:
        """What was refunded of a line is told alike by the line, by the ledger, and by the refunds that were paid."""
        refunds = {
            refund.id: refund for refund in await self._all(t.refunds, "id", "credit_memo_id", "status", "amount")
        }
        in_parts = _sum(await self._all(t.refund_parts, "refund_id", "amount"), "refund_id", "amount")
        in_item_parts: Sums = defaultdict(int)
        paid: Sums = defaultdict(int)
        from_lines: Sums = defaultdict(int)
        for part in await self._all(
            t.refund_item_parts, "id", "refund_id", "amount", "credit_memo_item_id", "credit_tax_item_id"
        ):
            refund = refunds[part.refund_id]
            source = part.credit_memo_item_id or part.credit_tax_item_id
            assert self.sources[source][0] == refund.credit_memo_id, part.id
            in_item_parts[refund.id] += part.amount
            if refund.status == "PROCESSED":
                paid[refund.id, source] += part.amount
                from_lines[source] += part.amount
        assert _nonzero(self.refunded) == _nonzero(paid)
        for refund in refunds.values():
            amount = 0 if refund.status == "ERROR" else refund.amount
            assert in_parts[refund.id] == in_item_parts[refund.id] == amount, refund.id
        for line in (*self.items, *self.taxes):
            assert line.refund_amount == from_lines[line.id], line.id
