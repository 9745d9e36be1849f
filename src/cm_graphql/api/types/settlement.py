"""Where a posted memo's money lies, and the refunds that paid it out, as clients read them."""

from sqlalchemy import select

from cm_graphql.api.types.shared import AUDIT, CUSTOM_FIELDS, ORGANIZATION, CustomRate, RefundNetSuite
from cm_graphql.fields.declare import Node, Order, column, embedded, group, many, node, one
from cm_graphql.store import tables as t

__all__ = ["CreditMemoItemPart", "CreditMemoPart", "Refund", "RefundFinanceInformation", "RefundItemPart", "RefundPart"]


@node(
    "cmp",
    t.credit_memo_parts,
    description="A share of a posted credit memo: what one target received, or what is unapplied.",
    scope="credit_memos:read",
    owner=lambda parts: (
        select(t.credit_memos.c.account_id).where(t.credit_memos.c.id == parts.c.credit_memo_id).scalar_subquery()
    ),
    filters=("amount", "invoice_id", "debit_memo_id", "created_date", "updated_date"),
    sorts=("amount", "created_date", "updated_date"),
    order=(Order("created_date"),),
    also={**ORGANIZATION, **AUDIT},
)
class CreditMemoPart(Node):
    """A part of a credit memo (domain.md 2.4)."""

    credit_memo_id = column("The memo it is a share of.")
    credit_memo = one("CreditMemo", "The memo it is a share of.")
    currency = column("The ISO 4217 code of the memo's currency.")
    amount = column("How much; 0 only when its item parts cancel each other out.")
    invoice_id = column("The invoice that received it; null in a debit memo's part and in the unapplied part.")
    invoice = one("Invoice", "The invoice that received it; null in a debit memo's part and in the unapplied part.")
    debit_memo_id = column("The debit memo that received it; null in an invoice's part and in the unapplied part.")
    debit_memo = one(
        "DebitMemo", "The debit memo that received it; null in an invoice's part and in the unapplied part."
    )

    item_parts = many(
        "CreditMemoItemPart", "Which lines it consists of, in the order of release.", by="part_id", page=50, most=250
    )


@node(
    "cip",
    t.credit_memo_item_parts,
    description="How much of one line of a credit memo lies in a part, and on which line of its target.",
    scope="credit_memos:read",
    owner=lambda parts: (
        select(t.credit_memos.c.account_id).where(t.credit_memos.c.id == parts.c.credit_memo_id).scalar_subquery()
    ),
    filters=(
        "amount",
        "credit_memo_item_id",
        "credit_tax_item_id",
        "invoice_item_id",
        "debit_memo_item_id",
        "tax_item_id",
    ),
    sorts=("amount", "created_date", "updated_date"),
    order=(Order("position"),),
    also=AUDIT,
)
class CreditMemoItemPart(Node):
    """An item part (domain.md 2.5)."""

    position = column("Its place in the order of release within the memo.", hidden=True)
    part_id = column("The part it belongs to.")
    part = one("CreditMemoPart", "The part it belongs to.")
    currency = column("The ISO 4217 code of the memo's currency.")
    amount = column("How much; negative only between negative lines.")
    credit_memo_item_id = column("The line it comes from; null when it comes from a taxation item.")
    credit_memo_item = one("CreditMemoItem", "The line it comes from; null when it comes from a taxation item.")
    credit_tax_item_id = column("The taxation item it comes from; null when it comes from a line.")
    credit_tax_item = one("CreditMemoTaxationItem", "The taxation item it comes from; null when it comes from a line.")
    invoice_item_id = column("The invoice item that received it, if one did.")
    invoice_item = one("InvoiceItem", "The invoice item that received it, if one did.")
    debit_memo_item_id = column("The debit memo item that received it, if one did.")
    debit_memo_item = one("DebitMemoItem", "The debit memo item that received it, if one did.")
    tax_item_id = column("The taxation item, of an invoice or a debit memo, that received it, if one did.")
    tax_item = one("Node", "The taxation item, of an invoice or a debit memo, that received it, if one did.")


@group("Where a refund is booked: names of accounting codes, at most 100 characters each.")
class RefundFinanceInformation:
    """The finance information of a refund (domain.md 2.6)."""

    bank_account_accounting_code = column("The accounting code of the bank account.")
    bank_account_accounting_code_type = column("The kind of that accounting code.")
    unapplied_payment_accounting_code = column("The accounting code of payments that are not applied.")
    unapplied_payment_accounting_code_type = column("The kind of that accounting code.")
    on_account_accounting_code = column("The accounting code of credit that is not applied.")
    on_account_accounting_code_type = column("The kind of that accounting code.")
    transferred_to_accounting = column("Whether an accounting system has taken the refund over.")


