"""Secrets stay where they are: whatever goes wrong, no log and no answer has one, and no log what customers owe."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

import programs
from cm_graphql.operations import api_keys
from cm_graphql.operations.ports import SystemClock
from cm_graphql.operations.viewer import ADMIN
from cm_graphql.store.database import Database
from postgres import free_port
from servers import running

SECRET = "canary-5ecre7-0123456789abcdef"
"""Stands in every setting and token that is secret."""
PRIVATE = "private.canary@customer.example"
"""Stands for what customers would not like to see in a log."""
OWED = "48151623.42"

SYNC = """mutation($i: SyncProductRatePlanChargesInput!) {
  syncProductRatePlanCharges(input: $i) { results { productRatePlanCharge { id } userErrors { code message } } }
}"""
CREATE = """mutation($i: CreateCreditMemoFromChargesInput!) {
  createCreditMemoFromCharges(input: $i) { creditMemo { id } userErrors { code message } }
}"""


@dataclass
class Server:
    """A server full of secrets, whose every neighbour is away."""

    url: str
    key: str
    log: Path
    answers: list[str]

    def ask(self, *, token: str | None = None, method: str = "POST", **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.key}", **request.pop("headers", {})}
        with httpx.Client(trust_env=False, timeout=30) as client:
            answer = client.request(method, f"{self.url}/graphql", headers=headers, **request)
        self.answers.append(answer.text + str(answer.headers))
        return answer

    def graphql(self, query: str, **variables: Any) -> Any:
        return self.ask(json={"query": query, "variables": variables}).json()


def environment() -> dict[str, str]:
    away = free_port()
    settings = {
        "AUTH": "both",
        "JWT_JWKS_URL": f"http://user:{SECRET}@127.0.0.1:{away}/keys?token={SECRET}",
        "JWT_ISSUER": "https://id.example",
        "JWT_AUDIENCE": "memos",
        "LINK_SECRET": SECRET,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(away),
        "SMTP_USERNAME": "postman",
        "SMTP_PASSWORD": SECRET,
        "AVALARA_ACCOUNT_ID": "1100",
        "AVALARA_LICENSE_KEY": SECRET,
        "AVALARA_URL": f"http://127.0.0.1:{away}",
        "RATE_LIMIT_URL": f"redis://:{SECRET}@127.0.0.1:{away}/0",
        "LOG_LEVEL": "debug",
        "MAX_BODY_BYTES": "100000",
    }
    return {f"CM_GRAPHQL_{name}": value for name, value in settings.items()}


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    async def make_key() -> str:
        database = Database.open(module_database_url)
        try:
            made = await api_keys.create(database, SystemClock(), name="a key", scopes=ADMIN)
            return made[1]
        finally:
            await database.dispose()

    key = asyncio.run(make_key())
    directory = tmp_path_factory.mktemp("secrets")
    with running(module_database_url, directory, **environment()) as url:
        yield Server(url, key, directory / "server.log", [])


def token(secret: str) -> str:
    key = RSAKey.generate_key(2048, {"kid": "unknown"})
    claims = {"iss": "https://id.example", "aud": "memos", "sub": secret, "exp": int(time.time()) + 60}
    return jwt.encode({"alg": "RS256", "kid": "unknown"}, claims, key)


def _strangers(server: Server) -> list[str]:
    """Ask with everything that is no good; give the tokens."""
    made_up = f"cmk_{'0' * 32}_{SECRET}{'A' * (43 - len(SECRET))}"
    tokens = [made_up, token(SECRET), f"{server.key[:-1]}x", SECRET, f"ey.{SECRET}"]
    for one in tokens:
        server.ask(token=one, json={"query": "{ viewer { id } }"})
    server.ask(headers={"authorization": f"Basic {SECRET}"}, json={"query": "{ viewer { id } }"})
    server.ask(
        headers={"cookie": f"session={SECRET}", "x-request-id": f"\\{SECRET}"}, json={"query": "{ viewer { id } }"}
    )
    return tokens


def _mistakes(server: Server) -> None:
    """Send what cannot be answered, with the customer's data in it."""
    ask = {"query": f'{{ account(key: "{PRIVATE}") {{ name }} }}'}
    server.ask(method="GET", params={**ask, "variables": json.dumps({"x": PRIVATE})})
    server.ask(content=json.dumps(ask)[:-1].encode(), headers={"content-type": "application/json"})
    server.ask(content=PRIVATE.encode() * 9_000, headers={"content-type": "application/json"})
    server.ask(json={"query": f"{{ {PRIVATE} }}"})
    server.ask(json={"query": f'{{ nothing(x: "{PRIVATE}") }}'})
    server.ask(json={"query": "query($n: Int!) { creditMemos(first: $n) { totalCount } }", "variables": {"n": PRIVATE}})
    server.ask(data={"operations": PRIVATE, "map": PRIVATE}, files={"0": PRIVATE.encode()})
    server.graphql(f'{{ node(id: "cm_{PRIVATE}") {{ id }} }}')


