"""Changes of a draft's lines: tax computed anew, lines added and deleted, and each refusal of domain.md 1.10, 7.25."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import refused, refused_for
from cm_graphql.domain import editing, line_editing
from cm_graphql.domain.billing import Charge
from cm_graphql.domain.charges import NO_QUOTES, Quotes, TaxQuote
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import LineFinanceInformation, TaxFinanceInformation
from cm_graphql.domain.commands.editing import CreditMemoItemUpdate, CreditMemoTaxItemUpdate, UpdateCreditMemo
from cm_graphql.domain.crediting import check_tax_still_fits
from cm_graphql.domain.enums import (
    AvailableToCreditRule,
    ChargeModel,
    ChargeType,
    TaxMode,
    TaxRateType,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, FinanceInformation, Invoice
from cm_graphql.domain.rulebook import RuleBook, TenantSettings
from drafting import (
    TAXED,
    a_charge,
    after_posting,
    asking_charges,
    by_hand,
    catalog,
    credit,
    draft,
    draft_of,
    engine_tax,
    of_charge,
    the_stamp,
)
from makers import a_book, an_invoice, an_invoice_item, an_invoice_tax, units

SUPPORT = a_charge("20.00", 1, unit_of_measure="month")
CALLS = a_charge("0.10", 2, name="Calls", charge_model=ChargeModel.PER_UNIT, charge_type=ChargeType.USAGE)
FLAT_OFF = a_charge("1.00", 3, charge_model=ChargeModel.DISCOUNT_FIXED_AMOUNT)
CATALOG = catalog(SUPPORT, CALLS, FLAT_OFF)
ALONE = draft_of(asking_charges(of_charge(SUPPORT, "20.00"), of_charge(CALLS, "5.00")), SUPPORT, CALLS)
STRICT = a_book(available_to_credit_rule=AvailableToCreditRule.HEADER_AND_ITEM)
TABLE = TenantSettings(tax_engine="table")


def change(line: CreditMemoItem, amount: str | None = None, **fields: Any) -> CreditMemoItemUpdate:
    if amount is not None:
        fields["amount"] = Decimal(amount)
    return CreditMemoItemUpdate(id=Key(line.id), **fields)


def add(charge: Charge, amount: str | None = None, **fields: Any) -> CreditMemoItemUpdate:
    if amount is not None:
        fields["amount"] = Decimal(amount)
    return CreditMemoItemUpdate(product_rate_plan_charge_id=Key(charge.id), **fields)


def update(
    memo: CreditMemo,
    *items: CreditMemoItemUpdate,
    invoice: Invoice | None = None,
    book: RuleBook | None = None,
    quotes: Quotes = NO_QUOTES,
) -> CreditMemo:
    command = UpdateCreditMemo(key=Key(memo.id), items=items)
    return editing.update(command, memo, invoice, CATALOG, book or a_book(), the_stamp(), quotes)


# --- amounts and texts ------------------------------------------------------------------------------------------------


def test_a_line_changes_what_is_named_and_keeps_the_rest() -> None:
    line = replace(
        ALONE.items[0], custom_fields={"A__c": 1}, finance=FinanceInformation(on_account_accounting_code="A")
    )
    memo = replace(ALONE, items=(line, ALONE.items[1]))

    changed = update(
        memo,
        change(
            line,
            "12.00",
            description="d",
            quantity=Decimal(2),
            unit_of_measure=None,
            sku_name="Help",
            service_start_date=date(2026, 1, 1),
            exclude_item_billing_from_revenue_accounting=True,
            finance_information=LineFinanceInformation(deferred_revenue_accounting_code="D"),
            custom_fields={"B__c": 2},
        ),
    )

    after = changed.items[0]
    assert changed.amount == units("17.00")
    assert (after.id, after.position, after.amount, after.net) == (line.id, 1, units("12.00"), units("12.00"))
    assert (after.description, after.quantity, after.unit_of_measure, after.sku_name) == ("d", Decimal(2), None, "Help")
    assert (after.service_start_date, after.service_end_date) == (date(2026, 1, 1), None)
    assert after.exclude_item_billing_from_revenue_accounting
    assert after.finance == FinanceInformation(on_account_accounting_code="A", deferred_revenue_accounting_code="D")
    assert after.custom_fields == {"A__c": 1, "B__c": 2}
    assert changed.items[1] == ALONE.items[1]


def test_null_clears_the_texts_of_a_line() -> None:
    first = update(
        ALONE, change(ALONE.items[0], description="d", quantity=Decimal(1), service_end_date=date(2026, 1, 1))
    )

    after = update(
        first, change(first.items[0], description=None, quantity=None, service_end_date=None, custom_fields=None)
    ).items[0]

    assert (after.description, after.quantity, after.service_end_date, after.custom_fields) == (None, None, None, {})


def test_keys_of_lines_may_be_bare_digits() -> None:
    bare = CreditMemoItemUpdate(id=Key(ALONE.items[0].id[4:]), amount=Decimal(1))

    assert update(ALONE, bare).amount == units("6.00")


# --- automatic tax ----------------------------------------------------------------------------------------------------


def test_a_new_amount_computes_automatic_tax_anew_and_keeps_the_taxation_items() -> None:
    memo = draft(TAXED, "50.00")
    (before,) = memo.items[0].taxation_items

    changed = update(memo, change(memo.items[0], "33.33"), invoice=TAXED)

    (tax,) = changed.items[0].taxation_items
    assert tax == replace(before, tax_amount=units("3.33"))
    assert changed.amount == units("36.66")


def test_lines_of_the_same_invoice_item_take_what_the_changed_one_leaves() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("9.99")))
    memo = draft(invoice, "50.00", "50.00")

    changed = update(memo, change(memo.items[0], "10.00"), invoice=invoice)

    assert [line.tax for line in memo.items] == [units("5.00"), units("4.99")]
    assert [line.tax for line in changed.items] == [units("1.00"), units("5.00")]


def test_deleting_a_line_gives_its_tax_to_the_others() -> None:
    invoice = an_invoice(an_invoice_item("0.03", an_invoice_tax("0.01", tax_rate=Decimal("0.2"))))
    memo = draft(invoice, "0.03", "0.00", book=STRICT)
    other = draft(invoice, "0.01", "0.02")

    assert [line.tax for line in other.items] == [0, units("0.01")]
    (left,) = update(other, change(other.items[0], delete=True), invoice=invoice).items
    assert left.tax == 0
    assert update(memo, change(memo.items[0], "0"), invoice=invoice).tax_amount == 0


def test_tax_comes_back_when_a_line_of_zero_gets_an_amount() -> None:
    memo = draft(TAXED, "0.00")

    changed = update(memo, change(memo.items[0], "100.00"), invoice=TAXED)

    assert changed.tax_amount == units("10.00")
    assert changed.items[0].taxation_items[0].position == 1


def test_tax_by_hand_stays_when_the_amount_changes() -> None:
    memo = draft(TAXED, credit(TAXED.items[0], "50.00", tax_items=(by_hand("3.00"),)), tax_auto_calculation=False)

    assert update(memo, change(memo.items[0], "10.00"), invoice=TAXED).tax_amount == units("3.00")


def test_a_line_that_keeps_its_amount_keeps_its_tax_although_the_invoice_was_credited_meanwhile() -> None:
    memo = draft(TAXED, "50.00")
    left = after_posting(TAXED, draft(TAXED, "0.00", credit(TAXED.items[0], "0", tax_items=(by_hand("9.00"),))))

    assert update(memo, change(memo.items[0], "50.00", description="x"), invoice=left).tax_amount == units("5.00")
    assert update(memo, change(memo.items[0], "50.01"), invoice=left).tax_amount == units("1.00")


nets = st.lists(st.integers(0, 4_000), min_size=1, max_size=5)


@given(st.integers(0, 3_000), nets, st.data())
def test_recalculation_is_what_a_new_draft_would_compute_and_doing_it_again_changes_nothing(
    tax: int, cents: list[int], data: st.DataObject
) -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax(Decimal(tax) / 100, tax_rate=Decimal("0.1"))), "999")
    free = a_book(available_to_credit_rule=AvailableToCreditRule.NONE)
    memo = draft(invoice, *[str(Decimal(cent) / 100) for cent in cents], book=free)
    after = [
        Decimal(cent) / 100
        for cent in data.draw(st.lists(st.integers(0, 4_000), min_size=len(cents), max_size=len(cents)))
    ]
    changes = [change(line, str(amount)) for line, amount in zip(memo.items, after, strict=True)]

    changed = update(memo, *changes, invoice=invoice, book=free)

    if any(amount * 10_000 != line.net for amount, line in zip(after, memo.items, strict=True)):
        anew = draft(invoice, *[str(amount) for amount in after], book=free)
        assert [line.tax for line in changed.items] == [line.tax for line in anew.items]
    assert update(changed, *changes, invoice=invoice, book=free) == changed
    assert changed.amount == sum(line.worth for line in changed.lines)
    check_tax_still_fits(changed, invoice, a_book())


# --- tax of lines from charges ----------------------------------------------------------------------------------------

TAXABLE = a_charge("100.00", 4, taxable=True, tax_code="SaaS")
CATALOG = {**CATALOG, TAXABLE.id: TAXABLE}


def quote(amount: str, name: str = "State") -> TaxQuote:
    return TaxQuote(name=name, jurisdiction="CA", tax_amount=units(amount), tax_rate=Decimal("0.06"))


QUOTED = draft_of(asking_charges(of_charge(TAXABLE)), TAXABLE, quotes={"0": (quote("6.00"), quote("1.00", "City"))})


def test_an_engine_is_asked_about_changed_and_added_lines_only() -> None:
    line = QUOTED.items[0]
    changes = (change(line, "50.00"), add(TAXABLE, "10.00"), add(SUPPORT))

    asked = line_editing.taxable_lines(changes, QUOTED, CATALOG, TABLE)

    assert [(taxable.key, taxable.amount) for taxable in asked] == [(line.id, units("50.00")), ("1", units("10.00"))]
    assert line_editing.taxable_lines((change(line, description="x"),), QUOTED, CATALOG, TABLE) == ()
    assert line_editing.taxable_lines((change(line, delete=True),), QUOTED, CATALOG, TABLE) == ()
    assert line_editing.taxable_lines(changes, QUOTED, CATALOG, TenantSettings()) == ()
    assert line_editing.charges_needed(changes, QUOTED) == {TAXABLE.id, SUPPORT.id}


def test_a_requoted_tax_keeps_its_id() -> None:
    line = QUOTED.items[0]
    changes = (change(line, "50.00"), add(TAXABLE, "10.00"))

    changed = update(QUOTED, *changes, quotes={line.id: (quote("3.00"), quote("0.10", "Town")), "1": (quote("0.60"),)})

    state, town = changed.items[0].taxation_items
    assert (state.id, state.tax_amount) == (line.taxation_items[0].id, units("3.00"))
    assert (town.name, town.tax_amount) == ("Town", units("0.10"))
    assert changed.items[1].tax == units("0.60")
    assert changed.amount == units("63.70")


def test_without_engine_by_now_the_taxes_there_are_follow_at_their_own_rates() -> None:
    changed = update(QUOTED, change(QUOTED.items[0], "50.00"))

    assert [tax.tax_amount for tax in changed.items[0].taxation_items] == [units("3.00"), units("3.00")]


# --- lines added and deleted ------------------------------------------------------------------------------------------


def test_a_line_is_added_behind_the_others() -> None:
    changed = update(ALONE, add(CALLS, quantity=Decimal(30), sku_name="Talk", unit_of_measure="call", description="d"))

    added = changed.items[2]
    assert (added.position, added.net, added.quantity) == (3, units("3.00"), Decimal(30))
    assert (added.sku_name, added.unit_of_measure, added.description) == ("Talk", "call", "d")
    assert changed.amount == units("28.00")


def test_lines_are_deleted_and_others_put_in_their_place() -> None:
    assert update(ALONE, change(ALONE.items[0], delete=True)).items == (ALONE.items[1],)
    swapped = update(
        ALONE, change(ALONE.items[0], delete=True), change(ALONE.items[1], delete=True), add(SUPPORT, "1.00")
    )
    assert [line.position for line in swapped.items] == [3]


def test_the_last_line_cannot_be_deleted() -> None:
    with refused(ErrorCode.INVALID_VALUE, "items", saying="last line"):
        update(ALONE, *[change(line, delete=True) for line in ALONE.items])


def discounted() -> tuple[Invoice, CreditMemo]:
    invoice = an_invoice("100.00", an_invoice_item("-10.00"))
    charge, discount = invoice.items
    invoice = replace(invoice, items=(charge, replace(discount, applied_to_item_id=charge.id)))
    return invoice, draft(invoice, credit(charge, "50.00"), credit(discount, "-5.00"), credit(charge, "1.00"))


def test_a_line_that_a_discount_points_to_cannot_be_deleted_alone() -> None:
    invoice, memo = discounted()
    charge, discount, _ = memo.items

    with refused(ErrorCode.INVALID_VALUE, "items", 0, "delete", saying="discount"):
        update(memo, change(charge, delete=True), invoice=invoice)
    both = update(memo, change(charge, delete=True), change(discount, delete=True), invoice=invoice)
    assert both.amount == units("1.00")


def test_a_discount_stays_within_its_own_amount_and_the_memo_above_zero() -> None:
    invoice, memo = discounted()
    charge, discount, other = memo.items

    assert update(memo, change(discount, "-10.00"), invoice=invoice).amount == units("41.00")
    for amount in ("0.01", "-10.01"):
        with refused(ErrorCode.INVALID_VALUE, "items", 0, "amount"):
            update(memo, change(discount, amount), invoice=invoice)
    with refused(ErrorCode.INVALID_VALUE, "items", saying="less than 0"):
        update(memo, change(charge, "1.00"), change(other, "1.00"), invoice=invoice)


def test_what_is_not_there_is_not_found() -> None:
    line = ALONE.items[0]
    tax = CreditMemoTaxItemUpdate(id=Key(f"cmt_{9:032x}"))

    with refused_for(
        (ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND, "items", 0, "id"),
        (ErrorCode.TAXATION_ITEM_NOT_FOUND, "items", 1, "tax_items", 0, "id"),
        (ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND, "items", 2, "product_rate_plan_charge_id"),
    ):
        update(
            ALONE,
            CreditMemoItemUpdate(id=Key(f"cmi_{9:032x}")),
            change(line, tax_items=(tax,)),
            CreditMemoItemUpdate(product_rate_plan_charge_id=Key(f"chg_{9:032x}")),
        )


def test_all_shape_faults_are_told_together() -> None:
    first, second = ALONE.items

    with refused_for(
        (ErrorCode.INVALID_VALUE, "items", 0, "amount"),
        (ErrorCode.INVALID_VALUE, "items", 0, "sku_name"),
        (ErrorCode.INVALID_VALUE, "items", 0, "exclude_item_billing_from_revenue_accounting"),
        (ErrorCode.TOO_LONG, "items", 0, "description"),
        (ErrorCode.INVALID_VALUE, "items", 0, "product_rate_plan_charge_id"),
        (ErrorCode.INVALID_VALUE, "items", 0, "custom_fields"),
        (ErrorCode.AMOUNT_PRECISION, "items", 1, "amount"),
        (ErrorCode.USAGE_QUANTITY_NOT_POSITIVE, "items", 1, "quantity"),
        (ErrorCode.FIELD_REQUIRED, "items", 1, "sku_name"),
        (ErrorCode.INVALID_VALUE, "items", 1, "service_end_date"),
        (ErrorCode.TOO_LONG, "items", 1, "finance_information", "on_account_accounting_code"),
        (ErrorCode.INVALID_VALUE, "items", 2, "delete"),
        (ErrorCode.FIELD_REQUIRED, "items", 3, "product_rate_plan_charge_id"),
        (ErrorCode.DISCOUNT_CHARGE_NOT_ALLOWED, "items", 4, "product_rate_plan_charge_id"),
        (ErrorCode.INVALID_VALUE, "items", 5, "sku_name"),
    ):
        update(
            ALONE,
            CreditMemoItemUpdate(
                id=Key(first.id),
                amount=None,
                description="x" * 256,
                product_rate_plan_charge_id=Key(CALLS.id),
                sku_name=None,
                exclude_item_billing_from_revenue_accounting=None,
                custom_fields={"a": 1},
            ),
            change(
                second,
                "0.001",
                quantity=Decimal(0),
                sku_name="",
                service_start_date=date(2026, 2, 2),
                service_end_date=date(2026, 2, 1),
                finance_information=LineFinanceInformation(on_account_accounting_code="x" * 101),
            ),
            CreditMemoItemUpdate(delete=True),
            CreditMemoItemUpdate(amount=Decimal(1)),
            add(FLAT_OFF, "1.00"),
            add(SUPPORT, sku_name=None),
        )


def test_a_line_is_named_once_and_a_deleted_one_takes_no_other_changes() -> None:
    line = ALONE.items[0]

    with refused_for((ErrorCode.INVALID_VALUE, "items", 0, "id"), (ErrorCode.INVALID_VALUE, "items", 1, "id")):
        update(ALONE, change(line, "1.00"), change(line, description="x"))
    with refused(ErrorCode.INVALID_VALUE, "items", 0, "delete", saying="but amount, skuName, taxItems came along"):
        update(ALONE, change(line, "1.00", sku_name="x", tax_items=(), delete=True))


def test_charges_are_added_only_to_memos_made_from_charges() -> None:
    memo = draft(TAXED, "50.00")

    with refused(ErrorCode.SOURCE_NOT_ALLOWED, "items", 0, "product_rate_plan_charge_id"):
        update(memo, add(SUPPORT, "1.00"), invoice=TAXED)


def test_inclusive_lines_can_be_deleted_but_not_changed() -> None:
    invoice = an_invoice(an_invoice_item("100.00", engine_tax("23.00", "0.23")))
    memo = draft(invoice, credit(invoice.items[0], "25.00", tax_mode=TaxMode.TAX_INCLUSIVE), "10.00")
    inclusive, exclusive = memo.items

    with refused(ErrorCode.TAX_ITEM_NOT_ALLOWED, "items", 0, "id", saying="tax-exclusive"):
        update(memo, change(inclusive, description="x"), invoice=invoice)
    assert update(memo, change(exclusive, "20.00"), invoice=invoice).items[0] == inclusive
    assert update(memo, change(inclusive, delete=True), invoice=invoice).amount == units("12.30")


def test_lines_are_held_to_what_the_invoice_has_left_only_when_they_change() -> None:
    memo = draft(TAXED, "50.00")
    left = after_posting(TAXED, draft(TAXED, "60.00"))

    with refused(ErrorCode.OVER_CREDIT):
        update(memo, change(memo.items[0], "50.01"), invoice=left)
    command = UpdateCreditMemo(key=Key(memo.id), comment="x")
    assert editing.update(command, memo, left, {}, a_book(), the_stamp()).comment == "x"


def test_a_memo_that_stands_alone_does_not_become_zero() -> None:
    with refused(ErrorCode.ZERO_AMOUNT, "items"):
        update(ALONE, *[change(line, "0") for line in ALONE.items])
    memo = draft(TAXED, "50.00")
    assert update(memo, change(memo.items[0], "0"), invoice=TAXED).amount == 0


@pytest.mark.parametrize("count", [1000, 1001])
def test_more_than_a_thousand_changes_are_refused(count: int) -> None:
    changes = [add(SUPPORT, "0.01")] * count

    if count > 1000:
        with refused(ErrorCode.LIMIT_EXCEEDED, "items", saying="1001"):
            update(ALONE, *changes)
    else:
        assert len(update(ALONE, *changes).items) == 1002


# --- taxes by hand ----------------------------------------------------------------------------------------------------


def hand_taxed() -> CreditMemo:
    line = credit(TAXED.items[0], "50.00", tax_items=(by_hand("3.00", custom_fields={"A__c": 1}),))
    return draft(TAXED, line, tax_auto_calculation=False)


def tax_change(memo: CreditMemo, **fields: Any) -> CreditMemoItemUpdate:
    tax = memo.items[0].taxation_items[0]
    return change(memo.items[0], tax_items=(CreditMemoTaxItemUpdate(id=Key(tax.id), **fields),))


def test_a_tax_by_hand_changes_what_is_named_and_keeps_the_rest() -> None:
    memo = hand_taxed()

    changed = update(
        memo,
        tax_change(
            memo,
            tax_amount=Decimal("4.00"),
            exempt_amount=Decimal("0.10"),
            name="State",
            tax_rate=Decimal("0.08"),
            tax_rate_type=TaxRateType.FLAT_FEE,
            tax_date=date(2026, 3, 3),
            tax_code="T",
            location_code=None,
            finance_information=TaxFinanceInformation(sales_tax_payable_accounting_code="S"),
            custom_fields={"B__c": 2},
        ),
        invoice=TAXED,
    )

    (tax,) = changed.items[0].taxation_items
    before = memo.items[0].taxation_items[0]
    assert (tax.id, tax.source_tax_item_id, tax.jurisdiction) == (before.id, before.source_tax_item_id, "CA")
    assert (tax.tax_amount, tax.exempt_amount, tax.name) == (units("4.00"), units("0.10"), "State")
    assert (tax.tax_rate, tax.tax_rate_type, tax.tax_date) == (Decimal("0.08"), TaxRateType.FLAT_FEE, date(2026, 3, 3))
    assert (tax.tax_code, tax.finance) == ("T", FinanceInformation(sales_tax_payable_accounting_code="S"))
    assert tax.custom_fields == {"A__c": 1, "B__c": 2}
    assert changed.amount == units("54.00")
    assert update(changed, tax_change(changed, exempt_amount=None), invoice=TAXED).exempt_amount == 0


def test_automatic_tax_takes_what_a_changed_tax_by_hand_leaves() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("19.00", tax_rate=Decimal("0.19"))), "1000.00")
    memo = draft(invoice, credit(invoice.items[0], "0", tax_items=(by_hand("5.00"),)), "100.00")

    less = update(memo, tax_change(memo, tax_amount=Decimal("1.00")), invoice=invoice)
    more = update(memo, tax_change(memo, tax_amount=Decimal("10.00")), invoice=invoice)
    renamed = update(memo, tax_change(memo, name="VAT"), invoice=after_posting(invoice, memo))

    assert [line.tax for line in memo.items] == [units("5.00"), units("14.00")]
    assert [line.tax for line in less.items] == [units("1.00"), units("18.00")]
    assert [line.tax for line in more.items] == [units("10.00"), units("9.00")]
    assert [line.tax for line in renamed.items] == [units("5.00"), units("14.00")]


def test_taxes_by_hand_are_checked_together() -> None:
    memo = hand_taxed()
    null: dict[str, Any] = dict.fromkeys(("tax_amount", "name", "tax_rate", "tax_rate_type", "jurisdiction"))
    path = ("items", 0, "tax_items", 0)

    with refused_for(*((ErrorCode.INVALID_VALUE, *path, name) for name in null)):
        update(memo, tax_change(memo, **null), invoice=TAXED)
    with refused_for(
        (ErrorCode.INVALID_VALUE, *path, "tax_amount"),
        (ErrorCode.FIELD_REQUIRED, *path, "name"),
        (ErrorCode.INVALID_VALUE, *path, "tax_rate"),
        (ErrorCode.TOO_LONG, *path, "location_code"),
    ):
        wrong: dict[str, Any] = {"tax_amount": Decimal(-1), "name": " ", "tax_rate": Decimal(-1)}
        update(memo, tax_change(memo, **wrong, location_code="x" * 256), invoice=TAXED)
    twice = CreditMemoTaxItemUpdate(id=Key(memo.items[0].taxation_items[0].id))
    with refused_for((ErrorCode.INVALID_VALUE, *path, "id"), (ErrorCode.INVALID_VALUE, *path[:3], 1, "id")):
        update(memo, change(memo.items[0], tax_items=(twice, twice)), invoice=TAXED)


def test_automatic_tax_cannot_be_changed_by_hand() -> None:
    memo = draft(TAXED, "50.00")

    with refused(ErrorCode.TAX_ITEM_NOT_ALLOWED, "items", 0, "tax_items"):
        update(memo, tax_change(memo, tax_amount=Decimal(1)), invoice=TAXED)


def test_taxes_by_hand_are_held_to_what_the_invoice_has_left() -> None:
    memo = hand_taxed()

    with refused(ErrorCode.OVER_CREDIT):
        update(memo, tax_change(memo, tax_amount=Decimal("60.01")), invoice=TAXED)
    with refused(ErrorCode.OVER_CREDIT, saying="tax VAT"):
        other = replace(TAXED, items=(*TAXED.items, an_invoice_item("9.00", an_invoice_tax("9.00"), id="ini_x")))
        update(memo, tax_change(memo, tax_amount=Decimal("10.01")), invoice=other, book=STRICT)
