"""JavaScript's clients, each doing what its users do, against the real server."""

import pytest

from conformance.tools import Checks, names_of_checks

SCRIPTS = ("apollo.mjs", "urql.mjs", "sockets.mjs", "events.mjs")


@pytest.mark.parametrize(
    ("script", "name"),
    [pytest.param(script, name, id=f"{script} {name}") for script in SCRIPTS for name in names_of_checks(script)],
)
def test_a_client_works(script: str, name: str, checks: Checks, own_server: str) -> None:
    assert checks.outcome(name, script, f"{own_server}/graphql") is None
