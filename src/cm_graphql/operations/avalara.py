"""Avalara as the tax engine of lines made from charges: AvaTax quotes, records nothing. Needs the extra `avalara`."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from cm_graphql.domain.billing import Contact
from cm_graphql.domain.charges import Quotes, TaxQuote
from cm_graphql.domain.enums import TaxMode
from cm_graphql.domain.money import SCALE, Currency
from cm_graphql.operations.ports import TaxEngineFailed, TaxInquiry

if TYPE_CHECKING:
    import httpx

_EXACT: Final = "\0"
"""Marks an amount inside JSON text until it becomes a bare number there; no text of ours can contain it."""


class AvalaraUnavailable(Exception):
    """The adapter cannot be used on this server: the library it needs is not installed."""


@dataclass(frozen=True, kw_only=True)
class AvalaraAccount:
    """Where AvaTax is and as whom it is asked."""

    url: str
    account_id: str
    license_key: str
    company_code: str
    timeout: float = 10.0
    """Seconds."""


class Avalara:
    """Asks AvaTax what it would charge, as a `SalesOrder`: an estimate, which it does not keep."""

    def __init__(self, account: AvalaraAccount, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        try:
            import httpx
        except ImportError as error:
            raise AvalaraUnavailable(
                "The tax engine avalara needs httpx: pip install 'cm-graphql[avalara]'."
            ) from error
        self._httpx = httpx
        self._account = account
        self._transport = transport

    async def price(self, inquiry: TaxInquiry) -> Quotes:
        """The taxes of each line, under its key."""
        httpx = self._httpx
        try:
            async with httpx.AsyncClient(
                base_url=self._account.url,
                auth=(self._account.account_id, self._account.license_key),
                timeout=self._account.timeout,
                transport=self._transport,
            ) as client:
                response = await client.post(
                    "/api/v2/transactions/create",
                    content=exact_json(_transaction(inquiry, self._account.company_code)),
                    headers={"content-type": "application/json"},
                )
        except httpx.HTTPError as error:
            raise TaxEngineFailed(f"The tax engine avalara did not answer ({type(error).__name__}).") from error
        return _quotes(_answer(response.status_code, response.text), inquiry)


def exact_json(body: Mapping[str, Any]) -> bytes:
    """JSON in which decimals are numbers of just their digits: no float on the way."""
    text = json.dumps(body, default=lambda value: f"{_EXACT}{value:f}{_EXACT}")
    return re.sub(r'"\\u0000(-?[0-9.]+)\\u0000"', r"\1", text).encode()


def _transaction(inquiry: TaxInquiry, company_code: str) -> dict[str, Any]:
    return {
        "type": "SalesOrder",
        "companyCode": company_code,
        "date": inquiry.day.isoformat(),
        "customerCode": inquiry.account.number,
        "currencyCode": inquiry.currency.code,
        "addresses": {"singleLocation": _address(inquiry.account.bill_to)},
        "lines": [
            {
                "number": line.key,
                "amount": Decimal(line.amount) / SCALE,
                "quantity": Decimal(1) if line.quantity is None else line.quantity,
                "taxCode": line.tax_code,
                "itemCode": (line.sku or line.name)[:50],
                "description": line.name,
                "taxIncluded": line.tax_mode is TaxMode.TAX_INCLUSIVE,
            }
            for line in inquiry.lines
        ],
    }


def _address(contact: Contact | None) -> dict[str, str | None]:
    if contact is None:
        raise TaxEngineFailed("The tax engine avalara needs an address: the account has no bill-to contact.")
    return {
        "line1": contact.address1,
        "city": contact.city,
        "region": contact.state,
        "postalCode": contact.postal_code,
        "country": contact.country,
    }


def _answer(status: int, text: str) -> Mapping[str, Any]:
    try:
        body = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise TaxEngineFailed(f"The tax engine avalara answered with status {status} and no JSON object.")
    if status >= 400:
        error = body.get("error")
        said = error.get("message") if isinstance(error, dict) else None
        raise TaxEngineFailed(f"The tax engine avalara answered: {said or f'status {status}'}")
    return body


def _quotes(body: Mapping[str, Any], inquiry: TaxInquiry) -> Quotes:
    found: defaultdict[str, list[TaxQuote]] = defaultdict(list)
    try:
        for line in body["lines"]:
            details = [detail for detail in line["details"] if detail["tax"]]
            found[line["lineNumber"]] = [_quote(detail, line, inquiry.currency) for detail in details]
    except (KeyError, TypeError, ArithmeticError) as error:
        raise TaxEngineFailed("The tax engine avalara answered something that it does not document.") from error
    missing = {line.key for line in inquiry.lines} - found.keys()
    if missing:
        raise TaxEngineFailed(f"The tax engine avalara said nothing about {len(missing)} of the lines.")
    return {line.key: tuple(found[line.key]) for line in inquiry.lines}


def _quote(detail: Mapping[str, Any], line: Mapping[str, Any], currency: Currency) -> TaxQuote:
    return TaxQuote(
        name=detail["taxName"],
        jurisdiction=detail["jurisName"],
        tax_amount=currency.round(Fraction(Decimal(detail["tax"])) * SCALE),
        tax_rate=Decimal(detail["rate"]),
        location_code=detail.get("jurisCode"),
        tax_code=line.get("taxCode"),
    )
