"""What the GraphQL-over-HTTP specification says about requests, media types and statuses."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from small_server import GRAPHQL, JSON, codes, contexts, post, speaking


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with speaking() as client:
        yield client


# --- media types ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (GRAPHQL.upper(), GRAPHQL),
        (f"{GRAPHQL}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL),
        (f"{JSON}, {GRAPHQL}", JSON),
        (f"{GRAPHQL}, */*", GRAPHQL),
        (f"{JSON};q=0.9, {GRAPHQL}", GRAPHQL),
        (f"{JSON};q=0.9, {GRAPHQL};q=0.8", JSON),
        (f"{GRAPHQL};q=0, */*;q=0.1", JSON),
        (f"text/event-stream, {JSON}", JSON),
        ('text/html;title="a, b;c", multipart/mixed, application/graphql-response+json', GRAPHQL),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
    ],
)
async def test_the_answer_has_the_media_type_that_was_preferred(
    client: httpx.AsyncClient, accept: str | None, expected: str
) -> None:
    headers = {} if accept is None else {"accept": accept}
    answer = await client.post("/graphql", json={"query": "{ hello }"}, headers=headers)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{expected}; charset=utf-8"
    assert answer.json() == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/*",
        "application/json;q=0",
        "*/*;q=0",
        "application/json-seq",
        "application/json; charset=utf-16",
        "nonsense",
        f"{JSON};q=2",
        f"{JSON};q=nan",
        '"' * 5_000,
    ],
)
async def test_a_media_type_that_we_do_not_speak_is_not_acceptable_and_nothing_runs(
    client: httpx.AsyncClient, accept: str
) -> None:
    answer = await post(client, accept, query='mutation { note(text: "ran") { slow } }')

    assert answer.status_code == 406
    assert codes(answer) == ["BAD_USER_INPUT"]
    assert not contexts


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/graphql",
        "application/jsonp",
        "text/plain; a=application/json",
        "application/json; charset=utf-16",
        "application/json; charset=latin1",
    ],
)
async def test_a_body_must_say_that_it_is_json(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await client.post("/graphql", content=b'{"query": "{ hello }"}', headers=headers)

    assert answer.status_code == 415
    assert answer.headers["accept-post"] == JSON
    assert codes(answer) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("content_type", [JSON, "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"'])
async def test_utf8_is_read_with_and_without_a_byte_order_mark(client: httpx.AsyncClient, content_type: str) -> None:
    body = json.dumps({"query": '{ hello(name: "Zoë 🏊") }'}, ensure_ascii=False).encode()

    for prefix in (b"", b"\xef\xbb\xbf"):
        answer = await client.post("/graphql", content=prefix + body, headers={"content-type": content_type})
        assert answer.json() == {"data": {"hello": "hello Zoë 🏊"}}


async def test_a_compressed_body_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": JSON, "content-encoding": "gzip"}

    assert (await client.post("/graphql", content=b"x", headers=headers)).status_code == 415


# --- requests that are not well-formed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NONSENSE",
        b'{"query":',
        b"null",
        b"1",
        b'"x"',
        b"[]",
        b'[{"query": "{ hello }"}, {"query": "{ hello }"}]',
        b"{}",
        b'{"qeury": "{ hello }"}',
        b'{"query": null}',
        b'{"query": 7}',
        b'{"query": {"a": 1}}',
        b'{"query": ["a"]}',
        b'{"query": false}',
        *(
            b'{"query": "{ hello }", "%s": %s}' % (name, value)
            for name in (b"variables", b"extensions")
            for value in (b"0", b"false", b'"{}"', b"[]")
        ),
        *(b'{"query": "{ hello }", "operationName": %s}' % value for value in (b"0", b"false", b"{}", b"[]")),
        b'{"query": "{ hello }", "variables": {"a": NaN}}',
        b'{"query": "{ hello }", "variables": {"a": 1e999}}',
        b'{"query": "{ hello }", "variables": {"a": "\\ud800"}}',
        b'{"query": "{ hello }", "variables": {"a": %s}}' % (b"9" * 5_000),
        b'{"query": "\xff"}',
        '{"query": "{ hello }"}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
async def test_what_is_no_graphql_request_gets_400_under_either_media_type(
    client: httpx.AsyncClient, body: bytes, accept: str
) -> None:
    answer = await client.post("/graphql", content=body, headers={"content-type": JSON, "accept": accept})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == f"{accept}; charset=utf-8"
    assert codes(answer) == ["BAD_USER_INPUT"]
    assert "data" not in answer.json()


@pytest.mark.parametrize("name", ["variables", "operationName", "extensions"])
async def test_null_means_the_same_as_leaving_out(client: httpx.AsyncClient, name: str) -> None:
    assert (await post(client, query="{ hello }", **{name: None})).json() == {"data": {"hello": "hello world"}}


async def test_unknown_parameters_and_extensions_are_ignored(client: httpx.AsyncClient) -> None:
    answer = await post(client, query="{ hello }", extensions={"some": "value"}, documentId="x")

    assert answer.json() == {"data": {"hello": "hello world"}}


async def test_long_integers_arrive_exactly(client: httpx.AsyncClient) -> None:
    answer = await post(client, query="query($n: Int!) { double(number: $n) }", variables={"n": 2**70})

    assert str(2**70) in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("text", ["[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70, "[" * 5_000])
async def test_json_nested_too_deeply_is_refused_before_it_is_parsed(client: httpx.AsyncClient, text: str) -> None:
    body = b'{"query": "{ hello }", "variables": {"a": %s}}' % text.encode()
    answer = await client.post("/graphql", content=body, headers={"content-type": JSON})

    assert answer.status_code == 400
    assert codes(answer) == ["LIMIT_EXCEEDED"]


@pytest.mark.parametrize("text", ["[1" + ",1" * 2_000 + "]", "[{}" + ",{}" * 1_000 + "]", "[" + '"",' * 2_000 + "1]"])
async def test_json_of_too_many_values_is_refused_before_it_is_parsed(client: httpx.AsyncClient, text: str) -> None:
    bodies = [f'{{"query": "{{ hello }}", "variables": {{"a": {value}}}}}' for value in (text, f'"{"[,{" * 2_000}"')]
    answers = [await client.post("/graphql", content=body, headers={"content-type": JSON}) for body in bodies]

    assert [answer.status_code for answer in answers] == [400, 200]
    assert codes(answers[0]) == ["LIMIT_EXCEEDED"]


async def test_brackets_inside_strings_nest_nothing(client: httpx.AsyncClient) -> None:
    variables = {"a": '\\"[' * 100, "b": "\\" * 7, "c": "{" * 100}

    assert (await post(client, query="{ hello }", variables=variables)).status_code == 200


async def test_a_body_that_announces_too_much_is_refused_unread(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", content=b"x" * 10_001, headers={"content-type": JSON})

    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert codes(answer) == ["LIMIT_EXCEEDED"]


async def test_a_body_without_length_is_read_only_up_to_the_limit(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000
            yield b" " * 1_000

    answer = await client.post("/graphql", content=endless(), headers={"content-type": JSON})

    assert answer.status_code == 413
    assert sent <= 12_000


# --- requests that are well-formed, and what is wrong with them -------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": ""}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ double(number: 1.5) }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "subscription { hello }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query($n: Int!) { double(number: $n) }"}, "BAD_USER_INPUT"),
        ({"query": "query($n: Int!) { double(number: $n) }", "variables": {"n": None}}, "BAD_USER_INPUT"),
        ({"query": "query($n: Int!) { double(number: $n) }", "variables": {"n": "1"}}, "BAD_USER_INPUT"),
        ({"query": "query A { hello } query B { hello }"}, "BAD_USER_INPUT"),
        ({"query": "query A { hello }", "operationName": "B"}, "BAD_USER_INPUT"),
        ({"query": "fragment F on Query { hello }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{" + " ".join(f"a{i}: hello" for i in range(101)) + "}"}, "LIMIT_EXCEEDED"),
    ],
)
async def test_a_request_that_cannot_be_executed_is_400_or_200_by_media_type(
    client: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    modern = await post(client, GRAPHQL, **body)
    legacy = await post(client, JSON, **body)

    assert (modern.status_code, legacy.status_code) == (400, 200)
    assert codes(modern) == codes(legacy) == [code]
    assert "data" not in modern.json()
    assert modern.json() == legacy.json()


async def test_the_operation_is_chosen_by_name(client: httpx.AsyncClient) -> None:
    document = 'query A { hello(name: "A") } query B { hello(name: "B") }'

    assert (await post(client, query=document, operationName="B")).json() == {"data": {"hello": "hello B"}}
    assert (await post(client, query="query A { hello }", operationName="")).json() == {
        "data": {"hello": "hello world"}
    }


async def test_a_document_is_judged_once_and_answered_the_same_each_time(client: httpx.AsyncClient) -> None:
    for document in ("{ hello }", "{ nothing }", "{"):
        answers = [(await post(client, query=document)).json() for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]


# --- methods ----------------------------------------------------------------------------------------------------------


async def test_get_answers_queries(client: httpx.AsyncClient) -> None:
    document = "query Q($name: String!) { hello(name: $name) }"
    params = {"query": document, "variables": '{"name": "é+&"}', "operationName": "Q", "extensions": "{}"}
    answer = await client.get("/graphql", params=params, headers={"accept": GRAPHQL})

    assert answer.json() == {"data": {"hello": "hello é+&"}}
    assert (await client.head("/graphql", params=params)).status_code == 200


@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
async def test_get_never_runs_a_mutation(client: httpx.AsyncClient, accept: str) -> None:
    params = {"query": 'mutation { note(text: "ran") { slow } }'}
    answer = await client.get("/graphql", params=params, headers={"accept": accept})

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert [context.notes for context in contexts] == [[]]


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "variables={}",
        "query={hello}&variables=",
        "query={hello}&variables=[]",
        "query={hello}&variables={",
        "query={hello}&extensions=1",
        "query={hello}&query={hello}",
        "query=%ff",
        "&".join(f"a{i}=1" for i in range(60)),
    ],
)
async def test_a_url_that_is_no_graphql_request_gets_400(client: httpx.AsyncClient, query_string: str) -> None:
    answer = await client.get(f"/graphql?{query_string}", headers={"accept": JSON})

    assert answer.status_code == 400
    assert codes(answer) == ["BAD_USER_INPUT"]


async def test_other_methods_are_told_which_ones_there_are(client: httpx.AsyncClient) -> None:
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        answer = await client.request(method, "/graphql")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    answer = await client.options("/graphql")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "GET, HEAD, POST, OPTIONS", b"")


async def test_a_browser_gets_a_page_that_shows_how_to_ask(client: httpx.AsyncClient) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = await client.get("/graphql", headers={"accept": accept})

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "curl http://localhost:8000/graphql" in answer.text
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
