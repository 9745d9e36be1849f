"""The closed vocabularies of billing, spelled as GraphQL shows them and as the database stores them."""

from enum import StrEnum


class MemoStatus(StrEnum):
    """Where a credit or debit memo, or an invoice, stands (domain.md 2.1, 3)."""

    DRAFT = "DRAFT"
    POSTED = "POSTED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"
    PENDING_FOR_TAX = "PENDING_FOR_TAX"
    GENERATING = "GENERATING"
    CANCEL_IN_PROGRESS = "CANCEL_IN_PROGRESS"

    @property
    def spelled(self) -> str:
        """As the reference spells it, for messages: `PendingForTax`."""
        return "".join(word.capitalize() for word in self.split("_"))


class MemoSource(StrEnum):
    """How a credit memo came about (domain.md 2.1)."""

    BILL_RUN = "BILL_RUN"
    API = "API"
    API_SUBSCRIBE = "API_SUBSCRIBE"
    API_AMEND = "API_AMEND"
    ADHOC_FROM_PRPC = "ADHOC_FROM_PRPC"
    ADHOC_FROM_INVOICE = "ADHOC_FROM_INVOICE"


class SourceType(StrEnum):
    """What kind of thing a memo was made from (domain.md 2.1, 2.7)."""

    SUBSCRIPTION = "SUBSCRIPTION"
    STANDALONE = "STANDALONE"
    INVOICE = "INVOICE"
    ORDER = "ORDER"
    CREDIT_MEMO = "CREDIT_MEMO"
    CONSOLIDATION = "CONSOLIDATION"


class YesNo(StrEnum):
    """The reference's two-word answer, kept as it is spelled there."""

    YES = "YES"
    NO = "NO"


class TransferredToAccounting(StrEnum):
    """Whether an accounting system has taken the document over (domain.md 2.1)."""

    PROCESSING = "PROCESSING"
    YES = "YES"
    NO = "NO"
    ERROR = "ERROR"
    IGNORE = "IGNORE"


class TaxStatus(StrEnum):
    """What a third-party tax engine answered (domain.md 2.1)."""

    COMPLETE = "COMPLETE"
    ERROR = "ERROR"
    UNKNOWN_ERROR = "UNKNOWN_ERROR"
    DUPLICATE_DOC = "DUPLICATE_DOC"
    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_RESPONSE = "INVALID_RESPONSE"
    TAX_ENGINE_ERROR = "TAX_ENGINE_ERROR"
    CONCURRENT_MODIFY = "CONCURRENT_MODIFY"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    TAX_CODE_TEMPLATE_ERROR = "TAX_CODE_TEMPLATE_ERROR"
    VOIDED = "VOIDED"


class EInvoiceStatus(StrEnum):
    """Where an electronic invoice stands (domain.md 2.1)."""

    PROCESSING = "PROCESSING"
    RETRIEVE_TIME_OUT = "RETRIEVE_TIME_OUT"
    GENERATED = "GENERATED"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CONDITIONAL_SUCCESS = "CONDITIONAL_SUCCESS"
    APPROVED_BY_AUTHORITY = "APPROVED_BY_AUTHORITY"
    REJECTED = "REJECTED"


class TaxMode(StrEnum):
    """Whether a line's amount is net or gross (domain.md 2.2)."""

    TAX_EXCLUSIVE = "TAX_EXCLUSIVE"
    TAX_INCLUSIVE = "TAX_INCLUSIVE"


class ProcessingType(StrEnum):
    """What a line does to a document's total (domain.md 2.2, 2.8)."""

    CHARGE = "CHARGE"
    DISCOUNT = "DISCOUNT"
    PREPAYMENT = "PREPAYMENT"
    TAX = "TAX"
    ROUNDING = "ROUNDING"


