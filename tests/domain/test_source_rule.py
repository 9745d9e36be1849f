"""Applying each line to the invoice line it was made from (domain.md 4.5, 7.37)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from asking import applying, refused
from cm_graphql.domain import settlement
from cm_graphql.domain.distribution import Move
from cm_graphql.domain.enums import ApplicationRule, ItemSourceType
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, Target, TaxationItem
from cm_graphql.domain.settlement import Application
from cm_graphql.domain.source_rule import by_source
from makers import CHF_CASH, USD, a_book, a_memo, a_stamp, a_target, a_tax, an_item, units

FIFO = a_book(application_rule=ApplicationRule.FIFO)


def made_from(target: Target, line: int, amount: str, *taxes: TaxationItem, **fields: Any) -> CreditMemoItem:
    """A credit line made from a line of the invoice."""
    source = {"source_item_type": ItemSourceType.INVOICE_DETAIL, "source_item_id": target.lines[line].id}
    return an_item(amount, *taxes, **{**source, **fields})


def apply(memo: CreditMemo, invoice: Target, amount: str) -> Application:
    command = applying(memo, (invoice, amount), application_rule=ApplicationRule.SOURCE_ITEM)
    return settlement.apply(memo, [invoice], command, FIFO, a_stamp())


def shown(memo: CreditMemo, invoice: Target, after: Application) -> list[tuple[int, int, str]]:
    """The item parts on the invoice as (credit line, invoice line, amount), lines counted from 0."""
    sources, targets = [line.id for line in memo.lines], [line.id for line in invoice.lines]
    part = after.memo.part_on(invoice.id)
    assert part is not None
    return [
        (sources.index(item.source_id), targets.index(item.target_id or ""), USD.show(item.amount))
        for item in part.item_parts
    ]


def test_each_line_goes_to_the_line_it_was_made_from_and_each_tax_to_its_like() -> None:
    invoice = a_target("50.00", ("40.00", "4.00"))
    memo = a_memo(made_from(invoice, 1, "20.00", a_tax("2.00")), made_from(invoice, 0, "5.00"))

    after = apply(memo, invoice, "27.00")

    assert after.rule is ApplicationRule.SOURCE_ITEM
    assert shown(memo, invoice, after) == [(0, 1, "20.00"), (1, 2, "2.00"), (2, 0, "5.00")]
    assert after.memo.unapplied == 0


def test_a_tax_without_a_place_is_that_of_an_invoice_that_tells_none() -> None:
    invoice = a_target(("40.00", "4.00"))
    item, tax = invoice.lines
    nowhere = replace(invoice, lines=(item, tax._replace(jurisdiction=None, location_code=None)))
    memo = a_memo(made_from(nowhere, 0, "20.00", a_tax("2.00", jurisdiction="", location_code="")))

    assert shown(memo, nowhere, apply(memo, nowhere, "22.00")) == [(0, 0, "20.00"), (1, 1, "2.00")]
    elsewhere = a_memo(made_from(nowhere, 0, "20.00", a_tax("2.00", jurisdiction="CA")))
    with refused(ErrorCode.SOURCE_ITEM_MISMATCH, "invoices", 0, saying="not made from a line"):
        apply(elsewhere, nowhere, "22.00")


def test_what_the_line_it_was_made_from_has_no_room_for_is_said() -> None:
    invoice = a_target("40.00", "55.00")
    settled = replace(invoice, lines=(invoice.lines[0]._replace(paid=units("40.00")), invoice.lines[1]))
    memo = a_memo(made_from(invoice, 0, "30.00"), made_from(invoice, 0, "20.00"))

    with refused(ErrorCode.SOURCE_ITEM_MISMATCH, "invoices", 0, saying="has a balance of 0.00"):
        apply(memo, settled, "50.00")
    with refused(
        ErrorCode.AMOUNT_EXCEEDS_BALANCE, "invoices", 0, "amount", saying="give 50.00, and its balance is 40.00"
    ):
        apply(memo, invoice, "50.00")


def test_less_than_the_memo_has_is_split_over_its_open_lines_and_then_matched() -> None:
    invoice = a_target("50.00", "50.00")
    memo = a_memo(made_from(invoice, 1, "20.00"), made_from(invoice, 0, "10.00"))

    after = apply(memo, invoice, "10.00")

    assert shown(memo, invoice, after) == [(0, 1, "6.67"), (1, 0, "3.33")]


def test_a_split_takes_the_currency_steps() -> None:
    invoice = a_target("50.00", "50.00", currency="CHF")
    memo = a_memo(made_from(invoice, 1, "20.00"), made_from(invoice, 0, "10.00"), currency=CHF_CASH)

    after = apply(memo, invoice, "10.00")

    assert shown(memo, invoice, after) == [(0, 1, "6.65"), (1, 0, "3.35")]


def test_the_full_amount_moves_negative_lines_too() -> None:
    invoice = a_target("50.00", "-10.00")
    memo = a_memo(made_from(invoice, 0, "30.00"), made_from(invoice, 1, "-6.00"), made_from(invoice, 0, "0.00"))

    after = apply(memo, invoice, "24.00")

    assert shown(memo, invoice, after) == [(0, 0, "30.00"), (1, 1, "-6.00")]
    assert [line.balance for line in after.targets[0].lines] == [units("20.00"), units("-4.00")]
    assert after.memo.unapplied_part is None


def test_less_than_the_full_amount_skips_negative_lines() -> None:
    invoice = a_target("50.00", "-10.00")
    memo = a_memo(made_from(invoice, 0, "30.00"), made_from(invoice, 1, "-6.00"))

    after = apply(memo, invoice, "23.00")

    assert shown(memo, invoice, after) == [(0, 0, "23.00")]


def test_several_lines_made_from_one_share_it() -> None:
    invoice = a_target("50.00")
    memo = a_memo(made_from(invoice, 0, "30.00"), made_from(invoice, 0, "20.00"))

    after = apply(memo, invoice, "50.00")

    assert shown(memo, invoice, after) == [(0, 0, "30.00"), (1, 0, "20.00")]


def test_several_equal_taxes_of_the_invoice_item_share_what_comes() -> None:
    invoice = a_target(("100.00", "6.00", "3.00"))
    memo = a_memo(made_from(invoice, 0, "50.00", a_tax("4.50")))

    after = apply(memo, invoice, "54.50")

    assert shown(memo, invoice, after) == [(0, 0, "50.00"), (1, 1, "3.00"), (1, 2, "1.50")]


def test_a_tax_matches_only_its_like_on_the_same_item() -> None:
    invoice = a_target(("100.00", "6.00"), ("100.00", "6.00"))
    other_rate = a_memo(made_from(invoice, 0, "50.00", a_tax("3.00", tax_rate=Decimal("0.2"))))
    other_item = a_memo(made_from(invoice, 2, "50.00", a_tax("3.00")))

    with refused(ErrorCode.SOURCE_ITEM_MISMATCH, "invoices", 0, saying="not made from a line of invoice INV00000001"):
        apply(other_rate, invoice, "53.00")
    assert shown(other_item, invoice, apply(other_item, invoice, "53.00")) == [(0, 2, "50.00"), (1, 3, "3.00")]


def test_a_line_that_was_made_from_no_line_of_the_invoice_is_refused() -> None:
    invoice, other = a_target("50.00"), a_target("50.00", number=2)
    charge = a_memo(made_from(invoice, 0, "5.00", source_item_type=ItemSourceType.PRODUCT_RATE_PLAN_CHARGE))

    with refused(ErrorCode.SOURCE_ITEM_MISMATCH, "invoices", 0):
        apply(charge, invoice, "5.00")
    with refused(ErrorCode.SOURCE_ITEM_MISMATCH, "invoices", 0):
        apply(a_memo(made_from(other, 0, "5.00")), invoice, "5.00")


def test_what_is_compared_with_the_balance_is_the_share_and_not_the_line() -> None:
    invoice = a_target("5.00", "95.00")
    memo = a_memo(made_from(invoice, 0, "20.00"))

    assert apply(memo, invoice, "5.00").targets[0].lines[0].balance == 0
    with refused(ErrorCode.SOURCE_ITEM_MISMATCH, "invoices", 0, saying="has a balance of 5.00"):
        apply(memo, invoice, "5.01")


def test_lines_that_fit_alone_but_not_together_are_refused() -> None:
    invoice = a_target("50.00", "50.00")
    memo = a_memo(made_from(invoice, 0, "30.00"), made_from(invoice, 0, "30.00"))

    with refused(ErrorCode.AMOUNT_EXCEEDS_BALANCE, "invoices", 0, "amount"):
        apply(memo, invoice, "60.00")


@pytest.mark.parametrize("others", ["second invoice", "debit memo", "items"])
def test_the_rule_takes_one_invoice_and_nothing_else(others: str) -> None:
    invoice, second, debit_memo = a_target(), a_target(number=2), a_target(debit_memo=True)
    memo = a_memo(made_from(invoice, 0, "9.00"))
    command = {
        "second invoice": applying(
            memo, (invoice, "1.00"), (second, "1.00"), application_rule=ApplicationRule.SOURCE_ITEM
        ),
        "debit memo": applying(
            memo, (invoice, "1.00"), (debit_memo, "1.00"), application_rule=ApplicationRule.SOURCE_ITEM
        ),
        "items": applying(
            memo,
            (invoice, "1.00", [(memo.lines[0].id, invoice.lines[0].id, "1.00")]),
            application_rule=ApplicationRule.SOURCE_ITEM,
        ),
    }[others]
    targets = {"second invoice": [invoice, second], "debit memo": [invoice, debit_memo], "items": [invoice]}[others]

    with refused(ErrorCode.APPLICATION_RULE_CONFLICT, "application_rule"):
        settlement.apply(memo, targets, command, FIFO, a_stamp())


def test_a_table_beyond_the_limit_is_filled_in_order_with_the_same_totals_of_lines() -> None:
    invoice = a_target(("100.00", "6.00", "3.00"))
    memo = a_memo(made_from(invoice, 0, "50.00", a_tax("2.00"), a_tax("2.50")))

    in_proportion = by_source(memo, invoice, units("54.50"), 10_000)
    in_order = by_source(memo, invoice, units("54.50"), 3)

    assert in_order[1:] == [Move(1, 1, units("2.00")), Move(2, 1, units("1.00")), Move(2, 2, units("1.50"))]
    for target in (1, 2):
        assert sum(m.amount for m in in_order if m.target == target) == sum(
            m.amount for m in in_proportion if m.target == target
        )
