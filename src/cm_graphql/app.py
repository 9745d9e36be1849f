"""The wiring, in one place: settings to database to api, and the server that carries them."""

import asyncio
import contextlib
import gc
import ipaddress
import multiprocessing
import os
import secrets
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog
import uvicorn
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from cm_graphql.api import explorer, logs, metrics
from cm_graphql.api.authentication import Authentication
from cm_graphql.api.browsers import Browsers
from cm_graphql.api.compression import Compression
from cm_graphql.api.connections import Connection
from cm_graphql.api.context import Api, Context
from cm_graphql.api.errors import Code, RequestRefused
from cm_graphql.api.federation import as_subgraph
from cm_graphql.api.files import FileEndpoint
from cm_graphql.api.frame import Frame, RequestCounts, note_viewer
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.links import Links
from cm_graphql.api.page import plain
from cm_graphql.api.persisted import PersistedDocuments
from cm_graphql.api.shortcut import STATE, Shortcut
from cm_graphql.api.sockets import Socket
from cm_graphql.api.streams import ENDING, Sockets
from cm_graphql.api.traffic import NoStorage, Traffic, TrafficRules, address_of
from cm_graphql.engine.runner import Engine
from cm_graphql.jobs.runners import RUNNERS
from cm_graphql.jobs.worker import Pace, Worker
from cm_graphql.operations import documents as document_actions
from cm_graphql.operations import refunds
from cm_graphql.operations.api_keys import KeyRing
from cm_graphql.operations.avalara import Avalara, AvalaraAccount, AvalaraUnavailable
from cm_graphql.operations.document_ports import DocumentPorts, Mailer
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.ports import SystemClock, TaxEngine
from cm_graphql.operations.registered import Registry
from cm_graphql.outside.files import ObjectFiles
from cm_graphql.outside.judging import ProcessJudge
from cm_graphql.outside.mail import FolderMailer, SmtpMailer
from cm_graphql.outside.pdf import BadFolder, TypstPrinter
from cm_graphql.settings import Complaint, Settings, variable
from cm_graphql.store import migrations
from cm_graphql.store.bus import Bus, TooSlow
from cm_graphql.store.database import Database, driver_url
from cm_graphql.store.direct import open_direct
from cm_graphql.store.documents import FILES_PATH

if TYPE_CHECKING:
    from cm_graphql.operations.tokens import Tokens

DEFAULT_RATE: Final = "60000/minute"
"""Requests of a caller with a key or a token, unless set: what no person and few programs reach."""

PROBE_SECONDS: Final = 2.0
"""How long the readiness probe waits for the database; probers ask again soon."""

log = structlog.get_logger("cm_graphql.app")

KEEP_ALIVE_SECONDS: Final = 75
"""For which an idle connection is kept: longer than clients and proxies keep theirs (60 seconds, mostly), for whoever
lets go first must be the one that sends, or a request meets a connection that is just being closed.
"""


class StartupError(Complaint):
    """The server cannot start as it was told to; the message says why and what would do."""


