"""Bringing in accounts, the catalog, invoices and debit memos, on the real store."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from cm_graphql.domain import limits
from cm_graphql.domain.commands.base import Command, Key
from cm_graphql.domain.commands.intake import (
    BillToContact,
    ChargePrice,
    SyncAccounts,
    SyncDebitMemos,
    SyncedAccount,
    SyncedDebitMemo,
    SyncedDebitMemoItem,
    SyncedInvoice,
    SyncedInvoiceItem,
    SyncedPaymentMethod,
    SyncedProductRatePlanCharge,
    SyncedTaxItem,
    SyncInvoices,
    SyncPaymentMethods,
    SyncProductRatePlanCharges,
)
from cm_graphql.domain.commands.lifecycle import ReverseCreditMemo
from cm_graphql.domain.commands.settlement import InvoiceApplication, UnapplyCreditMemo
from cm_graphql.domain.enums import (
    ChargeModel,
    ChargeType,
    MemoStatus,
    PaymentMethodType,
    ProcessingType,
    TaxMode,
)
from cm_graphql.domain.errors import ErrorCode, Refusal
from cm_graphql.operations import intake, lifecycle, settlement
from cm_graphql.operations.gate import Answer, BulkAction
from cm_graphql.operations.viewer import ADMIN, Forbidden, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.keys import MalformedId
from operating import Desk

ONE = "1" * 32
TWO = "2" * 32
THREE = "3" * 32


def an_account(number: str = "A-100", **fields: Any) -> SyncedAccount:
    return SyncedAccount(**{"number": number, "name": "Acme", "currency": "USD", **fields})


def an_item(amount: str = "100.00", *taxes: str, **fields: Any) -> SyncedInvoiceItem:
    given: dict[str, Any] = {"charge_name": "Seats", "charge_amount": Decimal(amount), "tax_items": a_tax(*taxes)}
    return SyncedInvoiceItem(**{**given, **fields})


def a_tax(*amounts: str) -> tuple[SyncedTaxItem, ...]:
    return tuple(SyncedTaxItem(name="VAT", tax_amount=Decimal(tax), tax_rate=Decimal("0.1")) for tax in amounts)


def an_invoice(desk: Desk, *items: SyncedInvoiceItem, **fields: Any) -> SyncedInvoice:
    given: dict[str, Any] = {
        "invoice_number": "INV-100",
        "account_key": Key(desk.account),
        "invoice_date": date(2026, 2, 1),
        "items": items or (an_item(),),
    }
    return SyncedInvoice(**{**given, **fields})


def a_debit_memo(desk: Desk, *amounts: str, **fields: Any) -> SyncedDebitMemo:
    given: dict[str, Any] = {
        "number": "DEB-100",
        "account_key": Key(desk.account),
        "debit_memo_date": date(2026, 2, 1),
        "items": tuple(SyncedDebitMemoItem(sku_name="Seats", amount=Decimal(a)) for a in amounts or ("100.00",)),
    }
    return SyncedDebitMemo(**{**given, **fields})


def a_charge(**fields: Any) -> SyncedProductRatePlanCharge:
    given: dict[str, Any] = {
        "name": "Seats",
        "charge_model": ChargeModel.FLAT_FEE,
        "charge_type": ChargeType.RECURRING,
        "prices": (ChargePrice(currency="USD", price=Decimal("9.99")),),
    }
    return SyncedProductRatePlanCharge(**{**given, **fields})


def codes(answer: Answer) -> list[tuple[Any, ...]]:
    return [(fault.code, *fault.field) for fault in answer.faults]


async def sync(desk: Desk, what: BulkAction[Any, Any], command: Command) -> str:
    """Sync one document that must be taken, and answer its id."""
    (answer,) = await desk.each(what, command)
    assert answer.faults == ()
    assert answer.outcome is not None
    (made,) = answer.outcome.values()
    return str(made)


async def refused(desk: Desk, what: BulkAction[Any, Any], command: Command) -> list[tuple[Any, ...]]:
    """Sync one document that must be refused, and leave every row of every table as it was."""
    before = await desk.dump()
    (answer,) = await desk.each(what, command)
    assert answer.outcome is None
    assert await desk.dump() == before, "a refusal leaves no trace"
    return codes(answer)


async def sync_account(desk: Desk, given: SyncedAccount) -> str:
    return await sync(desk, intake.sync_accounts, SyncAccounts(accounts=(given,)))


async def sync_invoice(desk: Desk, given: SyncedInvoice) -> str:
    return await sync(desk, intake.sync_invoices, SyncInvoices(invoices=(given,)))


async def refuse_invoice(desk: Desk, given: SyncedInvoice) -> list[tuple[Any, ...]]:
    return await refused(desk, intake.sync_invoices, SyncInvoices(invoices=(given,)))


async def sync_debit_memo(desk: Desk, given: SyncedDebitMemo) -> str:
    return await sync(desk, intake.sync_debit_memos, SyncDebitMemos(debit_memos=(given,)))


# --- accounts ---------------------------------------------------------------------------------------------------------


async def test_an_account_is_found_by_its_number_and_replaced_as_a_whole(desk: Desk) -> None:
    contact = BillToContact(first_name="Ada", work_email="ada@example.com")
    first = await sync_account(
        desk, an_account(bill_to_contact=contact, gateway_id="gw", additional_email_addresses=("b@example.com",))
    )

    second = await sync_account(desk, an_account(name="Acme Ltd", sequence_set="DEFAULT", payment_term_days=0))

    assert second == first
    row = await desk.row(t.accounts, id=first)
    assert (row.name, row.gateway_id, row.additional_email_addresses) == ("Acme Ltd", None, [])
    assert (row.payment_term_days, row.bill_to_contact_id) == (0, None)
    assert row.sequence_set_id is not None
    assert await desk.rows(t.contacts) == [], "the contact it no longer has went"


async def test_a_contact_keeps_its_id(desk: Desk) -> None:
    await sync_account(desk, an_account(bill_to_contact=BillToContact(city="Bern")))
    before = await desk.row(t.contacts)

    await sync_account(desk, an_account(bill_to_contact=BillToContact(city="Basel")))

    now = await desk.row(t.contacts)
    assert (now.id, now.city) == (before.id, "Basel")


async def test_the_id_given_to_a_new_document_is_kept(desk: Desk) -> None:
    assert await sync_account(desk, an_account(id=Key(ONE))) == f"acc_{ONE}"
    assert await sync_account(desk, an_account("A-200", id=Key(f"acc_{TWO}"))) == f"acc_{TWO}"


async def test_an_account_found_by_its_id_can_be_renumbered(desk: Desk) -> None:
    await sync_account(desk, an_account(id=Key(ONE)))

    await sync_account(desk, an_account("A-101", id=Key(ONE)))

    assert (await desk.row(t.accounts, id=f"acc_{ONE}")).number == "A-101"
    assert await desk.rows(t.accounts, number="A-100") == []


async def test_a_number_is_not_taken_from_another(desk: Desk) -> None:
    await sync_account(desk, an_account(id=Key(ONE)))
    await sync_account(desk, an_account("A-200"))

    new_id = await refused(desk, intake.sync_accounts, SyncAccounts(accounts=(an_account(id=Key(TWO)),)))
    renumbered = await refused(desk, intake.sync_accounts, SyncAccounts(accounts=(an_account("A-200", id=Key(ONE)),)))

    assert new_id == renumbered == [(ErrorCode.NUMBER_TAKEN, "number")]


async def test_syncing_the_same_again_changes_nothing(desk: Desk) -> None:
    account = an_account(bill_to_contact=BillToContact(city="Bern"), custom_fields={"a__c": [1, "x"]})
    invoice = an_invoice(desk, an_item("10.00", "1.00"), an_item("20.00"), payments_applied=Decimal("5.00"))
    await sync_account(desk, account)
    await sync_invoice(desk, invoice)
    await sync_debit_memo(desk, a_debit_memo(desk, "3.00"))
    await sync(
        desk, intake.sync_product_rate_plan_charges, SyncProductRatePlanCharges(product_rate_plan_charges=(a_charge(),))
    )
    before = await desk.dump()

    await sync_account(desk, account)
    await sync_invoice(desk, invoice)
    await sync_debit_memo(desk, a_debit_memo(desk, "3.00"))
    await sync(
        desk, intake.sync_product_rate_plan_charges, SyncProductRatePlanCharges(product_rate_plan_charges=(a_charge(),))
    )

    assert await desk.dump() == before


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"number": ""}, (ErrorCode.INVALID_VALUE, "number")),
        ({"number": ONE}, (ErrorCode.INVALID_VALUE, "number")),
        ({"number": "A'; DROP TABLE accounts; --"}, (ErrorCode.INVALID_VALUE, "number")),
        ({"number": "x" * 33}, (ErrorCode.TOO_LONG, "number")),
        ({"name": "x" * 256}, (ErrorCode.TOO_LONG, "name")),
        ({"name": " \t"}, (ErrorCode.FIELD_REQUIRED, "name")),
        ({"currency": "usd"}, (ErrorCode.INVALID_VALUE, "currency")),
        ({"payment_term_days": -1}, (ErrorCode.INVALID_VALUE, "payment_term_days")),
        ({"payment_term_days": 10**12}, (ErrorCode.INVALID_VALUE, "payment_term_days")),
        ({"sequence_set": "NONE"}, (ErrorCode.INVALID_VALUE, "sequence_set")),
        ({"custom_fields": {"a": 1}}, (ErrorCode.INVALID_VALUE, "custom_fields")),
        ({"additional_email_addresses": ("a@b",) * 101}, (ErrorCode.LIMIT_EXCEEDED, "additional_email_addresses")),
    ],
)
async def test_an_account_of_impossible_values_is_refused(
    desk: Desk, fields: dict[str, Any], fault: tuple[Any, ...]
) -> None:
    found = await refused(desk, intake.sync_accounts, SyncAccounts(accounts=(replace(an_account(), **fields),)))

    assert found == [fault]


async def test_a_name_of_any_letters_is_kept_as_it_is(desk: Desk) -> None:
    name = "\u202eÅ ﬃ 😀 '\"; --"

    made = await sync_account(desk, an_account(name=name))

    assert (await desk.row(t.accounts, id=made)).name == name


# --- several at once --------------------------------------------------------------------------------------------------


async def test_an_element_that_fails_does_not_disturb_the_others(desk: Desk) -> None:
    command = SyncAccounts(accounts=(an_account("B-1"), an_account("B-2", currency="XXY"), an_account("B-3")))

    answers = await desk.each(intake.sync_accounts, command)

    assert [codes(answer) for answer in answers] == [[], [(ErrorCode.INVALID_VALUE, "currency")], []]
    assert {row.number for row in await desk.rows(t.accounts)} >= {"B-1", "B-3"}
    assert await desk.rows(t.accounts, number="B-2") == []


async def test_a_later_element_meets_what_an_earlier_one_made(desk: Desk) -> None:
    command = SyncAccounts(accounts=(an_account("A-9"), an_account("A-9", name="Second")))

    first, second = await desk.each(intake.sync_accounts, command)

    assert first.outcome == second.outcome
    assert (await desk.row(t.accounts, number="A-9")).name == "Second"


async def test_many_syncs_of_one_new_document_at_once_make_one(desk: Desk) -> None:
    accounts = [SyncAccounts(accounts=(an_account("A-7", name=f"Name {n}"),)) for n in range(8)]
    invoices = [SyncInvoices(invoices=(an_invoice(desk, an_item(f"{n}.00", "1.00")),)) for n in range(8)]
    charges = [SyncProductRatePlanCharges(product_rate_plan_charges=(a_charge(sku=f"{n}"),)) for n in range(8)]

    answers = await asyncio.gather(
        *(desk.each(intake.sync_accounts, command) for command in accounts),
        *(desk.each(intake.sync_invoices, command) for command in invoices),
        *(desk.each(intake.sync_product_rate_plan_charges, command) for command in charges),
    )

    assert [codes(answer) for (answer,) in answers] == [[]] * 24
    made = [answer.outcome for (answer,) in answers]
    assert all(outcome == made[0] for outcome in made[:8])
    assert len({str(outcome) for outcome in made}) == 3
    assert len(await desk.rows(t.invoice_items)) == len(await desk.rows(t.invoice_taxation_items)) == 1


async def test_syncs_of_one_id_under_two_numbers_at_once_make_one(desk: Desk) -> None:
    commands = [SyncAccounts(accounts=(an_account(f"B-{n % 2}", id=Key(ONE)),)) for n in range(6)]

    answers = await asyncio.gather(*(desk.each(intake.sync_accounts, command) for command in commands))

    assert [codes(answer) for (answer,) in answers] == [[]] * 6
    assert len(await desk.rows(t.accounts, id=f"acc_{ONE}")) == 1


async def test_a_dry_run_shows_what_would_be_and_leaves_nothing(desk: Desk) -> None:
    before = await desk.dump()

    command = SyncInvoices(invoices=(an_invoice(desk), an_invoice(desk, an_item("-1.00"))), dry_run=True)
    made, not_made = await desk.each(intake.sync_invoices, command)

    assert made.outcome is not None
    assert codes(not_made) == [(ErrorCode.INVALID_VALUE, "items")]
    assert await desk.dump() == before


async def test_a_repeat_under_the_same_key_returns_the_first_outcome(desk: Desk) -> None:
    command = SyncInvoices(invoices=(an_invoice(desk), an_invoice(desk, items=())), idempotency_key="k")
    first = await desk.each(intake.sync_invoices, command)
    before = await desk.dump()

    again = await desk.each(intake.sync_invoices, command)

    assert [(answer.outcome, codes(answer)) for answer in again] == [(a.outcome, codes(a)) for a in first]
    assert all(answer.replayed for answer in again)
    assert await desk.dump() == before


async def test_a_sync_is_of_1_to_100_documents_and_20000_lines(desk: Desk) -> None:
    half = an_invoice(desk, *[an_item("1.00", "0.10")] * (limits.SYNC_LINES // 4))

    for command, code in [
        (SyncInvoices(invoices=()), ErrorCode.FIELD_REQUIRED),
        (SyncInvoices(invoices=(an_invoice(desk),) * 101), ErrorCode.LIMIT_EXCEEDED),
        (SyncInvoices(invoices=(half, half, an_invoice(desk))), ErrorCode.LIMIT_EXCEEDED),
    ]:
        with pytest.raises(Refusal) as refusal:
            await desk.each(intake.sync_invoices, command)
        assert [(fault.code, *fault.field) for fault in refusal.value.faults] == [(code, "invoices")]


async def test_malformed_ids_are_told_of_before_anything_is_done(desk: Desk) -> None:
    item, tax = an_item(id=Key(f"int_{ONE}")), a_tax("1.00")[0]
    for bad in [
        an_invoice(desk, id=Key(f"acc_{ONE}")),
        an_invoice(desk, id=Key("INV-1")),
        an_invoice(desk, account_key=Key(f"inv_{ONE}")),
        an_invoice(desk, item),
        an_invoice(desk, an_item(product_rate_plan_charge_id=Key("nothing"))),
        an_invoice(desk, an_item(tax_items=(replace(tax, id=Key(f"ini_{ONE}")),))),
    ]:
        with pytest.raises(MalformedId):
            await desk.each(intake.sync_invoices, SyncInvoices(invoices=(an_invoice(desk), bad)))
    assert await desk.rows(t.invoices) == []


async def test_only_who_may_sync_can(desk: Desk) -> None:
    desk.viewer = Viewer("usr_reader", ADMIN - {"documents:sync"})

    with pytest.raises(Forbidden):
        await desk.each(intake.sync_accounts, SyncAccounts(accounts=(an_account(),)))


# --- invoices and debit memos -----------------------------------------------------------------------------------------


async def test_amounts_tax_and_balance_of_an_invoice_follow_from_its_lines(desk: Desk) -> None:
    made = await sync_invoice(
        desk,
        an_invoice(
            desk,
            an_item("100.00", "7.50", "2.50"),
            an_item("-10.00", "-1.00", processing_type=ProcessingType.DISCOUNT, applied_to_item_index=0),
            payments_applied=Decimal("50.00"),
        ),
    )

    head = await desk.row(t.invoices, id=made)
    assert (head.amount, head.tax_amount, head.amount_without_tax) == (990_000, 90_000, 900_000)
    assert (head.payment_amount, head.balance, head.due_date) == (500_000, 490_000, date(2026, 3, 3))
    items = sorted(await desk.rows(t.invoice_items, invoice_id=made), key=lambda row: row.position)
    assert [(row.payment_amount, row.balance, row.tax_amount) for row in items] == [
        (500_000, 500_000, 100_000),
        (0, -100_000, -10_000),
    ]
    assert items[1].applied_to_item_id == items[0].id
    taxes = sorted(await desk.rows(t.invoice_taxation_items), key=lambda row: row.position)
    assert [row.balance for row in taxes] == [75_000, 25_000, -10_000]


async def test_a_gross_line_of_a_debit_memo_is_worth_its_net(desk: Desk) -> None:
    item = SyncedDebitMemoItem(
        sku_name="Seats", amount=Decimal("11.00"), tax_mode=TaxMode.TAX_INCLUSIVE, tax_items=a_tax("1.00")
    )
    made = await sync_debit_memo(desk, a_debit_memo(desk, items=(item,), comment="why", custom_fields={"a__c": 1}))

    head = await desk.row(t.debit_memos, id=made)
    line = await desk.row(t.debit_memo_items)
    assert (head.amount, head.tax_amount, head.balance) == (110_000, 10_000, 110_000)
    assert (line.amount, line.amount_without_tax) == (110_000, 100_000)
    assert (head.source_type, head.reason_code, head.comment) == ("STANDALONE", "Correcting invoice error", "why")
    assert (head.posted_by_id, head.custom_fields) == ("usr_local", {"a__c": 1})


async def test_a_document_not_in_use_is_replaced_as_a_whole(desk: Desk) -> None:
    made = await sync_invoice(desk, an_invoice(desk, an_item("1.00", "0.10"), an_item("2.00", "0.20"), an_item("3.00")))
    before = {row.position: row.id for row in await desk.rows(t.invoice_items)}

    again = await sync_invoice(
        desk,
        an_invoice(desk, an_item("5.00"), an_item("6.00", "0.60", "0.06"), currency="EUR", status=MemoStatus.DRAFT),
    )

    assert again == made
    head = await desk.row(t.invoices)
    assert (head.amount, head.currency, head.status) == (116_600, "EUR", "DRAFT")
    items = await desk.rows(t.invoice_items)
    assert {row.position: row.id for row in items} == {1: before[1], 2: before[2]}
    assert {row.currency for row in items} == {"EUR"}
    taxes = await desk.rows(t.invoice_taxation_items)
    assert sorted(row.tax_amount for row in taxes) == [600, 6_000]
    assert {row.invoice_item_id for row in taxes} == {before[2]}


async def test_lines_that_stay_the_same_follow_their_document_into_another_currency(desk: Desk) -> None:
    await sync_invoice(desk, an_invoice(desk, an_item("1.00", "0.10")))

    await sync_invoice(desk, an_invoice(desk, an_item("1.00", "0.10"), currency="EUR"))

    assert (await desk.row(t.invoice_items)).currency == "EUR"
    assert (await desk.row(t.invoice_taxation_items)).currency == "EUR"


async def test_a_tax_outlives_the_line_that_it_moved_from(desk: Desk) -> None:
    tax = replace(a_tax("1.00")[0], id=Key(f"int_{THREE}"))
    await sync_invoice(desk, an_invoice(desk, an_item("10.00", tax_items=(tax,), id=Key(ONE))))

    await sync_invoice(desk, an_invoice(desk, an_item("10.00", tax_items=(tax,), id=Key(TWO))))

    assert (await desk.row(t.invoice_items)).id == f"ini_{TWO}"
    assert (await desk.row(t.invoice_taxation_items, id=f"int_{THREE}")).invoice_item_id == f"ini_{TWO}"


async def test_lines_trade_places_by_their_ids(desk: Desk) -> None:
    one, two = an_item("10.00", "1.00", id=Key(ONE)), an_item("20.00", id=Key(TWO))
    await sync_invoice(desk, an_invoice(desk, one, two))

    await sync_invoice(desk, an_invoice(desk, two, one))

    rows = sorted(await desk.rows(t.invoice_items), key=lambda row: row.position)
    assert [(row.id, row.charge_amount) for row in rows] == [(f"ini_{TWO}", 200_000), (f"ini_{ONE}", 100_000)]


async def test_an_id_of_another_documents_line_is_refused(desk: Desk) -> None:
    tax = replace(a_tax("1.00")[0], id=Key(TWO))
    await sync_invoice(desk, an_invoice(desk, an_item(id=Key(ONE), tax_items=(tax,))))

    other = an_invoice(desk, an_item(id=Key(ONE)), an_item(tax_items=(tax,)), invoice_number="INV-200")

    assert await refuse_invoice(desk, other) == [
        (ErrorCode.INVALID_VALUE, "items", 0, "id"),
        (ErrorCode.INVALID_VALUE, "items", 1, "tax_items", 0, "id"),
    ]


async def test_of_documents_that_claim_one_line_at_once_one_has_it(desk: Desk) -> None:
    commands = [
        SyncInvoices(invoices=(an_invoice(desk, an_item(id=Key(ONE)), invoice_number=f"INV-{n}"),)) for n in range(5)
    ]

    answers = await asyncio.gather(*(desk.each(intake.sync_invoices, command) for command in commands))

    found = sorted(codes(answer)[0][:2] if answer.faults else () for (answer,) in answers)
    assert found == [(), *[(ErrorCode.INVALID_VALUE, "items")] * 4]
    assert len(await desk.rows(t.invoices)) == 1


async def test_an_id_given_to_two_lines_is_refused_in_either_form(desk: Desk) -> None:
    twice = an_invoice(desk, an_item(id=Key(ONE)), an_item(id=Key(f"ini_{ONE}")))

    assert await refuse_invoice(desk, twice) == [(ErrorCode.INVALID_VALUE, "items", 1, "id")]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"account_key": Key("A-NONE")}, (ErrorCode.ACCOUNT_NOT_FOUND, "account_key")),
        ({"account_key": Key(ONE)}, (ErrorCode.ACCOUNT_NOT_FOUND, "account_key")),
        ({"currency": "XXY"}, (ErrorCode.CURRENCY_INACTIVE, "currency")),
        ({"invoice_number": "a/b"}, (ErrorCode.INVALID_VALUE, "invoice_number")),
        ({"payments_applied": Decimal("100.01")}, (ErrorCode.AMOUNT_EXCEEDS_BALANCE, "payments_applied")),
        ({"payments_applied": Decimal("-1")}, (ErrorCode.INVALID_VALUE, "payments_applied")),
        ({"payments_applied": Decimal("1e30")}, (ErrorCode.INVALID_VALUE, "payments_applied")),
        ({"items": ()}, (ErrorCode.FIELD_REQUIRED, "items")),
        ({"items": (an_item("1.001"),)}, (ErrorCode.AMOUNT_PRECISION, "items", 0, "charge_amount")),
        ({"items": (an_item("10000000000000"),)}, (ErrorCode.INVALID_VALUE, "items", 0, "charge_amount")),
        ({"items": (an_item("9999999999999.99"),) * 2}, (ErrorCode.INVALID_VALUE, "items")),
        ({"items": (an_item("-1"),)}, (ErrorCode.INVALID_VALUE, "items")),
        ({"items": (an_item(quantity=Decimal("1e-10")),)}, (ErrorCode.INVALID_VALUE, "items", 0, "quantity")),
    ],
)
async def test_an_invoice_of_impossible_values_is_refused(
    desk: Desk, fields: dict[str, Any], fault: tuple[Any, ...]
) -> None:
    assert await refuse_invoice(desk, replace(an_invoice(desk), **fields)) == [fault]


async def test_the_farthest_due_date_is_the_calendars_last_day(desk: Desk) -> None:
    made = await sync_invoice(desk, an_invoice(desk, invoice_date=date(9999, 12, 30)))

    assert (await desk.row(t.invoices, id=made)).due_date == date.max


# --- documents in use -------------------------------------------------------------------------------------------------


async def in_use(desk: Desk, how: str) -> SyncedInvoice:
    """An invoice of two lines with taxes that a memo was made from, or that one lies on with 33.00."""
    given = an_invoice(desk, an_item("100.00", "10.00"), an_item("50.00", "5.00"))
    made = await sync_invoice(desk, given)
    if how == "made from":
        await desk.credit(made, "10.00")
    else:
        await desk.apply_to(await desk.posted("33.00"), made, "33.00")
    return given


@pytest.mark.parametrize("how", ["made from", "applied to"])
async def test_what_credit_rests_on_cannot_be_changed(desk: Desk, how: str) -> None:
    given = await in_use(desk, how)
    first, second = given.items
    other = await sync_account(desk, an_account("A-200"))

    for changed in [
        replace(given, account_key=Key(other)),
        replace(given, currency="EUR"),
        replace(given, status=MemoStatus.DRAFT),
        replace(given, invoice_date=date(2026, 2, 2)),
        replace(given, items=(first,)),
        replace(given, items=(*given.items, an_item("1.00"))),
        replace(given, items=(second, first)),
        replace(given, items=(replace(first, charge_amount=Decimal("100.01")), second)),
        replace(given, items=(replace(first, tax_items=()), second)),
        replace(given, items=(replace(first, tax_items=a_tax("10.01")), second)),
        replace(given, items=(replace(first, id=Key(ONE)), second)),
    ]:
        assert await refuse_invoice(desk, changed) == [(ErrorCode.DOCUMENT_IN_USE,)]


@pytest.mark.parametrize("how", ["made from", "applied to"])
async def test_payments_due_date_texts_and_custom_fields_of_a_document_in_use_change(desk: Desk, how: str) -> None:
    given = await in_use(desk, how)
    before = {row.id: row for row in await desk.rows(t.invoice_items)}
    named = replace(given.items[0], charge_name="Chairs", custom_fields={"a__c": 1})

    await sync_invoice(
        desk,
        replace(
            given,
            items=(named, given.items[1]),
            due_date=date(2027, 1, 1),
            payments_applied=Decimal("40.00"),
            custom_fields={"b__c": 2},
        ),
    )

    head = await desk.row(t.invoices)
    credited = 0 if how == "made from" else 330_000
    assert (head.credit_amount, head.payment_amount) == (credited, 400_000)
    assert (head.balance, head.due_date, head.custom_fields) == (1_250_000 - credited, date(2027, 1, 1), {"b__c": 2})
    rows = {row.id: row for row in await desk.rows(t.invoice_items)}
    assert rows.keys() == before.keys()
    assert sorted(row.charge_name for row in rows.values()) == ["Chairs", "Seats"]
    assert all(rows[key].credit_amount == before[key].credit_amount for key in rows)


async def test_payments_take_no_balance_below_zero(desk: Desk) -> None:
    given = await in_use(desk, "applied to")

    too_much = await refuse_invoice(desk, replace(given, payments_applied=Decimal("132.01")))

    assert too_much == [(ErrorCode.AMOUNT_EXCEEDS_BALANCE, "payments_applied")]
    await sync_invoice(desk, replace(given, payments_applied=Decimal("132.00")))
    assert (await desk.row(t.invoices)).balance == 0


async def test_a_document_is_free_again_when_nothing_lies_on_it(desk: Desk) -> None:
    given = an_invoice(desk)
    made = await sync_invoice(desk, given)
    memo = await desk.posted("33.00")
    await desk.apply_to(memo, made, "33.00")
    taken_off = (InvoiceApplication(invoice_key=Key(made), amount=Decimal("33.00")),)
    await desk.do(settlement.unapply, UnapplyCreditMemo(key=Key(memo), invoices=taken_off))

    await sync_invoice(desk, replace(given, items=(an_item("7.00"), an_item("8.00"))))

    assert (await desk.row(t.invoices)).amount == 150_000


async def test_a_debit_memo_that_undoes_a_credit_memo_goes_on_saying_so(desk: Desk) -> None:
    memo = await desk.posted("30.00")
    await desk.do(lifecycle.reverse, ReverseCreditMemo(key=Key(memo)))
    head = await desk.row(t.debit_memos)
    line = await desk.row(t.debit_memo_items)
    item = SyncedDebitMemoItem(sku_name="Renamed", amount=Decimal("30.00"))
    told = a_debit_memo(
        desk,
        number=head.number,
        items=(item,),
        debit_memo_date=head.debit_memo_date,
        due_date=date(2030, 1, 1),
        comment="told",
    )

    await sync_debit_memo(desk, told)

    now, now_line = await desk.row(t.debit_memos), await desk.row(t.debit_memo_items)
    assert (now.due_date, now.comment, now_line.sku_name) == (date(2030, 1, 1), "told", "Renamed")
    assert (now.source_type, now.referred_credit_memo_id) == (head.source_type, memo)
    assert (now_line.source_item_type, now_line.source_item_id) == (line.source_item_type, line.source_item_id)
    changed = replace(told, items=(replace(item, amount=Decimal("31.00")),))
    assert await refused(desk, intake.sync_debit_memos, SyncDebitMemos(debit_memos=(changed,))) == [
        (ErrorCode.DOCUMENT_IN_USE,)
    ]


async def test_a_sync_and_an_application_at_once_leave_a_sound_invoice(desk: Desk) -> None:
    given = an_invoice(desk, an_item("100.00"))
    made = await sync_invoice(desk, given)
    memos = [await desk.posted("20.00") for _ in range(3)]
    smaller = SyncInvoices(invoices=(replace(given, items=(an_item("50.00"),)),))

    outcomes = await asyncio.gather(
        desk.each(intake.sync_invoices, smaller),
        *(desk.apply_to(memo, made, "20.00") for memo in memos),
        desk.each(intake.sync_invoices, smaller),
        return_exceptions=True,
    )

    head = await desk.row(t.invoices)
    lines = await desk.rows(t.invoice_items)
    synced = [answer for found in (outcomes[0], outcomes[-1]) if isinstance(found, list) for answer in found]
    assert all(codes(answer) in ([], [(ErrorCode.DOCUMENT_IN_USE,)]) for answer in synced)
    assert head.credit_amount == sum(line.credit_amount for line in lines)
    assert head.balance >= 0


# --- who sees what ----------------------------------------------------------------------------------------------------


async def test_an_account_that_the_caller_does_not_see_is_not_found(desk: Desk) -> None:
    mine = desk.account
    theirs = await sync_account(desk, an_account("A-200", id=Key(ONE)))
    hidden = await sync_invoice(desk, an_invoice(desk, invoice_number="INV-9", account_key=Key(theirs)))
    desk.viewer = Viewer("usr_few", accounts=frozenset({mine}))

    assert await refuse_invoice(desk, an_invoice(desk, account_key=Key(theirs))) == [
        (ErrorCode.ACCOUNT_NOT_FOUND, "account_key")
    ]
    assert await refuse_invoice(desk, an_invoice(desk, id=Key(hidden))) == [(ErrorCode.INVOICE_NOT_FOUND, "id")]
    assert await refuse_invoice(desk, an_invoice(desk, invoice_number="INV-9")) == [
        (ErrorCode.NUMBER_TAKEN, "invoice_number")
    ]
    for account, fault in [
        (an_account("A-300", id=Key(ONE)), (ErrorCode.ACCOUNT_NOT_FOUND, "id")),
        (an_account("A-200"), (ErrorCode.NUMBER_TAKEN, "number")),
        (an_account("A-300"), (ErrorCode.ACCOUNT_NOT_FOUND, "id")),
    ]:
        assert await refused(desk, intake.sync_accounts, SyncAccounts(accounts=(account,))) == [fault]
    await sync_invoice(desk, an_invoice(desk))


# --- charges and payment methods --------------------------------------------------------------------------------------


async def test_a_charge_is_found_by_name_only_when_it_is_given_no_id(desk: Desk) -> None:
    async def put(charge: SyncedProductRatePlanCharge) -> str:
        command = SyncProductRatePlanCharges(product_rate_plan_charges=(charge,))
        return await sync(desk, intake.sync_product_rate_plan_charges, command)

    first = await put(a_charge())
    euro = (ChargePrice(currency="EUR", price=Decimal("0.000000001")),)
    assert await put(a_charge(prices=euro, sku="S")) == first
    assert [(row.currency, row.price) for row in await desk.rows(t.product_rate_plan_charge_prices)] == [
        ("EUR", Decimal("1e-9"))
    ]

    assert await put(a_charge(id=Key(ONE))) == f"chg_{ONE}"

    command = SyncProductRatePlanCharges(product_rate_plan_charges=(a_charge(),))
    assert await refused(desk, intake.sync_product_rate_plan_charges, command) == [(ErrorCode.FIELD_REQUIRED, "id")]


async def test_a_payment_method_is_found_by_its_id(desk: Desk) -> None:
    given = SyncedPaymentMethod(
        id=Key(ONE), account_key=Key(desk.account), type=PaymentMethodType.CREDIT_CARD, electronic=True
    )
    command = SyncPaymentMethods(payment_methods=(given,))
    assert await sync(desk, intake.sync_payment_methods, command) == f"pm_{ONE}"

    changed = SyncPaymentMethods(payment_methods=(replace(given, type=PaymentMethodType.CHECK, electronic=False),))
    await sync(desk, intake.sync_payment_methods, changed)

    row = await desk.row(t.payment_methods)
    assert (row.id, row.type, row.electronic) == (f"pm_{ONE}", "CHECK", False)
    nobody = SyncPaymentMethods(payment_methods=(replace(given, account_key=Key("A-NONE")),))
    assert await refused(desk, intake.sync_payment_methods, nobody) == [(ErrorCode.ACCOUNT_NOT_FOUND, "account_key")]


# --- many lines -------------------------------------------------------------------------------------------------------


@contextmanager
def counting(desk: Desk) -> Iterator[list[str]]:
    """The statements that writing takes."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    engine = desk.database.writers.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_an_invoice_of_many_lines_takes_few_statements(desk: Desk) -> None:
    given = an_invoice(desk, *[an_item("1.00", "0.10")] * 1_500)

    with counting(desk) as made:
        await sync_invoice(desk, given)
    with counting(desk) as paid:
        await sync_invoice(desk, replace(given, payments_applied=Decimal("1000.00")))

    assert len(made) < 25
    assert len(paid) < 25
    assert (await desk.row(t.invoices)).balance == 6_500_000
