"""A tenant to whom anything may happen: what is drawn for its requests, and what is asked after each of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

import bookkeeping
from auditing import audit
from cm_graphql.domain.commands.base import Command, Key
from cm_graphql.domain.commands.intake import BillToContact
from cm_graphql.domain.commands.settlement import (
    DebitMemoApplication,
    DebitMemoApplicationItem,
    InvoiceApplication,
    InvoiceApplicationItem,
)
from cm_graphql.domain.enums import TaxEngineKind
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.money import SCALE
from cm_graphql.operations.gate import Action, Answer, BulkAction, Rehearsal
from cm_graphql.store.session import DECIMALS
from databases import Databases, Kind
from operating import TODAY, Desk, a_desk

Row = bookkeeping.Row

CURRENCIES = ("USD", "JPY", "KWD")
IN_A_CLOSED_PERIOD = TODAY - timedelta(days=10)
REFUNDED_ANYWAY = {"refunds", "sequences"}
"""What a refusal of the gateway leaves: the refund with status ERROR, and its number (domain.md 7.17)."""

Want = Callable[[Row], bool]


def is_draft(memo: Row) -> bool:
    """Whether a memo can be changed and posted."""
    return bool(memo["status"] == "DRAFT")


def is_untaxed(memo: Row) -> bool:
    """Whether a memo is a draft without tax, so that taxes are not all that ever happens."""
    return is_draft(memo) and not memo["tax_amount"]


def is_unused(memo: Row) -> bool:
    """Whether a memo can be unposted, written off or reversed."""
    return bool(memo["status"] == "POSTED" and memo["applied_amount"] == memo["refund_amount"] == 0)


def has_money(memo: Row) -> bool:
    """Whether a memo can be applied or refunded."""
    return bool(memo["status"] == "POSTED" and memo["unapplied_amount"])


def is_applied(memo: Row) -> bool:
    """Whether a memo can be unapplied."""
    return bool(memo["applied_amount"] and not memo["reversed"])


def is_canceled(memo: Row) -> bool:
    """Whether a memo can be deleted."""
    return bool(memo["status"] == "CANCELED")


def there_is(want: Want) -> Callable[["Tenant"], bool]:
    """Whether there is a memo of a kind: what could only be refused is tried too, but not most of the time."""
    return lambda tenant: any(want(row) for row in tenant.books["credit_memos"].values())


SELDOM: st.SearchStrategy[bool] = st.sampled_from([False] * 7 + [True])
OFTEN: st.SearchStrategy[bool] = st.sampled_from([True, True, False])


class Tenant(RuleBasedStateMachine):
    """A tenant with an account per currency, each with invoices, a debit memo, a charge and a card."""

    def __init__(self, databases: Databases, kind: Kind) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._runner = self._stack.enter_context(asyncio.Runner())
        opened = a_desk(self._stack.enter_context(databases.fresh(kind)))
        self.desk: Desk = self.run(opened.__aenter__())
        self._stack.callback(lambda: self.run(opened.__aexit__(None, None, None)))
        self.charges: dict[str, str] = {}
        self.cards: dict[str, str] = {}
        self.books: bookkeeping.Books = {}

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    def teardown(self) -> None:
        """Give the database back."""
        self._stack.close()

    @initialize(
        engine=st.sampled_from(["none", "table"]),
        limit=st.sampled_from([4, 10_000]),
        taxed=st.sampled_from([TaxEngineKind.NONE, TaxEngineKind.ZUORA_TAX]),
    )
    def begin(self, engine: str, limit: int, taxed: TaxEngineKind) -> None:
        """Bill everybody."""
        self.run(self._begin(engine, limit, taxed))
        self.look()

    async def _begin(self, engine: str, limit: int, taxed: TaxEngineKind) -> None:
        desk = self.desk
        await desk.set(tax_engine=engine, proration_limit=limit)
        await desk.tax_rate("STANDARD", "CA", "0.0775")
        await desk.close_period(IN_A_CLOSED_PERIOD, IN_A_CLOSED_PERIOD)
        for code in CURRENCIES:
            account = await desk.new_account(code, bill_to_contact=BillToContact(state="CA"))
            await desk.invoice(["60", "6"], ["33", "3"], "-10", engine=taxed)
            await desk.invoice("25", ["7", "1"], engine=TaxEngineKind.ZUORA_TAX)
            await desk.debit_memo(["40", "4"], "5")
            self.charges[account] = await desk.charge("9", code, taxable=True, tax_code="STANDARD")
            self.cards[account] = await desk.payment_method()
            await desk.post(await desk.draft_of((self.charges[account], "20"), (self.charges[account], None)))

    # --- acting and looking -------------------------------------------------------------------------------------------

    def act(self, data: st.DataObject, what: Action[Any], command: Command) -> None:
        """Do something, now and then after a rehearsal, and see what came of it."""
        rehearsed = self.run(self._rehearse(what, command)) if data.draw(st.booleans(), "rehearse") else None
        before = self.books
        answer = self.run(self.desk.ask(what, command))
        codes = [(fault.code, fault.field) for fault in answer.faults]
        event(f"{what.name}: {codes[0][0] if codes else 'done'}")
        self.look()
        if codes:
            left = REFUNDED_ANYWAY if codes[0][0] is ErrorCode.GATEWAY_ERROR else set()
            assert bookkeeping.changed(before, self.books) <= left, "a refusal leaves the database as it was"
        if rehearsed is not None:
            told, after = rehearsed
            assert told == codes, "a dry run is refused as the real thing is"
            if not codes:
                assert bookkeeping.changes(before, after) == bookkeeping.changes(before, self.books)

    async def _rehearse(self, what: Action[Any], command: Command) -> tuple[list[Any], bookkeeping.Books]:
        gate, viewer = self.desk.gate, self.desk.viewer
        answer, rehearsal = await gate.act(what, replace(command, dry_run=True), viewer, "req-1")
        return [(fault.code, fault.field) for fault in answer.faults], await self._undone(rehearsal)

    def act_on_many(self, data: st.DataObject, what: BulkAction[Any, Any], command: Command) -> None:
        """Do something to several, now and then after a rehearsal of all."""
        rehearsed = self.run(self._rehearse_many(what, command)) if data.draw(SELDOM, "rehearse") else None
        answers: list[Answer] = self.run(self.desk.each(what, command))
        codes = [[(fault.code, fault.field) for fault in answer.faults] for answer in answers]
        for faults in codes:
            event(f"{what.name}: {faults[0][0] if faults else 'done'}")
        assert ErrorCode.INTERNAL_ERROR not in {code for faults in codes for code, _ in faults}
        before = self.books
        self.look()
        if all(codes):
            assert self.books == before, "refusals leave the database as it was"
        if rehearsed is not None:
            told, after = rehearsed
            assert told == codes, "a dry run is refused as the real thing is"
            assert bookkeeping.changes(before, after) == bookkeeping.changes(before, self.books)

    async def _rehearse_many(self, what: BulkAction[Any, Any], command: Command) -> tuple[list[Any], bookkeeping.Books]:
        gate, viewer = self.desk.gate, self.desk.viewer
        answers, rehearsal = await gate.act_each(what, replace(command, dry_run=True), viewer, "req-1")
        return [[(fault.code, fault.field) for fault in answer.faults] for answer in answers], await self._undone(
            rehearsal
        )

    async def _undone(self, rehearsal: Rehearsal | None) -> bookkeeping.Books:
        """What a dry run came to; it must leave nothing."""
        assert rehearsal is not None
        after = await bookkeeping.read(rehearsal.connection)
        await rehearsal.undo()
        async with self.desk.database.read() as connection:
            assert await bookkeeping.read(connection) == self.books, "a dry run leaves nothing"
        return after

    def look(self) -> None:
        """Read everything, and add everything up again."""
        self.run(self._read())
        bookkeeping.check(self.books)

    async def _read(self) -> None:
        async with self.desk.database.read() as connection:
            self.books = await bookkeeping.read(connection)
        await audit(self.desk.database)

    # --- drawing ------------------------------------------------------------------------------------------------------

    def rows(self, table: str, **where: Any) -> list[Row]:
        rows = (row for row in self.books[table].values() if all(row[name] == value for name, value in where.items()))
        return sorted(rows, key=lambda row: (row.get("position", 0), row["id"]))

    def pick(self, data: st.DataObject, table: str, **where: Any) -> Row:
        rows = self.rows(table, **where)
        # By place, because ids differ between runs of the same example.
        return rows[data.draw(st.integers(0, len(rows) - 1), table)]

    def amount(self, data: st.DataObject, most: int, currency: str) -> Decimal:
        """Some amount up to another one, often the whole, sometimes too much."""
        cent = 10 ** (4 - DECIMALS[currency])
        parts = [most, most, most // 2 // cent * cent, most // 3 // cent * cent, cent]
        choices = [0, most + cent] if data.draw(SELDOM, "odd amount") else [part for part in parts if 0 < part <= most]
        return Decimal(data.draw(st.sampled_from(choices or [most]), "amount")) / SCALE

    def share(self, data: st.DataObject, most: int, currency: str) -> int:
        return int(self.amount(data, abs(most), currency) * SCALE) * (-1 if most < 0 else 1)

    def memo(self, data: st.DataObject, want: Want) -> Row:
        """A memo for which an action is meant, now and then any."""
        everyone = self.rows("credit_memos")
        fitting = [row for row in everyone if want(row)]
        rows = everyone if data.draw(SELDOM, "any memo") else fitting
        return rows[data.draw(st.integers(0, len(rows) - 1), "memo")]

    def lines(self, memo: str) -> list[Row]:
        return [
            *self.rows("credit_memo_items", credit_memo_id=memo),
            *self.rows("credit_memo_taxation_items", credit_memo_id=memo),
        ]

    # --- moving money -------------------------------------------------------------------------------------------------

    def _pairs(
        self, data: st.DataObject, memo: Row, target: Row, *, applied: bool
    ) -> Sequence[tuple[dict[str, Key], int]]:
        """Pairs of like lines, with what could move between them; what lies between them when it is to be taken off."""
        is_invoice = target["id"].startswith("inv_")
        item_field = "invoice_item_id" if is_invoice else "debit_memo_item_id"
        cross = data.draw(SELDOM, "cross pairs")
        if applied:
            column = "invoice_id" if is_invoice else "debit_memo_id"
            found = [
                (
                    {
                        name: Key(row[name])
                        for name in ("credit_memo_item_id", "credit_tax_item_id", item_field, "tax_item_id")
                        if row[name]
                    },
                    row["amount"],
                )
                for part in self.rows("credit_memo_parts", credit_memo_id=memo["id"])
                if part[column] == target["id"]
                for row in self.rows("credit_memo_item_parts", part_id=part["id"])
            ]
        else:
            kind = "invoice" if is_invoice else "debit_memo"
            owed = [
                *((item_field, row) for row in self.rows(f"{kind}_items", **{f"{kind}_id": target["id"]})),
                *(("tax_item_id", row) for row in self.rows(f"{kind}_taxation_items", **{f"{kind}_id": target["id"]})),
            ]
            found = [
                (
                    {source_field(line): Key(line["id"]), field: Key(row["id"])},
                    min(line["unapplied_amount"], row["balance"]),
                )
                for line in self.lines(memo["id"])
                for field, row in owed
                if cross or (field == "tax_item_id") == (source_field(line) == "credit_tax_item_id")
            ]
        some = data.draw(st.lists(st.integers(0, max(len(found) - 1, 0)), max_size=2, unique=True), "pairs")
        return [found[place] for place in some if found]

    def wanted(self, data: st.DataObject, memo: Row, *, applied: bool) -> dict[str, Any]:
        """Documents to apply to, or to take off, at times line by line."""
        documents = [row for name in ("invoices", "debit_memos") for row in self.rows(name)]
        received = {
            part["invoice_id"] or part["debit_memo_id"]: part["amount"]
            for part in self.rows("credit_memo_parts", credit_memo_id=memo["id"])
        }
        likely = [
            row
            for row in documents
            if row["account_id"] == memo["account_id"] and (row["id"] in received if applied else row["balance"])
        ]
        choices = documents if not likely or data.draw(SELDOM, "any document") else likely
        wanted: dict[str, list[Any]] = {"invoices": [], "debit_memos": []}
        places = st.lists(st.integers(0, len(choices) - 1), min_size=1, max_size=2, unique=True)
        for place in data.draw(places, "targets"):
            target = choices[place]
            most = received.get(target["id"], 0) if applied else min(memo["unapplied_amount"], target["balance"])
            amount, shares = self.amount(data, most, memo["currency"]), None
            if data.draw(SELDOM, "line by line"):
                shares = [
                    (fields, Decimal(self.share(data, most, memo["currency"])) / SCALE)
                    for fields, most in self._pairs(data, memo, target, applied=applied)
                ]
                amount = sum((share for _, share in shares), Decimal(0))
            if target["id"].startswith("inv_"):
                wanted["invoices"].append(_onto_invoice(target["id"], amount, shares))
            else:
                wanted["debit_memos"].append(_onto_debit_memo(target["id"], amount, shares))
        return {
            **{name: tuple(asked) for name, asked in wanted.items()},
            "effective_date": self.day(data),
        }

    def day(self, data: st.DataObject) -> date | None:
        """A day for an action, mostly left to be chosen."""
        days = [TODAY, TODAY + timedelta(days=20), IN_A_CLOSED_PERIOD, TODAY - timedelta(days=60)]
        return data.draw(st.sampled_from(days), "day") if data.draw(SELDOM, "dated") else None


Shares = Sequence[tuple[Mapping[str, Key], Decimal]]
"""What shall move between lines: the ids of both, and how much."""


def _onto_invoice(key: str, amount: Decimal, shares: Shares | None) -> InvoiceApplication:
    items = None if shares is None else tuple(InvoiceApplicationItem(amount=share, **ids) for ids, share in shares)
    return InvoiceApplication(invoice_key=Key(key), amount=amount, items=items)


def _onto_debit_memo(key: str, amount: Decimal, shares: Shares | None) -> DebitMemoApplication:
    items = None if shares is None else tuple(DebitMemoApplicationItem(amount=share, **ids) for ids, share in shares)
    return DebitMemoApplication(debit_memo_key=Key(key), amount=amount, items=items)


def source_field(line: Row) -> str:
    return "credit_memo_item_id" if line["id"].startswith("cmi_") else "credit_tax_item_id"
