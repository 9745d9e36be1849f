"""The tables refuse what must not be, whoever writes to them: each constraint against its violation."""

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Table, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain.enums import MemoStatus, TaxMode
from cm_graphql.store import tables
from cm_graphql.store.database import Database
from cm_graphql.store.tables import metadata
from cm_graphql.store.types import Condition, EnumText
from store.rows import insert

POSTED = MemoStatus.POSTED
INCLUSIVE = TaxMode.TAX_INCLUSIVE


def _uses_of_a_line(
    table: str, constraint: str, worth: str, uses: tuple[str, str]
) -> list[tuple[str, str, dict[str, Any]]]:
    """Every way to use a line of 100, or of -100, for more than it is worth or against its sign."""
    first, second = uses
    wrong = [(100, 101, 0), (100, 0, 101), (100, 60, 41), (100, -1, 0), (100, 0, -1), (0, 1, 0), (0, -1, 1)]
    wrong += [(-worth, -one, -other) for worth, one, other in wrong if worth]
    both = {"tax_mode": INCLUSIVE} if worth == "amount_without_tax" else {}
    return [(table, constraint, {worth: a, first: b, second: c} | both) for a, b, c in wrong]


APPLIED = ("applied_amount", "refund_amount")
CREDITED = ("credit_amount", "payment_amount")
TWO_TARGETS = {"invoice_id": "PARENT", "debit_memo_id": "PARENT"}

VIOLATIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("accounting_periods", "dates", {"start_date": date(2026, 2, 1), "end_date": date(2026, 1, 31)}),
    ("accounts", "payment_term_days", {"payment_term_days": -1}),
    ("credit_memo_application_items", "amount", {"amount": 0}),
    ("credit_memo_application_items", "one_source", {"credit_tax_item_id": "cmt_1"}),
    ("credit_memo_application_items", "one_source", {"credit_memo_item_id": None}),
    ("credit_memo_applications", "amount", {"amount": -1}),
    ("credit_memo_applications", "one_target", {"kind": "APPLY", **TWO_TARGETS}),
    ("credit_memo_applications", "target", {"kind": "APPLY"}),
    ("credit_memo_applications", "target", {"kind": "REFUND", "invoice_id": "PARENT"}),
    ("credit_memo_item_parts", "amount", {"amount": 0}),
    ("credit_memo_item_parts", "one_source", {"credit_tax_item_id": "PARENT"}),
    ("credit_memo_item_parts", "one_source", {"credit_memo_item_id": None}),
    ("credit_memo_item_parts", "one_target", {"invoice_item_id": "PARENT", "debit_memo_item_id": "PARENT"}),
    ("credit_memo_item_parts", "one_target", {"invoice_item_id": "PARENT", "tax_item_id": "int_1"}),
    ("credit_memo_item_parts", "one_target", {"debit_memo_item_id": "PARENT", "tax_item_id": "dmt_1"}),
    ("credit_memo_items", "net", {"amount": 100, "amount_without_tax": 99}),
    *_uses_of_a_line("credit_memo_items", "amounts", "amount_without_tax", APPLIED),
    ("credit_memo_jobs", "lines", {"lines_done": 2, "lines_total": 1}),
    ("credit_memo_jobs", "lines", {"lines_done": -1}),
    ("credit_memo_parts", "amount", {"amount": -1}),
    ("credit_memo_parts", "one_target", TWO_TARGETS),
    *_uses_of_a_line("credit_memo_taxation_items", "amounts", "tax_amount", APPLIED),
    ("credit_memos", "amounts", {"amount": -1}),
    ("credit_memos", "amounts", {"status": POSTED, "amount": 10, "applied_amount": -1}),
    ("credit_memos", "amounts", {"status": POSTED, "amount": 10, "refund_amount": -1}),
    ("credit_memos", "amounts", {"status": POSTED, "amount": 10, "applied_amount": 6, "refund_amount": 5}),
    ("credit_memos", "only_posted_is_used", {"status": "DRAFT", "amount": 10, "applied_amount": 1}),
    ("credit_memos", "only_posted_is_used", {"status": "CANCELED", "amount": 10, "refund_amount": 1}),
    ("credit_memos", "version", {"version": 0}),
    ("currencies", "rounding_increment", {"rounding_increment": 0}),
    ("debit_memo_items", "net", {"amount": 100, "amount_without_tax": 99}),
    *_uses_of_a_line("debit_memo_items", "balance", "amount_without_tax", CREDITED),
    *_uses_of_a_line("debit_memo_taxation_items", "balance", "tax_amount", CREDITED),
    ("debit_memos", "balance", {"amount": 100, "credit_amount": 101}),
    ("debit_memos", "balance", {"amount": 100, "payment_amount": -1}),
    *_uses_of_a_line("invoice_items", "balance", "charge_amount", CREDITED),
    *_uses_of_a_line("invoice_taxation_items", "balance", "tax_amount", CREDITED),
    ("invoices", "amount", {"amount": 100, "amount_without_tax": 99}),
    ("invoices", "balance", {"amount": 100, "amount_without_tax": 100, "credit_amount": 60, "payment_amount": 41}),
    ("invoices", "balance", {"amount": 100, "amount_without_tax": 100, "credit_amount": -1}),
    ("refund_item_parts", "amount", {"amount": 0}),
    ("refund_item_parts", "one_source", {"credit_memo_item_id": "cmi_1", "credit_tax_item_id": "cmt_1"}),
    ("refund_parts", "amount", {"amount": 0}),
    ("refunds", "amount", {"amount": 0}),
    ("refunds", "one_source", {"payment_id": "p_1"}),
    ("refunds", "one_source", {"credit_memo_id": None}),
    ("sequences", "next_number", {"next_number": 0}),
    ("settings", "single", {"id": 2}),
    ("settings", "version", {"id": 1, "version": 0}),
]


