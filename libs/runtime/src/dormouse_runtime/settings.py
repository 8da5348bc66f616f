"""Reads a process's environment: each error names the variable and what it wants."""

from __future__ import annotations

import ipaddress
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_OLLAMA_PORT = 11434


class SettingsError(ValueError):
    """A variable holds what the process can't use. The text names the variable and what it wants."""


@contextmanager
def exit_on_bad_settings() -> Iterator[None]:
    """For `__main__`: ends the process with status 2 and one line on stderr instead of a traceback."""
    try:
        yield
    except SettingsError as error:
        print(f"bad settings: {error}", file=sys.stderr, flush=True)  # noqa: T201 - logging isn't set up yet
        raise SystemExit(2) from None


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port to listen on. Port 0: any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads `host:port` or `[v6]:port`. Raises ValueError."""
        host, colon, port = text.strip().rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not bare or (":" in bare and bare == host):
            raise ValueError(f"{text!r} is not host:port")
        if not (port.isascii() and port.isdigit() and int(port) < 65536):
            raise ValueError(f"{port!r} is not a port from 0 to 65535")
        return cls(bare, int(port))


@dataclass(frozen=True, slots=True)
class Environment:
    """Typed access to environment variables. An empty variable counts as unset."""

    variables: Mapping[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        """The variable's text; without a default the variable is required."""
        value = self.variables.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise SettingsError(f"{name} is not set")
        return default

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name, default).lower()
        if value not in allowed:
            raise SettingsError(f"{name}={value!r}: wants one of {', '.join(allowed)}")
        return value

    def boolean(self, name: str, default: bool) -> bool:
        value = self.text(name, str(default)).lower()
        if value not in _TRUE | _FALSE:
            raise SettingsError(f"{name}={value!r}: wants true or false")
        return value in _TRUE

    def integer(self, name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        text = self.text(name, str(default))
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise SettingsError(f"{name}={text!r}: wants a whole number from {least} to {most}")
        return value

    def seconds(self, name: str, default: float, *, least: float = 0.0, most: float = 86_400.0) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise SettingsError(f"{name}={text!r}: wants seconds, a number from {least:g} to {most:g}")
        return value

    def path(self, name: str, default: Path | None = None) -> Path:
        return Path(self.text(name, None if default is None else str(default)))

    def address(self, name: str, default: str) -> Address:
        text = self.text(name, default)
        try:
            return Address.parse(text)
        except ValueError as error:
            raise SettingsError(f"{name}={text!r}: wants host:port ({error})") from None

    def optional_address(self, name: str) -> Address | None:
        return self.address(name, "") if self.text(name, "") else None

    def postgres_url(self, name: str) -> str:
        """A URL of Postgres; empty where the variable is."""
        text = self.text(name, "")
        if text and not text.startswith(("postgresql://", "postgres://")):
            raise SettingsError(f"{name}: wants a URL that begins with postgresql://")
        return text

    def ollama_url(self, name: str) -> str:
        """Reads the variable as Ollama's own clients do: host, host:port or URL; 0.0.0.0 stands for this machine.

        The URL has no slash at its end. Unset: Ollama's own port on this machine.
        """
        text = self.text(name, "127.0.0.1")
        scheme, has_scheme, rest = text.rstrip("/").partition("://")
        if not has_scheme:
            scheme, rest = "http", scheme
        problem = f"{name}={text!r}: wants a host, host:port or http(s) URL"
        if scheme not in ("http", "https"):
            raise SettingsError(problem)
        try:
            parts = urlsplit(f"//{rest}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise SettingsError(problem) from error
        if port is None:
            port = {"http": 80, "https": 443}[scheme] if has_scheme else _OLLAMA_PORT
        return f"{scheme}://{_reachable(host or '127.0.0.1')}:{port}{parts.path.rstrip('/')}"


def _reachable(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)
