"""The command line `cm-graphql`: serve, try it out, migrate, fill with data, explain queries, print the schema."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import App, Parameter

from cm_graphql.settings import Complaint, Settings

if TYPE_CHECKING:
    from graphql import GraphQLSchema
    from rich.console import RenderableType

    from cm_graphql.operations.ports import SystemClock
    from cm_graphql.store.database import Database

# The commands import what they need themselves: loading the schema takes a moment that --help need not wait for.

DEMO_FILE = Path("demo.db")

T = TypeVar("T")

app = App(
    name="cm-graphql",
    help="Credit memos served as a GraphQL API. Settings come from CM_GRAPHQL_* variables; options go before them.",
)
schema_app = App(name="schema", help="The GraphQL schema.")
app.command(schema_app)
explorer_app = App(name="explorer", help="GraphiQL, which browsers are shown at the endpoint.")
app.command(explorer_app)
documents_app = App(
    name="documents", help="Registered documents: what clients were built with, answered by id, or alone if so set."
)
app.command(documents_app)
keys_app = App(name="keys", help="API keys, by which callers say who they are where CM_GRAPHQL_AUTH is keys or both.")
app.command(keys_app)

Source = Annotated[str, Parameter(allow_leading_hyphen=True)]
DatabaseUrl = Annotated[str | None, Parameter(help="sqlite:///file.db or postgresql://user:password@host/name.")]


@app.command
def serve(
    *, host: str | None = None, port: int | None = None, workers: int | None = None, database_url: DatabaseUrl = None
) -> None:
    """Answer GraphQL requests until stopped.

    Parameters
    ----------
    host
        The address to listen on; without authentication, only 127.0.0.1 and its like.
    port
        The port to listen on; 0 takes any free one.
    workers
        Server processes; more than one needs PostgreSQL.
    """
    from cm_graphql import app as wiring

    settings = _settings(host=host, port=port, workers=workers, database_url=database_url)
    wiring.serve(settings, _announce)


@app.command
def worker(*, database_url: DatabaseUrl = None) -> None:
    """Do jobs until stopped, beside or instead of the servers of the same PostgreSQL database.

    Any number of workers may run. One that dies is missed after a few seconds, and another takes its job over.
    """
    from cm_graphql import app as wiring

    wiring.work(_settings(database_url=database_url), lambda text: print(f"cm-graphql: {text}", flush=True))


@app.command
def demo(*, host: str | None = None, port: int | None = None, fresh: bool = False) -> None:
    """Serve sample data from the file demo.db here, made when it is missing.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on; 0 takes any free one.
    fresh
        Throw an existing demo.db away and begin anew.
    """
    from cm_graphql import app as wiring

    settings = _settings(host=host, port=port, workers=1, database_url=f"sqlite:///{DEMO_FILE}")
    if fresh:
        _remove_demo()
    if not DEMO_FILE.exists():
        print(f"Filling {DEMO_FILE} with sample data.", flush=True)
        try:
            asyncio.run(_fill_demo(settings))
        except BaseException:
            _remove_demo()  # half of it would look like all of it the next time
            raise
    wiring.serve(settings, lambda url: _announce_demo(url, settings))


@app.command
def migrate(*, database_url: DatabaseUrl = None) -> None:
    """Bring the database to the schema of this version; `serve` does so by itself."""
    from cm_graphql import app as wiring

    asyncio.run(wiring.migrate(_settings(database_url=database_url)))
    print("The database has the schema of this version.")


@app.command
def seed(*, memos: int, seed: int = 1, lean: bool = False, database_url: DatabaseUrl = None) -> None:
    """Fill the database with made-up documents, the same ones for the same numbers.

    Parameters
    ----------
    memos
        How many credit memos to make, with the accounts and invoices that they need.
    seed
        Which ones: the same number gives the same data.
    lean
        Make as few lines as possible, for the largest numbers.
    """
    if memos < 1:
        raise Complaint(f"--memos is {memos}: at least one has to be made.")
    asyncio.run(_seed(_settings(database_url=database_url), memos, seed, lean))


@app.command
def explain(
    query: Path,
    /,
    *,
    variables: str = "{}",
    operation: str | None = None,
    database_url: DatabaseUrl = None,
    dialect: Literal["sqlite", "postgresql"] = "sqlite",
) -> None:
    """Show how a query is answered: its plan, level by level, with the SQL.

    With --database-url, the database tells of each statement how it would go about it. Nothing is run but that.

    Parameters
    ----------
    query
        A file with the document; `-` for standard input.
    variables
        Their values, as a JSON object.
    operation
        Which operation, where the document has several.
    dialect
        For which database, where none is given.
    """
    from rich.console import Console

    from cm_graphql.api.explanation import NotExplained

    try:
        text = sys.stdin.read() if str(query) == "-" else query.read_text(encoding="utf-8")
        given = json.loads(variables)
    except (OSError, UnicodeDecodeError) as error:
        raise Complaint(f"{query} cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise Complaint(f"--variables is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise Complaint("--variables takes a JSON object, as in '{\"first\": 10}'.")
    try:
        tree = asyncio.run(_explained(text, operation, given, database_url, dialect))
    except NotExplained as error:
        raise Complaint(str(error)) from error
    # As wide as it takes: SQL that a pipe or a narrow window breaks can be copied nowhere.
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(tree, soft_wrap=True)


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


@explorer_app.command
def fetch() -> None:
    """Have npm bring GraphiQL's files, where the installation could not."""
    from cm_graphql.api.explorer import assets

    try:
        assets.fetch()
    except assets.FetchFailed as failed:
        raise Complaint(str(failed)) from None
    print("GraphiQL is in place: open the endpoint in a browser.")


