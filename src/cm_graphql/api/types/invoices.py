"""Invoices and their lines, as clients read them: what credit memos are made from and applied to."""

from sqlalchemy import JSON, ColumnElement, FromClause, Select, func, select, true, type_coerce

from cm_graphql.api.types.shared import (
    AUDIT,
    CUSTOM_FIELDS,
    DELIVERY,
    FINANCE,
    NET_SUITE,
    ORGANIZATION,
    TAX,
    TAX_FINANCE,
)
from cm_graphql.domain.enums import MemoStatus
from cm_graphql.fields.declare import Behind, Node, Order, column, derived, many, node, one
from cm_graphql.store import tables as t
from cm_graphql.store.sums import bounded_sum
from cm_graphql.store.targets import AD_HOC
from cm_graphql.store.types import Amount

__all__ = ["Invoice", "InvoiceItem", "InvoiceTaxationItem"]

_ALL_COUNT = select(type_coerce(t.settings.c.document, JSON)["count_billing_engine_credits"].as_boolean()).where(
    t.settings.c.id == 1
)
"""Whether memos of the billing engine count too; nothing where the tenant has not said."""

_IN_FORCE = (
    (t.credit_memos.c.status == MemoStatus.POSTED)
    & t.credit_memos.c.reversed.is_(False)
    & (t.credit_memos.c.source.in_(AD_HOC) | func.coalesce(_ALL_COUNT.scalar_subquery(), true()))
)
"""Which memos take from what is available to credit (domain.md 4.3)."""


def _less(amount: ColumnElement[int], credited: Select[int]) -> ColumnElement[int]:
    # A difference is a plain number to SQLAlchemy, and would be shown as one.
    return type_coerce(amount - credited.scalar_subquery(), Amount)


def _left_of_invoice(invoices: FromClause) -> ColumnElement[int]:
    memos = t.credit_memos
    credited = select(bounded_sum(memos.c.amount)).where(memos.c.referred_invoice_id == invoices.c.id, _IN_FORCE)
    return _less(invoices.c.amount, credited.correlate(invoices))


def _left_of_item(items: FromClause) -> ColumnElement[int]:
    lines = t.credit_memo_items
    credited = (
        select(bounded_sum(lines.c.amount_without_tax))
        .join(t.credit_memos, t.credit_memos.c.id == lines.c.credit_memo_id)
        .where(lines.c.source_item_id == items.c.id, _IN_FORCE)
    )
    return _less(items.c.charge_amount, credited.correlate(items))


def _left_of_tax(taxes: FromClause) -> ColumnElement[int]:
    lines = t.credit_memo_taxation_items
    credited = (
        select(bounded_sum(lines.c.tax_amount))
        .join(t.credit_memos, t.credit_memos.c.id == lines.c.credit_memo_id)
        .where(lines.c.source_tax_item_id == taxes.c.id, _IN_FORCE)
    )
    return _less(taxes.c.tax_amount, credited.correlate(taxes))


def _owner(lines: FromClause) -> ColumnElement[str]:
    return select(t.invoices.c.account_id).where(t.invoices.c.id == lines.c.invoice_id).scalar_subquery()


@node(
    "inv",
    t.invoices,
    description="A document that a customer owes money for.",
    scope="documents:read",
    owner=lambda invoices: invoices.c.account_id,
    filters=(
        "id",
        "invoice_number",
        "account_id",
        "currency",
        "invoice_date",
        "due_date",
        "status",
        "amount",
        "tax_amount",
        "balance",
        "reversed",
        "created_date",
        "updated_date",
    ),
    sorts=(
        "invoice_number",
        "account_id",
        "invoice_date",
        "due_date",
        "status",
        "amount",
        "tax_amount",
        "balance",
        "created_date",
        "updated_date",
    ),
    search=(
        t.invoices.c.invoice_number,
        Behind(t.invoices.c.account_id, t.accounts.c.id, t.accounts.c.name),
    ),
    order=(Order("invoice_number", descending=True),),
    also={**ORGANIZATION, **CUSTOM_FIELDS, **NET_SUITE, **AUDIT},
)
class Invoice(Node):
    """An invoice (domain.md 2.8)."""

    invoice_number = column("The number, such as INV00000001.")
    account_id = column("The account that owes it.")
    account = one("Account", "The account that owes it.")
    currency = column("The ISO 4217 code that all its amounts are in.")
    invoice_date = column("The day it is dated; no credit memo made from it is dated before.")
    due_date = column("The day it is due.")
    status = column("Where it stands; only a posted one can be credited.")
    amount = column("The total, tax included.")
    tax_amount = column("The sum of its taxation items.")
    amount_without_tax = column("The sum of its items.")
    credit_amount = column("What was settled by credit memos.")
    payment_amount = column("What was paid otherwise.")
    balance = column("What is still owed: the total less credit and payments.")
    available_to_credit = derived(
        "What can still be credited: the total less posted, not reversed credit memos made from it. Those of the "
        "billing engine count unless the setting `countBillingEngineCredits` is false.",
        _left_of_invoice,
    )
    reversed = column("Whether it was reversed.")

    items = many("InvoiceItem", "Its lines, in their order.", by="invoice_id", page=50, most=250)
    taxation_items = many("InvoiceTaxationItem", "The taxes of all its lines.", by="invoice_id", page=50, most=250)
    credit_memos = many("CreditMemo", "The credit memos made from it.", by="referred_invoice_id")
    credit_memo_parts = many("CreditMemoPart", "What credit memos applied to it, one part each.", by="invoice_id")


