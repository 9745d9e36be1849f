"""HTTP/1.1 as it comes off the wire: uvicorn's protocol, and what its parser leaves to the server."""

import asyncio
import types
from collections import Counter
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from cm_graphql.api.shortcut import PATH, STATE, Asked, Head, Header, Said, Shortcut
from cm_graphql.api.stalls import Impatient
from cm_graphql.api.streams import ENDING
from cm_graphql.api.traffic import COUNTED

HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers, when they come in several pieces: they wait in memory, and nobody knows whose they
are. Of what stands between two pieces of a body, and behind the last one, too.
"""

HEAD_SECONDS: Final = 20.0
"""For a request's line and headers to arrive, the first ones of a connection included."""

BODY_SECONDS: Final = 20.0
"""After so long a body that does not come in one piece is looked at again and again."""

BODY_BYTES: Final = 20 * 1024
"""Of a body, which have to arrive in that time, so that nobody keeps a form half sent; slower lines are of no use."""

RAW_PATH: Final = PATH.encode()

CONTINUE: Final = b"100-continue"

OFFERS: Final = (b"upgrade", b"http2-settings")
"""Headers by which a client offers to go on in another protocol."""

MOST_WAITING: Final = 65_536
"""Bytes that are written together at most; what streams is not held back for long."""

UNREAD: Final[Counter[int]] = Counter()
"""How many requests this process refused before anybody but the parser saw them, by status."""

T = TypeVar("T")

log = structlog.get_logger("cm_graphql.api")
access_log = structlog.get_logger("cm_graphql.access")


