"""What is kept of every action: the application ledger, the history, and the outcomes of idempotent requests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, delete, func, select, text

from cm_graphql.domain.enums import EventAction, LedgerKind
from cm_graphql.domain.ledger import FLOOR_KINDS, LedgerEntry
from cm_graphql.domain.records import CreditMemo, Stamp
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.memos import head_values, line_ids, target_values
from cm_graphql.store.session import Session
from cm_graphql.store.statements import CLAIM, Among, Query, given

IDEMPOTENCY_HOURS = 24
"""How long an outcome is kept for repeats of its request (api.md, idempotencyKey)."""


# --- the application ledger -------------------------------------------------------------------------------------------


async def write_ledger(session: Session, entries: Sequence[LedgerEntry], stamp: Stamp) -> None:
    """Append entries with their lines."""
    await bulk.insert(
        session,
        t.credit_memo_applications,
        [
            {
                "id": entry.id,
                "kind": entry.kind,
                "credit_memo_id": entry.memo_id,
                "application_group_id": entry.group_id,
                "refund_id": entry.refund_id,
                "currency": entry.currency,
                "amount": entry.amount,
                "effective_date": entry.effective_date,
                "by_id": entry.by,
                "at": entry.at,
                **target_values(entry.target_id),
            }
            for entry in entries
        ],
    )
    await bulk.insert(
        session,
        t.credit_memo_application_items,
        (
            {
                "id": stamp.new_id("lel"),
                "application_id": entry.id,
                "credit_memo_id": entry.memo_id,
                "position": position,
                "currency": entry.currency,
                "amount": line.amount,
                **line_ids(line.source_id, line.target_id),
            }
            for entry in entries
            for position, line in enumerate(entry.lines)
        ),
    )


async def ledger_floor(session: Session, memo_id: str) -> date | None:
    """The latest day on which money of a memo was ever applied or refunded (domain.md 1.25, 7.32)."""
    floor: date | None = (await session.ask(LEDGER_FLOOR, memo=memo_id))[0].floor
    return floor


def _ledger_floor(_among: Among) -> Select[Any]:
    c = t.credit_memo_applications.c
    floor = func.max(c.effective_date).label("floor")
    return select(floor).where(c.credit_memo_id == given("memo"), c.kind.in_(sorted(FLOOR_KINDS)))


LEDGER_FLOOR: Final = Query(_ledger_floor)
"""What `ledger_floor` asks."""


# --- the history ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Happening:
    """What an action did to a memo, to be remembered (api.md, CreditMemo.history)."""

    action: EventAction
    effective_date: date | None = None
    targets: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """Of each target its `id`, `number` and the `amount` that moved, in ten-thousandths."""
    note: str | None = None


def amounts(memo: CreditMemo) -> dict[str, int]:
    """The amounts that the history keeps of a memo."""
    return {
        "amount": memo.amount,
        "tax_amount": memo.tax_amount,
        "applied_amount": memo.applied,
        "unapplied_amount": memo.unapplied,
        "refund_amount": memo.refunded,
    }


async def write_event(
    session: Session,
    before: CreditMemo | None,
    after: CreditMemo | None,
    happening: Happening,
    stamp: Stamp,
    request_id: str | None,
    *,
    moved: bool = False,
) -> str:
    """Append an entry to the history of a memo; nothing after is a deletion. Answers its id.

    Of a memo of which only money `moved`, the rest was not even loaded (see `moving`).
    """
    memo = after or before
    assert memo is not None
    event_id = stamp.new_id("cme")
    await bulk.insert(
        session,
        t.credit_memo_events,
        [
            {
                "id": event_id,
                "credit_memo_id": memo.id,
                "credit_memo_number": memo.number,
                "account_id": memo.account_id,
                "action": happening.action,
                "by_id": stamp.by,
                "at": stamp.at,
                "effective_date": happening.effective_date,
                "request_id": request_id,
                "currency": memo.currency.code,
                "amounts_before": None if before is None else amounts(before),
                "amounts_after": None if after is None else amounts(after),
                "targets": list(happening.targets),
                "note": happening.note,
                "changed_from": changed_from(before, after, _moving if moved else _shown_by_row),
            }
        ],
    )
    session.announce(event_id)
    return event_id


def changed_from(
    before: CreditMemo | None,
    after: CreditMemo | None,
    told: Callable[[CreditMemo], Mapping[str, Any]],
) -> dict[str, Any] | None:
    """What was `told` of a memo before and is not so now, as JSON; nothing where there was no memo before."""
    if before is None:
        return None
    old = told(before)
    new = {} if after is None else told(after)
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in old.items()
        if name not in new or new[name] != value
    }


def _shown_by_row(memo: CreditMemo) -> dict[str, Any]:
    """What a memo's own row says."""
    return {**head_values(memo), **_moving(memo)}


