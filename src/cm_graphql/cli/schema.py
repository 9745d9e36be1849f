"""`cm-graphql schema`: print the schema, and tell what changed between two."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from cm_graphql.settings import Complaint

if TYPE_CHECKING:
    from graphql import GraphQLSchema

schema_app = App(name="schema", help="The GraphQL schema.")

Source = Annotated[str, Parameter(allow_leading_hyphen=True)]


@schema_app.command
def export(*, format: Literal["sdl", "json"] = "sdl", output: Path | None = None, check: bool = False) -> None:
    """Print the schema.

    Parameters
    ----------
    format
        GraphQL's schema language, or the introspection result as JSON.
    output
        The file to write instead of printing; with --check, the file to compare (schema.graphql).
    check
        Write nothing, and fail when the file is not the schema.
    """
    text = _sdl() if format == "sdl" else _introspection()
    if check:
        file = output or Path("schema.graphql")
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            raise Complaint(f"{file} is not the schema any more: run `cm-graphql schema export --output {file}`.")
    elif output:
        output.write_text(text, encoding="utf-8", newline="\n")
    else:
        sys.stdout.write(text)


@schema_app.command
def check(
    old: Source,
    new: Source | None = None,
    /,
    *,
    fail_on: Literal["breaking", "dangerous", "never"] = "breaking",
    format: Literal["text", "json"] = "text",
    header: Annotated[list[str] | None, Parameter(negative="")] = None,
) -> None:
    """Tell breaking, dangerous and safe changes between two schemas; the exit status is 1 if any of them matters.

    Parameters
    ----------
    old
        Where the schema was: a file (schema language or introspection JSON), `-` for standard input, or a server's URL.
    new
        Where it is now; without it, the schema of this version.
    fail_on
        The least change for which the exit status is 1.
    format
        Sentences, or JSON with a list for each kind.
    header
        Sent to servers, as in "authorization: Bearer TOKEN".
    """
    from cm_graphql.api.changes import Severity, compare

    if old == "-" and new == "-":
        raise Complaint("Only one of the schemas can come from standard input.")
    headers = dict(_header(text) for text in header or [])
    changes = compare(_schema(old, headers), _schema(new, headers))
    groups = {severity: [one for one in changes if one.severity is severity] for severity in reversed(Severity)}
    if format == "json":
        listed = {
            severity.name.lower(): [{"kind": change.kind, "message": change.message} for change in found]
            for severity, found in groups.items()
        }
        print(json.dumps(listed, indent=2, ensure_ascii=False))
    else:
        for severity, found in groups.items():
            print(f"{severity.name.capitalize()} changes: {len(found)}")
            print("".join(f"  {change.message}\n" for change in found), end="")
    if fail_on != "never" and any(change.severity >= Severity[fail_on.upper()] for change in changes):
        sys.exit(1)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Complaint(f"--header is {text!r}: it has to be a name, a colon and a value.")
    return name.strip(), value.strip()


def _schema(source: str | None, headers: Mapping[str, str]) -> "GraphQLSchema":
    """Read the schema from where it is said to be."""
    from cm_graphql.api.changes import NotASchema, parse

    if source is None:
        source, text = "this version", _sdl()
    elif source == "-":
        source, text = "standard input", sys.stdin.read()
    elif source.startswith(("http://", "https://")):
        text = _introspect(source, headers)
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Complaint(f"{source} cannot be read: {reason}.") from None
    try:
        return parse(text)
    except NotASchema as error:
        raise Complaint(f"{source} holds no schema: {error}.") from None


def _introspect(url: str, headers: Mapping[str, str]) -> str:
    """Ask a server for its schema."""
    import urllib.error
    import urllib.request

    from graphql import get_introspection_query

    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True, one_of=True
    )
    request = urllib.request.Request(  # noqa: S310 - the caller saw to http and https
        url,
        json.dumps({"query": query}).encode(),
        {"content-type": "application/json", "accept": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            text: str = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Complaint(f"{url} answered {error.code}: {error.read(200).decode(errors='replace')}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Complaint(f"{url} did not answer: {getattr(error, 'reason', error)}.") from None
    if '"__schema"' not in text:
        raise Complaint(f"{url} does not tell its schema: {text[:200]}")
    return text


def _sdl() -> str:
    from cm_graphql.api.schema import schema

    return schema.as_str().rstrip("\n") + "\n"


def _introspection() -> str:
    from graphql import introspection_from_schema

    from cm_graphql.api.schema import schema

    found = introspection_from_schema(schema._schema)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
