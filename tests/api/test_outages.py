"""While the database is away everybody is told so, and to come back; nobody is told of a bug, and nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed

import postgres
import servers
from cm_graphql.operations.api_keys import FRESH_SECONDS
from cm_graphql.store import migrations
from in_process import a_key
from operating import a_desk
from watching import PROTOCOL, WATCH, WATCH_JOB, Memos, heard, socket_to, subscribe

READ = "{ creditMemos { nodes { number } } }"
UNPLANNED = "{ viewer: __typename creditMemos(first: 1) { totalCount nodes { number availableActions { action } } } }"
COMMENT = """mutation ($input: UpdateCreditMemoInput!) {
  updateCreditMemo(input: $input) { creditMemo { comment } userErrors { code } } }"""
SYNC = """mutation { syncAccounts(input: {accounts: [{number: "A-9", name: "Acme", currency: "USD"}]}) {
  results { userErrors { code } } } }"""
AWAY = {
    "message": "The database cannot be reached: try again in a moment.",
    "extensions": {"retryAfter": 5, "code": "SERVICE_UNAVAILABLE"},
}
EVENTS = {"accept": "text/event-stream"}


class Mortal:
    """A PostgreSQL that can be stopped and started."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self._data = data

    async def stop(self) -> None:
        """Stop it at once."""
        await asyncio.to_thread(postgres.crash, self._data, restart=False)

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(postgres.crash, self._data)

    async def say(self, *statements: str) -> None:
        """Tell it something as its administrator."""
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()


@pytest.fixture(scope="module")
def mortal(mortal_server: tuple[str, Path]) -> Mortal:
    """A server of this module's own, since it is stopped, with an empty database."""
    return Mortal(*mortal_server)


@asynccontextmanager
async def serving(mortal: Mortal, folder: Path, **settings: str) -> AsyncIterator[Memos]:
    """A real server upon it, with a memo, and a client that waits as long as it takes."""
    async with a_desk(mortal.url) as desk:
        memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
    variables = {f"CM_GRAPHQL_{name.upper()}": value for name, value in settings.items()}
    manager = servers.running(mortal.url, folder, **variables)
    server = await asyncio.to_thread(manager.__enter__)
    try:
        yield Memos(server, memo, invoice)
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


@asynccontextmanager
async def away(mortal: Mortal) -> AsyncIterator[None]:
    """Have it stopped for a while."""
    await mortal.stop()
    try:
        yield
    finally:
        await mortal.start()


async def posted(client: httpx.AsyncClient, query: str, **more: Any) -> httpx.Response:
    """Ask the endpoint."""
    variables = more.pop("variables", {})
    return await client.post("/graphql", json={"query": query, "variables": variables}, **more)


