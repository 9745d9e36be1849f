"""Automatic tax: worked examples of domain.md 4.1 and 7.34; partial credits give back exactly the whole tax."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_graphql.domain import taxation
from cm_graphql.domain.crediting import Room, check_over_credit, check_tax_still_fits
from cm_graphql.domain.enums import (
    AvailableToCreditRule,
    ProcessingType,
    RoundingMode,
    TaxEngineKind,
    TaxMode,
    TaxRateType,
)
from cm_graphql.domain.money import SCALE, Currency
from cm_graphql.domain.records import CreditMemo, Invoice, InvoiceItem
from drafting import after_posting, by_hand, credit, draft, engine_tax
from makers import CHF_CASH, JPY, USD, a_book, an_invoice, an_invoice_item, an_invoice_tax, units

INCLUSIVE: dict[str, Any] = {"tax_mode": TaxMode.TAX_INCLUSIVE}
FREE = a_book(available_to_credit_rule=AvailableToCreditRule.NONE)
STRICT = a_book(available_to_credit_rule=AvailableToCreditRule.HEADER_AND_ITEM)


def taxes_of(memo: CreditMemo) -> list[int]:
    return [tax.tax_amount for line in memo.items for tax in line.taxation_items]


# --- exclusive lines --------------------------------------------------------------------------------------------------


def test_a_part_of_the_net_takes_its_rate_of_tax() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("6.25", tax_rate=Decimal("0.0625"))))

    memo = draft(invoice, "33.33")

    assert taxes_of(memo) == [units("2.08")]
    assert memo.items[0].tax_auto_calculation
    assert memo.items[0].taxation_items[0].source_tax_item_id == invoice.items[0].taxes[0].id


def test_the_rest_of_the_net_takes_the_rest_of_the_tax_whatever_the_rate_says() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("9.99")))

    first = draft(invoice, "50.00")
    second = draft(after_posting(invoice, first), "50.00")

    assert taxes_of(first) == [units("5.00")]
    assert taxes_of(second) == [units("4.99")]


def test_no_line_takes_more_tax_than_is_left() -> None:
    invoice = an_invoice(an_invoice_item("100.00", an_invoice_tax("5.00")))

    memo = draft(invoice, "60.00", "30.00", "10.00")

    assert taxes_of(memo) == [units("5.00")]
    assert memo.amount == units("105.00")


def test_earlier_lines_of_the_same_memo_count_and_drafts_do_not() -> None:
    invoice = an_invoice(an_invoice_item("0.03", an_invoice_tax("0.01", tax_rate=Decimal("0.2"))))

    assert taxes_of(draft(invoice, "0.01", "0.01", "0.01")) == [0, 0, units("0.01")]
    assert taxes_of(draft(invoice, "0.03")) == [units("0.01")]


def test_a_tax_that_rounds_to_zero_keeps_its_taxation_item() -> None:
    invoice = an_invoice(an_invoice_item("10.00", an_invoice_tax("1.00")))

    assert taxes_of(draft(invoice, "0.04")) == [0]


def test_a_line_of_zero_takes_no_tax() -> None:
    invoice = an_invoice(an_invoice_item("10.00", an_invoice_tax("1.00")))

    assert taxes_of(draft(invoice, "0.00")) == []


def test_a_tax_of_which_nothing_is_left_is_left_out() -> None:
    invoice = an_invoice(
        an_invoice_item("10.00", an_invoice_tax("1.00", credited_by_memos=units("1.00")), an_invoice_tax("0.50"))
    )

    assert taxes_of(draft(invoice, "10.00")) == [units("0.50")]


def test_flat_fees_are_left_alone() -> None:
    invoice = an_invoice(an_invoice_item("10.00", an_invoice_tax("2.00", tax_rate_type=TaxRateType.FLAT_FEE)))

    assert taxes_of(draft(invoice, "10.00")) == []


def test_discounts_are_mirrored() -> None:
    discount = an_invoice_item("-10.00", an_invoice_tax("-1.00"))
    invoice = an_invoice("100.00", discount)
    charge, reduction = invoice.items

    memo = draft(invoice, credit(charge, "50.00"), credit(reduction, "-0.05"), credit(reduction, "-9.95"))

    assert taxes_of(memo) == [units("-0.01"), units("-0.99")]


def test_halves_round_away_from_zero_on_both_sides() -> None:
    positive = an_invoice(an_invoice_item("1.00", an_invoice_tax("0.10")))
    negative = an_invoice("9.00", an_invoice_item("-1.00", an_invoice_tax("-0.10")))

    assert taxes_of(draft(positive, "0.05")) == [units("0.01")]
    memo = draft(negative, credit(negative.items[0], "1.00"), credit(negative.items[1], "-0.05"))
    assert taxes_of(memo) == [units("-0.01")]


def test_taxes_round_to_the_increment_of_the_currency() -> None:
    item = an_invoice_item("100.00", an_invoice_tax("7.70", tax_rate=Decimal("0.077")))
    invoice = an_invoice(item, currency="CHF")

    assert taxes_of(draft(invoice, "10.00", currency=CHF_CASH)) == [units("0.75")]
    assert taxes_of(draft(invoice, "100.00", currency=CHF_CASH)) == [units("7.70")]


def test_an_over_credited_item_has_no_tax_left_to_take() -> None:
    item = an_invoice_item("10.00", an_invoice_tax("1.00", credited_by_memos=units("1.50")))
    invoice = an_invoice(replace(item, credited_by_memos=units("15.00")))

    memo = draft(invoice, "5.00", book=FREE)

    assert taxes_of(memo) == []


# --- inclusive lines --------------------------------------------------------------------------------------------------


def test_25_at_23_percent_is_20_33_and_4_67() -> None:
    invoice = an_invoice(an_invoice_item("200.00", engine_tax("46.00", "0.23")))

    (line,) = draft(invoice, credit(invoice.items[0], "25.00", **INCLUSIVE)).items

    assert (line.amount, line.net, line.tax) == (units("25.00"), units("20.33"), units("4.67"))
    assert line.tax_mode is TaxMode.TAX_INCLUSIVE


def test_crediting_20_33_exclusively_is_a_cent_over() -> None:
    invoice = an_invoice(an_invoice_item("200.00", engine_tax("46.00", "0.23")))

    assert draft(invoice, "20.33").amount == units("25.01")


def test_a_gross_that_is_all_that_is_left_copies_net_and_taxes() -> None:
    invoice = an_invoice(an_invoice_item("20.34", engine_tax("4.66", "0.23")))

    (line,) = draft(invoice, credit(invoice.items[0], "25.00", **INCLUSIVE)).items

    assert (line.net, line.tax) == (units("20.34"), units("4.66"))


def test_several_rates_share_the_tax_of_a_gross_amount_by_largest_remainder() -> None:
    invoice = an_invoice(
        an_invoice_item("100.00", engine_tax("6.00", "0.06"), engine_tax("2.00", "0.02"), engine_tax("1.00", "0.01"))
    )

    (line,) = draft(invoice, credit(invoice.items[0], "10.00", **INCLUSIVE)).items

    assert (line.net, taxes_of(draft(invoice, credit(invoice.items[0], "10.00", **INCLUSIVE)))) == (
        units("9.17"),
        [units("0.55"), units("0.19"), units("0.09")],
    )
    assert line.net + line.tax == line.amount


def test_inclusive_lines_are_not_capped_by_what_is_left_of_a_tax() -> None:
    invoice = an_invoice(an_invoice_item("100.00", engine_tax("23.00", "0.23", credited_by_memos=units("22.99"))))

    assert draft(invoice, credit(invoice.items[0], "25.00", **INCLUSIVE)).tax_amount == units("4.67")


def test_an_inclusive_discount_is_mirrored() -> None:
    invoice = an_invoice("100.00", an_invoice_item("-20.33", engine_tax("-4.67", "0.23")))
    charge, discount = invoice.items

    memo = draft(invoice, credit(charge, "50.00"), credit(discount, "-12.30", **INCLUSIVE))

    assert (memo.items[1].net, memo.items[1].tax) == (units("-10.00"), units("-2.30"))


def test_a_gross_amount_without_rates_is_all_net() -> None:
    invoice = an_invoice(an_invoice_item("10.00", engine_tax("0.00", "0")))

    (line,) = draft(invoice, credit(invoice.items[0], "5.50", **INCLUSIVE)).items

    assert (line.net, line.taxation_items) == (units("5.50"), ())


def test_rates_of_zero_take_no_share_of_a_gross_amount() -> None:
    invoice = an_invoice(an_invoice_item("10.00", engine_tax("0.00", "0"), engine_tax("1.00", "0.1")))

    assert taxes_of(draft(invoice, credit(invoice.items[0], "5.50", **INCLUSIVE))) == [units("0.50")]


@pytest.mark.parametrize("mode", RoundingMode)
def test_gross_is_always_net_and_taxes_even_past_a_rounding_increment(mode: RoundingMode) -> None:
    currency = Currency("CHF", 2, rounding=mode, increment=500)

    for gross in range(100, 20_000, 700):
        net, taxes = taxation.split_gross(gross, [Decimal("0.0001"), Decimal("0.077")], currency)
        assert net + sum(taxes) == gross
        assert min(net, *taxes) >= 0


# --- properties -------------------------------------------------------------------------------------------------------

CURRENCIES = st.sampled_from(
    [
        USD,
        JPY,
        CHF_CASH,
        Currency("KWD", 3),
        Currency("EUR", 2, rounding=RoundingMode.UP),
        Currency("EUR", 2, rounding=RoundingMode.DOWN),
    ]
)
RATES = st.decimals(min_value=0, max_value=1, places=4)


@st.composite
def invoices(draw: st.DrawFn, negative: bool = False) -> tuple[Invoice, Currency]:
    """An invoice whose first item has up to three taxes, near their rates or not at all."""
    currency = draw(CURRENCIES)
    net = draw(st.integers(1, 50_000)) * currency.cent
    taxes = []
    for rate in draw(st.lists(RATES, max_size=3)):
        near = currency.round(Fraction(net) * Fraction(rate))
        amount = max(0, near + draw(st.integers(-3, 3)) * currency.cent)
        taxes.append((amount, rate))
    sign = -1 if negative else 1
    item = an_invoice_item(
        Decimal(sign * net) / SCALE,
        *(
            an_invoice_tax(Decimal(sign * amount) / SCALE, tax_rate=rate, engine=TaxEngineKind.ZUORA_TAX)
            for amount, rate in taxes
        ),
    )
    room = an_invoice_item(Decimal(10**10))
    return an_invoice(item, room, currency=currency.code), currency


def pieces(data: st.DataObject, total: int, cent: int) -> list[int]:
    """A total cut into up to 8 parts, some of them 0."""
    steps = total // cent
    cuts = sorted(data.draw(st.lists(st.integers(0, steps), max_size=7)))
    return [(b - a) * cent for a, b in zip([0, *cuts], [*cuts, steps], strict=True)]


def amount_of(value: int) -> str:
    return str(Decimal(value) / SCALE)


@given(invoices(), st.data())
def test_partial_credits_give_back_exactly_the_whole_net_and_tax(
    made: tuple[Invoice, Currency], data: st.DataObject
) -> None:
    invoice, currency = made
    whole = invoice.items[0]
    nets = data.draw(st.permutations(pieces(data, whole.charge_amount, currency.cent)))

    for net in nets:
        memo = draft(invoice, amount_of(net), book=STRICT, currency=currency)
        check_over_credit(memo, invoice, STRICT)
        check_tax_still_fits(memo, invoice, STRICT)
        assert memo.amount == sum(line.worth for line in memo.lines)
        assert memo.tax_amount == sum(taxes_of(memo))
        invoice = after_posting(invoice, memo)

    item = invoice.items[0]
    assert item.left == 0
    assert [tax.left for tax in item.taxes] == [0] * len(item.taxes)


@given(invoices(), st.data())
def test_lines_of_one_memo_give_back_the_same_as_memos_one_after_another(
    made: tuple[Invoice, Currency], data: st.DataObject
) -> None:
    invoice, currency = made
    nets = [amount_of(net) for net in pieces(data, invoice.items[0].charge_amount, currency.cent)]

    together = draft(invoice, *nets, book=STRICT, currency=currency)

    for line, net in zip(together.items, nets, strict=True):
        alone = draft(invoice, net, book=STRICT, currency=currency)
        assert taxes_of(alone) == [tax.tax_amount for tax in line.taxation_items]
        invoice = after_posting(invoice, alone)


@given(invoices(negative=True), st.data())
def test_partial_credits_of_a_discount_give_back_exactly_its_tax(
    made: tuple[Invoice, Currency], data: st.DataObject
) -> None:
    invoice, currency = made
    discount, room = invoice.items

    for net in pieces(data, -discount.charge_amount, currency.cent):
        memo = draft(
            invoice, credit(discount, amount_of(-net)), credit(room, "1000000"), book=STRICT, currency=currency
        )
        assert memo.items[0].processing_type is ProcessingType.DISCOUNT
        invoice = after_posting(invoice, memo)

    item = invoice.items[0]
    assert (item.left, [tax.left for tax in item.taxes]) == (0, [0] * len(item.taxes))


@given(invoices(), st.data())
def test_no_automatic_tax_passes_what_is_left_of_its_source(
    made: tuple[Invoice, Currency], data: st.DataObject
) -> None:
    invoice, currency = made
    source: InvoiceItem = invoice.items[0]
    room = Room(invoice)

    for _ in range(3):
        net = data.draw(st.integers(0, 60_000)) * currency.cent
        _, shares = taxation.automatic(source, net, TaxMode.TAX_EXCLUSIVE, room, currency)
        for tax, share in shares:
            assert 0 <= share <= room.tax(tax)
        room.use(draft(invoice, amount_of(net), book=FREE, currency=currency).items[0])


@given(CURRENCIES, st.integers(0, 10**9), st.lists(RATES.filter(bool), min_size=1, max_size=4))
def test_a_gross_amount_is_always_its_net_and_its_taxes(currency: Currency, cents: int, rates: list[Decimal]) -> None:
    gross = cents * currency.cent

    net, taxes = taxation.split_gross(gross, rates, currency)

    assert net + sum(taxes) == gross
    assert net >= 0
    assert all(tax >= 0 for tax in taxes)
    assert taxation.split_gross(-gross, rates, currency) == (-net, [-tax for tax in taxes])
    exact = [Fraction(gross - net) * Fraction(rate) / sum(map(Fraction, rates)) for rate in rates]
    bound = currency.unit if gross % currency.unit == 0 else 2 * currency.unit  # what is odd goes to one of them
    assert all(abs(tax - share) < bound for tax, share in zip(taxes, exact, strict=True))


@given(invoices(), st.data())
def test_a_pure_tax_credit_leaves_only_the_rest_of_the_tax(made: tuple[Invoice, Currency], data: st.DataObject) -> None:
    invoice, currency = made
    source = invoice.items[0]
    if not source.taxes or source.taxes[0].tax_amount == 0:
        return
    given_back = data.draw(st.integers(1, source.taxes[0].tax_amount // currency.cent)) * currency.cent
    alone = by_hand(amount_of(given_back), source_tax_item_id=source.taxes[0].id)

    memo = draft(
        invoice,
        credit(source, "0", tax_items=(alone,)),
        amount_of(source.charge_amount),
        book=STRICT,
        currency=currency,
    )

    assert memo.tax_amount == source_tax(source)


def source_tax(source: InvoiceItem) -> int:
    return sum(tax.tax_amount for tax in source.taxes)
