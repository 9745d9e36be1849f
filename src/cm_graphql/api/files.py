"""`GET /files/{id}`: the bytes of a file, for whoever has a signed link or may read the memo."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cm_graphql.api.context import Context
from cm_graphql.api.errors import ApiError, Code, DatabaseAway, RequestRefused, from_api_error
from cm_graphql.api.traffic import Traffic, address_of
from cm_graphql.fields.errors import RequestError
from cm_graphql.store import documents as store
from cm_graphql.store.documents import StoredFile
from cm_graphql.store.errors import Unreachable
from cm_graphql.store.session import Session

HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "private, no-store",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""What somebody uploaded runs nowhere, is kept by no proxy, and its signed address is told to nobody."""

_ID = re.compile(r"cmf_[0-9a-f]{32}", re.ASCII)
_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")

log = structlog.get_logger("cm_graphql.api")


class FileEndpoint:
    """Answers with files."""

    def __init__(self, make_context: Callable[[Request, str], Awaitable[Context]], traffic: Traffic) -> None:
        self._make_context = make_context
        self._traffic = traffic

    async def __call__(self, request: Request) -> Response:
        """Answer a GET or HEAD."""
        request_id = getattr(request.state, "request_id", "")
        file_id = request.path_params["id"]
        api = request.app.state.api
        signed = "signature" in request.query_params
        if signed:
            expires, signature = (request.query_params.get(name, "") for name in ("expires", "signature"))
            if not api.links.accepts(file_id, expires, signature, time.time()):
                return _refusal(403, Code.FORBIDDEN, "The link has expired or was changed: ask for a new downloadUrl.")
        viewer = None
        if not signed:
            # Who asks comes before what they ask: strangers do not make us read anything.
            try:
                context = await self._make_context(request, request_id)
                await self._traffic.count(context.caller_id or address_of(request))
                context.require("credit_memos:read")
            except RequestRefused as refused:
                return _refused(refused.status, refused, refused.headers)
            except ApiError as refused:
                return _refused(403, refused)
            except RequestError as error:
                return _refusal(403, Code.FORBIDDEN, str(error))
            viewer = context.viewer
        found = None
        if _ID.fullmatch(file_id):
            try:
                async with api.database.read() as connection:
                    found = await store.load_file(Session(connection, api.database.dialect), file_id)
            except Unreachable as error:
                away = DatabaseAway(error)
                return _refused(away.status, away, away.headers)
        if found is not None and viewer is not None and not viewer.sees(found[1]):
            found = None
        pieces = None if found is None else await api.documents.files.get(found[0].object_key)
        if found is None or pieces is None:
            if found is not None:
                log.error("object_missing", request_id=request_id, file=file_id)
            return _refusal(404, Code.BAD_USER_INPUT, "There is no such file.")
        return _answer(request, found[0], pieces)


def _answer(request: Request, file: StoredFile, pieces: object) -> Response:
    headers = {
        **HEADERS,
        "content-type": "application/pdf",
        "content-length": str(file.size),
        "content-disposition": _disposition(file),
        "etag": f'"{file.sha256}"',
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    return StreamingResponse(pieces, headers=headers)  # type: ignore[arg-type] # pieces of bytes, as the store gives them


def _disposition(file: StoredFile) -> str:
    """A name to save it under: in ASCII for old programs, and as it is for the others."""
    name = file.file_name or "credit-memo.pdf"
    plain = _PLAIN.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _refusal(status: int, code: Code, message: str) -> Response:
    return _refused(status, ApiError(message, code))


def _refused(status: int, error: ApiError, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"errors": [from_api_error(error)]}, status, {**HEADERS, **(headers or {})})
