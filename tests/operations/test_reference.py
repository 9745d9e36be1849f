"""What a tenant says of its own books, on the real store."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cm_graphql.domain import limits
from cm_graphql.domain.commands.base import Command, Key
from cm_graphql.domain.commands.intake import SyncedInvoice, SyncedInvoiceItem, SyncInvoices
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
from cm_graphql.domain.enums import ApplicationRule, AvailableToCreditRule, PeriodStatus, ReasonCodeType, RoundingMode
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import intake, reference
from cm_graphql.operations.gate import Answer, BulkAction
from cm_graphql.operations.viewer import STANDARD, Forbidden, Viewer
from cm_graphql.store import tables as t
from operating import Desk

CREDIT = ReasonCodeType.CREDIT_MEMO


def codes(answer: Answer) -> list[tuple[Any, ...]]:
    return [(fault.code, *fault.field) for fault in answer.faults]


async def refused(desk: Desk, what: BulkAction[Any, Any], command: Command) -> list[tuple[Any, ...]]:
    before = await desk.dump()
    (answer,) = await desk.each(what, command)
    assert await desk.dump() == before, "a refusal leaves no trace"
    return codes(answer)


async def each(desk: Desk, what: BulkAction[Any, Any], command: Command) -> None:
    assert [codes(answer) for answer in await desk.each(what, command)] == [[]]


# --- settings ---------------------------------------------------------------------------------------------------------


async def test_settings_change_one_by_one_and_count_their_changes(desk: Desk) -> None:
    await desk.do(reference.update_settings, UpdateSettings(proration_limit=5, time_zone="Asia/Kolkata"))
    await desk.do(reference.update_settings, UpdateSettings(application_rule=ApplicationRule.FIFO, unpost_rule=True))
    await desk.do(
        reference.update_settings,
        UpdateSettings(available_to_credit_rule=AvailableToCreditRule.NONE, unpost_rule=False, tax_engine="table"),
    )

    row = await desk.row(t.settings)
    assert row.document == {
        "proration_limit": 5,
        "time_zone": "Asia/Kolkata",
        "application_rule": "FIFO",
        "unpost_rule": False,
        "available_to_credit_rule": "NONE",
        "tax_engine": "table",
    }
    assert (row.version, row.updated_by_id) == (4, "usr_local")


async def test_a_setting_that_is_so_already_changes_nothing(desk: Desk) -> None:
    await desk.do(reference.update_settings, UpdateSettings(proration_limit=5))
    before = await desk.dump()

    await desk.do(reference.update_settings, UpdateSettings(proration_limit=5))
    await desk.do(reference.update_settings, UpdateSettings())
    await desk.do(reference.update_settings, UpdateSettings(proration_limit=6, dry_run=True))

    assert await desk.dump() == before


async def test_changes_of_settings_at_once_are_all_kept(desk: Desk) -> None:
    changes: list[dict[str, Any]] = [
        {"proration_limit": 7},
        {"number_on_posting": True},
        {"allow_cross_pairs": True},
        {"count_billing_engine_credits": False},
    ]

    await asyncio.gather(*(desk.do(reference.update_settings, UpdateSettings(**change)) for change in changes))

    row = await desk.row(t.settings)
    assert row.document == {name: value for change in changes for name, value in change.items()}
    assert row.version == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proration_limit", -1),
        ("proration_limit", limits.PRORATION_LIMIT + 1),
        ("application_rule", ApplicationRule.EXPLICIT),
        ("tax_engine", "vertex"),
        ("tax_engine", ""),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "Europe"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", "/etc/localtime"),
        ("time_zone", "UTC\0"),
        ("time_zone", "x" * 10_000),
        ("time_zone", ""),
    ],
)
async def test_an_impossible_setting_is_refused(desk: Desk, name: str, value: Any) -> None:
    command = UpdateSettings(**{name: value})

    assert await desk.refused(reference.update_settings, command) == [(ErrorCode.INVALID_VALUE, name)]


async def test_only_administrators_change_settings(desk: Desk) -> None:
    desk.viewer = Viewer("usr_standard", STANDARD)

    with pytest.raises(Forbidden):
        await desk.ask(reference.update_settings, UpdateSettings(unpost_rule=True))


# --- reason codes -----------------------------------------------------------------------------------------------------


def a_code(name: str = "Goodwill", **given: Any) -> SyncReasonCodes:
    return SyncReasonCodes(reason_codes=(SyncedReasonCode(name=name, type=CREDIT, **given),))


async def defaults(desk: Desk) -> list[str]:
    return [row.name for row in await desk.rows(t.reason_codes, type=CREDIT, is_default=True)]


async def test_a_reason_code_is_found_in_any_capitals_and_then_spelled_as_given(desk: Desk) -> None:
    before = len(await desk.rows(t.reason_codes))

    await each(desk, reference.sync_reason_codes, a_code("WRITE-OFF", active=False))

    row = await desk.row(t.reason_codes, name="WRITE-OFF")
    assert (row.type, row.active) == (CREDIT, False)
    assert len(await desk.rows(t.reason_codes)) == before


async def test_a_kind_of_document_has_one_default(desk: Desk) -> None:
    await each(desk, reference.sync_reason_codes, a_code(is_default=True))
    assert await defaults(desk) == ["Goodwill"]

    await each(desk, reference.sync_reason_codes, a_code())
    assert await defaults(desk) == ["Goodwill"], "left out, it stays the default"

    assert await refused(desk, reference.sync_reason_codes, a_code(active=False)) == [
        (ErrorCode.INVALID_VALUE, "active")
    ]


async def test_new_defaults_at_once_leave_one(desk: Desk) -> None:
    answers = await asyncio.gather(
        *(desk.each(reference.sync_reason_codes, a_code(f"New {n}", is_default=True)) for n in range(5))
    )

    assert [codes(answer) for (answer,) in answers] == [[]] * 5
    assert len(await defaults(desk)) == 1


async def test_a_tenant_has_at_most_300_reason_codes(desk: Desk) -> None:
    room = limits.REASON_CODES_PER_TENANT - len(await desk.rows(t.reason_codes))
    for start in range(0, room, 100):
        given = tuple(SyncedReasonCode(name=f"R{n}", type=CREDIT) for n in range(start, min(start + 100, room)))
        await desk.each(reference.sync_reason_codes, SyncReasonCodes(reason_codes=given))

    assert await refused(desk, reference.sync_reason_codes, a_code("One more")) == [(ErrorCode.LIMIT_EXCEEDED, "name")]
    await each(desk, reference.sync_reason_codes, a_code("r1", active=False))


# --- periods, currencies, tax rates -----------------------------------------------------------------------------------


async def test_a_period_is_found_by_its_name_and_closed(desk: Desk) -> None:
    async def put(status: PeriodStatus, end: date = date(2026, 3, 31)) -> None:
        period = SyncedAccountingPeriod(name="March", start_date=date(2026, 3, 1), end_date=end, status=status)
        await each(desk, reference.sync_accounting_periods, SyncAccountingPeriods(accounting_periods=(period,)))

    invoice = await desk.invoice("10.00")
    await put(PeriodStatus.OPEN)
    await desk.credit(invoice, "1.00")
    await put(PeriodStatus.CLOSED)

    assert len(await desk.rows(t.accounting_periods)) == 1
    assert await desk.do_not_credit(invoice, "1.00") == [(ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date")]
    await put(PeriodStatus.CLOSED, end=date(2026, 3, 14))
    await desk.credit(invoice, "1.00")


async def test_a_period_ends_where_it_starts_or_later(desk: Desk) -> None:
    period = SyncedAccountingPeriod(name="March", start_date=date(2026, 3, 2), end_date=date(2026, 3, 1))

    found = await refused(desk, reference.sync_accounting_periods, SyncAccountingPeriods(accounting_periods=(period,)))

    assert found == [(ErrorCode.INVALID_VALUE, "end_date")]


async def test_what_is_not_said_of_a_currency_stays(desk: Desk) -> None:
    async def put(**given: Any) -> tuple[Any, ...]:
        command = SyncCurrencies(currencies=(SyncedCurrency(code="CHF", **given),))
        await each(desk, reference.sync_currencies, command)
        row = await desk.row(t.currencies)
        return row.active, row.rounding_mode, row.rounding_increment

    assert await put(rounding_increment=Decimal("0.05")) == (True, "HALF_UP", 500)
    assert await put(rounding_mode=RoundingMode.DOWN) == (True, "DOWN", 500)
    assert await put(active=False) == (False, "DOWN", 500)
    assert await put(rounding_increment=None) == (False, "DOWN", None)


async def test_an_inactive_currency_takes_no_new_document_but_keeps_the_old_ones(desk: Desk) -> None:
    await desk.invoice("10.00", invoice_number="INV-1")

    await each(desk, reference.sync_currencies, SyncCurrencies(currencies=(SyncedCurrency(code="USD", active=False),)))

    await desk.invoice("10.00", invoice_number="INV-1", payments_applied=Decimal(10))
    new = SyncedInvoice(
        invoice_number="INV-2",
        account_key=Key(desk.account),
        invoice_date=date(2026, 2, 1),
        items=(SyncedInvoiceItem(charge_name="Seats", charge_amount=Decimal(10)),),
    )
    assert await refused(desk, intake.sync_invoices, SyncInvoices(invoices=(new,))) == [
        (ErrorCode.CURRENCY_INACTIVE, "currency")
    ]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"code": "XXY"}, (ErrorCode.INVALID_VALUE, "code")),
        ({"code": ""}, (ErrorCode.INVALID_VALUE, "code")),
        ({"code": "JPY", "rounding_increment": Decimal("0.5")}, (ErrorCode.AMOUNT_PRECISION, "rounding_increment")),
        ({"code": "USD", "rounding_increment": Decimal(0)}, (ErrorCode.INVALID_VALUE, "rounding_increment")),
        ({"code": "USD", "rounding_increment": Decimal("1e20")}, (ErrorCode.INVALID_VALUE, "rounding_increment")),
    ],
)
async def test_an_impossible_currency_is_refused(desk: Desk, given: dict[str, Any], fault: tuple[Any, ...]) -> None:
    command = SyncCurrencies(currencies=(SyncedCurrency(**given),))

    assert await refused(desk, reference.sync_currencies, command) == [fault]


async def test_a_tax_rate_is_found_by_code_jurisdiction_and_name(desk: Desk) -> None:
    for rate, name in (("0.07", "State"), ("0.08", "State"), ("0.01", "City")):
        given = SyncedTaxRate(tax_code="SW", jurisdiction="CA", name=name, rate=Decimal(rate))
        await each(desk, reference.sync_tax_rates, SyncTaxRates(tax_rates=(given,)))

    rows = await desk.rows(t.tax_rates)
    assert [(row.name, row.rate) for row in rows] == [("City", Decimal("0.01")), ("State", Decimal("0.08"))]
    negative = SyncedTaxRate(tax_code="SW", jurisdiction="CA", name="x", rate=Decimal(-1))
    assert await refused(desk, reference.sync_tax_rates, SyncTaxRates(tax_rates=(negative,))) == [
        (ErrorCode.INVALID_VALUE, "rate")
    ]


async def test_the_same_row_told_of_many_times_at_once_is_one(desk: Desk) -> None:
    rates = [SyncedTaxRate(tax_code="S", jurisdiction="CA", name="V", rate=Decimal(n)) for n in range(5)]
    day = date(2026, 1, 1)
    periods = [SyncedAccountingPeriod(name="P", start_date=day, end_date=date(2026, 1, n)) for n in range(1, 6)]

    answers = await asyncio.gather(
        *(desk.each(reference.sync_tax_rates, SyncTaxRates(tax_rates=(rate,))) for rate in rates),
        *(
            desk.each(reference.sync_accounting_periods, SyncAccountingPeriods(accounting_periods=(period,)))
            for period in periods
        ),
        *(
            desk.each(reference.sync_currencies, SyncCurrencies(currencies=(SyncedCurrency(code="EUR"),)))
            for _ in range(5)
        ),
    )

    assert [codes(answer) for (answer,) in answers] == [[]] * 15
    for table in (t.tax_rates, t.accounting_periods, t.currencies):
        assert len(await desk.rows(table)) == 1
