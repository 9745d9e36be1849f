"""How a credit memo comes into force and out of it again: post, unpost, cancel, delete, write off, reverse."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from cm_graphql.domain import ledger, limits, movement, settlement, shape
from cm_graphql.domain.commands.lifecycle import ReverseCreditMemo, WriteOffCreditMemo
from cm_graphql.domain.crediting import check_over_credit, check_tax_still_fits
from cm_graphql.domain.debit_memos import DebitMemo, mirror
from cm_graphql.domain.enums import LedgerKind, MemoStatus, ReasonCodeType, YesNo
from cm_graphql.domain.errors import ErrorCode, Faults, Refusal, field_name, refuse
from cm_graphql.domain.ledger import LedgerEntry
from cm_graphql.domain.records import CreditMemo, Invoice, Stamp, Target
from cm_graphql.domain.rulebook import RuleBook
from cm_graphql.domain.settlement import Application


def _wrong_status(memo: CreditMemo, rule: str) -> Refusal:
    return refuse(ErrorCode.INVALID_STATUS, f"Credit memo {memo.name} is {memo.status.spelled}. {rule}")


# --- post and unpost ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Posting:
    """A memo just posted, and what auto apply made of it."""

    posted: CreditMemo
    """The memo before anything of it was applied."""
    memo: CreditMemo
    application: Application | None = None
    """What was applied to the referred invoice at once; its memo is this posting's."""
    note: str | None = None
    """Why auto apply was left out although the memo asks for it; for its history (domain.md 1.27)."""


def check_post(memo: CreditMemo, book: RuleBook) -> None:
    """Refuse to post what is not a draft, or is dated in a closed period: INVALID_STATUS, DATE_IN_CLOSED_PERIOD."""
    if memo.status is not MemoStatus.DRAFT:
        raise _wrong_status(memo, "Only credit memos with the Draft status can be posted.")
    book.require_open(memo.credit_memo_date, f"date of credit memo {memo.name},")


def check_posting(memo: CreditMemo, invoice: Invoice | None, book: RuleBook) -> None:
    """Refuse to post what `check_post` refuses, and what the referred invoice no longer has room for: OVER_CREDIT."""
    check_post(memo, book)
    assert (invoice.id if invoice else None) == memo.referred_invoice_id, "the referred invoice comes loaded"
    if invoice is not None:
        check_over_credit(memo, invoice, book)
        check_tax_still_fits(memo, invoice, book)


def post(
    memo: CreditMemo,
    invoice: Invoice | None,
    target: Target | None,
    number: str | None,
    book: RuleBook,
    stamp: Stamp,
) -> Posting:
    """Post a draft: its amount can be used from now on, and counts against what its invoice has to credit.

    `invoice` is the referred one, as a source of credit, and `target` the same as something to apply to, needed where
    the memo applies itself; `number` is its formal number, where numbers are given at posting only. Refuses with
    OVER_CREDIT what the invoice no longer has room for (domain.md 1.21, 3, 4.3).
    """
    check_posting(memo, invoice, book)
    posted = replace(
        memo,
        status=MemoStatus.POSTED,
        number=number or memo.number,
        parts=movement.first_part(memo, stamp),
        posted_by_id=stamp.by,
        posted_on=stamp.at,
    )
    if not memo.auto_apply_upon_posting:
        return Posting(posted=posted, memo=posted)
    assert target is not None, "what a memo applies itself to comes loaded"
    assert target.id == memo.referred_invoice_id
    application, note = settlement.apply_automatically(posted, target, book, stamp)
    return Posting(posted=posted, memo=application.memo if application else posted, application=application, note=note)


def check_unpost(memo: CreditMemo, book: RuleBook) -> None:
    """Refuse to unpost what is not Posted, was used, or whose revenue a closed period has recognised (domain.md 1.26).

    INVALID_STATUS, ALREADY_APPLIED_OR_REFUNDED, REVENUE_CLOSED.
    """
    if memo.status is not MemoStatus.POSTED:
        raise _wrong_status(memo, "Only credit memos with the Posted status can be unposted.")
    if memo.is_used:
        raise _used(memo, ErrorCode.ALREADY_APPLIED_OR_REFUNDED, "unposted")
    period = book.closing_period(memo.credit_memo_date)
    recognised = any(not item.exclude_item_billing_from_revenue_accounting for item in memo.items)
    if book.settings.unpost_rule and period is not None and recognised:
        raise refuse(
            ErrorCode.REVENUE_CLOSED,
            f"Credit memo {memo.name} of {memo.credit_memo_date} lies in the closed accounting period {period.name}, "
            "where its revenue was recognised: it cannot be unposted.",
        )


