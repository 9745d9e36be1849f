"""A request for every symbol of domain.md section 5 that provokes it through the public API, set-up included."""

import io
from collections.abc import Callable, Mapping
from typing import Any

from pypdf import PdfWriter

from cm_graphql.domain import limits
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.operations.viewer import ADMIN, Viewer
from shopping import Refused, Shop

Provoke = Callable[[Shop], Refused]

WITHOUT_OPERATION: Mapping[ErrorCode, str] = {
    ErrorCode.CREDIT_MEMO_PART_NOT_FOUND: "no action names a part; a query for an unknown one answers null",
    ErrorCode.PDF_FAILED: "no request is refused with it; the error of a job begins with it",
    ErrorCode.MAIL_FAILED: "no request is refused with it; the error of a job begins with it",
    ErrorCode.INTERNAL_ERROR: "a bug of ours in one element of a bulk action; no request provokes it",
}
"""Symbols that no request is refused with."""

PROVOKED: dict[ErrorCode, Provoke] = {}


def provokes(*codes: ErrorCode) -> Callable[[Provoke], Provoke]:
    """Enter a request into the table, under each symbol that it provokes."""

    def enter(provoke: Provoke) -> Provoke:
        PROVOKED.update(dict.fromkeys(codes, provoke))
        return provoke

    return enter


def unknown(prefix: str) -> str:
    """An id that nothing has."""
    return f"{prefix}_{0:032x}"


# --- what is not there ------------------------------------------------------------------------------------------------


@provokes(ErrorCode.CREDIT_MEMO_NOT_FOUND)
def _(shop: Shop) -> Refused:
    return shop.refused("postCreditMemo", {"key": "CM-none"})


@provokes(ErrorCode.CREDIT_MEMO_ITEM_NOT_FOUND)
def _(shop: Shop) -> Refused:
    return shop.refused("updateCreditMemo", {"key": shop.draft(), "items": [{"id": unknown("cmi")}]})


@provokes(ErrorCode.TAXATION_ITEM_NOT_FOUND)
def _(shop: Shop) -> Refused:
    draft = shop.draft()
    item = {"id": shop.item_of(draft), "taxItems": [{"id": unknown("cmt")}]}
    return shop.refused("updateCreditMemo", {"key": draft, "items": [item]})


@provokes(ErrorCode.INVOICE_NOT_FOUND)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromInvoice", {"invoiceKey": unknown("inv"), "items": []})


@provokes(ErrorCode.INVOICE_ITEM_NOT_FOUND)
def _(shop: Shop) -> Refused:
    line = {"invoiceItemId": unknown("ini"), "skuName": "Seats", "amount": "1"}
    return shop.refused("createCreditMemoFromInvoice", {"invoiceKey": shop.invoice(("10.00",)), "items": [line]})


@provokes(ErrorCode.DEBIT_MEMO_NOT_FOUND)
def _(shop: Shop) -> Refused:
    target = {"debitMemoKey": unknown("dm"), "amount": "1.00"}
    return shop.refused("applyCreditMemo", {"key": shop.posted(), "debitMemos": [target]})


@provokes(ErrorCode.DEBIT_MEMO_ITEM_NOT_FOUND)
def _(shop: Shop) -> Refused:
    memo = shop.posted()
    item = {"amount": "1.00", "creditMemoItemId": shop.item_of(memo), "debitMemoItemId": unknown("dmi")}
    target = {"debitMemoKey": shop.debit_memo("9.00"), "amount": "1.00", "items": [item]}
    return shop.refused("applyCreditMemo", {"key": memo, "debitMemos": [target]})


@provokes(ErrorCode.PRODUCT_RATE_PLAN_CHARGE_NOT_FOUND)
def _(shop: Shop) -> Refused:
    lines = [{"productRatePlanChargeId": unknown("chg")}]
    return shop.refused("createCreditMemoFromCharges", {"accountKey": shop.account, "charges": lines})


