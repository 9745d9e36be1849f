"""Requests that make and change drafts, in short, and what becomes of an invoice that was credited."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from cm_graphql.domain import creation
from cm_graphql.domain.billing import Account, Charge, Contact
from cm_graphql.domain.charges import NO_QUOTES, Quotes
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import (
    CreditMemoFromCharges,
    CreditMemoFromInvoice,
    CreditMemoItemFromCharge,
    CreditMemoItemFromInvoice,
    CreditMemoTaxItem,
)
from cm_graphql.domain.enums import ChargeModel, ChargeType, TaxEngineKind
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CreditMemo, Invoice, InvoiceItem, InvoiceTax, Stamp
from cm_graphql.domain.rulebook import RuleBook
from makers import USD, Amount, a_book, a_stamp, an_invoice, an_invoice_item, an_invoice_tax, ids

TAXED = an_invoice(an_invoice_item("100.00", an_invoice_tax("10.00")))
"""An invoice of 100.00 with 10 % tax by hand."""

_NEW_IDS = ids()


def the_stamp() -> Stamp:
    """Who acts here: its ids are new each time, so that what is changed meets nothing that was made before."""
    return a_stamp(new_id=_NEW_IDS)


def engine_tax(amount: Amount, rate: str, **fields: Any) -> InvoiceTax:
    """A tax that the built-in engine computed."""
    return an_invoice_tax(amount, tax_rate=Decimal(rate), engine=TaxEngineKind.ZUORA_TAX, **fields)


def credit(source: InvoiceItem, amount: str, **fields: Any) -> CreditMemoItemFromInvoice:
    """A line that credits an invoice item under its own name."""
    given: dict[str, Any] = {"sku_name": source.charge_name, **fields}
    return CreditMemoItemFromInvoice(invoice_item_id=Key(source.id), amount=Decimal(amount), **given)


def by_hand(amount: str | None, **fields: Any) -> CreditMemoTaxItem:
    """A tax given by hand."""
    return CreditMemoTaxItem(tax_amount=None if amount is None else Decimal(amount), **fields)


def asking(invoice: Invoice, *items: CreditMemoItemFromInvoice | str, **fields: Any) -> CreditMemoFromInvoice:
    """A request to credit an invoice; a bare amount credits its first item."""
    lines = tuple(credit(invoice.items[0], item) if isinstance(item, str) else item for item in items)
    return CreditMemoFromInvoice(invoice_key=Key(invoice.id), items=lines, **fields)


def draft(
    invoice: Invoice,
    *items: CreditMemoItemFromInvoice | str,
    book: RuleBook | None = None,
    currency: Currency = USD,
    stamp: Stamp | None = None,
    **fields: Any,
) -> CreditMemo:
    """The draft that a request makes of an invoice."""
    command = asking(invoice, *items, **fields)
    return creation.from_invoice(command, invoice, currency, book or a_book(), stamp or the_stamp(), "CM00000001")


def after_posting(invoice: Invoice, memo: CreditMemo) -> Invoice:
    """The invoice as the next credit meets it, once this memo is posted (domain.md 4.3)."""
    nets: dict[str, int] = {}
    taxes: dict[str | None, int] = {}
    for line in memo.items:
        nets[line.source_item_id] = nets.get(line.source_item_id, 0) + line.net
        for tax in line.taxation_items:
            taxes[tax.source_tax_item_id] = taxes.get(tax.source_tax_item_id, 0) + tax.tax_amount
    return replace(
        invoice,
        credited_by_memos=invoice.credited_by_memos + memo.amount,
        tax_credited_by_memos=invoice.tax_credited_by_memos + memo.tax_amount,
        items=tuple(
            replace(
                item,
                credited_by_memos=item.credited_by_memos + nets.get(item.id, 0),
                taxes=tuple(
                    replace(tax, credited_by_memos=tax.credited_by_memos + taxes.get(tax.id, 0)) for tax in item.taxes
                ),
            )
            for item in invoice.items
        ),
    )


# --- standing alone ---------------------------------------------------------------------------------------------------

ACCOUNT = Account(
    id=f"acc_{1:032x}",
    number="A00000001",
    name="Lovelace",
    currency="USD",
    bill_to=Contact(id=f"con_{1:032x}", country="US", state="CA", city="Oakland"),
)


def a_charge(price: str | None = "20.00", number: int = 1, **fields: Any) -> Charge:
    """A charge of the catalog: a flat fee in US dollars unless told otherwise."""
    given: dict[str, Any] = {
        "id": f"chg_{number:032x}",
        "name": "Support",
        "charge_model": ChargeModel.FLAT_FEE,
        "charge_type": ChargeType.RECURRING,
        "prices": {} if price is None else {"USD": Decimal(price)},
    }
    return Charge(**{**given, **fields})


def of_charge(charge: Charge, amount: str | None = None, **fields: Any) -> CreditMemoItemFromCharge:
    """A line made from a charge."""
    value = None if amount is None else Decimal(amount)
    return CreditMemoItemFromCharge(product_rate_plan_charge_id=Key(charge.id), amount=value, **fields)


def asking_charges(*items: CreditMemoItemFromCharge, **fields: Any) -> CreditMemoFromCharges:
    """A request for a memo that stands alone."""
    return CreditMemoFromCharges(account_key=Key(ACCOUNT.id), charges=items, **fields)


def catalog(*charges: Charge) -> Mapping[str, Charge]:
    """Charges by id."""
    return {charge.id: charge for charge in charges}


def draft_of(
    command: CreditMemoFromCharges,
    *charges: Charge,
    currency: Currency = USD,
    book: RuleBook | None = None,
    quotes: Quotes = NO_QUOTES,
) -> CreditMemo:
    """The draft that a request makes of charges."""
    return creation.from_charges(
        command, ACCOUNT, catalog(*charges), currency, book or a_book(), the_stamp(), "CM00000001", quotes
    )
