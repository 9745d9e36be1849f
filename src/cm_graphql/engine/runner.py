"""Runs plans: finds the plan of an operation, or compiles it, and takes its statements to the database."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableNode,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.values import VariableValues, get_variable_values
from graphql.language import DirectiveNode, Visitor, visit
from strawberry import UNSET
from strawberry import Schema as StrawberrySchema
from strawberry.types.arguments import convert_arguments

from cm_graphql.engine.compiler import Compiler
from cm_graphql.engine.errors import RequestError
from cm_graphql.engine.loaders import Loaders
from cm_graphql.engine.plan import Plan, Run, Unplanned
from cm_graphql.engine.prepared import Statements
from cm_graphql.store.direct import Direct, ReadingFailed

MOST_PLANS = 1_000
"""Plans kept, those that could not be made among them."""

INLINE_ROWS = 2_000
"""Up to so many rows a plan runs on SQLite at once; larger ones move to a thread, to let others be served."""


class Engine:
    """Answers queries by plans, as far as they can be planned."""

    def __init__(self, schema: StrawberrySchema, direct: Direct) -> None:
        self._schema: GraphQLSchema = schema._schema
        self._config = schema.config
        self._scalars = schema.schema_converter.scalar_registry
        self._direct = direct
        self._statements = Statements(direct.dialect)
        self._plans: OrderedDict[tuple[Any, ...], Plan | None] = OrderedDict()
        self._operations: OrderedDict[int, tuple[DocumentNode, dict[str | None, _Operation]]] = OrderedDict()
        self.planned = 0
        """Operations that plans answered."""
        self.unplanned = 0
        """Queries that went the ordinary way."""

    async def data(
        self,
        document: DocumentNode,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
        loaders: Loaders,
    ) -> dict[str, Any] | None:
        """The data of a query; None where it must go the ordinary way, as whenever there is an error to tell."""
        try:
            found = await self._answer(document, operation_name, variables, loaders)
        except (Unplanned, RequestError, ReadingFailed):
            found = None
        if found is None:
            self.unplanned += 1
        else:
            self.planned += 1
        return found

    async def _answer(
        self,
        document: DocumentNode,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
        loaders: Loaders,
    ) -> dict[str, Any] | None:
        operation = self._operation(document, operation_name)
        if operation is None:
            return None
        values = get_variable_values(
            self._schema, operation.node.variable_definitions or (), dict(variables or {}), max_errors=1
        )
        if not isinstance(values, VariableValues):
            return None
        plan = self._plan(operation, values)
        if plan is None:
            return None
        run = Run(self._direct.name, values, loaders, self._statements, self._converted)
        try:
            data: dict[str, Any] = await self._direct.run(plan.run(run), short=self._is_short(plan))
        except KeyError as error:
            # A row is missing under a non-null field; that error has a path, which plans do not know.
            raise Unplanned from error
        return data

    def _is_short(self, plan: Plan) -> bool:
        if self._direct.name == "sqlite":
            return plan.rows_at_most <= INLINE_ROWS
        return plan.statements_at_most == 1

    def _operation(self, document: DocumentNode, name: str | None) -> "_Operation | None":
        kept = self._operations.get(id(document))
        if kept is None or kept[0] is not document:
            kept = self._operations[id(document)] = (document, _operations(document))
            if len(self._operations) > MOST_PLANS:
                self._operations.popitem(last=False)
        operations = kept[1]
        if name is None:
            return next(iter(operations.values())) if len(operations) == 1 else None
        return operations.get(name)

    def _plan(self, operation: "_Operation", values: VariableValues) -> Plan | None:
        """The plan of an operation for these values of the variables in @skip and @include."""
        switches = tuple(values.coerced.get(name) for name in operation.switches)
        key = (id(operation), *switches)
        if key not in self._plans:
            compiler = Compiler(self._schema, self._direct.dialect, operation.node, operation.fragments, values)
            try:
                self._plans[key] = compiler.plan()
            except Unplanned:
                self._plans[key] = None
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        return self._plans[key]

    def _converted(self, field: GraphQLField, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as a resolver would get them."""
        definition: Any = field.extensions["strawberry-definition"]
        converted = convert_arguments(
            dict(arguments), definition.arguments, scalar_registry=self._scalars, config=self._config
        )
        return {name: None if value is UNSET else value for name, value in converted.items()}


class _Operation:
    """An operation of a document, and which variables decide its shape."""

    def __init__(
        self, node: OperationDefinitionNode, fragments: dict[str, FragmentDetails], switches: list[str]
    ) -> None:
        self.node = node
        self.fragments = fragments
        self.switches = switches


def _operations(document: DocumentNode) -> dict[str | None, _Operation]:
    fragments = {
        definition.name.value: FragmentDetails(definition)
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    switches = _Switches()
    visit(document, switches)
    names = sorted(switches.names)
    return {
        definition.name.value if definition.name else None: _Operation(definition, fragments, names)
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
