"""The contenders: how each is installed, started and asked."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from benchmarks import HERE, ROOT
from benchmarks.load import Missing
from postgres import free_port

Kind = Literal["sqlite", "postgresql"]

NODE_PEERS = HERE / "peers" / "node"
START_SECONDS = 60.0


@dataclass
class Contender:
    """A server that answers the workloads."""

    name: str
    title: str
    database: Kind
    command: Callable[[str, int], list[str | Path]]
    """Makes the command from a database URL and a port."""
    floor: str | None = None
    """The name of the hand-written server that it is held against."""
    ours: bool = False
    graphile: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def start(self, database_url: str, folder: Path) -> None:
        """Start it and wait until it answers."""
        self.port = free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CM_GRAPHQL_")}
        own = {"DATABASE_URL": database_url, "PORT": str(self.port), "NODE_ENV": "production", "PYTHONPATH": str(ROOT)}
        graphile = {"GRAPHILE_ENV": "production"}
        with (folder / f"{self.name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command(database_url, self.port),
                cwd=folder,
                env={**inherited, **own, **graphile, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it is ended with all that it started
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(httpx.TransportError):
                httpx.post(
                    self.url, json={"query": "{ __typename }", "operationName": "Memo", "variables": {}}, timeout=30
                )
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.title} did not start:\n{(folder / f'{self.name}.log').read_text()[-2_000:]}")

    def stop(self) -> None:
        """End it, with all that it started."""
        process, self.process = self.process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(8)
                break

    def ask(self, body: Any) -> Any:
        """The data of an answer; raises RuntimeError for anything else."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        answer = httpx.post(self.url, json=body, headers=headers, timeout=60)
        found = answer.json()
        if answer.status_code != 200 or found.get("errors"):
            raise RuntimeError(f"{self.title} answers {answer.status_code}: {answer.text[:800]}")
        return found["data"]


def contenders(peers: Path | None) -> list[Contender]:
    """All of them; those of Node only where a folder has their packages."""
    found = [
        Contender("ours-sqlite", "cm-graphql, SQLite", "sqlite", _ours, floor="floor-sqlite", ours=True),
        Contender(
            "ours-postgresql", "cm-graphql, PostgreSQL", "postgresql", _ours, floor="floor-postgresql", ours=True
        ),
        Contender("floor-sqlite", "by hand, SQLite", "sqlite", _python("floor")),
        Contender("floor-postgresql", "by hand, asyncpg", "postgresql", _python("floor")),
        Contender("tutorial", "Strawberry, ORM, DataLoaders", "postgresql", _python("tutorial")),
    ]
    if peers is not None:
        found += [
            Contender("postgraphile", "PostGraphile 5", "postgresql", _graphile(peers), graphile=True),
            Contender("mercurius", "Fastify, Mercurius JIT", "postgresql", _node(peers, "mercurius.js")),
            Contender("apollo", "Apollo Server", "postgresql", _node(peers, "apollo.js")),
        ]
    return found


def _ours(database_url: str, port: int) -> list[str | Path]:
    command = [sys.executable, "-m", "cm_graphql", "serve", "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--database-url", database_url]


def _python(module: str) -> Callable[[str, int], list[str | Path]]:
    return lambda _url, port: [sys.executable, "-m", f"benchmarks.peers.{module}", str(port)]


def _node(peers: Path, script: str) -> Callable[[str, int], list[str | Path]]:
    return lambda _url, port: [node(peers), peers / script, str(port)]


def _graphile(peers: Path) -> Callable[[str, int], list[str | Path]]:
    program = peers / "node_modules" / ".bin" / "postgraphile"
    return lambda _url, _port: [node(peers), program, "-C", peers / "graphile.config.mjs"]


def node(peers: Path) -> Path:
    """Node, as the package of that name brings it."""
    return peers / "node_modules" / "node" / "bin" / "node"


def install_peers(build: Path) -> Path:
    """Put the peers of Node and their packages into a folder, unless they are there."""
    folder = build / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    for source in NODE_PEERS.iterdir():
        shutil.copy(source, folder / source.name)
    if node(folder).exists() and (folder / "installed").exists():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm brings the peers that run on Node: install it, or leave them out with --no-node.")
    print("Installing the peers of Node ...", flush=True)
    subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"], cwd=folder, check=True
    )
    (folder / "installed").touch()
    return folder


def admin_key(database_url: str) -> str:
    """An API key that may do everything: ours is asked as it ships, with authentication."""
    done = subprocess.run(
        [sys.executable, "-m", "cm_graphql", "keys", "create", "--name", f"benchmark {secrets.token_hex(4)}",
         "--role", "admin", "--database-url", database_url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return next(word for word in done.stdout.split() if word.startswith("cmk_"))


def stop_all(running: Sequence[Contender]) -> None:
    """End all of them."""
    for one in running:
        one.stop()