@provokes(ErrorCode.ACCOUNT_NOT_FOUND)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromCharges", {**shop.charging("1.00"), "accountKey": "A-none"})


@provokes(ErrorCode.PAYMENT_METHOD_NOT_FOUND)
def _(shop: Shop) -> Refused:
    return shop.refused("refundCreditMemo", electronic(shop.posted(), unknown("pm")))


@provokes(ErrorCode.JOB_NOT_FOUND)
def _(shop: Shop) -> Refused:
    return shop.refused("cancelCreditMemoJob", {"id": unknown("cmj")})


@provokes(ErrorCode.FILE_NOT_FOUND)
def _(shop: Shop) -> Refused:
    return shop.refused("emailCreditMemo", {"key": shop.posted(), "pdfFileId": unknown("cmf")})


# --- rights, versions, repeats, locks ---------------------------------------------------------------------------------


@provokes(ErrorCode.PERMISSION_DENIED)
def _(shop: Shop) -> Refused:
    memo = shop.draft()
    shop.viewer = Viewer("usr_clerk", ADMIN - {"credit_memos:change_reason"})
    (refused,) = shop.refused_each("updateCreditMemos", {"memos": [{"key": memo, "reasonCode": "Write-off"}]})
    return refused


@provokes(ErrorCode.STALE_VERSION)
def _(shop: Shop) -> Refused:
    return shop.refused("postCreditMemo", {"key": shop.draft(), "ifVersion": 7})


@provokes(ErrorCode.LOCK_CONTENTION)
def _(shop: Shop) -> Refused:
    memo = shop.posted()
    target = {"invoiceKey": shop.invoice(("10.00",)), "amount": "1.00"}
    shop.do("applyCreditMemoAsync", {"key": memo, "invoices": [target]})
    return shop.refused("unpostCreditMemo", {"key": memo})


@provokes(ErrorCode.IDEMPOTENCY_MISMATCH)
def _(shop: Shop) -> Refused:
    key = shop.number("key")
    shop.do("postCreditMemo", {"key": shop.draft(), "idempotencyKey": key})
    return shop.refused("postCreditMemo", {"key": shop.draft(), "idempotencyKey": key})


@provokes(ErrorCode.IDEMPOTENCY_IN_PROGRESS)
def _(shop: Shop) -> Refused:
    # Whether the second finds the first at work or done is a matter of chance; rarely the latter, with so many lines.
    for _ in range(5):
        given = shop.charging(*["1.00"] * 300, idempotencyKey=shop.number("key"))
        payloads = shop.together(*[("createCreditMemoFromCharges", given, "")] * 2)
        codes: Refused = [(error["code"],) for payload in payloads for error in payload["userErrors"]]
        if codes:
            return codes
    return []


# --- shape ------------------------------------------------------------------------------------------------------------


@provokes(ErrorCode.FIELD_REQUIRED)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromInvoice", {"invoiceKey": shop.invoice(("10.00",))})


@provokes(ErrorCode.INVALID_VALUE)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromCharges", shop.charging("-1.00"))


@provokes(ErrorCode.TOO_LONG)
def _(shop: Shop) -> Refused:
    return shop.refused("updateCreditMemo", {"key": shop.draft(), "comment": "x" * 256})


@provokes(ErrorCode.AMOUNT_PRECISION)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromCharges", shop.charging("1.001"))


@provokes(ErrorCode.CURRENCY_INACTIVE)
def _(shop: Shop) -> Refused:
    shop.each("syncCurrencies", {"currencies": [{"code": "SEK", "active": False}]})
    return shop.refused("createCreditMemoFromCharges", shop.charging("1.00", currency="SEK"))


@provokes(ErrorCode.DISCOUNT_CHARGE_NOT_ALLOWED)
def _(shop: Shop) -> Refused:
    lines = [{"productRatePlanChargeId": shop.charge(chargeModel="DISCOUNT_PERCENTAGE"), "amount": "1.00"}]
    return shop.refused("createCreditMemoFromCharges", {"accountKey": shop.account, "charges": lines})


