"""An index of memos' numbers without their case, along which `startsWith` finds its rows."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEX = "ix_credit_memos_folded_number"


def upgrade() -> None:
    """Make it."""
    op.create_index(INDEX, "credit_memos", [sa.text("fold(number)")])


def downgrade() -> None:
    """Drop it."""
    op.drop_index(INDEX, "credit_memos")
