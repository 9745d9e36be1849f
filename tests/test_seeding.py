"""The sample data and the made-up data: they obey every rule, are always the same, and leave the database usable."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Row, Table, func, select, text

from cm_graphql import seeding
from cm_graphql.domain.enums import DocumentType, LedgerKind, MemoStatus, ProcessingType
from cm_graphql.seeding.loading import loading, unburdened
from cm_graphql.seeding.rows import COLUMNS
from cm_graphql.settings import Complaint
from cm_graphql.store import memos, reference, targets
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.session import Session
from databases import Databases, chosen_kinds

MEMOS = 400
SEED = 11
PROBES = 50


@pytest.fixture(scope="module")
def seeded_url(module_database_url: str) -> str:
    """A database with made-up data, for all tests that only read."""

    async def fill() -> None:
        database = Database.open(module_database_url)
        await seeding.seed(database, memos=MEMOS, seed=SEED)
        await database.dispose()

    asyncio.run(fill())
    return module_database_url


@pytest.fixture
async def seeded(seeded_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    database = Database.open(seeded_url)
    yield database
    await database.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty, migrated database."""
    opened = Database.open(database_url)
    yield opened
    await opened.dispose()


async def rows(database: Database, table: Table) -> Sequence[Row[Any]]:
    """All rows of a table, in the order of its primary key."""
    async with database.read() as connection:
        return (await connection.execute(select(table).order_by(*table.primary_key.columns))).all()


# --- the made-up data obeys the rules ---------------------------------------------------------------------------------


async def test_seeded_memos_load_as_records_that_assert_every_invariant(seeded: Database) -> None:
    heads = {row.id: row for row in await rows(seeded, t.credit_memos)}
    by_status: dict[MemoStatus, list[str]] = defaultdict(list)
    for row in heads.values():
        by_status[row.status].append(row.id)
    probes = [ids[0] for ids in by_status.values()]
    probes += random.Random(SEED).sample(by_status[MemoStatus.POSTED], PROBES)

    async with seeded.read() as connection:
        session = Session(connection, seeded.dialect)
        for memo_id in probes:
            memo = await memos.load(session, memo_id, lock=False)
            row = heads[memo_id]

            assert memo is not None
            assert (memo.amount, memo.tax_amount, memo.exempt_amount, memo.applied, memo.unapplied, memo.refunded) == (
                *(row.amount, row.tax_amount, row.total_tax_exempt_amount),
                *(row.applied_amount, row.unapplied_amount, row.refund_amount),
            )


async def test_seeded_targets_load_as_records_that_agree_with_their_headers(seeded: Database) -> None:
    heads = {row.id: row for table in (t.invoices, t.debit_memos) for row in await rows(seeded, table)}
    ids = random.Random(SEED).sample(sorted(heads), PROBES)

    async with seeded.write(dry_run=True) as connection:
        loaded = await targets.load_targets(Session(connection, seeded.dialect), ids)

    for target in loaded.values():
        head = heads[target.id]
        assert target.balance == head.balance
        assert sum(line.worth for line in target.lines) == head.amount
        assert sum(line.credited for line in target.lines) == head.credit_amount
        assert sum(line.paid for line in target.lines) == head.payment_amount


async def test_what_parts_hold_is_what_the_ledger_moved(seeded: Database) -> None:
    kinds = {row.id: row.kind for row in await rows(seeded, t.credit_memo_applications)}
    moved: Counter[tuple[str, str | None]] = Counter()
    for row in await rows(seeded, t.credit_memo_application_items):
        kind = kinds[row.application_id]
        if kind is not LedgerKind.REFUND:
            pair = (row.credit_memo_item_id or row.credit_tax_item_id, _target_line(row))
            moved[pair] += -row.amount if kind is LedgerKind.UNAPPLY else row.amount
    placed = {
        (row.source_line_id, row.target_line_id): row.amount
        for row in await rows(seeded, t.credit_memo_item_parts)
        if row.target_line_id
    }

    assert placed == {pair: amount for pair, amount in moved.items() if amount}
    assert {LedgerKind.APPLY, LedgerKind.UNAPPLY, LedgerKind.REFUND} <= set(kinds.values())
    assert {LedgerKind.WRITE_OFF, LedgerKind.REVERSE} <= set(kinds.values())


def _target_line(row: Row[Any]) -> str | None:
    line: str | None = row.invoice_item_id or row.debit_memo_item_id or row.tax_item_id
    return line


