"""Credit memos and their lines."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import Amount, Id, JsonText, PlainText, Scaled, Timestamp

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, parents first."""
    _credit_memos()
    _credit_memo_items()
    _credit_memo_taxation_items()


def downgrade() -> None:
    """Drop the tables, children first."""
    for table in ("credit_memo_taxation_items", "credit_memo_items", "credit_memos"):
        op.drop_table(table)


def _credit_memos() -> None:
    op.create_table(
        "credit_memos",
        sa.Column("id", Id, nullable=False),
        sa.Column("number", PlainText, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("status", PlainText, server_default="DRAFT", nullable=False),
        sa.Column("credit_memo_date", sa.Date, nullable=False),
        sa.Column("target_date", sa.Date),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("tax_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("total_tax_exempt_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("applied_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("refund_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("unapplied_amount", Amount, sa.Computed("amount - applied_amount - refund_amount", persisted=True)),
        sa.Column("comment", PlainText),
        sa.Column("reason_code", PlainText),
        sa.Column("source", PlainText, nullable=False),
        sa.Column("source_type", PlainText, nullable=False),
        sa.Column("source_id", PlainText),
        sa.Column("referred_invoice_id", Id),
        sa.Column("auto_apply_upon_posting", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("exclude_from_auto_apply_rules", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("reversed", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("revenue_impacting", PlainText, server_default="YES", nullable=False),
        sa.Column(
            "exclude_item_billing_from_revenue_accounting", sa.Boolean, server_default=sa.false(), nullable=False
        ),
        sa.Column("transferred_to_accounting", PlainText, server_default="NO", nullable=False),
        sa.Column("tax_status", PlainText),
        sa.Column("tax_message", PlainText),
        sa.Column("latest_pdf_file_id", Id),
        sa.Column("posted_by_id", PlainText),
        sa.Column("posted_on", Timestamp),
        sa.Column("cancelled_by_id", PlainText),
        sa.Column("cancelled_on", Timestamp),
        sa.Column("bill_to_contact_id", Id),
        sa.Column("bill_to_contact_snapshot_id", Id),
        sa.Column("invoice_group_number", PlainText),
        sa.Column("sequence_set_id", Id),
        sa.Column("communication_profile_id", Id),
        sa.Column("einvoice_status", PlainText),
        sa.Column("einvoice_file_id", Id),
        sa.Column("einvoice_error_code", PlainText),
        sa.Column("einvoice_error_message", PlainText),
        sa.Column("organization_label", PlainText),
        sa.Column("custom_rates", JsonText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("net_suite", JsonText, server_default="{}", nullable=False),
        sa.Column("version", sa.Integer, server_default="1", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memos")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_credit_memos_account_id")),
        sa.ForeignKeyConstraint(
            ["bill_to_contact_id"], ["contacts.id"], name=op.f("fk_credit_memos_bill_to_contact_id")
        ),
        sa.ForeignKeyConstraint(
            ["referred_invoice_id"], ["invoices.id"], name=op.f("fk_credit_memos_referred_invoice_id")
        ),
        sa.ForeignKeyConstraint(
            ["sequence_set_id"], ["sequence_sets.id"], name=op.f("fk_credit_memos_sequence_set_id")
        ),
        sa.UniqueConstraint("number", name=op.f("uq_credit_memos_number")),
        sa.CheckConstraint(
            "amount >= 0 AND applied_amount >= 0 AND refund_amount >= 0 AND applied_amount + refund_amount <= amount",
            name=op.f("ck_credit_memos_amounts"),
        ),
        sa.CheckConstraint(
            "einvoice_status IN ('PROCESSING', 'RETRIEVE_TIME_OUT', 'GENERATED', 'SUCCESS', 'FAILED',"
            " 'CONDITIONAL_SUCCESS', 'APPROVED_BY_AUTHORITY', 'REJECTED')",
            name=op.f("ck_credit_memos_einvoice_status"),
        ),
        sa.CheckConstraint(
            "status = 'POSTED' OR (applied_amount = 0 AND refund_amount = 0)",
            name=op.f("ck_credit_memos_only_posted_is_used"),
        ),
        sa.CheckConstraint("revenue_impacting IN ('YES', 'NO')", name=op.f("ck_credit_memos_revenue_impacting")),
        sa.CheckConstraint(
            "source IN ('BILL_RUN', 'API', 'API_SUBSCRIBE', 'API_AMEND', 'ADHOC_FROM_PRPC', 'ADHOC_FROM_INVOICE')",
            name=op.f("ck_credit_memos_source"),
        ),
        sa.CheckConstraint(
            "source_type IN ('SUBSCRIPTION', 'STANDALONE', 'INVOICE', 'ORDER', 'CREDIT_MEMO', 'CONSOLIDATION')",
            name=op.f("ck_credit_memos_source_type"),
        ),
        sa.CheckConstraint(
            "status IN ('DRAFT', 'POSTED', 'CANCELED', 'ERROR', 'PENDING_FOR_TAX', 'GENERATING', 'CANCEL_IN_PROGRESS')",
            name=op.f("ck_credit_memos_status"),
        ),
        sa.CheckConstraint(
            "tax_status IN ('COMPLETE', 'ERROR', 'UNKNOWN_ERROR', 'DUPLICATE_DOC', 'INVALID_REQUEST',"
            " 'INVALID_RESPONSE', 'TAX_ENGINE_ERROR', 'CONCURRENT_MODIFY', 'INTERNAL_SERVER_ERROR',"
            " 'TAX_CODE_TEMPLATE_ERROR', 'VOIDED')",
            name=op.f("ck_credit_memos_tax_status"),
        ),
        sa.CheckConstraint(
            "transferred_to_accounting IN ('PROCESSING', 'YES', 'NO', 'ERROR', 'IGNORE')",
            name=op.f("ck_credit_memos_transferred_to_accounting"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_credit_memos_version")),
    )
    op.create_index(op.f("ix_credit_memos_account_id_id"), "credit_memos", ["account_id", "id"], unique=False)
    op.create_index(op.f("ix_credit_memos_account_id_number"), "credit_memos", ["account_id", "number"], unique=False)
    op.create_index(op.f("ix_credit_memos_amount_id"), "credit_memos", ["amount", "id"], unique=False)
    op.create_index(op.f("ix_credit_memos_applied_amount_id"), "credit_memos", ["applied_amount", "id"], unique=False)
    op.create_index(op.f("ix_credit_memos_created_by_id_id"), "credit_memos", ["created_by_id", "id"], unique=False)
    op.create_index(op.f("ix_credit_memos_created_date_id"), "credit_memos", ["created_date", "id"], unique=False)
    op.create_index(
        op.f("ix_credit_memos_credit_memo_date_id"), "credit_memos", ["credit_memo_date", "id"], unique=False
    )
    op.create_index(
        op.f("ix_credit_memos_referred_invoice_id_id"), "credit_memos", ["referred_invoice_id", "id"], unique=False
    )
    op.create_index(op.f("ix_credit_memos_refund_amount_id"), "credit_memos", ["refund_amount", "id"], unique=False)
    op.create_index(op.f("ix_credit_memos_status_id"), "credit_memos", ["status", "id"], unique=False)
    op.create_index(op.f("ix_credit_memos_status_number"), "credit_memos", ["status", "number"], unique=False)
    op.create_index(op.f("ix_credit_memos_target_date_id"), "credit_memos", ["target_date", "id"], unique=False)
    op.create_index(op.f("ix_credit_memos_tax_amount_id"), "credit_memos", ["tax_amount", "id"], unique=False)
    op.create_index(
        op.f("ix_credit_memos_total_tax_exempt_amount_id"),
        "credit_memos",
        ["total_tax_exempt_amount", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memos_transferred_to_accounting_id"),
        "credit_memos",
        ["transferred_to_accounting", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memos_unapplied_amount_id"), "credit_memos", ["unapplied_amount", "id"], unique=False
    )
    op.create_index(op.f("ix_credit_memos_updated_date_id"), "credit_memos", ["updated_date", "id"], unique=False)


def _credit_memo_items() -> None:
    op.create_table(
        "credit_memo_items",
        sa.Column("id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("amount_without_tax", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("applied_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("refund_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column(
            "unapplied_amount",
            Amount,
            sa.Computed("amount_without_tax - applied_amount - refund_amount", persisted=True),
        ),
        sa.Column("tax_mode", PlainText, server_default="TAX_EXCLUSIVE", nullable=False),
        sa.Column("tax_auto_calculation", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("processing_type", PlainText, server_default="CHARGE", nullable=False),
        sa.Column("applied_to_item_id", Id),
        sa.Column("sku", PlainText),
        sa.Column("sku_name", PlainText, nullable=False),
        sa.Column("description", PlainText),
        sa.Column("quantity", Scaled),
        sa.Column("unit_price", Scaled),
        sa.Column("unit_of_measure", PlainText),
        sa.Column("service_start_date", sa.Date),
        sa.Column("service_end_date", sa.Date),
        sa.Column("source_item_type", PlainText, nullable=False),
        sa.Column("source_item_id", Id, nullable=False),
        sa.Column("credit_from_item_source", PlainText),
        sa.Column("credit_from_item_id", Id),
        sa.Column("subscription_id", Id),
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
        sa.Column(
            "exclude_item_billing_from_revenue_accounting", sa.Boolean, server_default=sa.false(), nullable=False
        ),
        sa.Column("revenue_impacting", PlainText, server_default="YES", nullable=False),
        sa.Column("reflect_discount_in_net_amount", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("sold_to_contact_id", Id),
        sa.Column("sold_to_contact_snapshot_id", Id),
        sa.Column("ship_to_contact_id", Id),
        sa.Column("invoice_schedule_id", Id),
        sa.Column("invoice_schedule_item_id", Id),
        sa.Column("number_of_deliveries", Scaled),
        sa.Column("commitment_id", Id),
        sa.Column("commitment_period_id", Id),
        sa.Column("organization_label", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("net_suite", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_items")),
        sa.ForeignKeyConstraint(
            ["applied_to_item_id"],
            ["credit_memo_items.id"],
            deferrable=True,
            initially="DEFERRED",
            name=op.f("fk_credit_memo_items_applied_to_item_id"),
        ),
        sa.ForeignKeyConstraint(
            ["credit_memo_id"],
            ["credit_memos.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_items_credit_memo_id"),
        ),
        sa.CheckConstraint(
            "(amount_without_tax >= 0 AND applied_amount >= 0 AND refund_amount >= 0"
            " AND applied_amount + refund_amount <= amount_without_tax)"
            " OR (amount_without_tax < 0 AND applied_amount <= 0 AND refund_amount <= 0"
            " AND applied_amount + refund_amount >= amount_without_tax)",
            name=op.f("ck_credit_memo_items_amounts"),
        ),
        sa.CheckConstraint(
            "credit_from_item_source IN ('INVOICE_ITEM', 'CREDIT_MEMO_ITEM')",
            name=op.f("ck_credit_memo_items_credit_from_item_source"),
        ),
        sa.CheckConstraint(
            "tax_mode <> 'TAX_EXCLUSIVE' OR amount = amount_without_tax", name=op.f("ck_credit_memo_items_net")
        ),
        sa.CheckConstraint(
            "processing_type IN ('CHARGE', 'DISCOUNT', 'PREPAYMENT', 'TAX', 'ROUNDING')",
            name=op.f("ck_credit_memo_items_processing_type"),
        ),
        sa.CheckConstraint("revenue_impacting IN ('YES', 'NO')", name=op.f("ck_credit_memo_items_revenue_impacting")),
        sa.CheckConstraint(
            "source_item_type IN ('SUBSCRIPTION_COMPONENT', 'INVOICE_DETAIL', 'PRODUCT_RATE_PLAN_CHARGE',"
            " 'ORDER_LINE_ITEM', 'CREDIT_MEMO_ITEM', 'ROUNDING', 'NONE')",
            name=op.f("ck_credit_memo_items_source_item_type"),
        ),
        sa.CheckConstraint(
            "tax_mode IN ('TAX_EXCLUSIVE', 'TAX_INCLUSIVE')", name=op.f("ck_credit_memo_items_tax_mode")
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_items_applied_to_item_id"), "credit_memo_items", ["applied_to_item_id"], unique=False
    )
    op.create_index(
        op.f("ix_credit_memo_items_credit_memo_id_position"),
        "credit_memo_items",
        ["credit_memo_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_items_credit_memo_id_updated_date"),
        "credit_memo_items",
        ["credit_memo_id", "updated_date"],
        unique=False,
    )
    op.create_index(op.f("ix_credit_memo_items_source_item_id"), "credit_memo_items", ["source_item_id"], unique=False)


def _credit_memo_taxation_items() -> None:
    op.create_table(
        "credit_memo_taxation_items",
        sa.Column("id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("memo_item_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("tax_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("exempt_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("applied_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("refund_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column(
            "unapplied_amount", Amount, sa.Computed("tax_amount - applied_amount - refund_amount", persisted=True)
        ),
        sa.Column("jurisdiction", PlainText, server_default="", nullable=False),
        sa.Column("location_code", PlainText),
        sa.Column("tax_code", PlainText),
        sa.Column("tax_code_description", PlainText),
        sa.Column("tax_date", sa.Date),
        sa.Column("tax_rate", Scaled, nullable=False),
        sa.Column("tax_rate_description", PlainText),
        sa.Column("tax_rate_type", PlainText, server_default="PERCENTAGE", nullable=False),
        sa.Column("source_tax_item_id", Id),
        sa.Column("on_account_accounting_code", PlainText),
        sa.Column("on_account_accounting_code_type", PlainText),
        sa.Column("sales_tax_payable_accounting_code", PlainText),
        sa.Column("sales_tax_payable_accounting_code_type", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("net_suite", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_taxation_items")),
        sa.ForeignKeyConstraint(
            ["credit_memo_id"],
            ["credit_memos.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_taxation_items_credit_memo_id"),
        ),
        sa.ForeignKeyConstraint(
            ["memo_item_id"],
            ["credit_memo_items.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_taxation_items_memo_item_id"),
        ),
        sa.ForeignKeyConstraint(
            ["source_tax_item_id"],
            ["invoice_taxation_items.id"],
            name=op.f("fk_credit_memo_taxation_items_source_tax_item_id"),
        ),
        sa.CheckConstraint(
            "(tax_amount >= 0 AND applied_amount >= 0 AND refund_amount >= 0"
            " AND applied_amount + refund_amount <= tax_amount)"
            " OR (tax_amount < 0 AND applied_amount <= 0 AND refund_amount <= 0"
            " AND applied_amount + refund_amount >= tax_amount)",
            name=op.f("ck_credit_memo_taxation_items_amounts"),
        ),
        sa.CheckConstraint(
            "tax_rate_type IN ('PERCENTAGE', 'FLAT_FEE')", name=op.f("ck_credit_memo_taxation_items_tax_rate_type")
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_taxation_items_credit_memo_id_position"),
        "credit_memo_taxation_items",
        ["credit_memo_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_taxation_items_memo_item_id_position"),
        "credit_memo_taxation_items",
        ["memo_item_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_taxation_items_source_tax_item_id"),
        "credit_memo_taxation_items",
        ["source_tax_item_id"],
        unique=False,
    )
