"""The short way of an ordinary request: what was asked before, of a caller who was here a moment ago.

Such a request is asked everything that any other is: whether it may come by this host name, who sends it, how many they
may send and have running, what it may cost, whether its variables are right, what of it its sender may see. But all of
that stands ready and is only looked up, in one function that waits for nobody. Whatever is unusual about a request, and
whatever would be refused, takes the long way (`frame`, `http`), which says why; both ways give the same answer.

A mutation that has begun never goes the long way, which would do it again: whatever comes of it is told from here.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import structlog
import uuid_utils
from graphql import OperationType
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from cm_graphql.api import bodies, logs
from cm_graphql.api.authentication import Authentication
from cm_graphql.api.browsers import Admitted, Browsers, sharing
from cm_graphql.api.compression import LEAST, Compression
from cm_graphql.api.context import Api, Context
from cm_graphql.api.documents import Document, Documents
from cm_graphql.api.errors import ExecutionErrors, RequestRefused, from_api_error
from cm_graphql.api.frame import OVER_TLS, REQUEST_ID, SAFETY, RequestCounts, name_of
from cm_graphql.api.http import head_of
from cm_graphql.api.limits import Limits
from cm_graphql.api.negotiation import GRAPHQL_RESPONSE, JSON, ContentType, choose
from cm_graphql.api.persisted import PersistedDocuments
from cm_graphql.api.streams import encode
from cm_graphql.api.traffic import HEAVY, TookTooLong, Traffic, Turns, network
from cm_graphql.engine.runner import Engine, Ready, ReadyChange
from cm_graphql.operations.viewer import LOCAL

PATH: Final = "/graphql"

STATE: Final = "shortcut"
"""Under this name the state of the application tells its connections of the short way."""

UNUSUAL: Final = frozenset((b"expect", b"content-encoding", b"transfer-encoding", b"upgrade", b"x-graphql-cost"))
"""Headers that others have to look at."""

LONGEST: Final = 1_000
"""Bytes of headers whose meaning is remembered; longer ones are not, so that nobody can fill the memory with them."""

MOST_HEADS: Final = 500
"""Heads of requests that are remembered as wholes: a client sends the same again and again over its connections."""

LONGEST_HEAD: Final = 1_500
"""Bytes of such a head."""

END_OF_HEAD: Final = b"\r\n\r\n"

FORWARDED: Final = (b"x-forwarded-for", b"x-forwarded-proto")

log = structlog.get_logger("cm_graphql.api")

Header = tuple[bytes, bytes]

Said: TypeAlias = tuple[int, list[bytes]]
"""A status, and the headers and the body as they go on the wire."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of an ordinary request say, which is the same whenever they are."""

    headers: Sequence[Header]
    length: int
    """Bytes of the body."""
    media_type: str
    """What to answer with."""
    accepted: bytes
    """The codings that the answer may be compressed with."""
    authorization: bytes
    request_id: str | None
    forwarded: bytes | None
    proto: bytes | None
    origin: bytes
    """Whose pages are told that they may read the answer; empty where that is nobody's."""


