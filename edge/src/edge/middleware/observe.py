"""The outermost layer: request id, trace, log line and metrics of every request, and an answer to every defect."""

import logging
import re
import secrets
import time
from typing import Any, Final

from dormouse_runtime import logs, telemetry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.errors import internal_error
from edge.metrics import REQUEST_SECONDS, REQUESTS
from edge.request_context import KEY, RequestContext, put_context

from .security_headers import SecurityHeaders, completed

_log = logging.getLogger("edge.access")
_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

QUIET: Final = frozenset({"/healthz", "/readyz"})
"""Asked every few seconds by machines: logged only when the answer is not 2xx."""


_KEPT: Final = frozenset({"type", "method", "path", "route", KEY})
"""What the scope of a streaming request still has to hold."""


class ObserveMiddleware:
    """Gives every request an id, and tells logs, metrics and traces what became of it.

    Whatever answers, also a defect, carries the id, the context's headers and those for browsers.
    """

    def __init__(self, app: ASGIApp, security: SecurityHeaders = SecurityHeaders()) -> None:  # noqa: B008 - frozen
        self._app = app
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        traceparent, tracestate = headers.get(b"traceparent"), headers.get(b"tracestate")
        context = RequestContext(_request_id(headers.get(b"x-request-id", b"")))
        del headers  # not to be kept for as long as a stream lasts
        put_context(scope, context)
        id_header = (b"x-request-id", context.request_id.encode())
        defaults = self._security.of(scope)
        status = 0

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (*message.get("headers", ()), id_header, *context.answer_headers)
                message["headers"] = completed(own, defaults)
            await send(message)

        with logs.bind(request_id=context.request_id):
            _continue_trace(traceparent, tracestate)
            with telemetry.span(scope["method"], kind="server") as span:
                try:
                    await self._app(scope, receive, observed_send)
                    stream, context.stream = context.stream, None
                    if stream is not None:
                        _let_go(scope)
                        await stream.run(scope, receive, observed_send)
                except Exception:
                    _log.exception("a request failed because of a defect")
                    if status:
                        raise  # the answer has begun: only closing the connection tells the client now
                    await internal_error()(scope, receive, observed_send)
                finally:
                    route = _route(scope)
                    if telemetry.is_on():
                        span.set("http.request.method", scope["method"])
                        span.set("http.route", route)
                        span.set("http.response.status_code", status)
                        span.set("dormouse.run.id", context.run_id)
                    _report(scope, context, route, status)


def _request_id(given: bytes) -> str:
    return given.decode("ascii") if _ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def _continue_trace(traceparent: bytes | None, tracestate: bytes | None) -> None:
    if traceparent is None and not telemetry.is_on():
        return
    carrier = {
        name: value.decode("latin-1")
        for name, value in (("traceparent", traceparent), ("tracestate", tracestate))
        if value is not None
    }
    telemetry.continue_trace(carrier)


def _let_go(scope: Scope) -> None:
    """Frees what the route has left in the scope, which lives as long as the stream."""
    for name in [name for name in scope if name not in _KEPT]:
        del scope[name]


def _route(scope: Scope) -> str:
    """The route's template, so that ids in paths neither fill the metrics nor leak into them."""
    route: Any = scope.get("route")
    return getattr(route, "path", "unmatched")


def _report(scope: Scope, context: RequestContext, route: str, status: int) -> None:
    seconds = time.perf_counter() - context.started
    method = scope["method"] if route != "unmatched" else "*"
    REQUESTS.labels(method, route, str(status)).inc()
    REQUEST_SECONDS.labels(method, route).observe(seconds)
    if route in QUIET and status < 300:
        return
    facts: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    if context.tenant:
        facts["tenant"] = context.tenant
    if context.run_id:
        facts["run_id"] = context.run_id
    if context.thread_id:
        facts["thread_id"] = context.thread_id
    _log.info("request", extra=facts)
