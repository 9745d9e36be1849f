"""A plan answers exactly what resolvers answer: the licence for its existence."""

import asyncio
from collections.abc import Iterator
from random import Random

import orjson
import pytest
from graphql import ExecutionResult, parse, validate
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from cm_graphql import seeding
from cm_graphql.api import execution
from cm_graphql.api.context import Api, Context
from cm_graphql.api.schema import schema
from cm_graphql.engine.declare import PREFIXES
from cm_graphql.engine.runner import Engine
from cm_graphql.operations.viewer import ADMIN, Viewer
from cm_graphql.store.database import Database
from cm_graphql.store.direct import open_direct
from inventing import Inventor

CORE = schema._schema


class Both:
    """Asks the same query of resolvers and of plans."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.database = Database.open(url)
        self.api = Api(database=self.database)
        self.direct = open_direct(self.database)
        self.engine = Engine(schema, self.direct)
        self._runner.run(seeding.seed(self.database, memos=40, seed=7, lean=False, progress=lambda *_: None))
        self.ids, self.numbers, self.accounts = self._runner.run(self._known())

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

    def ask(self, query: str, viewer: Viewer) -> tuple[ExecutionResult, bytes | None]:
        """What resolvers answer, and what a plan answers where there is one."""
        return self._runner.run(self._ask(query, viewer))

    async def _ask(self, query: str, viewer: Viewer) -> tuple[ExecutionResult, bytes | None]:
        document = parse(query)
        context = Context.of(self.api, viewer=viewer, request_id="r")
        resolved = await execution.execute(CORE, document, None, {}, context)
        planned = await self.engine.data(document, None, {}, Context.of(self.api, viewer=viewer).loaders)
        return resolved, None if planned is None else orjson.dumps(planned)

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


def check(both: Both, dice: Random, is_limited: bool) -> None:
    """Ask a made-up query both ways; the answers must be the same to the byte."""
    query = Inventor(CORE, dice, both.ids, both.numbers).query()
    viewer = Viewer("usr_limited", ADMIN, frozenset(both.accounts[:1])) if is_limited else Viewer("usr_all")
    assume(not validate(CORE, parse(query)))

    resolved, planned = both.ask(query, viewer)

    if planned is not None:
        assert not resolved.errors, (query, resolved.errors)
        assert planned == orjson.dumps(resolved.data), query


@given(st.randoms(use_true_random=False), st.booleans())
def test_a_plan_answers_exactly_what_resolvers_answer(both: Both, dice: Random, is_limited: bool) -> None:
    check(both, dice, is_limited)


@pytest.mark.soak
@settings(max_examples=3_000)
@given(st.randoms(use_true_random=False), st.booleans())
def test_thousands_of_plans_answer_exactly_what_resolvers_answer(both: Both, dice: Random, is_limited: bool) -> None:
    check(both, dice, is_limited)


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
        "{ invoices(first: 3) { nodes { availableToCredit items { nodes { availableToCreditAmount } } } } }",
    ],
)
def test_common_queries_are_planned(both: Both, query: str) -> None:
    resolved, planned = both.ask(query % {"number": both.numbers[0], "id": both.ids[0]}, Viewer("usr_all"))

    assert not resolved.errors
    assert planned == orjson.dumps(resolved.data)


def test_a_plan_is_not_answered_with_the_statements_of_another(both: Both) -> None:
    first = f'{{ creditMemo(key: "{both.numbers[0]}") {{ items {{ nodes {{ sku }} }} }} }}'
    other = f'{{ creditMemo(key: "{both.numbers[0]}") {{ parts {{ nodes {{ amount }} }} }} }}'

    answers = [both.ask(query, Viewer("usr_all")) for query in (first, other, first)]

    assert all(planned == orjson.dumps(resolved.data) for resolved, planned in answers)


def test_a_field_that_fails_leaves_those_alone_that_share_its_loader(both: Both) -> None:
    shared = "unappliedCreditMemoAmounts { amount }"
    query = f"""{{
      bad: node(id: "{both.accounts[0]}") {{ ... on Account {{ {shared} creditMemos(first: -1) {{ totalCount }} }} }}
      good: node(id: "{both.accounts[0]}") {{ ... on Account {{ {shared} }} }}
    }}"""

    resolved, _ = both.ask(query, Viewer("usr_all"))

    assert resolved.data is not None
    assert resolved.data["bad"] is None
    assert resolved.data["good"]["unappliedCreditMemoAmounts"]
    assert [error.path for error in resolved.errors or ()] == [["bad", "creditMemos"]]
