"""What mutations answer is the same whether plans or resolvers read it, and dry runs show what they would have done."""

import json
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest
from graphql import parse, validate
from hypothesis import assume, given
from hypothesis import strategies as st

from cm_graphql.api.schema import schema
from cm_graphql.operations.viewer import ADMIN, LOCAL, Viewer
from inventing import Inventor
from reading import asked_of, unsigned
from shopping import Input, Shop

Asked = tuple[str, Input]
"""A mutation and its input."""


class Repeats:
    """Mutations that were carried out once. Asked for again, they do nothing, and answer with what is there now."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.engine = shop.engine
        self.accounts = [shop.new_account(), shop.new_account()]
        self.done: dict[str, Asked] = {}
        memo, draft, old = shop.posted("30.00", "5.00"), shop.draft("1.00", "2.00"), shop.draft("4.00")
        tax = {
            "memoItemId": shop.item_of(draft),
            "name": "VAT",
            "jurisdiction": "SF",
            "taxRateType": "PERCENTAGE",
            "taxAmount": "1.00",
            "taxRate": "0.1",
        }
        self._do("syncAccounts", {"accounts": [{"number": "A-9", "name": "Nine", "currency": "EUR"}]})
        self._do("applyCreditMemo", {"key": memo, "invoices": [{"invoiceKey": shop.invoice(("9.00",)), "amount": "7"}]})
        self._do("refundCreditMemo", {"key": memo, "type": "EXTERNAL", "totalAmount": "3", "methodType": "CHECK"})
        self._do("writeOffCreditMemo", {"key": shop.posted("8.00", "1.00")})
        self._do("createCreditMemoTaxationItems", {"key": draft, "taxationItems": [tax, {**tax, "name": "City"}]})
        self._do("updateCreditMemos", {"memos": [{"key": key, "comment": "!"} for key in (draft, "CM-0", memo, draft)]})
        self._do("unapplyCreditMemoAsync", {"key": memo})
        self._do("postCreditMemo", {"key": "CM-none"})
        self._do("cancelCreditMemo", {"key": old})
        shop.do("deleteCreditMemo", {"key": old})

    def _do(self, name: str, given: Input) -> None:
        asked = {**given, "idempotencyKey": f"once-{name}"}
        self.shop.payload(name, asked)
        self.done[name] = name, asked

    def ask(self, query: str, variables: Mapping[str, Any]) -> tuple[str, str]:
        """What is answered by resolvers alone, and with the help of plans."""
        answers = []
        for engine in (None, self.engine):
            self.shop.api.engine = engine
            answer = self.shop.answer(query, dict(variables))
            answer["errors"] = sorted(answer.get("errors", []), key=repr)
            answers.append(unsigned(json.dumps(answer).encode()).decode())
        resolved, helped = answers
        return resolved, helped

    def ask_again(self, name: str, selection: str) -> tuple[str, str, int]:
        """What is answered either way to a mutation that was carried out, and how many payloads plans have read."""
        before = self.engine.counted["payloads"]
        input_type = f"{name[0].upper()}{name[1:]}Input"
        query = f"mutation Do($input: {input_type}!) {{ {name}(input: $input) {{ {selection} }} }}"
        resolved, helped = self.ask(query, {"input": self.done[name][1]})
        return resolved, helped, self.engine.counted["payloads"] - before


@pytest.fixture(scope="module")
def repeats(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repeats]:
    shop = Shop(module_database_url, tmp_path_factory.mktemp("files"))
    yield Repeats(shop)
    shop.close()


@pytest.fixture
def shop(repeats: Repeats) -> Shop:
    """The shop, whose mutations are answered by plans."""
    repeats.shop.api.engine = repeats.engine
    return repeats.shop


@given(st.randoms(use_true_random=False))
def test_plans_read_of_a_payload_exactly_what_resolvers_read(repeats: Repeats, dice: Random) -> None:
    inventor = Inventor(schema._schema, dice, repeats.accounts, [])
    asked = [repeats.done[name] for name in dice.sample(sorted(repeats.done), k=dice.randint(1, 2))]
    query = inventor.mutation(*(name for name, _ in asked))
    assume(not validate(schema._schema, parse(query)))
    variables = {f"i{i}": given for i, (_, given) in enumerate(asked)} | inventor.variables()
    accounts = frozenset(dice.sample(repeats.accounts, k=1)) if dice.random() < 0.3 else None
    scopes = ADMIN - {"documents:read", "credit_memos:read"} if dice.random() < 0.2 else ADMIN

    repeats.shop.viewer = Viewer(LOCAL.id, scopes, accounts)
    try:
        resolved, helped = repeats.ask(query, variables)
    finally:
        repeats.shop.viewer = LOCAL

    assert helped == resolved, (query, variables)


@pytest.mark.parametrize(
    ("name", "selection"),
    [
        ("applyCreditMemo", "appliedRule creditMemo { number account { name } items { nodes { amount } } }"),
        ("refundCreditMemo", "refund { number parts { nodes { amount } } } creditMemo { refundAmount }"),
        ("writeOffCreditMemo", "creditMemo { status } debitMemo { number items { nodes { amount } } }"),
        ("createCreditMemoTaxationItems", "taxationItems { name taxAmount memoItem { amount } }"),
        ("updateCreditMemos", "results { index creditMemo { number comment } userErrors { code } }"),
        ("syncAccounts", "a: results { account { name } } results { account { id } }"),
        ("unapplyCreditMemoAsync", "job { status creditMemo { number } }"),
        ("refundCreditMemo", "... on RefundCreditMemoPayload { a: refund { id } } a: refund { number }"),
        ("refundCreditMemo", "creditMemo { availableActions { action } } refund { number }"),
    ],
)
def test_usual_payloads_are_read_by_plans(repeats: Repeats, name: str, selection: str) -> None:
    resolved, helped, by_plans = repeats.ask_again(name, f"{selection} userErrors {{ code message }}")

    assert helped == resolved
    assert json.loads(resolved)["errors"] == []
    assert by_plans == 1


@pytest.mark.parametrize(
    ("name", "selection"),
    [
        ("postCreditMemo", "creditMemo { number }"),
        ("cancelCreditMemo", "creditMemo { number }"),
        ("refundCreditMemo", "__typename userErrors { code }"),
        ("refundCreditMemo", "creditMemo { availableActions { action } }"),
        ("refundCreditMemo", "creditMemo { items(first: -1) { totalCount } }"),
    ],
)
def test_resolvers_read_the_others(repeats: Repeats, name: str, selection: str) -> None:
    resolved, helped, by_plans = repeats.ask_again(name, selection)

    assert helped == resolved
    assert by_plans == 0


def test_each_mutation_of_a_document_answers_with_what_it_has_done(repeats: Repeats, shop: Shop) -> None:
    before, draft = repeats.engine.counted["payloads"], shop.draft()
    steps = " ".join(
        f'{step}: updateCreditMemo(input: {{key: "{draft}", comment: "{step}", dryRun: {dry}}})'
        " { creditMemo { comment version } }"
        for step, dry in (("a", "false"), ("b", "true"), ("c", "false"))
    )

    answer = shop.ask(f"mutation {{ {steps} }}")

    assert [(key, answer[key]["creditMemo"]["comment"]) for key in answer] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert [answer[key]["creditMemo"]["version"] for key in answer] == [2, 3, 3]
    # The draft of the test, and what was not a dry run.
    assert repeats.engine.counted["payloads"] - before >= 2


def test_a_bulk_reads_all_that_it_changed_with_the_statements_of_one(repeats: Repeats, shop: Shop) -> None:
    drafts = [shop.draft() for _ in range(4)]
    selection = "creditMemo { number account { name } items { nodes { amount } } }"
    with asked_of(repeats.engine._direct) as asked:
        results = shop.each("updateCreditMemos", {"memos": [{"key": key, "comment": "?"} for key in drafts]}, selection)

    assert [len(result["creditMemo"]["items"]["nodes"]) for result in results] == [1] * 4
    assert len(asked) == 3


def test_a_repeat_leaves_out_what_was_deleted_meanwhile(shop: Shop) -> None:
    draft = shop.draft("1.00")
    tax = {"memoItemId": shop.item_of(draft), "name": "VAT", "jurisdiction": "SF", "taxRateType": "PERCENTAGE"}
    asked = {"key": draft, "taxationItems": [{**tax, "taxAmount": "0.10", "taxRate": "0.1"}], "idempotencyKey": "gone"}
    selection = "creditMemo { id } taxationItems { name }"
    first = shop.payload("createCreditMemoTaxationItems", asked, selection)

    shop.do("cancelCreditMemo", {"key": draft})
    shop.do("deleteCreditMemo", {"key": draft})

    assert [item["name"] for item in first["taxationItems"]] == ["VAT"]
    again = shop.payload("createCreditMemoTaxationItems", asked, selection)
    assert (again["creditMemo"], again["taxationItems"]) == (None, [])
