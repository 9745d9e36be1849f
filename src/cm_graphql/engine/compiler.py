"""Compiles an operation to a plan, from the declarations that the resolvers are made of too.

Selections are collected by graphql-core's own functions, so that fragments, aliases and merged fields come out as they
do there. Where a field has no declaration, `Unplanned` says that the operation goes the ordinary way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from operator import attrgetter, itemgetter
from typing import Any, cast

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    get_nullable_type,
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

from cm_graphql.engine.arguments import Arguments
from cm_graphql.engine.code import Code
from cm_graphql.engine.plan import (
    Finding,
    Lists,
    ManyChild,
    Object,
    OneChild,
    PlainChild,
    Row,
    Rowset,
    RowView,
    Things,
    Unplanned,
    View,
)
from cm_graphql.engine.raw import is_read_as_text, leaf
from cm_graphql.engine.roots import Change, IdRoot, KeyRoot, ListRoot, NamedRoot, Plan, Rest, Root
from cm_graphql.fields.declare import (
    NAMES,
    PREFIXES,
    Acts,
    Computed,
    Derived,
    Elements,
    Embedded,
    Index,
    Loaded,
    Named,
    NodeType,
    One,
    Refused,
    Stored,
)
from cm_graphql.fields.ids import id_of, kind_of, read_key
from cm_graphql.fields.pages import Chosen
from cm_graphql.fields.resolve import ById, ByKey, ListSpec
from cm_graphql.store.statements import converter, rows_of

Details = Sequence[FieldDetails]

MOST_ROWS = 1_000_000
"""Where counting what page sizes multiply to stops: more is no different."""

MOST_VIEWS = 500
"""Kinds of objects, each at its place, that one operation may have planned. A field of an interface has one for each
type, so that a document of a few kilobytes could ask for tens of thousands."""

MOST_OBJECTS = 100
"""Objects in a list that stands ready in a row, for the estimate of what a plan reads."""

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
    statements: int = 0
    _fields: int = 0
    _views: int = 0
    _scopes: set[str] = field(default_factory=set)

    def plan(self) -> Plan:
        """The plan of the operation: of what can be planned of a query's root fields, or of a mutation's payloads."""
        is_query = self.operation.operation is OperationType.QUERY
        root_type = cast(GraphQLObjectType, self.schema.query_type if is_query else self.schema.mutation_type)
        collected = collect_fields(self.schema, self.fragments, self.variables, root_type, self.operation)
        candidates: dict[str, Callable[[], Root]] = {}
        constants: dict[str, Any] = {}
        for key, details in collected.grouped_field_set.items():
            name = _name(details)
            self._fields += 1
            if name == "__typename":
                constants[key] = root_type.name
            elif is_query:
                candidates[key] = partial(self._root, root_type, details)
            else:
                candidates.update(self._payload(key, key, root_type, details))
        roots: dict[str, Root] = {}
        for place, make in candidates.items():
            self._scopes = set()
            try:
                roots[place] = make()
            except Unplanned:
                continue
            roots[place].scopes = frozenset(self._scopes)
        nodes = {key: [one.node for one in details] for key, details in collected.grouped_field_set.items()}
        rest = Rest(self.operation, [fragment.definition for fragment in self.fragments.values()], nodes)
        change = None if is_query else self._change(root_type, collected.grouped_field_set, roots)
        weight = self._fields + TOKENS_OF_A_VIEW * self._views
        scopes = frozenset(scope for root in roots.values() for scope in root.scopes)
        return Plan(roots, constants, rest, self._rows, self.statements, weight, scopes, change)

    # --- roots --------------------------------------------------------------------------------------------------------

    def _root(self, root_type: GraphQLObjectType, details: Details) -> Root:
        graphql_field = self._field(root_type, details)
        declared = _declared(graphql_field)
        if isinstance(declared, ListSpec):
            return ListRoot(self.lists(declared, graphql_field, details, 1))
        if not isinstance(declared, ById | ByKey):
            raise Unplanned
        arguments = Arguments(graphql_field, details[0].node)
        if isinstance(declared, ByKey):
            kind: NodeType = NAMES[declared.target].__node__
            view = self.row_view(Rowset(kind), details, 1)
            things = Things({kind.prefix: view}, next(_NUMBERS))
            return KeyRoot(arguments, "key", things, view, declared.number, lambda key: read_key(key, kind.prefix))
        things = self.things(graphql_field, details, 1)
        prefixes = list(things.views)
        read: Callable[[str], str] = _checked if declared.target == "Node" else (lambda key: id_of(key, *prefixes))
        return IdRoot(arguments, declared.argument, things, read, declared.most)

    def _payload(
        self, key: str, place: str, parent: GraphQLObjectType, details: Details, rows: int = 1
    ) -> Iterator[tuple[str, Callable[[], Root]]]:
        """What may be planned below a field of a mutation: things that its outcome names, at their places."""
        if _name(details) == "__typename":
            return
        graphql_field = self._field(parent, details)
        declared, named = _declared(graphql_field), get_named_type(graphql_field.type)
        if not is_object_type(named):
            return
        if is_list_type(get_nullable_type(graphql_field.type)):
            rows *= MOST_OBJECTS
        if isinstance(declared, Named):
            yield place, lambda: NamedRoot(key, declared.name, self.things(graphql_field, details, rows))
        elif declared is None or isinstance(declared, Acts | Elements):
            for label, inner in self.subfields(named, details).items():
                yield from self._payload(key, f"{place}.{label}", named, inner, rows)

    def _change(
        self, root_type: GraphQLObjectType, fields: Mapping[str, Details], roots: Mapping[str, Root]
    ) -> Change | None:
        """How a mutation is carried out without resolvers: one that does one thing, and of which all is planned."""
        acting = [(key, details) for key, details in fields.items() if _name(details) != "__typename"]
        if len(acting) != 1:
            return None
        ((key, details),) = acting
        graphql_field, node = self._field(root_type, details), details[0].node
        declared = _declared(graphql_field)
        if not isinstance(declared, Acts):
            return None
        (argument,), (given,) = graphql_field.args.values(), node.arguments or ()
        command = declared.command(argument.type, given.value)
        if command is None:
            return None
        code, payload = Code(), cast(GraphQLObjectType, get_named_type(graphql_field.type))
        try:
            entries = self.entries(_OfOutcome(self, code, key, roots).value, payload, details)
        except Unplanned:
            return None
        if code.children:
            return None  # what is to be read of a fault
        scopes = frozenset(declared.scopes).union(*(root.scopes for root in roots.values()))
        return Change(key, declared, command, scopes, code.function("found, outcome, faults, elements", entries))

    # --- objects ------------------------------------------------------------------------------------------------------

    def row_view(self, rowset: Rowset, details: Details, rows: int) -> RowView:
        """How at most so many rows become objects of what is selected below these fields."""
        self.needs(rowset.kind.scope)
        self._rows = min(self._rows + rows, MOST_ROWS)
        self.statements += 1
        object_type = cast(GraphQLObjectType, self.schema.type_map[rowset.kind.name])
        view = self.view(_OfRow(self, Code(), rows, rowset), object_type, details)
        return RowView(view.shape, view.children, rowset, rows)

    def view(self, source: "_OfRow | _OfObject", object_type: GraphQLObjectType, details: Details) -> View:
        """How what the source is of becomes objects of what is selected below these fields."""
        self._views += 1
        if self._views > MOST_VIEWS:
            raise Unplanned
        entries = self.entries(source.value, object_type, details)
        return View(source.code.shape(entries), source.code.children)

    def entries(
        self, value: Callable[[GraphQLField, Details], str], object_type: GraphQLObjectType, details: Details
    ) -> str:
        """The source of a dictionary of the selected fields, given what makes the source of a field's value."""
        parts = []
        for key, inner in self.subfields(object_type, details).items():
            self._fields += 1
            is_name = _name(inner) == "__typename"
            source = repr(object_type.name) if is_name else value(self._field(object_type, inner), inner)
            parts.append(f"{key!r}: {source}")
        return "{" + ", ".join(parts) + "}"

    def things(self, field: GraphQLField, inner: Details, rows: int) -> Things:
        """How at most so many things are found by their ids and shown: of an interface those of all kinds."""
        named = get_named_type(field.type)
        kinds = [k for k in PREFIXES.values() if k.name == named.name] if is_object_type(named) else PREFIXES.values()
        views = {kind.prefix: self.row_view(Rowset(kind), inner, rows) for kind in kinds}
        return Things(views, next(_NUMBERS))

    def lists(self, spec: ListSpec, field: GraphQLField, details: Details, rows: int) -> Lists:
        """How a connection is read, of each of at most so many rows."""
        connection, node = cast(GraphQLObjectType, get_named_type(field.type)), details[0].node
        kind = spec.node_type
        self.needs(kind.scope)
        rowset = Rowset(kind)
        page = _OfConnection(self, rowset, min(rows * _page_size(node, spec), MOST_ROWS))
        shape = page.shape(connection, details)
        self.statements += page.counts
        sorted_by = {"id", *kind.sorts, *(term.field for term in kind.order)} if page.cursors else ()
        converters = {name: converter(kind.sources[name].type, self.dialect) for name in sorted_by}
        chosen = Chosen(rowset.columns, rowset.at, page.cursors, rowset.texts)
        arguments, identity = Arguments(field, node), next(_NUMBERS)
        return Lists(
            arguments, spec, rowset, chosen, page.views, shape, page.reads_rows, page.counts, identity, converters
        )

    # --- the schema ---------------------------------------------------------------------------------------------------

    def needs(self, scope: str | None) -> None:
        """Note what a caller must be allowed to do."""
        if scope is not None:
            self._scopes.add(scope)

    def _field(self, object_type: GraphQLObjectType, details: Details) -> GraphQLField:
        found: GraphQLField | None = object_type.fields.get(_name(details))
        if found is None:
            raise Unplanned  # introspection
        return found

    def subfields(self, object_type: GraphQLObjectType, details: Details) -> dict[str, Details]:
        """What is selected of an object, by response key."""
        collected = collect_subfields(
            self.schema, self.fragments, self.variables, self.operation, object_type, list(details)
        )
        return cast(dict[str, Details], collected.grouped_field_set)


