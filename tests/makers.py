"""Makers of documents for tests: each has defaults for everything, so that a test says only what it is about.

Amounts are given as a person writes them, `"12.50"`, and become ten-thousandths here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from cm_graphql.domain.enums import (
    ItemSourceType,
    MemoSource,
    MemoStatus,
    ProcessingType,
    ReasonCodeType,
    SourceType,
)
from cm_graphql.domain.money import SCALE, Currency
from cm_graphql.domain.records import (
    CreditLine,
    CreditMemo,
    CreditMemoItem,
    Invoice,
    InvoiceItem,
    InvoiceTax,
    ItemPart,
    Part,
    Period,
    Stamp,
    Target,
    TargetLine,
    TaxationItem,
)
from cm_graphql.domain.rulebook import ReasonCode, RuleBook, TenantSettings

USD = Currency("USD", 2)
JPY = Currency("JPY", 0)
CHF_CASH = Currency("CHF", 2, increment=500)
"""Swiss francs spread in steps of 0.05."""

TODAY = date(2026, 3, 15)
NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)

Amount = str | int | Decimal


def units(amount: Amount) -> int:
    """Ten-thousandths of an amount as a person writes it."""
    return int(Decimal(amount) * SCALE)


def ids() -> Callable[[str], str]:
    """A fresh source of ids, which count up: `cmi_00000000000000000000000000000001`."""
    numbers = count(1)
    return lambda prefix: f"{prefix}_{next(numbers):032x}"


def a_stamp(today: date = TODAY, by: str = "usr_tester", new_id: Callable[[str], str] | None = None) -> Stamp:
    """Who acts, when, and where new ids come from; its ids do not meet those that the makers give."""
    made = new_id or ids()
    return Stamp(by=by, at=NOW, today=today, new_id=lambda prefix: made(prefix).replace("_0", "_f", 1))


REASON_CODES = (
    ReasonCode(name="Correcting invoice error", type=ReasonCodeType.CREDIT_MEMO, is_default=True),
    ReasonCode(name="Correcting invoice error", type=ReasonCodeType.DEBIT_MEMO, is_default=True),
    ReasonCode(name="Credit memo reversal", type=ReasonCodeType.DEBIT_MEMO),
    ReasonCode(name="Write-off", type=ReasonCodeType.DEBIT_MEMO),
    ReasonCode(name="Charge Dispute", type=ReasonCodeType.DEBIT_MEMO, active=False),
    ReasonCode(name="Standard Refund", type=ReasonCodeType.CREDIT_MEMO_REFUND, is_default=True),
    ReasonCode(name="Customer Request", type=ReasonCodeType.CREDIT_MEMO_REFUND),
)


def a_book(*, closed: Iterable[tuple[date, date]] = (), **settings: Any) -> RuleBook:
    """A tenant's rules: the settings named, the defaults for the rest; `closed` are spans of closed periods."""
    return RuleBook(
        settings=TenantSettings(**settings),
        closed_periods=tuple(
            Period(name=f"P{number}", start_date=start, end_date=end, closed=True)
            for number, (start, end) in enumerate(closed, 1)
        ),
        reason_codes=REASON_CODES,
    )


# --- credit memos -----------------------------------------------------------------------------------------------------


def a_tax(amount: Amount = "1.00", **fields: Any) -> TaxationItem:
    """A taxation item; `an_item` gives it the id of its line."""
    given: dict[str, Any] = {"id": "", "item_id": "", "position": 0, "name": "VAT", "jurisdiction": "CA"}
    return TaxationItem(**{**given, "tax_rate": Decimal("0.1"), "tax_amount": units(amount), **fields})


def an_item(amount: Amount = "10.00", /, *taxes: TaxationItem, **fields: Any) -> CreditMemoItem:
    """A line of a credit memo with its taxes; `a_memo` gives it id and position."""
    net = units(amount)
    given: dict[str, Any] = {
        "id": "",
        "position": 0,
        "amount": net,
        "net": net,
        "sku_name": "Seats",
        "source_item_type": ItemSourceType.PRODUCT_RATE_PLAN_CHARGE,
        "source_item_id": f"chg_{1:032x}",
        "processing_type": ProcessingType.DISCOUNT if net < 0 else ProcessingType.CHARGE,
        "taxation_items": taxes,
    }
    return CreditMemoItem(**{**given, **fields})


def a_memo(
    *items: CreditMemoItem | Amount,
    status: MemoStatus = MemoStatus.POSTED,
    number: int = 1,
    currency: Currency = USD,
    **fields: Any,
) -> CreditMemo:
    """A credit memo, posted and wholly unapplied unless told otherwise; a bare amount is a line of it.

    Its number tells it from others: lines are named `cmi_<number><line>` and `cmt_<number><line>`.
    """
    lines = [item if isinstance(item, CreditMemoItem) else an_item(item) for item in items or ("10.00",)]
    named = tuple(_named(item, number, position) for position, item in enumerate(lines, 1))
    given: dict[str, Any] = {
        "id": f"cm_{number:032x}",
        "number": f"CM{number:08d}",
        "account_id": f"acc_{1:032x}",
        "currency": currency,
        "status": status,
        "credit_memo_date": date(2026, 3, 1),
        "source": MemoSource.ADHOC_FROM_PRPC,
        "source_type": SourceType.STANDALONE,
        "items": named,
    }
    if status is MemoStatus.POSTED:
        parts = _unapplied_part(number, named)
        given.update(parts=parts, posted_by_id="usr_tester", posted_on=NOW)
    return CreditMemo(**{**given, **fields})


