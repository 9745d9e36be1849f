"""The migrations make the very schema that the tables declare, once, whoever else is at it."""

import asyncio
import re
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, inspect, select, text

from cm_graphql.domain.enums import DocumentType, ReasonCodeType
from cm_graphql.store import migrations, tables
from cm_graphql.store.database import Database, migration_engine
from cm_graphql.store.tables import metadata

DEFINITIONS = {
    # A table that was made anew has its name in quotes.
    "sqlite": "SELECT name, replace(sql, 'CREATE TABLE \"' || name || '\"', 'CREATE TABLE ' || name)"
    " FROM sqlite_master WHERE sql IS NOT NULL",
    "postgresql": """
        SELECT 'column ' || table_name || '.' || column_name,
               concat_ws(' ', data_type, collation_name, is_nullable, column_default, generation_expression)
          FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL
        SELECT 'table ' || relname, concat_ws(' ', reloptions)
          FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'constraint ' || conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    """,
}
"""How each database tells the whole of a schema: types, collations, defaults, derivations, constraints, indexes, room
on pages."""


def _definitions(connection: Connection) -> dict[str, list[str]]:
    """What the database says of every table, constraint and index, in an order of its own making."""
    rows = connection.execute(text(DEFINITIONS[connection.dialect.name]))
    return {
        name: sorted(line.strip().rstrip(",") for line in definition.splitlines())
        for name, definition in rows
        if "alembic_version" not in name
    }


def _remade_from_the_tables(connection: Connection) -> dict[str, list[str]]:
    """The same, after dropping what the migrations made and creating what the tables declare."""
    metadata.drop_all(connection)
    metadata.create_all(connection)
    return _definitions(connection)


def test_the_newest_revision_is_known_without_reading_them() -> None:
    assert migrations.head() == ScriptDirectory.from_config(migrations.config()).get_current_head()


async def test_migrations_and_tables_are_the_same_schema(database_url: str) -> None:
    engine = migration_engine(database_url)
    async with engine.begin() as connection:
        migrated = await connection.run_sync(_definitions)
        declared = await connection.run_sync(_remade_from_the_tables)
    await engine.dispose()

    assert migrated == declared


