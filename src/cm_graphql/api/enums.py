"""The vocabularies of the domain as GraphQL enums, with a sentence for each word."""

from collections.abc import Mapping
from enum import StrEnum

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from cm_graphql.api.error_codes import ERROR_CODES
from cm_graphql.domain import enums as e
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.fields.declare import NAMES


def _enum(vocabulary: type[StrEnum], description: str, words: Mapping[str, str], *, name: str | None = None) -> None:
    """Make a GraphQL enum of a vocabulary in place; every word must be explained, and no other."""
    missing = {member.value for member in vocabulary} ^ words.keys()
    assert not missing, f"{vocabulary.__name__} and its descriptions differ in {sorted(missing)}"
    strawberry.enum(vocabulary, name=name, description=description)
    definition: object = vars(vocabulary)["__strawberry_definition__"]
    assert isinstance(definition, StrawberryEnumDefinition)
    for value in definition.values:
        value.description = words[value.name]
    NAMES[definition.name] = vocabulary


_enum(
    e.MemoStatus,
    "Where a credit memo, debit memo or invoice stands.",
    {
        "DRAFT": "Can still be changed; nothing of it can be used.",
        "POSTED": "In force: a credit memo can be applied and refunded, a debit memo or invoice is owed.",
        "CANCELED": "Called off before it was posted; a canceled credit memo can be deleted.",
        "ERROR": "A bill run or a tax engine failed to make it; it can be canceled.",
        "PENDING_FOR_TAX": "Waits for a tax engine.",
        "GENERATING": "A bill run is making it.",
        "CANCEL_IN_PROGRESS": "A large document is being canceled.",
    },
)
_enum(
    e.MemoSource,
    "How a credit memo came about.",
    {
        "BILL_RUN": "A bill run made it; `sourceId` is the number of the run.",
        "API": "Made through an API.",
        "API_SUBSCRIBE": "Made when a subscription was created through an API.",
        "API_AMEND": "Made when a subscription was amended through an API.",
        "ADHOC_FROM_PRPC": "Made by hand from product rate plan charges.",
        "ADHOC_FROM_INVOICE": "Made by hand from an invoice.",
    },
)
_enum(
    e.SourceType,
    "What kind of thing a memo was made from.",
    {
        "SUBSCRIPTION": "A subscription.",
        "STANDALONE": "Nothing but product rate plan charges.",
        "INVOICE": "An invoice.",
        "ORDER": "An order.",
        "CREDIT_MEMO": "A credit memo; only debit memos are made so, by write-off and reversal.",
        "CONSOLIDATION": "Several documents in one.",
    },
)
_enum(e.YesNo, "Yes or no.", {"YES": "It is so.", "NO": "It is not so."})
_enum(
    e.TransferredToAccounting,
    "Whether an accounting system has taken the document over.",
    {
        "PROCESSING": "It is being transferred.",
        "YES": "It was transferred.",
        "NO": "It was not transferred yet.",
        "ERROR": "The transfer failed.",
        "IGNORE": "It is not to be transferred.",
    },
)
_enum(
    e.TaxStatus,
    "What a third-party tax engine answered.",
    {
        "COMPLETE": "The tax was computed.",
        "ERROR": "The engine reported an error.",
        "UNKNOWN_ERROR": "The engine failed without saying why.",
        "DUPLICATE_DOC": "The engine knows the document already.",
        "INVALID_REQUEST": "The engine did not accept the request.",
        "INVALID_RESPONSE": "The engine's answer could not be understood.",
        "TAX_ENGINE_ERROR": "The engine itself failed.",
        "CONCURRENT_MODIFY": "The document was changed while its tax was computed.",
        "INTERNAL_SERVER_ERROR": "The exchange with the engine failed on our side.",
        "TAX_CODE_TEMPLATE_ERROR": "The template of the tax code is faulty.",
        "VOIDED": "The tax was voided at the engine.",
    },
)
_enum(
    e.EInvoiceStatus,
    "Where an electronic invoice stands.",
    {
        "PROCESSING": "It is being made.",
        "RETRIEVE_TIME_OUT": "It was made, but fetching it took too long.",
        "GENERATED": "It was made.",
        "SUCCESS": "It was accepted.",
        "FAILED": "It could not be made.",
        "CONDITIONAL_SUCCESS": "It was accepted with remarks.",
        "APPROVED_BY_AUTHORITY": "The tax authority approved it.",
        "REJECTED": "It was rejected.",
    },
)
_enum(
    e.TaxMode,
    "Whether a line's amount contains its tax.",
    {
        "TAX_EXCLUSIVE": "The amount is net; tax comes on top.",
        "TAX_INCLUSIVE": "The amount is gross; tax is contained in it.",
    },
)
_enum(
    e.ProcessingType,
    "What a line does to the total of its document.",
    {
        "CHARGE": "Adds to it.",
        "DISCOUNT": "Takes from it; `appliedToItemId` names the line that is discounted.",
        "PREPAYMENT": "Pays in advance; invoices only.",
        "TAX": "Is a tax; invoices only.",
        "ROUNDING": "Evens out a difference of rounding; invoices only.",
    },
)
_enum(
    e.ItemSourceType,
    "What kind of thing a line was made from.",
    {
        "SUBSCRIPTION_COMPONENT": "A rate plan charge of a subscription.",
        "INVOICE_DETAIL": "An invoice item.",
        "PRODUCT_RATE_PLAN_CHARGE": "A product rate plan charge of the catalog.",
        "ORDER_LINE_ITEM": "An order line item, or a return of one.",
        "CREDIT_MEMO_ITEM": "A credit memo item; lines of debit memos only.",
        "ROUNDING": "A difference of rounding; invoice items only.",
        "NONE": "Nothing that is known here.",
    },
)
_enum(
    e.CreditFromItemSource,
    "What kind of line a billing engine credited.",
    {"INVOICE_ITEM": "An invoice item.", "CREDIT_MEMO_ITEM": "A credit memo item."},
)
_enum(
    e.TaxRateType,
    "How a tax is computed.",
    {"PERCENTAGE": "A share of the net: the rate 0.0625 is 6.25 %.", "FLAT_FEE": "A fixed amount."},
)
_enum(
    e.TaxEngineKind,
    "Which engine computed a document's tax.",
    {
        "NONE": "None: the tax was given by hand.",
        "ZUORA_TAX": "The built-in engine with its table of rates.",
        "EXTERNAL": "A third-party engine.",
    },
)
_enum(
    e.AccountStatus,
    "Whether an account is in use.",
    {"DRAFT": "Not yet.", "ACTIVE": "In use.", "CANCELED": "No longer."},
)
_enum(
    e.ReasonCodeType,
    "Which documents a reason code is for.",
    {"CREDIT_MEMO": "Credit memos.", "DEBIT_MEMO": "Debit memos.", "CREDIT_MEMO_REFUND": "Refunds of credit memos."},
)
_enum(
    e.PeriodStatus,
    "Whether an accounting period still takes entries.",
    {"OPEN": "It takes entries.", "CLOSED": "It takes none any more."},
)
_enum(
    e.RoundingMode,
    "How a currency rounds what does not fit its decimals.",
    {
        "HALF_UP": "To the nearest; halves go away from zero.",
        "UP": "Away from zero.",
        "DOWN": "Towards zero.",
    },
)
_enum(
    e.ChargeModel,
    "How a product rate plan charge is priced.",
    {
        "FLAT_FEE": "One price, whatever the quantity.",
        "PER_UNIT": "A price for each unit.",
        "OVERAGE": "A price for each unit beyond those included.",
        "VOLUME": "A price for each unit that depends on the whole quantity.",
        "TIERED": "A price for each unit that depends on its tier.",
        "TIERED_WITH_OVERAGE": "Tiers, and a price for each unit beyond the last.",
        "DISCOUNT_FIXED_AMOUNT": "A fixed amount off; no credit memo can be made from it.",
        "DISCOUNT_PERCENTAGE": "A percentage off; no credit memo can be made from it.",
        "DELIVERY_PRICING": "A price for each delivery.",
        "CUSTOM": "Priced by rules of the tenant's own.",
    },
)
_enum(
    e.ChargeType,
    "When a product rate plan charge is billed.",
    {"ONE_TIME": "Once.", "RECURRING": "In every period.", "USAGE": "For what was used."},
)
_enum(
    e.RefundType,
    "Who carries out a refund.",
    {
        "EXTERNAL": "Somebody outside; it is only recorded here.",
        "ELECTRONIC": "The payment gateway of the payment method.",
    },
)
_enum(
    e.PaymentMethodType,
    "How money goes back to the customer.",
    {
        "ACH": "A transfer through the Automated Clearing House.",
        "CASH": "Cash.",
        "CHECK": "A check.",
        "CREDIT_CARD": "A credit card.",
        "PAYPAL": "A PayPal account.",
        "WIRE_TRANSFER": "A wire transfer.",
        "DEBIT_CARD": "A debit card.",
        "CREDIT_CARD_REFERENCE_TRANSACTION": "A credit card known by an earlier transaction.",
        "BANK_TRANSFER": "A bank transfer or direct debit.",
        "OTHER": "Anything else.",
    },
)
_enum(
    e.RefundStatus,
    "Where a refund stands.",
    {
        "PROCESSED": "Done.",
        "CANCELED": "Called off.",
        "ERROR": "The gateway refused it; the credit memo is as it was before.",
        "PROCESSING": "At the gateway.",
    },
)
_enum(
    e.GatewayState,
    "What the payment gateway has done with a refund.",
    {
        "MARKED_FOR_SUBMISSION": "It will be handed to the gateway.",
        "SUBMITTED": "The gateway has it.",
        "SETTLED": "The money has moved.",
        "NOT_SUBMITTED": "It was not handed to a gateway; always so for external refunds.",
        "FAILED_TO_SETTLE": "The gateway could not move the money.",
    },
)
_enum(
    e.JobStatus,
    "Where a job stands.",
    {
        "PENDING": "Waits for its turn.",
        "PROCESSING": "Is being done.",
        "PROCESSED": "Done.",
        "ERROR": "Failed; `error` says why, and nothing was changed.",
        "CANCELED": "Called off; nothing was changed.",
    },
)
_enum(
    e.JobOperation,
    "What a job does.",
    {
        "ASYNC_CREDIT_MEMO_APPLY": "Applies a credit memo.",
        "ASYNC_CREDIT_MEMO_UNAPPLY": "Unapplies a credit memo.",
        "GENERATE_CREDIT_MEMO_PDF": "Makes a PDF of a credit memo.",
        "EMAIL_CREDIT_MEMO": "Mails a credit memo.",
    },
)
_enum(
    e.PdfGenerationStatus,
    "Where the PDF of a credit memo stands.",
    {
        "NONE": "It was never asked for.",
        "PENDING": "Waits for its turn.",
        "PROCESSING": "Is being made.",
        "GENERATED": "Made, and the memo did not change since.",
        "ERROR": "Could not be made.",
        "OBSOLETE": "Made before the memo last changed.",
    },
)
_enum(
    e.ApplicationRule,
    "How an amount is spread over lines.",
    {
        "FIFO": "Line after line, in order of creation.",
        "PRORATION": "Over all open lines in proportion to what is open.",
        "SOURCE_ITEM": "Each credit line to the line it was made from.",
        "EXPLICIT": "As the caller's `items` say.",
    },
)
_enum(
    e.AvailableToCreditRule,
    "How strictly credits are held to what was invoiced.",
    {
        "NONE": "Not at all.",
        "HEADER_ONLY": "An invoice's credits never exceed its total.",
        "HEADER_AND_ITEM": "The same for the invoice, each item and its taxes.",
    },
)
_enum(
    e.LedgerKind,
    "What moved money between a credit memo and a target.",
    {
        "APPLY": "It was applied.",
        "UNAPPLY": "It was unapplied.",
        "REFUND": "It was refunded.",
        "REVERSE": "The memo was reversed.",
        "WRITE_OFF": "The memo was written off.",
    },
)
_enum(
    e.DocumentType,
    "The kinds of documents that have number sequences.",
    {
        "INVOICE": "Invoices.",
        "CREDIT_MEMO": "Credit memos.",
        "CREDIT_MEMO_DRAFT": "Drafts of credit memos, where formal numbers are given only when a memo is posted.",
        "DEBIT_MEMO": "Debit memos.",
        "PAYMENT": "Payments.",
        "REFUND": "Refunds.",
    },
)
_enum(
    e.MemoAction,
    "What can be done with one credit memo.",
    {
        "UPDATE": "Change its fields or lines: `updateCreditMemo`.",
        "POST": "Put a draft in force: `postCreditMemo`.",
        "UNPOST": "Turn an unused posted memo back into a draft: `unpostCreditMemo`.",
        "CANCEL": "Call a draft off: `cancelCreditMemo`.",
        "DELETE": "Remove a canceled memo: `deleteCreditMemo`.",
        "APPLY": "Settle invoices and debit memos with it: `applyCreditMemo`.",
        "UNAPPLY": "Take back what was applied: `unapplyCreditMemo`.",
        "REFUND": "Pay its unapplied money out: `refundCreditMemo`.",
        "WRITE_OFF": "Settle it against a new debit memo: `writeOffCreditMemo`.",
        "REVERSE": "Undo it by a new debit memo: `reverseCreditMemo`.",
        "CREATE_TAXATION_ITEMS": "Add taxes to a draft's lines: `createCreditMemoTaxationItems`.",
        "GENERATE_PDF": "Have a PDF made: `generateCreditMemoPdf`.",
        "UPLOAD_FILE": "Attach a PDF: `uploadCreditMemoFile`.",
        "EMAIL": "Mail it: `emailCreditMemo`.",
    },
    name="CreditMemoAction",
)
_enum(
    e.EventAction,
    "What an entry of a credit memo's history tells of.",
    {
        "CREATED": "The memo was made.",
        "UPDATED": "Its fields or lines were changed.",
        "POSTED": "It was put in force.",
        "UNPOSTED": "It became a draft again.",
        "CANCELED": "It was called off.",
        "DELETED": "It was removed; its history stays.",
        "APPLIED": "It settled invoices or debit memos.",
        "UNAPPLIED": "What was applied was taken back.",
        "REFUNDED": "Unapplied money was paid out.",
        "WRITTEN_OFF": "It was settled against a new debit memo.",
        "REVERSED": "It was undone by a new debit memo.",
        "TAXATION_ITEMS_CREATED": "Taxes were added to its lines.",
        "PDF_GENERATED": "A PDF of it was made.",
        "FILE_UPLOADED": "A PDF was attached.",
        "EMAILED": "It was mailed.",
        "IMPORTED": "It came from another system.",
    },
    name="CreditMemoEventAction",
)
_enum(ErrorCode, "Why an action was refused; clients branch on it.", ERROR_CODES)
