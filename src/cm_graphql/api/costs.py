"""What an operation may cost at most, told before it runs: the things it could read, by the page sizes it asks for.

A list multiplies what stands below it by its page size, a thing costs 1, what takes a statement of its own costs what
`WEIGHTS` says. Each operation and fragment is walked once, when its document is first seen; what is left for a request
is a sum over the lists, with the page sizes that its variables give.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListTypeNode,
    ListValueNode,
    NonNullTypeNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TypeNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_list_type,
    value_from_ast_untyped,
)
from graphql.type import GraphQLField, get_nullable_type

from cm_graphql.fields.declare import Derived, Embedded, Stored
from cm_graphql.fields.resolve import ListSpec

WEIGHTS: Final[Mapping[str, int]] = {
    "CreditMemo.availableActions": 100,
    "Query.creditMemoSummary": 1_000,
}
"""Fields that cost more than the thing they give."""

COUNT: Final = 5
"""What `totalCount` costs: a list that is counted is read as a whole, though by the database."""

PLAIN_LIST: Final = 10
"""How many things a list without pages is taken to have, where the request does not tell."""

CEILING: Final = 10**12
"""Sums stop here: no message should carry a number of hundreds of digits."""

MOST_RESULTS: Final = 100
"""How many results a bulk action is taken to have, where its input is not seen from its payload."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows a list has at most in a request."""

    argument: ValueNode | None = None
    """The page size as it stands in the document, or the keys that are asked for."""
    otherwise: int = 1
    most: int = CEILING
    lists: tuple[ValueNode, ...] = ()
    """The lists in it, where it is an input written out: the longest of them counts."""

    @property
    def varies(self) -> bool:
        """Whether variables may change it."""
        return any(isinstance(node, VariableNode) for node in (self.argument, *self.lists))

    def in_request(self, variables: Mapping[str, Any]) -> int:
        """The size, given the variables; what is no size at all is left to the executor to refuse."""
        value = self.argument
        if isinstance(value, VariableNode):
            size = _size(variables.get(value.name.value))
        elif isinstance(value, IntValueNode):
            size = int(value.value) if len(value.value) < 12 else CEILING
        elif isinstance(value, ListValueNode):
            size = len(value.values)
        else:
            sizes = [_length(node, variables) for node in self.lists]
            size = max((one for one in sizes if one is not None), default=None)
        return max(0, min(self.otherwise if size is None else size, self.most))


def _length(value: ValueNode, variables: Mapping[str, Any]) -> int | None:
    if isinstance(value, ListValueNode):
        return len(value.values)
    given = variables.get(value.name.value) if isinstance(value, VariableNode) else None
    return len(given) if isinstance(given, list) else None


def _size(given: Any) -> int | None:
    """The page size that a value asks for; of an input with lists, how long the longest is."""
    if isinstance(given, bool):
        return None
    if isinstance(given, int):
        return given
    if isinstance(given, list):
        return len(given)
    if isinstance(given, dict):
        return max((len(inner) for inner in given.values() if isinstance(inner, list)), default=None)
    return None


Path: TypeAlias = tuple[tuple[str, int], ...]
"""Lists, outermost first, each with how many rows it has at most."""


