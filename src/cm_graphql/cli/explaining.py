"""`cm-graphql explain`: how a query is answered, level by level."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cm_graphql.cli.base import DatabaseUrl, read_settings
from cm_graphql.settings import Complaint

if TYPE_CHECKING:
    from rich.console import RenderableType

_NOWHERE = {"sqlite": "sqlite:///no-such-file.db", "postgresql": "postgresql://localhost/no-such-database"}
"""Databases that are never connected to."""


def explain(
    query: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    variables: str = "{}",
    operation: str | None = None,
    database_url: DatabaseUrl = None,
    dialect: Literal["sqlite", "postgresql"] = "sqlite",
) -> None:
    """Show how a query is answered: its plan, level by level, with the SQL.

    With --database-url, the database tells of each statement how it would go about it. Nothing is run but that.

    Parameters
    ----------
    query
        A file with the document; `-` for standard input.
    variables
        Their values, as a JSON object.
    operation
        Which operation, where the document has several.
    dialect
        For which database, where none is given.
    """
    from rich.console import Console

    from cm_graphql.api.explanation import NotExplained

    try:
        text = sys.stdin.read() if str(query) == "-" else query.read_text(encoding="utf-8")
        given = json.loads(variables)
    except (OSError, UnicodeDecodeError) as error:
        raise Complaint(f"{query} cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise Complaint(f"--variables is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise Complaint("--variables takes a JSON object, as in '{\"first\": 10}'.")
    try:
        tree = asyncio.run(_explained(text, operation, given, database_url, dialect))
    except NotExplained as error:
        raise Complaint(str(error)) from error
    # As wide as it takes: SQL that a pipe or a narrow window breaks can be copied nowhere.
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(tree, soft_wrap=True)


async def _explained(
    text: str,
    operation: str | None,
    variables: Mapping[str, object],
    url: str | None,
    dialect: Literal["sqlite", "postgresql"],
) -> "RenderableType":
    from cm_graphql import app as wiring
    from cm_graphql.api import explanation
    from cm_graphql.api.schema import schema
    from cm_graphql.store.direct import Unconnected, open_direct

    database = wiring.open_database(read_settings(database_url=url or _NOWHERE[dialect]))
    direct = Unconnected(dialect) if url is None else open_direct(database)
    try:
        found = explanation.explain(schema, direct, database, text, operation, variables)
        said = {} if url is None else await explanation.analyses(direct, found)
        return explanation.drawn(found, said)
    finally:
        await direct.close()
        await database.dispose()
