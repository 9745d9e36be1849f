"""What the tour's company has sold, to whom, and what it has invoiced; numbers and ids to be cited."""

from datetime import date
from decimal import Decimal
from typing import Final

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import LineFinanceInformation
from cm_graphql.domain.commands.intake import (
    BillToContact,
    ChargePrice,
    SyncedAccount,
    SyncedDebitMemo,
    SyncedDebitMemoItem,
    SyncedInvoice,
    SyncedInvoiceItem,
    SyncedPaymentMethod,
    SyncedProductRatePlanCharge,
    SyncedTaxItem,
)
from cm_graphql.domain.commands.reference import SyncedAccountingPeriod, UpdateSettings
from cm_graphql.domain.enums import (
    ChargeModel,
    ChargeType,
    PaymentMethodType,
    PeriodStatus,
    ProcessingType,
    TaxEngineKind,
)


def _id(prefix: str, digits: str) -> Key:
    return Key(f"{prefix}_{digits:0>32}")


def line(prefix: str, document: int, *places: int) -> Key:
    """The id of a line: that of item 2 of INV00000001 ends in 12, that of the item's first tax in 121."""
    return _id(prefix, "".join(str(place) for place in (document, *places)))


ACME: Final = _id("acc", "a1")
GLOBEX: Final = _id("acc", "a2")
SAKURA: Final = _id("acc", "a3")
GULF: Final = _id("acc", "a4")

TEAM_PLAN: Final = _id("chg", "c1")
ONBOARDING: Final = _id("chg", "c2")
SUPPORT: Final = _id("chg", "c3")
REQUESTS: Final = _id("chg", "c4")
LOYALTY: Final = _id("chg", "c5")

LETTERHEAD: Final = UpdateSettings(
    company_name="Cooperate Software Inc.",
    company_address="500 Harbor Street\nSan Francisco, CA 94105\nbilling@cooperate.example",
    company_country="US",
    company_tax_id="US-94-1234567",
    pdf_footer="Cooperate Software Inc. \N{MIDDLE DOT} Bank of the Bay \N{MIDDLE DOT} Account 0012345678",
)

PERIODS: Final = (
    SyncedAccountingPeriod(
        name="2025", start_date=date(2025, 1, 1), end_date=date(2025, 12, 31), status=PeriodStatus.CLOSED
    ),
    SyncedAccountingPeriod(name="2026", start_date=date(2026, 1, 1), end_date=date(2026, 12, 31)),
)

ACCOUNTS: Final = (
    SyncedAccount(
        id=ACME,
        number="A00000001",
        name="Acme GmbH",
        currency="EUR",
        bill_to_contact=BillToContact(
            first_name="Lena",
            last_name="Fischer",
            work_email="billing@acme.example",
            address1="Lindenstraße 12",
            city="Berlin",
            postal_code="10969",
            country="Germany",
        ),
        additional_email_addresses=("accounting@acme.example",),
    ),
    SyncedAccount(
        id=GLOBEX,
        number="A00000002",
        name="Globex Corporation",
        currency="USD",
        bill_to_contact=BillToContact(
            first_name="Marcus",
            last_name="Bell",
            work_email="ap@globex.example",
            address1="200 Lake Street",
            city="Chicago",
            state="Illinois",
            postal_code="60601",
            country="United States",
        ),
        gateway_id="test",
    ),
    SyncedAccount(
        id=SAKURA,
        number="A00000003",
        name="Sakura Foods KK",
        currency="JPY",
        bill_to_contact=BillToContact(
            first_name="愛子", last_name="森", work_email="keiri@sakura.example", city="東京", country="Japan"
        ),
        payment_term_days=60,
    ),
    SyncedAccount(
        id=GULF,
        number="A00000004",
        name="Gulf Logistics WLL",
        currency="KWD",
        bill_to_contact=BillToContact(
            first_name="Dana",
            last_name="Haddad",
            work_email="finance@gulf.example",
            city="Kuwait City",
            country="Kuwait",
        ),
    ),
)

PAYMENT_METHODS: Final = (
    SyncedPaymentMethod(id=_id("pm", "d1"), account_key=ACME, type=PaymentMethodType.BANK_TRANSFER, electronic=False),
    SyncedPaymentMethod(id=_id("pm", "d2"), account_key=GLOBEX, type=PaymentMethodType.CREDIT_CARD, electronic=True),
)


def _charge(
    key: Key, name: str, sku: str, model: ChargeModel, kind: ChargeType, unit: str | None, *prices: str
) -> SyncedProductRatePlanCharge:
    return SyncedProductRatePlanCharge(
        id=key,
        name=name,
        sku=sku,
        charge_model=model,
        charge_type=kind,
        prices=tuple(
            ChargePrice(currency=currency, price=Decimal(price))
            for currency, price in zip(("EUR", "USD", "JPY", "KWD"), prices, strict=False)
        ),
        unit_of_measure=unit,
        taxable=True,
        tax_code="STANDARD",
        effective_start_date=date(2026, 1, 1),
        finance_information=LineFinanceInformation(
            deferred_revenue_accounting_code="2400 Deferred revenue",
            recognized_revenue_accounting_code="4000 Revenue",
            revenue_recognition_rule_name="Recognise daily over time",
        ),
    )


