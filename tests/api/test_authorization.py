"""Who may read what: scopes on every type, and for callers of some accounts no trace of the others'."""

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from random import Random
from typing import Any, Final

import pytest
from graphql import get_named_type, parse, validate
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from cm_graphql import seeding
from cm_graphql.api import execution
from cm_graphql.api.context import Api, Context
from cm_graphql.api.documents import Document
from cm_graphql.api.errors import ExecutionErrors
from cm_graphql.api.schema import schema
from cm_graphql.engine.operations import operations_of
from cm_graphql.engine.runner import Engine
from cm_graphql.fields.declare import PREFIXES
from cm_graphql.operations.ports import new_id
from cm_graphql.operations.viewer import ADMIN, Viewer
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.direct import open_direct
from cm_graphql.store.fold import fold_text
from databases import Databases
from inventing import Inventor, id_places, least, made_up

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
        self.cursors = self._places()

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

    def _places(self) -> dict[str, list[str]]:
        """Cursors of everybody's unsorted lists, by the type of the list."""
        assert CORE.query_type is not None
        found = {}
        for name, field in CORE.query_type.fields.items():
            list_type = get_named_type(field.type).name
            if list_type.endswith("Connection"):
                answer = self.ask(f"{{ {name}(first: 50) {{ edges {{ cursor }} }} }}", Viewer("usr_all"))
                found[list_type] = [edge["cursor"] for edge in answer["data"][name]["edges"][::7]]
        return found

    def leave_only(self, account: str) -> None:
        """Delete every row of every other account, whatever refers to it."""
        rows = [(str(PREFIXES[id.partition("_")[0]].table), id) for id in self.foreign(account)]
        if self.database.dialect == "sqlite":
            path = str(self.database.writers.url.database)
            with closing(sqlite3.connect(path)) as connection, connection:  # which minds no foreign keys
                connection.create_function("fold", 1, lambda text: text and fold_text(text), deterministic=True)
                for table, id in rows:
                    connection.execute(f"DELETE FROM {table} WHERE id = ?", (id,))
        else:
            self._runner.run(self._delete(rows))

    async def _delete(self, rows: list[tuple[str, str]]) -> None:
        async with self.database.write() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in {table for table, _ in rows}:
                ids = [id for name, id in rows if name == table]
                await connection.execute(text(f"DELETE FROM {table} WHERE id = ANY(:ids)"), {"ids": ids})

    def foreign(self, account: str) -> set[str]:
        """The ids of all that is not this account's."""
        return {id for id, owner in self.owners.items() if owner != account}

    def ask(self, query: str, viewer: Viewer, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer, from resolvers; where a plan answers too, it has to be the same."""
        return self._runner.run(self._ask(query, viewer, variables or {}))

    async def _ask(self, query: str, viewer: Viewer, variables: dict[str, Any]) -> dict[str, Any]:
        node = parse(query)
        resolved = await execution.execute(
            CORE, node, None, variables, Context.of(self.api, viewer=viewer, request_id="r")
        )
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

    def rows_of_others(self, account: str) -> dict[str, list[str]]:
        """Every row that is not this account's, by its table."""
        return self._runner.run(self._rows_of_others(account))

    async def _rows_of_others(self, account: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        async with self.database.read() as connection:
            for kind in PREFIXES.values():
                if kind.owner is not None:
                    owner = kind.owner(kind.table)
                    rows = select(kind.table).where(owner != account).order_by(kind.table.c.id)
                    found[kind.name] = [repr(row) for row in await connection.execute(rows)]
        return found

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


@pytest.fixture(scope="module")
def alone(tenant: Tenant, databases: Databases) -> Iterator[Tenant]:
    """The same as if the first account was the only one that there ever was."""
    with databases.fresh(tenant.database.dialect) as url:
        made = Tenant(url)
        made.leave_only(tenant.accounts[0])
        yield made
        made.close()


def codes(answer: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in answer["errors"]}


def test_every_type_needs_a_scope_that_exists() -> None:
    assert {kind.name: kind.scope for kind in PREFIXES.values() if kind.scope not in ADMIN} == {}


@given(st.randoms(use_true_random=False))
def test_a_caller_is_answered_as_if_there_was_nothing_of_others(tenant: Tenant, alone: Tenant, dice: Random) -> None:
    mine, other = tenant.accounts
    viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))
    owned = {
        account: sorted(id for id, owner in tenant.owners.items() if owner == account) for account in (mine, other)
    }
    ids = [*dice.sample(owned[mine], 12), *dice.sample(owned[other], 12)]
    numbers = dice.sample(sorted(tenant.numbers), 12)
    query = Inventor(CORE, dice, ids, numbers, tenant.cursors).query()
    assume(not validate(CORE, parse(query)))

    answer = tenant.ask(query, viewer)

    foreign = tenant.foreign(mine)
    shown = json.dumps(answer["data"])
    assert not set(ID.findall(shown)) & foreign, query
    for number, id in tenant.numbers.items():
        assert id not in foreign or f'"{number}"' not in shown, (query, number)
    assert alone.ask(query, viewer) == answer, query


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


