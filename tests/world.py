"""Accounts with everything that documents can have around them, for tests that read."""

from datetime import date, timedelta
from decimal import Decimal

from rows import NOW, TODAY, Rows


def an_account_with_everything(rows: Rows, memos: int = 1, currency: str = "USD") -> str:
    """An account whose credit memos come from an invoice and were applied, refunded, written off and printed."""
    contact = rows.contact(first_name="Ada", work_email="ada@example.org")
    account = rows.account(
        currency=currency,
        bill_to_contact_id=contact,
        additional_email_addresses=["billing@example.org"],
        custom_fields={"tier__c": "gold"},
    )
    method = rows.payment_method(account, type="CREDIT_CARD", electronic=True)
    for _ in range(memos):
        a_memo_with_everything(rows, account, contact, method)
    return account


def a_memo_with_everything(rows: Rows, account: str, contact: str, method: str) -> str:
    """A posted memo of 110.00 with a line of 100.00 and its tax; 60.00 of it applied, 20.00 refunded."""
    currency = rows.of[account]["currency"]
    charge = rows.charge({currency: Decimal("9.99"), "EUR": Decimal("8.123456789")}, sku="SKU-1")
    invoice = rows.invoice(
        account, 1_100_000, currency=currency, tax_amount=100_000, amount_without_tax=1_000_000, credit_amount=500_000
    )
    invoice_item = rows.invoice_item(
        invoice, tax_amount=100_000, credit_amount=450_000, product_rate_plan_charge_id=charge, quantity=Decimal("2.5")
    )
    invoice_tax = rows.invoice_tax(invoice_item, credit_amount=50_000)
    memo = rows.memo(
        account,
        1_100_000,
        currency=currency,
        tax_amount=100_000,
        applied_amount=600_000,
        refund_amount=200_000,
        referred_invoice_id=invoice,
        bill_to_contact_id=contact,
        comment="For the outage",
        custom_rates=[{"currency": "EUR", "custom_fx_rate": "0.9", "rate_date": "2026-03-01"}],
        version=3,
    )
    item = rows.item(
        memo,
        applied_amount=550_000,
        refund_amount=150_000,
        source_item_type="INVOICE_DETAIL",
        source_item_id=invoice_item,
        on_account_accounting_code="Credits",
        service_start_date=TODAY,
    )
    discount = rows.item(memo, 0, processing_type="DISCOUNT", applied_to_item_id=item, source_item_id=charge)
    tax = rows.tax(
        item,
        applied_amount=50_000,
        refund_amount=50_000,
        source_tax_item_id=invoice_tax,
        sales_tax_payable_accounting_code="Tax",
        tax_date=TODAY,
    )

    debit_memo = rows.debit_memo(
        account,
        100_000,
        currency=currency,
        tax_amount=10_000,
        referred_credit_memo_id=memo,
        credit_amount=100_000,
    )
    debit_item = rows.debit_memo_item(debit_memo, 90_000, source_item_id=discount, credit_amount=90_000)
    debit_tax = rows.debit_memo_tax(debit_item, 10_000, source_tax_item_id=tax, credit_amount=10_000)

    applied = rows.part(memo, 500_000, invoice_id=invoice)
    rows.item_part(applied, 450_000, credit_memo_item_id=item, invoice_item_id=invoice_item)
    rows.item_part(applied, 50_000, credit_tax_item_id=tax, tax_item_id=invoice_tax)
    written_off = rows.part(memo, 100_000, debit_memo_id=debit_memo, created_date=NOW + timedelta(days=1))
    rows.item_part(written_off, 90_000, credit_memo_item_id=item, debit_memo_item_id=debit_item)
    rows.item_part(written_off, 10_000, credit_memo_item_id=item, tax_item_id=debit_tax)
    unapplied = rows.part(memo, 300_000, created_date=NOW + timedelta(days=2))
    rows.item_part(unapplied, 300_000, credit_memo_item_id=item)

    refund = rows.refund(memo, 200_000, payment_method_id=method, gateway_options={"ip": "127.0.0.1"})
    part = rows.refund_part(refund)
    rows.refund_item_part(part, amount=150_000, credit_memo_item_id=item)
    rows.refund_item_part(part, amount=50_000, credit_tax_item_id=tax)

    file = rows.file(memo, file_name="memo.pdf")
    rows.of[memo]["latest_pdf_file_id"] = file
    rows.pdf_request(memo, status="ERROR", created_on=NOW - timedelta(days=1))
    rows.pdf_request(memo, status="GENERATED", file_id=file, memo_version=3)
    rows.job(memo, operation_type="GENERATE_CREDIT_MEMO_PDF", status="PROCESSED", lines_total=2, lines_done=2)
    amounts = {"amount": 1_100_000, "tax_amount": 100_000, "applied_amount": 0, "unapplied_amount": 1_100_000}
    rows.event(memo, action="CREATED", amounts_after=amounts | {"refund_amount": 0})
    rows.event(
        memo,
        action="APPLIED",
        at=NOW + timedelta(days=1),
        effective_date=date(2026, 3, 16),
        amounts_before=amounts | {"refund_amount": 0},
        amounts_after=amounts | {"applied_amount": 600_000, "unapplied_amount": 500_000, "refund_amount": 0},
        targets=[{"id": invoice, "number": "INV", "amount": 500_000}],
    )
    return memo
