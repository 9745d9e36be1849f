"""Invoices and debit memos between rows and records: as targets of credit, and as what it is made from."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, Table, and_, select

from cm_graphql.domain.enums import ItemSourceType, MemoSource, MemoStatus
from cm_graphql.domain.records import Invoice, InvoiceItem, InvoiceTax, Stamp, Target, TargetLine
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.keys import read_key
from cm_graphql.store.memos import LINE_FINANCE, TAX_FINANCE, finance, touched
from cm_graphql.store.owners import owned
from cm_graphql.store.reading import AT_ONCE, Reading
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Among, Query
from cm_graphql.store.sums import split_sum, whole_sum

AD_HOC: Final = (MemoSource.ADHOC_FROM_INVOICE, MemoSource.ADHOC_FROM_PRPC)
"""Where memos come from that the billing engine has not made (domain.md 4.3, the second rule)."""


async def find_ids(
    session: Session,
    table: Table,
    prefix: str,
    number: str,
    keys: Iterable[str],
    *,
    accounts: Collection[str] | None = None,
    trust_ids: bool = False,
) -> dict[str, str]:
    """The id of each key that something has; keys are ids, bare digits or numbers, and may raise MalformedId.

    What belongs to other `accounts` than these is not found; None is all of them. Whoever loads by the ids next, and
    then looks whose it is, can `trust_ids`, which saves a statement: then only numbers are looked up.
    """
    trust_ids = trust_ids and (accounts is None or not session.locks)  # callers must not even lock what is not theirs
    read = {key: read_key(key, prefix) for key in keys}
    if trust_ids and all(number is None for _, number in read.values()):
        return {key: found for key, (found, _) in read.items() if found is not None}
    mine = owned(table, accounts)
    ids = [found for found, _ in read.values() if found is not None]
    numbers = [found for _, found in read.values() if found is not None]
    known = {key: key for key in ids} if trust_ids else {}
    for column, wanted in ((table.c.id, [] if trust_ids else ids), (table.c[number], numbers)):
        for start in range(0, len(wanted), bulk.CHUNK):
            chunk = wanted[start : start + bulk.CHUNK]
            rows = await session.rows(select(column.label("value"), table.c.id).where(column.in_(chunk), mine))
            known.update((row.value, row.id) for row in rows)
    return {key: known[found] for key, pair in read.items() if (found := pair[0] or pair[1] or "") in known}


async def load_targets(
    session: Session, ids: Sequence[str], *, lock: bool = True, reading: Reading = AT_ONCE
) -> dict[str, Target]:
    """Load these invoices and debit memos with their lines, locked, unless said, in one global order."""
    known = await heads(session, ids, lock=lock)
    found: dict[str, Target] = {}
    for kind in KINDS:
        mine = [row for row in known if row.id.startswith(kind.prefix)]
        for start in range(0, len(mine), bulk.CHUNK):
            chunk = mine[start : start + bulk.CHUNK]
            lines = await _lines(session, kind, [row.id for row in chunk], reading)
            for row in chunk:
                found[row.id] = Target(
                    id=row.id,
                    number=row.number,
                    account_id=row.account_id,
                    currency=row.currency,
                    status=row.status,
                    document_date=row.document_date,
                    lines=tuple(lines[row.id]),
                )
    return found


async def marks(session: Session, ids: Sequence[str], *, lock: bool = False) -> dict[str, tuple[Any, ...]]:
    """Of each document all that shows whether it was changed since, without its lines; locked if said."""
    return {row.id: tuple(row) for row in await heads(session, ids, lock=lock)}


async def heads(session: Session, ids: Sequence[str], *, lock: bool = False) -> list[Any]:
    """Of each document what its own row says as a target, in the one global order; locked if said."""
    rows: list[Any] = []
    for kind in KINDS:
        wanted = sorted({key for key in ids if key.startswith(kind.prefix)})
        for start in range(0, len(wanted), bulk.CHUNK):
            query = kind.locked_heads if lock else kind.heads
            rows.extend(await session.ask(query, ids=wanted[start : start + bulk.CHUNK]))
    return rows


async def _lines(
    session: Session, kind: "Kind", ids: Sequence[str], reading: Reading
) -> defaultdict[str, list[TargetLine]]:
    """Each document's lines in order: every item followed by its taxation items (domain.md 4.4)."""
    taxes_of: defaultdict[str, list[TargetLine]] = defaultdict(list)
    lines: defaultdict[str, list[TargetLine]] = defaultdict(list)

    def take_taxes(rows: Sequence[TargetLine]) -> None:
        for tax in rows:
            taxes_of[tax.item_id or ""].append(tax)

    def take_items(rows: Sequence[Any]) -> None:
        for key, worth, credited, paid, document_id in rows:
            document = lines[document_id]
            document.append(TargetLine(key, worth, credited, paid))
            if key in taxes_of:
                document.extend(taxes_of[key])

    documents = {"ids": ids}
    await reading.each(session, (kind.tax_lines, documents, take_taxes), (kind.item_lines, documents, take_items))
    return lines


