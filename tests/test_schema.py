"""schema.graphql is the schema that is served."""

from pathlib import Path

from cm_graphql.api.schema import schema

PRINTED = Path(__file__).parent.parent / "schema.graphql"


def test_the_printed_schema_is_the_one_that_is_served() -> None:
    assert PRINTED.read_text(encoding="utf-8") == schema.as_str().rstrip("\n") + "\n", "run `make schema`"