@dataclass(slots=True)
class Asked:
    """An ordinary request that has passed everything it is asked."""

    began: float
    head: Head
    is_over_tls: bool
    context: Context
    caller: str
    turns: Turns
    has_turn: bool
    """Whether it may begin, or has to wait for `turns` first."""
    wanted: "Wanted"
    has_begun: bool = False
    """Whether something is being done that must not be done again."""

    @property
    def is_mutation(self) -> bool:
        """Whether it changes something."""
        return isinstance(self.wanted.ready, ReadyChange)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a body asks for, ready to be done."""

    ready: Ready | ReadyChange
    document: Document
    parameters: bodies.Parameters


Tell: TypeAlias = Callable[[Document, bodies.Parameters, Context, ExecutionErrors], Awaitable[dict[str, Any]]]
"""Gives the formatted result of a mutation that was done, in the words of resolvers."""


class Shortcut:
    """Answers ordinary requests, as bytes that go to the socket."""

    def __init__(
        self,
        api: Api,
        engine: Engine,
        authentication: Authentication,
        documents: Documents,
        persisted: PersistedDocuments,
        limits: Limits,
        traffic: Traffic,
        tell: Tell,
        browsers: Browsers,
        *,
        hosts: Collection[str] | None = None,
        proxies: Sequence[str] = (),
        compression: Compression | None = None,
        counts: RequestCounts | None = None,
    ) -> None:
        self.answered = 0
        """How many requests went the short way to its end."""
        self._api = api
        self._engine = engine
        self._authentication = authentication
        self._documents = documents
        self._persisted = persisted
        self._limits = limits
        self._traffic = traffic
        self._tell = tell
        self._browsers = browsers
        self._counts = counts
        self._compression = compression
        self._heads: dict[bytes, Head] = {}
        self._knows = _known(hosts)
        self._sender = _senders(proxies)

    @property
    def seconds(self) -> float:
        """How long a request may take."""
        return self._traffic.rules.seconds

    def seen(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body of a request that arrived as a whole, if its head is one that is remembered."""
        end = data.find(END_OF_HEAD)
        head = self._heads.get(data[:end])
        body = end + len(END_OF_HEAD)
        return None if head is None or end < 0 or len(data) - body != head.length else (head, data[body:])

    def remember(self, data: bytes, head: Head) -> None:
        """Remember the head of a request that arrived as a whole, and has been asked everything."""
        end = data.find(END_OF_HEAD)
        if 0 <= end <= LONGEST_HEAD and len(data) - end - len(END_OF_HEAD) == head.length:
            self._heads[data[:end]] = head
            if len(self._heads) > MOST_HEADS:
                del self._heads[next(iter(self._heads))]

    def head(self, headers: Sequence[Header], length: int) -> Head | None:
        """Read the headers of a POST to the endpoint whose body has so many bytes; None where it goes the long way."""
        given = dict(headers)
        if len(given) != len(headers) or not UNUSUAL.isdisjoint(given):
            return None
        host, accept, content_type = given.get(b"host", b""), given.get(b"accept", b""), given.get(b"content-type", b"")
        if len(host) + len(accept) + len(content_type) > LONGEST or not self._knows(host):
            return None
        forwarded, proto = given.get(FORWARDED[0]), given.get(FORWARDED[1])
        if len(forwarded or b"") + len(proto or b"") > LONGEST:
            return None
        media_type = _media_type(accept, content_type)
        if media_type is None:
            return None
        origin = given.get(b"origin", b"")
        admitted = self._browsers.admit(origin, given.get(b"sec-fetch-site", b""), given.get(b"sec-fetch-mode", b""))
        if admitted is Admitted.NOT:
            return None
        request_id = given.get(b"x-request-id", b"").decode("latin-1")
        return Head(
            tuple(headers),
            length,
            media_type,
            given.get(b"accept-encoding", b""),
            given.get(b"authorization", b""),
            request_id if REQUEST_ID.fullmatch(request_id) else None,
            forwarded,
            proto,
            origin if admitted is Admitted.SHARED else b"",
        )

    def ask(self, head: Head, body: bytes, client: str, scheme: str) -> Asked | None:
        """Ask a POST to the endpoint what every request is asked; None, and nothing done, where it goes the long way.

        What comes back has a turn, or has to take one (`turn`); `answer` gives it back.
        """
        began = time.perf_counter()
        if head.forwarded is not None or head.proto is not None:
            client, scheme = self._sender(client, scheme, head.forwarded, head.proto)
        address = network(client)
        viewer = self._authentication.known(head.authorization)
        if viewer is None or not self._traffic.trusts(address):
            return None
        try:
            wanted = self._wanted(body)
        except RequestRefused:
            return None
        if wanted is None or not viewer.may(wanted.ready.scopes):
            return None
        context = Context(self._api, viewer, head.request_id or uuid_utils.uuid7().hex)
        caller = address if viewer is LOCAL else viewer.id
        turns = self._traffic.at_once(caller)
        if turns is None:
            return None
        has_turn = turns.take(self._traffic.rules.running)
        return Asked(began, head, scheme == "https", context, caller, turns, has_turn, wanted)

    def _wanted(self, body: bytes) -> Wanted | None:
        """The operation of a body, if it has been asked before and a plan can answer it; raises RequestRefused."""
        limits = self._limits
        if len(body) > limits.body_bytes:
            return None
        found = bodies.load_json(body, limits, "The body")
        if type(found) is not dict:
            return None
        parameters = bodies.parameters_of(found)
        if parameters.extensions and parameters.extensions.keys() != {"persistedQuery"}:
            return None
        text = self._persisted.at_hand(parameters)
        document = None if text is None else self._documents.kept(text)
        operation = None if document is None else document.operation(parameters.operation_name)
        if document is None or operation is None:
            return None
        cost = document.bill(parameters.operation_name, parameters.variables).total
        if cost > limits.cost:
            return None
        ready: Ready | ReadyChange | None = None
        if operation.kind is OperationType.QUERY:
            # What could be heavy is read as far as it is not; beyond that, the long way sees to it.
            ready = self._engine.ready(operation, parameters.variables)
        elif operation.kind is OperationType.MUTATION and cost < HEAVY:
            ready = self._engine.ready_change(operation, parameters.variables, planned=True)
        return None if ready is None else Wanted(ready, document, parameters)

    async def turn(self, asked: Asked) -> None:
        """Wait for the turn of a request that has none."""
        try:
            await asked.turns.wait()
        except BaseException:
            self._traffic.let_go(asked.caller, asked.turns)
            raise
        asked.has_turn = True

    async def answer(self, asked: Asked) -> Said | None:
        """Answer a request that has its turn; None where it has to go the long way after all, as where there is an
        error to tell.
        """
        ready, coding = asked.wanted.ready, b""
        try:
            if isinstance(ready, ReadyChange):
                result = await self._changed(ready, asked)
            else:
                data = await self._engine.read(ready, asked.context, asked.context.viewer)
                if data is None or asked.context.response_extensions:
                    return None
                result = {"data": data}
            body = encode(result)
            if self._compression is not None and asked.head.accepted and len(body) >= LEAST:
                body, way = await self._compression.shortened(body, asked.head.accepted)
                coding = b"" if way is None else b"content-encoding: %b\r\n" % way
        finally:
            self._traffic.over(asked.caller, asked.turns)
        return self._said(asked, 200, body, coding)

    async def _changed(self, ready: ReadyChange, asked: Asked) -> dict[str, Any]:
        """Carry out a mutation, and give its formatted result."""
        asked.has_begun = True
        context, wanted = asked.context, asked.wanted
        data = await context.carry_out(ready)
        if data is None:
            errors = ExecutionErrors(context.request_id or "")
            return await self._tell(wanted.document, wanted.parameters, context, errors)
        return (
            {"data": data, "extensions": context.response_extensions} if context.response_extensions else {"data": data}
        )

    def failed(self, asked: Asked, error: Exception) -> Said | None:
        """Answer a request that our mistake has ended, or that is refused after all; None where the long way may not
        make the mistake.
        """
        if isinstance(error, RequestRefused):
            more = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in error.headers.items())
            return self._said(asked, error.status, encode({"errors": [from_api_error(error)]}), more)
        if not asked.has_begun:
            log.error("short_way_failed", exc_info=error)
            return None
        body = encode({"errors": [ExecutionErrors(asked.context.request_id or "").crashed(error)]})
        return self._said(asked, 500, body)

    def too_late(self, asked: Asked) -> Said:
        """Answer a request that was stopped at its deadline; the connection ends with it."""
        refused = TookTooLong(self.seconds, is_mutation=asked.is_mutation, has_begun=True)
        body = encode({"errors": [from_api_error(refused)]})
        return self._said(asked, refused.status, body)

    def _said(self, asked: Asked, status: int, body: bytes, more: bytes = b"") -> Said:
        """The answer, noted in numbers and log."""
        self.answered += 1
        seconds = time.perf_counter() - asked.began
        if self._counts is not None:
            self._counts.count(PATH, status, seconds)
        context = asked.context
        request_id = context.request_id or ""
        logs.note_request(request_id, "POST", PATH, status, context.viewer.id, round(seconds * 1000, 1))
        head = _head(asked.head.media_type, self._compression is not None, asked.is_over_tls, asked.head.origin)
        own = b"content-length: %d\r\nx-request-id: %b\r\n" % (len(body), request_id.encode())
        return status, [head, own, more, b"\r\n", body]


