"""Queries made up from a schema: deep and wide, with aliases, fragments, variables and directives."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_list_type,
    is_object_type,
)

DEEPEST = 5
VARIABLES = {"$yes": "Boolean = true", "$no": "Boolean = false", "$few": "Int = 2"}

NO_CURSORS: Mapping[str, Sequence[str]] = {}
NO_PREFIXES: Mapping[str, str] = {}


class Inventor:
    """Makes one query up; the same dice make the same query."""

    def __init__(
        self,
        schema: GraphQLSchema,
        dice: Random,
        ids: Sequence[str],
        numbers: Sequence[str],
        cursors: Mapping[str, Sequence[str]] = NO_CURSORS,
        *,
        prefixes: Mapping[str, str] = NO_PREFIXES,
        seldom: Collection[str] = (),
    ) -> None:
        """`ids` and `numbers` are those to ask for, `cursors` those of unsorted lists, by the type of the list.

        `prefixes` are those of ids by their types, so that most ids are of the right kind; some fields are selected
        `seldom`.
        """
        self._prefixes = prefixes
        self._seldom = seldom
        self._cursors = cursors
        self._schema = schema
        self._dice = dice
        self._ids = ids
        self._numbers = numbers
        self._fragments: list[str] = []

    def query(self) -> str:
        """A document with one operation."""
        root = self._schema.query_type
        assert root is not None
        fields = [self._field(root, self._chosen(list(root.fields)), 1) for _ in range(self._dice.randint(1, 3))]
        if self._dice.random() < 0.1:
            fields.append('__type(name: "CreditMemo") { name }')
        body = " ".join(f"r{i}: {field}" for i, field in enumerate(fields))
        if self._dice.random() < 0.2:
            body += " __typename"
        text = f"{{ {body} }} {' '.join(self._fragments)}"
        used = ", ".join(f"{name}: {type_}" for name, type_ in VARIABLES.items() if name in text)
        return f"query Made{f'({used})' if used else ''} {text}"

    def single(self, name: str, argument: str) -> str:
        """A document that asks for one thing, which the variable `$key` names."""
        root = self._schema.query_type
        assert root is not None
        text = f"{{ r: {name}({argument}: $key) {self._selection(root.fields[name].type, 1)} }}"
        text += " ".join(self._fragments)
        inputs = ["$key: ID!", *(f"{name}: {type_}" for name, type_ in VARIABLES.items() if name in text)]
        return f"query Made({', '.join(inputs)}) {text}"

    def mutation(self, *names: str) -> str:
        """A document with these mutations, the input of each a variable, that asks for what they answer."""
        root = self._schema.mutation_type
        assert root is not None
        parts, inputs = [], []
        for i, name in enumerate(names):
            field = root.fields[name]
            parts.append(f"r{i}: {name}(input: $i{i}) {self._selection(field.type, 0)}")
            inputs.append(f"$i{i}: {field.args['input'].type}")
        text = f"{{ {' '.join(parts)} }} {' '.join(self._fragments)}"
        inputs += [f"{name}: {type_}" for name, type_ in VARIABLES.items() if name in text]
        return f"mutation Made({', '.join(inputs)}) {text}"

    def change(self, name: str, given: Mapping[str, Any], selection: str | None = None) -> tuple[str, dict[str, Any]]:
        """A document with a mutation of this input, some of which is in variables; and the variables."""
        root = self._schema.mutation_type
        assert root is not None
        field, said = root.fields[name], Said(self._dice)
        argument = said.value(field.args["input"].type, given)
        typename = self._one_of(["", "", "", "__typename"])
        selected = self._selection(field.type, 0) if selection is None else selection
        text = f"{{ r: {name}(input: {argument}) {selected} {typename} }}"
        text += " ".join(self._fragments)
        declared = [*said.declared, *(f"{name}: {type_}" for name, type_ in VARIABLES.items() if name in text)]
        values = {**said.values, **(self.variables() if self._dice.random() < 0.5 else {})}
        variables = f"({', '.join(declared)})" if declared else ""
        return f"mutation Made{variables} {text}", values

    def variables(self) -> dict[str, Any]:
        """Values of the variables, of which some take their defaults and one may be null."""
        values: dict[str, list[Any]] = {"yes": [True, False], "no": [True, False], "few": [0, 1, 3, None]}
        return {name: self._dice.choice(some) for name, some in values.items() if self._dice.random() < 0.3}

    def _one_of(self, choices: Sequence[str]) -> str:
        return self._dice.choice(choices)

    def _chosen(self, names: Sequence[str]) -> str:
        """The name of a field; those selected seldom are looked at twice."""
        name = self._one_of(names)
        return self._one_of(names) if name in self._seldom and self._dice.random() < 0.9 else name

    def _id(self, kind: Any) -> str:
        """An id, nearly always of this type, where it is one that has ids."""
        prefix = self._prefixes.get(getattr(get_named_type(kind), "name", ""))
        fitting = [one for one in self._ids if one.startswith(f"{prefix}_")]
        return self._one_of(fitting if fitting and self._dice.random() < 0.95 else self._ids)

    def _selection(self, type_: Any, depth: int) -> str:
        named = get_named_type(type_)
        if is_interface_type(named):
            return self._of_interface(named, depth)
        assert is_object_type(named)
        parts = [self._aliased(named, depth) for _ in range(self._dice.randint(1, 5))]
        if self._dice.random() < 0.15:
            parts.append("__typename")
        if self._dice.random() < 0.15:
            parts.append(f"... on {named.name} {{ {self._aliased(named, depth)} }}")
        if self._dice.random() < 0.2:
            parts += self._twice(named, depth)
        if self._dice.random() < 0.1:
            name = f"F{len(self._fragments)}"
            self._fragments.append("")
            index = len(self._fragments) - 1
            self._fragments[index] = f"fragment {name} on {named.name} {{ {self._aliased(named, depth)} }}"
            parts.append(f"...{name} {self._switch()}")
        return "{ " + " ".join(parts) + " }"

    def _twice(self, named: GraphQLObjectType, depth: int) -> list[str]:
        """A field selected twice under one key, of which the halves are to be merged; or nothing."""
        names = [name for name, field in named.fields.items() if not _is_leaf(field) and not _is_required(field)]
        if not names or depth >= DEEPEST:
            return []
        name = self._one_of(names)
        key = f"a{self._dice.randrange(10**9)}"
        halves = [f"{key}: {name} {self._selection(named.fields[name].type, depth + 1)}" for _ in range(2)]
        return [halves[0], f"... on {named.name} {{ {halves[1]} }}"]

    def _of_interface(self, named: Any, depth: int) -> str:
        possible = list(self._schema.get_possible_types(named))
        parts = ["id", "__typename"]
        for object_type in self._dice.sample(possible, k=min(3, len(possible))):
            parts.append(f"... on {object_type.name} {{ {self._aliased(object_type, depth)} }}")
        return "{ " + " ".join(parts) + " }"

    def _aliased(self, object_type: GraphQLObjectType, depth: int) -> str:
        names = [name for name, field in object_type.fields.items() if depth < DEEPEST or _is_leaf(field)]
        name = self._chosen(names or ["__typename"])
        if name == "__typename":
            return name
        # Fields of one name can differ in arguments, so each selection has an alias that tells it apart.
        field = self._field(object_type, name, depth)
        if _is_leaf(object_type.fields[name]) and self._dice.random() < 0.7:
            return field
        return f"a{self._dice.randrange(10**9)}: {field}"

    def _field(self, object_type: GraphQLObjectType, name: str, depth: int) -> str:
        field = object_type.fields[name]
        text = f"{name}{self._arguments(field)} {self._switch()}"
        return text if _is_leaf(field) else f"{text} {self._selection(field.type, depth + 1)}"

    def _switch(self) -> str:
        return self._one_of(["", "", "", "", "", "", "@include(if: $yes)", "@skip(if: $no)", "@skip(if: $yes)"])

    def _arguments(self, field: GraphQLField) -> str:
        given = []
        places = self._cursors.get(get_named_type(field.type).name)
        if places and self._dice.random() < 0.3:
            place = f'{self._one_of(["after", "before"])}: "{self._one_of(places)}"'
            return f"({place}, {self._one_of(['first', 'last'])}: {self._one_of(['1', '3', '$few'])})"
        sized = False
        for name, argument in field.args.items():
            if isinstance(argument.type, GraphQLNonNull) or self._dice.random() < 0.3:
                if name in ("first", "last"):
                    if sized and self._dice.random() < 0.9:
                        continue  # both at once are refused
                    sized = True
                value = self._value(name, argument, field)
                if value is not None:
                    given.append(f"{name}: {value}")
        return f"({', '.join(given)})" if given else ""

    def _value(self, name: str, argument: GraphQLArgument, field: GraphQLField) -> str | None:
        dice = self._dice
        match name:
            case "first" | "last":
                return self._one_of(["0", "1", "2", "3", "$few", "5", "-1" if dice.random() < 0.1 else "4"])
            case "after" | "before":
                return '"bm90IGEgY3Vyc29y"' if dice.random() < 0.05 else None
            case "id":
                return f'"{self._id(field.type)}"'
            case "ids":
                return "[" + ", ".join(f'"{self._one_of(self._ids)}"' for _ in range(dice.randint(0, 4))) + "]"
            case "keys":
                keys = [*self._numbers, *self._ids]
                return "[" + ", ".join(f'"{self._one_of(keys)}"' for _ in range(dice.randint(0, 4))) + "]"
            case "key":
                return f'"{self._one_of([*self._numbers, *self._ids, "no such number"])}"'
            case "sort":
                return self._sort(argument)
            case "filter":
                return self._filter(get_named_type(argument.type), 1)
            case "groupBy":
                return self._one_of(["[STATUS]", "[ACCOUNT, MONTH]", "[]"])
        return None

    def _sort(self, argument: GraphQLArgument) -> str:
        named = get_named_type(argument.type)
        assert isinstance(named, GraphQLInputObjectType)
        fields = get_named_type(named.fields["field"].type)
        assert isinstance(fields, GraphQLEnumType)
        terms = [
            f"{{field: {self._one_of(list(fields.values))}, direction: {self._one_of(['ASC', 'DESC'])}}}"
            for _ in range(self._dice.randint(0, 2))
        ]
        return f"[{', '.join(terms)}]"

    def _filter(self, named: Any, depth: int) -> str:
        dice = self._dice
        conditions = []
        for name in dice.sample(list(named.fields), k=min(2, len(named.fields))):
            type_ = named.fields[name].type
            if name in ("and", "or"):
                if depth < 3:
                    conditions.append(f"{name}: [{self._filter(named, depth + 1)}]")
            elif name == "not":
                if depth < 3:
                    conditions.append(f"not: {self._filter(named, depth + 1)}")
            elif name == "search":
                conditions.append(f'search: "{self._one_of(["a", *self._numbers])}"')
            else:
                conditions.append(f"{name}: {self._operator(get_named_type(type_), self._kind(named, name))}")
        return "{" + ", ".join(conditions) + "}"

    def _kind(self, filter_type: Any, name: str) -> Any:
        """The type whose ids a field of a filter takes, if it does."""
        filtered = self._schema.type_map.get(filter_type.name.removesuffix("Filter"))
        if name == "id" or not isinstance(filtered, GraphQLObjectType):
            return filtered
        one = filtered.fields.get(name.removesuffix("Id"))
        return None if one is None else one.type

    def _operator(self, operators: Any, kind: Any) -> str:
        name = self._one_of([key for key in operators.fields if not key.startswith("__")])
        if name == "isNull":
            return "{isNull: " + self._one_of(["true", "false", "$yes"]) + "}"
        value = self._literal(get_named_type(operators.fields[name].type), kind)
        return (
            f"{{{name}: [{value}]}}" if is_list_type(_nullable(operators.fields[name].type)) else f"{{{name}: {value}}}"
        )

    def _literal(self, named: Any, kind: Any) -> str:
        if isinstance(named, GraphQLEnumType):
            return self._one_of(list(named.values))
        match named.name:
            case "Boolean":
                return self._one_of(["true", "false"])
            case "Int":
                return self._one_of(["0", "1", "2"])
            case "Decimal":
                return self._one_of(['"0"', '"12.50"', '"-3"', '"1000.005"', "100"])
            case "Date":
                return '"2026-03-01"'
            case "DateTime":
                return '"2026-03-01T00:00:00Z"'
            case "ID":
                return f'"{self._id(kind)}"'
        return self._one_of(
            ['"CM0000000"', '"EUR"', '"USD"', '"a"', '""', *(f'"{number}"' for number in self._numbers)]
        )


def _nullable(type_: Any) -> Any:
    return type_.of_type if isinstance(type_, GraphQLNonNull) else type_


def _is_required(field: GraphQLField) -> bool:
    return any(isinstance(argument.type, GraphQLNonNull) for argument in field.args.values())


def _is_leaf(field: GraphQLField) -> bool:
    return bool(is_leaf_type(get_named_type(field.type)))


class Said:
    """Says values in a document: as literals, as variables, or as literals with variables in them."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self.declared: list[str] = []
        self.values: dict[str, Any] = {}

    def value(self, type_: Any, value: Any) -> str:
        """A value, which may be wrong, at a place of this type."""
        if self._dice.random() < 0.3:
            return self._variable(type_, value)
        plain = _nullable(type_)
        if isinstance(value, Mapping) and isinstance(plain, GraphQLInputObjectType):
            fields = [
                f"{name}: {self.value(plain.fields[name].type, inner)}" if name in plain.fields else f"{name}: 1"
                for name, inner in value.items()
            ]
            return "{" + ", ".join(fields) + "}"
        if isinstance(value, list) and is_list_type(plain):
            return "[" + ", ".join(self.value(plain.of_type, inner) for inner in value) + "]"
        return _literal(plain, value)

    def _variable(self, type_: Any, value: Any) -> str:
        dice, name = self._dice, f"w{len(self.declared)}"
        plain = _nullable(type_)
        declared, default = str(type_), ""
        if plain is type_ and value is not None and dice.random() < 0.3:
            declared += "!"
        elif dice.random() < 0.2:
            default, declared = f" = {_literal(plain, value)}", str(plain)
        self.declared.append(f"${name}: {declared}{default}")
        if not (default or declared == str(plain)) or dice.random() < 0.7:
            self.values[name] = value
        return f"${name}"