@keys_app.command
def create(
    *,
    name: str,
    scope: Annotated[list[str] | None, Parameter(negative="")] = None,
    role: Literal["standard", "admin"] | None = None,
    account: Annotated[list[str] | None, Parameter(negative="")] = None,
    expires: str | None = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make an API key and print it; it cannot be shown again.

    Parameters
    ----------
    name
        What it is for, to know it again in the list.
    scope
        What its holder may do, such as credit_memos:read; may be given several times.
    role
        The scopes of a role: standard, or admin for all.
    account
        An account, by id or number, whose documents its holder may see, instead of all; may be given several times.
    expires
        The first day (UTC), or the moment, at which it works no longer: 2027-01-31 or 2027-01-31T12:00:00Z.
    """
    from cm_graphql.operations import api_keys
    from cm_graphql.operations.viewer import ROLES

    scopes = {*(scope or ()), *(ROLES[role] if role else ())}
    until = None if expires is None else _moment(expires)
    key, text = _with_database(
        database_url,
        lambda database, clock: api_keys.create(
            database, clock, name=name, scopes=scopes, accounts=account or None, expires_on=until
        ),
    )
    print(f"The key {key.id} ({key.name}), which is shown this once; keep it secret:", file=sys.stderr)
    print(text)


@keys_app.command(name="list")
def list_keys(*, database_url: DatabaseUrl = None) -> None:
    """Print the API keys, never their secrets."""
    from cm_graphql.operations import api_keys

    found = _with_database(database_url, lambda database, clock: api_keys.every(database))
    for key in found:
        print(f"{key.id}  {key.name}")
        limits = "all" if key.account_ids is None else " ".join(sorted(key.account_ids))
        print(f"    scopes: {' '.join(sorted(key.scopes))}\n    accounts: {limits}")
        moments = {
            "created": key.created_date,
            "last used": key.last_used_on,
            "expires": key.expires_on,
            "revoked": key.revoked_on,
        }
        shown = (f"{what}: {moment:%Y-%m-%d %H:%M:%S} UTC" for what, moment in moments.items() if moment)
        print(f"    {', '.join(shown)}")


@keys_app.command
def revoke(key: str, /, *, database_url: DatabaseUrl = None) -> None:
    """Take an API key back for good; servers refuse it within seconds.

    Parameters
    ----------
    key
        Its id, as `keys list` shows it.
    """
    from cm_graphql.operations import api_keys

    taken = _with_database(database_url, lambda database, clock: api_keys.revoke(database, clock, key))
    print(f"The key {taken.id} ({taken.name}) works no longer.")


@documents_app.command
def register(*paths: Path, database_url: DatabaseUrl = None) -> None:
    """Register the documents of a client, found in what its tools write; run it before the client is deployed.

    Parameters
    ----------
    paths
        Files or folders: Relay's or graphql-codegen's persisted documents, Apollo's manifest (.json), or documents
        themselves (.graphql, .gql), which are called by the SHA-256 of their text.
    """
    from cm_graphql.operations import registered

    if not paths:
        raise Complaint("Name the files or folders to register: cm-graphql documents register FILE|DIR...")
    settings = _settings(database_url=database_url)
    try:
        documents = registered.read(paths)
    except registered.NotRegistered as refused:
        raise Complaint(str(refused)) from None
    _refuse_unanswerable(settings, documents)
    made = _with_database(database_url, lambda database, clock: registered.register(database, clock, documents))
    print(f"{made} documents are registered, {len(documents) - made} were already.")


@documents_app.command(name="list")
def list_documents(*, database_url: DatabaseUrl = None) -> None:
    """Print the registered documents: id, and the names of their operations."""
    from graphql import OperationDefinitionNode, parse

    from cm_graphql.operations import registered

    for one in _with_database(database_url, lambda database, clock: registered.every(database)):
        names = [
            f"{node.operation.value} {node.name.value if node.name else ''}".strip()
            for node in parse(one.text).definitions
            if isinstance(node, OperationDefinitionNode)
        ]
        print(f"{one.id}  {', '.join(names)}")


@documents_app.command
def remove(*ids: str, database_url: DatabaseUrl = None) -> None:
    """Forget registered documents; servers know them no longer within seconds.

    Parameters
    ----------
    ids
        Their ids, as `documents list` shows them.
    """
    from cm_graphql.operations import registered

    _with_database(database_url, lambda database, clock: registered.remove(database, ids))
    print(f"{len(ids)} documents are forgotten.")


def _refuse_unanswerable(settings: Settings, documents: Mapping[str, str]) -> None:
    """Complain of each document that the server would refuse."""
    from cm_graphql.api.documents import Documents
    from cm_graphql.api.errors import DocumentRefused
    from cm_graphql.api.schema import schema

    judge = Documents(schema._schema, settings.limits())
    faults: list[str] = []
    for id, text in documents.items():
        try:
            judge.prepare(text)
        except DocumentRefused as refused:
            faults.append(f"{id[:80]}: {refused.errors[0]['message']}")
    if faults:
        raise Complaint("\n".join(["Nothing was registered, for these would be refused:", *faults]))


def main() -> None:
    """Run the command line; a complaint is one line and exit status 2, never a traceback."""
    try:
        app(sys.argv[1:])
    except Complaint as complaint:
        print("\n".join(f"cm-graphql: {line}" for line in str(complaint).splitlines()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _settings(**options: object) -> Settings:
    return Settings.load(options)


def _announce(url: str) -> None:
    print(f"cm-graphql is ready at {url} (Ctrl+C stops it)", flush=True)


def _announce_demo(url: str, settings: Settings) -> None:
    """Say beside the address where PDFs and mails are to be found."""
    if "://" not in settings.files_url:
        print(f"PDFs are kept in {Path(settings.files_url).absolute()}.")
    if settings.smtp_host is None:
        print(f"Mails are laid as .eml files, which mail programs open, into {settings.mail_folder.absolute()}.")
    _announce(url)


def _remove_demo() -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        DEMO_FILE.with_name(DEMO_FILE.name + suffix).unlink(missing_ok=True)


async def _fill_demo(settings: Settings) -> None:
    from cm_graphql import app as wiring
    from cm_graphql import seeding

    await wiring.migrate(settings)
    database = wiring.open_database(settings)
    try:
        await seeding.demo(database)
    finally:
        await database.dispose()


async def _seed(settings: Settings, memos: int, seed: int, lean: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cm_graphql import app as wiring
    from cm_graphql import seeding

    await wiring.migrate(settings)
    database = wiring.open_database(settings)
    columns = (TextColumn("Credit memos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns) as bar:
            task = bar.add_task("seed", total=memos)
            await seeding.seed(
                database, memos=memos, seed=seed, lean=lean, progress=lambda done: bar.update(task, completed=done)
            )
    finally:
        await database.dispose()


_NOWHERE = {"sqlite": "sqlite:///no-such-file.db", "postgresql": "postgresql://localhost/no-such-database"}
"""Databases that are never connected to."""


async def _explained(
    text: str,
    operation: str | None,
    variables: Mapping[str, object],
    url: str | None,
    dialect: Literal["sqlite", "postgresql"],
) -> "RenderableType":
    from cm_graphql import app as wiring
    from cm_graphql.api import explanation
    from cm_graphql.api.schema import schema
    from cm_graphql.store.direct import Unconnected, open_direct

    database = wiring.open_database(_settings(database_url=url or _NOWHERE[dialect]))
    direct = Unconnected(dialect) if url is None else open_direct(database)
    try:
        found = explanation.explain(schema, direct, database, text, operation, variables)
        said = {} if url is None else await explanation.analyses(direct, found)
        return explanation.drawn(found, said)
    finally:
        await direct.close()
        await database.dispose()


def _with_database(url: str | None, work: "Callable[[Database, SystemClock], Awaitable[T]]") -> "T":
    """Do something with a database, which gets the present schema first."""
    from cm_graphql import app as wiring
    from cm_graphql.operations.api_keys import KeyRefused
    from cm_graphql.operations.ports import SystemClock
    from cm_graphql.operations.registered import NotRegistered
    from cm_graphql.store.keys import MalformedId

    settings = _settings(database_url=url)

    async def run() -> T:
        await wiring.migrate(settings)
        database = wiring.open_database(settings)
        try:
            return await work(database, SystemClock())
        finally:
            await database.dispose()

    try:
        return asyncio.run(run())
    except (KeyRefused, MalformedId, NotRegistered) as refused:
        raise Complaint(str(refused)) from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Complaint(f"--expires is {text!r}: it has to be a date such as 2027-01-31, or a moment.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


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


if __name__ == "__main__":
    main()