def _known(hosts: Collection[str] | None) -> Callable[[bytes], bool]:
    """Make what tells whether the server may be called by what a Host header says."""
    names = None if hosts is None else frozenset(host.lower().encode() for host in hosts)

    @lru_cache(100)
    def known(host: bytes) -> bool:
        return bool(host) if names is None else name_of(host) in names

    return known


def _senders(proxies: Sequence[str]) -> Callable[[str, str, bytes | None, bytes | None], tuple[str, str]]:
    """Make what tells the address and the scheme of a request that came by a proxy: uvicorn's own reading of it."""

    async def heard(*_: Any) -> None:
        return None

    middleware: Any = ProxyHeadersMiddleware(heard, list(proxies))

    @lru_cache(1_000)
    def sender(client: str, scheme: str, forwarded: bytes | None, proto: bytes | None) -> tuple[str, str]:
        given = zip(FORWARDED, (forwarded, proto), strict=True)
        headers = [(name, value) for name, value in given if value is not None]
        scope: dict[str, Any] = {"type": "http", "client": (client, 0), "scheme": scheme, "headers": headers}
        with suppress(StopIteration):
            middleware(scope, None, None).send(None)
        return scope["client"][0], scope["scheme"]

    return sender


@lru_cache(500)
def _media_type(accept: bytes, content_type: bytes) -> str | None:
    """What to answer with, if it is JSON that was sent and that is wanted."""
    sent = ContentType.parse(content_type.decode("latin-1"))
    if sent.media_type != "application/json" or not sent.is_utf8:
        return None
    return choose(accept.decode("latin-1"), (JSON, GRAPHQL_RESPONSE))


@lru_cache(100)
def _head(media_type: str, is_compressing: bool, is_over_tls: bool, origin: bytes) -> bytes:
    """The headers that all answers of a kind have in common."""
    headers = [(name.encode(), value.encode()) for name, value in head_of(media_type).items()]
    if origin:
        headers = sharing(headers, origin)
    if is_compressing:
        headers = Compression.varying(headers)
    headers += [*SAFETY, *([OVER_TLS] if is_over_tls else ())]
    return b"".join(b"%b: %b\r\n" % header for header in headers)


__all__ = ["PATH", "STATE", "Asked", "Head", "Header", "Said", "Shortcut"]
