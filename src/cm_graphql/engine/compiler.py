"""Compiles an operation to a plan, from the declarations that the resolvers are made of too.

Selections are collected by graphql-core's own functions, so that fragments, aliases and merged fields come out as they
do there. Where a field has no declaration, `Unplanned` says that the operation goes the ordinary way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_object_type,
)
from graphql.execution.collect_fields import (
    FieldDetails,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues
from sqlalchemy import ColumnElement
from strawberry.types.field import StrawberryField

from cm_graphql.engine.declare import NAMES, PREFIXES, Derived, Embedded, NodeType, One, Stored
from cm_graphql.engine.ids import id_of, kind_of, read_key
from cm_graphql.engine.pages import Slice, write_cursor
from cm_graphql.engine.plan import (
    Child,
    IdRoot,
    KeyRoot,
    ListRoot,
    Lists,
    ManyChild,
    OneChild,
    PageOf,
    Plan,
    Rest,
    Root,
    Row,
    Rowset,
    Shape,
    Site,
    Unplanned,
    View,
)
from cm_graphql.engine.raw import leaf, python_values
from cm_graphql.engine.resolve import ById, ByKey, ListSpec

Details = Sequence[FieldDetails]

MOST_ROWS = 1_000_000
"""Where counting what page sizes multiply to stops: more is no different."""

MOST_VIEWS = 500
"""Kinds of objects, each at its place, that one operation may have planned. A field of an interface has one for each
type, so that a document of a few kilobytes could ask for tens of thousands."""
TOKENS_OF_A_VIEW = 16
"""What a view takes in memory, measured against a token of a parsed document; a field takes about one."""

_NUMBERS = count()
"""Numbers the places that make statements, over all operations: statements are kept by them."""


@dataclass
class Compiler:
    """Compiles one operation for one kind of database."""

    schema: GraphQLSchema
    dialect: Any
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    variables: VariableValues
    """Only those in @skip and @include matter here; they are part of the plan's key."""
    _rows: int = 0
    _statements: int = 0
    _fields: int = 0
    _views: int = 0
    _scopes: set[str] = field(default_factory=set)

    def plan(self) -> Plan:
        """The plan of the operation: of those of its root fields that can be planned."""
        root_type = cast(GraphQLObjectType, self.schema.query_type)
        collected = collect_fields(self.schema, self.fragments, self.variables, root_type, self.operation)
        roots: dict[str, Root] = {}
        constants: dict[str, Any] = {}
        for key, details in collected.grouped_field_set.items():
            name = details[0].node.name.value
            self._fields += 1
            if name == "__typename":
                constants[key] = root_type.name
                continue
            self._scopes = set()
            try:
                roots[key] = self._root(self._field(root_type, name), details)
            except Unplanned:
                continue
            roots[key].scopes = frozenset(self._scopes)
        nodes = {key: [one.node for one in details] for key, details in collected.grouped_field_set.items()}
        rest = Rest(self.operation, [fragment.definition for fragment in self.fragments.values()], nodes)
        return Plan(roots, constants, rest, self._rows, self._statements, self._fields + TOKENS_OF_A_VIEW * self._views)

    # --- roots --------------------------------------------------------------------------------------------------------

    def _root(self, graphql_field: GraphQLField, details: Details) -> Root:
        site = Site(graphql_field, details[0].node)
        declared = _declared(graphql_field)
        if isinstance(declared, ListSpec):
            return ListRoot(self._lists(declared, site, details, 1))
        if isinstance(declared, ByKey):
            kind: NodeType = NAMES[declared.target].__node__
            view = self._view(Rowset(kind), self._type(kind.name), details, 1)
            return KeyRoot(site, view, declared.number, next(_NUMBERS), lambda key: read_key(key, kind.prefix))
        if isinstance(declared, ById):
            kinds = (
                PREFIXES
                if declared.target == "Node"
                else {p: k for p, k in PREFIXES.items() if k.name == declared.target}
            )
            views = {p: self._view(Rowset(k), self._type(k.name), details, 1) for p, k in kinds.items()}
            prefixes = list(kinds)
            read: Callable[[str], str] = _checked if declared.target == "Node" else (lambda key: id_of(key, *prefixes))
            return IdRoot(site, declared.argument, views, next(_NUMBERS), read, declared.most)
        raise Unplanned

    # --- objects ------------------------------------------------------------------------------------------------------

    def _view(self, rowset: Rowset, object_type: GraphQLObjectType, details: Details, rows: int) -> View:
        """How rows become objects of what is selected below these fields."""
        self._needs(rowset.kind)
        self._count(rows)
        self._statements += 1
        self._views += 1
        if self._views > MOST_VIEWS:
            raise Unplanned
        code = _Code()
        entries = self._entries(rowset, object_type, details, code, rows)
        return View(rowset, code.shape(entries), code.children)

    def _entries(
        self, rowset: Rowset, object_type: GraphQLObjectType, details: Details, code: "_Code", rows: int
    ) -> str:
        """The source of a dictionary of the selected fields."""
        collected = collect_subfields(
            self.schema, self.fragments, self.variables, self.operation, object_type, list(details)
        )
        parts = []
        for key, inner in collected.grouped_field_set.items():
            name = inner[0].node.name.value
            self._fields += 1
            if name == "__typename":
                parts.append(f"{key!r}: {object_type.name!r}")
            else:
                parts.append(f"{key!r}: {self._value(rowset, self._field(object_type, name), inner, code, rows)}")
        return "{" + ", ".join(parts) + "}"

    def _value(self, rowset: Rowset, graphql_field: GraphQLField, details: Details, code: "_Code", rows: int) -> str:
        """The source of one field's value, of the row `r`."""
        declared = _declared(graphql_field)
        name = _python_name(graphql_field)
        if declared is None and name == "id":
            return "r[0]"
        match declared:
            case Stored():
                return self._stored(rowset, name, declared, graphql_field, details, code)
            case Derived():
                source = declared.expression(rowset.kind.table)
                return self._leaf(rowset, f"derived_{name}", source, code)
            case Embedded():
                target = cast(GraphQLObjectType, get_named_type(graphql_field.type))
                return self._entries(rowset, target, details, code, rows)
            case One():
                return self._one(rowset, declared.key or f"{name}_id", graphql_field, details, code, rows)
            case ListSpec():
                lists = self._lists(declared, Site(graphql_field, details[0].node), details, rows)
                return f"{code.child(ManyChild(lists))}[r[0]]"
        raise Unplanned

    def _stored(
        self,
        rowset: Rowset,
        name: str,
        declared: Stored,
        graphql_field: GraphQLField,
        details: Details,
        code: "_Code",
    ) -> str:
        value = self._leaf(rowset, name, rowset.kind.sources[name], code)
        if declared.shown is None:
            return value
        shown = code.constant(declared.shown)
        currency = f", r[{rowset.stored('currency')}]" if declared.with_currency else ""
        value = f"{shown}({value}{currency})"
        named = get_named_type(graphql_field.type)
        if is_leaf_type(named):
            return value
        return f"{code.constant(self._plain(graphql_field.type, details))}({value})"

    def _leaf(self, rowset: Rowset, label: str, source: ColumnElement[Any], code: "_Code") -> str:
        at = rowset.index(label, source)
        currency = rowset.stored("currency") if "currency" in rowset.kind.sources else None
        return leaf(
            source.type, self.dialect.name, f"r[{at}]", None if currency is None else f"r[{currency}]", code.constant
        )

    def _one(
        self, rowset: Rowset, key: str, graphql_field: GraphQLField, details: Details, code: "_Code", rows: int
    ) -> str:
        at = rowset.stored(key)
        named = get_named_type(graphql_field.type)
        named_kind = {p: k for p, k in PREFIXES.items() if k.name == named.name}
        kinds = named_kind if is_object_type(named) else PREFIXES
        views = {p: self._view(Rowset(k), self._type(k.name), details, rows) for p, k in kinds.items()}
        child = code.child(OneChild(at, views, next(_NUMBERS)))
        # A missing row under a non-null field is an error with a path, which graphql-core words.
        return f"{child}[r[{at}]]" if isinstance(graphql_field.type, GraphQLNonNull) else f"{child}.get(r[{at}])"

    def _plain(self, type_: Any, details: Details) -> Callable[[Any], Any]:
        """How to show an object, or a list of them, that stands ready in Python."""
        if isinstance(type_, GraphQLNonNull):
            return self._plain(type_.of_type, details)
        if is_list_type(type_):
            one = self._plain(cast(Any, type_).of_type, details)
            return lambda values: None if values is None else [one(value) for value in values]
        object_type = cast(GraphQLObjectType, type_)
        collected = collect_subfields(
            self.schema, self.fragments, self.variables, self.operation, object_type, list(details)
        )
        getters: list[tuple[str, str | None, Any]] = []
        for key, inner in collected.grouped_field_set.items():
            name = inner[0].node.name.value
            if name == "__typename":
                getters.append((key, None, object_type.name))
                continue
            graphql_field = self._field(object_type, name)
            definition = _definition(graphql_field)
            if (
                definition is None
                or definition.base_resolver is not None
                or not is_leaf_type(get_named_type(graphql_field.type))
            ):
                raise Unplanned
            serialize = cast(Any, get_named_type(graphql_field.type)).serialize
            getters.append((key, definition.python_name, serialize))

        def show(value: Any) -> Any:
            if value is None:
                return None
            return {
                key: extra if name is None else _serialized(getattr(value, name), extra) for key, name, extra in getters
            }

        return show

    # --- lists --------------------------------------------------------------------------------------------------------

    def _lists(self, spec: ListSpec, site: Site, details: Details, rows: int) -> Lists:
        connection = cast(GraphQLObjectType, get_named_type(site.field.type))
        self._needs(spec.node_type)
        rowset = Rowset(spec.node_type)
        rows = min(rows * (_literal_size(site.node) or spec.most_rows), MOST_ROWS)
        page = _Connection(self, rowset, self._type(spec.node_type.name), rows)
        shape = page.shape(connection, details)
        self._statements += page.counts
        values = python_values(spec.node_type, self.dialect)

        def cursor(row: Row, wanted: Slice, start: int) -> str:
            return write_cursor(spec.node_type, wanted.orders, values(row[start:], wanted.orders))

        return Lists(site, spec, rowset, page.views, shape, page.reads_rows, page.counts, next(_NUMBERS), cursor)

    # --- the schema ---------------------------------------------------------------------------------------------------

    def _needs(self, kind: NodeType) -> None:
        if kind.scope is not None:
            self._scopes.add(kind.scope)

    def _count(self, rows: int) -> None:
        self._rows = min(self._rows + rows, MOST_ROWS)

    def _type(self, name: str) -> GraphQLObjectType:
        return cast(GraphQLObjectType, self.schema.type_map[name])

    def _field(self, object_type: GraphQLObjectType, name: str) -> GraphQLField:
        found: GraphQLField | None = object_type.fields.get(name)
        if found is None:
            raise Unplanned  # introspection
        return found

    def subfields(self, object_type: GraphQLObjectType, details: Details) -> dict[str, Details]:
        """What is selected of an object, by response key."""
        collected = collect_subfields(
            self.schema, self.fragments, self.variables, self.operation, object_type, list(details)
        )
        return cast(dict[str, Details], collected.grouped_field_set)


