"""Changing memos: drafts in everything, posted and canceled ones in what does not touch money."""

from collections.abc import Sequence
from datetime import date

from cm_graphql.domain import editing, line_editing
from cm_graphql.domain.commands.editing import CreditMemoUpdate, UpdateCreditMemo, UpdateCreditMemos
from cm_graphql.domain.enums import EventAction
from cm_graphql.domain.records import CreditMemo
from cm_graphql.operations import taxation
from cm_graphql.operations.gate import Outcome, action, bulk_action
from cm_graphql.operations.unit import Unit
from cm_graphql.store import catalog
from cm_graphql.store.keys import id_of, read_key
from cm_graphql.store.records import Happening

Update = UpdateCreditMemo | CreditMemoUpdate


@action("credit_memos:update")
async def update(unit: Unit, command: UpdateCreditMemo) -> Outcome:
    """Change a memo (domain.md 1.10)."""
    _check_ids(command)
    return await _update(unit, command)


def _updates(command: UpdateCreditMemos) -> Sequence[CreditMemoUpdate]:
    """Take the request apart; malformed keys are told of before anything happens: MalformedId."""
    editing.check_envelope(command)
    for memo in command.memos:
        _check_ids(memo)
    return command.memos


@bulk_action(_updates, "credit_memos:update")
async def update_each(unit: Unit, memo: CreditMemoUpdate) -> Outcome:
    """Change one of many memos (domain.md 1.4)."""
    return await _update(unit, memo)


def _check_ids(command: Update) -> None:
    read_key(command.key, "cm")
    for change in command.items or ():
        if change.id is not None:
            id_of(change.id, "cmi")
        for tax in change.tax_items or ():
            id_of(tax.id, "cmt")


async def _update(unit: Unit, command: Update) -> Outcome:
    memo = await unit.memo(command.key)
    changes = command.items or ()
    charges = await catalog.charges(unit.session, line_editing.charges_needed(changes, memo))
    referred = memo.referred_invoice_id
    asks_invoice = changes or isinstance(command.effective_date, date)
    invoice = await unit.invoice(referred) if referred and asks_invoice else None
    names = {key: charge.name for key, charge in charges.items()}
    names.update({item.id: item.charge_name for item in invoice.items} if invoice else {})
    _require_rights(unit, command, memo, names)
    unit.expect_version(memo, command.if_version)
    # Without tax first, so that an engine is asked only about what can be done.
    changed = editing.update(command, memo, invoice, charges, unit.book, unit.stamp)
    taxable = line_editing.taxable_lines(changes, memo, charges, unit.book.settings)
    if taxable:
        account = await unit.account(memo.account_id)
        quotes = await taxation.quotes(unit, taxable, account, memo.currency, changed.credit_memo_date)
        changed = editing.update(command, memo, invoice, charges, unit.book, unit.stamp, quotes)
    moved = changed.credit_memo_date != memo.credit_memo_date
    happening = Happening(action=EventAction.UPDATED, effective_date=changed.credit_memo_date if moved else None)
    await unit.save(memo, changed, happening)
    return {"credit_memo": memo.id}


def _require_rights(unit: Unit, command: Update, memo: CreditMemo, names: dict[str, str]) -> None:
    """Ask for the permissions that only some changes need (domain.md 6): Forbidden."""
    if editing.changes_reason(command, memo):
        unit.viewer.require("credit_memos:change_reason")
    if editing.leaves_transferred(command, memo):
        unit.viewer.require("credit_memos:override_transferred")
    if editing.renames(command, memo, names):
        unit.viewer.require("credit_memos:override_name")
