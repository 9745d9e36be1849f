"""What surrounds every request: its id, its line in the log, safe headers, and the host names we answer to."""

from collections.abc import AsyncIterator

import httpx
import pytest
import structlog

from cm_graphql.api import logs
from small_server import post, speaking


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with speaking() as client:
        yield client


async def test_answers_are_not_cached_nor_guessed_at(client: httpx.AsyncClient) -> None:
    for answer in (await post(client, query="{ hello }"), await post(client, query="{"), await client.get("/graphql")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["vary"] == "accept"


async def test_a_request_id_is_taken_over_when_it_is_harmless_and_made_otherwise(client: httpx.AsyncClient) -> None:
    async def answered(request_id: str) -> str:
        answer = await client.post("/graphql", json={"query": "{ hello }"}, headers={"x-request-id": request_id})
        return answer.headers["x-request-id"]

    assert await answered("Trace-1.a_b") == "Trace-1.a_b"
    for harmful in ("", "a b", "a" * 129, 'x"y', "a;b"):
        made = await answered(harmful)
        assert made != harmful
        assert len(made) == 32


async def test_a_page_from_elsewhere_cannot_point_its_name_at_us(client: httpx.AsyncClient) -> None:
    async def status(host: str) -> int:
        answer = await client.post("/graphql", json={"query": "{ hello }"}, headers={"host": host})
        return answer.status_code

    assert await status("LOCALHOST:1234") == 200
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", ""):
        assert await status(host) == 421


async def test_the_log_has_no_query_string(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # A server that another test started in this process may have chosen the quicker way, which nothing captures.
    monkeypatch.setattr(logs, "_note", logs._note_as_any)
    with structlog.testing.capture_logs() as entries:
        await client.get("/graphql", params={"query": '{ hello(name: "Confidential") }'})

    (entry,) = entries
    assert (entry["event"], entry["method"], entry["path"], entry["status"]) == ("request", "GET", "/graphql", 200)
    assert "Confidential" not in str(entry)
