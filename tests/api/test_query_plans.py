"""No list of memos makes a database scan the table or sort it, however many there are: its own plan says so."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from graphql import parse
from sqlalchemy import text

from cm_graphql.api.context import Api, Context
from cm_graphql.api.schema import schema
from cm_graphql.api.types.credit_memos import CreditMemo
from cm_graphql.engine.operations import Operation, operations_of
from cm_graphql.engine.plan import Statement
from cm_graphql.engine.runner import Engine
from cm_graphql.operations.viewer import LOCAL, Viewer
from cm_graphql.store.database import Database
from cm_graphql.store.direct import Direct, Work, open_direct

MEMOS = 20_000
MILLION = 1_000_000

SORTS = [field.upper() for field in CreditMemo.__node__.sorts]
DIRECTIONS = ("ASC", "DESC")

QUERY = """
query($filter: CreditMemoFilter, $sort: [CreditMemoSort!], $first: Int, $after: String, $last: Int, $before: String) {
  creditMemos(filter: $filter, sort: $sort, first: $first, after: $after, last: $last, before: $before) {
    nodes { id }
    pageInfo { startCursor endCursor }
  }
}
"""

# Every value is there often and seldom: one account in a hundred, mostly posted, half of them used up.
_POSTGRESQL = {
    "numbers": "generate_series(0, {count} - 1) AS n",
    "moment": "timestamptz '2026-01-01 00:00:00+00' + n * interval '1 minute'",
    "day": "date '2024-01-01' + n % 700",
    "pad": "lpad(n::text, {width}, '0')",
}
_SQLITE = {
    "numbers": "(WITH RECURSIVE s(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM s LIMIT {count}) SELECT n FROM s)",
    "moment": "strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2026-01-01', '+' || n || ' minutes')",
    "day": "date('2024-01-01', '+' || (n % 700) || ' days')",
    "pad": "printf('%0{width}d', n)",
}
_AUDIT = "created_by_id, created_date, updated_by_id, updated_date"


def _filling(dialect: str, memos: int) -> list[str]:
    words = _POSTGRESQL if dialect == "postgresql" else _SQLITE

    def numbers(count: int) -> str:
        return words["numbers"].format(count=count)

    def padded(expression: str, width: int) -> str:
        return words["pad"].format(width=width).replace("(n", f"(({expression})").replace(", n)", f", {expression})")

    who = f"'usr_' || n % 3, {words['moment']}, 'usr_1', {words['moment']}"
    return [
        f"INSERT INTO accounts (id, number, name, currency, {_AUDIT}) SELECT 'acc_' || {padded('n', 32)},"
        f" 'A' || {padded('n', 8)}, 'Account ' || n, 'USD', {who} FROM {numbers(100)}",
        f"INSERT INTO invoices (id, invoice_number, account_id, currency, invoice_date, due_date, {_AUDIT})"
        f" SELECT 'inv_' || {padded('n', 32)}, 'INV' || {padded('n', 8)}, 'acc_' || {padded('n % 100', 32)}, 'USD',"
        f" {words['day']}, {words['day']}, {who} FROM {numbers(1000)}",
        "INSERT INTO credit_memos (id, number, account_id, currency, status, credit_memo_date, target_date, amount,"
        " applied_amount, source, source_type, transferred_to_accounting, referred_invoice_id, comment,"
        f" {_AUDIT}) SELECT 'cm_' || {padded('n', 32)}, 'CM' || {padded('n', 8)}, 'acc_' || {padded('n % 100', 32)},"
        " 'USD', CASE WHEN n % 500 = 0 THEN 'ERROR' WHEN n % 3 = 0 THEN 'DRAFT' ELSE 'POSTED' END,"
        f" {words['day']}, CASE WHEN n % 4 = 0 THEN {words['day']} END, (n % 5000 + 1) * 10000,"
        " CASE WHEN n % 3 <> 0 AND n % 2 = 0 AND n % 500 <> 0 THEN (n % 5000 + 1) * 10000 ELSE 0 END,"
        " 'ADHOC_FROM_INVOICE', 'INVOICE', CASE WHEN n % 7 = 0 THEN 'YES' ELSE 'NO' END,"
        f" CASE WHEN n % 2 = 0 THEN 'inv_' || {padded('n % 1000', 32)} END, 'Comment ' || n, {who}"
        f" FROM {numbers(memos)}",
        "ANALYZE",
    ]


@dataclass
class Planner:
    """Asks for lists and looks at how the database finds them."""

    database: Database
    direct: Direct
    engine: Engine
    operation: Operation
    runner: asyncio.Runner
    sorted_at_most: int
    """Rows that a plan may sort: those of one account in a hundred, or the few that a filter finds."""
    viewer: Viewer = LOCAL

    def page(self, **variables: Any) -> dict[str, str]:
        """Ask for a page, and answer its pageInfo; the plans of its statements must be good ones."""
        return self.runner.run(self._page({"first": 20} | variables if "last" not in variables else variables))

    async def _page(self, variables: dict[str, Any]) -> dict[str, str]:
        context = Context.of(Api(database=self.database), viewer=self.viewer)
        explanation = self.engine.explain(self.operation, variables, context)
        assert explanation is not None
        (level,) = explanation.levels
        problems = await self.direct.run(self._problems(level.statements), short=False)
        assert not problems, f"{variables}: {problems}\n{level.statements}"
        answer = await self.engine.answer(self.operation, variables, context)
        assert answer is not None
        info: dict[str, str] = answer.data["creditMemos"]["pageInfo"]
        return info

    def steps(self, **variables: Any) -> list[int]:
        """How many steps SQLite's machine takes for each statement of a page."""
        context = Context.of(Api(database=self.database), viewer=self.viewer)
        explanation = self.engine.explain(self.operation, {"first": 20} | variables, context)
        assert explanation is not None
        counted = []
        with closing(sqlite3.connect(str(self.database.readers.url.database))) as connection:
            for sql, parameters in explanation.levels[0].statements:
                ticks = count()
                connection.set_progress_handler(lambda ticks=ticks: next(ticks) < 0, 100)  # type: ignore[misc]
                connection.execute(sql, parameters).fetchall()
                counted.append(100 * next(ticks))
        return counted

    def _problems(self, statements: Sequence[Statement]) -> Work:
        found: list[str] = []
        for sql, parameters in statements:
            if self.direct.name == "sqlite":
                found += _of_sqlite((yield f"EXPLAIN QUERY PLAN {sql}", parameters))
            else:
                ((told,),) = yield f"EXPLAIN (FORMAT JSON) {sql}", parameters
                found += _of_postgresql(json.loads(told)[0]["Plan"], self.sorted_at_most)
        return found


