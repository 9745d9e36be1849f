"""Fills a database with so many made-up credit memos, the same ones for the same seed."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain.enums import DocumentType
from cm_graphql.seeding.loading import loading, unburdened, write
from cm_graphql.seeding.rows import COLUMNS, SEEDS, SUFFIX, Rows, Spelling, stem
from cm_graphql.seeding.story import Numbers, Story
from cm_graphql.settings import Complaint
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.reference import NUMBER_DIGITS

CHUNK: Final = 1000
"""Memos that are written together; what is written does not depend on it."""


async def seed(
    database: Database,
    *,
    memos: int,
    seed: int,
    lean: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    chunk: int = CHUNK,
) -> None:
    """Add that many credit memos with all they need: 500 accounts, charges, invoices, debit memos, refunds, history.

    Memos have about 5 items, each with 1 or 2 taxation items; when `lean`, one item with one taxation item. They are of
    every status and of six currencies, and obey every rule of domain.md 4.2 and 4.3. The same arguments make the same
    rows in any empty database, on SQLite and on PostgreSQL. Several seeds can be added to one database: ids differ by
    seed, and numbers go on from the DEFAULT sequences.

    All rows come in one transaction, which keeps everybody else waiting. `progress` is told how many memos there are so
    far, and of the last ones when everything is kept.
    Raises Complaint for a seed that is already there or is out of range.
    """
    if not 0 <= seed < SEEDS:
        raise Complaint(f"--seed is {seed}: choose a number from 0 to {SEEDS - 1}.")
    async with loading(database) as connection:
        numbers = await _numbers(connection)
        await _refuse_twice(connection, seed)
        there = await connection.scalar(select(func.count()).select_from(t.credit_memos)) or 0
        # To make the indexes of many rows again would take longer than to add a few entries.
        async with unburdened(connection) if memos >= max(there, 10 * CHUNK) else nullcontext():
            rows = Rows()
            story = Story(memos, seed, lean, numbers, rows, Spelling(database.dialect))
            written = 0
            for done in story.tell():
                if done - written >= chunk or done == memos:
                    await write(connection, rows.take())
                    written = done
                    if done < memos:
                        progress(done)
        await _advance(connection, numbers)
        # As PostgreSQL would by itself, sooner or later, and the server does for SQLite when it starts.
        if database.dialect == "postgresql":
            await connection.execute(text(f"ANALYZE {', '.join(COLUMNS)}"))
        else:
            await connection.execute(text("PRAGMA analysis_limit = 1000"))
            await connection.execute(text("ANALYZE"))
    progress(memos)


async def _refuse_twice(connection: AsyncConnection, seed: int) -> None:
    first_account = f"acc_{stem(0, seed, 0)}{SUFFIX[0]}"
    if await connection.scalar(select(t.accounts.c.id).where(t.accounts.c.id == first_account)):
        raise Complaint(f"The data of --seed {seed} is already there: choose another seed, or an empty database.")


_NUMBERED: Final = {
    DocumentType.INVOICE: t.invoices.c.invoice_number,
    DocumentType.CREDIT_MEMO: t.credit_memos.c.number,
    DocumentType.DEBIT_MEMO: t.debit_memos.c.number,
    DocumentType.REFUND: t.refunds.c.number,
}


async def _numbers(connection: AsyncConnection) -> dict[DocumentType, Numbers]:
    """The DEFAULT sequences, locked: nobody else is given a number until these are used."""
    sequences = t.sequences.c
    found = await connection.execute(
        select(t.sequences)
        .where(sequences.set_id == _DEFAULT_SET, sequences.document_type.in_(_NUMBERED))
        .order_by(sequences.document_type)
        .with_for_update()
    )
    numbers = {row.document_type: Numbers(row.prefix, row.next_number, NUMBER_DIGITS) for row in found}
    for kind, column in _NUMBERED.items():
        # Documents from elsewhere bring numbers of their own, which no sequence knows of.
        used = numbers[kind]
        like_it = (column >= used.prefix + "0" * NUMBER_DIGITS, column <= used.prefix + "9" * NUMBER_DIGITS)
        greatest = (await connection.scalar(select(func.max(column)).where(*like_it)) or "").removeprefix(used.prefix)
        if len(greatest) == NUMBER_DIGITS and greatest.isdecimal():
            used.next = max(used.next, int(greatest) + 1)
    return numbers


async def _advance(connection: AsyncConnection, numbers: dict[DocumentType, Numbers]) -> None:
    sequences = t.sequences
    for kind, used in numbers.items():
        await connection.execute(
            sequences.update()
            .where(sequences.c.set_id == _DEFAULT_SET, sequences.c.document_type == kind)
            .values(next_number=used.next)
        )


_DEFAULT_SET: Final = select(t.sequence_sets.c.id).where(t.sequence_sets.c.name == "DEFAULT").scalar_subquery()
