"""How a draft credit memo comes to be, from lines of an invoice or from charges of the catalog."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import count

from cm_graphql.domain import charges, crediting, drafts, limits, shape, taxation
from cm_graphql.domain.billing import Account, Charge
from cm_graphql.domain.charges import NO_QUOTES, Quotes, TaxableLine
from cm_graphql.domain.commands.creation import (
    CreateCreditMemos,
    CreditMemoFromCharges,
    CreditMemoFromInvoice,
    CreditMemoItemFromInvoice,
)
from cm_graphql.domain.crediting import Room
from cm_graphql.domain.enums import (
    ItemSourceType,
    MemoSource,
    MemoStatus,
    ProcessingType,
    ReasonCodeType,
    SourceType,
    TaxEngineKind,
    TaxMode,
)
from cm_graphql.domain.errors import ErrorCode, Faults, not_found, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, CustomRate, Invoice, InvoiceItem, Stamp, TaxationItem
from cm_graphql.domain.rulebook import RuleBook, TenantSettings

_CURRENCY_CODE = re.compile(r"[A-Z]{3}\Z")


def from_invoice(
    command: CreditMemoFromInvoice,
    invoice: Invoice,
    currency: Currency,
    book: RuleBook,
    stamp: Stamp,
    number: str | None,
) -> CreditMemo:
    """Make a draft that credits the lines asked for of a posted invoice (domain.md 1.27, 4.1, 4.3).

    Refuses with INVOICE_ITEM_NOT_FOUND and TAXATION_ITEM_NOT_FOUND for lines of another invoice; the shape faults
    INVALID_VALUE, FIELD_REQUIRED, TOO_LONG, AMOUNT_PRECISION, TAX_MODE_CONFLICT, TAX_ITEM_NOT_ALLOWED;
    INVALID_STATUS; MEMO_DATE_BEFORE_INVOICE_DATE, DATE_IN_CLOSED_PERIOD; REASON_CODE_INVALID; LIMIT_EXCEEDED;
    OVER_CREDIT. Whether a name may be another than the invoice's, the caller asks `overrides_name`.
    """
    items = command.items or ()
    sources = _sources(items, invoice)
    _check_shape_from_invoice(command, sources, currency)
    lines = _lines_from_invoice(command, sources, Room(invoice), currency, stamp)
    drafts.check_total(lines, "items")
    if invoice.status is not MemoStatus.POSTED:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Invoice {invoice.number} is {invoice.status.spelled}: credit memos are made from Posted invoices only.",
            "invoice_key",
        )
    day = drafts.memo_date(command.effective_date or max(stamp.today, invoice.invoice_date), invoice, book)
    reason = book.reason(ReasonCodeType.CREDIT_MEMO, command.reason_code, None, "reason_code")
    _check_limits(items)
    memo = CreditMemo(
        id=stamp.new_id("cm"),
        number=number,
        account_id=invoice.account_id,
        currency=currency,
        status=MemoStatus.DRAFT,
        credit_memo_date=day,
        source=MemoSource.ADHOC_FROM_INVOICE,
        source_type=SourceType.INVOICE,
        items=lines,
        referred_invoice_id=invoice.id,
        reason_code=reason,
        comment=command.comment,
        auto_apply_upon_posting=command.auto_apply_to_invoice_upon_posting,
        exclude_from_auto_apply_rules=command.exclude_from_auto_apply_rules,
        custom_fields=drafts.custom_fields(command.custom_fields, {}),
        net_suite=drafts.net_suite(command.net_suite, {}),
    )
    crediting.check_over_credit(memo, invoice, book)
    return memo


def from_charges(
    command: CreditMemoFromCharges,
    account: Account,
    charges_by_id: Mapping[str, Charge],
    currency: Currency,
    book: RuleBook,
    stamp: Stamp,
    number: str | None,
    quotes: Quotes = NO_QUOTES,
) -> CreditMemo:
    """Make a draft that stands alone, from charges of the catalog (domain.md 1.2, 7.23, 7.29).

    `currency` is the one asked for, else the account's; `number` the one asked for, else the next. `quotes` price the
    lines of `taxable_lines`. Refuses with PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND; the shape faults INVALID_VALUE,
    FIELD_REQUIRED, TOO_LONG, AMOUNT_PRECISION, CURRENCY_INACTIVE, DISCOUNT_CHARGE_NOT_ALLOWED,
    USAGE_QUANTITY_NOT_POSITIVE; DATE_IN_CLOSED_PERIOD; REASON_CODE_INVALID; LIMIT_EXCEEDED; ZERO_AMOUNT.
    """
    sources = _charges(command, charges_by_id)
    _check_shape_from_charges(command, sources, currency)
    asked_day = command.effective_date or stamp.today
    tax_positions = count(1)
    lines = tuple(
        charges.line(
            item,
            charge,
            quotes.get(str(index)),
            position=index + 1,
            tax_positions=tax_positions,
            currency=currency,
            tax_date=asked_day,
            stamp=stamp,
        )
        for index, (item, charge) in enumerate(zip(command.charges or (), sources, strict=True))
    )
    drafts.check_total(lines, "charges")
    day = drafts.memo_date(asked_day, None, book)
    reason = book.reason(ReasonCodeType.CREDIT_MEMO, command.reason_code, None, "reason_code")
    faults = Faults()
    shape.at_most(len(lines), limits.LINES_PER_CREATE, "charges", faults, "charges")
    shape.at_most(len(command.custom_rates or ()), limits.CUSTOM_RATES, "rates", faults, "custom_rates")
    faults.raise_if_any()
    drafts.check_not_zero(lines, "charges")
    return CreditMemo(
        id=stamp.new_id("cm"),
        number=number,
        account_id=account.id,
        currency=currency,
        status=MemoStatus.DRAFT,
        credit_memo_date=day,
        source=MemoSource.ADHOC_FROM_PRPC,
        source_type=SourceType.STANDALONE,
        items=lines,
        reason_code=reason,
        comment=command.comment,
        exclude_from_auto_apply_rules=command.exclude_from_auto_apply_rules,
        custom_rates=tuple(
            CustomRate(currency=rate.currency, custom_fx_rate=rate.custom_fx_rate, rate_date=rate.rate_date)
            for rate in command.custom_rates or ()
        ),
        custom_fields=drafts.custom_fields(command.custom_fields, {}),
        net_suite=drafts.net_suite(command.net_suite, {}),
    )


def taxable_lines(
    command: CreditMemoFromCharges, charges_by_id: Mapping[str, Charge], currency: Currency, settings: TenantSettings
) -> tuple[TaxableLine, ...]:
    """The lines that the tenant's tax engine prices before `from_charges`: none when there is no engine (7.23)."""
    if settings.tax_engine == "none":
        return ()
    found = [
        charges.taxable(item, charge, currency, str(index))
        for index, item in enumerate(command.charges or ())
        if (charge := charges_by_id.get(shape.as_id(item.product_rate_plan_charge_id, "chg"))) is not None
    ]
    return tuple(line for line in found if line is not None)


