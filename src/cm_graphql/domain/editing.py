"""What of a credit memo can be changed, in which status, and what a change entails (domain.md 1.10, 7.25, 7.38)."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date
from typing import Any

from cm_graphql.domain import crediting, drafts, limits, line_editing, shape
from cm_graphql.domain.billing import Charge
from cm_graphql.domain.charges import NO_QUOTES, Quotes
from cm_graphql.domain.commands.base import UNSET, Unset
from cm_graphql.domain.commands.editing import CreditMemoChanges, UpdateCreditMemos
from cm_graphql.domain.enums import (
    MemoSource,
    MemoStatus,
    ReasonCodeType,
    SourceType,
    TransferredToAccounting,
)
from cm_graphql.domain.errors import ErrorCode, Faults, field_name, refuse
from cm_graphql.domain.records import CreditMemo, Invoice, Stamp
from cm_graphql.domain.rulebook import RuleBook

_ALWAYS = {"transferred_to_accounting", "net_suite", "custom_fields"}
_EDITABLE: Mapping[MemoStatus, set[str]] = {
    MemoStatus.DRAFT: {field.name for field in fields(CreditMemoChanges)},
    MemoStatus.POSTED: {*_ALWAYS, "comment", "reason_code", "exclude_from_auto_apply_rules"},
    MemoStatus.CANCELED: _ALWAYS,
}
"""Which fields can change in which status (domain.md 1.10, 7.13)."""

_NOT_NULL = (
    "auto_apply_upon_posting",
    "exclude_from_auto_apply_rules",
    "effective_date",
    "transferred_to_accounting",
)


def check_update(memo: CreditMemo) -> None:
    """Refuse to update a memo of which nothing can change (domain.md 1.10): INVALID_STATUS."""
    if memo.status not in _EDITABLE:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}. "
            "Only credit memos with the Draft, Posted or Canceled status can be updated.",
        )


def update(
    command: CreditMemoChanges,
    memo: CreditMemo,
    invoice: Invoice | None,
    charges_by_id: Mapping[str, Charge],
    book: RuleBook,
    stamp: Stamp,
    quotes: Quotes = NO_QUOTES,
) -> CreditMemo:
    """Change what the command names; what it leaves out stays (domain.md 1.10).

    `invoice` is the referred one, if any, needed where lines or the date change; `charges_by_id` are those of
    `line_editing.charges_needed`; `quotes` price the lines of `line_editing.taxable_lines`. Refuses with
    CREDIT_MEMO_ITEM_NOT_FOUND, TAXATION_ITEM_NOT_FOUND, PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND; shape faults;
    INVALID_STATUS for a field that cannot change in this status, BILL_RUN_ITEM_NOT_EDITABLE;
    MEMO_DATE_BEFORE_INVOICE_DATE, DATE_IN_CLOSED_PERIOD; REASON_CODE_INVALID; LIMIT_EXCEEDED; ZERO_AMOUNT,
    OVER_CREDIT.
    """
    changes = command.items or ()
    line_editing.check_existence(changes, memo, charges_by_id)
    _check_shape(command, memo, invoice, charges_by_id)
    _check_status(command, memo)
    items = memo.items
    day = command.effective_date if isinstance(command.effective_date, date) else memo.credit_memo_date
    if changes:
        items = line_editing.changed(changes, memo, invoice, charges_by_id, quotes, day, stamp)
        drafts.check_total(items, "items")
    if isinstance(command.effective_date, date):
        assert (invoice.id if invoice else None) == memo.referred_invoice_id, "the referred invoice comes loaded"
        drafts.memo_date(day, invoice, book)
    reason = _reason(command, memo, book)
    _check_limits(command)
    changed = replace(memo, items=items, credit_memo_date=day, reason_code=reason, **_plain(command, memo))
    if changes:
        _check_amounts(changed, invoice, book)
    return changed


def _check_amounts(memo: CreditMemo, invoice: Invoice | None, book: RuleBook) -> None:
    if memo.source_type is SourceType.STANDALONE:
        drafts.check_not_zero(memo.items, "items")
    assert (invoice.id if invoice else None) == memo.referred_invoice_id, "the referred invoice comes loaded"
    if invoice is not None:
        crediting.check_over_credit(memo, invoice, book)


# --- what an operation asks before it lets someone update -------------------------------------------------------------


def changes_reason(command: CreditMemoChanges, memo: CreditMemo) -> bool:
    """Tell whether the reason code becomes another, which needs a permission of its own (domain.md 6)."""
    asked = command.reason_code
    return not isinstance(asked, Unset) and not _same_reason(asked, memo.reason_code)


def leaves_transferred(command: CreditMemoChanges, memo: CreditMemo) -> bool:
    """Tell whether transferredToAccounting leaves YES, which needs a permission of its own (domain.md 1.10, 6)."""
    yes = TransferredToAccounting.YES
    asked = command.transferred_to_accounting
    return memo.transferred_to_accounting is yes and not isinstance(asked, Unset) and asked is not yes


def renames(command: CreditMemoChanges, memo: CreditMemo, names: Mapping[str, str]) -> bool:
    """Tell whether a line gets a name unlike its source's, which needs a permission of its own (domain.md 6).

    `names` are those of invoice items and charges by id; a line of another source has the name it has.
    """
    lines = {line.id: line for line in memo.items}
    for change in command.items or ():
        if not isinstance(change.sku_name, str):
            continue
        line = lines.get(shape.as_id(change.id, "cmi")) if change.id is not None else None
        source_id = line.source_item_id if line else shape.as_id(change.product_rate_plan_charge_id or "", "chg")
        present = line.sku_name if line else None
        if change.sku_name not in (present, names.get(source_id, present)):
            return True
    return False


def check_envelope(command: UpdateCreditMemos) -> None:
    """Refuse a bulk request as a whole: no memo, or over 50 (domain.md 1.4)."""
    if not command.memos:
        raise refuse(ErrorCode.FIELD_REQUIRED, "memos holds nothing: give 1 to 50 memos.", "memos")
    faults = Faults()
    shape.at_most(len(command.memos), limits.MEMOS_PER_BULK, "memos", faults, "memos")
    faults.raise_if_any()


# --- the header -------------------------------------------------------------------------------------------------------


def _check_shape(
    command: CreditMemoChanges, memo: CreditMemo, invoice: Invoice | None, charges_by_id: Mapping[str, Charge]
) -> None:
    faults = Faults()
    for name in _NOT_NULL:
        if getattr(command, name) is None:
            faults.add(ErrorCode.INVALID_VALUE, f"{field_name(name)} cannot be null: leave it out to keep it.", name)
    if command.auto_apply_upon_posting is True and memo.referred_invoice_id is None:
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"Credit memo {memo.name} was not made from an invoice, so there is none to apply it to when it is posted.",
            "auto_apply_upon_posting",
        )
    shape.text(command.comment or None, limits.COMMENT_LENGTH, faults, "comment")
    shape.custom_fields(command.custom_fields or None, faults, "custom_fields")
    drafts.check_net_suite(command.net_suite or None, faults)
    line_editing.check_shape(command.items or (), memo, invoice, charges_by_id, faults)
    faults.raise_if_any()


def _check_status(command: CreditMemoChanges, memo: CreditMemo) -> None:
    """Refuse fields that cannot change in the memo's status, and lines that the billing engine made."""
    check_update(memo)
    faults = Faults()
    for name in _given(command):
        if name not in _EDITABLE[memo.status]:
            faults.add(
                ErrorCode.INVALID_STATUS,
                f"Credit memo {memo.name} is {memo.status.spelled}: {field_name(name)} can only change in a Draft"
                f"{' or Posted one' if name in _EDITABLE[MemoStatus.POSTED] else ''}.",
                name,
            )
    faults.raise_if_any()
    if command.items and memo.source is MemoSource.BILL_RUN:
        raise refuse(
            ErrorCode.BILL_RUN_ITEM_NOT_EDITABLE,
            f"Credit memo {memo.name} comes of a bill run: its lines cannot be changed.",
            "items",
        )


