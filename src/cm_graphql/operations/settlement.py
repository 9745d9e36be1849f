"""Applying a memo's money to documents and taking it off again, at once or in a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from cm_graphql.domain import requests, settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    ApplyCreditMemoAsync,
    InvoiceAmount,
    InvoiceApplication,
    UnapplyCreditMemo,
    UnapplyCreditMemoAsync,
)
from cm_graphql.domain.enums import EventAction, JobOperation
from cm_graphql.domain.errors import ErrorCode, Faults, not_found
from cm_graphql.domain.records import CreditMemo, Stamp, Target
from cm_graphql.domain.rulebook import RuleBook
from cm_graphql.domain.settlement import Application
from cm_graphql.operations.gate import Outcome, action
from cm_graphql.operations.jobs import Run, enqueue
from cm_graphql.operations.unit import Path, Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import memos, moving, records, targets
from cm_graphql.store import tables as t
from cm_graphql.store.keys import read_key
from cm_graphql.store.reading import Reading
from cm_graphql.store.session import Session

Asynchronous = ApplyCreditMemoAsync | UnapplyCreditMemoAsync

TRIES_WITHOUT_LOCKS: Final = 3
"""How often a job computes on a snapshot that then turns out to be overtaken, before it keeps others waiting."""

_LINE_FIELDS = ("credit_memo_item_id", "credit_tax_item_id", "invoice_item_id", "debit_memo_item_id", "tax_item_id")


# --- at once ----------------------------------------------------------------------------------------------------------


def _between(command: ApplyCreditMemo | UnapplyCreditMemo) -> tuple[str, str] | None:
    """The memo and the only target, where a request names both by their ids and no lines."""
    wanted = requests.asked(command)
    if len(wanted) != 1:
        return None
    (_, want) = wanted[0]
    if isinstance(want, InvoiceAmount) or want.items is not None:
        return None
    prefix, key = ("inv", want.invoice_key) if isinstance(want, InvoiceApplication) else ("dm", want.debit_memo_key)
    memo_id, target_id = read_key(command.key, "cm")[0], read_key(key, prefix)[0]
    return None if memo_id is None or target_id is None else (memo_id, target_id)


@action("credit_memos:apply", between=_between, reasons=False)
async def apply(unit: Unit, command: ApplyCreditMemo) -> Outcome:
    """Apply a posted memo (domain.md 1.11)."""
    memo = await unit.memo_for_moving(command.key)
    wanted = requests.asked(command)
    loaded = await unit.targets(wanted)
    await _require_lines(unit, wanted, memo, loaded)
    unit.expect_version(memo, command.if_version)
    applied = settlement.apply(memo, loaded, command, unit.book, unit.stamp)
    await unit.save_application(memo, loaded, applied, EventAction.APPLIED)
    return {"credit_memo": memo.id, "applied_rule": applied.rule}


@action("credit_memos:unapply", between=_between, foresees=(records.LEDGER_FLOOR,), reasons=False)
async def unapply(unit: Unit, command: UnapplyCreditMemo) -> Outcome:
    """Take a memo off targets (domain.md 1.25)."""
    memo = await unit.memo_for_moving(command.key)
    wanted = requests.asked(command)
    loaded = await unit.targets(wanted) if wanted else await _everything(unit, memo)
    await _require_lines(unit, wanted, memo, loaded)
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
    unit: Unit, wanted: Sequence[tuple[Path, requests.Asked]], memo: CreditMemo, loaded: Sequence[Target]
) -> None:
    """Refuse lines that do not exist at all; those that exist elsewhere are the rules' business."""
    named = [line for path, want in wanted for line in _named_lines(path, want)]
    if named:
        known = [line.id for line in memo.lines]
        known.extend(line.id for target in loaded for line in target.lines)
        await unit.require_known(named, known)


def _named_lines(path: Path, want: requests.Asked) -> list[tuple[str, Path]]:
    items = None if isinstance(want, InvoiceAmount) else want.items
    return [
        (key, (*path, "items", index, name))
        for index, item in enumerate(items or ())
        for name in _LINE_FIELDS
        if (key := getattr(item, name, None)) is not None
    ]


# --- asking for a job -------------------------------------------------------------------------------------------------


@action("credit_memos:apply")
async def apply_async(unit: Unit, command: ApplyCreditMemoAsync) -> Outcome:
    """Have a posted memo applied in a job (domain.md 1.30)."""
    return await _ask(unit, command, JobOperation.ASYNC_CREDIT_MEMO_APPLY)


