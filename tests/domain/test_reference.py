"""Changes of a tenant's own books: reason codes, periods, currencies, tax rates, settings."""

from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from asking import refused, refused_for
from cm_graphql.domain import reference
from cm_graphql.domain.commands.reference import (
    SyncedAccountingPeriod,
    SyncedCurrency,
    SyncedReasonCode,
    SyncedTaxRate,
    UpdateSettings,
)
from cm_graphql.domain.enums import (
    ApplicationRule,
    AvailableToCreditRule,
    PeriodStatus,
    ReasonCodeType,
    RoundingMode,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.rulebook import ReasonCode, TenantSettings
from makers import CHF_CASH, REASON_CODES, USD

MEMO = ReasonCodeType.CREDIT_MEMO


# --- reason codes -----------------------------------------------------------------------------------------------------


def told(name: str, type: ReasonCodeType = MEMO, **fields: Any) -> SyncedReasonCode:
    return SyncedReasonCode(name=name, type=type, **fields)


def test_a_reason_code_is_added_or_found_in_any_capitals() -> None:
    assert reference.reason_code(told("New"), REASON_CODES) == (ReasonCode(name="New", type=MEMO),)
    found = reference.reason_code(told("CORRECTING INVOICE ERROR"), REASON_CODES)
    assert found == (ReasonCode(name="CORRECTING INVOICE ERROR", type=MEMO, is_default=True),)


def test_a_new_default_takes_over_from_the_former_of_its_kind() -> None:
    new, former = reference.reason_code(told("New", is_default=True), REASON_CODES)

    assert (new.is_default, former.name, former.type, former.is_default) == (
        True,
        "Correcting invoice error",
        MEMO,
        False,
    )
    (no_longer,) = reference.reason_code(told("Correcting invoice error", is_default=False), REASON_CODES)
    assert not no_longer.is_default


def test_a_default_is_active() -> None:
    with refused(ErrorCode.INVALID_VALUE, "active"):
        reference.reason_code(told("Correcting invoice error", active=False), REASON_CODES)
    with refused(ErrorCode.FIELD_REQUIRED, "name"):
        reference.reason_code(told(" "), REASON_CODES)


def test_a_tenant_has_at_most_300_reason_codes() -> None:
    codes = [ReasonCode(name=f"R{number}", type=MEMO) for number in range(300)]

    assert reference.reason_code(told("r7"), codes)
    with refused(ErrorCode.LIMIT_EXCEEDED, "name", saying="301"):
        reference.reason_code(told("R300"), codes)
    with refused(ErrorCode.LIMIT_EXCEEDED, "name"):
        reference.reason_code(told("R7", ReasonCodeType.DEBIT_MEMO), codes)


# --- periods ----------------------------------------------------------------------------------------------------------


def test_a_period_is_closed_or_open() -> None:
    period = SyncedAccountingPeriod(name="Jan", start_date=date(2026, 1, 1), end_date=date(2026, 1, 1))

    assert not reference.accounting_period(period).closed
    assert reference.accounting_period(replace(period, status=PeriodStatus.CLOSED)).closed
    with refused_for((ErrorCode.FIELD_REQUIRED, "name"), (ErrorCode.INVALID_VALUE, "end_date")):
        reference.accounting_period(replace(period, name="", end_date=date(2025, 12, 31)))


# --- currencies -------------------------------------------------------------------------------------------------------


def test_a_currency_changes_what_is_named() -> None:
    francs = replace(CHF_CASH, rounding=RoundingMode.DOWN)

    assert reference.currency(SyncedCurrency(code="CHF"), francs) == francs
    assert reference.currency(SyncedCurrency(code="CHF", rounding_increment=None), francs).increment is None
    changed = reference.currency(
        SyncedCurrency(code="USD", active=False, rounding_mode=RoundingMode.UP, rounding_increment=Decimal("0.05")),
        USD,
    )
    assert (changed.active, changed.rounding, changed.unit) == (False, RoundingMode.UP, 500)


@pytest.mark.parametrize(
    ("increment", "code"),
    [("0", ErrorCode.INVALID_VALUE), ("-0.05", ErrorCode.INVALID_VALUE), ("0.005", ErrorCode.AMOUNT_PRECISION)],
)
def test_an_increment_is_an_amount_above_zero(increment: str, code: ErrorCode) -> None:
    with refused(code, "rounding_increment"):
        reference.currency(SyncedCurrency(code="USD", rounding_increment=Decimal(increment)), USD)


def test_a_currency_that_iso_does_not_know_is_refused() -> None:
    with refused(ErrorCode.INVALID_VALUE, "code"):
        reference.currency(SyncedCurrency(code="ABC"), None)


# --- tax rates --------------------------------------------------------------------------------------------------------


def test_a_tax_rate_is_not_negative() -> None:
    rate = SyncedTaxRate(tax_code="T", jurisdiction="CA", name="State", rate=Decimal("0.0625"))

    assert reference.tax_rate(rate).rate == Decimal("0.0625")
    with refused_for((ErrorCode.FIELD_REQUIRED, "tax_code"), (ErrorCode.INVALID_VALUE, "rate")):
        reference.tax_rate(replace(rate, tax_code="", rate=Decimal("-0.01")))


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_change_what_is_named() -> None:
    before = TenantSettings(proration_limit=7)

    assert reference.settings(UpdateSettings(), before) == before
    after = reference.settings(
        UpdateSettings(
            application_rule=ApplicationRule.FIFO,
            available_to_credit_rule=AvailableToCreditRule.NONE,
            number_on_posting=True,
            tax_engine="table",
            time_zone="Europe/Zurich",
        ),
        before,
    )
    assert (after.application_rule, after.proration_limit) == (ApplicationRule.FIFO, 7)
    assert (after.number_on_posting, after.tax_engine, after.time_zone) == (True, "table", "Europe/Zurich")


def test_every_rule_setting_can_be_changed() -> None:
    assert {field.name for field in fields(TenantSettings)} <= {field.name for field in fields(UpdateSettings)}


def test_faults_of_settings_are_told_together() -> None:
    with refused_for(
        (ErrorCode.INVALID_VALUE, "application_rule"),
        (ErrorCode.INVALID_VALUE, "proration_limit"),
        (ErrorCode.INVALID_VALUE, "tax_engine"),
        (ErrorCode.INVALID_VALUE, "time_zone"),
    ):
        reference.settings(
            UpdateSettings(
                application_rule=ApplicationRule.SOURCE_ITEM,
                proration_limit=-1,
                tax_engine="magic",
                time_zone="Europe/Nowhere",
            ),
            TenantSettings(),
        )


@pytest.mark.parametrize("zone", ["", "Europe", "../etc/passwd", "Europe/../UTC", "x" * 10_000])
def test_only_iana_zones_are_zones(zone: str) -> None:
    with refused(ErrorCode.INVALID_VALUE, "time_zone"):
        reference.settings(UpdateSettings(time_zone=zone), TenantSettings())
