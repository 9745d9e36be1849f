"""The short way of ordinary requests answers what the long way answers, which everything unusual takes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import text

from cm_graphql import seeding
from cm_graphql.api.errors import MASKED_MESSAGE
from cm_graphql.api.schema import schema
from cm_graphql.domain.commands.creation import CreateCreditMemoFromCharges, CreditMemoItemFromCharge
from cm_graphql.operations import api_keys, creation, tokens
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.registered import hash_of, register
from cm_graphql.operations.viewer import LOCAL, SCOPES
from cm_graphql.store.database import Database
from collecting import left_to_the_collector
from in_process import a_key
from inventing import Inventor, flawed
from over_socket import Server, served, told
from reading import plain

MEMO = "query Memo($key: ID!) { memo: creditMemo(key: $key) { id number amount account { name } __typename } }"
LIST = """query List($first: Int = 2, $named: Boolean!) {
  __typename
  creditMemos(first: $first, sort: [{ field: NUMBER, direction: ASC }]) {
    totalCount nodes { number status account @include(if: $named) { name } } pageInfo { hasNextPage endCursor } }
}"""
LARGE = "{ creditMemos(first: 50) { nodes { id number status amount comment createdDate updatedDate } } }"


UPDATE = """mutation Update($input: UpdateCreditMemoInput!, $first: Int = 3, $some: Boolean = true) {
  updateCreditMemo(input: $input) { creditMemo @include(if: $some) { id comment version
    items(first: $first) { nodes { amount } } } userErrors { code message field __typename } __typename }
}"""
IN_PIECES = """mutation Change($key: ID!, $comment: String, $version: Int) {
  it: updateCreditMemo(input: { key: $key, comment: $comment, ifVersion: $version, transferredToAccounting: NO }) {
    creditMemo { comment } userErrors { code } }
}"""
CANCEL = (
    "mutation ($key: ID!) { cancelCreditMemo(input: { key: $key }) { creditMemo { status } userErrors { message } } }"
)
EACH = """mutation ($memos: [CreditMemoUpdateInput!]!) {
  updateCreditMemos(input: { memos: $memos }) {
    results { index creditMemo { number comment } userErrors { code } } userErrors { message } } }"""

WRONG = "acc_00000000000000000000000000000000"
"""An id of another kind of thing."""

READING = ("credit_memos:read", "documents:read")
CHANGING = (*READING, "credit_memos:update", "credit_memos:cancel")


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    """A database with sixty memos."""

    async def seed() -> None:
        database = Database.open(module_database_url)
        await seeding.seed(database, memos=60, seed=7, lean=True, progress=lambda *_: None)
        await register(database, SystemClock(), {"list": LIST})
        await database.dispose()

    asyncio.run(seed())
    return module_database_url


async def a_memo(url: str) -> tuple[str, str, str]:
    """The id, the number and the account of some memo."""
    database = Database.open(url)
    async with database.read() as connection:
        row = (await connection.execute(text("SELECT id, number, account_id FROM credit_memos LIMIT 1"))).one()
    await database.dispose()
    return row[0], row[1], row[2]


async def test_both_ways_give_the_same_answer(url: str, tmp_path: Path) -> None:
    key, number, account = await a_memo(url)
    _, all_of_it = await a_key(url, *READING)
    _, limited = await a_key(url, *READING, accounts=[account])
    _, elsewhere = await a_key(url, *READING, accounts=[await another_account(url, account)])
    _, nothing = await a_key(url, "settings:read")
    memo, named = {"query": MEMO, "variables": {"key": key}}, {"query": LIST, "variables": {"named": True}}
    hashed = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(MEMO)}}

    async with served(url, tmp_path, auth="keys", metrics=True) as server:
        await server.direct.post("/graphql", json={**memo, "extensions": hashed}, headers=all_of_it)

        async def same(body: Any, *, short: bool, **headers: str) -> httpx.Response:
            for _ in range(5):
                found, expected, times = await server.both(body, **{**all_of_it, **headers})
                assert told(found) == told(expected)
                if times == short:
                    return found
                # The key was just looked up again, and then is made out once on the long way.
            raise AssertionError(f"{body} with {headers} took the other way")

        usual: tuple[Any, ...] = (
            memo,
            {"query": MEMO, "variables": {"key": number}},
            {"query": MEMO, "variables": {"key": "CM-nothing"}, "operationName": "Memo"},
            named,
            {"query": LIST, "variables": {"named": False, "first": 50}},
            {"query": LARGE},
            {"variables": {"key": key}, "extensions": hashed},
            {"documentId": "list", "variables": {"named": True, "first": None}},
            {"query": MEMO, "variables": {"key": key, "unknown": 12345678901234567890}, "extensions": {}},
        )
        for body in usual:
            await same(body, short=True)
        for headers in (
            limited,
            elsewhere,
            {"accept": "application/graphql-response+json"},
            {"accept_encoding": "identity"},
            {"x_forwarded_for": "198.51.100.7", "x_forwarded_proto": "https"},
            {"content_type": "application/json; charset=UTF-8"},
        ):
            await same(memo, short=True, **headers)
            await same({"query": LARGE}, short=True, **headers)
        assert (await same(memo, short=True, x_request_id="Trace-1")).headers["x-request-id"] == "Trace-1"
        assert (await same(memo, short=True, x_forwarded_proto="https")).headers["strict-transport-security"]

        unusual: tuple[Any, ...] = (
            {"query": MEMO, "variables": {"key": WRONG}},
            {"query": MEMO, "variables": {}},
            {"query": MEMO, "variables": {"key": None}},
            {"query": MEMO, "variables": {"key": 12345678901234567890123}},
            {"query": MEMO, "variables": {"key": key}, "operationName": "Other"},
            {"query": LIST, "variables": {"named": True, "first": 1e3}},
            {"query": LIST, "variables": {"named": True, "first": 100_000}},
            {"query": MEMO, "variables": {"key": key}, "extensions": {"cost": True}},
            {"query": "{ nothing }"},
            {"query": '{ creditMemos(after: "nonsense") { nodes { id } } }'},
            {"documentId": "nothing"},
            {"query": MEMO, "variables": [key]},
            [memo],
            b"[1, {",
            b'{"query": "' + b"[" * 100,
        )
        for body in unusual:
            await same(body, short=False)
        for headers in (
            nothing,
            {"authorization": "Bearer cmk_nonsense"},
            {"authorization": ""},
            {"sec_fetch_site": "cross-site"},
            {"host": "elsewhere.example"},
            {"accept": "text/plain"},
            {"accept": "application/json" + ", text/plain" * 100},
            {"x_forwarded_for": ", ".join(["198.51.100.7"] * 100)},
            {"content_type": "text/plain"},
            {"content_encoding": "gzip"},
            {"x_graphql_cost": "1"},
        ):
            await same(memo, short=False, **headers)


async def another_account(url: str, account: str) -> str:
    database = Database.open(url)
    async with database.read() as connection:
        other = await connection.scalar(text("SELECT id FROM accounts WHERE id != :account"), {"account": account})
    await database.dispose()
    return str(other)


async def test_the_short_way_counts_each_request_once_and_refuses_as_the_long_way_does(
    url: str, tmp_path: Path
) -> None:
    key, _, _ = await a_memo(url)
    id, holder = await a_key(url, *READING)
    good, bad = ({"query": MEMO, "variables": {"key": one}} for one in (key, WRONG))
    async with served(url, tmp_path, auth="keys", rate_limit="8/minute", max_body_bytes=2_000) as server:
        statuses = []
        for body in (good, good, good, bad, good, bad, good, good, good, good):
            answer = await server.over_socket.post("/graphql", json=body, headers=holder)
            statuses.append(answer.status_code)

        assert statuses == [200] * 8 + [429] * 2
        assert server.shortcut.answered in (4, 5), "the first one made the plan; the key may have been looked up again"
        assert not server.shortcut._traffic._turns, "every turn was given back"

        _, other = await a_key(url, *READING)
        await server.over_socket.post("/graphql", json=good, headers=other)
        large = {**good, "operationName": " " * 2_000}
        assert (await server.over_socket.post("/graphql", json=large, headers=other)).status_code == 413

        database = Database.open(url)
        await api_keys.revoke(database, SystemClock(), id)
        await database.dispose()
        await asyncio.sleep(api_keys.FRESH_SECONDS)
        assert (await server.over_socket.post("/graphql", json=good, headers=holder)).status_code == 401


async def test_requests_in_a_row_are_answered_in_their_order_on_whichever_way(url: str, tmp_path: Path) -> None:
    key, _, _ = await a_memo(url)
    _, holder = await a_key(url, *READING)

    def request(number: int) -> bytes:
        body = {"query": MEMO if (number + 1) % 3 else "{ viewer { id } }", "variables": {"key": key}}
        content = json.dumps(body).encode()
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: localhost\r\nauthorization: {holder['authorization']}\r\n"
            f"content-type: application/json\r\nx-request-id: n{number}\r\ncontent-length: {len(content)}\r\n"
            f"{'connection: close' if number == 39 else 'x-some: thing'}\r\n\r\n"
        )
        return head.encode() + content

    async with served(url, tmp_path, auth="keys") as server:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.over_socket.base_url.port)
            writer.write(b"".join(map(request, range(40))))
            answers = (await asyncio.wait_for(reader.read(-1), 20)).split(b"HTTP/1.1 200 OK\r\n")[1:]
            writer.close()

            assert [answer.partition(b"x-request-id: n")[2].partition(b"\r\n")[0] for answer in answers] == [
                str(number).encode() for number in range(40)
            ]
            assert all((b'"memo"' in answer) == bool((number + 1) % 3) for number, answer in enumerate(answers))
        assert server.shortcut.answered


async def test_a_head_that_came_before_is_followed_by_any_body_in_any_pieces(url: str, tmp_path: Path) -> None:
    key, number, _ = await a_memo(url)
    _, holder = await a_key(url, *READING)

    def request(variables: dict[str, Any], *, chunked: bool = False) -> bytes:
        content = json.dumps({"query": MEMO, "variables": variables}).encode()
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: localhost\r\nauthorization: {holder['authorization']}\r\n"
            f"content-type: application/json\r\n"
        ).encode()
        if chunked:
            return head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
        return head + b"content-length: %d\r\n\r\n%b" % (len(content), content)

    usual, other = request({"key": key}), request({"key": f"{key[:-1]}{(int(key[-1], 16) + 1) % 16:x}"})
    shorter = request({"key": number})
    assert len(usual) == len(other) != len(shorter)

    async with served(url, tmp_path, auth="keys") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.over_socket.base_url.port)

        async def told(*pieces: bytes) -> list[bytes]:
            """The bodies that answer what is sent piece by piece."""
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.02)
            found = []
            for _ in range(b"".join(pieces).count(b"POST /")):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                assert head.startswith(b"HTTP/1.1 200 ")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                found.append(await reader.readexactly(length))
            return found

        await told(usual)
        (found,), (missing,) = await told(usual), await told(other)
        assert json.loads(found)["data"]["memo"]["id"] == key
        assert json.loads(missing) == {"data": {"memo": None}}
        before, known = server.shortcut.answered, len(server.shortcut._heads)
        assert await told(usual) == [found]
        assert (server.shortcut.answered, len(server.shortcut._heads), known) == (before + 1, 1, 1)
        for place in (1, 3, 50, len(usual) - 100, len(usual) - 1):
            assert await told(usual[:place], usual[place:]) == [found]
        assert await told(usual + other + usual) == [found, missing, found]
        assert await told(usual + other[:70], other[70:]) == [found, missing]
        assert await told(b"\r\n" + usual) == await told(shorter) == [found]
        for _ in range(2):
            assert await told(request({"key": key}, chunked=True)) == [found]
        assert await told(usual + usual[:1], usual[1:]) == [found, found]
        writer.close()


async def test_requests_that_wait_for_their_turn_take_the_short_way_too(url: str, tmp_path: Path) -> None:
    key, _, _ = await a_memo(url)
    body = {"query": MEMO, "variables": {"key": key}}
    async with served(url, tmp_path, max_running=2, max_waiting=30) as server:
        for _ in range(2):
            await server.over_socket.post("/graphql", json=body)
        before = server.shortcut.answered
        answers = await asyncio.gather(*(server.over_socket.post("/graphql", json=body) for _ in range(20)))

        assert {answer.status_code for answer in answers} == {200}
        assert server.shortcut.answered == before + 20
        assert not server.shortcut._traffic._turns, "every turn was given back"


async def test_requests_on_the_short_way_leave_nothing_to_the_collector(url: str, tmp_path: Path) -> None:
    key, number, _ = await a_memo(url)
    change = {"memos": [{"key": number, "comment": "again"}]}
    bodies = [
        {"query": MEMO, "variables": {"key": key}},
        {"query": LIST, "variables": {"named": True}},
        {"query": EACH, "variables": change},
    ]
    async with served(url, tmp_path) as server:
        for body in bodies * 2:
            await server.over_socket.post("/graphql", json=body)

        with left_to_the_collector("cm_graphql", "graphql") as left:
            for body in bodies:
                await asyncio.gather(*(server.over_socket.post("/graphql", json=body) for _ in range(5)))

    assert left == []


async def test_what_could_be_heavy_takes_the_short_way_as_long_as_it_reads_few_rows(url: str, tmp_path: Path) -> None:
    pages = "items(first: 250) { nodes { id taxationItems(first: 50) { nodes { id } } } }"
    could_be = {"query": f"{{ creditMemos(first: 100) {{ nodes {{ id {pages} }} }} }}"}
    lists = (f"a{i}: creditMemos(first: 100) {{ nodes {{ id items {{ nodes {{ id }} }} }} }}" for i in range(50))
    is_long = {"query": f"{{ {' '.join(lists)} }}"}
    async with served(url, tmp_path) as server:
        answers = [await server.both(body) for body in (could_be, is_long, is_long)]

        assert all(told(found) == told(expected) for found, expected, _ in answers)
        assert [found.status_code for found, _, _ in answers] == [200, 200, 200]
        assert [times for _, _, times in answers] == [1, 0, 0]
        memos = [memo for one in answers[-1][0].json()["data"].values() for memo in one["nodes"]]
        assert len(memos) + sum(len(memo["items"]["nodes"]) for memo in memos) > 5_000


async def test_an_answer_that_takes_too_long_is_stopped_and_one_underway_is_finished_at_the_end(
    url: str, tmp_path: Path
) -> None:
    if url.startswith("sqlite"):
        pytest.skip("on SQLite nothing of the short way waits")
    key, _, _ = await a_memo(url)
    body = {"query": MEMO, "variables": {"key": key}}
    database = Database.open(url)
    async with served(url, tmp_path, request_timeout=0.5) as server:
        for _ in range(2):
            assert (await server.over_socket.post("/graphql", json=body)).status_code == 200
        async with database.write() as connection:
            await connection.execute(text("LOCK TABLE credit_memos"))
            answer = await server.over_socket.post("/graphql", json=body)
            assert (answer.status_code, answer.headers["connection"]) == (503, "close")
            assert answer.json()["errors"][0]["extensions"]["limit"] == "request_timeout"
    async with served(url, tmp_path) as server:
        for _ in range(2):
            await server.over_socket.post("/graphql", json=body)
        async with database.write() as connection:
            await connection.execute(text("LOCK TABLE credit_memos"))
            waiting = asyncio.create_task(server.over_socket.post("/graphql", json=body))
            await asyncio.sleep(0.3)
            ending = asyncio.create_task(server.end())
            await asyncio.sleep(0.3)
        answer = await waiting
        await ending
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    await database.dispose()


async def test_whoever_brings_a_token_takes_the_short_way_until_it_expires(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _, _ = await a_memo(url)
    signing = RSAKey.generate_key(2048, {"kid": "one"})

    async def published(_url: str) -> Any:
        return {"keys": [signing.as_dict(private=False)]}

    def token(seconds: int = 60, scope: str = " ".join(READING), **changed: Any) -> dict[str, str]:
        claims = {"iss": "https://id.example", "aud": "memos", "sub": "ann", "exp": int(time.time()) + seconds}
        text = jwt.encode({"alg": "RS256", "kid": "one"}, {**claims, "scope": scope, **changed}, signing)
        return {"authorization": f"Bearer {text}"}

    monkeypatch.setattr(tokens, "fetch_json", published)
    body = {"query": MEMO, "variables": {"key": key}}
    settings = {"jwt_jwks_url": "https://id.example/jwks", "jwt_issuer": "https://id.example", "jwt_audience": "memos"}
    async with served(url, tmp_path, auth="both", **settings) as server:
        good = token()
        for headers, short in (
            (good, True),
            ({**good, "accept": "application/graphql-response+json"}, True),
            (token(scope="documents:read"), False),
            (token(seconds=-60), False),
            (token(aud="others"), False),
            ({"authorization": good["authorization"][:-4] + "AAAA"}, False),
            ({"authorization": good["authorization"].replace("Bearer", "bearer")}, False),
        ):
            found, expected, times = await server.both(body, **headers)
            assert told(found) == told(expected)
            assert times == short, headers
        later = time.time() + 120
        monkeypatch.setattr(time, "time", lambda: later)
        found, expected, times = await server.both(body, **good)

        assert (found.status_code, told(found), times) == (401, told(expected), 0)


# --- mutations --------------------------------------------------------------------------------------------------------


class Twins:
    """Two drafts that are alike: what is done to one on the long way is done to the other over the socket."""

    def __init__(self, server: Server, headers: dict[str, str], left: tuple[str, str], right: tuple[str, str]) -> None:
        """Of each draft its id and its number."""
        self.server = server
        self.headers = {"content-type": "application/json", **headers}
        self.left, self.right = left[0], right[0]
        self.asked = 0
        self._names = list(zip(right, left, strict=True))

    async def both(self, query: str, variables: Any, **headers: str) -> tuple[httpx.Response, httpx.Response, int]:
        """What each way answers about its own draft, of which the other's answer must not differ."""
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        body = json.dumps({"query": query, "variables": variables}).encode()
        other = body.replace(self.left.encode(), self.right.encode())
        expected = await self.server.direct.post("/graphql", content=body, headers=given)
        self.asked += 1
        before = await self.known()
        found = await self.server.over_socket.post("/graphql", content=other, headers=given)
        return found, expected, self.server.shortcut.answered - before

    async def known(self) -> int:
        """Have the key made out, which may just have been looked up again; how many have gone the short way so far."""
        await self.server.over_socket.post("/graphql", json={"query": "{ viewer { id } }"}, headers=self.headers)
        return self.server.shortcut.answered

    async def same(self, query: str, variables: Any, *, short: bool, **headers: str) -> httpx.Response:
        """The answer, which both ways give; and which way it took over the socket."""
        for _ in range(5):
            found, expected, times = await self.both(query, variables, **headers)
            status, fields, content = told(found)
            for right, left in self._names:
                content = content.replace(right.encode(), left.encode())
            assert (status, fields, content) == told(expected)
            if times == short:
                return found
            # The key was just looked up again, and then is made out once on the long way: both do it once more.
        raise AssertionError(f"{variables} with {headers} took the other way")


