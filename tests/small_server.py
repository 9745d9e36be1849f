"""GraphQL over HTTP around a schema small enough to fail at will, spoken to without a socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import strawberry
from graphql import GraphQLError
from starlette.requests import HTTPConnection

from cm_graphql.api.errors import ApiError, Code
from cm_graphql.api.frame import Frame
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.limits import Limits

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"


class Context:
    """Notes what happened, in order."""

    def __init__(self) -> None:
        self.response_extensions: dict[str, object] = {}
        self.has_acted = False
        self.notes: list[str] = []
        self.caller_id = ""

    async def planned(self, *_query: object) -> None:
        """Resolvers answer everything here."""

    async def carried_out(self, *_mutation: object) -> None:
        """Resolvers do everything, too."""

    def explain(self, *_query: object) -> None:
        """There is nothing to tell."""

    def before_root_field(self, *_field: object) -> None:
        """Nothing is planned."""

    async def after_root_field(self) -> None:
        self.notes.append("after")
        if "fail after" in self.notes:
            raise RuntimeError("the secret of what follows")


Info = strawberry.Info[Context, None]


@strawberry.type
class Child:
    @strawberry.field
    async def slow(self, info: Info) -> str:
        await asyncio.sleep(0.01)
        info.context.notes.append("child read")
        return "slow"


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def double(self, number: int) -> int | None:
        return number * 2

    @strawberry.field
    def rows(self) -> list["Row"]:
        return [Row() for _ in range(3)]

    @strawberry.field
    def forbidden(self) -> str | None:
        raise ApiError("Not for you.", Code.FORBIDDEN, {"scope": "memos:read"})

    @strawberry.field
    def coded(self) -> str | None:
        raise GraphQLError("Not like this.", extensions={"code": "BAD_USER_INPUT"})

    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError("the secret of 4711")

    @strawberry.field
    def enormous(self) -> strawberry.scalars.JSON:
        return strawberry.scalars.JSON({"integer": 2**70, "surrogate": "\ud800"})

    @strawberry.field
    def extended(self, info: Info) -> str:
        info.context.response_extensions["idempotentReplay"] = True
        return "yes"


@strawberry.type
class Row:
    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError("the secret of a row")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def note(self, info: Info, text: str) -> Child | None:
        info.context.notes.append(text)
        if text == "fail":
            raise ApiError("Failed.", Code.BAD_USER_INPUT)
        return Child()


contexts: list[Context] = []


async def make_context(request: HTTPConnection, request_id: str) -> Context:
    if request.headers.get("authorization") == "Bearer expired":
        raise ApiError("The token has expired.", Code.UNAUTHENTICATED)
    contexts.append(Context())
    return contexts[-1]


schema = strawberry.Schema(Query, Mutation)
LIMITS = Limits(json_values=2_000, body_bytes=10_000)


@asynccontextmanager
async def speaking(*, introspection: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the small server; `contexts` holds the contexts of its requests."""
    endpoint = GraphQLOverHTTP(schema._schema, make_context, limits=LIMITS, introspection=introspection)
    app = Frame(endpoint, hosts=["localhost"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8000") as client:
        # httpx accepts anything by default; here each test says what it accepts.
        del client.headers["accept"]
        contexts.clear()
        yield client


async def post(client: httpx.AsyncClient, accept: str | None = None, **body: Any) -> httpx.Response:
    return await client.post("/graphql", json=body, headers={"accept": accept} if accept else {})


def codes(answer: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in answer.json()["errors"]]
