"""A desk to work at: the gate upon a real database, a day that stands still, and documents made in a line each.

Amounts are given and compared as a person writes them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, select

import bookkeeping
from cm_graphql.domain.commands.base import Command, Key
from cm_graphql.domain.commands.creation import (
    CreateCreditMemoFromCharges,
    CreateCreditMemoFromInvoice,
    CreditMemoItemFromCharge,
    CreditMemoItemFromInvoice,
)
from cm_graphql.domain.commands.intake import (
    ChargePrice,
    SyncAccounts,
    SyncDebitMemos,
    SyncedAccount,
    SyncedDebitMemo,
    SyncedDebitMemoItem,
    SyncedInvoice,
    SyncedInvoiceItem,
    SyncedPaymentMethod,
    SyncedProductRatePlanCharge,
    SyncedTaxItem,
    SyncInvoices,
    SyncPaymentMethods,
    SyncProductRatePlanCharges,
)
from cm_graphql.domain.commands.lifecycle import PostCreditMemo
from cm_graphql.domain.commands.reference import (
    SyncAccountingPeriods,
    SyncedAccountingPeriod,
    SyncedTaxRate,
    SyncTaxRates,
    UpdateSettings,
)
from cm_graphql.domain.commands.settlement import ApplyCreditMemo, DebitMemoApplication, InvoiceApplication
from cm_graphql.domain.enums import (
    ChargeModel,
    ChargeType,
    PaymentMethodType,
    PeriodStatus,
    ProcessingType,
    TaxEngineKind,
)
from cm_graphql.domain.records import CreditLine, CreditMemo
from cm_graphql.operations import creation, intake, lifecycle, reference, settlement
from cm_graphql.operations.gate import Action, Answer, BulkAction, Gate, Outcome
from cm_graphql.operations.ports import SystemClock, new_id
from cm_graphql.operations.viewer import LOCAL, Viewer
from cm_graphql.store import memos
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.session import Session

TODAY = date(2026, 3, 15)
BILLED = date(2026, 2, 1)
"""The date of invoices and debit memos."""

Line = str | Sequence[str]
"""An item's amount, or that amount followed by those of its taxes, at 10 % each."""


