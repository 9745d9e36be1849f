"""Writing off and reversing: the debit memo made line by line, dates, reasons, and each refusal of 1.7 and 1.23."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from asking import applying, refused, refused_for, unapplying
from cm_graphql.domain import lifecycle, settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import ReverseCreditMemo, WriteOffCreditMemo
from cm_graphql.domain.enums import (
    ItemSourceType,
    LedgerKind,
    MemoStatus,
    ProcessingType,
    SourceType,
    TaxMode,
    YesNo,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.lifecycle import Mirroring
from cm_graphql.domain.records import CreditMemo, FinanceInformation
from cm_graphql.domain.rulebook import RuleBook
from makers import NOW, TODAY, USD, a_book, a_memo, a_stamp, a_target, a_tax, an_item, units

BOOK = a_book()


def the_memo(**fields: Any) -> CreditMemo:
    """The memo of domain.md 4.7: 30.00 with a tax of 3.00, and 20.00."""
    return a_memo(an_item("30.00", a_tax("3.00")), "20.00", **fields)


def write_off(memo: CreditMemo, book: RuleBook = BOOK, days: int = 30, **fields: Any) -> Mirroring:
    command = WriteOffCreditMemo(key=Key(memo.id), **fields)
    return lifecycle.write_off(memo, command, days, "DM00000001", book, a_stamp())


def reverse(memo: CreditMemo, book: RuleBook = BOOK, days: int = 30, **fields: Any) -> Mirroring:
    command = ReverseCreditMemo(key=Key(memo.id), **fields)
    return lifecycle.reverse(memo, command, days, "DM00000001", book, a_stamp())


BOTH = pytest.mark.parametrize("act", [write_off, reverse])


# --- what they do -----------------------------------------------------------------------------------------------------


@BOTH
def test_the_debit_memo_of_the_worked_example_owes_nothing(act: Any) -> None:
    memo = the_memo()

    after = act(memo)

    debit_memo = after.debit_memo
    assert [
        USD.show(x) for x in (debit_memo.amount, debit_memo.tax_amount, debit_memo.credited, debit_memo.balance)
    ] == [*("53.00", "3.00", "53.00", "0.00")]
    assert [USD.show(line.worth) for line in debit_memo.target.lines] == ["30.00", "3.00", "20.00"]
    assert all(line.balance == 0 for line in debit_memo.target.lines)
    assert (after.memo.applied, after.memo.unapplied) == (units("53.00"), 0)
    (part,) = after.memo.parts
    assert part.target_id == debit_memo.id
    assert [(item.source_id, item.target_id) for item in part.item_parts] == [
        (source.id, mirrored.id) for source, mirrored in zip(memo.lines, debit_memo.target.lines, strict=True)
    ]


def test_the_debit_memo_says_where_it_comes_from() -> None:
    memo = the_memo()

    debit_memo = write_off(memo, comment="Lost", custom_fields={"why__c": 1}, days=14).debit_memo

    assert (debit_memo.number, debit_memo.account_id, debit_memo.currency) == ("DM00000001", memo.account_id, USD)
    assert (debit_memo.status, debit_memo.posted_on, debit_memo.posted_by_id) == (MemoStatus.POSTED, NOW, "usr_tester")
    assert (debit_memo.referred_credit_memo_id, debit_memo.source_type) == (memo.id, SourceType.CREDIT_MEMO)
    assert (debit_memo.debit_memo_date, debit_memo.due_date) == (TODAY, date(2026, 3, 29))
    assert (debit_memo.comment, debit_memo.custom_fields, debit_memo.auto_pay) == ("Lost", {"why__c": 1}, True)


def test_lines_are_copied_with_all_that_describes_them() -> None:
    described = an_item(
        "10.00",
        a_tax("2.00", exempt_amount=units("0.50"), tax_code="V1", location_code="L", tax_date=TODAY),
        amount=units("12.00"),
        tax_mode=TaxMode.TAX_INCLUSIVE,
        sku="SKU-1",
        sku_name="Gold",
        description="A line",
        quantity=Decimal(3),
        unit_price=Decimal("4"),
        unit_of_measure="seat",
        service_start_date=date(2026, 1, 1),
        service_end_date=date(2026, 1, 31),
        subscription_id="sub",
        finance=FinanceInformation(on_account_accounting_code="On account"),
    )
    memo = a_memo(described)

    debit_memo = reverse(memo).debit_memo
    (line,) = debit_memo.items

    source = memo.items[0]
    for name in (
        *("amount", "net", "sku", "sku_name", "description", "quantity", "unit_price", "unit_of_measure", "tax_mode"),
        *("service_start_date", "service_end_date", "subscription_id", "finance", "processing_type", "position"),
    ):
        assert getattr(line, name) == getattr(source, name), name
    assert (line.source_item_type, line.source_item_id) == (ItemSourceType.CREDIT_MEMO_ITEM, source.id)
    assert debit_memo.exempt_amount == memo.exempt_amount == units("0.50")
    (tax,) = line.taxation_items
    for name in (
        *("name", "tax_amount", "exempt_amount", "tax_code", "location_code", "tax_date", "tax_rate", "jurisdiction"),
        *("tax_rate_type", "position"),
    ):
        assert getattr(tax, name) == getattr(source.taxation_items[0], name), name
    assert (tax.item_id, tax.source_tax_item_id) == (line.id, source.taxation_items[0].id)


@BOTH
def test_discounts_and_zero_lines_are_mirrored_and_only_zero_settles_nothing(act: Any) -> None:
    line = an_item("30.00", id=f"cmi_{7:032x}")
    memo = a_memo(line, an_item("-4.00", a_tax("-0.40"), applied_to_item_id=line.id), "0.00")

    after = act(memo)

    first, discount, nothing = after.debit_memo.items
    assert (discount.net, discount.credited, discount.processing_type) == (
        units("-4.00"),
        units("-4.00"),
        ProcessingType.DISCOUNT,
    )
    assert discount.applied_to_item_id == first.id
    assert (nothing.net, nothing.applied_to_item_id) == (0, None)
    (part,) = after.memo.parts
    assert [USD.show(item.amount) for item in part.item_parts] == ["30.00", "-4.00", "-0.40"]
    assert [USD.show(line.amount) for line in after.entries[0].lines] == ["30.00", "-4.00", "-0.40"]


def test_a_write_off_is_one_movement_of_its_kind_and_no_reversal() -> None:
    after = write_off(the_memo(), memo_date=date(2026, 3, 3))

    (entry,) = after.entries
    assert (entry.kind, entry.target_id) == (LedgerKind.WRITE_OFF, after.debit_memo.id)
    assert entry.effective_date == after.debit_memo.debit_memo_date == date(2026, 3, 3)
    assert (after.memo.reversed, after.debit_memo.reason_code) == (False, "Write-off")


def test_a_reversal_marks_the_memo_and_has_a_day_of_its_own_for_the_application() -> None:
    after = reverse(the_memo(), memo_date=date(2026, 3, 3), apply_effective_date=date(2026, 3, 8))

    (entry,) = after.entries
    assert (entry.kind, entry.effective_date) == (LedgerKind.REVERSE, date(2026, 3, 8))
    assert after.debit_memo.debit_memo_date == date(2026, 3, 3)
    assert (after.memo.reversed, after.debit_memo.reason_code) == (True, "Credit memo reversal")


def test_a_write_off_can_be_unapplied_and_then_its_debit_memo_is_open() -> None:
    memo = the_memo()
    after = write_off(memo)

    undone = settlement.unapply(after.memo, [after.debit_memo.target], unapplying(memo), TODAY, BOOK, a_stamp())

    assert undone.memo.unapplied == units("53.00")
    assert undone.targets[0].balance == units("53.00")


# --- dates and reasons ------------------------------------------------------------------------------------------------


@BOTH
def test_dates_left_out_are_today_or_the_memos_date_where_that_is_later(act: Any) -> None:
    later = date(2026, 5, 1)

    for memo, expected in ((the_memo(), TODAY), (the_memo(credit_memo_date=later), later)):
        after = act(memo)
        assert (after.debit_memo.debit_memo_date, after.entries[0].effective_date) == (expected, expected)


def test_the_application_of_a_reversal_is_by_default_not_before_its_debit_memo() -> None:
    later = date(2026, 5, 1)

    assert reverse(the_memo(), memo_date=later).entries[0].effective_date == later


def test_neither_is_earlier_than_what_it_undoes() -> None:
    early = date(2026, 2, 28)

    with refused(ErrorCode.WRITE_OFF_DATE_TOO_EARLY, "memo_date", saying="on or after 2026-03-01"):
        write_off(the_memo(), memo_date=early)
    with refused(ErrorCode.REVERSE_DATE_TOO_EARLY, "memo_date", saying="on or after 2026-03-01"):
        reverse(the_memo(), memo_date=early)
    with refused(ErrorCode.APPLY_DATE_TOO_EARLY, "apply_effective_date", saying="the date of the debit memo"):
        reverse(the_memo(), memo_date=date(2026, 3, 5), apply_effective_date=date(2026, 3, 4))


def test_none_of_their_dates_falls_into_a_closed_period() -> None:
    book = a_book(closed=[(date(2026, 3, 5), date(2026, 3, 6))])

    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "memo_date"):
        write_off(the_memo(), book, memo_date=date(2026, 3, 5))
    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "memo_date"):
        reverse(the_memo(), book, memo_date=date(2026, 3, 5))
    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "apply_effective_date"):
        reverse(the_memo(), book, memo_date=date(2026, 3, 4), apply_effective_date=date(2026, 3, 6))


@BOTH
def test_a_reason_is_an_active_one_for_debit_memos(act: Any) -> None:
    assert act(the_memo(), reason_code="CORRECTING INVOICE ERROR").debit_memo.reason_code == "Correcting invoice error"
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code", saying="Reason Code by name: Charge Dispute"):
        act(the_memo(), reason_code="Charge Dispute")


def test_the_default_reasons_must_exist() -> None:
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code", saying="Reason Code by name: Credit memo reversal"):
        reverse(the_memo(), RuleBook())
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code", saying="Reason Code by name: Write-off"):
        write_off(the_memo(), RuleBook())


# --- refusals ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("status", [MemoStatus.DRAFT, MemoStatus.CANCELED, MemoStatus.ERROR])
def test_only_a_posted_memo_is_written_off_or_reversed(act: Any, status: MemoStatus) -> None:
    with refused(ErrorCode.INVALID_STATUS, saying="Only credit memos with the Posted status can be"):
        act(the_memo(status=status))


@pytest.mark.parametrize(
    "line",
    [an_item("5.00", refunded=units("1.00")), an_item("5.00", a_tax("1.00", refunded=units("0.01")))],
)
def test_a_used_memo_is_neither_written_off_nor_reversed(line: Any) -> None:
    memo = a_memo(line)

    with refused(ErrorCode.NOT_FULLY_UNAPPLIED, saying="can be written off"):
        write_off(memo)
    with refused(ErrorCode.ALREADY_APPLIED_OR_REFUNDED, saying="can be reversed"):
        reverse(memo)


def test_a_memo_used_at_net_zero_counts_as_used() -> None:
    memo, invoice = a_memo("5.00", "-4.00"), a_target("4.00", "-4.00")
    pairs = [(memo.lines[0].id, invoice.lines[0].id, "4.00"), (memo.lines[1].id, invoice.lines[1].id, "-4.00")]
    used = settlement.apply(memo, [invoice], applying(memo, (invoice, "0", pairs)), BOOK, a_stamp()).memo

    assert used.applied == 0
    with refused(ErrorCode.NOT_FULLY_UNAPPLIED):
        write_off(used)


def test_a_reversed_memo_is_not_reversed_again() -> None:
    with refused(ErrorCode.ALREADY_REVERSED):
        reverse(reverse(the_memo()).memo)


def test_what_comes_of_a_write_off_without_revenue_is_not_written_off() -> None:
    memo = the_memo(revenue_impacting=YesNo.NO)

    with refused(ErrorCode.NON_REVENUE_WRITE_OFF):
        write_off(memo)
    assert reverse(memo).memo.reversed


@BOTH
def test_a_memo_of_zero_has_nothing_to_undo(act: Any) -> None:
    for memo in (a_memo("0.00"), a_memo("5.00", "-5.00")):
        with refused(ErrorCode.ZERO_AMOUNT, saying="amounts to 0"):
            act(memo)


@BOTH
def test_at_most_two_thousand_lines_are_mirrored_taxes_and_zeros_included(act: Any) -> None:
    lines = [an_item("0.01", a_tax("0.01"))] * 999

    assert act(a_memo(*lines, "0.01", "0.00")).debit_memo.balance == 0
    with refused(ErrorCode.LIMIT_EXCEEDED, saying="has 2001 items and taxation items; at most 2000"):
        act(a_memo(*lines, "0.01", "0.00", "0.00"))


def test_faults_of_shape_are_told_together_and_first() -> None:
    draft = the_memo(status=MemoStatus.DRAFT)

    with refused_for((ErrorCode.TOO_LONG, "comment"), (ErrorCode.INVALID_VALUE, "custom_fields")):
        write_off(draft, comment="x" * 256, custom_fields={"why": 1})
    with refused(ErrorCode.TOO_LONG, "comment"):
        reverse(draft, comment="x" * 256)
