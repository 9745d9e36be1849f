"""JavaScript's clients, each doing what its users do, against the real server."""

from collections.abc import Iterator

import pytest

from conformance.conftest import serving_the_tour
from conformance.tools import Checks, names_of_checks

SCRIPTS = ("apollo.mjs", "urql.mjs", "sockets.mjs", "events.mjs")


@pytest.mark.parametrize(
    ("script", "name"),
    [pytest.param(script, name, id=f"{script} {name}") for script in SCRIPTS for name in names_of_checks(script)],
)
def test_a_client_works(script: str, name: str, checks: Checks, own_server: str) -> None:
    assert checks.outcome(name, script, f"{own_server}/graphql") is None


@pytest.fixture(scope="module")
def batching_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that takes several operations in one request."""
    with serving_the_tour(tmp_path_factory.mktemp("batching"), CM_GRAPHQL_MAX_BATCH="10") as base_url:
        yield base_url


@pytest.mark.parametrize("name", names_of_checks("persisted.mjs"))
def test_documents_are_persisted_and_operations_batched(name: str, checks: Checks, batching_server: str) -> None:
    assert checks.outcome(name, "persisted.mjs", f"{batching_server}/graphql") is None
