"""The electronic invoice inside a PDF: Factur-X (ZUGFeRD) of profile EN 16931, type 381, a credit note.

Written with the standard library; the extra `einvoice` checks it by the schema and puts it into the PDF.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from xml.etree import ElementTree

from cm_graphql.domain.enums import MemoStatus, TaxRateType
from cm_graphql.domain.money import SCALE
from cm_graphql.domain.paper import Paper
from cm_graphql.domain.records import CreditMemoItem
from cm_graphql.operations.document_ports import PdfFailed
from cm_graphql.outside.pdf.formats import country_code

CREDIT_NOTE: Final = "381"
GUIDELINE: Final = "urn:cen.eu:en16931:2017"
TOLERANCE: Final = SCALE
"""So far, and not quite, the tax of a rate may be from that share of its basis (BR-CO-17, BR-S-09): one unit of any
currency, since the taxes of the lines were rounded before they were summed."""

_NAMESPACES: Final = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Category = tuple[str, Decimal]
"""A VAT category of UNTDID 5305, and its rate in percent."""

for _prefix, _uri in _NAMESPACES.items():
    ElementTree.register_namespace(_prefix, _uri)


def attach(pdf: bytes, paper: Paper) -> bytes:
    """Put the electronic invoice of a posted memo into its PDF; a draft has none. Raises PdfFailed."""
    if paper.memo.status is not MemoStatus.POSTED:
        return pdf
    try:
        from facturx import generate_from_binary  # costs a second, which few need
    except ImportError:
        raise _invalid("the server lacks the extra `einvoice`: pip install 'cm-graphql[einvoice]'") from None
    try:
        made: bytes = generate_from_binary(
            pdf,
            xml(paper),
            flavor="factur-x",
            level="en16931",
            check_xsd=True,
            lang=paper.settings.pdf_locale.replace("_", "-"),
            afrelationship="alternative",
        )
    except PdfFailed:
        raise
    except Exception as error:  # the library raises what it likes
        raise _invalid(str(error).partition("\n")[0][:300]) from error
    return bytes(made)


def xml(paper: Paper) -> bytes:
    """Write the invoice; raises PdfFailed where the memo cannot be told as one."""
    memo = paper.memo
    root = ElementTree.Element(_name("rsm:CrossIndustryInvoice"))
    context = _add(root, "rsm:ExchangedDocumentContext")
    _add(_add(context, "ram:GuidelineSpecifiedDocumentContextParameter"), "ram:ID", GUIDELINE)
    document = _add(root, "rsm:ExchangedDocument")
    _add(document, "ram:ID", memo.name)
    _add(document, "ram:TypeCode", CREDIT_NOTE)
    _add_day(_add(document, "ram:IssueDateTime"), memo.credit_memo_date)
    if memo.comment:
        _add(_add(document, "ram:IncludedNote"), "ram:Content", memo.comment)
    trade = _add(root, "rsm:SupplyChainTradeTransaction")
    for place, item in enumerate(memo.items, start=1):
        _add_line(trade, place, item, paper)
    _add_parties(_add(trade, "ram:ApplicableHeaderTradeAgreement"), paper)
    _add(trade, "ram:ApplicableHeaderTradeDelivery")
    _add_settlement(_add(trade, "ram:ApplicableHeaderTradeSettlement"), paper)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _add_line(trade: ElementTree.Element, place: int, item: CreditMemoItem, paper: Paper) -> None:
    line = _add(trade, "ram:IncludedSupplyChainTradeLineItem")
    _add(_add(line, "ram:AssociatedDocumentLineDocument"), "ram:LineID", str(place))
    product = _add(line, "ram:SpecifiedTradeProduct")
    if item.sku:
        _add(product, "ram:SellerAssignedID", item.sku)
    _add(product, "ram:Name", item.sku_name)
    if item.description:
        _add(product, "ram:Description", item.description)
    quantity, price = _quantity_and_price(item)
    agreement = _add(line, "ram:SpecifiedLineTradeAgreement")
    _add(_add(agreement, "ram:NetPriceProductTradePrice"), "ram:ChargeAmount", f"{price:f}")
    delivery = _add(line, "ram:SpecifiedLineTradeDelivery")
    _add(delivery, "ram:BilledQuantity", f"{quantity:f}", unitCode="C62")
    settlement = _add(line, "ram:SpecifiedLineTradeSettlement")
    category, rate = _category(item)
    tax = _add(settlement, "ram:ApplicableTradeTax")
    _add(tax, "ram:TypeCode", "VAT")
    _add(tax, "ram:CategoryCode", category)
    _add(tax, "ram:RateApplicablePercent", f"{rate:f}")
    if item.service_start_date and item.service_end_date:
        period = _add(settlement, "ram:BillingSpecifiedPeriod")
        _add_day(_add(period, "ram:StartDateTime"), item.service_start_date)
        _add_day(_add(period, "ram:EndDateTime"), item.service_end_date)
    total = _add(settlement, "ram:SpecifiedTradeSettlementLineMonetarySummation")
    _add(total, "ram:LineTotalAmount", paper.memo.currency.show(item.net))


def _quantity_and_price(item: CreditMemoItem) -> tuple[Decimal, Decimal]:
    """What multiplies to the net, the price being none below 0; where the line's own do not, one piece of it all."""
    net = Decimal(item.net) / SCALE
    quantity, price = item.quantity, item.unit_price
    if quantity and price is not None and price >= 0 and quantity * price == net:
        return quantity, price
    return Decimal(1 if net >= 0 else -1), abs(net)


