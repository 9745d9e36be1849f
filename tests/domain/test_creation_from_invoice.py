"""Drafts made from invoices: what they take from there, and each refusal of domain.md 1.27."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from asking import refused, refused_for
from cm_graphql.domain import creation
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import (
    CreateCreditMemos,
    CreditMemoFromCharges,
    CreditMemoFromInvoice,
    CreditMemoItemFromCharge,
    LineFinanceInformation,
    NetSuite,
    NewCreditMemo,
    TaxFinanceInformation,
)
from cm_graphql.domain.enums import (
    ItemSourceType,
    MemoSource,
    MemoStatus,
    ProcessingType,
    ReasonCodeType,
    SourceType,
    TaxEngineKind,
    TaxMode,
    TaxRateType,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import FinanceInformation, Invoice, InvoiceItem
from cm_graphql.domain.rulebook import ReasonCode, RuleBook
from drafting import TAXED, asking, by_hand, credit, draft, engine_tax
from makers import (
    JPY,
    TODAY,
    USD,
    a_book,
    a_stamp,
    an_invoice,
    an_invoice_item,
    an_invoice_tax,
    units,
)

SEATS = TAXED.items[0]


def plain(*amounts: str, **fields: Any) -> Invoice:
    return an_invoice(*amounts, **fields)


# --- what a draft is --------------------------------------------------------------------------------------------------


def test_a_draft_from_an_invoice_says_where_it_comes_from() -> None:
    memo = draft(TAXED, "40.00", comment="late", auto_apply_to_invoice_upon_posting=True)

    assert memo.status is MemoStatus.DRAFT
    assert (memo.source, memo.source_type) == (MemoSource.ADHOC_FROM_INVOICE, SourceType.INVOICE)
    assert (memo.referred_invoice_id, memo.account_id) == (TAXED.id, TAXED.account_id)
    assert memo.auto_apply_upon_posting
    assert not memo.exclude_from_auto_apply_rules
    assert (memo.comment, memo.reason_code, memo.number) == ("late", "Correcting invoice error", "CM00000001")
    assert memo.parts == ()
    assert memo.unapplied == memo.amount == units("44.00")


def test_what_a_line_leaves_out_comes_from_the_invoice_item() -> None:
    source = an_invoice_item(
        "100.00",
        sku="S-1",
        quantity=Decimal(4),
        unit_price=Decimal(25),
        unit_of_measure="seat",
        service_start_date=date(2026, 1, 1),
        service_end_date=date(2026, 1, 31),
        subscription_id="sub-1",
        finance=FinanceInformation(on_account_accounting_code="On Account", revenue_recognition_rule_name="Daily"),
    )
    invoice = an_invoice(source)

    (line,) = draft(invoice, "40.00").items

    assert (line.source_item_type, line.source_item_id) == (ItemSourceType.INVOICE_DETAIL, invoice.items[0].id)
    assert (line.sku, line.sku_name, line.unit_of_measure) == ("S-1", "Seats", "seat")
    assert (line.unit_price, line.quantity) == (Decimal(25), None)
    assert (line.service_start_date, line.service_end_date) == (date(2026, 1, 1), date(2026, 1, 31))
    assert (line.subscription_id, line.finance) == ("sub-1", source.finance)
    assert (line.tax_mode, line.processing_type) == (TaxMode.TAX_EXCLUSIVE, ProcessingType.CHARGE)


def test_what_a_line_says_wins_over_the_invoice_item() -> None:
    finance = FinanceInformation(on_account_accounting_code="A", deferred_revenue_accounting_code="D")
    invoice = an_invoice(an_invoice_item("100.00", unit_of_measure="seat", finance=finance))
    item = credit(
        invoice.items[0],
        "40.00",
        sku_name="Chairs",
        description="broken",
        quantity=Decimal("1.5"),
        unit_of_measure="chair",
        service_start_date=date(2026, 1, 5),
        finance_information=LineFinanceInformation(
            on_account_accounting_code=None, recognized_revenue_accounting_code="R"
        ),
        custom_fields={"Why__c": "x", "Gone__c": None},
    )

    (line,) = draft(invoice, item).items

    assert (line.sku_name, line.description, line.quantity) == ("Chairs", "broken", Decimal("1.5"))
    assert (line.unit_of_measure, line.service_start_date) == ("chair", date(2026, 1, 5))
    assert line.finance == FinanceInformation(
        deferred_revenue_accounting_code="D", recognized_revenue_accounting_code="R"
    )
    assert line.custom_fields == {"Why__c": "x"}


def test_lines_and_taxes_are_ordered_as_they_were_asked_for() -> None:
    invoice = an_invoice(
        an_invoice_item("10.00", an_invoice_tax("1.00"), an_invoice_tax("2.00", tax_rate=Decimal("0.2"))), "5.00"
    )

    memo = draft(invoice, credit(invoice.items[1], "1.00"), credit(invoice.items[0], "10.00"))

    assert [line.worth for line in memo.lines] == [units("1.00"), units("10.00"), units("1.00"), units("2.00")]
    assert [line.position for line in memo.items] == [1, 2]
    assert [tax.position for line in memo.items for tax in line.taxation_items] == [1, 2]


def test_net_suite_and_custom_fields_are_kept_without_nulls() -> None:
    memo = draft(TAXED, "1.00", net_suite=NetSuite(origin="NS", transaction=None), custom_fields={"A__c": 1})

    assert memo.net_suite == {"origin": "NS"}
    assert memo.custom_fields == {"A__c": 1}


def test_a_zero_line_is_allowed_to_correct_data() -> None:
    memo = draft(TAXED, credit(SEATS, "0", description="name misspelled"))

    assert memo.amount == 0
    assert memo.lines[0].worth == 0
    assert memo.tax_amount == 0


def test_keys_of_lines_may_be_bare_digits() -> None:
    item = credit(SEATS, "10.00", tax_items=(by_hand("1.00", source_tax_item_id=Key(SEATS.taxes[0].id[4:])),))
    bare = replace(item, invoice_item_id=Key(SEATS.id[4:]))

    memo = draft(TAXED, bare, tax_auto_calculation=False)

    assert memo.items[0].source_item_id == SEATS.id
    assert memo.items[0].taxation_items[0].source_tax_item_id == SEATS.taxes[0].id


# --- discounts --------------------------------------------------------------------------------------------------------


def with_discount() -> Invoice:
    invoice = an_invoice("100.00", an_invoice_item("-10.00", an_invoice_tax("-1.00"), charge_name="Loyalty"))
    charge, discount = invoice.items
    return replace(invoice, items=(charge, replace(discount, applied_to_item_id=charge.id)))


def test_a_discount_is_credited_with_a_negative_amount_on_the_line_it_discounts() -> None:
    invoice = with_discount()
    charge, discount = invoice.items

    memo = draft(invoice, credit(discount, "-10.00"), credit(charge, "60.00"), credit(charge, "40.00"))

    reduction, first, _ = memo.items
    assert reduction.processing_type is ProcessingType.DISCOUNT
    assert reduction.applied_to_item_id == first.id
    assert (reduction.net, reduction.tax) == (units("-10.00"), units("-1.00"))
    assert memo.amount == units("89.00")


def test_a_discount_without_the_line_it_discounts_points_nowhere() -> None:
    invoice = with_discount()
    invoice = replace(invoice, items=(*invoice.items, an_invoice_item("20.00", id=f"ini_{9:032x}")))

    memo = draft(invoice, credit(invoice.items[1], "-5.00"), credit(invoice.items[2], "20.00"))

    assert memo.items[0].applied_to_item_id is None
    assert memo.items[0].tax == units("-0.50")


@pytest.mark.parametrize("amount", ["0.01", "-10.01"])
def test_a_discount_is_credited_between_its_amount_and_zero(amount: str) -> None:
    invoice = with_discount()

    with refused(ErrorCode.INVALID_VALUE, "items", 0, "amount"):
        draft(invoice, credit(invoice.items[1], amount), credit(invoice.items[0], "50.00"))


def test_a_charge_is_never_credited_with_a_negative_amount() -> None:
    with refused(ErrorCode.INVALID_VALUE, "items", 0, "amount", saying="0 or more"):
        draft(TAXED, "-0.01")


def test_lines_netting_below_zero_are_refused() -> None:
    invoice = with_discount()

    with refused(ErrorCode.INVALID_VALUE, "items", saying="less than 0"):
        draft(invoice, credit(invoice.items[1], "-10.00"), credit(invoice.items[0], "9.99"))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [None, ()])
def test_an_invoice_is_not_credited_as_a_whole_by_leaving_items_out(items: tuple[Any, ...] | None) -> None:
    command = CreditMemoFromInvoice(invoice_key=Key(TAXED.id), items=items)

    with refused(ErrorCode.FIELD_REQUIRED, "items"):
        creation.from_invoice(command, TAXED, USD, a_book(), a_stamp(), None)


def test_an_item_of_another_invoice_is_not_found() -> None:
    other = an_invoice("5.00", number=2)

    with refused(ErrorCode.INVOICE_ITEM_NOT_FOUND, "items", 0, "invoice_item_id", saying=other.items[0].id):
        draft(TAXED, credit(other.items[0], "1.00"))


def test_a_tax_of_another_item_is_not_found() -> None:
    item = credit(SEATS, "1.00", tax_items=(by_hand("0.10", source_tax_item_id=Key(f"int_{7:032x}")),))

    with refused(ErrorCode.TAXATION_ITEM_NOT_FOUND, "items", 0, "tax_items", 0, "source_tax_item_id"):
        draft(TAXED, item, tax_auto_calculation=False)


def test_all_shape_faults_are_told_together() -> None:
    item = credit(
        SEATS,
        "1.001",
        sku_name=" ",
        description="x" * 256,
        quantity=Decimal("0.0000000001"),
        service_start_date=date(2026, 2, 2),
        service_end_date=date(2026, 2, 1),
        finance_information=LineFinanceInformation(on_account_accounting_code="x" * 101),
        custom_fields={"oops": 1},
    )

    with refused_for(
        (ErrorCode.TOO_LONG, "comment"),
        (ErrorCode.TOO_LONG, "net_suite", "origin"),
        (ErrorCode.INVALID_VALUE, "custom_fields"),
        (ErrorCode.AMOUNT_PRECISION, "items", 0, "amount"),
        (ErrorCode.FIELD_REQUIRED, "items", 0, "sku_name"),
        (ErrorCode.TOO_LONG, "items", 0, "description"),
        (ErrorCode.INVALID_VALUE, "items", 0, "quantity"),
        (ErrorCode.INVALID_VALUE, "items", 0, "service_end_date"),
        (ErrorCode.TOO_LONG, "items", 0, "finance_information", "on_account_accounting_code"),
        (ErrorCode.INVALID_VALUE, "items", 0, "custom_fields"),
    ):
        draft(TAXED, item, comment="x" * 256, net_suite=NetSuite(origin="x" * 256), custom_fields={"b__C": 1})


def test_a_comment_of_255_characters_fits() -> None:
    assert draft(TAXED, "1.00", comment="x" * 255).comment == "x" * 255


def test_decimals_are_those_of_the_currency() -> None:
    invoice = plain("100", currency="JPY")

    assert draft(invoice, "40", currency=JPY).amount == units("40")
    with refused(ErrorCode.AMOUNT_PRECISION, "items", 0, "amount", saying="JPY"):
        draft(invoice, "40.5", currency=JPY)


def test_amounts_beyond_13_digits_are_refused_alone_and_in_all() -> None:
    invoice = plain("9999999999999.99", "9999999999999.99")
    free = a_book(available_to_credit_rule="NONE")

    with refused(ErrorCode.INVALID_VALUE, "items", 0, "amount", saying="13 integer digits"):
        draft(invoice, "10000000000000.00", book=free)
    with refused(ErrorCode.INVALID_VALUE, "items", saying="13 integer digits"):
        draft(invoice, "9999999999999.99", credit(invoice.items[1], "0.01"), book=free)


@pytest.mark.parametrize("status", [MemoStatus.DRAFT, MemoStatus.CANCELED])
def test_only_a_posted_invoice_is_credited(status: MemoStatus) -> None:
    with refused(ErrorCode.INVALID_STATUS, "invoice_key", saying=status.spelled):
        draft(replace(TAXED, status=status), "1.00")


def test_more_than_a_thousand_items_are_refused() -> None:
    assert len(draft(TAXED, *["0.01"] * 1000).items) == 1000
    with refused(ErrorCode.LIMIT_EXCEEDED, "items", saying="1001"):
        draft(TAXED, *["0.01"] * 1001)


def test_classes_of_refusals_come_in_their_order() -> None:
    book = a_book(closed=[(date(2026, 1, 1), date(2026, 1, 31))])
    unposted = replace(TAXED, status=MemoStatus.DRAFT)
    early: dict[str, Any] = {"effective_date": date(2026, 1, 5), "reason_code": "nope"}

    with refused(ErrorCode.INVALID_VALUE, "items", 0, "amount"):
        draft(unposted, "-1.00", book=book, **early)
    with refused(ErrorCode.INVALID_STATUS, "invoice_key"):
        draft(unposted, "500.00", book=book, **early)
    with refused(ErrorCode.MEMO_DATE_BEFORE_INVOICE_DATE, "effective_date"):
        draft(TAXED, "500.00", book=book, **early)
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code"):
        draft(TAXED, "500.00", book=book, reason_code="nope")
    with refused(ErrorCode.OVER_CREDIT):
        draft(TAXED, "500.00", book=book)


# --- dates and reason codes -------------------------------------------------------------------------------------------


def test_the_date_is_today_or_the_invoice_date_where_that_is_later() -> None:
    assert draft(TAXED, "1.00").credit_memo_date == TODAY
    future = replace(TAXED, invoice_date=date(2026, 5, 1))
    assert draft(future, "1.00").credit_memo_date == date(2026, 5, 1)


def test_the_date_may_be_the_invoice_date_but_none_before() -> None:
    assert draft(TAXED, "1.00", effective_date=date(2026, 2, 1)).credit_memo_date == date(2026, 2, 1)
    with refused(ErrorCode.MEMO_DATE_BEFORE_INVOICE_DATE, "effective_date", saying="2026-02-01"):
        draft(TAXED, "1.00", effective_date=date(2026, 1, 31))


def test_the_date_lies_in_no_closed_period_even_when_left_out() -> None:
    book = a_book(closed=[(date(2026, 3, 1), date(2026, 3, 31))])

    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date", saying="P1"):
        draft(TAXED, "1.00", book=book)
    assert draft(TAXED, "1.00", book=book, effective_date=date(2026, 4, 1)).credit_memo_date == date(2026, 4, 1)


def test_reason_codes_are_found_in_any_capitals_and_stored_as_they_are_spelled() -> None:
    assert draft(TAXED, "1.00", reason_code="correcting INVOICE error").reason_code == "Correcting invoice error"


def test_reason_codes_of_other_documents_and_inactive_ones_are_refused() -> None:
    inactive = ReasonCode(name="Old", type=ReasonCodeType.CREDIT_MEMO, active=False)
    book = replace(a_book(), reason_codes=(*a_book().reason_codes, inactive))

    for name in ("Standard Refund", "Old", ""):
        with refused(ErrorCode.REASON_CODE_INVALID, "reason_code", saying=f"by name: {name}"):
            draft(TAXED, "1.00", book=book, reason_code=name)
    assert draft(TAXED, "1.00", book=RuleBook()).reason_code is None


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_unlike_the_invoice_items_is_told_apart() -> None:
    assert not creation.overrides_name(asking(TAXED, "1.00"), TAXED)
    assert creation.overrides_name(asking(TAXED, credit(SEATS, "1.00", sku_name="seats")), TAXED)


# --- taxes by hand ----------------------------------------------------------------------------------------------------


def test_taxes_by_hand_are_exactly_those_given() -> None:
    item = credit(SEATS, "50.00", tax_items=(by_hand("3.33", jurisdiction="CA", tax_rate=Decimal("0.1")),))

    memo = draft(TAXED, item, credit(SEATS, "1.00"), tax_auto_calculation=False)

    line, bare = memo.items
    (tax,) = line.taxation_items
    assert (tax.tax_amount, tax.source_tax_item_id, tax.name) == (units("3.33"), SEATS.taxes[0].id, "VAT")
    assert not line.tax_auto_calculation
    assert bare.taxation_items == ()
    assert memo.tax_amount == units("3.33")


def test_a_tax_takes_what_it_leaves_out_from_its_source() -> None:
    source = an_invoice_tax(
        "10.00",
        name="State",
        jurisdiction="CA",
        location_code="06",
        tax_code="T1",
        tax_code_description="tangible",
        tax_rate_description="state",
        tax_date=date(2026, 2, 1),
        finance=FinanceInformation(on_account_accounting_code="A", sales_tax_payable_accounting_code="S"),
    )
    invoice = an_invoice(an_invoice_item("100.00", source))
    source_id = invoice.items[0].taxes[0].id
    asked = by_hand(
        "2.00",
        source_tax_item_id=Key(source_id),
        exempt_amount=Decimal("0.50"),
        tax_code="T2",
        finance_information=TaxFinanceInformation(on_account_accounting_code=None),
        custom_fields={"X__c": True},
    )

    (tax,) = (
        draft(invoice, credit(invoice.items[0], "20.00", tax_items=(asked,)), tax_auto_calculation=False)
        .items[0]
        .taxation_items
    )

    assert (tax.name, tax.jurisdiction, tax.location_code) == ("State", "CA", "06")
    assert (tax.tax_code, tax.tax_code_description, tax.tax_rate) == ("T2", "tangible", Decimal("0.1"))
    assert (tax.tax_rate_description, tax.tax_date) == ("state", date(2026, 2, 1))
    assert tax.finance == FinanceInformation(sales_tax_payable_accounting_code="S")
    assert (tax.exempt_amount, tax.custom_fields) == (units("0.50"), {"X__c": True})


def twice_taxed() -> InvoiceItem:
    return an_invoice(
        an_invoice_item(
            "100.00",
            an_invoice_tax("6.00", location_code="06", tax_rate=Decimal("0.06")),
            an_invoice_tax("6.00", location_code="06", tax_rate=Decimal("0.06")),
            an_invoice_tax("1.00", location_code=None, jurisdiction=None, tax_rate=Decimal("0.01")),
        )
    ).items[0]


def test_a_tax_is_matched_by_location_jurisdiction_and_rate_to_the_first_with_something_left() -> None:
    item = twice_taxed()
    invoice = replace(TAXED, items=(item,), credited_by_memos=0)
    alike = {"location_code": "06", "jurisdiction": "CA", "tax_rate": Decimal("0.060")}
    asked = credit(
        item,
        "50.00",
        tax_items=(
            by_hand("6.00", **alike),
            by_hand("2.00", **alike),
            by_hand("0.50", tax_rate=Decimal("0.01")),
            by_hand("0.10", jurisdiction="NV", tax_rate=Decimal("0.01"), name="Other"),
        ),
    )

    taxes = draft(invoice, asked, tax_auto_calculation=False).items[0].taxation_items

    first, second, third = (tax.id for tax in item.taxes)
    assert [tax.source_tax_item_id for tax in taxes] == [first, second, third, None]
    assert taxes[3].name == "Other"


def test_a_tax_of_which_too_much_was_credited_has_nothing_left() -> None:
    item = twice_taxed()
    first, second, _ = item.taxes
    over = replace(item, taxes=(replace(first, credited_by_memos=first.tax_amount + 20_000), *item.taxes[1:]))
    invoice = replace(TAXED, items=(over,), credited_by_memos=0)
    alike = by_hand("1.00", location_code="06", jurisdiction="CA", tax_rate=Decimal("0.060"))

    memo = draft(invoice, credit(over, "0", tax_items=(alike,)), tax_auto_calculation=False)

    assert memo.items[0].taxation_items[0].source_tax_item_id == second.id


@pytest.mark.parametrize("name", [None, "", "  "])
def test_a_tax_without_a_name_has_that_of_its_source(name: str | None) -> None:
    memo = draft(TAXED, credit(SEATS, "10.00", tax_items=(by_hand("1.00", name=name),)), tax_auto_calculation=False)

    assert memo.items[0].taxation_items[0].name == SEATS.taxes[0].name


def test_a_tax_that_tells_nothing_credits_the_only_one_there_is() -> None:
    memo = draft(TAXED, credit(SEATS, "10.00", tax_items=(by_hand("1.00"),)), tax_auto_calculation=False)

    assert memo.items[0].taxation_items[0].source_tax_item_id == SEATS.taxes[0].id


def test_taxes_by_hand_have_an_amount_a_name_and_the_sign_of_their_line() -> None:
    item = twice_taxed()
    asked = credit(
        item,
        "50.00",
        tax_items=(
            by_hand(None, name="A"),
            by_hand("1.00"),
            by_hand("-1.00", name="B"),
            by_hand("1.00", name="C", tax_rate=Decimal(-1), exempt_amount=Decimal("0.001")),
            by_hand("1.00", name="D" * 256),
        ),
    )

    with refused_for(
        (ErrorCode.FIELD_REQUIRED, "items", 0, "tax_items", 0, "tax_amount"),
        (ErrorCode.FIELD_REQUIRED, "items", 0, "tax_items", 1, "name"),
        (ErrorCode.INVALID_VALUE, "items", 0, "tax_items", 2, "tax_amount"),
        (ErrorCode.INVALID_VALUE, "items", 0, "tax_items", 3, "tax_rate"),
        (ErrorCode.AMOUNT_PRECISION, "items", 0, "tax_items", 3, "exempt_amount"),
        (ErrorCode.TOO_LONG, "items", 0, "tax_items", 4, "name"),
    ):
        draft(replace(TAXED, items=(item,)), asked, tax_auto_calculation=False)


def test_a_flat_tax_by_hand_needs_no_source() -> None:
    asked = by_hand("1.50", name="Recycling", tax_rate_type=TaxRateType.FLAT_FEE)

    invoice = plain("100.00")
    (tax,) = (
        draft(invoice, credit(invoice.items[0], "98.00", tax_items=(asked,)), tax_auto_calculation=False)
        .items[0]
        .taxation_items
    )

    assert (tax.source_tax_item_id, tax.tax_rate, tax.jurisdiction) == (None, Decimal(0), "")


# --- taxes by hand beside automatic tax -------------------------------------------------------------------------------


def test_tax_is_not_given_by_hand_while_it_is_automatic() -> None:
    with refused(ErrorCode.TAX_ITEM_NOT_ALLOWED, "items", 0, "tax_items", 0):
        draft(TAXED, credit(SEATS, "50.00", tax_items=(by_hand("5.00"),)))


def test_tax_alone_is_credited_on_a_line_of_zero_even_while_tax_is_automatic() -> None:
    memo = draft(TAXED, credit(SEATS, "0", tax_items=(by_hand("0.01"),)), credit(SEATS, "10.00"))

    correction, line = memo.items
    assert (correction.net, correction.tax) == (0, units("0.01"))
    assert not correction.tax_auto_calculation
    assert line.tax == units("1.00")
    with refused(ErrorCode.TAX_ITEM_NOT_ALLOWED, "items", 0, "tax_items", 0):
        draft(TAXED, credit(SEATS, "0", tax_items=(by_hand("0"),)))


# --- inclusive lines --------------------------------------------------------------------------------------------------


def test_inclusive_lines_need_automatic_tax_of_the_built_in_engine() -> None:
    gross: dict[str, Any] = {"tax_mode": TaxMode.TAX_INCLUSIVE}
    own = an_invoice(an_invoice_item("20.33", engine_tax("4.67", "0.23")), an_invoice_item("5.00"))
    external = an_invoice(an_invoice_item("20.33", an_invoice_tax("4.67", engine=TaxEngineKind.EXTERNAL)))

    assert draft(own, credit(own.items[1], "5.00", **gross)).tax_amount == 0
    with refused(ErrorCode.TAX_MODE_CONFLICT, "items", 0, "tax_mode", saying="taxAutoCalculation"):
        draft(own, credit(own.items[0], "5.00", **gross), tax_auto_calculation=False)
    with refused(ErrorCode.TAX_MODE_CONFLICT, "items", 0, "tax_mode", saying="taxItems"):
        draft(own, credit(own.items[0], "0", tax_items=(by_hand("1.00"),), **gross))
    for invoice in (external, TAXED):
        with refused(ErrorCode.TAX_MODE_CONFLICT, "items", 0, "tax_mode", saying="ZUORA_TAX"):
            draft(invoice, credit(invoice.items[0], "5.00", **gross))


# --- bulk -------------------------------------------------------------------------------------------------------------


def test_a_bulk_request_takes_1_to_50_memos_and_10_000_lines() -> None:
    memo = NewCreditMemo(from_invoice=asking(TAXED, *["0.01"] * 1000))
    charge = NewCreditMemo(
        from_charges=CreditMemoFromCharges(
            account_key=Key("A1"), charges=(CreditMemoItemFromCharge(product_rate_plan_charge_id=Key("c")),)
        )
    )

    creation.check_envelope(CreateCreditMemos(memos=(memo,) * 10))
    creation.check_envelope(CreateCreditMemos(memos=(charge,) * 50))
    with refused(ErrorCode.FIELD_REQUIRED, "memos"):
        creation.check_envelope(CreateCreditMemos(memos=()))
    with refused(ErrorCode.LIMIT_EXCEEDED, "memos", saying="51 memos"):
        creation.check_envelope(CreateCreditMemos(memos=(charge,) * 51))
    with refused(ErrorCode.LIMIT_EXCEEDED, "memos", saying="10001 lines"):
        creation.check_envelope(CreateCreditMemos(memos=(*(memo,) * 10, charge)))
