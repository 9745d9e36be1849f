"""Checks that all contenders answer the same, then measures them in turns."""

import base64
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import data, load, workloads
from benchmarks.contenders import Contender
from benchmarks.data import Databases
from benchmarks.load import Measured
from benchmarks.workloads import WORKLOADS, Picked, Workload

CONNECTIONS = 16


class Different(Exception):
    """A contender answers something else, or did not do what it said; the message shows it."""


@dataclass
class Results:
    """What was measured: per contender and workload one entry for each round."""

    rounds: dict[str, dict[str, list[Measured]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    idle: dict[str, float] = field(default_factory=dict)
    """Megabytes before the first request of a workload."""
    busy: dict[str, float] = field(default_factory=dict)
    """The most megabytes after a round."""

    def median(self, contender: str, workload: str) -> float:
        """The median of requests per second; 0 for what was not measured."""
        found = self.rounds.get(contender, {}).get(workload)
        return statistics.median(one.per_second for one in found) if found else 0.0

    def p99(self, contender: str, workload: str) -> float:
        """The median of the rounds' 99th percentiles, in milliseconds."""
        return statistics.median(one.p99 for one in self.rounds[contender][workload])

    def processor(self, contender: str, workload: str) -> float:
        """The median of the rounds' processor time per request, in milliseconds."""
        return statistics.median(one.processor for one in self.rounds[contender][workload])

    def ratios(self, contender: str, other: str, workload: str) -> list[float]:
        """How many times as fast as another, round by round, lowest first."""
        mine, theirs = (self.rounds.get(name, {}).get(workload, []) for name in (contender, other))
        return sorted(a.per_second / b.per_second for a, b in zip(mine, theirs, strict=True) if b.per_second)


class Course:
    """The contenders on the same rows, ready to be asked."""

    def __init__(self, databases: Databases, picked: Picked, running: Sequence[Contender]) -> None:
        self.databases = databases
        self.picked = picked
        self.running = running
        self._after: dict[str, str] = {}

    def bodies(self, contender: Contender, workload: Workload, first: int = 50) -> list[Any]:
        """The requests of a workload for a contender."""
        if workload.name == "far" and contender.name not in self._after:
            self._after[contender.name] = self._far(contender)
        return workloads.bodies(
            workload,
            self.picked,
            graphile=contender.graphile,
            pairs=self.pairs(contender),
            after=self._after.get(contender.name),
            first=first,
        )

    def pairs(self, contender: Contender) -> list[tuple[str, str]]:
        """The pairs that a contender applies; nobody else touches them."""
        place = [one.name for one in self.running].index(contender.name)
        return self.picked.pairs[place :: len(self.running)]

    def _far(self, contender: Contender) -> str:
        """The cursor of the far page: that of the first page, moved."""
        page = workloads.Workload("page", "", workloads.LIST, "list")
        (body,) = workloads.bodies(page, self.picked, graphile=contender.graphile, pairs=[], after=None, first=1)
        cursor = contender.ask(body)["creditMemos"]["pageInfo"]["endCursor"]
        if "|" in cursor:
            return "|".join(self.picked.far)
        place = json.loads(base64.urlsafe_b64decode(cursor + "=="))
        moved = json.dumps([place[0], *self.picked.far], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(moved).decode().rstrip("=")

    def check(self) -> None:
        """See that all answers are equal; raises Different."""
        for workload in WORKLOADS:
            expected: Any = None
            for contender in self.running:
                asked = self.bodies(contender, workload)
                body = asked[0]
                answer = contender.ask(body)
                if workload.kind == "apply":
                    self._check_applied(contender, body, answer)
                    continue
                found = workloads.comparable(answer, stored=contender.graphile)
                if expected is None:
                    expected = found
                elif found != expected:
                    raise Different(f"{contender.title}, {workload.title}: {_difference(expected, found)}")

    def _check_applied(self, contender: Contender, body: Any, answer: Any) -> None:
        """What was applied is in the database, and in the answer."""
        memo = body["variables"]["key"]
        rows = self.databases.rows(
            contender.database, f"SELECT id, applied_amount, unapplied_amount FROM credit_memos WHERE id = '{memo}'"
        )
        found = workloads.comparable(answer, stored=contender.graphile)["applyCreditMemo"]["creditMemo"]
        stored = dict(zip(("id", "appliedAmount", "unappliedAmount"), rows[0], strict=True))
        if found != workloads.comparable(stored, stored=True):
            raise Different(f"{contender.title} answers {answer}, and the database has {stored}.")

    def round(
        self, contender: Contender, workload: Workload, seconds: float, connections: int = CONNECTIONS
    ) -> Measured:
        """Put a contender under load; raises Different when it refused or lost anything."""
        pairs = self.pairs(contender)
        applies = workload.kind == "apply"
        before = data.applied(self.databases, contender.database, pairs) if applies else 0
        measured = self.fire(contender, self.bodies(contender, workload), seconds, connections)
        if applies:
            moved = data.applied(self.databases, contender.database, pairs) - before
            if moved < measured.requests * int(workloads.AMOUNT * 10_000):
                raise Different(f"{contender.title} answered {measured.requests} applications and did {moved / 100}.")
        return measured

    def fire(self, contender: Contender, bodies: Sequence[Any], seconds: float, connections: int) -> Measured:
        """Send a contender requests; raises Different when it refused any."""
        before = load.processor_seconds(contender.pid)
        measured = load.fire(contender.url, bodies, token=contender.token, connections=connections, seconds=seconds)
        spent = load.processor_seconds(contender.pid) - before
        measured = replace(measured, processor=1000 * spent / max(1, measured.requests))
        if measured.failed:
            raise Different(f"{contender.title}: {measured.failed} of {measured.requests} requests failed.")
        return measured

    def measure(self, results: Results, rounds: int, seconds: float) -> None:
        """Measure everything so many times, in turns, so that whatever disturbs the machine disturbs all alike."""
        for contender in self.running:
            results.idle[contender.name] = load.megabytes([contender.pid])
        for number in range(-1, rounds):  # the first round warms up, and does not count
            for workload in WORKLOADS:
                for contender in _turned(self.running, number):
                    measured = self.round(contender, workload, seconds if number >= 0 else 1)
                    if number >= 0:
                        results.rounds[contender.name][workload.name].append(measured)
                    held = load.megabytes([contender.pid])
                    results.busy[contender.name] = max(held, results.busy.get(contender.name, 0))
            print(f"round {number + 1} of {rounds} is done" if number >= 0 else "warmed up", flush=True)


def _turned(contenders: Sequence[Contender], by: int) -> Iterator[Contender]:
    """The same contenders, beginning with another one each time."""
    start = by % len(contenders)
    yield from (*contenders[start:], *contenders[:start])


def _difference(expected: Any, found: Any, path: str = "") -> str:
    """The first place where two answers differ."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for name in expected:
            if expected[name] != found[name]:
                return _difference(expected[name], found[name], f"{path}.{name}")
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            if one != other:
                return _difference(one, other, f"{path}[{index}]")
    return f"at {path or 'the top'}: expected {str(expected)[:300]}, found {str(found)[:300]}"
