"""Bringing in documents and the tenant's books over GraphQL: what the client says and sees."""

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import httpx
import pytest

from cm_graphql.api.schema import schema
from cm_graphql.api.types.settings import Settings
from cm_graphql.domain.commands.reference import UpdateSettings
from cm_graphql.domain.rulebook import TenantSettings
from cm_graphql.operations.viewer import ADMIN, Viewer
from reading import Reader

ONE = "1" * 32
ERRORS = "userErrors { code field message }"


class Once(Reader):
    """A client that asks once, because what it asks for is done."""

    async def _post(self, query: str, variables: dict[str, Any] | None) -> httpx.Response:
        content = json.dumps({"query": query, "variables": variables or {}}).encode()
        return await self._by_plans.post("/graphql", content=content, headers={"content-type": "application/json"})


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    opened = Once(database_url, schema)
    yield opened
    opened.close()


def query(name: str, singular: str, selection: str) -> str:
    """The mutation that syncs one kind of document."""
    type_ = name[0].upper() + name[1:]
    return (
        f"mutation Sync($input: {type_}Input!) {{ {name}(input: $input) {{"
        f" {ERRORS} results {{ index {singular} {{ {selection} }} {ERRORS} }} }} }}"
    )


ACCOUNTS = query("syncAccounts", "account", "id number name customFields billToContact { workEmail } sequenceSet")
INVOICES = query(
    "syncInvoices",
    "invoice",
    """id invoiceNumber amount taxAmount balance dueDate account { number }
    items { nodes { paymentAmount balance taxationItems { nodes { taxAmount engine } } } }""",
)
DEBIT_MEMOS = query("syncDebitMemos", "debitMemo", "id number amount balance reasonCode items { nodes { skuName } }")
CHARGES = query(
    "syncProductRatePlanCharges",
    "productRatePlanCharge",
    "id name prices { currency price } financeInformation { deferredRevenueAccountingCode }",
)
METHODS = query("syncPaymentMethods", "paymentMethod", "id type electronic account { number }")
MEMOS = query(
    "syncCreditMemos",
    "creditMemo",
    "id number status amount unappliedAmount parts { nodes { amount } } history { nodes { action } }"
    " netSuite { integrationId syncDate origin }",
)
CODES = query("syncReasonCodes", "reasonCode", "name type active isDefault")
PERIODS = query("syncAccountingPeriods", "accountingPeriod", "name startDate endDate status")
CURRENCIES = query("syncCurrencies", "currency", "code decimals active roundingMode roundingIncrement")
RATES = query("syncTaxRates", "taxRate", "taxCode jurisdiction name rate locationCode")


def an_account(**given: Any) -> dict[str, Any]:
    return {"number": "A-1", "name": "Acme", "currency": "USD", **given}


def an_invoice(**given: Any) -> dict[str, Any]:
    tax = {"name": "VAT", "taxAmount": "10.00", "taxRate": "0.1", "engine": "ZUORA_TAX"}
    item = {"chargeName": "Seats", "chargeAmount": "100.00", "taxItems": [tax]}
    return {"invoiceNumber": "INV-1", "accountKey": "A-1", "invoiceDate": "2026-02-01", "items": [item], **given}


def sync(reader: Reader, mutation: str, plural: str, *documents: Any, **more: Any) -> list[Any]:
    """The results of a sync of which the request as a whole was fine."""
    data = reader.ask(mutation, input={plural: list(documents), **more})
    (payload,) = data.values()
    assert payload["userErrors"] == []
    assert [result["index"] for result in payload["results"]] == list(range(len(documents)))
    results: list[Any] = payload["results"]
    return results


def one(reader: Reader, mutation: str, plural: str, document: Any, **more: Any) -> Any:
    """The document that came of a sync."""
    (result,) = sync(reader, mutation, plural, document, **more)
    assert result["userErrors"] == []
    (made,) = (value for key, value in result.items() if key not in ("index", "userErrors"))
    return made


