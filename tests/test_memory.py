"""What a server holds in memory: little when it starts, and no more after very many requests than after many."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres import free_port
from servers import started

REQUESTS = int(os.environ.get("CM_GRAPHQL_TEST_REQUESTS", "200000"))
CLIENTS = 8
START_MEGABYTES = 130

MEMO = "query Memo($key: ID!) { creditMemo(key: $key) { id number amount } }"
LIST = """
query Listed($first: Int!) { creditMemos(first: $first) { totalCount nodes { id number items { nodes { id } } } } }
"""


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def bodies() -> Iterator[bytes]:
    """Requests of every kind, many never seen before: cheap ones, refused ones, and some that resolvers answer."""
    number = 0
    while True:
        number += 1
        for turn in range(20):
            yield body(MEMO, key=f"CM{number * 20 + turn:08d}")
            yield body(LIST, first=turn + 1)
        yield body(f"query Q{number % 50} {{ a{number}: __typename }}")
        yield body(f"{{ nothing{number} }}")
        yield body("{ __schema { queryType { name } } viewer { id } }")
        yield body("{ creditMemos(first: 1) { nodes { id")
        yield body(LIST, first="many")


def body(query: str, **variables: object) -> bytes:
    text = json.dumps({"query": query, "variables": variables}).encode()
    head = "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
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
    port = free_port()
    process = started(database_url, tmp_path, port)
    try:
        assert resident(process.pid) < START_MEGABYTES
        requests = bodies()
        await ask(port, requests, REQUESTS // 4)  # caches fill up to their bounds
        filled = resident(process.pid)
        await ask(port, requests, REQUESTS * 3 // 4)
        assert resident(process.pid) < filled * 1.05 + 2
    finally:
        process.terminate()
        process.wait()
