"""The application ledger and refunds."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import Amount, Id, JsonText, PlainText, Timestamp

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, parents first."""
    _credit_memo_applications()
    _credit_memo_application_items()
    _refunds()
    _refund_parts()
    _refund_item_parts()


def downgrade() -> None:
    """Drop the tables, children first."""
    for table in (
        "refund_item_parts",
        "refund_parts",
        "refunds",
        "credit_memo_application_items",
        "credit_memo_applications",
    ):
        op.drop_table(table)


def _credit_memo_applications() -> None:
    op.create_table(
        "credit_memo_applications",
        sa.Column("id", Id, nullable=False),
        sa.Column("kind", PlainText, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("application_group_id", Id, nullable=False),
        sa.Column("invoice_id", Id),
        sa.Column("debit_memo_id", Id),
        sa.Column("refund_id", Id),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("effective_date", sa.Date, nullable=False),
        sa.Column("by_id", PlainText, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_applications")),
        sa.ForeignKeyConstraint(
            ["debit_memo_id"], ["debit_memos.id"], name=op.f("fk_credit_memo_applications_debit_memo_id")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_credit_memo_applications_invoice_id")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_credit_memo_applications_amount")),
        sa.CheckConstraint(
            "kind IN ('APPLY', 'UNAPPLY', 'REFUND', 'REVERSE', 'WRITE_OFF')",
            name=op.f("ck_credit_memo_applications_kind"),
        ),
        sa.CheckConstraint(
            "invoice_id IS NULL OR debit_memo_id IS NULL", name=op.f("ck_credit_memo_applications_one_target")
        ),
        sa.CheckConstraint(
            "(kind = 'REFUND') = (invoice_id IS NULL AND debit_memo_id IS NULL)",
            name=op.f("ck_credit_memo_applications_target"),
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_applications_credit_memo_id_effective_date"),
        "credit_memo_applications",
        ["credit_memo_id", "effective_date"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_applications_debit_memo_id"), "credit_memo_applications", ["debit_memo_id"], unique=False
    )
    op.create_index(
        op.f("ix_credit_memo_applications_invoice_id"), "credit_memo_applications", ["invoice_id"], unique=False
    )


def _credit_memo_application_items() -> None:
    op.create_table(
        "credit_memo_application_items",
        sa.Column("id", Id, nullable=False),
        sa.Column("application_id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_memo_item_id", Id),
        sa.Column("credit_tax_item_id", Id),
        sa.Column("invoice_item_id", Id),
        sa.Column("debit_memo_item_id", Id),
        sa.Column("tax_item_id", Id),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_application_items")),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["credit_memo_applications.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_application_items_application_id"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_credit_memo_application_items_amount")),
        sa.CheckConstraint(
            "(credit_memo_item_id IS NULL) <> (credit_tax_item_id IS NULL)",
            name=op.f("ck_credit_memo_application_items_one_source"),
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_application_items_application_id_position"),
        "credit_memo_application_items",
        ["application_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_application_items_credit_memo_id"),
        "credit_memo_application_items",
        ["credit_memo_id"],
        unique=False,
    )


def _refunds() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", Id, nullable=False),
        sa.Column("number", PlainText, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("credit_memo_id", Id),
        sa.Column("payment_id", Id),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("type", PlainText, nullable=False),
        sa.Column("method_type", PlainText, nullable=False),
        sa.Column("status", PlainText, nullable=False),
        sa.Column("refund_date", sa.Date, nullable=False),
        sa.Column("reason_code", PlainText),
        sa.Column("comment", PlainText),
        sa.Column("payment_method_id", Id),
        sa.Column("payment_method_snapshot_id", Id),
        sa.Column("gateway_id", PlainText),
        sa.Column("gateway_response", PlainText),
        sa.Column("gateway_response_code", PlainText),
        sa.Column("gateway_state", PlainText, nullable=False),
        sa.Column("gateway_options", JsonText),
        sa.Column("reference_id", PlainText),
        sa.Column("second_refund_reference_id", PlainText),
        sa.Column("soft_descriptor", PlainText),
        sa.Column("soft_descriptor_phone", PlainText),
        sa.Column("marked_for_submission_on", Timestamp),
        sa.Column("submitted_on", Timestamp),
        sa.Column("settled_on", Timestamp),
        sa.Column("refund_transaction_time", Timestamp),
        sa.Column("cancelled_on", Timestamp),
        sa.Column("bank_account_accounting_code", PlainText),
        sa.Column("bank_account_accounting_code_type", PlainText),
        sa.Column("unapplied_payment_accounting_code", PlainText),
        sa.Column("unapplied_payment_accounting_code_type", PlainText),
        sa.Column("on_account_accounting_code", PlainText),
        sa.Column("on_account_accounting_code_type", PlainText),
        sa.Column("transferred_to_accounting", PlainText, server_default="NO", nullable=False),
        sa.Column("custom_rates", JsonText),
        sa.Column("organization_label", PlainText),
        sa.Column("custom_fields", JsonText, server_default="{}", nullable=False),
        sa.Column("net_suite", JsonText, server_default="{}", nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_refunds_account_id")),
        sa.ForeignKeyConstraint(
            ["payment_method_id"], ["payment_methods.id"], name=op.f("fk_refunds_payment_method_id")
        ),
        sa.UniqueConstraint("number", name=op.f("uq_refunds_number")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount")),
        sa.CheckConstraint(
            "gateway_state IN ('MARKED_FOR_SUBMISSION', 'SUBMITTED', 'SETTLED', 'NOT_SUBMITTED', 'FAILED_TO_SETTLE')",
            name=op.f("ck_refunds_gateway_state"),
        ),
        sa.CheckConstraint(
            "method_type IN ('ACH', 'CASH', 'CHECK', 'CREDIT_CARD', 'PAYPAL', 'WIRE_TRANSFER', 'DEBIT_CARD',"
            " 'CREDIT_CARD_REFERENCE_TRANSACTION', 'BANK_TRANSFER', 'OTHER')",
            name=op.f("ck_refunds_method_type"),
        ),
        sa.CheckConstraint("(credit_memo_id IS NULL) <> (payment_id IS NULL)", name=op.f("ck_refunds_one_source")),
        sa.CheckConstraint(
            "status IN ('PROCESSED', 'CANCELED', 'ERROR', 'PROCESSING')", name=op.f("ck_refunds_status")
        ),
        sa.CheckConstraint(
            "transferred_to_accounting IN ('PROCESSING', 'YES', 'NO', 'ERROR', 'IGNORE')",
            name=op.f("ck_refunds_transferred_to_accounting"),
        ),
        sa.CheckConstraint("type IN ('EXTERNAL', 'ELECTRONIC')", name=op.f("ck_refunds_type")),
    )
    op.create_index(op.f("ix_refunds_account_id_number"), "refunds", ["account_id", "number"], unique=False)
    op.create_index(op.f("ix_refunds_credit_memo_id"), "refunds", ["credit_memo_id"], unique=False)
    op.create_index(op.f("ix_refunds_payment_method_id"), "refunds", ["payment_method_id"], unique=False)


def _refund_parts() -> None:
    op.create_table(
        "refund_parts",
        sa.Column("id", Id, nullable=False),
        sa.Column("refund_id", Id, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_memo_id", Id),
        sa.Column("payment_id", Id),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_parts")),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["refunds.id"], ondelete="CASCADE", name=op.f("fk_refund_parts_refund_id")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refund_parts_amount")),
    )
    op.create_index(op.f("ix_refund_parts_refund_id"), "refund_parts", ["refund_id"], unique=False)


def _refund_item_parts() -> None:
    op.create_table(
        "refund_item_parts",
        sa.Column("id", Id, nullable=False),
        sa.Column("refund_id", Id, nullable=False),
        sa.Column("refund_part_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_memo_item_id", Id),
        sa.Column("credit_tax_item_id", Id),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_item_parts")),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["refunds.id"], ondelete="CASCADE", name=op.f("fk_refund_item_parts_refund_id")
        ),
        sa.ForeignKeyConstraint(
            ["refund_part_id"],
            ["refund_parts.id"],
            ondelete="CASCADE",
            name=op.f("fk_refund_item_parts_refund_part_id"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refund_item_parts_amount")),
        sa.CheckConstraint(
            "credit_memo_item_id IS NULL OR credit_tax_item_id IS NULL", name=op.f("ck_refund_item_parts_one_source")
        ),
    )
    op.create_index(
        op.f("ix_refund_item_parts_refund_id_position"), "refund_item_parts", ["refund_id", "position"], unique=False
    )
    op.create_index(op.f("ix_refund_item_parts_refund_part_id"), "refund_item_parts", ["refund_part_id"], unique=False)
