"""Refunds on the real store: recorded ones, and electronic ones through a gateway that may fail at any moment."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import bookkeeping
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import UnpostCreditMemo
from cm_graphql.domain.commands.refunds import CreditMemoRefundItem, GatewayOption, RefundCreditMemo
from cm_graphql.domain.commands.settlement import UnapplyCreditMemo
from cm_graphql.domain.enums import EventAction, GatewayState, LedgerKind, PaymentMethodType, RefundStatus, RefundType
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.refunds import GatewayAnswer
from cm_graphql.operations import lifecycle, refunds, settlement
from cm_graphql.operations.gate import Gate, Outcome
from cm_graphql.operations.gateways import SimulatedGateway
from cm_graphql.operations.ports import GatewayRefund, GatewayUnreachable, SystemClock
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from operating import TODAY, Desk, applying, lines, money

NOW = timedelta(0)


class Crash(Exception):
    """The process that served the request is gone."""


class Gateway(SimulatedGateway):
    """The test gateway, which here remembers what it sent, and fails as it is told to."""

    def __init__(self) -> None:
        self.asked: list[GatewayRefund] = []
        self.sent: dict[str, int] = {}
        self.foresight: type[SimulatedGateway] | Exception | None = SimulatedGateway
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    async def refund(self, asked: GatewayRefund) -> GatewayAnswer:
        self.asked.append(asked)
        self.before()
        answer = await super().refund(asked)
        if answer.approved:
            self.sent[asked.idempotency_key] = asked.amount
        self.after()
        return answer

    async def foresee(self, asked: GatewayRefund) -> GatewayAnswer | None:
        if isinstance(self.foresight, Exception):
            raise self.foresight
        return None if self.foresight is None else await super().foresee(asked)


def fail(error: Exception) -> Callable[[], None]:
    """Something that raises."""

    def act() -> None:
        raise error

    return act


def well() -> None:
    """Something that does not."""


@pytest.fixture
def gateway(desk: Desk) -> Gateway:
    """The gateway of the desk."""
    made = Gateway()
    desk.gate.gateway = made
    return made


def external(memo: str, amount: str, **fields: Any) -> RefundCreditMemo:
    """A request to record a refund by check."""
    given = {"type": RefundType.EXTERNAL, "method_type": PaymentMethodType.CHECK, **fields}
    return RefundCreditMemo(key=Key(memo), total_amount=Decimal(amount), **given)


async def electronic(desk: Desk, memo: str, amount: str, **fields: Any) -> RefundCreditMemo:
    """A request to have a card refunded."""
    given = {"payment_method_id": Key(await desk.payment_method()), **fields}
    return RefundCreditMemo(key=Key(memo), type=RefundType.ELECTRONIC, total_amount=Decimal(amount), **given)


# --- recorded refunds -------------------------------------------------------------------------------------------------


async def test_an_external_refund_is_processed_at_once_first_line_first(desk: Desk) -> None:
    invoice = await desk.invoice(["30.00", "3.00"], "20.00")
    memo = await desk.post(await desk.credit(invoice, "30.00", "20.00"))

    outcome = await desk.do(refunds.refund, external(memo, "32.00", comment="Sorry", custom_fields={"Case__c": "7"}))

    now = await desk.memo(memo)
    assert money(now) == ("53.00", "0.00", "21.00", "32.00")
    assert lines(now) == ["0.00", "1.00", "20.00"]
    made = await desk.row(t.refunds, id=outcome["refund"])
    assert (made.number, made.status, made.gateway_state) == (
        "R-00000001",
        RefundStatus.PROCESSED,
        GatewayState.NOT_SUBMITTED,
    )
    assert (made.amount, made.refund_date, made.reason_code) == (320_000, TODAY, "Standard Refund")
    assert (made.comment, made.custom_fields, made.gateway_id) == ("Sorry", {"Case__c": "7"}, None)
    part = await desk.row(t.refund_parts, refund_id=made.id)
    assert (part.amount, part.credit_memo_id) == (320_000, memo)
    item_parts = await desk.rows(t.refund_item_parts, refund_part_id=part.id)
    assert [row.amount for row in item_parts] == [300_000, 20_000]
    assert item_parts[0].credit_memo_item_id == now.items[0].id
    assert item_parts[1].credit_tax_item_id == now.items[0].taxation_items[0].id
    entry = await desk.row(t.credit_memo_applications, credit_memo_id=memo)
    assert (entry.kind, entry.amount, entry.refund_id) == (LedgerKind.REFUND, 320_000, made.id)
    (event,) = await desk.rows(t.credit_memo_events, action=EventAction.REFUNDED)
    assert event.targets == [{"id": made.id, "number": "R-00000001", "amount": 320_000}]


async def test_lines_can_be_named(desk: Desk) -> None:
    memo = await desk.posted("30.00", "20.00")
    second = (await desk.memo(memo)).items[1].id
    item = CreditMemoRefundItem(amount=Decimal("5.00"), credit_memo_item_id=Key(second))

    await desk.do(refunds.refund, external(memo, "5.00", items=(item,)))

    assert lines(await desk.memo(memo)) == ["30.00", "15.00"]


async def test_a_memo_refunded_in_full_has_no_part(desk: Desk) -> None:
    memo = await desk.posted("30.00")

    await desk.do(refunds.refund, external(memo, "30.00"))

    assert await desk.rows(t.credit_memo_parts) == []
    assert await desk.refused(refunds.refund, external(memo, "0.01")) == [(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,)]
    assert await desk.refused(lifecycle.unpost, UnpostCreditMemo(key=Key(memo))) == [
        (ErrorCode.ALREADY_APPLIED_OR_REFUNDED,)
    ]


async def test_a_refund_day_is_the_floor_of_a_later_unapply(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    await desk.apply_to(memo, await desk.invoice("10.00"), "10.00")
    await desk.do(refunds.refund, external(memo, "5.00", refund_date=TODAY + timedelta(days=3)))

    early = UnapplyCreditMemo(key=Key(memo), effective_date=TODAY)

    assert await desk.refused(settlement.unapply, early) == [(ErrorCode.UNAPPLY_DATE_TOO_EARLY, "effective_date")]


# --- electronic refunds -----------------------------------------------------------------------------------------------


async def test_the_gateway_is_asked_for_what_the_request_says(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(
        desk,
        memo,
        "12.00",
        gateway_options=(GatewayOption(key="speed", value="fast"),),
        soft_descriptor="ACME",
        reference_id="order 7",
    )

    outcome = await desk.do(refunds.refund, command)

    made = await desk.row(t.refunds, id=outcome["refund"])
    (asked,) = gateway.asked
    assert (asked.idempotency_key, asked.number, asked.amount, asked.currency.code) == (
        made.id,
        "R-00000001",
        120_000,
        "USD",
    )
    assert (asked.gateway_id, asked.options, asked.soft_descriptor) == ("test", {"speed": "fast"}, "ACME")
    assert (asked.payment_method_id, asked.method_type) == (command.payment_method_id, PaymentMethodType.CREDIT_CARD)
    assert (made.status, made.gateway_state, made.gateway_response_code) == (
        RefundStatus.PROCESSED,
        GatewayState.SUBMITTED,
        "00",
    )
    assert made.reference_id == f"test-{made.id}"
    assert made.submitted_on is not None
    assert made.marked_for_submission_on < made.submitted_on
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "18.00", "12.00")
    assert len(await desk.rows(t.refund_item_parts)) == 1
    assert len(await desk.rows(t.credit_memo_applications)) == 1


async def test_the_gateway_is_the_requests_else_the_accounts(desk: Desk, gateway: Gateway) -> None:
    await desk.new_account(gateway_id="bank-1")
    memo = await desk.posted("30.00")

    await desk.do(refunds.refund, await electronic(desk, memo, "1.00"))
    await desk.do(refunds.refund, await electronic(desk, memo, "1.00", gateway_id="bank-2"))

    assert [asked.gateway_id for asked in gateway.asked] == ["bank-1", "bank-2"]


async def test_a_refund_that_the_gateway_refuses_is_on_record_and_changes_nothing_else(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "5.13")
    before = await desk.dump()

    answer = await desk.ask(refunds.refund, command)

    assert [(fault.code, fault.field) for fault in answer.faults] == [(ErrorCode.GATEWAY_ERROR, ())]
    made = await desk.row(t.refunds)
    assert (made.status, made.gateway_state, made.gateway_response_code) == (
        RefundStatus.ERROR,
        GatewayState.FAILED_TO_SETTLE,
        "13",
    )
    changed = bookkeeping.changed(before, await desk.dump())
    assert changed == {"refunds", "sequences"}, "no part, no ledger, no history, no new version of the memo"


async def test_a_dry_run_asks_no_gateway_and_leaves_nothing(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "5.00", dry_run=True)
    before = await desk.dump()

    answer = await desk.ask(refunds.refund, command)

    assert answer.outcome is not None
    assert answer.outcome["credit_memo"] == memo
    assert gateway.asked == []
    assert await desk.dump() == before


async def test_a_dry_run_foresees_what_the_gateway_would_refuse(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "12.13", dry_run=True)

    before = await desk.dump()
    answer = await desk.ask(refunds.refund, command)

    assert [(fault.code, fault.message) for fault in answer.faults] == [
        (
            ErrorCode.GATEWAY_ERROR,
            "The payment gateway would refuse this refund: The test gateway refuses amounts that end in .13.",
        )
    ]
    assert gateway.asked == []
    assert await desk.dump() == before


@pytest.mark.parametrize(("knows", "codes"), [(None, []), (GatewayUnreachable("down"), [ErrorCode.GATEWAY_ERROR])])
async def test_a_dry_run_believes_in_a_gateway_that_cannot_tell_but_not_in_one_out_of_reach(
    desk: Desk, gateway: Gateway, knows: Exception | None, codes: list[ErrorCode]
) -> None:
    memo = await desk.posted("30.00")
    gateway.foresight = knows

    answer = await desk.ask(refunds.refund, await electronic(desk, memo, "12.13", dry_run=True))

    assert [fault.code for fault in answer.faults] == codes


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_request_that_died_at_the_gateway_is_taken_up_by_its_repeat(
    desk: Desk, gateway: Gateway, when: str
) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "12.00", idempotency_key="refund 1")
    setattr(gateway, when, fail(Crash()))
    with pytest.raises(Crash):
        await desk.ask(refunds.refund, command)
    setattr(gateway, when, well)
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "30.00", "0.00")

    outcome = await desk.do(refunds.refund, command)
    again = await desk.ask(refunds.refund, command)

    assert len({asked.idempotency_key for asked in gateway.asked}) == 1, "one refund, asked for twice"
    assert gateway.sent == {outcome["refund"]: 120_000}
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "18.00", "12.00")
    assert (again.outcome, again.replayed) == (outcome, True)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_refund_that_nobody_asks_for_again_is_finished_later(desk: Desk, gateway: Gateway, when: str) -> None:
    memo = await desk.posted("30.00")
    setattr(gateway, when, fail(Crash()))
    with pytest.raises(Crash):
        await desk.ask(refunds.refund, await electronic(desk, memo, "12.00"))
    setattr(gateway, when, well)

    assert await refunds.finish_unfinished(desk.gate) == 0, "whoever asked may still be at it"
    assert await refunds.finish_unfinished(desk.gate, NOW) == 1
    assert await refunds.finish_unfinished(desk.gate, NOW) == 0

    assert money(await desk.memo(memo)) == ("30.00", "0.00", "18.00", "12.00")
    (sent,) = gateway.sent.values()
    assert sent == 120_000
    assert (await desk.row(t.credit_memo_events, action=EventAction.REFUNDED)).by_id == "usr_local"


async def test_a_repeat_of_what_was_finished_meanwhile_learns_the_outcome(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "12.00", idempotency_key="refund 1")
    gateway.after = fail(Crash())
    with pytest.raises(Crash):
        await desk.ask(refunds.refund, command)
    gateway.after = well
    await refunds.finish_unfinished(desk.gate, NOW)

    outcome = await desk.do(refunds.refund, command)

    assert outcome["refund"] in gateway.sent
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "18.00", "12.00")


async def test_a_memo_is_held_while_its_refund_is_at_the_gateway(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    invoice = await desk.invoice("30.00")
    gateway.before = fail(GatewayUnreachable("timeout"))
    command = await electronic(desk, memo, "12.00")

    outcome = await desk.do(refunds.refund, command)

    assert (await desk.row(t.refunds, id=outcome["refund"])).status is RefundStatus.PROCESSING
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "30.00", "0.00")
    assert await desk.refused(refunds.refund, external(memo, "30.00")) == [(ErrorCode.LOCK_CONTENTION,)]
    assert await desk.refused(lifecycle.unpost, UnpostCreditMemo(key=Key(memo))) == [(ErrorCode.LOCK_CONTENTION,)]

    assert await desk.refused(settlement.apply, applying(memo, invoice, "30.00")) == [(ErrorCode.LOCK_CONTENTION,)]
    gateway.before = well
    await refunds.finish_unfinished(desk.gate, NOW)
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "18.00", "12.00")
    await desk.apply_to(memo, invoice, "18.00")


async def test_a_refund_found_refused_later_frees_its_memo(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    gateway.before = fail(GatewayUnreachable("timeout"))
    await desk.ask(refunds.refund, await electronic(desk, memo, "12.13"))
    gateway.before = well

    assert await refunds.finish_unfinished(desk.gate, NOW) == 0

    assert (await desk.row(t.refunds)).status == RefundStatus.ERROR
    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))


async def test_two_requests_for_the_same_money_send_it_once(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "30.00")
    other = Gate(desk.database, SystemClock(TODAY), gateway=gateway)

    answers = await asyncio.gather(
        *(gate.act(refunds.refund, command, Viewer("usr_clerk")) for gate in (desk.gate, other, desk.gate, other))
    )

    succeeded = [answer for answer, _ in answers if answer.outcome is not None]
    codes = {fault.code for answer, _ in answers for fault in answer.faults}
    assert len(succeeded) == 1
    assert codes <= {ErrorCode.LOCK_CONTENTION, ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED}
    assert list(gateway.sent.values()) == [300_000]
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "0.00", "30.00")


async def test_who_finds_no_connection_to_ask_the_gateway_is_told_of_the_refund_all_the_same(
    desk: Desk, gateway: Gateway, database_url: str
) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "12.00", idempotency_key="refund 1")
    narrow = Database.open(database_url, pool_size=1, lock_timeout=1)
    others: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def read() -> None:
        async with narrow.read():
            await over.wait()

    async def then_others_read(unit: Unit, command: RefundCreditMemo) -> Outcome:
        others.append(asyncio.create_task(read()))  # before its own turn to read comes
        await asyncio.sleep(0.01)
        return await refunds.refund.run(unit, command)

    what = replace(refunds.refund, run=then_others_read)
    answer, _ = await Gate(narrow, SystemClock(TODAY), gateway=gateway).act(what, command, desk.viewer)
    over.set()
    await asyncio.gather(*others)
    await narrow.dispose()

    assert answer.faults == ()
    assert (await desk.row(t.refunds)).status is RefundStatus.PROCESSING
    await desk.do(refunds.refund, command)
    assert list(gateway.sent.values()) == [120_000]
    assert money(await desk.memo(memo)) == ("30.00", "0.00", "18.00", "12.00")


async def test_a_refusal_of_the_gateway_is_not_kept_for_repeats(desk: Desk, gateway: Gateway) -> None:
    memo = await desk.posted("30.00")
    command = await electronic(desk, memo, "12.13", idempotency_key="refund 1")

    for _ in range(2):
        answer = await desk.ask(refunds.refund, command)
        assert [fault.code for fault in answer.faults] == [ErrorCode.GATEWAY_ERROR]

    assert len({asked.idempotency_key for asked in gateway.asked}) == 2
    assert await desk.rows(t.idempotency_keys) == []


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_payment_methods_are_found_fit_and_belong_to_the_account(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    own = desk.account
    cash = await desk.payment_method(electronic=False)
    await desk.new_account()
    foreign = await desk.payment_method()
    unknown = f"pm_{0:032x}"

    async def refused(method: str) -> Any:
        command = RefundCreditMemo(
            key=Key(memo),
            type=RefundType.ELECTRONIC,
            total_amount=Decimal("1.00"),
            payment_method_id=Key(method),
        )
        return await desk.refused(refunds.refund, command)

    assert await refused(unknown) == [(ErrorCode.PAYMENT_METHOD_NOT_FOUND, "payment_method_id")]
    assert await refused(cash) == [(ErrorCode.REFUND_METHOD_CONFLICT, "payment_method_id")]
    assert await refused(foreign) == [(ErrorCode.ACCOUNT_MISMATCH, "payment_method_id")]
    desk.viewer = Viewer("usr_clerk", accounts=frozenset({own}))
    assert await refused(foreign) == [(ErrorCode.PAYMENT_METHOD_NOT_FOUND, "payment_method_id")]


async def test_lines_must_exist_and_be_of_the_memo(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    other = (await desk.memo(await desk.posted("30.00"))).items[0].id

    async def refused(**line: Key) -> Any:
        item = CreditMemoRefundItem(amount=Decimal("1.00"), **line)
        return await desk.refused(refunds.refund, external(memo, "1.00", items=(item,), if_version=99))

    assert await refused(credit_memo_item_id=Key(f"cmi_{0:032x}")) == [
        (ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND, "items", 0, "credit_memo_item_id")
    ]
    assert await refused(credit_tax_item_id=Key(f"cmt_{0:032x}")) == [
        (ErrorCode.TAXATION_ITEM_NOT_FOUND, "items", 0, "credit_tax_item_id")
    ]
    item = CreditMemoRefundItem(amount=Decimal("1.00"), credit_memo_item_id=Key(other))
    assert await desk.refused(refunds.refund, external(memo, "1.00", items=(item,))) == [
        (ErrorCode.ITEM_PAIR_INVALID, "items", 0, "credit_memo_item_id")
    ]


async def test_drafts_are_not_refunded(desk: Desk) -> None:
    memo = await desk.draft("30.00")

    assert await desk.refused(refunds.refund, external(memo, "1.00")) == [(ErrorCode.INVALID_STATUS,)]
