"""A desk for each test of an operation."""

from collections.abc import AsyncIterator

import pytest

from operating import Desk, a_desk


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk upon an empty database, with an account to work for; the test runs on SQLite and on PostgreSQL."""
    async with a_desk(database_url) as opened:
        yield opened
