"""A run's log as a tree of spans: what happened inside of what, for how long, with which texts, results and tokens.

A pure fold: the same events give the same trace, whether the run still goes on, has ended, or is read from the archive.
Attempts part where the log says that one failed (an activity `retrying`) or that people have answered (run_resumed).
What is open then is told in two parts: the first is `broken_off`, the second `continued`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import jsonpatch
import orjson
from dormouse.agent.v1.run_event_pb2 import ActivityKind, Interrupt, RunEvent, StepFinished
from jsonpointer import JsonPointerException

from edge.errors import meaning_of
from edge.runs.events import TERMINAL_STATUS
from edge.sources import citation_to_json, source_to_json

from .events import ACTIVITIES, CANCEL_CAUSES, FINISH_REASONS

ACTIVITIES_KEPT: Final = 100
"""Of one span; what a tool reports may be much."""

_NO_STATE: Final = (jsonpatch.JsonPatchException, JsonPointerException, LookupError, TypeError, ValueError)


@dataclass(slots=True)
class Span:
    """A stretch of time in a run. `facts` are what its kind tells beside it."""

    kind: str
    id: str
    name: str
    seq: int
    started_ms: int
    ended_ms: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    children: list["Span"] = field(default_factory=list)

    @property
    def duration_ms(self) -> int | None:
        """None while it goes on."""
        return None if self.ended_ms is None else self.ended_ms - self.started_ms


@dataclass(slots=True)
class _Speech:
    """A message, or the part of it that one attempt told."""

    span: Span
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    pieces: int = 0
    first_ms: int | None = None


@dataclass(slots=True)
class _Call:
    """A tool call that has been asked for."""

    span: Span
    asked_in: Span
    step_id: str
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """Sums over the whole run."""

    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    tool_ms: int = 0
    waited_ms: int = 0
    """For people."""
    first_token_ms: int | None = None
    """From the run's start to the first piece of text or reasoning."""


@dataclass(slots=True)
class Trace:
    """A run, told in full."""

    root: Span
    status: str
    totals: Totals


def trace_of(events: Iterable[RunEvent]) -> Trace:
    """The trace of a log that begins with run_started."""
    fold = _Fold()
    for event in events:
        fold.take(event)
    return fold.finish()


