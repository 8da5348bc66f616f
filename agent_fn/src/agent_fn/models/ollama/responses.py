"""What Ollama answers: lines of JSON read into chunks, its errors into ours."""

import logging
from typing import Any

import orjson
from dormouse_runtime.errors import DormouseError

from agent_fn import errors
from agent_fn.events import FinishReason
from agent_fn.models.port import Chunk, Completion, RequestedTool

_logger = logging.getLogger(__name__)
_LOGGED_CHARACTERS = 200


class LineReader:
    """Reads the answer to /api/chat from bytes as they come, several lines or half of one at a time.

    `failure` is set when a line was no answer; the chunks before it are good.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._rest = b""
        self.failure: DormouseError | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks in what has come, neighbouring pieces merged; usually one, none while a line is incomplete."""
        if self._rest:
            data = self._rest + data
        lines = data.split(b"\n")
        self._rest = lines.pop()
        chunks: list[Chunk] = []
        chunk: Chunk | None = None
        for line in lines:
            if not line:
                continue
            try:
                answer = orjson.loads(line)
            except orjson.JSONDecodeError:
                answer = None
            if type(answer) is not dict:
                self.failure = errors.model_unavailable("The model server sent something that is not an answer.")
                break
            if "error" in answer:
                self.failure = error_from(self._model, 500, str(answer["error"]))
                break
            chunk = self._read(answer, chunk, chunks)
        return chunks

    def _read(self, answer: dict[str, Any], chunk: Chunk | None, chunks: list[Chunk]) -> Chunk:
        message = answer.get("message") or {}
        reasoning = message.get("thinking")
        # A chunk is read as reasoning, text, tools, end: what would break that order opens another.
        if chunk is None or (reasoning and (chunk.text or chunk.tools)) or (message.get("content") and chunk.tools):
            chunk = Chunk()
            chunks.append(chunk)
        if reasoning:
            chunk.reasoning += reasoning
            chunk.reasoning_pieces += 1
        if text := message.get("content"):
            chunk.text += text
            chunk.pieces += 1
        for tool in message.get("tool_calls") or ():
            function = tool.get("function") or {}
            arguments = function.get("arguments")
            chunk.tools.append(
                RequestedTool(
                    str(function.get("name", "")),
                    arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode(),
                )
            )
        if answer.get("done"):
            chunk.completion = _completion(answer)
        return chunk


def _completion(answer: dict[str, Any]) -> Completion:
    return Completion(
        finish_reason=FinishReason.LENGTH if answer.get("done_reason") == "length" else FinishReason.STOP,
        prompt_tokens=answer.get("prompt_eval_count") or 0,
        completion_tokens=answer.get("eval_count") or 0,
        load_ns=answer.get("load_duration") or 0,
        prompt_ns=answer.get("prompt_eval_duration") or 0,
        completion_ns=answer.get("eval_duration") or 0,
    )


def error_from(model: str, status: int, text: str) -> DormouseError:
    """What an HTTP status and Ollama's error text mean. The text is logged and never shown."""
    lowered = text.lower()
    if status == 404 or "not found" in lowered:
        return errors.model_not_found(model)
    if "context length" in lowered or "context window" in lowered:
        return errors.context_length_exceeded(model)
    for ability in ("tools", "thinking", "chat", "generate", "images", "vision"):
        if f"does not support {ability}" in lowered:
            return errors.capability_missing(model, ability)
    if "parsing tool call" in lowered or "parse tool call" in lowered:
        return errors.UnreadableToolCall()
    if "invalid json schema" in lowered:  # Ollama says so with a 500
        return errors.invalid_argument("The model server can't make anything of the JSON Schema of the answer.")
    _logger.warning(
        "the model server refused a call",
        extra={"model": model, "status": status, "answer": text[:_LOGGED_CHARACTERS]},
    )
    if 400 <= status < 500 and status not in (401, 403, 408, 429):
        return errors.invalid_argument("The model server does not accept the request.")
    # A proxy that has nobody behind it, or a server that still loads; Ollama's own 503 says that it is busy.
    if status in (502, 503) and "busy" not in lowered:
        return errors.model_away()
    return errors.model_unavailable("The model server cannot answer now.")
