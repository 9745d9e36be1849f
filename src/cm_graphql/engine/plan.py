"""Plans: an operation as a tree of statements and of functions that shape their rows into the answer.

A plan is compiled once per text of an operation (`compiler`) and then run for each request: every level is one
statement for all parents at once, every object is made by generated code from the columns really asked for. A root
field that a plan cannot answer exactly as graphql-core would, errors above all, it does not answer: that field takes
the ordinary way, through resolvers.
"""

from collections.abc import Callable, Collection, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from sys import getsizeof
from typing import Any, Final, TypeAlias

from graphql import FieldNode, GraphQLField
from graphql.execution.values import VariableValues, get_argument_values
from sqlalchemy import ColumnElement, Select, String, Table, and_, bindparam, select, true
from sqlalchemy.sql.visitors import iterate

from cm_graphql.engine.arguments import Convert, UsualArguments
from cm_graphql.fields.declare import NodeType, Order
from cm_graphql.fields.filters import all_of, named
from cm_graphql.fields.loaders import Loaders
from cm_graphql.fields.pages import Chosen, Slice, count, counts, near, page, pages, shown, write_cursor
from cm_graphql.fields.resolve import Asked, ListSpec
from cm_graphql.store.lists import ACCOUNTS, KEYS, among
from cm_graphql.store.prepared import Statements
from cm_graphql.store.types import JsonText

Row: TypeAlias = Sequence[Any]
Rows: TypeAlias = list[Any]
Object: TypeAlias = dict[str, Any]

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL and its parameters."""

Ask: TypeAlias = Generator[Statement, Rows, Any]
"""How a plan runs: it yields statements with their parameters and is sent the rows."""


NO_VALUES: Mapping[str, Any] = {}

KEY: Final = "key"
"""The name of the parameter that takes the key of a single row."""

CURSORS: Final = ("after", "before")
"""Arguments of lists that differ from page to page."""

MOST_KEPT: Final = 4
"""Ways to ask for a list that are kept where it stands in a document."""

LONGEST_KEPT: Final = 200
"""Bytes of each value of a variable that decides such a way; what is longer is not kept."""


class Unplanned(Exception):
    """This root field, or this request of it, goes the ordinary way."""


@dataclass(slots=True)
class Run:
    """What one request brings to a plan."""

    dialect: str
    variables: VariableValues
    context: Any
    """The request's context, which computed fields take."""
    loaders: Loaders
    """Only asked for what the caller may see."""
    statements: Statements
    convert: Convert
    mutated: "Mutated | None" = None
    """The root field of a mutation that was just carried out; only its payload is read then."""

    def arguments(self, site: "Site") -> dict[str, Any]:
        """The arguments of a field in this request."""
        if not site.field.args:
            return {}
        found = site.usual.in_request(self.variables)
        if found is None:
            found = self.convert(site.field, get_argument_values(site.field, site.node, self.variables))
        return found

    def ask(
        self,
        key: tuple[Any, ...],
        make: Callable[[], Select[Any]],
        keys: Sequence[str] = (),
        values: Mapping[str, Any] = NO_VALUES,
    ) -> Statement:
        """A statement with its parameters; it is compiled when its key is asked for the first time."""
        found = self.find(key, make, keys, values)
        assert found is not None
        return found

    def find(
        self,
        key: tuple[Any, ...],
        make: Callable[[], Select[Any] | None],
        keys: Sequence[str] = (),
        values: Mapping[str, Any] = NO_VALUES,
    ) -> Statement | None:
        """The same, of what may have no statement."""
        limits = self.loaders.accounts
        given = {**values, KEYS: keys, ACCOUNTS: limits}
        found = self.statements.get((*key, limits is not None), make, given)
        return None if found is None else found.bound(given)


@dataclass(frozen=True)
class Mutated:
    """What a root field of a mutation has done."""

    key: str
    """The root field's key in the answer."""
    outcomes: Sequence[Mapping[str, Any]]
    """What is to be shown, by names: ids, lists of ids, or plain values."""

    def ids(self, name: str, prefix: str) -> list[str]:
        """The ids of one kind that stand under a name, in order."""
        found: set[str] = set()
        for outcome in self.outcomes:
            value = outcome.get(name)
            given = value if isinstance(value, list) else [value]
            found.update(one for one in given if isinstance(one, str) and one.startswith(f"{prefix}_"))
        return sorted(found)


@dataclass
class Site:
    """A place in a document where a field stands."""

    field: GraphQLField
    node: FieldNode

    @cached_property
    def usual(self) -> UsualArguments:
        """Its arguments, as far as they need no second look; made when they are asked for first."""
        return UsualArguments(self.field, self.node, CURSORS)


