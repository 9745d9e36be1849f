"""Pages of docs/clients as programs: files are written, commands run, and they must print what the page says."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from documentation import DOCS, Block, blocks

ENDPOINT: Final = "http://127.0.0.1:8000/graphql"
"""The address that the pages name; the tests put their server's in its place."""

SECONDS: Final = 300
"""How long a block of commands may take: the first run downloads what later ones find."""


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
    mark = hashlib.sha256("\n".join((sys.version, *installs)).encode()).hexdigest()[:12]
    user = os.getuid() if hasattr(os, "getuid") else 0
    directory = Path(tempfile.gettempdir(), f"cm-graphql-conformance-{user}", f"{Path(page).stem}-{mark}")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


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
