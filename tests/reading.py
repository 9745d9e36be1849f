"""Asks the schema over HTTP without a socket, and notes which SQL that took."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import strawberry
import structlog
from sqlalchemy import event
from starlette.requests import HTTPConnection

from cm_graphql.api.context import Api, Context
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.engine.runner import Engine
from cm_graphql.operations.viewer import LOCAL, Viewer
from cm_graphql.store.database import Database
from cm_graphql.store.direct import Direct, Work, open_direct
from rows import Rows

BAD_USER_INPUT = "BAD_USER_INPUT"


def unsigned(answer: bytes) -> bytes:
    """An answer without what differs each second: the ends and signatures of links."""
    return re.sub(rb"expires=\d+&signature=[0-9a-f]+", b"", answer)


_NAMES = re.compile(
    r"\b[a-z]{2,3}_[0-9a-f]{32}\b|\b[0-9a-f]{32}\b|\b[A-Z]{1,4}-?\d+\b|\d{4}-\d\d-\d\dT[\d:.]+Z|[A-Za-z0-9_-]{24,}=*"
)
"""What is another for each thing, or at each moment: ids, numbers, moments, cursors."""


def plain(answer: bytes) -> str:
    """An answer without what differs between things that are alike."""
    found: dict[str, str] = {}
    return _NAMES.sub(lambda match: found.setdefault(match[0], f"#{len(found)}"), unsigned(answer).decode())


class Reader:
    """A client of one database, in a loop of its own, so that tests stay plain functions."""

    def __init__(self, url: str, schema: strawberry.Schema) -> None:
        if not structlog.is_configured():
            # Our bugs are logged with their tracebacks, which would otherwise be drawn for seconds.
            plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
            structlog.configure(processors=[plain])
        self.viewer: Viewer = LOCAL
        self.statements: list[str] = []
        self._runner = asyncio.Runner()
        self.database = Database.open(url)
        self._direct = open_direct(self.database)
        self.engine = Engine(schema, self._direct)
        self._by_resolvers = self._client(schema, Api(database=self.database))
        self._by_plans = self._client(schema, Api(database=self.database, engine=self.engine))
        event.listen(self.database.readers.sync_engine, "before_cursor_execute", self._note)

    def _client(self, schema: strawberry.Schema, api: Api) -> httpx.AsyncClient:
        async def make_context(_request: HTTPConnection, request_id: str) -> Context:
            return Context.of(api, viewer=self.viewer, request_id=request_id)

        transport = httpx.ASGITransport(app=GraphQLOverHTTP(schema._schema, make_context))
        return httpx.AsyncClient(transport=transport, base_url="http://test", trust_env=False)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            self.statements.append(statement)

    def run(self, work: Any) -> Any:
        """Run a coroutine where the database lives."""
        return self._runner.run(work)

    def save(self, rows: Rows) -> None:
        """Insert rows."""
        self.run(rows.save(self.database))

    def post(self, query: str, variables: dict[str, Any] | None = None) -> httpx.Response:
        """Ask twice, of plans and of resolvers, which must answer the same bytes; answer the response."""
        return self._runner.run(self._post(query, variables))

    async def _post(self, query: str, variables: dict[str, Any] | None) -> httpx.Response:
        # Not through httpx's own JSON, which would refuse the lone surrogates that some tests send.
        content = json.dumps({"query": query, "variables": variables or {}}).encode()
        headers = {"content-type": "application/json"}
        planned = await self._by_plans.post("/graphql", content=content, headers=headers)
        self.statements.clear()
        resolved = await self._by_resolvers.post("/graphql", content=content, headers=headers)
        assert (planned.status_code, unsigned(planned.content)) == (resolved.status_code, unsigned(resolved.content))
        return resolved

    def ask(self, query: str, **variables: Any) -> Any:
        """Ask, and answer the data; there must be no errors."""
        answer = self.post(query, variables).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def refused(self, query: str, **variables: Any) -> str:
        """Ask what is refused with BAD_USER_INPUT, and answer the message."""
        response = self.post(query, variables)
        assert response.status_code == 200
        errors = response.json()["errors"]
        assert [error["extensions"]["code"] for error in errors] == [BAD_USER_INPUT], errors
        message: str = errors[0]["message"]
        return message

    def counted(self, query: str, **variables: Any) -> tuple[Any, int]:
        """Ask, and answer the data and how many statements that took the resolvers."""
        data = self.ask(query, **variables)
        return data, len(self.statements)

    def close(self) -> None:
        """Close the database."""
        for client in (self._by_plans, self._by_resolvers):
            self.run(client.aclose())
        self.run(self._direct.close())
        self.run(self.database.dispose())
        self._runner.close()


@contextmanager
def reading(url: str, schema: strawberry.Schema | None = None) -> Iterator[Reader]:
    """A client of the database at `url`, for the product's schema or another one."""
    if schema is None:
        from cm_graphql.api.schema import schema as product  # here, so that tests of the engine need no product

        schema = product
    reader = Reader(url, schema)
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def asked_of(direct: Direct) -> Iterator[list[str]]:
    """The statements that plans ask meanwhile."""
    asked: list[str] = []
    run = direct.run

    async def noting(work: Work, **options: Any) -> Any:
        def noted() -> Work:
            rows: Any = None
            try:
                while True:
                    statement = work.send(rows)
                    asked.append(statement[0])
                    rows = yield statement
            except StopIteration as done:
                return done.value

        return await run(noted(), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "run", noting)
        yield asked
