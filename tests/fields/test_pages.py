"""Paging visits every row exactly once, in the order asked, whatever the sort, and whatever is inserted meanwhile."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from cm_graphql.store.lists import keys_table
from fields.conftest import COUNT
from fields.oracle import ordered
from fields.things import FIELDS, NO_NULLS, box_ids, some_things, things
from reading import Reader

ROWS = list(some_things(COUNT))
QUERY = """
query($first: Int, $after: String, $last: Int, $before: String, $sort: [ThingSort!], $filter: ThingFilter) {
  things(first: $first, after: $after, last: $last, before: $before, sort: $sort, filter: $filter) {
    nodes { id }
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""


def sort(*terms: tuple[str, bool]) -> list[dict[str, str]]:
    return [{"field": name.upper(), "direction": "DESC" if descending else "ASC"} for name, descending in terms]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def forwards(reader: Reader, size: int, **arguments: Any) -> Iterator[list[str]]:
    after = None
    while True:
        page = reader.ask(QUERY, first=size, after=after, **arguments)["things"]
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        yield ids(page["nodes"])
        if not page["pageInfo"]["hasNextPage"]:
            return
        assert len(page["nodes"]) == size
        after = page["pageInfo"]["endCursor"]
        assert after == page["edges"][-1]["cursor"]


def backwards(reader: Reader, size: int, **arguments: Any) -> Iterator[list[str]]:
    before = None
    while True:
        page = reader.ask(QUERY, last=size, before=before, **arguments)["things"]
        assert page["pageInfo"]["hasNextPage"] is (before is not None)
        yield ids(page["nodes"])
        if not page["pageInfo"]["hasPreviousPage"]:
            return
        assert len(page["nodes"]) == size
        before = page["pageInfo"]["startCursor"]
        assert before == page["edges"][0]["cursor"]


TEXTS = ["cm_1", "", "NULL", "a,b", "{}", 'say "so"', "back\\slash", '\\"', '","', "\n", " ", "Ünïcode", "\x1f"]
"""What could be taken for something else in a list of texts."""


@pytest.mark.parametrize("texts", [TEXTS, [], [""], ['"'], ["\\"]], ids=lambda texts: str(len(texts)))
def test_a_list_of_any_texts_is_one_parameter(reader: Reader, texts: list[str]) -> None:
    async def read_back() -> list[str]:
        table, value = keys_table(reader.database.dialect, texts)
        async with reader.database.read() as connection:
            return list(await connection.scalars(select(value).select_from(table)))

    assert reader.run(read_back()) == texts


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("name", FIELDS)
def test_paging_visits_every_row_once_in_order_both_ways(reader: Reader, name: str, descending: bool) -> None:
    wanted = ids(ordered(ROWS, [(name, descending)]))
    arguments = {"sort": sort((name, descending))}

    assert reader.ask(QUERY, first=100, **arguments)["things"]["nodes"] == [{"id": key} for key in wanted]
    assert [key for page in forwards(reader, 7, **arguments) for key in page] == wanted
    assert [key for page in reversed(list(backwards(reader, 7, **arguments))) for key in page] == wanted


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in NO_NULLS])
def test_what_has_no_value_comes_last_in_both_directions(reader: Reader, name: str) -> None:
    empty = {row["id"] for row in ROWS if row[name] is None}
    assert 0 < len(empty) < COUNT

    for descending in (False, True):
        listed = ids(reader.ask(QUERY, first=100, sort=sort((name, descending)))["things"]["nodes"])
        assert set(listed[-len(empty) :]) == empty


def test_pages_of_one_row_visit_every_row_once(reader: Reader) -> None:
    arguments = {"sort": sort(("word", True), ("fee", False))}
    wanted = ids(ordered(ROWS, [("word", True), ("fee", False)]))

    assert [key for page in forwards(reader, 1, **arguments) for key in page] == wanted
    assert [key for page in reversed(list(backwards(reader, 1, **arguments))) for key in page] == wanted


terms = st.lists(st.tuples(st.sampled_from(FIELDS), st.booleans()), min_size=1, max_size=4, unique_by=lambda t: t[0])


