"""Traces: W3C context from call to call in every process, spans only where an OTLP endpoint is set.

Without an endpoint nothing of OpenTelemetry is imported; `traceparent` and `tracestate` are then handed on as they
came, so a process that exports nothing doesn't cut its callers' traces in two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

if TYPE_CHECKING:
    from dormouse_runtime.tracing import Tracing

Kind = Literal["server", "client", "internal", "producer", "consumer"]
Value = str | bool | int | float | list[str]

# Attribute names of https://opentelemetry.io/docs/specs/semconv/rpc/.
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS_CODE: Final = "rpc.response.status_code"

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(r"[\x20-\x7e]{1,512}")

_tracing: Tracing | None = None
_passed_on: Final[ContextVar[tuple[tuple[str, str], ...]]] = ContextVar("dormouse_trace", default=())


class Span:
    """A timed piece of work. As a context manager it is the parent of what happens inside, and ends with it.

    This one, used where nothing is exported, does nothing.
    """

    __slots__ = ()

    def set(self, name: str, value: Value) -> None:
        """Sets an attribute."""

    def fail(self, kind: str) -> None:
        """Marks the span as failed; kind is a short name such as an error reason, never a message."""

    def end(self) -> None:
        """Ends the span, where it isn't used as a context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the span; an exception marks it as failed with the exception's type."""


_NO_SPAN: Final = Span()


def setup(service: str, environ: Mapping[str, str]) -> None:
    """Starts exporting spans if the standard variables name an OTLP endpoint; otherwise does nothing.

    OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none are obeyed, sampler and headers are read by the SDK.
    """
    global _tracing
    if _tracing is not None or not any(environ.get(name) for name in _ENDPOINTS):
        return
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return
    from dormouse_runtime.tracing import Tracing

    _tracing = Tracing(service)


def shutdown(timeout_s: float = 1.0) -> None:
    """Exports what is left, at most that long: a collector that is down never holds up an exit."""
    global _tracing
    if _tracing is not None:
        _tracing.shutdown(timeout_s)
        _tracing = None


def is_on() -> bool:
    """Whether spans are recorded at all; attributes that are costly to make can be spared otherwise."""
    return _tracing is not None


def span(name: str, *, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None) -> Span:
    """A span below the present one: `with span("chat", kind="client", attributes={…}) as s: …`."""
    return _NO_SPAN if _tracing is None else _tracing.span(name, kind, attributes)


def rpc_span(method: str, kind: Literal["server", "client"]) -> Span | None:
    """The span of an RPC, "package.Service/Method"; None where nothing is exported."""
    if _tracing is None:
        return None
    return _tracing.span(method, kind, {RPC_SYSTEM: "grpc", RPC_METHOD: method})


def continue_trace(carrier: Mapping[str, Any]) -> None:
    """Makes the caller's trace (lower-case header or metadata names) the present task's."""
    if _tracing is not None:
        _tracing.attach(carrier)
        return
    traceparent = carrier.get("traceparent")
    if not isinstance(traceparent, str) or not _TRACEPARENT.fullmatch(traceparent):
        return
    tracestate = carrier.get("tracestate")
    # gRPC fails a call whose metadata holds anything else, and this text comes from outside.
    if isinstance(tracestate, str) and _TRACESTATE.fullmatch(tracestate):
        _passed_on.set((("traceparent", traceparent), ("tracestate", tracestate)))
    else:
        _passed_on.set((("traceparent", traceparent),))


def outgoing(span: Span | None = None) -> tuple[tuple[str, str], ...]:
    """The headers or metadata that carry the present trace, or the span, to a peer; empty where there is none."""
    return _passed_on.get() if _tracing is None else _tracing.outgoing(span)


def trace_id() -> str:
    """The present trace's id, 32 hex digits, or ""."""
    if _tracing is not None:
        return _tracing.trace_id()
    passed_on = _passed_on.get()
    return passed_on[0][1][3:35] if passed_on else ""