def test_an_account_and_its_documents_come_in_and_are_answered(reader: Reader) -> None:
    account = one(
        reader,
        ACCOUNTS,
        "accounts",
        an_account(id=ONE, billToContact={"workEmail": "ada@example.com"}, customFields={"tier__c": {"level": 3}}),
    )
    assert account == {
        "id": f"acc_{ONE}",
        "number": "A-1",
        "name": "Acme",
        "customFields": {"tier__c": {"level": 3}},
        "billToContact": {"workEmail": "ada@example.com"},
        "sequenceSet": None,
    }

    invoice = one(reader, INVOICES, "invoices", an_invoice(paymentsApplied="60"))
    assert (invoice["amount"], invoice["taxAmount"], invoice["balance"]) == ("110.00", "10.00", "50.00")
    assert (invoice["dueDate"], invoice["account"]) == ("2026-03-03", {"number": "A-1"})
    (item,) = invoice["items"]["nodes"]
    assert (item["paymentAmount"], item["balance"]) == ("60.00", "40.00")
    assert [tax["engine"] for tax in item["taxationItems"]["nodes"]] == ["ZUORA_TAX"]

    memo = one(
        reader,
        DEBIT_MEMOS,
        "debitMemos",
        {
            "number": "DEB-1",
            "accountKey": ONE,
            "debitMemoDate": "2026-02-01",
            "items": [{"skuName": "Late fee", "amount": "5.00"}],
        },
    )
    assert (memo["amount"], memo["reasonCode"]) == ("5.00", "Correcting invoice error")
    assert memo["items"]["nodes"] == [{"skuName": "Late fee"}]


def test_the_catalog_payment_methods_and_past_memos_come_in(reader: Reader) -> None:
    one(reader, ACCOUNTS, "accounts", an_account())

    charge = one(
        reader,
        CHARGES,
        "productRatePlanCharges",
        {
            "name": "Seats",
            "chargeModel": "PER_UNIT",
            "chargeType": "RECURRING",
            "prices": [{"currency": "USD", "price": "9.123456789"}],
            "financeInformation": {"deferredRevenueAccountingCode": "4000"},
        },
    )
    method = one(
        reader,
        METHODS,
        "paymentMethods",
        {"id": ONE, "accountKey": "A-1", "type": "CREDIT_CARD", "electronic": True},
    )
    line = {
        "skuName": "Seats",
        "amount": "10",
        "sourceItemType": "PRODUCT_RATE_PLAN_CHARGE",
        "sourceItemId": charge["id"],
    }
    memo = one(
        reader,
        MEMOS,
        "creditMemos",
        {
            "number": "CM-OLD-1",
            "accountKey": "A-1",
            "creditMemoDate": "2024-01-31",
            "source": "ADHOC_FROM_PRPC",
            "sourceType": "STANDALONE",
            "netSuite": {"integrationId": "77", "syncDate": "2024-02-01"},
            "items": [line],
        },
    )

    assert charge["prices"] == [{"currency": "USD", "price": "9.123456789"}]
    assert charge["financeInformation"] == {"deferredRevenueAccountingCode": "4000"}
    assert method == {"id": f"pm_{ONE}", "type": "CREDIT_CARD", "electronic": True, "account": {"number": "A-1"}}
    assert (memo["status"], memo["unappliedAmount"]) == ("POSTED", "10.00")
    assert memo["parts"]["nodes"] == [{"amount": "10.00"}]
    assert memo["history"]["nodes"] == [{"action": "IMPORTED"}]
    assert memo["netSuite"] == {"integrationId": "77", "syncDate": "2024-02-01", "origin": None}


def test_the_tenants_books_come_in_and_are_answered(reader: Reader) -> None:
    code = {"name": "Goodwill", "type": "CREDIT_MEMO", "isDefault": True}
    period = {"name": "January", "startDate": "2026-01-01", "endDate": "2026-01-31", "status": "CLOSED"}
    rate = {"taxCode": "SW", "jurisdiction": "CA", "name": "State", "rate": "0.0725", "locationCode": None}

    assert one(reader, CODES, "reasonCodes", code) == {**code, "active": True}
    assert one(reader, PERIODS, "accountingPeriods", period) == period
    assert one(reader, RATES, "taxRates", rate) == rate
    assert one(reader, CURRENCIES, "currencies", {"code": "CHF", "roundingIncrement": "0.05"}) == {
        "code": "CHF",
        "decimals": 2,
        "active": True,
        "roundingMode": "HALF_UP",
        "roundingIncrement": "0.05",
    }
    cleared = one(reader, CURRENCIES, "currencies", {"code": "CHF", "roundingIncrement": None})
    assert cleared["roundingIncrement"] is None


