"""What agents ask of a model, whoever serves it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from agent_fn.conversation import Message
from agent_fn.events import FinishReason
from agent_fn.generation import GenerationOptions, ToolDefinition


class Capability(StrEnum):
    """What a model can do, in Ollama's words."""

    COMPLETION = "completion"
    TOOLS = "tools"
    THINKING = "thinking"
    VISION = "vision"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model that the model server holds.

    `continues` says whether a conversation that ends in an assistant's message makes it go on with that message, and
    `rereads_reasoning` whether it then sees what it had thought.
    `context_length` in tokens, 0 where it is not known.
    """

    name: str
    capabilities: frozenset[str]
    continues: bool = False
    rereads_reasoning: bool = False
    context_length: int = 0
    size_bytes: int = 0
    modified_unix_ms: int = 0


@dataclass(frozen=True, slots=True)
class Prefill:
    """The beginning of the answer, which the model is to go on with."""

    text: str
    reasoning: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One question to a model. A `prefill` may only be given to a model that `continues`."""

    model: str
    messages: Sequence[Message]
    options: GenerationOptions = field(default_factory=GenerationOptions)
    tools: Sequence[ToolDefinition] = ()
    prefill: Prefill | None = None


@dataclass(frozen=True, slots=True)
class RequestedTool:
    """A tool call as the model wrote it."""

    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class Completion:
    """How an answer ended, and what it cost by the model server's own count and clock."""

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    load_ns: int
    prompt_ns: int
    completion_ns: int


@dataclass(slots=True)
class Chunk:
    """What came from the model in one read: reasoning before text before tool calls before the end."""

    reasoning: str = ""
    reasoning_pieces: int = 0
    text: str = ""
    pieces: int = 0
    tools: list[RequestedTool] = field(default_factory=list)
    completion: Completion | None = None


class Model(Protocol):
    """Answers conversations."""

    def answer(self, call: ModelCall) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Opens the answer's stream; leaving the context early closes the request to the model server at once.

        The last chunk has a completion. Errors: MODEL_NOT_FOUND, MODEL_UNAVAILABLE, MODEL_TIMEOUT,
        MODEL_CAPABILITY_MISSING, CONTEXT_LENGTH_EXCEEDED, INVALID_ARGUMENT; a stream that stops without its last
        chunk is MODEL_UNAVAILABLE.
        """
        ...

    async def is_loaded(self, model: str) -> bool:
        """Whether the model is in the server's memory. Errors: MODEL_UNAVAILABLE, MODEL_TIMEOUT."""
        ...
