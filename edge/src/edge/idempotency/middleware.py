"""Sees to it that the answer of a request with a key is kept before it is sent."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.services import Services

from .claims import SLOT, KeptAnswer, Slot
from .request_key import HEADER


class IdempotencyMiddleware:
    """Next to the routes: what it sees is what they have said. Requests without a key pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or all(name != HEADER for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        slot = scope[SLOT] = Slot()
        services: Services = scope["app"].state.services
        answer = _Answer(services, slot, send)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            if slot.claim is not None and not answer.is_settled:
                # A stream, which follows; or a defect. The run, if there is one, knows what the answer is.
                await services.idempotency.left(slot.claim)


class _Answer:
    """Holds the beginning of an answer back until its body is there."""

    def __init__(self, services: Services, slot: Slot, send: Send) -> None:
        self._services = services
        self._slot = slot
        self._send = send
        self._start: Message | None = None
        self.is_settled = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            if self._slot.claim is not None and not message.get("more_body", False):
                kept = KeptAnswer(start["status"], [tuple(pair) for pair in start["headers"]], message.get("body", b""))
                self.is_settled = True
                await self._services.idempotency.answered(self._slot.claim, kept)
            await self._send(start)
        await self._send(message)
