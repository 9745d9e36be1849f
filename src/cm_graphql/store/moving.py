"""Credit memos as movements of money see them: read without their texts, saved by what moved.

A memo of 300,000 lines fits into memory that way, and costs a statement per table and a few thousand lines.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import Row, Select, func, select

from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import (
    CreditLine,
    CreditMemo,
    CreditMemoItem,
    MovableItem,
    MovableMemo,
    MovableTax,
    Part,
    Stamp,
    TaxationItem,
)
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.holds import HOLDERS
from cm_graphql.store.memos import ITEM_PARTS, PARTS, USED, PartsOf, number_of, save_parts, touched
from cm_graphql.store.reading import AT_ONCE, Reading
from cm_graphql.store.session import CURRENCY, Session
from cm_graphql.store.statements import Among, Query, given


async def load(session: Session, memo_id: str, *, lock: bool = True, reading: Reading = AT_ONCE) -> CreditMemo | None:
    """A memo with all that movements of money ask for: a `MovableMemo`, whose lines are movable ones.

    Only `save` may save what becomes of it.
    """
    found = await load_with_holder(session, memo_id, lock=lock, reading=reading)
    return None if found is None else found[0]


async def load_with_holder(
    session: Session, memo_id: str, *, lock: bool = True, reading: Reading = AT_ONCE
) -> tuple[CreditMemo, str | None] | None:
    """The same, and what holds the memo, if anything does (see `holds`). Two round trips where nothing is paged."""
    row = next(iter(await session.ask(LOCKED_HEAD if lock else _HEAD, memo=memo_id)), None)
    if row is None:
        return None
    # Once the memo is locked, nothing of it changes, nor who holds it: so all of it can be asked at once.
    memo, memos = {"memo": memo_id}, {"ids": [memo_id]}
    taxes: defaultdict[str, list[TaxationItem]] = defaultdict(list)
    items: list[MovableItem] = []
    known: dict[str, str] = {}
    parts = PartsOf(known)
    holders: list[Any] = []
    currencies: list[Any] = []

    def take_taxes(rows: Sequence[TaxationItem]) -> None:  # as far as movements of money see
        for tax in rows:
            taxes[tax.item_id].append(tax)

    def take_items(rows: Sequence[Any]) -> None:
        new = tuple.__new__
        if reading.paged:
            # What a line was made from is asked for by the rule SOURCE_ITEM alone, which is not for jobs.
            rows = [(*row[:5], "") for row in rows]
            known.update((key, key) for row in rows for key in (row[0], *(tax.id for tax in taxes.get(row[0], ()))))
        for row in rows:  # whose columns are the first fields of an item
            items.append(new(MovableItem, (*row, tuple(taxes.pop(row[0], ())))))

    await reading.each(
        session,
        (TAXES, memo, take_taxes),
        (ITEMS, memo, take_items),
        (ITEM_PARTS, memos, parts.take_item_parts),
        (PARTS, memos, parts.take_parts),
        (HOLDERS, memos, holders.extend),
        (CURRENCY, {"code": row.currency}, currencies.extend),
    )
    currency = session.know_currency(row.currency, currencies)
    placed = tuple(parts.memos[memo_id])
    moving = await reading.apart(lambda: _moving_memo(row, currency, items, placed))
    return moving, holders[0].holder if holders else None


def select_head(_among: Among) -> Select[Any]:
    """The statement that asks what a memo's own row says of it."""
    c = t.credit_memos.c
    columns = (c.id, c.number, c.account_id, c.currency, c.status, c.credit_memo_date, c.reversed, c.version)
    return select(*columns).where(c.id == given("memo"))


_HEAD: Final = Query(select_head)
LOCKED_HEAD: Final = Query(lambda among: select_head(among).with_for_update())


