"""One message of a model, streamed: the step that every agent is made of.

A message has the same ids in every attempt of its run. What an earlier attempt has already told the client decides how
this one goes on:

- finished: the model is not asked again;
- some text, and the model can go on with it: it does, and only what is new is told (prefill);
- some text, and it cannot: the new text replaces the old where the client can be told, else STREAM_BROKEN;
- reasoning only: the model thinks again, for thoughts cannot be prefilled in most templates. As long as it thinks the
  same nothing is told twice; where it departs from that, its new thoughts follow the old ones as another paragraph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from agent_fn import errors
from agent_fn.agents.context import RecoveredMessage, RunContext
from agent_fn.agents.speech import STEP_NAME, Speech, step_id_of
from agent_fn.agents.text_protocol import with_system
from agent_fn.agents.tool_set import ToolSet
from agent_fn.conversation import Message, ToolCall, assistant_message, with_calls_closed
from agent_fn.events import FinishReason, MessageFinished, StepFinished
from agent_fn.safety.quoting import with_canary, with_quotations

_CITE: Final = (
    "Where your answer rests on passages that a tool has quoted behind labels such as [1], put the label right behind "
    "the sentence it supports. Cite only labels that you were given, and only for what their passages say."
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's whole message."""

    message: Message
    finish_reason: FinishReason


async def stream_reply(
    context: RunContext,
    messages: Sequence[Message],
    *,
    number: int = 1,
    tools: ToolSet | None = None,
    is_quiet: bool = False,
    fallback: str = "",
) -> Reply:
    """Asks the run's model and tells its message's events as it speaks.

    `number` counts the model messages of the run from 1. `tools` are offered to the model, as text where it knows no
    other way; None: the client's, and every call is one for the client. `is_quiet`: only calls are wanted, no text is
    told, and no schema binds the answer. `fallback` is told where the message would else be empty. Errors: those of
    models.port.Model, STREAM_BROKEN.
    """
    context.sources.learn(messages)
    if context.sources.are_in_use and not is_quiet:
        messages = with_system(messages, _CITE)
    messages = with_canary(with_quotations(messages, context.safety.mark), _canary(context))
    message_id = message_id_of(context, number)
    told = context.recovery.messages.get(message_id)
    calls = [known.call for known in context.recovery.tool_calls if known.call["id"].startswith(f"{message_id}.")]
    if told is not None and (told.finished or calls):
        return _told_whole(context, message_id, told, calls)
    options = replace(context.options, response_json_schema=None) if is_quiet else context.options
    speech = Speech(context, message_id, told, tools, options, is_quiet=is_quiet, fallback=fallback)
    message, reason = await speech.run(with_calls_closed(messages))
    return Reply(message, reason)


def _canary(context: RunContext) -> str:
    """Empty where there is nothing to be kept."""
    return context.safety.canary if context.exposure.confidential else ""


def message_id_of(context: RunContext, number: int) -> str:
    """The id of the run's `number`th model message, the same in every attempt."""
    return f"{context.run_id}.m{number}"


def _told_whole(context: RunContext, message_id: str, told: RecoveredMessage, calls: Sequence[ToolCall]) -> Reply:
    """The message as the log has it. Its usage is in the log with its end: they are written together."""
    if not told.finished:
        # The calls come when the model has ended; the log lacks what follows them, or a part of the last one.
        if not all(_is_json(call["arguments_json"]) for call in calls):
            raise errors.stream_broken()
        context.flow.put([MessageFinished(message_id), StepFinished(step_id_of(message_id), STEP_NAME)])
    spent, limit = told.pieces + told.reasoning_pieces, context.options.max_tokens
    reason = FinishReason.LENGTH if limit is not None and spent >= limit else FinishReason.STOP
    message = assistant_message(message_id, told.text, told.reasoning, calls)
    return Reply(message, FinishReason.TOOL_CALLS if calls else reason)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
