"""Accounts, the catalog and what a tenant configures."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import Amount, Id, JsonText, PlainText, Scaled, Timestamp

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, parents first."""
    _contacts()
    _sequence_sets()
    _sequences()
    _accounts()
    _payment_methods()
    _product_rate_plan_charges()
    _product_rate_plan_charge_prices()
    _reason_codes()
    _accounting_periods()
    _currencies()
    _tax_rates()
    _settings()
    _api_keys()


def downgrade() -> None:
    """Drop the tables, children first."""
    for table in (
        "api_keys",
        "settings",
        "tax_rates",
        "currencies",
        "accounting_periods",
        "reason_codes",
        "product_rate_plan_charge_prices",
        "product_rate_plan_charges",
        "payment_methods",
        "accounts",
        "sequences",
        "sequence_sets",
        "contacts",
    ):
        op.drop_table(table)


def _contacts() -> None:
    op.create_table(
        "contacts",
        sa.Column("id", Id, nullable=False),
        sa.Column("first_name", PlainText),
        sa.Column("last_name", PlainText),
        sa.Column("work_email", PlainText),
        sa.Column("personal_email", PlainText),
        sa.Column("address1", PlainText),
        sa.Column("city", PlainText),
        sa.Column("state", PlainText),
        sa.Column("postal_code", PlainText),
        sa.Column("country", PlainText),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
    )


def _sequence_sets() -> None:
    op.create_table(
        "sequence_sets",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sequence_sets")),
        sa.UniqueConstraint("name", name=op.f("uq_sequence_sets_name")),
    )


