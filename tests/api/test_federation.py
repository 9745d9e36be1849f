"""The server as a subgraph of Apollo Federation: entities by their keys, many at once, each only for who may see it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from graphql import build_schema, get_introspection_query, introspection_from_schema
from sqlalchemy import event, select
from starlette.requests import HTTPConnection

from cm_graphql import seeding
from cm_graphql.api.context import Api, Context
from cm_graphql.api.federation import MOST, as_subgraph, subgraph_sdl
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.schema import schema
from cm_graphql.engine.runner import Engine
from cm_graphql.fields.declare import PREFIXES
from cm_graphql.operations.viewer import ADMIN, LOCAL, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.direct import open_direct

ASK = """query($these: [_Any!]!) {
  _entities(representations: $these) {
    __typename
    ... on CreditMemo { id number status account { id } }
    ... on Invoice { id invoiceNumber }
    ... on Account { id name }
  }
}"""


class Router:
    """Asks as a router does."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.viewer = LOCAL
        self.direct = open_direct(database)
        api = Api(database=database, engine=Engine(schema, self.direct))

        async def make_context(_request: HTTPConnection, request_id: str) -> Context:
            return Context.of(api, viewer=self.viewer, request_id=request_id)

        endpoint = GraphQLOverHTTP(as_subgraph(schema._schema), make_context)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://test")

    async def ask(self, query: str, **variables: Any) -> Any:
        return (await self.client.post("/graphql", json={"query": query, "variables": variables})).json()

    async def entities(self, *these: Any) -> Any:
        answer = await self.ask(ASK, these=list(these))
        return answer["data"]["_entities"], answer.get("errors", [])


@pytest.fixture(scope="module")
def seeded_url(module_database_url: str) -> str:
    async def fill() -> None:
        database = Database.open(module_database_url)
        await seeding.seed(database, memos=12, seed=3, lean=True, progress=lambda *_: None)
        await database.dispose()

    asyncio.run(fill())
    return module_database_url


@pytest.fixture
async def router(seeded_url: str) -> AsyncIterator[Router]:
    database = Database.open(seeded_url)
    made = Router(database)
    yield made
    await made.direct.close()
    await made.client.aclose()
    await database.dispose()


