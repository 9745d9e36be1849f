"""The largest request of each mutation that the rules allow passes all limits on requests, as they are unless set."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    get_named_type,
    is_list_type,
    parse,
)
from graphql.type import get_nullable_type

from cm_graphql.api.limits import Limits
from cm_graphql.api.schema import schema
from databases import Databases, chosen_kinds
from shopping import Shop

CORE = schema._schema
assert CORE.mutation_type is not None
MUTATIONS = sorted(set(CORE.mutation_type.fields) - {"uploadCreditMemoFile"})  # tests/api/test_uploads.py

LENGTHS: Final[dict[str, tuple[int, ...]]] = {
    "createCreditMemos": (50, 200),
    "updateCreditMemos": (50, 200),
    "applyCreditMemo": (1_000, 7),
    "unapplyCreditMemo": (1_000, 7),
    "syncInvoices": (100, 100),
    "syncDebitMemos": (100, 100),
    "syncCreditMemos": (100, 100),
}
"""How long lists are, from the outside to the inside; deeper ones have one element (domain.md 0, api.md)."""

SCALARS: Final[dict[str, Any]] = {
    "Boolean": True,
    "Date": "2026-03-15",
    "DateTime": "2026-03-15T12:00:00Z",
    "Decimal": "1.00",
    "Int": 1,
    "JSON": {"custom__c": "x" * 20},
}

TOP = {"idempotencyKey", "dryRun"}

SLOW: Final = {"syncCreditMemos", "syncDebitMemos", "syncInvoices", "updateCreditMemos"}
"""Each takes some seconds to read 10,000 lines and more."""


def largest(mutation: str) -> dict[str, Any]:
    """An input with every field, and lists as long as they may be."""
    assert CORE.mutation_type is not None
    argument = CORE.mutation_type.fields[mutation].args["input"]
    lengths = LENGTHS.get(mutation, (100,) if mutation.startswith("sync") else (1_000,))
    made: dict[str, Any] = value(get_named_type(argument.type), lengths)
    return {name: inner for name, inner in made.items() if name not in TOP}


def value(type_: Any, lengths: tuple[int, ...]) -> Any:
    """A value of an input type; every element of a list is the same object, which makes no difference on the wire."""
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if not isinstance(type_, GraphQLInputObjectType):
        return SCALARS.get(type_.name, f"cm_{7:032x}" if type_.name == "ID" else "text")
    fields = dict(type_.fields)
    if type_.is_one_of:
        name = "fromCharges" if "fromCharges" in fields else next(iter(fields))
        fields = {name: fields[name]}
    made: dict[str, Any] = {}
    for name, field in fields.items():
        inner = get_named_type(field.type)
        if is_list_type(get_nullable_type(field.type)):
            plain = not isinstance(inner, GraphQLInputObjectType)
            length = 1 if plain or name in ("customRates", "gatewayOptions") or not lengths else lengths[0]
            made[name] = [value(inner, lengths[1:])] * length
        else:
            made[name] = value(inner, lengths)
    return made


def filled(query: str) -> str:
    """A document with a mutation and, beside it, what fills all tokens and bytes that a document may have."""
    most = Limits()
    beside = "query Other {{ creditMemos(filter: {{number: {{in: [{}]}}}}) {{ totalCount }} }}"
    free = most.tokens - tokens_of(query + beside.format(""))
    values = " ".join(['"cm_12345"'] * free)
    text = f"{query} {beside.format(values)}"
    return text.ljust(most.document_bytes)


def tokens_of(text: str) -> int:
    return parse(text).token_count


@pytest.fixture(
    scope="module",
    params=[kind if kind == "sqlite" else pytest.param(kind, marks=pytest.mark.soak) for kind in chosen_kinds()],
)
def shop(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A shop: what is tried here lies before the database, which so is SQLite in the shorter run."""
    with databases.fresh(request.param) as url:
        opened = Shop(url, tmp_path_factory.mktemp("files"))
        yield opened
        opened.close()


@pytest.mark.parametrize(
    "mutation", [pytest.param(name, marks=pytest.mark.soak) if name in SLOW else name for name in MUTATIONS]
)
def test_the_largest_request_of_a_mutation_passes_the_limits(shop: Shop, mutation: str) -> None:
    assert CORE.mutation_type is not None
    field = CORE.mutation_type.fields[mutation]
    given = largest(mutation)
    payload = get_named_type(field.type)
    selected = "results { userErrors { code } }" if "results" in payload.fields else "__typename"
    query = (
        f"mutation M($i: {field.args['input'].type}) {{ {mutation}(input: $i) {{ {selected} userErrors {{ code }} }} }}"
    )
    query = filled(query)

    size = len(json.dumps({"query": query, "variables": {"i": given}, "operationName": "M"}))
    assert size < Limits().body_bytes, f"{size} bytes"
    answer = shop.answer(query, {"i": given}, operation_name="M")

    assert "LIMIT_EXCEEDED" not in json.dumps(answer), answer
    assert "errors" not in answer or {e["extensions"]["code"] for e in answer["errors"]} <= {"BAD_USER_INPUT"}, answer


def test_documents_and_lists_that_have_a_limit_are_full() -> None:
    document = filled("mutation M($i: PostCreditMemoInput!) { postCreditMemo(input: $i) { userErrors { code } } }")
    assert (tokens_of(document), len(document)) == (Limits().tokens, Limits().document_bytes)
    bulk = largest("createCreditMemos")
    assert sum(len(memo["fromCharges"]["charges"]) for memo in bulk["memos"]) == 10_000
    apply = largest("applyCreditMemo")
    assert (len(apply["invoices"]), len(apply["debitMemos"])) == (1_000, 1_000)
    assert sum(len(one["items"]) for kind in ("invoices", "debitMemos") for one in apply[kind]) == 14_000