@given(by=terms, start=st.integers(0, COUNT - 1), end=st.integers(0, COUNT - 1), size=st.integers(0, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_page_lies_between_its_cursors(
    reader: Reader, by: list[tuple[str, bool]], start: int, end: int, size: int
) -> None:
    wanted = ordered(ROWS, by)
    every = reader.ask(QUERY, first=100, sort=sort(*by))["things"]["edges"]
    assert [edge["node"]["id"] for edge in every] == ids(wanted)
    between = ids(wanted[start + 1 : end])
    cursors = {"after": every[start]["cursor"], "before": every[end]["cursor"]}

    first = reader.ask(QUERY, first=size, sort=sort(*by), **cursors)["things"]
    last = reader.ask(QUERY, last=size, sort=sort(*by), **cursors)["things"]

    assert ids(first["nodes"]) == between[:size]
    assert ids(last["nodes"]) == between[len(between) - min(size, len(between)) :]
    assert first["pageInfo"]["hasNextPage"] is (len(between) > size)
    assert last["pageInfo"]["hasPreviousPage"] is (len(between) > size)


def test_a_field_that_is_sorted_by_twice_counts_once(reader: Reader) -> None:
    twice = reader.ask(QUERY, first=100, sort=sort(("rank", True), ("rank", False), ("id", False)))
    once = reader.ask(QUERY, first=100, sort=sort(("rank", True), ("id", False)))

    assert ids(twice["things"]["nodes"]) == ids(once["things"]["nodes"])


def test_without_a_sort_the_default_holds(reader: Reader) -> None:
    wanted = sorted(row["id"] for row in ROWS)

    defaults: tuple[dict[str, Any], ...] = ({}, {"sort": []}, {"sort": None})
    for arguments in defaults:
        assert ids(reader.ask(QUERY, first=100, **arguments)["things"]["nodes"]) == wanted
    assert ids(reader.ask(QUERY)["things"]["nodes"]) == wanted[:20]
    assert ids(reader.ask(QUERY, last=2)["things"]["nodes"]) == wanted[-2:]


def test_before_alone_asks_for_the_last_rows_before_it(reader: Reader) -> None:
    every = reader.ask(QUERY, first=100)["things"]["edges"]

    page = reader.ask(QUERY, before=every[50]["cursor"])["things"]

    assert page["edges"] == every[30:50]
    assert page["pageInfo"]["hasPreviousPage"] is True
    assert page["pageInfo"]["hasNextPage"] is True


def test_no_rows_are_a_page_too(reader: Reader) -> None:
    nothing = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}

    for arguments in ({"first": 5}, {"last": 5}):
        page = reader.ask(QUERY, filter={"or": []}, **arguments)["things"]
        assert page == {"nodes": [], "edges": [], "pageInfo": nothing}
    assert reader.ask(QUERY, first=0)["things"]["pageInfo"] == nothing | {"hasNextPage": True}
    assert reader.ask(QUERY, last=0)["things"]["pageInfo"] == nothing | {"hasPreviousPage": True}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": -1}, "first is -1; between 0 and 100 is allowed here"),
        ({"first": 101}, "first is 101; between 0 and 100 is allowed here"),
        ({"last": -1}, "last is -1; between 0 and 100 is allowed here"),
        ({"last": 101}, "last is 101; between 0 and 100 is allowed here"),
        ({"first": 2**31 - 1}, "between 0 and 100"),
        ({"first": 1, "last": 1}, "Give first or last, not both"),
        ({"sort": sort(*((name, False) for name in FIELDS), ("id", True))}, "sort has 15 terms"),
    ],
)
def test_a_page_that_cannot_be_is_the_callers_mistake(reader: Reader, arguments: Any, message: str) -> None:
    assert message in reader.refused(QUERY, **arguments)


# --- cursors ----------------------------------------------------------------------------------------------------------


def cursor_of(reader: Reader, *by: tuple[str, bool]) -> str:
    cursor: str = reader.ask(QUERY, first=1, sort=sort(*by))["things"]["pageInfo"]["endCursor"]
    return cursor


def refuses(reader: Reader, cursor: str, *by: tuple[str, bool]) -> None:
    for side in ("after", "before"):
        assert "The cursor is not one of this list" in reader.refused(QUERY, sort=sort(*by), **{side: cursor})


def test_a_cursor_of_another_sort_is_refused(reader: Reader) -> None:
    cursor = cursor_of(reader, ("rank", False))

    refuses(reader, cursor, ("rank", True))
    refuses(reader, cursor, ("amount", False))
    refuses(reader, cursor, ("rank", False), ("amount", False))
    refuses(reader, cursor)


def test_a_cursor_of_another_list_is_refused(reader: Reader) -> None:
    other = reader.ask("{ boxes(first: 1) { pageInfo { endCursor } } }")["boxes"]["pageInfo"]["endCursor"]

    refuses(reader, other)


