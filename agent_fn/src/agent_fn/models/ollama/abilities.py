"""What a model can do, read from Ollama's description of it."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent_fn.models.port import ModelDescription

# A template that leaves the last assistant's turn open: {{ if not $last }}<|im_end|>{{ end }} and the like.
_OPEN_LAST_TURN = re.compile(r"\bnot\s+\(*\s*(?:(?:and|or)\s+)?\(*\s*\$\w*last", re.IGNORECASE)
_RENDERER = re.compile(r"^RENDERER\s+(\S+)", re.IGNORECASE | re.MULTILINE)
# Of the renderers built into Ollama these leave the last assistant's turn open.
_CONTINUING_RENDERERS = ("qwen3",)


def describe(shown: Mapping[str, Any], tag: Mapping[str, Any], name: str) -> ModelDescription:
    """A model from /api/show and its entry in /api/tags, which may be empty."""
    template = str(shown.get("template") or "")
    info = shown.get("model_info") or {}
    length = next((value for key, value in info.items() if key.endswith(".context_length")), 0)
    return ModelDescription(
        name=name,
        capabilities=frozenset(shown.get("capabilities") or ()),
        continues=continues(template, str(shown.get("modelfile") or "")),
        rereads_reasoning=".Thinking" in template,
        context_length=length if isinstance(length, int) else 0,
        size_bytes=tag.get("size") or 0,
        modified_unix_ms=unix_ms(str(tag.get("modified_at") or shown.get("modified_at") or "")),
    )


def continues(template: str, modelfile: str) -> bool:
    """Whether a conversation that ends with an assistant's message makes the model go on with that message.

    Ollama renders the prompt by the model's template: only where the template leaves the last assistant's turn open
    does the model go on inside it. Templates of the old kind, without .Messages, are cut off at .Response by Ollama
    itself, which leaves every turn open.
    """
    if renderer := _RENDERER.search(modelfile):
        return renderer[1].strip("\"'").startswith(_CONTINUING_RENDERERS)
    if ".Messages" in template:
        return _OPEN_LAST_TURN.search(template) is not None
    return ".Response" in template


def unix_ms(text: str) -> int:
    """Ollama's times, which have nanoseconds and a zone; 0 for what is none."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0
