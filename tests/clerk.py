"""The spreads of domain.md 4.4 and 4.5 once more, as a clerk does them on paper: with exact fractions, line by line.

Written from the text of the rules, for comparison with the code, of which it uses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Cells = dict[tuple[int, int], int]
"""What moves from each credit line to each target line, both by their place."""


def fifo(credits: Sequence[int], debts: Sequence[int], total: int) -> Cells:
    """Lay both sides out along one rule: where a stretch of credit lies beside one of debt, so much moves."""
    cells: Cells = {}
    columns = _stretches(debts)
    first = 0
    for row, (start, end) in _stretches(credits):
        while first < len(columns) and columns[first][1][1] <= start:
            first += 1  # lies before this row, and so before all that follow
        for column, (begin, stop) in columns[first:]:
            if begin >= min(end, total):
                break
            cells[row, column] = min(end, stop, total) - max(start, begin)
    return {cell: length for cell, length in cells.items() if length > 0}


def _stretches(amounts: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
    at = 0
    laid = []
    for place, amount in enumerate(amounts):
        if amount > 0:
            laid.append((place, (at, at + amount)))
            at += amount
    return laid


def proration(credits: Sequence[int], debts: Sequence[int], total: int, unit: int) -> Cells:
    """Every open credit settles its share of every open debt."""
    rows, columns = _open(credits), _open(debts)
    return table(shares(total, rows, unit), shares(total, columns, unit), unit)


def _open(amounts: Sequence[int]) -> dict[int, int]:
    return {place: amount for place, amount in enumerate(amounts) if amount > 0}


def shares(total: int, weights: Mapping[int, int], unit: int) -> dict[int, int]:
    """Share by largest remainder: whole units first, one more for the largest fractions, odd cents last."""
    whole = sum(weights.values())
    exact = {place: Fraction(total * weight, whole) for place, weight in weights.items()}
    dealt = {place: share // unit * unit for place, share in exact.items()}
    by_fraction = sorted(exact, key=lambda place: (dealt[place] - exact[place], place))
    left = total - sum(dealt.values())
    for step in (unit, None):
        for place in by_fraction:
            room = weights[place] - dealt[place]
            more = min(left, room) if step is None else step if left >= step and room >= step else 0
            dealt[place] += more
            left -= more
    return {place: int(amount) for place, amount in dealt.items()}


def table(rows: Mapping[int, int], columns: Mapping[int, int], unit: int) -> Cells:
    """Fill the cells in proportion to their row and column, then hand out what the rounding down has left."""
    total = sum(rows.values())
    if total == 0:
        return {}
    exact = {(i, j): Fraction(row * column, total) for i, row in rows.items() for j, column in columns.items()}
    cells = {cell: int(amount // unit * unit) for cell, amount in exact.items()}

    of_row, of_column = dict(rows), dict(columns)
    for (i, j), amount in cells.items():
        of_row[i] -= amount
        of_column[j] -= amount

    def add(cell: tuple[int, int], amount: int) -> None:
        cells[cell] += amount
        of_row[cell[0]] -= amount
        of_column[cell[1]] -= amount

    def room(cell: tuple[int, int]) -> int:
        return min(of_row[cell[0]], of_column[cell[1]])

    for cell in sorted(cells, key=lambda cell: (cells[cell] - exact[cell], cell)):
        if room(cell) >= unit:
            add(cell, unit)
    for cell in sorted(cells):
        add(cell, room(cell))
    return {cell: amount for cell, amount in cells.items() if amount}


# --- a memo's account, kept by hand -----------------------------------------------------------------------------------


@dataclass
class Sheet:
    """What lies of a memo's lines on the lines of its targets, entry by entry in the order it came there."""

    unapplied: list[int]
    """Per credit line."""
    balances: list[list[int]]
    """Per target, per target line."""
    lying: list[list[tuple[tuple[int, int], int]]] = field(default_factory=list)
    """Per target: the pair of lines, and how much."""

    def __post_init__(self) -> None:
        self.lying = [[] for _ in self.balances]

    @property
    def rest(self) -> int:
        """What of the memo is unapplied."""
        return sum(self.unapplied)

    def on(self, target: int) -> int:
        """What lies on a target."""
        return sum(amount for _, amount in self.lying[target])

    def move(self, target: int, cells: Cells) -> None:
        """Enter what moved; an entry for the same pair grows in its place, one at 0 is struck out."""
        entries = dict(self.lying[target])
        for (row, column), amount in sorted(cells.items()):
            entries[row, column] = entries.get((row, column), 0) + amount
            self.unapplied[row] -= amount
            self.balances[target][column] -= amount
        self.lying[target] = [(pair, amount) for pair, amount in entries.items() if amount]

    def apply(self, target: int, total: int, unit: int | None) -> None:
        """Apply by proration in steps of a unit, or without one first in, first out."""
        debts = self.balances[target]
        self.move(
            target,
            fifo(self.unapplied, debts, total) if unit is None else proration(self.unapplied, debts, total, unit),
        )

    def unapply(self, target: int, total: int) -> None:
        """Take off what came first; all of it, negative entries too, when it is everything."""
        lying = self.lying[target]
        if total == self.on(target):
            self.move(target, {pair: -amount for pair, amount in lying})
            return
        taken = fifo([amount for _, amount in lying], [total], total)
        self.move(target, {lying[place][0]: -amount for (place, _), amount in taken.items()})

    def refund(self, total: int) -> None:
        """Pay out, first open line first."""
        for (row, _), amount in fifo(self.unapplied, [total], total).items():
            self.unapplied[row] -= amount


# --- the source-item rule ---------------------------------------------------------------------------------------------


def by_source(
    credits: Sequence[tuple[int, object]], debts: Sequence[tuple[int, object]], total: int, unit: int, most_cells: int
) -> Cells | str:
    """Each credit goes where it came from: amounts with what tells their like, nothing for lines without a source.

    Answers the symbol of the refusal where there is no place for them.
    """
    everything = total == sum(amount for amount, _ in credits)
    asked = (
        {place: amount for place, (amount, _) in enumerate(credits) if amount}
        if everything
        else shares(total, _open([amount for amount, _ in credits]), unit)
    )
    asked = {place: amount for place, amount in asked.items() if amount}
    cells: Cells = {}
    too_much = False
    for sign in (1, -1):
        for like in dict.fromkeys(credits[place][1] for place in asked):
            rows = {i: sign * amount for i, amount in asked.items() if credits[i][1] == like and sign * amount > 0}
            columns = {j: sign * owed for j, (owed, its) in enumerate(debts) if its == like and sign * owed > 0}
            room = sum(columns.values())
            if any(amount > room for amount in rows.values()):
                return "SOURCE_ITEM_MISMATCH"
            if sum(rows.values()) > room:
                too_much = True
                continue
            if rows:
                cells.update({cell: sign * amount for cell, amount in _within(rows, columns, unit, most_cells).items()})
    return "AMOUNT_EXCEEDS_BALANCE" if too_much else cells


def _within(rows: Mapping[int, int], columns: Mapping[int, int], unit: int, most_cells: int) -> Cells:
    taken = shares(sum(rows.values()), columns, unit)
    if len(rows) * len(taken) <= most_cells:
        return table(rows, taken, unit)
    at, onto = list(rows), list(taken)
    in_order = fifo(list(rows.values()), list(taken.values()), sum(rows.values()))
    return {(at[i], onto[j]): amount for (i, j), amount in in_order.items()}
