"""Tokens of an identity provider (JWT): who a caller is, by keys that the provider publishes (JWKS)."""

import asyncio
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import structlog
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, extract_compact
from joserfc.jwt import JWTClaimsRegistry

from cm_graphql.operations.viewer import LOCAL, MOST_ACCOUNTS, SCOPES, CannotTell, Viewer

ALGORITHMS: Final[Mapping[str, type[Key]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSAKey),
    **dict.fromkeys(("ES256", "ES384", "ES512"), ECKey),
    **dict.fromkeys(("EdDSA", "Ed25519"), OKPKey),
}
"""Signatures that can be accepted, and the public keys that each is checked with; never a shared secret."""

FRESH_SECONDS: Final = 600.0
"""After so long the provider's keys are fetched again: a key that it has withdrawn works no longer than this."""

COOL_DOWN_SECONDS: Final = 30.0
"""Between two fetches at least; tokens with made-up keys must not make us call the provider for each of them."""

STALE_SECONDS: Final = 3_600.0
"""For so long known keys go on where the provider does not answer."""

ALL_ACCOUNTS: Final = "*"
"""In the claim of accounts: all of them."""

LONGEST: Final = 16_384
LONGEST_SUBJECT: Final = 200
_LEAST_RSA_BITS: Final = 2_048
_FETCH_SECONDS: Final = 5.0
"""For which the provider may be silent; twice as long may it take altogether."""
_MOST_BYTES: Final = 1 << 20
_TYPES: Final = (None, "jwt", "at+jwt", "application/at+jwt")
"""What a token may call itself (RFC 8725, 3.11): a logout token, say, is signed by the same keys and lets nobody in."""
_MOST_BELIEVED: Final = 2_000
"""Tokens that are remembered with their callers."""
_LONGEST_BELIEVED: Final = 4_096
"""Longer ones are not, so that the others take 8 MB at most."""

_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

log = structlog.get_logger("cm_graphql.operations")

Fetch = Callable[[str], Awaitable[Any]]
"""Reads the JSON at a URL; raises OSError or ValueError."""


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """Which tokens are good, and what their claims mean."""

    jwks_url: str
    issuer: str
    audience: str
    algorithms: Sequence[str] = ("RS256", "ES256", "Ed25519", "EdDSA")
    leeway: int = 30
    """Seconds by which the provider's clock may differ from ours."""
    scope_claim: str = "scope"
    """Holds the scopes: a text with spaces between them, or a list."""
    accounts_claim: str | None = None
    """Holds the ids of the only accounts that the caller sees, or `*`; None: everybody sees all."""


@dataclass(frozen=True, slots=True)
class Believed:
    """What was made out of a token."""

    viewer: Viewer
    expires: float
    """Its `exp`, with the leeway, by the clock of the world."""
    published: float | None
    """When the keys were fetched that it was checked with."""


