"""What pages of other sites may do (nothing, unless allowed), what browsers are told, and answers made shorter."""

import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import strawberry

from cm_graphql.api.browsers import Browsers
from cm_graphql.api.compression import LEAST, Compression, choose
from cm_graphql.api.frame import Frame
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.limits import Limits
from cm_graphql.api.traffic import Traffic, TrafficRules
from cm_graphql.settings import Settings, SettingsError
from small_server import Mutation, codes, contexts, make_context

brotli = pytest.importorskip("brotli")
ALLOWED, OTHER = "https://app.example", "https://evil.example"
ASK = {"query": "{ hello }"}


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"


@asynccontextmanager
async def speaking(
    *origins: str, limits: Limits | None = None, rules: TrafficRules | None = None, scheme: str = "http"
) -> AsyncIterator[httpx.AsyncClient]:
    endpoint = GraphQLOverHTTP(
        strawberry.Schema(Query, Mutation)._schema,
        make_context,
        limits=limits,
        traffic=Traffic(rules or TrafficRules()),
    )
    app = Frame(Compression(Browsers(endpoint, origins)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"{scheme}://localhost") as client:
        contexts.clear()
        yield client


# --- pages of other sites ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_a_page_of_another_site_sends_is_refused_and_nothing_runs(method: str, site: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    async with speaking() as client:
        asked: dict[str, Any] = {"params": ASK} if method == "GET" else {"json": ASK}
        answer = await client.request(method, "/graphql", headers=headers, **asked)

        assert answer.status_code == 403
        assert codes(answer) == ["FORBIDDEN"]
        assert not contexts


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin", "origin": "http://localhost"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
async def test_programs_own_pages_and_links_are_answered(headers: dict[str, str]) -> None:
    async with speaking() as client:
        assert (await client.get("/graphql", params=ASK, headers=headers)).json() == {"data": {"hello": "hello world"}}


async def test_pages_of_an_allowed_origin_may_call_after_asking_first() -> None:
    async with speaking(ALLOWED) as client:
        ask_first = {
            "origin": ALLOWED,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type",
        }
        asked = await client.options("/graphql", headers=ask_first)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == ALLOWED
        assert "access-control-allow-credentials" not in asked.headers

        sent = {"origin": ALLOWED, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
        answer = await client.post("/graphql", json=ASK, headers=sent)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ALLOWED
        assert "Origin" in answer.headers["vary"]


async def test_pages_of_any_other_origin_hear_that_they_may_not() -> None:
    async with speaking(ALLOWED) as client:
        for origin in (OTHER, f"{ALLOWED}.evil.example", "null"):
            ask_first = {"origin": origin, "access-control-request-method": "POST"}
            answer = await client.options("/graphql", headers=ask_first)
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "ftp://app.example"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(SettingsError, match="CM_GRAPHQL_ALLOWED_ORIGINS"):
        Settings.load({"allowed_origins": origin})


# --- headers ----------------------------------------------------------------------------------------------------------


async def test_browsers_are_told_to_do_nothing_with_an_answer_but_read_it() -> None:
    async with speaking() as client:
        headers = (await client.post("/graphql", json=ASK)).headers

        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "strict-transport-security" not in headers


async def test_who_came_by_https_is_told_to_keep_to_it() -> None:
    async with speaking(scheme="https") as client:
        headers = (await client.post("/graphql", json=ASK)).headers

        assert headers["strict-transport-security"] == "max-age=31536000"


# --- shorter answers --------------------------------------------------------------------------------------------------


async def raw(client: httpx.AsyncClient, accepted: str, length: int) -> tuple[httpx.Response, bytes]:
    body = {"query": "query($n: String!) { hello(name: $n) }", "variables": {"n": "x" * length}}
    async with client.stream("POST", "/graphql", json=body, headers={"accept-encoding": accepted}) as answer:
        return answer, b"".join([piece async for piece in answer.aiter_raw()])


@pytest.mark.parametrize(("accepted", "coding"), [("gzip", "gzip"), ("gzip, deflate, br, zstd", "br")])
@pytest.mark.parametrize("length", [2_000, 300_000])
async def test_a_long_answer_is_compressed_for_who_accepts_it(accepted: str, coding: str, length: int) -> None:
    async with speaking() as client:
        answer, body = await raw(client, accepted, length)

        assert answer.headers["content-encoding"] == coding
        assert int(answer.headers["content-length"]) == len(body) < 1_000
        plain = gzip.decompress(body) if coding == "gzip" else brotli.decompress(body)
        assert plain == b'{"data":{"hello":"hello ' + b"x" * length + b'"}}'


@pytest.mark.parametrize(("accepted", "length"), [("gzip", LEAST // 2), ("identity", 5_000), ("gzip;q=0", 5_000)])
async def test_others_get_it_as_it_is_and_caches_are_told_that_it_depends(accepted: str, length: int) -> None:
    async with speaking() as client:
        answer, body = await raw(client, accepted, length)

        assert "content-encoding" not in answer.headers
        assert body.endswith(b'x"}}')
        assert answer.headers["vary"] == "accept, accept-encoding"


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (b"", None),
        (b"*", b"br"),
        (b"gzip;q=1.0, br;q=0.5", b"gzip"),
        (b"br;q=0, *", b"gzip"),
        (b"identity;q=1, gzip;q=0.5", None),
        (b"gzip;q=nonsense", None),
        (b"gzip;q=nan", None),
        (b"deflate", None),
        (b"," * 5_000, None),
    ],
)
def test_the_coding_is_what_the_client_likes_best(accepted: bytes, chosen: bytes | None) -> None:
    assert choose(accepted, (b"br", b"gzip")) == chosen


def test_gzip_is_gzip() -> None:
    from cm_graphql.api.compression import _gzip

    assert zlib.decompress(_gzip(b"x" * 5_000), 31) == b"x" * 5_000


# --- batches ----------------------------------------------------------------------------------------------------------


async def test_batches_are_refused_unless_they_are_allowed() -> None:
    async with speaking() as client:
        answer = await client.post("/graphql", json=[ASK, ASK])

        assert answer.status_code == 400
        assert codes(answer) == ["BAD_USER_INPUT"]


async def test_each_operation_of_a_batch_is_answered_in_its_place_one_after_the_other() -> None:
    async with speaking(limits=Limits(batch=4)) as client:
        note = 'mutation { note(text: "a") { slow } }'
        answer = await client.post("/graphql", json=[{"query": note}, ASK, {"query": "{ nothing }"}, {"query": note}])

        first, second, third, fourth = answer.json()
        assert answer.status_code == 200
        assert first == fourth == {"data": {"note": {"slow": "slow"}}}
        assert second == {"data": {"hello": "hello world"}}
        assert third["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_a_batch_has_an_end_and_counts_for_each_operation() -> None:
    async with speaking(limits=Limits(batch=3), rules=TrafficRules(rate="4/minute")) as client:
        for wrong in ([], [ASK] * 4, [ASK, "x"], [ASK, [ASK]]):
            assert (await client.post("/graphql", json=wrong)).status_code in (400, 429)
    async with speaking(limits=Limits(batch=3), rules=TrafficRules(rate="4/minute")) as client:
        assert (await client.post("/graphql", json=[ASK] * 3)).status_code == 200
        answer = await client.post("/graphql", json=[ASK] * 3)
        assert answer.status_code == 429
        assert codes(answer) == ["RATE_LIMITED"]


@pytest.mark.parametrize(
    ("limit", "one"),
    [
        ("root_fields", {"query": "{ a: hello b: hello }"}),
        ("aliases", {"query": "{ a: hello b: hello }"}),
        ("fields", {"query": "{ ...F } fragment F on Query { hello __typename }"}),
        ("repeated_fields", {"query": "{ hello hello hello }"}),
        ("directives", {"query": "{ hello @skip(if: false) __typename @skip(if: false) }"}),
        ("cost", {"query": 'mutation { note(text: "b") { __typename } }'}),
        ("root_fields", {"query": "query A { a: hello b: hello } query B { hello }", "operationName": "A"}),
    ],
)
async def test_what_a_batch_does_is_limited_in_sum_and_nothing_of_it_is_done(limit: str, one: dict[str, Any]) -> None:
    most = 3 if limit == "cost" else 5
    note = {"query": 'mutation { note(text: "a") { __typename } }'}
    async with speaking(limits=Limits(batch=9, **{limit: most})) as client:
        assert (await client.post("/graphql", json=[one])).json()[0]["data"]
        answer = await client.post("/graphql", json=[note, one, one, one])

        (error,) = answer.json()["errors"]
        assert answer.status_code == 400
        assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert (error["extensions"]["limit"], error["extensions"]["maximum"]) == (limit, most)
        assert error["extensions"]["actual"] > most
        assert all("a" not in context.notes for context in contexts)


@pytest.mark.parametrize("limit", ["document_bytes", "tokens"])
async def test_the_documents_of_a_batch_count_together_and_the_same_one_once(limit: str) -> None:
    ones = [{"query": f"{{ hello }} #{'x' * 30}{number}"} for number in range(9)]
    async with speaking(limits=Limits(batch=9, **{limit: 100 if limit == "document_bytes" else 8})) as client:
        assert (await client.post("/graphql", json=ones[:1] * 9)).status_code == 200
        assert codes(await client.post("/graphql", json=ones)) == ["LIMIT_EXCEEDED"]
        # What cannot be parsed or is unknown has been read all the same.
        assert (await client.post("/graphql", json=[{"query": "{ nothing"}, *ones[:1] * 8])).status_code == 200
