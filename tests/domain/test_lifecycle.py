"""Posting, unposting, cancelling and deleting: what changes and each refusal of domain.md 1.8, 1.12, 1.21, 1.26, 3."""

from datetime import date
from typing import Any

import pytest

from asking import applying, refused
from cm_graphql.domain import lifecycle, settlement
from cm_graphql.domain.enums import (
    ApplicationRule,
    AvailableToCreditRule,
    ItemSourceType,
    LedgerKind,
    MemoSource,
    MemoStatus,
    SourceType,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.lifecycle import Posting
from cm_graphql.domain.records import CreditMemo, Invoice, Target
from cm_graphql.domain.rulebook import RuleBook
from makers import (
    NOW,
    TODAY,
    a_book,
    a_memo,
    a_stamp,
    a_target,
    a_tax,
    an_invoice,
    an_invoice_item,
    an_invoice_tax,
    an_item,
    units,
)

BOOK = a_book(application_rule=ApplicationRule.FIFO)


def a_draft(*lines: str, **fields: Any) -> CreditMemo:
    return a_memo(*lines, status=MemoStatus.DRAFT, **fields)


def from_invoice(invoice: Invoice, amount: str, **fields: Any) -> CreditMemo:
    """A draft that credits the first line of an invoice."""
    line = an_item(amount, source_item_type=ItemSourceType.INVOICE_DETAIL, source_item_id=invoice.items[0].id)
    given: dict[str, Any] = {
        "referred_invoice_id": invoice.id,
        "source": MemoSource.ADHOC_FROM_INVOICE,
        "source_type": SourceType.INVOICE,
        "status": MemoStatus.DRAFT,
        **fields,
    }
    return a_memo(line, **given)


def post(
    memo: CreditMemo,
    invoice: Invoice | None = None,
    target: Target | None = None,
    number: str | None = None,
    book: RuleBook = BOOK,
) -> Posting:
    return lifecycle.post(memo, invoice, target, number, book, a_stamp())


# --- post -------------------------------------------------------------------------------------------------------------


def test_posting_puts_every_line_but_those_of_zero_into_one_unapplied_part() -> None:
    memo = a_memo(an_item("30.00", a_tax("3.00")), "0.00", "-2.00", status=MemoStatus.DRAFT)

    posted = post(memo).memo

    (part,) = posted.parts
    assert part is posted.unapplied_part
    assert [(item.source_id, item.amount, item.position) for item in part.item_parts] == [
        (memo.lines[0].id, units("30.00"), 1),
        (memo.lines[1].id, units("3.00"), 2),
        (memo.lines[3].id, units("-2.00"), 3),
    ]
    assert (posted.status, posted.posted_on, posted.posted_by_id) == (MemoStatus.POSTED, NOW, "usr_tester")
    assert posted.number == memo.number


def test_a_memo_of_zero_can_be_posted_and_has_no_parts() -> None:
    assert post(a_draft("0.00")).memo.parts == ()


def test_lines_that_net_to_zero_lie_in_an_unapplied_part_of_zero() -> None:
    (part,) = post(a_draft("5.00", "-5.00")).memo.parts

    assert (part.amount, len(part.item_parts)) == (0, 2)


def test_a_temporary_number_gives_way_to_the_formal_one() -> None:
    memo = a_draft(number=1)

    assert post(memo, number="CM00000009").memo.number == "CM00000009"


@pytest.mark.parametrize("status", [status for status in MemoStatus if status is not MemoStatus.DRAFT])
def test_only_a_draft_is_posted(status: MemoStatus) -> None:
    with refused(ErrorCode.INVALID_STATUS, saying="Only credit memos with the Draft status can be posted."):
        post(a_memo(status=status))


def test_a_draft_of_a_closed_period_is_not_posted() -> None:
    book = a_book(closed=[(date(2026, 3, 1), date(2026, 3, 2))])

    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, saying="P1"):
        post(a_draft(), book=book)
    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD):
        lifecycle.check_post(a_draft(), book)


