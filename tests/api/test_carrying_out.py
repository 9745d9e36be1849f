"""A mutation that is carried out without resolvers does and answers what it does and answers with them."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from graphql import get_named_type, is_leaf_type, is_required_argument
from hypothesis import given
from hypothesis import strategies as st

from cm_graphql.api.schema import schema
from cm_graphql.operations.viewer import ADMIN, LOCAL, Viewer
from cm_graphql.store import at_once
from inventing import Inventor, flawed
from reading import asked_of, plain
from shopping import Input, Shop

STATE = """query ($id: ID!) { node(id: $id) { ... on CreditMemo {
  status comment amount appliedAmount unappliedAmount refundAmount version transferredToAccounting
  parts { nodes { amount } } history(first: 100) { nodes { action effectiveDate } } } } }"""


@dataclass
class Side:
    """An account with an invoice and a debit memo, the memo at hand, and who carries out what is done with it."""

    engine: Any
    account: str
    invoice: str
    debit_memo: str
    memo: str = ""


def alike(answer: Any) -> str:
    """An answer without what differs between things that are alike, its errors in some order."""
    answer["errors"] = sorted(answer.get("errors", []), key=repr)
    return plain(json.dumps(answer).encode())


class Both:
    """A shop in which the same is done twice: without resolvers, as far as that goes, and by resolvers alone."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.keys = itertools.count()
        self.charge = shop.charge()
        self.sides = []
        for engine in (shop.engine, None):
            account = shop.new_account()
            invoice = shop.invoice(("900.00", "90.00"), ("4.00",))
            self.sides.append(Side(engine, account, invoice, shop.debit_memo("600.00")))

    def each(self, do: Callable[[Side], Any]) -> list[Any]:
        """What something comes to on either side."""
        found = []
        for side in self.sides:
            self.shop.account, self.shop.api.engine = side.account, side.engine
            found.append(do(side))
        self.shop.api.engine = self.shop.engine
        return found

    def make_ready(self, dice: Random) -> None:
        """Have another memo at hand, of the same status on either side."""
        lines = [{"productRatePlanChargeId": self.charge, "amount": amount} for amount in ("30.00", "5.00")]
        is_posted, shop = dice.random() < 0.8, self.shop

        def make(side: Side) -> None:
            asked = {"accountKey": side.account, "charges": lines, "autoPost": is_posted}
            side.memo = shop.do("createCreditMemoFromCharges", asked, "creditMemo { id }")["creditMemo"]["id"]

        self.each(make)


