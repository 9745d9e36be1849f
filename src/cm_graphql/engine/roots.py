"""Root fields of plans, where reading begins, and plans as wholes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)
from sqlalchemy import String, bindparam

from cm_graphql.engine.arguments import Arguments, Make, variables_in
from cm_graphql.engine.plan import (
    Ask,
    Lists,
    Object,
    RowView,
    Run,
    Statement,
    Things,
    Unplanned,
    reading,
)
from cm_graphql.fields.declare import PREFIXES, Acts
from cm_graphql.store.direct import Extent

if TYPE_CHECKING:
    from cm_graphql.engine.telling import Teller

KEY: Final = "key"
"""The name of the parameter that takes the key of a single row."""


class Root:
    """A root field of a query."""

    scopes: frozenset[str] = frozenset()
    """What a caller must be allowed to do; whoever is not goes the ordinary way, to be told where and why."""

    def answer(self, run: Run) -> Ask:
        """Its value."""
        raise AssertionError("made by the kinds of roots")


@dataclass
class SingleRoot(Root):
    """A root field that may ask for one thing by its id."""

    arguments: Arguments
    name: str
    """That of the argument which holds the id."""
    things: Things

    def only(self, run: Run) -> str | None:
        """The id of the only thing that is asked for, if that is how; raises GraphQLError for a malformed one."""
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

    read: Callable[[str], str]
    """Checks an id; the bare digits may get their prefix."""
    most: int | None
    """For a list of ids, how many there may be; None asks for one."""

    def answer(self, run: Run) -> Ask:
        """The object of the id, or the objects of the ids; null where nothing has one."""
        keys = self.keys(run)
        found = yield from self.things.objects(keys, run)
        if any(key.partition("_")[0] not in PREFIXES for key in keys):
            raise Unplanned
        objects = [found.get(key) for key in keys]
        return objects[0] if self.most is None else objects

    def only(self, run: Run) -> str | None:
        """The id of the only thing that is asked for, if it is of a kind that there is."""
        if self.most is not None:
            return None
        (key,) = self.keys(run)
        return key if key.partition("_")[0] in PREFIXES else None

    def keys(self, run: Run) -> list[str]:
        """The ids asked for in a request."""
        given = run.arguments(self.arguments)[self.name]
        if self.most is None:
            return [self.read(given)]
        if len(given) > self.most:
            raise Unplanned
        return [self.read(key) for key in given]


@dataclass
class KeyRoot(SingleRoot):
    """A thing asked for by its id or its number."""

    view: RowView
    """How it is shown, as among `things`."""
    number: str
    read: Callable[[str], tuple[str | None, str | None]]

    def answer(self, run: Run) -> Ask:
        """The object of the key, or null."""
        rows = yield self.ask(run)
        if not rows:
            return None
        objects = yield from self.view.objects(rows, run)
        return objects[0]

    def ask(self, run: Run) -> Statement:
        """The statement that reads the thing."""
        found, text = self._key(run)
        column = self.view.rowset.kind.sources[self.number if found is None else "id"]
        key = found or text or ""
        return run.ask(
            (self.things.identity, found is None),
            lambda: reading(self.view, column == bindparam(KEY, key, String()), run),
            values={KEY: key},
        )

    def only(self, run: Run) -> str | None:
        """The id of the thing, unless it is asked for by its number."""
        return self._key(run)[0]

    def _key(self, run: Run) -> tuple[str | None, str | None]:
        return self.read(run.arguments(self.arguments)[self.name])


@dataclass
class NamedRoot(Root):
    """Things in the payload of a mutation: those whose ids its outcomes have by name."""

    key: str
    """The key of the mutation's root field."""
    name: str
    things: Things

    def answer(self, run: Run) -> Ask:
        """The object of each id; nothing when another root field of the document was carried out."""
        mutated = run.mutated
        ids = [] if mutated is None or mutated.key != self.key else mutated.ids(self.name)
        return self.things.objects(ids, run)


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
        found = [name for node in (self.operation, *self.fragments) for name in variables_in(node)]
        # The only variable stands where it is defined, and there.
        return len(found) == 2 and isinstance(root.arguments.given[root.name], VariableNode)


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
    tellers: "dict[bool, Teller | None]" = field(default_factory=dict)
    """For callers who are limited to accounts, and for others: what tells all of a payload, if that can be."""
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
