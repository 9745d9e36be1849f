"""Empty, migrated databases for tests: each test has its own, copied from a template that was migrated once."""

import asyncio
import fcntl
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import asyncpg

import postgres

Kind = Literal["sqlite", "postgresql"]

TEMPLATE = "migrated"
SQLITE = "cm-graphql-sqlite-"
"""How a directory with a database begins; the process of its run follows."""

MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 3 << 30
"""Several times what the databases of a run take at once. Containers are often given no more than 64 MB."""


def chosen_kinds() -> list[Kind]:
    """Return the databases to test on: both, or the one named by CM_GRAPHQL_TEST_DATABASES."""
    every: list[Kind] = ["sqlite", "postgresql"]
    chosen = os.environ.get("CM_GRAPHQL_TEST_DATABASES")
    if not chosen:
        return every
    assert chosen in every, f"CM_GRAPHQL_TEST_DATABASES is {chosen!r}: it names one of {every}"
    return [chosen]


def memory() -> Path | None:
    """Return a directory in memory with room for the databases, if there is one.

    On a disk each transaction on SQLite waits for it. And a database on PostgreSQL is five hundred files: ext4 passes
    over the places of files that were removed within the last minutes, one after the other for each that it makes, so
    that where databases come and go it takes half a second for one.
    """
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ENOUGH_MEMORY else None


class Databases:
    """The databases of one test run, in memory where there is room.

    All workers of the run share `directory`: the first that needs a server or a template makes it, under a lock.
    CM_GRAPHQL_TEST_POSTGRESQL_URL names a server to use instead of one of our own (`postgresql://...`, a superuser's).
    """

    def __init__(self, directory: Path, run_pid: int) -> None:
        self.directory = directory
        self.run_pid = run_pid
        self._server: str | None = None
        self._sqlite_template: Path | None = None

    @contextmanager
    def fresh(self, kind: Kind) -> Iterator[str]:
        """Give the URL of an empty, migrated database that nobody else uses, and remove the database after use."""
        make = self._fresh_sqlite if kind == "sqlite" else self._fresh_postgresql
        with make() as url:
            yield url

    @contextmanager
    def _fresh_sqlite(self) -> Iterator[str]:
        template = self._migrated_sqlite()
        home = Path(tempfile.mkdtemp(prefix=f"{SQLITE}{self.run_pid}-", dir=memory() or self.directory))
        shutil.copyfile(template, home / "test.db")
        try:
            yield f"sqlite+aiosqlite:///{home}/test.db"
        finally:
            shutil.rmtree(home, ignore_errors=True)

    @contextmanager
    def _fresh_postgresql(self) -> Iterator[str]:
        server = self._migrated_postgresql()
        name = f"test_{uuid.uuid4().hex}"
        # FILE_COPY takes half the time of the default strategy, as nothing is synced to disk here.
        _finish(execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}_{self.run_pid}" STRATEGY FILE_COPY'))
        try:
            yield asyncpg_url(server, name)
        finally:
            _finish(execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def _migrated_sqlite(self) -> Path:
        """Return the path of the migrated SQLite file, made by the first worker that asks."""
        if self._sqlite_template is None:
            template = self.directory / f"{TEMPLATE}.db"
            with self._lock("sqlite"):
                if not template.exists():
                    _tidy()
                    making = template.with_suffix(".making")
                    _finish(_upgrade(f"sqlite+aiosqlite:///{making}"))
                    with sqlite3.connect(making) as connection:
                        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the file alone must hold everything
                    connection.close()
                    making.rename(template)
            self._sqlite_template = template
        return self._sqlite_template

    def _migrated_postgresql(self) -> str:
        """Return the URL of the PostgreSQL server with its migrated template, made by the first worker that asks."""
        if self._server is None:
            known = self.directory / "postgresql.url"
            with self._lock("postgresql"):
                if not known.exists():
                    given = os.environ.get("CM_GRAPHQL_TEST_POSTGRESQL_URL")
                    server = given or postgres.start(self.run_pid, data_in=memory())
                    template = f"{TEMPLATE}_{self.run_pid}"
                    _finish(execute(server, f'DROP DATABASE IF EXISTS "{template}"'))
                    _finish(execute(server, f'CREATE DATABASE "{template}"'))
                    _finish(_upgrade(asyncpg_url(server, template)))
                    known.write_text(server)
            self._server = known.read_text()
        return self._server

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Keep the other workers of this run out."""
        with (self.directory / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _tidy() -> None:
    """Remove from memory the SQLite databases of runs that were killed."""
    for left in MEMORY.glob(f"{SQLITE}*-*"):
        run_pid = left.name.removeprefix(SQLITE).partition("-")[0]
        if not Path("/proc", run_pid).exists():
            shutil.rmtree(left, ignore_errors=True)


def asyncpg_url(server: str, database: str) -> str:
    """Return the URL of a database on `server` as the application takes it."""
    return server.replace("postgresql://", "postgresql+asyncpg://", 1).rpartition("/")[0] + f"/{database}"


async def execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _upgrade(url: str) -> None:
    from cm_graphql.store.migrations import upgrade  # here, so that tests without a database load no store

    await upgrade(url)


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a thread of its own, so that fixtures can be asked for inside an event loop too."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