@dataclass(slots=True)
class Cost:
    """A sum that waits for the variables: what is always paid, and what is paid once per row of a list."""

    fixed: int = 0
    times: list[tuple[Size, str, "Cost"]] = field(default_factory=list)
    """How often, at which field, and what."""
    unless: list[tuple[DirectiveNode, "Cost"]] = field(default_factory=list)
    """What is skipped where the variables say so."""
    spread: list["Cost"] = field(default_factory=list)
    """The fragments, which are shared by all who spread them."""

    @property
    def is_nothing(self) -> bool:
        """Whether it adds nothing."""
        return not (self.fixed or self.times or self.unless or self.spread)

    @property
    def varies(self) -> bool:
        """Whether variables may change it."""
        return (
            bool(self.unless)
            or any(size.varies or below.varies for size, _, below in self.times)
            or any(cost.varies for cost in self.spread)
        )

    def in_request(self, variables: Mapping[str, Any]) -> "Bill":
        """The sum in one request, and which lists make most of it."""
        total, most = self.fixed, 0
        path: Path = ()
        for count, below in self._parts(variables):
            amount, label, bill = below
            cost = min(count * bill.total, CEILING)
            total = min(total + cost, CEILING)
            if cost > most:
                most = cost
                path = ((label, amount), *bill.path) if label else bill.path
        return Bill(total, path)

    def _parts(self, variables: Mapping[str, Any]) -> Iterator[tuple[int, tuple[int, str, "Bill"]]]:
        for size, label, cost in self.times:
            count = size.in_request(variables)
            if count:
                yield count, (count, label, cost.in_request(variables))
        for directive, cost in self.unless:
            if not _skipped(directive, variables):
                yield 1, (1, "", cost.in_request(variables))
        for cost in self.spread:
            yield 1, (1, "", cost.in_request(variables))


@dataclass(frozen=True, slots=True)
class Bill:
    """What one request costs at most."""

    total: int
    path: Path = ()
    """The lists, outermost first, that make most of it, each with its page size."""

    def explanation(self, maximum: int) -> str:
        """Say what is too much, and what would do."""
        shown = f"{self.total:,}" if self.total < CEILING else f"more than {CEILING - 1:,}"
        lists = [f"{name} ({count:,})" for name, count in self.path if count > 1]
        multiplied = f" Most of it is {', each with '.join(lists)}." if lists else ""
        return (
            f"The operation costs up to {shown}; at most {maximum:,} is allowed.{multiplied} "
            "Ask for smaller pages with `first`, or for what is below them in requests of their own."
        )


@dataclass(frozen=True, slots=True)
class Costing:
    """What an operation costs, once its variables are known."""

    cost: Cost
    defaults: Mapping[str, Any]
    always: Bill | None = None
    """What it costs whatever its variables are."""

    def in_request(self, variables: Mapping[str, Any] | None) -> Bill:
        """What it costs with these variables."""
        if self.always is not None:
            return self.always
        return self.cost.in_request({**self.defaults, **(variables or {})})


def costings(schema: GraphQLSchema, document: DocumentNode) -> dict[str | None, Costing]:
    """Work out, for each operation of a valid document that keeps within the other limits, what it costs."""
    walk = _Walk(schema, document)
    found: dict[str | None, Costing] = {}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            root = schema.get_root_type(definition.operation)
            cost, _ = walk.selections(definition.selection_set, root)
            defaults = {
                variable.variable.name.value: value_from_ast_untyped(variable.default_value)
                for variable in definition.variable_definitions or ()
                if variable.default_value is not None
            }
            always = None if cost.varies else cost.in_request({})
            found[definition.name.value if definition.name else None] = Costing(cost, defaults, always)
    return found


