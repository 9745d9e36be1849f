"""Memos of thousands of lines upon the real store: every item part lies where a clerk has put it, again and again.

At once, and in jobs whose processes are killed; over several invoices and debit memos, with taxes, negative lines and
currencies that are rounded to more than a cent. The clerk works on paper, line by line (tests/clerk.py).
"""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import clerk
from auditing import audit
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.reference import SyncCurrencies, SyncedCurrency
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    ApplyCreditMemoAsync,
    DebitMemoApplication,
    DebitMemoApplicationItem,
    InvoiceAmount,
    InvoiceApplication,
    InvoiceApplicationItem,
    UnapplyCreditMemo,
    UnapplyCreditMemoAsync,
)
from cm_graphql.domain.enums import JobStatus, PaymentMethodType, RefundType
from cm_graphql.domain.money import SCALE
from cm_graphql.operations import reference, refunds, settlement
from cm_graphql.store import tables as t
from killing import begun, ended, running
from operating import Desk, Line, a_desk

pytestmark = pytest.mark.soak

SEED = int(os.environ.get("CM_GRAPHQL_TEST_SOAK_SEED", str(time.time_ns() % 10_000)))
ROUNDS = int(os.environ.get("CM_GRAPHQL_TEST_SOAK_ROUNDS", "3"))
STEPS = 10
CURRENCIES = {"USD": (100, 100), "CHF": (100, 500), "JPY": (10_000, 10_000)}
"""The smallest amount of each, and what is rounded to, in ten-thousandths."""


Entry = tuple[tuple[int, int], int]
"""A pair of lines, and what lies there."""


