"""Where each GraphQL field lives in the store, said once: the loaders here and the plan compiler both read it.

    @node("cmi", t.credit_memo_items, description="One line of a credit memo.")
    class CreditMemoItem(Node):
        amount = column("Net of a tax-exclusive line, gross of an inclusive one.")
        credit_memo = one("CreditMemo", "The memo it is a line of.")
        taxation_items = many("CreditMemoTaxationItem", "Its taxes.", by="memo_item_id")

A column's GraphQL type and nullability come from the table; a relation's from its key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

import strawberry
from graphql import ValueNode
from sqlalchemy import ColumnElement, FromClause, Select, select
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.field import StrawberryField

from cm_graphql.fields.wire import Read, Row, graphql_type, reader

NAMES: dict[str, Any] = {}
"""Every declared type by its name, so that types of different modules can name each other."""

PREFIXES: dict[str, "NodeType"] = {}
"""Every node type by the prefix of its ids."""

C = TypeVar("C", bound=type)


class Order(NamedTuple):
    """One term of a sort: a field's name and whether it runs downwards."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A field that is one value of its row: a column, an expression over the row, or a column of a row it points to."""

    description: str
    of: ColumnElement[Any] | None = None
    via: str | None = None
    """With `of` in another table: the column here that holds that row's id."""
    required: bool | None = None
    type: Any = None
    shown: Callable[..., Any] | None = None
    """Turns the wire value into what is shown, where that differs."""
    with_currency: bool = False
    """Whether `shown` takes the row's currency as a second argument."""
    hidden: bool = False
    """Read for relations and filters only; no field of the schema."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A field computed by the database from other tables, fetched for all rows at once when it is asked for."""

    description: str
    expression: Callable[[FromClause], ColumnElement[Any]]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Embedded:
    """A field that groups columns of the same row under a type of their own."""

    target: type
    description: str


@dataclass(frozen=True, slots=True)
class One:
    """A field that is another row, found by its id."""

    target: str
    description: str
    key: str | None = None
    required: bool | None = None


@dataclass(frozen=True, slots=True)
class Many:
    """A field that is a connection of rows which point here, or of a whole table at the root."""

    target: str
    description: str
    by: str | None = None
    where: Callable[[FromClause], ColumnElement[bool]] | None = None
    page: int = 20
    most: int = 100
    filtered: bool = True
    """Whether the target's filter and sort are arguments here."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A field that is computed from columns of its row and from the request, without asking the database."""

    description: str
    type: Any
    of: Callable[..., Any]
    """Takes the request's context and the values of the columns."""
    needs: tuple[str, ...] = ("id",)
    """The columns: ids or other plain texts."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A field whose value one statement finds for many rows at once, beside the type's own columns."""

    description: str
    type: Any
    statement: Callable[[str, Sequence[str]], Select[Any]]
    """For a dialect and the ids of rows; its first column is the id that a found row belongs to."""
    of: Callable[..., Any]
    """Makes the value of what was found for one row, as a list, and of the row's values of `needs`."""
    needs: tuple[str, ...] = ()
    """Stored fields of the row, as the store has them."""
    scope: str | None = None
    """What a caller must be allowed to do beside reading the type."""


@dataclass(frozen=True, slots=True)
class Acts:
    """A root field that does something: what that is, who may, and how a request tells it."""

    what: Any
    scopes: tuple[str, ...]
    command: Callable[[Any, ValueNode], Callable[[Mapping[str, Any]], Any] | None]
    """Given the type of the only argument and its value in a document: what makes a command of the coerced variables,
    and Undefined where resolvers have to look at them. None where they always have to."""
    is_bulk: bool = False
    """Whether it does something to each of several elements, with an outcome of its own."""


@dataclass(frozen=True, slots=True)
class Elements:
    """A field of a bulk mutation's payload: what became of each element."""


@dataclass(frozen=True, slots=True)
class Index:
    """A field of what became of an element: its place, from 0."""


@dataclass(frozen=True, slots=True)
class Named:
    """A field of a mutation's payload: the thing, or the list of things, whose ids the action's outcome has by name.

    A field of a plain type is what the outcome has by this name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A field of a mutation's payload: why nothing was done, as objects that `of` makes of the refusal's faults."""

    of: Callable[[Any], Sequence[Any]]


