"""What a caller says to have a credit memo applied to invoices and debit memos, or taken off them again."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from cm_graphql.domain.commands.base import Command, Doc, Key, MemoCommand
from cm_graphql.domain.enums import ApplicationRule

_AMOUNT = "In the memo's currency, with at most its decimals. "
_SHARE = Doc(
    _AMOUNT + "Not 0; negative only where both lines are negative. The amounts of all items add up to the amount "
    "of the document they stand under."
)
_CREDIT_ITEM = Doc("The credit memo item the money comes from. Exactly one of this and `creditTaxItemId`.")
_CREDIT_TAX = Doc("The credit memo taxation item the money comes from. Exactly one of this and `creditMemoItemId`.")


@dataclass(frozen=True, kw_only=True)
class InvoiceApplicationItem:
    """How much of one credit memo line lies, or shall lie, on one line of the invoice: like on like."""

    amount: Annotated[Decimal, _SHARE]
    credit_memo_item_id: Annotated[Key | None, _CREDIT_ITEM] = None
    credit_tax_item_id: Annotated[Key | None, _CREDIT_TAX] = None
    invoice_item_id: Annotated[
        Key | None, Doc("The invoice item that the money lies on. Exactly one of this and `taxItemId`.")
    ] = None
    tax_item_id: Annotated[
        Key | None, Doc("The invoice taxation item that the money lies on. Exactly one of this and `invoiceItemId`.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class DebitMemoApplicationItem:
    """How much of one credit memo line lies, or shall lie, on one line of the debit memo: like on like."""

    amount: Annotated[Decimal, _SHARE]
    credit_memo_item_id: Annotated[Key | None, _CREDIT_ITEM] = None
    credit_tax_item_id: Annotated[Key | None, _CREDIT_TAX] = None
    debit_memo_item_id: Annotated[
        Key | None, Doc("The debit memo item that the money lies on. Exactly one of this and `taxItemId`.")
    ] = None
    tax_item_id: Annotated[
        Key | None,
        Doc("The debit memo taxation item that the money lies on. Exactly one of this and `debitMemoItemId`."),
    ] = None


_TARGET_AMOUNT = Doc(
    _AMOUNT + "Above 0; 0 only where the items given net to 0. When applied, at most what the memo has unapplied and "
    "what the document still owes; when unapplied, at most what the memo has applied to the document."
)
_ITEMS = Doc(
    "Line by line, 1 to 1,000. Left out: the distribution rule spreads an application, and an unapplication "
    "releases first what was applied first."
)


@dataclass(frozen=True, kw_only=True)
class InvoiceApplication:
    """An invoice and the amount to apply to it, or to take off it."""

    invoice_key: Annotated[Key, Doc("The invoice: its id, the bare 32 digits of it, or its number.")]
    amount: Annotated[Decimal, _TARGET_AMOUNT]
    items: Annotated[tuple[InvoiceApplicationItem, ...] | None, _ITEMS] = None


@dataclass(frozen=True, kw_only=True)
class DebitMemoApplication:
    """A debit memo and the amount to apply to it, or to take off it."""

    debit_memo_key: Annotated[Key, Doc("The debit memo: its id, the bare 32 digits of it, or its number.")]
    amount: Annotated[Decimal, _TARGET_AMOUNT]
    items: Annotated[tuple[DebitMemoApplicationItem, ...] | None, _ITEMS] = None


@dataclass(frozen=True, kw_only=True)
class InvoiceAmount:
    """An invoice and the amount to apply to it, or to take off it, lines left to the rule."""

    invoice_key: Annotated[Key, Doc("The invoice: its id, the bare 32 digits of it, or its number.")]
    amount: Annotated[Decimal, Doc(_AMOUNT + "Above 0.")]


_APPLY_DATE = Doc(
    "The day the application takes effect: not before the memo's date, nor before the date of any document it is "
    "applied to, and in no closed accounting period. Left out: today, or that earliest day where it is later."
)
_UNAPPLY_DATE = Doc(
    "The day it takes effect: not before any application or refund of this memo ever made, and in no closed accounting "
    "period. Left out: the latest of those days, or today where that one lies in a closed period "
    "and is past."
)


@dataclass(frozen=True, kw_only=True)
class ApplyCreditMemo(MemoCommand):
    """Apply a posted credit memo to invoices and debit memos of its account and currency, all or nothing.

    At least one document, each at most once. Invoices are served first, then debit memos, each in the order given.
    """

    effective_date: Annotated[date | None, _APPLY_DATE] = None
    application_rule: Annotated[
        ApplicationRule | None,
        Doc(
            "`SOURCE_ITEM` applies each line to the invoice line it was made from: one invoice, no debit memos, no "
            "items. No other value is accepted; left out, the tenant's application rule decides."
        ),
    ] = None
    invoices: Annotated[tuple[InvoiceApplication, ...], Doc("The invoices to apply to, at most 1,000.")] = ()
    debit_memos: Annotated[tuple[DebitMemoApplication, ...], Doc("The debit memos to apply to, at most 1,000.")] = ()


@dataclass(frozen=True, kw_only=True)
class UnapplyCreditMemo(MemoCommand):
    """Take a credit memo off invoices and debit memos again, all or nothing; without any, off everything."""

    effective_date: Annotated[date | None, _UNAPPLY_DATE] = None
    invoices: Annotated[
        tuple[InvoiceApplication, ...],
        Doc("The invoices to unapply from, at most 1,000. With neither invoices nor debit memos: everything."),
    ] = ()
    debit_memos: Annotated[
        tuple[DebitMemoApplication, ...], Doc("The debit memos to unapply from, at most 1,000.")
    ] = ()


@dataclass(frozen=True, kw_only=True)
class ApplyCreditMemoAsync(MemoCommand):
    """Apply a posted credit memo to invoices in a job, up to 300,000 lines."""

    effective_date: Annotated[date | None, _APPLY_DATE] = None
    invoices: Annotated[tuple[InvoiceAmount, ...], Doc("The invoices to apply to, 1 to 1,000, each once.")] = ()


@dataclass(frozen=True, kw_only=True)
class UnapplyCreditMemoAsync(MemoCommand):
    """Take a credit memo off invoices again in a job, up to 300,000 lines."""

    effective_date: Annotated[date | None, _UNAPPLY_DATE] = None
    invoices: Annotated[
        tuple[InvoiceAmount, ...],
        Doc("The invoices to unapply from, at most 1,000, each once. Left out: all; debit memos stay applied."),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class CancelCreditMemoJob(Command):
    """Call a job off while it waits, or while it works, as long as its final commit has not begun."""

    id: Annotated[Key, Doc("The job.")]
