"""How invoices and debit memos come in from the billing system: computed from their lines, paid, and kept once used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import count

from cm_graphql.domain import drafts, limits, shape, taxation
from cm_graphql.domain.billing import Account, BilledDocument, BilledItem, BilledLine, BilledTax, due_date
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.intake import (
    SyncedDebitMemo,
    SyncedDebitMemoItem,
    SyncedInvoice,
    SyncedInvoiceItem,
    SyncedTaxItem,
)
from cm_graphql.domain.enums import MemoStatus, ProcessingType, ReasonCodeType, TaxMode
from cm_graphql.domain.errors import ErrorCode, Faults, field_name, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import NO_FINANCE, Stamp
from cm_graphql.domain.rulebook import RuleBook

Given = SyncedInvoice | SyncedDebitMemo
GivenItem = SyncedInvoiceItem | SyncedDebitMemoItem


def invoice(
    given: SyncedInvoice,
    existing: BilledDocument | None,
    account: Account,
    currency: Currency,
    *,
    in_use: bool,
    stamp: Stamp,
) -> BilledDocument:
    """Make the invoice that is told of, to be stored in place of the existing one (api.md, How documents get in).

    `currency` is the one told, else the account's; `in_use` says that a memo was made from it or applied to it.
    Refuses with shape faults (INVALID_VALUE, FIELD_REQUIRED, TOO_LONG, AMOUNT_PRECISION, ITEMS_SUM_MISMATCH),
    NUMBER_TAKEN where the number is that of an invoice with another id, DOCUMENT_IN_USE, AMOUNT_EXCEEDS_BALANCE.
    """
    _check(given, existing, given.invoice_number, "invoice_number", currency)
    document = _document(given, existing, given.invoice_number, given.invoice_date, account, currency, "inv", stamp)
    return _settled(document, given, existing if in_use else None)


def debit_memo(
    given: SyncedDebitMemo,
    existing: BilledDocument | None,
    account: Account,
    currency: Currency,
    book: RuleBook,
    *,
    in_use: bool,
    stamp: Stamp,
) -> BilledDocument:
    """Make the debit memo that is told of; as `invoice` does, and REASON_CODE_INVALID for an unknown reason code."""
    _check(given, existing, given.number, "number", currency)
    document = _document(given, existing, given.number, given.debit_memo_date, account, currency, "dm", stamp)
    same = existing is not None and existing.reason_code == given.reason_code  # it need not be active any longer
    reason = (
        given.reason_code
        if same and given.reason_code is not None
        else book.reason(ReasonCodeType.DEBIT_MEMO, given.reason_code, None, "reason_code")
    )
    return _settled(replace(document, comment=given.comment, reason_code=reason), given, existing if in_use else None)


def line_count(documents: Sequence[Given]) -> int:
    """How many lines documents have in all, taxes included."""
    return sum(1 + len(item.tax_items or ()) for document in documents for item in document.items)


# --- shape ------------------------------------------------------------------------------------------------------------


def _check(given: Given, existing: BilledDocument | None, number: str, number_field: str, currency: Currency) -> None:
    faults = Faults()
    shape.identifier(given.id, _prefix(given), faults, "id")
    shape.document_number(number, faults, number_field)
    if isinstance(given, SyncedDebitMemo):
        shape.text(given.comment, limits.COMMENT_LENGTH, faults, "comment")
    shape.custom_fields(given.custom_fields, faults, "custom_fields")
    if not given.items:
        faults.add(ErrorCode.FIELD_REQUIRED, "items is empty: a document has at least one line.", "items")
    for index, item in enumerate(_items(given)):
        _check_item(item, currency, faults, "items", index)
        drafts.check_applied_to(given.items, index, faults)
    _check_ids(given, faults)
    _check_payments(given, currency, faults)
    faults.raise_if_any()
    if existing is not None and given.id is not None and shape.as_id(given.id, _prefix(given)) != existing.id:
        raise refuse(
            ErrorCode.NUMBER_TAKEN, f"The number {number} is that of {existing.id}: choose another.", number_field
        )


def _prefix(given: Given) -> str:
    return "inv" if isinstance(given, SyncedInvoice) else "dm"


def _items(given: Given) -> Sequence[GivenItem]:
    return given.items


def _name_and_amount(item: GivenItem) -> tuple[str, Decimal]:
    if isinstance(item, SyncedInvoiceItem):
        return item.charge_name, item.charge_amount
    return item.sku_name, item.amount


def _check_item(item: GivenItem, currency: Currency, faults: Faults, *path: str | int) -> None:
    is_invoice = isinstance(item, SyncedInvoiceItem)
    shape.identifier(item.id, "ini" if is_invoice else "dmi", faults, *path, "id")
    shape.identifier(item.product_rate_plan_charge_id, "chg", faults, *path, "product_rate_plan_charge_id")
    name, given_amount = _name_and_amount(item)
    name_field, amount_field = ("charge_name", "charge_amount") if is_invoice else ("sku_name", "amount")
    if not name.strip():
        faults.add(
            ErrorCode.FIELD_REQUIRED, f"{field_name(name_field)} is blank: a line has a name.", *path, name_field
        )
    shape.text(name, limits.TEXT_LENGTH, faults, *path, name_field)
    is_discount = item.processing_type is ProcessingType.DISCOUNT
    amount = shape.amount(given_amount, currency, faults, *path, amount_field)
    if is_discount and amount > 0:
        faults.add(ErrorCode.INVALID_VALUE, f"A discount of {given_amount}: it must be 0 or less.", *path, amount_field)
    for field in ("sku", "unit_of_measure", "tax_code", "subscription_id"):
        shape.text(getattr(item, field), limits.TEXT_LENGTH, faults, *path, field)
    text_field = "product_name" if is_invoice else "description"
    shape.text(getattr(item, text_field), limits.TEXT_LENGTH, faults, *path, text_field)
    shape.number(item.quantity, faults, *path, "quantity")
    shape.number(item.unit_price, faults, *path, "unit_price")
    drafts.check_service_dates(item.service_start_date, item.service_end_date, faults, *path)
    drafts.check_finance(item.finance_information, faults, *path)
    shape.custom_fields(item.custom_fields, faults, *path, "custom_fields")
    negative = is_discount or amount < 0
    taxes = 0
    for place, tax in enumerate(item.tax_items or ()):
        shape.identifier(tax.id, "int" if is_invoice else "dmt", faults, *path, "tax_items", place, "id")
        taxes += _check_tax(tax, negative, currency, faults, *path, "tax_items", place)
    if not is_invoice and item.tax_mode is TaxMode.TAX_INCLUSIVE and abs(taxes) > abs(amount):
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"The taxes, {currency.show(taxes)}, are more than the inclusive amount {given_amount}.",
            *path,
            "tax_items",
        )


def _check_tax(tax: SyncedTaxItem, negative: bool, currency: Currency, faults: Faults, *path: str | int) -> int:
    amount = taxation.check_signed(tax.tax_amount, negative, currency, faults, *path, "tax_amount")
    if tax.exempt_amount is not None:
        taxation.check_signed(tax.exempt_amount, negative, currency, faults, *path, "exempt_amount")
    if not tax.name.strip():
        faults.add(ErrorCode.FIELD_REQUIRED, "name is blank: a tax has a name.", *path, "name")
    taxation.check_rate(tax.tax_rate, faults, *path, "tax_rate")
    for field in taxation.TAX_TEXTS:
        shape.text(getattr(tax, field), limits.TEXT_LENGTH, faults, *path, field)
    drafts.check_finance(tax.finance_information, faults, *path)
    shape.custom_fields(tax.custom_fields, faults, *path, "custom_fields")
    return amount


def _check_ids(given: Given, faults: Faults) -> None:
    """Note INVALID_VALUE for an id that two lines claim."""
    seen: set[str] = set()
    for index, item in enumerate(given.items):
        claims: list[tuple[tuple[str | int, ...], Key | None]] = [(("items", index, "id"), item.id)]
        claims.extend((("items", index, "tax_items", i, "id"), tax.id) for i, tax in enumerate(item.tax_items or ()))
        for path, key in claims:
            if key is not None and key[-32:] in seen:
                faults.add(ErrorCode.INVALID_VALUE, f"The id {key} is given to two lines.", *path)
            seen.add((key or "")[-32:])


def _payments(given: Given) -> list[tuple[tuple[str | int, ...], Decimal | None]]:
    """What each line says was paid on it, in the order of the document's lines, with its place in the input."""
    found: list[tuple[tuple[str | int, ...], Decimal | None]] = []
    for index, item in enumerate(given.items):
        found.append((("items", index, "payments_applied"), item.payments_applied))
        found.extend(
            (("items", index, "tax_items", place, "payments_applied"), tax.payments_applied)
            for place, tax in enumerate(item.tax_items or ())
        )
    return found


