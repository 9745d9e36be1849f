"""The databases: seeded once for all contenders, and what the requests ask them for."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

import postgres
from benchmarks import HERE
from benchmarks.contenders import Kind
from benchmarks.workloads import Picked
from cm_graphql.store import migrations

SEED = 1
LEFT = 500_000
"""Ten-thousandths that memo and invoice of a pair have left at least: more than all rounds apply of it."""

PAIRS = """
SELECT m.id, i.id FROM credit_memos m JOIN invoices i ON i.account_id = m.account_id AND i.currency = m.currency
WHERE m.status = 'POSTED' AND m.unapplied_amount >= {left} AND m.currency IN ('EUR', 'USD') AND i.status = 'POSTED'
AND i.balance >= {left} AND NOT i.reversed AND i.amount > 0 ORDER BY m.id DESC, i.id LIMIT 60000
"""

# As PostgreSQL is run, commits on the disk included; only its size is for a small machine.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
}


@dataclass(frozen=True)
class Databases:
    """Where the contenders find the same rows."""

    urls: dict[Kind, str]

    def rows(self, kind: Kind, sql: str) -> list[Any]:
        """Run one statement."""
        if kind == "sqlite":
            with sqlite3.connect(self.urls[kind].removeprefix("sqlite:///")) as connection:
                return connection.execute(sql).fetchall()
        return asyncio.run(_fetch(self.urls[kind], sql))


def prepare(build: Path, memos: int, *, lean: bool = False) -> Databases:
    """Make both databases with that many memos; the one of SQLite is kept for the next time."""
    name = f"memos-{memos}{'-lean' if lean else ''}"
    kept = build / f"{name}-{migrations.head()}.db"
    used = build / f"{name}.db"
    if not kept.exists():
        unfinished = build / "unfinished.db"
        unfinished.unlink(missing_ok=True)
        _seed(f"sqlite:///{unfinished}", memos, lean)
        unfinished.rename(kept)
    for leftover in build.glob(f"{name}.db*"):
        leftover.unlink()
    shutil.copy(kept, used)
    server = postgres.start(os.getpid(), SETTINGS)
    url = server.rpartition("/")[0] + "/benchmark"
    asyncio.run(_fetch(server, "CREATE DATABASE benchmark"))
    _seed(url, memos, lean)
    asyncio.run(_fetch(url, (HERE / "peers" / "node" / "apply.sql").read_text()))
    asyncio.run(_fetch(url, "VACUUM ANALYZE"))
    asyncio.run(_fetch(url, "CHECKPOINT"))
    return Databases({"sqlite": f"sqlite:///{used}", "postgresql": url})


def pick(databases: Databases) -> Picked:
    """Choose what is asked for; both databases have the same rows."""
    memos = [
        row[0] for row in databases.rows("sqlite", "SELECT id FROM credit_memos ORDER BY substr(id, 30), id LIMIT 1000")
    ]
    by_date = (
        "SELECT credit_memo_date, id FROM credit_memos WHERE status = 'POSTED' ORDER BY credit_memo_date DESC, id DESC"
    )
    (far,) = databases.rows(
        "sqlite", f"{by_date} LIMIT 1 OFFSET (SELECT count(*) * 9 / 10 FROM credit_memos WHERE status = 'POSTED')"
    )
    return Picked(memos, _disjoint(databases.rows("sqlite", PAIRS.format(left=LEFT))), (far[0], far[1]))


def applied(databases: Databases, kind: Kind, pairs: Sequence[tuple[str, str]]) -> int:
    """The ten-thousandths that the memos of pairs have applied."""
    keys = ", ".join(f"'{memo}'" for memo, _ in pairs)
    return int(databases.rows(kind, f"SELECT sum(applied_amount) FROM credit_memos WHERE id IN ({keys})")[0][0])


def _disjoint(rows: Sequence[Any]) -> list[tuple[str, str]]:
    """Pairs that have neither memo nor invoice in common."""
    memos: set[str] = set()
    invoices: set[str] = set()
    pairs = []
    for memo, invoice in rows:
        if memo not in memos and invoice not in invoices:
            memos.add(memo)
            invoices.add(invoice)
            pairs.append((memo, invoice))
    return pairs


def _seed(url: str, memos: int, lean: bool) -> None:
    print(f"Seeding {memos:,} memos in {url.partition(':')[0]} ...", flush=True)
    command = [sys.executable, "-m", "cm_graphql", "seed", "--memos", str(memos), "--seed", str(SEED)]
    subprocess.run(
        [*command, *(["--lean"] if lean else []), "--database-url", url],
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def _fetch(url: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        if sql.lstrip().upper().startswith("SELECT"):
            return [tuple(row) for row in await connection.fetch(sql)]
        await connection.execute(sql)
        return []
    finally:
        await connection.close()
