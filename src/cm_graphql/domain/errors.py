"""How a rule says no: symbols a program can read, sentences a person can act on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    """The symbols of refusals (domain.md section 5); the number there is documentation."""

    CREDIT_MEMO_NOT_FOUND = "CREDIT_MEMO_NOT_FOUND"
    CREDIT_MEMO_ITEM_NOT_FOUND = "CREDIT_MEMO_ITEM_NOT_FOUND"
    TAXATION_ITEM_NOT_FOUND = "TAXATION_ITEM_NOT_FOUND"
    CREDIT_MEMO_PART_NOT_FOUND = "CREDIT_MEMO_PART_NOT_FOUND"
    INVOICE_NOT_FOUND = "INVOICE_NOT_FOUND"
    INVOICE_ITEM_NOT_FOUND = "INVOICE_ITEM_NOT_FOUND"
    DEBIT_MEMO_NOT_FOUND = "DEBIT_MEMO_NOT_FOUND"
    DEBIT_MEMO_ITEM_NOT_FOUND = "DEBIT_MEMO_ITEM_NOT_FOUND"
    PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND = "PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    PAYMENT_METHOD_NOT_FOUND = "PAYMENT_METHOD_NOT_FOUND"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    FIELD_REQUIRED = "FIELD_REQUIRED"
    INVALID_VALUE = "INVALID_VALUE"
    TOO_LONG = "TOO_LONG"
    ZERO_AMOUNT = "ZERO_AMOUNT"
    SOURCE_NOT_ALLOWED = "SOURCE_NOT_ALLOWED"
    DOCUMENT_IN_USE = "DOCUMENT_IN_USE"
    STALE_VERSION = "STALE_VERSION"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    ACCOUNT_MISMATCH = "ACCOUNT_MISMATCH"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    CURRENCY_INACTIVE = "CURRENCY_INACTIVE"
    AMOUNT_PRECISION = "AMOUNT_PRECISION"
    DISCOUNT_CHARGE_NOT_ALLOWED = "DISCOUNT_CHARGE_NOT_ALLOWED"
    USAGE_QUANTITY_NOT_POSITIVE = "USAGE_QUANTITY_NOT_POSITIVE"
    REASON_CODE_INVALID = "REASON_CODE_INVALID"
    NUMBER_TAKEN = "NUMBER_TAKEN"
    INVALID_STATUS = "INVALID_STATUS"
    MEMO_DATE_BEFORE_INVOICE_DATE = "MEMO_DATE_BEFORE_INVOICE_DATE"
    DATE_IN_CLOSED_PERIOD = "DATE_IN_CLOSED_PERIOD"
    APPLY_DATE_TOO_EARLY = "APPLY_DATE_TOO_EARLY"
    UNAPPLY_DATE_TOO_EARLY = "UNAPPLY_DATE_TOO_EARLY"
    REFUND_DATE_TOO_EARLY = "REFUND_DATE_TOO_EARLY"
    REVERSE_DATE_TOO_EARLY = "REVERSE_DATE_TOO_EARLY"
    WRITE_OFF_DATE_TOO_EARLY = "WRITE_OFF_DATE_TOO_EARLY"
    OVER_CREDIT = "OVER_CREDIT"
    TAX_MODE_CONFLICT = "TAX_MODE_CONFLICT"
    TAX_ITEM_NOT_ALLOWED = "TAX_ITEM_NOT_ALLOWED"
    BILL_RUN_ITEM_NOT_EDITABLE = "BILL_RUN_ITEM_NOT_EDITABLE"
    AMOUNT_EXCEEDS_UNAPPLIED = "AMOUNT_EXCEEDS_UNAPPLIED"
    AMOUNT_EXCEEDS_BALANCE = "AMOUNT_EXCEEDS_BALANCE"
    AMOUNT_EXCEEDS_APPLIED = "AMOUNT_EXCEEDS_APPLIED"
    ITEMS_SUM_MISMATCH = "ITEMS_SUM_MISMATCH"
    ITEM_PAIR_INVALID = "ITEM_PAIR_INVALID"
    DUPLICATE_TARGET = "DUPLICATE_TARGET"
    NO_TARGET = "NO_TARGET"
    APPLICATION_RULE_CONFLICT = "APPLICATION_RULE_CONFLICT"
    SOURCE_ITEM_MISMATCH = "SOURCE_ITEM_MISMATCH"
    NOT_FULLY_UNAPPLIED = "NOT_FULLY_UNAPPLIED"
    ALREADY_APPLIED_OR_REFUNDED = "ALREADY_APPLIED_OR_REFUNDED"
    ALREADY_REVERSED = "ALREADY_REVERSED"
    NON_REVENUE_WRITE_OFF = "NON_REVENUE_WRITE_OFF"
    REVENUE_CLOSED = "REVENUE_CLOSED"
    REFUND_METHOD_CONFLICT = "REFUND_METHOD_CONFLICT"
    GATEWAY_ERROR = "GATEWAY_ERROR"
    TAX_ENGINE_ERROR = "TAX_ENGINE_ERROR"
    FILE_NOT_PDF = "FILE_NOT_PDF"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_LIMIT = "FILE_LIMIT"
    NO_RECIPIENT = "NO_RECIPIENT"
    EMAIL_NOTIFICATION_INACTIVE = "EMAIL_NOTIFICATION_INACTIVE"
    PDF_NOT_READY = "PDF_NOT_READY"
    PDF_FAILED = "PDF_FAILED"
    MAIL_FAILED = "MAIL_FAILED"
    LOCK_CONTENTION = "LOCK_CONTENTION"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    INTERNAL_ERROR = "INTERNAL_ERROR"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: its symbol, a sentence, and the path into the input where it lies."""

    code: ErrorCode
    message: str
    field: tuple[str | int, ...] = ()


