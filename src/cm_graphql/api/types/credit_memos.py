"""Credit memos and their lines, as clients read them."""

import time
from decimal import Decimal
from typing import cast

import strawberry
from sqlalchemy import select

from cm_graphql.api.links import HasLinks
from cm_graphql.api.types.actions import CreditMemoActionState, available_actions
from cm_graphql.api.types.pdf import CreditMemoPdfStatus, newest_requests, pdf_status
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
    CustomRate,
    shown_number,
)
from cm_graphql.fields.declare import Behind, Node, Order, column, computed, loaded, many, node, one
from cm_graphql.store import tables as t

__all__ = ["CreditMemo", "CreditMemoFile", "CreditMemoItem", "CreditMemoTaxationItem"]

_ACCOUNT_NAME = Behind(t.credit_memos.c.account_id, t.accounts.c.id, t.accounts.c.name)


@node(
    "cm",
    t.credit_memos,
    description="A document that gives a customer credit, which can settle invoices and debit memos or be refunded.",
    scope="credit_memos:read",
    owner=lambda memos: memos.c.account_id,
    filters=(
        "account_id",
        "account_number",
        "amount",
        "applied_amount",
        "auto_apply_upon_posting",
        "created_by_id",
        "created_date",
        "credit_memo_date",
        "currency",
        "exclude_from_auto_apply_rules",
        "number",
        "referred_invoice_id",
        "refund_amount",
        "source_id",
        "status",
        "target_date",
        "tax_amount",
        "total_tax_exempt_amount",
        "transferred_to_accounting",
        "unapplied_amount",
        "updated_by_id",
        "updated_date",
    ),
    sorts=(
        "account_id",
        "amount",
        "applied_amount",
        "created_by_id",
        "created_date",
        "credit_memo_date",
        "number",
        "referred_invoice_id",
        "refund_amount",
        "status",
        "target_date",
        "tax_amount",
        "total_tax_exempt_amount",
        "transferred_to_accounting",
        "unapplied_amount",
        "updated_date",
    ),
    search=(t.credit_memos.c.number, t.credit_memos.c.comment, _ACCOUNT_NAME),
    order=(Order("number", descending=True),),
    also={**MEMO_BILLING, **ORGANIZATION, **CUSTOM_FIELDS, **NET_SUITE, **AUDIT},
)
class CreditMemo(Node):
    """A credit memo (domain.md 2.1)."""

    number = column(
        "The number, such as CM00000001; null only in a dry run, which uses up none.",
        required=False,
        shown=shown_number,
    )
    version = column("Grows by 1 with each change; `ifVersion` of mutations refers to it.")
    account_id = column("The account credited.")
    account = one("Account", "The account credited.")
    account_number = column("The number of the account.", of=t.accounts.c.number, via="account_id")
    currency = column("The ISO 4217 code that all amounts of the memo are in; it never changes.")
    status = column("Where it stands.")
    credit_memo_date = column("The day it takes effect.")
    target_date = column("The day up to which a bill run billed; null unless one made the memo.")
    amount = column("The total, tax included.")
    tax_amount = column("The sum of its taxation items.")
    total_tax_exempt_amount = column("The sum of tax that was waived.")
    applied_amount = column("What was applied to invoices and debit memos.")
    unapplied_amount = column("What is neither applied nor refunded; it can be used once the memo is posted.")
    refund_amount = column("What was refunded.")
    comment = column("A remark, at most 255 characters.")
    reason_code = column("Why it was made: the name of a reason code.")
    source = column("How it came about.")
    source_type = column("What kind of thing it was made from.")
    source_id = column("The number of the bill run that made it; else null.")
    referred_invoice_id = column("The invoice it was made from; null when it was made from charges.")
    referred_invoice = one("Invoice", "The invoice it was made from; null when it was made from charges.")
    auto_apply_upon_posting = column("Whether posting applies it to the referred invoice at once.")
    exclude_from_auto_apply_rules = column("Whether payment runs leave it alone.")
    reversed = column("Whether it was reversed.")
    revenue_impacting = column("Whether it affects revenue; NO only for write-offs that do not.")
    exclude_item_billing_from_revenue_accounting = column("Whether revenue accounting leaves it out.")
    transferred_to_accounting = column("Whether an accounting system has taken it over.")
    custom_rates = column(
        "Exchange rates given for this memo; empty when the tenant's are used.",
        type=list[CustomRate],
        required=True,
        shown=CustomRate.listed,
    )
    latest_pdf_file = one("CreditMemoFile", "The file with the newest PDF.")

    items = many("CreditMemoItem", "Its lines, last changed first.", by="credit_memo_id", page=50, most=250)
    taxation_items = many(
        "CreditMemoTaxationItem", "The taxes of all its lines.", by="credit_memo_id", page=50, most=250
    )
    parts = many(
        "CreditMemoPart",
        "Where its money lies: one part per target and one for what is unapplied; none unless it is posted.",
        by="credit_memo_id",
        page=50,
        most=250,
    )
    refunds = many("Refund", "The refunds made of it.", by="credit_memo_id")
    debit_memos = many(
        "DebitMemo", "The debit memos that write-off and reversal made of it.", by="referred_credit_memo_id"
    )
    files = many(
        "CreditMemoFile", "Its PDFs, newest first; one still being made is not among them.", by="credit_memo_id"
    )
    jobs = many("CreditMemoJob", "The jobs that were asked for it, newest first.", by="reference_id")
    history = many("CreditMemoEvent", "What happened to it, oldest first.", by="credit_memo_id")

    @strawberry.field(
        description="What the caller can do with it now: each action that this server offers, whether it would be "
        "refused, and why."
    )
    async def available_actions(self, info: strawberry.Info) -> list[CreditMemoActionState]:
        """Ask what the mutations ask."""
        return await available_actions(info, self.raw("id"))

    pdf_status = loaded(
        "Where its PDF stands.",
        type=CreditMemoPdfStatus,
        statement=newest_requests,
        of=pdf_status,
        needs=("id", "number", "version"),
    )


