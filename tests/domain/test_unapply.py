"""Taking a memo off its targets again: first applied, first released (domain.md 1.25, 4.4, 7.32)."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from asking import Want, applying, refused, refused_for, unapplying
from cm_graphql.domain import lifecycle, settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import ReverseCreditMemo
from cm_graphql.domain.commands.settlement import InvoiceAmount, UnapplyCreditMemoAsync
from cm_graphql.domain.enums import ApplicationRule, LedgerKind, MemoStatus
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import CreditMemo, Target
from cm_graphql.domain.rulebook import RuleBook
from cm_graphql.domain.settlement import Application
from makers import TODAY, USD, a_book, a_memo, a_stamp, a_target, a_tax, an_item, units

BOOK = a_book(application_rule=ApplicationRule.FIFO)
STAMP = a_stamp()


def applied(memo: CreditMemo, *wants: Want) -> Application:
    return settlement.apply(memo, [want[0] for want in wants], applying(memo, *wants), BOOK, STAMP)


def unapply(state: Application, *wants: Want, floor: date | None = None, book: RuleBook = BOOK) -> Application:
    targets = [want[0] for want in wants] or state.targets
    return settlement.unapply(state.memo, targets, unapplying(state.memo, *wants), floor, book, STAMP)


def amounts(memo: CreditMemo, target: Target) -> list[str]:
    part = memo.part_on(target.id)
    return [USD.show(item_part.amount) for item_part in part.item_parts] if part else []


def the_application() -> Application:
    """The FIFO example of domain.md 4.4: item parts of 30.00, 3.00, 17.00 and 3.00."""
    memo = a_memo(an_item("30.00", a_tax("3.00")), "20.00")
    return applied(memo, (a_target(("50.00", "5.00"), "33.33", "-10.00"), "53.00"))


# --- what it does -----------------------------------------------------------------------------------------------------


def test_the_worked_example_releases_what_was_applied_first() -> None:
    state = the_application()

    after = unapply(state, (state.targets[0], "10.00"))

    assert amounts(after.memo, state.targets[0]) == ["20.00", "3.00", "17.00", "3.00"]
    assert after.memo.lines[0].unapplied == units("10.00")
    assert after.targets[0].lines[0].balance == units("10.00")
    assert after.memo.unapplied_part is not None
    assert after.memo.unapplied_part.amount == units("10.00")
    assert after.rule is ApplicationRule.FIFO


def test_unapplying_without_targets_takes_everything_back() -> None:
    memo, one, two = a_memo("10.00", "5.00"), a_target("9.00"), a_target("6.00", debit_memo=True)
    state = applied(memo, (one, "9.00"), (two, "6.00"))

    after = unapply(state)

    assert after.targets == (one, two)
    assert [part.target_id for part in after.memo.parts] == [None]
    assert [line.unapplied for line in after.memo.lines] == [units("10.00"), units("5.00")]
    assert [entry.amount for entry in after.entries] == [units("9.00"), units("6.00")]


def test_the_ledger_tells_what_went_back() -> None:
    state = the_application()

    after = unapply(state, (state.targets[0], "31.00"))

    (entry,) = after.entries
    assert (entry.kind, entry.amount, entry.target_id) == (LedgerKind.UNAPPLY, units("31.00"), state.targets[0].id)
    assert [line.amount for line in entry.lines] == [units("30.00"), units("1.00")]


def test_merged_item_parts_keep_their_first_place() -> None:
    memo, invoice = a_memo("10.00", "10.00"), a_target("20.00")
    first = applied(memo, (invoice, "12.00"))
    source = memo.lines[1].id
    second = settlement.apply(
        first.memo,
        first.targets,
        applying(memo, (invoice, "8.00", [(source, invoice.lines[0].id, "8.00")])),
        BOOK,
        STAMP,
    )
    assert amounts(second.memo, invoice) == ["10.00", "10.00"]

    after = unapply(second, (second.targets[0], "15.00"))

    assert amounts(after.memo, invoice) == ["5.00"]
    assert [line.unapplied for line in after.memo.lines] == [units("10.00"), units("5.00")]


def test_an_item_part_that_was_released_and_applied_again_is_the_newest() -> None:
    memo, invoice = a_memo("10.00", "10.00"), a_target("20.00")
    both = applied(memo, (invoice, "20.00"))
    one = unapply(both, (both.targets[0], "10.00"))
    again = settlement.apply(one.memo, one.targets, applying(memo, (invoice, "10.00")), BOOK, STAMP)

    after = unapply(again, (again.targets[0], "10.00"))

    assert [line.applied for line in after.memo.lines] == [units("10.00"), 0], "the second line's came first by now"


def test_a_part_of_the_amount_releases_positive_item_parts_only() -> None:
    state = _with_negative_parts()

    after = unapply(state, (state.targets[0], "30.00"))

    assert amounts(after.memo, state.targets[0]) == ["20.00", "-10.00"]


def test_the_whole_amount_releases_negative_item_parts_too() -> None:
    state = _with_negative_parts()

    after = unapply(state, (state.targets[0], "40.00"))

    assert amounts(after.memo, state.targets[0]) == []
    assert [line.unapplied for line in after.memo.lines] == [units("50.00"), units("-10.00")]


def test_a_part_that_nets_to_zero_is_released_with_everything() -> None:
    memo, invoice = a_memo("10.00", "-10.00"), a_target("10.00", "-10.00")
    pairs = [(memo.lines[0].id, invoice.lines[0].id, "10.00"), (memo.lines[1].id, invoice.lines[1].id, "-10.00")]
    state = applied(memo, (invoice, "0.00", pairs))

    after = unapply(state)

    assert after.targets == (invoice,)
    assert after.entries[0].amount == 0
    assert len(after.entries[0].lines) == 2


def _with_negative_parts() -> Application:
    memo, invoice = a_memo("50.00", "-10.00"), a_target("50.00", "-10.00")
    pairs = [(memo.lines[0].id, invoice.lines[0].id, "50.00"), (memo.lines[1].id, invoice.lines[1].id, "-10.00")]
    return applied(memo, (invoice, "40.00", pairs))


def test_named_lines_are_released_as_asked() -> None:
    state = _with_negative_parts()
    memo, invoice = state.memo, state.targets[0]
    pairs = [(memo.lines[0].id, invoice.lines[0].id, "15.00"), (memo.lines[1].id, invoice.lines[1].id, "-10.00")]

    after = unapply(state, (invoice, "5.00", pairs))

    assert after.rule is ApplicationRule.EXPLICIT
    assert amounts(after.memo, invoice) == ["35.00"]
    assert [line.balance for line in after.targets[0].lines] == [units("15.00"), units("-10.00")]


def test_a_job_takes_invoices_back_and_leaves_debit_memos() -> None:
    memo, one, two = a_memo("15.00"), a_target("9.00"), a_target("6.00", debit_memo=True)
    state = applied(memo, (one, "9.00"), (two, "6.00"))
    command = UnapplyCreditMemoAsync(key=Key(memo.id))

    after = settlement.unapply(state.memo, state.targets[:1], command, None, BOOK, STAMP)

    assert after.memo.applied == units("6.00")
    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, saying="applied to debit memos only"):
        settlement.unapply(after.memo, [], command, None, BOOK, STAMP)
    want = InvoiceAmount(invoice_key=Key(one.id), amount=Decimal("9.01"))
    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, "invoices", 0, "amount"):
        settlement.unapply(state.memo, state.targets[:1], replace(command, invoices=(want,)), None, BOOK, STAMP)


# --- dates ------------------------------------------------------------------------------------------------------------


def test_a_date_left_out_is_the_floor_itself() -> None:
    state = the_application()

    assert unapply(state, floor=date(2026, 3, 9)).entries[0].effective_date == date(2026, 3, 9)
    assert unapply(state, floor=None).entries[0].effective_date == date(2026, 3, 1), "nothing before the memo"


def test_a_date_left_out_is_today_when_the_floor_is_closed_by_now() -> None:
    state = the_application()
    closed = a_book(closed=[(date(2026, 3, 1), date(2026, 3, 10))])

    assert unapply(state, floor=date(2026, 3, 9), book=closed).entries[0].effective_date == TODAY
    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date"):
        unapply(state, floor=date(2026, 3, 9), book=a_book(closed=[(date(2026, 3, 1), date(2026, 3, 31))]))


def test_an_unapplication_is_not_earlier_than_what_it_undoes() -> None:
    state = the_application()
    command = unapplying(state.memo, effective_date=date(2026, 3, 8))

    with refused(ErrorCode.UNAPPLY_DATE_TOO_EARLY, "effective_date", saying="on or after 2026-03-09"):
        settlement.unapply(state.memo, state.targets, command, date(2026, 3, 9), BOOK, STAMP)


def test_a_closed_floor_that_is_still_to_come_is_told_as_closed() -> None:
    state = the_application()
    ahead = TODAY + timedelta(days=10)

    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date", saying=str(ahead)):
        unapply(state, floor=ahead, book=a_book(closed=[(ahead, ahead)]))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [MemoStatus.DRAFT, MemoStatus.CANCELED])
def test_only_a_posted_memo_is_unapplied(status: MemoStatus) -> None:
    memo = a_memo(status=status)

    with refused(ErrorCode.INVALID_STATUS, saying="only a Posted credit memo can be unapplied"):
        settlement.unapply(memo, [], unapplying(memo), None, BOOK, STAMP)


def test_a_reversed_memo_stays_applied() -> None:
    memo = a_memo()
    reversal = lifecycle.reverse(memo, ReverseCreditMemo(key=Key(memo.id)), 30, "DM1", BOOK, STAMP)

    with refused(ErrorCode.ALREADY_REVERSED):
        settlement.unapply(reversal.memo, [reversal.debit_memo.target], unapplying(memo), None, BOOK, STAMP)


def test_there_must_be_something_to_unapply() -> None:
    memo, invoice, state = a_memo(), a_target(number=2), the_application()

    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, saying="applied to nothing"):
        settlement.unapply(memo, [], unapplying(memo), None, BOOK, STAMP)
    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, "invoices", 0, "amount", saying="has 0.00 applied to invoice"):
        unapply(state, (invoice, "1.00"))
    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, saying="applied to nothing"):
        settlement.check_anything_to_unapply(memo)
    settlement.check_anything_to_unapply(the_application().memo)


def test_more_than_was_applied_cannot_be_unapplied() -> None:
    state = the_application()

    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, "invoices", 0, "amount", saying="53.00 applied to invoice INV"):
        unapply(state, (state.targets[0], "53.01"))


def test_named_lines_release_no_more_than_lies_between_them() -> None:
    state = the_application()
    memo, invoice = state.memo, state.targets[0]
    first, second = memo.lines[0].id, memo.lines[2].id
    onto = invoice.lines[0].id

    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, "invoices", 0, "items", 1, "amount", saying="has 17.00 applied"):
        unapply(state, (invoice, "18.00", [(first, onto, "0.50"), (second, onto, "17.50")]))
    with refused(ErrorCode.AMOUNT_EXCEEDS_APPLIED, "invoices", 0, "items", 0, "amount", saying="has 0.00 applied"):
        unapply(state, (invoice, "1.00", [(first, invoice.lines[2].id, "1.00")]))


def test_named_lines_pair_like_with_like_as_in_apply() -> None:
    state = the_application()
    memo, invoice = state.memo, state.targets[0]
    crossed = [(memo.lines[1].id, invoice.lines[0].id, "3.00")]

    with refused(ErrorCode.ITEM_PAIR_INVALID, "invoices", 0, "items", 0, "invoice_item_id"):
        unapply(state, (invoice, "3.00", crossed))
    after = unapply(state, (invoice, "3.00", crossed), book=a_book(allow_cross_pairs=True))
    assert after.memo.lines[1].unapplied == units("3.00")


def test_amounts_are_checked_as_in_apply() -> None:
    state = the_application()
    invoice = state.targets[0]

    with refused_for(
        (ErrorCode.INVALID_VALUE, "invoices", 0, "amount"),
        (ErrorCode.AMOUNT_PRECISION, "invoices", 1, "amount"),
        (ErrorCode.DUPLICATE_TARGET, "invoices", 1),
    ):
        unapply(state, (invoice, "0"), (invoice, "0.001"))
