"""Movements of money that come at the same time: on PostgreSQL they share their statements, on SQLite their commit."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event, select, text

import servers
from auditing import audit
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import ApplyCreditMemo, InvoiceApplication, UnapplyCreditMemo
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import settlement
from cm_graphql.operations.gate import Answer, Gate, Outcome
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.unit import Unit
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from collecting import left_to_the_collector
from jobbing import money
from operating import TODAY, Desk, a_desk, applying

MANY = 16

TOO_MUCH = {
    ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,
    ErrorCode.AMOUNT_EXCEEDS_BALANCE,
    ErrorCode.AMOUNT_EXCEEDS_APPLIED,
}

Pair = tuple[str, str]


async def pairs(desk: Desk, number: int = MANY) -> list[Pair]:
    """Memos with the invoices that they were made of, which have items and taxes, and another invoice for each."""
    made: list[Pair] = []
    for place in range(number):
        invoice = await desk.invoice(["30.00", "3.00"], "20.00", *(["7.00"] if place % 3 == 0 else []))
        memo = await desk.post(await desk.credit(invoice, "30.00", "20.00"))
        made.append((memo, invoice))
    return made


async def all_at_once(desk: Desk, commands: list[Any], what: Any = settlement.apply) -> list[Answer]:
    """Ask for all of them at the same moment."""
    return list(await asyncio.gather(*(desk.ask(what, command) for command in commands)))


@asynccontextmanager
async def statements(desk: Desk) -> AsyncIterator[list[str]]:
    """What the database is told meanwhile."""
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        told.append(statement)

    engine = desk.database.writers.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        event.remove(engine, "before_cursor_execute", note)


def only_on_postgresql(desk: Desk) -> None:
    if desk.database.trips is None:
        pytest.skip("SQLite has one writer, whose statements nobody shares")


async def test_many_at_once_share_statements_and_each_moves_what_it_asked_for(desk: Desk) -> None:
    made = await pairs(desk)
    amounts = {memo: Decimal(f"{place + 1}.0{place % 10}") for place, (memo, _) in enumerate(made)}

    async with statements(desk) as told:
        answers = await all_at_once(desk, [applying(memo, invoice, str(amounts[memo])) for memo, invoice in made])

    assert [answer.outcome for answer in answers] == [
        {"credit_memo": memo, "applied_rule": "PRORATION"} for memo, _ in made
    ]
    for memo, invoice in made:
        now = await desk.memo(memo)
        assert (now.applied, now.version) == (money(str(amounts[memo])), 3)
        assert (await desk.row(t.invoices, id=invoice)).credit_amount == now.applied
        (entry,) = await desk.rows(t.credit_memo_applications, credit_memo_id=memo)
        assert (entry.amount, entry.invoice_id) == (now.applied, invoice)
        (applied,) = await desk.rows(t.credit_memo_events, credit_memo_id=memo, action="APPLIED")
        assert applied.amounts_after["applied_amount"] == now.applied
    await audit(desk.database)
    if desk.database.trips is not None:
        assert len(told) <= MANY, "two statements for each trip, and fewer trips than half of them"


async def test_what_was_moved_together_is_taken_off_together_and_nothing_of_it_is_left(desk: Desk) -> None:
    made = await pairs(desk, 8)
    await all_at_once(desk, [applying(memo, invoice, "50.00") for memo, invoice in made])
    wanted = [
        UnapplyCreditMemo(
            key=Key(memo), invoices=(InvoiceApplication(invoice_key=Key(invoice), amount=Decimal("50.00")),)
        )
        for memo, invoice in made
    ]

    answers = await all_at_once(desk, wanted, settlement.unapply)

    assert {answer.faults for answer in answers} == {()}
    for memo, invoice in made:
        assert (await desk.memo(memo)).applied == 0
        assert (await desk.row(t.invoices, id=invoice)).credit_amount == 0
    await audit(desk.database)


async def test_first_and_later_applications_to_invoices_and_debit_memos_go_together(desk: Desk) -> None:
    made = await pairs(desk, 6)
    for memo, invoice in made[:3]:
        await desk.apply_to(memo, invoice, "10.00")
    debits = [(await desk.posted("40.00"), await desk.debit_memo("40.00")) for _ in range(4)]

    answers = await all_at_once(desk, [applying(*pair, "12.34") for pair in (*made, *debits)])

    assert {answer.faults for answer in answers} == {()}
    assert [(await desk.memo(memo)).applied for memo, _ in made] == [money("22.34")] * 3 + [money("12.34")] * 3
    await audit(desk.database)


async def test_who_is_refused_keeps_nobody_back(desk: Desk) -> None:
    made = await pairs(desk, 8)
    asked = [applying(memo, invoice, "1000.00" if place == 5 else "1.00") for place, (memo, invoice) in enumerate(made)]

    answers = await all_at_once(desk, asked)

    assert [fault.code for fault in answers[5].faults] == [ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED]
    assert [answer.faults for place, answer in enumerate(answers) if place != 5] == [()] * 7
    assert [(await desk.memo(memo)).applied for memo, _ in made].count(money("1.00")) == 7
    await audit(desk.database)


async def test_those_who_want_the_same_document_come_one_after_the_other(desk: Desk) -> None:
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    others = [(await desk.posted("50.00"), invoice) for _ in range(5)]

    async with statements(desk) as told:
        answers = await all_at_once(desk, [applying(*pair, "1.00") for pair in [(memo, invoice)] * 5 + others])

    assert {answer.faults for answer in answers} == {()}
    assert (await desk.memo(memo)).applied == money("5.00")
    assert (await desk.row(t.invoices, id=invoice)).credit_amount == money("10.00")
    if desk.database.trips is not None:
        assert len(told) == 20, "nobody is in anybody's way, so that all take two statements"


async def test_of_more_than_there_is_only_as_much_is_moved_as_there_is(desk: Desk) -> None:
    memo = await desk.posted("10.00")
    invoices = [await desk.invoice("10.00") for _ in range(12)]

    answers = await all_at_once(desk, [applying(memo, invoice, "3.00") for invoice in invoices])

    refused = [answer.faults[0].code for answer in answers if answer.faults]
    assert refused == [ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED] * 9
    assert (await desk.memo(memo)).unapplied == money("1.00")
    await audit(desk.database)


async def test_each_request_with_a_key_is_done_once_and_repeated_once(desk: Desk) -> None:
    made = await pairs(desk, 8)
    asked = [applying(*pair, "1.00", idempotency_key=f"key {place}") for place, pair in enumerate(made)]

    first = await all_at_once(desk, asked)
    again = await all_at_once(desk, asked)

    assert [answer.replayed for answer in (*first, *again)] == [False] * 8 + [True] * 8
    assert [answer.outcome for answer in first] == [answer.outcome for answer in again]
    assert {(await desk.memo(memo)).applied for memo, _ in made} == {money("1.00")}


async def test_what_another_process_does_meanwhile_sends_all_on_their_own_ways(desk: Desk, database_url: str) -> None:
    only_on_postgresql(desk)
    made = await pairs(desk, 8)
    there = Gate(Database.open(database_url), SystemClock(TODAY))
    hurt = made[4][0]
    tries = 0

    async def thinking_slowly(unit: Unit, command: ApplyCreditMemo) -> Outcome:
        nonlocal tries
        if command.key == hurt:
            tries += 1
            if tries == 1:
                answer, _ = await there.act(settlement.apply, applying(*made[4], "52.50"), desk.viewer)
                assert answer.faults == ()
        return await settlement.apply.run(unit, command)

    what = replace(settlement.apply, run=thinking_slowly)
    answers = await all_at_once(desk, [applying(*pair, "1.00") for pair in made], what)
    await there.database.dispose()

    assert [fault.code for fault in answers[4].faults] == [ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED]
    assert [answer.faults for place, answer in enumerate(answers) if place != 4] == [()] * 7
    assert tries == 3, "with others, alone, and under locks"
    assert [(await desk.memo(memo)).applied for memo, _ in made].count(money("1.00")) == 7
    await audit(desk.database)


async def test_nobody_waits_for_a_lock_that_only_another_one_needs(desk: Desk) -> None:
    only_on_postgresql(desk)
    made = await pairs(desk, 8)
    async with desk.database.writers.connect() as holder:
        await holder.execute(select(t.credit_memos.c.id).where(t.credit_memos.c.id == made[6][0]).with_for_update())
        asked = [asyncio.create_task(desk.ask(settlement.apply, applying(*pair, "1.00"))) for pair in made]
        free = [task for place, task in enumerate(asked) if place != 6]
        answers = await asyncio.wait_for(asyncio.gather(*free), 3)
        assert not asked[6].done()
        await holder.rollback()

    assert {answer.faults for answer in answers} == {()}
    assert (await asked[6]).faults == ()
    assert {(await desk.memo(memo)).applied for memo, _ in made} == {money("1.00")}
    await audit(desk.database)


async def test_who_waits_for_a_lock_alone_keeps_nobody_else_waiting(desk: Desk) -> None:
    only_on_postgresql(desk)
    made = await pairs(desk, 6)
    async with desk.database.writers.connect() as holder:
        locked = t.credit_memos.c.id.in_([memo for memo, _ in made[:2]])
        await holder.execute(select(t.credit_memos.c.id).where(locked).with_for_update())
        stuck = [asyncio.create_task(desk.ask(settlement.apply, applying(*pair, "1.00"))) for pair in made[:2]]
        await asyncio.sleep(0.05)  # until each of them has set out, which is all that others wait for
        answers = await asyncio.wait_for(all_at_once(desk, [applying(*pair, "1.00") for pair in made[2:]]), 3)
        assert not any(task.done() for task in stuck)
        await holder.rollback()

    assert {answer.faults for answer in (*answers, *await asyncio.gather(*stuck))} == {()}


async def test_who_waits_for_locks_takes_no_connection_from_those_who_need_none(desk: Desk, database_url: str) -> None:
    only_on_postgresql(desk)
    made = await pairs(desk, 6)
    small = Desk(Gate(Database.open(database_url, pool_size=2), SystemClock(TODAY)))
    async with desk.database.writers.connect() as holder:
        locked = t.invoices.c.id.in_([invoice for _, invoice in made[:4]])
        await holder.execute(select(t.invoices.c.id).where(locked).with_for_update())
        stuck = [asyncio.create_task(small.ask(settlement.apply, applying(*pair, "1.00"))) for pair in made[:4]]
        await asyncio.sleep(0.05)  # until each of them has set out
        answers = await asyncio.wait_for(all_at_once(small, [applying(*pair, "1.00") for pair in made[4:]]), 3)
        assert not any(task.done() for task in stuck)
        await holder.rollback()

    assert {answer.faults for answer in (*answers, *await asyncio.gather(*stuck))} == {()}
    await small.database.dispose()
    await audit(desk.database)


async def test_who_wants_two_documents_that_others_want_too_gets_its_turn(desk: Desk) -> None:
    only_on_postgresql(desk)
    memo, invoice = await desk.posted("50.00"), await desk.invoice("50.00")
    busy = [(memo, await desk.invoice("50.00")) for _ in range(3)]
    busy += [(await desk.posted("50.00"), invoice) for _ in range(3)]
    times, over = 0, asyncio.Event()

    async def again_and_again(pair: Pair) -> None:
        nonlocal times
        while not over.is_set():
            await desk.apply_to(*pair, "0.01")
            times += 1

    others = [asyncio.create_task(again_and_again(pair)) for pair in busy]
    await asyncio.sleep(0.1)
    before = times
    await asyncio.wait_for(desk.apply_to(memo, invoice, "0.01"), 10)
    over.set()
    await asyncio.gather(*others)

    assert times - before <= 3 * len(busy), "those before it, and their next ones"
    await audit(desk.database)


async def test_who_gives_up_tries_nothing_else_where_the_writing_fails(desk: Desk, database_url: str) -> None:
    only_on_postgresql(desk)
    memo, invoice = (await pairs(desk, 1))[0]
    elsewhere = Desk(Gate(Database.open(database_url), SystemClock(TODAY)))
    tries, thought = 0, asyncio.Event()

    async def counted(unit: Unit, command: ApplyCreditMemo) -> Outcome:
        nonlocal tries
        tries += 1
        thought.set()
        return await settlement.apply.run(unit, command)

    async with desk.database.writers.connect() as holder:
        await holder.execute(select(t.credit_memos.c.id).where(t.credit_memos.c.id == memo).with_for_update())
        what = replace(settlement.apply, run=counted)
        task = asyncio.create_task(elsewhere.ask(what, applying(memo, invoice, "1.00")))
        await thought.wait()  # now it writes, and waits for the lock
        task.cancel()
        await asyncio.wait([task])
        await holder.rollback()
    await elsewhere.database.dispose()

    assert (task.cancelled(), tries) == (True, 1)
    assert (await desk.memo(memo)).applied == 0


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.006, 0.01, 0.02])
async def test_who_gives_up_stops_nobody_else(desk: Desk, after: float) -> None:
    made = await pairs(desk, 12)
    tasks = [asyncio.create_task(desk.ask(settlement.apply, applying(*pair, "1.00"))) for pair in made]
    given_up = tasks[1::3]

    await asyncio.sleep(after)
    for task in given_up:
        task.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

    assert {answer.faults for task, answer in zip(tasks, answers, strict=True) if task not in given_up} == {()}  # type: ignore[union-attr]
    for (memo, _), task in zip(made, tasks, strict=True):
        applied = (await desk.memo(memo)).applied
        told = await desk.rows(t.credit_memo_events, credit_memo_id=memo, action="APPLIED")
        assert (applied, len(told)) in [(money("1.00"), 1), (0, 0)]
        assert applied or task in given_up
    assert desk.database.trips is None or not desk.database.trips._changing
    again = await all_at_once(desk, [applying(*pair, "1.00") for pair in made])
    assert {answer.faults for answer in again} == {()}
    await audit(desk.database)


async def test_a_lost_connection_loses_no_cent_and_the_next_are_served(desk: Desk) -> None:
    only_on_postgresql(desk)
    made = await pairs(desk)
    await all_at_once(desk, [applying(*pair, "1.00") for pair in made])  # until there are connections
    tasks = [asyncio.create_task(desk.ask(settlement.apply, applying(*pair, "1.00"))) for pair in made]

    for _ in range(5):
        await asyncio.sleep(0.003)
        async with desk.database.write() as connection:
            mine = "application_name = 'cm-graphql-plans' AND datname = current_database()"
            await connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"))
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 15)

    for (memo, _), answer in zip(made, answers, strict=True):
        applied = (await desk.memo(memo)).applied
        told = await desk.rows(t.credit_memo_events, credit_memo_id=memo, action="APPLIED")
        assert len(told) == applied // money("1.00")
        if isinstance(answer, Answer):
            assert (answer.faults, applied) == ((), money("2.00"))
        else:
            assert applied in (money("1.00"), money("2.00")), "nobody knows, and the history tells"
    with suppress(Exception):
        await desk.ask(settlement.apply, applying(*made[0], "1.00"))  # finds the connection gone
    later = await all_at_once(desk, [applying(*pair, "1.00") for pair in made[1:]])
    assert {answer.faults for answer in later} == {()}
    await audit(desk.database)


@pytest.mark.parametrize("turn", range(3))
async def test_whatever_comes_at_the_same_time_the_books_are_right_and_every_answer_is_true(
    desk: Desk, turn: int
) -> None:
    dice = random.Random(turn)
    made = await pairs(desk, 10)
    moved = dict.fromkeys(made, 0)
    for _ in range(6):
        chosen = dice.choices(made, k=14)  # some of them several times
        ways: list[Any] = [dice.choice([settlement.apply, settlement.unapply]) for _ in chosen]
        amounts = [dice.randint(1, 2_500) for _ in chosen]
        answers = await asyncio.gather(
            *(
                desk.ask(way, _moving(way, pair, Decimal(amount) / 100))
                for way, pair, amount in zip(ways, chosen, amounts, strict=True)
            )
        )
        for way, pair, amount, answer in zip(ways, chosen, amounts, answers, strict=True):
            assert {fault.code for fault in answer.faults} <= TOO_MUCH
            if not answer.faults:
                moved[pair] += amount if way is settlement.apply else -amount

    for (memo, invoice), cents in moved.items():
        assert (await desk.memo(memo)).applied == money("0.01") * cents
        assert (await desk.row(t.invoices, id=invoice)).credit_amount == money("0.01") * cents
    await audit(desk.database)


def _moving(way: Any, pair: Pair, amount: Decimal) -> ApplyCreditMemo | UnapplyCreditMemo:
    memo, invoice = pair
    kind = ApplyCreditMemo if way is settlement.apply else UnapplyCreditMemo
    return kind(key=Key(memo), invoices=(InvoiceApplication(invoice_key=Key(invoice), amount=amount),))


SELECTIONS = (
    "id unappliedAmount",
    "id unappliedAmount version number",
    "id unappliedAmount parts { nodes { amount } }",
)


async def test_every_client_is_told_of_its_own_memo(database_url: str, tmp_path: Path) -> None:
    async with a_desk(database_url) as desk:
        made = await pairs(desk, 12)
    with servers.running(database_url, tmp_path) as address:
        async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as http:
            told = await asyncio.gather(*(_applied_over_http(http, place, *pair) for place, pair in enumerate(made)))

    assert told == [(memo, [f"{53 - cents / 100:.2f}" for cents in range(1, 13)]) for memo, _ in made]


async def _applied_over_http(http: httpx.AsyncClient, place: int, memo: str, invoice: str) -> tuple[str, list[str]]:
    """Apply a cent twelve times, and answer the memo and what was left of it each time, as was told."""
    selection = SELECTIONS[place % len(SELECTIONS)]
    query = f"""mutation ($key: ID!, $invoice: ID!) {{
        applyCreditMemo(input: {{ key: $key, invoices: [{{ invoiceKey: $invoice, amount: "0.01" }}] }}) {{
            creditMemo {{ {selection} }} userErrors {{ code }} }} }}"""
    left: list[str] = []
    ids: set[str] = set()
    for _ in range(12):
        body = {"query": query, "variables": {"key": memo, "invoice": invoice}}
        payload = (await http.post("/graphql", json=body)).json()["data"]["applyCreditMemo"]
        assert payload["userErrors"] == []
        ids.add(payload["creditMemo"]["id"])
        left.append(payload["creditMemo"]["unappliedAmount"])
    (told_of,) = ids
    return told_of, left


async def test_whoever_has_been_served_is_forgotten_at_once(desk: Desk) -> None:
    made = await pairs(desk, 8)
    asked = [applying(*pair, "1.00") for pair in made]
    await all_at_once(desk, asked)

    with left_to_the_collector("cm_graphql", "asyncpg") as left:
        await all_at_once(desk, asked)

    assert left == []