def _constraints() -> set[tuple[str, str]]:
    """Every check constraint, its vocabularies' aside."""
    return {
        (table.name, str(constraint.name))
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
        and not str(constraint.name).endswith(tuple(f"_{column.name}" for column in _vocabularies(table)))
    }


def _vocabularies(table: Table) -> list[Any]:
    return [column for column in table.columns if isinstance(column.type, EnumText)]


def test_every_constraint_has_a_violation_here() -> None:
    assert {(table, f"ck_{table}_{name}") for table, name, _values in VIOLATIONS} == _constraints()


@pytest.mark.parametrize(("table", "constraint", "values"), VIOLATIONS)
async def test_a_violation_is_refused(
    shared_database: Database, table: str, constraint: str, values: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=f"ck_{table}_{constraint}"):
        async with shared_database.write() as connection:
            await insert(connection, metadata.tables[table], **values)


def _told_differently() -> list[Any]:
    """The constraints of amounts of which PostgreSQL is told in other words."""
    return [
        pytest.param(constraint.sqltext, id=str(constraint.name))
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
        and isinstance(constraint.sqltext, Condition)
        and " IN (" not in constraint.sqltext.everywhere
    ]


@pytest.mark.parametrize("condition", _told_differently())
async def test_what_postgresql_is_told_in_other_words_is_the_same(
    shared_database: Database, condition: Condition
) -> None:
    if shared_database.dialect == "sqlite":
        pytest.skip("it is told in the words of the reference")
    worth, first, second = dict.fromkeys(re.findall("[a-z_]+", condition.everywhere))
    (left,) = set(re.findall("[a-z_]+", condition.postgresql)) - {worth, first, second, "least", "greatest"}
    few = "generate_series(-3, 3)"
    query = f"""
        SELECT {condition.everywhere}, {condition.postgresql}
        FROM (SELECT {worth}, {first}, {second}, {worth} - {first} - {second} AS {left}
              FROM {few} AS {worth}, {few} AS {first}, {few} AS {second}) AS line
    """
    async with shared_database.read() as connection:
        answers = [tuple(row) for row in await connection.execute(text(query))]

    assert {there for there, _ in answers} == {True, False}
    assert [there for there, _ in answers] == [here for _, here in answers]


@pytest.mark.parametrize("table", [table for table in metadata.tables.values() if _vocabularies(table)], ids=str)
async def test_a_word_outside_its_vocabulary_is_refused(shared_database: Database, table: Table) -> None:
    for column in _vocabularies(table):
        async with shared_database.write(dry_run=True) as connection:
            await insert(connection, table)
            with pytest.raises(IntegrityError, match=f"ck_{table.name}_{column.name}"):
                await connection.execute(text(f"UPDATE {table.name} SET {column.name} = 'Nonsense'"))


@pytest.mark.parametrize("table", list(metadata.tables.values()), ids=str)
async def test_every_table_takes_a_plain_row(shared_database: Database, table: Table) -> None:
    if table is tables.settings:
        async with shared_database.read() as connection:
            assert (await connection.execute(select(table.c.id))).scalars().all() == [1]
        return

    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, table)

    assert set(row) == set(table.columns.keys())


@pytest.mark.parametrize("sign", [1, -1])
async def test_what_is_left_of_a_line_is_derived(shared_database: Database, sign: int) -> None:
    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, tables.credit_memo_items, amount=sign * 100, amount_without_tax=sign * 100)
        assert row["unapplied_amount"] == sign * 100

        table = tables.credit_memo_items
        used = update(table).where(table.c.id == row["id"]).values(applied_amount=sign * 60, refund_amount=sign * 40)
        left = (await connection.execute(used.returning(table.c.unapplied_amount))).scalar_one()

    assert left == 0


