"""Money that moves without locks on PostgreSQL: in two statements where nobody is in the way, else as under locks."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from auditing import audit
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import UnpostCreditMemo
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.commands.settlement import InvoiceApplication, UnapplyCreditMemo
from cm_graphql.domain.enums import RefundType
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import lifecycle, refunds, settlement
from cm_graphql.operations.gate import DONE, Gate, Outcome
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from jobbing import applying_later, ask, money
from operating import TODAY, Desk, applying


def unapplying(memo: str, invoice: str, amount: str, **fields: Any) -> UnapplyCreditMemo:
    """A request to take a memo off one invoice."""
    wanted = InvoiceApplication(invoice_key=Key(invoice), amount=Decimal(amount))
    return UnapplyCreditMemo(key=Key(memo), invoices=(wanted,), **fields)


@pytest.fixture(autouse=True)
def only_where_round_trips_are_saved(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no round trips to save")


async def noted(desk: Desk, work: Callable[[], Awaitable[Any]]) -> list[str]:
    """The statements that something takes."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    engine = desk.database.writers.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await work()
    event.remove(engine, "before_cursor_execute", note)
    return statements


async def test_an_application_takes_two_statements_and_leaves_what_locks_would(desk: Desk) -> None:
    invoice = await desk.invoice(["30.00", "3.00"], "20.00")
    memo = await desk.post(await desk.credit(invoice, "30.00", "20.00"))
    told: list[str] = []
    desk.database.listeners.append(told.extend)

    part = await noted(desk, lambda: desk.apply_to(memo, invoice, "0.01"))
    rest = await noted(desk, lambda: desk.apply_to(memo, invoice, "52.99"))

    assert [len(part), len(rest)] == [2, 2]
    now = await desk.memo(memo)
    assert (now.applied, now.unapplied, now.version) == (money("53.00"), 0, 4)
    assert (await desk.row(t.invoices, id=invoice)).balance == 0
    assert [row.amount for row in await desk.rows(t.credit_memo_applications, credit_memo_id=memo)] == [
        money("0.01"),
        money("52.99"),
    ]
    events = await desk.rows(t.credit_memo_events, credit_memo_id=memo)
    assert told == [row.id for row in events[-2:]]


async def test_taking_off_again_takes_two_statements_and_leaves_what_locks_would(desk: Desk) -> None:
    invoice = await desk.invoice(["30.00", "3.00"], "20.00")
    memo = await desk.post(await desk.credit(invoice, "30.00", "20.00"))
    await desk.apply_to(memo, invoice, "53.00")

    part = await noted(desk, lambda: desk.do(settlement.unapply, unapplying(memo, invoice, "31.50")))
    rest = await noted(desk, lambda: desk.do(settlement.unapply, unapplying(memo, invoice, "21.50")))

    assert [len(part), len(rest)] == [2, 2]
    now = await desk.memo(memo)
    assert (now.applied, now.unapplied, now.version) == (0, money("53.00"), 5)
    assert [row.invoice_id for row in await desk.rows(t.credit_memo_parts, credit_memo_id=memo)] == [None]
    assert (await desk.row(t.invoices, id=invoice)).balance == money("53.00")
    await audit(desk.database)


