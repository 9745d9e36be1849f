"""Mutations that lead a memo through its statuses."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.operations import lifecycle

CHANGED = ("CreditMemo", "The memo as it is now.")


@strawberry.type
class Lifecycle:
    """A memo's way through its statuses."""

    post_credit_memo = mutation(
        lifecycle.post, "Posts a draft, which makes its amount available to use.", credit_memo=CHANGED
    )