@provokes(ErrorCode.USAGE_QUANTITY_NOT_POSITIVE)
def _(shop: Shop) -> Refused:
    lines = [{"productRatePlanChargeId": shop.charge(chargeType="USAGE"), "amount": "1.00", "quantity": 0}]
    return shop.refused("createCreditMemoFromCharges", {"accountKey": shop.account, "charges": lines})


@provokes(ErrorCode.SOURCE_NOT_ALLOWED)
def _(shop: Shop) -> Refused:
    draft = shop.credit(shop.invoice(("10.00",)), "1.00")
    line = {"productRatePlanChargeId": shop.charge(), "amount": "1.00"}
    return shop.refused("updateCreditMemo", {"key": draft, "items": [line]})


@provokes(ErrorCode.TAX_MODE_CONFLICT)
def _(shop: Shop) -> Refused:
    asked = shop.crediting(shop.invoice(("10.00", "1.00")), "1.00", taxMode="TAX_INCLUSIVE")
    return shop.refused("createCreditMemoFromInvoice", asked)


@provokes(ErrorCode.TAX_ITEM_NOT_ALLOWED)
def _(shop: Shop) -> Refused:
    draft = shop.credit(shop.invoice(("10.00", "1.00"), engine="ZUORA_TAX"), "1.00")
    return shop.refused("createCreditMemoTaxationItems", taxing(draft, shop.item_of(draft), "0.10"))


def taxing(memo: str, item: str, amount: str) -> dict[str, Any]:
    """A request to add a tax."""
    tax = {
        "memoItemId": item,
        "name": "City tax",
        "jurisdiction": "SF",
        "taxAmount": amount,
        "taxRate": "0.02",
        "taxRateType": "PERCENTAGE",
    }
    return {"key": memo, "taxationItems": [tax]}


@provokes(ErrorCode.ITEMS_SUM_MISMATCH)
def _(shop: Shop) -> Refused:
    memo, invoice = shop.posted(), shop.invoice(("10.00",))
    item = {"amount": "1.00", "creditMemoItemId": shop.item_of(memo), "invoiceItemId": shop.item_of(invoice)}
    target = {"invoiceKey": invoice, "amount": "2.00", "items": [item]}
    return shop.refused("applyCreditMemo", {"key": memo, "invoices": [target]})


@provokes(ErrorCode.ITEM_PAIR_INVALID)
def _(shop: Shop) -> Refused:
    memo, invoice = shop.posted(), shop.invoice(("10.00",))
    item = {"amount": "1.00", "creditMemoItemId": shop.item_of(memo)}
    target = {"invoiceKey": invoice, "amount": "1.00", "items": [item]}
    return shop.refused("applyCreditMemo", {"key": memo, "invoices": [target]})


@provokes(ErrorCode.DUPLICATE_TARGET)
def _(shop: Shop) -> Refused:
    target = {"invoiceKey": shop.invoice(("10.00",)), "amount": "1.00"}
    return shop.refused("applyCreditMemo", {"key": shop.posted(), "invoices": [target, target]})


@provokes(ErrorCode.NO_TARGET)
def _(shop: Shop) -> Refused:
    return shop.refused("applyCreditMemo", {"key": shop.posted()})


@provokes(ErrorCode.APPLICATION_RULE_CONFLICT)
def _(shop: Shop) -> Refused:
    targets = [{"invoiceKey": shop.invoice(("10.00",)), "amount": "1.00"} for _ in range(2)]
    asked = {"key": shop.posted(), "invoices": targets, "applicationRule": "SOURCE_ITEM"}
    return shop.refused("applyCreditMemo", asked)


@provokes(ErrorCode.REFUND_METHOD_CONFLICT)
def _(shop: Shop) -> Refused:
    return shop.refused("refundCreditMemo", {**external(shop.posted(), "1.00"), "gatewayId": "bank"})