KINDS = {
    "key": "cm",
    "accountKey": "acc",
    "invoiceKey": "inv",
    "referredInvoiceKey": "inv",
    "debitMemoKey": "dm",
    "creditMemoItemId": "cmi",
    "memoItemId": "cmi",
    "creditTaxItemId": "cmt",
    "invoiceItemId": "ini",
    "sourceItemId": "ini",
    "debitMemoItemId": "dmi",
    "taxItemId": "int",
    "sourceTaxItemId": "int",
    "pdfFileId": "cmf",
    "paymentMethodId": "pm",
    "productRatePlanChargeId": "chg",
}
"""What is behind the ids of an input, by the name of its field."""


def test_wherever_an_id_stands_in_a_mutation_others_are_as_unknown_as_made_up_ones(tenant: Tenant) -> None:
    mine, other = tenant.accounts
    viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))
    of = {(owner, id.partition("_")[0]): id for id, owner in tenant.owners.items()}
    numbers = {id: number for number, id in tenant.numbers.items()}
    own = {name: of.get((mine, kind), f"{kind}_{5:032x}") for name, kind in KINDS.items()}
    assert CORE.mutation_type is not None
    tried = set()
    for name, field in CORE.mutation_type.fields.items():
        taken = get_named_type(field.args["input"].type)
        if name == "uploadCreditMemoFile":
            continue
        query = f"mutation($i: {field.args['input'].type}) {{ {name}(input: $i) {inner(field.type)} }}"
        for place in id_places(taken):
            foreign = of.get((other, KINDS.get(place[-1], "cm")))
            if place[-1] == "id" or foreign is None:
                continue  # an id that one chooses for something new cannot be one that there is
            # By its number in a rehearsal, where it has one and there are rehearsals; by its id otherwise.
            rehearses = "dryRun" in taken.fields and foreign in numbers
            real = numbers[foreign] if rehearses else foreign
            made_up = "X" * len(real) if rehearses else f"{foreign.partition('_')[0]}_{7:032x}"
            answers = []
            for id in (real, made_up):
                given = {**least(taken, place, id, own), **({"dryRun": True} if rehearses else {})}
                answers.append(json.dumps(tenant.ask(query, viewer, {"i": given})).replace(id, "ID"))
            assert answers[0] == answers[1], (name, place, real)
            tried.add((name, place[-1]))
    assert len(tried) > 40


class Wanting:
    """Makes mutations up for a caller of one account, who names what is theirs and what is not."""

    def __init__(self, tenant: Tenant, dice: Random) -> None:
        self._tenant = tenant
        self._dice = dice
        self._of: dict[tuple[str, str], list[str]] = {}
        for id, owner in sorted(tenant.owners.items()):
            if owner is not None and owner in tenant.accounts:
                self._of.setdefault((owner, id.partition("_")[0]), []).append(id)
        self._numbers = {id: number for number, id in tenant.numbers.items()}
        self.named: set[str] = set()
        """Ids of others that were named, and their numbers."""
        self.chooses = True
        """Whether ids that one chooses for something new may be those of others."""

    def id(self, type_: str, field: str) -> str:
        """An id for a field of an input, or the number or the digits that it can be said by."""
        dice, (mine, other) = self._dice, self._tenant.accounts
        kind = KINDS.get(field, "cmi" if type_.startswith("CreditMemoItem") else "cm")
        if type_.startswith("Synced") and field == "id":
            kind = OF_SYNCED[type_]
            if not self.chooses:
                return f"{kind}_{dice.getrandbits(128):032x}"
        owner = other if dice.random() < 0.4 else mine
        id = dice.choice(self._of.get((owner, kind), [f"{kind}_{5:032x}"]))
        said = id
        if id in self._numbers and dice.random() < 0.4:
            said = self._numbers[id]
        elif dice.random() < 0.1:
            said = id.partition("_")[2]
        if owner == other:
            self.named |= {id, said}
        return said

    def input(self, mutation: str, **more: Any) -> dict[str, Any]:
        """The input of a mutation."""
        assert CORE.mutation_type is not None
        taken = get_named_type(CORE.mutation_type.fields[mutation].args["input"].type)
        given = made_up(self._dice, taken, self.id)
        return {**{name: value for name, value in given.items() if name not in ("idempotencyKey", "dryRun")}, **more}

    def unknown(self, text: str) -> str:
        """The same text, with an id that nobody has in the place of each that others have."""
        for said in sorted(self.named, key=len, reverse=True):
            text = text.replace(said, self.stand_in(said))
        return text

    def known(self, text: str) -> str:
        """The text as it was."""
        for said in self.named:
            text = text.replace(self.stand_in(said), said)
        return text

    def stand_in(self, said: str) -> str:
        """What looks and sorts like an id or a number, but is nobody's."""
        return f"{said[:-18]}f{said[-17:]}" if re.search(r"[0-9a-f]{32}$", said) else f"{said}Z"


