"""agent_fn as grpcurl meets it: nothing is known beforehand, everything is learnt from reflection."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.stack import Platform, Stack, Tenant

AGENTS = "dormouse.agent.v1.AgentService"
HEALTH = "grpc.health.v1.Health"
TIMEOUT_S = 10


class Caller:
    """Calls methods by name with JSON, as `grpcurl -d '{…}' address service/method` does."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self._database)

    def services(self) -> set[str]:
        return set(self._database.get_services())

    def methods(self, service: str) -> dict[str, MethodDescriptor]:
        return dict(self._pool.FindServiceByName(service).methods_by_name)

    def call(self, service: str, method: str, request: dict[str, Any] | None = None, token: str = "") -> Any:
        """The answer as JSON, or with a streaming method an iterator of answers. Raises grpc.RpcError."""
        found = self.methods(service)[method]
        message = json_format.ParseDict(request or {}, GetMessageClass(found.input_type)(), descriptor_pool=self._pool)
        kind = self._channel.unary_stream if found.server_streaming else self._channel.unary_unary
        rpc: Any = kind(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        metadata = [("authorization", f"Bearer {token}")] if token else []
        answer = rpc(message, timeout=TIMEOUT_S, metadata=metadata)
        return map(self._shown, answer) if found.server_streaming else self._shown(answer)

    def _shown(self, message: Message) -> dict[str, Any]:
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self._pool)


@pytest.fixture
def caller(platform: Platform) -> Iterator[Caller]:
    with grpc.insecure_channel(platform.agent_fn.address) as channel:
        yield Caller(channel)


def reason_of(error: Any) -> str:
    """The ErrorInfo's reason, from the status that rides in the trailers."""
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "dormouse"
    return str(info.reason)


def test_the_services_and_their_methods_are_listed(caller: Caller) -> None:
    assert {AGENTS, HEALTH} <= caller.services()
    assert set(caller.methods(AGENTS)) == {"Execute", "ListAgents", "GetThreadState", "PruneThreads"}
    assert caller.methods(AGENTS)["Execute"].server_streaming
    assert {"Check", "Watch"} <= set(caller.methods(HEALTH))
    fields = caller.methods(AGENTS)["Execute"].input_type.fields_by_name
    assert {"run_id", "agent_id", "input"} <= set(fields)


def test_a_call_with_a_service_token_is_answered(caller: Caller, stack: Stack, tenant: Tenant) -> None:
    listed = caller.call(AGENTS, "ListAgents", token=stack.token(tenant))
    assert "chat" in [agent["id"] for agent in listed["agents"]]
    assert "sim:latest" in [model["name"] for model in listed["models"]]
    assert listed["model_server_reachable"]


def test_a_run_is_executed_and_streamed(caller: Caller, stack: Stack, tenant: Tenant) -> None:
    run = {
        "run_id": "run_by_hand",
        "agent_id": "chat",
        "model": "sim",
        "input": [{"role": "ROLE_USER", "content": [{"text": "Hi"}]}],
        "options": {"max_tokens": 3},
    }
    answers = caller.call(AGENTS, "Execute", run, stack.token(tenant, run_id="run_by_hand"))
    events = [event for answer in answers for event in answer["events"]]
    assert "".join(event["message_delta"]["text"] for event in events if "message_delta" in event) == "w1 w2 w3"
    assert events[-1]["run_finished"] == {"finish_reason": "FINISH_REASON_LENGTH"}


@pytest.mark.parametrize("token", ["none", "nonsense", "another audience"])
@pytest.mark.parametrize("method", ["ListAgents", "Execute", "GetThreadState", "PruneThreads"])
def test_a_call_without_a_token_of_its_own_is_refused(
    caller: Caller, stack: Stack, tenant: Tenant, method: str, token: str
) -> None:
    tokens = {"none": "", "nonsense": "a.b.c", "another audience": stack.token(tenant, audience="tool_fn")}
    with pytest.raises(grpc.RpcError) as refused:
        list(caller.call(AGENTS, method, token=tokens[token]))
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(error) == "UNAUTHENTICATED"
    assert "Traceback" not in error.details()


@pytest.mark.parametrize(
    ("method", "request_json", "code", "reason"),
    [
        ("Execute", {}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        ("Execute", {"run_id": "r", "agent_id": "chat"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (
            "Execute",
            {"run_id": "r", "agent_id": "nobody", "input": [{"role": "ROLE_USER", "content": [{"text": "Hi"}]}]},
            grpc.StatusCode.NOT_FOUND,
            "AGENT_NOT_FOUND",
        ),
        (
            "Execute",
            {
                "run_id": "r",
                "agent_id": "chat",
                "model": "gpt-9",
                "input": [{"role": "ROLE_USER", "content": [{"text": "Hi"}]}],
            },
            grpc.StatusCode.NOT_FOUND,
            "MODEL_NOT_FOUND",
        ),
        ("GetThreadState", {"thread_id": "nowhere"}, grpc.StatusCode.NOT_FOUND, "THREAD_NOT_FOUND"),
        ("PruneThreads", {"thread_ids": ["x"]}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_its_reason(
    caller: Caller,
    stack: Stack,
    tenant: Tenant,
    method: str,
    request_json: dict[str, Any],
    code: grpc.StatusCode,
    reason: str,
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(caller.call(AGENTS, method, request_json, stack.token(tenant)))
    error: Any = refused.value
    assert (error.code(), reason_of(error)) == (code, reason)


@pytest.mark.parametrize("service", ["", AGENTS])
def test_anybody_may_ask_for_its_health(caller: Caller, service: str) -> None:
    assert caller.call(HEALTH, "Check", {"service": service}) == {"status": "SERVING"}
    assert next(caller.call(HEALTH, "Watch", {"service": service})) == {"status": "SERVING"}


def test_the_health_of_an_unknown_service_is_unknown(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError) as unknown:
        caller.call(HEALTH, "Check", {"service": "no.Such"})
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert next(caller.call(HEALTH, "Watch", {"service": "no.Such"})) == {"status": "SERVICE_UNKNOWN"}
