"""Filters and sorts of a type, made from its stored fields: inputs for clients, conditions for the database."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from math import ceil, floor
from typing import Any

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

from cm_graphql.engine.declare import NAMES, Behind, NodeType, One, Order, Stored, typed
from cm_graphql.engine.errors import BadUserInput
from cm_graphql.engine.ids import id_of
from cm_graphql.engine.wire import nullable, storable
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
    return condition_and_values(node_type, asked)[0]


def condition_and_values(node_type: NodeType, asked: Any) -> tuple[ColumnElement[bool], dict[str, Any]]:
    """The condition of a filter, and the values in it by the names of their parameters.

    Filters that differ only in values have the same condition, so that its statement is compiled once for all.
    """
    if asked is None:
        return true(), {}
    found = _Conditions(node_type)
    return found.of(asked, 1), found.parameters


Bind = Callable[[Any, TypeEngine[Any]], ColumnElement[Any]]
"""Makes a parameter of a value."""


@dataclass
class _Conditions:
    node_type: NodeType
    conditions: int = 0
    values: int = 0
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)

    def bind(self, value: Any, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return bindparam(name, value, type_=type_)

    def of(self, asked: Any, depth: int) -> ColumnElement[bool]:
        if depth > DEEPEST:
            raise BadUserInput(f"A filter nests at most {DEEPEST} levels of and, or, not.")
        found: list[ColumnElement[bool]] = []
        for key in self.node_type.filters:
            operators = getattr(asked, key)
            if operators is not None and operators is not strawberry.UNSET:
                found.append(self._field(key, operators))
        text = getattr(asked, "search", None)
        if isinstance(text, str):
            self._counted(len(self.node_type.search))
            found.append(or_(*(self._holding(source, text) for source in self.node_type.search)))
        for key, join in (("and_", and_), ("or_", or_)):
            parts = getattr(asked, key)
            if parts is not None and parts is not strawberry.UNSET:
                self._counted(len(parts))
                inner = [self.of(part, depth + 1) for part in parts]
                found.append(join(*inner) if inner else (true() if key == "and_" else false()))
        if asked.not_ is not None and asked.not_ is not strawberry.UNSET:
            # Null is a value like any other, so "not" must find the rows of which the database says "unknown".
            found.append(not_(func.coalesce(self.of(asked.not_, depth + 1), false())))
        return all_of(*found)

    def _holding(self, source: ColumnElement[Any] | Behind, text: str) -> ColumnElement[bool]:
        if isinstance(source, Behind):
            return source.key.in_(select(source.id).where(_containing(source.text, text, self.bind)))
        return _containing(source, text, self.bind)

    def _counted(self, conditions: int, values: int = 0) -> None:
        self.conditions += conditions
        self.values += values
        if self.conditions > MOST_CONDITIONS:
            raise BadUserInput(f"A filter holds at most {MOST_CONDITIONS} conditions.")
        if self.values > MOST_VALUES:
            raise BadUserInput(f"A filter lists at most {MOST_VALUES} values in all of its `in`.")

    def _field(self, key: str, operators: Any) -> ColumnElement[bool]:
        given = sum(getattr(operators, operator, strawberry.UNSET) is not strawberry.UNSET for operator in _OPERATORS)
        self._counted(max(1, given), len(operators.in_ or ()))
        stored = self.node_type.fields.get(key)
        source = self.node_type.sources[key]
        if isinstance(source.type, Id):
            operators = _with_ids(operators, self._prefix(key))
        if isinstance(stored, Stored) and stored.via is not None:
            assert stored.of is not None
            here = self.node_type.table.c[stored.via]
            if not here.nullable and _asks_only(operators, "eq") and stored.of.unique:
                # One value, after which an index may have the rest in order.
                one = select(stored.of.table.c.id).where(_equal(stored.of, operators.eq, self.bind))
                return here == one.scalar_subquery()
            if not here.nullable:
                # Asked of the other table once, instead of for every row of this one.
                found = _operated(stored.of, operators, _camel(key), self.bind)
                return here.in_(select(stored.of.table.c.id).where(found))
        return _operated(source, operators, _camel(key), self.bind)

    def _prefix(self, key: str) -> str | None:
        """The prefix of the ids in a column, or nothing where they can be of several kinds or of another system."""
        if key == "id":
            return self.node_type.prefix
        for name, value in self.node_type.fields.items():
            if isinstance(value, One) and (value.key or f"{name}_id") == key and value.target != "Node":
                return str(NAMES[value.target].__node__.prefix)
        return None


def _with_ids(operators: Any, prefix: str | None) -> Any:
    """Check the ids of a filter, and give bare digits their prefix; the wrong kind is BAD_USER_INPUT."""
    if prefix is None:
        return operators

    def checked(value: Any) -> Any:
        return id_of(value, prefix) if isinstance(value, str) else value

    among = [checked(value) for value in operators.in_] if operators.in_ else operators.in_
    return replace(operators, eq=checked(operators.eq), ne=checked(operators.ne), in_=among)


def _operated(source: ColumnElement[Any], operators: Any, name: str, bind: Bind) -> ColumnElement[bool]:
    found = []
    for operator, apply in _OPERATORS.items():
        value = getattr(operators, operator, strawberry.UNSET)
        if value is strawberry.UNSET:
            continue
        if value is None and operator not in ("eq", "ne"):
            raise BadUserInput(f"{name}: {_camel(operator.rstrip('_'))} takes a value; ask for null with isNull or eq.")
        found.append(apply(source, value, bind))
    return all_of(*found)


def _null(source: ColumnElement[Any]) -> ColumnElement[bool]:
    return source.is_(None) if nullable(source) else false()


def _valued(source: ColumnElement[Any]) -> ColumnElement[bool]:
    return source.is_not(None) if nullable(source) else true()


def _equal(source: ColumnElement[Any], value: Any, bind: Bind) -> ColumnElement[bool]:
    if value is None:
        return _null(source)
    bound = _bound(source, value)
    return false() if bound is None else source == bind(bound, source.type)


def _different(source: ColumnElement[Any], value: Any, bind: Bind) -> ColumnElement[bool]:
    if value is None:
        return _valued(source)
    return not_(func.coalesce(_equal(source, value, bind), false()))


def _among(source: ColumnElement[Any], values: list[Any], bind: Bind) -> ColumnElement[bool]:
    bound = [b for b in (_bound(source, value) for value in values) if b is not None]
    if not bound:
        return false()
    # As many parameters as the next power of two, the last value again and again: a dozen statements serve all.
    bound += bound[-1:] * ((1 << (len(bound) - 1).bit_length()) - len(bound))
    return source.in_([bind(value, source.type) for value in bound])


def _compared(operator: str) -> Callable[[ColumnElement[Any], Any, Bind], ColumnElement[bool]]:
    def compare(source: ColumnElement[Any], value: Any, bind: Bind) -> ColumnElement[bool]:
        if not isinstance(source.type, Amount | Scaled):
            return _COMPARE[operator](source, bind(value, source.type))
        scale, biggest = (10_000, BIGGEST) if isinstance(source.type, Amount) else (10**SCALE_DIGITS, SCALED_LIMIT - 1)
        exact = Fraction(value) * scale
        whole = floor(exact) if operator in ("gt", "lte") else ceil(exact)
        if abs(whole) > biggest:
            return source.is_not(None) if (whole < 0) == (operator in ("gt", "gte")) else false()
        bound: Any = whole if isinstance(source.type, Amount) else Decimal(whole) / scale
        return _COMPARE[operator](source, bind(bound, source.type))

    return compare


_COMPARE: dict[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "gt": lambda source, value: source > value,
    "gte": lambda source, value: source >= value,
    "lt": lambda source, value: source < value,
    "lte": lambda source, value: source <= value,
}


def _containing(source: ColumnElement[Any], text: str, bind: Bind) -> ColumnElement[bool]:
    _check_length(text)
    if not storable(text):
        return false()
    pattern = fold_text(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return fold(source).like(bind(f"%{pattern}%", Text()), escape="\\")


def _starting(source: ColumnElement[Any], text: str, bind: Bind) -> ColumnElement[bool]:
    """A range, which an index serves on both databases, unlike LIKE."""
    _check_length(text)
    if not storable(text):
        return false()
    prefix = fold_text(text)
    # Ids of ours are in lower case as they are.
    known = getattr(source, "foreign_keys", None) or getattr(source, "primary_key", False)
    folded = source if isinstance(source.type, Id) and known else fold(source)
    end = _next_prefix(prefix)
    within = folded >= bind(prefix, PlainText())
    return within if end is None else and_(within, folded < bind(end, PlainText()))


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


def _asks_only(operators: Any, operator: str) -> bool:
    given = [name for name in _OPERATORS if getattr(operators, name, strawberry.UNSET) is not strawberry.UNSET]
    return given == [operator]


def _bound(source: ColumnElement[Any], value: Any) -> Any:
    """The value as the column's type takes it; nothing where no row can have it."""
    if isinstance(source.type, EnumText):
        return value
    if isinstance(source.type, Amount):
        exact = Fraction(value) * 10_000
        return int(exact) if exact.denominator == 1 and abs(exact) <= BIGGEST else None
    if isinstance(source.type, Scaled):
        return value if abs(value) < 10**9 and value == value.quantize(Decimal("1e-9")) else None
    if isinstance(source.type, Integer):
        return value if abs(value) <= BIGGEST else None
    return None if isinstance(value, str) and not storable(value) else value


_OPERATORS: dict[str, Callable[[ColumnElement[Any], Any, Bind], ColumnElement[bool]]] = {
    "eq": _equal,
    "ne": _different,
    "in_": _among,
    "is_null": lambda source, value, _bind: _null(source) if value else _valued(source),
    "contains": _containing,
    "starts_with": _starting,
    **{operator: _compared(operator) for operator in _COMPARE},
}
