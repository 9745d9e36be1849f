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
    Site,
    Unplanned,
    View,
)
from cm_graphql.engine.raw import is_read_as_text, leaf, python_values
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
            name = details[0].node.name.value
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
        graphql_field = self._field(root_type, details[0].node.name.value)
        site = Site(graphql_field, details[0].node)
        declared = _declared(graphql_field)
        if isinstance(declared, ListSpec):
            return ListRoot(self.lists(declared, site, details, 1))
        if isinstance(declared, ByKey):
            kind: NodeType = NAMES[declared.target].__node__
            view = self.row_view(Rowset(kind), details, 1)
            return KeyRoot(site, view, declared.number, next(_NUMBERS), lambda key: read_key(key, kind.prefix))
        if isinstance(declared, ById):
            views = self._views_of(graphql_field, details, 1)
            prefixes = list(views)
            read: Callable[[str], str] = _checked if declared.target == "Node" else (lambda key: id_of(key, *prefixes))
            return IdRoot(site, declared.argument, views, next(_NUMBERS), read, declared.most)
        raise Unplanned

    def _payload(
        self, key: str, place: str, parent: GraphQLObjectType, details: Details, rows: int = 1
    ) -> Iterator[tuple[str, Callable[[], Root]]]:
        """What may be planned below a field of a mutation: things that its outcome names, at their places."""
        graphql_field = parent.fields.get(details[0].node.name.value)
        declared = None if graphql_field is None else _declared(graphql_field)
        named = None if graphql_field is None else get_named_type(graphql_field.type)
        if graphql_field is None or not is_object_type(named):
            return
        if is_list_type(get_nullable_type(graphql_field.type)):
            rows *= MOST_OBJECTS
        if isinstance(declared, Named):
            yield place, partial(self._named, key, declared.name, graphql_field, details, rows)
        elif declared is None or isinstance(declared, Acts | Elements):
            for label, inner in self.subfields(named, details).items():
                yield from self._payload(key, f"{place}.{label}", named, inner, rows)

    def _named(self, key: str, name: str, graphql_field: GraphQLField, details: Details, rows: int) -> Root:
        return NamedRoot(key, name, self._views_of(graphql_field, details, rows), next(_NUMBERS))

    def _change(
        self, root_type: GraphQLObjectType, fields: Mapping[str, Details], roots: Mapping[str, Root]
    ) -> Change | None:
        """How a mutation is carried out without resolvers: one that does one thing, and of which all is planned."""
        acting = [(key, details) for key, details in fields.items() if details[0].node.name.value != "__typename"]
        if len(acting) != 1:
            return None
        ((key, details),) = acting
        graphql_field, node = self._field(root_type, details[0].node.name.value), details[0].node
        declared = _declared(graphql_field)
        if not isinstance(declared, Acts):
            return None
        (argument,), (given,) = graphql_field.args.values(), node.arguments or ()
        command = declared.command(argument.type, given.value)
        if command is None:
            return None
        code, payload = Code(), cast(GraphQLObjectType, get_named_type(graphql_field.type))
        try:
            entries = self.entries(_OfOutcome(self, key, roots), payload, details, code)
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
        view = self._view(_OfRow(self, rowset, rows), self._type(rowset.kind.name), details)
        return RowView(view.shape, view.children, rowset, rows)

    def _view(self, source: "_OfRow | _OfObject", object_type: GraphQLObjectType, details: Details) -> View:
        self._views += 1
        if self._views > MOST_VIEWS:
            raise Unplanned
        code = Code()
        return View(code.shape(self.entries(source, object_type, details, code)), code.children)

    def entries(
        self, source: "_OfRow | _OfObject | _OfOutcome", object_type: GraphQLObjectType, details: Details, code: Code
    ) -> str:
        """The source of a dictionary of the selected fields."""
        parts = []
        for key, inner in self.subfields(object_type, details).items():
            name = inner[0].node.name.value
            self._fields += 1
            value = (
                repr(object_type.name)
                if name == "__typename"
                else source.value(self._field(object_type, name), inner, code)
            )
            parts.append(f"{key!r}: {value}")
        return "{" + ", ".join(parts) + "}"

    def one(
        self, key: Callable[[Any], Any], source: str, field: GraphQLField, inner: Details, code: Code, rows: int
    ) -> str:
        """The source of the row whose id `source` is the source of, and `key` takes from a row or object."""
        child = code.child(OneChild(key, self._views_of(field, inner, rows), next(_NUMBERS)), _key(inner))
        # A missing row under a non-null field is an error with a path, which graphql-core words.
        return f"{child}[{source}]" if isinstance(field.type, GraphQLNonNull) else f"{child}.get({source})"

    def _views_of(self, field: GraphQLField, inner: Details, rows: int) -> dict[str, RowView]:
        """How at most so many things are shown, by the prefixes of their ids: of an interface those of all kinds."""
        named = get_named_type(field.type)
        kinds = [k for k in PREFIXES.values() if k.name == named.name] if is_object_type(named) else PREFIXES.values()
        return {kind.prefix: self.row_view(Rowset(kind), inner, rows) for kind in kinds}

    def plain(
        self,
        make: Callable[[Row, Any], Any],
        field: GraphQLField,
        inner: Details,
        code: Code,
        rows: int,
        finding: Finding | None = None,
    ) -> str:
        """The source of an object, or of a list of them, that `make` has ready in Python for a row."""
        object_type = get_named_type(field.type)
        if not is_object_type(object_type):
            raise Unplanned
        view = self._view(_OfObject(self, min(rows * MOST_OBJECTS, MOST_ROWS)), object_type, inner)
        child = PlainChild(view, object_type.name, rows, make, finding)
        return f"{code.child(child, _key(inner))}[r[0]]"

    # --- lists --------------------------------------------------------------------------------------------------------

    def lists(self, spec: ListSpec, site: Site, details: Details, rows: int) -> Lists:
        connection = cast(GraphQLObjectType, get_named_type(site.field.type))
        self.needs(spec.node_type.scope)
        rowset = Rowset(spec.node_type)
        rows = min(rows * _page_size(site.node, spec), MOST_ROWS)
        page = _Connection(self, rowset, rows)
        shape = page.shape(connection, details)
        self.statements += page.counts
        values = python_values(spec.node_type, self.dialect)
        chosen = Chosen(rowset.columns, rowset.at, page.cursors, rowset.texts)
        identity = next(_NUMBERS)
        return Lists(site, spec, rowset, chosen, page.views, shape, page.reads_rows, page.counts, identity, values)

    # --- the schema ---------------------------------------------------------------------------------------------------

    def needs(self, scope: str | None) -> None:
        """Note what a caller must be allowed to do."""
        if scope is not None:
            self._scopes.add(scope)

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


