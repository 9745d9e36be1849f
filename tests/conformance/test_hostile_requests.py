"""Requests that were made to hurt: each is refused, or answered, at once, with a code, and never as a bug of ours."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cm_graphql.api.errors import Code

SECONDS = 10.0
"""Generous, as machines are busy: without limits each of these would take minutes, or for ever."""


def ask(server: str, body: str | bytes | dict[str, Any]) -> httpx.Response:
    """Send a body as JSON, whatever it is; the answer has to be one that a client can live with."""
    content = json.dumps(body) if isinstance(body, dict) else body
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    started = time.perf_counter()
    with httpx.Client(trust_env=False, timeout=60) as client:
        answer = client.post(f"{server}/graphql", content=content, headers=headers)
    assert time.perf_counter() - started < SECONDS
    assert answer.status_code < 500, answer.text[:1_000]
    codes = {error["extensions"]["code"] for error in answer.json().get("errors", ())}
    assert codes <= set(Code) - {Code.INTERNAL_SERVER_ERROR}, answer.text[:1_000]
    return answer


def repeated(times: int, pattern: str) -> str:
    """A pattern so many times, `#` in it replaced by the number."""
    return " ".join(pattern.replace("#", str(number)) for number in range(times))


def doubling(times: int, more: str = "") -> str:
    """A document of fragments each of which spreads the next one twice."""
    fragments = (f"fragment F{n} on Query {{ ...F{n + 1} {more} ...F{n + 1} }}" for n in range(times))
    return "{ ...F0 } " + " ".join(fragments) + f" fragment F{times} on Query {{ __typename }}"


REFUSED_DOCUMENTS = {
    "ten thousand aliases": "{" + repeated(10_000, "a#:x") + "}",
    "two thousand aliases": "{" + repeated(1_500, "a#:__typename") + "}",
    "an alias twice a hundred times over": "{" + repeated(200, "viewer { i#:id }") + "}",
    "ten thousand directives": "{ __typename " + "@skip(if:false)" * 4_000 + "}",
    "two thousand directives": "{ __typename " + "@a " * 2_000 + "}",
    "directives on fragments": "{" + repeated(300, "... @include(if: true) { __typename }") + "}",
    "the same field again and again": "{" + "viewer { id } " * 1_200 + "}",
    "fragments that double": doubling(40),
    "fragments that double, with fields": doubling(40, "viewer { id }"),
    "fragments in a circle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a fragment of itself": "{ ...A } fragment A on Query { ...A __typename }",
    "fragments in a circle that double": (
        "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }"
    ),
    "accounts of memos of accounts": "{ creditMemos { nodes "
    + "{ account { creditMemos { nodes " * 20
    + "{ id }"
    + " } } }" * 20
    + " } }",
    "selections without end": "{a" * 20_000,
    "lists without end": "{ creditMemos(filter: " + "[" * 20_000 + "]" * 20_000 + ") { nodes { id } } }",
    "objects without end": "{ creditMemos(filter: " + "{not: " * 5_000 + "{}" + "}" * 5_000 + ") { nodes { id } } }",
    "types without end": "query ($a: " + "[" * 5_000 + "Int" + "]" * 5_000 + ") { __typename }",
    "introspection in a circle": "{ __schema { types { fields { type { fields { type { fields { type { fields "
    "{ type { fields { type { fields { type { name } } } } } } } } } } } } } } }",
    "introspection a hundred times": "{" + repeated(100, "s#: __schema { types { name } }") + "}",
    "variables by the thousand": "query (" + repeated(1_200, "$a#: Int") + ") { __typename }",
    "comments by the thousand": "#\n" * 30_000 + "{ __typename }",
    "operations by the thousand": repeated(1_200, "query Q# { __typename }"),
    "a name that is no name": "{ é: __typename }",
    "a zero byte": "{ a: __typename\x00 }",
    "half a surrogate pair": '{ creditMemo(key: "\\ud800") { id } }',
    "a block string without end": '{ creditMemo(key: """' + "a" * 60_000,
    "a string without end": '{ creditMemo(key: "' + "a" * 60_000,
    "nothing": "",
    "only commas": "," * 60_000,
}


@pytest.mark.parametrize("document", REFUSED_DOCUMENTS)
def test_a_hostile_document_is_refused_before_it_runs(document: str, demo_server: str) -> None:
    answer = ask(demo_server, {"query": REFUSED_DOCUMENTS[document]})

    assert answer.status_code == 400
    assert "data" not in answer.json()
    assert len(answer.content) < 10_000


ANSWERED_DOCUMENTS = {
    "a name of sixty thousand letters": "{ " + "a" * 60_000 + ": __typename }",
    "a comment of sixty thousand letters": "#" + "a" * 60_000 + "\n{ __typename }",
    "a byte order mark": "\ufeff{ __typename }",
    "commas everywhere": "{,,,__typename,,,}",
    "a block string": '{ __typename creditMemo(key: """\n  CM00000001\n""") { id } }',
    "a letter beyond the first plane": '{ __typename creditMemo(key: "\\u{1F600}\\ud83d\\ude00") { id } }',
    "a zero byte in a string": '{ __typename creditMemo(key: "a\\u0000") { id } }',
}


@pytest.mark.parametrize("document", ANSWERED_DOCUMENTS)
def test_a_strange_document_is_answered(document: str, demo_server: str) -> None:
    answer = ask(demo_server, {"query": ANSWERED_DOCUMENTS[document]})

    assert "Query" in answer.json()["data"].values()


