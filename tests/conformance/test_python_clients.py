"""Python's clients: gql over each of its transports, and sgqlc, which writes types for a schema that it asks for.

gql's recipe in docs/clients, and that of ariadne-codegen, are in test_clients.py.
"""

import os
import subprocess
from pathlib import Path

import pytest
from pypdf import PdfWriter

from conformance.tools import python

GQL = "gql[all]==4.4.0"
SGQLC = "sgqlc==18"
CHECKS = (
    "requests",
    "httpx",
    "httpx, asynchronously",
    "aiohttp",
    "aiohttp, with a file",
    "websockets",
    "aiohttp's websockets",
)


@pytest.fixture(scope="module")
def held(own_server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str]:
    """The checks that held, and what was said otherwise."""
    pdf = tmp_path_factory.mktemp("gql") / "memo.pdf"
    writer = PdfWriter()
    writer.add_blank_page(width=200, height=200)
    writer.write(pdf)
    program = Path(__file__).with_name("python_clients.py")
    command = [str(python("gql", GQL) / "python"), str(program), f"{own_server}/graphql", str(pdf)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("transport", CHECKS)
def test_gql_works_over_a_transport(transport: str, held: tuple[list[str], str]) -> None:
    checks, said = held

    assert transport in checks, said


WITH_TYPES = """
import sys
import billing
from sgqlc.endpoint.http import HTTPEndpoint
from sgqlc.operation import Operation

asked = Operation(billing.Query)
memos = asked.credit_memos(first=2, sort=[{"field": "NUMBER", "direction": "ASC"}])
memos.nodes.number()
memos.nodes.account.name()
memos.nodes.items(first=1).nodes.amount()
found = asked + HTTPEndpoint(sys.argv[1])(asked)
print([(memo.number, bool(memo.account.name)) for memo in found.credit_memos.nodes])
"""


def test_sgqlc_writes_types_for_the_schema_and_asks_with_them(own_server: str, tmp_path: Path) -> None:
    programs = python("sgqlc", SGQLC)
    endpoint = f"{own_server}/graphql"

    def run(program: str, *arguments: str) -> str:
        command = [str(programs / program), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("python", "-m", "sgqlc.introspection", endpoint, "billing.json")
    run("sgqlc-codegen", "schema", "billing.json", "billing.py")

    assert run("python", "-c", WITH_TYPES, endpoint).startswith("[('CM0")
