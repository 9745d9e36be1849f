"""Where the PDF of a credit memo stands, told by its newest request."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from sqlalchemy import Row, Select, select

from cm_graphql.api.types.shared import shown_number
from cm_graphql.domain.enums import JobStatus, PdfGenerationStatus
from cm_graphql.fields.declare import Loaded, Node
from cm_graphql.fields.loaders import Loaders
from cm_graphql.fields.resolve import find, one_of_object
from cm_graphql.store import tables as t
from cm_graphql.store.documents import is_newest
from cm_graphql.store.lists import among

if TYPE_CHECKING:
    from cm_graphql.api.types.credit_memos import CreditMemo


@strawberry.type(description="Where the PDF of a credit memo stands.")
class CreditMemoPdfStatus:
    """The PDF status of a memo (domain.md 2.12)."""

    credit_memo_id: strawberry.ID = strawberry.field(description="The memo.")
    credit_memo_number: str | None = strawberry.field(description="The number of the memo; null only in a dry run.")
    credit_memo: Annotated["CreditMemo", strawberry.lazy("cm_graphql.api.types.credit_memos")] = one_of_object(
        "CreditMemo", "The memo.", "credit_memo_id"
    )
    pdf_generation_status: PdfGenerationStatus = strawberry.field(description="Where the PDF stands.")
    created_on: datetime | None = strawberry.field(description="When it was asked for; null when it never was.")
    updated_on: datetime | None = strawberry.field(
        description="When its status last changed; null when it was never asked for."
    )
    pdf_file_url: str | None = strawberry.field(
        description="Where to download it, relative to the server; null unless the status is GENERATED."
    )
    error_category: str | None = strawberry.field(
        description="What kind of thing went wrong, such as INVALID_TEMPLATE; null unless the status is ERROR."
    )
    error_message: str | None = strawberry.field(description="What went wrong; null unless the status is ERROR.")


def newest_requests(dialect: str, memos: Sequence[str]) -> Select[Any]:
    """The newest request for a PDF of each memo, with its file and its job."""
    requests, files, jobs = t.credit_memo_pdf_requests, t.credit_memo_files, t.credit_memo_jobs
    return (
        select(
            requests.c.credit_memo_id,
            requests.c.status,
            requests.c.memo_version,
            requests.c.error_category,
            requests.c.error_message,
            requests.c.created_on,
            requests.c.updated_on,
            files.c.pdf_file_url,
            jobs.c.status.label("job_status"),
            jobs.c.error,
            jobs.c.started_date,
            jobs.c.finished_date,
        )
        .select_from(
            requests.outerjoin(files, files.c.id == requests.c.file_id).outerjoin(jobs, jobs.c.id == requests.c.job_id)
        )
        .where(among(dialect, requests.c.credit_memo_id, memos), is_newest())
    )


def _of_job(status: JobStatus | None, error: str | None) -> tuple[PdfGenerationStatus, str | None, str | None]:
    """Where a PDF stands that is not made yet, by its job; a job that is gone will not make it."""
    match status:
        case JobStatus.PENDING:
            return PdfGenerationStatus.PENDING, None, None
        case JobStatus.PROCESSING:
            return PdfGenerationStatus.PROCESSING, None, None
        case JobStatus.CANCELED:
            return PdfGenerationStatus.ERROR, "CANCELED", "The job was called off before the PDF was made."
        case None:
            return (
                PdfGenerationStatus.ERROR,
                "JOB_FAILED",
                "The PDF was not made; why is not known any more: ask again.",
            )
    return PdfGenerationStatus.ERROR, "JOB_FAILED", error


def pdf_status(
    requests: Sequence[Row[Any]], memo_id: str, memo_number: str | None, memo_version: int
) -> CreditMemoPdfStatus:
    """The PDF status of a memo, of its newest request where there is one."""
    request = requests[0] if requests else None
    status = PdfGenerationStatus.NONE if request is None else request.status
    if request is not None and status is PdfGenerationStatus.GENERATED and request.memo_version < memo_version:
        status = PdfGenerationStatus.OBSOLETE
    category, message = (None, None) if request is None else (request.error_category, request.error_message)
    changed = None if request is None else request.updated_on
    if request is not None and status in (PdfGenerationStatus.PENDING, PdfGenerationStatus.PROCESSING):
        # How far it is, its job knows; one that was called off, or broke, has left the request as it was.
        status, category, message = _of_job(request.job_status, request.error)
        changed = max(moment for moment in (changed, request.started_date, request.finished_date) if moment is not None)
    failed = status is PdfGenerationStatus.ERROR
    return CreditMemoPdfStatus(
        credit_memo_id=strawberry.ID(memo_id),
        credit_memo_number=shown_number(memo_number),
        pdf_generation_status=status,
        created_on=None if request is None else request.created_on,
        updated_on=changed,
        pdf_file_url=request.pdf_file_url if request is not None and status is PdfGenerationStatus.GENERATED else None,
        error_category=category if failed else None,
        error_message=message if failed else None,
    )


async def pdf_status_of(loaders: Loaders, memo: Node) -> CreditMemoPdfStatus:
    """The PDF status of a memo; asked of many memos at once, it takes one statement."""
    declared = type(memo).__node__.fields["pdf_status"]
    assert isinstance(declared, Loaded)
    rows = await loaders.found("pdf_status", declared, memo.raw("id"))
    return pdf_status(rows, *(memo.raw(name) for name in declared.needs))


async def read_pdf_status(loaders: Loaders, memo_id: str) -> CreditMemoPdfStatus | None:
    """The PDF status of the memo of an id."""
    memo = await find(loaders, memo_id)
    return None if memo is None else await pdf_status_of(loaders, memo)
