"""One caller at a time: how much each may ask for, who waits for whom, and what ends at its deadline."""

import asyncio
import math
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import limits
import pytest
import strawberry
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import func, select, text
from starlette.requests import HTTPConnection

from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.traffic import (
    Allowance,
    NoStorage,
    TooMuch,
    Traffic,
    TrafficRules,
    Window,
    address_of,
    refuse_unless_rate,
)
from cm_graphql.app import StartupError, open_traffic
from cm_graphql.settings import Settings
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database, announce
from cm_graphql.store.direct import LARGER_AT_ONCE, LARGER_ROWS, Extent, ReadingFailed, open_direct
from databases import Databases
from in_process import served
from postgres import free_port


def connection(address: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [], "client": (address, 5)})


async def counted(traffic: Traffic, caller: str, times: int) -> int:
    """How many of so many requests were let through."""
    passed = 0
    for _ in range(times):
        with suppress(TooMuch):
            await traffic.count(caller)
            passed += 1
    return passed


# --- rate -------------------------------------------------------------------------------------------------------------


async def test_a_caller_has_a_share_of_their_own_and_hears_when_the_next_begins() -> None:
    traffic = Traffic(TrafficRules(rate="3/minute"))

    assert await counted(traffic, "usr_greedy", 10) == 3
    assert await counted(traffic, "usr_modest", 3) == 3
    with pytest.raises(TooMuch) as refused:
        await traffic.count("usr_greedy")
    assert refused.value.extensions == {"limit": "rate_limit", "maximum": 3, "retryAfter": 60}
    assert "3 per minute" in refused.value.message


async def test_the_window_moves() -> None:
    traffic = Traffic(TrafficRules(rate="2/second"))
    assert await counted(traffic, "usr", 3) == 2

    await asyncio.sleep(1.1)

    assert await counted(traffic, "usr", 3) == 2


@given(
    amount=st.integers(1, 5),
    pauses=st.lists(
        st.one_of(st.floats(0, 3), st.floats(50, 61), st.sampled_from([0.0, 0.99, 1.0, 59.0, 59.01, 60.0]))
    ),
    begin=st.floats(0, 1_000),
)
@example(amount=1, pauses=[0.99, 59.01], begin=0.0)  # the end of a clock's second, and the begin of one
@example(amount=1, pauses=[1.9271726346367504, 60.0], begin=0.0)  # which are summed up to a little less
def test_no_minute_has_more_than_may_come_in_one_whenever_it_begins(
    amount: int, pauses: list[float], begin: float
) -> None:
    now = begin
    window = Window(amount, 60, lambda: now)
    let_through: list[float] = []
    for pause in pauses:
        now += pause
        recent = [moment for moment in let_through if moment + 60 > now]
        is_let_through = window.hit("usr")

        if is_let_through:
            assert len(recent) < amount
            let_through.append(now)
        else:
            assert len([moment for moment in let_through if moment > now - 61.001]) >= amount
            assert 0 < window.wait("usr") < 60.001


def test_who_comes_back_when_told_to_is_let_through() -> None:
    now = 0.0
    window = Window(3, 60, lambda: now)
    for moment in (0.5, 1.4, 59.9):
        now = moment
        assert window.hit("usr")
    assert not window.hit("usr")

    now += math.ceil(window.wait("usr"))

    assert window.hit("usr")


async def test_callers_who_went_silent_are_forgotten_as_others_come() -> None:
    window = Window(amount=5, seconds=0.1)
    for number in range(100):
        assert window.hit(f"usr_{number}")

    await asyncio.sleep(0.2)
    for number in range(100, 160):
        assert window.hit(f"usr_{number}")

    assert len(window) <= 60


