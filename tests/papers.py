"""Papers to print, each in a line: what a test does not say is an ordinary memo of three lines."""

import io
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pypdf import PdfReader

from cm_graphql.domain import movement
from cm_graphql.domain.billing import Account, Contact
from cm_graphql.domain.enums import ItemSourceType, MemoSource, MemoStatus, ProcessingType, SourceType
from cm_graphql.domain.money import Currency
from cm_graphql.domain.paper import Paper
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, Stamp, TaxationItem
from cm_graphql.domain.rulebook import TenantSettings

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)
USD, JPY, KWD = Currency("USD", 2), Currency("JPY", 0), Currency("KWD", 3)
CONTACT = Contact(
    id=f"con_{1:032x}",
    first_name="Ada",
    last_name="Lovelace",
    work_email="ada@acme.example",
    address1="12 St James's Square",
    city="London",
    postal_code="SW1Y 4JH",
    country="GB",
)


def a_line(place: int, amount: str, *taxes: tuple[str, str, str], currency: Currency = USD, **fields: Any) -> Any:
    """A line of a memo; each tax has a name, a rate and an amount, and a negative line is a discount."""
    net = currency.amount(Decimal(amount))
    item_id = f"cmi_{place:032x}"
    given: dict[str, Any] = {
        "sku_name": f"Seats {place}",
        "processing_type": ProcessingType.DISCOUNT if net < 0 else ProcessingType.CHARGE,
        **fields,
    }
    return CreditMemoItem(
        id=item_id,
        position=place,
        amount=net,
        net=net,
        source_item_type=ItemSourceType.INVOICE_DETAIL,
        source_item_id=f"ini_{place:032x}",
        taxation_items=tuple(
            TaxationItem(
                id=f"cmt_{place * 1000 + number:032x}",
                item_id=item_id,
                position=number,
                name=name,
                tax_rate=Decimal(rate),
                tax_amount=currency.amount(Decimal(tax)),
                jurisdiction="UK",
            )
            for number, (name, rate, tax) in enumerate(taxes)
        ),
        **given,
    )


ORDINARY = (
    a_line(1, "200.00", ("VAT", "0.2", "40.00"), quantity=Decimal(4), unit_price=Decimal(50)),
    a_line(2, "-20.00", ("VAT", "0.2", "-4.00")),
    a_line(3, "15.50", ("Reduced VAT", "0.05", "0.78")),
)


def a_paper(
    items: Sequence[Any] = ORDINARY,
    *,
    currency: Currency = USD,
    posted: bool = True,
    account: str = "Acme Trading Ltd",
    contact: Contact | None = CONTACT,
    comment: str | None = "Four seats came back",
    **settings: Any,
) -> Paper:
    """A memo as it is printed; `settings` are the tenant's."""
    memo = CreditMemo(
        id=f"cm_{1:032x}",
        number="CM00000001",
        account_id=f"acc_{1:032x}",
        currency=currency,
        status=MemoStatus.DRAFT,
        credit_memo_date=date(2026, 3, 15),
        source=MemoSource.ADHOC_FROM_INVOICE,
        source_type=SourceType.INVOICE,
        items=tuple(items),
        comment=comment,
        reason_code="Unsatisfactory Service",
    )
    if posted:
        count = itertools.count(1)
        stamp = Stamp(by="usr_test", at=AT, today=AT.date(), new_id=lambda prefix: f"{prefix}_{next(count):032x}")
        memo = replace(memo, status=MemoStatus.POSTED, parts=movement.first_part(memo, stamp))
    chosen: dict[str, Any] = {
        "company_name": "Nimbus Software Inc.",
        "company_address": "1 Market Street\nSan Francisco",
        "company_country": "US",
        "company_tax_id": "US123456789",
        **settings,
    }
    return Paper(
        memo=memo,
        account=Account(id=memo.account_id, number="A00001", name=account, currency=currency.code, bill_to=contact),
        settings=TenantSettings(**chosen),
        invoice_number="INV00000003",
    )


def pages(pdf: bytes) -> list[str]:
    """What each page says."""
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf), strict=True).pages]
