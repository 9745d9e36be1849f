"""Credit memos and the documents around them as frozen records, each refusing to exist in an impossible state.

Amounts are integers of ten-thousandths (see `money`); quantities, prices and rates are decimals. What can be
derived is derived here and only copied into columns by the store, for queries.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeVar

from cm_graphql.domain.enums import (
    CreditFromItemSource,
    ItemSourceType,
    MemoSource,
    MemoStatus,
    ProcessingType,
    SourceType,
    TaxEngineKind,
    TaxMode,
    TaxRateType,
    TransferredToAccounting,
    YesNo,
)
from cm_graphql.domain.money import Currency

R = TypeVar("R")


class Stamp(NamedTuple):
    """Who acts, when, and which day it is for the tenant; the doors read the clock, never the domain."""

    by: str
    at: datetime
    today: date
    new_id: Callable[[str], str]
    """Makes the next id of a kind, given its prefix: `new_id("cmi")`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinanceInformation:
    """Where a line is booked (domain.md 2.2, 2.3); names of accounting codes, each at most 100 characters."""

    deferred_revenue_accounting_code: str | None = None
    recognized_revenue_accounting_code: str | None = None
    on_account_accounting_code: str | None = None
    sales_tax_payable_accounting_code: str | None = None
    revenue_recognition_rule_name: str | None = None


NO_FINANCE = FinanceInformation()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxationItem:
    """One tax on one credit memo line; a line of its own for money that is applied (domain.md 2.3, 4.8)."""

    id: str
    item_id: str
    position: int
    name: str
    tax_amount: int
    applied: int = 0
    refunded: int = 0
    jurisdiction: str = ""
    location_code: str | None = None
    tax_rate: Decimal = Decimal(0)
    exempt_amount: int = 0
    tax_code: str | None = None
    tax_code_description: str | None = None
    tax_date: date | None = None
    tax_rate_description: str | None = None
    tax_rate_type: TaxRateType = TaxRateType.PERCENTAGE
    source_tax_item_id: str | None = None
    finance: FinanceInformation = NO_FINANCE
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def worth(self) -> int:
        """What can be applied from this line in all."""
        return self.tax_amount

    @property
    def unapplied(self) -> int:
        """What of it is neither applied nor refunded (domain.md 4.2.2)."""
        return self.tax_amount - self.applied - self.refunded

    def using(self, applied: int, refunded: int) -> Self:
        """The same of which so much more was applied or refunded."""
        return replace(self, applied=self.applied + applied, refunded=self.refunded + refunded)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditMemoItem:
    """One line of a credit memo with its taxation items (domain.md 2.2)."""

    id: str
    position: int
    amount: int
    """As asked for: net of a tax-exclusive line, gross of an inclusive one."""
    net: int
    """`amountWithoutTax`; what can be applied, since tax has lines of its own (domain.md 7.5)."""
    sku_name: str
    source_item_type: ItemSourceType
    source_item_id: str
    applied: int = 0
    refunded: int = 0
    tax_mode: TaxMode = TaxMode.TAX_EXCLUSIVE
    tax_auto_calculation: bool = False
    processing_type: ProcessingType = ProcessingType.CHARGE
    applied_to_item_id: str | None = None
    sku: str | None = None
    description: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    unit_of_measure: str | None = None
    service_start_date: date | None = None
    service_end_date: date | None = None
    subscription_id: str | None = None
    credit_from_item_source: CreditFromItemSource | None = None
    credit_from_item_id: str | None = None
    exclude_item_billing_from_revenue_accounting: bool = False
    finance: FinanceInformation = NO_FINANCE
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    taxation_items: tuple[TaxationItem, ...] = ()

    def __post_init__(self) -> None:
        if self.tax_mode is TaxMode.TAX_EXCLUSIVE:
            assert self.amount == self.net, "the amount of a tax-exclusive line is its net"

    @property
    def worth(self) -> int:
        """What can be applied from this line in all, its taxation items aside."""
        return self.net

    @property
    def unapplied(self) -> int:
        """What of the net is neither applied nor refunded (domain.md 4.2.2)."""
        return self.net - self.applied - self.refunded

    @property
    def tax(self) -> int:
        """The sum of its taxation items."""
        return sum(tax.tax_amount for tax in self.taxation_items)

    def using(self, applied: int, refunded: int, taxation_items: tuple[TaxationItem, ...]) -> Self:
        """The same of which so much more was applied or refunded, and with these taxation items."""
        applied, refunded = self.applied + applied, self.refunded + refunded
        return replace(self, applied=applied, refunded=refunded, taxation_items=taxation_items)


