"""schemathesis, which makes up requests for every field of the schema: no answer is a bug, and each is as promised."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from cm_graphql.api.errors import Code
from conformance.conftest import serving_the_tour
from conformance.tools import python
from documentation import ROOT

SCHEMATHESIS = "schemathesis==4.32.5"


SECONDS: Final = os.environ.get("CM_GRAPHQL_TEST_SCHEMATHESIS_SECONDS", "300")
"""How long requests are made up at length, on each database."""


def test_made_up_requests_are_answered_as_the_schema_promises(own_server: str, tmp_path: Path) -> None:
    tested = made_up(own_server, tmp_path, "--max-examples=5", "--generation-deterministic", patience=240)

    assert tested == _root_fields()


@pytest.mark.soak
def test_requests_made_up_for_minutes_are_answered_as_the_schema_promises(database_url: str, tmp_path: Path) -> None:
    with serving_the_tour(tmp_path, database_url) as server:
        # Few for each field, and then again others, until the time is spent: so every field has its share.
        tested = made_up(server, tmp_path, "--max-examples=5", f"--max-time={SECONDS}", patience=2 * int(SECONDS) + 240)

    assert tested == _root_fields()


def made_up(server: str, directory: Path, *how: str, patience: int) -> int:
    """Make up requests and see that no answer is a bug; answers for how many fields there were some."""
    command = [
        str(python("schemathesis", SCHEMATHESIS) / "schemathesis"),
        *("run", f"{server}/graphql", *how, "--no-color"),
        *("--checks", "not_a_server_error,tells_nothing_of_our_inside,conforms_to_the_schema", "--continue-on-failure"),
        *("--suppress-health-check", "all", "--warnings", "off"),
    ]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "fuzzing",
        "PYTHONPATH": str(Path(__file__).parent),
        "CM_GRAPHQL_TEST_SCHEMA": str(ROOT / "schema.graphql"),
        "CM_GRAPHQL_TEST_CODES": ",".join(Code),
    }

    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=patience, check=False
    )

    print(done.stdout[-3_000:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout
    return int(tested[1])


def _root_fields() -> int:
    text = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    roots = [text[found.end() :] for found in re.finditer(r"^type (Query|Mutation) \{", text, re.M)]
    return sum(len(re.findall(r"^  \w+[(:]", root.partition("\n}")[0], re.M)) for root in roots)
