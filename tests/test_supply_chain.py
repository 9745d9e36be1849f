"""No library that we pin has a vulnerability that is known to the public."""

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

from documentation import ROOT

PINS = ROOT / "constraints.txt"


def judged() -> list[dict[str, Any]]:
    """What pip-audit knows of each pinned library; skips where it can ask nobody."""
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed: `make audit` does that")
    options = [
        "--requirement",
        str(PINS),
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True, timeout=500)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        pytest.skip(f"pip-audit cannot ask anybody: {done.stderr.strip().splitlines()[-1:]}")
    known = [one for one in found if "skip_reason" not in one]
    if len(known) < len(found) / 2:
        pytest.skip(f"the index answered for {len(known)} of {len(found)} libraries: without it nothing is known")
    return known


@pytest.mark.soak
def test_no_pinned_library_has_a_known_vulnerability() -> None:
    vulnerable = {
        f"{one['name']} {one['version']}": [found["id"] for found in one["vulns"]] for one in judged() if one["vulns"]
    }

    assert vulnerable == {}


def test_every_library_is_pinned_to_one_version() -> None:
    pins = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]

    assert all(line.count("==") == 1 for line in pins)
    assert not any("://" in line or line.startswith("-") for line in pins)