def unpost(memo: CreditMemo, book: RuleBook) -> CreditMemo:
    """Return a posted memo to draft; it keeps its number, and who posted it when (domain.md 7.7)."""
    check_unpost(memo, book)
    return replace(memo, status=MemoStatus.DRAFT, parts=())


def _used(memo: CreditMemo, code: ErrorCode, verb: str) -> Refusal:
    show = memo.currency.show
    return refuse(
        code,
        f"Credit memo {memo.name} has lines that were applied or refunded ({show(memo.applied)} applied, "
        f"{show(memo.refunded)} refunded in all): only one of which nothing was used can be {verb}.",
    )


# --- cancel and delete ----------------------------------------------------------------------------------------------


def check_cancel(memo: CreditMemo) -> None:
    """Refuse to cancel what is neither Draft nor Error (domain.md 1.12, 7.26): INVALID_STATUS."""
    if memo.status not in (MemoStatus.DRAFT, MemoStatus.ERROR):
        raise _wrong_status(memo, "Only credit memos with the Draft status can be cancelled.")


def cancel(memo: CreditMemo, stamp: Stamp) -> CreditMemo:
    """Cancel a draft; its amounts stay as they were."""
    check_cancel(memo)
    return replace(memo, status=MemoStatus.CANCELED, cancelled_by_id=stamp.by, cancelled_on=stamp.at)


def check_delete(memo: CreditMemo) -> None:
    """Refuse to delete what is not Canceled (domain.md 1.8): INVALID_STATUS.

    All there is to a deletion here; that its rows go is the store's.
    """
    if memo.status is not MemoStatus.CANCELED:
        raise _wrong_status(memo, "Only credit memos with the Canceled status can be deleted.")


# --- write off and reverse ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Mirroring:
    """A memo wholly applied to the debit memo made to undo it."""

    memo: CreditMemo
    debit_memo: DebitMemo
    """New and posted, its lines already credited: it has no balance."""
    entries: tuple[LedgerEntry, ...]


def check_write_off(memo: CreditMemo) -> None:
    """Refuse to write off what is not Posted, comes of a write-off without revenue, or was used (domain.md 1.7).

    INVALID_STATUS, NON_REVENUE_WRITE_OFF, NOT_FULLY_UNAPPLIED.
    """
    if memo.status is not MemoStatus.POSTED:
        raise _wrong_status(memo, "Only credit memos with the Posted status can be written off.")
    if memo.revenue_impacting is YesNo.NO:
        raise refuse(
            ErrorCode.NON_REVENUE_WRITE_OFF,
            f"Credit memo {memo.name} comes of a write-off that does not impact revenue: it cannot be written off.",
        )
    if memo.is_used:
        raise _used(memo, ErrorCode.NOT_FULLY_UNAPPLIED, "written off")


def check_reverse(memo: CreditMemo) -> None:
    """Refuse to reverse what is not Posted, was reversed before, or was used (domain.md 1.23).

    INVALID_STATUS, ALREADY_REVERSED, ALREADY_APPLIED_OR_REFUNDED.
    """
    if memo.status is not MemoStatus.POSTED:
        raise _wrong_status(memo, "Only credit memos with the Posted status can be reversed.")
    if memo.reversed:
        raise refuse(ErrorCode.ALREADY_REVERSED, f"Credit memo {memo.name} was reversed before.")
    if memo.is_used:
        raise _used(memo, ErrorCode.ALREADY_APPLIED_OR_REFUNDED, "reversed")


def check_mirrored(memo: CreditMemo, verb: str) -> None:
    """Refuse what no debit memo can mirror: LIMIT_EXCEEDED over 2,000 lines, ZERO_AMOUNT (domain.md 0, 7.18).

    The last question of both write off and reverse; `verb` is `written off` or `reversed`.
    """
    lines = len(memo.lines)
    if lines > limits.REVERSAL_LINES:
        raise refuse(
            ErrorCode.LIMIT_EXCEEDED,
            f"Credit memo {memo.name} has {lines} items and taxation items; "
            f"at most {limits.REVERSAL_LINES} can be {verb}.",
        )
    if memo.amount == 0:
        raise refuse(ErrorCode.ZERO_AMOUNT, f"Credit memo {memo.name} amounts to 0: there is nothing to be {verb}.")


