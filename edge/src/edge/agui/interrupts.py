"""Interrupts as AG-UI asks for them, and its answers as the platform takes them.

https://docs.ag-ui.com/spec/1.0/basic/patterns/interrupt-resume; what clients show for which reason, and how they answer
it, is in https://docs.ag-ui.com/concepts/interrupts.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import orjson
from dormouse.agent.v1.run_event_pb2 import Interrupt

from edge.errors import invalid_argument
from edge.ids import is_run_id

from .schemas import AguiResume

APPROVAL: Final = "tool_approval"
_APPROVAL_ID: Final = ".approval"
_ACTIONS: Final = frozenset({"approve", "edit", "reject"})

_APPROVAL_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "editedArgs": {"type": "object", "description": "Arguments to call the tool with instead, all of them."},
        "reason": {"type": "string", "description": "Why not; the agent reads it."},
    },
    "required": ["approved"],
}


def interrupt_to_agui(interrupt: Interrupt) -> dict[str, Any]:
    """An Interrupt of AG-UI; approvals in the words that its clients know."""
    is_approval = interrupt.reason == APPROVAL
    shown: dict[str, Any] = {"id": interrupt.id, "reason": "tool_call" if is_approval else interrupt.reason}
    if interrupt.message:
        shown["message"] = interrupt.message
    if interrupt.tool_call_id:
        shown["toolCallId"] = interrupt.tool_call_id
    if is_approval:
        shown["responseSchema"] = _APPROVAL_SCHEMA
    elif interrupt.response_json_schema:
        shown["responseSchema"] = orjson.Fragment(interrupt.response_json_schema)
    if interrupt.details_json:
        shown["metadata"] = {"dormouse": orjson.Fragment(interrupt.details_json)}
    return shown


def run_of(resume: Sequence[AguiResume]) -> str | None:
    """The run that all entries are about: ids of interrupts begin with their run's. None: no one run of ours."""
    runs = {entry.interrupt_id.partition(".")[0] for entry in resume}
    run_id = runs.pop() if len(runs) == 1 else ""
    return run_id if is_run_id(run_id) else None


def answers_of(resume: Sequence[AguiResume], asked: Collection[str]) -> dict[str, Any]:
    """The answers by interrupt, without those to what was not asked, where that is known.

    Raises ApiError 400 for an answer that is none.
    """
    return {
        entry.interrupt_id: _answer(entry, f"resume[{index}]")
        for index, entry in enumerate(resume)
        if not asked or entry.interrupt_id in asked
    }


def _answer(entry: AguiResume, param: str) -> Any:
    if not entry.interrupt_id.endswith(_APPROVAL_ID):
        return entry.payload if entry.status == "resolved" else None
    if entry.status == "cancelled":
        return {"action": "reject", "reason": "Nobody answered."}
    payload = entry.payload
    if isinstance(payload, bool):
        payload = {"approved": payload}
    if isinstance(payload, dict):
        if payload.get("action") in _ACTIONS:
            return payload
        if isinstance(payload.get("approved"), bool):
            return _approval(payload)
    raise invalid_argument(
        'An approval is answered with {"approved": true or false}; "editedArgs" and "reason" are optional.',
        f"{param}.payload",
    )


def _approval(payload: dict[str, Any]) -> dict[str, Any]:
    if not payload["approved"]:
        reason = payload.get("reason")
        return {"action": "reject", **({"reason": reason} if isinstance(reason, str) and reason else {})}
    if payload.get("editedArgs") is not None:
        return {"action": "edit", "arguments": payload["editedArgs"]}
    return {"action": "approve"}
