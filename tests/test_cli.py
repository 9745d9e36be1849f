"""The command line and the server it starts, from a cold start where it serves."""

import contextlib
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import httpx
import pytest
import structlog
from graphql import build_client_schema, build_schema, get_introspection_query
from prometheus_client.parser import text_string_to_metric_families

from cm_graphql import cli
from cm_graphql.api.schema import schema
from programs import environment, run

READY = re.compile(r"cm-graphql is ready at (http://\S+/graphql) ")
START_SECONDS = 60.0


@contextmanager
def serving(directory: Path, *arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server on any free port; give the process and the URL it announces."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cm_graphql", *arguments, "--port", "0"],
        cwd=directory,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=(directory / "stderr.log").open("w"),
        text=True,
    )
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    assert process.stdout is not None
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            ready = READY.match(line)
            if ready:
                break
        else:
            raise AssertionError("".join(lines) + (directory / "stderr.log").read_text())
        watchdog.cancel()
        yield process, ready[1]
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(30)
        process.stdout.close()


class Command(Protocol):
    """Runs the command line in this process: gives its exit status and what it wrote to standard error."""

    def __call__(self, *arguments: str, **settings: str) -> tuple[int, str]: ...


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command line without a process: loading everything for each refusal would take seconds."""
    handlers, level = logging.root.handlers[:], logging.root.level

    def run_here(*arguments: str, **settings: str) -> tuple[int, str]:
        monkeypatch.setattr(os, "environ", environment(**settings))
        monkeypatch.setattr(sys, "argv", ["cm-graphql", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    yield run_here
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()


def set_revision(file: Path, revision: str) -> None:
    """Make a database say that it is at another revision."""
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the tests that only ask it something."""
    directory = tmp_path_factory.mktemp("serving")
    with serving(directory, "serve") as (_, url):
        assert (directory / "cm-graphql.db").exists()  # the default database, made and migrated
        yield url


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["serve", "--host", "0.0.0.0"], {}, "no authentication is configured"),
        (["serve", "--host", "::"], {}, "no authentication is configured"),
        (["serve"], {"host": "203.0.113.5"}, "no authentication is configured"),
        (["serve", "--host", "no.such.host.invalid"], {}, "There is no address 'no.such.host.invalid'"),
        (["serve", "--workers", "2"], {}, "2 workers need PostgreSQL"),
        (["serve"], {"embedded_worker": "false"}, "nobody else does jobs upon SQLite"),
        (["serve"], {"link_secret": "short"}, "value should have at least 16 characters, not 5."),
        (
            ["serve"],
            {"allowed_origins": "localhost:3000"},
            "is ('localhost:3000',): each has to be a scheme and a host",
        ),
        (["serve", "--database-url", "mysql://h/d"], {}, "begins with mysql://: only postgresql:// and sqlite:///"),
        (["serve", "--database-url", "nonsense"], {}, "The database URL is malformed"),
        (["serve", "--database-url", "sqlite://"], {}, "name a file"),
        (["serve", "--database-url", "sqlite:///no/such/folder/x.db"], {}, "unable to open database file"),
        (["serve", "--database-url", "sqlite:///text.db"], {}, "file is not a database"),
        (
            ["migrate"],
            {"database_url": "postgresql://u:hunter2@127.0.0.1:1/x"},
            "u:***@127.0.0.1:1/x cannot be reached",
        ),
        (["serve"], {"port": "abc"}, "CM_GRAPHQL_PORT is 'abc'"),
        (["migrate"], {"databse_url": "x"}, "did you mean CM_GRAPHQL_DATABASE_URL?"),
        (["seed", "--memos", "0"], {}, "--memos is 0"),
        (["schema", "export", "--check"], {}, "schema.graphql is not the schema any more"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    here: Path, command: Command, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    (here / "text.db").write_text("This is no database, however often it is opened.")
    status, complaint = command(*arguments, **settings)

    assert status == 2
    assert complaint.startswith("cm-graphql: ")
    assert said in complaint
    assert len(complaint.splitlines()) == 1
    assert "hunter2" not in complaint


def test_a_refusal_is_no_traceback_for_the_shell_either(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", "--host", "0.0.0.0")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named_with_what_to_do(here: Path, command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, complaint = command("serve", "--port", str(port))

    assert status == 2
    assert f"port {port}, address already in use" in complaint
    assert "--port 0" in complaint


def test_a_database_of_a_later_version_is_left_alone(here: Path, command: Command) -> None:
    assert command("migrate")[0] == 0
    set_revision(here / "cm-graphql.db", "9999")
    status, complaint = command("serve")

    assert status == 2
    assert "was made by another version of cm-graphql" in complaint


def test_the_announced_address_answers(url: str) -> None:
    answer = httpx.post(url, json={"query": "{ __typename }"})

    assert answer.json() == {"data": {"__typename": "Query"}}
    assert "server" not in answer.headers


def test_the_probes_answer(url: str) -> None:
    base = url.removesuffix("/graphql")

    assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{base}/readyz").json() == {"status": "ready"}
    # Probes come under names of their own; anybody else under a strange name does not get in.
    assert httpx.get(f"{base}/healthz", headers={"host": "10.0.0.7"}).status_code == 200
    assert httpx.post(url, json={"query": "{ __typename }"}, headers={"host": "evil.example"}).status_code == 421


def test_the_root_leads_to_the_endpoint(url: str) -> None:
    answer = httpx.get(url.removesuffix("graphql"), headers={"accept": "text/html"}, follow_redirects=True)

    assert (answer.status_code, str(answer.url)) == (200, url)
    assert answer.text.lower().startswith("<!doctype html>")


def test_a_server_without_its_schema_is_alive_but_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path, "serve") as (_, url):
        base = url.removesuffix("/graphql")
        set_revision(tmp_path / "cm-graphql.db", "0001")

        assert httpx.get(f"{base}/healthz").status_code == 200
        answer = httpx.get(f"{base}/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "the database has another schema")


def test_the_whole_introspection_query_is_answered_within_the_default_limits(url: str) -> None:
    query = get_introspection_query(
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        one_of=True,
    )
    answer = httpx.post(url, json={"query": query}, timeout=30).json()

    assert "errors" not in answer
    assert build_client_schema(answer["data"]).type_map.keys() == schema._schema.type_map.keys()


def test_a_request_that_runs_while_the_server_is_told_to_stop_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path, "serve") as (process, url):
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0)) as connection:
            body = b'{"query": "{ __typename }"}'
            head = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body[:5])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(body[5:])
            connection.settimeout(10)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        assert b'{"data":{"__typename":"Query"}}' in answer
        assert process.wait(15) in (0, -signal.SIGTERM)


