"""How accounts, the catalog, payment methods and past credit memos come in from the systems that keep them."""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from itertools import count

from cm_graphql.domain import drafts, limits, movement, shape, taxation
from cm_graphql.domain.billing import Account, Charge, Contact
from cm_graphql.domain.commands.intake import (
    BillToContact,
    SyncedAccount,
    SyncedCreditMemo,
    SyncedCreditMemoItem,
    SyncedCreditMemoTaxItem,
    SyncedPaymentMethod,
    SyncedProductRatePlanCharge,
)
from cm_graphql.domain.enums import ItemSourceType, MemoStatus, ProcessingType, TaxMode
from cm_graphql.domain.errors import ErrorCode, Faults, field_name, refuse
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import NO_FINANCE, CreditMemo, CreditMemoItem, Stamp, TaxationItem
from cm_graphql.domain.refunds import PaymentMethod

_EMAILS = ("work_email", "personal_email")

_SOURCE_PREFIXES = {
    ItemSourceType.INVOICE_DETAIL: "ini",
    ItemSourceType.PRODUCT_RATE_PLAN_CHARGE: "chg",
    ItemSourceType.CREDIT_MEMO_ITEM: "cmi",
}


def check_envelope(elements: Sequence[object], field: str, lines: int = 0) -> None:
    """Refuse a whole sync of no document, over 100 documents, or over 20,000 lines (api.md)."""
    if not elements:
        raise refuse(
            ErrorCode.FIELD_REQUIRED, f"{field_name(field)} is empty: give 1 to {limits.SYNC_DOCUMENTS}.", field
        )
    faults = Faults()
    shape.at_most(len(elements), limits.SYNC_DOCUMENTS, field.replace("_", " "), faults, field)
    shape.at_most(lines, limits.SYNC_LINES, "lines", faults, field)
    faults.raise_if_any()


def _check_identity(given: str | None, existing: str | None, prefix: str, what: str, field: str) -> None:
    """Refuse to find by number or name what has another id than the one given: NUMBER_TAKEN."""
    if given is not None and existing is not None and shape.as_id(given, prefix) != existing:
        raise refuse(ErrorCode.NUMBER_TAKEN, f"The {field} {what} is that of {existing}: choose another.", field)


# --- accounts, catalog, payment methods -------------------------------------------------------------------------------


def account(
    given: SyncedAccount,
    existing: Account | None,
    currency: Currency | None,
    sequence_sets: Collection[str],
    stamp: Stamp,
) -> Account:
    """Make the account that is told of, to be stored in place of the existing one.

    `currency` is the one its code means, if any; `sequence_sets` are the names there are. Refuses with shape faults,
    and NUMBER_TAKEN where the number is that of an account with another id.
    """
    faults = Faults()
    shape.identifier(given.id, "acc", faults, "id")
    shape.document_number(given.number, faults, "number")
    _check_name(given.name, faults, "name")
    if currency is None:
        faults.add(ErrorCode.INVALID_VALUE, f"{given.currency} is no ISO 4217 currency.", "currency")
    if not 0 <= given.payment_term_days <= limits.PAYMENT_TERM_DAYS:
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"paymentTermDays is {given.payment_term_days}: it must be 0 to {limits.PAYMENT_TERM_DAYS}.",
            "payment_term_days",
        )
    if given.sequence_set is not None and given.sequence_set not in sequence_sets:
        faults.add(ErrorCode.INVALID_VALUE, f"There is no sequence set {given.sequence_set!r}.", "sequence_set")
    shape.text(given.gateway_id, limits.TEXT_LENGTH, faults, "gateway_id")
    shape.custom_fields(given.custom_fields, faults, "custom_fields")
    _check_contact(given.bill_to_contact, faults)
    addresses = given.additional_email_addresses or ()
    for index, address in enumerate(addresses):
        _check_email(address, faults, "additional_email_addresses", index)
    shape.at_most(len(addresses), limits.EMAIL_ADDRESSES, "addresses", faults, "additional_email_addresses")
    faults.raise_if_any()
    _check_identity(given.id, existing.id if existing else None, "acc", given.number, "number")
    return Account(
        id=existing.id if existing else shape.as_id(given.id, "acc") if given.id else stamp.new_id("acc"),
        number=given.number,
        name=given.name,
        currency=given.currency,
        status=given.status,
        bill_to=_contact(given.bill_to_contact, existing.bill_to if existing else None, stamp),
        additional_email_addresses=addresses,
        payment_term_days=given.payment_term_days,
        gateway_id=given.gateway_id,
        sequence_set=given.sequence_set,
        custom_fields=drafts.custom_fields(given.custom_fields, {}),
    )


