"""A plan answers exactly what resolvers answer: the licence for its existence."""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from random import Random
from typing import Any, TypeAlias

import orjson
import pytest
from graphql import (
    ExecutionResult,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
)
from graphql.execution.values import VariableValues
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import literal_column, select
from sqlalchemy.dialects import sqlite

from cm_graphql import seeding
from cm_graphql.api import execution
from cm_graphql.api.context import Api, Context
from cm_graphql.api.documents import Document, Documents
from cm_graphql.api.errors import DocumentRefused, ExecutionErrors
from cm_graphql.api.limits import Limits
from cm_graphql.api.schema import schema
from cm_graphql.engine.operations import MOST_VARIANTS, Operation, operations_of
from cm_graphql.engine.roots import ListRoot
from cm_graphql.engine.runner import Engine
from cm_graphql.fields.declare import PREFIXES
from cm_graphql.operations.viewer import ADMIN, Viewer
from cm_graphql.store.database import Database
from cm_graphql.store.direct import open_direct
from cm_graphql.store.prepared import Statements
from inventing import Inventor
from reading import unsigned

CORE = schema._schema
ALL = Viewer("usr_all")

Variables: TypeAlias = Mapping[str, Any]
NONE: Variables = {}

FILTERED = "query ($filter: CreditMemoFilter) { creditMemos(filter: $filter) { totalCount nodes { number } } }"


OF_KINDS = {kind.name: prefix for prefix, kind in PREFIXES.items()}