class _Connection:
    """Compiles what is selected of a connection."""

    def __init__(self, compiler: Compiler, rowset: Rowset, node_type: GraphQLObjectType, rows: int) -> None:
        self._compiler = compiler
        self._rowset = rowset
        self._node_type = node_type
        self._rows = rows
        self.views: list[View] = []
        self.reads_rows = False
        self.counts = False

    def shape(self, connection: GraphQLObjectType, details: Details) -> Callable[[PageOf], dict[str, Any]]:
        """How a page becomes the connection's object."""
        makers: list[tuple[str, Callable[[PageOf], Any]]] = []
        for key, inner in self._compiler.subfields(connection, details).items():
            makers.append((key, self._field(connection, inner)))
        return lambda page: {key: make(page) for key, make in makers}

    def _field(self, connection: GraphQLObjectType, details: Details) -> Callable[[PageOf], Any]:
        name = details[0].node.name.value
        match name:
            case "__typename":
                return lambda page: connection.name
            case "totalCount":
                self.counts = True
                return lambda page: page.total
            case "pageInfo":
                self.reads_rows = True
                return self._page_info(connection, details)
            case "nodes":
                number = self._nodes(details)
                return lambda page: page.objects[number]
            case "edges":
                return self._edges(connection, details)
        raise Unplanned

    def _nodes(self, details: Details) -> int:
        self.reads_rows = True
        self.views.append(self._compiler._view(self._rowset, self._node_type, details, self._rows))
        return len(self.views) - 1

    def _edges(self, connection: GraphQLObjectType, details: Details) -> Callable[[PageOf], Any]:
        self.reads_rows = True
        edge = cast(GraphQLObjectType, get_named_type(connection.fields["edges"].type))
        makers: list[tuple[str, Callable[[PageOf, int], Any]]] = []
        for key, inner in self._compiler.subfields(edge, details).items():
            match inner[0].node.name.value:
                case "__typename":
                    makers.append((key, lambda page, i: edge.name))
                case "cursor":
                    makers.append((key, lambda page, i: page.cursor(page.rows[i])))
                case "node":
                    number = self._nodes(inner)
                    makers.append((key, lambda page, i, number=number: page.objects[number][i]))  # type: ignore[misc]
                case _:
                    raise Unplanned
        return lambda page: [{key: make(page, i) for key, make in makers} for i in range(len(page.rows))]

    def _page_info(self, connection: GraphQLObjectType, details: Details) -> Callable[[PageOf], Any]:
        info = cast(GraphQLObjectType, get_named_type(connection.fields["pageInfo"].type))
        fields = ("hasNextPage", "hasPreviousPage", "startCursor", "endCursor")
        wanted: list[tuple[str, int]] = []
        for key, inner in self._compiler.subfields(info, details).items():
            name = inner[0].node.name.value
            wanted.append((key, -1 if name == "__typename" else fields.index(name)))

        def show(page: PageOf) -> dict[str, Any]:
            values = page.info()
            return {key: info.name if at < 0 else values[at] for key, at in wanted}

        return show