def _add_parties(agreement: ElementTree.Element, paper: Paper) -> None:
    settings, account = paper.settings, paper.account
    if not settings.company_name or not settings.company_country:
        raise _invalid("it names its issuer: set companyName and companyCountry")
    if not settings.company_tax_id:
        raise _invalid("it names the number under which its issuer pays tax: set companyTaxId")
    seller = _add(agreement, "ram:SellerTradeParty")
    _add(seller, "ram:Name", settings.company_name)
    address = _add(seller, "ram:PostalTradeAddress")
    for name, line in zip(("LineOne", "LineTwo", "LineThree"), settings.company_address.splitlines(), strict=False):
        _add(address, f"ram:{name}", line)
    _add(address, "ram:CountryID", settings.company_country)
    _add(_add(seller, "ram:SpecifiedTaxRegistration"), "ram:ID", settings.company_tax_id, schemeID="VA")
    buyer = _add(agreement, "ram:BuyerTradeParty")
    _add(buyer, "ram:ID", account.number)
    _add(buyer, "ram:Name", account.name)
    contact = account.bill_to
    country = country_code(contact.country if contact else None)
    if contact is None or country is None:
        raise _invalid(
            f"it names the buyer's country: give the bill-to contact of account {account.number} one by the two "
            "letters of ISO 3166"
        )
    address = _add(buyer, "ram:PostalTradeAddress")
    parts = {"PostcodeCode": contact.postal_code, "LineOne": contact.address1, "CityName": contact.city}
    for name, text in parts.items():
        if text:
            _add(address, f"ram:{name}", text)
    _add(address, "ram:CountryID", country)


def _add_settlement(settlement: ElementTree.Element, paper: Paper) -> None:
    memo, show = paper.memo, paper.memo.currency.show
    _add(settlement, "ram:InvoiceCurrencyCode", memo.currency.code)
    for (category, rate), base, amount in _taxes(paper):
        tax = _add(settlement, "ram:ApplicableTradeTax")
        _add(tax, "ram:CalculatedAmount", show(amount))
        _add(tax, "ram:TypeCode", "VAT")
        if category == "E":
            _add(tax, "ram:ExemptionReason", "Exempt from tax")
        _add(tax, "ram:BasisAmount", show(base))
        _add(tax, "ram:CategoryCode", category)
        _add(tax, "ram:RateApplicablePercent", f"{rate:f}")
    _add(_add(settlement, "ram:SpecifiedTradePaymentTerms"), "ram:Description", "Credited to the account")
    total = _add(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation")
    _add(total, "ram:LineTotalAmount", show(paper.net))
    _add(total, "ram:TaxBasisTotalAmount", show(paper.net))
    _add(total, "ram:TaxTotalAmount", show(memo.tax_amount), currencyID=memo.currency.code)
    _add(total, "ram:GrandTotalAmount", show(memo.amount))
    _add(total, "ram:DuePayableAmount", show(memo.amount))
    if paper.invoice_number:
        _add(_add(settlement, "ram:InvoiceReferencedDocument"), "ram:IssuerAssignedID", paper.invoice_number)


def _taxes(paper: Paper) -> Iterator[tuple[Category, int, int]]:
    """Base and tax of each category and rate, in ten-thousandths; raises PdfFailed where one is not the rate's."""
    sums: dict[Category, list[int]] = {}
    for item in paper.memo.items:
        found = sums.setdefault(_category(item), [0, 0])
        found[0] += item.net
        found[1] += item.tax
    for (category, rate), (base, tax) in sums.items():
        by_rate = (base * rate / 10_000).quantize(Decimal(1), ROUND_HALF_UP) * 100  # in hundredths, as the rule has it
        if abs(tax - by_rate) >= TOLERANCE or (tax and not rate):
            show = paper.memo.currency.show
            raise _invalid(
                f"its tax is its rate of the net, and the lines at {rate:f} % have a net of {show(base)} and a tax of "
                f"{show(tax)}, where {rate:f} % are {by_rate / SCALE:.2f}. Give the lines their tax by its rate; a "
                "memo of tax alone has a PDF only while the setting einvoice is false"
            )
        yield (category, rate), base, tax


def _category(item: CreditMemoItem) -> Category:
    """The one VAT rate of a line: standard, zero-rated or exempt; more than one has no place in the standard."""
    if len(item.taxation_items) > 1 or any(
        tax.tax_rate_type is not TaxRateType.PERCENTAGE for tax in item.taxation_items
    ):
        raise _invalid(f"a line has at most one tax, by a rate in percent, and {item.sku_name[:60]!r} has another")
    for tax in item.taxation_items:
        rate = (tax.tax_rate * 100).normalize()
        if tax.exempt_amount and not tax.tax_amount:
            return "E", Decimal(0)
        if rate:
            return "S", rate
    return "Z", Decimal(0)


def _add_day(parent: ElementTree.Element, day: date) -> None:
    _add(parent, "udt:DateTimeString", day.strftime("%Y%m%d"), format="102")


def _add(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, _name(name), attributes)
    if text is not None:
        made.text = _NOT_XML.sub("", text)
    return made


def _name(prefixed: str) -> str:
    prefix, _, local = prefixed.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


def _invalid(why: str) -> PdfFailed:
    return PdfFailed("INVALID_EINVOICE", f"The electronic invoice cannot be made: {why}.")
