"""What conformance tests share: the outside tools that they need, found or asked for."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cm_graphql.seeding import demo
from cm_graphql.store import migrations
from cm_graphql.store.database import Database
from conformance import tools
from servers import running


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Give a function that returns the path of a program; without it the test is skipped, in CI it fails."""
    return tools.program


@pytest.fixture(scope="session")
def node() -> tools.Node:
    """Node.js with the packages that the tests use."""
    return tools.Node()


@pytest.fixture(scope="session")
def checks(node: tools.Node) -> tools.Checks:
    """The scripts of named checks, each run once."""
    return tools.Checks(node)


@pytest.fixture(scope="session")
def chromium(tool: Callable[[str], str]) -> str:
    """The browser's path, whatever it is called here."""
    for name in ("chromium-browser", "google-chrome", "google-chrome-stable"):
        if shutil.which("chromium") is None and shutil.which(name):
            return tool(name)
    return tool("chromium")


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the real server upon the tour's data, which stay as they are."""
    with serving_the_tour(tmp_path_factory.mktemp("demo")) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `own_server` runs, and leaves files and mail."""
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def own_server(own_folder: Path) -> Iterator[str]:
    """The same for one module alone, which may change the data."""
    with serving_the_tour(own_folder) as base_url:
        yield base_url


@contextmanager
def serving_the_tour(directory: Path, url: str | None = None, **environment: str) -> Iterator[str]:
    """Serve the tour's data from a directory, with other settings, and upon another database if its URL is given."""
    url = url or f"sqlite:///{directory / 'demo.db'}"
    asyncio.run(_fill(url))
    with running(url, directory, **environment) as base_url:
        yield base_url


async def _fill(url: str) -> None:
    await migrations.upgrade(url)
    database = Database.open(url)
    await demo(database)
    await database.dispose()
