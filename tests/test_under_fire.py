"""Many clients at one memo, and a server that dies in the middle: not a cent is made or lost."""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from auditing import audit
from cm_graphql import seeding
from cm_graphql.store.database import Database
from postgres import free_port
from servers import started

APPLY = """
mutation($key: ID!, $invoice: ID!, $amount: Decimal!, $again: String) {
  applyCreditMemo(input: {key: $key, idempotencyKey: $again, invoices: [{invoiceKey: $invoice, amount: $amount}]}) {
    userErrors { code }
  }
}
"""
UNAPPLY = """
mutation($key: ID!, $invoice: ID!, $amount: Decimal!) {
  unapplyCreditMemo(input: {key: $key, invoices: [{invoiceKey: $invoice, amount: $amount}]}) { userErrors { code } }
}
"""
EXPECTED = {
    None,
    "AMOUNT_EXCEEDS_UNAPPLIED",
    "AMOUNT_EXCEEDS_APPLIED",
    "AMOUNT_EXCEEDS_BALANCE",
    "LOCK_CONTENTION",
    "IDEMPOTENCY_IN_PROGRESS",
}
CLIENTS = 16
ENOUGH = 50


async def client(base_url: str, truce: Path, seen: Counter[str | None], dice: random.Random) -> None:
    """Apply and unapply the same memo as fast as it goes; a server that is away is waited for."""
    async with httpx.AsyncClient(base_url=base_url, timeout=60) as http:
        # A look at a file, in a process that only shoots. On a busy machine the truce may come before the first answer.
        while seen.total() < ENOUGH or not truce.exists():  # noqa: ASYNC240
            field, query = dice.choice([("applyCreditMemo", APPLY), ("unapplyCreditMemo", UNAPPLY)])
            variables = {
                "key": "CM00000001",
                "invoice": "INV00000003",
                "amount": f"{dice.randint(1, 3000) / 100:.2f}",
            }
            try:
                answer = (await http.post("/graphql", json={"query": query, "variables": variables})).json()
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            assert "errors" not in answer, answer
            faults = answer["data"][field]["userErrors"]
            seen[faults[0]["code"] if faults else None] += 1


async def fire(base_url: str, truce: Path) -> Counter[str | None]:
    """Let all clients loose until the file of the truce is there; answers how often each outcome was seen."""
    seen: Counter[str | None] = Counter()
    await asyncio.gather(*(client(base_url, truce, seen, random.Random(i)) for i in range(CLIENTS)))
    return seen


async def prepared(url: str) -> None:
    database = Database.open(url)
    await seeding.demo(database)
    await database.dispose()


async def audited(url: str) -> None:
    database = Database.open(url)
    await audit(database)
    await database.dispose()


def fight(url: str, directory: Path, seconds: float, kills: int) -> Counter[str | None]:
    """Fire at a server that is killed and started again in the meantime; `seconds` are those between two kills."""
    asyncio.run(prepared(url))
    port, truce = free_port(), directory / "truce"
    server = started(url, directory, port)
    shooting = subprocess.Popen(
        [sys.executable, __file__, f"http://127.0.0.1:{port}", str(truce)], stdout=subprocess.PIPE, text=True
    )
    time.sleep(seconds)
    for _ in range(kills):
        server.kill()
        server.wait()
        server = started(url, directory, port)
        time.sleep(seconds)
    truce.touch()
    printed, _ = shooting.communicate(timeout=120)
    server.terminate()
    server.wait(timeout=60)
    assert shooting.returncode == 0, printed
    asyncio.run(audited(url))
    return Counter(
        {None if code == "None" else code: int(count) for code, count in map(str.split, printed.splitlines())}
    )


def test_sixteen_clients_and_a_kill_lose_no_cent(database_url: str, tmp_path: Path) -> None:
    seen = fight(database_url, tmp_path, seconds=3, kills=1)

    assert set(seen) <= EXPECTED
    assert seen[None] > 10, seen


@pytest.mark.soak
def test_a_minute_of_sixteen_clients_and_kills_loses_no_cent(database_url: str, tmp_path: Path) -> None:
    seen = fight(database_url, tmp_path, seconds=10, kills=6)

    assert set(seen) <= EXPECTED
    assert seen[None] > 100, seen


if __name__ == "__main__":
    outcome = asyncio.run(fire(sys.argv[1], Path(sys.argv[2])))
    print("\n".join(f"{code} {count}" for code, count in outcome.items()))
