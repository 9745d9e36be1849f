"""Hours of load, legal and hostile, upon a server with every limit on: it stays right, quick, and as large as it was.

CM_GRAPHQL_TEST_LOAD_SECONDS sets how long each database is loaded: `CM_GRAPHQL_TEST_LOAD_SECONDS=7200` for two hours.
CM_GRAPHQL_TEST_LOAD_PATIENCE sets in how many seconds 99 of 100 legal requests have to be answered; unless set, as many
as a machine needs that does other things beside.
"""

import asyncio
import json
import os
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import pytest
import websockets

from auditing import audit
from cm_graphql import seeding
from cm_graphql.operations import api_keys
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.viewer import ADMIN
from cm_graphql.outside.pdf import TypstPrinter
from cm_graphql.store.database import Database
from papers import AT, a_paper
from postgres import free_port
from servers import started

SECONDS: Final = float(os.environ.get("CM_GRAPHQL_TEST_LOAD_SECONDS", "120"))

RATE: Final = 600
"""Requests per minute and caller: what is legal here stays below half of it."""

GUESSES: Final = 300
PATIENCE: Final = float(os.environ.get("CM_GRAPHQL_TEST_LOAD_PATIENCE", "10"))

LEGAL, HOSTILE, GUESSING = "127.0.0.1", "127.0.0.2", "127.0.0.3"
"""Where callers come from: who guesses tokens is refused by the address."""

ACCOUNTS: Final = [f"acc_{number:032x}" for number in (0xA1, 0xA2)]
LISTED = """query ($first: Int!) { creditMemos(first: $first) { totalCount nodes { accountId account { id }
  parts { nodes { amount invoice { accountId } } } items { nodes { amount } } } } invoices { nodes { accountId } }
  creditMemoSummary(groupBy: [ACCOUNT]) { count key { account { id } } } }"""
NODE = "query ($id: ID!) { node(id: $id) { id } }"
APPLY, UNAPPLY = (
    f"""mutation ($amount: Decimal!) {{ {name}CreditMemo(input: {{key: "CM00000001",
      invoices: [{{invoiceKey: "INV00000003", amount: $amount}}]}}) {{ userErrors {{ code }} }} }}"""
    for name in ("apply", "unapply")
)
COMMENT = """mutation ($key: ID!, $text: String!) {
  updateCreditMemo(input: {key: $key, comment: $text}) { userErrors { code } } }"""
UPLOAD = """mutation ($input: UploadCreditMemoFileInput!) {
  uploadCreditMemoFile(input: $input) { userErrors { code } } }"""
WATCH = "subscription { creditMemoChanged { creditMemo { accountId } } }"

FORBIDDEN_WORDS: Final = ("internal_error", "short_way_failed", "Traceback", '"level": "error"', '"level":"error"')


def doubling(levels: int) -> str:
    """A document whose fragments double at each level."""
    spreads = "\n".join(
        f"fragment F{n} on Query {{ ...F{n + 1} ...G{n} }} fragment G{n} on Query {{ ...F{n + 1} }}"
        for n in range(levels)
    )
    return f"{{ ...F0 }} {spreads} fragment F{levels} on Query {{ __typename }}"


REFUSED_DOCUMENTS: Final = (
    doubling(60),
    "{" + " ".join(f"a{n}: __typename" for n in range(1_000)) + "}",
    "{" * 90 + "a" + "}" * 90,
    "{ creditMemos(first: 200) { nodes { items(first: 200) { nodes { taxationItems { totalCount } } } } } }",
    "{ __typename" + " @skip(if: false)" * 200 + "}",
    "{ creditMemos(first: 1) { nodes { nothing } } }",
    "query ($n: Int!) { creditMemos(first: $n) { totalCount } }",
    "{ unfinished",
    "#" * 70_000,
)


Span: TypeAlias = tuple[float, float]
"""When a request was sent, and when its answer was heard: the server counted it at a moment between."""


