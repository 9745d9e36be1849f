"""Credit memos between rows and records: loaded whole, saved by what changed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Row, Select, select

from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import (
    CreditLine,
    CreditMemo,
    CreditMemoItem,
    CustomRate,
    FinanceInformation,
    ItemPart,
    MemoHead,
    Part,
    Stamp,
    TaxationItem,
)
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.bulk import Values
from cm_graphql.store.reading import AT_ONCE
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Among, Query, given

LINE_FINANCE = (
    "deferred_revenue_accounting_code",
    "recognized_revenue_accounting_code",
    "on_account_accounting_code",
    "revenue_recognition_rule_name",
)
"""The columns of a line's finance information that can be given."""
TAX_FINANCE = ("on_account_accounting_code", "sales_tax_payable_accounting_code")
"""Those of a tax's."""
NO_NUMBER = "~"
"""How the number begins of a memo that has none, as in a dry run; no real number can."""


# --- rows to records --------------------------------------------------------------------------------------------------


async def load(session: Session, memo_id: str, *, lock: bool = True) -> CreditMemo | None:
    """A memo with all its lines and parts, locked against other writers unless said; None when there is none."""
    row = await _head_row(session, memo_id, lock=lock)
    return None if row is None else (await _whole(session, [row]))[row.id]


async def load_many(session: Session, memo_ids: Iterable[str]) -> dict[str, CreditMemo]:
    """Those of these memos that there are, not locked. Five statements, and one per currency, for up to 500 memos."""
    wanted = sorted(set(memo_ids))
    found: dict[str, CreditMemo] = {}
    for start in range(0, len(wanted), bulk.CHUNK):
        chunk = wanted[start : start + bulk.CHUNK]
        rows = await session.rows(select(t.credit_memos).where(t.credit_memos.c.id.in_(chunk)))
        found.update(await _whole(session, rows))
    return found


async def _whole(session: Session, rows: Sequence[Row[Any]]) -> dict[str, CreditMemo]:
    """The memos of these rows, with their lines and parts."""
    ids = [row.id for row in rows]
    taxes, parts = await _taxes(session, ids), await _parts_of(session, ids)
    items: defaultdict[str, list[CreditMemoItem]] = defaultdict(list)
    c = t.credit_memo_items.c
    for item in await session.rows(select(t.credit_memo_items).where(c.credit_memo_id.in_(ids)).order_by(c.position)):
        items[item.credit_memo_id].append(_item(item, tuple(taxes[item.id])))
    return {
        row.id: _memo_of(
            row, await session.currency(row.currency), items=tuple(items[row.id]), parts=tuple(parts[row.id])
        )
        for row in rows
    }


async def load_head(session: Session, memo_id: str, *, lock: bool = True) -> MemoHead | None:
    """What a memo's own row says, locked unless said; None when there is none. One or two statements at any size."""
    row = await _head_row(session, memo_id, lock=lock)
    if row is None:
        return None
    return MemoHead(
        id=row.id,
        number=number_of(row),
        account_id=row.account_id,
        currency=await session.currency(row.currency),
        status=row.status,
        reversed=row.reversed,
        version=row.version,
    )


async def _head_row(session: Session, memo_id: str, *, lock: bool) -> Any:
    return next(iter(await session.ask(_LOCKED_HEAD if lock else _HEAD, memo=memo_id)), None)


def _head(_among: Among) -> Select[Any]:
    return select(t.credit_memos).where(t.credit_memos.c.id == given("memo"))


_HEAD: Final = Query(_head)
_LOCKED_HEAD: Final = Query(lambda among: _head(among).with_for_update())


def number_of(row: Row[Any]) -> str | None:
    """The number that a memo's row gives it, if any."""
    number: str = row.number
    return None if number.startswith(NO_NUMBER) else number


def _memo_of(
    row: Row[Any], currency: Currency, *, items: tuple[CreditMemoItem, ...], parts: tuple[Part, ...]
) -> CreditMemo:
    return CreditMemo(
        id=row.id,
        number=number_of(row),
        account_id=row.account_id,
        currency=currency,
        status=row.status,
        credit_memo_date=row.credit_memo_date,
        source=row.source,
        source_type=row.source_type,
        items=items,
        parts=parts,
        source_id=row.source_id,
        target_date=row.target_date,
        referred_invoice_id=row.referred_invoice_id,
        reason_code=row.reason_code,
        comment=row.comment,
        auto_apply_upon_posting=row.auto_apply_upon_posting,
        exclude_from_auto_apply_rules=row.exclude_from_auto_apply_rules,
        reversed=row.reversed,
        revenue_impacting=row.revenue_impacting,
        transferred_to_accounting=row.transferred_to_accounting,
        posted_by_id=row.posted_by_id,
        posted_on=row.posted_on,
        cancelled_by_id=row.cancelled_by_id,
        cancelled_on=row.cancelled_on,
        custom_rates=rates_of(row.custom_rates),
        custom_fields=row.custom_fields,
        net_suite=row.net_suite,
        version=row.version,
    )