@dataclass
class Rowset:
    """The columns that one statement selects of a type's rows, each once; 0 is the id."""

    kind: NodeType
    columns: list[ColumnElement[Any]] = field(default_factory=list)
    at: dict[str, int] = field(default_factory=dict)
    texts: set[int] = field(default_factory=set)
    """The places of moments that are shown by the database."""

    def __post_init__(self) -> None:
        self.index("id", self.kind.sources["id"])

    def index(self, label: str, source: ColumnElement[Any]) -> int:
        """The place of a column in the rows."""
        if label not in self.at:
            self.at[label] = len(self.columns)
            self.columns.append(source.label(label))
        return self.at[label]

    def text(self, label: str, moment: ColumnElement[Any]) -> int:
        """The place of a moment as it is shown; the moment itself may have another one."""
        place = self.index(f"{label}_text", moment)
        self.texts.add(place)
        return place

    def stored(self, name: str) -> int:
        """The place of a stored field."""
        return self.index(name, self.kind.sources[name])


Shape: TypeAlias = Callable[[Rows, list[Mapping[str, Any]], Any], list[Object]]
"""Makes the objects of rows, given per child what belongs to each key, and the request's context."""


@dataclass
class View:
    """How rows, or objects that stand ready in Python, become the answer's objects of one selection."""

    shape: Shape
    children: list["Child"]

    def objects(self, rows: Rows, run: Run) -> Ask:
        """The objects of rows, in their order."""
        answers = []
        for child in self.children:
            answers.append((yield from child.answers(rows, run)))
        return self.shape(rows, answers, run.context)


@dataclass
class RowView(View):
    """A view of what one statement selects."""

    rowset: Rowset
    rows: int
    """How many rows there are at most, going by page sizes."""


class Child:
    """What a level asks for beneath itself: answers by key for all of its rows."""

    label = ""
    """The key in the answer."""

    def answers(self, rows: Rows, run: Run) -> Ask:
        """Per key what belongs to it."""
        raise AssertionError("made by the two kinds of children")


@dataclass
class OneChild(Child):
    """The rows that a column of ids points to, or an attribute of objects."""

    key: Callable[[Row], str | None]
    views: dict[str, RowView]
    """Per prefix of the ids how such a thing is shown."""
    identity: int

    def answers(self, rows: Rows, run: Run) -> Ask:
        """The object of each id; an id of an unknown kind, or that nothing visible has, is missing."""
        keys = {key for key in map(self.key, rows) if key is not None}
        found: dict[str, Any] = {}
        for prefix, view in self.views.items():
            wanted = sorted(key for key in keys if key.startswith(f"{prefix}_"))
            if wanted:
                found.update((yield from by_ids(view, (self.identity, prefix), wanted, run)))
        return found


def by_ids(view: RowView, identity: tuple[Any, ...], keys: Sequence[str], run: Run) -> Ask:
    """The object of each id that something visible has."""
    rows = yield ask_ids(view, identity, keys, run)
    objects = yield from view.objects(rows, run)
    return {row[0]: made for row, made in zip(rows, objects, strict=True)}


def ask_ids(view: RowView, identity: tuple[Any, ...], keys: Sequence[str], run: Run) -> Statement:
    """The statement that reads rows by their ids."""
    ids = view.rowset.kind.table.c.id
    return run.ask((*identity, "ids"), lambda: _reading(view, among(run.dialect, ids, ()), run), keys)


def ask_key(view: RowView, column: ColumnElement[Any], identity: tuple[Any, ...], key: str, run: Run) -> Statement:
    """The statement that reads the row in which a unique column is this key."""
    return run.ask(identity, lambda: _reading(view, column == bindparam(KEY, key, String()), run), values={KEY: key})


def _reading(view: RowView, where: ColumnElement[bool], run: Run) -> Select[Any]:
    """What reads those of a view's rows that this caller is shown."""
    rowset = view.rowset
    return select(*shown(rowset.columns, rowset.texts)).where(and_(where, run.loaders.visible(rowset.kind)))


def told_by(view: RowView, run: Run) -> str | None:
    """The table that alone tells a view's rows, if there is one, and all connections read them alike."""
    statement = _reading(view, true(), run)
    tables = {part.name for part in iterate(statement) if isinstance(part, Table)}
    texts = not any(isinstance(column.type, JsonText) for column in statement.selected_columns)
    return tables.pop() if texts and len(tables) == 1 else None


