"""Filters find what plain Python finds, whatever is combined, on both databases."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fields.conftest import COUNT
from fields.oracle import matches
from fields.things import AMOUNTS, DAYS, MOMENTS, RANKS, RATES, WORDS, Colour, box_ids, some_things
from reading import Reader

ROWS = list(some_things(COUNT))
QUERY = "query($filter: ThingFilter) { things(filter: $filter, first: 100) { totalCount nodes { id } } }"


def found(reader: Reader, asked: dict[str, Any]) -> set[str]:
    listed = reader.ask(QUERY, filter=asked)["things"]
    assert listed["totalCount"] == len(listed["nodes"])
    return {thing["id"] for thing in listed["nodes"]}


def expected(asked: dict[str, Any]) -> set[str]:
    return {row["id"] for row in ROWS if matches(asked, row)}


texts = st.one_of(st.sampled_from(WORDS), st.text(max_size=3), st.sampled_from([word[1:3] for word in WORDS]))
decimals = st.one_of(
    st.sampled_from([f"{amount // 10_000}.{amount % 10_000:04d}" for amount in AMOUNTS if amount >= 0]),
    st.sampled_from(["-12.5", "-0.0001", "12.50005", "0.00001", "-0.00001", "9" * 30, "-" + "9" * 30, "0." + "3" * 29]),
    st.sampled_from(["922337203685477.5807", "922337203685477.5808", "-922337203685477.5808", "-922337203685477.5809"]),
    st.sampled_from(["1000000000", "-1000000000", "1.0000000001", *RATES]),
    st.integers(-20, 20),
)
moments = st.one_of(
    st.sampled_from([moment.isoformat() for moment in MOMENTS]),
    st.sampled_from(["2026-03-15T11:30:00+02:00", "2026-03-15T09:30:00.000001Z"]),
    st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]),
)
days = st.one_of(st.sampled_from([day.isoformat() for day in DAYS]), st.dates().map(str))
ids = st.sampled_from([row["id"] for row in ROWS[:5]] + [f"thg_{7:032x}"])
boxes = st.sampled_from([*box_ids(6)])
elsewhere = st.sampled_from(["sub_1", "thing", f"zzz_{1:032x}", f"{2:032x}", "", "\0"])

Kind = tuple[str, Any, tuple[str, ...]]
TEXT = ("contains", "startsWith")
ORDER = ("gt", "gte", "lt", "lte")
KINDS: tuple[Kind, ...] = (
    ("id", ids, TEXT),
    ("boxId", boxes, TEXT),
    ("spareBoxId", boxes, TEXT),
    ("elsewhereId", elsewhere, TEXT),
    ("word", texts, TEXT),
    ("name", texts, TEXT),
    ("amount", decimals, ORDER),
    ("fee", decimals, ORDER),
    ("rate", decimals, ORDER),
    ("moment", moments, ORDER),
    ("day", days, ORDER),
    ("flag", st.booleans(), ()),
    ("rank", st.one_of(st.sampled_from(RANKS), st.integers(-(2**31), 2**31 - 1)), ORDER),
    ("colour", st.sampled_from([colour.value for colour in Colour]), ()),
)


def operators(values: Any, more: tuple[str, ...]) -> Any:
    given = {
        "eq": values | st.none(),
        "ne": values | st.none(),
        "in": st.lists(values, max_size=4),
        "isNull": st.booleans(),
    } | {operator: values for operator in more if operator in ORDER}
    given |= {operator: texts for operator in more if operator in TEXT}
    one = st.sampled_from(sorted(given)).flatmap(lambda name: given[name].map(lambda value: {name: value}))
    return st.one_of(one, st.tuples(one, one).map(lambda both: both[0] | both[1]), st.just({}))


fields = st.one_of(*(operators(values, more).map(lambda o, n=name: {n: o}) for name, values, more in KINDS))
searches = texts.map(lambda text: {"search": text})
filters = st.recursive(
    st.one_of(fields, searches, st.just({})),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
        st.tuples(fields, inner).map(lambda both: both[0] | {"not": both[1]}),
    ),
    max_leaves=5,
)


@given(asked=filters)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filter_finds_what_plain_python_finds(reader: Reader, asked: dict[str, Any]) -> None:
    assert found(reader, asked) == expected(asked)


@pytest.mark.parametrize(("name", "values", "more"), KINDS, ids=[kind[0] for kind in KINDS])
def test_every_operator_of_every_kind_of_field_works(
    reader: Reader, name: str, values: Any, more: tuple[str, ...]
) -> None:
    @given(asked=operators(values, more))
    @settings(max_examples=40)
    def check(asked: dict[str, Any]) -> None:
        assert found(reader, {name: asked}) == expected({name: asked})

    check()


NULLABLE = [name for name, _, _ in KINDS if name not in ("id", "boxId", "name", "amount")]


@pytest.mark.parametrize("name", NULLABLE)
def test_null_is_a_value_like_any_other(reader: Reader, name: str) -> None:
    without = found(reader, {name: {"isNull": True}})
    everything = {row["id"] for row in ROWS}

    assert without
    assert without != everything
    assert found(reader, {name: {"eq": None}}) == without
    assert found(reader, {name: {"ne": None}}) == everything - without
    assert found(reader, {name: {"isNull": False}}) == everything - without
    assert found(reader, {"not": {name: {"isNull": True}}}) == everything - without
    assert found(reader, {name: {"in": []}}) == set()
    assert found(reader, {"not": {name: {"in": []}}}) == everything


def test_what_is_not_equal_has_another_value_or_none(reader: Reader) -> None:
    red = found(reader, {"colour": {"eq": "RED"}})
    rest = {row["id"] for row in ROWS} - red

    assert found(reader, {"colour": {"ne": "RED"}}) == rest
    assert found(reader, {"not": {"colour": {"eq": "RED"}}}) == rest
    assert found(reader, {"not": {"colour": {"in": ["RED"]}}}) == rest
    assert found(reader, {"not": {"not": {"colour": {"eq": "RED"}}}}) == red


def test_an_empty_filter_finds_everything(reader: Reader) -> None:
    everything = {row["id"] for row in ROWS}

    nulls = {"colour": None, "and": None, "or": None, "not": None, "search": None}
    empty: tuple[dict[str, Any], ...] = ({}, {"colour": {}}, {"and": []}, {"not": {"or": []}}, nulls)
    for asked in empty:
        assert found(reader, asked) == everything
    assert found(reader, {"or": []}) == set()


def test_a_field_of_another_table_is_filtered_there(reader: Reader) -> None:
    names = {key: f"Box {number}" for number, key in enumerate(box_ids(5))}
    spare = {row["id"]: names.get(row["spare_box_id"]) for row in ROWS}

    assert found(reader, {"boxName": {"eq": "Box 1"}}) == {row["id"] for row in ROWS if row["box_id"] == box_ids(2)[1]}
    assert found(reader, {"boxName": {"startsWith": "bOX"}}) == set(spare)
    assert found(reader, {"boxName": {"isNull": True}}) == set()
    assert found(reader, {"spareBoxName": {"ne": "Box 1"}}) == {key for key, name in spare.items() if name != "Box 1"}
    assert found(reader, {"spareBoxName": {"isNull": True}}) == {key for key, name in spare.items() if name is None}


def test_ids_are_taken_with_and_without_their_prefix(reader: Reader) -> None:
    wanted = ROWS[0]["id"]

    assert found(reader, {"id": {"eq": wanted.removeprefix("thg_")}}) == {wanted}
    assert found(reader, {"id": {"in": [wanted.removeprefix("thg_"), wanted]}}) == {wanted}
    assert found(reader, {"boxId": {"eq": box_ids(1)[0].removeprefix("box_")}}) == expected(
        {"boxId": {"eq": box_ids(1)[0]}}
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"id": {"eq": "thg_1"}}, "no id of this kind"),
        ({"id": {"eq": box_ids(1)[0]}}, "no id of this kind"),
        ({"id": {"in": ["\0"]}}, "no id of this kind"),
        ({"boxId": {"ne": f"thg_{1:032x}"}}, "no id of this kind"),
        ({"word": {"in": None}}, "word: in takes a value"),
        ({"word": {"contains": None}}, "word: contains takes a value"),
        ({"rank": {"gte": None}}, "rank: gte takes a value"),
        ({"rank": {"isNull": None}}, "rank: isNull takes a value"),
        ({"word": {"contains": "x" * 1_001}}, "1001 characters"),
        ({"search": "x" * 50_000}, "50000 characters"),
        ({"rank": {"in": list(range(1_001))}}, "at most 1000 values"),
        ({"or": [{"rank": {"in": list(range(600))}}, {"rank": {"in": list(range(600))}}]}, "at most 1000 values"),
        ({"or": [{"rank": {"eq": 1}}] * 1_000}, "at most 300 conditions"),
        ({"or": [{"or": [{}] * 100}] * 4}, "at most 300 conditions"),
    ],
)
def test_an_impossible_filter_is_the_callers_mistake(reader: Reader, asked: dict[str, Any], message: str) -> None:
    assert message in reader.refused(QUERY, filter=asked)


def test_a_filter_nests_only_so_deep(reader: Reader) -> None:
    asked: dict[str, Any] = {"rank": {"eq": 7}}
    for _ in range(8):
        asked = {"not": asked}

    assert found(reader, asked) == expected(asked)
    assert "at most 10 levels" in reader.refused(QUERY, filter={"not": {"not": {"not": asked}}})


def test_the_largest_filter_is_answered(reader: Reader) -> None:
    terms = [{"rank": {"eq": number}} for number in range(148)]

    for join in ("and", "or"):
        assert found(reader, {join: terms}) == expected({join: terms})
    values = list(range(1_000))
    assert found(reader, {"rank": {"in": values}}) == expected({"rank": {"in": values}})


@pytest.mark.parametrize("text", ["\0", "a\0b", "\0\U0001f600"])
def test_text_that_no_database_can_hold_is_found_nowhere(reader: Reader, text: str) -> None:
    everything = {row["id"] for row in ROWS}

    for name in ("word", "name", "elsewhereId"):
        for operator, value in (("eq", text), ("in", [text]), ("contains", text), ("startsWith", text)):
            assert found(reader, {name: {operator: value}}) == set()
        assert found(reader, {name: {"ne": text}}) == everything
    assert found(reader, {"search": text}) == set()
    assert found(reader, {"not": {"search": text}}) == everything


@pytest.mark.parametrize("text", ["\ud800", "\udfff\ud800", "x\ud83dx"])
def test_half_a_character_is_refused_wherever_it_stands(reader: Reader, text: str) -> None:
    literal = "".join(f"\\u{ord(letter):04x}" for letter in text)

    for response in (
        reader.post(QUERY, {"filter": {"word": {"eq": text}}}),
        reader.post(f'{{ things(filter: {{word: {{eq: "{literal}"}}}}) {{ totalCount }} }}'),
        reader.post(f'{{ things(after: "{literal}") {{ totalCount }} }}'),
    ):
        codes = [error["extensions"]["code"] for error in response.json()["errors"]]
        assert codes in (["BAD_USER_INPUT"], ["GRAPHQL_PARSE_FAILED"])
