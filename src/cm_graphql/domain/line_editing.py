"""How the lines of a draft change: amounts, texts and taxes; lines added and deleted; automatic tax computed anew."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any, TypeVar

from cm_graphql.domain import charges, creation, drafts, limits, shape, taxation
from cm_graphql.domain.billing import Charge
from cm_graphql.domain.charges import Quotes, TaxableLine, TaxQuote
from cm_graphql.domain.commands.base import UNSET, Key, Unset
from cm_graphql.domain.commands.creation import CreditMemoItemFromCharge
from cm_graphql.domain.commands.editing import CreditMemoItemUpdate, CreditMemoTaxItemUpdate
from cm_graphql.domain.enums import ChargeType, ItemSourceType, SourceType, TaxMode, TaxRateType
from cm_graphql.domain.errors import ErrorCode, Faults, field_name, not_found
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, Invoice, InvoiceItem, Stamp, TaxationItem
from cm_graphql.domain.rulebook import TenantSettings

Changes = Sequence[CreditMemoItemUpdate]
T = TypeVar("T")

_FIELDS = (
    *("amount", "description", "quantity", "service_start_date", "service_end_date", "sku_name", "unit_of_measure"),
    *("exclude_item_billing_from_revenue_accounting", "custom_fields"),
)


def _id(change: CreditMemoItemUpdate) -> str | None:
    return None if change.id is None else shape.as_id(change.id, "cmi")


def _charge_id(change: CreditMemoItemUpdate) -> str | None:
    key = change.product_rate_plan_charge_id
    return None if key is None else shape.as_id(key, "chg")


def _or(value: T | Unset, default: T) -> T:
    return default if isinstance(value, Unset) else value


# --- what an operation loads beforehand -------------------------------------------------------------------------------


def charges_needed(changes: Changes, memo: CreditMemo) -> set[str]:
    """The ids of the charges that `update` asks about: those named, and those that changed lines were made from."""
    lines = {line.id: line for line in memo.items}
    needed: set[str] = set()
    for change in changes:
        line = lines.get(_id(change) or "")
        if line is not None and line.source_item_type is ItemSourceType.PRODUCT_RATE_PLAN_CHARGE:
            needed.add(line.source_item_id)
        needed.add(_charge_id(change) or "")
    return needed - {""}


def taxable_lines(
    changes: Changes, memo: CreditMemo, charges_by_id: Mapping[str, Charge], settings: TenantSettings
) -> tuple[TaxableLine, ...]:
    """The added and changed lines that the tenant's tax engine prices before `update` (domain.md 7.23, 7.38)."""
    if settings.tax_engine == "none":
        return ()
    lines = {line.id: line for line in memo.items}
    found: list[TaxableLine | None] = []
    for index, change in enumerate(changes):
        line = lines.get(_id(change) or "")
        charge = charges_by_id.get(line.source_item_id if line else _charge_id(change) or "")
        if charge is None or change.delete:
            continue
        if line is None:
            found.append(charges.taxable(_as_new(change), charge, memo.currency, str(index)))
        elif line.tax_auto_calculation and isinstance(change.amount, Decimal):
            asked = replace(_as_new(change), quantity=_or(change.quantity, line.quantity))
            found.append(charges.taxable(asked, charge, memo.currency, line.id))
    return tuple(line for line in found if line is not None)


def _as_new(change: CreditMemoItemUpdate) -> CreditMemoItemFromCharge:
    """What a change says about a new line, as a creation would say it."""
    return CreditMemoItemFromCharge(
        product_rate_plan_charge_id=change.product_rate_plan_charge_id or Key(""),
        amount=_or(change.amount, None),
        description=_or(change.description, None),
        quantity=_or(change.quantity, None),
        service_start_date=_or(change.service_start_date, None),
        service_end_date=_or(change.service_end_date, None),
        exclude_item_billing_from_revenue_accounting=change.exclude_item_billing_from_revenue_accounting is True,
        finance_information=change.finance_information,
        custom_fields=_or(change.custom_fields, None),
    )


