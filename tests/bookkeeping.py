"""What a database holds, row by row: to see that nothing changed, or the same twice, and what must be true of it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.store import tables as t
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Query

Row = Mapping[str, Any]
Books = dict[str, dict[Any, Row]]
"""Of each table its rows by their primary keys."""


def _everything(table: Table) -> Query:
    return Query(lambda _among: select(table), tuple)


_ROWS = {table.name: _everything(table) for table in t.metadata.sorted_tables}
_SHAPES = {
    table.name: (list(table.c.keys()), [table.c.values().index(column) for column in table.primary_key])
    for table in t.metadata.sorted_tables
}
"""Of each table the names of its columns, and the places of those of its primary key."""


async def read(connection: AsyncConnection) -> Books:
    """All there is."""
    # In one go, and compiled once for all engines, as those of operations are: it took half of the time of a test that
    # looks after each action.
    answers = await Session(connection, connection.dialect.name).ask_all(*((rows, {}) for rows in _ROWS.values()))
    books: Books = {}
    for (name, (columns, keys)), rows in zip(_SHAPES.items(), answers, strict=True):
        books[name] = {tuple(row[key] for key in keys): dict(zip(columns, row, strict=True)) for row in rows}
    return books


def changed(before: Books, after: Books) -> set[str]:
    """The names of the tables that differ."""
    return {name for name in after if before[name] != after[name]}


# --- the same change, twice -------------------------------------------------------------------------------------------

_OWN = {"number", "credit_memo_number", "reference_id"}
"""Columns in which a dry run may differ: it shows no number of a new memo, and its refunds have no id at a gateway."""

_UNCOMPARED = {"sequences", "idempotency_keys"}


def changes(before: Books, after: Books) -> dict[str, Counter[str]]:
    """What became of the rows of each table, told without the ids, moments and numbers that differ each time."""
    known = {key for rows in before.values() for row in rows.values() for key in _ids(row)}
    made = sorted({key for rows in after.values() for row in rows.values() for key in _ids(row)} - known)
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for key in made:
        prefix = key.partition("_")[0]
        counts[prefix] += 1
        names[key] = f"{prefix} {counts[prefix]}"
    return {
        name: Counter(
            repr(_told(row, names))
            for key, row in rows.items()
            if before[name].get(key) != row or key not in before[name]
        )
        + Counter(f"gone {key}" for key in before[name] if key not in rows)
        for name, rows in after.items()
        if name not in _UNCOMPARED
    }


def _ids(row: Row) -> list[str]:
    key = row.get("id")
    return [key] if isinstance(key, str) else []


def _told(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _told(inner, names) for key, inner in sorted(value.items()) if key not in _OWN}
    if isinstance(value, list):
        return [_told(inner, names) for inner in value]
    if isinstance(value, datetime):
        return "then"
    return names.get(value, value) if isinstance(value, str) else value


# --- what must be true beside the sums (see `auditing`) ---------------------------------------------------------------


def check(books: Books) -> None:
    """Assert of the rows what `auditing.audit` does not: statuses, the history, one part per target."""
    memos = {row["id"]: row for row in books["credit_memos"].values()}
    lines = [*books["credit_memo_items"].values(), *books["credit_memo_taxation_items"].values()]
    _check_memos(memos, lines, books)
    for refund in books["refunds"].values():
        assert refund["status"] in ("PROCESSED", "ERROR"), "nothing is left at the gateway"
    _check_history(memos, books)


def _check_memos(memos: Mapping[str, Row], lines: list[Row], books: Books) -> None:
    is_open: defaultdict[str, bool] = defaultdict(bool)
    for line in lines:
        is_open[line["credit_memo_id"]] |= line["unapplied_amount"] != 0
    parts = [
        (row["credit_memo_id"], row["invoice_id"] or row["debit_memo_id"])
        for row in books["credit_memo_parts"].values()
    ]
    assert len(parts) == len(set(parts)), "one part per target"
    unapplied = {row["credit_memo_id"]: row for row in books["credit_memo_parts"].values() if not _target(row)}
    for memo in memos.values():
        for name in ("amount", "tax_amount", "applied_amount", "unapplied_amount", "refund_amount"):
            assert memo[name] >= 0, (name, memo["id"])
        if memo["status"] == "POSTED":
            assert (memo["id"] in unapplied) == is_open[memo["id"]], memo["id"]
            assert (unapplied[memo["id"]]["amount"] if is_open[memo["id"]] else 0) == memo["unapplied_amount"]
        else:
            assert memo["id"] not in {memo_id for memo_id, _ in parts}, "only posted memos have parts"
            assert memo["applied_amount"] == memo["refund_amount"] == 0


def _target(part: Row) -> str | None:
    target: str | None = part["invoice_id"] or part["debit_memo_id"]
    return target


def _check_history(memos: Mapping[str, Row], books: Books) -> None:
    told: defaultdict[str, list[Row]] = defaultdict(list)
    for event in sorted(books["credit_memo_events"].values(), key=lambda row: str(row["id"])):
        told[event["credit_memo_id"]].append(event)
    for memo_id, events in told.items():
        for earlier, later in pairwise(events):
            assert earlier["amounts_after"] == later["amounts_before"], memo_id
        memo = memos.get(memo_id)
        if memo is None:
            assert events[-1]["action"] == "DELETED", memo_id
            continue
        assert memo["version"] == len(events), "every change is told of"
        assert events[-1]["amounts_after"] == {name: memo[name] for name in events[-1]["amounts_after"]}, memo_id
    assert memos.keys() <= told.keys()