def test_a_draft_that_its_invoice_has_no_room_for_by_now_is_not_posted() -> None:
    invoice = an_invoice("100.00", credited_by_memos=units("80.00"))

    assert post(from_invoice(invoice, "20.00"), invoice).memo.status is MemoStatus.POSTED
    with refused(ErrorCode.OVER_CREDIT):
        post(from_invoice(invoice, "20.01"), invoice)
    without = a_book(available_to_credit_rule=AvailableToCreditRule.NONE)
    assert post(from_invoice(invoice, "20.01"), invoice, book=without).memo.status is MemoStatus.POSTED


def test_stored_automatic_tax_beyond_what_is_left_is_not_posted() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("10.00", credited_by_memos=units("9.50"))))
    line = an_item(
        "10.00",
        a_tax("1.00", source_tax_item_id=invoice.items[0].taxes[0].id),
        source_item_type=ItemSourceType.INVOICE_DETAIL,
        source_item_id=invoice.items[0].id,
        tax_auto_calculation=True,
    )
    memo = a_memo(line, status=MemoStatus.DRAFT, referred_invoice_id=invoice.id)

    with refused(ErrorCode.OVER_CREDIT):
        post(memo, invoice)


# --- auto apply at posting --------------------------------------------------------------------------------------------


def auto(invoice: Invoice, amount: str, **fields: Any) -> CreditMemo:
    return from_invoice(invoice, amount, auto_apply_upon_posting=True, **fields)


def test_a_memo_that_asks_for_it_is_applied_to_its_invoice_at_posting() -> None:
    posting = post(auto(an_invoice("100.00"), "30.00"), an_invoice("100.00"), a_target("100.00"))

    assert posting.application is not None
    assert posting.memo is posting.application.memo
    assert (posting.memo.applied, posting.note) == (units("30.00"), None)
    assert posting.application.targets[0].balance == units("70.00")
    assert posting.application.rule is ApplicationRule.FIFO
    assert [(entry.kind, entry.effective_date) for entry in posting.application.entries] == [(LedgerKind.APPLY, TODAY)]


def test_auto_apply_stops_at_the_balance_of_the_invoice() -> None:
    posting = post(auto(an_invoice("100.00"), "30.00"), an_invoice("100.00"), a_target("20.00"))

    assert (posting.memo.applied, posting.memo.unapplied) == (units("20.00"), units("10.00"))


def test_auto_apply_takes_effect_on_the_memos_day_when_that_is_to_come() -> None:
    memo = auto(an_invoice("100.00"), "30.00", credit_memo_date=date(2026, 6, 1))

    posting = post(memo, an_invoice("100.00"), a_target("100.00"))

    assert posting.application is not None
    assert posting.application.entries[0].effective_date == date(2026, 6, 1)


@pytest.mark.parametrize(
    ("target", "book", "why"),
    [
        (a_target(status=MemoStatus.CANCELED), BOOK, "invoice INV00000001: it is Canceled."),
        (a_target("0.00"), BOOK, "nothing is owed on it"),
        (a_target(account_id="acc_2"), BOOK, "another account"),
        (a_target(), a_book(closed=[(TODAY, TODAY)]), "2026-03-15 lies in the closed accounting period P1"),
        (a_target(*["0.01"] * 15_000), BOOK, "15001 lines would take part"),
    ],
)
def test_auto_apply_is_left_out_with_a_note_where_it_cannot_be(target: Target, book: RuleBook, why: str) -> None:
    posting = post(auto(an_invoice("100.00"), "30.00"), an_invoice("100.00"), target, book=book)

    assert (posting.memo.status, posting.memo.applied, posting.application) == (MemoStatus.POSTED, 0, None)
    assert posting.note is not None
    assert why in posting.note


def test_auto_apply_of_nothing_is_left_out_with_a_note() -> None:
    posting = post(auto(an_invoice("100.00"), "0.00"), an_invoice("100.00"), a_target())

    assert posting.note == (
        "Not applied automatically to invoice INV00000001: nothing of the credit memo is unapplied."
    )