CHARGES: Final = (
    _charge(
        TEAM_PLAN,
        *("Team plan", "TEAM", ChargeModel.PER_UNIT, ChargeType.RECURRING, "Seat"),
        *("50.00", "55.00", "8000", "17.000"),
    ),
    _charge(
        ONBOARDING,
        *("Onboarding", "ONB", ChargeModel.FLAT_FEE, ChargeType.ONE_TIME, None),
        *("300.00", "330.00", "45000", "100.000"),
    ),
    _charge(
        SUPPORT,
        *("Priority support", "SUP", ChargeModel.FLAT_FEE, ChargeType.RECURRING, None),
        *("110.00", "120.00", "18000", "37.000"),
    ),
    _charge(
        REQUESTS,
        *("API requests", "API", ChargeModel.PER_UNIT, ChargeType.USAGE, "Request"),
        *("0.0036", "0.004", "0.6", "0.0012"),
    ),
    _charge(LOYALTY, "Loyalty discount", "LOY", ChargeModel.DISCOUNT_PERCENTAGE, ChargeType.RECURRING, None),
)

_VAT: Final = (("VAT", "Germany", "DE", "0.19"),)
_ILLINOIS: Final = (
    ("State sales tax", "Illinois", "US-IL", "0.0625"),
    ("County sales tax", "Cook County", "US-IL-031", "0.0175"),
)
_CONSUMPTION: Final = (("Consumption tax", "Japan", "JP", "0.1"),)
_MUNICIPALITY: Final = (("Municipality fee", "Kuwait City", "KW", "0.05"),)
_Taxes = tuple[tuple[str, str, str, str], ...]


def _taxes(prefix: str, document: int, item: int, taxes: _Taxes, *amounts: str) -> tuple[SyncedTaxItem, ...]:
    return tuple(
        SyncedTaxItem(
            id=line(prefix, document, item, place),
            name=name,
            tax_amount=Decimal(amount),
            tax_rate=Decimal(rate),
            jurisdiction=jurisdiction,
            location_code=location,
            tax_code="STANDARD",
            engine=TaxEngineKind.ZUORA_TAX,
        )
        for place, ((name, jurisdiction, location, rate), amount) in enumerate(zip(taxes, amounts, strict=True), 1)
    )


def _item(
    document: int, item: int, charge: Key, name: str, quantity: str, amount: str, taxes: _Taxes, *tax_amounts: str
) -> SyncedInvoiceItem:
    discount = charge == LOYALTY
    catalogued = next(known for known in CHARGES if known.id == charge)
    return SyncedInvoiceItem(
        id=line("ini", document, item),
        charge_name=name,
        product_name="Cooperate",
        sku=catalogued.sku,
        charge_amount=Decimal(amount),
        quantity=Decimal(quantity),
        unit_price=Decimal(amount) / Decimal(quantity),
        unit_of_measure=catalogued.unit_of_measure,
        processing_type=ProcessingType.DISCOUNT if discount else ProcessingType.CHARGE,
        applied_to_item_index=0 if discount else None,
        product_rate_plan_charge_id=charge,
        finance_information=catalogued.finance_information,
        tax_items=_taxes("int", document, item, taxes, *tax_amounts),
    )


def _invoice(number: int, account: Key, day: date, *items: SyncedInvoiceItem) -> SyncedInvoice:
    return SyncedInvoice(
        id=_id("inv", str(number)),
        invoice_number=f"INV{number:08d}",
        account_key=account,
        invoice_date=day,
        items=items,
    )


INVOICES: Final = (
    _invoice(
        *(1, ACME, date(2026, 1, 15)),
        _item(1, 1, TEAM_PLAN, "Team plan", "10", "500.00", _VAT, "95.00"),
        _item(1, 2, ONBOARDING, "Onboarding", "1", "300.00", _VAT, "57.00"),
    ),
    _invoice(
        *(2, ACME, date(2026, 2, 15)),
        _item(2, 1, TEAM_PLAN, "Team plan", "10", "500.00", _VAT, "95.00"),
    ),
    _invoice(
        *(3, GLOBEX, date(2026, 1, 20)),
        _item(3, 1, TEAM_PLAN, "Team plan", "20", "1100.00", _ILLINOIS, "68.75", "19.25"),
        _item(3, 2, LOYALTY, "Loyalty discount", "1", "-110.00", _ILLINOIS, "-6.88", "-1.93"),
        _item(3, 3, SUPPORT, "Priority support", "1", "120.00", _ILLINOIS, "7.50", "2.10"),
    ),
    _invoice(
        *(4, GLOBEX, date(2026, 2, 20)),
        _item(4, 1, SUPPORT, "Priority support", "1", "120.00", _ILLINOIS, "7.50", "2.10"),
        _item(4, 2, REQUESTS, "API requests", "50000", "200.00", _ILLINOIS, "12.50", "3.50"),
    ),
    _invoice(
        *(5, SAKURA, date(2026, 2, 1)),
        _item(5, 1, TEAM_PLAN, "Team plan", "5", "40000", _CONSUMPTION, "4000"),
    ),
    _invoice(
        *(6, GULF, date(2026, 2, 10)),
        _item(6, 1, ONBOARDING, "Onboarding", "1", "100.000", _MUNICIPALITY, "5.000"),
    ),
)
"""952.00 and 595.00 EUR of Acme, 1,198.79 and 345.60 USD of Globex, 44,000 JPY of Sakura, 105.000 KWD of Gulf."""

DEBIT_MEMO: Final = SyncedDebitMemo(
    id=_id("dm", "1"),
    number="DM00000001",
    account_key=GLOBEX,
    debit_memo_date=date(2026, 2, 25),
    comment="Requests of January, metered late",
    reason_code="Ad hoc Debit",
    items=(
        SyncedDebitMemoItem(
            id=line("dmi", 1, 1),
            sku="API",
            sku_name="API requests",
            amount=Decimal("80.00"),
            quantity=Decimal(20_000),
            unit_price=Decimal("0.004"),
            unit_of_measure="Request",
            product_rate_plan_charge_id=REQUESTS,
            tax_items=_taxes("dmt", 1, 1, _ILLINOIS, "5.00", "1.40"),
        ),
    ),
)
"""86.40 USD."""
