"""PDFs, files and mail: what is asked for in a request, and the jobs that do it afterwards (domain.md 1.13-1.15, 1.20).

An object is stored before the row that names it, and never written twice; so a row always has its object, and an
object without a row, which a crash may leave, is found by `collect_orphans` and removed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain import documents, shape
from cm_graphql.domain.commands.documents import EmailCreditMemo, GenerateCreditMemoPdf, UploadCreditMemoFile
from cm_graphql.domain.enums import EventAction, JobOperation, PdfGenerationStatus
from cm_graphql.domain.errors import ErrorCode, Faults, Refusal, not_found, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.paper import Paper
from cm_graphql.domain.records import CreditMemo, MemoHead
from cm_graphql.operations.document_ports import DocumentPorts, Mail, MailDelayed, MailRefused, PdfFailed
from cm_graphql.operations.gate import Gate, Outcome, action
from cm_graphql.operations.jobs import Run, TryLater, enqueue
from cm_graphql.operations.ports import new_id
from cm_graphql.operations.quoting import Unasked
from cm_graphql.operations.unit import Unit
from cm_graphql.store import documents as store
from cm_graphql.store import intake, memos, records, reference
from cm_graphql.store import tables as t
from cm_graphql.store.documents import StoredFile
from cm_graphql.store.records import Happening
from cm_graphql.store.session import Session

log = structlog.get_logger("cm_graphql.operations")

FIRST_DELAY: Final = timedelta(seconds=30)
LONGEST_DELAY: Final = timedelta(hours=1)
MOST_ATTEMPTS: Final = 14
"""A mail is tried for about eight hours: after 30 seconds, then each time twice as long, at most an hour."""

ORPHAN_AGE: Final = timedelta(hours=6)
"""An object without a row is left alone for so long: its row may be on its way."""

_OURS = re.compile(r"credit-memos/cm_[^/]+/[^/]+\.pdf(#[0-9]+)?$")
"""Keys that we make, and what a folder calls a file that is being written."""


# --- generate ---------------------------------------------------------------------------------------------------------


@action("credit_memos:pdf")
async def generate_pdf(unit: Unit, command: GenerateCreditMemoPdf) -> Outcome:
    """Ask for a PDF, or answer the request that still runs (domain.md 1.20)."""
    memo = await unit.memo_head(command.key)
    unit.expect_version(memo, command.if_version)
    documents.check_pdf(memo)
    running = await store.running_request(unit.session, memo.id)
    job_id = await ask_for_pdf(unit, memo) if running is None else running["job_id"]
    return {"credit_memo": memo.id, "pdf_status": memo.id, "job": job_id}


async def ask_for_pdf(unit: Unit, memo: CreditMemo | MemoHead) -> str | None:
    """Ask for a PDF within the action's transaction, whether one runs or not; answers the job, none in a dry run."""
    job_id = await enqueue(unit, JobOperation.GENERATE_CREDIT_MEMO_PDF, memo.id, {})
    if job_id is not None:
        await store.add_request(unit.session, new_id("cmq"), memo.id, memo.version, job_id, unit.stamp.at)
    return job_id


