"""Applying line by line as the request names them: pairs, signs, sums and caps (domain.md 1.11, 4.8, 7.33)."""

from dataclasses import replace
from decimal import Decimal

import pytest

from asking import Items, applying, refused, refused_for
from cm_graphql.domain import settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import InvoiceApplicationItem
from cm_graphql.domain.enums import ApplicationRule
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import CreditMemo, Target
from cm_graphql.domain.rulebook import RuleBook
from cm_graphql.domain.settlement import Application
from makers import a_book, a_memo, a_stamp, a_target, a_tax, an_item, units

FIFO = a_book(application_rule=ApplicationRule.FIFO)


def apply(memo: CreditMemo, target: Target, amount: str, items: Items, book: RuleBook = FIFO) -> Application:
    return settlement.apply(memo, [target], applying(memo, (target, amount, items)), book, a_stamp())


def line(document: CreditMemo | Target, index: int) -> str:
    return document.lines[index].id


def test_named_lines_are_settled_as_asked() -> None:
    memo, invoice = a_memo(an_item("30.00", a_tax("3.00"))), a_target("10.00", ("50.00", "5.00"))
    items = [(line(memo, 0), line(invoice, 1), "12.00"), (line(memo, 1), line(invoice, 2), "2.50")]

    after = apply(memo, invoice, "14.50", items)

    assert after.rule is ApplicationRule.EXPLICIT
    assert [line.applied for line in after.memo.lines] == [units("12.00"), units("2.50")]
    assert [line.balance for line in after.targets[0].lines] == [units("10.00"), units("38.00"), units("2.50")]


def test_the_same_pair_named_twice_is_one_item_part() -> None:
    memo, invoice = a_memo(), a_target()
    pair = (line(memo, 0), line(invoice, 0))

    after = apply(memo, invoice, "3.00", [(*pair, "1.00"), (*pair, "2.00")])

    part = after.memo.part_on(invoice.id)
    assert part is not None
    assert [item_part.amount for item_part in part.item_parts] == [units("3.00")]
    assert [ledger_line.amount for ledger_line in after.entries[0].lines] == [units("3.00")]


def test_items_that_net_to_zero_clear_negative_lines_and_leave_a_part_of_zero() -> None:
    memo, invoice = a_memo("50.00", "-50.00"), a_target("50.00", "-50.00")
    items = [(line(memo, 0), line(invoice, 0), "50.00"), (line(memo, 1), line(invoice, 1), "-50.00")]

    after = apply(memo, invoice, "0.00", items)

    part = after.memo.part_on(invoice.id)
    assert part is not None
    assert (part.amount, len(part.item_parts)) == (0, 2)
    assert after.memo.unapplied_part is None
    assert [line.balance for line in after.targets[0].lines] == [0, 0]
    assert after.entries[0].amount == 0


def test_ids_may_come_as_their_bare_digits() -> None:
    memo, invoice = a_memo(), a_target()
    command = applying(memo, (invoice, "1.00", [(line(memo, 0), line(invoice, 0), "1.00")]))
    item = InvoiceApplicationItem(
        amount=Decimal("1.00"),
        credit_memo_item_id=Key(line(memo, 0)[4:]),
        invoice_item_id=Key(line(invoice, 0)[4:]),
    )
    bare = replace(command, invoices=(replace(command.invoices[0], items=(item,)),))

    after = settlement.apply(memo, [invoice], bare, FIFO, a_stamp())

    assert after.memo.applied == units("1.00")


def test_targets_with_and_without_items_are_served_strictly_in_request_order() -> None:
    memo, one, two = a_memo("10.00", "5.00"), a_target("4.00"), a_target("9.00", number=2)
    late = (two, "9.00", [(line(memo, 0), line(two, 0), "9.00")])
    fitting = (two, "6.00", [(line(memo, 0), line(two, 0), "6.00")])

    after = settlement.apply(memo, [one, two], applying(memo, (one, "4.00"), fitting), FIFO, a_stamp())

    assert after.rule is ApplicationRule.FIFO, "not every target named its lines"
    assert [line.unapplied for line in after.memo.lines] == [0, units("5.00")]
    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, "invoices", 1, "items", 0, "amount", saying="has 6.00 unapplied"):
        settlement.apply(memo, [one, two], applying(memo, (one, "4.00"), late), FIFO, a_stamp())


