"""The commands with curl that the documentation shows, as a reader would paste them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pypdf import PdfWriter

from conformance.recipes import ENDPOINT
from documentation import blocks, name_of, pages

COMMANDS = [
    (name_of(page), block.text)
    for page in pages()
    for block in blocks(page.read_text(encoding="utf-8"))
    if block.language == "sh" and block.text.startswith("curl http")
]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[page for page, _ in COMMANDS])
def test_a_command_answers_data(
    page: str, command: str, demo_server: str, tool: Callable[[str], str], tmp_path: Path
) -> None:
    tool("curl")
    writer = PdfWriter()
    writer.add_blank_page(width=200, height=200)
    writer.write(tmp_path / "memo.pdf")

    told = command.replace(ENDPOINT, f"{demo_server}/graphql")
    done = subprocess.run(["sh", "-c", told], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)

    answer = json.loads(done.stdout)
    assert "errors" not in answer
    assert '"code"' not in done.stdout