async def test_alembic_finds_nothing_to_migrate(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    engine = migration_engine(database_url)
    async with engine.begin() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()

    assert found == []


async def test_a_second_upgrade_changes_nothing(database_url: str, database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(tables.sequences.update().values(next_number=7))

    await migrations.upgrade(database_url)

    assert await migrations.current(database_url) == migrations.head()
    async with database.read() as connection:
        numbers = (await connection.execute(select(tables.sequences.c.next_number))).scalars().all()
    assert numbers == [7] * len(DocumentType)


def _downgrade(connection: Connection, revision: str) -> list[str]:
    settings = migrations.config()
    settings.attributes["connection"] = connection
    command.downgrade(settings, revision)
    return inspect(connection).get_table_names()


async def _take_back(database_url: str, revision: str) -> list[str]:
    """Undo the migrations after that revision, and answer which tables are left."""
    engine = migration_engine(database_url)
    async with engine.begin() as connection:
        left = await connection.run_sync(_downgrade, revision)
    await engine.dispose()
    return left


async def _empty(database_url: str) -> None:
    assert await _take_back(database_url, "base") == ["alembic_version"]


async def test_a_database_can_be_taken_back_to_nothing_and_up_again(database_url: str) -> None:
    await _empty(database_url)
    assert await migrations.current(database_url) is None

    await migrations.upgrade(database_url)
    assert await migrations.current(database_url) == migrations.head()


async def test_many_processes_may_start_at_once(database_url: str) -> None:
    await _empty(database_url)
    program = (
        "import asyncio, sys; from cm_graphql.store import migrations; asyncio.run(migrations.upgrade(sys.argv[1]))"
    )

    processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", program, database_url) for _ in range(4)]
    await asyncio.gather(migrations.upgrade(database_url), migrations.upgrade(database_url))
    codes = await asyncio.gather(*(process.wait() for process in processes))

    assert codes == [0] * 4
    assert await migrations.current(database_url) == migrations.head()


async def test_a_migration_that_fails_leaves_nothing_behind(database_url: str) -> None:
    await _empty(database_url)
    database = Database.open(database_url)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE refunds (mine INTEGER)"))

    with pytest.raises(Exception, match="refunds"):
        await migrations.upgrade(database_url)

    async with database.read() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await database.dispose()
    assert sorted(names) == ["alembic_version", "refunds"]
    assert await migrations.current(database_url) is None


INVALID = text("SELECT count(*) FROM pg_constraint WHERE NOT convalidated")
WAITING = text(
    "SELECT count(*) FROM pg_locks JOIN pg_database AS here ON here.oid = database"
    " WHERE datname = current_database() AND mode = 'AccessExclusiveLock' AND NOT granted"
)


async def test_constraints_that_a_migration_left_to_be_validated_are_at_the_next_start(database_url: str) -> None:
    database = Database.open(database_url)
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no constraints that hold of new rows only")
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE accounts DROP CONSTRAINT ck_accounts_status"))
        await connection.execute(
            text("ALTER TABLE accounts ADD CONSTRAINT ck_accounts_status CHECK (status <> '') NOT VALID")
        )
        assert await connection.scalar(INVALID) == 1

    await migrations.upgrade(database_url)

    async with database.read() as connection:
        assert await connection.scalar(INVALID) == 0
    await database.dispose()


async def test_a_migration_begins_anew_after_a_deadlock_with_those_who_are_at_work(database_url: str) -> None:
    database = Database.open(database_url)
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    await _take_back(database_url, "0012")

    async with database.write() as connection:
        await connection.execute(text("SET LOCAL deadlock_timeout = '1h'"))  # so that it is the other that is ended
        await connection.execute(text("LOCK TABLE credit_memos IN ROW EXCLUSIVE MODE"))
        migration = asyncio.create_task(migrations.upgrade(database_url))
        async with asyncio.timeout(30):
            while not await connection.scalar(WAITING):  # noqa: ASYNC110 - a lock tells nobody
                await asyncio.sleep(0.02)
        await connection.execute(text("LOCK TABLE credit_memo_items IN ROW EXCLUSIVE MODE"))
    await migration

    assert await migrations.current(database_url) == migrations.head()
    async with database.read() as connection:
        assert await connection.scalar(INVALID) == 0
    await database.dispose()


async def test_a_tenant_starts_with_numbers_reason_codes_and_settings(database: Database) -> None:
    codes, sequences, settings = tables.reason_codes, tables.sequences, tables.settings
    async with database.read() as connection:
        rows = (await connection.execute(select(sequences.c.document_type, sequences.c.prefix))).all()
        prefixes = {row.document_type: row.prefix for row in rows}
        names = (await connection.execute(select(tables.sequence_sets.c.name))).scalars().all()
        rows = (await connection.execute(select(codes.c.type, codes.c.name).where(codes.c.is_default))).all()
        defaults = {row.type: row.name for row in rows}
        ids = (await connection.execute(select(codes.c.id).where(codes.c.active).order_by(codes.c.id))).scalars().all()
        document = (await connection.execute(select(settings.c.document, settings.c.version))).one()

    assert names == ["DEFAULT"]
    assert prefixes == {
        DocumentType.INVOICE: "INV",
        DocumentType.CREDIT_MEMO: "CM",
        DocumentType.DEBIT_MEMO: "DM",
        DocumentType.PAYMENT: "P-",
        DocumentType.REFUND: "R-",
        DocumentType.CREDIT_MEMO_DRAFT: "TMP-CM-",
    }
    assert defaults == {
        ReasonCodeType.CREDIT_MEMO: "Correcting invoice error",
        ReasonCodeType.DEBIT_MEMO: "Correcting invoice error",
        ReasonCodeType.CREDIT_MEMO_REFUND: "Standard Refund",
    }
    assert len(ids) == 17
    assert all(re.fullmatch("rc_[0-9a-f]{32}", key) for key in ids)
    assert tuple(document) == ({}, 1)


@pytest.mark.parametrize("table", list(metadata.tables.values()), ids=str)
def test_names_fit_postgresql(table: Table) -> None:
    names = [constraint.name for constraint in table.constraints] + [index.name for index in table.indexes]

    assert all(len(str(name)) <= 63 for name in names)