def test_several_workers_serve_a_postgresql_database(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        return  # refused, as another test shows
    with serving(tmp_path, "serve", "--workers", "2", "--database-url", database_url, metrics="true") as (_, url):
        answers = [httpx.post(url, json={"query": "{ __typename }"}).status_code for _ in range(10)]
        garbled = [said(url, b"nonsense\r\n\r\n") for _ in range(3)]
        counted = of_all_workers(url, 2)

    assert answers == [200] * 10
    assert garbled == [b"HTTP/1.1 400 Bad Request"] * 3
    # Each worker counts for itself, under its own label: what they tell adds up to what was asked.
    assert counted["cm_graphql_requests_total", "graphql", "200"] == 10
    assert counted["cm_graphql_requests_unread_total", "400"] == 3


def test_workers_end_with_the_process_that_started_them(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        return  # has one process
    with serving(tmp_path, "serve", "--workers", "2", "--database-url", database_url) as (process, url):
        process.kill()
        process.wait()
        for _ in range(100):
            try:
                said(url, b"nonsense\r\n\r\n")
            except OSError:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("a worker goes on answering")


def test_several_workers_stop_at_once_although_somebody_watches(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        return  # refused, as another test shows
    watched = {"query": "subscription { creditMemoChanged { event { action } } }"}
    accepted = {"accept": "text/event-stream"}
    with serving(tmp_path, "serve", "--workers", "2", "--database-url", database_url) as (process, url):
        with contextlib.ExitStack() as streams:
            # So many that each of the two has some.
            told = [
                streams.enter_context(httpx.stream("POST", url, json=watched, headers=accepted)).iter_bytes()
                for _ in range(8)
            ]
            assert {next(stream) for stream in told} == {b":\n\n"}
            began = time.monotonic()

            process.terminate()

            assert [b"".join(stream) for stream in told] == [b""] * 8, "each ends, and none was cut off"
        process.wait(30)
        assert time.monotonic() - began < 6, "well before the patience with requests ends"
    log = (tmp_path / "stderr.log").read_text()
    assert "Traceback" not in log, log
    assert "Cancel " not in log, log


def said(url: str, sent: bytes) -> bytes:
    """The first line of what comes back."""
    with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=10) as connection:
        connection.sendall(sent)
        return connection.makefile("rb").readline().strip()


def of_all_workers(url: str, workers: int) -> Counter[tuple[str, ...]]:
    """Sums of what each worker has told of itself, as whichever takes the connection answers."""
    told: dict[str, Counter[tuple[str, ...]]] = {}
    for _ in range(200):
        one: Counter[tuple[str, ...]] = Counter()
        process = ""
        for family in text_string_to_metric_families(httpx.get(url.replace("/graphql", "/metrics")).text):
            for sample in family.samples:
                process = sample.labels.get("process", process)
                labels = (value for name, value in sorted(sample.labels.items()) if name != "process")
                one[sample.name, *labels] = int(sample.value)
        told[process] = one
        if len(told) == workers:
            break
    assert len(told) == workers, "every worker is seen sooner or later"
    return sum(told.values(), Counter())


def test_the_schema_is_printed_written_and_checked(tmp_path: Path) -> None:
    printed = run(tmp_path, "schema", "export")
    assert build_schema(printed.stdout).type_map.keys() >= {"Query", "CreditMemo"}

    assert run(tmp_path, "schema", "export", "--output", "schema.graphql").stdout == ""
    assert (tmp_path / "schema.graphql").read_text(encoding="utf-8") == printed.stdout
    assert run(tmp_path, "schema", "export", "--check").returncode == 0

    (tmp_path / "schema.graphql").write_text("type Query { a: Int }\n")
    assert run(tmp_path, "schema", "export", "--check").returncode == 2


def test_the_schema_is_printed_as_introspection_too(tmp_path: Path) -> None:
    printed = json.loads(run(tmp_path, "schema", "export", "--format", "json").stdout)

    assert build_client_schema(printed).type_map.keys() == schema._schema.type_map.keys()


def mark(database: Path) -> None:
    """Leave something in a database by which it is known again."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE marked (here INTEGER)")


def is_marked(database: Path) -> bool:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'marked'").fetchall())


def test_a_query_is_explained(tmp_path: Path) -> None:
    (tmp_path / "query.graphql").write_text("query ($n: Int) { accounts(first: $n) { nodes { name } } }")

    explained = run(tmp_path, "explain", "query.graphql", "--variables", '{"n": 3}', "--dialect", "postgresql")
    refused = run(tmp_path, "explain", "query.graphql", "--variables", "n=3")
    nothing = run(tmp_path, "explain", "-")

    assert "accounts: Account" in explained.stdout
    assert "ORDER BY accounts.number ASC" in explained.stdout
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "Unexpected <EOF>" in nothing.stderr, "standard input is read, and empty"


def test_sample_data_is_made_and_served_and_kept(tmp_path: Path) -> None:
    question = {"query": "{ creditMemos { totalCount } }"}
    with serving(tmp_path, "demo") as (_, url):
        first = httpx.post(url, json=question).json()["data"]["creditMemos"]["totalCount"]
    mark(tmp_path / "demo.db")
    with serving(tmp_path, "demo") as (_, url):
        second = httpx.post(url, json=question).json()["data"]["creditMemos"]["totalCount"]
        refused = run(tmp_path, "demo", "--fresh", "--port", "0")
    assert is_marked(tmp_path / "demo.db")
    assert (refused.returncode, refused.stderr) == (
        2,
        "cm-graphql: demo.db is in use by another server: stop that first.\n",
    )
    with serving(tmp_path, "demo", "--fresh"):
        assert not is_marked(tmp_path / "demo.db")

    assert first == second > 0


def test_seeding_makes_as_many_memos_as_asked_for(tmp_path: Path) -> None:
    ended = run(tmp_path, "seed", "--memos", "30", "--seed", "7", "--lean")
    assert ended.returncode == 0, ended.stderr

    with serving(tmp_path, "serve") as (_, url):
        answer = httpx.post(url, json={"query": "{ creditMemos { totalCount } }"}).json()
    assert answer["data"]["creditMemos"]["totalCount"] == 30
