"""What clients can ask: every thing by its id or number, every list, and totals."""

from asyncio import gather
from typing import Annotated, Any, Protocol

import strawberry

from cm_graphql.api.summary import CreditMemoSummary, credit_memo_summary
from cm_graphql.api.types.credit_memos import CreditMemo
from cm_graphql.api.types.pdf import CreditMemoPdfStatus, pdf_status_of
from cm_graphql.api.types.settings import Settings, read_settings
from cm_graphql.fields.declare import Node
from cm_graphql.fields.errors import BadUserInput
from cm_graphql.fields.resolve import by_id, by_key, connection, find_by_key, loaders_of, node_field, nodes_field

MOST_PDF_STATUSES = 50
"""Memos whose PDF status one field tells (domain.md 1.5)."""


class _Viewer(Protocol):
    id: str
    scopes: frozenset[str]


@strawberry.type(description="Who asks.")
class Viewer:
    """The caller of a request (domain.md section 6)."""

    id: strawberry.ID = strawberry.field(description="The id of the user or API key; `createdById` and others hold it.")
    scopes: list[str] = strawberry.field(description="What the caller may do, such as `credit_memos:read`.")


@strawberry.type(description="What can be asked.")
class Query:
    """The root of all reading."""

    node: Node | None = node_field()
    nodes: list[Node | None] = nodes_field()

    credit_memo = by_key("CreditMemo", "Finds a credit memo; null when there is none.")
    credit_memos = connection("CreditMemo", "Credit memos, by number descending unless sorted otherwise.")
    credit_memo_item = by_id("CreditMemoItem", "Finds a line of a credit memo; null when there is none.")
    credit_memo_part = by_id("CreditMemoPart", "Finds a part of a credit memo; null when there is none.")
    credit_memo_job = by_id("CreditMemoJob", "Finds a job; null when there is none.")

    @strawberry.field(
        description="Where the PDFs of credit memos stand, in the order asked; null where there is no such memo."
    )
    async def credit_memo_pdf_statuses(
        self,
        info: strawberry.Info,
        keys: Annotated[
            list[strawberry.ID],
            strawberry.argument(description=f"Ids or numbers of credit memos, at most {MOST_PDF_STATUSES}."),
        ],
    ) -> list[CreditMemoPdfStatus | None]:
        """Find the memos, then their newest requests."""
        if len(keys) > MOST_PDF_STATUSES:
            raise BadUserInput(f"keys lists {len(keys)} keys; at most {MOST_PDF_STATUSES} are allowed.")
        loaders = loaders_of(info)
        memos = await gather(*(find_by_key(loaders, CreditMemo.__node__, key) for key in keys))

        async def status(memo: Any) -> CreditMemoPdfStatus | None:
            return None if memo is None else await pdf_status_of(loaders, memo)

        return list(await gather(*(status(memo) for memo in memos)))

    credit_memo_summary: list[CreditMemoSummary] = strawberry.field(
        resolver=credit_memo_summary,
        description="Totals of credit memos, always split by currency; groups are in the order of their keys.",
    )

    account = by_key("Account", "Finds an account; null when there is none.")
    accounts = connection("Account", "Accounts, by number unless sorted otherwise.")
    invoice = by_key("Invoice", "Finds an invoice; null when there is none.", "invoice_number")
    invoices = connection("Invoice", "Invoices, by number descending unless sorted otherwise.")
    debit_memo = by_key("DebitMemo", "Finds a debit memo; null when there is none.")
    debit_memos = connection("DebitMemo", "Debit memos, by number descending unless sorted otherwise.")
    refunds = connection("Refund", "Refunds, by number descending unless sorted otherwise.")
    product_rate_plan_charges = connection(
        "ProductRatePlanCharge", "Charges of the catalog, by name unless sorted otherwise."
    )
    reason_codes = connection("ReasonCode", "Reason codes, by type and name unless sorted otherwise.")
    accounting_periods = connection("AccountingPeriod", "Accounting periods, by first day unless sorted otherwise.")

    @strawberry.field(description="The tenant's settings; needs `settings:read`.")
    async def settings(self, info: strawberry.Info) -> Settings:
        """Read them."""
        return await read_settings(loaders_of(info))

    @strawberry.field(description="Who asks.")
    def viewer(self, info: strawberry.Info) -> Viewer:
        """Show the caller."""
        viewer: _Viewer = info.context.viewer
        return Viewer(id=strawberry.ID(viewer.id), scopes=sorted(viewer.scopes))
