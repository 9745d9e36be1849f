"""What schemathesis has to know of us: how our scalars look, which ids there are, and what no answer may say.

It runs in the virtual environment of schemathesis, so it imports nothing of ours.
"""

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import graphql
import schemathesis
from hypothesis import strategies as st
from hypothesis_graphql import nodes

SCHEMA = graphql.build_schema(Path(os.environ["CM_GRAPHQL_TEST_SCHEMA"]).read_text(encoding="utf-8"))
CODES = set(os.environ["CM_GRAPHQL_TEST_CODES"].split(","))

PREFIXES = ("cm", "cmi", "cmt", "cmp", "cip", "cmf", "cmj", "inv", "ini", "int", "dm", "dmi", "acc", "con", "pm", "chg")
NUMBERS = ("CM0000000", "INV0000000", "DM0000000", "A0000000")
WIRE_FORMS = {
    "Decimal": re.compile(r"-?\d+(\.\d+)?"),
    "Date": re.compile(r"\d{4}-\d\d-\d\d"),
    "DateTime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
}

digit = st.integers(0, 9)
real_ids = st.builds("{}_{:032x}".format, st.sampled_from(PREFIXES), st.integers(1, 0x62) | st.integers(0xA1, 0xA4))
numbers = st.builds("{}{}".format, st.sampled_from(NUMBERS), digit)
ids = st.sampled_from(["CM00000001", "CM00000002", "CM00000004"]) | real_ids | numbers | st.text(max_size=40)
amounts = st.decimals(-1000, 1000, places=2).map(str) | st.text(max_size=5) | st.sampled_from(["NaN", "1e400", "-0"])
dates = st.dates().map(str) | st.sampled_from(["2026-03-31", "0000-00-00", "2026-02-30"])
moments = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | st.sampled_from(["now", "2026-03-31"])

for scalar, strategy in (
    ("ID", ids.map(nodes.String)),
    (
        "Decimal",
        amounts.map(nodes.String)
        | st.integers().map(str).map(nodes.Int)
        | st.floats(allow_nan=False, allow_infinity=False).map(repr).map(nodes.Float),
    ),
    ("Date", dates.map(nodes.String)),
    ("DateTime", moments.map(nodes.String)),
    ("JSON", st.just(nodes.Null) | st.builds(nodes.String, st.text(max_size=9)) | st.just(nodes.Object(fields=[]))),
    ("Upload", st.just(nodes.Null)),
):
    schemathesis.graphql.scalar(scalar, strategy)


def tells_nothing_of_our_inside(context: Any, response: Any, case: Any) -> None:
    """No answer is a bug of ours, masked or not, and each error has a code."""
    assert response.status_code in (200, 400), response.text
    for error in response.json().get("errors", ()):
        assert error["extensions"]["code"] in CODES - {"INTERNAL_SERVER_ERROR"}, error
        assert "Traceback" not in error["message"], error


def conforms_to_the_schema(context: Any, response: Any, case: Any) -> None:
    """Each value has the type that its field has in the schema: an execution that reads the answer finds no fault."""
    answer = response.json()
    if not answer.get("data"):
        return
    failed = {tuple(error.get("path", ())) for error in answer.get("errors", ())}
    result = graphql.execute_sync(
        SCHEMA,
        graphql.parse(case.body),
        root_value=answer["data"],
        field_resolver=_value_of,
        type_resolver=_type_of,
    )
    wrong = [error for error in result.errors or () if tuple(error.path or ()) not in failed]
    assert not wrong, f"{wrong}\n{json.dumps(answer)[:2000]}"
    assert result.data == answer["data"], "there is more or less in the answer than was asked for"


def _formed(form: re.Pattern[str], value: Any) -> Any:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise TypeError(f"{value!r} is not of the form {form.pattern}")
    return value


def _value_of(source: dict[str, Any], info: Any, **_arguments: Any) -> Any:
    return source[info.path.key]


def _type_of(value: dict[str, Any], info: Any, abstract: Any) -> str:
    return str(value["__typename"])


class _Typed(graphql.Visitor):
    """Asks every object what type it is of, so that `node` and `nodes` can be checked."""

    def leave_selection_set(self, node: Any, *_: Any) -> Any:
        typename = graphql.FieldNode(name=graphql.NameNode(value="__typename"), arguments=(), directives=())
        return graphql.SelectionSetNode(selections=(*node.selections, typename))


def with_types(context: Any, case: Any, *_: Any) -> None:
    """Change a request before it is sent."""
    case.body = graphql.print_ast(graphql.visit(graphql.parse(case.body), _Typed()))


for scalar, form in WIRE_FORMS.items():
    SCHEMA.type_map[scalar].serialize = functools.partial(_formed, form)  # type: ignore[attr-defined]

schemathesis.check(tells_nothing_of_our_inside)
schemathesis.check(conforms_to_the_schema)
schemathesis.hook("before_call")(with_types)
