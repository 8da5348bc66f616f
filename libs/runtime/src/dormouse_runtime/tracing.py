"""The OpenTelemetry SDK behind `telemetry`; imported only where spans are exported."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dormouse_runtime import redaction
from dormouse_runtime.telemetry import Kind, Span, Value

_KINDS: Final = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "internal": trace.SpanKind.INTERNAL,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


class Tracing:
    """Owns the tracer provider of the process."""

    def __init__(self, service: str) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service, "service.namespace": "dormouse"}),
            shutdown_on_exit=False,  # its exit hook waits for a collector that is down; shutdown() is bounded
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(self._provider)
        self._tracer = self._provider.get_tracer("dormouse_runtime")
        self._propagator = TraceContextTextMapPropagator()

    def shutdown(self, timeout_s: float) -> None:
        # In a daemon thread, because an export under way can't be stopped.
        thread = threading.Thread(target=self._provider.shutdown, name="telemetry-shutdown", daemon=True)
        thread.start()
        thread.join(timeout_s)

    def attach(self, carrier: Mapping[str, Any]) -> None:
        context.attach(self._propagator.extract(carrier))

    def outgoing(self, span: Span | None) -> tuple[tuple[str, str], ...]:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, span.as_context() if isinstance(span, _RecordedSpan) else None)
        return tuple(carrier.items())

    def trace_id(self) -> str:
        span_context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(span_context.trace_id) if span_context.is_valid else ""

    def span(self, name: str, kind: Kind, attributes: Mapping[str, Value] | None) -> Span:
        kept = {key: redaction.cleaned_value(value) for key, value in (attributes or {}).items()}
        return _RecordedSpan(self._tracer.start_span(redaction.cleaned(name), kind=_KINDS[kind], attributes=kept))


class _RecordedSpan(Span):
    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def as_context(self) -> context.Context:
        return trace.set_span_in_context(self._span)

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, redaction.cleaned_value(value))

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()

    def __enter__(self) -> Self:
        self._token = context.attach(self.as_context())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context.detach(self._token)
        if kind is not None and issubclass(kind, Exception):
            self.fail(kind.__qualname__)
        self._span.end()
