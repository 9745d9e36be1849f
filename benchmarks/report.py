"""What was measured, as a table, as plots, as JSON and as the page docs/performance.md."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.contenders import Contender
from benchmarks.growth import Growth, times
from benchmarks.measuring import CONNECTIONS, Results
from benchmarks.workloads import WORKLOADS

PEER = "postgraphile"
"""What all are held against."""

START = "<!-- measured: written by `python -m benchmarks --write-docs` -->"
END = "<!-- /measured -->"

BUSY = 1.0
"""From this load on, other programs take part of the processors that were to be measured."""

IMAGES = "images/"

SHIP = {
    # workload: PostgreSQL and SQLite against PostGraphile, and both against what is written by hand
    "memo": (2.0, 3.0, 0.85),
    "whole": (1.6, 1.6, 0.75),
    "list": (1.5, 2.0, 0.80),
    "nested": (1.6, 1.6, 0.75),
    "far": (2.0, 2.3, 0.75),
    "apply": (0.8, 0.8, 0.5),
}
"""The least that we want to be, in ratios."""


@dataclass(frozen=True)
class Target:
    """Something that was to be reached."""

    what: str
    wanted: float
    found: Sequence[float]
    """Ratios, one for each round."""

    @property
    def median(self) -> float:
        """The ratio that counts."""
        return statistics.median(self.found)

    def row(self) -> list[str]:
        """The same for a table."""
        verdict = "yes" if self.median >= self.wanted else "no"
        return [self.what, f"{self.wanted:.2f}", _spread(self.found), verdict]


@dataclass(frozen=True)
class Report:
    """One run."""

    contenders: Sequence[Contender]
    results: Results
    growth: Growth
    memos: int
    seed: int
    minutes: float
    load: float
    """The machine's load before the contenders were started."""

    def table(self) -> str:
        """Requests per second, each beside its ratio to PostGraphile."""
        header = ["contender", *(workload.title for workload in WORKLOADS), "RSS idle / busy"]
        rows = [
            [one.title, *(self._cell(one, workload.name) for workload in WORKLOADS), self._memory(one)]
            for one in self.contenders
        ]
        return _markdown(header, rows)

    def _cell(self, one: Contender, workload: str) -> str:
        speed = self.results.median(one.name, workload)
        ratios = self.results.ratios(one.name, PEER, workload) if self._has(PEER) else []
        return f"{_number(speed)}" + (f" ({_spread(ratios)})" if ratios and one.name != PEER else "")

    def _memory(self, one: Contender) -> str:
        return f"{self.results.idle[one.name]:.0f} / {self.results.busy[one.name]:.0f} MB"

    def _has(self, name: str) -> bool:
        return any(contender.name == name for contender in self.contenders)

    def milliseconds(self, what: Callable[[str, str], float], places: int) -> str:
        """A figure in milliseconds of each contender and workload."""
        header = ["contender", *(workload.title for workload in WORKLOADS)]
        rows = [
            [one.title, *(f"{what(one.name, workload.name):.{places}f}" for workload in WORKLOADS)]
            for one in self.contenders
        ]
        return _markdown(header, rows)

    def targets(self) -> str:
        """What was to be reached, and whether it was."""
        return _markdown(
            ["target", "at least", "measured: median (lowest to highest round)", "reached"],
            [target.row() for target in self._targets()],
        )

    def _targets(self) -> list[Target]:
        found = []
        for workload in WORKLOADS:
            on_postgresql, on_sqlite, by_hand = SHIP[workload.name]
            for name, other, wanted in (
                ("ours-postgresql", PEER, on_postgresql),
                ("ours-sqlite", PEER, on_sqlite),
                ("ours-postgresql", "floor-postgresql", by_hand),
                ("ours-sqlite", "floor-sqlite", by_hand),
            ):
                if self._has(name) and self._has(other):
                    ratios = self.results.ratios(name, other, workload.name)
                    found.append(
                        Target(f"{workload.title}: {self.title_of(name)} / {self.title_of(other)}", wanted, ratios)
                    )
        if self._has("ours-postgresql") and self._has("mercurius"):
            for name, wanted in (("memo", 1.0), ("list", 1.0), ("nested", 2.0)):
                ratios = self.results.ratios("ours-postgresql", "mercurius", name)
                found.append(Target(f"{name}: cm-graphql, PostgreSQL / Mercurius", wanted, ratios))
        for name, rounds in self.growth.workers.items():
            found.append(Target(f"two workers / one, {name}", 1.5, times(rounds, 2, 1)))
        found.extend(self._larger_tables())
        for one in self.contenders:
            if one.ours:
                found.append(
                    Target(f"120 MB / memory under load, {one.title}", 1.0, [120 / self.results.busy[one.name]])
                )
        return found

    def _larger_tables(self) -> list[Target]:
        """Ten times the rows."""
        return [
            Target(
                f"{10 * size:,} memos / {size:,}, {name}: {self.title_of(contender)}",
                0.8,
                times(rounds, 10 * size, size),
            )
            for name, curves in self.growth.table.items()
            for contender, rounds in curves.items()
            for size in rounds
            if 10 * size in rounds and contender != PEER
        ]

    def title_of(self, name: str) -> str:
        """How a contender is called."""
        return next((contender.title for contender in self.contenders if contender.name == name), name)

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured."""
        return {
            "machine": machine(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "minutes": round(self.minutes, 1),
            "load_before": self.load,
            "memos": self.memos,
            "seed": self.seed,
            "connections": CONNECTIONS,
            "rounds": {
                contender: {workload: [asdict(one) for one in rounds] for workload, rounds in workloads.items()}
                for contender, workloads in self.results.rounds.items()
            },
            "megabytes": {"idle": self.results.idle, "busy": self.results.busy},
            "growth": asdict(self.growth),
            "targets": [
                {"what": target.what, "at_least": target.wanted, "median": target.median, "rounds": list(target.found)}
                for target in self._targets()
            ],
        }

    def write(self, folder: Path) -> None:
        """Write JSON, tables and plots."""
        from benchmarks import plots

        (folder / "results.json").write_text(json.dumps(self.as_json(), indent=1) + "\n")
        (folder / "results.md").write_text(self._section("") + "\n")
        plots.write(self, folder)

    def write_docs(self, docs: Path) -> None:
        """Renew what docs/performance.md says was measured, and its plots."""
        from benchmarks import plots

        plots.write(self, docs / "images")
        page = docs / "performance.md"
        text = page.read_text()
        before, _, rest = text.partition(START)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{START}\n\n{self._section(IMAGES)}\n\n{END}{after}")

    def _section(self, images: str) -> str:
        """The results; `images` is where the plots lie, seen from the page."""
        of = machine()
        rounds = max((len(found) for one in self.results.rounds.values() for found in one.values()), default=0)
        about = (
            f"Measured on {datetime.now(UTC):%Y-%m-%d} in {self.minutes:.0f} minutes: {of['processors']} processors "
            f"({of['model']}), Linux {of['kernel']}, Python {of['python']}; {self.memos:,} memos, "
            f"{CONNECTIONS} connections, {rounds} round{'s' if rounds > 1 else ''} in turns, "
            f"commit {of['commit']}."
            + (
                f" **The machine was busy with other things (load {self.load:.0f} before the start)**: ratios of one "
                "round and processor times mean something, the other figures little."
                if self.load > BUSY
                else ""
            )
        )
        return "\n\n".join(
            (
                about,
                f"![Requests per second, a column for each kind of request]({images}performance-workloads.svg)",
                "Requests per second, median of the rounds; in brackets how many times PostGraphile's, with the lowest "
                "and the highest round. RSS is that of the server's process, before and under load.",
                self.table(),
                "The slowest of a hundred answers (99th percentile), in milliseconds:",
                self.milliseconds(self.results.p99, 1),
                "Processor time of the server for each request, its database left out, in milliseconds. It tells more "
                "than the others where the machine has something else to do:",
                self.milliseconds(self.results.processor, 2),
                "What was to be reached:",
                self.targets(),
                *([f"![How times grow]({images}performance-growth.svg)"] if self.growth.answer else []),
            )
        )


def machine() -> dict[str, Any]:
    """What a reader has to know of the machine."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "processors": os.cpu_count(),
        "model": models[0] if models else platform.processor(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def _spread(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    return f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"


def _number(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
