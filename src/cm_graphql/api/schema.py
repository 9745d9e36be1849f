"""The schema that is served, put together from queries and mutations."""

import strawberry
from graphql import GraphQLInputObjectType
from strawberry.schema.config import StrawberryConfig

from cm_graphql.api import types, uploads
from cm_graphql.api.mutations import Mutation
from cm_graphql.api.query import Query
from cm_graphql.api.subscriptions import Subscription
from cm_graphql.fields.declare import PREFIXES
from cm_graphql.fields.scalars import SCALARS

__all__ = ["schema", "types"]

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    # What is reached only through `node` would be missing otherwise.
    types=[kind.cls for kind in PREFIXES.values()],
    config=StrawberryConfig(scalar_map={**SCALARS, uploads.Upload: uploads.UPLOAD}),
)

for kind in schema._schema.type_map.values():
    # The library checks these itself, but only where a value is used. Told so, validation refuses documents for it.
    if isinstance(kind, GraphQLInputObjectType):
        kind.is_one_of = kind.extensions["strawberry-definition"].is_one_of
