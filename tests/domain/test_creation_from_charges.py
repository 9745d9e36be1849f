"""Drafts that stand alone, made from charges of the catalog, and each refusal of domain.md 1.2."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from asking import refused, refused_for
from cm_graphql.domain import creation
from cm_graphql.domain.billing import TaxRate
from cm_graphql.domain.charges import TaxQuote, table_quotes
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import CreditMemoCustomRate, CreditMemoFromCharges, LineFinanceInformation
from cm_graphql.domain.enums import (
    ChargeModel,
    ChargeType,
    ItemSourceType,
    MemoSource,
    MemoStatus,
    ProcessingType,
    SourceType,
    TaxMode,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CustomRate, FinanceInformation
from cm_graphql.domain.rulebook import TenantSettings
from drafting import ACCOUNT, a_charge, asking_charges, catalog, draft_of, of_charge
from makers import CHF_CASH, JPY, TODAY, USD, a_book, a_stamp, units

SUPPORT = a_charge()
SEATS = a_charge("2.005", 2, name="Seats", charge_model=ChargeModel.PER_UNIT)
USAGE = a_charge("0.10", 3, name="Calls", charge_model=ChargeModel.PER_UNIT, charge_type=ChargeType.USAGE)
TABLE = TenantSettings(tax_engine="table")


# --- what a draft is --------------------------------------------------------------------------------------------------


def test_a_draft_from_charges_stands_alone() -> None:
    memo = draft_of(asking_charges(of_charge(SUPPORT), of_charge(SUPPORT, "2000.00")), SUPPORT)

    assert memo.status is MemoStatus.DRAFT
    assert (memo.source, memo.source_type) == (MemoSource.ADHOC_FROM_PRPC, SourceType.STANDALONE)
    assert (memo.referred_invoice_id, memo.account_id) == (None, ACCOUNT.id)
    assert (memo.reason_code, memo.credit_memo_date) == ("Correcting invoice error", TODAY)
    assert memo.amount == units("2020.00")
    line = memo.items[0]
    assert (line.source_item_type, line.source_item_id) == (ItemSourceType.PRODUCT_RATE_PLAN_CHARGE, SUPPORT.id)
    assert (line.sku_name, line.processing_type, line.tax_mode) == (
        "Support",
        ProcessingType.CHARGE,
        TaxMode.TAX_EXCLUSIVE,
    )
    assert not line.tax_auto_calculation


def test_a_line_takes_from_the_charge_what_it_leaves_out() -> None:
    charge = a_charge(
        sku="S-9",
        unit_of_measure="month",
        effective_start_date=date(2026, 1, 1),
        effective_end_date=date(2026, 12, 31),
        finance=FinanceInformation(on_account_accounting_code="A", revenue_recognition_rule_name="Daily"),
    )
    asked = of_charge(
        charge,
        description="outage",
        service_end_date=date(2026, 6, 30),
        exclude_item_billing_from_revenue_accounting=True,
        finance_information=LineFinanceInformation(revenue_recognition_rule_name=None),
        custom_fields={"A__c": "b"},
    )

    (line,) = draft_of(asking_charges(asked), charge).items

    assert (line.sku, line.unit_of_measure, line.description) == ("S-9", "month", "outage")
    assert (line.service_start_date, line.service_end_date) == (date(2026, 1, 1), date(2026, 6, 30))
    assert line.finance == FinanceInformation(on_account_accounting_code="A")
    assert line.exclude_item_billing_from_revenue_accounting
    assert line.custom_fields == {"A__c": "b"}


def test_the_header_keeps_what_it_is_given() -> None:
    rate = CreditMemoCustomRate(currency="EUR", custom_fx_rate=Decimal("1.1"), rate_date=date(2026, 1, 1))
    command = asking_charges(
        of_charge(SUPPORT), comment="sorry", exclude_from_auto_apply_rules=True, custom_rates=(rate,)
    )

    memo = draft_of(command, SUPPORT)

    assert (memo.comment, memo.exclude_from_auto_apply_rules) == ("sorry", True)
    assert memo.custom_rates == (CustomRate(currency="EUR", custom_fx_rate=Decimal("1.1"), rate_date=date(2026, 1, 1)),)


# --- amounts left out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charge", "quantity", "amount", "kept"),
    [
        (SUPPORT, None, "20.00", None),
        (SUPPORT, "3", "20.00", "3"),
        (SEATS, None, "2.01", "1"),
        (SEATS, "3", "6.02", "3"),
        (USAGE, None, "0.10", "1"),
        (USAGE, "2.5", "0.25", "2.5"),
        (replace(USAGE, charge_model=ChargeModel.OVERAGE), "7", "0.70", "7"),
        (replace(SUPPORT, charge_type=ChargeType.USAGE), None, "20.00", "1"),
    ],
)
def test_an_amount_left_out_is_the_price_times_the_quantity_where_priced_per_unit(
    charge: Any, quantity: str | None, amount: str, kept: str | None
) -> None:
    asked = of_charge(charge, quantity=None if quantity is None else Decimal(quantity))

    (line,) = draft_of(asking_charges(asked), charge).items

    assert line.net == units(amount)
    assert line.quantity == (None if kept is None else Decimal(kept))


def test_a_price_is_rounded_to_the_currency_and_its_increment() -> None:
    charge = a_charge(None, prices={"CHF": Decimal("10.03"), "JPY": Decimal("99.5")})
    command = asking_charges(of_charge(charge))

    assert draft_of(command, charge, currency=CHF_CASH).amount == units("10.05")
    assert draft_of(command, charge, currency=JPY).amount == units("100")


@pytest.mark.parametrize(
    "charge",
    [
        a_charge(None),
        a_charge(None, prices={"EUR": Decimal(1)}),
        a_charge(charge_model=ChargeModel.TIERED),
        a_charge(charge_model=ChargeModel.VOLUME, charge_type=ChargeType.USAGE),
        a_charge(charge_model=ChargeModel.CUSTOM),
    ],
)
def test_without_a_single_price_in_the_currency_an_amount_is_required(charge: Any) -> None:
    with refused(ErrorCode.FIELD_REQUIRED, "charges", 0, "amount"):
        draft_of(asking_charges(of_charge(charge)), charge)
    assert draft_of(asking_charges(of_charge(charge, "1.00")), charge).amount == units("1.00")


def test_a_price_below_zero_or_beyond_13_digits_is_no_amount() -> None:
    below = a_charge("-1.00")
    beyond = a_charge("999999999", charge_model=ChargeModel.PER_UNIT)

    with refused(ErrorCode.INVALID_VALUE, "charges", 0, "amount"):
        draft_of(asking_charges(of_charge(below)), below)
    with refused(ErrorCode.INVALID_VALUE, "charges", 0, "amount"):
        draft_of(asking_charges(of_charge(beyond, quantity=Decimal(999_999_999))), beyond)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [ChargeModel.DISCOUNT_FIXED_AMOUNT, ChargeModel.DISCOUNT_PERCENTAGE])
def test_discount_charges_are_refused(model: ChargeModel) -> None:
    charge = a_charge(charge_model=model)

    with refused(ErrorCode.DISCOUNT_CHARGE_NOT_ALLOWED, "charges", 0, "product_rate_plan_charge_id"):
        draft_of(asking_charges(of_charge(charge, "1.00")), charge)


@pytest.mark.parametrize("quantity", ["0", "-1"])
def test_the_quantity_of_a_usage_charge_is_above_zero(quantity: str) -> None:
    with refused(ErrorCode.USAGE_QUANTITY_NOT_POSITIVE, "charges", 0, "quantity"):
        draft_of(asking_charges(of_charge(USAGE, "1.00", quantity=Decimal(quantity))), USAGE)


def test_a_charge_that_is_not_in_the_catalog_is_not_found() -> None:
    with refused(ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND, "charges", 0, "product_rate_plan_charge_id"):
        draft_of(asking_charges(of_charge(SUPPORT, "1.00")))


def test_lines_that_are_all_zero_are_refused_but_not_one_among_others() -> None:
    with refused(ErrorCode.ZERO_AMOUNT, "charges"):
        draft_of(asking_charges(of_charge(SUPPORT, "0"), of_charge(SUPPORT, "0.00")), SUPPORT)
    assert draft_of(asking_charges(of_charge(SUPPORT, "0"), of_charge(SUPPORT, "0.01")), SUPPORT).amount == 100


@pytest.mark.parametrize("charges", [None, ()])
def test_charges_are_required(charges: Any) -> None:
    command = CreditMemoFromCharges(account_key=Key("A1"), charges=charges)

    with refused(ErrorCode.FIELD_REQUIRED, "charges"):
        draft_of(command)


def test_all_shape_faults_are_told_together() -> None:
    rate = CreditMemoCustomRate(currency="euro", custom_fx_rate=Decimal(0))
    lines = (
        of_charge(SUPPORT, "1.001", description="x" * 256),
        of_charge(SUPPORT, "-1.00", service_start_date=date(2026, 2, 2), service_end_date=date(2026, 2, 1)),
        of_charge(SUPPORT, "1.00", quantity=Decimal(10) ** 9, custom_fields={"a": 1}),
    )
    command = asking_charges(*lines, custom_rates=(rate,), number="CM 1", comment="x" * 256)

    with refused_for(
        (ErrorCode.TOO_LONG, "comment"),
        (ErrorCode.INVALID_VALUE, "number"),
        (ErrorCode.CURRENCY_INACTIVE, "currency"),
        (ErrorCode.INVALID_VALUE, "custom_rates", 0, "currency"),
        (ErrorCode.INVALID_VALUE, "custom_rates", 0, "custom_fx_rate"),
        (ErrorCode.AMOUNT_PRECISION, "charges", 0, "amount"),
        (ErrorCode.TOO_LONG, "charges", 0, "description"),
        (ErrorCode.INVALID_VALUE, "charges", 1, "amount"),
        (ErrorCode.INVALID_VALUE, "charges", 1, "service_end_date"),
        (ErrorCode.INVALID_VALUE, "charges", 2, "quantity"),
        (ErrorCode.INVALID_VALUE, "charges", 2, "custom_fields"),
    ):
        draft_of(command, SUPPORT, currency=Currency("USD", 2, active=False))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("x" * 33, ErrorCode.TOO_LONG),
        ("", ErrorCode.INVALID_VALUE),
        ("Käse", ErrorCode.INVALID_VALUE),
        ("0123456789abcdef0123456789abcdef", ErrorCode.INVALID_VALUE),
        ("TMP-CM-00000004", ErrorCode.INVALID_VALUE),
    ],
)
def test_a_number_of_ones_own_is_32_plain_characters_and_like_no_id_and_no_draft(number: str, code: ErrorCode) -> None:
    with refused(code, "number"):
        draft_of(asking_charges(of_charge(SUPPORT), number=number), SUPPORT)
    draft_of(asking_charges(of_charge(SUPPORT), number="A_b-9" * 6), SUPPORT)


def test_limits_come_after_dates_and_reason_codes_and_before_amounts() -> None:
    many = asking_charges(*[of_charge(SUPPORT, "0")] * 1001)
    book = a_book(closed=[(TODAY, TODAY)])

    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date"):
        draft_of(many, SUPPORT, book=book)
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code"):
        draft_of(replace(many, reason_code="nope"), SUPPORT)
    with refused(ErrorCode.LIMIT_EXCEEDED, "charges", saying="1001"):
        draft_of(many, SUPPORT)
    rates = (CreditMemoCustomRate(currency="EUR", custom_fx_rate=Decimal(1)),) * 3
    with refused(ErrorCode.LIMIT_EXCEEDED, "custom_rates", saying="at most 2"):
        draft_of(asking_charges(of_charge(SUPPORT), custom_rates=rates), SUPPORT)


def test_a_date_of_ones_own_has_no_floor() -> None:
    command = asking_charges(of_charge(SUPPORT), effective_date=date(1999, 1, 1))

    assert draft_of(command, SUPPORT).credit_memo_date == date(1999, 1, 1)


# --- tax --------------------------------------------------------------------------------------------------------------

TAXABLE = a_charge("100.00", 5, taxable=True, tax_code="SaaS")
RATES = (
    TaxRate(tax_code="SaaS", jurisdiction="us-ca", name="State", rate=Decimal("0.0625")),
    TaxRate(tax_code="SaaS", jurisdiction="OAKLAND", name="City", rate=Decimal("0.01"), location_code="510"),
    TaxRate(tax_code="SaaS", jurisdiction="NV", name="Nevada", rate=Decimal("0.5")),
    TaxRate(tax_code="Food", jurisdiction="CA", name="Food", rate=Decimal("0.5")),
    TaxRate(tax_code="SaaS", jurisdiction="CA", name="Nothing", rate=Decimal(0)),
)


def test_without_a_tax_engine_lines_from_charges_have_no_tax() -> None:
    command = asking_charges(of_charge(TAXABLE))

    assert creation.taxable_lines(command, catalog(TAXABLE), USD, TenantSettings()) == ()
    assert draft_of(command, TAXABLE).tax_amount == 0


def test_lines_are_taxable_that_have_a_price_and_a_taxable_charge() -> None:
    command = asking_charges(
        of_charge(SUPPORT, "1.00"), of_charge(TAXABLE), of_charge(TAXABLE, "0"), of_charge(TAXABLE, "-1.00")
    )

    line, nothing = creation.taxable_lines(command, catalog(SUPPORT, TAXABLE), USD, TABLE)

    assert (line.key, line.amount, line.tax_code, line.tax_mode) == (
        "1",
        units("100.00"),
        "SaaS",
        TaxMode.TAX_EXCLUSIVE,
    )
    assert (nothing.key, nothing.amount) == ("2", 0)


def test_the_table_taxes_a_line_by_its_tax_code_where_the_account_is() -> None:
    command = asking_charges(of_charge(SUPPORT, "5.00"), of_charge(TAXABLE, "33.33"))
    quotes = table_quotes(creation.taxable_lines(command, catalog(SUPPORT, TAXABLE), USD, TABLE), RATES, ACCOUNT, USD)

    memo = draft_of(command, SUPPORT, TAXABLE, quotes=quotes)

    state, city = memo.items[1].taxation_items
    assert (state.name, state.tax_amount, state.tax_rate) == ("State", units("2.08"), Decimal("0.0625"))
    assert (city.name, city.tax_amount, city.location_code, city.tax_date) == ("City", units("0.33"), "510", TODAY)
    assert (state.position, city.position) == (1, 2)
    assert [line.tax_auto_calculation for line in memo.items] == [False, True]
    assert memo.amount == units("40.74")


def test_an_inclusive_charge_is_taxed_out_of_its_price() -> None:
    charge = replace(TAXABLE, tax_mode=TaxMode.TAX_INCLUSIVE)
    command = asking_charges(of_charge(charge, "107.25"))
    quotes = table_quotes(creation.taxable_lines(command, catalog(charge), USD, TABLE), RATES, ACCOUNT, USD)

    memo = draft_of(command, charge, quotes=quotes)

    (line,) = memo.items
    assert (line.tax_mode, line.amount, line.net, line.tax) == (
        TaxMode.TAX_INCLUSIVE,
        units("107.25"),
        units("100.00"),
        units("7.25"),
    )
    assert draft_of(command, charge).items[0].tax_mode is TaxMode.TAX_EXCLUSIVE


def test_without_address_or_rate_a_taxable_line_is_quoted_nothing() -> None:
    command = asking_charges(of_charge(TAXABLE))
    lines = creation.taxable_lines(command, catalog(TAXABLE), USD, TABLE)

    assert table_quotes(lines, RATES, replace(ACCOUNT, bill_to=None), USD) == {"0": ()}
    assert table_quotes(lines, (), ACCOUNT, USD) == {"0": ()}
    assert draft_of(command, TAXABLE, quotes={"0": ()}).items[0].tax_auto_calculation


def test_what_an_engine_quotes_is_kept_as_it_is() -> None:
    quote = TaxQuote(
        name="State",
        jurisdiction="CA",
        tax_amount=units("6.00"),
        tax_rate=Decimal("0.06"),
        exempt_amount=units("0.25"),
        tax_code="T",
        tax_code_description="t",
        tax_rate_description="r",
    )

    memo = draft_of(asking_charges(of_charge(TAXABLE)), TAXABLE, quotes={"0": (quote,)})

    (tax,) = memo.items[0].taxation_items
    assert (tax.tax_amount, tax.exempt_amount, tax.tax_code) == (units("6.00"), units("0.25"), "T")
    assert (tax.tax_code_description, tax.tax_rate_description, memo.exempt_amount) == ("t", "r", units("0.25"))


def test_an_own_number_is_the_one_given_to_the_memo() -> None:
    made = creation.from_charges(
        asking_charges(of_charge(SUPPORT), number="MINE-1"),
        ACCOUNT,
        catalog(SUPPORT),
        USD,
        a_book(),
        a_stamp(),
        "MINE-1",
    )

    assert made.number == "MINE-1"