def overrides_name(command: CreditMemoFromInvoice, invoice: Invoice) -> bool:
    """Tell whether a line is named unlike its invoice item, which needs a permission of its own (domain.md 1.27)."""
    names = {item.id: item.charge_name for item in invoice.items}
    return any(
        names.get(shape.as_id(item.invoice_item_id, "ini"), item.sku_name) != item.sku_name
        for item in command.items or ()
    )


def check_envelope(command: CreateCreditMemos) -> None:
    """Refuse a bulk request as a whole: no memo, over 50 memos or 10,000 lines (domain.md 1.3, api.md)."""
    if not command.memos:
        raise refuse(ErrorCode.FIELD_REQUIRED, "memos holds nothing: give 1 to 50 memos.", "memos")
    faults = Faults()
    shape.at_most(len(command.memos), limits.MEMOS_PER_BULK, "memos", faults, "memos")
    lines = sum(
        len((memo.from_invoice.items if memo.from_invoice else None) or ())
        + len((memo.from_charges.charges if memo.from_charges else None) or ())
        for memo in command.memos
    )
    shape.at_most(lines, limits.LINES_PER_BULK, "lines", faults, "memos")
    faults.raise_if_any()


# --- what is asked for ------------------------------------------------------------------------------------------------


def check_header(command: CreditMemoFromInvoice | CreditMemoFromCharges, faults: Faults) -> None:
    """Note the shape faults of what every new memo can be given."""
    shape.text(command.comment, limits.COMMENT_LENGTH, faults, "comment")
    shape.custom_fields(command.custom_fields, faults, "custom_fields")
    drafts.check_net_suite(command.net_suite, faults)


