"""The edge's settings: read once from the environment, frozen, with errors that name the variable."""

import secrets
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dormouse_runtime.settings import Address, SettingsError
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .auth.oidc.issuers import Issuer, load_issuers
from .auth.peppers import Peppers
from .client_address import TrustedProxies, parse_proxies
from .limits.plans import Plans, load_plans
from .origins import ANY, check_origin
from .policy.rules import Rules, read_rules_file
from .spending.prices import PriceList, load_prices

MIB = 1024 * 1024
_PREFIX = "DORMOUSE_"


def _address(value: Any) -> Any:
    return Address.parse(value) if isinstance(value, str) else value


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _proxies(value: Any) -> Any:
    return parse_proxies(_words(value)) if isinstance(value, str) else value


def _plans(value: Any) -> Any:
    return load_plans(Path(value)) if isinstance(value, str) else value


def _prices(value: Any) -> Any:
    return load_prices(Path(value)) if isinstance(value, str) else value


def _origins(value: Any) -> Any:
    return tuple(check_origin(word) for word in _words(value)) if isinstance(value, str) else value


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"wants the path of a file that exists; {path} does not")
    return path


def _peppers(path: Path) -> Path:
    Peppers.read(path)
    return path


def _safety(value: Any) -> Any:
    return read_rules_file(Path(value)) if isinstance(value, str) else value


def _issuers(value: Any) -> Any:
    return load_issuers(Path(value)) if isinstance(value, str) else value


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"wants a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _place(value: str) -> str:
    scheme, has_scheme, rest = value.partition("://")
    if has_scheme and scheme != "s3":
        raise ValueError("wants a folder, or s3://bucket/prefix")
    if has_scheme and not rest.partition("/")[0]:
        raise ValueError("wants a bucket: s3://bucket/prefix")
    return value


Listen = Annotated[Address, NoDecode, BeforeValidator(_address), PlainSerializer(str)]
File = Annotated[Path, AfterValidator(_readable)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]


