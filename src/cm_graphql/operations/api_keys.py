"""API keys: made and shown once, told apart by their hashes, taken back within seconds."""

import asyncio
import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from cm_graphql.operations.ports import Clock, new_id
from cm_graphql.operations.viewer import LOCAL, MOST_ACCOUNTS, SCOPES, Viewer
from cm_graphql.store import api_keys as store
from cm_graphql.store import tables as t
from cm_graphql.store.api_keys import ApiKey
from cm_graphql.store.database import Database
from cm_graphql.store.session import Session
from cm_graphql.store.targets import find_ids

PREFIX: Final = "cmk_"
"""How every key begins, so that scanners for leaked secrets can know one."""

FRESH_SECONDS: Final = 2.0
"""How long a key that was looked up is believed; so soon takes effect that it was taken back."""

USE_NOTED: Final = timedelta(minutes=1)
"""How exactly it is known when a key was last used."""

LONGEST_NAME: Final = 100

_MOST_KEPT = 10_000
_TOKEN = re.compile(r"cmk_([0-9a-f]{32})_[A-Za-z0-9_-]{43}", re.ASCII)
_NO_HASH = hashlib.sha256(secrets.token_bytes(32)).hexdigest()

log = structlog.get_logger("cm_graphql.operations")


class KeyRefused(Exception):
    """A key cannot be made, or found, as asked; the message says why."""


