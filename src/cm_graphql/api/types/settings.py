"""A tenant's settings, and what else it says of its books that has no id: currencies and tax rates."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry
from sqlalchemy import and_, select

from cm_graphql.domain.enums import ApplicationRule, AvailableToCreditRule, RoundingMode
from cm_graphql.fields.declare import NAMES
from cm_graphql.fields.loaders import Loaders
from cm_graphql.fields.wire import show_amount
from cm_graphql.store import tables as t
from cm_graphql.store.reference import settings_of
from cm_graphql.store.session import DECIMALS

__all__ = ["Currency", "Settings", "TaxRate", "read_currency", "read_settings", "read_tax_rate"]


@strawberry.type(description="What the tenant has chosen; where it has not, the defaults.")
class Settings:
    """The tenant's settings (domain.md 2.9, TenantSettings)."""

    application_rule: ApplicationRule = strawberry.field(
        description="How credit is spread over lines unless told: PRORATION (the default) or FIFO."
    )
    proration_limit: int = strawberry.field(
        description="Beyond this many pairs of lines FIFO is used instead of PRORATION; 10,000 unless changed."
    )
    available_to_credit_rule: AvailableToCreditRule = strawberry.field(
        description="How strictly memos are held to what was invoiced; HEADER_ONLY unless changed."
    )
    count_billing_engine_credits: bool = strawberry.field(
        description="Whether memos of the billing engine count as credited; they do unless changed."
    )
    number_on_posting: bool = strawberry.field(
        description="Whether drafts have a number like `TMP-CM-00000004` and get the formal one at posting."
    )
    unpost_rule: bool = strawberry.field(
        description="Whether what a closed accounting period has recognized cannot be unposted."
    )
    allow_cross_pairs: bool = strawberry.field(
        description="Whether explicit items may pair an item with a taxation item."
    )
    tax_engine: str = strawberry.field(
        description="Who prices the tax of lines made from charges: `none` (the default), `table` or `avalara`."
    )
    time_zone: str = strawberry.field(
        description="The IANA name of the time zone that decides which day it is; `UTC` unless changed."
    )
    company_name: str = strawberry.field(description="Who issues the memos, at the head of their PDFs.")
    company_address: str = strawberry.field(description="The issuer's address, with line breaks.")
    company_country: str = strawberry.field(description="The issuer's country, by the two letters of ISO 3166.")
    company_tax_id: str = strawberry.field(description="The number under which the issuer pays tax.")
    pdf_color: str = strawberry.field(description="The colour of PDFs, as in `#1F3A5F`.")
    pdf_footer: str = strawberry.field(description="The last lines of each page of PDFs.")
    pdf_locale: str = strawberry.field(
        description="How PDFs spell and label dates and amounts; `en-US` unless changed."
    )
    pdf_paper: str = strawberry.field(description="The paper of PDFs: `a4` (the default) or `us-letter`.")
    einvoice: bool = strawberry.field(description="Whether PDFs carry an electronic invoice (Factur-X, type 381).")
    email_notification: bool = strawberry.field(
        description="Whether credit memos can be mailed; they can unless changed."
    )
    email_attach_pdf: bool = strawberry.field(description="Whether the PDF is attached to mails; it is unless changed.")
    email_to: str = strawberry.field(
        description="Where mails go with `useEmailTemplateSetting`: addresses separated by commas."
    )
    email_subject: str = strawberry.field(description="The template of a mail's subject; empty for the built-in one.")
    email_text: str = strawberry.field(description="The template of a mail as text; empty for the built-in one.")
    email_html: str = strawberry.field(description="The template of a mail as HTML; empty for the built-in one.")
    version: int = strawberry.field(description="How often the settings were changed, counted from 1.")
    updated_by_id: strawberry.ID | None = strawberry.field(
        description="Who changed them last: the id of a user or an API key; null when nobody did."
    )
    updated_date: datetime | None = strawberry.field(
        description="When they were last changed; null when they never were."
    )


async def read_settings(loaders: Loaders, _kept: Any = None) -> Settings:
    """The settings as they are now."""
    loaders.require("settings:read")
    (row,) = await loaders.source.rows(select(t.settings).where(t.settings.c.id == 1))
    return Settings(
        **asdict(settings_of(row.document)),
        version=row.version,
        updated_by_id=row.updated_by_id,
        updated_date=row.updated_date,
    )


@strawberry.type(description="How the tenant uses a currency.")
class Currency:
    """A currency (domain.md 0 Money, 2.9)."""

    code: str = strawberry.field(description="The ISO 4217 code.")
    decimals: int = strawberry.field(description="How many decimals its amounts have, 0 to 4.")
    active: bool = strawberry.field(description="Whether new documents can be in it.")
    rounding_mode: RoundingMode = strawberry.field(description="How computed amounts are rounded.")
    rounding_increment: Decimal | None = strawberry.field(
        description="What computed amounts are rounded to a multiple of; null for the smallest amount."
    )


async def read_currency(loaders: Loaders, code: str) -> Currency:
    """A currency as it is used now."""
    loaders.require("settings:read")
    rows = await loaders.source.rows(select(t.currencies).where(t.currencies.c.code == code))
    row = rows[0] if rows else None
    increment = row.rounding_increment if row else None
    return Currency(
        code=code,
        decimals=DECIMALS[code],
        active=row.active if row else True,
        rounding_mode=row.rounding_mode if row else RoundingMode.HALF_UP,
        rounding_increment=None if increment is None else Decimal(show_amount(increment, code)),
    )


@strawberry.type(description="A rate of the tax engine `table`, which prices lines made from charges.")
class TaxRate:
    """A tax rate (domain.md 7.23)."""

    tax_code: str = strawberry.field(description="The tax code of the charges that it is for.")
    jurisdiction: str = strawberry.field(
        description="The country, state, city or postal code of the accounts that it is for."
    )
    name: str = strawberry.field(description="The name of the tax.")
    rate: Decimal = strawberry.field(description="The rate: 0.0625 is 6.25 %.")
    location_code: str | None = strawberry.field(description="The identifier of the jurisdiction.")


async def read_tax_rate(loaders: Loaders, key: Sequence[str]) -> TaxRate | None:
    """The rate of a tax code, a jurisdiction and a name as it is now."""
    loaders.require("settings:read")
    c = t.tax_rates.c
    same = and_(*(column == value for column, value in zip((c.tax_code, c.jurisdiction, c.name), key, strict=True)))
    rows = await loaders.source.rows(select(t.tax_rates).where(same))
    if not rows:
        return None
    row = rows[0]
    return TaxRate(
        tax_code=row.tax_code,
        jurisdiction=row.jurisdiction,
        name=row.name,
        rate=row.rate,
        location_code=row.location_code,
    )


NAMES.update({"Settings": Settings, "Currency": Currency, "TaxRate": TaxRate})
