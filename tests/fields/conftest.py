"""Declared fields in a schema of their own upon both databases."""

from collections.abc import Iterator

import pytest

from cm_graphql.fields.declare import PREFIXES
from fields.things import Box, Thing, fill, schema
from reading import Reader, reading

COUNT = 60


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    """Know the types of these tests and no others, for as long as they run."""
    others = dict(PREFIXES)
    PREFIXES.clear()
    PREFIXES.update(thg=Thing.__node__, box=Box.__node__)
    yield
    PREFIXES.clear()
    PREFIXES.update(others)


@pytest.fixture(scope="module")
def reader(module_database_url: str) -> Iterator[Reader]:
    """A client of a database with things in boxes; tests leave it as it is."""
    with reading(module_database_url, schema) as reader:
        reader.run(fill(reader.database, COUNT))
        yield reader
