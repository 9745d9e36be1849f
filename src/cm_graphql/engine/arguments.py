"""Variables and arguments of the usual kinds, taken as they are: what is unusual about any of them is graphql-core's.

graphql-core coerces for each request what its document says of a variable or an argument; that takes as long as finding
a row. Here the document is read once. A text for an ID, a number for an Int, the name of an enum's member need no more
than a look, and arguments without variables are the same in each request. An input type that stands for something else,
as those of mutations do for commands, says itself how it is taken (`TAKERS`).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import MISSING
from typing import Any, Final, TypeAlias, cast

from graphql import (
    FieldNode,
    GraphQLBoolean,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLSchema,
    GraphQLString,
    ListValueNode,
    Node,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    coerce_input_value,
    get_named_type,
    is_enum_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    visit,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_argument_values
from graphql.type import get_nullable_type
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal
from strawberry.types.base import StrawberryMaybe, StrawberryOptional

Take: TypeAlias = Callable[[Any], Any]
"""Gives the coerced value of a usual one, and Undefined for any other."""

Make: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Makes a value of the coerced variables; Undefined where graphql-core has to look at it."""

Convert: TypeAlias = Callable[[GraphQLField, Mapping[str, Any]], dict[str, Any]]
"""Turns coerced arguments into what resolvers take."""

NOTHING: Mapping[str, Any] = {}

TAKERS: Final = "__takers__"
"""Under this name the class of an input may have what makes a `Take` of its GraphQL type, of objects that resolvers do
not know; or None where there is none."""


class UsualVariables:
    """The variables of one operation."""

    def __init__(self, schema: GraphQLSchema, definitions: Sequence[VariableDefinitionNode]) -> None:
        self._known: list[tuple[str, Any, Take, bool, Any]] | None = []
        """Of each its name, its signature, what takes its values, whether it has to be given, and what it is else."""
        for definition in definitions:
            signature = get_variable_signature(schema, definition)
            take = None if isinstance(signature, GraphQLError) else taker(signature.type)
            if isinstance(signature, GraphQLError) or take is None or not _has_usual_default(signature, definition):
                self._known = None
                return
            default = Undefined if definition.default_value is None else coerce_default_value(signature)
            needed = default is Undefined and is_non_null_type(signature.type)
            self._known.append((signature.name, signature, take, needed, default))

    def coerced(self, given: Mapping[str, Any] | None) -> VariableValues | None:
        """Their values in a request; None where graphql-core has to look at them."""
        if self._known is None:
            return None
        given = given or NOTHING
        sources: dict[str, VariableValueSource] = {}
        values: dict[str, Any] = {}
        for name, signature, take, needed, default in self._known:
            if name in given:
                value = given[name]
                taken = take(value)
                if taken is Undefined:
                    return None
                sources[name] = VariableValueSource(signature, value)
                values[name] = taken
            elif needed:
                return None
            else:
                sources[name] = VariableValueSource(signature)
                if default is not Undefined:
                    values[name] = default
        return VariableValues(sources, values)


def _has_usual_default(signature: GraphQLVariableSignature, definition: VariableDefinitionNode) -> bool:
    """Whether a variable's default, if it has one, is what a resolver would get as well."""
    return definition.default_value is None or is_leaf_type(get_named_type(signature.type))


class Arguments:
    """The arguments of one field in a document."""

    def __init__(self, field: GraphQLField, node: FieldNode) -> None:
        self._field = field
        self._node = node
        self.given = {argument.name.value: argument.value for argument in node.arguments or ()}
        """The value of each in the document."""
        self._make = _mapping(field.args, self.given)
        self.cursors = {
            name: value.name.value
            for name, value in self.given.items()
            if name in ("after", "before") and isinstance(value, VariableNode)
        }
        """The arguments that differ from page to page, with the names of the variables that they are."""
        others = [value for name, value in self.given.items() if name not in self.cursors]
        self._decide = tuple(dict.fromkeys(name for value in others for name in variables_in(value)))

    def decided_by(self, variables: VariableValues) -> tuple[Hashable, ...] | None:
        """What decides in a request all of them but the cursors, of which it tells which are there; None where that
        cannot be kept or graphql-core has to look at them.
        """
        if self._make is None:
            return None
        values = variables.coerced
        key = (
            *(values.get(name, Undefined) for name in self._decide),
            *(values.get(name) is None for name in self.cursors.values()),
        )
        try:
            hash(key)
        except TypeError:  # lists
            return None
        return key

    def in_request(self, variables: VariableValues, convert: Convert) -> dict[str, Any]:
        """The arguments as resolvers take them; raises what is wrong with them."""
        found: Any = Undefined if self._make is None else self._make(variables.coerced)
        if found is not Undefined:
            return cast(dict[str, Any], found)
        return convert(self._field, get_argument_values(self._field, self._node, variables))