async def run_generate_pdf(run: Run) -> None:
    """Make the PDF, store it, and write it down as the memo's latest; a repeat finds its object and goes on there.

    Where a PDF of a later version of the memo is there by then, that is what comes of it.
    """
    ports = _ports(run.gate)
    paper, at = await _paper(run)
    try:
        content = await ports.printer.pdf(paper, at)
    except PdfFailed as failed:
        await _end_request(run, failed)
        raise refuse(ErrorCode.PDF_FAILED, f"{failed.category}: {failed}") from failed
    run.check()
    digest = sha256(content).hexdigest()
    file_id = "cmf_" + run.job.id.partition("_")[2]
    file = StoredFile(
        id=file_id,
        memo_id=paper.memo.id,
        # Another attempt may make another PDF, of a memo that has changed meanwhile: keys name their content.
        object_key=_object_key(paper.memo.id, f"{file_id}-{digest[:16]}"),
        file_name=f"{paper.memo.name}.pdf",
        size=len(content),
        sha256=digest,
        uploaded=False,
    )
    await ports.files.put(file.object_key, content)

    async def record(unit: Unit) -> Mapping[str, Any]:
        memo = await memos.load(unit.session, paper.memo.id)
        if memo is None:
            raise _gone(paper.memo.id)
        version, file_id = paper.memo.version, file.id
        # Where another job has shown the memo as it became meanwhile, what this one made is out of date: as the latest
        # PDF it would be mailed.
        newer = await store.newer_pdf(unit.session, memo.id, version)
        if newer is None:
            await store.add_file(unit.session, file, unit.stamp)
            await _note(unit, memo, EventAction.PDF_GENERATED, file.file_name)
        else:
            version, file_id = newer
        await store.end_request(
            unit.session,
            run.job.id,
            unit.stamp.at,
            status=PdfGenerationStatus.GENERATED,
            memo_version=version,
            file_id=file_id,
        )
        return {"file": file_id}

    await run.finish(record)


async def _end_request(run: Run, failed: PdfFailed) -> None:
    async def work(connection: AsyncConnection) -> None:
        await store.end_request(
            Session(connection, run.gate.database.dialect),
            run.job.id,
            run.gate.clock.now(),
            status=PdfGenerationStatus.ERROR,
            error_category=failed.category,
            error_message=str(failed),
        )

    await run.gate.database.transact(work)


async def _paper(run: Run) -> tuple[Paper, datetime]:
    """What a job's PDF or mail tells, as it is now, and when the job was asked for."""
    async with run.gate.database.read() as connection:
        session = Session(connection, run.gate.database.dialect)
        memo = await memos.load(session, run.job.memo_id, lock=False)
        if memo is None:
            raise _gone(run.job.memo_id)
        account = await intake.load_account(session, memo.account_id)
        assert account is not None, "a foreign key says that it exists"
        invoices = t.invoices.c
        number = await session.scalar(select(invoices.invoice_number).where(invoices.id == memo.referred_invoice_id))
        settings = await reference.tenant_settings(session)
        jobs = t.credit_memo_jobs.c
        at: datetime = await session.scalar(select(jobs.created_date).where(jobs.id == run.job.id))
        return Paper(memo=memo, account=account, settings=settings, invoice_number=number), at


def _gone(memo_id: str) -> Refusal:
    return Refusal(not_found(ErrorCode.CREDIT_MEMO_NOT_FOUND, memo_id))


# --- upload -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """What was learned of an upload outside of transactions."""

    wrong: str | None
    file: StoredFile | None = None


@action("credit_memos:files")
async def upload(unit: Unit, command: UploadCreditMemoFile) -> Outcome:
    """Add a PDF to a memo (domain.md 1.14): its content is judged and stored before anything is written down."""
    memo = await unit.memo(command.key)
    unit.expect_version(memo, command.if_version)
    faults = Faults()
    documents.check_file(command.file, faults)
    faults.raise_if_any()
    judged: _Judged | None = unit.quoted.learned.get("upload")
    if judged is not None and judged.wrong is not None:
        raise refuse(ErrorCode.FILE_NOT_PDF, f"The file is no PDF that can be kept: {judged.wrong}.", "file")
    documents.check_upload(memo)
    documents.check_room(memo, await store.count_files(unit.session, memo.id))
    if judged is None:
        raise Unasked(lambda: _judge(unit, memo.id, command))
    if judged.file is None:
        return {"credit_memo": memo.id, "file": None}
    await store.add_file(unit.session, judged.file, unit.stamp)
    await _note(unit, memo, EventAction.FILE_UPLOADED, judged.file.file_name)
    return {"credit_memo": memo.id, "file": judged.file.id}


