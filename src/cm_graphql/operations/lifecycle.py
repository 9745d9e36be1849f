"""A memo's way through its statuses."""

from cm_graphql.domain import lifecycle
from cm_graphql.domain.commands.lifecycle import PostCreditMemo
from cm_graphql.domain.enums import EventAction
from cm_graphql.domain.records import CreditMemo
from cm_graphql.operations.gate import Outcome, action
from cm_graphql.operations.unit import Unit
from cm_graphql.store.records import Happening


@action("credit_memos:post")
async def post(unit: Unit, command: PostCreditMemo) -> Outcome:
    """Post a draft (domain.md 1.21)."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    await post_memo(unit, memo)
    return {"credit_memo": memo.id}


async def post_memo(unit: Unit, memo: CreditMemo) -> CreditMemo:
    """Post a draft that is already saved, and apply it where it asks for that (domain.md 3, Auto apply)."""
    lifecycle.check_post(memo, unit.book)  # first, so that a wrong status is told before anything is loaded
    referred = memo.referred_invoice_id
    invoice = await unit.invoice(referred) if referred else None
    target = (await unit.targets_of([referred]))[referred] if referred and memo.auto_apply_upon_posting else None
    number = await unit.formal_number(memo)
    posting = lifecycle.post(memo, invoice, target, number, unit.book, unit.stamp)
    posted = await unit.save(memo, posting.posted, Happening(action=EventAction.POSTED, note=posting.note))
    if posting.application is not None and target is not None:
        await unit.save_application(posted, [target], posting.application, EventAction.APPLIED)
    return posting.memo