def test_a_rule_after_explicit_items_uses_what_they_left() -> None:
    memo, one, two = a_memo("10.00", "5.00"), a_target("8.00"), a_target("7.00", number=2)
    named = (one, "8.00", [(line(memo, 0), line(one, 0), "8.00")])

    after = settlement.apply(memo, [one, two], applying(memo, named, (two, "7.00")), FIFO, a_stamp())

    part = after.memo.part_on(two.id)
    assert part is not None
    assert [item_part.amount for item_part in part.item_parts] == [units("2.00"), units("5.00")]


def test_items_add_up_to_their_amount() -> None:
    memo, invoice = a_memo(), a_target()

    with refused(ErrorCode.ITEMS_SUM_MISMATCH, "invoices", 0, "amount", saying="add up to 1.00, not to the amount 2"):
        apply(memo, invoice, "2.00", [(line(memo, 0), line(invoice, 0), "1.00")])
    with refused(ErrorCode.ITEMS_SUM_MISMATCH, "invoices", 0, "amount"):
        apply(memo, invoice, "2.00", [])
    with refused(ErrorCode.INVALID_VALUE, "invoices", 0, "amount"):
        apply(memo, invoice, "0.00", [])


def test_items_of_amounts_that_cannot_be_read_are_not_added_up() -> None:
    memo, invoice = a_memo(), a_target()

    with refused(ErrorCode.AMOUNT_PRECISION, "invoices", 0, "items", 0, "amount"):
        apply(memo, invoice, "2.00", [(line(memo, 0), line(invoice, 0), "1.005")])


def test_an_item_moves_something() -> None:
    memo, invoice = a_memo(), a_target()

    with refused(ErrorCode.INVALID_VALUE, "invoices", 0, "items", 0, "amount"):
        apply(memo, invoice, "0.00", [(line(memo, 0), line(invoice, 0), "0.00")])
    negative, discount = a_memo("1.00", "-1.00"), a_target("1.00", "-1.00")
    with refused(ErrorCode.INVALID_VALUE, "invoices", 0, "items", 0, "amount"):
        apply(negative, discount, "0.00", [(line(negative, 1), line(discount, 1), "0.00")])


@pytest.mark.parametrize("amounts", [("2.00", "-1.00"), ("-1.00", "2.00")])
def test_an_amount_has_the_sign_of_both_its_lines(amounts: tuple[str, str]) -> None:
    memo, invoice = a_memo("5.00", "-2.00"), a_target("5.00", "-2.00")
    first, second = amounts
    items = [(line(memo, 0), line(invoice, 0), first), (line(memo, 1), line(invoice, 0), second)]

    with refused_for(
        *(
            (ErrorCode.INVALID_VALUE, "invoices", 0, "items", index, "amount")
            for index in ([1] if first == "2.00" else [0, 1])
        )
    ):
        apply(memo, invoice, "1.00", items)


def test_an_item_names_one_line_on_each_side() -> None:
    memo, invoice = a_memo(an_item("5.00", a_tax("1.00"))), a_target(("5.00", "1.00"))
    amount = Decimal("1.00")
    source, tax, target = Key(line(memo, 0)), Key(line(memo, 1)), Key(line(invoice, 0))
    items = (
        InvoiceApplicationItem(amount=amount, invoice_item_id=target),
        InvoiceApplicationItem(
            amount=amount, credit_memo_item_id=source, credit_tax_item_id=tax, invoice_item_id=target
        ),
        InvoiceApplicationItem(amount=amount, credit_memo_item_id=source),
        InvoiceApplicationItem(amount=amount, credit_memo_item_id=source, invoice_item_id=target, tax_item_id=target),
    )
    command = applying(memo, (invoice, "4.00"))
    command = replace(command, invoices=(replace(command.invoices[0], items=items),))

    with refused_for(
        (ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 0, "credit_memo_item_id"),
        (ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 1, "credit_memo_item_id"),
        (ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 2, "invoice_item_id"),
        (ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 3, "invoice_item_id"),
    ):
        settlement.apply(memo, [invoice], command, FIFO, a_stamp())