@dataclass
class _Source:
    """Compiles fields of objects, of which there are at most so many: gives the source of each field's value."""

    compiler: Compiler
    code: Code
    rows: int

    def one(self, key: Callable[[Any], Any], source: str, field: GraphQLField, inner: Details) -> str:
        """The source of the row whose id `source` is the source of, and `key` takes from a row or object."""
        child = self.code.child(OneChild(key, self.compiler.things(field, inner, self.rows)), _key(inner))
        # A missing row under a non-null field is an error with a path, which graphql-core words.
        return f"{child}[{source}]" if isinstance(field.type, GraphQLNonNull) else f"{child}.get({source})"


@dataclass
class _OfRow(_Source):
    """Compiles fields of a row `r` of a rowset."""

    rowset: Rowset

    def value(self, field: GraphQLField, inner: Details) -> str:
        """The source of one field's value."""
        declared, name, rowset = _declared(field), _definition(field).python_name, self.rowset
        if declared is None and name == "id":
            return "r[0]"
        match declared:
            case Stored():
                return self._stored(name, declared, field, inner)
            case Derived():
                return self._leaf(f"derived_{name}", declared.expression(rowset.kind.table), self.code)
            case Embedded():
                target = cast(GraphQLObjectType, get_named_type(field.type))
                return self.compiler.entries(self.value, target, inner)
            case One():
                at = rowset.stored(declared.key or f"{name}_id")
                return self.one(itemgetter(at), f"r[{at}]", field, inner)
            case ListSpec():
                lists = self.compiler.lists(declared, field, inner, self.rows)
                return f"{self.code.child(ManyChild(lists), _key(inner))}[r[0]]"
            case Computed():
                needs = ", ".join(f"r[{rowset.stored(needed)}]" for needed in declared.needs)
                return f"{self.code.constant(declared.of)}(context, {needs})"
            case Loaded():
                return self._loaded(declared, field, inner)
        raise Unplanned

    def _stored(self, name: str, declared: Stored, field: GraphQLField, inner: Details) -> str:
        is_leaf = is_leaf_type(get_named_type(field.type))
        # What is shown of a value can be an object, or a list of them; then it is made before the answer's objects.
        code = self.code if is_leaf else Code()
        value = self._leaf(name, self.rowset.kind.sources[name], code)
        if declared.shown is not None:
            currency = f", r[{self.rowset.stored('currency')}]" if declared.with_currency else ""
            value = f"{code.constant(declared.shown)}({value}{currency})"
        return value if is_leaf else self._plain(code.function("r, found", value), field, inner)

    def _loaded(self, declared: Loaded, field: GraphQLField, inner: Details) -> str:
        compiler, kind = self.compiler, self.rowset.kind
        compiler.needs(declared.scope)
        compiler.statements += 1
        places = [self.rowset.stored(needed) for needed in declared.needs]
        converters = [converter(kind.sources[needed].type, compiler.dialect) for needed in declared.needs]
        statement = declared.statement(compiler.dialect.name, ())
        finding = Finding(declared.statement, rows_of(statement, compiler.dialect), next(_NUMBERS))

        def value(row: Row, found: Any) -> Any:
            given = (row[at] if make is None else make(row[at]) for at, make in zip(places, converters, strict=True))
            return declared.of(found[row[0]], *given)

        return self._plain(value, field, inner, finding)

    def _plain(
        self, make: Callable[[Row, Any], Any], field: GraphQLField, inner: Details, finding: Finding | None = None
    ) -> str:
        """The source of an object, or of a list of them, that `make` has ready in Python for a row."""
        object_type = get_named_type(field.type)
        if not is_object_type(object_type):
            raise Unplanned
        source = _OfObject(self.compiler, Code(), min(self.rows * MOST_OBJECTS, MOST_ROWS))
        view = self.compiler.view(source, object_type, inner)
        child = PlainChild(view, object_type.name, self.rows, make, finding)
        return f"{self.code.child(child, _key(inner))}[r[0]]"

    def _leaf(self, label: str, source: ColumnElement[Any], code: Code) -> str:
        rowset, dialect = self.rowset, self.compiler.dialect.name
        at = rowset.text(label, source) if is_read_as_text(source.type, dialect) else rowset.index(label, source)
        currency = f"r[{rowset.stored('currency')}]" if "currency" in rowset.kind.sources else None
        return leaf(source, dialect, f"r[{at}]", currency, code)


