"""Altair, an explorer from another origin that is allowed: it reads the schema, asks, and is told of what happens."""

import functools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from conformance.browser import Page, browsing
from conformance.conftest import serving_the_tour
from conformance.tools import Node

DIST = "node_modules/altair-static/build/dist"
SEND = ".send-request__button"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


WATCH = "subscription Told { creditMemoChanged { creditMemo { number comment } } }"
CHANGE = """mutation ($text: String!) {
  updateCreditMemo(input: {key: "CM00000002", comment: $text}) { userErrors { code } } }"""


def test_altair_is_answered_and_told_of_changes(node: Node, chromium: str, tmp_path: Path) -> None:
    handler = functools.partial(Quiet, directory=str(node.folder / DIST))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{pages.server_port}"
        with serving_the_tour(tmp_path, CM_GRAPHQL_ALLOWED_ORIGINS=origin) as server:
            with asking(node, server, "query Mine { viewer { id } }", origin, chromium, tmp_path / "query") as page:
                page.wait("document.body.innerText.includes('usr_local')")
            with asking(node, server, WATCH, origin, chromium, tmp_path / "subscription") as page:
                deadline = time.monotonic() + 30
                while "It is told" not in page.text():  # the subscription begins at some time after the click
                    assert time.monotonic() < deadline, page.text()
                    body = {"query": CHANGE, "variables": {"text": f"It is told {time.monotonic()}"}}
                    assert "errors" not in httpx.post(f"{server}/graphql", json=body).json()
                    time.sleep(0.3)
        pages.shutdown()


@contextmanager
def asking(node: Node, server: str, document: str, origin: str, chromium: str, directory: Path) -> Iterator[Page]:
    """Altair in a fresh browser, at work on a document."""
    directory.mkdir()
    node.run("altair.mjs", f"{server}/graphql", document)
    with browsing(chromium, directory) as page:
        page.goto(f"{origin}/page.html")
        page.wait("document.body.innerText.includes('Last updated')")  # the schema was read
        page.click(SEND)
        yield page
        assert page.strangers == []
        assert page.complaints == []
