"""How an amount is spread over the lines that give and the lines that take, in whole numbers and without documents.

The spreads of domain.md 4.4: FIFO and proration between a memo and a target, FIFO alone where money only comes back.
Lines are told by their index, amounts are ten-thousandths.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cm_graphql.domain.money import split


class Move(NamedTuple):
    """Money on its way from one credit line to one target line, both by index."""

    source: int
    target: int
    amount: int


class Purse:
    """What is open on a memo's lines, while one target after another takes from it."""

    def __init__(self, amounts: Iterable[int]) -> None:
        self.amounts = list(amounts)
        self._positive = [index for index, amount in enumerate(self.amounts) if amount > 0]
        self._start = 0

    def take(self, moves: Iterable[Move]) -> None:
        """Let the moves' amounts go."""
        for move in moves:
            self.amounts[move.source] -= move.amount

    def positive(self) -> list[int]:
        """The lines that a rule may take from, in order; those at or below 0 are skipped (domain.md 4.4)."""
        self._positive = [index for index in self._positive[self._start :] if self.amounts[index] > 0]
        self._start = 0
        return self._positive

    def each_positive(self) -> Iterator[int]:
        """The same one by one, each line used up being left behind for good: a request walks them once."""
        while self._start < len(self._positive):
            if self.amounts[self._positive[self._start]] > 0:
                yield self._positive[self._start]
            else:
                self._start += 1


def fifo(purse: Purse, debts: Sequence[int], total: int) -> list[Move]:
    """Settle the first open debt from the first open credit until the total is placed, or as much as there is room for.

    Takes from the purse as it goes.
    """
    moves: list[Move] = []
    credits = purse.each_positive()
    for target, debt in enumerate(debts):
        owed = debt
        while owed > 0 and total > 0:
            source = next(credits, None)
            if source is None:
                return moves
            amount = min(total, owed, purse.amounts[source])
            moves.append(Move(source, target, amount))
            purse.amounts[source] -= amount
            owed -= amount
            total -= amount
        if total == 0:
            break
    return moves


def proration(purse: Purse, debts: Sequence[int], total: int, unit: int) -> list[Move]:
    """Let every open credit settle a share of every open debt; takes from the purse (domain.md 4.4, Proration).

    Places nothing when there is no room for the whole total.
    """
    rows = purse.positive()
    columns = [index for index, debt in enumerate(debts) if debt > 0]
    credits = [purse.amounts[row] for row in rows]
    owed = [debts[column] for column in columns]
    if total > min(sum(credits), sum(owed)):
        return []
    # Lines whose share is 0 have cells of 0 alone: a cent between many lines is a table of one cell.
    given = [(row, share) for row, share in zip(rows, split(total, credits, unit), strict=True) if share]
    taken = [(column, share) for column, share in zip(columns, split(total, owed, unit), strict=True) if share]
    cells = matrix([share for _, share in given], [share for _, share in taken], unit)
    moves = [Move(given[row][0], taken[column][0], amount) for row, column, amount in cells]
    purse.take(moves)
    return moves


def matrix(rows: Sequence[int], columns: Sequence[int], unit: int) -> list[Move]:
    """Fill a table in proportion to its row and column totals, which it meets exactly; no cell of 0 is told.

    Cells are whole units rounded down; leftover units go by descending fraction (ties: row, then column) where row and
    column have room, and what is then left, exact cents included, row by row (domain.md 4.4, step 3).
    """
    total = sum(rows)
    assert total == sum(columns), "what is given is what is taken"
    if total == 0:
        return []
    if len(rows) == 1 or len(columns) == 1:  # then totals are the cells
        return list(corner(rows, columns))
    table = [[row * column // total // unit * unit for column in columns] for row in rows]
    row_room = [row - sum(cells) for row, cells in zip(rows, table, strict=True)]
    column_room = [column - sum(cells) for column, cells in zip(columns, zip(*table, strict=True), strict=True)]
    by_fraction = sorted(
        ((table[i][j] * total - row * column, i, j) for i, row in enumerate(rows) for j, column in enumerate(columns)),
    )
    for _, i, j in by_fraction:
        if row_room[i] >= unit and column_room[j] >= unit:
            table[i][j] += unit
            row_room[i] -= unit
            column_room[j] -= unit
    for move in corner(row_room, column_room):
        table[move.source][move.target] += move.amount
    return [Move(i, j, cell) for i, cells in enumerate(table) for j, cell in enumerate(cells) if cell]


def corner(rows: Sequence[int], columns: Sequence[int]) -> Iterator[Move]:
    """Fill a table row by row, each column until it is full: meets both totals in as few cells as there are lines."""
    j = 0
    room = columns[0] if columns else 0
    for i, row in enumerate(rows):
        rest = row
        while rest > 0:
            while room == 0:
                j += 1
                room = columns[j]
            amount = min(rest, room)
            yield Move(i, j, amount)
            rest -= amount
            room -= amount


def first_out(amounts: Sequence[int], total: int) -> list[tuple[int, int]]:
    """Take a total from the first positive amounts on: (index, taken). Refund and unapply know only this (4.4)."""
    taken: list[tuple[int, int]] = []
    for index, amount in enumerate(amounts):
        if total == 0:
            break
        if amount > 0:
            taken.append((index, min(amount, total)))
            total -= taken[-1][1]
    return taken