class ItemSourceType(StrEnum):
    """What kind of thing a document line was made from (domain.md 2.2, 2.7, 2.8)."""

    SUBSCRIPTION_COMPONENT = "SUBSCRIPTION_COMPONENT"
    INVOICE_DETAIL = "INVOICE_DETAIL"
    PRODUCT_RATE_PLAN_CHARGE = "PRODUCT_RATE_PLAN_CHARGE"
    ORDER_LINE_ITEM = "ORDER_LINE_ITEM"
    CREDIT_MEMO_ITEM = "CREDIT_MEMO_ITEM"
    ROUNDING = "ROUNDING"
    NONE = "NONE"


class CreditFromItemSource(StrEnum):
    """What the billing engine credited (domain.md 2.2)."""

    INVOICE_ITEM = "INVOICE_ITEM"
    CREDIT_MEMO_ITEM = "CREDIT_MEMO_ITEM"


class TaxRateType(StrEnum):
    """How a tax is computed (domain.md 2.3)."""

    PERCENTAGE = "PERCENTAGE"
    FLAT_FEE = "FLAT_FEE"


class TaxEngineKind(StrEnum):
    """Which engine computed an invoice's tax (domain.md 2.8)."""

    NONE = "NONE"
    ZUORA_TAX = "ZUORA_TAX"
    EXTERNAL = "EXTERNAL"


class AccountStatus(StrEnum):
    """Whether an account is in use."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    CANCELED = "CANCELED"


class ReasonCodeType(StrEnum):
    """Which documents a reason code is for (domain.md 2.9)."""

    CREDIT_MEMO = "CREDIT_MEMO"
    DEBIT_MEMO = "DEBIT_MEMO"
    CREDIT_MEMO_REFUND = "CREDIT_MEMO_REFUND"


class PeriodStatus(StrEnum):
    """Whether an accounting period still takes entries (domain.md 2.9)."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class RoundingMode(StrEnum):
    """How a currency rounds what does not fit its decimals; halves go away from zero (domain.md 0, 7.34)."""

    HALF_UP = "HALF_UP"
    UP = "UP"
    DOWN = "DOWN"


class ChargeModel(StrEnum):
    """How a product rate plan charge is priced."""

    FLAT_FEE = "FLAT_FEE"
    PER_UNIT = "PER_UNIT"
    OVERAGE = "OVERAGE"
    VOLUME = "VOLUME"
    TIERED = "TIERED"
    TIERED_WITH_OVERAGE = "TIERED_WITH_OVERAGE"
    DISCOUNT_FIXED_AMOUNT = "DISCOUNT_FIXED_AMOUNT"
    DISCOUNT_PERCENTAGE = "DISCOUNT_PERCENTAGE"
    DELIVERY_PRICING = "DELIVERY_PRICING"
    CUSTOM = "CUSTOM"


class ChargeType(StrEnum):
    """When a product rate plan charge is billed."""

    ONE_TIME = "ONE_TIME"
    RECURRING = "RECURRING"
    USAGE = "USAGE"


class RefundType(StrEnum):
    """Whether a refund is only recorded or also carried out by a gateway (domain.md 1.22)."""

    EXTERNAL = "EXTERNAL"
    ELECTRONIC = "ELECTRONIC"


class PaymentMethodType(StrEnum):
    """How money goes back to the customer (domain.md 1.22)."""

    ACH = "ACH"
    CASH = "CASH"
    CHECK = "CHECK"
    CREDIT_CARD = "CREDIT_CARD"
    PAYPAL = "PAYPAL"
    WIRE_TRANSFER = "WIRE_TRANSFER"
    DEBIT_CARD = "DEBIT_CARD"
    CREDIT_CARD_REFERENCE_TRANSACTION = "CREDIT_CARD_REFERENCE_TRANSACTION"
    BANK_TRANSFER = "BANK_TRANSFER"
    OTHER = "OTHER"


class RefundStatus(StrEnum):
    """Where a refund stands (domain.md 2.6)."""

    PROCESSED = "PROCESSED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"
    PROCESSING = "PROCESSING"


class GatewayState(StrEnum):
    """What the payment gateway has done with a refund (domain.md 2.6)."""

    MARKED_FOR_SUBMISSION = "MARKED_FOR_SUBMISSION"
    SUBMITTED = "SUBMITTED"
    SETTLED = "SETTLED"
    NOT_SUBMITTED = "NOT_SUBMITTED"
    FAILED_TO_SETTLE = "FAILED_TO_SETTLE"


