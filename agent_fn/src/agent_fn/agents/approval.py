"""Asks a person before a tool runs, and reads the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from agent_fn.conversation import ToolCall
from agent_fn.events import Interrupt

REASON: Final = "tool_approval"
_ANSWER_SCHEMA: Final = orjson.dumps(
    {
        "type": "object",
        "properties": {
            "action": {"enum": ["approve", "edit", "reject"]},
            "arguments": {"type": "object", "description": "With edit: what the tool is called with instead."},
            "reason": {"type": "string", "description": "With reject: why, for the model."},
        },
        "required": ["action"],
    }
).decode()


@dataclass(frozen=True, slots=True)
class Approved:
    """The tool may run with these arguments; `is_edited`: they are not the model's."""

    arguments: Mapping[str, Any]
    is_edited: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The tool must not run. `reason` may be empty."""

    reason: str


def interrupt_id(call: ToolCall) -> str:
    """The id of the question about a call, the same in every attempt."""
    return f"{call['id']}.approval"


def question(call: ToolCall, arguments: Mapping[str, Any], why: str = "") -> Interrupt:
    """What a person is asked. `why`: the end of a sentence, where it is not the tool itself that needs approval."""
    return Interrupt(
        id=interrupt_id(call),
        reason=REASON,
        message=f"The agent wants to call {call['name']}{f', {why}' if why else ''}. It runs when you approve.",
        tool_call_id=call["id"],
        response_json_schema=_ANSWER_SCHEMA,
        details_json=orjson.dumps({"tool": call["name"], "arguments": arguments}).decode(),
    )


def read_answer(answer: Any, arguments: Mapping[str, Any]) -> Approved | Rejected | None:
    """What the person decided about a call with these arguments; None for what makes no sense: ask again."""
    if not isinstance(answer, dict):
        return None
    match answer.get("action"):
        case "approve":
            return Approved(arguments)
        case "edit" if isinstance(edited := answer.get("arguments"), dict):
            return Approved(edited, is_edited=edited != arguments)
        case "reject":
            return Rejected(str(answer.get("reason") or ""))
    return None
