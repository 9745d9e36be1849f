"""Load from a process of its own (wrk), and what a server's processes hold in memory."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import HERE


class Missing(Exception):
    """Something that the benchmark needs is not on this machine; the message says what to install."""


@dataclass(frozen=True)
class Measured:
    """What one round showed."""

    per_second: float
    p50: float
    """Milliseconds."""
    p99: float
    megabytes_per_second: float
    requests: int
    failed: int
    processor: float = 0.0
    """Milliseconds that the server's own processes computed for each request; not the database's."""
    """Answers that were no 2xx, and connections that broke."""

    def as_json(self) -> dict[str, Any]:
        """The same for a file."""
        return asdict(self)


def program() -> str:
    """The path of wrk."""
    found = shutil.which("wrk")
    if found is None:
        raise Missing("wrk makes the load: install it (apt-get install wrk, brew install wrk).")
    return found


def fire(url: str, bodies: Sequence[Any], *, token: str | None, connections: int, seconds: float) -> Measured:
    """Send requests over so many connections, each as soon as the one before it is answered."""
    with tempfile.NamedTemporaryFile("w", suffix=".bodies") as file:
        file.writelines(json.dumps(body) + "\n" for body in bodies)
        file.flush()
        arguments = [file.name, *([token] if token else [])]
        command = [program(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        done = subprocess.run(
            [*command, "-s", HERE / "post.lua", url, "--", *arguments], capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Measured(
        per_second=found["requests"] / found["seconds"],
        p50=found["p50"],
        p99=found["p99"],
        megabytes_per_second=found["bytes"] / found["seconds"] / 1e6,
        requests=found["requests"],
        failed=found["failed"] + found["refused"],
    )


def megabytes(processes: Iterable[int]) -> float:
    """The resident memory of processes and of all that they started."""
    total = 0
    for pid in {descendant for process in processes for descendant in family(process)}:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
    return total / 1024


def processor_seconds(process: int) -> float:
    """What a process and all that it started have computed so far."""
    ticks = 0
    for pid in family(process):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found.extend(family(int(child)))
    return found
