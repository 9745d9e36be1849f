"""Resolvers made from declarations: each asks a loader, none asks the database itself."""

from asyncio import gather
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Generic, Protocol, TypeVar, cast

import strawberry
from sqlalchemy import ColumnElement, FromClause, true
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.field import StrawberryField

from cm_graphql.fields.declare import (
    NAMES,
    PREFIXES,
    Computed,
    Loaded,
    Many,
    Node,
    NodeType,
    One,
    Order,
    RowObject,
)
from cm_graphql.fields.errors import BadUserInput
from cm_graphql.fields.filters import Shape, all_of, built, filter_input, named, orders, shape_and_values, sort_input
from cm_graphql.fields.ids import id_of, kind_of, read_key
from cm_graphql.fields.loaders import Loaders, Page
from cm_graphql.fields.pages import Slice, read_cursor, write_cursor
from cm_graphql.fields.wire import reader, storable

T = TypeVar("T")


class HasLoaders(Protocol):
    """What resolvers ask of a request's context."""

    loaders: Loaders


def loaders_of(info: strawberry.Info) -> Loaders:
    """The loaders of the request."""
    return cast(HasLoaders, info.context).loaders


def one_resolver(key: str) -> Callable[..., Any]:
    """Resolve a row by the id in a column; the id's prefix tells the type."""

    async def resolve(self: Any, info: strawberry.Info) -> Any:
        return await find_stored(loaders_of(info), self.raw(key))

    return resolve


async def find_stored(loaders: Loaders, value: str | None) -> Any:
    """The thing of an id that the store holds; nothing when it names one of another system, unknown here."""
    kind = None if value is None else PREFIXES.get(value.partition("_")[0])
    return None if kind is None else await loaders.node(kind, value or "")


async def find(loaders: Loaders, value: str) -> Any:
    """The thing of an id, or nothing; an id that is malformed is BAD_USER_INPUT."""
    return await loaders.node(kind_of(value), value)


async def find_by_key(loaders: Loaders, kind: NodeType, key: str, number: str = "number") -> Any:
    """The thing of a `key` argument, which is an id, the bare 32 digits or a number; nothing when there is none."""
    found, text = read_key(key, kind.prefix)
    if found is not None:
        return await loaders.node(kind, found)
    return await loaders.keyed(kind, number, text) if text is not None and storable(text) else None


def derived_resolver(name: str, expression: ColumnElement[Any], node_type: NodeType) -> Callable[..., Any]:
    """Resolve a value that the database derives, for all rows at once."""
    read = reader(expression.type, 1, 2 if "currency" in node_type.table.c else None)

    async def resolve(self: Any, info: strawberry.Info) -> Any:
        row = await loaders_of(info).value(node_type, name, expression, self.raw("id"))
        return None if row is None else read(row)

    return resolve


def computed_resolver(declared: Computed) -> Callable[..., Any]:
    """Resolve a value that is computed from columns of the row."""

    def resolve(self: Any, info: strawberry.Info) -> Any:
        return declared.of(info.context, *(self.raw(name) for name in declared.needs))

    return resolve


def loaded_resolver(name: str, declared: Loaded) -> Callable[..., Any]:
    """Resolve a value that is found for all rows at once by a statement of its own."""

    async def resolve(self: Any, info: strawberry.Info) -> Any:
        loaders = loaders_of(info)
        loaders.require(declared.scope)
        rows = await loaders.found(name, declared, self.raw("id"))
        return declared.of(rows, *(self.raw(needed) for needed in declared.needs))

    return resolve


def one_of_object(target: str, description: str, key: str) -> Any:
    """The field of an object that is no row: the thing whose id stands in the attribute `key`, or nothing."""

    async def resolve(self: Any, info: strawberry.Info) -> Any:
        return await find_stored(loaders_of(info), getattr(self, key))

    return strawberry.field(
        resolver=resolve, description=description, metadata={"declared": One(target, description, key)}
    )


def embedded_resolver(view: type) -> Callable[..., Any]:
    """Resolve a group of columns as a view of the same row."""

    def resolve(self: Any) -> Any:
        return cast(type[RowObject], view).of(self._row)

    return resolve


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Where a page stands in its list (Relay)."""

    has_next_page: bool = strawberry.field(description="Whether more follows, when paging forward.")
    has_previous_page: bool = strawberry.field(description="Whether more precedes, when paging backward.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first row here.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last row here; the next page's `after`.")


@strawberry.type(description="A row of a list and its place in it.")
class Edge(Generic[T]):
    """A row of a list and its place in it (Relay)."""

    cursor: str = strawberry.field(description="The row's place; `after` and `before` take it.")
    node: T = strawberry.field(description="The row.")


@dataclass(frozen=True)
class Asked:
    """What is asked of a list in one request."""

    wanted: Slice
    filter: Shape
    values: Sequence[Any]
    """The values in the filter."""

    @cached_property
    def shape(self) -> tuple[Hashable, ...]:
        """What decides the text of its statements."""
        return self.filter, self.wanted.shape

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The values in its statements, by the names of their parameters."""
        return named(self.values) | self.wanted.values