@pytest.fixture(scope="module")
def both(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    shop = Shop(module_database_url, tmp_path_factory.mktemp("files"))
    yield Both(shop)
    shop.close()


def asked(dice: Random, side: Side) -> tuple[str, Input]:
    """A mutation and its input, of either side the same."""
    memo: Input = {"key": side.memo}
    invoice, debit_memo = {"invoiceKey": side.invoice}, {"debitMemoKey": side.debit_memo}
    amount: Any = dice.choice(["1", "2.50", 3, "9.90", "100", "0", "1.005"])
    targets: Input = dice.choice(
        [
            {"invoices": [{**invoice, "amount": amount}]},
            {"debitMemos": [{**debit_memo, "amount": amount}]},
            {"invoices": [{**invoice, "amount": amount}], "debitMemos": [{**debit_memo, "amount": "1.00"}]},
            {"invoices": [{**invoice, "amount": amount}] * 2},
            {},
        ]
    )
    return dice.choice(
        [
            ("applyCreditMemo", {**memo, **targets}),
            ("applyCreditMemo", {**memo, **targets, "effectiveDate": "2026-03-14", "applicationRule": None}),
            ("applyCreditMemo", {**memo, **targets, "applicationRule": "SOURCE_ITEM"}),
            ("unapplyCreditMemo", {**memo, **targets}),
            ("postCreditMemo", memo),
            ("unpostCreditMemo", memo),
            ("cancelCreditMemo", memo),
            ("deleteCreditMemo", memo),
            ("writeOffCreditMemo", memo),
            ("refundCreditMemo", {**memo, "type": "EXTERNAL", "totalAmount": amount, "methodType": "CHECK"}),
            ("updateCreditMemo", {**memo, "comment": dice.choice(["!", None, "a" * 3_000, "\0"])}),
            ("updateCreditMemo", {**memo, "customFields": {"a__c": 1}, "transferredToAccounting": "YES"}),
            ("unapplyCreditMemoAsync", memo),
            ("updateCreditMemos", {"memos": [{**memo, "comment": "1"}, {"key": "none"}, {**memo, "ifVersion": 1}]}),
            ("updateCreditMemos", {"memos": []}),
        ]
    )


@given(st.randoms(use_true_random=False))
def test_the_same_is_done_and_answered_with_resolvers_and_without(both: Both, dice: Random) -> None:
    both.make_ready(dice)
    scopes = ADMIN - {dice.choice(sorted(ADMIN))} if dice.random() < 0.2 else ADMIN
    for _ in range(dice.randint(1, 4)):
        seed, key = dice.getrandbits(64), f"key-{next(both.keys)}"
        repeats = dice.choice([1, 1, 2])

        def do(side: Side, seed: int = seed, key: str = key, repeats: int = repeats) -> list[str]:
            own = Random(seed)
            name, wanted = asked(own, side)
            if own.random() < 0.2:
                wanted = {**wanted, "dryRun": own.choice([True, False, None])}
            if own.random() < 0.2:
                wanted = {**wanted, "ifVersion": own.choice([1, 2, None])}
            if own.random() < 0.3:
                wanted = flawed(own, wanted)
            if own.random() < 0.4 and isinstance(wanted, dict):
                wanted = {**wanted, "idempotencyKey": f"{key}-{side.account}"}
            query, variables = Inventor(schema._schema, own, [side.memo], []).change(name, wanted)
            both.shop.viewer = Viewer(LOCAL.id, scopes)
            try:
                return [query, *(alike(both.shop.answer(query, variables)) for _ in range(repeats))]
            finally:
                both.shop.viewer = LOCAL

        without, with_resolvers = both.each(do)
        assert without[1:] == with_resolvers[1:], without[0]

    left, right = both.each(lambda side: alike(both.shop.answer(STATE, {"id": side.memo})))
    assert left == right


def carried_out(both: Both, name: str, given: Input, selection: str) -> tuple[Any, int]:
    """What a mutation answers, and how many were carried out without resolvers."""
    before = both.shop.engine.counted["changes"]
    payload = both.shop.payload(name, given, selection)
    return payload, both.shop.engine.counted["changes"] - before


@pytest.fixture
def shop(both: Both) -> Shop:
    both.shop.account = both.sides[0].account
    return both.shop


def test_usual_mutations_need_no_resolver(both: Both, shop: Shop) -> None:
    memo, invoice = shop.posted("30.00"), shop.invoice(("9.00",))
    apply = {"key": memo, "invoices": [{"invoiceKey": invoice, "amount": "7"}]}

    for name, wanted, selection in (
        ("applyCreditMemo", apply, "__typename appliedRule creditMemo { number items { nodes { amount } } }"),
        ("applyCreditMemo", {**apply, "idempotencyKey": "again"}, "creditMemo { number }"),
        ("applyCreditMemo", {**apply, "idempotencyKey": "again"}, "creditMemo { number }"),
        ("applyCreditMemo", {"key": memo}, "a: appliedRule"),
        ("unapplyCreditMemo", {"key": memo}, "... on UnapplyCreditMemoPayload { creditMemo { number } }"),
        ("refundCreditMemo", {"key": memo, "type": "EXTERNAL", "totalAmount": 1}, "refund { number }"),
        ("updateCreditMemo", {"key": memo, "comment": None, "dryRun": False}, "creditMemo { number }"),
        ("unpostCreditMemo", {"key": memo, "ifVersion": None}, "creditMemo { number }"),
        ("deleteCreditMemo", {"key": memo}, "deletedCreditMemoId"),
        ("updateCreditMemos", {"memos": [{"key": memo}]}, "results { index creditMemo { id } userErrors { code } }"),
        ("updateCreditMemos", {"memos": []}, "results { index }"),
    ):
        _, without = carried_out(both, name, wanted, selection)
        assert without == 1, name


def test_unusual_ones_are_left_to_resolvers(both: Both, shop: Shop) -> None:
    memo = shop.posted("30.00")

    for name, wanted, selection in (
        ("updateCreditMemo", {"key": memo, "comment": "?", "dryRun": True}, "creditMemo { comment }"),
        ("updateCreditMemo", {"key": memo}, "creditMemo { availableActions { action } }"),
        ("generateCreditMemoPdf", {"key": memo}, "pdfStatus { __typename }"),
        ("createCreditMemos", {"memos": []}, "results { index }"),
    ):
        _, without = carried_out(both, name, wanted, selection)
        assert without == 0, name


def test_what_was_done_is_not_done_again_to_tell_of_it(both: Both, shop: Shop) -> None:
    memo = shop.posted("30.00")
    wanted = {"key": memo, "comment": "once"}
    query = "mutation ($input: UpdateCreditMemoInput!) { updateCreditMemo(input: $input) { %s } }"
    # Of these a plan can only say that it does not know.
    first = shop.answer(query % "creditMemo { comment items(first: -1) { totalCount } }", {"input": wanted})
    second = shop.answer(query % "creditMemo { comment version }", {"input": wanted})

    assert first["data"] == {"updateCreditMemo": {"creditMemo": None, "userErrors": []}} or first["errors"]
    assert second["data"]["updateCreditMemo"]["creditMemo"]["version"] == 4, "made, posted, updated twice"


def test_a_bug_while_it_is_done_is_told_once_and_nothing_is_tried_again(
    both: Both, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    memo, tries = shop.posted("30.00"), []

    async def failing(*_: Any) -> Any:
        tries.append(1)
        raise RuntimeError("the secret of 4711")

    monkeypatch.setattr(shop.api.gate, "act", failing)
    answer = shop.answer(
        "mutation ($key: ID!) { updateCreditMemo(input: { key: $key }) { userErrors { code } } }", {"key": memo}
    )

    assert answer["data"] is None
    assert [error["path"] for error in answer["errors"]] == [["updateCreditMemo"]]
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INTERNAL_SERVER_ERROR"]
    assert len(tries) == 1


def test_a_payload_is_read_with_one_statement_for_each_kind_of_thing(both: Both, shop: Shop) -> None:
    memo = shop.posted("30.00")
    selection = "creditMemo { number account { name } items { nodes { amount } } }"
    with asked_of(shop.engine._direct) as asked:
        _, without = carried_out(both, "updateCreditMemo", {"key": memo, "comment": "?"}, selection)

    assert (without, len(asked)) == (1, 3)


MEMO: Any = schema._schema.type_map["CreditMemo"]
LEAVES = [
    name
    for name, field in MEMO.fields.items()
    if is_leaf_type(get_named_type(field.type)) and not any(is_required_argument(one) for one in field.args.values())
]


def test_what_is_told_of_a_memo_as_it_is_written_is_what_is_read_afterwards(both: Both, shop: Shop) -> None:
    memo, invoice = shop.posted("30.00"), shop.invoice(("9.00",))
    shop.do("updateCreditMemo", {"key": memo, "comment": "Ü"}, "creditMemo { id }")
    apply = {"key": memo, "invoices": [{"invoiceKey": invoice, "amount": "0.01"}]}
    told = set()
    for name in LEAVES:
        shop.api.database.told.clear()  # of which there are more than are told
        with asked_of(shop.engine._direct) as asked:
            payload, without = carried_out(both, "applyCreditMemo", apply, f"creditMemo {{ __typename {name} }}")
        if without and not asked:
            told.add(name)
        read = shop.ask(f"query ($id: ID!) {{ creditMemo(key: $id) {{ __typename {name} }} }}", id=memo)
        assert payload["creditMemo"] == read["creditMemo"], name

    expected = {"id", "number", "status", "amount", "unappliedAmount", "updatedDate", "version", "comment", "reversed"}
    assert told >= expected
    assert "customFields" not in told, "JSON is read by a connection that leaves it as it is"


def test_of_more_than_the_memo_nothing_is_told_before_it_is_committed(both: Both, shop: Shop) -> None:
    memo, invoice = shop.posted("30.00"), shop.invoice(("9.00",))
    apply = {"key": memo, "invoices": [{"invoiceKey": invoice, "amount": "7.00"}]}

    selection = "creditMemo { unappliedAmount parts { nodes { amount } } items { nodes { unappliedAmount } } }"
    payload, without = carried_out(both, "applyCreditMemo", apply, selection)

    assert without == 1
    assert payload["creditMemo"] == {
        "unappliedAmount": "23.00",
        "parts": {"nodes": [{"amount": "23.00"}, {"amount": "7.00"}]},
        "items": {"nodes": [{"unappliedAmount": "23.00"}]},
    }


def test_of_what_the_gateway_is_asked_for_nothing_is_told_before_it_has_answered(both: Both, shop: Shop) -> None:
    memo, card = shop.posted("30.00"), shop.payment_method()
    refund = {"key": memo, "type": "ELECTRONIC", "totalAmount": "5.00", "paymentMethodId": card}

    payload, without = carried_out(both, "refundCreditMemo", refund, "refund { id status referenceId }")

    read = shop.ask(
        "query ($id: ID!) { node(id: $id) { ... on Refund { id status referenceId } } }", id=payload["refund"]["id"]
    )
    assert without == 1
    assert payload["refund"] == read["node"]
    assert payload["refund"]["status"] == "PROCESSED"


def test_a_caller_of_some_accounts_is_told_as_well_and_a_repeat_is_told_what_is_so_now(both: Both, shop: Shop) -> None:
    memo, invoice = shop.posted("30.00"), shop.invoice(("9.00",))
    apply = {"key": memo, "invoices": [{"invoiceKey": invoice, "amount": "1.00"}], "idempotencyKey": f"told-{memo}"}
    other = {"key": memo, "invoices": [{"invoiceKey": invoice, "amount": "2.00"}]}
    shop.viewer = Viewer(LOCAL.id, ADMIN, accounts=frozenset({shop.account}))
    try:
        found = [
            carried_out(both, "applyCreditMemo", wanted, "creditMemo { appliedAmount }")[0]["creditMemo"]
            for wanted in (apply, other, apply)
        ]
    finally:
        shop.viewer = LOCAL

    assert found == [{"appliedAmount": "1.00"}, {"appliedAmount": "3.00"}, {"appliedAmount": "3.00"}]


def test_of_many_different_payloads_only_some_are_told_with_what_is_written(
    both: Both, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_once, "MOST_TOLD", 2)
    monkeypatch.setattr(shop.api.database, "told", set())
    memo, invoice = shop.posted("30.00"), shop.invoice(("9.00",))
    apply = {"key": memo, "invoices": [{"invoiceKey": invoice, "amount": "1.00"}]}
    told, read = [], []
    for name in ("appliedAmount", "unappliedAmount", "version", "appliedAmount", "version"):
        with asked_of(shop.engine._direct) as asked:
            payload, _ = carried_out(both, "applyCreditMemo", apply, f"creditMemo {{ {name} }}")
        told.append(payload["creditMemo"][name])
        read.append(len(asked))

    assert told == ["1.00", "28.00", 5, "4.00", 7]
    assert read == ([0] * 5 if shop.api.database.dialect == "sqlite" else [0, 0, 1, 0, 1])
