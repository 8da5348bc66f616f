"""What every answer says to browsers, unless its route says something else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge.client_address import TrustedProxies, is_secure

Header = tuple[bytes, bytes]

_EVERYWHERE: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # For browsers that do not know frame-ancestors.
    (b"x-frame-options", b"DENY"),
    # Answers are data; were one shown as a page, it could do and load nothing.
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_NOT_KEPT: Final[Header] = (b"cache-control", b"no-store")
_ASSETS: Final = "/docs/static/"


@dataclass(frozen=True, slots=True)
class SecurityHeaders:
    """Adds them. hsts_s: for how long browsers shall speak TLS with us only (RFC 6797); 0: it is not asked for."""

    trusted: TrustedProxies = ()
    hsts_s: int = 0

    def of(self, scope: Mapping[str, Any]) -> tuple[Header, ...]:
        """Those of a request's answer."""
        headers = _EVERYWHERE
        if not scope["path"].startswith(_ASSETS):
            headers += (_NOT_KEPT,)
        # Over plain HTTP browsers ignore it, as anybody on the way could have said it.
        if self.hsts_s and is_secure(scope, self.trusted):
            headers += ((b"strict-transport-security", b"max-age=%d" % self.hsts_s),)
        return headers


def completed(own: Iterable[Header], defaults: Iterable[Header]) -> list[Header]:
    """An answer's own headers, and those of the defaults that it lacks."""
    headers = list(own)
    names = {name for name, _ in headers}
    headers.extend(header for header in defaults if header[0] not in names)
    return headers
