"""Who gets in over HTTP: holders of keys and tokens that are valid now, and nobody else is told why not."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import programs
from cm_graphql import app as wiring
from cm_graphql.operations import api_keys
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.viewer import STANDARD
from cm_graphql.settings import Settings, SettingsError
from cm_graphql.store.database import Database
from in_process import a_key, served
from servers import running

KEY = RSAKey.generate_key(2048, {"kid": "one"})
ISSUER = "https://id.example"
MADE_UP = f"cmk_{'0' * 32}_{'A' * 43}"


class Published(BaseHTTPRequestHandler):
    """The identity provider."""

    def do_GET(self) -> None:
        """Answer with the keys."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": [KEY.as_dict(private=False)]}).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Published)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/jwks"
    server.shutdown()
    server.server_close()


@dataclass
class Guarded:
    """A server that asks who one is."""

    url: str
    database_url: str
    log: Path

    def ask(self, token: str | None = None, query: str = "{ viewer { id scopes } }", **headers: str) -> httpx.Response:
        """Ask with a bearer token, or without."""
        given = {**headers, **({} if token is None else {"authorization": f"Bearer {token}"})}
        with httpx.Client(trust_env=False) as client:
            return client.post(f"{self.url}/graphql", json={"query": query}, headers=given)

    def cli(self, *arguments: str) -> str:
        """Run `cm-graphql keys`."""
        done = programs.run(self.log.parent, "keys", *arguments, database_url=self.database_url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def revoke(self, key_id: str) -> None:
        """Take an API key back."""

        async def take() -> None:
            database = Database.open(self.database_url)
            try:
                await api_keys.revoke(database, SystemClock(), key_id)
            finally:
                await database.dispose()

        asyncio.run(take())

    def key(self, **options: Any) -> tuple[api_keys.ApiKey, str]:
        """Make an API key."""

        async def make() -> tuple[api_keys.ApiKey, str]:
            database = Database.open(self.database_url)
            try:
                return await api_keys.create(
                    database, SystemClock(), **{"name": "a key", "scopes": ["credit_memos:read"], **options}
                )
            finally:
                await database.dispose()

        return asyncio.run(make())


@pytest.fixture(scope="module")
def guarded(module_database_url: str, provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("guarded")
    settings = {"AUTH": "both", "JWT_JWKS_URL": provider, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": "memos"}
    environment = {f"CM_GRAPHQL_{name}": value for name, value in settings.items()}
    with running(module_database_url, directory, **environment) as url:
        yield Guarded(url, module_database_url, directory / "server.log")


def token(**changed: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "memos", "sub": "ann", "exp": now + 60, "scope": "credit_memos:read", **changed}
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)


def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 401
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert "data" not in answer.json()
    message: str = error["message"]
    return message


def test_a_caller_without_credentials_is_asked_for_them(guarded: Guarded) -> None:
    answer = guarded.ask()

    refused(answer)
    assert answer.headers["www-authenticate"] == 'Bearer realm="cm-graphql"'


def test_a_cookie_lets_nobody_in(guarded: Guarded) -> None:
    _, key = guarded.key()

    refused(guarded.ask(cookie=f"authorization={key}; token={key}"))


def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(guarded: Guarded) -> None:
    _, key = guarded.key()
    _, late = guarded.key(expires_on=datetime.now(UTC) + timedelta(seconds=0.2))
    gone, revoked = guarded.key()
    guarded.revoke(gone.id)
    other = f"{key[:-43]}{'A' * 43}"
    time.sleep(0.3)
    bad = [MADE_UP, late, revoked, other, key[:-1], token(exp=1), token(aud="others"), token() + "A", "x", "a b"]

    answers = [guarded.ask(one) for one in bad]

    assert len({refused(answer) for answer in [*answers, guarded.ask()]}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="cm-graphql", error="invalid_token"'
    }
    assert guarded.ask(key).status_code == 200


@pytest.mark.parametrize("given", ["Basic YTpi", "Bearer", "", "{key}"])
def test_only_a_bearer_token_counts(guarded: Guarded, given: str) -> None:
    _, key = guarded.key()

    refused(guarded.ask(authorization=given.format(key=key)))


def test_two_tokens_are_one_too_many(guarded: Guarded) -> None:
    _, key = guarded.key()
    headers = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {token()}")]
    with httpx.Client(trust_env=False) as client:
        refused(client.post(f"{guarded.url}/graphql", json={"query": "{ __typename }"}, headers=headers))


def test_a_key_in_the_address_lets_nobody_in_and_stays_out_of_the_log(guarded: Guarded) -> None:
    _, key = guarded.key()
    for name in ("authorization", "access_token", "token", "api_key"):
        with httpx.Client(trust_env=False) as client:
            asked = {"query": "{ __typename }", name: key}
            refused(client.get(f"{guarded.url}/graphql", params=asked))
            refused(client.post(f"{guarded.url}/graphql", params=asked, json={"query": "{ __typename }", name: key}))

    assert key not in guarded.log.read_text()


@pytest.mark.parametrize("size", [20_000, 60_000])
def test_an_enormous_token_is_refused_like_any_other(guarded: Guarded, size: int) -> None:
    for begin in ("cmk_", "ey"):
        refused(guarded.ask(begin + "A" * size))


def test_strangers_learn_nothing_of_the_schema_and_send_no_body_in_vain(guarded: Guarded) -> None:
    refused(guarded.ask(query="{ __schema { types { name } } }"))
    refused(guarded.ask(query="{ nonsense"))
    with httpx.Client(trust_env=False) as client:
        refused(client.get(f"{guarded.url}/graphql", params={"query": "{ __typename }"}))
        refused(client.post(f"{guarded.url}/graphql", content=b"no json"))
        assert client.get(f"{guarded.url}/healthz").status_code == 200
        assert client.get(f"{guarded.url}/readyz").status_code == 200


def test_the_holder_of_a_key_is_known_by_its_id_and_has_its_scopes(guarded: Guarded) -> None:
    key, text = guarded.key(scopes=["settings:read", "credit_memos:read"])

    viewer = guarded.ask(text).json()["data"]["viewer"]

    assert viewer == {"id": key.id, "scopes": ["credit_memos:read", "settings:read"]}


def test_the_holder_of_a_token_is_known_by_its_subject(guarded: Guarded) -> None:
    viewer = guarded.ask(token(scope="documents:read nothing:known")).json()["data"]["viewer"]

    assert viewer == {"id": "usr_ann", "scopes": ["documents:read"]}


def test_who_did_what_is_written_down_and_what_they_may_not_is_refused(guarded: Guarded) -> None:
    key, text = guarded.key(scopes=["documents:sync", "settings:read"])
    mutation = (
        'mutation { syncReasonCodes(input: {reasonCodes: [{name: "Guarded", type: CREDIT_MEMO}]}) '
        "{ results { reasonCode { createdById } userErrors { code message } } } }"
    )

    answer = guarded.ask(text, mutation).json()
    (error,) = guarded.ask(token(), mutation).json()["errors"]

    assert answer["data"]["syncReasonCodes"]["results"] == [{"reasonCode": {"createdById": key.id}, "userErrors": []}]
    assert error["extensions"]["code"] == "FORBIDDEN"


def test_a_key_that_is_taken_back_ends_within_seconds(guarded: Guarded) -> None:
    key, text = guarded.key()
    assert guarded.ask(text).status_code == 200

    guarded.revoke(key.id)

    time.sleep(api_keys.FRESH_SECONDS + 0.2)
    refused(guarded.ask(text))


async def test_a_key_that_is_taken_back_ends_within_seconds_on_every_server(database_url: str) -> None:
    database = Database.open(database_url)
    rings = [api_keys.KeyRing(database, SystemClock()) for _ in range(3)]
    key, text = await api_keys.create(database, SystemClock(), name="a key", scopes=["credit_memos:read"])
    assert None not in [await ring.viewer(text) for ring in rings]

    await api_keys.revoke(database, SystemClock(), key.id)

    async def until_refused(ring: api_keys.KeyRing) -> None:
        for _ in range(200):  # all the while somebody asks
            if await ring.viewer(text) is None:
                return
            await asyncio.sleep(0.05)

    async with asyncio.timeout(api_keys.FRESH_SECONDS + 0.5):
        await asyncio.gather(*map(until_refused, rings))
    for ring in rings:
        await ring.close()
    await database.dispose()


def test_a_key_ends_when_it_expires_though_it_was_just_used(guarded: Guarded) -> None:
    _, text = guarded.key(expires_on=datetime.now(UTC) + timedelta(seconds=1.5))
    assert guarded.ask(text).status_code == 200

    time.sleep(1.6)
    refused(guarded.ask(text))


def test_keys_are_made_listed_and_taken_back_at_the_command_line(guarded: Guarded) -> None:
    text = guarded.cli("create", "--name", "nightly job", "--role", "standard", "--expires", "2999-01-31").strip()
    key_id = guarded.ask(text).json()["data"]["viewer"]["id"]
    assert guarded.ask(text).json()["data"]["viewer"]["scopes"] == sorted(STANDARD)

    listed = about = ""
    for _ in range(10):
        listed = guarded.cli("list")
        about = listed[listed.index(key_id) :].split("\nkey_")[0]
        if "last used" in about:
            break

    assert "nightly job" in about
    assert "accounts: all" in about
    assert "expires: 2999-01-31 00:00:00 UTC" in about
    assert "last used" in about
    assert text[-43:] not in listed  # the secret, which may hold an underscore itself
    assert "revoked" in guarded.cli("revoke", key_id) + guarded.cli("list")


async def test_a_key_that_cannot_be_is_refused(guarded: Guarded) -> None:
    database = Database.open(guarded.database_url)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"scopes": []}, "A key needs a scope"),
        ({"scopes": ["all"]}, "There is no scope all"),
        ({"name": ""}, "A key has a name"),
        ({"expires_on": datetime(2020, 1, 1, tzinfo=UTC)}, "expired already"),
        ({"accounts": []}, "limited to 1 to"),
        ({"accounts": ["nobody"]}, "There is no account nobody"),
    ]
    for options, complaint in cases:
        given = {"name": "a key", "scopes": ["credit_memos:read"], **options}
        with pytest.raises(api_keys.KeyRefused, match=complaint):
            await api_keys.create(database, SystemClock(), **given)
    with pytest.raises(api_keys.KeyRefused, match="There is no key key_1"):
        await api_keys.revoke(database, SystemClock(), "key_1")
    await database.dispose()


