"""Accounts, the catalog, and what a tenant configures: codes, periods, currencies, rates, numbering, settings, keys."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from cm_graphql.domain.enums import (
    AccountStatus,
    ChargeModel,
    ChargeType,
    DocumentType,
    PaymentMethodType,
    PeriodStatus,
    ReasonCodeType,
    RoundingMode,
    TaxMode,
    TaxRateType,
)
from cm_graphql.store.tables._columns import (
    audit,
    currency,
    custom_fields,
    flag,
    id_column,
    index,
    line_finance,
    metadata,
    reference,
    words,
)
from cm_graphql.store.types import Amount, JsonText, PlainText, Scaled, Timestamp, enum_column

contacts = Table(
    "contacts",
    metadata,
    id_column(),
    words("first_name"),
    words("last_name"),
    words("work_email"),
    words("personal_email"),
    words("address1"),
    words("city"),
    words("state"),
    words("postal_code"),
    words("country"),
    *audit(),
)

sequence_sets = Table("sequence_sets", metadata, id_column(), words("name", nullable=False), UniqueConstraint("name"))
"""Named sets of number sequences; `DEFAULT` is always there (domain.md 0, Numbers)."""

sequences = Table(
    "sequences",
    metadata,
    reference("set_id", "sequence_sets", cascade=True),
    *enum_column("document_type", DocumentType),
    words("prefix", nullable=False),
    Column("next_number", BigInteger, nullable=False),
    PrimaryKeyConstraint("set_id", "document_type"),
    CheckConstraint("next_number >= 1", name="next_number"),
)
"""The prefix and the next number of one document type in one set; lock the row to take a number."""

accounts = Table(
    "accounts",
    metadata,
    id_column(),
    words("number", nullable=False),
    words("name", nullable=False),
    currency(),
    *enum_column("status", AccountStatus, default=AccountStatus.ACTIVE),
    reference("bill_to_contact_id", "contacts", nullable=True),
    Column("additional_email_addresses", JsonText, nullable=False, server_default="[]"),
    Column("payment_term_days", Integer, nullable=False, server_default="30"),
    words("gateway_id"),
    reference("sequence_set_id", "sequence_sets", nullable=True),
    custom_fields(),
    *audit(),
    UniqueConstraint("number"),
    CheckConstraint("payment_term_days >= 0", name="payment_term_days"),
    index("accounts", "name", "id"),
    index("accounts", "bill_to_contact_id"),
)

payment_methods = Table(
    "payment_methods",
    metadata,
    id_column(),
    reference("account_id", "accounts"),
    *enum_column("type", PaymentMethodType),
    flag("electronic"),
    *audit(),
    index("payment_methods", "account_id"),
)

product_rate_plan_charges = Table(
    "product_rate_plan_charges",
    metadata,
    id_column(),
    words("name", nullable=False),
    words("sku"),
    *enum_column("charge_model", ChargeModel),
    *enum_column("charge_type", ChargeType),
    words("unit_of_measure"),
    flag("taxable"),
    *enum_column("tax_mode", TaxMode, nullable=True),
    words("tax_code"),
    Column("effective_start_date", Date),
    Column("effective_end_date", Date),
    *line_finance(),
    custom_fields(),
    *audit(),
    index("product_rate_plan_charges", "name", "id"),
)

product_rate_plan_charge_prices = Table(
    "product_rate_plan_charge_prices",
    metadata,
    reference("charge_id", "product_rate_plan_charges", cascade=True),
    currency(),
    Column("price", Scaled, nullable=False),
    PrimaryKeyConstraint("charge_id", "currency"),
)

reason_codes = Table(
    "reason_codes",
    metadata,
    id_column(),
    words("name", nullable=False),
    *enum_column("type", ReasonCodeType),
    flag("active", default=True),
    flag("is_default"),
    *audit(),
    UniqueConstraint("type", "name"),
)

accounting_periods = Table(
    "accounting_periods",
    metadata,
    id_column(),
    words("name", nullable=False),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False),
    *enum_column("status", PeriodStatus, default=PeriodStatus.OPEN),
    *audit(),
    UniqueConstraint("name"),
    CheckConstraint("start_date <= end_date", name="dates"),
    index("accounting_periods", "start_date"),
)

currencies = Table(
    "currencies",
    metadata,
    Column("code", PlainText, primary_key=True),
    flag("active", default=True),
    *enum_column("rounding_mode", RoundingMode, default=RoundingMode.HALF_UP),
    Column("rounding_increment", Amount),
    *audit(),
    CheckConstraint("rounding_increment > 0", name="rounding_increment"),
)
"""What the tenant changed about a currency; one without a row is active, rounds half up and has no increment."""

tax_rates = Table(
    "tax_rates",
    metadata,
    words("tax_code", nullable=False),
    words("jurisdiction", nullable=False),
    words("name", nullable=False),
    Column("rate", Scaled, nullable=False),
    *enum_column("tax_rate_type", TaxRateType, default=TaxRateType.PERCENTAGE),
    words("location_code"),
    *audit(),
    PrimaryKeyConstraint("tax_code", "jurisdiction", "name"),
)
"""What the tax engine `table` charges on standalone lines (domain.md 7.23)."""

settings = Table(
    "settings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("document", JsonText, nullable=False, server_default="{}"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("updated_by_id", PlainText),
    Column("updated_date", Timestamp),
    CheckConstraint("id = 1", name="single"),
    CheckConstraint("version >= 1", name="version"),
)
"""One row, id 1: a JSON object of the settings that were changed; what is missing has its default."""

registered_documents = Table(
    "registered_documents",
    metadata,
    Column("id", PlainText, primary_key=True),
    words("hash", nullable=False),
    words("text", nullable=False),
    Column("created_by_id", PlainText, nullable=False),
    Column("created_date", Timestamp, nullable=False),
    index("registered_documents", "hash"),
)
"""GraphQL documents that clients were built with, by the ids they call them; `hash` is the SHA-256 of the text."""

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    words("name", nullable=False),
    words("hash", nullable=False),
    Column("scopes", JsonText, nullable=False, server_default="[]"),
    Column("account_ids", JsonText),
    Column("expires_on", Timestamp),
    Column("revoked_on", Timestamp),
    Column("last_used_on", Timestamp),
    *audit(),
    UniqueConstraint("hash"),
)
"""Keys of callers, hashed. `account_ids` limits what a key may see; NULL is no limit."""