async def test_parts_lines_and_targets_say_the_same(seeded: Database) -> None:
    unapplied, applied, credited = Counter[str](), Counter[str](), Counter[str]()
    in_part = Counter[str]()
    for row in await rows(seeded, t.credit_memo_item_parts):
        in_part[row.part_id] += row.amount
        (applied if row.target_line_id else unapplied)[row.source_line_id] += row.amount
        if row.target_line_id:
            credited[row.target_line_id] += row.amount
    refunded = Counter[str]()
    for row in await rows(seeded, t.refund_item_parts):
        refunded[row.credit_memo_item_id or row.credit_tax_item_id] += row.amount
    posted = {row.id for row in await rows(seeded, t.credit_memos) if row.status is MemoStatus.POSTED}

    for row in await rows(seeded, t.credit_memo_parts):
        assert row.amount == in_part[row.id]
    for table in (t.credit_memo_items, t.credit_memo_taxation_items):
        for row in await rows(seeded, table):
            if row.credit_memo_id in posted:
                assert row.unapplied_amount == unapplied[row.id]
            assert (row.applied_amount, row.refund_amount) == (applied[row.id], refunded[row.id])
    for table in (t.invoice_items, t.invoice_taxation_items, t.debit_memo_items, t.debit_memo_taxation_items):
        for row in await rows(seeded, table):
            assert row.credit_amount == credited[row.id]


async def test_posted_memos_do_not_credit_more_than_was_invoiced(seeded: Database) -> None:
    counted = {
        row.id: row
        for row in await rows(seeded, t.credit_memos)
        if row.status is MemoStatus.POSTED and not row.reversed and row.referred_invoice_id
    }
    taken = Counter[str]()
    for memo in counted.values():
        taken[memo.referred_invoice_id] += memo.amount
    for row in await rows(seeded, t.credit_memo_items):
        if row.credit_memo_id in counted:
            taken[row.source_item_id] += row.amount_without_tax
    for row in await rows(seeded, t.credit_memo_taxation_items):
        if row.credit_memo_id in counted:
            taken[row.source_tax_item_id] += row.tax_amount

    assert counted
    for table, column in (
        (t.invoices, "amount"),
        (t.invoice_items, "charge_amount"),
        (t.invoice_taxation_items, "tax_amount"),
    ):
        for row in await rows(seeded, table):
            assert 0 <= abs(taken[row.id]) <= abs(getattr(row, column))


async def test_the_history_leads_to_what_is_there(seeded: Database) -> None:
    events: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in await rows(seeded, t.credit_memo_events):
        events[row.credit_memo_id].append(row)

    for memo in await rows(seeded, t.credit_memos):
        history = events[memo.id]
        assert memo.version == len(history)
        assert [event.at for event in history] == sorted(event.at for event in history)
        assert history[0].amounts_before is None
        assert [event.amounts_before for event in history[1:]] == [event.amounts_after for event in history[:-1]]
        assert history[-1].at == memo.updated_date
        assert history[-1].amounts_after == {
            name: getattr(memo, name)
            for name in ("amount", "tax_amount", "applied_amount", "unapplied_amount", "refund_amount")
        }


async def test_sqlite_finds_neither_a_violated_check_nor_a_broken_reference(seeded: Database) -> None:
    # PostgreSQL has checked every row as it came.
    if seeded.dialect == "sqlite":
        async with seeded.read() as connection:
            assert (await connection.execute(text("PRAGMA integrity_check"))).scalars().all() == ["ok"]
            assert (await connection.execute(text("PRAGMA foreign_key_check"))).all() == []


async def test_seeded_data_shows_what_there_can_be(seeded: Database) -> None:
    found = await rows(seeded, t.credit_memos)
    items = await rows(seeded, t.credit_memo_items)
    taxes = await rows(seeded, t.credit_memo_taxation_items)

    assert len(found) == MEMOS
    assert {row.status for row in found} == set(MemoStatus)
    assert {row.currency for row in found} == {"EUR", "USD", "JPY", "KWD", "GBP", "CAD"}
    assert 4.5 < len(items) / MEMOS < 5.5
    assert 1.4 < len(taxes) / len(items) < 1.6
    discounts = [row for row in items if row.processing_type is ProcessingType.DISCOUNT]
    assert discounts
    assert all(row.amount_without_tax < 0 and row.applied_to_item_id for row in discounts)
    assert any(row.applied_amount and row.unapplied_amount for row in found)
    assert any(row.refund_amount for row in found)
    assert len(await rows(seeded, t.accounts)) == 500
    assert [row.number for row in found] == sorted(row.number for row in found), "ids sort like numbers"


# --- it is always the same, and can be gone on with -------------------------------------------------------------------


async def test_a_seed_makes_the_same_rows_in_any_database_and_any_chunks(databases: Databases) -> None:
    made: list[dict[str, list[tuple[Any, ...]]]] = []
    for kind, chunk in zip((*chosen_kinds(), *chosen_kinds()), (1000, 7, 50), strict=False):
        with databases.fresh(kind) as url:
            database = Database.open(url)
            await seeding.seed(database, memos=60, seed=3, chunk=chunk)
            made.append(
                {name: [tuple(row) for row in await rows(database, t.metadata.tables[name])] for name in COLUMNS}
            )
            await database.dispose()

    assert len(made[0]["credit_memos"]) == 60
    assert made[1:] == [made[0]] * (len(made) - 1)


