"""What a billing system tells us: accounts, the catalog, invoices, debit memos, payment methods, and past memos.

Each document is found by its id, else by its number, else created; it replaces what was there as a whole.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from cm_graphql.domain.commands.base import Command, Doc, Json, Key
from cm_graphql.domain.commands.creation import LineFinanceInformation, NetSuite, TaxFinanceInformation
from cm_graphql.domain.enums import (
    AccountStatus,
    ChargeModel,
    ChargeType,
    ItemSourceType,
    MemoSource,
    MemoStatus,
    PaymentMethodType,
    ProcessingType,
    SourceType,
    TaxEngineKind,
    TaxMode,
    TaxRateType,
    TransferredToAccounting,
    YesNo,
)

_ID = Doc("The id of the one to replace, or that a new one shall have; 32 digits of your own are kept.")
_LINE_ID = Doc(
    "The id of the line to replace, or that a new one shall have. Left out, the line at this place keeps its id."
)
_NUMBER = Doc("1 to 32 of A-Z, a-z, 0-9, `_` and `-`, not like an id, and not another's.")
_CUSTOM_FIELDS = Doc("Fields of your own; their names end in `__c`.")
_ACCOUNT = Doc("The account: its id, the bare 32 digits of it, or its number.")
_CURRENCY = Doc("The ISO 4217 code of an active currency. Left out, the account's.")
_PAID = (
    "What was paid otherwise than by credit memos, in the document's currency. 0 when left out. "
    "Never more than is owed after the credit applied."
)
_DOCUMENT_PAID = Doc(
    f"{_PAID} Given here alone it is spread over the lines, the first first; else it must be the sum of the lines'."
)
_LINE_PAID = Doc(f"{_PAID} With the sign of the line.")
_SKU = Doc("The stock keeping unit.")
_QUANTITY = Doc("How many units; at most 9 integer and 9 fraction digits.")
_UNIT_PRICE = Doc("The price of one unit, not rounded to the currency; at most 9 integer and 9 fraction digits.")
_UNIT_OF_MEASURE = Doc("What one unit is.")
_SERVICE_START = Doc("The first day of service.")
_SERVICE_END = Doc("The last day of service.")
_SUBSCRIPTION = Doc("The subscription that was billed, as the billing system names it.")
_LINE_FINANCE = Doc("Where the line is booked; what is left out is none.")
_TAX_FINANCE = Doc("Where the tax is booked; what is left out is none.")
_TAX_CODE = Doc("The tax code.")


# --- accounts, catalog, payment methods -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class BillToContact:
    """The person that documents of an account are sent to; each text at most 255 characters."""

    first_name: Annotated[str | None, Doc("The first name.")] = None
    last_name: Annotated[str | None, Doc("The last name.")] = None
    work_email: Annotated[str | None, Doc("Where memos are mailed to.")] = None
    personal_email: Annotated[str | None, Doc("Where memos are mailed to when there is no work address.")] = None
    address1: Annotated[str | None, Doc("Street and house number.")] = None
    city: Annotated[str | None, Doc("The city.")] = None
    state: Annotated[str | None, Doc("The state or province.")] = None
    postal_code: Annotated[str | None, Doc("The postal code.")] = None
    country: Annotated[str | None, Doc("The country.")] = None


@dataclass(frozen=True, kw_only=True)
class SyncedAccount:
    """A customer account, as the billing system knows it."""

    id: Annotated[Key | None, _ID] = None
    number: Annotated[str, _NUMBER]
    name: Annotated[str, Doc("The name of the customer, at most 255 characters.")]
    currency: Annotated[str, Doc("The ISO 4217 code that its documents are in unless they say otherwise.")]
    status: Annotated[AccountStatus, Doc("Whether it is in use.")] = AccountStatus.ACTIVE
    bill_to_contact: Annotated[BillToContact | None, Doc("Whom documents are sent to.")] = None
    additional_email_addresses: Annotated[
        tuple[str, ...] | None, Doc("Further addresses that memos can be mailed to, at most 100.")
    ] = None
    payment_term_days: Annotated[int, Doc("Days from a document's date to its due date, 0 to 3,650.")] = 30
    gateway_id: Annotated[str | None, Doc("The payment gateway for its electronic refunds.")] = None
    sequence_set: Annotated[str | None, Doc("The name of the set that numbers its documents; else DEFAULT.")] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class SyncAccounts(Command):
    """Create or replace accounts, each in its own transaction."""

    accounts: Annotated[tuple[SyncedAccount, ...], Doc("1 to 100 accounts.")]


@dataclass(frozen=True, kw_only=True)
class ChargePrice:
    """The price of a charge in one currency."""

    currency: Annotated[str, Doc("The ISO 4217 code.")]
    price: Annotated[Decimal, Doc("Not rounded to the currency; at most 9 integer and 9 fraction digits.")]


@dataclass(frozen=True, kw_only=True)
class SyncedProductRatePlanCharge:
    """A charge of the catalog, with what memos take from its product and rate plan."""

    id: Annotated[Key | None, _ID] = None
    name: Annotated[str, Doc("The name of the charge, and of memo lines made from it; at most 255 characters.")]
    sku: Annotated[str | None, _SKU] = None
    charge_model: Annotated[ChargeModel, Doc("How it is priced. Memos cannot be made from the two discount models.")]
    charge_type: Annotated[ChargeType, Doc("When it is billed.")]
    prices: Annotated[tuple[ChargePrice, ...], Doc("At most one for each currency.")]
    unit_of_measure: Annotated[str | None, _UNIT_OF_MEASURE] = None
    taxable: Annotated[bool, Doc("Whether the tenant's tax engine prices memo lines made from it.")] = False
    tax_mode: Annotated[TaxMode | None, Doc("Whether its price is net or gross; net when left out.")] = None
    tax_code: Annotated[str | None, _TAX_CODE] = None
    effective_start_date: Annotated[date | None, Doc("When its rate plan starts; memo lines default to it.")] = None
    effective_end_date: Annotated[date | None, Doc("When its rate plan ends; memo lines default to it.")] = None
    finance_information: Annotated[LineFinanceInformation | None, _LINE_FINANCE] = None


@dataclass(frozen=True, kw_only=True)
class SyncProductRatePlanCharges(Command):
    """Create or replace charges of the catalog, each in its own transaction; one without id is found by its name."""

    product_rate_plan_charges: Annotated[tuple[SyncedProductRatePlanCharge, ...], Doc("1 to 100 charges.")]


@dataclass(frozen=True, kw_only=True)
class SyncedPaymentMethod:
    """A way to pay money back to an account."""

    id: Annotated[Key, Doc("Its id.")]
    account_key: Annotated[Key, _ACCOUNT]
    type: Annotated[PaymentMethodType, Doc("The kind of payment method.")]
    electronic: Annotated[bool, Doc("Whether a gateway can refund through it.")]


@dataclass(frozen=True, kw_only=True)
class SyncPaymentMethods(Command):
    """Create or replace payment methods, each in its own transaction."""

    payment_methods: Annotated[tuple[SyncedPaymentMethod, ...], Doc("1 to 100 payment methods.")]


# --- invoices and debit memos -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SyncedTaxItem:
    """A tax on a line of an invoice or debit memo."""

    id: Annotated[Key | None, _LINE_ID] = None
    name: Annotated[str, Doc("The name of the tax, at most 255 characters.")]
    tax_amount: Annotated[Decimal, Doc("The tax, in the document's currency, with the sign of its line.")]
    exempt_amount: Annotated[Decimal | None, Doc("The tax that an exemption waived; 0 when left out.")] = None
    tax_rate: Annotated[Decimal, Doc("0.0625 is 6.25 %; at most 9 fraction digits.")]
    tax_rate_type: Annotated[TaxRateType, Doc("How it is computed.")] = TaxRateType.PERCENTAGE
    tax_rate_description: Annotated[str | None, Doc("Free text about the rate.")] = None
    jurisdiction: Annotated[str | None, Doc("The state, province, county or city that levies the tax.")] = None
    location_code: Annotated[str | None, Doc("The identifier of that place.")] = None
    tax_code: Annotated[str | None, _TAX_CODE] = None
    tax_code_description: Annotated[str | None, Doc("Free text about the tax code.")] = None
    tax_date: Annotated[date | None, Doc("The day that the tax was levied on.")] = None
    engine: Annotated[TaxEngineKind, Doc("Which engine computed it; NONE for a tax by hand.")] = TaxEngineKind.NONE
    payments_applied: Annotated[Decimal | None, _LINE_PAID] = None
    finance_information: Annotated[TaxFinanceInformation | None, _TAX_FINANCE] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class SyncedItem:
    """What lines of invoices and debit memos have in common."""

    id: Annotated[Key | None, _LINE_ID] = None
    sku: Annotated[str | None, _SKU] = None
    processing_type: Annotated[
        ProcessingType, Doc("What the line does to the total; the amount of a DISCOUNT is 0 or less.")
    ] = ProcessingType.CHARGE
    applied_to_item_index: Annotated[
        int | None, Doc("For a DISCOUNT, which of these items it discounts, counted from 0.")
    ] = None
    tax_mode: Annotated[TaxMode, Doc("How the line was priced.")] = TaxMode.TAX_EXCLUSIVE
    tax_code: Annotated[str | None, _TAX_CODE] = None
    quantity: Annotated[Decimal | None, _QUANTITY] = None
    unit_price: Annotated[Decimal | None, _UNIT_PRICE] = None
    unit_of_measure: Annotated[str | None, _UNIT_OF_MEASURE] = None
    service_start_date: Annotated[date | None, _SERVICE_START] = None
    service_end_date: Annotated[date | None, _SERVICE_END] = None
    subscription_id: Annotated[str | None, _SUBSCRIPTION] = None
    product_rate_plan_charge_id: Annotated[Key | None, Doc("The charge of the catalog that was billed.")] = None
    finance_information: Annotated[LineFinanceInformation | None, _LINE_FINANCE] = None
    payments_applied: Annotated[Decimal | None, _LINE_PAID] = None
    tax_items: Annotated[tuple[SyncedTaxItem, ...] | None, Doc("Its taxes.")] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class SyncedInvoiceItem(SyncedItem):
    """A line of an invoice."""

    charge_name: Annotated[str, Doc("The name of the charge, at most 255 characters.")]
    product_name: Annotated[str | None, Doc("The name of the product.")] = None
    charge_amount: Annotated[Decimal, Doc("Always without tax, in the invoice's currency.")]


@dataclass(frozen=True, kw_only=True)
class SyncedDebitMemoItem(SyncedItem):
    """A line of a debit memo."""

    sku_name: Annotated[str, Doc("The name of the line, at most 255 characters.")]
    amount: Annotated[
        Decimal, Doc("In the debit memo's currency: net where `taxMode` is TAX_EXCLUSIVE, else with its taxes.")
    ]
    description: Annotated[str | None, Doc("Free text about the line, at most 255 characters.")] = None


@dataclass(frozen=True, kw_only=True)
class SyncedDocument:
    """What invoices and debit memos have in common. Amounts, tax and balances are computed from the lines."""

    id: Annotated[Key | None, _ID] = None
    account_key: Annotated[Key, _ACCOUNT]
    currency: Annotated[str | None, _CURRENCY] = None
    due_date: Annotated[date | None, Doc("Left out, its date plus the account's payment term.")] = None
    status: Annotated[MemoStatus, Doc("Only a POSTED one can be credited, paid and applied to.")] = MemoStatus.POSTED
    payments_applied: Annotated[Decimal | None, _DOCUMENT_PAID] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class SyncedInvoice(SyncedDocument):
    """An invoice. Once a memo was made from it or applied to it, payments, due date, texts and custom fields change."""

    invoice_number: Annotated[str, _NUMBER]
    invoice_date: Annotated[date, Doc("No memo made from it or applied to it is dated before.")]
    items: Annotated[tuple[SyncedInvoiceItem, ...], Doc("Its lines, at least 1; they add up to 0 or more.")]


@dataclass(frozen=True, kw_only=True)
class SyncedDebitMemo(SyncedDocument):
    """A debit memo. Once a memo was applied to it, only payments, due date, texts and custom fields change."""

    number: Annotated[str, _NUMBER]
    debit_memo_date: Annotated[date, Doc("No memo is applied to it before.")]
    comment: Annotated[str | None, Doc("Free text, at most 255 characters.")] = None
    reason_code: Annotated[str | None, Doc("A reason code for debit memos. Left out, the tenant's default.")] = None
    items: Annotated[tuple[SyncedDebitMemoItem, ...], Doc("Its lines, at least 1; they add up to 0 or more.")]


@dataclass(frozen=True, kw_only=True)
class SyncInvoices(Command):
    """Create or replace invoices, each in its own transaction."""

    invoices: Annotated[tuple[SyncedInvoice, ...], Doc("1 to 100 invoices with at most 20,000 lines, taxes included.")]


@dataclass(frozen=True, kw_only=True)
class SyncDebitMemos(Command):
    """Create or replace debit memos, each in its own transaction."""

    debit_memos: Annotated[
        tuple[SyncedDebitMemo, ...], Doc("1 to 100 debit memos with at most 20,000 lines, taxes included.")
    ]


# --- past credit memos ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SyncedCreditMemoTaxItem:
    """A tax on a line of a past credit memo."""

    id: Annotated[Key | None, _LINE_ID] = None
    name: Annotated[str, Doc("The name of the tax, at most 255 characters.")]
    tax_amount: Annotated[Decimal, Doc("The tax, in the memo's currency, with the sign of its line.")]
    exempt_amount: Annotated[Decimal | None, Doc("The tax that an exemption waived; 0 when left out.")] = None
    tax_rate: Annotated[Decimal, Doc("0.0625 is 6.25 %; at most 9 fraction digits.")]
    tax_rate_type: Annotated[TaxRateType, Doc("How it is computed.")] = TaxRateType.PERCENTAGE
    tax_rate_description: Annotated[str | None, Doc("Free text about the rate.")] = None
    jurisdiction: Annotated[str, Doc("The state, province, county or city that levies the tax.")] = ""
    location_code: Annotated[str | None, Doc("The identifier of that place.")] = None
    tax_code: Annotated[str | None, _TAX_CODE] = None
    tax_code_description: Annotated[str | None, Doc("Free text about the tax code.")] = None
    tax_date: Annotated[date | None, Doc("The day that the tax is levied on.")] = None
    source_tax_item_id: Annotated[Key | None, Doc("The invoice's taxation item that it credits.")] = None
    finance_information: Annotated[TaxFinanceInformation | None, _TAX_FINANCE] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class SyncedCreditMemoItem:
    """A line of a past credit memo."""

    id: Annotated[Key | None, _LINE_ID] = None
    sku_name: Annotated[str, Doc("The name of the line, at most 255 characters.")]
    sku: Annotated[str | None, _SKU] = None
    amount: Annotated[
        Decimal, Doc("In the memo's currency: net where `taxMode` is TAX_EXCLUSIVE, else with its taxes.")
    ]
    tax_mode: Annotated[TaxMode, Doc("Whether `amount` is net or gross.")] = TaxMode.TAX_EXCLUSIVE
    processing_type: Annotated[ProcessingType, Doc("CHARGE, or DISCOUNT, whose amount is 0 or less.")] = (
        ProcessingType.CHARGE
    )
    applied_to_item_index: Annotated[
        int | None, Doc("For a DISCOUNT, which of these items it discounts, counted from 0.")
    ] = None
    description: Annotated[str | None, Doc("Free text about the line, at most 255 characters.")] = None
    quantity: Annotated[Decimal | None, _QUANTITY] = None
    unit_price: Annotated[Decimal | None, _UNIT_PRICE] = None
    unit_of_measure: Annotated[str | None, _UNIT_OF_MEASURE] = None
    service_start_date: Annotated[date | None, _SERVICE_START] = None
    service_end_date: Annotated[date | None, _SERVICE_END] = None
    subscription_id: Annotated[str | None, _SUBSCRIPTION] = None
    source_item_type: Annotated[ItemSourceType, Doc("What kind of thing the line was made from.")]
    source_item_id: Annotated[Key, Doc("That thing: an invoice item for INVOICE_DETAIL, a charge, ...")]
    exclude_item_billing_from_revenue_accounting: Annotated[bool, Doc("Keep the line out of revenue accounting.")] = (
        False
    )
    finance_information: Annotated[LineFinanceInformation | None, _LINE_FINANCE] = None
    tax_items: Annotated[tuple[SyncedCreditMemoTaxItem, ...] | None, Doc("Its taxes.")] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class SyncedCreditMemo:
    """A credit memo that another system made. A posted one arrives wholly unapplied."""

    id: Annotated[Key | None, _ID] = None
    number: Annotated[str, _NUMBER]
    account_key: Annotated[Key, _ACCOUNT]
    currency: Annotated[str | None, _CURRENCY] = None
    status: Annotated[MemoStatus, Doc("Where it stands.")] = MemoStatus.POSTED
    credit_memo_date: Annotated[date, Doc("The day it takes effect.")]
    target_date: Annotated[date | None, Doc("The target date of a bill run.")] = None
    source: Annotated[MemoSource, Doc("How it came about.")]
    source_type: Annotated[SourceType, Doc("What kind of thing it was made from.")]
    source_id: Annotated[str | None, Doc("The number of the bill run for BILL_RUN.")] = None
    referred_invoice_key: Annotated[Key | None, Doc("The invoice it was made from.")] = None
    comment: Annotated[str | None, Doc("Free text, at most 255 characters.")] = None
    reason_code: Annotated[str | None, Doc("A reason code; past ones need not be active or known.")] = None
    auto_apply_upon_posting: Annotated[bool, Doc("Apply to the invoice it was made from when posted.")] = False
    exclude_from_auto_apply_rules: Annotated[bool, Doc("Keep payment runs from using it by themselves.")] = False
    revenue_impacting: Annotated[YesNo, Doc("NO only for a non-revenue write-off.")] = YesNo.YES
    transferred_to_accounting: Annotated[
        TransferredToAccounting, Doc("Whether an accounting system has taken it over.")
    ] = TransferredToAccounting.NO
    net_suite: Annotated[NetSuite | None, Doc("What an integration with NetSuite keeps with the memo.")] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None
    items: Annotated[tuple[SyncedCreditMemoItem, ...], Doc("Its lines, at least 1; they add up to 0 or more.")]


@dataclass(frozen=True, kw_only=True)
class SyncCreditMemos(Command):
    """Bring in past credit memos, for administrators, each in its own transaction; one in use stays as it is."""

    credit_memos: Annotated[
        tuple[SyncedCreditMemo, ...], Doc("1 to 100 credit memos with at most 20,000 lines, taxes included.")
    ]