class MovableTax(NamedTuple):
    """What movements of money see of a taxation item: all that is loaded of it where there may be 300,000."""

    id: str
    item_id: str
    name: str
    tax_amount: int
    applied: int
    refunded: int
    jurisdiction: str
    location_code: str | None
    tax_rate: Decimal

    @property
    def worth(self) -> int:
        """What can be applied from this line in all."""
        return self.tax_amount

    @property
    def unapplied(self) -> int:
        """What of it is neither applied nor refunded."""
        return self.tax_amount - self.applied - self.refunded

    def using(self, applied: int, refunded: int) -> Self:
        """The same of which so much more was applied or refunded."""
        return self._replace(applied=self.applied + applied, refunded=self.refunded + refunded)


class MovableItem(NamedTuple):
    """What movements of money see of a credit memo's line: all that is loaded of it where there may be 300,000."""

    id: str
    net: int
    applied: int
    refunded: int
    source_item_type: ItemSourceType
    source_item_id: str
    taxation_items: tuple[TaxationItem, ...]

    @property
    def worth(self) -> int:
        """What can be applied from this line in all, its taxation items aside."""
        return self.net

    @property
    def unapplied(self) -> int:
        """What of it is neither applied nor refunded."""
        return self.net - self.applied - self.refunded

    def using(self, applied: int, refunded: int, taxation_items: tuple[TaxationItem, ...]) -> Self:
        """The same of which so much more was applied or refunded, and with these taxation items."""
        applied, refunded = self.applied + applied, self.refunded + refunded
        return self._replace(applied=applied, refunded=refunded, taxation_items=taxation_items)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomRate:
    """An exchange rate that the caller wants used instead of the tenant's (domain.md 1.2)."""

    currency: str
    custom_fx_rate: Decimal
    rate_date: date | None = None


CreditLine = CreditMemoItem | TaxationItem
"""A line is a line: money is applied from items and from taxation items alike (domain.md 4.8)."""


def _check_line(worth: int, applied: int, refunded: int) -> None:
    """Assert domain.md 4.2.2 for one line, mirrored for negative ones."""
    sign = -1 if worth < 0 else 1
    assert sign * applied >= 0, "nothing is applied against a line's sign"
    assert sign * refunded >= 0, "nothing is refunded against a line's sign"
    assert sign * (worth - applied - refunded) >= 0, "more was used of a line than it is worth"


class ItemPart(NamedTuple):
    """How much of one credit line lies in a part, and on which line of its target (domain.md 2.5)."""

    id: str
    position: int
    """First come, first released: the order of unapply (domain.md 4.4, 7.27)."""
    amount: int
    source_id: str
    """A credit memo item (`cmi_`) or taxation item (`cmt_`)."""
    target_id: str | None = None
    """A line of the target document, or nothing in the unapplied part."""


