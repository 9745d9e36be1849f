"""Other people's tools: installed by the tests that need them, once, into a folder that later tests find again."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import pytest

NODE: Final = Path(__file__).with_name("node")
"""Scripts for Node.js, and the packages that they use."""

SECONDS: Final = 300
"""How long a tool may take: the first run downloads what later ones find."""

_CHECK = re.compile(r'^await check\("(.+)", async', re.M)


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a tool; in CI, where it has to be there, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str) -> str:
    """Give the path of a program that somebody else has to install."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is needed and is not on the path")
    return path


def folder(name: str, mark: str) -> Path:
    """Give a folder of the temporary one, the same for the same name and mark in each run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    digest = hashlib.sha256(mark.encode()).hexdigest()[:12]
    found = Path(tempfile.gettempdir(), f"cm-graphql-conformance-{user}", f"{name}-{digest}")
    found.mkdir(parents=True, exist_ok=True)
    return found


def versions(packages: Path = NODE / "package.json") -> Mapping[str, str]:
    """The packages that npm installs, each with its one version."""
    found: dict[str, str] = json.loads(packages.read_text(encoding="utf-8"))["dependencies"]
    return found


class Node:
    """Node.js with the packages of `node/package.json`."""

    def __init__(self) -> None:
        self._node = program("node")
        packages = (NODE / "package.json").read_text(encoding="utf-8")
        self.folder = folder("node", packages)
        if not (self.folder / "installed").exists():
            (self.folder / "package.json").write_text(packages, encoding="utf-8")
            npm = [program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
            done = _run(npm, self.folder)
            if done.returncode:
                missing(f"npm cannot install the packages:\n{done.stderr}")
            (self.folder / "installed").touch()

    def run(self, *arguments: str, expected: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a script of the folder or of a package, with its arguments."""
        for script in NODE.iterdir():
            if script.name != "package.json":
                shutil.copy(script, self.folder)
        done = _run([self._node, *arguments], self.folder)
        assert expected is None or done.returncode == expected, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done


class Checks:
    """Scripts of named checks: each script runs once, each of its checks is a test of its own."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._outcomes: dict[tuple[str, ...], Mapping[str, str | None]] = {}

    def outcome(self, name: str, script: str, *arguments: str) -> str | None:
        """What is wrong by one check of a script; None for nothing."""
        return self.of(script, *arguments).get(name, "the check was not run")

    def of(self, script: str, *arguments: str) -> Mapping[str, str | None]:
        """What is wrong by each check of a script, by its name."""
        key = (script, *arguments)
        if key not in self._outcomes:
            self._outcomes[key] = self._run(*key)
        return self._outcomes[key]

    def _run(self, *arguments: str) -> Mapping[str, str | None]:
        done = self._node.run(*arguments, expected=None)
        outcomes = {}
        for line in done.stdout.splitlines():
            if line.startswith('{"check":'):
                found = json.loads(line)
                outcomes[found["check"]] = found.get("wrong")
        assert done.returncode == 0, f"{arguments} ended early\n{done.stdout}\n{done.stderr}"
        return outcomes


def names_of_checks(script: str) -> list[str]:
    """The checks of a script, in order."""
    return _CHECK.findall((NODE / script).read_text(encoding="utf-8"))


def python(name: str, *requirements: str) -> Path:
    """Give the programs of a virtual environment with some packages, apart from ours."""
    found = folder(name, "\n".join((sys.version, *requirements)))
    bin_folder = found / "bin"
    if not (found / "installed").exists():
        done = _run([sys.executable, "-m", "venv", "--clear", str(found)], Path.cwd())
        if done.returncode == 0:
            pip = [str(bin_folder / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            done = _run([*pip, *requirements], found)
        if done.returncode:
            missing(f"pip cannot install {', '.join(requirements)}:\n{done.stdout}{done.stderr}")
        (found / "installed").touch()
    return bin_folder


def _run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1", "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
