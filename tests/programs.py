"""The program `cm-graphql` as a process of its own, without the two seconds that loading it takes.

A process that has loaded the program once forks itself for each that is asked for. What the command line does from a
cold start is tested in `test_cli.py`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path

COMMAND_SECONDS = 60.0

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["cm_graphql.app", "cm_graphql.api.schema", "cm_graphql.cli"])


class Program:
    """A running `cm-graphql`, with what a `subprocess.Popen` offers of it."""

    def __init__(self, process: BaseProcess, arguments: tuple[str, ...]) -> None:
        self._process = process
        self._arguments = arguments
        assert process.pid is not None
        self.pid = process.pid

    def poll(self) -> int | None:
        """The exit status, or None as long as it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; give its exit status."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start(arguments: tuple[str, ...], directory: Path, environment: dict[str, str], out: Path, err: Path) -> Program:
    """Start `cm-graphql` in a directory, with no other environment than this; its output goes to files."""
    process = _processes.Process(target=_be, args=(arguments, directory, environment, out, err), daemon=True)
    process.start()
    return Program(process, arguments)


def run(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, with settings named as in `Settings`."""
    with tempfile.TemporaryDirectory() as told:
        out, err = Path(told, "out"), Path(told, "err")
        program = start(arguments, directory, environment(**settings), out, err)
        try:
            status = program.wait(COMMAND_SECONDS)
        finally:
            program.kill()
        return subprocess.CompletedProcess(arguments, status, out.read_text(), err.read_text())


def environment(**settings: str) -> dict[str, str]:
    """The environment with these settings, and without those of the machine, which must not reach a program."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("CM_GRAPHQL_")}
    return {**bare, **{f"CM_GRAPHQL_{name.upper()}": value for name, value in settings.items()}}


def _be(arguments: tuple[str, ...], directory: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    for descriptor, path, flags in (
        (0, Path(os.devnull), os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND),
        (2, err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["cm-graphql", *arguments]

    from cm_graphql.cli import main

    main()
