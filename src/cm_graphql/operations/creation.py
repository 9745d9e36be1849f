"""Making drafts."""

from collections.abc import Sequence

from cm_graphql.domain import creation, shape
from cm_graphql.domain.commands.creation import (
    CreateCreditMemoFromCharges,
    CreateCreditMemoFromInvoice,
    CreateCreditMemos,
    CreditMemoFromCharges,
    CreditMemoFromInvoice,
    NewCreditMemo,
)
from cm_graphql.domain.enums import EventAction
from cm_graphql.domain.money import MOST_DECIMALS, Currency
from cm_graphql.domain.records import CreditMemo
from cm_graphql.operations import lifecycle, taxation
from cm_graphql.operations.gate import Outcome, action, bulk_action
from cm_graphql.operations.unit import Unit
from cm_graphql.store import catalog
from cm_graphql.store.keys import read_key
from cm_graphql.store.records import Happening
from cm_graphql.store.session import UnknownCurrency


@action("credit_memos:create")
async def from_invoice(unit: Unit, command: CreateCreditMemoFromInvoice) -> Outcome:
    """Create a draft from lines of an invoice (domain.md 1.27)."""
    return await create_from_invoice(unit, command)


@action("credit_memos:create")
async def from_charges(unit: Unit, command: CreateCreditMemoFromCharges) -> Outcome:
    """Create a draft from charges of the catalog (domain.md 1.2)."""
    return await create_from_charges(unit, command)


def _new_memos(command: CreateCreditMemos) -> Sequence[NewCreditMemo]:
    """Take the request apart; malformed keys are told of before anything happens: MalformedId."""
    creation.check_envelope(command)
    for memo in command.memos:
        if memo.from_invoice is not None:
            read_key(memo.from_invoice.invoice_key, "inv")
        if memo.from_charges is not None:
            read_key(memo.from_charges.account_key, "acc")
    return command.memos


@bulk_action(_new_memos, "credit_memos:create")
async def create_each(unit: Unit, memo: NewCreditMemo) -> Outcome:
    """Create one of many drafts (domain.md 1.3)."""
    if memo.from_invoice is not None:
        return await create_from_invoice(unit, memo.from_invoice)
    assert memo.from_charges is not None, "it is one or the other"
    return await create_from_charges(unit, memo.from_charges)


async def create_from_invoice(unit: Unit, asked: CreditMemoFromInvoice) -> Outcome:
    """Create one memo from an invoice, and post it where that is asked for."""
    if asked.auto_post:
        unit.viewer.require("credit_memos:post")
    invoice = await unit.source_invoice(asked.invoice_key, "invoice_key")
    if creation.overrides_name(asked, invoice):
        unit.viewer.require("credit_memos:override_name")
    currency = await unit.session.currency(invoice.currency)
    made = creation.from_invoice(asked, invoice, currency, unit.book, unit.stamp, None)
    return await keep(unit, made, auto_post=asked.auto_post)


async def create_from_charges(unit: Unit, asked: CreditMemoFromCharges) -> Outcome:
    """Create one memo from charges, its tax quoted by the tenant's engine, and post it where that is asked for."""
    if asked.auto_post:
        unit.viewer.require("credit_memos:post")
    account = await unit.account(asked.account_key, "account_key")
    code = account.currency if asked.currency is None else asked.currency
    try:
        currency = await unit.session.currency(code)
    except UnknownCurrency:
        currency = Currency(code, MOST_DECIMALS, active=False)  # refused together with whatever else is wrong
    ids = [shape.as_id(line.product_rate_plan_charge_id, "chg") for line in asked.charges or ()]
    found = await catalog.charges(unit.session, ids)
    # Without tax first, so that an engine is asked only about what can be created.
    made = creation.from_charges(asked, account, found, currency, unit.book, unit.stamp, asked.number)
    taxable = creation.taxable_lines(asked, found, currency, unit.book.settings)
    if taxable:
        quotes = await taxation.quotes(unit, taxable, account, currency, made.credit_memo_date)
        made = creation.from_charges(asked, account, found, currency, unit.book, unit.stamp, asked.number, quotes)
    return await keep(unit, made, auto_post=asked.auto_post)


async def keep(unit: Unit, made: CreditMemo, *, auto_post: bool) -> Outcome:
    """Number and save a new memo; post it in the same transaction where that is asked for (domain.md 7.14)."""
    numbered = await unit.numbered(made)
    memo = await unit.save(None, numbered, Happening(action=EventAction.CREATED, effective_date=made.credit_memo_date))
    if auto_post:
        memo = await lifecycle.post_memo(unit, memo)
    return {"credit_memo": memo.id}