class _OfRow:
    """Compiles fields of a row `r` of a rowset, of which there are at most so many."""

    def __init__(self, compiler: Compiler, rowset: Rowset, rows: int) -> None:
        self._compiler = compiler
        self._rowset = rowset
        self._rows = rows

    def value(self, field: GraphQLField, inner: Details, code: Code) -> str:
        """The source of one field's value."""
        declared, name, rowset = _declared(field), _python_name(field), self._rowset
        if declared is None and name == "id":
            return "r[0]"
        match declared:
            case Stored():
                return self._stored(name, declared, field, inner, code)
            case Derived():
                return self._leaf(f"derived_{name}", declared.expression(rowset.kind.table), code)
            case Embedded():
                target = cast(GraphQLObjectType, get_named_type(field.type))
                return self._compiler.entries(self, target, inner, code)
            case One():
                at = rowset.stored(declared.key or f"{name}_id")
                return self._compiler.one(itemgetter(at), f"r[{at}]", field, inner, code, self._rows)
            case ListSpec():
                lists = self._compiler.lists(declared, Site(field, inner[0].node), inner, self._rows)
                return f"{code.child(ManyChild(lists), _key(inner))}[r[0]]"
            case Computed():
                needs = ", ".join(f"r[{rowset.stored(needed)}]" for needed in declared.needs)
                return f"{code.constant(declared.of)}(context, {needs})"
            case Loaded():
                return self._loaded(declared, field, inner, code)
        raise Unplanned

    def _stored(self, name: str, declared: Stored, field: GraphQLField, inner: Details, code: Code) -> str:
        is_leaf = is_leaf_type(get_named_type(field.type))
        # What is shown of a value can be an object, or a list of them; then it is made before the answer's objects.
        place = code if is_leaf else Code()
        value = self._leaf(name, self._rowset.kind.sources[name], place)
        if declared.shown is not None:
            currency = f", r[{self._rowset.stored('currency')}]" if declared.with_currency else ""
            value = f"{place.constant(declared.shown)}({value}{currency})"
        if is_leaf:
            return value
        make = place.function("r, found", value)
        return self._compiler.plain(make, field, inner, code, self._rows)

    def _loaded(self, declared: Loaded, field: GraphQLField, inner: Details, code: Code) -> str:
        compiler, kind = self._compiler, self._rowset.kind
        compiler.needs(declared.scope)
        compiler.statements += 1
        places = [self._rowset.stored(needed) for needed in declared.needs]
        readers = [converter(kind.sources[needed].type, compiler.dialect) for needed in declared.needs]
        statement = declared.statement(compiler.dialect.name, ())
        finding = Finding(declared.statement, rows_of(statement, compiler.dialect), next(_NUMBERS))

        def value(row: Row, found: Any) -> Any:
            given = (row[at] if read is None else read(row[at]) for at, read in zip(places, readers, strict=True))
            return declared.of(found[row[0]], *given)

        return compiler.plain(value, field, inner, code, self._rows, finding)

    def _leaf(self, label: str, source: ColumnElement[Any], code: Code) -> str:
        rowset = self._rowset
        as_text = is_read_as_text(source.type, self._compiler.dialect.name)
        at = rowset.text(label, source) if as_text else rowset.index(label, source)
        currency = f"r[{rowset.stored('currency')}]" if "currency" in rowset.kind.sources else None
        return leaf(source, self._compiler.dialect.name, f"r[{at}]", currency, code.constant)


