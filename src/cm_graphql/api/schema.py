"""The schema that is served, put together from queries and mutations."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from cm_graphql.api import types, uploads
from cm_graphql.api.mutations import Mutation
from cm_graphql.api.query import Query
from cm_graphql.api.subscriptions import Subscription
from cm_graphql.engine.declare import PREFIXES
from cm_graphql.engine.scalars import SCALARS

__all__ = ["schema", "types"]

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    # What is reached only through `node` would be missing otherwise.
    types=[kind.cls for kind in PREFIXES.values()],
    config=StrawberryConfig(scalar_map={**SCALARS, uploads.Upload: uploads.UPLOAD}),
)
