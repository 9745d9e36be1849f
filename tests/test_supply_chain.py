"""No library that we pin has a vulnerability that is known to the public."""

import importlib.util
import json
import re
import subprocess
import sys
from importlib import metadata
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from documentation import ROOT

PINS: Final = ROOT / "constraints.txt"

SERVICES: Final = ("pypi", "osv")
"""Who is asked, one after the other: PyPI's own interface, which mirrors of the index lack, and osv.dev."""

MENDED_IN: Final = {
    "aiosmtplib": ("5.1.2", "GHSA-vxj7-4xrp-5vr4"),  # in 5.1.1 CVE-2026-53533
    "asyncpg": ("0.21.0", "CVE-2020-17446"),
    "babel": ("2.9.1", "CVE-2021-42771"),
    "brotli": ("1.2.1", "CVE-2026-111497"),
    "certifi": ("2024.7.4", "CVE-2024-39689"),
    "cryptography": ("50.0.0", "CVE-2026-69247"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "httpcore": ("1.0.9", "GHSA-vqfr-h8mv-ghfj"),  # that of h11
    "httptools": ("0.5.0", "CVE-2022-32213"),
    "httpx": ("0.23.0", "CVE-2021-41945"),
    "idna": ("3.15", "CVE-2026-45409"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "joserfc": ("1.7.4", "CVE-2026-102946"),  # in 1.7.3 CVE-2026-75509: a list that holds the issuer passed for it
    "lxml": ("6.1.0", "CVE-2026-41066"),
    "mako": ("1.4.2", "CVE-2026-102991"),
    "markdown-it-py": ("4.3.0", "its change log: lines in quadratic time"),
    "orjson": ("3.11.6", "CVE-2025-67221"),
    "pydantic": ("2.4.0", "CVE-2024-3772"),
    "pydantic-settings": ("2.14.2", "GHSA-4xgf-cpjx-pc3j"),
    "pygments": ("2.20.0", "CVE-2026-4539"),
    "pypdf": ("7.0.1", "its change log: sizes of images"),  # in 6.21.4 CVE-2026-119203 to 119209
    "python-dotenv": ("1.2.2", "CVE-2026-28684"),
    "python-multipart": ("0.0.30", "CVE-2026-53538"),  # in 0.0.27 CVE-2026-42561, in 0.0.26 CVE-2026-40347
    "redis": ("4.5.4", "CVE-2023-28859"),
    "requests": ("2.33.0", "CVE-2026-25645"),
    "sqlalchemy": ("1.3.0", "CVE-2019-7164"),
    "starlette": ("1.3.1", "PYSEC-2026-249"),  # in 1.0.1 CVE-2026-48710, in 1.3.0 PYSEC-2026-248
    "strawberry-graphql": ("0.315.7", "CVE-2026-47707"),
    "urllib3": ("2.8.0", "GHSA-8988-9cw3-xx77"),
    "uvicorn": ("0.11.7", "PYSEC-2020-151"),
    "websockets": ("9.1", "CVE-2021-33880"),
}
"""Of each library that the server runs with, the release that ended the latest hole that was published of it.

It was looked up on 2026-11-27: in PyPA's and GitHub's advisory databases, as far as copies of them could be had, and in
the change logs of the releases that are pinned. It is what can be checked without a network: whoever pins an older one
again, for whatever reason, is told why not. `make audit` knows of more.
"""

NOTHING_FOUND: Final = {
    "aiosqlite",
    "alembic",
    "annotated-types",
    "anyio",
    "attrs",
    "cffi",
    "charset-normalizer",
    "click",
    "cross-web",
    "cyclopts",
    "deprecated",
    "docstring-parser",
    "factur-x",
    "graphql-core",
    "greenlet",
    "iso4217",
    "limits",
    "markupsafe",
    "mdurl",
    "obstore",
    "packaging",
    "prometheus-client",
    "pycparser",
    "pydantic-core",
    "python-dateutil",
    "python-stdnum",
    "rich",
    "rich-rst",
    "six",
    "structlog",
    "typing-extensions",
    "typing-inspection",
    "typst",
    "tzdata",
    "uuid-utils",
    "uvloop",
    "wrapt",
}
"""The others that the server runs with: no advisory was found that day which the pinned release falls under."""

SERVER: Final = "avalara", "brotli", "babel", "einvoice", "prometheus", "redis"
"""The extras of whoever runs the server; the others are for those who work on it."""


def pins() -> dict[str, str]:
    """The pinned version of each library, by its normal name."""
    lines = (line for line in PINS.read_text().splitlines() if line and not line.startswith("#"))
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in (line.partition("==") for line in lines)
    }


def judged() -> list[dict[str, Any]]:
    """What is known of each pinned library; skips, with the reasons, where no service judges most of them.

    An index that says "not found" of a library has not judged it, nor has one that cannot be reached: neither is taken
    for a clean bill, and neither fails the test, as it says nothing about the libraries.
    """
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed: `make audit` does that")
    reasons = []
    for service in SERVICES:
        found, reason = asked(service)
        known = [one for one in found if "skip_reason" not in one]
        # A single hole that is known counts, even where nothing else is.
        if any(one["vulns"] for one in known) or len(known) > len(pins()) / 2:
            return known
        reasons.append(f"{service}: {reason or f'judged {len(known)} of {len(pins())} libraries'}")
    pytest.skip(f"nobody can be asked here ({'; '.join(reasons)})")


def asked(service: str) -> tuple[list[dict[str, Any]], str]:
    """What a service says of each library, or why it says nothing."""
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--vulnerability-service", service]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=500)
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except ValueError:
        return [], (done.stderr.strip().splitlines() or ["no answer"])[-1][-200:]


@pytest.mark.soak
def test_no_pinned_library_has_a_known_vulnerability() -> None:
    vulnerable = {
        f"{one['name']} {one['version']}": [found["id"] for found in one["vulns"]] for one in judged() if one["vulns"]
    }

    assert vulnerable == {}


@pytest.mark.parametrize("name", MENDED_IN)
def test_no_pin_goes_back_behind_a_hole_that_was_mended(name: str) -> None:
    mended, advisory = MENDED_IN[name]

    assert Version(pins()[name]) >= Version(mended), advisory


def test_each_library_that_the_server_runs_with_was_looked_up() -> None:
    assert needed() - {"cm-graphql"} <= MENDED_IN.keys() | NOTHING_FOUND
    assert not MENDED_IN.keys() & NOTHING_FOUND


def test_whoever_installs_without_our_pins_gets_no_release_with_a_hole_either() -> None:
    ours = [Requirement(text) for text in metadata.requires("cm-graphql") or ()]
    least = {
        canonicalize_name(one.name): [part.version for part in one.specifier if part.operator == ">="] for one in ours
    }

    for name in least.keys() & MENDED_IN.keys():
        mended, advisory = MENDED_IN[name]
        assert least[name], name
        assert Version(least[name][0]) >= Version(mended), (name, advisory)


def needed() -> set[str]:
    """The names of all libraries that the server and its extras bring along, on any system."""
    found: set[tuple[str, frozenset[str]]] = set()
    open_ = [("cm-graphql", frozenset(SERVER))]
    while open_:
        name, extras = one = open_.pop()
        if one in found or (name not in pins() and name != "cm-graphql"):
            continue  # what is for other systems or versions of Python is not pinned here
        found.add(one)
        for requirement in map(Requirement, metadata.requires(name) or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                open_.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in found}


def test_every_library_is_pinned_to_one_version() -> None:
    lines = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]

    assert all(line.count("==") == 1 for line in lines)
    assert not any("://" in line or line.startswith("-") for line in lines)
