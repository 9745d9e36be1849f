"""What clients are told about two schemas: every kind of change, and how much it can hurt."""

import json

import pytest
from graphql import build_schema, introspection_from_schema

from cm_graphql.api.changes import NotASchema, Severity, compare, parse
from cm_graphql.api.schema import schema

BEFORE = """
type Query { memo(key: ID!): Memo  old: Int @deprecated(reason: "gone soon") }
type Mutation { post(input: In!): Memo }
type Memo { id: ID!  amount: String  status: Status! }
enum Status { DRAFT  POSTED }
input In { key: ID!  note: String }
"""


def changes(*replacements: tuple[str, str], added: str = "") -> list[tuple[str, str]]:
    """Severity and sentence of each change that replacing parts of the schema makes."""
    text = BEFORE
    for part, other in replacements:
        assert part in text
        text = text.replace(part, other)
    return [(one.severity.name, one.message) for one in compare(build_schema(BEFORE), build_schema(text + added))]


def test_what_takes_something_away_breaks() -> None:
    assert changes(("  amount: String", "")) == [("BREAKING", "Field Memo.amount was removed.")]
    assert changes(("note: String", "note: String!")) == [
        ("BREAKING", "Field In.note changed type from String to String!.")
    ]
    assert changes(("POSTED", "")) == [("BREAKING", "Enum value Status.POSTED was removed.")]
    assert changes(("key: ID!  note: String", "key: ID  note: String"), ("input In", "input In @oneOf")) == [
        ("BREAKING", "In takes exactly one of its fields now."),
        ("SAFE", "Field In.key changed type from ID! to ID."),
    ]


def test_losing_all_mutations_breaks_although_no_type_is_lost() -> None:
    assert changes(added="schema { query: Query }") == [
        ("BREAKING", "There are no mutation operations any more."),
    ]


def test_what_a_client_may_not_expect_is_dangerous() -> None:
    assert changes(("POSTED", "POSTED  CANCELED")) == [("DANGEROUS", "Enum value Status.CANCELED was added.")]


def test_what_is_only_more_is_safe() -> None:
    assert changes(("id: ID!  amount", "id: ID!  number: String  amount")) == [
        ("SAFE", "Field Memo.number was added."),
    ]
    assert changes(("amount: String", "amount: String!")) == [
        ("SAFE", "Field Memo.amount changed type from String to String!."),
    ]


def test_deprecations_are_told() -> None:
    assert changes(("amount: String", 'amount: String @deprecated(reason: "Use total.")')) == [
        ("SAFE", "Memo.amount was deprecated: Use total.")
    ]
    assert changes((' @deprecated(reason: "gone soon")', "")) == [("SAFE", "Query.old is not deprecated any more.")]


def test_the_worst_comes_first() -> None:
    found = compare(build_schema(BEFORE), build_schema(BEFORE.replace("POSTED", "CANCELED") + "type More { id: ID }"))

    assert [one.severity for one in found] == [Severity.BREAKING, Severity.DANGEROUS, Severity.SAFE]


def test_schema_language_and_introspection_tell_the_same() -> None:
    introspection = introspection_from_schema(schema._schema)
    texts = (schema.as_str(), json.dumps(introspection), json.dumps({"data": introspection}))

    for old in texts:
        for new in texts:
            assert compare(parse(old), parse(new)) == []


@pytest.mark.parametrize("text", ["", "type", "{}", "{", "[]", '{"errors": []}', "type Query { a: Nowhere }", "null"])
def test_what_is_no_schema_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(NotASchema) as refused:
        parse(text)

    assert str(refused.value)
    assert "\n" not in str(refused.value)