async def test_an_address_that_guesses_tokens_is_not_listened_to_for_a_while() -> None:
    traffic = Traffic(TrafficRules(failures="2/minute"))
    for _ in range(2):
        await traffic.check_failures("10.0.0.1")
        await traffic.count_failure("10.0.0.1")

    with pytest.raises(TooMuch):
        await traffic.check_failures("10.0.0.1")
    await traffic.check_failures("10.0.0.2")


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", "elsewhere"),
    ],
)
def test_an_address_counts_as_the_network_that_one_caller_has(address: str, counts_as: str) -> None:
    assert address_of(connection(address)) == counts_as


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own."""
    program = shutil.which("redis-server")
    if program is None:
        reason = "redis-server is not on the path"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path_factory.mktemp("redis"))]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


async def test_processes_that_share_a_redis_count_together(redis: str) -> None:
    one, other = (Traffic(TrafficRules(rate="4/minute", storage_url=redis)) for _ in range(2))
    caller = f"usr_{time.time_ns()}"
    await asyncio.sleep(0.5)  # it may still be starting

    assert await counted(one, caller, 3) + await counted(other, caller, 3) == 4


async def test_without_its_redis_a_process_counts_for_itself() -> None:
    traffic = Traffic(TrafficRules(rate="3/minute", storage_url=f"redis://:canary@127.0.0.1:{free_port()}/0"))

    assert await counted(traffic, "usr", 5) == 3


RATES = ("600/minute", "20/second", "5 per 10 seconds", "1 / hour", " 7 per 2 day ", "9/MONTHS", "3/year", "4per2hours")


@pytest.mark.parametrize("text", RATES)
def test_a_rate_means_the_same_here_and_in_redis(text: str) -> None:
    allowed, shared = Allowance.read(text), limits.parse(text)

    assert (allowed.amount, allowed.seconds) == (shared.amount, shared.get_expiry())


@pytest.mark.parametrize(
    "text", ["", "0/minute", "5/0 minute", "-5/minute", "5", "5/fortnight", "5/minute; 9/hour", "x"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="600/minute"):
        refuse_unless_rate(text)


def test_a_redis_that_is_none_stops_the_start_without_telling_its_password() -> None:
    with pytest.raises(NoStorage):
        Traffic(TrafficRules(rate="3/minute", storage_url="rediss//canary"))
    with pytest.raises(StartupError, match="CM_GRAPHQL_RATE_LIMIT_URL") as refused:
        open_traffic(Settings(rate_limit="3/minute", rate_limit_url=SecretStr("mongo://:canary@host")))
    assert "canary" not in str(refused.value)


def test_callers_who_say_who_they_are_have_a_rate_and_others_only_where_it_is_set() -> None:
    assert open_traffic(Settings()).rules.rate is None
    assert open_traffic(Settings(auth="keys")).rules.rate == "60000/minute"
    assert open_traffic(Settings(rate_limit="5/second")).rules.rate == "5/second"


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_requests_of_one_caller_run_a_few_at_a_time_in_their_order_and_nobody_else_waits() -> None:
    traffic = Traffic(TrafficRules(running=2))
    running: dict[str, int] = {"greedy": 0, "modest": 0}
    most: dict[str, int] = dict(running)
    order: list[int] = []
    ended: list[str] = []

    async def request(caller: str, number: int) -> None:
        async with traffic.turn(caller):
            running[caller] += 1
            most[caller] = max(most[caller], running[caller])
            if caller == "greedy":
                order.append(number)
            await asyncio.sleep(0.01)
            running[caller] -= 1
        ended.append(caller)

    await asyncio.gather(*(request("greedy", i) for i in range(20)), request("modest", 0))

    assert most == {"greedy": 2, "modest": 1}
    assert order == list(range(20))
    assert ended.index("modest") <= 2
    assert not traffic._turns


async def test_who_waits_too_many_is_refused_and_who_gives_up_takes_no_turn() -> None:
    traffic = Traffic(TrafficRules(running=1, waiting=2))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(traffic.turn("usr"))

        async def wait() -> None:
            async with traffic.turn("usr"):
                pass

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        with pytest.raises(TooMuch) as refused:
            async with traffic.turn("usr"):
                pass
        assert refused.value.extensions["limit"] == "max_waiting"
        first.cancel()
        await asyncio.sleep(0)
    await second

    assert first.cancelled()
    assert not traffic._turns


async def test_sockets_and_subscriptions_are_counted_while_they_are_open() -> None:
    traffic = Traffic(TrafficRules(sockets=2, streams=1))
    with ExitStack() as held:
        held.enter_context(traffic.socket("usr"))
        held.enter_context(traffic.socket("usr"))
        held.enter_context(traffic.stream("usr"))
        for hold in (traffic.socket, traffic.stream):
            with pytest.raises(TooMuch), hold("usr"):
                pass
        with traffic.socket("other"):
            pass

    with traffic.socket("usr"):
        pass
    assert not traffic._held


# --- over HTTP, and the deadline --------------------------------------------------------------------------------------


@strawberry.type
class Query:
    @strawberry.field
    async def slow(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def slow(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"


class Context:
    def __init__(self, caller_id: str) -> None:
        self.caller_id = caller_id
        self.response_extensions: dict[str, Any] = {}
        self.has_acted = False

    async def planned(self, *_query: object) -> None:
        """Nothing is."""

    async def carried_out(self, *_mutation: object) -> None:
        """Nothing is."""

    def explain(self, *_query: object) -> None:
        """There is nothing to tell."""

    def before_root_field(self, *_field: object) -> None:
        """Nothing is planned."""

    async def after_root_field(self) -> None:
        """Nothing is open."""


async def speaking(rules: TrafficRules) -> AsyncIterator[httpx.AsyncClient]:
    async def make_context(request: HTTPConnection, _request_id: str) -> Context:
        return Context(request.headers.get("x-caller", "usr"))

    endpoint = GraphQLOverHTTP(strawberry.Schema(Query, Mutation)._schema, make_context, traffic=Traffic(rules))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://test") as client:
        yield client


async def test_over_http_too_many_requests_are_429_with_the_time_to_come_back() -> None:
    async for client in speaking(TrafficRules(rate="1/minute")):
        await client.post("/", json={"query": "{ __typename }"})
        answer = await client.post("/", json={"query": "{ __typename }"})
        other = await client.post("/", json={"query": "{ __typename }"}, headers={"x-caller": "usr_other"})

        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "60"
        assert answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
        assert other.status_code == 200


@pytest.mark.parametrize(("kind", "hint"), [("query", "smaller pages"), ("mutation", "idempotencyKey")])
async def test_a_request_ends_at_its_deadline_and_hears_what_that_means(kind: str, hint: str) -> None:
    async for client in speaking(TrafficRules(seconds=0.1)):
        started = time.perf_counter()
        answer = await client.post("/", json={"query": f"{kind} {{ slow(seconds: 60) }}"})

        assert time.perf_counter() - started < 10
        assert answer.status_code == 503
        (error,) = answer.json()["errors"]
        assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "request_timeout", "maximum": 0.1}
        assert hint in error["message"]


async def test_a_body_that_never_ends_is_waited_for_no_longer_than_that() -> None:
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    async for client in speaking(TrafficRules(seconds=0.1)):
        answer = await client.post("/", content=dripping(), headers={"content-type": "application/json"})

        assert answer.status_code == 408


COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT max(i) FROM n"


@pytest.mark.parametrize("how", ["read", "write"])
async def test_the_database_stops_working_for_whom_nobody_waits(database_url: str, how: str) -> None:
    database = Database.open(database_url, pool_size=1)
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), getattr(database, how)() as connection:
            await connection.execute(text(COUNTING))

    # The very connection, or the writers' turn, is free again.
    async with getattr(database, how)() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    assert time.perf_counter() - started < 10
    await database.dispose()


def counting() -> Generator[tuple[str, Sequence[Any]], list[Any], int]:
    rows = yield COUNTING, ()
    return int(rows[0][0])


def looking() -> Generator[tuple[str, Sequence[Any]], list[Any], int]:
    rows = yield "SELECT 1", ()
    return int(rows[0][0])


async def test_a_plan_stops_reading_for_whom_nobody_waits(database_url: str) -> None:
    database = Database.open(database_url)
    direct = open_direct(database, 1)
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await direct.run(counting(), short=False)

    assert await direct.run(looking(), short=False) == 1
    assert time.perf_counter() - started < 10
    await direct.close()
    await database.dispose()


async def test_larger_readings_of_postgresql_take_turns_and_small_ones_pass_them(databases: Databases) -> None:
    underway: list[int] = []
    small_wait_for: list[int] = []
    ended = 0

    def reading(rows: int, noted: list[int]) -> Generator[tuple[str, Sequence[Any]], list[Any], None]:
        nonlocal ended
        noted.append(len(underway) - ended)
        yield f"SELECT generate_series(1, {rows}), pg_sleep(0.0001)", ()
        if noted is underway:
            ended += 1

    with databases.fresh("postgresql") as url:
        database = Database.open(url)
        direct = open_direct(database)
        lists, memo = Extent(), Extent()
        await direct.run(reading(LARGER_ROWS + 1, []), short=True, extent=lists)
        await direct.run(reading(1, []), short=True, extent=memo)
        larger = [direct.run(reading(LARGER_ROWS + 1, underway), short=True, extent=lists) for _ in range(16)]
        small = [direct.run(reading(1, small_wait_for), short=True, extent=memo) for _ in range(6)]

        await asyncio.gather(*larger, *small)

        assert max(underway) == LARGER_AT_ONCE - 1, "others were at work when the last of them began"
        assert min(small_wait_for) > 0
        assert max(small_wait_for) <= LARGER_AT_ONCE
        assert ended == 16
        await direct.close()
        await database.dispose()


async def test_what_was_thought_short_and_is_not_keeps_nobody_else_waiting(
    databases: Databases, tmp_path: Path
) -> None:
    with databases.fresh("sqlite") as url:
        database = Database.open(url)
        direct = open_direct(database)
        started = time.perf_counter()
        with pytest.raises(ReadingFailed):
            await direct.run(counting(), short=True)

        assert await direct.run(looking(), short=True) == 1
        assert time.perf_counter() - started < 10
        await direct.close()
        await database.dispose()


async def test_what_is_being_committed_when_its_time_is_up_is_committed_as_a_whole_and_told(
    database_url: str, tmp_path: Path
) -> None:
    database = Database.open(database_url)
    told: list[str] = []
    database.listeners.append(told.extend)

    async def write(number: int) -> None:
        async with database.write() as connection:
            for half in ("a", "b"):
                key = f"CANCEL-{number}-{half}"
                await connection.execute(text("INSERT INTO currencies (code) VALUES (:key)"), {"key": key})
            announce(connection, str(number))

    for number in range(12):
        task = asyncio.create_task(write(number))
        await asyncio.sleep(number * 0.0007)
        task.cancel()
        await asyncio.wait([task])

    async with database.read() as connection:
        rows = await connection.execute(text("SELECT code FROM currencies WHERE code LIKE 'CANCEL-%'"))
        found = sorted(code.split("-")[1] for (code,) in rows)
    assert all(found.count(number) == 2 for number in found)
    assert sorted(set(found)) == sorted(told)
    await database.dispose()


# --- a bulk action cut off --------------------------------------------------------------------------------------------

MEMOS = 50
BULK = """mutation($input: CreateCreditMemosInput!) {
  createCreditMemos(input: $input) { results { creditMemo { id comment } userErrors { code } } userErrors { code } }
}"""
INTAKE = """mutation {
  syncAccounts(input: {accounts: [{number: "A-1", name: "Acme", currency: "USD"}]}) { results { userErrors { code } } }
  syncProductRatePlanCharges(input: {productRatePlanCharges: [{id: "chg_11111111111111111111111111111111",
    name: "Seats", chargeModel: FLAT_FEE, chargeType: ONE_TIME, prices: [{currency: "USD", price: 1}]}]}) {
    results { userErrors { code } } }
}"""


def a_bulk(key: str, lines: int) -> dict[str, Any]:
    """A request for MEMOS memos of so many lines, each with its place for a comment."""
    line = {"productRatePlanChargeId": "chg_11111111111111111111111111111111", "amount": "1"}
    memos = [
        {"fromCharges": {"accountKey": "A-1", "comment": f"{key} {place}", "charges": [line] * lines}}
        for place in range(MEMOS)
    ]
    return {"query": BULK, "variables": {"input": {"memos": memos, "idempotencyKey": key}}}


async def made(database_url: str, key: str) -> dict[str, tuple[str, int]]:
    """The memos of a bulk that exist, by their comments: each once, with its id and the number of its lines."""
    database = Database.open(database_url)
    memos, items = t.credit_memos, t.credit_memo_items
    statement = (
        select(memos.c.comment, memos.c.id, func.count(items.c.id))
        .join_from(memos, items, items.c.credit_memo_id == memos.c.id, isouter=True)
        .where(memos.c.comment.like(f"{key} %"))
        .group_by(memos.c.comment, memos.c.id)
    )
    async with database.read() as connection:
        found = list(await connection.execute(statement))
    await database.dispose()
    assert len({comment for comment, _, _ in found}) == len(found), "a memo was made twice"
    return {comment: (memo, lines) for comment, memo, lines in found}


async def test_a_bulk_that_was_cut_off_and_is_repeated_does_each_element_once(
    database_url: str, tmp_path: Path
) -> None:
    async with served(database_url, tmp_path) as client:
        await client.post("/graphql", json={"query": INTAKE})
    seconds, lines, key = 0.2, 10, ""
    first: dict[str, tuple[str, int]] = {}
    for attempt in range(10):  # until the time is too short for all of them, and long enough for one
        key = f"bulk {attempt}"
        async with served(database_url, tmp_path, request_timeout=seconds) as client:
            cut_off = await client.post("/graphql", json=a_bulk(key, lines))
            first = await made(database_url, key)
            if cut_off.status_code == 503 and 0 < len(first) < MEMOS:
                assert "idempotencyKey" in cut_off.json()["errors"][0]["message"]
                await client.post("/graphql", json=a_bulk(key, lines))  # which may be cut off again, a little later
                break
            seconds, lines = (seconds * 2, lines) if cut_off.status_code == 503 else (seconds, lines * 2)
    assert 0 < len(first) < MEMOS
    assert {count for _, count in first.values()} == {lines}, "each was done as a whole"
    second = await made(database_url, key)
    assert first.items() <= second.items(), "what was done before stays"

    async with served(database_url, tmp_path) as client:
        answer = await client.post("/graphql", json=a_bulk(key, lines))

    results = answer.json()["data"]["createCreditMemos"]["results"]
    assert [result["userErrors"] for result in results] == [[]] * MEMOS
    last = await made(database_url, key)
    assert {result["creditMemo"]["comment"]: result["creditMemo"]["id"] for result in results} == {
        comment: memo for comment, (memo, _) in last.items()
    }
    assert {count for _, count in last.values()} == {lines}
    assert second.items() <= last.items()
    assert answer.json()["extensions"]["idempotentReplay"] is True
