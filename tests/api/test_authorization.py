"""Who may read what: scopes on every type, and for callers of some accounts no trace of the others'."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import aclosing
from random import Random
from typing import Any

import pytest
from graphql import parse, validate
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import select

from cm_graphql import seeding
from cm_graphql.api import execution
from cm_graphql.api.context import Api, Context
from cm_graphql.api.documents import Document
from cm_graphql.api.errors import ExecutionErrors
from cm_graphql.api.schema import schema
from cm_graphql.engine.declare import PREFIXES
from cm_graphql.engine.operations import operations_of
from cm_graphql.engine.runner import Engine
from cm_graphql.operations.ports import new_id
from cm_graphql.operations.viewer import ADMIN, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.direct import open_direct
from inventing import Inventor

CORE = schema._schema
ID = re.compile(r"\b[a-z]{2,3}_[0-9a-f]{32}\b")


class Tenant:
    """A database of several accounts, and what is whose."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.database = Database.open(url)
        self.api = Api(database=self.database)
        self.direct = open_direct(self.database)
        self.planning = Api(database=self.database, engine=Engine(schema, self.direct))
        self._runner.run(seeding.seed(self.database, memos=40, seed=7, lean=False, progress=lambda *_: None))
        self._runner.run(self._look())

    async def _look(self) -> None:
        self.owners: dict[str, str | None] = {}
        self.numbers: dict[str, str] = {}
        async with self.database.read() as connection:
            memos = PREFIXES["cm"].table
            found = await connection.scalars(
                select(memos.c.account_id).distinct().order_by(memos.c.account_id).limit(2)
            )
            self.accounts = list(found.all())
            for kind in PREFIXES.values():
                if kind.owner is None:
                    continue
                for row in await connection.execute(select(kind.table.c.id, kind.owner(kind.table))):
                    self.owners[row[0]] = row[1]
            for prefix, number in (("acc", "number"), ("cm", "number"), ("inv", "invoice_number"), ("dm", "number")):
                table = PREFIXES[prefix].table
                for row in await connection.execute(select(table.c[number], table.c.id)):
                    self.numbers[row[0]] = row[1]

    def foreign(self, account: str) -> set[str]:
        """The ids of all that is not this account's."""
        return {id for id, owner in self.owners.items() if owner != account}

    def ask(self, query: str, viewer: Viewer) -> dict[str, Any]:
        """The answer, from resolvers; where a plan answers too, it has to be the same."""
        return self._runner.run(self._ask(query, viewer))

    async def _ask(self, query: str, viewer: Viewer) -> dict[str, Any]:
        node = parse(query)
        resolved = await execution.execute(CORE, node, None, {}, Context.of(self.api, viewer=viewer, request_id="r"))
        errors = [ExecutionErrors("r").format(error) for error in resolved.errors or ()]
        if not query.startswith("mutation"):
            document = Document(node, operations_of(node))
            answer = await execution.answer(CORE, document, None, {}, Context.of(self.planning, viewer=viewer))
            assert answer.data == resolved.data, query
            assert [error.path for error in answer.errors or ()] == [error.get("path") for error in errors], query
        return {"data": resolved.data, "errors": errors}

    def job(self, account: str) -> str:
        """The id of a job that was asked for a memo of an account."""
        return self._runner.run(self._job(account))

    async def _job(self, account: str) -> str:
        memo = next(id for id, owner in self.owners.items() if id.startswith("cm_") and owner == account)
        made = new_id("cmj")
        now = self.api.gate.clock.now()
        values = {"id": made, "operation_type": "EMAIL_CREDIT_MEMO", "reference_id": memo, "status": "PROCESSED"}
        audit = {"created_by_id": "usr", "created_date": now, "updated_date": now}
        async with self.database.write() as connection:
            await connection.execute(t.credit_memo_jobs.insert().values(**values, **audit))
        return made

    def told(self, subscription: str, viewer: Viewer, *mutations: str) -> list[dict[str, Any]]:
        """What a subscription tells a viewer of what others do, until it is silent for a while."""
        return self._runner.run(self._told(subscription, viewer, mutations))

    async def _told(self, subscription: str, viewer: Viewer, mutations: tuple[str, ...]) -> list[dict[str, Any]]:
        self.api.bus.start()
        context = Context.of(self.api, viewer=viewer, request_id="r")
        heard: list[dict[str, Any]] = []

        async def listen() -> None:
            async with aclosing(execution.subscribe(CORE, parse(subscription), None, {}, context)) as results:
                async for result in results:
                    heard.append({"data": result.data, "errors": result.errors})

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.5)
        for mutation in mutations:
            done = await execution.execute(CORE, parse(mutation), None, {}, Context.of(self.api, request_id="r"))
            assert not done.errors, done.errors
        for _ in range(100):
            await asyncio.sleep(0.05)
            if listening.done() or (heard and mutations):
                break
        await asyncio.sleep(0.3)
        listening.cancel()
        await asyncio.wait([listening])
        await self.api.bus.stop()
        return heard

    def close(self) -> None:
        """Close everything."""
        self._runner.run(self.direct.close())
        self._runner.run(self.database.dispose())
        self._runner.close()


