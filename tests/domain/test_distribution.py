"""Spreading amounts over lines: the worked tables of domain.md 4.4, and what holds for every amount."""

from hypothesis import given
from hypothesis import strategies as st

from cm_graphql.domain.distribution import Move, Purse, corner, fifo, first_out, matrix, proration
from cm_graphql.domain.money import split


def _cents(*amounts: str) -> list[int]:
    return [int(amount.replace(".", "")) * 100 for amount in amounts]


CREDITS = _cents("30.00", "3.00", "20.00")
DEBTS = _cents("50.00", "5.00", "33.33", "-10.00")


def test_fifo_moves_the_smallest_of_amount_credit_and_debt_step_by_step() -> None:
    assert fifo(Purse(CREDITS), DEBTS, 53_0000) == [
        Move(0, 0, 30_0000),
        Move(1, 0, 3_0000),
        Move(2, 0, 17_0000),
        Move(2, 1, 3_0000),
    ]


def test_fifo_stops_in_the_middle_of_a_line_when_the_amount_is_spent() -> None:
    assert fifo(Purse(CREDITS), DEBTS, 31_0000) == [Move(0, 0, 30_0000), Move(1, 0, 1_0000)]


def test_fifo_skips_lines_at_or_below_zero_on_both_sides() -> None:
    assert fifo(Purse([0, -5, 7]), [-3, 0, 9], 7) == [Move(2, 2, 7)]


def test_fifo_places_what_it_can_when_there_is_too_little() -> None:
    assert fifo(Purse([5]), [9], 7) == [Move(0, 0, 5)]
    assert fifo(Purse([9]), [5], 7) == [Move(0, 0, 5)]


def test_a_purse_goes_on_where_the_last_target_stopped() -> None:
    purse = Purse([5, 5, 5])

    fifo(purse, [7], 7)

    assert fifo(purse, [9], 8) == [Move(1, 0, 3), Move(2, 0, 5)]


def test_a_purse_knows_what_was_taken_besides() -> None:
    purse = Purse([5, 5, 5])
    purse.take([Move(0, 0, 5), Move(1, 0, 1)])

    assert purse.positive() == [1, 2]
    assert fifo(purse, [9], 5) == [Move(1, 0, 4), Move(2, 0, 1)]


def test_row_and_column_totals_are_those_of_the_worked_example() -> None:
    assert split(40_0000, CREDITS, 100) == _cents("22.64", "2.26", "15.10")
    assert split(40_0000, DEBTS[:3], 100) == _cents("22.64", "2.27", "15.09")


def test_proration_fills_the_table_of_the_worked_example_cell_by_cell() -> None:
    moves = proration(Purse(CREDITS), DEBTS, 40_0000, 100)

    table = {(move.source, move.target): move.amount for move in moves}
    assert table == dict(
        zip(
            [(i, j) for i in range(3) for j in range(3)],
            _cents("12.81", "1.28", "8.55", "1.28", "0.13", "0.85", "8.55", "0.86", "5.69"),
            strict=True,
        )
    )


def test_proration_places_nothing_when_there_is_too_little() -> None:
    assert proration(Purse([5]), [9], 7, 1) == []
    assert proration(Purse([9]), [5], 7, 1) == []


def test_a_table_of_nothing_is_empty() -> None:
    assert matrix([0, 0], [0], 100) == []
    assert list(corner([], [])) == []


def test_what_a_rounding_increment_leaves_is_settled_by_exact_cents() -> None:
    # Steps of 0.05: 0.07 is one step and two cents more, which go where the next step would have gone.
    assert split(700, [500, 500, 500], 500) == [500, 200, 0]
    assert matrix([700], [500, 200], 500) == [Move(0, 0, 500), Move(0, 1, 200)]


def test_leftover_steps_go_by_descending_fraction_then_row_then_column() -> None:
    # Every raw cell is 0.5: the two steps go to the first row that has room, and to the first column.
    assert matrix([1, 1], [1, 1], 1) == [Move(0, 0, 1), Move(1, 1, 1)]