@dataclass
class Log:
    """What the callers saw."""

    until: float
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Answers by caller and status."""
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Of legal requests."""
    let_through: list[Span] = field(default_factory=list)
    """Of each request of the caller in a loop that was not refused."""
    guessed: list[Span] = field(default_factory=list)
    told: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until and len(self.wrong) < 20

    def note(self, who: str, answer: httpx.Response) -> Any:
        """Note an answer, and see that it is none of a mistake of ours; give what it says."""
        self.answered[who, answer.status_code] += 1
        try:
            body = answer.json()
        except ValueError:
            self.wrong.append(f"{who}: {answer.status_code} {answer.text[:200]}")
            return {}
        if answer.status_code >= 500:
            self.wrong.append(f"{who}: {answer.status_code} {answer.text[:300]}")
        of_batch = body if isinstance(body, list) else [body]
        for error in (error for one in of_batch for error in one.get("errors", ())):
            code = error["extensions"]["code"]
            self.codes[who, code] += 1
            if code == "INTERNAL_SERVER_ERROR":
                self.wrong.append(f"{who}: {answer.text[:300]}")
        return body


@dataclass(frozen=True)
class Target:
    """The server that is pressed."""

    port: int
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @asynccontextmanager
    async def client(self, who: str, address: str = LEGAL) -> AsyncIterator[httpx.AsyncClient]:
        """A caller with a key, coming from an address."""
        headers = {"authorization": f"Bearer {self.keys[who]}"} if who in self.keys else {}
        transport = httpx.AsyncHTTPTransport(local_address=address)
        async with httpx.AsyncClient(headers=headers, transport=transport, timeout=70) as client:
            yield client

    @asynccontextmanager
    async def wire(self, address: str = HOSTILE) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection for what no client sends; it is cut off at the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def head(self, who: str, length: int) -> bytes:
        return (
            f"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self.keys[who]}\r\ncontent-length: {length}\r\n\r\n"
        ).encode()


# --- legal callers ----------------------------------------------------------------------------------------------------


async def legally(log: Log, client: httpx.AsyncClient, target: Target, who: str, query: str, **variables: Any) -> Any:
    """Ask, expecting an answer without errors, and note how long it took."""
    began = time.monotonic()
    answer = await client.post(target.url, json={"query": query, "variables": variables})
    log.seconds.append(time.monotonic() - began)
    body = log.note(who, answer)
    if "errors" in body or answer.status_code != 200:
        log.wrong.append(f"{who}: {answer.status_code} {answer.text[:300]}")
    return body.get("data") or {}


async def reader(log: Log, target: Target, who: str, own: str, other: str) -> None:
    """Reads what it may, four times a second, and sees nothing of the other's."""
    async with target.client(who) as client:
        turn = 0
        while log.goes_on:
            turn += 1
            data = await legally(log, client, target, who, LISTED, first=turn % 20 + 1)
            if other in json.dumps(data) or own not in json.dumps(data):
                log.wrong.append(f"{who} sees {data}")
            if (await legally(log, client, target, who, NODE, id=other)).get("node"):
                log.wrong.append(f"{who} finds {other}")
            await asyncio.sleep(0.5)


async def clerk(log: Log, target: Target) -> None:
    """Moves money to and fro, and writes comments that others watch."""
    async with target.client("clerk") as client:
        turn = 0
        while log.goes_on:
            turn += 1
            amount = f"{turn % 900 / 100 + 0.01:.2f}"
            await legally(log, client, target, "clerk", APPLY, amount=amount)
            await legally(log, client, target, "clerk", UNAPPLY, amount=amount)
            for key in ("CM00000001", "CM00000003"):
                await legally(log, client, target, "clerk", COMMENT, key=key, text=f"load {turn}")
            await asyncio.sleep(1)


