"""Applying a memo by a rule: the worked examples of domain.md 4.4, parts and ledger, and each refusal of 1.11."""

from datetime import date
from decimal import Decimal

import pytest

from asking import applying, refused, refused_for
from cm_graphql.domain import settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import ApplyCreditMemo, ApplyCreditMemoAsync, InvoiceAmount
from cm_graphql.domain.enums import ApplicationRule, LedgerKind, MemoStatus
from cm_graphql.domain.errors import ErrorCode, Refusal
from cm_graphql.domain.records import CreditMemo, Part, Target
from cm_graphql.domain.requests import check_shape
from cm_graphql.domain.settlement import Application
from makers import CHF_CASH, JPY, NOW, TODAY, USD, a_book, a_memo, a_stamp, a_target, a_tax, an_item, units

FIFO = a_book(application_rule=ApplicationRule.FIFO)
PRORATION = a_book(application_rule=ApplicationRule.PRORATION)


def the_memo() -> CreditMemo:
    """The memo of the worked example: 30.00 with a tax of 3.00, and 20.00."""
    return a_memo(an_item("30.00", a_tax("3.00")), "20.00")


def the_invoice() -> Target:
    """The invoice of the worked example, with a balance of 78.33."""
    return a_target(("50.00", "5.00"), "33.33", "-10.00")


def part_on(memo: CreditMemo, target: Target) -> Part:
    part = memo.part_on(target.id)
    assert part is not None
    return part


def shown(memo: CreditMemo, target: Target, after: Application) -> list[tuple[int, int, str]]:
    """The item parts on a target as (credit line, target line, amount), lines counted from 0."""
    sources = [line.id for line in memo.lines]
    lines: list[str | None] = [line.id for line in target.lines]
    return [
        (sources.index(part.source_id), lines.index(part.target_id), USD.show(part.amount))
        for part in part_on(after.memo, target).item_parts
    ]


# --- what it does -----------------------------------------------------------------------------------------------------


def test_fifo_settles_the_worked_example_in_four_steps() -> None:
    memo, invoice = the_memo(), the_invoice()

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "53.00")), FIFO, a_stamp())

    assert shown(memo, invoice, after) == [(0, 0, "30.00"), (1, 0, "3.00"), (2, 0, "17.00"), (2, 1, "3.00")]
    assert (after.memo.applied, after.memo.unapplied) == (units("53.00"), 0)
    assert [part.target_id for part in after.memo.parts] == [invoice.id], "the unapplied part is gone"
    assert [USD.show(line.balance) for line in after.targets[0].lines] == ["0.00", "2.00", "33.33", "-10.00"]
    assert USD.show(after.targets[0].balance) == "25.33"
    assert after.rule is ApplicationRule.FIFO


def test_proration_settles_the_worked_example_cell_by_cell() -> None:
    memo, invoice = the_memo(), the_invoice()

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "40.00")), PRORATION, a_stamp())

    assert shown(memo, invoice, after) == [
        *((0, 0, "12.81"), (0, 1, "1.28"), (0, 2, "8.55")),
        *((1, 0, "1.28"), (1, 1, "0.13"), (1, 2, "0.85")),
        *((2, 0, "8.55"), (2, 1, "0.86"), (2, 2, "5.69")),
    ]
    assert [USD.show(line.unapplied) for line in after.memo.lines] == ["7.36", "0.74", "4.90"]
    assert [USD.show(part.amount) for part in after.memo.parts] == ["13.00", "40.00"]
    assert USD.show(after.targets[0].balance) == "38.33"
    assert after.rule is ApplicationRule.PRORATION


def test_the_ledger_tells_of_every_target_and_pair_of_lines() -> None:
    memo, first, second = the_memo(), a_target("20.00", number=1), a_target("20.00", number=2)
    command = applying(memo, (first, "20.00"), (second, "15.00"), effective_date=date(2026, 3, 20))

    after = settlement.apply(memo, [first, second], command, FIFO, a_stamp())

    one, two = after.entries
    assert [entry.target_id for entry in after.entries] == [first.id, second.id]
    assert [entry.amount for entry in after.entries] == [units("20.00"), units("15.00")]
    assert one.group_id == two.group_id == one.id, "both belong to one action"
    assert one.kind is LedgerKind.APPLY
    assert (one.memo_id, one.currency, one.by, one.at) == (memo.id, "USD", "usr_tester", NOW)
    assert one.effective_date == date(2026, 3, 20)
    assert [(line.source_id, line.target_id, line.amount) for line in two.lines] == [
        (memo.lines[0].id, second.lines[0].id, units("10.00")),
        (memo.lines[1].id, second.lines[0].id, units("3.00")),
        (memo.lines[2].id, second.lines[0].id, units("2.00")),
    ]


