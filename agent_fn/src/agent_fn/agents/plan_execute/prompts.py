"""What the model is asked in each phase: instructions and material in one system message before the conversation."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from agent_fn.agents.context import RunContext
from agent_fn.agents.plan_execute.plan import MOST_STEPS
from agent_fn.agents.plan_execute.record import FAILED, SKIPPED, PlanRecord, RecordedStep
from agent_fn.agents.text_protocol import with_system
from agent_fn.conversation import Message, text_of
from agent_fn.generation import ToolDefinition
from agent_fn.safety.quoting import quoted

T = TypeVar("T")

FINDINGS_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"findings": {"type": "string", "description": "what the results say about the request"}},
    "required": ["findings"],
}
THOUGHT_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"result": {"type": "string", "description": "the result of this step"}},
    "required": ["result"],
}
VERIFICATION_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "complete": {"type": "boolean", "description": "whether the request can be answered in full"},
        "missing": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MOST_STEPS,
            "description": "what still has to be found out or done; empty when complete",
        },
        "reason": {"type": "string", "description": "one sentence"},
    },
    "required": ["complete", "missing", "reason"],
}

_DESCRIPTION_CHARACTERS: Final = 400
_UNKNOWN_CONTEXT: Final = 8192
# Of a context's length, what results may fill in one prompt: about a third at four characters a token.
_CHARACTERS_PER_TOKEN: Final = 4 / 3
_LEAST_CHARACTERS: Final = 400


def planning(
    conversation: Sequence[Message],
    tools: Sequence[ToolDefinition],
    record: PlanRecord,
    problems: Sequence[str] = (),
) -> list[Message]:
    """Asks for a plan; after the first round for one that finds what is missing."""
    parts = [
        "You plan how to answer the user's last message with tools. Answer with a JSON object that holds the steps.",
        "The tools:\n" + "\n".join(_listed(tool) for tool in tools),
        f"Plan at most {MOST_STEPS} steps; fewer are better. A step calls one tool, or none (tool null) to think. "
        "depends_on names the steps whose results a step needs; steps that need nothing from each other run at the "
        "same time. Plan no step that writes the answer: that comes by itself. Where no tool helps, plan one step "
        "without a tool.",
    ]
    if record.rounds:
        missing = (record.verification or {}).get("missing") or ["what the request asks for"]
        parts += [
            "Earlier steps were:\n" + "\n".join(_told(step) for step in _all_steps(record)),
            "They have found:\n" + "\n\n".join(record.all_findings),
            "This is still missing:\n" + "\n".join(f"- {each}" for each in missing),
            "Plan just the steps that bring what is missing. Do not repeat a call that was made; where one failed, "
            "try another way.",
        ]
    if problems:
        parts.append("The plan that you made before does not work:\n" + "\n".join(problems) + "\nMake a better one.")
    return with_system(conversation, "\n\n".join(parts))


def arguments(
    conversation: Sequence[Message], tool: ToolDefinition, task: str, known: Sequence[tuple[RecordedStep, str]]
) -> list[Message]:
    """Asks for the arguments of a step's call. `known`: the steps that it depends on, and what they brought."""
    schema = tool.parameters_json_schema or "{}"
    system = (
        f"You call the tool {tool.name} for one step of a plan. Answer with a JSON object: the tool's arguments, "
        f"nothing else.\n\nThe tool: {tool.description}\n\nThe JSON Schema of its arguments: {schema}\n\n"
        f"The plan serves this request: {_request(conversation)}"
    )
    return [_message("system", system), _message("user", _task(task, known))]


def thought(conversation: Sequence[Message], task: str, known: Sequence[tuple[RecordedStep, str]]) -> list[Message]:
    """Asks for the result of a step without a tool."""
    system = (
        "You carry out one step of a plan by thinking. Answer with a JSON object that holds its result: short, and "
        f"nothing but what follows from what is known.\n\nThe plan serves this request: {_request(conversation)}"
    )
    return [_message("system", system), _message("user", _task(task, known))]


def reasoning(conversation: Sequence[Message], brought: Sequence[tuple[RecordedStep, str]]) -> list[Message]:
    """Asks what a round has found."""
    return with_system(
        conversation,
        "Tools have worked on the user's last message. Sum up, in a JSON object, what their results say about it: "
        "names, numbers and sources as they stand there, and nothing that does not. Say what failed and what that "
        f"leaves open.\n\nThe results:\n\n{_results(brought)}",
    )


