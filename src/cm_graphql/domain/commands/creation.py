"""What a caller says to have credit memos made from an invoice or from product rate plan charges."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar

from cm_graphql.domain.commands.base import UNSET, Command, Doc, Json, Key, Unset
from cm_graphql.domain.enums import TaxMode, TaxRateType

_CUSTOM_FIELDS = Doc("Fields of your own; their names end in `__c`.")
_DESCRIPTION = Doc("Free text about the line, at most 255 characters.")
_CODE = "At most 100 characters. Left out, that of the line's source; null: none."


@dataclass(frozen=True, kw_only=True)
class NetSuite:
    """What an integration with NetSuite keeps with the document, each at most 255 characters.

    A field left out stays as it is; null clears it.
    """

    integration_id: Annotated[str | Unset | None, Doc("The reference's `IntegrationId__NS`.")] = UNSET
    integration_status: Annotated[str | Unset | None, Doc("The reference's `IntegrationStatus__NS`.")] = UNSET
    origin: Annotated[str | Unset | None, Doc("The reference's `Origin__NS`.")] = UNSET
    sync_date: Annotated[str | Unset | None, Doc("The reference's `SyncDate__NS`.")] = UNSET
    transaction: Annotated[str | Unset | None, Doc("The reference's `Transaction__NS`.")] = UNSET


@dataclass(frozen=True, kw_only=True)
class LineFinanceInformation:
    """Where a line is booked: names of accounting codes and of a revenue recognition rule."""

    deferred_revenue_accounting_code: Annotated[str | Unset | None, Doc(f"Deferred revenue. {_CODE}")] = UNSET
    recognized_revenue_accounting_code: Annotated[str | Unset | None, Doc(f"Recognized revenue. {_CODE}")] = UNSET
    on_account_accounting_code: Annotated[str | Unset | None, Doc(f"On account. {_CODE}")] = UNSET
    revenue_recognition_rule_name: Annotated[
        str | Unset | None, Doc(f"The rule by which revenue is recognized. {_CODE}")
    ] = UNSET


@dataclass(frozen=True, kw_only=True)
class TaxFinanceInformation:
    """Where a tax is booked: names of accounting codes."""

    on_account_accounting_code: Annotated[str | Unset | None, Doc(f"On account. {_CODE}")] = UNSET
    sales_tax_payable_accounting_code: Annotated[str | Unset | None, Doc(f"Sales tax payable. {_CODE}")] = UNSET


@dataclass(frozen=True, kw_only=True)
class CreditMemoTaxItem:
    """A tax given by hand for one line made from an invoice item.

    What is left out is taken from the invoice's taxation item that this one credits: the one named by
    `sourceTaxItemId`, else the one with the same location code, jurisdiction and rate.
    """

    tax_amount: Annotated[
        Decimal | None,
        Doc("The tax, in the invoice's currency, with at most its decimals and the sign of its line. Always needed."),
    ] = None
    exempt_amount: Annotated[Decimal | None, Doc("The tax that an exemption waived; 0 when left out.")] = None
    name: Annotated[str | None, Doc("The name of the tax. Needed when no taxation item of the invoice matches.")] = None
    source_tax_item_id: Annotated[
        Key | None, Doc("The taxation item that is credited, of the very invoice item that the line is made from.")
    ] = None
    tax_rate: Annotated[Decimal | None, Doc("0.0625 is 6.25 %; at most 9 fraction digits. 0 when left out.")] = None
    tax_rate_type: Annotated[TaxRateType | None, Doc("PERCENTAGE when left out.")] = None
    tax_rate_description: Annotated[str | None, Doc("Free text about the rate, at most 255 characters.")] = None
    jurisdiction: Annotated[str | None, Doc("The state, province, county or city that levies the tax.")] = None
    location_code: Annotated[str | None, Doc("The identifier of that place.")] = None
    tax_code: Annotated[str | None, Doc("The tax code.")] = None
    tax_code_description: Annotated[str | None, Doc("Free text about the tax code, at most 255 characters.")] = None
    tax_date: Annotated[date | None, Doc("The day that the tax is levied on.")] = None
    finance_information: Annotated[TaxFinanceInformation | None, Doc("Where the tax is booked.")] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class CreditMemoItemFromInvoice:
    """One line, made from an item of the invoice; several lines may be made from the same item."""

    invoice_item_id: Annotated[Key, Doc("The item of that invoice.")]
    sku_name: Annotated[
        str, Doc("The name of the line. Another name than the invoice item's needs `credit_memos:override_name`.")
    ]
    amount: Annotated[
        Decimal,
        Doc(
            "In the invoice's currency, with at most its decimals: net where `taxMode` is TAX_EXCLUSIVE, gross where "
            "it is TAX_INCLUSIVE. Not negative, except for a discount, whose amount lies between its own and 0. "
            "0 is allowed, for pure tax credits and corrections of data."
        ),
    ]
    description: Annotated[str | None, _DESCRIPTION] = None
    quantity: Annotated[Decimal | None, Doc("How many units are credited; at most 9 fraction digits.")] = None
    service_start_date: Annotated[date | None, Doc("Left out, the invoice item's.")] = None
    service_end_date: Annotated[date | None, Doc("Left out, the invoice item's.")] = None
    unit_of_measure: Annotated[str | None, Doc("Left out, the invoice item's.")] = None
    tax_mode: Annotated[
        TaxMode,
        Doc(
            "Whether `amount` is net or gross. TAX_INCLUSIVE needs `taxAutoCalculation`, takes no `taxItems`, and "
            "needs every tax of the invoice item to come from the engine ZUORA_TAX."
        ),
    ] = TaxMode.TAX_EXCLUSIVE
    tax_items: Annotated[
        tuple[CreditMemoTaxItem, ...] | None,
        Doc(
            "Taxes by hand: only with `taxAutoCalculation` false, or on a line of 0, whose tax is then credited alone. "
            "At most 100."
        ),
    ] = None
    finance_information: Annotated[LineFinanceInformation | None, Doc("Where the line is booked.")] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


_COMMENT = Doc("Free text, at most 255 characters.")
_REASON = Doc("An active reason code for credit memos, in any capitals. Left out, the tenant's default.")
_EXCLUDE = Doc("Keep payment runs from using the memo by themselves.")
_AUTO_POST = Doc("Post the memo in the same transaction; if it cannot be posted, it is not created either.")
_NET_SUITE = Doc("What an integration with NetSuite keeps with the memo.")


@dataclass(frozen=True, kw_only=True)
class CreditMemoFromInvoice:
    """A draft that credits lines of a posted invoice: only the lines given, nothing by itself."""

    invoice_key: Annotated[Key, Doc("The posted invoice: its id, the bare 32 digits of it, or its number.")]
    items: Annotated[
        tuple[CreditMemoItemFromInvoice, ...] | None,
        Doc("1 to 1,000 lines. They are required: an invoice is never credited in full by leaving them out."),
    ] = None
    effective_date: Annotated[
        date | None,
        Doc(
            "The date of the memo: not before the invoice's and in no closed accounting period. Left out: today, or "
            "the invoice's date where that is later."
        ),
    ] = None
    comment: Annotated[str | None, _COMMENT] = None
    reason_code: Annotated[str | None, _REASON] = None
    tax_auto_calculation: Annotated[
        bool,
        Doc(
            "Compute each line's taxes from those of its invoice item, so that the credits of an item together give "
            "back exactly its tax. False: only the `taxItems` given."
        ),
    ] = True
    auto_apply_to_invoice_upon_posting: Annotated[bool, Doc("Apply the memo to the invoice when it is posted.")] = False
    exclude_from_auto_apply_rules: Annotated[bool, _EXCLUDE] = False
    auto_post: Annotated[bool, _AUTO_POST] = False
    net_suite: Annotated[NetSuite | None, _NET_SUITE] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class CreditMemoItemFromCharge:
    """One line, made from a charge of the catalog; its name and SKU come from there."""

    product_rate_plan_charge_id: Annotated[Key, Doc("The charge, of any charge model except the discounts.")]
    amount: Annotated[
        Decimal | None,
        Doc(
            "In the memo's currency, with at most its decimals, not negative. Left out, the charge's own price in that "
            "currency, times the quantity where it is priced per unit; other models need it."
        ),
    ] = None
    description: Annotated[str | None, _DESCRIPTION] = None
    quantity: Annotated[
        Decimal | None, Doc("How many units; above 0 for a usage charge, where it is 1 when left out.")
    ] = None
    service_start_date: Annotated[date | None, Doc("Left out, the effective start of the rate plan.")] = None
    service_end_date: Annotated[date | None, Doc("Left out, the effective end of the rate plan.")] = None
    exclude_item_billing_from_revenue_accounting: Annotated[bool, Doc("Keep the line out of revenue accounting.")] = (
        False
    )
    finance_information: Annotated[LineFinanceInformation | None, Doc("Where the line is booked.")] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class CreditMemoCustomRate:
    """An exchange rate to be used instead of the tenant's."""

    currency: Annotated[str, Doc("The ISO 4217 code of the home or the reporting currency.")]
    custom_fx_rate: Annotated[Decimal, Doc("Above 0, at most 9 integer and 9 fraction digits.")]
    rate_date: Annotated[date | None, Doc("The day of the rate.")] = None


