"""The recipes of docs/clients, done as they are written: other people's clients against the real server."""

from collections.abc import Callable

import pytest

from conformance.recipes import follow
from documentation import pages

NODE = {"typescript.md", "relay.md"}


@pytest.mark.parametrize("page", [page.name for page in pages("clients")])
def test_a_recipe_works_as_it_is_written(page: str, demo_server: str, tool: Callable[[str], str]) -> None:
    if page in NODE:
        tool("npm")
    follow(page, f"{demo_server}/graphql")
