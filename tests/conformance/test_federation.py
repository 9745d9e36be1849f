"""Our subgraph beside another that refers to its entities: Apollo composes them, and a gateway asks them."""

import asyncio
from collections.abc import Iterator

import pytest

from cm_graphql.api.federation import subgraph_sdl
from cm_graphql.api.schema import schema
from cm_graphql.operations.viewer import ADMIN
from conformance.conftest import serving_the_tour
from conformance.tools import Checks, Node, names_of_checks
from in_process import a_key


def test_our_subgraph_composes_with_another(node: Node) -> None:
    (node.folder / "subgraph.graphql").write_text(subgraph_sdl(schema._schema), encoding="utf-8")

    assert node.run("composition.mjs", "subgraph.graphql").stdout.strip() == "composed"


@pytest.fixture(scope="module")
def subgraph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The endpoint of a server that is a subgraph and asks for keys, and what shows one."""
    folder = tmp_path_factory.mktemp("subgraph")
    with serving_the_tour(folder, CM_GRAPHQL_FEDERATION="true", CM_GRAPHQL_AUTH="keys") as base_url:
        _, holder = asyncio.run(a_key(f"sqlite:///{folder / 'demo.db'}", *ADMIN))
        yield f"{base_url}/graphql", holder["authorization"]


@pytest.mark.parametrize("name", names_of_checks("gateway.mjs"))
def test_what_stands_before_servers_works(name: str, checks: Checks, subgraph: tuple[str, str]) -> None:
    assert checks.outcome(name, "gateway.mjs", *subgraph) is None
