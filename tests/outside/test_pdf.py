"""PDFs read back: that they say what the memo says, on every page what belongs there, and are what they claim to be."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import facturx
import pytest
from lxml import etree
from pypdf import PdfReader

from cm_graphql.domain.paper import Paper
from cm_graphql.domain.records import CreditMemoItem
from cm_graphql.operations.document_ports import PdfFailed
from cm_graphql.outside.pdf import BadFolder, TypstPrinter, formats, layout
from cm_graphql.outside.pdf.wording import WORDS
from documentation import DOCS, blocks
from papers import AT, CONTACT, JPY, KWD, USD, a_line, a_paper, pages

PRINTER = TypstPrinter(system_fonts=False)
LEFT_TO_RIGHT, RIGHT_TO_LEFT = "\N{LEFT-TO-RIGHT MARK}", "\N{RIGHT-TO-LEFT MARK}"


def numbered(text: str, locale: str) -> Paper:
    paper = a_paper(pdf_locale=locale)
    return replace(paper, memo=replace(paper.memo, number=text))


def in_a_line(locale: str, **fields: Any) -> Paper:
    return a_paper([a_line(1, "1.00", quantity=Decimal(1), **fields)], pdf_locale=locale)


PLACES: dict[str, Callable[[str, str], Paper]] = {
    "facts": numbered,
    "company name": lambda text, locale: a_paper(company_name=text, pdf_locale=locale),
    "company address": lambda text, locale: a_paper(company_address=text, pdf_locale=locale),
    "bill-to": lambda text, locale: a_paper(account=text, pdf_locale=locale),
    "comment": lambda text, locale: a_paper(comment=text, pdf_locale=locale),
    "footer": lambda text, locale: a_paper(pdf_footer=text, pdf_locale=locale),
    "name of a line": lambda text, locale: in_a_line(locale, sku_name=text),
    "description of a line": lambda text, locale: in_a_line(locale, description=text),
    "unit": lambda text, locale: in_a_line(locale, unit_of_measure=text),
    "tax": lambda text, locale: a_paper([a_line(1, "1.00", (text, "0.2", "0.20"))], pdf_locale=locale),
}
"""Where texts of others stand in a PDF: a paper that has one there."""


def printed(paper: Paper) -> list[str]:
    return pages(PRINTER.print(paper, AT))


def test_a_page_says_who_credits_whom_for_what_and_how_much() -> None:
    (page,) = printed(a_paper(pdf_footer="IBAN GB33 BUKB 2020 1555 5555 55"))

    for text in (
        "Nimbus Software Inc.", "1 Market Street", "US123456789", "Acme Trading Ltd", "Ada Lovelace",
        "London\nSW1Y 4JH\nUnited Kingdom",
        "CM00000001", "Mar 15, 2026", "A00001", "INV00000003", "Unsatisfactory Service", "Four seats came back",
        "Seats 1", "200.00", "50.00", "40.00", "\N{MINUS SIGN}20.00", "Discount", "VAT 20%", "Reduced VAT 5%",
        "USD 232.28".replace(" ", "\N{NO-BREAK SPACE}"), "IBAN GB33", "Page 1 of 1",
    ):  # fmt: skip
        assert text in page, f"{text!r} is missing"


def test_taxes_are_summed_by_rate_and_the_totals_add_up() -> None:
    data = layout.layout(a_paper())

    assert data["taxes"] == [["VAT", "20%", "180.00", "36.00"], ["Reduced VAT", "5%", "15.50", "0.78"]]
    assert data["totals"] == [["Net amount", "195.50"], ["Tax", "36.78"]]
    assert data["total"] == ["Total credit", "USD\N{NO-BREAK SPACE}232.28"]
    assert data["uses"] == [["Applied", "0.00"], ["Unapplied", "232.28"]]


def test_taxes_of_one_name_and_rate_are_summed_and_told_apart_by_jurisdiction() -> None:
    taxes = ("Sales tax", "0.01", "5.00"), ("Sales tax", "0.01", "5.00"), ("State tax", "0.04", "20.00")
    off = ("Sales tax", "0.01", "-0.50"), ("Sales tax", "0.01", "-0.50"), ("State tax", "0.04", "-2.00")
    places = "County", "City", "State"
    paper = a_paper([raised_by(a_line(1, "500.00", *taxes), *places), raised_by(a_line(2, "-50.00", *off), *places)])

    assert layout.layout(paper)["taxes"] == [
        ["Sales tax (County)", "1%", "450.00", "4.50"],
        ["Sales tax (City)", "1%", "450.00", "4.50"],
        ["State tax", "4%", "450.00", "18.00"],
    ]
    assert "Sales tax (City) 1% 450.00 4.50" in printed(paper)[0]


def test_a_line_with_two_taxes_of_one_row_counts_once_in_its_base() -> None:
    twice = [("VAT", "0.1", "10.00"), ("VAT", "0.1", "10.00")]
    paper = a_paper([a_line(1, "100.00", *twice), a_line(2, "30.00", ("VAT", "0.10", "3.00"))])

    assert layout.layout(paper)["taxes"] == [["VAT", "10%", "130.00", "23.00"]]


def raised_by(item: CreditMemoItem, *jurisdictions: str) -> CreditMemoItem:
    """The line, each of its taxes being raised by one of these."""
    taxes = zip(item.taxation_items, jurisdictions, strict=True)
    return replace(item, taxation_items=tuple(replace(tax, jurisdiction=place) for tax, place in taxes))


def test_a_draft_says_so_and_tells_of_no_use() -> None:
    (page,) = printed(a_paper(posted=False))

    assert "DRAFT" in page
    assert "Unapplied" not in page


@pytest.mark.parametrize(
    ("currency", "amount", "shown"),
    [(USD, "1234.50", "1,234.50"), (JPY, "1234", "1,234"), (KWD, "1234.567", "1,234.567")],
)
def test_amounts_have_exactly_their_currencys_decimals(currency: object, amount: str, shown: str) -> None:
    assert isinstance(currency, type(USD))
    (page,) = printed(a_paper([a_line(1, amount, currency=currency)], currency=currency))

    assert f"{currency.code}\N{NO-BREAK SPACE}{shown}" in page


def test_the_largest_amount_keeps_every_digit() -> None:
    (page,) = printed(a_paper([a_line(1, "9999999999999.99", ("VAT", "0.1", "0.01"))]))

    assert "9,999,999,999,999.99" in page
    assert "10,000,000,000,000.00" in page


def test_five_hundred_lines_take_pages_with_heads_and_the_totals_stand_with_the_last_lines() -> None:
    paper = a_paper([a_line(n, f"{n}.00", ("VAT", "0.2", f"{n}.00")) for n in range(1, 501)])
    made = printed(paper)

    assert len(made) > 10
    for number, page in enumerate(made, start=1):
        assert "Description" in page
        assert f"Page {number} of {len(made)}" in page
        assert "Seats" in page
        assert (number == 1) == ("Bill to" in page)
    found = [int(place) for page in made for place in re.findall(r"Seats (\d+)", page)]
    assert found == list(range(1, 501))
    assert "Seats 500" in made[-1]
    assert "250,500.00" in made[-1]


def test_totals_are_never_alone_on_a_page_however_many_lines_there_are() -> None:
    for count in range(15, 23):
        *_, last = printed(a_paper([a_line(n, "1.00", ("VAT", "0.2", "0.20")) for n in range(1, count + 1)]))
        assert f"Seats {count}" in last
        assert "Total credit" in last


def test_a_line_stays_on_one_page_with_its_taxes() -> None:
    taxes = [(f"Tax-{n}", "0.01", "0.01") for n in range(9)]
    made = printed(a_paper([a_line(n, "1.00", *taxes) for n in range(1, 21)]))

    for page in made:
        assert page.count("Tax-0 1%") == page.count("Tax-8 1%")


def test_names_of_any_length_stay_within_the_page() -> None:
    item = a_line(1, "1.00", sku_name="X" * 255, description="d" * 255)
    made = PRINTER.print(a_paper([item], account="Name " * 50, comment="c" * 255), AT)
    (page,) = PdfReader(io.BytesIO(made), strict=True).pages
    edges: list[float] = []

    def visit(text: str, _cm: object, matrix: list[float], *_font: object) -> None:
        if text.strip():
            edges.append(matrix[4])

    page.extract_text(visitor_text=visit)
    assert max(edges) < float(page.mediabox.width) - 50
    assert page.extract_text().count("X") == 255


@pytest.mark.parametrize("locale", sorted(WORDS.keys() - {"ja"}))
def test_names_of_taxes_have_room_beside_the_words_over_their_figures(locale: str) -> None:
    paper = a_paper([a_line(1, "1.00", ("T " * 100, "0.2", "0.20"))], pdf_locale=locale)
    (page,) = PdfReader(io.BytesIO(PRINTER.print(paper, AT)), strict=True).pages
    heights: list[float] = []

    def visit(text: str, cm: list[float], matrix: list[float], *_font: object) -> None:
        if text.strip("T \n") == "" and "T" in text:
            heights.append(cm[1] * matrix[4] + cm[3] * matrix[5] + cm[5])

    page.extract_text(visitor_text=visit)
    assert min(heights) > 80, "it runs into the footer"


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ({"country": "GB"}, "Springfield\nNorth\n12345\nUnited Kingdom"),
        ({"country": "United States"}, "Springfield, North 12345\nUnited States"),
        ({"country": "CA"}, "Springfield North 12345\nCanada"),
        ({"country": "de"}, "12345 Springfield\nNorth\nGermany"),
        ({"country": "Atlantis"}, "12345 Springfield\nNorth\nAtlantis"),
        ({"country": None, "state": None, "city": None, "postal_code": None}, "12 St James's Square\nNumber"),
    ],
)
def test_addresses_are_written_as_the_post_of_their_country_wants_them(place: dict[str, str], shown: str) -> None:
    contact = replace(CONTACT, **{"city": "Springfield", "state": "North", "postal_code": "12345", **place})
    (page,) = printed(a_paper(contact=contact))

    assert shown in page


def test_without_quantities_nothing_is_said_of_quantities_and_prices() -> None:
    (page,) = printed(a_paper([a_line(1, "220.00", unit_price=Decimal(55))]))

    assert "55.00" not in page
    assert "Quantity" not in page
    assert "Unit price" not in page


def test_without_a_letterhead_the_page_begins_with_whom_it_is_for() -> None:
    (page,) = printed(a_paper(company_name="", company_address="", company_tax_id=""))

    assert page.startswith("Bill to\nAcme Trading Ltd")


def test_taxes_that_would_not_fit_beside_the_totals_follow_them() -> None:
    made = printed(a_paper([a_line(n, "100.00", ("VAT", f"0.{n:03}", "1.00")) for n in range(1, 121)]))

    shown = re.findall(r"^VAT (\d+(?:\.\d)?%) 100\.00 1\.00$", "\n".join(made), re.MULTILINE)
    assert shown == [f"{n / 10:g}%" for n in range(1, 121)]
    assert [page.count("Total credit") for page in made].count(1) == 1


def test_languages_and_places_spell_dates_and_amounts_in_their_own_way() -> None:
    german, french = printed(a_paper(pdf_locale="de-DE"))[0], printed(a_paper(pdf_locale="fr-CH"))[0]

    assert "Gutschrift" in german
    assert "15.03.2026" in german
    assert "232,28" in german
    assert "Avoir" in french
    assert "15 mars 2026" in french


def test_a_place_that_is_unknown_is_spelled_in_english() -> None:
    (page,) = printed(a_paper(pdf_locale="tlh"))

    assert "Credit memo" in page


def test_without_babel_amounts_are_grouped_and_dates_iso() -> None:
    plain = formats.Formats("en-US")

    assert plain.date(AT.date()) == "2026-03-15"
    assert plain.amount(12_345_000, USD) == "1,234.50"
    assert plain.amount(12_345_670, KWD) == "1,234.567"
    assert plain.amount(12_340_000, JPY) == "1,234"
    assert plain.percent(Decimal("0.0625")) == "6.25%"
    assert plain.number(Decimal("1.123456789"), 2) == "1.123456789"


def test_every_language_has_every_word() -> None:
    for language, words in WORDS.items():
        assert set(words) == set(WORDS["en"]), language
        assert all(words.values()), language


def test_scripts_without_a_font_are_refused_rather_than_printed_as_boxes() -> None:
    with pytest.raises(PdfFailed) as caught:
        printed(a_paper([a_line(1, "1.00", sku_name="チームプラン")], pdf_locale="ja-JP"))

    assert caught.value.category == "MISSING_FONT"


def test_right_to_left_languages_say_so() -> None:
    arabic = a_paper([a_line(1, "1.00", sku_name="خطة الفريق")], pdf_locale="ar-KW")
    assert layout.layout(arabic)["rtl"] is True
    assert "Acme Trading Ltd" in printed(arabic)[0]
    assert layout.layout(a_paper(pdf_locale="ja-JP"))["rtl"] is False


@pytest.mark.parametrize("locale", ["ar", "en"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("2026-CM", LEFT_TO_RIGHT),
        ("1&1 Inc. (all).", LEFT_TO_RIGHT),
        ("+49 30-1", LEFT_TO_RIGHT),
        ("3 خطة.", RIGHT_TO_LEFT),
    ],
)
def test_texts_read_in_their_own_direction_wherever_they_stand(text: str, mark: str, place: str, locale: str) -> None:
    def picture(text: str) -> bytes:
        return PRINTER.set(PLACES[place](text, locale), AT, "png")

    assert picture(text) == picture(f"{mark}{text}{mark}")


@pytest.mark.parametrize("locale", ["ar", "en"])
def test_each_line_of_a_text_has_a_direction_of_its_own(locale: str) -> None:
    def picture(comment: str) -> bytes:
        return PRINTER.set(a_paper(comment=comment, pdf_locale=locale), AT, "png")

    marked = f"{LEFT_TO_RIGHT}4 seats.{LEFT_TO_RIGHT}\n{RIGHT_TO_LEFT}3 خطة.{RIGHT_TO_LEFT}"
    assert picture("4 seats.\n3 خطة.") == picture(marked)


def test_controls_that_would_turn_text_around_are_left_out() -> None:
    (page,) = printed(a_paper([a_line(1, "1.00", sku_name="a\u202eb\u2066c\x07d")]))

    assert "abcd" in page


def test_text_is_never_taken_for_markup() -> None:
    text = '#read("memo.json") $x^2$ *b* = "q" \\ <script>'
    (page,) = printed(a_paper([a_line(1, "1.00", sku_name=text)], comment=text))

    assert page.count('#read("memo.json")') == 2


def test_the_same_paper_gives_the_same_bytes() -> None:
    assert PRINTER.print(a_paper(), AT) == PRINTER.print(a_paper(), AT)


def test_a_pdf_is_for_archives() -> None:
    reader = PdfReader(io.BytesIO(PRINTER.print(a_paper(), AT)), strict=True)

    assert reader.xmp_metadata is not None
    xmp = etree.tostring(etree.fromstring(reader.xmp_metadata.stream.get_data()))
    assert b"<pdfaid:part>3</pdfaid:part>" in xmp
    assert reader.metadata is not None
    assert reader.metadata.title == "Credit memo CM00000001"


def test_paper_and_color_are_the_tenants() -> None:
    made = PdfReader(io.BytesIO(PRINTER.print(a_paper(pdf_paper="us-letter", pdf_color="#aa0000"), AT)))

    assert (round(made.pages[0].mediabox.width), round(made.pages[0].mediabox.height)) == (612, 792)


# --- another look -----------------------------------------------------------------------------------------------------


def test_a_folder_replaces_the_look_and_can_hold_more_files(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "name.typ").write_text("#let greet(name) = [Hello #name]")
    (tmp_path / "credit-memo.typ").write_text(
        '#import "parts/name.typ": greet\n#let memo = json("memo.json")\n#greet(memo.number) #memo.total.at(1)'
    )

    (page,) = pages(TypstPrinter(template_folder=tmp_path).print(a_paper(), AT))

    assert "Hello CM00000001" in page


def test_the_template_in_the_documentation_can_be_set(tmp_path: Path) -> None:
    shown = next(block for block in blocks((DOCS / "pdf.md").read_text()) if block.language == "typst")
    (tmp_path / "credit-memo.typ").write_text(shown.text)

    (page,) = pages(TypstPrinter(template_folder=tmp_path).print(a_paper(), AT))

    for text in ("Credit memo CM00000001", "Invoice: INV00000003", "Seats 1", "Total credit"):
        assert text in page


@pytest.mark.parametrize(
    "template",
    ["#let x = ", "#panic()", '#read("/etc/passwd")', '#read("../secret.txt")'],
)
def test_a_template_that_cannot_be_set_is_an_error_of_the_template(tmp_path: Path, template: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "credit-memo.typ").write_text(template)

    with pytest.raises(PdfFailed) as caught:
        TypstPrinter(template_folder=folder).print(a_paper(), AT)

    assert caught.value.category == "INVALID_TEMPLATE"


def test_a_logo_is_set_at_the_head(tmp_path: Path) -> None:
    logo = tmp_path / "our.svg"
    logo.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="10"><rect width="40" height="10"/></svg>'
    )

    assert PRINTER.print(a_paper(), AT) != TypstPrinter(logo=logo, system_fonts=False).print(a_paper(), AT)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: TypstPrinter(template_folder=folder),
        lambda folder: TypstPrinter(font_folders=[folder / "none"]),
        lambda folder: TypstPrinter(logo=folder / "logo.svg"),
        lambda folder: TypstPrinter(logo=folder / "logo.exe"),
    ],
)
def test_what_cannot_serve_is_told_before_anything_is_printed(
    tmp_path: Path, make: Callable[[Path], TypstPrinter]
) -> None:
    with pytest.raises(BadFolder):
        make(tmp_path)


# --- electronic invoices ----------------------------------------------------------------------------------------------


def test_an_electronic_invoice_is_attached_and_valid_by_the_schema() -> None:
    made = PRINTER.print(a_paper(einvoice=True), AT)
    name, content = facturx.get_facturx_xml_from_pdf(made, check_xsd=True)
    tree = etree.fromstring(content)
    found = {element.tag.partition("}")[2]: element.text for element in tree.iter() if isinstance(element.tag, str)}

    assert name == "factur-x.xml"
    assert found["TypeCode"] == "VAT"
    assert tree.xpath("string(//*[local-name()='ExchangedDocument']/*[local-name()='TypeCode'])") == "381"
    assert (found["GrandTotalAmount"], found["TaxTotalAmount"]) == ("232.28", "36.78")
    assert found["IssuerAssignedID"] == "INV00000003"
    assert [line.text for line in tree.iter("{*}LineTotalAmount")] == ["200.00", "-20.00", "15.50", "195.50"]
    assert "CM00000001" in pages(made)[0]


def test_a_draft_has_no_electronic_invoice() -> None:
    assert PRINTER.print(a_paper(posted=False, einvoice=True), AT) == PRINTER.print(a_paper(posted=False), AT)


@pytest.mark.parametrize(
    "paper",
    [
        a_paper(einvoice=True, company_country=""),
        a_paper(einvoice=True, company_name=""),
        a_paper(einvoice=True, company_tax_id=""),
        a_paper(einvoice=True, contact=None),
        a_paper(einvoice=True, contact=replace(CONTACT, country="Nowhere")),
        a_paper([a_line(1, "1.00", ("State", "0.05", "0.05"), ("City", "0.01", "0.01"))], einvoice=True),
        a_paper([a_line(1, "0", ("VAT", "0.19", "5.00"))], einvoice=True),
    ],
)
def test_what_cannot_be_told_as_an_electronic_invoice_is_refused(paper: Paper) -> None:
    with pytest.raises(PdfFailed) as caught:
        PRINTER.print(paper, AT)

    assert caught.value.category == "INVALID_EINVOICE"