@node(
    "ref",
    t.refunds,
    description="Money paid back to a customer.",
    scope="credit_memos:read",
    owner=lambda refunds: refunds.c.account_id,
    filters=(
        "number",
        "account_id",
        "credit_memo_id",
        "amount",
        "currency",
        "type",
        "method_type",
        "status",
        "refund_date",
        "reason_code",
        "created_date",
        "updated_date",
    ),
    sorts=("number", "amount", "refund_date", "status", "created_date", "updated_date"),
    search=(t.refunds.c.number, t.refunds.c.comment),
    order=(Order("number", descending=True),),
    also={**ORGANIZATION, **CUSTOM_FIELDS, **AUDIT},
)
class Refund(Node):
    """A refund (domain.md 2.6)."""

    number = column("The number, such as R-00000001.")
    account_id = column("The account refunded.")
    account = one("Account", "The account refunded.")
    credit_memo_id = column("The credit memo refunded; null for a refund of a payment.")
    credit_memo = one("CreditMemo", "The credit memo refunded; null for a refund of a payment, or when it was deleted.")
    payment_id = column("The payment refunded, which lives in another system; null for a refund of a credit memo.")
    currency = column("The ISO 4217 code that its amounts are in.")
    amount = column("How much was paid back.")
    type = column("Who carries it out.")
    method_type = column("How the money goes back.")
    status = column("Where it stands.")
    refund_date = column("The day of the refund.")
    reason_code = column("Why: the name of a reason code.")
    comment = column("A remark, at most 255 characters.")
    payment_method_id = column("The payment method used; null for external refunds.")
    payment_method = one("PaymentMethod", "The payment method used; null for external refunds.")
    payment_method_snapshot_id = column("The copy of the payment method made for the refund.")
    gateway_id = column("The payment gateway; null for external refunds.")
    gateway_response = column("What the gateway said.")
    gateway_response_code = column("The code that the gateway gave.")
    gateway_state = column("What the gateway has done.")
    gateway_options = column("Options that were handed to the gateway, an object.")
    reference_id = column("The gateway's id of the transaction, at most 100 characters.")
    second_refund_reference_id = column("The gateway's second id of the transaction, at most 100 characters.")
    soft_descriptor = column("The text on the customer's statement, at most 35 characters.")
    soft_descriptor_phone = column("The phone number on the customer's statement, at most 20 characters.")
    marked_for_submission_on = column("When it was marked for the gateway.")
    submitted_on = column("When the gateway got it.")
    settled_on = column("When the money moved.")
    refund_transaction_time = column("When the gateway says that it happened.")
    cancelled_on = column("When it was canceled.")
    finance_information = embedded(RefundFinanceInformation, "Where the refund is booked.")
    custom_rates = column(
        "Exchange rates given for this refund; empty when the tenant's are used.",
        type=list[CustomRate],
        required=True,
        shown=CustomRate.listed,
    )
    net_suite = column("What an integration with NetSuite noted.", type=RefundNetSuite, shown=RefundNetSuite.of)

    parts = many("RefundPart", "What was refunded of which document.", by="refund_id", filtered=False)
    item_parts = many(
        "RefundItemPart", "What was refunded of which line.", by="refund_id", page=50, most=250, filtered=False
    )


@node(
    "rfp",
    t.refund_parts,
    description="What a refund took from one credit memo or payment.",
    scope="credit_memos:read",
    owner=lambda parts: select(t.refunds.c.account_id).where(t.refunds.c.id == parts.c.refund_id).scalar_subquery(),
    order=(Order("created_date"),),
    also=AUDIT,
)
class RefundPart(Node):
    """A part of a refund (domain.md 2.6)."""

    refund_id = column("The refund.")
    refund = one("Refund", "The refund.")
    currency = column("The ISO 4217 code of the refund's currency.")
    amount = column("How much.")
    credit_memo_id = column("The credit memo it came from; null when it came from a payment.")
    credit_memo = one("CreditMemo", "The credit memo it came from; null for a payment, or when it was deleted.")
    payment_id = column("The payment it came from, which lives in another system; null when it was a credit memo.")

    item_parts = many(
        "RefundItemPart", "What was taken from which line.", by="refund_part_id", page=50, most=250, filtered=False
    )


@node(
    "rip",
    t.refund_item_parts,
    description="What a refund took from one line of a credit memo.",
    scope="credit_memos:read",
    owner=lambda parts: select(t.refunds.c.account_id).where(t.refunds.c.id == parts.c.refund_id).scalar_subquery(),
    order=(Order("position"),),
    also=AUDIT,
)
class RefundItemPart(Node):
    """A part of a refund, line by line (domain.md 2.6)."""

    position = column("Its place within the refund.", hidden=True)
    refund_id = column("The refund.")
    refund = one("Refund", "The refund.")
    refund_part_id = column("The part of the refund it belongs to.")
    refund_part = one("RefundPart", "The part of the refund it belongs to.")
    currency = column("The ISO 4217 code of the refund's currency.")
    amount = column("How much.")
    credit_memo_item_id = column("The credit memo's line it came from; null when it came from a taxation item.")
    credit_memo_item = one(
        "CreditMemoItem", "The line it came from; null when it came from a taxation item, or was deleted with its memo."
    )
    credit_tax_item_id = column("The credit memo's taxation item it came from; null when it came from a line.")
    credit_tax_item = one(
        "CreditMemoTaxationItem",
        "The taxation item it came from; null when it came from a line, or was deleted with its memo.",
    )
