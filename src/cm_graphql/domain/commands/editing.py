"""What a caller says to have a credit memo changed: a field left out stays as it is, null clears it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from cm_graphql.domain.commands.base import UNSET, Command, Doc, Json, Key, MemoCommand, Unset
from cm_graphql.domain.commands.creation import LineFinanceInformation, NetSuite, TaxFinanceInformation
from cm_graphql.domain.enums import TaxRateType, TransferredToAccounting

_CUSTOM_FIELDS = Doc(
    "Fields of your own; their names end in `__c`. Those given change, a null one goes; null for all clears them."
)


@dataclass(frozen=True, kw_only=True)
class CreditMemoTaxItemUpdate:
    """Changes of one taxation item, on a line whose tax is given by hand."""

    id: Annotated[Key, Doc("The taxation item, of that very line.")]
    tax_amount: Annotated[
        Decimal | Unset | None, Doc("The tax, with at most the currency's decimals and the sign of its line.")
    ] = UNSET
    exempt_amount: Annotated[Decimal | Unset | None, Doc("The tax that an exemption waived; null is 0.")] = UNSET
    name: Annotated[str | Unset | None, Doc("The name of the tax; not null.")] = UNSET
    tax_rate: Annotated[Decimal | Unset | None, Doc("0.0625 is 6.25 %; not null.")] = UNSET
    tax_rate_type: Annotated[TaxRateType | Unset | None, Doc("How the tax is computed; not null.")] = UNSET
    tax_rate_description: Annotated[str | Unset | None, Doc("Free text about the rate.")] = UNSET
    jurisdiction: Annotated[str | Unset | None, Doc("The state, province, county or city; not null.")] = UNSET
    location_code: Annotated[str | Unset | None, Doc("The identifier of that place.")] = UNSET
    tax_code: Annotated[str | Unset | None, Doc("The tax code.")] = UNSET
    tax_code_description: Annotated[str | Unset | None, Doc("Free text about the tax code.")] = UNSET
    tax_date: Annotated[date | Unset | None, Doc("The day that the tax is levied on.")] = UNSET
    finance_information: Annotated[TaxFinanceInformation | None, Doc("Where the tax is booked.")] = None
    custom_fields: Annotated[Json | Unset | None, _CUSTOM_FIELDS] = UNSET


@dataclass(frozen=True, kw_only=True)
class CreditMemoItemUpdate:
    """Changes of one line, its deletion (`delete`), or a new line made from a charge (no `id`)."""

    id: Annotated[Key | None, Doc("The line to change or delete. Left out, a line is added.")] = None
    delete: Annotated[bool, Doc("Delete the line, which takes no other changes then.")] = False
    product_rate_plan_charge_id: Annotated[
        Key | None, Doc("The charge that a new line is made from: only on memos made from charges.")
    ] = None
    amount: Annotated[
        Decimal | Unset | None,
        Doc(
            "The amount without tax; not null. An automatic tax is computed anew. A new line may leave it out where "
            "the charge tells a price."
        ),
    ] = UNSET
    description: Annotated[str | Unset | None, Doc("Free text about the line, at most 255 characters.")] = UNSET
    quantity: Annotated[Decimal | Unset | None, Doc("How many units; above 0 for a usage charge.")] = UNSET
    service_start_date: Annotated[date | Unset | None, Doc("The first day of service.")] = UNSET
    service_end_date: Annotated[date | Unset | None, Doc("The last day of service.")] = UNSET
    sku_name: Annotated[
        str | Unset | None,
        Doc("The name of the line; not null. Another name than its source's needs `credit_memos:override_name`."),
    ] = UNSET
    unit_of_measure: Annotated[str | Unset | None, Doc("What one unit is.")] = UNSET
    exclude_item_billing_from_revenue_accounting: Annotated[
        bool | Unset | None, Doc("Keep the line out of revenue accounting; not null.")
    ] = UNSET
    finance_information: Annotated[LineFinanceInformation | None, Doc("Where the line is booked.")] = None
    tax_items: Annotated[
        tuple[CreditMemoTaxItemUpdate, ...] | None, Doc("Changes of its taxation items, at most 100.")
    ] = None
    custom_fields: Annotated[Json | Unset | None, _CUSTOM_FIELDS] = UNSET


@dataclass(frozen=True, kw_only=True)
class CreditMemoChanges:
    """What of a memo can change.

    In a draft everything; in a posted memo comment, reason code, `transferredToAccounting`,
    `excludeFromAutoApplyRules`, NetSuite and custom fields; in a canceled one the last two and
    `transferredToAccounting`.
    """

    auto_apply_upon_posting: Annotated[
        bool | Unset | None, Doc("Apply it when posted to the invoice it was made from; not null.")
    ] = UNSET
    exclude_from_auto_apply_rules: Annotated[
        bool | Unset | None, Doc("Keep payment runs from using it by themselves; not null.")
    ] = UNSET
    comment: Annotated[str | Unset | None, Doc("Free text, at most 255 characters.")] = UNSET
    effective_date: Annotated[
        date | Unset | None,
        Doc("The date of the memo: not before its invoice's, in no closed accounting period; not null."),
    ] = UNSET
    reason_code: Annotated[
        str | Unset | None,
        Doc("An active reason code for credit memos; null or empty: none. Needs `credit_memos:change_reason`."),
    ] = UNSET
    transferred_to_accounting: Annotated[
        TransferredToAccounting | Unset | None,
        Doc(
            "Whether an accounting system has taken it over; not null. Leaving YES needs "
            "`credit_memos:override_transferred`."
        ),
    ] = UNSET
    items: Annotated[
        tuple[CreditMemoItemUpdate, ...] | None,
        Doc("Lines to change, delete or add, at most 1,000. Lines not named stay. Not for tax-inclusive lines."),
    ] = None
    net_suite: Annotated[NetSuite | Unset | None, Doc("What an integration with NetSuite keeps with it.")] = UNSET
    custom_fields: Annotated[Json | Unset | None, _CUSTOM_FIELDS] = UNSET


@dataclass(frozen=True, kw_only=True)
class UpdateCreditMemo(CreditMemoChanges, MemoCommand):
    """Change a credit memo: what is left out stays as it is."""


@dataclass(frozen=True, kw_only=True)
class CreditMemoUpdate(CreditMemoChanges):
    """The changes of one memo of a bulk update."""

    key: Annotated[Key, Doc("The credit memo: its id, the bare 32 digits of it, or its number.")]
    if_version: Annotated[int | None, Doc("Refuse with STALE_VERSION when the memo's version is another by now.")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class UpdateCreditMemos(Command):
    """Change up to 50 credit memos, each in its own transaction: one that fails does not stop the others."""

    memos: Annotated[tuple[CreditMemoUpdate, ...], Doc("1 to 50 memos.")]