def _sources(items: tuple[CreditMemoItemFromInvoice, ...], invoice: Invoice) -> list[InvoiceItem]:
    """The invoice item of each line; refuses items that are not of this invoice, and taxes that are not of the item."""
    known = {item.id: item for item in invoice.items}
    faults = Faults()
    found: list[InvoiceItem] = []
    for index, item in enumerate(items):
        source = known.get(shape.as_id(item.invoice_item_id, "ini"))
        if source is None:
            path = ("items", index, "invoice_item_id")
            faults.extend([not_found(ErrorCode.INVOICE_ITEM_NOT_FOUND, item.invoice_item_id, *path)])
            continue
        found.append(source)
        taxes = {tax.id for tax in source.taxes}
        for place, tax in enumerate(item.tax_items or ()):
            key = tax.source_tax_item_id
            if key is not None and shape.as_id(key, "int") not in taxes:
                tax_path = ("items", index, "tax_items", place, "source_tax_item_id")
                faults.extend([not_found(ErrorCode.TAXATION_ITEM_NOT_FOUND, key, *tax_path)])
    faults.raise_if_any()
    return found


def _charges(command: CreditMemoFromCharges, charges_by_id: Mapping[str, Charge]) -> list[Charge]:
    """The charge of each line; refuses what is not in the catalog."""
    faults = Faults()
    found: list[Charge] = []
    for index, item in enumerate(command.charges or ()):
        key = item.product_rate_plan_charge_id
        charge = charges_by_id.get(shape.as_id(key, "chg"))
        if charge is None:
            path = ("charges", index, "product_rate_plan_charge_id")
            faults.extend([not_found(ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND, key, *path)])
        else:
            found.append(charge)
    faults.raise_if_any()
    return found


def _check_shape_from_charges(command: CreditMemoFromCharges, sources: list[Charge], currency: Currency) -> None:
    faults = Faults()
    check_header(command, faults)
    shape.document_number(command.number, faults, "number")
    if command.number is not None and shape.is_temporary(command.number):
        message = (
            f"Number {command.number} would give way to another at posting, as those of drafts do: choose another."
        )
        faults.add(ErrorCode.INVALID_VALUE, message, "number")
    if not currency.active:
        message = f"{currency.code[:60]!r} is no active ISO 4217 currency: choose one that is."
        faults.add(ErrorCode.CURRENCY_INACTIVE, message, "currency")
    for index, rate in enumerate(command.custom_rates or ()):
        fx_rate = shape.number(rate.custom_fx_rate, faults, "custom_rates", index, "custom_fx_rate")
        if fx_rate is not None and fx_rate <= 0:
            message = f"The exchange rate {fx_rate} must be above 0."
            faults.add(ErrorCode.INVALID_VALUE, message, "custom_rates", index, "custom_fx_rate")
        if not _CURRENCY_CODE.match(rate.currency):
            message = f"{rate.currency[:60]!r} is no ISO 4217 code."
            faults.add(ErrorCode.INVALID_VALUE, message, "custom_rates", index, "currency")
    if not command.charges:
        faults.add(ErrorCode.FIELD_REQUIRED, "charges is required: give 1 to 1,000 lines.", "charges")
    for index, (item, charge) in enumerate(zip(command.charges or (), sources, strict=True)):
        charges.check_line(item, charge, currency, faults, "charges", index)
    faults.raise_if_any()


def _check_shape_from_invoice(command: CreditMemoFromInvoice, sources: list[InvoiceItem], currency: Currency) -> None:
    faults = Faults()
    check_header(command, faults)
    if not command.items:
        faults.add(
            ErrorCode.FIELD_REQUIRED,
            "items is required: name the lines to credit; an invoice is not credited as a whole by leaving them out.",
            "items",
        )
    for index, (item, source) in enumerate(zip(command.items or (), sources, strict=True)):
        _check_line_from_invoice(item, source, command.tax_auto_calculation, currency, faults, "items", index)
    faults.raise_if_any()


