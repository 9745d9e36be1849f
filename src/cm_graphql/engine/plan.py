"""Plans: an operation as a tree of statements and of functions that shape their rows into the answer.

A plan is compiled once per text of an operation (`compiler`) and then run for each request: every level is one
statement for all parents at once, every object is made by generated code from the columns really asked for. A root
field that a plan cannot answer exactly as graphql-core would, errors above all, it does not answer: that field takes
the ordinary way, through resolvers.
"""

from collections.abc import Callable, Collection, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from sys import getsizeof
from typing import Any, Final, TypeAlias

from graphql.execution.values import VariableValues
from sqlalchemy import ColumnElement, Select, and_, select

from cm_graphql.engine.arguments import Arguments, Convert
from cm_graphql.fields.declare import NodeType
from cm_graphql.fields.filters import all_of
from cm_graphql.fields.loaders import Loaders
from cm_graphql.fields.pages import Chosen, Slice, count, counts, near, page, pages, shown, write_cursor
from cm_graphql.fields.resolve import Asked, ListSpec
from cm_graphql.store.lists import ACCOUNTS, KEYS, among
from cm_graphql.store.prepared import Statements

Row: TypeAlias = Sequence[Any]
Rows: TypeAlias = list[Any]
Object: TypeAlias = dict[str, Any]

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL and its parameters."""

Ask: TypeAlias = Generator[Statement, Rows, Any]
"""How a plan runs: it yields statements with their parameters and is sent the rows."""

NO_VALUES: Mapping[str, Any] = {}

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

    def arguments(self, of: Arguments) -> dict[str, Any]:
        """The arguments of a field in this request."""
        return of.in_request(self.variables, self.convert)

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

    def ids(self, name: str) -> list[str]:
        """The ids that stand under a name."""
        named = (outcome.get(name) for outcome in self.outcomes)
        listed = chain.from_iterable(value if isinstance(value, list) else [value] for value in named)
        return [one for one in listed if isinstance(one, str)]


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


@dataclass
class Things:
    """How things are found by their ids."""

    views: dict[str, RowView]
    """Per prefix of the ids how such a thing is shown."""
    identity: int

    def objects(self, ids: Collection[str], run: Run) -> Ask:
        """The object of each id that something visible has."""
        found: dict[str, Object] = {}
        for prefix, wanted in self.by_prefix(ids).items():
            view = self.views[prefix]
            rows = yield self.ask(prefix, wanted, run)
            objects = yield from view.objects(rows, run)
            found.update((row[0], made) for row, made in zip(rows, objects, strict=True))
        return found

    def by_prefix(self, ids: Collection[str]) -> dict[str, list[str]]:
        """Those of the ids that can be found here, each once and in order."""
        unique = set(ids)
        parted = {prefix: sorted(key for key in unique if key.startswith(f"{prefix}_")) for prefix in self.views}
        return {prefix: keys for prefix, keys in parted.items() if keys}

    def ask(self, prefix: str, ids: Sequence[str], run: Run) -> Statement:
        """The statement that reads things of one kind."""
        view = self.views[prefix]
        column = view.rowset.kind.table.c.id
        return run.ask((self.identity, prefix), lambda: reading(view, among(run.dialect, column, ()), run), ids)


def reading(view: RowView, where: ColumnElement[bool], run: Run) -> Select[Any]:
    """What reads those of a view's rows that this caller is shown."""
    rowset = view.rowset
    return select(*shown(rowset.columns, rowset.texts)).where(and_(where, run.loaders.visible(rowset.kind)))


class Child:
    """What a level asks for beneath itself: answers by key for all of its rows."""

    label = ""
    """The key in the answer."""

    def answers(self, rows: Rows, run: Run) -> Ask:
        """Per key what belongs to it."""
        raise AssertionError("made by the kinds of children")


