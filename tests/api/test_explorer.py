"""GraphiQL's page and files, as a browser asks for them; what it makes of them is for the conformance tests."""

import gzip
import importlib.util
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from graphql import parse, validate
from starlette.applications import Starlette
from starlette.routing import Mount

from cm_graphql.api import explorer
from cm_graphql.api.explorer import assets
from cm_graphql.api.schema import schema
from cm_graphql.settings import Settings

URL = "http://localhost:8000/graphql"
SCRIPT = b"pretend()"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=[Mount(explorer.PATH, explorer.files)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8000") as client:
        yield client


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of GraphiQL's files."""
    monkeypatch.setattr(assets, "VENDOR", tmp_path)
    monkeypatch.setattr(explorer, "_content", explorer._content.__wrapped__)
    return tmp_path


@pytest.fixture
def filled(vendor: Path) -> Path:
    for asset in assets.ASSETS:
        (vendor / asset.name).write_bytes(SCRIPT)
    return vendor


def test_the_page_holds_no_script_and_no_style_of_its_own_and_names_no_other_host(filled: Path) -> None:
    page = explorer.page(f"{URL}?x=<script>")

    text = page.body.decode()
    assert re.findall(r"<script(?! defer src=\"graphql/explorer/)", text) == []
    assert "<style" not in text
    assert " style=" not in text
    assert "://" not in text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy


def test_a_browser_checks_each_file_of_graphiql_by_its_digest(filled: Path) -> None:
    text = explorer.page(URL).body.decode()

    for asset in assets.ASSETS:
        if asset.name.endswith((".js", ".css")):
            assert f'integrity="{asset.integrity}"' in text


def test_a_page_without_graphiql_says_what_is_missing_and_how_to_get_it(vendor: Path) -> None:
    text = explorer.page(URL).body.decode()

    assert "graphiql.js" in text
    assert "cm-graphql explorer fetch" in text
    assert f"curl {URL}" in text
    assert "<script" not in text


async def test_pinned_files_are_kept_by_browsers_and_others_asked_for_again(
    client: httpx.AsyncClient, filled: Path
) -> None:
    address = re.findall(r'src="(graphql/explorer/graphiql\.js[^"]+)"', explorer.page(URL).body.decode())[0]

    async def cached(path: str) -> str:
        answer = await client.get(path)
        assert answer.status_code == 200
        return answer.headers["cache-control"]

    assert await cached(f"/{address}") == "public, max-age=31536000, immutable"
    for other in ("graphiql.js", "graphiql.js?other", "explorer.js", "examples.json"):
        assert await cached(f"{explorer.PATH}/{other}") == "no-cache"


async def test_files_are_sent_compressed_to_those_who_read_that(client: httpx.AsyncClient, filled: Path) -> None:
    async with client.stream("GET", f"{explorer.PATH}/react.js", headers={"accept-encoding": "gzip"}) as zipped:
        raw = b"".join([part async for part in zipped.aiter_raw()])
    plain = await client.get(f"{explorer.PATH}/react.js", headers={"accept-encoding": "identity"})

    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == SCRIPT
    assert plain.content == SCRIPT
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"


async def test_nothing_else_is_served(client: httpx.AsyncClient, vendor: Path) -> None:
    for name in ("__init__.py", "vendor/react.js%00", "..%2fpage.py", "", "react.LICENSE", "react.js"):
        assert (await client.get(f"{explorer.PATH}/{name}")).status_code == 404
    assert (await client.post(f"{explorer.PATH}/explorer.js")).status_code == 405


def test_it_is_shown_where_only_this_machine_is_served_unless_set_otherwise() -> None:
    assert Settings().shows_explorer
    assert Settings(host="::1").shows_explorer
    assert not Settings(host="0.0.0.0").shows_explorer
    assert not Settings(allowed_hosts=("localhost", "billing.example")).shows_explorer
    assert not Settings(allowed_hosts=("*",)).shows_explorer
    assert Settings(host="0.0.0.0", explorer=True).shows_explorer
    assert not Settings(explorer=False).shows_explorer


@pytest.mark.parametrize("document", explorer.examples(), ids=explorer.name)
def test_each_example_is_an_operation_of_the_schema(document: str) -> None:
    assert validate(schema._schema, parse(document)) == []


def test_files_that_are_not_what_was_pinned_are_not_taken(
    vendor: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path_factory.mktemp("bin") / "npm"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=None)

    with pytest.raises(assets.FetchFailed, match="is not the file that was pinned"):
        assets.fetch(vendor)

    assert list(vendor.iterdir()) == []


def test_without_npm_the_reason_is_told(vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(vendor))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(assets.FetchFailed, match="There is no npm"):
        assets.fetch(vendor)


def test_files_are_known_by_their_content(filled: Path) -> None:
    assert assets.missing(filled) == [asset.name for asset in assets.ASSETS]
