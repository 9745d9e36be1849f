"""What a caller says to have a memo's PDF made, to add one to it, or to have it mailed."""

from dataclasses import dataclass
from typing import Annotated

from cm_graphql.domain.commands.base import Doc, Key, MemoCommand, UploadedFile


@dataclass(frozen=True, kw_only=True)
class GenerateCreditMemoPdf(MemoCommand):
    """Have a PDF of a draft or posted memo made in the background; a request that still runs is not doubled."""


@dataclass(frozen=True, kw_only=True)
class UploadCreditMemoFile(MemoCommand):
    """Add a PDF to a draft or posted memo; it becomes the memo's latest PDF."""

    file: Annotated[
        UploadedFile,
        Doc("A PDF of at most 4 MB (4,194,304 bytes), neither encrypted nor damaged; a memo has at most 50 files."),
    ]


@dataclass(frozen=True, kw_only=True)
class EmailCreditMemo(MemoCommand):
    """Mail a posted memo in the background, with its PDF where the settings say so."""

    use_email_template_setting: Annotated[
        bool, Doc("Send to the addresses of the setting `emailTo`, or to the bill-to contact where it names none.")
    ] = False
    email_addresses: Annotated[
        str | None,
        Doc(
            "Addresses separated by commas, read only when `useEmailTemplateSetting` is false. Left out: the bill-to "
            "contact's work address, or else the personal one."
        ),
    ] = None
    include_additional_email_addresses: Annotated[bool, Doc("Send to the account's additional addresses as well.")] = (
        False
    )
    pdf_file_id: Annotated[Key | None, Doc("The file to attach. Left out: the memo's latest PDF.")] = None