async def uploader(log: Log, target: Target) -> None:
    """Uploads the same file, which fills a memo, and is then refused in a civil way."""
    content = TypstPrinter(system_fonts=False).print(a_paper(), AT)
    operations = json.dumps({"query": UPLOAD, "variables": {"input": {"key": "CM00000002", "file": None}}})
    async with target.client("clerk") as client:
        while log.goes_on:
            form = {"operations": operations, "map": json.dumps({"0": ["variables.input.file"]})}
            answer = await client.post(
                target.url, data=form, files={"0": ("a.pdf", content)}, headers={"graphql-require-preflight": "1"}
            )
            log.note("uploader", answer)
            await asyncio.sleep(2)


async def watcher(log: Log, target: Target, own: str, key: str) -> None:
    """Watches over a socket for a while, again and again, and is told of its own account alone."""
    while log.goes_on:
        async with websockets.connect(
            target.url.replace("http", "ws"),
            subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
            proxy=None,
            open_timeout=60,
            ping_interval=None,
        ) as socket:
            bearer = {"authorization": f"Bearer {target.keys[key]}"}
            await socket.send(json.dumps({"type": "connection_init", "payload": bearer}))
            await socket.recv()
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": WATCH}}))
            with suppress(TimeoutError):
                async with asyncio.timeout(min(20, max(1, log.until - time.monotonic()))):
                    while True:
                        message = json.loads(await socket.recv())
                        memo = ((message.get("payload") or {}).get("data") or {}).get("creditMemoChanged")
                        if message["type"] != "next" or not memo or memo["creditMemo"]["accountId"] != own:
                            log.wrong.append(f"{key} is told {message}")
                            return
                        log.told += 1


async def listener(log: Log, target: Target) -> None:
    """Listens to events, and goes away in the middle."""
    async with target.client("clerk") as client:
        while log.goes_on:
            with suppress(TimeoutError):
                async with (
                    asyncio.timeout(7),
                    client.stream(
                        "POST", target.url, json={"query": WATCH}, headers={"accept": "text/event-stream"}
                    ) as stream,
                ):
                    async for line in stream.aiter_lines():
                        log.told += line.startswith("data: {")


# --- hostile callers --------------------------------------------------------------------------------------------------


async def greedy(log: Log, target: Target) -> None:
    """Asks in a loop, and now and then comes back when told to."""
    async with target.client("greedy", HOSTILE) as client:
        while log.goes_on:
            sent = time.monotonic()
            answer = await client.post(target.url, json={"query": "{ creditMemos(first: 1) { nodes { id } } }"})
            log.note("greedy", answer)
            if answer.status_code == 200:
                log.let_through.append((sent, time.monotonic()))
            elif answer.status_code != 429 or not 0 < int(answer.headers["retry-after"]) <= 60:
                log.wrong.append(f"greedy: {answer.status_code} {answer.headers}")
            await asyncio.sleep(0.02)


async def bombs(log: Log, target: Target) -> None:
    """Sends documents that ask for too much, in ever new words."""
    async with target.client("bombs", HOSTILE) as client:
        turn = 0
        while log.goes_on:
            turn += 1
            document = REFUSED_DOCUMENTS[turn % len(REFUSED_DOCUMENTS)] + f" #{turn}"
            body = log.note("bombs", await client.post(target.url, json={"query": document}))
            if not body.get("errors"):
                log.wrong.append(f"bombs: {body} to {document[:100]}")
            batch = [{"query": document}] * 3
            log.note("bombs", await client.post(target.url, json=batch))
            log.note("bombs", await client.post(target.url, content=b"[" * 100_000, headers=AS_JSON))
            await asyncio.sleep(0.7)


AS_JSON: Final = {"content-type": "application/json"}
TOKENS: Final = ("cmk_" + "0" * 32 + "_" + "A" * 43, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "abc", "cmk_")


