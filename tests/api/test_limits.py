"""Limits on documents: what is admitted, what is refused, and that refusing takes no time."""

import json
import time
from dataclasses import fields
from typing import Any

import pytest
from graphql import build_schema, get_introspection_query, parse
from hypothesis import given
from hypothesis import strategies as st

from cm_graphql.api.bodies import is_deeper_than
from cm_graphql.api.documents import MAX_VALIDATION_ERRORS, Document, Documents
from cm_graphql.api.errors import DocumentRefused
from cm_graphql.api.limits import CEILING, Limits, measure

SCHEMA = build_schema("type Query { a: Query, b(x: Int): Int, s: String, t: String }")
SECONDS = 2.0
"""Generous, because machines are busy; without linear limits these documents take minutes or forever."""


def refusals(text: str, limits: Limits | None = None) -> list[dict[str, Any]]:
    """The errors of a document; none for one that may be executed."""
    try:
        Documents(SCHEMA, limits or Limits()).prepare(text)
    except DocumentRefused as refused:
        return refused.errors
    return []


def refusal(text: str, limits: Limits | None = None) -> dict[str, Any]:
    """The only error of a document."""
    (error,) = refusals(text, limits)
    return error


def nested(levels: int) -> str:
    return "{" + "a{" * (levels - 1) + "s" + "}" * levels


def some(count: int, pattern: str) -> str:
    """So many selections, `#` in each replaced by its number."""
    return " ".join(pattern.replace("#", str(i)) for i in range(count))


# For each limit a document just within it, one above it, and what that one counts.
WITHIN_AND_ABOVE = {
    "document_bytes": ("{s}".ljust(65_536), "{s}".ljust(65_537), 65_537),
    "tokens": ("query(" + some(1_247, "$x#:Int") + "){s}", "query(" + some(1_250, "$x#:Int") + "){s}", 5_001),
    "depth": (nested(25), nested(26), 26),
    "nesting": ("{" + "...{" * 99 + "s" + "}" * 100, "{" + "...{" * 100 + "s" + "}" * 101, 101),
    "fields": (
        "{a{" + some(1_999, "q#") + "}}",
        "{a{" + some(50, "q#{...F}") + "}} fragment F on Query{" + some(40, "q#") + "}",
        2_051,
    ),
    "repeated_fields": ("{a{" + "s " * 201 + "}}", "{a{" + "s ...{s} " * 101 + "}}", 201),
    "root_fields": ("{" + some(50, "x#:s") + "}", "{...F x:s} fragment F on Query{" + some(50, "y#:s") + "}", 51),
    "aliases": (
        "{a{" + some(100, "x#:s") + "}}",
        "{a{...F ...F x:s}} fragment F on Query{" + some(50, "x#:s") + "}",
        101,
    ),
    "directives": (
        "{a{" + some(100, "q# @skip(if:true)") + "}}",
        "{a{...F @skip(if:true)}} fragment F on Query{" + some(100, "q# @skip(if:true)") + "}",
        101,
    ),
    "directives_per_place": ("{s" + " @skip(if:true)" * 5 + "}", "{s" + " @skip(if:true)" * 6 + "}", 6),
}


def test_every_limit_on_documents_is_tried_here() -> None:
    assert {field.name for field in fields(Limits)} - {
        "batch",
        "body_bytes",
        "json_depth",
        "json_values",
        "cost",
    } == set(WITHIN_AND_ABOVE)


@pytest.mark.parametrize("limit", WITHIN_AND_ABOVE)
def test_a_limit_admits_what_it_says_and_refuses_more_by_name_and_number(limit: str) -> None:
    within, above, actual = WITHIN_AND_ABOVE[limit]

    # Some of these are no valid operations; what matters is that no limit refuses them.
    assert "LIMIT_EXCEEDED" not in {error["extensions"]["code"] for error in refusals(within)}
    error = refusal(above)
    maximum = getattr(Limits(), limit)
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": limit, "maximum": maximum, "actual": actual}
    assert str(actual) in error["message"]
    assert str(maximum) in error["message"]


def test_a_limit_is_a_setting() -> None:
    assert refusal("{a{s}}", Limits(depth=1))["extensions"]["actual"] == 2
    Documents(SCHEMA, Limits(depth=30)).prepare(nested(30))


def test_the_whole_introspection_query_is_admitted() -> None:
    query = get_introspection_query(
        descriptions=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        experimental_directive_deprecation=False,
        one_of=True,
    )

    assert isinstance(Documents(SCHEMA, Limits()).prepare(query), Document)