@dataclass
class Listing:
    """A list as asked for, which reads nothing until one of its fields is wanted."""

    loaders: Loaders
    spec: "ListSpec"
    parent: str | None
    asked: Asked

    async def page(self) -> Page:
        """The rows asked for."""
        spec, asked = self.spec, self.asked
        identity = id(spec), asked
        return await self.loaders.page(
            spec.node_type, self.parent, spec.by, spec.where_of(asked), asked.wanted, identity
        )

    async def total(self) -> int:
        """How many rows the list has in all."""
        spec, asked = self.spec, self.asked
        identity = id(spec), asked.filter, asked.values
        return await self.loaders.total(spec.node_type, self.parent, spec.by, spec.where_of(asked), identity)

    def node(self, row: Any) -> Any:
        """A row as its type."""
        return self.spec.node_type.cls.of(row)  # type: ignore[attr-defined]

    def cursor(self, row: Any) -> str:
        """A row's cursor."""
        kind, orders = self.spec.node_type, self.asked.wanted.orders
        return write_cursor(kind, orders, [row[kind.positions[term.field]] for term in orders])


@strawberry.type(description="A page of a list, and the list as a whole.")
class Connection(Generic[T]):
    """A page of a list (Relay); `listing` is what it shows."""

    listing: strawberry.Private[Any]

    @strawberry.field(description="The rows of the page with their cursors.")
    async def edges(self) -> list[Edge[T]]:
        """Read the page."""
        rows = (await self.listing.page()).rows
        return [Edge(cursor=self.listing.cursor(row), node=self.listing.node(row)) for row in rows]

    @strawberry.field(description="The rows of the page.")
    async def nodes(self) -> list[T]:
        """Read the page."""
        return [self.listing.node(row) for row in (await self.listing.page()).rows]

    @strawberry.field(description="Where the page stands in the list.")
    async def page_info(self) -> PageInfo:
        """Read the page."""
        page, wanted = await self.listing.page(), self.listing.asked.wanted
        return PageInfo(
            has_next_page=wanted.has_next(page.more),
            has_previous_page=wanted.has_previous(page.more),
            start_cursor=self.listing.cursor(page.rows[0]) if page.rows else None,
            end_cursor=self.listing.cursor(page.rows[-1]) if page.rows else None,
        )

    @strawberry.field(description="How many rows the list has in all; counted only when selected.")
    async def total_count(self) -> int:
        """Count the list."""
        return cast(int, await self.listing.total())


NAMES["Connection"] = Connection


@dataclass
class ListSpec:
    """How one list field answers; made once per field."""

    many: Many
    parent_type: NodeType | None

    @cached_property
    def node_type(self) -> NodeType:
        """What it lists."""
        return cast(NodeType, NAMES[self.many.target].__node__)

    @cached_property
    def by(self) -> ColumnElement[Any] | None:
        """The column of the parent's id; none at the root."""
        return None if self.many.by is None else self.node_type.table.c[self.many.by]

    def where_of(self, asked: Asked) -> ColumnElement[bool]:
        """The condition of the list's rows: what holds of them whatever is asked, and the filter."""
        table: FromClause = self.node_type.table
        own = true() if self.many.where is None else self.many.where(table)
        return all_of(own, built(self.node_type, asked.filter, asked.values))

    def asked(
        self,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: Any = None,
        sort: Any = None,
    ) -> Asked:
        """What the arguments ask for; what is wrong with them is BAD_USER_INPUT."""
        wanted = self._slice(orders(self.node_type, sort), first, after, last, before)
        return Asked(wanted, *shape_and_values(self.node_type, filter))

    def _slice(
        self, terms: tuple[Order, ...], first: int | None, after: str | None, last: int | None, before: str | None
    ) -> Slice:
        if first is not None and last is not None:
            raise BadUserInput("Give first or last, not both.")
        backwards = last is not None or (first is None and before is not None)
        limit = last if last is not None else first if first is not None else self.many.page
        if not 0 <= limit <= self.many.most:
            name = "last" if last is not None else "first"
            raise BadUserInput(f"{name} is {limit}; between 0 and {self.many.most} is allowed here.")
        return self.moved(Slice(terms, limit, backwards=backwards), {"after": after, "before": before})

    def moved(self, wanted: Slice, cursors: Mapping[str, str | None]) -> Slice:
        """The same slice at other cursors, by the names of their arguments."""
        terms = wanted.orders
        places = {
            name: None if cursor is None else read_cursor(self.node_type, terms, cursor)
            for name, cursor in cursors.items()
        }
        after, before = places.get("after", wanted.after), places.get("before", wanted.before)
        return Slice(terms, wanted.limit, after, before, wanted.backwards)


