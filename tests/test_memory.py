"""What a server holds in memory: little when it starts, and no more after very many requests than after many."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cm_graphql import seeding
from cm_graphql.store.database import Database
from in_process import a_key
from postgres import free_port
from servers import started

REQUESTS = int(os.environ.get("CM_GRAPHQL_TEST_REQUESTS", "200000"))
CLIENTS = 8
DOCUMENTS = 1_000
START_MEGABYTES = 120
READING = ("credit_memos:read", "documents:read")

MEMO = "query Memo($key: ID!) { creditMemo(key: $key) { id number amount } }"
LIST = """
query Listed($first: Int!) { creditMemos(first: $first) { totalCount nodes { id number items { nodes { id } } } } }
"""


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def bodies(token: str) -> Iterator[bytes]:
    """Requests of every kind: cheap ones mostly, some that resolvers answer, refused ones, a thousand documents in
    turn, which are too many to be kept with their plans, and documents that nobody has ever sent.
    """
    number = 0
    while True:
        number += 1
        asked: list[tuple[str, Mapping[str, object]]] = [
            (MEMO, {"key": f"CM{number * 42 + turn:08d}"}) for turn in range(42)
        ]
        asked += [(LIST, {"first": first}) for first in (1, 2, 5, number % 20)]
        asked += [
            (a_document(number % DOCUMENTS), {}),
            (f"query Q{number % 50} {{ a{number}: __typename }}", {}),
            (f"{{ nothing{number} }}", {}),
            (("{ viewer { id } }", "{ creditMemos(first: 1) { nodes { id", LIST)[number % 3], {"first": "many"}),
        ]
        for query, variables in asked:
            yield body(token, query, variables)


def a_document(number: int) -> str:
    """One of many documents that are alike to nobody but a reader: each has statements of its own."""
    memos = " ".join(f"m{place}: creditMemos(first: {place + 1}) {{ nodes {{ ...memo }} }}" for place in range(3))
    return f"""query Document{number} {{ {memos} }}
    fragment memo on CreditMemo {{ n{number}: number status amount unappliedAmount currency creditMemoDate comment
      account {{ id name }} items(first: 2) {{ nodes {{ id skuName amount quantity }} }} }}"""


def body(token: str, query: str, variables: Mapping[str, object]) -> bytes:
    text = json.dumps({"query": query, "variables": variables}).encode()
    head = f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {token}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(text)}\r\n\r\n".encode() + text


async def client(port: int, requests: Iterator[bytes], times: int) -> None:
    """Send requests one after another, and read the answers whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(next(requests))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()
    await writer.wait_closed()


async def ask(port: int, requests: Iterator[bytes], times: int) -> None:
    await asyncio.gather(*(client(port, requests, times // CLIENTS) for _ in range(CLIENTS)))


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
async def test_memory_stays_flat_over_very_many_requests(database_url: str, tmp_path: Path) -> None:
    database = Database.open(database_url)
    await seeding.seed(database, memos=100, seed=7, lean=True, progress=lambda *_: None)
    await database.dispose()
    _, holder = await a_key(database_url, *READING)
    port = free_port()
    process = started(database_url, tmp_path, port, CM_GRAPHQL_AUTH="keys", CM_GRAPHQL_RATE_LIMIT="1000000000/minute")
    try:
        assert resident(process.pid) < START_MEGABYTES
        requests = bodies(holder["authorization"])
        await ask(port, requests, REQUESTS // 4)  # caches fill up to their bounds
        filled = resident(process.pid)
        await ask(port, requests, REQUESTS * 3 // 4)
        assert resident(process.pid) < filled * 1.05 + 2
    finally:
        process.terminate()
        process.wait()