def _check_payments(given: Given, currency: Currency, faults: Faults) -> None:
    """Check what was paid by itself; whether it is more than is owed shows when the document stands."""
    total = given.payments_applied
    by_line = [(path, value) for path, value in _payments(given) if value is not None]
    for path, value in by_line:
        shape.amount(value, currency, faults, *path)
    if total is not None:
        shape.amount(total, currency, faults, "payments_applied")
    paid = sum((value for _, value in by_line), Decimal(0))
    if total is not None and by_line and total != paid:
        faults.add(
            ErrorCode.ITEMS_SUM_MISMATCH,
            f"paymentsApplied is {total}, but its lines' add up to {paid}: leave one of the two out.",
            "payments_applied",
        )
    elif (paid if total is None else total) < 0:
        faults.add(ErrorCode.INVALID_VALUE, "Payments add up to less than 0.", "payments_applied")
    if given.status is not MemoStatus.POSTED and (total or any(value for _, value in by_line)):
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"A document with the status {given.status.spelled} cannot be paid: only a Posted one can.",
            "payments_applied",
        )


# --- the document -----------------------------------------------------------------------------------------------------


def _document(
    given: Given,
    existing: BilledDocument | None,
    number: str,
    day: date,
    account: Account,
    currency: Currency,
    prefix: str,
    stamp: Stamp,
) -> BilledDocument:
    """Build the document with nothing credited or paid; lines keep the ids they had at their place."""
    known = {item.id: item for item in existing.items} if existing else {}
    old_ids = [item.id for item in existing.items] if existing else []
    kinds = ("ini", "int") if prefix == "inv" else ("dmi", "dmt")
    asked = [item.id for item in given.items]
    ids = drafts.line_ids(asked, old_ids, drafts.claimed(asked, kinds[0]), kinds[0], stamp)
    claimed = drafts.claimed((tax.id for item in given.items for tax in item.tax_items or ()), kinds[1])
    places = count(1)
    items = []
    for index, (item, item_id) in enumerate(zip(_items(given), ids, strict=True)):
        old_taxes = known[item_id].taxes if item_id in known else ()
        tax_ids = drafts.line_ids(
            [tax.id for tax in item.tax_items or ()], [tax.id for tax in old_taxes], claimed, kinds[1], stamp
        )
        taxes = tuple(
            _tax(tax, tax_id, next(places), currency) for tax, tax_id in zip(item.tax_items or (), tax_ids, strict=True)
        )
        target = item.applied_to_item_index
        items.append(_item(item, item_id, index + 1, None if target is None else ids[target], taxes, currency))
    _check_total(items, number)
    return BilledDocument(
        id=existing.id if existing else shape.as_id(given.id, prefix) if given.id else stamp.new_id(prefix),
        number=number,
        account_id=account.id,
        currency=currency,
        status=given.status,
        document_date=day,
        due_date=given.due_date or due_date(day, account.payment_term_days),
        items=tuple(items),
        custom_fields=drafts.custom_fields(given.custom_fields, {}),
    )


