"""Canonical events as AG-UI 1.0 events: one encoder per run, which also keeps the protocol's book of what is open.

Rules: https://docs.ag-ui.com/spec/1.0/events/lifecycle and /basic/patterns/streaming.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from dormouse.agent.v1.run_event_pb2 import ActivityKind, FinishReason, RunEvent
from pydantic_core import to_json

from edge.errors import ApiError, meaning_of
from edge.sources import citation_to_json, source_to_json

from .interrupts import interrupt_to_agui
from .shared_state import SharedState
from .transcript import Transcript

PROTOCOL_VERSION: Final = "1.0"
TOOL_ACTIVITY: Final = "dormouse.tool"

_CONTENT: Final = b'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":'
_REASONING: Final = b'data: {"type":"REASONING_MESSAGE_CONTENT","messageId":'


class AguiEncoder:
    """`thread_id` and `run_id` are the client's names. `history` gives its messages again, as JSON, if need be.

    resumed_at: the run goes on after this event; what comes before was another stream's, and is only taken note of.
    """

    def __init__(
        self,
        *,
        thread_id: str,
        run_id: str,
        history: Callable[[], list[Any]],
        state: SharedState | None = None,
        resumed_at: int = 0,
    ) -> None:
        self._ids = {"threadId": thread_id, "runId": run_id}
        self._transcript = Transcript(history)
        self._state = state or SharedState()
        self._resumed_at = resumed_at
        self._activities: dict[str, str] = {}
        self._called: set[str] = set()
        self._text = self._thought = b""
        self._open_message = ""
        self._open_reasoning = ""
        self._open_calls: dict[str, None] = {}
        self._open_steps: dict[str, str] = {}
        self._usage: dict[str, dict[str, int]] = {}
        self.has_content = False
        self.must_open = True

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """One `data:` line per AG-UI event."""
        out: list[bytes] = []
        for event in events:
            if self._resumed_at:
                if event.seq <= self._resumed_at:
                    self._take_note(event)
                    continue
                self._begin_again(out)
            kind = event.WhichOneof("event")
            if kind == "message_delta":
                delta = event.message_delta
                if delta.message_id != self._open_message:
                    self._open_text(out, delta.message_id)
                out.append(self._text + orjson.dumps(delta.text) + b"}\n\n")
                self._transcript.say(delta.message_id, delta.text)
                self.has_content = True
            elif kind == "reasoning_delta":
                reasoning = event.reasoning_delta
                if reasoning.message_id != self._open_reasoning:
                    self._open_thought(out, reasoning.message_id)
                out.append(self._thought + orjson.dumps(reasoning.text) + b"}\n\n")
                self.has_content = True
            elif handle := _HANDLERS.get(kind or ""):
                handle(self, out, getattr(event, kind or ""))
        return b"".join(out)

    def broken(self, error: ApiError) -> bytes:
        """A terminal event is our duty: a stream that just ends looks fine to the client."""
        return _event("RUN_ERROR", message=error.message, code=error.code or "error")

    def _open_text(self, out: list[bytes], message_id: str) -> None:
        self._close_thought(out)
        self._close_text(out)
        self._open_message = message_id
        self._text = _CONTENT + orjson.dumps(message_id) + b',"delta":'
        self._transcript.message(message_id)
        out.append(_event("TEXT_MESSAGE_START", messageId=message_id, role="assistant"))

    def _close_text(self, out: list[bytes]) -> None:
        if self._open_message:
            out.append(_event("TEXT_MESSAGE_END", messageId=self._open_message))
            self._open_message = ""

    def _open_thought(self, out: list[bytes], message_id: str) -> None:
        self._close_thought(out)
        self._open_reasoning = message_id
        # Ids are unique across a conversation, so the reasoning cannot have its message's own.
        thought = f"{message_id}.reasoning"
        self._thought = _REASONING + orjson.dumps(thought) + b',"delta":'
        out.append(_event("REASONING_START", messageId=thought))
        out.append(_event("REASONING_MESSAGE_START", messageId=thought, role="reasoning"))

    def _close_thought(self, out: list[bytes]) -> None:
        if self._open_reasoning:
            thought = f"{self._open_reasoning}.reasoning"
            out.append(_event("REASONING_MESSAGE_END", messageId=thought))
            out.append(_event("REASONING_END", messageId=thought))
            self._open_reasoning = ""

    def _run_started(self, out: list[bytes], _: Any) -> None:
        out.append(_event("RUN_STARTED", **self._ids, protocolVersion=PROTOCOL_VERSION))
        if self._state.is_outdated:
            self._show_state(out)

    def _take_note(self, event: RunEvent) -> None:
        """Of what the client knows from the stream that the run was interrupted in."""
        kind = event.WhichOneof("event") or ""
        if kind == "message_delta":
            self._transcript.message(event.message_delta.message_id)
            self._transcript.say(event.message_delta.message_id, event.message_delta.text)
        elif kind in _REMEMBERED:
            _HANDLERS[kind](self, [], getattr(event, kind))

    def _begin_again(self, out: list[bytes]) -> None:
        """The run goes on in this stream: under the client's new name, inside of the steps that are still open."""
        self._resumed_at = 0
        self._open_calls.clear()
        self._called.clear()
        self._open_message = ""
        self._state.needs_snapshot = True
        self._run_started(out, None)
        out += [_event("STEP_STARTED", stepName=name) for name in self._open_steps.values()]

    def _step_started(self, out: list[bytes], step: Any) -> None:
        if step.step_id in self._open_steps:
            return  # a new attempt repeats it
        name, count = step.name, 1
        while name in self._open_steps.values():
            count += 1
            name = f"{step.name} {count}"
        self._open_steps[step.step_id] = name
        out.append(_event("STEP_STARTED", stepName=name))

    def _step_finished(self, out: list[bytes], step: Any) -> None:
        name = self._open_steps.pop(step.step_id, None)
        if name is not None:
            out.append(_event("STEP_FINISHED", stepName=name))

    def _message_finished(self, out: list[bytes], message: Any) -> None:
        self._close_thought(out)
        if self._open_message != message.message_id and not self._transcript.has(message.message_id):
            self._open_text(out, message.message_id)  # it said nothing, and still is a message
        self._close_text(out)

    def _citation(self, out: list[bytes], citation: Any) -> None:
        value = _present(citation_to_json(citation))
        if source := value.get("source"):
            value["source"] = _present(source)
        out.append(_event("CUSTOM", name="dormouse.citation", value=value))

    def _message_replaced(self, out: list[bytes], message: Any) -> None:
        """The one event that restates: the whole conversation, with the new text in the old one's place."""
        self._close_thought(out)
        self._close_text(out)
        self._transcript.replace(message.message_id, message.text)
        messages = to_json(self._transcript.to_json(), inf_nan_mode="null")  # the client's may hold any number
        out.append(_event("MESSAGES_SNAPSHOT", messages=orjson.Fragment(messages)))

    def _tool_call_started(self, out: list[bytes], call: Any) -> None:
        self._close_thought(out)
        if call.tool_call_id in self._open_calls:
            return
        self._open_calls[call.tool_call_id] = None
        self._called.add(call.tool_call_id)
        self._transcript.call(call.message_id, call.tool_call_id, call.name)
        parent = {"parentMessageId": call.message_id} if call.message_id else {}
        out.append(_event("TOOL_CALL_START", toolCallId=call.tool_call_id, toolCallName=call.name, **parent))

    def _tool_call_args(self, out: list[bytes], args: Any) -> None:
        if args.tool_call_id in self._open_calls and args.delta:
            self._transcript.arguments(args.tool_call_id, args.delta)
            out.append(_event("TOOL_CALL_ARGS", toolCallId=args.tool_call_id, delta=args.delta))

    def _tool_call_finished(self, out: list[bytes], call: Any) -> None:
        if call.tool_call_id in self._open_calls:
            del self._open_calls[call.tool_call_id]
            out.append(_event("TOOL_CALL_END", toolCallId=call.tool_call_id))

    def _tool_result(self, out: list[bytes], result: Any) -> None:
        self._tool_call_finished(out, result)
        message_id = f"{result.tool_call_id}.result"
        facts: dict[str, Any] = {
            name: True
            for name, is_so in (("isError", result.is_error), ("outcomeUnknown", result.outcome_unknown))
            if is_so
        }
        if result.sources:
            facts["sources"] = [_present(source_to_json(source)) for source in result.sources]
        self._transcript.result(message_id, result.tool_call_id, result.content)
        out.append(
            _event(
                "TOOL_CALL_RESULT",
                messageId=message_id,
                toolCallId=result.tool_call_id,
                content=result.content,
                role="tool",
                **({"metadata": {"dormouse": facts}} if facts else {}),
            )
        )
        if result.tool_call_id in self._activities:
            outcome = "failed" if result.is_error else "done"
            self._patch_activity(out, result.tool_call_id, "/status", outcome)

    def _state_snapshot(self, out: list[bytes], state: Any) -> None:
        self._state.replace(orjson.loads(state.json))
        self._show_state(out)

    def _state_delta(self, out: list[bytes], state: Any) -> None:
        if self._state.needs_snapshot:
            self._show_state(out)
        self._show_patch(out, self._state.patch(orjson.loads(state.patch_json)))

    def _artifact_delta(self, out: list[bytes], artifact: Any) -> None:
        if self._state.needs_snapshot:
            self._show_state(out)
        patch = orjson.loads(artifact.patch_json)
        self._show_patch(out, self._state.patch_artifact(artifact.artifact_id, artifact.version, patch))

    def _artifact_saved(self, out: list[bytes], artifact: Any) -> None:
        value = {"artifactId": artifact.artifact_id, "version": artifact.version}
        out.append(_event("CUSTOM", name="dormouse.artifact_saved", value=value))

    def _show_state(self, out: list[bytes]) -> None:
        state = to_json(self._state.snapshot(), inf_nan_mode="null")  # the client's part may hold any number
        out.append(_event("STATE_SNAPSHOT", snapshot=orjson.Fragment(state)))

    def _show_patch(self, out: list[bytes], patch: list[dict[str, Any]]) -> None:
        if patch:
            out.append(_event("STATE_DELTA", delta=patch))
        elif self._state.needs_snapshot:
            self._show_state(out)

    def _activity(self, out: list[bytes], activity: Any) -> None:
        """Tools report on widgets of their own; the rest passes by, and must not stay in the transcript for good."""
        if activity.kind == ActivityKind.ACTIVITY_KIND_RUNNING_TOOL:
            call_id = self._transcript.running_call(activity.subject)
            if call_id:
                self._tool_activity(out, call_id, activity)
                return
        kind = ActivityKind.Name(activity.kind)
        value: dict[str, Any] = {"kind": kind.removeprefix("ACTIVITY_KIND_").lower()}
        if activity.subject:
            value["subject"] = activity.subject
        if activity.position:
            value["position"] = activity.position
        if activity.message:
            value["message"] = activity.message
        out.append(_event("CUSTOM", name="dormouse.activity", value=value))

    def _tool_activity(self, out: list[bytes], call_id: str, activity: Any) -> None:
        if call_id in self._activities:
            self._patch_activity(out, call_id, "/message", activity.message)
            return
        message_id = self._activities[call_id] = f"{call_id}.activity"
        content = {
            "toolCallId": call_id, "tool": activity.subject, "message": activity.message, "status": "running",
        }  # fmt: skip
        out.append(_event("ACTIVITY_SNAPSHOT", messageId=message_id, activityType=TOOL_ACTIVITY, content=content))

    def _patch_activity(self, out: list[bytes], call_id: str, path: str, value: str) -> None:
        patch = [{"op": "replace", "path": path, "value": value}]
        message_id = self._activities[call_id]
        out.append(_event("ACTIVITY_DELTA", messageId=message_id, activityType=TOOL_ACTIVITY, patch=patch))

    def _usage_reported(self, out: list[bytes], used: Any) -> None:
        usage = self._usage.setdefault(used.model, {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0})
        usage["inputTokens"] += used.prompt_tokens
        usage["outputTokens"] += used.completion_tokens
        usage["totalTokens"] += used.prompt_tokens + used.completion_tokens
        if used.reasoning_tokens:  # the model server may not count them at all, and 0 would say that it did
            usage["reasoningTokens"] = usage.get("reasoningTokens", 0) + used.reasoning_tokens

    def _run_finished(self, out: list[bytes], end: Any) -> None:
        outcome: dict[str, Any] = {"type": "success"}
        if end.finish_reason == FinishReason.FINISH_REASON_TOOL_CALLS:
            pending = self._transcript.unanswered_calls()
            self._call_again(out, pending)
            outcome["pendingToolCallIds"] = list(pending)
        self._finish(out, outcome)

    def _call_again(self, out: list[bytes], pending: Mapping[str, dict[str, Any]]) -> None:
        """Calls from before an interrupt: a run may leave only such calls pending as it has made itself."""
        for call_id, start in pending.items():
            if call_id not in self._called:
                out.append(_event("TOOL_CALL_START", toolCallId=call_id, **start))
                out.append(_event("TOOL_CALL_END", toolCallId=call_id))

    def _run_cancelled(self, out: list[bytes], _: Any) -> None:
        self._finish(out, {"type": "cancelled"})

    def _run_interrupted(self, out: list[bytes], end: Any) -> None:
        interrupts = [interrupt_to_agui(interrupt) for interrupt in end.interrupts]
        self._finish(out, {"type": "interrupt", "interrupts": interrupts})

    def _run_failed(self, out: list[bytes], end: Any) -> None:
        out.append(_event("RUN_ERROR", message=end.message, code=meaning_of(end.reason).code, **self._usage_field()))

    def _finish(self, out: list[bytes], outcome: dict[str, Any]) -> None:
        """Whatever a run that was cut off has left open is closed first."""
        self._close_thought(out)
        self._close_text(out)
        out += [_event("TOOL_CALL_END", toolCallId=call_id) for call_id in self._open_calls]
        out += [_event("STEP_FINISHED", stepName=name) for name in reversed(self._open_steps.values())]
        out.append(_event("RUN_FINISHED", **self._ids, outcome=outcome, **self._usage_field()))

    def _usage_field(self) -> dict[str, Any]:
        entries = [{"provider": "ollama", "model": model, **counts} for model, counts in self._usage.items()]
        return {"usage": entries} if entries else {}


