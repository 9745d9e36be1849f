"""What web pages may do here: their own server's pages everything, others nothing, unless their origin is allowed.

A browser tells with every request whose page sends it, and no page can change that. So a page elsewhere cannot make a
reader's browser ask a server on the reader's own machine, not even for what only reads.
"""

from collections.abc import Collection
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from cm_graphql.api.errors import ApiError, Code, from_api_error
from cm_graphql.api.streams import encode

ASKED: Final = (
    "accept",
    "authorization",
    "content-type",
    "x-request-id",
    "x-graphql-cost",
    "graphql-require-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "apollographql-client-name",
    "apollographql-client-version",
)
"""Headers that pages of allowed origins may send."""

TOLD: Final = ("x-request-id", "retry-after")
"""Headers of answers that they may read beside the usual ones."""


class Browsers:
    """ASGI middleware that refuses what other sites' pages send, and lets those of `origins` through (CORS)."""

    def __init__(self, app: ASGIApp, origins: Collection[str] = ()) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._app = app
        self._shared = CORSMiddleware(
            app,
            allow_origins=tuple(origins),
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=ASKED,
            expose_headers=TOLD,
            max_age=600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = site = mode = b""
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        if origin and origin in self._origins:
            await self._shared(scope, receive, send)
        elif site in (b"cross-site", b"same-site") and mode != b"navigate":
            await _refuse(send)
        else:
            await self._app(scope, receive, send)


async def _refuse(send: Send) -> None:
    message = "Pages of other sites are not answered here; CM_GRAPHQL_ALLOWED_ORIGINS can allow their origin."
    body = encode({"errors": [from_api_error(ApiError(message, Code.FORBIDDEN))]})
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"origin, sec-fetch-site"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
