"""The documentation as its tests see it: pages, the examples on them, and the tables that repeat what the code says."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"

WRITING: Final = os.environ.get("CM_GRAPHQL_TEST_WRITE_DOCS") == "1"
"""Whether answers and tables are written anew instead of compared; look at the difference before committing it."""

WIDTH: Final = 92

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)


_NEW_ID = re.compile(r"[a-z]{2,3}_[0-9a-f]{12}7[0-9a-f]{19}")
"""Of a UUIDv7; the sample data has ids of its own, which stay the same."""
_PASSING = re.compile(_NEW_ID.pattern + r"|\d{4}-\d{2}-\d{2}T[\d:.]+Z")
"""New ids and moments, which are others each time."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page, and where its text stands in it."""

    language: str
    title: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Example:
    """A request and the answer that the page promises; `answer` is where it stands."""

    document: str
    variables: Mapping[str, Any]
    answer: Block


def pages(*folders: str) -> list[Path]:
    """The pages of the site, or of some folders of it."""
    return sorted(page for folder in folders or ("",) for page in (DOCS / folder).rglob("*.md"))


def name_of(page: Path) -> str:
    """What to call a page: its path from docs/."""
    return page.relative_to(DOCS).as_posix()


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(
            found["language"],
            found["title"] or "",
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.M),
            found.start("text"),
            found.end("text"),
        )
        for found in _BLOCK.finditer(text)
    ]


def examples(text: str) -> Iterator[Example]:
    """The examples of a page: a block of GraphQL titled Request, perhaps its variables, and the answer."""
    found = blocks(text)
    for position, block in enumerate(found):
        if (block.language, block.title) != ("graphql", "Request"):
            continue
        rest = found[position + 1 :]
        variables: dict[str, Any] = {}
        if rest and rest[0].title == "Variables":
            variables = json.loads(rest.pop(0).text)
        assert rest, f"no answer follows {block.text}"
        assert rest[0].language == "json", f"no answer follows {block.text}"
        yield Example(block.text, variables, rest[0])


def settled(actual: Any, shown: Any, aliases: dict[str, str]) -> Any:
    """The answer with what differs each time as the page shows it: new ids, which `aliases` remembers, and moments."""
    if isinstance(actual, dict) and isinstance(shown, dict):
        return {key: settled(value, shown.get(key), aliases) for key, value in actual.items()}
    if isinstance(actual, list) and isinstance(shown, list):
        return [settled(one, other, aliases) for one, other in zip_longest(actual, shown[: len(actual)])]
    if isinstance(actual, str) and isinstance(shown, str) and _PASSING.sub("", actual) == _PASSING.sub("", shown):
        aliases.update(zip(_NEW_ID.findall(shown), _NEW_ID.findall(actual), strict=False))
        return shown
    return actual


def fields(text: str) -> set[str]:
    """The root fields that a page is about, as its first lines say."""
    found = re.match(r"---\nfields: (.+)\n---\n", text)
    return set(found[1].split(", ")) if found else set()


@cache
def refusals_of(field: str) -> set[str]:
    """The symbols that a mutation can be refused with: those on its page, and those that all mutations share."""
    (own,) = (text for page in pages("operations") if field in fields(text := page.read_text(encoding="utf-8")))
    shared = (DOCS / "errors.md").read_text(encoding="utf-8").partition("### Every action")[2].partition("\n### ")[0]
    return _symbols(own) | _symbols(shared)


def _symbols(text: str) -> set[str]:
    return set(re.findall(r"`([A-Z_]{5,})`", text))


def table(text: str, name: str) -> str:
    """A table that the code knows better."""
    start, end = _span(text, name)
    return text[start:end]


def with_table(text: str, name: str, table: str) -> str:
    """The page with another table."""
    start, end = _span(text, name)
    return text[:start] + table + text[end:]


def rows(*head: str, body: Iterable[tuple[str, ...]]) -> str:
    """Write a table in Markdown."""
    lines = (head, tuple("---" for _ in head), *body)
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def pretty(value: Any, indent: int = 0) -> str:
    """Write JSON with what fits on a line on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    inner, pad = indent + 2, " " * indent
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {pretty(one, inner)}" for key, one in value.items()]
        return "{\n" + ",\n".join(f"{pad}  {part}" for part in parts) + f"\n{pad}}}"
    return "[\n" + ",\n".join(f"{pad}  {pretty(one, inner)}" for one in value) + f"\n{pad}]"


def _span(text: str, name: str) -> tuple[int, int]:
    opening = f"<!-- table: {name} -->\n"
    start = text.index(opening) + len(opening)
    return start, text.index("<!-- end of table -->", start)
