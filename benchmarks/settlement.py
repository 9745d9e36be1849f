"""How long it takes to apply a memo and take it off again, per line, from 1,000 lines to 300,000.

Run it with `.venv/bin/python benchmarks/settlement.py`, which takes a minute or two, or with `--full` for the largest
memos (options: `--help`). It asks the real server over HTTP, on an SQLite file and on a PostgreSQL of its own, both
told to survive a power cut; up to 15,000 lines are applied at once, more in a job. After each movement the books are
added up again from the raw tables. What it prints is a table in Markdown. Seconds belong to the machine, and to what
else it has to do; the processor's time per line, in the server and in PostgreSQL together, should stay the same.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import httpx
from sqlalchemy.engine import make_url

import postgres
import servers
from auditing import audit
from cm_graphql.store import migrations
from cm_graphql.store import tables as t
from cm_graphql.store.jobs import FINAL
from databases import Kind, asyncpg_url, execute
from large import Large, a_large_memo
from operating import Desk, a_desk
from programs import Program

AT_ONCE: Final = 15_000
QUICK: Final = (1_000, 15_000, 30_000)
"""One of each kind: small, the most at once, and a job."""
FULL: Final = (1_000, 3_000, 15_000, 50_000, 150_000, 300_000)
DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}
"""What the tests switch off."""


@dataclass(frozen=True)
class Took:
    """What one movement of money took."""

    lines: int
    seconds: float
    busy: float
    """The seconds that the processor worked for it, in the server and in PostgreSQL."""
    memory: int
    """The most memory that the process which did it ever had, in MiB."""


# --- the processes ----------------------------------------------------------------------------------------------------


@contextmanager
def a_database(kind: Kind, directory: Path) -> Iterator[str]:
    """The URL of an empty, migrated database."""
    if kind == "sqlite":
        url = f"sqlite+aiosqlite:///{directory}/memos.db"
    else:
        postgres.SETTINGS.update(DURABLE)
        server = postgres.start(os.getpid())
        asyncio.run(execute(server, "CREATE DATABASE memos"))
        url = asyncpg_url(server, "memos")
    asyncio.run(migrations.upgrade(url))
    yield url


@contextmanager
def a_server(url: str, directory: Path) -> Iterator[tuple[str, Program]]:
    """The address of a server upon a database, and its process, which is new: what it needed at most is this run's."""
    port = postgres.free_port()
    process = servers.started(url, directory, port)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


class Processor:
    """The processor's time that a server took, and the PostgreSQL of this run with all its processes."""

    def __init__(self, process: Program, url: str) -> None:
        self._process = process
        self._port = None if url.startswith("sqlite") else make_url(url).port
        self._before = self._now()

    def taken(self) -> float:
        """Seconds since this was made."""
        return self._now() - self._before

    def _now(self) -> float:
        spent = {int(path.parent.name): _times(path) for path in Path("/proc").glob("[0-9]*/stat")}
        ticks = spent[self._process.pid][1]
        if self._port is not None:
            ticks += sum(time for pid, (parent, time) in spent.items() if self._main in (pid, parent))
        return ticks / os.sysconf("SC_CLK_TCK")

    @cached_property
    def _main(self) -> int:
        """The process of PostgreSQL from which all others come."""
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = command.read_bytes().split(b"\0")
                if words[0].endswith(b"postgres") and str(self._port).encode() in b" ".join(words):
                    return int(command.parent.name)
        raise LookupError("PostgreSQL does not run here")


def _times(stat: Path) -> tuple[int, int]:
    """The parent of a process, and the clock ticks that it and its children that ended have worked."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:  # it ended just now
        return 0, 0
    return int(fields[1]), sum(map(int, fields[11:15]))


def most_memory(process: Program) -> int:
    """The most memory that a process ever had, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1_024


# --- moving money -----------------------------------------------------------------------------------------------------

APPLY = "mutation ($in: ApplyCreditMemoInput!) { done: applyCreditMemo(input: $in) { userErrors { message } } }"
UNAPPLY = "mutation ($in: UnapplyCreditMemoInput!) { done: unapplyCreditMemo(input: $in) { userErrors { message } } }"
APPLY_LATER = """mutation ($in: ApplyCreditMemoAsyncInput!) {
    done: applyCreditMemoAsync(input: $in) { job { id } userErrors { message } } }"""
