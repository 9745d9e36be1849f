"""What clients say to the actions of credit memos, and what they are answered."""

from collections.abc import Iterator

import pytest

from cm_graphql.operations.viewer import ADMIN, Viewer
from shopping import Shop

MONEY = "creditMemo { status amount appliedAmount unappliedAmount refundAmount }"


@pytest.fixture
def shop(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop upon an empty database, with an account."""
    opened = Shop(database_url, tmp_path_factory.mktemp("files"))
    opened.new_account(paymentTermDays=10)
    yield opened
    opened.close()


def test_a_memo_goes_its_way_from_charges_to_deletion(shop: Shop) -> None:
    made = shop.do(
        "createCreditMemoFromCharges",
        shop.charging("12.50", None, customFields={"Case__c": "7"}, netSuite={"integrationId": "NS-1"}),
        "creditMemo { id number status source sourceType amount creditMemoDate reasonCode customFields"
        " netSuite { integrationId origin } items { nodes { amount sourceItemType processingType } } }",
    )["creditMemo"]
    key = made.pop("id")

    assert sorted(item["amount"] for item in made.pop("items")["nodes"]) == ["10.00", "12.50"]
    assert made == {
        "number": "CM00000001",
        "status": "DRAFT",
        "source": "ADHOC_FROM_PRPC",
        "sourceType": "STANDALONE",
        "amount": "22.50",
        "creditMemoDate": "2026-03-15",
        "reasonCode": "Correcting invoice error",
        "customFields": {"Case__c": "7"},
        "netSuite": {"integrationId": "NS-1", "origin": None},
    }
    statuses = [
        shop.do(action, {"key": "CM00000001"}, "creditMemo { status }")["creditMemo"]["status"]
        for action in ("postCreditMemo", "unpostCreditMemo", "cancelCreditMemo")
    ]
    assert statuses == ["POSTED", "DRAFT", "CANCELED"]
    assert shop.do("deleteCreditMemo", {"key": key}, "deletedCreditMemoId") == {
        "deletedCreditMemoId": key,
        "userErrors": [],
    }
    assert shop.ask("query Memo($key: ID!) { creditMemo(key: $key) { id } }", key=key) == {"creditMemo": None}


def test_a_draft_is_changed_and_taxed_by_hand(shop: Shop) -> None:
    draft = shop.draft("100.00")
    item = shop.item_of(draft)

    changed = shop.do(
        "updateCreditMemo",
        {"key": draft, "comment": "Half", "items": [{"id": item, "amount": "50.00"}], "customFields": {"A__c": 1}},
        "creditMemo { amount comment version customFields }",
    )
    tax = {
        "memoItemId": item,
        "name": "City tax",
        "jurisdiction": "SF",
        "taxAmount": "1.00",
        "exemptAmount": "0.25",
        "taxRate": "0.02",
        "taxRateType": "PERCENTAGE",
    }
    taxed = shop.do(
        "createCreditMemoTaxationItems",
        {"key": draft, "taxationItems": [tax, {**tax, "name": "County tax", "taxAmount": "2.00"}]},
        "creditMemo { amount taxAmount totalTaxExemptAmount } taxationItems { name taxAmount memoItemId taxRate }",
    )

    assert changed["creditMemo"] == {"amount": "50.00", "comment": "Half", "version": 2, "customFields": {"A__c": 1}}
    assert taxed["creditMemo"] == {"amount": "53.00", "taxAmount": "3.00", "totalTaxExemptAmount": "0.50"}
    assert taxed["taxationItems"] == [
        {"name": name, "taxAmount": amount, "memoItemId": item, "taxRate": "0.02"}
        for name, amount in (("City tax", "1.00"), ("County tax", "2.00"))
    ]


def test_null_clears_what_leaving_out_keeps(shop: Shop) -> None:
    draft = shop.draft("1.00")
    shop.do("updateCreditMemo", {"key": draft, "comment": "Seen", "netSuite": {"origin": "x", "syncDate": "y"}})

    kept = shop.do("updateCreditMemo", {"key": draft}, "creditMemo { comment netSuite { origin syncDate } }")
    cleared = shop.do(
        "updateCreditMemo",
        {"key": draft, "comment": None, "reasonCode": None, "netSuite": {"origin": None}},
        "creditMemo { comment reasonCode netSuite { origin syncDate } }",
    )

    assert kept["creditMemo"] == {"comment": "Seen", "netSuite": {"origin": "x", "syncDate": "y"}}
    assert cleared["creditMemo"] == {
        "comment": None,
        "reasonCode": None,
        "netSuite": {"origin": None, "syncDate": "y"},
    }


def test_each_of_many_is_answered_in_its_place(shop: Shop) -> None:
    invoice = shop.invoice(("30.00", "3.00"))
    created = shop.each(
        "createCreditMemos",
        {
            "memos": [
                {"fromCharges": shop.charging("1.00")},
                {"fromInvoice": shop.crediting(invoice, "40.00")},
                {"fromInvoice": shop.crediting(invoice, "30.00")},
            ]
        },
        "creditMemo { id amount taxAmount }",
    )
    first, _, third = (result["creditMemo"] and result["creditMemo"].pop("id") for result in created)
    updated = shop.each(
        "updateCreditMemos",
        {"memos": [{"key": third, "comment": "3"}, {"key": first, "ifVersion": 9}, {"key": first, "comment": "1"}]},
        "creditMemo { comment }",
    )

    assert [(result["index"], result["creditMemo"]) for result in created] == [
        (0, {"amount": "1.00", "taxAmount": "0.00"}),
        (1, None),
        (2, {"amount": "33.00", "taxAmount": "3.00"}),
    ]
    assert [error["code"] for error in created[1]["userErrors"]] == ["OVER_CREDIT"]
    assert [(result["index"], result["creditMemo"]) for result in updated] == [
        (0, {"comment": "3"}),
        (1, None),
        (2, {"comment": "1"}),
    ]
    assert updated[1]["userErrors"][0]["field"] == ["ifVersion"]


def test_one_memo_of_many_is_made_in_one_way(shop: Shop) -> None:
    memo = {"fromCharges": shop.charging("1.00"), "fromInvoice": {"invoiceKey": "INV-1"}}

    answer = shop.answer(
        "mutation Do($input: CreateCreditMemosInput!) { createCreditMemos(input: $input) { results { index } } }",
        {"input": {"memos": [memo]}},
    )

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("action", ["writeOffCreditMemo", "reverseCreditMemo"])
def test_what_undoes_a_memo_is_a_debit_memo_like_it(shop: Shop, action: str) -> None:
    memo = shop.posted("30.00", "5.00")

    payload = shop.do(
        action,
        {"key": memo, "comment": "Too old"},
        "creditMemo { id appliedAmount unappliedAmount reversed parts { nodes { amount debitMemo { number } } } }"
        " debitMemo { number status amount balance beAppliedAmount dueDate comment reasonCode sourceType"
        " referredCreditMemoId items { nodes { amount balance sourceItemId } } }",
    )

    made = payload["debitMemo"]
    lines = sorted((item["amount"], item["balance"], item["sourceItemId"]) for item in made.pop("items")["nodes"])
    first, second = (item["id"] for item in shop.items_of(memo))
    assert lines == [("30.00", "0.00", first), ("5.00", "0.00", second)]
    assert made == {
        "number": "DM00000001",
        "status": "POSTED",
        "amount": "35.00",
        "balance": "0.00",
        "beAppliedAmount": "35.00",
        "dueDate": "2026-03-25",
        "comment": "Too old",
        "reasonCode": "Write-off" if action == "writeOffCreditMemo" else "Credit memo reversal",
        "sourceType": "CREDIT_MEMO",
        "referredCreditMemoId": memo,
    }
    assert payload["creditMemo"] == {
        "id": memo,
        "appliedAmount": "35.00",
        "unappliedAmount": "0.00",
        "reversed": action == "reverseCreditMemo",
        "parts": {"nodes": [{"amount": "35.00", "debitMemo": {"number": "DM00000001"}}]},
    }


def test_a_refund_answers_memo_and_refund(shop: Shop) -> None:
    memo = shop.posted("30.00")
    selection = (
        MONEY + " refund { number type methodType status gatewayState gatewayId amount refundDate reasonCode"
        " paymentMethod { type } parts { nodes { amount itemParts { nodes { amount creditMemoItemId } } } } }"
    )

    recorded = shop.do(
        "refundCreditMemo",
        {"key": memo, "type": "EXTERNAL", "totalAmount": "10.00", "methodType": "WIRE_TRANSFER"},
        selection,
    )
    sent = shop.do(
        "refundCreditMemo",
        {"key": memo, "type": "ELECTRONIC", "totalAmount": "5.00", "paymentMethodId": shop.payment_method()},
        selection,
    )

    item = {"creditMemoItemId": shop.item_of(memo)}
    assert recorded["refund"] == {
        "number": "R-00000001",
        "type": "EXTERNAL",
        "methodType": "WIRE_TRANSFER",
        "status": "PROCESSED",
        "gatewayState": "NOT_SUBMITTED",
        "gatewayId": None,
        "amount": "10.00",
        "refundDate": "2026-03-15",
        "reasonCode": "Standard Refund",
        "paymentMethod": None,
        "parts": {"nodes": [{"amount": "10.00", "itemParts": {"nodes": [{"amount": "10.00", **item}]}}]},
    }
    assert (sent["refund"]["status"], sent["refund"]["gatewayState"]) == ("PROCESSED", "SUBMITTED")
    assert (sent["refund"]["methodType"], sent["refund"]["paymentMethod"]) == ("CREDIT_CARD", {"type": "CREDIT_CARD"})
    assert sent["creditMemo"] == {
        "status": "POSTED",
        "amount": "30.00",
        "appliedAmount": "0.00",
        "unappliedAmount": "15.00",
        "refundAmount": "15.00",
    }


def test_a_refund_that_the_gateway_refuses_stays_on_record(shop: Shop) -> None:
    memo = shop.posted("30.00")

    payload = shop.payload(
        "refundCreditMemo",
        {"key": memo, "type": "ELECTRONIC", "totalAmount": "5.13", "paymentMethodId": shop.payment_method()},
        MONEY + " refund { id }",
    )
    data = shop.ask(
        "query Memo($key: ID!) { creditMemo(key: $key)"
        " { unappliedAmount version refunds { nodes { status amount gatewayResponse parts { nodes { id } } } } } }",
        key=memo,
    )

    assert (payload["creditMemo"], payload["refund"]) == (None, None)
    assert [error["code"] for error in payload["userErrors"]] == ["GATEWAY_ERROR"]
    assert data["creditMemo"] == {
        "unappliedAmount": "30.00",
        "version": 2,
        "refunds": {
            "nodes": [
                {
                    "status": "ERROR",
                    "amount": "5.13",
                    "gatewayResponse": "The test gateway refuses amounts that end in .13.",
                    "parts": {"nodes": []},
                }
            ]
        },
    }


def test_a_dry_run_shows_everything_and_leaves_nothing(shop: Shop) -> None:
    invoice = shop.invoice(("30.00", "3.00"))

    made = shop.do(
        "createCreditMemoFromInvoice",
        {**shop.crediting(invoice, "30.00"), "autoPost": True, "autoApplyToInvoiceUponPosting": True, "dryRun": True},
        "creditMemo { number status appliedAmount referredInvoice { balance }"
        " parts { nodes { itemParts { nodes { amount } } } } history { nodes { action creditMemoNumber } } }",
    )["creditMemo"]

    assert made["history"]["nodes"] == [
        {"action": action, "creditMemoNumber": None} for action in ("CREATED", "POSTED", "APPLIED")
    ]
    assert (made["number"], made["status"], made["appliedAmount"]) == (None, "POSTED", "33.00")
    assert made["referredInvoice"] == {"balance": "0.00"}
    shares = [part["amount"] for node in made["parts"]["nodes"] for part in node["itemParts"]["nodes"]]
    assert shares == ["27.27", "2.73", "2.73", "0.27"]
    data = shop.ask("{ creditMemos { totalCount } invoices { nodes { balance } } }")
    assert data == {"creditMemos": {"totalCount": 0}, "invoices": {"nodes": [{"balance": "33.00"}]}}


SHOWN = """mutation ($key: ID!, $few: Int!) {
  updateCreditMemo(input: {key: $key, comment: "in vain", dryRun: true}) {
    creditMemo {
      items(first: $few) { nodes { id } }
      jobs { nodes { linesDone } }
      availableActions { action }
      parts { nodes { invoice { creditMemoParts { nodes { id } } } } }
      account { creditMemos { nodes { items { nodes { id taxationItems { nodes { id } } } } } } }
    }
  }
}"""


def test_a_dry_run_that_cannot_be_shown_ends_all_the_same(shop: Shop) -> None:
    invoice = shop.invoice(("30.00", "3.00"))
    given = {**shop.crediting(invoice, "30.00"), "autoPost": True, "autoApplyToInvoiceUponPosting": True}
    memo = shop.do("createCreditMemoFromInvoice", given, "creditMemo { id }")["creditMemo"]["id"]
    shown = shop.answer(SHOWN, {"key": memo, "few": 1})
    assert len(shown["data"]["updateCreditMemo"]["creditMemo"]["items"]["nodes"]) == 1

    for _ in range(5):
        refused = shop.answer(SHOWN, {"key": memo, "few": -1})
        assert [error["extensions"]["code"] for error in refused["errors"]] == ["BAD_USER_INPUT"]

    # What was still being read must not keep the transaction, and the memo in it, from others.
    changed = shop.do("updateCreditMemo", {"key": memo, "comment": "done"}, "creditMemo { comment }")
    assert changed["creditMemo"] == {"comment": "done"}


def test_a_repeat_is_answered_from_memory_and_says_so(shop: Shop) -> None:
    query = """mutation Do($input: WriteOffCreditMemoInput!) {
        writeOffCreditMemo(input: $input) { debitMemo { number } creditMemo { version } userErrors { code } } }"""
    variables = {"input": {"key": shop.posted("30.00"), "idempotencyKey": "once"}}

    first, again = shop.answer(query, variables), shop.answer(query, variables)

    assert again["data"] == first["data"]
    assert again["data"]["writeOffCreditMemo"]["debitMemo"] == {"number": "DM00000001"}
    assert "extensions" not in first
    assert again["extensions"] == {"idempotentReplay": True}


def test_rights_that_are_missing_are_forbidden(shop: Shop) -> None:
    memo = shop.posted("30.00")
    shop.viewer = Viewer("usr_clerk", ADMIN - {"credit_memos:reverse"})

    answer = shop.answer(
        "mutation Do($input: ReverseCreditMemoInput!) { reverseCreditMemo(input: $input) { userErrors { code } } }",
        {"input": {"key": memo}},
    )
    data = shop.ask(
        "query Memo($key: ID!) { creditMemo(key: $key) { availableActions { action allowed code reason } } }", key=memo
    )

    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    found = {state["action"]: state for state in data["creditMemo"]["availableActions"]}
    assert found["REVERSE"] == {
        "action": "REVERSE",
        "allowed": False,
        "code": "PERMISSION_DENIED",
        "reason": "You do not have permission to perform this operation: it needs credit_memos:reverse.",
    }
    assert found["WRITE_OFF"] == {"action": "WRITE_OFF", "allowed": True, "code": None, "reason": None}
    assert found["CANCEL"]["code"] == "INVALID_STATUS"


def test_what_can_be_done_is_read_after_what_was_done(shop: Shop) -> None:
    selection = "creditMemo { availableActions { action allowed } }"

    posted = shop.do("postCreditMemo", {"key": shop.draft("1.00"), "dryRun": True}, selection)["creditMemo"]

    allowed = {state["action"] for state in posted["availableActions"] if state["allowed"]}
    assert {"UNPOST", "APPLY", "REFUND", "WRITE_OFF", "REVERSE", "UPDATE"} <= allowed
    assert not {"POST", "CANCEL", "DELETE", "UNAPPLY"} & allowed


def test_ids_of_other_kinds_are_bad_input(shop: Shop) -> None:
    draft = shop.draft("1.00")

    for given in ({"key": f"inv_{1:032x}"}, {"key": draft, "items": [{"id": draft}]}):
        answer = shop.answer(
            "mutation Do($input: UpdateCreditMemoInput!) { updateCreditMemo(input: $input) { userErrors { code } } }",
            {"input": given},
        )
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_what_is_available_to_credit_is_shown_by_the_rule_that_decides(shop: Shop) -> None:
    invoice = shop.invoice(("50.00", "5.00"))
    item = shop.items_of(invoice)[0]
    line = {
        "skuName": "Seats",
        "amount": "20.00",
        "sourceItemType": "INVOICE_DETAIL",
        "sourceItemId": item["id"],
        "taxItems": [
            {
                "name": "VAT",
                "taxAmount": "2.00",
                "taxRate": "0.1",
                "sourceTaxItemId": item["taxationItems"]["nodes"][0]["id"],
            }
        ],
    }
    billed = {
        "number": "B-1",
        "accountKey": shop.account,
        "creditMemoDate": "2026-02-01",
        "source": "BILL_RUN",
        "sourceType": "SUBSCRIPTION",
        "referredInvoiceKey": invoice,
        "items": [line],
    }
    assert shop.each("syncCreditMemos", {"creditMemos": [billed]})[0]["userErrors"] == []
    shop.credit(invoice, "1.00", autoPost=True)

    def left() -> list[str]:
        found = shop.ask(
            "query Left($id: ID!) { invoice(key: $id) { availableToCredit items { nodes { availableToCreditAmount"
            " taxationItems { nodes { availableToCreditAmount } } } } } }",
            id=invoice,
        )["invoice"]
        (its,) = found["items"]["nodes"]
        (tax,) = its["taxationItems"]["nodes"]
        return [found["availableToCredit"], its["availableToCreditAmount"], tax["availableToCreditAmount"]]

    assert left() == ["31.90", "29.00", "2.90"]
    shop.do("updateSettings", {"countBillingEngineCredits": False})
    assert left() == ["53.90", "49.00", "4.90"]
    assert shop.payload("createCreditMemoFromInvoice", shop.crediting(invoice, "49.01"))["userErrors"] != []
    shop.credit(invoice, "49.00")
    shop.do("updateSettings", {"countBillingEngineCredits": True})
    assert left() == ["31.90", "29.00", "2.90"]