def _of_postgresql(node: dict[str, Any], sorted_at_most: int) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "credit_memos":
        yield f"scans the table, {node['Plan Rows']} rows"
    inner = node.get("Plans", ())
    if node["Node Type"] == "Sort" and sum(child["Plan Rows"] for child in inner) > sorted_at_most:
        yield f"sorts {sum(child['Plan Rows'] for child in inner)} rows"
    for child in inner:
        yield from _of_postgresql(child, sorted_at_most)


def _of_sqlite(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """A walk along the index of the sort is no scan, and what is sorted must come by row numbers: the few, or a page.

    The few that a filter finds must be searched for: that ends early where there are many, and soon where not.
    """
    few = {row[0] for row in rows if row[3] in ("MATERIALIZE few", "CO-ROUTINE few")}
    for number, parent, _, detail in rows:
        if parent in few:
            few.add(number)
        if detail == "SCAN credit_memos" or (parent in few and detail.startswith("SCAN credit_memos")):
            yield detail
        if detail.startswith("USE TEMP B-TREE"):
            beside = [other for _, its, _, other in rows if its == parent]
            if any(other.startswith(("SCAN credit_memos", "SEARCH credit_memos USING INDEX")) for other in beside):
                yield f"{detail} beside {beside}"


@pytest.fixture(scope="module")
def planner(module_database_url: str) -> Iterator[Planner]:
    with planning(module_database_url, MEMOS) as made:
        yield made


@contextmanager
def planning(url: str, memos: int) -> Iterator[Planner]:
    """Somebody to ask, upon so many memos."""
    database = Database.open(url)
    direct = open_direct(database)
    (operation,) = operations_of(parse(QUERY)).values()
    with asyncio.Runner() as runner:
        runner.run(_fill(database, memos))
        try:
            yield Planner(database, direct, Engine(schema, direct), operation, runner, max(2_000, memos // 50))
        finally:
            runner.run(direct.close())
            runner.run(database.dispose())


async def _fill(database: Database, memos: int) -> None:
    for statement in _filling(database.dialect, memos):
        async with database.write(long=True) as connection:
            await connection.execute(text(statement))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("field", SORTS)
def test_every_sort_is_a_way_along_an_index_on_the_first_page_and_on_far_ones(
    planner: Planner, field: str, direction: str
) -> None:
    sort = [{"field": field, "direction": direction}]

    first = planner.page(sort=sort)
    last = planner.page(sort=sort, last=20)

    planner.page(sort=sort, after=first["endCursor"])
    planner.page(sort=sort, after=last["startCursor"])
    planner.page(sort=sort, last=20, before=last["startCursor"])
    planner.page(sort=sort, last=20, before=first["endCursor"])


ACCOUNT, INVOICE = f"acc_{7:032d}", f"inv_{8:032d}"
MOMENT = "2026-01-03T00:00:00Z"
RANGES = {
    "number": ("CM00000100", "CM00000200", "CM000001"),
    "accountNumber": ("A00000001", "A00000005", "A0000001"),
    "creditMemoDate": ("2024-02-01", "2024-02-03", None),
    "createdDate": (MOMENT, "2026-01-03T01:00:00Z", None),
    "updatedDate": (MOMENT, "2026-01-03T01:00:00Z", None),
    "amount": ("17.00", "19.00", None),
    "unappliedAmount": ("17.00", "19.00", None),
}


STATUS_AND_ACCOUNT = [{"status": {"eq": "POSTED"}}, {"status": {"eq": "ERROR"}}, {"accountId": {"eq": ACCOUNT}}]


def _filters() -> Iterator[dict[str, Any]]:
    for field, (low, high, prefix) in RANGES.items():
        yield {field: {"eq": low}}
        yield {field: {"in": [low, high]}}
        if field not in ("number", "accountNumber"):
            yield {field: {"gte": low, "lt": high}}
            yield {field: {"gt": low}}
            yield {field: {"lte": low}}
        if prefix is not None:
            yield {field: {"startsWith": prefix}}
        yield {field: {"isNull": True}}
        yield {field: {"isNull": False}}
    for field, value in (("accountId", ACCOUNT), ("referredInvoiceId", INVOICE)):
        yield {field: {"eq": value}}
        yield {field: {"in": [value, value[:-1] + "9"]}}
        yield {field: {"startsWith": value[:34]}}
        yield {field: {"isNull": True}}
        yield {field: {"isNull": False}}
    for status in ("POSTED", "ERROR"):
        yield {"status": {"eq": status}}
        yield {"status": {"in": [status, "CANCELED"]}}
    yield {"unappliedAmount": {"eq": "0.00"}}


@pytest.mark.parametrize("asked", list(_filters()), ids=lambda asked: json.dumps(asked))
def test_a_filter_in_the_usual_order_neither_scans_nor_sorts_the_table(planner: Planner, asked: dict[str, Any]) -> None:
    info = planner.page(filter=asked)
    if info["endCursor"]:
        planner.page(filter=asked, after=info["endCursor"])


@pytest.mark.parametrize("field", SORTS)
@pytest.mark.parametrize("asked", STATUS_AND_ACCOUNT, ids=str)
def test_status_and_account_go_with_every_sort(planner: Planner, field: str, asked: dict[str, Any]) -> None:
    for direction in DIRECTIONS:
        sort = [{"field": field, "direction": direction}]
        info = planner.page(filter=asked, sort=sort)
        planner.page(filter=asked, sort=sort, after=info["endCursor"])


def test_a_caller_limited_to_accounts_is_served_alike(planner: Planner) -> None:
    limited = replace(planner, viewer=Viewer("usr_few", accounts=frozenset({ACCOUNT, f"acc_{9:032d}"})))

    info = limited.page()
    limited.page(after=info["endCursor"])


def test_sqlite_goes_as_far_as_it_must_for_rare_rows_and_for_those_at_the_other_end(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    if planner.direct.name != "sqlite":
        pytest.skip("PostgreSQL goes by its statistics")
    monkeypatch.setattr("cm_graphql.fields.pages.FAR", 500)
    oldest = {"createdDate": {"lt": "2026-01-01T18:20:00Z"}}  # 1,100 memos; to walk to them would be 170,000 steps

    for field in SORTS:
        assert max(planner.steps(filter={"status": {"eq": "ERROR"}}, sort=[{"field": field}])) < 10_000, field
    assert max(planner.steps(filter=oldest)) < 100_000
    by_date = [{"field": "CREATED_DATE", "direction": "DESC"}]
    assert max(planner.steps(filter=oldest, sort=by_date)) < 2_000
    first, *_ = planner.steps(filter=oldest | {"status": {"eq": "POSTED"}}, sort=by_date)
    assert first < 2_000


@pytest.mark.soak
def test_of_a_million_memos_the_same_holds(database_url: str) -> None:
    with planning(database_url, MILLION) as planner:
        for field in SORTS:
            for direction in DIRECTIONS:
                test_every_sort_is_a_way_along_an_index_on_the_first_page_and_on_far_ones(planner, field, direction)
            for asked in STATUS_AND_ACCOUNT:
                test_status_and_account_go_with_every_sort(planner, field, asked)
        for asked in _filters():
            test_a_filter_in_the_usual_order_neither_scans_nor_sorts_the_table(planner, asked)
        test_a_caller_limited_to_accounts_is_served_alike(planner)
