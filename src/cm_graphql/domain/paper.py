"""What the PDF of a credit memo shows: the memo, whom it is for, who issues it, and its taxes summed up by rate."""

from dataclasses import dataclass
from decimal import Decimal

from cm_graphql.domain.billing import Account
from cm_graphql.domain.enums import TaxRateType
from cm_graphql.domain.records import CreditMemo
from cm_graphql.domain.rulebook import TenantSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxSum:
    """All taxation items of one name, rate and kind of rate."""

    name: str
    rate: Decimal
    rate_type: TaxRateType
    base: int
    """The net of the lines taxed, in ten-thousandths."""
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
        """The taxes by name and rate, in the order in which they first occur; those not taxed at all left out."""
        sums: dict[tuple[str, Decimal, TaxRateType], list[int]] = {}
        for item in self.memo.items:
            for tax in item.taxation_items:
                found = sums.setdefault((tax.name, tax.tax_rate.normalize(), tax.tax_rate_type), [0, 0, 0])
                found[0] += item.net
                found[1] += tax.tax_amount
                found[2] += tax.exempt_amount
        return tuple(
            TaxSum(name=name, rate=rate, rate_type=rate_type, base=base, tax=tax, exempt=exempt)
            for (name, rate, rate_type), (base, tax, exempt) in sums.items()
        )
