"""Mutations that move a memo's money onto documents and off them again."""

import strawberry

from cm_graphql.api.payloads import mutation
from cm_graphql.operations import jobs, settlement

CHANGED = ("CreditMemo", "The memo as it is now.")
RULE = (
    "ApplicationRule",
    "How lines were chosen: EXPLICIT where the request named them, FIFO also where proration would be too large.",
)

JOB = ("CreditMemoJob", "The job, which begins at once; null in a dry run.")


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
    apply_credit_memo_async = mutation(
        settlement.apply_async,
        "Has a posted memo applied to invoices in a job, all or nothing, up to 300,000 lines; until the job has ended, "
        "nothing else may change the memo.",
        job=JOB,
    )
    unapply_credit_memo_async = mutation(
        settlement.unapply_async,
        "Has a memo taken off invoices in a job, all or nothing, up to 300,000 lines; without any, off every invoice, "
        "while debit memos stay applied.",
        job=JOB,
    )
    cancel_credit_memo_job = mutation(
        jobs.cancel,
        "Calls a job off: at once while it waits, else before its final commit begins.",
        job=("CreditMemoJob", "The job as it is now; while a worker is at it, it ends a moment later."),
    )