@dataclass
class _OfObject(_Source):
    """Compiles fields of an object `r` that stands ready in Python."""

    def value(self, field: GraphQLField, inner: Details) -> str:
        """The source of one field's value."""
        declared, definition = _declared(field), _definition(field)
        if isinstance(declared, One):
            assert declared.key is not None
            return self.one(attrgetter(declared.key), f"r.{declared.key}", field, inner)
        named = get_named_type(field.type)
        if definition.base_resolver is not None or not is_leaf_type(named):
            raise Unplanned
        return _serializing(f"r.{definition.python_name}", named, self.code)


@dataclass
class _OfOutcome:
    """Compiles fields of a payload, of the `outcome` of an action, of what was `found` of it, and of its `faults`; of a
    bulk action each of the `elements` has those.
    """

    compiler: Compiler
    code: Code
    place: str
    """Where the payload, or the element of it, stands in the answer."""
    roots: Mapping[str, Root]

    def value(self, field: GraphQLField, inner: Details) -> str:
        """The source of one field's value."""
        declared, named = _declared(field), cast(Any, get_named_type(field.type))
        place = f"{self.place}.{_key(inner)}"
        if isinstance(declared, Refused) and is_object_type(named):
            of_fault = _OfObject(self.compiler, self.code, MOST_OBJECTS)
            entries = self.compiler.entries(of_fault.value, named, inner)
            return f"[{entries} for r in {self.code.constant(declared.of)}(faults)]"
        if isinstance(declared, Elements):
            of_element = _OfOutcome(self.compiler, self.code, place, self.roots)
            entries = self.compiler.entries(of_element.value, named, inner)
            return f"[{entries} for index, (outcome, faults) in enumerate(elements)]"
        if isinstance(declared, Index):
            return "index"
        if not isinstance(declared, Named):
            raise Unplanned
        value = f"outcome.get({declared.name!r})"
        if is_leaf_type(get_nullable_type(field.type)):
            return _serializing(value, named, self.code)
        if place not in self.roots:
            raise Unplanned
        return f"{self.code.constant(_things)}(found, {place!r}, {value})"