def test_a_wrong_option_is_told_in_a_line(tmp_path: Path) -> None:
    failed = programs.run(tmp_path, "keys", "create", "--name", "k", "--role", "admin", "--expires", "soon")

    assert failed.returncode == 2
    assert failed.stderr.startswith("cm-graphql: --expires is 'soon'")
    assert failed.stderr.count("\n") == 1


def test_no_secret_is_in_the_log_nor_in_the_database(guarded: Guarded) -> None:
    _, text = guarded.key()
    good = token()
    guarded.ask(text)
    guarded.ask(good)
    guarded.ask(good + "A")

    async def stored() -> str:
        database = Database.open(guarded.database_url)
        try:
            return repr(await api_keys.every(database))
        finally:
            await database.dispose()

    kept = guarded.log.read_text() + asyncio.run(stored())
    assert text[-43:] not in kept
    assert good.rpartition(".")[2] not in kept


def logged(guarded: Guarded, **wanted: Any) -> list[dict[str, Any]]:
    """The entries of the log that have these values; the line of a request comes just after its answer."""
    found: list[dict[str, Any]] = []
    for _ in range(100):
        lines = [json.loads(line) for line in guarded.log.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]
        if found:
            break
        time.sleep(0.02)
    return found


def test_the_log_names_who_asked_and_did_what(guarded: Guarded) -> None:
    key, text = guarded.key(scopes=["settings:write"])
    taken, revoked = guarded.key()
    guarded.revoke(taken.id)
    mutation = 'mutation { updateSettings(input: {timeZone: "UTC"}) { userErrors { code } } }'

    guarded.ask(text, mutation, **{"x-request-id": "by-key"})
    guarded.ask(token(), mutation, **{"x-request-id": "by-token"})
    guarded.ask(revoked, **{"x-request-id": "by-revoked"})
    guarded.ask(**{"x-request-id": "by-nobody"})

    asked = [logged(guarded, event="request", request_id=f"by-{who}") for who in ("key", "token", "revoked", "nobody")]
    assert [(line["viewer"], line["status"]) for (line,) in asked] == [
        (key.id, 200),
        ("usr_ann", 200),
        (None, 401),
        (None, 401),
    ]
    done = [logged(guarded, event="action", request_id=f"by-{who}") for who in ("key", "token")]
    assert [(line["viewer"], line["action"], line["outcomes"]) for (line,) in done] == [
        (key.id, "reference.update_settings", {"DONE": 1}),
        ("usr_ann", "reference.update_settings", {"PERMISSION_DENIED": 1}),
    ]
    assert logged(guarded, event="key_refused", key=taken.id, reason="revoked", request_id="by-revoked")


