"""The one place that every action passes: what it does when others are in the way, or were there first."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import CreateCreditMemos, CreditMemoFromCharges, NewCreditMemo
from cm_graphql.domain.commands.lifecycle import CancelCreditMemo, PostCreditMemo, UnpostCreditMemo
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import creation, lifecycle
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.viewer import LOCAL, Forbidden, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from operating import TODAY, Desk

CONTENTION = [ErrorCode.LOCK_CONTENTION]


async def hold(database: Database, memo: str, taken: asyncio.Event, release: asyncio.Event) -> None:
    """Keep a memo locked, and with it, on SQLite, everything."""
    async with database.write() as connection:
        await connection.execute(select(t.credit_memos).where(t.credit_memos.c.id == memo).with_for_update())
        taken.set()
        await release.wait()


@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_cannot_be_locked_in_time_is_left_alone(desk: Desk, database_url: str, dry_run: bool) -> None:
    memo = await desk.draft("1.00")
    hurried = Database.open(database_url, lock_timeout=0.2)
    gate = Gate(hurried, SystemClock(TODAY))
    taken, release = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(hold(desk.database, memo, taken, release))
    await taken.wait()

    answer, rehearsal = await gate.act(lifecycle.post, PostCreditMemo(key=Key(memo), dry_run=dry_run), LOCAL)
    many = CreateCreditMemos(
        memos=(NewCreditMemo(from_charges=CreditMemoFromCharges(account_key=Key(desk.account))),) * 2, dry_run=dry_run
    )
    answers = await gate.act_each(creation.create_each, many, LOCAL) if desk.database.dialect == "sqlite" else None

    release.set()
    await holding
    assert [fault.code for fault in answer.faults] == CONTENTION
    assert answer.faults[0].message in (
        "Nothing was changed, another process has been writing for too long: try again.",
        "Nothing was changed, others have had what it needs locked for too long: try again.",
    )
    if rehearsal is not None:
        await rehearsal.undo()
    if answers is not None:
        assert [[fault.code for fault in answer.faults] for answer in answers[0]] == [CONTENTION, CONTENTION]
    await hurried.dispose()
    await desk.post(memo)


async def test_a_repeat_gets_the_first_outcome_whatever_happened_since(desk: Desk) -> None:
    memo = await desk.draft("1.00")
    command = PostCreditMemo(key=Key(memo), idempotency_key="once")
    first = await desk.ask(lifecycle.post, command)
    await desk.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))
    before = await desk.dump()

    again = await desk.ask(lifecycle.post, command)

    assert (again.outcome, again.replayed) == (first.outcome, True)
    assert await desk.dump() == before


async def test_repeats_that_come_together_are_all_told_the_outcome(desk: Desk) -> None:
    memo = await desk.draft("1.00")
    command = PostCreditMemo(key=Key(memo), idempotency_key="once")
    first = await desk.ask(lifecycle.post, command)
    elsewhere = Gate(desk.database, SystemClock(TODAY))  # as in another process

    answers = await asyncio.gather(
        *(gate.act(lifecycle.post, command, LOCAL) for gate in (desk.gate, elsewhere) for _ in range(8))
    )

    assert [answer.outcome for answer, _ in answers] == [first.outcome] * 16


async def test_refusals_are_repeated_too_except_those_that_deserve_a_retry(desk: Desk) -> None:
    memo = await desk.draft("1.00")
    stale = CancelCreditMemo(key=Key(memo), if_version=7, idempotency_key="stale")
    wrong = UnpostCreditMemo(key=Key(memo), idempotency_key="wrong")

    for command, what in ((stale, lifecycle.cancel), (wrong, lifecycle.unpost)):
        action: Any = what
        await desk.ask(action, command)

    kept = [row.key for row in await desk.rows(t.idempotency_keys)]
    assert kept == ["wrong"]
    await desk.post(memo)
    answer = await desk.ask(lifecycle.unpost, wrong)
    assert ([fault.code for fault in answer.faults], answer.replayed) == ([ErrorCode.INVALID_STATUS], True)


async def test_a_key_belongs_to_its_caller_and_its_action(desk: Desk) -> None:
    first, second = await desk.draft("1.00"), await desk.draft("1.00")
    await desk.do(lifecycle.post, PostCreditMemo(key=Key(first), idempotency_key="k"))

    other = await desk.ask(lifecycle.post, PostCreditMemo(key=Key(second), idempotency_key="k"))
    await desk.do(lifecycle.cancel, CancelCreditMemo(key=Key(second), idempotency_key="k"))
    desk.viewer = Viewer("usr_clerk")
    third = await desk.draft("1.00")
    await desk.do(lifecycle.post, PostCreditMemo(key=Key(third), idempotency_key="k"))

    assert [fault.code for fault in other.faults] == [ErrorCode.IDEMPOTENCY_MISMATCH]


async def test_a_number_that_somebody_took_in_the_last_moment_is_taken(desk: Desk) -> None:
    """What the check before the insertion cannot see is told by the database."""
    memo = await desk.draft("1.00")
    other = await desk.draft("1.00")
    number = (await desk.memo(other)).number
    async with desk.database.write() as connection:
        if desk.database.dialect == "sqlite":
            await connection.execute(
                text(
                    "CREATE TRIGGER late BEFORE UPDATE ON credit_memos BEGIN "
                    f"UPDATE sequences SET prefix = '{number}x'; "
                    "SELECT RAISE(ABORT, 'UNIQUE constraint failed: credit_memos.number'); END"
                )
            )
        else:
            await connection.execute(
                text(
                    "CREATE FUNCTION late() RETURNS trigger AS $$ BEGIN RAISE unique_violation "
                    "USING MESSAGE = 'uq_credit_memos_number'; END $$ LANGUAGE plpgsql"
                )
            )
            await connection.execute(
                text("CREATE TRIGGER late BEFORE UPDATE ON credit_memos FOR EACH ROW EXECUTE FUNCTION late()")
            )

    for dry_run in (False, True):
        answer = await desk.ask(lifecycle.post, PostCreditMemo(key=Key(memo), dry_run=dry_run))
        assert [fault.code for fault in answer.faults] == [ErrorCode.NUMBER_TAKEN]


async def test_the_log_tells_who_did_what_and_how_it_ended_but_not_what_was_in_it(desk: Desk) -> None:
    memo = await desk.draft("48151.62")
    desk.viewer = Viewer("usr_clerk", frozenset({"credit_memos:post", "credit_memos:create"}))
    post = PostCreditMemo(key=Key(memo), idempotency_key="once")
    nobodys = tuple(from_charges("A-NOBODY") for _ in range(3))
    before = desk.gate.outcomes.copy()

    with capture_logs() as logged:
        await desk.ask(lifecycle.post, post)
        await desk.ask(lifecycle.post, post)
        await desk.ask(lifecycle.post, PostCreditMemo(key=Key(memo)))
        await desk.ask(lifecycle.post, PostCreditMemo(key=Key(memo), dry_run=True))
        with pytest.raises(Forbidden):
            await desk.ask(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))
        await desk.each(creation.create_each, CreateCreditMemos(memos=nobodys))

    told = [(entry["action"], entry["viewer"], entry["outcomes"]) for entry in logged if entry["event"] == "action"]
    assert told == [
        ("lifecycle.post", "usr_clerk", {"DONE": 1}),
        ("lifecycle.post", "usr_clerk", {"REPLAYED": 1}),
        ("lifecycle.post", "usr_clerk", {"INVALID_STATUS": 1}),
        ("lifecycle.unpost", "usr_clerk", {"PERMISSION_DENIED": 1}),
        ("creation.create_each", "usr_clerk", {"ACCOUNT_NOT_FOUND": 3}),
    ]
    assert memo not in str(logged)
    assert "48151" not in str(logged)
    assert desk.gate.outcomes - before == {
        (action, outcome): times for action, _, outcomes in told for outcome, times in outcomes.items()
    }


def from_charges(account: str) -> NewCreditMemo:
    return NewCreditMemo(from_charges=CreditMemoFromCharges(account_key=Key(account)))
