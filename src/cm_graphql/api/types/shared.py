"""Fields and small types that several documents share."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Self

import strawberry

from cm_graphql.fields.declare import Declared, column, embedded, group, one
from cm_graphql.fields.wire import show_amount
from cm_graphql.store.memos import NO_NUMBER


def shown_number(number: str | None) -> str | None:
    """Hide the placeholder that a memo of a dry run has in place of a number."""
    return None if number is None or number.startswith(NO_NUMBER) else number


def _text(description: str) -> Any:
    return strawberry.field(description=description, default=None)


@strawberry.type(
    description="What an integration with NetSuite noted on the document; texts of at most 255 characters."
)
class NetSuite:
    """The NetSuite fields (domain.md 0)."""

    integration_id: str | None = _text("The id of the object in NetSuite.")
    integration_status: str | None = _text("Where the synchronization with NetSuite stands.")
    origin: str | None = _text("Where the object comes from in NetSuite.")
    sync_date: str | None = _text("When it was last synchronized, as NetSuite wrote it.")
    transaction: str | None = _text("The related transaction in NetSuite.")

    @classmethod
    def of(cls, stored: Mapping[str, str | None]) -> Self:
        """Read the JSON column."""
        return cls(
            integration_id=stored.get("integration_id"),
            integration_status=stored.get("integration_status"),
            origin=stored.get("origin"),
            sync_date=stored.get("sync_date"),
            transaction=stored.get("transaction"),
        )


@strawberry.type(description="What an integration with NetSuite noted on a refund; texts of at most 255 characters.")
class RefundNetSuite:
    """The NetSuite fields of a refund, which differ by one (domain.md 0)."""

    integration_id: str | None = _text("The id of the object in NetSuite.")
    integration_status: str | None = _text("Where the synchronization with NetSuite stands.")
    origin: str | None = _text("Where the object comes from in NetSuite.")
    sync_date: str | None = _text("When it was last synchronized, as NetSuite wrote it.")
    sync_to_net_suite: str | None = _text("Whether the refund is to be synchronized with NetSuite.")

    @classmethod
    def of(cls, stored: Mapping[str, str | None]) -> Self:
        """Read the JSON column."""
        return cls(
            integration_id=stored.get("integration_id"),
            integration_status=stored.get("integration_status"),
            origin=stored.get("origin"),
            sync_date=stored.get("sync_date"),
            sync_to_net_suite=stored.get("sync_to_net_suite"),
        )


@strawberry.type(description="An exchange rate that was given for one document instead of the tenant's.")
class CustomRate:
    """One of `customRates` (domain.md 1.2)."""

    currency: str = strawberry.field(description="The ISO 4217 code of the currency converted to.")
    custom_fx_rate: Decimal = strawberry.field(
        description="How much of that currency one unit of the document's currency is."
    )
    rate_date: date | None = strawberry.field(description="The day of the rate; null when it was not said.")

    @classmethod
    def listed(cls, stored: list[Mapping[str, Any]] | None) -> list[Self]:
        """Read the JSON column."""
        return [
            cls(
                currency=rate["currency"],
                custom_fx_rate=Decimal(rate["custom_fx_rate"]),
                rate_date=None if rate.get("rate_date") is None else date.fromisoformat(rate["rate_date"]),
            )
            for rate in stored or ()
        ]


@strawberry.type(description="An amount and its currency.")
class CurrencyAmount:
    """Money with its currency beside it."""

    currency: str = strawberry.field(description="The ISO 4217 code.")
    amount: Decimal = strawberry.field(description="The amount, with the currency's decimals.")

    @classmethod
    def of(cls, amount: int, currency: str) -> Self:
        """Take ten-thousandths."""
        return cls(currency=currency, amount=show_amount(amount, currency))  # type: ignore[arg-type]  # wire form


@group("Where a line is booked: names of accounting codes, at most 100 characters each.")
class FinanceInformation:
    """The finance information of a line (domain.md 2.2)."""

    deferred_revenue_accounting_code = column("The accounting code of revenue not earned yet.")
    deferred_revenue_accounting_code_type = column("The kind of that accounting code.")
    recognized_revenue_accounting_code = column("The accounting code of revenue earned.")
    recognized_revenue_accounting_code_type = column("The kind of that accounting code.")
    on_account_accounting_code = column("The accounting code of credit that is not applied yet.")
    on_account_accounting_code_type = column("The kind of that accounting code.")
    non_revenue_write_off_accounting_code = column("The accounting code of write-offs that do not affect revenue.")
    non_revenue_write_off_accounting_code_type = column("The kind of that accounting code.")
    revenue_recognition_rule_name = column("The rule by which revenue is recognized.")
    revenue_schedule_number = column("The number of the revenue schedule, such as RS-00000001.")


@group("Where a tax is booked: names of accounting codes, at most 100 characters each.")
class TaxFinanceInformation:
    """The finance information of a taxation item (domain.md 2.3)."""

    on_account_accounting_code = column("The accounting code of credit that is not applied yet.")
    on_account_accounting_code_type = column("The kind of that accounting code.")
    sales_tax_payable_accounting_code = column("The accounting code of tax that is owed to the authority.")
    sales_tax_payable_accounting_code_type = column("The kind of that accounting code.")


AUDIT: Mapping[str, Declared] = {
    "created_by_id": column("Who made it: the id of a user or an API key.", type=strawberry.ID),
    "created_date": column("When it was made."),
    "updated_by_id": column("Who changed it last: the id of a user or an API key.", type=strawberry.ID),
    "updated_date": column("When it was last changed."),
}
"""Who made a row and who changed it last."""

CUSTOM_FIELDS: Mapping[str, Declared] = {
    "custom_fields": column("The tenant's own fields, an object whose keys end in `__c`."),
}

ORGANIZATION: Mapping[str, Declared] = {
    "organization_label": column("The organization within the tenant; null unless there are several."),
}

NET_SUITE: Mapping[str, Declared] = {
    "net_suite": column("What an integration with NetSuite noted.", type=NetSuite, shown=NetSuite.of),
}

FINANCE: Mapping[str, Declared] = {
    "finance_information": embedded(FinanceInformation, "Where the line is booked."),
}

TAX_FINANCE: Mapping[str, Declared] = {
    "finance_information": embedded(TaxFinanceInformation, "Where the tax is booked."),
}

DELIVERY: Mapping[str, Declared] = {
    "quantity": column("How many units; null when that was not said."),
    "unit_price": column("The price of one unit, in the document's currency; not rounded to its decimals."),
    "unit_of_measure": column("What a unit is."),
    "service_start_date": column("The first day of the service."),
    "service_end_date": column("The last day of the service."),
    "subscription_id": column("The id of the subscription, which lives in another system."),
}
"""What a line is for, on lines of all documents."""

TAX: Mapping[str, Declared] = {
    "name": column("The tax's name."),
    "tax_amount": column("The tax, in the document's currency."),
    "exempt_amount": column("Tax that was waived by an exemption."),
    "location_code": column("The place that the tax is for."),
    "tax_code": column("The tax code that chose the tax."),
    "tax_code_description": column("What the tax code stands for."),
    "tax_date": column("The day whose rate was taken."),
    "tax_rate": column("The rate: 0.0625 is 6.25 % when the type is PERCENTAGE, an amount when it is FLAT_FEE."),
    "tax_rate_description": column("What the rate stands for."),
    "tax_rate_type": column("How the tax is computed."),
}
"""What a taxation item says of its tax, on all documents; the jurisdiction is declared by each."""

MEMO_BILLING: Mapping[str, Declared] = {
    "tax_status": column("What a third-party tax engine answered; null when none was asked."),
    "tax_message": column("Why computing the tax failed."),
    "latest_pdf_file_id": column("The id of the file with the newest PDF."),
    "posted_by_id": column("Who posted it last; kept when it is unposted.", type=strawberry.ID | None),
    "posted_on": column("When it was posted last; kept when it is unposted."),
    "cancelled_by_id": column("Who canceled it.", type=strawberry.ID | None),
    "cancelled_on": column("When it was canceled."),
    "bill_to_contact_id": column("The contact billed; null for the account's own."),
    "bill_to_contact": one("Contact", "The contact billed; null for the account's own."),
    "bill_to_contact_snapshot_id": column("The copy of that contact made when the document was posted."),
    "invoice_group_number": column("The group of documents that it is billed with."),
    "sequence_set_id": column("The set of number sequences that its number comes from; null for the account's own."),
    "communication_profile_id": column("The profile that says how customers are told."),
    "einvoice_status": column("Where the electronic invoice stands; null when there is none."),
    "einvoice_file_id": column("The file of the electronic invoice."),
    "einvoice_error_code": column("The code of what went wrong with the electronic invoice."),
    "einvoice_error_message": column("What went wrong with the electronic invoice."),
}
"""What credit memos and debit memos have in common beside their amounts (domain.md 2.1, 2.7)."""