async def test_what_is_left_of_a_target_is_derived(shared_database: Database) -> None:
    async with shared_database.write(dry_run=True) as connection:
        invoice = await insert(
            connection, tables.invoices, amount=100, amount_without_tax=100, credit_amount=30, payment_amount=15
        )
        debit = await insert(connection, tables.debit_memos, amount=100, credit_amount=30, payment_amount=15)
        line = await insert(connection, tables.debit_memo_items, amount=9, amount_without_tax=9, credit_amount=4)

    assert invoice["balance"] == 55
    assert (debit["be_applied_amount"], debit["balance"]) == (45, 55)
    assert (line["be_applied_amount"], line["balance"]) == (4, 5)


async def test_what_is_derived_cannot_be_written(shared_database: Database) -> None:
    with pytest.raises(DBAPIError, match="unapplied_amount"):
        async with shared_database.write() as connection:
            await insert(connection, tables.credit_memos, amount=1, unapplied_amount=5)


async def test_a_negative_invoice_may_owe_a_negative_balance(shared_database: Database) -> None:
    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, tables.invoices, amount=-100, amount_without_tax=-100)

    assert row["balance"] == -100


async def _insert_on_a_page(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> tuple[str, int]:
    """Insert a row, and answer its id and the page it is on."""
    row = await insert(connection, table, **values)
    page = select(text("(ctid::text::point)[0]")).select_from(table).where(table.c.id == row["id"])
    return row["id"], int((await connection.execute(page)).scalar_one())


@pytest.mark.parametrize(
    ("table", "moved"),
    [
        ("credit_memo_parts", {"amount": 2}),
        ("credit_memo_item_parts", {"amount": 2}),
        ("credit_memo_taxation_items", {"applied_amount": 1}),
        ("invoice_items", {"credit_amount": 1}),
        ("invoice_taxation_items", {"credit_amount": 1}),
        ("debit_memos", {"credit_amount": 1}),
        ("debit_memo_items", {"credit_amount": 1}),
        ("debit_memo_taxation_items", {"credit_amount": 1}),
    ],
)
async def test_money_that_moves_leaves_the_indexes_of_full_pages_alone(
    shared_database: Database, table: str, moved: dict[str, Any]
) -> None:
    if shared_database.dialect == "sqlite":
        pytest.skip("SQLite writes only the indexes of columns that change")
    worth = {"amount": 2, "amount_without_tax": 2, "tax_amount": 2, "charge_amount": 2}
    rows = metadata.tables[table]
    values = {name: value for name, value in worth.items() if name in rows.columns} | {"updated_by_id": "x" * 200}
    async with shared_database.write(dry_run=True) as connection:
        key, page = await _insert_on_a_page(connection, rows, values)
        while (await _insert_on_a_page(connection, rows, values))[1] == page:
            pass
        changed = moved | {"updated_date": datetime(2027, 1, 1, tzinfo=UTC)}
        await connection.execute(update(rows).where(rows.c.id == key).values(changed))
        in_place = text("SELECT pg_stat_get_xact_tuples_hot_updated(CAST(:table AS regclass))")
        assert (await connection.execute(in_place, {"table": table})).scalar_one() == 1


@pytest.mark.parametrize("target", ["invoice_id", "debit_memo_id", None])
async def test_a_memo_has_one_part_per_target(shared_database: Database, target: str | None) -> None:
    parts = tables.credit_memo_parts
    async with shared_database.write(dry_run=True) as connection:
        first = await insert(connection, parts, **({target: "PARENT"} if target else {}))
        await insert(connection, parts, **({target: first[target]} if target else {}))  # of another memo
        await insert(connection, parts, credit_memo_id=first["credit_memo_id"], invoice_id="PARENT")
        again = {"credit_memo_id": first["credit_memo_id"]} | ({target: first[target]} if target else {})
        with pytest.raises(IntegrityError):
            await insert(connection, parts, **again)


@pytest.mark.parametrize("target", ["invoice_item_id", "debit_memo_item_id", "tax_item_id", None])
@pytest.mark.parametrize("source", ["credit_memo_item_id", "credit_tax_item_id"])
async def test_item_parts_of_the_same_two_lines_are_one(
    shared_database: Database, source: str, target: str | None
) -> None:
    item_parts = tables.credit_memo_item_parts
    values: dict[str, Any] = {"credit_memo_item_id": None} | {source: "PARENT"}
    if target is not None:
        values[target] = "int_1" if target == "tax_item_id" else "PARENT"
    async with shared_database.write(dry_run=True) as connection:
        first = await insert(connection, item_parts, **values)
        assert first["source_line_id"] == first[source]
        assert first["target_line_id"] == (first[target] if target else None)

        same = {name: first[name] for name in ("part_id", *values)}
        await insert(connection, item_parts, **(same | {source: "PARENT"}))  # another source line
        with pytest.raises(IntegrityError):
            await insert(connection, item_parts, **same)


@pytest.mark.parametrize(
    ("table", "natural_key"),
    [
        ("accounts", {"number": "A-1"}),
        ("accounting_periods", {"name": "2026-05"}),
        ("api_keys", {"hash": "0123"}),
        ("credit_memos", {"number": "CM00000001"}),
        ("debit_memos", {"number": "DM00000001"}),
        ("invoices", {"invoice_number": "INV00000001"}),
        ("reason_codes", {"type": "CREDIT_MEMO", "name": "Another"}),
        ("refunds", {"number": "R-00000001"}),
        ("sequence_sets", {"name": "EU"}),
        ("idempotency_keys", {"viewer_id": "v", "field": "postCreditMemo", "key": "k"}),
        ("tax_rates", {"tax_code": "T", "jurisdiction": "CA", "name": "Sales"}),
        ("product_rate_plan_charge_prices", {"charge_id": "PARENT", "currency": "USD"}),
    ],
)
async def test_a_natural_key_is_unique(shared_database: Database, table: str, natural_key: dict[str, Any]) -> None:
    async with shared_database.write(dry_run=True) as connection:
        first = await insert(connection, metadata.tables[table], **natural_key)
        with pytest.raises(IntegrityError):
            await insert(connection, metadata.tables[table], **{name: first[name] for name in natural_key})


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if column.foreign_keys
    ],
)
async def test_a_reference_to_nothing_is_refused(shared_database: Database, table: str, key: str) -> None:
    values: dict[str, Any] = {key: "nothing_00000000000000000000000000000000"}
    if (table, key) == ("credit_memo_item_parts", "credit_tax_item_id"):
        values["credit_memo_item_id"] = None
    if table == "credit_memo_applications":
        values["kind"] = "APPLY"

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        async with shared_database.write() as connection:
            await insert(connection, metadata.tables[table], **values)


