"""Brings a database to the present schema, safely when several processes start at once, and says where it stands."""

import asyncio
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from cm_graphql.store.database import Database, migration_engine

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is imported when there is something to migrate: at most starts there is not, and it takes 10 MB of a worker.

ADVISORY_LOCK: Final = 0x636D2D67_7261706C
"""The key of the lock that PostgreSQL gives to one migrating process at a time; it spells cm-grapl."""


_ONE_AT_A_TIME: Final = Lock()
"""Alembic keeps the migration it runs in a global of its process."""


class OtherVersion(Exception):
    """The database was made by another version of the product; the message says by which revision."""


async def upgrade(url: str) -> None:
    """Run the migrations that the database lacks, all in one transaction; with none lacking, change no data.

    Raises OtherVersion for a revision that is not known here. On SQLite the statistics are renewed, by which queries
    are planned. Others who call this meanwhile, in this process or another, wait and then find nothing to do.
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
        async with engine.begin() as connection:  # BEGIN IMMEDIATE on SQLite, which is the lock there
            if connection.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


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
