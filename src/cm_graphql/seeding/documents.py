"""Made-up invoices and debit memos: their lines, what was paid on them, and the credit that they take."""

# ruff: noqa: RUF005  rows are sums of tuples, the quickest way to make so many of them

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cm_graphql.domain.distribution import Move
from cm_graphql.domain.enums import ItemSourceType, ProcessingType, SourceType, TaxMode
from cm_graphql.seeding.catalog import TAX_ENGINE, Account, Product
from cm_graphql.seeding.rows import DAY, SUFFIX, Row, Rows, Spelling

CHARGE: Final = ProcessingType.CHARGE.value
DISCOUNT: Final = ProcessingType.DISCOUNT.value
ONE: Final = 10**9
"""A quantity of 1, as the database scales it."""
UNIT_PRICE: Final = 10**5
"""What makes of an amount a unit price, which the database scales differently."""


class Item(NamedTuple):
    """What a line is about."""

    product: int
    """An index of the catalog's products."""
    quantity: int
    discounts: int | None = None
    """The index of the line that this one takes something off, for a discount."""


class Lines:
    """Items and their taxation items in the order money takes (domain.md 4.4): each item, then its `step` - 1 taxes."""

    __slots__ = ("items", "rates", "step", "unit", "worth")

    def __init__(self, account: Account, taxes: int) -> None:
        self.unit = account.region.unit
        self.rates = [tax.millionths for tax in account.region.taxes[:taxes]]
        self.step = 1 + len(self.rates)
        self.items: list[Item] = []
        self.worth: list[int] = []

    def add(self, item: Item, net: int) -> None:
        """Append an item with the tax upon its net."""
        self.items.append(item)
        self.worth.append(net)
        self.worth.extend([self.tax(net, rate) for rate in self.rates])

    def tax(self, net: int, millionths: int) -> int:
        """The tax upon a net, rounded to the currency, halves away from zero."""
        unit = self.unit
        tax = (abs(net) * millionths + 500_000 * unit) // (1_000_000 * unit) * unit
        return tax if net >= 0 else -tax

    @property
    def net(self) -> int:
        """The sum of the items."""
        return sum(self.worth[:: self.step])


def bought(account: Account, products: Sequence[Product], taxes: int, count: int, random: Callable[[], float]) -> Lines:
    """Items of neighbouring products at list price, in made-up quantities."""
    lines = Lines(account, taxes)
    first = int(random() * len(products))
    for product in range(first, first + count):
        index = product % len(products)
        quantity = 1 + int(random() * products[index].quantity)
        lines.add(Item(index, quantity), account.prices[index] * quantity)
    return lines


def with_discount(lines: Lines) -> None:
    """Append a discount of a tenth of the first item."""
    net = lines.worth[0] // (10 * lines.unit) * lines.unit
    if net:
        lines.add(Item(lines.items[0].product, 1, discounts=0), -net)


class Target:
    """An invoice or debit memo while credit memos are applied to it."""

    __slots__ = (
        *("account", "credits_left", "day", "id", "left", "lines", "number", "open", "paid", "places"),
        *("second", "source_ids", "stem"),
    )

    def __init__(self, prefix: str, stem: str, number: str, account: Account, lines: Lines, second: int) -> None:
        self.id = f"{prefix}_{stem}0000"
        self.stem = stem
        self.number = number
        self.account = account
        self.lines = lines
        self.second = second
        self.day = second // DAY
        self.paid = [0] * len(lines.worth)
        self.open = list(lines.worth)
        self.left = list(lines.worth)
        """What of each line can still be credited (domain.md 4.3)."""
        self.credits_left = 1000
        """Thousandths of it that can still be credited."""
        self.source_ids, self.places = _columns(prefix, stem, lines)

    @property
    def balance(self) -> int:
        """What is owed."""
        return sum(self.open)

    @property
    def credited(self) -> list[int]:
        """The credit that each line has taken."""
        return [worth - paid - open_ for worth, paid, open_ in zip(self.lines.worth, self.paid, self.open, strict=True)]

    def pay(self, amounts: list[int]) -> None:
        """Note what the customer paid."""
        self.paid = amounts
        self.open = [open_ - paid for open_, paid in zip(self.open, amounts, strict=True)]

    def credit(self, moves: Sequence[Move]) -> None:
        """Let money come."""
        for move in moves:
            self.open[move.target] -= move.amount

    def release(self, line: int, amount: int) -> None:
        """Let money go again."""
        self.open[line] += amount


def _columns(prefix: str, stem: str, lines: Lines) -> tuple[list[str], list[Row]]:
    """Of each line its id, and how the columns of target lines name it."""
    item, tax = ("ini_", "int_") if prefix == "inv" else ("dmi_", "dmt_")
    ids: list[str] = []
    places: list[Row] = []
    taxes = 0
    for number in range(1, len(lines.items) + 1):
        key = f"{item}{stem}{SUFFIX[number]}"
        ids.append(key)
        places.append((key, None, None) if prefix == "inv" else (None, key, None))
        for _ in lines.rates:
            taxes += 1
            key = f"{tax}{stem}{SUFFIX[taxes]}"
            ids.append(key)
            places.append((None, None, key))
    return ids, places