def list_field(many: Many, node_type: NodeType | None) -> tuple[StrawberryField, str]:
    """Make the field of a connection, with the paging arguments and the target's filter and sort."""
    spec = ListSpec(many, node_type)

    async def resolve(
        self: Any,
        info: strawberry.Info,
        first: Annotated[
            int | None,
            strawberry.argument(description=f"The first so many rows; {many.page} unless said, at most {many.most}."),
        ] = UNSET,
        after: Annotated[str | None, strawberry.argument(description="Only rows after this cursor.")] = UNSET,
        last: Annotated[
            int | None, strawberry.argument(description=f"The last so many rows; at most {many.most}. Not with first.")
        ] = UNSET,
        before: Annotated[str | None, strawberry.argument(description="Only rows before this cursor.")] = UNSET,
        filter: Any = UNSET,
        sort: Any = UNSET,
    ) -> Any:
        parent = None if node_type is None else self.raw("id")
        given: list[Any] = [None if value is UNSET else value for value in (first, after, last, before, filter, sort)]
        return Connection(listing=Listing(loaders_of(info), spec, parent, spec.asked(*given)))

    made = strawberry.field(resolver=resolve, description=many.description, metadata={"declared": spec})
    _type_arguments(made, many)
    return made, f"Connection[{many.target}]"


def _type_arguments(made: StrawberryField, many: Many) -> None:
    """Give filter and sort the target's types, or leave them out; targets may be declared later, hence by name."""
    kept = []
    for argument in made.arguments:
        if argument.python_name == "filter":
            if not many.filtered:
                continue
            argument.type_annotation = StrawberryAnnotation(f"{many.target}Filter | None", namespace=_Inputs(many))
            argument.description = "Which rows; everything unless given."
        elif argument.python_name == "sort":
            if not many.filtered:
                continue
            argument.type_annotation = StrawberryAnnotation(f"list[{many.target}Sort] | None", namespace=_Inputs(many))
            argument.description = "In which order; ties are broken by id, null comes last."
        kept.append(argument)
    made.arguments = kept


class _Inputs(dict[str, Any]):
    """The namespace in which a list's arguments find their types, which are made when first looked up."""

    def __init__(self, many: Many) -> None:
        super().__init__(__builtins__=__builtins__)
        self._many = many

    def __missing__(self, name: str) -> Any:
        node_type: NodeType = NAMES[self._many.target].__node__
        if name == f"{self._many.target}Filter":
            return filter_input(node_type)
        if name == f"{self._many.target}Sort":
            return sort_input(node_type)
        raise KeyError(name)


def connection(target: str, description: str, **options: Any) -> Any:
    """A connection of a whole table, for the root: `credit_memos = connection("CreditMemo", "...")`."""
    made, annotation = list_field(Many(target, description, **options), None)
    made.type_annotation = StrawberryAnnotation(annotation, namespace=NAMES)
    return made


@dataclass(frozen=True)
class ById:
    """A root field that finds things by the argument that holds their id, or their ids."""

    target: str
    argument: str = "id"
    most: int | None = None


@dataclass(frozen=True)
class ByKey:
    """A root field that finds a thing by its id or its number."""

    target: str
    number: str = "number"


def by_id(target: str, description: str) -> Any:
    """The root field of one type by `id`: the id with or without its prefix."""
    kind: NodeType = NAMES[target].__node__

    async def resolve(
        self: Any,
        info: strawberry.Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id, with or without its prefix.")],
    ) -> Any:
        return await loaders_of(info).node(kind, id_of(id, kind.prefix))

    made = strawberry.field(resolver=resolve, description=description, metadata={"declared": ById(target)})
    made.type_annotation = StrawberryAnnotation(f"{target} | None", namespace=NAMES)
    return made


def by_key(target: str, description: str, number: str = "number") -> Any:
    """The root field of one type by `key`: the id, the bare digits of it, or the number."""
    kind: NodeType = NAMES[target].__node__

    async def resolve(
        self: Any,
        info: strawberry.Info,
        key: Annotated[
            strawberry.ID, strawberry.argument(description="The id, with or without its prefix, or the number.")
        ],
    ) -> Any:
        return await find_by_key(loaders_of(info), kind, key, number)

    made = strawberry.field(resolver=resolve, description=description, metadata={"declared": ByKey(target, number)})
    made.type_annotation = StrawberryAnnotation(f"{target} | None", namespace=NAMES)
    return made


def node_field() -> Any:
    """The root field `node`."""

    async def resolve(
        self: Any,
        info: strawberry.Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the thing.")],
    ) -> Node | None:
        return cast(Node | None, await find(loaders_of(info), id))

    return strawberry.field(
        resolver=resolve,
        description="Finds anything by its id; null when nothing has it.",
        metadata={"declared": ById("Node")},
    )


def nodes_field(most: int = 100) -> Any:
    """The root field `nodes`."""

    async def resolve(
        self: Any,
        info: strawberry.Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description=f"The ids, at most {most}.")],
    ) -> list[Node | None]:
        if len(ids) > most:
            raise BadUserInput(f"ids lists {len(ids)} ids; at most {most} are allowed.")
        kinds = [kind_of(value) for value in ids]
        return list(await gather(*(loaders_of(info).node(kind, value) for kind, value in zip(kinds, ids, strict=True))))

    return strawberry.field(
        resolver=resolve,
        description="Finds things by their ids, in the order asked; null where nothing has the id.",
        metadata={"declared": ById("Node", "ids", most)},
    )


__all__ = ["PREFIXES", "Connection", "Edge", "Listing", "PageInfo", "connection", "list_field", "node_field"]
