"""The rules of AG-UI 1.0 for producers, event by event.

Shapes come from the protocol's own package (`ag_ui.core`); sequences from https://docs.ag-ui.com/spec/1.0. Where the
specification lets a producer choose, Dormouse's stricter promise is checked: a declared version, a named outcome, no
empty delta, exactly one run.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import jsonpatch
from ag_ui.core import Event
from ag_ui.core.types import ConfiguredBaseModel
from jsonpointer import JsonPointerException
from pydantic import TypeAdapter, ValidationError

VERSION = "1.0"
_EVENT: TypeAdapter[Any] = TypeAdapter(Event)

_TEXT = ("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "messageId")
_TOOL = ("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "toolCallId")
_THOUGHT = ("REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_END", "messageId")
_SPAN = ("REASONING_START", "", "REASONING_END", "messageId")
_STEP = ("STEP_STARTED", "", "STEP_FINISHED", "stepName")
_SUBAGENT = ("SUBAGENT_STARTED", "", "SUBAGENT_FINISHED", "subagentRunId")
_FAMILIES = {
    name: family for family in (_TEXT, _TOOL, _THOUGHT, _SPAN, _STEP, _SUBAGENT) for name in family[:3] if name
}
_FREE_KEYS = {"metadata", "rawEvent", "snapshot", "value", "result", "content", "responseSchema", "input", "event"}


class AguiViolationError(AssertionError):
    """The stream breaks the protocol."""


class AguiChecker:
    """Takes the events of one stream in order and raises AguiViolationError at the first that may not stand there.

    state: what the client's input held. calls: tool calls that earlier runs on the thread have left unanswered.
    """

    def __init__(self, state: Any = None, calls: Iterable[str] = ()) -> None:
        self._count = 0
        self._ids: tuple[str, str] | None = None
        self._open: dict[tuple[str, ...], set[str]] = {family: set() for family in set(_FAMILIES.values())}
        self._closed_subagents: set[str] = set()
        self._calls: dict[str, bool] = {}
        self._earlier_calls = set(calls)
        self._state = copy.deepcopy(state)
        self._has_snapshot = False
        self._message_kinds: dict[str, str] = {}
        self._activities: dict[str, Any] = {}
        self._has_ended = False

    @property
    def state(self) -> Any:
        """The shared state as the client holds it now."""
        return self._state

    @property
    def unanswered_calls(self) -> set[str]:
        """Calls that this run, or one before it, has made and nobody has answered yet."""
        return {call for call, answered in self._calls.items() if not answered} | self._earlier_calls

    @property
    def activities(self) -> Mapping[str, Any]:
        """The activity messages' contents, by id."""
        return self._activities

    @property
    def has_ended(self) -> bool:
        """Whether the terminal event has come."""
        return self._has_ended

    def feed(self, event: Mapping[str, Any]) -> None:
        """Checks the next event."""
        kind = str(event.get("type"))
        self._count += 1
        if self._has_ended:
            self._fail(event, "comes after the terminal event")
        self._check_shape(event)
        if self._count == 1 and kind not in ("RUN_STARTED", "RUN_ERROR"):
            self._fail(event, "is the first, which must be RUN_STARTED")
        if kind in _FAMILIES:
            self._check_family(event, kind)
        check = getattr(self, f"_on_{kind.lower()}", None)
        if check is not None:
            check(event)

    def finish(self) -> None:
        """The stream is over: it must have had its terminal event."""
        if not self._has_ended:
            raise AguiViolationError("the stream ends without a terminal event")

    def _check_shape(self, event: Mapping[str, Any]) -> None:
        try:
            parsed = _EVENT.validate_python(dict(event))
        except ValidationError as error:
            raise AguiViolationError(f"{event}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
        self._check_members(event, parsed)
        if "delta" in event and event["delta"] in ("", []):
            self._fail(event, "has an empty delta")

    def _check_members(self, shown: Mapping[str, Any], parsed: Any) -> None:
        """No null where a member could be left out, no member that the protocol does not know."""
        if not isinstance(parsed, ConfiguredBaseModel):
            return
        if parsed.model_extra:
            self._fail(shown, f"has members that the protocol does not know: {sorted(parsed.model_extra)}")
        for name, field in type(parsed).model_fields.items():
            key = field.alias or name
            if key in shown and shown[key] is None and not field.is_required():
                self._fail(shown, f"has a null for `{key}`, which should be left out")
            if key in _FREE_KEYS:
                continue
            value = getattr(parsed, name)
            if isinstance(value, list) and isinstance(shown.get(key), list):
                for item, parsed_item in zip(shown[key], value, strict=True):
                    self._check_members(item, parsed_item)
            elif isinstance(shown.get(key), Mapping):
                self._check_members(shown[key], value)

    def _check_family(self, event: Mapping[str, Any], kind: str) -> None:
        family = _FAMILIES[kind]
        start, _, end, key = family
        name, is_open = event[key], self._open[family]
        if kind == start:
            if name in is_open:
                self._fail(event, f"opens `{name}`, which is open")
            is_open.add(name)
        elif name not in is_open:
            self._fail(event, f"is about `{name}`, which is not open")
        elif kind == end:
            is_open.remove(name)

    def _on_run_started(self, event: Mapping[str, Any]) -> None:
        if self._ids is not None:
            self._fail(event, "starts a second run")
        if event.get("protocolVersion") != VERSION:
            self._fail(event, f"does not declare protocolVersion {VERSION}")
        self._ids = (event["threadId"], event["runId"])

    def _on_run_finished(self, event: Mapping[str, Any]) -> None:
        if (event["threadId"], event["runId"]) != self._ids:
            self._fail(event, f"does not end the run that was started, {self._ids}")
        for family, names in self._open.items():
            if names:
                self._fail(event, f"leaves open what {family[0]} opened: {sorted(names)}")
        outcome = event.get("outcome")
        if outcome is None:
            self._fail(event, "names no outcome")
        elif outcome["type"] == "success":
            unanswered = {call for call, answered in self._calls.items() if not answered}
            if set(outcome.get("pendingToolCallIds", unanswered)) != unanswered:
                self._fail(event, f"has other pending tool calls than were made and not answered: {unanswered}")
        elif outcome["type"] == "interrupt":
            self._check_interrupts(event, outcome["interrupts"])
        self._has_ended = True

    def _check_interrupts(self, event: Mapping[str, Any], interrupts: list[Mapping[str, Any]]) -> None:
        ids = [interrupt["id"] for interrupt in interrupts]
        if len(ids) != len(set(ids)):
            self._fail(event, "has two interrupts with one id")
        for interrupt in interrupts:
            call = interrupt.get("toolCallId")
            if call is not None and call not in self.unanswered_calls:
                self._fail(event, f"asks about the tool call `{call}`, which was not made, or is answered")
            if interrupt["reason"] == "tool_call" and call is None:
                self._fail(event, "asks about a tool call and does not say which")

    def _on_run_error(self, event: Mapping[str, Any]) -> None:
        self._has_ended = True

    def _on_text_message_start(self, event: Mapping[str, Any]) -> None:
        self._name_message(event, event["messageId"], "text")

    def _on_reasoning_message_start(self, event: Mapping[str, Any]) -> None:
        self._name_message(event, event["messageId"], "reasoning")

    def _on_tool_call_start(self, event: Mapping[str, Any]) -> None:
        self._earlier_calls.discard(event["toolCallId"])  # opened again, it is this run's
        self._calls.setdefault(event["toolCallId"], False)
        if "parentMessageId" in event:
            self._name_message(event, event["parentMessageId"], "text")

    def _on_tool_call_result(self, event: Mapping[str, Any]) -> None:
        call = event["toolCallId"]
        if call in self._earlier_calls:
            self._earlier_calls.discard(call)
            self._name_message(event, event["messageId"], "tool")
            return
        if call not in self._calls:
            self._fail(event, f"answers `{call}`, which was not called in this run")
        if call in self._open[_TOOL]:
            self._fail(event, f"answers `{call}`, whose arguments are still open")
        if self._calls[call]:
            self._fail(event, f"answers `{call}` a second time")
        self._calls[call] = True
        self._name_message(event, event["messageId"], "tool")

    def _on_state_snapshot(self, event: Mapping[str, Any]) -> None:
        self._state, self._has_snapshot = copy.deepcopy(event["snapshot"]), True

    def _on_state_delta(self, event: Mapping[str, Any]) -> None:
        if not self._has_snapshot:
            self._fail(event, "comes before a snapshot")
        self._state = self._patched(event, self._state, event["delta"])

    def _on_activity_snapshot(self, event: Mapping[str, Any]) -> None:
        self._name_message(event, event["messageId"], "activity")
        if event.get("replace", True) or event["messageId"] not in self._activities:
            self._activities[event["messageId"]] = copy.deepcopy(event["content"])

    def _on_activity_delta(self, event: Mapping[str, Any]) -> None:
        name = event["messageId"]
        if name not in self._activities:
            self._fail(event, "changes an activity that no snapshot has made")
        self._activities[name] = self._patched(event, self._activities[name], event["patch"])
        if not isinstance(self._activities[name], dict):
            self._fail(event, "makes something else of an activity than an object")

    def _patched(self, event: Mapping[str, Any], document: Any, patch: list[Any]) -> Any:
        try:
            return jsonpatch.apply_patch(document, patch)
        except (jsonpatch.JsonPatchException, JsonPointerException) as error:
            self._fail(event, f"does not apply to {document}: {error}")

    def _on_messages_snapshot(self, event: Mapping[str, Any]) -> None:
        ids = [message["id"] for message in event["messages"]]
        if len(ids) != len(set(ids)):
            self._fail(event, "holds a message twice")

    def _on_subagent_started(self, event: Mapping[str, Any]) -> None:
        if event["subagentRunId"] in self._closed_subagents:
            self._fail(event, "starts a subagent again")

    def _on_subagent_finished(self, event: Mapping[str, Any]) -> None:
        self._closed_subagents.add(event["subagentRunId"])

    def _on_subagent_error(self, event: Mapping[str, Any]) -> None:
        if event["subagentRunId"] not in self._open[_SUBAGENT]:
            self._fail(event, "ends a subagent that is not open")
        self._open[_SUBAGENT].remove(event["subagentRunId"])
        self._closed_subagents.add(event["subagentRunId"])

    def _name_message(self, event: Mapping[str, Any], message_id: str, kind: str) -> None:
        """Ids are unique across a conversation: one cannot name messages of two kinds."""
        if self._message_kinds.setdefault(message_id, kind) != kind:
            self._fail(event, f"gives the id of a {self._message_kinds[message_id]} message to a {kind} message")

    def _fail(self, event: Mapping[str, Any], why: str) -> NoReturn:
        raise AguiViolationError(f"event {self._count}, {event.get('type')}, {why}: {dict(event)}")


def check_events(
    events: Iterable[Mapping[str, Any]], *, state: Any = None, calls: Iterable[str] = ()
) -> list[Mapping[str, Any]]:
    """The events, once the whole stream has been found lawful. `state` and `calls`: as for AguiChecker."""
    checker, seen = AguiChecker(state, calls), []
    for event in events:
        checker.feed(event)
        seen.append(event)
    checker.finish()
    return seen