def write_off(
    memo: CreditMemo,
    command: WriteOffCreditMemo,
    payment_term_days: int,
    number: str,
    book: RuleBook,
    stamp: Stamp,
) -> Mirroring:
    """Write off a memo: a debit memo like it is posted and settled by it line by line (domain.md 1.7, 4.7).

    `payment_term_days` are the account's; `number` is the debit memo's.
    """
    _check_shape(command.comment, command.custom_fields)
    check_write_off(memo)
    day = command.memo_date or max(stamp.today, memo.credit_memo_date)
    if day < memo.credit_memo_date:
        raise _too_early(ErrorCode.WRITE_OFF_DATE_TOO_EARLY, memo, "memo_date", day, memo.credit_memo_date)
    book.require_open(day, "memo date", "memo_date")
    reason = book.reason(ReasonCodeType.DEBIT_MEMO, command.reason_code, "Write-off", "reason_code")
    check_mirrored(memo, "written off")
    debit_memo, amounts = mirror(
        memo,
        number=number,
        memo_date=day,
        payment_term_days=payment_term_days,
        reason_code=reason,
        comment=command.comment,
        custom_fields=command.custom_fields or {},
        stamp=stamp,
    )
    movements = [(debit_memo.id, amounts)]
    return Mirroring(
        memo=movement.place(memo, movements, stamp),
        debit_memo=debit_memo,
        entries=ledger.entries(LedgerKind.WRITE_OFF, memo, movements, day, stamp),
    )


def reverse(
    memo: CreditMemo,
    command: ReverseCreditMemo,
    payment_term_days: int,
    number: str,
    book: RuleBook,
    stamp: Stamp,
) -> Mirroring:
    """Reverse a memo: like a write-off, but for good, and the invoice has the room to credit back (domain.md 1.23).

    `payment_term_days` are the account's; `number` is the debit memo's.
    """
    _check_shape(command.comment, None)
    check_reverse(memo)
    day = command.memo_date or max(stamp.today, memo.credit_memo_date)
    if day < memo.credit_memo_date:
        raise _too_early(ErrorCode.REVERSE_DATE_TOO_EARLY, memo, "memo_date", day, memo.credit_memo_date)
    applied_on = command.apply_effective_date or max(stamp.today, day)
    if applied_on < day:
        raise _too_early(ErrorCode.APPLY_DATE_TOO_EARLY, memo, "apply_effective_date", applied_on, day)
    book.require_open(day, "memo date", "memo_date")
    book.require_open(applied_on, "effective date of the application", "apply_effective_date")
    reason = book.reason(ReasonCodeType.DEBIT_MEMO, command.reason_code, "Credit memo reversal", "reason_code")
    check_mirrored(memo, "reversed")
    debit_memo, amounts = mirror(
        memo,
        number=number,
        memo_date=day,
        payment_term_days=payment_term_days,
        reason_code=reason,
        comment=command.comment,
        custom_fields={},
        stamp=stamp,
    )
    movements = [(debit_memo.id, amounts)]
    return Mirroring(
        memo=replace(movement.place(memo, movements, stamp), reversed=True),
        debit_memo=debit_memo,
        entries=ledger.entries(LedgerKind.REVERSE, memo, movements, applied_on, stamp),
    )


def _check_shape(comment: str | None, custom_fields: Mapping[str, Any] | None) -> None:
    faults = Faults()
    shape.text(comment, limits.COMMENT_LENGTH, faults, "comment")
    shape.custom_fields(custom_fields, faults, "custom_fields")
    faults.raise_if_any()


def _too_early(code: ErrorCode, memo: CreditMemo, name: str, day: date, floor: date) -> Refusal:
    of = f"the date of credit memo {memo.name}" if name == "memo_date" else "the date of the debit memo"
    return refuse(code, f"{field_name(name)} {day} is too early: it must be on or after {floor}, {of}.", name)
