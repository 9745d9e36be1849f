"""Mutations that pay money back."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.operations import refunds


@strawberry.type
class Refunds:
    """Paying back what is unapplied."""

    refund_credit_memo = mutation(
        refunds.refund,
        "Refunds what a posted memo has unapplied, through the payment gateway or only on record.",
        credit_memo=("CreditMemo", "The memo as it is now."),
        refund=("Refund", "The refund that was made."),
    )
