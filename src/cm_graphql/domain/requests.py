"""What an apply or unapply asks for, checked before any money moves: values, lines, documents, days and limits."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from cm_graphql.domain import limits, shape
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    ApplyCreditMemoAsync,
    DebitMemoApplication,
    DebitMemoApplicationItem,
    InvoiceAmount,
    InvoiceApplication,
    InvoiceApplicationItem,
    UnapplyCreditMemo,
    UnapplyCreditMemoAsync,
)
from cm_graphql.domain.distribution import Move
from cm_graphql.domain.enums import ApplicationRule, MemoStatus
from cm_graphql.domain.errors import ErrorCode, Fault, Faults, Refusal, field_name, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CreditMemo, MovableTax, Stamp, Target, TaxationItem
from cm_graphql.domain.rulebook import RuleBook, TenantSettings

Command = ApplyCreditMemo | ApplyCreditMemoAsync | UnapplyCreditMemo | UnapplyCreditMemoAsync
Path = tuple[str | int, ...]
Asked = InvoiceApplication | DebitMemoApplication | InvoiceAmount
AskedItem = InvoiceApplicationItem | DebitMemoApplicationItem


class NamedPair(NamedTuple):
    """A pair of lines that the request names, and what shall move between them."""

    path: Path
    move: Move


class Wanted(NamedTuple):
    """What shall move between the memo and one target."""

    path: Path
    target: Target
    amount: int
    pairs: tuple[NamedPair, ...] | None
    """The lines, where the request names them; else a rule chooses."""


# --- shape ------------------------------------------------------------------------------------------------------------


def asked(command: Command) -> list[tuple[Path, Asked]]:
    """The targets a command names, in the order they are served: invoices first, then debit memos (7.21)."""
    invoices: Sequence[Asked] = command.invoices
    found: list[tuple[Path, Asked]] = [(("invoices", index), want) for index, want in enumerate(invoices)]
    if isinstance(command, ApplyCreditMemo | UnapplyCreditMemo) and command.debit_memos:
        found.extend([(("debit_memos", index), want) for index, want in enumerate(command.debit_memos)])
    return found


def _items(want: Asked) -> Sequence[AskedItem] | None:
    return None if isinstance(want, InvoiceAmount) else want.items


def check_shape(command: Command, currency: Currency, target_ids: Sequence[str]) -> None:
    """Refuse what can be told without loading lines; `target_ids` in the order of `asked` (domain.md 7.36).

    A job asks this up front, and everything else when it runs (domain.md 1.30).
    """
    faults = Faults()
    _amounts(command, asked(command), currency, target_ids, faults)
    faults.raise_if_any()


def read(memo: CreditMemo, targets: Sequence[Target], command: Command, settings: TenantSettings) -> tuple[Wanted, ...]:
    """Turn a command and its targets, loaded in the order of `asked`, into what shall move where.

    Refuses with all faults of shape together, those about lines included. An unapplication that names no target is
    everything that lies on the targets given (domain.md 1.25).
    """
    wants = asked(command)
    faults = Faults()
    amounts = _amounts(command, wants, memo.currency, [target.id for target in targets] if wants else [], faults)
    if not wants:
        faults.raise_if_any()
        held = {part.target_id: part.amount for part in memo.parts}
        return tuple(
            Wanted(path=(), target=target, amount=held[target.id], pairs=None)
            for target in targets
            if target.id in held
        )
    assert len(targets) == len(wants), "targets come loaded in request order"
    sources = line_indexes(memo) if any(_items(want) is not None for _, want in wants) else {}
    wanted: list[Wanted] = []
    for (path, want), target, amount in zip(wants, targets, amounts, strict=True):
        items = _items(want)
        pairs = None if items is None else _pairs(memo, path, items, target, sources, settings, faults)
        wanted.append(Wanted(path, target, amount, pairs))
    faults.raise_if_any()
    return tuple(wanted)


def _amounts(
    command: Command,
    wants: Sequence[tuple[Path, Asked]],
    currency: Currency,
    target_ids: Sequence[str],
    faults: Faults,
) -> list[int]:
    """The amount for each target, once the shape of the command is checked: faults are noted, of amounts as well."""
    if not wants and isinstance(command, ApplyCreditMemo | ApplyCreditMemoAsync):
        faults.add(ErrorCode.NO_TARGET, "Nothing was named to apply the credit memo to: name at least one.", "invoices")
    seen: dict[str, Path] = {}
    for (path, _), target_id in zip(wants, target_ids, strict=True):
        if seen.setdefault(target_id, path) != path:
            first = "/".join(str(step) for step in seen[target_id])
            faults.add(
                ErrorCode.DUPLICATE_TARGET, f"{'/'.join(map(str, path))} is the same document as {first}.", *path
            )
    amounts = [_amount(path, want, currency, faults) for path, want in wants]
    if isinstance(command, ApplyCreditMemo):
        _check_rule(command, faults)
    return amounts


def _amount(path: Path, want: Asked, currency: Currency, faults: Faults) -> int:
    before = len(faults)
    total = shape.amount(want.amount, currency, faults, *path, "amount")
    items = _items(want)
    if total < 0 or (total == 0 and items is None and len(faults) == before):
        faults.add(ErrorCode.INVALID_VALUE, f"{want.amount} cannot be moved: an amount is above 0.", *path, "amount")
    if items is None:
        return total
    amounts = [
        shape.amount(item.amount, currency, faults, *path, "items", index, "amount") for index, item in enumerate(items)
    ]
    if len(faults) > before:
        return total
    for index, amount in enumerate(amounts):
        if amount == 0:
            faults.add(
                ErrorCode.INVALID_VALUE, "An item moves an amount other than 0.", *path, "items", index, "amount"
            )
    if sum(amounts) != total:
        faults.add(
            ErrorCode.ITEMS_SUM_MISMATCH,
            f"The items add up to {currency.show(sum(amounts))}, not to the amount {currency.show(total)}.",
            *path,
            "amount",
        )
    elif total == 0 and not amounts:
        faults.add(ErrorCode.INVALID_VALUE, "0 can only be the net of items, and none is given.", *path, "amount")
    return total


def _check_rule(command: ApplyCreditMemo, faults: Faults) -> None:
    if command.application_rule is None:
        return
    if command.application_rule is not ApplicationRule.SOURCE_ITEM:
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"The rule {command.application_rule} cannot be asked for: only SOURCE_ITEM can, "
            "else the tenant's setting decides.",
            "application_rule",
        )
    elif len(command.invoices) > 1 or command.debit_memos or any(want.items is not None for want in command.invoices):
        faults.add(
            ErrorCode.APPLICATION_RULE_CONFLICT,
            "The rule SOURCE_ITEM takes a single invoice without items and no debit memos.",
            "application_rule",
        )


def line_indexes(memo: CreditMemo) -> dict[str, int]:
    """Where each of a memo's lines stands, by its id."""
    return {line.id: index for index, line in enumerate(memo.lines)}


