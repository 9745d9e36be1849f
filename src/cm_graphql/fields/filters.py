"""Filters and sorts of a type, made from its stored fields: inputs for clients, conditions for the database."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from math import ceil, floor
from typing import Any, TypeAlias

import strawberry
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    Integer,
    Text,
    and_,
    bindparam,
    false,
    func,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.sql.elements import True_
from sqlalchemy.sql.type_api import TypeEngine
from strawberry.types.field import StrawberryField

from cm_graphql.fields.declare import NAMES, Behind, NodeType, One, Order, Stored, typed
from cm_graphql.fields.errors import BadUserInput
from cm_graphql.fields.ids import id_of
from cm_graphql.fields.wire import nullable, storable
from cm_graphql.store.fold import fold, fold_text
from cm_graphql.store.types import SCALE_DIGITS, SCALED_LIMIT, Amount, EnumText, Id, PlainText, Scaled, Timestamp

BIGGEST = 2**63 - 1
MOST_VALUES = 1_000
"""Values that one `in` may list."""

MOST_CONDITIONS = 300
"""Conditions that one filter may hold; SQLite takes no expression that is a thousand levels deep."""

LONGEST_TEXT = 1_000
"""Characters of a text to look for with `contains`, `startsWith` or `search`."""

DEEPEST = 10
"""Levels of and, or, not that one filter may nest."""


@strawberry.enum(description="Which way a sort runs; null comes last in both.")
class SortDirection(Enum):
    """Which way a sort runs."""

    ASC = strawberry.enum_value("ASC", description="Smallest, earliest or first by code point first.")
    DESC = strawberry.enum_value("DESC", description="Largest, latest or last by code point first.")


NAMES["SortDirection"] = SortDirection

_TEXT_OPERATORS = {
    "contains": "The value has this text somewhere; letter case is ignored.",
    "starts_with": "The value begins with this text; letter case is ignored.",
}
_ORDER_OPERATORS = {
    "gt": "The value is greater or later.",
    "gte": "The value is greater, later or equal.",
    "lt": "The value is smaller or earlier.",
    "lte": "The value is smaller, earlier or equal.",
}


def operator_input(type_: TypeEngine[Any]) -> type:
    """The input type of the operators that a column of this type has (api.md, Filter and sort)."""
    if isinstance(type_, EnumText):
        return _operators(f"{type_.vocabulary.__name__}Filter", type_.vocabulary, {})
    if isinstance(type_, Id):
        return _operators("IDFilter", strawberry.ID, _TEXT_OPERATORS)
    for kinds, name, annotation in (
        ((Amount, Scaled), "DecimalFilter", Decimal),
        ((Timestamp,), "DateTimeFilter", datetime),
        ((Date,), "DateFilter", date),
        ((Integer,), "IntFilter", int),
    ):
        if isinstance(type_, kinds):
            return _operators(name, annotation, _ORDER_OPERATORS)
    if isinstance(type_, Boolean):
        return _operators("BooleanFilter", bool, {})
    return _operators("StringFilter", str, _TEXT_OPERATORS)


def _operators(name: str, of: Any, more: Mapping[str, str]) -> type:
    if name not in NAMES:
        fields: dict[str, tuple[Any, str]] = {
            "eq": (of, "The value is this one; null asks for rows without a value."),
            "ne": (of, "The value is not this one; rows without a value are found too."),
            "in_": (list[of], "The value is one of these; an empty list finds nothing."),
            "is_null": (bool, "Whether there is no value."),
        } | {key: (of, text) for key, text in more.items()}
        NAMES[name] = _input(name, "Conditions on one field; all that are given must hold.", fields)
    return NAMES[name]  # type: ignore[no-any-return]


def _input(name: str, description: str, fields: Mapping[str, tuple[Any, str]]) -> type:
    """An input of optional fields; a trailing underscore keeps Python's own words apart and is not part of the name."""
    made: dict[str, tuple[StrawberryField, Any]] = {}
    for key, (annotation, text) in fields.items():
        optional = f"{annotation} | None" if isinstance(annotation, str) else annotation | None
        field_ = strawberry.field(description=text, default=strawberry.UNSET, name=_camel(key.rstrip("_")))
        made[key] = field_, optional
    return typed(type(name, (), {}), made, lambda c: strawberry.input(c, description=description))  # type: ignore[no-any-return]


