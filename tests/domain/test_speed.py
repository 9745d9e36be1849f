"""That the largest requests take time in proportion to their lines: minutes of quadratic work would show at once."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from asking import applying, unapplying
from cm_graphql.domain import lifecycle, settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import ApplyCreditMemoAsync, InvoiceAmount, UnapplyCreditMemoAsync
from cm_graphql.domain.enums import ApplicationRule, AvailableToCreditRule, ItemSourceType, MemoStatus
from makers import a_book, a_memo, a_stamp, a_target, a_tax, an_item, units

pytestmark = pytest.mark.soak

FIFO = a_book(application_rule=ApplicationRule.FIFO, available_to_credit_rule=AvailableToCreditRule.NONE)


@pytest.fixture
def within() -> Callable[..., Any]:
    """Call something and see that it took at most so many seconds."""

    def call(seconds: float, function: Callable[..., Any], *args: Any) -> Any:
        begin = time.process_time()
        result = function(*args)
        took = time.process_time() - begin
        assert took < seconds, f"{took:.1f} seconds"
        return result

    return call


def test_300_000_lines_are_posted_applied_and_taken_back(within: Callable[..., Any]) -> None:
    draft = a_memo(*[an_item("0.02", a_tax("0.01"))] * 75_000, status=MemoStatus.DRAFT)
    invoice = a_target(*["0.03"] * 150_000)
    want = InvoiceAmount(invoice_key=Key(invoice.id), amount=Decimal("2250.00"))
    key = Key(draft.id)

    memo = within(5, lifecycle.post, draft, None, None, None, FIFO, a_stamp()).memo
    command = ApplyCreditMemoAsync(key=key, invoices=(want,))
    applied = within(15, settlement.apply, memo, [invoice], command, FIFO, a_stamp())
    assert applied.memo.unapplied == 0
    some = UnapplyCreditMemoAsync(
        key=key, invoices=(InvoiceAmount(invoice_key=Key(invoice.id), amount=Decimal("1000.00")),)
    )
    less = within(15, settlement.unapply, applied.memo, applied.targets, some, None, FIFO, a_stamp())
    assert less.memo.unapplied == units("1000.00")
    everything = UnapplyCreditMemoAsync(key=key)
    freed = within(15, settlement.unapply, less.memo, less.targets, everything, None, FIFO, a_stamp())
    assert freed.targets == (invoice,)


def test_a_thousand_targets_share_a_memo_of_many_lines(within: Callable[..., Any]) -> None:
    memo = a_memo(*["0.01"] * 200_000)
    targets = [a_target(*["0.05"] * 90, number=number) for number in range(1, 1_001)]
    wants = tuple(InvoiceAmount(invoice_key=Key(target.id), amount=Decimal("2.00")) for target in targets)

    command = ApplyCreditMemoAsync(key=Key(memo.id), invoices=wants)
    after = within(15, settlement.apply, memo, targets, command, FIFO, a_stamp())

    assert after.memo.unapplied == 0
    assert len(after.entries) == 1_000


def test_explicit_items_of_a_thousand_targets_are_found_by_index(within: Callable[..., Any]) -> None:
    memo = a_memo(*["1.00"] * 7_000)
    targets = [a_target(*["1.00"] * 7, number=number) for number in range(1, 1_001)]
    wants = [
        (
            target,
            "7.00",
            [(memo.lines[number * 7 + line].id, target.lines[line].id, "1.00") for line in range(7)],
        )
        for number, target in enumerate(targets)
    ]

    after = within(5, settlement.apply, memo, targets, applying(memo, *wants), FIFO, a_stamp())
    back = within(5, settlement.unapply, after.memo, after.targets, unapplying(memo, *wants), None, FIFO, a_stamp())

    assert back.targets == tuple(targets)


def test_a_source_of_many_equal_taxes_is_no_trap(within: Callable[..., Any]) -> None:
    invoice = a_target(["1.00", *["0.01"] * 7_000])
    line = an_item(
        "1.00",
        *[a_tax("0.01")] * 7_000,
        source_item_type=ItemSourceType.INVOICE_DETAIL,
        source_item_id=invoice.lines[0].id,
    )
    memo = a_memo(line)
    command = applying(memo, (invoice, "71.00"), application_rule=ApplicationRule.SOURCE_ITEM)

    assert within(5, settlement.apply, memo, [invoice], command, FIFO, a_stamp()).memo.unapplied == 0


def test_the_widest_table_of_proration_is_filled_in_no_time(within: Callable[..., Any]) -> None:
    memo, invoice = a_memo(*["1.23"] * 100), a_target(*["4.56"] * 100)
    book = a_book(application_rule=ApplicationRule.PRORATION)

    command = applying(memo, (invoice, "99.99"))
    after = within(1, settlement.apply, memo, [invoice], command, book, a_stamp())

    assert after.rule is ApplicationRule.PRORATION