_HANDLERS: Final[dict[str, Callable[[AguiEncoder, list[bytes], Any], None]]] = {
    "run_started": AguiEncoder._run_started,
    "run_finished": AguiEncoder._run_finished,
    "run_failed": AguiEncoder._run_failed,
    "run_cancelled": AguiEncoder._run_cancelled,
    "run_interrupted": AguiEncoder._run_interrupted,
    "step_started": AguiEncoder._step_started,
    "step_finished": AguiEncoder._step_finished,
    "message_replaced": AguiEncoder._message_replaced,
    "message_finished": AguiEncoder._message_finished,
    "citation": AguiEncoder._citation,
    "tool_call_started": AguiEncoder._tool_call_started,
    "tool_call_args": AguiEncoder._tool_call_args,
    "tool_call_finished": AguiEncoder._tool_call_finished,
    "tool_result": AguiEncoder._tool_result,
    "state_snapshot": AguiEncoder._state_snapshot,
    "state_delta": AguiEncoder._state_delta,
    "artifact_delta": AguiEncoder._artifact_delta,
    "artifact_saved": AguiEncoder._artifact_saved,
    "activity": AguiEncoder._activity,
    "usage_reported": AguiEncoder._usage_reported,
}

_REMEMBERED: Final = frozenset(
    (
        "step_started",
        "step_finished",
        "message_replaced",
        "message_finished",
        "tool_call_started",
        "tool_call_args",
        "tool_call_finished",
        "tool_result",
        "state_snapshot",
        "state_delta",
    )
)
"""What a stream has to know of the one before it. Artifacts are as they were saved."""


def _present(value: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known: this protocol leaves fields out where others have null."""
    return {name: field for name, field in value.items() if field is not None}


def _event(kind: str, **fields: Any) -> bytes:
    return b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"
