"""How a tenant's own books change: settings, reason codes, accounting periods, currencies, tax rates."""

from collections.abc import Sequence
from dataclasses import fields

from cm_graphql.domain import reference as rules
from cm_graphql.domain.commands.reference import (
    SyncAccountingPeriods,
    SyncCurrencies,
    SyncedAccountingPeriod,
    SyncedCurrency,
    SyncedReasonCode,
    SyncedTaxRate,
    SyncReasonCodes,
    SyncTaxRates,
    UpdateSettings,
)
from cm_graphql.domain.intake import check_envelope
from cm_graphql.domain.money import Currency
from cm_graphql.domain.rulebook import TenantSettings
from cm_graphql.operations.gate import Outcome, action, bulk_action
from cm_graphql.operations.unit import Unit
from cm_graphql.store import reference as store
from cm_graphql.store import tables as t
from cm_graphql.store.intake import claim
from cm_graphql.store.session import UnknownCurrency


@action("settings:write")
async def update_settings(unit: Unit, command: UpdateSettings) -> Outcome:
    """Change the tenant's settings; what is left out stays."""
    before = await store.tenant_settings(unit.session, lock=True)
    after = rules.settings(command, before)
    given = [field.name for field in fields(TenantSettings) if getattr(command, field.name, None) is not None]
    await store.save_settings(unit.session, after, given, unit.stamp)
    return {"settings": True}


def _reason_codes(command: SyncReasonCodes) -> Sequence[SyncedReasonCode]:
    check_envelope(command.reason_codes, "reason_codes")
    return command.reason_codes


@bulk_action(_reason_codes, "documents:sync")
async def sync_reason_codes(unit: Unit, given: SyncedReasonCode) -> Outcome:
    """Create or replace a reason code; one that becomes the default takes that from another."""
    await claim(unit.session, t.reason_codes, "all")
    codes = await store.reason_codes(unit.session)  # anew, because others may have changed them before we were let in
    told, *others = rules.reason_code(given, codes)
    for other in others:
        await store.save_reason_code(unit.session, other, unit.stamp)
    return {"reason_code": await store.save_reason_code(unit.session, told, unit.stamp)}


def _accounting_periods(command: SyncAccountingPeriods) -> Sequence[SyncedAccountingPeriod]:
    check_envelope(command.accounting_periods, "accounting_periods")
    return command.accounting_periods


@bulk_action(_accounting_periods, "documents:sync")
async def sync_accounting_periods(unit: Unit, given: SyncedAccountingPeriod) -> Outcome:
    """Create or replace an accounting period."""
    made = rules.accounting_period(given)
    await claim(unit.session, t.accounting_periods, made.name)
    return {"accounting_period": await store.save_period(unit.session, made, unit.stamp)}


def _currencies(command: SyncCurrencies) -> Sequence[SyncedCurrency]:
    check_envelope(command.currencies, "currencies")
    return command.currencies


@bulk_action(_currencies, "documents:sync")
async def sync_currencies(unit: Unit, given: SyncedCurrency) -> Outcome:
    """Say how a currency is used."""
    await claim(unit.session, t.currencies, given.code)
    existing: Currency | None
    try:
        existing = await unit.session.currency(given.code)
    except UnknownCurrency:
        existing = None
    made = rules.currency(given, existing)
    await store.save_currency(unit.session, made, unit.stamp)
    return {"currency": made.code}


def _tax_rates(command: SyncTaxRates) -> Sequence[SyncedTaxRate]:
    check_envelope(command.tax_rates, "tax_rates")
    return command.tax_rates


@bulk_action(_tax_rates, "documents:sync")
async def sync_tax_rates(unit: Unit, given: SyncedTaxRate) -> Outcome:
    """Create or replace a rate of the tax engine `table`."""
    made = rules.tax_rate(given)
    await claim(unit.session, t.tax_rates, "\n".join((made.tax_code, made.jurisdiction, made.name)))
    await store.save_tax_rate(unit.session, made, unit.stamp)
    return {"tax_rate": [made.tax_code, made.jurisdiction, made.name]}
