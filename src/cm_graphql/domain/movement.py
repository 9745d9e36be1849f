"""What a movement of money does to the records it passes: lines, parts and target lines change together.

What did not change stays the same object, so that a memo of many lines costs only what moved (domain.md 4.6).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from cm_graphql.domain.distribution import Move
from cm_graphql.domain.ledger import Pair
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, ItemPart, Part, Stamp, Target


def between(memo: CreditMemo, target: Target, moves: Sequence[Move]) -> dict[Pair, int]:
    """What moves between each pair of lines, told by their ids; moves of the same pair are one (domain.md 4.6)."""
    amounts: dict[Pair, int] = {}
    for move in moves:
        pair = (memo.lines[move.source].id, target.lines[move.target].id)
        amounts[pair] = amounts.get(pair, 0) + move.amount
    return amounts


def place(memo: CreditMemo, movements: Sequence[tuple[str, Mapping[Pair, int]]], stamp: Stamp) -> CreditMemo:
    """Move money from a memo's unapplied part onto targets, given per target id what each pair of lines shall gain.

    Negative gains of positive lines move it back.
    """
    by_line: dict[str, int] = {}
    for _, amounts in movements:
        for (source_id, _), amount in amounts.items():
            by_line[source_id] = by_line.get(source_id, 0) + amount
    items = _used(memo, applied=by_line)
    unapplied: dict[Pair, int] = {(source_id, None): -amount for source_id, amount in by_line.items()}
    del by_line  # there may be hundreds of thousands
    parts = _changed_parts(memo, [(None, unapplied), *movements], stamp)
    del unapplied
    return memo.moved(items, parts)


def pay_out(memo: CreditMemo, amounts: Mapping[Pair, int], stamp: Stamp) -> CreditMemo:
    """Let money leave a memo's unapplied part for good, given what each line gives."""
    by_line = {source_id: amount for (source_id, _), amount in amounts.items()}
    unapplied: dict[Pair, int] = {(source_id, None): -amount for source_id, amount in by_line.items()}
    return memo.moved(_used(memo, refunded=by_line), _changed_parts(memo, [(None, unapplied)], stamp))


def first_part(memo: CreditMemo, stamp: Stamp) -> tuple[Part, ...]:
    """The unapplied part that a memo gets at posting, none when every line is 0 (domain.md 3, Draft to Posted)."""
    worth: dict[Pair, int] = {(line.id, None): line.worth for line in memo.lines if line.worth}
    return _changed_parts(memo, [(None, worth)], stamp)


def credit(target: Target, amounts: Mapping[Pair, int]) -> Target:
    """Let a target's lines gain credit, or lose it where the amounts undo what they had."""
    gains: dict[str | None, int] = {}
    for (_, line_id), amount in amounts.items():
        gains[line_id] = gains.get(line_id, 0) + amount
    return target.with_lines(
        tuple(
            [
                line._replace(credited=line.credited + gains[line.id]) if line.id in gains else line
                for line in target.lines
            ]
        )
    )


_NOTHING: Mapping[str, int] = {}


def _used(
    memo: CreditMemo, applied: Mapping[str, int] = _NOTHING, refunded: Mapping[str, int] = _NOTHING
) -> tuple[CreditMemoItem, ...]:
    moved = applied.keys() | refunded.keys()
    items: list[CreditMemoItem] = []
    for item in memo.items:
        used = item.id in moved
        for tax in item.taxation_items:
            used = used or tax.id in moved
        items.append(_used_item(item, applied, refunded) if used else item)
    return tuple(items)


def _used_item(item: CreditMemoItem, applied: Mapping[str, int], refunded: Mapping[str, int]) -> CreditMemoItem:
    taxes = [
        tax.using(applied.get(tax.id, 0), refunded.get(tax.id, 0)) if tax.id in applied or tax.id in refunded else tax
        for tax in item.taxation_items
    ]
    return item.using(applied.get(item.id, 0), refunded.get(item.id, 0), tuple(taxes))


def _changed_parts(
    memo: CreditMemo, changes: Sequence[tuple[str | None, Mapping[Pair, int]]], stamp: Stamp
) -> tuple[Part, ...]:
    # Positions grow over the whole memo, so that what comes last is released last, whatever was undone before (7.32).
    last = max([item_part.position for part in memo.parts for item_part in part.item_parts], default=0)
    positions = count(last + 1)
    parts = {part.target_id: part for part in memo.parts}
    for target_id, amounts in changes:
        changed = _changed_part(parts.get(target_id), target_id, amounts, positions, stamp)
        if changed is not None:
            parts[target_id] = changed
        else:
            parts.pop(target_id, None)
    return tuple(parts.values())


def _changed_part(
    part: Part | None, target_id: str | None, amounts: Mapping[Pair, int], positions: Iterator[int], stamp: Stamp
) -> Part | None:
    """Change a part's item parts; one that comes to 0 is gone, and so is a part without any (domain.md 4.6, 7.32)."""
    item_parts: list[ItemPart] = []
    new = amounts
    if part is not None:
        new = dict(amounts)
        for item_part in part.item_parts:
            key, position, held, source_id, line_id = item_part
            if (source_id, line_id) not in new:
                item_parts.append(item_part)
            elif amount := held + new.pop((source_id, line_id)):
                item_parts.append(ItemPart(key, position, amount, source_id, line_id))
    for (source_id, line_id), gained in new.items():
        item_parts.append(ItemPart(stamp.new_id("cip"), next(positions), gained, source_id, line_id))
    if not item_parts:
        return None
    if part is None:
        return Part(id=stamp.new_id("cmp"), target_id=target_id, item_parts=tuple(item_parts))
    return Part(part.id, target_id, tuple(item_parts))