# --- what may change --------------------------------------------------------------------------------------------------


def check_existence(changes: Changes, memo: CreditMemo, charges_by_id: Mapping[str, Charge]) -> None:
    """Refuse lines, taxes and charges that there are not: the NOT_FOUND of their kind (domain.md 7.25)."""
    lines = {line.id: line for line in memo.items}
    faults = Faults()
    for index, change in enumerate(changes):
        path = ("items", index)
        line = lines.get(_id(change) or "")
        if change.id is not None and line is None:
            faults.extend([not_found(ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND, change.id, *path, "id")])
        taxes = {tax.id for tax in line.taxation_items} if line else set()
        for place, tax in enumerate(change.tax_items or ()):
            if shape.as_id(tax.id, "cmt") not in taxes:
                code = ErrorCode.TAXATION_ITEM_NOT_FOUND
                faults.extend([not_found(code, tax.id, *path, "tax_items", place, "id")])
        charge_id = _charge_id(change)
        if charge_id is not None and charge_id not in charges_by_id:
            code = ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND
            faults.extend([not_found(code, charge_id, *path, "product_rate_plan_charge_id")])
    faults.raise_if_any()


def check_shape(
    changes: Changes,
    memo: CreditMemo,
    invoice: Invoice | None,
    charges_by_id: Mapping[str, Charge],
    faults: Faults,
) -> None:
    """Note what is wrong with changes of lines that exist (domain.md 7.25, 7.36)."""
    lines = {line.id: line for line in memo.items}
    sources = {item.id: item for item in invoice.items} if invoice else {}
    for index, change in enumerate(changes):
        path = ("items", index)
        line = lines.get(_id(change) or "")
        if line is None:
            _check_new(change, memo, charges_by_id, faults, *path)
        elif change.delete:
            _check_deleted(change, faults, *path)
        else:
            source, charge = sources.get(line.source_item_id), charges_by_id.get(line.source_item_id)
            _check_changed(change, line, source, charge, memo.currency, faults, *path)
    _check_together(changes, memo, faults)


def _check_together(changes: Changes, memo: CreditMemo, faults: Faults) -> None:
    """Note a line named twice, the last line deleted, and a line deleted that a discount points to (7.25)."""
    named = Counter(_id(change) for change in changes if change.id is not None)
    deleted = {_id(change) for change in changes if change.delete}
    left = [line for line in memo.items if line.id not in deleted]
    pointed_to = {line.applied_to_item_id for line in left}
    for index, change in enumerate(changes):
        line_id = _id(change)
        if line_id is not None and named[line_id] > 1:
            faults.add(ErrorCode.INVALID_VALUE, f"The line {change.id} is named twice.", "items", index, "id")
        if change.delete and line_id is not None and line_id in pointed_to:
            message = f"The line {change.id} cannot be deleted while a discount points to it."
            faults.add(ErrorCode.INVALID_VALUE, message, "items", index, "delete")
    if not left and all(change.id is not None for change in changes):
        message = f"The last line of credit memo {memo.name} cannot be deleted: cancel and delete the memo instead."
        faults.add(ErrorCode.INVALID_VALUE, message, "items")


def _check_deleted(change: CreditMemoItemUpdate, faults: Faults, *path: str | int) -> None:
    given = [name for name in _FIELDS if getattr(change, name) is not UNSET]
    given.extend(name for name in ("finance_information", "tax_items") if getattr(change, name) is not None)
    if given:
        names = ", ".join(map(field_name, given))
        message = f"A line that is deleted takes no other changes, but {names} came along."
        faults.add(ErrorCode.INVALID_VALUE, message, *path, "delete")


