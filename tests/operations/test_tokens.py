"""Tokens of an identity provider: only those that it signed, for us, now; its keys can change."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from cm_graphql.operations.tokens import (
    COOL_DOWN_SECONDS,
    FRESH_SECONDS,
    STALE_SECONDS,
    PinnedAlgorithms,
    TokenRules,
    Tokens,
    usable,
)
from cm_graphql.operations.viewer import CannotTell, Viewer

RULES = TokenRules(jwks_url="https://id.example/jwks", issuer="https://id.example", audience="memos")
RSA = RSAKey.generate_key(2048, {"kid": "one"})
EC = ECKey.generate_key("P-256", {"kid": "two"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "three"})
STRANGER = RSAKey.generate_key(2048, {"kid": "one"})


class Provider:
    """Publishes keys, at a time that tests can turn."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.down = False
        self.now = 1_000.0

    async def fetch(self, _url: str) -> Any:
        self.asked += 1
        if self.down:
            raise OSError("no route")
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def tokens(self, **rules: Any) -> Tokens:
        return Tokens(TokenRules(**{**RULES.__dict__, **rules}), self.fetch, lambda: self.now)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": RULES.issuer,
        "aud": "memos",
        "sub": "ann",
        "exp": now + 60,
        "iat": now,
        "scope": "credit_memos:read",
    }
    return {name: value for name, value in {**made, **changed}.items() if value is not None}


def token(key: Key = RSA, algorithm: str = "RS256", header: dict[str, Any] | None = None, **changed: Any) -> str:
    head = {"alg": algorithm, "kid": key.kid, **(header or {})}
    head = {name: value for name, value in head.items() if value is not None}
    registry = PinnedAlgorithms(algorithms=[algorithm], strict_check_header=False)
    return jwt.encode(head, claims(**changed), key, registry=registry)


def viewer(text: str, provider: Provider | None = None, **rules: Any) -> Viewer | None:
    return asyncio.run((provider or Provider(RSA, EC, OKP)).tokens(**rules).viewer(text))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (OKP, "EdDSA"), (OKP, "Ed25519")])
@pytest.mark.filterwarnings("error")  # the library warns of the older of two names, which we need not hear per request
def test_a_good_token_tells_who_asks(key: Key, algorithm: str) -> None:
    assert viewer(token(key, algorithm)) == Viewer("usr_ann", frozenset({"credit_memos:read"}), None)


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def signed_with_the_public_key() -> str:
    """The classic swap: the public key, which everybody has, taken for the shared secret of HS256."""
    pem = RSA.public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims())}"
    return f"{head}.{part(hmac.digest(pem, head.encode(), hashlib.sha256))}"


def signed(header: dict[str, Any]) -> str:
    """A token that the library would not make."""
    head = f"{part(header)}.{part(claims())}"
    assert RSA.private_key is not None
    return f"{head}.{part(RSA.private_key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def tampered() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{part(claims(scope='settings:write'))}.{signature}"


