"""Paying back what is unapplied, through a payment gateway or only on record (docs/decisions/0004)."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from cm_graphql.domain import refunds, shape
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.enums import DocumentType, EventAction, RefundStatus, RefundType
from cm_graphql.domain.errors import ErrorCode, Fault, Refusal, not_found, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CreditMemo
from cm_graphql.domain.refunds import GatewayAnswer, PaymentMethod, Refund, Refunding
from cm_graphql.operations.gate import UNFINISHED, Answer, Errand, Gate, NoReply, Outcome, action
from cm_graphql.operations.gateways import DEFAULT_GATEWAY
from cm_graphql.operations.ports import GatewayRefund, GatewayUnreachable
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import intake, records
from cm_graphql.store import refunds as store
from cm_graphql.store.records import Happening
from cm_graphql.store.session import Session

log = structlog.get_logger("cm_graphql.operations")

PATIENCE: Final = timedelta(minutes=1)
"""After so long a refund at the gateway is taken up by `finish_unfinished`: whoever asked for it may be gone."""


async def _ask_gateway(gate: Gate, refund_id: str) -> GatewayAnswer | None:
    """Ask the gateway for a submitted refund; nothing where it was concluded meanwhile. It may be asked repeatedly."""
    async with gate.database.read() as connection:
        session = Session(connection, gate.database.dialect)
        refund = await store.load(session, refund_id, lock=False)
        assert refund is not None, "refunds are never deleted"
        currency = await session.currency(refund.currency)
    if refund.status is not RefundStatus.PROCESSING:
        return None
    try:
        return await gate.gateway.refund(_question(refund, currency))
    except GatewayUnreachable as error:
        raise NoReply(f"the payment gateway did not answer ({error})") from error


def _question(refund: Refund, currency: Currency) -> GatewayRefund:
    """What the gateway is asked for."""
    assert refund.payment_method_id is not None, "an electronic refund goes to a payment method"
    return GatewayRefund(
        idempotency_key=refund.id,
        number=refund.number,
        account_id=refund.account_id,
        payment_method_id=refund.payment_method_id,
        method_type=refund.method_type,
        amount=refund.amount,
        currency=currency,
        gateway_id=refund.gateway_id,
        options=refund.gateway_options,
        reference_id=refund.reference_id,
        soft_descriptor=refund.soft_descriptor,
        soft_descriptor_phone=refund.soft_descriptor_phone,
    )


async def _conclude(unit: Unit, refund_id: str, answer: GatewayAnswer | None) -> Answer:
    """Make of a submitted refund what the gateway answered, unless that was done before."""
    refund = await store.load(unit.session, refund_id)
    assert refund is not None
    if refund.status is RefundStatus.PROCESSING:
        assert answer is not None, "a refund is not submitted twice"
        memo = await unit.held_memo(refund.credit_memo_id)
        done = refunds.settle(refund, memo, answer, unit.stamp)
        await store.settle(unit.session, done.refund, unit.stamp)
        await _save_paid_out(unit, memo, done)
        refund = done.refund
    if refund.status is RefundStatus.PROCESSED:
        return Answer(outcome=_outcome(refund))
    reason = _reason(refund.gateway_response, refund.gateway_response_code)
    message = f"The payment gateway refused refund {refund.number}: {reason} The memo's amounts stay as they were."
    return Answer(faults=(Fault(ErrorCode.GATEWAY_ERROR, message),))


def _outcome(refund: Refund) -> Outcome:
    return {"credit_memo": refund.credit_memo_id, "refund": refund.id}


@action("credit_memos:refund", errand=Errand(ask=_ask_gateway, conclude=_conclude))
async def refund(unit: Unit, command: RefundCreditMemo) -> Outcome:
    """Refund what a memo has unapplied (domain.md 1.22).

    An electronic refund is only submitted here, which holds the memo; the gateway is asked afterwards. Where it does
    not answer, or what it answered cannot be recorded, the refund stays PROCESSING, to be finished later.
    """
    memo = await unit.memo(command.key)
    method = await _payment_method(unit, command)
    await _require_lines(unit, command, memo)
    unit.expect_version(memo, command.if_version)
    gateway_id = command.gateway_id or (await unit.account(memo.account_id)).gateway_id or DEFAULT_GATEWAY
    plan = refunds.prepare(memo, command, method, gateway_id, unit.book, unit.stamp)
    number = await unit.next_number(memo.account_id, DocumentType.REFUND)
    answer: GatewayAnswer | None = None
    if command.type is RefundType.ELECTRONIC:
        submitted = refunds.submit(plan, number, unit.stamp)
        if not unit.dry_run:
            await store.insert(unit.session, submitted, unit.stamp)
            return {**_outcome(submitted), UNFINISHED: submitted.id}
        answer = _foreseen(unit, submitted, memo.currency)
    done = refunds.refund(plan, answer, number, unit.stamp)
    await store.insert(unit.session, done.refund, unit.stamp)
    await _save_paid_out(unit, memo, done)
    return _outcome(done.refund)


def _foreseen(unit: Unit, submitted: Refund, currency: Currency) -> GatewayAnswer:
    """What the gateway would answer to a dry run's refund; refuses with GATEWAY_ERROR what it would refuse."""
    question = replace(_question(submitted, currency), idempotency_key="", number="")  # both differ at each attempt
    answer = unit.quoted.forecast(question)
    if not answer.approved:
        message = f"The payment gateway would refuse this refund: {_reason(answer.response, answer.response_code)}"
        raise refuse(ErrorCode.GATEWAY_ERROR, message)
    return answer