def test_a_cursor_that_was_cut_or_changed_is_refused_or_means_another_place(reader: Reader) -> None:
    cursor = cursor_of(reader, ("moment", False), ("rate", False), ("word", True))
    by = sort(("moment", False), ("rate", False), ("word", True))

    for length in range(len(cursor)):
        refuses(reader, cursor[:length], ("moment", False), ("rate", False), ("word", True))
    for place in range(len(cursor)):
        for letter in "A=\0":
            changed = cursor[:place] + letter + cursor[place + 1 :]
            answer = reader.post(QUERY, {"after": changed, "sort": by}).json()
            assert all(error["extensions"]["code"] == "BAD_USER_INPUT" for error in answer.get("errors", ()))


HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    -(2**63),
    2**63,
    10**400,
    1.5,
    "",
    "x",
    "\0",
    "\ud800",
    "0001-01-01",
    "99999-01-01",
    "2026-03-15",
    "2026-03-15T09:30:00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "NaN",
    "sNaN",
    "Infinity",
    "1e400",
    "1E-400",
    "1000000000",
    "9" * 30,
    "RED",
    [],
    {},
    [[]],
)


@pytest.mark.parametrize("name", FIELDS)
def test_a_forged_cursor_never_breaks_anything(reader: Reader, name: str) -> None:
    mark = json.loads(base64.urlsafe_b64decode(cursor_of(reader, (name, False)) + "==="))[0]

    for value in HOSTILE:
        values = [value] if name == "id" else [value, ROWS[0]["id"]]
        forged = base64.urlsafe_b64encode(json.dumps([mark, *values]).encode()).decode().rstrip("=")
        for side in ("after", "before"):
            answer = reader.post(QUERY, {side: forged, "sort": sort((name, False))}).json()
            codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
            assert codes <= {"BAD_USER_INPUT"}, (value, answer)


@pytest.mark.parametrize(
    "cursor", ["", "=", "====", "W10", "bnVsbA", "e30", "WzFd", "not base64!", "[" * 5_000, "WzFb" * 900]
)
def test_what_is_no_cursor_is_refused(reader: Reader, cursor: str) -> None:
    refuses(reader, cursor)


def test_a_deep_cursor_is_refused(reader: Reader) -> None:
    refuses(reader, base64.urlsafe_b64encode(b"[" * 2_900).decode())


# --- lists of many parents --------------------------------------------------------------------------------------------

NESTED = """
query($first: Int, $last: Int, $sort: [ThingSort!], $filter: ThingFilter) {
  boxes {
    nodes {
      id
      things(first: $first, last: $last, sort: $sort, filter: $filter) {
        totalCount
        nodes { id }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }
  }
}
"""


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("name", FIELDS)
def test_a_nested_page_is_one_per_parent_in_the_order_asked(reader: Reader, name: str, descending: bool) -> None:
    wanted = ordered(ROWS, [(name, descending)])

    for size in (0, 3, 100):
        for side in ("first", "last"):
            boxes = reader.ask(NESTED, **{side: size}, sort=sort((name, descending)))["boxes"]["nodes"]
            assert len(boxes) == 5
            for box in boxes:
                own = [row["id"] for row in wanted if row["box_id"] == box["id"]]
                listed = box["things"]
                assert ids(listed["nodes"]) == (own[:size] if side == "first" else own[max(0, len(own) - size) :])
                assert listed["totalCount"] == len(own)
                more = "hasNextPage" if side == "first" else "hasPreviousPage"
                assert listed["pageInfo"][more] is (len(own) > size)


