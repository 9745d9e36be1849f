"""Tools that read the schema: linters, comparison, validation of documents, code generators, introspection."""

import re
import shutil
from pathlib import Path

import pytest

from cm_graphql.api import explorer
from conformance.tools import Checks, Node, names_of_checks
from documentation import ROOT

SORTED = {
    "enum-values-sorted-alphabetically",
    "input-object-fields-sorted-alphabetically",
    "type-fields-sorted-alphabetically",
}
"""What graphql-schema-linter asks for and we do not do: our order is that of the reference, which tells more."""

SCHEMA = ROOT / "schema.graphql"


@pytest.fixture(scope="module")
def folder(node: Node) -> Path:
    """Where the tools run: the schema is there, and the explorer's examples."""
    shutil.copy(SCHEMA, node.folder)
    examples = node.folder / "examples"
    shutil.rmtree(examples, ignore_errors=True)
    examples.mkdir()
    for document in explorer.examples():
        (examples / f"{explorer.name(document)}.graphql").write_text(document, encoding="utf-8")
    return node.folder


@pytest.mark.parametrize("name", names_of_checks("introspection.mjs"))
def test_introspection_is_answered(name: str, checks: Checks, folder: Path, demo_server: str) -> None:
    assert checks.outcome(name, "introspection.mjs", f"{demo_server}/graphql", "schema.graphql") is None


def test_graphql_eslint_finds_nothing(node: Node, folder: Path) -> None:
    node.run("node_modules/eslint/bin/eslint.js", "--max-warnings=0", "schema.graphql")


def test_graphql_schema_linter_finds_nothing_but_our_order(node: Node, folder: Path) -> None:
    done = node.run(
        "node_modules/graphql-schema-linter/lib/cli.js", "--format=compact", "schema.graphql", expected=None
    )

    found = re.findall(r"^.*schema\.graphql:.* \(([a-z-]+)\)$", done.stdout, re.M)
    assert set(found) == SORTED, done.stdout + done.stderr


def test_graphql_inspector_finds_the_examples_valid(node: Node, folder: Path) -> None:
    done = node.run("node_modules/.bin/graphql-inspector", "validate", "examples/*.graphql", "schema.graphql")

    assert "All documents are valid" in done.stdout


def test_graphql_inspector_sees_no_difference_to_what_is_served(node: Node, folder: Path, demo_server: str) -> None:
    done = node.run("node_modules/.bin/graphql-inspector", "diff", "schema.graphql", f"{demo_server}/graphql")

    # Introspection tells @specifiedBy and @oneOf as fields, which the inspector does not read.
    changes = re.findall(r"^\[log\] [✖⚠✔] +(.*)$", done.stdout, re.M)
    assert "No breaking changes detected" in done.stdout
    assert [change for change in changes if not change.startswith("Directive ")] == []


def test_graphql_inspector_counts_how_far_the_examples_cover_the_schema(node: Node, folder: Path) -> None:
    done = node.run("node_modules/.bin/graphql-inspector", "coverage", "examples/*.graphql", "schema.graphql")

    assert "type Mutation {" in done.stdout


def test_graphql_codegen_writes_types_that_tsc_believes_strictly(node: Node, folder: Path) -> None:
    node.run("node_modules/@graphql-codegen/cli/cjs/bin.js", "--config", "codegen.mjs")
    strictly = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--noUnusedLocals"]
    node.run("node_modules/typescript/bin/tsc", *strictly, "--noEmit", "--lib", "es2023,dom", "generated/operations.ts")

    written = (folder / "generated" / "operations.ts").read_text(encoding="utf-8")
    assert "export type MainJobQuery = " in written
    assert not re.search(r": any\b", written)
