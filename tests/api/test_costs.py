"""What operations cost before they run: page sizes multiply, and whoever asks for too much is told what would do."""

import time
from typing import Any

import httpx
import pytest
from graphql import parse, validate

from cm_graphql.api.context import Api, Context
from cm_graphql.api.costs import CEILING, Bill, costings
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.limits import Limits
from cm_graphql.api.schema import schema
from cm_graphql.store.database import Database
from shopping import Shop

CORE = schema._schema


def bill(text: str, **variables: Any) -> Bill:
    """What the only operation of a valid document costs."""
    document = parse(text)
    assert not validate(CORE, document)
    (costing,) = costings(CORE, document).values()
    return costing.in_request(variables)


@pytest.mark.parametrize(
    ("query", "variables", "cost"),
    [
        ("{ __typename viewer { id } }", {}, 1),
        ("{ creditMemos { nodes { id } } }", {}, 1 + 20),
        (
            "{ creditMemos(first: 3) { edges { node { id netSuite { origin } } } pageInfo { endCursor } } }",
            {},
            4,
        ),
        ("{ creditMemos(first: 3) { totalCount } }", {}, 1 + 5),
        ("{ creditMemos(first: 3) { nodes { account { name } } } }", {}, 1 + 3 * 2),
        ("{ creditMemos(first: 3) { nodes { items(first: 4) { nodes { id } } } } }", {}, 1 + 3 * (1 + 1 + 4)),
        ("query($n: Int) { creditMemos(last: $n) { nodes { id } } }", {"n": 7}, 1 + 7),
        ("query($n: Int = 9) { creditMemos(first: $n) { nodes { id } } }", {}, 1 + 9),
        ("query($n: Int) { creditMemos(first: $n) { nodes { id } } }", {}, 1 + 20),
        ("query($n: Int) { creditMemos(first: $n) { nodes { id } } }", {"n": "many"}, 1 + 20),
        ("query($n: Int) { creditMemos(first: $n) { nodes { id } } }", {"n": 10**30}, 1 + 100),
        ("query($n: Int) { creditMemos(first: $n) { nodes { id } } }", {"n": -1}, 1),
        ("query($a: [ID!]!) { nodes(ids: $a) { id } }", {"a": ["x"] * 30}, 30),
        ('{ nodes(ids: ["a", "b"]) { id } }', {}, 2),
        ("query($b: Boolean!) { viewer { id } creditMemos @skip(if: $b) { nodes { id } } }", {"b": True}, 1),
        ("query($b: Boolean!) { viewer { id } creditMemos @skip(if: $b) { nodes { id } } }", {"b": False}, 1 + 21),
        ("{ viewer { id } ... @include(if: false) { creditMemos { nodes { id } } } }", {}, 1),
        ("{ creditMemos(first: 2) { nodes { ...F } } } fragment F on CreditMemo { account { id } }", {}, 1 + 2 * 2),
        ("{ creditMemos(first: 2) { ...F } } fragment F on CreditMemoConnection { nodes { id } }", {}, 1 + 2),
        ("{ creditMemoSummary { count } }", {}, 1_000 + 10),
        (
            "mutation($i: CreateCreditMemosInput!) { createCreditMemos(input: $i) { results { creditMemo { id } } } }",
            {"i": {"memos": [{}] * 50}},
            1 + 50 * 2,
        ),
        (
            "mutation($k: ID!, $l: [InvoiceApplicationInput!]) "
            "{ applyCreditMemo(input: { key: $k, invoices: $l }) { userErrors { code } } }",
            {"k": "cm_1", "l": [{}] * 50},
            1 + 50,
        ),
        (
            "mutation($k: ID!) { applyCreditMemo(input: { key: $k, invoices: "
            '[{ invoiceKey: "inv_1", amount: 1 }] }) { userErrors { code } } }',
            {"k": ["no", "list"]},
            1 + 1,
        ),
    ],
)
def test_a_thing_costs_one_and_a_page_as_many_times_as_it_is_long(
    query: str, variables: dict[str, Any], cost: int
) -> None:
    assert bill(query, **variables).total == cost


