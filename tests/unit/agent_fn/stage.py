"""A stage on which agents play by a script: a model and tools that do as a test wants, and a log as the edge keeps one.

The model and the tools stand for peers; the agents, the executor and the conversion to protos are the real ones.
"""

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

import agent_fn.executor as executor_module
import jsonpatch
import orjson
from agent_fn.agents.agent import Agent
from agent_fn.agents.registry import load_agents
from agent_fn.conversation import ToolCall
from agent_fn.convert import execute_response, run_request
from agent_fn.events import (
    ArtifactDelta,
    ArtifactSaved,
    Citation,
    Event,
    FinishReason,
    Handoff,
    MessageFinished,
    MessageReplaced,
    MessageStarted,
    ReasoningDelta,
    RunFinished,
    RunInterrupted,
    StateDelta,
    StateSnapshot,
    StepFinished,
    StepStarted,
    TextDelta,
    ToolCallArgs,
    ToolCallFinished,
    ToolCallStarted,
    ToolResult,
    UsageReported,
)
from agent_fn.executor import Executor, Means
from agent_fn.generation import ToolDefinition
from agent_fn.models.catalog import ModelCatalog
from agent_fn.models.port import Chunk, Completion, ModelCall, ModelDescription, RequestedTool
from agent_fn.outbox import Outbox
from agent_fn.source_protos import source_to_proto
from agent_fn.threads.store import Threads
from agent_fn.tools.port import ToolDescription, ToolOutcome
from dormouse.agent.v1.agent_pb2 import RecoveredMessage, RecoveredToolResult, Recovery
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.message_pb2 import ROLE_USER, ContentPart, Message
from dormouse.agent.v1.run_event_pb2 import InterruptAnswer

MODEL = ModelDescription("scripted", frozenset({"completion", "tools"}), continues=True, context_length=32_768)


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says: a text or data for a schema, and calls."""

    text: str = ""
    calls: Sequence[tuple[str, Mapping[str, Any]]] = ()

    @classmethod
    def data(cls, value: Any) -> "Said":
        return cls(orjson.dumps(value).decode())


Script = Callable[[ModelCall], Said]


class ScriptedModel:
    """Says to the same call always the same, word by word; goes on with a prefill."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.calls: list[ModelCall] = []

    @asynccontextmanager
    async def answer(self, call: ModelCall) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.calls.append(call)
        yield self._speak(call, self._script(call))

    async def is_loaded(self, model: str) -> bool:
        return True

    async def _speak(self, call: ModelCall, said: Said) -> AsyncIterator[Chunk]:
        text = said.text.removeprefix(call.prefill.text) if call.prefill else said.text
        pieces = re.findall(r"\S+\s*", text)
        for piece in pieces:
            await asyncio.sleep(0)
            yield Chunk(text=piece, pieces=1)
        tools = [RequestedTool(name, orjson.dumps(arguments).decode()) for name, arguments in said.calls]
        tokens = len(pieces) + len(tools)
        yield Chunk(tools=tools, completion=Completion(FinishReason.STOP, 10, tokens, 0, 0, 0))


@dataclass(slots=True)
class ScriptedTools:
    """Tools that answer at once and keep a ledger as tool_fn does: what has side effects takes effect once a key."""

    answers: Mapping[str, Callable[[dict[str, Any]], str | ToolOutcome]]
    with_side_effects: frozenset[str] = frozenset()
    to_approve: frozenset[str] = frozenset()
    is_reachable: bool = True
    invoked: list[tuple[str, str]] = field(default_factory=list)
    """Key and arguments of every invocation."""
    effects: list[str] = field(default_factory=list)
    """Keys of the calls that took effect."""
    ledger: dict[str, ToolOutcome] = field(default_factory=dict)

    def open(self, tenant: str, token: str, documents_token: str = "") -> "ScriptedTools":
        return self

    async def describe(self) -> Sequence[ToolDescription]:
        if not self.is_reachable:
            return ()
        schema = '{"type": "object", "properties": {"of": {"type": "string"}}, "required": ["of"]}'
        return [
            ToolDescription(
                ToolDefinition(name, f"Brings {name}.", schema), name in self.with_side_effects, name in self.to_approve
            )
            for name in sorted(self.answers)
        ]

    async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
        self.invoked.append((key, call["arguments_json"]))
        await asyncio.sleep(0)
        if key in self.ledger:
            return self.ledger[key]
        answer = self.answers[call["name"]](orjson.loads(call["arguments_json"]))
        outcome = ToolOutcome(answer, duration_ms=1) if isinstance(answer, str) else answer
        if call["name"] in self.with_side_effects:
            self.effects.append(key)
            self.ledger[key] = outcome
        return outcome


