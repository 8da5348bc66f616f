"""`POST /v1/agents/{agent_id}/ag-ui`."""

from typing import Annotated, Any

from dormouse.agent.v1.message_pb2 import ClientTool, Message
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from fastapi import APIRouter, Path, Request, Response
from pydantic_core import from_json, to_json

from edge.auth.authenticator import Caller
from edge.auth.bearer import CurrentCaller
from edge.errors import invalid_argument
from edge.ids import derived_thread_id, is_thread_id
from edge.openapi import data_only, errors, event_stream, json_body, json_text
from edge.request_body import read_json
from edge.request_context import context_of
from edge.run_answers import start_run, stream_run
from edge.runs.model import OnDisconnect, RunSpec
from edge.services import Services, services_of

from .encoder import AguiEncoder
from .history import context_of_run, conversation_of, what_is_new
from .schemas import EVENT, RunAgentInput

router = APIRouter(tags=["AG-UI"])

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
    "is new is given to the agent. What goes wrong after the stream has opened comes as `RUN_ERROR`.",
    responses={
        200: event_stream("AG-UI events, to the run's end.", data_only(json_text(EVENT)), _EXAMPLE),
        **errors(400, 404, 409, 413, 415, 504),
    },
    openapi_extra=json_body(RunAgentInput),
    response_class=Response,
)
async def run_agent(
    request: Request,
    caller: CurrentCaller,
    agent_id: Annotated[str, Path(description="The agent.", examples=["chat"])],
) -> Response:
    services = services_of(request)
    wanted = await read_json(request, RunAgentInput)
    conversation = conversation_of(wanted)
    if not conversation:
        raise invalid_argument("There is no message that an agent could answer.", "messages")
    target = await services.agents.resolve_agent(agent_id, "")
    thread_id, held = await _thread(services, caller, wanted.thread_id, context_of(request.scope).request_id)
    new = what_is_new(conversation, context_of_run(wanted), held)
    spec = RunSpec(
        tenant=caller.tenant,
        user=caller.user,
        agent_id=target.agent_id,
        input=new.messages,
        client_tools=_tools(wanted),
        thread_id=thread_id,
        from_empty=new.from_empty,
        stored=True,
        on_disconnect=OnDisconnect.CANCEL,  # AG-UI cannot come back to a stream
        request_id=context_of(request.scope).request_id,
    )
    raw = await request.body()

    def history() -> list[Any]:
        messages = from_json(raw)["messages"]  # takes every number that the validation took
        assert isinstance(messages, list), "the body has been validated"
        return messages

    run_id = await start_run(request, services, spec)
    encoder = AguiEncoder(thread_id=wanted.thread_id, run_id=wanted.run_id, history=history)
    return stream_run(services, caller, run_id, encoder, surface="ag_ui")


async def _thread(services: Services, caller: Caller, name: str, request_id: str) -> tuple[str, list[Message]]:
    """Our id of the thread that the client calls `name`, made if it is new, and the messages it holds."""
    if is_thread_id(name) and await services.threads.exists(caller.tenant, name):
        thread_id, is_new = name, False
    else:
        thread_id = derived_thread_id(caller.tenant, name)
        shown = {"ag_ui_thread_id": name.replace("\0", "\ufffd")}
        is_new = await services.threads.ensure(caller.tenant, thread_id, shown)
    if is_new:
        return thread_id, []
    try:
        state = await services.agents.thread_state(caller, thread_id, request_id)
    except DormouseError as error:
        if error.reason != ErrorReason.ERROR_REASON_THREAD_NOT_FOUND:
            raise
        return thread_id, []
    return thread_id, list(state.messages)


def _tools(request: RunAgentInput) -> list[ClientTool]:
    return [
        ClientTool(
            name=tool.name,
            description=tool.description,
            parameters_json_schema="" if tool.parameters is None else to_json(tool.parameters).decode(),
        )
        for tool in request.tools or ()
    ]
