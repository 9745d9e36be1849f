"""What an application of 15,000 lines costs: a few more statements than one of 2, and exact books."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Final

import pytest
from sqlalchemy import event

from auditing import audit
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import UnapplyCreditMemo
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import settlement
from cm_graphql.store import tables as t
from cm_graphql.store.bulk import ROWS
from large import a_large_memo
from operating import Desk, applying

OTHER_WRITES: Final = 7
"""What an action writes but once, however large: memo, documents, parts, the ledger's entries, the history."""


@contextmanager
def counting(desk: Desk) -> Iterator[list[str]]:
    """The statements that are run meanwhile, those that begin a transaction aside."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    engine = desk.database.writers.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_an_ordinary_application_asks_five_times_and_writes_once(desk: Desk) -> None:
    memo, invoice = await desk.posted("30.00", "20.00"), await desk.invoice("40.00")

    with counting(desk) as statements:
        await desk.do(settlement.apply, applying(memo, invoice, "40.00"))

    asked = [statement for statement in statements if statement.startswith("SELECT")]
    written = [statement for statement in statements if statement not in asked]
    assert len(asked) <= 5, asked
    # On SQLite, which has no round trips, everything is written by itself.
    assert len(written) <= (1 if desk.database.dialect == "postgresql" else 11), written


def chunks(rows: int) -> int:
    """How many writing statements so many rows of one table take."""
    return ceil(rows / ROWS)


def reading_and_writing(statements: list[str]) -> tuple[int, int]:
    """How many statements only ask, and how many write."""
    asking = sum(statement.lstrip("( ").startswith(("SELECT", "WITH")) for statement in statements)
    return asking, len(statements) - asking


@pytest.mark.parametrize("lines", [2_000, 8_000, 15_000])
async def test_the_number_of_lines_adds_a_statement_per_two_thousand_rows_written_and_none_that_reads(
    desk: Desk, lines: int
) -> None:
    await desk.set(application_rule="FIFO")
    large = await a_large_memo(desk, lines, invoices=10)

    with counting(desk) as applying_it:
        await desk.do(settlement.apply, large.at_once())

    await audit(desk.database)
    assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == large.applied
    # Of the lines, half are the memo's; each changes once, and leaves its place in the unapplied part. There is one
    # new item part, and one line of the ledger, for each line at most.
    asked, written = reading_and_writing(applying_it)
    assert asked == 5
    assert written <= OTHER_WRITES + 2 * chunks(lines) + 3 * chunks(lines // 2)

    with counting(desk) as taking_it_off:
        await desk.do(settlement.unapply, UnapplyCreditMemo(key=Key(large.memo)))

    await audit(desk.database)
    assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == 0
    # As before; but item parts go with their parts, by the database, and one is new for each of the memo's lines.
    asked, written = reading_and_writing(taking_it_off)
    assert asked == 6
    assert written <= OTHER_WRITES + chunks(lines) + 3 * chunks(lines // 2)


async def test_more_lines_than_that_are_for_a_job(desk: Desk) -> None:
    await desk.set(application_rule="FIFO")
    large = await a_large_memo(desk, 15_002)

    assert await desk.refused(settlement.apply, large.at_once()) == [(ErrorCode.LIMIT_EXCEEDED,)]