@action("credit_memos:unapply")
async def unapply_async(unit: Unit, command: UnapplyCreditMemoAsync) -> Outcome:
    """Have a memo taken off invoices in a job (domain.md 1.31)."""
    return await _ask(unit, command, JobOperation.ASYNC_CREDIT_MEMO_UNAPPLY)


async def _ask(unit: Unit, command: Asynchronous, operation: JobOperation) -> Outcome:
    """Check what can be told without lines, existence and status included; amounts are checked when the job runs."""
    memo = await unit.memo_head(command.key)
    found = await _invoice_ids(unit, command)
    unit.expect_version(memo, command.if_version)
    ids = [found[want.invoice_key] for want in command.invoices]
    requests.check_shape(command, memo.currency, ids)
    if isinstance(command, ApplyCreditMemoAsync):
        settlement.check_apply(memo)
    else:
        settlement.check_unapply(memo)
    requests.check_number_of_targets(command)
    given = {
        "invoices": [[key, str(want.amount)] for key, want in zip(ids, command.invoices, strict=True)],
        "effective_date": command.effective_date and command.effective_date.isoformat(),
    }
    return {"job": await enqueue(unit, operation, memo.id, given)}


async def _invoice_ids(unit: Unit, command: Asynchronous) -> dict[str, str]:
    """The ids of the invoices that a request names; refuses with all that do not exist."""
    keys = [want.invoice_key for want in command.invoices]
    found = await targets.find_ids(
        unit.session, t.invoices, "inv", "invoice_number", keys, accounts=unit.viewer.accounts
    )
    heads = await targets.heads(unit.session, list(found.values()))
    seen = {row.id for row in heads if unit.viewer.sees(row.account_id)}
    faults = Faults()
    for index, key in enumerate(keys):
        if found.get(key) not in seen:
            faults.extend([not_found(ErrorCode.INVOICE_NOT_FOUND, key, "invoices", index, "invoice_key")])
    faults.raise_if_any()
    return found


# --- doing a job ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a job will write, and what must not have changed until it does."""

    memo: CreditMemo
    loaded: Sequence[Target]
    application: Application
    marks: dict[str, tuple[Any, ...]]
    book: RuleBook
    progress: "_Progress"


class Overtaken(Exception):
    """A document or a setting changed while the plan was made."""


async def run_apply(run: Run) -> None:
    """Do a job that applies a memo."""
    await _settle(run, ApplyCreditMemoAsync, EventAction.APPLIED)


async def run_unapply(run: Run) -> None:
    """Do a job that takes a memo off invoices."""
    await _settle(run, UnapplyCreditMemoAsync, EventAction.UNAPPLIED)


async def _settle(run: Run, kind: type[Asynchronous], event: EventAction) -> None:
    """Make a plan without locks and carry it out in one transaction; where others were faster, make another one."""
    command = _command(run, kind)

    async def carry_out(unit: Unit, plan: Plan) -> Outcome:
        unit.session.wrote = plan.progress.wrote
        await unit.save_application(plan.memo, plan.loaded, plan.application, event)
        return {"credit_memo": plan.memo.id, "applied_rule": plan.application.rule}

    for _ in range(TRIES_WITHOUT_LOCKS):
        plan = await _plan_on_a_snapshot(run, command)

        async def as_planned(unit: Unit, plan: Plan = plan) -> Outcome:
            await _require_unchanged(unit, plan)
            return await carry_out(unit, plan)

        try:
            await run.finish(as_planned)
            return
        except Overtaken:
            continue

    async def under_locks(unit: Unit) -> Outcome:
        return await carry_out(unit, await _plan(unit, command, run, lock=True))

    await run.finish(under_locks)


def _command(run: Run, kind: type[Asynchronous]) -> Asynchronous:
    given = run.job.input
    day = given["effective_date"]
    return kind(
        key=Key(run.job.memo_id),
        effective_date=None if day is None else date.fromisoformat(day),
        invoices=tuple(
            InvoiceAmount(invoice_key=Key(key), amount=Decimal(amount)) for key, amount in given["invoices"]
        ),
    )


async def _plan_on_a_snapshot(run: Run, command: Asynchronous) -> Plan:
    database = run.gate.database
    async with database.read() as connection:
        session = Session(connection, database.dialect)
        unit = await Unit.begin(session, Viewer(run.job.by), run.gate.clock, request_id=run.job.request_id)
        return await _plan(unit, command, run, lock=False)