async def test_a_deleted_memo_takes_its_lines_parts_and_files_along_but_not_its_history(
    shared_database: Database,
) -> None:
    memo = tables.credit_memos
    async with shared_database.write(dry_run=True) as connection:
        key = (await insert(connection, memo))["id"]
        item = (await insert(connection, tables.credit_memo_items, credit_memo_id=key))["id"]
        discount = await insert(connection, tables.credit_memo_items, credit_memo_id=key, applied_to_item_id=item)
        tax = await insert(connection, tables.credit_memo_taxation_items, credit_memo_id=key, memo_item_id=item)
        part = (await insert(connection, tables.credit_memo_parts, credit_memo_id=key))["id"]
        for source in ({"credit_memo_item_id": item}, {"credit_memo_item_id": None, "credit_tax_item_id": tax["id"]}):
            await insert(connection, tables.credit_memo_item_parts, credit_memo_id=key, part_id=part, **source)
        file = (await insert(connection, tables.credit_memo_files, credit_memo_id=key))["id"]
        await insert(connection, tables.credit_memo_pdf_requests, credit_memo_id=key, file_id=file)
        kept = (tables.credit_memo_events, tables.credit_memo_applications, tables.refunds)
        for table in kept:
            await insert(connection, table, credit_memo_id=key)
        await insert(connection, tables.debit_memos, referred_credit_memo_id=key)
        assert discount["applied_to_item_id"] == item

        await connection.execute(memo.delete().where(memo.c.id == key))

        left = {
            table.name: (
                await connection.execute(select(func.count()).where(table.c.credit_memo_id == key))
            ).scalar_one()
            for table in metadata.tables.values()
            if "credit_memo_id" in table.columns
        }
    assert {name for name, count in left.items() if count} == {table.name for table in kept}


async def test_what_a_memo_was_applied_to_cannot_disappear(shared_database: Database) -> None:
    invoices = tables.invoices
    async with shared_database.write(dry_run=True) as connection:
        part = await insert(connection, tables.credit_memo_parts, invoice_id="PARENT")
        with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
            await connection.execute(invoices.delete().where(invoices.c.id == part["invoice_id"]))


async def test_lines_may_come_before_the_lines_they_discount(database: Database) -> None:
    items = tables.credit_memo_items
    async with database.write() as connection:
        memo = (await insert(connection, tables.credit_memos))["id"]
        await insert(connection, items, id="cmi_discount", credit_memo_id=memo, applied_to_item_id="cmi_charge")
        await insert(connection, items, id="cmi_charge", credit_memo_id=memo)

    async with database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(items))).scalar_one() == 2
