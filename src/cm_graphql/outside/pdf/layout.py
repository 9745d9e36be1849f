"""A credit memo as the words and figures that a template sets: everything spelled, nothing left to compute."""

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from cm_graphql.domain.billing import Contact
from cm_graphql.domain.enums import MemoStatus, ProcessingType, TaxRateType
from cm_graphql.domain.paper import Paper
from cm_graphql.domain.records import CreditMemoItem, TaxationItem
from cm_graphql.outside.pdf.formats import Formats, country_code, formats
from cm_graphql.outside.pdf.wording import RIGHT_TO_LEFT, WORDS, words

ROWS_TOGETHER: Final = 12
"""A line stays on one page with so many of its taxes; a page holds several times that."""

_CODE_BEHIND: Final = frozenset({"AU", "CA", "US"})
_CODE_BELOW: Final = frozenset({"GB", "IE", "IN", "NZ", "SG", "ZA"})

_LONG = re.compile(r"[!-\u2fff]{25,}")
_BIT = re.compile(r".{6}(?=.)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff\u202a-\u202e\u2066-\u2069]")

Data = dict[str, Any]


def layout(paper: Paper) -> Data:
    """Everything that a template is given, as JSON can hold it; see the built-in template for what is what."""
    spelled = formats(paper.settings.pdf_locale)
    label = words(spelled.language)
    language = spelled.language if spelled.language in WORDS else "en"  # as the words are, so they hyphenate
    memo, settings = paper.memo, paper.settings
    status = {MemoStatus.DRAFT: label["draft"], MemoStatus.CANCELED: label["canceled"]}.get(memo.status)
    return {
        "language": language,
        "region": spelled.region,
        "rtl": language in RIGHT_TO_LEFT,
        "paper": settings.pdf_paper,
        "color": settings.pdf_color,
        "words": dict(label),
        "number": memo.name,
        "status": status,
        "company": {
            "name": _clean(settings.company_name),
            "lines": _split(settings.company_address),
            "tax_id": _clean(settings.company_tax_id),
        },
        "footer": _split(settings.pdf_footer),
        "bill_to": list(_bill_to(paper, spelled)),
        "facts": [[name, _clean(value)] for name, value in _facts(paper, spelled) if value],
        "comment": _clean(memo.comment or ""),
        "groups": [_group(item, paper, spelled) for item in memo.items],
        "taxes": list(_taxes(paper, spelled)),
        "totals": [[name, value] for name, value in _totals(paper, spelled)],
        "total": [label["total"], spelled.money(memo.amount, memo.currency)],
        "uses": [[name, value] for name, value in _uses(paper, spelled)],
    }


def _bill_to(paper: Paper, spelled: Formats) -> Iterator[str]:
    contact = paper.account.bill_to
    yield _clean(paper.account.name)
    if contact is None:
        return
    name = " ".join(filter(None, (contact.first_name, contact.last_name)))
    code = country_code(contact.country)
    country = contact.country if code is None else spelled.country(code)
    for line in (name, contact.address1, *_town(contact, code), country):
        if line and line != paper.account.name:
            yield from _split(line)


def _town(contact: Contact, country: str | None) -> Iterator[str]:
    """The lines of a town as the post of the country wants them: before, behind or below it stands the postal code."""
    code, city, state = contact.postal_code or "", contact.city or "", contact.state or ""
    if country in _CODE_BEHIND:
        region = " ".join(filter(None, (state, code)))
        yield (", " if country == "US" else " ").join(filter(None, (city, region)))
    elif country in _CODE_BELOW:
        yield from (city, state, code)
    else:
        yield from (" ".join(filter(None, (code, city))), state)


def _facts(paper: Paper, spelled: Formats) -> Iterator[tuple[str, str | None]]:
    label, memo = words(spelled.language), paper.memo
    yield label["number"], memo.name
    yield label["date"], spelled.date(memo.credit_memo_date)
    yield label["account"], paper.account.number
    yield label["invoice"], paper.invoice_number
    yield label["reason"], memo.reason_code
    yield label["currency"], memo.currency.code


