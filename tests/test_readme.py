"""The README's tour is what a newcomer sees when they paste it."""

import asyncio
import json
import re
from pathlib import Path

import httpx

from cm_graphql import seeding
from cm_graphql.store.database import Database

README = Path(__file__).parent.parent / "README.md"
STEP = re.compile(r"```graphql\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)


async def fill(url: str) -> None:
    database = Database.open(url)
    await seeding.demo(database)
    await database.dispose()


def test_every_answer_of_the_tour_is_the_real_one(database_url: str, server: str) -> None:
    asyncio.run(fill(database_url))
    steps = STEP.findall(README.read_text(encoding="utf-8"))
    assert len(steps) == 6

    with httpx.Client(base_url=server, timeout=60) as client:
        answers = [client.post("/graphql", json={"query": operation}).json() for operation, _ in steps]

    assert answers == [{"data": json.loads(told)} for _, told in steps]
