"""Settings, codes, periods, accounts and numbers: what actions ask for beside the documents."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Table, Text, and_, cast, select

from cm_graphql.domain.billing import TaxRate
from cm_graphql.domain.enums import DocumentType, EventAction, PeriodStatus
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import Period, Stamp
from cm_graphql.domain.rulebook import ReasonCode, RuleBook, TenantSettings
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.memos import stamped, touched
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Query

NUMBER_DIGITS = 8
"""Digits of a document number, zero-padded: CM00000001 (domain.md 0, Numbers)."""


async def rulebook(session: Session, *, reasons: bool = True) -> RuleBook:
    """Everything the rules ask for that is not a document; without `reasons` all but the reason codes."""
    asked = (*RULES, _REASON_CODES) if reasons else RULES
    settings, periods, *codes = await session.ask_all(*[(query, {}) for query in asked])
    return _rulebook(settings[0].document if settings else None, tuple(periods), tuple(codes[0]) if codes else ())


@lru_cache(maxsize=64)
def _rulebook(settings: str | None, periods: tuple[Any, ...], codes: tuple[Any, ...]) -> RuleBook:
    """The rules that these rows stand for; the same rows come again and again."""
    return RuleBook(
        settings=settings_of(json.loads(settings or "{}")),
        closed_periods=tuple(
            Period(name=row.name, start_date=row.start_date, end_date=row.end_date, closed=True) for row in periods
        ),
        reason_codes=_codes(codes),
    )


async def reason_codes(session: Session) -> tuple[ReasonCode, ...]:
    """All reason codes of the tenant."""
    return _codes(await session.ask(_REASON_CODES))


def _codes(rows: Iterable[Any]) -> tuple[ReasonCode, ...]:
    return tuple(ReasonCode(name=row.name, type=row.type, active=row.active, is_default=row.is_default) for row in rows)


_SETTINGS: Final = Query(
    lambda _among: select(cast(t.settings.c.document, Text).label("document")).where(t.settings.c.id == 1)
)
_CLOSED_PERIODS: Final = Query(
    lambda _among: select(
        t.accounting_periods.c.name, t.accounting_periods.c.start_date, t.accounting_periods.c.end_date
    ).where(t.accounting_periods.c.status == PeriodStatus.CLOSED)
)
_REASON_CODES: Final = Query(
    lambda _among: select(
        t.reason_codes.c.name, t.reason_codes.c.type, t.reason_codes.c.active, t.reason_codes.c.is_default
    ).order_by(t.reason_codes.c.id)
)
RULES: Final = (_SETTINGS, _CLOSED_PERIODS)
"""What `rulebook` asks where reason codes are not needed."""


async def tenant_settings(session: Session, *, lock: bool = False) -> TenantSettings:
    """The tenant's settings: what was changed, and defaults for the rest."""
    statement = select(t.settings.c.document).where(t.settings.c.id == 1)
    return settings_of(await session.scalar(statement.with_for_update() if lock else statement) or {})


_DEFAULTS: Final = asdict(TenantSettings())


def settings_of(document: Mapping[str, Any]) -> TenantSettings:
    """The settings that a stored document stands for."""
    values: dict[str, Any] = {
        name: type(default)(document[name]) if isinstance(default, StrEnum) else document[name]
        for name, default in _DEFAULTS.items()
        if name in document
    }
    return TenantSettings(**values)


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


# --- what the tenant says of its own books ----------------------------------------------------------------------------


async def save_settings(session: Session, after: TenantSettings, names: Iterable[str], stamp: Stamp) -> None:
    """Store the settings of these names; the row must be locked."""
    row = await session.first(select(t.settings).where(t.settings.c.id == 1))
    assert row is not None, "the first migration makes the row"
    document = {**row.document, **{name: getattr(after, name) for name in names}}
    if document != row.document:
        values = {"document": document, "version": row.version + 1}
        await session.execute(t.settings.update().where(t.settings.c.id == 1), {**values, **touched(stamp)})


async def save_reason_code(session: Session, code: ReasonCode, stamp: Stamp) -> str:
    """Write a reason code over the one of its type and name, in any capitals, else as a new one; answers its id."""
    codes = t.reason_codes
    rows = await session.rows(select(codes.c.id, codes.c.name).where(codes.c.type == code.type))
    found = next((row.id for row in rows if row.name.lower() == code.name.lower()), None)
    values = {**asdict(code), "id": found or stamp.new_id("rc")}
    await put(session, codes, values, stamp, is_new=found is None)
    return str(values["id"])


async def save_period(session: Session, period: Period, stamp: Stamp) -> str:
    """Write an accounting period over the one of its name, else as a new one; answers its id."""
    periods = t.accounting_periods
    found = await session.scalar(select(periods.c.id).where(periods.c.name == period.name))
    values = {
        "id": found or stamp.new_id("per"),
        "name": period.name,
        "start_date": period.start_date,
        "end_date": period.end_date,
        "status": PeriodStatus.CLOSED if period.closed else PeriodStatus.OPEN,
    }
    await put(session, periods, values, stamp, is_new=found is None)
    return str(values["id"])


async def save_currency(session: Session, currency: Currency, stamp: Stamp) -> None:
    """Write how the tenant uses a currency."""
    values = {
        "code": currency.code,
        "active": currency.active,
        "rounding_mode": currency.rounding,
        "rounding_increment": currency.increment,
    }
    await _put_keyed(session, t.currencies, values, stamp)


async def save_tax_rate(session: Session, rate: TaxRate, stamp: Stamp) -> None:
    """Write a rate of the tax engine `table`."""
    await _put_keyed(session, t.tax_rates, asdict(rate), stamp)


async def put(session: Session, table: Table, values: bulk.Values, stamp: Stamp, *, is_new: bool) -> None:
    """Insert a row, or write over the one of this id."""
    if is_new:
        await session.execute(table.insert(), {**values, **stamped(stamp)})
    else:
        await session.execute(table.update().where(table.c.id == values["id"]), {**values, **touched(stamp)})


async def _put_keyed(session: Session, table: Table, values: bulk.Values, stamp: Stamp) -> None:
    """Write a row over the one of its primary key, else as a new one."""
    same = and_(*(column == values[column.name] for column in table.primary_key))
    if await session.first(select(table).where(same)) is None:
        await session.execute(table.insert(), {**values, **stamped(stamp)})
    else:
        await session.execute(table.update().where(same), {**values, **touched(stamp)})
