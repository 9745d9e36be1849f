"""The hand-written floor: Starlette, orjson and a driver, with statements and answers spelled out for six requests.

It reads the same HTTP bodies as the GraphQL servers and knows an operation by its name. It checks nothing: no caller,
no document, no limit. What it answers in is about the least time that Python can answer in.
"""

import json
import os
import sqlite3
import sys
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Protocol

import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.shaping import day, moment, money, scaled

MEMO = "id, number, status, credit_memo_date, currency, amount, unapplied_amount, reason_code, comment, updated_date"
LISTED = (
    "id, number, status, credit_memo_date, currency, amount, unapplied_amount, reason_code, account_id, updated_date"
)
PAGED = "id, number, status, credit_memo_date, currency, amount, unapplied_amount, account_id"
ITEM = (
    "credit_memo_id, id, currency, sku_name, description, amount, quantity, unit_price, service_start_date, "
    "service_end_date, unapplied_amount"
)
TAX = "memo_item_id, id, currency, name, tax_amount, tax_rate, jurisdiction, tax_date"
PART = "credit_memo_id, id, currency, amount, invoice_id, created_date"

Row = Sequence[Any]


class Store(Protocol):
    """A database as this file asks it."""

    async def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a reading statement; `{keys}` in it stands for membership of a list of keys."""
        ...

    async def apply(self, memo: str, invoice: str, amount: int) -> Row:
        """Move money from a memo to an invoice, and answer what the memo then has applied and unapplied."""
        ...

    def date(self, text: str) -> Any:
        """A day as a parameter."""
        ...


class Postgresql:
    """PostgreSQL through a pool of asyncpg."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a reading statement."""
        found: list[Row] = await self._pool.fetch(sql.replace("{keys}", "= any($1)"), *values)
        return found

    async def apply(self, memo: str, invoice: str, amount: int) -> Row:
        """Move money in one transaction."""
        now, part = datetime.now(UTC), f"cmp_{uuid.uuid4().hex}"
        async with self._pool.acquire() as connection, connection.transaction():
            currency = await connection.fetchval(LOCK_MEMO, memo)
            await connection.fetchval(LOCK_INVOICE, invoice)
            await connection.execute(CREDIT_INVOICE, invoice, amount)
            await connection.execute(KEEP_PART, part, memo, currency, amount, invoice, now)
            moved: Row = await connection.fetchrow(APPLY_MEMO, memo, amount, now)
        return moved

    def date(self, text: str) -> Any:
        """A day as a parameter."""
        return date.fromisoformat(text)


class Sqlite:
    """SQLite in this process, its statements run at once."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000", "cache_size = -32000"):
            self._connection.execute(f"PRAGMA {pragma}")

    async def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run a reading statement."""
        if "{keys}" in sql:
            sql, values = sql.replace("{keys}", "IN (SELECT value FROM json_each($1))"), (json.dumps(values[0]),)
        # SQLite's planner would take the index of the status, which nearly all have, and sort; a person would not.
        sql = sql.replace("FROM credit_memos WHERE status", "FROM credit_memos WHERE +status")
        return self._connection.execute(_named(sql), _numbered(values)).fetchall()

    async def apply(self, memo: str, invoice: str, amount: int) -> Row:
        """Move money in one transaction."""
        now, part = moment(datetime.now(UTC)), f"cmp_{uuid.uuid4().hex}"
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            (currency,) = run("SELECT currency FROM credit_memos WHERE id = ?", (memo,)).fetchone()
            run(_named(CREDIT_INVOICE), _numbered((invoice, amount)))
            run(_named(KEEP_PART), _numbered((part, memo, currency, amount, invoice, now)))
            moved: Row = run(_named(APPLY_MEMO), _numbered((memo, amount, now))).fetchone()
        except BaseException:
            run("ROLLBACK")
            raise
        run("COMMIT")
        return moved

    def date(self, text: str) -> Any:
        """A day as a parameter."""
        return text


