"""gql over each of its transports; its recipe in docs/clients, and that of ariadne-codegen, are in test_clients.py."""

import os
import subprocess
from pathlib import Path

import pytest
from pypdf import PdfWriter

from conformance.tools import python

GQL = "gql[all]==4.4.0"
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