class Desk:
    """Whoever tests an operation sits here."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.database = gate.database
        self.viewer: Viewer = LOCAL
        self.account = ""
        self._made = 0

    # --- acting -------------------------------------------------------------------------------------------------------

    async def ask(self, what: Action[Any], command: Command) -> Answer:
        """Do an action, and answer whatever comes of it."""
        answer, rehearsal = await self.gate.act(what, command, self.viewer, "req-1")
        if rehearsal is not None:
            await rehearsal.undo()
        return answer

    async def do(self, what: Action[Any], command: Command) -> Outcome:
        """Do an action that must succeed."""
        answer = await self.ask(what, command)
        assert answer.faults == (), answer.faults
        assert answer.outcome is not None
        return answer.outcome

    async def refused(self, what: Action[Any], command: Command) -> list[tuple[Any, ...]]:
        """Do an action that must be refused, and leave the database as it was; answer codes with their fields."""
        before = await self.dump()
        answer = await self.ask(what, command)
        assert answer.outcome is None
        assert answer.faults
        assert await self.dump() == before, "a refusal leaves no trace"
        return [(fault.code, *fault.field) for fault in answer.faults]

    async def each(self, what: BulkAction[Any, Any], command: Command) -> list[Answer]:
        """Do a bulk action, and answer what came of each element."""
        answers, rehearsal = await self.gate.act_each(what, command, self.viewer, "req-1")
        if rehearsal is not None:
            await rehearsal.undo()
        return answers

    # --- looking ------------------------------------------------------------------------------------------------------

    async def memo(self, key: str) -> CreditMemo:
        """A memo as the store has it."""
        async with self.database.read() as connection:
            found = await memos.load(Session(connection, self.database.dialect), key, lock=False)
        assert found is not None
        return found

    async def rows(self, table: Table, **where: Any) -> list[Any]:
        """The rows of a table with these values."""
        statement = select(table)
        for name, value in where.items():
            statement = statement.where(table.c[name] == value)
        async with self.database.read() as connection:
            return list(await connection.execute(statement.order_by(*table.primary_key.columns)))

    async def row(self, table: Table, **where: Any) -> Any:
        """The only such row."""
        (found,) = await self.rows(table, **where)
        return found

    async def dump(self) -> bookkeeping.Books:
        """Every row of every table."""
        async with self.database.read() as connection:
            return await bookkeeping.read(connection)

    # --- documents ----------------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._made += 1
        return self._made

    async def _synced(self, what: BulkAction[Any, Any], command: Command) -> str:
        (answer,) = await self.each(what, command)
        assert answer.faults == ()
        assert answer.outcome is not None
        (made,) = answer.outcome.values()
        return str(made)

    async def new_account(self, currency: str = "USD", **fields: Any) -> str:
        """An account, whose documents are made from now on unless they name another."""
        given = {"number": f"A-{self._number()}", "name": "Acme", "currency": currency, **fields}
        self.account = await self._synced(intake.sync_accounts, SyncAccounts(accounts=(SyncedAccount(**given),)))
        return self.account

    async def charge(self, price: str = "10.00", currency: str = "USD", **fields: Any) -> str:
        """A charge of the catalog, a flat fee unless told otherwise."""
        given: dict[str, Any] = {
            "name": f"Seats {self._number()}",
            "charge_model": ChargeModel.FLAT_FEE,
            "charge_type": ChargeType.RECURRING,
            "prices": (ChargePrice(currency=currency, price=Decimal(price)),),
            **fields,
        }
        command = SyncProductRatePlanCharges(product_rate_plan_charges=(SyncedProductRatePlanCharge(**given),))
        return await self._synced(intake.sync_product_rate_plan_charges, command)

    async def invoice(self, *lines: Line, **fields: Any) -> str:
        """A posted invoice; negative lines are discounts of the first."""
        items = tuple(
            SyncedInvoiceItem(
                charge_name="Seats",
                charge_amount=Decimal(net),
                tax_items=_taxes(taxes, fields.get("engine", TaxEngineKind.ZUORA_TAX)),
                **_discount(net),
            )
            for net, taxes in map(_split, lines)
        )
        given: dict[str, Any] = {
            "account_key": Key(self.account),
            "invoice_number": f"INV-{self._number()}",
            "invoice_date": BILLED,
            "items": items,
            **{name: value for name, value in fields.items() if name != "engine"},
        }
        return await self._synced(intake.sync_invoices, SyncInvoices(invoices=(SyncedInvoice(**given),)))

    async def debit_memo(self, *lines: Line, **fields: Any) -> str:
        """A posted debit memo."""
        items = tuple(
            SyncedDebitMemoItem(
                sku_name="Seats",
                amount=Decimal(net),
                tax_items=_taxes(taxes, TaxEngineKind.NONE),
                **_discount(net),
            )
            for net, taxes in map(_split, lines)
        )
        given: dict[str, Any] = {
            "account_key": Key(self.account),
            "number": f"DEB-{self._number()}",
            "debit_memo_date": BILLED,
            "items": items,
            **fields,
        }
        return await self._synced(intake.sync_debit_memos, SyncDebitMemos(debit_memos=(SyncedDebitMemo(**given),)))

    async def payment_method(self, *, electronic: bool = True) -> str:
        """A card of the account."""
        card = SyncedPaymentMethod(
            id=Key(new_id("pm")),
            account_key=Key(self.account),
            type=PaymentMethodType.CREDIT_CARD,
            electronic=electronic,
        )
        return await self._synced(intake.sync_payment_methods, SyncPaymentMethods(payment_methods=(card,)))

    async def lines_of(self, document: str) -> list[str]:
        """The ids of the items of an invoice or debit memo, in order."""
        table, column = (
            (t.invoice_items, "invoice_id") if document.startswith("inv_") else (t.debit_memo_items, "debit_memo_id")
        )
        rows = await self.rows(table, **{column: document})
        return [row.id for row in sorted(rows, key=lambda row: row.position)]

    # --- credit memos -------------------------------------------------------------------------------------------------

    async def draft(self, *amounts: str, **fields: Any) -> str:
        """A draft from a charge of the catalog, a line per amount."""
        charge = await self.charge()
        return await self.draft_of(*((charge, amount) for amount in amounts), **fields)

    async def draft_of(self, *of: tuple[str, str | None], **fields: Any) -> str:
        """A draft from charges, each with its amount."""
        lines = tuple(
            CreditMemoItemFromCharge(
                product_rate_plan_charge_id=Key(charge), amount=None if amount is None else Decimal(amount)
            )
            for charge, amount in of
        )
        given: dict[str, Any] = {"account_key": Key(self.account), "charges": lines, **fields}
        return str((await self.do(creation.from_charges, CreateCreditMemoFromCharges(**given)))["credit_memo"])

    async def credit(self, invoice: str, *amounts: str, **fields: Any) -> str:
        """A draft from an invoice: its items, each credited with the amount in its place."""
        command = replace(await self._crediting(invoice, amounts), **fields)
        return str((await self.do(creation.from_invoice, command))["credit_memo"])

    async def _crediting(self, invoice: str, amounts: Sequence[str]) -> CreateCreditMemoFromInvoice:
        lines = tuple(
            CreditMemoItemFromInvoice(invoice_item_id=Key(item), sku_name="Seats", amount=Decimal(amount))
            for item, amount in zip(await self.lines_of(invoice), amounts, strict=False)
        )
        return CreateCreditMemoFromInvoice(invoice_key=Key(invoice), items=lines)

    async def do_not_credit(self, invoice: str, *amounts: str) -> list[tuple[Any, ...]]:
        """What a draft from an invoice is refused with."""
        return await self.refused(creation.from_invoice, await self._crediting(invoice, amounts))

    async def post(self, memo: str) -> str:
        """Post a draft."""
        await self.do(lifecycle.post, PostCreditMemo(key=Key(memo)))
        return memo

    async def apply_to(self, memo: str, target: str, amount: str) -> None:
        """Apply a posted memo to one document."""
        await self.do(settlement.apply, applying(memo, target, amount))

    async def posted(self, *amounts: str, **fields: Any) -> str:
        """A posted memo from charges."""
        return await self.post(await self.draft(*amounts, **fields))

    # --- the tenant ---------------------------------------------------------------------------------------------------

    async def set(self, **settings: Any) -> None:
        """Change settings of the tenant."""
        await self.do(reference.update_settings, UpdateSettings(**settings))

    async def close_period(self, start: date, end: date) -> None:
        """Close an accounting period."""
        period = SyncedAccountingPeriod(
            name=f"P-{self._number()}", start_date=start, end_date=end, status=PeriodStatus.CLOSED
        )
        command = SyncAccountingPeriods(accounting_periods=(period,))
        await self._synced(reference.sync_accounting_periods, command)

    async def tax_rate(self, code: str, jurisdiction: str, rate: str, name: str = "VAT") -> None:
        """A rate of the tenant's own tax engine."""
        given = SyncedTaxRate(tax_code=code, jurisdiction=jurisdiction, name=name, rate=Decimal(rate))
        await self._synced(reference.sync_tax_rates, SyncTaxRates(tax_rates=(given,)))