class Part(NamedTuple):
    """What one target received from a memo, or what of the memo is unapplied (domain.md 2.4)."""

    id: str
    target_id: str | None
    """An invoice (`inv_`), a debit memo (`dm_`), or nothing: the unapplied part."""
    item_parts: tuple[ItemPart, ...]

    @property
    def amount(self) -> int:
        """The sum of its item parts (domain.md 4.2.5)."""
        return sum([item_part.amount for item_part in self.item_parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoHead:
    """What a memo's own row says, for what can be decided without its lines."""

    id: str
    number: str | None
    account_id: str
    currency: Currency
    status: MemoStatus
    reversed: bool
    version: int

    @property
    def name(self) -> str:
        """How a message calls it: by its number, else by its id."""
        return self.number or self.id


def _like(record: R, **changes: Any) -> R:
    """A record without slots like another one, unchecked; `dataclasses.replace` takes four times as long."""
    same = object.__new__(type(record))
    same.__dict__.update(record.__dict__, **changes)
    return same


@dataclass(frozen=True, kw_only=True)
class MovableMemo:
    """What movements of money see of a credit memo, with its lines and, once it is posted, its parts."""

    id: str
    number: str | None
    account_id: str
    currency: Currency
    status: MemoStatus
    credit_memo_date: date
    items: tuple[CreditMemoItem, ...]
    parts: tuple[Part, ...] = ()
    reversed: bool = False
    version: int = 1
    lines: tuple[CreditLine, ...] = field(init=False, repr=False, compare=False)
    """All lines in the order money leaves them: each item, then its taxation items (domain.md 4.4)."""
    open_amounts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """What each of the lines has unapplied."""
    amount: int = field(init=False, repr=False, compare=False)
    """The total including tax (domain.md 4.1)."""
    tax_amount: int = field(init=False, repr=False, compare=False)
    """The sum of the taxation items."""
    applied: int = field(init=False, repr=False, compare=False)
    """What was applied to targets (domain.md 4.2.3)."""
    refunded: int = field(init=False, repr=False, compare=False)
    """What was paid back (domain.md 4.2.3)."""

    def __post_init__(self) -> None:
        open_of, applied_of = self._add_up()
        assert self.amount >= 0, "a memo never owes (domain.md 4.2.8)"
        assert self.applied >= 0
        assert self.refunded >= 0
        assert self.unapplied >= 0, "more was used than the memo is worth"
        if self.status is MemoStatus.POSTED:
            self._check_parts(open_of, applied_of)
        else:
            assert not self.parts, "only a posted memo has parts (domain.md 4.2.7)"
            assert not self.is_used, "only a posted memo can be used (domain.md 4.2.7)"

    def _add_up(self) -> tuple[dict[str, int], dict[str, int]]:
        """Derive what follows from the lines; answers what each line has open and what was applied of it, if any."""
        # Few walks over lines of which there may be 300,000; a sum of a generator each takes three times as long.
        lines: list[CreditLine] = []
        worths: list[int] = []
        taxes = 0
        for item in self.items:
            lines.append(item)
            worths.append(item.net)
            for tax in item.taxation_items:
                lines.append(tax)
                worths.append(tax.tax_amount)
                taxes += tax.tax_amount
        applied = refunded = 0
        open_amounts: list[int] = []
        open_of: dict[str, int] = {}
        applied_of: dict[str, int] = {}
        for line, worth in zip(lines, worths, strict=True):
            left, given, repaid = worth, line.applied, line.refunded
            if given or repaid:
                _check_line(worth, given, repaid)
                left -= given + repaid
                applied += given
                refunded += repaid
                if given:
                    applied_of[line.id] = given
            if left:
                open_of[line.id] = left
            open_amounts.append(left)
        self.__dict__.update(
            lines=tuple(lines),
            open_amounts=tuple(open_amounts),
            amount=sum(worths),
            tax_amount=taxes,
            applied=applied,
            refunded=refunded,
        )
        return open_of, applied_of

    def _check_parts(self, open_of: Mapping[str, int], applied_of: Mapping[str, int]) -> None:
        """Assert domain.md 4.2.4 and 4.2.5: parts and lines say the same, on both paths."""
        assert len({part.target_id for part in self.parts}) == len(self.parts), "one part per target"
        unapplied: dict[str, int] = {}
        applied: defaultdict[str, int] = defaultdict(int)
        for _, target_id, item_parts in self.parts:
            assert item_parts, "a part without item parts is gone"
            if target_id is None:
                for _, _, amount, source_id, line_id in item_parts:
                    assert amount != 0, "an item part at zero is gone"
                    assert line_id is None, "what is unapplied lies on no line"
                    unapplied[source_id] = amount
                assert len(unapplied) == len(item_parts), "the unapplied part has one item part of a line"
                assert sum(unapplied.values()) >= 0
            else:
                total = 0
                for _, _, amount, source_id, line_id in item_parts:
                    assert amount != 0, "an item part at zero is gone"
                    assert line_id is not None, "what is applied lies on lines"
                    applied[source_id] += amount
                    total += amount
                assert total >= 0
        assert unapplied == open_of, "the unapplied part holds what is so"
        assert applied == applied_of, "what a line gave lies in item parts"

    @property
    def unapplied(self) -> int:
        """What is still to be used (domain.md 4.2.1)."""
        return self.amount - self.applied - self.refunded

    @property
    def is_used(self) -> bool:
        """Whether any line was applied or refunded; the header may be 0 although lines are used (domain.md 1.7)."""
        return any(line.applied or line.refunded for line in self.lines)

    def moved(self, items: tuple[CreditMemoItem, ...], parts: tuple[Part, ...]) -> Self:
        """The same memo after its money moved, added up and checked anew."""
        same = _like(self, items=items, parts=parts)
        same.__post_init__()
        return same

    def at_version(self, version: int) -> Self:
        """The same memo at another version; nothing else of it is checked or added up anew."""
        return _like(self, version=version)

    @property
    def name(self) -> str:
        """How a message calls it: by its number, else by its id."""
        return self.number or self.id

    @property
    def unapplied_part(self) -> Part | None:
        """The part that holds what is unapplied."""
        return self.part_on(None)

    def part_on(self, target_id: str | None) -> Part | None:
        """The part of one target, or the unapplied part for nothing."""
        for part in self.parts:
            if part.target_id == target_id:
                return part
        return None


@dataclass(frozen=True, kw_only=True)
class CreditMemo(MovableMemo):
    """A credit memo with all its lines, and its parts where an action needs them (domain.md 2.1)."""

    source: MemoSource
    source_type: SourceType
    source_id: str | None = None
    target_date: date | None = None
    referred_invoice_id: str | None = None
    reason_code: str | None = None
    comment: str | None = None
    auto_apply_upon_posting: bool = False
    exclude_from_auto_apply_rules: bool = False
    revenue_impacting: YesNo = YesNo.YES
    transferred_to_accounting: TransferredToAccounting = TransferredToAccounting.NO
    posted_by_id: str | None = None
    posted_on: datetime | None = None
    cancelled_by_id: str | None = None
    cancelled_on: datetime | None = None
    custom_rates: tuple[CustomRate, ...] = ()
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    net_suite: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exempt_amount(self) -> int:
        """The tax that exemptions waived."""
        return sum(tax.exempt_amount for item in self.items for tax in item.taxation_items)


class TargetLine(NamedTuple):
    """A line of an invoice or debit memo that money can be applied to: an item or a taxation item."""

    id: str
    worth: int
    """Net of an item, tax amount of a taxation item."""
    credited: int = 0
    """Applied credit; `creditAmount` of a taxation item."""
    paid: int = 0
    item_id: str | None = None
    """The item that a taxation item belongs to; nothing for an item itself."""
    name: str | None = None
    location_code: str | None = None
    jurisdiction: str | None = None
    tax_rate: Decimal | None = None

    @property
    def is_tax(self) -> bool:
        """Whether it is a taxation item."""
        return self.item_id is not None

    @property
    def balance(self) -> int:
        """What is still owed on it (domain.md 4.2.6)."""
        return self.worth - self.credited - self.paid


@dataclass(frozen=True, kw_only=True)
class Target:
    """An invoice or a debit memo as something that credit is applied to (domain.md 1.11)."""

    id: str
    number: str
    account_id: str
    currency: str
    status: MemoStatus
    document_date: date
    lines: tuple[TargetLine, ...]
    """In order: each item by creation, followed by its taxation items (domain.md 4.4)."""
    balances: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """What is still owed on each of its lines."""
    balance: int = field(init=False, repr=False, compare=False)
    """What is still owed on it."""
    credited: int = field(init=False, repr=False, compare=False)
    """The credit that was applied to it."""

    def __post_init__(self) -> None:
        credited = 0
        balances: list[int] = []
        for line in self.lines:
            worth, gained = line.worth, line.credited
            balance = worth - gained - line.paid
            assert balance >= 0 if worth >= 0 else balance <= 0, "it keeps its line's sign (domain.md 4.2.6, 4.2.8)"
            assert gained >= 0 if worth >= 0 else gained <= 0
            credited += gained
            balances.append(balance)
        self.__dict__.update(balances=tuple(balances), balance=sum(balances), credited=credited)

    @property
    def is_invoice(self) -> bool:
        """Whether it is an invoice; else it is a debit memo."""
        return self.id.startswith("inv_")

    @property
    def title(self) -> str:
        """How a message calls it where a sentence begins."""
        return f"{'Invoice' if self.is_invoice else 'Debit memo'} {self.number}"

    @property
    def label(self) -> str:
        """How a message calls it elsewhere."""
        return f"{'invoice' if self.is_invoice else 'debit memo'} {self.number}"

    def with_lines(self, lines: tuple[TargetLine, ...]) -> "Target":
        """The same document with lines that gained or lost credit, checked anew."""
        same = _like(self, lines=lines)
        same.__post_init__()
        return same


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceTax:
    """A taxation item of an invoice, as a source of credit (domain.md 2.8, 4.1, 4.3)."""

    id: str
    item_id: str
    name: str
    tax_amount: int
    credited_by_memos: int
    """Tax of Posted, not reversed memos' taxation items made from it (domain.md 4.3, 7.35)."""
    exempt_amount: int = 0
    jurisdiction: str | None = None
    location_code: str | None = None
    tax_code: str | None = None
    tax_code_description: str | None = None
    tax_date: date | None = None
    tax_rate: Decimal = Decimal(0)
    tax_rate_description: str | None = None
    tax_rate_type: TaxRateType = TaxRateType.PERCENTAGE
    engine: TaxEngineKind = TaxEngineKind.NONE
    finance: FinanceInformation = NO_FINANCE

    @property
    def left(self) -> int:
        """What of the tax can still be credited (domain.md 4.3)."""
        return self.tax_amount - self.credited_by_memos


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceItem:
    """A line of an invoice, as a source of credit (domain.md 2.8, 4.3)."""

    id: str
    charge_name: str
    charge_amount: int
    """Without tax, whatever the mode; negative for discounts."""
    credited_by_memos: int
    """Net of Posted, not reversed memos' lines made from it (domain.md 4.3)."""
    processing_type: ProcessingType = ProcessingType.CHARGE
    applied_to_item_id: str | None = None
    sku: str | None = None
    tax_mode: TaxMode | None = None
    tax_code: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    unit_of_measure: str | None = None
    service_start_date: date | None = None
    service_end_date: date | None = None
    subscription_id: str | None = None
    finance: FinanceInformation = NO_FINANCE
    taxes: tuple[InvoiceTax, ...] = ()

    @property
    def left(self) -> int:
        """What of the net can still be credited (domain.md 4.3)."""
        return self.charge_amount - self.credited_by_memos


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """An invoice as a source of credit memos (domain.md 1.27, 4.3)."""

    id: str
    number: str
    account_id: str
    currency: str
    status: MemoStatus
    invoice_date: date
    credited_by_memos: int
    """Amount of Posted, not reversed memos made from it (domain.md 4.3)."""
    tax_credited_by_memos: int
    """The tax in that amount."""
    items: tuple[InvoiceItem, ...]

    @cached_property
    def amount(self) -> int:
        """The total including tax."""
        return sum(item.charge_amount for item in self.items) + self.tax_amount

    @cached_property
    def tax_amount(self) -> int:
        """The sum of the taxation items."""
        return sum(tax.tax_amount for item in self.items for tax in item.taxes)

    @property
    def available_to_credit(self) -> int:
        """What can still be credited (domain.md 4.3)."""
        return self.amount - self.credited_by_memos

    @property
    def tax_available_to_credit(self) -> int:
        """What of its tax can still be credited."""
        return self.tax_amount - self.tax_credited_by_memos


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """An accounting period (domain.md 2.9)."""

    name: str
    start_date: date
    end_date: date
    closed: bool
