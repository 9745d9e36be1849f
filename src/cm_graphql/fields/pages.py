"""Pages of a list as SQL: keyset conditions, so that page 10,000 costs what page 1 costs."""

import base64
import binascii
import zlib
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import count as numbers
from typing import Any, Final

import orjson
from sqlalchemy import (
    BinaryExpression,
    Boolean,
    Column,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Select,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import AsBoolean, BooleanClauseList, False_, True_
from sqlalchemy.sql.type_api import TypeEngine

from cm_graphql.fields.declare import NodeType, Order
from cm_graphql.fields.errors import BadUserInput
from cm_graphql.fields.filters import all_of
from cm_graphql.fields.wire import moment_text, nullable, storable
from cm_graphql.store.lists import among, keys_table
from cm_graphql.store.types import Amount, EnumText, Scaled, Timestamp, from_scaled, to_scaled

LONGEST_CURSOR = 4_000


@dataclass(frozen=True)
class Slice:
    """Which rows of a list are asked for."""

    orders: tuple[Order, ...]
    limit: int
    after: tuple[Any, ...] | None = None
    before: tuple[Any, ...] | None = None
    backwards: bool = False
    """Whether the last rows are wanted rather than the first."""

    @property
    def shape(self) -> Hashable:
        """What decides the text of its statement: everything but the values, of which only null matters."""
        return self.orders, _nulls(self.after), _nulls(self.before), self.backwards

    @property
    def values(self) -> dict[str, Any]:
        """The values in its statement, by the names of their parameters."""
        return {
            LIMIT: self.limit + 1,
            REACH: NEAR * (self.limit + 1),
            **{f"after_{i}": value for i, value in enumerate(self.after or ())},
            **{f"before_{i}": value for i, value in enumerate(self.before or ())},
        }

    def kept(self, rows: list[Any]) -> tuple[list[Any], bool]:
        """The rows of the page in their order, and whether the one beyond it, which is read too, was found."""
        kept = rows[: self.limit]
        return kept[::-1] if self.backwards else kept, len(rows) > self.limit

    def has_next(self, more: bool) -> bool:
        """Whether more follows, as far as one can tell from having read one row more than asked."""
        return self.before is not None if self.backwards else more

    def has_previous(self, more: bool) -> bool:
        """Whether more precedes, likewise."""
        return more if self.backwards else self.after is not None


LIMIT = "page_limit"
REACH = "page_reach"


def _nulls(values: tuple[Any, ...] | None) -> tuple[bool, ...] | None:
    return None if values is None else tuple(value is None for value in values)


@lru_cache(maxsize=1_000)
def fingerprint(node_type: NodeType, orders: tuple[Order, ...]) -> int:
    """Tells cursors of one sort from those of another."""
    text = ",".join(f"{'-' if term.descending else ''}{term.field}" for term in orders)
    return zlib.crc32(f"{node_type.name}:{text}".encode())


def write_cursor(node_type: NodeType, orders: tuple[Order, ...], values: Sequence[Any]) -> str:
    """Make the opaque cursor of a row, from its values of the sorted fields."""
    shown = [_plain(value) for value in values]
    return base64.urlsafe_b64encode(orjson.dumps([fingerprint(node_type, orders), *shown])).decode().rstrip("=")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def read_cursor(node_type: NodeType, orders: tuple[Order, ...], cursor: str) -> tuple[Any, ...]:
    """The values of a cursor; one that is malformed or of another list or sort is BAD_USER_INPUT."""
    try:
        if len(cursor) > LONGEST_CURSOR:
            raise ValueError("too long")
        padded = cursor + "=" * (-len(cursor) % 4)
        mark, *values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if mark != fingerprint(node_type, orders) or len(values) != len(orders):
            raise ValueError("another list")
        readers = _readers(node_type, orders)
        return tuple(None if value is None else read(value) for read, value in zip(readers, values, strict=True))
    except (ValueError, TypeError, ArithmeticError, binascii.Error, RecursionError) as error:
        raise BadUserInput(
            "The cursor is not one of this list in this order: take it from pageInfo or edges."
        ) from error


@lru_cache(maxsize=1_000)
def _readers(node_type: NodeType, orders: tuple[Order, ...]) -> tuple[Callable[[Any], Any], ...]:
    """What reads the values of a cursor that are not null; whatever they raise says that it is no cursor."""
    return tuple(_reader(node_type.sources[term.field].type) for term in orders)


def _reader(type_: TypeEngine[Any]) -> Callable[[Any], Any]:
    if isinstance(type_, Boolean):
        return lambda value: _checked(value, bool)
    if isinstance(type_, Amount | Integer):
        return _integer
    if isinstance(type_, Scaled):
        return lambda value: from_scaled(to_scaled(Decimal(_text(value))))
    if isinstance(type_, Timestamp):
        return _moment
    if isinstance(type_, Date):
        return lambda value: date.fromisoformat(_text(value))
    return (lambda value: type_.vocabulary(_text(value))) if isinstance(type_, EnumText) else _text


def _integer(value: Any) -> int:
    number: int = _checked(value, int)
    if abs(number) >= 2**63 or isinstance(value, bool):
        raise ValueError("out of range")
    return number


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment.astimezone(UTC)


def _text(value: Any) -> str:
    text: str = _checked(value, str)
    if not storable(text):
        raise ValueError("no text")
    return text


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"not {kind.__name__}")
    return value


