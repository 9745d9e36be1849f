"""Making drafts on the real store: from charges, from invoices, and many at once."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from cm_graphql.domain.billing import Account
from cm_graphql.domain.charges import Quotes, TaxQuote
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import (
    CreateCreditMemoFromCharges,
    CreateCreditMemoFromInvoice,
    CreateCreditMemos,
    CreditMemoFromCharges,
    CreditMemoFromInvoice,
    CreditMemoItemFromCharge,
    CreditMemoItemFromInvoice,
    NewCreditMemo,
)
from cm_graphql.domain.commands.intake import BillToContact
from cm_graphql.domain.enums import ChargeModel, EventAction, MemoStatus, TaxMode
from cm_graphql.domain.errors import ErrorCode, Refusal
from cm_graphql.operations import creation
from cm_graphql.operations.gate import MalformedId
from cm_graphql.operations.ports import TaxEngineFailed, TaxInquiry
from cm_graphql.operations.viewer import ADMIN, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from operating import TODAY, Desk, worths


def line(charge: str, amount: str | None = None, **fields: Any) -> CreditMemoItemFromCharge:
    """A line made from a charge."""
    return CreditMemoItemFromCharge(
        product_rate_plan_charge_id=Key(charge), amount=None if amount is None else Decimal(amount), **fields
    )


def asking(desk: Desk, *lines: CreditMemoItemFromCharge, **fields: Any) -> CreateCreditMemoFromCharges:
    """A request for a draft from charges."""
    return CreateCreditMemoFromCharges(account_key=Key(desk.account), charges=lines, **fields)


# --- from charges -----------------------------------------------------------------------------------------------------


async def test_an_omitted_amount_is_the_charges_own_price(desk: Desk) -> None:
    flat = await desk.charge("2000.00")
    per_unit = await desk.charge("0.333", charge_model=ChargeModel.PER_UNIT)

    memo = (
        await desk.do(
            creation.from_charges,
            asking(desk, line(flat), line(flat, "20.00"), line(per_unit, quantity=Decimal(10))),
        )
    )["credit_memo"]

    now = await desk.memo(memo)
    assert worths(now.lines, now) == ["2000.00", "20.00", "3.33"]
    assert (now.number, now.status, now.credit_memo_date) == ("CM00000001", MemoStatus.DRAFT, TODAY)
    assert now.reason_code == "Correcting invoice error"
    (event,) = await desk.rows(t.credit_memo_events)
    assert (event.action, event.amounts_before, event.request_id) == (EventAction.CREATED, None, "req-1")


async def test_an_account_is_found_by_its_number_too(desk: Desk) -> None:
    number = (await desk.row(t.accounts)).number

    outcome = await desk.do(
        creation.from_charges, replace(asking(desk, line(await desk.charge())), account_key=Key(number))
    )

    assert (await desk.memo(outcome["credit_memo"])).account_id == desk.account


async def test_what_a_draft_names_must_exist(desk: Desk) -> None:
    unknown = Key(f"acc_{0:032x}")
    charge = f"chg_{0:032x}"

    assert await desk.refused(creation.from_charges, replace(asking(desk, line(charge)), account_key=unknown)) == [
        (ErrorCode.ACCOUNT_NOT_FOUND, "account_key")
    ]
    assert await desk.refused(creation.from_charges, asking(desk, line(charge, "1.00"), line(charge))) == [
        (ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND, "charges", index, "product_rate_plan_charge_id")
        for index in (0, 1)
    ]
    invoice = CreateCreditMemoFromInvoice(invoice_key=Key("INV-none"), items=())
    assert await desk.refused(creation.from_invoice, invoice) == [(ErrorCode.INVOICE_NOT_FOUND, "invoice_key")]


async def test_accounts_that_a_caller_may_not_see_are_not_there(desk: Desk) -> None:
    command = asking(desk, line(await desk.charge()))
    desk.viewer = Viewer("usr_clerk", accounts=frozenset({f"acc_{0:032x}"}))

    assert await desk.refused(creation.from_charges, command) == [(ErrorCode.ACCOUNT_NOT_FOUND, "account_key")]


@pytest.mark.parametrize("code", ["", "XXQ", "usd", "' OR 1=1"])
async def test_a_currency_must_be_one(desk: Desk, code: str) -> None:
    command = asking(desk, line(await desk.charge(), "1.00"), currency=code)
    negative = asking(desk, line(await desk.charge(), "-1.00"), currency=code)
    missing = asking(desk, line(f"chg_{0:032x}", "1.00"), currency=code)

    assert await desk.refused(creation.from_charges, command) == [(ErrorCode.CURRENCY_INACTIVE, "currency")]
    assert await desk.refused(creation.from_charges, negative) == [
        (ErrorCode.CURRENCY_INACTIVE, "currency"),
        (ErrorCode.INVALID_VALUE, "charges", 0, "amount"),
    ]
    assert await desk.refused(creation.from_charges, missing) == [
        (ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND, "charges", 0, "product_rate_plan_charge_id")
    ]


async def test_another_currency_than_the_accounts_can_be_chosen(desk: Desk) -> None:
    command = asking(desk, line(await desk.charge(), "1"), currency="JPY")

    memo = await desk.memo((await desk.do(creation.from_charges, command))["credit_memo"])

    assert (memo.currency.code, memo.amount) == ("JPY", 10_000)
    with_cents = replace(command, charges=(line(await desk.charge(), "1.5"),))
    assert await desk.refused(creation.from_charges, with_cents) == [
        (ErrorCode.AMOUNT_PRECISION, "charges", 0, "amount")
    ]


async def test_a_number_of_ones_own_is_used_once(desk: Desk) -> None:
    charge = await desk.charge()
    await desk.do(creation.from_charges, asking(desk, line(charge), number="MINE-1"))

    assert await desk.refused(creation.from_charges, asking(desk, line(charge), number="MINE-1")) == [
        (ErrorCode.NUMBER_TAKEN, "number")
    ]


async def test_a_dry_run_of_a_creation_has_no_number(desk: Desk) -> None:
    command = asking(desk, line(await desk.charge()), dry_run=True, auto_post=True)
    before = await desk.dump()

    answer, rehearsal = await desk.gate.act(creation.from_charges, command, desk.viewer)
    assert rehearsal is not None
    rows = (await rehearsal.connection.execute(t.credit_memos.select())).all()
    await rehearsal.undo()

    assert [(row.id, row.status, row.number[0]) for row in rows] == [
        ((answer.outcome or {})["credit_memo"], "POSTED", "~")
    ]
    assert await desk.dump() == before


# --- the tax of lines from charges ------------------------------------------------------------------------------------


async def taxable(desk: Desk, price: str = "100.00", **fields: Any) -> str:
    """A charge that is taxed under the code STANDARD."""
    return await desk.charge(price, **{"taxable": True, "tax_code": "STANDARD", **fields})


async def rates(desk: Desk) -> None:
    """Two rates for California and one for Switzerland, which the tenant's own engine uses."""
    await desk.set(tax_engine="table")
    await desk.new_account(bill_to_contact=BillToContact(country="US", state="CA"))
    for jurisdiction, name, rate in (("CA", "State", "0.06"), ("US", "Federal", "0.01"), ("CH", "VAT", "0.081")):
        await desk.tax_rate("STANDARD", jurisdiction, rate, name)