def _check_new(
    change: CreditMemoItemUpdate,
    memo: CreditMemo,
    charges_by_id: Mapping[str, Charge],
    faults: Faults,
    *path: str | int,
) -> None:
    """Note what is wrong with a line to be added: only memos made from charges take one (domain.md 1.10)."""
    if change.delete:
        faults.add(ErrorCode.INVALID_VALUE, "delete needs the id of the line.", *path, "delete")
        return
    charge_id = _charge_id(change)
    if charge_id is None:
        faults.add(
            ErrorCode.FIELD_REQUIRED,
            "An item needs the id of a line to change, or productRatePlanChargeId to add one.",
            *path,
            "product_rate_plan_charge_id",
        )
        return
    if memo.source_type is not SourceType.STANDALONE:
        faults.add(
            ErrorCode.SOURCE_NOT_ALLOWED,
            f"Credit memo {memo.name} was not made from charges, so none can be added to it.",
            *path,
            "product_rate_plan_charge_id",
        )
    charges.check_line(_as_new(change), charges_by_id[charge_id], memo.currency, faults, *path)
    _check_texts(change, faults, *path)


def _check_texts(change: CreditMemoItemUpdate, faults: Faults, *path: str | int) -> None:
    """Note what is wrong with a line's texts, and null where it has no meaning."""
    for name in ("sku_name", "exclude_item_billing_from_revenue_accounting"):
        if getattr(change, name) is None:
            faults.add(
                ErrorCode.INVALID_VALUE, f"{field_name(name)} cannot be null: leave it out to keep it.", *path, name
            )
    if isinstance(change.sku_name, str):
        creation.check_name(change.sku_name, faults, *path)
    shape.text(change.unit_of_measure or None, limits.TEXT_LENGTH, faults, *path, "unit_of_measure")


def _check_changed(
    change: CreditMemoItemUpdate,
    line: CreditMemoItem,
    source: InvoiceItem | None,
    charge: Charge | None,
    currency: Currency,
    faults: Faults,
    *path: str | int,
) -> None:
    if line.tax_mode is TaxMode.TAX_INCLUSIVE:
        message = f"Line {line.sku_name} is tax-inclusive: only tax-exclusive lines can be updated."
        faults.add(ErrorCode.TAX_ITEM_NOT_ALLOWED, message, *path, "id")
    charge_id = _charge_id(change)
    if charge_id is not None and charge_id != line.source_item_id:
        message = f"Line {line.sku_name} was made from {line.source_item_id}: that cannot change."
        faults.add(ErrorCode.INVALID_VALUE, message, *path, "product_rate_plan_charge_id")
    if change.amount is None:
        faults.add(ErrorCode.INVALID_VALUE, "amount cannot be null: leave it out to keep it.", *path, "amount")
    elif isinstance(change.amount, Decimal):
        if source is not None:
            creation.check_credited_amount(change.amount, line.tax_mode, source, currency, faults, *path)
        else:
            taxation.check_signed(change.amount, taxation.is_negative(line), currency, faults, *path, "amount")
    quantity = shape.number(change.quantity or None, faults, *path, "quantity")
    is_usage = charge is not None and charge.charge_type is ChargeType.USAGE
    if is_usage and not isinstance(change.quantity, Unset) and (quantity is None or quantity <= 0):
        message = f"Line {line.sku_name} is billed by usage: its quantity must be above 0."
        faults.add(ErrorCode.USAGE_QUANTITY_NOT_POSITIVE, message, *path, "quantity")
    shape.text(change.description or None, limits.COMMENT_LENGTH, faults, *path, "description")
    _check_texts(change, faults, *path)
    if change.service_start_date or change.service_end_date:
        start, end = _service(change, line)
        drafts.check_service_dates(start, end, faults, *path)
    drafts.check_finance(change.finance_information, faults, *path)
    shape.custom_fields(change.custom_fields or None, faults, *path, "custom_fields")
    _check_taxes(change, line, currency, faults, *path)


def _service(change: CreditMemoItemUpdate, line: CreditMemoItem) -> tuple[date | None, date | None]:
    return _or(change.service_start_date, line.service_start_date), _or(change.service_end_date, line.service_end_date)


