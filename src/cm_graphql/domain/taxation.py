"""How much tax a credited line carries, and which tax of the invoice it gives back (domain.md 4.1, 7.34, 7.35)."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Protocol

from cm_graphql.domain import crediting, drafts, limits, shape
from cm_graphql.domain.commands.base import Json, Key
from cm_graphql.domain.commands.creation import TaxFinanceInformation
from cm_graphql.domain.commands.taxation import CreateCreditMemoTaxationItems, NewTaxationItem
from cm_graphql.domain.crediting import Room
from cm_graphql.domain.enums import MemoStatus, ProcessingType, TaxEngineKind, TaxMode, TaxRateType
from cm_graphql.domain.errors import ErrorCode, Faults, field_name, not_found, refuse
from cm_graphql.domain.money import Currency, split
from cm_graphql.domain.records import (
    NO_FINANCE,
    CreditMemo,
    CreditMemoItem,
    FinanceInformation,
    Invoice,
    InvoiceItem,
    InvoiceTax,
    Stamp,
    TaxationItem,
)
from cm_graphql.domain.rulebook import RuleBook

Shares = list[tuple[InvoiceTax, int]]
"""Which taxes of an invoice item are credited, and how much of each."""

_WEIGHT = 10**40
"""Makes of a rate a weight beyond any amount, so that `split` sees no weight as a cap."""


def automatic(source: InvoiceItem, amount: int, mode: TaxMode, room: Room, currency: Currency) -> tuple[int, Shares]:
    """The net of a line and the taxes it gives back, computed from those of its invoice item.

    Flat fees are left alone, and so is a line of 0 (domain.md 4.1, 7.35).
    """
    if amount == 0:
        return 0, []
    taxes = [tax for tax in source.taxes if tax.tax_rate_type is TaxRateType.PERCENTAGE]
    if mode is TaxMode.TAX_EXCLUSIVE:
        return amount, _exclusive(source, taxes, amount, room, currency)
    return _inclusive(source, taxes, amount, room, currency)


def _exclusive(source: InvoiceItem, taxes: list[InvoiceTax], net: int, room: Room, currency: Currency) -> Shares:
    """Share by share, at most what is left of each tax; the line that takes the rest of the net takes all of it."""
    sign = _sign(source.charge_amount)
    takes_the_rest = sign * net >= sign * room.net(source)
    shares: Shares = []
    for tax in taxes:
        way = _sign(tax.tax_amount)
        left = way * room.tax(tax)
        if left <= 0:
            continue
        share = way * currency.round(Fraction(net) * Fraction(tax.tax_rate))
        shares.append((tax, way * (left if takes_the_rest else max(0, min(share, left)))))
    return shares


def _inclusive(
    source: InvoiceItem, taxes: list[InvoiceTax], gross: int, room: Room, currency: Currency
) -> tuple[int, Shares]:
    """Net and taxes out of a gross amount: 25 at 23 % is 20.33 and 4.67, not the 4.68 that 20.33 is taxed with."""
    sign = _sign(gross)
    net_left, taxes_left = room.net(source), [(tax, room.tax(tax)) for tax in taxes if room.tax(tax)]
    left = [net_left, *(left for _, left in taxes_left)]
    if sum(left) == gross and all(sign * amount >= 0 for amount in left):
        return net_left, taxes_left
    rated = [tax for tax in taxes if tax.tax_rate > 0]
    if not rated:
        return gross, []
    net, amounts = split_gross(gross, [tax.tax_rate for tax in rated], currency)
    return net, list(zip(rated, amounts, strict=True))


def split_gross(gross: int, rates: Sequence[Decimal], currency: Currency) -> tuple[int, list[int]]:
    """Take the net out of a gross amount and share the rest among the rates, above 0, by largest remainder."""
    sign = _sign(gross)
    size = abs(gross)
    exact = Fraction(size) / (1 + sum(Fraction(rate) for rate in rates))
    net = min(currency.round(exact), size)  # a rounding increment can lie beyond a gross that is no multiple of it
    weights = [int(rate.scaleb(9)) * _WEIGHT for rate in rates]
    shares = split(size - net, weights, currency.unit)
    return sign * net, [sign * share for share in shares]


def _sign(amount: int) -> int:
    return -1 if amount < 0 else 1


def credited(source: InvoiceTax, amount: int, *, id: str, item_id: str, position: int) -> TaxationItem:
    """The taxation item of a memo line that gives back part of an invoice's tax."""
    return TaxationItem(
        id=id,
        item_id=item_id,
        position=position,
        name=source.name,
        tax_amount=amount,
        jurisdiction=source.jurisdiction or "",
        location_code=source.location_code,
        tax_code=source.tax_code,
        tax_code_description=source.tax_code_description,
        tax_date=source.tax_date,
        tax_rate=source.tax_rate,
        tax_rate_description=source.tax_rate_description,
        tax_rate_type=source.tax_rate_type,
        source_tax_item_id=source.id,
        finance=source.finance,
    )


