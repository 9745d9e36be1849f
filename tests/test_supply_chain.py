"""No library that we pin has a vulnerability that is known to the public."""

import importlib.util
import json
import re
import subprocess
import sys
from typing import Any, Final

import pytest

from documentation import ROOT

PINS: Final = ROOT / "constraints.txt"

SERVICES: Final = ("pypi", "osv")
"""Who is asked, one after the other: PyPI's own interface, which mirrors of the index lack, and osv.dev."""

MENDED_IN: Final = {
    "certifi": ("2024.7.4", "CVE-2024-39689"),
    "cryptography": ("44.0.1", "CVE-2024-12797"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "idna": ("3.7", "CVE-2024-3651"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "joserfc": ("1.3.5", "CVE-2025-65015"),
    "mako": ("1.2.2", "CVE-2022-40023"),
    "orjson": ("3.9.15", "CVE-2024-27454"),
    "pillow": ("11.3.0", "CVE-2025-48379"),
    "pypdf": ("6.0.0", "CVE-2025-55197"),
    "python-multipart": ("0.0.18", "CVE-2024-53981"),
    "requests": ("2.32.4", "CVE-2024-47081"),
    "starlette": ("0.49.1", "CVE-2025-62727"),
    "strawberry-graphql": ("0.257.0", "CVE-2025-22151"),
    "urllib3": ("2.6.0", "CVE-2025-66418"),
}
"""Releases that ended a hole in a library of ours. It is what can be checked without a network: whoever pins an older
one again, for whatever reason, is told why not. `make audit` knows of more.
"""


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

    assert _release(pins()[name]) >= _release(mended), advisory


def _release(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def test_every_library_is_pinned_to_one_version() -> None:
    lines = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]

    assert all(line.count("==") == 1 for line in lines)
    assert not any("://" in line or line.startswith("-") for line in lines)