def beyond(
    node_type: NodeType,
    orders: Sequence[Order],
    values: Sequence[Any],
    *,
    after: bool,
    start: int = 0,
    valued: bool = False,
) -> ColumnElement[bool]:
    """The condition of rows after (or before) a cursor; null is last in both directions.

    It looks at the terms from `start` on; `valued` says that the first of them is never null among the rows.
    """
    terms = [
        (term, node_type.sources[term.field], value, _place(node_type, term, i, value, after=after))
        for i, (term, value) in enumerate(zip(orders, values, strict=True))
    ][start:]
    may_be_null = [nullable(source) and not (valued and i == 0) for i, (_, source, _, _) in enumerate(terms)]
    downwards = terms[0][0].descending
    if all(term.descending is downwards and value is not None for term, _, value, _ in terms) and not (
        after and any(may_be_null)
    ):
        # One range of an index, however many rows tie.
        here, there = tuple_(*(source for _, source, _, _ in terms)), tuple_(*(place for *_, place in terms))
        return here > there if downwards is not after else here < there
    result: ColumnElement[bool] = false()
    for (term, source, value, place), with_nulls in reversed(list(zip(terms, may_be_null, strict=True))):
        if value is None:
            further: ColumnElement[bool] = false() if after else source.is_not(None)
            same: ColumnElement[bool] = source.is_(None)
        else:
            further = source > place if term.descending is not after else source < place
            if after and with_nulls:
                further = or_(further, source.is_(None))
            same = source == place
        result = or_(further, and_(same, result))
    term, source, value, place = terms[0]
    if value is None or (after and may_be_null[0]):
        return result
    # A range on the first field alone, implied by the rest, from which the database can seek in an index.
    return and_(source >= place if term.descending is not after else source <= place, result)


def _place(node_type: NodeType, term: Order, i: int, value: Any, *, after: bool) -> ColumnElement[Any]:
    """A cursor's value as a parameter, named so that a compiled statement can be given another."""
    return bindparam(f"{'after' if after else 'before'}_{i}", value, type_=node_type.sources[term.field].type)


