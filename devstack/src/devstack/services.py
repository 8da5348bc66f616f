"""How each service is started on one machine: its command line, and the environment it needs and nothing more."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# What any program may need of the person's environment.
_GENERAL = frozenset({
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
})  # fmt: skip
# Given out below to those that need them; or the supervisor's own business.
_WIRING = frozenset({
    *("DORMOUSE_HOME", "DORMOUSE_PORT", "DORMOUSE_EDGE_REPLICAS", "DORMOUSE_URL", "DORMOUSE_API_KEY"),
    *("DORMOUSE_POSTGRES_URL", "DORMOUSE_REDIS_URL", "DORMOUSE_MIGRATIONS_POSTGRES_URL", "DORMOUSE_BOOTSTRAP_KEY"),
    *("DORMOUSE_APP_ROLE", "DORMOUSE_SERVICE_KEY", "DORMOUSE_TRUSTED_KEYS", "DORMOUSE_KEY_PEPPER"),
    *("DORMOUSE_LISTEN", "DORMOUSE_METRICS_LISTEN", "DORMOUSE_EDGE_LISTEN", "DORMOUSE_AGENT_TARGET"),
    *("DORMOUSE_TOOL_TARGET", "DORMOUSE_TOOLS_CONFIG", "DORMOUSE_TOOLS_PATH", "DORMOUSE_REPLICA_ID"),
    # The supervisor itself speaks plain HTTP, on this machine only.
    *("DORMOUSE_EMBED_TARGET", "DORMOUSE_FILES", "DORMOUSE_TLS_CERTIFICATE", "DORMOUSE_TLS_KEY"),
})  # fmt: skip
# In the configuration of the tools, a field that ends in _env names a variable; this one is a default.
_NAMED_VARIABLE = re.compile(r"\w_env[\"']?\s*:\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)")
_SEARCH_KEY = "TAVILY_API_KEY"
_S3 = "s3://"


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and with which environment."""

    argv: tuple[str, ...]
    env: dict[str, str]


def agent_fn_program(
    environ: Mapping[str, str],
    *,
    listen: str,
    metrics_listen: str,
    trusted_keys: Path,
    postgres_url: str,
    ollama_host: str,
    tool_target: str = "",
    default_model: str = "",
) -> Program:
    """The agents. `listen` and `metrics_listen` are host:port; port 0 takes any, an empty `metrics_listen` is off.

    Without a `tool_target` they have no tools.
    """
    env = _settings(environ) | {
        "DORMOUSE_LISTEN": listen,
        "DORMOUSE_METRICS_LISTEN": metrics_listen,
        "DORMOUSE_TRUSTED_KEYS": str(trusted_keys),
        "DORMOUSE_POSTGRES_URL": postgres_url,
        "OLLAMA_HOST": ollama_host,
    }
    if tool_target:
        env["DORMOUSE_TOOL_TARGET"] = tool_target
    if default_model:
        env["DORMOUSE_DEFAULT_MODEL"] = default_model
    return Program(_module("agent_fn"), env)


def embed_fn_program(
    environ: Mapping[str, str],
    *,
    listen: str,
    metrics_listen: str,
    trusted_keys: Path,
    postgres_url: str,
    ollama_host: str,
) -> Program:
    """Embeddings, documents and search."""
    env = _settings(environ) | {
        "DORMOUSE_LISTEN": listen,
        "DORMOUSE_METRICS_LISTEN": metrics_listen,
        "DORMOUSE_TRUSTED_KEYS": str(trusted_keys),
        "DORMOUSE_POSTGRES_URL": postgres_url,
        "OLLAMA_HOST": ollama_host,
    }
    return Program(_module("embed_fn"), env)


def tool_fn_program(
    environ: Mapping[str, str],
    *,
    listen: str,
    metrics_listen: str,
    trusted_keys: Path,
    postgres_url: str,
    embed_target: str = "",
) -> Program:
    """The tools, as DORMOUSE_TOOLS_CONFIG and DORMOUSE_TOOLS_PATH want them; relative paths begin where we run.

    Of the person's environment they get the variables that the configuration names, and no others. Without an
    `embed_target` they reach no documents.
    """
    env = _settings(environ) | {
        "DORMOUSE_LISTEN": listen,
        "DORMOUSE_METRICS_LISTEN": metrics_listen,
        "DORMOUSE_TRUSTED_KEYS": str(trusted_keys),
        "DORMOUSE_POSTGRES_URL": postgres_url,
    }
    for name in ("DORMOUSE_TOOLS_CONFIG", "DORMOUSE_TOOLS_PATH"):
        if environ.get(name):
            env[name] = os.path.abspath(environ[name])  # noqa: PTH100  (keeps symbolic links)
    if embed_target:
        env["DORMOUSE_EMBED_TARGET"] = embed_target
    named = _named_variables(env.get("DORMOUSE_TOOLS_CONFIG", ""))
    return Program(_module("tool_fn"), {name: environ[name] for name in named if name in environ} | env)


