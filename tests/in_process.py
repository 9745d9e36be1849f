"""The whole application in this process, spoken to without a socket: for tests that set it up in a way of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from cm_graphql.app import create_app
from cm_graphql.operations import api_keys
from cm_graphql.operations.ports import SystemClock
from cm_graphql.settings import Settings
from cm_graphql.store.database import Database


@asynccontextmanager
async def served(database_url: str, folder: Path, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application upon a database, with files and mail in a folder; `more` are settings."""
    settings = Settings(
        **more,
        database_url=SecretStr(database_url),
        files_url=str(folder / "files"),
        mail_folder=folder / "mail",
        system_fonts=False,
    )
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        yield client


async def a_key(database_url: str, *scopes: str, **options: Any) -> tuple[str, dict[str, str]]:
    """A new API key: its id, and the header that shows it."""
    database = Database.open(database_url)
    try:
        key, text = await api_keys.create(database, SystemClock(), name="a key", scopes=scopes, **options)
        return key.id, {"authorization": f"Bearer {text}"}
    finally:
        await database.dispose()
