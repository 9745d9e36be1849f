"""API keys as rows: who may call, known by the hash of a secret that is kept nowhere."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update

from cm_graphql.store import tables as t
from cm_graphql.store.session import Session


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it is stored."""

    id: str
    name: str
    hash: str
    """The SHA-256 of the whole key, in hex."""
    scopes: frozenset[str]
    account_ids: frozenset[str] | None
    """The only accounts whose documents the key's holder sees; None: all."""
    expires_on: datetime | None
    revoked_on: datetime | None
    last_used_on: datetime | None
    created_date: datetime


async def insert(session: Session, key: ApiKey, by: str) -> None:
    """Keep a new key."""
    values: dict[str, Any] = {
        "id": key.id,
        "name": key.name,
        "hash": key.hash,
        "scopes": sorted(key.scopes),
        "account_ids": None if key.account_ids is None else sorted(key.account_ids),
        "expires_on": key.expires_on,
    }
    made = {"created_by_id": by, "created_date": key.created_date}
    changed = {"updated_by_id": by, "updated_date": key.created_date}
    await session.execute(t.api_keys.insert().values(**values, **made, **changed))


async def load(session: Session, key_id: str) -> ApiKey | None:
    """The key of an id."""
    row = await session.first(select(t.api_keys).where(t.api_keys.c.id == key_id))
    return None if row is None else _read(row)


async def every(session: Session) -> list[ApiKey]:
    """All keys in the order they were made, those that work no more among them."""
    keys = t.api_keys
    return [_read(row) for row in await session.rows(select(keys).order_by(keys.c.created_date, keys.c.id))]


async def revoke(session: Session, key_id: str, by: str, at: datetime) -> None:
    """Take a key back; the moment of the first time stays."""
    keys = t.api_keys
    taken_back = {"revoked_on": at, "updated_by_id": by, "updated_date": at}
    await session.execute(update(keys).where(keys.c.id == key_id, keys.c.revoked_on.is_(None)).values(**taken_back))


async def note_use(session: Session, key_id: str, at: datetime, unless_since: datetime) -> None:
    """Write down that a key was used, unless that was written since a moment."""
    used = t.api_keys.c.last_used_on
    stale = or_(used.is_(None), used < unless_since)
    await session.execute(update(t.api_keys).where(t.api_keys.c.id == key_id, stale).values(last_used_on=at))


def _read(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        hash=row.hash,
        scopes=frozenset(row.scopes),
        account_ids=None if row.account_ids is None else frozenset(row.account_ids),
        expires_on=row.expires_on,
        revoked_on=row.revoked_on,
        last_used_on=row.last_used_on,
        created_date=row.created_date,
    )
