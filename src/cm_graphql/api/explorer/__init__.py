"""GraphiQL in the browser: the page, the files it loads, and the examples that its tabs begin with."""

import functools
import gzip
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from cm_graphql.api.explorer import assets
from cm_graphql.api.page import Page

PATH: Final = "/graphql/explorer"
"""Where the files are served. The page names them relative to itself, so that a proxy may put a path before it."""

HERE: Final = Path(__file__).parent

HEADERS: Mapping[str, str] = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            # The one style that GraphiQL writes into the page itself, which keeps it still behind an open dialog.
            "style-src 'self' 'sha256-Y/huXlwoYkVyQlxwSVcCi1RCDGDCSVBzDt0hYP9qlTc='",
            "connect-src 'self'",
            "img-src 'self' data:",  # GraphiQL's styles bring small images and fonts along
            "font-src 'self' data:",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
}

_MEDIA_TYPES: Mapping[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}

_OWN: Final = ("explorer.css", "explorer.js", "icon.svg", "uploads.js")
_EXAMPLES: Final = "examples.json"
_VENDORED: Mapping[str, assets.Asset] = {
    asset.name: asset for asset in assets.ASSETS if Path(asset.name).suffix in _MEDIA_TYPES
}

_OPERATION: Final = re.compile(r"^(?:query|mutation|subscription) (\w+)", re.M)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cm-graphql explorer</title>
<link rel="icon" href="{base}/icon.svg">
{styles}
{scripts}
</head>
<body>
<header class="bar">
<h1>Credit memos over GraphQL</h1>
{controls}
</header>
<div id="files"></div>
<main id="explorer">
{body}
</main>
</body>
</html>
"""

_CONTROLS: Final = """<button id="examples" type="button"
  title="Close all tabs and open the examples again">Restore examples</button>
<label>Token
<input id="token" type="password" autocomplete="off" spellcheck="false" placeholder="none"
  title="Sent as `Authorization: Bearer ...`; forgotten when this tab is closed">
</label>"""

_LOADING: Final = """<div class="notice">
<p>The explorer is loading. If it does not appear, scripts are switched off in this browser, or a file did not arrive:
its console says which.</p>
</div>"""

_MISSING: Final = """<div class="notice">
<h2>GraphiQL is not installed here</h2>
<p>This page would show GraphiQL, with documentation, examples and an explorer. Its files come from npm when cm-graphql
is installed, and npm was not available then. Missing:</p>
<ul>
{files}
</ul>
<p>With npm on this machine (from Node.js, or by <code>pip install {node}</code>) this brings them:</p>
<pre>cm-graphql explorer fetch</pre>
<p>Then load this page again; the server need not be restarted. Meanwhile the address answers GraphQL requests:</p>
<pre>curl {url} \\
  -H 'content-type: application/json' \\
  -d '{{"query": "{{ creditMemos(first: 3) {{ nodes {{ id number status amount currency }} }} }}"}}'</pre>
</div>"""


def page(url: str) -> Page:
    """Make the page for the address under which it was asked for; it says so where GraphiQL's files are missing."""
    address = url.partition("?")[0]
    base = escape(f"{address.rstrip('/').rpartition('/')[2]}/explorer", quote=True)
    absent = [name for name in _VENDORED if not (assets.VENDOR / name).exists()]
    vendored = [] if absent else list(_VENDORED.values())
    styles = [_link(base, asset.name, asset.integrity) for asset in vendored if asset.name.endswith(".css")]
    scripts = [_script(base, asset.name, asset.integrity) for asset in vendored if asset.name.endswith(".js")]
    styles.append(_link(base, "explorer.css"))
    if absent:
        files = "\n".join(f"<li>{escape(name)}</li>" for name in absent)
        controls, body = "", _MISSING.format(files=files, node=assets.NODE, url=escape(address, quote=True))
    else:
        scripts += [_script(base, "uploads.js"), _script(base, "explorer.js")]
        controls, body = _CONTROLS, _LOADING
    text = _PAGE.format(base=base, styles="\n".join(styles), scripts="\n".join(scripts), controls=controls, body=body)
    return Page(text.encode(), HEADERS)


async def files(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the files that the page loads, mounted at PATH; anybody may read them, for they say nothing of the data."""
    name = scope["path"].rpartition("/")[2]
    if scope["method"] not in ("GET", "HEAD"):
        response: Response = PlainTextResponse("Only GET.\n", 405, {"allow": "GET, HEAD"})
    elif name not in (*_OWN, _EXAMPLES, *_VENDORED):
        response = PlainTextResponse("There is no such file.\n", 404)
    else:
        zipped = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        try:
            content = await run_in_threadpool(_content, name, zipped)
        except FileNotFoundError:
            response = PlainTextResponse("Run `cm-graphql explorer fetch`.\n", 404)
        else:
            response = Response(content, headers=_headers(name, scope["query_string"], zipped))
    await response(scope, receive, send)


@functools.cache
def examples() -> tuple[str, ...]:
    """Give the documents of the tabs, in their order."""
    found = sorted((HERE / "examples").glob("*.graphql"))
    return tuple(file.read_text(encoding="utf-8").strip() + "\n" for file in found)


def name(document: str) -> str:
    """Give the name of a document's first operation, which GraphiQL shows on its tab."""
    found = _OPERATION.search(document)
    return found[1] if found else ""


def _link(base: str, name: str, integrity: str | None = None) -> str:
    return f'<link rel="stylesheet" href="{base}/{name}{_pinned(integrity)}>'


def _script(base: str, name: str, integrity: str | None = None) -> str:
    return f'<script defer src="{base}/{name}{_pinned(integrity)}></script>'


def _pinned(integrity: str | None) -> str:
    """End an attribute that names a file: a pinned one is checked by the browser too, and kept for good."""
    return f'?{_mark(integrity)}" integrity="{integrity}"' if integrity else '"'


def _mark(integrity: str) -> str:
    """Tell this version of a file from others in its address, so that a browser never mixes them up."""
    return "".join(filter(str.isalnum, integrity))[-12:]


def _is_pinned(name: str, query_string: bytes) -> bool:
    return name in _VENDORED and query_string.decode("latin-1") == _mark(_VENDORED[name].integrity)


def _headers(name: str, query_string: bytes, zipped: bool) -> dict[str, str]:
    return {
        "content-type": _MEDIA_TYPES[Path(name).suffix],
        "cache-control": "public, max-age=31536000, immutable" if _is_pinned(name, query_string) else "no-cache",
        "vary": "accept-encoding",
        **({"content-encoding": "gzip"} if zipped else {}),
    }


@functools.cache
def _content(name: str, zipped: bool) -> bytes:
    """Read a file, once; raise FileNotFoundError for one that npm has not brought yet."""
    if zipped:
        return gzip.compress(_content(name, False), mtime=0)
    if name == _EXAMPLES:
        return json.dumps(examples()).encode()
    return ((assets.VENDOR if name in _VENDORED else HERE) / name).read_bytes()
