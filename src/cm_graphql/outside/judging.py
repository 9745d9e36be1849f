"""Whether an upload is a PDF that can be kept: read strictly, in a process of its own that may not take long.

Run as a program it reads a file from its input and prints what is wrong with it, or nothing.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

SECONDS: Final = 10
"""Of processor time, and twice as long by the clock: a file made to keep a reader busy is not worth more."""
MEMORY: Final = 512 * 1024 * 1024
MOST_PAGES: Final = 2_000
WRONG: Final = 3
"""The exit status after saying what is wrong."""

ACTIONS: Final = {
    "/JavaScript": "scripts",
    "/Launch": "a command to start a program",
    "/ImportData": "a command to read other files",
    "/SubmitForm": "a command to send what is filled in elsewhere",
}
"""What a PDF may not do to whoever opens it, by the kind of action."""

BUSY: Final = "reading it takes more time or memory than any PDF of its size should"


class ProcessJudge:
    """Judges uploads, two at a time."""

    def __init__(self, seconds: float = 2 * SECONDS) -> None:
        self._seconds = seconds
        self._turn = asyncio.Semaphore(2)

    async def wrong_with(self, content: bytes) -> str | None:
        """Say why content is no PDF that can be kept, or nothing."""
        async with self._turn:
            # The path, not the module's name: nothing of ours is imported, so that it starts fast.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(Path(__file__)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(self._seconds):
                    said, _ = await process.communicate(content)
            except TimeoutError:
                return BUSY
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == 0:
            return None
        return said.decode(errors="replace").strip() if process.returncode == WRONG and said.strip() else BUSY


def wrong_with(content: bytes) -> str | None:
    """Judge content in this process, with work that nothing bounds."""
    import io

    from pypdf import PdfReader
    from pypdf.errors import PyPdfError
    from pypdf.generic import DictionaryObject

    _, mark, after = content[-2048:].rpartition(b"%%EOF")
    if not mark:
        return "it is cut short: the mark of its end is missing"
    if after.strip(b"\0\t\n\f\r "):
        return "it goes on after its end, as what is two files in one does"
    try:
        reader = PdfReader(io.BytesIO(content), strict=True)
        if reader.is_encrypted:
            return "it is encrypted, so that nobody here could show it"
        tree = reader.root_object.get("/Pages") if "/Root" in reader.trailer else None
        tree = tree.get_object() if tree is not None else None
        if not isinstance(tree, DictionaryObject):
            return "it has no pages"
        found = 0
        for number, page in enumerate(reader.pages, start=1):
            found = number
            if number > MOST_PAGES:
                return f"it has more than {MOST_PAGES} pages"
            if page.get("/Type") != "/Page" or page.mediabox.width <= 0 or page.mediabox.height <= 0:
                return f"its page {number} is none"
        if found == 0:
            return "it has no pages"
        # What a document says of itself must be so, or programs will disagree on what it shows.
        if tree.get("/Count") != found:
            return "it is damaged: pages are missing"
        return _does(reader)
    except MemoryError:
        return BUSY
    except (PyPdfError, RecursionError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        # What damaged files make of a reader's assumptions comes as any of these.
        return "it is damaged: its structure cannot be read"


def _does(reader: Any) -> str | None:
    """Say what a document would do to whoever opens it, or nothing. Files within a file, such as an invoice, may be."""
    from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject

    known = {number for numbers in reader.xref.values() for number in numbers} | set(reader.xref_objStm)
    seen: set[int] = set()
    waiting: list[Any] = [reader.trailer]
    while waiting:
        found = waiting.pop()
        if isinstance(found, IndirectObject):
            if found.idnum in seen or found.idnum not in known:  # what is not there is null, says the standard
                continue
            seen.add(found.idnum)
            found = found.get_object()
        if isinstance(found, DictionaryObject):
            kind = ACTIONS.get(str(found.get("/S")))
            if kind is None and ("/JS" in found or "/XFA" in found):
                kind = ACTIONS["/JavaScript"]
            if kind is not None:
                return f"it holds {kind}, and others will open it: print it into a new PDF, which leaves that out"
            waiting.extend(found.values())
        elif isinstance(found, ArrayObject):
            waiting.extend(found)
    return None


def _main() -> int:
    try:
        import resource
    except ImportError:  # not on Windows, where the clock alone bounds it
        pass
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    wrong = wrong_with(sys.stdin.buffer.read())
    if wrong is not None:
        print(wrong)
    return 0 if wrong is None else WRONG


if __name__ == "__main__":
    sys.exit(_main())
