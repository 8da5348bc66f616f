"""One trace from the client's HTTP request through the edge and agent_fn to the model call."""

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.contract.test_runtime_telemetry import PARENT, TRACE_ID, collector
from tests.stack import Fleet, Tenant


async def test_a_request_and_its_model_call_are_in_one_trace(fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=0, token_ms=0)
    async with collector() as collected:
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": collected.url}
        agent_fn = await fleet.agent_fn(model_server, env=telemetry)
        edge = await fleet.edge(agent_fn, env=telemetry)
        async with edge.client(tenant) as http:
            answer = await http.post(
                "/v1/chat/completions",
                headers={"traceparent": PARENT},
                json={"model": "chat", "messages": [{"role": "user", "content": "the hazelnuts are hidden"}]},
            )
        assert answer.status_code == 200
        assert await edge.terminate() == 0
        assert await agent_fn.terminate() == 0
    assert collected.services == {"edge", "agent_fn"}
    spans = {span.span_id: span for span in collected.spans if span.trace_id.hex() == TRACE_ID}
    model_call = next(span for span in spans.values() if span.name.startswith("chat "))
    names = [model_call.name]
    span = model_call
    while span.parent_span_id in spans:
        span = spans[span.parent_span_id]
        names.append(span.name)
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.parent_span_id.hex() == "b7ad6b7169203331"
    execute = "dormouse.agent.v1.AgentService/Execute"
    assert names[1:-1] == [execute, execute]  # the server's span in the client's
    assert not any(b"hazelnuts" in span.SerializeToString() for span in collected.spans)