class _Fold:
    def __init__(self) -> None:
        self._root = Span("run", "", "", 0, 0)
        self._attempt = self._root
        self._attempts = 0
        self._steps: dict[str, Span] = {}
        self._lies_in: dict[str, str] = {}
        self._speeches: dict[str, _Speech] = {}
        self._calls: dict[str, _Call] = {}
        self._questions: list[Span] = []
        self._state: Any = {}
        self._status = "running"
        self._totals = Totals()
        self._now = 0
        self._seq = 0

    def take(self, event: RunEvent) -> None:
        """The next event."""
        kind = event.WhichOneof("event") or ""
        self._now, self._seq = event.unix_ms, event.seq
        handle = getattr(self, f"_on_{kind}", None)
        if handle is not None:
            handle(getattr(event, kind))
        if kind in TERMINAL_STATUS:
            self._status = TERMINAL_STATUS[kind].value
            self._end_attempt()
            if kind != "run_interrupted":
                self._root.ended_ms = self._now

    def finish(self) -> Trace:
        """What is not closed yet stays open."""
        for speech in self._speeches.values():
            _tell(speech)
        for call in self._calls.values():
            self._settle(call, call.asked_in)
        if self._state:
            self._root.facts["state"] = self._state
        _sort(self._root)
        return Trace(self._root, self._status, self._totals)

    @property
    def _inner(self) -> Span:
        """Where something happens that does not say where."""
        return next(reversed(self._steps.values()), self._attempt)

    def _step(self, step_id: str) -> Span:
        return self._steps.get(step_id) or self._inner

    def _open(self, parent: Span, kind: str, span_id: str, name: str, **facts: Any) -> Span:
        span = Span(kind, span_id, name, self._seq, self._now, facts=facts)
        parent.children.append(span)
        return span

    def _begin_attempt(self) -> None:
        self._attempts += 1
        self._attempt = self._open(self._root, "attempt", str(self._attempts), f"attempt {self._attempts}")

    def _end_attempt(self) -> None:
        """Everything in it ends; where the run goes on, `_go_on` opens it again."""
        for speech in self._speeches.values():
            if speech.span.ended_ms is None:
                speech.span.ended_ms = self._now
                speech.span.facts["broken_off"] = True
        for step in self._steps.values():
            if step.ended_ms is None:
                step.ended_ms = self._now
                step.facts["broken_off"] = True
        if self._attempt.ended_ms is None:
            self._attempt.ended_ms = self._now

    def _go_on(self) -> None:
        """Another attempt: in the steps that were open, with the messages that were not complete."""
        self._end_attempt()
        self._begin_attempt()
        open_steps, self._steps = self._steps, {}
        for step in open_steps.values():
            self._open_step(step.id, step.name, continued=True)

    def _on_run_started(self, started: Any) -> None:
        self._root = Span("run", started.run_id, started.agent_id, self._seq, self._now)
        self._root.facts |= {"model": started.model or None, "thread_id": started.thread_id or None}
        self._begin_attempt()

    def _on_run_resumed(self, resumed: Any) -> None:
        answers = {answer.interrupt_id: _json(answer.response_json) for answer in resumed.answers}
        for question in self._questions:
            question.ended_ms = self._now
            question.facts["answer"] = answers.get(question.id)
        if self._questions:
            self._totals.waited_ms += self._now - self._questions[0].started_ms
        self._questions = []
        self._status = "running"
        self._go_on()

    def _on_run_interrupted(self, interrupted: Any) -> None:
        self._questions = [self._ask(interrupt) for interrupt in interrupted.interrupts]

    def _ask(self, interrupt: Interrupt) -> Span:
        facts = {"message": interrupt.message, "tool_call_id": interrupt.tool_call_id or None}
        details = _json(interrupt.details_json)
        return self._open(self._root, "interrupt", interrupt.id, interrupt.reason, details=details, **facts)

    def _on_run_finished(self, end: Any) -> None:
        self._root.facts["finish_reason"] = FINISH_REASONS[end.finish_reason]

    def _on_run_failed(self, end: Any) -> None:
        error = {"message": end.message, "code": meaning_of(end.reason).code, "retryable": end.retryable}
        self._root.facts["error"] = error

    def _on_run_cancelled(self, end: Any) -> None:
        self._root.facts["cause"] = CANCEL_CAUSES[end.cause]
        for question in self._questions:
            question.ended_ms = self._now

    def _on_step_started(self, step: Any) -> None:
        if step.step_id not in self._steps:
            self._lies_in[step.step_id] = step.parent_step_id
            self._open_step(step.step_id, step.name)

    def _open_step(self, step_id: str, name: str, **facts: Any) -> None:
        around = self._steps.get(self._lies_in[step_id], self._attempt)
        self._steps[step_id] = self._open(around, "step", step_id, name, **facts)

    def _on_step_finished(self, step: Any) -> None:
        """Steps that lie inside of it and were left open end with it."""
        if (span := self._steps.pop(step.step_id, None)) is not None:
            span.ended_ms = self._now
            for inner in [name for name in self._steps if self._lies_in[name] == step.step_id]:
                self._on_step_finished(StepFinished(step_id=inner))

    def _speech(self, message_id: str) -> _Speech:
        speech = self._speeches.get(message_id)
        if speech is None or speech.span.facts.get("broken_off"):
            span = self._open(self._inner, "message", message_id, "assistant")
            if speech is not None:
                _tell(speech)
                span.facts["continued"] = True
            speech = self._speeches[message_id] = _Speech(span)
        return speech

    def _on_message_started(self, message: Any) -> None:
        self._speech(message.message_id)

    def _on_message_delta(self, delta: Any) -> None:
        speech = self._speech(delta.message_id)
        speech.text.append(delta.text)
        self._hear(speech, delta.pieces)

    def _on_reasoning_delta(self, delta: Any) -> None:
        speech = self._speech(delta.message_id)
        speech.reasoning.append(delta.text)
        self._hear(speech, delta.pieces)

    def _hear(self, speech: _Speech, pieces: int) -> None:
        speech.pieces += pieces
        if speech.first_ms is None:
            speech.first_ms = self._now - speech.span.started_ms
        if self._totals.first_token_ms is None:
            self._totals.first_token_ms = self._now - self._root.started_ms

    def _on_message_replaced(self, message: Any) -> None:
        speech = self._speech(message.message_id)
        speech.text = [message.text]
        speech.span.facts.pop("citations", None)
        speech.span.facts["replaced"] = True

    def _on_message_finished(self, message: Any) -> None:
        self._speech(message.message_id).span.ended_ms = self._now

    def _on_citation(self, citation: Any) -> None:
        told = citation_to_json(citation)
        del told["message_id"]
        known: list[Any] = self._speech(citation.message_id).span.facts.setdefault("citations", [])
        if told not in known:
            known.append(told)

    def _on_tool_call_started(self, call: Any) -> None:
        if call.tool_call_id in self._calls:
            return
        self._totals.tool_calls += 1
        facts = {"message_id": call.message_id or None, "at_client": call.at_client}
        span = Span("tool_call", call.tool_call_id, call.name, self._seq, self._now, facts=facts)
        self._calls[call.tool_call_id] = _Call(span, self._step(call.step_id), call.step_id)

    def _on_tool_call_args(self, args: Any) -> None:
        if call := self._calls.get(args.tool_call_id):
            call.arguments.append(args.delta)

    def _on_tool_call_finished(self, finished: Any) -> None:
        if call := self._calls.get(finished.tool_call_id):
            call.span.started_ms = self._now  # it is known what to do, from now on

    def _on_tool_result(self, result: Any) -> None:
        """The call is told where it was carried out: in its step, or in the one that is open now."""
        call = self._calls.pop(result.tool_call_id, None)
        if call is None:
            return
        span, step = call.span, self._step(call.step_id)
        span.ended_ms = self._now
        if step.started_ms > span.started_ms:
            span.started_ms = step.started_ms
        span.facts["result"] = {
            "content": result.content,
            "size": len(result.content),
            "is_error": result.is_error,
            "outcome_unknown": result.outcome_unknown,
            "tool_ms": result.duration_ms,
            "sources": [source_to_json(source) for source in result.sources],
        }
        self._totals.tool_errors += result.is_error
        self._totals.tool_ms += result.duration_ms
        self._settle(call, step)

    def _settle(self, call: _Call, parent: Span) -> None:
        text = "".join(call.arguments)
        call.span.facts["arguments"] = _json(text) if text else {}
        parent.children.append(call.span)

    def _on_state_snapshot(self, state: Any) -> None:
        self._state = _json(state.json)

    def _on_state_delta(self, state: Any) -> None:
        try:
            self._state = jsonpatch.apply_patch(self._state, orjson.loads(state.patch_json))
        except _NO_STATE:
            return  # an agent's defect must not hide what it did

    def _on_artifact_saved(self, artifact: Any) -> None:
        saved = {"artifact_id": artifact.artifact_id, "version": artifact.version}
        self._inner.facts.setdefault("artifacts", []).append(saved)

    def _on_activity(self, activity: Any) -> None:
        if activity.kind == ActivityKind.ACTIVITY_KIND_RETRYING:
            self._go_on()
        seen: list[Any] = self._inner.facts.setdefault("activities", [])
        if len(seen) < ACTIVITIES_KEPT:
            told: dict[str, Any] = {"after_ms": self._now - self._root.started_ms, "kind": ACTIVITIES[activity.kind]}
            told |= {name: value for name in ("subject", "message") if (value := getattr(activity, name))}
            seen.append(told)

    def _on_usage_reported(self, used: Any) -> None:
        totals = self._totals
        totals.model_calls += 1
        totals.prompt_tokens += used.prompt_tokens
        totals.completion_tokens += used.completion_tokens
        totals.reasoning_tokens += used.reasoning_tokens
        self._step(used.step_id).facts.setdefault("model_calls", []).append(
            {
                "model": used.model,
                "prompt_tokens": used.prompt_tokens,
                "completion_tokens": used.completion_tokens,
                "reasoning_tokens": used.reasoning_tokens,
                "load_ms": used.load_ns // 1_000_000,
                "prompt_ms": used.prompt_ns // 1_000_000,
                "completion_ms": used.completion_ns // 1_000_000,
            }
        )


def _tell(speech: _Speech) -> None:
    text, reasoning = "".join(speech.text), "".join(speech.reasoning)
    speech.span.facts |= {
        "text": text,
        "size": len(text),
        "reasoning": reasoning or None,
        "pieces": speech.pieces,
        "first_token_ms": speech.first_ms,
    }


def _json(text: str) -> Any:
    """The value, or the text itself where it is no JSON: models write what they like."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text or None


def _sort(span: Span) -> None:
    span.children.sort(key=lambda child: (child.started_ms, child.seq))
    for child in span.children:
        _sort(child)
