"""A question to the model whose answer is data and nobody's to read: a plan, a verdict, a route."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from agent_fn.agents.arguments import repaired
from agent_fn.agents.context import RunContext
from agent_fn.agents.patience import Patience
from agent_fn.agents.room import fitted
from agent_fn.agents.text_protocol import with_tools
from agent_fn.conversation import Message, with_calls_closed
from agent_fn.events import Event, StepFinished, StepStarted, UsageReported
from agent_fn.generation import GenerationOptions
from agent_fn.models.port import Capability, Completion, ModelCall
from agent_fn.safety.quoting import with_quotations

# An answer that never ends would else fill the context.
_MOST_TOKENS: Final = 4096
_TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Answered:
    """`value` is None where the model brought no JSON object, twice.

    `ending` has the usage and the step's end: put it into the flow together with what the value is kept in, so that a
    log has both or neither.
    """

    value: Mapping[str, Any] | None
    ending: Sequence[Event]


async def ask_json(
    context: RunContext,
    *,
    step_id: str,
    step_name: str,
    messages: Sequence[Message],
    schema: Mapping[str, Any],
    max_tokens: int = _MOST_TOKENS,
    parent_step_id: str = "",
) -> Answered:
    """Asks the run's model for an object that fits the schema, which is the model server's to enforce: check values.

    A model call each time: whoever asks looks into the run's state first. Errors: those of models.port.Model.
    """
    context.progress.begun = True
    context.flow.put([StepStarted(step_id, step_name, parent_step_id)])
    messages = with_calls_closed(with_quotations(messages, context.safety.mark))
    if context.model.capabilities and Capability.TOOLS not in context.model.capabilities:
        messages = with_tools(messages, ())
    messages = fitted(messages, context.model.context_length)
    ending: list[Event] = []
    value: Mapping[str, Any] | None = None
    for _ in range(_TRIES):
        text, completion = await _answer(context, messages, _options(context, schema, max_tokens))
        context.progress.tokens += completion.prompt_tokens + completion.completion_tokens
        ending.append(_usage(context.model.name, completion, step_id))
        value = context.outflow.value(_object(text))
        if value is not None:
            break
    return Answered(value, [*ending, StepFinished(step_id, step_name)])


async def _answer(
    context: RunContext, messages: Sequence[Message], options: GenerationOptions
) -> tuple[str, Completion]:
    call = ModelCall(context.model.name, messages, options)
    parts: list[str] = []
    async with (
        Patience(context.models, call.model, context.flow) as patience,
        context.models.answer(call) as chunks,
    ):
        patience.end()
        async for chunk in chunks:
            parts.append(chunk.text)
            if chunk.completion is not None:
                return "".join(parts), chunk.completion
    raise AssertionError("an answer ends with its completion")


def _options(context: RunContext, schema: Mapping[str, Any], max_tokens: int) -> GenerationOptions:
    options = context.options
    can_think = not context.model.capabilities or Capability.THINKING in context.model.capabilities
    return replace(
        options,
        response_json_schema=orjson.dumps(schema).decode(),
        stop=(),
        max_tokens=max_tokens,
        reasoning=options.reasoning if can_think else None,
    )


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = repaired(text)
    return value if isinstance(value, dict) else None


def _usage(model: str, completion: Completion, step_id: str) -> UsageReported:
    return UsageReported(
        model=model,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        reasoning_tokens=0,
        load_ns=completion.load_ns,
        prompt_ns=completion.prompt_ns,
        completion_ns=completion.completion_ns,
        step_id=step_id,
    )
