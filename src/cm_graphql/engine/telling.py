"""Payloads of mutations that the database tells along with what it writes, where one row of one table is all of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError
from sqlalchemy import Select, String, Table, bindparam
from sqlalchemy.sql.visitors import iterate

from cm_graphql.engine.plan import Object, RowView, Run, Unplanned, reading
from cm_graphql.engine.roots import KEY, NamedRoot, Plan
from cm_graphql.store.lists import ACCOUNTS
from cm_graphql.store.prepared import Prepared, prepare
from cm_graphql.store.statements import Told
from cm_graphql.store.types import JsonText


@dataclass(frozen=True, slots=True)
class Teller:
    """How the payload of a mutation is told."""

    place: str
    """Where the row is shown."""
    name: str
    """Under which an outcome has the id of the row."""
    prefix: str
    view: RowView
    table: str
    statement: Prepared

    def foretell(self, outcome: Mapping[str, Any], accounts: Sequence[str] | None) -> "Foretold | None":
        """What to ask of an outcome; `accounts` are those that the caller is limited to."""
        key = outcome.get(self.name)
        if not isinstance(key, str) or not key.startswith(self.prefix):
            return None
        return Foretold(self, Told(self.table, *self.statement.bound({KEY: key, ACCOUNTS: accounts})))


@dataclass(slots=True)
class Foretold:
    """A payload that may be told."""

    teller: Teller
    told: Told
    """What is asked, and the answer."""

    def payload(self, context: Any) -> dict[str, dict[str, Object]] | None:
        """What the plan would have read, by place, then by id; None where nobody told it."""
        rows = self.told.rows
        if rows is None:
            return None
        try:
            objects = self.teller.view.shape(rows, [], context)
        except (Unplanned, GraphQLError, KeyError):  # which resolvers have words for
            return {}
        return {self.teller.place: {row[0]: made for row, made in zip(rows, objects, strict=True)}}


def teller_of(plan: Plan, run: Run) -> Teller | None:
    """What tells a plan's payload to this caller, and to those who are limited as they are."""
    if plan.statements_at_most != 1 or len(plan.roots) != 1:
        return None
    ((place, root),) = plan.roots.items()
    if not isinstance(root, NamedRoot) or len(root.things.views) != 1:
        return None
    ((prefix, view),) = root.things.views.items()
    statement = reading(view, view.rowset.kind.table.c.id == bindparam(KEY, "", String()), run)
    table = _only_table(statement)
    if table is None:
        return None
    prepared = prepare(statement, run.statements.dialect, (KEY, ACCOUNTS))
    return Teller(place, root.name, f"{prefix}_", view, table, prepared)


def _only_table(statement: Select[Any]) -> str | None:
    """The table that a statement reads, if there is one, and all connections read its columns alike."""
    tables = {part.name for part in iterate(statement) if isinstance(part, Table)}
    texts = not any(isinstance(column.type, JsonText) for column in statement.selected_columns)
    return tables.pop() if texts and len(tables) == 1 else None