async def _taxes(session: Session, memo_ids: Sequence[str]) -> defaultdict[str, list[TaxationItem]]:
    c = t.credit_memo_taxation_items.c
    found: defaultdict[str, list[TaxationItem]] = defaultdict(list)
    for row in await session.rows(
        select(t.credit_memo_taxation_items).where(c.credit_memo_id.in_(memo_ids)).order_by(c.position)
    ):
        found[row.memo_item_id].append(
            TaxationItem(
                id=row.id,
                item_id=row.memo_item_id,
                position=row.position,
                name=row.name,
                tax_amount=row.tax_amount,
                exempt_amount=row.exempt_amount,
                applied=row.applied_amount,
                refunded=row.refund_amount,
                jurisdiction=row.jurisdiction,
                location_code=row.location_code,
                tax_code=row.tax_code,
                tax_code_description=row.tax_code_description,
                tax_date=row.tax_date,
                tax_rate=row.tax_rate,
                tax_rate_description=row.tax_rate_description,
                tax_rate_type=row.tax_rate_type,
                source_tax_item_id=row.source_tax_item_id,
                finance=finance(row, TAX_FINANCE),
                custom_fields=row.custom_fields,
            )
        )
    return found


def _item(row: Row[Any], taxes: tuple[TaxationItem, ...]) -> CreditMemoItem:
    return CreditMemoItem(
        id=row.id,
        position=row.position,
        amount=row.amount,
        net=row.amount_without_tax,
        sku_name=row.sku_name,
        source_item_type=row.source_item_type,
        source_item_id=row.source_item_id,
        applied=row.applied_amount,
        refunded=row.refund_amount,
        tax_mode=row.tax_mode,
        tax_auto_calculation=row.tax_auto_calculation,
        processing_type=row.processing_type,
        applied_to_item_id=row.applied_to_item_id,
        sku=row.sku,
        description=row.description,
        quantity=row.quantity,
        unit_price=row.unit_price,
        unit_of_measure=row.unit_of_measure,
        service_start_date=row.service_start_date,
        service_end_date=row.service_end_date,
        subscription_id=row.subscription_id,
        credit_from_item_source=row.credit_from_item_source,
        credit_from_item_id=row.credit_from_item_id,
        exclude_item_billing_from_revenue_accounting=row.exclude_item_billing_from_revenue_accounting,
        finance=finance(row, LINE_FINANCE),
        custom_fields=row.custom_fields,
        taxation_items=taxes,
    )


async def _parts_of(session: Session, memo_ids: Sequence[str]) -> Mapping[str, Sequence[Part]]:
    """The parts of each memo, in the order of their making."""
    gathered, memos = PartsOf({}), {"ids": memo_ids}
    await AT_ONCE.each(session, (ITEM_PARTS, memos, gathered.take_item_parts), (PARTS, memos, gathered.take_parts))
    return gathered.memos


class PartsOf:
    """Gathers the parts of memos from the rows of `ITEM_PARTS` and then of `PARTS`."""

    def __init__(self, known: Mapping[str, str]) -> None:
        """Ids of `known` lines are not kept twice."""
        self.memos: defaultdict[str, list[Part]] = defaultdict(list)
        """The parts of each memo, in the order of their making."""
        self._known = known
        self._inside: defaultdict[str, list[ItemPart]] = defaultdict(list)

    def take_item_parts(self, rows: Sequence[Any]) -> None:
        """Gather what lies in parts."""
        known, inside, new = self._known, self._inside, tuple.__new__
        if known:
            rows = [(*row[:3], known.get(row[3], row[3]), *row[4:]) for row in rows]
        for row in rows:  # whose columns are the fields of an item part, and the part that it lies in
            inside[row[5]].append(new(ItemPart, row[:5]))

    def take_parts(self, rows: Sequence[Any]) -> None:
        """Make the parts; what lies in them is known by now."""
        for row in rows:
            inside = tuple(self._inside.pop(row.id))
            self.memos[row.credit_memo_id].append(Part(row.id, row.invoice_id or row.debit_memo_id, inside))


