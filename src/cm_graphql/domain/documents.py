"""When a memo's PDF may be made, added or mailed, and to whom (domain.md 1.13, 1.14, 1.20)."""

import re
from collections.abc import Iterable
from typing import Final

import idna

from cm_graphql.domain import limits, shape
from cm_graphql.domain.billing import Account
from cm_graphql.domain.commands.base import UploadedFile
from cm_graphql.domain.commands.documents import EmailCreditMemo
from cm_graphql.domain.commands.reference import UpdateSettings
from cm_graphql.domain.enums import MemoStatus
from cm_graphql.domain.errors import ErrorCode, Faults, field_name, refuse
from cm_graphql.domain.records import CreditMemo, MemoHead
from cm_graphql.domain.rulebook import TenantSettings

PDF_MARK: Final = b"%PDF-"
"""How the content of every PDF begins."""

PAPERS: Final = ("a4", "us-letter")

_WITH_PDF: Final = (MemoStatus.DRAFT, MemoStatus.POSTED)
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    re.ASCII,
)
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_LOCALE = re.compile(r"[a-z]{2,3}([-_][A-Z][a-z]{3})?([-_]([A-Z]{2}|[0-9]{3}))?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


# --- PDFs and files ---------------------------------------------------------------------------------------------------


def check_pdf(memo: CreditMemo | MemoHead) -> None:
    """Refuse to make a PDF of what is neither Draft nor Posted (domain.md 1.20): INVALID_STATUS."""
    if memo.status not in _WITH_PDF:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}. PDFs are made of credit memos with the Draft or Posted "
            "status.",
        )


def check_file(file: UploadedFile, faults: Faults) -> None:
    """Note FILE_TOO_LARGE and FILE_NOT_PDF, as far as size and first bytes tell (domain.md 1.14)."""
    if file.size > limits.FILE_BYTES:
        message = f"The file has more than {limits.FILE_BYTES} bytes (4 MB), which is the most a file may have."
        faults.add(ErrorCode.FILE_TOO_LARGE, message, "file")
    elif not file.content.startswith(PDF_MARK):
        message = "The file is no PDF: the content of one begins with %PDF-, whatever its name."
        faults.add(ErrorCode.FILE_NOT_PDF, message, "file")


def check_upload(memo: CreditMemo | MemoHead) -> None:
    """Refuse to add a file to what is neither Draft nor Posted (domain.md 1.14): INVALID_STATUS."""
    if memo.status not in _WITH_PDF:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}. Files are added to credit memos with the Draft or "
            "Posted status.",
        )


def file_name(given: str | None) -> str | None:
    """The name that a file keeps: without folders, control characters and too long a middle; nothing for none."""
    if given is None:
        return None
    last = re.split(r"[/\\\\]", given)[-1]
    kept = "".join(char for char in last if char.isprintable()).strip(" .")
    if len(kept) > limits.FILE_NAME_LENGTH:
        ending = kept[-4:] if kept[-4:].lower() == ".pdf" else ""
        kept = kept[: limits.FILE_NAME_LENGTH - len(ending)] + ending
    return kept or None


def check_room(memo: CreditMemo | MemoHead, files: int) -> None:
    """Refuse the 51st file: FILE_LIMIT."""
    if files >= limits.FILES_PER_MEMO:
        raise refuse(
            ErrorCode.FILE_LIMIT,
            f"Credit memo {memo.name} has {files} files; at most {limits.FILES_PER_MEMO} are allowed.",
            "file",
        )


# --- mail -------------------------------------------------------------------------------------------------------------


def address(text: str) -> str | None:
    """The address as every mail server takes it, in ASCII, or None; whether it exists only mailing tells.

    A domain may be in any script and is spelled for DNS (IDNA 2008); what stands before the @ may not, since servers
    that take it cannot be counted on.
    """
    name, _, host = text.strip().rpartition("@")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            return None
    spelled = f"{name}@{host}"
    fits = len(spelled) <= 254 and len(name) <= 64 and len(host) <= 253
    return spelled if fits and _ADDRESS.fullmatch(spelled) else None


def addresses(given: str, faults: Faults, field: str) -> tuple[str, ...]:
    """Take a list apart; note INVALID_VALUE for what is no address, LIMIT_EXCEEDED for too many."""
    shape.text(given, limits.ADDRESS_LIST_LENGTH, faults, field)
    listed = [part.strip() for part in given[: limits.ADDRESS_LIST_LENGTH].split(",") if part.strip()]
    shape.at_most(len(listed), limits.EMAIL_ADDRESSES, "addresses", faults, field)
    found = []
    for part in listed:
        spelled = address(part)
        if spelled is None:
            faults.add(ErrorCode.INVALID_VALUE, f"{part[:60]!r} is no mail address.", field)
        else:
            found.append(spelled)
    return tuple(found)


def check_addresses(command: EmailCreditMemo) -> None:
    """Refuse addresses that no mail server takes, and too many of them: INVALID_VALUE, TOO_LONG, LIMIT_EXCEEDED."""
    faults = Faults()
    if not command.use_email_template_setting:
        addresses(command.email_addresses or "", faults, "email_addresses")
    faults.raise_if_any()


