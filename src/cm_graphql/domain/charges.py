"""What a line made from a charge of the catalog is worth, and what it takes from there (domain.md 1.2, 7.23, 7.29)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from cm_graphql.domain import drafts, limits, shape, taxation
from cm_graphql.domain.billing import Account, Charge, TaxRate
from cm_graphql.domain.commands.creation import CreditMemoItemFromCharge
from cm_graphql.domain.enums import ChargeModel, ChargeType, ItemSourceType, TaxMode, TaxRateType
from cm_graphql.domain.errors import ErrorCode, Faults
from cm_graphql.domain.money import MAX_AMOUNT, SCALE, Currency
from cm_graphql.domain.records import CreditMemoItem, Stamp, TaxationItem

_PER_UNIT = (ChargeModel.PER_UNIT, ChargeModel.OVERAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxableLine:
    """A line whose tax an engine shall price."""

    key: str
    """Tells the line from the others of the request: its place, or its id where it exists."""
    name: str
    sku: str | None
    tax_code: str | None
    tax_mode: TaxMode
    amount: int
    """Gross where the mode is inclusive."""
    quantity: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxQuote:
    """A tax as an engine prices it."""

    name: str
    jurisdiction: str
    tax_amount: int
    tax_rate: Decimal
    tax_rate_type: TaxRateType = TaxRateType.PERCENTAGE
    exempt_amount: int = 0
    location_code: str | None = None
    tax_code: str | None = None
    tax_code_description: str | None = None
    tax_rate_description: str | None = None


Quotes = Mapping[str, tuple[TaxQuote, ...]]
"""What an engine answered, per key of a taxable line; a line without entry has no automatic tax."""

NO_QUOTES: Quotes = {}


def check_line(
    item: CreditMemoItemFromCharge, charge: Charge, currency: Currency, faults: Faults, *path: str | int
) -> None:
    """Note the shape faults of a line made from a charge.

    DISCOUNT_CHARGE_NOT_ALLOWED, USAGE_QUANTITY_NOT_POSITIVE, FIELD_REQUIRED for an amount that no price tells,
    AMOUNT_PRECISION, INVALID_VALUE, TOO_LONG.
    """
    if charge.is_discount:
        faults.add(
            ErrorCode.DISCOUNT_CHARGE_NOT_ALLOWED,
            f"Charge {charge.name} is a discount ({charge.charge_model}): a memo cannot be made from it.",
            *path,
            "product_rate_plan_charge_id",
        )
    elif item.amount is not None:
        taxation.check_signed(item.amount, False, currency, faults, *path, "amount")
    else:
        _check_priced(item, charge, currency, faults, *path)
    if charge.charge_type is ChargeType.USAGE and item.quantity is not None and item.quantity <= 0:
        faults.add(
            ErrorCode.USAGE_QUANTITY_NOT_POSITIVE,
            f"Charge {charge.name} is billed by usage: the quantity {item.quantity} must be above 0.",
            *path,
            "quantity",
        )
    shape.number(item.quantity, faults, *path, "quantity")
    shape.text(item.description, limits.COMMENT_LENGTH, faults, *path, "description")
    if item.service_start_date or item.service_end_date:
        start = item.service_start_date or charge.effective_start_date
        drafts.check_service_dates(start, item.service_end_date or charge.effective_end_date, faults, *path)
    drafts.check_finance(item.finance_information, faults, *path)
    shape.custom_fields(item.custom_fields, faults, *path, "custom_fields")


def _check_priced(
    item: CreditMemoItemFromCharge, charge: Charge, currency: Currency, faults: Faults, *path: str | int
) -> None:
    """Check the amount that follows from the catalog when none is given (domain.md 7.29)."""
    amount = worth(item, charge, currency)
    if amount is None:
        faults.add(
            ErrorCode.FIELD_REQUIRED,
            f"amount is required: charge {charge.name} ({charge.charge_model}) tells no single price in "
            f"{currency.code}.",
            *path,
            "amount",
        )
    elif not 0 <= amount <= MAX_AMOUNT:
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"The price of charge {charge.name} comes to {currency.show(amount)}: it must be 0 or more and have at "
            "most 13 integer digits.",
            *path,
            "amount",
        )


def worth(item: CreditMemoItemFromCharge, charge: Charge, currency: Currency) -> int | None:
    """The amount of a line: the one given, else the price in the currency, times the quantity where priced per unit."""
    if item.amount is not None:
        return currency.amount(item.amount)
    price = charge.prices.get(currency.code)
    if price is None:
        return None
    if charge.charge_model is ChargeModel.FLAT_FEE:
        return currency.round(Fraction(price) * SCALE)
    if charge.charge_model in _PER_UNIT:
        return currency.round(Fraction(price) * Fraction(_units(item)) * SCALE)
    return None


def _units(item: CreditMemoItemFromCharge) -> Decimal:
    return Decimal(1) if item.quantity is None else item.quantity


def _quantity(item: CreditMemoItemFromCharge, charge: Charge) -> Decimal | None:
    """The quantity to keep: one unit where none is given for usage, or for an amount that is priced per unit."""
    priced_per_unit = item.amount is None and charge.charge_model in _PER_UNIT
    return _units(item) if priced_per_unit or charge.charge_type is ChargeType.USAGE else item.quantity


def taxable(item: CreditMemoItemFromCharge, charge: Charge, currency: Currency, key: str) -> TaxableLine | None:
    """The line as something to be taxed, or nothing where its charge is not taxable or the line has no price."""
    if not charge.taxable or charge.is_discount:
        return None
    faults = Faults()
    check_line(item, charge, currency, faults)
    amount = None if faults else worth(item, charge, currency)
    if amount is None:
        return None
    return TaxableLine(
        key=key,
        name=charge.name,
        sku=charge.sku,
        tax_code=charge.tax_code,
        tax_mode=charge.tax_mode or TaxMode.TAX_EXCLUSIVE,
        amount=amount,
        quantity=_quantity(item, charge),
    )


def line(
    item: CreditMemoItemFromCharge,
    charge: Charge,
    quotes: tuple[TaxQuote, ...] | None,
    *,
    position: int,
    tax_positions: Iterator[int],
    currency: Currency,
    tax_date: date,
    stamp: Stamp,
) -> CreditMemoItem:
    """Make a checked line; without quotes it has no tax, and its amount is net."""
    amount = worth(item, charge, currency)
    assert amount is not None, "a line without price was refused"
    item_id = stamp.new_id("cmi")
    taxes = quoted(quotes or (), item_id, tax_positions, tax_date, stamp)
    mode = charge.tax_mode if charge.tax_mode and quotes is not None else TaxMode.TAX_EXCLUSIVE
    is_gross = mode is TaxMode.TAX_INCLUSIVE
    return CreditMemoItem(
        id=item_id,
        position=position,
        amount=amount,
        net=amount - sum(tax.tax_amount for tax in taxes) if is_gross else amount,
        sku_name=charge.name,
        source_item_type=ItemSourceType.PRODUCT_RATE_PLAN_CHARGE,
        source_item_id=charge.id,
        tax_mode=mode,
        tax_auto_calculation=quotes is not None,
        sku=charge.sku,
        description=item.description,
        quantity=_quantity(item, charge),
        unit_price=charge.prices.get(currency.code) if charge.charge_model in _PER_UNIT else None,
        unit_of_measure=charge.unit_of_measure,
        service_start_date=item.service_start_date or charge.effective_start_date,
        service_end_date=item.service_end_date or charge.effective_end_date,
        exclude_item_billing_from_revenue_accounting=item.exclude_item_billing_from_revenue_accounting,
        finance=drafts.finance(item.finance_information, charge.finance),
        custom_fields=drafts.custom_fields(item.custom_fields, {}),
        taxation_items=taxes,
    )


def quoted(
    quotes: Sequence[TaxQuote], item_id: str, positions: Iterator[int], tax_date: date, stamp: Stamp
) -> tuple[TaxationItem, ...]:
    """The taxation items that an engine's answer for a day becomes."""
    return tuple(
        TaxationItem(
            id=stamp.new_id("cmt"),
            item_id=item_id,
            position=next(positions),
            name=quote.name,
            tax_amount=quote.tax_amount,
            exempt_amount=quote.exempt_amount,
            jurisdiction=quote.jurisdiction,
            location_code=quote.location_code,
            tax_code=quote.tax_code,
            tax_code_description=quote.tax_code_description,
            tax_date=tax_date,
            tax_rate=quote.tax_rate,
            tax_rate_description=quote.tax_rate_description,
            tax_rate_type=quote.tax_rate_type,
        )
        for quote in quotes
    )


