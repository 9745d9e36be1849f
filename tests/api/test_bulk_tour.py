"""The program of docs/bulk.md, killed and run again: all memos are worked through, each once."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from auditing import audit
from cm_graphql.store import tables as t
from documentation import DOCS, blocks
from jobbing import money
from operating import Desk, a_desk

MEMOS = 52
"""More than one page of the list and one call of many."""


def the_program(directory: Path) -> Path:
    """The program as the page shows it."""
    (text,) = (block.text for block in blocks((DOCS / "bulk.md").read_text("utf-8")) if block.title == "year_end.py")
    program = directory / "year_end.py"
    program.write_text(text, "utf-8")
    return program


def run(program: Path, server: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, program.name, f"{server}/graphql"],
        cwd=program.parent,
        env={**os.environ, "LARGE": "2", "NO_PROXY": "127.0.0.1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def until_some_are_applied(desk: Desk) -> None:
    async with asyncio.timeout(60):
        while len(await desk.rows(t.credit_memo_applications)) < MEMOS // 4:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.02)


async def test_the_program_killed_in_the_middle_and_run_again_works_through_all_memos_once(
    database_url: str, server: str, tmp_path: Path
) -> None:
    program = the_program(tmp_path)
    async with a_desk(database_url) as desk:
        invoice = await desk.invoice("900.00", "900.00", "900.00")
        small = [await desk.credit(invoice, "3.00") for _ in range(MEMOS - 2)]
        large = [await desk.credit(invoice, "1.00", "1.00", "1.00") for _ in range(2)]

        first = run(program, server)
        await until_some_are_applied(desk)
        first.kill()
        first.wait()
        again = run(program, server)
        printed, _ = await asyncio.to_thread(again.communicate, timeout=60)

        assert printed == f"{MEMOS} memos, 0 things for a person to look at\n"
        for memo in await desk.rows(t.credit_memos):
            assert (memo.comment, memo.status, memo.applied_amount) == ("Year end 2026", "POSTED", money("3.00"))
        entries = await desk.rows(t.credit_memo_applications)
        assert sorted(entry.credit_memo_id for entry in entries) == sorted([*small, *large])
        assert {job.reference_id for job in await desk.rows(t.credit_memo_jobs, status="PROCESSED")} >= set(large)
        await audit(desk.database)
