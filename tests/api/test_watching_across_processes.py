"""Watching at one server what other processes do to the same PostgreSQL."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import Databases, chosen_kinds
from dying_worker import die_after_a_job
from operating import a_desk
from servers import running
from watching import WATCH, WATCH_JOB, Memos, cut, heard, lines_that_listen, say, socket_to, subscribe, until_complete


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of a database that several processes can share."""
    if "postgresql" not in chosen_kinds():
        pytest.skip("on SQLite there is only one process")
    with databases.fresh("postgresql") as url:
        yield url


async def test_what_another_server_does_is_watched_here(database_url: str, tmp_path: Path) -> None:
    homes = [tmp_path / "here", tmp_path / "there"]
    for home in homes:
        home.mkdir()
    async with a_desk(database_url) as desk:
        memo, invoice = await desk.posted("50.00"), await desk.invoice("20.00")
        with (
            running(database_url, homes[0], CM_GRAPHQL_EMBEDDED_WORKER="false") as here,
            running(database_url, homes[1]) as there,
        ):
            memos = Memos(there, memo, invoice)
            lines = await lines_that_listen(desk.database, count=2)
            async with socket_to(here) as socket:
                await subscribe(socket, "memos", WATCH)
                await asyncio.sleep(0.5)

                await memos.comment("by another server")
                change = (await heard(socket))["payload"]["data"]["creditMemoChanged"]
                assert change["creditMemo"]["comment"] == "by another server"

                await cut(desk.database, lines)
                await memos.comment("while neither could hear the other")
                change = (await heard(socket))["payload"]["data"]["creditMemoChanged"]
                assert change["creditMemo"]["comment"] == "while neither could hear the other"

                job = await Memos(here, memos.memo, memos.invoice).apply_later()
                change = (await heard(socket))["payload"]["data"]["creditMemoChanged"]
                assert (change["event"]["action"], change["creditMemo"]["unappliedAmount"]) == ("APPLIED", "30.00")

                await say(socket, type="complete", id="memos")
                await subscribe(socket, "job", WATCH_JOB, id=job)
                last = (await until_complete(socket, "job"))[-1]["creditMemoJobChanged"]
                assert (last["status"], last["linesDone"]) == ("PROCESSED", 2)


async def test_a_job_is_seen_to_end_although_its_worker_was_killed_before_it_told(
    database_url: str, tmp_path: Path
) -> None:
    with running(database_url, tmp_path, CM_GRAPHQL_EMBEDDED_WORKER="false") as here:
        async with a_desk(database_url) as desk:
            memos = Memos(here, await desk.posted("50.00"), await desk.invoice("20.00"))
        job = await memos.apply_later()
        async with socket_to(here) as socket:
            await subscribe(socket, "job", WATCH_JOB, id=job)
            assert (await heard(socket))["payload"]["data"]["creditMemoJobChanged"]["status"] == "PENDING"

            assert await die_after_a_job(database_url) == -signal.SIGKILL

            last = (await until_complete(socket, "job"))[-1]["creditMemoJobChanged"]
            assert (last["status"], last["linesDone"]) == ("PROCESSED", 2)
