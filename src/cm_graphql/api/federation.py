"""The schema as a subgraph of Apollo Federation 2: things are entities, found by their id or number, many at once."""

from asyncio import gather
from collections.abc import Mapping
from typing import Any, Final, cast

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    print_schema,
)

from cm_graphql.fields.declare import PREFIXES, NodeType
from cm_graphql.fields.errors import BadUserInput
from cm_graphql.fields.ids import id_of
from cm_graphql.fields.loaders import Loaders
from cm_graphql.fields.wire import storable

MOST: Final = 1_000
"""Entities that a router may ask for at once."""

NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    "CreditMemo": ("number", "number"),
    "Account": ("number", "number"),
    "Invoice": ("invoiceNumber", "invoice_number"),
    "DebitMemo": ("number", "number"),
}
"""Types that are known by a number too: the field, and where it is stored."""

SHARED: Final = ("PageInfo",)
"""Types that other subgraphs have as well, by convention."""

LINK: Final = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])\n\n'


def as_subgraph(schema: GraphQLSchema) -> GraphQLSchema:
    """The schema with the two fields that a router asks; all else is as it was, down to the very types.

    `extend_schema` would make types anew, and enums among them that know nothing of Python's.
    """
    query, kinds = schema.query_type, {kind.name: kind for kind in PREFIXES.values()}
    assert query is not None
    sdl = subgraph_sdl(schema)

    async def entities(_root: Any, info: GraphQLResolveInfo[Any], representations: list[Any]) -> list[Any]:
        if len(representations) > MOST:
            raise BadUserInput(f"representations lists {len(representations)} entities; at most {MOST} are allowed.")
        loaders: Loaders = info.context.loaders
        # One that is wrong or may not be read does not take the others with it.
        found = await gather(*(_entity(loaders, kinds, one) for one in representations), return_exceptions=True)
        return list(found)

    entity = GraphQLUnionType(
        "_Entity",
        [cast(GraphQLObjectType, schema.type_map[name]) for name in sorted(kinds)],
        resolve_type=lambda found, *_: type(found).__node__.name,
    )
    representations = GraphQLArgument(GraphQLNonNull(GraphQLList(GraphQLNonNull(GraphQLScalarType("_Any")))))
    service = GraphQLObjectType("_Service", {"sdl": GraphQLField(GraphQLNonNull(GraphQLString))})
    fields = {
        **query.fields,
        "_service": GraphQLField(GraphQLNonNull(service), resolve=lambda *_: {"sdl": sdl}),
        "_entities": GraphQLField(
            GraphQLNonNull(GraphQLList(entity)), args={"representations": representations}, resolve=entities
        ),
    }
    root: Any = {**query.to_kwargs(), "fields": fields}
    others = [kind for kind in schema.type_map.values() if kind is not query]
    given: Any = {**schema.to_kwargs(), "query": GraphQLObjectType(**root), "types": others}
    return GraphQLSchema(**given)


def subgraph_sdl(schema: GraphQLSchema) -> str:
    """The schema's text with the directives that composition reads."""
    keys = {kind.name: ' @key(fields: "id")' for kind in PREFIXES.values()}
    for name, (field, _) in NUMBERS.items():
        keys[name] += f' @key(fields: "{field}")'
    lines = []
    for line in print_schema(schema).splitlines():
        words = line.split()
        if line.startswith("type ") and words[1] in keys:
            line = line.removesuffix(" {") + keys[words[1]] + " {"
        elif line.startswith("input "):
            line = line.replace(" @oneOf {", " {")  # Apollo's composition knows no such directive
        elif line.startswith("type ") and words[1] in SHARED:
            line = line.removesuffix(" {") + " @shareable {"
        lines.append(line)
    return LINK + "\n".join(lines) + "\n"


async def _entity(loaders: Loaders, kinds: Mapping[str, NodeType], representation: Any) -> Any:
    """What a representation stands for; nothing where nobody has such a thing, or the caller may not see it."""
    kind = kinds.get(str(representation.get("__typename"))) if isinstance(representation, dict) else None
    if kind is None:
        raise BadUserInput("A representation is an object with the `__typename` of an entity and one of its keys.")
    id = representation.get("id")
    if isinstance(id, str):
        return await loaders.node(kind, id_of(id, kind.prefix))
    field, stored = NUMBERS.get(kind.name, ("", ""))
    number = representation.get(field)
    if not isinstance(number, str):
        also = f" or `{field}`" if field else ""
        raise BadUserInput(f"A representation of {kind.name} has its `id`{also}.")
    return await loaders.keyed(kind, stored, number) if storable(number) else None
