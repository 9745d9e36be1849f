"""Around every request: an id, a place in the log, headers that browsers obey, and no stranger's host name."""

import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import structlog
import uuid_utils
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cm_graphql.api import logs

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""Ids of callers that are taken over; anything else could break a log or a header."""

PROBES = ("/healthz", "/readyz")
"""Asked every few seconds, under whatever name the prober knows; not worth a line in the log."""

SAFETY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""What browsers obey: no guessing of types, no address told elsewhere, no place in others' pages."""

GONE: Final = 499
"""Stands for the status where nobody was left to answer; the code that proxies use for it."""

OVER_TLS = (b"strict-transport-security", b"max-age=31536000")
"""Sent where a proxy says that the caller came by https: next time by nothing else."""

OWN_HEADERS = (b"x-request-id", *(name for name, _ in SAFETY))

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: the upper bounds of the classes that requests are counted in."""

ENDPOINTS: Final = ("graphql", "files")
"""The first part of a path, where it is ours; whatever else was asked for counts as `other`."""

VIEWER: Final = "viewer_id"
"""Under this name the state of a request tells who sends it, as soon as that is known."""

log = structlog.get_logger(logs.REQUESTS)


def note_viewer(scope: Scope, viewer_id: str) -> None:
    """Tell the log who sends a request: an id, never what proves it."""
    scope.setdefault("state", {})[VIEWER] = viewer_id


class RequestCounts:
    """The requests that this process answered: a few increments for each."""

    def __init__(self) -> None:
        self.statuses: Counter[tuple[str, int]] = Counter()
        """How many, by endpoint and status."""
        self.seconds: dict[str, float] = dict.fromkeys((*ENDPOINTS, "other"), 0.0)
        """The time until the answers of an endpoint began, altogether."""
        self.classes: dict[str, list[int]] = {kind: [0] * (len(BOUNDS) + 1) for kind in (*ENDPOINTS, "other")}
        """How many took how long: a number for each of BOUNDS, and one for those that took longer."""

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request, by the time until its answer began."""
        first = path[1:].partition("/")[0]
        endpoint = first if first in ENDPOINTS else "other"
        self.statuses[endpoint, status] += 1
        self.seconds[endpoint] += seconds
        self.classes[endpoint][bisect_left(BOUNDS, seconds)] += 1


class Frame:
    """ASGI middleware that gives each request its id and each response its safety headers.

    `hosts` are the names under which the server may be called, None for any. A page from elsewhere can point its own
    name at our address (DNS rebinding) and would then be of the same origin as we are; the name gives it away.
    `direct` are paths whose requests go past all that lies between here and their endpoints, which then must refuse
    and fail in a form of their own. `counts` is told of each request, if given.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str] | None = None,
        direct: Mapping[str, ASGIApp] | None = None,
        counts: RequestCounts | None = None,
    ) -> None:
        self._app = app
        self._counts = counts
        self._hosts = None if hosts is None else frozenset(host.lower().encode() for host in hosts)
        self._direct = direct or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "websocket" and not self._knows(scope):
            await receive()
            await send({"type": "websocket.close", "code": 4421, "reason": "Not under that host name."})
            return
        if kind == "websocket":
            await self._hold(scope, receive, send)
            return
        if kind != "http":
            await self._app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id").decode("latin-1")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid_utils.uuid7().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = GONE
        started = time.perf_counter()
        begun: float | None = None

        async def send_framed(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], time.perf_counter()
                headers = [header for header in message.get("headers", ()) if header[0] not in OWN_HEADERS]
                headers.append((b"x-request-id", request_id.encode()))
                headers += SAFETY
                if scope["scheme"] == "https":
                    headers.append(OVER_TLS)
                message = {**message, "headers": headers}
            await send(message)

        path = scope["path"]
        try:
            await self._choose(scope, path)(scope, receive, send_framed)
        except Exception:
            status = 500 if begun is None else status  # which is answered by whoever is around us
            raise
        finally:
            if self._counts is not None:
                self._counts.count(path, status, (begun or time.perf_counter()) - started)
            if path not in PROBES:
                # The path alone: the query string of a GET holds the document and its variables.
                logs.note_request(
                    request_id,
                    scope["method"],
                    path,
                    status,
                    scope["state"].get(VIEWER),
                    round((time.perf_counter() - started) * 1000, 1),
                )

    async def _hold(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a socket, and say in the log whose it was when it ends."""
        started = time.perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            log.info(
                "socket",
                path=scope["path"],
                viewer=scope.get("state", {}).get(VIEWER),
                seconds=round(time.perf_counter() - started, 1),
            )

    def _choose(self, scope: Scope, path: str) -> ASGIApp:
        if [name for name, _ in scope["headers"]].count(b"host") > 1:
            # A proxy before us may have believed the other one (RFC 9112, section 3.2).
            return PlainTextResponse("A request has one Host header.\n", status_code=400)
        if _header(scope, b"transfer-encoding").lower() not in (b"", b"chunked"):
            return PlainTextResponse("A body comes as it is, or in chunks.\n", status_code=501)
        if path in PROBES or self._knows(scope):
            return self._direct.get(path, self._app)
        return PlainTextResponse("This server does not answer for that host name.\n", status_code=421)

    def _knows(self, scope: Scope) -> bool:
        return self._hosts is None or name_of(_header(scope, b"host")) in self._hosts


def _header(scope: Scope, name: bytes) -> bytes:
    """The first header of a name; empty without one."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def name_of(host: bytes) -> bytes:
    """Take the port off a Host header; an IPv6 address keeps its brackets."""
    name, colon, port = host.lower().rpartition(b":")
    return name if colon and port.isdigit() else host.lower()
