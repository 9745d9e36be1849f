"""One mutation per action, grouped by family; each says what it takes, which operation does it, what it answers."""

import strawberry

from cm_graphql.api.mutations.creation import Creation
from cm_graphql.api.mutations.documents import Documents
from cm_graphql.api.mutations.editing import Editing
from cm_graphql.api.mutations.intake import Intake
from cm_graphql.api.mutations.lifecycle import Lifecycle
from cm_graphql.api.mutations.reference import Reference
from cm_graphql.api.mutations.refunds import Refunds
from cm_graphql.api.mutations.settlement import Settlement
from cm_graphql.api.mutations.taxation import Taxation


@strawberry.type(description="Every change there is.")
class Mutation(Creation, Documents, Editing, Intake, Lifecycle, Reference, Refunds, Settlement, Taxation):
    """The mutations of all families."""
