"""One mutation per action, grouped by family; each says what it takes, which operation does it, what it answers."""

import strawberry

from cm_graphql.api.mutations.creation import Creation
from cm_graphql.api.mutations.intake import Intake
from cm_graphql.api.mutations.lifecycle import Lifecycle
from cm_graphql.api.mutations.reference import Reference
from cm_graphql.api.mutations.refunds import Refunds
from cm_graphql.api.mutations.settlement import Settlement


@strawberry.type(description="Every change there is.")
class Mutation(Creation, Intake, Lifecycle, Reference, Refunds, Settlement):
    """The mutations of all families."""
