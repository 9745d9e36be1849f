"""The plots, each as SVG and PNG: the workloads as bars, and the curves of growth."""

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.growth import curve, times
from benchmarks.load import Missing
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from benchmarks.report import Report

COLORS = {
    "ours-sqlite": "#0b6e4f",
    "ours-postgresql": "#36a372",
    "floor-sqlite": "#9a9a9a",
    "floor-postgresql": "#c4c4c4",
    "tutorial": "#e0a458",
    "postgraphile": "#3b5b92",
    "mercurius": "#7b6fb0",
    "apollo": "#c05780",
}


def write(report: "Report", folder: Path) -> None:
    """Draw everything into a folder."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise Missing("matplotlib draws the plots: pip install '.[benchmark]', or run `make benchmark`.") from None
    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "cm-graphql",
            "svg.fonttype": "none",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    _save(_bars(report), folder / "performance-workloads")
    if report.growth.answer or report.growth.table:
        _save(_curves(report), folder / "performance-growth")


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=110)
    plt.close(figure)
    # Without the blanks at the ends of lines, which the repository's checks mind.
    svg = path.with_suffix(".svg")
    svg.write_text("\n".join(line.rstrip() for line in svg.read_text().splitlines()) + "\n")


def _bars(report: "Report") -> Any:
    """Per workload one bar for each contender."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(WORKLOADS), figsize=(13, 3.6), layout="constrained", sharey=True)
    names = [contender.name for contender in report.contenders][::-1]
    for axis, workload in zip(axes, WORKLOADS, strict=True):
        speeds = [report.results.median(name, workload.name) for name in names]
        axis.barh(range(len(names)), speeds, color=[COLORS[name] for name in names])
        for place, speed in enumerate(speeds):
            axis.text(speed, place, f" {speed:,.0f}", va="center", fontsize=7)
        axis.set_title(workload.title.partition(":")[0], fontsize=9)
        axis.set_yticks(range(len(names)), [report.title_of(name) for name in names])
        axis.set_xlim(0, max(speeds) * 1.25)
        axis.set_xticks([])
    figure.suptitle("Requests per second (longer is better)", fontsize=10)
    return figure


def _curves(report: "Report") -> Any:
    """The four ways to grow."""
    import matplotlib.pyplot as plt

    growth = report.growth
    figure, ((answer, table), (clients, workers)) = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for name, points in growth.answer.items():
        answer.plot(*zip(*points, strict=True), "o-", color=COLORS[name], label=report.title_of(name))
    answer.set(xscale="log", yscale="log", xlabel="rows in the answer", ylabel="milliseconds", title="Larger answers")
    answer.legend(fontsize=7)
    styles = {"memo": ":", "list": "-", "far": "--", "nested": "-."}
    for workload, curves in growth.table.items():
        for name, rounds in curves.items():
            label = f"{report.title_of(name)}, {workload}"
            table.plot(*zip(*curve(rounds), strict=True), styles[workload], marker="o", color=COLORS[name], label=label)
    if growth.table:
        table.set(xscale="log", yscale="log", xlabel="memos in the table", ylabel="requests per second")
        table.legend(fontsize=6, ncols=2)
    else:
        table.text(0.5, 0.5, "not measured in this run\n(--table-rows)", ha="center", transform=table.transAxes)
    table.set_title("Larger tables")
    for name, points in growth.clients.items():
        clients.plot(*zip(*points, strict=True), "o-", color=COLORS[name], label=report.title_of(name))
    clients.set(xscale="log", xlabel="connections", ylabel="requests per second", title="More clients, list of 50")
    clients.set_ylim(bottom=0)
    for workload, rounds in growth.workers.items():
        shown = [(count, statistics.median(times(rounds, count, 1))) for count in rounds]
        workers.plot(
            *zip(*shown, strict=True), styles[workload], marker="o", color=COLORS["ours-postgresql"], label=workload
        )
    workers.set(
        xlabel="worker processes", ylabel="times as fast as one", title="cm-graphql on PostgreSQL, two processors"
    )
    workers.set_xticks([1, 2])
    workers.set_ylim(0, 2.1)
    if growth.workers:
        workers.legend(fontsize=7)
    return figure