def _check_line_from_invoice(
    item: CreditMemoItemFromInvoice,
    source: InvoiceItem,
    tax_is_automatic: bool,
    currency: Currency,
    faults: Faults,
    *path: str | int,
) -> None:
    check_credited_amount(item.amount, item.tax_mode, source, currency, faults, *path)
    check_name(item.sku_name, faults, *path)
    shape.text(item.description, limits.COMMENT_LENGTH, faults, *path, "description")
    shape.text(item.unit_of_measure, limits.TEXT_LENGTH, faults, *path, "unit_of_measure")
    shape.number(item.quantity, faults, *path, "quantity")
    if item.service_start_date or item.service_end_date:
        start, end = _service(item, source)
        drafts.check_service_dates(start, end, faults, *path)
    drafts.check_finance(item.finance_information, faults, *path)
    shape.custom_fields(item.custom_fields, faults, *path, "custom_fields")
    if item.tax_mode is TaxMode.TAX_INCLUSIVE:
        _check_inclusive(item, source, tax_is_automatic, faults, *path)
    elif item.tax_items:
        _check_taxes_by_hand(item, source, tax_is_automatic, currency, faults, *path)


def check_name(name: str, faults: Faults, *path: str | int) -> None:
    """Note FIELD_REQUIRED for a blank line name, TOO_LONG for one over 255 characters."""
    if not name.strip():
        faults.add(ErrorCode.FIELD_REQUIRED, "skuName is blank: a line has a name.", *path, "sku_name")
    shape.text(name, limits.TEXT_LENGTH, faults, *path, "sku_name")


def is_negative(source: InvoiceItem) -> bool:
    """Tell whether lines made from an item are negative: those of discounts and negative roundings (domain.md 1.27)."""
    return source.processing_type is ProcessingType.DISCOUNT or (
        source.processing_type is ProcessingType.ROUNDING and source.charge_amount < 0
    )


def check_credited_amount(
    amount: Decimal, mode: TaxMode, source: InvoiceItem, currency: Currency, faults: Faults, *path: str | int
) -> None:
    """Note an amount without meaning for its invoice item: its sign, its precision, or beyond the discount's own."""
    negative = is_negative(source)
    value = taxation.check_signed(amount, negative, currency, faults, *path, "amount")
    taxes = sum(tax.tax_amount for tax in source.taxes) if mode is TaxMode.TAX_INCLUSIVE else 0
    whole = source.charge_amount + taxes
    if negative and value < whole:
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"{amount} is beyond the {currency.show(whole)} of discount {source.charge_name}: "
            "choose an amount between that and 0.",
            *path,
            "amount",
        )


def _check_inclusive(
    item: CreditMemoItemFromInvoice, source: InvoiceItem, tax_is_automatic: bool, faults: Faults, *path: str | int
) -> None:
    """Note TAX_MODE_CONFLICT where a gross amount cannot be taken apart (domain.md 1.27, 7.24)."""
    if not tax_is_automatic:
        why = "needs taxAutoCalculation, because its tax is taken out of its amount"
    elif item.tax_items:
        why = "takes no taxItems, because its tax is taken out of its amount"
    elif any(tax.engine is not TaxEngineKind.ZUORA_TAX for tax in source.taxes):
        why = f"needs every tax of invoice item {source.charge_name} to come from the engine ZUORA_TAX"
    else:
        return
    faults.add(ErrorCode.TAX_MODE_CONFLICT, f"A TAX_INCLUSIVE line {why}.", *path, "tax_mode")


def _check_taxes_by_hand(
    item: CreditMemoItemFromInvoice,
    source: InvoiceItem,
    tax_is_automatic: bool,
    currency: Currency,
    faults: Faults,
    *path: str | int,
) -> None:
    """Check taxes given by hand; beside automatic tax they are only for crediting tax alone (domain.md 1.27)."""
    for place, tax in enumerate(item.tax_items or ()):
        taxation.check_by_hand(tax, is_negative(source), currency, faults, *path, "tax_items", place)
        if not (tax.name or "").strip() and not taxation.matches(tax, source.taxes):
            shape.required(None, faults, *path, "tax_items", place, "name")
        if tax_is_automatic and (item.amount != 0 or tax.tax_amount == 0):
            faults.add(
                ErrorCode.TAX_ITEM_NOT_ALLOWED,
                "Tax is automatic here, so it cannot be given by hand, except a tax above 0 on a line of 0: "
                "leave taxItems out, or set taxAutoCalculation to false.",
                *path,
                "tax_items",
                place,
            )


