"""Documents that requests name instead of bringing: sent before with their hash, or registered beforehand."""

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

import programs
from cm_graphql.api.context import Api, Context
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.persisted import PersistedDocuments
from cm_graphql.api.schema import schema
from cm_graphql.operations import registered
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.registered import NotRegistered, Registry, hash_of
from cm_graphql.store.database import Database

QUERY = "query Who { viewer { id } }"
MUTATION = 'mutation Post { postCreditMemo(input: {key: "CM1"}) { userErrors { code } } }'
HASH = hash_of(QUERY)
ANSWER = {"data": {"viewer": {"id": "usr_local"}}}
GRAPHQL = "application/graphql-response+json"


@asynccontextmanager
async def speaking(database: Database, **modes: bool) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server upon the database."""
    api = Api(database=database)
    registry = Registry(database)

    async def make_context(_request: HTTPConnection, request_id: str) -> Context:
        return Context.of(api, request_id=request_id)

    endpoint = GraphQLOverHTTP(schema._schema, make_context, persisted=PersistedDocuments(lambda: registry, **modes))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://test") as client:
        yield client


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(database_url)
    yield opened
    await opened.dispose()


def by_hash(hash: str = HASH, version: int = 1) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": version, "sha256Hash": hash}}}


async def post(client: httpx.AsyncClient, **body: Any) -> Any:
    return (await client.post("/graphql", json=body)).json()


def code(answer: Any) -> str:
    (error,) = answer["errors"]
    return str(error["extensions"]["code"])


# --- automatic --------------------------------------------------------------------------------------------------------


async def test_a_client_sends_a_hash_then_its_document_once_and_then_the_hash_alone(database: Database) -> None:
    async with speaking(database) as client:
        first = await client.post("/graphql", json=by_hash())
        assert first.status_code == 200
        assert first.json()["errors"][0]["message"] == "PersistedQueryNotFound"
        assert code(first.json()) == "PERSISTED_QUERY_NOT_FOUND"

        assert await post(client, query=QUERY, **by_hash()) == ANSWER

        assert await post(client, **by_hash()) == ANSWER
        assert await post(client, documentId=f"sha256:{HASH}") == ANSWER
        url = {"extensions": json.dumps(by_hash()["extensions"]), "operationName": "Who"}
        got = await client.get("/graphql", params=url, headers={"accept": GRAPHQL})
        assert got.json() == ANSWER
        assert got.headers["cache-control"] == "no-store"


async def test_a_hash_that_is_not_the_documents_is_refused_and_not_remembered(database: Database) -> None:
    async with speaking(database) as client:
        other = hash_of("{ accounts { totalCount } }")

        assert code(await post(client, query=QUERY, **by_hash(other))) == "PERSISTED_QUERY_HASH_MISMATCH"
        assert code(await post(client, **by_hash(other))) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    "given", [{"version": 1}, {"version": 2, "sha256Hash": HASH}, {"sha256Hash": "A" * 64}, "x", 1]
)
async def test_what_is_no_hash_is_bad_input(database: Database, given: Any) -> None:
    async with speaking(database) as client:
        assert code(await post(client, extensions={"persistedQuery": given})) == "BAD_USER_INPUT"


async def test_only_documents_that_are_answered_are_remembered(database: Database) -> None:
    broken = "{ nothing }"
    async with speaking(database) as client:
        assert code(await post(client, query=broken, **by_hash(hash_of(broken)))) == "GRAPHQL_VALIDATION_FAILED"
        assert code(await post(client, **by_hash(hash_of(broken)))) == "PERSISTED_QUERY_NOT_FOUND"


async def test_where_nothing_is_remembered_clients_are_told_to_stop_asking(database: Database) -> None:
    async with speaking(database, automatic=False) as client:
        assert await post(client, query=QUERY, **by_hash()) == ANSWER
        assert code(await post(client, **by_hash())) == "PERSISTED_QUERY_NOT_SUPPORTED"


async def test_what_is_remembered_has_an_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cm_graphql.api.persisted.MOST_CHARACTERS", 200)
    texts = [f"query Q{i} {{ viewer {{ id }} }}" for i in range(20)]
    async with speaking(database) as client:
        for text in texts:
            await post(client, query=text, **by_hash(hash_of(text)))

        assert code(await post(client, **by_hash(hash_of(texts[0])))) == "PERSISTED_QUERY_NOT_FOUND"
        assert await post(client, **by_hash(hash_of(texts[-1]))) == ANSWER


# --- registered -------------------------------------------------------------------------------------------------------


async def test_a_registered_document_is_answered_by_its_id_and_by_its_hash(database: Database) -> None:
    await registered.register(database, SystemClock(), {"who-1": QUERY})
    async with speaking(database) as client:
        assert await post(client, documentId="who-1") == ANSWER
        assert await post(client, doc_id="who-1") == ANSWER
        assert await post(client, documentId=f"sha256:{HASH}") == ANSWER
        assert await post(client, **by_hash()) == ANSWER
        assert (await client.get("/graphql", params={"documentId": "who-1"})).json() == ANSWER
        assert code(await post(client, documentId="who-2")) == "PERSISTED_QUERY_NOT_FOUND"
        assert await post(client, documentId="who-2", query=QUERY) == ANSWER


async def test_a_registered_mutation_is_not_done_by_get(database: Database) -> None:
    await registered.register(database, SystemClock(), {"post": MUTATION})
    async with speaking(database) as client:
        assert (await client.get("/graphql", params={"documentId": "post"})).status_code == 405
        assert "data" in await post(client, documentId="post")


async def test_a_server_may_answer_registered_documents_only(database: Database) -> None:
    await registered.register(database, SystemClock(), {"who-1": QUERY})
    async with speaking(database, registered_only=True) as client:
        assert await post(client, documentId="who-1") == ANSWER
        assert await post(client, query=QUERY) == ANSWER
        refused = await post(client, query=QUERY + " ")
        assert code(refused) == "FORBIDDEN"
        assert "documents register" in refused["errors"][0]["message"]
        assert code(await post(client, query="{ __schema { queryType { name } } }")) == "FORBIDDEN"
        text = "{ viewer { scopes } }"
        assert code(await post(client, query=text, **by_hash(hash_of(text)))) == "FORBIDDEN"
        assert code(await post(client, **by_hash(hash_of(text)))) == "PERSISTED_QUERY_NOT_FOUND"


async def test_what_was_removed_is_known_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "FRESH_SECONDS", 0)
    await registered.register(database, SystemClock(), {"who-1": QUERY})
    async with speaking(database) as client:
        assert await post(client, documentId="who-1") == ANSWER

        await registered.remove(database, ["who-1"])

        assert code(await post(client, documentId="who-1")) == "PERSISTED_QUERY_NOT_FOUND"
    with pytest.raises(NotRegistered, match="who-1"):
        await registered.remove(database, ["who-1"])


async def test_an_id_stands_for_one_text(database: Database) -> None:
    clock = SystemClock()
    assert await registered.register(database, clock, {"a": QUERY, "b": QUERY}) == 2
    assert await registered.register(database, clock, {"a": QUERY, "c": MUTATION}) == 1

    with pytest.raises(NotRegistered, match="a is registered with another text"):
        await registered.register(database, clock, {"d": QUERY, "a": MUTATION})
    with pytest.raises(NotRegistered, match="is no id"):
        await registered.register(database, clock, {"../x": QUERY})

    assert [one.id for one in await registered.every(database)] == ["a", "b", "c"]


# --- what clients' tools write ----------------------------------------------------------------------------------------

OPERATION = {"id": "4711", "name": "Who", "type": "query", "body": QUERY}
FORMATS = {
    "relay.json": {"0123456789abcdef0123456789abcdef": QUERY},
    "client-preset.json": {hash_of(QUERY)[:40]: QUERY},
    "apollo.json": {"format": "apollo-persisted-query-manifest", "version": 1, "operations": [OPERATION]},
    "who.graphql": QUERY,
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_tools_write_is_read(tmp_path: Path, name: str) -> None:
    content = FORMATS[name]
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))

    for path in (tmp_path / name, tmp_path):
        assert list(registered.read([path]).values()) == [QUERY]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[1]", "neither Apollo's manifest nor"),
        ('{"a": 1}', "neither Apollo's manifest nor"),
        ('{"operations": [], "version": 2}', "no manifest of version 1"),
        ('{"format": "apollo-persisted-query-manifest", "version": 1, "operations": [1]}', "neither Apollo's manifest"),
        ("{", "no JSON"),
    ],
)
def test_what_is_none_of_these_is_named(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(NotRegistered, match=why):
        registered.read([tmp_path / "x.json"])
    with pytest.raises(NotRegistered, match="cannot be read"):
        registered.read([tmp_path / "none.json"])


def test_the_command_registers_lists_and_removes_and_refuses_what_would_not_be_answered(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "who.graphql").write_text(QUERY)
    (tmp_path / "bad.json").write_text(json.dumps({"bad-1": "{ nothing }"}))

    def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
        return programs.run(tmp_path, "documents", *arguments, database_url=database_url)

    assert cli("register", "who.graphql").stdout.startswith("1 documents are registered")
    refused = cli("register", ".")
    assert refused.returncode == 2
    assert "bad-1: Cannot query field 'nothing' on type 'Query'" in refused.stderr
    assert cli("list").stdout == f"{HASH}  query Who\n"
    assert cli("remove", HASH).returncode == 0
    assert cli("list").stdout == ""
