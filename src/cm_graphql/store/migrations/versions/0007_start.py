"""What every tenant starts from: case folding, the DEFAULT sequence set, the reference's reason codes, settings."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.fold import postgresql_fold
from cm_graphql.store.types import Id, PlainText, Timestamp

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAMESPACE = UUID("3f0c52a4-6a55-4b3c-9f0e-5d2c7f6f1f10")
"""Ids of the rows made here follow from it and from the rows' names: the same in every database."""

DEFAULT_SET = f"seq_{uuid5(NAMESPACE, 'sequence set DEFAULT').hex}"
PREFIXES = {
    "INVOICE": "INV",
    "CREDIT_MEMO": "CM",
    "DEBIT_MEMO": "DM",
    "PAYMENT": "P-",
    "REFUND": "R-",
    "CREDIT_MEMO_DRAFT": "TMP-CM-",
}

REASON_CODES = {
    "CREDIT_MEMO": (
        "Correcting invoice error",
        "Ad hoc Credit",
        "Charge Dispute",
        "Invoice Reversal",
        "Negative Periodic Charges",
        "Service Unavailable",
        "Unsatisfactory Service",
        "Write-off",
    ),
    "DEBIT_MEMO": (
        "Correcting invoice error",
        "Ad hoc Debit",
        "Charge Dispute",
        "Credit memo reversal",
        "Write-off",
    ),
    "CREDIT_MEMO_REFUND": (
        "Standard Refund",
        "Account Closure",
        "Customer Request",
        "Other",
    ),
}
"""By type; the first of each is the default (domain.md 7.10)."""

FOLDING_COLLATIONS = ("und-x-icu", "pg_c_utf8", "pg_unicode_fast")
"""Collations that lower all of Unicode, the most widespread first; what they disagree on `fold` levels."""


def upgrade() -> None:
    """Make `fold` on PostgreSQL, and insert the rows."""
    if op.get_bind().dialect.name == "postgresql":
        _fold()
    _sequence_set()
    _reason_codes()
    op.bulk_insert(sa.table("settings", sa.column("id", sa.Integer)), [{"id": 1}])


def downgrade() -> None:
    """Drop `fold`; the rows go with their tables."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION fold(TEXT)")


def _fold() -> None:
    known = set(op.get_bind().execute(sa.text("SELECT collname FROM pg_collation")).scalars())
    collation = next((name for name in FOLDING_COLLATIONS if name in known), None)
    if collation is None:
        raise RuntimeError(
            f"This PostgreSQL has none of the collations {', '.join(FOLDING_COLLATIONS)}: use version 17 or later,"
            " or one that was built with ICU."
        )
    op.execute(postgresql_fold(collation))


def _sequence_set() -> None:
    sets = sa.table("sequence_sets", sa.column("id", Id), sa.column("name", PlainText))
    op.bulk_insert(sets, [{"id": DEFAULT_SET, "name": "DEFAULT"}])
    sequences = sa.table(
        "sequences",
        sa.column("set_id", Id),
        sa.column("document_type", PlainText),
        sa.column("prefix", PlainText),
        sa.column("next_number", sa.BigInteger),
    )
    op.bulk_insert(
        sequences,
        [
            {"set_id": DEFAULT_SET, "document_type": document, "prefix": prefix, "next_number": 1}
            for document, prefix in PREFIXES.items()
        ],
    )


def _reason_codes() -> None:
    codes = sa.table(
        "reason_codes",
        sa.column("id", Id),
        sa.column("name", PlainText),
        sa.column("type", PlainText),
        sa.column("is_default", sa.Boolean),
        sa.column("created_by_id", PlainText),
        sa.column("created_date", Timestamp),
        sa.column("updated_by_id", PlainText),
        sa.column("updated_date", Timestamp),
    )
    beginning = datetime(2026, 1, 1, tzinfo=UTC)
    op.bulk_insert(
        codes,
        [
            {
                "id": f"rc_{uuid5(NAMESPACE, f'reason code {kind} {name}').hex}",
                "name": name,
                "type": kind,
                "is_default": position == 0,
                "created_by_id": "system",
                "created_date": beginning,
                "updated_by_id": "system",
                "updated_date": beginning,
            }
            for kind, names in REASON_CODES.items()
            for position, name in enumerate(names)
        ],
    )