async def test_without_an_engine_lines_have_no_tax(desk: Desk) -> None:
    memo = await desk.memo(
        (await desk.do(creation.from_charges, asking(desk, line(await taxable(desk)))))["credit_memo"]
    )

    assert (worths(memo.lines, memo), memo.items[0].tax_auto_calculation) == (["100.00"], False)


async def test_the_table_taxes_lines_where_the_account_is_billed(desk: Desk) -> None:
    await rates(desk)
    gross = await taxable(desk, tax_mode=TaxMode.TAX_INCLUSIVE)
    command = asking(desk, line(await taxable(desk)), line(gross, "107.00"), line(await desk.charge(), "5.00"))

    memo = await desk.memo((await desk.do(creation.from_charges, command))["credit_memo"])

    assert worths(memo.lines, memo) == ["100.00", "6.00", "1.00", "100.00", "6.00", "1.00", "5.00"]
    assert [item.tax_auto_calculation for item in memo.items] == [True, True, False]
    assert memo.items[1].amount == 1_070_000


async def test_taxes_are_of_the_day_whose_rates_were_asked_for(desk: Desk) -> None:
    await rates(desk)
    later = date(2026, 5, 3)
    command = asking(desk, line(await taxable(desk)), effective_date=later)

    memo = await desk.memo((await desk.do(creation.from_charges, command))["credit_memo"])

    assert {tax.tax_date for tax in memo.items[0].taxation_items} == {later}