def retaxed(
    lines: Iterable[CreditMemoItem],
    invoice: Invoice,
    touched: Collection[str],
    currency: Currency,
    positions: Iterator[int],
    stamp: Stamp,
) -> list[CreditMemoItem]:
    """Compute automatic taxes anew, in order, for the lines made from the invoice items that were touched (7.38).

    All of them, since each takes what the earlier ones leave; inclusive lines stay, because they cannot change.
    """
    sources = {item.id: item for item in invoice.items}
    room = Room(invoice)
    result: list[CreditMemoItem] = []
    for line in lines:
        source = sources.get(line.source_item_id) if line.source_item_id in touched else None
        if source is not None and line.tax_auto_calculation and line.tax_mode is TaxMode.TAX_EXCLUSIVE:
            _, shares = automatic(source, line.amount, line.tax_mode, room, currency)
            present = {tax.source_tax_item_id: tax for tax in line.taxation_items}
            taxes = tuple(
                replace(present[tax.id], tax_amount=share)
                if tax.id in present
                else credited(tax, share, id=stamp.new_id("cmt"), item_id=line.id, position=next(positions))
                for tax, share in shares
            )
            line = replace(line, taxation_items=taxes)
        room.use(line)
        result.append(line)
    return result


# --- taxes given by hand ----------------------------------------------------------------------------------------------


class TaxByHand(Protocol):
    """What a caller may say about a tax, whether at creation (domain.md 1.27) or afterwards (1.24)."""

    @property
    def tax_amount(self) -> Decimal | None: ...
    @property
    def exempt_amount(self) -> Decimal | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def source_tax_item_id(self) -> Key | None: ...
    @property
    def tax_rate(self) -> Decimal | None: ...
    @property
    def tax_rate_type(self) -> TaxRateType | None: ...
    @property
    def tax_rate_description(self) -> str | None: ...
    @property
    def jurisdiction(self) -> str | None: ...
    @property
    def location_code(self) -> str | None: ...
    @property
    def tax_code(self) -> str | None: ...
    @property
    def tax_code_description(self) -> str | None: ...
    @property
    def tax_date(self) -> date | None: ...
    @property
    def finance_information(self) -> TaxFinanceInformation | None: ...
    @property
    def custom_fields(self) -> Json | None: ...


TAX_TEXTS = ("name", "jurisdiction", "location_code", "tax_code", "tax_code_description", "tax_rate_description")


def check_by_hand(tax: TaxByHand, negative: bool, currency: Currency, faults: Faults, *path: str | int) -> None:
    """Note the shape faults of a tax given by hand; its amounts have the sign of its line (domain.md 7.40)."""
    shape.required(tax.tax_amount, faults, *path, "tax_amount")
    for name, value in (("tax_amount", tax.tax_amount), ("exempt_amount", tax.exempt_amount)):
        if value is not None:
            check_signed(value, negative, currency, faults, *path, name)
    check_rate(tax.tax_rate, faults, *path, "tax_rate")
    for name in TAX_TEXTS:
        shape.text(getattr(tax, name), limits.TEXT_LENGTH, faults, *path, name)
    drafts.check_finance(tax.finance_information, faults, *path)
    shape.custom_fields(tax.custom_fields, faults, *path, "custom_fields")