class Settings(BaseSettings):
    """Every field is an environment variable: its name in capitals behind DORMOUSE_. An empty one counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", arbitrary_types_allowed=True
    )

    edge_listen: Listen = Address("127.0.0.1", 8080)
    """Where HTTP is served."""
    metrics_listen: Listen | None = None
    """Where Prometheus metrics are served. None: nowhere."""
    agent_target: str
    """gRPC target of agent_fn, for instance 127.0.0.1:8081 or dns:///agent-fn:80."""
    tool_target: str | None = None
    """gRPC target of tool_fn, for instance 127.0.0.1:8082 or dns:///tool-fn:80. None: there are no tools."""
    embed_target: str | None = None
    """gRPC target of embed_fn, for instance 127.0.0.1:8083 or dns:///embed-fn:80. None: no embeddings, no documents."""
    trusted_proxies: Annotated[TrustedProxies, NoDecode, BeforeValidator(_proxies)] = ()
    """Networks of the proxies in front, for instance 10.0.0.0/8, separated by commas: what they say of the client's
    address, scheme and host (x-forwarded-for, -proto, -host) is believed."""
    cors_origins: Origins = ()
    """Origins of web pages that may read answers, for instance https://app.example.org, separated by commas; or *."""
    cors_credentials: bool = False
    """Whether browsers send those pages' requests with cookies. Keys and tokens need no such thing."""
    hsts_s: Annotated[int, Field(ge=0)] = 31_536_000
    """For how long browsers that reach us by TLS shall use nothing else. 0: we do not say."""
    tls_certificate: File | None = None
    """PEM file: our certificate and those between it and its root. None: TLS ends at a proxy, or there is none."""
    tls_key: File | None = None
    """PEM file: the certificate's private key. Both files are read again when they change."""
    connections_per_address: Annotated[int, Field(ge=0)] = 512
    """How many connections one address (of IPv6 one /64) may have open; loopback and trusted proxies any number.
    0: no limit."""
    audit_addresses: bool = False
    """Whether the audit log keeps the addresses of clients, which are personal data."""
    safety: Annotated[Rules, NoDecode, BeforeValidator(_safety)] = Field(default_factory=Rules)
    """YAML file: filters, hosts that tools may send to, what runs may do that have read what strangers wrote."""
    mcp_origins: Origins = ()
    """Origins of web pages that may use /mcp, for instance https://inspector.example.org, separated by commas. A
    request from any other page is refused, so that no page can reach a server on its visitor's own network."""
    files: Annotated[str, AfterValidator(_place)] | None = None
    """Where the originals of uploaded files are kept: a folder, or s3://bucket/prefix, with endpoint, region and
    credentials in the variables that AWS' own tools read. All replicas have the same. None: there are no files."""
    max_file_bytes: Annotated[int, Field(ge=1024)] = 100_000_000
    """A longer file is refused with 413."""
    service_key: File
    """JSON file: the private JWK that signs service tokens."""
    key_pepper: Annotated[File, AfterValidator(_peppers)]
    """File: the pepper of the API keys' MACs. While another takes its place both stand there, the new one in the first
    line."""
    token_issuer: Annotated[str, Field(min_length=1, max_length=200)] = "dormouse"  # noqa: S105 - a name
    """What access tokens say in `iss`; the platform's address is a good choice where others verify them too."""
    access_token_s: Annotated[int, Field(ge=60, le=3600)] = 600
    """How long an access token lives."""
    session_days: Annotated[float, Field(gt=0, le=366)] = 30
    """How long a session lasts, however often it is refreshed; then a person logs in again."""
    signing_key_days: Annotated[float, Field(gt=0, le=366)] = 30
    """How long a key signs access tokens before the next one does."""
    password_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """How many passwords are hashed at once; each takes a core for 50 ms."""
    password_memory_mib: Annotated[int, Field(ge=8, le=1024)] = 32
    """What hashing a password takes of memory, and in proportion of time. A change counts from a user's next login."""
    oidc: Annotated[tuple[Issuer, ...], NoDecode, BeforeValidator(_issuers)] = ()
    """Path of a YAML or JSON file that names other issuers whose tokens are good here, and what their claims mean."""
    postgres_url: Annotated[str, _url("postgresql", "postgres")]
    redis_url: Annotated[str, _url("redis", "rediss", "unix")]
    replica_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = Field(
        default_factory=lambda: secrets.token_hex(6)
    )
    """Names this process among the edge's replicas."""
    run_log_ttl_s: Annotated[int, Field(ge=1)] = 3600
    """How long the log of a finished run stays in Redis."""
    run_log_days: Annotated[int, Field(ge=1)] = 30
    """How long the log of a stored run stays in Postgres, and how long an interrupted run waits for answers."""
    lease_s: Annotated[float, Field(gt=0)] = 5
    """How long a replica may be silent before another takes its runs over."""
    shutdown_delay_s: Annotated[float, Field(ge=0)] = 0
    """How long requests are still taken after SIGTERM, while /readyz already says 503 and load balancers notice."""
    drain_s: Annotated[float, Field(ge=0)] = 25
    """How long open requests may go on after SIGTERM."""
    agent_probe_s: Annotated[float, Field(ge=0)] = 5
    """How old the last sign of life of agent_fn, tool_fn and embed_fn may be before /readyz asks. 0: it is asked only
    until it has answered once, so that the question does not keep a function awake that scales to zero."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    """A longer request body is refused with 413."""
    plans: Annotated[Plans, NoDecode, BeforeValidator(_plans)] = Field(default_factory=Plans)
    """Path of a YAML or JSON file with more plans: what tenants may take. `free` and `unlimited` are built in."""
    prices: Annotated[PriceList, NoDecode, BeforeValidator(_prices)] = Field(default_factory=PriceList)
    """Path of a YAML or JSON file that says what tokens cost. Without one nothing costs money."""
    ip_requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    """Requests that one address (of IPv6 one /64) may send before it is known whose they are. 0: any number."""
    model_wake_s: Annotated[float, Field(ge=0, le=3600)] = 0
    """How long a run waits for a model server that is not there, because it sleeps and is being woken: the start
    of a node included. 0: there is none that sleeps, and a run fails within seconds."""
    run_capacity: Annotated[int, Field(ge=0)] = 1000
    """Runs that this replica executes at once; more wait. About what the models can serve at once, divided by the
    number of replicas. 0: any number."""
    run_queue: Annotated[int, Field(ge=0)] = 200
    """Runs that may wait here for others to end; more are refused with 503."""
    run_wait_s: Annotated[float, Field(gt=0)] = 30
    """How long a run may have to wait, by the length of those before it; a run that would wait longer is refused."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("DORMOUSE_TLS_CERTIFICATE and DORMOUSE_TLS_KEY: want to be set both, or neither")
        if self.cors_credentials and ANY in self.cors_origins:
            raise ValueError("DORMOUSE_CORS_CREDENTIALS: wants origins by name, not *, in DORMOUSE_CORS_ORIGINS")
        return self


def load() -> Settings:
    """Reads the environment. Raises SettingsError, which names every variable that is wrong."""
    try:
        return Settings()  # type: ignore[call-arg]  # they come from the environment
    except ValidationError as error:
        raise SettingsError(
            "; ".join(_sentence(item["loc"], item["type"], item["msg"]) for item in error.errors())
        ) from None


def _sentence(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    if not loc:
        return message.removeprefix("Value error, ")  # it names the variables itself
    name = f"{_PREFIX}{loc[0]}".upper()
    if kind == "missing":
        return f"{name} is not set"
    return f"{name}: {message.removeprefix('Value error, ')}"
