"""How times grow: with the rows in the answer, the rows in the table, the connections and the processes."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import data
from benchmarks.contenders import Contender, Kind, admin_key, contenders, stop_all
from benchmarks.measuring import CONNECTIONS, Course
from benchmarks.workloads import WORKLOADS

PAGES = (3, 10, 30, 100, 300)
"""Memos in an answer with all their lines; those above 100 are asked for in several pages of one request."""
CLIENTS = (1, 4, 16, 64)
TURNS = 3
"""So many times tables of different sizes, and one process and two, are measured in turns: the machine has moods."""
LARGER = ("memo", "list", "far", "nested")
CURVED = ("ours-sqlite", "ours-postgresql", "floor-postgresql", "postgraphile", "mercurius")

Rounds: TypeAlias = dict[int, list[float]]
"""For each size what was measured round by round."""

_BY_NAME = {workload.name: workload for workload in WORKLOADS}


@dataclass
class Growth:
    """Per curve and contender: the pairs of what grows, and what was measured."""

    answer: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Rows in the answer, and milliseconds of one request after another."""
    table: dict[str, dict[str, Rounds]] = field(default_factory=dict)
    """Per workload and contender: for each number of rows in the table requests per second."""
    clients: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Connections, and requests per second of the list."""
    workers: dict[str, Rounds] = field(default_factory=dict)
    """Per workload: for each number of processes requests per second of ours on PostgreSQL."""


def curve(rounds: Rounds) -> list[tuple[int, float]]:
    """The medians."""
    return [(size, statistics.median(found)) for size, found in rounds.items()]


def times(rounds: Rounds, size: int, other: int) -> list[float]:
    """How many times as fast with one size as with another, round by round, lowest first."""
    return sorted(a / b for a, b in zip(rounds[size], rounds[other], strict=True))


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
    """One process, and two."""
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
            found = growth.workers[name] = {1: [], 2: []}
            for turn in range(-1, TURNS):  # the first one warms up
                for workers, contender in ((1, one), (2, two)):
                    measured = course.fire(contender, bodies, seconds if turn >= 0 else 1, 2 * CONNECTIONS)
                    if turn >= 0:
                        found[workers].append(measured.per_second)
    finally:
        two.stop()


def by_table(course: Course, growth: Growth, build: Path, sizes: Sequence[int], seconds: float) -> None:
    """More and more memos in the table, each with few lines; all sizes are there at the same time."""
    names = [
        contender.name
        for contender in course.running
        if contender.name in ("ours-sqlite", "ours-postgresql", "postgraphile")
    ]
    courses: dict[int, Course] = {}
    try:
        for size in sizes:
            databases = data.prepare(build, size, lean=True)
            peers = build / "peers" if "postgraphile" in names else None
            running = [contender for contender in contenders(peers) if contender.name in names]
            courses[size] = Course(databases, data.pick(databases), running)
            start(running, databases.urls, build)
            print(f"{size:,} rows are there", flush=True)
        for name in LARGER:
            growth.table[name] = {contender: {size: [] for size in sizes} for contender in names}
            for turn in range(-1, TURNS):  # the first one warms up
                for place, contender in enumerate(names):
                    for size, large in courses.items():
                        measured = large.round(large.running[place], _BY_NAME[name], seconds if turn >= 0 else 1)
                        if turn >= 0:
                            growth.table[name][contender][size].append(measured.per_second)
            print(f"larger tables: {name} is done", flush=True)
    finally:
        stop_all([contender for large in courses.values() for contender in large.running])


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