def external(memo: str, amount: str) -> dict[str, Any]:
    """A request to record a refund."""
    return {"key": memo, "type": "EXTERNAL", "totalAmount": amount, "methodType": "CHECK"}


def electronic(memo: str, method: str, amount: str = "1.00") -> dict[str, Any]:
    """A request to have a card refunded."""
    return {"key": memo, "type": "ELECTRONIC", "totalAmount": amount, "paymentMethodId": method}


@provokes(ErrorCode.LIMIT_EXCEEDED)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromCharges", shop.charging(*["1.00"] * (limits.LINES_PER_CREATE + 1)))


# --- statuses ---------------------------------------------------------------------------------------------------------


@provokes(ErrorCode.INVALID_STATUS)
def _(shop: Shop) -> Refused:
    return shop.refused("cancelCreditMemo", {"key": shop.posted()})


@provokes(ErrorCode.BILL_RUN_ITEM_NOT_EDITABLE)
def _(shop: Shop) -> Refused:
    memo = past_memo(shop, status="DRAFT", source="BILL_RUN", sourceId="BR-1")
    item = {"id": shop.item_of(memo), "amount": "1.00"}
    return shop.refused("updateCreditMemo", {"key": memo, "items": [item]})


def past_memo(shop: Shop, **given: Any) -> str:
    """A memo that another system made."""
    item = {
        "skuName": "Seats",
        "amount": "10.00",
        "sourceItemType": "SUBSCRIPTION_COMPONENT",
        "sourceItemId": "rpc-1",
    }
    memo = {
        "number": shop.number("OLD"),
        "accountKey": shop.account,
        "status": "POSTED",
        "creditMemoDate": "2026-03-01",
        "source": "API",
        "sourceType": "SUBSCRIPTION",
        "items": [item],
        **given,
    }
    (result,) = shop.each("syncCreditMemos", {"creditMemos": [memo]}, "creditMemo { id }")
    assert result["userErrors"] == []
    return str(result["creditMemo"]["id"])


@provokes(ErrorCode.NON_REVENUE_WRITE_OFF)
def _(shop: Shop) -> Refused:
    return shop.refused("writeOffCreditMemo", {"key": past_memo(shop, revenueImpacting="NO")})


@provokes(ErrorCode.NOT_FULLY_UNAPPLIED)
def _(shop: Shop) -> Refused:
    return shop.refused("writeOffCreditMemo", {"key": used(shop)})


@provokes(ErrorCode.ALREADY_APPLIED_OR_REFUNDED)
def _(shop: Shop) -> Refused:
    return shop.refused("unpostCreditMemo", {"key": used(shop)})


def used(shop: Shop) -> str:
    """A posted memo of which something was refunded."""
    memo = shop.posted()
    shop.do("refundCreditMemo", external(memo, "1.00"))
    return memo


@provokes(ErrorCode.ALREADY_REVERSED)
def _(shop: Shop) -> Refused:
    memo = shop.posted()
    shop.do("reverseCreditMemo", {"key": memo})
    return shop.refused("unapplyCreditMemo", {"key": memo})


@provokes(ErrorCode.ACCOUNT_MISMATCH)
def _(shop: Shop) -> Refused:
    memo = shop.posted()
    shop.new_account()
    target = {"invoiceKey": shop.invoice(("10.00",)), "amount": "1.00"}
    return shop.refused("applyCreditMemo", {"key": memo, "invoices": [target]})


@provokes(ErrorCode.CURRENCY_MISMATCH)
def _(shop: Shop) -> Refused:
    target = {"invoiceKey": shop.invoice(("10.00",), currency="EUR"), "amount": "1.00"}
    return shop.refused("applyCreditMemo", {"key": shop.posted(), "invoices": [target]})