# --- unpost -----------------------------------------------------------------------------------------------------------


def test_unposting_removes_the_parts_and_keeps_number_and_posting() -> None:
    memo = a_memo(an_item("4.00", a_tax("0.40")))

    draft = lifecycle.unpost(memo, BOOK)

    assert (draft.status, draft.parts, draft.items) == (MemoStatus.DRAFT, (), memo.items)
    assert (draft.number, draft.posted_on, draft.posted_by_id) == (memo.number, memo.posted_on, memo.posted_by_id)


@pytest.mark.parametrize("status", [status for status in MemoStatus if status is not MemoStatus.POSTED])
def test_only_a_posted_memo_is_unposted(status: MemoStatus) -> None:
    with refused(ErrorCode.INVALID_STATUS, saying="Only credit memos with the Posted status can be unposted."):
        lifecycle.unpost(a_memo(status=status), BOOK)


def test_a_used_memo_cannot_be_unposted_even_where_its_lines_net_to_zero() -> None:
    memo, invoice = a_memo("5.00", "-5.00"), a_target("5.00", "-5.00")
    pairs = [(memo.lines[0].id, invoice.lines[0].id, "5.00"), (memo.lines[1].id, invoice.lines[1].id, "-5.00")]
    used = settlement.apply(memo, [invoice], applying(memo, (invoice, "0", pairs)), BOOK, a_stamp()).memo

    assert (used.applied, used.is_used) == (0, True)
    with refused(ErrorCode.ALREADY_APPLIED_OR_REFUNDED, saying="only one of which nothing was used can be unposted"):
        lifecycle.unpost(used, BOOK)


def test_the_unpost_rule_keeps_what_a_closed_period_has_recognised() -> None:
    closed = [(date(2026, 3, 1), date(2026, 3, 31))]
    memo = a_memo()
    excluded = a_memo(an_item("5.00", exclude_item_billing_from_revenue_accounting=True))

    with refused(ErrorCode.REVENUE_CLOSED, saying="period P1"):
        lifecycle.unpost(memo, a_book(closed=closed, unpost_rule=True))
    assert lifecycle.unpost(memo, a_book(closed=closed)).status is MemoStatus.DRAFT
    assert lifecycle.unpost(memo, a_book(unpost_rule=True)).status is MemoStatus.DRAFT
    assert lifecycle.unpost(excluded, a_book(closed=closed, unpost_rule=True)).status is MemoStatus.DRAFT


# --- cancel and delete ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [MemoStatus.DRAFT, MemoStatus.ERROR])
def test_a_draft_and_a_failed_memo_can_be_canceled_and_keep_their_amounts(status: MemoStatus) -> None:
    memo = a_memo("5.00", status=status)

    canceled = lifecycle.cancel(memo, a_stamp())

    assert (canceled.status, canceled.amount, canceled.unapplied) == (MemoStatus.CANCELED, units("5.00"), units("5.00"))
    assert (canceled.cancelled_on, canceled.cancelled_by_id) == (NOW, "usr_tester")


@pytest.mark.parametrize(
    "status", [status for status in MemoStatus if status not in (MemoStatus.DRAFT, MemoStatus.ERROR)]
)
def test_nothing_else_can_be_canceled(status: MemoStatus) -> None:
    with refused(ErrorCode.INVALID_STATUS, saying="Only credit memos with the Draft status can be cancelled."):
        lifecycle.cancel(a_memo(status=status), a_stamp())


@pytest.mark.parametrize("status", list(MemoStatus))
def test_only_a_canceled_memo_can_be_deleted(status: MemoStatus) -> None:
    memo = a_memo(status=status)

    if status is MemoStatus.CANCELED:
        lifecycle.check_delete(memo)
    else:
        with refused(ErrorCode.INVALID_STATUS, saying=f"is {status.spelled}. Only credit memos with the Canceled"):
            lifecycle.check_delete(memo)
