"""Watching a real server as its clients do: over a socket that speaks graphql-transport-ws."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import websockets
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from cm_graphql.store.database import Database

PROTOCOL = Subprotocol("graphql-transport-ws")
WATCH_JOB = """subscription ($id: ID!) { creditMemoJobChanged(id: $id) { id status linesDone linesTotal error } }"""
WATCH = """subscription ($filter: CreditMemoFilter) {
  creditMemoChanged(filter: $filter) { event { action } creditMemo { id status comment unappliedAmount } }
}"""


class Memos:
    """A memo of 50.00 and an invoice of 20.00, and a way to ask the server."""

    def __init__(self, server: str, memo: str, invoice: str) -> None:
        self.server = server
        self.memo = memo
        self.invoice = invoice

    async def ask(self, document: str, **variables: Any) -> Any:
        """The data that answers a document, which must have no errors."""
        async with httpx.AsyncClient(trust_env=False) as client:
            body = {"query": document, "variables": variables}
            answer = (await client.post(f"{self.server}/graphql", json=body, timeout=30)).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def apply_later(self, amount: str = "20.00") -> str:
        """Ask for a job that applies the memo to the invoice."""
        document = """mutation ($input: ApplyCreditMemoAsyncInput!) {
            applyCreditMemoAsync(input: $input) { job { id } userErrors { code message } } }"""
        wanted = {"key": self.memo, "invoices": [{"invoiceKey": self.invoice, "amount": amount}]}
        answer = (await self.ask(document, input=wanted))["applyCreditMemoAsync"]
        assert answer["userErrors"] == []
        return str(answer["job"]["id"])

    async def comment(self, text: str) -> None:
        """Change the memo."""
        document = """mutation ($input: UpdateCreditMemoInput!) {
            updateCreditMemo(input: $input) { userErrors { code message } } }"""
        answer = await self.ask(document, input={"key": self.memo, "comment": text})
        assert answer["updateCreditMemo"]["userErrors"] == []


@asynccontextmanager
async def socket_to(server: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A socket whose client has introduced itself."""
    address = f"{server.replace('http', 'ws', 1)}/graphql"
    async with websockets.connect(address, subprotocols=[PROTOCOL], proxy=None, **options) as socket:
        await say(socket, type="connection_init")
        assert await heard(socket) == {"type": "connection_ack"}
        yield socket


async def say(socket: ClientConnection, **message: Any) -> None:
    """Send a message."""
    await socket.send(json.dumps(message))


async def heard(socket: ClientConnection, seconds: float = 30) -> Any:
    """The next message, which must come within so many seconds."""
    return json.loads(await asyncio.wait_for(socket.recv(), seconds))


async def subscribe(socket: ClientConnection, key: str, document: str, **variables: Any) -> None:
    """Begin an operation."""
    await say(socket, type="subscribe", id=key, payload={"query": document, "variables": variables})


async def until_complete(socket: ClientConnection, key: str) -> list[Any]:
    """What is told of an operation until it is complete."""
    told = []
    while (message := await heard(socket))["type"] != "complete":
        assert (message["type"], message["id"]) == ("next", key), message
        told.append(message["payload"]["data"])
    return told


async def lines_that_listen(database: Database, but: frozenset[int] = frozenset(), count: int = 1) -> frozenset[int]:
    """The connections that wait for NOTIFY, as soon as there are so many that are not these."""
    asked = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'cm-graphql-bus' "
        "AND query LIKE 'SELECT id FROM credit_memo_events %'"  # which comes after LISTEN
    )
    async with asyncio.timeout(30):
        while True:
            async with database.read() as connection:
                found = frozenset(pid for (pid,) in await connection.execute(asked)) - but
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def cut(database: Database, lines: frozenset[int]) -> None:
    """End connections as an administrator would."""
    async with database.write() as connection:
        for pid in lines:
            await connection.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