@dataclass
class PlainChild(Child):
    """Objects, or lists of them, that stand ready in Python for each row."""

    view: View
    kind: str
    """The GraphQL type of the objects."""
    rows: int
    """How many rows have them, at most."""
    value: Callable[[Row, Any], Any]
    """The object or list of a row, given the answers of `found`."""
    found: "Finding | None" = None

    def answers(self, rows: Rows, run: Run) -> Ask:
        """Per id of a row what its object, or its list, looks like."""
        found = None if self.found is None else (yield from self.found.rows(rows, run))
        values = [self.value(row, found) for row in rows]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value]) if one is not None]
        objects = iter((yield from self.view.objects(flat, run)))
        return {
            row[0]: [next(objects) for _ in value]
            if isinstance(value, list)
            else None
            if value is None
            else next(objects)
            for row, value in zip(rows, values, strict=True)
        }


@dataclass
class Finding:
    """A statement that finds something for many rows at once, beside their own columns."""

    statement: Callable[[str, Sequence[str]], Select[Any]]
    read: Callable[[Rows], Rows]
    """Turns rows as the driver gives them into what the declaration knows."""
    identity: int

    def rows(self, rows: Rows, run: Run) -> Ask:
        """Per id what was found, as a list."""
        grouped: dict[str, Rows] = {row[0]: [] for row in rows}
        if grouped:
            for row in self.read((yield self.ask(list(grouped), run))):
                grouped[row[0]].append(row)
        return grouped

    def ask(self, keys: Sequence[str], run: Run) -> Statement:
        """The statement for the ids of rows."""
        return run.ask((self.identity, "found"), lambda: self.statement(run.dialect, ()), keys)


@dataclass
class Lists:
    """A connection as selected: which of its fields, under which keys, and how its rows are shown."""

    site: Site
    spec: ListSpec
    rowset: Rowset
    chosen: Chosen
    """What is read of each row; of what pages are sorted by only if cursors are shown."""
    views: list[RowView]
    """Edges and nodes can select differently of the same rows."""
    shape: Callable[..., dict[str | None, Object]]
    """Makes the connections' objects: of parents, the rows of each, and per view the objects of each; the parents that
    have more, the totals, and the `Paging`."""
    reads_rows: bool
    counts: bool
    identity: int
    sorted_values: Callable[[Row, Sequence[Order]], list[Any]]
    """Turns raw values that a list is sorted by into Python's, which cursors are made of."""
    kept: "dict[Hashable, AskedOf]" = field(default_factory=dict)
    """What was asked of it lately, by what decides it, wherever its pages began."""

    def asked(self, run: Run) -> "AskedOf":
        """What is asked of the list in this request."""
        usual = self.site.usual
        deciding = usual.decided_by(run.variables)
        known = None if deciding is None else self.kept.get(deciding)
        if known is not None:
            if not usual.apart:
                return known
            cursors = {name: run.variables.coerced.get(variable) for name, variable in usual.apart.items()}
            return self._as(known.asked, self.spec.moved(known.wanted, cursors))
        asked = self.spec.asked(**run.arguments(self.site))
        found = self._as(asked, asked.wanted)
        if deciding is not None and all(getsizeof(value) <= LONGEST_KEPT for value in deciding):
            if len(self.kept) >= MOST_KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[deciding] = found
        return found

    def _as(self, asked: Asked, wanted: Slice) -> "AskedOf":
        key = (self.identity, asked.filter, wanted.shape)
        return AskedOf(asked, wanted, key, named(asked.values) | wanted.values)

    def where(self, asked: "AskedOf", run: Run) -> ColumnElement[bool]:
        """The condition of the rows that this caller is shown."""
        return all_of(self.spec.where_of(asked.asked), run.loaders.visible(self.rowset.kind))

    def page(self, asked: "AskedOf", run: Run) -> Ask:
        """The rows of a page of the whole table, and whether there are more."""
        soon = self.ask_near(asked, run)
        rows: Rows = [] if soon is None else (yield soon)
        if len(rows) <= asked.wanted.limit:
            rows = yield self.ask_page(asked, run)
        return kept_of(rows, asked.wanted)

    def ask_near(self, asked: "AskedOf", run: Run) -> Statement | None:
        """The statement that finds a page if it is full soon, where finding it otherwise takes care."""
        if run.dialect != "sqlite":
            return None
        kind = self.rowset.kind
        return run.find(
            (*asked.key, "near"),
            lambda: near(kind, self.where(asked, run), asked.wanted, self.chosen),
            values=asked.values,
        )

    def ask_page(self, asked: "AskedOf", run: Run) -> Statement:
        """The statement of one page of the whole table."""
        kind = self.rowset.kind
        return run.ask(
            (*asked.key, "page"),
            lambda: page(run.dialect, kind, self.where(asked, run), asked.wanted, self.chosen),
            values=asked.values,
        )

    def ask_count(self, asked: "AskedOf", run: Run) -> Statement:
        """The statement that counts the whole table."""
        return run.ask(
            (*asked.key, "count"), lambda: count(self.rowset.kind, self.where(asked, run)), values=asked.values
        )

    def ask_pages(self, asked: "AskedOf", parents: Sequence[str], run: Run) -> Statement:
        """The statement of one page for each parent."""
        kind, by = self.rowset.kind, self.spec.by
        assert by is not None
        return run.ask(
            (*asked.key, "pages"),
            lambda: pages(run.dialect, kind, by, (), self.where(asked, run), asked.wanted, self.chosen),
            parents,
            asked.values,
        )

    def ask_counts(self, asked: "AskedOf", parents: Sequence[str], run: Run) -> Statement:
        """The statement that counts the rows of each parent."""
        kind, by = self.rowset.kind, self.spec.by
        assert by is not None
        return run.ask(
            (*asked.key, "counts"),
            lambda: counts(run.dialect, kind, by, (), self.where(asked, run)),
            parents,
            asked.values,
        )

    def objects(
        self,
        found: Mapping[Any, Rows],
        more: Collection[Any],
        totals: Mapping[Any, int],
        wanted: Slice,
        run: Run,
    ) -> Ask:
        """The connection of each parent, given the rows of its page; None is the parent of a whole table."""
        pages_ = list(found.values())
        shown = []
        for view in self.views:
            objects = yield from view.objects(list(chain.from_iterable(pages_)), run)
            shown.append(_parted(objects, pages_))
        return self.shape(found, pages_, shown, more, totals, Paging(self, wanted))