@dataclass
class OneChild(Child):
    """The rows that a column of ids points to, or an attribute of objects."""

    key: Callable[[Row], str | None]
    things: Things

    def answers(self, rows: Rows, run: Run) -> Ask:
        """The object of each id; an id of an unknown kind, or that nothing visible has, is missing."""
        return self.things.objects({key for key in map(self.key, rows) if key is not None}, run)


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

        def shown_of(value: Any) -> Any:
            if isinstance(value, list):
                return [next(objects) for _ in value]
            return None if value is None else next(objects)

        return {row[0]: shown_of(value) for row, value in zip(rows, values, strict=True)}


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

    arguments: Arguments
    spec: ListSpec
    rowset: Rowset
    chosen: Chosen
    """What is read of each row; of what pages are sorted by only if cursors are shown."""
    views: list[RowView]
    """Edges and nodes can select differently of the same rows."""
    shape: Callable[..., dict[str | None, Object]]
    """Makes the connections' objects: of parents, the rows of each, and per view the objects of each; the parents that
    have more, the totals, the slice that is wanted, and what makes the cursor of a row."""
    reads_rows: bool
    counts: bool
    identity: int
    converters: Mapping[str, Callable[[Any], Any] | None]
    """By the field that a list is sorted by, what turns its raw values into Python's, which cursors are made of."""
    kept: dict[Hashable, Asked] = field(default_factory=dict)
    """What was asked of it lately, by what decides it, wherever its pages began."""

    def asked(self, run: Run) -> Asked:
        """What is asked of the list in this request."""
        deciding = self.arguments.decided_by(run.variables)
        known = None if deciding is None else self.kept.get(deciding)
        if known is not None:
            cursors = {name: run.variables.coerced.get(given) for name, given in self.arguments.cursors.items()}
            if all(cursor is None for cursor in cursors.values()):
                return known  # which had none either
            return Asked(self.spec.moved(known.wanted, cursors), known.filter, known.values)
        found = self.spec.asked(**run.arguments(self.arguments))
        if deciding is not None and all(getsizeof(value) <= LONGEST_KEPT for value in deciding):
            if len(self.kept) >= MOST_KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[deciding] = found
        return found

    def page(self, asked: Asked, run: Run) -> Ask:
        """The rows of a page of the whole table, and whether there are more."""
        soon = self.ask_near(asked, run)
        rows: Rows = [] if soon is None else (yield soon)
        if len(rows) <= asked.wanted.limit:
            rows = yield self.ask_page(asked, run)
        return asked.wanted.kept(rows)

    def ask_near(self, asked: Asked, run: Run) -> Statement | None:
        """The statement that finds a page of a table if it is full soon, where finding it otherwise takes care."""
        if run.dialect != "sqlite" or self.spec.by is not None:
            return None
        kind, chosen = self.rowset.kind, self.chosen
        return run.find(
            (self.identity, asked.shape, "near"),
            lambda: near(kind, self._where(asked, run), asked.wanted, chosen),
            values=asked.parameters,
        )

    def ask_page(self, asked: Asked, run: Run, parents: Sequence[str] = ()) -> Statement:
        """The statement of a page of the whole table, or of one for each parent."""
        kind, by, wanted, chosen = self.rowset.kind, self.spec.by, asked.wanted, self.chosen

        def made() -> Select[Any]:
            where = self._where(asked, run)
            if by is None:
                return page(run.dialect, kind, where, wanted, chosen)
            return pages(run.dialect, kind, by, (), where, wanted, chosen)

        return run.ask((self.identity, asked.shape, "page"), made, parents, asked.parameters)

    def ask_count(self, asked: Asked, run: Run, parents: Sequence[str] = ()) -> Statement:
        """The statement that counts the whole table, or the rows of each parent."""
        kind, by = self.rowset.kind, self.spec.by

        def made() -> Select[Any]:
            where = self._where(asked, run)
            return count(kind, where) if by is None else counts(run.dialect, kind, by, (), where)

        return run.ask((self.identity, asked.shape, "count"), made, parents, asked.parameters)

    def _where(self, asked: Asked, run: Run) -> ColumnElement[bool]:
        """The condition of the rows that this caller is shown."""
        return all_of(self.spec.where_of(asked), run.loaders.visible(self.rowset.kind))

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
        cursor_of = self._cursor_of(wanted) if self.chosen.cursors else None
        return self.shape(found, pages_, shown, more, totals, wanted, cursor_of)

    def _cursor_of(self, wanted: Slice) -> Callable[[Row], str]:
        """What makes the cursor of a row."""
        kind, orders = self.spec.node_type, wanted.orders
        converters = [self.converters[term.field] for term in orders]
        terms = list(zip(self.chosen.places(orders), converters, strict=True))

        def cursor_of(row: Row) -> str:
            values = [row[place] if convert is None else convert(row[place]) for place, convert in terms]
            return write_cursor(kind, orders, values)

        return cursor_of


def _parted(objects: list[Object], pages: list[Rows]) -> list[list[Object]]:
    """The objects of the rows of all pages, page by page."""
    parted, start = [], 0
    for rows in pages:
        end = start + len(rows)
        parted.append(objects[start:end])
        start = end
    return parted


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
            for row in (yield lists.ask_page(asked, run, parents)):
                grouped[row[-1]].append(row)
        totals: dict[str, int] = dict.fromkeys(parents, 0)
        if lists.counts and parents:
            totals.update((yield lists.ask_count(asked, run, parents)))
        wanted = asked.wanted
        more = {parent for parent, found in grouped.items() if len(found) > wanted.limit}
        if more or wanted.backwards:
            grouped = {parent: wanted.kept(found)[0] for parent, found in grouped.items()}
        return (yield from lists.objects(grouped, more, totals, wanted, run))
