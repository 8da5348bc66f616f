"""Without an OTLP endpoint: traces pass through, and nothing else happens."""

import asyncio
import sys
from contextvars import copy_context

import pytest
from dormouse_runtime import telemetry

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


def outgoing_after(**carrier: object) -> dict[str, str]:
    def run() -> dict[str, str]:
        telemetry.continue_trace(carrier)
        return dict(telemetry.outgoing())

    return copy_context().run(run)


def test_the_callers_trace_is_handed_on_as_it_came() -> None:
    assert outgoing_after(traceparent=PARENT) == {"traceparent": PARENT}
    assert outgoing_after(traceparent=PARENT, tracestate="a=1") == {"traceparent": PARENT, "tracestate": "a=1"}


@pytest.mark.parametrize("parent", ["", "00-abc", PARENT + "\n", PARENT.upper(), b"bytes", None, "x" * 5000])
def test_what_is_no_trace_is_dropped(parent: object) -> None:
    assert outgoing_after(traceparent=parent, tracestate="a=1") == {}


@pytest.mark.parametrize("state", ["a" * 5000, "a=ü", "a=\r\nb", "", b"a=1"])
def test_a_tracestate_that_cannot_be_sent_on_is_dropped(state: object) -> None:
    assert outgoing_after(traceparent=PARENT, tracestate=state) == {"traceparent": PARENT}


async def test_a_trace_belongs_to_its_task() -> None:
    async def request() -> str:
        telemetry.continue_trace({"traceparent": PARENT})
        return telemetry.trace_id()

    assert await asyncio.create_task(request()) == TRACE_ID
    assert telemetry.trace_id() == ""


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_spans_are_free_of_charge_when_nobody_wants_them(environ: dict[str, str]) -> None:
    telemetry.setup("edge", environ)
    assert not telemetry.is_on()
    with telemetry.span("chat", kind="client", attributes={"a": 1}) as span:
        span.set("b", 2)
        span.fail("TIMEOUT")
    assert telemetry.rpc_span("a.B/C", "server") is None
    telemetry.shutdown()
    assert "dormouse_runtime.tracing" not in sys.modules