def _parts(among: Among) -> Select[Any]:
    c = t.credit_memo_parts.c
    columns = (c.id, c.credit_memo_id, c.invoice_id, c.debit_memo_id)
    return select(*columns).where(among(c.credit_memo_id, "ids")).order_by(c.created_date, c.id)


def _item_parts(among: Among) -> Select[Any]:
    c = t.credit_memo_item_parts.c
    columns = (c.id, c.position, c.amount, c.source_line_id, c.target_line_id, c.part_id)
    return select(*columns).where(among(c.credit_memo_id, "ids")).order_by(c.position)


PARTS: Final = Query(_parts)
ITEM_PARTS: Final = Query(_item_parts, tuple)


def finance(row: Row[Any], names: Iterable[str]) -> FinanceInformation:
    """The finance information that a row has under these names."""
    return FinanceInformation(**{name: getattr(row, name) for name in names})


def rates_of(stored: Iterable[Mapping[str, Any]] | None) -> tuple[CustomRate, ...]:
    """The exchange rates that a JSON column holds."""
    return tuple(
        CustomRate(
            currency=rate["currency"],
            custom_fx_rate=Decimal(rate["custom_fx_rate"]),
            rate_date=None if rate.get("rate_date") is None else date.fromisoformat(rate["rate_date"]),
        )
        for rate in stored or ()
    )


# --- records to rows --------------------------------------------------------------------------------------------------

USED: Final = bulk.Change(applied_amount="applied", refund_amount="refunded")
"""What was used of a line."""
_WORTH: Final = bulk.Change(amount="amount")
"""What lies in a part."""


async def save(session: Session, before: CreditMemo | None, after: CreditMemo, stamp: Stamp) -> CreditMemo:
    """Write what differs between two states of a memo and answer it with its new version.

    Nothing before is an insertion. The row must have been locked since `before` was loaded.
    """
    writer = _Writer(session, after, stamp)
    if before is None:
        await session.execute(t.credit_memos.insert(), {**head_values(after), **stamped(stamp), "version": 1})
        version = 1
    else:
        version = before.version + 1
        values = {**head_values(after), **touched(stamp), "version": version}
        await session.execute(t.credit_memos.update().where(t.credit_memos.c.id == after.id), values)
    await writer.lines(before)
    await save_parts(session, before, after, stamp)
    return after.at_version(version)


async def delete(session: Session, memo: CreditMemo) -> None:
    """Remove a memo with its lines and files; events and the ledger stay (domain.md 1.8, 7.26)."""
    await session.execute(t.credit_memos.delete().where(t.credit_memos.c.id == memo.id))


class _Writer:
    """Writes the lines of one memo, each table in bulk."""

    def __init__(self, session: Session, memo: CreditMemo, stamp: Stamp) -> None:
        self._session = session
        self._memo = memo
        self._stamp = stamp
        self._all_changed = False
        """Whether even lines that are as they were must be written, because the memo has another currency."""

    async def lines(self, before: CreditMemo | None) -> None:
        old = {line.id: line for line in before.lines} if before else {}
        self._all_changed = before is not None and before.currency.code != self._memo.currency.code
        tables = ((t.credit_memo_items, CreditMemoItem), (t.credit_memo_taxation_items, TaxationItem))
        for table, kind in tables:
            lines = [line for line in self._memo.lines if isinstance(line, kind)]
            await self._write(table, lines, old)
        # Last, because a tax that moved to another line must not go with the line it was on.
        kept = {line.id for line in self._memo.lines}
        for table, kind in reversed(tables):
            gone = [key for key, line in old.items() if isinstance(line, kind) and key not in kept]
            await bulk.delete(self._session, table, gone)

    async def _write(self, table: Any, lines: list[Any], old: Mapping[str, Any]) -> None:
        values = self._line_values
        new = [line for line in lines if line.id not in old]
        changed = [line for line in lines if line.id in old and self._changed(old[line.id], line)]
        await bulk.insert(self._session, table, [values(line) for line in new], stamped(self._stamp))
        moved = [line for line in changed if not self._all_changed and _only_used(old[line.id], line)]
        edited = [line for line in changed if self._all_changed or not _only_used(old[line.id], line)]
        touch = touched(self._stamp)
        await USED.write(self._session, table, moved, touch)
        await bulk.update(self._session, table, [values(line) for line in edited], touch)

    def _changed(self, old: CreditLine, new: CreditLine) -> bool:
        return self._all_changed or (old is not new and old != new)

    def _line_values(self, line: CreditLine) -> Values:
        common = {"credit_memo_id": self._memo.id, "currency": self._memo.currency.code}
        return {**common, **(_item_values(line) if isinstance(line, CreditMemoItem) else _tax_values(line))}


