"""Debit memos and their lines, as clients read them: what credit memos are applied to, and become by write-off."""

from sqlalchemy import ColumnElement, FromClause, select

from cm_graphql.api.types.shared import (
    AUDIT,
    CUSTOM_FIELDS,
    DELIVERY,
    FINANCE,
    MEMO_BILLING,
    NET_SUITE,
    ORGANIZATION,
    TAX,
    TAX_FINANCE,
)
from cm_graphql.fields.declare import Behind, Node, Order, column, many, node, one
from cm_graphql.store import tables as t

__all__ = ["DebitMemo", "DebitMemoItem", "DebitMemoTaxationItem"]


def _owner(lines: FromClause) -> ColumnElement[str]:
    return select(t.debit_memos.c.account_id).where(t.debit_memos.c.id == lines.c.debit_memo_id).scalar_subquery()


@node(
    "dm",
    t.debit_memos,
    description="A document that raises what a customer owes.",
    scope="documents:read",
    owner=lambda memos: memos.c.account_id,
    filters=(
        "id",
        "number",
        "account_id",
        "account_number",
        "currency",
        "debit_memo_date",
        "due_date",
        "status",
        "amount",
        "tax_amount",
        "balance",
        "be_applied_amount",
        "reason_code",
        "referred_credit_memo_id",
        "referred_invoice_id",
        "created_date",
        "updated_date",
    ),
    sorts=(
        "number",
        "account_id",
        "debit_memo_date",
        "due_date",
        "status",
        "amount",
        "tax_amount",
        "balance",
        "be_applied_amount",
        "created_date",
        "updated_date",
    ),
    search=(
        t.debit_memos.c.number,
        t.debit_memos.c.comment,
        Behind(t.debit_memos.c.account_id, t.accounts.c.id, t.accounts.c.name),
    ),
    order=(Order("number", descending=True),),
    also={**MEMO_BILLING, **ORGANIZATION, **CUSTOM_FIELDS, **NET_SUITE, **AUDIT},
)
class DebitMemo(Node):
    """A debit memo (domain.md 2.7)."""

    number = column("The number, such as DM00000001.")
    account_id = column("The account that owes it.")
    account = one("Account", "The account that owes it.")
    account_number = column("The number of the account.", of=t.accounts.c.number, via="account_id")
    currency = column("The ISO 4217 code that all its amounts are in.")
    status = column("Where it stands.")
    debit_memo_date = column("The day it takes effect.")
    due_date = column("The day it is due.")
    target_date = column("The day up to which a bill run billed; null unless one made it.")
    amount = column("The total, tax included.")
    tax_amount = column("The sum of its taxation items.")
    total_tax_exempt_amount = column("The sum of tax that was waived.")
    credit_amount = column("What was settled by credit memos.")
    payment_amount = column("What was paid otherwise.")
    be_applied_amount = column("What was settled in all.")
    balance = column("What is still owed.")
    auto_pay = column("Whether payment runs collect it.")
    comment = column("A remark, at most 255 characters.")
    reason_code = column("Why it was made: the name of a reason code.")
    referred_credit_memo_id = column("The credit memo it was made from by write-off or reversal; else null.")
    referred_credit_memo = one(
        "CreditMemo",
        "The credit memo it was made from by write-off or reversal; null otherwise, or when it was deleted.",
    )
    referred_invoice_id = column("The invoice it was made from; else null.")
    referred_invoice = one("Invoice", "The invoice it was made from; else null.")
    source_type = column("What kind of thing it was made from.")
    payment_term = column("The payment term; null for the account's own.")
    transferred_to_accounting = column("Whether an accounting system has taken it over.")

    items = many("DebitMemoItem", "Its lines, in their order.", by="debit_memo_id", page=50, most=250)
    taxation_items = many("DebitMemoTaxationItem", "The taxes of all its lines.", by="debit_memo_id", page=50, most=250)
    credit_memo_parts = many("CreditMemoPart", "What credit memos applied to it, one part each.", by="debit_memo_id")