@pytest.fixture(scope="module")
def tenant(module_database_url: str) -> Iterator[Tenant]:
    made = Tenant(module_database_url)
    yield made
    made.close()


def codes(answer: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in answer["errors"]}


def test_every_type_needs_a_scope_that_exists() -> None:
    assert {kind.name: kind.scope for kind in PREFIXES.values() if kind.scope not in ADMIN} == {}


@given(st.randoms(use_true_random=False), st.booleans())
def test_callers_of_different_accounts_never_see_each_others_data_nor_whether_it_exists(
    tenant: Tenant, dice: Random, is_first: bool
) -> None:
    mine, other = tenant.accounts if is_first else reversed(tenant.accounts)
    viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))
    owned = {
        account: sorted(id for id, owner in tenant.owners.items() if owner == account) for account in (mine, other)
    }
    ids = [*dice.sample(owned[mine], 12), *dice.sample(owned[other], 12)]
    numbers = dice.sample(sorted(tenant.numbers), 12)
    query = Inventor(CORE, dice, ids, numbers).query()
    assume(not validate(CORE, parse(query)))

    answer = tenant.ask(query, viewer)

    foreign = tenant.foreign(mine)
    shown = json.dumps(answer["data"])
    assert not set(ID.findall(shown)) & foreign, query
    for number, id in tenant.numbers.items():
        assert id not in foreign or f'"{number}"' not in shown, (query, number)
    # The same of what nobody has: not a letter is different.
    unknown = ID.sub(lambda id: f"{id[0].partition('_')[0]}_{7:032x}" if id[0] in foreign else id[0], query)
    for number in numbers:
        if tenant.numbers[number] in foreign:
            unknown = unknown.replace(f'"{number}"', f'"{"X" * len(number)}"')
    other_answer = tenant.ask(unknown, viewer)
    assert other_answer["data"] == answer["data"], query
    # What is malformed is repeated to whoever sent it.
    errors = [ID.sub("ID", json.dumps(one["errors"])) for one in (answer, other_answer)]
    assert errors[0] == errors[1], query


def test_a_caller_of_no_accounts_sees_nothing(tenant: Tenant) -> None:
    query = "{ creditMemos { totalCount nodes { id } } accounts { totalCount } creditMemoSummary { count } }"

    answer = tenant.ask(query, Viewer("usr_nobody", ADMIN, frozenset()))

    assert answer["data"] == {
        "creditMemos": {"totalCount": 0, "nodes": []},
        "accounts": {"totalCount": 0},
        "creditMemoSummary": [],
    }


READS = {
    "credit_memos:read": "{ creditMemos { nodes { number } } }",
    "documents:read": "{ invoices { nodes { invoiceNumber } } accounts { nodes { name } } }",
    "settings:read": "{ settings { timeZone } reasonCodes { nodes { name } } accountingPeriods { totalCount } }",
}


@pytest.mark.parametrize("scope", READS)
def test_a_scope_lets_one_read_what_it_names_and_nothing_else(tenant: Tenant, scope: str) -> None:
    viewer = Viewer("usr_reader", frozenset({scope}))

    for needed, query in READS.items():
        assert codes(tenant.ask(query, viewer)) == (set() if needed == scope else {"FORBIDDEN"})


