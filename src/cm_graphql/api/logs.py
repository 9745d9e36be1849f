"""What goes to the log and how it looks: lines for a person at a terminal, JSON for a machine elsewhere."""

import asyncio
import atexit
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
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
    lines = JsonLines()
    handler: logging.Handler = _Among(lines) if as_json else logging.StreamHandler(sys.stderr)
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
        processors=[structlog.contextvars.merge_contextvars, lines.render] if as_json else [*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=partial(_JsonLogger, lines) if as_json else _Lines,
        cache_logger_on_first_use=True,
    )
    global _note
    _note = lines.note if as_json and root.level <= logging.INFO else _note_as_any


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


class JsonLines:
    """Writes entries as lines of JSON, in few steps, since there are two of them for each change.

    Those of one turn of the event loop are handed to the system together.
    """

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        atexit.register(self._flush)

    def note(
        self, request_id: str, method: str, path: str, status: int, viewer: str | None, milliseconds: float
    ) -> None:
        """Write the line of a request soon."""
        entry: dict[str, Any] = {
            "request_id": request_id,
            "method": method,
            "path": path,
            "status": status,
            "viewer": viewer,
            "milliseconds": milliseconds,
            "event": "request",
        }
        self.write(self._line(entry, "info", REQUESTS))

    def render(self, logger: WrappedLogger, method: str, entry: EventDict) -> bytes:
        """Make the line of an entry: what structlog's own processors make of it, one after the other."""
        if "exc_info" in entry:
            entry = structlog.processors.format_exc_info(logger, method, entry)
        return self._line(entry, method, logger.name)

    def _line(self, entry: EventDict, level: str, logger: str) -> bytes:
        entry["level"], entry["logger"], entry["timestamp"] = level, logger, _now()
        return orjson.dumps(entry, default=repr, option=orjson.OPT_APPEND_NEWLINE)

    def write(self, line: bytes, *, soon: bool = True) -> None:
        """Write a line: soon, or at once where it may be the last one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread, which leaves alone what waits in the loop
            _to_stderr(line)
            return
        if loop is not self._loop:
            self._flush()  # what a loop before it was stopped too early for
            self._loop = loop
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(line)
        if not soon:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            _to_stderr(b"".join(waiting))


def _now() -> str:
    second, microseconds = divmod(time.time_ns() // 1_000, 1_000_000)
    return f"{_shown(second)}.{microseconds:06d}Z"


@lru_cache(maxsize=1)
def _shown(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _to_stderr(lines: bytes) -> None:
    sys.stderr.flush()
    sys.stderr.buffer.write(lines)
    sys.stderr.buffer.flush()


class _JsonLogger:
    """What structlog hands lines to; none that tells what went wrong waits for the end of a turn."""

    def __init__(self, lines: JsonLines, name: str = "") -> None:
        self.name = name
        self.debug = self.info = lines.write
        self.warning = self.error = self.critical = partial(lines.write, soon=False)


class _Among(logging.Handler):
    """Has the entries of libraries take their place among ours."""

    def __init__(self, lines: JsonLines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of an entry."""
        try:
            self._lines.write(f"{self.format(record)}\n".encode(), soon=record.levelno < logging.WARNING)
        except Exception:  # as every handler of the standard library
            self.handleError(record)


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