def test_targets_are_served_in_request_order_with_debit_memos_last() -> None:
    memo = a_memo("10.00", "20.00")
    debit_memo, second, first = a_target("12.00", debit_memo=True), a_target("9.00", number=2), a_target("9.00")
    command = applying(memo, (debit_memo, "12.00"), (second, "9.00"), (first, "9.00"))

    after = settlement.apply(memo, [second, first, debit_memo], command, FIFO, a_stamp())

    assert shown(memo, second, after) == [(0, 0, "9.00")]
    assert shown(memo, first, after) == [(0, 0, "1.00"), (1, 0, "8.00")]
    assert shown(memo, debit_memo, after) == [(1, 0, "12.00")]
    assert [target.balance for target in after.targets] == [0, 0, 0]


def test_applying_again_enlarges_the_part_and_its_item_parts() -> None:
    memo, invoice = the_memo(), the_invoice()
    once = settlement.apply(memo, [invoice], applying(memo, (invoice, "31.00")), FIFO, a_stamp())

    twice = settlement.apply(once.memo, once.targets, applying(memo, (invoice, "4.00")), FIFO, a_stamp())

    assert shown(memo, invoice, twice) == [(0, 0, "30.00"), (1, 0, "3.00"), (2, 0, "2.00")]
    before, after = part_on(once.memo, invoice), part_on(twice.memo, invoice)
    assert (before.id, before.item_parts[1].id) == (after.id, after.item_parts[1].id)
    assert [part.position for part in after.item_parts] == sorted(part.position for part in after.item_parts)


def test_lines_that_nothing_happened_to_stay_the_same_objects() -> None:
    memo, invoice = the_memo(), the_invoice()

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "10.00")), FIFO, a_stamp())

    assert after.memo.items[1] is memo.items[1]
    assert after.memo.items[0].taxation_items[0] is memo.items[0].taxation_items[0]
    assert after.targets[0].lines[1] is invoice.lines[1]
    assert (memo.unapplied_part, memo.applied) == (the_memo().unapplied_part, 0), "what was given is as it was"


def test_a_memo_without_tax_settles_the_tax_of_an_invoice_and_the_other_way_round() -> None:
    plain, taxed = a_target("10.00"), a_target(("0.00", "5.00"))
    untaxed_memo, tax_memo = a_memo("5.00"), a_memo(an_item("0.00", a_tax("5.00")))

    on_tax = settlement.apply(untaxed_memo, [taxed], applying(untaxed_memo, (taxed, "5.00")), FIFO, a_stamp())
    from_tax = settlement.apply(tax_memo, [plain], applying(tax_memo, (plain, "5.00")), FIFO, a_stamp())

    assert shown(untaxed_memo, taxed, on_tax) == [(0, 1, "5.00")]
    assert shown(tax_memo, plain, from_tax) == [(1, 0, "5.00")]


@pytest.mark.parametrize("book", [FIFO, PRORATION])
def test_negative_lines_are_skipped_and_the_header_caps_the_total(book: object) -> None:
    memo, invoice = a_memo("30.00", "-10.00"), a_target("25.00", "-5.00")
    assert isinstance(book, type(FIFO))

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "20.00")), book, a_stamp())

    assert shown(memo, invoice, after) == [(0, 0, "20.00")]
    assert after.memo.unapplied == 0
    assert after.memo.unapplied_part is not None, "lines that net to 0 stay open (4.2.4)"
    assert after.memo.unapplied_part.amount == 0


