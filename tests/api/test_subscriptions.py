"""Watching jobs and memos with real clients, over sockets and as events, from the real server."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
import websockets
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from cm_graphql.api.sockets import Socket
from operating import a_desk
from watching import PROTOCOL, WATCH, WATCH_JOB, Memos, heard, say, socket_to, subscribe, until_complete


@pytest.fixture
async def memos(database_url: str, server: str) -> Memos:
    """A memo and an invoice behind a real server."""
    async with a_desk(database_url) as desk:
        return Memos(server, await desk.posted("50.00"), await desk.invoice("20.00"))


async def until_closed(socket: Any) -> None:
    """Hear whatever is said until there is nobody to say anything."""
    while True:
        await heard(socket)


async def test_a_job_is_watched_until_it_ends(memos: Memos) -> None:
    async with socket_to(memos.server) as socket:
        job = await memos.apply_later()
        await subscribe(socket, "1", WATCH_JOB, id=job)

        states = [data["creditMemoJobChanged"] for data in await until_complete(socket, "1")]

    query = "query ($id: ID!) { creditMemoJob(id: $id) { createdDate startedDate finishedDate } }"
    moments = list((await memos.ask(query, id=job))["creditMemoJob"].values())
    assert sorted(moments) == moments
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment) for moment in moments)
    assert states[-1] == {"id": job, "status": "PROCESSED", "linesDone": 2, "linesTotal": 2, "error": None}
    order = ["PENDING", "PROCESSING", "PROCESSED"]
    assert [order.index(state["status"]) for state in states] == sorted(order.index(s["status"]) for s in states)


async def test_a_job_that_has_ended_is_told_once_and_one_that_is_not_there_never(memos: Memos) -> None:
    async with socket_to(memos.server) as socket:
        job = await memos.apply_later("30.00")
        await subscribe(socket, "1", WATCH_JOB, id=job)
        await until_complete(socket, "1")

        await subscribe(socket, "again", WATCH_JOB, id=job)
        (only,) = await until_complete(socket, "again")
        await say(
            socket,
            type="subscribe",
            id="costs",
            payload={"query": WATCH_JOB, "variables": {"id": job}, "extensions": {"cost": True}},
        )
        costs = (await heard(socket))["payload"]["extensions"]
        assert costs == {"cost": {"requested": 1, "maximum": 2_000_000}}
        assert await until_complete(socket, "costs") == []
        await subscribe(socket, "none", WATCH_JOB, id=f"cmj_{0:032x}")

        assert await until_complete(socket, "none") == []
    assert only["creditMemoJobChanged"]["status"] == "ERROR"
    assert only["creditMemoJobChanged"]["error"].startswith("AMOUNT_EXCEEDS_BALANCE: ")


async def test_changes_are_told_when_the_filter_finds_the_memo_before_or_after(memos: Memos) -> None:
    async with socket_to(memos.server) as socket:
        await subscribe(socket, "red", WATCH, filter={"search": "red"})
        await subscribe(socket, "all", WATCH)
        await asyncio.sleep(0.5)
        red: list[Any] = []
        told = 0
        for text in ("blue", "red", "green", "white"):
            await memos.comment(text)
            while told < 1:  # each change reaches the one that watches everything
                message = await heard(socket)
                change = message["payload"]["data"]["creditMemoChanged"]
                if message["id"] == "all":
                    told += 1
                else:
                    red.append(change["creditMemo"]["comment"])
            told = 0
            await asyncio.sleep(0.1)
        await say(socket, type="ping")
        while (message := await heard(socket))["type"] != "pong":
            red.append(message["payload"]["data"]["creditMemoChanged"]["creditMemo"]["comment"])

    assert red == ["red", "green"]


async def test_amounts_are_compared_as_they_were_too(memos: Memos) -> None:
    async with socket_to(memos.server) as socket:
        await subscribe(socket, "1", WATCH, filter={"unappliedAmount": {"eq": "50.00"}, "status": {"eq": "POSTED"}})
        await asyncio.sleep(0.5)
        await memos.apply_later()

        change = (await heard(socket))["payload"]["data"]["creditMemoChanged"]

    assert change["event"]["action"] == "APPLIED"
    assert change["creditMemo"]["unappliedAmount"] == "30.00"


THREE_AT_ONCE = """mutation (
  $input: UnpostCreditMemoInput!, $cancel: CancelCreditMemoInput!, $delete: DeleteCreditMemoInput!
) {
  unpostCreditMemo(input: $input) { userErrors { code } }
  cancelCreditMemo(input: $cancel) { userErrors { code } }
  deleteCreditMemo(input: $delete) { userErrors { code } }
}"""


async def test_what_has_changed_again_meanwhile_is_told_as_it_was(memos: Memos) -> None:
    me = "usr_local"
    watched: dict[str, tuple[dict[str, Any], list[str]]] = {
        "posted": ({"status": {"eq": "POSTED"}}, ["UNPOSTED"]),
        "draft": ({"status": {"eq": "DRAFT"}}, ["UNPOSTED", "CANCELED"]),
        "canceled": ({"status": {"eq": "CANCELED"}}, ["CANCELED", "DELETED"]),
        "updated by me": ({"updatedById": {"eq": me}}, ["UNPOSTED", "CANCELED", "DELETED"]),
        "created by me": ({"createdById": {"eq": me}}, ["UNPOSTED", "CANCELED", "DELETED"]),
        "created by another": ({"createdById": {"ne": me}}, []),
        "created before": ({"createdDate": {"lt": "2100-01-01T00:00:00Z"}}, ["UNPOSTED", "CANCELED", "DELETED"]),
        "updated later": ({"updatedDate": {"gt": "2100-01-01T00:00:00Z"}}, []),
    }
    told: dict[str, list[str]] = {name: [] for name in watched}
    async with socket_to(memos.server) as socket:
        for name, (found, _) in watched.items():
            await subscribe(socket, name, WATCH, filter=found)
        await asyncio.sleep(0.5)
        key = {"key": memos.memo}
        await memos.ask(THREE_AT_ONCE, input=key, cancel=key, delete=key)
        while sum(map(len, told.values())) < sum(len(actions) for _, actions in watched.values()):
            message = await heard(socket)
            told[message["id"]].append(message["payload"]["data"]["creditMemoChanged"]["event"]["action"])
        await asyncio.sleep(0.5)
        await say(socket, type="ping")
        while (message := await heard(socket))["type"] != "pong":
            told[message["id"]].append(message["payload"]["data"]["creditMemoChanged"]["event"]["action"])

    assert told == {name: actions for name, (_, actions) in watched.items()}


async def test_events_are_streamed_to_who_takes_nothing_else(memos: Memos) -> None:
    job = await memos.apply_later()
    body = {"query": WATCH_JOB, "variables": {"id": job}}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        both = {"accept": "application/json, text/event-stream"}
        refused = await client.post(f"{memos.server}/graphql", json=body, headers=both)
        accept = {"accept": "text/event-stream"}
        streamed = await client.post(f"{memos.server}/graphql", json=body, headers=accept)
        query = await client.post(f"{memos.server}/graphql", json={"query": "{ __typename }"}, headers=accept)

    assert refused.status_code == 400
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = [event for event in streamed.text.split("\n\n") if event.startswith("event: ")]
    assert events[-1] == "event: complete\ndata:"
    last = json.loads(events[-2].removeprefix("event: next\ndata: "))
    assert last["data"]["creditMemoJobChanged"]["status"] == "PROCESSED"
    assert 'event: next\ndata: {"data":{"__typename":"Query"}}' in query.text


async def test_queries_and_mistakes_are_answered_on_sockets_too(memos: Memos) -> None:
    async with socket_to(memos.server) as socket:
        await subscribe(socket, "1", "{ __typename }")
        assert await until_complete(socket, "1") == [{"__typename": "Query"}]
        await subscribe(socket, "2", "{ nothing }")
        message = await heard(socket)
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "GRAPHQL_VALIDATION_FAILED")
        await subscribe(socket, "3", WATCH_JOB, id="nonsense")
        message = await heard(socket)
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}], 4401),
        ([{"type": "connection_init"}, {"type": "connection_init"}], 4429),
        ([{"type": "nonsense"}], 4400),
        ([{"type": "connection_init"}, {"type": "subscribe", "id": "1"}], 4400),
        (
            [{"type": "connection_init"}]
            + [
                {
                    "type": "subscribe",
                    "id": "1",
                    "payload": {"query": "subscription { creditMemoChanged { __typename } }"},
                }
            ]
            * 2,
            4409,
        ),
    ],
)
async def test_a_client_that_breaks_the_protocol_is_told_so(
    module_server: str, messages: list[dict[str, Any]], code: int
) -> None:
    address = f"{module_server.replace('http', 'ws', 1)}/graphql"
    async with websockets.connect(address, subprotocols=[PROTOCOL], proxy=None) as socket:
        for message in messages:
            await say(socket, **message)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await until_closed(socket)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


async def test_the_pieces_of_a_message_take_no_more_memory_than_it_is_long() -> None:
    async def nobody(_scope: object, _receive: object, _send: object) -> None:
        """Nothing is heard of it."""

    socket = Socket(Config(nobody, log_config=None), ServerState(), {})
    socket.transport = asyncio.Transport()
    socket.read_paused = True
    socket.handle_text(Frame(Opcode.TEXT, b"a", fin=False))
    for number in range(1_000):
        socket.handle_cont(Frame(Opcode.CONT, b"" if number % 2 else b"bc", fin=False))

    assert len(socket.frames) == 1
    socket.handle_cont(Frame(Opcode.CONT, b"d"))
    assert socket.queue.get_nowait() == {"type": "websocket.receive", "text": f"a{'bc' * 500}d"}


async def test_pages_of_another_origin_get_no_socket(module_server: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with socket_to(module_server, origin="https://evil.example"):
            pass

    assert refused.value.response.status_code == 403


async def test_a_reader_that_does_not_read_holds_nobody_up(memos: Memos) -> None:
    async with socket_to(memos.server, max_queue=1, close_timeout=0.1) as lazy:
        await subscribe(lazy, "1", WATCH)
        for round_ in range(30):
            await asyncio.wait_for(memos.comment(f"remark {round_} " + "x" * 200), 20)
