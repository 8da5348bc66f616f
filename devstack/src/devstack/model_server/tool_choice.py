"""Chooses the tools that fit a question and fills in their arguments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from devstack.model_server.calls import Call
from devstack.model_server.prose import question_of
from devstack.model_server.values import ValueMaker
from devstack.model_server.words import stems, words

_STAGE = re.compile(r"[,;]?\s*\b(?:and )?then\b\s*", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;]?\s+and\s+|;\s*", re.IGNORECASE)
_ARITHMETIC = re.compile(r"\d\s*[-+*/^]\s*\d")


def chosen_calls(call: Call) -> tuple[dict[str, Any], ...]:
    """The tool calls the conversation asks for next, in Ollama's form; none when it is time to answer.

    "… and …" asks for calls side by side, "…, then …" for one after the other.
    """
    if not call.tools:
        return ()
    made = 0
    for turn in reversed(call.turns):
        if turn.role == "user":
            break
        made += turn.role == "assistant" and bool(turn.tool_calls)
    stages = [stage for stage in _STAGE.split(question_of(call.turns)) if stage.strip()]
    if made >= len(stages):
        return ()
    wanted: dict[str, dict[str, Any]] = {}
    for clause in _CLAUSE.split(stages[made]):
        function = _fitting(call, clause)
        if function is not None:
            parameters = function.get("parameters")
            arguments = _arguments(parameters if isinstance(parameters, Mapping) else {}, clause)
            wanted.setdefault(f"{function['name']}{arguments}", {"name": function["name"], "arguments": arguments})
    return tuple(
        {"id": _identity(call, made, index), "function": {"index": index, **function}}
        for index, function in enumerate(wanted.values())
    )


def _fitting(call: Call, clause: str) -> Mapping[str, Any] | None:
    """The function that shares the most words with the clause; a word of its name counts three times."""
    asked = stems(clause)
    best: Mapping[str, Any] | None = None
    best_score = 0
    for tool in call.tools:
        function = tool["function"]
        name = str(function.get("name") or "")
        if not name:
            continue
        named = stems(re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-.]", " ", name))
        described = stems(str(function.get("description") or ""))
        score = 3 * len(asked & named) + len(asked & (described - named))
        if _ARITHMETIC.search(clause) and {"calculat", "calculator", "arithmetic", "math"} & (named | described):
            score += 3
        if name.lower() in clause.lower():
            score += 10
        if score > best_score:
            best, best_score = function, score
    return best if best_score >= 2 or (best_score and len(words(clause)) <= 6) else None


def _arguments(parameters: Mapping[str, Any], clause: str) -> dict[str, Any]:
    """Required arguments; every argument where the schema requires none."""
    properties = parameters.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = [name for name in parameters.get("required") or () if name in properties]
    maker = ValueMaker(clause, parameters)
    return {name: maker.value(properties[name], name) for name in required or properties}


def _identity(call: Call, stage: int, index: int) -> str:
    seed = f"{question_of(call.turns)}\x00{len(call.turns)}\x00{stage}\x00{index}"
    return "call_" + hashlib.blake2b(seed.encode(errors="replace"), digest_size=4).hexdigest()