class Connection(Impatient, HttpToolsProtocol):
    """One connection of a client.

    An ordinary request to the endpoint that came in one piece is answered on the short way (`shortcut`), mostly before
    the next event is looked at. uvicorn hears of it only if it takes the long way after all.

    A client may offer another protocol, as Java's HttpClient and `curl --http2` offer HTTP/2. A server that does not
    care for the offer goes on as if there was none (RFC 9110, section 7.8). The parser however takes every offer for
    accepted and passes over the body, so such a request is read once more without the offer.
    """

    _head_is_open = False
    _head_bytes = 0
    _body_is_open = False
    _body_bytes = 0
    _has_heard_body = False
    _framing_bytes = 0
    """What came since the last piece of a body: what stands between and behind pieces is kept by the parser."""
    _patience: asyncio.TimerHandle | None = None
    _has_scope = False
    _idle_since: float | None = None
    """When the last answer ended, if no request has come since then."""
    _shortcut: Shortcut | None = None
    _pieces: list[bytes] | None = None
    """The body of a request that may take the short way, as long as it is not known to be whole."""
    _arrived = b""
    """What arrived last, if a request begins with it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, but not for ever."""
        self._wire = Joining(transport, self.loop)
        super().connection_made(self._wire)
        if not self.root_path and self.limit_concurrency is None:
            self._shortcut = self.app_state.get(STATE)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_looking()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close, or let the request end that is under way; what ends with the server alone is told that it does."""
        ending: asyncio.Event | None = self.app_state.get(ENDING)
        if ending is not None:
            ending.set()
        super().shutdown()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the protocol of WebSockets."""
        self._stop_looking()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        self._unset_keepalive_if_required()
        head_was_open, self._has_heard_body = self._head_is_open, False
        if self._shortcut is not None and self._is_between_requests:
            again = self._shortcut.seen(data)
            if again is not None:  # the parser would find what it found last time
                self._stop_waiting()
                self._take_short_way(*again)
                return
            self._arrived = data
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                return
            if self.parser.get_method() == b"CONNECT":  # which is such an offer itself, however often it is read
                self._note(400)
                self.send_400_response("There is no tunnel through this server.")
                return
            self.parser = httptools.HttpRequestParser(self)
            self.data_received(self._head_without_offer() + data[offer.args[0] :])
        except httptools.HttpParserError:
            self._note(400)
            self.send_400_response("Invalid HTTP request received.")
        else:
            if self._pieces is not None:
                self._go_on_waiting()
            if self._head_is_open:
                if self._patience is None:  # most heads come in one piece, and need no clock
                    self._wait_for_head()
                if head_was_open:
                    self._head_bytes += len(data)
                    if self._head_bytes > HEAD_BYTES:
                        self._hang_up(431)
            elif self._body_is_open:
                self._body_bytes += len(data)
                self._framing_bytes = 0 if self._has_heard_body else self._framing_bytes + len(data)
                if self._framing_bytes > HEAD_BYTES:
                    self._end_request(431)
                    return
                if self._patience is None:  # most bodies come in one piece too
                    self._wait_for_body()

    def on_message_begin(self) -> None:
        """Begin a request; what uvicorn wants to know of it is put together when it does not take the short way."""
        self._head_is_open, self._head_bytes = True, 0
        self.url = b""
        self.headers = []
        self._has_scope = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; not what stands like one behind a body, which whoever reads heads for us has not seen."""
        if self._head_is_open:
            self.headers.append((name.lower(), value))

    def _open_scope(self) -> None:
        """Tell uvicorn what it has not been told yet of a request."""
        if not self._has_scope:
            url, headers = self.url, self.headers
            super().on_message_begin()
            for name, value in headers:
                super().on_header(name, value)
            self.url, self._has_scope = url, True

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the request is read once more."""
        self._head_is_open, self._framing_bytes = False, 0
        self._stop_waiting()
        if not self.url.startswith(b"/"):
            self._take_host_of_target()
        if self._may_be_short():
            self._body_is_open = True
            self._pieces = []
            return
        self._open_scope()
        if self._has_offer():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
        else:
            self._body_is_open = True
            super().on_headers_complete()

    def _take_host_of_target(self) -> None:
        """Believe the host of an absolute target, and not that of the header (RFC 9112, section 3.2.2)."""
        target: Any = httptools.parse_url(self.url)
        if target.host is not None:
            port = b"" if target.port is None else b":%d" % target.port
            others = [header for header in self.headers if header[0] != b"host"]
            self.headers = [(b"host", target.host + port), *others]

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._has_heard_body = True
        if self._pieces is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """End a request, unless it is read once more."""
        if self._body_is_open:
            self._body_is_open = False
            self._stop_waiting()
        if self._pieces is not None:
            pieces, self._pieces = self._pieces, None
            self._begin_short_way(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        elif not self._has_offer():
            super().on_message_complete()

    # --- the short way ------------------------------------------------------------------------------------------------

    @property
    def _is_between_requests(self) -> bool:
        """Whether a request begins with what arrives, and nothing is before it."""
        return not (self._head_is_open or self._body_is_open or self._is_busy or self.flow.write_paused)

    @property
    def _is_busy(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _may_be_short(self) -> bool:
        """Whether a request may take the short way, as far as the first line tells, and nothing is before it."""
        return (
            self._shortcut is not None
            and self.url == RAW_PATH
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self._is_busy
            and not self.flow.write_paused
        )

    def _go_on_waiting(self) -> None:
        """Hand on a request whose body has not come as a whole."""
        pieces, self._pieces = self._pieces or [], None
        self._open_scope()
        super().on_headers_complete()
        for piece in pieces:
            super().on_body(piece)

    def _begin_short_way(self, body: bytes) -> None:
        """Answer a request that the parser has read."""
        assert self._shortcut is not None
        arrived, self._arrived = self._arrived, b""
        head = self._shortcut.head(self.headers, len(body))
        if head is None:
            self._take_long_way(self.headers, body, is_counted=False)
        else:
            self._take_short_way(head, body, arrived)

    def _take_short_way(self, head: Head, body: bytes, arrived: bytes = b"") -> None:
        """Answer a request at once, or begin to, or leave it to the long way."""
        assert self._shortcut is not None
        asked: Asked | None = None
        said: Said | None = None
        try:
            asked = self._shortcut.ask(head, body, self.client[0] if self.client else "", self.scheme or "")
            if asked is not None:
                if arrived:
                    self._shortcut.remember(arrived, head)
                # What changes something waits for the disk anyway, and belongs in a task from its beginning.
                if asked.is_mutation or not asked.has_turn:
                    self._go_on_later(None, asked, body)
                    return
                answering = self._shortcut.answer(asked)
                self._go_on_later(_going_on(answering, answering.send(None)), asked, body)
                return
        except StopIteration as done:
            said = done.value
        except Exception as error:  # a mistake of ours, which the long way may not have
            log.error("short_way_failed", exc_info=error)
        if said is None:
            self._take_long_way(head.headers, body, is_counted=asked is not None)
        else:
            self._say(said)
            self.on_response_complete()

    def _go_on_later(self, answering: Awaitable[Said | None] | None, asked: Asked, body: bytes) -> None:
        """Answer in a task of its own a request that has not begun, or whose answer waits for something."""
        underway = Underway()
        self.cycle = underway  # type: ignore[assignment] # as far as uvicorn is concerned
        task = self.loop.create_task(self._finish(answering, asked, underway, body))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _finish(
        self, answering: Awaitable[Said | None] | None, asked: Asked, underway: "Underway", body: bytes
    ) -> None:
        """Give an answer that could not be given at once, and stop it at its deadline, which begins with its turn."""
        assert self._shortcut is not None
        if not asked.has_turn:
            await self._shortcut.turn(asked)
        if answering is None:
            answering = self._shortcut.answer(asked)
        patience = asyncio.timeout(self._shortcut.seconds)
        said: Said | None = None
        try:
            async with patience:
                said = await answering
        except Exception as error:
            if isinstance(error, TimeoutError) and patience.expired():
                said = self._shortcut.too_late(asked)
                underway.keep_alive = False
            else:
                said = self._shortcut.failed(asked, error)
        if said is None:
            self._take_long_way(asked.head.headers, body, underway, is_counted=True)
            return
        underway.response_complete = True
        if not underway.disconnected:
            self._say(said, keep_alive=underway.keep_alive)
        self.on_response_complete()

    def _say(self, said: Said, *, keep_alive: bool = True) -> None:
        status, pieces = said
        begin = _begin(status, tuple(self.server_state.default_headers), keep_alive)
        self._wire.write_at_once(b"".join((begin, *pieces)))
        if not keep_alive:
            self.transport.close()

    def _take_long_way(
        self, headers: Sequence[Header], body: bytes, underway: "Underway | None" = None, *, is_counted: bool
    ) -> None:
        """Have a request answered by the application, perhaps after the short way has been tried for a while."""
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": "POST",
            "root_path": "",
            "path": PATH,
            "raw_path": RAW_PATH,
            "query_string": b"",
            "headers": list(headers),
            "state": {**self.app_state, COUNTED: True} if is_counted else self.app_state.copy(),
        }
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=any(name == b"expect" and value.lower() == CONTINUE for name, value in headers),
            keep_alive=underway is None or underway.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.body = bytearray(body)
        cycle.more_body = False
        cycle.message_event.set()
        if underway is not None:
            cycle.disconnected = underway.disconnected
        if underway is None or not self.pipeline:
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    # --- the clock ----------------------------------------------------------------------------------------------------

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(HEAD_SECONDS, self._hang_up, 408)

    def _wait_for_body(self) -> None:
        self._body_bytes = 0
        self._patience = self.loop.call_later(BODY_SECONDS, self._look_at_body)

    def _look_at_body(self) -> None:
        if self._body_bytes >= BODY_BYTES or self.flow.read_paused:  # while we do not read, nobody can send
            self._wait_for_body()
        else:
            self._end_request(408)

    def _end_request(self, status: int) -> None:
        """End a request whose body has not come to its end, and the connection with it."""
        if self.cycle.response_started:
            self.transport.close()
        else:
            self._hang_up(status)

    # uvicorn starts and stops a clock for each request; here one looks every now and then how long nothing came.

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_for_more_in(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _look_for_more_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _stop_looking(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection over which nothing has come for long."""
        idle = 0.0 if self._idle_since is None else self.loop.time() - self._idle_since
        if idle < self.timeout_keep_alive:
            self._look_for_more_in(self.timeout_keep_alive - idle)
        else:
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _hang_up(self, status: int) -> None:
        self._note(status)
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _note(self, status: int) -> None:
        """Count and log a refusal that the frame never hears of; of the request nothing is known but its sender."""
        UNREAD[status] += 1
        access_log.info("request_unread", status=status, client=self.client[0] if self.client else None)

    def _should_upgrade(self) -> bool:
        """Whether to go on as a socket: not while an earlier request is answered, whose answer would be overtaken."""
        return super()._should_upgrade() and not self._is_busy

    def _has_offer(self) -> bool:
        return bool(self.parser.should_upgrade()) and not self._should_upgrade()

    def _head_without_offer(self) -> bytes:
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] not in OFFERS]
        return b"\r\n".join((*lines, b"", b""))


class Unheard:
    """An event that nobody waits for: there is no more of the request."""

    def set(self) -> None:
        """Wake nobody."""


class Underway:
    """Stands where uvicorn looks for the state of a request, as long as the short way answers it."""

    message_event = Unheard()

    def __init__(self) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self.response_started = False


@lru_cache(20)
def _begin(status: int, default_headers: tuple[Header, ...], keep_alive: bool) -> bytes:
    """How answers begin for a second: with their status, and the date."""
    headers = [*default_headers, *([] if keep_alive else [(b"connection", b"close")])]
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in headers)


@types.coroutine
def _going_on(begun: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await what was begun outside of a task, and has come to where it waits for something."""
    try:
        while True:
            try:
                heard = yield waits_for
            except BaseException as error:
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(heard)
    except StopIteration as done:
        found: T = done.value
        return found


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

    def write_at_once(self, data: bytes) -> None:
        """Write a whole answer, after what was written before."""
        if self._waiting:
            self._flush()
        self._transport.write(data)

    def _flush(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting and not self._transport.is_closing():
            self._transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def get_write_buffer_size(self) -> int:
        """How many bytes are not yet with the system."""
        return self._size + self._transport.get_write_buffer_size()

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
