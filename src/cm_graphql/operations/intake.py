"""How documents of other systems come in: found by id, else by number, else created, and replaced as a whole."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Column, Table
from sqlalchemy.exc import IntegrityError

from cm_graphql.domain import intake, invoicing
from cm_graphql.domain.billing import Account, BilledDocument
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.intake import (
    SyncAccounts,
    SyncCreditMemos,
    SyncDebitMemos,
    SyncedAccount,
    SyncedCreditMemo,
    SyncedCreditMemoItem,
    SyncedCreditMemoTaxItem,
    SyncedDebitMemo,
    SyncedInvoice,
    SyncedItem,
    SyncedPaymentMethod,
    SyncedProductRatePlanCharge,
    SyncedTaxItem,
    SyncInvoices,
    SyncPaymentMethods,
    SyncProductRatePlanCharges,
)
from cm_graphql.domain.enums import DocumentType, EventAction, ItemSourceType
from cm_graphql.domain.errors import ErrorCode, Faults, Refusal, not_found, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CreditMemo
from cm_graphql.operations.gate import Outcome, bulk_action
from cm_graphql.operations.unit import Path, Unit
from cm_graphql.store import intake as store
from cm_graphql.store import reference
from cm_graphql.store import tables as t
from cm_graphql.store.intake import DEBIT_MEMO, INVOICE, Kind
from cm_graphql.store.keys import id_of, read_key
from cm_graphql.store.records import Happening
from cm_graphql.store.session import DECIMALS, UnknownCurrency
from cm_graphql.store.targets import find_ids

# --- ids --------------------------------------------------------------------------------------------------------------
# Requests are taken apart before any element is done, so malformed ids are told of before anything happens.


def _id(key: Key | None, prefix: str) -> Key | None:
    """An id with its prefix; raises MalformedId."""
    return None if key is None else Key(id_of(key, prefix))


def _key(key: Key, prefix: str) -> Key:
    """A key that is no id of another kind; raises MalformedId."""
    found, number = read_key(key, prefix)
    return Key(found or number or "")


Document = TypeVar("Document", SyncedInvoice, SyncedDebitMemo)


def _read_document(given: Document, kind: Kind, item: str, tax: str) -> Document:
    return replace(
        given,
        id=_id(given.id, kind.prefix),
        account_key=_key(given.account_key, "acc"),
        items=tuple(_read_item(line, item, tax) for line in given.items),
    )


Item = TypeVar("Item", bound=SyncedItem)


def _read_item(given: Item, prefix: str, tax: str) -> Item:
    return replace(
        given,
        id=_id(given.id, prefix),
        product_rate_plan_charge_id=_id(given.product_rate_plan_charge_id, "chg"),
        tax_items=tuple(_read_tax(line, tax) for line in given.tax_items or ()),
    )


def _read_tax(given: SyncedTaxItem, prefix: str) -> SyncedTaxItem:
    return given if given.id is None else replace(given, id=_id(given.id, prefix))


# --- which one is meant -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """Which one a document is told of, and which one has its number."""

    id: str | None
    holder: str | None
    number: str

    def require_free(self, made_id: str, field: str) -> None:
        """Refuse a number that another one has: NUMBER_TAKEN."""
        if self.holder not in (None, made_id):
            # Whose it is, not every caller may know.
            raise refuse(ErrorCode.NUMBER_TAKEN, f"The number {self.number} is taken: choose another.", field)


async def _find(unit: Unit, given_id: str | None, column: Column[str], number: str) -> _Found:
    """Find by id, else by number; until the transaction ends nobody else syncs what has either."""
    table: Table = column.table
    await store.claim(unit.session, table, given_id, number)
    holder = next(iter(await store.ids_where(unit.session, column, number)), None)
    by_id = given_id if await store.is_known(unit.session, table, given_id) else None
    return _Found(by_id or holder, holder, number)


async def _account(unit: Unit, key: Key) -> Account:
    """The account that a document names; refuses with ACCOUNT_NOT_FOUND."""
    found = await find_ids(unit.session, t.accounts, "acc", "number", [key], accounts=unit.viewer.accounts)
    account = await store.load_account(unit.session, found[key]) if key in found else None
    if account is None or not unit.viewer.sees(account.id):
        raise Refusal(not_found(ErrorCode.ACCOUNT_NOT_FOUND, key, "account_key"))
    return account


async def _currency(unit: Unit, code: str, before: str | None) -> Currency:
    """The currency a document is in; refuses one that is unknown, or inactive and new to it: CURRENCY_INACTIVE."""
    try:
        currency = await unit.session.currency(code)
    except UnknownCurrency:
        raise refuse(ErrorCode.CURRENCY_INACTIVE, f"{code[:60]!r} is no ISO 4217 currency.", "currency") from None
    if not currency.active and code != before:
        raise refuse(ErrorCode.CURRENCY_INACTIVE, f"The currency {code} is not in use.", "currency")
    return currency


# --- accounts and catalog ---------------------------------------------------------------------------------------------


def _accounts(command: SyncAccounts) -> Sequence[SyncedAccount]:
    intake.check_envelope(command.accounts, "accounts")
    return [replace(given, id=_id(given.id, "acc")) for given in command.accounts]


@bulk_action(_accounts, "documents:sync")
async def sync_accounts(unit: Unit, given: SyncedAccount) -> Outcome:
    """Create or replace an account. Who sees some accounts only can create only those."""
    found = await _find(unit, given.id, t.accounts.c.number, given.number)
    existing = await store.load_account(unit.session, found.id, lock=True) if found.id else None
    if existing is not None and not unit.viewer.sees(existing.id):
        raise _unseen(found, given.id, ErrorCode.ACCOUNT_NOT_FOUND, "number")
    try:
        currency = await unit.session.currency(given.currency)
    except UnknownCurrency:
        currency = None
    sets = await store.sequence_sets(unit.session)
    made = intake.account(given, existing, currency, sets, unit.stamp)
    found.require_free(made.id, "number")
    if not unit.viewer.sees(made.id):
        raise Refusal(not_found(ErrorCode.ACCOUNT_NOT_FOUND, given.id or given.number, "id"))
    await store.save_account(unit.session, existing, made, sets, unit.stamp)
    return {"account": made.id}


def _unseen(found: _Found, given_id: str | None, code: ErrorCode, field: str) -> Refusal:
    """How something is refused that exists, but not for this caller."""
    if found.id == given_id:
        return Refusal(not_found(code, given_id or "", "id"))
    return refuse(ErrorCode.NUMBER_TAKEN, f"The number {found.number} is taken: choose another.", field)


def _charges(command: SyncProductRatePlanCharges) -> Sequence[SyncedProductRatePlanCharge]:
    intake.check_envelope(command.product_rate_plan_charges, "product_rate_plan_charges")
    return [replace(given, id=_id(given.id, "chg")) for given in command.product_rate_plan_charges]


@bulk_action(_charges, "documents:sync")
async def sync_product_rate_plan_charges(unit: Unit, given: SyncedProductRatePlanCharge) -> Outcome:
    """Create or replace a charge of the catalog; names need not be unique, so one with an id is not found by name."""
    charges = t.product_rate_plan_charges
    await store.claim(unit.session, charges, given.id or given.name)
    named = [given.id] if given.id else await store.ids_where(unit.session, charges.c.name, given.name)
    if len(named) > 1:
        raise refuse(ErrorCode.FIELD_REQUIRED, f"Several charges are called {given.name}: say which by its id.", "id")
    existing = await store.load_charge(unit.session, named[0]) if named else None
    made = intake.charge(given, existing, DECIMALS, unit.stamp)
    await store.save_charge(unit.session, existing, made, unit.stamp)
    return {"product_rate_plan_charge": made.id}


def _payment_methods(command: SyncPaymentMethods) -> Sequence[SyncedPaymentMethod]:
    intake.check_envelope(command.payment_methods, "payment_methods")
    return [
        replace(given, id=Key(id_of(given.id, "pm")), account_key=_key(given.account_key, "acc"))
        for given in command.payment_methods
    ]


@bulk_action(_payment_methods, "documents:sync")
async def sync_payment_methods(unit: Unit, given: SyncedPaymentMethod) -> Outcome:
    """Create or replace a payment method."""
    await store.claim(unit.session, t.payment_methods, given.id)
    existing = await store.load_payment_method(unit.session, given.id)
    if existing is not None and not unit.viewer.sees(existing.account_id):
        raise Refusal(not_found(ErrorCode.PAYMENT_METHOD_NOT_FOUND, given.id, "id"))
    made = intake.payment_method(given, (await _account(unit, given.account_key)).id)
    await store.save_payment_method(unit.session, existing, made, unit.stamp)
    return {"payment_method": made.id}


# --- invoices and debit memos -----------------------------------------------------------------------------------------


def _invoices(command: SyncInvoices) -> Sequence[SyncedInvoice]:
    intake.check_envelope(command.invoices, "invoices", invoicing.line_count(command.invoices))
    return [_read_document(given, INVOICE, "ini", "int") for given in command.invoices]


@bulk_action(_invoices, "documents:sync")
async def sync_invoices(unit: Unit, given: SyncedInvoice) -> Outcome:
    """Create or replace an invoice; while credit rests on it, only what credit does not rest on changes."""
    told = await _told(unit, INVOICE, given, given.invoice_number)
    made = invoicing.invoice(given, told.existing, told.account, told.currency, in_use=told.in_use, stamp=unit.stamp)
    await _keep(unit, INVOICE, told, given, made)
    return {"invoice": made.id}


def _debit_memos(command: SyncDebitMemos) -> Sequence[SyncedDebitMemo]:
    intake.check_envelope(command.debit_memos, "debit_memos", invoicing.line_count(command.debit_memos))
    return [_read_document(given, DEBIT_MEMO, "dmi", "dmt") for given in command.debit_memos]


@bulk_action(_debit_memos, "documents:sync")
async def sync_debit_memos(unit: Unit, given: SyncedDebitMemo) -> Outcome:
    """Create or replace a debit memo; while credit rests on it, only what credit does not rest on changes."""
    told = await _told(unit, DEBIT_MEMO, given, given.number)
    made = invoicing.debit_memo(
        given, told.existing, told.account, told.currency, unit.book, in_use=told.in_use, stamp=unit.stamp
    )
    await _keep(unit, DEBIT_MEMO, told, given, made)
    return {"debit_memo": made.id}


@dataclass(frozen=True)
class _Told:
    """What is known of a document that we are told of."""

    found: _Found
    existing: BilledDocument | None
    in_use: bool
    account: Account
    currency: Currency


_ABSENT: Mapping[str, ErrorCode] = {
    INVOICE.prefix: ErrorCode.INVOICE_NOT_FOUND,
    DEBIT_MEMO.prefix: ErrorCode.DEBIT_MEMO_NOT_FOUND,
}


async def _told(unit: Unit, kind: Kind, given: SyncedInvoice | SyncedDebitMemo, number: str) -> _Told:
    """Look up what a document names; the one that exists stays locked."""
    found = await _find(unit, given.id, kind.head.c[kind.number], number)
    existing = await store.load_document(unit.session, kind, found.id) if found.id else None
    if existing is not None and not unit.viewer.sees(existing.account_id):
        raise _unseen(found, given.id, _ABSENT[kind.prefix], kind.number)
    account = await _account(unit, given.account_key)
    code = given.currency if given.currency is not None else account.currency
    return _Told(
        found=found,
        existing=existing,
        in_use=existing is not None and await store.is_in_use(unit.session, kind, existing.id),
        account=account,
        currency=await _currency(unit, code, existing.currency.code if existing else None),
    )


async def _keep(
    unit: Unit, kind: Kind, told: _Told, given: SyncedInvoice | SyncedDebitMemo, made: BilledDocument
) -> None:
    """Save a document; refuses a number, or ids of lines, that another one has."""
    told.found.require_free(made.id, kind.number)
    old = {line.id for line in told.existing.lines} if told.existing else set()
    await _require_own_lines(unit, kind.items, kind.taxes, given.items, old)
    with _no_line_taken_meanwhile():
        await store.save_document(unit.session, kind, told.existing, made, unit.stamp)


AnyItem = SyncedItem | SyncedCreditMemoItem


async def _require_own_lines(
    unit: Unit, items: Table, taxes: Table, given: Sequence[AnyItem], old: Collection[str]
) -> None:
    """Refuse ids of lines that another document has: INVALID_VALUE."""
    item_ids: dict[str, Path] = {}
    tax_ids: dict[str, Path] = {}
    for index, item in enumerate(given):
        if item.id is not None and item.id not in old:
            item_ids[item.id] = ("items", index, "id")
        lines: Sequence[SyncedTaxItem | SyncedCreditMemoTaxItem] = item.tax_items or ()
        for place, tax in enumerate(lines):
            if tax.id is not None and tax.id not in old:
                tax_ids[tax.id] = ("items", index, "tax_items", place, "id")
    faults = Faults()
    for table, asked in ((items, item_ids), (taxes, tax_ids)):
        taken = await store.known_ids(unit.session, table, list(asked))
        for key, path in asked.items():
            if key in taken:
                faults.add(ErrorCode.INVALID_VALUE, f"The id {key} is that of a line of another document.", *path)
    faults.raise_if_any()


@contextmanager
def _no_line_taken_meanwhile() -> Iterator[None]:
    """Refuse ids of lines that another document took after they were looked up: INVALID_VALUE."""
    try:
        yield
    except IntegrityError as error:
        if "_items" in str(error.orig) and "pk_" in str(error.orig):
            message = "The id of one of its lines was taken by another document meanwhile."
            raise refuse(ErrorCode.INVALID_VALUE, message, "items") from error
        raise


# --- past credit memos ------------------------------------------------------------------------------------------------

_SOURCE_PREFIXES: Mapping[ItemSourceType, str] = {
    ItemSourceType.INVOICE_DETAIL: "ini",
    ItemSourceType.PRODUCT_RATE_PLAN_CHARGE: "chg",
    ItemSourceType.CREDIT_MEMO_ITEM: "cmi",
}
"""The kinds of sources that have ids of ours; other sources are named as other systems name them."""


def _credit_memos(command: SyncCreditMemos) -> Sequence[SyncedCreditMemo]:
    lines = sum(1 + len(item.tax_items or ()) for memo in command.credit_memos for item in memo.items)
    intake.check_envelope(command.credit_memos, "credit_memos", lines)
    return [_read_credit_memo(given) for given in command.credit_memos]


def _read_credit_memo(given: SyncedCreditMemo) -> SyncedCreditMemo:
    referred = given.referred_invoice_key
    return replace(
        given,
        id=_id(given.id, "cm"),
        account_key=_key(given.account_key, "acc"),
        referred_invoice_key=None if referred is None else _key(referred, "inv"),
        items=tuple(_read_credit_memo_item(item) for item in given.items),
    )


def _read_credit_memo_item(given: SyncedCreditMemoItem) -> SyncedCreditMemoItem:
    prefix = _SOURCE_PREFIXES.get(given.source_item_type)
    return replace(
        given,
        id=_id(given.id, "cmi"),
        source_item_id=Key(id_of(given.source_item_id, prefix)) if prefix else given.source_item_id,
        tax_items=tuple(
            replace(tax, id=_id(tax.id, "cmt"), source_tax_item_id=_id(tax.source_tax_item_id, "int"))
            for tax in given.tax_items or ()
        ),
    )


@bulk_action(_credit_memos, "documents:sync", "settings:write")
async def sync_credit_memos(unit: Unit, given: SyncedCreditMemo) -> Outcome:
    """Bring in a past credit memo, or replace one that is not used; for administrators."""
    found = await _find(unit, given.id, t.credit_memos.c.number, given.number)
    existing = await _credit_memo(unit, found, given)
    if found.holder is None and await reference.is_number_taken(unit.session, DocumentType.CREDIT_MEMO, given.number):
        message = f"A credit memo that was deleted had the number {given.number}: choose another."
        raise refuse(ErrorCode.NUMBER_TAKEN, message, "number")
    account = await _account(unit, given.account_key)
    invoice = await _referred_invoice(unit, given, account)
    code = given.currency if given.currency is not None else account.currency
    currency = await _currency(unit, code, existing.currency.code if existing else None)
    if invoice is not None and invoice.currency.code != code:
        raise refuse(
            ErrorCode.CURRENCY_MISMATCH,
            f"Invoice {invoice.number} is in {invoice.currency.code}, the memo in {code}.",
            "referred_invoice_key",
        )
    await _require_sources(unit, given, invoice)
    made = intake.credit_memo(given, existing, account.id, invoice.id if invoice else None, currency, unit.stamp)
    found.require_free(made.id, "number")
    await _require_own_lines(
        unit,
        t.credit_memo_items,
        t.credit_memo_taxation_items,
        given.items,
        {line.id for line in existing.lines} if existing else (),
    )
    happening = Happening(action=EventAction.IMPORTED, effective_date=made.credit_memo_date)
    with _no_line_taken_meanwhile():
        await unit.save(existing, made, happening)
    return {"credit_memo": made.id}


async def _credit_memo(unit: Unit, found: _Found, given: SyncedCreditMemo) -> CreditMemo | None:
    """The memo that is meant, locked, if there is one; refuses with LOCK_CONTENTION while a job has it."""
    if found.id is None:
        return None
    try:
        return await unit.memo(found.id, "id")
    except Refusal as refusal:
        if any(fault.code is ErrorCode.CREDIT_MEMO_NOT_FOUND for fault in refusal.faults):
            raise _unseen(found, given.id, ErrorCode.CREDIT_MEMO_NOT_FOUND, "number") from None
        raise


async def _referred_invoice(unit: Unit, given: SyncedCreditMemo, account: Account) -> BilledDocument | None:
    """The invoice that a memo says it was made from, locked, so that no sync of it overlooks the memo."""
    key = given.referred_invoice_key
    if key is None:
        return None
    found = await find_ids(unit.session, t.invoices, "inv", "invoice_number", [key], accounts=unit.viewer.accounts)
    invoice = await store.load_document(unit.session, INVOICE, found[key]) if key in found else None
    if invoice is None or not unit.viewer.sees(invoice.account_id):
        raise Refusal(not_found(ErrorCode.INVOICE_NOT_FOUND, key, "referred_invoice_key"))
    if invoice.account_id != account.id:
        raise refuse(
            ErrorCode.ACCOUNT_MISMATCH,
            f"Invoice {invoice.number} is not one of account {account.number}.",
            "referred_invoice_key",
        )
    return invoice


async def _require_sources(unit: Unit, given: SyncedCreditMemo, invoice: BilledDocument | None) -> None:
    """Refuse lines made from what is no line of the invoice that the memo was made from.

    So what is available to credit of an invoice depends on memos made from it alone. A line made from an invoice that
    was never told of can say so, as long as it names none that was.
    """
    items: list[tuple[str, Path]] = []
    taxes: list[tuple[str, Path]] = []
    for index, item in enumerate(given.items):
        if item.source_item_type is ItemSourceType.INVOICE_DETAIL:
            items.append((item.source_item_id, ("items", index, "source_item_id")))
        for place, tax in enumerate(item.tax_items or ()):
            if tax.source_tax_item_id is not None:
                taxes.append((tax.source_tax_item_id, ("items", index, "tax_items", place, "source_tax_item_id")))
    if invoice is None:
        keys = [key for key, _ in items]
        if taxes or await store.known_ids(unit.session, t.invoice_items, keys, unit.viewer.accounts):
            message = "Its lines were made from lines of an invoice: say from which invoice."
            raise refuse(ErrorCode.FIELD_REQUIRED, message, "referred_invoice_key")
        return
    lines = {line.id for line in invoice.lines}
    faults = Faults()
    for code, asked in ((ErrorCode.INVOICE_ITEM_NOT_FOUND, items), (ErrorCode.TAXATION_ITEM_NOT_FOUND, taxes)):
        faults.extend(not_found(code, key, *path) for key, path in asked if key not in lines)
    faults.raise_if_any()