BAD: dict[str, Callable[[], str]] = {
    "expired": lambda: token(exp=int(time.time()) - 31),
    "without end": lambda: token(exp=None),
    "ends never": lambda: token(exp=float("nan")),
    "ends in infinity": lambda: token(exp=float("inf")),
    "ends at a text": lambda: token(exp="9999999999"),
    "ends at true": lambda: token(exp=True),
    "not yet valid": lambda: token(nbf=int(time.time()) + 60),
    "issued in the future": lambda: token(iat=int(time.time()) + 60),
    "of another issuer": lambda: token(iss="https://evil.example"),
    "without issuer": lambda: token(iss=None),
    "for others": lambda: token(aud="another"),
    "for several others": lambda: token(aud=["another", "third"]),
    "for nobody": lambda: token(aud=None),
    "of nobody": lambda: token(sub=None),
    "of an empty name": lambda: token(sub=""),
    "of a name with line breaks": lambda: token(sub="ann\nbob"),
    "of a number": lambda: token(sub=7),
    "of whom the machine itself goes by": lambda: token(sub="local"),
    "of a long name": lambda: token(sub="x" * 201),
    "signed by a stranger under the provider's key id": lambda: token(STRANGER),
    "with an unknown key": lambda: token(header={"kid": "nine"}),
    "with its own key": lambda: token(STRANGER, header={"kid": None, "jwk": STRANGER.as_dict(private=False)}),
    "with the address of its own keys": lambda: token(STRANGER, header={"jku": "https://evil.example/jwks"}),
    "with an extension nobody knows": lambda: signed({"alg": "RS256", "kid": "one", "crit": ["exp2"], "exp2": 1}),
    "with an extension that is none": lambda: signed({"alg": "RS256", "kid": "one", "crit": ["alg"]}),
    "with no extension among those that are critical": lambda: signed({"alg": "RS256", "kid": "one", "crit": []}),
    "with an unencoded payload": lambda: signed({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": False}),
    "with a list for a header that holds what is looked for": lambda: f"{part(['alg', 'kid'])}.{part(claims())}.AA",
    "with a key id that is a list": lambda: signed({"alg": "RS256", "kid": ["one"]}),
    "with a key id that is a path": lambda: token(header={"kid": "../../dev/null"}),
    "with a key id that is SQL": lambda: token(header={"kid": "x' UNION SELECT 'one"}),
    "with an algorithm that is a list": lambda: signed({"alg": ["RS256"], "kid": "one"}),
    "of no algorithm": lambda: signed({"kid": "one"}),
    "unsigned in capitals": lambda: f"{part({'alg': 'NONE', 'kid': 'one'})}.{part(claims())}.AA",
    "a logout token": lambda: token(header={"typ": "logout+jwt"}),
    "of a type that is a number": lambda: signed({"alg": "RS256", "kid": "one", "typ": 7}),
    "for others, among whom we are a part of a name": lambda: token(aud=["memos.example", "xmemos"]),
    "for a thing": lambda: token(aud={"memos": True}),
    "of several issuers": lambda: token(iss=[RULES.issuer]),
    "of another algorithm": lambda: token(RSA, "PS256"),
    "of a curve that is not among the algorithms": lambda: token(
        OKPKey.generate_key("Ed448", {"kid": "three"}), "Ed448"
    ),
    "of a shared secret": lambda: token(OctKey.import_key("x" * 32, {"kid": "one"}), "HS256"),
    "signed with the public key": signed_with_the_public_key,
    "unsigned": lambda: f"{part({'alg': 'none', 'kid': 'one'})}.{part(claims())}.",
    "unsigned, with a signature": lambda: f"{part({'alg': 'none', 'kid': 'one'})}.{part(claims())}.AA",
    "tampered with": tampered,
    "without payload": lambda: f"{token().split('.')[0]}..{token().split('.')[2]}",
    "a list": lambda: f"{part([1])}.{part([1])}.{part(b'1')}",
    "deep": lambda: f"{part(b'[' * 9_000)}.{part(b'1')}.{part(b'1')}",
    "long": lambda: token(more="x" * 20_000),
    "no token": lambda: "abc",
    "empty": lambda: "",
    "of other letters": lambda: "ä.ö.ü",
    "of a name that is a list": lambda: token(sub=["ann"]),
    "of odd scopes": lambda: token(scope={"credit_memos:read": True}),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_token_is_refused_that_is(bad: str) -> None:
    assert viewer(BAD[bad]()) is None


def test_what_else_a_header_says_does_not_matter() -> None:
    assert viewer(signed({"alg": "RS256", "kid": "one", "typ": "at+jwt", "nonce": "1"})) is not None


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_a_token_may_say_that_it_is_one(kind: str) -> None:
    assert viewer(token(header={"typ": kind})) is not None


@pytest.mark.parametrize(
    "scope",
    [
        "credit_memos:read\u00a0settings:write",
        "credit_memos:read\nsettings:write",
        "*",
        "admin",
        "credit_memos:*",
        "CREDIT_MEMOS:READ",
        "credit_memos",
        "",
    ],
)
def test_a_scope_that_does_not_exist_opens_nothing(scope: str) -> None:
    found = viewer(token(scope=scope))

    assert found is not None
    assert found.scopes == frozenset()


def test_the_clocks_may_differ_a_little() -> None:
    assert viewer(token(exp=int(time.time()) - 5)) is not None
    assert viewer(token(exp=int(time.time()) - 5), leeway=0) is None


def test_scopes_come_from_the_claim_that_is_set_and_unknown_ones_are_nothing() -> None:
    text = token(permissions=["documents:read", "world:rule"])

    found = viewer(text, scope_claim="permissions")

    assert found is not None
    assert found.scopes == {"documents:read"}
    assert viewer(token(scope=None)) == Viewer("usr_ann", frozenset(), None)


@pytest.mark.parametrize(
    ("claim", "accounts"),
    [
        (["acc_1", "acc_2"], frozenset({"acc_1", "acc_2"})),
        ("acc_1 acc_2", frozenset({"acc_1", "acc_2"})),
        ("*", None),
        (["*"], None),
        (["*", "acc_1"], frozenset({"*", "acc_1"})),
        ([], frozenset()),
        (None, frozenset()),
    ],
)
def test_accounts_come_from_the_claim_that_is_set_and_a_token_without_it_sees_none(
    claim: Any, accounts: frozenset[str] | None
) -> None:
    found = viewer(token(accounts=claim), accounts_claim="accounts")

    assert found is not None
    assert found.accounts == accounts


def test_a_token_with_too_many_accounts_is_refused() -> None:
    assert viewer(token(accounts=[f"a{i}" for i in range(1_001)]), accounts_claim="accounts") is None


def test_without_a_key_id_the_only_fitting_key_is_taken_and_none_of_several() -> None:
    text = token(header={"kid": None})

    assert viewer(text, Provider(RSA, EC)) is not None
    assert viewer(text, Provider(RSA, RSAKey.generate_key(2048, {"kid": "four"}))) is None


async def test_a_new_key_of_the_provider_is_found_at_once_and_made_up_ones_do_not_trouble_it() -> None:
    provider = Provider(RSA)
    tokens = provider.tokens()
    assert await tokens.viewer(token()) is not None

    provider.now += COOL_DOWN_SECONDS
    provider.keys = [EC]
    assert await tokens.viewer(token(EC, "ES256")) is not None
    assert await tokens.viewer(token()) is None, "the old key is gone"
    asked = provider.asked
    for number in range(50):
        assert await tokens.viewer(token(header={"kid": f"made up {number}"})) is None
    assert provider.asked == asked

    provider.now += COOL_DOWN_SECONDS
    await asyncio.gather(*(tokens.viewer(token(header={"kid": f"made up {number}"})) for number in range(50)))
    assert provider.asked == asked + 1


async def test_a_withdrawn_key_ends_when_the_keys_are_fetched_again() -> None:
    provider = Provider(RSA)
    tokens = provider.tokens()
    assert await tokens.viewer(token()) is not None

    provider.keys = [EC]
    provider.now += FRESH_SECONDS
    assert await tokens.viewer(token()) is None


async def test_a_checked_token_is_known_until_it_expires_or_the_keys_are_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Provider(RSA)
    tokens = provider.tokens(leeway=5)
    good, short, now = token(exp=int(time.time()) + 100), token(), time.time()

    assert tokens.known(good) is None
    assert await tokens.viewer(good) == tokens.known(good)
    assert tokens.known(good[:-2] + ("AA" if good[-2:] != "AA" else "BB")) is None
    assert await tokens.viewer(short)
    monkeypatch.setattr(time, "time", lambda: now + 64)
    assert await tokens.viewer(short)
    assert tokens.known(short)
    monkeypatch.setattr(time, "time", lambda: now + 66)
    assert tokens.known(short) is None
    assert await tokens.viewer(short) is None

    provider.now += FRESH_SECONDS - 1
    assert tokens.known(good)
    provider.now += 1
    assert tokens.known(good) is None, "a key may be withdrawn by now"
    assert await tokens.viewer(good)
    assert tokens.known(good)
    provider.keys = [EC]
    provider.now += COOL_DOWN_SECONDS
    await tokens.viewer(token(EC, "ES256"))
    assert tokens.known(good) is None, "it was withdrawn, as was found for another token's sake"


async def test_what_was_not_good_is_never_known() -> None:
    tokens = Provider(RSA).tokens()
    for bad in (token(STRANGER), token(exp=1), token(aud="others"), token(sub="local"), "nonsense"):
        assert await tokens.viewer(bad) is None
        assert tokens.known(bad) is None


async def test_while_the_provider_is_away_known_tokens_are_checked_again() -> None:
    provider = Provider(RSA)
    tokens, good = provider.tokens(), token(exp=int(time.time()) + 10_000)
    assert await tokens.viewer(good)
    provider.down = True
    provider.now += FRESH_SECONDS

    assert await tokens.viewer(good)
    assert tokens.known(good) is None


async def test_while_the_provider_is_away_known_keys_go_on_for_an_hour_and_then_nobody_can_be_told() -> None:
    provider = Provider(RSA)
    tokens = provider.tokens()
    assert await tokens.viewer(token()) is not None
    provider.down = True

    provider.now += STALE_SECONDS - 1
    assert await tokens.viewer(token()) is not None
    provider.now += 1
    with pytest.raises(CannotTell):
        await tokens.viewer(token())

    provider.down = False
    provider.now += COOL_DOWN_SECONDS
    assert await tokens.viewer(token()) is not None


async def test_while_the_provider_was_never_there_nobody_can_be_told_and_it_is_asked_seldom() -> None:
    provider = Provider(RSA)
    provider.down = True
    tokens = provider.tokens()

    for _ in range(5):
        with pytest.raises(CannotTell):
            await tokens.viewer(token())
    assert provider.asked == 1

    provider.down = False
    provider.now += COOL_DOWN_SECONDS
    assert await tokens.viewer(token()) is not None


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n\r\n\xff",
    ],
)
async def test_a_provider_that_answers_nonsense_is_one_that_is_away(sent: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tokens = Tokens(TokenRules(**{**RULES.__dict__, "jwks_url": f"http://127.0.0.1:{port}/keys"}))
        with pytest.raises(CannotTell):
            await tokens.viewer(token())


def test_a_key_that_signs_nothing_checks_nothing() -> None:
    agreeing = OKPKey.generate_key("X25519", {"kid": "three"})

    assert usable({"keys": [agreeing.as_dict(private=False)]}) == []
    assert viewer(token(OKP, "EdDSA"), Provider(agreeing)) is None


def test_keys_that_cannot_be_trusted_are_passed_over() -> None:
    weak = RSAKey.generate_key(1024, {"kid": "weak"}, auto_kid=False).as_dict(private=False)
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}
    for_encryption = {**RSA.as_dict(private=False), "use": "enc"}
    broken = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
    good = EC.as_dict(private=False)

    found = usable({"keys": [weak, secret, for_encryption, broken, {"kty": "new"}, 7, good]})

    assert [key.get("kid") for key in found] == ["two"]
    with pytest.raises(ValueError, match="no JWKS"):
        usable({"error": "not here"})
