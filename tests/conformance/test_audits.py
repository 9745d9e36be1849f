"""What public audits of GraphQL servers look for (graphql-cop, clairvoyance, BatchQL, graphql-armor), as tests.

graphql-cop cannot be installed: the package of that name is empty. Its list of checks is followed here, one by one.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from servers import running

GRAPHQL = {"accept": "application/graphql-response+json"}


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server as it would stand on the internet: nobody is told the schema, and strangers are not answered."""
    directory = tmp_path_factory.mktemp("closed")
    url = f"sqlite:///{directory / 'closed.db'}"
    with running(url, directory, CM_GRAPHQL_INTROSPECTION="false", CM_GRAPHQL_EXPLORER="false") as base_url:
        yield base_url


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that answers only to holders of keys."""
    directory = tmp_path_factory.mktemp("guarded")
    with running(f"sqlite:///{directory / 'guarded.db'}", directory, CM_GRAPHQL_AUTH="keys") as base_url:
        yield base_url


def post(server: str, query: str, **more: Any) -> httpx.Response:
    """Ask by POST, accepting the media type whose statuses tell the truth."""
    return httpx.post(f"{server}/graphql", json={"query": query, **more}, headers=GRAPHQL, timeout=30)


# --- denial of service ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "document", "limit"),
    [
        ("alias overloading", "{ viewer {" + " ".join(f"a{n}: id" for n in range(101)) + "} }", "aliases"),
        ("directive overloading", "{ __typename " + "@include(if: true)" * 10 + "}", "directives_per_place"),
        ("field duplication", "{" + "__typename " * 500 + "}", "repeated_fields"),
        (
            "circular introspection",
            "{ __schema { types " + "{ fields { type " * 20 + "{ name }" + " } }" * 20 + "} }",
            None,
        ),
        ("circular fragments", "{ ...A } fragment A on Query { ...A }", None),
        (
            "deep nesting",
            "{ creditMemos { nodes " + "{ account { creditMemos { nodes " * 9 + "{ id }" + "} } }" * 9 + "} }",
            "depth",
        ),
        ("root fields", "{" + " ".join(f"a{n}: viewer {{ id }}" for n in range(51)) + "}", "root_fields"),
    ],
)
def test_overloading_is_refused(attack: str, document: str, limit: str | None, demo_server: str) -> None:
    answer = post(demo_server, document)

    assert answer.status_code == 400
    if limit is not None:
        assert limit in [error["extensions"].get("limit") for error in answer.json()["errors"]]


@pytest.mark.parametrize("size", [1, 2, 10])
def test_batches_are_not_answered_unless_they_are_set(size: int, demo_server: str) -> None:
    body = [{"query": "{ __typename }"}] * size

    answer = httpx.post(f"{demo_server}/graphql", json=body, headers=GRAPHQL)

    assert answer.status_code == 400
    assert "data" not in answer.json()


# --- requests that other sites could send -----------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/event-stream"])
def test_nothing_changes_by_get(accept: str, demo_server: str) -> None:
    document = 'mutation { updateCreditMemo(input: {key: "CM00000001", comment: "by GET"}) { userErrors { code } } }'

    answer = httpx.get(f"{demo_server}/graphql", params={"query": document}, headers={"accept": accept})
    read = post(demo_server, '{ creditMemo(key: "CM00000001") { comment } }')

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert read.json()["data"]["creditMemo"]["comment"] != "by GET"


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/graphql", None],
)
def test_what_a_form_of_another_site_can_send_is_refused(content_type: str | None, demo_server: str) -> None:
    headers = GRAPHQL if content_type is None else {**GRAPHQL, "content-type": content_type}
    for body in (
        b"query=%7B__typename%7D",
        b'{"query": "{ __typename }"}',
        b'--x\r\n\r\n{"query": "{__typename}"}\r\n--x--',
    ):
        answer = httpx.post(f"{demo_server}/graphql", content=body, headers=headers)

        assert answer.status_code in (400, 415)
        assert "data" not in answer.json()


def test_no_other_site_may_read_answers_or_asks_first_in_vain(demo_server: str) -> None:
    headers = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }

    asked = httpx.options(f"{demo_server}/graphql", headers=headers)
    read = httpx.get(f"{demo_server}/graphql?query={{__typename}}", headers=headers)

    for answer in (asked, read):
        assert [name for name in answer.headers if name.startswith("access-control-")] == []
        assert "set-cookie" not in answer.headers


# --- what is told -----------------------------------------------------------------------------------------------------


def test_there_is_no_tracing_and_no_trace_of_our_inside(demo_server: str) -> None:
    wrong = [
        "{",
        "{ nothing }",
        '{ node(id: "x") { id } }',
        "query ($n: Int!) { creditMemos(first: $n) { totalCount } }",
    ]
    for document in ("{ __typename }", *wrong):
        answer = httpx.post(
            f"{demo_server}/graphql",
            json={"query": document, "extensions": {"tracing": True}},
            headers={**GRAPHQL, "x-apollo-tracing": "1", "apollo-federation-include-trace": "ftv1"},
        )
        assert not {"tracing", "ftv1"} & set(answer.json().get("extensions", {}))
        assert not any(
            word in answer.text.lower() for word in ("traceback", ".py", "sqlalchemy", "stacktrace", "select ")
        )
        for error in answer.json().get("errors", ()):
            assert set(error["extensions"]) & {"exception", "stacktrace", "debug"} == set()


def test_responses_name_neither_the_server_nor_its_version(demo_server: str) -> None:
    for path in ("/graphql", "/nowhere", "/healthz"):
        assert not {"server", "x-powered-by", "via"} & set(httpx.get(f"{demo_server}{path}").headers)


def test_trace_and_other_methods_are_refused(demo_server: str) -> None:
    for method in ("TRACE", "PUT", "DELETE", "PATCH", "CONNECT"):
        assert httpx.request(method, f"{demo_server}/graphql").status_code in (400, 405)


@pytest.mark.parametrize(
    "path",
    ["/graphiql", "/playground", "/altair", "/voyager", "/console", "/graphql/console", "/v1/explorer", "/debug"],
)
def test_explorers_stand_nowhere_else(path: str, demo_server: str) -> None:
    assert httpx.get(f"{demo_server}{path}", headers={"accept": "text/html"}).status_code == 404


# --- a closed server --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        "{ __schema { queryType { name } } }",
        '{ __type(name: "CreditMemo") { name } }',
        "query A { ...F } fragment F on Query { __schema { types { name } } }",
        "{ x: __schema { directives { name } } }",
        "{ __schema\n{ types { name } } }",
    ],
)
def test_a_closed_server_does_not_tell_the_schema(document: str, closed_server: str) -> None:
    by_post = post(closed_server, document)
    by_get = httpx.get(f"{closed_server}/graphql", params={"query": document}, headers=GRAPHQL)

    for answer in (by_post, by_get):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert "data" not in answer.json()
    assert post(closed_server, "{ __typename }").json() == {"data": {"__typename": "Query"}}


NEARLY = {
    "a field": "{ creditMem { id } }",
    "a field of a field": '{ creditMemo(key: "x") { amoun } }',
    "a mutation": "mutation { postCreditMem { userErrors { code } } }",
    "an argument": '{ creditMemo(ke: "x") { id } }',
    "a type": "query ($f: CreditMemoFilte) { creditMemos(filter: $f) { nodes { id } } }",
    "a fragment's type": "{ ...F } fragment F on CreditMem { id }",
    "an input's field": '{ creditMemos(filter: {numbe: {eq: "x"}}) { nodes { id } } }',
    "an enum's value": "{ creditMemos(filter: {status: {eq: POSTE}}) { nodes { id } } }",
    "a directive": "{ __typename @skp(if: true) }",
}


@pytest.mark.parametrize("nearly", NEARLY)
def test_a_closed_server_suggests_nothing_and_an_open_one_helps(
    nearly: str, closed_server: str, demo_server: str
) -> None:
    closed, opened = post(closed_server, NEARLY[nearly]), post(demo_server, NEARLY[nearly])

    assert closed.status_code == opened.status_code == 400
    assert "Did you mean" not in closed.text
    if nearly != "a directive":
        assert "Did you mean" in opened.text


def test_values_in_variables_suggest_nothing_on_a_closed_server(closed_server: str) -> None:
    document = "query ($f: CreditMemoFilter) { creditMemos(filter: $f) { nodes { id } } }"
    for value in ({"numbe": {"eq": "x"}}, {"status": {"eq": "POSTE"}}):
        answer = post(closed_server, document, variables={"f": value})

        assert answer.status_code == 400
        assert "Did you mean" not in answer.text


def test_a_closed_server_shows_browsers_no_explorer(closed_server: str) -> None:
    answer = httpx.get(f"{closed_server}/graphql", headers={"accept": "text/html"})

    assert "graphiql" not in answer.text.lower()


@pytest.mark.parametrize("body", ["{ __typename }", "{", "{ nothing }", "{ __schema { types { name } } }"])
def test_strangers_learn_nothing_from_a_guarded_server(body: str, guarded_server: str) -> None:
    answers = {
        json.dumps(httpx.post(f"{guarded_server}/graphql", json={"query": body}, headers=headers).json())
        for headers in (
            {},
            {"authorization": "Bearer nonsense"},
            {"authorization": "Basic eDp5"},
            {"cookie": "token=x"},
        )
    }

    assert all('"UNAUTHENTICATED"' in answer and "data" not in json.loads(answer) for answer in answers)
