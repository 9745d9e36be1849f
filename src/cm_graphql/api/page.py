"""What a person sees who opens the endpoint in a browser: how to ask it something."""

from collections.abc import Mapping
from html import escape

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>cm-graphql</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }}
  pre {{ background: #f3f3f3; color: #111; padding: 1rem; overflow-x: auto; }}
</style>
<h1>Credit memos over GraphQL</h1>
<p>This address answers GraphQL requests. Try one from a terminal:</p>
<pre>curl {url} \\
  -H 'content-type: application/json' \\
  -d '{{"query": "{{ creditMemos(first: 3) {{ nodes {{ id number status amount currency }} }} }}"}}'</pre>
<p>Any GraphQL client works with it. The schema, with a description on everything, is what the
introspection query answers, and what <code>cm-graphql schema export</code> prints.</p>
</html>
"""


def render(url: str) -> bytes:
    """Make the page for the address under which it was asked for."""
    return _PAGE.format(url=escape(url.partition("?")[0], quote=True)).encode()
