"""PDFs set by Typst: a template, a memo's words and figures, and the fonts at hand make the bytes, always the same."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cm_graphql.domain.paper import Paper
from cm_graphql.operations.document_ports import PdfFailed

if TYPE_CHECKING:
    import typst

MAIN: Final = "credit-memo.typ"
"""The template that is set; others lie beside it."""
MOST_BYTES: Final = 20_000_000
"""Of all files of a template's folder together."""
LOGOS: Final = (".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp", ".pdf")

_BUILT_IN: Final = Path(__file__).parent / "template"


class BadFolder(ValueError):
    """A folder or file that PDFs shall be made with cannot serve for that; the message says why."""


class TypstPrinter:
    """Makes PDFs, each in a thread, two at a time."""

    def __init__(
        self,
        *,
        template_folder: Path | None = None,
        font_folders: Sequence[Path] = (),
        logo: Path | None = None,
        system_fonts: bool = True,
    ) -> None:
        """Read template and logo once; raises BadFolder where that cannot be done."""
        self._files = _template(template_folder or _BUILT_IN)
        self._font_folders = tuple(font_folders)
        for folder in self._font_folders:
            if not folder.is_dir():
                raise BadFolder(f"There is no folder {folder}.")
        self._logo = None if logo is None else (f"logo{logo.suffix.lower()}", _logo(logo))
        self._system_fonts = system_fonts
        self._turn = asyncio.Semaphore(2)

    async def pdf(self, paper: Paper, at: datetime) -> bytes:
        """Make the PDF of a memo (PDF/A-3b). Raises PdfFailed."""
        async with self._turn:
            return await asyncio.to_thread(self.print, paper, at)

    def print(self, paper: Paper, at: datetime) -> bytes:
        """Do the same without waiting for a turn, in the thread at hand."""
        made = self.set(paper, at, "pdf")
        if not paper.settings.einvoice:
            return made
        from cm_graphql.outside.pdf import einvoice  # here, as typst

        return einvoice.attach(made, paper)

    def set(self, paper: Paper, at: datetime, form: str) -> bytes:
        """Set the template as `pdf`, or a one-page memo as `png`."""
        import typst  # here, because most workers never draw, and it takes 7 MB of each; Babel is another

        from cm_graphql.outside.pdf.layout import layout

        data = {**layout(paper), "logo": None if self._logo is None else self._logo[0]}
        files = {**self._files, "memo.json": json.dumps(data, ensure_ascii=False).encode()}
        if self._logo is not None:
            files[self._logo[0]] = self._logo[1]
        try:
            made = typst.compile(  # type: ignore[call-overload] # its stubs do not know files by name yet
                {"main": files.pop(MAIN), **files},
                format=form,
                font_paths=self._fonts,
                pdf_standards=["a-3b"] if form == "pdf" else [],
                timestamp=int(at.timestamp()),
            )
        except typst.TypstError as error:
            raise _failed(error) from error
        assert isinstance(made, bytes)
        return made

    @cached_property
    def _fonts(self) -> "typst.Fonts":
        """Look at the fonts once; that takes longer than a page."""
        import typst

        return typst.Fonts(
            include_system_fonts=self._system_fonts, font_paths=[str(folder) for folder in self._font_folders]
        )


def _failed(error: "typst.TypstError") -> PdfFailed:
    reason = str(error.message)
    if "could not be displayed" in reason:
        return PdfFailed(
            "MISSING_FONT",
            f"{reason}: none of the fonts has it. Put a font that does into the folder of the setting FONTS_FOLDER.",
        )
    return PdfFailed("INVALID_TEMPLATE", f"The template cannot be set: {reason}.")


def _template(folder: Path) -> Mapping[str, bytes]:
    """Every file of a folder by its path in there, so that nothing outside of it can be read."""
    if not (folder / MAIN).is_file():
        raise BadFolder(f"There is no {MAIN} in {folder}.")
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
            if sum(map(len, found.values())) > MOST_BYTES:
                raise BadFolder(f"The files in {folder} have more than {MOST_BYTES} bytes together.")
    return found


def _logo(path: Path) -> bytes:
    if path.suffix.lower() not in LOGOS:
        raise BadFolder(f"{path} is no picture that can be set: its name must end in one of {', '.join(LOGOS)}.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFolder(f"{path} cannot be read: {error.strerror}.") from None
