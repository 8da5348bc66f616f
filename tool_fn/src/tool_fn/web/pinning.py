"""Connections to the addresses that were checked and to no other, whatever the host's name resolves to by now."""

import socket
from ipaddress import IPv6Address, ip_address
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from tool_fn.web.guard import Target

if TYPE_CHECKING:
    import aiohttp


def pinned_connector(target: Target, tls: "SSLContext | None" = None) -> "aiohttp.TCPConnector":
    """A connector for requests to one target. tls: None for the system's certificates."""
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Pinned(AbstractResolver):
        """Gives the addresses that were checked; nobody is asked a second time."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            if host != target.host:
                raise OSError(f"{host} was not checked")
            return [
                ResolveResult(
                    hostname=host,
                    host=str(address),
                    port=port,
                    family=socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
                for address in target.addresses
            ]

        async def close(self) -> None:
            """Holds nothing."""

    def checked_socket(found: tuple[Any, ...]) -> socket.socket:
        """The last gate: it sees where the connection really goes, however the library came to that."""
        family, kind, protocol, _, address = found
        if ip_address(address[0]) not in target.addresses or address[1] != target.port:
            raise OSError("the address was not checked")
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        resolver=Pinned(),
        use_dns_cache=False,
        socket_factory=checked_socket,
        limit=1,
        force_close=True,
        ssl=True if tls is None else tls,
    )
