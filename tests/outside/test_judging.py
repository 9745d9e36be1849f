"""What an upload can be: PDFs are taken, and whatever lies, is cut short, encrypted or a bomb is told apart in time."""

import io
import time
import zlib
from collections.abc import Callable

import pytest
from pypdf import PdfWriter

from cm_graphql.outside.judging import BUSY, ProcessJudge, wrong_with
from cm_graphql.outside.pdf import TypstPrinter
from papers import AT, a_paper


def a_pdf(pages: int = 1, password: str | None = None) -> bytes:
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(width=200, height=200)
    if password is not None:
        writer.encrypt(password)
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def put_together(*objects: bytes, trailer: bytes = b"<< /Root 1 0 R /Size 99 >>") -> bytes:
    """A PDF of these objects, numbered from 1, with a cross-reference table that is right."""
    body, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    xref = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places) + 1, table)
    return body + xref + b"trailer\n%s\nstartxref\n%d\n%%%%EOF\n" % (trailer, len(body))


CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>"


def bomb_of_objects() -> bytes:
    """A cross-reference stream of a few kilobytes that unfolds to a quarter of a gigabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    stream = (
        b"1 0 obj\n<< /Type /XRef /Size 9 /W [1 2 1] /Root 2 0 R /Filter /FlateDecode /Length %d >>\nstream\n"
        % len(packed)
    )
    head = b"%PDF-1.7\n"
    return head + stream + packed + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % len(head)


def a_pdf_that(
    *more: bytes, catalog: bytes = b"", page: bytes = b"", kids: bytes = b"[3 0 R]", count: int = 1
) -> bytes:
    """A PDF of a page, with something more in its catalog, in its page, or in objects from number 4 on."""
    return put_together(
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog,
        b"<< /Type /Pages /Kids %s /Count %d >>" % (kids, count),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] %s >>" % page,
        *more,
    )


def bomb_in_an_object_stream() -> bytes:
    """A PDF whose page lies in a stream of objects that unfolds to a quarter of a gigabyte."""
    packer = zlib.compressobj(9)
    packed = packer.compress(b"2 0 ") + b"".join(packer.compress(b" " * (1 << 20)) for _ in range(256)) + packer.flush()
    stream = b"<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length %d >>\nstream\n" % len(packed)
    head = b"%PDF-1.7\n"
    first = b"1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    third = b"3 0 obj\n" + stream + packed + b"\nendstream\nendobj\n"
    start = len(head + first + third)
    rows = [(0, 0, 65535), (1, len(head), 0), (2, 3, 0), (1, len(head + first), 0), (1, start, 0)]
    table = b"".join(bytes([kind]) + place.to_bytes(4, "big") + rest.to_bytes(2, "big") for kind, place, rest in rows)
    xref = b"4 0 obj\n<< /Type /XRef /Size 5 /W [1 4 2] /Root 1 0 R /Length %d >>\nstream\n" % len(table)
    return head + first + third + xref + table + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % start


@pytest.mark.parametrize("pages", [1, 30])
def test_an_ordinary_pdf_is_taken(pages: int) -> None:
    assert wrong_with(a_pdf(pages)) is None


def test_what_we_make_ourselves_is_taken() -> None:
    assert wrong_with(TypstPrinter(system_fonts=False).print(a_paper(), AT)) is None


WRONG = {
    "nothing but the mark": b"%PDF-1.7",
    "a page of the web with the mark": b"%PDF-1.7\n<html><script>alert(1)</script></html>\n%%EOF",
    "half of one": a_pdf(20)[: len(a_pdf(20)) // 2],
    "half of one with an end": a_pdf(20)[: len(a_pdf(20)) // 2] + b"\n%%EOF\n",
    "all but the last bytes": a_pdf()[:-30],
    "encrypted": a_pdf(password="secret"),
    "encrypted for nobody": a_pdf(password=""),
    "no pages": put_together(CATALOG, b"<< /Type /Pages /Kids [] /Count 0 >>"),
    "no catalog": put_together(b"<< >>"),
    "pages that hold themselves": put_together(CATALOG, b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
    "a count that lies": put_together(CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 100000000 >>", PAGE),
    "a page that is none": put_together(CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", b"<< /Type /Font >>"),
    "arrays in arrays": put_together(b"[" * 100_000 + b"]" * 100_000),
    "endless brackets": b"%PDF-1.7\n" + b"<<" * 1_000_000 + b"\n%%EOF",
    "a reference to itself": put_together(b"1 0 R"),
    "an end and then a ZIP archive": a_pdf() + b"PK\x03\x04 and so on",
    "too many pages": a_pdf_that(kids=b"[%s]" % (b"3 0 R " * 2_001), count=2_001),
    "tables that name each other": put_together(
        CATALOG, b"<< /Type /Pages /Kids [] /Count 0 >>", trailer=b"<< /Root 1 0 R /Size 3 /Prev 200 >>"
    )
    + b"xref\n0 1\n0000000000 65535 f \ntrailer\n<< /Root 1 0 R /Size 3 /Prev 200 >>\nstartxref\n300\n%%EOF\n",
    "noise": b"%PDF-1.7\n" + bytes(range(256)) * 4000 + b"\nstartxref\n9\n%%EOF",
    "a previous table that is the same": put_together(
        CATALOG, b"<< /Type /Pages /Kids [] /Count 0 >>", trailer=b"<< /Root 1 0 R /Size 3 /Prev 9 >>"
    ),
}


SCRIPT = b"<< /S /JavaScript /JS (app.alert(1)) >>"
DOES = {
    "runs a script at opening": a_pdf_that(catalog=b"/OpenAction " + SCRIPT),
    "runs a script that is spelled oddly": a_pdf_that(catalog=b"/OpenAction << /S /J#61vaScript /JS 4 0 R >>"),
    "has scripts by name": a_pdf_that(SCRIPT, catalog=b"/Names << /JavaScript << /Names [(a) 4 0 R] >> >>"),
    "runs a script with a page": a_pdf_that(page=b"/AA << /O " + SCRIPT + b" >>"),
    "runs a script at a click": a_pdf_that(page=b"/Annots [<< /Type /Annot /Subtype /Link /A " + SCRIPT + b" >>]"),
    "starts a program": a_pdf_that(catalog=b"/OpenAction << /S /Launch /F (cmd.exe) >>"),
    "starts a program next": a_pdf_that(catalog=b"/OpenAction << /S /GoTo /Next << /S /Launch /F (x) >> >>"),
    "sends what is filled in": a_pdf_that(page=b"/Annots [<< /Subtype /Widget /A << /S /SubmitForm /F (x) >> >>]"),
    "has a form of scripts": a_pdf_that(catalog=b"/AcroForm << /XFA [] >>"),
}


@pytest.mark.parametrize("name", DOES)
def test_what_does_something_to_whoever_opens_it_is_refused(name: str) -> None:
    wrong = wrong_with(DOES[name])

    assert wrong is not None
    assert "print it into a new PDF" in wrong


@pytest.mark.parametrize(
    "content",
    [
        a_pdf_that(catalog=b"/OpenAction [3 0 R /Fit]"),
        a_pdf_that(page=b"/Annots [<< /Subtype /Link /A << /S /URI /URI (https://nimbus.example) >> >>]"),
        a_pdf_that(catalog=b"/AcroForm << /Fields [] >>"),
        a_pdf_that(catalog=b"/Metadata 9 0 R"),  # what is not there is null, says the standard
        a_pdf() + b"\r\n\0\0",
        TypstPrinter(system_fonts=False).print(a_paper(einvoice=True), AT),  # with a file in it
    ],
)
def test_links_forms_and_files_within_are_taken(content: bytes) -> None:
    assert wrong_with(content) is None


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_whole_pdf_is_refused_in_time(name: str) -> None:
    started = time.monotonic()
    wrong = await ProcessJudge().wrong_with(WRONG[name])

    assert wrong is not None
    assert "\n" not in wrong
    assert time.monotonic() - started < 25


@pytest.mark.parametrize("make", [bomb_of_objects, bomb_in_an_object_stream])
async def test_a_bomb_is_refused_without_filling_the_memory(make: Callable[[], bytes]) -> None:
    bomb = make()
    assert len(bomb) < 4_194_304

    assert await ProcessJudge().wrong_with(bomb) is not None


async def test_a_reader_that_is_kept_busy_is_stopped() -> None:
    assert await ProcessJudge(seconds=0.01).wrong_with(a_pdf()) == BUSY


async def test_an_ordinary_pdf_is_taken_by_the_process_too() -> None:
    assert await ProcessJudge().wrong_with(a_pdf(3)) is None
