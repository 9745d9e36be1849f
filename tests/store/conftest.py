"""Databases opened for tests of the store."""

from collections.abc import AsyncIterator

import pytest

from cm_graphql.store.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty, migrated database of the test's own."""
    opened = Database.open(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
async def shared_database(module_database_url: str) -> AsyncIterator[Database]:
    """The module's database: leave nothing in it, or nothing that another test minds."""
    opened = Database.open(module_database_url)
    yield opened
    await opened.dispose()