def _check_limits(items: tuple[CreditMemoItemFromInvoice, ...]) -> None:
    faults = Faults()
    shape.at_most(len(items), limits.LINES_PER_CREATE, "items", faults, "items")
    for index, item in enumerate(items):
        count = len(item.tax_items or ())
        shape.at_most(count, limits.TAX_ITEMS_PER_LINE, "tax items", faults, "items", index, "tax_items")
    faults.raise_if_any()


# --- what follows from it ---------------------------------------------------------------------------------------------


def _lines_from_invoice(
    command: CreditMemoFromInvoice, sources: list[InvoiceItem], room: Room, currency: Currency, stamp: Stamp
) -> tuple[CreditMemoItem, ...]:
    """Make the lines in order, each from what the earlier ones leave of the invoice."""
    lines: list[CreditMemoItem] = []
    first_line_of: dict[str, str] = {}
    places = count(1)
    for position, (item, source) in enumerate(zip(command.items or (), sources, strict=True), 1):
        line = _line_from_invoice(item, source, position, currency, stamp)
        if item.tax_items or not command.tax_auto_calculation:
            room.use(line)
            taxes = _taxes_by_hand(item, line.id, source, room, currency, stamp, places)
            line = replace(line, taxation_items=taxes)
        else:
            net, shares = taxation.automatic(source, line.amount, item.tax_mode, room, currency)
            taxes = tuple(
                taxation.credited(tax, share, id=stamp.new_id("cmt"), item_id=line.id, position=next(places))
                for tax, share in shares
            )
            line = replace(line, net=net, tax_mode=item.tax_mode, tax_auto_calculation=True, taxation_items=taxes)
            room.use(line)
        lines.append(line)
        first_line_of.setdefault(source.id, line.id)
    return tuple(
        replace(line, applied_to_item_id=first_line_of.get(source.applied_to_item_id or ""))
        for line, source in zip(lines, sources, strict=True)
    )


def _line_from_invoice(
    item: CreditMemoItemFromInvoice, source: InvoiceItem, position: int, currency: Currency, stamp: Stamp
) -> CreditMemoItem:
    """Make a line without its taxes: what is left out comes from the invoice item."""
    start, end = _service(item, source)
    amount = currency.amount(item.amount)
    is_discount = source.processing_type is ProcessingType.DISCOUNT
    return CreditMemoItem(
        id=stamp.new_id("cmi"),
        position=position,
        amount=amount,
        net=amount,
        sku_name=item.sku_name,
        source_item_type=ItemSourceType.INVOICE_DETAIL,
        source_item_id=source.id,
        processing_type=ProcessingType.DISCOUNT if is_discount else ProcessingType.CHARGE,
        sku=source.sku,
        description=item.description,
        quantity=item.quantity,
        unit_price=source.unit_price,
        unit_of_measure=item.unit_of_measure if item.unit_of_measure is not None else source.unit_of_measure,
        service_start_date=start,
        service_end_date=end,
        subscription_id=source.subscription_id,
        finance=drafts.finance(item.finance_information, source.finance),
        custom_fields=drafts.custom_fields(item.custom_fields, {}),
    )


def _service(item: CreditMemoItemFromInvoice, source: InvoiceItem) -> tuple[date | None, date | None]:
    return item.service_start_date or source.service_start_date, item.service_end_date or source.service_end_date


def _taxes_by_hand(
    item: CreditMemoItemFromInvoice,
    item_id: str,
    source: InvoiceItem,
    room: Room,
    currency: Currency,
    stamp: Stamp,
    places: Iterator[int],
) -> tuple[TaxationItem, ...]:
    """Make the taxes given by hand, each credited to what the others leave of the invoice's tax that it matches."""
    taxes = []
    for tax in item.tax_items or ():
        source_tax = taxation.match(tax, source.taxes, room)
        made = taxation.by_hand(
            tax, source_tax, currency, id=stamp.new_id("cmt"), item_id=item_id, position=next(places)
        )
        room.use_tax(made)
        taxes.append(made)
    return tuple(taxes)