async def save_parts(session: Session, before: CreditMemo | None, memo: CreditMemo, stamp: Stamp) -> None:
    """Write what differs in a memo's parts, rows made as they are needed: there may be hundreds of thousands."""
    gone_parts = {part.id: part for part in before.parts} if before else {}
    new_parts: list[Part] = []
    changed_parts: list[Part] = []
    gone: list[str] = []
    new: list[tuple[str, list[ItemPart]]] = []
    changed: list[ItemPart] = []
    for part in memo.parts:
        was = gone_parts.pop(part.id, None)
        if was is part:
            continue
        earlier = {item_part.id: item_part for item_part in was.item_parts} if was else {}
        added: list[ItemPart] = []
        gained = 0
        for item_part in part.item_parts:
            old = earlier.pop(item_part.id, None)
            if old is item_part:
                continue
            if old is None:
                added.append(item_part)
                gained += item_part.amount
            elif old.amount != item_part.amount:
                changed.append(item_part)
                gained += item_part.amount - old.amount
        gained -= sum([item_part.amount for item_part in earlier.values()])
        gone.extend(earlier)
        new.append((part.id, added))
        if was is None:
            new_parts.append(part)
        elif gained != 0:
            changed_parts.append(part)

    if gone_parts:  # with what lies in them
        await bulk.delete(session, t.credit_memo_parts, list(gone_parts))
    if gone:
        await bulk.delete(session, t.credit_memo_item_parts, gone)
    fresh = {"credit_memo_id": memo.id, "currency": memo.currency.code, **stamped(stamp)}
    await bulk.insert(
        session,
        t.credit_memo_parts,
        [{"id": part.id, "amount": part.amount, **target_values(part.target_id)} for part in new_parts],
        fresh,
    )
    await bulk.insert(
        session,
        t.credit_memo_item_parts,
        (_item_part_values(item_part, part_id) for part_id, inside in new for item_part in inside),
        fresh,
    )
    for table, parts in ((t.credit_memo_parts, changed_parts), (t.credit_memo_item_parts, changed)):
        if parts:
            await _WORTH.write(session, table, parts, touched(stamp))


def _only_used(old: CreditLine, new: CreditLine) -> bool:
    """Whether a line differs in what was used of it alone, as in every movement of money."""
    if isinstance(old, CreditMemoItem) and isinstance(new, CreditMemoItem):
        return _item_values(old) | _used(new) == _item_values(new)
    if isinstance(old, TaxationItem) and isinstance(new, TaxationItem):
        return _tax_values(old) | _used(new) == _tax_values(new)
    return False


def _used(line: CreditLine) -> Values:
    return {"applied_amount": line.applied, "refund_amount": line.refunded}


def stamped(stamp: Stamp) -> Values:
    """The audit columns of a new row."""
    return {"created_by_id": stamp.by, "created_date": stamp.at, **touched(stamp)}


def touched(stamp: Stamp) -> Values:
    """The audit columns of a changed row."""
    return {"updated_by_id": stamp.by, "updated_date": stamp.at}


def target_values(target_id: str | None) -> Values:
    """The two columns that say which document a target is."""
    is_invoice = target_id is not None and target_id.startswith("inv_")
    return {
        "invoice_id": target_id if is_invoice else None,
        "debit_memo_id": None if is_invoice else target_id,
    }


_LINE_COLUMNS: Final = {
    "cmi": "credit_memo_item_id",
    "cmt": "credit_tax_item_id",
    "ini": "invoice_item_id",
    "dmi": "debit_memo_item_id",
    "int": "tax_item_id",
    "dmt": "tax_item_id",
}


def line_ids(source_id: str, target_id: str | None) -> Values:
    """The five columns that say between which lines money lies or moved, by the kinds of the two ids."""
    ids: Values = dict.fromkeys(_LINE_COLUMNS.values())
    for line_id in (source_id, target_id):
        if line_id is not None:
            ids[_LINE_COLUMNS[line_id[:3]]] = line_id
    return ids


