"""`POST /v1/agents/{agent_id}/ag-ui`."""

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Final

from dormouse.agent.v1.agent_pb2 import Artifact
from dormouse.agent.v1.message_pb2 import ClientTool, Message
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from fastapi import APIRouter, Path, Request, Response
from pydantic_core import from_json, to_json

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.errors import invalid_argument
from edge.ids import derived_thread_id, is_thread_id
from edge.openapi import data_only, errors, event_stream, json_body, json_text
from edge.request_body import read_json
from edge.request_context import context_of
from edge.run_answers import answer_run, note_run, start_run, stream_run
from edge.run_wishes import limits_of, tools_of
from edge.runs.model import OnDisconnect, RunSpec
from edge.services import Services, services_of

from .encoder import AguiEncoder
from .history import context_of_run, conversation_of, what_is_new
from .interrupts import answers_of, run_of
from .schemas import EVENT, AguiResume, AguiWishes, RunAgentInput
from .shared_state import SharedState, artifact_value

router = APIRouter(tags=["AG-UI"])

ARTIFACTS_SHOWN: Final = 50
"""As many as an agent is given; of a thread that has more, the newest."""

_EXAMPLE = (
    'data: {"type":"RUN_STARTED","threadId":"8473547e","runId":"32c263f2","protocolVersion":"1.0"}\n\n'
    'data: {"type":"TEXT_MESSAGE_START","messageId":"msg_1","role":"assistant"}\n\n'
    'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"msg_1","delta":"A small rodent"}\n\n'
    'data: {"type":"TEXT_MESSAGE_END","messageId":"msg_1"}\n\n'
    'data: {"type":"RUN_FINISHED","threadId":"8473547e","runId":"32c263f2","outcome":{"type":"success"}}\n\n'
)


@router.post(
    "/v1/agents/{agent_id}/ag-ui",
    operation_id="runAgentAgUi",
    summary="Run an agent for an AG-UI front end",
    description="AG-UI 1.0 over server-sent events. The conversation is kept under `threadId`; of `messages` only what "
    "is new is given to the agent. A run that asks a person ends with the outcome `interrupt`; the next one's `resume` "
    "lets it go on. What goes wrong after the stream has opened comes as `RUN_ERROR`.",
    responses={
        200: event_stream("AG-UI events, to the run's end.", data_only(json_text(EVENT)), _EXAMPLE),
        **errors(400, 404, 409, 413, 415, 504),
    },
    openapi_extra=json_body(RunAgentInput),
    response_class=Response,
)
async def run_agent(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.RUNS)],
    agent_id: Annotated[str, Path(description="The agent.", examples=["chat"])],
) -> Response:
    services = services_of(request)
    wanted = await read_json(request, RunAgentInput)
    thread_id = await _thread(services, caller, wanted.thread_id)
    if wanted.resume and (run_id := await _resumable(services, caller, thread_id, wanted.resume)):
        note_run(request, run_id, thread_id)
        after = await _resume(request, services, caller, run_id, wanted.resume)
    else:
        run_id, after = await _start(request, services, caller, agent_id, wanted, thread_id), 0
    # Read behind the start, from which on nobody else writes them.
    state = SharedState(wanted.state, await _artifacts(services, caller, thread_id))
    raw = await request.body()

    def history() -> list[Any]:
        messages = from_json(raw)["messages"]  # takes every number that the validation took
        assert isinstance(messages, list), "the body has been validated"
        return messages

    encoder = AguiEncoder(
        thread_id=wanted.thread_id, run_id=wanted.run_id, history=history, state=state, resumed_at=after
    )
    return stream_run(services, caller, run_id, encoder, surface="ag_ui")