def find_credit_line(memo: CreditMemo, item: Key | None, tax: Key | None, indexes: Mapping[str, int]) -> int:
    """The index of the line that one of two ids names: ITEM_PAIR_INVALID for none, both, or one of another memo."""
    is_tax, key = _one(item, tax, "credit_memo_item_id", "credit_tax_item_id")
    index = indexes.get(shape.as_id(key, "cmt" if is_tax else "cmi"))
    if index is None or isinstance(memo.lines[index], TaxationItem | MovableTax) != is_tax:
        raise refuse(
            ErrorCode.ITEM_PAIR_INVALID,
            f"{key} is not {'a taxation item' if is_tax else 'an item'} of credit memo {memo.name}.",
            "credit_tax_item_id" if is_tax else "credit_memo_item_id",
        )
    return index


def _pairs(
    memo: CreditMemo,
    path: Path,
    items: Sequence[AskedItem],
    target: Target,
    sources: Mapping[str, int],
    settings: TenantSettings,
    faults: Faults,
) -> tuple[NamedPair, ...]:
    """Find the lines that the items of one target name; what is wrong with them is noted."""
    pairs: list[NamedPair] = []
    targets = {line.id: index for index, line in enumerate(target.lines)}
    for index, item in enumerate(items):
        item_path = (*path, "items", index)
        try:
            move = _pair(memo, item, target, sources, targets, settings)
        except Refusal as refusal:
            faults.extend(Fault(fault.code, fault.message, item_path + fault.field) for fault in refusal.faults)
        else:
            pairs.append(NamedPair(item_path, move))
    return tuple(pairs)