Declared = Stored | Derived | Embedded | One | Many | Computed | Loaded


def column(
    description: str,
    *,
    of: ColumnElement[Any] | None = None,
    via: str | None = None,
    required: bool | None = None,
    type: Any = None,
    shown: Callable[..., Any] | None = None,
    with_currency: bool = False,
    hidden: bool = False,
) -> Any:
    """Declare a field that is the column of the same name, or what `of` says."""
    return Stored(description, of, via, required, type, shown, with_currency, hidden)


def derived(description: str, expression: Callable[[FromClause], ColumnElement[Any]], *, required: bool = True) -> Any:
    """Declare a field that the database computes from other tables; it costs a statement only when selected."""
    return Derived(description, expression, required)


def embedded(target: type, description: str) -> Any:
    """Declare an object made of columns of this very row; see `group`."""
    return Embedded(target, description)


def one(target: str, description: str, *, key: str | None = None, required: bool | None = None) -> Any:
    """Declare the row whose id stands in `key`, by default the column `<name>_id`."""
    return One(target, description, key, required)


def many(
    target: str,
    description: str,
    *,
    by: str | None = None,
    where: Callable[[FromClause], ColumnElement[bool]] | None = None,
    page: int = 20,
    most: int = 100,
    filtered: bool = True,
) -> Any:
    """Declare a connection of the rows whose column `by` is this row's id; without `by`, of all rows."""
    return Many(target, description, by, where, page, most, filtered)


def computed(description: str, *, type: Any, of: Callable[..., Any], needs: Sequence[str] = ("id",)) -> Any:
    """Declare a field that `of` computes from the request's context and the columns `needs`."""
    return Computed(description, type, of, tuple(needs))


def loaded(
    description: str,
    *,
    type: Any,
    statement: Callable[[str, Sequence[str]], Select[Any]],
    of: Callable[..., Any],
    needs: Sequence[str] = (),
    scope: str | None = None,
) -> Any:
    """Declare a field that `of` makes of what `statement` finds for the ids of rows; see `Loaded`."""
    return Loaded(description, type, statement, of, tuple(needs), scope)


@dataclass(frozen=True)
class Behind:
    """A text of the row that a key names, to be searched: found once, by an index if one serves, not for each row."""

    key: ColumnElement[Any]
    id: ColumnElement[Any]
    text: ColumnElement[Any]


@dataclass(frozen=True, slots=True, eq=False)
class NodeType:
    """Everything known of one type: its table, what is selected of it, and how values are read."""

    cls: type
    prefix: str
    table: FromClause
    columns: tuple[ColumnElement[Any], ...]
    positions: dict[str, int]
    readers: dict[str, Read]
    fields: dict[str, Declared]
    owner: Callable[[FromClause], ColumnElement[Any]] | None
    scope: str | None = None
    """What a caller must be allowed to do to read any of it; None: everybody may."""
    filters: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ()
    search: tuple["ColumnElement[Any] | Behind", ...] = ()
    order: tuple[Order, ...] = ()
    sources: dict[str, ColumnElement[Any]] = field(default_factory=dict)
    """Of each stored field, the expression over the table."""

    @property
    def name(self) -> str:
        """The GraphQL name."""
        return self.cls.__name__


class RowObject:
    """An object that is a view of one row; attributes are wire values, read when asked for."""

    _row: Row
    _readers: ClassVar[dict[str, Read]]

    @classmethod
    def of(cls, row: Row) -> Any:
        """Wrap a row, without the constructor that a dataclass would insist on."""
        instance = object.__new__(cls)
        instance._row = row
        return instance

    def __getattr__(self, name: str) -> Any:
        try:
            read = type(self)._readers[name]
        except KeyError:
            raise AttributeError(name) from None
        return read(self._row)


@strawberry.interface(description="A thing with an id of its own, which `node` finds again.")
class Node(RowObject):
    """What every type with an id has in common."""

    __node__: ClassVar[NodeType]

    id: strawberry.ID = strawberry.field(
        description="The id: a prefix that tells the kind, an underscore and 32 hex digits. It never changes."
    )

    def raw(self, name: str) -> Any:
        """The stored value of a column, not its wire form."""
        return self._row[type(self).__node__.positions[name]]


