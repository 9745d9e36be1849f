"""What a caller says to have taxation items added to a draft."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from cm_graphql.domain.commands.base import Doc, Json, Key, MemoCommand
from cm_graphql.domain.commands.creation import TaxFinanceInformation
from cm_graphql.domain.enums import TaxRateType


@dataclass(frozen=True, kw_only=True)
class NewTaxationItem:
    """A tax to be added to one line of the memo."""

    memo_item_id: Annotated[Key | None, Doc("The credit memo item that is taxed. Always needed.")] = None
    name: Annotated[str, Doc("The name of the tax, at most 255 characters.")]
    jurisdiction: Annotated[str, Doc("The state, province, county or city that levies the tax.")]
    tax_amount: Annotated[
        Decimal, Doc("The tax, in the memo's currency, with at most its decimals and the sign of its line.")
    ]
    tax_rate: Annotated[Decimal, Doc("0.0625 is 6.25 %; 0 or more, at most 9 fraction digits.")]
    tax_rate_type: Annotated[TaxRateType, Doc("How the tax is computed.")]
    exempt_amount: Annotated[Decimal | None, Doc("The tax that an exemption waived; 0 when left out.")] = None
    source_tax_item_id: Annotated[
        Key | None,
        Doc(
            "The invoice's taxation item that it credits, for memos made from an invoice. Left out, the one of the "
            "line's invoice item with the same location code, jurisdiction and rate, if any."
        ),
    ] = None
    location_code: Annotated[str | None, Doc("The identifier of the jurisdiction.")] = None
    tax_code: Annotated[str | None, Doc("The tax code.")] = None
    tax_code_description: Annotated[str | None, Doc("Free text about the tax code, at most 255 characters.")] = None
    tax_rate_description: Annotated[str | None, Doc("Free text about the rate, at most 255 characters.")] = None
    tax_date: Annotated[date | None, Doc("The day that the tax is levied on.")] = None
    finance_information: Annotated[TaxFinanceInformation | None, Doc("Where the tax is booked.")] = None
    custom_fields: Annotated[Json | None, Doc("Fields of your own; their names end in `__c`.")] = None


@dataclass(frozen=True, kw_only=True)
class CreateCreditMemoTaxationItems(MemoCommand):
    """Add taxes to lines of a draft; the tax of such a line is no longer computed from then on.

    Not for tax-inclusive lines, nor where the invoice item's tax was computed by an engine.
    """

    taxation_items: Annotated[tuple[NewTaxationItem, ...], Doc("1 to 1,000 taxes.")]
