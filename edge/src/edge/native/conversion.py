"""Between the native API's JSON and the platform's messages, options and records."""

from datetime import datetime
from typing import Any, Final

import orjson
from dormouse.agent.v1.agent_pb2 import GenerationOptions
from dormouse.agent.v1.agent_service_pb2 import GetThreadStateResponse
from dormouse.agent.v1.message_pb2 import ClientTool, Message, Role, ToolCall
from pydantic_core import to_json

from edge.content import content_to_json, parts_of
from edge.errors import meaning_of
from edge.runs.model import RunPage, RunRecord
from edge.threads import Thread, ThreadPage

from . import schemas
from .events import interrupt_to_json

_ROLES: Final = {
    "system": Role.ROLE_SYSTEM,
    "user": Role.ROLE_USER,
    "assistant": Role.ROLE_ASSISTANT,
    "tool": Role.ROLE_TOOL,
}
_ROLE_NAMES: Final = {role: name for name, role in _ROLES.items()}


def messages_of(request: schemas.RunRequest) -> list[Message]:
    """The input. Raises ApiError 400."""
    return [_message(message, f"input.messages[{index}]") for index, message in enumerate(request.input.messages)]


def _message(message: schemas.ThreadMessage, param: str) -> Message:
    calls = message.tool_calls if isinstance(message, schemas.ThreadAssistantMessage) else None
    return Message(
        id=message.id or "",
        role=_ROLES[message.role],
        content=parts_of(message.content, param),
        tool_calls=[
            ToolCall(id=call.id, name=call.function.name, arguments_json=call.function.arguments)
            for call in calls or ()
        ],
        tool_call_id=message.tool_call_id if isinstance(message, schemas.ThreadToolMessage) else "",
        name=message.name or "",
    )


def options_of(options: schemas.RunOptions | None) -> GenerationOptions | None:
    """What was asked for; None where nothing was."""
    if options is None:
        return None
    wanted = options.response_json_schema
    return GenerationOptions(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        max_tokens=options.max_tokens,
        stop=options.stop or (),
        seed=options.seed,
        frequency_penalty=options.frequency_penalty,
        presence_penalty=options.presence_penalty,
        reasoning=options.reasoning,
        response_json_schema=None if wanted is None else to_json(wanted).decode(),
    )


def client_tools_of(request: schemas.RunRequest) -> list[ClientTool]:
    """The tools that the client runs itself."""
    return [
        ClientTool(
            name=tool.name,
            description=tool.description,
            parameters_json_schema="" if tool.parameters is None else to_json(tool.parameters).decode(),
        )
        for tool in request.client_tools or ()
    ]


def run_to_json(run: RunRecord) -> dict[str, Any]:
    """A RunObject."""
    error = None
    if run.error is not None:
        meaning = meaning_of(run.error.reason)
        error = {
            "message": run.error.message,
            "type": meaning.type,
            "code": meaning.code,
            "retryable": run.error.retryable,
        }
    return {
        "id": run.id,
        "object": "run",
        "status": run.status,
        "agent": run.agent_id,
        "model": run.model or None,
        "thread_id": run.thread_id,
        "created_at": time_to_json(run.created_at),
        "started_at": time_to_json(run.started_at),
        "finished_at": time_to_json(run.finished_at),
        "finish_reason": run.finish_reason,
        "error": error,
        "interrupts": [interrupt_to_json(interrupt) for interrupt in run.interrupts],
        "usage": run.usage.to_json(),
    }


def runs_to_json(page: RunPage) -> dict[str, Any]:
    """A RunList."""
    last_id = page.runs[-1].id if page.runs else None
    data = [run_to_json(run) for run in page.runs]
    return {"object": "list", "data": data, "has_more": page.has_more, "last_id": last_id}


def thread_to_json(thread: Thread) -> dict[str, Any]:
    """A ThreadObject."""
    return {
        "id": thread.id,
        "object": "thread",
        "metadata": thread.metadata,
        "created_at": time_to_json(thread.created_at),
        "updated_at": time_to_json(thread.updated_at),
    }


def threads_to_json(page: ThreadPage) -> dict[str, Any]:
    """A ThreadList."""
    last_id = page.threads[-1].id if page.threads else None
    data = [thread_to_json(thread) for thread in page.threads]
    return {"object": "list", "data": data, "has_more": page.has_more, "last_id": last_id}


def state_to_json(thread_id: str, state: GetThreadStateResponse | None) -> dict[str, Any]:
    """A ThreadState; without a state, that of a thread on which nothing has been said."""
    if state is None:
        return {"thread_id": thread_id, "checkpoint_id": None, "messages": [], "values": {}}
    return {
        "thread_id": thread_id,
        "checkpoint_id": state.checkpoint_id,
        "messages": [message_to_json(message) for message in state.messages],
        "values": orjson.Fragment(state.values_json or "{}"),
    }


def message_to_json(message: Message) -> dict[str, Any]:
    """A ThreadMessage; fields that say nothing are left out."""
    shown: dict[str, Any] = {
        "id": message.id,
        "role": _ROLE_NAMES[message.role],
        "content": content_to_json(message.content),
    }
    if message.tool_calls:
        shown["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
            for call in message.tool_calls
        ]
    shown |= {name: value for name in ("tool_call_id", "name", "reasoning") if (value := getattr(message, name))}
    return shown


def time_to_json(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, with milliseconds."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
