"""What all commands share: where options go, and the database that some of them work on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from cm_graphql.settings import Complaint, Settings

if TYPE_CHECKING:
    from cm_graphql.operations.ports import SystemClock
    from cm_graphql.store.database import Database

T = TypeVar("T")

DatabaseUrl = Annotated[str | None, Parameter(help="sqlite:///file.db or postgresql://user:password@host/name.")]


def read_settings(**options: object) -> Settings:
    """Read the settings; options of the command line go before the environment."""
    return Settings.load(options)


def with_database(url: str | None, work: "Callable[[Database, SystemClock], Awaitable[T]]") -> "T":
    """Do something with a database, which gets the present schema first."""
    from cm_graphql import app as wiring
    from cm_graphql.operations.api_keys import KeyRefused
    from cm_graphql.operations.ports import SystemClock
    from cm_graphql.operations.registered import NotRegistered
    from cm_graphql.store.keys import MalformedId

    settings = read_settings(database_url=url)

    async def run() -> T:
        await wiring.migrate(settings)
        database = wiring.open_database(settings)
        try:
            return await work(database, SystemClock())
        finally:
            await database.dispose()

    try:
        return asyncio.run(run())
    except (KeyRefused, MalformedId, NotRegistered) as refused:
        raise Complaint(str(refused)) from None
