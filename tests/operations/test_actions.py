"""What can be done with a memo is exactly what the actions then do, or refuse with the same symbol."""

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import event

from attempts import LOOKED_INTO_ELSEWHERE, refusals, states
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import (
    CancelCreditMemo,
    ReverseCreditMemo,
    WriteOffCreditMemo,
)
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.enums import (
    AvailableToCreditRule,
    MemoAction,
    MemoStatus,
    PaymentMethodType,
    RefundType,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import lifecycle, refunds
from cm_graphql.operations.actions import available
from cm_graphql.operations.viewer import ADMIN, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session
from operating import Desk


async def memos_of_all_kinds(desk: Desk) -> dict[str, str]:
    """Memos in every situation that the checks tell apart."""
    big = await desk.invoice("1000.00", ["200.00", "20.00"])
    small = await desk.invoice("10.00")
    made = {
        "draft": await desk.draft("5.00"),
        "draft from an invoice": await desk.credit(big, "5.00"),
        "draft taxed by an engine": await desk.credit(big, "0.00", "5.00"),
        "draft without room": await desk.credit(small, "10.00"),
        "posted": await desk.posted("5.00"),
        "worth nothing": await desk.post(await desk.credit(big, "0.00")),
        "canceled": await desk.draft("5.00"),
        "applied": await desk.posted("5.00"),
        "partly applied": await desk.posted("5.00"),
        "refunded": await desk.posted("5.00"),
        "written off": await desk.posted("5.00"),
        "reversed": await desk.posted("5.00"),
        "of a write-off without revenue": await desk.posted("5.00"),
        "failed": await desk.draft("5.00"),
        "pending": await desk.draft("5.00"),
        "of a closed period": await desk.posted("5.00", effective_date=date(2026, 1, 5)),
        "draft of a closed period": await desk.draft("5.00", effective_date=date(2026, 1, 5)),
    }
    await desk.post(await desk.credit(small, "1.00"))
    await desk.do(lifecycle.cancel, CancelCreditMemo(key=Key(made["canceled"])))
    await desk.apply_to(made["applied"], big, "5.00")
    await desk.apply_to(made["partly applied"], big, "2.00")
    refund = RefundCreditMemo(
        key=Key(made["refunded"]),
        type=RefundType.EXTERNAL,
        method_type=PaymentMethodType.CHECK,
        total_amount=Decimal("5.00"),
    )
    await desk.do(refunds.refund, refund)
    await desk.do(lifecycle.write_off, WriteOffCreditMemo(key=Key(made["written off"])))
    await desk.do(lifecycle.reverse, ReverseCreditMemo(key=Key(made["reversed"])))
    async with desk.database.write() as connection:
        given: dict[str, dict[str, Any]] = {
            "of a write-off without revenue": {"revenue_impacting": "NO"},
            "failed": {"status": MemoStatus.ERROR},
            "pending": {"status": MemoStatus.PENDING_FOR_TAX},
        }
        for name, values in given.items():
            await connection.execute(t.credit_memos.update().where(t.credit_memos.c.id == made[name]).values(values))
    await desk.set(unpost_rule=True)
    await desk.close_period(date(2026, 1, 1), date(2026, 1, 31))
    return made


async def test_each_action_does_what_it_was_said_to_do(desk: Desk) -> None:
    made = await memos_of_all_kinds(desk)
    invoice = await desk.invoice("1000.00")

    told = dict(zip(made, await states(desk, *made.values()), strict=True))

    for name, memo in made.items():
        said = {action: state.code for action, state in told[name].items() if action not in LOOKED_INTO_ELSEWHERE}
        assert said == await refusals(desk, memo, invoice), name
    reasons = {
        (name, action): state.code for name, found in told.items() for action, state in found.items() if state.code
    }
    assert reasons["draft without room", MemoAction.POST] is ErrorCode.OVER_CREDIT
    assert reasons["of a closed period", MemoAction.UNPOST] is ErrorCode.REVENUE_CLOSED
    assert reasons["draft of a closed period", MemoAction.POST] is ErrorCode.DATE_IN_CLOSED_PERIOD
    assert reasons["worth nothing", MemoAction.WRITE_OFF] is ErrorCode.ZERO_AMOUNT
    assert reasons["reversed", MemoAction.UNAPPLY] is ErrorCode.ALREADY_REVERSED


async def test_what_no_tax_can_be_added_to_is_said(desk: Desk) -> None:
    made = await desk.credit(await desk.invoice(["200.00", "20.00"]), "5.00")

    ((state),) = [found[MemoAction.CREATE_TAXATION_ITEMS] for found in await states(desk, made)]

    assert (state.allowed, state.code) == (False, ErrorCode.TAX_ITEM_NOT_ALLOWED)
    assert "computed by an engine" in (state.reason or "")


async def test_a_right_that_is_missing_is_named(desk: Desk) -> None:
    memo = await desk.posted("5.00")
    invoice = await desk.invoice("1000.00")

    for missing in sorted(ADMIN):
        desk.viewer = Viewer("usr_clerk", ADMIN - {missing})
        (found,) = await states(desk, memo)
        said = {action: state.code for action, state in found.items() if action not in LOOKED_INTO_ELSEWHERE}
        assert said == await refusals(desk, memo, invoice), missing
        denied = [state for state in found.values() if state.code is ErrorCode.PERMISSION_DENIED]
        assert all(missing in (state.reason or "") for state in denied)


async def test_memos_of_unseen_accounts_are_left_out(desk: Desk) -> None:
    memo = await desk.posted("5.00")
    desk.viewer = Viewer("usr_clerk", accounts=frozenset({f"acc_{0:032x}"}))

    async with desk.database.read() as connection:
        found = await available(Session(connection, desk.database.dialect), [memo], desk.viewer)

    assert found == {}


async def test_a_memo_that_is_held_can_do_nothing(desk: Desk) -> None:
    memo = await desk.posted("5.00")
    at = desk.gate.clock.now()
    async with desk.database.write() as connection:
        await connection.execute(
            t.credit_memo_jobs.insert(),
            {
                "id": f"cmj_{1:032x}",
                "operation_type": "ASYNC_CREDIT_MEMO_APPLY",
                "status": "PENDING",
                "reference_id": memo,
                "created_by_id": "usr_local",
                "created_date": at,
                "updated_date": at,
            },
        )

    (found,) = await states(desk, memo)

    assert {state.code for state in found.values()} == {ErrorCode.LOCK_CONTENTION}
    assert set((await refusals(desk, memo, await desk.invoice("9.00"))).values()) == {ErrorCode.LOCK_CONTENTION}


async def test_the_rule_for_over_credit_is_the_tenants(desk: Desk) -> None:
    invoice = await desk.invoice("10.00")
    memo = await desk.credit(invoice, "10.00")
    await desk.post(await desk.credit(invoice, "1.00"))

    for rule, code in (
        (AvailableToCreditRule.HEADER_ONLY, ErrorCode.OVER_CREDIT),
        (AvailableToCreditRule.NONE, None),
        (AvailableToCreditRule.HEADER_AND_ITEM, ErrorCode.OVER_CREDIT),
    ):
        await desk.set(available_to_credit_rule=rule)
        (found,) = await states(desk, memo)
        assert found[MemoAction.POST].code is code, rule


async def test_asking_about_many_takes_no_more_statements_than_about_one(desk: Desk) -> None:
    invoices = [await desk.invoice(["10.00", "1.00"]) for _ in range(12)]
    memos = [await desk.credit(invoice, "10.00") for invoice in invoices]

    async def statements(asked_about: list[str]) -> int:
        asked: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            asked.append(statement)

        event.listen(desk.database.readers.sync_engine, "before_cursor_execute", note)
        assert len(await states(desk, *asked_about)) == len(asked_about)
        event.remove(desk.database.readers.sync_engine, "before_cursor_execute", note)
        return len([statement for statement in asked if not statement.startswith("BEGIN")])

    assert await statements(memos) == await statements(memos[:1]) <= 17