def _parted(objects: list[Object], pages: list[Rows]) -> list[list[Object]]:
    """The objects of the rows of all pages, page by page."""
    parted, start = [], 0
    for rows in pages:
        end = start + len(rows)
        parted.append(objects[start:end])
        start = end
    return parted


@dataclass(frozen=True, slots=True)
class AskedOf:
    """A list as one request asks for it."""

    asked: Asked
    wanted: Slice
    key: tuple[Any, ...]
    """What its statements depend on."""
    values: Mapping[str, Any]
    """The values in its statements, by the names of their parameters."""


@dataclass(frozen=True, slots=True)
class Paging:
    """What the pages of one list have in common in one request."""

    lists: Lists
    wanted: Slice

    def cursor(self, row: Row) -> str:
        """A row's cursor."""
        lists, orders = self.lists, self.wanted.orders
        raw = [row[place] for place in lists.chosen.places(orders)]
        return write_cursor(lists.spec.node_type, orders, lists.sorted_values(raw, orders))

    def has_next(self, more: bool) -> bool:
        """Whether more follows, as far as one can tell from having read one row more than asked."""
        return self.wanted.before is not None if self.wanted.backwards else more

    def has_previous(self, more: bool) -> bool:
        """Whether more precedes."""
        return more if self.wanted.backwards else self.wanted.after is not None


@dataclass
class ManyChild(Child):
    """The rows that point back at a level's rows."""

    lists: Lists

    def answers(self, rows: Rows, run: Run) -> Ask:
        """The connection of each row's id."""
        lists = self.lists
        asked = lists.asked(run)
        grouped: dict[str, Rows] = {row[0]: [] for row in rows}
        parents = list(grouped)
        if lists.reads_rows and parents:
            for row in (yield lists.ask_pages(asked, parents, run)):
                grouped[row[-1]].append(row)
        totals: dict[str, int] = dict.fromkeys(parents, 0)
        if lists.counts and parents:
            totals.update((yield lists.ask_counts(asked, parents, run)))
        limit = asked.wanted.limit
        more = {parent for parent, found in grouped.items() if len(found) > limit}
        if more or asked.wanted.backwards:
            grouped = {parent: kept_of(found, asked.wanted)[0] for parent, found in grouped.items()}
        return (yield from lists.objects(grouped, more, totals, asked.wanted, run))


def kept_of(rows: Rows, wanted: Slice) -> tuple[Rows, bool]:
    """The rows of a page, and whether the one beyond it was found."""
    more = len(rows) > wanted.limit
    if more:
        rows = rows[: wanted.limit]
    if wanted.backwards:
        rows = rows[::-1]
    return rows, more