def refused(answer: httpx.Response) -> None:
    """Make sure that an answer tells that the database is away, and nothing else."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "5"
    assert answer.json() == {"errors": [AWAY]}


async def comment_of(memos: Memos) -> Any:
    """The comment of the memo."""
    document = "query ($key: ID!) { creditMemo(key: $key) { comment } }"
    return (await memos.ask(document, key=memos.memo))["creditMemo"]


def events(answer: httpx.Response) -> list[Any]:
    """The results of a stream that is complete."""
    assert answer.status_code == 200
    assert answer.text.endswith("event: complete\ndata:\n\n")
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


async def until_served(client: httpx.AsyncClient, **more: Any) -> None:
    """Wait until a query is answered again."""
    for _ in range(300):
        if (await posted(client, READ, **more)).status_code == 200:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it is away still")


def log_of(folder: Path) -> str:
    """What the server wrote, which must tell of no bug."""
    log = (folder / "server.log").read_text()
    assert "Traceback" not in log, log
    assert "internal_error" not in log, log
    return log


async def test_whoever_asks_while_the_database_is_away_is_told_to_come_back(mortal: Mortal, tmp_path: Path) -> None:
    async with (
        serving(mortal, tmp_path) as memos,
        httpx.AsyncClient(base_url=memos.server, timeout=30, trust_env=False) as client,
    ):
        change = {"variables": {"input": {"key": memos.memo, "comment": "before"}}}
        for _ in range(3):  # the short way is taken by what was asked before
            assert (await posted(client, READ)).status_code == 200
            assert "errors" not in (await posted(client, COMMENT, **change)).json()
        later = {"variables": {"input": {"key": memos.memo, "comment": "while it was away"}}}
        job = await memos.apply_later("1.00")
        async with socket_to(memos.server) as socket:
            async with away(mortal):
                for headers in ({}, {"x-graphql-cost": "1"}):  # which is answered on the long way
                    for query, more in ((READ, {}), (UNPLANNED, {}), (COMMENT, later), (SYNC, {})):
                        refused(await posted(client, query, headers=headers, **more))
                assert events(await posted(client, READ, headers=EVENTS)) == [{"errors": [AWAY]}]
                assert events(await posted(client, COMMENT, headers=EVENTS, **later)) == [{"errors": [AWAY]}]
                watching = await posted(client, WATCH_JOB, variables={"id": job}, headers=EVENTS)
                (told,) = events(watching)
                assert told["errors"][0]["extensions"] == AWAY["extensions"]
                assert told["errors"][0]["message"] == AWAY["message"]
                await subscribe(socket, "1", READ)
                assert await heard(socket) == {"type": "error", "id": "1", "payload": [AWAY]}
                file = await client.get("/files/cmf_" + "0" * 32)
                assert (file.status_code, file.json(), file.headers["retry-after"]) == (503, {"errors": [AWAY]}, "5")

            await until_served(client)
            await subscribe(socket, "2", READ)
            assert (await heard(socket))["payload"]["data"]["creditMemos"]["nodes"]
        assert await comment_of(memos) == {"comment": "before"}
        assert "database_away" in log_of(tmp_path)


async def test_where_keys_cannot_be_looked_up_that_is_said_and_metrics_tell_of_it(
    mortal: Mortal, tmp_path: Path
) -> None:
    _, known = await a_key(mortal.url, "settings:read", "credit_memos:read", "documents:read")
    _, unknown = await a_key(mortal.url, "settings:read")
    _, lacking = await a_key(mortal.url, "credit_memos:read")
    async with (
        serving(mortal, tmp_path, auth="keys", metrics="true") as memos,
        httpx.AsyncClient(base_url=memos.server, timeout=30, trust_env=False) as client,
    ):
        assert (await metrics(client, known))["cm_graphql_database_up"] == 1
        assert (await posted(client, READ, headers=known)).status_code == 200
        assert (await posted(client, READ, headers=lacking)).status_code == 200
        address = f"{memos.server.replace('http', 'ws', 1)}/graphql"
        async with (
            client.stream("POST", "/graphql", json={"query": WATCH}, headers={**known, **EVENTS}) as stream,
            websockets.connect(address, subprotocols=[PROTOCOL], proxy=None) as socket,
        ):
            async with away(mortal):
                await asyncio.sleep(FRESH_SECONDS + 0.5)
                refused(await posted(client, READ, headers=known))
                refused(await posted(client, READ, headers=unknown))
                refused(await posted(client, WATCH, headers={**known, **EVENTS}))
                assert (await posted(client, READ)).status_code == 401
                file = await client.get("/files/cmf_" + "0" * 32, headers=known)
                assert (file.status_code, file.json()) == (503, {"errors": [AWAY]})

                found = await metrics(client, known)
                assert found["cm_graphql_database_up"] == 0
                assert found["cm_graphql_requests_total"] > 0
                assert "cm_graphql_jobs" not in found
                for stranger in (unknown, lacking):
                    assert await metrics(client, stranger) == {"cm_graphql_database_up": 0}
                assert (await client.get("/metrics")).status_code == 401

                await socket.send(json.dumps({"type": "connection_init", "payload": known}))
                with pytest.raises(ConnectionClosed):
                    await heard(socket)
                assert socket.close_code == 1013, "at which clients try again"
                await asyncio.sleep(3)  # by now it was tried to see whether the key of the stream still holds

            await until_served(client, headers=known)
            assert (await metrics(client, known))["cm_graphql_database_up"] == 1
            assert (await client.get("/metrics", headers=lacking)).status_code == 403
            async with a_desk(mortal.url) as desk:
                await desk.posted("7.00")
            lines = stream.aiter_lines()
            async with asyncio.timeout(30):
                assert any([line.startswith("data: ") async for line in first_event(lines)])
        log_of(tmp_path)


async def first_event(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The lines until there is something told."""
    async for line in lines:
        yield line
        if line.startswith("data: "):
            return


async def metrics(client: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, float]:
    """The sums of all series, by name."""
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


async def test_a_database_that_lets_nobody_in_is_away(mortal: Mortal, tmp_path: Path) -> None:
    await mortal.say("DROP DATABASE IF EXISTS closed", "CREATE DATABASE closed")
    closed = Mortal(mortal.url.rpartition("/")[0] + "/closed", Path())
    await migrations.upgrade(closed.url)
    async with (
        serving(closed, tmp_path) as memos,
        httpx.AsyncClient(base_url=memos.server, timeout=30, trust_env=False) as client,
    ):
        assert (await posted(client, READ)).status_code == 200
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'closed'"
        await mortal.say("ALTER DATABASE closed ALLOW_CONNECTIONS false", ended)

        refused(await posted(client, READ))
        refused(await posted(client, SYNC))

        await mortal.say("ALTER DATABASE closed ALLOW_CONNECTIONS true")
        await until_served(client)
    log_of(tmp_path)


LOSE = """CREATE OR REPLACE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"""