@given(by=terms, size=st.integers(0, 5), colours=st.sets(st.sampled_from(["RED", "GREEN", "BLUE"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nested_lists_are_filtered_and_sorted_like_others(
    reader: Reader, by: list[tuple[str, bool]], size: int, colours: set[str]
) -> None:
    wanted = [row for row in ordered(ROWS, by) if row["colour"] in colours]

    boxes = reader.ask(NESTED, first=size, sort=sort(*by), filter={"colour": {"in": sorted(colours)}})["boxes"]["nodes"]

    for box in boxes:
        own = [row["id"] for row in wanted if row["box_id"] == box["id"]]
        assert ids(box["things"]["nodes"]) == own[:size]
        assert box["things"]["totalCount"] == len(own)


def test_a_nested_list_is_paged_with_its_cursors(reader: Reader) -> None:
    query = """
    query($id: ID!, $after: String, $sort: [ThingSort!]) {
      boxes(filter: {id: {eq: $id}}) {
        nodes { things(first: 2, after: $after, sort: $sort) { nodes { id } pageInfo { hasNextPage endCursor } } }
      }
    }
    """
    by = ("word", False)
    for box in box_ids(5):
        seen: list[str] = []
        after = None
        while True:
            listed = reader.ask(query, id=box, after=after, sort=sort(by))["boxes"]["nodes"][0]["things"]
            seen += ids(listed["nodes"])
            after = listed["pageInfo"]["endCursor"]
            if not listed["pageInfo"]["hasNextPage"]:
                break
        assert seen == [row["id"] for row in ordered(ROWS, [by]) if row["box_id"] == box]


def test_the_same_list_under_two_aliases_is_two_lists(reader: Reader) -> None:
    boxes = reader.ask(
        """{ boxes { nodes { id
             two: things(first: 2) { nodes { id } }
             last: things(last: 1) { nodes { id } }
             red: redThings { totalCount nodes { colour } }
             reds: things(filter: {colour: {eq: RED}}) { totalCount }
             best { nodes { id } }
        } } }"""
    )["boxes"]["nodes"]

    for box in boxes:
        own = sorted(row["id"] for row in ROWS if row["box_id"] == box["id"])
        assert ids(box["two"]["nodes"]) == own[:2] == ids(box["best"]["nodes"])
        assert ids(box["last"]["nodes"]) == own[-1:]
        assert {thing["colour"] for thing in box["red"]["nodes"]} <= {"RED"}
        assert box["red"]["totalCount"] == box["reds"]["totalCount"] == len(box["red"]["nodes"])


def test_a_list_has_a_largest_page_of_its_own(reader: Reader) -> None:
    assert reader.ask("{ boxes { nodes { best(first: 3) { nodes { id } } } } }")
    assert "between 0 and 3" in reader.refused("{ boxes(first: 1) { nodes { best(first: 4) { nodes { id } } } } }")


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_the_total_is_counted_only_when_it_is_selected(reader: Reader) -> None:
    for selection, statements in (
        ("totalCount", ["count"]),
        ("nodes { id }", ["page"]),
        ("nodes { id } edges { cursor } pageInfo { endCursor }", ["page"]),
        ("totalCount nodes { id } pageInfo { hasNextPage }", ["count", "page"]),
    ):
        reader.counted(f"{{ things {{ {selection} }} }}")
        kinds = sorted("count" if sql.startswith("SELECT count(") else "page" for sql in reader.statements)
        assert kinds == statements

    reader.counted("{ boxes { nodes { things { totalCount } } } }")
    assert len(reader.statements) == 2


def test_many_parents_cost_as_many_statements_as_one(reader: Reader) -> None:
    query = """
    query($first: Int) { boxes(first: $first) { totalCount nodes { things(first: 2) {
      totalCount nodes { twice box { name things(last: 1) { nodes { elsewhere { id } } } } } } } } }
    """
    planned = reader.engine.counted["planned"]

    _, few = reader.counted(query, first=1)
    _, many = reader.counted(query, first=5)

    assert few == many == len(("boxes", "their number", "things", "their number", "twice", "box", "its things"))
    assert reader.engine.counted["planned"] == planned + 2


# --- while others write -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "descending"), [("name", False), ("name", True), ("word", False), ("fee", True)])
def test_rows_that_come_and_go_meanwhile_shift_nothing(reader: Reader, name: str, descending: bool) -> None:
    wanted = ids(ordered(ROWS, [(name, descending)]))
    own = set(wanted)
    number = 0

    async def disturb() -> None:
        async with reader.database.write() as connection:
            for row in list(some_things(8, seed=number)):
                await connection.execute(things.insert(), row | {"id": f"thg_{number:08x}{row['id'][12:]}"})
            gone = [row["id"] for row in some_things(4, seed=number - 1)]
            keys = [f"thg_{number - 1:08x}{key[12:]}" for key in gone]
            await connection.execute(things.delete().where(things.c.id.in_(keys)))

    async def tidy() -> None:
        async with reader.database.write() as connection:
            await connection.execute(things.delete().where(things.c.id.not_in(wanted)))

    try:
        seen: list[str] = []
        for page in forwards(reader, 7, sort=sort((name, descending))):
            seen += [key for key in page if key in own]
            number += 1
            if number < 8:
                reader.run(disturb())
        assert seen == wanted
    finally:
        reader.run(tidy())
