"""What can be done with a credit memo, as clients read it."""

import asyncio
from typing import Any, Final, cast

import strawberry

from cm_graphql.api.context import Context
from cm_graphql.domain.enums import MemoAction
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.fields.loaders import Loaders
from cm_graphql.operations.actions import ActionState, available
from cm_graphql.operations.viewer import Viewer

PORTION: Final = 50
"""Memos that are asked about at once: while their rules are asked, a millisecond or two for each, nobody is served."""


@strawberry.type(description="Whether an action on a credit memo would be refused to this caller now, and why.")
class CreditMemoActionState:
    """One of `CreditMemo.availableActions` (api.md, Beyond the reference)."""

    action: MemoAction = strawberry.field(description="The action.")
    allowed: bool = strawberry.field(
        description="Whether nothing speaks against it but, perhaps, what the request will say."
    )
    code: ErrorCode | None = strawberry.field(description="The symbol it would be refused with; null when allowed.")
    reason: str | None = strawberry.field(description="Why it would be refused; null when allowed.")

    @classmethod
    def of(cls, state: ActionState) -> "CreditMemoActionState":
        """Show a state."""
        return cls(action=state.action, allowed=state.allowed, code=state.code, reason=state.reason)


async def available_actions(info: strawberry.Info, memo_id: str) -> list[CreditMemoActionState]:
    """What the caller can do with a memo; fifty memos cost as many statements as one."""
    context = cast(Context, info.context)
    states = await _load(context.loaders, context.viewer, memo_id)
    return [CreditMemoActionState.of(state) for state in states]


async def _load(loaders: Loaders, viewer: Viewer, memo_id: str) -> tuple[ActionState, ...]:
    turns = asyncio.Lock()

    async def load(ids: list[str]) -> list[Any]:
        async with turns, loaders.source.session() as session:
            found = await available(session, ids, viewer)
        return [found.get(key, ()) for key in ids]

    answer: tuple[ActionState, ...] = await loaders.loader("available_actions", load, most=PORTION).load(memo_id)
    return answer
