"""Mutations made from operations: what the caller gave, the operation, the answer."""

from asyncio import gather
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast, get_type_hints

import strawberry
from graphql import Undefined, ValueNode
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.field import StrawberryField

from cm_graphql.api.context import Context
from cm_graphql.api.execution import Finished
from cm_graphql.api.inputs import command_of, input_of, maker_of
from cm_graphql.domain.errors import ErrorCode, Fault, field_name
from cm_graphql.engine.arguments import Make
from cm_graphql.fields.declare import NAMES, Acts, Elements, Index, Named, Refused, typed
from cm_graphql.fields.loaders import Loaders
from cm_graphql.fields.resolve import find
from cm_graphql.operations.gate import Action, Answer, BulkAction, Outcome


@strawberry.type(description="Why a mutation was refused: one thing wrong with the request.")
class UserError:
    """One fault of a refusal, as the API shows it (api.md, Mutations)."""

    code: ErrorCode = strawberry.field(description="The symbol of the rule that refused.")
    message: str = strawberry.field(description="What is wrong, with which thing, and what would have been right.")
    field: list[str] | None = strawberry.field(
        description="The path into the input where it lies, as in `items`, `0`, `amount`; null when it lies in none."
    )


NAMES["UserError"] = UserError
NAMES["ID"] = strawberry.ID


def user_errors(faults: tuple[Fault, ...]) -> list[UserError]:
    """The faults of a refusal as the API shows them."""
    return [
        UserError(
            code=fault.code,
            message=fault.message,
            field=[field_name(step) for step in fault.field] or None,
        )
        for fault in faults
    ]


class Payload:
    """What a mutation answers; its fields read the outcome through the loaders of the moment."""

    _answer: Answer

    @classmethod
    def of(cls, answer: Answer, **values: Any) -> Any:
        """Wrap an answer, without the constructor that a dataclass would insist on."""
        payload = object.__new__(cls)
        payload._answer = answer
        for name, value in values.items():
            object.__setattr__(payload, name, value)
        return payload


Reader = Callable[[Loaders, Any], Awaitable[Any]]
"""Finds what has no id by what an outcome says of it."""

PayloadField = tuple[str, str] | tuple[str, str, Reader]
"""The GraphQL type of a payload's field, as an annotation by name, its description, and how to read what has no id."""

PayloadFields = Mapping[str, PayloadField]


def mutation(what: Action[Any], description: str, **payload: PayloadField) -> Any:
    """The mutation of an action: `credit_memo=("CreditMemo", "The memo as it is now.")` names its payload's fields."""
    record = _command(what.run)
    made = _payload(f"{record.__name__}Payload", f"The answer of `{_field_name(record)}`.", payload)

    async def resolve(self: Any, info: strawberry.Info, input: Any) -> Any:
        context = cast(Context, info.context)
        return made.of(await context.act(what, command_of(record, input)))

    return _field(resolve, record, made, description, declared=Acts(what, what.scopes, partial(_commands, record)))


def _commands(record: type, type_: Any, node: ValueNode) -> Make | None:
    """What makes commands of a request's variables; of what dry runs will undo, only resolvers can read."""
    make = maker_of(record, type_, node)
    if make is None:
        return None

    def made(variables: Mapping[str, Any]) -> Any:
        command = make(variables)
        return Undefined if command is Undefined or command.dry_run else command

    return made


