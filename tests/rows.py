"""Rows for tests of reading: each maker names only what a test is about, and answers the new row's id.

Amounts are ten-thousandths. Rows are collected first and inserted together by `save`.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Boolean, Column, Date, Integer, Table

from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.types import Amount, EnumText, JsonText, Scaled, Timestamp

NOW = datetime(2026, 3, 15, 9, 30, 0, 123456, UTC)
TODAY = date(2026, 3, 15)


class Rows:
    """Documents to be inserted; those that refer to others take over their account and currency."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, Any]] = {}
        """Every row by its id."""
        self._tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, table: Table, prefix: str | None, **values: Any) -> str:
        """A row of any table; what it needs and is not given is filled in."""
        row = dict(values)
        self._counts[table.name] += 1
        number = self._counts[table.name]
        if prefix is not None:
            row.setdefault("id", f"{prefix}_{number:032x}")
            self.of[row["id"]] = row
        if "position" in table.c:
            row.setdefault("position", number)
        for column in table.c:
            if column.name not in row and not column.nullable and column.server_default is None:
                row[column.name] = _fill(column)
        self._tables[table.name].append(row)
        return str(row.get("id", ""))

    async def save(self, database: Database) -> None:
        """Insert everything that was not inserted yet."""
        async with database.write() as connection:
            for table in t.metadata.sorted_tables:
                alike: dict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
                for row in self._tables.pop(table.name, ()):
                    alike[frozenset(row)].append(row)
                for batch in alike.values():
                    await connection.execute(table.insert(), batch)

    def _from(self, parent: str, *names: str) -> dict[str, Any]:
        return {name: self.of[parent][name] for name in names}

    # --- accounts -----------------------------------------------------------------------------------------------------

    def account(self, **values: Any) -> str:
        """An account, `A1`, `A2`, ..."""
        number = self._counts["accounts"] + 1
        return self.add(t.accounts, "acc", **{"number": f"A{number}", "name": f"Account {number}", **values})

    def contact(self, **values: Any) -> str:
        """A contact."""
        return self.add(t.contacts, "con", **values)

    def payment_method(self, account: str, **values: Any) -> str:
        """A payment method of an account."""
        return self.add(t.payment_methods, "pm", account_id=account, **values)

    # --- invoices and debit memos -------------------------------------------------------------------------------------

    def invoice(self, account: str, amount: int = 1_000_000, **values: Any) -> str:
        """A posted invoice, `INV00000001`, ...; without lines unless they are added."""
        number = self._counts["invoices"] + 1
        given = {"invoice_number": f"INV{number:08d}", "amount": amount, "amount_without_tax": amount}
        return self.add(t.invoices, "inv", account_id=account, **{**given, **values})

    def invoice_item(self, invoice: str, amount: int = 1_000_000, **values: Any) -> str:
        """A line of an invoice."""
        given = {"invoice_id": invoice, "charge_amount": amount, "charge_name": "Seats"}
        return self.add(t.invoice_items, "ini", **self._from(invoice, "currency"), **{**given, **values})

    def invoice_tax(self, item: str, amount: int = 100_000, **values: Any) -> str:
        """A tax on a line of an invoice."""
        given = {"invoice_item_id": item, "tax_amount": amount, "name": "VAT", "tax_rate": Decimal("0.1")}
        return self.add(
            t.invoice_taxation_items, "int", **self._from(item, "currency", "invoice_id"), **{**given, **values}
        )

    def debit_memo(self, account: str, amount: int = 1_000_000, **values: Any) -> str:
        """A posted debit memo, `DM00000001`, ..."""
        number = self._counts["debit_memos"] + 1
        given = {"number": f"DM{number:08d}", "amount": amount, "status": "POSTED"}
        return self.add(t.debit_memos, "dm", account_id=account, **{**given, **values})

    def debit_memo_item(self, memo: str, amount: int = 1_000_000, **values: Any) -> str:
        """A line of a debit memo."""
        given = {"debit_memo_id": memo, "amount": amount, "amount_without_tax": amount, "sku_name": "Seats"}
        return self.add(t.debit_memo_items, "dmi", **self._from(memo, "currency"), **{**given, **values})

    def debit_memo_tax(self, item: str, amount: int = 100_000, **values: Any) -> str:
        """A tax on a line of a debit memo."""
        given = {"memo_item_id": item, "tax_amount": amount, "name": "VAT", "tax_rate": Decimal("0.1")}
        return self.add(
            t.debit_memo_taxation_items, "dmt", **self._from(item, "currency", "debit_memo_id"), **{**given, **values}
        )

    # --- credit memos -------------------------------------------------------------------------------------------------

    def memo(self, account: str, amount: int = 1_000_000, **values: Any) -> str:
        """A posted credit memo, `CM00000001`, ...; without lines unless they are added."""
        number = self._counts["credit_memos"] + 1
        given = {"number": f"CM{number:08d}", "amount": amount, "status": "POSTED"}
        return self.add(t.credit_memos, "cm", account_id=account, **{**given, **values})

    def item(self, memo: str, amount: int = 1_000_000, **values: Any) -> str:
        """A line of a credit memo."""
        given = {
            "credit_memo_id": memo,
            "amount": amount,
            "amount_without_tax": amount,
            "sku_name": "Seats",
            "source_item_id": f"chg_{0:032x}",
        }
        return self.add(t.credit_memo_items, "cmi", **self._from(memo, "currency"), **{**given, **values})

    def tax(self, item: str, amount: int = 100_000, **values: Any) -> str:
        """A tax on a line of a credit memo."""
        given = {"memo_item_id": item, "tax_amount": amount, "name": "VAT", "tax_rate": Decimal("0.1")}
        return self.add(
            t.credit_memo_taxation_items, "cmt", **self._from(item, "currency", "credit_memo_id"), **{**given, **values}
        )

    def part(self, memo: str, amount: int = 1_000_000, **values: Any) -> str:
        """A part of a credit memo, unapplied unless it is given a target."""
        given = {"credit_memo_id": memo, "amount": amount}
        return self.add(t.credit_memo_parts, "cmp", **self._from(memo, "currency"), **{**given, **values})

    def item_part(self, part: str, amount: int = 1_000_000, **values: Any) -> str:
        """An item part; name its line: `credit_memo_item_id` or `credit_tax_item_id`."""
        given = {"part_id": part, "amount": amount}
        return self.add(
            t.credit_memo_item_parts, "cip", **self._from(part, "currency", "credit_memo_id"), **{**given, **values}
        )

    # --- what surrounds them ------------------------------------------------------------------------------------------

    def refund(self, memo: str, amount: int = 1_000_000, **values: Any) -> str:
        """A refund of a credit memo, `R-00000001`, ..."""
        number = self._counts["refunds"] + 1
        given = {"number": f"R-{number:08d}", "credit_memo_id": memo, "amount": amount}
        return self.add(t.refunds, "ref", **self._from(memo, "currency", "account_id"), **{**given, **values})

    def refund_part(self, refund: str, **values: Any) -> str:
        """The part of a refund that its memo is."""
        given = self._from(refund, "currency", "credit_memo_id", "amount")
        return self.add(t.refund_parts, "rfp", refund_id=refund, **{**given, **values})

    def refund_item_part(self, part: str, **values: Any) -> str:
        """A line of a refund."""
        given = self._from(part, "currency", "refund_id", "amount")
        return self.add(t.refund_item_parts, "rip", refund_part_id=part, **{**given, **values})

    def event(self, memo: str, **values: Any) -> str:
        """An entry of a memo's history."""
        given = {"credit_memo_id": memo, "credit_memo_number": self.of[memo]["number"]}
        return self.add(
            t.credit_memo_events, "cme", **self._from(memo, "currency", "account_id"), **{**given, **values}
        )

    def file(self, memo: str, **values: Any) -> str:
        """A PDF of a memo."""
        number = self._counts["credit_memo_files"] + 1
        given = {"pdf_file_url": f"/v1/files/{number}", "object_key": str(number), "version_number": number}
        return self.add(t.credit_memo_files, "cmf", credit_memo_id=memo, **{**given, **values})

    def pdf_request(self, memo: str, **values: Any) -> str:
        """A request for a PDF."""
        given = {"memo_version": self.of[memo].get("version", 1)}
        return self.add(t.credit_memo_pdf_requests, "pdf", credit_memo_id=memo, **{**given, **values})

    def job(self, memo: str, **values: Any) -> str:
        """A job of a memo."""
        return self.add(t.credit_memo_jobs, "cmj", reference_id=memo, **values)

    def charge(self, prices: Mapping[str, Decimal] | None = None, **values: Any) -> str:
        """A charge of the catalog with its prices."""
        charge = self.add(t.product_rate_plan_charges, "chg", **{"name": "Seats", **values})
        for currency, price in (prices or {}).items():
            self.add(t.product_rate_plan_charge_prices, None, charge_id=charge, currency=currency, price=price)
        return charge

    def period(self, **values: Any) -> str:
        """An accounting period, `P1`, ..."""
        return self.add(t.accounting_periods, "per", **{"name": f"P{self._counts['accounting_periods'] + 1}", **values})


def _fill(column: Column[Any]) -> Any:
    """A value for a column that must have one."""
    match column.type:
        case EnumText():
            return next(iter(column.type.vocabulary))
        case Timestamp():
            return NOW
        case Date():
            return TODAY
        case Scaled():
            return Decimal(1)
        case Amount() | Integer():
            return 1
        case Boolean():
            return False
        case JsonText():
            return {}
    return "USD" if column.name == "currency" else "usr_tester" if column.name.endswith("_id") else column.name