async def test_no_engine_is_asked_for_the_tax_of_nothing(desk: Desk) -> None:
    await rates(desk)
    command = asking(desk, line(await taxable(desk, tax_code="TAX-DOWN"), "0"), line(await taxable(desk)))

    memo = await desk.memo((await desk.do(creation.from_charges, command))["credit_memo"])

    assert worths(memo.lines, memo) == ["0.00", "100.00", "6.00", "1.00"]
    assert memo.items[0].tax_auto_calculation


async def test_an_engine_that_fails_leaves_nothing(desk: Desk) -> None:
    await rates(desk)
    command = asking(desk, line(await taxable(desk, tax_code="TAX-DOWN")))

    assert await desk.refused(creation.from_charges, command) == [(ErrorCode.TAX_ENGINE_ERROR,)]
    assert await desk.refused(creation.from_charges, replace(command, comment="x" * 256)) == [
        (ErrorCode.TOO_LONG, "comment")
    ]


class Outside:
    """A tax engine outside, which here wants 10 %, and looks whether the database is free meanwhile."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.asked: list[TaxInquiry] = []
        self.renames = 0
        """How often the account changes while it thinks, which makes what it answers out of date."""

    async def price(self, inquiry: TaxInquiry) -> Quotes:
        self.asked.append(inquiry)
        async with self.database.write() as connection:
            if self.renames > 0:
                await connection.execute(text("UPDATE accounts SET name = name || '!'"))
            self.renames -= 1
        if any(line.tax_code == "BROKEN" for line in inquiry.lines):
            raise TaxEngineFailed("Out to lunch.")
        return {
            line.key: (TaxQuote(name="GST", jurisdiction="AU", tax_amount=line.amount // 10, tax_rate=Decimal("0.1")),)
            for line in inquiry.lines
        }


@pytest.fixture
async def outside(desk: Desk) -> Outside:
    """The engine that the tenant uses."""
    made = Outside(desk.database)
    desk.gate.tax_engines = {"avalara": made}
    await desk.set(tax_engine="avalara")
    return made


async def test_an_engine_outside_is_asked_while_nothing_is_locked_about_what_is_true_afterwards(
    desk: Desk, outside: Outside
) -> None:
    outside.renames = 2
    charge = await taxable(desk)

    memo = await desk.memo((await desk.do(creation.from_charges, asking(desk, line(charge))))["credit_memo"])

    assert worths(memo.lines, memo) == ["100.00", "10.00"]
    accounts: list[Account] = [inquiry.account for inquiry in outside.asked]
    assert [account.name for account in accounts] == ["Acme", "Acme!", "Acme!!"]


async def test_an_engine_is_not_asked_for_ever(desk: Desk, outside: Outside) -> None:
    outside.renames = 1_000

    answer = await desk.ask(creation.from_charges, asking(desk, line(await taxable(desk))))

    assert [fault.code for fault in answer.faults] == [ErrorCode.TAX_ENGINE_ERROR]


async def test_a_failure_of_an_engine_outside_is_told(desk: Desk, outside: Outside) -> None:
    answer = await desk.ask(creation.from_charges, asking(desk, line(await taxable(desk, tax_code="BROKEN"))))

    assert [(fault.code, fault.message) for fault in answer.faults] == [
        (ErrorCode.TAX_ENGINE_ERROR, "Out to lunch. Nothing was changed.")
    ]
    assert await desk.rows(t.credit_memos) == []


async def test_an_engine_that_is_not_set_up_cannot_be_used(desk: Desk) -> None:
    await desk.set(tax_engine="avalara")

    assert await desk.refused(creation.from_charges, asking(desk, line(await taxable(desk)))) == [
        (ErrorCode.TAX_ENGINE_ERROR,)
    ]


# --- many at once -----------------------------------------------------------------------------------------------------


def from_charges(desk: Desk, *lines: CreditMemoItemFromCharge, **fields: Any) -> NewCreditMemo:
    """One of many, from charges."""
    return NewCreditMemo(from_charges=CreditMemoFromCharges(account_key=Key(desk.account), charges=lines, **fields))


async def test_each_of_many_has_a_transaction_of_its_own(desk: Desk) -> None:
    charge = await desk.charge()
    invoice = await desk.invoice("30.00")
    (item,) = await desk.lines_of(invoice)
    credit = CreditMemoItemFromInvoice(invoice_item_id=Key(item), sku_name="Seats", amount=Decimal("20.00"))
    from_invoice = NewCreditMemo(
        from_invoice=CreditMemoFromInvoice(invoice_key=Key(invoice), items=(credit,), auto_post=True)
    )
    command = CreateCreditMemos(
        memos=(
            from_charges(desk, line(charge, "1.00"), number="A"),
            from_charges(desk, line(charge, "1.00"), number="A"),
            from_invoice,
            from_invoice,
            from_charges(desk, line(charge, "-1.00")),
            from_charges(desk, line(charge, "2.00")),
        )
    )

    answers = await desk.each(creation.create_each, command)

    assert [[fault.code for fault in answer.faults] for answer in answers] == [
        [],
        [ErrorCode.NUMBER_TAKEN],
        [],
        [ErrorCode.OVER_CREDIT],
        [ErrorCode.INVALID_VALUE],
        [],
    ]
    made = [await desk.memo((answer.outcome or {})["credit_memo"]) for answer in answers if answer.outcome]
    assert [(memo.number, memo.amount, memo.status) for memo in made] == [
        ("A", 10_000, MemoStatus.DRAFT),
        ("CM00000001", 200_000, MemoStatus.POSTED),
        ("CM00000002", 20_000, MemoStatus.DRAFT),
    ]


async def test_a_right_that_one_of_many_lacks_stops_that_one_only(desk: Desk) -> None:
    charge = await desk.charge()
    desk.viewer = Viewer("usr_clerk", ADMIN - {"credit_memos:post"})
    command = CreateCreditMemos(
        memos=(from_charges(desk, line(charge), auto_post=True), from_charges(desk, line(charge)))
    )

    first, second = await desk.each(creation.create_each, command)

    assert [fault.code for fault in first.faults] == [ErrorCode.PERMISSION_DENIED]
    assert "credit_memos:post" in first.faults[0].message
    assert second.outcome is not None


async def test_a_failing_database_stops_one_of_many_only(desk: Desk) -> None:
    charge = await desk.charge()
    await break_for_the_comment(desk)
    command = CreateCreditMemos(
        memos=tuple(from_charges(desk, line(charge), comment="boom" if n % 10 == 5 else None) for n in range(50))
    )

    with capture_logs() as logged:
        answers = await desk.each(creation.create_each, command)

    assert [index for index, answer in enumerate(answers) if answer.outcome is None] == [5, 15, 25, 35, 45]
    assert [entry["index"] for entry in logged if entry["event"] == "bulk_element_failed"] == [5, 15, 25, 35, 45]
    failed = answers[5].faults
    assert [fault.code for fault in failed] == [ErrorCode.INTERNAL_ERROR]
    assert "boom" not in failed[0].message
    assert len(await desk.rows(t.credit_memos)) == 45


async def test_who_loses_the_database_in_a_commit_is_not_told_that_nothing_was_done(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = await desk.charge()
    dialect = desk.database.writers.sync_engine.dialect
    if dialect.name == "sqlite":
        pytest.skip("SQLite has no connection that could be lost")
    commit = dialect.do_commit

    def committed_and_lost(connection: Any) -> None:
        commit(connection)
        raise ConnectionResetError

    with monkeypatch.context() as losing:
        losing.setattr(dialect, "do_commit", committed_and_lost)
        (answer,) = await desk.each(creation.create_each, CreateCreditMemos(memos=(from_charges(desk, line(charge)),)))

    assert len(await desk.rows(t.credit_memos)) == 1
    assert [fault.code for fault in answer.faults] == [ErrorCode.INTERNAL_ERROR]
    assert "look whether this was done" in answer.faults[0].message


async def break_for_the_comment(desk: Desk) -> None:
    """Let the database fail where a memo's comment is `boom`, after the row was written."""
    async with desk.database.write() as connection:
        if desk.database.dialect == "sqlite":
            statements = [
                "CREATE TRIGGER breaks AFTER INSERT ON credit_memos WHEN NEW.comment = 'boom' "
                "BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END"
            ]
        else:
            statements = [
                "CREATE FUNCTION breaks() RETURNS trigger AS $$ BEGIN RAISE 'the disk is on fire'; END $$ "
                "LANGUAGE plpgsql",
                "CREATE TRIGGER breaks AFTER INSERT ON credit_memos FOR EACH ROW WHEN (NEW.comment = 'boom') "
                "EXECUTE FUNCTION breaks()",
            ]
        for statement in statements:
            await connection.execute(text(statement))