def filter_input(node_type: NodeType) -> type:
    """The filter of a type: one operator input per filterable field, and the combinations."""
    name = f"{node_type.name}Filter"
    if name not in NAMES:
        fields: dict[str, tuple[Any, str]] = {}
        for key in node_type.filters:
            operators = operator_input(node_type.sources[key].type)
            stored = node_type.fields.get(key)
            about = stored.description if isinstance(stored, Stored) else "The id."
            fields[key] = (operators, f"Conditions on `{_camel(key)}`: {about}")
        if node_type.search:
            fields["search"] = (str, "Finds this text in any of the fields that people search by; case is ignored.")
        fields["and_"] = (f"list[{name}]", "All of these hold.")
        fields["or_"] = (f"list[{name}]", "At least one of these holds.")
        fields["not_"] = (name, "This does not hold.")
        about = "All conditions that are given must hold; an empty filter finds everything."
        NAMES[name] = _input(name, about, fields)
    return NAMES[name]  # type: ignore[no-any-return]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def sort_input(node_type: NodeType) -> type:
    """The sort of a type: one of its sortable fields and a direction."""
    name = f"{node_type.name}Sort"
    if name not in NAMES:
        members = {
            key.upper(): strawberry.enum_value(key, description=f"By `{_camel(key)}`.") for key in node_type.sorts
        }
        enumerate_: Any = Enum  # called, since the members are only known now
        choices = enumerate_(f"{name}Field", members)
        fields = strawberry.enum(
            choices,
            description=f"What a list of {node_type.name} can be sorted by.",
        )
        NAMES[f"{name}Field"] = fields
        direction = strawberry.field(description="Which way it runs.", default=SortDirection.ASC)
        made = {
            "field": (strawberry.field(description="The field to sort by."), fields),
            "direction": (direction, SortDirection),
        }
        about = "One term of a sort; ties are broken by the next, at last by id."
        NAMES[name] = typed(type(name, (), {}), made, lambda c: strawberry.input(c, description=about))
    return NAMES[name]  # type: ignore[no-any-return]


def orders(node_type: NodeType, asked: list[Any] | None) -> tuple[Order, ...]:
    """The terms to sort by: those asked for or the type's default, then the id."""
    if asked and len(asked) > len(node_type.sorts):
        raise BadUserInput(f"sort has {len(asked)} terms; {node_type.name} has {len(node_type.sorts)} sortable fields.")
    terms = [Order(term.field.value, term.direction is SortDirection.DESC) for term in asked or ()] or node_type.order
    seen: dict[str, Order] = {}
    for term in terms:
        seen.setdefault(term.field, term)
    last = next(reversed(seen.values()))
    seen.setdefault("id", Order("id", last.descending))
    return tuple(seen.values())


