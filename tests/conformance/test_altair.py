"""Altair, an explorer from another origin that is allowed: it reads the schema and asks."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from conformance.browser import browsing
from conformance.conftest import serving_the_tour
from conformance.tools import Node

DIST = "node_modules/altair-static/build/dist"
SEND = ".send-request__button"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_altair_is_answered(node: Node, chromium: str, tmp_path: Path) -> None:
    handler = functools.partial(Quiet, directory=str(node.folder / DIST))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{pages.server_port}"
        with serving_the_tour(tmp_path, CM_GRAPHQL_ALLOWED_ORIGINS=origin) as server:
            node.run("altair.mjs", f"{server}/graphql", "query Mine { viewer { id } }")
            with browsing(chromium, tmp_path) as page:
                page.goto(f"{origin}/page.html")
                page.wait("document.body.innerText.includes('Last updated')")  # the schema was read
                page.click(SEND)
                page.wait("document.body.innerText.includes('usr_local')")
                assert page.strangers == []
                assert page.complaints == []
        pages.shutdown()
