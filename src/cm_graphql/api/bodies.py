"""The parameters of a GraphQL request, read from a POST body or a URL, and nothing believed before it was checked."""

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request

from cm_graphql.api import uploads
from cm_graphql.api.errors import Code, RequestRefused
from cm_graphql.api.limits import Limits
from cm_graphql.api.negotiation import ContentType

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NAMES = ("query", "documentId", "doc_id", "operationName", "variables", "extensions")
"""Parameters of a request; others are ignored."""

_LONG = b"0" * 19
_TO_COLONS_AND_ZEROS = bytes.maketrans(b"123456789 \t\r\n\f\v,[-", b"0" * 9 + b":" * 9)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TO_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_SCANNED_AT_ONCE = 1 << 20


@dataclass(slots=True)
class Parameters:
    """What a GraphQL-over-HTTP request consists of."""

    query: str | None
    """The document; None where the request names one instead."""
    operation_name: str | None
    variables: Mapping[str, Any] | None
    extensions: Mapping[str, Any] | None
    document_id: str | None = None
    """The id of a registered document, or of one that was sent before."""


async def from_post(request: Request, limits: Limits) -> Parameters | list[Parameters]:
    """Read the parameters from a JSON body, those of a batch among them, or from a multipart form with files."""
    if len(request.headers.getlist("content-type")) > 1:
        raise RequestRefused(400, "A request has one Content-Type header.")
    if ContentType.parse(request.headers.get("content-type", "")).media_type == "multipart/form-data":
        operations, places, files = await uploads.from_multipart(request, limits)
        found = _operation(operations, limits, "`operations`")
        uploads.place(found, load_json(places, limits, "`map`"), files)
        return parameters_of(found)
    _require_json(request)
    found = load_json(await _read(request, limits.body_bytes), limits, "The body")
    if isinstance(found, list) and limits.batch:
        return _batch(found, limits)
    return parameters_of(_checked(found, "The body"))


def _batch(found: list[Any], limits: Limits) -> list[Parameters]:
    if not 1 <= len(found) <= limits.batch:
        raise RequestRefused(
            400, f"The batch has {len(found)} operations; 1 to {limits.batch} are allowed.", Code.LIMIT_EXCEEDED
        )
    return [parameters_of(_checked(one, f"Operation {index}")) for index, one in enumerate(found)]


def _operation(body: bytes, limits: Limits, what: str) -> dict[str, Any]:
    return _checked(load_json(body, limits, what), what)


def _checked(found: Any, what: str) -> dict[str, Any]:
    if isinstance(found, list):
        raise RequestRefused(400, "Batches are not answered: send one operation per request.")
    if not isinstance(found, dict):
        raise RequestRefused(400, f"{what} must be a JSON object with a `query`.")
    return found


