"""Mutations about taxes given by hand."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.operations import taxation


@strawberry.type
class Taxation:
    """Taxes given by hand."""

    create_credit_memo_taxation_items = mutation(
        taxation.create_taxation_items,
        "Adds taxes to lines of a draft; the tax of such a line is no longer computed from then on.",
        credit_memo=("CreditMemo", "The memo as it is now."),
        taxation_items=("list[CreditMemoTaxationItem]", "What was added, in the order of the input."),
    )
