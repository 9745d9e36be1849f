"""Making drafts."""

from cm_graphql.domain import creation
from cm_graphql.domain.commands.creation import CreateCreditMemoFromInvoice, CreditMemoFromInvoice
from cm_graphql.domain.enums import EventAction
from cm_graphql.domain.records import CreditMemo
from cm_graphql.operations import lifecycle
from cm_graphql.operations.gate import Outcome, action
from cm_graphql.operations.unit import Unit
from cm_graphql.store.records import Happening


@action("credit_memos:create")
async def from_invoice(unit: Unit, command: CreateCreditMemoFromInvoice) -> Outcome:
    """Create a draft from lines of an invoice (domain.md 1.27)."""
    return await create_from_invoice(unit, command)


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


async def keep(unit: Unit, made: CreditMemo, *, auto_post: bool) -> Outcome:
    """Number and save a new memo; post it in the same transaction where that is asked for (domain.md 7.14)."""
    numbered = await unit.numbered(made)
    memo = await unit.save(None, numbered, Happening(action=EventAction.CREATED, effective_date=made.credit_memo_date))
    if auto_post:
        memo = await lifecycle.post_memo(unit, memo)
    return {"credit_memo": memo.id}