@cache
def _agents() -> Mapping[str, Agent]:
    return load_agents()


class _OneModel(ModelCatalog):
    def __init__(self, model: ModelDescription) -> None:
        self._model = model

    async def resolve(self, name: str) -> ModelDescription:
        return self._model


class _RecordingOutbox(Outbox):
    """Keeps what was put together."""

    __slots__ = ("puts",)

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[list[Event]] = []

    def put(self, events: Sequence[Event]) -> None:
        self.puts.append([copy.copy(event) for event in events])
        super().put(events)


Puts = list[list[Event]]


class Stage:
    """Runs agents with one script."""

    def __init__(
        self,
        script: Script,
        tools: ScriptedTools,
        *,
        model: ModelDescription = MODEL,
        agents: Mapping[str, Agent] | None = None,
    ) -> None:
        self.model = ScriptedModel(script)
        self.tools = tools
        means = Means(_OneModel(model), self.model, Threads(""), tools)
        self._executor = Executor(agents or _agents(), means, budget_s=60)

    async def run(self, agent: str, *texts: str, log: "Log | None" = None, **fields: Any) -> Puts:
        """An attempt; what it put into its outbox, put by put. `log`: what earlier attempts have told."""
        request = ExecuteRequest(
            run_id="run_1",
            agent_id=agent,
            input=[Message(role=ROLE_USER, content=[ContentPart(text=text)]) for text in texts],
            **fields,
        )
        if log is not None:
            request.recovery.CopyFrom(log.recovery())
            request.answers.extend(log.answers)
        recorded: list[_RecordingOutbox] = []

        def outbox() -> _RecordingOutbox:
            recorded.append(_RecordingOutbox())
            return recorded[0]

        with patch.object(executor_module, "Outbox", outbox):
            execution = self._executor.execute(run_request(request, "tenant_1", "token"))
        async with asyncio.timeout(10), execution as reader:
            while happened := await reader.take():
                execute_response(happened)  # every event has its proto
        return recorded[0].puts


@dataclass(slots=True)
class _Said:
    text: str = ""
    reasoning: str = ""
    pieces: int = 0
    reasoning_pieces: int = 0
    finished: bool = False


@dataclass(slots=True)
class _Called:
    name: str
    arguments: str = ""
    complete: bool = False
    result: ToolResult | None = None