LOCK_MEMO = "SELECT currency FROM credit_memos WHERE id = $1 FOR UPDATE"
LOCK_INVOICE = "SELECT 1 FROM invoices WHERE id = $1 FOR UPDATE"
CREDIT_INVOICE = "UPDATE invoices SET credit_amount = credit_amount + $2 WHERE id = $1"
KEEP_PART = """
INSERT INTO credit_memo_parts
(id, credit_memo_id, currency, amount, invoice_id, created_by_id, created_date, updated_by_id, updated_date)
VALUES ($1, $2, $3, $4, $5, 'usr_bench', $6, 'usr_bench', $6)
ON CONFLICT (credit_memo_id, invoice_id) DO UPDATE SET amount = credit_memo_parts.amount + excluded.amount
"""
APPLY_MEMO = """
UPDATE credit_memos SET applied_amount = applied_amount + $2, version = version + 1, updated_date = $3 WHERE id = $1
RETURNING currency, applied_amount, unapplied_amount
"""


def _named(sql: str) -> str:
    return sql.replace("$", ":p")


def _numbered(values: Sequence[Any]) -> dict[str, Any]:
    return {f"p{number}": value for number, value in enumerate(values, 1)}


# --- the requests -----------------------------------------------------------------------------------------------------


async def memo(store: Store, given: dict[str, Any]) -> Any:
    """One memo."""
    rows = await store.rows(f"SELECT {MEMO} FROM credit_memos WHERE id = $1", given["key"])
    if not rows:
        return {"creditMemo": None}
    key, number, status, on, currency, amount, unapplied, reason, comment, updated = rows[0]
    return {
        "creditMemo": {
            "id": key,
            "number": number,
            "status": status,
            "creditMemoDate": day(on),
            "currency": currency,
            "amount": money(amount, currency),
            "unappliedAmount": money(unapplied, currency),
            "reasonCode": reason,
            "comment": comment,
            "updatedDate": moment(updated),
        }
    }