def from_url(query_string: bytes, limits: Limits) -> Parameters:
    """Read the parameters from the URL of a GET request."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=50
        )
    except ValueError:
        raise RequestRefused(400, "The URL's query is not percent-encoded UTF-8.") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found and name in NAMES:
            raise RequestRefused(400, f"`{name}` was given twice.")
        found[name] = value
    for name in ("variables", "extensions"):
        if name in found:
            found[name] = load_json(found[name].encode(), limits, f"`{name}`")
    return parameters_of(found)


def load_json(text: bytes, limits: Limits, what: str) -> Any:
    """Parse strict UTF-8 JSON of bounded depth and size in memory, integers exact whatever their length."""
    text = text.removeprefix(BYTE_ORDER_MARK)
    if is_deeper_than(text, limits.json_depth):
        message = f"{what} nests arrays and objects deeper than {limits.json_depth} levels."
        raise RequestRefused(400, message, Code.LIMIT_EXCEEDED)
    if has_more_values_than(text, limits.json_values):
        message = f"{what} has more than {limits.json_values} values."
        raise RequestRefused(400, message, Code.LIMIT_EXCEEDED)
    try:
        found = orjson.loads(text)
        # orjson makes a float of an integer past 64 bits, which would no longer be the number that was sent.
        return json.loads(text) if _has_long_integer(text) else found
    except ValueError:
        raise RequestRefused(400, f"{what} is not valid JSON in UTF-8.") from None


def _has_long_integer(text: bytes) -> bool:
    # At the beginning or after what a number can follow; digits in the middle of an id are text.
    marked = text.translate(_TO_COLONS_AND_ZEROS)
    return b":" + _LONG in marked or marked.startswith(_LONG)


def is_deeper_than(text: bytes, max_depth: int) -> bool:
    """Tell whether JSON nests deeper than so many levels, without parsing it and in time linear in its length.

    What is no JSON may be answered either way; the parser refuses it.
    """
    if text.count(b"[") + text.count(b"{") <= max_depth:
        return False
    brackets = _outside_of_strings(text).translate(_TO_STEPS, _NOT_BRACKETS)
    steps = memoryview(brackets).cast("b")  # signed: each opening bracket is a step down, each closing one a step up
    depth = 0
    for start in range(0, len(steps), _SCANNED_AT_ONCE):
        depths = array("q", accumulate(steps[start : start + _SCANNED_AT_ONCE], initial=depth))
        if max(depths) > max_depth:
            return True
        depth = depths[-1]
    return False


def has_more_values_than(text: bytes, most: int) -> bool:
    """Tell whether JSON has more values than so many, without parsing it: each follows a bracket or a comma."""
    return _values(text) > most and _values(_outside_of_strings(text)) > most


def _values(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _outside_of_strings(text: bytes) -> bytes:
    # Without escaped quotes every second piece between quotes lies outside of strings.
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(plain.split(b'"')[::2])


def _require_json(request: Request) -> None:
    content_type = ContentType.parse(request.headers.get("content-type", ""))
    if content_type.media_type != "application/json" or not content_type.is_utf8:
        raise RequestRefused(
            415, "POST needs `Content-Type: application/json` in UTF-8.", headers={"accept-post": "application/json"}
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestRefused(415, "The body must not be compressed.", headers={"accept-encoding": "identity"})


async def _read(request: Request, limit: int) -> bytes:
    """Read the body piece by piece, so that one that is too large is never held as a whole."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        _refuse_body(limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            _refuse_body(limit)
        if not pieces and not message.get("more_body", False):
            return piece
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _refuse_body(limit: int) -> NoReturn:
    # The rest of the body is still on its way; the connection is of no further use.
    raise RequestRefused(
        413, f"The body has more than {limit} bytes.", Code.LIMIT_EXCEEDED, headers={"connection": "close"}
    )


def parameters_of(found: Mapping[str, Any]) -> Parameters:
    """Check the types; null means the same as leaving a parameter out, and other names are ignored."""
    query = found.get("query")
    document_id = found.get("documentId", found.get("doc_id"))  # the second is what Relay's documentation names it
    operation_name, variables, extensions = found.get("operationName"), found.get("variables"), found.get("extensions")
    if query is not None and type(query) is not str:
        raise _wrong("query", "a string")
    if document_id is not None and type(document_id) is not str:
        raise _wrong("documentId", "a string")
    if operation_name is not None and type(operation_name) is not str:
        raise _wrong("operationName", "a string")
    if variables is not None and type(variables) is not dict:
        raise _wrong("variables", "a JSON object")
    if extensions is not None and type(extensions) is not dict:
        raise _wrong("extensions", "a JSON object")
    if query is None and document_id is None and not (extensions and "persistedQuery" in extensions):
        raise RequestRefused(400, "`query`, the document to execute, is missing.")
    return Parameters(query, operation_name or None, variables, extensions, document_id)


def _wrong(name: str, kind: str) -> RequestRefused:
    return RequestRefused(400, f"`{name}` must be {kind}.")
