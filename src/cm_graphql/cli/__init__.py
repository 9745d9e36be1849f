"""The command line `cm-graphql`: serve, try it out, migrate, fill with data; its other commands are beside this."""

import asyncio
import contextlib
import sqlite3
import sys
from pathlib import Path

from cyclopts import App

from cm_graphql.cli.base import DatabaseUrl, read_settings
from cm_graphql.cli.documents import documents_app
from cm_graphql.cli.explaining import explain
from cm_graphql.cli.keys import keys_app
from cm_graphql.cli.schema import schema_app
from cm_graphql.settings import Complaint, Settings

# The commands import what they need themselves: loading the schema takes a moment that --help need not wait for.

DEMO_FILE = Path("demo.db")

app = App(
    name="cm-graphql",
    help="Credit memos served as a GraphQL API. Settings come from CM_GRAPHQL_* variables; options go before them.",
)
explorer_app = App(name="explorer", help="GraphiQL, which browsers are shown at the endpoint.")
for _group in (schema_app, explorer_app, documents_app, keys_app):
    app.command(_group)
app.command(explain)


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

    settings = read_settings(host=host, port=port, workers=workers, database_url=database_url)
    wiring.serve(settings, _announce)


@app.command
def worker(*, database_url: DatabaseUrl = None) -> None:
    """Do jobs until stopped, beside or instead of the servers of the same PostgreSQL database.

    Any number of workers may run. One that dies is missed after a few seconds, and another takes its job over.
    """
    from cm_graphql import app as wiring

    wiring.work(read_settings(database_url=database_url), lambda text: print(f"cm-graphql: {text}", flush=True))


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

    settings = read_settings(host=host, port=port, workers=1, database_url=f"sqlite:///{DEMO_FILE}")
    if fresh:
        _require_unused_demo()
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

    asyncio.run(wiring.migrate(read_settings(database_url=database_url)))
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
    asyncio.run(_seed(read_settings(database_url=database_url), memos, seed, lean))


@explorer_app.command
def fetch() -> None:
    """Have npm bring GraphiQL's files, where the installation could not."""
    from cm_graphql.api.explorer import assets

    try:
        assets.fetch()
    except assets.FetchFailed as failed:
        raise Complaint(str(failed)) from None
    print("GraphiQL is in place: open the endpoint in a browser.")


def main() -> None:
    """Run the command line; a complaint is one line and exit status 2, never a traceback."""
    try:
        app(sys.argv[1:])
    except Complaint as complaint:
        print("\n".join(f"cm-graphql: {line}" for line in str(complaint).splitlines()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _announce(url: str) -> None:
    print(f"cm-graphql is ready at {url} (Ctrl+C stops it)", flush=True)


def _announce_demo(url: str, settings: Settings) -> None:
    """Say beside the address where PDFs and mails are to be found."""
    if "://" not in settings.files_url:
        print(f"PDFs are kept in {Path(settings.files_url).absolute()}.")
    if settings.smtp_host is None:
        print(f"Mails are laid as .eml files, which mail programs open, into {settings.mail_folder.absolute()}.")
    _announce(url)


def _require_unused_demo() -> None:
    """Refuse to throw a file away that somebody serves, who would go on with what nobody will find again."""
    with contextlib.closing(sqlite3.connect(DEMO_FILE, timeout=0)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")  # which nobody else may have a connection for
        except sqlite3.OperationalError:
            raise Complaint(f"{DEMO_FILE} is in use by another server: stop that first.") from None
        except sqlite3.DatabaseError:
            return  # no database at all


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
