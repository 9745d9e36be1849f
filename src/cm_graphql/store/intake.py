"""What a billing system tells us, between rows and records: accounts, the catalog, whole invoices and debit memos."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Column, Row, Table, delete, exists, or_, select, text

from cm_graphql.domain.billing import (
    Account,
    BilledDocument,
    BilledItem,
    BilledTax,
    Charge,
    Contact,
)
from cm_graphql.domain.enums import ItemSourceType, MemoStatus, SourceType, TaxMode
from cm_graphql.domain.records import Stamp
from cm_graphql.domain.refunds import PaymentMethod
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.bulk import Values
from cm_graphql.store.memos import LINE_FINANCE, TAX_FINANCE, finance, finance_values, stamped, touched
from cm_graphql.store.owners import owned
from cm_graphql.store.reference import put
from cm_graphql.store.session import Session

# --- which one is meant -----------------------------------------------------------------------------------------------


async def claim(session: Session, table: Table, *values: str | None) -> None:
    """Let nobody else sync what has these ids or numbers until the transaction ends, though there is no row to lock.

    SQLite has one writer at a time anyway.
    """
    if session.dialect != "postgresql":
        return
    for value in sorted({value for value in values if value is not None}):
        name = f"{table.name}\n{value}"
        await session.scalar(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 11))").bindparams(name=name))


async def ids_where(session: Session, column: Column[Any], value: str) -> list[str]:
    """The ids of the rows that have a value, at most two of them."""
    c = column.table.c
    return [row.id for row in await session.rows(select(c.id).where(column == value).order_by(c.id).limit(2))]


async def is_known(session: Session, table: Table, key: str | None) -> bool:
    """Whether there is a row of an id."""
    return key is not None and await session.scalar(select(table.c.id).where(table.c.id == key)) is not None


async def known_ids(
    session: Session, table: Table, ids: Sequence[str], accounts: Collection[str] | None = None
) -> set[str]:
    """Those of these ids that a row has, of one of these accounts where they are told."""
    found: set[str] = set()
    for start in range(0, len(ids), bulk.CHUNK):
        chunk = ids[start : start + bulk.CHUNK]
        rows = await session.rows(select(table.c.id).where(table.c.id.in_(chunk), owned(table, accounts)))
        found.update(row.id for row in rows)
    return found


# --- accounts, catalog, payment methods -------------------------------------------------------------------------------

_CONTACT: Final = tuple(name for name in Contact.__dataclass_fields__ if name != "id")


async def load_account(session: Session, account_id: str, *, lock: bool = False) -> Account | None:
    """An account with its contact."""
    accounts = t.accounts
    statement = select(accounts).where(accounts.c.id == account_id)
    row = await session.first(statement.with_for_update() if lock else statement)
    if row is None:
        return None
    contact = await session.first(select(t.contacts).where(t.contacts.c.id == row.bill_to_contact_id))
    sets = t.sequence_sets
    return Account(
        id=row.id,
        number=row.number,
        name=row.name,
        currency=row.currency,
        status=row.status,
        bill_to=contact and Contact(id=contact.id, **{name: getattr(contact, name) for name in _CONTACT}),
        additional_email_addresses=tuple(row.additional_email_addresses),
        payment_term_days=row.payment_term_days,
        gateway_id=row.gateway_id,
        sequence_set=await session.scalar(select(sets.c.name).where(sets.c.id == row.sequence_set_id)),
        custom_fields=row.custom_fields,
    )


async def sequence_sets(session: Session) -> dict[str, str]:
    """The ids of the sequence sets, by name."""
    return {row.name: row.id for row in await session.rows(select(t.sequence_sets))}


async def save_account(
    session: Session, before: Account | None, after: Account, sets: Mapping[str, str], stamp: Stamp
) -> None:
    """Write an account and its contact; a contact that it no longer has, and nothing else names, goes."""
    if before == after:
        return
    old, new = before.bill_to if before else None, after.bill_to
    if new is not None and new != old:
        await put(session, t.contacts, asdict(new), stamp, is_new=old is None)
    values = {
        "id": after.id,
        "number": after.number,
        "name": after.name,
        "currency": after.currency,
        "status": after.status,
        "bill_to_contact_id": new.id if new else None,
        "additional_email_addresses": list(after.additional_email_addresses),
        "payment_term_days": after.payment_term_days,
        "gateway_id": after.gateway_id,
        "sequence_set_id": sets[after.sequence_set] if after.sequence_set else None,
        "custom_fields": dict(after.custom_fields),
    }
    await put(session, t.accounts, values, stamp, is_new=before is None)
    if old is not None and new is None:
        namers = [exists().where(table.c.bill_to_contact_id == old.id) for table in _NAME_CONTACTS]
        await session.execute(delete(t.contacts).where(t.contacts.c.id == old.id, ~or_(*namers)))


_NAME_CONTACTS: Final = (t.accounts, t.credit_memos, t.debit_memos)


async def load_payment_method(session: Session, key: str) -> PaymentMethod | None:
    """A payment method, locked."""
    c = t.payment_methods.c
    row = await session.first(select(t.payment_methods).where(c.id == key).with_for_update())
    if row is None:
        return None
    return PaymentMethod(id=row.id, account_id=row.account_id, type=row.type, electronic=row.electronic)


async def save_payment_method(
    session: Session, before: PaymentMethod | None, after: PaymentMethod, stamp: Stamp
) -> None:
    """Write a payment method."""
    if before != after:
        await put(session, t.payment_methods, asdict(after), stamp, is_new=before is None)


async def load_charge(session: Session, charge_id: str) -> Charge | None:
    """A charge of the catalog with its prices, locked."""
    charges, prices = t.product_rate_plan_charges, t.product_rate_plan_charge_prices
    row = await session.first(select(charges).where(charges.c.id == charge_id).with_for_update())
    if row is None:
        return None
    priced = await session.rows(select(prices).where(prices.c.charge_id == charge_id))
    return Charge(
        id=row.id,
        name=row.name,
        charge_model=row.charge_model,
        charge_type=row.charge_type,
        prices={price.currency: price.price for price in priced},
        sku=row.sku,
        unit_of_measure=row.unit_of_measure,
        taxable=row.taxable,
        tax_mode=row.tax_mode,
        tax_code=row.tax_code,
        effective_start_date=row.effective_start_date,
        effective_end_date=row.effective_end_date,
        finance=finance(row, LINE_FINANCE),
    )


async def save_charge(session: Session, before: Charge | None, after: Charge, stamp: Stamp) -> None:
    """Write a charge and its prices."""
    if before == after:
        return
    values = {
        "id": after.id,
        "name": after.name,
        "sku": after.sku,
        "charge_model": after.charge_model,
        "charge_type": after.charge_type,
        "unit_of_measure": after.unit_of_measure,
        "taxable": after.taxable,
        "tax_mode": after.tax_mode,
        "tax_code": after.tax_code,
        "effective_start_date": after.effective_start_date,
        "effective_end_date": after.effective_end_date,
        **finance_values(after.finance, LINE_FINANCE),
    }
    await put(session, t.product_rate_plan_charges, values, stamp, is_new=before is None)
    prices = t.product_rate_plan_charge_prices
    await session.execute(delete(prices).where(prices.c.charge_id == after.id))
    priced = [{"charge_id": after.id, "currency": code, "price": price} for code, price in after.prices.items()]
    await bulk.insert(session, prices, priced)


# --- invoices and debit memos -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """Where a kind of document is kept: its tables, and what they call what both kinds have."""

    prefix: str
    head: Table
    items: Table
    taxes: Table
    number: str
    date: str
    document: str
    item: str
    name: str

    @property
    def is_invoice(self) -> bool:
        """Whether it is the kind of invoices."""
        return self.prefix == "inv"


INVOICE: Final = Kind(
    "inv",
    t.invoices,
    t.invoice_items,
    t.invoice_taxation_items,
    number="invoice_number",
    date="invoice_date",
    document="invoice_id",
    item="invoice_item_id",
    name="charge_name",
)
DEBIT_MEMO: Final = Kind(
    "dm",
    t.debit_memos,
    t.debit_memo_items,
    t.debit_memo_taxation_items,
    number="number",
    date="debit_memo_date",
    document="debit_memo_id",
    item="memo_item_id",
    name="sku_name",
)

_ITEM_COLUMNS: Final = (
    *("id", "position", "processing_type", "applied_to_item_id", "sku", "tax_mode", "tax_code", "quantity"),
    *("unit_price", "unit_of_measure", "service_start_date", "service_end_date", "subscription_id"),
    "product_rate_plan_charge_id",
)
"""What items of both kinds of documents call as the record does."""

_TAX_COLUMNS: Final = (
    *("id", "position", "name", "tax_amount", "exempt_amount", "tax_rate", "tax_rate_type", "tax_rate_description"),
    *("jurisdiction", "location_code", "tax_code", "tax_code_description", "tax_date", "engine"),
)


async def load_document(session: Session, kind: Kind, document_id: str) -> BilledDocument | None:
    """An invoice or debit memo with all its lines, locked."""
    head = kind.head
    row = await session.first(select(head).where(head.c.id == document_id).with_for_update())
    if row is None:
        return None
    taxes: defaultdict[str, list[BilledTax]] = defaultdict(list)
    for tax in await _lines(session, kind.taxes, kind, document_id):
        taxes[getattr(tax, kind.item)].append(_tax(tax))
    items = await _lines(session, kind.items, kind, document_id)
    return BilledDocument(
        id=row.id,
        number=getattr(row, kind.number),
        account_id=row.account_id,
        currency=await session.currency(row.currency),
        status=row.status,
        document_date=getattr(row, kind.date),
        due_date=row.due_date or getattr(row, kind.date),
        items=tuple(_item(kind, item, tuple(taxes[item.id])) for item in items),
        comment=None if kind.is_invoice else row.comment,
        reason_code=None if kind.is_invoice else row.reason_code,
        custom_fields=row.custom_fields,
    )


async def _lines(session: Session, table: Table, kind: Kind, document_id: str) -> Sequence[Row[Any]]:
    return await session.rows(
        select(table).where(table.c[kind.document] == document_id).order_by(table.c.position, table.c.id)
    )


def _item(kind: Kind, row: Row[Any], taxes: tuple[BilledTax, ...]) -> BilledItem:
    common = {name: getattr(row, name) for name in _ITEM_COLUMNS}
    return BilledItem(
        **{**common, "tax_mode": row.tax_mode or TaxMode.TAX_EXCLUSIVE},
        name=getattr(row, kind.name),
        amount=row.charge_amount if kind.is_invoice else row.amount,
        net=row.charge_amount if kind.is_invoice else row.amount_without_tax,
        credited=row.credit_amount,
        paid=row.payment_amount,
        product_name=row.product_name if kind.is_invoice else None,
        description=None if kind.is_invoice else row.description,
        finance=finance(row, LINE_FINANCE),
        custom_fields=row.custom_fields,
        taxes=taxes,
    )


def _tax(row: Row[Any]) -> BilledTax:
    return BilledTax(
        **{name: getattr(row, name) for name in _TAX_COLUMNS},
        credited=row.credit_amount,
        paid=row.payment_amount,
        finance=finance(row, TAX_FINANCE),
        custom_fields=row.custom_fields,
    )


async def is_in_use(session: Session, kind: Kind, document_id: str) -> bool:
    """Whether credit rests on a document: a memo was made from it or from a line of it, or lies on it."""
    parts, lines = t.credit_memo_parts, t.credit_memo_items
    reasons = [exists().where(parts.c[kind.document] == document_id)]
    if kind.is_invoice:
        made_from = (lines.c.source_item_type == ItemSourceType.INVOICE_DETAIL) & (
            lines.c.source_item_id == t.invoice_items.c.id
        )
        taxes = t.credit_memo_taxation_items
        taxed_from = taxes.c.source_tax_item_id == t.invoice_taxation_items.c.id
        reasons += [
            exists().where(t.credit_memos.c.referred_invoice_id == document_id),
            exists().where(t.invoice_items.c.invoice_id == document_id, made_from),
            exists().where(t.invoice_taxation_items.c.invoice_id == document_id, taxed_from),
        ]
    for reason in reasons:
        if await session.scalar(select(reason)):
            return True
    return False


async def save_document(
    session: Session, kind: Kind, before: BilledDocument | None, after: BilledDocument, stamp: Stamp
) -> None:
    """Write what differs between two states of a document, its lines in bulk; nothing before is an insertion."""
    if before == after:
        return
    values = _head_values(kind, after)
    if not kind.is_invoice:
        values |= _debit_memo_values(before, after, stamp)
    await put(session, kind.head, values, stamp, is_new=before is None)
    items = _Lines(_item_rows(kind, before), _item_rows(kind, after))
    taxes = _Lines(_tax_rows(kind, before), _tax_rows(kind, after))
    await items.write(session, kind.items, stamp)
    await taxes.write(session, kind.taxes, stamp)
    # Last, because a tax that moved to another item must not go with the item it was on.
    await bulk.delete(session, kind.taxes, taxes.gone)
    await bulk.delete(session, kind.items, items.gone)


class _Lines:
    """The rows of one table that a document has, before and after."""

    def __init__(self, before: Sequence[Values], after: Sequence[Values]) -> None:
        old = {row["id"]: row for row in before}
        kept = {row["id"] for row in after}
        self.gone = [key for key in old if key not in kept]
        self._new = [row for row in after if row["id"] not in old]
        changed = [(row, _differing(old[row["id"]], row)) for row in after if row["id"] in old]
        # What an item was billed for is written only where that changed, so that a debit memo that mirrors a credit
        # memo goes on saying so; hence two lots.
        typed = [change for change in changed if "source_item_type" in change[1]]
        plain = [change for change in changed if change[1] and "source_item_type" not in change[1]]
        self._changed = [_only_changed(lot) for lot in (plain, typed)]

    async def write(self, session: Session, table: Table, stamp: Stamp) -> None:
        """Insert what is new, and update what changed."""
        await bulk.insert(session, table, self._new, stamped(stamp))
        for lot in self._changed:
            await bulk.update(session, table, lot, touched(stamp))


def _differing(old: Values, new: Values) -> set[str]:
    return {name for name, value in new.items() if value != old[name]}


def _only_changed(changes: Sequence[tuple[Values, set[str]]]) -> list[Values]:
    """The rows with the columns that changed in any of them, for one statement."""
    names = sorted(set().union(*(differing for _, differing in changes)))
    return [{"id": row["id"], **{name: row[name] for name in names}} for row, _ in changes]


def _head_values(kind: Kind, document: BilledDocument) -> Values:
    return {
        "id": document.id,
        kind.number: document.number,
        "account_id": document.account_id,
        "currency": document.currency.code,
        "status": document.status,
        kind.date: document.document_date,
        "due_date": document.due_date,
        "amount": document.amount,
        "tax_amount": document.tax_amount,
        **({"amount_without_tax": document.amount_without_tax} if kind.is_invoice else {}),
        "credit_amount": document.credited,
        "payment_amount": document.paid,
        "custom_fields": dict(document.custom_fields),
    }


def _debit_memo_values(before: BilledDocument | None, after: BilledDocument, stamp: Stamp) -> Values:
    """What a debit memo has and an invoice has not; who posted or canceled it is whoever told us so first."""
    values: Values = {
        "total_tax_exempt_amount": after.exempt_amount,
        "comment": after.comment,
        "reason_code": after.reason_code,
    }
    if before is None:
        values["source_type"] = SourceType.STANDALONE
    if before is None or before.status is not after.status:
        if after.status is MemoStatus.POSTED:
            values |= {"posted_by_id": stamp.by, "posted_on": stamp.at}
        if after.status is MemoStatus.CANCELED:
            values |= {"cancelled_by_id": stamp.by, "cancelled_on": stamp.at}
    return values


def _item_rows(kind: Kind, document: BilledDocument | None) -> list[Values]:
    return [_item_values(kind, item, document) for item in document.items] if document else []


def _tax_rows(kind: Kind, document: BilledDocument | None) -> list[Values]:
    if document is None:
        return []
    return [_tax_values(kind, tax, item.id, document) for item in document.items for tax in item.taxes]


def _item_values(kind: Kind, item: BilledItem, document: BilledDocument) -> Values:
    if kind.is_invoice:
        own: Values = {
            "charge_amount": item.net,
            "tax_amount": item.tax_amount,
            "product_name": item.product_name,
        }
    else:
        own = {"amount": item.amount, "amount_without_tax": item.net, "description": item.description}
    return {
        **{name: getattr(item, name) for name in _ITEM_COLUMNS},
        kind.document: document.id,
        "currency": document.currency.code,
        kind.name: item.name,
        "credit_amount": item.credited,
        "payment_amount": item.paid,
        "source_item_type": item.source_item_type,
        "custom_fields": dict(item.custom_fields),
        **own,
        **finance_values(item.finance, LINE_FINANCE),
    }


def _tax_values(kind: Kind, tax: BilledTax, item_id: str, document: BilledDocument) -> Values:
    return {
        **{name: getattr(tax, name) for name in _TAX_COLUMNS},
        kind.document: document.id,
        kind.item: item_id,
        "currency": document.currency.code,
        "credit_amount": tax.credited,
        "payment_amount": tax.paid,
        "custom_fields": dict(tax.custom_fields),
        **finance_values(tax.finance, TAX_FINANCE),
    }
