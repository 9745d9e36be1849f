"""Brings a database to the present schema, safely when several processes start at once, and says where it stands."""

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from cm_graphql.store.database import CONFLICT_ATTEMPTS, Database, migration_engine
from cm_graphql.store.errors import Conflict, typed

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import AsyncEngine

# Alembic is imported when there is something to migrate: at most starts there is not, and it takes 10 MB of a worker.

ADVISORY_LOCK: Final = 0x636D2D67_7261706C
"""The key of the lock that PostgreSQL gives to one migrating process at a time; it spells cm-grapl."""

UNREAD: Final = """
SELECT format('ALTER TABLE %s %s', conrelid::regclass, string_agg(format('VALIDATE CONSTRAINT %I', conname), ', '))
FROM pg_constraint
WHERE contype = 'c' AND NOT convalidated AND connamespace = current_schema()::regnamespace GROUP BY conrelid
"""
"""How the rows are read of tables whose constraints a migration has said anew, with NOT VALID. On their own these
statements keep nobody from reading and writing; within the migration they would lock everybody out."""

_ONE_AT_A_TIME: Final = Lock()
"""Alembic keeps the migration it runs in a global of its process."""


class OtherVersion(Exception):
    """The database was made by another version of the product; the message says by which revision."""


async def upgrade(url: str) -> None:
    """Run the migrations that the database lacks, all in one transaction; with none lacking, change no data.

    On PostgreSQL, constraints that hold of new rows only are then validated, table by table. On SQLite the statistics
    are renewed, by which queries are planned. Others who call this meanwhile, in this process or another, wait and then
    find nothing to do. Raises OtherVersion for a revision that is not known here.
    """
    await asyncio.to_thread(_upgrade_alone, url)


async def current(url: str) -> str | None:
    """Answer the revision that the database is at; None for an empty one."""
    database = Database.open(url)
    try:
        async with database.read() as connection:
            return await connection.run_sync(revision)
    finally:
        await database.dispose()


def revision(connection: Connection) -> str | None:
    """Answer the revision that the database of a connection is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def head() -> str:
    """Answer the newest revision that this version of the product knows: files are named by theirs, in their order."""
    names = (file.name for file in files(__package__).joinpath("versions").iterdir())
    return max(name[:4] for name in names if name[:4].isdigit())


def config() -> "Config":
    """Alembic's configuration; it needs no file, since the migrations travel inside the package."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(files(__package__)))
    settings.set_main_option("path_separator", "os")
    return settings


def _upgrade_alone(url: str) -> None:
    with _ONE_AT_A_TIME:
        asyncio.run(_upgrade(url))


async def _upgrade(url: str) -> None:
    engine = migration_engine(url)
    try:
        if unread := await _migrated(engine):
            async with engine.connect() as connection:
                for statement in unread:
                    await connection.exec_driver_sql(statement)
                    await connection.commit()
    finally:
        await engine.dispose()


async def _migrated(engine: "AsyncEngine", attempts: int = CONFLICT_ATTEMPTS) -> Sequence[str]:
    """Run what is lacking, and answer what is to be run after it."""
    try:
        async with engine.begin() as connection:  # BEGIN IMMEDIATE on SQLite, which is the lock there
            if connection.dialect.name == "sqlite":
                await connection.run_sync(_run)
                return ()
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            await connection.run_sync(_run)
            return (await connection.execute(text(UNREAD))).scalars().all()
    except DBAPIError as error:  # others may be at work, who lock tables in an order of their own: a deadlock
        if attempts == 1 or not isinstance(typed(error), Conflict):
            raise
    return await _migrated(engine, attempts - 1)


def _run(connection: Connection) -> None:
    if revision(connection) != head():
        _migrate(connection)
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert not broken, f"a migration left references to nothing: {broken[:5]}"
    if connection.dialect.name == "sqlite":
        # Without statistics SQLite takes the wrong index for a filter with a sort; PostgreSQL sees to that by itself.
        connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
        connection.exec_driver_sql("PRAGMA optimize = 0x10002")


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.util import CommandError

    settings = config()
    settings.attributes["connection"] = connection
    try:
        command.upgrade(settings, "head")
    except CommandError as error:
        raise OtherVersion(str(error)) from error