class Log:
    """A run's log: what its events add up to. An event that contradicts those before it is an AssertionError."""

    def __init__(self, puts: Sequence[Sequence[Event]] = ()) -> None:
        self.messages: dict[str, _Said] = {}
        self.calls: dict[str, _Called] = {}
        self.state: dict[str, Any] = {}
        self.artifacts: dict[str, tuple[int, dict[str, Any]]] = {}
        self.saved: list[tuple[str, int]] = []
        self.answers: list[InterruptAnswer] = []
        self.citations: list[Citation] = []
        self.tokens = 0
        self.end: Event | None = None
        self.steps: dict[str, str] = {}
        """"open" or "closed", by id."""
        self._snapshot = ""
        self._patches: list[str] = []
        for events in puts:
            self.add(events)

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            assert self.end is None, f"{event} comes after the end"
            self._take(event)

    def answered(self, interrupt_id: str, response: Any) -> "Log":
        """The log when a person has answered."""
        assert isinstance(self.end, RunInterrupted)
        resumed = copy.copy(self)
        resumed.end = None
        answer = InterruptAnswer(interrupt_id=interrupt_id, response_json=orjson.dumps(response).decode())
        resumed.answers = [*self.answers, answer]
        return resumed

    def all_answered(self, response: Any) -> "Log":
        """The log when a person has answered all that was asked."""
        assert isinstance(self.end, RunInterrupted)
        interrupts, answered = self.end.interrupts, self
        for interrupt in interrupts:
            answered.end = self.end
            answered = answered.answered(interrupt.id, response)
        return answered

    def _take(self, event: Event) -> None:
        match event:
            case StepStarted(step_id):
                assert self.steps.get(step_id) != "closed", f"{step_id} is over"
                self.steps[step_id] = "open"
            case StepFinished(step_id):
                assert self.steps.get(step_id) == "open", f"{step_id} is not open"
                self.steps[step_id] = "closed"
            case MessageStarted(message_id):
                assert message_id not in self.messages, f"{message_id} starts twice"
                self.messages[message_id] = _Said()
            case TextDelta(message_id, text, pieces):
                assert not self.messages[message_id].finished, f"{message_id} is over"
                self.messages[message_id].text += text
                self.messages[message_id].pieces += pieces
            case ReasoningDelta(message_id, text, pieces):
                self.messages[message_id].reasoning += text
                self.messages[message_id].reasoning_pieces += pieces
            case MessageReplaced(message_id, text):
                self.messages[message_id] = _Said(text)
            case Citation(message_id):
                assert not self.messages[message_id].finished, f"{message_id} is over"
                assert event not in self.citations, f"{event} is told twice"
                self.citations.append(event)
            case MessageFinished(message_id):
                assert not self.messages[message_id].finished, f"{message_id} ends twice"
                self.messages[message_id].finished = True
            case ToolCallStarted(call_id, name):
                assert call_id not in self.calls, f"{call_id} is called twice"
                self.calls[call_id] = _Called(name)
            case ToolCallArgs(call_id, delta):
                self.calls[call_id].arguments += delta
            case ToolCallFinished(call_id):
                assert not self.calls[call_id].complete
                self.calls[call_id].complete = True
            case ToolResult(call_id):
                assert self.calls[call_id].complete
                assert self.calls[call_id].result is None, f"{call_id} has two results"
                self.calls[call_id].result = event
            case StateSnapshot(json):
                self._snapshot, self._patches, self.state = json, [], orjson.loads(json)
            case StateDelta(patch_json):
                before, self.state = self.state, jsonpatch.apply_patch(self.state, orjson.loads(patch_json))
                self._patches.append(patch_json)
                _check_progress(before, self.state)
            case ArtifactDelta(artifact_id, version, patch_json):
                known, document = self.artifacts.get(artifact_id, (0, None))
                assert version == known + 1, f"version {version} of {artifact_id} follows on {known}"
                self.artifacts[artifact_id] = version, jsonpatch.apply_patch(document, orjson.loads(patch_json))
            case ArtifactSaved(artifact_id, version):
                assert self.artifacts[artifact_id][0] == version
                assert (artifact_id, version) not in self.saved, f"version {version} of {artifact_id} is saved twice"
                self.saved.append((artifact_id, version))
            case UsageReported():
                self.tokens += event.prompt_tokens + event.completion_tokens
            case RunFinished() | RunInterrupted() | Handoff():
                self.end = event

    def recovery(self) -> Recovery:
        """What the edge sends with the next attempt."""
        return Recovery(
            attempt=2,
            tokens=self.tokens,
            state_json=self._snapshot,
            state_patches_json=self._patches,
            messages=[
                RecoveredMessage(
                    message_id=message_id,
                    text=said.text,
                    reasoning=said.reasoning,
                    pieces=said.pieces,
                    reasoning_pieces=said.reasoning_pieces,
                    finished=said.finished,
                )
                for message_id, said in self.messages.items()
            ],
            tool_results=[
                RecoveredToolResult(
                    tool_call_id=call_id,
                    name=called.name,
                    arguments_json=called.arguments,
                    content=called.result.content if called.result else "",
                    is_error=called.result.is_error if called.result else False,
                    outcome_unknown=called.result.outcome_unknown if called.result else True,
                    sources=map(source_to_proto, called.result.sources) if called.result else (),
                )
                for call_id, called in self.calls.items()
            ],
        )

    def outcome(self) -> dict[str, Any]:
        """All that a run comes to: the same for every way it can take there."""
        return {
            "messages": {message_id: (said.text, said.finished) for message_id, said in self.messages.items()},
            "calls": {
                call_id: (called.name, called.arguments, called.result.content if called.result else None)
                for call_id, called in sorted(self.calls.items())
            },
            "state": self.state,
            "artifacts": self.artifacts,
            "saved": sorted(self.saved),
            "citations": self.citations,
            "end": self.end,
            "open_steps": [step_id for step_id, state in self.steps.items() if state == "open"],
        }