OF_SYNCED: Final = {
    "SyncedAccountInput": "acc",
    "SyncedCreditMemoInput": "cm",
    "SyncedCreditMemoItemInput": "cmi",
    "SyncedCreditMemoTaxItemInput": "cmt",
    "SyncedDebitMemoInput": "dm",
    "SyncedDebitMemoItemInput": "dmi",
    "SyncedInvoiceInput": "inv",
    "SyncedInvoiceItemInput": "ini",
    "SyncedPaymentMethodInput": "pm",
    "SyncedProductRatePlanChargeInput": "chg",
    "SyncedReasonCodeInput": "rc",
    "SyncedTaxItemInput": "int",
}
"""What an input with an id of one's own choice makes."""

assert CORE.mutation_type is not None
MADE_UP = sorted(set(CORE.mutation_type.fields) - {"uploadCreditMemoFile", "updateSettings"})

NEW_EACH_TIME = re.compile(r'\d{4}-\d\d-\d\dT[0-9:.]+Z|expires=\d+&signature=[0-9a-f]+|"W[\w-]{20,}"')
"""Times, links to files, and cursors, which have the ids of what was made."""


@settings(max_examples=settings().max_examples // 2)
@given(st.builds(Random, st.integers(0, 2**64)))
def test_made_up_mutations_are_answered_as_if_there_was_nothing_of_others(tenant: Tenant, dice: Random) -> None:
    viewer = Viewer("usr_limited", ADMIN, frozenset({tenant.accounts[0]}))
    wanting = Wanting(tenant, dice)
    wanting.chooses = False
    name = dice.choice(MADE_UP)
    given = json.dumps(wanting.input(name, dryRun=True))
    query = Inventor(CORE, dice, sorted(tenant.owners), sorted(tenant.numbers)).mutation(name)
    assume(wanting.named and not validate(CORE, parse(query)))

    answers = [
        json.dumps(tenant.ask(query, viewer, {"i0": json.loads(one)})) for one in (given, wanting.unknown(given))
    ]

    def comparable(answer: str) -> str:
        known = NEW_EACH_TIME.sub("", wanting.known(answer))
        return ID.sub(lambda found: found[0] if found[0] in tenant.owners else "NEW", known)

    assert comparable(answers[0]) == comparable(answers[1]), (query, given)


@settings(max_examples=settings().max_examples // 10)
@given(st.builds(Random, st.integers(0, 2**64)))
def test_made_up_mutations_betray_and_change_nothing_of_others(tenant: Tenant, dice: Random) -> None:
    mine, _ = tenant.accounts
    viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))
    foreign = tenant.foreign(mine)
    before = tenant.rows_of_others(mine)
    for _ in range(5):
        wanting = Wanting(tenant, dice)
        name = dice.choice(MADE_UP)
        given = wanting.input(name, **({"dryRun": True} if dice.random() < 0.3 else {}))
        query = Inventor(CORE, dice, sorted(tenant.owners), sorted(tenant.numbers)).mutation(name)
        if validate(CORE, parse(query)):
            continue

        shown = json.dumps(tenant.ask(query, viewer, {"i0": given}))

        named = wanting.named | set(ID.findall(query))
        assert not (set(ID.findall(shown)) & foreign) - named, (query, given)
        for number, id in tenant.numbers.items():
            assert id not in foreign or number in named or f'"{number}"' not in shown, (query, given)
    assert tenant.rows_of_others(mine) == before


def inner(payload: Any) -> str:
    """Ask a payload, and those of a bulk, what was refused."""
    errors = "userErrors { code field message }"
    return f"{{ {errors} {f'results {{ {errors} }}' if 'results' in get_named_type(payload).fields else ''} }}"


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
