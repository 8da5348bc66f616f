"""Lets the audit log know where a request comes from, where addresses are to be kept."""

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.audit.log import client
from edge.client_address import TrustedProxies, client_address


class ClientAddressMiddleware:
    """Notes the client's address for what this request will be noted for."""

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client.set(client_address(scope, self._trusted))  # every request has a context of its own
        await self._app(scope, receive, send)
