"""Invoices and debit memos that come in: computed from their lines, paid, and kept once credit rests on them."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import refused, refused_for
from cm_graphql.domain import invoicing
from cm_graphql.domain.billing import BilledDocument, BilledItem
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import LineFinanceInformation
from cm_graphql.domain.commands.intake import (
    SyncedDebitMemo,
    SyncedDebitMemoItem,
    SyncedInvoice,
    SyncedInvoiceItem,
    SyncedTaxItem,
)
from cm_graphql.domain.enums import ItemSourceType, MemoStatus, ProcessingType, TaxEngineKind, TaxMode
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import FinanceInformation
from drafting import ACCOUNT, the_stamp
from makers import JPY, USD, a_book, units

INI, INT = f"ini_{7:032x}", f"int_{7:032x}"


def a_tax(amount: str = "1.00", **fields: Any) -> SyncedTaxItem:
    given: dict[str, Any] = {"name": "VAT", "tax_rate": Decimal("0.1"), **fields}
    return SyncedTaxItem(tax_amount=Decimal(amount), **given)


def a_line(amount: str = "10.00", *taxes: SyncedTaxItem, **fields: Any) -> SyncedInvoiceItem:
    given: dict[str, Any] = {"charge_name": "Seats", "tax_items": taxes, **fields}
    return SyncedInvoiceItem(charge_amount=Decimal(amount), **given)


def told(*lines: SyncedInvoiceItem | str, **fields: Any) -> SyncedInvoice:
    items = tuple(a_line(line) if isinstance(line, str) else line for line in lines)
    given: dict[str, Any] = {"invoice_number": "INV-1", "account_key": Key(ACCOUNT.id)}
    return SyncedInvoice(**{**given, "invoice_date": date(2026, 1, 15), "items": items, **fields})


def taken(
    given: SyncedInvoice, existing: BilledDocument | None = None, *, in_use: bool = False, currency: Currency = USD
) -> BilledDocument:
    return invoicing.invoice(given, existing, ACCOUNT, currency, in_use=in_use, stamp=the_stamp())


def credited(document: BilledDocument, *amounts: str) -> BilledDocument:
    """The document after credit memos were applied to its lines, in order."""
    left = iter(amounts)
    items: list[BilledItem] = []
    for item in document.items:
        item = replace(item, credited=units(next(left, "0")))
        taxes = tuple(replace(tax, credited=units(next(left, "0"))) for tax in item.taxes)
        items.append(replace(item, taxes=taxes))
    return replace(document, items=tuple(items))


def paid(document: BilledDocument) -> list[int]:
    return [line.paid for line in document.lines]


def amounts(*values: str) -> list[int]:
    return [units(value) for value in values]


# --- what a document is -----------------------------------------------------------------------------------------------


def test_amounts_are_computed_from_the_lines() -> None:
    discount = a_line("-10.00", a_tax("-1.00"), processing_type=ProcessingType.DISCOUNT, applied_to_item_index=0)

    invoice = taken(told(a_line("100.00", a_tax("10.00"), a_tax("0.50", exempt_amount=Decimal("0.25"))), discount))

    assert (invoice.amount, invoice.tax_amount, invoice.amount_without_tax) == tuple(amounts("99.50", "9.50", "90.00"))
    assert (invoice.exempt_amount, invoice.balance, invoice.paid) == (units("0.25"), invoice.amount, 0)
    assert invoice.is_invoice
    assert invoice.id.startswith("inv_")
    assert [item.position for item in invoice.items] == [1, 2]
    assert [tax.position for item in invoice.items for tax in item.taxes] == [1, 2, 3]
    assert invoice.items[1].applied_to_item_id == invoice.items[0].id


def test_the_due_date_follows_from_the_payment_term() -> None:
    assert taken(told("1.00")).due_date == date(2026, 2, 14)
    assert taken(told("1.00", due_date=date(2026, 1, 20))).due_date == date(2026, 1, 20)
    assert taken(told("1.00", invoice_date=date(9999, 12, 30))).due_date == date.max


def test_a_line_keeps_what_it_is_told() -> None:
    item = a_line(
        "10.00",
        a_tax("1.00", jurisdiction="CA", location_code="06", tax_code="T", engine=TaxEngineKind.ZUORA_TAX),
        sku="S",
        product_name="P",
        quantity=Decimal("1.5"),
        unit_price=Decimal("6.667"),
        unit_of_measure="seat",
        service_start_date=date(2026, 1, 1),
        service_end_date=date(2026, 1, 31),
        subscription_id="A-S1",
        product_rate_plan_charge_id=Key("0" * 32),
        tax_mode=TaxMode.TAX_INCLUSIVE,
        tax_code="T",
        finance_information=LineFinanceInformation(on_account_accounting_code="A"),
        custom_fields={"A__c": 1},
    )

    (line,) = taken(told(item)).items

    assert (line.name, line.sku, line.product_name, line.unit_of_measure) == ("Seats", "S", "P", "seat")
    assert (line.quantity, line.unit_price, line.tax_mode) == (Decimal("1.5"), Decimal("6.667"), TaxMode.TAX_INCLUSIVE)
    assert line.net == line.amount == units("10.00"), "the charge amount is always without tax"
    assert line.product_rate_plan_charge_id == f"chg_{0:032x}"
    assert line.finance == FinanceInformation(on_account_accounting_code="A")
    assert (line.taxes[0].location_code, line.taxes[0].engine) == ("06", TaxEngineKind.ZUORA_TAX)
    assert line.source_item_type is ItemSourceType.SUBSCRIPTION_COMPONENT


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, ItemSourceType.NONE),
        ({"product_rate_plan_charge_id": Key("0" * 32)}, ItemSourceType.PRODUCT_RATE_PLAN_CHARGE),
        ({"processing_type": ProcessingType.ROUNDING}, ItemSourceType.ROUNDING),
    ],
)
def test_what_a_line_was_billed_for_follows_from_what_it_names(fields: Any, kind: ItemSourceType) -> None:
    assert taken(told(a_line(**fields))).items[0].source_item_type is kind


def test_ids_of_ones_own_are_kept_and_others_stay_at_their_place() -> None:
    first = taken(told(a_line("1.00", a_tax("0.10"), id=Key(INI[4:])), "2.00", id=Key("5" * 32)))
    assert (first.id, first.items[0].id) == (f"inv_{'5' * 32}", INI)

    again = taken(told(a_line("3.00", a_tax("0.30"), a_tax("0.10")), "4.00", "5.00"), first)

    assert again.id == first.id
    assert [item.id for item in again.items[:2]] == [item.id for item in first.items]
    assert again.items[0].taxes[0].id == first.items[0].taxes[0].id
    assert len({line.id for line in again.lines}) == 5
    swapped = taken(told("1.00", a_line("2.00", id=Key(INI))), first)
    assert swapped.items[1].id == INI
    assert swapped.items[0].id not in (INI, first.items[1].id)


def test_an_id_that_moves_to_another_line_is_given_to_one_line_alone() -> None:
    first = taken(told(a_line("1.00", a_tax("0.10")), a_line("2.00", a_tax("0.20"))))
    old = [item.taxes[0].id for item in first.items]

    for mine, other in ((0, 1), (1, 0)):
        taxes = [a_tax("0.10"), a_tax("0.20")]
        taxes[mine] = replace(taxes[mine], id=Key(old[other]))
        again = taken(told(a_line("1.00", taxes[0]), a_line("2.00", taxes[1])), first)

        assert again.items[mine].taxes[0].id == old[other]
        assert again.items[other].taxes[0].id not in old
        assert again.amount == units("3.30")


def test_a_number_belongs_to_one_id() -> None:
    first = taken(told("1.00"))

    assert taken(told("1.00", id=Key(first.id[4:])), first).id == first.id
    with refused(ErrorCode.NUMBER_TAKEN, "invoice_number", saying=first.id):
        taken(told("1.00", id=Key("5" * 32)), first)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_all_shape_faults_are_told_together() -> None:
    with refused_for(
        (ErrorCode.INVALID_VALUE, "id"),
        (ErrorCode.INVALID_VALUE, "invoice_number"),
        (ErrorCode.INVALID_VALUE, "custom_fields"),
        (ErrorCode.FIELD_REQUIRED, "items", 0, "charge_name"),
        (ErrorCode.AMOUNT_PRECISION, "items", 0, "charge_amount"),
        (ErrorCode.INVALID_VALUE, "items", 0, "applied_to_item_index"),
        (ErrorCode.INVALID_VALUE, "items", 1, "charge_amount"),
        (ErrorCode.INVALID_VALUE, "items", 1, "applied_to_item_index"),
        (ErrorCode.INVALID_VALUE, "items", 2, "applied_to_item_index"),
        (ErrorCode.TOO_LONG, "items", 2, "sku"),
        (ErrorCode.TOO_LONG, "items", 2, "product_name"),
        (ErrorCode.INVALID_VALUE, "items", 2, "quantity"),
        (ErrorCode.INVALID_VALUE, "items", 2, "service_end_date"),
        (ErrorCode.INVALID_VALUE, "items", 3, "id"),
        (ErrorCode.INVALID_VALUE, "items", 3, "tax_items", 0, "tax_amount"),
        (ErrorCode.FIELD_REQUIRED, "items", 3, "tax_items", 0, "name"),
        (ErrorCode.INVALID_VALUE, "items", 3, "tax_items", 0, "tax_rate"),
        (ErrorCode.INVALID_VALUE, "items", 3, "tax_items", 1, "id"),
        (ErrorCode.INVALID_VALUE, "items", 3, "tax_items", 2, "exempt_amount"),
    ):
        taken(
            told(
                a_line("1.001", charge_name="", applied_to_item_index=1),
                a_line("1.00", processing_type=ProcessingType.DISCOUNT, applied_to_item_index=9),
                a_line(
                    "-1.00",
                    processing_type=ProcessingType.DISCOUNT,
                    applied_to_item_index=1,
                    sku="x" * 256,
                    product_name="x" * 256,
                    quantity=Decimal("1e9"),
                    service_start_date=date(2026, 1, 2),
                    service_end_date=date(2026, 1, 1),
                ),
                a_line(
                    "1.00",
                    a_tax("-1.00", id=Key(INT), name=" ", tax_rate=Decimal(-1)),
                    a_tax("1.00", id=Key(INT[4:])),
                    a_tax("1.00", exempt_amount=Decimal(-1)),
                    id=Key("int_1"),
                ),
                id=Key("cm_" + "0" * 32),
                invoice_number="INV 1",
                custom_fields={"a": 1},
            )
        )


def test_a_document_has_a_line_and_is_not_negative_nor_beyond_13_digits() -> None:
    with refused(ErrorCode.FIELD_REQUIRED, "items"):
        taken(told())
    with refused(ErrorCode.INVALID_VALUE, "items", saying="less than 0"):
        taken(told("1.00", "-1.01"))
    with refused(ErrorCode.INVALID_VALUE, "items", saying="13 integer digits"):
        taken(told("9999999999999.99", "0.01"))
    assert taken(told("1.00", "-1.00")).amount == 0


def test_no_sum_that_is_shown_has_more_than_13_digits_however_small_the_total_is() -> None:
    most = "9999999999999.99"
    discount: dict[str, Any] = {"processing_type": ProcessingType.DISCOUNT}
    for lines in (
        (a_line("1.00", a_tax("0", exempt_amount=Decimal(most)), a_tax("0", exempt_amount=Decimal("0.01"))),),
        (a_line("1.00", a_tax(most), a_tax("0.01")), a_line("-1.00", a_tax(f"-{most}"), **discount)),
        (a_line(most), a_line("-1.00", **discount), "2.00"),
    ):
        with refused(ErrorCode.INVALID_VALUE, "items", saying="13 integer digits"):
            taken(told(*lines))
    assert taken(told(a_line("1.00", a_tax(most)), a_line("-1.00", a_tax(f"-{most}"), **discount))).amount == 0


def test_decimals_are_those_of_the_currency() -> None:
    with refused(ErrorCode.AMOUNT_PRECISION, "items", 0, "charge_amount"):
        taken(told("1.5"), currency=JPY)


# --- payments ---------------------------------------------------------------------------------------------------------


def test_what_was_paid_is_spread_over_the_lines_first_lines_first() -> None:
    invoice = taken(told(a_line("10.00", a_tax("1.00")), "-3.00", "5.00", payments_applied=Decimal("12.50")))

    assert paid(invoice) == amounts("10.00", "1.00", "0", "1.50")
    assert invoice.balance == units("0.50")


def test_what_was_paid_on_each_line_stays_there() -> None:
    line = a_line("10.00", a_tax("1.00", payments_applied=Decimal("0.50")))
    negative = a_line("-3.00", payments_applied=Decimal("-1.00"))

    invoice = taken(told(line, negative, a_line("5.00", payments_applied=Decimal("5.00"))))

    assert paid(invoice) == amounts("0", "0.50", "-1.00", "5.00")
    same = taken(told(line, payments_applied=Decimal("0.50")))
    assert paid(same) == amounts("0", "0.50")


def test_payments_of_header_and_lines_must_agree() -> None:
    line = a_line("10.00", payments_applied=Decimal("2.00"))

    with refused(ErrorCode.ITEMS_SUM_MISMATCH, "payments_applied"):
        taken(told(line, payments_applied=Decimal("3.00")))


def test_payments_never_pass_what_is_owed() -> None:
    with refused(ErrorCode.AMOUNT_EXCEEDS_BALANCE, "payments_applied", saying="7.00 is owed"):
        taken(told("10.00", "-3.00", payments_applied=Decimal("7.01")))
    with refused(ErrorCode.AMOUNT_EXCEEDS_BALANCE, "items", 0, "payments_applied"):
        taken(told(a_line("1.00", payments_applied=Decimal("1.01")), "10.00"))
    with refused(ErrorCode.AMOUNT_EXCEEDS_BALANCE, "items", 0, "tax_items", 0, "payments_applied"):
        taken(told(a_line("5.00", a_tax("1.00", payments_applied=Decimal("1.01")))))
    assert taken(told("10.00", "-3.00", payments_applied=Decimal("7.00"))).balance == 0


def test_payments_have_the_sign_of_their_line_and_are_not_negative_in_all() -> None:
    with refused(ErrorCode.INVALID_VALUE, "items", 0, "payments_applied", saying="sign"):
        taken(told(a_line("5.00", payments_applied=Decimal("-1.00")), a_line("5.00", payments_applied=Decimal(2))))
    with refused(ErrorCode.INVALID_VALUE, "payments_applied", saying="less than 0"):
        taken(told("5.00", payments_applied=Decimal(-1)))
    with refused(ErrorCode.INVALID_VALUE, "payments_applied", saying="less than 0"):
        taken(told("5.00", a_line("-3.00", payments_applied=Decimal(-1))))


def test_only_a_posted_document_is_paid() -> None:
    assert taken(told("1.00", status=MemoStatus.DRAFT, payments_applied=Decimal(0))).status is MemoStatus.DRAFT
    with refused(ErrorCode.INVALID_VALUE, "payments_applied", saying="Draft"):
        taken(told("1.00", status=MemoStatus.DRAFT, payments_applied=Decimal(1)))


@given(
    st.lists(st.tuples(st.integers(-50, 200), st.integers(0, 20)), min_size=1, max_size=6),
    st.data(),
)
def test_spread_payments_add_up_and_leave_no_line_over_paid(lines: list[tuple[int, int]], data: st.DataObject) -> None:
    items = [
        a_line(str(Decimal(net) / 100), a_tax(str(Decimal(tax if net >= 0 else -tax) / 100))) for net, tax in lines
    ]
    total = sum(net + (tax if net >= 0 else -tax) for net, tax in lines)
    if total < 0:
        items.append(a_line(str(Decimal(-total) / 100)))
        total = 0
    cents = data.draw(st.integers(0, total))

    invoice = taken(told(*items, payments_applied=Decimal(cents) / 100))

    assert invoice.paid == cents * 100
    assert invoice.balance == (total - cents) * 100
    assert all(0 <= line.paid <= max(line.worth, 0) for line in invoice.lines)


# --- documents in use -------------------------------------------------------------------------------------------------

BASE = told(a_line("100.00", a_tax("10.00", jurisdiction="CA")), "50.00")


def in_use() -> BilledDocument:
    return credited(taken(BASE), "40.00", "4.00")


def test_a_document_in_use_takes_payments_due_date_texts_and_custom_fields() -> None:
    used = in_use()
    line = replace(
        BASE.items[0],
        charge_name="Chairs",
        sku="S",
        product_name="P",
        unit_of_measure="u",
        service_start_date=date(2026, 1, 1),
        custom_fields={"A__c": 1},
        tax_items=(replace(a_tax("10.00", jurisdiction="CA"), tax_code_description="d", custom_fields={"B__c": 2}),),
    )
    given = replace(
        BASE,
        items=(line, BASE.items[1]),
        due_date=date(2026, 9, 9),
        custom_fields={"C__c": 3},
        payments_applied=Decimal("70.00"),
    )

    invoice = taken(given, used, in_use=True)

    assert (invoice.due_date, invoice.custom_fields, invoice.items[0].name) == (
        date(2026, 9, 9),
        {"C__c": 3},
        "Chairs",
    )
    assert [line.credited for line in invoice.lines] == [line.credited for line in used.lines]
    assert [line.id for line in invoice.lines] == [line.id for line in used.lines]
    assert paid(invoice) == amounts("60.00", "6.00", "4.00")
    assert invoice.balance == units("46.00")


def test_payments_on_a_document_in_use_stay_where_they_are_when_their_sum_stays() -> None:
    used = in_use()
    second = replace(used.items[1], paid=units("50.00"))
    used = replace(used, items=(used.items[0], second))

    assert paid(taken(replace(BASE, payments_applied=Decimal(50)), used, in_use=True)) == amounts("0", "0", "50.00")
    assert paid(taken(BASE, used, in_use=True)) == amounts("0", "0", "0")


def test_payments_on_a_document_in_use_leave_no_balance_below_zero() -> None:
    with refused(ErrorCode.AMOUNT_EXCEEDS_BALANCE, "payments_applied", saying="116.00"):
        taken(replace(BASE, payments_applied=Decimal("116.01")), in_use(), in_use=True)


def first(**fields: Any) -> SyncedInvoice:
    return replace(BASE, items=(replace(BASE.items[0], **fields), BASE.items[1]))


def first_tax(**fields: Any) -> SyncedInvoice:
    return first(tax_items=(replace(a_tax("10.00", jurisdiction="CA"), **fields),))


@pytest.mark.parametrize(
    ("given", "saying"),
    [
        (replace(BASE, invoice_number="INV-2"), "stay as it is: invoiceNumber."),
        (replace(BASE, invoice_date=date(2026, 1, 16)), "invoiceDate"),
        (replace(BASE, status=MemoStatus.CANCELED), "status"),
        (replace(BASE, items=BASE.items[:1]), "number of items (2)"),
        (replace(BASE, items=(*BASE.items, a_line("1.00"))), "number of items"),
        (replace(BASE, items=(BASE.items[1], BASE.items[0])), "items[0].chargeAmount"),
        (first(charge_amount=Decimal("100.01")), "stay as it is: items[0].chargeAmount."),
        (first(tax_mode=TaxMode.TAX_INCLUSIVE), "items[0].taxMode"),
        (first(quantity=Decimal(1)), "items[0].quantity"),
        (first(id=Key(INI)), "items[0].id"),
        (first(tax_items=()), "number of items[0].taxItems (1)"),
        (first_tax(tax_amount=Decimal("10.01")), "items[0].taxItems[0].taxAmount"),
        (first_tax(tax_rate=Decimal("0.2")), "items[0].taxItems[0].taxRate"),
        (first_tax(jurisdiction="NV"), "items[0].taxItems[0].jurisdiction"),
        (first_tax(engine=TaxEngineKind.EXTERNAL), "items[0].taxItems[0].engine"),
    ],
)
def test_anything_else_of_a_document_in_use_stays(given: SyncedInvoice, saying: str) -> None:
    with refused(ErrorCode.DOCUMENT_IN_USE, saying=saying):
        taken(given, in_use(), in_use=True)
    assert taken(given, taken(BASE)).number == given.invoice_number, "a document not in use is replaced as a whole"


def test_a_document_in_use_keeps_its_account_and_currency() -> None:
    with refused(ErrorCode.DOCUMENT_IN_USE, saying="currency"):
        taken(BASE, in_use(), in_use=True, currency=Currency("EUR", 2))
    with refused(ErrorCode.DOCUMENT_IN_USE, saying="accountKey"):
        taken(BASE, replace(in_use(), account_id="acc_other"), in_use=True)


def test_what_may_change_of_a_document_in_use_is_said() -> None:
    with refused(ErrorCode.DOCUMENT_IN_USE, saying="Free to change are paymentsApplied, dueDate, chargeName,"):
        taken(replace(BASE, invoice_date=date(2026, 1, 16)), in_use(), in_use=True)


def test_of_very_many_differences_the_first_ten_are_told() -> None:
    long = replace(BASE, items=tuple(a_line("1.00") for _ in range(15)))
    other = replace(BASE, items=tuple(a_line("2.00") for _ in range(15)))

    with refused(ErrorCode.DOCUMENT_IN_USE, saying="items[9].chargeAmount and 5 more."):
        taken(other, taken(long), in_use=True)


# --- debit memos ------------------------------------------------------------------------------------------------------


def a_debit(amount: str = "10.00", *taxes: SyncedTaxItem, **fields: Any) -> SyncedDebitMemoItem:
    given: dict[str, Any] = {"sku_name": "Seats", "tax_items": taxes, **fields}
    return SyncedDebitMemoItem(amount=Decimal(amount), **given)


def debit(*lines: SyncedDebitMemoItem, existing: BilledDocument | None = None, **fields: Any) -> BilledDocument:
    given: dict[str, Any] = {"number": "DM-1", "account_key": Key(ACCOUNT.id), "debit_memo_date": date(2026, 1, 15)}
    memo = SyncedDebitMemo(**{**given, "items": lines, **fields})
    return invoicing.debit_memo(memo, existing, ACCOUNT, USD, a_book(), in_use=False, stamp=the_stamp())


def test_a_debit_memo_has_a_reason_and_lines_that_can_be_inclusive() -> None:
    memo = debit(a_debit("12.30", a_tax("2.30"), tax_mode=TaxMode.TAX_INCLUSIVE, description="d"), comment="c")

    assert not memo.is_invoice
    assert memo.id.startswith("dm_")
    assert (memo.amount, memo.items[0].amount, memo.items[0].net) == tuple(amounts("12.30", "12.30", "10.00"))
    assert (memo.comment, memo.reason_code) == ("c", "Correcting invoice error")
    assert (memo.items[0].description, memo.items[0].id[:4], memo.items[0].taxes[0].id[:4]) == ("d", "dmi_", "dmt_")
    assert debit(a_debit(), reason_code="write-off").reason_code == "Write-off"


def test_an_inclusive_amount_is_not_less_than_its_taxes() -> None:
    with refused(ErrorCode.INVALID_VALUE, "items", 0, "tax_items"):
        debit(a_debit("1.00", a_tax("1.01"), tax_mode=TaxMode.TAX_INCLUSIVE))


def test_a_reason_code_is_active_unless_the_debit_memo_has_it_already() -> None:
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code"):
        debit(a_debit(), reason_code="Charge Dispute")
    before = replace(debit(a_debit()), reason_code="Charge Dispute")
    assert debit(a_debit(), existing=before, reason_code="Charge Dispute").reason_code == "Charge Dispute"


def test_faults_of_debit_memos_are_named_by_their_own_fields() -> None:
    with refused_for(
        (ErrorCode.TOO_LONG, "comment"),
        (ErrorCode.INVALID_VALUE, "number"),
        (ErrorCode.FIELD_REQUIRED, "items", 0, "sku_name"),
        (ErrorCode.AMOUNT_PRECISION, "items", 0, "amount"),
        (ErrorCode.TOO_LONG, "items", 0, "description"),
    ):
        debit(a_debit("1.001", sku_name=" ", description="x" * 256), comment="x" * 256, number="")


def test_lines_are_counted_with_their_taxes() -> None:
    assert invoicing.line_count([BASE, BASE]) == 6
