"""Files that come along with a request, by the GraphQL multipart request specification (jaydenseric, version 2).

Browsers send multipart forms across sites without asking first. So such a request must carry a header that no form can
send, which makes the browser ask, and nobody here answers that it may. A bearer token is one too: browsers send none of
themselves.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NewType

import strawberry
from graphql import ValueNode
from graphql.pyutils import inspect
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from cm_graphql.api.errors import Code, RequestRefused
from cm_graphql.api.limits import Limits
from cm_graphql.domain import limits as rules
from cm_graphql.domain.commands.base import UploadedFile
from cm_graphql.fields.errors import BadUserInput

Upload = NewType("Upload", object)
"""A file of the request."""

GUARDS: Final = ("graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name")
"""Headers of which a multipart request must carry one, with any value, if it carries no bearer token."""

MOST_FILES: Final = 10
MOST_PLACES: Final = 20
"""Places in the variables that the files of a request may stand in."""
FIELD_BYTES: Final = 1024 * 1024
"""Of `operations`, and of `map`."""
HEADER_BYTES: Final = 8 * 1024
"""Of the headers of one part."""


def _no_value(value: object) -> object:
    if isinstance(value, UploadedFile):
        return value
    raise BadUserInput(
        f"Upload takes a file of a multipart request, not {inspect(value)}: see the GraphQL multipart request "
        "specification."
    )


def _no_literal(node: ValueNode, _variables: Any = None) -> object:
    raise BadUserInput("Upload takes a file of a multipart request, which only a variable can stand for.")


UPLOAD: Final = strawberry.scalar(
    name="Upload",
    description="A file that comes along with a multipart request, as a variable.",
    specified_by_url="https://github.com/jaydenseric/graphql-multipart-request-spec",
    serialize=_no_value,
    parse_value=_no_value,
    parse_literal=_no_literal,
)


@dataclass
class _Part:
    """A part of the form as far as it was read."""

    headers: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    file_name: str | None = None
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0


class _Form:
    """Takes a form apart as it comes in, and keeps no more of it than anything needs."""

    def __init__(self, boundary: str) -> None:
        self.parts: list[_Part] = []
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._header_bytes = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_header_field": lambda data, start, end: self._head(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._head(1, data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_end": self._end,
            },
        )

    async def read(self, pieces: AsyncIterator[bytes]) -> list[_Part]:
        """Read all of it; raises RequestRefused."""
        try:
            async for piece in pieces:
                self._parser.write(piece)
            self._parser.finalize()
        except FormParserError:
            raise _malformed("The body is no multipart form") from None
        if not self._ended:
            raise _malformed("The multipart form is cut short")
        return self.parts

    def _begin(self) -> None:
        if len(self.parts) >= MOST_FILES + 2:
            raise RequestRefused(
                400,
                f"A request takes at most {MOST_FILES} files.",
                Code.LIMIT_EXCEEDED,
                headers={"connection": "close"},
            )
        self.parts.append(_Part())
        self._header_bytes = 0

    def _head(self, which: int, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_BYTES:
            raise _malformed(f"A part of the form has more than {HEADER_BYTES} bytes of headers")
        self._header[which].extend(data)

    def _header_end(self) -> None:
        name, value = self._header
        # As the bytes are: names are in UTF-8, and are decoded when they were taken out.
        self.parts[-1].headers[bytes(name).decode("latin-1").lower()] = bytes(value).decode("latin-1")
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        part = self.parts[-1]
        disposition, options = parse_options_header(part.headers.get("content-disposition", ""))
        if disposition != b"form-data" or b"name" not in options:
            raise _malformed("A part of the form has no name")
        part.name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            part.file_name = options[b"filename"].decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        part.size += end - start
        if part.name in ("operations", "map"):
            if part.size > FIELD_BYTES:
                raise _malformed(f"`{part.name}` has more than {FIELD_BYTES} bytes")
            part.pieces.append(data[start:end])
        elif part.size <= rules.FILE_BYTES:
            part.pieces.append(data[start:end])
        else:
            # It is refused for its size, in an answer of its own; the beginning alone is kept to tell what it was.
            del part.pieces[1:]

    def _end(self) -> None:
        self._ended = True


async def from_multipart(request: Request, limits: Limits) -> tuple[bytes, bytes, Mapping[str, _Part]]:
    """Read the form of a request: `operations` and `map` as they came, and the files. Raises RequestRefused."""
    has_token = request.headers.get("authorization", "").lower().startswith("bearer ")
    if not has_token and not any(request.headers.get(name) for name in GUARDS):
        raise RequestRefused(
            400,
            f"A multipart request needs the header {GUARDS[0]} (or {' or '.join(GUARDS[1:])}) with any value, or a "
            "bearer token, so that no other web site can send it.",
        )
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not 0 < len(boundary) <= 70:
        raise _malformed("The content type names no boundary of 1 to 70 characters")
    parts = await _Form(boundary).read(_bounded(request, limits.body_bytes))
    fields = [part for part in parts if part.name in ("operations", "map")]
    if [part.name for part in parts[:2]] != ["operations", "map"] or len(fields) != 2:
        raise _malformed("The form begins with one `operations` and one `map`, and files follow")
    files: dict[str, _Part] = {}
    for part in parts[2:]:
        if part.name in files or part.name is None:
            raise _malformed("Each file has a name of its own in the form")
        files[part.name] = part
    return b"".join(fields[0].pieces), b"".join(fields[1].pieces), files


def place(operation: dict[str, Any], places: Any, files: Mapping[str, _Part]) -> None:
    """Put the files where the map says: into variables that are null so far. Raises RequestRefused."""
    for name, paths in _map(places, files).items():
        part = files[name]
        uploaded = UploadedFile(part.file_name, b"".join(part.pieces), part.size)
        for path in paths:
            _put(operation, path, uploaded)


def _put(operation: dict[str, Any], path: str, uploaded: UploadedFile) -> None:
    first, *steps = path.split(".")
    if first != "variables" or not steps or len(steps) > 20:
        raise _malformed("Each path of `map` leads into the variables, as `variables.input.file` does")
    holder: Any = operation.get("variables")
    for step in steps[:-1]:
        holder = _step(holder, step)
    last = steps[-1]
    if _step(holder, last) is not None:
        raise _malformed("A path of `map` must lead to a null in the variables")
    holder[int(last) if isinstance(holder, list) else last] = uploaded


def _step(holder: Any, step: str) -> Any:
    if isinstance(holder, dict) and step in holder:
        return holder[step]
    if isinstance(holder, list) and step.isascii() and step.isdigit() and len(step) < 6 and int(step) < len(holder):
        return holder[int(step)]
    raise _malformed("A path of `map` leads to nothing in the variables")


def _map(found: Any, files: Mapping[str, _Part]) -> Mapping[str, list[str]]:
    """Check what `map` says against the files that came."""
    if not isinstance(found, dict):
        raise _malformed("`map` must be a JSON object of file names and lists of paths")
    for paths in found.values():
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
            raise _malformed("`map` must give a list of paths for each file")
    if set(found) != set(files):
        raise _malformed("`map` must name exactly the files of the form")
    if sum(map(len, found.values())) > MOST_PLACES:
        raise _malformed(f"`map` has more than {MOST_PLACES} paths")
    return found


async def _bounded(request: Request, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise RequestRefused(
                413, f"The body has more than {limit} bytes.", Code.LIMIT_EXCEEDED, headers={"connection": "close"}
            )
        yield piece


def _malformed(why: str) -> RequestRefused:
    # The rest of the body may still be on its way; the connection is of no further use.
    return RequestRefused(400, f"{why}.", headers={"connection": "close"})