async def create(
    database: Database,
    clock: Clock,
    *,
    name: str,
    scopes: Collection[str],
    accounts: Sequence[str] | None = None,
    expires_on: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key, and answer it with its text, which nobody can show again.

    `accounts` are ids or numbers, the only ones whose documents the holder sees; None is all. Raises KeyRefused.
    """
    now = clock.now()
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
        raise KeyRefused(f"A key has a name of 1 to {LONGEST_NAME} characters, without line breaks.")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        fault = f"There is no scope {unknown[0]}" if unknown else "A key needs a scope"
        raise KeyRefused(f"{fault}: the scopes are {', '.join(SCOPES)}.")
    if expires_on is not None and expires_on <= now:
        raise KeyRefused(f"The key would have expired already, on {expires_on.isoformat()}.")
    if accounts is not None and not 0 < len(accounts) <= MOST_ACCOUNTS:
        raise KeyRefused(f"A key can be limited to 1 to {MOST_ACCOUNTS} accounts, not {len(accounts)}.")
    key_id = new_id("key")
    text = f"{PREFIX}{key_id.removeprefix('key_')}_{secrets.token_urlsafe(32)}"
    async with database.write() as connection:
        session = Session(connection, database.dialect)
        key = ApiKey(
            id=key_id,
            name=name,
            hash=_hash(text),
            scopes=frozenset(scopes),
            account_ids=None if accounts is None else await _account_ids(session, accounts),
            expires_on=expires_on,
            revoked_on=None,
            last_used_on=None,
            created_date=now,
        )
        await store.insert(session, key, LOCAL.id)
    return key, text


async def _account_ids(session: Session, keys: Sequence[str]) -> frozenset[str]:
    found = await find_ids(session, t.accounts, "acc", "number", keys)
    missing = [key for key in keys if key not in found]
    if missing:
        raise KeyRefused(f"There is no account {missing[0]}.")
    return frozenset(found.values())


async def every(database: Database) -> list[ApiKey]:
    """All keys in the order they were made, those that work no more among them."""
    async with database.read() as connection:
        return await store.every(Session(connection, database.dialect))


async def revoke(database: Database, clock: Clock, key_id: str) -> ApiKey:
    """Take a key back for good; again changes nothing. Raises KeyRefused where there is no such key."""
    async with database.write() as connection:
        session = Session(connection, database.dialect)
        await store.revoke(session, key_id, LOCAL.id, clock.now())
        key = await store.load(session, key_id)
    if key is None:
        raise KeyRefused(f"There is no key {key_id}: `cm-graphql keys list` shows their ids.")
    return key


@dataclass(slots=True)
class Believed:
    """What was made out of a text: that it is a key's, and who holds it."""

    key: ApiKey
    viewer: Viewer
    until: float
    """When the key expires, by the monotonic clock."""


class KeyRing:
    """Tells who holds an API key."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, ApiKey]] = OrderedDict()
        self._believed: OrderedDict[str, Believed] = OrderedDict()
        """By the texts of keys."""
        self._looking_up: dict[str, asyncio.Task[ApiKey | None]] = {}
        self._noted: dict[str, datetime] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def viewer(self, token: str) -> Viewer | None:
        """The holder of a key; None where it is no key, or one that has expired or was taken back."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        key = await self._key(f"key_{match[1]}")
        # Compared in any case, and in constant time, so that the time tells nothing.
        same = hmac.compare_digest(_hash(token), _NO_HASH if key is None else key.hash)
        now = self._clock.now()
        if key is None or not same:
            return None
        if key.revoked_on is not None or (key.expires_on is not None and key.expires_on <= now):
            # Somebody has it still, which its owner will want to know.
            log.warning("key_refused", key=key.id, reason="expired" if key.revoked_on is None else "revoked")
            return None
        self._note_use(key, now)
        viewer = Viewer(key.id, key.scopes, key.account_ids)
        self._believe(token, key, viewer, now)
        return viewer

    def known(self, token: str) -> Viewer | None:
        """The holder of a key that was made out since it was looked up last; None where it has to be made out."""
        believed = self._believed.get(token)
        if believed is None:
            return None
        looked_up, key = self._kept.get(believed.key.id, (0.0, None))
        now = time.monotonic()
        if key is not believed.key or now >= looked_up + FRESH_SECONDS or now >= believed.until:
            return None
        if now >= looked_up + FRESH_SECONDS / 2:
            self._begin_to_look_up(key.id)
        return believed.viewer

    def remembered(self, token: str) -> Viewer | None:
        """The holder of a key as it was when it was looked up last, for while it cannot be looked up."""
        believed = self._believed.get(token)
        _, key = (0.0, None) if believed is None else self._kept.get(believed.key.id, (0.0, None))
        if believed is None or key is None or key.hash != believed.key.hash or key.revoked_on is not None:
            return None
        return None if time.monotonic() >= believed.until else Viewer(key.id, key.scopes, key.account_ids)

    def _believe(self, token: str, key: ApiKey, viewer: Viewer, now: datetime) -> None:
        """Remember whose key it is, as long as it is not looked up again."""
        ends = math.inf if key.expires_on is None else time.monotonic() + (key.expires_on - now).total_seconds()
        self._believed.pop(token, None)
        self._believed[token] = Believed(key, viewer, ends)
        if len(self._believed) > _MOST_KEPT:
            self._believed.popitem(last=False)

    async def close(self) -> None:
        """Let go of what is still to be written down or looked up."""
        open_tasks = [*self._noting, *self._looking_up.values()]
        for task in open_tasks:
            task.cancel()
        if open_tasks:
            await asyncio.wait(open_tasks)

    async def _key(self, key_id: str) -> ApiKey | None:
        """The key of an id, as it was at most FRESH_SECONDS ago."""
        kept = self._kept.get(key_id)
        age = FRESH_SECONDS if kept is None else time.monotonic() - kept[0]
        if kept is not None and age < FRESH_SECONDS / 2:
            return kept[1]
        # Those who ask at once share an answer; a key in use is looked up again before anybody has to wait for it.
        looking_up = self._begin_to_look_up(key_id)
        if kept is not None and age < FRESH_SECONDS:
            return kept[1]
        return await asyncio.shield(looking_up)

    def _begin_to_look_up(self, key_id: str) -> "asyncio.Task[ApiKey | None]":
        looking_up = self._looking_up.get(key_id)
        if looking_up is None:
            looking_up = self._looking_up[key_id] = asyncio.get_running_loop().create_task(self._look_up(key_id))
            looking_up.add_done_callback(lambda task: self._looked_up(key_id, task))
        return looking_up

    def _looked_up(self, key_id: str, task: "asyncio.Task[ApiKey | None]") -> None:
        self._looking_up.pop(key_id, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; the next to ask tries again

    async def _look_up(self, key_id: str) -> ApiKey | None:
        asked = time.monotonic()
        async with self._database.read() as connection:
            key = await store.load(Session(connection, self._database.dialect), key_id)
        # What does not exist is not kept: anybody can make such ids up.
        self._kept.pop(key_id, None)
        if key is not None:
            self._kept[key_id] = asked, key
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return key

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        """Write down that the key was used, beside the request, which need not wait for it."""
        known = self._noted.get(key.id) or key.last_used_on
        if known is not None and now - known < USE_NOTED:
            return
        self._noted[key.id] = now
        task = asyncio.get_running_loop().create_task(self._write_use(key.id, now))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _write_use(self, key_id: str, now: datetime) -> None:
        try:
            async with self._database.write() as connection:
                await store.note_use(Session(connection, self._database.dialect), key_id, now, now - USE_NOTED)
        except Exception as error:  # the next use tells it as well
            log.warning("key_use_not_noted", key=key_id, reason=type(error).__name__)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["ApiKey", "KeyRefused", "KeyRing", "create", "every", "revoke"]