async def test_a_dry_run_of_many_lets_later_ones_see_earlier_ones(desk: Desk, outside: Outside) -> None:
    charge = await taxable(desk)
    command = CreateCreditMemos(
        memos=(
            from_charges(desk, line(charge, "1.00"), number="A"),
            from_charges(desk, line(charge, "2.00"), number="A"),
            from_charges(desk, line(charge, "3.00"), number="B"),
        ),
        dry_run=True,
    )
    before = await desk.dump()

    answers = await desk.each(creation.create_each, command)

    assert [[fault.code for fault in answer.faults] for answer in answers] == [[], [ErrorCode.NUMBER_TAKEN], []]
    assert len(outside.asked) == 3
    assert await desk.dump() == before


async def test_a_request_for_many_is_refused_as_a_whole_for_its_envelope(desk: Desk) -> None:
    memo = from_charges(desk, line(await desk.charge()))

    with pytest.raises(Refusal) as none:
        await desk.each(creation.create_each, CreateCreditMemos(memos=()))
    with pytest.raises(Refusal) as many:
        await desk.each(creation.create_each, CreateCreditMemos(memos=(memo,) * 51))
    foreign = NewCreditMemo(from_charges=CreditMemoFromCharges(account_key=Key(f"inv_{0:032x}")))
    with pytest.raises(MalformedId):
        await desk.each(creation.create_each, CreateCreditMemos(memos=(memo, foreign)))

    assert [refusal.value.faults[0].code for refusal in (none, many)] == [
        ErrorCode.FIELD_REQUIRED,
        ErrorCode.LIMIT_EXCEEDED,
    ]
    assert await desk.rows(t.credit_memos) == []