@pytest.mark.parametrize(
    ("scope", "query"),
    [
        ("credit_memos:read", "{ creditMemos { nodes { number account { name } } } }"),
        ("credit_memos:read", "{ creditMemos(first: 50) { nodes { referredInvoice { balance } } } }"),
        ("credit_memos:read", "{ creditMemos(first: 50) { nodes { parts { nodes { invoice { balance } } } } } }"),
        ("credit_memos:read", "{ creditMemos(first: 50) { nodes { items { nodes { sourceItem { id } } } } } }"),
        ("credit_memos:read", "{ creditMemoSummary(groupBy: [ACCOUNT]) { key { account { name } } } }"),
        ("documents:read", "{ accounts { nodes { name creditMemos { totalCount } } } }"),
        ("documents:read", "{ accounts { nodes { unappliedCreditMemoAmounts { amount } } } }"),
        ("documents:read", "{ accounts { nodes { refunds { nodes { amount } } } } }"),
        ("documents:read", "{ invoices { nodes { creditMemoParts { nodes { amount } } } } }"),
        ("documents:read", "{ creditMemoSummary { amount } }"),
        ("documents:read", '{ creditMemo(key: "CM00000001") { number } }'),
        ("documents:read", '{ creditMemoPdfStatuses(keys: ["CM00000001"]) { pdfGenerationStatus } }'),
    ],
)
def test_what_a_caller_may_not_read_cannot_be_read_through_what_they_may(
    tenant: Tenant, scope: str, query: str
) -> None:
    viewer = Viewer("usr_reader", frozenset({scope}))

    # With the plan of somebody who may, first: it must not be used for others.
    assert not tenant.ask(query, Viewer("usr_all"))["errors"]
    assert codes(tenant.ask(query, viewer)) == {"FORBIDDEN"}


def test_the_scope_is_asked_for_whatever_is_behind_the_id(tenant: Tenant) -> None:
    viewer = Viewer("usr_reader", frozenset({"credit_memos:read"}))
    invoice = next(id for id in tenant.owners if id.startswith("inv_"))

    answers = [tenant.ask(f'{{ node(id: "{id}") {{ id }} }}', viewer) for id in (invoice, f"inv_{7:032x}")]

    assert [codes(answer) for answer in answers] == [{"FORBIDDEN"}] * 2
    assert answers[0] == answers[1]


def test_mutations_answer_for_others_documents_as_for_none(tenant: Tenant) -> None:
    mine, other = tenant.accounts
    viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))

    def of(prefix: str, account: str) -> str:
        return next(id for id, owner in tenant.owners.items() if id.startswith(f"{prefix}_") and owner == account)

    def same(mutation: str, foreign: str, selection: str = "userErrors { code field message }") -> None:
        unknown = f"{foreign.partition('_')[0]}_{7:032x}"
        answers = []
        for id in (foreign, unknown):
            text = "mutation { " + mutation.replace("$", f'"{id}"') + f" {{ {selection} }} }}"
            assert not validate(CORE, parse(text)), (text, validate(CORE, parse(text)))
            answers.append(json.dumps(tenant.ask(text, viewer)).replace(id, "ID"))
        assert "NOT_FOUND" in answers[0], mutation
        assert answers[0] == answers[1], mutation

    memo, theirs = of("cm", mine), of("cm", other)
    for name in ("postCreditMemo", "unpostCreditMemo", "cancelCreditMemo", "deleteCreditMemo"):
        same(f"{name}(input: {{key: $}})", theirs)
    same('updateCreditMemo(input: {key: $, comment: "x"})', theirs)
    same('applyCreditMemo(input: {key: $, invoices: [{invoiceKey: "INV1", amount: "1"}]})', theirs)
    same(f'applyCreditMemo(input: {{key: "{memo}", invoices: [{{invoiceKey: $, amount: "1"}}]}})', of("inv", other))
    items = 'items: [{creditMemoItemId: $, amount: "1"}]'
    invoice = of("inv", mine)
    applied = (
        f'applyCreditMemo(input: {{key: "{memo}", invoices: [{{invoiceKey: "{invoice}", amount: "1", {items}}}]}})'
    )
    same(applied, of("cmi", other))
    same(applied.replace("creditMemoItemId", "invoiceItemId"), of("ini", other))
    same("createCreditMemoFromInvoice(input: {invoiceKey: $})", of("inv", other))
    for name in ("writeOffCreditMemo", "reverseCreditMemo", "unapplyCreditMemo", "unapplyCreditMemoAsync"):
        same(f"{name}(input: {{key: $}})", theirs)
    same('applyCreditMemoAsync(input: {key: $, invoices: [{invoiceKey: "INV1", amount: "1"}]})', theirs)
    same('refundCreditMemo(input: {key: $, type: EXTERNAL, methodType: CHECK, totalAmount: "1"})', theirs)
    tax = '{name: "T", jurisdiction: "CA", taxAmount: "1", taxRate: "1", taxRateType: PERCENTAGE, memoItemId: '
    same(f'createCreditMemoTaxationItems(input: {{key: $, taxationItems: [{tax}"{of("cmi", mine)}"}}]}})', theirs)
    same("cancelCreditMemoJob(input: {id: $})", tenant.job(other))
    each = "results { userErrors { code field message } }"
    same('updateCreditMemos(input: {memos: [{key: $, comment: "x"}]})', theirs, each)
    same("createCreditMemos(input: {memos: [{fromInvoice: {invoiceKey: $}}]})", of("inv", other), each)
    charge = f'charges: [{{productRatePlanChargeId: "chg_{7:032x}", amount: "1"}}]'
    same(f"createCreditMemoFromCharges(input: {{accountKey: $, {charge}}})", of("acc", other))


