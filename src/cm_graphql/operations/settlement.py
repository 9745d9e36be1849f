"""Applying a memo's money to documents and taking it off again."""

from collections.abc import Iterator, Sequence

from cm_graphql.domain import requests, settlement
from cm_graphql.domain.commands.settlement import ApplyCreditMemo, UnapplyCreditMemo
from cm_graphql.domain.enums import EventAction
from cm_graphql.domain.records import CreditMemo, Target
from cm_graphql.operations.gate import Outcome, action
from cm_graphql.operations.unit import Path, Unit
from cm_graphql.store import records

_LINE_FIELDS = ("credit_memo_item_id", "credit_tax_item_id", "invoice_item_id", "debit_memo_item_id", "tax_item_id")


@action("credit_memos:apply")
async def apply(unit: Unit, command: ApplyCreditMemo) -> Outcome:
    """Apply a posted memo (domain.md 1.11)."""
    memo = await unit.memo(command.key)
    loaded = await unit.targets(requests.asked(command))
    await _require_lines(unit, command, memo, loaded)
    unit.expect_version(memo, command.if_version)
    applied = settlement.apply(memo, loaded, command, unit.book, unit.stamp)
    await unit.save_application(memo, loaded, applied, EventAction.APPLIED)
    return {"credit_memo": memo.id, "applied_rule": applied.rule}


@action("credit_memos:unapply")
async def unapply(unit: Unit, command: UnapplyCreditMemo) -> Outcome:
    """Take a memo off targets (domain.md 1.25)."""
    memo = await unit.memo(command.key)
    wanted = requests.asked(command)
    loaded = await unit.targets(wanted) if wanted else await _everything(unit, memo)
    await _require_lines(unit, command, memo, loaded)
    unit.expect_version(memo, command.if_version)
    floor = await records.ledger_floor(unit.session, memo.id)
    released = settlement.unapply(memo, loaded, command, floor, unit.book, unit.stamp)
    await unit.save_application(memo, loaded, released, EventAction.UNAPPLIED)
    return {"credit_memo": memo.id, "applied_rule": released.rule}


async def _everything(unit: Unit, memo: CreditMemo) -> list[Target]:
    """All that a memo is applied to, in the order of its parts."""
    ids = [part.target_id for part in memo.parts if part.target_id is not None]
    loaded = await unit.targets_of(ids)
    return [loaded[key] for key in ids]


async def _require_lines(
    unit: Unit, command: ApplyCreditMemo | UnapplyCreditMemo, memo: CreditMemo, loaded: Sequence[Target]
) -> None:
    """Refuse lines that do not exist at all; those that exist elsewhere are the rules' business."""
    named = list(_named_lines(command))
    if named:
        known = [line.id for line in memo.lines]
        known.extend(line.id for target in loaded for line in target.lines)
        await unit.require_known(named, known)


def _named_lines(command: ApplyCreditMemo | UnapplyCreditMemo) -> Iterator[tuple[str, Path]]:
    for path, want in requests.asked(command):
        for index, item in enumerate(getattr(want, "items", None) or ()):
            for name in _LINE_FIELDS:
                key = getattr(item, name, None)
                if key is not None:
                    yield key, (*path, "items", index, name)