def _check_contact(given: BillToContact | None, faults: Faults) -> None:
    if given is None:
        return
    for field in fields(given):
        value = getattr(given, field.name)
        shape.text(value, limits.TEXT_LENGTH, faults, "bill_to_contact", field.name)
        if field.name in _EMAILS and value is not None:
            _check_email(value, faults, "bill_to_contact", field.name)


def _check_email(value: str, faults: Faults, *path: str | int) -> None:
    """Note INVALID_VALUE for what no mail server takes; whether the address exists only mailing tells."""
    name, at, domain = value.rpartition("@")
    if not at or not name or not domain or any(c.isspace() or c in ",;<>\0" for c in value) or len(value) > 254:
        faults.add(ErrorCode.INVALID_VALUE, f"{value[:60]!r} is no mail address.", *path)


def _contact(given: BillToContact | None, existing: Contact | None, stamp: Stamp) -> Contact | None:
    if given is None:
        return None
    values = {field.name: getattr(given, field.name) for field in fields(given)}
    return Contact(id=existing.id if existing else stamp.new_id("con"), **values)


def charge(
    given: SyncedProductRatePlanCharge, existing: Charge | None, currencies: Collection[str], stamp: Stamp
) -> Charge:
    """Make the charge that is told of, to be stored in place of the existing one; `currencies` are all ISO codes."""
    faults = Faults()
    shape.identifier(given.id, "chg", faults, "id")
    _check_name(given.name, faults, "name")
    for field in ("sku", "unit_of_measure", "tax_code"):
        shape.text(getattr(given, field), limits.TEXT_LENGTH, faults, field)
    drafts.check_finance(given.finance_information, faults)
    start, end = given.effective_start_date, given.effective_end_date
    if start is not None and end is not None and end < start:
        faults.add(ErrorCode.INVALID_VALUE, f"It ends on {end}, before it starts on {start}.", "effective_end_date")
    priced: dict[str, Decimal] = {}
    for index, price in enumerate(given.prices):
        if price.currency not in currencies:
            message = f"{price.currency} is no ISO 4217 currency."
            faults.add(ErrorCode.INVALID_VALUE, message, "prices", index, "currency")
        elif price.currency in priced:
            message = f"{price.currency} is priced twice."
            faults.add(ErrorCode.INVALID_VALUE, message, "prices", index, "currency")
        shape.number(price.price, faults, "prices", index, "price")
        priced[price.currency] = price.price
    faults.raise_if_any()
    _check_identity(given.id, existing.id if existing else None, "chg", given.name, "name")
    return Charge(
        id=existing.id if existing else shape.as_id(given.id, "chg") if given.id else stamp.new_id("chg"),
        name=given.name,
        charge_model=given.charge_model,
        charge_type=given.charge_type,
        prices=priced,
        sku=given.sku,
        unit_of_measure=given.unit_of_measure,
        taxable=given.taxable,
        tax_mode=given.tax_mode,
        tax_code=given.tax_code,
        effective_start_date=start,
        effective_end_date=end,
        finance=drafts.finance(given.finance_information, NO_FINANCE),
    )


def payment_method(given: SyncedPaymentMethod, account_id: str) -> PaymentMethod:
    """Make the payment method that is told of; refuses a malformed id: INVALID_VALUE."""
    faults = Faults()
    shape.identifier(given.id, "pm", faults, "id")
    faults.raise_if_any()
    return PaymentMethod(
        id=shape.as_id(given.id, "pm"), account_id=account_id, type=given.type, electronic=given.electronic
    )


def _check_name(name: str, faults: Faults, *path: str | int) -> None:
    if not name.strip():
        faults.add(ErrorCode.FIELD_REQUIRED, f"{field_name(path[-1])} is blank.", *path)
    shape.text(name, limits.TEXT_LENGTH, faults, *path)


# --- past credit memos ------------------------------------------------------------------------------------------------


