"""The host of a URL in its one canonical form. Whatever another program could read differently is refused."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from tool_fn.web.addresses import Address
from tool_fn.web.errors import RefusedError

_LONGEST_NAME: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# What inet_aton and browsers take for a part of an IPv4 address: decimal, octal, hexadecimal.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Host:
    """A DNS name in lower-case ASCII without a final dot, or an address. `text` is either, as a URL's host."""

    text: str
    address: Address | None = None


def canonical_host(raw: str) -> Host:
    """Reads a host as it stands in a URL, IPv6 in brackets. Raises RefusedError."""
    if raw.startswith("["):
        return _ipv6(raw)
    if not raw or len(raw) > _LONGEST_NAME or "%" in raw:
        raise RefusedError("The URL has no valid host name.")
    name = (raw if raw.isascii() else _to_ascii(raw)).lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    if len(name) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise RefusedError("The URL has no valid host name.")
    return Host(name)


def _to_ascii(raw: str) -> str:
    import idna  # 20 ms, for the few names that need it

    try:
        # UTS 46 also turns full-width digits, circled digits and ideographic dots into what they stand for.
        return idna.encode(raw, uts46=True, transitional=False, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise RefusedError("The URL's host is not a valid international domain name.") from error


def _ipv4(name: str) -> Host:
    try:
        address = IPv4Address(name)
    except AddressValueError as error:
        raise RefusedError("Write an IPv4 address as four decimal numbers, as in 192.0.2.1.") from error
    return Host(str(address), address)


def _ipv6(raw: str) -> Host:
    inner = raw[1:-1]
    if not raw.endswith("]") or "%" in inner or not inner.isascii():
        raise RefusedError("The URL's IPv6 address is not valid; zone ids are not allowed.")
    try:
        address = IPv6Address(inner)
    except AddressValueError as error:
        raise RefusedError("The URL's IPv6 address is not valid.") from error
    return Host(f"[{address}]", address)