UNAPPLY_LATER = """mutation ($in: UnapplyCreditMemoAsyncInput!) {
    done: unapplyCreditMemoAsync(input: $in) { job { id } userErrors { message } } }"""


async def ask(client: httpx.AsyncClient, document: str, given: dict[str, Any]) -> Any:
    """Ask for an action that must succeed."""
    answer = (await client.post("/graphql", json={"query": document, "variables": {"in": given}})).json()
    assert not answer.get("errors"), answer
    assert answer["data"]["done"]["userErrors"] == [], answer
    return answer["data"]["done"]


async def move(desk: Desk, client: httpx.AsyncClient, lines: int, documents: tuple[str, str], given: Any) -> float:
    """Have money moved, and answer the seconds from the request until it lies there."""
    at_once, later = documents
    begun = perf_counter()
    if lines <= AT_ONCE:
        await ask(client, at_once, given)
    else:
        job = (await ask(client, later, given))["job"]["id"]
        while (row := await desk.row(t.credit_memo_jobs, id=job)).status not in FINAL:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.1)
        assert row.error is None, row.error
    return perf_counter() - begun


@asynccontextmanager
async def documents_of(url: str, lines: int) -> AsyncIterator[tuple[Desk, Large]]:
    """A memo and invoices that have so many lines together."""
    async with a_desk(url) as desk:
        await desk.set(application_rule="FIFO")
        yield desk, await a_large_memo(desk, lines, invoices=10 if lines <= AT_ONCE else 100, seed=lines)


async def there_and_back(url: str, lines: int, directory: Path) -> tuple[Took, Took]:
    """Apply a memo and take it off again; the books must be exact after both."""
    took: list[Took] = []
    async with documents_of(url, lines) as (desk, large):
        wanted = [{"invoiceKey": key, "amount": large.asked} for key in large.invoices]
        for documents, given in (
            ((APPLY, APPLY_LATER), {"key": large.memo, "invoices": wanted}),
            ((UNAPPLY, UNAPPLY_LATER), {"key": large.memo}),
        ):
            with a_server(url, directory) as (address, process):
                async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=600) as client:
                    await client.post("/graphql", json={"query": "{ __typename }"})  # what is done once is not per line
                    processor = Processor(process, url)
                    seconds = await move(desk, client, lines, documents, given)
                took.append(Took(lines, seconds, processor.taken(), most_memory(process)))
            await audit(desk.database)
    applied, unapplied = took
    return applied, unapplied


# --- telling ----------------------------------------------------------------------------------------------------------


def row(what: str, took: Took, flat: Took) -> str:
    """A row of the table; `flat` is the one that the time per line is compared with."""
    each, busy = took.seconds / took.lines, took.busy / took.lines
    return (
        f"| {what} | {took.lines:,} | {'at once' if took.lines <= AT_ONCE else 'job'} | {took.seconds:.2f} "
        f"| {each * 1_000_000:.0f} | {each / (flat.seconds / flat.lines):.2f} "
        f"| {busy * 1_000_000:.0f} | {took.memory} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append", help="one of both only")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--lines", type=int, nargs="+", default=QUICK, help="other numbers of lines than 1,000 to 30,000"
    )
    sizes.add_argument("--full", action="store_const", dest="lines", const=FULL, help="1,000 to 300,000 lines")
    asked = parser.parse_args(arguments)
    print("| | lines | way | seconds | us per line | ratio | busy us per line | most memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind in asked.database or ("sqlite", "postgresql"):
        reference: tuple[Took, Took] | None = None
        with tempfile.TemporaryDirectory(prefix="cm-graphql-settlement-") as home, a_database(kind, Path(home)) as url:
            for lines in asked.lines:
                both = asyncio.run(there_and_back(url, lines, Path(home)))
                if reference is None or lines <= AT_ONCE:
                    reference = both  # the largest that is done at once
                for what, took, flat in zip(("apply", "unapply"), both, reference, strict=True):
                    print(row(f"{kind}, {what}", took, flat), flush=True)


if __name__ == "__main__":
    main()
