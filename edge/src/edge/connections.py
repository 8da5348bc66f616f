"""How many connections each address has open."""

import ipaddress
import logging
import time
from typing import Final

from .client_address import Network, TrustedProxies, is_in, site_of

TELL_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)

LOOPBACK: Final[tuple[Network, ...]] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class ConnectionCounter:
    """Lets each address have `limit` connections; those in `exempt`, and everybody where it is 0, any number.

    Behind a proxy the connections are the proxy's: it is trusted, so exempt, and has to limit its clients itself.
    """

    def __init__(self, limit: int, exempt: TrustedProxies = ()) -> None:
        self._limit = limit
        self._exempt = exempt
        self._open: dict[str, int] = {}
        self._told_at = float("-inf")

    def enter(self, address: str) -> bool:
        """Counts a new connection. False: the address has too many; it was not counted, and must not be let go."""
        if not self._limit or is_in(address, self._exempt):
            return True
        site = site_of(address)
        count = self._open.get(site, 0)
        if count >= self._limit:
            self._tell()
            return False
        self._open[site] = count + 1
        return True

    def leave(self, address: str) -> None:
        """One that was let in has ended."""
        if is_in(address, self._exempt):
            return
        site = site_of(address)
        count = self._open.get(site, 0)
        if count > 1:
            self._open[site] = count - 1
        elif count:
            del self._open[site]

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            _log.warning(
                "an address has more than DORMOUSE_CONNECTIONS_PER_ADDRESS connections; if it is a proxy's, name it in "
                "DORMOUSE_TRUSTED_PROXIES"
            )
