"""What `up` reads from the environment, once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True)
class Settings:
    """Empty texts: not set."""

    home: Path
    """DORMOUSE_HOME: data, logs and secrets; `.dormouse` in the checkout."""
    port: int | None
    """DORMOUSE_PORT: where HTTP is served. None: 8080, or the next free one."""
    edge_replicas: int
    """DORMOUSE_EDGE_REPLICAS: 1 to 8."""
    postgres_url: str
    """DORMOUSE_POSTGRES_URL: a server that exists; none is started then."""
    migrations_url: str
    """DORMOUSE_MIGRATIONS_POSTGRES_URL: the owner role there, where it is another one."""
    redis_url: str
    """DORMOUSE_REDIS_URL: a server that exists; none is started then."""
    ollama_host: str
    """OLLAMA_HOST: the model server, which is then not looked for."""
    environ: Mapping[str, str]
    """The whole environment, for what the services read themselves."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises DevstackError, which names the variable."""
        port = _integer(environ, "DORMOUSE_PORT", 1, 65535)
        replicas = _integer(environ, "DORMOUSE_EDGE_REPLICAS", 1, 8)
        return cls(
            home=home(environ),
            port=port,
            edge_replicas=replicas or 1,
            postgres_url=_url(environ, "DORMOUSE_POSTGRES_URL", "postgresql://", "postgres://"),
            migrations_url=_url(environ, "DORMOUSE_MIGRATIONS_POSTGRES_URL", "postgresql://", "postgres://"),
            redis_url=_url(environ, "DORMOUSE_REDIS_URL", "redis://", "rediss://", "unix://"),
            ollama_host=environ.get("OLLAMA_HOST", "").strip(),
            environ=dict(environ),
        )


def home(environ: Mapping[str, str]) -> Path:
    """The folder that holds everything: DORMOUSE_HOME, else `.dormouse` in the checkout."""
    named = environ.get("DORMOUSE_HOME", "").strip()
    return Path(os.path.abspath(named)) if named else checkout() / ".dormouse"  # noqa: PTH100  (keeps symbolic links)


def checkout() -> Path:
    """The folder of the repository; where the package is installed elsewhere, the current one."""
    root = Path(__file__).parents[3]
    return root if (root / "devstack" / "pyproject.toml").exists() else Path.cwd()


def _integer(environ: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise DevstackError(f"{name} wants a whole number from {least} to {most}, not {text!r}")
    return int(text)


def _url(environ: Mapping[str, str], name: str, *starts: str) -> str:
    text = environ.get(name, "").strip()
    if text and not text.startswith(starts):
        raise DevstackError(f"{name} wants a URL that starts with {' or '.join(starts)}")
    return text