async def test_what_is_created_after_seeding_gets_the_next_number(database: Database) -> None:
    await seeding.seed(database, memos=20, seed=8, lean=True)

    async with database.write() as connection:
        session = Session(connection, database.dialect)
        account = await session.scalar(select(t.accounts.c.id).limit(1))
        kinds = (DocumentType.CREDIT_MEMO, DocumentType.DEBIT_MEMO)
        numbers = [await reference.take_number(session, account, kind) for kind in kinds]

    debit_memos = len(await rows(database, t.debit_memos))
    assert debit_memos
    assert numbers == ["CM00000021", f"DM{debit_memos + 1:08d}"]


async def test_several_seeds_go_together_but_none_twice(database: Database) -> None:
    await seeding.seed(database, memos=20, seed=1, lean=True)
    await seeding.seed(database, memos=5, seed=2)

    with pytest.raises(Complaint, match="--seed 1 is already there"):
        await seeding.seed(database, memos=20, seed=1, lean=True)
    with pytest.raises(Complaint, match="choose a number"):
        await seeding.seed(database, memos=1, seed=-1)

    assert max(row.number for row in await rows(database, t.credit_memos)) == "CM00000025"
    assert len(await rows(database, t.accounts)) == 1000


async def test_lean_memos_have_one_item_with_one_tax_and_progress_is_told(database: Database) -> None:
    told: list[int] = []

    await seeding.seed(database, memos=100, seed=5, lean=True, chunk=40, progress=told.append)

    items = Counter(row.credit_memo_id for row in await rows(database, t.credit_memo_items))
    taxes = Counter(row.credit_memo_id for row in await rows(database, t.credit_memo_taxation_items))
    assert set(items.values()) == set(taxes.values()) == {1}
    assert len(items) == len(taxes) == 100
    assert told == [40, 80, 100]


async def test_a_failed_load_leaves_nothing_and_everything_is_checked_again(database: Database) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(done: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        await seeding.seed(database, memos=20, seed=1, chunk=8, progress=interrupt)

    assert await rows(database, t.accounts) == []
    if database.dialect == "sqlite":
        async with database.writers.connect() as connection:
            for pragma, value in (("foreign_keys", 1), ("ignore_check_constraints", 0)):
                assert await connection.scalar(text(f"PRAGMA {pragma}")) == value


async def test_indexes_and_references_come_back_as_they_were(database: Database) -> None:
    before = await _schema(database)

    async with loading(database) as connection, unburdened(connection):
        assert len(await _schema(database, connection)) < len(before) - 50

    assert await _schema(database) == before


async def _schema(database: Database, connection: Any = None) -> set[tuple[Any, ...]]:
    if connection is None:
        async with database.read() as own:
            return await _schema(database, own)
    if database.dialect == "sqlite":
        statements = ["SELECT name, sql FROM sqlite_master"]
    else:
        statements = [
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint",
        ]
    return {tuple(row) for statement in statements for row in await connection.execute(text(statement))}


# --- the tour ---------------------------------------------------------------------------------------------------------


async def test_the_sample_data_is_made_once(database: Database) -> None:
    await seeding.demo(database)
    made = {name: await rows(database, table) for name, table in t.metadata.tables.items()}
    await seeding.demo(database)

    assert {name: await rows(database, table) for name, table in t.metadata.tables.items()} == made
    assert [(row.invoice_number, row.currency, row.amount, row.balance) for row in made["invoices"]] == [
        ("INV00000001", "EUR", 952_0000, 952_0000),
        ("INV00000002", "EUR", 595_0000, 595_0000),
        ("INV00000003", "USD", 1198_7900, 1098_7900),
        ("INV00000004", "USD", 345_6000, 345_6000),
        ("INV00000005", "JPY", 44_000_0000, 44_000_0000),
        ("INV00000006", "KWD", 105_0000, 105_0000),
    ]
    assert [(row.id[-1], row.number, row.status, row.unapplied_amount) for row in made["credit_memos"]] == [
        ("1", "CM00000001", MemoStatus.POSTED, 137_6000),
        ("2", "CM00000002", MemoStatus.DRAFT, 8_800_0000),
        ("3", "CM00000003", MemoStatus.CANCELED, 25_0000),
        ("4", "CM00000004", MemoStatus.POSTED, 11_0250),
    ]


async def test_sample_data_and_made_up_data_go_together_in_that_order_only(database: Database) -> None:
    await seeding.demo(database)
    await seeding.seed(database, memos=8, seed=1)

    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(t.credit_memos)) == 12
        assert await connection.scalar(select(func.max(t.invoices.c.invoice_number))) == "INV00000008"


async def test_sample_data_is_refused_where_its_numbers_are_taken(database: Database) -> None:
    await seeding.seed(database, memos=8, seed=1)

    with pytest.raises(Complaint, match="CM00000001, which is taken"):
        await seeding.demo(database)