def test_lines_belong_to_the_documents_they_are_named_under() -> None:
    memo, invoice = a_memo(), a_target(debit_memo=True)
    other_memo, other_invoice = a_memo(number=2), a_target(number=2, debit_memo=True)
    items = [(line(other_memo, 0), line(invoice, 0), "1.00"), (line(memo, 0), line(other_invoice, 0), "1.00")]

    with refused_for(
        (ErrorCode.ITEM_PAIR_INVALID, "debit_memos", 0, "items", 0, "credit_memo_item_id"),
        (ErrorCode.ITEM_PAIR_INVALID, "debit_memos", 0, "items", 1, "debit_memo_item_id"),
    ):
        apply(memo, invoice, "2.00", items)


def test_an_id_of_another_kind_is_not_found_under_a_field() -> None:
    memo, invoice = a_memo(an_item("5.00", a_tax("1.00"))), a_target()
    item = InvoiceApplicationItem(
        amount=Decimal("1.00"), credit_memo_item_id=Key(line(memo, 1)), invoice_item_id=Key(line(invoice, 0))
    )
    command = applying(memo, (invoice, "1.00"))
    command = replace(command, invoices=(replace(command.invoices[0], items=(item,)),))

    with refused(ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 0, "credit_memo_item_id", saying="not an item"):
        settlement.apply(memo, [invoice], command, FIFO, a_stamp())


def test_items_pair_with_items_and_taxes_with_taxes_unless_the_tenant_says_otherwise() -> None:
    memo, invoice = a_memo(an_item("5.00", a_tax("1.00"))), a_target(("5.00", "1.00"))
    items = [(line(memo, 0), line(invoice, 1), "1.00"), (line(memo, 1), line(invoice, 0), "1.00")]

    with refused_for(
        (ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 0, "tax_item_id"),
        (ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 1, "invoice_item_id"),
    ):
        apply(memo, invoice, "2.00", items)
    assert apply(memo, invoice, "2.00", items, a_book(allow_cross_pairs=True)).memo.applied == units("2.00")


def test_an_item_passes_neither_what_its_source_has_nor_what_its_target_owes() -> None:
    memo, invoice = a_memo("5.00", "5.00"), a_target("3.00", "9.00")

    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, "invoices", 0, "items", 0, "amount", saying="has 5.00 unapplied"):
        apply(memo, invoice, "6.00", [(line(memo, 0), line(invoice, 1), "6.00")])
    with refused(ErrorCode.AMOUNT_EXCEEDS_BALANCE, "invoices", 0, "items", 1, "amount", saying="a balance of 1.00"):
        items = [(line(memo, 0), line(invoice, 0), "2.00"), (line(memo, 1), line(invoice, 0), "2.00")]
        apply(memo, invoice, "4.00", items)


def test_a_negative_item_passes_neither_of_its_lines() -> None:
    memo, invoice = a_memo("5.00", "-1.00"), a_target("5.00", "-2.00")
    items = [(line(memo, 0), line(invoice, 0), "5.00"), (line(memo, 1), line(invoice, 1), "-2.00")]

    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, "invoices", 0, "items", 1, "amount", saying="has -1.00 unapplied"):
        apply(memo, invoice, "3.00", items)


def test_at_most_a_thousand_items_are_named_per_target() -> None:
    memo, invoice = a_memo("20.00"), a_target("20.00")
    items = [(line(memo, 0), line(invoice, 0), "0.01")] * 1_001

    assert apply(memo, invoice, "10.00", items[:-1]).memo.applied == units("10.00")
    with refused(ErrorCode.LIMIT_EXCEEDED, "invoices", 0, "items", saying="1001 items were given; at most 1000"):
        apply(memo, invoice, "10.01", items)
