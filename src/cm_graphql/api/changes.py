"""What clients lose or gain between two schemas: changes that break them, that may surprise them, and safe ones."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from graphql import (
    GraphQLArgument,
    GraphQLEnumValue,
    GraphQLError,
    GraphQLField,
    GraphQLInputField,
    GraphQLNamedType,
    GraphQLSchema,
    build_client_schema,
    build_schema,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
    is_specified_scalar_type,
    specified_directives,
)
from graphql.utilities import BreakingChange, DangerousChange, find_schema_changes

Deprecatable = GraphQLField | GraphQLArgument | GraphQLInputField | GraphQLEnumValue


class Severity(IntEnum):
    """How much a change can hurt."""

    SAFE = 0
    DANGEROUS = 1
    """Operations stay valid, but a client may meet what it does not expect."""
    BREAKING = 2
    """There are operations that were valid and are not any more, or variables."""


@dataclass(frozen=True, order=True, slots=True)
class Change:
    """One difference, in a sentence; `kind` is its symbol."""

    severity: Severity = field(compare=False)
    message: str
    kind: str


class NotASchema(Exception):
    """A text is neither schema language nor an introspection result; the message says why."""


def parse(text: str) -> GraphQLSchema:
    """Read schema language, or introspection as JSON with or without its `data`."""
    try:
        if not text.lstrip().startswith("{"):
            return build_schema(text)
        document = json.loads(text)
        return build_client_schema(document.get("data") or document)
    except json.JSONDecodeError as error:
        raise NotASchema(f"it is no JSON ({error})") from None
    except (GraphQLError, TypeError, KeyError) as error:
        raise NotASchema(str(error).partition("\n")[0].rstrip(".")) from None


def compare(old: GraphQLSchema, new: GraphQLSchema) -> list[Change]:
    """List the changes, the worst first."""
    found = {*_by_the_library(old, new), *_roots(old, new), *_one_ofs(old, new), *_deprecations(old, new)}
    return sorted(found, key=lambda change: (-change.severity, change))


def _by_the_library(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[Change]:
    # Directives of GraphQL itself are written down by some and taken for granted by others.
    own = [re.compile(rf"@{directive.name}\b") for directive in specified_directives]
    for change in find_schema_changes(old, new):
        if any(name.search(change.description) for name in own):
            continue
        if isinstance(change, BreakingChange):
            severity = Severity.BREAKING
        elif isinstance(change, DangerousChange):
            severity = Severity.DANGEROUS
        else:
            severity = Severity.SAFE
        yield Change(severity, change.description, change.type.name)


def _roots(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[Change]:
    """What graphql-core passes over: an operation may lose its root without any type being removed."""
    for operation in ("query", "mutation", "subscription"):
        before, after = (getattr(schema, f"{operation}_type") for schema in (old, new))
        if before and not after:
            yield Change(Severity.BREAKING, f"There are no {operation} operations any more.", "ROOT_REMOVED")
        if after and not before:
            yield Change(Severity.SAFE, f"There are {operation} operations now.", "ROOT_ADDED")


def _one_ofs(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[Change]:
    for name, before, after in _kept(old, new):
        if is_input_object_type(before) and is_input_object_type(after) and before.is_one_of != after.is_one_of:
            if after.is_one_of:
                yield Change(Severity.BREAKING, f"{name} takes exactly one of its fields now.", "ONE_OF_ADDED")
            else:
                yield Change(Severity.SAFE, f"{name} takes more than one of its fields now.", "ONE_OF_REMOVED")


def _deprecations(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[Change]:
    known = {name: before for _, one, _ in _kept(old, new) for name, before in _deprecatable(one)}
    for _, _, one in _kept(old, new):
        for name, after in _deprecatable(one):
            was, reason = known[name].deprecation_reason if name in known else None, after.deprecation_reason
            if reason is not None and was is None:
                yield Change(Severity.SAFE, f"{name} was deprecated: {reason}", "DEPRECATED")
            elif was is not None and reason is None:
                yield Change(Severity.SAFE, f"{name} is not deprecated any more.", "DEPRECATION_REMOVED")


def _kept(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[tuple[str, GraphQLNamedType, GraphQLNamedType]]:
    for name, before in old.type_map.items():
        after = new.type_map.get(name)
        if after and not name.startswith("__") and not is_specified_scalar_type(before):
            yield name, before, after


def _deprecatable(one: GraphQLNamedType) -> Iterator[tuple[str, Deprecatable]]:
    if is_enum_type(one):
        yield from ((f"{one.name}.{name}", value) for name, value in one.values.items())
    elif is_input_object_type(one):
        yield from ((f"{one.name}.{name}", value) for name, value in one.fields.items())
    elif is_object_type(one) or is_interface_type(one):
        for name, value in one.fields.items():
            yield f"{one.name}.{name}", value
            yield from ((f"{one.name}.{name}({argument}:)", given) for argument, given in value.args.items())