class _OfObject:
    """Compiles fields of an object `r` that stands ready in Python, of which there are at most so many."""

    def __init__(self, compiler: Compiler, objects: int) -> None:
        self._compiler = compiler
        self._objects = objects

    def value(self, field: GraphQLField, inner: Details, code: Code) -> str:
        """The source of one field's value."""
        declared, definition = _declared(field), _definition(field)
        if isinstance(declared, One):
            assert declared.key is not None
            key = declared.key
            return self._compiler.one(attrgetter(key), f"r.{key}", field, inner, code, self._objects)
        named = get_named_type(field.type)
        if definition is None or definition.base_resolver is not None or not is_leaf_type(named):
            raise Unplanned
        return f"{code.constant(_serialized)}(r.{definition.python_name}, {code.constant(named.serialize)})"


class _OfOutcome:
    """Compiles fields of a payload, of the `outcome` of an action, of what was `found` of it, and of its `faults`; of a
    bulk action each of the `elements` has those.
    """

    def __init__(self, compiler: Compiler, key: str, roots: Mapping[str, Root]) -> None:
        self._compiler = compiler
        self._key = key
        self._roots = roots

    def value(self, field: GraphQLField, inner: Details, code: Code) -> str:
        """The source of one field's value."""
        declared, named = _declared(field), cast(Any, get_named_type(field.type))
        if isinstance(declared, Refused) and is_object_type(named):
            entries = self._compiler.entries(_OfObject(self._compiler, MOST_OBJECTS), named, inner, code)
            return f"[{entries} for r in {code.constant(declared.of)}(faults)]"
        if isinstance(declared, Elements):
            source = _OfOutcome(self._compiler, f"{self._key}.{_key(inner)}", self._roots)
            entries = self._compiler.entries(source, named, inner, code)
            return f"[{entries} for index, (outcome, faults) in enumerate(elements)]"
        if isinstance(declared, Index):
            return "index"
        if not isinstance(declared, Named):
            raise Unplanned
        value = f"outcome.get({declared.name!r})"
        if is_leaf_type(get_nullable_type(field.type)):
            return f"{code.constant(_serialized)}({value}, {code.constant(named.serialize)})"
        place = f"{self._key}.{_key(inner)}"
        if place not in self._roots:
            raise Unplanned
        return f"{code.constant(_things)}(found, {place!r}, {value})"


