"""Bringing in credit memos that another system made, and numbering after them, on the real store."""

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.intake import (
    SyncCreditMemos,
    SyncedCreditMemo,
    SyncedCreditMemoItem,
    SyncedCreditMemoTaxItem,
)
from cm_graphql.domain.commands.lifecycle import CancelCreditMemo, DeleteCreditMemo, ReverseCreditMemo
from cm_graphql.domain.enums import (
    EventAction,
    ItemSourceType,
    MemoSource,
    MemoStatus,
    ProcessingType,
    SourceType,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import intake, lifecycle
from cm_graphql.operations.viewer import STANDARD, Forbidden, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.keys import MalformedId
from operating import Desk, lines, money

ONE = "1" * 32
TWO = "2" * 32
CHARGE = Key(f"chg_{ONE}")


def an_item(amount: str = "100.00", *taxes: str, **fields: Any) -> SyncedCreditMemoItem:
    given: dict[str, Any] = {
        "sku_name": "Seats",
        "amount": Decimal(amount),
        "source_item_type": ItemSourceType.PRODUCT_RATE_PLAN_CHARGE,
        "source_item_id": CHARGE,
        "tax_items": tuple(
            SyncedCreditMemoTaxItem(name="VAT", tax_amount=Decimal(tax), tax_rate=Decimal("0.1")) for tax in taxes
        ),
    }
    return SyncedCreditMemoItem(**{**given, **fields})


def a_memo(desk: Desk, *items: SyncedCreditMemoItem, **fields: Any) -> SyncedCreditMemo:
    given: dict[str, Any] = {
        "number": "CM-100",
        "account_key": Key(desk.account),
        "credit_memo_date": date(2025, 6, 1),
        "source": MemoSource.BILL_RUN,
        "source_type": SourceType.SUBSCRIPTION,
        "source_id": "BR-00000001",
        "items": items or (an_item(),),
    }
    return SyncedCreditMemo(**{**given, **fields})


async def sync(desk: Desk, given: SyncedCreditMemo) -> str:
    (answer,) = await desk.each(intake.sync_credit_memos, SyncCreditMemos(credit_memos=(given,)))
    assert answer.faults == ()
    assert answer.outcome is not None
    return str(answer.outcome["credit_memo"])


async def refused(desk: Desk, given: SyncedCreditMemo) -> list[tuple[Any, ...]]:
    before = await desk.dump()
    (answer,) = await desk.each(intake.sync_credit_memos, SyncCreditMemos(credit_memos=(given,)))
    assert await desk.dump() == before, "a refusal leaves no trace"
    return [(fault.code, *fault.field) for fault in answer.faults]


async def test_a_posted_memo_arrives_wholly_unapplied_and_can_be_used(desk: Desk) -> None:
    discount = an_item(
        "-10.00", "-1.00", processing_type=ProcessingType.DISCOUNT, applied_to_item_index=0, description="Sale"
    )

    made = await sync(desk, a_memo(desk, an_item("100.00", "10.00"), discount, an_item("0.00")))

    memo = await desk.memo(made)
    assert (memo.status, memo.number, memo.source_id) == (MemoStatus.POSTED, "CM-100", "BR-00000001")
    assert money(memo) == ("99.00", "0.00", "99.00", "0.00")
    assert lines(memo) == ["100.00", "10.00", "-10.00", "-1.00", "0.00"]
    assert len(memo.parts[0].item_parts) == 4, "a line of 0 has no item part"
    told = await desk.row(t.credit_memo_events)
    assert (told.action, told.effective_date) == (EventAction.IMPORTED, date(2025, 6, 1))
    await desk.apply_to(made, await desk.invoice("50.00"), "20.00")
    assert money(await desk.memo(made)) == ("99.00", "20.00", "79.00", "0.00")


@pytest.mark.parametrize("status", [status for status in MemoStatus if status is not MemoStatus.POSTED])
async def test_a_memo_of_any_other_status_arrives_without_parts(desk: Desk, status: MemoStatus) -> None:
    made = await sync(desk, a_memo(desk, status=status))

    memo = await desk.memo(made)
    assert (memo.status, memo.parts) == (status, ())
    assert (memo.cancelled_on is not None) == (status is MemoStatus.CANCELED)


async def test_an_unused_memo_is_replaced_as_a_whole(desk: Desk) -> None:
    made = await sync(desk, a_memo(desk, an_item("10.00", "1.00"), an_item("20.00")))
    first = await desk.memo(made)

    again = await sync(desk, a_memo(desk, an_item("10.00", "1.00"), comment="told anew"))

    memo = await desk.memo(again)
    assert (again, memo.version) == (made, 2)
    assert (money(memo), memo.comment) == (("11.00", "0.00", "11.00", "0.00"), "told anew")
    assert memo.items[0].id == first.items[0].id
    assert len(await desk.rows(t.credit_memo_events)) == 2


async def test_a_memo_stays_with_its_account_and_keeps_its_currency(desk: Desk) -> None:
    given = a_memo(desk, an_item("10.00"))
    await sync(desk, given)
    other = await desk.new_account()

    assert await refused(desk, replace(given, account_key=Key(other), currency="EUR")) == [
        (ErrorCode.ACCOUNT_MISMATCH, "account_key"),
        (ErrorCode.CURRENCY_MISMATCH, "currency"),
    ]


async def test_a_tax_outlives_the_line_that_it_moved_from(desk: Desk) -> None:
    tax = SyncedCreditMemoTaxItem(id=Key(TWO), name="VAT", tax_amount=Decimal(1), tax_rate=Decimal("0.1"))
    made = await sync(desk, a_memo(desk, an_item(tax_items=(tax,), id=Key("a" * 32))))

    await sync(desk, a_memo(desk, an_item(tax_items=(tax,), id=Key("b" * 32))))

    memo = await desk.memo(made)
    assert [line.id for line in memo.lines] == [f"cmi_{'b' * 32}", f"cmt_{TWO}"]
    assert money(memo) == ("101.00", "0.00", "101.00", "0.00")


async def test_a_memo_in_use_stays_as_it_is(desk: Desk) -> None:
    applied = await sync(desk, a_memo(desk))
    await desk.apply_to(applied, await desk.invoice("50.00"), "20.00")
    reversed_ = await sync(desk, a_memo(desk, number="CM-200"))
    await desk.do(lifecycle.reverse, ReverseCreditMemo(key=Key(reversed_)))

    for number in ("CM-100", "CM-200"):
        assert await refused(desk, a_memo(desk, number=number)) == [(ErrorCode.DOCUMENT_IN_USE,)]


async def test_a_memo_made_from_an_invoice_counts_as_credited(desk: Desk) -> None:
    invoice = await desk.invoice(["100.00", "10.00"])
    (item,) = await desk.lines_of(invoice)
    tax = (await desk.row(t.invoice_taxation_items)).id
    made_from: dict[str, Any] = {"source_item_type": ItemSourceType.INVOICE_DETAIL, "source_item_id": Key(item)}
    credited = SyncedCreditMemoTaxItem(
        name="VAT", tax_amount=Decimal(9), tax_rate=Decimal("0.1"), source_tax_item_id=Key(tax)
    )
    given = a_memo(
        desk,
        an_item("90.00", tax_items=(credited,), **made_from),
        referred_invoice_key=Key(invoice),
        source_type=SourceType.INVOICE,
    )
    await sync(desk, given)

    assert await desk.do_not_credit(invoice, "10.01") == [(ErrorCode.OVER_CREDIT,)]

    for wrong, fault in [
        (replace(given, referred_invoice_key=None), (ErrorCode.FIELD_REQUIRED, "referred_invoice_key")),
        (replace(given, referred_invoice_key=Key("INV-NONE")), (ErrorCode.INVOICE_NOT_FOUND, "referred_invoice_key")),
        (replace(given, currency="EUR"), (ErrorCode.CURRENCY_MISMATCH, "referred_invoice_key")),
        (
            replace(given, items=(an_item(**{**made_from, "source_item_id": Key(ONE)}),)),
            (ErrorCode.INVOICE_ITEM_NOT_FOUND, "items", 0, "source_item_id"),
        ),
        (
            replace(given, items=(an_item(tax_items=(replace(credited, source_tax_item_id=Key(ONE)),)),)),
            (ErrorCode.TAXATION_ITEM_NOT_FOUND, "items", 0, "tax_items", 0, "source_tax_item_id"),
        ),
    ]:
        assert await refused(desk, wrong) == [fault]
    await desk.new_account()
    assert await refused(desk, replace(given, account_key=Key(desk.account))) == [
        (ErrorCode.ACCOUNT_MISMATCH, "referred_invoice_key")
    ]


async def test_a_line_can_be_made_from_an_invoice_that_was_never_told_of(desk: Desk) -> None:
    made = await sync(
        desk, a_memo(desk, an_item(source_item_type=ItemSourceType.INVOICE_DETAIL, source_item_id=Key(ONE)))
    )

    assert (await desk.memo(made)).items[0].source_item_id == f"ini_{ONE}"


async def test_ids_are_kept_and_belong_to_one_memo(desk: Desk) -> None:
    assert await sync(desk, a_memo(desk, an_item(id=Key(ONE)), id=Key(ONE))) == f"cm_{ONE}"

    assert await refused(desk, a_memo(desk, an_item(id=Key(ONE)), number="CM-200")) == [
        (ErrorCode.INVALID_VALUE, "items", 0, "id")
    ]
    assert await refused(desk, a_memo(desk, id=Key(TWO))) == [(ErrorCode.NUMBER_TAKEN, "number")]
    for bad in [
        a_memo(desk, id=Key(f"inv_{ONE}")),
        a_memo(desk, an_item(id=Key(f"cmt_{ONE}"))),
        a_memo(desk, an_item(source_item_id=Key(f"ini_{ONE}"))),
        a_memo(desk, referred_invoice_key=Key(f"cm_{ONE}")),
    ]:
        with pytest.raises(MalformedId):
            await desk.each(intake.sync_credit_memos, SyncCreditMemos(credit_memos=(bad,)))


async def test_the_number_of_a_deleted_memo_stays_burned(desk: Desk) -> None:
    made = await sync(desk, a_memo(desk, status=MemoStatus.DRAFT))
    await desk.do(lifecycle.cancel, CancelCreditMemo(key=Key(made)))
    await desk.do(lifecycle.delete, DeleteCreditMemo(key=Key(made)))

    assert await refused(desk, a_memo(desk)) == [(ErrorCode.NUMBER_TAKEN, "number")]


async def test_only_administrators_bring_in_past_memos(desk: Desk) -> None:
    desk.viewer = Viewer("usr_standard", STANDARD)

    with pytest.raises(Forbidden):
        await desk.each(intake.sync_credit_memos, SyncCreditMemos(credit_memos=(a_memo(desk),)))


async def test_syncs_of_one_new_memo_at_once_make_one(desk: Desk) -> None:
    commands = [SyncCreditMemos(credit_memos=(a_memo(desk, an_item(f"{n + 1}.00", "0.10")),)) for n in range(6)]

    answers = await asyncio.gather(*(desk.each(intake.sync_credit_memos, command) for command in commands))

    assert [answer.faults for (answer,) in answers] == [()] * 6
    assert len({str(answer.outcome) for (answer,) in answers}) == 1
    (row,) = await desk.rows(t.credit_memos)
    memo = await desk.memo(row.id)
    assert memo.version == 6
    assert sum(part.amount for part in memo.parts) == memo.amount


async def test_new_memos_are_numbered_around_those_that_came_in(desk: Desk) -> None:
    for batch in range(6):
        memos = tuple(a_memo(desk, number=f"CM{batch * 100 + n:08d}") for n in range(1, 101))
        await desk.each(intake.sync_credit_memos, SyncCreditMemos(credit_memos=memos))
    await sync(desk, a_memo(desk, number="CM00000603"))

    numbers = [(await desk.memo(await desk.draft("1.00"))).number for _ in range(3)]

    assert numbers == ["CM00000601", "CM00000602", "CM00000604"]


async def test_debit_memos_are_numbered_around_those_that_came_in(desk: Desk) -> None:
    await desk.debit_memo("5.00", number="DM00000001")

    await desk.do(lifecycle.reverse, ReverseCreditMemo(key=Key(await desk.posted("10.00"))))

    assert {row.number for row in await desk.rows(t.debit_memos)} == {"DM00000001", "DM00000002"}