@dataclass(frozen=True, kw_only=True)
class CreditMemoFromCharges:
    """A draft that stands alone: its lines are made from charges of the catalog, not from an invoice."""

    account_key: Annotated[Key, Doc("The account: its id, the bare 32 digits of it, or its number.")]
    charges: Annotated[
        tuple[CreditMemoItemFromCharge, ...] | None, Doc("1 to 1,000 lines, required. They may not all be 0.")
    ] = None
    currency: Annotated[str | None, Doc("The ISO 4217 code of an active currency. Left out, the account's.")] = None
    custom_rates: Annotated[tuple[CreditMemoCustomRate, ...] | None, Doc("At most 2 exchange rates.")] = None
    effective_date: Annotated[
        date | None, Doc("The date of the memo, in no closed accounting period. Left out, today.")
    ] = None
    number: Annotated[
        str | None,
        Doc("A number of your own: at most 32 of A-Z, a-z, 0-9, `_` and `-`, not like an id, and not taken."),
    ] = None
    comment: Annotated[str | None, _COMMENT] = None
    reason_code: Annotated[str | None, _REASON] = None
    exclude_from_auto_apply_rules: Annotated[bool, _EXCLUDE] = False
    auto_post: Annotated[bool, _AUTO_POST] = False
    net_suite: Annotated[NetSuite | None, _NET_SUITE] = None
    custom_fields: Annotated[Json | None, _CUSTOM_FIELDS] = None


@dataclass(frozen=True, kw_only=True)
class CreateCreditMemoFromInvoice(CreditMemoFromInvoice, Command):
    """Create a draft credit memo from lines of a posted invoice."""


@dataclass(frozen=True, kw_only=True)
class CreateCreditMemoFromCharges(CreditMemoFromCharges, Command):
    """Create a draft credit memo from charges of the catalog."""


@dataclass(frozen=True, kw_only=True)
class NewCreditMemo:
    """One memo of a bulk creation: exactly one of the two."""

    one_of: ClassVar[bool] = True

    from_invoice: Annotated[CreditMemoFromInvoice | None, Doc("Make it from lines of an invoice.")] = None
    from_charges: Annotated[CreditMemoFromCharges | None, Doc("Make it from charges of the catalog.")] = None


@dataclass(frozen=True, kw_only=True)
class CreateCreditMemos(Command):
    """Create up to 50 draft credit memos, each in its own transaction: one that fails does not stop the others."""

    memos: Annotated[tuple[NewCreditMemo, ...], Doc("1 to 50 memos with at most 10,000 lines in all.")]
