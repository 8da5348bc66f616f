"""What the command reads from the environment, once, at its start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """Names the variable and what it wants."""


@dataclass(frozen=True, slots=True)
class Settings:
    postgres_url: str
    """DORMOUSE_MIGRATIONS_POSTGRES_URL: the role that owns the tables."""
    application_role: str = "dormouse_app"
    """DORMOUSE_APP_ROLE: the role that gets what the services need."""
    bootstrap_key: Path | None = None
    """DORMOUSE_BOOTSTRAP_KEY: file of an API key that the tenant `default` is to have."""
    pepper: Path | None = None
    """DORMOUSE_KEY_PEPPER: file of the secret that keys are stored under; needed with a bootstrap key."""
    wait_s: float = 60.0
    """DORMOUSE_MIGRATIONS_WAIT_S: how long a database that does not answer is waited for."""


def from_env(environ: Mapping[str, str]) -> Settings:
    url = environ.get("DORMOUSE_MIGRATIONS_POSTGRES_URL", "")
    if not url:
        raise SettingsError(
            "DORMOUSE_MIGRATIONS_POSTGRES_URL is not set; it wants the URL of the owner role, postgresql://…"
        )
    bootstrap_key = _file(environ, "DORMOUSE_BOOTSTRAP_KEY")
    pepper = _file(environ, "DORMOUSE_KEY_PEPPER")
    if bootstrap_key is not None and pepper is None:
        raise SettingsError("DORMOUSE_KEY_PEPPER is not set; DORMOUSE_BOOTSTRAP_KEY needs it")
    wait = environ.get("DORMOUSE_MIGRATIONS_WAIT_S", "") or "60"
    try:
        wait_s = float(wait)
    except ValueError:
        raise SettingsError(f"DORMOUSE_MIGRATIONS_WAIT_S wants seconds, not {wait!r}") from None
    return Settings(url, environ.get("DORMOUSE_APP_ROLE", "") or "dormouse_app", bootstrap_key, pepper, wait_s)


def _file(environ: Mapping[str, str], name: str) -> Path | None:
    if not environ.get(name):
        return None
    path = Path(environ[name])
    if not path.is_file():
        raise SettingsError(f"{name} wants the path of a file; there is none at {path}")
    return path
