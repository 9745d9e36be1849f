"""What surrounds the memos: their history, files, PDF requests and jobs, and the answers kept for idempotency keys."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from cm_graphql.domain.enums import EventAction, JobOperation, JobStatus, PdfGenerationStatus
from cm_graphql.store.tables._columns import (
    audit,
    currency,
    flag,
    id_column,
    index,
    metadata,
    plain_id,
    reference,
    words,
)
from cm_graphql.store.types import JsonText, Timestamp, enum_column

credit_memo_events = Table(
    "credit_memo_events",
    metadata,
    id_column(),
    plain_id("credit_memo_id", nullable=False),
    words("credit_memo_number"),
    plain_id("account_id", nullable=False),
    *enum_column("action", EventAction),
    words("by_id", nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("effective_date", Date),
    words("request_id"),
    currency(),
    Column("amounts_before", JsonText),
    Column("amounts_after", JsonText),
    Column("targets", JsonText, nullable=False, server_default="[]"),
    words("note"),
    Column("changed_from", JsonText),
    index("credit_memo_events", "credit_memo_id", "at", "id"),
    index("credit_memo_events", "account_id", "at"),
)
"""The history, append-only and kept after a delete, hence without foreign keys. Amounts are objects of integers in
ten-thousandths: `{"amount", "tax_amount", "applied_amount", "unapplied_amount", "refund_amount"}`. `changed_from`
holds, by column, what the memo's own row said before where that is something else now: all of it after a delete."""

Index(
    "ix_credit_memo_events_burned_number",
    credit_memo_events.c.credit_memo_number,
    sqlite_where=credit_memo_events.c.action == EventAction.DELETED.value,
    postgresql_where=credit_memo_events.c.action == EventAction.DELETED.value,
)
"""The numbers of deleted memos, which no other memo gets (domain.md 1.8)."""

credit_memo_files = Table(
    "credit_memo_files",
    metadata,
    id_column(),
    reference("credit_memo_id", "credit_memos", cascade=True),
    words("pdf_file_url", nullable=False),
    Column("version_number", BigInteger, nullable=False),
    words("file_name"),
    words("object_key", nullable=False),
    Column("size", BigInteger, nullable=False),
    words("sha256", nullable=False),
    flag("uploaded"),
    *audit(),
    UniqueConstraint("pdf_file_url"),
    UniqueConstraint("object_key"),
    index("credit_memo_files", "credit_memo_id", "version_number"),
)
"""Finished PDFs, generated or uploaded; the bytes lie in the file store under `object_key`."""

credit_memo_pdf_requests = Table(
    "credit_memo_pdf_requests",
    metadata,
    id_column(),
    reference("credit_memo_id", "credit_memos", cascade=True),
    *enum_column("status", PdfGenerationStatus),
    Column("memo_version", Integer, nullable=False),
    plain_id("job_id"),
    reference("file_id", "credit_memo_files", nullable=True, cascade=True),
    words("error_category"),
    words("error_message"),
    Column("created_on", Timestamp, nullable=False),
    Column("updated_on", Timestamp, nullable=False),
    index("credit_memo_pdf_requests", "credit_memo_id", "created_on"),
    index("credit_memo_pdf_requests", "file_id"),
)
"""One row per request for a PDF; the newest is the memo's PDF status, obsolete once the memo's version moved on."""

credit_memo_jobs = Table(
    "credit_memo_jobs",
    metadata,
    id_column(),
    *enum_column("operation_type", JobOperation),
    *enum_column("status", JobStatus, default=JobStatus.PENDING),
    plain_id("reference_id", nullable=False),
    words("reference_type", nullable=False, default="CreditMemo"),
    words("error"),
    Column("lines_done", BigInteger, nullable=False, server_default="0"),
    Column("lines_total", BigInteger, nullable=False, server_default="0"),
    Column("input", JsonText, nullable=False, server_default="{}"),
    Column("outcome", JsonText),
    flag("cancel_requested"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    words("worker_id"),
    Column("lease_until", Timestamp),
    Column("run_after", Timestamp),
    words("request_id"),
    words("created_by_id", nullable=False),
    Column("created_date", Timestamp, nullable=False),
    Column("updated_date", Timestamp, nullable=False),
    Column("started_date", Timestamp),
    Column("finished_date", Timestamp),
    CheckConstraint("lines_done >= 0 AND lines_done <= lines_total", name="lines"),
    index("credit_memo_jobs", "reference_id", "created_date"),
    index("credit_memo_jobs", "status", "created_date"),
)
"""Work that outlives its request, mail included. `worker_id` and `lease_until` say who runs it and until when that is
believed; after that another worker may take it over."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    words("viewer_id", nullable=False),
    words("field", nullable=False),
    words("key", nullable=False),
    words("request_hash", nullable=False),
    Column("outcome", JsonText),
    Column("created_date", Timestamp, nullable=False),
    PrimaryKeyConstraint("viewer_id", "field", "key"),
    index("idempotency_keys", "created_date"),
)
"""Outcomes kept for 24 hours (api.md, idempotencyKey); `outcome` is NULL while the first call runs."""