def _unapplied_part(memo: int, items: Iterable[CreditMemoItem]) -> tuple[Part, ...]:
    """What is unapplied of a posted memo, as the database holds it."""
    lines: list[CreditLine] = []
    for item in items:
        lines.extend((item, *item.taxation_items))
    open_lines = [line for line in lines if line.unapplied]
    item_parts = tuple(
        ItemPart(id=f"cip_{memo:016x}{position:016x}", position=position, amount=line.unapplied, source_id=line.id)
        for position, line in enumerate(open_lines, 1)
    )
    return (Part(id=f"cmp_{memo:032x}", target_id=None, item_parts=item_parts),) if item_parts else ()


def _named(item: CreditMemoItem, memo: int, position: int) -> CreditMemoItem:
    item_id = item.id or f"cmi_{memo:016x}{position:016x}"
    return replace(
        item,
        id=item_id,
        position=position,
        taxation_items=tuple(
            replace(tax, id=tax.id or f"cmt_{memo:016x}{position:08x}{place:08x}", item_id=item_id, position=place)
            for place, tax in enumerate(item.taxation_items, 1)
        ),
    )


# --- what money is applied to -----------------------------------------------------------------------------------------


def a_target(
    *lines: Amount | Sequence[Amount], number: int = 1, debit_memo: bool = False, currency: str = "USD", **fields: Any
) -> Target:
    """An open invoice or debit memo: an amount is an item, a sequence is an item followed by its taxes.

    Lines are named like those of memos: `ini_` and `int_`, or `dmi_` and `dmt_`.
    """
    item_prefix, tax_prefix = ("dmi", "dmt") if debit_memo else ("ini", "int")
    made: list[TargetLine] = []
    for position, line in enumerate(lines or ("10.00",), 1):
        net, *taxes = line if isinstance(line, list | tuple) else (line,)
        item_id = f"{item_prefix}_{number:016x}{position:016x}"
        made.append(TargetLine(id=item_id, worth=units(net)))
        made.extend(
            TargetLine(
                id=f"{tax_prefix}_{number:016x}{position:08x}{place:08x}",
                worth=units(tax),
                item_id=item_id,
                name="VAT",
                jurisdiction="CA",
                tax_rate=Decimal("0.1"),
            )
            for place, tax in enumerate(taxes, 1)
        )
    given: dict[str, Any] = {
        "id": f"{'dm' if debit_memo else 'inv'}_{number:032x}",
        "number": f"{'DM' if debit_memo else 'INV'}{number:08d}",
        "account_id": f"acc_{1:032x}",
        "currency": currency,
        "status": MemoStatus.POSTED,
        "document_date": date(2026, 2, 1),
        "lines": tuple(made),
    }
    return Target(**{**given, **fields})


# --- what memos are made from -----------------------------------------------------------------------------------------


def an_invoice_tax(amount: Amount = "1.00", **fields: Any) -> InvoiceTax:
    """A taxation item of an invoice, nothing of it credited; `an_invoice_item` gives it the id of its line."""
    given: dict[str, Any] = {"id": "", "item_id": "", "name": "VAT", "jurisdiction": "CA", "credited_by_memos": 0}
    return InvoiceTax(**{**given, "tax_rate": Decimal("0.1"), "tax_amount": units(amount), **fields})


def an_invoice_item(amount: Amount = "10.00", *taxes: InvoiceTax, **fields: Any) -> InvoiceItem:
    """A line of an invoice with its taxes, nothing of it credited; `an_invoice` gives it its id."""
    given: dict[str, Any] = {"id": "", "charge_name": "Seats", "charge_amount": units(amount), "credited_by_memos": 0}
    if units(amount) < 0:
        given["processing_type"] = ProcessingType.DISCOUNT
    return InvoiceItem(**{**given, "taxes": taxes, **fields})


def an_invoice(*items: InvoiceItem | Amount, number: int = 1, currency: str = "USD", **fields: Any) -> Invoice:
    """A posted invoice of which nothing was credited; its lines are named as `a_target` names them."""
    named: list[InvoiceItem] = []
    for position, given in enumerate(items or ("10.00",), 1):
        item = given if isinstance(given, InvoiceItem) else an_invoice_item(given)
        item_id = item.id or f"ini_{number:016x}{position:016x}"
        taxes = tuple(
            replace(tax, id=tax.id or f"int_{number:016x}{position:08x}{place:08x}", item_id=item_id)
            for place, tax in enumerate(item.taxes, 1)
        )
        named.append(replace(item, id=item_id, taxes=taxes))
    given_fields: dict[str, Any] = {
        "id": f"inv_{number:032x}",
        "number": f"INV{number:08d}",
        "account_id": f"acc_{1:032x}",
        "currency": currency,
        "status": MemoStatus.POSTED,
        "invoice_date": date(2026, 2, 1),
        "credited_by_memos": 0,
        "tax_credited_by_memos": 0,
        "items": tuple(named),
    }
    return Invoice(**{**given_fields, **fields})