async def test_the_log_names_who_sends_too_much(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, auth="keys", rate_limit="1/minute") as client:
        key_id, header = await a_key(database_url, "settings:read")
        with capture_logs() as entries:
            for _ in range(2):
                await client.post("/graphql", json={"query": "{ __typename }"}, headers=header)

    asked = [(entry["status"], entry["viewer"]) for entry in entries if entry["event"] == "request"]
    assert asked == [(200, key_id), (429, key_id)]


async def test_the_log_names_who_held_a_socket(guarded: Guarded) -> None:
    key, text = await asyncio.to_thread(guarded.key)
    opened = await socket(guarded, {"authorization": f"Bearer {text}"})
    await opened.recv()
    await opened.close()

    for _ in range(100):
        if logged(guarded, event="socket", viewer=key.id):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the log does not tell")


async def socket(guarded: Guarded, payload: dict[str, Any]) -> Any:
    """A socket on which the caller introduced themselves."""
    url = guarded.url.replace("http", "ws", 1)
    opened = await connect(f"{url}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None)
    await opened.send(json.dumps({"type": "connection_init", "payload": payload}))
    return opened


async def test_on_a_socket_callers_say_who_they_are_when_they_introduce_themselves(guarded: Guarded) -> None:
    opened = await socket(guarded, {"authorization": f"Bearer {token()}"})
    assert json.loads(await opened.recv()) == {"type": "connection_ack"}

    await opened.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": "{ viewer { id } }"}}))

    assert json.loads(await opened.recv())["payload"] == {"data": {"viewer": {"id": "usr_ann"}}}
    await opened.close()


@pytest.mark.parametrize("payload", [{}, {"authorization": f"Bearer {MADE_UP}"}, {"authorization": 7}])
async def test_a_socket_of_a_stranger_is_closed(guarded: Guarded, payload: dict[str, Any]) -> None:
    opened = await socket(guarded, payload)

    with pytest.raises(ConnectionClosed):
        await opened.recv()
    assert opened.close_code == 4403


async def test_little_is_heard_of_a_stranger_and_much_of_who_is_known(guarded: Guarded) -> None:
    _, text = await asyncio.to_thread(guarded.key)
    large = json.dumps({"type": "ping", "payload": {"text": "x" * 1_000_000}})
    stranger = await socket(guarded, {"text": "x" * 1_000_000})
    with pytest.raises(ConnectionClosed):
        await stranger.recv()
    assert stranger.close_code == 1009

    known = await socket(guarded, {"authorization": f"Bearer {text}"})
    assert json.loads(await known.recv()) == {"type": "connection_ack"}
    await known.send(large)
    assert json.loads(await known.recv()) == {"type": "pong"}
    assert known.protocol.extensions == [], "what is compressed could be small and become large"
    await known.close()


async def test_a_socket_and_a_stream_of_events_end_when_their_token_ends(guarded: Guarded) -> None:
    key, text = await asyncio.to_thread(guarded.key)
    watching = {"query": "subscription { creditMemoChanged { event { id } } }"}
    opened = await socket(guarded, {"authorization": f"Bearer {text}"})
    await opened.recv()
    await opened.send(json.dumps({"type": "subscribe", "id": "1", "payload": watching}))
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {text}"}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        refused(await client.post(f"{guarded.url}/graphql", json=watching, headers={"accept": "text/event-stream"}))
        async with client.stream("POST", f"{guarded.url}/graphql", json=watching, headers=headers) as stream:
            assert stream.status_code == 200
            await asyncio.to_thread(guarded.revoke, key.id)
            assert b"complete" not in await stream.aread()

    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(opened.recv(), 20)
    assert opened.close_code == 4403


def test_other_machines_are_served_only_with_authentication() -> None:
    def start(**options: object) -> None:
        settings = Settings.load({"host": "0.0.0.0", **options})
        wiring._check(settings, wiring._addresses(settings))

    start(auth="keys")
    with pytest.raises(wiring.StartupError, match="no authentication is configured"):
        start(auth="none")
    with pytest.raises(wiring.StartupError, match="CM_GRAPHQL_JWT_ISSUER"):
        start(auth="jwt", jwt_audience="memos")
    with pytest.raises(SettingsError, match="https"):
        start(auth="jwt", jwt_jwks_url="http://id.example/jwks")
    with pytest.raises(SettingsError, match="CM_GRAPHQL_JWT_ALGORITHMS"):
        start(auth="jwt", jwt_algorithms="RS256,HS256")
