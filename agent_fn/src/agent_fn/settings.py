"""The settings of agent_fn, read from the environment once at start."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from dormouse_runtime.settings import Environment, SettingsError

_DEFAULT_OLLAMA_PORT = 11434
_PREFILL = {"auto": None, "always": True, "never": False}


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds.

    ollama_url: no slash at its end. default_model: empty for the first installed one that can answer. postgres_url:
    empty where there are no threads. execute_budget_s: see executor. model_first_token_timeout_s: silence before the
    first token, which may hold a wait in the model server's queue and the load of a model. model_read_timeout_s:
    silence after it. prefill: whether models can go on with an answer that was cut off; None: as their templates say.
    tool_target: where ToolService is, as gRPC names it; empty where there are no tools. tool_retry_s: how long calls
    are tried again that it could not take or broke off.
    """

    ollama_url: str
    default_model: str
    postgres_url: str
    execute_budget_s: float
    model_connect_timeout_s: float
    model_first_token_timeout_s: float
    model_read_timeout_s: float
    prefill: bool | None
    tool_target: str = ""
    tool_retry_s: float = 30

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Reads the variables; raises SettingsError."""
        env = Environment(environ)
        read_timeout_s = env.seconds("DORMOUSE_MODEL_READ_TIMEOUT_S", 120, least=0.01)
        return cls(
            ollama_url=_ollama_url(env.text("OLLAMA_HOST", "127.0.0.1")),
            default_model=env.text("DORMOUSE_DEFAULT_MODEL", ""),
            postgres_url=_postgres_url(env.text("DORMOUSE_POSTGRES_URL", "")),
            execute_budget_s=env.seconds("DORMOUSE_EXECUTE_BUDGET_S", 240, least=0.01),
            model_connect_timeout_s=env.seconds("DORMOUSE_MODEL_CONNECT_TIMEOUT_S", 5, least=0.01),
            model_first_token_timeout_s=env.seconds("DORMOUSE_MODEL_FIRST_TOKEN_TIMEOUT_S", read_timeout_s, least=0.01),
            model_read_timeout_s=read_timeout_s,
            prefill=_PREFILL[env.choice("DORMOUSE_MODEL_PREFILL", tuple(_PREFILL), "auto")],
            tool_target=env.text("DORMOUSE_TOOL_TARGET", ""),
            tool_retry_s=env.seconds("DORMOUSE_TOOL_RETRY_S", 30),
        )


def _postgres_url(text: str) -> str:
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise SettingsError("DORMOUSE_POSTGRES_URL: wants a URL that begins with postgresql://")
    return text


def _ollama_url(text: str) -> str:
    """Reads OLLAMA_HOST as Ollama's own clients do: host, host:port or URL; 0.0.0.0 stands for this machine."""
    scheme, has_scheme, rest = text.rstrip("/").partition("://")
    if not has_scheme:
        scheme, rest = "http", scheme
    problem = f"OLLAMA_HOST={text!r}: wants a host, host:port or http(s) URL"
    if scheme not in ("http", "https"):
        raise SettingsError(problem)
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(problem) from error
    if port is None:
        port = {"http": 80, "https": 443}[scheme] if has_scheme else _DEFAULT_OLLAMA_PORT
    return f"{scheme}://{_reachable(host or '127.0.0.1')}:{port}{parts.path.rstrip('/')}"


def _reachable(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)
