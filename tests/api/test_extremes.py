"""What has the most digits, or the oddest spelling, over HTTP: answered in full, or refused by name."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from in_process import a_key, served

MOST = "9999999999999"

TOLD = """mutation ($accounts: [SyncedAccountInput!]!, $invoices: [SyncedInvoiceInput!]!) {
  syncAccounts(input: { accounts: $accounts }) { results { userErrors { message } } }
  syncInvoices(input: { invoices: $invoices }) { results { invoice { items { nodes { id } } } userErrors { message } } }
}"""
PAST = """mutation ($memos: [SyncedCreditMemoInput!]!) {
  syncCreditMemos(input: { creditMemos: $memos }) { results { userErrors { code message } } } }"""


async def ask(client: httpx.AsyncClient, query: str, headers: dict[str, str] | None = None, **variables: Any) -> Any:
    answer = await client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


async def an_invoice(client: httpx.AsyncClient, account: str, number: str, amount: str, currency: str = "VND") -> str:
    """The id of the line of a new invoice of a new account."""
    told = await ask(
        client,
        TOLD,
        accounts=[{"number": account, "name": account, "currency": currency}],
        invoices=[
            {
                "invoiceNumber": number,
                "accountKey": account,
                "invoiceDate": "2026-01-01",
                "items": [{"chargeName": "Everything", "chargeAmount": amount}],
            }
        ],
    )
    (result,) = told["syncInvoices"]["results"]
    assert result["userErrors"] == []
    return str(result["invoice"]["items"]["nodes"][0]["id"])


def a_past_memo(number: str, account: str, line: str, amount: str, invoice: str | None) -> dict[str, Any]:
    item = {"amount": amount, "skuName": "Everything", "sourceItemType": "INVOICE_DETAIL", "sourceItemId": line}
    came = {"source": "BILL_RUN", "sourceType": "INVOICE", "status": "POSTED", "creditMemoDate": "2026-02-01"}
    memo = {"number": number, "accountKey": account, "items": [item], **came}
    return memo if invoice is None else {**memo, "referredInvoiceKey": invoice}


async def test_an_invoice_of_which_more_than_64_bits_were_credited_is_shown_and_can_be_credited(
    database_url: str, tmp_path: Path
) -> None:
    async with served(database_url, tmp_path) as client:
        line = await an_invoice(client, "A-1", "INV-1", MOST)
        memos = [a_past_memo(f"P-{number}", "A-1", line, MOST, "INV-1") for number in range(95)]
        told = await ask(client, PAST, memos=memos)
        assert [result["userErrors"] for result in told["syncCreditMemos"]["results"]] == [[]] * 95

        query = """{ invoice(key: "INV-1") { availableToCredit items { nodes { availableToCreditAmount } } } }"""
        shown = (await ask(client, query))["invoice"]
        item = {"invoiceItemId": line, "amount": "1", "skuName": "Everything"}
        wanted = {"invoiceKey": "INV-1", "autoPost": True, "items": [item]}
        create = """mutation ($input: CreateCreditMemoFromInvoiceInput!) {
          createCreditMemoFromInvoice(input: $input) { userErrors { code } } }"""
        refused = await ask(client, create, input=wanted)

    assert int(shown["availableToCredit"]) < -790 * 10**12
    assert int(shown["items"]["nodes"][0]["availableToCreditAmount"]) < -790 * 10**12
    assert refused["createCreditMemoFromInvoice"]["userErrors"] == [{"code": "OVER_CREDIT"}]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5_000])
async def test_numbers_that_would_come_back_as_others_are_refused_in_custom_fields(
    database_url: str, tmp_path: Path, number: str
) -> None:
    fields = f"{{ a__c: [{{ b: {number} }}] }}"
    mutation = f"""mutation {{ createCreditMemoFromCharges(input: {{ accountKey: "A-1", charges: [],
      customFields: {fields} }}) {{ userErrors {{ code }} }} }}"""
    async with served(database_url, tmp_path) as client:
        answer = (await client.post("/graphql", json={"query": mutation})).json()

    (error,) = answer["errors"]
    assert error["extensions"]["code"] in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"), error


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, 0.1, 1e300])
async def test_numbers_of_custom_fields_come_back_as_they_went(
    database_url: str, tmp_path: Path, number: float
) -> None:
    wanted = {"a__c": [{"b": number, "c": "1" * 30}]}
    charge = {"id": f"chg_{1:032x}", "name": "Seats", "chargeModel": "FLAT_FEE", "chargeType": "ONE_TIME", "prices": []}
    async with served(database_url, tmp_path) as client:
        await an_invoice(client, "A-1", "INV-1", "10")
        catalog = """mutation ($input: SyncProductRatePlanChargesInput!) {
          syncProductRatePlanCharges(input: $input) { results { userErrors { message } } } }"""
        await ask(client, catalog, input={"productRatePlanCharges": [charge]})
        create = """mutation ($input: CreateCreditMemoFromChargesInput!) {
          createCreditMemoFromCharges(input: $input) { creditMemo { id customFields } userErrors { message } } }"""
        line = {"productRatePlanChargeId": charge["id"], "amount": "1"}
        made = await ask(client, create, input={"accountKey": "A-1", "charges": [line], "customFields": wanted})
        memo = made["createCreditMemoFromCharges"]["creditMemo"]
        read = await ask(client, "query ($key: ID!) { creditMemo(key: $key) { customFields } }", key=memo["id"])

    assert memo["customFields"] == read["creditMemo"]["customFields"] == wanted


SENT: dict[str, Any] = {
    "day": "2026-01-31",
    "moment": "2026-01-31T12:00:00.000000Z",
    "amount": "1.50",
    "text": None,
    "many": [1, None],
}


async def test_variables_within_custom_fields_are_kept_as_they_were_sent(database_url: str, tmp_path: Path) -> None:
    account = """mutation ($day: Date, $moment: DateTime, $amount: Decimal, $text: String, $many: [Int], $absent: ID) {
      syncAccounts(input: { accounts: [{ number: "A-1", name: "Acme", currency: "USD", customFields: {
        a__c: { day: $day, moment: $moment, amount: $amount, text: $text, many: $many, absent: $absent }
        b__c: [$text, $absent, $amount] c__c: $absent } }] }) {
        results { account { customFields } userErrors { message } } } }"""
    async with served(database_url, tmp_path) as client:
        (result,) = (await ask(client, account, **SENT))["syncAccounts"]["results"]

    assert result == {"account": {"customFields": {"a__c": SENT, "b__c": [None, None, "1.50"]}}, "userErrors": []}


async def test_who_sees_some_accounts_is_told_nothing_of_lines_of_others(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path) as client:
        hidden = await an_invoice(client, "A-1", "INV-1", "10")
        await an_invoice(client, "A-2", "INV-2", "10")
        mine = (await ask(client, '{ account(key: "A-2") { id } }'))["account"]["id"]
    _, caller = await a_key(
        database_url, "credit_memos:read", "documents:read", "documents:sync", "settings:write", accounts=[mine]
    )
    async with served(database_url, tmp_path, auth="keys") as client:
        answers = [
            await ask(client, PAST, caller, memos=[a_past_memo(number, "A-2", line, "1", None)])
            for number, line in (("P-1", hidden), ("P-2", f"ini_{7:032x}"))
        ]

    assert answers[0] == answers[1]