def test_each_element_has_its_own_errors(reader: Reader) -> None:
    good, bad, unknown = sync(
        reader,
        ACCOUNTS,
        "accounts",
        an_account(),
        an_account(number="A 2", paymentTermDays=-1),
        an_account(number="A-3", currency="XXY"),
    )

    assert (good["account"]["number"], good["userErrors"]) == ("A-1", [])
    assert (bad["account"], unknown["account"]) == (None, None)
    assert [(error["code"], error["field"]) for error in bad["userErrors"]] == [
        ("INVALID_VALUE", ["number"]),
        ("INVALID_VALUE", ["paymentTermDays"]),
    ]
    assert [(error["code"], error["field"]) for error in unknown["userErrors"]] == [("INVALID_VALUE", ["currency"])]


def test_a_request_that_is_too_large_or_empty_is_refused_as_a_whole(reader: Reader) -> None:
    for documents, code in ([], "FIELD_REQUIRED"), ([an_account()] * 101, "LIMIT_EXCEEDED"):
        payload = reader.ask(ACCOUNTS, input={"accounts": documents})["syncAccounts"]
        assert payload["results"] == []
        assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, ["accounts"])]


def test_a_path_leads_to_the_line_at_fault(reader: Reader) -> None:
    one(reader, ACCOUNTS, "accounts", an_account())
    tax = {"name": "VAT", "taxAmount": "1.001", "taxRate": "0.1"}
    item = {"chargeName": "Seats", "chargeAmount": "10.00", "taxItems": [tax]}

    (result,) = sync(reader, INVOICES, "invoices", an_invoice(items=[item]))

    (error,) = result["userErrors"]
    assert (error["code"], error["field"]) == ("AMOUNT_PRECISION", ["items", "0", "taxItems", "0", "taxAmount"])


@pytest.mark.parametrize(
    "changes",
    [
        {"id": f"acc_{ONE}"},
        {"id": ONE.upper().replace("1", "A")},
        {"id": "INV-1"},
        {"accountKey": f"inv_{ONE}"},
        {"invoiceNumber": "INV\0"},
        {"invoiceNumber": "\ud800"},
        {"paymentsApplied": 1.5},
        {"paymentsApplied": "NaN"},
        {"paymentsApplied": "1e400"},
        {"paymentsApplied": "9" * 40},
        {"invoiceDate": "2026-02-30"},
        {"customFields": [1]},
        {"customFields": {"a__c": "\0"}},
        {"items": [{"chargeName": "x", "chargeAmount": "1", "taxItems": [None]}]},
        {"items": [{"chargeName": "x"}]},
        {"status": "posted"},
        {"balance": "0"},
    ],
)
def test_what_cannot_be_read_is_a_bad_request_and_changes_nothing(reader: Reader, changes: dict[str, Any]) -> None:
    one(reader, ACCOUNTS, "accounts", an_account())

    body = reader.post(INVOICES, {"input": {"invoices": [{**an_invoice(), **changes}]}}).json()

    assert [error["extensions"]["code"] for error in body["errors"]] == ["BAD_USER_INPUT"]
    assert reader.ask("{ invoices { totalCount } }") == {"invoices": {"totalCount": 0}}


def test_custom_fields_that_are_not_the_tenants_own_are_refused(reader: Reader) -> None:
    (result,) = sync(reader, ACCOUNTS, "accounts", an_account(customFields={"__proto__": 1, "a": 2}))

    assert [error["code"] for error in result["userErrors"]] == ["INVALID_VALUE", "INVALID_VALUE"]


def test_a_dry_run_is_answered_in_full_and_leaves_nothing(reader: Reader) -> None:
    one(reader, ACCOUNTS, "accounts", an_account())

    invoice = one(reader, INVOICES, "invoices", an_invoice(), dryRun=True)

    assert invoice["balance"] == "110.00"
    assert reader.ask("{ invoices { totalCount } }") == {"invoices": {"totalCount": 0}}