class _Code:
    """Gathers what generated code refers to, and makes the function of it."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._names: dict[str, Any] = {}

    def constant(self, value: Any) -> str:
        """A name for a value in the code."""
        name = f"c{len(self._names)}"
        self._names[name] = value
        return name

    def child(self, child: Child) -> str:
        """A name for the answers of a child."""
        self.children.append(child)
        return f"k{len(self.children) - 1}"

    def shape(self, entries: str) -> Shape:
        """The function that makes the objects of rows; response keys are in it as quoted literals only."""
        lines = ["def shape(rows, answers):"]
        if self.children:
            names = ", ".join(f"k{i}" for i in range(len(self.children)))
            lines.append(f"    {names}, = answers")
        lines.append(f"    return [{entries} for r in rows]")
        namespace = dict(self._names)
        exec("\n".join(lines), namespace)  # noqa: S102 - made of literals, places and names that we chose
        return cast(Shape, namespace["shape"])


def _definition(graphql_field: GraphQLField) -> StrawberryField | None:
    extensions: Any = getattr(graphql_field, "extensions", None)
    return cast(StrawberryField | None, extensions.get("strawberry-definition") if extensions else None)


def _declared(graphql_field: GraphQLField) -> Any:
    definition = _definition(graphql_field)
    return None if definition is None else cast(dict[str, Any], definition.metadata).get("declared")


def _python_name(graphql_field: GraphQLField) -> str:
    definition = _definition(graphql_field)
    if definition is None:
        raise Unplanned
    return definition.python_name


def _serialized(value: Any, serialize: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [_serialized(inner, serialize) for inner in value]
    return None if value is None else serialize(value)


def _literal_size(node: FieldNode) -> int | None:
    """The page size, where it stands in the document itself."""
    for argument in node.arguments or ():
        if argument.name.value in ("first", "last") and isinstance(argument.value, IntValueNode):
            return int(argument.value.value)
    return None


def _checked(value: str) -> str:
    kind_of(value)
    return value