def _mapping(fields: Mapping[str, Any], given: Mapping[str, ValueNode]) -> Make | None:
    """What makes arguments, or what an input object is made of, by the names in Python."""
    constants: dict[str, Any] = {}
    varying: list[tuple[str, Make, bool]] = []
    for name, field in fields.items():
        declared = field.extensions["strawberry-definition"]
        default = coerce_default_value(field)
        can_miss = default is Undefined and not is_non_null_type(field.type)
        # What may be given or left out is wrapped, so that null can be told from nothing.
        if isinstance(declared.type, StrawberryMaybe):
            return None
        if name in given:
            make = _maker(field.type, given[name])
            if make is None:
                return None
            if has_variables(given[name]):
                varying.append((declared.python_name, make, can_miss and isinstance(given[name], VariableNode)))
            else:
                constants[declared.python_name] = make(NOTHING)
        elif default is not Undefined:
            constants[declared.python_name] = default
        elif not can_miss:
            return None

    def made(variables: Mapping[str, Any]) -> Any:
        found = constants.copy()
        for name, make, can_miss in varying:
            value = make(variables)
            if value is not Undefined:
                found[name] = value
            elif not can_miss:
                return Undefined
        return found

    return made


def _maker(type_: GraphQLInputType, node: ValueNode) -> Make | None:
    """What makes a value that may have variables in it; None where graphql-core has to."""
    required, named = is_non_null_type(type_), get_nullable_type(type_)
    is_leaf = is_leaf_type(get_named_type(type_))
    if isinstance(node, VariableNode):
        return _variable(node.name.value, required) if is_leaf else None
    if is_leaf and not has_variables(node):
        value = coerce_input_literal(node, type_)
        return None if value is Undefined else lambda _: value
    if is_list_type(named):
        items = node.values if isinstance(node, ListValueNode) else (node,)
        makers = [_maker(named.of_type, item) for item in items]
        return None if None in makers else _list(cast(list[Make], makers))
    return _object(named, node) if is_input_object_type(named) and isinstance(node, ObjectValueNode) else None


def _variable(name: str, required: bool) -> Make:
    def made(variables: Mapping[str, Any]) -> Any:
        value = variables.get(name, Undefined)
        return Undefined if required and value is None else value

    return made


def _list(makers: list[Make]) -> Make:
    def made(variables: Mapping[str, Any]) -> Any:
        found = [make(variables) for make in makers]
        return Undefined if Undefined in found else found

    return made


def _object(type_: GraphQLInputObjectType, node: ObjectValueNode) -> Make | None:
    definition: Any = type_.extensions["strawberry-definition"]
    make = _mapping(type_.fields, {field.name.value: field.value for field in node.fields})
    # Strawberry makes None of an optional field that is left out and has no default; that is left to it.
    bare = any(isinstance(one.type, StrawberryOptional) for one in definition.fields if one.default_value is MISSING)
    if make is None or bare or definition.from_input is not None or type_.is_one_of:
        return None

    def made(variables: Mapping[str, Any]) -> Any:
        found = make(variables)
        return Undefined if found is Undefined else definition.origin(**found)

    return made


def taker(type_: GraphQLInputType) -> Take | None:
    """What takes the usual values of a type; None where there are none."""
    named = get_nullable_type(type_)
    take = _taker(named)
    if take is None or is_non_null_type(type_):
        return take
    return lambda value: None if value is None else take(value)


def _taker(type_: Any) -> Take | None:
    if is_list_type(type_):
        return _items(taker(type_.of_type))
    if is_input_object_type(type_):
        takers = getattr(type_.extensions["strawberry-definition"].origin, TAKERS, None)
        return cast(Take | None, None if takers is None else takers(type_))
    if is_enum_type(type_):
        return _enum(type_)
    return _TAKERS.get(type_) or _scalar(type_)


def _items(take: Take | None) -> Take | None:
    if take is None:
        return None

    def taken(values: Any) -> Any:
        if type(values) is not list:
            return Undefined
        found = [take(value) for value in values]
        return Undefined if Undefined in found else found

    return taken


def _enum(type_: Any) -> Take:
    members = {name: coerce_input_value(name, type_) for name in type_.values}
    return lambda value: members.get(value, Undefined) if type(value) is str else Undefined


def _scalar(type_: Any) -> Take:
    """What takes values of a scalar of ours."""

    def taken(value: Any) -> Any:
        try:
            return type_.coerce_input_value(value)
        except Exception:  # graphql-core finds it again, and says what is wrong
            return Undefined

    return taken


_TAKERS: Mapping[Any, Take] = {
    GraphQLID: lambda value: value if type(value) is str else Undefined,
    GraphQLString: lambda value: value if type(value) is str else Undefined,
    GraphQLInt: lambda value: value if type(value) is int and -(2**31) <= value < 2**31 else Undefined,
    GraphQLBoolean: lambda value: value if type(value) is bool else Undefined,
}


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.found.append(node.name.value)


def variables_in(node: Node) -> list[str]:
    """The name of the variable at each place below a node where one stands."""
    variables = _Variables()
    visit(node, variables)
    return variables.found


def has_variables(value: ValueNode) -> bool:
    """Whether a value of a document depends on variables."""
    return bool(variables_in(value))
