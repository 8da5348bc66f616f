"""What a client gets from each public surface: asked over HTTP, read to the end, and judged by its protocol's rules."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.agui import check_stream

MODEL = "dormouse-dev"
TERMINAL = {"run.finished", "run.failed", "run.cancelled", "run.interrupted"}


@dataclass(slots=True)
class Answer:
    """One answer as its client saw it.

    `end` is finished, failed, cancelled or refused (an HTTP status of 400 or more); `error` is the public code of a
    failure or refusal. `calls` are the arguments of tool calls. Usage is -1 where the client was told none.
    """

    surface: str
    status: int
    headers: Mapping[str, str]
    end: str
    text: str = ""
    reasoning: str = ""
    calls: list[str] = field(default_factory=list)
    error: str = ""
    prompt_tokens: int = -1
    completion_tokens: int = -1
    reasoning_tokens: int = -1
    run_id: str = ""
    last_seq: int = 0
    kinds: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def said(self) -> tuple[Any, ...]:
        """What has to be the same in every answer to the same question, whatever happened on the way."""
        spent = (self.prompt_tokens, self.completion_tokens, self.reasoning_tokens)
        return (self.surface, self.end, self.text, self.reasoning, self.calls, spent)


Ask = Callable[..., Coroutine[Any, Any, Answer]]


def question(text: str) -> dict[str, Any]:
    """A user's message, in the words of every surface."""
    return {"role": "user", "content": text}


async def native(http: httpx.AsyncClient, text: str, *, path: str = "/v1/runs", **options: Any) -> Answer:
    """A streamed run, without a thread where the path names none."""
    return await _read(http, "native", path, run_body(text, **options), read_native)


async def on_thread(http: httpx.AsyncClient, text: str, **options: Any) -> Answer:
    """A streamed run on a thread of its own, which must then hold just what was asked and answered."""
    thread = (await http.post("/v1/threads")).raise_for_status().json()["id"]
    answer = await _read(http, "thread", f"/v1/threads/{thread}/runs", run_body(text, **options), read_native)
    if answer.end == "finished":
        # It is read through agent_fn, which may be away for longer than a read waits.
        while (
            response := await http.get(f"/v1/threads/{thread}/state")
        ).status_code == httpx.codes.SERVICE_UNAVAILABLE:
            await asyncio.sleep(0.05)
        state = response.raise_for_status().json()
        assert [message["content"] for message in state["messages"]] == [text, answer.text]
    return answer


async def ag_ui(http: httpx.AsyncClient, text: str, **options: Any) -> Answer:
    """A run for an AG-UI front end, on a thread that is made for it."""
    name = f"front end {time.monotonic_ns()} {text}"
    body = {"threadId": name, "runId": "r", "messages": [{"id": "q", **question(text)}], **options}
    return await _read(http, "ag_ui", "/v1/agents/chat/ag-ui", body, _read_agui)


async def chat(http: httpx.AsyncClient, text: str, *, model: str = MODEL, **options: Any) -> Answer:
    """A streamed Chat Completion."""
    usage = {"stream_options": {"include_usage": True}}
    body = {"model": model, "messages": [question(text)], "stream": True, **usage, **options}
    return await _read(http, "chat", "/v1/chat/completions", body, _read_chat)


async def whole_chat(http: httpx.AsyncClient, text: str, *, model: str = MODEL, **options: Any) -> Answer:
    """A Chat Completion in one piece."""
    body = {"model": model, "messages": [question(text)], **options}
    return await _read(http, "whole_chat", "/v1/chat/completions", body, _read_whole)


STREAMS: Mapping[str, Ask] = {"native": native, "thread": on_thread, "ag_ui": ag_ui, "chat": chat}
SURFACES: Mapping[str, Ask] = {**STREAMS, "whole_chat": whole_chat}


def run_body(text: str, *, model: str = MODEL, **options: Any) -> dict[str, Any]:
    """The body of a native run."""
    return {"agent": "chat", "model": model, "input": {"messages": [question(text)]}, **options}


async def follow(http: httpx.AsyncClient, run_id: str, after: int = 0) -> Answer:
    """A native run's events behind `after`, read by a client that comes back."""
    headers = {"last-event-id": str(after)} if after else {}
    started = time.monotonic()
    response = await http.get(f"/v1/runs/{run_id}/events", headers=headers)
    answer = read_native(response.content, after) if response.status_code == 200 else _refusal(response.content)
    return _dressed(answer, "native", response, started)


async def _read(
    http: httpx.AsyncClient, surface: str, path: str, body: Mapping[str, Any], read: Callable[[bytes], Answer]
) -> Answer:
    started = time.monotonic()
    response = await http.post(path, json=body)
    try:
        answer = read(response.content) if response.status_code < 400 else _refusal(response.content)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{surface} answered {response.status_code}:\n{response.text}") from error
    return _dressed(answer, surface, response, started)


def _dressed(answer: Answer, surface: str, response: httpx.Response, started: float) -> Answer:
    answer.surface, answer.status, answer.headers = surface, response.status_code, response.headers
    answer.run_id = response.headers.get("x-dormouse-run-id", "")
    answer.seconds = time.monotonic() - started
    return answer


