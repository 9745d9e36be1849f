"""Whether a memo credits no more than was invoiced (domain.md 4.3): asked at creation, at a change and at posting."""

from collections import defaultdict
from collections.abc import Sequence

from cm_graphql.domain.enums import AvailableToCreditRule, ItemSourceType, TaxMode
from cm_graphql.domain.errors import ErrorCode, Faults
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, Invoice, InvoiceItem, InvoiceTax, TaxationItem
from cm_graphql.domain.rulebook import RuleBook


class Room:
    """What of an invoice can still be credited, while the lines of one memo use it up in their order."""

    def __init__(self, invoice: Invoice) -> None:
        self._net = {item.id: item.left for item in invoice.items}
        self._tax = {tax.id: tax.left for item in invoice.items for tax in item.taxes}

    def net(self, item: InvoiceItem) -> int:
        """What is left of the net of an invoice item; past 0 when it was over-credited."""
        return self._net[item.id]

    def tax(self, tax: InvoiceTax) -> int:
        """What is left of a tax of the invoice; past 0 when it was over-credited."""
        return self._tax[tax.id]

    def use(self, line: CreditMemoItem) -> None:
        """Take away what a line and its taxes credit."""
        if line.source_item_id in self._net:
            self._net[line.source_item_id] -= line.net
        for tax in line.taxation_items:
            self.use_tax(tax)

    def use_tax(self, tax: TaxationItem) -> None:
        """Take away what a tax credits."""
        if tax.source_tax_item_id in self._tax:
            self._tax[tax.source_tax_item_id] -= tax.tax_amount


def check_over_credit(memo: CreditMemo, invoice: Invoice, book: RuleBook) -> None:
    """Refuse a memo that credits more than its invoice has left, as strictly as the tenant wants it: OVER_CREDIT.

    The invoice's sums count Posted, not reversed memos; the memo itself, being a draft, is not among them.
    """
    rule = book.settings.available_to_credit_rule
    if rule is AvailableToCreditRule.NONE:
        return
    faults = Faults()
    if _exceeds(memo.amount, invoice.available_to_credit):
        _note(faults, memo, (), memo.amount, f"invoice {invoice.number}", invoice.available_to_credit)
    if rule is AvailableToCreditRule.HEADER_AND_ITEM:
        _check_items(memo, invoice, faults)
        _check_taxes(memo, invoice, faults)
    faults.raise_if_any()


def _check_items(memo: CreditMemo, invoice: Invoice, faults: Faults) -> None:
    """Compare net with net, per invoice item."""
    credited: dict[str, int] = defaultdict(int)
    lines: dict[str, list[int]] = defaultdict(list)
    for index, line in enumerate(memo.items):
        if line.source_item_type is ItemSourceType.INVOICE_DETAIL:
            credited[line.source_item_id] += line.net
            lines[line.source_item_id].append(index)
    for item in invoice.items:
        if _exceeds(credited[item.id], item.left):
            what = f"item {item.charge_name} of invoice {invoice.number}"
            _note(faults, memo, lines[item.id], credited[item.id], what, item.left)


def _check_taxes(memo: CreditMemo, invoice: Invoice, faults: Faults) -> None:
    """Compare the total tax, and each tax given by hand (domain.md 4.3, 7.31)."""
    if _exceeds(memo.tax_amount, invoice.tax_available_to_credit):
        what = f"the tax of invoice {invoice.number}"
        _note(faults, memo, (), memo.tax_amount, what, invoice.tax_available_to_credit)
    by_hand: dict[str | None, int] = defaultdict(int)
    lines: dict[str | None, list[int]] = defaultdict(list)
    for index, line in enumerate(memo.items):
        if not line.tax_auto_calculation:
            for tax in line.taxation_items:
                by_hand[tax.source_tax_item_id] += tax.tax_amount
                lines[tax.source_tax_item_id].append(index)
    for item in invoice.items:
        for source in item.taxes:
            if _exceeds(by_hand[source.id], source.left):
                what = f"tax {source.name} of item {item.charge_name} of invoice {invoice.number}"
                _note(faults, memo, lines[source.id], by_hand[source.id], what, source.left)


def check_tax_still_fits(memo: CreditMemo, invoice: Invoice, book: RuleBook) -> None:
    """Refuse to post automatic tax beyond what is left of the invoice's by now: OVER_CREDIT (domain.md 4.1, 7.35).

    Not under the rule `NONE`; inclusive lines are not capped either, the check of the header guards them.
    """
    if book.settings.available_to_credit_rule is AvailableToCreditRule.NONE:
        return
    sources = {tax.id: tax for item in invoice.items for tax in item.taxes}
    faults = Faults()
    room = Room(invoice)
    for index, line in enumerate(memo.items):
        if line.tax_auto_calculation and line.tax_mode is TaxMode.TAX_EXCLUSIVE:
            for tax in line.taxation_items:
                source = sources.get(tax.source_tax_item_id or "")
                if source is not None and _exceeds(tax.tax_amount, room.tax(source)):
                    what = f"tax {source.name} of invoice {invoice.number}"
                    _note(faults, memo, [index], tax.tax_amount, what, room.tax(source))
        room.use(line)
    faults.raise_if_any()


def _exceeds(amount: int, left: int) -> bool:
    """Tell whether an amount goes beyond what is left in its own direction; 0 never does."""
    return amount > max(left, 0) if amount >= 0 else amount < min(left, 0)


def _note(faults: Faults, memo: CreditMemo, lines: Sequence[int], amount: int, what: str, left: int) -> None:
    """Name the memo, unless it is only about to be, and those of its lines that are at fault, counted from 1."""
    show = memo.currency.show
    left = max(left, 0) if amount > 0 else min(left, 0)  # past 0 it is over-credited, and nothing is left
    who = f"Credit memo {memo.number}" if memo.number else "The new credit memo"
    places = list(dict.fromkeys(index + 1 for index in lines))
    where = f" (line{'s' if len(places) > 1 else ''} {', '.join(map(str, places))})" if places else ""
    faults.add(
        ErrorCode.OVER_CREDIT,
        f"{who}{where} credits {show(amount)} of {what}, of which {show(left)} {memo.currency.code} "
        "can still be credited.",
    )
