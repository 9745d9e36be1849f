"""Files of memos and requests for PDFs between rows and records; the bytes lie in the file store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, desc, func, select, update

from cm_graphql.domain.enums import JobStatus, PdfGenerationStatus
from cm_graphql.domain.records import Stamp
from cm_graphql.store import tables as t
from cm_graphql.store.memos import stamped
from cm_graphql.store.session import Session

FILES_PATH: Final = "/files/"
"""Below this the server answers with files; a file's URL is this and its id."""

_WAITING: Final = (JobStatus.PENDING, JobStatus.PROCESSING)

_files = t.credit_memo_files
_requests = t.credit_memo_pdf_requests


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A PDF of a memo, whose bytes lie in the file store."""

    id: str
    memo_id: str
    object_key: str
    file_name: str | None
    size: int
    sha256: str
    uploaded: bool


async def add_file(session: Session, file: StoredFile, stamp: Stamp) -> None:
    """Write a file down as the newest of its memo, which must be locked; the memo's version stays (domain.md 1.14)."""
    c = _files.c
    newest = await session.scalar(select(func.max(c.version_number)).where(c.credit_memo_id == file.memo_id))
    version = max(int(stamp.at.timestamp() * 1000), (newest or 0) + 1)
    await session.execute(
        _files.insert(),
        {
            "id": file.id,
            "credit_memo_id": file.memo_id,
            "pdf_file_url": f"{FILES_PATH}{file.id}",
            "version_number": version,
            "file_name": file.file_name,
            "object_key": file.object_key,
            "size": file.size,
            "sha256": file.sha256,
            "uploaded": file.uploaded,
            **stamped(stamp),
        },
    )
    memos = t.credit_memos
    await session.execute(update(memos).where(memos.c.id == file.memo_id), {"latest_pdf_file_id": file.id})


async def load_file(session: Session, file_id: str) -> tuple[StoredFile, str] | None:
    """A file and the account of its memo."""
    memos = t.credit_memos
    row = await session.first(
        select(_files, memos.c.account_id)
        .select_from(_files.join(memos, memos.c.id == _files.c.credit_memo_id))
        .where(_files.c.id == file_id)
    )
    if row is None:
        return None
    file = StoredFile(
        id=row.id,
        memo_id=row.credit_memo_id,
        object_key=row.object_key,
        file_name=row.file_name,
        size=row.size,
        sha256=row.sha256,
        uploaded=row.uploaded,
    )
    return file, row.account_id


async def count_files(session: Session, memo_id: str) -> int:
    """How many files a memo has."""
    return int(await session.scalar(select(func.count()).where(_files.c.credit_memo_id == memo_id)))


@dataclass(frozen=True, slots=True)
class Filed:
    """How many files a memo has, and whether a PDF of it is being made."""

    files: int = 0
    running: bool = False


async def filed(session: Session, memo_ids: Sequence[str]) -> dict[str, Filed]:
    """The same of several memos."""
    jobs = t.credit_memo_jobs
    counts = select(_files.c.credit_memo_id, func.count().label("files")).group_by(_files.c.credit_memo_id)
    running = (
        select(_requests.c.credit_memo_id)
        .join(jobs, jobs.c.id == _requests.c.job_id)
        .where(is_newest(), jobs.c.status.in_(_WAITING), ~jobs.c.cancel_requested)
    )
    memos = list(memo_ids)
    files = {
        row.credit_memo_id: row.files for row in await session.rows(counts.where(_files.c.credit_memo_id.in_(memos)))
    }
    made = {row.credit_memo_id for row in await session.rows(running.where(_requests.c.credit_memo_id.in_(memos)))}
    return {memo: Filed(files.get(memo, 0), memo in made) for memo in memos}


async def latest_file_id(session: Session, memo_id: str) -> str | None:
    """The newest file of a memo."""
    found: str | None = await session.scalar(
        select(t.credit_memos.c.latest_pdf_file_id).where(t.credit_memos.c.id == memo_id)
    )
    return found


async def kept_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Those of these object keys that a file has."""
    rows = await session.rows(select(_files.c.object_key).where(_files.c.object_key.in_(list(keys))))
    return {row.object_key for row in rows}


# --- requests for PDFs ------------------------------------------------------------------------------------------------


async def running_request(session: Session, memo_id: str) -> Mapping[str, Any] | None:
    """The newest request for a memo's PDF, its `id` and `job_id`, while its job waits or works; else None.

    A job that somebody asked to call off will not make it.
    """
    jobs = t.credit_memo_jobs
    row = await session.first(
        select(_requests.c.id, _requests.c.job_id, jobs.c.status, jobs.c.cancel_requested)
        .select_from(_requests.outerjoin(jobs, jobs.c.id == _requests.c.job_id))
        .where(_requests.c.credit_memo_id == memo_id)
        .order_by(desc(_requests.c.created_on), desc(_requests.c.id))
        .limit(1)
    )
    if row is None or row.status not in _WAITING or row.cancel_requested:
        return None
    return {"id": row.id, "job_id": row.job_id}


async def newer_pdf(session: Session, memo_id: str, version: int) -> tuple[int, str] | None:
    """The version of a memo, and the file, that a PDF shows which was made of a later version; the latest, if any."""
    c = _requests.c
    row = await session.first(
        select(c.memo_version, c.file_id)
        .where(c.credit_memo_id == memo_id, c.status == PdfGenerationStatus.GENERATED, c.memo_version > version)
        .order_by(desc(c.memo_version), desc(c.updated_on))
        .limit(1)
    )
    return None if row is None or row.file_id is None else (row.memo_version, row.file_id)


def is_newest() -> ColumnElement[bool]:
    """Whether a request is the newest of its memo."""
    others = _requests.alias("others")
    newest = (
        select(others.c.id)
        .where(others.c.credit_memo_id == _requests.c.credit_memo_id)
        .order_by(desc(others.c.created_on), desc(others.c.id))
        .limit(1)
    )
    return _requests.c.id == newest.scalar_subquery()


async def add_request(session: Session, request_id: str, memo_id: str, version: int, job_id: str, at: datetime) -> None:
    """Write down that a PDF was asked for."""
    await session.execute(
        _requests.insert(),
        {
            "id": request_id,
            "credit_memo_id": memo_id,
            "status": PdfGenerationStatus.PENDING,
            "memo_version": version,
            "job_id": job_id,
            "created_on": at,
            "updated_on": at,
        },
    )


async def end_request(session: Session, job_id: str, at: datetime, **values: Any) -> None:
    """Write down what became of the request that a job was for."""
    await session.execute(update(_requests).where(_requests.c.job_id == job_id), {"updated_on": at, **values})