def _pair(
    memo: CreditMemo,
    item: AskedItem,
    target: Target,
    sources: Mapping[str, int],
    targets: Mapping[str, int],
    settings: TenantSettings,
) -> Move:
    """Find the two lines of an explicit item: one of each side, like with like (domain.md 1.11, 4.8)."""
    on_item, item_prefix, tax_prefix, item_field = (
        (item.invoice_item_id, "ini", "int", "invoice_item_id")
        if isinstance(item, InvoiceApplicationItem)
        else (item.debit_memo_item_id, "dmi", "dmt", "debit_memo_item_id")
    )
    source = find_credit_line(memo, item.credit_memo_item_id, item.credit_tax_item_id, sources)
    from_tax = isinstance(memo.lines[source], TaxationItem | MovableTax)
    onto_tax, target_key = _one(on_item, item.tax_item_id, item_field, "tax_item_id")
    place = targets.get(shape.as_id(target_key, tax_prefix if onto_tax else item_prefix))
    if place is None or target.lines[place].is_tax != onto_tax:
        raise refuse(
            ErrorCode.ITEM_PAIR_INVALID,
            f"{target_key} is not {'a taxation item' if onto_tax else 'an item'} of {target.label}.",
            "tax_item_id" if onto_tax else item_field,
        )
    if from_tax != onto_tax and not settings.allow_cross_pairs:
        raise refuse(
            ErrorCode.ITEM_PAIR_INVALID,
            "An item pairs with an item and a taxation item with a taxation item.",
            "tax_item_id" if onto_tax else item_field,
        )
    amount = shape.amount(item.amount, memo.currency, Faults())  # what cannot be read is noted by `_amount`
    negative = (memo.lines[source].worth < 0, target.lines[place].worth < 0)
    if amount and negative != (amount < 0, amount < 0):
        raise refuse(
            ErrorCode.INVALID_VALUE,
            f"{item.amount} has not the sign of its lines: negative amounts move between negative lines only, "
            "and nothing else does.",
            "amount",
        )
    return Move(source, place, amount)


def _one(item: Key | None, tax: Key | None, item_field: str, tax_field: str) -> tuple[bool, Key]:
    """Of two ids the one that is given, and whether it is the tax's: ITEM_PAIR_INVALID for none or both."""
    if item is not None and tax is None:
        return False, item
    if tax is not None and item is None:
        return True, tax
    given = "Neither" if item is None else "Both"
    raise refuse(
        ErrorCode.ITEM_PAIR_INVALID,
        f"{given} of {field_name(item_field)} and {field_name(tax_field)} is given: exactly one is needed.",
        item_field,
    )


# --- documents, days and limits ---------------------------------------------------------------------------------------


def check_targets(memo: CreditMemo, wanted: Sequence[Wanted]) -> None:
    """Refuse targets that are not Posted, of another account or currency (domain.md 1.11, 7.12)."""
    for want in wanted:
        target = want.target
        if target.status is not MemoStatus.POSTED:
            raise refuse(
                ErrorCode.INVALID_STATUS,
                f"{target.title} is {target.status.spelled}: credit can only be applied to a Posted one.",
                *want.path,
            )
        if target.account_id != memo.account_id:
            raise refuse(
                ErrorCode.ACCOUNT_MISMATCH,
                f"{target.title} belongs to account {target.account_id}, credit memo {memo.name} to {memo.account_id}.",
                *want.path,
            )
        if target.currency != memo.currency.code:
            raise refuse(
                ErrorCode.CURRENCY_MISMATCH,
                f"{target.title} is in {target.currency}, credit memo {memo.name} in {memo.currency.code}.",
                *want.path,
            )