def bulk_mutation(what: BulkAction[Any, Any], element: str, description: str, **payload: PayloadField) -> Any:
    """The mutation of a bulk action; `element` names the type of one result."""
    record = _command(what.elements)
    result = _payload(
        element,
        f"What became of one element of `{_field_name(record)}`.",
        payload,
        {"index": (int, "The element's place in the input, from 0.", Index())},
    )
    fields = {
        "results": (
            strawberry.field(
                description="Per element, in the order of the input, what became of it.",
                metadata={"declared": Elements()},
            ),
            f"list[{element}]",
        ),
        "user_errors": (
            strawberry.field(
                description="What is wrong with the request as a whole; then no element was looked at.",
                metadata={"declared": Refused(user_errors)},
            ),
            "list[UserError]",
        ),
    }
    about = f"The answer of `{_field_name(record)}`."
    name = f"{record.__name__}Payload"
    made = NAMES[name] = typed(type(name, (), {}), fields, lambda c: strawberry.type(c, description=about))

    async def resolve(self: Any, info: strawberry.Info, input: Any) -> Any:
        context = cast(Context, info.context)
        answers = await context.act_each(what, command_of(record, input))
        if answers.refused:
            return made(results=[], user_errors=user_errors(answers.refused))
        return made(
            results=[result.of(answer, index=index) for index, answer in enumerate(answers.elements)], user_errors=[]
        )

    acts = Acts(what, what.scopes, partial(_commands, record), is_bulk=True)
    return _field(resolve, record, made, description, declared=acts)


def _command(run: Callable[..., Any]) -> type:
    """The command record that an operation takes: the annotation of its last parameter."""
    hints = get_type_hints(run)
    hints.pop("return", None)
    return cast(type, list(hints.values())[-1])


def _field_name(record: type) -> str:
    return record.__name__[0].lower() + record.__name__[1:]


def _field(
    resolve: Callable[..., Any], record: type, payload: type, description: str, **metadata: Any
) -> StrawberryField:
    made = strawberry.field(resolver=resolve, description=description, metadata=metadata)
    for argument in made.arguments:
        argument.type_annotation = StrawberryAnnotation(input_of(record), namespace=NAMES)
        argument.description = "What is asked for."
    made.type_annotation = StrawberryAnnotation(payload, namespace=NAMES)
    return cast(StrawberryField, made)


def _payload(
    name: str, about: str, payload: PayloadFields, more: Mapping[str, tuple[Any, str, Any]] | None = None
) -> type[Payload]:
    fields: dict[str, tuple[StrawberryField, Any]] = {
        key: (strawberry.field(description=text, metadata={"declared": declared}), annotation)
        for key, (annotation, text, declared) in (more or {}).items()
    }
    for key, (annotation, text, *readers) in payload.items():
        resolver = _outcome_resolver(key, *readers)
        metadata = {} if readers else {"declared": Named(key)}
        fields[key] = strawberry.field(resolver=resolver, description=text, metadata=metadata), f"{annotation} | None"
    errors = strawberry.field(
        resolver=_errors_resolver,
        description="Why nothing was done; empty when the mutation did its work.",
        metadata={"declared": Refused(user_errors)},
    )
    fields["user_errors"] = errors, "list[UserError]"
    made = typed(type(name, (Payload,), {}), fields, lambda c: strawberry.type(c, description=about))
    NAMES[name] = made
    return cast(type[Payload], made)


def _outcome_resolver(key: str, read: Reader | None = None) -> Callable[..., Any]:
    async def resolve(self: Any, info: strawberry.Info) -> Any:
        outcome: Outcome = self._answer.outcome or {}
        context, value = cast(Context, info.context), outcome.get(key)
        if read is not None and value is not None:
            return await read(context.loaders, value)
        place = ".".join(step for step in info.path.as_list() if isinstance(step, str))
        return await _shown(context, place, key, value)

    return resolve


async def _shown(context: Context, place: str, key: str, value: Any) -> Any:
    """A value of an outcome: an id stands for the thing, unless the field is about the id itself."""
    if isinstance(value, list):
        shown = await gather(*(_shown(context, place, key, inner) for inner in value))
        # A repeat reads things as they are now: one may be deleted by then, or no longer for this caller to see.
        return [inner for inner in shown if inner is not None]
    if isinstance(value, str) and not key.endswith("_id") and _looks_like_an_id(value):
        made = context.shown(place, value)
        return await find(context.loaders, value) if made is None else Finished(made)
    return value


def _looks_like_an_id(value: str) -> bool:
    prefix, _, digits = value.partition("_")
    return prefix.islower() and len(digits) == 32


def _errors_resolver(self: Any) -> Any:
    return user_errors(self._answer.faults)