_LINE_AMOUNTS = {
    "applied_amount": column("What of it was applied; negative on a discount."),
    "unapplied_amount": column("What of it is neither applied nor refunded."),
    "refund_amount": column("What of it was refunded."),
}


@node(
    "cmi",
    t.credit_memo_items,
    description="A line of a credit memo.",
    scope="credit_memos:read",
    owner=lambda items: (
        select(t.credit_memos.c.account_id).where(t.credit_memos.c.id == items.c.credit_memo_id).scalar_subquery()
    ),
    filters=(
        "amount",
        "applied_amount",
        "created_by_id",
        "created_date",
        "id",
        "refund_amount",
        "service_end_date",
        "service_start_date",
        "sku",
        "sku_name",
        "source_item_id",
        "subscription_id",
        "updated_by_id",
        "updated_date",
    ),
    sorts=(
        "amount",
        "applied_amount",
        "created_by_id",
        "created_date",
        "id",
        "refund_amount",
        "service_end_date",
        "service_start_date",
        "sku",
        "sku_name",
        "source_item_id",
        "subscription_id",
        "updated_by_id",
        "updated_date",
    ),
    order=(Order("updated_date", descending=True),),
    also={**_LINE_AMOUNTS, **DELIVERY, **FINANCE, **ORGANIZATION, **CUSTOM_FIELDS, **NET_SUITE, **AUDIT},
)
class CreditMemoItem(Node):
    """A line of a credit memo (domain.md 2.2)."""

    credit_memo_id = column("The memo it is a line of.")
    credit_memo = one("CreditMemo", "The memo it is a line of.")
    currency = column("The ISO 4217 code of the memo's currency.")
    amount = column("Net of a tax-exclusive line, gross of a tax-inclusive one; negative on a discount.")
    amount_without_tax = column("The net in both tax modes; applied, unapplied and refunded are parts of it.")
    tax_mode = column("Whether `amount` contains the tax.")
    tax_auto_calculation = column("Whether its taxes are computed again when it changes.")
    processing_type = column("What it does to the total.")
    applied_to_item_id = column("Of a discount, the line that is discounted; else null.")
    applied_to_item = one("CreditMemoItem", "Of a discount, the line that is discounted; else null.")
    sku = column("The SKU of what is credited.")
    sku_name = column("The name of what is credited.")
    description = column("A description, at most 255 characters.")
    source_item_type = column("What kind of thing it was made from.")
    source_item_id = column("What it was made from: an invoice item, or a charge.")
    source_item = one(
        "Node",
        "What it was made from: an invoice item or a charge; null when that lives in another system.",
        key="source_item_id",
        required=False,
    )
    credit_from_item_source = column("What kind of line a billing engine credited; null otherwise.")
    credit_from_item_id = column("The line that a billing engine credited; null otherwise.")
    credit_from_item = one("Node", "The line that a billing engine credited; null otherwise.", required=False)
    exclude_item_billing_from_revenue_accounting = column("Whether revenue accounting leaves it out.")
    revenue_impacting = column("Whether it affects revenue; NO only for write-offs that do not.")
    reflect_discount_in_net_amount = column("Whether its net is after discounts.")
    sold_to_contact_id = column("The contact sold to; null for the account's own.")
    sold_to_contact = one("Contact", "The contact sold to; null for the account's own.")
    sold_to_contact_snapshot_id = column("The copy of that contact made when the memo was posted.")
    ship_to_contact_id = column("The contact shipped to.")
    ship_to_contact = one("Contact", "The contact shipped to.")
    invoice_schedule_id = column("The invoice schedule it belongs to, which lives in another system.")
    invoice_schedule_item_id = column("The item of that schedule.")
    number_of_deliveries = column("How many deliveries it is for, with delivery pricing.")
    commitment_id = column("The commitment it belongs to, which lives in another system.")
    commitment_period_id = column("The period of that commitment.")

    taxation_items = many("CreditMemoTaxationItem", "Its taxes.", by="memo_item_id", page=50, most=250)