@node(
    "ini",
    t.invoice_items,
    description="A line of an invoice.",
    scope="documents:read",
    owner=_owner,
    filters=(
        "id",
        "charge_name",
        "sku",
        "processing_type",
        "charge_amount",
        "balance",
        "service_start_date",
        "service_end_date",
        "subscription_id",
        "product_rate_plan_charge_id",
    ),
    sorts=(
        "charge_name",
        "sku",
        "charge_amount",
        "balance",
        "service_start_date",
        "service_end_date",
        "created_date",
        "updated_date",
    ),
    order=(Order("position"),),
    also={**DELIVERY, **FINANCE, **ORGANIZATION, **CUSTOM_FIELDS, **AUDIT},
)
class InvoiceItem(Node):
    """A line of an invoice (domain.md 2.8)."""

    position = column("Its place within the invoice.", hidden=True)
    invoice_id = column("The invoice it is a line of.")
    invoice = one("Invoice", "The invoice it is a line of.")
    currency = column("The ISO 4217 code of the invoice's currency.")
    charge_name = column("The name of the charge.")
    sku = column("The SKU.")
    product_name = column("The name of the product.")
    processing_type = column("What it does to the total.")
    applied_to_item_id = column("Of a discount, the line that is discounted; else null.")
    applied_to_item = one("InvoiceItem", "Of a discount, the line that is discounted; else null.")
    charge_amount = column("The net, whatever the tax mode; negative on a discount.")
    tax_amount = column("The sum of its taxation items.")
    credit_amount = column("What of the net was settled by credit memos.")
    payment_amount = column("What of the net was paid otherwise.")
    balance = column("What of the net is still owed.")
    available_to_credit_amount = derived(
        "What of the net can still be credited: the net less posted, not reversed credit memo items made from it.",
        _left_of_item,
    )
    tax_mode = column("Whether the price contained the tax; null when there is no tax.")
    tax_code = column("The tax code.")
    product_rate_plan_charge_id = column("The charge of the catalog.")
    product_rate_plan_charge = one(
        "ProductRatePlanCharge", "The charge of the catalog; null when it is not known here."
    )
    source_item_type = column("What kind of thing it was made from.")

    taxation_items = many("InvoiceTaxationItem", "Its taxes.", by="invoice_item_id", page=50, most=250)


@node(
    "int",
    t.invoice_taxation_items,
    description="A tax on a line of an invoice; credit is applied to it as to a line.",
    scope="documents:read",
    owner=_owner,
    filters=("id", "name", "tax_amount", "balance", "tax_code", "tax_date"),
    sorts=("name", "tax_amount", "balance", "tax_date", "created_date", "updated_date"),
    order=(Order("position"),),
    also={**TAX, **TAX_FINANCE, **CUSTOM_FIELDS, **AUDIT},
)
class InvoiceTaxationItem(Node):
    """A tax on an invoice line (domain.md 2.8)."""

    position = column("Its place within the invoice.", hidden=True)
    invoice_id = column("The invoice.")
    invoice = one("Invoice", "The invoice.")
    invoice_item_id = column("The line taxed.")
    invoice_item = one("InvoiceItem", "The line taxed.")
    currency = column("The ISO 4217 code of the invoice's currency.")
    credit_amount = column("What of the tax was settled by credit memos.")
    payment_amount = column("What of the tax was paid otherwise.")
    balance = column("What of the tax is still owed.")
    available_to_credit_amount = derived(
        "What of the tax can still be credited: the tax less that of posted, not reversed credit memos made from it.",
        _left_of_tax,
    )
    jurisdiction = column("Who levies it: state, province, county or city.")
    engine = column("Which engine computed it; decides whether credit memos can be tax-inclusive.")