NAMES["Node"] = Node


def group(description: str) -> Callable[[C], C]:
    """Make a type of columns that lie in the row of whatever embeds it; its `column`s name no table."""

    def decorate(cls: C) -> C:
        cls.__stored__ = {name: value for name, value in vars(cls).items() if isinstance(value, Stored)}  # type: ignore[attr-defined]
        NAMES[cls.__name__] = cls
        cls.__describes__ = description  # type: ignore[attr-defined]
        return cls

    return decorate


def node(
    prefix: str,
    table: FromClause,
    *,
    description: str,
    owner: Callable[[FromClause], ColumnElement[Any]] | None = None,
    scope: str | None = None,
    filters: Sequence[str] = (),
    sorts: Sequence[str] = (),
    search: Sequence["ColumnElement[Any] | Behind"] = (),
    order: Sequence[Order] = (Order("id"),),
    also: Mapping[str, Declared] | None = None,
) -> Callable[[C], C]:
    """Make a GraphQL type of a class of declarations over a table.

    `owner` gives the account that a row belongs to, for callers who may see only some accounts; `scope` what
    it takes to read the type at all. `filters` and `sorts` name stored fields; `order` is the default sort. Ties are
    always broken by id. `also` adds declarations that several types share.
    """

    def decorate(cls: C) -> C:
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Declared)} | dict(also or {})
        selected = _Selection(table)
        selected.add("id", Stored(""))
        for name, value in declared.items():
            if isinstance(value, Stored):
                selected.add(name, value)
            elif isinstance(value, Embedded):
                for inner, stored in value.target.__stored__.items():  # type: ignore[attr-defined]
                    selected.add(inner, stored)
            elif isinstance(value, One):
                selected.add(value.key or f"{name}_id", Stored(""))
        if "currency" in table.c:
            selected.add("currency", Stored(""))
        node_type = NodeType(
            cls=cls,
            prefix=prefix,
            table=table,
            columns=tuple(selected.columns),
            positions=selected.positions,
            readers=selected.readers(),
            fields=declared,
            owner=owner,
            scope=scope,
            filters=tuple(filters),
            sorts=tuple(sorts),
            search=tuple(search),
            order=tuple(order),
            sources=selected.sources,
        )
        cls.__node__ = node_type  # type: ignore[attr-defined]
        cls._readers = node_type.readers  # type: ignore[attr-defined]
        NAMES[cls.__name__] = typed(cls, _fields(cls, node_type), lambda c: strawberry.type(c, description=description))
        PREFIXES[prefix] = node_type
        return cls

    return decorate


class _Selection:
    """Collects what is selected of a table, each thing once."""

    def __init__(self, table: FromClause) -> None:
        self.table = table
        self.columns: list[ColumnElement[Any]] = []
        self.positions: dict[str, int] = {}
        self.sources: dict[str, ColumnElement[Any]] = {}
        self._stored: dict[str, Stored] = {}

    def add(self, name: str, stored: Stored) -> None:
        if name in self.positions:
            if stored.description:
                self._stored[name] = stored
            return
        source = source_of(self.table, name, stored)
        self.positions[name] = len(self.columns)
        self.columns.append(source.label(name))
        self.sources[name] = source
        self._stored[name] = stored

    def readers(self) -> dict[str, Read]:
        currency = self.positions.get("currency")
        made: dict[str, Read] = {}
        for name, stored in self._stored.items():
            read = reader(self.sources[name].type, self.positions[name], currency)
            made[name] = read if stored.shown is None else _shown(read, stored, currency)
        return made


def _shown(read: Read, stored: Stored, currency: int | None) -> Read:
    shown = stored.shown
    assert shown is not None
    if not stored.with_currency:
        return lambda row: shown(read(row))
    assert currency is not None, "the row has no currency to show an amount in"
    return lambda row: shown(read(row), row[currency])


def source_of(table: FromClause, name: str, stored: Stored) -> ColumnElement[Any]:
    """The expression over the table that a stored field is."""
    if stored.of is None:
        return table.c[name]
    if stored.via is None:
        return stored.of
    remote = stored.of.table
    return select(stored.of).where(remote.c.id == table.c[stored.via]).scalar_subquery()


