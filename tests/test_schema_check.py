"""`cm-graphql schema check`, as a pipeline calls it."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from graphql import build_schema, graphql_sync

from cm_graphql import cli
from cm_graphql.api.schema import schema
from cm_graphql.settings import Complaint

OLD = "type Query { a: Int  b: Int }"
NEW = "type Query { a: Int  c: E }  enum E { X }"


@pytest.fixture
def old(tmp_path: Path) -> str:
    file = tmp_path / "old.graphql"
    file.write_text(OLD)
    return str(file)


@pytest.fixture
def new(tmp_path: Path) -> str:
    file = tmp_path / "new.graphql"
    file.write_text(NEW)
    return str(file)


class Speaker(BaseHTTPRequestHandler):
    """Tells the new schema to those who have the token."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = self.headers["authorization"] == "Bearer known"
        answer = graphql_sync(build_schema(NEW), asked["query"]).formatted if known else {"errors": []}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Speaker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/graphql"
        server.shutdown()


def check(*arguments: str) -> int:
    """Run the command and give its exit status."""
    try:
        cli.app(["schema", "check", *arguments], result_action="return_value")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_changes_are_told_by_how_much_they_hurt(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(old, new) == 1

    assert capsys.readouterr().out == (
        "Breaking changes: 1\n"
        "  Field Query.b was removed.\n"
        "Dangerous changes: 0\n"
        "Safe changes: 2\n"
        "  E was added.\n"
        "  Field Query.c was added.\n"
    )


def test_the_exit_status_says_whether_it_matters(old: str, new: str, tmp_path: Path) -> None:
    more = tmp_path / "more.graphql"
    more.write_text(NEW.replace("X", "X Y"))

    assert check(old, old) == 0
    assert check(old, new, "--fail-on", "never") == 0
    assert check(new, str(more)) == 0
    assert check(new, str(more), "--fail-on", "dangerous") == 1


def test_the_changes_are_told_to_programs_too(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(old, new, "--format", "json")

    told = json.loads(capsys.readouterr().out)
    assert told["breaking"] == [{"kind": "FIELD_REMOVED", "message": "Field Query.b was removed."}]
    assert [len(told[severity]) for severity in ("dangerous", "safe")] == [0, 2]


def test_without_a_second_schema_it_is_compared_with_this_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(schema.as_str()))

    assert check("-") == 0
    assert capsys.readouterr().out == "Breaking changes: 0\nDangerous changes: 0\nSafe changes: 0\n"


def test_a_server_is_asked_with_the_headers_given(old: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(old, url, "--header", "authorization: Bearer known") == 1
    assert "Field Query.b was removed." in capsys.readouterr().out

    with pytest.raises(Complaint, match="does not tell its schema"):
        check(old, url)


def test_what_cannot_be_read_is_named(old: str, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("type")

    for arguments, reason in (
        ((old, str(tmp_path / "nowhere")), "nowhere cannot be read: No such file"),
        ((old, str(tmp_path / "broken")), "broken holds no schema: Syntax Error"),
        ((old, "http://127.0.0.1:9/graphql"), "did not answer"),
        (("-", "-"), "standard input"),
        ((old, "--header", "nonsense"), "a name, a colon and a value"),
    ):
        with pytest.raises(Complaint, match=reason):
            check(*arguments)