def _check_progress(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """What a plan has settled stays settled."""
    for held, now in zip(_rounds(before), _rounds(after), strict=False):
        for name in ("findings", "verification"):
            assert name not in held or held[name] == now[name]
        for old, new in zip(held["steps"], now["steps"], strict=True):
            assert old["status"] in ("pending", "running") or old == new, f"{old} became {new}"
    assert len(_rounds(before)) <= len(_rounds(after))


def _rounds(state: Mapping[str, Any]) -> list[Any]:
    rounds: list[Any] = state.get("plan", {}).get("rounds", [])
    return rounds


def everything(puts: Puts) -> list[Event]:
    """All events, in order."""
    return [event for events in puts for event in events]


def schema_of(call: ModelCall) -> dict[str, Any]:
    """The properties that a hidden question asks for; empty for a message."""
    schema = call.options.response_json_schema
    found: dict[str, Any] = orjson.loads(schema)["properties"] if schema else {}
    return found


@dataclass(frozen=True, slots=True)
class _Answer:
    """A person answers every open question with this."""

    response: Any


async def _live(
    stage: Stage, agent: str, text: str, log: Log, answer: Any, **fields: Any
) -> tuple[Log, list[list[Event] | _Answer]]:
    """Runs until the end, with people's answers; what happened, in order."""
    happened: list[list[Event] | _Answer] = []
    while True:
        for events in await stage.run(agent, text, log=log, **fields):
            log.add(events)
            happened.append(events)
        if answer is None or not isinstance(log.end, RunInterrupted):
            return log, happened
        log = log.all_answered(answer)
        happened.append(_Answer(answer))


async def check_every_prefix(
    make: Callable[[], Stage], agent: str, text: str, answer: Any = None, **fields: Any
) -> tuple[Log, int]:
    """Kills a run after everything it says, one after the other, and lets another attempt go on each time.

    Each has to come to the same end as a run that nobody killed, and none to run a tool whose result is in the log, or
    to let one with side effects take effect twice. `answer` is what people say to every question. Returns the
    undisturbed log and the number of kills.
    """
    undisturbed = make()
    wanted, whole = await _live(undisturbed, agent, text, Log(), answer, **fields)
    for kept in range(len(whole)):
        stage, log = make(), Log()
        # All that the first attempts may have done by then: calls whose results never came to the log.
        stage.tools.ledger.update(undisturbed.tools.ledger)
        stage.tools.effects += undisturbed.tools.effects
        for entry in whole[:kept]:
            if isinstance(entry, _Answer):
                log = log.all_answered(entry.response)
            else:
                log.add(entry)
        known = {f"run_1:{call_id}" for call_id, called in log.calls.items() if called.result is not None}
        if isinstance(log.end, RunInterrupted):
            log = log.all_answered(answer)
        log, _ = await _live(stage, agent, text, log, answer, **fields)
        assert log.outcome() == wanted.outcome(), f"killed after {whole[kept - 1] if kept else 'nothing'}"
        assert not known & {key for key, _ in stage.tools.invoked}, "a result that is in the log is used again"
        assert len(stage.tools.effects) == len(set(stage.tools.effects)), "a side effect happened twice"
    return wanted, len(whole)
