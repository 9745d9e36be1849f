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
    # SQLite would write it behind the constraints, where the table's own text has none.
    with op.batch_alter_table("credit_memo_events", recreate="always" if _is_sqlite() else "auto") as batch:
        batch.add_column(sa.Column("changed_from", JsonText(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("credit_memo_events") as batch:
        batch.drop_column("changed_from")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
