"""Whose tools prove what, in which version, and where: the table of docs/conformance.md is written from here."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from documentation import rows

HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Proof:
    """What a file of tests proves, and with which packages."""

    proves: str
    packages: tuple[str, ...]
    test: str


PROOFS: Final = (
    Proof("GraphQL over HTTP: all 61 audits, MUST, SHOULD and MAY", ("graphql-http",), "test_graphql_over_http.py"),
    Proof(
        "Made-up requests for every field, for minutes on both databases: no bug, each answer as the schema says",
        ("schemathesis",),
        "test_schemathesis.py",
    ),
    Proof(
        "Apollo Client: cache, pages, GET, uploads, persisted queries, batches, subscriptions",
        ("@apollo/client", "apollo-upload-client"),
        "test_javascript_clients.py",
    ),
    Proof(
        "urql: GET and POST, uploads, persisted queries, subscriptions over sockets and events",
        ("@urql/core", "@urql/exchange-persisted"),
        "test_javascript_clients.py",
    ),
    Proof("graphql-request, by POST and GET", ("graphql-request",), "test_javascript_clients.py"),
    Proof(
        "graphql-transport-ws: life of a socket, and each code of closing",
        ("graphql-ws", "ws"),
        "test_javascript_clients.py",
    ),
    Proof("GraphQL over server-sent events, distinct connections", ("graphql-sse",), "test_javascript_clients.py"),
    Proof("gql over requests, httpx, aiohttp and websockets", ("gql",), "test_python_clients.py"),
    Proof("sgqlc: types for the schema, and operations made of them", ("sgqlc",), "test_python_clients.py"),
    Proof(
        "Relay: compiler, store, `node`, `nodes`, connections both ways",
        ("relay-compiler", "relay-runtime"),
        "test_relay.py",
    ),
    Proof(
        "Types of every example, believed by `tsc --strict`",
        ("@graphql-codegen/cli", "@graphql-codegen/typescript-operations", "typescript"),
        "test_schema_tools.py",
    ),
    Proof(
        "Rules for schemas, recommended and Relay's",
        ("@graphql-eslint/eslint-plugin", "graphql-schema-linter"),
        "test_schema_tools.py",
    ),
    Proof("Comparison, validation and coverage", ("@graphql-inspector/cli",), "test_schema_tools.py"),
    Proof("Introspection with every option, there and back", ("graphql", "get-graphql-schema"), "test_schema_tools.py"),
    Proof(
        "Recipes of these pages, done as they are written",
        ("typescript", "relay", "ariadne-codegen", "gql"),
        "test_clients.py",
    ),
    Proof("Apollo's composition takes the subgraph", ("@apollo/composition",), "test_federation.py"),
    Proof(
        "Hive Gateway over the subgraph and another, with keys: entities, mutations, who shows none",
        ("@graphql-hive/gateway-runtime", "@theguild/federation-composition"),
        "test_federation.py",
    ),
    Proof(
        "graphql-tools: the remote schema, stitching, subscriptions, uploads",
        ("@graphql-tools/load", "@graphql-tools/stitch", "@graphql-tools/url-loader", "@graphql-tools/wrap"),
        "test_federation.py",
    ),
    Proof("GraphiQL in Chromium, without a network", (), "test_explorer.py"),
    Proof("Altair from an origin that is allowed: schema, query, subscription", ("altair-static",), "test_altair.py"),
    Proof("The checks of graphql-cop, BatchQL, clairvoyance and graphql-armor", (), "test_audits.py"),
    Proof("Hostile documents, bodies, texts and numbers, on both databases", (), "test_hostile_requests.py"),
    Proof("HTTP/1.1 byte by byte: pipelines, chunks, offers, contradictions", (), "test_wire.py"),
    Proof("The commands with curl that these pages show", (), "test_curl.py"),
    Proof("This documentation as a site", (), "test_site.py"),
)


def table() -> str:
    """The table, each tool with the version that is installed."""
    body = []
    for proof in PROOFS:
        tools = ", ".join(_shown(package, proof.test) for package in proof.packages)
        body.append((proof.proves, tools or "our tests", f"`{proof.test}`"))
    return rows("what is proved", "by", "in `tests/conformance`", body=body)


def _shown(package: str, test: str) -> str:
    if test == "test_clients.py":
        return f"[{package}](clients/{package}.md)"
    return f"{package} {_versions()[package]}"


def _versions() -> dict[str, str]:
    found: dict[str, str] = json.loads((HERE / "node" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for test in HERE.glob("test_*.py"):
        for package, version in re.findall(r'"([a-z-]+)(?:\[\w+\])?==([\d.]+)"', test.read_text(encoding="utf-8")):
            found[package] = version
    return found


def unlisted() -> set[str]:
    """Files of tests and packages that the table leaves out, and those that it makes up."""
    listed = {proof.test for proof in PROOFS} | {
        package for proof in PROOFS if proof.test != "test_clients.py" for package in proof.packages
    }
    helpers = {"@graphql-mesh/transport-http", "@types/node", "eslint", "rxjs"}
    return ({test.name for test in HERE.glob("test_*.py")} | set(_versions()) - helpers) ^ listed