class Documents:
    """Writes the rows of targets, once all that happens to them has happened."""

    def __init__(self, products: Sequence[Product], rows: Rows, spelling: Spelling) -> None:
        self._products = products
        self._rows = rows.of
        self._spelling = spelling

    def write_invoice(self, invoice: Target, touched: int) -> None:
        """Write an invoice; `touched` is the moment of its last change."""
        account, lines, step = invoice.account, invoice.lines, invoice.lines.step
        worth, paid, credited, ids = lines.worth, invoice.paid, invoice.credited, invoice.source_ids
        days, tails = self._spelling.days, [tax.tail for tax in account.region.taxes]
        day, due, currency = days[invoice.day], days[invoice.day + account.term_days], account.region.currency
        audit = ("usr_billing", self._spelling.moment(invoice.second), "usr_billing", self._spelling.moment(touched))
        net, total = lines.net, sum(worth)
        self._rows["invoices"].append(
            (invoice.id, invoice.number, account.id, currency, day, due)
            + (total, total - net, net, sum(credited), sum(paid), *audit)
        )
        mode = (TaxMode.TAX_INCLUSIVE if account.inclusive else TaxMode.TAX_EXCLUSIVE).value
        item_tail = (invoice.id, currency, mode, day, days[invoice.day + 29], *audit)
        tax_tail = (invoice.id, currency, day, *audit, TAX_ENGINE)
        item_rows, tax_rows = self._rows["invoice_items"].append, self._rows["invoice_taxation_items"].append
        position = base = 0
        for number, item in enumerate(lines.items, 1):
            kind, of = (CHARGE, None) if item.discounts is None else (DISCOUNT, ids[item.discounts * step])
            item_rows(
                (ids[base], number, worth[base], sum(worth[base + 1 : base + step]), credited[base], paid[base])
                + (kind, of, item.quantity * ONE, worth[base] // item.quantity * UNIT_PRICE, *item_tail)
                + self._products[item.product].invoice_tail
            )
            for line, tail in zip(range(base + 1, base + step), tails, strict=False):
                position += 1
                exempt = worth[line] if account.exempt and worth[line] > 0 else 0
                tax_rows(
                    (ids[line], ids[base], position, worth[line], exempt, credited[line], paid[line]) + tax_tail + tail
                )
            base += step

    def write_debit_memo(
        self,
        memo: Target,
        touched: int,
        reason_code: str,
        comment: str | None,
        mirrored: str | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        """Write a posted debit memo; `mirrored` is the credit memo that it undoes, and `sources` that one's lines."""
        account, lines, step = memo.account, memo.lines, memo.lines.step
        worth, credited, ids = lines.worth, memo.credited, memo.source_ids
        days, tails = self._spelling.days, [tax.tail for tax in account.region.taxes]
        day, due, currency = days[memo.day], days[memo.day + account.term_days], account.region.currency
        made, changed = self._spelling.moment(memo.second), self._spelling.moment(touched)
        audit = ("usr_amira", made, "usr_amira", changed)
        exempts = [line if account.exempt and index % step and line > 0 else 0 for index, line in enumerate(worth)]
        total = sum(worth)
        kind = (SourceType.CREDIT_MEMO if mirrored else SourceType.STANDALONE).value
        self._rows["debit_memos"].append(
            (memo.id, memo.number, account.id, currency, day, due)
            + (total, total - lines.net, sum(exempts), sum(credited), comment, reason_code)
            + (mirrored, kind, "usr_amira", made, account.contact_id, *audit)
        )
        source_type = ItemSourceType.CREDIT_MEMO_ITEM if mirrored else ItemSourceType.PRODUCT_RATE_PLAN_CHARGE
        mode = (TaxMode.TAX_INCLUSIVE if account.inclusive else TaxMode.TAX_EXCLUSIVE).value
        item_tail = (memo.id, currency, mode, source_type.value, *audit)
        tax_tail = (memo.id, currency, day, *audit)
        item_rows, tax_rows = self._rows["debit_memo_items"].append, self._rows["debit_memo_taxation_items"].append
        position = base = 0
        for number, item in enumerate(lines.items, 1):
            product = self._products[item.product]
            kind, of = (CHARGE, None) if item.discounts is None else (DISCOUNT, ids[item.discounts * step])
            net = worth[base]
            asked = sum(worth[base : base + step]) if account.inclusive else net
            item_rows(
                (ids[base], number, asked, net, credited[base], kind, of, item.quantity * ONE)
                + (net // item.quantity * UNIT_PRICE, sources[base] if sources else product.id, *item_tail)
                + product.debit_tail
            )
            for line, tail in zip(range(base + 1, base + step), tails, strict=False):
                position += 1
                source = sources[line] if sources else None
                tax_rows(
                    (ids[line], ids[base], position, worth[line], exempts[line], credited[line], source)
                    + tax_tail
                    + tail
                )
            base += step