_CREDITED: Final = bulk.Change(credit_amount="credited")


async def save_targets(session: Session, before: Mapping[str, Target], after: Iterable[Target], stamp: Stamp) -> None:
    """Write the credit that targets gained or lost since they were loaded."""
    changed = [(before[target.id], target) for target in after if before[target.id] is not target]
    for kind in KINDS:
        mine = [(was, target) for was, target in changed if target.id.startswith(kind.prefix)]
        if not mine:
            continue
        await _CREDITED.write(session, kind.head, [target for _, target in mine], touched(stamp))
        lines = [
            new
            for was, target in mine
            for old, new in zip(was.lines, target.lines, strict=True)
            if old is not new and old.credited != new.credited
        ]
        for table, is_tax in ((kind.items, False), (kind.taxes, True)):
            of_table = [line for line in lines if line.is_tax is is_tax]
            if of_table:
                await _CREDITED.write(session, table, of_table, touched(stamp))


@dataclass(frozen=True)
class Kind:
    """Where a kind of target is kept, and how it is asked for."""

    prefix: str
    head: Table
    items: Table
    taxes: Table
    number: str
    date: str
    document_id: str
    item_id: str
    worth: str

    @cached_property
    def heads(self) -> Query:
        """What the rows of documents say of themselves, in the order of their ids."""
        return Query(self.select_heads)

    @cached_property
    def locked_heads(self) -> Query:
        """The same, locked."""
        return Query(lambda among: self.select_heads(among).with_for_update())

    def select_heads(self, among: Among) -> Select[Any]:
        """The statement of `heads`."""
        c = self.head.c
        columns = (c.account_id, c.currency, c.status, c.credit_amount, c.payment_amount, c.updated_date)
        named = c[self.number].label("number"), c[self.date].label("document_date")
        return select(c.id, *named, *columns).where(among(c.id, "ids")).order_by(c.id)

    @cached_property
    def item_lines(self) -> Query:
        """The items of documents, in order."""
        c = self.items.c
        document, worth = c[self.document_id].label("document_id"), c[self.worth].label("worth")
        columns = (c.id, worth, c.credit_amount, c.payment_amount, document)
        return Query(
            lambda among: select(*columns).where(among(c[self.document_id], "ids")).order_by(c.position), tuple
        )

    @cached_property
    def tax_lines(self) -> Query:
        """The taxation items of documents, in order, as lines."""
        c = self.taxes.c
        amounts = (c.tax_amount, c.credit_amount, c.payment_amount)
        whose = (c[self.item_id], c.name, c.location_code, c.jurisdiction, c.tax_rate)
        columns = (c.id, *amounts, *whose)
        return Query(
            lambda among: select(*columns).where(among(c[self.document_id], "ids")).order_by(c.position), TargetLine
        )


KINDS: Final = (
    Kind(
        prefix="dm_",
        head=t.debit_memos,
        items=t.debit_memo_items,
        taxes=t.debit_memo_taxation_items,
        number="number",
        date="debit_memo_date",
        document_id="debit_memo_id",
        item_id="memo_item_id",
        worth="amount_without_tax",
    ),
    Kind(
        prefix="inv_",
        head=t.invoices,
        items=t.invoice_items,
        taxes=t.invoice_taxation_items,
        number="invoice_number",
        date="invoice_date",
        document_id="invoice_id",
        item_id="invoice_item_id",
        worth="charge_amount",
    ),
)
"""In the order that targets are locked in."""


async def load_invoice(session: Session, invoice_id: str, *, billing_engine: bool = True) -> Invoice | None:
    """Lock an invoice and load it as a source of credit; see `load_invoices`."""
    locked = select(t.invoices.c.id).where(t.invoices.c.id == invoice_id).with_for_update()
    if await session.scalar(locked) is None:
        return None
    return (await load_invoices(session, [invoice_id], billing_engine=billing_engine))[invoice_id]


async def load_invoices(session: Session, ids: Iterable[str], *, billing_engine: bool = True) -> dict[str, Invoice]:
    """Invoices as sources of credit, with what Posted, not reversed memos took of each (domain.md 4.3).

    Without `billing_engine` only ad hoc memos count (4.3, the second rule). Six statements for up to 500 of them.
    """
    wanted = sorted(set(ids))
    found: dict[str, Invoice] = {}
    for start in range(0, len(wanted), bulk.CHUNK):
        found.update(await _sources(session, wanted[start : start + bulk.CHUNK], billing_engine=billing_engine))
    return found


