"""The debit memo that undoes a credit memo: its mirror image, line by line, settled by it at once (domain.md 2.7)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from cm_graphql.domain.billing import due_date
from cm_graphql.domain.enums import (
    ItemSourceType,
    MemoStatus,
    ProcessingType,
    SourceType,
    TaxMode,
    TaxRateType,
    TransferredToAccounting,
)
from cm_graphql.domain.ledger import Pair
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import (
    NO_FINANCE,
    CreditMemo,
    CreditMemoItem,
    FinanceInformation,
    Stamp,
    Target,
    TargetLine,
    TaxationItem,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitMemoTaxationItem:
    """One tax on one debit memo line (domain.md 2.7)."""

    id: str
    item_id: str
    position: int
    name: str
    tax_amount: int
    credited: int
    """Credit applied to it: `creditAmount`."""
    exempt_amount: int = 0
    jurisdiction: str = ""
    location_code: str | None = None
    tax_code: str | None = None
    tax_code_description: str | None = None
    tax_date: date | None = None
    tax_rate: Decimal = Decimal(0)
    tax_rate_description: str | None = None
    tax_rate_type: TaxRateType = TaxRateType.PERCENTAGE
    source_tax_item_id: str | None = None
    """The credit memo taxation item that it mirrors."""
    finance: FinanceInformation = NO_FINANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitMemoItem:
    """One line of a debit memo with its taxation items (domain.md 2.7)."""

    id: str
    position: int
    amount: int
    """As on the credit memo: net of a tax-exclusive line, gross of an inclusive one."""
    net: int
    """`amountWithoutTax`, which is what credit is applied to."""
    credited: int
    """Credit applied to it: `beAppliedAmount`."""
    sku_name: str
    source_item_type: ItemSourceType
    source_item_id: str
    tax_mode: TaxMode = TaxMode.TAX_EXCLUSIVE
    processing_type: ProcessingType = ProcessingType.CHARGE
    applied_to_item_id: str | None = None
    """The line of this debit memo that mirrors the line which the mirrored one discounts."""
    sku: str | None = None
    description: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    unit_of_measure: str | None = None
    service_start_date: date | None = None
    service_end_date: date | None = None
    subscription_id: str | None = None
    finance: FinanceInformation = NO_FINANCE
    taxation_items: tuple[DebitMemoTaxationItem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DebitMemo:
    """A debit memo with all its lines (domain.md 2.7)."""

    id: str
    number: str
    account_id: str
    currency: Currency
    status: MemoStatus
    debit_memo_date: date
    due_date: date
    items: tuple[DebitMemoItem, ...]
    source_type: SourceType
    reason_code: str | None
    referred_credit_memo_id: str | None = None
    comment: str | None = None
    auto_pay: bool = True
    transferred_to_accounting: TransferredToAccounting = TransferredToAccounting.NO
    posted_by_id: str | None = None
    posted_on: datetime | None = None
    custom_fields: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def tax_amount(self) -> int:
        """The sum of the taxation items."""
        return sum(tax.tax_amount for item in self.items for tax in item.taxation_items)

    @cached_property
    def amount(self) -> int:
        """The total including tax."""
        return sum(item.net for item in self.items) + self.tax_amount

    @cached_property
    def exempt_amount(self) -> int:
        """The tax that exemptions waived."""
        return sum(tax.exempt_amount for item in self.items for tax in item.taxation_items)

    @property
    def credited(self) -> int:
        """Credit applied to it: `beAppliedAmount`."""
        return self.target.credited

    @property
    def balance(self) -> int:
        """What is still owed on it."""
        return self.amount - self.credited

    @cached_property
    def target(self) -> Target:
        """The debit memo as something that credit is applied to."""
        lines: list[TargetLine] = []
        for item in self.items:
            lines.append(TargetLine(id=item.id, worth=item.net, credited=item.credited))
            lines.extend(
                TargetLine(
                    id=tax.id,
                    worth=tax.tax_amount,
                    credited=tax.credited,
                    item_id=item.id,
                    name=tax.name,
                    location_code=tax.location_code,
                    jurisdiction=tax.jurisdiction,
                    tax_rate=tax.tax_rate,
                )
                for tax in item.taxation_items
            )
        return Target(
            id=self.id,
            number=self.number,
            account_id=self.account_id,
            currency=self.currency.code,
            status=self.status,
            document_date=self.debit_memo_date,
            lines=tuple(lines),
        )


def mirror(
    memo: CreditMemo,
    *,
    number: str,
    memo_date: date,
    payment_term_days: int,
    reason_code: str | None,
    comment: str | None,
    custom_fields: Mapping[str, Any],
    stamp: Stamp,
) -> tuple[DebitMemo, dict[Pair, int]]:
    """Make the posted debit memo that owes what a memo credits, settled line by line, and say which line settles which.

    Every line is mirrored; one of 0 settles nothing (domain.md 4.7).
    """
    ids = {item.id: stamp.new_id("dmi") for item in memo.items}
    items = tuple(_mirrored(item, ids, stamp) for item in memo.items)
    amounts: dict[Pair, int] = {}
    for item in items:
        amounts[(item.source_item_id, item.id)] = item.net
        for tax in item.taxation_items:
            assert tax.source_tax_item_id is not None
            amounts[(tax.source_tax_item_id, tax.id)] = tax.tax_amount
    debit_memo = DebitMemo(
        id=stamp.new_id("dm"),
        number=number,
        account_id=memo.account_id,
        currency=memo.currency,
        status=MemoStatus.POSTED,
        debit_memo_date=memo_date,
        due_date=due_date(memo_date, payment_term_days),
        items=items,
        source_type=SourceType.CREDIT_MEMO,
        reason_code=reason_code,
        referred_credit_memo_id=memo.id,
        comment=comment,
        posted_by_id=stamp.by,
        posted_on=stamp.at,
        custom_fields=custom_fields,
    )
    assert debit_memo.amount == memo.amount
    assert debit_memo.balance == 0, "a mirror is settled by what it mirrors"
    return debit_memo, {pair: amount for pair, amount in amounts.items() if amount}


def _mirrored(item: CreditMemoItem, ids: Mapping[str, str], stamp: Stamp) -> DebitMemoItem:
    return DebitMemoItem(
        id=ids[item.id],
        position=item.position,
        amount=item.amount,
        net=item.net,
        credited=item.net,
        sku_name=item.sku_name,
        source_item_type=ItemSourceType.CREDIT_MEMO_ITEM,
        source_item_id=item.id,
        tax_mode=item.tax_mode,
        processing_type=item.processing_type,
        applied_to_item_id=ids.get(item.applied_to_item_id) if item.applied_to_item_id else None,
        sku=item.sku,
        description=item.description,
        quantity=item.quantity,
        unit_price=item.unit_price,
        unit_of_measure=item.unit_of_measure,
        service_start_date=item.service_start_date,
        service_end_date=item.service_end_date,
        subscription_id=item.subscription_id,
        finance=item.finance,
        taxation_items=tuple(_mirrored_tax(tax, ids[item.id], stamp) for tax in item.taxation_items),
    )


def _mirrored_tax(tax: TaxationItem, item_id: str, stamp: Stamp) -> DebitMemoTaxationItem:
    return DebitMemoTaxationItem(
        id=stamp.new_id("dmt"),
        item_id=item_id,
        position=tax.position,
        name=tax.name,
        tax_amount=tax.tax_amount,
        credited=tax.tax_amount,
        exempt_amount=tax.exempt_amount,
        jurisdiction=tax.jurisdiction,
        location_code=tax.location_code,
        tax_code=tax.tax_code,
        tax_code_description=tax.tax_code_description,
        tax_date=tax.tax_date,
        tax_rate=tax.tax_rate,
        tax_rate_description=tax.tax_rate_description,
        tax_rate_type=tax.tax_rate_type,
        source_tax_item_id=tax.id,
        finance=tax.finance,
    )
