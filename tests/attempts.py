"""Every action of one memo, tried with as little as it needs, beside what was said of it beforehand."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.documents import GenerateCreditMemoPdf
from cm_graphql.domain.commands.editing import UpdateCreditMemo
from cm_graphql.domain.commands.lifecycle import (
    CancelCreditMemo,
    DeleteCreditMemo,
    PostCreditMemo,
    ReverseCreditMemo,
    UnpostCreditMemo,
    WriteOffCreditMemo,
)
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.commands.settlement import UnapplyCreditMemo
from cm_graphql.domain.commands.taxation import CreateCreditMemoTaxationItems, NewTaxationItem
from cm_graphql.domain.enums import MemoAction, PaymentMethodType, RefundType, TaxRateType, TransferredToAccounting
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.money import SCALE
from cm_graphql.operations import documents, editing, lifecycle, refunds, settlement, taxation
from cm_graphql.operations.actions import ActionState, available
from cm_graphql.operations.viewer import Forbidden
from cm_graphql.store.session import Session
from operating import Desk, applying

LOOKED_INTO_ELSEWHERE = {MemoAction.UPLOAD_FILE, MemoAction.EMAIL}
"""Actions that need more than a memo to succeed: a file, an address."""


async def states(desk: Desk, *memos: str) -> list[dict[MemoAction, ActionState]]:
    """What can be done with memos, asked for all at once."""
    async with desk.database.read() as connection:
        found = await available(Session(connection, desk.database.dialect), memos, desk.viewer)
    return [{state.action: state for state in found[memo]} for memo in memos]


async def refusals(desk: Desk, memo: str, invoice: str, line: int = 0) -> dict[MemoAction, ErrorCode | None]:
    """How each action, asked for with as little as it needs, is refused now; tried as dry runs.

    `invoice` is one to apply to, `line` the place of the one to add a tax to.
    """
    now = await desk.memo(memo)
    key = Key(memo)
    least = Decimal(now.currency.cent) / SCALE
    tax = NewTaxationItem(
        memo_item_id=Key(now.items[line].id),
        name="City tax",
        jurisdiction="SF",
        tax_amount=Decimal(0),
        tax_rate=Decimal("0.02"),
        tax_rate_type=TaxRateType.PERCENTAGE,
    )
    cent = RefundCreditMemo(key=key, type=RefundType.EXTERNAL, method_type=PaymentMethodType.CHECK, total_amount=least)
    tried: dict[MemoAction, tuple[Any, Any]] = {
        MemoAction.UPDATE: (
            editing.update,
            UpdateCreditMemo(key=key, transferred_to_accounting=TransferredToAccounting.NO),
        ),
        MemoAction.POST: (lifecycle.post, PostCreditMemo(key=key)),
        MemoAction.UNPOST: (lifecycle.unpost, UnpostCreditMemo(key=key)),
        MemoAction.CANCEL: (lifecycle.cancel, CancelCreditMemo(key=key)),
        MemoAction.DELETE: (lifecycle.delete, DeleteCreditMemo(key=key)),
        MemoAction.APPLY: (settlement.apply, applying(memo, invoice, str(least))),
        MemoAction.UNAPPLY: (settlement.unapply, UnapplyCreditMemo(key=key)),
        MemoAction.REFUND: (refunds.refund, cent),
        MemoAction.WRITE_OFF: (lifecycle.write_off, WriteOffCreditMemo(key=key)),
        MemoAction.REVERSE: (lifecycle.reverse, ReverseCreditMemo(key=key)),
        MemoAction.GENERATE_PDF: (documents.generate_pdf, GenerateCreditMemoPdf(key=key)),
        MemoAction.CREATE_TAXATION_ITEMS: (
            taxation.create_taxation_items,
            CreateCreditMemoTaxationItems(key=key, taxation_items=(tax,)),
        ),
    }
    found: dict[MemoAction, ErrorCode | None] = {}
    for action, (what, command) in tried.items():
        try:
            answer = await desk.ask(what, replace(command, dry_run=True))
        except Forbidden:
            found[action] = ErrorCode.PERMISSION_DENIED
        else:
            found[action] = answer.faults[0].code if answer.faults else None
    return found