@provokes(ErrorCode.DOCUMENT_IN_USE)
def _(shop: Shop) -> Refused:
    number = shop.number("INV")
    shop.credit(shop.invoice(("10.00",), invoiceNumber=number), "1.00")
    item = {"chargeName": "Seats", "chargeAmount": "11.00"}
    invoice = {"invoiceNumber": number, "accountKey": shop.account, "invoiceDate": "2026-02-01", "items": [item]}
    (refused,) = shop.refused_each("syncInvoices", {"invoices": [invoice]})
    return refused


# --- dates and reasons ------------------------------------------------------------------------------------------------


@provokes(ErrorCode.MEMO_DATE_BEFORE_INVOICE_DATE)
def _(shop: Shop) -> Refused:
    asked = shop.crediting(shop.invoice(("10.00",)), "1.00")
    return shop.refused("createCreditMemoFromInvoice", {**asked, "effectiveDate": "2026-01-31"})


@provokes(ErrorCode.DATE_IN_CLOSED_PERIOD)
def _(shop: Shop) -> Refused:
    close(shop, "2025-01-01", "2025-01-31")
    return shop.refused("createCreditMemoFromCharges", shop.charging("1.00", effectiveDate="2025-01-15"))


def close(shop: Shop, start: str, end: str, status: str = "CLOSED") -> None:
    """Close a period, or open it."""
    period = {"name": f"{start} to {end}", "startDate": start, "endDate": end, "status": status}
    shop.each("syncAccountingPeriods", {"accountingPeriods": [period]})


@provokes(ErrorCode.REVENUE_CLOSED)
def _(shop: Shop) -> Refused:
    close(shop, "2025-02-01", "2025-02-28", "OPEN")
    memo = shop.posted(effectiveDate="2025-02-15")
    close(shop, "2025-02-01", "2025-02-28")
    shop.do("updateSettings", {"unpostRule": True})
    return shop.refused("unpostCreditMemo", {"key": memo})


@provokes(ErrorCode.APPLY_DATE_TOO_EARLY)
def _(shop: Shop) -> Refused:
    target = {"invoiceKey": shop.invoice(("10.00",)), "amount": "1.00"}
    return shop.refused("applyCreditMemo", {"key": shop.posted(), "invoices": [target], "effectiveDate": "2026-03-01"})


@provokes(ErrorCode.UNAPPLY_DATE_TOO_EARLY)
def _(shop: Shop) -> Refused:
    memo = shop.posted()
    target = {"invoiceKey": shop.invoice(("10.00",)), "amount": "1.00"}
    shop.do("applyCreditMemo", {"key": memo, "invoices": [target], "effectiveDate": "2026-03-20"})
    return shop.refused("unapplyCreditMemo", {"key": memo, "effectiveDate": "2026-03-19"})


@provokes(ErrorCode.REFUND_DATE_TOO_EARLY)
def _(shop: Shop) -> Refused:
    return shop.refused("refundCreditMemo", {**external(shop.posted(), "1.00"), "refundDate": "2026-03-01"})


@provokes(ErrorCode.REVERSE_DATE_TOO_EARLY)
def _(shop: Shop) -> Refused:
    return shop.refused("reverseCreditMemo", {"key": shop.posted(), "memoDate": "2026-03-01"})


@provokes(ErrorCode.WRITE_OFF_DATE_TOO_EARLY)
def _(shop: Shop) -> Refused:
    return shop.refused("writeOffCreditMemo", {"key": shop.posted(), "memoDate": "2026-03-01"})


@provokes(ErrorCode.REASON_CODE_INVALID)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromCharges", shop.charging("1.00", reasonCode="Because"))


# --- amounts ----------------------------------------------------------------------------------------------------------


@provokes(ErrorCode.ZERO_AMOUNT)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromCharges", shop.charging("0.00"))


@provokes(ErrorCode.NUMBER_TAKEN)
def _(shop: Shop) -> Refused:
    number = shop.number("MINE")
    shop.draft("1.00", number=number)
    return shop.refused("createCreditMemoFromCharges", shop.charging("1.00", number=number))