@dataclass
class _OfConnection:
    """Compiles fields of a connection. Its parent `p` has `rows`, and their objects for each view `o0`, `o1` and so on;
    there may be `more`, there are `totals`, and `cursor_of` makes a row's cursor.
    """

    compiler: Compiler
    rowset: Rowset
    rows: int
    views: list[RowView] = field(default_factory=list)
    reads_rows: bool = False
    counts: bool = False
    cursors: bool = False

    def shape(self, connection: GraphQLObjectType, details: Details) -> Callable[..., dict[Any, Any]]:
        """The function that makes the connections' objects of the pages of all parents."""
        entries = self.compiler.entries(self._value, connection, details)
        objects = "".join(f", o{i}" for i in range(len(self.views)))
        value = f"{{p: {entries} for p, rows{objects} in zip(parents, pages, *objects)}}"
        return Code().function("parents, pages, objects, more, totals, wanted, cursor_of", value)

    def _value(self, field: GraphQLField, inner: Details) -> str:
        object_type, name = get_named_type(field.type), _name(inner)
        if name == "totalCount":
            self.counts = True
            return "totals[p]"
        self.reads_rows = True
        if name == "nodes":
            return self._nodes(inner)
        if name == "edges" and is_object_type(object_type):
            return f"[{self.compiler.entries(self._edge, object_type, inner)} for i, row in enumerate(rows)]"
        if name == "pageInfo" and is_object_type(object_type):
            return self.compiler.entries(self._page_info, object_type, inner)
        raise Unplanned

    def _edge(self, _field: GraphQLField, inner: Details) -> str:
        if _name(inner) == "node":
            return f"{self._nodes(inner)}[i]"
        self.cursors = True
        return "cursor_of(row)"

    def _page_info(self, _field: GraphQLField, inner: Details) -> str:
        source = _PAGE_INFO[_name(inner)]
        self.cursors = self.cursors or "cursor_of" in source
        return source

    def _nodes(self, details: Details) -> str:
        self.views.append(self.compiler.row_view(self.rowset, details, self.rows))
        return f"o{len(self.views) - 1}"


