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

import orjson

from agent_fn import errors
from agent_fn.agents.context import Phase, RecoveredMessage, RunContext
from agent_fn.agents.patience import Patience
from agent_fn.agents.tool_set import ToolSet, client_tools_only
from agent_fn.agents.tool_use import call_events
from agent_fn.conversation import Message, ToolCall, has_images
from agent_fn.events import (
    Event,
    FinishReason,
    MessageFinished,
    MessageReplaced,
    MessageStarted,
    ReasoningDelta,
    StepFinished,
    StepStarted,
    TextDelta,
    UsageReported,
)
from agent_fn.models.port import Capability, Chunk, Completion, ModelCall, Prefill, RequestedTool

STEP_NAME = "model"
_NOTHING = RecoveredMessage(text="", reasoning="", pieces=0, reasoning_pieces=0, finished=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's whole message."""

    message: Message
    finish_reason: FinishReason


async def stream_reply(
    context: RunContext, messages: Sequence[Message], *, number: int = 1, tools: ToolSet | None = None
) -> Reply:
    """Asks the run's model and tells its message's events as it speaks.

    `number` counts the model messages of the run from 1. `tools` are offered to the model; None: the client's, and
    every call is one for the client. Errors: those of models.port.Model, STREAM_BROKEN.
    """
    message_id = message_id_of(context, number)
    told = context.recovery.messages.get(message_id)
    calls = [known.call for known in context.recovery.tool_calls if known.call["id"].startswith(f"{message_id}.")]
    if told is not None and (told.finished or calls):
        return _told_whole(context, message_id, told, calls)
    return await _Speech(context, message_id, told, tools).run(messages)


def message_id_of(context: RunContext, number: int) -> str:
    """The id of the run's `number`th model message, the same in every attempt."""
    return f"{context.run_id}.m{number}"


def _told_whole(context: RunContext, message_id: str, told: RecoveredMessage, calls: Sequence[ToolCall]) -> Reply:
    """The message as the log has it. Its usage is in the log with its end: they are written together."""
    if not told.finished:
        # The calls come when the model has ended; the log lacks what follows them, or a part of the last one.
        if not all(_is_json(call["arguments_json"]) for call in calls):
            raise errors.stream_broken()
        context.flow.put([MessageFinished(message_id), StepFinished(_step_id(message_id), STEP_NAME)])
    spent, limit = told.pieces + told.reasoning_pieces, context.options.max_tokens
    reason = FinishReason.LENGTH if limit is not None and spent >= limit else FinishReason.STOP
    return Reply(_message(message_id, told.text, told.reasoning, calls), FinishReason.TOOL_CALLS if calls else reason)


class _Speech:
    """A message on its way from the model to the run's events."""

    def __init__(
        self, context: RunContext, message_id: str, told: RecoveredMessage | None, tools: ToolSet | None
    ) -> None:
        self._context = context
        self._tools = client_tools_only(context) if tools is None else tools
        self._all_at_client = tools is None
        self._id = message_id
        self._step = _step_id(message_id)
        self._flow = context.flow
        self._started = told is not None
        told = told or _NOTHING
        # A schema binds the tokens of the model from its first one on: it cannot go on in the middle of an object.
        continues = context.model.continues and context.options.response_json_schema is None
        self._continued = told if told.text and continues else _NOTHING
        self._replaces = bool(told.text) and not continues
        if self._replaces and not context.recovery.may_replace:
            raise errors.stream_broken()
        self._echo = Echo("" if self._continued is told else told.reasoning)
        self._reasoning = [told.reasoning]
        self._text = [self._continued.text]
        self._reasoning_pieces = self._continued.reasoning_pieces
        self._tool_calls: list[ToolCall] = []

    async def run(self, messages: Sequence[Message]) -> Reply:
        """Asks the model and streams what it says."""
        context, progress, flow = self._context, self._context.progress, self._flow
        progress.begun = True
        call = self._call(messages)
        if call is None:
            return self._end_at_limit()
        progress.phase = Phase.TEXT if self._continued.text else Phase.WAITING
        async with (
            Patience(context.models, call.model, flow) as patience,
            context.models.answer(call) as chunks,
        ):
            patience.end()
            async for chunk in chunks:
                events = self._tell(chunk)
                completion = chunk.completion
                if completion is not None:
                    progress.phase = Phase.IDLE
                    finish_reason = self._end(completion, events)
                if events:
                    flow.put(events)
                if completion is not None:
                    return Reply(self._message(), finish_reason)
                if flow.congested:
                    await flow.clear()
        raise errors.model_unavailable("The model server broke off its answer.")

    def _call(self, messages: Sequence[Message]) -> ModelCall | None:
        """What the model is asked; None where the text so far has used up the limit."""
        context, told = self._context, self._continued
        if not messages:
            raise errors.invalid_argument("The conversation is empty.")
        _check_abilities(context, messages, self._tools)
        options = context.options
        if options.reasoning is False and Capability.THINKING not in context.model.capabilities:
            options = replace(options, reasoning=None)
        if options.max_tokens is not None and told.text:
            left = options.max_tokens - told.pieces - told.reasoning_pieces
            if left <= 0:
                return None
            options = replace(options, max_tokens=left)
        return ModelCall(
            model=context.model.name,
            messages=messages,
            options=options,
            tools=self._tools.definitions,
            prefill=Prefill(told.text, told.reasoning) if told.text else None,
        )

    def _tell(self, chunk: Chunk) -> list[Event]:
        """The events of what the model said."""
        events: list[Event] = []
        if not self._started:
            self._started = True
            events += (StepStarted(self._step, STEP_NAME), MessageStarted(self._id))
        if chunk.reasoning:
            self._reasoning_pieces += chunk.reasoning_pieces
            if reasoning := self._echo.feed(chunk.reasoning):
                self._context.progress.phase = Phase.REASONING
                self._reasoning.append(reasoning)
                events.append(ReasoningDelta(self._id, reasoning, chunk.reasoning_pieces))
        if self._replaces and (chunk.text or chunk.completion is not None):
            self._replaces = False
            events.append(MessageReplaced(self._id, ""))
        if chunk.text:
            self._context.progress.phase = Phase.TEXT
            self._text.append(chunk.text)
            events.append(TextDelta(self._id, chunk.text, chunk.pieces))
        for tool in chunk.tools:
            self._call_tool(tool)
        return events

    def _call_tool(self, tool: RequestedTool) -> None:
        # Ollama numbers parallel calls unreliably, so each gets an id here; the same in every attempt.
        number = len(self._tool_calls) + 1
        self._tool_calls.append(
            ToolCall(id=f"{self._id}.c{number}", name=tool.name, arguments_json=tool.arguments_json)
        )

    def _end(self, completion: Completion, events: list[Event]) -> FinishReason:
        """Adds the events of the message's end.

        They go out in one piece, tool calls included, so that a log that has the end of a message has its usage too.
        """
        for call in self._tool_calls:
            at_client = self._all_at_client or self._tools.is_at_client(call["name"])
            events += call_events(call, message_id=self._id, at_client=at_client)
        told, model = self._continued, self._context.model
        spent = told.pieces + told.reasoning_pieces
        # The model read the beginning of its answer as a part of the prompt.
        reread = spent if model.rereads_reasoning else told.pieces
        usage = UsageReported(
            model=model.name,
            prompt_tokens=max(completion.prompt_tokens - reread, 0),
            completion_tokens=completion.completion_tokens + spent,
            # Ollama counts reasoning and text together; it sends a piece for each token.
            reasoning_tokens=min(self._reasoning_pieces, completion.completion_tokens + spent),
            load_ns=completion.load_ns,
            prompt_ns=completion.prompt_ns,
            completion_ns=completion.completion_ns,
        )
        self._context.progress.tokens += usage.prompt_tokens + usage.completion_tokens
        events += (MessageFinished(self._id), usage, StepFinished(self._step, STEP_NAME))
        return FinishReason.TOOL_CALLS if self._tool_calls else completion.finish_reason

    def _end_at_limit(self) -> Reply:
        told = self._continued
        spent = told.pieces + told.reasoning_pieces
        usage = UsageReported(self._context.model.name, 0, spent, told.reasoning_pieces, 0, 0, 0)
        self._flow.put([MessageFinished(self._id), usage, StepFinished(self._step, STEP_NAME)])
        return Reply(self._message(), FinishReason.LENGTH)

    def _message(self) -> Message:
        return _message(self._id, "".join(self._text), "".join(self._reasoning), self._tool_calls)


class Echo:
    """Holds back what repeats `known` word for word from its beginning."""

    def __init__(self, known: str) -> None:
        self._known = known
        self._at = 0

    def feed(self, text: str) -> str:
        """What of `text` is new; where it departs from what is known: all that was held back too, set off by a line."""
        if self._at == len(self._known):
            return text
        left = self._known[self._at :]
        if left.startswith(text):
            self._at += len(text)
            return ""
        held, self._at = self._known[: self._at], len(self._known)
        return text[len(left) :] if text.startswith(left) else f"\n\n{held}{text}"


def _check_abilities(context: RunContext, messages: Sequence[Message], tools: ToolSet) -> None:
    """Refuses what the model cannot do. An Ollama too old to say what it can is left to refuse by itself."""
    model = context.model
    if not model.capabilities:
        return
    wanted = (
        (True, Capability.COMPLETION, "chat"),
        (bool(tools), Capability.TOOLS, "tools"),
        (context.options.reasoning is True, Capability.THINKING, "thinking"),
        (has_images(messages), Capability.VISION, "images"),
    )
    for asked, capability, ability in wanted:
        if asked and capability not in model.capabilities:
            raise errors.capability_missing(model.name, ability)


def _message(message_id: str, text: str, reasoning: str, calls: Sequence[ToolCall]) -> Message:
    message = Message(id=message_id, role="assistant", content=[{"text": text}] if text else [])
    if reasoning:
        message["reasoning"] = reasoning
    if calls:
        message["tool_calls"] = list(calls)
    return message


def _step_id(message_id: str) -> str:
    return f"{message_id}.step"


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
