"""Invoices and debit memos."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import Amount, Id, JsonText, PlainText, Scaled, Timestamp

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, parents first."""
    _invoices()
    _invoice_items()
    _invoice_taxation_items()
    _debit_memos()
    _debit_memo_items()
    _debit_memo_taxation_items()


def downgrade() -> None:
    """Drop the tables, children first."""
    for table in (
        "debit_memo_taxation_items",
        "debit_memo_items",
        "debit_memos",
        "invoice_taxation_items",
        "invoice_items",
        "invoices",
    ):
        op.drop_table(table)


def _invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("id", Id, nullable=False),
        sa.Column("invoice_number", PlainText, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("invoice_date", sa.Date, nullable=False),
        sa.Column("due_date", sa.Date),
        sa.Column("status", PlainText, server_default="POSTED", nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("tax_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("amount_without_tax", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("payment_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("balance", Amount, sa.Computed("amount - credit_amount - payment_amount", persisted=True)),
        sa.Column("reversed", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("organization_label", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("net_suite", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_invoices_account_id")),
        sa.UniqueConstraint("invoice_number", name=op.f("uq_invoices_invoice_number")),
        sa.CheckConstraint("amount = amount_without_tax + tax_amount", name=op.f("ck_invoices_amount")),
        sa.CheckConstraint(
            "amount < 0 OR (amount - credit_amount - payment_amount BETWEEN 0 AND amount)",
            name=op.f("ck_invoices_balance"),
        ),
        sa.CheckConstraint(
            "status IN ('DRAFT', 'POSTED', 'CANCELED', 'ERROR', 'PENDING_FOR_TAX', 'GENERATING', 'CANCEL_IN_PROGRESS')",
            name=op.f("ck_invoices_status"),
        ),
    )
    op.create_index(
        op.f("ix_invoices_account_id_invoice_number"), "invoices", ["account_id", "invoice_number"], unique=False
    )
    op.create_index(op.f("ix_invoices_balance_id"), "invoices", ["balance", "id"], unique=False)
    op.create_index(op.f("ix_invoices_due_date_id"), "invoices", ["due_date", "id"], unique=False)
    op.create_index(op.f("ix_invoices_invoice_date_id"), "invoices", ["invoice_date", "id"], unique=False)


def _invoice_items() -> None:
    op.create_table(
        "invoice_items",
        sa.Column("id", Id, nullable=False),
        sa.Column("invoice_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("charge_name", PlainText, nullable=False),
        sa.Column("sku", PlainText),
        sa.Column("product_name", PlainText),
        sa.Column("processing_type", PlainText, server_default="CHARGE", nullable=False),
        sa.Column("applied_to_item_id", Id),
        sa.Column("charge_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("tax_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("payment_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("balance", Amount, sa.Computed("charge_amount - credit_amount - payment_amount", persisted=True)),
        sa.Column("tax_mode", PlainText),
        sa.Column("tax_code", PlainText),
        sa.Column("quantity", Scaled),
        sa.Column("unit_price", Scaled),
        sa.Column("unit_of_measure", PlainText),
        sa.Column("service_start_date", sa.Date),
        sa.Column("service_end_date", sa.Date),
        sa.Column("subscription_id", Id),
        sa.Column("product_rate_plan_charge_id", Id),
        sa.Column("source_item_type", PlainText, server_default="NONE", nullable=False),
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
        sa.Column("organization_label", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_items")),
        sa.ForeignKeyConstraint(
            ["applied_to_item_id"],
            ["invoice_items.id"],
            deferrable=True,
            initially="DEFERRED",
            name=op.f("fk_invoice_items_applied_to_item_id"),
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], ondelete="CASCADE", name=op.f("fk_invoice_items_invoice_id")
        ),
        sa.CheckConstraint(
            "(charge_amount >= 0 AND credit_amount >= 0 AND payment_amount >= 0"
            " AND credit_amount + payment_amount <= charge_amount)"
            " OR (charge_amount < 0 AND credit_amount <= 0 AND payment_amount <= 0"
            " AND credit_amount + payment_amount >= charge_amount)",
            name=op.f("ck_invoice_items_balance"),
        ),
        sa.CheckConstraint(
            "processing_type IN ('CHARGE', 'DISCOUNT', 'PREPAYMENT', 'TAX', 'ROUNDING')",
            name=op.f("ck_invoice_items_processing_type"),
        ),
        sa.CheckConstraint(
            "source_item_type IN ('SUBSCRIPTION_COMPONENT', 'INVOICE_DETAIL', 'PRODUCT_RATE_PLAN_CHARGE',"
            " 'ORDER_LINE_ITEM', 'CREDIT_MEMO_ITEM', 'ROUNDING', 'NONE')",
            name=op.f("ck_invoice_items_source_item_type"),
        ),
        sa.CheckConstraint("tax_mode IN ('TAX_EXCLUSIVE', 'TAX_INCLUSIVE')", name=op.f("ck_invoice_items_tax_mode")),
    )
    op.create_index(op.f("ix_invoice_items_applied_to_item_id"), "invoice_items", ["applied_to_item_id"], unique=False)
    op.create_index(
        op.f("ix_invoice_items_invoice_id_position"), "invoice_items", ["invoice_id", "position"], unique=False
    )


def _invoice_taxation_items() -> None:
    op.create_table(
        "invoice_taxation_items",
        sa.Column("id", Id, nullable=False),
        sa.Column("invoice_id", Id, nullable=False),
        sa.Column("invoice_item_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("tax_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("exempt_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("payment_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("balance", Amount, sa.Computed("tax_amount - credit_amount - payment_amount", persisted=True)),
        sa.Column("jurisdiction", PlainText),
        sa.Column("location_code", PlainText),
        sa.Column("tax_code", PlainText),
        sa.Column("tax_code_description", PlainText),
        sa.Column("tax_date", sa.Date),
        sa.Column("tax_rate", Scaled, nullable=False),
        sa.Column("tax_rate_description", PlainText),
        sa.Column("tax_rate_type", PlainText, server_default="PERCENTAGE", nullable=False),
        sa.Column("engine", PlainText, server_default="NONE", nullable=False),
        sa.Column("on_account_accounting_code", PlainText),
        sa.Column("on_account_accounting_code_type", PlainText),
        sa.Column("sales_tax_payable_accounting_code", PlainText),
        sa.Column("sales_tax_payable_accounting_code_type", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_taxation_items")),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], ondelete="CASCADE", name=op.f("fk_invoice_taxation_items_invoice_id")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_item_id"],
            ["invoice_items.id"],
            ondelete="CASCADE",
            name=op.f("fk_invoice_taxation_items_invoice_item_id"),
        ),
        sa.CheckConstraint(
            "(tax_amount >= 0 AND credit_amount >= 0 AND payment_amount >= 0"
            " AND credit_amount + payment_amount <= tax_amount)"
            " OR (tax_amount < 0 AND credit_amount <= 0 AND payment_amount <= 0"
            " AND credit_amount + payment_amount >= tax_amount)",
            name=op.f("ck_invoice_taxation_items_balance"),
        ),
        sa.CheckConstraint(
            "engine IN ('NONE', 'ZUORA_TAX', 'EXTERNAL')", name=op.f("ck_invoice_taxation_items_engine")
        ),
        sa.CheckConstraint(
            "tax_rate_type IN ('PERCENTAGE', 'FLAT_FEE')", name=op.f("ck_invoice_taxation_items_tax_rate_type")
        ),
    )
    op.create_index(
        op.f("ix_invoice_taxation_items_invoice_id_position"),
        "invoice_taxation_items",
        ["invoice_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_invoice_taxation_items_invoice_item_id_position"),
        "invoice_taxation_items",
        ["invoice_item_id", "position"],
        unique=False,
    )


def _debit_memos() -> None:
    op.create_table(
        "debit_memos",
        sa.Column("id", Id, nullable=False),
        sa.Column("number", PlainText, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("status", PlainText, server_default="POSTED", nullable=False),
        sa.Column("debit_memo_date", sa.Date, nullable=False),
        sa.Column("due_date", sa.Date),
        sa.Column("target_date", sa.Date),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("tax_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("total_tax_exempt_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("payment_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("be_applied_amount", Amount, sa.Computed("credit_amount + payment_amount", persisted=True)),
        sa.Column("balance", Amount, sa.Computed("amount - credit_amount - payment_amount", persisted=True)),
        sa.Column("auto_pay", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("comment", PlainText),
        sa.Column("reason_code", PlainText),
        sa.Column("referred_credit_memo_id", Id),
        sa.Column("referred_invoice_id", Id),
        sa.Column("source_type", PlainText, nullable=False),
        sa.Column("payment_term", PlainText),
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
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("net_suite", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_debit_memos")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_debit_memos_account_id")),
        sa.ForeignKeyConstraint(
            ["bill_to_contact_id"], ["contacts.id"], name=op.f("fk_debit_memos_bill_to_contact_id")
        ),
        sa.ForeignKeyConstraint(
            ["referred_invoice_id"], ["invoices.id"], name=op.f("fk_debit_memos_referred_invoice_id")
        ),
        sa.ForeignKeyConstraint(["sequence_set_id"], ["sequence_sets.id"], name=op.f("fk_debit_memos_sequence_set_id")),
        sa.UniqueConstraint("number", name=op.f("uq_debit_memos_number")),
        sa.CheckConstraint(
            "amount < 0 OR (amount - credit_amount - payment_amount BETWEEN 0 AND amount)",
            name=op.f("ck_debit_memos_balance"),
        ),
        sa.CheckConstraint(
            "einvoice_status IN ('PROCESSING', 'RETRIEVE_TIME_OUT', 'GENERATED', 'SUCCESS', 'FAILED',"
            " 'CONDITIONAL_SUCCESS', 'APPROVED_BY_AUTHORITY', 'REJECTED')",
            name=op.f("ck_debit_memos_einvoice_status"),
        ),
        sa.CheckConstraint(
            "source_type IN ('SUBSCRIPTION', 'STANDALONE', 'INVOICE', 'ORDER', 'CREDIT_MEMO', 'CONSOLIDATION')",
            name=op.f("ck_debit_memos_source_type"),
        ),
        sa.CheckConstraint(
            "status IN ('DRAFT', 'POSTED', 'CANCELED', 'ERROR', 'PENDING_FOR_TAX', 'GENERATING', 'CANCEL_IN_PROGRESS')",
            name=op.f("ck_debit_memos_status"),
        ),
        sa.CheckConstraint(
            "tax_status IN ('COMPLETE', 'ERROR', 'UNKNOWN_ERROR', 'DUPLICATE_DOC', 'INVALID_REQUEST',"
            " 'INVALID_RESPONSE', 'TAX_ENGINE_ERROR', 'CONCURRENT_MODIFY', 'INTERNAL_SERVER_ERROR',"
            " 'TAX_CODE_TEMPLATE_ERROR', 'VOIDED')",
            name=op.f("ck_debit_memos_tax_status"),
        ),
        sa.CheckConstraint(
            "transferred_to_accounting IN ('PROCESSING', 'YES', 'NO', 'ERROR', 'IGNORE')",
            name=op.f("ck_debit_memos_transferred_to_accounting"),
        ),
    )
    op.create_index(op.f("ix_debit_memos_account_id_number"), "debit_memos", ["account_id", "number"], unique=False)
    op.create_index(op.f("ix_debit_memos_debit_memo_date_id"), "debit_memos", ["debit_memo_date", "id"], unique=False)
    op.create_index(
        op.f("ix_debit_memos_referred_credit_memo_id"), "debit_memos", ["referred_credit_memo_id"], unique=False
    )
    op.create_index(op.f("ix_debit_memos_referred_invoice_id"), "debit_memos", ["referred_invoice_id"], unique=False)


def _debit_memo_items() -> None:
    op.create_table(
        "debit_memo_items",
        sa.Column("id", Id, nullable=False),
        sa.Column("debit_memo_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("sku", PlainText),
        sa.Column("sku_name", PlainText, nullable=False),
        sa.Column("description", PlainText),
        sa.Column("processing_type", PlainText, server_default="CHARGE", nullable=False),
        sa.Column("applied_to_item_id", Id),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("amount_without_tax", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("payment_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("be_applied_amount", Amount, sa.Computed("credit_amount + payment_amount", persisted=True)),
        sa.Column(
            "balance", Amount, sa.Computed("amount_without_tax - credit_amount - payment_amount", persisted=True)
        ),
        sa.Column("tax_mode", PlainText, server_default="TAX_EXCLUSIVE", nullable=False),
        sa.Column("tax_code", PlainText),
        sa.Column("quantity", Scaled),
        sa.Column("unit_price", Scaled),
        sa.Column("unit_of_measure", PlainText),
        sa.Column("service_start_date", sa.Date),
        sa.Column("service_end_date", sa.Date),
        sa.Column("subscription_id", Id),
        sa.Column("product_rate_plan_charge_id", Id),
        sa.Column("source_item_type", PlainText, server_default="NONE", nullable=False),
        sa.Column("source_item_id", Id),
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
        sa.Column("organization_label", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_debit_memo_items")),
        sa.ForeignKeyConstraint(
            ["applied_to_item_id"],
            ["debit_memo_items.id"],
            deferrable=True,
            initially="DEFERRED",
            name=op.f("fk_debit_memo_items_applied_to_item_id"),
        ),
        sa.ForeignKeyConstraint(
            ["debit_memo_id"], ["debit_memos.id"], ondelete="CASCADE", name=op.f("fk_debit_memo_items_debit_memo_id")
        ),
        sa.CheckConstraint(
            "(amount_without_tax >= 0 AND credit_amount >= 0 AND payment_amount >= 0"
            " AND credit_amount + payment_amount <= amount_without_tax)"
            " OR (amount_without_tax < 0 AND credit_amount <= 0 AND payment_amount <= 0"
            " AND credit_amount + payment_amount >= amount_without_tax)",
            name=op.f("ck_debit_memo_items_balance"),
        ),
        sa.CheckConstraint(
            "tax_mode <> 'TAX_EXCLUSIVE' OR amount = amount_without_tax", name=op.f("ck_debit_memo_items_net")
        ),
        sa.CheckConstraint(
            "processing_type IN ('CHARGE', 'DISCOUNT', 'PREPAYMENT', 'TAX', 'ROUNDING')",
            name=op.f("ck_debit_memo_items_processing_type"),
        ),
        sa.CheckConstraint(
            "source_item_type IN ('SUBSCRIPTION_COMPONENT', 'INVOICE_DETAIL', 'PRODUCT_RATE_PLAN_CHARGE',"
            " 'ORDER_LINE_ITEM', 'CREDIT_MEMO_ITEM', 'ROUNDING', 'NONE')",
            name=op.f("ck_debit_memo_items_source_item_type"),
        ),
        sa.CheckConstraint("tax_mode IN ('TAX_EXCLUSIVE', 'TAX_INCLUSIVE')", name=op.f("ck_debit_memo_items_tax_mode")),
    )
    op.create_index(
        op.f("ix_debit_memo_items_applied_to_item_id"), "debit_memo_items", ["applied_to_item_id"], unique=False
    )
    op.create_index(
        op.f("ix_debit_memo_items_debit_memo_id_position"),
        "debit_memo_items",
        ["debit_memo_id", "position"],
        unique=False,
    )
    op.create_index(op.f("ix_debit_memo_items_source_item_id"), "debit_memo_items", ["source_item_id"], unique=False)


def _debit_memo_taxation_items() -> None:
    op.create_table(
        "debit_memo_taxation_items",
        sa.Column("id", Id, nullable=False),
        sa.Column("debit_memo_id", Id, nullable=False),
        sa.Column("memo_item_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("name", PlainText, nullable=False),
        sa.Column("tax_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("exempt_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("payment_amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("balance", Amount, sa.Computed("tax_amount - credit_amount - payment_amount", persisted=True)),
        sa.Column("jurisdiction", PlainText),
        sa.Column("location_code", PlainText),
        sa.Column("tax_code", PlainText),
        sa.Column("tax_code_description", PlainText),
        sa.Column("tax_date", sa.Date),
        sa.Column("tax_rate", Scaled, nullable=False),
        sa.Column("tax_rate_description", PlainText),
        sa.Column("tax_rate_type", PlainText, server_default="PERCENTAGE", nullable=False),
        sa.Column("engine", PlainText, server_default="NONE", nullable=False),
        sa.Column("source_tax_item_id", Id),
        sa.Column("on_account_accounting_code", PlainText),
        sa.Column("on_account_accounting_code_type", PlainText),
        sa.Column("sales_tax_payable_accounting_code", PlainText),
        sa.Column("sales_tax_payable_accounting_code_type", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_debit_memo_taxation_items")),
        sa.ForeignKeyConstraint(
            ["debit_memo_id"],
            ["debit_memos.id"],
            ondelete="CASCADE",
            name=op.f("fk_debit_memo_taxation_items_debit_memo_id"),
        ),
        sa.ForeignKeyConstraint(
            ["memo_item_id"],
            ["debit_memo_items.id"],
            ondelete="CASCADE",
            name=op.f("fk_debit_memo_taxation_items_memo_item_id"),
        ),
        sa.CheckConstraint(
            "(tax_amount >= 0 AND credit_amount >= 0 AND payment_amount >= 0"
            " AND credit_amount + payment_amount <= tax_amount)"
            " OR (tax_amount < 0 AND credit_amount <= 0 AND payment_amount <= 0"
            " AND credit_amount + payment_amount >= tax_amount)",
            name=op.f("ck_debit_memo_taxation_items_balance"),
        ),
        sa.CheckConstraint(
            "engine IN ('NONE', 'ZUORA_TAX', 'EXTERNAL')", name=op.f("ck_debit_memo_taxation_items_engine")
        ),
        sa.CheckConstraint(
            "tax_rate_type IN ('PERCENTAGE', 'FLAT_FEE')", name=op.f("ck_debit_memo_taxation_items_tax_rate_type")
        ),
    )
    op.create_index(
        op.f("ix_debit_memo_taxation_items_debit_memo_id_position"),
        "debit_memo_taxation_items",
        ["debit_memo_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_debit_memo_taxation_items_memo_item_id_position"),
        "debit_memo_taxation_items",
        ["memo_item_id", "position"],
        unique=False,
    )
