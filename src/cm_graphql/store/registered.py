"""Registered documents as rows: what clients were built with, by the ids they call it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select

from cm_graphql.store import tables as t
from cm_graphql.store.session import Session


@dataclass(frozen=True, kw_only=True)
class RegisteredDocument:
    """A document as it is stored."""

    id: str
    """What its client calls it: the hash that its tool made, or a name."""
    hash: str
    """The SHA-256 of the text, in hex."""
    text: str
    created_date: datetime


async def insert(session: Session, documents: Sequence[RegisteredDocument], by: str) -> None:
    """Keep new documents."""
    rows = [
        {"id": one.id, "hash": one.hash, "text": one.text, "created_by_id": by, "created_date": one.created_date}
        for one in documents
    ]
    if rows:
        await session.execute(t.registered_documents.insert(), rows)


async def find(session: Session, key: str) -> RegisteredDocument | None:
    """The document of an id, or whose text has this hash."""
    found = t.registered_documents
    # Documents of the same hash are the same text, whatever their ids.
    row = await session.first(select(found).where(or_(found.c.id == key, found.c.hash == key)).limit(1))
    return None if row is None else _read(row)


async def every(session: Session) -> list[RegisteredDocument]:
    """All documents, in the order of their ids."""
    return [_read(row) for row in await session.rows(select(t.registered_documents).order_by("id"))]


async def remove(session: Session, ids: Sequence[str]) -> None:
    """Forget documents."""
    for id in ids:
        await session.execute(delete(t.registered_documents).where(t.registered_documents.c.id == id))


def _read(row: Any) -> RegisteredDocument:
    return RegisteredDocument(id=row.id, hash=row.hash, text=row.text, created_date=row.created_date)