async def test_the_key_of_a_request_for_many_is_that_of_all_of_them(desk: Desk) -> None:
    charge = await desk.charge()
    one = from_charges(desk, line(charge, "1.00"))
    await desk.each(creation.create_each, CreateCreditMemos(memos=(one,), idempotency_key="many"))

    for memos in ((one, one), (from_charges(desk, line(charge, "2.00")),)):
        answers = await desk.each(creation.create_each, CreateCreditMemos(memos=memos, idempotency_key="many"))
        assert [fault.code for answer in answers for fault in answer.faults] == [ErrorCode.IDEMPOTENCY_MISMATCH] * len(
            memos
        )

    assert len(await desk.rows(t.credit_memos)) == 1


async def test_repeats_of_a_request_for_many_answer_each_element_again(desk: Desk) -> None:
    charge = await desk.charge()
    command = CreateCreditMemos(
        memos=(from_charges(desk, line(charge, "1.00")), from_charges(desk, line(charge, "-1.00"))),
        idempotency_key="many",
    )

    first = await desk.each(creation.create_each, command)
    again = await desk.each(creation.create_each, command)

    assert [answer.outcome for answer in again] == [answer.outcome for answer in first]
    assert [answer.faults for answer in again] == [answer.faults for answer in first]
    assert [answer.replayed for answer in again] == [True, True]
    assert len(await desk.rows(t.credit_memos)) == 1
