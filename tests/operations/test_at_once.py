"""Money that moves without locks on PostgreSQL: in two statements where nobody is in the way, else as under locks."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import UnpostCreditMemo
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.enums import RefundType
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import lifecycle, refunds, settlement
from cm_graphql.operations.gate import Outcome
from cm_graphql.operations.unit import Unit
from cm_graphql.store import tables as t
from jobbing import applying_later, ask, money
from operating import Desk, applying


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
    desk: Desk, meanwhile: Callable[[Desk, str, str], Awaitable[None]], code: ErrorCode
) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    tries = 0

    async def thinking_slowly(unit: Unit, command: Any) -> Outcome:
        nonlocal tries
        tries += 1
        if tries == 1:
            await meanwhile(desk, memo, invoice)
        return await settlement.apply.run(unit, command)

    answer = await desk.ask(replace(settlement.apply, run=thinking_slowly), applying(memo, invoice, "1.00"))

    assert [fault.code for fault in answer.faults] == [code]
    assert tries == 2, "once without locks, once under them"
    held = await desk.rows(t.credit_memo_parts, credit_memo_id=memo, invoice_id=invoice)
    assert held == [], "nothing was written"