async def test_all_else_is_answered_as_without_federation(router: Router) -> None:
    sorted_by = "query ($way: SortDirection) { creditMemos(first: 3, sort: [{field: NUMBER, direction: $way}]) { nodes"
    answers = [
        await router.ask(f"{sorted_by} {{ number status availableActions {{ action }} }} }} }}", way="DESC"),
        await router.ask("{ creditMemoSummary(groupBy: [STATUS]) { key { status } } }"),
        await router.ask(get_introspection_query(one_of=True, input_value_deprecation=True)),
        await router.ask("mutation { createCreditMemos(input: {memos: [{}]}) { userErrors { code } } }"),
    ]

    assert [answer.get("errors", []) for answer in answers[:3]] == [[]] * 3
    assert answers[3]["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    plain = {kind["name"]: kind for kind in introspection_from_schema(schema._schema)["__schema"]["types"]}
    told = {kind["name"]: kind for kind in answers[2]["data"]["__schema"]["types"]}
    assert told.keys() - plain.keys() == {"_Any", "_Entity", "_Service"}
    assert told["CreditMemoSort"]["inputFields"][1]["defaultValue"] == "ASC"


async def memos_of(router: Router) -> list[Any]:
    async with router.database.read() as connection:
        return list(await connection.execute(select(t.credit_memos).order_by(t.credit_memos.c.number)))


def test_the_text_of_the_subgraph_gives_every_thing_its_keys() -> None:
    sdl = subgraph_sdl(schema._schema)

    assert 'type CreditMemo implements Node @key(fields: "id") @key(fields: "number") {' in sdl
    assert 'type Invoice implements Node @key(fields: "id") @key(fields: "invoiceNumber") {' in sdl
    assert sdl.count('@key(fields: "id") ') == len(PREFIXES)
    definitions = "directive @key(fields: String!) repeatable on OBJECT directive @shareable on OBJECT\n"
    build_schema(definitions + sdl.partition("\n\n")[2])


async def test_a_router_is_told_the_schema_and_asks_for_things_by_id_and_number(router: Router) -> None:
    memo = (await memos_of(router))[0]
    told = await router.ask("{ _service { sdl } }")
    assert told["data"]["_service"]["sdl"] == subgraph_sdl(schema._schema)

    found, errors = await router.entities(
        {"__typename": "CreditMemo", "number": memo.number},
        {"__typename": "CreditMemo", "id": memo.id},
        {"__typename": "Account", "id": memo.account_id},
        {"__typename": "Invoice", "invoiceNumber": "NONE"},
    )

    assert not errors
    shown = {"__typename": "CreditMemo", "id": memo.id, "number": memo.number, "status": memo.status.name}
    shown["account"] = {"id": memo.account_id}
    assert found[0] == found[1] == shown
    assert found[2]["id"] == memo.account_id
    assert found[3] is None


async def test_ordinary_fields_are_answered_beside_them(router: Router) -> None:
    memo = (await memos_of(router))[0]
    these = [{"__typename": "CreditMemo", "id": memo.id}]
    query = "query($t: [_Any!]!) { creditMemos { totalCount } _entities(representations: $t) { ... on Node { id } } }"

    answer = await router.ask(query, t=these)

    assert answer["data"] == {"creditMemos": {"totalCount": 12}, "_entities": [{"id": memo.id}]}


@pytest.mark.parametrize(
    "wrong",
    [
        1,
        {},
        {"__typename": "Query"},
        {"__typename": "CreditMemo"},
        {"__typename": "CreditMemo", "id": 5},
        {"__typename": "CreditMemo", "id": "inv_00000000000000000000000000000007"},
        {"__typename": "CreditMemoItem", "number": "x"},
    ],
)
async def test_what_represents_nothing_is_bad_input_and_spares_the_others(router: Router, wrong: Any) -> None:
    memo = (await memos_of(router))[0]

    found, errors = await router.entities(wrong, {"__typename": "CreditMemo", "id": memo.id})

    assert found[0] is None
    assert found[1]["id"] == memo.id
    assert [(error["path"], error["extensions"]["code"]) for error in errors] == [(["_entities", 0], "BAD_USER_INPUT")]


async def test_many_entities_take_one_statement_for_each_kind_and_have_an_end(router: Router) -> None:
    memos = await memos_of(router)
    statements: list[str] = []
    event.listen(
        router.database.readers.sync_engine,
        "before_cursor_execute",
        lambda _c, _cu, statement, *_: statements.append(statement),
    )

    await router.entities(*({"__typename": "CreditMemo", "id": memo.id} for memo in memos))

    assert len([one for one in statements if one.startswith("SELECT")]) == 2  # the memos, and their accounts
    answer = await router.ask(ASK, these=[{"__typename": "CreditMemo", "id": memos[0].id}] * (MOST + 1))
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_entities_are_shown_to_who_may_see_them_alone(router: Router) -> None:
    memos = await memos_of(router)
    mine = memos[0].account_id
    theirs = next(memo for memo in memos if memo.account_id != mine)
    router.viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))

    found, errors = await router.entities(
        {"__typename": "CreditMemo", "id": memos[0].id},
        {"__typename": "CreditMemo", "id": theirs.id},
        {"__typename": "CreditMemo", "number": theirs.number},
        {"__typename": "Account", "id": theirs.account_id},
    )
    assert not errors
    assert found[0]["id"] == memos[0].id
    assert found[1:] == [None, None, None]

    router.viewer = Viewer("usr_reader", frozenset({"documents:read"}))
    found, errors = await router.entities({"__typename": "CreditMemo", "id": memos[0].id})
    assert found == [None]
    assert errors[0]["extensions"]["code"] == "FORBIDDEN"