def application_date(
    memo: CreditMemo, wanted: Sequence[Wanted], asked_date: date | None, book: RuleBook, stamp: Stamp
) -> date:
    """The day an application takes effect: not before the memo or any target, in an open period (domain.md 1.11)."""
    floor, reason = memo.credit_memo_date, f"the date of credit memo {memo.name}"
    for want in wanted:
        if want.target.document_date > floor:
            floor, reason = want.target.document_date, f"the date of {want.target.label}"
    day = asked_date or max(stamp.today, floor)
    if day < floor:
        raise refuse(
            ErrorCode.APPLY_DATE_TOO_EARLY,
            f"The effective date {day} is too early: it must be on or after {floor}, {reason}.",
            "effective_date",
        )
    book.require_open(day, "effective date", "effective_date")
    return day


def unapplication_date(
    memo: CreditMemo, asked_date: date | None, floor: date | None, book: RuleBook, stamp: Stamp
) -> date:
    """The day an unapplication takes effect: not before what was ever applied or refunded (domain.md 1.25, 7.39)."""
    usual = floor or memo.credit_memo_date
    day = asked_date or (max(stamp.today, usual) if book.is_closed(usual) else usual)
    if floor is not None and day < floor:
        raise refuse(
            ErrorCode.UNAPPLY_DATE_TOO_EARLY,
            f"The effective date {day} is too early: it must be on or after {floor}, "
            f"the latest day that credit memo {memo.name} was applied or refunded on.",
            "effective_date",
        )
    book.require_open(day, "effective date", "effective_date")
    return day


def check_number_of_targets(command: Command) -> None:
    """Refuse too many targets, as far as that can be told without lines (domain.md 0): LIMIT_EXCEEDED."""
    faults = Faults()
    _check_number_of_targets(command, faults)
    faults.raise_if_any()


def _check_number_of_targets(command: Command, faults: Faults) -> None:
    most = limits.TARGETS_PER_KIND
    shape.at_most(len(command.invoices), most, "invoices", faults, "invoices")
    if isinstance(command, ApplyCreditMemo | UnapplyCreditMemo):
        shape.at_most(len(command.debit_memos), most, "debit memos", faults, "debit_memos")


def check_limits(memo: CreditMemo, wanted: Sequence[Wanted], command: Command) -> None:
    """Refuse too many targets, items or lines (domain.md 0): LIMIT_EXCEEDED."""
    faults = Faults()
    _check_number_of_targets(command, faults)
    for want in wanted:
        shape.at_most(len(want.pairs or ()), limits.EXPLICIT_ITEMS, "items", faults, *want.path, "items")
    faults.raise_if_any()
    if len(memo.lines) + sum([len(want.target.lines) for want in wanted]) > limits.LINES_PER_SYNC_APPLICATION:
        check_number_of_lines(count_lines(memo, wanted), command)


def check_number_of_lines(lines: int, command: Command) -> None:
    """Refuse more lines than one application may move, at once or in a job (domain.md 0): LIMIT_EXCEEDED."""
    asynchronous = isinstance(command, ApplyCreditMemoAsync | UnapplyCreditMemoAsync)
    limit = limits.LINES_PER_ASYNC_APPLICATION if asynchronous else limits.LINES_PER_SYNC_APPLICATION
    if lines > limit:
        raise refuse(
            ErrorCode.LIMIT_EXCEEDED,
            f"{lines} lines take part, those of the credit memo and of what it is applied to; "
            f"at most {limit} are allowed{'' if asynchronous else ' at once, and more in a job'}.",
        )


def count_lines(memo: CreditMemo, wanted: Sequence[Wanted]) -> int:
    """Count the lines that take part, those worth 0 left out; where items are given, only the lines they name."""
    ruled = [want.target for want in wanted if want.pairs is None]
    named = [want for want in wanted if want.pairs is not None]
    if ruled:
        sources = sum([line.worth != 0 for line in memo.lines])
    else:
        sources = len({pair.move.source for want in named for pair in want.pairs or ()})
    targets = sum([line.worth != 0 for target in ruled for line in target.lines])
    return sources + targets + sum(len({pair.move.target for pair in want.pairs or ()}) for want in named)
