"""Who is at the other end: the client's address, scheme and host, behind the proxies that are trusted and no others.

What a proxy says counts while the proxy is one of DORMOUSE_TRUSTED_PROXIES. `Forwarded` (RFC 7239) is not read: a proxy
that writes one of the two headers passes the client's own other one on, so that whoever reads both can be lied to.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TrustedProxies = tuple[Network, ...]

HOP_LIMIT: Final = 32
"""So many proxies are walked back at most; what comes before them is the client's own invention."""

_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_V4_WITH_PORT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
_V6_IN_BRACKETS: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?")
_V6_SITE: Final = 64
_LONGEST: Final = 80


def parse_proxies(words: Iterable[str]) -> TrustedProxies:
    """Networks from addresses and CIDR blocks. Raises ValueError, which says what is wrong."""
    proxies: list[Network] = []
    for word in words:
        try:
            proxies.append(ipaddress.ip_network(word))
        except ValueError:
            raise ValueError(
                f"wants addresses or networks such as 10.0.0.0/8, separated by commas; not {word}"
            ) from None
    return tuple(proxies)


def client_address(scope: Mapping[str, Any], trusted: TrustedProxies) -> str:
    """The client's address in its shortest form; "" where there is none (a Unix socket).

    `x-forwarded-for` is walked from the right, for as long as the one who added an entry is trusted. What is no address
    ends the walk: then it was the last trusted proxy.
    """
    peer = scope.get("client")
    here = _parse(peer[0]) if peer else None
    if here is None:
        return ""
    if not trusted or not _is_trusted(here, trusted):
        return str(here)
    for entry in _entries_from_the_right(scope):
        before = _parse(entry)
        if before is None:
            break
        here = before
        if not _is_trusted(here, trusted):
            break
    return str(here)


def is_in(address: str, networks: TrustedProxies) -> bool:
    """Whether the address belongs to one of the networks."""
    parsed = _parse(address)
    return parsed is not None and _is_trusted(parsed, networks)


def site_of(address: str) -> str:
    """What one subscriber holds, for counting: an IPv4 address, or the first 64 bits of an IPv6 address."""
    parsed = _parse(address)
    if parsed is None or parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed) >> _V6_SITE << _V6_SITE, _V6_SITE)))


def is_secure(scope: Mapping[str, Any], trusted: TrustedProxies) -> bool:
    """Whether the client speaks TLS: to us, or to a trusted proxy which says so (`x-forwarded-proto`)."""
    if scope.get("scheme") == "https":
        return True
    return _comes_from_proxy(scope, trusted) and _last(scope, b"x-forwarded-proto").lower() == "https"


def base_url(scope: Mapping[str, Any], trusted: TrustedProxies) -> str:
    """`https://host[:port]` as the client sees us, without a slash at its end; "" where the host is not a sane one.

    The host is the client's own word unless a trusted proxy gives it (`x-forwarded-host`): never build a link from it
    that somebody else will follow.
    """
    host = _last(scope, b"x-forwarded-host") if _comes_from_proxy(scope, trusted) else ""
    host = host or _last(scope, b"host")
    if not _HOST.fullmatch(host):
        return ""
    return f"{'https' if is_secure(scope, trusted) else 'http'}://{host}"


def _comes_from_proxy(scope: Mapping[str, Any], trusted: TrustedProxies) -> bool:
    peer = scope.get("client")
    if not trusted or not peer:
        return False
    address = _parse(peer[0])
    return address is not None and _is_trusted(address, trusted)


def _is_trusted(address: Address, trusted: TrustedProxies) -> bool:
    return any(address.version == network.version and address in network for network in trusted)


def _entries_from_the_right(scope: Mapping[str, Any]) -> list[str]:
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    entries = b",".join(values).decode("latin-1").rsplit(",", HOP_LIMIT)
    return entries[:0:-1] if len(entries) > HOP_LIMIT else entries[::-1]


def _last(scope: Mapping[str, Any], wanted: bytes) -> str:
    """The last value of a header that may be a list: what the nearest proxy has added."""
    value = next((value for name, value in reversed(scope["headers"]) if name == wanted), b"")
    return str(value.decode("latin-1").rpartition(",")[2].strip())


def _parse(text: str) -> Address | None:
    """An address as proxies write it: with a port or brackets, or not. An IPv4 address in IPv6's clothes is IPv4."""
    return _parse_short(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)  # the same few come again and again, and each takes 3 µs and more
def _parse_short(text: str) -> Address | None:
    text = text.strip()
    match = _V4_WITH_PORT.fullmatch(text) or _V6_IN_BRACKETS.fullmatch(text)
    try:
        address = ipaddress.ip_address(match[1] if match else text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return ipaddress.IPv6Address(int(address))
    return address