def credit_memo(
    given: SyncedCreditMemo,
    existing: CreditMemo | None,
    account_id: str,
    referred_invoice_id: str | None,
    currency: Currency,
    stamp: Stamp,
) -> CreditMemo:
    """Make the past credit memo that is told of, wholly unapplied, to be stored in place of the existing one.

    Refuses with shape faults, NUMBER_TAKEN where the number is that of a memo with another id, DOCUMENT_IN_USE where
    the existing one was applied, refunded or reversed, and ACCOUNT_MISMATCH or CURRENCY_MISMATCH where it would become
    another's, or of another currency.
    """
    _check_credit_memo(given, currency)
    _check_identity(given.id, existing.id if existing else None, "cm", given.number, "number")
    items = _credited_lines(given, existing, currency, stamp)
    drafts.check_total(items, "items")
    if existing is not None and (existing.is_used or existing.reversed):
        raise refuse(
            ErrorCode.DOCUMENT_IN_USE,
            f"Credit memo {existing.name} was applied, refunded or reversed: only an unused one can be replaced.",
        )
    if existing is not None:
        _check_stays(existing, account_id, currency)
    posted, canceled = given.status is MemoStatus.POSTED, given.status is MemoStatus.CANCELED
    draft = CreditMemo(
        id=existing.id if existing else shape.as_id(given.id, "cm") if given.id else stamp.new_id("cm"),
        number=given.number,
        account_id=account_id,
        currency=currency,
        status=MemoStatus.DRAFT if posted else given.status,
        credit_memo_date=given.credit_memo_date,
        source=given.source,
        source_type=given.source_type,
        items=items,
        source_id=given.source_id,
        target_date=given.target_date,
        referred_invoice_id=referred_invoice_id,
        reason_code=given.reason_code,
        comment=given.comment,
        auto_apply_upon_posting=given.auto_apply_upon_posting,
        exclude_from_auto_apply_rules=given.exclude_from_auto_apply_rules,
        revenue_impacting=given.revenue_impacting,
        transferred_to_accounting=given.transferred_to_accounting,
        posted_by_id=stamp.by if posted else None,
        posted_on=stamp.at if posted else None,
        cancelled_by_id=stamp.by if canceled else None,
        cancelled_on=stamp.at if canceled else None,
        custom_fields=drafts.custom_fields(given.custom_fields, {}),
        net_suite=drafts.net_suite(given.net_suite, {}),
        version=existing.version if existing else 1,
    )
    if not posted:
        return draft
    return replace(draft, status=MemoStatus.POSTED, parts=movement.first_part(draft, stamp))


def _check_stays(memo: CreditMemo, account_id: str, currency: Currency) -> None:
    """Refuse to make of a memo one of another account or currency, which its history and refunds would contradict."""
    faults = Faults()
    if account_id != memo.account_id:
        faults.add(
            ErrorCode.ACCOUNT_MISMATCH,
            f"Credit memo {memo.name} belongs to account {memo.account_id}: a memo stays with its account.",
            "account_key",
        )
    if currency.code != memo.currency.code:
        faults.add(
            ErrorCode.CURRENCY_MISMATCH,
            f"Credit memo {memo.name} is in {memo.currency.code}: a memo keeps its currency.",
            "currency",
        )
    faults.raise_if_any()


def _check_credit_memo(given: SyncedCreditMemo, currency: Currency) -> None:
    faults = Faults()
    shape.identifier(given.id, "cm", faults, "id")
    shape.document_number(given.number, faults, "number")
    shape.text(given.comment, limits.COMMENT_LENGTH, faults, "comment")
    for field in ("reason_code", "source_id"):
        shape.text(getattr(given, field), limits.TEXT_LENGTH, faults, field)
    shape.custom_fields(given.custom_fields, faults, "custom_fields")
    drafts.check_net_suite(given.net_suite, faults)
    if given.auto_apply_upon_posting and given.referred_invoice_key is None:
        faults.add(
            ErrorCode.INVALID_VALUE,
            "autoApplyUponPosting needs a referred invoice to apply to.",
            "auto_apply_upon_posting",
        )
    if not given.items:
        faults.add(ErrorCode.FIELD_REQUIRED, "items is empty: a credit memo has at least one line.", "items")
    claimed: set[str] = set()
    for index, item in enumerate(given.items):
        _check_credited_item(item, currency, faults, "items", index)
        drafts.check_applied_to(given.items, index, faults)
        for key in (item.id, *(tax.id for tax in item.tax_items or ())):
            if key is not None and key[-32:] in claimed:
                faults.add(ErrorCode.INVALID_VALUE, f"The id {key} is given to two lines.", "items", index)
            claimed.add((key or "")[-32:])
    faults.raise_if_any()


