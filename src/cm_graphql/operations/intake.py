"""How documents of other systems come in: found by id, else by number, else created, and replaced as a whole."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Column, Table

from cm_graphql.domain import intake, invoicing
from cm_graphql.domain.billing import Account, BilledDocument
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.intake import (
    SyncAccounts,
    SyncDebitMemos,
    SyncedAccount,
    SyncedDebitMemo,
    SyncedInvoice,
    SyncedItem,
    SyncedProductRatePlanCharge,
    SyncedTaxItem,
    SyncInvoices,
    SyncProductRatePlanCharges,
)
from cm_graphql.domain.errors import ErrorCode, Faults, Refusal, not_found, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.operations.gate import Outcome, bulk_action
from cm_graphql.operations.unit import Path, Unit
from cm_graphql.store import intake as store
from cm_graphql.store import tables as t
from cm_graphql.store.intake import DEBIT_MEMO, INVOICE, Kind
from cm_graphql.store.keys import id_of, read_key
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
            raise refuse(
                ErrorCode.NUMBER_TAKEN, f"The {field} {self.number} is that of {self.holder}: choose another.", field
            )


async def _find(unit: Unit, given_id: str | None, column: Column[str], number: str) -> _Found:
    """Find by id, else by number; until the transaction ends nobody else syncs what has either."""
    table: Table = column.table
    await store.claim(unit.session, table, given_id, number)
    holder = next(iter(await store.ids_where(unit.session, column, number)), None)
    by_id = given_id if await store.is_known(unit.session, table, given_id) else None
    return _Found(by_id or holder, holder, number)


async def _account(unit: Unit, key: Key) -> Account:
    """The account that a document names; refuses with ACCOUNT_NOT_FOUND."""
    found = await find_ids(unit.session, t.accounts, "acc", "number", [key])
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
    return refuse(ErrorCode.NUMBER_TAKEN, f"The {field} {found.number} is taken: choose another.", field)


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
    items: list[tuple[str | None, Path]] = []
    taxes: list[tuple[str | None, Path]] = []
    for index, item in enumerate(given.items):
        items.append((item.id, ("items", index, "id")))
        taxes.extend((tax.id, ("items", index, "tax_items", place, "id")) for place, tax in _numbered(item))
    await _require_own(unit, kind.items, items, old)
    await _require_own(unit, kind.taxes, taxes, old)
    await store.save_document(unit.session, kind, told.existing, made, unit.stamp)


def _numbered(item: SyncedItem) -> Iterable[tuple[int, SyncedTaxItem]]:
    return enumerate(item.tax_items or ())


async def _require_own(unit: Unit, table: Table, given: Sequence[tuple[str | None, Path]], old: set[str]) -> None:
    """Refuse ids of lines that another document has: INVALID_VALUE."""
    asked = {key: path for key, path in given if key is not None and key not in old}
    taken = await store.known_ids(unit.session, table, list(asked))
    faults = Faults()
    for key, path in asked.items():
        if key in taken:
            faults.add(ErrorCode.INVALID_VALUE, f"The id {key} is that of a line of another document.", *path)
    faults.raise_if_any()