def stored_type(stored: Stored, source: ColumnElement[Any], table: FromClause) -> Any:
    """The annotation of a stored field: the column's type, optional where the column, or the way to it, is."""
    kind = stored.type or graphql_type(source.type)
    required = stored.required
    if required is None:
        origins = [stored.of if stored.of is not None else source]
        if stored.via is not None:
            origins.append(table.c[stored.via])
        required = all(
            not getattr(origin, "nullable", True) or getattr(origin, "computed", None) is not None for origin in origins
        )
    return kind if required else kind | None if not isinstance(kind, str) else f"{kind} | None"


def typed(cls: C, fields: Mapping[str, tuple[StrawberryField, Any]], make: Callable[[C], Any]) -> Any:
    """Give a class its fields and let Strawberry make a type of it; annotations may name what is declared later.

    Strawberry resolves annotations when the type is made and gives up on names it cannot find yet, so they are set
    once more afterwards, with the names of all modules to look in.
    """
    annotations = dict(getattr(cls, "__annotations__", {}))
    for name, (made, annotation) in fields.items():
        made.type_annotation = StrawberryAnnotation(annotation, namespace=NAMES)
        setattr(cls, name, made)
        annotations[name] = made.type_annotation
    cls.__annotations__ = annotations
    result = make(cls)
    for field_ in result.__strawberry_definition__.fields:
        if field_.python_name in fields:
            annotation = fields[field_.python_name][1]
            field_.type_annotation = StrawberryAnnotation(annotation, namespace=NAMES)
    return result


def _fields(cls: type, node_type: NodeType) -> dict[str, tuple[StrawberryField, Any]]:
    """The Strawberry field and annotation of each declaration."""
    from cm_graphql.fields.resolve import (
        computed_resolver,
        derived_resolver,
        embedded_resolver,
        list_field,
        loaded_resolver,
        one_resolver,
    )

    made: dict[str, tuple[StrawberryField, Any]] = {}
    for name, value in node_type.fields.items():
        about: dict[str, Any] = {"description": value.description, "metadata": {"declared": value}}
        match value:
            case Stored():
                if value.hidden or name == "id":
                    if name in vars(cls):
                        delattr(cls, name)
                    continue
                made[name] = strawberry.field(**about), stored_type(value, node_type.sources[name], node_type.table)
            case Derived():
                source = value.expression(node_type.table)
                kind = graphql_type(source.type)
                resolver = derived_resolver(name, source, node_type)
                made[name] = strawberry.field(resolver=resolver, **about), kind if value.required else kind | None
            case Embedded():
                view = _grouped(value.target, node_type)
                made[name] = strawberry.field(resolver=embedded_resolver(view), **about), value.target.__name__
            case One():
                key = value.key or f"{name}_id"
                required = value.required
                if required is None:
                    required = key in node_type.table.c and not node_type.table.c[key].nullable
                annotation = value.target if required else f"{value.target} | None"
                made[name] = strawberry.field(resolver=one_resolver(key), **about), annotation
            case Many():
                made[name] = list_field(value, node_type)
            case Computed():
                made[name] = strawberry.field(resolver=computed_resolver(value), **about), value.type
            case Loaded():
                made[name] = strawberry.field(resolver=loaded_resolver(name, value), **about), value.type
    return made


def _grouped(target: type, node_type: NodeType) -> type:
    """A view of the embedded type over this table's rows; the type itself is made when it is first embedded."""
    if not hasattr(target, "__strawberry_definition__"):
        fields: dict[str, tuple[StrawberryField, Any]] = {}
        for name, stored in target.__stored__.items():  # type: ignore[attr-defined]
            field_ = strawberry.field(description=stored.description, metadata={"declared": stored})
            fields[name] = field_, stored_type(stored, source_of(node_type.table, name, stored), node_type.table)
        description: str = target.__describes__  # type: ignore[attr-defined]
        NAMES[target.__name__] = typed(target, fields, lambda c: strawberry.type(c, description=description))
    return type(target.__name__, (RowObject,), {"_readers": node_type.readers})