@node(
    "cmt",
    t.credit_memo_taxation_items,
    description="A tax on a line of a credit memo; money is applied from it as from a line.",
    scope="credit_memos:read",
    owner=lambda taxes: (
        select(t.credit_memos.c.account_id).where(t.credit_memos.c.id == taxes.c.credit_memo_id).scalar_subquery()
    ),
    filters=(
        "id",
        "name",
        "tax_amount",
        "applied_amount",
        "refund_amount",
        "tax_code",
        "tax_date",
        "source_tax_item_id",
    ),
    sorts=("name", "tax_amount", "applied_amount", "refund_amount", "tax_date", "created_date", "updated_date"),
    order=(Order("position"),),
    also={**TAX, **_LINE_AMOUNTS, **TAX_FINANCE, **CUSTOM_FIELDS, **NET_SUITE, **AUDIT},
)
class CreditMemoTaxationItem(Node):
    """A tax on a credit memo line (domain.md 2.3)."""

    position = column("Its place within the memo.", hidden=True)
    credit_memo_id = column("The memo.")
    credit_memo = one("CreditMemo", "The memo.")
    memo_item_id = column("The line taxed.")
    memo_item = one("CreditMemoItem", "The line taxed.")
    currency = column("The ISO 4217 code of the memo's currency.")
    jurisdiction = column("Who levies it: state, province, county or city.")
    source_tax_item_id = column("The invoice's taxation item it was made from; null when there is none.")
    source_tax_item = one(
        "InvoiceTaxationItem", "The invoice's taxation item it was made from; null when there is none."
    )


@node(
    "cmf",
    t.credit_memo_files,
    description="A finished PDF of a credit memo, made here or uploaded.",
    scope="credit_memos:read",
    owner=lambda files: (
        select(t.credit_memos.c.account_id).where(t.credit_memos.c.id == files.c.credit_memo_id).scalar_subquery()
    ),
    filters=("uploaded", "file_name", "created_date"),
    sorts=("version_number", "created_date"),
    order=(Order("version_number", descending=True),),
    also=AUDIT,
)
class CreditMemoFile(Node):
    """A PDF of a credit memo (domain.md 2.11)."""

    credit_memo_id = column("The memo it shows.")
    credit_memo = one("CreditMemo", "The memo it shows.")
    pdf_file_url = column("Where to download it, relative to the server.")
    version_number = column(
        "Grows from file to file; a whole number that may need more than 32 bits.", type=Decimal, shown=str
    )
    file_name = column("The name it was given.")
    size = column("Its length in bytes.")
    uploaded = column("Whether it was uploaded rather than made here.")

    download_url = computed(
        "Where anybody can download it for a few minutes, relative to the server: a signed link. Whoever may read the "
        "memo can use `pdfFileUrl` instead.",
        type=str,
        of=lambda context, id: cast(HasLinks, context).api.links.url(id, time.time()),
    )