def edge_program(
    environ: Mapping[str, str],
    *,
    listen: str,
    metrics_listen: str,
    agent_target: str,
    service_key: Path,
    pepper: Path,
    postgres_url: str,
    redis_url: str,
    tool_target: str = "",
    embed_target: str = "",
    replica_id: str = "",
    files: str = "",
) -> Program:
    """One replica of the edge. `files` is a folder or s3://bucket/prefix, which comes with the variables of AWS' tools.

    Without it no files are kept.
    """
    env = _settings(environ) | {
        "DORMOUSE_EDGE_LISTEN": listen,
        "DORMOUSE_METRICS_LISTEN": metrics_listen,
        "DORMOUSE_AGENT_TARGET": agent_target,
        "DORMOUSE_SERVICE_KEY": str(service_key),
        "DORMOUSE_KEY_PEPPER": str(pepper),
        "DORMOUSE_POSTGRES_URL": postgres_url,
        "DORMOUSE_REDIS_URL": redis_url,
    }
    env.setdefault("DORMOUSE_IP_REQUESTS_PER_MINUTE", "0")  # whoever sits at this machine is not counted by address
    if tool_target:
        env["DORMOUSE_TOOL_TARGET"] = tool_target
    if embed_target:
        env["DORMOUSE_EMBED_TARGET"] = embed_target
    if replica_id:
        env["DORMOUSE_REPLICA_ID"] = replica_id
    for name in ("DORMOUSE_PLANS", "DORMOUSE_PRICES", "DORMOUSE_OIDC"):
        if env.get(name):
            env[name] = os.path.abspath(env[name])  # noqa: PTH100  (keeps symbolic links)
    if files.startswith(_S3):
        env |= {name: value for name, value in environ.items() if name.startswith("AWS_")}
        env["DORMOUSE_FILES"] = files
    elif files:
        env["DORMOUSE_FILES"] = os.path.abspath(files)  # noqa: PTH100  (keeps symbolic links)
    return Program(_module("edge"), env)


def model_server_program(
    environ: Mapping[str, str], *, listen: str, options: Mapping[str, float] | None = None
) -> Program:
    """The development model server; `options` are its own, for instance `ttft_ms=20` or `slots=2`."""
    arguments = [f"--{name.replace('_', '-')}={value:g}" for name, value in (options or {}).items()]
    kept = {name: value for name, value in environ.items() if name in _GENERAL or name.startswith("DORMOUSE_SIM_")}
    return Program(_module("devstack.model_server", "--listen", listen, *arguments), kept | {"PYTHONUNBUFFERED": "1"})


def provider_server_program(environ: Mapping[str, str], *, listen: str, today: str = "") -> Program:
    """The development provider server: made-up search, encyclopedia, weather. `today`: YYYY-MM-DD, "" the real day."""
    chosen = ("--today", today) if today else ()
    kept = {name: value for name, value in environ.items() if name in _GENERAL}
    return Program(_module("devstack.provider_server", "--listen", listen, *chosen), kept | {"PYTHONUNBUFFERED": "1"})


def migrations_program(
    environ: Mapping[str, str], *, postgres_url: str, bootstrap_key: Path, pepper: Path, application_role: str
) -> Program:
    """The upgrade of the database; it ends by itself."""
    env = {name: value for name, value in environ.items() if name in _GENERAL} | {
        "DORMOUSE_MIGRATIONS_POSTGRES_URL": postgres_url,
        "DORMOUSE_APP_ROLE": application_role,
        "DORMOUSE_BOOTSTRAP_KEY": str(bootstrap_key),
        "DORMOUSE_KEY_PEPPER": str(pepper),
        "PYTHONUNBUFFERED": "1",
    }
    if "DORMOUSE_MIGRATIONS_WAIT_S" in environ:
        env["DORMOUSE_MIGRATIONS_WAIT_S"] = environ["DORMOUSE_MIGRATIONS_WAIT_S"]
    return Program(_module("migrations"), env)


def serving_addresses(line: str) -> tuple[str, str] | None:
    """The address and the metrics address of the line in which a service says that it serves. None: another line."""
    if '"serving"' not in line or not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("event") != "serving":
        return None
    return str(entry.get("address", "")), str(entry.get("metrics_address") or "")


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The general part, telemetry, and the services' own settings, which their names tell."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _GENERAL or name.startswith("OTEL_") or (name.startswith("DORMOUSE_") and name not in _WIRING)
    }
    return kept | {"PYTHONUNBUFFERED": "1"}


def _named_variables(config: str) -> set[str]:
    """The variables that the configuration of the tools names. What is wrong with the file tool_fn itself says."""
    try:
        text = Path(config).read_text(encoding="utf-8", errors="replace") if config else ""
    except OSError:
        text = ""
    return {_SEARCH_KEY, *_NAMED_VARIABLE.findall(text)}


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    # -P: the folder that we were started in must not lend modules to a service.
    return (sys.executable, "-P", "-m", name, *arguments)
