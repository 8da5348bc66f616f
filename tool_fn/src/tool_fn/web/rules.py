"""What the operator allows: host patterns, and inside servers by host and port."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tool_fn.web.errors import RefusedError
from tool_fn.web.hosts import Host, canonical_host

# The web's own ports, and the range in which web servers listen when they may not have those. Elsewhere are mail,
# shells, name servers and databases, which can be made to understand a request; a model has no business there.
_WEB_PORTS: Final = frozenset({80, 443, *range(8000, 10000)})
_ENTRY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?")

# Names that lead inside by definition or custom. DNS servers of strangers answer for none of them.
_INSIDE_NAMES: Final = frozenset(
    {
        "localhost",
        "local",
        "localdomain",
        "internal",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "svc",
        "arpa",
        "test",
    }
    | {"invalid", "onion", "alt"}
)
_METADATA_NAMES: Final = frozenset({"metadata.goog", "metadata.tencentyun.com"})


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A host, or with `below` every host under it; on one port or on the web's ports."""

    host: str
    below: bool
    port: int | None

    def matches(self, host: str, port: int) -> bool:
        fits = host.endswith("." + self.host) if self.below else host == self.host
        return fits and (port == self.port if self.port is not None else port in _WEB_PORTS)


@dataclass(frozen=True, slots=True)
class Rules:
    """Which hosts and ports tools may name. Empty: every public host on the web's ports (80, 443, 8000 to 9999)."""

    patterns: tuple[_Pattern, ...] = ()
    exceptions: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def read(cls, allow: Sequence[str] = (), allow_private: Sequence[str] = ()) -> "Rules":
        """From the configuration. Raises ValueError for an entry that is none.

        allow: `example.org` (that host), `*.example.org` (all below it, not itself); with `:port` for another port than
        the web's. allow_private: `host:port`, exactly.
        """
        exceptions = []
        for entry in allow_private:
            pattern = _read(entry, "allow_private")
            if pattern.below or pattern.port is None:
                raise ValueError(f"allow_private: {entry!r} is not host:port")
            exceptions.append((pattern.host, pattern.port))
        return cls(tuple(_read(entry, "allow") for entry in allow), frozenset(exceptions))

    @classmethod
    def only(cls, hosts: Sequence[str]) -> "Rules":
        """The hosts that a caller may reach, in the form of `allow`; entries that are none of it fit nothing."""
        patterns = []
        for entry in hosts:
            with suppress(ValueError):
                patterns.append(_read(entry, "hosts"))
        return cls(tuple(patterns))

    def lists(self, host: Host, port: int) -> bool:
        """Whether a pattern fits the host. Without patterns: none does."""
        return any(pattern.matches(host.text, port) for pattern in self.patterns)

    def is_exception(self, host: Host, port: int) -> bool:
        """Whether the operator let this inside server through."""
        return (host.text, port) in self.exceptions

    def check_name(self, host: Host, port: int) -> None:
        """Raises RefusedError for a host that is not allowed, by its name alone. Says nothing about addresses."""
        if host.address is None:
            last = host.text.rpartition(".")[2]
            if last in _INSIDE_NAMES or last == host.text or host.text in _METADATA_NAMES:
                raise RefusedError(f"{host.text} is inside a private network. Only public addresses can be reached.")
        if self.patterns:
            if not self.lists(host, port):
                raise RefusedError(f"{host.text}:{port} is not on the list of hosts that the operator allows.")
        elif port not in _WEB_PORTS:
            raise RefusedError(f"Port {port} cannot be reached: only 80, 443 and 8000 to 9999.")


def _read(entry: str, place: str) -> _Pattern:
    found = _ENTRY.fullmatch(entry.strip())
    if found is None:
        raise ValueError(f"{place}: {entry!r} is not a host, with or without a port")
    below = found["host"].startswith("*.")
    try:
        host = canonical_host(found["host"].removeprefix("*.") if below else found["host"])
    except RefusedError as error:
        raise ValueError(f"{place}: {entry!r} is not a host name or an address") from error
    port = None if found["port"] is None else int(found["port"])
    if (port is not None and not 0 < port < 65536) or (below and host.address is not None):
        raise ValueError(f"{place}: {entry!r} is not a host, with or without a port")
    return _Pattern(host.text, below, port)