def _item(
    given: GivenItem,
    item_id: str,
    position: int,
    applied_to_item_id: str | None,
    taxes: tuple[BilledTax, ...],
    currency: Currency,
) -> BilledItem:
    name, given_amount = _name_and_amount(given)
    amount = currency.amount(given_amount)
    is_gross = isinstance(given, SyncedDebitMemoItem) and given.tax_mode is TaxMode.TAX_INCLUSIVE
    return BilledItem(
        id=item_id,
        position=position,
        name=name,
        amount=amount,
        net=amount - sum(tax.tax_amount for tax in taxes) if is_gross else amount,
        processing_type=given.processing_type,
        applied_to_item_id=applied_to_item_id,
        sku=given.sku,
        product_name=given.product_name if isinstance(given, SyncedInvoiceItem) else None,
        description=given.description if isinstance(given, SyncedDebitMemoItem) else None,
        tax_mode=given.tax_mode,
        tax_code=given.tax_code,
        quantity=given.quantity,
        unit_price=given.unit_price,
        unit_of_measure=given.unit_of_measure,
        service_start_date=given.service_start_date,
        service_end_date=given.service_end_date,
        subscription_id=given.subscription_id,
        product_rate_plan_charge_id=(
            shape.as_id(given.product_rate_plan_charge_id, "chg") if given.product_rate_plan_charge_id else None
        ),
        finance=drafts.finance(given.finance_information, NO_FINANCE),
        custom_fields=drafts.custom_fields(given.custom_fields, {}),
        taxes=taxes,
    )


