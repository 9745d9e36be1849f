"""A memo's way through its statuses, and the debit memos that undo it."""

from cm_graphql.domain import lifecycle
from cm_graphql.domain.commands.lifecycle import (
    CancelCreditMemo,
    DeleteCreditMemo,
    PostCreditMemo,
    ReverseCreditMemo,
    UnpostCreditMemo,
    WriteOffCreditMemo,
)
from cm_graphql.domain.enums import DocumentType, EventAction
from cm_graphql.domain.lifecycle import Mirroring
from cm_graphql.domain.records import CreditMemo
from cm_graphql.operations.documents import ask_for_pdf
from cm_graphql.operations.gate import Outcome, action
from cm_graphql.operations.unit import Unit
from cm_graphql.store import debit_memos, records
from cm_graphql.store.records import Happening


@action("credit_memos:post")
async def post(unit: Unit, command: PostCreditMemo) -> Outcome:
    """Post a draft (domain.md 1.21)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    await post_memo(unit, memo)
    return {"credit_memo": memo.id}


async def post_memo(unit: Unit, memo: CreditMemo) -> CreditMemo:
    """Post a draft that is already saved, and apply it where it asks for that (domain.md 3, Auto apply)."""
    lifecycle.check_post(memo, unit.book)  # first, so that a wrong status is told before anything is loaded
    referred = memo.referred_invoice_id
    invoice = await unit.invoice(referred) if referred else None
    target = (await unit.targets_of([referred]))[referred] if referred and memo.auto_apply_upon_posting else None
    number = await unit.formal_number(memo)
    posting = lifecycle.post(memo, invoice, target, number, unit.book, unit.stamp)
    posted = await unit.save(memo, posting.posted, Happening(action=EventAction.POSTED, note=posting.note))
    if posting.application is not None and target is not None:
        await unit.save_application(posted, [target], posting.application, EventAction.APPLIED)
    if number is not None and unit.quoted.documents is not None:
        # Earlier ones show the number that is gone (domain.md 0, Numbers), and so may one that is being made.
        await ask_for_pdf(unit, posted)
    return posting.memo


@action("credit_memos:unpost")
async def unpost(unit: Unit, command: UnpostCreditMemo) -> Outcome:
    """Return a posted memo to draft (domain.md 1.26)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    await unit.save(memo, lifecycle.unpost(memo, unit.book), Happening(action=EventAction.UNPOSTED))
    return {"credit_memo": memo.id}


@action("credit_memos:cancel")
async def cancel(unit: Unit, command: CancelCreditMemo) -> Outcome:
    """Cancel a draft (domain.md 1.12)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    await unit.save(memo, lifecycle.cancel(memo, unit.stamp), Happening(action=EventAction.CANCELED))
    return {"credit_memo": memo.id}


@action("credit_memos:delete")
async def delete(unit: Unit, command: DeleteCreditMemo) -> Outcome:
    """Delete a canceled memo; its history stays, and its number with it (domain.md 1.8, 7.20, 7.26)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    lifecycle.check_delete(memo)
    await unit.delete(memo, Happening(action=EventAction.DELETED))
    return {"deleted_credit_memo_id": memo.id}


@action("credit_memos:write_off", "credit_memos:apply")
async def write_off(unit: Unit, command: WriteOffCreditMemo) -> Outcome:
    """Write off a memo (domain.md 1.7)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    days, number = await _for_a_debit_memo(unit, memo)
    made = lifecycle.write_off(memo, command, days, number, unit.book, unit.stamp)
    return await _save_mirroring(unit, memo, made, EventAction.WRITTEN_OFF)


@action("credit_memos:reverse")
async def reverse(unit: Unit, command: ReverseCreditMemo) -> Outcome:
    """Reverse a memo (domain.md 1.23)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    days, number = await _for_a_debit_memo(unit, memo)
    made = lifecycle.reverse(memo, command, days, number, unit.book, unit.stamp)
    return await _save_mirroring(unit, memo, made, EventAction.REVERSED)


async def _for_a_debit_memo(unit: Unit, memo: CreditMemo) -> tuple[int, str]:
    """The account's payment term in days, and the number of a debit memo; a refusal gives the number back."""
    account = await unit.account(memo.account_id)
    return account.payment_term_days, await unit.next_number(memo.account_id, DocumentType.DEBIT_MEMO)


async def _save_mirroring(unit: Unit, memo: CreditMemo, made: Mirroring, action: EventAction) -> Outcome:
    await debit_memos.insert(unit.session, made.debit_memo, unit.stamp)
    await unit.save(memo, made.memo, unit.moved(action, made.entries, [made.debit_memo.target]))
    await records.write_ledger(unit.session, made.entries, unit.stamp)
    return {"credit_memo": memo.id, "debit_memo": made.debit_memo.id}
