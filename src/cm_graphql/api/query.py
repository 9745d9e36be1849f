"""What clients can ask: every thing by its id or number, every list, and totals."""

from asyncio import gather
from typing import Annotated, Any, Protocol, cast

import strawberry

from cm_graphql.api.summary import CreditMemoSummary, credit_memo_summary
from cm_graphql.api.types.accounts import Account
from cm_graphql.api.types.credit_memos import CreditMemo, CreditMemoItem
from cm_graphql.api.types.debit_memos import DebitMemo
from cm_graphql.api.types.history import CreditMemoJob
from cm_graphql.api.types.invoices import Invoice
from cm_graphql.api.types.pdf import CreditMemoPdfStatus, pdf_status_of
from cm_graphql.api.types.settings import Settings, read_settings
from cm_graphql.api.types.settlement import CreditMemoPart
from cm_graphql.engine.declare import Node
from cm_graphql.engine.errors import BadUserInput
from cm_graphql.engine.ids import id_of
from cm_graphql.engine.resolve import connection, find_by_key, loaders_of, node_field, nodes_field

MOST_PDF_STATUSES = 50
"""Memos whose PDF status one field tells (domain.md 1.5)."""

Key = Annotated[strawberry.ID, strawberry.argument(description="The id, with or without its prefix, or the number.")]
Id = Annotated[strawberry.ID, strawberry.argument(description="The id, with or without its prefix.")]


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

    @strawberry.field(description="Finds a credit memo; null when there is none.")
    async def credit_memo(self, info: strawberry.Info, key: Key) -> CreditMemo | None:
        """Find it; keys asked for together take one statement."""
        return cast(CreditMemo | None, await find_by_key(loaders_of(info), CreditMemo.__node__, key))

    credit_memos = connection("CreditMemo", "Credit memos, by number descending unless sorted otherwise.")

    @strawberry.field(description="Finds a line of a credit memo; null when there is none.")
    async def credit_memo_item(self, info: strawberry.Info, id: Id) -> CreditMemoItem | None:
        """Find it."""
        return cast(CreditMemoItem | None, await _find(info, CreditMemoItem, id))

    @strawberry.field(description="Finds a part of a credit memo; null when there is none.")
    async def credit_memo_part(self, info: strawberry.Info, id: Id) -> CreditMemoPart | None:
        """Find it."""
        return cast(CreditMemoPart | None, await _find(info, CreditMemoPart, id))

    @strawberry.field(description="Finds a job; null when there is none.")
    async def credit_memo_job(self, info: strawberry.Info, id: Id) -> CreditMemoJob | None:
        """Find it."""
        return cast(CreditMemoJob | None, await _find(info, CreditMemoJob, id))

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

    @strawberry.field(description="Finds an account; null when there is none.")
    async def account(self, info: strawberry.Info, key: Key) -> Account | None:
        """Find it; keys asked for together take one statement."""
        return cast(Account | None, await find_by_key(loaders_of(info), Account.__node__, key))

    accounts = connection("Account", "Accounts, by number unless sorted otherwise.")

    @strawberry.field(description="Finds an invoice; null when there is none.")
    async def invoice(self, info: strawberry.Info, key: Key) -> Invoice | None:
        """Find it; keys asked for together take one statement."""
        return cast(Invoice | None, await find_by_key(loaders_of(info), Invoice.__node__, key, "invoice_number"))

    invoices = connection("Invoice", "Invoices, by number descending unless sorted otherwise.")

    @strawberry.field(description="Finds a debit memo; null when there is none.")
    async def debit_memo(self, info: strawberry.Info, key: Key) -> DebitMemo | None:
        """Find it; keys asked for together take one statement."""
        return cast(DebitMemo | None, await find_by_key(loaders_of(info), DebitMemo.__node__, key))

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
        info.context.require("settings:read")
        return await read_settings(loaders_of(info))

    @strawberry.field(description="Who asks.")
    def viewer(self, info: strawberry.Info) -> Viewer:
        """Show the caller."""
        viewer: _Viewer = info.context.viewer
        return Viewer(id=strawberry.ID(viewer.id), scopes=sorted(viewer.scopes))


async def _find(info: strawberry.Info, cls: type[Node], id: str) -> Any:
    kind = cls.__node__
    return await loaders_of(info).node(kind, id_of(id, kind.prefix))