async def _plan(unit: Unit, command: Asynchronous, run: Run, *, lock: bool) -> Plan:
    """Read everything that takes part, page by page, and compute what becomes of it; refuses as at once."""
    named = [str(want.invoice_key) for want in command.invoices]
    lines, rows = await moving.size(unit.session, run.job.memo_id, named or None)
    requests.check_number_of_lines(lines, command)  # before they fill the memory
    progress = _Progress(run, lines, rows)
    reading = Reading(paged=True, seen=progress.seen)
    memo = await moving.load(unit.session, run.job.memo_id, lock=lock, reading=reading)
    assert memo is not None, "a memo that is held is not deleted"
    applying = isinstance(command, ApplyCreditMemoAsync)
    # Of an unapplication that names nothing, debit memos stay applied (domain.md 1.31).
    ids = named or [
        part.target_id for part in memo.parts if part.target_id is not None and part.target_id.startswith("inv_")
    ]
    found = await targets.load_targets(unit.session, ids, lock=lock, reading=reading)
    loaded = [found[key] for key in ids]
    floor = None if applying else await records.ledger_floor(unit.session, memo.id)
    run.check()

    stamp = progress.counting(unit.stamp)

    def compute() -> Application:
        if isinstance(command, ApplyCreditMemoAsync):
            return settlement.apply(memo, loaded, command, unit.book, stamp)
        return settlement.unapply(memo, loaded, command, floor, unit.book, stamp)

    application = await reading.apart(compute)
    progress.computed(memo, loaded, application)
    marks = await targets.marks(unit.session, ids)
    return Plan(memo=memo, loaded=loaded, application=application, marks=marks, book=unit.book, progress=progress)


READING, COMPUTING, WRITING = 30, 10, 60
"""What reading, computing and writing take of a job's time, in percent, as measured on both databases."""


class _Progress:
    """Tells lines done for the rows that were read, the rows that were thought out, and the rows that were written."""

    def __init__(self, run: Run, lines: int, rows: int) -> None:
        self._run = run
        self._lines = lines
        self._to_read = max(rows, 1)
        self._read = 0
        self._made = 0
        self._to_write = 1
        self._written = 0

    def _tell(self, before: int, share: int, done: int, total: int) -> None:
        percents = before + share * min(done, total) / total
        # The last line is done when all are, with the commit.
        self._run.progress(max(min(int(self._lines * percents / 100), self._lines - 1), 0), self._lines)

    def seen(self, rows: int) -> None:
        """Rows were read."""
        self._read += rows
        self._tell(0, READING, self._read, self._to_read)

    def counting(self, stamp: Stamp) -> Stamp:
        """A stamp that shows how far computing is: there is about one new item part, with an id, for each line."""

        def new_id(prefix: str) -> str:
            self._made += 1
            if self._made % 1_000 == 0:
                self._tell(READING, COMPUTING, self._made, self._lines)
            return stamp.new_id(prefix)

        return stamp._replace(new_id=new_id)

    def computed(self, memo: CreditMemo, loaded: Sequence[Target], application: Application) -> None:
        """All that is left is to write."""
        changed = sum(old is not new for old, new in zip(memo.items, application.memo.items, strict=True))
        changed += sum(
            old is not new
            for was, target in zip(loaded, application.targets, strict=True)
            for old, new in zip(was.lines, target.lines, strict=True)
        )
        in_ledger = sum(len(entry.lines) for entry in application.entries)
        self._to_write = changed + self._made + in_ledger + _gone(memo, application.memo)
        self._tell(READING, COMPUTING, 1, 1)

    def wrote(self, rows: int) -> None:
        """Rows were written; they count for good with the commit."""
        self._written += rows
        self._tell(READING + COMPUTING, WRITING, self._written, self._to_write)


def _gone(before: CreditMemo, after: CreditMemo) -> int:
    """How many item parts leave parts that stay; those of a part that goes are not deleted one by one."""
    left = {part.id: len(part.item_parts) for part in after.parts}
    return sum(max(len(part.item_parts) - left.get(part.id, len(part.item_parts)), 0) for part in before.parts)


async def _require_unchanged(unit: Unit, plan: Plan) -> None:
    """Lock everything that a plan rests on, and raise Overtaken where it is not as it was."""
    head = await memos.load_head(unit.session, plan.memo.id)
    if head is None or head.version != plan.memo.version or unit.book != plan.book:
        raise Overtaken
    if await targets.marks(unit.session, list(plan.marks), lock=True) != plan.marks:
        raise Overtaken