def table_quotes(
    lines: Sequence[TaxableLine], rates: Sequence[TaxRate], account: Account, currency: Currency
) -> dict[str, tuple[TaxQuote, ...]]:
    """Price lines by the tenant's own table: the rates of each line's tax code where the account's bill-to address is.

    A jurisdiction is a country, state, city or postal code, or `country-state`, in any capitals.
    """
    places = _places(account)
    here = [rate for rate in rates if rate.jurisdiction.casefold() in places and rate.rate > 0]
    return {
        line.key: _priced(line, [rate for rate in here if rate.tax_code == line.tax_code], currency) for line in lines
    }


def _places(account: Account) -> set[str]:
    contact = account.bill_to
    if contact is None:
        return set()
    names = [contact.country, contact.state, contact.city, contact.postal_code]
    if contact.country and contact.state:
        names.append(f"{contact.country}-{contact.state}")
    return {name.casefold() for name in names if name}


def _priced(line: TaxableLine, rates: Sequence[TaxRate], currency: Currency) -> tuple[TaxQuote, ...]:
    if line.tax_mode is TaxMode.TAX_INCLUSIVE and rates:
        _, amounts = taxation.split_gross(line.amount, [rate.rate for rate in rates], currency)
    else:
        amounts = [currency.round(Fraction(line.amount) * Fraction(rate.rate)) for rate in rates]
    return tuple(
        TaxQuote(
            name=rate.name,
            jurisdiction=rate.jurisdiction,
            tax_amount=amount,
            tax_rate=rate.rate,
            location_code=rate.location_code,
            tax_code=rate.tax_code,
        )
        for rate, amount in zip(rates, amounts, strict=True)
    )