def _moving(memo: CreditMemo) -> dict[str, Any]:
    """What of that changes when money moves."""
    return {
        "applied_amount": memo.applied,
        "refund_amount": memo.refunded,
        "unapplied_amount": memo.unapplied,
        "version": memo.version,
    }


# --- idempotent requests ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that may be repeated: who asked which mutation under which key, and for what."""

    viewer_id: str
    field: str
    key: str
    request_hash: str

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return f"{self.viewer_id}\n{self.field}\n{self.key}"

    @property
    def identity(self) -> dict[str, str]:
        """What `OUTCOME` asks for."""
        return {"viewer": self.viewer_id, "field": self.field, "key": self.key}


async def lock_request(session: Session, request: IdempotentRequest) -> bool:
    """Claim a request until the transaction ends; False when another process is at it.

    On SQLite the write transaction itself is the claim, among processes; within one, the caller keeps a set.
    """
    if session.dialect != "postgresql":
        return True
    claimed: bool = await session.scalar(text(f"SELECT {CLAIM.format(':name')}").bindparams(name=request.name))
    return claimed


async def stored_outcome(session: Session, request: IdempotentRequest, now: datetime) -> tuple[str, Any] | None:
    """The hash and outcome kept for a request, unless it is older than a day."""
    for row in await session.ask(OUTCOME, **request.identity):
        if row.created_date > now - timedelta(hours=IDEMPOTENCY_HOURS):
            return row.request_hash, row.outcome
    return None


def _outcome(_among: Among) -> Select[Any]:
    c = t.idempotency_keys.c
    return select(c.request_hash, c.outcome, c.created_date).where(
        c.viewer_id == given("viewer"), c.field == given("field"), c.key == given("key")
    )


OUTCOME: Final = Query(_outcome)
"""What is kept for a request, however old."""


async def store_outcome(session: Session, request: IdempotentRequest, outcome: Any, now: datetime) -> None:
    """Keep an outcome, in place of one that has expired or was not final."""
    await bulk.put(session, t.idempotency_keys, _kept(request, outcome, now))


async def insert_outcome(session: Session, request: IdempotentRequest, outcome: Any, now: datetime) -> None:
    """Keep the outcome of a request that has none."""
    await bulk.insert(session, t.idempotency_keys, [_kept(request, outcome, now)])


def _kept(request: IdempotentRequest, outcome: Any, now: datetime) -> dict[str, Any]:
    return {
        "viewer_id": request.viewer_id,
        "field": request.field,
        "key": request.key,
        "request_hash": request.request_hash,
        "outcome": outcome,
        "created_date": now,
    }


async def forget_outcome(session: Session, request: IdempotentRequest) -> None:
    """Let the next request of the same key act anew."""
    table = t.idempotency_keys
    await session.execute(
        delete(table).where(
            table.c.viewer_id == request.viewer_id,
            table.c.field == request.field,
            table.c.key == request.key,
        )
    )


async def drop_expired(session: Session, now: datetime) -> None:
    """Forget outcomes older than a day."""
    table = t.idempotency_keys
    await session.execute(delete(table).where(table.c.created_date <= now - timedelta(hours=IDEMPOTENCY_HOURS)))


def targets_of(entries: Iterable[LedgerEntry], numbers: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the history says of targets, from what the ledger says of them."""
    return [
        {"id": entry.target_id, "number": numbers[entry.target_id], "amount": entry.amount}
        for entry in entries
        if entry.target_id is not None and entry.kind is not LedgerKind.REFUND
    ]