def _moving_memo(
    row: Row[Any], currency: Currency, items: Sequence[MovableItem], parts: tuple[Part, ...]
) -> CreditMemo:
    memo = MovableMemo(
        id=row.id,
        number=number_of(row),
        account_id=row.account_id,
        currency=currency,
        status=row.status,
        credit_memo_date=row.credit_memo_date,
        items=cast(tuple[CreditMemoItem, ...], tuple(items)),
        parts=parts,
        reversed=row.reversed,
        version=row.version,
    )
    return cast(CreditMemo, memo)  # which it is to whoever only moves money


def _moving_taxes(_among: Among) -> Select[Any]:
    c = t.credit_memo_taxation_items.c
    amounts = (c.tax_amount, c.applied_amount, c.refund_amount)
    columns = (c.id, c.memo_item_id, c.name, *amounts, c.jurisdiction, c.location_code, c.tax_rate)
    return select(*columns).where(c.credit_memo_id == given("memo")).order_by(c.position)


def _moving_items(_among: Among) -> Select[Any]:
    c = t.credit_memo_items.c
    amounts = (c.amount_without_tax, c.applied_amount, c.refund_amount)
    columns = (c.id, *amounts, c.source_item_type, c.source_item_id)
    return select(*columns).where(c.credit_memo_id == given("memo")).order_by(c.position)


TAXES: Final = Query(_moving_taxes, MovableTax)
ITEMS: Final = Query(_moving_items, tuple)


async def size(session: Session, memo_id: str, invoice_ids: Sequence[str] | None) -> tuple[int, int]:
    """How many lines worth something a memo and these invoices have, and how many rows tell of them and their parts.

    Without ids, the invoices are all that the memo is applied to.
    """
    parts = t.credit_memo_parts.c
    applied = select(parts.invoice_id).where(parts.credit_memo_id == memo_id, parts.invoice_id.is_not(None))
    lines = 0
    for table, owner, worth in (
        (t.credit_memo_items, "credit_memo_id", "amount_without_tax"),
        (t.credit_memo_taxation_items, "credit_memo_id", "tax_amount"),
        (t.invoice_items, "invoice_id", "charge_amount"),
        (t.invoice_taxation_items, "invoice_id", "tax_amount"),
    ):
        counted = select(func.count()).select_from(table).where(table.c[worth] != 0)
        if owner == "credit_memo_id":
            lines += await session.scalar(counted.where(table.c.credit_memo_id == memo_id))
        else:
            ids = applied if invoice_ids is None else list(invoice_ids)
            lines += await session.scalar(counted.where(table.c.invoice_id.in_(ids)))
    inside = t.credit_memo_item_parts
    rows = select(func.count()).select_from(inside).where(inside.c.credit_memo_id == memo_id)
    return lines, lines + await session.scalar(rows)


_MOVED: Final = bulk.Change(applied_amount="applied", refund_amount="refunded", version="version")


async def save(session: Session, before: CreditMemo, after: CreditMemo, stamp: Stamp) -> CreditMemo:
    """Write what a movement of money changed, which is what was used of the lines and where it lies.

    Answers the memo with its new version. Its row must have been locked since `before` was loaded.
    """
    after = after.at_version(before.version + 1)
    await _MOVED.write(session, t.credit_memos, [after], touched(stamp))
    items: list[CreditMemoItem] = []
    taxes: list[TaxationItem] = []
    for old, new in zip(before.items, after.items, strict=True):
        if old is new:
            continue
        if _differ(old, new):
            items.append(new)
        for was, tax in zip(old.taxation_items, new.taxation_items, strict=True):
            if was is not tax and _differ(was, tax):
                taxes.append(tax)
    for table, lines in ((t.credit_memo_items, items), (t.credit_memo_taxation_items, taxes)):
        if lines:
            await USED.write(session, table, lines, touched(stamp))
    await save_parts(session, before, after, stamp)
    return after


def _differ(old: CreditLine, new: CreditLine) -> bool:
    return old.applied != new.applied or old.refunded != new.refunded
