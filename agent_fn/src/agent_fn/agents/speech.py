"""A message on its way from the model to the run's events."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from agent_fn import errors
from agent_fn.agents.context import Phase, RecoveredMessage, RunContext
from agent_fn.agents.echo import Echo
from agent_fn.agents.patience import Patience
from agent_fn.agents.text_protocol import FORMAT, CallReader, Reading, with_tools
from agent_fn.agents.tool_set import ToolSet, client_tools_only
from agent_fn.agents.tool_use import call_events
from agent_fn.citing.citations import citations
from agent_fn.conversation import Message, ToolCall, assistant_message, has_images
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
from agent_fn.generation import GenerationOptions
from agent_fn.models.port import Capability, Chunk, Completion, ModelCall, Prefill, RequestedTool

STEP_NAME: Final = "model"
_NOTHING: Final = RecoveredMessage(text="", reasoning="", pieces=0, reasoning_pieces=0, finished=False)
# How often a model is told that its call cannot be read.
_REPAIRS: Final = 2


def step_id_of(message_id: str) -> str:
    """The id of the step that a message is."""
    return f"{message_id}.step"


class _Reader(Protocol):
    """Separates text from calls; see text_protocol.CallReader."""

    def feed(self, text: str, pieces: int) -> tuple[str, int]: ...

    def finish(self) -> Reading: ...


class _PlainReader:
    """For models whose calls come beside their text."""

    def feed(self, text: str, pieces: int) -> tuple[str, int]:
        return text, pieces

    def finish(self) -> Reading:
        return Reading()


class Speech:
    """Asks the model once, or a little more often where its calls cannot be read. See reply.stream_reply."""

    def __init__(
        self,
        context: RunContext,
        message_id: str,
        told: RecoveredMessage | None,
        tools: ToolSet | None,
        options: GenerationOptions,
        *,
        is_quiet: bool = False,
        fallback: str = "",
    ) -> None:
        self._context = context
        self._id = message_id
        self._step = step_id_of(message_id)
        self._flow = context.flow
        self._options = options
        self._is_quiet = is_quiet
        self._fallback = fallback
        self._all_at_client = tools is None
        self._tools = client_tools_only(context) if tools is None else tools
        # The agent that hands all calls to its client refuses a model without tools instead, as the client expects.
        self._speaks_text = tools is not None and not _can(context, Capability.TOOLS)
        self._started = told is not None
        told = told or _NOTHING
        # A schema binds the tokens of the model from its first one on: it cannot go on in the middle of an object.
        continues = context.model.continues and options.response_json_schema is None
        self._continued = told if told.text and continues else _NOTHING
        self._replaces = bool(told.text) and not continues
        if self._replaces and not context.recovery.may_replace:
            raise errors.stream_broken()
        self._echo = Echo("" if self._continued is told else told.reasoning)
        self._reasoning = [told.reasoning]
        self._text = [self._continued.text]
        self._reasoning_pieces = self._continued.reasoning_pieces
        self._tool_calls: list[ToolCall] = []
        self._reader = self._new_reader()
        self._answer = context.outflow.stream("answer")
        self._thoughts = context.outflow.stream("reasoning")

    async def run(self, messages: Sequence[Message]) -> tuple[Message, FinishReason]:
        """The whole message, when it is told."""
        self._context.progress.begun = True
        call = self._call(messages)
        if call is None:
            return self._end_at_limit()
        for repairs_left in range(_REPAIRS, -1, -1):
            try:
                said, problem, finish_reason = await self._listen(call, may_repair=repairs_left > 0)
            except errors.UnreadableToolCall:
                if self._text != [""] or self._reasoning != [""] or not repairs_left:
                    raise  # what it has said would be said twice
                said, problem, finish_reason = "", "It is not valid JSON.", None
            if finish_reason is not None:
                return self._message(), finish_reason
            call = replace(call, messages=[*call.messages, *self._complaint(said, problem)], prefill=None)
            self._reader = self._new_reader(is_repair=True)
        raise AssertionError("the last try ends the message")

    async def _listen(self, call: ModelCall, *, may_repair: bool) -> tuple[str, str, FinishReason | None]:
        """Streams an answer: what the model said, why that could not be read, how it ended; None for not yet."""
        context, flow, said = self._context, self._flow, [self._continued.text]
        context.progress.phase = Phase.TEXT if self._continued.text else Phase.WAITING
        async with (
            Patience(context.models, call.model, flow) as patience,
            context.models.answer(call) as chunks,
        ):
            patience.end()
            async for chunk in chunks:
                said.append(chunk.text)
                events = self._tell(chunk)
                completion = chunk.completion
                if completion is not None:
                    context.progress.phase = Phase.IDLE
                    reading = self._reader.finish()
                    cut_off = completion.finish_reason is FinishReason.LENGTH
                    is_over = not (reading.problem and may_repair and not cut_off)
                    usage = self._usage(completion)
                    finish_reason = self._end(reading, completion.finish_reason, usage, events) if is_over else None
                    flow.put(events if is_over else [*events, usage])
                    return "".join(said), reading.problem, finish_reason
                if events:
                    flow.put(events)
                if flow.congested:
                    await flow.clear()
        raise errors.model_unavailable("The model server broke off its answer.")

    def _new_reader(self, *, is_repair: bool = False) -> _Reader:
        if not self._speaks_text:
            return _PlainReader()
        names = [tool.name for tool in self._tools.definitions]
        return CallReader(names, before="".join(self._text), holds_all=is_repair or self._is_quiet)

    def _complaint(self, said: str, problem: str) -> list[Message]:
        """What the model is told of a call that nobody can read."""
        text = f"Your tool call cannot be read. {problem}"
        if self._speaks_text:
            text = f"{text}\n\n{FORMAT}"
        told = Message(id=f"{self._id}.repair", role="user", content=[{"text": text}])
        return [assistant_message(self._id, said, "", ()), told] if said else [told]

    def _call(self, messages: Sequence[Message]) -> ModelCall | None:
        """What the model is asked; None where the text so far has used up the limit."""
        context, told, options = self._context, self._continued, self._options
        if not messages:
            raise errors.invalid_argument("The conversation is empty.")
        _check_abilities(context, messages, needs_tools=bool(self._tools) and not self._speaks_text)
        if options.reasoning is False and Capability.THINKING not in context.model.capabilities:
            options = replace(options, reasoning=None)
        if options.max_tokens is not None and told.text:
            left = options.max_tokens - told.pieces - told.reasoning_pieces
            if left <= 0:
                return None
            options = replace(options, max_tokens=left)
        return ModelCall(
            model=context.model.name,
            messages=with_tools(messages, self._tools.definitions) if self._speaks_text else messages,
            options=options,
            tools=() if self._speaks_text else self._tools.definitions,
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
                self._think(reasoning, chunk.reasoning_pieces, events)
        if self._thoughts is not None and (chunk.text or chunk.tools or chunk.completion is not None):
            self._tell_thought(*self._thoughts.finish(), events)
        if self._replaces and (chunk.text or chunk.completion is not None):
            self._replaces = False
            events.append(MessageReplaced(self._id, ""))
        if chunk.text:
            text, pieces = self._reader.feed(chunk.text, chunk.pieces)
            if self._show(text, pieces, events):
                self._context.progress.phase = Phase.TEXT
        for tool in chunk.tools:
            self._call_tool(tool)
        return events

    def _think(self, reasoning: str, pieces: int, events: list[Event]) -> None:
        if self._thoughts is not None:
            reasoning, pieces = self._thoughts.feed(reasoning, pieces)
        self._tell_thought(reasoning, pieces, events)

    def _tell_thought(self, reasoning: str, pieces: int, events: list[Event]) -> None:
        if reasoning:
            self._reasoning.append(reasoning)
            events.append(ReasoningDelta(self._id, reasoning, pieces))

    def _show(self, text: str, pieces: int, events: list[Event]) -> bool:
        if not text or self._is_quiet:
            return False
        if self._answer is not None:
            text, pieces = self._answer.feed(text, pieces)
        return self._tell_text(text, pieces, events)

    def _tell_text(self, text: str, pieces: int, events: list[Event]) -> bool:
        if not text:
            return False
        self._text.append(text)
        events.append(TextDelta(self._id, text, pieces))
        return True

    def _call_tool(self, tool: RequestedTool) -> None:
        if not self._all_at_client and not self._tools:
            return  # none was offered: the model was asked for its answer
        # Ollama numbers parallel calls unreliably, so each gets an id here; the same in every attempt.
        number = len(self._tool_calls) + 1
        own = self._tools.own.get(tool.name)
        reaches_out = own is None or own.description.reaches_out  # where a client's own call goes, nobody here knows
        arguments = self._context.outflow.arguments(tool.arguments_json, reaches_out=reaches_out)
        self._tool_calls.append(ToolCall(id=f"{self._id}.c{number}", name=tool.name, arguments_json=arguments))

    def _end(
        self, reading: Reading, finish_reason: FinishReason, usage: UsageReported, events: list[Event]
    ) -> FinishReason:
        """Adds the events of the message's end.

        They go out in one piece, tool calls included, so that a log that has the end of a message has its usage too.
        """
        for tool in reading.calls:
            self._call_tool(tool)
        self._show(reading.text, reading.pieces, events)
        if self._answer is not None and not self._is_quiet:
            self._tell_text(*self._answer.finish(), events)
        if self._fallback and not self._tool_calls and not "".join(self._text).strip():
            self._text.append(self._fallback)
            events.append(TextDelta(self._id, self._fallback, 0))
        events += self._citations()
        for call in self._tool_calls:
            at_client = self._all_at_client or self._tools.is_at_client(call["name"])
            events += call_events(call, message_id=self._id, at_client=at_client)
        events += (MessageFinished(self._id), usage, StepFinished(self._step, STEP_NAME))
        return FinishReason.TOOL_CALLS if self._tool_calls else finish_reason

    def _usage(self, completion: Completion) -> UsageReported:
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
            step_id=self._step,
        )
        self._context.progress.tokens += usage.prompt_tokens + usage.completion_tokens
        return usage

    def _end_at_limit(self) -> tuple[Message, FinishReason]:
        told = self._continued
        spent = told.pieces + told.reasoning_pieces
        usage = UsageReported(self._context.model.name, 0, spent, told.reasoning_pieces, 0, 0, 0, self._step)
        self._context.progress.tokens += spent
        self._flow.put([*self._citations(), MessageFinished(self._id), usage, StepFinished(self._step, STEP_NAME)])
        return self._message(), FinishReason.LENGTH

    def _citations(self) -> Sequence[Event]:
        """What the text rests on. Data that a schema describes has no sentences."""
        if self._options.response_json_schema is not None:
            return ()
        text = "".join(self._text)
        return citations(self._id, text, self._context.sources, is_answer=not self._tool_calls)

    def _message(self) -> Message:
        return assistant_message(self._id, "".join(self._text), "".join(self._reasoning), self._tool_calls)


def _can(context: RunContext, capability: Capability) -> bool:
    """Whether the model can do it. One on an Ollama too old to say what it can is taken to."""
    return not context.model.capabilities or capability in context.model.capabilities


def _check_abilities(context: RunContext, messages: Sequence[Message], *, needs_tools: bool) -> None:
    """Refuses what the model cannot do. An Ollama too old to say what it can is left to refuse by itself."""
    wanted = (
        (True, Capability.COMPLETION, "chat"),
        (needs_tools, Capability.TOOLS, "tools"),
        (context.options.reasoning is True, Capability.THINKING, "thinking"),
        (has_images(messages), Capability.VISION, "images"),
    )
    for asked, capability, ability in wanted:
        if asked and not _can(context, capability):
            raise errors.capability_missing(context.model.name, ability)