def _tax(given: SyncedTaxItem, tax_id: str, position: int, currency: Currency) -> BilledTax:
    return BilledTax(
        id=tax_id,
        position=position,
        name=given.name,
        tax_amount=currency.amount(given.tax_amount),
        exempt_amount=currency.amount(given.exempt_amount or Decimal(0)),
        tax_rate=given.tax_rate,
        tax_rate_type=given.tax_rate_type,
        tax_rate_description=given.tax_rate_description,
        jurisdiction=given.jurisdiction,
        location_code=given.location_code,
        tax_code=given.tax_code,
        tax_code_description=given.tax_code_description,
        tax_date=given.tax_date,
        engine=given.engine,
        finance=drafts.finance(given.finance_information, NO_FINANCE),
        custom_fields=drafts.custom_fields(given.custom_fields, {}),
    )


def _check_total(items: Sequence[BilledItem], number: str) -> None:
    if sum(item.net + item.tax_amount for item in items) < 0:
        raise refuse(ErrorCode.INVALID_VALUE, f"The lines of {number} add up to less than 0.", "items")
    lines = [(item.net, [(tax.tax_amount, tax.exempt_amount) for tax in item.taxes]) for item in items]
    drafts.check_sums(f"The lines of {number}", lines, "items")


# --- credit and payment -----------------------------------------------------------------------------------------------


def _settled(document: BilledDocument, given: Given, used: BilledDocument | None) -> BilledDocument:
    """Put credit and payments on the lines; `used` is the document as it is, when credit rests on it."""
    if used is not None:
        check_in_use(used, document)
    credited = {line.id: line.credited for line in used.lines} if used else {}
    paid = _paid(document, given, used, credited)
    return replace(
        document,
        items=tuple(
            replace(
                item,
                credited=credited.get(item.id, 0),
                paid=paid.get(item.id, 0),
                taxes=tuple(
                    replace(tax, credited=credited.get(tax.id, 0), paid=paid.get(tax.id, 0)) for tax in item.taxes
                ),
            )
            for item in document.items
        ),
    )


def _paid(
    document: BilledDocument, given: Given, used: BilledDocument | None, credited: Mapping[str, int]
) -> dict[str, int]:
    """What is paid on each line; refuses more than is owed after credit: AMOUNT_EXCEEDS_BALANCE."""
    by_line = _payments(given)
    explicit = any(value is not None for _, value in by_line)
    amounts = [document.currency.amount(value or Decimal(0)) for _, value in by_line]
    total = sum(amounts) if explicit else document.currency.amount(given.payments_applied or Decimal(0))
    owed = document.amount - sum(credited.values())
    if total > owed:
        raise _too_much(document, total, owed, "payments_applied")
    if explicit:
        for line, amount, (path, _) in zip(document.lines, amounts, by_line, strict=True):
            _check_paid_line(document, line, amount, line.worth - credited.get(line.id, 0), *path)
        return {line.id: amount for line, amount in zip(document.lines, amounts, strict=True)}
    if used is not None and used.paid == total:
        return {line.id: line.paid for line in used.lines}
    return spread(document.lines, total, credited)


def spread(lines: Sequence[BilledLine], total: int, credited: Mapping[str, int]) -> dict[str, int]:
    """Pay lines in order until the total is used up; lines with nothing to pay are passed over."""
    paid: dict[str, int] = {}
    for line in lines:
        paid[line.id] = max(0, min(total, line.worth - credited.get(line.id, 0)))
        total -= paid[line.id]
    assert total == 0, "what is owed on positive lines is at least what is owed in all"
    return paid


