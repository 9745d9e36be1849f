"""How a tenant's own books change: reason codes, accounting periods, currencies, tax rates, settings."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from zoneinfo import ZoneInfo

from cm_graphql.domain import documents, limits, shape, taxation
from cm_graphql.domain.billing import TaxRate
from cm_graphql.domain.commands.base import Unset
from cm_graphql.domain.commands.reference import (
    SyncedAccountingPeriod,
    SyncedCurrency,
    SyncedReasonCode,
    SyncedTaxRate,
    UpdateSettings,
)
from cm_graphql.domain.enums import ApplicationRule, PeriodStatus
from cm_graphql.domain.errors import ErrorCode, Faults, field_name, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import Period
from cm_graphql.domain.rulebook import ReasonCode, TenantSettings

TAX_ENGINES = ("none", "table", "avalara")
"""Who may price the tax of lines made from charges (domain.md 7.23)."""

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*\Z")


def reason_code(given: SyncedReasonCode, codes: Sequence[ReasonCode]) -> tuple[ReasonCode, ...]:
    """The reason codes to store: the one told of first, then the one that ceases to be the default, if any.

    `codes` are all there are; the one of the same type and name, in any capitals, is replaced. Refuses an inactive
    default (INVALID_VALUE) and a code beyond the 300th (LIMIT_EXCEEDED, domain.md 0).
    """
    same = [code for code in codes if code.type is given.type and code.name.lower() == given.name.lower()]
    is_default = given.is_default if given.is_default is not None else any(code.is_default for code in same)
    faults = Faults()
    _check_word(given.name, faults, "name")
    if is_default and not given.active:
        faults.add(ErrorCode.INVALID_VALUE, f"{given.name} is the default: only an active code can be it.", "active")
    faults.raise_if_any()
    shape.at_most(len(codes) + (not same), limits.REASON_CODES_PER_TENANT, "reason codes", faults, "name")
    faults.raise_if_any()
    code = ReasonCode(name=given.name, type=given.type, active=given.active, is_default=is_default)
    former = [
        replace(other, is_default=False)
        for other in codes
        if is_default and other.is_default and other.type is given.type and other not in same
    ]
    return code, *former


def accounting_period(given: SyncedAccountingPeriod) -> Period:
    """The accounting period told of; periods may overlap, a day is closed when any of its periods is."""
    faults = Faults()
    _check_word(given.name, faults, "name")
    if given.end_date < given.start_date:
        message = f"It ends on {given.end_date}, before it starts on {given.start_date}."
        faults.add(ErrorCode.INVALID_VALUE, message, "end_date")
    faults.raise_if_any()
    return Period(
        name=given.name,
        start_date=given.start_date,
        end_date=given.end_date,
        closed=given.status is PeriodStatus.CLOSED,
    )


def currency(given: SyncedCurrency, existing: Currency | None) -> Currency:
    """The currency as the tenant uses it from now on.

    `existing` is what its code means so far, nothing for a code that ISO 4217 does not know. Refuses with
    INVALID_VALUE, and AMOUNT_PRECISION for an increment finer than the currency's decimals.
    """
    faults = Faults()
    if existing is None:
        raise refuse(ErrorCode.INVALID_VALUE, f"{given.code} is no ISO 4217 currency.", "code")
    increment = existing.increment
    if not isinstance(given.rounding_increment, Unset):
        increment = None
        if given.rounding_increment is not None:
            increment = shape.amount(given.rounding_increment, existing, faults, "rounding_increment")
            if given.rounding_increment <= 0:
                faults.add(ErrorCode.INVALID_VALUE, "roundingIncrement must be above 0.", "rounding_increment")
    faults.raise_if_any()
    return replace(
        existing,
        active=existing.active if given.active is None else given.active,
        rounding=given.rounding_mode or existing.rounding,
        increment=increment,
    )


def tax_rate(given: SyncedTaxRate) -> TaxRate:
    """The tax rate told of."""
    faults = Faults()
    for field in ("tax_code", "jurisdiction", "name"):
        _check_word(getattr(given, field), faults, field)
    shape.text(given.location_code, limits.TEXT_LENGTH, faults, "location_code")
    taxation.check_rate(given.rate, faults, "rate")
    faults.raise_if_any()
    return TaxRate(
        tax_code=given.tax_code,
        jurisdiction=given.jurisdiction,
        name=given.name,
        rate=given.rate,
        location_code=given.location_code,
    )


def settings(command: UpdateSettings, before: TenantSettings) -> TenantSettings:
    """The tenant's choices from now on: what the command leaves out stays as it was."""
    faults = Faults()
    if command.application_rule not in (None, ApplicationRule.FIFO, ApplicationRule.PRORATION):
        message = f"{command.application_rule} is chosen per application: the tenant's rule is PRORATION or FIFO."
        faults.add(ErrorCode.INVALID_VALUE, message, "application_rule")
    if command.proration_limit is not None and not 0 <= command.proration_limit <= limits.PRORATION_LIMIT:
        message = f"prorationLimit is {command.proration_limit}: it must be 0 to {limits.PRORATION_LIMIT}."
        faults.add(ErrorCode.INVALID_VALUE, message, "proration_limit")
    if command.tax_engine is not None and command.tax_engine not in TAX_ENGINES:
        message = f"There is no tax engine {command.tax_engine!r}: choose one of {', '.join(TAX_ENGINES)}."
        faults.add(ErrorCode.INVALID_VALUE, message, "tax_engine")
    if command.time_zone is not None and not _is_zone(command.time_zone):
        message = f"{command.time_zone[:60]!r} is no IANA time zone, as Europe/Zurich is."
        faults.add(ErrorCode.INVALID_VALUE, message, "time_zone")
    documents.check_settings(command, faults)
    faults.raise_if_any()
    changes = {field.name: getattr(command, field.name, None) for field in fields(TenantSettings)}
    return replace(before, **{name: value for name, value in changes.items() if value is not None})


def _is_zone(name: str) -> bool:
    """Tell whether the time zone database has it, never looking outside of it."""
    if not _ZONE.match(name):
        return False
    try:
        ZoneInfo(name)
    except (OSError, LookupError, ValueError):  # a folder of the database, no entry of it, or outside of it
        return False
    return True


def _check_word(value: str, faults: Faults, field: str) -> None:
    if not value.strip():
        faults.add(ErrorCode.FIELD_REQUIRED, f"{field_name(field)} is blank.", field)
    shape.text(value, limits.TEXT_LENGTH, faults, field)