def create_app(settings: Settings) -> Starlette:
    """Make the ASGI application; its lifespan migrates and opens the database, and closes it at the end."""
    from cm_graphql.api.schema import schema  # here, because a worker has no use for it

    engines = tax_engines(settings)
    documents = open_documents(settings)
    secret = settings.link_secret
    signing = Links(
        **({} if secret is None else {"secret": secret.get_secret_value().encode()}), seconds=settings.link_seconds
    )
    tokens = open_tokens(settings)
    traffic = open_traffic(settings)

    counts = RequestCounts() if settings.metrics else None
    registry: Registry | None = None

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        nonlocal registry
        url = settings.database_url.get_secret_value()
        await migrations.upgrade(url)
        database = open_database(settings)
        app.state.database = database
        registry = Registry(database)
        direct = open_direct(database, settings.pool_size)
        engine = Engine(schema, direct)
        api = Api(
            database=database,
            today=settings.today,
            engine=engine,
            explains=settings.explain,
            tax_engines=engines,
            documents=documents,
            links=signing,
            listen_url=_listen_url(settings),
        )
        app.state.api = api
        if counts is not None:
            app.state.sources = metrics.Sources(counts, traffic, api, direct)
        ring = KeyRing(database, SystemClock()) if settings.auth in ("keys", "both") else None
        app.state.authentication = authentication = Authentication(ring, tokens)
        shortcut = Shortcut(
            api,
            engine,
            authentication,
            endpoint.documents,
            persisted,
            limits,
            traffic,
            endpoint.tell,
            browsers,
            hosts=hosts,
            proxies=settings.trusted_proxies,
            compression=compression,
            counts=counts,
        )
        finishing = asyncio.create_task(_finish_refunds(api))
        collecting = asyncio.create_task(_collect_orphans(api))
        try:
            with _ending_with_parent():
                async with _background(settings, api.gate, api.bus, with_worker=settings.embedded_worker):
                    _calm_the_collector()
                    yield {STATE: shortcut, ENDING: asyncio.Event()}
        finally:
            finishing.cancel()
            collecting.cancel()
            await asyncio.wait([finishing, collecting])
            if ring is not None:
                await ring.close()
            await direct.close()
            await database.dispose()

    async def make_context(request: HTTPConnection, request_id: str) -> Context:
        address = address_of(request)
        await traffic.check_failures(address)
        try:
            # What is logged of a key or token names the request, so that it is found beside its 401.
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                viewer = await request.app.state.authentication.viewer(request.headers.getlist("authorization"))
        except RequestRefused as refused:
            if refused.code is Code.UNAUTHENTICATED:
                await traffic.count_failure(address)
            raise
        note_viewer(request.scope, viewer.id)
        return Context.of(request.app.state.api, viewer=viewer, request_id=request_id)

    limits = settings.limits()
    persisted = PersistedDocuments(
        lambda: registry,
        automatic=settings.automatic_documents,
        registered_only=settings.documents == "registered",
    )
    endpoint = GraphQLOverHTTP(
        as_subgraph(schema._schema) if settings.federation else schema._schema,
        make_context,
        limits=limits,
        traffic=traffic,
        persisted=persisted,
        introspection=settings.introspection,
        page=explorer.page if settings.shows_explorer else plain,
    )
    browsers = Browsers(endpoint, settings.allowed_origins)
    served: ASGIApp = browsers
    compression = Compression(served) if settings.compression else None
    if compression is not None:
        served = compression
    hosts = None if "*" in settings.allowed_hosts else settings.allowed_hosts
    return Starlette(
        routes=[
            Route("/", _to_graphql),
            Route("/graphql", served),
            WebSocketRoute("/graphql", Sockets(endpoint, limits, traffic, settings.allowed_origins)),
            *([Mount(explorer.PATH, explorer.files)] if settings.shows_explorer else ()),
            Route(f"{FILES_PATH}{{id}}", FileEndpoint(make_context, traffic).__call__, methods=["GET", "HEAD"]),
            *([Route(metrics.PATH, metrics.MetricsEndpoint(make_context).__call__)] if settings.metrics else ()),
            Route("/healthz", _alive),
            Route("/readyz", _ready),
        ],
        middleware=[Middleware(Frame, hosts=hosts, direct={"/graphql": served}, counts=counts)],
        lifespan=lifespan,
    )


@contextlib.contextmanager
def _ending_with_parent() -> Iterator[None]:
    """Have one of several processes end when the one that started them is gone, as after `kill -9`.

    Nobody could stop or replace it any more, and it would keep the port.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(parent.sentinel)
        log.warning("parent_gone")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(parent.sentinel, end)
    try:
        yield
    finally:
        loop.remove_reader(parent.sentinel)


def _calm_the_collector() -> None:
    """Have the garbage collector look at what requests leave behind, and seldom.

    The schema and the modules are a million objects that stay; to walk them again and again while a large answer is
    made takes up to a third of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _listen_url(settings: Settings) -> str | None:
    url = settings.listen_database_url
    return None if url is None else url.get_secret_value()


@contextlib.asynccontextmanager
async def _background(settings: Settings, gate: Gate, bus: Bus, *, with_worker: bool) -> AsyncIterator[None]:
    """Tell and be told what was committed, and do jobs."""
    bus.start()
    pace = Pace(poll=settings.job_poll, lease=settings.job_lease, keep_days=settings.job_keep_days)
    worker = Worker(gate, RUNNERS, pace)
    waking = asyncio.create_task(_wake(worker, bus))
    if with_worker:
        worker.start()
    try:
        yield
    finally:
        waking.cancel()
        await worker.stop()
        await bus.stop()


async def _wake(worker: Worker, bus: Bus) -> None:
    """Have a worker look for jobs as soon as there may be one."""
    while True:
        with bus.listening("cmj_") as listener, contextlib.suppress(TooSlow):
            while True:
                await listener.heard()
                worker.wake()
        worker.wake()


def work(settings: Settings, announce: Callable[[str], None]) -> None:
    """Do jobs until told to stop; `announce` is called when it begins. Raises StartupError where that cannot be."""
    logs.configure(settings.log_level, settings.log_format)
    _, dialect = driver_url(settings.database_url.get_secret_value())
    if dialect == "sqlite":
        raise StartupError(
            "A worker of its own needs PostgreSQL: on SQLite the server does the jobs itself, as the only writer."
        )
    asyncio.run(_work(settings, announce))


async def _work(settings: Settings, announce: Callable[[str], None]) -> None:
    await migrate(settings)
    database = open_database(settings)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        gate = Gate(
            database,
            SystemClock(settings.today),
            tax_engines=tax_engines(settings),
            documents=open_documents(settings),
        )
        async with _background(settings, gate, Bus(database, _listen_url(settings)), with_worker=True):
            announce("The worker is ready (Ctrl+C stops it)")
            await stopped.wait()
    finally:
        await database.dispose()


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


