"""`GET /metrics`: how much the server did, how fast, and what waits, as Prometheus reads it; nothing of any customer.

Everything that serves requests keeps plain counters. They are gathered when somebody asks, so that a request pays for a
few increments and for nothing else.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cm_graphql.api.connections import UNREAD
from cm_graphql.api.context import Api, Context
from cm_graphql.api.errors import Code, DatabaseAway, RequestRefused, from_api_error
from cm_graphql.api.frame import BOUNDS, RequestCounts, note_viewer
from cm_graphql.api.traffic import Traffic, address_of
from cm_graphql.operations.viewer import Viewer
from cm_graphql.store import jobs
from cm_graphql.store.direct import Direct
from cm_graphql.store.session import Session

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PATH: Final = "/metrics"

SCOPE: Final = "settings:read"
"""What a caller needs, who also must not be limited to accounts: the numbers are those of the whole tenant."""

DATABASE_SECONDS: Final = 2.0
"""For which the database is waited for; the other numbers are told without it."""

log = structlog.get_logger("cm_graphql.metrics")


@dataclass(frozen=True)
class Sources:
    """Where the numbers are kept."""

    requests: RequestCounts
    traffic: Traffic
    api: Api
    direct: Direct

    def collect(self) -> Iterator["Metric"]:
        """What this process counted, labelled with it: several may answer on one port."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        process = str(os.getpid())

        def counted(name: str, meaning: str, labels: Sequence[str], counts: Mapping[Any, float]) -> "Metric":
            family = CounterMetricFamily(name, meaning, labels=["process", *labels])
            for key, number in counts.items():
                values = key if isinstance(key, tuple) else (key,)
                family.add_metric([process, *map(str, values)], number)
            return family

        yield counted("cm_graphql_requests", "Requests answered.", ["endpoint", "status"], self.requests.statuses)
        yield counted(
            "cm_graphql_requests_unread", "Requests refused before they were understood as HTTP.", ["status"], UNREAD
        )
        seconds = HistogramMetricFamily(
            "cm_graphql_request_seconds", "Seconds until an answer began.", labels=["process", "endpoint"]
        )
        for endpoint, classes in self.requests.classes.items():
            seconds.add_metric([process, endpoint], list(_cumulated(classes)), self.requests.seconds[endpoint])
        yield seconds
        queries = {} if self.api.engine is None else self.api.engine.counted
        yield counted("cm_graphql_queries", "Queries, by how much of them plans answered.", ["answered"], queries)
        yield counted(
            "cm_graphql_actions",
            "What mutations did, element by element: DONE, REPLAYED, CUT_OFF, or why it was refused.",
            ["action", "outcome"],
            self.api.gate.outcomes,
        )
        yield counted("cm_graphql_rate_limited", "Requests refused with 429.", ["limit"], self.traffic.refusals)
        busy = GaugeMetricFamily("cm_graphql_pool_busy", "Connections in use.", labels=["process", "pool"])
        size = GaugeMetricFamily("cm_graphql_pool_size", "Connections there may be.", labels=["process", "pool"])
        for name, (used, most) in {**self.api.database.usage(), "plans": self.direct.usage()}.items():
            busy.add_metric([process, name], used)
            size.add_metric([process, name], most)
        yield busy
        yield size


def _cumulated(classes: Sequence[int]) -> Iterator[tuple[str, float]]:
    """Each bound with the number of those below it, as Prometheus counts."""
    total = 0
    for bound, number in zip([*map(str, BOUNDS), "+Inf"], classes, strict=True):
        total += number
        yield bound, total


@dataclass(frozen=True)
class Gathered:
    """Families of numbers that stand ready."""

    families: Sequence["Metric"]

    def collect(self) -> Sequence["Metric"]:
        """The families."""
        return self.families


class MetricsEndpoint:
    """Answers with the numbers."""

    def __init__(self, make_context: Callable[[Request, str], Awaitable[Context]]) -> None:
        from prometheus_client.exposition import choose_encoder  # at the start: the first who asks need not wait

        self._make_context = make_context
        self._choose_encoder = choose_encoder

    async def __call__(self, request: Request) -> Response:
        """Answer a GET or HEAD."""
        sources: Sources = request.app.state.sources
        try:
            try:
                context = await self._make_context(request, getattr(request.state, "request_id", ""))
                viewer, caller = context.viewer, context.caller_id
            except DatabaseAway:
                # Nobody can be asked whose key it is. Whom it is remembered of is told what they were told before;
                # others are told that, as everybody is by /readyz.
                remembered = request.app.state.authentication.remembered(request.headers.getlist("authorization"))
                if remembered is None or not _may_read(remembered):
                    await sources.traffic.count(address_of(request))
                    return self._answer(request, [_database_up(0)])
                viewer, caller = remembered, remembered.id
                note_viewer(request.scope, viewer.id)
            await sources.traffic.count(caller or address_of(request))
            if not _may_read(viewer):
                message = f"The server's numbers need {SCOPE}, and a caller who is not limited to accounts."
                raise RequestRefused(403, message, Code.FORBIDDEN)
        except RequestRefused as refused:
            headers = {"cache-control": "no-store", **refused.headers}
            return JSONResponse({"errors": [from_api_error(refused)]}, refused.status, headers)
        return self._answer(request, [*sources.collect(), *await self._of_database(sources.api)])

    def _answer(self, request: Request, families: "Sequence[Metric]") -> Response:
        encode, media_type = self._choose_encoder(request.headers.get("accept", ""))
        headers = {"cache-control": "no-store", "content-type": media_type}
        gathered: Any = Gathered(
            families
        )  # a Collector but for its base class, which is imported only where it is used
        return Response(encode(gathered), headers=headers)

    async def _of_database(self, api: Api) -> list["Metric"]:
        """What all processes share, and so has no process for a label."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        try:
            async with asyncio.timeout(DATABASE_SECONDS), api.database.read() as connection:
                standing = await jobs.counted(Session(connection, api.database.dialect))
        except Exception as error:
            log.warning("database_not_counted", reason=type(error).__name__)
            return [_database_up(0)]
        number = GaugeMetricFamily("cm_graphql_jobs", "Jobs that are kept.", labels=["status"])
        age = GaugeMetricFamily(
            "cm_graphql_oldest_job_seconds",
            "Seconds since the oldest unfinished job was asked for.",
            labels=["status"],
        )
        for status, many, oldest in standing:
            number.add_metric([status], many)
            if status not in jobs.FINAL:
                age.add_metric([status], max(0.0, (datetime.now(UTC) - oldest).total_seconds()))
        return [_database_up(1), number, age]


def _database_up(value: int) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    up = GaugeMetricFamily("cm_graphql_database_up", "Whether the database answers.")
    up.add_metric([], value)
    return up


def _may_read(viewer: Viewer) -> bool:
    return viewer.accounts is None and SCOPE in viewer.scopes


def is_installed() -> bool:
    """Whether the library is there that the extra `prometheus` brings."""
    return find_spec("prometheus_client") is not None