class Both:
    """Asks the same query of resolvers and of plans."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.database = Database.open(url)
        self.api = Api(database=self.database)
        self.direct = open_direct(self.database)
        self.engine = Engine(schema, self.direct)
        self.planning = Api(database=self.database, engine=self.engine)
        self._runner.run(seeding.seed(self.database, memos=40, seed=7, lean=False, progress=lambda *_: None))
        self.ids, self.numbers, self.accounts = self._runner.run(self._known())
        self.cursors = self._places()

    async def _known(self) -> tuple[list[str], list[str], list[str]]:
        ids: list[str] = []
        async with self.database.read() as connection:
            for kind in PREFIXES.values():
                ids.extend((await connection.scalars(select(kind.table.c.id).limit(6))).all())
            memos = PREFIXES["cm"].table
            numbers = list((await connection.scalars(select(memos.c.number).limit(6))).all())
            owners = list((await connection.scalars(select(memos.c.account_id).distinct().limit(3))).all())
        unknown = [f"{prefix}_{7:032x}" for prefix in PREFIXES]
        return [*ids, *unknown, "cm_1", "zz_" + "0" * 32], numbers, owners

    def _places(self) -> dict[str, list[str]]:
        """Cursors of unsorted lists, by the type of the list."""
        assert CORE.query_type is not None
        found = {}
        for name, field in CORE.query_type.fields.items():
            list_type = get_named_type(field.type).name
            if list_type.endswith("Connection"):
                answer = orjson.loads(self.ask(f"{{ {name}(first: 9) {{ edges {{ cursor }} }} }}")[0])
                found[list_type] = [edge["cursor"] for edge in answer["data"][name]["edges"]]
        return found

    def ask(self, query: str, viewer: Viewer = ALL, variables: Variables = NONE) -> tuple[bytes, bytes]:
        """What resolvers answer alone, and what is answered with the help of plans, both as bytes."""
        return self._runner.run(self._ask(query, viewer, variables))

    async def _ask(self, query: str, viewer: Viewer, variables: Variables) -> tuple[bytes, bytes]:
        node = parse(query)
        document = Document(node, operations_of(node))
        resolved = execution.execute(CORE, node, None, variables, Context.of(self.api, viewer=viewer))
        helped = execution.answer(CORE, document, None, variables, Context.of(self.planning, viewer=viewer))
        return await _bytes(resolved), await _bytes(helped)

    def answer(self, operation: Operation, variables: Variables = NONE) -> dict[str, Any]:
        """What plans answer of an operation."""
        planned = self._runner.run(self.engine.answer(operation, variables, Context.of(self.api)))
        return {} if planned is None else planned.data

    def is_planned(self, query: str) -> bool:
        """Whether the only root field of a query is planned."""
        (operation,) = operations_of(parse(query)).values()
        return bool(self.engine.plan(operation, VariableValues({}, {})).roots)

    def counts(self) -> Counter[str]:
        """How many queries plans answered, so far."""
        return Counter(self.engine.counted)

    def close(self) -> None:
        """Close everything."""
        self._runner.run(self.direct.close())
        self._runner.run(self.database.dispose())
        self._runner.close()


@pytest.fixture(scope="module")
def both(module_database_url: str) -> Iterator[Both]:
    asked = Both(module_database_url)
    yield asked
    asked.close()


async def _bytes(asked: Awaitable[ExecutionResult]) -> bytes:
    """An answer as it is sent; errors are sorted, since resolvers that run together fail in any order."""
    try:
        result = await asked
    except DocumentRefused as refused:
        return orjson.dumps(refused.errors)
    errors = [ExecutionErrors("r").format(error) for error in result.errors or ()]
    return unsigned(orjson.dumps({"errors": sorted(errors, key=repr), "data": result.data}))


DICE = st.randoms(use_true_random=True)
"""Dice that fall evenly: those that Hypothesis throws itself make up odd queries mostly, which resolvers answer."""


def check(both: Both, dice: Random) -> None:
    """Ask a made-up query both ways; the answers must be the same to the byte."""
    inventor = Inventor(
        CORE, dice, both.ids, both.numbers, both.cursors, prefixes=OF_KINDS, seldom=[n.split(".")[1] for n in UNPLANNED]
    )
    query, variables = inventor.query(), inventor.variables()
    accounts = frozenset(both.accounts[:1]) if dice.random() < 0.5 else None
    scopes = frozenset(dice.sample(sorted(ADMIN), k=len(ADMIN) // 2)) if dice.random() < 0.2 else ADMIN
    assume(not validate(CORE, parse(query)))

    resolved, helped = both.ask(query, Viewer("usr_some", scopes, accounts), variables)

    assert helped == resolved, (query, variables)


@given(DICE)
def test_a_plan_answers_exactly_what_resolvers_answer(both: Both, dice: Random) -> None:
    check(both, dice)


@pytest.mark.soak
def test_thousands_of_plans_answer_exactly_what_resolvers_answer(both: Both) -> None:
    before = both.counts()

    @settings(max_examples=3_000)
    @given(DICE)
    def ask(dice: Random) -> None:
        check(both, dice)

    ask()

    counted = both.counts() - before
    print(f"{counted.total()} queries: {dict(counted)}")
    assert counted.total() >= 3_000
    assert counted["planned"] > counted["unplanned"]
    assert counted["planned"] + counted["partly"] > 0.7 * counted.total()


@pytest.mark.parametrize(
    "query",
    [
        '{ creditMemo(key: "%(number)s") { number account { name }'
        " items { nodes { sku taxationItems { nodes { name } } } } } }",
        "{ creditMemos(first: 5, filter: {status: {in: [POSTED]}}, sort: [{field: AMOUNT, direction: DESC}])"
        " { totalCount pageInfo { endCursor hasNextPage } edges { cursor node { number amount } } } }",
        "{ creditMemos { nodes { account { name } items { nodes { amount taxationItems { nodes { taxAmount } } } }"
        " parts { nodes { amount invoice { invoiceNumber balance }"
        " itemParts { nodes { amount taxItem { id } } } } } } } }",
        '{ node(id: "%(id)s") { id ... on Account { name } ... on CreditMemo { number } } }',
        "{ accounts(last: 2) { nodes { creditMemos(first: 2) { totalCount nodes { netSuite { origin } } } } } }",
        "{ creditMemos(first: 9) { nodes { pdfStatus { pdfGenerationStatus createdOn creditMemo { number } }"
        " customRates { currency customFxRate rateDate } files { nodes { downloadUrl } }"
        " history { nodes { targets { amount target { __typename id } } amountsAfter { amount } note } } } } }",
        "{ accounts { nodes { unappliedCreditMemoAmounts { currency amount } } }"
        " productRatePlanCharges { nodes { prices { currency price } } } }",
        "{ invoices(first: 3) { nodes { availableToCredit items { nodes { availableToCreditAmount } } } } }",
    ],
)
def test_common_queries_are_planned(both: Both, query: str) -> None:
    before = both.counts()

    resolved, helped = both.ask(query % {"number": both.numbers[0], "id": both.ids[0]})

    assert helped == resolved
    assert b'"errors":[]' in resolved
    assert both.counts() - before == {"planned": 1}


UNPLANNED = {
    "Query.creditMemoPdfStatuses": "finds each memo by an id or a number; fifty at most",
    "Query.creditMemoSummary": "groups by what is asked: no rows of a type",
    "Query.settings": "one row of its own, seldom asked for",
    "Query.viewer": "known without the database",
    "CreditMemo.availableActions": "asks the rules that actions ask, which read what they need through a session",
}
"""The fields that resolvers answer, and why; with one of them, so does the root field above it."""


def test_resolvers_answer_few_fields(both: Both) -> None:
    query_type = CORE.query_type
    assert query_type is not None
    asked = {f"Query.{name}": f"{{ {selected(query_type, name)} }}" for name in query_type.fields}
    for kind in PREFIXES.values():
        node = CORE.type_map[kind.name]
        assert isinstance(node, GraphQLObjectType)
        for name in node.fields:
            asked[f"{kind.name}.{name}"] = f'{{ node(id: "x") {{ ... on {kind.name} {{ {selected(node, name)} }} }} }}'

    left = {field for field, query in asked.items() if not both.is_planned(query)}

    assert left == set(UNPLANNED)


def selected(parent: GraphQLObjectType, name: str) -> str:
    """The selection of a field and of all that lies below it, down to the next things with an id."""
    field = parent.fields[name]
    required = [name for name, argument in field.args.items() if isinstance(argument.type, GraphQLNonNull)]
    arguments = f"({', '.join(f'{name}: []' if name.endswith('s') else f'{name}: 1' for name in required)})"
    named = get_named_type(field.type)
    text = name + (arguments if required else "")
    if is_leaf_type(named):
        return text
    if not isinstance(named, GraphQLObjectType) or "id" in named.fields:
        return f"{text} {{ __typename id }}"
    return f"{text} {{ {' '.join(selected(named, inner) for inner in named.fields)} }}"


def test_a_plan_is_not_answered_with_the_statements_of_another(both: Both) -> None:
    first = f'{{ creditMemo(key: "{both.numbers[0]}") {{ items {{ nodes {{ sku }} }} }} }}'
    other = f'{{ creditMemo(key: "{both.numbers[0]}") {{ parts {{ nodes {{ amount }} }} }} }}'

    answers = [both.ask(query) for query in (first, other, first)]

    assert all(helped == resolved for resolved, helped in answers)


@pytest.mark.parametrize(
    "left",
    [
        "viewer { id }",
        "__schema { queryType { name } }",
        "bad: creditMemos(first: -1) { totalCount }",
        'bad: node(id: "nonsense") { id }',
        "bad: accounts(first: -1) { totalCount }",
    ],
)
def test_what_cannot_be_planned_takes_only_its_own_root_field_the_ordinary_way(both: Both, left: str) -> None:
    before = both.counts()

    resolved, helped = both.ask(
        f"{{ a: __typename invoices(first: 2) {{ totalCount }} {left} accounts {{ totalCount }} }}"
    )

    assert helped == resolved
    assert both.counts() - before == {"partly": 1}


def test_no_operation_is_answered_by_the_plan_of_one_that_is_gone(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cm_graphql.api.documents.CACHED_DOCUMENTS", 10)
    documents = Documents(CORE, Limits())
    wrong = []
    for i in range(200):
        # Two of three are refused for their variables, and so are remembered without a plan.
        text = f"query ($x: Int{'!' * (i % 3 > 0)}) {{ a{i}: accounts(first: $x) {{ totalCount }} }}"
        operation = documents.prepare(text).operation(None)
        assert operation is not None
        if list(both.answer(operation)) != ([] if i % 3 else [f"a{i}"]):
            wrong.append(i)

    assert not wrong


def test_only_some_variants_of_an_operation_are_kept(both: Both) -> None:
    names = [f"$v{i}" for i in range(6)]
    fields = " ".join(f"a{i}: id @include(if: {name})" for i, name in enumerate(names))
    declared = ", ".join(f"{name}: Boolean!" for name in names)
    (operation,) = operations_of(
        parse(f"query ({declared}) {{ accounts {{ totalCount nodes {{ {fields} }} }} }}")
    ).values()

    for number in range(2 ** len(names)):
        wanted = {f"v{i}": bool(number >> i & 1) for i in range(len(names))}
        (first, *_) = both.answer(operation, wanted)["accounts"]["nodes"]
        assert list(first) == [f"a{i}" for i in range(len(names)) if wanted[f"v{i}"]]

    assert len(operation.plans) == MOST_VARIANTS


def test_a_field_that_fails_leaves_those_alone_that_share_its_loader(both: Both) -> None:
    shared = "unappliedCreditMemoAmounts { amount }"
    query = f"""{{
      bad: node(id: "{both.accounts[0]}") {{ ... on Account {{ {shared} creditMemos(first: -1) {{ totalCount }} }} }}
      good: node(id: "{both.accounts[0]}") {{ ... on Account {{ {shared} }} }}
    }}"""

    answer = orjson.loads(both.ask(query)[0])

    assert answer["data"]["bad"] is None
    assert answer["data"]["good"]["unappliedCreditMemoAmounts"]
    assert [error["path"] for error in answer["errors"]] == [["bad", "creditMemos"]]


def test_a_document_weighs_what_its_plans_take(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = Documents(CORE, Limits())
    texts = [f"query Q{i} {{ nodes(ids: []) {{ id }} }}" for i in range(5)]
    prepared = [documents.prepare(text) for text in texts]
    before = documents._kept_tokens

    for document in prepared:
        both.answer(document.operations[next(iter(document.operations))])

    planned = sum(document.weight for document in prepared)
    assert planned > before
    assert documents._kept_tokens == planned
    monkeypatch.setattr("cm_graphql.api.documents.CACHED_TOKENS", planned - 1)
    documents.prepare("{ viewer { id } }")
    assert list(documents._kept) == [*texts[1:], "{ viewer { id } }"]


def test_a_forgotten_document_leaves_nothing_to_the_collector(both: Both) -> None:
    documents = Documents(CORE, Limits())
    shown = "id amount updatedDate account { name createdDate } items(first: 2) { nodes { id } }"
    text = f"{{ creditMemos(first: 2) {{ nodes {{ {shown} }} }} }}"
    both.answer(documents.prepare(text).operations[None])
    gc.collect()

    documents._kept.clear()

    assert gc.collect() < 20, "it comes so seldom to what has lived for long that memory would grow for hours"


def test_statements_are_kept_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cm_graphql.store.prepared.MOST_CHARACTERS", 200)
    statements = Statements(sqlite.dialect())

    for i in range(50):
        statements.get(i, lambda: select(literal_column("1234567890").label("a")), ())

    assert 1 < len(statements._kept) < 20
    assert sum(len(kept.sql) for kept in statements._kept.values() if kept) == statements._characters <= 200


def test_filters_that_differ_in_values_share_a_statement(both: Both) -> None:
    (operation,) = operations_of(parse(FILTERED)).values()
    kept = both.engine._statements._kept

    both.answer(operation, {"filter": {"status": {"in": ["DRAFT"]}, "amount": {"gt": "1"}, "search": "a"}})
    before = len(kept)
    for amount in range(20):
        filter = {"status": {"in": ["POSTED"]}, "amount": {"gt": str(amount)}, "search": f"b{amount}"}
        assert both.answer(operation, {"filter": filter})

    assert len(kept) == before


PAGED = """query ($status: MemoStatus, $first: Int, $after: String, $before: String, $search: String) {
    creditMemos(first: $first, after: $after, before: $before,
        filter: { status: { eq: $status }, or: [{ search: $search }, { amount: { gte: "0" } }] }, %s
    ) { nodes { id } pageInfo { endCursor startCursor hasNextPage hasPreviousPage } }
}"""


@pytest.mark.parametrize(
    "sort", ["sort: [{ field: CREDIT_MEMO_DATE, direction: DESC }]", "sort: [{ field: TARGET_DATE }]"]
)
def test_each_request_of_a_document_is_answered_its_own_page(both: Both, sort: str) -> None:
    query = PAGED % sort
    (kept,) = operations_of(parse(query)).values()
    pages: list[Variables] = [{"status": "POSTED", "first": first} for first in (3, 1, 3, 0)]
    pages += [{"status": status, "first": 3} for status in ("DRAFT", None, "POSTED")]
    info = both.answer(kept, pages[0])["creditMemos"]["pageInfo"]
    pages += [{**pages[0], "after": info["endCursor"]}, {**pages[0], "after": info["startCursor"]}, pages[0]]
    pages += [{**pages[0], "before": info["endCursor"]}, {**pages[0], "after": info["startCursor"], "before": None}]
    pages += [{**pages[0], "after": info["startCursor"], "before": info["endCursor"]}, pages[0], {"first": 3}]
    pages += [{"first": 3, "search": text} for text in ("a", "b" * 900, "a")]

    for page in pages:
        (fresh,) = operations_of(parse(query)).values()
        expected = both.answer(fresh, page)

        assert both.answer(kept, page) == expected, page
        assert both.answer(kept, page) == expected, page


def test_few_of_the_ways_to_ask_for_a_list_are_kept_and_none_that_is_long(both: Both) -> None:
    (operation,) = operations_of(parse(PAGED % "")).values()

    for text in (*(f"text {i}" for i in range(20)), "long" * 100):
        both.answer(operation, {"first": 1, "search": text})

    root = both.engine.plan(operation, VariableValues({}, {})).roots["creditMemos"]
    assert isinstance(root, ListRoot)
    kept = [asked.values[-2] for asked in root.lists.kept.values()]
    assert kept == [f"%text {i}%" for i in range(16, 20)]


VARIED: Mapping[str, tuple[Any, ...]] = {
    "query ($v: [ID!]!) { nodes(ids: $v) { id } }": ([], ["cm_1"], "cm_" + "0" * 32, [None], None, ["inv_" + "0" * 32]),
    "query ($v: [ID!]!) { creditMemos(filter: { accountId: { in: $v } }) { totalCount } }": ([], ["x"], "x", {}, [1]),
    "query ($v: Date) { creditMemos(filter: { creditMemoDate: { gte: $v } }) { totalCount } }": (
        "2026-03-01",
        "2026-02-30",
        None,
        5,
    ),
    "query ($v: Decimal = 3) { creditMemos(filter: { amount: { gt: $v } }) { totalCount } }": (
        "12.50",
        12,
        1.5,
        None,
        "1e3",
        2**200,
    ),
    "query ($v: [Decimal!]) { creditMemos(filter: { amount: { in: $v } }) { totalCount } }": (
        ["1", 2],
        ["x"],
        "1",
        None,
    ),
    "query ($v: [MemoStatus!]) { creditMemos(filter: { status: { in: $v } }) { totalCount } }": (["DRAFT"], ["X"], [1]),
    "query ($v: DateTime) { creditMemos(filter: { updatedDate: { lt: $v } }) { totalCount } }": (
        "2026-03-01T00:00:00Z",
        "2026-03-01",
    ),
}
"""Queries with a variable, and values of it, some of which are wrong."""


@pytest.mark.parametrize("query", VARIED)
def test_variables_of_any_kind_mean_the_same_to_plans(both: Both, query: str) -> None:
    assert not validate(CORE, parse(query))
    for variables in (NONE, *({"v": value} for value in VARIED[query])):
        resolved, helped = both.ask(query, variables=variables)

        assert helped == resolved, variables


def test_nobody_is_planned_tens_of_thousands_of_levels(both: Both) -> None:
    selection = "{ id }"
    for _ in range(5):
        selection = f"{{ ... on CreditMemoItem {{ sourceItem {selection} creditFromItem {selection} }} }}"
    query = f'{{ creditMemoItem(id: "cmi_{0:032x}") {{ sourceItem {selection} }} }}'
    (operation,) = operations_of(parse(query)).values()

    assert both.answer(operation) == {}
    assert sum(plan.weight for plan in operation.plans.values()) < 20_000