def _literal(type_: Any, value: Any) -> str:
    if isinstance(value, Mapping):
        fields = getattr(type_, "fields", {})
        inner = {name: fields[name].type if name in fields else None for name in value}
        return "{" + ", ".join(f"{name}: {_literal(_nullable(inner[name]), one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(_nullable(getattr(type_, "of_type", None)), one) for one in value) + "]"
    return str(value) if isinstance(type_, GraphQLEnumType) and isinstance(value, str) else json.dumps(value)


WRONG: Sequence[Any] = (
    None,
    7,
    -1,
    1.5,
    True,
    "",
    "x",
    "\0",
    "\ud800",
    "12.345",
    "0",
    2**40,
    [],
    {},
    "cm_" + "0" * 32,
    "2026-02-30",
)
"""What may stand where something else should."""


def flawed(dice: Random, value: Any) -> Any:
    """A value of JSON with something wrong in one place of it, or at least unusual."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        name = dice.choice(sorted(value))
        if dice.random() < 0.15:
            return {key: inner for key, inner in value.items() if key != name}
        if dice.random() < 0.1:
            return {**value, "unknown": 1}
        return {**value, name: flawed(dice, value[name])}
    if isinstance(value, list) and value and dice.random() < 0.8:
        return [flawed(dice, value[0]), *value[1:]] if dice.random() < 0.8 else value[0]
    return dice.choice(WRONG)


Place = tuple[str, ...]
"""The names of fields on the way to one inside an input."""

SCALARS: Mapping[str, Any] = {
    "Boolean": True,
    "Date": "2026-03-15",
    "DateTime": "2026-03-15T12:00:00Z",
    "Decimal": "1.00",
    "Int": 1,
    "JSON": {"custom__c": "x"},
}


def id_places(named: Any, above: Place = ()) -> Iterator[Place]:
    """Wherever an id can stand in an input."""
    for name, field in named.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLInputObjectType):
            yield from id_places(inner, (*above, name))
        elif inner.name == "ID":
            yield (*above, name)


def least(named: Any, place: Place, id: str, ids: Mapping[str, str]) -> dict[str, Any]:
    """The shortest input that has an id at a place; others are looked up by the names of their fields."""
    made: dict[str, Any] = {}
    for name, field in named.fields.items():
        inner = get_named_type(field.type)
        is_on_the_way = place[:1] == (name,)
        if not is_on_the_way and not isinstance(field.type, GraphQLNonNull):
            continue
        if isinstance(inner, GraphQLInputObjectType):
            value: Any = least(inner, place[1:] if is_on_the_way else (), id, ids)
        elif isinstance(inner, GraphQLEnumType):
            value = next(iter(inner.values))
        elif inner.name == "ID":
            value = id if is_on_the_way else ids.get(name, id)
        else:
            value = SCALARS.get(inner.name, "text")
        made[name] = [value] if is_list_type(_nullable(field.type)) else value
    return made


def made_up(dice: Random, named: Any, id_of: Callable[[str, str], str]) -> dict[str, Any]:
    """An input with some of its fields; an id is asked for by the names of its type and its field."""
    fields = dict(named.fields)
    if named.is_one_of:
        chosen = dice.choice(sorted(fields))
        fields = {chosen: fields[chosen]}
    made: dict[str, Any] = {}
    for name, field in fields.items():
        is_needed = named.is_one_of or isinstance(field.type, GraphQLNonNull)
        if is_needed or dice.random() < (0.35 if _holds_ids(field.type) else 0.15):
            length = dice.choice((1, 1, 2)) if is_list_type(_nullable(field.type)) else None
            values = [_value_of(dice, named, name, field.type, id_of) for _ in range(length or 1)]
            made[name] = values[0] if length is None else values
    return made


def _holds_ids(type_: Any) -> bool:
    inner = get_named_type(type_)
    return inner.name == "ID" or isinstance(inner, GraphQLInputObjectType)


def _value_of(dice: Random, named: Any, name: str, type_: Any, id_of: Callable[[str, str], str]) -> Any:
    inner = get_named_type(type_)
    if isinstance(inner, GraphQLInputObjectType):
        return made_up(dice, inner, id_of)
    if isinstance(inner, GraphQLEnumType):
        return dice.choice(list(inner.values))
    match inner.name:
        case "ID":
            return id_of(named.name, name)
        case "Boolean":
            return dice.random() < 0.5
        case "Decimal":
            return dice.choice(("0.01", "1.00", "1", "5.50", "1000000"))
        case "Date":
            return dice.choice(("2026-01-15", "2026-03-15", "2026-06-01", "2026-12-01"))
        case "Int":
            return dice.choice((1, 2))
        case "String" if name.lower().endswith("currency"):
            return dice.choice(("USD", "EUR"))
    return SCALARS.get(inner.name, "text")