def check_rate(rate: Decimal | None, faults: Faults, *path: str | int) -> None:
    """Note INVALID_VALUE for a tax rate below 0 or beyond 9 integer and 9 fraction digits."""
    value = shape.number(rate, faults, *path)
    if value is not None and value < 0:
        faults.add(ErrorCode.INVALID_VALUE, f"The tax rate {rate} is below 0.", *path)


def check_signed(value: Decimal, negative: bool, currency: Currency, faults: Faults, *path: str | int) -> int:
    """Read an amount that has the sign of its line, or is 0; note what is wrong with it."""
    if value < 0 if not negative else value > 0:
        wanted = "0 or less, because its line is below 0" if negative else "0 or more"
        faults.add(ErrorCode.INVALID_VALUE, f"{field_name(path[-1])} is {value}: it must be {wanted}.", *path)
        return 0
    return shape.amount(value, currency, faults, *path)


def matches(tax: TaxByHand, sources: Sequence[InvoiceTax]) -> list[InvoiceTax]:
    """The taxes of the invoice item that a tax given by hand may credit.

    The one it names, else those with the same location code, jurisdiction and rate (domain.md 1.24); one that tells
    none of the three credits the item's only tax.
    """
    if tax.source_tax_item_id is not None:
        return [source for source in sources if source.id == shape.as_id(tax.source_tax_item_id, "int")]
    if tax.location_code is None and tax.jurisdiction is None and tax.tax_rate is None:
        return list(sources) if len(sources) == 1 else []
    return [
        source
        for source in sources
        if (source.location_code or "") == (tax.location_code or "")
        and (source.jurisdiction or "") == (tax.jurisdiction or "")
        and source.tax_rate == tax.tax_rate
    ]


def match(tax: TaxByHand, sources: Sequence[InvoiceTax], room: Room) -> InvoiceTax | None:
    """The tax that a tax given by hand credits, if any: of several equal ones the first with something left (7.34)."""
    equal = matches(tax, sources)
    left = (source for source in equal if _sign(source.tax_amount) * room.tax(source) > 0)
    return next(left, equal[0] if equal else None)


def by_hand(
    tax: TaxByHand, source: InvoiceTax | None, currency: Currency, *, id: str, item_id: str, position: int
) -> TaxationItem:
    """The taxation item that a checked tax given by hand becomes; what it leaves out comes from the source."""
    assert tax.tax_amount is not None
    name = tax.name if (tax.name or "").strip() else source.name if source else None
    assert name is not None, "a tax without source was checked for its name"
    rate_type = tax.tax_rate_type or (source.tax_rate_type if source else TaxRateType.PERCENTAGE)
    return TaxationItem(
        id=id,
        item_id=item_id,
        position=position,
        name=name,
        tax_amount=currency.amount(tax.tax_amount),
        exempt_amount=currency.amount(tax.exempt_amount or Decimal(0)),
        jurisdiction=_first(tax.jurisdiction, source.jurisdiction if source else None) or "",
        location_code=_first(tax.location_code, source.location_code if source else None),
        tax_code=_first(tax.tax_code, source.tax_code if source else None),
        tax_code_description=_first(tax.tax_code_description, source.tax_code_description if source else None),
        tax_date=tax.tax_date or (source.tax_date if source else None),
        tax_rate=tax.tax_rate if tax.tax_rate is not None else (source.tax_rate if source else Decimal(0)),
        tax_rate_description=_first(tax.tax_rate_description, source.tax_rate_description if source else None),
        tax_rate_type=rate_type,
        source_tax_item_id=source.id if source else None,
        finance=drafts.finance(tax.finance_information, source_finance(source)),
        custom_fields=drafts.custom_fields(tax.custom_fields, {}),
    )