async def _collect_orphans(api: Api) -> None:
    """Remove what crashes and deleted memos have left in the file store, now and every hour."""
    while True:
        try:
            await document_actions.collect_orphans(api.gate)
        except Exception as error:  # the file store or the database is away; the next hour is as good
            log.warning("orphans_not_collected", reason=_first_line(error))
        await asyncio.sleep(3_600)


def open_tokens(settings: Settings) -> "Tokens | None":
    """Make ready who checks tokens, where callers bring any; raises StartupError where a setting for it is missing."""
    if settings.auth not in ("jwt", "both"):
        return None
    from cm_graphql.operations.tokens import TokenRules, Tokens  # here, as its cryptography takes 9 MB

    url, issuer, audience = settings.jwt_jwks_url, settings.jwt_issuer, settings.jwt_audience
    if url is None or issuer is None or audience is None:
        needed = ", ".join(variable(name) for name in ("jwt_jwks_url", "jwt_issuer", "jwt_audience"))
        raise StartupError(f"{variable('auth')} is {settings.auth!r}, which needs {needed}: all of them.")
    return Tokens(
        TokenRules(
            jwks_url=url,
            issuer=issuer,
            audience=audience,
            algorithms=settings.jwt_algorithms,
            leeway=settings.jwt_leeway,
            scope_claim=settings.jwt_scope_claim,
            accounts_claim=settings.jwt_accounts_claim,
        )
    )


def open_traffic(settings: Settings) -> Traffic:
    """Make ready who keeps callers within their limits; raises StartupError where requests cannot be counted."""
    rate = settings.rate_limit or (None if settings.auth == "none" else DEFAULT_RATE)
    url = settings.rate_limit_url
    try:
        return Traffic(
            TrafficRules(
                rate=rate,
                failures=settings.rate_limit_failures,
                storage_url=None if url is None else url.get_secret_value(),
                running=settings.max_running,
                waiting=settings.max_waiting,
                heavy=settings.max_heavy,
                seconds=settings.request_timeout,
                sockets=settings.max_sockets,
                streams=settings.max_streams,
            )
        )
    except NoStorage as error:
        raise StartupError(f"{variable('rate_limit_url')}: {error}") from None


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


def open_documents(settings: Settings) -> DocumentPorts:
    """Make ready who draws PDFs, keeps files and carries mail; raises StartupError where the settings forbid it."""
    try:
        printer = TypstPrinter(
            template_folder=settings.template_folder,
            font_folders=[settings.fonts_folder] if settings.fonts_folder else [],
            logo=settings.logo_file,
            system_fonts=settings.system_fonts,
        )
    except BadFolder as error:
        raise StartupError(f"PDFs cannot be made: {error}") from None
    try:
        files = ObjectFiles.at(settings.files_url, settings.files_options)
    except ValueError as error:
        raise StartupError(f"{variable('files_url')}: {error}") from None
    return DocumentPorts(printer=printer, judge=ProcessJudge(), files=files, mailer=_mailer(settings))


def _mailer(settings: Settings) -> Mailer:
    sender, name = settings.mail_from, settings.mail_from_name
    if settings.smtp_host is None:
        return FolderMailer(folder=settings.mail_folder, sender=sender, sender_name=name)
    password = settings.smtp_password
    return SmtpMailer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=None if password is None else password.get_secret_value(),
        tls=settings.smtp_tls,
        sender=sender,
        sender_name=name,
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
    except migrations.OtherVersion as error:
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
        http=Connection,
        ws=Socket,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws_max_size=settings.max_body_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,  # the frame writes it, with the request's id
        server_header=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
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
    open_tokens(settings)
    open_traffic(settings)
    if settings.metrics and not metrics.is_installed():
        raise StartupError(f"{variable('metrics')} needs the extra `prometheus`: pip install 'cm-graphql[prometheus]'.")
    local = all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for _, address in addresses)
    if settings.auth == "none" and not local:
        raise StartupError(
            f"{settings.host} can be reached from other machines, and no authentication is configured: whoever reaches "
            "the port could issue and refund credit. Set CM_GRAPHQL_AUTH, or listen on 127.0.0.1, behind a proxy that "
            "knows its callers."
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
    if not settings.embedded_worker and dialect == "sqlite":
        raise StartupError(
            f"{variable('embedded_worker')} is false, and nobody else does jobs upon SQLite: PDFs, mails and "
            "asynchronous actions would wait for ever. Leave it on, or use a postgresql:// database."
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
    if settings.link_secret is None:
        # A link that one process has signed is followed to another.
        os.environ[variable("link_secret")] = secrets.token_hex(32)


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
            revision = await connection.run_sync(migrations.revision)
        if revision != migrations.head():
            status, code = "the database has another schema", 503
    except Exception as error:
        # A probe needs the answer, not the reason; the reason is for the log.
        log.warning("not_ready", reason=_first_line(error))
        status, code = "the database does not answer", 503
    later = {} if code == 200 else {"retry-after": "5"}
    return JSONResponse({"status": status}, status_code=code, headers={"cache-control": "no-store", **later})