def ordering(
    node_type: NodeType, orders: Sequence[Order], *, backwards: bool, apart: bool = False
) -> list[ColumnElement[Any]]:
    """ORDER BY with null last; turned round where the last rows are wanted.

    `apart` says that rows whose first field is null do not come together with others, so that their place is no matter.
    """
    terms: list[ColumnElement[Any]] = []
    for i, term in enumerate(orders):
        source = node_type.sources[term.field]
        ordered = source.desc() if term.descending is not backwards else source.asc()
        if nullable(source) and not (apart and i == 0):
            ordered = ordered.nulls_first() if backwards else ordered.nulls_last()
        terms.append(ordered)
    return terms


@dataclass(frozen=True)
class Chosen:
    """What is read of a type's rows: columns, and where some of its stored fields stand among them."""

    columns: Sequence[ColumnElement[Any]]
    at: Mapping[str, int]
    cursors: bool = True
    """Whether values that a list is sorted by are wanted too, for cursors."""
    texts: Collection[int] = ()
    """The places of moments that PostgreSQL shows."""

    def places(self, orders: Sequence[Order]) -> list[int]:
        """Where the values stand that a list is sorted by: among the columns, or behind them."""
        behind = numbers(len(self.columns))
        return [self.at[term.field] if term.field in self.at else next(behind) for term in orders]

    def sorted(self, node_type: NodeType, orders: Sequence[Order]) -> list[ColumnElement[Any]]:
        """The columns, and behind them the values that a list is sorted by and that are not among them."""
        more = [term.field for term in orders if term.field not in self.at]
        return [*self.columns, *(node_type.sources[name].label(f"sort_{name}") for name in more)]

    def shown(self, columns: Sequence[ColumnElement[Any]]) -> Sequence[ColumnElement[Any]]:
        """Those of the columns with the values to sort by that are read in the end, as they are read."""
        return shown(columns if self.cursors else columns[: len(self.columns)], self.texts)


def shown(columns: Sequence[ColumnElement[Any]], texts: Collection[int]) -> Sequence[ColumnElement[Any]]:
    """The columns, of which some are moments that PostgreSQL shows."""
    if not texts:
        return columns
    return [
        moment_text(column).label(column.name) if place in texts else column for place, column in enumerate(columns)
    ]


def everything(node_type: NodeType) -> Chosen:
    """All that is stored of a type."""
    return Chosen(node_type.columns, node_type.positions)


def page(
    dialect: str, node_type: NodeType, where: ColumnElement[bool], wanted: Slice, chosen: Chosen | None = None
) -> Select[Any]:
    """One page of a whole table, one row more than asked so that it shows whether there is a next one."""
    chosen = chosen or everything(node_type)
    columns = chosen.sorted(node_type, wanted.orders)
    if dialect == "sqlite" and not served(node_type, where, wanted.orders):
        parts = list(_carefully(node_type, where, wanted, columns))
    else:
        parts = [
            _along(node_type, all_of(where, stretch), wanted, columns, _limit(wanted))
            for stretch in stretches(node_type, wanted)
        ]
    if len(parts) == 1 and not chosen.texts:
        return parts[0].with_only_columns(*chosen.shown(list(parts[0].selected_columns)))
    # Around the page, since what PostgreSQL shows beneath a sort it shows of every row that it sorts.
    whole = parts[0] if len(parts) == 1 else union_all(*(select(part.subquery()) for part in parts))
    found = list(whole.subquery("together").c)
    values = [found[place] for place in chosen.places(wanted.orders)]
    return _in_order(node_type, select(*chosen.shown(found)), values, wanted).limit(_limit(wanted))


def _along(
    node_type: NodeType,
    where: ColumnElement[bool],
    wanted: Slice,
    columns: Sequence[ColumnElement[Any]],
    limit: ColumnElement[int],
) -> Select[Any]:
    """The first rows of a stretch of an index."""
    named = [column.label(f"c{i}") for i, column in enumerate(columns)]
    rows = select(*named).select_from(node_type.table).where(where)
    return rows.order_by(*_ordering(node_type, wanted)).limit(limit)