def _check_taxes(
    change: CreditMemoItemUpdate, line: CreditMemoItem, currency: Currency, faults: Faults, *path: str | int
) -> None:
    """Note what is wrong with changes of taxes; none while the line's tax is automatic (domain.md 5)."""
    asked = change.tax_items or ()
    if asked and line.tax_auto_calculation:
        message = f"The tax of line {line.sku_name} is computed: it cannot be given by hand."
        faults.add(ErrorCode.TAX_ITEM_NOT_ALLOWED, message, *path, "tax_items")
    named = Counter(shape.as_id(tax.id, "cmt") for tax in asked)
    for place, tax in enumerate(asked):
        at = (*path, "tax_items", place)
        if named[shape.as_id(tax.id, "cmt")] > 1:
            faults.add(ErrorCode.INVALID_VALUE, f"The taxation item {tax.id} is named twice.", *at, "id")
        for name in ("tax_amount", "name", "tax_rate", "tax_rate_type", "jurisdiction"):
            if getattr(tax, name) is None:
                faults.add(
                    ErrorCode.INVALID_VALUE, f"{field_name(name)} cannot be null: leave it out to keep it.", *at, name
                )
        for name in ("tax_amount", "exempt_amount"):
            value = getattr(tax, name)
            if isinstance(value, Decimal):
                taxation.check_signed(value, taxation.is_negative(line), currency, faults, *at, name)
        taxation.check_rate(tax.tax_rate or None, faults, *at, "tax_rate")
        if isinstance(tax.name, str) and not tax.name.strip():
            faults.add(ErrorCode.FIELD_REQUIRED, "name is blank: a tax has a name.", *at, "name")
        for name in taxation.TAX_TEXTS:
            shape.text(getattr(tax, name) or None, limits.TEXT_LENGTH, faults, *at, name)
        drafts.check_finance(tax.finance_information, faults, *at)
        shape.custom_fields(tax.custom_fields or None, faults, *at, "custom_fields")


# --- what follows -----------------------------------------------------------------------------------------------------


def changed(
    changes: Changes,
    memo: CreditMemo,
    invoice: Invoice | None,
    charges_by_id: Mapping[str, Charge],
    quotes: Quotes,
    tax_date: date,
    stamp: Stamp,
) -> tuple[CreditMemoItem, ...]:
    """The lines of the memo after checked changes, automatic taxes computed anew where amounts changed (7.38).

    `tax_date` is the day that the quotes are of.
    """
    by_id = {_id(change): change for change in changes if change.id is not None}
    tax_positions = count(1 + max((tax.position for line in memo.items for tax in line.taxation_items), default=0))
    lines: list[CreditMemoItem] = []
    touched: set[str] = set()
    for line in memo.items:
        change = by_id.get(line.id)
        after = line if change is None else _after(line, change, memo.currency)
        if change is not None and (change.delete or _credits(after) != _credits(line)):
            touched.add(line.source_item_id)
        if change is not None and change.delete:
            continue
        if after.amount != line.amount and after.tax_auto_calculation and _is_from_charge(after):
            after = _requoted(after, quotes.get(line.id), memo.currency, tax_positions, tax_date, stamp)
        lines.append(after)
    if invoice is not None:
        lines = taxation.retaxed(lines, invoice, touched, memo.currency, tax_positions, stamp)
    position = count(1 + max(line.position for line in memo.items))
    for index, change in enumerate(changes):
        if change.id is None:
            charge = charges_by_id[_charge_id(change) or ""]
            lines.append(
                _added(
                    change,
                    charge,
                    quotes.get(str(index)),
                    next(position),
                    tax_positions,
                    memo.currency,
                    tax_date,
                    stamp,
                )
            )
    return tuple(lines)


def _credits(line: CreditMemoItem) -> list[int]:
    """How much a line credits, of each thing."""
    return [line.amount, *(tax.tax_amount for tax in line.taxation_items)]


