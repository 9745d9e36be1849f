"""The one statement that writes what movements of money come to, if nobody changed their documents meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cm_graphql.store.statements import CLAIM, Told, Written, for_each, shifted, written_together


class Overtaken(Exception):
    """Nothing was done: somebody was faster, or more is asked than can be done at once."""


class Parted(Overtaken):
    """Nothing was done, for all that is known because of another one on the same trip."""


@dataclass(frozen=True)
class Head:
    """The row of a document, which changes with anything that belongs to it."""

    table: str
    id: str
    writer: int
    """The transaction that had written it last when it was read."""
    change: Written


@dataclass(frozen=True)
class Writing:
    """What a movement comes to."""

    heads: tuple[Head, Head]
    """In the order of locks."""
    others: Sequence[Written]
    claim: str | None
    """The name of the request that it answers, which nobody else may be at."""
    told: Told | None


def one(writing: Writing) -> tuple[str, list[Any]]:
    """The statement that writes for one movement if both heads are as they were, else fails."""
    guarded: list[Written] = []
    told = writing.told
    for head in writing.heads:
        # The second waits for the first, so that they are locked in the one order that all keep to.
        after = " AND EXISTS (SELECT FROM part_0)" if guarded else ""
        back = f'"{head.table}".*' if told is not None and told.table == head.table else "1"
        mark = len(head.change.parameters) + 1
        sql = f'{head.change.sql} AND "xmin" = ${mark}{after} RETURNING {back}'
        guarded.append(Written(sql, [*head.change.parameters, head.writer]))
    every = [*guarded, *writing.others]
    parameters = [value for statement in every for value in statement.parameters]
    # Dividing by the number of heads that were as they were fails everything when that is none.
    result = "1 / (SELECT count(*) FROM part_1)"
    if writing.claim is not None:
        parameters.append(writing.claim)
        # Nor may anybody be at the same request; who comes later finds the outcome.
        result += f", 1 / {CLAIM.format(f'${len(parameters)}')}::int"
    if told is not None:
        place = [head.table for head in writing.heads].index(told.table)
        result += f", {_told_by(told, f'part_{place}', len(parameters))}"
        parameters.extend(told.parameters)
    return written_together(_counted(every), result), parameters


def several(writings: Sequence[Writing], shapes: dict[str, int]) -> tuple[str, list[Any]]:
    """The statement that writes for several movements if all their heads are as they were, else fails.

    A head that somebody has locked counts as changed, so that nobody waits for those whom another one waits for.
    """
    number = len(writings)
    told = writings[0].told
    if told is not None and not all(isinstance(value, str) for value in told.parameters):
        told = None  # it is read after the commit
    rows: dict[str, list[list[Any]]] = {sql: [[] for _ in range(count)] for sql, count in shapes.items()}
    for writing in writings:
        for statement in (*(head.change for head in writing.heads), *writing.others):
            _gather(rows, statement)
    shapes.update((sql, len(columns)) for sql, columns in rows.items())
    seen = [[writing.heads[place] for writing in writings] for place in (0, 1)]
    every = [_as_they_were(seen[0]), _as_they_were(seen[1], after=number)]
    places: dict[str, int] = {}
    """Of each table of heads in which part it is written."""
    for sql, columns in rows.items():
        table = next((heads[0].table for heads in seen if heads[0].change.several == sql), None)
        if table is None:
            every.append(Written(sql, columns))
            continue
        places[table] = len(every)
        # Not before both are locked.
        locked = f"{_number_of('part_1')} = ${len(columns) + 1}"
        back = f' RETURNING "{table}".*' if told is not None and told.table == table else ""
        every.append(Written(f"{sql} AND {locked}{back}", [*columns, number]))
    parameters = [value for statement in every for value in statement.parameters]
    parameters.append(number)
    mark = f"${len(parameters)}"
    held = [f"{_number_of(part)} = {mark}" for part in ("part_0", "part_1")]
    if writings[0].claim is not None:
        parameters.append([writing.claim for writing in writings])
        claimed = f"unnest(${len(parameters)}::text[]) AS request (name) WHERE {CLAIM.format('name')}"
        held.append(f"{_number_of(claimed)} = {mark}")
    result = f"1 / ({' AND '.join(held)})::int"
    if told is not None:
        nothing = [""] * len(told.parameters)
        alike = [_parameters_of(other.told, told.sql) or nothing for other in writings]
        asked = for_each(_told_by(told, f"part_{places[told.table]}", 0), len(nothing))
        result += f", {shifted(asked, len(parameters))}"
        parameters.extend(turned(alike))
    return written_together(_counted(every), result), parameters


def _gather(rows: dict[str, list[list[Any]]], statement: Written) -> None:
    """Add the rows of a statement to those of the others of its kind, column by column."""
    if statement.several is None:
        raise Parted("it is written in words that know of no others")
    columns = rows.setdefault(statement.several, [[] for _ in statement.parameters])
    lists = statement.sql == statement.several
    for column, value in zip(columns, statement.parameters, strict=True):
        column.extend(value if lists else (value,))


def _as_they_were(heads: Sequence[Head], after: int | None = None) -> Written:
    """Locks those heads that are as they were, and that nobody has locked; `after` so many of the first kind are."""
    table = f'"{heads[0].table}"'
    lists = "unnest((SELECT $1::text[]), (SELECT $2::xid[])) AS seen (id, writer)"
    same = f'{table}."id" = seen.id AND {table}."xmin" = seen.writer'
    first = "" if after is None else f" WHERE {_number_of('part_0')} = $3"
    sql = f'SELECT FROM {table} JOIN {lists} ON {same}{first} ORDER BY {table}."id"'
    values = [[head.id for head in heads], [head.writer for head in heads]]
    return Written(f"{sql} FOR NO KEY UPDATE OF {table} SKIP LOCKED", values if after is None else [*values, after])


def _number_of(rows: str) -> str:
    return f"(SELECT count(*) FROM {rows})"  # noqa: S608  our own names


def _parameters_of(told: Told | None, sql: str) -> Sequence[Any] | None:
    return None if told is None or told.sql != sql else told.parameters


def _told_by(told: Told, part: str, before: int) -> str:
    """The answer to a question as of a row that is being written; its parameters have so many others `before` them."""
    # The name of the table means the row as it is written, not the table, which is still as it was.
    asked = f'WITH "{told.table}" AS (SELECT * FROM {part}) {shifted(told.sql, before)}'  # noqa: S608  our own names
    return f"ARRAY(SELECT told FROM ({asked}) AS told)"  # noqa: S608  as above


def _counted(statements: Sequence[Written]) -> tuple[tuple[str, int], ...]:
    return tuple((statement.sql, len(statement.parameters)) for statement in statements)


def turned(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The columns of rows."""
    return [list(column) for column in zip(*rows, strict=True)]
