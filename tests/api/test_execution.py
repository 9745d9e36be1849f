"""What becomes of an operation: its data, its errors and their codes, and the pauses between mutations."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog

from small_server import GRAPHQL, JSON, codes, contexts, post, speaking


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with speaking() as client:
        yield client


async def test_a_bug_is_masked_with_the_request_id_and_logged_once_without_what_was_sent(
    client: httpx.AsyncClient,
) -> None:
    document = 'query Confidential { broken hello(name: "Confidential") }'
    with structlog.testing.capture_logs() as entries:
        answer = await client.post("/graphql", json={"query": document}, headers={"x-request-id": "abc-1"})

    assert answer.status_code == 200
    assert answer.json()["data"] is None
    (error,) = answer.json()["errors"]
    assert error["path"] == ["broken"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "abc-1"}
    assert "4711" not in answer.text
    (entry,) = [entry for entry in entries if entry["event"] == "internal_error"]
    assert entry["request_id"] == "abc-1"
    assert isinstance(entry["exc_info"], RuntimeError)
    assert "Confidential" not in str(entries)


async def test_the_same_bug_in_every_row_is_logged_once(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as entries:
        answer = await post(client, query="{ rows { broken } }")

    assert codes(answer) == ["INTERNAL_SERVER_ERROR"] * 3
    assert len([entry for entry in entries if entry["event"] == "internal_error"]) == 1


async def test_an_error_made_for_the_caller_keeps_its_message_code_and_extensions(client: httpx.AsyncClient) -> None:
    answer = await post(client, GRAPHQL, query="{ forbidden coded hello }")

    assert answer.status_code == 200
    assert answer.json()["data"] == {"forbidden": None, "coded": None, "hello": "hello world"}
    forbidden, coded = answer.json()["errors"]
    assert forbidden == {
        "message": "Not for you.",
        "locations": [{"line": 1, "column": 3}],
        "path": ["forbidden"],
        "extensions": {"scope": "memos:read", "code": "FORBIDDEN"},
    }
    assert (coded["message"], coded["extensions"]) == ("Not like this.", {"code": "BAD_USER_INPUT"})


async def test_an_argument_found_wrong_only_when_its_field_runs_is_bad_input(client: httpx.AsyncClient) -> None:
    document = "query($n: Int = 1) { double(number: $n) }"
    answer = await post(client, query=document, variables={"n": None})

    assert answer.json()["data"] == {"double": None}
    assert codes(answer) == ["BAD_USER_INPUT"]


async def test_json_that_is_hard_to_write_is_written_all_the_same(client: httpx.AsyncClient) -> None:
    answer = await post(client, query="{ enormous }")

    assert json.loads(answer.content)["data"]["enormous"] == {"integer": 2**70, "surrogate": "\ud800"}


async def test_the_context_can_add_extensions_to_the_answer(client: httpx.AsyncClient) -> None:
    assert (await post(client, query="{ extended }")).json()["extensions"] == {"idempotentReplay": True}
    assert "extensions" not in (await post(client, query="{ hello }")).json()


async def test_a_caller_who_is_not_known_gets_401_under_either_media_type(client: httpx.AsyncClient) -> None:
    for accept in (JSON, GRAPHQL):
        headers = {"accept": accept, "authorization": "Bearer expired"}
        answer = await client.post("/graphql", json={"query": "{ hello }"}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert codes(answer) == ["UNAUTHENTICATED"]


async def test_each_root_field_of_a_mutation_is_finished_before_the_next_one_starts(client: httpx.AsyncClient) -> None:
    document = """mutation {
      a: note(text: "first") { slow }
      b: note(text: "fail") { slow }
      c: note(text: "third") { slow }
    }"""
    answer = await post(client, query=document)

    assert answer.json()["data"] == {"a": {"slow": "slow"}, "b": None, "c": {"slow": "slow"}}
    assert contexts[0].notes == ["first", "child read", "after", "fail", "after", "third", "child read", "after"]


async def test_a_failure_after_a_root_field_is_a_masked_error_of_that_field(client: httpx.AsyncClient) -> None:
    answer = await post(client, query='mutation { a: note(text: "fail after") { slow } b: note(text: "b") { slow } }')

    assert answer.json()["data"] is None
    assert [error["path"] for error in answer.json()["errors"]] == [["a"]]
    assert codes(answer) == ["INTERNAL_SERVER_ERROR"]
    assert "b" not in contexts[0].notes


async def test_queries_have_nothing_to_finish(client: httpx.AsyncClient) -> None:
    await post(client, query="{ hello }")

    assert contexts[0].notes == []


async def test_without_introspection_the_schema_is_neither_told_nor_hinted_at() -> None:
    async with speaking(introspection=False) as client:
        introspection = await post(client, query="{ __schema { types { name } } }")
        typo = await post(client, query="{ helo }")
        typename = await post(client, query="{ __typename }")

    assert set(codes(introspection)) == {"GRAPHQL_VALIDATION_FAILED"}
    assert "hello" not in typo.text
    assert typename.json() == {"data": {"__typename": "Query"}}