def verification(
    conversation: Sequence[Message],
    record: PlanRecord,
    brought: Sequence[tuple[RecordedStep, str]],
    unsupported: Sequence[str] = (),
) -> list[Message]:
    """Asks whether the findings answer the request. `unsupported`: sentences of theirs that no passage supports."""
    doubts = "".join(f"\n- {sentence}" for sentence in unsupported)
    return with_system(
        conversation,
        "Check whether the findings are enough to answer the user's last message in full. Answer with a JSON object: "
        "complete, what is missing, and the reason. Something is missing only if another call of a tool may bring "
        "it.\n\n"
        f"The findings:\n\n{_joined(record.all_findings)}\n\nThe results of the last steps:\n\n{_results(brought)}"
        + (f"\n\nNo result seems to support these sentences of the findings:{doubts}" if doubts else ""),
    )


def answering(
    conversation: Sequence[Message],
    record: PlanRecord,
    brought: Sequence[tuple[RecordedStep, str]],
    *,
    are_tools_away: bool,
) -> list[Message]:
    """Asks for the answer that the user reads. Without anything found: the conversation as it is."""
    parts: list[str] = []
    if brought:
        parts.append(
            "Answer the user's last message with what follows: it was found for this answer. Keep to it, and name its "
            "sources where they matter. Do not speak of plans, steps or tools."
        )
        if record.all_findings:
            parts.append(f"The findings:\n\n{_joined(record.all_findings)}")
        parts.append(f"The results:\n\n{_results(brought)}")
        verdict = record.verification
        if verdict is not None and not verdict["complete"] and verdict["missing"]:
            missing = "\n".join(f"- {each}" for each in verdict["missing"])
            parts.append(f"This could not be found out; say so where it matters:\n{missing}")
    if are_tools_away:
        parts.append("The tools cannot be reached now. Where the answer would need them, say so.")
    return with_system(conversation, "\n\n".join(parts)) if parts else list(conversation)


def fitted(
    context: RunContext, brought: Sequence[tuple[RecordedStep, str]], *, tight: bool = False
) -> Sequence[tuple[RecordedStep, str]]:
    """The results, each cut so far that all of them fit into a prompt, and what tools brought marked as quoted.

    `tight`: to their beginnings.
    """
    total = 0 if tight else (context.model.context_length or _UNKNOWN_CONTEXT) * _CHARACTERS_PER_TOKEN
    most = max(int(total) // max(len(brought), 1), _LEAST_CHARACTERS)
    cut = [(step, text if len(text) <= most else f"{text[:most]} [cut]") for step, text in brought]
    mark = context.safety.mark
    return [
        (recorded, quoted(text, f"the tool {recorded.step.tool}", mark) if recorded.step.tool and text else text)
        for recorded, text in cut
    ]


async def asked_in_room(ask: Callable[[bool], Awaitable[T]]) -> T:
    """Asks with all that was found; where the model server refuses that as too long, with the beginnings of it.

    Model servers often read less than their models could. `ask` is told whether to be tight.
    """
    try:
        return await ask(False)
    except DormouseError as error:
        if error.reason != error_pb2.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED:
            raise
    return await ask(True)


def _message(role: Any, text: str) -> Message:
    return Message(id=f"plan.{role}", role=role, content=[{"text": text}])


def _listed(tool: ToolDefinition) -> str:
    description = " ".join(tool.description.split())[:_DESCRIPTION_CHARACTERS]
    schema = orjson.loads(tool.parameters_json_schema or "{}")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    names = f" Arguments: {', '.join(properties)}." if properties else ""
    return f"- {tool.name}: {description}{names}"


def _all_steps(record: PlanRecord) -> list[RecordedStep]:
    return [step for number in range(record.rounds) for step in record.steps_of(number)]


def _told(recorded: RecordedStep) -> str:
    tool = f" ({recorded.step.tool})" if recorded.step.tool else ""
    why = f": {recorded.result}" if recorded.status in (FAILED, SKIPPED) and recorded.result else ""
    return f"- {recorded.step.task}{tool} — {recorded.status}{why}"


def _task(task: str, known: Sequence[tuple[RecordedStep, str]]) -> str:
    return f"{task}\n\nWhat is known:\n\n{_results(known)}" if known else task


def _results(brought: Sequence[tuple[RecordedStep, str]]) -> str:
    if not brought:
        return "There are none."
    return "\n\n".join(f"{_told(step)}\n{text}".rstrip() for step, text in brought)


def _joined(findings: Sequence[str]) -> str:
    return "\n\n".join(findings) or "There are none."


def _request(conversation: Sequence[Message]) -> str:
    return next((text_of(message) for message in reversed(conversation) if message["role"] == "user"), "")