def _ordering(node_type: NodeType, wanted: Slice) -> list[ColumnElement[Any]]:
    """The order of rows in one stretch, as an index has it."""
    return ordering(node_type, _deciding(node_type, wanted.orders), backwards=wanted.backwards, apart=True)


FEW: Final = 1_000
"""So many rows that a filter finds are sorted without further ado."""

FAR: Final = 10_000
"""So far the index of a sort is walked along for what a filter finds, before all that it finds is sorted after all."""


def _carefully(
    node_type: NodeType, where: ColumnElement[bool], wanted: Slice, columns: Sequence[ColumnElement[Any]]
) -> Iterator[Select[Any]]:
    """For SQLite the ways to find a page of what a filter finds; for each stretch, one of three has rows.

    PostgreSQL knows from its statistics whether a filter finds three rows or half of the table. SQLite does not, and
    would be slow either way: to sort half of the table, or to walk along all of it for three rows. So it looks for
    `FEW`; where there are more, it walks as far as `FAR`; and only where that was not enough, all are sorted. A way
    that is not taken has a limit of no rows, which ends it before it begins; a condition would be asked of each row.
    """
    table, place, limit = node_type.table, _rowid(node_type.table), _limit(wanted)
    every = select(place.label("place")).select_from(table).where(where).correlate(None)
    few = every.limit(FEW + 1).cte("few")
    many = _number(few) > FEW
    for i, whole in enumerate(stretches(node_type, wanted)):
        stretch = all_of(whole, *_upon(node_type, where, wanted.orders))
        walked = _walked(node_type, stretch, wanted, case((many, FAR), else_=0)).subquery("walked")
        hits = _hits(walked, [walked.c.place], node_type, where).limit(limit).cte(f"hits_{i}")
        short = select(place).select_from(table).where(stretch).correlate(None).limit(FAR).subquery("stretch")
        enough = or_(_number(hits) >= limit, _number(short) < FAR)
        # Within a function the stretch does not tempt the planner to look for it rather than for these places.
        within = func.coalesce(stretch, false())
        for found, taken in (
            (and_(place.in_(select(few.c.place)), within), not_(many)),
            (place.in_(select(hits.c.place)), and_(many, enough)),
            (and_(place.in_(every), within), and_(many, not_(enough))),
        ):
            yield _along(node_type, found, wanted, columns, case((taken, limit), else_=0))


