"""Chat Completions as a stream: one encoder per run, made for few microseconds per token."""

from collections.abc import Sequence
from typing import Final

import orjson
from dormouse.agent.v1.run_event_pb2 import Activity, ActivityKind, MessageReplaced, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.errors import ApiError

from .annotations import Annotator
from .completion import FINISH_REASONS, SEPARATOR, UsageCount, early_end

DONE: Final = b"data: [DONE]\n\n"

_ACTIVITIES: Final = {
    ActivityKind.ACTIVITY_KIND_QUEUED: "queued",
    ActivityKind.ACTIVITY_KIND_WAKING: "waking",
    ActivityKind.ACTIVITY_KIND_LOADING_MODEL: "loading_model",
    ActivityKind.ACTIVITY_KIND_RETRYING: "retrying",
    ActivityKind.ACTIVITY_KIND_PROCESSING_PROMPT: "processing_prompt",
    ActivityKind.ACTIVITY_KIND_RUNNING_TOOL: "running_tool",
}


class ChunkEncoder:
    """Encodes the events of one run as `chat.completion.chunk` objects.

    Everything of a chunk but its text is made once, so a token costs one JSON string and two concatenations.
    """

    def __init__(
        self, *, completion_id: str, created: int, model: str, include_usage: bool, base_url: str = ""
    ) -> None:
        """base_url: of this API, for links to what is cited; empty: they are paths."""
        head = orjson.dumps(
            {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        )[:-1]
        self._head = b"data: " + head + b',"choices":['
        choice = self._head + b'{"index":0,"delta":{'
        self._end = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._choice = choice
        self._choice_end = b'},"logprobs":null,"finish_reason":null}' + self._end
        self._text = choice + b'"content":'
        self._reasoning = choice + b'"reasoning_content":'
        self._role = choice + b'"role":"assistant","content":""' + self._choice_end
        self._include_usage = include_usage
        self._call_indexes: dict[str, int] = {}
        self._usage = UsageCount()
        self._message_id = self._thought_id = ""
        self._length = 0
        """Of the content so far, in code points."""
        self._offsets: dict[str, int] = {}
        """Where each message begins in it."""
        self._annotator = Annotator(base_url)
        self.has_content = False
        self.must_open = False

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """Raises ApiError when the run ends in vain before it said anything."""
        out: list[bytes] = []
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "message_delta":
                delta = event.message_delta
                text = delta.text
                if delta.message_id != self._message_id:
                    text = self._turn_to(delta.message_id, out, text)
                self._length += len(text)
                out.append(self._text + orjson.dumps(text) + self._choice_end)
            elif kind == "reasoning_delta":
                thought = event.reasoning_delta
                text = thought.text
                if thought.message_id != self._thought_id:
                    text = self._think_of(thought.message_id, out, text)
                out.append(self._reasoning + orjson.dumps(text) + self._choice_end)
            elif kind is not None:
                self._rare(kind, event, out)
        return b"".join(out)

    def broken(self, error: ApiError) -> bytes:
        """An error chunk. There is no `[DONE]` behind it: the SDKs raise on the chunk itself."""
        return b"data: " + error.body() + b"\n\n"

    def _begin(self, out: list[bytes]) -> None:
        self.has_content = self.must_open = True
        out.append(self._role)

    def _turn_to(self, message_id: str, out: list[bytes], text: str) -> str:
        """The first text of another message: a blank line parts it from the one before."""
        if not self.has_content:
            self._begin(out)
        before, self._message_id = self._message_id, message_id
        text = SEPARATOR + text if before else text
        self._offsets.setdefault(message_id, self._length + (len(SEPARATOR) if before else 0))
        return text

    def _think_of(self, message_id: str, out: list[bytes], text: str) -> str:
        """The first thought of another message; the same."""
        if not self.has_content:
            self._begin(out)
        before, self._thought_id = self._thought_id, message_id
        return SEPARATOR + text if before else text

    def _rare(self, kind: str, event: RunEvent, out: list[bytes]) -> None:
        if kind == "tool_call_started" and event.tool_call_started.at_client:
            if not self.has_content:
                self._begin(out)
            call = event.tool_call_started
            index = self._call_indexes.setdefault(call.tool_call_id, len(self._call_indexes))
            function = {"name": call.name, "arguments": ""}
            self._append_call(out, {"index": index, "id": call.tool_call_id, "type": "function", "function": function})
        elif kind == "tool_call_args" and event.tool_call_args.tool_call_id in self._call_indexes:
            args = event.tool_call_args
            index = self._call_indexes[args.tool_call_id]
            self._append_call(out, {"index": index, "function": {"arguments": args.delta}})
        elif kind == "citation":
            annotation = self._annotator.annotate(event.citation, self._offsets.get(event.citation.message_id, 0))
            if annotation is not None:
                out.append(self._choice + b'"annotations":[' + orjson.dumps(annotation) + b"]" + self._choice_end)
        elif kind == "usage_reported":
            self._usage.add(event.usage_reported)
        elif kind == "message_replaced":
            self._replace(event.message_replaced, out)
        elif kind == "activity":
            # A start takes long enough that the client had better see it than have its failure as a status.
            self.must_open |= event.activity.kind == ActivityKind.ACTIVITY_KIND_WAKING
            out.append(_comment(event.activity))
        elif kind == "run_finished":
            self._finish(event, out)
        elif (error := early_end(kind, event)) is not None:
            if not self.must_open:
                raise error
            out.append(self.broken(error))

    def _append_call(self, out: list[bytes], call: object) -> None:
        out.append(self._choice + b'"tool_calls":[' + orjson.dumps(call) + b"]" + self._choice_end)

    def _replace(self, replaced: MessageReplaced, out: list[bytes]) -> None:
        """Nothing that was said can be taken back here; the run was started with that knowledge."""
        if replaced.message_id == self._message_id:
            message = "The answer was cut off and could not be continued word for word; try again."
            raise DormouseError(ErrorReason.ERROR_REASON_STREAM_BROKEN, message)
        if replaced.text:
            text = self._turn_to(replaced.message_id, out, replaced.text)
            self._length += len(text)
            out.append(self._text + orjson.dumps(text) + self._choice_end)

    def _finish(self, event: RunEvent, out: list[bytes]) -> None:
        if not self.has_content:
            self._begin(out)
        reason = FINISH_REASONS.get(event.run_finished.finish_reason, "stop").encode()
        out.append(self._choice + b'},"logprobs":null,"finish_reason":"' + reason + b'"}' + self._end)
        if self._include_usage:
            out.append(self._head + b'],"usage":' + orjson.dumps(self._usage.to_json()) + b"}\n\n")
        out.append(DONE)


def _comment(activity: Activity) -> bytes:
    """An SSE comment: clients of this protocol know no such thing as an activity."""
    words = [_ACTIVITIES.get(activity.kind, "working")]
    if activity.subject:
        words.append(" ".join(activity.subject.split()))
    if activity.position:
        words.append(f"position={activity.position}")
    return f": {' '.join(words)}\n\n".encode()
