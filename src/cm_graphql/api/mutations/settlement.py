"""Mutations that move a memo's money onto documents and off them again."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.operations import settlement

CHANGED = ("CreditMemo", "The memo as it is now.")
RULE = (
    "ApplicationRule",
    "How lines were chosen: EXPLICIT where the request named them, FIFO also where proration would be too large.",
)


@strawberry.type
class Settlement:
    """Where a memo's money goes."""

    apply_credit_memo = mutation(
        settlement.apply,
        "Applies a posted memo to invoices and debit memos, all or nothing.",
        credit_memo=CHANGED,
        applied_rule=RULE,
    )
    unapply_credit_memo = mutation(
        settlement.unapply,
        "Takes a memo off invoices and debit memos again, all or nothing; without any, off everything.",
        credit_memo=CHANGED,
        applied_rule=RULE,
    )
