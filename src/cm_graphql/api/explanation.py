"""Shows how a query is answered, as a tree for people: what `cm-graphql explain` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree
from strawberry import Schema

from cm_graphql.api.context import Api, Context
from cm_graphql.api.documents import Documents
from cm_graphql.api.errors import DocumentRefused
from cm_graphql.api.limits import Limits
from cm_graphql.engine.explain import Explanation, Level
from cm_graphql.engine.plan import Statement
from cm_graphql.engine.runner import Engine
from cm_graphql.store.database import Database
from cm_graphql.store.direct import Direct, ReadingFailed

ANALYSES = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}


class NotExplained(ValueError):
    """The query cannot be explained; the message says why."""


def explain(
    schema: Schema, direct: Direct, database: Database, text: str, name: str | None, variables: Mapping[str, Any]
) -> Explanation:
    """How a query is answered for a caller who may do everything; raises NotExplained."""
    try:
        document = Documents(schema._schema, Limits()).prepare(text)
    except DocumentRefused as refused:
        raise NotExplained("\n".join(str(error["message"]) for error in refused.errors)) from refused
    operation = document.operation(name)
    if operation is None:
        raise NotExplained(f"Name one of the operations: {', '.join(str(name) for name in document.operations)}.")
    context = Context.of(Api(database=database))
    found = Engine(schema, direct).explain(operation, variables, context)
    if found is None:
        raise NotExplained(
            "A plan answers a query whose variables and arguments are in order: ask the server, which tells the error."
        )
    return found


async def analyses(direct: Direct, explanation: Explanation) -> dict[str, list[str]]:
    """What the database says of each statement, by its SQL; nothing without a database."""
    found: dict[str, list[str]] = {}

    def work() -> Any:
        for statement in _statements(explanation.levels):
            rows = yield ANALYSES[direct.name] + statement[0], statement[1]
            found[statement[0]] = [str(row[-1]) for row in rows]

    try:
        await direct.run(work(), short=False)
    except ReadingFailed as failed:
        found.setdefault("", [str(failed)])
    return found


def _statements(levels: Sequence[Level]) -> list[Statement]:
    return [one for level in levels for one in (*level.statements, *_statements(level.below))]


def drawn(explanation: Explanation, said: Mapping[str, Sequence[str]]) -> RenderableType:
    """The explanation as a tree, with what the database says of each statement."""
    most = f"at most {explanation.statements_at_most} statements, {explanation.rows_at_most:,} rows"
    tree = Tree(Text(f"By plan: {most}" if explanation.levels else "Nothing by plan"))
    for level in explanation.levels:
        _draw(tree, level, said)
    if not explanation.resolved:
        return tree
    return Group(tree, Text(f"By resolvers: {', '.join(explanation.resolved)}"))


def _draw(tree: Tree, level: Level, said: Mapping[str, Sequence[str]]) -> None:
    rows = "1 row" if level.rows_at_most == 1 else f"{level.rows_at_most:,} rows"
    branch = tree.add(Text.assemble((level.path, "bold"), f": {level.kind}, at most {rows}"))
    if level.columns:
        branch.add(Text.assemble(("columns  ", "dim"), ", ".join(level.columns)))
    for sql, _ in level.statements:
        lines = sql.splitlines()
        shown = Text.assemble(("SQL      ", "dim"), "\n         ".join(line.strip() for line in lines))
        for line in said.get(sql, ()):
            shown.append(f"\n         -> {line}", "green")
        branch.add(shown)
    for below in level.below:
        _draw(branch, below, said)
