"""Mutations that lead a memo through its statuses."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.operations import lifecycle

CHANGED = ("CreditMemo", "The memo as it is now.")
MADE = ("DebitMemo", "The debit memo that was made, posted, and settled by the memo line by line.")


@strawberry.type
class Lifecycle:
    """A memo's way through its statuses."""

    post_credit_memo = mutation(
        lifecycle.post, "Posts a draft, which makes its amount available to use.", credit_memo=CHANGED
    )
    unpost_credit_memo = mutation(
        lifecycle.unpost, "Returns a posted memo to draft, provided nothing of it was used.", credit_memo=CHANGED
    )
    cancel_credit_memo = mutation(lifecycle.cancel, "Cancels a draft, for good.", credit_memo=CHANGED)
    delete_credit_memo = mutation(
        lifecycle.delete,
        "Deletes a canceled memo; its history stays, and its number is not used again.",
        deleted_credit_memo_id=("ID", "The id that the memo had."),
    )
    write_off_credit_memo = mutation(
        lifecycle.write_off,
        "Writes off a posted, unused memo: it settles a debit memo that mirrors it.",
        credit_memo=CHANGED,
        debit_memo=MADE,
    )
    reverse_credit_memo = mutation(
        lifecycle.reverse,
        "Reverses a posted, unused memo, for good: it settles a debit memo that mirrors it.",
        credit_memo=("CreditMemo", "The memo that was reversed, as it is now."),
        debit_memo=MADE,
    )
