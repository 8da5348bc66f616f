"""Agents whose every move a test decides, behind AgentService; they stand for agent_fn, not for the wire."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.agent.v1.agent_pb2 import Agent, Model
from dormouse.agent.v1.agent_service_pb2 import (
    ExecuteRequest,
    ExecuteResponse,
    GetThreadStateRequest,
    GetThreadStateResponse,
    ListAgentsRequest,
    ListAgentsResponse,
    PruneThreadsRequest,
    PruneThreadsResponse,
)
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError, abort

from tests.unit.edge.events import call, finished, message, used

AGENTS = (
    Agent(id="asking", description="Asks before it sends.", capabilities=["interrupts"], any_tools=True),
    Agent(id="writing", description="Writes an artifact.", tools=["write"]),
    Agent(id="handing", description="Hands a call to the client, and makes one itself.", any_tools=True),
)
MODELS = (
    Model(name="small:latest", capabilities=["completion"]),
    Model(name="vectors:latest", capabilities=["embedding"]),
    Model(name="mystery:latest"),
)
ARGUMENTS = {"to": "ada"}


class ScriptedAgents(AgentServiceServicer):
    """`requests` are the calls of Execute so far."""

    def __init__(self) -> None:
        self.requests: list[ExecuteRequest] = []

    async def Execute(  # noqa: N802 - gRPC's name
        self, request: ExecuteRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ExecuteResponse]:
        self.requests.append(request)
        await context.send_initial_metadata(())  # as agent_fn does: it has the call
        async for event in SCRIPTS[request.agent_id](request):
            yield ExecuteResponse(events=[event])

    async def ListAgents(  # noqa: N802 - gRPC's name
        self, request: ListAgentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListAgentsResponse:
        return ListAgentsResponse(
            agents=AGENTS, models=MODELS, model_server_reachable=True, default_model="small:latest"
        )

    async def GetThreadState(  # noqa: N802 - gRPC's name
        self, request: GetThreadStateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetThreadStateResponse:
        await abort(context, DormouseError(ErrorReason.ERROR_REASON_THREAD_NOT_FOUND, "Nothing was said."))
        raise AssertionError

    async def PruneThreads(  # noqa: N802 - gRPC's name
        self, request: PruneThreadsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> PruneThreadsResponse:
        return PruneThreadsResponse()


async def asking(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
    """Wants to send two things, asks about both, and says what was answered."""
    first, second = f"{request.run_id}.m1", f"{request.run_id}.m2"
    calls = [f"{first}.c0", f"{first}.c1"]
    answers = {answer.interrupt_id: answer.response_json for answer in request.answers}
    if not answers:
        for event in events(
            *message("I would like to send it.", message_id=first),
            *(event for name in calls for event in call(name, "send", json.dumps(ARGUMENTS), message_id=first)),
            used(),
            pb.RunInterrupted(interrupts=[approval(name) for name in calls]),
        ):
            yield event
        return
    for event in events(
        *(pb.ToolResult(tool_call_id=name, content=answers[f"{name}.approval"], duration_ms=1) for name in calls),
        *message("Done.", message_id=second),
        used(),
        finished(),
    ):
        yield event


def approval(call_id: str) -> pb.Interrupt:
    """The question about a call of `send`."""
    return pb.Interrupt(
        id=f"{call_id}.approval",
        reason="tool_approval",
        message="May I send it?",
        tool_call_id=call_id,
        response_json_schema='{"type":"object"}',
        details_json=json.dumps({"tool": "send", "arguments": ARGUMENTS}),
    )


async def writing(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
    """Writes the first version of an artifact, or the next of the thread's: what it was told, as another line."""
    line = request.input[-1].content[0].text
    if request.artifacts:
        known = request.artifacts[0]
        name, version = known.id, known.version + 1
        patch: list[dict[str, Any]] = [{"op": "add", "path": "/lines/-", "value": line}]
    else:
        name, version = f"art_{request.run_id.removeprefix('run_')}", 1
        whole: dict[str, Any] = {"title": "Notes: <b>ü</b>", "media_type": "text/html", "lines": ["<script>", line]}
        patch = [{"op": "add", "path": "", "value": whole}]
    for event in events(
        pb.StateSnapshot(json='{"writing":true}'),
        pb.ArtifactDelta(artifact_id=name, version=version, patch_json=json.dumps(patch)),
        pb.ArtifactSaved(artifact_id=name, version=version),
        pb.StateDelta(patch_json='[{"op":"replace","path":"/writing","value":false}]'),
        *message("Written.", message_id=f"{request.run_id}.m1"),
        finished(),
    ):
        yield event


async def handing(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
    """Runs a tool and hands the client's own to the client; with its answer it comes to an end."""
    first = f"{request.run_id}.m1"
    if request.client_tools and not any(asked.tool_call_id for asked in request.input):
        name = request.client_tools[0].name
        said = events(
            *message("Let me see.", message_id=first),
            *call(f"{first}.c0", "math", '{"x":1}', message_id=first),
            *call(f"{first}.c1", name, '{"city":', '"Bonn"}', message_id=first, at_client=True),
            pb.Activity(kind=pb.ACTIVITY_KIND_RUNNING_TOOL, subject="math", message="Half way."),
            pb.ToolResult(tool_call_id=f"{first}.c0", content="2", duration_ms=1),
            used(),
            finished(pb.FINISH_REASON_TOOL_CALLS),
        )
    else:
        said = events(
            *message("It rains.", message_id=first),
            *message("Take a coat.", message_id=f"{request.run_id}.m2"),
            used(),
            used(),
            finished(),
        )
    for event in said:
        yield event


SCRIPTS = {"asking": asking, "writing": writing, "handing": handing}


def events(*payloads: Any) -> list[RunEvent]:
    """Events as a function sends them: without numbers and times."""
    fields = {
        field.message_type.name: field.name
        for field in RunEvent.DESCRIPTOR.oneofs[0].fields
        if field.message_type is not None
    }
    return [RunEvent(**{fields[type(payload).DESCRIPTOR.name]: payload}) for payload in payloads]


@asynccontextmanager
async def serving_agents(agents: ScriptedAgents) -> AsyncIterator[str]:
    """Serves the agents on a free port; yields the address."""
    server = grpc.aio.server()
    add_AgentServiceServicer_to_server(agents, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