def field_name(step: str | int) -> str:
    """How callers spell a field, in messages and paths: `tax_amount` is `taxAmount`."""
    head, *rest = str(step).split("_")
    return head + "".join(word.capitalize() for word in rest)


class Refusal(Exception):
    """A rule's no, for the caller's mistakes; our own are assertions."""

    def __init__(self, *faults: Fault) -> None:
        assert faults, "a refusal says why"
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


def refuse(code: ErrorCode, message: str, *field: str | int) -> Refusal:
    """Make the refusal of one fault, to be raised."""
    return Refusal(Fault(code, message, field))


class Faults:
    """Gather the faults of one class, because a caller wants all of them at once (domain.md 5: shape)."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def add(self, code: ErrorCode, message: str, *field: str | int) -> None:
        """Note one fault."""
        self._found.append(Fault(code, message, field))

    def extend(self, faults: Iterable[Fault]) -> None:
        """Note several faults."""
        self._found.extend(faults)

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Refuse with everything noted; do nothing if that is nothing."""
        if self._found:
            raise Refusal(*self._found)


NOT_FOUND_NOUNS: dict[ErrorCode, str] = {
    ErrorCode.CREDIT_MEMO_NOT_FOUND: "CreditMemo",
    ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND: "CreditMemoItem",
    ErrorCode.TAXATION_ITEM_NOT_FOUND: "TaxationItem",
    ErrorCode.CREDIT_MEMO_PART_NOT_FOUND: "CreditMemoPart",
    ErrorCode.INVOICE_NOT_FOUND: "Invoice",
    ErrorCode.INVOICE_ITEM_NOT_FOUND: "InvoiceItem",
    ErrorCode.DEBIT_MEMO_NOT_FOUND: "DebitMemo",
    ErrorCode.DEBIT_MEMO_ITEM_NOT_FOUND: "DebitMemoItem",
    ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND: "ProductRatePlanCharge",
    ErrorCode.ACCOUNT_NOT_FOUND: "Account",
    ErrorCode.JOB_NOT_FOUND: "CreditMemoJob",
    ErrorCode.FILE_NOT_FOUND: "CreditMemoFile",
    ErrorCode.PAYMENT_METHOD_NOT_FOUND: "PaymentMethod",
}


def not_found(code: ErrorCode, key: str, *field: str | int) -> Fault:
    """Say that nothing has this key, in the reference's words (domain.md 5, code 50000040)."""
    return Fault(code, f"Cannot find a {NOT_FOUND_NOUNS[code]} instance with id {key}.", field)
