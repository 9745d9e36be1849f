"""Operations of valid documents, each with the plans made of it, which live exactly as long as it does."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.language import DirectiveNode

if TYPE_CHECKING:
    from cm_graphql.engine.arguments import UsualVariables
    from cm_graphql.engine.roots import Plan

MOST_VARIANTS = 8
"""Plans kept of one operation: one for each combination of what its @skip and @include are given."""


class Operation:
    """An operation, and its plans."""

    def __init__(
        self,
        node: OperationDefinitionNode,
        fragments: dict[str, FragmentDetails],
        switches: list[str],
        grown: Callable[[], None] | None = None,
    ) -> None:
        """`grown` is told when there is another plan, by whoever sees to memory."""
        self._grown = grown
        self.node = node
        self.fragments = fragments
        self.switches = switches
        """The variables in @skip and @include; nothing else of a request changes the plan."""
        self.usual: UsualVariables | None = None
        """Its variables, as far as they need no second look; made when they are asked for first."""
        self.plans: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()

    @property
    def kind(self) -> OperationType:
        """What the operation is: a query, a mutation or a subscription."""
        return self.node.operation

    @property
    def weight(self) -> int:
        """What its plans take in memory, in tokens of a parsed document."""
        return sum(plan.weight for plan in self.plans.values())

    def variant(self, variables: Mapping[str, Any]) -> tuple[Any, ...]:
        """What of a request decides which plan it takes."""
        return tuple([variables.get(name) for name in self.switches]) if self.switches else ()

    def keep(self, variant: tuple[Any, ...], plan: "Plan") -> None:
        """Remember a plan, perhaps instead of the one that was not wanted for longest."""
        self.plans[variant] = plan
        if len(self.plans) > MOST_VARIANTS:
            self.plans.popitem(last=False)
        if self._grown is not None:
            self._grown()

    def kept(self, variant: tuple[Any, ...]) -> "Plan | None":
        """The plan of a variant, where it was made already."""
        found = self.plans.get(variant)
        if found is not None and len(self.plans) > 1:
            self.plans.move_to_end(variant)
        return found


def operations_of(document: DocumentNode, grown: Callable[[], None] | None = None) -> dict[str | None, Operation]:
    """The operations of a document by their names; `grown` is told whenever one has another plan."""
    fragments = {
        definition.name.value: FragmentDetails(definition)
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    switches = _Switches()
    visit(document, switches)
    names = sorted(switches.names)
    return {
        definition.name.value if definition.name else None: Operation(definition, fragments, names, grown)
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    }


class _Switches(Visitor):
    """Finds the variables that stand in @skip and @include."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_args: Any) -> None:
        """Note the variables of a directive."""
        for argument in node.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.names.add(argument.value.name.value)
