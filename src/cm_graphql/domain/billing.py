"""What the billing system keeps beside credit memos: accounts, the catalog, whole invoices and debit memos.

As sources of credit and as targets of money, invoices and debit memos are the slimmer records of `records`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from cm_graphql.domain.enums import (
    AccountStatus,
    ChargeModel,
    ChargeType,
    ItemSourceType,
    MemoStatus,
    ProcessingType,
    TaxEngineKind,
    TaxMode,
    TaxRateType,
)
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import NO_FINANCE, FinanceInformation


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """The person that an account's documents are sent to."""

    id: str
    first_name: str | None = None
    last_name: str | None = None
    work_email: str | None = None
    personal_email: str | None = None
    address1: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer account (domain.md 2.9)."""

    id: str
    number: str
    name: str
    currency: str
    """The ISO code its documents are in unless they say otherwise."""
    status: AccountStatus = AccountStatus.ACTIVE
    bill_to: Contact | None = None
    additional_email_addresses: tuple[str, ...] = ()
    payment_term_days: int = 30
    gateway_id: str | None = None
    sequence_set: str | None = None
    """The name of the set that numbers its documents, else DEFAULT."""
    custom_fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A product rate plan charge, with what memos take from its product and its plan (domain.md 2.9)."""

    id: str
    name: str
    charge_model: ChargeModel
    charge_type: ChargeType
    prices: Mapping[str, Decimal]
    """Per ISO code; not rounded to the currency."""
    sku: str | None = None
    unit_of_measure: str | None = None
    taxable: bool = False
    tax_mode: TaxMode | None = None
    tax_code: str | None = None
    effective_start_date: date | None = None
    effective_end_date: date | None = None
    finance: FinanceInformation = NO_FINANCE

    @property
    def is_discount(self) -> bool:
        """Whether it is of one of the models that no memo is made from (domain.md 1.2)."""
        return self.charge_model in (ChargeModel.DISCOUNT_FIXED_AMOUNT, ChargeModel.DISCOUNT_PERCENTAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxRate:
    """A rate of the tax engine `table`, found by tax code, jurisdiction and name (domain.md 7.23)."""

    tax_code: str
    jurisdiction: str
    name: str
    rate: Decimal
    location_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledTax:
    """A taxation item of an invoice or debit memo (domain.md 2.7, 2.8)."""

    id: str
    position: int
    name: str
    tax_amount: int
    tax_rate: Decimal
    exempt_amount: int = 0
    credited: int = 0
    paid: int = 0
    tax_rate_type: TaxRateType = TaxRateType.PERCENTAGE
    tax_rate_description: str | None = None
    jurisdiction: str | None = None
    location_code: str | None = None
    tax_code: str | None = None
    tax_code_description: str | None = None
    tax_date: date | None = None
    engine: TaxEngineKind = TaxEngineKind.NONE
    finance: FinanceInformation = NO_FINANCE
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_balance(self.tax_amount, self.credited, self.paid)

    @property
    def worth(self) -> int:
        """What is owed on it before credit and payment."""
        return self.tax_amount


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledItem:
    """A line of an invoice or debit memo with its taxes (domain.md 2.7, 2.8)."""

    id: str
    position: int
    name: str
    """`chargeName` of an invoice's line, `skuName` of a debit memo's."""
    amount: int
    """`amount` of a debit memo's line: gross of an inclusive one; of an invoice's line the same as `net`."""
    net: int
    """`chargeAmount`, `amountWithoutTax`."""
    credited: int = 0
    paid: int = 0
    processing_type: ProcessingType = ProcessingType.CHARGE
    applied_to_item_id: str | None = None
    sku: str | None = None
    product_name: str | None = None
    description: str | None = None
    tax_mode: TaxMode = TaxMode.TAX_EXCLUSIVE
    tax_code: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    unit_of_measure: str | None = None
    service_start_date: date | None = None
    service_end_date: date | None = None
    subscription_id: str | None = None
    product_rate_plan_charge_id: str | None = None
    finance: FinanceInformation = NO_FINANCE
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    taxes: tuple[BilledTax, ...] = ()

    def __post_init__(self) -> None:
        _check_balance(self.net, self.credited, self.paid)

    @property
    def worth(self) -> int:
        """What is owed on it before credit and payment, its taxes aside."""
        return self.net

    @property
    def tax_amount(self) -> int:
        """The sum of its taxes."""
        return sum(tax.tax_amount for tax in self.taxes)

    @property
    def source_item_type(self) -> ItemSourceType:
        """What kind of thing the line was billed for (domain.md 2.8)."""
        if self.processing_type is ProcessingType.ROUNDING:
            return ItemSourceType.ROUNDING
        if self.subscription_id is not None:
            return ItemSourceType.SUBSCRIPTION_COMPONENT
        if self.product_rate_plan_charge_id is not None:
            return ItemSourceType.PRODUCT_RATE_PLAN_CHARGE
        return ItemSourceType.NONE


BilledLine = BilledItem | BilledTax
"""What money lies on: an item or one of its taxes."""


def _check_balance(worth: int, credited: int, paid: int) -> None:
    """Assert domain.md 4.2.6 for one line, mirrored for negative ones."""
    sign = -1 if worth < 0 else 1
    assert sign * credited >= 0, "nothing is credited against a line's sign"
    assert sign * paid >= 0, "nothing is paid against a line's sign"
    assert sign * (worth - credited - paid) >= 0, "a balance keeps its line's sign"


@dataclass(frozen=True, kw_only=True)
class BilledDocument:
    """An invoice or a debit memo with all its lines (domain.md 2.7, 2.8)."""

    id: str
    """`inv_` or `dm_`."""
    number: str
    account_id: str
    currency: Currency
    status: MemoStatus
    document_date: date
    due_date: date
    items: tuple[BilledItem, ...]
    comment: str | None = None
    reason_code: str | None = None
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.amount >= 0, "a document never owes its customer"
        assert 0 <= self.balance <= self.amount, "domain.md 4.2.8"

    @property
    def is_invoice(self) -> bool:
        """Whether it is an invoice; else it is a debit memo."""
        return self.id.startswith("inv_")

    @property
    def kind(self) -> str:
        """How a message calls its kind."""
        return "Invoice" if self.is_invoice else "Debit memo"

    @cached_property
    def lines(self) -> tuple[BilledLine, ...]:
        """All lines, each item followed by its taxes (domain.md 4.4)."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[BilledLine]:
        for item in self.items:
            yield item
            yield from item.taxes

    @cached_property
    def amount_without_tax(self) -> int:
        """The sum of the lines' net."""
        return sum(item.net for item in self.items)

    @cached_property
    def tax_amount(self) -> int:
        """The sum of the taxes."""
        return sum(item.tax_amount for item in self.items)

    @cached_property
    def exempt_amount(self) -> int:
        """The tax that exemptions waived."""
        return sum(tax.exempt_amount for item in self.items for tax in item.taxes)

    @property
    def amount(self) -> int:
        """The total including tax."""
        return self.amount_without_tax + self.tax_amount

    @cached_property
    def credited(self) -> int:
        """What credit memos were applied."""
        return sum(line.credited for line in self.lines)

    @cached_property
    def paid(self) -> int:
        """What was paid otherwise."""
        return sum(line.paid for line in self.lines)

    @property
    def balance(self) -> int:
        """What is still owed."""
        return self.amount - self.credited - self.paid


def due_date(day: date, term_days: int) -> date:
    """The day a payment term after another ends; the calendar's last day where it ends beyond."""
    return date.max if (date.max - day).days < term_days else day + timedelta(days=term_days)
