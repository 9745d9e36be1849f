"""Fixtures that every test may use: a database of its own, and the real server upon one."""

import asyncio
import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import hypothesis
import pytest

import postgres
from cm_graphql.store import migrations
from databases import Databases, Kind, asyncpg_url, chosen_kinds
from servers import running

# dev: quick, and other examples each time. ci: the same examples each time. soak: as many as patience allows.
# No deadlines: on a busy machine they measure the neighbours.
hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile(
    "soak",
    max_examples=10_000,
    stateful_step_count=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


# Looking for garbage took a fifth of a worker's time. What is imported and collected stays to the end, and need not be
# looked through; afterwards there are so many objects that looking seldom costs little memory.
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage from here on, among what the tests make."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker of pytest-xdist whose run it belongs to."""
    node.workerinput["run_pid"] = os.getpid()


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """The databases of this run, shared by its workers."""
    own = tmp_path_factory.getbasetemp()
    workerinput: dict[str, Any] | None = getattr(request.config, "workerinput", None)
    if workerinput is None:
        return Databases(own, os.getpid())
    return Databases(own.parent, workerinput["run_pid"])


@pytest.fixture(params=chosen_kinds())
def database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """The URL of an empty, migrated database; the test runs once on SQLite and once on PostgreSQL."""
    kind: Kind = request.param
    with databases.fresh(kind) as url:
        yield url


@pytest.fixture(scope="module", params=chosen_kinds())
def module_database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """The same, but one database for all tests of a module: they must not mind each other's rows."""
    kind: Kind = request.param
    with databases.fresh(kind) as url:
        yield url


@pytest.fixture
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the real server upon `database_url`. With other settings: `servers.running`."""
    with running(database_url, tmp_path_factory.mktemp("server")) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def module_server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of one real server for all tests of a module, upon `module_database_url`."""
    with running(module_database_url, tmp_path_factory.mktemp("server")) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def mortal_server(databases: Databases) -> Iterator[tuple[str, Path]]:
    """A PostgreSQL that may crash, since nobody else uses it: a migrated database, and where its data lie."""
    if "postgresql" not in chosen_kinds():
        pytest.skip("SQLite is part of the process, whose death other tests look at")
    # What it has committed must outlive it; a power cut it need not survive.
    server = postgres.start(databases.run_pid, {**postgres.SETTINGS, "synchronous_commit": "on"})
    url = asyncpg_url(server, "postgres")

    async def prepare() -> str:
        await migrations.upgrade(url)
        connection = await asyncpg.connect(server)
        try:
            return str(await connection.fetchval("SHOW data_directory"))
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        data = Path(thread.submit(asyncio.run, prepare()).result())
    yield url, data
    postgres.crash(data, restart=False)
