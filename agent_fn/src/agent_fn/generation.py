"""How a model is to answer, in the terms of the public API."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """None leaves the choice to the model. `response_json_schema` is "json" for any object, else a JSON Schema."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    response_json_schema: str | None = None
    reasoning: bool | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool that a model may ask for. `parameters_json_schema` is empty for a tool without arguments."""

    name: str
    description: str
    parameters_json_schema: str
