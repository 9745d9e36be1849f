"""Taxes given by hand, and those that the tenant's engine quotes for lines made from charges."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from cm_graphql.domain import charges, taxation
from cm_graphql.domain.billing import Account
from cm_graphql.domain.charges import Quotes, TaxableLine
from cm_graphql.domain.commands.taxation import CreateCreditMemoTaxationItems
from cm_graphql.domain.enums import EventAction
from cm_graphql.domain.money import Currency
from cm_graphql.operations.gate import Outcome, action
from cm_graphql.operations.ports import TaxInquiry
from cm_graphql.operations.quoting import failed
from cm_graphql.operations.unit import Unit
from cm_graphql.store import catalog
from cm_graphql.store.records import Happening

DOWN: Final = "TAX-DOWN"
"""A tax code for which the built-in engine always fails, so that tests can see a failure."""


@action("credit_memos:update")
async def create_taxation_items(unit: Unit, command: CreateCreditMemoTaxationItems) -> Outcome:
    """Add taxes by hand to lines of a draft (domain.md 1.24)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    invoice = await unit.invoice(memo.referred_invoice_id) if memo.referred_invoice_id else None
    changed, created = taxation.create_taxation_items(memo, command, invoice, unit.book, unit.stamp)
    await unit.save(memo, changed, Happening(action=EventAction.TAXATION_ITEMS_CREATED))
    return {"credit_memo": memo.id, "taxation_items": [tax.id for tax in created]}


async def quotes(unit: Unit, lines: Sequence[TaxableLine], account: Account, currency: Currency, day: date) -> Quotes:
    """What the tenant's tax engine quotes for lines (domain.md 7.23); refuses with TAX_ENGINE_ERROR.

    The built-in table answers at once; any other engine is asked by the gate (see `quoting`). None is asked for the tax
    of nothing: such a line has none, until it is worth something.
    """
    nothing: Quotes = {line.key: () for line in lines if not line.amount}
    lines = [line for line in lines if line.amount]
    if not lines:
        return nothing
    return {**nothing, **await _quotes(unit, lines, account, currency, day)}


async def _quotes(unit: Unit, lines: Sequence[TaxableLine], account: Account, currency: Currency, day: date) -> Quotes:
    engine = unit.book.settings.tax_engine
    if engine != "table":
        inquiry = TaxInquiry(lines=tuple(lines), account=account, currency=currency, day=day)
        return unit.quoted.quotes(engine, inquiry)
    codes = {line.tax_code for line in lines if line.tax_code is not None}
    if DOWN in codes:
        raise failed(f"The tax engine table has no answer for the tax code {DOWN}.")
    return charges.table_quotes(lines, await catalog.tax_rates(unit.session, codes), account, currency)
