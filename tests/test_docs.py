"""The documentation is true: its examples answer what it says, and nothing that clients can use goes unexplained."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import GraphQLObjectType, OperationDefinitionNode, OperationType, parse, print_ast, validate
from pydantic import SecretStr

from cm_graphql.api import explorer
from cm_graphql.api.error_codes import ERROR_CODES
from cm_graphql.api.errors import Code
from cm_graphql.api.schema import schema
from cm_graphql.app import create_app
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.rulebook import TenantSettings
from cm_graphql.seeding import demo
from cm_graphql.settings import Settings, variable
from cm_graphql.store import migrations
from cm_graphql.store.database import Database
from conformance import catalogue
from documentation import (
    DOCS,
    ROOT,
    WRITING,
    blocks,
    examples,
    fields,
    name_of,
    pages,
    pretty,
    rows,
    settled,
    table,
    with_table,
)

TODAY = date(2026, 3, 31)
"""The day on which the examples are run; `cm-graphql demo` has the same data, and the real day."""

EVENT = re.compile(r"^data: (.+)$", re.M)
RUNNING = "SELECT count(*) FROM credit_memo_jobs WHERE status IN ('PENDING', 'PROCESSING')"

SYMBOL = re.compile(r"^\| `([A-Z_]+)`", re.M)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the tour's data."""
    file = tmp_path_factory.mktemp("docs") / "demo.db"
    asyncio.run(_fill(f"sqlite:///{file}"))
    return file


async def _fill(url: str) -> None:
    await migrations.upgrade(url)
    database = Database.open(url)
    await demo(database)
    await database.dispose()


@pytest.fixture
def copied(sample: Path, tmp_path: Path) -> Path:
    """A copy of the sample data, as it is before anybody touched it, in a folder of its own."""
    file = tmp_path / "demo.db"
    file.write_bytes(sample.read_bytes())
    return file


Ask = Callable[[str], Awaitable[Any]]


@asynccontextmanager
async def asking(file: Path) -> AsyncIterator[Ask]:
    """Serve a database, and give what asks it; each answer comes when the jobs of the request before have ended."""
    url, folder = SecretStr(f"sqlite:///{file}"), file.parent
    app = create_app(
        Settings(database_url=url, today=TODAY, files_url=str(folder / "files"), mail_folder=folder / "mail")
    )
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:

        async def ask(body: str) -> Any:
            await _idle(file)
            watching = json.loads(body)["query"].startswith("subscription")
            headers = {"content-type": "application/json", **({"accept": "text/event-stream"} if watching else {})}
            answer = await client.post("http://localhost/graphql", content=body, headers=headers)
            return [json.loads(data) for data in EVENT.findall(answer.text)] if watching else answer.json()

        yield ask


async def _idle(file: Path) -> None:
    """Wait until no job runs."""
    with closing(sqlite3.connect(file)) as connection:
        async with asyncio.timeout(30):
            while connection.execute(RUNNING).fetchone() != (0,):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.02)


