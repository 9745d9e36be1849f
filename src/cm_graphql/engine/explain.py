"""Tells how a plan reads: its levels, with the columns, the statements and how many rows there can be."""

from collections.abc import Iterator, Mapping
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
    View,
    ask_ids,
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
            asked = root.lists.asked(run)
            soon = root.lists.ask_near(asked, run) if root.lists.reads_rows else None
            reads = [*([soon] if soon else []), *([root.lists.ask_page(asked, run)] if root.lists.reads_rows else [])]
            counts = [root.lists.ask_count(asked, run)] if root.lists.counts else []
            yield from _of_list(key, root.lists, (*reads, *counts), run)
        case KeyRoot():
            yield _of_rows(key, root.view, (root.ask(run),), run)
        case IdRoot():
            keys = root.keys(run)
            for prefix, view in root.views.items():
                wanted = [given for given in keys if given.startswith(f"{prefix}_")]
                if wanted:
                    yield _of_rows(key, view, (ask_ids(view, (root.identity, prefix), wanted, run),), run)
        case NamedRoot():
            for prefix, view in root.views.items():
                yield _of_rows(key, view, (ask_ids(view, (root.identity, prefix), SOME_KEY, run),), run)


def _of_child(path: str, child: Child, run: Run) -> Iterator[Level]:
    path = f"{path}.{child.label}"
    match child:
        case OneChild():
            for prefix, view in child.views.items():
                statement = ask_ids(view, (child.identity, prefix), SOME_KEY, run)
                yield _of_rows(path, view, (statement,), run)
        case ManyChild():
            asked = child.lists.asked(run)
            reads = [child.lists.ask_pages(asked, SOME_KEY, run)] if child.lists.reads_rows else []
            counts = [child.lists.ask_counts(asked, SOME_KEY, run)] if child.lists.counts else []
            yield from _of_list(path, child.lists, (*reads, *counts), run)
        case PlainChild():
            below = tuple(_below(path, child.view, run))
            if child.found is not None:
                yield Level(path, child.kind, child.rows, (), (child.found.ask(SOME_KEY, run),), below)
            else:
                yield from below


def _of_rows(path: str, view: RowView, statements: tuple[Statement, ...], run: Run) -> Level:
    kind, columns = view.rowset.kind.name, tuple(view.rowset.at)
    return Level(path, kind, view.rows, columns, statements, tuple(_below(path, view, run)))


def _of_list(path: str, lists: Lists, statements: tuple[Statement, ...], run: Run) -> Iterator[Level]:
    """A list is read once, however many of `nodes` and `edges` show its rows."""
    below = tuple(level for view in lists.views for level in _below(path, view, run))
    rows = max((view.rows for view in lists.views), default=0)
    yield Level(path, lists.rowset.kind.name, rows, tuple(lists.rowset.at), statements, below)


def _below(path: str, view: View, run: Run) -> Iterator[Level]:
    for child in view.children:
        yield from _of_child(path, child, run)
