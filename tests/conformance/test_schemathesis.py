"""schemathesis, which makes up requests for every field of the schema: no answer is a bug, and each is as promised."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from cm_graphql.api.errors import Code
from conformance.tools import python
from documentation import ROOT

SCHEMATHESIS = "schemathesis==4.32.5"


@pytest.mark.parametrize(
    ("examples", "seconds"),
    [pytest.param(5, 240, id="briefly"), pytest.param(200, 3_000, id="at length", marks=pytest.mark.soak)],
)
def test_made_up_requests_are_answered_as_the_schema_promises(
    examples: int, seconds: int, own_server: str, tmp_path: Path
) -> None:
    command = [
        str(python("schemathesis", SCHEMATHESIS) / "schemathesis"),
        *("run", f"{own_server}/graphql", f"--max-examples={examples}", "--generation-deterministic", "--no-color"),
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
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout
    assert int(tested[1]) == _root_fields()


def _root_fields() -> int:
    text = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    roots = [text[found.end() :] for found in re.finditer(r"^type (Query|Mutation) \{", text, re.M)]
    return sum(len(re.findall(r"^  \w+[(:]", root.partition("\n}")[0], re.M)) for root in roots)
