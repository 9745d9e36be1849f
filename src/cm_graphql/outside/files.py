"""The file store: a folder, or a bucket of S3 and its like, whose objects are written once."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cm_graphql.operations.document_ports import FilesAway, StoredObject

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# obstore is imported where it is used: a worker that has no file to do with saves 4 MB.

PIECE: Final = 256 * 1024
"""Bytes of a file that are held at once while it is read."""
PORTION: Final = 500
"""Objects that are listed at once."""

_HALF = re.compile(r"\.pdf#[0-9]+$")


class ObjectFiles:
    """Files in an object store."""

    def __init__(self, store: "ObjectStore | Path") -> None:
        """Take a store, or a folder that is made with the first file."""
        self._given = store

    @cached_property
    def _store(self) -> "ObjectStore":
        if isinstance(self._given, Path):
            from obstore.store import LocalStore

            return LocalStore(self._given.absolute(), mkdir=True)
        return self._given

    @classmethod
    def at(cls, url: str, options: Mapping[str, str] | None = None) -> "ObjectFiles":
        """Open a folder, by its path or as `file:///...`, or a bucket such as `s3://bucket/prefix`.

        `options` are the store's, by the names that its own environment variables have, such as `aws_region`; without
        them those variables are read. Raises ValueError for what is no such place.
        """
        if "://" not in url or url.startswith("file://"):
            return cls(Path(url.removeprefix("file://")))
        from obstore.store import from_url

        try:
            store: Any = from_url(url, config=dict(options or {}), client_options=_client_options(options))  # type: ignore[call-overload] # its overloads want literal names
        except Exception as error:  # it has one class of errors per kind of store
            raise ValueError(str(error).partition("\n")[0]) from None
        return cls(store)

    async def put(self, key: str, content: bytes) -> None:
        """Store content; where the key is there already, with the same content, do nothing."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            await obstore.put_async(self._store, key, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return  # keys name their content
        except BaseError as error:
            raise FilesAway(str(error).partition("\n")[0]) from error

    async def get(self, key: str) -> AsyncIterator[bytes] | None:
        """The content, piece by piece; None where there is none."""
        import obstore
        from obstore.exceptions import BaseError, NotFoundError

        try:
            found = await obstore.get_async(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise FilesAway(str(error).partition("\n")[0]) from error
        return _pieces(found)

    async def all(self) -> AsyncIterator[Sequence[StoredObject]]:
        """Everything that is kept, in portions."""
        if isinstance(self._given, Path) and not self._given.exists():
            return
        import obstore

        async for portion in obstore.list(self._store, chunk_size=PORTION):
            yield [StoredObject(entry["path"], entry["last_modified"]) for entry in portion]
        if isinstance(self._given, Path):
            yield await asyncio.to_thread(_half_written, self._given)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are gone already do not matter."""
        import obstore
        from obstore.exceptions import NotFoundError

        for key in keys:
            if isinstance(self._given, Path) and _HALF.search(key):
                (self._given / key).unlink(missing_ok=True)
                continue
            try:
                await obstore.delete_async(self._store, key)
            except (NotFoundError, FileNotFoundError):
                continue


def _half_written(folder: Path) -> list[StoredObject]:
    """What a process was writing into a folder when it was killed, under names that the store does not show."""
    found = []
    for path in folder.rglob("*#*"):
        with suppress(FileNotFoundError):  # written to its end in the meantime
            stored = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if _HALF.search(path.name) and path.is_file():
                found.append(StoredObject(path.relative_to(folder).as_posix(), stored))
    return found


async def _pieces(found: Any) -> AsyncIterator[bytes]:
    async for piece in found.stream(min_chunk_size=PIECE):
        yield bytes(piece)


def _client_options(options: Mapping[str, str] | None) -> dict[str, Any]:
    """A store behind plain HTTP, as in tests, has to be asked for by name."""
    endpoint = (options or {}).get("aws_endpoint", "")
    return {"allow_http": True} if endpoint.startswith("http://") else {}
