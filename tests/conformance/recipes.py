"""Pages of docs/clients as programs: files are written, commands run, and they must print what the page says."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from conformance.tools import SECONDS, folder
from documentation import DOCS, Block, blocks

ENDPOINT: Final = "http://127.0.0.1:8000/graphql"
"""The address that the pages name; the tests put their server's in its place."""


def follow(page: str, endpoint: str) -> None:
    """Do what a page says, from its first block to its last, against the server at the endpoint.

    Packages are kept in a directory of the temporary folder, named after what the page installs.
    """
    found = blocks((DOCS / "clients" / page).read_text(encoding="utf-8"))
    directory = _directory(page, found)
    printed = ""
    for block in found:
        text = block.text.replace(ENDPOINT, endpoint)
        if block.title:
            file = directory / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif block.language == "sh":
            printed = _run(text, directory)
        elif block.language == "text":
            assert printed == text, f"{page} promises another output:\n{printed}"


def _directory(page: str, found: list[Block]) -> Path:
    installs = [block.text for block in found if "install" in block.text or block.title == "package.json"]
    return folder(Path(page).stem, "\n".join((sys.version, *installs)))


def _run(commands: str, directory: Path) -> str:
    # The commands of this installation come first: `cm-graphql` and `python3` are those under test.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", commands],
        cwd=directory,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout
