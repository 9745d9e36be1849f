"""What a filter finds and how a sort orders, said once more in plain Python over the rows themselves."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cmp_to_key
from typing import Any

from cm_graphql.store.fold import fold_text
from fields.things import things

Row = dict[str, Any]


def camel(name: str) -> str:
    """The name as GraphQL has it."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


NAMES = {camel(column.name): column.name for column in things.c}
MONEY = {"amount", "fee"}


def matches(asked: dict[str, Any], row: Row) -> bool:
    """Whether a filter finds a row."""
    for key, wanted in asked.items():
        match key:
            case "and":
                held = all(matches(part, row) for part in wanted)
            case "or":
                held = any(matches(part, row) for part in wanted)
            case "not":
                held = not matches(wanted, row)
            case "search":
                held = any(
                    row[name] is not None and fold_text(wanted) in fold_text(row[name]) for name in ("word", "name")
                )
            case _:
                held = all(_holds(operator, value, NAMES[key], row) for operator, value in wanted.items())
        if not held:
            return False
    return True


def _holds(operator: str, wanted: Any, name: str, row: Row) -> bool:
    value = row[name]
    match operator:
        case "eq":
            return value is None if wanted is None else _same(value, wanted, name)
        case "ne":
            return value is not None if wanted is None else not _same(value, wanted, name)
        case "in":
            return any(_same(value, one, name) for one in wanted)
        case "isNull":
            return (value is None) is bool(wanted)
    if value is None:
        return False
    match operator:
        case "contains":
            return fold_text(wanted) in fold_text(value)
        case "startsWith":
            return fold_text(value).startswith(fold_text(wanted))
    mine, other = _comparable(value, name), _comparable_input(value, wanted)
    return bool({"gt": mine > other, "gte": mine >= other, "lt": mine < other, "lte": mine <= other}[operator])


def _same(value: Any, wanted: Any, name: str) -> bool:
    return value is not None and bool(_comparable(value, name) == _comparable_input(value, wanted))


def _comparable(value: Any, name: str) -> Any:
    if name in MONEY:
        return Fraction(value, 10_000)
    return Fraction(value) if isinstance(value, Decimal) else value


def _comparable_input(value: Any, wanted: Any) -> Any:
    if isinstance(value, datetime):
        return datetime.fromisoformat(wanted)
    if isinstance(value, date):
        return date.fromisoformat(wanted)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return wanted
    return Fraction(wanted)


def ordered(rows: Sequence[Row], terms: Sequence[tuple[str, bool]]) -> list[Row]:
    """Rows sorted by fields, each upwards or (True) downwards; without a value last, ties by id like the last term."""
    full = [*terms, ("id", terms[-1][1])] if all(name != "id" for name, _ in terms) else list(terms)

    def compare(one: Row, other: Row) -> int:
        for name, descending in full:
            mine, theirs = one[name], other[name]
            if mine == theirs:
                continue
            if mine is None or theirs is None:
                return 1 if mine is None else -1
            return (1 if mine > theirs else -1) * (-1 if descending else 1)
        return 0

    return sorted(rows, key=cmp_to_key(compare))
