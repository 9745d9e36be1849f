"""What conformance tests share: the outside tools that they need, found or asked for."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from cm_graphql.seeding import demo
from cm_graphql.store import migrations
from cm_graphql.store.database import Database
from servers import running


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Give a function that returns the path of a program; without it the test is skipped, in CI it fails."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        reason = f"{name} is needed and is not on the path"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    return find


@pytest.fixture(scope="session")
def chromium(tool: Callable[[str], str]) -> str:
    """The browser's path, whatever it is called here."""
    for name in ("chromium-browser", "google-chrome", "google-chrome-stable"):
        if shutil.which("chromium") is None and shutil.which(name):
            return tool(name)
    return tool("chromium")


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the real server upon the tour's data."""
    directory = tmp_path_factory.mktemp("demo")
    url = f"sqlite:///{directory / 'demo.db'}"
    asyncio.run(_fill(url))
    with running(url, directory) as base_url:
        yield base_url


async def _fill(url: str) -> None:
    await migrations.upgrade(url)
    database = Database.open(url)
    await demo(database)
    await database.dispose()
