"""HTTP/1.1 as it comes off the wire: uvicorn's protocol, and what its parser leaves to the server."""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers, when they come in several pieces: they wait in memory, and nobody knows whose they
are.
"""

HEAD_SECONDS: Final = 20.0
"""For a request's line and headers to arrive, the first ones of a connection included."""

BODY_SECONDS: Final = 20.0
"""After so long a body that does not come in one piece is looked at again and again."""

BODY_BYTES: Final = 20 * 1024
"""Of a body, which have to arrive in that time, so that nobody keeps a form half sent; slower lines are of no use."""

OFFERS: Final = (b"upgrade", b"http2-settings")
"""Headers by which a client offers to go on in another protocol."""

MOST_WAITING: Final = 65_536
"""Bytes that are written together at most; what streams is not held back for long."""


class Connection(HttpToolsProtocol):
    """One connection of a client.

    A client may offer another protocol, as Java's HttpClient and `curl --http2` offer HTTP/2. A server that does not
    care for the offer goes on as if there was none (RFC 9110, section 7.8). The parser however takes every offer for
    accepted and passes over the body, so such a request is read once more without the offer.
    """

    _head_is_open = False
    _head_bytes = 0
    _body_is_open = False
    _body_bytes = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, but not for ever."""
        super().connection_made(Joining(transport, self.loop))
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        self._unset_keepalive_if_required()
        head_was_open = self._head_is_open
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                return
            self.parser = httptools.HttpRequestParser(self)
            self.data_received(self._head_without_offer() + data[offer.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        else:
            if self._head_is_open:
                if self._patience is None:  # most heads come in one piece, and need no clock
                    self._wait_for_head()
                if head_was_open:
                    self._head_bytes += len(data)
                    if self._head_bytes > HEAD_BYTES:
                        self._hang_up(431)
            elif self._body_is_open:
                self._body_bytes += len(data)
                if self._patience is None:  # most bodies come in one piece too
                    self._wait_for_body()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._head_is_open, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the request is read once more."""
        self._head_is_open = False
        self._stop_waiting()
        if self._has_offer():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
        else:
            self._body_is_open = True
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request, unless it is read once more."""
        if self._body_is_open:
            self._body_is_open = False
            self._stop_waiting()
        if not self._has_offer():
            super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(HEAD_SECONDS, self._hang_up, 408)

    def _wait_for_body(self) -> None:
        self._body_bytes = 0
        self._patience = self.loop.call_later(BODY_SECONDS, self._look_at_body)

    def _look_at_body(self) -> None:
        if self._body_bytes >= BODY_BYTES or self.flow.read_paused:  # while we do not read, nobody can send
            self._wait_for_body()
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self._hang_up(408)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _hang_up(self, status: int) -> None:
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _has_offer(self) -> bool:
        return bool(self.parser.should_upgrade()) and not self._should_upgrade()

    def _head_without_offer(self) -> bytes:
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] not in OFFERS]
        return b"\r\n".join((*lines, b"", b""))


class Joining(asyncio.Transport):
    """A transport that makes one system call of what is written in one turn of the event loop.

    uvicorn writes the head of an answer apart from its body, and each write costs as much as finding a memo.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing  # type: ignore[method-assign] # asked several times per request
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]

    def write(self, data: Any) -> None:
        """Write soon, together with what follows at once."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._size += len(data)
        if self._size > MOST_WAITING:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting and not self._transport.is_closing():
            self._transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def close(self) -> None:
        """Write what waits, and close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._waiting, self._size = [], 0
        self._transport.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection on, as to a WebSocket."""
        self._flush()
        self._transport.set_protocol(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