def all_of(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """All of these hold; plainly true where nothing is asked, which the planning of pages looks for."""
    asked = [one for one in conditions if not isinstance(one, True_)]
    return asked[0] if len(asked) == 1 else and_(*asked) if asked else true()


def condition(node_type: NodeType, asked: Any) -> ColumnElement[bool]:
    """The condition of a filter; malformed ids and impossible operators are BAD_USER_INPUT."""
    return built(node_type, *shape_and_values(node_type, asked))


Shape: TypeAlias = tuple[Any, ...]
"""What a filter asks, without the values: filters of one shape have the same condition, whose statement is compiled
once for all of them."""


def shape_and_values(node_type: NodeType, asked: Any) -> tuple[Shape, Sequence[Any]]:
    """The shape of a filter, and the values in it; malformed ids and impossible operators are BAD_USER_INPUT."""
    if asked is None:
        return (), ()
    reading = _Reading(node_type)
    return reading.of(asked, 1), tuple(reading.values)


def built(node_type: NodeType, shape: Shape, values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition of a shape, with its values as the parameters that `named` names."""
    return _Building(node_type, iter(named(values).items())).of(shape)


def named(values: Sequence[Any]) -> dict[str, Any]:
    """The values of a filter by the names of their parameters."""
    return {f"filter_{i}": value for i, value in enumerate(values)}


@dataclass
class _Reading:
    """Reads what a filter asks."""

    node_type: NodeType
    conditions: int = 0
    listed: int = 0
    values: list[Any] = field(default_factory=list)

    def of(self, asked: Any, depth: int) -> Shape:
        if depth > DEEPEST:
            raise BadUserInput(f"A filter nests at most {DEEPEST} levels of and, or, not.")
        found: list[Any] = []
        for key, given in vars(asked).items():
            if given is None or given is strawberry.UNSET:
                continue
            if key in ("and_", "or_"):
                self._counted(len(given))
                found.append((key, tuple(self.of(part, depth + 1) for part in given)))
            elif key == "not_":
                found.append((key, self.of(given, depth + 1)))
            elif key == "search":
                self._counted(len(self.node_type.search))
                found.append((key, self._taken(*_containing(Text(), given))))
            else:
                found.append((key, self._operators(key, given)))
        return tuple(found)

    def _counted(self, conditions: int, values: int = 0) -> None:
        self.conditions += conditions
        self.listed += values
        if self.conditions > MOST_CONDITIONS:
            raise BadUserInput(f"A filter holds at most {MOST_CONDITIONS} conditions.")
        if self.listed > MOST_VALUES:
            raise BadUserInput(f"A filter lists at most {MOST_VALUES} values in all of its `in`.")

    def _operators(self, key: str, operators: Any) -> Shape:
        given = [one for one in vars(operators).items() if one[1] is not strawberry.UNSET]
        self._counted(max(1, len(given)), len(operators.in_ or ()))
        type_ = _asked_of(self.node_type, key).type
        if isinstance(type_, Id):
            prefix = _prefix(self.node_type, key)
            given = [(operator, _checked(operator, value, prefix)) for operator, value in given]
        found = []
        for operator, value in given:
            if value is None and operator not in ("eq", "ne"):
                name = _camel(operator.rstrip("_"))
                raise BadUserInput(f"{_camel(key)}: {name} takes a value; ask for null with isNull or eq.")
            found.append(self._taken(*_READ[operator](type_, value)))
        return tuple(found)

    def _taken(self, condition: str, *values: Any) -> tuple[str, int]:
        self.values += values
        return condition, len(values)


Bind: TypeAlias = Callable[[TypeEngine[Any]], ColumnElement[Any]]
"""Makes a parameter of the next value."""


@dataclass
class _Building:
    """Builds the condition of a shape."""

    node_type: NodeType
    values: Iterator[tuple[str, Any]]

    def bind(self, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        name, value = next(self.values)
        return bindparam(name, value, type_=type_)

    def of(self, shape: Shape) -> ColumnElement[bool]:
        return all_of(*(self._part(key, asked) for key, asked in shape))

    def _part(self, key: str, asked: Any) -> ColumnElement[bool]:
        if key == "and_":
            return all_of(*(self.of(part) for part in asked))
        if key == "or_":
            return or_(false(), *(self.of(part) for part in asked))
        if key == "not_":
            # Null is a value like any other, so "not" must find the rows of which the database says "unknown".
            return not_(func.coalesce(self.of(asked), false()))
        if key == "search":
            return self._search(*asked)
        target = _asked_of(self.node_type, key)
        found = all_of(*(_BUILD[condition](target, count, self.bind) for condition, count in asked))
        stored = self.node_type.fields.get(key)
        if not isinstance(stored, Stored) or stored.of is None or stored.via is None or target is not stored.of:
            return found
        here, ids = self.node_type.table.c[stored.via], select(target.table.c.id).where(found)
        # One value, after which an index may have the rest in order; or many, asked of the other table once.
        return here == ids.scalar_subquery() if asked == (("equal", 1),) and target.unique else here.in_(ids)

    def _search(self, condition: str, count: int) -> ColumnElement[bool]:
        if condition != "containing":
            return false()
        pattern = self.bind(Text())
        return or_(*(_holding(source, pattern) for source in self.node_type.search))


def _holding(source: ColumnElement[Any] | Behind, pattern: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(source, Behind):
        return source.key.in_(select(source.id).where(_like(source.text, pattern)))
    return _like(source, pattern)


def _asked_of(node_type: NodeType, key: str) -> Any:
    """The column that a condition is about; that of another table where each row has one there."""
    stored = node_type.fields.get(key)
    if isinstance(stored, Stored) and stored.via is not None and not node_type.table.c[stored.via].nullable:
        return stored.of
    return node_type.sources[key]


def _prefix(node_type: NodeType, key: str) -> str | None:
    """The prefix of the ids in a column, or nothing where they can be of several kinds or of another system."""
    if key == "id":
        return node_type.prefix
    for name, value in node_type.fields.items():
        if isinstance(value, One) and (value.key or f"{name}_id") == key and value.target != "Node":
            return str(NAMES[value.target].__node__.prefix)
    return None


def _checked(operator: str, value: Any, prefix: str | None) -> Any:
    """A value with its ids checked, of which bare digits are given their prefix; the wrong kind is BAD_USER_INPUT."""
    if prefix is None or value is None or operator not in ("eq", "ne", "in_"):
        return value
    return [id_of(one, prefix) for one in value] if operator == "in_" else id_of(value, prefix)


# --- what is asked of a column: a condition by name, and its values ---------------------------------------------------

Read: TypeAlias = tuple[Any, ...]

NOTHING: Read = ("nothing",)


def _equal(type_: TypeEngine[Any], value: Any) -> Read:
    bound = None if value is None else _bound(type_, value)
    return ("null",) if value is None else NOTHING if bound is None else ("equal", bound)


def _different(type_: TypeEngine[Any], value: Any) -> Read:
    bound = None if value is None else _bound(type_, value)
    return ("valued",) if value is None else ("anything",) if bound is None else ("different", bound)


def _among(type_: TypeEngine[Any], values: list[Any]) -> Read:
    bound = [b for b in (_bound(type_, value) for value in values) if b is not None]
    if not bound:
        return NOTHING
    # As many parameters as the next power of two, the last value again and again: a dozen statements serve all.
    return ("among", *bound, *(bound[-1:] * ((1 << (len(bound) - 1).bit_length()) - len(bound))))


def _compared(operator: str) -> Callable[[TypeEngine[Any], Any], Read]:
    def compare(type_: TypeEngine[Any], value: Any) -> Read:
        if not isinstance(type_, Amount | Scaled):
            return operator, value
        scale, biggest = (10_000, BIGGEST) if isinstance(type_, Amount) else (10**SCALE_DIGITS, SCALED_LIMIT - 1)
        exact = Fraction(value) * scale
        whole = floor(exact) if operator in ("gt", "lte") else ceil(exact)
        if abs(whole) > biggest:
            return ("given",) if (whole < 0) == (operator in ("gt", "gte")) else NOTHING
        return operator, whole if isinstance(type_, Amount) else Decimal(whole) / scale

    return compare


def _containing(_type: TypeEngine[Any], text: str) -> Read:
    _check_length(text)
    if not storable(text):
        return NOTHING
    pattern = fold_text(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return "containing", f"%{pattern}%"


def _starting(_type: TypeEngine[Any], text: str) -> Read:
    """A range, which an index serves on both databases, unlike LIKE."""
    _check_length(text)
    if not storable(text):
        return NOTHING
    prefix = fold_text(text)
    end = _next_prefix(prefix)
    return ("starting", prefix) if end is None else ("starting", prefix, end)


def _next_prefix(prefix: str) -> str | None:
    """The least text that is greater than all that begin so, by code point; None where there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at]) + 1
        if code == 0xD800:
            code = 0xE000  # what lies between are no characters
        if code <= sys.maxunicode:
            return prefix[:at] + chr(code)
    return None


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise BadUserInput(f"The text to look for has {len(text)} characters; at most {LONGEST_TEXT} are allowed.")