def _item_part_values(item_part: ItemPart, part_id: str) -> Values:
    return {
        "id": item_part.id,
        "part_id": part_id,
        "position": item_part.position,
        "amount": item_part.amount,
        **line_ids(item_part.source_id, item_part.target_id),
    }


def head_values(memo: CreditMemo) -> Values:
    return {
        "id": memo.id,
        "number": memo.number or f"{NO_NUMBER}{memo.id}",
        "account_id": memo.account_id,
        "currency": memo.currency.code,
        "status": memo.status,
        "credit_memo_date": memo.credit_memo_date,
        "target_date": memo.target_date,
        "amount": memo.amount,
        "tax_amount": memo.tax_amount,
        "total_tax_exempt_amount": memo.exempt_amount,
        "applied_amount": memo.applied,
        "refund_amount": memo.refunded,
        "comment": memo.comment,
        "reason_code": memo.reason_code,
        "source": memo.source,
        "source_type": memo.source_type,
        "source_id": memo.source_id,
        "referred_invoice_id": memo.referred_invoice_id,
        "auto_apply_upon_posting": memo.auto_apply_upon_posting,
        "exclude_from_auto_apply_rules": memo.exclude_from_auto_apply_rules,
        "reversed": memo.reversed,
        "revenue_impacting": memo.revenue_impacting,
        "transferred_to_accounting": memo.transferred_to_accounting,
        "posted_by_id": memo.posted_by_id,
        "posted_on": memo.posted_on,
        "cancelled_by_id": memo.cancelled_by_id,
        "cancelled_on": memo.cancelled_on,
        "custom_rates": rate_values(memo.custom_rates),
        "custom_fields": dict(memo.custom_fields),
        "net_suite": dict(memo.net_suite),
    }


def rate_values(rates: Iterable[CustomRate]) -> list[Values] | None:
    """What a JSON column holds of exchange rates; nothing for none."""
    return [
        {
            "currency": rate.currency,
            "custom_fx_rate": f"{rate.custom_fx_rate:f}",
            "rate_date": None if rate.rate_date is None else rate.rate_date.isoformat(),
        }
        for rate in rates
    ] or None


def _item_values(item: CreditMemoItem) -> Values:
    return {
        "id": item.id,
        "position": item.position,
        "amount": item.amount,
        "amount_without_tax": item.net,
        "applied_amount": item.applied,
        "refund_amount": item.refunded,
        "tax_mode": item.tax_mode,
        "tax_auto_calculation": item.tax_auto_calculation,
        "processing_type": item.processing_type,
        "applied_to_item_id": item.applied_to_item_id,
        "sku": item.sku,
        "sku_name": item.sku_name,
        "description": item.description,
        "quantity": item.quantity,
        "unit_price": item.unit_price,
        "unit_of_measure": item.unit_of_measure,
        "service_start_date": item.service_start_date,
        "service_end_date": item.service_end_date,
        "source_item_type": item.source_item_type,
        "source_item_id": item.source_item_id,
        "credit_from_item_source": item.credit_from_item_source,
        "credit_from_item_id": item.credit_from_item_id,
        "subscription_id": item.subscription_id,
        "exclude_item_billing_from_revenue_accounting": item.exclude_item_billing_from_revenue_accounting,
        "custom_fields": dict(item.custom_fields),
        **finance_values(item.finance, LINE_FINANCE),
    }


def _tax_values(tax: TaxationItem) -> Values:
    return {
        "id": tax.id,
        "memo_item_id": tax.item_id,
        "position": tax.position,
        "name": tax.name,
        "tax_amount": tax.tax_amount,
        "exempt_amount": tax.exempt_amount,
        "applied_amount": tax.applied,
        "refund_amount": tax.refunded,
        "jurisdiction": tax.jurisdiction,
        "location_code": tax.location_code,
        "tax_code": tax.tax_code,
        "tax_code_description": tax.tax_code_description,
        "tax_date": tax.tax_date,
        "tax_rate": tax.tax_rate,
        "tax_rate_description": tax.tax_rate_description,
        "tax_rate_type": tax.tax_rate_type,
        "source_tax_item_id": tax.source_tax_item_id,
        "custom_fields": dict(tax.custom_fields),
        **finance_values(tax.finance, TAX_FINANCE),
    }


def finance_values(given: FinanceInformation, names: Iterable[str]) -> Values:
    """The columns of finance information under these names."""
    return {name: getattr(given, name) for name in names}
