"""The real server as a process of its own, for tests that speak HTTP to it."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import programs
from postgres import free_port
from programs import Program, start

START_SECONDS = 60.0
STOP_SECONDS = 15.0


@contextmanager
def running(database_url: str, directory: Path, **environment: str) -> Iterator[str]:
    """Serve the database at `database_url` from `directory`, and give the base URL once the server is healthy.

    `environment` adds variables, such as settings. The server's output is in `server.log` in the directory; it is part
    of the error if the server does not start.
    """
    log = directory / "server.log"
    for attempt in range(3):
        port = free_port()
        process = _start(database_url, directory, log, port, environment)
        base_url = f"http://127.0.0.1:{port}"
        try:
            if _healthy(process, base_url):
                yield base_url
                return
            output = log.read_text(errors="replace")
            # Somebody else may have taken the port in the meantime.
            if "address already in use" not in output.lower() or attempt == 2:
                raise RuntimeError(f"The server did not become healthy (exit status {process.poll()}):\n{output}")
        finally:
            _stop(process)


def started(database_url: str, directory: Path, port: int, **environment: str) -> Program:
    """Serve the database at a port of one's choice, and give the healthy process, to be ended by whoever asked."""
    process = _start(database_url, directory, directory / "server.log", port, environment)
    if not _healthy(process, f"http://127.0.0.1:{port}"):
        raise RuntimeError((directory / "server.log").read_text(errors="replace"))
    return process


def _start(database_url: str, directory: Path, log: Path, port: int, environment: dict[str, str]) -> Program:
    arguments = ("serve", "--host", "127.0.0.1", "--port", str(port))
    variables = {**programs.environment(database_url=database_url), **environment}
    return start(arguments, directory, variables, log, log)


def _healthy(process: Program, base_url: str) -> bool:
    """Wait until the server says that it is healthy; False when it ended or took too long."""
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"{base_url}/healthz").status_code == 200:
                    return True
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.05)
    return False


def _stop(process: Program) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