def _bound(type_: TypeEngine[Any], value: Any) -> Any:
    """The value as the column's type takes it; nothing where no row can have it."""
    if isinstance(type_, EnumText):
        return value
    if isinstance(type_, Amount):
        exact = Fraction(value) * 10_000
        return int(exact) if exact.denominator == 1 and abs(exact) <= BIGGEST else None
    if isinstance(type_, Scaled):
        return value if abs(value) < 10**9 and value == value.quantize(Decimal("1e-9")) else None
    if isinstance(type_, Integer):
        return value if abs(value) <= BIGGEST else None
    return None if isinstance(value, str) and not storable(value) else value


_READ: Mapping[str, Callable[[TypeEngine[Any], Any], Read]] = {
    "eq": _equal,
    "ne": _different,
    "in_": _among,
    "is_null": lambda _type, value: ("null",) if value else ("valued",),
    "contains": _containing,
    "starts_with": _starting,
    **{operator: _compared(operator) for operator in _ORDER_OPERATORS},
}


# --- and the same as SQL ----------------------------------------------------------------------------------------------


def _null(source: ColumnElement[Any]) -> ColumnElement[bool]:
    return source.is_(None) if nullable(source) else false()


def _valued(source: ColumnElement[Any]) -> ColumnElement[bool]:
    return source.is_not(None) if nullable(source) else true()