def test_subscriptions_tell_a_caller_of_their_own_accounts_alone(tenant: Tenant) -> None:
    mine, other = tenant.accounts
    memos = {
        account: next(id for id, owner in tenant.owners.items() if id.startswith("cm_") and owner == account)
        for account in (mine, other)
    }
    changes = [
        f'mutation {{ updateCreditMemo(input: {{key: "{memos[account]}", comment: "{time.time_ns()}"}}) '
        "{ userErrors { code } } }"
        for account in (other, mine, other)
    ]

    heard = tenant.told(
        "subscription { creditMemoChanged { event { id } creditMemo { id accountId } } }",
        Viewer("usr_limited", ADMIN, frozenset({mine})),
        *changes,
    )

    assert [one["errors"] for one in heard] == [None]
    assert heard[0]["data"]["creditMemoChanged"]["creditMemo"] == {"id": memos[mine], "accountId": mine}


def test_a_job_of_others_is_watched_like_one_that_nobody_has(tenant: Tenant) -> None:
    mine, other = tenant.accounts
    viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))
    ask = 'subscription { creditMemoJobChanged(id: "%s") { id status } }'

    assert tenant.told(ask % tenant.job(other), viewer) == []
    assert tenant.told(ask % f"cmj_{7:032x}", viewer) == []
    assert len(tenant.told(ask % tenant.job(mine), viewer)) == 1


def test_an_idempotency_key_is_its_callers_alone(tenant: Tenant) -> None:
    mine, other = tenant.accounts
    memo = next(id for id, owner in tenant.owners.items() if id.startswith("cm_") and owner == other)
    update = (
        f'mutation {{ updateCreditMemo(input: {{key: "{memo}", comment: "secret", idempotencyKey: "{memo}"}}) '
        "{ creditMemo { id comment } userErrors { code } } }"
    )
    assert tenant.ask(update, Viewer("usr_one", ADMIN, frozenset({other})))["data"]["updateCreditMemo"]["creditMemo"]

    repeated = tenant.ask(update, Viewer("usr_two", ADMIN, frozenset({mine})))
    narrowed = tenant.ask(update, Viewer("usr_one", ADMIN, frozenset({mine})))

    assert repeated["data"]["updateCreditMemo"]["userErrors"] == [{"code": "CREDIT_MEMO_NOT_FOUND"}]
    assert "secret" not in json.dumps([repeated, narrowed])
    assert narrowed["data"]["updateCreditMemo"]["creditMemo"] is None
