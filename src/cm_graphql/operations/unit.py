"""One action's transaction: what it loads is locked until the end, what it saves is remembered with who and why."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy import Table

from cm_graphql.domain import requests, shape
from cm_graphql.domain.billing import Account
from cm_graphql.domain.commands.settlement import DebitMemoApplication
from cm_graphql.domain.enums import DocumentType, EventAction
from cm_graphql.domain.errors import ErrorCode, Fault, Faults, Refusal, not_found, refuse
from cm_graphql.domain.ledger import LedgerEntry
from cm_graphql.domain.records import CreditMemo, Invoice, MemoHead, Stamp, Target
from cm_graphql.domain.rulebook import RuleBook
from cm_graphql.domain.settlement import Application
from cm_graphql.operations.ports import Clock, new_id
from cm_graphql.operations.quoting import Quoted
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import holds, intake, memos, moving, records, reference, targets
from cm_graphql.store import tables as t
from cm_graphql.store.records import Happening
from cm_graphql.store.session import Session

Path = tuple[str | int, ...]
M = TypeVar("M", CreditMemo, MemoHead)

KINDS: Final[Mapping[str, tuple[Table, ErrorCode]]] = {
    "cmi": (t.credit_memo_items, ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND),
    "cmt": (t.credit_memo_taxation_items, ErrorCode.TAXATION_ITEM_NOT_FOUND),
    "ini": (t.invoice_items, ErrorCode.INVOICE_ITEM_NOT_FOUND),
    "int": (t.invoice_taxation_items, ErrorCode.TAXATION_ITEM_NOT_FOUND),
    "dmi": (t.debit_memo_items, ErrorCode.DEBIT_MEMO_ITEM_NOT_FOUND),
    "dmt": (t.debit_memo_taxation_items, ErrorCode.TAXATION_ITEM_NOT_FOUND),
    "chg": (t.product_rate_plan_charges, ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND),
    "pm": (t.payment_methods, ErrorCode.PAYMENT_METHOD_NOT_FOUND),
    "cmf": (t.credit_memo_files, ErrorCode.FILE_NOT_FOUND),
}
"""Of each kind of thing that a request names by id: its table, and how its absence is called."""


TARGETS: Final[Mapping[str, tuple[Table, str, str, ErrorCode]]] = {
    "invoice_key": (t.invoices, "inv", "invoice_number", ErrorCode.INVOICE_NOT_FOUND),
    "debit_memo_key": (t.debit_memos, "dm", "number", ErrorCode.DEBIT_MEMO_NOT_FOUND),
}
"""Under each name of a key of a target: its table, the prefix of its ids, where it keeps its number, and how its
absence is called."""


def check_held(memo: CreditMemo | MemoHead, holder: str | None) -> None:
    """Refuse to change a memo while a job, or a refund at the gateway, holds it: LOCK_CONTENTION (domain.md 5)."""
    if holder is not None:
        raise refuse(ErrorCode.LOCK_CONTENTION, f"Credit memo {memo.name} is held by {holder}: try again later.")


class Unit:
    """What an action works with: the open transaction, the caller, the moment, and the rules in force."""

    def __init__(
        self,
        session: Session,
        viewer: Viewer,
        stamp: Stamp,
        book: RuleBook,
        *,
        now: Callable[[], datetime] | None = None,
        request_id: str | None = None,
        dry_run: bool = False,
        quoted: Quoted | None = None,
    ) -> None:
        self.session = session
        self.viewer = viewer
        self.book = book
        self.stamp = stamp
        self._now = now
        self.request_id = request_id
        self.dry_run = dry_run
        self.quoted = quoted or Quoted({})

    @classmethod
    async def begin(
        cls,
        session: Session,
        viewer: Viewer,
        clock: Clock,
        *,
        request_id: str | None = None,
        dry_run: bool = False,
        quoted: Quoted | None = None,
        reasons: bool = True,
    ) -> "Unit":
        """Look up the rules in force, reason codes only where there is a use for them, and read the clock."""
        book = await reference.rulebook(session, reasons=reasons)
        stamp = Stamp(viewer.id, clock.now(), clock.today(book.settings.time_zone), new_id)
        return cls(session, viewer, stamp, book, now=clock.now, request_id=request_id, dry_run=dry_run, quoted=quoted)

    # --- load ---------------------------------------------------------------------------------------------------------

    async def memo(self, key: str, *path: str | int) -> CreditMemo:
        """The memo of a key, locked; refuses with CREDIT_MEMO_NOT_FOUND, or LOCK_CONTENTION while it is held."""
        return await self._free(key, holds.with_holder(memos.load), *path)

    async def memo_for_moving(self, key: str, *path: str | int) -> CreditMemo:
        """The same with all that movements of money ask for, and nothing else; only `save_application` may save it."""
        return await self._free(key, moving.load_with_holder, *path)

    async def memo_head(self, key: str, *path: str | int) -> MemoHead:
        """The same without lines and parts, for what can be decided without them."""
        return await self._free(key, holds.with_holder(memos.load_head), *path)

    async def _free(
        self, key: str, load: Callable[[Session, str], Awaitable[tuple[M, str | None] | None]], *path: str | int
    ) -> M:
        found = await targets.find_ids(
            self.session, t.credit_memos, "cm", "number", [key], accounts=self.viewer.accounts, trust_ids=True
        )
        memo, holder = (await load(self.session, found[key]) if key in found else None) or (None, None)
        self._arrive()
        if memo is None or not self.viewer.sees(memo.account_id):
            raise Refusal(not_found(ErrorCode.CREDIT_MEMO_NOT_FOUND, key, *(path or ("key",))))
        check_held(memo, holder)
        return memo

    async def held_memo(self, memo_id: str) -> CreditMemo:
        """A memo that exists, locked, for whoever holds it."""
        memo = await memos.load(self.session, memo_id)
        assert memo is not None, "a memo that is held is not deleted"
        self._arrive()
        return memo

    def _arrive(self) -> None:
        """Let it be now: who waited for a lock comes after who had it, in histories too."""
        if self._now is not None:  # else the moment is told, and stays
            self.stamp = self.stamp._replace(at=self._now())

    def expect_version(self, memo: CreditMemo | MemoHead, version: int | None) -> None:
        """Refuse with STALE_VERSION when the caller has seen another version of the memo."""
        if version is not None and version != memo.version:
            raise refuse(
                ErrorCode.STALE_VERSION,
                f"Credit memo {memo.name} is at version {memo.version}, not {version}: read it again, then decide.",
                "if_version",
            )

    async def invoice(self, invoice_id: str) -> Invoice:
        """An invoice that exists, locked, as a source of credit."""
        invoice = await targets.load_invoice(
            self.session, invoice_id, billing_engine=self.book.settings.count_billing_engine_credits
        )
        assert invoice is not None, "a foreign key says that it exists"
        return invoice

    async def source_invoice(self, key: str, *path: str | int) -> Invoice:
        """The invoice of a key, locked, as a source of credit; refuses with INVOICE_NOT_FOUND."""
        found = await targets.find_ids(
            self.session, t.invoices, "inv", "invoice_number", [key], accounts=self.viewer.accounts
        )
        invoice = await self.invoice(found[key]) if key in found else None
        if invoice is None or not self.viewer.sees(invoice.account_id):
            raise Refusal(not_found(ErrorCode.INVOICE_NOT_FOUND, key, *path))
        return invoice

    async def targets(self, asked: Sequence[tuple[Path, requests.Asked]]) -> list[Target]:
        """The documents that a request names, locked in one global order; refuses with all that do not exist."""
        named = [(path, *_target_key(want)) for path, want in asked]
        ids: dict[tuple[str, str], str] = {}
        for name, (table, prefix, number, _) in TARGETS.items():
            keys = [key for _, key_name, key in named if key_name == name]
            if keys:
                found = await targets.find_ids(
                    self.session, table, prefix, number, keys, accounts=self.viewer.accounts, trust_ids=True
                )
                ids.update({(name, key): value for key, value in found.items()})
        loaded = await targets.load_targets(self.session, list(ids.values()))
        faults = Faults()
        result: list[Target] = []
        for path, name, key in named:
            target = loaded.get(ids.get((name, key), ""))
            if target is not None and self.viewer.sees(target.account_id):
                result.append(target)
            else:
                faults.extend([not_found(TARGETS[name][3], key, *path, name)])
        faults.raise_if_any()
        return result

    async def targets_of(self, ids: Iterable[str]) -> dict[str, Target]:
        """Documents that exist, locked in one global order."""
        return await targets.load_targets(self.session, list(ids))

    async def require_known(self, named: Iterable[tuple[str, Path]], known: Iterable[str] = ()) -> None:
        """Refuse ids that nothing has, each by its kind's NOT_FOUND; ids that are `known` are not looked up."""
        at_hand = set(known)
        asked = [(key, path) for key, path in named if key not in at_hand]
        missing: list[Fault] = []
        for prefix in sorted({key.partition("_")[0] for key, _ in asked}):
            table, code = KINDS[prefix]
            wanted = [(key, path) for key, path in asked if key.startswith(f"{prefix}_")]
            keys = [key for key, _ in wanted]
            existing = await targets.find_ids(self.session, table, prefix, "id", keys, accounts=self.viewer.accounts)
            missing.extend(not_found(code, key, *path) for key, path in wanted if key not in existing)
        if missing:
            raise Refusal(*missing)

    async def account(self, key: str, *path: str | int) -> Account:
        """The account of a key; refuses with ACCOUNT_NOT_FOUND."""
        found = await targets.find_ids(self.session, t.accounts, "acc", "number", [key], accounts=self.viewer.accounts)
        account = await intake.load_account(self.session, found[key]) if key in found else None
        if account is None or not self.viewer.sees(account.id):
            raise Refusal(not_found(ErrorCode.ACCOUNT_NOT_FOUND, key, *path))
        return account

    # --- save ---------------------------------------------------------------------------------------------------------

    async def formal_number(self, memo: CreditMemo) -> str | None:
        """The number that a draft gets at posting, where it has a temporary one (domain.md 0, Numbers); else none."""
        if memo.number is None or not shape.is_temporary(memo.number):
            return None
        return await self.next_number(memo.account_id, DocumentType.CREDIT_MEMO)

    async def next_number(self, account_id: str, kind: DocumentType) -> str:
        """Use up the next number of a kind of document; a dry run gives it back with everything else."""
        return await reference.take_number(self.session, account_id, kind)

    async def numbered(self, made: CreditMemo) -> CreditMemo:
        """A new memo with its number: its own, which must be free (NUMBER_TAKEN), else the next of its account's set.

        A dry run's memo has none (domain.md 7.28). Where numbers are given at posting only, a draft's begins with TMP-.
        """
        if made.number is not None:
            # The numbers of a dry run must not show, but others in it must not have them either.
            mine = f"{memos.NO_NUMBER}{made.number}" if self.dry_run else made.number
            for number in {made.number, mine}:
                if await reference.is_number_taken(self.session, DocumentType.CREDIT_MEMO, number):
                    message = f"Another credit memo has the number {made.number}, or had it before it was deleted."
                    raise refuse(ErrorCode.NUMBER_TAKEN, message, "number")
            return replace(made, number=mine)
        if self.dry_run:
            return made
        later = self.book.settings.number_on_posting
        kind = DocumentType.CREDIT_MEMO_DRAFT if later else DocumentType.CREDIT_MEMO
        return replace(made, number=await self.next_number(made.account_id, kind))

    async def save(self, before: CreditMemo | None, after: CreditMemo, happening: Happening) -> CreditMemo:
        """Write what changed of a memo, and the entry of its history that says so; answers it as it is stored now."""
        saved = await memos.save(self.session, before, after, self.stamp)
        await records.write_event(self.session, before, saved, happening, self.stamp, self.request_id)
        return saved

    async def delete(self, memo: CreditMemo, happening: Happening) -> None:
        """Remove a memo with all that belongs to it; what its history tells of it stays."""
        await memos.delete(self.session, memo)
        await records.write_event(self.session, memo, None, happening, self.stamp, self.request_id)

    async def save_application(
        self, before: CreditMemo, loaded: Iterable[Target], applied: Application, action: EventAction
    ) -> None:
        """Write what an application, or its undoing, changed: memo, targets, ledger, history."""
        was = {target.id: target for target in loaded}
        async with self.session.together():
            await targets.save_targets(self.session, was, applied.targets, self.stamp)
            saved = await moving.save(self.session, before, applied.memo, self.stamp)
            happening = self.moved(action, applied.entries, was.values())
            await records.write_event(self.session, before, saved, happening, self.stamp, self.request_id, moved=True)
            await records.write_ledger(self.session, applied.entries, self.stamp)

    def moved(
        self, action: EventAction, entries: Sequence[LedgerEntry], loaded: Iterable[Target], note: str | None = None
    ) -> Happening:
        """What the history says of money that moved."""
        numbers = {target.id: target.number for target in loaded}
        return Happening(
            action=action,
            effective_date=entries[0].effective_date if entries else None,
            targets=records.targets_of(entries, numbers),
            note=note,
        )


def _target_key(want: requests.Asked) -> tuple[str, str]:
    if isinstance(want, DebitMemoApplication):
        return "debit_memo_key", want.debit_memo_key
    return "invoice_key", want.invoice_key
