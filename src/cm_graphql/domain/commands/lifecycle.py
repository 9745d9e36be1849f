"""What a caller says to have a credit memo posted, unposted, canceled, deleted, written off or reversed."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from cm_graphql.domain.commands.base import Doc, Json, MemoCommand

_COMMENT = Doc("Free text for the debit memo, at most 255 characters.")


@dataclass(frozen=True, kw_only=True)
class PostCreditMemo(MemoCommand):
    """Post a draft, which makes its amount available to apply or refund; auto apply, if set, follows at once."""


@dataclass(frozen=True, kw_only=True)
class UnpostCreditMemo(MemoCommand):
    """Return a posted memo to draft, provided nothing of it was applied or refunded."""


@dataclass(frozen=True, kw_only=True)
class CancelCreditMemo(MemoCommand):
    """Cancel a draft, or a memo that failed, for good."""


@dataclass(frozen=True, kw_only=True)
class DeleteCreditMemo(MemoCommand):
    """Delete a canceled memo with all that belongs to it; its number is not used again."""


@dataclass(frozen=True, kw_only=True)
class WriteOffCreditMemo(MemoCommand):
    """Write off a posted, wholly unapplied memo: a debit memo that mirrors it is posted and settled by it at once."""

    memo_date: Annotated[
        date | None,
        Doc(
            "The date of the debit memo and of the application: not before the credit memo's date and in no closed "
            "accounting period. Left out: today, or the credit memo's date where that is later."
        ),
    ] = None
    comment: Annotated[str | None, _COMMENT] = None
    reason_code: Annotated[
        str | None, Doc("An active reason code for debit memos, in any capitals. Left out, `Write-off`.")
    ] = None
    custom_fields: Annotated[Json | None, Doc("Fields of your own for the debit memo; their names end in `__c`.")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class ReverseCreditMemo(MemoCommand):
    """Reverse a posted, unused memo: a debit memo that mirrors it is posted and settled by it, for good."""

    memo_date: Annotated[
        date | None,
        Doc(
            "The date of the debit memo: not before the credit memo's date and in no closed accounting period. "
            "Left out: today, or the credit memo's date where that is later."
        ),
    ] = None
    apply_effective_date: Annotated[
        date | None,
        Doc(
            "The day the application takes effect: not before the debit memo's date and in no closed accounting "
            "period. Left out: today, or the debit memo's date where that is later."
        ),
    ] = None
    comment: Annotated[str | None, _COMMENT] = None
    reason_code: Annotated[
        str | None, Doc("An active reason code for debit memos, in any capitals. Left out, `Credit memo reversal`.")
    ] = None
