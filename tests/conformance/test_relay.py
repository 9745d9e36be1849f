"""Relay: its compiler takes the schema as it is, and its runtime finds in the server what it asks of one."""

import shutil
from pathlib import Path

import pytest

from conformance.tools import NODE, Checks, Node, names_of_checks
from documentation import ROOT


@pytest.fixture(scope="module")
def compiled(node: Node) -> Path:
    """The folder with what relay-compiler made."""
    shutil.copy(ROOT / "schema.graphql", node.folder)
    for name in ("relay", "relay_source"):
        shutil.rmtree(node.folder / name, ignore_errors=True)
        (node.folder / name).mkdir()
    shutil.copy(NODE / "relay_documents.js", node.folder / "relay_source")
    node.run("node_modules/relay-compiler/cli.js", "relay.config.json")
    return node.folder / "relay"


@pytest.mark.parametrize("name", names_of_checks("relay.mjs"))
def test_relay_works(name: str, checks: Checks, compiled: Path, own_server: str) -> None:
    assert checks.outcome(name, "relay.mjs", f"{own_server}/graphql") is None


def test_the_compiler_sees_that_every_artifact_is_up_to_date(node: Node, compiled: Path) -> None:
    done = node.run("node_modules/relay-compiler/cli.js", "--validate", "relay.config.json")

    assert len(list(compiled.glob("*.graphql.js"))) == 9, done.stdout
