"""Which IP addresses are public.

The ranges are IANA's special-purpose registries (IPv4, IPv6) and the addresses at which clouds serve credentials.
They are written down here because `ipaddress.is_global` differs between versions of Python, and passes some that
lead inside: NAT64, 6to4, addresses with an IPv4 address in them, metadata servers at public addresses.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address

_METADATA: Final = frozenset(
    {
        IPv4Address("169.254.169.254"),  # most clouds
        IPv4Address("169.254.170.2"),  # credentials of AWS containers
        IPv4Address("169.254.170.23"),
        IPv4Address("100.100.100.200"),  # Alibaba
        IPv4Address("192.0.0.192"),  # Oracle
        IPv4Address("168.63.129.16"),  # Azure; a public address
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd00:ec2::23"),
        IPv6Address("fd20:ce::254"),  # Google
    }
)

# Inside networks that an operator may open for single servers.
_INSIDE: Final = (
    (IPv4Network("10.0.0.0/8"), "a private address"),
    (IPv4Network("172.16.0.0/12"), "a private address"),
    (IPv4Network("192.168.0.0/16"), "a private address"),
    (IPv4Network("100.64.0.0/10"), "a shared address of a provider's network"),
    (IPv4Network("127.0.0.0/8"), "this machine itself"),
    (IPv6Network("::1/128"), "this machine itself"),
    (IPv6Network("fc00::/7"), "a private address"),
)

_NEVER: Final = (
    (IPv4Network("0.0.0.0/8"), "this machine itself"),
    (IPv4Network("169.254.0.0/16"), "a link-local address"),
    (IPv4Network("192.0.0.0/24"), "reserved"),
    (IPv4Network("192.0.2.0/24"), "reserved for documentation"),
    (IPv4Network("192.31.196.0/24"), "reserved"),
    (IPv4Network("192.52.193.0/24"), "reserved"),
    (IPv4Network("192.88.99.0/24"), "a relay into other networks"),
    (IPv4Network("192.175.48.0/24"), "reserved"),
    (IPv4Network("198.18.0.0/15"), "reserved for benchmarks"),
    (IPv4Network("198.51.100.0/24"), "reserved for documentation"),
    (IPv4Network("203.0.113.0/24"), "reserved for documentation"),
    (IPv4Network("224.0.0.0/4"), "a multicast address"),
    (IPv4Network("240.0.0.0/4"), "reserved"),
    # Of IPv6 only 2000::/3 is handed out; within it these are not, or carry an IPv4 address.
    (IPv6Network("2001::/23"), "reserved, or a tunnel (Teredo)"),
    (IPv6Network("2001:db8::/32"), "reserved for documentation"),
    (IPv6Network("2002::/16"), "a tunnel to an IPv4 address (6to4)"),
    (IPv6Network("2620:4f:8000::/48"), "reserved"),
    (IPv6Network("3fff::/20"), "reserved for documentation"),
)
_HANDED_OUT: Final = IPv6Network("2000::/3")
# The last 64 bits of an address that stands for an IPv4 address within a site (ISATAP, RFC 5214).
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def why_never(address: Address) -> str | None:
    """What the address is when no tool may reach it whatever the operator allows, such as cloud metadata."""
    if address in _METADATA:
        return "a server of the cloud that hands out credentials"
    for network, reason in _NEVER:
        if address in network:
            return reason
    if isinstance(address, IPv4Address) or why_inside(address):
        return None
    if address not in _HANDED_OUT:
        return "an IPv4 address in disguise" if address.ipv4_mapped is not None else "not a public address"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "an IPv4 address in disguise"
    return None


def why_inside(address: Address) -> str | None:
    """What the address is when it belongs to a private network or to this machine."""
    return next((reason for network, reason in _INSIDE if address in network), None)
