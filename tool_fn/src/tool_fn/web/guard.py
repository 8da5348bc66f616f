"""Decides what may be requested: reads a URL strictly, resolves its host once, and judges every address it has."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from tool_fn.web.addresses import Address, why_inside, why_never
from tool_fn.web.errors import FetchError, RefusedError
from tool_fn.web.hosts import canonical_host
from tool_fn.web.rules import Rules

LONGEST_URL: Final = 4096
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(#.*)?", re.DOTALL
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(:(?P<port>[0-9]{1,5}))?")
# White space, control characters, and the backslash, which some programs take for a slash.
_FORBIDDEN: Final = re.compile(r"[\s\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host name, as texts. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a connection may be made to: nothing but these addresses, on this port. `url` has the host's one form."""

    url: str
    scheme: str
    host: str
    port: int
    addresses: tuple[Address, ...]

    @property
    def origin(self) -> tuple[str, str, int]:
        """What has to stay the same for credentials to go along with a redirect."""
        return self.scheme, self.host, self.port


class Guard:
    """Judges URLs by the operator's rules. Redirects are URLs like any other: each has to come here, too."""

    def __init__(self, rules: Rules, resolve: Resolve | None = None) -> None:
        self._rules = rules
        self._resolve = resolve or system_resolve

    async def check(self, url: str, only: Rules | None = None) -> Target:
        """Raises RefusedError for what must not be reached, FetchError for a host that does not exist.

        only: the hosts that whoever asks may reach, among those that the operator allows.
        """
        scheme, raw_host, port, rest = _split(url)
        host = canonical_host(raw_host)
        if only is not None and not only.lists(host, port):
            raise RefusedError(f"{host.text}:{port} is not among the hosts that this caller may reach.")
        exception = self._rules.is_exception(host, port)
        if not exception:
            self._rules.check_name(host, port)
        addresses = (host.address,) if host.address is not None else await self._addresses(host.text, port)
        for address in addresses:
            reason = why_never(address) or (None if exception else why_inside(address))
            if reason is not None:
                # Not which address: where a name leads inside is nothing for strangers to find out.
                raise RefusedError(f"{host.text} is {reason}. Only public addresses can be reached.")
        shown = host.text if port == _DEFAULT_PORTS[scheme] else f"{host.text}:{port}"
        path = rest if rest.startswith("/") else "/" + rest
        return Target(f"{scheme}://{shown}{path}", scheme, host.text, port, addresses)

    async def _addresses(self, name: str, port: int) -> tuple[Address, ...]:
        try:
            found = await self._resolve(name, port)
            addresses = tuple(dict.fromkeys(ip_address(text) for text in found))
        except (OSError, ValueError) as error:
            raise FetchError(f"There is no host {name}, or its name cannot be resolved now.", is_sent=False) from error
        if not addresses:
            raise FetchError(f"The host {name} has no address.", is_sent=False)
        return addresses


async def system_resolve(name: str, port: int) -> Sequence[str]:
    """Asks as every program on this machine does. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _split(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, and the rest without its fragment. Raises RefusedError."""
    url = url.strip(" \t\r\n")
    if len(url) > LONGEST_URL:
        raise RefusedError(f"The URL is longer than {LONGEST_URL} characters.")
    if _FORBIDDEN.search(url):
        raise RefusedError(
            "The URL holds white space, control characters or a backslash; encode them as %20 and so on."
        )
    found = _URL.fullmatch(url)
    if found is None or found["scheme"].lower() not in _DEFAULT_PORTS:
        raise RefusedError("The URL must begin with http:// or https://.")
    scheme = found["scheme"].lower()
    if "@" in found["authority"]:
        raise RefusedError("The URL must not hold a user name or a password.")
    authority = _AUTHORITY.fullmatch(found["authority"])
    port = int(authority["port"] or _DEFAULT_PORTS[scheme]) if authority is not None else 0
    if authority is None or not 0 < port < 65536:
        raise RefusedError("The URL has no valid host and port.")
    return scheme, authority["host"], port, found["rest"]
