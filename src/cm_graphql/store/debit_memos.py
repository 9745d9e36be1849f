"""Debit memos that undo credit memos, from records to rows: written once, whole, as they are made."""

from cm_graphql.domain.debit_memos import DebitMemo, DebitMemoItem, DebitMemoTaxationItem
from cm_graphql.domain.records import Stamp
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.bulk import Values
from cm_graphql.store.memos import LINE_FINANCE, TAX_FINANCE, finance_values, stamped
from cm_graphql.store.session import Session


async def insert(session: Session, debit_memo: DebitMemo, stamp: Stamp) -> None:
    """Write a new debit memo with all its lines, settled as far as the record says."""
    common = {"debit_memo_id": debit_memo.id, "currency": debit_memo.currency.code, **stamped(stamp)}
    items = debit_memo.items
    await bulk.insert(session, t.debit_memos, [_memo_values(debit_memo)], stamped(stamp))
    await bulk.insert(session, t.debit_memo_items, [_item_values(item) for item in items], common)
    taxes = [tax for item in items for tax in item.taxation_items]
    await bulk.insert(session, t.debit_memo_taxation_items, [_tax_values(tax) for tax in taxes], common)


def _memo_values(debit_memo: DebitMemo) -> Values:
    return {
        "id": debit_memo.id,
        "number": debit_memo.number,
        "account_id": debit_memo.account_id,
        "currency": debit_memo.currency.code,
        "status": debit_memo.status,
        "debit_memo_date": debit_memo.debit_memo_date,
        "due_date": debit_memo.due_date,
        "amount": debit_memo.amount,
        "tax_amount": debit_memo.tax_amount,
        "total_tax_exempt_amount": debit_memo.exempt_amount,
        "credit_amount": debit_memo.credited,
        "auto_pay": debit_memo.auto_pay,
        "comment": debit_memo.comment,
        "reason_code": debit_memo.reason_code,
        "referred_credit_memo_id": debit_memo.referred_credit_memo_id,
        "source_type": debit_memo.source_type,
        "transferred_to_accounting": debit_memo.transferred_to_accounting,
        "posted_by_id": debit_memo.posted_by_id,
        "posted_on": debit_memo.posted_on,
        "custom_fields": dict(debit_memo.custom_fields),
    }


def _item_values(item: DebitMemoItem) -> Values:
    return {
        "id": item.id,
        "position": item.position,
        "amount": item.amount,
        "amount_without_tax": item.net,
        "credit_amount": item.credited,
        "tax_mode": item.tax_mode,
        "processing_type": item.processing_type,
        "applied_to_item_id": item.applied_to_item_id,
        "sku": item.sku,
        "sku_name": item.sku_name,
        "description": item.description,
        "quantity": item.quantity,
        "unit_price": item.unit_price,
        "unit_of_measure": item.unit_of_measure,
        "service_start_date": item.service_start_date,
        "service_end_date": item.service_end_date,
        "subscription_id": item.subscription_id,
        "source_item_type": item.source_item_type,
        "source_item_id": item.source_item_id,
        **finance_values(item.finance, LINE_FINANCE),
    }


def _tax_values(tax: DebitMemoTaxationItem) -> Values:
    return {
        "id": tax.id,
        "memo_item_id": tax.item_id,
        "position": tax.position,
        "name": tax.name,
        "tax_amount": tax.tax_amount,
        "exempt_amount": tax.exempt_amount,
        "credit_amount": tax.credited,
        "jurisdiction": tax.jurisdiction,
        "location_code": tax.location_code,
        "tax_code": tax.tax_code,
        "tax_code_description": tax.tax_code_description,
        "tax_date": tax.tax_date,
        "tax_rate": tax.tax_rate,
        "tax_rate_description": tax.tax_rate_description,
        "tax_rate_type": tax.tax_rate_type,
        "source_tax_item_id": tax.source_tax_item_id,
        **finance_values(tax.finance, TAX_FINANCE),
    }
