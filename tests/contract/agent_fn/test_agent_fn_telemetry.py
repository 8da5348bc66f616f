"""What agent_fn tells operators, and what it keeps to itself."""

import grpc.aio
from dormouse.agent.v1 import agent_service_pb2_grpc
from dormouse_runtime.client import call_metadata
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.contract.agent_fn.caller import options, request
from tests.contract.test_runtime_telemetry import PARENT, TRACE_ID, collector
from tests.stack import Fleet, Stack, Tenant

SECRET = "Whisper: the hazelnuts are under the third oak."


async def test_each_model_call_is_a_gen_ai_span_in_the_callers_trace(
    stack: Stack, fleet: Fleet, tenant: Tenant
) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=0)
    async with collector() as collected:
        agent_fn = await fleet.agent_fn(
            model_server, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collected.url, "DORMOUSE_LOG_LEVEL": "debug"}
        )
        metadata = (*call_metadata(stack.token(tenant)), ("traceparent", PARENT))
        asked = request(SECRET, options=options(max_tokens=4, temperature=0.5, stop=["END"]))
        async with grpc.aio.insecure_channel(agent_fn.address) as channel:
            stub = agent_service_pb2_grpc.AgentServiceStub(channel)
            async for _ in stub.Execute(asked, timeout=20, metadata=metadata):
                pass
            asked.model = "no-such-model"
            failing = stub.Execute(asked, timeout=20, metadata=metadata)
            assert await failing.code() is grpc.StatusCode.NOT_FOUND
        assert await agent_fn.terminate() == 0
    span = next(span for span in collected.spans if span.name == "chat dormouse-dev:latest")
    assert span.kind == Span.SPAN_KIND_CLIENT
    assert span.trace_id.hex() == TRACE_ID
    server = next(other for other in collected.spans if other.span_id == span.parent_span_id)
    assert server.name == "dormouse.agent.v1.AgentService/Execute"
    found = {attribute.key: attribute.value for attribute in span.attributes}
    assert found["gen_ai.operation.name"].string_value == "chat"
    assert found["gen_ai.provider.name"].string_value == "ollama"
    assert found["gen_ai.request.model"].string_value == "dormouse-dev:latest"
    assert found["gen_ai.request.max_tokens"].int_value == 4
    assert found["gen_ai.request.temperature"].double_value == 0.5
    assert found["gen_ai.usage.output_tokens"].int_value == 4
    assert found["gen_ai.usage.input_tokens"].int_value > 0
    assert found["gen_ai.response.time_to_first_chunk"].double_value > 0
    assert [value.string_value for value in found["gen_ai.response.finish_reasons"].array_value.values] == ["length"]
    assert not any(b"hazelnuts" in other.SerializeToString() for other in collected.spans)
    assert not any("hazelnuts" in line for line in agent_fn.log_lines)
