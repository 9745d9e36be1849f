"""Scalars take exact values only, refuse everything else with BAD_USER_INPUT, and show values in one way."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_graphql.fields.errors import BadValue
from cm_graphql.fields.scalars import parse_date, parse_decimal, parse_moment, show_decimal, show_moment
from cm_graphql.fields.wire import show_amount
from reading import Reader

DECIMALS: tuple[tuple[object, str], ...] = (
    ("12.50", "12.5"),
    ("-12.50", "-12.5"),
    ("0", "0"),
    ("007", "7"),
    (12, "12"),
    (-3, "-3"),
    (10**29, "1" + "0" * 29),
    ("0.000000001", "0.000000001"),
    ("9" * 30, "9" * 30),
)

NO_DECIMALS: tuple[object, ...] = (
    1.5,
    1.0,
    float("nan"),
    True,
    None,
    [],
    {},
    "",
    " 1",
    "1 ",
    "1\n",
    "+1",
    ".5",
    "5.",
    "1,5",
    "1_000",
    "1e3",
    "1E400",
    "NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "٣",
    "0x10",
    "--1",
    "9" * 31,
    10**40,
    10**5_000,
    "1" * 100_000,
)


@pytest.mark.parametrize(("given_", "shown"), DECIMALS)
def test_a_decimal_is_read_exactly(given_: object, shown: str) -> None:
    assert show_decimal(parse_decimal(given_)) == shown


@pytest.mark.parametrize("given_", NO_DECIMALS, ids=lambda value: repr(value)[:20] if value != 10**5_000 else "huge")
def test_what_is_no_exact_decimal_is_refused(given_: object) -> None:
    with pytest.raises(BadValue):
        parse_decimal(given_)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**12), max_value=10**12))
def test_a_decimal_survives_the_way_out_and_in(value: Decimal) -> None:
    assert parse_decimal(show_decimal(value)) == value


@given(st.integers(-(10**17), 10**17), st.sampled_from([("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)]))
def test_an_amount_is_shown_with_its_currencys_decimals(amount: int, currency: tuple[str, int]) -> None:
    code, decimals = currency
    step = 10 ** (4 - decimals)
    exact = amount - amount % step

    shown = show_amount(exact, code)

    assert Decimal(shown) == Decimal(exact) / 10_000
    assert len(shown.partition(".")[2]) == decimals
    assert ("." in shown) is (decimals > 0)


@pytest.mark.parametrize(
    ("given_", "value"), [("2026-01-31", date(2026, 1, 31)), ("0001-01-01", date.min), ("9999-12-31", date.max)]
)
def test_a_date_is_a_day_of_the_calendar(given_: str, value: date) -> None:
    assert parse_date(given_) == value


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "2026-02-29",
        "2026-1-1",
        "20260101",
        "2026-W01-1",
        "2026-01-01T00:00:00Z",
        "2026-01-01\n",
        "0000-01-01",
        20260101,
        None,
    ],
)
def test_what_is_no_date_is_refused(given_: object) -> None:
    with pytest.raises(BadValue):
        parse_date(given_)


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31t12:00:00.5z", "2026-01-31T12:00:00.500000Z"),
        ("2026-01-31T12:00:00.123456+05:30", "2026-01-31T06:30:00.123456Z"),
        ("2026-01-01T00:00:00-00:30", "2026-01-01T00:30:00.000000Z"),
    ],
)
def test_a_moment_is_shown_in_utc_with_six_digits(given_: str, shown: str) -> None:
    assert show_moment(parse_moment(given_)) == shown


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-1_439, 1_439))
def test_a_moment_survives_the_way_out_and_in(naive: datetime, offset: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))

    assert parse_moment(show_moment(moment)) == moment
    assert parse_moment(show_moment(moment)).tzinfo is UTC


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T12:00:00.1234567Z",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+0100",
        "0001-01-01T00:00:00+23:59",
        "2025-01-01T00:00:00+00:60",
        "2025-01-01T00:00:00-12:99",
        "9999-12-31T23:59:59-23:59",
        1_700_000_000,
        None,
    ],
)
def test_what_is_no_moment_is_refused(given_: object) -> None:
    with pytest.raises(BadValue):
        parse_moment(given_)


@pytest.mark.parametrize(
    ("field", "literal"),
    [
        ("amount", "1.5"),
        ("amount", "1e400"),
        ("amount", "true"),
        ("amount", '"1e400"'),
        ("amount", '"NaN"'),
        ("amount", "1" * 40),
        ("amount", '"' + "1" * 40 + '"'),
        ("amount", "RED"),
        ("amount", "{a: 1}"),
        ("day", '"2026-02-30"'),
        ("day", "2026"),
        ("moment", '"2026-01-31"'),
        ("rank", "1.5"),
        ("rank", "2147483648"),
        ("colour", '"RED"'),
        ("colour", "PINK"),
        ("flag", '"yes"'),
    ],
)
def test_a_literal_of_the_wrong_kind_never_reaches_the_database(reader: Reader, field: str, literal: str) -> None:
    answer = reader.post(f"{{ things(filter: {{{field}: {{eq: {literal}}}}}) {{ totalCount }} }}").json()

    codes = {error["extensions"]["code"] for error in answer["errors"]}
    assert codes <= {"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"}
    assert not reader.statements


@pytest.mark.parametrize(
    ("type_", "field", "value"),
    [
        ("DecimalFilter", "amount", 1.5),
        ("DecimalFilter", "amount", True),
        ("DecimalFilter", "amount", "1e4"),
        ("DecimalFilter", "amount", ["1"]),
        ("DateFilter", "day", "2026-02-30"),
        ("DateTimeFilter", "moment", "2026-02-30T00:00:00Z"),
        ("IntFilter", "rank", 2**31),
        ("IntFilter", "rank", "1"),
        ("ColourFilter", "colour", "PINK"),
        ("StringFilter", "word", 1),
        ("BooleanFilter", "flag", 0),
    ],
)
def test_a_variable_of_the_wrong_kind_never_reaches_the_database(
    reader: Reader, type_: str, field: str, value: Any
) -> None:
    query = f"query($by: {type_}) {{ things(filter: {{{field}: $by}}) {{ totalCount }} }}"

    assert reader.refused(query, by={"eq": value})
    assert not reader.statements


def test_an_integer_is_a_decimal_too(reader: Reader) -> None:
    literal = reader.ask('{ things(filter: {amount: {in: [0, "0.0000", 1]}}) { nodes { amount } } }')

    assert {Decimal(thing["amount"]) for thing in literal["things"]["nodes"]} <= {Decimal(0), Decimal(1)}


@pytest.mark.parametrize("value", ["1.5", '"1e4"', "true"])
def test_a_literal_that_a_scalar_does_not_take_is_told_with_its_place_in_the_document(
    reader: Reader, value: str
) -> None:
    response = reader.post(f"{{ things(filter: {{amount: {{eq: {value}}}}}) {{ totalCount }} }}")

    (error,) = response.json()["errors"]
    assert error["locations"] == [{"line": 1, "column": 32}]
    assert f"found: {value}" in error["message"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}


def test_a_variable_that_a_scalar_does_not_take_is_told_with_its_path(reader: Reader) -> None:
    message = reader.refused(
        "query($by: DecimalFilter) { things(filter: {amount: $by}) { totalCount } }", by={"eq": 1.5}
    )

    assert "'$by' has invalid value at .eq" in message
    assert '"12.50"' in message
