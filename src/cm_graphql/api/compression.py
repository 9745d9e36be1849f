"""Answers made shorter on the wire, for clients that ask for it, where that is worth the work.

Compressed answers can tell how much of what an attacker slipped in equals a secret beside it (BREACH), if the attacker
can have a victim's browser ask, and see how long the encrypted answers are. Here nobody's browser carries rights to
other pages: tokens are no cookies, and without authentication requests of other pages are refused (`browsers`).
"""

import asyncio
import importlib
import zlib
from collections.abc import Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST: Final = 1_400
"""Bytes below which nothing is gained: they fit into one packet as they are."""

INLINE: Final = 128 * 1024
"""Bytes that are compressed at once; more is done by a thread, so that others need not wait."""

TYPES: Final = (b"application/json", b"application/graphql-response+json", b"text/html")
"""What is compressed; event streams are not, since an event must not wait for the next one, and PDFs are already."""

Compress = Callable[[bytes], bytes]


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(4, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()


def _brotli() -> Compress | None:
    """Brotli, where its extra is installed."""
    try:
        brotli: Any = importlib.import_module("brotli")
    except ImportError:
        return None
    return lambda body: bytes(brotli.compress(body, quality=4))


class Compression:
    """ASGI middleware that compresses whole answers, by gzip, or by br where it is installed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        brotli = _brotli()
        self._ways: dict[bytes, Compress] = {**({b"br": brotli} if brotli else {}), b"gzip": _gzip}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = next((value for name, value in scope["headers"] if name == b"accept-encoding"), b"")
        way = choose(accepted, tuple(self._ways))
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = {**message, "headers": self.varying(message["headers"])}
                if way is None or not _is_worthy(start["headers"]):
                    await send(start)
                    start = None
                return
            if start is not None:
                first, start = start, None
                body: bytes = message.get("body", b"")
                if way is not None and not message.get("more_body") and len(body) >= LEAST:
                    body = await self._shorten(body, way)
                    headers = [one for one in first["headers"] if one[0] != b"content-length"]
                    headers += [(b"content-encoding", way), (b"content-length", str(len(body)).encode())]
                    first, message = {**first, "headers": headers}, {**message, "body": body}
                await send(first)
            await send(message)

        await self._app(scope, receive, send_compressed)

    async def shortened(self, body: bytes, accepted: bytes) -> tuple[bytes, bytes | None]:
        """The body of an answer in JSON as it goes on the wire, and its coding if it has one."""
        way = choose(accepted, tuple(self._ways)) if accepted and len(body) >= LEAST else None
        return (body, None) if way is None else (await self._shorten(body, way), way)

    async def _shorten(self, body: bytes, way: bytes) -> bytes:
        shorten = self._ways[way]
        return await asyncio.to_thread(shorten, body) if len(body) > INLINE else shorten(body)

    @staticmethod
    def varying(headers: Any) -> list[tuple[bytes, bytes]]:
        """Say that the answer depends on what encodings were accepted, also where it was not compressed."""
        varying = [value for name, value in headers if name == b"vary"]
        others = [(name, value) for name, value in headers if name != b"vary"]
        return [*others, (b"vary", b", ".join([*varying, b"accept-encoding"]))]


def _is_worthy(headers: Any) -> bool:
    names = dict(headers)
    return names.get(b"content-type", b"").partition(b";")[0] in TYPES and b"content-encoding" not in names


def choose(accepted: bytes, offers: tuple[bytes, ...]) -> bytes | None:
    """Choose a coding by RFC 9110, section 12.5.3: the highest quality, then the first on offer; None for as it is."""
    if not accepted:
        return None
    qualities: dict[bytes, float] = {}
    for entry in accepted[:1_000].lower().split(b","):
        name, _, parameters = entry.partition(b";")
        _, _, quality = parameters.partition(b"q=")
        try:
            qualities[name.strip()] = float(quality) if quality.strip() else 1.0
        except ValueError:
            qualities[name.strip()] = 0.0
    found = {offer: qualities.get(offer, qualities.get(b"*", 0.0)) for offer in offers}
    best = max(offers, key=lambda offer: found[offer])
    as_it_is = qualities.get(b"identity", 0.0)
    return best if 0 < found[best] <= 1 and found[best] >= as_it_is else None