async def _start(
    request: Request, services: Services, caller: Caller, agent_id: str, wanted: RunAgentInput, thread_id: str
) -> str:
    """Starts a run on the thread, which is made if it is new."""
    conversation = conversation_of(wanted)
    if not conversation:
        raise invalid_argument("There is no message that an agent could answer.", "messages")
    request_id = context_of(request.scope).request_id
    wishes = wanted.forwarded_props or AguiWishes()
    target = await services.agents.resolve_agent(agent_id, wishes.model or "", caller.grants)
    shown = {"ag_ui_thread_id": wanted.thread_id.replace("\0", "\ufffd")}
    is_new = await services.threads.ensure(caller.tenant, thread_id, shown)
    held = [] if is_new else await _messages(services, caller, thread_id, request_id)
    new = what_is_new(conversation, context_of_run(wanted), held)
    spec = RunSpec(
        tenant=caller.tenant,
        user=caller.user,
        agent_id=target.agent_id,
        model=target.model,
        input=new.messages,
        client_tools=_tools(wanted),
        tools=await tools_of(services, caller, target.agent_id, wishes.tools, "forwardedProps.tools"),
        limits=limits_of(wishes.limits),
        can_interrupt=True,
        thread_id=thread_id,
        from_empty=new.from_empty,
        stored=True,
        on_disconnect=OnDisconnect.CANCEL,  # AG-UI cannot come back to a stream
        request_id=request_id,
    )
    return await start_run(request, services, caller, spec)


async def _thread(services: Services, caller: Caller, name: str) -> str:
    """Our id of the thread that the client calls `name`, whether it is there or not."""
    if is_thread_id(name) and await services.threads.exists(caller.tenant, name):
        return name
    return derived_thread_id(caller.tenant, name)


async def _messages(services: Services, caller: Caller, thread_id: str, request_id: str) -> list[Message]:
    """What the thread holds."""
    try:
        state = await services.agents.thread_state(caller, thread_id, request_id)
    except DormouseError as error:
        if error.reason != ErrorReason.ERROR_REASON_THREAD_NOT_FOUND:
            raise
        return []
    return list(state.messages)


async def _resumable(services: Services, caller: Caller, thread_id: str, resume: Sequence[AguiResume]) -> str | None:
    """The thread's run that the entries are about, or else one that waits for other answers. None: there is neither.

    Entries about nothing that was asked here are passed over, as the specification wishes.
    """
    if run_id := run_of(resume):
        with contextlib.suppress(DormouseError):
            run = await services.runs.get(caller.tenant, run_id)
            if run.thread_id == thread_id:
                return run_id
    waiting = await services.runs.interrupted_run(caller.tenant, thread_id)
    return waiting.id if waiting else None


async def _resume(
    request: Request, services: Services, caller: Caller, run_id: str, resume: Sequence[AguiResume]
) -> int:
    """Lets the run go on; the number behind which its new events come."""
    run = await services.runs.get(caller.tenant, run_id)
    asked = {interrupt.id for interrupt in run.interrupts}
    answers = answers_of(resume, asked)
    try:
        return await answer_run(request, services, caller, run_id, answers, on_disconnect=OnDisconnect.CANCEL)
    except DormouseError as error:
        if error.reason != ErrorReason.ERROR_REASON_INVALID_ARGUMENT:
            raise
        raise invalid_argument(error.message, "resume") from error


async def _artifacts(services: Services, caller: Caller, thread_id: str) -> dict[str, Any]:
    """The thread's artifacts as the shared state holds them."""
    page = await services.artifacts.page(caller.tenant, limit=ARTIFACTS_SHOWN, thread_id=thread_id)
    if not page.artifacts:
        return {}
    latest = [Artifact(id=about.artifact_id, version=about.version) for about in page.artifacts]
    loaded = await services.artifacts.load(caller.tenant, latest)
    return {artifact.id: artifact_value(artifact) for artifact in loaded}


def _tools(request: RunAgentInput) -> list[ClientTool]:
    return [
        ClientTool(
            name=tool.name,
            description=tool.description,
            parameters_json_schema="" if tool.parameters is None else to_json(tool.parameters).decode(),
        )
        for tool in request.tools or ()
    ]