@asynccontextmanager
async def a_desk(database_url: str, today: date = TODAY, **ports: Any) -> AsyncIterator[Desk]:
    """A desk upon a database, with an account to work for."""
    database = Database.open(database_url)
    try:
        desk = Desk(Gate(database, SystemClock(today), **ports))
        await desk.new_account()
        yield desk
    finally:
        await database.dispose()


def applying(memo: str, target: str, amount: str, **fields: Any) -> ApplyCreditMemo:
    """A request to apply a memo to one document."""
    if target.startswith("inv_"):
        fields["invoices"] = (InvoiceApplication(invoice_key=Key(target), amount=Decimal(amount)),)
    else:
        fields["debit_memos"] = (DebitMemoApplication(debit_memo_key=Key(target), amount=Decimal(amount)),)
    return ApplyCreditMemo(key=Key(memo), **fields)


def _split(line: Line) -> tuple[str, Sequence[str]]:
    if isinstance(line, str):
        return line, ()
    return line[0], line[1:]


def _discount(net: str) -> Mapping[str, Any]:
    if not net.startswith("-"):
        return {}
    return {"processing_type": ProcessingType.DISCOUNT, "applied_to_item_index": 0}


def _taxes(amounts: Sequence[str], engine: TaxEngineKind) -> tuple[SyncedTaxItem, ...]:
    return tuple(
        SyncedTaxItem(
            name=f"VAT {place}",
            tax_amount=Decimal(amount),
            tax_rate=Decimal("0.1"),
            jurisdiction="CA",
            engine=engine,
        )
        for place, amount in enumerate(amounts, 1)
    )


def money(memo: CreditMemo) -> tuple[str, str, str, str]:
    """A memo's amount, and what of it is applied, unapplied and refunded."""
    show = memo.currency.show
    return show(memo.amount), show(memo.applied), show(memo.unapplied), show(memo.refunded)


def lines(memo: CreditMemo) -> list[str]:
    """What each line has unapplied."""
    return [memo.currency.show(line.unapplied) for line in memo.lines]


def worths(of: Sequence[CreditLine], memo: CreditMemo) -> list[str]:
    """What each line is worth."""
    return [memo.currency.show(line.worth) for line in of]


__all__ = ["BILLED", "TODAY", "Desk", "a_desk", "applying", "lines", "money", "worths"]
