"""Apollo's own composition takes our subgraph, beside another that refers to its entities."""

from cm_graphql.api.federation import subgraph_sdl
from cm_graphql.api.schema import schema
from conformance.tools import Node


def test_our_subgraph_composes_with_another(node: Node) -> None:
    (node.folder / "subgraph.graphql").write_text(subgraph_sdl(schema._schema), encoding="utf-8")

    assert node.run("composition.mjs", "subgraph.graphql").stdout.strip() == "composed"