def _reason(response: str | None, code: str | None) -> str:
    return response or code or "no reason was given."


async def _payment_method(unit: Unit, command: RefundCreditMemo) -> PaymentMethod | None:
    """The payment method that a request names; refuses with PAYMENT_METHOD_NOT_FOUND."""
    key = command.payment_method_id
    if key is None:
        return None
    method = await intake.load_payment_method(unit.session, shape.as_id(key, "pm"))
    if method is None or not unit.viewer.sees(method.account_id):
        raise Refusal(not_found(ErrorCode.PAYMENT_METHOD_NOT_FOUND, key, "payment_method_id"))
    return method


async def _require_lines(unit: Unit, command: RefundCreditMemo, memo: CreditMemo) -> None:
    """Refuse lines that do not exist at all; those of other memos are the rules' business."""
    named = [
        (key, ("items", index, name))
        for index, item in enumerate(command.items or ())
        for name in ("credit_memo_item_id", "credit_tax_item_id")
        if (key := getattr(item, name)) is not None
    ]
    if named:
        await unit.require_known(named, (line.id for line in memo.lines))


async def _save_paid_out(unit: Unit, memo: CreditMemo, done: Refunding) -> None:
    """Write what left the memo, if anything did: memo, ledger, history."""
    if not done.entries:
        return
    refund = done.refund
    happening = Happening(
        action=EventAction.REFUNDED,
        effective_date=refund.refund_date,
        targets=[{"id": refund.id, "number": refund.number, "amount": refund.amount}],
    )
    await unit.save(memo, done.memo, happening)
    await records.write_ledger(unit.session, done.entries, unit.stamp)


async def finish_unfinished(gate: Gate, patience: timedelta = PATIENCE) -> int:
    """Conclude refunds that were left at the gateway by processes that are gone, or by a gateway that was out of reach.

    Answers how many are settled now. Call it when the server starts and now and then; it is harmless to call anywhere,
    because a gateway asked twice for one refund sends the money once.
    """
    async with gate.database.read() as connection:
        session = Session(connection, gate.database.dialect)
        left = await store.unfinished(session, gate.clock.now() - patience)
    settled = 0
    for refund_id, by in left:
        try:
            answer = await gate.finish(refund, refund_id, Viewer(by))
        except Exception as error:  # one that fails must not keep the others waiting
            log.error("refund_not_finished", refund=refund_id, exc_info=error)
        else:
            settled += answer is not None and answer.outcome is not None
    return settled
