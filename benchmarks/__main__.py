"""The command: `python -m benchmarks` measures everything, and shows it as a table, as plots and as JSON."""

import os
import signal
import sys
import time
from pathlib import Path

from cyclopts import App

from benchmarks import ROOT, data, growth, report
from benchmarks.contenders import contenders, install_peers, stop_all
from benchmarks.data import SEED
from benchmarks.growth import Growth
from benchmarks.load import Missing, program
from benchmarks.measuring import Course, Different, Results

app = App(name="benchmarks", help="Measures cm-graphql beside what one would write or pick instead.")


@app.default
def run(
    *,
    quick: bool = False,
    rounds: int | None = None,
    seconds: float | None = None,
    memos: int = 20_000,
    table_rows: tuple[int, ...] = (),
    only: tuple[str, ...] = (),
    node: bool = True,
    write_docs: bool = False,
    build: Path = ROOT / "build" / "benchmark",
) -> None:
    """Bring up all contenders, see that they answer the same, and measure them in turns.

    Parameters
    ----------
    quick
        Two rounds of a second, without the curves: about three minutes.
    rounds
        Rounds of each workload and contender; 3 unless said.
    seconds
        Seconds of each; 3 unless said.
    memos
        Credit memos in the database.
    table_rows
        More sizes of the table, up to 1000000, whose memos have one line each; given several times.
    only
        The names of some contenders, instead of all.
    node
        Whether to install and measure the peers that run on Node.
    write_docs
        Write table and plots into docs/performance.md.
    build
        Where packages, databases and results are kept.
    """
    program()
    began, load = time.monotonic(), os.getloadavg()[0]
    build.mkdir(parents=True, exist_ok=True)
    peers = install_peers(build) if node else None
    running = [contender for contender in contenders(peers) if not only or contender.name in only]
    results, curves = Results(), Growth()
    databases = data.prepare(build, memos)
    length = seconds or (1 if quick else 3)
    try:
        growth.start(running, databases.urls, build)
        course = Course(databases, data.pick(databases), running)
        course.check()
        print(f"{len(running)} contenders give the same answers.", flush=True)
        course.measure(results, rounds or (2 if quick else 3), length)
        if not quick:
            growth.by_answer(course, curves, 2)
            growth.by_clients(course, curves, 2)
            if any(contender.name == "ours-postgresql" for contender in running):
                growth.by_workers(course, curves, build, 3)
            print("the curves are done", flush=True)
    finally:
        stop_all(running)
    if table_rows:
        growth.by_table(course, curves, build, table_rows, 3)
    minutes = (time.monotonic() - began) / 60
    shown = report.Report(running, results, curves, memos=memos, seed=SEED, minutes=minutes, load=load)
    shown.write(build)
    print(shown.table())
    if write_docs:
        shown.write_docs(ROOT / "docs")
    print(f"Results, plots and logs are in {build}.")


def main() -> None:
    """Run the command; what is missing or wrong is said in one sentence."""
    # Whoever is told to stop, as by `timeout`, ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except (Missing, Different) as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
