"""Posting, unposting, canceling, deleting, writing off and reversing memos, on the real store."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import (
    CreateCreditMemoFromCharges,
    CreditMemoItemFromCharge,
)
from cm_graphql.domain.commands.lifecycle import (
    CancelCreditMemo,
    DeleteCreditMemo,
    PostCreditMemo,
    ReverseCreditMemo,
    UnpostCreditMemo,
    WriteOffCreditMemo,
)
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.commands.settlement import DebitMemoApplication, UnapplyCreditMemo
from cm_graphql.domain.enums import EventAction, LedgerKind, MemoStatus, PaymentMethodType, RefundType
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import creation, lifecycle, refunds, settlement
from cm_graphql.operations.viewer import ADMIN, Forbidden, Viewer
from cm_graphql.store import tables as t
from operating import TODAY, Desk, money, worths

# --- unpost, cancel, delete -------------------------------------------------------------------------------------------


async def test_an_unposted_memo_is_a_draft_without_parts_under_the_same_number(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    posted = await desk.memo(memo)

    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))

    now = await desk.memo(memo)
    assert (now.status, now.parts, now.number) == (MemoStatus.DRAFT, (), posted.number)
    assert (now.posted_on, now.posted_by_id) == (posted.posted_on, "usr_local")
    assert await desk.rows(t.credit_memo_parts) == []
    assert await desk.rows(t.credit_memo_item_parts) == []


async def test_unposting_gives_the_invoice_its_room_back(desk: Desk) -> None:
    invoice = await desk.invoice("30.00")
    first = await desk.post(await desk.credit(invoice, "30.00"))
    second = await desk.do_not_credit(invoice, "1.00")
    assert second == [(ErrorCode.OVER_CREDIT,)]

    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(first)))

    await desk.credit(invoice, "1.00")


async def test_a_used_memo_cannot_be_unposted(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    await desk.apply_to(memo, await desk.invoice("10.00"), "10.00")

    assert await desk.refused(lifecycle.unpost, UnpostCreditMemo(key=Key(memo))) == [
        (ErrorCode.ALREADY_APPLIED_OR_REFUNDED,)
    ]


async def test_a_canceled_memo_is_deleted_with_everything_but_its_history(desk: Desk) -> None:
    memo = await desk.draft("30.00")
    await desk.do(lifecycle.cancel, CancelCreditMemo(key=Key(memo)))
    assert (await desk.memo(memo)).cancelled_by_id == "usr_local"

    outcome = await desk.do(lifecycle.delete, DeleteCreditMemo(key=Key(memo)))

    assert outcome == {"deleted_credit_memo_id": memo}
    assert await desk.rows(t.credit_memos) == await desk.rows(t.credit_memo_items) == []
    events = await desk.rows(t.credit_memo_events, credit_memo_id=memo)
    assert [event.action for event in events] == [EventAction.CREATED, EventAction.CANCELED, EventAction.DELETED]
    assert events[-1].amounts_after is None
    assert events[-1].amounts_before["amount"] == 300_000


async def test_the_number_of_a_deleted_memo_is_used_by_no_other(desk: Desk) -> None:
    memo = await desk.draft("30.00", number="CM00000002")
    await desk.do(lifecycle.cancel, CancelCreditMemo(key=Key(memo)))
    await desk.do(lifecycle.delete, DeleteCreditMemo(key=Key(memo)))
    charge = CreditMemoItemFromCharge(product_rate_plan_charge_id=Key(await desk.charge()))
    again = CreateCreditMemoFromCharges(account_key=Key(desk.account), charges=(charge,), number="CM00000002")

    assert await desk.refused(creation.from_charges, again) == [(ErrorCode.NUMBER_TAKEN, "number")]

    made = [(await desk.memo(await desk.draft("1.00"))).number for _ in range(2)]
    assert made == ["CM00000001", "CM00000003"]


@pytest.mark.parametrize(
    ("what", "command"),
    [
        (lifecycle.post, PostCreditMemo),
        (lifecycle.cancel, CancelCreditMemo),
        (lifecycle.delete, DeleteCreditMemo),
    ],
)
async def test_a_posted_memo_can_only_be_unposted(desk: Desk, what: object, command: type) -> None:
    memo = await desk.posted("30.00")

    assert await desk.refused(what, command(key=Key(memo))) == [(ErrorCode.INVALID_STATUS,)]  # type: ignore[arg-type]  # one of the actions above


async def test_a_draft_can_be_neither_unposted_nor_deleted_nor_undone(desk: Desk) -> None:
    memo = Key(await desk.draft("30.00"))

    for what, command in (
        (lifecycle.unpost, UnpostCreditMemo(key=memo)),
        (lifecycle.delete, DeleteCreditMemo(key=memo)),
        (lifecycle.write_off, WriteOffCreditMemo(key=memo)),
        (lifecycle.reverse, ReverseCreditMemo(key=memo)),
    ):
        assert await desk.refused(what, command) == [(ErrorCode.INVALID_STATUS,)]


async def test_a_memo_is_seen_at_the_version_that_the_caller_knows(desk: Desk) -> None:
    memo = await desk.posted("30.00")

    assert await desk.refused(lifecycle.unpost, UnpostCreditMemo(key=Key(memo), if_version=1)) == [
        (ErrorCode.STALE_VERSION, "if_version")
    ]
    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo), if_version=2))


# --- write off and reverse --------------------------------------------------------------------------------------------


async def test_a_write_off_settles_a_debit_memo_that_mirrors_the_memo(desk: Desk) -> None:
    await desk.new_account(payment_term_days=10)
    invoice = await desk.invoice(["30.00", "3.00"], "20.00", "-5.00")
    memo = await desk.post(await desk.credit(invoice, "30.00", "20.00", "-5.00"))

    outcome = await desk.do(
        lifecycle.write_off,
        WriteOffCreditMemo(key=Key(memo), comment="Too old", custom_fields={"Region__c": "EU"}),
    )

    now = await desk.memo(memo)
    assert money(now) == ("48.00", "48.00", "0.00", "0.00")
    assert not now.reversed
    made = await desk.row(t.debit_memos, id=outcome["debit_memo"])
    assert (made.number, made.reason_code, made.comment) == ("DM00000001", "Write-off", "Too old")
    assert (made.amount, made.tax_amount, made.credit_amount, made.balance) == (480_000, 30_000, 480_000, 0)
    assert (made.debit_memo_date, made.due_date) == (TODAY, TODAY + timedelta(days=10))
    assert (made.status, made.source_type, made.auto_pay) == (MemoStatus.POSTED, "CREDIT_MEMO", True)
    assert (made.referred_credit_memo_id, made.custom_fields) == (memo, {"Region__c": "EU"})
    items = await desk.rows(t.debit_memo_items)
    assert sorted(item.balance for item in items) == [0, 0, 0]
    assert sorted(item.be_applied_amount for item in items) == [-50_000, 200_000, 300_000]
    assert {item.source_item_id for item in items} == {item.id for item in now.items}
    tax = await desk.row(t.debit_memo_taxation_items)
    assert (tax.tax_amount, tax.credit_amount, tax.balance) == (30_000, 30_000, 0)
    assert tax.source_tax_item_id == now.items[0].taxation_items[0].id
    (part,) = now.parts
    assert part.target_id == made.id
    assert sorted(item_part.amount for item_part in part.item_parts) == [-50_000, 30_000, 200_000, 300_000]
    entry = await desk.row(t.credit_memo_applications, credit_memo_id=memo)
    assert (entry.kind, entry.amount, entry.debit_memo_id) == (LedgerKind.WRITE_OFF, 480_000, made.id)
    event = (await desk.rows(t.credit_memo_events, action=EventAction.WRITTEN_OFF))[0]
    assert event.targets == [{"id": made.id, "number": "DM00000001", "amount": 480_000}]


async def test_a_write_off_can_be_taken_back_and_leaves_the_debit_memo_open(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    made = (await desk.do(lifecycle.write_off, WriteOffCreditMemo(key=Key(memo))))["debit_memo"]

    await desk.do(settlement.unapply, UnapplyCreditMemo(key=Key(memo)))

    assert money(await desk.memo(memo)) == ("30.00", "0.00", "30.00", "0.00")
    assert (await desk.row(t.debit_memos, id=made)).balance == 300_000


async def test_a_reversed_memo_stays_applied_and_gives_the_invoice_its_room_back(desk: Desk) -> None:
    invoice = await desk.invoice("30.00")
    memo = await desk.post(await desk.credit(invoice, "30.00"))

    outcome = await desk.do(
        lifecycle.reverse,
        ReverseCreditMemo(key=Key(memo), memo_date=date(2026, 3, 16), apply_effective_date=date(2026, 3, 20)),
    )

    now = await desk.memo(memo)
    assert now.reversed
    assert money(now) == ("30.00", "30.00", "0.00", "0.00")
    made = await desk.row(t.debit_memos, id=outcome["debit_memo"])
    assert (made.reason_code, made.debit_memo_date) == ("Credit memo reversal", date(2026, 3, 16))
    entry = await desk.row(t.credit_memo_applications, credit_memo_id=memo)
    assert (entry.kind, entry.effective_date) == (LedgerKind.REVERSE, date(2026, 3, 20))
    target = DebitMemoApplication(debit_memo_key=Key(made.id), amount=Decimal("1.00"))
    assert await desk.refused(settlement.unapply, UnapplyCreditMemo(key=Key(memo), debit_memos=(target,))) == [
        (ErrorCode.ALREADY_REVERSED,)
    ]
    assert await desk.refused(lifecycle.reverse, ReverseCreditMemo(key=Key(memo))) == [(ErrorCode.ALREADY_REVERSED,)]
    await desk.post(await desk.credit(invoice, "30.00"))


async def test_what_was_used_cannot_be_written_off_or_reversed(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    await desk.apply_to(memo, await desk.invoice("10.00"), "10.00")

    write_off = await desk.refused(lifecycle.write_off, WriteOffCreditMemo(key=Key(memo)))
    reverse = await desk.refused(lifecycle.reverse, ReverseCreditMemo(key=Key(memo)))

    assert (write_off, reverse) == (
        [(ErrorCode.NOT_FULLY_UNAPPLIED,)],
        [(ErrorCode.ALREADY_APPLIED_OR_REFUNDED,)],
    )


async def test_a_refused_write_off_uses_up_no_number(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    await desk.refused(lifecycle.write_off, WriteOffCreditMemo(key=Key(memo), reason_code="No such reason"))
    await desk.ask(lifecycle.write_off, WriteOffCreditMemo(key=Key(memo), dry_run=True))

    made = await desk.do(lifecycle.write_off, WriteOffCreditMemo(key=Key(memo)))

    assert (await desk.row(t.debit_memos, id=made["debit_memo"])).number == "DM00000001"


async def test_a_dry_run_of_a_reversal_leaves_nothing(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    before = await desk.dump()

    answer = await desk.ask(lifecycle.reverse, ReverseCreditMemo(key=Key(memo), dry_run=True))

    assert answer.faults == ()
    assert await desk.dump() == before


@pytest.mark.parametrize("missing", ["credit_memos:write_off", "credit_memos:apply"])
async def test_writing_off_needs_the_right_to_apply_as_well(desk: Desk, missing: str) -> None:
    memo = await desk.posted("30.00")
    desk.viewer = Viewer("usr_clerk", ADMIN - {missing})

    with pytest.raises(Forbidden, match=missing):
        await desk.ask(lifecycle.write_off, WriteOffCreditMemo(key=Key(memo)))


async def test_histories_tell_things_in_their_order_even_when_many_wait_for_each_other(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    cash: dict[str, Any] = {
        "type": RefundType.EXTERNAL,
        "method_type": PaymentMethodType.CASH,
        "total_amount": Decimal(1),
    }

    await asyncio.gather(*(desk.do(refunds.refund, RefundCreditMemo(key=Key(memo), **cash)) for _ in range(8)))

    events = await desk.rows(t.credit_memo_events, credit_memo_id=memo, action=EventAction.REFUNDED)
    told = [event.amounts_after["refund_amount"] for event in sorted(events, key=lambda event: event.at)]
    assert told == [money * 10_000 for money in range(1, 9)]


# --- posting ----------------------------------------------------------------------------------------------------------


async def test_numbers_can_be_given_at_posting_and_are_kept_through_an_unpost(desk: Desk) -> None:
    await desk.set(number_on_posting=True)
    memo = await desk.draft("30.00")
    assert (await desk.memo(memo)).number == "TMP-CM-00000001"

    await desk.post(memo)
    assert (await desk.memo(memo)).number == "CM00000001"
    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))
    await desk.post(memo)

    assert (await desk.memo(memo)).number == "CM00000001"


async def test_a_number_of_ones_own_is_kept_at_posting_whatever_it_looks_like(desk: Desk) -> None:
    await desk.set(number_on_posting=True)
    memo = await desk.posted("30.00", number="TMP-7")

    assert (await desk.memo(memo)).number == "TMP-7"


async def test_posting_applies_a_memo_that_asks_for_it(desk: Desk) -> None:
    invoice = await desk.invoice("30.00", ["20.00", "2.00"])
    memo = await desk.post(await desk.credit(invoice, "30.00", "20.00", auto_apply_to_invoice_upon_posting=True))

    assert money(await desk.memo(memo)) == ("52.00", "52.00", "0.00", "0.00")
    assert (await desk.row(t.invoices, id=invoice)).balance == 0
    actions = [event.action for event in await desk.rows(t.credit_memo_events, credit_memo_id=memo)]
    assert actions == [EventAction.CREATED, EventAction.POSTED, EventAction.APPLIED]


async def test_what_cannot_be_posted_is_not_created_either(desk: Desk) -> None:
    charge = CreditMemoItemFromCharge(product_rate_plan_charge_id=Key(await desk.charge()))
    command = CreateCreditMemoFromCharges(account_key=Key(desk.account), charges=(charge,), auto_post=True)
    desk.viewer = replace(desk.viewer, scopes=ADMIN - {"credit_memos:post"})

    with pytest.raises(Forbidden, match="credit_memos:post"):
        await desk.ask(creation.from_charges, command)

    assert await desk.rows(t.credit_memos) == []


async def test_a_memo_worth_nothing_has_no_parts(desk: Desk) -> None:
    invoice = await desk.invoice("30.00")
    memo = await desk.post(await desk.credit(invoice, "0.00"))

    now = await desk.memo(memo)
    assert (worths(now.lines, now), now.parts) == (["0.00"], ())
    assert await desk.refused(lifecycle.reverse, ReverseCreditMemo(key=Key(memo))) == [(ErrorCode.ZERO_AMOUNT,)]