def test_proration_over_its_limit_falls_back_to_fifo_and_says_so() -> None:
    memo, invoice = a_memo("10.00", "10.00"), a_target("10.00", "10.00", "0.00")
    command = applying(memo, (invoice, "10.00"))

    within = settlement.apply(memo, [invoice], command, a_book(proration_limit=4), a_stamp())
    over = settlement.apply(memo, [invoice], command, a_book(proration_limit=3), a_stamp())

    assert within.rule is ApplicationRule.PRORATION
    assert over.rule is ApplicationRule.FIFO
    assert shown(memo, invoice, over) == [(0, 0, "10.00")]


def test_the_proration_limit_counts_open_lines_above_zero_only() -> None:
    memo, invoice = a_memo("10.00", "10.00", "-1.00", "0.00"), a_target("10.00", "10.00", "-1.00", "0.00")

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "10.00")), a_book(proration_limit=4), a_stamp())

    assert after.rule is ApplicationRule.PRORATION


def test_the_proration_limit_counts_the_lines_of_all_targets_that_name_none_themselves() -> None:
    memo, one, two = a_memo("10.00", "10.00"), a_target("10.00", number=1), a_target("10.00", number=2)
    both = applying(memo, (one, "5.00"), (two, "5.00"))
    explicit = applying(memo, (one, "5.00", [(memo.lines[0].id, one.lines[0].id, "5.00")]), (two, "5.00"))
    book = a_book(proration_limit=3)

    assert settlement.apply(memo, [one, two], both, book, a_stamp()).rule is ApplicationRule.FIFO
    assert settlement.apply(memo, [one, two], explicit, book, a_stamp()).rule is ApplicationRule.PRORATION


def test_each_prorated_target_takes_from_what_the_earlier_ones_left() -> None:
    memo, one, two = a_memo("10.00", "20.00"), a_target("15.00", number=1), a_target("15.00", number=2)

    after = settlement.apply(memo, [one, two], applying(memo, (one, "15.00"), (two, "15.00")), PRORATION, a_stamp())

    assert shown(memo, one, after) == [(0, 0, "5.00"), (1, 0, "10.00")]
    assert shown(memo, two, after) == [(0, 0, "5.00"), (1, 0, "10.00")]
    assert after.memo.unapplied == 0


def test_a_rounding_increment_is_the_step_of_proration_and_odd_cents_come_last() -> None:
    memo = a_memo("10.02", "20.00", currency=CHF_CASH)
    invoice = a_target("7.00", "30.00", currency="CHF")

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "15.00")), PRORATION, a_stamp())
    rest = settlement.apply(after.memo, after.targets, applying(memo, (invoice, "15.02")), PRORATION, a_stamp())

    amounts = [part.amount for part in part_on(after.memo, invoice).item_parts]
    assert all(amount % CHF_CASH.unit == 0 for amount in amounts)
    assert rest.memo.unapplied == 0
    assert USD.show(rest.targets[0].balance) == "6.98"


def test_a_currency_without_decimals_is_spread_in_whole_units() -> None:
    memo, invoice = a_memo(1000, 500, currency=JPY), a_target(700, 900, currency="JPY")

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "1001")), PRORATION, a_stamp())

    assert all(part.amount % 10_000 == 0 for part in part_on(after.memo, invoice).item_parts)
    assert after.memo.applied == units(1001)


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memo_date", "invoice_date", "expected"),
    [
        (date(2026, 3, 1), date(2026, 2, 1), TODAY),
        (date(2026, 4, 1), date(2026, 2, 1), date(2026, 4, 1)),
        (date(2026, 3, 1), date(2026, 5, 1), date(2026, 5, 1)),
    ],
)
def test_a_date_left_out_is_today_or_the_latest_date_of_a_document(
    memo_date: date, invoice_date: date, expected: date
) -> None:
    memo, invoice = a_memo(credit_memo_date=memo_date), a_target(document_date=invoice_date)

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "1.00")), FIFO, a_stamp())

    assert after.entries[0].effective_date == expected


def test_an_application_is_not_earlier_than_its_documents() -> None:
    memo = a_memo(credit_memo_date=date(2026, 3, 1))
    invoice = a_target(document_date=date(2026, 3, 5))

    with refused(ErrorCode.APPLY_DATE_TOO_EARLY, "effective_date", saying="2026-03-05, the date of invoice INV0000000"):
        command = applying(memo, (invoice, "1.00"), effective_date=date(2026, 3, 4))
        settlement.apply(memo, [invoice], command, FIFO, a_stamp())


