"""Python's client gql over each of its transports, against the endpoint that is named; it runs where gql is installed.

Each check prints its name once it held.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gql import Client, FileVar, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport, HTTPXTransport
from gql.transport.requests import RequestsHTTPTransport
from gql.transport.websockets import WebsocketsTransport

URL = sys.argv[1]
SOCKET_URL = URL.replace("http", "ws", 1)
PDF = Path(sys.argv[2])

READ = "query ($key: ID!) { creditMemo(key: $key) { number } }"
COMMENT = (
    "mutation ($input: UpdateCreditMemoInput!) { updateCreditMemo(input: $input) { userErrors { code message } } }"
)
WATCH = "subscription { creditMemoChanged { event { action } creditMemo { comment } } }"
UPLOAD = """mutation ($file: Upload!) {
    uploadCreditMemoFile(input: {key: "CM00000001", file: $file}) { file { fileName } userErrors { code } } }"""
MEMO = {"key": "CM00000004"}


def asked(document: str, **variables: Any) -> Any:
    """A document with its variables."""
    request = gql(document)
    request.variable_values = variables
    return request


def reads(name: str, transport: Any) -> None:
    """A transport that waits fetches the schema, validates against it, and reads."""
    with Client(transport=transport, fetch_schema_from_transport=True) as session:
        assert session.execute(asked(READ, **MEMO)) == {"creditMemo": {"number": "CM00000004"}}
        told: list[Any] = []
        try:
            session.execute(asked("{ creditMemos(first: 1000) { totalCount } }"))
        except TransportQueryError as error:
            told = error.errors or []
        assert [one["extensions"]["code"] for one in told] == ["BAD_USER_INPUT"]
    print(name, flush=True)


async def reads_together(name: str, transport: Any) -> None:
    """A transport that does not wait reads ten times at once."""
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        answers = await asyncio.gather(*(session.execute(asked(READ, **MEMO)) for _ in range(10)))
        assert answers == [{"creditMemo": {"number": "CM00000004"}}] * 10
    print(name, flush=True)


@asynccontextmanager
async def changing() -> AsyncIterator[None]:
    """Meanwhile the memo is given a new comment again and again."""

    async def change() -> None:
        async with Client(transport=AIOHTTPTransport(url=URL)) as session:
            for number in range(1_000):
                await session.execute(asked(COMMENT, input={**MEMO, "comment": f"change {number}"}))
                await asyncio.sleep(0.1)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()


async def watches(name: str, transport: Any) -> None:
    """A socket tells two changes, and is of use for a query after them."""
    async with Client(transport=transport, fetch_schema_from_transport=True) as session, changing():
        heard = []
        async for change in session.subscribe(gql(WATCH)):
            heard.append(change["creditMemoChanged"]["event"]["action"])
            if len(heard) == 2:
                break
        assert heard == ["UPDATED", "UPDATED"]
        assert await session.execute(asked(READ, **MEMO)) == {"creditMemo": {"number": "CM00000004"}}
    print(name, flush=True)


async def uploads(name: str, transport: Any) -> None:
    """A transport hands in a file."""
    async with Client(transport=transport) as session:
        file = FileVar(str(PDF), content_type="application/pdf")
        answer = await session.execute(asked(UPLOAD, file=file), upload_files=True)
    assert answer["uploadCreditMemoFile"] == {"file": {"fileName": PDF.name}, "userErrors": []}
    print(name, flush=True)


reads("requests", RequestsHTTPTransport(url=URL))
reads("httpx", HTTPXTransport(url=URL))
asyncio.run(reads_together("httpx, asynchronously", HTTPXAsyncTransport(url=URL)))
asyncio.run(reads_together("aiohttp", AIOHTTPTransport(url=URL)))
asyncio.run(uploads("aiohttp, with a file", AIOHTTPTransport(url=URL, headers={"GraphQL-Require-Preflight": "1"})))
asyncio.run(watches("websockets", WebsocketsTransport(url=SOCKET_URL)))
asyncio.run(watches("aiohttp's websockets", AIOHTTPWebsocketsTransport(url=SOCKET_URL)))