def source_finance(source: InvoiceTax | None) -> FinanceInformation:
    """Where the source of a tax is booked."""
    return source.finance if source else NO_FINANCE


def _first(given: str | None, otherwise: str | None) -> str | None:
    return given if given is not None else otherwise


# --- taxes added to a draft -------------------------------------------------------------------------------------------


def check_create_taxation_items(memo: CreditMemo) -> None:
    """Refuse to add taxes to what is not a draft (domain.md 1.24): INVALID_STATUS."""
    if memo.status is not MemoStatus.DRAFT:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}. "
            "Taxation items can only be added to credit memos with the Draft status.",
        )


def create_taxation_items(
    memo: CreditMemo, command: CreateCreditMemoTaxationItems, invoice: Invoice | None, book: RuleBook, stamp: Stamp
) -> tuple[CreditMemo, tuple[TaxationItem, ...]]:
    """Add taxes to lines of a draft; answer the memo and what was added, in the order asked (domain.md 1.24, 7.40).

    `invoice` is the referred one, if any. The tax of such a line counts as given by hand from then on, so that it is
    not computed anew; automatic taxes of later lines are, since each takes what the earlier ones leave. Refuses with
    CREDIT_MEMO_ITEM_NOT_FOUND, TAXATION_ITEM_NOT_FOUND; the shape faults FIELD_REQUIRED, INVALID_VALUE, TOO_LONG,
    AMOUNT_PRECISION, TAX_ITEM_NOT_ALLOWED; INVALID_STATUS; LIMIT_EXCEEDED; OVER_CREDIT.
    """
    assert (invoice.id if invoice else None) == memo.referred_invoice_id, "the referred invoice comes loaded"
    lines = {line.id: line for line in memo.items}
    sources = {item.id: item for item in invoice.items} if invoice else {}
    _check_new_exist(command, lines, sources)
    _check_new(command, memo, lines, sources)
    check_create_taxation_items(memo)
    faults = Faults()
    asked = command.taxation_items
    shape.at_most(len(asked), limits.LINES_PER_CREATE, "taxation items", faults, "taxation_items")
    faults.raise_if_any()
    room = Room(invoice) if invoice else None
    for line in memo.items if room else ():
        assert room is not None
        room.use(line)
    created: list[TaxationItem] = []
    touched: set[str] = set()
    places = count(1 + max((tax.position for line in memo.items for tax in line.taxation_items), default=0))
    for tax in asked:
        line = lines[_line_key(tax)]
        source = sources.get(line.source_item_id)
        matched = match(tax, source.taxes, room) if source and room else None
        item = by_hand(tax, matched, memo.currency, id=stamp.new_id("cmt"), item_id=line.id, position=next(places))
        if room:
            room.use_tax(item)
        created.append(item)
        lines[line.id] = replace(line, taxation_items=(*line.taxation_items, item), tax_auto_calculation=False)
        touched.add(line.source_item_id)
    items = [lines[line.id] for line in memo.items]
    if invoice:
        items = retaxed(items, invoice, touched, memo.currency, places, stamp)
    drafts.check_total(items, "taxation_items")
    changed = replace(memo, items=tuple(items))
    if invoice:
        crediting.check_over_credit(changed, invoice, book)
    return changed, tuple(created)


def _line_key(tax: NewTaxationItem) -> str:
    assert tax.memo_item_id is not None, "a tax without line was refused"
    return shape.as_id(tax.memo_item_id, "cmi")


