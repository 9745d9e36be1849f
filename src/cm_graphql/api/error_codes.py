"""For each symbol that an action can be refused with (domain.md section 5): what is wrong, and what helps."""

from collections.abc import Mapping

ERROR_CODES: Mapping[str, str] = {
    "CREDIT_MEMO_NOT_FOUND": "You see no credit memo of this id or number. Look it up in `creditMemos`.",
    "CREDIT_MEMO_ITEM_NOT_FOUND": "No item has this id. Take it from the memo's `items`.",
    "TAXATION_ITEM_NOT_FOUND": "No taxation item has this id. Take it from the `taxationItems` of its line.",
    "CREDIT_MEMO_PART_NOT_FOUND": "No credit memo part has this id. Take it from the memo's `parts`.",
    "INVOICE_NOT_FOUND": "You see no invoice of this id or number. Look it up in `invoices`, or sync it first.",
    "INVOICE_ITEM_NOT_FOUND": "The invoice has no item of this id. Take it from the invoice's `items`.",
    "DEBIT_MEMO_NOT_FOUND": "You see no debit memo of this id or number. Look it up in `debitMemos`, or sync it first.",
    "DEBIT_MEMO_ITEM_NOT_FOUND": "No debit memo item has this id. Take it from the debit memo's `items`.",
    "PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND": (
        "No charge has this id. Look it up in `productRatePlanCharges`, or sync the catalog first."
    ),
    "ACCOUNT_NOT_FOUND": "You see no account of this id or number. Look it up in `accounts`, or sync it first.",
    "JOB_NOT_FOUND": "No job has this id. Take it from the answer that started the job.",
    "FILE_NOT_FOUND": "No file has this id. Take it from the memo's `files`.",
    "PAYMENT_METHOD_NOT_FOUND": "No payment method has this id. Sync it first.",
    "PERMISSION_DENIED": "You lack a permission, which the message names. Ask an administrator for that scope.",
    "FIELD_REQUIRED": "A field is missing that is needed in this case. Give the one that `field` names.",
    "INVALID_VALUE": "A value is impossible here, such as a negative amount. The message says what would be right.",
    "TOO_LONG": "A text is longer than its field allows. Shorten it to the limit in the message.",
    "ZERO_AMOUNT": "The memo is worth nothing, so there is nothing to act on. Give a line an amount.",
    "SOURCE_NOT_ALLOWED": (
        "A line has a source that this kind of memo cannot have. Credit charges and invoices with memos of their own."
    ),
    "DOCUMENT_IN_USE": (
        "Credit already rests on what would be changed. Leave what the message names as it is, "
        "or unapply and delete what rests on it."
    ),
    "STALE_VERSION": "The memo has changed since your `ifVersion`. Read it again and decide anew.",
    "LIMIT_EXCEEDED": (
        "There is more of something than one request may have; the message names limit and count. "
        "Take several requests, or a job."
    ),
    "ACCOUNT_MISMATCH": "The memo and the other document belong to different accounts. Choose one of the same account.",
    "CURRENCY_MISMATCH": "The memo and the other document have different currencies. Choose one in the same currency.",
    "CURRENCY_INACTIVE": "The currency is unknown or not in use. Choose another, or sync it as active.",
    "AMOUNT_PRECISION": "An amount has more decimals than its currency. Round it.",
    "DISCOUNT_CHARGE_NOT_ALLOWED": (
        "No credit memo can be made from a charge with a discount model. Choose a charge with another model."
    ),
    "USAGE_QUANTITY_NOT_POSITIVE": "The quantity of a usage charge must be above 0. Give one, or leave it out for 1.",
    "REASON_CODE_INVALID": (
        "No active reason code of this kind has this name. Look it up in `reasonCodes`, or sync it; "
        "a default that is missing has to be synced."
    ),
    "NUMBER_TAKEN": "Another document has this number, or had it. Choose another, or leave it out.",
    "INVALID_STATUS": (
        "A document's status does not allow this. The message names the one needed; `availableActions` says "
        "what can be done now."
    ),
    "MEMO_DATE_BEFORE_INVOICE_DATE": (
        "The memo would be dated before the invoice it is made from. Choose that date or a later one."
    ),
    "DATE_IN_CLOSED_PERIOD": "The date lies in a closed accounting period. Choose one in an open period.",
    "APPLY_DATE_TOO_EARLY": (
        "The memo would be applied before its own or a target's date. Choose the latest of these dates or a later one."
    ),
    "UNAPPLY_DATE_TOO_EARLY": (
        "The memo would be unapplied before it was applied or refunded. Leave the date out for the earliest one."
    ),
    "REFUND_DATE_TOO_EARLY": "The refund would be dated before the memo. Choose the memo's date or a later one.",
    "REVERSE_DATE_TOO_EARLY": "The memo would be reversed before its own date. Choose that date or a later one.",
    "WRITE_OFF_DATE_TOO_EARLY": "The memo would be written off before its own date. Choose that date or a later one.",
    "OVER_CREDIT": (
        "More would be credited than the invoice, its item or its tax still has available to credit. "
        "Credit at most what the message names."
    ),
    "TAX_MODE_CONFLICT": (
        "A tax-inclusive line needs automatic tax from the built-in engine, and no taxes by hand. "
        "Credit the net amount as TAX_EXCLUSIVE otherwise."
    ),
    "TAX_ITEM_NOT_ALLOWED": (
        "This line cannot take taxation items by hand, since its tax is part of its amount or computed. Leave them out."
    ),
    "BILL_RUN_ITEM_NOT_EDITABLE": "A line made by a bill run cannot be changed. Cancel the memo and make another.",
    "AMOUNT_EXCEEDS_UNAPPLIED": (
        "More would be used than is unapplied of the memo or of one of its lines. Use less, or unapply first."
    ),
    "AMOUNT_EXCEEDS_BALANCE": "More would be applied than a target or one of its lines still owes. Apply less.",
    "AMOUNT_EXCEEDS_APPLIED": "More would be unapplied than lies there. Take at most what the memo's `parts` show.",
    "ITEMS_SUM_MISMATCH": "The items do not add up to the amount. Change one of them, or leave the items out.",
    "ITEM_PAIR_INVALID": (
        "An item names no source or target line, more than one, unlike kinds, or a foreign line. "
        "Name one line on each side, items with items and taxes with taxes."
    ),
    "DUPLICATE_TARGET": "A target is named twice. Name it once, with the sum.",
    "NO_TARGET": "No target is named. Name an invoice or a debit memo.",
    "APPLICATION_RULE_CONFLICT": (
        "The rule asked for cannot be combined with the rest of the request. "
        "Name one invoice alone and no items, or leave the rule out."
    ),
    "SOURCE_ITEM_MISMATCH": "A credit line does not fit the line it was made from. Apply less, or without this rule.",
    "NOT_FULLY_UNAPPLIED": "Some of the memo is applied or refunded. Unapply it first; a refund is for good.",
    "ALREADY_APPLIED_OR_REFUNDED": "Some of the memo was applied or refunded. Unapply it first; a refund is for good.",
    "ALREADY_REVERSED": "The memo was reversed, which is for good. Make a new memo.",
    "NON_REVENUE_WRITE_OFF": "The memo came from a write-off that does not affect revenue. Apply or refund it instead.",
    "REVENUE_CLOSED": (
        "Revenue was recognized for the memo in an accounting period that is closed. Reverse the memo instead."
    ),
    "REFUND_METHOD_CONFLICT": (
        "Type, method type, payment method and date of the refund do not go together. Leave out what `field` names."
    ),
    "GATEWAY_ERROR": (
        "The payment gateway refused; the message repeats what it said. "
        "Try again, with another payment method, or refund by other means."
    ),
    "TAX_ENGINE_ERROR": "The tax engine refused or failed. Try again later, or choose another `taxEngine`.",
    "FILE_NOT_PDF": "The file is no PDF. Upload a PDF that opens without a password.",
    "FILE_TOO_LARGE": "The file is larger than 4 MB. Upload a smaller one.",
    "FILE_LIMIT": "The memo has as many files as it may have. No more can be added.",
    "NO_RECIPIENT": "Nobody's address is known or given. Give `emailAddresses`, or the account's bill-to contact one.",
    "EMAIL_NOTIFICATION_INACTIVE": "Mailing credit memos is switched off. Switch `emailNotification` on.",
    "PDF_NOT_READY": "The PDF that is to be mailed was not made yet. Generate it, and mail when that is done.",
    "PDF_FAILED": "A PDF could not be made; the error of a job begins with it. What follows says why.",
    "MAIL_FAILED": "A mail could not be sent; the error of a job begins with it. What follows says why.",
    "LOCK_CONTENTION": "A job or a refund at the gateway holds the memo, or a lock was not had in time. Try again.",
    "IDEMPOTENCY_IN_PROGRESS": "The first request with this idempotency key is still running. Try again in a moment.",
    "IDEMPOTENCY_MISMATCH": "The idempotency key was used with another input. Take a new key for a new request.",
    "INTERNAL_ERROR": (
        "A bug of ours, or a database that was lost, ended this element of a bulk action. Look whether it was done "
        "before you ask anew, and report it with the request id."
    ),
}
