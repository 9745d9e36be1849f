"""PDFs, uploads and mail on the real store: what is asked for, what comes of it, and what a crash leaves behind."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfWriter

from attempts import states
from cm_graphql.domain.commands.base import Key, UploadedFile
from cm_graphql.domain.commands.documents import EmailCreditMemo, GenerateCreditMemoPdf, UploadCreditMemoFile
from cm_graphql.domain.commands.intake import BillToContact
from cm_graphql.domain.commands.lifecycle import CancelCreditMemo, DeleteCreditMemo, PostCreditMemo, UnpostCreditMemo
from cm_graphql.domain.commands.settlement import CancelCreditMemoJob
from cm_graphql.domain.documents import file_name
from cm_graphql.domain.enums import EventAction, JobStatus, MemoAction, PdfGenerationStatus
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.paper import Paper
from cm_graphql.jobs.runners import RUNNERS
from cm_graphql.jobs.worker import Pace, Worker
from cm_graphql.operations import documents, jobs, lifecycle
from cm_graphql.operations.document_ports import (
    DocumentPorts,
    Mail,
    MailDelayed,
    MailRefused,
    PdfFailed,
    Sent,
    StoredObject,
)
from cm_graphql.operations.viewer import STANDARD, Forbidden, Viewer
from cm_graphql.outside.files import ObjectFiles
from cm_graphql.outside.judging import wrong_with
from cm_graphql.store import jobs as job_store
from cm_graphql.store import tables as t
from operating import Desk, a_desk

QUICK = Pace(poll=0.02, lease=2.0, beat=0.02, patience=0.02)
CONTACT = BillToContact(work_email="ada@acme.example", personal_email="ada@home.example")


class Killed(BaseException):
    """Ends a job as kill -9 does: nothing runs afterwards."""


@dataclass
class Printer:
    """Prints what a PDF begins with, or fails."""

    fail: PdfFailed | None = None
    printed: list[Paper] = field(default_factory=list)

    async def pdf(self, paper: Paper, at: datetime) -> bytes:
        self.printed.append(paper)
        if self.fail is not None:
            raise self.fail
        return f"%PDF-1.7 {paper.memo.name} {paper.memo.version} {at.isoformat()}".encode()


class Judge:
    """Judges in this process, for speed; the process is tested with the judge itself."""

    def __init__(self) -> None:
        self.judged = 0

    async def wrong_with(self, content: bytes) -> str | None:
        self.judged += 1
        return wrong_with(content)


@dataclass
class Mailbox:
    """Takes mail, or whatever it is told to do."""

    sent: list[Mail] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)
    domain: str = "billing.example"

    async def send(self, mail: Mail) -> Sent:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(mail)
        later, self.later = self.later, {}
        return Sent(refused=self.refused, later=later)


class Files(ObjectFiles):
    """A real folder, beside which something can happen as soon as an object is there."""

    after: Callable[[], Awaitable[None]] | None = None

    async def put(self, key: str, content: bytes) -> None:
        await super().put(key, content)
        if self.after is not None:
            happen, self.after = self.after, None
            await happen()


class Office(Desk):
    """A desk with everything that documents need."""

    printer: Printer
    judge: Judge
    files: Files
    mailbox: Mailbox

    async def objects(self) -> list[StoredObject]:
        return [found async for portion in self.files.all() for found in portion]

    async def content(self, file_id: str) -> bytes:
        row = await self.row(t.credit_memo_files, id=file_id)
        pieces = await self.files.get(row.object_key)
        assert pieces is not None
        content = b"".join([piece async for piece in pieces])
        assert len(content) == row.size
        return content

    async def request(self, memo: str) -> Any:
        return (await self.rows(t.credit_memo_pdf_requests, credit_memo_id=memo))[-1]

    async def notes(self, memo: str, action: EventAction) -> list[str | None]:
        rows = await self.rows(t.credit_memo_events, credit_memo_id=memo, action=action)
        return [row.note for row in rows]


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    printer, judge, files, mailbox = Printer(), Judge(), Files(tmp_path / "files"), Mailbox()
    ports = DocumentPorts(printer=printer, judge=judge, files=files, mailer=mailbox)
    async with a_desk(database_url, documents=ports) as desk:
        office = Office(desk.gate)
        office.printer, office.judge, office.files, office.mailbox = printer, judge, files, mailbox
        await office.new_account(bill_to_contact=CONTACT)
        yield office


@asynccontextmanager
async def working(office: Office) -> AsyncIterator[Worker]:
    worker = Worker(office.gate, RUNNERS, QUICK)
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def ended(office: Office, job: str) -> Any:
    """The row of a job when it has ended, a worker doing it."""
    async with working(office), asyncio.timeout(30):
        while (row := await office.row(t.credit_memo_jobs, id=job)).status not in job_store.FINAL:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.02)
    return row


def generating(memo: str, **fields: Any) -> GenerateCreditMemoPdf:
    return GenerateCreditMemoPdf(key=Key(memo), **fields)


def mailing(memo: str, **fields: Any) -> EmailCreditMemo:
    return EmailCreditMemo(key=Key(memo), **fields)


def a_pdf(filler: int = 0) -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(width=200, height=200)
    if filler:
        writer.add_attachment("filler", bytes(filler))
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def uploading(memo: str, content: bytes | None = None, name: str | None = "scan.pdf", **fields: Any) -> Any:
    content = a_pdf() if content is None else content
    return UploadCreditMemoFile(key=Key(memo), file=UploadedFile(name, content, len(content)), **fields)


async def with_pdf(office: Office, *amounts: str) -> str:
    """A posted memo whose PDF was made."""
    memo = await office.posted(*(amounts or ("10.00",)))
    job = (await office.do(documents.generate_pdf, generating(memo)))["job"]
    assert (await ended(office, job)).status is JobStatus.PROCESSED
    return memo


# --- posting ----------------------------------------------------------------------------------------------------------


async def test_a_number_given_at_posting_asks_for_a_fresh_pdf_which_a_kept_number_does_not(office: Office) -> None:
    kept = await office.posted("10.00")
    await office.set(number_on_posting=True)
    draft = await office.draft("10.00")

    answer = await office.ask(lifecycle.post, PostCreditMemo(key=Key(draft), dry_run=True))
    assert answer.faults == ()
    assert await office.rows(t.credit_memo_pdf_requests) == []
    await office.post(draft)

    request = await office.request(draft)
    assert (await ended(office, request.job_id)).status is JobStatus.PROCESSED
    (file,) = await office.rows(t.credit_memo_files, credit_memo_id=draft)
    assert file.file_name == "CM00000002.pdf"
    assert await office.rows(t.credit_memo_pdf_requests, credit_memo_id=kept) == []


# --- generate ---------------------------------------------------------------------------------------------------------


async def test_a_pdf_is_made_stored_and_becomes_the_latest(office: Office) -> None:
    memo = await with_pdf(office)

    request, row = await office.request(memo), await office.row(t.credit_memos, id=memo)
    assert request.status is PdfGenerationStatus.GENERATED
    assert request.file_id == row.latest_pdf_file_id
    assert request.memo_version == row.version
    assert (await office.content(request.file_id)).startswith(b"%PDF-1.7 CM")
    assert await office.notes(memo, EventAction.PDF_GENERATED) == [f"{row.number}.pdf"]


async def test_making_a_pdf_leaves_the_memo_at_its_version(office: Office) -> None:
    memo = await office.posted("10.00")
    before = (await office.memo(memo)).version
    await ended(office, (await office.do(documents.generate_pdf, generating(memo)))["job"])

    assert (await office.memo(memo)).version == before


async def test_a_request_while_one_runs_is_answered_with_that_one(office: Office) -> None:
    memo = await office.draft("10.00")
    first = await office.do(documents.generate_pdf, generating(memo))
    second = await office.do(documents.generate_pdf, generating(memo))

    assert first["job"] == second["job"]
    assert len(await office.rows(t.credit_memo_pdf_requests)) == 1


async def test_a_job_that_was_called_off_is_not_in_the_way_of_the_next(office: Office) -> None:
    memo = await office.draft("10.00")
    job = (await office.do(documents.generate_pdf, generating(memo)))["job"]
    await office.do(jobs.cancel, CancelCreditMemoJob(id=Key(job)))

    assert (await office.do(documents.generate_pdf, generating(memo)))["job"] != job


async def test_a_pdf_that_is_called_off_while_it_is_made_is_no_file_of_the_memo(office: Office) -> None:
    memo = await office.draft("10.00")
    called_off = (await office.do(documents.generate_pdf, generating(memo)))["job"]

    async def call_off() -> None:
        await office.do(jobs.cancel, CancelCreditMemoJob(id=Key(called_off)))

    office.files.after = call_off  # its object is stored, and no row tells of it

    assert (await ended(office, called_off)).status is JobStatus.CANCELED
    assert await office.rows(t.credit_memo_files) == []
    assert await office.notes(memo, EventAction.PDF_GENERATED) == []

    anew = (await office.do(documents.generate_pdf, generating(memo)))["job"]
    assert (await ended(office, anew)).status is JobStatus.PROCESSED
    assert (await office.row(t.credit_memo_files)).credit_memo_id == memo
    assert (await office.request(memo)).status is PdfGenerationStatus.GENERATED


async def test_only_drafts_and_posted_memos_have_pdfs_made(office: Office) -> None:
    memo = await office.draft("10.00")
    await office.do(lifecycle.cancel, CancelCreditMemo(key=Key(memo)))

    assert await office.refused(documents.generate_pdf, generating(memo)) == [(ErrorCode.INVALID_STATUS,)]
    assert await office.refused(documents.upload, uploading(memo)) == [(ErrorCode.INVALID_STATUS,)]


async def test_a_pdf_that_cannot_be_made_says_why(office: Office) -> None:
    memo = await office.draft("10.00")
    office.printer.fail = PdfFailed("INVALID_TEMPLATE", "The template cannot be set.")
    job = await ended(office, (await office.do(documents.generate_pdf, generating(memo)))["job"])

    request = await office.request(memo)
    assert job.status is JobStatus.ERROR
    assert job.error == "PDF_FAILED: INVALID_TEMPLATE: The template cannot be set."
    assert request.status is PdfGenerationStatus.ERROR
    assert (request.error_category, request.error_message) == ("INVALID_TEMPLATE", "The template cannot be set.")


async def test_a_memo_that_changes_meanwhile_is_obsolete_at_once(office: Office) -> None:
    memo = await office.posted("10.00")

    async def change() -> None:
        await office.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))

    office.files.after = change
    await ended(office, (await office.do(documents.generate_pdf, generating(memo)))["job"])

    assert (await office.request(memo)).memo_version < (await office.memo(memo)).version


async def test_killed_between_object_and_row_the_next_worker_ends_with_one_file(office: Office) -> None:
    memo = await office.posted("10.00")
    job = (await office.do(documents.generate_pdf, generating(memo)))["job"]

    async def die() -> None:
        raise Killed

    office.files.after = die
    with pytest.raises(Killed):
        await documents.run_generate_pdf(await claimed(office, job))
    assert len(await office.objects()) == 1
    assert await office.rows(t.credit_memo_files) == []

    await ended(office, job)

    (file,) = await office.rows(t.credit_memo_files)
    assert [found.key for found in await office.objects()] == [file.object_key]


async def claimed(office: Office, job_id: str) -> Any:
    """An attempt at a job by a worker that is about to die, whose lease has run out already."""
    from cm_graphql.jobs.worker import Attempt
    from cm_graphql.store.session import Session

    database = office.database
    lease = timedelta(seconds=0)
    operations = list(RUNNERS)
    job = await database.transact(
        lambda connection: job_store.claim(Session(connection, database.dialect), "dying", lease, operations)
    )
    assert job is not None
    assert job.id == job_id
    return Attempt(job, office.gate, QUICK)


async def test_a_deleted_memo_ends_its_job_and_leaves_an_orphan_that_is_collected(office: Office) -> None:
    memo = await office.draft("10.00")

    async def delete() -> None:
        await office.do(lifecycle.cancel, CancelCreditMemo(key=Key(memo)))
        await office.do(lifecycle.delete, DeleteCreditMemo(key=Key(memo)))

    office.files.after = delete
    job = await ended(office, (await office.do(documents.generate_pdf, generating(memo)))["job"])

    assert job.error.startswith("CREDIT_MEMO_NOT_FOUND")
    assert len(await office.objects()) == 1
    assert await documents.collect_orphans(office.gate) == 0, "what is young may still get its row"
    assert await documents.collect_orphans(office.gate, timedelta(seconds=-60)) == 1
    assert await office.objects() == []


async def test_what_was_half_written_into_the_folder_is_collected_too(office: Office, tmp_path: Path) -> None:
    await with_pdf(office)
    half = next((tmp_path / "files").rglob("cmf_*.pdf")).with_name("cmf_1.pdf#1")
    half.write_bytes(b"%PDF-1.7 and then kill -9")

    assert await documents.collect_orphans(office.gate) == 0, "somebody may be writing it"
    assert await documents.collect_orphans(office.gate, timedelta(seconds=-60)) == 1
    assert not half.exists()


async def test_files_that_have_rows_are_never_collected(office: Office) -> None:
    await with_pdf(office)
    await office.do(documents.upload, uploading(await office.draft("1.00")))
    await office.files.put("others/file.pdf", b"not ours")

    assert await documents.collect_orphans(office.gate, timedelta(seconds=-60)) == 0
    assert len(await office.objects()) == 3


async def test_a_memo_posted_while_its_draft_is_printed_ends_with_a_pdf_of_its_formal_number(office: Office) -> None:
    await office.set(number_on_posting=True)
    memo = await office.draft("10.00")

    async def post() -> None:
        await office.do(lifecycle.post, PostCreditMemo(key=Key(memo)))

    office.files.after = post
    await ended(office, (await office.do(documents.generate_pdf, generating(memo)))["job"])
    await ended(office, (await office.request(memo)).job_id)

    names = [row.file_name for row in await office.rows(t.credit_memo_files, credit_memo_id=memo)]
    row, request = await office.row(t.credit_memos, id=memo), await office.request(memo)
    assert names == ["TMP-CM-00000001.pdf", f"{row.number}.pdf"]
    assert (request.status, request.memo_version) == (PdfGenerationStatus.GENERATED, row.version)
    assert request.file_id == row.latest_pdf_file_id


async def test_a_pdf_of_the_draft_that_comes_last_does_not_replace_that_of_the_posted_memo(office: Office) -> None:
    await office.set(number_on_posting=True)
    memo = await office.draft("10.00")

    async def post_and_print() -> None:
        await office.do(lifecycle.post, PostCreditMemo(key=Key(memo)))
        await ended(office, (await office.request(memo)).job_id)

    office.files.after = post_and_print
    first = (await office.do(documents.generate_pdf, generating(memo)))["job"]

    assert (await ended(office, first)).status is JobStatus.PROCESSED
    row = await office.row(t.credit_memos, id=memo)
    (file,) = await office.rows(t.credit_memo_files, credit_memo_id=memo)
    assert (file.id, file.file_name) == (row.latest_pdf_file_id, f"{row.number}.pdf")
    both = await office.rows(t.credit_memo_pdf_requests, credit_memo_id=memo)
    assert [(one.status, one.file_id) for one in both] == [(PdfGenerationStatus.GENERATED, file.id)] * 2


async def test_who_asks_again_after_calling_off_gets_another_job(office: Office) -> None:
    memo = await office.draft("10.00")
    job = (await office.do(documents.generate_pdf, generating(memo)))["job"]
    async with office.database.write() as connection:  # as it stands until its worker looks
        at_work = {"status": JobStatus.PROCESSING, "cancel_requested": True}
        await connection.execute(t.credit_memo_jobs.update().values(at_work))

    assert (await office.do(documents.generate_pdf, generating(memo)))["job"] != job


async def test_a_pdf_waits_for_a_file_store_that_is_away(office: Office, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("no folder")
    memo = await office.draft("10.00")
    job = (await office.do(documents.generate_pdf, generating(memo)))["job"]

    async with working(office), asyncio.timeout(30):
        while (row := await office.row(t.credit_memo_jobs, id=job)).attempts == 0 or row.worker_id is not None:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.02)
    assert (row.status, row.error) == (JobStatus.PENDING, None)
    (tmp_path / "files").unlink()

    assert (await ended(office, job)).status is JobStatus.PROCESSED


async def test_a_dry_run_asks_for_no_job(office: Office) -> None:
    memo = await with_pdf(office)

    assert (await office.do(documents.generate_pdf, generating(memo, dry_run=True)))["job"] is None
    assert (await office.do(documents.email, mailing(memo, dry_run=True)))["job"] is None
    assert len(await office.rows(t.credit_memo_jobs)) == 1
    assert len(await office.rows(t.credit_memo_pdf_requests)) == 1


# --- upload -----------------------------------------------------------------------------------------------------------


async def test_an_upload_is_kept_as_it_was_and_becomes_the_latest_pdf(office: Office) -> None:
    memo, content = await office.draft("10.00"), a_pdf()
    file_id = (await office.do(documents.upload, uploading(memo, content, "../../etc/Scan ü.pdf")))["file"]

    row = await office.row(t.credit_memo_files, id=file_id)
    assert await office.content(file_id) == content
    assert (row.uploaded, row.file_name, row.pdf_file_url) == (True, "Scan ü.pdf", f"/files/{file_id}")
    assert (await office.row(t.credit_memos, id=memo)).latest_pdf_file_id == file_id
    assert await office.notes(memo, EventAction.FILE_UPLOADED) == ["Scan ü.pdf"]
    assert office.judge.judged == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [("n" * 400 + ".pdf", "n" * 146 + ".pdf"), ("n" * 400, "n" * 150), ("a.PDF", "a.PDF"), (".pdf", "pdf"), ("", None)],
)
def test_a_long_name_keeps_its_ending(given: str, kept: str | None) -> None:
    assert file_name(given) == kept


async def test_versions_of_files_grow_even_within_a_millisecond(office: Office) -> None:
    memo = await office.draft("10.00")
    for _ in range(3):
        await office.do(documents.upload, uploading(memo))

    versions = [row.version_number for row in await office.rows(t.credit_memo_files)]
    assert versions == sorted(set(versions))


async def test_what_is_no_pdf_is_refused_and_never_stored(office: Office) -> None:
    memo = await office.draft("10.00")
    for content in (b"", b"PK\x03\x04", b" %PDF-1.7", b"%PDF-1.7", a_pdf()[:-40], b"<html>%PDF-"):
        assert await office.refused(documents.upload, uploading(memo, content)) == [(ErrorCode.FILE_NOT_PDF, "file")]

    assert await office.objects() == []


async def test_four_megabytes_are_taken_and_one_byte_more_is_not(office: Office) -> None:
    memo = await office.draft("10.00")
    most = a_pdf(4_194_304 - (len(a_pdf(4_000_000)) - 4_000_000))
    assert len(most) == 4_194_304

    assert (await office.do(documents.upload, uploading(memo, most)))["file"] is not None
    for content in (most + b"\n", b"x" * 4_194_305):
        answer = await office.refused(documents.upload, uploading(memo, content))
        assert answer[0] == (ErrorCode.FILE_TOO_LARGE, "file")


async def test_the_fifty_first_file_is_refused_before_anything_is_stored(office: Office) -> None:
    memo = await office.draft("10.00")
    for _ in range(50):
        await office.do(documents.upload, uploading(memo))

    assert await office.refused(documents.upload, uploading(memo)) == [(ErrorCode.FILE_LIMIT, "file")]
    assert len(await office.objects()) == 50


async def test_what_can_be_mailed_and_added_is_said(office: Office) -> None:
    without, making, full = [await office.posted("10.00") for _ in range(3)]
    await office.do(documents.generate_pdf, generating(making))
    for _ in range(50):
        await office.do(documents.upload, uploading(full))

    told = await states(office, without, making, full)

    codes = [(found[MemoAction.EMAIL].code, found[MemoAction.UPLOAD_FILE].code) for found in told]
    missing = ErrorCode.PDF_NOT_READY
    assert codes == [(missing, None), (missing, None), (None, ErrorCode.FILE_LIMIT)]
    assert [(found[MemoAction.EMAIL].reason or "").partition("; ")[0][-40:] for found in told[:2]] == [
        "was never made: generate or upload it first."[-40:],
        "is being made: mail it when that is done."[-40:],
    ]
    await office.set(email_attach_pdf=False)
    (found,) = await states(office, without)
    assert found[MemoAction.EMAIL].allowed


async def test_uploads_at_once_do_not_pass_the_limit(office: Office) -> None:
    memo = await office.draft("10.00")
    for _ in range(48):
        await office.do(documents.upload, uploading(memo))

    answers = await asyncio.gather(*(office.ask(documents.upload, uploading(memo)) for _ in range(5)))

    assert sorted(bool(answer.faults) for answer in answers) == [False, False, True, True, True]
    assert len(await office.rows(t.credit_memo_files)) == 50


async def test_an_upload_that_is_repeated_under_its_key_is_stored_once(office: Office) -> None:
    memo = await office.draft("10.00")
    command = uploading(memo, idempotency_key="k")
    first, second = await office.ask(documents.upload, command), await office.ask(documents.upload, command)
    other = await office.ask(documents.upload, uploading(memo, a_pdf() + b"\n", idempotency_key="k"))

    assert second.replayed
    assert first.outcome == second.outcome
    assert [fault.code for fault in other.faults] == [ErrorCode.IDEMPOTENCY_MISMATCH]
    assert len(await office.objects()) == 1


async def test_a_dry_run_of_an_upload_looks_and_stores_nothing(office: Office) -> None:
    memo = await office.draft("10.00")

    assert (await office.do(documents.upload, uploading(memo, dry_run=True)))["file"] is None
    answer = await office.ask(documents.upload, uploading(memo, b"%PDF-1.7", dry_run=True))
    assert [fault.code for fault in answer.faults] == [ErrorCode.FILE_NOT_PDF]
    assert await office.objects() == []


async def test_killed_after_the_object_an_upload_leaves_an_orphan_and_no_row(office: Office) -> None:
    memo = await office.draft("10.00")

    async def die() -> None:
        raise Killed

    office.files.after = die
    with pytest.raises(Killed):
        await office.ask(documents.upload, uploading(memo))

    assert await office.rows(t.credit_memo_files) == []
    assert await documents.collect_orphans(office.gate, timedelta(seconds=-60)) == 1


# --- mail -------------------------------------------------------------------------------------------------------------


async def mailed(office: Office, memo: str, **fields: Any) -> Any:
    """The job that mailed a memo."""
    return await ended(office, (await office.do(documents.email, mailing(memo, **fields)))["job"])


async def test_a_mail_carries_the_pdf_to_the_work_address_and_the_history_says_so(office: Office) -> None:
    memo = await with_pdf(office)
    job = await mailed(office, memo)

    (mail,) = office.mailbox.sent
    row = await office.row(t.credit_memos, id=memo)
    assert mail.recipients == ("ada@acme.example",)
    assert mail.message_id == f"<{job.id}@billing.example>"
    assert mail.attachment == (f"{row.number}.pdf", await office.content(row.latest_pdf_file_id))
    assert row.number in mail.letter.subject
    assert "USD 10.00" in mail.letter.text
    assert await office.notes(memo, EventAction.EMAILED) == ["to ada@acme.example"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"email_addresses": "x@y.example, z@y.example"}, ("x@y.example", "z@y.example")),
        ({"email_addresses": " X@y.example,,x@Y.example "}, ("X@y.example",)),
        ({"email_addresses": " , "}, ("ada@acme.example",)),
        ({"use_email_template_setting": True}, ("list@nimbus.example",)),
        ({"use_email_template_setting": True, "email_addresses": "not read"}, ("list@nimbus.example",)),
        ({"include_additional_email_addresses": True}, ("ada@acme.example", "cfo@acme.example")),
        ({"email_addresses": "cfo@acme.example", "include_additional_email_addresses": True}, ("cfo@acme.example",)),
    ],
)
async def test_a_mail_goes_to_whom_the_rules_name(
    office: Office, fields: dict[str, Any], expected: Sequence[str]
) -> None:
    await office.new_account(bill_to_contact=CONTACT, additional_email_addresses=("cfo@acme.example",))
    await office.set(email_to="list@nimbus.example", email_attach_pdf=False)
    memo = await office.posted("10.00")
    await office.do(documents.email, mailing(memo, **fields))

    (job,) = await office.rows(t.credit_memo_jobs)
    assert tuple(job.input["recipients"]) == tuple(expected)


async def test_without_a_work_address_a_mail_goes_to_the_personal_one_and_without_any_nowhere(office: Office) -> None:
    await office.set(email_attach_pdf=False)
    await office.new_account(bill_to_contact=replace(CONTACT, work_email=None))
    await office.do(documents.email, mailing(await office.posted("10.00")))
    (job,) = await office.rows(t.credit_memo_jobs)
    assert job.input["recipients"] == ["ada@home.example"]

    await office.new_account()
    memo = await office.posted("10.00")
    assert await office.refused(documents.email, mailing(memo)) == [(ErrorCode.NO_RECIPIENT,)]


@pytest.mark.parametrize(
    "address",
    [
        "x",
        "@y",
        "x@",
        "x y@z.example",
        "x@y.example\r\nBcc: e@e.example",
        "x@y.example\n",
        "ü@y.example",
        "<x@y>",
        "x@" + "y" * 64 + ".example",
        "x" * 65 + "@y.example",
        '"x"@y.example',
        "x@[127.0.0.1]",
        "x@y..example",
    ],
)
async def test_what_is_no_address_is_refused(office: Office, address: str) -> None:
    await office.set(email_attach_pdf=False)
    memo = await office.posted("10.00")
    answer = await office.ask(documents.email, mailing(memo, email_addresses=f"ok@y.example,{address},"))

    if address.strip() == "x@y.example":
        assert answer.faults == (), "blanks around an address are not of it"
    else:
        assert {(fault.code, *fault.field) for fault in answer.faults} == {(ErrorCode.INVALID_VALUE, "email_addresses")}


async def test_a_hundred_and_one_addresses_are_too_many(office: Office) -> None:
    await office.set(email_attach_pdf=False)
    many = ",".join(f"x{n}@y.example" for n in range(101))

    assert await office.refused(documents.email, mailing(await office.posted("1.00"), email_addresses=many)) == [
        (ErrorCode.LIMIT_EXCEEDED, "email_addresses")
    ]


async def test_further_addresses_of_the_account_count_too_and_each_gets_it_once(office: Office) -> None:
    await office.set(email_attach_pdf=False)
    many = ",".join(f"x{n}@y.example" for n in range(99))
    further = ("X98@y.example", "z1@y.example", "z2@y.example")
    await office.new_account(bill_to_contact=CONTACT, additional_email_addresses=further)
    memo = await office.posted("1.00")

    async def asked(addresses: str) -> list[tuple[object, ...]]:
        command = mailing(memo, email_addresses=addresses, include_additional_email_addresses=True)
        return await office.refused(documents.email, command)

    assert await asked(many) == [(ErrorCode.LIMIT_EXCEEDED, "email_addresses")]
    await mailed(office, memo, email_addresses="x98@y.example", include_additional_email_addresses=True)
    assert office.mailbox.sent[0].recipients == ("x98@y.example", "z1@y.example", "z2@y.example")


async def test_only_posted_memos_are_mailed_and_only_where_that_is_switched_on(office: Office) -> None:
    draft, memo = await office.draft("10.00"), await with_pdf(office)
    assert await office.refused(documents.email, mailing(draft)) == [(ErrorCode.INVALID_STATUS,)]

    await office.set(email_notification=False)
    assert await office.refused(documents.email, mailing(memo)) == [(ErrorCode.EMAIL_NOTIFICATION_INACTIVE,)]


async def test_a_pdf_that_is_not_there_yet_is_not_mailed(office: Office) -> None:
    memo = await office.posted("10.00")
    assert await office.refused(documents.email, mailing(memo)) == [(ErrorCode.PDF_NOT_READY,)]

    await office.do(documents.generate_pdf, generating(memo))
    assert await office.refused(documents.email, mailing(memo)) == [(ErrorCode.PDF_NOT_READY,)]

    await office.set(email_attach_pdf=False)
    await mailed(office, memo)
    assert office.mailbox.sent[0].attachment is None


async def test_a_chosen_file_is_attached_and_must_be_the_memos(office: Office) -> None:
    memo, other = await with_pdf(office), await with_pdf(office)
    uploaded = (await office.do(documents.upload, uploading(memo)))["file"]
    generated = (await office.request(memo)).file_id
    foreign = (await office.request(other)).file_id

    await mailed(office, memo)
    await mailed(office, memo, pdf_file_id=Key(generated))
    assert [mail.attachment and mail.attachment[0] for mail in office.mailbox.sent] == [
        "scan.pdf",
        f"{(await office.memo(memo)).number}.pdf",
    ]
    assert (await office.row(t.credit_memos, id=memo)).latest_pdf_file_id == uploaded
    assert await office.refused(documents.email, mailing(memo, pdf_file_id=Key(foreign))) == [
        (ErrorCode.FILE_NOT_FOUND, "pdf_file_id")
    ]


async def test_a_server_that_is_away_gets_the_mail_later_under_the_same_id(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "FIRST_DELAY", timedelta(milliseconds=50))
    memo = await with_pdf(office)
    office.mailbox.failures = [MailDelayed("away"), MailDelayed("away")]
    job = await mailed(office, memo)

    assert job.status is JobStatus.PROCESSED
    assert job.attempts == 3
    assert [mail.message_id for mail in office.mailbox.sent] == [f"<{job.id}@billing.example>"]


async def test_a_mail_that_waits_is_not_sent_of_a_memo_that_is_no_longer_posted(office: Office) -> None:
    memo = await with_pdf(office)
    job = (await office.do(documents.email, mailing(memo)))["job"]
    await office.do(lifecycle.unpost, UnpostCreditMemo(key=Key(memo)))

    row = await ended(office, job)

    assert row.status is JobStatus.ERROR
    assert row.error.startswith("INVALID_STATUS: Credit memo CM00000001 is Draft.")
    assert office.mailbox.sent == []


async def test_a_mail_that_nobody_ever_takes_ends_as_an_error(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    memo = await with_pdf(office)
    office.mailbox.failures = [MailRefused("The mail server refused every recipient.")]
    assert (await mailed(office, memo)).error == "MAIL_FAILED: The mail server refused every recipient."

    monkeypatch.setattr(documents, "MOST_ATTEMPTS", 1)
    office.mailbox.failures = [MailDelayed("The mail server is away.")]
    assert (await mailed(office, memo)).error == "MAIL_FAILED: The mail server is away. It was tried 1 times."
    assert await office.notes(memo, EventAction.EMAILED) == []


def test_delays_double_up_to_an_hour() -> None:
    delays = [documents.delay_after(attempt).total_seconds() for attempt in range(1, 12)]

    assert delays == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    assert documents.delay_after(10_000) == documents.LONGEST_DELAY


async def test_recipients_that_were_refused_are_in_the_history(office: Office) -> None:
    memo = await with_pdf(office)
    office.mailbox.refused = {"z@y.example": "550 no such user"}
    await mailed(office, memo, email_addresses="x@y.example,z@y.example")

    assert await office.notes(memo, EventAction.EMAILED) == [
        "to x@y.example; refused by z@y.example (550 no such user)"
    ]


async def test_recipients_that_were_put_off_get_it_later_and_the_others_not_again(office: Office) -> None:
    memo = await with_pdf(office)
    office.mailbox.later = {"z@y.example": "450 greylisted"}
    await office.do(documents.email, mailing(memo, email_addresses="x@y.example,z@y.example"))
    async with working(office), asyncio.timeout(30):
        while len(await office.notes(memo, EventAction.EMAILED)) < 2:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.02)

    assert [mail.recipients for mail in office.mailbox.sent] == [("x@y.example", "z@y.example"), ("z@y.example",)]
    assert len({mail.message_id for mail in office.mailbox.sent}) == 1
    assert len({mail.attachment for mail in office.mailbox.sent}) == 1
    assert await office.notes(memo, EventAction.EMAILED) == [
        "to x@y.example; later to z@y.example (450 greylisted)",
        "to z@y.example",
    ]


async def test_domains_in_any_script_are_spelled_as_mail_servers_take_them(office: Office) -> None:
    await office.new_account(
        bill_to_contact=replace(CONTACT, work_email="ada@straße.example"),
        additional_email_addresses=("経理@例え.example", "keiri@例え.example"),
    )
    await office.set(email_attach_pdf=False)
    memo = await office.posted("10.00")
    await office.do(documents.email, mailing(memo, include_additional_email_addresses=True))
    await office.do(documents.email, mailing(memo, email_addresses="a@BÜCHER.example"))

    first, second = await office.rows(t.credit_memo_jobs)
    assert first.input["recipients"] == ["ada@xn--strae-oqa.example", "keiri@xn--r8jz45g.example"]
    assert second.input["recipients"] == ["a@xn--bcher-kva.example"]


async def test_killed_between_sending_and_recording_a_mail_is_repeated_under_its_id_and_recorded_once(
    office: Office,
) -> None:
    memo = await with_pdf(office)
    job = (await office.do(documents.email, mailing(memo)))["job"]
    attempt = await claimed(office, job)

    async def die(_work: object) -> None:
        raise Killed

    attempt.finish = die
    with pytest.raises(Killed):
        await documents.run_email(attempt)
    await ended(office, job)

    assert [mail.message_id for mail in office.mailbox.sent] == [f"<{job}@billing.example>"] * 2
    assert len(await office.notes(memo, EventAction.EMAILED)) == 1


async def test_a_tenants_templates_are_filled(office: Office) -> None:
    await office.set(
        email_attach_pdf=False,
        email_subject="{{ number }}\r\nBcc: {{ comment }}",
        email_text="{{ amount }}{% if has_pdf %} attached{% endif %}",
        email_html="<b>{{ comment }}</b>",
    )
    memo = await office.posted("10.00", comment="<script>\r\nX: y")
    await mailed(office, memo)

    (mail,) = office.mailbox.sent
    assert "\n" not in mail.letter.subject
    assert "\r" not in mail.letter.subject
    assert mail.letter.text == "USD 10.00"
    assert mail.letter.html.startswith("<b>&lt;script&gt;")


# --- rights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "what", "command"),
    [
        ("credit_memos:pdf", documents.generate_pdf, generating("CM1")),
        ("credit_memos:files", documents.upload, uploading("CM1")),
        ("credit_memos:email", documents.email, mailing("CM1")),
    ],
)
async def test_each_action_needs_its_right(office: Office, scope: str, what: Any, command: Any) -> None:
    office.viewer = Viewer("usr_limited", STANDARD - {scope})

    with pytest.raises(Forbidden, match=scope):
        await office.ask(what, command)


async def test_a_memo_of_an_account_that_one_does_not_see_is_not_there(office: Office) -> None:
    memo = await with_pdf(office)
    office.viewer = Viewer("usr_limited", STANDARD, frozenset({"acc_other"}))

    for what, command in (
        (documents.generate_pdf, generating(memo)),
        (documents.upload, uploading(memo)),
        (documents.email, mailing(memo)),
    ):
        answer = await office.ask(what, command)
        assert [fault.code for fault in answer.faults] == [ErrorCode.CREDIT_MEMO_NOT_FOUND]
