"""Settings, codes, periods, accounts and numbers: what actions ask for beside the documents."""

from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, select

from cm_graphql.domain.enums import DocumentType, EventAction, PeriodStatus
from cm_graphql.domain.records import Period
from cm_graphql.domain.rulebook import ReasonCode, RuleBook, TenantSettings
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
    while True:
        row = await session.first(
            sequences.update()
            .where(sequences.c.set_id == set_id, sequences.c.document_type == kind)
            .values(next_number=sequences.c.next_number + 1)
            .returning(sequences.c.prefix, sequences.c.next_number)
        )
        assert row is not None, "every sequence set has every document type"
        number = f"{row.prefix}{row.next_number - 1:0{NUMBER_DIGITS}d}"
        if not await is_number_taken(session, kind, number):
            return number


async def is_number_taken(session: Session, kind: DocumentType, number: str) -> bool:
    """Whether a document of this type has a number, or had it until it was deleted (domain.md 1.8, 7.20)."""
    column = _NUMBERS[kind]
    if await session.scalar(select(column).where(column == number)) is not None:
        return True
    if column is not t.credit_memos.c.number:
        return False
    events = t.credit_memo_events.c
    burned = select(events.id).where(events.credit_memo_number == number, events.action == EventAction.DELETED)
    return await session.scalar(burned.limit(1)) is not None


_NUMBERS: Final = {
    DocumentType.CREDIT_MEMO: t.credit_memos.c.number,
    DocumentType.CREDIT_MEMO_DRAFT: t.credit_memos.c.number,
    DocumentType.DEBIT_MEMO: t.debit_memos.c.number,
    DocumentType.REFUND: t.refunds.c.number,
}
