"""Where a posted memo's money goes: onto invoices and debit memos, and back again (domain.md 1.11, 1.25, 4.4-4.8)."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from cm_graphql.domain import ledger, limits, movement, requests
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    ApplyCreditMemoAsync,
    UnapplyCreditMemo,
    UnapplyCreditMemoAsync,
)
from cm_graphql.domain.distribution import Move, Purse, fifo, first_out, proration
from cm_graphql.domain.enums import ApplicationRule, LedgerKind, MemoStatus
from cm_graphql.domain.errors import ErrorCode, refuse
from cm_graphql.domain.ledger import LedgerEntry, Pair
from cm_graphql.domain.records import CreditMemo, MemoHead, Stamp, Target
from cm_graphql.domain.requests import Wanted
from cm_graphql.domain.rulebook import RuleBook, TenantSettings
from cm_graphql.domain.source_rule import by_source


class Application(NamedTuple):
    """What an application, or its undoing, left behind: everything to be saved and answered."""

    memo: CreditMemo
    targets: tuple[Target, ...]
    """Those that money moved to or from, in request order."""
    rule: ApplicationRule
    """How lines were chosen; EXPLICIT when the request named them for every target."""
    entries: tuple[LedgerEntry, ...]
    """One per target, in the same order."""


# --- what must hold before any input is looked at -------------------------------------------------------------------


def check_apply(memo: CreditMemo | MemoHead) -> None:
    """Refuse to apply a memo that is not Posted: INVALID_STATUS."""
    if memo.status is not MemoStatus.POSTED:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}: only a Posted credit memo can be applied.",
        )


def check_anything_to_apply(memo: CreditMemo) -> None:
    """Refuse to apply a memo of which no line is open: AMOUNT_EXCEEDS_UNAPPLIED."""
    if memo.unapplied_part is None:
        raise refuse(
            ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,
            f"Credit memo {memo.name} has nothing unapplied"
            + (": all of it was applied or refunded." if memo.amount else ", since its amount is 0."),
        )


def check_unapply(memo: CreditMemo | MemoHead) -> None:
    """Refuse to unapply a memo that is not Posted or was reversed: INVALID_STATUS, ALREADY_REVERSED (7.6)."""
    if memo.status is not MemoStatus.POSTED:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}: only a Posted credit memo can be unapplied.",
        )
    if memo.reversed:
        raise refuse(
            ErrorCode.ALREADY_REVERSED,
            f"Credit memo {memo.name} was reversed: it stays applied to the debit memo of its reversal.",
        )


def check_anything_to_unapply(memo: CreditMemo) -> None:
    """Refuse to unapply a memo that is applied to nothing: AMOUNT_EXCEEDS_APPLIED (domain.md 7.32)."""
    if all(part.target_id is None for part in memo.parts):
        raise refuse(
            ErrorCode.AMOUNT_EXCEEDS_APPLIED,
            f"Credit memo {memo.name} is applied to nothing: there is nothing to unapply.",
        )


# --- apply ----------------------------------------------------------------------------------------------------------


def apply(
    memo: CreditMemo,
    targets: Sequence[Target],
    command: ApplyCreditMemo | ApplyCreditMemoAsync,
    book: RuleBook,
    stamp: Stamp,
) -> Application:
    """Apply a posted memo to targets, loaded in request order: invoices first, then debit memos (domain.md 1.11).

    Refuses by domain.md section 5 and 7.36, in that order; then nothing was applied.
    """
    wanted = requests.read(memo, targets, command, book.settings)
    check_apply(memo)
    requests.check_targets(memo, wanted)
    effective_date = requests.application_date(memo, wanted, command.effective_date, book, stamp)
    requests.check_limits(memo, wanted, command)
    check_anything_to_apply(memo)
    _check_totals(memo, wanted)
    rule = _rule(memo, wanted, _asked_rule(command), book.settings)
    return _placed(memo, wanted, _distribute(memo, wanted, rule, book.settings), rule, effective_date, stamp)


def apply_automatically(
    memo: CreditMemo, target: Target, book: RuleBook, stamp: Stamp
) -> tuple[Application | None, str | None]:
    """Apply a memo just posted to the invoice it refers to, or say why that is left out (domain.md 3, 7.39)."""
    effective_date = max(memo.credit_memo_date, target.document_date, stamp.today)
    wanted = (Wanted(path=(), target=target, amount=min(memo.unapplied, target.balance), pairs=None),)
    lines = requests.count_lines(memo, wanted)
    limit = limits.LINES_PER_SYNC_APPLICATION
    closed = book.closing_period(effective_date)
    obstacle = (
        f"it is {target.status.spelled}"
        if target.status is not MemoStatus.POSTED
        else "it belongs to another account"
        if target.account_id != memo.account_id
        else "nothing is owed on it"
        if target.balance == 0
        else "nothing of the credit memo is unapplied"
        if memo.unapplied == 0
        else f"{effective_date} lies in the closed accounting period {closed.name}"
        if closed is not None
        else f"{lines} lines would take part, and at most {limit} may at once"
        if lines > limit
        else None
    )
    if obstacle is not None:
        return None, f"Not applied automatically to {target.label}: {obstacle}."
    rule = _rule(memo, wanted, None, book.settings)
    moves = _distribute(memo, wanted, rule, book.settings)
    return _placed(memo, wanted, moves, rule, effective_date, stamp), None


def _asked_rule(command: ApplyCreditMemo | ApplyCreditMemoAsync) -> ApplicationRule | None:
    return command.application_rule if isinstance(command, ApplyCreditMemo) else None


def _check_totals(memo: CreditMemo, wanted: Sequence[Wanted]) -> None:
    show = memo.currency.show
    left = memo.unapplied
    for want in wanted:
        if want.amount > left:
            raise refuse(
                ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,
                f"Credit memo {memo.name} has {show(memo.unapplied)} unapplied: "
                f"{show(want.amount)} for {want.target.label} is {show(want.amount - left)} more than is left of it.",
                *want.path,
                "amount",
            )
        left -= want.amount
    for want in wanted:
        if want.amount > want.target.balance:
            raise _exceeds_balance(memo, want)


def _exceeds_balance(memo: CreditMemo, want: Wanted) -> Exception:
    show = memo.currency.show
    return refuse(
        ErrorCode.AMOUNT_EXCEEDS_BALANCE,
        f"{want.target.title} has a balance of {show(want.target.balance)}: "
        f"{show(want.amount)} cannot be applied to it.",
        *want.path,
        "amount",
    )


def _rule(
    memo: CreditMemo, wanted: Sequence[Wanted], asked: ApplicationRule | None, settings: TenantSettings
) -> ApplicationRule:
    """The rule that spreads what names no lines; proration of too many cells is FIFO instead (domain.md 4.4)."""
    ruled = [want.target for want in wanted if want.pairs is None]
    if not ruled:
        return ApplicationRule.EXPLICIT
    rule = asked or settings.application_rule
    if rule is not ApplicationRule.PRORATION:
        return rule
    cells = len(memo.lines) * sum([len(target.lines) for target in ruled])
    if cells > settings.proration_limit:  # though perhaps not of lines that are open
        credits = sum([amount > 0 for amount in memo.open_amounts])
        cells = credits * sum([balance > 0 for target in ruled for balance in target.balances])
    return rule if cells <= settings.proration_limit else ApplicationRule.FIFO


def _distribute(
    memo: CreditMemo, wanted: Sequence[Wanted], rule: ApplicationRule, settings: TenantSettings
) -> list[Sequence[Move]]:
    """Choose lines for every target, strictly in request order, each using what the earlier ones left (7.33)."""
    purse = Purse(memo.open_amounts)
    moves: list[Sequence[Move]] = []
    for want in wanted:
        debts = list(want.target.balances)
        if want.pairs is not None:
            moves.append(_as_asked(memo, want, purse, debts))
            continue
        if rule is ApplicationRule.SOURCE_ITEM:
            chosen = by_source(memo, want.target, want.amount, settings.proration_limit, *want.path)
        elif rule is ApplicationRule.PRORATION:
            chosen = proration(purse, debts, want.amount, memo.currency.unit)
        else:
            chosen = fifo(purse, debts, want.amount)
        if sum([move.amount for move in chosen]) != want.amount:
            raise _exceeds_balance(memo, want)
        moves.append(chosen)
    return moves


def _as_asked(memo: CreditMemo, want: Wanted, purse: Purse, debts: list[int]) -> list[Move]:
    """Take the lines that the request names, each within what both sides have left."""
    show = memo.currency.show
    moves: list[Move] = []
    for pair in want.pairs or ():
        move = pair.move
        given, owed = purse.amounts[move.source], debts[move.target]
        if abs(move.amount) > abs(given):
            raise refuse(
                ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,
                f"Line {memo.lines[move.source].id} of credit memo {memo.name} has {show(given)} unapplied: "
                f"{show(move.amount)} cannot be taken from it.",
                *pair.path,
                "amount",
            )
        if abs(move.amount) > abs(owed):
            raise refuse(
                ErrorCode.AMOUNT_EXCEEDS_BALANCE,
                f"Line {want.target.lines[move.target].id} of {want.target.label} has a balance of {show(owed)}: "
                f"{show(move.amount)} cannot be applied to it.",
                *pair.path,
                "amount",
            )
        purse.amounts[move.source] -= move.amount
        debts[move.target] -= move.amount
        moves.append(move)
    return moves


def _placed(
    memo: CreditMemo,
    wanted: Sequence[Wanted],
    moves: Sequence[Sequence[Move]],
    rule: ApplicationRule,
    effective_date: date,
    stamp: Stamp,
) -> Application:
    movements = [
        (want.target.id, movement.between(memo, want.target, chosen))
        for want, chosen in zip(wanted, moves, strict=True)
    ]
    del moves  # there may be hundreds of thousands
    return Application(
        memo=movement.place(memo, movements, stamp),
        targets=tuple(
            [movement.credit(want.target, amounts) for want, (_, amounts) in zip(wanted, movements, strict=True)]
        ),
        rule=rule,
        entries=ledger.entries(LedgerKind.APPLY, memo, movements, effective_date, stamp),
    )


# --- unapply --------------------------------------------------------------------------------------------------------


def unapply(
    memo: CreditMemo,
    targets: Sequence[Target],
    command: UnapplyCreditMemo | UnapplyCreditMemoAsync,
    floor: date | None,
    book: RuleBook,
    stamp: Stamp,
) -> Application:
    """Take a memo off targets again, first applied first released (domain.md 1.25, 4.4, 7.32).

    `targets` are those of the request, in its order; without any, all that the memo is applied to, which for a job
    means invoices only. `floor` is the latest day in the ledger of `ledger.FLOOR_KINDS`.
    """
    wanted = requests.read(memo, targets, command, book.settings)
    check_unapply(memo)
    effective_date = requests.unapplication_date(memo, command.effective_date, floor, book, stamp)
    requests.check_limits(memo, wanted, command)
    check_anything_to_unapply(memo)
    if not wanted:
        raise refuse(
            ErrorCode.AMOUNT_EXCEEDS_APPLIED,
            f"Credit memo {memo.name} is applied to debit memos only: there is no invoice to unapply it from.",
        )
    parts = {part.target_id: part for part in memo.parts}
    released: list[tuple[str, Mapping[Pair, int]]] = []
    for want in wanted:
        part = parts.get(want.target.id)
        held = part.amount if part else 0
        if part is None or want.amount > held:
            show = memo.currency.show
            raise refuse(
                ErrorCode.AMOUNT_EXCEEDS_APPLIED,
                f"Credit memo {memo.name} has {show(held)} applied to {want.target.label}: "
                f"{show(want.amount)} cannot be unapplied from it.",
                *want.path,
                "amount",
            )
        applied: dict[Pair, int] = {
            (item_part.source_id, item_part.target_id): item_part.amount
            for item_part in sorted(part.item_parts, key=lambda item_part: item_part.position)
        }
        if want.pairs is not None:
            released.append((want.target.id, _named(memo, want, applied)))
        elif want.amount == held:
            released.append((want.target.id, applied))
        else:
            pairs = list(applied)
            taken = first_out(list(applied.values()), want.amount)
            released.append((want.target.id, {pairs[index]: amount for index, amount in taken}))
    explicit = all(want.pairs is not None for want in wanted)
    back = [(target_id, {pair: -amount for pair, amount in amounts.items()}) for target_id, amounts in released]
    return Application(
        memo=movement.place(memo, back, stamp),
        targets=tuple(movement.credit(want.target, amounts) for want, (_, amounts) in zip(wanted, back, strict=True)),
        rule=ApplicationRule.EXPLICIT if explicit else ApplicationRule.FIFO,
        entries=ledger.entries(LedgerKind.UNAPPLY, memo, released, effective_date, stamp),
    )


def _named(memo: CreditMemo, want: Wanted, applied: Mapping[Pair, int]) -> dict[Pair, int]:
    """Release what the request names, each within what lies between the two lines."""
    taken: dict[Pair, int] = {}
    for asked in want.pairs or ():
        pair = (memo.lines[asked.move.source].id, want.target.lines[asked.move.target].id)
        held = applied.get(pair, 0)
        taken[pair] = taken.get(pair, 0) + asked.move.amount
        if abs(taken[pair]) > abs(held):
            show = memo.currency.show
            raise refuse(
                ErrorCode.AMOUNT_EXCEEDS_APPLIED,
                f"Line {pair[0]} of credit memo {memo.name} has {show(held)} applied to line {pair[1]} "
                f"of {want.target.label}: {show(taken[pair])} cannot be unapplied.",
                *asked.path,
                "amount",
            )
    return taken
