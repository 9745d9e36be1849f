"""Mutations that make drafts."""

import strawberry

from cm_graphql.api.payloads import bulk_mutation, mutation
from cm_graphql.operations import creation

CREATED = ("CreditMemo", "The memo that was created.")


@strawberry.type
class Creation:
    """Making drafts."""

    create_credit_memo_from_charges = mutation(
        creation.from_charges, "Creates a draft from charges of the catalog.", credit_memo=CREATED
    )
    create_credit_memo_from_invoice = mutation(
        creation.from_invoice, "Creates a draft from lines of a posted invoice.", credit_memo=CREATED
    )
    create_credit_memos = bulk_mutation(
        creation.create_each,
        "CreateCreditMemosResult",
        "Creates up to 50 drafts, each in its own transaction: one that fails does not stop the others.",
        credit_memo=CREATED,
    )