def _like(source: ColumnElement[Any], pattern: ColumnElement[Any]) -> ColumnElement[bool]:
    return fold(source).like(pattern, escape="\\")


def _within(source: ColumnElement[Any], count: int, bind: Bind) -> ColumnElement[bool]:
    # Ids of ours are in lower case as they are.
    known = getattr(source, "foreign_keys", None) or getattr(source, "primary_key", False)
    folded = source if isinstance(source.type, Id) and known else fold(source)
    within = folded >= bind(PlainText())
    return within if count == 1 else and_(within, folded < bind(PlainText()))


_BUILD: Mapping[str, Callable[[ColumnElement[Any], int, Bind], ColumnElement[bool]]] = {
    "nothing": lambda _source, _count, _bind: false(),
    "anything": lambda _source, _count, _bind: true(),
    "null": lambda source, _count, _bind: _null(source),
    "valued": lambda source, _count, _bind: _valued(source),
    "given": lambda source, _count, _bind: source.is_not(None),
    "equal": lambda source, _count, bind: source == bind(source.type),
    "different": lambda source, _count, bind: not_(func.coalesce(source == bind(source.type), false())),
    "among": lambda source, count, bind: source.in_([bind(source.type) for _ in range(count)]),
    "containing": lambda source, _count, bind: _like(source, bind(Text())),
    "starting": _within,
    "gt": lambda source, _count, bind: source > bind(source.type),
    "gte": lambda source, _count, bind: source >= bind(source.type),
    "lt": lambda source, _count, bind: source < bind(source.type),
    "lte": lambda source, _count, bind: source <= bind(source.type),
}
"""Conditions by name: of a column, with so many values, each of which becomes a parameter."""
