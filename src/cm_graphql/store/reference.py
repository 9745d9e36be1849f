"""Settings, codes, periods, accounts and numbers: what actions ask for beside the documents."""

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, select

from cm_graphql.domain.enums import DocumentType, EventAction, PeriodStatus
from cm_graphql.domain.records import Period
from cm_graphql.domain.rulebook import ReasonCode, RuleBook, TenantSettings
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.session import Session

NUMBER_DIGITS = 8
"""Digits of a document number, zero-padded: CM00000001 (domain.md 0, Numbers)."""


async def rulebook(session: Session) -> RuleBook:
    """Everything the rules ask for that is not a document."""
    periods, codes = t.accounting_periods, t.reason_codes
    return RuleBook(
        settings=await tenant_settings(session),
        closed_periods=tuple(
            Period(name=row.name, start_date=row.start_date, end_date=row.end_date, closed=True)
            for row in await session.rows(select(periods).where(periods.c.status == PeriodStatus.CLOSED))
        ),
        reason_codes=tuple(
            ReasonCode(name=row.name, type=row.type, active=row.active, is_default=row.is_default)
            for row in await session.rows(select(codes).order_by(codes.c.id))
        ),
    )


async def tenant_settings(session: Session) -> TenantSettings:
    """The tenant's settings: what was changed, and defaults for the rest."""
    document: dict[str, Any] = await session.scalar(select(t.settings.c.document).where(t.settings.c.id == 1)) or {}
    defaults = asdict(TenantSettings())
    values: dict[str, Any] = {
        name: type(default)(document[name]) if isinstance(default, StrEnum) else document[name]
        for name, default in defaults.items()
        if name in document
    }
    return TenantSettings(**values)


async def account(session: Session, account_id: str) -> Row[Any] | None:
    """An account's row."""
    return await session.first(select(t.accounts).where(t.accounts.c.id == account_id))


async def take_number(session: Session, account_id: str, kind: DocumentType) -> str:
    """Use up the next number of a document type, in the account's sequence set or else in DEFAULT (domain.md 0).

    What is taken, by a document that came with a number of its own, is passed over. The sequence stays locked until
    the transaction ends, so that a rollback leaves no gap.
    """
    sets, sequences = t.sequence_sets, t.sequences
    own = await session.scalar(select(t.accounts.c.sequence_set_id).where(t.accounts.c.id == account_id))
    set_id = own or await session.scalar(select(sets.c.id).where(sets.c.name == "DEFAULT"))
    sequence = sequences.update().where(sequences.c.set_id == set_id, sequences.c.document_type == kind)
    row = await session.first(
        sequence.values(next_number=sequences.c.next_number + 1).returning(sequences.c.prefix, sequences.c.next_number)
    )
    assert row is not None, "every sequence set has every document type"
    place = row.next_number - 1
    if not await is_number_taken(session, kind, _number(row.prefix, place)):
        return _number(row.prefix, place)
    # Other systems may have brought a hundred thousand of them: look at many places at once.
    while True:
        looked_at = {_number(row.prefix, n): n for n in range(place, place + bulk.CHUNK)}
        taken = await _taken_numbers(session, kind, list(looked_at))
        free = next((number for number in looked_at if number not in taken), None)
        if free is not None:
            await session.execute(sequence.values(next_number=looked_at[free] + 1))
            return free
        place += bulk.CHUNK


def _number(prefix: str, place: int) -> str:
    return f"{prefix}{place:0{NUMBER_DIGITS}d}"


async def is_number_taken(session: Session, kind: DocumentType, number: str) -> bool:
    """Whether a document of this type has a number, or had it until it was deleted (domain.md 1.8, 7.20)."""
    return bool(await _taken_numbers(session, kind, [number]))


async def _taken_numbers(session: Session, kind: DocumentType, numbers: Sequence[str]) -> set[str]:
    """Those of these numbers that a document of this type has, or had until it was deleted."""
    column = _NUMBERS[kind]
    taken = {row[0] for row in await session.rows(select(column).where(column.in_(numbers)))}
    if column is t.credit_memos.c.number:
        events = t.credit_memo_events.c
        burned = select(events.credit_memo_number).where(
            events.credit_memo_number.in_(numbers), events.action == EventAction.DELETED
        )
        taken.update(row[0] for row in await session.rows(burned))
    return taken


_NUMBERS: Final = {
    DocumentType.CREDIT_MEMO: t.credit_memos.c.number,
    DocumentType.CREDIT_MEMO_DRAFT: t.credit_memos.c.number,
    DocumentType.DEBIT_MEMO: t.debit_memos.c.number,
    DocumentType.REFUND: t.refunds.c.number,
}