def _check_credited_item(
    item: SyncedCreditMemoItem,
    currency: Currency,
    faults: Faults,
    *path: str | int,
) -> None:
    shape.identifier(item.id, "cmi", faults, *path, "id")
    if item.source_item_type in _SOURCE_PREFIXES:
        prefix = _SOURCE_PREFIXES[item.source_item_type]
        shape.identifier(item.source_item_id, prefix, faults, *path, "source_item_id")
    shape.text(item.source_item_id, limits.TEXT_LENGTH, faults, *path, "source_item_id")
    _check_name(item.sku_name, faults, *path, "sku_name")
    is_discount = item.processing_type is ProcessingType.DISCOUNT
    if item.processing_type not in (ProcessingType.CHARGE, ProcessingType.DISCOUNT):
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"A credit memo's line is a CHARGE or a DISCOUNT, not {item.processing_type}.",
            *path,
            "processing_type",
        )
    amount = shape.amount(item.amount, currency, faults, *path, "amount")
    if is_discount and amount > 0:
        faults.add(ErrorCode.INVALID_VALUE, f"A discount of {item.amount}: it must be 0 or less.", *path, "amount")
    for field in ("sku", "description", "unit_of_measure", "subscription_id"):
        shape.text(getattr(item, field), limits.TEXT_LENGTH, faults, *path, field)
    shape.number(item.quantity, faults, *path, "quantity")
    shape.number(item.unit_price, faults, *path, "unit_price")
    drafts.check_service_dates(item.service_start_date, item.service_end_date, faults, *path)
    drafts.check_finance(item.finance_information, faults, *path)
    shape.custom_fields(item.custom_fields, faults, *path, "custom_fields")
    taxes = 0
    for place, tax in enumerate(item.tax_items or ()):
        taxes += _check_credited_tax(tax, is_discount or amount < 0, currency, faults, *path, "tax_items", place)
    if item.tax_mode is TaxMode.TAX_INCLUSIVE and abs(taxes) > abs(amount):
        faults.add(
            ErrorCode.INVALID_VALUE,
            f"The taxes, {currency.show(taxes)}, are more than the inclusive amount {item.amount}.",
            *path,
            "tax_items",
        )


def _check_credited_tax(
    tax: SyncedCreditMemoTaxItem, negative: bool, currency: Currency, faults: Faults, *path: str | int
) -> int:
    shape.identifier(tax.id, "cmt", faults, *path, "id")
    shape.identifier(tax.source_tax_item_id, "int", faults, *path, "source_tax_item_id")
    taxation.check_by_hand(tax, negative, currency, faults, *path)
    _check_name(tax.name, faults, *path, "name")
    return shape.amount(tax.tax_amount, currency, Faults())


def _credited_lines(
    given: SyncedCreditMemo, existing: CreditMemo | None, currency: Currency, stamp: Stamp
) -> tuple[CreditMemoItem, ...]:
    old = {item.id: item for item in existing.items} if existing else {}
    wanted = [item.id for item in given.items]
    ids = drafts.line_ids(wanted, list(old), drafts.claimed(wanted, "cmi"), "cmi", stamp)
    claimed = drafts.claimed((tax.id for item in given.items for tax in item.tax_items or ()), "cmt")
    places = count(1)
    lines = []
    for index, (item, item_id) in enumerate(zip(given.items, ids, strict=True)):
        asked = item.tax_items or ()
        old_taxes = [tax.id for tax in old[item_id].taxation_items] if item_id in old else []
        tax_ids = drafts.line_ids([tax.id for tax in asked], old_taxes, claimed, "cmt", stamp)
        taxes = tuple(
            replace(
                taxation.by_hand(tax, None, currency, id=tax_id, item_id=item_id, position=next(places)),
                source_tax_item_id=shape.as_id(tax.source_tax_item_id, "int") if tax.source_tax_item_id else None,
            )
            for tax, tax_id in zip(asked, tax_ids, strict=True)
        )
        target = item.applied_to_item_index
        lines.append(_credited_line(item, item_id, index + 1, None if target is None else ids[target], taxes, currency))
    return tuple(lines)


def _credited_line(
    given: SyncedCreditMemoItem,
    item_id: str,
    position: int,
    applied_to_item_id: str | None,
    taxes: tuple[TaxationItem, ...],
    currency: Currency,
) -> CreditMemoItem:
    amount = currency.amount(given.amount)
    is_gross = given.tax_mode is TaxMode.TAX_INCLUSIVE
    prefix = _SOURCE_PREFIXES.get(given.source_item_type)
    return CreditMemoItem(
        id=item_id,
        position=position,
        amount=amount,
        net=amount - sum(tax.tax_amount for tax in taxes) if is_gross else amount,
        sku_name=given.sku_name,
        source_item_type=given.source_item_type,
        source_item_id=shape.as_id(given.source_item_id, prefix) if prefix else given.source_item_id,
        tax_mode=given.tax_mode,
        processing_type=given.processing_type,
        applied_to_item_id=applied_to_item_id,
        sku=given.sku,
        description=given.description,
        quantity=given.quantity,
        unit_price=given.unit_price,
        unit_of_measure=given.unit_of_measure,
        service_start_date=given.service_start_date,
        service_end_date=given.service_end_date,
        subscription_id=given.subscription_id,
        exclude_item_billing_from_revenue_accounting=given.exclude_item_billing_from_revenue_accounting,
        finance=drafts.finance(given.finance_information, NO_FINANCE),
        custom_fields=drafts.custom_fields(given.custom_fields, {}),
        taxation_items=taxes,
    )