def test_a_repeat_is_answered_as_the_first_was(reader: Reader) -> None:
    variables = {"input": {"accounts": [an_account(), an_account(currency="X")], "idempotencyKey": "once"}}
    first = reader.post(ACCOUNTS, variables).json()

    again = reader.post(ACCOUNTS, variables).json()

    assert again["data"] == first["data"]
    assert again["extensions"]["idempotentReplay"] is True


def test_only_who_may_can(reader: Reader) -> None:
    def refused(mutation: str, given: Any) -> list[str]:
        return [error["extensions"]["code"] for error in reader.post(mutation, {"input": given}).json()["errors"]]

    reader.viewer = Viewer("usr_some", ADMIN - {"documents:sync"})
    assert refused(ACCOUNTS, {"accounts": [an_account()]}) == ["FORBIDDEN"]
    assert refused(CODES, {"reasonCodes": []}) == ["FORBIDDEN"]
    reader.viewer = Viewer("usr_some", ADMIN - {"settings:write", "settings:read"})
    assert refused(MEMOS, {"creditMemos": []}) == ["FORBIDDEN"]
    assert refused(UPDATE, {}) == ["FORBIDDEN"]
    (error,) = reader.post("{ settings { version } }").json()["errors"]
    assert (error["extensions"]["code"], error["path"]) == ("FORBIDDEN", ["settings"])


# --- settings ---------------------------------------------------------------------------------------------------------

SETTINGS = """applicationRule prorationLimit availableToCreditRule countBillingEngineCredits numberOnPosting unpostRule
    allowCrossPairs taxEngine timeZone version updatedById updatedDate"""
UPDATE = f"""mutation Update($input: UpdateSettingsInput!) {{
    updateSettings(input: $input) {{ settings {{ {SETTINGS} }} {ERRORS} }} }}"""


def test_every_setting_can_be_seen_and_changed() -> None:
    names = {field.name for field in fields(TenantSettings)}

    assert names | {"version", "updated_by_id", "updated_date"} == {field.name for field in fields(Settings)}
    assert names | {"idempotency_key", "dry_run"} == {field.name for field in fields(UpdateSettings)}


def test_settings_have_defaults_until_they_are_changed(reader: Reader) -> None:
    before = reader.ask(f"{{ settings {{ {SETTINGS} }} }}")["settings"]
    assert before == {
        "applicationRule": "PRORATION",
        "prorationLimit": 10_000,
        "availableToCreditRule": "HEADER_ONLY",
        "countBillingEngineCredits": True,
        "numberOnPosting": False,
        "unpostRule": False,
        "allowCrossPairs": False,
        "taxEngine": "none",
        "timeZone": "UTC",
        "version": 1,
        "updatedById": None,
        "updatedDate": None,
    }

    given = {"applicationRule": "FIFO", "timeZone": "Pacific/Auckland", "numberOnPosting": True, "prorationLimit": 0}
    payload = reader.ask(UPDATE, input=given)["updateSettings"]

    assert payload["userErrors"] == []
    now = reader.ask(f"{{ settings {{ {SETTINGS} }} }}")["settings"]
    assert payload["settings"] == now
    assert now == {**before, **given, "version": 2, "updatedById": "usr_local", "updatedDate": now["updatedDate"]}


def test_an_impossible_setting_is_refused(reader: Reader) -> None:
    payload = reader.ask(UPDATE, input={"timeZone": "Mars/Olympus", "prorationLimit": -1})["updateSettings"]

    assert payload["settings"] is None
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [
        ("INVALID_VALUE", ["prorationLimit"]),
        ("INVALID_VALUE", ["timeZone"]),
    ]


def test_a_dry_run_shows_the_settings_that_would_be(reader: Reader) -> None:
    payload = reader.ask(UPDATE, input={"unpostRule": True, "dryRun": True})["updateSettings"]

    assert (payload["settings"]["unpostRule"], payload["settings"]["version"]) == (True, 2)
    assert reader.ask("{ settings { unpostRule version } }") == {"settings": {"unpostRule": False, "version": 1}}
