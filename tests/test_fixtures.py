"""The databases that tests are given: one each, migrated, and never another test's."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from databases import Databases, Kind, chosen_kinds


async def _mark(url: str) -> list[int]:
    """Leave a mark in the database and return all marks there."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS mark (number INTEGER)"))
            await connection.execute(text("INSERT INTO mark VALUES (1)"))
            return list((await connection.execute(text("SELECT number FROM mark"))).scalars())
    finally:
        await engine.dispose()


@pytest.mark.parametrize("turn", [1, 2, 3])
async def test_each_test_has_a_database_of_its_own(database_url: str, turn: int) -> None:
    assert await _mark(database_url) == [1]


@pytest.mark.parametrize("kind", chosen_kinds())
async def test_a_database_arrives_migrated(databases: Databases, kind: Kind) -> None:
    with databases.fresh(kind) as url:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            versions = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
        await engine.dispose()

    assert len(versions) == 1


def test_the_databases_of_a_run_are_those_that_were_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_GRAPHQL_TEST_DATABASES", "sqlite")
    assert chosen_kinds() == ["sqlite"]

    monkeypatch.setenv("CM_GRAPHQL_TEST_DATABASES", "")
    assert chosen_kinds() == ["sqlite", "postgresql"]

    monkeypatch.setenv("CM_GRAPHQL_TEST_DATABASES", "oracle")
    with pytest.raises(AssertionError, match="names one of"):
        chosen_kinds()
