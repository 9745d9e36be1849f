"""What web pages may do here: their own server's pages everything, others nothing, unless their origin is allowed.

A browser tells with every request whose page sends it, and no page can change that. So a page elsewhere cannot make a
reader's browser ask a server on the reader's own machine, not even for what only reads.
"""

from collections.abc import Collection
from enum import Enum
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


class Admitted(Enum):
    """How a request is let in."""

    NOT = "not"
    AS_ANY = "as any"
    SHARED = "shared"
    """For a page of an allowed origin, which is told that it may read the answer."""


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

    def admit(self, origin: bytes, site: bytes, mode: bytes) -> Admitted:
        """How a request is let in, by its headers Origin, Sec-Fetch-Site and Sec-Fetch-Mode."""
        if origin and origin in self._origins:
            return Admitted.SHARED
        return Admitted.NOT if site in (b"cross-site", b"same-site") and mode != b"navigate" else Admitted.AS_ANY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = site = mode = b""
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        admitted = self.admit(origin, site, mode)
        if admitted is Admitted.SHARED:
            await self._shared(scope, receive, send)
        elif admitted is Admitted.NOT:
            await _refuse(send)
        else:
            await self._app(scope, receive, send)


def sharing(headers: list[tuple[bytes, bytes]], origin: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that pages of an allowed origin may read, as the middleware puts them."""
    varying = b", ".join([*(value for name, value in headers if name == b"vary"), b"Origin"])
    return [
        *(header for header in headers if header[0] != b"vary"),
        (b"vary", varying),
        (b"access-control-expose-headers", ", ".join(TOLD).encode()),
        (b"access-control-allow-origin", origin),
    ]


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