def check_email(memo: CreditMemo | MemoHead, settings: TenantSettings) -> None:
    """Refuse to mail what is not Posted, or where mailing is switched off (domain.md 1.13).

    INVALID_STATUS, EMAIL_NOTIFICATION_INACTIVE.
    """
    if memo.status is not MemoStatus.POSTED:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}. Only credit memos with the Posted status can be "
            "mailed.",
        )
    if not settings.email_notification:
        raise refuse(
            ErrorCode.EMAIL_NOTIFICATION_INACTIVE,
            "The notification Email Credit Memo is not active: switch on the setting emailNotification.",
        )


def recipients(command: EmailCreditMemo, account: Account, settings: TenantSettings) -> tuple[str, ...]:
    """Whom a mail goes to, each once; refuses with NO_RECIPIENT, and LIMIT_EXCEEDED for too many (domain.md 1.13).

    The template's list where the caller wants that, else the caller's; else the bill-to contact. Addresses kept from
    elsewhere that no mail server would take are passed over. The command's were checked before.
    """
    listed = settings.email_to if command.use_email_template_setting else command.email_addresses or ""
    chosen = addresses(listed, Faults(), "email_addresses")
    if not chosen and account.bill_to is not None:
        kept = (account.bill_to.work_email, account.bill_to.personal_email)
        chosen = _spelled(kept)[:1]
    if command.include_additional_email_addresses:
        chosen += _spelled(account.additional_email_addresses)
    each_once: dict[str, str] = {}
    for one in chosen:
        each_once.setdefault(one.lower(), one)
    unique = tuple(each_once.values())
    if not unique:
        raise refuse(
            ErrorCode.NO_RECIPIENT,
            f"There is nobody to mail to: account {account.number} has no bill-to contact with a mail address, and no "
            "other address was given.",
        )
    faults = Faults()
    shape.at_most(len(unique), limits.EMAIL_ADDRESSES, "addresses", faults, "email_addresses")
    faults.raise_if_any()
    return unique


def _spelled(kept: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(found for text in kept if text is not None and (found := address(text)) is not None)


def check_anything_to_attach(memo: CreditMemo | MemoHead, settings: TenantSettings, files: int, running: bool) -> None:
    """Refuse to mail a memo without any file where one goes along: PDF_NOT_READY."""
    if settings.email_attach_pdf and not files:
        raise not_ready(memo, running)


def not_ready(memo: CreditMemo | MemoHead, running: bool) -> Exception:
    """The refusal to mail a PDF that is not there yet: PDF_NOT_READY."""
    why = "is being made: mail it when that is done" if running else "was never made: generate or upload it first"
    return refuse(ErrorCode.PDF_NOT_READY, f"The PDF of credit memo {memo.name} {why}.")


# --- settings ---------------------------------------------------------------------------------------------------------


def check_settings(command: UpdateSettings, faults: Faults) -> None:
    """Note what is wrong with how PDFs and mails shall look: INVALID_VALUE, TOO_LONG, LIMIT_EXCEEDED."""
    lines = {"company_name": 255, "company_tax_id": 100, "company_address": limits.LETTERHEAD_LENGTH}
    lines |= {"pdf_footer": limits.LETTERHEAD_LENGTH, "email_subject": limits.MAIL_SUBJECT_LENGTH}
    for name, longest in lines.items():
        _check_text(getattr(command, name), longest, faults, name)
    patterns = (
        ("pdf_color", _COLOR, "as #1F3A5F is"),
        ("company_country", _COUNTRY, "as DE is"),
        ("pdf_locale", _LOCALE, "as de-CH is"),
    )
    for name, pattern, example in patterns:
        value = getattr(command, name)
        if value and not pattern.fullmatch(value):
            faults.add(ErrorCode.INVALID_VALUE, f"{field_name(name)} {value[:30]!r} is not one, {example}.", name)
    if command.pdf_paper is not None and command.pdf_paper not in PAPERS:
        message = f"There is no paper {command.pdf_paper[:30]!r}: choose one of {', '.join(PAPERS)}."
        faults.add(ErrorCode.INVALID_VALUE, message, "pdf_paper")
    for name in ("pdf_color", "pdf_locale"):
        if getattr(command, name) == "":
            faults.add(ErrorCode.INVALID_VALUE, f"{field_name(name)} is empty.", name)
    if command.email_to is not None:
        addresses(command.email_to, faults, "email_to")
    for name in ("email_subject", "email_text", "email_html"):
        _check_template(getattr(command, name), faults, name)


def _check_text(value: str | None, longest: int, faults: Faults, name: str) -> None:
    shape.text(value, longest, faults, name)
    if value is not None and _CONTROL.search(value):
        faults.add(
            ErrorCode.INVALID_VALUE, f"{field_name(name)} holds control characters other than line breaks.", name
        )


def _check_template(value: str | None, faults: Faults, name: str) -> None:
    if value is None:
        return
    before = len(faults)
    shape.text(value, limits.MAIL_BODY_LENGTH, faults, name)
    if len(faults) == before:
        from cm_graphql.domain import letters  # here, as its templates take 6 MB of each process

        wrong = letters.wrong_with(value)
        if wrong is not None:
            faults.add(ErrorCode.INVALID_VALUE, f"{field_name(name)}: {wrong}", name)