# Each of these takes time that grows faster than the document where limits or rules walk fragments without memory.
HOSTILE = {
    "fragments that double": "{...F0}"
    + "".join(f"fragment F{i} on Query{{...F{i + 1} ...F{i + 1}}}" for i in range(90))
    + "fragment F90 on Query{s}",
    "fragments that double below fields": "{...F0}"
    + "".join(f"fragment F{i} on Query{{a{{...F{i + 1}}} x:a{{...F{i + 1}}}}}" for i in range(24))
    + "fragment F24 on Query{s}",
    "a long chain of fragments": "{...F0}"
    + "".join(f"fragment F{i} on Query{{...F{i + 1}}}" for i in range(600))
    + "fragment F600 on Query{s}",
    "a wide circle of fragments": "{...F0}"
    + "".join(f"fragment F{i} on Query{{...F{(i + 1) % 600}}}" for i in range(600)),
    "many fragments in one place": "{a{"
    + " ".join(f"...F{i}" for i in range(400))
    + "}}"
    + "".join(f"fragment F{i} on Query{{s}}" for i in range(400)),
    "the same field over and over": "{" + "a{a{s}} " * 700 + "}",
    "as often as allowed, within each other": "{" + ("a{" + "a{a{s}}" * 60 + "}") * 3 + "}",
    "many operations with the same fragment": "".join(f"query Q{i}{{...F}}" for i in range(500))
    + "fragment F on Query{" + "s " * 150 + "}",
    "many unknown fields": "{a{" + " ".join(f"q{i}" for i in range(1_900)) + "}}",
    "many unused variables": "query(" + " ".join(f"$a{i}:Int" for i in range(1_200)) + "){s}",
    "deep lists": "{b(x:" + "[" * 1_500 + "]" * 1_500 + ")}",
    "deep types": "query($x:" + "[" * 1_500 + "Int" + "]" * 1_500 + "){s}",
    "deep selections": nested(1_600),
    "an enormous string": '{b(x:"' + "x" * 60_000 + '")}',
    "many comments": "#\n" * 20_000 + "{s}",
    "unfinished block strings": '"""' * 20_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_answered_quickly(name: str) -> None:
    started = time.perf_counter()
    errors = refusals(HOSTILE[name])

    assert len(errors) <= MAX_VALIDATION_ERRORS + 1
    assert len(json.dumps(errors)) < 100_000
    assert time.perf_counter() - started < SECONDS


def test_doubling_fragments_are_refused_with_a_number_that_can_be_read() -> None:
    spreads = "".join(f"fragment F{i} on Query{{...F{i + 1} ...F{i + 1}}}" for i in range(90))
    error = refusal("{a{...F0}}" + spreads + "fragment F90 on Query{s}")

    assert error["extensions"]["limit"] == "fields"
    assert error["extensions"]["actual"] == CEILING
    assert "more than 999999999 fields" in error["message"]


def test_circles_and_unknown_fragments_are_left_to_validation() -> None:
    for document in ("{...F} fragment F on Query{a{...F}}", "{...Nothing}"):
        assert refusal(document)["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@given(
    st.recursive(
        st.just("s"),
        lambda below: st.lists(below, min_size=1, max_size=3).map(lambda chosen: f"a{{{' '.join(chosen)}}}"),
        max_leaves=30,
    )
)
def test_spreading_fragments_out_counts_what_writing_them_out_counts(selections: str) -> None:
    spread = f"{{x:a{{...F}} y:a{{...F}}}} fragment F on Query{{{selections}}}"
    written = f"{{x:a{{{selections}}} y:a{{{selections}}}}}"

    by_spreading, by_writing = measure(parse(spread))[0], measure(parse(written))[0]

    assert (by_spreading.fields, by_spreading.depth, by_spreading.aliases, by_spreading.root_fields) == (
        by_writing.fields,
        by_writing.depth,
        by_writing.aliases,
        by_writing.root_fields,
    )


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cm_graphql.api.documents.CACHED_DOCUMENTS", 10)
    monkeypatch.setattr("cm_graphql.api.documents.CACHED_TOKENS", 1_000)
    documents = Documents(SCHEMA, Limits())
    for i in range(30):
        documents.prepare(f"query Q{i} {{ s }}")
    assert list(documents._kept) == [f"query Q{i} {{ s }}" for i in range(20, 30)]

    for i in range(30):
        documents.prepare(f"query Q{i} {{a{{{some(100, 'x#:s')}}}}}")
    assert 0 < len(documents._kept) < 10
    assert documents._kept_tokens == sum(tokens for _, tokens in documents._kept.values()) <= 1_000


def test_a_kept_document_is_the_same_object() -> None:
    documents = Documents(SCHEMA, Limits())

    assert documents.prepare("{ s }") is documents.prepare("{ s }")


# --- JSON -------------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('[]{}"\\a\u00e9')),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.text(st.sampled_from('[]{}"\\a')), below, max_size=4)
    ),
    max_leaves=20,
)


def depth_of(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


@given(json_values, st.integers(0, 6), st.booleans())
def test_the_depth_of_json_is_told_without_parsing(value: object, limit: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert is_deeper_than(text, limit) == (depth_of(value) > limit)


@pytest.mark.parametrize("pattern", [b"[", b"[]", b'["', (b"[" * 60 + b"]" * 60), b'"\\', b"{[", b"]"])
def test_the_depth_of_hostile_json_is_told_quickly(pattern: bytes) -> None:
    text = pattern * (4_000_000 // len(pattern))
    started = time.perf_counter()
    is_deeper_than(text, 64)

    assert time.perf_counter() - started < SECONDS
