"""What a person's answers to the questions of a run must look like."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from dormouse.agent.v1.run_event_pb2 import Interrupt, InterruptAnswer
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

TOOL_APPROVAL = "tool_approval"

_ACTIONS = ("approve", "edit", "reject")


def spell(answers: Mapping[str, Any]) -> dict[str, str]:
    """The answers as JSON, the same text for the same values. Raises INVALID_ARGUMENT for what is no JSON."""
    try:
        return {
            interrupt_id: orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
            for interrupt_id, value in answers.items()
        }
    except orjson.JSONEncodeError as error:
        raise _invalid("An answer is not JSON.") from error


def check(answers: Mapping[str, str], interrupts: Sequence[Interrupt]) -> list[InterruptAnswer]:
    """The answers in the order of the interrupts.

    Errors: INVALID_ARGUMENT where one is missing, unknown, or not what its interrupt wants.
    """
    wanted = {interrupt.id: interrupt for interrupt in interrupts}
    if unknown := [interrupt_id for interrupt_id in answers if interrupt_id not in wanted]:
        raise _invalid(f"The run has no open interrupt {unknown[0][:100]!r}. Open are: {', '.join(wanted)}.")
    if missing := [interrupt_id for interrupt_id in wanted if interrupt_id not in answers]:
        raise _invalid(f"There is no answer to {', '.join(missing)}. All open interrupts are answered at once.")
    for interrupt_id, interrupt in wanted.items():
        if interrupt.reason == TOOL_APPROVAL:
            _check_approval(interrupt_id, orjson.loads(answers[interrupt_id]))
    return [InterruptAnswer(interrupt_id=name, response_json=answers[name]) for name in wanted]


def _check_approval(interrupt_id: str, answer: Any) -> None:
    if not isinstance(answer, dict) or answer.get("action") not in _ACTIONS:
        raise _invalid(f'The answer to {interrupt_id} needs an "action": "approve", "edit" or "reject".')
    if answer["action"] == "edit" and not isinstance(answer.get("arguments"), dict):
        raise _invalid(f'The answer to {interrupt_id} needs "arguments", a JSON object with all of them.')
    if not isinstance(answer.get("reason", ""), str):
        raise _invalid(f'The "reason" in the answer to {interrupt_id} is not a text.')


def _invalid(message: str) -> DormouseError:
    return DormouseError(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message, details={"param": "answers"})
