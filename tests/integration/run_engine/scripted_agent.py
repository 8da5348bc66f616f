"""A peer that speaks AgentService and does what a test's script says; it stands for agent_fn, not for the wire."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest, ExecuteResponse, ListAgentsRequest
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from dormouse.agent.v1.run_event_pb2 import (
    ArtifactDelta,
    ArtifactSaved,
    CheckpointSaved,
    FinishReason,
    Handoff,
    Interrupt,
    MessageDelta,
    MessageFinished,
    MessageStarted,
    RunEvent,
    RunFinished,
    RunInterrupted,
    StateDelta,
    StateSnapshot,
    StepFinished,
    StepStarted,
    ToolCallArgs,
    ToolCallFinished,
    ToolCallStarted,
    ToolResult,
    UsageReported,
)
from dormouse_runtime.errors import DormouseError, abort

Script = Callable[[ExecuteRequest], AsyncGenerator[RunEvent | list[RunEvent], None]]


class ScriptedAgent(AgentServiceServicer):
    """Answers every Execute with the script's events, a list of them in one response.

    `requests` are the calls so far, `tool_tokens` and `document_tokens` what they brought for tool_fn and
    embed_fn, `cancelled` the cut ones.
    """

    def __init__(self) -> None:
        self.script: Script = saying("hello")
        self.requests: list[ExecuteRequest] = []
        self.tool_tokens: list[str] = []
        self.document_tokens: list[str] = []
        self.inside = 0
        """Calls under way."""
        self.cancelled: list[str] = []
        self.refusal: int | None = None
        """An ErrorReason that every call is refused with."""
        self.refusal_details: Mapping[str, str] = {}
        self.failures: list[grpc.StatusCode] = []
        """Bare statuses that the next calls end with, as when a process dies."""
        self.awake = asyncio.Event()
        """Until it is set, calls wait for the process to start."""
        self.awake.set()

    async def Execute(  # noqa: N802 - gRPC's name
        self, request: ExecuteRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ExecuteResponse]:
        self.requests.append(request)
        metadata = dict(context.invocation_metadata() or ())
        self.tool_tokens.append(str(metadata.get("x-dormouse-tools", "")))
        self.document_tokens.append(str(metadata.get("x-dormouse-documents", "")))
        if self.failures:
            await context.abort(self.failures.pop(0), "gone")
        if self.refusal is not None:
            await abort(context, DormouseError(self.refusal, "Refused.", details=self.refusal_details))
        await self.awake.wait()
        await context.send_initial_metadata(())
        finished = False
        self.inside += 1
        try:
            async for said in self.script(request):
                yield ExecuteResponse(events=said if isinstance(said, list) else [said])
            finished = True
        finally:
            self.inside -= 1
            if not finished:
                self.cancelled.append(request.run_id)

    async def ListAgents(self, request: ListAgentsRequest, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    GetThreadState = PruneThreads = ListAgents  # type: ignore[assignment]


@asynccontextmanager
async def serving(agent: ScriptedAgent) -> AsyncIterator[str]:
    """Serves the agent on a free port; yields its address."""
    server = grpc.aio.server()
    add_AgentServiceServicer_to_server(agent, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def started(message_id: str = "m1") -> RunEvent:
    return RunEvent(message_started=MessageStarted(message_id=message_id))


def delta(text: str, message_id: str = "m1") -> RunEvent:
    return RunEvent(message_delta=MessageDelta(message_id=message_id, text=text, pieces=1))


def ended(message_id: str = "m1") -> RunEvent:
    return RunEvent(message_finished=MessageFinished(message_id=message_id))


def usage(completion: int) -> RunEvent:
    return RunEvent(usage_reported=UsageReported(model="scripted", prompt_tokens=3, completion_tokens=completion))


def finished() -> RunEvent:
    return RunEvent(run_finished=RunFinished(finish_reason=FinishReason.FINISH_REASON_STOP))


def handoff() -> RunEvent:
    return RunEvent(handoff=Handoff())


def base(checkpoint_id: str) -> RunEvent:
    return RunEvent(checkpoint_saved=CheckpointSaved(checkpoint_id=checkpoint_id, is_base=True))


def step(step_id: str) -> RunEvent:
    return RunEvent(step_started=StepStarted(step_id=step_id, name="step"))


def step_ended(step_id: str) -> RunEvent:
    return RunEvent(step_finished=StepFinished(step_id=step_id, name="step"))


def call(call_id: str, arguments: str = "{}", message_id: str = "m1") -> list[RunEvent]:
    """Everything that makes a tool call known."""
    return [
        RunEvent(tool_call_started=ToolCallStarted(tool_call_id=call_id, name="tool", message_id=message_id)),
        RunEvent(tool_call_args=ToolCallArgs(tool_call_id=call_id, delta=arguments)),
        RunEvent(tool_call_finished=ToolCallFinished(tool_call_id=call_id)),
    ]


def result(call_id: str, content: str, *, unknown: bool = False) -> RunEvent:
    return RunEvent(
        tool_result=ToolResult(tool_call_id=call_id, content=content, is_error=unknown, outcome_unknown=unknown)
    )


def snapshot(json: str) -> RunEvent:
    return RunEvent(state_snapshot=StateSnapshot(json=json))


def patch(json: str) -> RunEvent:
    return RunEvent(state_delta=StateDelta(patch_json=json))


def interrupted(*call_ids: str) -> RunEvent:
    """Asks for the approval of calls."""
    questions = [
        Interrupt(id=f"{call_id}.approval", reason="tool_approval", message="May I?", tool_call_id=call_id)
        for call_id in call_ids
    ]
    return RunEvent(run_interrupted=RunInterrupted(interrupts=questions))


def writes(artifact_id: str, version: int, patch_json: str) -> RunEvent:
    return RunEvent(artifact_delta=ArtifactDelta(artifact_id=artifact_id, version=version, patch_json=patch_json))


def saved(artifact_id: str, version: int) -> RunEvent:
    return RunEvent(artifact_saved=ArtifactSaved(artifact_id=artifact_id, version=version))


def asking(*call_ids: str) -> Script:
    """A script that asks for the approval of calls, one after the other, then says what it was answered."""

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
        answers = {answer.interrupt_id: answer.response_json for answer in request.answers}
        yield base("checkpoint-1")
        yield started()
        for call_id in call_ids:
            yield call(call_id)
            if f"{call_id}.approval" not in answers:
                yield ended()
                yield interrupted(call_id)
                return
            yield result(call_id, answers[f"{call_id}.approval"])
        yield ended()
        yield delta("done", "m2")
        yield usage(1)
        yield finished()

    return script


def saying(*words: str) -> Script:
    """A script that says the words that the log does not hold yet, then finishes."""

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        said = "".join(message.text for message in request.recovery.messages)
        yield started()
        for index, word in enumerate(words):
            if len("".join(words[: index + 1])) > len(said):
                yield delta(word)
        yield ended()
        yield usage(len(words))
        yield finished()

    return script
