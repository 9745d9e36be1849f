"""Around every request: an id, a place in the log, headers that browsers obey, and no stranger's host name."""

import re
import time
from collections.abc import Collection

import structlog
import uuid_utils
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""Ids of callers that are taken over; anything else could break a log or a header."""

PROBES = ("/healthz", "/readyz")
"""Asked every few seconds, under whatever name the prober knows; not worth a line in the log."""

log = structlog.get_logger("cm_graphql.access")


class Frame:
    """ASGI middleware that gives each request its id and each response its safety headers.

    `hosts` are the names under which the server may be called, None for any. A page from elsewhere can point its own
    name at our address (DNS rebinding) and would then be of the same origin as we are; the name gives it away.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None = None) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not self._knows(Headers(scope=scope)):
            await receive()
            await send({"type": "websocket.close", "code": 4421, "reason": "Not under that host name."})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid_utils.uuid7().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500
        started = time.perf_counter()

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                framed = MutableHeaders(raw=list(message.get("headers", ())))
                framed["x-request-id"] = request_id
                framed["x-content-type-options"] = "nosniff"
                message = {**message, "headers": framed.raw}
            await send(message)

        try:
            await self._choose(scope, headers)(scope, receive, send_framed)
        finally:
            if scope["path"] not in PROBES:
                # The path alone: the query string of a GET holds the document and its variables.
                log.info(
                    "request",
                    request_id=request_id,
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                )

    def _choose(self, scope: Scope, headers: Headers) -> ASGIApp:
        if len(headers.getlist("host")) > 1:
            # A proxy before us may have believed the other one (RFC 9112, section 3.2).
            return PlainTextResponse("A request has one Host header.\n", status_code=400)
        if scope["path"] in PROBES or self._knows(headers):
            return self._app
        return PlainTextResponse("This server does not answer for that host name.\n", status_code=421)

    def _knows(self, headers: Headers) -> bool:
        return self._hosts is None or _name(headers.get("host", "")) in self._hosts


def _name(host: str) -> str:
    """Take the port off a Host header; an IPv6 address keeps its brackets."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