def with_examples() -> list[Path]:
    return [page for page in pages() if 'graphql title="Request"' in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", with_examples(), ids=name_of)
def test_the_examples_of_a_page_answer_what_it_says_one_after_the_other(page: Path, copied: Path) -> None:
    text = page.read_text(encoding="utf-8")

    answered = asyncio.run(run(text, copied))

    if WRITING:
        page.write_text(answered, encoding="utf-8")
    assert answered == text or WRITING


async def run(text: str, file: Path) -> str:
    """Give the page with the answers that its examples have when they run upon a database."""
    written, end = "", 0
    aliases: dict[str, str] = {}

    async with asking(file) as ask:
        for example in examples(text):
            body = json.dumps({"query": example.document, "variables": example.variables})
            for shown, actual in aliases.items():
                body = body.replace(shown, actual)
            answered = settled(await ask(body), json.loads(example.answer.text), aliases)
            written += text[end : example.answer.start] + pretty(answered) + "\n"
            end = example.answer.end
    return written + text[end:]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_document_on_a_page_fits_the_schema(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "graphql":
            assert validate(schema._schema, parse(block.text)) == [], block.text


def test_every_page_is_in_the_navigation() -> None:
    nav = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")

    missing = [name_of(page) for page in pages() if page.parent.name != "decisions" and name_of(page) not in nav]

    assert missing == []


def test_every_field_that_clients_can_ask_for_has_a_page() -> None:
    root = schema._schema
    assert root.query_type is not None
    assert root.mutation_type is not None
    assert root.subscription_type is not None
    known = {*root.query_type.fields, *root.mutation_type.fields, *root.subscription_type.fields}
    explained = {field for page in pages("operations") for field in fields(page.read_text(encoding="utf-8"))}

    assert explained == known


def test_pages_name_only_symbols_that_exist() -> None:
    symbols = {*ErrorCode, *Code}

    for page in pages("operations"):
        unknown = set(SYMBOL.findall(page.read_text(encoding="utf-8"))) - symbols
        assert not unknown, name_of(page)


def error_codes() -> str:
    return rows("`code`", "meaning", body=[(f"`{code}`", ERROR_CODES[code]) for code in ErrorCode])


def settings() -> str:
    body = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        shown = (
            ",".join(shown) if isinstance(shown, tuple) else str(shown).lower() if isinstance(shown, bool) else shown
        )
        body.append((f"`{variable(name)}`", "" if shown is None else f"`{shown}`", field.description or ""))
    return rows("variable", "unless set", "meaning", body=body)


def tenant_settings() -> str:
    served = schema._schema.type_map["Settings"]
    assert isinstance(served, GraphQLObjectType)
    defaults = TenantSettings()
    body = []
    for name, field in served.fields.items():
        default = getattr(defaults, re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name), None)
        if default is None:
            continue  # who changed them last is no setting
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        body.append((f"`{name}`", f"`{shown}`", field.description or ""))
    return rows("setting", "unless set", "meaning", body=body)


TABLES = [("errors.md", "error_codes", error_codes), ("settings.md", "settings", settings)]
TABLES += [("settings.md", "tenant_settings", tenant_settings), ("conformance.md", "suites", catalogue.table)]


@pytest.mark.parametrize(("page", "name", "write"), TABLES, ids=lambda given: given if isinstance(given, str) else "")
def test_a_table_says_what_the_code_says(page: str, name: str, write: Callable[[], str]) -> None:
    file = DOCS / page
    text = file.read_text(encoding="utf-8")

    if WRITING:
        file.write_text(with_table(text, name, write()), encoding="utf-8")
    else:
        assert table(text, name) == write()


def test_every_suite_and_every_package_is_in_the_table_of_what_is_proved() -> None:
    assert catalogue.unlisted() == set()


def test_the_threat_model_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))

    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_error_of_a_request_is_explained() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")

    assert {*Code, *ErrorCode} <= set(SYMBOL.findall(text))


@pytest.mark.parametrize("document", explorer.examples(), ids=explorer.name)
def test_the_operations_of_a_tab_of_the_explorer_succeed_one_after_the_other(document: str, copied: Path) -> None:
    asyncio.run(try_all(document, copied))


async def try_all(document: str, file: Path) -> None:
    """Run the operations of a document in order; an id that one needs is taken from the answer before."""
    before = ""
    async with asking(file) as ask:
        for operation in parse(document).definitions:
            assert isinstance(operation, OperationDefinitionNode)
            assert operation.name is not None
            name = operation.name.value
            if operation.operation is OperationType.SUBSCRIPTION:
                continue  # it would never end; the browser tests watch it
            if ": Upload!" in print_ast(operation):
                continue  # a person chooses the file; so do the browser tests
            body: dict[str, object] = {"query": document, "operationName": name}
            if "$item: ID!)" in print_ast(operation):
                body["variables"] = {"item": re.findall(r"cmi_\w+", before)[0]}
            before = json.dumps(await ask(json.dumps(body)))
            assert '"errors"' not in before, before
            codes = re.findall(r'"userErrors": \[{"code": "([A-Z_]+)"', before)
            assert codes == (["ACCOUNT_NOT_FOUND"] if name == "CreationMany" else []), before
