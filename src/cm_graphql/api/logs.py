"""What goes to the log and how it looks: lines for a person at a terminal, JSON for a machine elsewhere."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "console", "json"]

REQUESTS: Final = "cm_graphql.access"
"""The name of the logger of requests."""


def configure(level: str, log_format: LogFormat) -> None:
    """Send our log and that of our libraries to standard error, from this level on.

    Tracebacks come without local variables, which hold what callers sent.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Processor] = (
        [structlog.processors.format_exc_info, _to_json]
        if as_json
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries say at these levels what only their own developers want to know.
    for chatty in ("uvicorn.error", "alembic", "aiosqlite", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # Our own entries do not take the long way through logging.
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    global _note
    _note = RequestLines().note if as_json and root.level <= logging.INFO else _note_as_any


def note_request(request_id: str, method: str, path: str, status: int, viewer: str | None, milliseconds: float) -> None:
    """Write the line of a request."""
    _note(request_id, method, path, status, viewer, milliseconds)


def _note_as_any(request_id: str, method: str, path: str, status: int, viewer: str | None, milliseconds: float) -> None:
    structlog.get_logger(REQUESTS).info(
        "request",
        request_id=request_id,
        method=method,
        path=path,
        status=status,
        viewer=viewer,
        milliseconds=milliseconds,
    )


_note: Callable[[str, str, str, int, str | None, float], None] = _note_as_any


class RequestLines:
    """Writes the lines of requests as the other lines of JSON are written, without the steps in between.

    Those of one turn of the event loop are handed to the system together.
    """

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._second = 0
        self._shown = ""

    def note(
        self, request_id: str, method: str, path: str, status: int, viewer: str | None, milliseconds: float
    ) -> None:
        """Write the line of a request soon."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        line: dict[str, Any] = {
            "request_id": request_id,
            "method": method,
            "path": path,
            "status": status,
            "viewer": viewer,
            "milliseconds": milliseconds,
            "event": "request",
            "level": "info",
            "logger": REQUESTS,
            "timestamp": self._now(),
        }
        self._waiting.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _now(self) -> str:
        second, microseconds = divmod(time.time_ns() // 1_000, 1_000_000)
        if second != self._second:
            self._second = second
            self._shown = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._shown}.{microseconds:06d}Z"

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        sys.stderr.flush()
        sys.stderr.buffer.write(b"".join(waiting))
        sys.stderr.buffer.flush()


class _Lines:
    """A logger that writes each entry as a line to standard error, in one piece."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Write a line."""
        sys.stderr.write(f"{line}\n")

    debug = info = warning = error = critical = msg


def _to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=repr).decode()
