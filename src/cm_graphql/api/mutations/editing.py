"""Mutations that change memos."""

import strawberry

from cm_graphql.api.payloads import bulk_mutation, mutation
from cm_graphql.operations import editing

CHANGED = ("CreditMemo", "The memo as it is now.")


@strawberry.type
class Editing:
    """Changing memos."""

    update_credit_memo = mutation(
        editing.update, "Changes a memo; what is left out stays as it is.", credit_memo=CHANGED
    )
    update_credit_memos = bulk_mutation(
        editing.update_each,
        "UpdateCreditMemosResult",
        "Changes up to 50 memos, each in its own transaction: one that fails does not stop the others.",
        credit_memo=CHANGED,
    )
