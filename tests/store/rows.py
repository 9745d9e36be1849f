"""Rows for tests of the store: whoever inserts one says only what the test is about, the rest is filled in."""

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Boolean, Column, Date, Integer, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.store.tables import metadata
from cm_graphql.store.types import Amount, EnumText, JsonText, Scaled, Timestamp

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, UTC)
TODAY = date(2026, 5, 1)

NEEDED: dict[str, dict[str, Any]] = {
    "credit_memo_item_parts": {"amount": 1, "credit_memo_item_id": "PARENT"},
    "credit_memo_applications": {"kind": "REFUND"},
    "credit_memo_application_items": {"amount": 1, "credit_memo_item_id": "cmi_1"},
    "refunds": {"amount": 1, "credit_memo_id": "cm_1"},
    "refund_parts": {"amount": 1},
    "refund_item_parts": {"amount": 1},
    "settings": {"id": 2},
}
"""What a table's constraints ask for beside its NOT NULL columns; PARENT is a new row of the table referred to."""


async def insert(connection: AsyncConnection, table: Table, **values: Any) -> dict[str, Any]:
    """Insert a row, with new parents where it needs some, and answer it as the database has it."""
    row = NEEDED.get(table.name, {}) | values
    for column in table.columns:
        if row.get(column.name) == "PARENT" or (column.name not in row and _is_needed(column)):
            row[column.name] = await _fill(connection, column)
    inserted = await connection.execute(table.insert().values(row).returning(*table.columns))
    return dict(inserted.one()._mapping)


def _is_needed(column: Column[Any]) -> bool:
    return not column.nullable and column.server_default is None


async def _fill(connection: AsyncConnection, column: Column[Any]) -> Any:
    for key in column.foreign_keys:
        parent = metadata.tables[key.target_fullname.split(".")[0]]
        return (await insert(connection, parent))["id"]
    match column.type:
        case EnumText():
            return next(iter(column.type.vocabulary))
        case Timestamp():
            return NOW
        case Date():
            return TODAY
        case Scaled():
            return Decimal(1)
        case Amount() | Integer():
            return 1
        case Boolean():
            return False
        case JsonText():
            return {}
    return "USD" if column.name == "currency" else uuid.uuid4().hex