async def _judge(unit: Unit, memo_id: str, command: UploadCreditMemoFile) -> None:
    """Look into an upload and store it; a dry run only looks."""
    ports, content = _required(unit.quoted.documents), command.file.content
    wrong = await ports.judge.wrong_with(content)
    if wrong is not None or unit.dry_run:
        unit.quoted.learned["upload"] = _Judged(wrong)
        return
    file_id = new_id("cmf")
    file = StoredFile(
        id=file_id,
        memo_id=memo_id,
        object_key=_object_key(memo_id, file_id),
        file_name=documents.file_name(command.file.name),
        size=len(content),
        sha256=sha256(content).hexdigest(),
        uploaded=True,
    )
    await ports.files.put(file.object_key, content)
    unit.quoted.learned["upload"] = _Judged(None, file)


def _object_key(memo_id: str, name: str) -> str:
    return f"credit-memos/{memo_id}/{name}.pdf"


async def collect_orphans(gate: Gate, age: timedelta = ORPHAN_AGE) -> int:
    """Remove objects that no file has, left by crashes and deleted memos; answers how many.

    Harmless to call anywhere and at any time: what is younger than `age` may still get its row.
    """
    ports, removed = _ports(gate), 0
    async for portion in ports.files.all():
        old = [found.key for found in portion if gate.clock.now() - found.stored > age and _is_ours(found.key)]
        if not old:
            continue
        async with gate.database.read() as connection:
            kept = await store.kept_keys(Session(connection, gate.database.dialect), old)
        orphans = [key for key in old if key not in kept]
        await ports.files.delete(orphans)
        removed += len(orphans)
    if removed:
        log.info("orphans_removed", files=removed)
    return removed


def _is_ours(key: str) -> bool:
    return _OURS.match(key) is not None


# --- mail -------------------------------------------------------------------------------------------------------------


@action("credit_memos:email")
async def email(unit: Unit, command: EmailCreditMemo) -> Outcome:
    """Ask for a memo to be mailed (domain.md 1.13)."""
    memo = await unit.memo_head(command.key)
    file_id = None if command.pdf_file_id is None else shape.as_id(command.pdf_file_id, "cmf")
    if file_id is not None:
        found = await store.load_file(unit.session, file_id)
        if found is None or found[0].memo_id != memo.id:
            raise Refusal(not_found(ErrorCode.FILE_NOT_FOUND, str(command.pdf_file_id), "pdf_file_id"))
    unit.expect_version(memo, command.if_version)
    settings = unit.book.settings
    documents.check_addresses(command)
    documents.check_email(memo, settings)
    to = documents.recipients(command, await unit.account(memo.account_id), settings)
    if settings.email_attach_pdf and file_id is None:
        running = await store.running_request(unit.session, memo.id)
        file_id = await store.latest_file_id(unit.session, memo.id)
        documents.check_anything_to_attach(memo, settings, int(file_id is not None), running is not None)
        if running is not None:
            raise documents.not_ready(memo, running=True)
    given = {"recipients": list(to), "file": file_id if settings.email_attach_pdf else None}
    job_id = await enqueue(unit, JobOperation.EMAIL_CREDIT_MEMO, memo.id, given)
    return {"credit_memo": memo.id, "job": job_id}