REFUSED_BODIES: dict[str, bytes] = {
    "no UTF-8": b'{"query": "{ \xff }"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "half a surrogate pair": b'{"query": "{ __typename }", "variables": {"a": "\\ud800"}}',
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "a number past all numbers": b'{"query": "{ __typename }", "variables": {"a": 1e400}}',
    "arrays without end": b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 100_000,
    "objects without end": b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 100_000,
    "something after the end": b'{"query": "{ __typename }"} {"query": "{ __typename }"}',
    "a zero": b"\x00",
    "a trailing comma": b'{"query": "{ __typename }",}',
    "single quotes": b"{'query': '{ __typename }'}",
    "a zero byte in a string": b'{"query": "{ __typename \x00}"}',
}


@pytest.mark.parametrize("body", REFUSED_BODIES)
def test_a_body_that_is_no_json_is_refused(body: str, demo_server: str) -> None:
    assert ask(demo_server, REFUSED_BODIES[body]).status_code == 400


def test_the_last_of_two_equal_keys_counts_for_all_of_the_request(demo_server: str) -> None:
    body = b'{"query": "{ a: __typename }", "variables": {"k": 1}, "query": "{ b: __typename }"}'

    assert ask(demo_server, body).json() == {"data": {"b": "Query"}}


TEXTS = [
    "a\x00b",
    "\x00",
    "\uffff",
    "\U0010ffff",
    "e\u0301",
    "\u202e",
    "' or 1=1 --",
    "%",
    "_",
    "\\",
    "$1",
    "a" * 100_000,
]
PLACES: dict[str, tuple[str, Callable[[str], object]]] = {
    "a search": ("query ($v: String) { creditMemos(filter: {search: $v}) { nodes { id } } }", str),
    "a filter": ("query ($v: String) { creditMemos(filter: {number: {eq: $v}}) { nodes { id } } }", str),
    "a part of a text": ("query ($v: String) { creditMemos(filter: {number: {contains: $v}}) { totalCount } }", str),
    "a key": ("query ($v: ID!) { creditMemo(key: $v) { id } }", str),
    "an id": ("query ($v: ID!) { node(id: $v) { id } }", str),
    "a cursor": ("query ($v: String) { creditMemos(after: $v) { nodes { id } } }", str),
    "a comment": (
        'mutation ($v: String) { updateCreditMemo(input: {key: "CM00000004", comment: $v, dryRun: true}) '
        "{ creditMemo { comment } userErrors { code } } }",
        str,
    ),
    "an idempotency key": (
        'mutation ($v: String) { postCreditMemo(input: {key: "CM00000004", idempotencyKey: $v}) '
        "{ userErrors { code } } }",
        str,
    ),
    "a custom field": (
        'mutation ($v: JSON) { updateCreditMemo(input: {key: "CM00000004", customFields: $v, dryRun: true}) '
        "{ creditMemo { customFields } userErrors { code } } }",
        lambda text: {"some__c": text, f"{text}__c": 1},
    ),
    "a document of another system": (
        "mutation ($v: String!) { syncReasonCodes(input: {reasonCodes: [{name: $v, type: CREDIT_MEMO}], dryRun: true}) "
        "{ results { userErrors { code } } } }",
        str,
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_text_of_any_kind_does_no_harm_anywhere(place: str, module_server: str) -> None:
    document, value_of = PLACES[place]
    for text in TEXTS:
        answer = ask(module_server, {"query": document, "variables": {"v": value_of(text)}})

        errors = [error for error in answer.json().get("errors", ()) if "path" not in error]
        assert errors == [], f"the document itself is wrong: {errors}"


NUMBERS = ["-0", "-0.0", "9007199254740993", "1e5", "1.0", "123456789012345678901234567890", "1E-400", "0.1", "true"]
NUMBERS += [f'"{text}"' for text in ("1e3", " 1 ", "-0", "+1", "1_000", "\u0661", "NaN", "0x10", "", "9" * 5_000)]


@pytest.mark.parametrize("kind", ["Decimal", "Int", "JSON"])
def test_numbers_of_any_kind_are_exact_or_refused(kind: str, module_server: str) -> None:
    document = {
        "Decimal": "query ($v: Decimal) { creditMemos(filter: {amount: {gt: $v}}) { totalCount } }",
        "Int": "query ($v: Int) { creditMemos(first: $v) { totalCount } }",
        "JSON": 'mutation ($v: JSON) { updateCreditMemo(input: {key: "x", customFields: {a__c: $v}}) '
        "{ userErrors { code } } }",
    }[kind]
    for number in NUMBERS:
        ask(module_server, f'{{"query": {json.dumps(document)}, "variables": {{"v": {number}}}}}')


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        ({"f": {"or": [{"number": {"eq": str(number)}} for number in range(5_000)]}}, "conditions"),
        ({"f": {"number": {"in": [str(number) for number in range(100_000)]}}}, "values"),
        ({"f": {"and": [{"not": {"or": [{"not": {}}]}}] * 400}}, "conditions|levels"),
        ({"s": [{"field": "AMOUNT", "direction": "ASC"}] * 1_000}, "terms"),
        ({"n": 2**31}, "32-bit"),
        ({"n": 101}, "100"),
    ],
)
def test_values_that_would_make_the_database_work_are_refused(
    variables: dict[str, Any], refused: str, module_server: str
) -> None:
    document = """query ($f: CreditMemoFilter, $s: [CreditMemoSort!], $n: Int) {
        creditMemos(filter: $f, sort: $s, first: $n) { nodes { id } } }"""

    answer = ask(module_server, {"query": document, "variables": variables})

    message = answer.json()["errors"][0]["message"]
    assert any(word in message for word in refused.split("|")), message
