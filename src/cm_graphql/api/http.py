"""GraphQL over HTTP as its specification has it: POST and GET, both media types, and a status that tells the truth."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson
from graphql import DocumentNode, ExecutionResult, GraphQLSchema, OperationType
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from cm_graphql.api import bodies, execution
from cm_graphql.api.documents import Documents
from cm_graphql.api.errors import (
    ApiError,
    Code,
    DocumentRefused,
    ExecutionErrors,
    FormattedError,
    RequestRefused,
    from_api_error,
)
from cm_graphql.api.limits import Limits
from cm_graphql.api.negotiation import GRAPHQL_RESPONSE, HTML, JSON, choose
from cm_graphql.api.page import Page, plain

METHODS = "GET, HEAD, POST, OPTIONS"

STATUS_OF_CODE: Mapping[Code, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL_SERVER_ERROR: 500,
}
"""How a request is refused that no resolver saw; 400 for the other codes."""


class Context(execution.RequestContext, Protocol):
    """What this endpoint asks of the context it is given for each request."""

    async def planned(
        self, document: DocumentNode, operation_name: str | None, variables: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """The data of a query that a plan can answer; None where resolvers must."""
        ...

    @property
    def response_extensions(self) -> Mapping[str, object]:
        """What the answer carries as `extensions`, such as `idempotentReplay`; nothing if empty."""
        ...


MakeContext = Callable[[Request, str], Awaitable[Context]]
"""Makes a request's context from the request and its id; an ApiError that it raises refuses the whole request."""


class GraphQLOverHTTP:
    """The ASGI application behind `/graphql`."""

    def __init__(
        self,
        schema: GraphQLSchema,
        make_context: MakeContext,
        *,
        limits: Limits | None = None,
        introspection: bool = True,
        page: Callable[[str], Page] = plain,
    ) -> None:
        self._schema = schema
        self._make_context = make_context
        self._page = page
        self._limits = limits or Limits()
        self._documents = Documents(schema, self._limits, introspection=introspection)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        errors = ExecutionErrors(scope.get("state", {}).get("request_id", ""))
        answer = Answer(media_type=JSON)
        try:
            await self._answer(request, errors, answer)
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

    async def _answer(self, request: Request, errors: ExecutionErrors, answer: "Answer") -> None:
        """Fill in the answer, or raise what refuses it."""
        if request.method == "OPTIONS":
            answer.status, answer.body, answer.headers = 204, b"", {"allow": METHODS}
            return
        if request.method not in ("GET", "HEAD", "POST"):
            raise RequestRefused(405, f"{request.method} is not answered here.", headers={"allow": METHODS})
        by_post = request.method == "POST"
        answer.media_type = _negotiate(request, page_instead=not by_post and "query" not in request.query_params)
        if answer.media_type == HTML:
            page = self._page(str(request.url))
            answer.body, answer.headers = page.body, page.headers
            return
        if by_post:
            parameters = await bodies.from_post(request, self._limits)
        else:
            parameters = bodies.from_url(request.scope["query_string"], self._limits)
        context = await self._make_context(request, errors.request_id)
        result = await self._execute(parameters, context, by_post=by_post)
        answer.body = _encode(_format(result, errors, context.response_extensions))

    async def _execute(self, parameters: bodies.Parameters, context: Context, *, by_post: bool) -> ExecutionResult:
        document = self._documents.prepare(parameters.query)
        operation_type = document.operation_type(parameters.operation_name)
        if operation_type is OperationType.SUBSCRIPTION:
            raise RequestRefused(400, "Subscriptions are not answered over plain HTTP.")
        if operation_type is OperationType.MUTATION and not by_post:
            raise RequestRefused(405, "A mutation needs POST: GET must not change anything.", headers={"allow": "POST"})
        if operation_type is OperationType.QUERY:
            planned = await context.planned(document.node, parameters.operation_name, parameters.variables)
            if planned is not None:
                return ExecutionResult(planned)
        return await execution.execute(
            self._schema, document.node, parameters.operation_name, parameters.variables, context
        )


class Answer:
    """An HTTP response in the making."""

    def __init__(self, media_type: str) -> None:
        self.status = 200
        self.media_type = media_type
        self.body = b""
        self.headers: Mapping[str, str] = {}

    def refuse(self, status: int, errors: list[FormattedError], headers: Mapping[str, str] | None = None) -> None:
        """Become an answer of errors alone, without `data`."""
        self.status, self.body, self.headers = status, _encode({"errors": errors}), headers or {}
        if self.media_type == HTML:
            self.media_type = JSON

    async def send(self, send: Send) -> None:
        """Send it, never to be cached: answers depend on who asks and when."""
        headers = Headers(
            {
                "cache-control": "no-store",
                "vary": "accept",
                **({"content-type": f"{self.media_type}; charset=utf-8"} if self.body else {}),
                **self.headers,
                **({"content-length": str(len(self.body))} if self.status != 204 else {}),
            }
        )
        await send({"type": "http.response.start", "status": self.status, "headers": headers.raw})
        await send({"type": "http.response.body", "body": self.body})


def _negotiate(request: Request, *, page_instead: bool) -> str:
    offers = (JSON, GRAPHQL_RESPONSE, HTML) if page_instead else (JSON, GRAPHQL_RESPONSE)
    chosen = choose(", ".join(request.headers.getlist("accept")), offers)
    if chosen is None:
        raise RequestRefused(406, f"This endpoint answers with {GRAPHQL_RESPONSE} or {JSON}.")
    return chosen


def _format(result: ExecutionResult, errors: ExecutionErrors, extensions: Mapping[str, object]) -> dict[str, Any]:
    formatted: dict[str, Any] = {}
    if result.errors:
        formatted["errors"] = [errors.format(error) for error in result.errors]
    formatted["data"] = result.data
    if extensions:
        formatted["extensions"] = dict(extensions)
    return formatted


def _encode(answer: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(answer)
    except TypeError:
        # Integers past 64 bits and lone surrogates, which a JSON scalar may hold, are beyond orjson.
        return json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()
