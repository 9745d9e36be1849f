"""What the PDF of a credit memo shows: the memo, whom it is for, who issues it, and its taxes summed up by rate."""

from dataclasses import dataclass
from decimal import Decimal

from cm_graphql.domain.billing import Account
from cm_graphql.domain.enums import TaxRateType
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, TaxationItem
from cm_graphql.domain.rulebook import TenantSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxSum:
    """All taxation items of one name, rate, kind of rate and jurisdiction."""

    name: str
    jurisdiction: str
    rate: Decimal
    rate_type: TaxRateType
    base: int
    """The net of the lines taxed, each line once, in ten-thousandths."""
    tax: int
    exempt: int


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A credit memo with all that its PDF tells beside it."""

    memo: CreditMemo
    account: Account
    settings: TenantSettings
    invoice_number: str | None = None
    """Of the invoice that it was made from."""

    @property
    def net(self) -> int:
        """The total without tax, in ten-thousandths."""
        return self.memo.amount - self.memo.tax_amount

    @property
    def taxes(self) -> tuple[TaxSum, ...]:
        """The taxes by name, rate and jurisdiction, in the order in which they first occur."""
        found: dict[tuple[str, str, Decimal, TaxRateType], list[tuple[CreditMemoItem, TaxationItem]]] = {}
        for item in self.memo.items:
            for tax in item.taxation_items:
                key = (tax.name, tax.jurisdiction, tax.tax_rate.normalize(), tax.tax_rate_type)
                found.setdefault(key, []).append((item, tax))
        return tuple(
            TaxSum(
                name=name,
                jurisdiction=jurisdiction,
                rate=rate,
                rate_type=rate_type,
                base=sum({item.id: item.net for item, _ in taxed}.values()),
                tax=sum(tax.tax_amount for _, tax in taxed),
                exempt=sum(tax.exempt_amount for _, tax in taxed),
            )
            for (name, jurisdiction, rate, rate_type), taxed in found.items()
        )
