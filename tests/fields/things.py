"""A type with a column of every kind, with and without null, in boxes: what fields are tried on."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import strawberry
from sqlalchemy import Boolean, Column, Date, ForeignKey, Integer, MetaData, Table, type_coerce
from strawberry.schema.config import StrawberryConfig

from cm_graphql.fields.declare import PREFIXES, Node, Order, column, derived, many, node, one
from cm_graphql.fields.resolve import connection
from cm_graphql.fields.scalars import SCALARS
from cm_graphql.store.database import Database
from cm_graphql.store.types import Amount, EnumText, Id, JsonText, PlainText, Scaled, Timestamp


@strawberry.enum(description="A colour.")
class Colour(StrEnum):
    RED = "RED"
    GREEN = "GREEN"
    BLUE = "BLUE"


metadata = MetaData()

boxes = Table("boxes", metadata, Column("id", Id, primary_key=True), Column("name", PlainText, nullable=False))

things = Table(
    "things",
    metadata,
    Column("id", Id, primary_key=True),
    Column("box_id", Id, ForeignKey("boxes.id"), nullable=False),
    Column("spare_box_id", Id, ForeignKey("boxes.id")),
    Column("elsewhere_id", Id),
    Column("currency", PlainText, nullable=False),
    Column("word", PlainText),
    Column("name", PlainText, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("fee", Amount),
    Column("rate", Scaled),
    Column("moment", Timestamp),
    Column("day", Date),
    Column("flag", Boolean),
    Column("rank", Integer),
    Column("colour", EnumText(Colour)),
    Column("notes", JsonText),
)

FIELDS = (
    "id",
    "box_id",
    "spare_box_id",
    "elsewhere_id",
    "word",
    "name",
    "amount",
    "fee",
    "rate",
    "moment",
    "day",
    "flag",
    "rank",
    "colour",
)

NO_NULLS = ("id", "box_id", "name", "amount")


@node(
    "thg",
    things,
    description="A thing.",
    filters=(*FIELDS, "box_name", "spare_box_name"),
    sorts=FIELDS,
    search=(things.c.word, things.c.name),
    owner=lambda table: table.c.box_id,
)
class Thing(Node):
    """A thing."""

    box_id = column("The box.")
    box = one("Box", "The box.")
    spare_box_id = column("Another box.")
    spare_box = one("Box", "Another box.")
    box_name = column("The name of the box.", of=boxes.c.name, via="box_id")
    spare_box_name = column("The name of the other box.", of=boxes.c.name, via="spare_box_id")
    elsewhere_id = column("Of another system.")
    elsewhere = one("Node", "Of another system.")
    currency = column("The currency.")
    word = column("A word.")
    name = column("A name.")
    amount = column("Money.")
    fee = column("Money, perhaps.")
    rate = column("A rate.")
    moment = column("A moment.")
    day = column("A day.")
    flag = column("A flag.")
    rank = column("A rank.")
    colour = column("A colour.")
    notes = column("Anything.")
    twice = derived("Twice the amount.", lambda table: type_coerce(table.c.amount + table.c.amount, Amount))


@node("box", boxes, description="A box.", filters=("id", "name"), sorts=("name",), owner=lambda table: table.c.id)
class Box(Node):
    """A box."""

    name = column("The name.")
    things = many("Thing", "What lies in it.", by="box_id")
    red_things = many("Thing", "What is red in it.", by="box_id", where=lambda table: table.c.colour == Colour.RED)
    best = many("Thing", "The first few.", by="box_id", page=2, most=3, filtered=False)


@strawberry.type
class Query:
    things = connection("Thing", "All things.")
    boxes = connection("Box", "All boxes.")


schema = strawberry.Schema(query=Query, types=[Thing, Box], config=StrawberryConfig(scalar_map=dict(SCALARS)))

# The product's schema is made of all known types, and these are none of it.
for prefix in ("thg", "box"):
    PREFIXES.pop(prefix)

ORDERS = [Order(name, descending) for name in FIELDS for descending in (False, True)]

WORDS = (
    "",
    "a",
    "A",
    "b",
    "ab",
    "Z",
    "z",
    "%",
    "_",
    "a_b",
    "a%b",
    "\\",
    "ä",
    "Ä",
    "ß",
    "Straße",
    "STRASSE",
    "İstanbul",
    "istanbul",
    "ΣΊΣΥΦΟΣ",
    "σίσυφος",
    "\uffee",
    "\U0001f600",
    "two\nlines",
    "'; DROP TABLE things; --",
)
AMOUNTS = (0, 1, -1, 100, 9_999, 10_000, 125_000, 125_001, -125_000, 10**16, -(10**16), 10**17 - 1)
RATES = ("0", "0.000000001", "-0.000000001", "0.0625", "1", "-1", "999999999.999999999", "-999999999.999999999", "7.25")
MOMENTS = (
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 3, 15, 9, 30, tzinfo=UTC),
    datetime(2026, 3, 15, 9, 30, 0, 1, tzinfo=UTC),
    datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
)
DAYS = (date(1, 1, 1), date(2024, 2, 29), date(2026, 3, 14), date(2026, 3, 15), date(9999, 12, 31))
RANKS = (0, 1, -1, 7, 2**31 - 1, -(2**31))


def box_ids(count: int) -> list[str]:
    """Ids of boxes."""
    return [f"box_{number:032x}" for number in range(1, count + 1)]


def some_things(count: int, *, boxes: int = 5, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Things that are often alike and often without a value, always the same ones for a seed."""
    chance = random.Random(seed)
    homes = box_ids(boxes)

    def perhaps(values: Any) -> Any:
        return None if chance.random() < 0.25 else chance.choice(values)

    for number in range(count):
        yield {
            "id": f"thg_{chance.getrandbits(64):016x}{number:016x}",
            "box_id": chance.choice(homes),
            "spare_box_id": perhaps(homes),
            "elsewhere_id": perhaps(("sub_1", "thing", f"zzz_{1:032x}", f"{2:032x}")),
            "currency": chance.choice(("USD", "JPY", "KWD")),
            "word": perhaps(WORDS),
            "name": chance.choice(WORDS),
            "amount": chance.choice(AMOUNTS),
            "fee": perhaps(AMOUNTS),
            "rate": perhaps([Decimal(rate) for rate in RATES]),
            "moment": perhaps(MOMENTS),
            "day": perhaps(DAYS),
            "flag": perhaps((True, False)),
            "rank": perhaps(RANKS),
            "colour": perhaps(tuple(Colour)),
            "notes": perhaps(({"b": 1, "a": [None, "ü"]}, [], "text")),
        }


async def fill(database: Database, count: int, *, boxes_count: int = 5, seed: int = 1) -> None:
    """Make the tables and put things into boxes."""
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
        names = [{"id": key, "name": f"Box {number}"} for number, key in enumerate(box_ids(boxes_count))]
        await connection.execute(boxes.insert(), names)
        await connection.execute(things.insert(), list(some_things(count, boxes=boxes_count, seed=seed)))
