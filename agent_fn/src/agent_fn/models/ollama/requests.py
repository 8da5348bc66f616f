"""What Ollama is asked: a model call as the body of POST /api/chat."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agent_fn.conversation import Message, text_of
from agent_fn.generation import GenerationOptions, ToolDefinition
from agent_fn.models.port import ModelCall


def chat_body(call: ModelCall) -> bytes:
    """The JSON of the request.

    num_ctx is never among it: mixed values make Ollama reload the model. `truncate` false makes a conversation that
    does not fit an error where Ollama would otherwise drop its oldest messages without a word.
    """
    body: dict[str, Any] = {
        "model": call.model,
        "messages": _messages(call),
        "stream": True,
        "truncate": False,
        "options": _options(call.options),
    }
    if call.options.reasoning is not None:
        body["think"] = call.options.reasoning
    if call.options.response_json_schema is not None:
        body["format"] = _format(call.options.response_json_schema)
    if call.tools:
        body["tools"] = [_tool(tool) for tool in call.tools]
    # Copied, because orjson leaves room behind its text (4 KB for a short one), and a request keeps its body until the
    # model speaks.
    return bytes(memoryview(orjson.dumps(body)))


def _messages(call: ModelCall) -> list[dict[str, Any]]:
    tool_names = {
        tool_call["id"]: tool_call["name"] for message in call.messages for tool_call in message.get("tool_calls", ())
    }
    messages = [_message(message, tool_names) for message in call.messages]
    if call.prefill is not None:
        last = {"role": "assistant", "content": call.prefill.text}
        if call.prefill.reasoning:
            last["thinking"] = call.prefill.reasoning
        messages.append(last)
    return messages


def _message(message: Message, tool_names: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message["role"], "content": text_of(message)}
    images = [base64.b64encode(part["data"]).decode("ascii") for part in message["content"] if "data" in part]
    if images:
        body["images"] = images
    if tool_calls := message.get("tool_calls"):
        body["tool_calls"] = [
            {
                "id": tool_call["id"],
                "function": {"name": tool_call["name"], "arguments": _arguments(tool_call["arguments_json"])},
            }
            for tool_call in tool_calls
        ]
    if tool_call_id := message.get("tool_call_id"):
        body["tool_call_id"] = tool_call_id
        body["tool_name"] = message.get("name") or tool_names.get(tool_call_id, "")
    return body


def _arguments(text: str) -> dict[str, Any]:
    """Ollama takes an object only; what a model wrote may be none."""
    try:
        arguments = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        arguments = text
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def _options(options: GenerationOptions) -> dict[str, Any]:
    chosen: dict[str, float | int | Sequence[str] | None] = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "num_predict": options.max_tokens,
        "seed": options.seed,
        "frequency_penalty": options.frequency_penalty,
        "presence_penalty": options.presence_penalty,
        "stop": list(options.stop) or None,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _format(schema: str) -> Any:
    return "json" if schema == "json" else orjson.loads(schema)


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    parameters = orjson.loads(tool.parameters_json_schema or '{"type": "object", "properties": {}}')
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }
