"""Refunds between rows and records, and which of them are still at a payment gateway."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, delete, select

from cm_graphql.domain.enums import RefundStatus
from cm_graphql.domain.records import Stamp
from cm_graphql.domain.refunds import Refund, RefundItemPart, RefundPart
from cm_graphql.store import bulk, holds
from cm_graphql.store import tables as t
from cm_graphql.store.bulk import Values
from cm_graphql.store.memos import line_ids, rate_values, rates_of, stamped, touched
from cm_graphql.store.session import Session

_SAME_COLUMNS = (
    *("id", "number", "account_id", "credit_memo_id", "currency", "amount", "type", "method_type", "status"),
    *("refund_date", "reason_code", "gateway_state", "comment", "payment_method_id", "gateway_id", "gateway_options"),
    *("gateway_response", "gateway_response_code", "reference_id", "second_refund_reference_id", "soft_descriptor"),
    *("soft_descriptor_phone", "marked_for_submission_on", "submitted_on", "settled_on", "refund_transaction_time"),
    *("bank_account_accounting_code", "on_account_accounting_code", "transferred_to_accounting"),
    *("custom_fields", "net_suite"),
)
"""What row and record call alike."""


async def insert(session: Session, refund: Refund, stamp: Stamp) -> None:
    """Write a new refund with what it takes from each line."""
    await session.execute(t.refunds.insert(), {**_values(refund), **stamped(stamp)})
    if refund.status is RefundStatus.PROCESSING and refund.credit_memo_id is not None:
        await holds.touch(session, refund.credit_memo_id)
    part = refund.part
    if part is None:
        return
    common = {"refund_id": refund.id, "currency": refund.currency, **stamped(stamp)}
    head = {"id": part.id, "amount": part.amount, "credit_memo_id": part.credit_memo_id, **common}
    await bulk.insert(session, t.refund_parts, [head])
    rows = [
        {
            "id": item_part.id,
            "refund_part_id": part.id,
            "position": position,
            "amount": item_part.amount,
            **_source(item_part.source_id),
            **common,
        }
        for position, item_part in enumerate(part.item_parts, 1)
    ]
    await bulk.insert(session, t.refund_item_parts, rows)


async def settle(session: Session, refund: Refund, stamp: Stamp) -> None:
    """Write what became of a submitted refund; one that failed took nothing."""
    values = {**_values(refund), **touched(stamp)}
    await session.execute(t.refunds.update().where(t.refunds.c.id == refund.id), values)
    if refund.part is None:
        await session.execute(delete(t.refund_item_parts).where(t.refund_item_parts.c.refund_id == refund.id))
        await session.execute(delete(t.refund_parts).where(t.refund_parts.c.refund_id == refund.id))


def _values(refund: Refund) -> Values:
    return {
        **{name: getattr(refund, name) for name in _SAME_COLUMNS},
        "gateway_options": dict(refund.gateway_options) or None,
        "custom_fields": dict(refund.custom_fields),
        "net_suite": dict(refund.net_suite),
        "custom_rates": rate_values(refund.custom_rates),
    }


def _source(source_id: str) -> Values:
    named = line_ids(source_id, None)
    return {name: named[name] for name in ("credit_memo_item_id", "credit_tax_item_id")}


async def load(session: Session, refund_id: str, *, lock: bool = True) -> Refund | None:
    """A refund of a credit memo with its parts, locked unless said; None when there is none."""
    statement = select(t.refunds).where(t.refunds.c.id == refund_id)
    row = await session.first(statement.with_for_update() if lock else statement)
    if row is None:
        return None
    values = {name: getattr(row, name) for name in _SAME_COLUMNS}
    return Refund(
        **{**values, "gateway_options": row.gateway_options or {}},
        custom_rates=rates_of(row.custom_rates),
        part=await _part(session, row),
    )


async def _part(session: Session, refund: Row[tuple[object, ...]]) -> RefundPart | None:
    parts, item_parts = t.refund_parts, t.refund_item_parts
    head = await session.first(select(parts).where(parts.c.refund_id == refund.id))
    if head is None:
        return None
    rows = await session.rows(
        select(item_parts).where(item_parts.c.refund_part_id == head.id).order_by(item_parts.c.position)
    )
    return RefundPart(
        id=head.id,
        amount=head.amount,
        credit_memo_id=head.credit_memo_id,
        item_parts=tuple(
            RefundItemPart(id=row.id, amount=row.amount, source_id=row.credit_memo_item_id or row.credit_tax_item_id)
            for row in rows
        ),
    )


async def unfinished(session: Session, before: datetime) -> Sequence[tuple[str, str]]:
    """The refunds that were handed to a gateway before a moment and not concluded, with who asked for each."""
    c = t.refunds.c
    statement = select(c.id, c.created_by_id).where(
        c.status == RefundStatus.PROCESSING, c.marked_for_submission_on < before
    )
    return [(row.id, row.created_by_id) for row in await session.rows(statement.order_by(c.id))]