def events_of(raw: bytes) -> list[tuple[int, str, dict[str, Any]]]:
    """The events of a native stream: seq, name, data. Comments are left out."""
    events = []
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            events.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


def read_native(raw: bytes, after: int = 0) -> Answer:
    """A whole native stream: every number once, and one end."""
    events = events_of(raw)
    assert [seq for seq, _, _ in events] == list(range(after + 1, after + 1 + len(events)))
    assert [name for _, name, _ in events if name in TERMINAL] == [events[-1][1]], "not one terminal event"
    return native_answer(events)


def native_answer(events: Sequence[tuple[int, str, dict[str, Any]]]) -> Answer:
    """What native events add up to, terminal or not yet."""
    answer = _answer("open")
    text: list[str] = []
    for seq, name, data in events:
        answer.last_seq = seq
        answer.kinds.append(name)
        if name == "message.delta":
            text.append(data["text"])
        elif name == "message.replaced":
            text = [data["text"]]
        elif name == "reasoning.delta":
            answer.reasoning += data["text"]
        elif name == "tool_call.args":
            answer.calls.append(data["delta"])
        elif name == "usage.reported":
            answer.prompt_tokens = max(answer.prompt_tokens, 0) + data["prompt_tokens"]
            answer.completion_tokens = max(answer.completion_tokens, 0) + data["completion_tokens"]
            answer.reasoning_tokens = max(answer.reasoning_tokens, 0) + data["reasoning_tokens"]
        elif name in TERMINAL:
            answer.end = name.removeprefix("run.")
            if name == "run.failed":
                answer.error = data["error"]["code"]
                assert data["error"]["retryable"] is True, data
    answer.text = "".join(text)
    return answer


def _read_agui(raw: bytes) -> Answer:
    answer = _answer("open")
    for event in check_stream(raw):
        kind = event["type"]
        answer.kinds.append(kind)
        if kind == "TEXT_MESSAGE_CONTENT":
            answer.text += event["delta"]
        elif kind == "MESSAGES_SNAPSHOT":
            answer.text = event["messages"][-1]["content"]
        elif kind == "REASONING_MESSAGE_CONTENT":
            answer.reasoning += event["delta"]
        elif kind == "TOOL_CALL_ARGS":
            answer.calls.append(event["delta"])
        elif kind in ("RUN_FINISHED", "RUN_ERROR"):
            answer.end = {"success": "finished", "cancelled": "cancelled"}.get(
                event.get("outcome", {}).get("type", ""), "failed"
            )
            answer.error = event.get("code", "")
            for usage in event.get("usage", ()):
                answer.prompt_tokens = usage["inputTokens"]
                answer.completion_tokens = usage["outputTokens"]
                answer.reasoning_tokens = usage.get("reasoningTokens", 0)
    return answer


def _read_chat(raw: bytes) -> Answer:
    answer = _answer("open")
    lines = [block for block in raw.decode().split("\n\n") if block and not block.startswith(":")]
    assert all(line.startswith("data: ") for line in lines)
    done = lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in (lines[:-1] if done else lines)]
    calls: dict[int, str] = {}
    for number, chunk in enumerate(chunks):
        if "error" in chunk:
            assert number == len(chunks) - 1, "an error that is not the end"
            assert not done, "an error that claims to be done"
            answer.end, answer.error = "failed", chunk["error"]["code"]
            continue
        if chunk["usage"] is not None:
            assert number == len(chunks) - 1, "usage is not the end"
            answer.prompt_tokens = chunk["usage"]["prompt_tokens"]
            answer.completion_tokens = chunk["usage"]["completion_tokens"]
            answer.reasoning_tokens = chunk["usage"]["completion_tokens_details"]["reasoning_tokens"]
        for choice in chunk["choices"]:
            assert answer.end == "open", "a choice behind the end"
            answer.text += choice["delta"].get("content") or ""
            answer.reasoning += choice["delta"].get("reasoning_content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                calls[call["index"]] = calls.get(call["index"], "") + call["function"]["arguments"]
            if choice["finish_reason"]:
                answer.end = "finished"
    assert done == (answer.end == "finished"), "no end, or one that is not said to be it"
    answer.calls = list(calls.values())
    return answer


def _read_whole(raw: bytes) -> Answer:
    body = json.loads(raw)
    message, usage = body["choices"][0]["message"], body["usage"]
    answer = _answer("finished")
    answer.text = message["content"] or ""
    answer.reasoning = message.get("reasoning_content") or ""
    answer.calls = [call["function"]["arguments"] for call in message.get("tool_calls") or ()]
    answer.prompt_tokens, answer.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
    answer.reasoning_tokens = usage["completion_tokens_details"]["reasoning_tokens"]
    return answer


def _refusal(raw: bytes) -> Answer:
    """An error in OpenAI's shape, the only one there is."""
    error = json.loads(raw)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    answer = _answer("refused")
    answer.error = error["code"]
    return answer


def _answer(end: str) -> Answer:
    return Answer(surface="", status=200, headers={}, end=end)
