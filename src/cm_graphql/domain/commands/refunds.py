"""What a caller says to have what a credit memo has unapplied paid back."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from cm_graphql.domain.commands.base import Doc, Json, Key, MemoCommand
from cm_graphql.domain.commands.creation import CreditMemoCustomRate
from cm_graphql.domain.enums import PaymentMethodType, RefundType, TransferredToAccounting


@dataclass(frozen=True, kw_only=True)
class CreditMemoRefundItem:
    """How much is refunded from one credit memo line."""

    amount: Annotated[
        Decimal,
        Doc(
            "In the memo's currency, with at most its decimals; above 0 and at most what the line has unapplied. "
            "The amounts of all items add up to `totalAmount`. Lines below 0 cannot be refunded."
        ),
    ]
    credit_memo_item_id: Annotated[
        Key | None, Doc("The credit memo item that is refunded. Exactly one of this and `creditTaxItemId`.")
    ] = None
    credit_tax_item_id: Annotated[
        Key | None, Doc("The credit memo taxation item that is refunded. Exactly one of this and `creditMemoItemId`.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class GatewayOption:
    """A value that the payment gateway understands."""

    key: Annotated[str, Doc("Its name, at most 255 characters.")]
    value: Annotated[str, Doc("Its value, at most 255 characters.")]


@dataclass(frozen=True, kw_only=True)
class RefundFinanceInformation:
    """Where a refund is booked: names of accounting codes, each at most 100 characters."""

    bank_account_accounting_code: Annotated[str | None, Doc("Bank account.")] = None
    on_account_accounting_code: Annotated[str | None, Doc("On account.")] = None
    transferred_to_accounting: Annotated[
        TransferredToAccounting | None, Doc("Whether an accounting system has taken it over; NO when left out.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class RefundNetSuite:
    """What an integration with NetSuite keeps with the refund, each at most 255 characters."""

    integration_id: Annotated[str | None, Doc("The reference's `IntegrationId__NS`.")] = None
    integration_status: Annotated[str | None, Doc("The reference's `IntegrationStatus__NS`.")] = None
    origin: Annotated[str | None, Doc("The reference's `Origin__NS`.")] = None
    sync_date: Annotated[str | None, Doc("The reference's `SyncDate__NS`.")] = None
    sync_to_net_suite: Annotated[str | None, Doc("The reference's `SynctoNetSuite__NS`.")] = None


@dataclass(frozen=True, kw_only=True)
class RefundCreditMemo(MemoCommand):
    """Pay back what a posted credit memo has unapplied, or part of it; what is applied is to be unapplied first."""

    type: Annotated[
        RefundType,
        Doc(
            "EXTERNAL records money that went back outside, and needs `methodType`; ELECTRONIC has the payment gateway "
            "send it back, and needs `paymentMethodId`."
        ),
    ]
    total_amount: Annotated[
        Decimal,
        Doc(
            "In the memo's currency, with at most its decimals; above 0 and at most the memo's unapplied amount, "
            "tax included."
        ),
    ]
    method_type: Annotated[
        PaymentMethodType | None, Doc("How the money went back. EXTERNAL only, and required there.")
    ] = None
    payment_method_id: Annotated[
        Key | None, Doc("The account's electronic payment method to refund to. ELECTRONIC only, and required there.")
    ] = None
    refund_date: Annotated[
        date | None,
        Doc(
            "The day the money went back: not before the memo's date and in no closed accounting period. "
            "EXTERNAL only. Left out: today, or the memo's date where that is later."
        ),
    ] = None
    gateway_id: Annotated[
        str | None, Doc("The gateway to use. ELECTRONIC only. Left out: the account's, else the tenant's.")
    ] = None
    gateway_options: Annotated[
        tuple[GatewayOption, ...] | None, Doc("Passed on to the gateway, at most 100. ELECTRONIC only.")
    ] = None
    items: Annotated[
        tuple[CreditMemoRefundItem, ...] | None,
        Doc("Line by line, 1 to 1,000. Left out: the memo's open lines in their order, each in full before the next."),
    ] = None
    reason_code: Annotated[
        str | None,
        Doc("An active reason code for refunds, in any capitals. Left out, the tenant's default, `Standard Refund`."),
    ] = None
    comment: Annotated[str | None, Doc("Free text, at most 255 characters.")] = None
    reference_id: Annotated[
        str | None, Doc("What identifies the payment outside, such as a check number; at most 100 characters.")
    ] = None
    second_refund_reference_id: Annotated[str | None, Doc("A second such identifier, at most 100 characters.")] = None
    soft_descriptor: Annotated[str | None, Doc("What the payer's statement shows, at most 35 characters.")] = None
    soft_descriptor_phone: Annotated[
        str | None, Doc("The phone number on the payer's statement, at most 20 characters.")
    ] = None
    custom_rates: Annotated[tuple[CreditMemoCustomRate, ...] | None, Doc("At most 2 exchange rates.")] = None
    finance_information: Annotated[RefundFinanceInformation | None, Doc("Where the refund is booked.")] = None
    net_suite: Annotated[RefundNetSuite | None, Doc("What an integration with NetSuite keeps with the refund.")] = None
    custom_fields: Annotated[Json | None, Doc("Fields of your own; their names end in `__c`.")] = None
