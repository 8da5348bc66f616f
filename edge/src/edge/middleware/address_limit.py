"""Refuses an address that sends too much, before anything is done for it: nobody knows yet whose requests these are."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.client_address import TrustedProxies, client_address, site_of
from edge.errors import ApiError

UNCOUNTED: Final = frozenset({"/healthz", "/readyz"})
"""Asked by machines that must not be refused: who is thought to be dead is restarted."""


class AddressLimitMiddleware:
    """Counts requests by the client's address, of IPv6 by its /64. Needs the services of the application."""

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in UNCOUNTED:
            site = site_of(client_address(scope, self._trusted))
            if site:
                try:
                    await scope["app"].state.services.limits.admit_address(site)
                except ApiError as refusal:
                    await refusal(scope, receive, send)
                    return
        await self._app(scope, receive, send)