async def run_email(run: Run) -> None:
    """Send the mail, then write down that it was sent; a repeat carries the same Message-ID.

    Mails may wait for hours, so it is asked again whether the memo may be mailed: only what is posted is.
    """
    from cm_graphql.domain import letters  # here, as its templates take 6 MB of each process

    ports = _ports(run.gate)
    paper, at = await _paper(run)
    documents.check_email(paper.memo, paper.settings)
    attachment = await _attachment(run, ports)
    try:
        letter = letters.write(paper.settings, _values(paper, attachment is not None))
    except letters.TemplateBroken as broken:
        raise refuse(ErrorCode.MAIL_FAILED, f"The mail's template cannot be filled: {broken}") from broken
    mail = Mail(
        message_id=run.job.input.get("message_id") or f"<{run.job.id}@{ports.mailer.domain}>",
        date=at,
        recipients=tuple(run.job.input["recipients"]),
        letter=letter,
        attachment=attachment,
    )
    run.check()
    try:
        sent = await ports.mailer.send(mail)
    except MailRefused as error:
        raise refuse(ErrorCode.MAIL_FAILED, str(error)) from error
    except MailDelayed as error:
        if run.job.attempt >= MOST_ATTEMPTS:
            raise refuse(ErrorCode.MAIL_FAILED, f"{error} It was tried {run.job.attempt} times.") from error
        raise TryLater(str(error), delay_after(run.job.attempt)) from error
    taken = [address for address in mail.recipients if address not in {**sent.refused, **sent.later}]

    async def record(unit: Unit) -> Mapping[str, Any]:
        memo = await memos.load(unit.session, paper.memo.id)
        if memo is not None:  # deleted meanwhile: then there is nothing to note it on
            note = f"to {', '.join(taken)}" + _told("refused by", sent.refused) + _told("later to", sent.later)
            await _note(unit, memo, EventAction.EMAILED, note)
        if memo is not None and sent.later:
            # A job of their own: those who have the mail are not to get it again.
            again = {**run.job.input, "recipients": list(sent.later), "message_id": mail.message_id}
            await enqueue(unit, JobOperation.EMAIL_CREDIT_MEMO, memo.id, again)
        return {"message_id": mail.message_id, "refused": dict(sent.refused)}

    await run.finish(record)


def _told(what: str, whom: Mapping[str, str]) -> str:
    return f"; {what} " + ", ".join(f"{address} ({why})" for address, why in whom.items()) if whom else ""


def delay_after(attempt: int) -> timedelta:
    """How long a mail waits after so many attempts."""
    return min(FIRST_DELAY * (1 << min(attempt - 1, 20)), LONGEST_DELAY)


async def _attachment(run: Run, ports: DocumentPorts) -> tuple[str, bytes] | None:
    file_id: str | None = run.job.input["file"]
    if file_id is None:
        return None
    async with run.gate.database.read() as connection:
        found = await store.load_file(Session(connection, run.gate.database.dialect), file_id)
    pieces = None if found is None else await ports.files.get(found[0].object_key)
    if found is None or pieces is None:
        raise Refusal(not_found(ErrorCode.FILE_NOT_FOUND, file_id))
    content = b"".join([piece async for piece in pieces])
    return found[0].file_name or f"{file_id}.pdf", content


def _values(paper: Paper, has_pdf: bool) -> Mapping[str, str | bool]:
    """What a mail's template can tell of a memo."""
    memo, account, contact = paper.memo, paper.account, paper.account.bill_to
    name = " ".join(filter(None, (contact.first_name, contact.last_name))) if contact else ""
    return {
        "number": memo.name,
        "date": memo.credit_memo_date.isoformat(),
        "amount": _money(memo.amount, memo.currency),
        "applied_amount": _money(memo.applied, memo.currency),
        "unapplied_amount": _money(memo.unapplied, memo.currency),
        "refund_amount": _money(memo.refunded, memo.currency),
        "currency": memo.currency.code,
        "account_name": account.name,
        "account_number": account.number,
        "contact_name": name,
        "invoice_number": paper.invoice_number or "",
        "reason_code": memo.reason_code or "",
        "comment": memo.comment or "",
        "company_name": paper.settings.company_name,
        "has_pdf": has_pdf,
    }


def _money(amount: int, currency: Currency) -> str:
    return f"{currency.code} {currency.show(amount)}"


# --- all of them ------------------------------------------------------------------------------------------------------


async def _note(unit: Unit, memo: CreditMemo, what: EventAction, note: str | None) -> None:
    """Tell the memo's history, without a new version of the memo: nothing that it says has changed."""
    happening = Happening(action=what, note=note)
    await records.write_event(unit.session, memo, memo, happening, unit.stamp, unit.request_id)


def _ports(gate: Gate) -> DocumentPorts:
    return _required(gate.documents)


def _required(ports: DocumentPorts | None) -> DocumentPorts:
    assert ports is not None, "the wiring gives them to whoever can ask for documents"
    return ports