def test_first_out_takes_each_positive_amount_in_full_before_the_next() -> None:
    assert first_out([3, -2, 0, 4, 5], 6) == [(0, 3), (3, 3)]
    assert first_out([3], 0) == []


amounts = st.lists(st.integers(-2_000, 5_000), min_size=1, max_size=12)
units = st.sampled_from([1, 5, 100, 500])


@st.composite
def payable(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Credits, debts, and a total that both have room for."""
    credits, debts = draw(amounts), draw(amounts)
    room = min(sum(c for c in credits if c > 0), sum(d for d in debts if d > 0))
    return credits, debts, draw(st.integers(0, room))


def _check(moves: list[Move], credits: list[int], debts: list[int], total: int) -> None:
    assert sum(move.amount for move in moves) == total
    assert all(move.amount > 0 for move in moves), "no line gets a part of 0"
    assert len({(move.source, move.target) for move in moves}) == len(moves), "a pair moves once"
    for index, credit in enumerate(credits):
        assert sum(move.amount for move in moves if move.source == index) <= max(credit, 0)
    for index, debt in enumerate(debts):
        assert sum(move.amount for move in moves if move.target == index) <= max(debt, 0)


@given(payable())
def test_fifo_places_exactly_the_total_and_passes_no_line(case: tuple[list[int], list[int], int]) -> None:
    credits, debts, total = case
    purse = Purse(credits)

    moves = fifo(purse, debts, total)

    _check(moves, credits, debts, total)
    assert [c - sum(m.amount for m in moves if m.source == i) for i, c in enumerate(credits)] == purse.amounts
    assert moves == sorted(moves, key=lambda move: (move.source, move.target))


@given(payable(), units)
def test_proration_places_exactly_the_total_and_passes_no_line(
    case: tuple[list[int], list[int], int], unit: int
) -> None:
    credits, debts, total = case

    moves = proration(Purse(credits), debts, total, unit) if total else []

    _check(moves, credits, debts, total)
    assert moves == (proration(Purse(credits), debts, total, unit) if total else []), "the same again"


@given(payable())
def test_proration_gives_every_line_its_share_to_the_cent(case: tuple[list[int], list[int], int]) -> None:
    credits, debts, total = case
    given_up = sum(c for c in credits if c > 0)
    owed = sum(d for d in debts if d > 0)

    for move in proration(Purse(credits), debts, total, 1) if total else []:
        exact = credits[move.source] * debts[move.target] * total / (given_up * owed)
        assert abs(move.amount - exact) < 3, "rows, columns and cells are each rounded by less than one"


@given(st.lists(st.integers(0, 9_999), min_size=1, max_size=20), st.data(), units)
def test_shares_add_up_and_none_passes_its_weight(weights: list[int], data: st.DataObject, unit: int) -> None:
    if sum(weights) == 0:
        weights[0] = 1
    total = data.draw(st.integers(0, sum(weights)))

    shares = split(total, weights, unit)

    assert sum(shares) == total
    assert all(0 <= share <= weight for share, weight in zip(shares, weights, strict=True))
    odd = [share for share, weight in zip(shares, weights, strict=True) if share % unit and share != weight]
    assert len(odd) <= 1, "only one share breaks the increment, besides those that a whole balance goes to"


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8), st.data())
def test_a_corner_meets_both_totals(rows: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, sum(rows)), max_size=6)))
    columns = [end - start for start, end in zip([0, *cuts], [*cuts, sum(rows)], strict=True)]

    moves = list(corner(rows, columns))

    assert [sum(m.amount for m in moves if m.source == i) for i in range(len(rows))] == rows
    assert [sum(m.amount for m in moves if m.target == j) for j in range(len(columns))] == columns
    assert len(moves) < len(rows) + len(columns)


@given(st.lists(st.integers(-50, 50), max_size=10), st.integers(0, 100))
def test_first_out_takes_in_order_and_only_what_is_there(held: list[int], total: int) -> None:
    taken = first_out(held, total)

    assert sum(amount for _, amount in taken) == min(total, sum(h for h in held if h > 0))
    assert all(amount == held[index] for index, amount in taken[:-1])
