"""A client of the public API with documents made in a line each: whatever a test needs comes in by mutations."""

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import HTTPConnection

from cm_graphql.api.context import Api, Context
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.schema import schema
from cm_graphql.app import open_documents
from cm_graphql.engine.runner import Engine
from cm_graphql.operations.viewer import LOCAL, Viewer
from cm_graphql.outside.judging import wrong_with
from cm_graphql.settings import Settings
from cm_graphql.store.database import Database
from cm_graphql.store.direct import open_direct
from documentation import refusals_of

TODAY = date(2026, 3, 15)
Input = dict[str, Any]
Refused = list[tuple[str, ...]]
"""Of each user error its code, followed by its field."""


class Judge:
    """Judges uploads in this process, for speed; the process that usually does is tested elsewhere."""

    async def wrong_with(self, content: bytes) -> str | None:
        return wrong_with(content)


class Shop:
    """Speaks GraphQL over HTTP, without a socket, to a server of its own in a loop of its own; nobody does its jobs."""

    def __init__(self, url: str, folder: Path) -> None:
        self.viewer: Viewer = LOCAL
        self.account = ""
        self._numbers = itertools.count(1)
        self._runner = asyncio.Runner()
        self._database = Database.open(url)
        files = Settings(files_url=folder.as_uri(), mail_folder=folder / "mail")
        documents = replace(open_documents(files), judge=Judge())
        self._direct = open_direct(self._database)
        self.engine = Engine(schema, self._direct)
        self.api = Api(database=self._database, today=TODAY, engine=self.engine, documents=documents)

        async def make_context(_request: HTTPConnection, request_id: str) -> Context:
            return Context.of(self.api, viewer=self.viewer, request_id=request_id)

        transport = httpx.ASGITransport(app=GraphQLOverHTTP(schema._schema, make_context))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://test", trust_env=False)

    def close(self) -> None:
        """Close the database."""
        self._runner.run(self._client.aclose())
        self._runner.run(self._direct.close())
        self._runner.run(self._database.dispose())
        self._runner.close()

    # --- asking -------------------------------------------------------------------------------------------------------

    def answer(
        self, query: str, variables: Input | None = None, file: bytes | None = None, operation_name: str | None = None
    ) -> Any:
        """The whole answer; with a file, what `$input.file` is."""
        return self._runner.run(self._answer(query, variables or {}, file, operation_name))

    async def _answer(self, query: str, variables: Input, file: bytes | None, operation_name: str | None = None) -> Any:
        body = {"query": query, "variables": variables, "operationName": operation_name}
        if file is None:
            # Not through httpx's own JSON, which would refuse the lone surrogates that some tests send.
            headers = {"content-type": "application/json"}
            response = await self._client.post("/graphql", content=json.dumps(body).encode(), headers=headers)
        else:
            form = {"operations": json.dumps(body), "map": json.dumps({"0": ["variables.input.file"]})}
            response = await self._client.post(
                "/graphql",
                data=form,
                files={"0": ("scan.pdf", file, "application/pdf")},
                headers={"graphql-require-preflight": "1"},
            )
        return response.json()

    def together(self, *requests: tuple[str, Input, str]) -> list[Any]:
        """The payloads of mutations that are asked for at the same time."""

        async def ask() -> list[Any]:
            return await asyncio.gather(
                *(self._answer(_query(name, selection), {"input": given}, None) for name, given, selection in requests)
            )

        answers = self._runner.run(ask())
        return [_payload(answer, name) for answer, (name, _, _) in zip(answers, requests, strict=True)]

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query that has no errors."""
        answer = self.answer(query, variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def payload(self, mutation: str, given: Input, selection: str = "", file: bytes | None = None) -> Any:
        """What a mutation answers, be it done or refused."""
        return _payload(self.answer(_query(mutation, selection), {"input": given}, file), mutation)

    def do(self, mutation: str, given: Input, selection: str = "", file: bytes | None = None) -> Any:
        """What a mutation answers that must succeed."""
        payload = self.payload(mutation, given, selection, file)
        assert payload["userErrors"] == []
        return payload

    def refused(self, mutation: str, given: Input, file: bytes | None = None) -> Refused:
        """Why a mutation is refused."""
        return _told(mutation, self.payload(mutation, given, "", file)["userErrors"])

    def each(self, mutation: str, given: Input, selection: str = "") -> list[Any]:
        """The results of a bulk mutation that is not refused as a whole."""
        payload = self.do(mutation, given, f"results {{ index {selection} userErrors {{ code message field }} }}")
        results: list[Any] = payload["results"]
        return results

    def refused_each(self, mutation: str, given: Input) -> list[Refused]:
        """Why each element of a bulk mutation is refused; nothing where it is not."""
        return [_told(mutation, result["userErrors"]) for result in self.each(mutation, given)]

    # --- documents ----------------------------------------------------------------------------------------------------

    def number(self, prefix: str) -> str:
        """A number that nothing has."""
        return f"{prefix}-{next(self._numbers)}"

    def _synced(self, mutation: str, plural: str, singular: str, given: Input) -> Any:
        (result,) = self.each(mutation, {plural: [given]}, f"{singular} {{ id }}")
        assert result["userErrors"] == []
        return result[singular]["id"]

    def new_account(self, **given: Any) -> str:
        """An account, whose documents are made from now on."""
        given = {"number": self.number("A"), "name": "Acme", "currency": "USD", **given}
        self.account = self._synced("syncAccounts", "accounts", "account", given)
        return self.account

    def charge(self, **given: Any) -> str:
        """A flat fee of 10.00."""
        made = {
            "name": self.number("Seats"),
            "chargeModel": "FLAT_FEE",
            "chargeType": "RECURRING",
            "prices": [{"currency": "USD", "price": "10.00"}],
            **given,
        }
        names = ("syncProductRatePlanCharges", "productRatePlanCharges", "productRatePlanCharge")
        return str(self._synced(*names, made))

    def invoice(self, *lines: tuple[str, ...], engine: str = "NONE", **given: Any) -> str:
        """A posted invoice of February; each line an amount and those of its taxes at 10 %."""
        items = [
            {
                "chargeName": "Seats",
                "chargeAmount": net,
                "taxItems": [
                    {"name": "VAT", "taxAmount": tax, "taxRate": "0.1", "jurisdiction": "CA", "engine": engine}
                    for tax in taxes
                ],
                **({"processingType": "DISCOUNT", "appliedToItemIndex": 0} if net.startswith("-") else {}),
            }
            for net, *taxes in lines
        ]
        made = {
            "accountKey": self.account,
            "invoiceNumber": self.number("INV"),
            "invoiceDate": "2026-02-01",
            "items": items,
            **given,
        }
        return str(self._synced("syncInvoices", "invoices", "invoice", made))

    def debit_memo(self, *amounts: str, **given: Any) -> str:
        """A posted debit memo of February."""
        items = [{"skuName": "Seats", "amount": amount} for amount in amounts]
        made = {
            "accountKey": self.account,
            "number": self.number("DEB"),
            "debitMemoDate": "2026-02-01",
            "items": items,
            **given,
        }
        return str(self._synced("syncDebitMemos", "debitMemos", "debitMemo", made))

    def payment_method(self, *, electronic: bool = True) -> str:
        """A card of the account."""
        made = {
            "id": f"pm_{next(self._numbers):032x}",
            "accountKey": self.account,
            "type": "CREDIT_CARD",
            "electronic": electronic,
        }
        return str(self._synced("syncPaymentMethods", "paymentMethods", "paymentMethod", made))

    def items_of(self, document: str) -> list[Any]:
        """The items of an invoice, debit memo or credit memo, with their taxes, in order of creation."""
        fields = "... on {} {{ items(first: 100) {{ nodes {{ id taxationItems {{ nodes {{ id }} }} }} }} }}"
        kinds = " ".join(fields.format(kind) for kind in ("Invoice", "DebitMemo", "CreditMemo"))
        nodes = self.ask(f"query Items($id: ID!) {{ node(id: $id) {{ {kinds} }} }}", id=document)["node"]["items"][
            "nodes"
        ]
        return sorted(nodes, key=lambda node: str(node["id"]))

    def item_of(self, document: str) -> str:
        """The first item of a document."""
        return str(self.items_of(document)[0]["id"])

    # --- credit memos -------------------------------------------------------------------------------------------------

    def crediting(self, invoice: str, *amounts: str, **line: Any) -> Input:
        """A request to credit an invoice: its items, each with the amount in its place."""
        lines = [
            {"invoiceItemId": item["id"], "skuName": "Seats", "amount": amount, **line}
            for item, amount in zip(self.items_of(invoice), amounts, strict=False)
        ]
        return {"invoiceKey": invoice, "items": lines}

    def credit(self, invoice: str, *amounts: str, **given: Any) -> str:
        """A draft from an invoice."""
        asked = {**self.crediting(invoice, *amounts), **given}
        return str(self.do("createCreditMemoFromInvoice", asked, "creditMemo { id }")["creditMemo"]["id"])

    def charging(self, *amounts: str | None, **given: Any) -> Input:
        """A request for a draft from a charge of the catalog."""
        charge = self.charge()
        lines = [{"productRatePlanChargeId": charge, "amount": amount} for amount in amounts]
        return {"accountKey": self.account, "charges": lines, **given}

    def draft(self, *amounts: str, **given: Any) -> str:
        """A draft from a charge of the catalog."""
        asked = self.charging(*amounts or ("10.00",), **given)
        return str(self.do("createCreditMemoFromCharges", asked, "creditMemo { id }")["creditMemo"]["id"])

    def posted(self, *amounts: str, **given: Any) -> str:
        """A posted memo from a charge of the catalog."""
        return self.draft(*amounts, **given, autoPost=True)


def _told(mutation: str, errors: list[Any]) -> Refused:
    """Why a mutation was refused, which must be for a reason that the documentation knows."""
    unknown = {error["code"] for error in errors} - refusals_of(mutation)
    assert not unknown, f"the page of {mutation} does not tell of {unknown}"
    return [(error["code"], *(error["field"] or ())) for error in errors]


def _query(mutation: str, selection: str) -> str:
    input_type = f"{mutation[0].upper()}{mutation[1:]}Input"
    return (
        f"mutation Do($input: {input_type}!) {{ {mutation}(input: $input) {{ {selection} "
        "userErrors { code message field } } }"
    )


def _payload(answer: Any, mutation: str) -> Any:
    assert "errors" not in answer, answer["errors"]
    return answer["data"][mutation]
