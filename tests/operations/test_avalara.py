"""Avalara as a tax engine: what it is asked, what becomes of its answers, and each way it can fail."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from cm_graphql.domain.billing import Account, Contact
from cm_graphql.domain.charges import TaxableLine
from cm_graphql.domain.enums import TaxMode
from cm_graphql.domain.money import SCALE
from cm_graphql.operations.avalara import Avalara, AvalaraAccount, exact_json
from cm_graphql.operations.ports import TaxEngineFailed, TaxInquiry
from makers import USD

AVALARA = AvalaraAccount(
    url="https://avatax.example", account_id="1100", license_key="secret", company_code="ACME", timeout=1.0
)
CONTACT = Contact(id="con_1", address1="1 Main St", city="Irvine", state="CA", postal_code="92615", country="US")
LINE = TaxableLine(
    key="0",
    name="Seats",
    sku="SKU-1",
    tax_code="PS081282",
    tax_mode=TaxMode.TAX_EXCLUSIVE,
    amount=9_999_999_999_999 * SCALE + 9_900,
    quantity=Decimal("2.5"),
)
INQUIRY = TaxInquiry(
    lines=(LINE, replace(LINE, key="cmi_1", tax_mode=TaxMode.TAX_INCLUSIVE, quantity=None)),
    account=Account(id="acc_1", number="A-1", name="Acme", currency="USD", bill_to=CONTACT),
    currency=USD,
    day=date(2026, 3, 15),
)
ANSWER: dict[str, Any] = {
    "lines": [
        {
            "lineNumber": "0",
            "taxCode": "PS081282",
            "details": [
                {"taxName": "CA STATE TAX", "jurisName": "CALIFORNIA", "jurisCode": "06", "rate": 0.06, "tax": 6.005},
                {"taxName": "CA SPECIAL TAX", "jurisName": "IRVINE", "rate": 0, "tax": 0},
            ],
        },
        {"lineNumber": "cmi_1", "details": []},
    ]
}


def answering(status: int = 200, body: object = ANSWER) -> tuple[Avalara, list[httpx.Request]]:
    """The engine, with AvaTax answering always the same, and what it is asked."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, text=body if isinstance(body, str) else json.dumps(body))

    return Avalara(AVALARA, httpx.MockTransport(answer)), asked


async def test_it_is_asked_for_an_estimate_with_exact_amounts() -> None:
    engine, asked = answering()

    await engine.price(INQUIRY)

    (request,) = asked
    assert str(request.url) == "https://avatax.example/api/v2/transactions/create"
    assert request.headers["authorization"].startswith("Basic ")
    body = json.loads(request.content, parse_float=Decimal)
    assert (body["type"], body["companyCode"], body["customerCode"]) == ("SalesOrder", "ACME", "A-1")
    assert (body["date"], body["currencyCode"]) == ("2026-03-15", "USD")
    assert body["addresses"]["singleLocation"]["postalCode"] == "92615"
    first, second = body["lines"]
    assert (first["number"], first["amount"], first["quantity"]) == ("0", Decimal("9999999999999.99"), Decimal("2.5"))
    assert (first["taxIncluded"], second["taxIncluded"], second["quantity"]) == (False, True, 1)


async def test_its_taxes_are_rounded_to_the_currency_and_those_of_0_left_out() -> None:
    engine, _ = answering()

    quotes = await engine.price(INQUIRY)

    (quote,) = quotes["0"]
    assert (quote.name, quote.jurisdiction, quote.location_code) == ("CA STATE TAX", "CALIFORNIA", "06")
    assert (quote.tax_amount, quote.tax_rate, quote.tax_code) == (60_100, Decimal("0.06"), "PS081282")
    assert quotes["cmi_1"] == ()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {"error": {"message": "Authentication failed."}}, "Authentication failed."),
        (500, "<html>", "status 500 and no JSON object"),
        (503, {}, "status 503"),
        (200, [], "no JSON object"),
        (200, {"lines": [{"lineNumber": "0"}]}, "does not document"),
        (200, {"lines": [{"lineNumber": "0", "details": []}]}, "nothing about 1 of the lines"),
    ],
)
async def test_it_fails_with_what_it_said(status: int, body: object, message: str) -> None:
    engine, _ = answering(status, body)

    with pytest.raises(TaxEngineFailed, match=message):
        await engine.price(INQUIRY)


async def test_it_fails_when_it_does_not_answer() -> None:
    def time_out(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too slow", request=request)

    handler: Callable[[httpx.Request], httpx.Response] = time_out
    with pytest.raises(TaxEngineFailed, match="ReadTimeout"):
        await Avalara(AVALARA, httpx.MockTransport(handler)).price(INQUIRY)


async def test_it_needs_an_address() -> None:
    engine, asked = answering()

    with pytest.raises(TaxEngineFailed, match="bill-to contact"):
        await engine.price(replace(INQUIRY, account=replace(INQUIRY.account, bill_to=None)))

    assert asked == []


def test_only_decimals_become_bare_numbers() -> None:
    assert exact_json({"a": Decimal("1.10"), "b": "1.10", "c": "\\u00002\\u0000"}) == (
        b'{"a": 1.10, "b": "1.10", "c": "\\\\u00002\\\\u0000"}'
    )
