"""What can be done with memos as they are now, asked of the very functions that the actions ask (api.md).

An action whose refusal depends on its input, such as a date in a closed period, counts as allowed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cm_graphql.domain import documents, editing, lifecycle, refunds, settlement, taxation
from cm_graphql.domain.enums import MemoAction, MemoStatus
from cm_graphql.domain.errors import ErrorCode, Refusal
from cm_graphql.domain.records import CreditMemo, Invoice
from cm_graphql.domain.rulebook import RuleBook
from cm_graphql.operations import documents as document_actions
from cm_graphql.operations import editing as editing_actions
from cm_graphql.operations import lifecycle as lifecycle_actions
from cm_graphql.operations import refunds as refund_actions
from cm_graphql.operations import settlement as settlement_actions
from cm_graphql.operations import taxation as taxation_actions
from cm_graphql.operations.gate import Action
from cm_graphql.operations.unit import check_held
from cm_graphql.operations.viewer import Forbidden, Viewer
from cm_graphql.store import documents as document_store
from cm_graphql.store import holds, memos, reference, targets
from cm_graphql.store.documents import Filed
from cm_graphql.store.session import Session


@dataclass(frozen=True, slots=True)
class ActionState:
    """Whether an action would be refused, and why."""

    action: MemoAction
    code: ErrorCode | None = None
    reason: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether nothing speaks against it."""
        return self.code is None


@dataclass(frozen=True, slots=True)
class _Case:
    """What the checks ask about."""

    memo: CreditMemo
    invoice: Invoice | None
    """The referred one, of drafts."""
    book: RuleBook
    holder: str | None
    filed: Filed


def _write_off(case: _Case) -> None:
    lifecycle.check_write_off(case.memo)
    lifecycle.check_mirrored(case.memo, "written off")


def _reverse(case: _Case) -> None:
    lifecycle.check_reverse(case.memo)
    lifecycle.check_mirrored(case.memo, "reversed")


def _apply(case: _Case) -> None:
    settlement.check_apply(case.memo)
    settlement.check_anything_to_apply(case.memo)


def _unapply(case: _Case) -> None:
    settlement.check_unapply(case.memo)
    settlement.check_anything_to_unapply(case.memo)


def _refund(case: _Case) -> None:
    refunds.check_refund(case.memo)
    refunds.check_anything_to_refund(case.memo)


def _post(case: _Case) -> None:
    lifecycle.check_post(case.memo, case.book)  # first, because others than drafts come without their invoice
    lifecycle.check_posting(case.memo, case.invoice, case.book)


def _upload(case: _Case) -> None:
    documents.check_upload(case.memo)
    documents.check_room(case.memo, case.filed.files)


def _email(case: _Case) -> None:
    documents.check_email(case.memo, case.book.settings)
    documents.check_anything_to_attach(case.memo, case.book.settings, case.filed.files, case.filed.running)


def _create_taxation_items(case: _Case) -> None:
    taxation.check_create_taxation_items(case.memo)
    taxation.check_anything_to_tax(case.memo, case.invoice, case.book)


_ACTIONS: Final[Mapping[MemoAction, tuple[Action[Any], Callable[[_Case], None]]]] = {
    MemoAction.UPDATE: (editing_actions.update, lambda case: editing.check_update(case.memo)),
    MemoAction.POST: (lifecycle_actions.post, _post),
    MemoAction.UNPOST: (lifecycle_actions.unpost, lambda case: lifecycle.check_unpost(case.memo, case.book)),
    MemoAction.CANCEL: (lifecycle_actions.cancel, lambda case: lifecycle.check_cancel(case.memo)),
    MemoAction.DELETE: (lifecycle_actions.delete, lambda case: lifecycle.check_delete(case.memo)),
    MemoAction.APPLY: (settlement_actions.apply, _apply),
    MemoAction.UNAPPLY: (settlement_actions.unapply, _unapply),
    MemoAction.REFUND: (refund_actions.refund, _refund),
    MemoAction.WRITE_OFF: (lifecycle_actions.write_off, _write_off),
    MemoAction.REVERSE: (lifecycle_actions.reverse, _reverse),
    MemoAction.GENERATE_PDF: (document_actions.generate_pdf, lambda case: documents.check_pdf(case.memo)),
    MemoAction.UPLOAD_FILE: (document_actions.upload, _upload),
    MemoAction.EMAIL: (document_actions.email, _email),
    MemoAction.CREATE_TAXATION_ITEMS: (taxation_actions.create_taxation_items, _create_taxation_items),
}
"""Every action of one memo that this server offers: what it is here, and what can be told without its input."""


async def available(session: Session, memo_ids: Iterable[str], viewer: Viewer) -> dict[str, tuple[ActionState, ...]]:
    """What a caller can do with each of these memos; memos that are not there, or not for this caller, are left out.

    Costs nineteen statements for up to 500 memos, whatever their number, and time in proportion to their lines and to
    those of the invoices that drafts among them were made from: a refusal can depend on any line.
    """
    found = await memos.load_many(session, memo_ids)
    seen = [memo for memo in found.values() if viewer.sees(memo.account_id)]
    book = await reference.rulebook(session)
    filed = await document_store.filed(session, [memo.id for memo in seen])
    holders = await holds.holders(session, [memo.id for memo in seen])
    drafts = [memo for memo in seen if memo.status is MemoStatus.DRAFT]
    billing_engine = book.settings.count_billing_engine_credits
    referred = [memo.referred_invoice_id for memo in drafts if memo.referred_invoice_id]
    invoices = await targets.load_invoices(session, referred, billing_engine=billing_engine)
    return {
        memo.id: _states(
            _Case(memo, invoices.get(memo.referred_invoice_id or ""), book, holders.get(memo.id), filed[memo.id]),
            viewer,
        )
        for memo in seen
    }


def _states(case: _Case, viewer: Viewer) -> tuple[ActionState, ...]:
    return tuple(_state(action, what, check, case, viewer) for action, (what, check) in _ACTIONS.items())


def _state(
    action: MemoAction, what: Action[Any], check: Callable[[_Case], None], case: _Case, viewer: Viewer
) -> ActionState:
    try:
        viewer.require(*what.scopes)
        check_held(case.memo, case.holder)
        check(case)
    except Forbidden as forbidden:
        return ActionState(action, ErrorCode.PERMISSION_DENIED, str(forbidden))
    except Refusal as refusal:
        return ActionState(action, refusal.faults[0].code, refusal.faults[0].message)
    return ActionState(action)
