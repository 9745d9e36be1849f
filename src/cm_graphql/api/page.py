"""What a person sees who opens the endpoint in a browser: how to ask it something."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Final


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the headers that keep it from doing more than it should."""

    body: bytes
    headers: Mapping[str, str]


_STYLE: Final = """
  :root { color-scheme: light dark; }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }
  pre { background: color-mix(in srgb, currentcolor 8%, transparent); padding: 1rem; overflow-x: auto; }
"""

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>cm-graphql</title>
<style>{style}</style>
<h1>Credit memos over GraphQL</h1>
<p>This address answers GraphQL requests. Try one from a terminal:</p>
<pre>curl {url} \\
  -H 'content-type: application/json' \\
  -d '{{"query": "{{ creditMemos(first: 3) {{ nodes {{ id number status amount currency }} }} }}"}}'</pre>
<p>Any GraphQL client works with it. The schema, with a description on everything, is what the
introspection query answers, and what <code>cm-graphql schema export</code> prints.</p>
</html>
"""

_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
}


def plain(url: str) -> Page:
    """Make the page for the address under which it was asked for."""
    return Page(_PAGE.format(style=_STYLE, url=escape(url.partition("?")[0], quote=True)).encode(), _HEADERS)
