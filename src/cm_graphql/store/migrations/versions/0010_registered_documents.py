"""The GraphQL documents that clients were built with, which a server may be told to answer alone."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import PlainText, Timestamp

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "registered_documents",
        sa.Column("id", PlainText, nullable=False),
        sa.Column("hash", PlainText, nullable=False),
        sa.Column("text", PlainText, nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registered_documents")),
    )
    op.create_index("ix_registered_documents_hash", "registered_documents", ["hash"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("registered_documents")
