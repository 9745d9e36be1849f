"""Values come back from both databases as they went in, and sort there alike."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import cast, func, literal, select, text
from sqlalchemy.exc import DBAPIError, StatementError

from cm_graphql.domain.enums import MemoStatus
from cm_graphql.store.database import Database
from cm_graphql.store.fold import fold, fold_text
from cm_graphql.store.tables import accounts, contacts, credit_memo_items, credit_memos, invoices
from cm_graphql.store.types import Amount, PlainText, from_scaled, to_json, to_scaled
from store.rows import insert

LARGEST = 10**17 - 1

in_json: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(MemoStatus)
)
in_objects = st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), in_json | st.lists(in_json))


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_scaling_loses_nothing(billionths: int) -> None:
    assert to_scaled(from_scaled(billionths)) == billionths


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_what_would_be_rounded_is_refused(number: Decimal) -> None:
    fits = number.is_finite() and abs(number) < 10**9 and number == round(Fraction(number) * 10**9) / Fraction(10**9)
    try:
        scaled = to_scaled(number)
    except ValueError:
        assert not fits
    else:
        assert fits
        assert from_scaled(scaled) == number


@given(in_objects | st.lists(in_objects | in_json))
def test_json_is_written_as_the_standard_library_writes_it(value: Any) -> None:
    try:
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        with pytest.raises(ValueError, match="JSON"):
            to_json(value)
    else:
        assert to_json(value) == written


def test_every_character_is_escaped_as_the_standard_library_escapes_it() -> None:
    every = "".join(chr(code) for code in range(0x110000) if code not in range(0xD800, 0xE000))

    assert to_json({every: every}) == json.dumps({every: every}, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("number", ["1E+999999", "1E-999999", "1000000000", "0.0000000001", "NaN", "-Infinity"])
def test_numbers_that_do_not_fit_are_refused_at_once(number: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        to_scaled(Decimal(number))


@pytest.mark.parametrize("number", ["0", "999999999.999999999", "-999999999.999999999", "0.000000001", "1.10", "1E+3"])
async def test_decimals_come_back_exact(shared_database: Database, number: str) -> None:
    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, credit_memo_items, quantity=Decimal(number))

    assert row["quantity"] == Decimal(number)
    assert isinstance(row["quantity"], Decimal)


@pytest.mark.parametrize("amount", [0, 1, 10**13, LARGEST])
async def test_amounts_come_back_exact(shared_database: Database, amount: int) -> None:
    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, credit_memos, amount=amount)

    assert row["amount"] == amount
    assert row["unapplied_amount"] == amount
    assert type(row["unapplied_amount"]) is int


@pytest.mark.parametrize("amount", [1.5, 1.0, Decimal("1.5"), True, "1"])
async def test_an_amount_is_an_int_and_nothing_else(shared_database: Database, amount: Any) -> None:
    with pytest.raises(StatementError, match="is no amount"):
        async with shared_database.write() as connection:
            await insert(connection, credit_memos, amount=amount)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 5, 1, 12, 0, tzinfo=UTC),
        datetime(2026, 5, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 5, 1, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
        datetime(1900, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
async def test_moments_come_back_to_the_microsecond_in_utc(shared_database: Database, moment: datetime) -> None:
    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, credit_memos, posted_on=moment)

    assert row["posted_on"] == moment
    assert row["posted_on"].utcoffset() == timedelta(0)


async def test_moments_sort_and_compare_by_time(shared_database: Database) -> None:
    first = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    moments = [first + timedelta(microseconds=step) for step in (0, 1, 1_000_000, 10_000_000)]
    async with shared_database.write(dry_run=True) as connection:
        for moment in reversed(moments):
            await insert(connection, credit_memos, posted_on=moment)

        found = select(credit_memos.c.posted_on).where(credit_memos.c.posted_on > first)
        later = (await connection.execute(found.order_by(credit_memos.c.posted_on))).scalars().all()

    assert later == moments[1:]


async def test_a_moment_without_a_time_zone_is_refused(shared_database: Database) -> None:
    with pytest.raises(StatementError, match="has no time zone"):
        async with shared_database.write() as connection:
            await insert(connection, credit_memos, posted_on=datetime(2026, 5, 1))


async def test_json_keeps_its_order_and_nothing_is_null(shared_database: Database) -> None:
    document = {"b__c": "1.10", "a__c": [1, None, {"ü__c": "日本"}], "big__c": 2**63, "": False}
    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, credit_memos, custom_fields=document)
        without = select(func.count()).where(credit_memos.c.custom_rates.is_(None))
        nulls = (await connection.execute(without)).scalar_one()

    assert row["custom_fields"] == document
    assert list(row["custom_fields"]) == list(document)
    assert row["custom_rates"] is None
    assert row["net_suite"] == {}
    assert nulls == 1


async def test_json_that_no_other_program_could_read_is_refused(shared_database: Database) -> None:
    with pytest.raises(StatementError, match="JSON"):
        async with shared_database.write() as connection:
            await insert(connection, credit_memos, custom_fields={"a__c": float("nan")})


async def test_a_vocabulary_comes_back_as_its_member(shared_database: Database) -> None:
    async with shared_database.write(dry_run=True) as connection:
        row = await insert(connection, credit_memos, status="POSTED")

    assert row["status"] is MemoStatus.POSTED


async def test_text_sorts_by_code_point(shared_database: Database) -> None:
    names = ["", " ", "-", "10", "9", "A", "B", "_", "a", "a b", "ab", "b", "Ä", "ß", "ä", "я", "日", "😀"]
    async with shared_database.write(dry_run=True) as connection:
        for name in reversed(names):
            await insert(connection, accounts, name=name)
        found = (await connection.execute(select(accounts.c.name).order_by(accounts.c.name))).scalars().all()

    assert found == names == sorted(names)


@pytest.mark.parametrize("descending", [False, True])
async def test_null_sorts_last_when_asked_to(shared_database: Database, descending: bool) -> None:
    column = contacts.c.city
    async with shared_database.write(dry_run=True) as connection:
        for city in (None, "b", None, "a"):
            await insert(connection, contacts, city=city)
        order = (column.desc() if descending else column.asc()).nulls_last()
        found = (await connection.execute(select(column).order_by(order))).scalars().all()

    assert found == (["b", "a", None, None] if descending else ["a", "b", None, None])


async def test_text_and_numbers_compare_alike(shared_database: Database) -> None:
    async with shared_database.write(dry_run=True) as connection:
        for name in ("a", "A", "á", "a "):
            await insert(connection, accounts, name=name)
        found = (await connection.execute(select(accounts.c.name).where(accounts.c.name == "a"))).scalars().all()

    assert found == ["a"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ÄÖÜ Straße", "äöü STRAße"),
        ("МОСКВА Ёлка", "москва ёЛКА"),  # noqa: RUF001  Cyrillic is meant
        ("İSTANBUL", "istanbul"),
        ("ΟΔΟΣ", "οδος"),
        ("ΟΔΟΣ", "οδοσ"),
        ("Éclair ÇÑŠŽ", "éCLAIR çñšž"),
        ("ԵՐԵՎԱՆ", "երեվան"),
    ],
)
async def test_case_is_ignored_alike_in_every_script(shared_database: Database, one: str, other: str) -> None:
    async with shared_database.read() as connection:
        in_sql = (await connection.execute(select(fold(literal(one, PlainText()))))).scalar_one()

    assert in_sql == fold_text(one) == fold_text(other)


async def test_every_letter_folds_in_sql_as_in_python(shared_database: Database) -> None:
    letters = [chr(code) for code in range(1, 0x2000) if code != 0x1C89]  # a letter younger than Python 3.11
    # Three at a time: what a letter becomes must not depend on its neighbours.
    texts = ["A".join(letters[start : start + 50]) for start in range(0, len(letters), 50)]
    async with shared_database.read() as connection:
        for sample in texts:
            folded = (await connection.execute(select(fold(literal(sample, PlainText()))))).scalar_one()
            assert folded == fold_text(sample)
            assert all(fold_text(letter) in folded for letter in sample)
        assert (await connection.execute(select(fold(literal(None, PlainText()))))).scalar_one() is None


async def test_a_sum_of_amounts_can_be_an_integer_on_both(shared_database: Database) -> None:
    async with shared_database.write(dry_run=True) as connection:
        for _ in range(2):
            await insert(connection, invoices, amount=LARGEST, amount_without_tax=LARGEST)
        # Without the cast PostgreSQL answers a Decimal.
        total = cast(func.sum(invoices.c.amount), Amount())
        found = (await connection.execute(select(total))).scalar_one()

    assert found == 2 * LARGEST
    assert type(found) is int


async def test_what_overflows_is_refused(shared_database: Database) -> None:
    with pytest.raises((DBAPIError, OverflowError)):
        async with shared_database.write() as connection:
            await insert(connection, credit_memos, amount=2**63)


async def test_sessions_speak_utc(shared_database: Database) -> None:
    moment = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    async with shared_database.write(dry_run=True) as connection:
        await insert(connection, credit_memos, posted_on=moment)
        shown = (await connection.execute(text("SELECT CAST(posted_on AS TEXT) FROM credit_memos"))).scalar_one()

    assert shown.startswith("2026-05-01")
    assert "12:00:00" in shown
