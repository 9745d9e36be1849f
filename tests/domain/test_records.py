"""What cannot be is not made: records refuse to exist in a state that domain.md 4.2 rules out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cm_graphql.domain import movement
from cm_graphql.domain.enums import MemoStatus
from cm_graphql.domain.records import CreditMemo, ItemPart, Part
from makers import a_memo, a_stamp, a_target, a_tax, an_item, units

MEMO = a_memo(an_item("10.00", a_tax("1.00")), "-4.00")
TARGET = a_target(("10.00", "1.00"), "-4.00")
(UNAPPLIED,) = MEMO.parts
FIRST, *OTHERS = UNAPPLIED.item_parts


def without_parts(memo: CreditMemo) -> CreditMemo:
    return replace(memo, parts=())


def with_inside(*item_parts: ItemPart) -> Callable[[CreditMemo], CreditMemo]:
    return lambda memo: replace(memo, parts=(UNAPPLIED._replace(item_parts=item_parts),))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(without_parts, id="open lines without an unapplied part"),
        pytest.param(with_inside(), id="a part without item parts"),
        pytest.param(with_inside(*OTHERS), id="a line of which no item part tells"),
        pytest.param(with_inside(FIRST._replace(amount=FIRST.amount - 1), *OTHERS), id="a cent less than is open"),
        pytest.param(
            with_inside(FIRST._replace(amount=FIRST.amount - 1), *OTHERS, FIRST._replace(id="cip_9", amount=1)),
            id="two item parts of what a line has unapplied",
        ),
        pytest.param(with_inside(FIRST, *OTHERS, FIRST._replace(amount=0)), id="an item part at zero"),
        pytest.param(with_inside(FIRST, *OTHERS, FIRST._replace(source_id="cmi_9")), id="money of another memo's line"),
        pytest.param(
            with_inside(FIRST._replace(target_id="ini_1"), *OTHERS), id="an unapplied item part on a target's line"
        ),
        pytest.param(
            lambda memo: replace(memo, parts=(UNAPPLIED._replace(target_id=TARGET.id),)),
            id="applied item parts on no line",
        ),
        pytest.param(
            lambda memo: replace(
                memo, parts=(Part("cmp_1", None, (FIRST, OTHERS[1])), Part("cmp_2", None, (OTHERS[0],)))
            ),
            id="two parts on the same",
        ),
        pytest.param(lambda memo: replace(memo, status=MemoStatus.CANCELED), id="parts of a memo that is not posted"),
        pytest.param(lambda memo: memo.moved(memo.items, ()), id="parts that a movement of money lost"),
    ],
)
def test_a_memo_whose_parts_do_not_say_what_its_lines_say_cannot_exist(
    change: Callable[[CreditMemo], CreditMemo],
) -> None:
    with pytest.raises(AssertionError):
        change(MEMO)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (0, {"credited": units("10.01")}),
        (0, {"credited": units("6.00"), "paid": units("4.01")}),
        (0, {"credited": -1}),
        (1, {"credited": units("1.01")}),
        (2, {"credited": units("-4.01")}),
        (2, {"credited": 1, "paid": -1}),
    ],
)
def test_a_target_of_which_a_line_got_more_than_its_worth_or_against_its_sign_cannot_exist(
    line: int, fields: dict[str, Any]
) -> None:
    lines = list(TARGET.lines)
    lines[line] = lines[line]._replace(**fields)

    with pytest.raises(AssertionError):
        TARGET.with_lines(tuple(lines))


@pytest.mark.parametrize("used", [{"applied": units("1.01")}, {"applied": -1}, {"refunded": -1}])
def test_a_line_of_which_more_was_used_than_its_worth_or_against_its_sign_cannot_exist(used: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        a_memo(an_item("10.00", a_tax("1.00", **used)))


def test_what_follows_from_lines_is_derived_anew_when_money_moves() -> None:
    pair = (MEMO.lines[1].id, TARGET.lines[1].id)

    memo = movement.place(MEMO, [(TARGET.id, {pair: units("1.00")})], a_stamp())
    target = movement.credit(TARGET, {pair: units("1.00")})

    assert (memo.applied, memo.unapplied, memo.amount) == (units("1.00"), units("6.00"), units("7.00"))
    assert memo.open_amounts == (units("10.00"), 0, units("-4.00"))
    assert (memo.is_used, MEMO.is_used) == (True, False)
    assert memo.at_version(9) == replace(memo, version=9)
    assert (target.credited, target.balance, target.balances) == (
        units("1.00"),
        units("6.00"),
        (units("10.00"), 0, units("-4.00")),
    )
    assert (TARGET.credited, TARGET.balance) == (0, units("7.00"))