class _Connection:
    """Compiles what is selected of a connection. Its parent `p` has `rows`, and their objects for each view `o0`, `o1`
    and so on; there may be `more`, and there are `totals`.
    """

    def __init__(self, compiler: Compiler, rowset: Rowset, rows: int) -> None:
        self._compiler = compiler
        self._rowset = rowset
        self._rows = rows
        self.views: list[RowView] = []
        self.reads_rows = False
        self.counts = False
        self.cursors = False

    def shape(self, connection: GraphQLObjectType, details: Details) -> Callable[..., dict[Any, Any]]:
        """The function that makes the connections' objects of the pages of all parents."""
        entries = self._entries(connection, details, self._field)
        objects = "".join(f", o{i}" for i in range(len(self.views)))
        value = f"{{p: {entries} for p, rows{objects} in zip(parents, pages, *objects)}}"
        return Code().function("parents, pages, objects, more, totals, paging", value)

    def _entries(
        self,
        object_type: GraphQLObjectType,
        details: Details,
        source: Callable[[GraphQLField, str, Details], str],
    ) -> str:
        parts = []
        for key, inner in self._compiler.subfields(object_type, details).items():
            name = inner[0].node.name.value
            value = repr(object_type.name) if name == "__typename" else source(object_type.fields[name], name, inner)
            parts.append(f"{key!r}: {value}")
        return "{" + ", ".join(parts) + "}"

    def _field(self, field: GraphQLField, name: str, inner: Details) -> str:
        if name == "totalCount":
            self.counts = True
            return "totals[p]"
        self.reads_rows = True
        if name == "nodes":
            return self._nodes(inner)
        if name not in ("edges", "pageInfo"):
            raise Unplanned
        object_type = cast(GraphQLObjectType, get_named_type(field.type))
        if name == "pageInfo":
            return self._entries(object_type, inner, self._page_info)
        return f"[{self._entries(object_type, inner, self._edge)} for i, row in enumerate(rows)]"

    def _edge(self, _field: GraphQLField, name: str, inner: Details) -> str:
        if name != "cursor":
            return f"{self._nodes(inner)}[i]"
        self.cursors = True
        return "paging.cursor(row)"

    def _page_info(self, _field: GraphQLField, name: str, _inner: Details) -> str:
        source, has_cursor = _PAGE_INFO[name]
        self.cursors = self.cursors or has_cursor
        return source

    def _nodes(self, details: Details) -> str:
        self.views.append(self._compiler.row_view(self._rowset, details, self._rows))
        return f"o{len(self.views) - 1}"


_PAGE_INFO = {
    "hasNextPage": ("paging.has_next(p in more)", False),
    "hasPreviousPage": ("paging.has_previous(p in more)", False),
    "startCursor": ("(paging.cursor(rows[0]) if rows else None)", True),
    "endCursor": ("(paging.cursor(rows[-1]) if rows else None)", True),
}
"""The source of each field, and whether it shows a cursor."""


def _key(details: Details) -> str:
    node = details[0].node
    return (node.alias or node.name).value


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