def test_an_application_does_not_fall_into_a_closed_period() -> None:
    memo, invoice = a_memo(), a_target()
    book = a_book(closed=[(date(2026, 3, 1), date(2026, 3, 31))])

    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date", saying="P1"):
        settlement.apply(memo, [invoice], applying(memo, (invoice, "1.00")), book, a_stamp())


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [status for status in MemoStatus if status is not MemoStatus.POSTED])
def test_only_a_posted_memo_is_applied(status: MemoStatus) -> None:
    memo, invoice = a_memo(status=status), a_target()

    with refused(ErrorCode.INVALID_STATUS, saying=f"CM00000001 is {status.spelled}: only a Posted credit memo"):
        settlement.apply(memo, [invoice], applying(memo, (invoice, "1.00")), FIFO, a_stamp())


def test_only_a_posted_target_of_the_same_account_and_currency_is_applied_to() -> None:
    memo = a_memo()
    draft, debit_memo = a_target(status=MemoStatus.DRAFT), a_target(debit_memo=True, account_id="acc_2")
    euros = a_target(currency="EUR")

    with refused(ErrorCode.INVALID_STATUS, "invoices", 0, saying="Invoice INV00000001 is Draft"):
        settlement.apply(memo, [draft], applying(memo, (draft, "1.00")), FIFO, a_stamp())
    with refused(ErrorCode.ACCOUNT_MISMATCH, "debit_memos", 0, saying="Debit memo DM00000001 belongs to account acc_2"):
        settlement.apply(memo, [debit_memo], applying(memo, (debit_memo, "1.00")), FIFO, a_stamp())
    with refused(ErrorCode.CURRENCY_MISMATCH, "invoices", 0, saying="is in EUR, credit memo CM00000001 in USD"):
        settlement.apply(memo, [euros], applying(memo, (euros, "1.00")), FIFO, a_stamp())


def test_nothing_to_apply_to_is_refused() -> None:
    memo = a_memo()

    with refused(ErrorCode.NO_TARGET, "invoices"):
        settlement.apply(memo, [], applying(memo), FIFO, a_stamp())


def test_all_faults_of_shape_are_told_together() -> None:
    memo, invoice, other = a_memo(), a_target(), a_target(number=2)
    command = ApplyCreditMemo(
        key=Key(memo.id),
        invoices=applying(memo, (invoice, "0"), (other, "1.005"), (invoice, "-1")).invoices,
        application_rule=ApplicationRule.FIFO,
    )

    with refused_for(
        (ErrorCode.INVALID_VALUE, "invoices", 0, "amount"),
        (ErrorCode.AMOUNT_PRECISION, "invoices", 1, "amount"),
        (ErrorCode.INVALID_VALUE, "invoices", 2, "amount"),
        (ErrorCode.DUPLICATE_TARGET, "invoices", 2),
        (ErrorCode.INVALID_VALUE, "application_rule"),
    ):
        settlement.apply(memo, [invoice, other, invoice], command, FIFO, a_stamp())


def test_an_amount_of_too_many_digits_is_refused() -> None:
    memo, invoice = a_memo(), a_target()

    with refused(ErrorCode.INVALID_VALUE, "invoices", 0, "amount", saying="13 integer digits"):
        settlement.apply(memo, [invoice], applying(memo, (invoice, "1" + "0" * 13)), FIFO, a_stamp())


def test_more_than_is_unapplied_cannot_be_applied_in_all() -> None:
    memo, one, two = a_memo("10.00"), a_target("9.00"), a_target("9.00", number=2)

    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, "invoices", 1, "amount", saying="has 10.00 unapplied: 5.00 for"):
        settlement.apply(memo, [one, two], applying(memo, (one, "6.00"), (two, "5.00")), FIFO, a_stamp())


def test_more_than_a_target_owes_cannot_be_applied_to_it() -> None:
    memo, debit_memo = a_memo("10.00"), a_target("8.00", "-1.00", debit_memo=True)

    with refused(
        ErrorCode.AMOUNT_EXCEEDS_BALANCE, "debit_memos", 0, "amount", saying="Debit memo DM00000001 has a balance of 7"
    ):
        settlement.apply(memo, [debit_memo], applying(memo, (debit_memo, "8.00")), FIFO, a_stamp())


