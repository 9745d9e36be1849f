"""The wiring, in one place: settings to database to api, and the server that carries them."""

import asyncio
import contextlib
import ipaddress
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Final

import asyncpg
import structlog
import uvicorn
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from uvicorn.supervisors import Multiprocess

from cm_graphql.api import explorer, logs
from cm_graphql.api.context import Api, Context
from cm_graphql.api.frame import Frame
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.page import plain
from cm_graphql.api.schema import schema
from cm_graphql.engine.runner import Engine
from cm_graphql.operations import refunds
from cm_graphql.operations.avalara import Avalara, AvalaraAccount, AvalaraUnavailable
from cm_graphql.operations.ports import TaxEngine
from cm_graphql.settings import Complaint, Settings, variable
from cm_graphql.store import migrations
from cm_graphql.store.database import Database, driver_url
from cm_graphql.store.direct import open_direct

PROBE_SECONDS: Final = 2.0
"""How long the readiness probe waits for the database; probers ask again soon."""

log = structlog.get_logger("cm_graphql.app")


class StartupError(Complaint):
    """The server cannot start as it was told to; the message says why and what would do."""


def create_app(settings: Settings) -> Starlette:
    """Make the ASGI application; its lifespan migrates and opens the database, and closes it at the end."""
    engines = tax_engines(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        url = settings.database_url.get_secret_value()
        await migrations.upgrade(url)
        database = open_database(settings)
        app.state.database = database
        direct = open_direct(database, settings.pool_size)
        api = Api(database=database, today=settings.today, engine=Engine(schema, direct), tax_engines=engines)
        app.state.api = api
        finishing = asyncio.create_task(_finish_refunds(api))
        try:
            yield
        finally:
            finishing.cancel()
            await asyncio.wait([finishing])
            await direct.close()
            await database.dispose()

    async def make_context(request: Request, request_id: str) -> Context:
        return Context.of(request.app.state.api, request_id=request_id)

    endpoint = GraphQLOverHTTP(
        schema._schema,
        make_context,
        limits=settings.limits(),
        introspection=settings.introspection,
        page=explorer.page if settings.shows_explorer else plain,
    )
    hosts = None if "*" in settings.allowed_hosts else settings.allowed_hosts
    return Starlette(
        routes=[
            Route("/", _to_graphql),
            Route("/graphql", endpoint),
            *([Mount(explorer.PATH, explorer.files)] if settings.shows_explorer else ()),
            Route("/healthz", _alive),
            Route("/readyz", _ready),
        ],
        middleware=[Middleware(Frame, hosts=hosts)],
        lifespan=lifespan,
    )


def from_environment() -> Starlette:
    """Make the application of a worker process, which knows its settings from the environment alone."""
    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    return create_app(settings)


def tax_engines(settings: Settings) -> dict[str, TaxEngine]:
    """Make the tax engines outside that the settings describe; raises StartupError where one cannot be used."""
    if settings.avalara_account_id is None:
        return {}
    if settings.avalara_license_key is None:
        raise StartupError(f"{variable('avalara_account_id')} needs {variable('avalara_license_key')} beside it.")
    account = AvalaraAccount(
        url=settings.avalara_url,
        account_id=settings.avalara_account_id,
        license_key=settings.avalara_license_key.get_secret_value(),
        company_code=settings.avalara_company_code,
        timeout=settings.avalara_timeout,
    )
    try:
        return {"avalara": Avalara(account)}
    except AvalaraUnavailable as error:
        raise StartupError(str(error)) from None


async def _finish_refunds(api: Api) -> None:
    """Conclude refunds that were left at the payment gateway, now and every minute (docs/decisions/0004)."""
    while True:
        try:
            await refunds.finish_unfinished(api.gate)
        except Exception as error:  # the next minute may be a better one
            log.warning("refunds_not_finished", reason=_first_line(error))
        await asyncio.sleep(refunds.PATIENCE.total_seconds())


def open_database(settings: Settings) -> Database:
    """Prepare the connections that the settings describe."""
    return Database.open(
        settings.database_url.get_secret_value(),
        pool_size=settings.pool_size,
        prepared_statements=settings.prepared_statements,
        lock_timeout=settings.lock_timeout,
        statement_timeout=settings.statement_timeout,
    )


async def migrate(settings: Settings) -> None:
    """Bring the database to the present schema, or raise StartupError saying why it cannot be reached or used."""
    url = settings.database_url.get_secret_value()
    try:
        parsed, dialect = driver_url(url)
    except ValueError as error:
        raise StartupError(f"{variable('database_url')}: {error}") from None
    shown = parsed.set(drivername=dialect).render_as_string(hide_password=True)
    try:
        if dialect == "sqlite" and "uri" not in parsed.query:
            # aiosqlite's thread writes a traceback of its own when it cannot open the file.
            sqlite3.connect(parsed.database or "").close()
        await migrations.upgrade(url)
    except sqlite3.Error as error:
        raise StartupError(f"The database {shown} cannot be used: {_first_line(error)}.") from None
    except CommandError as error:
        raise StartupError(f"The database {shown} was made by another version of cm-graphql: {error}.") from None
    except DBAPIError as error:
        raise StartupError(f"The database {shown} cannot be used: {_first_line(error.orig)}.") from None
    except (SQLAlchemyError, asyncpg.PostgresError, OSError) as error:
        raise StartupError(f"The database {shown} cannot be reached: {_first_line(error)}.") from None


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until told to stop; `announce` is called with the endpoint's URL once requests are answered.

    Raises StartupError when the settings forbid it, the address is taken or the database cannot be used.
    """
    addresses = _addresses(settings)
    _check(settings, addresses)
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(migrate(settings))
    sockets = _bind(settings, addresses)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{sockets[0].getsockname()[1]}/graphql"
    config = uvicorn.Config(
        create_app(settings) if settings.workers == 1 else f"{__name__}:{from_environment.__name__}",
        factory=settings.workers > 1,
        workers=settings.workers,
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,  # the frame writes it, with the request's id
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to end
        if settings.workers == 1:
            _Server(config, lambda: announce(url)).run(sockets)
        else:
            _hand_down(settings)
            _Workers(config, sockets, lambda: announce(url)).run()


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Workers(Multiprocess):
    """Says when the first of its processes is ready."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._ready = ready

    def init_processes(self) -> None:
        super().init_processes()
        if self.processes[0].wait_until_ready(60, self.should_exit):
            self._ready()


def _addresses(settings: Settings) -> list[tuple[socket.AddressFamily, str]]:
    """Look up the addresses to listen on: a name such as localhost can have two."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise StartupError(f"There is no address {settings.host!r} to listen on: try 127.0.0.1.") from None
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _check(settings: Settings, addresses: list[tuple[socket.AddressFamily, str]]) -> None:
    """Refuse what would be unsafe, before anything is opened."""
    tax_engines(settings)
    if not all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for _, address in addresses):
        raise StartupError(
            f"{settings.host} can be reached from other machines, and no authentication is configured: whoever reaches "
            "the port could issue and refund credit. Listen on 127.0.0.1, behind a proxy that knows its callers."
        )
    try:
        _, dialect = driver_url(settings.database_url.get_secret_value())
    except ValueError as error:
        raise StartupError(f"{variable('database_url')}: {error}") from None
    if settings.workers > 1 and dialect == "sqlite":
        raise StartupError(
            f"{settings.workers} workers need PostgreSQL: SQLite has one writer at a time, so more processes would "
            "only wait for each other. Use --workers 1, or a postgresql:// database."
        )


def _bind(settings: Settings, addresses: list[tuple[socket.AddressFamily, str]]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    port = settings.port
    for family, address in addresses:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
        except OSError as error:
            listener.close()
            if sockets:
                continue  # a machine without IPv6 still has a localhost
            raise StartupError(
                f"Cannot listen on {address} port {port}, {_first_line(error.strerror).lower()}: choose another port "
                "with --port, or --port 0 for any free one."
            ) from None
        port = listener.getsockname()[1]  # any free port, then the same one for the other address
        sockets.append(listener)
    return sockets


def _hand_down(settings: Settings) -> None:
    """Put into the environment what came from the command line, where the workers will look for it."""
    os.environ[variable("database_url")] = settings.database_url.get_secret_value()
    os.environ[variable("workers")] = str(settings.workers)


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


async def _to_graphql(_request: Request) -> Response:
    return RedirectResponse("/graphql")


async def _alive(_request: Request) -> Response:
    return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})


async def _ready(request: Request) -> Response:
    """Answer 200 when requests would succeed: the database answers and has the schema that we know."""
    status, code = "ready", 200
    try:
        async with asyncio.timeout(PROBE_SECONDS), request.app.state.database.read() as connection:
            revision = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
        if revision != migrations.head():
            status, code = "the database has another schema", 503
    except Exception as error:
        # A probe needs the answer, not the reason; the reason is for the log.
        log.warning("not_ready", reason=_first_line(error))
        status, code = "the database does not answer", 503
    return JSONResponse({"status": status}, status_code=code, headers={"cache-control": "no-store"})