def test_fragments_cost_what_they_cost_written_out() -> None:
    inner = "nodes { id items(first: 7) { nodes { id taxationItems { totalCount nodes { id } } } } }"
    written = f"{{ a: creditMemos(first: 5) {{ {inner} }} b: creditMemos {{ {inner} }} }}"
    spread = "{ a: creditMemos(first: 5) { ...F } b: creditMemos { ...F } }"
    spread += f" fragment F on CreditMemoConnection {{ {inner} }}"

    assert bill(spread) == bill(written)


def test_multiplied_pages_end_in_a_number_that_can_be_read() -> None:
    inner = "id"
    for _ in range(8):
        inner = f"creditMemos(first: 100) {{ nodes {{ account {{ {inner} }} }} }}"

    dear = bill("{ accounts(first: 100) { nodes { " + inner + " } } }")

    assert dear.total == CEILING
    assert "more than 999,999,999,999" in dear.explanation(10)


def test_costs_take_no_time_however_fragments_double() -> None:
    spreads = "".join(
        f"fragment F{i} on CreditMemo {{ account {{ creditMemos {{ nodes {{ ...F{i + 1} ...F{i + 1} }} }} }} }}"
        for i in range(9)
    )
    text = "{ creditMemos { nodes { ...F0 } } }" + spreads + "fragment F9 on CreditMemo { id }"
    many = "".join(f"query Q{i} {{ creditMemos {{ nodes {{ ...F }} }} }}" for i in range(300))
    many += "fragment F on CreditMemo {" + " ".join(f"a{i}: account {{ id }}" for i in range(300)) + "}"

    started = time.perf_counter()
    bill(text)
    costings(CORE, parse(many))

    assert time.perf_counter() - started < 2


# --- over HTTP --------------------------------------------------------------------------------------------------------

DEEP = """{
  creditMemos(first: 100) { nodes { items(first: 250) { nodes { taxationItems(first: 250) { nodes { id } } } } } }
}"""


@pytest.fixture
def shop(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A shop."""
    opened = Shop(database_url, tmp_path_factory.mktemp("files"))
    yield opened
    opened.close()


def test_what_costs_too_much_is_refused_with_what_it_costs_and_what_would_do(shop: Shop) -> None:
    (error,) = shop.answer(DEEP)["errors"]

    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "cost", "maximum": 2_000_000, "actual": 6_300_201}
    assert error["message"] == (
        "The operation costs up to 6,300,201; at most 2,000,000 is allowed. Most of it is creditMemos (100), each with "
        "items (250), each with taxationItems (250). Ask for smaller pages with `first`, or for what is below them in "
        "requests of their own."
    )


async def test_whoever_asks_is_told_the_cost(database_url: str) -> None:
    database = Database.open(database_url)
    api = Api(database=database)

    async def make_context(_request: Any, request_id: str) -> Context:
        return Context.of(api, request_id=request_id)

    endpoint = GraphQLOverHTTP(CORE, make_context, limits=Limits(cost=50))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://test") as client:
        query = "query($n: Int) { creditMemos(first: $n) { nodes { id } } }"
        body: dict[str, Any] = {"query": query, "variables": {"n": 49}}

        plain = await client.post("/graphql", json=body)
        by_header = await client.post("/graphql", json=body, headers={"x-graphql-cost": "1"})
        by_extension = await client.post("/graphql", json={**body, "extensions": {"cost": True}})
        above = await client.post("/graphql", json={**body, "variables": {"n": 50}})

    assert "extensions" not in plain.json()
    for answer in (by_header, by_extension):
        assert answer.json()["extensions"] == {"cost": {"requested": 50, "maximum": 50}}
    assert above.json()["errors"][0]["extensions"]["actual"] == 51
    await database.dispose()