async def _sources(session: Session, ids: Sequence[str], *, billing_engine: bool) -> dict[str, Invoice]:
    items, taxes, memos = t.credit_memo_items, t.credit_memo_taxation_items, t.credit_memos
    counted = _counted(ids, billing_engine=billing_engine)
    sums = *split_sum(memos.c.amount), *split_sum(memos.c.tax_amount)
    rows: Sequence[Any] = await session.rows(
        select(memos.c.referred_invoice_id, *sums).where(counted).group_by(memos.c.referred_invoice_id)
    )
    totals = {invoice: (whole_sum(*pieces[:2]), whole_sum(*pieces[2:])) for invoice, *pieces in rows}
    by_item = await _sums(
        session,
        select(items.c.source_item_id, *split_sum(items.c.amount_without_tax))
        .join(memos, memos.c.id == items.c.credit_memo_id)
        .where(counted, items.c.source_item_type == ItemSourceType.INVOICE_DETAIL)
        .group_by(items.c.source_item_id),
    )
    by_tax = await _sums(
        session,
        select(taxes.c.source_tax_item_id, *split_sum(taxes.c.tax_amount))
        .join(memos, memos.c.id == taxes.c.credit_memo_id)
        .where(counted, taxes.c.source_tax_item_id.is_not(None))
        .group_by(taxes.c.source_tax_item_id),
    )
    lines = await _invoice_items(session, ids, by_item, by_tax)
    heads = await session.rows(select(t.invoices).where(t.invoices.c.id.in_(ids)))
    return {
        head.id: Invoice(
            id=head.id,
            number=head.invoice_number,
            account_id=head.account_id,
            currency=head.currency,
            status=head.status,
            invoice_date=head.invoice_date,
            credited_by_memos=totals.get(head.id, (0, 0))[0],
            tax_credited_by_memos=totals.get(head.id, (0, 0))[1],
            items=tuple(lines[head.id]),
        )
        for head in heads
    }


def _counted(ids: Sequence[str], *, billing_engine: bool) -> ColumnElement[bool]:
    memos = t.credit_memos.c
    counted = and_(memos.referred_invoice_id.in_(ids), memos.status == MemoStatus.POSTED, memos.reversed.is_(False))
    return counted if billing_engine else and_(counted, memos.source.in_(AD_HOC))


async def _sums(session: Session, statement: Any) -> dict[str, int]:
    rows: Sequence[Any] = await session.rows(statement)
    return {key: whole_sum(high, low) for key, high, low in rows}


async def _invoice_items(
    session: Session, ids: Sequence[str], by_item: Mapping[str, int], by_tax: Mapping[str, int]
) -> defaultdict[str, list[InvoiceItem]]:
    """Each invoice's items with their taxes, in order."""
    items, taxes = t.invoice_items, t.invoice_taxation_items
    taxes_of: defaultdict[str, list[InvoiceTax]] = defaultdict(list)
    for row in await session.rows(select(taxes).where(taxes.c.invoice_id.in_(ids)).order_by(taxes.c.position)):
        taxes_of[row.invoice_item_id].append(_invoice_tax(row, by_tax.get(row.id, 0)))
    found: defaultdict[str, list[InvoiceItem]] = defaultdict(list)
    for row in await session.rows(select(items).where(items.c.invoice_id.in_(ids)).order_by(items.c.position)):
        found[row.invoice_id].append(_invoice_item(row, by_item.get(row.id, 0), tuple(taxes_of[row.id])))
    return found


def _invoice_tax(row: Row[Any], credited: int) -> InvoiceTax:
    return InvoiceTax(
        id=row.id,
        item_id=row.invoice_item_id,
        name=row.name,
        tax_amount=row.tax_amount,
        credited_by_memos=credited,
        exempt_amount=row.exempt_amount,
        jurisdiction=row.jurisdiction,
        location_code=row.location_code,
        tax_code=row.tax_code,
        tax_code_description=row.tax_code_description,
        tax_date=row.tax_date,
        tax_rate=row.tax_rate,
        tax_rate_description=row.tax_rate_description,
        tax_rate_type=row.tax_rate_type,
        engine=row.engine,
        finance=finance(row, TAX_FINANCE),
    )


def _invoice_item(row: Row[Any], credited: int, taxes: tuple[InvoiceTax, ...]) -> InvoiceItem:
    return InvoiceItem(
        id=row.id,
        charge_name=row.charge_name,
        charge_amount=row.charge_amount,
        credited_by_memos=credited,
        processing_type=row.processing_type,
        applied_to_item_id=row.applied_to_item_id,
        sku=row.sku,
        tax_mode=row.tax_mode,
        tax_code=row.tax_code,
        quantity=row.quantity,
        unit_price=row.unit_price,
        unit_of_measure=row.unit_of_measure,
        service_start_date=row.service_start_date,
        service_end_date=row.service_end_date,
        subscription_id=row.subscription_id,
        finance=finance(row, LINE_FINANCE),
        taxes=taxes,
    )
