"""The payment gateway that comes with the product: it settles everything at once and moves no money."""

from typing import Final

from cm_graphql.domain.enums import GatewayState
from cm_graphql.domain.money import SCALE
from cm_graphql.domain.refunds import GatewayAnswer
from cm_graphql.operations.ports import GatewayRefund

DEFAULT_GATEWAY: Final = "test"
"""The gateway where neither the request nor the account names one (domain.md 1.22)."""

REFUSED_REMAINDER: Final = SCALE * 13 // 100
"""Amounts that end in .13 are refused, so that tests can see a refusal."""

ASSUMED: Final = GatewayAnswer(approved=True, state=GatewayState.SUBMITTED, response="Assumed by a dry run.")
"""What a dry run takes for the answer of a gateway that cannot tell without sending money."""


class SimulatedGateway:
    """Approves every refund except of amounts that end in .13; its answer depends on nothing but the question."""

    async def refund(self, asked: GatewayRefund) -> GatewayAnswer:
        """Say what a real gateway would."""
        return _answer(asked)

    async def foresee(self, asked: GatewayRefund) -> GatewayAnswer | None:
        """Say the same, since nothing depends on trying."""
        return _answer(asked)


def _answer(asked: GatewayRefund) -> GatewayAnswer:
    if asked.amount % SCALE == REFUSED_REMAINDER:
        return GatewayAnswer(
            approved=False,
            state=GatewayState.FAILED_TO_SETTLE,
            response="The test gateway refuses amounts that end in .13.",
            response_code="13",
        )
    return GatewayAnswer(
        approved=True,
        state=GatewayState.SUBMITTED,
        response="Approved",
        response_code="00",
        reference_id=f"test-{asked.idempotency_key}",
    )
