"""Taxes added to a draft by hand: what they do to the memo, and each refusal of domain.md 1.24 and 7.40."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from asking import refused, refused_for
from cm_graphql.domain import taxation
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.taxation import CreateCreditMemoTaxationItems, NewTaxationItem
from cm_graphql.domain.enums import AvailableToCreditRule, MemoStatus, TaxEngineKind, TaxMode, TaxRateType
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import CreditMemo, Invoice, TaxationItem
from cm_graphql.domain.rulebook import RuleBook
from drafting import TAXED, a_charge, asking_charges, credit, draft, draft_of, engine_tax, of_charge, the_stamp
from makers import a_book, a_memo, an_invoice, an_invoice_item, an_invoice_tax, an_item, units

SUPPORT = a_charge()
ALONE = draft_of(asking_charges(of_charge(SUPPORT, "20.00"), of_charge(SUPPORT, "5.00")), SUPPORT)
PLAIN = an_invoice("100.00", "50.00")
STRICT = a_book(available_to_credit_rule=AvailableToCreditRule.HEADER_AND_ITEM)


def a_new(memo: CreditMemo, amount: str = "1.00", item: int = 0, **fields: Any) -> NewTaxationItem:
    given: dict[str, Any] = {
        "memo_item_id": Key(memo.items[item].id),
        "name": "State",
        "jurisdiction": "CA",
        "tax_amount": Decimal(amount),
        "tax_rate": Decimal("0.1"),
        "tax_rate_type": TaxRateType.PERCENTAGE,
    }
    return NewTaxationItem(**{**given, **fields})


def add(
    memo: CreditMemo, *taxes: NewTaxationItem, invoice: Invoice | None = None, book: RuleBook | None = None
) -> tuple[CreditMemo, tuple[TaxationItem, ...]]:
    command = CreateCreditMemoTaxationItems(key=Key(memo.id), taxation_items=taxes)
    return taxation.create_taxation_items(memo, command, invoice, book or a_book(), the_stamp())


def test_added_taxes_make_the_memo_larger() -> None:
    asked = a_new(
        ALONE,
        "2.00",
        exempt_amount=Decimal("0.50"),
        location_code="06",
        tax_code="T",
        tax_code_description="tc",
        tax_rate_description="tr",
        tax_date=date(2026, 3, 1),
        custom_fields={"A__c": 1},
    )

    memo, (tax,) = add(ALONE, asked)

    assert (memo.amount, memo.tax_amount, memo.exempt_amount) == (units("27.00"), units("2.00"), units("0.50"))
    assert memo.unapplied == memo.amount
    assert memo.items[0].taxation_items == (tax,)
    assert (tax.item_id, tax.name, tax.jurisdiction, tax.tax_rate) == (ALONE.items[0].id, "State", "CA", Decimal("0.1"))
    assert (tax.location_code, tax.tax_code, tax.tax_code_description) == ("06", "T", "tc")
    assert (tax.tax_rate_description, tax.tax_date, tax.custom_fields) == ("tr", date(2026, 3, 1), {"A__c": 1})


def test_taxes_are_answered_in_the_order_asked_and_placed_behind_those_there_are() -> None:
    first, _ = add(ALONE, a_new(ALONE, "1.00"))

    memo, created = add(
        first, a_new(first, "2.00", item=1), a_new(first, "3.00", memo_item_id=Key(first.items[0].id[4:]))
    )

    assert [tax.tax_amount for tax in created] == [units("2.00"), units("3.00")]
    assert [tax.position for tax in created] == [2, 3]
    assert [line.worth for line in memo.lines] == [units(a) for a in ("20.00", "1.00", "3.00", "5.00", "2.00")]


def test_a_tax_credits_the_tax_of_the_invoice_with_the_same_place_and_rate() -> None:
    invoice = an_invoice(
        an_invoice_item(
            "100.00",
            an_invoice_tax("10.00", location_code="06"),
            an_invoice_tax("10.00", location_code="06"),
            an_invoice_tax("10.00"),
        )
    )
    memo = draft(invoice, "50.00", tax_auto_calculation=False)
    first, second, third = (tax.id for tax in invoice.items[0].taxes)

    _, created = add(
        memo,
        a_new(memo, "10.00", location_code="06"),
        a_new(memo, "1.00", location_code="06"),
        a_new(memo, "1.00"),
        a_new(memo, "1.00", tax_rate=Decimal("0.2")),
        a_new(memo, "1.00", tax_rate=Decimal("0.2"), source_tax_item_id=Key(third)),
        invoice=invoice,
    )

    assert [tax.source_tax_item_id for tax in created] == [first, second, third, None, third]


def test_a_line_with_tax_by_hand_is_no_longer_automatic() -> None:
    memo = draft(TAXED, "50.00")

    changed, _ = add(memo, a_new(memo, "1.00"), invoice=TAXED)

    assert memo.items[0].tax_auto_calculation
    assert not changed.items[0].tax_auto_calculation
    assert changed.tax_amount == units("6.00")


@pytest.mark.parametrize("status", [status for status in MemoStatus if status is not MemoStatus.DRAFT])
def test_only_drafts_take_taxes(status: MemoStatus) -> None:
    memo = a_memo("10.00", status=status)

    with refused(ErrorCode.INVALID_STATUS, saying=f"is {status.spelled}"):
        add(memo, a_new(memo))
    with refused(ErrorCode.INVALID_STATUS):
        taxation.check_create_taxation_items(memo)


def test_inclusive_lines_take_no_taxes() -> None:
    invoice = an_invoice(an_invoice_item("100.00", engine_tax("10.00", "0.1")))
    memo = draft(invoice, credit(invoice.items[0], "11.00", tax_mode=TaxMode.TAX_INCLUSIVE))

    with refused(ErrorCode.TAX_ITEM_NOT_ALLOWED, "taxation_items", 0, "memo_item_id", saying="tax-inclusive"):
        add(memo, a_new(memo), invoice=invoice)


@pytest.mark.parametrize("engine", [TaxEngineKind.ZUORA_TAX, TaxEngineKind.EXTERNAL])
def test_lines_whose_invoice_item_was_taxed_by_an_engine_take_no_taxes(engine: TaxEngineKind) -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("10.00", engine=engine)), "50.00")
    memo = draft(invoice, "50.00", credit(invoice.items[1], "10.00"), tax_auto_calculation=False)

    with refused(ErrorCode.TAX_ITEM_NOT_ALLOWED, "taxation_items", 0, "memo_item_id", saying="engine"):
        add(memo, a_new(memo), invoice=invoice)
    changed, _ = add(memo, a_new(memo, item=1), invoice=invoice)
    assert changed.tax_amount == units("1.00")


def test_lines_and_sources_that_are_elsewhere_are_not_found() -> None:
    memo = draft(TAXED, "50.00", tax_auto_calculation=False)

    with refused(ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND, "taxation_items", 0, "memo_item_id"):
        add(memo, a_new(memo, memo_item_id=Key(f"cmi_{5:032x}")), invoice=TAXED)
    with refused(ErrorCode.TAXATION_ITEM_NOT_FOUND, "taxation_items", 0, "source_tax_item_id"):
        add(memo, a_new(memo, source_tax_item_id=Key(f"int_{5:032x}")), invoice=TAXED)


def test_a_memo_that_stands_alone_has_no_source_of_tax() -> None:
    with refused(ErrorCode.INVALID_VALUE, "taxation_items", 0, "source_tax_item_id"):
        add(ALONE, a_new(ALONE, source_tax_item_id=Key(f"int_{5:032x}")))


def test_all_shape_faults_are_told_together() -> None:
    with refused_for(
        (ErrorCode.FIELD_REQUIRED, "taxation_items", 0, "memo_item_id"),
        (ErrorCode.INVALID_VALUE, "taxation_items", 1, "tax_amount"),
        (ErrorCode.FIELD_REQUIRED, "taxation_items", 1, "name"),
        (ErrorCode.AMOUNT_PRECISION, "taxation_items", 2, "tax_amount"),
        (ErrorCode.INVALID_VALUE, "taxation_items", 2, "tax_rate"),
        (ErrorCode.TOO_LONG, "taxation_items", 2, "jurisdiction"),
        (ErrorCode.INVALID_VALUE, "taxation_items", 2, "custom_fields"),
    ):
        add(
            ALONE,
            a_new(ALONE, memo_item_id=None),
            a_new(ALONE, "-1.00", name=" "),
            a_new(ALONE, "1.001", tax_rate=Decimal("-0.1"), jurisdiction="x" * 256, custom_fields={"a": 1}),
        )
    with refused(ErrorCode.FIELD_REQUIRED, "taxation_items"):
        add(ALONE)


def test_taxes_have_the_sign_of_their_line() -> None:
    memo = a_memo("10.00", an_item("-5.00"), status=MemoStatus.DRAFT)

    changed, _ = add(memo, a_new(memo, "-0.50", item=1))

    assert changed.amount == units("4.50")
    with refused(ErrorCode.INVALID_VALUE, "taxation_items", 0, "tax_amount", saying="0 or less"):
        add(memo, a_new(memo, "0.50", item=1))


def test_taxes_may_not_pull_the_memo_below_zero() -> None:
    memo = a_memo("10.00", an_item("-9.00"), status=MemoStatus.DRAFT)

    with refused(ErrorCode.INVALID_VALUE, "taxation_items", saying="less than 0"):
        add(memo, a_new(memo, "-1.01", item=1))


def test_automatic_tax_of_later_lines_takes_what_an_added_tax_leaves() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("19.00", tax_rate=Decimal("0.19"))), "1000.00")
    memo = draft(invoice, "50.00", "50.00")
    (other,) = memo.items[1].taxation_items

    changed, _ = add(memo, a_new(memo, tax_rate=None, jurisdiction=None), invoice=invoice)

    assert [line.tax for line in memo.items] == [units("9.50"), units("9.50")]
    assert [line.tax for line in changed.items] == [units("10.50"), units("8.50")]
    assert changed.items[1].taxation_items == (replace(other, tax_amount=units("8.50")),)


def test_taxes_are_held_to_what_the_invoice_has_left() -> None:
    memo = draft(PLAIN, credit(PLAIN.items[0], "100.00"), credit(PLAIN.items[1], "49.00"))

    add(memo, a_new(memo, "1.00"), invoice=PLAIN)
    with refused(ErrorCode.OVER_CREDIT):
        add(memo, a_new(memo, "1.01"), invoice=PLAIN)
    with refused(ErrorCode.OVER_CREDIT, saying="the tax of"):
        add(memo, a_new(memo, "1.00"), invoice=PLAIN, book=STRICT)


def test_a_discount_makes_room_for_taxes_only_where_it_takes_one_itself() -> None:
    for engine, makes_room in ((TaxEngineKind.NONE, True), (TaxEngineKind.ZUORA_TAX, False)):
        invoice = an_invoice("10.00", an_invoice_item("-3.00", an_invoice_tax("-0.30", engine=engine)))
        lines = credit(invoice.items[0], "6.00"), credit(invoice.items[1], "-1.00")
        memo = draft(invoice, *lines, tax_auto_calculation=False)
        nothing_left = replace(invoice, credited_by_memos=units("6.00"))

        if makes_room:
            taxation.check_anything_to_tax(memo, nothing_left, a_book())
        else:
            with refused(ErrorCode.OVER_CREDIT):
                taxation.check_anything_to_tax(memo, nothing_left, a_book())


def test_more_than_a_thousand_taxes_are_refused() -> None:
    with refused(ErrorCode.LIMIT_EXCEEDED, "taxation_items", saying="1001"):
        add(ALONE, *[a_new(ALONE)] * 1001)


def test_the_memo_stays_as_it_was() -> None:
    before = replace(ALONE)

    add(ALONE, a_new(ALONE))

    assert before == ALONE
