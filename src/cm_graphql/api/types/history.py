"""What happened to credit memos, and the work asked for them that outlives its request, as clients read it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self

import strawberry
from sqlalchemy import select

from cm_graphql.api.types.shared import shown_number
from cm_graphql.fields.declare import Node, Order, column, node, one
from cm_graphql.fields.resolve import one_of_object
from cm_graphql.fields.wire import show_amount
from cm_graphql.store import tables as t
from cm_graphql.store.underway import told

__all__ = ["CreditMemoAmounts", "CreditMemoEvent", "CreditMemoEventTarget", "CreditMemoJob"]


@strawberry.type(description="The amounts of a credit memo at one moment, in its currency.")
class CreditMemoAmounts:
    """A memo's amounts before or after a change."""

    amount: Decimal = strawberry.field(description="The total, tax included.")
    tax_amount: Decimal = strawberry.field(description="The sum of its taxation items.")
    applied_amount: Decimal = strawberry.field(description="What was applied.")
    unapplied_amount: Decimal = strawberry.field(description="What was neither applied nor refunded.")
    refund_amount: Decimal = strawberry.field(description="What was refunded.")

    @classmethod
    def of(cls, stored: Mapping[str, int] | None, currency: str) -> Self | None:
        """Read the JSON column, whose amounts are ten-thousandths."""
        if stored is None:
            return None
        names = ("amount", "tax_amount", "applied_amount", "unapplied_amount", "refund_amount")
        shown: dict[str, Any] = {name: show_amount(stored.get(name, 0), currency) for name in names}
        return cls(**shown)


@strawberry.type(description="A document that an action moved money to or from.")
class CreditMemoEventTarget:
    """A target of an action."""

    target_id: strawberry.ID = strawberry.field(description="The id of the invoice, debit memo or refund.")
    number: str | None = strawberry.field(description="Its number at that time.")
    amount: Decimal | None = strawberry.field(description="How much moved, in the memo's currency; null when none did.")

    target: Node | None = one_of_object("Node", "The invoice, debit memo or refund.", "target_id")

    @classmethod
    def listed(cls, stored: list[Mapping[str, Any]], currency: str) -> list[Self]:
        """Read the JSON column, whose amounts are ten-thousandths."""
        return [
            cls(target_id=target["id"], number=target.get("number"), amount=_shown(target.get("amount"), currency))
            for target in stored
        ]


def _shown(amount: int | None, currency: str) -> Any:
    return None if amount is None else show_amount(amount, currency)


@node(
    "cme",
    t.credit_memo_events,
    description="An entry of a credit memo's history; it never changes and stays when the memo is deleted.",
    scope="credit_memos:read",
    owner=lambda events: events.c.account_id,
    filters=("action", "at", "by_id", "effective_date", "request_id"),
    sorts=("at", "action", "by_id", "effective_date"),
    order=(Order("at"),),
)
class CreditMemoEvent(Node):
    """An entry of the history (api.md, Beyond the reference)."""

    credit_memo_id = column("The memo.")
    credit_memo = one("CreditMemo", "The memo; null when it was deleted.", required=False)
    credit_memo_number = column("The number that the memo had.", shown=shown_number)
    account_id = column("The account of the memo.")
    account = one("Account", "The account of the memo.", required=False)
    action = column("What happened.")
    by_id = column("Who did it: the id of a user or an API key.", type=strawberry.ID)
    at = column("When it happened.")
    effective_date = column("The day for which it counts; null when the action has none.")
    request_id = column("The request that did it, as in the log and in the answer's `X-Request-Id`.")
    currency = column("The ISO 4217 code that the amounts are in.")
    amounts_before = column(
        "The memo's amounts before; null when it was made by this.",
        type=CreditMemoAmounts,
        shown=CreditMemoAmounts.of,
        with_currency=True,
    )
    amounts_after = column(
        "The memo's amounts after; null when it was deleted by this.",
        type=CreditMemoAmounts,
        shown=CreditMemoAmounts.of,
        with_currency=True,
    )
    targets = column(
        "The documents that money moved to or from.",
        type=list[CreditMemoEventTarget],
        shown=CreditMemoEventTarget.listed,
        with_currency=True,
    )
    note = column("What else there is to say.")


@node(
    "cmj",
    t.credit_memo_jobs,
    description="Work on a credit memo that goes on after the request that asked for it.",
    scope="credit_memos:read",
    owner=lambda jobs: (
        select(t.credit_memos.c.account_id).where(t.credit_memos.c.id == jobs.c.reference_id).scalar_subquery()
    ),
    filters=("id", "operation_type", "status", "created_date"),
    sorts=("created_date", "status", "operation_type"),
    order=(Order("created_date", descending=True),),
)
class CreditMemoJob(Node):
    """A job (domain.md 2.10)."""

    operation_type = column("What it does.")
    status = column("Where it stands.")
    reference_id = column("The id of the credit memo.")
    reference_type = column("What `referenceId` names: always `CreditMemo`.")
    credit_memo = one("CreditMemo", "The credit memo; null when it was deleted.", key="reference_id", required=False)
    error = column("Why it failed; null unless the status is ERROR.")
    lines_done = column(
        "How many lines were worked through, telling how far the job is: reading, computing and writing all count, and "
        "it grows steadily until the last ones appear together with everything else. 0 where it failed or was "
        "canceled: nothing was changed.",
        of=told(t.credit_memo_jobs, "lines_done"),
        required=True,
    )
    lines_total = column(
        "How many lines there are to work through; 0 until that is known.",
        of=told(t.credit_memo_jobs, "lines_total"),
        required=True,
    )
    cancel_requested = column("Whether somebody asked to call it off.")
    created_by_id = column("Who asked for it: the id of a user or an API key.", type=strawberry.ID)
    created_date = column("When it was asked for.")
    updated_date = column("When it last got on.")
    started_date = column("When it was begun; null while it waits.")
    finished_date = column("When it ended; null until then.")