def test_classes_of_refusals_come_in_their_order() -> None:
    draft, invoice = a_memo("1.00", status=MemoStatus.DRAFT), a_target(document_date=date(2027, 1, 1))
    posted = a_memo("1.00")
    early = date(2020, 1, 1)

    def code(memo: CreditMemo, amount: str, day: date | None) -> ErrorCode:
        command = applying(memo, (invoice, amount), effective_date=day)
        with pytest.raises(Refusal) as caught:
            settlement.apply(memo, [invoice], command, FIFO, a_stamp())
        return caught.value.faults[0].code

    assert code(draft, "9.999", early) is ErrorCode.AMOUNT_PRECISION
    assert code(draft, "9.99", early) is ErrorCode.INVALID_STATUS
    assert code(posted, "9.99", early) is ErrorCode.APPLY_DATE_TOO_EARLY
    assert code(posted, "9.99", None) is ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED


def test_what_needs_no_input_can_be_asked_alone() -> None:
    used = a_memo(an_item("5.00", refunded=units("5.00")))

    settlement.check_apply(a_memo())
    settlement.check_anything_to_apply(a_memo("5.00", "-5.00"))
    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, saying="nothing unapplied"):
        settlement.check_anything_to_apply(used)


# --- limits and jobs --------------------------------------------------------------------------------------------------


def test_a_request_names_at_most_a_thousand_targets_of_each_kind() -> None:
    memo = a_memo("2000.00")
    targets = [a_target(number=number) for number in range(1, 1002)]
    command = applying(memo, *((target, "0.01") for target in targets))

    with refused(ErrorCode.LIMIT_EXCEEDED, "invoices", saying="1001 invoices were given; at most 1000"):
        settlement.apply(memo, targets, command, FIFO, a_stamp())

    after = settlement.apply(memo, targets[1:], applying(memo, *((t, "0.01") for t in targets[1:])), FIFO, a_stamp())
    assert after.memo.applied == units("10.00")


def test_lines_of_zero_do_not_count_toward_the_limit_of_lines() -> None:
    memo = a_memo(*["0.01"] * 1_000, "0.00")
    within, over = a_target(*["0.01"] * 14_000, "0.00"), a_target(*["0.01"] * 14_001)

    settlement.apply(memo, [within], applying(memo, (within, "1.00")), FIFO, a_stamp())
    with refused(ErrorCode.LIMIT_EXCEEDED, saying="15001 lines take part"):
        settlement.apply(memo, [over], applying(memo, (over, "1.00")), FIFO, a_stamp())


def test_explicit_items_count_only_the_lines_they_name() -> None:
    memo, invoice = a_memo(*["0.01"] * 1_000), a_target(*["0.01"] * 15_000)
    item = (memo.lines[999].id, invoice.lines[14_999].id, "0.01")

    after = settlement.apply(memo, [invoice], applying(memo, (invoice, "0.01", [item])), FIFO, a_stamp())

    assert after.targets[0].lines[-1].balance == 0


def test_a_job_applies_more_lines_than_a_request_and_the_same_way() -> None:
    memo, invoice = a_memo(*["0.01"] * 1_000), a_target(*["0.01"] * 14_001)
    command = ApplyCreditMemoAsync(
        key=Key(memo.id), invoices=(InvoiceAmount(invoice_key=Key(invoice.id), amount=Decimal("10.00")),)
    )

    after = settlement.apply(memo, [invoice], command, FIFO, a_stamp())

    assert after.rule is ApplicationRule.FIFO
    assert after.memo.unapplied == 0


def test_a_job_can_be_asked_its_shape_before_any_line_is_loaded() -> None:
    memo = a_memo()
    want = InvoiceAmount(invoice_key=Key("INV1"), amount=Decimal("1.00"))
    command = ApplyCreditMemoAsync(key=Key(memo.id), invoices=(want, want))

    check_shape(command, USD, ["inv_1", "inv_2"])
    with refused(ErrorCode.DUPLICATE_TARGET, "invoices", 1, saying="invoices/1 is the same document as invoices/0"):
        check_shape(command, USD, ["inv_1", "inv_1"])
    with refused(ErrorCode.NO_TARGET, "invoices"):
        check_shape(ApplyCreditMemoAsync(key=Key(memo.id)), USD, [])
