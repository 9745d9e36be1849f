"""The source-item rule: each credit line settles the invoice line that it was made from (domain.md 4.5, 7.37)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from cm_graphql.domain.distribution import Move, corner, matrix
from cm_graphql.domain.enums import ItemSourceType
from cm_graphql.domain.errors import ErrorCode, refuse
from cm_graphql.domain.money import split
from cm_graphql.domain.records import CreditMemo, Target, TargetLine, TaxationItem


class TaxKey(NamedTuple):
    """What makes a credit tax and an invoice tax the same tax (domain.md 4.5)."""

    source_item_id: str
    name: str | None
    location_code: str
    jurisdiction: str
    tax_rate: Decimal | None


Match = str | TaxKey
"""An invoice item's id, or what tells its taxes apart."""


@dataclass(slots=True)
class _Group:
    """Credit lines and the invoice lines that match them: every one of these matches every one of those."""

    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)


def by_source(memo: CreditMemo, target: Target, amount: int, cells: int, *path: str | int) -> list[Move]:
    """Move an amount from credit lines onto the invoice lines they were made from.

    The whole unapplied amount moves every open line, negative ones included; less than that is split over the positive
    ones. Refuses a line without a match, or one whose share is more than its match's balance: SOURCE_ITEM_MISMATCH.
    Several lines whose common matches owe less than they give together: AMOUNT_EXCEEDS_BALANCE (7.27).
    Tables of more than `cells` cells are filled in order instead of in proportion, with the same totals of lines.
    """
    shares = _shares(memo, amount)
    groups = _groups(memo, target, shares)
    moves: list[Move] = []
    for sign in (1, -1):
        for match, group in groups.items():
            rows = {index: sign * shares[index] for index in group.sources if sign * shares[index] > 0}
            columns = {i: sign * target.lines[i].balance for i in group.targets if sign * target.lines[i].balance > 0}
            if rows:
                _check(memo, target, match, rows, columns, bool(group.targets), *path)
                moves.extend(_within(rows, columns, sign, memo.currency.unit, cells))
    return moves


def _shares(memo: CreditMemo, amount: int) -> Mapping[int, int]:
    """What each credit line is to move."""
    if amount == memo.unapplied:
        return {index: line.unapplied for index, line in enumerate(memo.lines) if line.unapplied}
    positive = [index for index, line in enumerate(memo.lines) if line.unapplied > 0]
    shares = split(amount, [memo.lines[index].unapplied for index in positive], memo.currency.unit)
    return {index: share for index, share in zip(positive, shares, strict=True) if share}


def _groups(memo: CreditMemo, target: Target, shares: Iterable[int]) -> dict[Match | None, _Group]:
    """Bring together the lines that match; lines of the memo that can match nothing have None."""
    groups: dict[Match | None, _Group] = {}
    matches = _matches(memo)
    for index in shares:
        groups.setdefault(matches[index], _Group()).sources.append(index)
    for index, line in enumerate(target.lines):
        match: Match = line.id
        if line.item_id is not None:
            match = _tax_key(line.item_id, line)
        if match in groups:
            groups[match].targets.append(index)
    return groups


def _tax_key(item_id: str, tax: TaxationItem | TargetLine) -> TaxKey:
    """What must be equal; an invoice may tell no place of a tax, of which a memo's says that it is nowhere."""
    return TaxKey(item_id, tax.name, tax.location_code or "", tax.jurisdiction or "", tax.tax_rate)


def _matches(memo: CreditMemo) -> Sequence[Match | None]:
    matches: list[Match | None] = []
    for item in memo.items:
        source_id = item.source_item_id if item.source_item_type is ItemSourceType.INVOICE_DETAIL else None
        matches.append(source_id)
        matches.extend(source_id and _tax_key(source_id, tax) for tax in item.taxation_items)
    return matches


def _check(
    memo: CreditMemo,
    target: Target,
    match: Match | None,
    rows: Mapping[int, int],
    columns: Mapping[int, int],
    known: bool,
    *path: str | int,
) -> None:
    """Refuse what cannot be placed on its matches; `known` is whether the target has any, settled ones included."""
    room, show = sum(columns.values()), memo.currency.show
    for index, share in rows.items():
        if share > room:
            line = memo.lines[index]
            why = (
                f"it was not made from a line of {target.label}"
                if match is None or not known
                else f"the line it was made from has a balance of {show(room)}"
            )
            raise refuse(
                ErrorCode.SOURCE_ITEM_MISMATCH,
                f"{show(share)} of line {line.id} of credit memo {memo.name} "
                f"cannot go where the line came from: {why}.",
                *path,
            )
    if sum(rows.values()) > room:
        raise refuse(
            ErrorCode.AMOUNT_EXCEEDS_BALANCE,
            f"{len(rows)} lines of credit memo {memo.name}, {memo.lines[next(iter(rows))].id} the first of them, were "
            f"made from the same line of {target.label}: together they are to give {show(sum(rows.values()))}, and its "
            f"balance is {show(room)}.",
            *path,
            "amount",
        )


def _within(rows: Mapping[int, int], columns: Mapping[int, int], sign: int, unit: int, cells: int) -> list[Move]:
    """Place one group: what its lines give in full, taken by its matches in proportion to their balances."""
    sources, targets = list(rows), list(columns)
    given, room = list(rows.values()), list(columns.values())
    taken = split(sum(given), room, unit)
    fill = matrix if len(given) * len(taken) <= cells else _in_order
    return [Move(sources[m.source], targets[m.target], sign * m.amount) for m in fill(given, taken, unit)]


def _in_order(rows: Sequence[int], columns: Sequence[int], _unit: int) -> list[Move]:
    return list(corner(rows, columns))