class JobStatus(StrEnum):
    """Where a job stands (domain.md 2.10)."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    PROCESSED = "PROCESSED"
    ERROR = "ERROR"
    CANCELED = "CANCELED"


class JobOperation(StrEnum):
    """What a job does (domain.md 2.10)."""

    ASYNC_CREDIT_MEMO_APPLY = "ASYNC_CREDIT_MEMO_APPLY"
    ASYNC_CREDIT_MEMO_UNAPPLY = "ASYNC_CREDIT_MEMO_UNAPPLY"
    GENERATE_CREDIT_MEMO_PDF = "GENERATE_CREDIT_MEMO_PDF"
    EMAIL_CREDIT_MEMO = "EMAIL_CREDIT_MEMO"


class PdfGenerationStatus(StrEnum):
    """Where the PDF of a memo stands (domain.md 2.12)."""

    NONE = "NONE"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    GENERATED = "GENERATED"
    ERROR = "ERROR"
    OBSOLETE = "OBSOLETE"


class ApplicationRule(StrEnum):
    """How an applied amount is spread over lines (domain.md 4.4, 4.5)."""

    FIFO = "FIFO"
    PRORATION = "PRORATION"
    SOURCE_ITEM = "SOURCE_ITEM"
    EXPLICIT = "EXPLICIT"


class AvailableToCreditRule(StrEnum):
    """How strictly credits are held to what was invoiced (domain.md 4.3)."""

    NONE = "NONE"
    HEADER_ONLY = "HEADER_ONLY"
    HEADER_AND_ITEM = "HEADER_AND_ITEM"


class LedgerKind(StrEnum):
    """What moved money, in the application ledger (domain.md 4.6)."""

    APPLY = "APPLY"
    UNAPPLY = "UNAPPLY"
    REFUND = "REFUND"
    REVERSE = "REVERSE"
    WRITE_OFF = "WRITE_OFF"


class DocumentType(StrEnum):
    """The kinds of documents that a sequence set numbers (domain.md 0)."""

    INVOICE = "INVOICE"
    CREDIT_MEMO = "CREDIT_MEMO"
    DEBIT_MEMO = "DEBIT_MEMO"
    PAYMENT = "PAYMENT"
    REFUND = "REFUND"
    CREDIT_MEMO_DRAFT = "CREDIT_MEMO_DRAFT"
    """Drafts, where formal numbers are given at posting only; their own sequence, so that those have no gaps."""


class MemoAction(StrEnum):
    """What can be done with one credit memo (api.md, CreditMemoAction)."""

    UPDATE = "UPDATE"
    POST = "POST"
    UNPOST = "UNPOST"
    CANCEL = "CANCEL"
    DELETE = "DELETE"
    APPLY = "APPLY"
    UNAPPLY = "UNAPPLY"
    REFUND = "REFUND"
    WRITE_OFF = "WRITE_OFF"
    REVERSE = "REVERSE"
    CREATE_TAXATION_ITEMS = "CREATE_TAXATION_ITEMS"
    GENERATE_PDF = "GENERATE_PDF"
    UPLOAD_FILE = "UPLOAD_FILE"
    EMAIL = "EMAIL"


class EventAction(StrEnum):
    """What a history entry tells of (api.md, CreditMemoEvent)."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    POSTED = "POSTED"
    UNPOSTED = "UNPOSTED"
    CANCELED = "CANCELED"
    DELETED = "DELETED"
    APPLIED = "APPLIED"
    UNAPPLIED = "UNAPPLIED"
    REFUNDED = "REFUNDED"
    WRITTEN_OFF = "WRITTEN_OFF"
    REVERSED = "REVERSED"
    TAXATION_ITEMS_CREATED = "TAXATION_ITEMS_CREATED"
    PDF_GENERATED = "PDF_GENERATED"
    FILE_UPLOADED = "FILE_UPLOADED"
    EMAILED = "EMAILED"
    IMPORTED = "IMPORTED"