def _group(item: CreditMemoItem, paper: Paper, spelled: Formats) -> Data:
    """A line with its taxes, which follow it in rows of their own."""
    label, currency = words(spelled.language), paper.memo.currency
    notes = []
    if item.processing_type is ProcessingType.DISCOUNT:
        notes.append(label["discount"])
    if item.description and item.description != item.sku_name:
        notes.append(item.description)
    if item.service_start_date and item.service_end_date:
        period = f"{spelled.date(item.service_start_date)} \N{EN DASH} {spelled.date(item.service_end_date)}"
        notes.append(f"{label['period']}: {period}")
    quantity = "" if item.quantity is None else spelled.number(item.quantity)
    return {
        "name": _clean(item.sku_name),
        "sku": _clean(item.sku or ""),
        "notes": [_clean(note) for note in notes],
        "quantity": quantity,
        "unit": _clean(item.unit_of_measure or "") if quantity else "",
        # A price without a quantity would seem not to add up to the amount.
        "price": spelled.number(item.unit_price, currency.decimals) if item.unit_price is not None and quantity else "",
        "amount": spelled.amount(item.net, currency),
        "taxes": [_tax(tax, paper, spelled) for tax in item.taxation_items],
        "together": ROWS_TOGETHER,
    }


def _tax(tax: TaxationItem, paper: Paper, spelled: Formats) -> Data:
    label, currency = words(spelled.language), paper.memo.currency
    exempt = f"{label['exempt']}: {spelled.amount(tax.exempt_amount, currency)}" if tax.exempt_amount else ""
    return {
        "name": _clean(tax.name),
        "rate": _rate(tax.tax_rate, tax.tax_rate_type, spelled),
        "note": _clean(" \N{MIDDLE DOT} ".join(filter(None, (tax.jurisdiction, exempt)))),
        "amount": spelled.amount(tax.tax_amount, currency),
    }


def _rate(rate: Decimal, kind: TaxRateType, spelled: Formats) -> str:
    return spelled.percent(rate) if kind is TaxRateType.PERCENTAGE else ""


def _taxes(paper: Paper, spelled: Formats) -> Iterator[list[str]]:
    """The rows of the table of taxes; those that would look alike are told apart by their jurisdictions."""
    currency, sums = paper.memo.currency, paper.taxes
    looks = [(tax.name, _rate(tax.rate, tax.rate_type, spelled)) for tax in sums]
    seen = Counter(looks)
    for (name, rate), tax in zip(looks, sums, strict=True):
        apart = seen[name, rate] > 1 and tax.jurisdiction
        yield [
            _clean(f"{name} ({tax.jurisdiction})" if apart else name),
            rate,
            spelled.amount(tax.base, currency),
            spelled.amount(tax.tax, currency),
        ]


def _totals(paper: Paper, spelled: Formats) -> Iterator[tuple[str, str]]:
    label, currency = words(spelled.language), paper.memo.currency
    yield label["net"], spelled.amount(paper.net, currency)
    yield label["total_tax"], spelled.amount(paper.memo.tax_amount, currency)


def _uses(paper: Paper, spelled: Formats) -> Iterator[tuple[str, str]]:
    """What became of the money; a draft's cannot have become anything."""
    label, memo = words(spelled.language), paper.memo
    if memo.status is not MemoStatus.POSTED:
        return
    yield label["applied"], spelled.amount(memo.applied, memo.currency)
    if memo.refunded:
        yield label["refunded"], spelled.amount(memo.refunded, memo.currency)
    yield label["unapplied"], spelled.amount(memo.unapplied, memo.currency)


def _split(text: str) -> list[str]:
    return [_clean(line) for line in text.splitlines() if line.strip()]


def _clean(text: str) -> str:
    """Take out what has no shape, and let words of any length break somewhere."""
    return _LONG.sub(lambda word: _BIT.sub("\\g<0>\N{ZERO WIDTH SPACE}", word[0]), _CONTROL.sub("", text))
