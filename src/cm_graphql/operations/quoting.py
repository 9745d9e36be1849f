"""How actions come by what only others know, although nothing outside is waited for inside a transaction.

An action asks for a tax engine's quote, for a payment gateway's forecast, or for a file to be looked at and stored,
where it needs that. What is not
known yet undoes its transaction (`Unasked`); the gate then asks and lets the action start over, on fresh data, with the
answer at hand.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from cm_graphql.domain.charges import Quotes
from cm_graphql.domain.errors import ErrorCode, Refusal, refuse
from cm_graphql.domain.refunds import GatewayAnswer
from cm_graphql.operations.document_ports import DocumentPorts
from cm_graphql.operations.gateways import ASSUMED, SimulatedGateway
from cm_graphql.operations.ports import (
    Gateway,
    GatewayRefund,
    GatewayUnreachable,
    TaxEngine,
    TaxEngineFailed,
    TaxInquiry,
)

MOST_INQUIRIES: Final = 100
"""Beyond so many in one request the data changes faster than an engine answers: more than twice a bulk request's."""


class Unasked(Exception):
    """Something outside must be asked before the action can go on: `ask` does that."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        super().__init__("something outside was not asked yet")
        self.ask = ask


class Quoted:
    """What was learned outside during one request."""

    def __init__(
        self,
        engines: Mapping[str, TaxEngine],
        documents: DocumentPorts | None = None,
        gateway: Gateway | None = None,
    ) -> None:
        self._engines = engines
        self._gateway = gateway or SimulatedGateway()
        self._foreseen: tuple[GatewayRefund, GatewayAnswer | Refusal] | None = None
        self.documents = documents
        """Who judges and keeps files; None where there is nobody for that."""
        self.learned: dict[str, Any] = {}
        """What an action has asked by itself, under names of its own."""
        self._answers: list[tuple[str, TaxInquiry, Quotes | Refusal]] = []

    def quotes(self, engine: str, inquiry: TaxInquiry) -> Quotes:
        """What an engine answered; raises Unasked, or refuses with TAX_ENGINE_ERROR where it failed."""
        for name, known, answer in self._answers:
            if name == engine and known == inquiry:
                if isinstance(answer, Refusal):
                    raise Refusal(*answer.faults)
                return answer
        if len(self._answers) >= MOST_INQUIRIES:
            raise failed("What the tax engine was asked for kept changing.")
        raise Unasked(lambda: self._ask(engine, inquiry))

    def forecast(self, asked: GatewayRefund) -> GatewayAnswer:
        """What the gateway would answer, approval where it cannot tell; raises Unasked, or refuses: GATEWAY_ERROR."""
        if self._foreseen is None or self._foreseen[0] != asked:
            raise Unasked(lambda: self._foresee(asked))
        answer = self._foreseen[1]
        if isinstance(answer, Refusal):
            raise Refusal(*answer.faults)
        return answer

    async def _foresee(self, asked: GatewayRefund) -> None:
        """Ask the gateway what it would answer, and remember that."""
        try:
            answer: GatewayAnswer | Refusal = await self._gateway.foresee(asked) or ASSUMED
        except GatewayUnreachable as error:
            answer = refuse(
                ErrorCode.GATEWAY_ERROR,
                f"The payment gateway did not answer ({error}), so the refund would have to wait for it.",
            )
        self._foreseen = asked, answer

    async def _ask(self, name: str, inquiry: TaxInquiry) -> None:
        """Ask an engine, and remember its answer or its failure."""
        self._answers.append((name, inquiry, await self._answer(name, inquiry)))

    async def _answer(self, name: str, inquiry: TaxInquiry) -> Quotes | Refusal:
        engine = self._engines.get(name)
        if engine is None:
            return failed(f"The tax engine {name} is not set up on this server.")
        try:
            return await engine.price(inquiry)
        except TaxEngineFailed as error:
            return failed(str(error))


def failed(why: str) -> Refusal:
    """The refusal of what no tax engine would price."""
    return refuse(ErrorCode.TAX_ENGINE_ERROR, f"{why} Nothing was changed.")
