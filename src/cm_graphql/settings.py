"""Everything that can be set from outside, read from the environment once and checked before anything starts."""

import difflib
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as MalformedSetting

from cm_graphql.api.limits import Limits
from cm_graphql.api.logs import LogFormat
from cm_graphql.api.traffic import refuse_unless_rate
from cm_graphql.domain.documents import address

PREFIX = "CM_GRAPHQL_"

TEST_PREFIX = f"{PREFIX}TEST_"
"""Variables of the test suite, which the server passes over."""

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
"""By these a machine calls itself, and nobody else calls it."""

SECRET: Final = (
    "database_url",
    "files_options",
    "link_secret",
    "listen_database_url",
    "rate_limit_url",
    "smtp_password",
)
"""Settings whose values are never repeated."""

JwtAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
"""Signatures that are checked with public keys; others, of shared secrets or none, are never accepted."""

_LIMITS = Limits()


class Complaint(Exception):
    """Something that a person has to change before the program can do its work; a line for each thing."""


class SettingsError(Complaint):
    """A setting has a wrong value or name; the message says which and what would be right."""


class Settings(BaseSettings):
    """The settings. Each is read from the environment variable of its name in capitals, after `CM_GRAPHQL_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///cm-graphql.db"),
        description="Where the data is: `sqlite:///file.db` or `postgresql://user:password@host/name`.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="The address to listen on. Without authentication only addresses of the machine itself.",
    )
    port: int = Field(default=8000, ge=0, le=65_535, description="The port to listen on; 0 takes any free one.")
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Server processes; more than one needs PostgreSQL, as SQLite has one writer.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("localhost", "127.0.0.1", "[::1]"),
        description="Host names that requests may be addressed to, separated by commas; `*` allows any. "
        "It keeps web pages from reaching a server on the reader's own machine.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins whose pages may call, separated by commas, as in `https://app.example.com` (CORS); unless "
        "set, only pages of the server itself.",
    )
    compression: bool = Field(
        default=True,
        description="Whether answers are compressed for clients that accept it: gzip, or br with the extra `brotli`.",
    )
    auth: Literal["none", "keys", "jwt", "both"] = Field(
        default="none",
        description="How callers say who they are: `keys` (API keys, see `cm-graphql keys create`), `jwt` (tokens of "
        "an identity provider) or `both`. With `none`, only this machine is served.",
    )
    jwt_jwks_url: str | None = Field(
        default=None,
        description="Where the identity provider publishes its keys (JWKS); https, or http on this machine.",
    )
    jwt_issuer: str | None = Field(default=None, min_length=1, description="What the claim `iss` of a token has to be.")
    jwt_audience: str | None = Field(
        default=None, min_length=1, description="What the claim `aud` of a token has to be or to hold."
    )
    jwt_algorithms: Annotated[tuple[JwtAlgorithm, ...], NoDecode] = Field(
        default=("RS256", "ES256", "Ed25519", "EdDSA"),
        min_length=1,
        description=f"Signatures that are accepted, separated by commas, of {', '.join(get_args(JwtAlgorithm))}.",
    )
    jwt_leeway: int = Field(
        default=30, ge=0, le=300, description="Seconds by which the identity provider's clock may differ from ours."
    )
    jwt_scope_claim: str = Field(
        default="scope", min_length=1, description="The claim with a caller's scopes: a text with spaces, or a list."
    )
    jwt_accounts_claim: str | None = Field(
        default=None,
        description="The claim with the ids of the only accounts that a caller sees, or `*` for all; a token without "
        "it then sees none. Unless set, everybody sees all.",
    )
    today: date | None = Field(
        default=None, description="Freezes the date, as in `2026-03-31`, for tests and demonstrations."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important log entries to write."
    )
    log_format: LogFormat = Field(
        default="auto", description="`console`, `json`, or `auto`: console at a terminal, JSON elsewhere."
    )
    metrics: bool = Field(
        default=False,
        description="Whether `/metrics` tells Prometheus what the server does; needs the extra `prometheus`.",
    )
    introspection: bool = Field(
        default=True, description="Whether the schema may be asked for; without it, errors do not suggest names either."
    )
    documents: Literal["any", "registered"] = Field(
        default="any",
        description="Which documents are answered: `any`, or only those that were `registered` with `cm-graphql "
        "documents register`.",
    )
    automatic_documents: bool = Field(
        default=True,
        description="Whether documents are remembered that clients send with their hash (automatic persisted queries).",
    )
    federation: bool = Field(
        default=False, description="Whether the server is a subgraph for a router of Apollo Federation 2."
    )
    explorer: bool | None = Field(
        default=None,
        description="Whether browsers are shown GraphiQL at the endpoint. Unless set, only where nobody but this "
        "machine is served: `host` and all of `allowed_hosts` are its own.",
    )
    explain: bool = Field(
        default=False,
        description='Whether a caller who may do everything, and sends `"extensions": {"plan": true}` in the request, '
        "is told how the query was answered: its plan with the SQL, under `extensions.plan`. For debugging.",
    )
    pool_size: int = Field(
        default=10,
        ge=1,
        le=1_000,
        description="Database connections of each pool of a process; on PostgreSQL it has three.",
    )
    lock_timeout: float = Field(
        default=5.0, gt=0, le=600, description="Seconds to wait for a lock or a connection before LOCK_CONTENTION."
    )
    statement_timeout: float = Field(
        default=30.0,
        gt=0,
        le=3_600,
        description="Seconds that one SQL statement may take; PostgreSQL only. A transaction that says nothing for "
        "twice as long, because its process froze, is undone.",
    )
    prepared_statements: bool = Field(
        default=True, description="Switch off for a PgBouncer in transaction mode; PostgreSQL only."
    )
    files_url: str = Field(
        default="files",
        description="Where PDFs are kept: a folder, or a bucket such as `s3://bucket/prefix`.",
    )
    files_options: Mapping[str, str] = Field(
        default={},
        description='What a bucket needs to be reached, as a JSON object such as `{"aws_region": "eu-central-1"}`; '
        "without it the store's own environment variables, such as AWS_REGION, are read.",
        repr=False,
    )
    link_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Signs links to files. Servers that answer for each other need the same; made up unless set.",
    )
    link_seconds: int = Field(default=300, ge=10, le=86_400, description="Seconds for which a link to a file works.")
    template_folder: Path | None = Field(
        default=None, description="A folder with a `credit-memo.typ` (Typst) that replaces the look of PDFs."
    )
    fonts_folder: Path | None = Field(
        default=None, description="A folder with fonts for PDFs, for scripts that the built-in ones lack."
    )
    system_fonts: bool = Field(default=True, description="Whether PDFs may use the fonts that the machine has.")
    logo_file: Path | None = Field(default=None, description="A picture for the head of PDFs: SVG, PNG or JPEG.")
    mail_from: str = Field(default="billing@localhost", description="The address that mails come from.")
    mail_from_name: str = Field(default="", description="The name that mails come from.")
    mail_folder: Path = Field(
        default=Path("mail"),
        description="Where mails are laid as `.eml` files as long as `smtp_host` names no server.",
    )
    smtp_host: str | None = Field(default=None, description="The mail server that mails are handed to.")
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="Its port.")
    smtp_tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls", description="How the way there is kept secret: `starttls`, `implicit` (port 465) or `none`."
    )
    smtp_username: str | None = Field(default=None, description="The name to log in with; without it nobody does.")
    smtp_password: SecretStr | None = Field(default=None, description="The password to log in with.")
    shutdown_timeout: int = Field(
        default=20, ge=1, le=600, description="Seconds that running requests get to finish when the server stops."
    )
    avalara_url: str = Field(default="https://rest.avatax.com", description="Where the tax engine Avalara is.")
    avalara_account_id: str | None = Field(
        default=None, description="The account that Avalara is asked as; without it the tax engine `avalara` is off."
    )
    avalara_license_key: SecretStr | None = Field(default=None, description="The key of that account.")
    avalara_company_code: str = Field(default="DEFAULT", description="The company there whose taxes are computed.")
    avalara_timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds to wait for Avalara.")
    embedded_worker: bool = Field(
        default=True,
        description="Whether the server does jobs itself. Switch off where `cm-graphql worker` processes do them, "
        "which needs PostgreSQL.",
    )
    job_poll: float = Field(
        default=1.0, gt=0, le=60, description="Seconds until a worker looks for jobs that nobody told it of."
    )
    job_lease: float = Field(
        default=15.0,
        ge=2,
        le=600,
        description="Seconds after which the job of a silent worker is taken over by another.",
    )
    job_keep_days: int = Field(
        default=30, ge=1, le=3_650, description="Days after which jobs that ended are forgotten."
    )
    listen_database_url: SecretStr | None = Field(
        default=None,
        description="The database past a connection pooler, which does not know LISTEN; unless set, `database_url`.",
    )
    rate_limit: str | None = Field(
        default=None,
        description="Requests that one caller may send in a time, as in `600/minute` or `20/second`. Unless set, "
        "60,000 per minute for callers with a key or token, and as many as they like without `auth`.",
    )
    rate_limit_failures: str = Field(
        default="300/minute", description="Requests without a valid token that one address may send in a time."
    )
    rate_limit_url: SecretStr | None = Field(
        default=None,
        description="The Redis in which all servers count requests together, as in `redis://host:6379/0`; needs the "
        "extra `redis`. Unless set, each process counts its own.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("127.0.0.1", "::1"),
        description="Addresses or networks of proxies, separated by commas, whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed.",
    )
    request_timeout: float = Field(
        default=60.0, gt=0, le=3_600, description="Seconds after which a request is stopped, and undone."
    )
    max_running: int = Field(default=32, ge=1, description="Requests of one caller that run at once in a process.")
    max_waiting: int = Field(default=1_000, ge=0, description="Requests of one caller that wait for their turn.")
    max_heavy: int = Field(
        default=2,
        ge=1,
        description="Requests of one caller that run at once of those that cost 100,000 and more, unless few rows "
        "answer them.",
    )
    max_sockets: int = Field(default=200, ge=1, description="Sockets that one caller has open at a process.")
    max_streams: int = Field(default=500, ge=1, description="Subscriptions that one caller has open at a process.")
    max_body_bytes: int = Field(default=_LIMITS.body_bytes, ge=1_024, description="Bytes of a request's body.")
    max_json_depth: int = Field(
        default=_LIMITS.json_depth, ge=8, le=200, description="Levels of arrays and objects in a request's JSON."
    )
    max_json_values: int = Field(
        default=_LIMITS.json_values, ge=1_000, description="Values in a request's JSON, arrays and objects included."
    )
    max_document_bytes: int = Field(default=_LIMITS.document_bytes, ge=2_048, description="Bytes of a document.")
    max_tokens: int = Field(default=_LIMITS.tokens, ge=500, description="Tokens of a document.")
    max_depth: int = Field(default=_LIMITS.depth, ge=1, description="Fields below one another.")
    max_nesting: int = Field(
        default=_LIMITS.nesting, ge=1, le=200, description="Selection sets inside one another, fragments included."
    )
    max_fields: int = Field(
        default=_LIMITS.fields, ge=1, description="Fields of an operation, its fragments spread out."
    )
    max_repeated_fields: int = Field(
        default=_LIMITS.repeated_fields, ge=0, description="Fields selected again beside themselves."
    )
    max_root_fields: int = Field(default=_LIMITS.root_fields, ge=1, description="Fields at the root of an operation.")
    max_aliases: int = Field(default=_LIMITS.aliases, ge=0, description="Aliases of an operation.")
    max_directives: int = Field(default=_LIMITS.directives, ge=0, description="Directives of an operation.")
    max_directives_per_place: int = Field(
        default=_LIMITS.directives_per_place, ge=0, description="Directives on one field, fragment or operation."
    )
    max_batch: int = Field(
        default=_LIMITS.batch, ge=0, le=100, description="Operations in one request, as a JSON array; 0 refuses arrays."
    )
    max_cost: int = Field(
        default=_LIMITS.cost, ge=1, description="What an operation may cost: the things that it could read."
    )

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read the environment; `overrides`, from the command line, go before it, and None among them says nothing.

        Raises SettingsError for values that are wrong and for variables that do not exist.
        """
        _refuse_unknown(os.environ)
        try:
            return cls(**{name: value for name, value in (overrides or {}).items() if value is not None})
        except ValidationError as error:
            raise SettingsError("\n".join(_sentence(fault) for fault in error.errors())) from None
        except MalformedSetting as error:  # where a setting is JSON; the text names the field, in quotes
            name = next((one for one in cls.model_fields if f'"{one}"' in str(error)), "")
            raise SettingsError(f"{variable(name)} has to be a JSON object, and is none.") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the command line and the environment, and no files that might lie about."""
        return init_settings, env_settings

    @field_validator("jwt_jwks_url")
    @classmethod
    def _safe_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://none")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL_NAMES):
            raise ValueError("it has to begin with https://")
        return value

    @field_validator("rate_limit", "rate_limit_failures")
    @classmethod
    def _rate(cls, value: str | None) -> str | None:
        if value is not None:
            refuse_unless_rate(value)
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origin(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("https", "http")
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError("each has to be a scheme and a host, as in https://app.example.com, and none is *")
        return value

    @field_validator("allowed_hosts", "allowed_origins", "jwt_algorithms", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("mail_from")
    @classmethod
    def _address(cls, value: str) -> str:
        spelled = address(value)
        if spelled is None:
            raise ValueError("it is no mail address")
        return spelled

    @field_validator("mail_from_name")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("it has line breaks or control characters")
        return value

    @field_validator("auth", "documents", "log_level", "log_format", "smtp_tls", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def shows_explorer(self) -> bool:
        """Whether browsers are shown GraphiQL: as set, else where only this machine is served."""
        if self.explorer is not None:
            return self.explorer
        return all(name.strip("[]") in LOCAL_NAMES for name in (self.host, *self.allowed_hosts))

    def limits(self) -> Limits:
        """Give the limits on requests, as the api takes them."""
        return Limits(**{name: getattr(self, f"max_{name}") for name in Limits.__dataclass_fields__})


def variable(name: str) -> str:
    """Give the environment variable of a setting."""
    return PREFIX + name.upper()


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {variable(name) for name in Settings.model_fields}
    given = {name for name in environ if name.upper().startswith(PREFIX) and not name.upper().startswith(TEST_PREFIX)}
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        raise SettingsError("\n".join(f"There is no setting {name}{_nearest(name, known)}" for name in unknown))


def _nearest(name: str, known: set[str]) -> str:
    names = sorted(one.removeprefix(PREFIX) for one in known)
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), names, n=1, cutoff=0)
    return f"; did you mean {PREFIX}{near[0]}?" if near else "."


def _sentence(fault: Mapping[str, Any]) -> str:
    """Say in one line which setting is wrong, without repeating values that could be secret."""
    name = str(fault["loc"][0]) if fault["loc"] else ""
    if fault["type"] == "extra_forbidden":
        return f"There is no setting {variable(name)}."
    shown = "" if name in SECRET else f" is {fault['input']!r}:"[:100]
    said = str(fault["msg"]).removeprefix("Value error, ").replace(" items after validation,", " characters,")
    return f"{variable(name)}{shown} {said[0].lower()}{said[1:]}."
