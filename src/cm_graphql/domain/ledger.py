"""The application ledger: every movement of a memo's money ever made, kept although later ones undo it.

What lies where now is said by parts (domain.md 2.4); the ledger says how it came there, and gives unapply its floor
(domain.md 4.6, 7.32).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from cm_graphql.domain.enums import LedgerKind
from cm_graphql.domain.records import CreditMemo, Stamp

FLOOR_KINDS = frozenset({LedgerKind.APPLY, LedgerKind.REFUND, LedgerKind.REVERSE, LedgerKind.WRITE_OFF})
"""The movements whose days an unapplication must not precede (domain.md 1.25, 7.32)."""

Pair = tuple[str, str | None]
"""A credit line and the target line that its money lies on; nothing where it lies on none."""


class LedgerLine(NamedTuple):
    """What moved between one credit line and one target line; it is given an id when it is written down."""

    amount: int
    """Negative only between negative lines; the entry's kind says which way it went."""
    source_id: str
    """A credit memo item (`cmi_`) or taxation item (`cmt_`)."""
    target_id: str | None
    """A line of the target, or nothing in a refund."""


@dataclass(frozen=True, slots=True)
class LedgerLines:
    """The lines of an entry, kept as columns: there may be hundreds of thousands."""

    _sources: tuple[str, ...]
    _targets: tuple[str | None, ...]
    _amounts: tuple[int, ...]

    @classmethod
    def of(cls, moved: Mapping[Pair, int]) -> "LedgerLines":
        """What moved between each pair of lines, in that order."""
        return cls(
            tuple([source_id for source_id, _ in moved]),
            tuple([target_id for _, target_id in moved]),
            tuple(moved.values()),
        )

    def __len__(self) -> int:
        return len(self._amounts)

    def __iter__(self) -> Iterator[LedgerLine]:
        return map(LedgerLine, self._amounts, self._sources, self._targets)

    @property
    def amount(self) -> int:
        """Their sum."""
        return sum(self._amounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One movement between a memo and one target, or out of it as a refund."""

    id: str
    group_id: str
    """Shared by all entries of one action: the id of the first."""
    kind: LedgerKind
    memo_id: str
    currency: str
    amount: int
    effective_date: date
    by: str
    at: datetime
    lines: LedgerLines
    target_id: str | None = None
    """An invoice or debit memo, or nothing in a refund."""
    refund_id: str | None = None

    def __post_init__(self) -> None:
        assert self.amount == self.lines.amount, "an entry is the sum of its lines"
        assert self.amount >= 0, "a movement the other way has another kind"
        assert (self.kind is LedgerKind.REFUND) == (self.target_id is None)


def entries(
    kind: LedgerKind,
    memo: CreditMemo,
    movements: Iterable[tuple[str, Mapping[Pair, int]]],
    effective_date: date,
    stamp: Stamp,
) -> tuple[LedgerEntry, ...]:
    """Write down one action: an entry per target, given what moved between its lines and the memo's."""
    group_id: str | None = None
    made: list[LedgerEntry] = []
    for target_id, amounts in movements:
        entry_id = stamp.new_id("led")
        group_id = group_id or entry_id
        made.append(
            LedgerEntry(
                id=entry_id,
                group_id=group_id,
                kind=kind,
                memo_id=memo.id,
                currency=memo.currency.code,
                amount=sum(amounts.values()),
                effective_date=effective_date,
                by=stamp.by,
                at=stamp.at,
                lines=LedgerLines.of(amounts),
                target_id=target_id,
            )
        )
    return tuple(made)


def refund_entry(
    memo: CreditMemo, refund_id: str, amounts: Mapping[Pair, int], effective_date: date, stamp: Stamp
) -> LedgerEntry:
    """Write down a refund."""
    entry_id = stamp.new_id("led")
    return LedgerEntry(
        id=entry_id,
        group_id=entry_id,
        kind=LedgerKind.REFUND,
        memo_id=memo.id,
        currency=memo.currency.code,
        amount=sum(amounts.values()),
        effective_date=effective_date,
        by=stamp.by,
        at=stamp.at,
        lines=LedgerLines.of(amounts),
        refund_id=refund_id,
    )