def _check_new_exist(
    command: CreateCreditMemoTaxationItems, lines: Mapping[str, CreditMemoItem], sources: Mapping[str, InvoiceItem]
) -> None:
    """Refuse lines that are not of this memo, and taxes that are not of the line's invoice item."""
    faults = Faults()
    for index, tax in enumerate(command.taxation_items):
        if tax.memo_item_id is None:
            continue
        line = lines.get(_line_key(tax))
        if line is None:
            path = ("taxation_items", index, "memo_item_id")
            faults.extend([not_found(ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND, tax.memo_item_id, *path)])
            continue
        source = sources.get(line.source_item_id)
        if tax.source_tax_item_id is not None and source is not None and not matches(tax, source.taxes):
            path = ("taxation_items", index, "source_tax_item_id")
            faults.extend([not_found(ErrorCode.TAXATION_ITEM_NOT_FOUND, tax.source_tax_item_id, *path)])
    faults.raise_if_any()


def _check_new(
    command: CreateCreditMemoTaxationItems,
    memo: CreditMemo,
    lines: Mapping[str, CreditMemoItem],
    sources: Mapping[str, InvoiceItem],
) -> None:
    faults = Faults()
    if not command.taxation_items:
        faults.add(ErrorCode.FIELD_REQUIRED, "taxationItems is empty: give 1 to 1,000.", "taxation_items")
    for index, tax in enumerate(command.taxation_items):
        path = ("taxation_items", index)
        shape.required(tax.memo_item_id, faults, *path, "memo_item_id")
        line = None if tax.memo_item_id is None else lines[_line_key(tax)]
        check_by_hand(tax, line is not None and is_negative(line), memo.currency, faults, *path)
        if not tax.name.strip():
            faults.add(ErrorCode.FIELD_REQUIRED, "name is blank: a tax has a name.", *path, "name")
        if line is not None:
            _check_taxed_line(tax, line, sources.get(line.source_item_id), faults, *path)
    faults.raise_if_any()


def _check_taxed_line(
    tax: NewTaxationItem, line: CreditMemoItem, source: InvoiceItem | None, faults: Faults, *path: str | int
) -> None:
    """Note a line whose tax is not given by hand (domain.md 1.24, 7.40), and a source that it cannot have."""
    why = _why_not_taxed(line, source)
    if why:
        message = f"Line {line.sku_name} {why}, so no tax can be added to it."
        faults.add(ErrorCode.TAX_ITEM_NOT_ALLOWED, message, *path, "memo_item_id")
    if tax.source_tax_item_id is not None and source is None:
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"Line {line.sku_name} was not made from an invoice, so its tax has no source: leave it out.",
            *path,
            "source_tax_item_id",
        )


def _why_not_taxed(line: CreditMemoItem, source: InvoiceItem | None) -> str:
    """Why a line takes no tax by hand; nothing where it does."""
    if line.tax_mode is TaxMode.TAX_INCLUSIVE:
        return "is tax-inclusive: its tax is part of its amount"
    if source is not None and any(its.engine is not TaxEngineKind.NONE for its in source.taxes):
        return f"credits invoice item {source.charge_name}, whose tax was computed by an engine"
    return ""


def check_anything_to_tax(memo: CreditMemo, invoice: Invoice | None, book: RuleBook) -> None:
    """Refuse to add taxes to a memo of which no line takes any, or which has no room left for them.

    TAX_ITEM_NOT_ALLOWED; OVER_CREDIT, unless a discount could be taxed, which makes room.
    """
    sources = {item.id: item for item in invoice.items} if invoice else {}
    reasons = [_why_not_taxed(line, sources.get(line.source_item_id)) for line in memo.items]
    if reasons and all(reasons):
        line = memo.items[0]
        message = f"No tax can be added to credit memo {memo.name}: its line {line.sku_name} {reasons[0]}"
        raise refuse(ErrorCode.TAX_ITEM_NOT_ALLOWED, f"{message}{', and so on.' if len(reasons) > 1 else '.'}")
    if invoice is not None and not any(
        is_negative(line) and not why for line, why in zip(memo.items, reasons, strict=True)
    ):
        crediting.check_over_credit(memo, invoice, book)


def is_negative(line: CreditMemoItem) -> bool:
    """Tell whether amounts of a line are negative: those of discounts are."""
    return line.processing_type is ProcessingType.DISCOUNT or line.net < 0
