"""How times grow: with the rows in the answer, the rows in the table, the connections and the processes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.contenders import Contender, Kind, admin_key, contenders, stop_all
from benchmarks.measuring import CONNECTIONS, Course
from benchmarks.workloads import WORKLOADS

PAGES = (3, 10, 30, 100, 300)
"""Memos in an answer with all their lines; those above 100 are asked for in several pages of one request."""
CLIENTS = (1, 4, 16, 64)
CURVED = ("ours-sqlite", "ours-postgresql", "floor-postgresql", "postgraphile", "mercurius")

_BY_NAME = {workload.name: workload for workload in WORKLOADS}


@dataclass
class Growth:
    """Per curve and contender: the pairs of what grows, and what was measured."""

    answer: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Rows in the answer, and milliseconds of one request after another."""
    table: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """Per workload and contender: rows in the table, and requests per second."""
    clients: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Connections, and requests per second of the list."""
    workers: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Per workload: processes, and requests per second of ours on PostgreSQL."""


def by_answer(course: Course, growth: Growth, seconds: float) -> None:
    """One client, larger and larger answers."""
    for first in PAGES:
        for contender in _curved(course.running):
            if first > 100 and contender.name.startswith("floor"):
                continue  # it reads no documents, and so no several pages of one request
            (body,) = course.bodies(contender, _BY_NAME["nested"], min(first, 100))
            if first > 100:
                body = {**body, "query": _several(body["query"], first // 100)}
            rows = _rows(contender.ask(body))
            measured = course.fire(contender, [body], seconds, connections=1)
            growth.answer.setdefault(contender.name, []).append((rows, 1000 / measured.per_second))


def by_clients(course: Course, growth: Growth, seconds: float) -> None:
    """More and more clients."""
    for connections in CLIENTS:
        for contender in _curved(course.running):
            measured = course.round(contender, _BY_NAME["list"], seconds, connections)
            growth.clients.setdefault(contender.name, []).append((connections, measured.per_second))


def by_workers(course: Course, growth: Growth, folder: Path, seconds: float) -> None:
    """One process, then two; by turns, since the machine has moods."""
    one = next(contender for contender in course.running if contender.name == "ours-postgresql")
    two = Contender(
        "ours-two-workers",
        "cm-graphql, PostgreSQL, two workers",
        one.database,
        one.command,
        environment={**one.environment, "CM_GRAPHQL_WORKERS": "2"},
        token=one.token,
    )
    two.start(course.databases.urls[two.database], folder)
    try:
        for name in ("memo", "nested"):
            bodies = course.bodies(one, _BY_NAME[name])
            for contender, workers in ((one, 1), (two, 2)):
                course.fire(contender, bodies, 1, CONNECTIONS)
                measured = course.fire(contender, bodies, seconds, 2 * CONNECTIONS)
                growth.workers.setdefault(name, []).append((workers, measured.per_second))
    finally:
        two.stop()


def by_table(course: Course, growth: Growth, build: Path, sizes: Sequence[int], seconds: float) -> None:
    """More and more memos in the table, each with few lines."""
    names = [
        contender.name
        for contender in course.running
        if contender.name in ("ours-sqlite", "ours-postgresql", "postgraphile")
    ]
    for size in sizes:
        databases = data.prepare(build, size, lean=True)
        peers = build / "peers" if "postgraphile" in names else None
        running = [contender for contender in contenders(peers) if contender.name in names]
        try:
            start(running, databases.urls, build)
            large = Course(databases, data.pick(databases), running)
            for name in ("memo", "list", "far", "nested"):
                for contender in running:
                    large.round(contender, _BY_NAME[name], 1)
                    measured = large.round(contender, _BY_NAME[name], seconds)
                    curve = growth.table.setdefault(name, {}).setdefault(contender.name, [])
                    curve.append((size, measured.per_second))
        finally:
            stop_all(running)
        print(f"{size:,} rows are done", flush=True)


def start(running: Sequence[Contender], urls: dict[Kind, str], build: Path) -> None:
    """Start contenders; ours is asked with a key, as it ships."""
    keys: dict[Kind, str] = {}
    for contender in running:
        url = urls[contender.database]
        if contender.ours:
            if contender.database not in keys:
                keys[contender.database] = admin_key(url)
            contender.token = keys[contender.database]
            contender.environment = {
                "CM_GRAPHQL_AUTH": "keys",
                "CM_GRAPHQL_RATE_LIMIT": "1000000000/minute",
            }  # counted, never reached
        contender.start(url, build)


def _curved(running: Sequence[Contender]) -> list[Contender]:
    return [contender for contender in running if contender.name in CURVED]


def _several(document: str, pages: int) -> str:
    """A document that asks for the same page several times, under other names."""
    start, end = document.index("creditMemos"), document.rindex("}")
    selection = document[start:end]
    field_ = selection.removeprefix("creditMemos:").strip()
    return document[:start] + " ".join(f"page{number}: {field_}" for number in range(pages)) + document[end:]


def _rows(answer: Any) -> int:
    """The rows of the database that an answer shows."""
    if isinstance(answer, dict):
        return ("id" in answer) + sum(map(_rows, answer.values()))
    return sum(map(_rows, answer)) if isinstance(answer, list) else 0