async def _page(store: Store, columns: str, given: dict[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """A page of memos by date, newest first, and its place: at the cursor in the `after` of the request."""
    first = given["first"]
    after = given.get("after")
    where, values = "status = $1", [given["status"]]
    if after:
        on, key = after.split("|")
        where += " AND (credit_memo_date, id) < ($2, $3)"
        values += [store.date(on), key]
    sql = f"SELECT {columns} FROM credit_memos WHERE {where} ORDER BY credit_memo_date DESC, id DESC LIMIT {first + 1}"
    rows = await store.rows(sql, *values)
    more, rows = len(rows) > first, rows[:first]
    return rows, {"hasNextPage": more, "endCursor": f"{day(rows[-1][3])}|{rows[-1][0]}" if rows else None}


async def listed(store: Store, given: dict[str, Any]) -> Any:
    """A page of a list."""
    rows, info = await _page(store, LISTED, given)
    nodes = [
        {
            "id": key,
            "number": number,
            "status": status,
            "creditMemoDate": day(on),
            "currency": currency,
            "amount": money(amount, currency),
            "unappliedAmount": money(unapplied, currency),
            "reasonCode": reason,
            "accountId": account,
            "updatedDate": moment(updated),
        }
        for key, number, status, on, currency, amount, unapplied, reason, account, updated in rows
    ]
    return {"creditMemos": {"nodes": nodes, "pageInfo": info}}


async def nested(store: Store, given: dict[str, Any]) -> Any:
    """A page of memos with their accounts, lines, taxes and parts."""
    memos, info = await _page(store, PAGED, given)
    return {"creditMemos": {"nodes": await _whole(store, memos), "pageInfo": info}}


async def whole(store: Store, given: dict[str, Any]) -> Any:
    """One memo with its account, lines, taxes and parts."""
    rows = await store.rows(f"SELECT {PAGED} FROM credit_memos WHERE id = $1", given["key"])
    return {"creditMemo": (await _whole(store, rows))[0] if rows else None}


async def _whole(store: Store, memos: Sequence[Row]) -> list[Any]:
    """Memos with what belongs to them: a statement for each level."""
    memo_ids = [row[0] for row in memos]
    accounts = await store.rows(
        "SELECT id, number, name, currency FROM accounts WHERE id {keys}", list({row[7] for row in memos})
    )
    items = await store.rows(
        f"SELECT {ITEM} FROM credit_memo_items WHERE credit_memo_id {{keys}} ORDER BY updated_date DESC, id DESC",
        memo_ids,
    )
    taxes = await store.rows(
        f"SELECT {TAX} FROM credit_memo_taxation_items WHERE memo_item_id {{keys}} ORDER BY position, id",
        [row[1] for row in items],
    )
    parts = await store.rows(
        f"SELECT {PART} FROM credit_memo_parts WHERE credit_memo_id {{keys}} ORDER BY created_date, id", memo_ids
    )
    account_of = {
        key: {"id": key, "number": number, "name": name, "currency": currency}
        for key, number, name, currency in accounts
    }
    taxes_of: dict[str, list[Any]] = defaultdict(list)
    for item, key, currency, name, tax, rate, jurisdiction, on in taxes:
        taxes_of[item].append(
            {
                "id": key,
                "name": name,
                "taxAmount": money(tax, currency),
                "taxRate": scaled(rate),
                "jurisdiction": jurisdiction,
                "taxDate": day(on),
            }
        )
    items_of: dict[str, list[Any]] = defaultdict(list)
    for owner, key, currency, sku, description, amount, quantity, price, start, end, unapplied in items:
        items_of[owner].append(
            {
                "id": key,
                "skuName": sku,
                "description": description,
                "amount": money(amount, currency),
                "quantity": scaled(quantity),
                "unitPrice": scaled(price),
                "serviceStartDate": day(start),
                "serviceEndDate": day(end),
                "unappliedAmount": money(unapplied, currency),
                "taxationItems": {"nodes": taxes_of[key]},
            }
        )
    parts_of: dict[str, list[Any]] = defaultdict(list)
    for owner, key, currency, amount, invoice, created in parts:
        parts_of[owner].append(
            {"id": key, "amount": money(amount, currency), "invoiceId": invoice, "createdDate": moment(created)}
        )
    return [
        {
            "id": key,
            "number": number,
            "status": status,
            "creditMemoDate": day(on),
            "currency": currency,
            "amount": money(amount, currency),
            "unappliedAmount": money(unapplied, currency),
            "account": account_of[account],
            "items": {"nodes": items_of[key]},
            "parts": {"nodes": parts_of[key]},
        }
        for key, number, status, on, currency, amount, unapplied, account in memos
    ]


async def apply(store: Store, given: dict[str, Any]) -> Any:
    """Apply a memo to an invoice, believing whatever the caller says."""
    scaled_amount = round(float(given["amount"]) * 10_000)
    currency, applied, unapplied = await store.apply(given["key"], given["invoice"], scaled_amount)
    shown = {"appliedAmount": money(applied, currency), "unappliedAmount": money(unapplied, currency)}
    return {"applyCreditMemo": {"creditMemo": {"id": given["key"], **shown}, "userErrors": []}}


ANSWERS: dict[str, Callable[[Store, dict[str, Any]], Awaitable[Any]]] = {
    "Memo": memo,
    "Whole": whole,
    "List": listed,
    "Nested": nested,
    "Apply": apply,
}


def main() -> None:
    """Serve at the port of the first argument, from the database in DATABASE_URL."""
    url = os.environ["DATABASE_URL"]
    kept: list[Store] = []

    async def open_store() -> Store:
        if url.startswith("sqlite"):
            return Sqlite(url.removeprefix("sqlite:///"))
        return Postgresql(await asyncpg.create_pool(url, min_size=16, max_size=16, server_settings={"jit": "off"}))

    async def endpoint(request: Request) -> Response:
        if not kept:
            kept.append(await open_store())
        body = orjson.loads(await request.body())
        data = await ANSWERS[body["operationName"]](kept[0], body["variables"])
        return Response(orjson.dumps({"data": data}), media_type="application/json")

    app = Starlette(routes=[Route("/graphql", endpoint, methods=["POST"])])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
