"""Room on the pages of rows that movements of money change, so that PostgreSQL leaves their indexes alone."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = (
    "credit_memo_taxation_items",
    "credit_memo_parts",
    "credit_memo_item_parts",
    "invoice_items",
    "invoice_taxation_items",
    "debit_memos",
    "debit_memo_items",
    "debit_memo_taxation_items",
)


def upgrade() -> None:
    """Leave room on the pages that are filled from now on; those that are full get some as their rows change."""
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 85)")


def downgrade() -> None:
    """Fill them as before."""
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
