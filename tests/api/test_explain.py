"""How a query is answered can be known: from the command line, and by administrators who ask for it."""

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from starlette.requests import HTTPConnection

from cm_graphql.api import explanation
from cm_graphql.api.context import Api, Context
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.schema import schema
from cm_graphql.engine.explain import Explanation
from cm_graphql.engine.runner import Engine
from cm_graphql.operations.viewer import ADMIN, Viewer
from cm_graphql.store.database import Database
from cm_graphql.store.direct import Unconnected, open_direct
from documentation import DOCS, WRITING

PAGE = DOCS / "engine.md"
EXAMPLE = re.compile(
    r'(```graphql title="memos.graphql"\n)(.*?)(```\n.*?```text title="[^"]*"\n)(.*?)(```\n)', re.DOTALL
)
QUERY = (
    "{ creditMemos(first: 2) { totalCount nodes { number account { name } pdfStatus { createdOn } } } viewer { id } }"
)


def printed(text: str, said: dict[str, list[str]], found: Explanation) -> str:
    console = Console(file=io.StringIO(), width=10_000, highlight=False)
    console.print(explanation.drawn(found, said), soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def explained(text: str, direct: Any, database: Database) -> Explanation:
    return explanation.explain(schema, direct, database, text, None, {})


def test_the_page_shows_what_explain_prints(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    match = EXAMPLE.search(page)
    assert match is not None
    database = Database.open(f"sqlite:///{tmp_path / 'none.db'}")

    tree = printed(match[2], {}, explained(match[2], Unconnected("sqlite"), database))

    if WRITING:
        PAGE.write_text(page[: match.start(4)] + tree + page[match.end(4) :], encoding="utf-8")
    else:
        assert match[4] == tree


async def test_the_database_says_how_it_would_run_each_statement(database_url: str) -> None:
    database = Database.open(database_url)
    direct = open_direct(database)
    try:
        found = explained(QUERY, direct, database)
        said = await explanation.analyses(direct, found)
    finally:
        await direct.close()
        await database.dispose()

    assert len(said) == len(("page", "count", "account", "status")) == found.statements_at_most
    assert all(said.values())
    assert found.resolved == ("viewer",)
    assert "By resolvers: viewer" in printed(QUERY, said, found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'"),
        ("query A { __typename } query B { __typename }", "Name one of the operations: A, B."),
        ("{ creditMemos(first: -1) { totalCount } }", "ask the server, which tells the error"),
    ],
)
def test_what_cannot_be_explained_is_said(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(explanation.NotExplained, match=re.escape(message)):
        explained(text, Unconnected("postgresql"), Database.open(f"sqlite:///{tmp_path / 'none.db'}"))


@asynccontextmanager
async def client(url: str, viewer: Viewer, *, explains: bool) -> AsyncIterator[httpx.AsyncClient]:
    database = Database.open(url)
    direct = open_direct(database)
    api = Api(database=database, engine=Engine(schema, direct), explains=explains)

    async def make_context(_request: HTTPConnection, request_id: str) -> Context:
        return Context.of(api, viewer=viewer, request_id=request_id)

    transport = httpx.ASGITransport(app=GraphQLOverHTTP(schema._schema, make_context))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://test", trust_env=False) as made:
            yield made
    finally:
        await direct.close()
        await database.dispose()


async def extensions(url: str, viewer: Viewer, asked: dict[str, Any], *, explains: bool) -> dict[str, Any]:
    async with client(url, viewer, explains=explains) as sending:
        answer = (await sending.post("/graphql", json={"query": QUERY, "extensions": asked})).json()
    return dict(answer.get("extensions", {}))


async def test_who_may_do_everything_is_told_the_plan(database_url: str) -> None:
    told = await extensions(database_url, Viewer("usr_a"), {"plan": True}, explains=True)

    (level,) = told["plan"]["levels"]
    assert told["plan"]["byResolvers"] == ["viewer"]
    assert [below["path"] for below in level["below"]] == ["creditMemos.account", "creditMemos.pdfStatus"]
    assert "FROM credit_memos" in level["statements"][0]


@pytest.mark.parametrize(
    ("viewer", "asked", "explains"),
    [
        (Viewer("usr_a"), {"plan": True}, False),
        (Viewer("usr_a"), {}, True),
        (Viewer("usr_a", frozenset(sorted(ADMIN)[1:])), {"plan": True}, True),
        (Viewer("usr_a", ADMIN, frozenset({"acc_1"})), {"plan": True}, True),
    ],
    ids=["switched off", "not asked", "some scopes", "some accounts"],
)
async def test_nobody_else_is(viewer: Viewer, asked: dict[str, Any], explains: bool, database_url: str) -> None:
    assert "plan" not in await extensions(database_url, viewer, asked, explains=explains)