async def test_what_was_done_before_the_database_went_away_is_not_asked_for_anew(
    mortal: Mortal, tmp_path: Path
) -> None:
    both = COMMENT.replace("userErrors { code } }", f"userErrors {{ code }} }} {SYNC[10:-1]}", 1)
    async with (
        serving(mortal, tmp_path, max_batch="2") as memos,
        httpx.AsyncClient(base_url=memos.server, timeout=30, trust_env=False) as client,
    ):
        trigger = "AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION lose()"
        await mortal.say(LOSE, f"CREATE TRIGGER lose {trigger}")
        try:
            one = {"input": {"key": memos.memo, "comment": "in one request"}}
            answer = await posted(client, both, variables=one)
            told = await comment_of(memos)
            change = {"query": COMMENT, "variables": {"input": {"key": memos.memo, "comment": "in a batch"}}}
            batch = await client.post("/graphql", json=[change, {"query": SYNC}])
            nothing = await client.post("/graphql", json=[{"query": SYNC}, change])
        finally:
            await mortal.say("DROP TRIGGER lose ON accounts")

        assert (answer.status_code, told) == (200, {"comment": "in one request"})
        (error,) = answer.json()["errors"]
        assert error["path"] == ["syncAccounts"]
        assert error["message"].endswith("this was not done; the actions before it were answered.")
        assert error["extensions"] == AWAY["extensions"]
        assert batch.json()[0]["data"]["updateCreditMemo"]["creditMemo"] == {"comment": "in a batch"}
        assert batch.json()[1] == {"errors": [AWAY]}
        refused(nothing)
    log_of(tmp_path)


async def test_the_elements_of_a_bulk_that_were_not_done_say_so(mortal: Mortal, tmp_path: Path) -> None:
    async with (
        serving(mortal, tmp_path) as memos,
        httpx.AsyncClient(base_url=memos.server, timeout=30, trust_env=False) as client,
    ):
        trigger = "AFTER INSERT ON accounts FOR EACH ROW WHEN (NEW.name = 'Lost') EXECUTE FUNCTION lose()"
        await mortal.say(LOSE, f"CREATE TRIGGER lose {trigger}")
        try:
            first = (
                '{number: "A-1000", name: "Found", currency: "USD"}, {number: "A-1001", name: "Lost", currency: "USD"}'
            )
            answer = await posted(client, SYNC.replace('{number: "A-9", name: "Acme", currency: "USD"}', first))
        finally:
            await mortal.say("DROP TRIGGER lose ON accounts")

        done, lost = answer.json()["data"]["syncAccounts"]["results"]
        assert done == {"userErrors": []}
        assert lost == {"userErrors": [{"code": "INTERNAL_ERROR"}]}
    log_of(tmp_path)


async def test_a_refund_that_the_gateway_has_made_is_not_asked_for_anew(mortal: Mortal, tmp_path: Path) -> None:
    async with a_desk(mortal.url) as desk:
        memo, method = await desk.posted("50.00"), await desk.payment_method()
    refund = """mutation ($input: RefundCreditMemoInput!) {
        refundCreditMemo(input: $input) { refund { status } userErrors { code } } }"""
    wanted = {"key": memo, "totalAmount": "10.00", "type": "ELECTRONIC", "paymentMethodId": method}
    async with (
        serving(mortal, tmp_path) as memos,
        httpx.AsyncClient(base_url=memos.server, timeout=30, trust_env=False) as client,
    ):
        await mortal.say(LOSE, "CREATE TRIGGER lose AFTER UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION lose()")
        try:
            answer = await posted(client, refund, variables={"input": wanted})
        finally:
            await mortal.say("DROP TRIGGER lose ON refunds")

        told = answer.json()["data"]["refundCreditMemo"]
        assert told == {"refund": {"status": "PROCESSING"}, "userErrors": []}
    log_of(tmp_path)


@pytest.mark.parametrize("moment", ["before the commit", "in the commit"])
async def test_only_what_was_lost_in_its_commit_may_be_done(mortal: Mortal, tmp_path: Path, moment: str) -> None:
    when = "DEFERRABLE INITIALLY DEFERRED" if moment == "in the commit" else ""
    async with (
        serving(mortal, tmp_path) as memos,
        httpx.AsyncClient(base_url=memos.server, timeout=30, trust_env=False) as client,
    ):
        trigger = f"AFTER INSERT ON credit_memo_events {when} FOR EACH ROW EXECUTE FUNCTION lose()"
        await mortal.say(LOSE, f"CREATE CONSTRAINT TRIGGER lose {trigger}")
        try:
            change = {"input": {"key": memos.memo, "comment": moment}}
            answers = [await posted(client, COMMENT, variables=change, headers=headers) for headers in ({}, EVENTS)]
        finally:
            await mortal.say("DROP TRIGGER lose ON credit_memo_events")

        if moment == "before the commit":
            refused(answers[0])
            assert events(answers[1]) == [{"errors": [AWAY]}]
            log_of(tmp_path)
        else:
            for answer in (answers[0].json(), *events(answers[1])):
                assert answer["data"] is None
                assert [error["extensions"]["code"] for error in answer["errors"]] == ["INTERNAL_SERVER_ERROR"]
