"""Root fields of plans, where reading begins, and plans as wholes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    visit,
)

from cm_graphql.engine.arguments import Make
from cm_graphql.engine.plan import (
    Ask,
    Lists,
    Object,
    RowView,
    Run,
    Site,
    Statement,
    Unplanned,
    ask_key,
    by_ids,
)
from cm_graphql.fields.declare import PREFIXES, Acts
from cm_graphql.store.direct import Extent


class Root:
    """A root field of a query."""

    scopes: frozenset[str] = frozenset()
    """What a caller must be allowed to do; whoever is not goes the ordinary way, to be told where and why."""

    def answer(self, run: Run) -> Ask:
        """Its value."""
        raise AssertionError("made by the kinds of roots")


class SingleRoot(Root):
    """A root field that may ask for one thing by its id."""

    site: Site
    argument: str

    def only(self, run: Run) -> str | None:
        """The id of the only thing that is asked for, if that is how; raises GraphQLError for a malformed one."""
        raise AssertionError("made by the kinds of roots")

    def several(self, keys: Collection[str], run: Run) -> Ask:
        """By their ids, the objects of those of these things that there are."""
        raise AssertionError("made by the kinds of roots")


@dataclass
class ListRoot(Root):
    """A connection of a whole table."""

    lists: Lists

    def answer(self, run: Run) -> Ask:
        """The connection."""
        lists = self.lists
        asked = lists.asked(run)
        rows, more = (yield from lists.page(asked, run)) if lists.reads_rows else ([], False)
        total = (yield lists.ask_count(asked, run))[0][0] if lists.counts else 0
        made = yield from lists.objects({None: rows}, (None,) if more else (), {None: total}, asked.wanted, run)
        return made[None]


@dataclass
class IdRoot(SingleRoot):
    """Things asked for by ids: one, or several in order."""

    site: Site
    argument: str
    views: dict[str, RowView]
    identity: int
    read: Callable[[str], str]
    """Checks an id; the bare digits may get their prefix."""
    most: int | None = None
    """For a list of ids, how many there may be; None asks for one."""

    def answer(self, run: Run) -> Ask:
        """The object of the id, or the objects of the ids; null where nothing has one."""
        keys = self.keys(run)
        found = yield from self.several(keys, run)
        if any(key.partition("_")[0] not in PREFIXES for key in keys):
            raise Unplanned
        objects = [found.get(key) for key in keys]
        return objects[0] if self.most is None else objects

    def several(self, keys: Collection[str], run: Run) -> Ask:
        """By their ids, the objects of those of these things that there are."""
        found: dict[str, Any] = {}
        for prefix, view in self.views.items():
            wanted = sorted({key for key in keys if key.startswith(f"{prefix}_")})
            if wanted:
                found.update((yield from by_ids(view, (self.identity, prefix), wanted, run)))
        return found

    def only(self, run: Run) -> str | None:
        """The id of the only thing that is asked for, if it is of a kind that there is."""
        (key,) = self.keys(run) if self.most is None else ("",)
        return key if key.partition("_")[0] in PREFIXES else None

    def keys(self, run: Run) -> list[str]:
        """The ids asked for in a request."""
        given = run.arguments(self.site)[self.argument]
        if self.most is None:
            return [self.read(given)]
        if len(given) > self.most:
            raise Unplanned
        return [self.read(key) for key in given]


@dataclass
class KeyRoot(SingleRoot):
    """A thing asked for by its id or its number."""

    site: Site
    view: RowView
    number: str
    identity: int
    read: Callable[[str], tuple[str | None, str | None]]
    argument: str = "key"

    def answer(self, run: Run) -> Ask:
        """The object of the key, or null."""
        rows = yield self.ask(run)
        if not rows:
            return None
        objects = yield from self.view.objects(rows, run)
        return objects[0]

    def ask(self, run: Run) -> Statement:
        """The statement that reads the thing."""
        found, text = self.read(run.arguments(self.site)[self.argument])
        column = self.view.rowset.kind.sources[self.number if found is None else "id"]
        return ask_key(self.view, column, (self.identity, found is None), found or text or "", run)

    def only(self, run: Run) -> str | None:
        """The id of the thing, unless it is asked for by its number."""
        return self.read(run.arguments(self.site)[self.argument])[0]

    def several(self, keys: Collection[str], run: Run) -> Ask:
        """By their ids, the objects of those of these things that there are."""
        return by_ids(self.view, (self.identity,), sorted(keys), run)


@dataclass
class NamedRoot(Root):
    """Things in the payload of a mutation: those whose ids its outcomes have by name."""

    key: str
    """The key of the mutation's root field."""
    name: str
    views: dict[str, RowView]
    identity: int

    def answer(self, run: Run) -> Ask:
        """The object of each id; nothing when another root field of the document was carried out."""
        found: dict[str, Any] = {}
        if run.mutated is None or run.mutated.key != self.key:
            return found
        for prefix, view in self.views.items():
            wanted = run.mutated.ids(self.name, prefix)
            if wanted:
                found.update((yield from by_ids(view, (self.identity, prefix), wanted, run)))
        return found


