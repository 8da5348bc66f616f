"""What is known of a request from its arrival on; kept in its ASGI scope."""

import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

KEY = "dormouse.request"
"""Where the scope holds it."""


class Stream(Protocol):
    """An answer that takes its time."""

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it, to its end."""


@dataclass(slots=True)
class RequestContext:
    """One per request, made by the outermost middleware and filled in on the way."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    """Arrival, by the performance counter."""
    tenant: str = ""
    run_id: str = ""
    thread_id: str = ""
    stream: "Stream | None" = None
    """What the route leaves to be sent once the route itself has ended."""
    answer_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What the answer is to carry besides its own headers, errors included. Names in lower case."""
    taken: Sequence[Any] = ()
    """The windows that this request has taken from, given back when it is refused further in."""


def put_context(scope: MutableMapping[str, Any], context: RequestContext) -> None:
    """Called once, by the middleware."""
    scope[KEY] = context


def context_of(scope: MutableMapping[str, Any]) -> RequestContext:
    """The request's context."""
    context = scope[KEY]
    assert isinstance(context, RequestContext)
    return context
