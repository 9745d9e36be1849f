"""What an application of one memo to one invoice costs below GraphQL: the processor's time of this process, and calls.

Run it with `.venv/bin/python benchmarks/applying.py`, which takes a minute; `--keys` gives each request an idempotency
key, `--profile 40` shows the functions that take most of the time. Sixteen requests at a time go through the gate upon
an SQLite file and upon a PostgreSQL of its own, a cent each. Of many short windows the fastest, and the fastest fifth,
tell most where the machine has something else to do. To compare two states, run it in turns from two checkouts.
"""

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from itertools import cycle, islice
from pathlib import Path
from time import process_time
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))

import uvloop

from benchmarks import ROOT, data
from benchmarks.contenders import Kind
from benchmarks.workloads import AMOUNT
from cm_graphql.api import logs
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import ApplyCreditMemo, InvoiceApplication
from cm_graphql.operations import settlement
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.ports import SystemClock, new_id
from cm_graphql.operations.viewer import LOCAL
from cm_graphql.store.database import Database

AT_A_TIME: Final = 16
WINDOW: Final = 96
"""Applications of which the time is taken together."""
PROFILED: Final = 300

Pairs = Iterator[tuple[str, str]]


async def apply(gate: Gate, pairs: Pairs, times: int, *, keys: bool) -> None:
    """Apply a cent so many times, sixteen at a time."""
    left = islice(pairs, times)

    async def one_after_another() -> None:
        for memo, invoice in left:
            command = ApplyCreditMemo(
                key=Key(memo),
                invoices=(InvoiceApplication(invoice_key=Key(invoice), amount=AMOUNT),),
                idempotency_key=new_id("key") if keys else None,
            )
            answer, _ = await gate.act(settlement.apply, command, LOCAL, "benchmark")
            assert answer.faults == (), answer.faults

    await asyncio.gather(*(one_after_another() for _ in range(AT_A_TIME)))


async def measure(url: str, pairs: Sequence[tuple[str, str]], *, windows: int, keys: bool, profile: int) -> str:
    """What it costs upon one database, as cells of a table."""
    database = Database.open(url, pool_size=AT_A_TIME)
    gate, endless = Gate(database, SystemClock()), cycle(pairs)
    await apply(gate, endless, 4 * WINDOW, keys=keys)  # until statements are prepared and plans are kept
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the server has it
    taken: list[float] = []
    for _ in range(windows):
        before = process_time()
        await apply(gate, endless, WINDOW, keys=keys)
        taken.append((process_time() - before) * 1_000 / WINDOW)
    profiler = cProfile.Profile()
    with profiler:
        await apply(gate, endless, PROFILED, keys=keys)
    await database.dispose()
    stats = pstats.Stats(profiler, stream=sys.stdout)
    if profile:
        stats.sort_stats("tottime").print_stats(profile)
    taken.sort()
    calls = stats.total_calls / PROFILED  # type: ignore[attr-defined]
    return f"{taken[0]:.2f} | {taken[windows // 5]:.2f} | {taken[windows // 2]:.2f} | {calls:,.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Seed both databases, measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memos", type=int, default=4_000, help="credit memos in the database")
    parser.add_argument("--windows", type=int, default=25, help=f"how often {WINDOW} applications are timed")
    parser.add_argument("--keys", action="store_true", help="with an idempotency key for each")
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="show so many functions")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="one of both only")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "benchmark", help="where databases are kept")
    given = parser.parse_args(arguments)
    given.build.mkdir(parents=True, exist_ok=True)
    databases = data.prepare(given.build, given.memos)
    pairs = data.pick(databases).pairs
    random.Random(data.SEED).shuffle(pairs)
    kinds: tuple[Kind, ...] = (given.database,) if given.database else ("sqlite", "postgresql")
    print("| | fastest, ms | fastest fifth, ms | median, ms | calls |\n| --- | --- | --- | --- | --- |")
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):  # the log is written as ever, and not shown
        logs.configure("info", "json")
        for kind in kinds:
            measured = measure(
                databases.urls[kind], pairs, windows=given.windows, keys=given.keys, profile=given.profile
            )
            print(f"| {kind} | {uvloop.run(measured)} |", flush=True)


if __name__ == "__main__":
    main()