def _given(command: CreditMemoChanges) -> list[str]:
    """The fields that the command names; no lines are no change."""
    names = [field.name for field in fields(CreditMemoChanges)]
    return [name for name in names if getattr(command, name) is not UNSET and (name != "items" or command.items)]


def _reason(command: CreditMemoChanges, memo: CreditMemo, book: RuleBook) -> str | None:
    asked = command.reason_code
    if isinstance(asked, Unset) or _same_reason(asked, memo.reason_code):
        return memo.reason_code  # one that the memo has need not be active any longer
    return book.reason(ReasonCodeType.CREDIT_MEMO, asked, None, "reason_code") if asked else None


def _same_reason(asked: str | None, present: str | None) -> bool:
    return (asked or "").lower() == (present or "").lower()


def _check_limits(command: CreditMemoChanges) -> None:
    faults = Faults()
    changes = command.items or ()
    shape.at_most(len(changes), limits.LINES_PER_CREATE, "items", faults, "items")
    for index, change in enumerate(changes):
        taxes = len(change.tax_items or ())
        shape.at_most(taxes, limits.TAX_ITEMS_PER_LINE, "tax items", faults, "items", index, "tax_items")
    faults.raise_if_any()


def _plain(command: CreditMemoChanges, memo: CreditMemo) -> dict[str, Any]:
    """The fields that are simply set."""
    names = ("auto_apply_upon_posting", "exclude_from_auto_apply_rules", "comment", "transferred_to_accounting")
    given: dict[str, Any] = {name: getattr(command, name) for name in names if getattr(command, name) is not UNSET}
    if not isinstance(command.net_suite, Unset):
        given["net_suite"] = drafts.net_suite(command.net_suite, memo.net_suite)
    if not isinstance(command.custom_fields, Unset):
        given["custom_fields"] = drafts.custom_fields(command.custom_fields, memo.custom_fields)
    return given