_PAGE_INFO = {
    "hasNextPage": "wanted.has_next(p in more)",
    "hasPreviousPage": "wanted.has_previous(p in more)",
    "startCursor": "(cursor_of(rows[0]) if rows else None)",
    "endCursor": "(cursor_of(rows[-1]) if rows else None)",
}
"""The source of each field of a page."""


def _name(details: Details) -> str:
    return details[0].node.name.value


def _key(details: Details) -> str:
    node = details[0].node
    return (node.alias or node.name).value


def _definition(graphql_field: GraphQLField) -> StrawberryField:
    found: StrawberryField | None = graphql_field.extensions.get("strawberry-definition")
    if found is None:
        raise Unplanned  # a field of federation's
    return found


def _declared(graphql_field: GraphQLField) -> Any:
    return cast(dict[str, Any], _definition(graphql_field).metadata).get("declared")


def _serializing(source: str, type_: Any, code: Code) -> str:
    """The source of a value of a leaf type, or of a list of them, as it is shown."""
    return f"{code.constant(_serialized)}({source}, {code.constant(type_.serialize)})"


def _serialized(value: Any, serialize: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [_serialized(inner, serialize) for inner in value]
    return None if value is None else serialize(value)


def _things(found: Mapping[str, Mapping[str, Object]], place: str, value: Any) -> Any:
    """The thing of an id, or those of a list of ids; a KeyError where one was not found at its place."""
    if value is None:
        return None
    things = found[place]
    return [things[key] for key in value] if isinstance(value, list) else things[value]


def _page_size(node: FieldNode, spec: ListSpec) -> int:
    """How many rows a page has at most, as far as the document tells."""
    for argument in node.arguments or ():
        if argument.name.value in ("first", "last"):
            # A variable can be anything that is allowed.
            return int(argument.value.value) if isinstance(argument.value, IntValueNode) else spec.many.most
    return spec.many.page


def _checked(value: str) -> str:
    kind_of(value)
    return value
