"""Tells how a plan reads: its levels, with the columns, the statements and how many rows there can be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cm_graphql.engine.plan import (
    Child,
    Lists,
    ManyChild,
    OneChild,
    PlainChild,
    RowView,
    Run,
    Statement,
    Things,
    View,
)
from cm_graphql.engine.roots import IdRoot, KeyRoot, ListRoot, NamedRoot, Plan, Root

SOME_KEY = ("?",)
"""Stands for the keys of the parents, which are only known once those are read."""


@dataclass(frozen=True)
class Level:
    """Things of one kind at one place of the answer."""

    path: str
    """Where they stand, such as `creditMemos.items`."""
    kind: str
    """Their GraphQL type."""
    rows_at_most: int
    columns: tuple[str, ...]
    statements: tuple[Statement, ...]
    """What reads all of them, for all that stand above."""
    below: tuple["Level", ...]

    def shown(self) -> dict[str, Any]:
        """The level as JSON, without the values of its parameters."""
        return {
            "path": self.path,
            "type": self.kind,
            "rowsAtMost": self.rows_at_most,
            "columns": list(self.columns),
            "statements": [sql for sql, _ in self.statements],
            "below": [level.shown() for level in self.below],
        }


@dataclass(frozen=True)
class Explanation:
    """How a query is answered."""

    levels: tuple[Level, ...]
    """Of the root fields that are planned."""
    resolved: tuple[str, ...]
    """The root fields that resolvers answer, by their keys."""
    rows_at_most: int
    statements_at_most: int

    def shown(self) -> Mapping[str, Any]:
        """The explanation as JSON."""
        return {
            "rowsAtMost": self.rows_at_most,
            "statementsAtMost": self.statements_at_most,
            "byResolvers": list(self.resolved),
            "levels": [level.shown() for level in self.levels],
        }


def explained(plan: Plan, run: Run) -> Explanation:
    """How a plan answers one request; raises what is wrong with its arguments."""
    levels = tuple(level for key, root in plan.roots.items() for level in _of_root(key, root, run))
    resolved = tuple(key for key in plan.rest.nodes if key not in plan.roots and key not in plan.constants)
    return Explanation(levels, resolved, plan.rows_at_most, plan.statements_at_most)


def _of_root(key: str, root: Root, run: Run) -> Iterator[Level]:
    match root:
        case ListRoot():
            yield _of_list(key, root.lists, run)
        case KeyRoot():
            yield _of_rows(key, root.view, (root.ask(run),), run)
        case IdRoot():
            yield from _of_things(key, root.things, root.things.by_prefix(root.keys(run)), run)
        case NamedRoot():
            yield from _of_things(key, root.things, dict.fromkeys(root.things.views, SOME_KEY), run)


def _of_child(path: str, child: Child, run: Run) -> Iterator[Level]:
    path = f"{path}.{child.label}"
    match child:
        case OneChild():
            yield from _of_things(path, child.things, dict.fromkeys(child.things.views, SOME_KEY), run)
        case ManyChild():
            yield _of_list(path, child.lists, run)
        case PlainChild():
            below = tuple(_below(path, child.view, run))
            if child.found is not None:
                yield Level(path, child.kind, child.rows, (), (child.found.ask(SOME_KEY, run),), below)
            else:
                yield from below


def _of_things(path: str, things: Things, ids: Mapping[str, Sequence[str]], run: Run) -> Iterator[Level]:
    for prefix, wanted in ids.items():
        yield _of_rows(path, things.views[prefix], (things.ask(prefix, wanted, run),), run)


def _of_rows(path: str, view: RowView, statements: tuple[Statement, ...], run: Run) -> Level:
    kind, columns = view.rowset.kind.name, tuple(view.rowset.at)
    return Level(path, kind, view.rows, columns, statements, tuple(_below(path, view, run)))


def _of_list(path: str, lists: Lists, run: Run) -> Level:
    """A list is read once, however many of `nodes` and `edges` show its rows."""
    asked = lists.asked(run)
    asks: list[Statement | None] = []
    if lists.reads_rows:
        asks += lists.ask_near(asked, run), lists.ask_page(asked, run, SOME_KEY)
    if lists.counts:
        asks.append(lists.ask_count(asked, run, SOME_KEY))
    statements = tuple(statement for statement in asks if statement is not None)
    below = tuple(level for view in lists.views for level in _below(path, view, run))
    rows = max((view.rows for view in lists.views), default=0)
    return Level(path, lists.rowset.kind.name, rows, tuple(lists.rowset.at), statements, below)


def _below(path: str, view: View, run: Run) -> Iterator[Level]:
    for child in view.children:
        yield from _of_child(path, child, run)
