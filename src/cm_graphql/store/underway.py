"""How far jobs at work are on SQLite, where a job's own final transaction keeps everybody from writing it down.

The only process that works there is also the only one that is asked, so that memory will do: connections know
the SQL function `underway`, which tells what is remembered of a job at work, and else what its row says.
"""

import sqlite3
from typing import Any, Final

from sqlalchemy import ColumnElement, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_PLACES: Final = {"lines_done": 0, "lines_total": 1}


class Underway:
    """What is remembered of the jobs that this process works at."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[int, int]] = {}

    def remember(self, job_id: str, done: int, total: int) -> None:
        """A job has come so far."""
        self._lines[job_id] = (done, total)

    def forget(self, job_id: str) -> None:
        """A job is not worked at any more: its row says where it stands."""
        self._lines.pop(job_id, None)

    def introduce(self, connection: sqlite3.Connection) -> None:
        """Have a connection know the SQL function."""
        connection.create_function("underway", 4, self._told)

    def _told(self, job_id: str, status: str, place: int, stored: int) -> int:
        lines = self._lines.get(job_id) if status == "PROCESSING" else None
        return stored if lines is None else lines[place]


class _Told(FunctionElement[int]):
    inherit_cache = True


@compiles(_Told)
def _as_stored(element: Any, compiler: Any, **options: Any) -> str:
    *_, stored = element.clauses
    return str(compiler.process(stored, **options))


@compiles(_Told, "sqlite")
def _as_remembered(element: Any, compiler: Any, **options: Any) -> str:
    job_id, status, stored = element.clauses
    given = ", ".join(compiler.process(one, **options) for one in (job_id, status))
    return f"underway({given}, {_PLACES[stored.name]}, {compiler.process(stored, **options)})"


def told(jobs: Table, name: str) -> ColumnElement[int]:
    """What a reader shall be told of `lines_done` or `lines_total`: on PostgreSQL, the column of that name."""
    element = _Told(jobs.c.id, jobs.c.status, jobs.c[name])
    element.type = jobs.c[name].type
    return element