def _is_from_charge(line: CreditMemoItem) -> bool:
    return line.source_item_type is ItemSourceType.PRODUCT_RATE_PLAN_CHARGE


def _added(
    change: CreditMemoItemUpdate,
    charge: Charge,
    quotes: tuple[TaxQuote, ...] | None,
    position: int,
    tax_positions: Iterator[int],
    currency: Currency,
    tax_date: date,
    stamp: Stamp,
) -> CreditMemoItem:
    line = charges.line(
        _as_new(change),
        charge,
        quotes,
        position=position,
        tax_positions=tax_positions,
        currency=currency,
        tax_date=tax_date,
        stamp=stamp,
    )
    return replace(
        line,
        sku_name=change.sku_name if isinstance(change.sku_name, str) else line.sku_name,
        unit_of_measure=_or(change.unit_of_measure, line.unit_of_measure),
    )


def _after(line: CreditMemoItem, change: CreditMemoItemUpdate, currency: Currency) -> CreditMemoItem:
    """The line after its own changes, its automatic tax aside."""
    given: dict[str, Any] = {
        name: getattr(change, name)
        for name in _FIELDS
        if getattr(change, name) is not UNSET and name not in ("amount", "custom_fields")
    }
    if isinstance(change.amount, Decimal):
        given["amount"] = given["net"] = currency.amount(change.amount)
    if not isinstance(change.custom_fields, Unset):
        given["custom_fields"] = drafts.custom_fields(change.custom_fields, line.custom_fields)
    taxes = {shape.as_id(tax.id, "cmt"): tax for tax in change.tax_items or ()}
    return replace(
        line,
        finance=drafts.finance(change.finance_information, line.finance),
        taxation_items=tuple(
            _tax_after(tax, taxes[tax.id], currency) if tax.id in taxes else tax for tax in line.taxation_items
        ),
        **given,
    )


def _tax_after(tax: TaxationItem, change: CreditMemoTaxItemUpdate, currency: Currency) -> TaxationItem:
    names = (*taxation.TAX_TEXTS, "tax_rate", "tax_rate_type", "tax_date")
    given: dict[str, Any] = {name: getattr(change, name) for name in names if getattr(change, name) is not UNSET}
    if isinstance(change.tax_amount, Decimal):
        given["tax_amount"] = currency.amount(change.tax_amount)
    if not isinstance(change.exempt_amount, Unset):
        given["exempt_amount"] = currency.amount(change.exempt_amount or Decimal(0))
    if not isinstance(change.custom_fields, Unset):
        given["custom_fields"] = drafts.custom_fields(change.custom_fields, tax.custom_fields)
    return replace(tax, finance=drafts.finance(change.finance_information, tax.finance), **given)


def _requoted(
    line: CreditMemoItem,
    quotes: tuple[TaxQuote, ...] | None,
    currency: Currency,
    positions: Iterator[int],
    tax_date: date,
    stamp: Stamp,
) -> CreditMemoItem:
    """The line with the taxes an engine quoted anew, or, without engine by now, with those it has at their own rates.

    A tax of the same name, jurisdiction and rate keeps its id.
    """
    if quotes is None:
        taxes = tuple(
            replace(tax, tax_amount=currency.round(Fraction(line.net) * Fraction(tax.tax_rate)))
            if tax.tax_rate_type is TaxRateType.PERCENTAGE
            else tax
            for tax in line.taxation_items
        )
        return replace(line, taxation_items=taxes)
    present = {(tax.name, tax.jurisdiction, tax.tax_rate): tax for tax in line.taxation_items}
    made = charges.quoted(quotes, line.id, positions, tax_date, stamp)
    return replace(
        line,
        taxation_items=tuple(
            replace(tax, id=old.id, position=old.position, custom_fields=old.custom_fields)
            if (old := present.pop((tax.name, tax.jurisdiction, tax.tax_rate), None)) is not None
            else tax
            for tax in made
        ),
    )