def _business(server: Server) -> None:
    """Do what fails outside: a mail to nowhere, a tax from nobody."""
    account = {"number": "A-1", "name": PRIVATE, "currency": "USD", "billToContact": {"workEmail": PRIVATE}}
    server.graphql(
        "mutation($i: SyncAccountsInput!) { syncAccounts(input: $i) { results { userErrors { code } } } }",
        i={"accounts": [account]},
    )
    charge = {"name": "c", "chargeModel": "FLAT_FEE", "chargeType": "ONE_TIME", "prices": []}
    made = server.graphql(SYNC, i={"productRatePlanCharges": [charge]})
    charge_id = made["data"]["syncProductRatePlanCharges"]["results"][0]["productRatePlanCharge"]["id"]
    lines = [{"productRatePlanChargeId": charge_id, "amount": OWED, "description": PRIVATE}]
    memo = {"accountKey": "A-1", "charges": lines, "autoPost": True, "comment": PRIVATE}
    made = server.graphql(CREATE, i=memo)
    key = made["data"]["createCreditMemoFromCharges"]["creditMemo"]["id"]
    server.graphql('mutation { updateSettings(input: {taxEngine: "avalara"}) { userErrors { code message } } }')
    server.graphql(CREATE, i={**memo, "autoPost": False})
    mail = "mutation($k: ID!) { emailCreditMemo(input: {key: $k}) { job { id } userErrors { code message } } }"
    job = server.graphql(mail, k=key)["data"]["emailCreditMemo"]["job"]
    deadline = time.monotonic() + 60
    while job is not None and time.monotonic() < deadline:
        found = server.graphql("query($i: ID!) { creditMemoJob(id: $i) { status } }", i=job["id"])
        if found["data"]["creditMemoJob"]["status"] not in ("PENDING", "PROCESSING"):
            break
        time.sleep(0.3)


async def _sockets(server: Server) -> None:
    url = server.url.replace("http", "ws", 1) + "/graphql"
    for bearer in (server.key, SECRET):
        with suppress(WebSocketException, OSError):
            async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
                hello = {"type": "connection_init", "payload": {"authorization": f"Bearer {bearer}"}}
                await socket.send(json.dumps(hello))
                server.answers.append(str(await socket.recv()))
                await socket.send(json.dumps({"type": "subscribe", "id": PRIVATE, "payload": {"query": PRIVATE}}))
                server.answers.append(str(await socket.recv()))
                await socket.send(PRIVATE)
                server.answers.append(str(await socket.recv()))


def test_whatever_goes_wrong_no_log_and_no_answer_has_a_secret_and_no_log_a_customers_data(server: Server) -> None:
    tokens = _strangers(server)
    _mistakes(server)
    _business(server)
    asyncio.run(_sockets(server))

    log = server.log.read_text(errors="replace")
    answers = "\n".join(server.answers)
    assert '"event":"request"' in log
    assert '"event":"rate_storage_fails"' in log  # the neighbours are away indeed
    assert '"event":"provider_keys_not_fetched"' in log
    for secret in (SECRET, server.key, *tokens):
        assert secret not in log
        assert secret not in answers
    for private in (PRIVATE, PRIVATE.split("@", 1)[0], OWED, OWED.replace(".", "")):
        assert private not in log


@pytest.mark.parametrize(
    "settings",
    [
        {"DATABASE_URL": f"postgresql://user:{SECRET}@127.0.0.1:1/memos"},
        {"DATABASE_URL": f"mysql://user:{SECRET}@127.0.0.1/memos"},
        {"DATABASE_URL": f"post gresql://user:{SECRET}@@"},
        {"RATE_LIMIT_URL": f"mongodb://:{SECRET}@host"},
        {"LINK_SECRET": SECRET[:12]},
        {"FILES_OPTIONS": f'{{"aws_secret_access_key": "{SECRET}"'},
        {"FILES_OPTIONS": f'{{"nonsense_{SECRET[:9]}": "{SECRET}"}}', "FILES_URL": "s3://bucket"},
    ],
)
def test_a_server_that_cannot_start_does_not_say_its_secrets(settings: dict[str, str], tmp_path: Path) -> None:
    done = programs.run(tmp_path, "serve", "--port", "0", **settings)

    assert done.returncode == 2
    assert "CM_GRAPHQL" in done.stderr or "database" in done.stderr
    assert SECRET[:12] not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