@node(
    "dmi",
    t.debit_memo_items,
    description="A line of a debit memo.",
    scope="documents:read",
    owner=_owner,
    filters=(
        "id",
        "sku",
        "sku_name",
        "processing_type",
        "amount",
        "balance",
        "be_applied_amount",
        "service_start_date",
        "service_end_date",
        "source_item_id",
        "subscription_id",
    ),
    sorts=(
        "sku",
        "sku_name",
        "amount",
        "balance",
        "be_applied_amount",
        "service_start_date",
        "service_end_date",
        "created_date",
        "updated_date",
    ),
    order=(Order("position"),),
    also={**DELIVERY, **FINANCE, **ORGANIZATION, **CUSTOM_FIELDS, **AUDIT},
)
class DebitMemoItem(Node):
    """A line of a debit memo (domain.md 2.7)."""

    position = column("Its place within the memo.", hidden=True)
    debit_memo_id = column("The memo it is a line of.")
    debit_memo = one("DebitMemo", "The memo it is a line of.")
    currency = column("The ISO 4217 code of the memo's currency.")
    amount = column("Net of a tax-exclusive line, gross of a tax-inclusive one; negative on a discount.")
    amount_without_tax = column("The net in both tax modes.")
    credit_amount = column("What of the net was settled by credit memos.")
    payment_amount = column("What of the net was paid otherwise.")
    be_applied_amount = column("What of the net was settled in all.")
    balance = column("What of the net is still owed.")
    tax_mode = column("Whether `amount` contains the tax.")
    tax_code = column("The tax code.")
    processing_type = column("What it does to the total.")
    applied_to_item_id = column("Of a discount, the line that is discounted; else null.")
    applied_to_item = one("DebitMemoItem", "Of a discount, the line that is discounted; else null.")
    sku = column("The SKU of what is charged.")
    sku_name = column("The name of what is charged.")
    description = column("A description, at most 255 characters.")
    product_rate_plan_charge_id = column("The charge of the catalog.")
    product_rate_plan_charge = one(
        "ProductRatePlanCharge", "The charge of the catalog; null when it is not known here."
    )
    source_item_type = column("What kind of thing it was made from.")
    source_item_id = column("What it was made from: a credit memo item, an invoice item or a charge.")
    source_item = one(
        "Node",
        "What it was made from; null when that lives in another system, or was deleted.",
    )

    taxation_items = many("DebitMemoTaxationItem", "Its taxes.", by="memo_item_id", page=50, most=250)


@node(
    "dmt",
    t.debit_memo_taxation_items,
    description="A tax on a line of a debit memo; credit is applied to it as to a line.",
    scope="documents:read",
    owner=_owner,
    filters=("id", "name", "tax_amount", "balance", "tax_code", "tax_date", "source_tax_item_id"),
    sorts=("name", "tax_amount", "balance", "tax_date", "created_date", "updated_date"),
    order=(Order("position"),),
    also={**TAX, **TAX_FINANCE, **CUSTOM_FIELDS, **AUDIT},
)
class DebitMemoTaxationItem(Node):
    """A tax on a debit memo line (domain.md 2.7)."""

    position = column("Its place within the memo.", hidden=True)
    debit_memo_id = column("The memo.")
    debit_memo = one("DebitMemo", "The memo.")
    memo_item_id = column("The line taxed.")
    memo_item = one("DebitMemoItem", "The line taxed.")
    currency = column("The ISO 4217 code of the memo's currency.")
    credit_amount = column("What of the tax was settled by credit memos.")
    payment_amount = column("What of the tax was paid otherwise.")
    balance = column("What of the tax is still owed.")
    jurisdiction = column("Who levies it: state, province, county or city.")
    engine = column("Which engine computed it.")
    source_tax_item_id = column("The credit memo's taxation item it was made from; else null.")
    source_tax_item = one(
        "CreditMemoTaxationItem", "The credit memo's taxation item it was made from; null otherwise, or when deleted."
    )