@dataclass(frozen=True)
class Rest:
    """The root fields of an operation, of which some are left to resolvers."""

    operation: OperationDefinitionNode
    fragments: list[FragmentDefinitionNode]
    nodes: dict[str, list[FieldNode]]
    """The selections of each root field, by its key in the answer and in its order."""

    def document(self, keys: Collection[str]) -> DocumentNode:
        """A document that asks for these root fields only; its nodes keep their places, which errors tell."""
        selected = SelectionSetNode(selections=tuple(node for key in keys for node in self.nodes[key]))
        whole = self.operation
        operation = OperationDefinitionNode(
            operation=whole.operation,
            name=whole.name,
            variable_definitions=whole.variable_definitions,
            directives=whole.directives,
            selection_set=selected,
            loc=whole.loc,
        )
        return DocumentNode(definitions=(operation, *self.fragments))

    def varies_only_in(self, root: SingleRoot) -> bool:
        """Whether all that a request says beside its document is the argument of this root field."""
        variables = _Variables()
        for node in (self.operation, *self.fragments):
            visit(node, variables)
        given = [one.value for one in root.site.node.arguments or () if one.name.value == root.argument]
        # The only variable stands where it is defined, and there.
        return variables.found == 2 and isinstance(given[0], VariableNode)


class _Variables(Visitor):
    """Counts the places where variables stand."""

    found = 0

    def enter_variable(self, *_args: Any) -> None:
        """Count one."""
        self.found += 1


@dataclass(frozen=True, slots=True)
class Change:
    """How the only root field of a mutation is carried out without resolvers."""

    key: str
    """The root field's key in the answer."""
    declared: Acts
    command: Make
    """Makes the command of the coerced variables; Undefined where resolvers have to look at them."""
    scopes: frozenset[str]
    """What a caller must be allowed to do, to do it and to read all of it."""
    shape: Callable[[Mapping[str, Mapping[str, Object]], Mapping[str, Any], Any, Sequence[tuple[Any, Any]]], Object]
    """Makes the payload of what was found, by place and by id, of the outcome and the faults, and of those of each
    element; a KeyError where something was not found, of which resolvers may know more."""


@dataclass
class Plan:
    """An operation of which some root fields, or fields of a mutation's payloads, can be answered without resolvers."""

    roots: dict[str, Root]
    """By their keys; what stands in a payload by its place, such as `applyCreditMemo.creditMemo`."""
    constants: dict[str, Any]
    """Root fields that are the same for everybody, as `__typename`."""
    rest: Rest
    rows_at_most: int
    """An upper bound of the rows one run reads, from the page sizes."""
    statements_at_most: int
    """An upper bound of the statements of one run; what SQLite may be asked twice of a page counts once."""
    weight: int
    """What it takes in memory, in tokens of a parsed document."""
    scopes: frozenset[str] = frozenset()
    """What a caller must be allowed to do to read all of it."""
    change: Change | None = None
    """How it is carried out, where it is a mutation that needs no resolver for anything."""
    is_whole: bool = field(init=False)
    """Whether nothing is left to resolvers, as far as one can tell before it runs."""
    single: SingleRoot | None = field(init=False)
    """The only root field, where requests differ in nothing but the id that it is asked for."""
    long_runs: int = 0
    """How many of the next runs should not be made at once, since one took too long."""
    told_by: dict[bool, str | None] = field(default_factory=dict)
    """For callers who are limited to accounts, and for others: the table whose one row tells all of a payload."""
    extent: Extent = field(default_factory=Extent)
    """How far its last run went."""

    def __post_init__(self) -> None:
        self.is_whole = bool(self.roots) and len(self.roots) + len(self.constants) == len(self.rest.nodes)
        root = next(iter(self.roots.values()), None)
        self.single = None
        if self.is_whole and len(self.roots) == 1 and isinstance(root, SingleRoot) and self.rest.varies_only_in(root):
            self.single = root

    def in_order(self, data: Object) -> Object:
        """The whole answer, given what is not the same for everybody."""
        if not self.constants:
            return data
        data.update(self.constants)
        return {key: data[key] for key in self.rest.nodes}

    def run(self, run: Run) -> Ask:
        """What the planned fields answer; one that is missing has to be asked of resolvers."""
        data: Object = {}
        for key, root in self.roots.items():
            if not run.loaders.may(root.scopes):
                continue
            try:
                data[key] = yield from root.answer(run)
            except (Unplanned, GraphQLError, KeyError):
                # An error has a path and words, which resolvers know. A KeyError is a row that is missing under a
                # non-null field.
                continue
        return data
