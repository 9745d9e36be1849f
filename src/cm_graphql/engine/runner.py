"""Runs the plans of operations, and tells what of them is left to resolvers."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLField, GraphQLSchema, Undefined
from graphql.execution.values import VariableValues, get_variable_values
from strawberry import UNSET
from strawberry import Schema as StrawberrySchema
from strawberry.types.arguments import convert_arguments

from cm_graphql.engine.arguments import UsualVariables
from cm_graphql.engine.compiler import Compiler
from cm_graphql.engine.explain import Explanation, explained
from cm_graphql.engine.operations import Operation
from cm_graphql.engine.plan import Mutated, Object, Run, Unplanned
from cm_graphql.engine.roots import Change, NamedRoot, Plan
from cm_graphql.engine.telling import Foretold, teller_of
from cm_graphql.engine.together import Crowds
from cm_graphql.fields.resolve import HasLoaders
from cm_graphql.store.direct import Direct, ReadingFailed, TooLong
from cm_graphql.store.prepared import Statements

LONG_RUNS = 50
"""A plan that turned out to be long is taken for a long one so many times, before it is tried as a short one again:
on SQLite it runs in a thread, to let others be served meanwhile. What page sizes allow tells little: lists are seldom
full."""


@dataclass(frozen=True)
class Planned:
    """What plans answered of a query."""

    data: dict[str, Any]
    """The root fields that were planned; complete and in order unless something is left."""
    order: tuple[str, ...]
    """The keys of all root fields, in the order of the answer."""
    rest: DocumentNode | None
    """A document of the root fields that resolvers must answer."""

    def merged(self, rest: Mapping[str, Any]) -> dict[str, Any]:
        """All root fields in their order, with those that resolvers answered."""
        return {key: rest[key] if key in rest else self.data[key] for key in self.order}


@dataclass(frozen=True, slots=True)
class RootField:
    """A root field of a mutation that is about to be carried out."""

    operation: Operation
    variables: VariableValues
    key: str
    """Its key in the answer."""


@dataclass(slots=True)
class Ready:
    """A query that is about to be answered by its plan."""

    plan: Plan
    values: VariableValues

    @property
    def scopes(self) -> frozenset[str]:
        """What a caller must be allowed to do for all of it."""
        return self.plan.scopes


@dataclass(slots=True)
class ReadyChange:
    """A mutation that is about to be carried out without resolvers."""

    operation: Operation
    plan: Plan
    change: Change
    values: VariableValues
    command: Any

    @property
    def scopes(self) -> frozenset[str]:
        """What a caller must be allowed to do for all of it."""
        return self.change.scopes


class Engine:
    """Answers queries by plans, as far as they can be planned, and reads what mutations answer."""

    def __init__(self, schema: StrawberrySchema, direct: Direct) -> None:
        self._schema: GraphQLSchema = schema._schema
        self._config = schema.config
        self._scalars = schema.schema_converter.scalar_registry
        self._direct = direct
        self._statements = Statements(direct.dialect)
        # SQLite is read in this process, one after the other.
        self._crowds = None if direct.name == "sqlite" else Crowds(direct)
        self.counted: Counter[str] = Counter()
        """How many queries were answered by plans: `planned` altogether, `partly`, or not at all (`unplanned`); and how
        many mutations needed no resolver (`changes`), or had something of their payload read by a plan (`payloads`)."""

    async def answer(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: HasLoaders
    ) -> Planned | None:
        """What plans can answer of a query; None where that is nothing."""
        found = await self._answer(operation, variables, context)
        self.counted["unplanned" if found is None else "planned" if found.rest is None else "partly"] += 1
        return found

    async def _answer(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: HasLoaders
    ) -> Planned | None:
        values = self._values(operation, variables)
        plan = None if values is None else self.plan(operation, values)
        if values is None or plan is None or not plan.roots:
            return None
        try:
            data = await self._read(plan, self._run(values, context))
        except ReadingFailed:
            return None
        order = tuple(plan.rest.nodes)
        left = [key for key in order if key not in data and key not in plan.constants]
        if len(left) == len(order):
            return None
        if left:
            return Planned(data | plan.constants, order, plan.rest.document(left))
        return Planned(plan.in_order(data), order, None)

    def ready(self, operation: Operation, variables: Mapping[str, Any] | None) -> Ready | None:
        """A query whose plan stands ready and can answer all of it, with nothing unusual about its variables."""
        values = self._usual(operation, variables)
        plan = None if values is None else operation.kept(operation.variant(values.coerced))
        if values is None or plan is None or not plan.is_whole or plan.long_runs:
            return None
        return Ready(plan, values)

    async def read(self, ready: Ready, context: HasLoaders, who: Hashable) -> dict[str, Any] | None:
        """All data of such a query; None where it is not short, or resolvers must answer some of it after all.

        Those who are the same `who` may see the same.
        """
        plan, run = ready.plan, self._run(ready.values, context)
        try:
            if plan.single is None or self._crowds is None:
                data = await self._read(plan, run, only_short=True)
            else:
                data = await self._crowds.read(plan, run, who, lambda: self._read(plan, run, only_short=True))
        except ReadingFailed:
            return None
        if len(data) < len(plan.roots):
            return None
        self.counted["planned"] += 1
        return plan.in_order(data)

    def ready_change(
        self, operation: Operation, variables: Mapping[str, Any] | None, *, planned: bool = False
    ) -> ReadyChange | None:
        """A mutation that can be carried out without resolvers, with nothing unusual about its variables.

        With `planned`, only where its plan stands ready.
        """
        values = self._usual(operation, variables)
        if values is None:
            return None
        plan = operation.kept(operation.variant(values.coerced)) if planned else self.plan(operation, values)
        if plan is None or plan.change is None:
            return None
        command = plan.change.command(values.coerced)
        return None if command is Undefined else ReadyChange(operation, plan, plan.change, values, command)

    def foretell(self, ready: ReadyChange, outcome: Mapping[str, Any], context: HasLoaders) -> Foretold | None:
        """The payload of a mutation that is being carried out, where all of it is told by one row of one table.

        `outcome` is what it does, as far as that is known.
        """
        tellers, accounts = ready.plan.tellers, context.loaders.accounts
        is_limited = accounts is not None
        if is_limited not in tellers:
            tellers[is_limited] = teller_of(ready.plan, self._run(ready.values, context))
        teller = tellers[is_limited]
        return None if teller is None else teller.foretell(outcome, accounts)

    def told(self, foretold: Foretold, context: HasLoaders) -> dict[str, dict[str, Object]] | None:
        """What `payload` would have read; None where nobody told it."""
        found = foretold.payload(context)
        self.counted["payloads"] += found is not None and any(found.values())
        return found

    async def payload(
        self, field: RootField, outcomes: Sequence[Mapping[str, Any]], context: HasLoaders
    ) -> dict[str, dict[str, Object]]:
        """What plans read of a payload, once its mutation was committed: by place, then by id.

        Nothing stands at places that resolvers have to answer.
        """
        plan = self.plan(field.operation, field.variables)
        if not any(isinstance(root, NamedRoot) and root.key == field.key for root in plan.roots.values()):
            return {}
        try:
            found = await self._read(plan, self._run(field.variables, context, Mutated(field.key, outcomes)))
        except ReadingFailed:
            return {}
        self.counted["payloads"] += any(found.values())
        return found

    def explain(
        self, operation: Operation, variables: Mapping[str, Any] | None, context: HasLoaders
    ) -> Explanation | None:
        """How a query is answered; None where something is wrong with its variables or arguments."""
        values = self._values(operation, variables)
        try:
            return None if values is None else explained(self.plan(operation, values), self._run(values, context))
        except (Unplanned, GraphQLError):
            return None

    def _values(self, operation: Operation, variables: Mapping[str, Any] | None) -> VariableValues | None:
        usual = self._usual(operation, variables)
        if usual is not None:
            return usual
        definitions = operation.node.variable_definitions or ()
        values = get_variable_values(self._schema, definitions, dict(variables or {}), max_errors=1)
        return values if isinstance(values, VariableValues) else None

    def _usual(self, operation: Operation, variables: Mapping[str, Any] | None) -> VariableValues | None:
        if operation.usual is None:
            operation.usual = UsualVariables(self._schema, operation.node.variable_definitions or ())
        return operation.usual.coerced(variables)

    def _run(self, values: VariableValues, context: HasLoaders, mutated: Mutated | None = None) -> Run:
        return Run(self._direct.name, values, context, context.loaders, self._statements, self._converted, mutated)

    def plan(self, operation: Operation, values: VariableValues) -> Plan:
        """The plan of an operation for these values of the variables in @skip and @include."""
        variant = operation.variant(values.coerced)
        plan = operation.kept(variant)
        if plan is None:
            compiler = Compiler(self._schema, self._direct.dialect, operation.node, operation.fragments, values)
            plan = compiler.plan()
            operation.keep(variant, plan)
        return plan

    async def _read(self, plan: Plan, run: Run, *, only_short: bool = False) -> dict[str, Any]:
        """What a plan's root fields answer; raises ReadingFailed."""
        alone = plan.statements_at_most == 1
        found: dict[str, Any]
        if only_short or (self._direct.name == "sqlite" and plan.long_runs == 0):
            try:
                found = await self._direct.run(plan.run(run), short=True, alone=alone, extent=plan.extent)
                return found
            except TooLong:
                plan.long_runs = LONG_RUNS
                if only_short:
                    raise
        plan.long_runs = max(0, plan.long_runs - 1)
        found = await self._direct.run(plan.run(run), short=False, alone=alone, extent=plan.extent)
        return found

    def _converted(self, field: GraphQLField, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as a resolver would get them."""
        definition: Any = field.extensions["strawberry-definition"]
        converted = convert_arguments(
            dict(arguments), definition.arguments, scalar_registry=self._scalars, config=self._config
        )
        return {name: None if value is UNSET else value for name, value in converted.items()}
