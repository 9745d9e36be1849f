"""What happens in the made-up past: invoices are sent, and credit memos are made of them, used, refunded and undone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from cm_graphql.domain.enums import DocumentType, MemoSource, MemoStatus
from cm_graphql.seeding.catalog import Account, Catalog
from cm_graphql.seeding.documents import Documents, Item, Lines, Target, bought, with_discount
from cm_graphql.seeding.memos import Lives, Memo, Writer
from cm_graphql.seeding.rows import DAY, DAYS, Rows, Spelling, stem

MEMOS_PER_CHAPTER: Final = 8
"""A chapter is two invoices of one account and the memos made after them."""

_PAUSE: Final = 30 * DAY
"""Between invoices and the memos of their chapter."""

_AFTERMATH: Final = 60 * DAY
"""How long after its creation something can happen to a memo."""

_HOUR: Final = 3600


@dataclass
class Numbers:
    """The numbers of one type of document: the sequence's prefix, and the next number."""

    prefix: str
    next: int
    digits: int

    def take(self) -> str:
        """Use up a number."""
        number = f"{self.prefix}{self.next:0{self.digits}d}"
        self.next += 1
        return number


class Story:
    """A past of so many memos; its rows gather in `rows`, and the same arguments always make the same ones."""

    def __init__(
        self, memos: int, seed: int, lean: bool, numbers: dict[DocumentType, Numbers], rows: Rows, spelling: Spelling
    ) -> None:
        self._memos = memos
        self._seed = seed
        self._lean = lean
        self._numbers = numbers
        self._random: Callable[[], float] = Random(seed).random  # noqa: S311  makes data up, guards nothing
        self._catalog = Catalog(seed, rows, spelling)
        self._documents = Documents(self._catalog.products, rows, spelling)
        self._lives = Lives(rows, spelling)
        self._writer = Writer(self._catalog.products, rows, spelling)
        self._serial = 0
        chapters = -(-memos // MEMOS_PER_CHAPTER)
        self._pace = max((DAYS * DAY - _PAUSE - _AFTERMATH) // chapters, 1)
        """Seconds from one chapter to the next."""

    def tell(self) -> Iterator[int]:
        """Write chapter by chapter; answer after each how many memos there are so far."""
        done = chapter = 0
        while done < self._memos:
            count = min(MEMOS_PER_CHAPTER, self._memos - done)
            self._chapter(chapter * self._pace % (DAYS * DAY - _PAUSE - _AFTERMATH), count)
            chapter += 1
            done += count
            yield done

    def _chapter(self, second: int, count: int) -> None:
        account = self._catalog.accounts[int(self._random() * len(self._catalog.accounts))]
        step = self._pace // MEMOS_PER_CHAPTER
        invoices = (self._invoice(account, second), self._invoice(account, second + step))
        self._last_change = second + _PAUSE
        debit_memo = None
        if self._random() < 0.125:
            debit_memo = self._target("dm", account, self._bought(account), second + 2 * step)
        for index in range(count):
            own, other = invoices[index % 2], invoices[1 - index % 2]
            self._memo(account, own, other, debit_memo if index == 0 else None, second + _PAUSE + index * step)
        for invoice in invoices:
            self._documents.write_invoice(invoice, self._last_change)
        if debit_memo is not None:
            self._documents.write_debit_memo(debit_memo, self._last_change, "Ad hoc Debit", "Usage billed late")

    def _stem(self, second: int) -> str:
        self._serial += 1
        return stem(second, self._seed, self._serial)

    # --- targets ------------------------------------------------------------------------------------------------------

    def _bought(self, account: Account) -> Lines:
        if self._lean:
            return bought(account, self._catalog.products, 1, 1, self._random)
        return bought(account, self._catalog.products, 2, 4 + int(self._random() * 3), self._random)

    def _target(self, prefix: str, account: Account, lines: Lines, second: int) -> Target:
        number = self._numbers[DocumentType.INVOICE if prefix == "inv" else DocumentType.DEBIT_MEMO].take()
        return Target(prefix, self._stem(second), number, account, lines, second)

    def _invoice(self, account: Account, second: int) -> Target:
        lines = self._bought(account)
        if not self._lean and self._random() < 0.5:
            with_discount(lines)
        invoice = self._target("inv", account, lines, second)
        paid = self._random()
        if paid < 0.1:
            invoice.pay(list(lines.worth))
        elif paid < 0.3:
            half = lines.worth[0] // (2 * lines.unit) * lines.unit
            invoice.pay([half, *([0] * (len(lines.worth) - 1))])
        return invoice

    # --- memos --------------------------------------------------------------------------------------------------------

    def _memo(self, account: Account, own: Target, other: Target, debit_memo: Target | None, second: int) -> None:
        source, share = self._random(), 0
        run = target_date = None
        if source < 0.62 and own.credits_left >= 50:
            memo, share = self._from_invoice(account, own, second)
        elif source < 0.88:
            memo = self._from_products(account, MemoSource.ADHOC_FROM_PRPC, second)
        else:
            memo = self._from_products(account, MemoSource.BILL_RUN, second)
            target_date = memo.day
            run = f"BR-{memo.day:08d}"
        status = self._status(memo.kind)
        self._lives.create(memo)
        if status is MemoStatus.POSTED:
            self._lives.post(memo, second + _HOUR + int(self._random() * 2 * DAY))
            self._use(memo, own, other, debit_memo)
            if memo.invoice is not None and not memo.reversed:
                self._take_room(memo, own, share)
        elif status is MemoStatus.CANCELED:
            self._lives.cancel(memo, second + _HOUR + int(self._random() * 9 * DAY))
        self._last_change = max(self._last_change, memo.moved)
        self._writer.write(memo, status, target_date, run)

    def _status(self, kind: MemoSource) -> MemoStatus:
        dice = self._random()
        if dice < 0.80:
            return MemoStatus.POSTED
        if dice < 0.90:
            return MemoStatus.DRAFT
        if dice < 0.96:
            return MemoStatus.CANCELED
        if dice < 0.97:
            return MemoStatus.ERROR
        if dice < 0.98:
            return MemoStatus.CANCEL_IN_PROGRESS
        return MemoStatus.GENERATING if kind is MemoSource.BILL_RUN else MemoStatus.PENDING_FOR_TAX

    def _from_products(self, account: Account, kind: MemoSource, second: int) -> Memo:
        lines = self._bought(account)
        if kind is MemoSource.BILL_RUN and not self._lean and self._random() < 0.5:
            with_discount(lines)
        sources = [self._catalog.products[item.product].id for item in lines.items]
        number = self._numbers[DocumentType.CREDIT_MEMO].take()
        return Memo(self._stem(second), number, account, lines, kind, sources, second)

    def _from_invoice(self, account: Account, invoice: Target, second: int) -> tuple[Memo, int]:
        """Credit a share of an invoice's items, or all that is left of them; one item may be left out."""
        of, step = invoice.lines, invoice.lines.step
        everything = self._random() < 0.12
        share = invoice.credits_left if everything else min(50 + int(self._random() * 200), invoice.credits_left)
        left_out = 1 + int(self._random() * 2 * len(of.items)) if len(of.items) > 1 and not everything else 0
        lines = Lines(account, step - 1)
        item_sources: list[str] = []
        tax_sources: list[str] = []
        for index, item in enumerate(of.items):
            base = index * step
            left = invoice.left[base : base + step]
            amounts = left if everything else _portion(of, base, share, left)
            if amounts[0] == 0 or index == left_out:
                continue
            lines.items.append(Item(item.product, 1, item.discounts))
            lines.worth.extend(amounts)
            item_sources.append(invoice.source_ids[base])
            tax_sources.extend(invoice.source_ids[base : base + step])
        if not lines.items or lines.worth[0] < 0 or sum(lines.worth) <= 0:
            return self._from_products(account, MemoSource.ADHOC_FROM_PRPC, second), 0
        number = self._numbers[DocumentType.CREDIT_MEMO].take()
        stem_ = self._stem(second)
        memo = Memo(stem_, number, account, lines, MemoSource.ADHOC_FROM_INVOICE, item_sources, second)
        memo.tax_sources, memo.invoice = tax_sources, invoice
        return memo, share

    def _take_room(self, memo: Memo, invoice: Target, share: int) -> None:
        """Note what a posted memo leaves of its invoice to be credited (domain.md 4.3)."""
        invoice.credits_left -= share
        index = {key: line for line, key in enumerate(invoice.source_ids)}
        for key, worth in zip(memo.tax_sources, memo.lines.worth, strict=True):
            invoice.left[index[key]] -= worth

    # --- what is done with them ---------------------------------------------------------------------------------------

    def _use(self, memo: Memo, own: Target, other: Target, debit_memo: Target | None) -> None:
        """Let the dice say what becomes of a posted memo."""
        assert memo.posted is not None
        random, lives, unit = self._random, self._lives, memo.lines.unit
        soon = memo.posted + _HOUR + int(random() * 20 * DAY)
        later = soon + _HOUR + int(random() * 20 * DAY)
        amount, dice = memo.unapplied, random()
        if amount <= 0 or dice < 0.34:
            return
        part = max(amount * (100 + int(random() * 800)) // 1000 // unit * unit, unit)
        if debit_memo is not None:
            lives.apply(memo, [(debit_memo, amount)], soon)
        elif dice < 0.55:
            lives.apply(memo, [(own, amount)], soon)
        elif dice < 0.70:
            lives.apply(memo, [(own, part)], soon)
        elif dice < 0.81:
            lives.apply(memo, [(own, part), (other, amount - part)], soon)
        elif dice < 0.86:
            lives.apply(memo, [(own, part)], soon)
            self._refund(memo, memo.unapplied, later)
        elif dice < 0.92:
            self._refund(memo, amount if dice < 0.89 else part, soon)
        elif dice < 0.97:
            lives.apply(memo, [(own, part)], soon)
            if memo.placed:
                lives.unapply(memo, 1000 if dice < 0.935 else int(random() * 1000), later)
        else:
            self._undo(memo, soon, reverse=dice >= 0.985)

    def _refund(self, memo: Memo, amount: int, second: int) -> None:
        if amount > 0:
            electronic = self._random() < 0.5
            failed = electronic and self._random() < 0.1
            self._lives.refund(memo, amount, self._numbers[DocumentType.REFUND].take(), electronic, failed, second)

    def _undo(self, memo: Memo, second: int, *, reverse: bool) -> None:
        memo.reversed = reverse
        mirror = self._target("dm", memo.account, memo.lines, second)
        self._lives.mirror(memo, mirror, second)
        ids = [item or tax for item, tax in memo.sources]
        reason = "Credit memo reversal" if reverse else "Write-off"
        self._documents.write_debit_memo(mirror, second, reason, None, memo.id, ids)


def _portion(lines: Lines, base: int, thousandths: int, left: list[int]) -> list[int]:
    """A share of an item and the tax upon that share, never more than what is left of either."""
    net, unit = lines.worth[base], lines.unit
    sign = 1 if net >= 0 else -1
    share = sign * min(abs(net) * thousandths // 1000 // unit * unit, abs(left[0]))
    taxes = [lines.tax(share, rate) for rate in lines.rates]
    return [share, *(sign * min(abs(tax), abs(room)) for tax, room in zip(taxes, left[1:], strict=True))]
