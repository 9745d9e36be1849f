"""Available to credit: what each rule of domain.md 4.3 lets through, at creation and again at posting."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from asking import refused
from cm_graphql.domain import lifecycle
from cm_graphql.domain.crediting import check_over_credit, check_tax_still_fits
from cm_graphql.domain.enums import AvailableToCreditRule, TaxMode
from cm_graphql.domain.errors import ErrorCode, Refusal
from drafting import TAXED, after_posting, by_hand, credit, draft, engine_tax
from makers import a_book, a_stamp, an_invoice, an_invoice_item, an_invoice_tax, units

NONE = a_book(available_to_credit_rule=AvailableToCreditRule.NONE)
HEADER = a_book(available_to_credit_rule=AvailableToCreditRule.HEADER_ONLY)
STRICT = a_book(available_to_credit_rule=AvailableToCreditRule.HEADER_AND_ITEM)
SEATS = TAXED.items[0]
MANUAL: dict[str, Any] = {"tax_auto_calculation": False}


def codes(refusal: pytest.ExceptionInfo[Refusal]) -> list[ErrorCode]:
    return [fault.code for fault in refusal.value.faults]


def test_header_only_is_the_default_and_compares_totals() -> None:
    with refused(ErrorCode.OVER_CREDIT, saying="credits 110.11 of invoice INV00000001, of which 110.00 USD"):
        draft(TAXED, "100.11")
    assert draft(TAXED, "100.00").amount == units("110.00")


def test_posted_memos_take_room_and_give_none_back_until_reversed() -> None:
    left = after_posting(TAXED, draft(TAXED, "30.00"))

    assert left.available_to_credit == units("77.00")
    with refused(ErrorCode.OVER_CREDIT):
        draft(left, "70.01", **MANUAL, book=STRICT)
    with refused(ErrorCode.OVER_CREDIT):
        draft(left, "77.01")
    assert draft(left, "70.00", book=STRICT).amount == units("77.00")


def test_under_none_anything_goes() -> None:
    memo = draft(TAXED, "999.00", book=NONE)

    assert memo.amount == units("1009.00")
    check_tax_still_fits(memo, after_posting(TAXED, memo), NONE)


def test_header_only_lets_one_item_take_what_another_leaves() -> None:
    invoice = an_invoice("10.00", "90.00")

    assert draft(invoice, "100.00", book=HEADER).amount == units("100.00")
    with refused(ErrorCode.OVER_CREDIT, saying="item Seats"):
        draft(invoice, "100.00", book=STRICT)


def test_header_and_item_adds_the_lines_of_one_item() -> None:
    invoice = an_invoice("10.00", "90.00")

    with refused(ErrorCode.OVER_CREDIT, saying="10.01"):
        draft(invoice, "5.00", "5.01", book=STRICT)


def test_header_and_item_holds_discounts_to_their_own_amount() -> None:
    invoice = an_invoice("100.00", an_invoice_item("-10.00", credited_by_memos=units("-4.00")))
    charge, discount = invoice.items

    with refused(ErrorCode.OVER_CREDIT, saying="-6.01"):
        draft(invoice, credit(charge, "50.00"), credit(discount, "-6.01"), book=STRICT)
    assert draft(invoice, credit(charge, "50.00"), credit(discount, "-6.00"), book=STRICT).amount == units("44.00")


def test_header_and_item_compares_only_the_total_of_automatic_tax() -> None:
    invoice = an_invoice(
        an_invoice_item("100.00", engine_tax("5.85", "0.0586"), engine_tax("5.00", "0.05")), credited_by_memos=0
    )
    memo = draft(invoice, credit(invoice.items[0], "50.00"), book=STRICT)
    first, second = memo.items[0].taxation_items
    moved = replace(
        memo.items[0],
        taxation_items=(replace(first, tax_amount=units("5.86")), replace(second, tax_amount=units("0.01"))),
    )

    check_over_credit(replace(memo, items=(moved,)), invoice, STRICT)


def test_header_and_item_compares_each_tax_given_by_hand_and_their_total() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("5.85"), an_invoice_tax("5.00")), "50.00")
    line = invoice.items[0]

    def credited(first: str, second: str) -> None:
        named = [
            by_hand(amount, source_tax_item_id=tax.id) for amount, tax in zip((first, second), line.taxes, strict=True)
        ]
        draft(invoice, credit(line, "10.00", tax_items=tuple(named)), **MANUAL, book=STRICT)

    credited("5.85", "5.00")
    with refused(ErrorCode.OVER_CREDIT, saying="5.86 of tax VAT"):
        credited("5.86", "0.00")
    with pytest.raises(Refusal) as caught:
        credited("5.86", "5.00")
    assert codes(caught) == [ErrorCode.OVER_CREDIT] * 2


def test_a_tax_without_source_counts_in_the_total() -> None:
    line = credit(SEATS, "10.00", tax_items=(by_hand("10.01", name="Other", tax_rate=Decimal("0.5")),))

    with refused(ErrorCode.OVER_CREDIT, saying="the tax of invoice"):
        draft(TAXED, line, **MANUAL, book=STRICT)
    draft(TAXED, line, **MANUAL, book=HEADER)


def test_the_tax_credited_before_counts_in_the_total_even_without_source() -> None:
    taken = replace(TAXED, credited_by_memos=units("9.00"), tax_credited_by_memos=units("9.00"))

    with refused(ErrorCode.OVER_CREDIT, saying="of which 1.00 USD"):
        draft(taken, "50.00", book=STRICT)


def test_of_an_over_credited_invoice_nothing_is_left() -> None:
    with refused(ErrorCode.OVER_CREDIT, saying="of which 0.00 USD can still be credited"):
        draft(replace(TAXED, credited_by_memos=units("200.00")), "0.01")


def test_a_new_memo_that_has_no_number_yet_is_told_by_its_lines() -> None:
    invoice = an_invoice("10.00", "90.00")
    small, large = invoice.items
    lines = (credit(small, "6.00"), credit(large, "90.00"), credit(small, "4.01"))
    memo = replace(draft(invoice, *lines, book=NONE), number=None)

    with pytest.raises(Refusal) as caught:
        check_over_credit(memo, invoice, STRICT)

    assert [fault.message for fault in caught.value.faults] == [
        "The new credit memo credits 100.01 of invoice INV00000001, of which 100.00 USD can still be credited.",
        "The new credit memo (lines 1, 3) credits 10.01 of item Seats of invoice INV00000001, "
        "of which 10.00 USD can still be credited.",
    ]


@pytest.mark.parametrize("book", [HEADER, STRICT])
def test_a_memo_of_zero_fits_even_an_over_credited_invoice(book: Any) -> None:
    over = replace(TAXED, credited_by_memos=units("200.00"), items=(replace(SEATS, credited_by_memos=units("200.00")),))

    assert draft(over, "0.00", book=book).amount == 0


def test_two_drafts_may_stand_beside_each_other_but_not_both_be_posted() -> None:
    first, second = draft(TAXED, "60.00"), draft(TAXED, "60.00")
    left = after_posting(TAXED, first)

    with refused(ErrorCode.OVER_CREDIT):
        lifecycle.post(second, left, None, None, HEADER, a_stamp())


def test_automatic_tax_must_still_fit_at_posting() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("10.00")), "50.00")
    whole = draft(invoice, "100.00")
    tax_alone = draft(invoice, credit(invoice.items[0], "0", tax_items=(by_hand("0.01"),)))
    left = after_posting(invoice, tax_alone)

    check_over_credit(whole, left, HEADER)
    with refused(ErrorCode.OVER_CREDIT, saying="10.00 of tax VAT"):
        check_tax_still_fits(whole, left, HEADER)
    with refused(ErrorCode.OVER_CREDIT):
        lifecycle.post(whole, left, None, None, HEADER, a_stamp())
    check_tax_still_fits(whole, left, NONE)
    check_tax_still_fits(draft(left, "100.00"), left, HEADER)


def test_inclusive_lines_are_left_to_the_header_check_at_posting() -> None:
    invoice = an_invoice(an_invoice_item("20.33", engine_tax("4.67", "0.23")), "50.00")
    inclusive = draft(invoice, credit(invoice.items[0], "25.00", tax_mode=TaxMode.TAX_INCLUSIVE))
    left = after_posting(invoice, draft(invoice, credit(invoice.items[0], "0", tax_items=(by_hand("4.00"),))))

    check_tax_still_fits(inclusive, left, HEADER)