class Tokens:
    """Tells who a token was issued to."""

    def __init__(
        self, rules: TokenRules, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules
        self._keys = ProviderKeys(rules.jwks_url, fetch or fetch_json, clock)
        self._registry = PinnedAlgorithms(algorithms=list(rules.algorithms), strict_check_header=False)
        self._claims = JWTClaimsRegistry(
            leeway=rules.leeway,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "value": rules.audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._believed: OrderedDict[str, Believed] = OrderedDict()
        """By the texts of tokens."""

    def known(self, token: str) -> Viewer | None:
        """The caller of a token that was checked with the keys at hand; None where it has to be checked.

        A signature that was good stays good as long as the provider's keys are those that were fetched then, and are
        not to be fetched again; all else about a token is decided by its `exp`.
        """
        believed = self._believed.get(token)
        if believed is None or time.time() >= believed.expires or believed.published != self._keys.fresh():
            return None
        return believed.viewer

    def _believe(self, token: str, claims: Mapping[str, Any], viewer: Viewer) -> None:
        published = self._keys.fresh()
        if published is not None and len(token) <= _LONGEST_BELIEVED:
            self._believed.pop(token, None)
            self._believed[token] = Believed(viewer, claims["exp"] + self._rules.leeway, published)
            if len(self._believed) > _MOST_BELIEVED:
                self._believed.popitem(last=False)

    async def viewer(self, token: str) -> Viewer | None:
        """The caller of a token; None where it is not good. Raises CannotTell where the provider does not answer."""
        if len(token) > LONGEST or not _SHAPE.fullmatch(token):
            return None
        try:
            header = extract_compact(token.encode(), registry=self._registry).headers()
            key = await self._key(header)
            if key is None:
                return None
            checked = jwt.decode(token, key, registry=self._registry)
            self._claims.validate(checked.claims)
            viewer = self._viewer(checked.claims)
            if viewer is not None:
                self._believe(token, checked.claims, viewer)
            return viewer
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.debug("token_refused", reason=type(error).__name__)  # its text could repeat the token
            return None

    async def _key(self, header: Mapping[str, Any]) -> Key | None:
        """The provider's key that the header names; keys that a token brings along are never looked at."""
        algorithm, kid = str(header.get("alg")), header.get("kid")
        if algorithm not in self._rules.algorithms or not (kid is None or isinstance(kid, str)):
            return None
        if "crit" in header:
            return None  # it asks for what has to be understood beyond the standard, of which we understand nothing
        kind = header.get("typ")
        if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
            return None
        return await self._keys.find(algorithm, kid)

    def _viewer(self, claims: Mapping[str, Any]) -> Viewer | None:
        subject = claims["sub"]
        if not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
            return None
        caller_id = f"usr_{subject}"
        if caller_id == LOCAL.id:
            return None  # what was done on the machine itself stays told apart
        accounts = self._accounts(claims)
        if accounts is not None and len(accounts) > MOST_ACCOUNTS:
            return None
        given = claims.get(self._rules.scope_claim, ())
        scopes = given.split(" ") if isinstance(given, str) else _texts(given)
        return Viewer(caller_id, frozenset(scopes) & frozenset(SCOPES), accounts)

    def _accounts(self, claims: Mapping[str, Any]) -> frozenset[str] | None:
        """The accounts that a token is limited to; where its claim is missing, none at all."""
        if self._rules.accounts_claim is None:
            return None
        given = claims.get(self._rules.accounts_claim, ())
        listed = [one for one in given.split(" ") if one] if isinstance(given, str) else _texts(given)
        return None if listed == [ALL_ACCOUNTS] else frozenset(listed)


def _texts(given: Any) -> list[str]:
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise ValueError("a claim is neither a text nor a list of texts")
    return list(given)


class PinnedAlgorithms(JWSRegistry):
    """The algorithms that the rules name and no others, without a warning at each token of theirs.

    The library warns of `EdDSA`, which RFC 9864 renames to `Ed25519` so that the name tells the curve: the signature is
    the same, and which name it has is for the provider to choose.
    """

    def get_alg(self, name: str) -> JWSAlgModel:
        """The algorithm of a name; raises UnsupportedAlgorithmError."""
        if name not in (self.allowed or ()) or name not in self.algorithms:
            raise UnsupportedAlgorithmError("that algorithm is not allowed")
        return self.algorithms[name]


class ProviderKeys:
    """The keys that a provider publishes, fetched when they are needed and not more often than that."""

    def __init__(self, url: str, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._keys: list[Key] = []
        self._fetched: float | None = None
        self._tried: float | None = None
        self._turn = asyncio.Lock()

    async def find(self, algorithm: str, kid: str | None) -> Key | None:
        """The key of a name for an algorithm; without a name, the only one that fits. Raises CannotTell."""
        if self._age() >= FRESH_SECONDS:
            await self._refresh()
        if self._age() >= STALE_SECONDS:
            raise CannotTell("the identity provider does not publish its keys")
        found = self._among(algorithm, kid)
        if found is None and kid is not None and await self._refresh():
            found = self._among(algorithm, kid)
        return found

    def fresh(self) -> float | None:
        """When the keys were fetched; None where they are to be fetched again, or for the first time."""
        return self._fetched if self._age() < FRESH_SECONDS else None

    def _among(self, algorithm: str, kid: str | None) -> Key | None:
        fitting = [
            key
            for key in self._keys
            if isinstance(key, ALGORITHMS[algorithm])
            and key.get("alg") in (None, algorithm)
            and (kid is None or key.get("kid") == kid)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    async def _refresh(self) -> bool:
        """Fetch the keys, unless that was tried just now; whether others may be known after it."""
        asked = self._clock()
        async with self._turn:
            if self._fetched is not None and self._fetched > asked:
                return True  # somebody fetched them while we waited for our turn
            if self._tried is not None and self._clock() - self._tried < COOL_DOWN_SECONDS:
                return False
            self._tried = self._clock()
            try:
                self._keys = usable(await self._fetch(self._url))
            except (OSError, ValueError, RecursionError) as error:
                log.warning("provider_keys_not_fetched", host=urlsplit(self._url).hostname, reason=str(error)[:200])
                return False
            self._fetched = self._clock()
            return True


def usable(published: Any) -> list[Key]:
    """The keys of a JWKS that can check signatures; others in it, of whatever kind, are passed over."""
    if not isinstance(published, dict) or not isinstance(published.get("keys"), list):
        raise ValueError("that is no JWKS: an object with `keys`")
    made: list[Key] = []
    for one in published["keys"]:
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
            continue
        if one.get("crv") in ("X25519", "X448"):
            continue  # agrees on secrets, and signs nothing
        try:
            key = JWKRegistry.import_key(one)
            strong = not isinstance(key, RSAKey) or key.public_key.key_size >= _LEAST_RSA_BITS
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if strong and "verify" in one.get("key_ops", ("verify",)):
            made.append(key)
    return made


async def fetch_json(url: str) -> Any:
    """Read the JSON at a URL, in a thread; a redirection is not followed. Raises OSError or ValueError."""
    async with asyncio.timeout(2 * _FETCH_SECONDS):
        return await asyncio.to_thread(_fetch, url)


def _fetch(url: str) -> Any:
    request = urllib.request.Request(url, headers={"accept": "application/json"})  # noqa: S310 - settings want http(s)
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=_FETCH_SECONDS) as answer:
            text = answer.read(_MOST_BYTES + 1)
    except http.client.HTTPException as error:  # its text can hold the URL
        raise OSError(f"no answer in HTTP ({type(error).__name__})") from None
    if len(text) > _MOST_BYTES:
        raise ValueError("the answer is too long")
    return json.loads(text)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> NoReturn:
        raise urllib.error.HTTPError(req.full_url, code, "it redirects elsewhere", headers, fp)


__all__ = ["ALGORITHMS", "TokenRules", "Tokens"]