async def guesser(log: Log, target: Target) -> None:
    """Tries tokens, until its address is refused, and goes on."""
    async with target.client("nobody", GUESSING) as client:
        turn = 0
        while log.goes_on:
            turn += 1
            headers = {"authorization": f"Bearer {TOKENS[turn % len(TOKENS)]}"}
            sent = time.monotonic()
            answer = await client.post(target.url, json={"query": "{ viewer { id } }"}, headers=headers)
            log.note("guesser", answer)
            if answer.status_code == 401:
                log.guessed.append((sent, time.monotonic()))
            elif answer.status_code != 429:
                log.wrong.append(f"guesser: {answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(0.05)


async def dripping(log: Log, target: Target) -> None:
    """Sends a body byte by byte, or a head that never ends, and waits to be cut off."""
    turn = 0
    while log.goes_on:
        turn += 1
        begun = target.head("slow", 5_000) + b"{" if turn % 2 else target.head("slow", 5_000)[:-2]
        with suppress(ConnectionError, TimeoutError):
            async with target.wire() as (answer, writer), asyncio.timeout(45):
                writer.write(begun)
                while not answer.at_eof():
                    writer.write(b" " if turn % 2 else b"x: y\r\n")
                    await writer.drain()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(answer.read(1_000), 1)


async def aborting(log: Log, target: Target) -> None:
    """Goes away in the middle: of the head, of the body, of the answer."""
    body = json.dumps({"query": LISTED, "variables": {"first": 50}}).encode()
    whole = target.head("slow", len(body)) + body
    turn = 0
    while log.goes_on:
        turn += 1
        with suppress(ConnectionError):
            async with target.wire() as (_, writer):
                writer.write(whole[: (40, len(whole) - 20, len(whole))[turn % 3]])
                await writer.drain()
                await asyncio.sleep(0.01 * (turn % 4))
        await asyncio.sleep(0.3)


async def garbling(log: Log, target: Target) -> None:
    """Sends what is no HTTP, no GraphQL socket, no form."""
    async with target.client("garbling", HOSTILE) as client:
        while log.goes_on:
            with suppress(ConnectionError):
                async with target.wire() as (answer, writer):
                    writer.write(b"\x16\x03\x01" + os.urandom(300) + b"\r\n\r\n")
                    await asyncio.wait_for(answer.read(1_000), 60)
            form = {"content-type": "multipart/form-data; boundary=b", "graphql-require-preflight": "1"}
            large = b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + b"x" * 3_000_000
            with suppress(httpx.WriteError, httpx.ReadError):  # the server hangs up before it has heard all of it
                log.note("garbling", await client.post(target.url, content=large, headers=form))
            with suppress(websockets.ConnectionClosed, ConnectionError):
                async with websockets.connect(
                    target.url.replace("http", "ws"),
                    subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
                    proxy=None,
                    open_timeout=60,
                    local_addr=(HOSTILE, 0),
                ) as socket:
                    await socket.send("[" * 5_000)
                    await socket.recv()
            await asyncio.sleep(1)


# --- the measure ------------------------------------------------------------------------------------------------------


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def descriptors(pid: int) -> int:
    """Files and connections that a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def most_in(seconds: float, spans: list[Span]) -> int:
    """The most requests that were sent, counted and answered in any window of so many seconds.

    However late answers are heard, the server cannot have counted these outside of the window.
    """
    heard: list[float] = []
    most = 0
    for sent, end in sorted(spans, reverse=True):
        insort(heard, end)
        most = max(most, bisect_left(heard, sent + seconds))
    return most


def every(log: Log, target: Target) -> Iterator[Awaitable[None]]:
    """All who press."""
    for who, own, other in (("first", *ACCOUNTS), ("second", *reversed(ACCOUNTS))):
        yield reader(log, target, who, own, other)
        yield watcher(log, target, own, who)
    yield from (clerk(log, target), uploader(log, target), listener(log, target))
    hostile: tuple[Callable[[Log, Target], Awaitable[None]], ...] = (bombs, garbling, *[greedy] * 2, *[guesser] * 2)
    for press in (*hostile, *[dripping] * 8, *[aborting] * 4):
        yield press(log, target)


async def prepared(url: str) -> dict[str, str]:
    """The demonstration's data, and a key for each caller."""
    database = Database.open(url)
    await seeding.demo(database)
    made = {}
    for who in ("first", "second", "clerk", "greedy", "bombs", "slow", "garbling"):
        limited = {"first": ACCOUNTS[:1], "second": ACCOUNTS[1:]}.get(who)
        _, made[who] = await api_keys.create(database, SystemClock(), name=who, scopes=sorted(ADMIN), accounts=limited)
    await database.dispose()
    return made


async def audited(url: str) -> None:
    database = Database.open(url)
    await audit(database)
    await database.dispose()


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
async def test_a_server_under_long_and_hostile_load_stays_right_quick_and_small(
    database_url: str, tmp_path: Path
) -> None:
    settings = {
        "AUTH": "keys",
        "RATE_LIMIT": f"{RATE}/minute",
        "RATE_LIMIT_FAILURES": f"{GUESSES}/minute",
        "MAX_RUNNING": "8",
        "MAX_BATCH": "50",
        "LOG_FORMAT": "json",
    }
    port = free_port()
    target = Target(port, await prepared(database_url))
    process = await asyncio.to_thread(
        started, database_url, tmp_path, port, **{f"CM_GRAPHQL_{name}": value for name, value in settings.items()}
    )
    try:
        idle = descriptors(process.pid)
        log = Log(time.monotonic() + SECONDS)
        warm = held = 0.0
        opened = 0

        async def measure() -> None:
            nonlocal warm, held, opened
            await asyncio.sleep(SECONDS / 3)
            warm, opened = resident(process.pid), descriptors(process.pid)
            while log.goes_on:
                await asyncio.sleep(1)
                held = resident(process.pid)
                opened = max(opened, descriptors(process.pid))

        async with asyncio.TaskGroup() as group:
            for work in (measure(), *every(log, target)):
                group.create_task(work)  # type: ignore[arg-type]
        for _ in range(100):  # who is slow is let go of after 20 seconds, a socket that says nothing after ten
            if descriptors(process.pid) <= idle + 24:
                break
            await asyncio.sleep(0.5)
        left = descriptors(process.pid)
    finally:
        process.terminate()
        process.wait(60)

    quick = sorted(log.seconds)
    p99 = quick[len(quick) * 99 // 100]
    output = (tmp_path / "server.log").read_text(errors="replace")
    print(
        f"\n{SECONDS:.0f} s: {sum(log.answered.values())} answers, {len(quick)} legal ones,"
        f" p50 {quick[len(quick) // 2] * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, longest {quick[-1] * 1000:.0f} ms;"
        f" told of {log.told} changes; {warm:.1f} MB warm, {held:.1f} MB at the end;"
        f" descriptors {idle} idle, {opened} at most, {left} afterwards;"
        f" let through per minute {most_in(60, log.let_through)}, guesses {most_in(60, log.guessed)};"
        f" {dict(log.answered)} {dict(log.codes)}"
    )
    assert log.wrong == []
    assert [line[:300] for line in output.splitlines() if any(word in line for word in FORBIDDEN_WORDS)] == []
    assert p99 < PATIENCE
    assert held < warm * 1.1 + 10
    assert left <= idle + 24
    assert most_in(60, log.let_through) <= RATE
    assert most_in(60, log.guessed) <= GUESSES
    assert not log.answered["first", 429] + log.answered["second", 429] + log.answered["clerk", 429]
    assert log.told > SECONDS / 10
    if SECONDS >= 120:
        assert log.answered["greedy", 429] > 0
        assert log.answered["greedy", 200] >= RATE * 0.9 * (SECONDS // 60)
        assert log.answered["guesser", 429] > 0
    await audited(database_url)
