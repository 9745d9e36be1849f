"""What a tenant says about its own books: settings, reason codes, accounting periods, currencies, tax rates."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from cm_graphql.domain.commands.base import UNSET, Command, Doc, Unset
from cm_graphql.domain.enums import (
    ApplicationRule,
    AvailableToCreditRule,
    PeriodStatus,
    ReasonCodeType,
    RoundingMode,
)


@dataclass(frozen=True, kw_only=True)
class SyncedReasonCode:
    """Why a document exists. It is found by type and name, in any capitals, and then spelled as given."""

    name: Annotated[str, Doc("Its name, at most 255 characters.")]
    type: Annotated[ReasonCodeType, Doc("Which documents it is for.")]
    active: Annotated[bool, Doc("Whether new documents can have it.")] = True
    is_default: Annotated[
        bool | None,
        Doc("Whether documents have it when they name none; the former default ceases to be. Left out: as it was."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class SyncReasonCodes(Command):
    """Create or replace reason codes, each in its own transaction; a tenant has at most 300."""

    reason_codes: Annotated[tuple[SyncedReasonCode, ...], Doc("1 to 100 reason codes.")]


@dataclass(frozen=True, kw_only=True)
class SyncedAccountingPeriod:
    """A span of days that is closed as a whole. It is found by its name."""

    name: Annotated[str, Doc("Its name, at most 255 characters.")]
    start_date: Annotated[date, Doc("Its first day.")]
    end_date: Annotated[date, Doc("Its last day, not before the first.")]
    status: Annotated[PeriodStatus, Doc("Whether it still takes entries.")] = PeriodStatus.OPEN


@dataclass(frozen=True, kw_only=True)
class SyncAccountingPeriods(Command):
    """Create or replace accounting periods, each in its own transaction."""

    accounting_periods: Annotated[tuple[SyncedAccountingPeriod, ...], Doc("1 to 100 accounting periods.")]


@dataclass(frozen=True, kw_only=True)
class SyncedCurrency:
    """How the tenant uses a currency; what is left out stays as it is."""

    code: Annotated[str, Doc("The ISO 4217 code, which tells the decimals.")]
    active: Annotated[bool | None, Doc("Whether new documents can be in it; it is until told otherwise.")] = None
    rounding_mode: Annotated[RoundingMode | None, Doc("How amounts are rounded; HALF_UP until told otherwise.")] = None
    rounding_increment: Annotated[
        Decimal | Unset | None,
        Doc("What computed amounts are rounded to a multiple of, as 0.05; null: the smallest amount."),
    ] = UNSET


@dataclass(frozen=True, kw_only=True)
class SyncCurrencies(Command):
    """Say how currencies are used, each in its own transaction."""

    currencies: Annotated[tuple[SyncedCurrency, ...], Doc("1 to 100 currencies.")]


@dataclass(frozen=True, kw_only=True)
class SyncedTaxRate:
    """A rate of the tax engine `table`. It is found by tax code, jurisdiction and name."""

    tax_code: Annotated[str, Doc("The tax code of the charges that it is for, at most 255 characters.")]
    jurisdiction: Annotated[
        str, Doc("The country, state, city or postal code of the accounts that it is for, at most 255 characters.")
    ]
    name: Annotated[str, Doc("The name of the tax, at most 255 characters.")]
    rate: Annotated[Decimal, Doc("0.0625 is 6.25 %; 0 or more, at most 9 fraction digits.")]
    location_code: Annotated[str | None, Doc("The identifier of the jurisdiction.")] = None


@dataclass(frozen=True, kw_only=True)
class SyncTaxRates(Command):
    """Create or replace tax rates, each in its own transaction."""

    tax_rates: Annotated[tuple[SyncedTaxRate, ...], Doc("1 to 100 tax rates.")]


@dataclass(frozen=True, kw_only=True)
class UpdateSettings(Command):
    """Change the tenant's choices; what is left out stays as it is."""

    application_rule: Annotated[
        ApplicationRule | None, Doc("How credit is spread over lines unless told: PRORATION or FIFO.")
    ] = None
    proration_limit: Annotated[
        int | None, Doc("Beyond this many pairs of lines FIFO is used instead of PRORATION; 0 to 1,000,000.")
    ] = None
    available_to_credit_rule: Annotated[
        AvailableToCreditRule | None, Doc("How strictly memos are held to what was invoiced.")
    ] = None
    count_billing_engine_credits: Annotated[
        bool | None, Doc("Whether memos of the billing engine count as credited.")
    ] = None
    number_on_posting: Annotated[
        bool | None, Doc("Give drafts a number like `TMP-CM-00000004`, and the formal one at posting.")
    ] = None
    unpost_rule: Annotated[bool | None, Doc("Refuse to unpost what a closed accounting period has recognized.")] = None
    allow_cross_pairs: Annotated[bool | None, Doc("Let explicit items pair an item with a taxation item.")] = None
    tax_engine: Annotated[
        str | None, Doc("Who prices the tax of lines made from charges: `none`, `table` or `avalara`.")
    ] = None
    time_zone: Annotated[str | None, Doc("The IANA name of the time zone that decides which day it is.")] = None
    company_name: Annotated[str | None, Doc("Who issues the memos, at the head of their PDFs.")] = None
    company_address: Annotated[str | None, Doc("The issuer's address, with line breaks, at most 1,000 characters.")] = (
        None
    )
    company_country: Annotated[str | None, Doc("The issuer's country, by the two letters of ISO 3166.")] = None
    company_tax_id: Annotated[str | None, Doc("The number under which the issuer pays tax, as on PDFs.")] = None
    pdf_color: Annotated[str | None, Doc("The colour of PDFs, as in `#1F3A5F`.")] = None
    pdf_footer: Annotated[str | None, Doc("The last lines of each page of PDFs, at most 1,000 characters.")] = None
    pdf_locale: Annotated[str | None, Doc("How PDFs spell and label dates and amounts: a tag such as `de-CH`.")] = None
    pdf_paper: Annotated[str | None, Doc("The paper of PDFs: `a4` or `us-letter`.")] = None
    einvoice: Annotated[bool | None, Doc("Put an electronic invoice (Factur-X, type 381) into PDFs.")] = None
    email_notification: Annotated[bool | None, Doc("Let credit memos be mailed.")] = None
    email_attach_pdf: Annotated[bool | None, Doc("Attach the PDF to mails.")] = None
    email_to: Annotated[
        str | None, Doc("Where mails go with `useEmailTemplateSetting`: addresses separated by commas.")
    ] = None
    email_subject: Annotated[
        str | None,
        Doc(
            "The template of a mail's subject, at most 255 characters, with values in double braces such as "
            "`{{ number }}`; empty for the built-in one."
        ),
    ] = None
    email_text: Annotated[
        str | None, Doc("The template of a mail as text, at most 20,000 characters; empty for the built-in one.")
    ] = None
    email_html: Annotated[
        str | None, Doc("The template of a mail as HTML, at most 20,000 characters; empty for the built-in one.")
    ] = None
