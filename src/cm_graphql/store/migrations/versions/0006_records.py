"""History, files, PDF requests, jobs and idempotency keys."""

import sqlalchemy as sa
from alembic import op

from cm_graphql.store.types import Id, JsonText, PlainText, Timestamp

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, parents first."""
    _credit_memo_events()
    _credit_memo_files()
    _credit_memo_pdf_requests()
    _credit_memo_jobs()
    _idempotency_keys()


def downgrade() -> None:
    """Drop the tables, children first."""
    for table in (
        "idempotency_keys",
        "credit_memo_jobs",
        "credit_memo_pdf_requests",
        "credit_memo_files",
        "credit_memo_events",
    ):
        op.drop_table(table)


def _credit_memo_events() -> None:
    op.create_table(
        "credit_memo_events",
        sa.Column("id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("credit_memo_number", PlainText),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("action", PlainText, nullable=False),
        sa.Column("by_id", PlainText, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("effective_date", sa.Date),
        sa.Column("request_id", PlainText),
        sa.Column("currency", PlainText, nullable=False),
        sa.Column("amounts_before", JsonText),
        sa.Column("amounts_after", JsonText),
        sa.Column("targets", JsonText, server_default="[]", nullable=False),
        sa.Column("note", PlainText),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_events")),
        sa.CheckConstraint(
            "action IN ('CREATED', 'UPDATED', 'POSTED', 'UNPOSTED', 'CANCELED', 'DELETED', 'APPLIED',"
            " 'UNAPPLIED', 'REFUNDED', 'WRITTEN_OFF', 'REVERSED', 'TAXATION_ITEMS_CREATED', 'PDF_GENERATED',"
            " 'FILE_UPLOADED', 'EMAILED', 'IMPORTED')",
            name=op.f("ck_credit_memo_events_action"),
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_events_account_id_at"), "credit_memo_events", ["account_id", "at"], unique=False
    )
    op.create_index(
        op.f("ix_credit_memo_events_credit_memo_id_at_id"),
        "credit_memo_events",
        ["credit_memo_id", "at", "id"],
        unique=False,
    )


def _credit_memo_files() -> None:
    op.create_table(
        "credit_memo_files",
        sa.Column("id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("pdf_file_url", PlainText, nullable=False),
        sa.Column("version_number", sa.BigInteger, nullable=False),
        sa.Column("file_name", PlainText),
        sa.Column("object_key", PlainText, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", PlainText, nullable=False),
        sa.Column("uploaded", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_by_id", PlainText, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_files")),
        sa.ForeignKeyConstraint(
            ["credit_memo_id"],
            ["credit_memos.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_files_credit_memo_id"),
        ),
        sa.UniqueConstraint("object_key", name=op.f("uq_credit_memo_files_object_key")),
        sa.UniqueConstraint("pdf_file_url", name=op.f("uq_credit_memo_files_pdf_file_url")),
    )
    op.create_index(
        op.f("ix_credit_memo_files_credit_memo_id_version_number"),
        "credit_memo_files",
        ["credit_memo_id", "version_number"],
        unique=False,
    )


def _credit_memo_pdf_requests() -> None:
    op.create_table(
        "credit_memo_pdf_requests",
        sa.Column("id", Id, nullable=False),
        sa.Column("credit_memo_id", Id, nullable=False),
        sa.Column("status", PlainText, nullable=False),
        sa.Column("memo_version", sa.Integer, nullable=False),
        sa.Column("job_id", Id),
        sa.Column("file_id", Id),
        sa.Column("error_category", PlainText),
        sa.Column("error_message", PlainText),
        sa.Column("created_on", Timestamp, nullable=False),
        sa.Column("updated_on", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_pdf_requests")),
        sa.ForeignKeyConstraint(
            ["credit_memo_id"],
            ["credit_memos.id"],
            ondelete="CASCADE",
            name=op.f("fk_credit_memo_pdf_requests_credit_memo_id"),
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["credit_memo_files.id"], ondelete="CASCADE", name=op.f("fk_credit_memo_pdf_requests_file_id")
        ),
        sa.CheckConstraint(
            "status IN ('NONE', 'PENDING', 'PROCESSING', 'GENERATED', 'ERROR', 'OBSOLETE')",
            name=op.f("ck_credit_memo_pdf_requests_status"),
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_pdf_requests_credit_memo_id_created_on"),
        "credit_memo_pdf_requests",
        ["credit_memo_id", "created_on"],
        unique=False,
    )
    op.create_index(op.f("ix_credit_memo_pdf_requests_file_id"), "credit_memo_pdf_requests", ["file_id"], unique=False)


def _credit_memo_jobs() -> None:
    op.create_table(
        "credit_memo_jobs",
        sa.Column("id", Id, nullable=False),
        sa.Column("operation_type", PlainText, nullable=False),
        sa.Column("status", PlainText, server_default="PENDING", nullable=False),
        sa.Column("reference_id", Id, nullable=False),
        sa.Column("reference_type", PlainText, server_default="CreditMemo", nullable=False),
        sa.Column("error", PlainText),
        sa.Column("lines_done", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("lines_total", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("input", JsonText, server_default="{}", nullable=False),
        sa.Column("outcome", JsonText),
        sa.Column("cancel_requested", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("worker_id", PlainText),
        sa.Column("lease_until", Timestamp),
        sa.Column("run_after", Timestamp),
        sa.Column("request_id", PlainText),
        sa.Column("created_by_id", PlainText, nullable=False),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.Column("updated_date", Timestamp, nullable=False),
        sa.Column("started_date", Timestamp),
        sa.Column("finished_date", Timestamp),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_memo_jobs")),
        sa.CheckConstraint("lines_done >= 0 AND lines_done <= lines_total", name=op.f("ck_credit_memo_jobs_lines")),
        sa.CheckConstraint(
            "operation_type IN ('ASYNC_CREDIT_MEMO_APPLY', 'ASYNC_CREDIT_MEMO_UNAPPLY',"
            " 'GENERATE_CREDIT_MEMO_PDF', 'EMAIL_CREDIT_MEMO')",
            name=op.f("ck_credit_memo_jobs_operation_type"),
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'PROCESSING', 'PROCESSED', 'ERROR', 'CANCELED')",
            name=op.f("ck_credit_memo_jobs_status"),
        ),
    )
    op.create_index(
        op.f("ix_credit_memo_jobs_reference_id_created_date"),
        "credit_memo_jobs",
        ["reference_id", "created_date"],
        unique=False,
    )
    op.create_index(
        op.f("ix_credit_memo_jobs_status_created_date"), "credit_memo_jobs", ["status", "created_date"], unique=False
    )


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("viewer_id", PlainText, nullable=False),
        sa.Column("field", PlainText, nullable=False),
        sa.Column("key", PlainText, nullable=False),
        sa.Column("request_hash", PlainText, nullable=False),
        sa.Column("outcome", JsonText),
        sa.Column("created_date", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("viewer_id", "field", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_date"), "idempotency_keys", ["created_date"], unique=False)