@provokes(ErrorCode.OVER_CREDIT)
def _(shop: Shop) -> Refused:
    return shop.refused("createCreditMemoFromInvoice", shop.crediting(shop.invoice(("10.00",)), "10.01"))


@provokes(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED)
def _(shop: Shop) -> Refused:
    return shop.refused("refundCreditMemo", external(shop.posted("10.00"), "10.01"))


@provokes(ErrorCode.AMOUNT_EXCEEDS_BALANCE)
def _(shop: Shop) -> Refused:
    target = {"invoiceKey": shop.invoice(("5.00",)), "amount": "5.01"}
    return shop.refused("applyCreditMemo", {"key": shop.posted("10.00"), "invoices": [target]})


@provokes(ErrorCode.AMOUNT_EXCEEDS_APPLIED)
def _(shop: Shop) -> Refused:
    return shop.refused("unapplyCreditMemo", {"key": shop.posted()})


@provokes(ErrorCode.SOURCE_ITEM_MISMATCH)
def _(shop: Shop) -> Refused:
    target = {"invoiceKey": shop.invoice(("10.00",)), "amount": "1.00"}
    asked = {"key": shop.posted(), "invoices": [target], "applicationRule": "SOURCE_ITEM"}
    return shop.refused("applyCreditMemo", asked)


# --- the world outside ------------------------------------------------------------------------------------------------


@provokes(ErrorCode.GATEWAY_ERROR)
def _(shop: Shop) -> Refused:
    return shop.refused("refundCreditMemo", electronic(shop.posted(), shop.payment_method(), "1.13"))


@provokes(ErrorCode.TAX_ENGINE_ERROR)
def _(shop: Shop) -> Refused:
    shop.do("updateSettings", {"taxEngine": "table"})
    lines = [{"productRatePlanChargeId": shop.charge(taxable=True, taxCode="TAX-DOWN"), "amount": "1.00"}]
    return shop.refused("createCreditMemoFromCharges", {"accountKey": shop.account, "charges": lines})


def a_pdf(pages: int = 1) -> bytes:
    """A PDF of empty pages."""
    made, writer = io.BytesIO(), PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(72, 72)
    writer.write(made)
    return made.getvalue()


@provokes(ErrorCode.FILE_NOT_PDF)
def _(shop: Shop) -> Refused:
    return shop.refused("uploadCreditMemoFile", {"key": shop.draft(), "file": None}, b"hello")


@provokes(ErrorCode.FILE_TOO_LARGE)
def _(shop: Shop) -> Refused:
    file = a_pdf() + b"\0" * limits.FILE_BYTES
    return shop.refused("uploadCreditMemoFile", {"key": shop.draft(), "file": None}, file)


@provokes(ErrorCode.FILE_LIMIT)
def _(shop: Shop) -> Refused:
    memo, file = shop.draft(), a_pdf()
    for _ in range(limits.FILES_PER_MEMO):
        shop.do("uploadCreditMemoFile", {"key": memo, "file": None}, "", file)
    return shop.refused("uploadCreditMemoFile", {"key": memo, "file": None}, file)


@provokes(ErrorCode.NO_RECIPIENT)
def _(shop: Shop) -> Refused:
    return shop.refused("emailCreditMemo", {"key": shop.posted()})


@provokes(ErrorCode.EMAIL_NOTIFICATION_INACTIVE)
def _(shop: Shop) -> Refused:
    shop.do("updateSettings", {"emailNotification": False})
    return shop.refused("emailCreditMemo", {"key": shop.posted(), "emailAddresses": "ada@acme.example"})


@provokes(ErrorCode.PDF_NOT_READY)
def _(shop: Shop) -> Refused:
    return shop.refused("emailCreditMemo", {"key": shop.posted(), "emailAddresses": "ada@acme.example"})
