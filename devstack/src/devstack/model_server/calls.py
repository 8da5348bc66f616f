"""What a client asks for: the bodies of /api/chat and /api/generate, checked."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from devstack.model_server.catalog import DEFAULT_NUM_CTX
from devstack.model_server.errors import BadRequestError, RunnerError
from devstack.model_server.schema_check import is_schema

DEFAULT_KEEP_ALIVE_S = 300.0
T = TypeVar("T")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: str
    content: str = ""
    thinking: str = ""
    images: int = 0
    tool_name: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request for an answer. `format` is None, "json" or a JSON Schema; `think` is None where nobody said."""

    model: str
    chat: bool
    turns: tuple[Turn, ...]
    stream: bool = True
    think: bool | None = None
    format: str | Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    stop: tuple[str, ...] = ()
    num_predict: int = -1
    num_ctx: int = DEFAULT_NUM_CTX
    seed: int = 0
    keep_alive_s: float = DEFAULT_KEEP_ALIVE_S
    raw_prompt: str = field(default="", repr=False)

    @property
    def begun(self) -> Turn | None:
        """The assistant's message at the end that is to be continued, if there is one."""
        last = self.turns[-1] if self.turns else None
        return last if last is not None and last.role == "assistant" and not last.tool_calls else None

    @property
    def conversation(self) -> tuple[Turn, ...]:
        """The messages without the one that is to be continued."""
        return self.turns if self.begun is None else self.turns[:-1]

    @classmethod
    def of_chat(cls, body: Mapping[str, Any]) -> Call:
        """The body of /api/chat. Raises BadRequestError."""
        messages = _typed(body, "messages", list, [])
        tools = _typed(body, "tools", list, [])
        for tool in tools:
            function = tool.get("function") if isinstance(tool, Mapping) else None
            if not isinstance(function, Mapping):
                raise BadRequestError("tools: each wants an object with a function")
            if not is_schema(function.get("parameters") or {}):
                raise BadRequestError("tools: the parameters of each want a JSON Schema")
        return cls(chat=True, turns=tuple(_turn(item) for item in messages), tools=tuple(tools), **_shared(body))

    @classmethod
    def of_generate(cls, body: Mapping[str, Any]) -> Call:
        """The body of /api/generate; an empty prompt only loads the model. Raises BadRequestError."""
        prompt, system = _typed(body, "prompt", str, ""), _typed(body, "system", str, "")
        if suffix := _typed(body, "suffix", str, ""):
            raise BadRequestError(f"this model does not support insert (suffix {suffix[:20]!r})")
        turns = [Turn("system", system)] if system and prompt else []
        if prompt:
            turns.append(Turn("user", prompt, images=_images(body)))
        return cls(chat=False, turns=tuple(turns), raw_prompt=prompt, **_shared(body))


def _shared(body: Mapping[str, Any]) -> dict[str, Any]:
    options = _typed(body, "options", dict, {})
    stop = options.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(item, str) for item in stop):
        raise BadRequestError("option 'stop' must be of type array of strings")
    return {
        "model": model_name(body),
        "stream": _typed(body, "stream", bool, True),
        "think": _think(body.get("think")),
        "format": _format(body.get("format")),
        "stop": tuple(item for item in stop if item),
        "num_predict": _integer(options, "num_predict", -1),
        "num_ctx": _integer(options, "num_ctx", DEFAULT_NUM_CTX),
        "seed": _integer(options, "seed", 0),
        "keep_alive_s": keep_alive(body.get("keep_alive")),
    }


def model_name(body: Mapping[str, Any]) -> str:
    """The `model` of a request (`name` in older clients). Raises BadRequestError."""
    name = body.get("model") or body.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequestError("model is required")
    return name


def keep_alive(value: object) -> float:
    """Seconds to keep a model in memory: a number of seconds or a Go duration; negative means for ever."""
    if value is None or value == "":
        return DEFAULT_KEEP_ALIVE_S
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value >= 0 else float("inf")
    if isinstance(value, str):
        sign, text = value.startswith("-"), value.lstrip("+-")
        if text.isdecimal():
            return float("inf") if sign else float(text)
        parts = _DURATION.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return float("inf") if sign else sum(float(number) * _UNITS[unit] for number, unit in parts)
    raise BadRequestError(f'keep_alive wants seconds or a duration such as "5m", not {value!r}')


def _turn(item: object) -> Turn:
    if not isinstance(item, Mapping):
        raise BadRequestError("messages: each wants an object with role and content")
    role = item.get("role")
    if role not in ("system", "user", "assistant", "tool"):
        raise BadRequestError(f'invalid role: {role!r}; expected "system", "user", "assistant" or "tool"')
    return Turn(
        role,
        _typed(item, "content", str, ""),
        _typed(item, "thinking", str, ""),
        _images(item),
        _typed(item, "tool_name", str, "") or _typed(item, "name", str, ""),
        tuple(call for call in _typed(item, "tool_calls", list, []) if isinstance(call, Mapping)),
    )


def _typed(body: Mapping[str, Any], name: str, kind: type[T], default: T) -> T:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise BadRequestError(f"{name} wants {kind.__name__}, not {type(value).__name__}")
    return value


def _integer(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise BadRequestError(f"option '{name}' must be of type integer")
    return int(value)


def _think(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value in ("low", "medium", "high", "max"):
        return True
    raise BadRequestError(f'invalid think value: {value!r} (must be "high", "medium", "low", true, or false)')


def _format(value: object) -> str | Mapping[str, Any] | None:
    if value is None or value == "":
        return None
    if value == "json":
        return "json"
    if isinstance(value, Mapping):
        if not is_schema(value):
            raise RunnerError("invalid JSON schema in format")  # Ollama notices as late as that, too
        return value
    raise BadRequestError(f'invalid format: {value!r}; expected "json" or a valid JSON Schema object')


def _images(item: Mapping[str, Any]) -> int:
    images = _typed(item, "images", list, [])
    for image in images:
        try:
            base64.b64decode(image, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise BadRequestError("illegal base64 data in images") from None
    return len(images)