class _Walk:
    """Adds up the selections of a document, each fragment once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._known: dict[str, tuple[Cost, Cost]] = {}
        self._list_variables = _list_variables(document)

    def selections(self, selected: SelectionSetNode, parent: Any, above: ValueNode | None = None) -> tuple[Cost, Cost]:
        """What a selection set costs once, and what it costs per row where it is that of a page.

        `above` is the input of the mutation whose payload this is: the lists of a payload are as long as the input's.
        """
        once, per_row = Cost(), Cost()
        for selection in selected.selections:
            here, row = Cost(), Cost()
            if isinstance(selection, FieldNode):
                self._field(selection, parent, above, here, row)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self._schema.get_type(condition.name.value) if condition else parent
                here, row = self.selections(selection.selection_set, inner, above)
            elif isinstance(selection, FragmentSpreadNode):
                shared, shared_row = self._fragment(selection.name.value)
                here.spread.append(shared)
                row.spread.append(shared_row)
            _add(once, here, selection.directives)
            _add(per_row, row, selection.directives)
        return once, per_row

    def _fragment(self, name: str) -> tuple[Cost, Cost]:
        if name not in self._known:
            fragment = self._fragments[name]
            condition = self._schema.get_type(fragment.type_condition.name.value)
            self._known[name] = self.selections(fragment.selection_set, condition)
        return self._known[name]

    def _field(self, node: FieldNode, parent: Any, above: ValueNode | None, here: Cost, row: Cost) -> None:
        name = node.name.value
        if name.startswith("__"):
            return  # what the schema tells of itself is bounded by the other limits
        graphql_field: GraphQLField = parent.fields[name]
        declared = _declared(graphql_field)
        paged = parent.name.endswith("Connection")
        here.fixed += WEIGHTS.get(f"{parent.name}.{name}", 0)
        here.fixed += COUNT if paged and name == "totalCount" else isinstance(declared, Derived)
        if node.selection_set is None:
            return
        payload_of = _argument(node, "input") if parent is self._schema.mutation_type else None
        once, per_row = self.selections(node.selection_set, get_named_type(graphql_field.type), payload_of)
        label = node.alias.value if node.alias else name
        if isinstance(declared, ListSpec):
            size = Size(_argument(node, "first", "last"), declared.many.page, declared.many.most)
            once.fixed += 1
            _add(here, once)
            here.times.append((size, label, per_row))
        elif paged and name in ("nodes", "edges"):
            # The size of the page stands further up, where the list is asked for; the node of an edge counts itself.
            once.fixed += name == "nodes"
            _add(row, once)
        elif isinstance(declared, Embedded | Stored) or name == "pageInfo":
            _add(here, once)  # read along with its row
        elif is_list_type(get_nullable_type(graphql_field.type)):
            once.fixed += 1
            otherwise = MOST_RESULTS if parent.name.endswith("Payload") else PLAIN_LIST
            argument = _argument(node, "ids", "keys", "representations") or above
            here.times.append((Size(argument, otherwise, lists=self._lists_in(argument)), label, once))
        else:
            once.fixed += 1
            _add(here, once)

    def _lists_in(self, value: ValueNode | None) -> tuple[ValueNode, ...]:
        """What are lists in an input that is written out."""
        values = [field.value for field in value.fields] if isinstance(value, ObjectValueNode) else []
        return tuple(
            one
            for one in values
            if isinstance(one, ListValueNode)
            or (isinstance(one, VariableNode) and one.name.value in self._list_variables)
        )


def _list_variables(document: DocumentNode) -> set[str]:
    """The names of variables that are lists, in whichever operation."""
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    variables = [variable for operation in operations for variable in operation.variable_definitions or ()]
    return {variable.variable.name.value for variable in variables if _is_list(variable.type)}


def _is_list(type_: TypeNode) -> bool:
    return isinstance(type_.type if isinstance(type_, NonNullTypeNode) else type_, ListTypeNode)


def _add(total: Cost, part: Cost, directives: Any = None) -> None:
    """Add what a selection costs, unless its directives may skip it."""
    if part.is_nothing:
        return
    for directive in directives or ():
        if directive.name.value in ("skip", "include"):
            part = Cost(unless=[(directive, part)])
    total.fixed += part.fixed
    total.times += part.times
    total.unless += part.unless
    total.spread += part.spread


def _skipped(directive: DirectiveNode, variables: Mapping[str, Any]) -> bool:
    condition = (directive.arguments or ())[0].value
    given = (
        variables.get(condition.name.value)
        if isinstance(condition, VariableNode)
        else isinstance(condition, BooleanValueNode) and condition.value
    )
    return bool(given) == (directive.name.value == "skip")


def _argument(node: FieldNode, *names: str) -> ValueNode | None:
    for argument in node.arguments or ():
        if argument.name.value in names and not isinstance(argument.value, NullValueNode):
            return argument.value
    return None


def _declared(graphql_field: GraphQLField) -> Any:
    definition = graphql_field.extensions.get("strawberry-definition")
    return None if definition is None else definition.metadata.get("declared")
