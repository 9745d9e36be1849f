"""Mutations that make drafts."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.operations import creation

CREATED = ("CreditMemo", "The memo that was created.")


@strawberry.type
class Creation:
    """Making drafts."""

    create_credit_memo_from_invoice = mutation(
        creation.from_invoice, "Creates a draft from lines of a posted invoice.", credit_memo=CREATED
    )