def _sequences() -> None:
    op.create_table(
        "sequences",
        sa.Column("set_id", Id, nullable=False),
        sa.Column("document_type", PlainText, nullable=False),
        sa.Column("prefix", PlainText, nullable=False),
        sa.Column("next_number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("set_id", "document_type", name=op.f("pk_sequences")),
        sa.ForeignKeyConstraint(["set_id"], ["sequence_sets.id"], ondelete="CASCADE", name=op.f("fk_sequences_set_id")),
        sa.CheckConstraint(
            "document_type IN ('INVOICE', 'CREDIT_MEMO', 'DEBIT_MEMO', 'PAYMENT', 'REFUND', 'CREDIT_MEMO_DRAFT')",
            name=op.f("ck_sequences_document_type"),
        ),
        sa.CheckConstraint("next_number >= 1", name=op.f("ck_sequences_next_number")),
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", Id, nullable=False),
        sa.Column("number", PlainText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("status", PlainText, server_default="ACTIVE", nullable=False),
        sa.Column("bill_to_contact_id", Id),
        sa.Column("additional_email_addresses", JsonText, server_default="[]", nullable=False),
        sa.Column("payment_term_days", sa.Integer, server_default="30", nullable=False),
        sa.Column("gateway_id", PlainText),
        sa.Column("sequence_set_id", Id),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.ForeignKeyConstraint(["bill_to_contact_id"], ["contacts.id"], name=op.f("fk_accounts_bill_to_contact_id")),
        sa.ForeignKeyConstraint(["sequence_set_id"], ["sequence_sets.id"], name=op.f("fk_accounts_sequence_set_id")),
        sa.UniqueConstraint("number", name=op.f("uq_accounts_number")),
        sa.CheckConstraint("payment_term_days >= 0", name=op.f("ck_accounts_payment_term_days")),
        sa.CheckConstraint("status IN ('DRAFT', 'ACTIVE', 'CANCELED')", name=op.f("ck_accounts_status")),
    )
    op.create_index(op.f("ix_accounts_bill_to_contact_id"), "accounts", ["bill_to_contact_id"], unique=False)
    op.create_index(op.f("ix_accounts_name_id"), "accounts", ["name", "id"], unique=False)


def _payment_methods() -> None:
    op.create_table(
        "payment_methods",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("type", PlainText, nullable=False),
        sa.Column("electronic", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_methods")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_payment_methods_account_id")),
        sa.CheckConstraint(
            "type IN ('ACH', 'CASH', 'CHECK', 'CREDIT_CARD', 'PAYPAL', 'WIRE_TRANSFER', 'DEBIT_CARD',"
            " 'CREDIT_CARD_REFERENCE_TRANSACTION', 'BANK_TRANSFER', 'OTHER')",
            name=op.f("ck_payment_methods_type"),
        ),
    )
    op.create_index(op.f("ix_payment_methods_account_id"), "payment_methods", ["account_id"], unique=False)


def _product_rate_plan_charges() -> None:
    op.create_table(
        "product_rate_plan_charges",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("sku", PlainText),
        sa.Column("charge_model", PlainText, nullable=False),
        sa.Column("charge_type", PlainText, nullable=False),
        sa.Column("unit_of_measure", PlainText),
        sa.Column("taxable", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("tax_mode", PlainText),
        sa.Column("tax_code", PlainText),
        sa.Column("effective_start_date", sa.Date),
        sa.Column("effective_end_date", sa.Date),
        sa.Column("deferred_revenue_accounting_code", PlainText),
        sa.Column("deferred_revenue_accounting_code_type", PlainText),
        sa.Column("recognized_revenue_accounting_code", PlainText),
        sa.Column("recognized_revenue_accounting_code_type", PlainText),
        sa.Column("on_account_accounting_code", PlainText),
        sa.Column("on_account_accounting_code_type", PlainText),
        sa.Column("non_revenue_write_off_accounting_code", PlainText),
        sa.Column("non_revenue_write_off_accounting_code_type", PlainText),
        sa.Column("revenue_recognition_rule_name", PlainText),
        sa.Column("revenue_schedule_number", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_rate_plan_charges")),
        sa.CheckConstraint(
            "charge_model IN ('FLAT_FEE', 'PER_UNIT', 'OVERAGE', 'VOLUME', 'TIERED', 'TIERED_WITH_OVERAGE',"
            " 'DISCOUNT_FIXED_AMOUNT', 'DISCOUNT_PERCENTAGE', 'DELIVERY_PRICING', 'CUSTOM')",
            name=op.f("ck_product_rate_plan_charges_charge_model"),
        ),
        sa.CheckConstraint(
            "charge_type IN ('ONE_TIME', 'RECURRING', 'USAGE')", name=op.f("ck_product_rate_plan_charges_charge_type")
        ),
        sa.CheckConstraint(
            "tax_mode IN ('TAX_EXCLUSIVE', 'TAX_INCLUSIVE')", name=op.f("ck_product_rate_plan_charges_tax_mode")
        ),
    )
    op.create_index(
        op.f("ix_product_rate_plan_charges_name_id"), "product_rate_plan_charges", ["name", "id"], unique=False
    )


def _product_rate_plan_charge_prices() -> None:
    op.create_table(
        "product_rate_plan_charge_prices",
        sa.Column("charge_id", Id, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("price", Scaled, nullable=False),
        sa.PrimaryKeyConstraint("charge_id", "currency", name=op.f("pk_product_rate_plan_charge_prices")),
        sa.ForeignKeyConstraint(
            ["charge_id"],
            ["product_rate_plan_charges.id"],
            ondelete="CASCADE",
            name=op.f("fk_product_rate_plan_charge_prices_charge_id"),
        ),
    )


def _reason_codes() -> None:
    op.create_table(
        "reason_codes",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("type", PlainText, nullable=False),
        sa.Column("active", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("is_default", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reason_codes")),
        sa.UniqueConstraint("type", "name", name=op.f("uq_reason_codes_type_name")),
        sa.CheckConstraint(
            "type IN ('CREDIT_MEMO', 'DEBIT_MEMO', 'CREDIT_MEMO_REFUND')", name=op.f("ck_reason_codes_type")
        ),
    )


def _accounting_periods() -> None:
    op.create_table(
        "accounting_periods",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("start_date", sa.Date, nullable=False),
        sa.Column("end_date", sa.Date, nullable=False),
        sa.Column("status", PlainText, server_default="OPEN", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounting_periods")),
        sa.UniqueConstraint("name", name=op.f("uq_accounting_periods_name")),
        sa.CheckConstraint("start_date <= end_date", name=op.f("ck_accounting_periods_dates")),
        sa.CheckConstraint("status IN ('OPEN', 'CLOSED')", name=op.f("ck_accounting_periods_status")),
    )
    op.create_index(op.f("ix_accounting_periods_start_date"), "accounting_periods", ["start_date"], unique=False)


def _currencies() -> None:
    op.create_table(
        "currencies",
        sa.Column("code", PlainText, nullable=False),
        sa.Column("active", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("rounding_mode", PlainText, server_default="HALF_UP", nullable=False),
        sa.Column("rounding_increment", Amount),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_currencies")),
        sa.CheckConstraint("rounding_increment > 0", name=op.f("ck_currencies_rounding_increment")),
        sa.CheckConstraint("rounding_mode IN ('HALF_UP', 'UP', 'DOWN')", name=op.f("ck_currencies_rounding_mode")),
    )


def _tax_rates() -> None:
    op.create_table(
        "tax_rates",
        sa.Column("tax_code", PlainText, nullable=False),
        sa.Column("jurisdiction", PlainText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("rate", Scaled, nullable=False),
        sa.Column("tax_rate_type", PlainText, server_default="PERCENTAGE", nullable=False),
        sa.Column("location_code", PlainText),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("tax_code", "jurisdiction", "name", name=op.f("pk_tax_rates")),
        sa.CheckConstraint("tax_rate_type IN ('PERCENTAGE', 'FLAT_FEE')", name=op.f("ck_tax_rates_tax_rate_type")),
    )


def _settings() -> None:
    op.create_table(
        "settings",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("document", JsonText, server_default="{}", nullable=False),
        sa.Column("version", sa.Integer, server_default="1", nullable=False),
        sa.Column("updated_by_id", PlainText),
        sa.Column("updated_date", Timestamp),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings")),
        sa.CheckConstraint("id = 1", name=op.f("ck_settings_single")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_settings_version")),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("hash", PlainText, nullable=False),
        sa.Column("scopes", JsonText, server_default="[]", nullable=False),
        sa.Column("account_ids", JsonText),
        sa.Column("expires_on", Timestamp),
        sa.Column("revoked_on", Timestamp),
        sa.Column("last_used_on", Timestamp),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )
