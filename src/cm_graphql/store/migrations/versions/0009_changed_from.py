"""What the memo's own row said before an entry of its history, so that a filter can be asked about it."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import JsonText

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("credit_memo_events", sa.Column("changed_from", JsonText(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("credit_memo_events", "changed_from")
