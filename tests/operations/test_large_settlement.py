"""What an application of 15,000 lines costs: a few more statements than one of 2, and exact books."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from auditing import audit
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import UnapplyCreditMemo
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations import settlement
from cm_graphql.store import tables as t
from large import a_large_memo
from operating import Desk, applying


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


async def test_fifteen_thousand_lines_are_applied_in_a_few_dozen_statements_and_taken_off_again(desk: Desk) -> None:
    await desk.set(application_rule="FIFO")
    large = await a_large_memo(desk, 15_000, invoices=10)

    with counting(desk) as statements:
        await desk.do(settlement.apply, large.at_once())

    assert len(statements) <= 60
    await audit(desk.database)
    assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == large.applied
    await desk.do(settlement.unapply, UnapplyCreditMemo(key=Key(large.memo)))
    await audit(desk.database)
    assert (await desk.row(t.credit_memos, id=large.memo)).applied_amount == 0


async def test_more_lines_than_that_are_for_a_job(desk: Desk) -> None:
    await desk.set(application_rule="FIFO")
    large = await a_large_memo(desk, 15_002)

    assert await desk.refused(settlement.apply, large.at_once()) == [(ErrorCode.LIMIT_EXCEEDED,)]
