"""Changing memos on the real store: rights, recalculated tax, taxes by hand, many at once."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import CreateCreditMemoFromInvoice, CreditMemoItemFromInvoice
from cm_graphql.domain.commands.editing import (
    CreditMemoItemUpdate,
    CreditMemoTaxItemUpdate,
    CreditMemoUpdate,
    UpdateCreditMemo,
    UpdateCreditMemos,
)
from cm_graphql.domain.commands.intake import BillToContact
from cm_graphql.domain.commands.lifecycle import CancelCreditMemo
from cm_graphql.domain.commands.taxation import CreateCreditMemoTaxationItems, NewTaxationItem
from cm_graphql.domain.enums import EventAction, TaxEngineKind, TaxRateType, TransferredToAccounting
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import creation, editing, lifecycle, taxation
from cm_graphql.operations.gate import MalformedId
from cm_graphql.operations.viewer import ADMIN, STANDARD, Forbidden, Viewer
from cm_graphql.store import tables as t
from operating import TODAY, Desk, worths


def change(line: str, **fields: Any) -> CreditMemoItemUpdate:
    """A change of a line."""
    if "amount" in fields:
        fields["amount"] = Decimal(fields["amount"])
    return CreditMemoItemUpdate(id=Key(line), **fields)


def changing(memo: str, *items: CreditMemoItemUpdate, **fields: Any) -> UpdateCreditMemo:
    """A request to change a memo."""
    return UpdateCreditMemo(key=Key(memo), items=items or None, **fields)


# --- drafts -----------------------------------------------------------------------------------------------------------


async def test_a_draft_from_an_invoice_has_its_tax_computed_anew(desk: Desk) -> None:
    invoice = await desk.invoice(["100.00", "10.00"], "20.00")
    memo = await desk.credit(invoice, "50.00", "20.00")
    line = (await desk.memo(memo)).items[0]

    await desk.do(editing.update, changing(memo, change(line.id, amount="30.00", description="Less")))

    now = await desk.memo(memo)
    assert worths(now.lines, now) == ["30.00", "3.00", "20.00"]
    assert now.items[0].taxation_items[0].id == line.taxation_items[0].id
    assert (now.items[0].description, now.version) == ("Less", 2)
    row = await desk.row(t.credit_memos, id=memo)
    assert (row.amount, row.tax_amount, row.unapplied_amount) == (530_000, 30_000, 530_000)
    (event,) = await desk.rows(t.credit_memo_events, action=EventAction.UPDATED)
    assert (event.amounts_before["amount"], event.amounts_after["amount"]) == (750_000, 530_000)
    assert event.effective_date is None


async def test_lines_come_and_go_in_drafts_from_charges(desk: Desk) -> None:
    memo = await desk.draft("1.00", "2.00")
    first = (await desk.memo(memo)).items[0]
    charge = Key(await desk.charge("7.00"))

    await desk.do(
        editing.update,
        changing(memo, change(first.id, delete=True), CreditMemoItemUpdate(product_rate_plan_charge_id=charge)),
    )

    now = await desk.memo(memo)
    assert worths(now.lines, now) == ["2.00", "7.00"]
    assert len(await desk.rows(t.credit_memo_items)) == 2


async def test_a_changed_line_from_a_charge_is_quoted_anew(desk: Desk) -> None:
    await desk.new_account(bill_to_contact=BillToContact(country="CH"))
    await desk.set(tax_engine="table")
    await desk.tax_rate("STANDARD", "CH", "0.1")
    charge = await desk.charge("100.00", taxable=True, tax_code="STANDARD")
    memo = await desk.draft_of((charge, None))
    line = (await desk.memo(memo)).items[0]
    added = CreditMemoItemUpdate(product_rate_plan_charge_id=Key(charge), amount=Decimal("5.00"))

    await desk.do(editing.update, changing(memo, change(line.id, amount="40.00"), added))

    now = await desk.memo(memo)
    assert worths(now.lines, now) == ["40.00", "4.00", "5.00", "0.50"]


async def test_a_line_becomes_nothing_and_something_again(desk: Desk) -> None:
    await desk.new_account(bill_to_contact=BillToContact(country="CH"))
    await desk.set(tax_engine="table")
    await desk.tax_rate("STANDARD", "CH", "0.1")
    charge = await desk.charge("100.00", taxable=True, tax_code="STANDARD")
    memo = await desk.draft_of((charge, "0"), (charge, "1.00"))
    first, second = (await desk.memo(memo)).items

    await desk.do(editing.update, changing(memo, change(first.id, amount="10.00"), change(second.id, amount="0")))

    now = await desk.memo(memo)
    assert worths(now.lines, now) == ["10.00", "1.00", "0.00"]
    await desk.do(editing.update, changing(memo, change(second.id, amount="5.00"), effective_date=date(2026, 5, 3)))
    now = await desk.memo(memo)
    assert worths(now.lines, now) == ["10.00", "1.00", "5.00", "0.50"]
    assert now.items[1].taxation_items[0].tax_date == date(2026, 5, 3)


async def test_an_engine_that_fails_lets_nothing_change(desk: Desk) -> None:
    await desk.set(tax_engine="table")
    memo = await desk.draft("1.00")
    charge = Key(await desk.charge("100.00", taxable=True, tax_code="TAX-DOWN"))

    command = changing(memo, CreditMemoItemUpdate(product_rate_plan_charge_id=charge))

    assert await desk.refused(editing.update, command) == [(ErrorCode.TAX_ENGINE_ERROR,)]


async def test_a_draft_moves_in_time_but_not_before_its_invoice(desk: Desk) -> None:
    memo = await desk.credit(await desk.invoice("30.00"), "30.00")

    await desk.do(editing.update, changing(memo, effective_date=date(2026, 2, 1)))

    assert (await desk.memo(memo)).credit_memo_date == date(2026, 2, 1)
    assert await desk.refused(editing.update, changing(memo, effective_date=date(2026, 1, 31))) == [
        (ErrorCode.MEMO_DATE_BEFORE_INVOICE_DATE, "effective_date")
    ]
    await desk.close_period(TODAY, TODAY)
    assert await desk.refused(editing.update, changing(memo, effective_date=TODAY)) == [
        (ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date")
    ]


async def test_a_draft_cannot_grow_beyond_its_invoice(desk: Desk) -> None:
    invoice = await desk.invoice("30.00")
    memo = await desk.credit(invoice, "10.00")
    line = (await desk.memo(memo)).items[0].id
    await desk.post(await desk.credit(invoice, "15.00"))

    await desk.do(editing.update, changing(memo, change(line, amount="15.00")))
    assert await desk.refused(editing.update, changing(memo, change(line, amount="15.01"))) == [
        (ErrorCode.OVER_CREDIT,)
    ]


async def test_ids_of_other_kinds_are_malformed(desk: Desk) -> None:
    memo = await desk.draft("1.00")

    for command in (
        changing(memo, change(memo)),
        changing(memo, change("no id")),
        changing(memo, change(f"cmi_{0:032x}", tax_items=(a_tax_change(f"int_{0:032x}"),))),
    ):
        with pytest.raises(MalformedId):
            await desk.ask(editing.update, command)


def a_tax_change(key: str) -> Any:
    """A change of a tax that changes nothing."""
    return CreditMemoTaxItemUpdate(id=Key(key))


async def test_lines_of_other_memos_are_not_found(desk: Desk) -> None:
    memo, other = await desk.draft("1.00"), await desk.memo(await desk.draft("2.00"))

    assert await desk.refused(editing.update, changing(memo, change(other.items[0].id, amount="1.00"))) == [
        (ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND, "items", 0, "id")
    ]


# --- what does not touch money ----------------------------------------------------------------------------------------


async def test_posted_and_canceled_memos_change_in_part(desk: Desk) -> None:
    posted = await desk.posted("1.00")
    await desk.do(editing.update, changing(posted, comment="Seen", custom_fields={"Case__c": "7"}))
    canceled = await desk.draft("1.00")
    await desk.do(lifecycle.cancel, CancelCreditMemo(key=Key(canceled)))
    await desk.do(editing.update, changing(canceled, transferred_to_accounting=TransferredToAccounting.YES))

    assert (await desk.memo(posted)).comment == "Seen"
    assert await desk.refused(editing.update, changing(posted, effective_date=TODAY)) == [
        (ErrorCode.INVALID_STATUS, "effective_date")
    ]
    assert await desk.refused(editing.update, changing(canceled, comment="Seen")) == [
        (ErrorCode.INVALID_STATUS, "comment")
    ]


async def test_some_changes_need_rights_of_their_own(desk: Desk) -> None:
    invoice = await desk.invoice("30.00")
    memo = await desk.credit(invoice, "30.00")
    line = (await desk.memo(memo)).items[0].id
    await desk.do(editing.update, changing(memo, transferred_to_accounting=TransferredToAccounting.YES))
    commands = {
        "credit_memos:change_reason": changing(memo, reason_code="Write-off"),
        "credit_memos:override_transferred": changing(memo, transferred_to_accounting=TransferredToAccounting.NO),
        "credit_memos:override_name": changing(memo, change(line, sku_name="Chairs")),
    }

    for missing, command in commands.items():
        desk.viewer = Viewer("usr_clerk", ADMIN - {missing})
        with pytest.raises(Forbidden, match=missing):
            await desk.ask(editing.update, command)

    desk.viewer = Viewer("usr_clerk", STANDARD)
    same_reason = changing(memo, reason_code="correcting INVOICE error", comment="Seen")
    await desk.do(editing.update, same_reason)
    await desk.do(editing.update, commands["credit_memos:override_name"])
    assert (await desk.memo(memo)).items[0].sku_name == "Chairs"


async def test_the_version_is_asked_before_anything_else(desk: Desk) -> None:
    memo = await desk.draft("1.00")

    assert await desk.refused(editing.update, changing(memo, comment="x" * 256, if_version=7)) == [
        (ErrorCode.STALE_VERSION, "if_version")
    ]


# --- taxes by hand ----------------------------------------------------------------------------------------------------


def a_tax(line: str | None, amount: str, **fields: Any) -> NewTaxationItem:
    """A tax to be added."""
    given: dict[str, Any] = {
        "name": "City tax",
        "jurisdiction": "SF",
        "tax_amount": Decimal(amount),
        "tax_rate": Decimal("0.02"),
        "tax_rate_type": TaxRateType.PERCENTAGE,
        **fields,
    }
    return NewTaxationItem(memo_item_id=None if line is None else Key(line), **given)


def taxing(memo: str, *taxes: NewTaxationItem) -> CreateCreditMemoTaxationItems:
    """A request to add taxes."""
    return CreateCreditMemoTaxationItems(key=Key(memo), taxation_items=taxes)


async def test_taxes_are_added_in_the_order_asked(desk: Desk) -> None:
    memo = await desk.draft("100.00", "50.00")
    first, second = (item.id for item in (await desk.memo(memo)).items)

    outcome = await desk.do(
        taxation.create_taxation_items,
        taxing(memo, a_tax(second, "1.00", exempt_amount=Decimal("0.50")), a_tax(first, "2.00", name="County")),
    )

    now = await desk.memo(memo)
    assert worths(now.lines, now) == ["100.00", "2.00", "50.00", "1.00"]
    assert outcome["taxation_items"] == [now.items[1].taxation_items[0].id, now.items[0].taxation_items[0].id]
    row = await desk.row(t.credit_memos, id=memo)
    assert (row.tax_amount, row.total_tax_exempt_amount, row.unapplied_amount) == (30_000, 5_000, 1_530_000)


async def test_taxes_are_not_added_where_an_engine_computed_the_invoices(desk: Desk) -> None:
    by_engine = await desk.credit(await desk.invoice(["100.00", "10.00"]), "50.00")
    by_hand = await desk.credit(await desk.invoice(["100.00", "10.00"], engine=TaxEngineKind.NONE), "50.00")
    lines = [(await desk.memo(memo)).items[0].id for memo in (by_engine, by_hand)]

    assert await desk.refused(taxation.create_taxation_items, taxing(by_engine, a_tax(lines[0], "1.00"))) == [
        (ErrorCode.TAX_ITEM_NOT_ALLOWED, "taxation_items", 0, "memo_item_id")
    ]
    await desk.do(taxation.create_taxation_items, taxing(by_hand, a_tax(lines[1], "1.00")))


async def test_only_drafts_take_taxes(desk: Desk) -> None:
    memo = await desk.posted("100.00")
    line = (await desk.memo(memo)).items[0].id

    assert await desk.refused(taxation.create_taxation_items, taxing(memo, a_tax(line, "1.00"))) == [
        (ErrorCode.INVALID_STATUS,)
    ]
    assert await desk.refused(taxation.create_taxation_items, taxing(memo, a_tax(None, "1.00"))) == [
        (ErrorCode.FIELD_REQUIRED, "taxation_items", 0, "memo_item_id")
    ]


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_each_of_many_changes_in_a_transaction_of_its_own(desk: Desk) -> None:
    first, second, third = [await desk.draft("1.00") for _ in range(3)]
    command = UpdateCreditMemos(
        memos=(
            CreditMemoUpdate(key=Key(first), comment="one"),
            CreditMemoUpdate(key=Key(second), comment="two", if_version=9),
            CreditMemoUpdate(key=Key(f"cm_{0:032x}"), comment="none"),
            CreditMemoUpdate(key=Key(third), comment="x" * 256),
            CreditMemoUpdate(key=Key(first), comment="three", if_version=2),
        )
    )

    answers = await desk.each(editing.update_each, command)

    assert [[fault.code for fault in answer.faults] for answer in answers] == [
        [],
        [ErrorCode.STALE_VERSION],
        [ErrorCode.CREDIT_MEMO_NOT_FOUND],
        [ErrorCode.TOO_LONG],
        [],
    ]
    assert [(await desk.memo(memo)).comment for memo in (first, second, third)] == ["three", None, None]


async def test_a_right_that_one_change_lacks_stops_that_one_only(desk: Desk) -> None:
    first, second = [await desk.draft("1.00") for _ in range(2)]
    desk.viewer = Viewer("usr_clerk", STANDARD)
    command = UpdateCreditMemos(
        memos=(
            CreditMemoUpdate(key=Key(first), reason_code="Write-off"),
            CreditMemoUpdate(key=Key(second), comment="fine"),
        )
    )

    answers = await desk.each(editing.update_each, command)

    assert [[fault.code for fault in answer.faults] for answer in answers] == [[ErrorCode.PERMISSION_DENIED], []]


# --- names ------------------------------------------------------------------------------------------------------------


async def test_a_line_is_named_as_its_invoice_item_unless_one_may_rename(desk: Desk) -> None:
    invoice = await desk.invoice("30.00")
    (item,) = await desk.lines_of(invoice)
    line = CreditMemoItemFromInvoice(invoice_item_id=Key(item), sku_name="Chairs", amount=Decimal("1.00"))
    command = CreateCreditMemoFromInvoice(invoice_key=Key(invoice), items=(line,))
    desk.viewer = Viewer("usr_clerk", ADMIN - {"credit_memos:override_name"})

    with pytest.raises(Forbidden, match="override_name"):
        await desk.ask(creation.from_invoice, command)

    await desk.do(creation.from_invoice, replace(command, items=(replace(line, sku_name="Seats"),)))