async def test_taking_off_looks_for_the_latest_day_that_money_moved_on(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    await desk.do(settlement.apply, applying(memo, invoice, "50.00", effective_date=TODAY + timedelta(days=9)))

    early = unapplying(memo, invoice, "50.00", effective_date=TODAY)

    assert await desk.refused(settlement.unapply, early) == [(ErrorCode.UNAPPLY_DATE_TOO_EARLY, "effective_date")]


async def test_a_caller_of_some_accounts_needs_no_more_statements_and_reaches_no_others(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    everybody, own = desk.viewer, desk.account
    await desk.new_account()
    others = await desk.posted("50.00")
    desk.viewer = Viewer("usr_clerk", accounts=frozenset({own}))

    statements = await noted(desk, lambda: desk.apply_to(memo, invoice, "1.00"))
    refused = await desk.ask(settlement.apply, applying(others, invoice, "1.00"))

    assert len(statements) == 2
    assert [fault.code for fault in refused.faults] == [ErrorCode.CREDIT_MEMO_NOT_FOUND]
    desk.viewer = everybody
    assert (await desk.memo(others)).applied == 0


async def test_a_request_with_a_key_takes_two_statements_and_its_repeats_get_the_first_outcome(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    command = applying(memo, invoice, "1.00", idempotency_key="once")

    statements = await noted(desk, lambda: desk.do(settlement.apply, command))
    again = await desk.ask(settlement.apply, command)
    other = await desk.ask(settlement.apply, applying(memo, invoice, "2.00", idempotency_key="once"))

    assert len(statements) == 2
    assert (again.replayed, again.outcome) == (True, {"credit_memo": memo, "applied_rule": "PRORATION"})
    assert [fault.code for fault in other.faults] == [ErrorCode.IDEMPOTENCY_MISMATCH]
    assert (await desk.memo(memo)).applied == money("1.00")


async def test_an_outcome_that_has_expired_is_replaced(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    command = applying(memo, invoice, "1.00", idempotency_key="once")
    await desk.do(settlement.apply, command)
    async with desk.database.write() as connection:
        await connection.execute(t.idempotency_keys.update().values(created_date=datetime(2026, 1, 1, tzinfo=UTC)))

    again = await desk.ask(settlement.apply, command)

    assert (again.replayed, again.faults) == (False, ())
    assert (await desk.memo(memo)).applied == money("2.00")
    assert len(await desk.rows(t.idempotency_keys)) == 1


@pytest.mark.parametrize("locked", [True, False])
async def test_the_same_request_of_another_process_between_the_two_statements_is_not_done_twice(
    desk: Desk, database_url: str, locked: bool
) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    command = applying(memo, invoice, "1.00", idempotency_key="once")
    other = Database.open(database_url)
    there = Gate(other, SystemClock(TODAY))
    tries = 0

    async def thinking_slowly(unit: Unit, command: Any) -> Outcome:
        nonlocal tries
        tries += 1
        if tries == 1:
            what = replace(settlement.apply, between=None) if locked else settlement.apply
            answer, _ = await there.act(what, command, desk.viewer)
            assert answer.faults == ()
        return await settlement.apply.run(unit, command)

    answer = await desk.ask(replace(settlement.apply, run=thinking_slowly), command)
    await other.dispose()

    assert (answer.replayed, tries) == (True, 1)
    assert (await desk.memo(memo)).applied == money("1.00")
    assert len(await desk.rows(t.idempotency_keys)) == 1


async def test_nothing_is_done_at_once_while_another_process_is_at_the_same_request(
    desk: Desk, database_url: str
) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    command = applying(memo, invoice, "1.00", idempotency_key="once")
    other = Database.open(database_url)
    asked, done = asyncio.Event(), asyncio.Event()

    async def slowly(unit: Unit, command: Any) -> Outcome:
        asked.set()
        await done.wait()
        return await settlement.apply.run(unit, command)

    under_locks = replace(settlement.apply, run=slowly, between=None)
    first = asyncio.create_task(Gate(other, SystemClock(TODAY)).act(under_locks, command, desk.viewer))
    await asked.wait()
    second = await desk.ask(settlement.apply, command)
    done.set()
    answer, _ = await first
    await other.dispose()

    assert [fault.code for fault in second.faults] == [ErrorCode.IDEMPOTENCY_IN_PROGRESS]
    assert answer.faults == ()
    assert (await desk.memo(memo)).applied == money("1.00")


async def test_of_many_processes_with_one_request_exactly_one_does_it(desk: Desk, database_url: str) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    databases = [Database.open(database_url) for _ in range(4)]
    gates = [Gate(database, SystemClock(TODAY)) for database in databases]

    for turn in range(5):
        command = applying(memo, invoice, "1.00", idempotency_key=f"turn {turn}")
        ways = (settlement.apply, replace(settlement.apply, between=None))
        answers = await asyncio.gather(
            *(gate.act(ways[place % 2], command, desk.viewer) for place, gate in enumerate(gates))
        )
        faults = {fault.code for answer, _ in answers for fault in answer.faults}
        assert faults <= {ErrorCode.IDEMPOTENCY_IN_PROGRESS}
        assert sum(answer.ending == DONE for answer, _ in answers) == 1
    for database in databases:
        await database.dispose()

    assert (await desk.memo(memo)).applied == money("5.00")


async def apply_all(desk: Desk, memo: str, _invoice: str) -> None:
    await desk.apply_to(memo, await desk.invoice("50.00"), "50.00")


async def ask_for_a_job(desk: Desk, memo: str, invoice: str) -> None:
    await ask(desk, applying_later(memo, (invoice, "1.00")))


async def submit_a_refund(desk: Desk, memo: str, _invoice: str) -> None:
    command = RefundCreditMemo(
        key=Key(memo),
        type=RefundType.ELECTRONIC,
        total_amount=Decimal("1.00"),
        payment_method_id=Key(await desk.payment_method()),
    )
    await desk.do(replace(refunds.refund, errand=None), command)


async def unpost(desk: Desk, memo: str, _invoice: str) -> None:
    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))


async def settle_the_invoice(desk: Desk, _memo: str, invoice: str) -> None:
    await desk.apply_to(await desk.posted("50.00"), invoice, "50.00")


@pytest.mark.parametrize(
    ("meanwhile", "code"),
    [
        (apply_all, ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED),
        (ask_for_a_job, ErrorCode.LOCK_CONTENTION),
        (submit_a_refund, ErrorCode.LOCK_CONTENTION),
        (unpost, ErrorCode.INVALID_STATUS),
        (settle_the_invoice, ErrorCode.AMOUNT_EXCEEDS_BALANCE),
    ],
)
async def test_what_others_do_between_the_two_statements_counts(
    desk: Desk, database_url: str, meanwhile: Callable[[Desk, str, str], Awaitable[None]], code: ErrorCode
) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    elsewhere = Desk(Gate(Database.open(database_url), SystemClock(TODAY)))
    elsewhere.account = desk.account
    tries = 0

    async def thinking_slowly(unit: Unit, command: Any) -> Outcome:
        nonlocal tries
        tries += 1
        if tries == 1:
            await meanwhile(elsewhere, memo, invoice)
        return await settlement.apply.run(unit, command)

    answer = await desk.ask(replace(settlement.apply, run=thinking_slowly), applying(memo, invoice, "1.00"))
    await elsewhere.database.dispose()

    assert [fault.code for fault in answer.faults] == [code]
    assert tries == 2, "once without locks, once under them"
    held = await desk.rows(t.credit_memo_parts, credit_memo_id=memo, invoice_id=invoice)
    assert held == [], "nothing was written"