class Case:
    """A memo, its targets, and the clerk's sheet of them."""

    def __init__(self, desk: Desk, chance: random.Random, currency: str) -> None:
        self.desk = desk
        self.chance = chance
        self.currency = currency
        self.cent, self.unit = CURRENCIES[currency]
        self.memo = ""
        self.targets: list[str] = []
        self.sources: list[tuple[str, str]] = []
        self.owed: list[list[tuple[str, str]]] = []

    def shown(self, amount: int) -> str:
        """An amount as a request has it."""
        return str(Decimal(amount) / SCALE)

    def lines(self, most: int) -> list[Line]:
        """Nets with up to two taxes each; one in eight is a discount."""
        worth = [self.chance.choice((self.chance.randint(0, 9), self.chance.randint(10, 90_000))) for _ in range(most)]
        made: list[Line] = [(self.shown(9_000_000 * self.cent), self.shown(900_000 * self.cent))]
        for one in worth:
            sign = -1 if self.chance.random() < 0.125 else 1
            taxes = [self.chance.randint(0, one // 10) * sign for _ in range(self.chance.randint(0, 2))]
            made.append([self.shown(amount * self.cent) for amount in (one * sign, *taxes)])
        return made

    async def prepare(self) -> clerk.Sheet:
        """Make the memo from an invoice, and the documents it can be applied to."""
        desk, chance = self.desk, self.chance
        await desk.new_account(self.currency)
        source = await desk.invoice(*self.lines(chance.choice((chance.randint(50, 200), chance.randint(300, 999)))))
        items = {row.id: row for row in await desk.rows(t.invoice_items, invoice_id=source)}
        worths = [items[key].charge_amount for key in await desk.lines_of(source)]
        amounts = [
            self.shown(chance.choice((worth, self.some(abs(worth)) * (-1 if worth < 0 else 1)))) for worth in worths
        ]
        self.memo = await desk.post(await desk.credit(source, *amounts))
        self.targets = [source]
        self.targets += [await desk.invoice(*self.lines(chance.randint(1, 500))) for _ in range(2)]
        self.targets += [await desk.debit_memo(*self.lines(chance.randint(1, 500))) for _ in range(2)]
        self.sources = await self.places(
            t.credit_memo_items, t.credit_memo_taxation_items, "credit_memo_id", self.memo, "memo_item_id"
        )
        self.owed = [await self.places(*self.tables(target), target, self.item_of(target)) for target in self.targets]
        unapplied, balances = await self.open()
        return clerk.Sheet(unapplied, balances)

    def some(self, most: int) -> int:
        """Any amount up to that."""
        return self.chance.randint(0, max(most // self.cent, 0)) * self.cent

    # --- what the raw tables say --------------------------------------------------------------------------------------

    @staticmethod
    def tables(target: str) -> tuple[Any, Any, str]:
        """Where the lines of a document are, and how they name it."""
        if target.startswith("inv_"):
            return t.invoice_items, t.invoice_taxation_items, "invoice_id"
        return t.debit_memo_items, t.debit_memo_taxation_items, "debit_memo_id"

    @staticmethod
    def item_of(target: str) -> str:
        """How a tax names its item."""
        return "invoice_item_id" if target.startswith("inv_") else "memo_item_id"

    async def places(self, items: Any, taxes: Any, owner: str, key: str, item: str) -> list[tuple[str, str]]:
        """The lines of a document in their order, each item followed by its taxes: kind and id."""
        below: dict[str, list[Any]] = {}
        for tax in await self.desk.rows(taxes, **{owner: key}):
            below.setdefault(getattr(tax, item), []).append(tax)
        made: list[tuple[str, str]] = []
        for row in sorted(await self.desk.rows(items, **{owner: key}), key=lambda row: row.position):
            made.append(("item", row.id))
            made += [("tax", tax.id) for tax in sorted(below.get(row.id, ()), key=lambda row: row.position)]
        return made

    async def open(self) -> tuple[list[int], list[list[int]]]:
        """What each line of the memo has unapplied, and what each line of the documents still owes."""
        credits = {
            row.id: row.unapplied_amount
            for table in (t.credit_memo_items, t.credit_memo_taxation_items)
            for row in await self.desk.rows(table, credit_memo_id=self.memo)
        }
        balances = []
        for target, lines in zip(self.targets, self.owed, strict=True):
            items, taxes, owner = self.tables(target)
            debts = {
                row.id: row.balance
                for table in (items, taxes)
                for row in await self.desk.rows(table, **{owner: target})
            }
            balances.append([debts[key] for _, key in lines])
        return [credits[key] for _, key in self.sources], balances

    async def lying(self) -> list[list[Entry]]:
        """The item parts on each document, in their order."""
        parts = {
            row.id: row.invoice_id or row.debit_memo_id
            for row in await self.desk.rows(t.credit_memo_parts, credit_memo_id=self.memo)
        }
        rows = {key: place for place, (_, key) in enumerate(self.sources)}
        columns = [{key: place for place, (_, key) in enumerate(lines)} for lines in self.owed]
        found: list[list[Entry]] = [[] for _ in self.targets]
        for row in sorted(
            await self.desk.rows(t.credit_memo_item_parts, credit_memo_id=self.memo), key=lambda row: row.position
        ):
            if row.target_line_id:
                target = self.targets.index(parts[row.part_id])
                pair = rows[row.source_line_id], columns[target][row.target_line_id]
                found[target].append((pair, row.amount))
        return found

    async def check(self, sheet: clerk.Sheet) -> None:
        """Everything is as the clerk has it, and adds up."""
        unapplied, balances = await self.open()
        assert unapplied == sheet.unapplied
        assert balances == sheet.balances
        assert await self.lying() == sheet.lying
        await audit(self.desk.database)

    # --- requests -----------------------------------------------------------------------------------------------------

    def invoices(self, wanted: Sequence[tuple[int, int]]) -> tuple[InvoiceAmount, ...]:
        """What a job is asked for: whole invoices, by their places, with amounts."""
        return tuple(
            InvoiceAmount(invoice_key=Key(self.targets[place]), amount=Decimal(total) / SCALE)
            for place, total in wanted
        )

    def wants(self, moved: Sequence[tuple[int, int, list[Entry] | None]]) -> dict[str, Any]:
        """The documents of a request, each with its amount, and line by line where that is given."""
        invoices: list[Any] = []
        debits: list[Any] = []
        for place, total, cells in moved:
            amount, key = Decimal(total) / SCALE, Key(self.targets[place])
            if self.targets[place].startswith("inv_"):
                items = self.items(InvoiceApplicationItem, "invoice_item_id", place, cells)
                invoices.append(InvoiceApplication(invoice_key=key, amount=amount, items=items))
            else:
                items = self.items(DebitMemoApplicationItem, "debit_memo_item_id", place, cells)
                debits.append(DebitMemoApplication(debit_memo_key=key, amount=amount, items=items))
        return {"invoices": tuple(invoices), "debit_memos": tuple(debits)}

    def items(self, kind: Any, item_id: str, place: int, cells: Sequence[Entry] | None) -> Any:
        """The lines of a request."""
        if cells is None:
            return None
        made = []
        for (row, column), amount in cells:
            (what, source), (_, at) = self.sources[row], self.owed[place][column]
            ids = ("credit_memo_item_id", item_id) if what == "item" else ("credit_tax_item_id", "tax_item_id")
            made.append(kind(amount=Decimal(amount) / SCALE, **dict(zip(ids, (Key(source), Key(at)), strict=True))))
        return tuple(made)

    def amounts(self, moved: Sequence[tuple[int, int]]) -> tuple[InvoiceAmount, ...]:
        """The invoices of a request for a job."""
        return tuple(
            InvoiceAmount(invoice_key=Key(self.targets[place]), amount=Decimal(total) / SCALE) for place, total in moved
        )


async def step(case: Case, sheet: clerk.Sheet, database_url: str, directory: Path) -> str | None:
    """Do something, on paper and in the store; nothing where chance wanted what cannot be."""
    desk, chance = case.desk, case.chance
    what = chance.choice(["apply", "apply", "apply later", "line by line", "unapply", "unapply later", "refund"])
    later = what.endswith("later")
    if what == "refund":
        total = case.some(max(sheet.rest, 0) // 20)
        if total <= 0:
            return None
        sheet.refund(total)
        await desk.do(
            refunds.refund,
            RefundCreditMemo(
                key=Key(case.memo),
                type=RefundType.EXTERNAL,
                method_type=PaymentMethodType.CASH,
                total_amount=Decimal(total) / SCALE,
            ),
        )
        return what
    if what == "line by line":
        return await line_by_line(case, sheet)
    chosen = sorted(chance.sample(range(5), chance.randint(1, 4)))
    if later:
        chosen = [place for place in chosen if case.targets[place].startswith("inv_")]
    if what.startswith("unapply"):
        wanted = [(place, chance.choice((sheet.on(place), case.some(sheet.on(place))))) for place in chosen]
        wanted = [(place, total) for place, total in wanted if total > 0]
        if not wanted:
            return None
        for place, total in wanted:
            sheet.unapply(place, total)
        if later:
            amounts = case.invoices(wanted)
            await in_a_job(
                case,
                settlement.unapply_async,
                UnapplyCreditMemoAsync(key=Key(case.memo), invoices=amounts),
                database_url,
                directory,
            )
        else:
            asked = case.wants([(place, total, None) for place, total in wanted])
            await desk.do(settlement.unapply, UnapplyCreditMemo(key=Key(case.memo), **asked))
        return what
    rule, limit = chance.choice(["FIFO", "PRORATION"]), chance.choice([10_000, 200_000])
    await desk.set(application_rule=rule, proration_limit=limit)
    rest, wanted = sheet.rest, []
    for place in chosen:
        most = min(rest, sum(sheet.balances[place]))
        total = most if chance.random() < 0.1 else case.some(most // 4)
        if total > 0:
            wanted.append((place, total))
            rest -= total
    if not wanted:
        return None
    pairs = sum(amount > 0 for amount in sheet.unapplied) * sum(
        amount > 0 for place, _ in wanted for amount in sheet.balances[place]
    )
    prorated = rule == "PRORATION" and pairs <= limit
    for place, total in wanted:
        sheet.apply(place, total, case.unit if prorated else None)
    if later:
        amounts = case.invoices(wanted)
        await in_a_job(
            case,
            settlement.apply_async,
            ApplyCreditMemoAsync(key=Key(case.memo), invoices=amounts),
            database_url,
            directory,
        )
    else:
        asked = case.wants([(place, total, None) for place, total in wanted])
        await desk.do(settlement.apply, ApplyCreditMemo(key=Key(case.memo), **asked))
    return f"{what} {'by proration' if prorated else 'first in, first out'} ({pairs} pairs)"


async def line_by_line(case: Case, sheet: clerk.Sheet) -> str | None:
    """Apply to a document what is named, line by line, negative ones too."""
    place = case.chance.randrange(5)
    pairs = [
        (row, column)
        for row, (kind, _) in enumerate(case.sources)
        for column, (other, _) in enumerate(case.owed[place])
        if kind == other and sheet.unapplied[row] * sheet.balances[place][column] > 0 and case.chance.random() < 0.01
    ]
    case.chance.shuffle(pairs)
    free, owed = list(sheet.unapplied), list(sheet.balances[place])
    cells: list[Entry] = []
    for row, column in pairs[:300]:
        most = min(abs(free[row]), abs(owed[column]))
        amount = case.some(most) * (1 if free[row] > 0 else -1)
        if amount:
            cells.append(((row, column), amount))
            free[row] -= amount
            owed[column] -= amount
    total = sum(amount for _, amount in cells)
    if total <= 0 or total > min(sheet.rest, sum(sheet.balances[place])):
        return None
    entries = dict(sheet.lying[place])
    for (row, column), amount in cells:
        entries[row, column] = entries.get((row, column), 0) + amount
    sheet.lying[place] = [(pair, amount) for pair, amount in entries.items() if amount]
    sheet.unapplied, sheet.balances[place] = free, owed
    await case.desk.do(settlement.apply, ApplyCreditMemo(key=Key(case.memo), **case.wants([(place, total, cells)])))
    return f"line by line ({len(cells)} lines, {sum(amount < 0 for _, amount in cells)} negative)"


async def in_a_job(case: Case, what: Any, command: Any, database_url: str, directory: Path) -> None:
    """Have it done in a job, by processes of which the first are killed."""
    job = str((await case.desk.do(what, command))["job"])
    async with running(database_url, directory, lease=2):
        await begun(case.desk, job)
        await asyncio.sleep(case.chance.uniform(0, 0.6))
    async with running(database_url, directory, lease=2):
        row = await ended(case.desk, job, 120)
    assert (row.status, row.error) == (JobStatus.PROCESSED, None)


async def test_thousands_of_lines_lie_where_the_clerk_has_put_them(database_url: str, tmp_path: Path) -> None:
    print("seed", SEED)
    for round_ in range(ROUNDS):
        chance = random.Random(SEED + round_)
        async with a_desk(database_url) as desk:
            increment = SyncedCurrency(code="CHF", rounding_increment=Decimal("0.05"))
            await desk.each(reference.sync_currencies, SyncCurrencies(currencies=(increment,)))
            case = Case(desk, chance, chance.choice(list(CURRENCIES)))
            desk._made = round_ * 1_000
            sheet = await case.prepare()
            print(round_, case.currency, len(case.sources), [len(lines) for lines in case.owed])
            await case.check(sheet)
            done = 0
            while done < STEPS:
                what = await step(case, sheet, database_url, tmp_path)
                if what is not None:
                    print(" ", what)
                    await case.check(sheet)
                    done += 1