def _number(rows: FromClause) -> ColumnElement[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def _walked(node_type: NodeType, stretch: ColumnElement[bool], wanted: Slice, reach: ColumnElement[int]) -> Select[Any]:
    """The places of the first rows of a stretch, whatever they are."""
    rows = select(_rowid(node_type.table).label("place")).select_from(node_type.table).where(stretch)
    return rows.order_by(*_ordering(node_type, wanted)).limit(reach)


def _hits(
    walked: FromClause, columns: Sequence[ColumnElement[Any]], node_type: NodeType, where: ColumnElement[bool]
) -> Select[Any]:
    """Those of the places walked along that a filter finds."""
    # The planner begins with the left side of an outer join.
    beside = walked.outerjoin(node_type.table, _rowid(node_type.table) == walked.c.place)
    return select(*columns).select_from(beside).where(func.coalesce(where, false()))


NEAR: Final = 4
"""So many rows are looked at for each one wanted, before a page that is not full yet is looked for otherwise."""


def near(node_type: NodeType, where: ColumnElement[bool], wanted: Slice, chosen: Chosen) -> Select[Any] | None:
    """For SQLite the first rows that a filter finds near the beginning of a page, where `page` would look twice.

    They are the page if they fill it. None where `page` needs no such care.
    """
    if served(node_type, where, wanted.orders):
        return None
    begun = all_of(stretches(node_type, wanted)[-1 if wanted.backwards else 0], *_upon(node_type, where, wanted.orders))
    reach = bindparam(REACH, NEAR * (wanted.limit + 1), type_=Integer())
    walked = _walked(node_type, begun, wanted, reach).subquery("near")
    columns = [column.label(f"c{i}") for i, column in enumerate(chosen.sorted(node_type, wanted.orders))]
    return _hits(walked, chosen.shown(columns), node_type, where).limit(_limit(wanted))


def stretches(node_type: NodeType, wanted: Slice) -> list[ColumnElement[bool]]:
    """The conditions of the rows that a page is taken from, each a stretch of an index of the sort.

    Where the first field may be null there are two, rows with a value and rows without: null is last upwards as well as
    downwards, while an index has it at one end.
    """
    source = node_type.sources[wanted.orders[0].field]
    if not nullable(source):
        return [_within(node_type, true(), wanted)]
    valued: list[ColumnElement[bool]] | None = [source.is_not(None)]
    empty: list[ColumnElement[bool]] | None = [source.is_(None)]
    for values, after in ((wanted.after, True), (wanted.before, False)):
        if values is None:
            continue
        if values[0] is None:
            valued = None if after else valued
            if empty is not None:
                empty.append(beyond(node_type, wanted.orders, values, after=after, start=1))
        else:
            empty = empty if after else None
            if valued is not None:
                valued.append(beyond(node_type, wanted.orders, values, after=after, valued=True))
    return [and_(*found) for found in (valued, empty) if found is not None] or [false()]


def served(node_type: NodeType, where: ColumnElement[bool], orders: Sequence[Order]) -> bool:
    """Whether one index has what a filter finds in the order of the sort, as where there is no filter at all."""
    parts = _conjuncts(where)
    if not parts or any(isinstance(part, False_) for part in parts):
        return True  # everything or nothing, whichever way it is looked for
    if len(_upon(node_type, where, orders)) == len(parts):
        return True
    fixed = {_column(part, operators.eq) for part in parts}
    sorted_by = [getattr(node_type.sources[term.field], "name", None) for term in _deciding(node_type, orders)]
    indexes = [tuple(column.name for column in index.columns) for index in node_type.table.indexes]  # type: ignore[attr-defined]
    return any(
        set(names[: len(fixed)]) == fixed and list(names[len(fixed) :])[: len(sorted_by)] == sorted_by
        for names in indexes
    )


def _upon(node_type: NodeType, where: ColumnElement[bool], orders: Sequence[Order]) -> list[ColumnElement[bool]]:
    """Those conditions of a filter that are about a stretch of the index of the sort, since they name a range of it."""
    source = node_type.sources[orders[0].field]
    ranges = (operators.eq, operators.lt, operators.le, operators.gt, operators.ge)
    return [part for part in _conjuncts(where) if isinstance(source, Column) and _column(part, *ranges) == source.name]


def _conjuncts(where: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """The conditions that all have to hold."""
    if isinstance(where, AsBoolean):
        where = where.element  # a constant in a conjunction
    if isinstance(where, BooleanClauseList) and where.operator is operators.and_:
        return [part for one in where.clauses for part in _conjuncts(one)]
    return [] if isinstance(where, True_) else [where]


def _column(condition: ColumnElement[bool], *compared: Any) -> str | None:
    """The name of the column that a condition compares so, if it does."""
    if (
        isinstance(condition, BinaryExpression)
        and condition.operator in compared
        and isinstance(condition.left, Column)
    ):
        return condition.left.name
    return None


def _deciding(node_type: NodeType, orders: Sequence[Order]) -> Sequence[Order]:
    """The terms up to the first that leaves no ties to break."""
    unique = _unique(node_type.table)
    for i, term in enumerate(orders):
        source = node_type.sources[term.field]
        if not nullable(source) and (getattr(source, "name", None),) in unique:
            return orders[: i + 1]
    return orders


def _unique(table: FromClause) -> set[tuple[str, ...]]:
    constraints: Any = table.constraints  # type: ignore[attr-defined]
    return {tuple(column.name for column in one.columns) for one in constraints if isinstance(one, UniqueConstraint)}


def _limit(wanted: Slice) -> ColumnElement[int]:
    return bindparam(LIMIT, wanted.limit + 1, type_=Integer())


def _in_order(
    node_type: NodeType, statement: Select[Any], values: Sequence[ColumnElement[Any]], wanted: Slice
) -> Select[Any]:
    """Sort rows by the values of the sort; where they come from one index, they are in this order already."""
    terms = []
    for term, value in zip(wanted.orders, values, strict=True):
        ordered = value.desc() if term.descending is not wanted.backwards else value.asc()
        if nullable(node_type.sources[term.field]):
            ordered = ordered.nulls_first() if wanted.backwards else ordered.nulls_last()
        terms.append(ordered)
    return statement.order_by(*terms)


def _within(node_type: NodeType, where: ColumnElement[bool], wanted: Slice) -> ColumnElement[bool]:
    conditions = [where]
    if wanted.after is not None:
        conditions.append(beyond(node_type, wanted.orders, wanted.after, after=True))
    if wanted.before is not None:
        conditions.append(beyond(node_type, wanted.orders, wanted.before, after=False))
    return and_(*conditions)


def pages(
    dialect: str,
    node_type: NodeType,
    by: ColumnElement[Any],
    keys: Sequence[str],
    where: ColumnElement[bool],
    wanted: Slice,
    chosen: Chosen | None = None,
) -> Select[Any]:
    """One page per parent, in one statement whose cost grows with the rows answered, not with all children.

    The last column is the parent's key.
    """
    parents, parent = keys_table(dialect, keys)
    chosen = chosen or everything(node_type)
    columns = chosen.sorted(node_type, wanted.orders)
    terms = ordering(node_type, wanted.orders, backwards=wanted.backwards)
    if dialect == "sqlite":
        # SQLite has no LATERAL, but takes the parent's key inside a correlated IN with a LIMIT of its own.
        inner = node_type.table.alias("page")
        adapted = _adapt(node_type, inner)
        # rowid, SQLite's own key, spares a way through the index of ids.
        ids = (
            select(_rowid(inner))
            .where(inner.c[str(by.key)] == parent, adapted(_within(node_type, where, wanted)))
            .order_by(*[adapted(term) for term in terms])
            .limit(_limit(wanted))
            .correlate(parents)
        )
        joined = parents.join(node_type.table, _rowid(node_type.table).in_(ids))
        return select(*chosen.shown(columns), parent.label("parent")).select_from(joined).order_by(*terms)
    inside = (
        select(*columns)
        .where(by == parent, _within(node_type, where, wanted))
        .order_by(*terms)
        .limit(_limit(wanted))
        .correlate(parents)
        .lateral("page")
    )
    found = list(inside.c)
    rows = select(*chosen.shown(found), parent.label("parent")).select_from(parents.join(inside, true()))
    return _in_order(node_type, rows, [found[place] for place in chosen.places(wanted.orders)], wanted)


def _rowid(table: FromClause) -> ColumnElement[int]:
    name: str = table.name  # type: ignore[attr-defined]
    return literal_column(f"{name}.rowid", Integer)


def _adapt(node_type: NodeType, alias: FromClause) -> Any:
    from sqlalchemy.sql.util import ClauseAdapter

    return ClauseAdapter(alias).traverse


def count(node_type: NodeType, where: ColumnElement[bool]) -> Select[Any]:
    """How many rows a list has in all."""
    return select(func.count()).select_from(node_type.table).where(where)


def counts(
    dialect: str, node_type: NodeType, by: ColumnElement[Any], keys: Sequence[str], where: ColumnElement[bool]
) -> Select[Any]:
    """How many rows each parent has in all."""
    return select(by, func.count()).where(among(dialect, by, keys), where).group_by(by)