def _check_paid_line(document: BilledDocument, line: BilledLine, amount: int, owed: int, *path: str | int) -> None:
    sign = -1 if line.worth < 0 else 1
    if sign * amount < 0:
        shown = document.currency.show(amount)
        raise refuse(ErrorCode.INVALID_VALUE, f"A payment of {shown} has not the sign of its line.", *path)
    if sign * amount > sign * owed:
        raise _too_much(document, amount, owed, *path)


def _too_much(document: BilledDocument, amount: int, owed: int, *path: str | int) -> Exception:
    show = document.currency.show
    return refuse(
        ErrorCode.AMOUNT_EXCEEDS_BALANCE,
        f"{show(amount)} {document.currency.code} was paid where only {show(owed)} is owed on {document.number}.",
        *path,
    )


# --- what credit rests on ---------------------------------------------------------------------------------------------


_FIXED_HEADER = ("number", "account_id", "status", "document_date")
_FIXED_ITEM = (
    *("id", "amount", "processing_type", "applied_to_item_id", "tax_mode", "tax_code", "quantity", "unit_price"),
    *("subscription_id", "product_rate_plan_charge_id", "finance"),
)
_FIXED_TAX = (
    *("id", "name", "tax_amount", "exempt_amount", "tax_rate", "tax_rate_type", "jurisdiction", "location_code"),
    *("tax_code", "tax_date", "engine", "finance"),
)
"""What of a document stays while credit rests on it; the net of a line follows from its amount and its taxes."""

_ASKED_AS = {
    "account_id": "account_key",
    "applied_to_item_id": "applied_to_item_index",
    "finance": "finance_information",
}
_ASKED_AS_OF_INVOICES = _ASKED_AS | {
    "number": "invoice_number",
    "document_date": "invoice_date",
    "amount": "charge_amount",
}
_ASKED_AS_OF_DEBIT_MEMOS = _ASKED_AS | {"document_date": "debit_memo_date"}
"""Fields of which the input of a sync has another name than the record."""

_FREE = "serviceStartDate, serviceEndDate, taxCodeDescription, taxRateDescription and customFields"
_FREE_TO_CHANGE = {
    True: f"paymentsApplied, dueDate, chargeName, productName, sku, unitOfMeasure, {_FREE}",
    False: f"paymentsApplied, dueDate, comment, reasonCode, skuName, description, sku, unitOfMeasure, {_FREE}",
}

_TOLD = 10
"""So many differences are told by name; of a document with another thousand, their number."""


def check_in_use(old: BilledDocument, new: BilledDocument) -> None:
    """Refuse to change what credit rests on: anything but payments, due date, texts and custom fields: DOCUMENT_IN_USE.

    The message says what would change and what may, by the names that the input of a sync has for it.
    """
    differing = list(_differences(old, new))
    if differing:
        more = f" and {len(differing) - _TOLD} more" if len(differing) > _TOLD else ""
        raise refuse(
            ErrorCode.DOCUMENT_IN_USE,
            f"{old.kind} {old.number} is used by credit memos, so this must stay as it is: "
            f"{', '.join(differing[:_TOLD])}{more}. Free to change are {_FREE_TO_CHANGE[old.is_invoice]}.",
        )


def _differences(old: BilledDocument, new: BilledDocument) -> Iterator[str]:
    """Everything fixed that differs, as a path into the input of a sync."""
    names = _ASKED_AS_OF_INVOICES if old.is_invoice else _ASKED_AS_OF_DEBIT_MEMOS

    def differing(before: object, after: object, fields: Sequence[str], path: str = "") -> Iterator[str]:
        for field in fields:
            if getattr(before, field) != getattr(after, field):
                yield f"{path}{field_name(names.get(field, field))}"

    yield from differing(old, new, _FIXED_HEADER)
    if old.currency.code != new.currency.code:
        yield "currency"
    if len(old.items) != len(new.items):
        yield f"the number of items ({len(old.items)})"
    for index, (old_item, new_item) in enumerate(zip(old.items, new.items, strict=False)):
        yield from differing(old_item, new_item, _FIXED_ITEM, f"items[{index}].")
        if len(old_item.taxes) != len(new_item.taxes):
            yield f"the number of items[{index}].taxItems ({len(old_item.taxes)})"
        for place, (old_tax, new_tax) in enumerate(zip(old_item.taxes, new_item.taxes, strict=False)):
            yield from differing(old_tax, new_tax, _FIXED_TAX, f"items[{index}].taxItems[{place}].")
