"""GraphQL over HTTP as its specification has it: POST and GET, both media types, and a status that tells the truth."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, OperationType
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Receive, Scope, Send

from cm_graphql.api import bodies, execution
from cm_graphql.api.documents import Document, Documents
from cm_graphql.api.errors import (
    ApiError,
    Code,
    DatabaseAway,
    DocumentRefused,
    ExecutionErrors,
    FormattedError,
    RequestRefused,
    away,
    from_api_error,
)
from cm_graphql.api.limits import LimitExceeded, Limits, Together
from cm_graphql.api.negotiation import EVENTS, GRAPHQL_RESPONSE, HTML, JSON, choose
from cm_graphql.api.page import Page, plain
from cm_graphql.api.persisted import PersistedDocuments
from cm_graphql.api.streams import ENDING, encode, send_events
from cm_graphql.api.traffic import COUNTED, HEAVY, TookTooLong, Traffic, TrafficRules, address_of
from cm_graphql.engine.operations import Operation
from cm_graphql.store.errors import Unreachable

METHODS = "GET, HEAD, POST, OPTIONS"

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""What a browser may load for an answer that it takes for a page; pages say otherwise."""

COST_HEADER = "x-graphql-cost"
"""Whoever sends it, or `cost` in the request's `extensions`, is told what the operation costs."""

STATUS_OF_CODE: Mapping[Code, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL_SERVER_ERROR: 500,
    Code.SERVICE_UNAVAILABLE: 503,
}
"""How a request is refused that no resolver saw; 400 for the other codes."""


class Context(execution.RequestContext, Protocol):
    """What this endpoint asks of the context it is given for each request."""

    @property
    def caller_id(self) -> str:
        """Who asks; empty where nobody said, and only the address tells callers apart."""
        ...

    @property
    def has_acted(self) -> bool:
        """Whether any action of the request was answered."""
        ...

    def explain(self, operation: Operation | None, variables: Mapping[str, Any] | None) -> None:
        """Add the plan of the operation to the answer, where that is allowed to this caller."""
        ...

    @property
    def response_extensions(self) -> MutableMapping[str, Any]:
        """What the answer carries as `extensions`, such as `idempotentReplay`; nothing if empty."""
        ...


T = TypeVar("T")

MakeContext = Callable[[HTTPConnection, str], Awaitable[Context]]
"""Makes a request's context from the request and its id; an ApiError that it raises refuses the whole request."""


@dataclass
class Stage:
    """How far a request has come."""

    kind: OperationType | None = None
    """What is being executed; None as long as nothing is."""


