"""The file store, as a folder and as a bucket of a real S3 server: written once, read in pieces, listed, removed."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from cm_graphql.outside.files import ObjectFiles
from postgres import free_port


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """What it takes to reach a bucket named `memos`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    httpx.put(f"{endpoint}/memos", headers={"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260315/us-east-1/s3/x"})
    yield {
        "aws_endpoint": endpoint,
        "aws_region": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectFiles:
    if request.param == "folder":
        return ObjectFiles.at(str(tmp_path / "files"))
    return ObjectFiles.at(f"s3://memos/{tmp_path.name}", request.getfixturevalue("s3"))


async def read(files: ObjectFiles, key: str) -> bytes | None:
    pieces = await files.get(key)
    return None if pieces is None else b"".join([piece async for piece in pieces])


async def test_what_is_stored_is_read_again(files: ObjectFiles) -> None:
    content = bytes(range(256)) * 8_000
    await files.put("credit-memos/cm_1/cmf_1.pdf", content)

    assert await read(files, "credit-memos/cm_1/cmf_1.pdf") == content


async def test_an_object_is_written_once(files: ObjectFiles) -> None:
    await files.put("a.pdf", b"first")
    await files.put("a.pdf", b"second")

    assert await read(files, "a.pdf") == b"first"


async def test_what_is_not_there_is_none(files: ObjectFiles) -> None:
    assert await read(files, "none.pdf") is None


async def test_everything_is_listed_and_can_be_removed_twice(files: ObjectFiles) -> None:
    for name in ("credit-memos/cm_1/a.pdf", "credit-memos/cm_2/b.pdf"):
        await files.put(name, b"x")

    listed = [found async for portion in files.all() for found in portion]
    assert sorted(found.key for found in listed) == ["credit-memos/cm_1/a.pdf", "credit-memos/cm_2/b.pdf"]
    assert all(found.stored.tzinfo is not None for found in listed)

    await files.delete([found.key for found in listed])
    await files.delete([found.key for found in listed])
    assert [found async for portion in files.all() for found in portion] == []


async def test_a_folder_is_made_with_its_first_file_only(tmp_path: Path) -> None:
    files = ObjectFiles.at(str(tmp_path / "files"))

    assert [found async for found in files.all()] == []
    assert not (tmp_path / "files").exists()


async def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    files = ObjectFiles.at(f"file://{tmp_path}/files")
    await files.put("credit-memos/cm_1/a.pdf", b"x" * 1_000_000)

    assert [found.key async for portion in files.all() for found in portion] == ["credit-memos/cm_1/a.pdf"]


@pytest.mark.parametrize("url", ["s3://", "nothing://here", "s3//memos://"])
def test_what_is_no_place_is_told(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ObjectFiles.at(url)
