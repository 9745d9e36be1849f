"""At most one refund of a memo at the payment gateway at a time, and the numbers of deleted memos found quickly."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two partial indexes."""
    op.create_index(
        "uq_refunds_processing",
        "refunds",
        ["credit_memo_id"],
        unique=True,
        sqlite_where=sa.text("status = 'PROCESSING'"),
        postgresql_where=sa.text("status = 'PROCESSING'"),
    )
    op.create_index(
        "ix_credit_memo_events_burned_number",
        "credit_memo_events",
        ["credit_memo_number"],
        sqlite_where=sa.text("action = 'DELETED'"),
        postgresql_where=sa.text("action = 'DELETED'"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_credit_memo_events_burned_number", "credit_memo_events")
    op.drop_index("uq_refunds_processing", "refunds")