class GraphQLOverHTTP:
    """The ASGI application behind `/graphql`."""

    def __init__(
        self,
        schema: GraphQLSchema,
        make_context: MakeContext,
        *,
        limits: Limits | None = None,
        traffic: Traffic | None = None,
        persisted: PersistedDocuments | None = None,
        introspection: bool = True,
        page: Callable[[str], Page] = plain,
    ) -> None:
        self._schema = schema
        self._make_context = make_context
        self._page = page
        self._limits = limits or Limits()
        self._persisted = persisted or PersistedDocuments()
        self._traffic = traffic or Traffic(TrafficRules())
        self.documents = Documents(schema, self._limits, introspection=introspection)
        self._suggestions = introspection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        errors = ExecutionErrors(scope.get("state", {}).get("request_id", ""))
        answer = Answer(media_type=JSON)
        try:
            if await self._answer(request, errors, answer, receive, send):
                return
        except ClientDisconnect:
            return  # nobody is left to answer
        except RequestRefused as refused:
            answer.refuse(refused.status, [from_api_error(refused)], refused.headers)
        except ApiError as refused:
            headers = {"www-authenticate": "Bearer"} if refused.code is Code.UNAUTHENTICATED else {}
            answer.refuse(STATUS_OF_CODE.get(refused.code, 400), [from_api_error(refused)], headers)
        except DocumentRefused as refused:
            # A client that accepts only plain JSON could not tell our 400 from a proxy's, so it gets 200.
            answer.refuse(400 if answer.media_type == GRAPHQL_RESPONSE else 200, refused.errors)
        except Exception as error:
            answer.refuse(500, [errors.crashed(error)])
        await answer.send(send)

    async def _answer(
        self, request: Request, errors: ExecutionErrors, answer: "Answer", receive: Receive, send: Send
    ) -> bool:
        """Fill in the answer, or raise what refuses it; True when it was sent already, event by event."""
        if request.method == "OPTIONS":
            answer.status, answer.body, answer.headers = 204, b"", {"allow": METHODS}
            return False
        if request.method not in ("GET", "HEAD", "POST"):
            raise RequestRefused(405, f"{request.method} is not answered here.", headers={"allow": METHODS})
        by_post = request.method == "POST"
        answer.media_type = _negotiate(request, page_instead=not by_post and not _asks(request))
        if answer.media_type == HTML:
            page = self._page(str(request.url))
            answer.body, answer.headers = page.body, page.headers
            return False
        # Who asks comes before what they ask: strangers do not make us read bodies.
        context = await self._make_context(request, errors.request_id)
        caller = _caller(request, context)
        if COUNTED not in request.scope.get("state", ()):
            await self._traffic.count(caller)
        stage = Stage()
        if answer.media_type == EVENTS:
            parameters = await self._in_time(self._parameters(request), stage)
            if isinstance(parameters, list):
                raise RequestRefused(400, "Batches are not answered as events: send one operation per request.")
            await self._stream(parameters, request, errors, receive, send)
            return True
        # A turn comes before the body, so that nobody has more bodies lying here than requests running.
        async with self._traffic.turn(caller):
            answer.body = encode(await self._in_time(self._result(request, context, errors, stage), stage))
        return False

    async def _parameters(self, request: Request) -> bodies.Parameters | list[bodies.Parameters]:
        if request.method == "POST":
            return await bodies.from_post(request, self._limits)
        return bodies.from_url(request.scope["query_string"], self._limits)

    async def _result(
        self, request: Request, context: Context, errors: ExecutionErrors, stage: Stage
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The formatted result of the request, or those of its batch."""
        parameters = await self._parameters(request)
        if isinstance(parameters, list):
            return await self._results_of_batch(parameters, request, context, errors, stage)
        result = await self._execute(parameters, context, request, stage, by_post=request.method == "POST")
        return _format(result, errors, context.response_extensions, stage.kind)

    async def _results_of_batch(
        self,
        batch: list[bodies.Parameters],
        request: Request,
        context: Context,
        errors: ExecutionErrors,
        stage: Stage,
    ) -> list[dict[str, Any]]:
        """The results of each operation, done one after the other; the rate counts each."""
        for _ in batch[1:]:
            await self._traffic.count(_caller(request, context))
        await self._check_together(batch)
        results: list[dict[str, Any]] = []
        for parameters in batch:
            try:
                own = await self._make_context(request, errors.request_id)
                result = await self._execute(parameters, own, request, stage, by_post=True)
                results.append(_format(result, errors, own.response_extensions, stage.kind))
            except DatabaseAway as refused:
                if not results:
                    raise  # nothing was done, and all of it can be sent again
                results.append({"errors": [from_api_error(refused)]})
            except DocumentRefused as refused:
                results.append({"errors": refused.errors})
            except ApiError as refused:
                results.append({"errors": [from_api_error(refused)]})
        return results

    async def _check_together(self, batch: list[bodies.Parameters]) -> None:
        """Refuse a batch that is too much as a whole, before any of it was done; raises LimitExceeded."""
        together = Together(self._limits)
        for parameters in batch:
            try:
                text = await self._persisted.text(parameters)
            except (ApiError, Unreachable):
                continue  # told in its place
            is_new = together.add_text(text)
            try:
                document = self.documents.prepare(text)
            except DocumentRefused:
                continue
            if is_new:
                together.add_tokens(document.node.token_count)
            size = document.size(parameters.operation_name)
            if size is not None:
                together.add_operation(size, document.bill(parameters.operation_name, parameters.variables).total)

    async def _in_time(self, work: Awaitable[T], stage: Stage) -> T:
        """Do something, or stop it at its deadline; what it has open is closed by then, and undone."""
        seconds = self._traffic.rules.seconds
        patience = asyncio.timeout(seconds)
        try:
            async with patience:
                return await work
        except TimeoutError:
            if not patience.expired():
                raise
            mutates = stage.kind is OperationType.MUTATION
            raise TookTooLong(seconds, is_mutation=mutates, has_begun=stage.kind is not None) from None

    async def _stream(
        self, parameters: bodies.Parameters, request: Request, errors: ExecutionErrors, receive: Receive, send: Send
    ) -> None:
        """Send results as they come; raises what refuses the request before anything was sent."""
        try:
            kind = (await self._document(parameters)).operation_type(parameters.operation_name)
        except DocumentRefused:
            kind = None  # told as an event: clients of event streams see nothing of other answers
        if kind is OperationType.MUTATION and request.method != "POST":
            raise RequestRefused(405, "A mutation needs POST: GET must not change anything.", headers={"allow": "POST"})
        results = self._safe_results(parameters, request, errors)
        # What ends by itself is given the time that other requests are given.
        ending = request.scope.get("state", {}).get(ENDING) if kind is OperationType.SUBSCRIPTION else None
        await send_events(results, receive, send, lambda: self.admit(request, errors.request_id), ending)

    async def admit(self, connection: HTTPConnection, request_id: str) -> str:
        """Tell who the caller is, if they may still be answered; raises ApiError where not."""
        return _caller(connection, await self._make_context(connection, request_id))

    async def _safe_results(
        self, parameters: bodies.Parameters, request: Request, errors: ExecutionErrors
    ) -> AsyncIterator[dict[str, Any]]:
        """The results, and what refuses the operation as the last of them, for the status was sent already."""
        try:
            async for result in self.results(parameters, request, errors, counted=True):
                yield result
        except DocumentRefused as refused:
            yield {"errors": refused.errors}
        except ApiError as refused:
            yield {"errors": [from_api_error(refused)]}
        except Exception as error:
            yield {"errors": [errors.crashed(error)]}

    async def results(
        self,
        parameters: bodies.Parameters,
        connection: HTTPConnection,
        errors: ExecutionErrors,
        *,
        counted: bool = False,
    ) -> AsyncIterator[dict[str, Any]]:
        """The results of an operation, formatted: one of a query or mutation, any number of a subscription."""
        context = await self._make_context(connection, errors.request_id)
        caller = _caller(connection, context)
        if not counted:
            await self._traffic.count(caller)
        document = await self._document(parameters)
        if document.operation_type(parameters.operation_name) is not OperationType.SUBSCRIPTION:
            stage = Stage()
            async with self._traffic.turn(caller):
                work = self._execute(parameters, context, connection, stage, by_post=True)
                result = await self._in_time(work, stage)
            yield _format(result, errors, context.response_extensions, stage.kind)
            return
        self._price(document, parameters, connection, context)
        with self._traffic.stream(caller):
            async for formatted in self._subscribed(document, parameters, context, errors):
                yield formatted

    async def _subscribed(
        self, document: Document, parameters: bodies.Parameters, context: Context, errors: ExecutionErrors
    ) -> AsyncIterator[dict[str, Any]]:
        subscribed = execution.subscribe(
            self._schema,
            document.node,
            parameters.operation_name,
            parameters.variables,
            context,
            suggestions=self._suggestions,
        )
        async with aclosing(subscribed):
            try:
                async for result in subscribed:
                    yield _format(result, errors, context.response_extensions)
                    context.response_extensions.clear()  # told with the first, as it does not change
            except DocumentRefused:
                raise
            except Exception as error:  # what is watched ended with it, after any number of results
                located = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
                yield {"errors": [errors.format(located)]}

    async def _execute(
        self,
        parameters: bodies.Parameters,
        context: Context,
        connection: HTTPConnection,
        stage: Stage,
        *,
        by_post: bool,
    ) -> ExecutionResult:
        document = await self._document(parameters)
        operation_type = document.operation_type(parameters.operation_name)
        if operation_type is OperationType.SUBSCRIPTION:
            raise RequestRefused(
                400,
                "Subscriptions are answered over graphql-transport-ws, or as events to `Accept: text/event-stream`.",
            )
        if operation_type is OperationType.MUTATION and not by_post:
            raise RequestRefused(405, "A mutation needs POST: GET must not change anything.", headers={"allow": "POST"})
        cost = self._price(document, parameters, connection, context)
        if (parameters.extensions or {}).get("plan"):
            context.explain(document.operation(parameters.operation_name), parameters.variables)
        stage.kind = operation_type
        heavy = self._traffic.turn(_caller(connection, context), heavy=True) if cost >= HEAVY else nullcontext()
        async with heavy:
            result = await execution.answer(
                self._schema,
                document,
                parameters.operation_name,
                parameters.variables,
                context,
                suggestions=self._suggestions,
            )
        _refuse_unless_served(result, operation_type, context)
        return result

    async def tell(
        self, document: Document, parameters: bodies.Parameters, context: Context, errors: ExecutionErrors
    ) -> dict[str, Any]:
        """The formatted result of a mutation that the context has carried out, as resolvers tell it.

        Raises DatabaseAway where it could not be.
        """
        name = parameters.operation_name
        result = await execution.execute(
            self._schema,
            document.node,
            name,
            parameters.variables,
            context,
            document.operation(name),
            suggestions=self._suggestions,
        )
        _refuse_unless_served(result, OperationType.MUTATION, context)
        return _format(result, errors, context.response_extensions, OperationType.MUTATION)

    async def _document(self, parameters: bodies.Parameters) -> Document:
        """The document that a request brings or names."""
        try:
            text = await self._persisted.text(parameters)
        except Unreachable as error:
            raise DatabaseAway(error) from error
        document = self.documents.prepare(text)
        self._persisted.keep(parameters, text)
        return document

    def _price(
        self, document: Document, parameters: bodies.Parameters, connection: HTTPConnection, context: Context
    ) -> int:
        """Refuse what costs too much, and tell the cost to whoever asks for it."""
        bill, most = document.bill(parameters.operation_name, parameters.variables), self._limits.cost
        if bill.total > most:
            raise DocumentRefused([from_api_error(LimitExceeded("cost", most, bill.total, bill.explanation(most)))])
        if (parameters.extensions or {}).get("cost") or COST_HEADER in connection.headers:
            context.response_extensions["cost"] = {"requested": bill.total, "maximum": most}
        return bill.total


class Answer:
    """An HTTP response in the making."""

    def __init__(self, media_type: str) -> None:
        self.status = 200
        self.media_type = media_type
        self.body = b""
        self.headers: Mapping[str, str] = {}

    def refuse(self, status: int, errors: list[FormattedError], headers: Mapping[str, str] | None = None) -> None:
        """Become an answer of errors alone, without `data`."""
        self.status, self.body, self.headers = status, encode({"errors": errors}), headers or {}
        if self.media_type in (HTML, EVENTS):
            self.media_type = JSON

    async def send(self, send: Send) -> None:
        """Send it, never to be cached: answers depend on who asks and when."""
        headers = head_of(self.media_type if self.body else None)
        headers.update(self.headers)
        if self.status != 204:
            headers["content-length"] = str(len(self.body))
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


def head_of(media_type: str | None) -> dict[str, str]:
    """The headers that answers have in common, with that of their media type, where they have a body."""
    headers = {"cache-control": "no-store", "vary": "accept", "content-security-policy": NOTHING}
    if media_type is not None:
        headers["content-type"] = f"{media_type}; charset=utf-8"
    return headers


def _asks(request: Request) -> bool:
    """Whether a URL asks something, rather than for a page to ask with."""
    return any(name in request.query_params for name in ("query", "documentId", "doc_id", "extensions"))


def _caller(connection: HTTPConnection, context: Context) -> str:
    """For whom a request counts."""
    return context.caller_id or address_of(connection)


def _negotiate(request: Request, *, page_instead: bool) -> str:
    offers = (JSON, GRAPHQL_RESPONSE, HTML) if page_instead else (JSON, GRAPHQL_RESPONSE)
    accept = b", ".join([value for name, value in request.scope["headers"] if name == b"accept"]).decode("latin-1")
    # Many clients list event streams among what they could take: only who names nothing else is answered so.
    chosen = choose(accept, offers) or (choose(accept, (EVENTS,)) if EVENTS in accept.lower() else None)
    if chosen is None:
        raise RequestRefused(406, f"This endpoint answers with {GRAPHQL_RESPONSE}, {JSON} or {EVENTS}.")
    return chosen


def _refuse_unless_served(result: ExecutionResult, kind: OperationType | None, context: Context) -> None:
    """Raise DatabaseAway where that is all there is to tell: of a query always, for it can be asked again as a whole.

    A mutation must not be, if any of its actions was answered or may have been done.
    """
    causes = [away(error) for error in result.errors or ()]
    cause = next((cause for cause in causes if cause is not None), None)
    if cause is None:
        return
    if kind is OperationType.MUTATION and (context.has_acted or None in causes):
        return
    raise DatabaseAway(cause) from cause


def _format(
    result: ExecutionResult,
    errors: ExecutionErrors,
    extensions: Mapping[str, object],
    kind: OperationType | None = None,
) -> dict[str, Any]:
    formatted: dict[str, Any] = {}
    if result.errors:
        in_mutation = kind is OperationType.MUTATION
        formatted["errors"] = [errors.format(error, in_mutation=in_mutation) for error in result.errors]
    formatted["data"] = result.data
    if extensions:
        formatted["extensions"] = dict(extensions)
    return formatted
