"""Those who ask for single things at the same time are read for in one go, and answered as if each were alone."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from graphql import parse, validate
from sqlalchemy import text

from cm_graphql import seeding
from cm_graphql.api.schema import schema
from cm_graphql.store.database import Database
from cm_graphql.store.direct import Work
from in_process import a_key
from inventing import Inventor
from over_socket import Server, served
from reading import asked_of, unsigned

ANYBODY: dict[str, str] = {}
READING = ("credit_memos:read", "documents:read")
MEMO = "query ($key: ID!) { __typename memo: creditMemo(key: $key) { id number amount } }"
WHOLE = """query ($key: ID!) { creditMemo(key: $key) {
  number account { name } items { nodes { amount taxationItems { nodes { name } } } } parts { nodes { amount } } } }"""
NODE = "query ($key: ID!) { node(id: $key) { __typename ... on CreditMemo { number } ... on Account { name } } }"
TWICE = """query ($key: ID!) {
  account(key: $key) { number creditMemos(filter: { accountId: { eq: $key } }) { totalCount nodes { number } } } }"""


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    """A database with forty memos."""

    async def seed() -> None:
        database = Database.open(module_database_url)
        await seeding.seed(database, memos=40, seed=7, progress=lambda *_: None)
        await database.dispose()

    asyncio.run(seed())
    return module_database_url


async def memos_of(url: str) -> list[tuple[str, str, str]]:
    """Of each memo its id, its number and its account."""
    database = Database.open(url)
    async with database.read() as connection:
        rows = (await connection.execute(text("SELECT id, number, account_id FROM credit_memos ORDER BY id"))).all()
    await database.dispose()
    return [tuple(row) for row in rows]


Asked = Sequence[tuple[str, dict[str, str]]]
"""The keys that are asked for, each with the headers of who asks."""


async def one_by_one(server: Server, query: str, asked: Asked) -> list[Any]:
    """What each is answered who asks alone, the long way."""
    return [answered(await ask(server.direct, query, *one)) for one in asked]


async def at_once(server: Server, query: str, asked: Asked) -> list[Any]:
    """What each is answered where all ask at the same time."""
    return [answered(one) for one in await asyncio.gather(*(ask(server.over_socket, query, *one) for one in asked))]


async def ask(client: httpx.AsyncClient, query: str, key: str, headers: dict[str, str]) -> httpx.Response:
    return await client.post("/graphql", json={"query": query, "variables": {"key": key}}, headers=headers)


def answered(response: httpx.Response) -> Any:
    """An answer without what is never the same."""
    return response.status_code, unsigned(response.content)


@pytest.mark.parametrize("query", [MEMO, WHOLE, NODE], ids=["one level", "several levels", "any kind"])
async def test_things_asked_for_at_the_same_time_are_read_in_few_statements(
    url: str, tmp_path: Path, query: str
) -> None:
    memos = [(memo, ANYBODY) for memo, _, _ in await memos_of(url)]
    async with served(url, tmp_path) as server:
        direct = server.shortcut._engine._direct
        await one_by_one(server, query, memos[:1])
        with asked_of(direct) as needed:
            alone = await one_by_one(server, query, memos)
        with asked_of(direct) as asked:
            together = await at_once(server, query, memos)

    assert together == alone
    if direct.name == "sqlite":
        assert len(asked) == len(needed), "each is read for as it comes"
    else:
        assert len(asked) <= len(needed) / 3


async def test_whatever_single_things_are_asked_for_at_the_same_time_are_answered_as_if_alone(
    url: str, tmp_path: Path
) -> None:
    found = await memos_of(url)
    wrong = ["CM-none", f"cm_{'0' * 32}", found[0][2], "nothing_0", "", found[0][0].removeprefix("cm_")]
    needed, asked = 0, 0
    database = Database.open(url)
    async with served(url, tmp_path) as server:
        direct = server.shortcut._engine._direct
        for seed in range(12):
            dice = Random(seed)
            name, argument = dice.choice([("creditMemo", "key"), ("node", "id"), ("account", "key")])
            query = Inventor(schema._schema, dice, [found[0][2]], []).single(name, argument)
            if validate(schema._schema, parse(query)):
                continue
            some = dice.choices(found, k=8)
            keys = [one[2 if name == "account" else 0] for one in some] + dice.sample(wrong, k=2) + [some[0][1]]
            wanted = [(key, ANYBODY) for key in keys]

            with asked_of(direct) as statements:
                alone = await one_by_one(server, query, wanted)  # from then on its plan stands ready
            needed += len(statements)
            with asked_of(direct) as statements:
                # Nobody is answered before all have come, however slow they are.
                async with database.write() as connection:
                    if direct.name != "sqlite":
                        await connection.execute(text("LOCK TABLE credit_memos, accounts IN ACCESS EXCLUSIVE MODE"))
                    answers = asyncio.create_task(at_once(server, query, wanted))
                    await asyncio.sleep(0.2)
                assert await answers == alone, query
            asked += len(statements)
    await database.dispose()

    if direct.name != "sqlite":
        assert asked < needed, "some were read together"


async def test_nobody_is_read_for_with_others_who_may_see_something_else(url: str, tmp_path: Path) -> None:
    found = await memos_of(url)
    accounts = sorted({account for _, _, account in found})
    callers = [
        (await a_key(url, *READING))[1],
        *[(await a_key(url, *READING, accounts=[account]))[1] for account in accounts[:3]],
        (await a_key(url, *READING, accounts=accounts[:2]))[1],
        (await a_key(url, "credit_memos:read"))[1],
    ]
    asked = [(memo, caller) for memo, _, _ in found[:12] for caller in callers]
    async with served(url, tmp_path, auth="keys") as server:
        for query in (MEMO, WHOLE):
            alone = await one_by_one(server, query, asked)

            assert await at_once(server, query, asked) == alone


async def test_where_something_else_depends_on_the_key_each_is_read_for_alone(url: str, tmp_path: Path) -> None:
    asked = [(account, ANYBODY) for _, _, account in await memos_of(url)]
    async with served(url, tmp_path) as server:
        alone = await one_by_one(server, TWICE, asked)

        assert await at_once(server, TWICE, asked) == alone
        assert all(b'"number":"CM' in content for _, content in alone)


async def test_who_asks_after_a_change_sees_it_whoever_is_being_read_for(url: str, tmp_path: Path) -> None:
    (memo, _, _), *_ = await memos_of(url)
    change = "mutation ($key: ID!, $comment: String) {\n"
    change += "  updateCreditMemo(input: { key: $key, comment: $comment }) { creditMemo { id } } }"
    query = "query ($key: ID!) { creditMemo(key: $key) { comment items { nodes { id } } } }"
    async with served(url, tmp_path) as server:
        reading: set[asyncio.Task[httpx.Response]] = set()
        for turn in range(10):
            reading |= {asyncio.create_task(ask(server.over_socket, query, memo, ANYBODY)) for _ in range(6)}
            body = {"query": change, "variables": {"key": memo, "comment": f"{turn}"}}
            await server.over_socket.post("/graphql", json=body)

            found = await ask(server.over_socket, query, memo, ANYBODY)
            assert found.json()["data"]["creditMemo"]["comment"] == f"{turn}"
        await asyncio.gather(*reading)


async def test_who_hangs_up_while_others_wait_keeps_nobody_waiting(url: str, tmp_path: Path) -> None:
    asked = [(memo, ANYBODY) for memo, _, _ in await memos_of(url)]
    async with served(url, tmp_path) as server:
        alone = await one_by_one(server, WHOLE, asked)
        staying = [asyncio.create_task(ask(server.over_socket, WHOLE, *one)) for one in asked[::2]]
        leaving = [asyncio.create_task(ask(server.over_socket, WHOLE, *one)) for one in asked[1::2]]
        await asyncio.sleep(0.005)
        for one in leaving:
            one.cancel()

        assert [answered(await one) for one in staying] == alone[::2]
        assert await at_once(server, WHOLE, asked) == alone
        crowds = server.shortcut._engine._crowds
        assert crowds is None or not crowds._crowds, "nothing is kept of them"


async def test_who_waits_is_read_for_even_while_others_ask_for_large_things_without_end(
    url: str, tmp_path: Path
) -> None:
    (_, _, account), *_ = await memos_of(url)
    memos = "creditMemos(first: 100) { nodes { items { nodes { id } } parts { nodes { id } } } }"
    query = f"query ($key: ID!) {{ account(key: $key) {{ {' '.join(f'a{i}: {memos}' for i in range(8))} }} }}"
    answers = [0] * 8
    async with served(url, tmp_path) as server:
        await ask(server.direct, query, f"{account[:-32]}{0:032}", ANYBODY)  # nothing is found, and that is small

        async def ask_without_end(client: int) -> None:
            while min(answers) < 1 and max(answers) < 20:
                await ask(server.over_socket, query, account, ANYBODY)
                answers[client] += 1

        await asyncio.gather(*map(ask_without_end, range(len(answers))))

    assert max(answers) < 20, answers


async def test_nothing_is_read_any_more_for_those_whose_deadline_has_come(url: str, tmp_path: Path) -> None:
    (memo, _, _), *_ = await memos_of(url)
    database = Database.open(url)
    patience = {"request_timeout": 0.5, "lock_timeout": 60, "statement_timeout": 60}
    async with served(url, tmp_path, **patience) as server:
        await one_by_one(server, WHOLE, [(memo, ANYBODY)])
        direct = server.shortcut._engine._direct
        if direct.name == "sqlite":
            pytest.skip("SQLite is read by each alone")
        async with database.write() as connection:
            await connection.execute(text("LOCK TABLE credit_memos IN ACCESS EXCLUSIVE MODE"))
            first = asyncio.create_task(at_once(server, WHOLE, [(memo, ANYBODY)] * 2))
            await asyncio.sleep(0.25)
            answers = await at_once(server, WHOLE, [(memo, ANYBODY)] * 6) + await first

            assert {status for status, _ in answers} == {503}
            async with asyncio.timeout(5):
                while direct.usage()[0]:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
    await database.dispose()


async def test_where_a_reading_of_several_fails_each_is_answered_all_the_same(url: str, tmp_path: Path) -> None:
    asked = [(memo, ANYBODY) for memo, _, _ in await memos_of(url)]
    async with served(url, tmp_path) as server:
        alone = await one_by_one(server, WHOLE, asked)
        if server.shortcut._engine._direct.name == "sqlite":
            pytest.skip("SQLite is read by each alone")
        killing = asyncio.create_task(end_connections(url))

        assert await at_once(server, WHOLE, asked) == alone
        await killing


async def test_where_a_reading_of_several_waits_in_vain_nobody_waits_like_that_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(memo, ANYBODY) for memo, _, _ in await memos_of(url)][:12]
    database = Database.open(url)
    async with served(url, tmp_path, lock_timeout=0.5) as server:
        alone = await one_by_one(server, WHOLE, asked)
        direct = server.shortcut._engine._direct
        if direct.name == "sqlite":
            pytest.skip("SQLite is read by each alone")
        short, run = [], direct.run

        async def noting(work: Work, **options: Any) -> Any:
            short.append(options["short"])
            return await run(work, **options)

        monkeypatch.setattr(direct, "run", noting)
        async with database.write() as connection:
            await connection.execute(text("LOCK TABLE credit_memos IN ACCESS EXCLUSIVE MODE"))
            asking = asyncio.create_task(at_once(server, WHOLE, asked))
            while short.count(False) < 3:  # noqa: ASYNC110 - until one who waited is on the long way too
                await asyncio.sleep(0.01)

        assert await asking == alone
        assert short.count(True) <= 4, "two alone, and all others together"
    await database.dispose()


async def end_connections(url: str) -> None:
    """End all other connections to a database."""
    database = Database.open(url)
    await asyncio.sleep(0.01)
    async with database.read() as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        await connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    await database.dispose()
