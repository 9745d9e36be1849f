"""The documentation as a site: built strictly, and read in a browser that reaches nothing else."""

import functools
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conformance.browser import browsing
from documentation import ROOT


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, built from the pages as they are."""
    if importlib.util.find_spec("mkdocs") is None:
        tool("mkdocs")  # says that it is missing
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_site_loads_nothing_from_elsewhere_and_can_be_searched(site: str, chromium: str, tmp_path: Path) -> None:
    with browsing(chromium, tmp_path) as page:
        for path in ("index.html", "operations/settlement/apply.html", "reference/domain.html"):
            page.goto(f"{site}/{path}")
            assert page.evaluate("document.querySelector('h1').innerText")

        page.click("label[for=__search]") if page.evaluate("innerWidth < 960") else page.click(".md-search__input")
        page.type("proration")
        page.wait("document.querySelector('.md-search-result__item')")

        assert page.strangers == []
        assert page.complaints == []