def posted(pair: Twins, query: str, variables: dict[str, Any], request_id: str) -> bytes:
    """A request as it goes over the wire."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: {pair.headers['authorization']}\r\nx-request-id: {request_id}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def drafts(url: str, count: int) -> list[tuple[str, str]]:
    """The ids and the numbers of some new drafts."""
    database = Database.open(url)
    async with database.read() as connection:
        charge = await connection.scalar(text("SELECT id FROM product_rate_plan_charges LIMIT 1"))
        account = await connection.scalar(text("SELECT account_id FROM credit_memos LIMIT 1"))
    gate = Gate(database, SystemClock())
    line = CreditMemoItemFromCharge(product_rate_plan_charge_id=charge, amount=Decimal(3))
    asked = CreateCreditMemoFromCharges(account_key=account, charges=(line,))
    for _ in range(count):
        await gate.act(creation.from_charges, asked, LOCAL)
    async with database.read() as connection:
        newest = text("SELECT id, number FROM credit_memos ORDER BY id DESC LIMIT :count")
        found = [(row[0], row[1]) for row in await connection.execute(newest, {"count": count})]
    await database.dispose()
    return found


@asynccontextmanager
async def twins(url: str, folder: Path, **more: Any) -> AsyncIterator[Twins]:
    """Twins of which a caller asks who may change them, in documents that were asked before."""
    _, headers = await a_key(url, *CHANGING)
    left, right, (third, _) = await drafts(url, 3)
    async with served(url, folder, auth="keys", **more) as server:
        for query, variables in (
            (UPDATE, {"input": {"key": third}}),
            (UPDATE, {"input": {"key": third}, "some": False}),
            (IN_PIECES, {"key": third}),
            (CANCEL, {"key": "nothing"}),
        ):
            answer = await server.direct.post(
                "/graphql", json={"query": query, "variables": variables}, headers=headers
            )
            assert "errors" not in answer.json(), answer.text
        yield Twins(server, headers, left, right)


async def test_both_ways_do_and_answer_the_same_of_a_mutation(url: str, tmp_path: Path) -> None:
    async with twins(url, tmp_path, metrics=True) as pair:
        key = {"key": pair.left}
        await pair.same(UPDATE, {"input": {**key, "comment": "once"}}, short=True)
        usual: tuple[Any, ...] = (
            {"input": {**key, "comment": "again", "idempotencyKey": f"of {pair.left}"}},
            {"input": {**key, "comment": "again", "idempotencyKey": f"of {pair.left}"}},
            {"input": {**key, "comment": "other", "idempotencyKey": f"of {pair.left}"}},
            {"input": {**key, "comment": None, "ifVersion": 3, "dryRun": False}},
            {"input": {**key, "comment": "late", "ifVersion": 1}},
            {"input": {**key, "comment": "a" * 10_000}},
            {"input": {"key": "nothing"}},
            {"input": key, "some": False, "first": None},
            {"input": {**key, "customFields": {"a__c": {"b": [1, 2**70, "\u00e9"]}}}, "unknown": 1},
        )
        for variables in usual:
            await pair.same(UPDATE, variables, short=True)
        for more in ({}, {"comment": "!"}, {"comment": None, "version": None}):
            await pair.same(IN_PIECES, {**key, **more}, short=True)
        for headers in (
            {"accept": "application/graphql-response+json"},
            {"accept_encoding": "identity"},
            {"x_request_id": "Trace-1", "x_forwarded_for": "198.51.100.7", "x_forwarded_proto": "https"},
        ):
            await pair.same(UPDATE, {"input": {**key, "comment": str(headers)}}, short=True, **headers)
        # Done, but told by resolvers.
        wrong = await pair.same(UPDATE, {"input": {**key, "comment": "told"}, "first": -1}, short=True)
        assert wrong.json()["errors"]
        await pair.same(EACH, {"memos": [{**key, "comment": "each"}, {"key": "nothing"}]}, short=True)
        await pair.same(EACH, {"memos": []}, short=True)
        await pair.same(CANCEL, {"key": WRONG}, short=True, x_request_id="a")
        await pair.same(CANCEL, key, short=True)
        await pair.same(CANCEL, key, short=True)


SELECTIONS = (
    "{ creditMemo { id number status version amount items { nodes { id amount } } } userErrors { code field } }",
    "{ creditMemo { updatedDate account { number } parts { nodes { amount } } } __typename }",
    "{ it: creditMemo { status items(first: $few) { totalCount } } why: userErrors { message } }",
    "{ creditMemo @include(if: $yes) { number customFields } userErrors { __typename code @skip(if: $no) } }",
)


def made_up(dice: Random, key: str) -> tuple[str, dict[str, Any]]:
    """A mutation of a memo, and its variables; now and then there is something wrong about it."""
    memo: dict[str, Any] = {"key": key}
    invoice = {"invoiceKey": "INV-none", "amount": dice.choice(["1.00", 2, "0"])}
    name, wanted = dice.choice(
        [
            ("updateCreditMemo", {**memo, "comment": dice.choice(["!", None, "?", "a" * 10_000])}),
            ("updateCreditMemo", {**memo, "customFields": {"a__c": dice.random()}, "netSuite": {"origin": "x"}}),
            ("postCreditMemo", memo),
            ("unpostCreditMemo", memo),
            ("applyCreditMemo", {**memo, "invoices": [invoice], "effectiveDate": "2026-03-01"}),
            ("unapplyCreditMemo", memo),
        ]
    )
    for field, value in (
        ("dryRun", [True, False, None]),
        ("ifVersion", [1, 3, None]),
        ("idempotencyKey", [f"of {key}"]),
    ):
        if dice.random() < 0.2:
            wanted = {**wanted, field: dice.choice(value)}
    return Inventor(schema._schema, dice, [], []).change(
        name, flawed(dice, wanted) if dice.random() < 0.3 else wanted, dice.choice(SELECTIONS)
    )


async def test_made_up_mutations_do_and_answer_the_same_on_both_ways(url: str, tmp_path: Path) -> None:
    async with twins(url, tmp_path) as pair:
        _, headers = await a_key(url, *SCOPES)
        pair.headers |= headers
        short = 0
        asked = (made_up(Random(seed), pair.left) for seed in range(160))
        # A document with the memo in it is another one for its twin, and has not been asked before.
        for query, variables in (one for one in asked if pair.left not in one[0]):
            found, expected, times = await pair.both(query, variables)
            short += times
            answers = [(*told(one)[:2], plain(one.content)) for one in (found, expected)]
            assert answers[0] == answers[1], (query, variables)

        assert short > 40


async def test_a_mutation_with_anything_unusual_takes_the_long_way(url: str, tmp_path: Path) -> None:
    async with twins(url, tmp_path) as pair:
        key = {"key": pair.left}
        unusual: tuple[Any, ...] = (
            {"input": {**key, "comment": "never", "dryRun": True}},
            {"input": {**key, "comment": 7}},
            {"input": {**key, "comment": "\0"}},
            {"input": {**key, "comment": "\ud800"}},
            {"input": {**key, "unknown": 1}},
            {"input": {"comment": "?"}},
            {"input": [key]},
            {"input": None},
            {},
            {"input": key, "first": "3"},
        )
        for variables in unusual:
            await pair.same(UPDATE, variables, short=False)
        await pair.same("mutation { nothing }", {}, short=False)
        _, reading = await a_key(url, *READING)
        for headers in (
            reading,
            {"origin": "https://elsewhere.example", "sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"},
            {"content_type": "text/plain"},
            {"x_graphql_cost": "1"},
            {"authorization": ""},
        ):
            await pair.same(UPDATE, {"input": {**key, "comment": "?"}}, short=False, **headers)


async def test_a_mutation_that_fails_is_told_by_the_short_way_and_never_done_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def failing(*_: Any) -> Any:
        tries.append("act")
        raise RuntimeError("the secret of 4711")

    async def crashing(*_: Any) -> Any:
        raise RuntimeError("the secret of 4712")

    async with twins(url, tmp_path) as pair:
        variables = {"input": {"key": pair.left}}
        monkeypatch.setattr(Gate, "act", failing)
        pair.asked = 0
        failed = await pair.same(UPDATE, variables, short=True, x_request_id="n-1")
        assert (failed.status_code, failed.json()["data"]) == (200, None)
        assert len(tries) == 2 * pair.asked, "once on either way"
        monkeypatch.setattr(pair.server.shortcut, "_tell", crashing)
        crashed, _, times = await pair.both(UPDATE, variables, x_request_id="n-2")
        if not times:  # as above
            crashed, _, _ = await pair.both(UPDATE, variables, x_request_id="n-2")

        assert crashed.status_code == 500
        assert len(tries) == 2 * pair.asked
        assert crashed.json()["errors"] == [
            {"message": MASKED_MESSAGE, "extensions": {"requestId": "n-2", "code": "INTERNAL_SERVER_ERROR"}}
        ]
        assert not pair.server.shortcut._traffic._turns, "every turn was given back"


async def test_a_mutation_is_stopped_at_its_deadline_and_not_by_whoever_hangs_up(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = Gate.act
    slowness = 2.0

    async def slowly(self: Gate, *asked: Any) -> Any:
        await asyncio.sleep(slowness)
        return await act(self, *asked)

    async with twins(url, tmp_path, request_timeout=0.5) as pair:
        variables = {"input": {"key": pair.left, "comment": "too late"}}
        with monkeypatch.context() as patch:
            patch.setattr(Gate, "act", slowly)
            stopped = await pair.same(UPDATE, variables, short=True)
            assert (stopped.status_code, stopped.headers["connection"]) == (503, "close")
            assert "idempotencyKey" in stopped.text
            slowness = 0.2
            await pair.known()
            port = pair.server.over_socket.base_url.port
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(posted(pair, UPDATE, {"input": {"key": pair.right, "comment": "gone"}}, "gone"))
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.close()
            await asyncio.sleep(0.6)
        after, _, _ = await pair.both(UPDATE, {"input": {"key": pair.right}})

        assert after.json()["data"]["updateCreditMemo"]["creditMemo"]["comment"] == "gone"
        assert not pair.server.shortcut._traffic._turns, "every turn was given back"


async def test_what_is_asked_in_a_row_with_mutations_is_done_and_answered_in_its_order(
    url: str, tmp_path: Path
) -> None:
    async with twins(url, tmp_path) as pair:
        seen = "query ($key: ID!) { creditMemo(key: $key) { comment } }"
        await pair.server.direct.post(
            "/graphql", json={"query": seen, "variables": {"key": "no"}}, headers=pair.headers
        )
        await pair.known()
        reader, writer = await asyncio.open_connection("127.0.0.1", pair.server.over_socket.base_url.port)
        for number in range(12):
            changes = posted(pair, UPDATE, {"input": {"key": pair.right, "comment": f"<{number}>"}}, f"a{number}")
            writer.write(changes + posted(pair, seen, {"key": pair.right}, f"b{number}"))
        await writer.drain()
        heard = b""
        while b"x-request-id: b11" not in heard or not heard.endswith(b"}}}"):
            heard += await asyncio.wait_for(reader.read(65_536), 20)
        writer.close()
        answers = heard.split(b"HTTP/1.1 200 OK")[1:]

        assert [answer.partition(b"x-request-id: ")[2].split()[0].decode() for answer in answers] == [
            f"{kind}{number}" for number in range(12) for kind in "ab"
        ]
        assert all(f"<{at // 2}>".encode() in answer for at, answer in enumerate(answers))


async def test_a_mutation_underway_is_finished_and_answered_at_the_end_of_the_server(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = Gate.act

    async def slowly(self: Gate, *asked: Any) -> Any:
        await asyncio.sleep(0.5)
        return await act(self, *asked)

    async with twins(url, tmp_path) as pair:
        await pair.known()
        monkeypatch.setattr(Gate, "act", slowly)
        body = {"query": UPDATE, "variables": {"input": {"key": pair.right, "comment": "the last"}}}
        waiting = asyncio.create_task(pair.server.over_socket.post("/graphql", json=body, headers=pair.headers))
        await asyncio.sleep(0.2)
        await pair.server.end()
        answer = await waiting

        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert answer.json()["data"]["updateCreditMemo"]["creditMemo"]["comment"] == "the last"
