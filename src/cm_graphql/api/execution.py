"""How an operation is run: by plans as far as they go, and by graphql-core's executor beyond that."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Protocol, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationType,
    located_error,
)
from graphql import subscribe as graphql_subscribe
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from graphql.type import GraphQLObjectType
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from cm_graphql.api.documents import Document
from cm_graphql.api.errors import Code, DocumentRefused, from_request_error
from cm_graphql.engine.operations import Operation
from cm_graphql.engine.runner import Planned, RootField


class RequestContext(Protocol):
    """What execution asks of the object that resolvers know as `info.context`."""

    async def planned(self, operation: Operation, variables: Mapping[str, Any] | None) -> Planned | None:
        """What plans can answer of a query; None where resolvers must answer all of it."""
        ...

    async def carried_out(self, operation: Operation, variables: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The data of a mutation that was carried out without resolvers; None where they have to tell of it."""
        ...

    def before_root_field(self, field: RootField) -> None:
        """Note which root field of a mutation comes next, so that plans can read its payload."""
        ...

    async def after_root_field(self) -> None:
        """Finish what a root field of a mutation left open, now that everything selected below it was read."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """An object of the answer that a plan has made: whatever is selected of it is there, and nothing else."""

    data: dict[str, Any]


class Execution(StrawberryGraphQLCoreExecutionContext):
    """Runs one operation, and tells the context when a root field of a mutation begins, and when it is complete.

    A dry run needs that moment: its transaction must stay open until the payload has been read, and be undone before
    the next root field starts.
    """

    planned_operation: Operation | None = None
    """The operation with its plans, where plans may read payloads."""

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if isinstance(result, Finished):
            return result.data
        return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,
    ) -> Any:
        if path.prev is not None or self.operation.operation is not OperationType.MUTATION:
            return super().execute_field(parent_type, source, field_details_list, path, position_context)
        return self._execute_mutation_field(parent_type, source, field_details_list, path, position_context)

    async def _execute_mutation_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,
    ) -> Any:
        context: RequestContext = self.context_value
        if self.planned_operation is not None:
            context.before_root_field(RootField(self.planned_operation, self.variable_values, str(path.key)))
        try:
            completed = super().execute_field(parent_type, source, field_details_list, path, position_context)
            return await completed if self.is_awaitable(completed) else completed
        finally:
            # Also after a failure or when cancelled: whatever is open must not outlive the field.
            try:
                await context.after_root_field()
            except Exception as error:
                raise located_error(error, [details.node for details in field_details_list], path.as_list()) from error


async def subscribe(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation_name: str | None,
    variables: Mapping[str, Any] | None,
    context: RequestContext,
    *,
    suggestions: bool = True,
) -> AsyncGenerator[ExecutionResult, None]:
    """Begin a subscription of a valid document; each event gives a result, and a refusal is the only one.

    Without `suggestions`, a wrong name in a variable is not answered with right ones.
    Raises DocumentRefused as `execute` does.
    """
    found = graphql_subscribe(
        schema,
        document,
        context_value=context,
        variable_values=dict(variables or {}),
        operation_name=operation_name,
        max_coercion_errors=20,
        hide_suggestions=not suggestions,
        executor_class=Execution,
        operation_extensions={},
    )
    results = await found if isawaitable(found) else found
    if isinstance(results, ExecutionResult):
        if results.data is None and results.errors and all(error.path is None for error in results.errors):
            raise DocumentRefused([from_request_error(error, Code.BAD_USER_INPUT) for error in results.errors])
        yield results
        return
    async with aclosing(cast(AsyncGenerator[ExecutionResult, None], results)):
        async for result in results:
            yield result


async def answer(
    schema: GraphQLSchema,
    document: Document,
    operation_name: str | None,
    variables: Mapping[str, Any] | None,
    context: RequestContext,
    *,
    suggestions: bool = True,
) -> ExecutionResult:
    """Run one operation of a document the fastest way: by a plan, by resolvers, or some root fields by each.

    Raises DocumentRefused as `execute` does.
    """
    operation = document.operation(operation_name)
    planned = None
    if operation is not None and operation.kind is OperationType.QUERY:
        planned = await context.planned(operation, variables)
    elif operation is not None and operation.kind is OperationType.MUTATION:
        data = await context.carried_out(operation, variables)
        if data is not None:
            return ExecutionResult(data)
    if planned is None:
        node = document.node
        return await execute(schema, node, operation_name, variables, context, operation, suggestions=suggestions)
    if planned.rest is None:
        return ExecutionResult(planned.data)
    rest = await execute(schema, planned.rest, None, variables, context, suggestions=suggestions)
    # Null in place of all data is what a failed field that must not be null makes of it, whatever else was found.
    return rest if rest.data is None else ExecutionResult(planned.merged(rest.data), rest.errors)


async def execute(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation_name: str | None,
    variables: Mapping[str, Any] | None,
    context: RequestContext,
    operation: Operation | None = None,
    *,
    suggestions: bool = True,
) -> ExecutionResult:
    """Run one operation of a valid document by its resolvers; given `operation`, its plans may read payloads.

    Raises DocumentRefused when the operation cannot be chosen or a variable has a wrong value; what fields raise is
    in the result.
    """
    built = Execution.build(
        schema,
        document,
        context_value=context,
        raw_variable_values=dict(variables or {}),
        operation_name=operation_name,
        max_coercion_errors=20,
        hide_suggestions=not suggestions,
        operation_extensions={},
    )
    if isinstance(built, list):
        raise DocumentRefused([from_request_error(error, Code.BAD_USER_INPUT) for error in built])
    cast(Execution, built).planned_operation = operation
    result = built.execute_operation()
    if built.is_awaitable(result):
        result = await result
    if not isinstance(result, ExecutionResult):
        raise GraphQLError("The schema must not offer @defer or @stream: this server answers in one piece.")
    return result
