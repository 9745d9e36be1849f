"""Where the money of posted memos lies: parts and item parts."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import Amount, Id, PlainText, Timestamp

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, parents first."""
    _credit_memo_parts()
    _credit_memo_item_parts()


def downgrade() -> None:
    """Drop the tables, children first."""
    for table in ("credit_memo_item_parts", "credit_memo_parts"):
        op.drop_table(table)


def _credit_memo_parts() -> None:
    op.create_table(
        "credit_memo_parts",
        sa.Column("id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("invoice_id", Id),
        sa.Column("debit_memo_id", Id),
        sa.Column("organization_label", PlainText),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_parts")),
        sa.ForeignKeyConstraint(
            ["credit_memo_id"],
            ["credit_memos.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_parts_credit_memo_id"),
        ),
        sa.ForeignKeyConstraint(["debit_memo_id"], ["debit_memos.id"], name=op.f("fk_credit_memo_parts_debit_memo_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_credit_memo_parts_invoice_id")),
        sa.UniqueConstraint(
            "credit_memo_id", "debit_memo_id", name=op.f("uq_credit_memo_parts_credit_memo_id_debit_memo_id")
        ),
        sa.UniqueConstraint(
            "credit_memo_id", "invoice_id", name=op.f("uq_credit_memo_parts_credit_memo_id_invoice_id")
        ),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_credit_memo_parts_amount")),
        sa.CheckConstraint("invoice_id IS NULL OR debit_memo_id IS NULL", name=op.f("ck_credit_memo_parts_one_target")),
    )
    op.create_index(
        op.f("ix_credit_memo_parts_credit_memo_id_created_date"),
        "credit_memo_parts",
        ["credit_memo_id", "created_date"],
        unique=False,
    )
    op.create_index(op.f("ix_credit_memo_parts_debit_memo_id"), "credit_memo_parts", ["debit_memo_id"], unique=False)
    op.create_index(op.f("ix_credit_memo_parts_invoice_id"), "credit_memo_parts", ["invoice_id"], unique=False)
    op.create_index(
        op.f("uq_credit_memo_parts_unapplied"),
        "credit_memo_parts",
        ["credit_memo_id"],
        unique=True,
        sqlite_where=sa.text("invoice_id IS NULL AND debit_memo_id IS NULL"),
        postgresql_where=sa.text("invoice_id IS NULL AND debit_memo_id IS NULL"),
    )


def _credit_memo_item_parts() -> None:
    op.create_table(
        "credit_memo_item_parts",
        sa.Column("id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("part_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amount", Amount, server_default=sa.text("0"), nullable=False),
        sa.Column("credit_memo_item_id", Id),
        sa.Column("credit_tax_item_id", Id),
        sa.Column("invoice_item_id", Id),
        sa.Column("debit_memo_item_id", Id),
        sa.Column("tax_item_id", Id),
        sa.Column(
            "source_line_id", Id, sa.Computed("coalesce(credit_memo_item_id, credit_tax_item_id)", persisted=True)
        ),
        sa.Column(
            "target_line_id",
            Id,
            sa.Computed("coalesce(invoice_item_id, debit_memo_item_id, tax_item_id)", persisted=True),
        ),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_item_parts")),
        sa.ForeignKeyConstraint(
            ["credit_memo_id"],
            ["credit_memos.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_item_parts_credit_memo_id"),
        ),
        sa.ForeignKeyConstraint(
            ["credit_memo_item_id"],
            ["credit_memo_items.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_item_parts_credit_memo_item_id"),
        ),
        sa.ForeignKeyConstraint(
            ["credit_tax_item_id"],
            ["credit_memo_taxation_items.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_item_parts_credit_tax_item_id"),
        ),
        sa.ForeignKeyConstraint(
            ["debit_memo_item_id"], ["debit_memo_items.id"], name=op.f("fk_credit_memo_item_parts_debit_memo_item_id")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_item_id"], ["invoice_items.id"], name=op.f("fk_credit_memo_item_parts_invoice_item_id")
        ),
        sa.ForeignKeyConstraint(
            ["part_id"], ["credit_memo_parts.id"], ondelete="CASCADE", name=op.f("fk_credit_memo_item_parts_part_id")
        ),
        sa.UniqueConstraint(
            "part_id",
            "source_line_id",
            "target_line_id",
            name=op.f("uq_credit_memo_item_parts_part_id_source_line_id_target_line_id"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_credit_memo_item_parts_amount")),
        sa.CheckConstraint(
            "(credit_memo_item_id IS NULL) <> (credit_tax_item_id IS NULL)",
            name=op.f("ck_credit_memo_item_parts_one_source"),
        ),
        sa.CheckConstraint(
            "(invoice_item_id IS NULL AND debit_memo_item_id IS NULL)"
            " OR (invoice_item_id IS NULL AND tax_item_id IS NULL)"
            " OR (debit_memo_item_id IS NULL AND tax_item_id IS NULL)",
            name=op.f("ck_credit_memo_item_parts_one_target"),
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_item_parts_credit_memo_id_position"),
        "credit_memo_item_parts",
        ["credit_memo_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_item_parts_credit_memo_item_id"),
        "credit_memo_item_parts",
        ["credit_memo_item_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_item_parts_credit_tax_item_id"),
        "credit_memo_item_parts",
        ["credit_tax_item_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_item_parts_debit_memo_item_id"),
        "credit_memo_item_parts",
        ["debit_memo_item_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_item_parts_invoice_item_id"), "credit_memo_item_parts", ["invoice_item_id"], unique=False
    )
    op.create_index(
        op.f("ix_credit_memo_item_parts_part_id_position"),
        "credit_memo_item_parts",
        ["part_id", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_item_parts_tax_item_id"), "credit_memo_item_parts", ["tax_item_id"], unique=False
    )
    op.create_index(
        op.f("uq_credit_memo_item_parts_unapplied"),
        "credit_memo_item_parts",
        ["part_id", "source_line_id"],
        unique=True,
        sqlite_where=sa.text("target_line_id IS NULL"),
        postgresql_where=sa.text("target_line_id IS NULL"),
    )
