"""The shapes of OpenAI's answers, for the document."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field


class ChatToolCallFunction(BaseModel):
    name: str
    arguments: str


class ChatToolCall(BaseModel):
    id: str
    type: Literal["function"]
    function: ChatToolCallFunction


class UrlCitation(BaseModel):
    start_index: int = Field(description="Of the span that rests on the source, in code points of the content.")
    end_index: int = Field(description="Exclusive.")
    title: str = Field(description="The file's name, and the page where it has pages.")
    url: str = Field(description="Where the passage can be read: `/v1/files/{file}/chunks/{chunk}`.")


class Annotation(BaseModel):
    """What a span of the content rests on. Claims that nothing supports have none."""

    type: Literal["url_citation"]
    url_citation: UrlCitation


class ChatAnswer(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = Field(None, description="What the model thought before it answered.")
    tool_calls: list[ChatToolCall] | None = None
    annotations: list[Annotation] | None = None


class ChatChoice(BaseModel):
    index: Literal[0]
    message: ChatAnswer
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls"]


class CompletionTokensDetails(BaseModel):
    reasoning_tokens: int


class CompletionUsage(BaseModel):
    """As the model server counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionTokensDetails


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage


class ChunkFunction(BaseModel):
    name: str | None = None
    arguments: str | None = None


class ChunkToolCall(BaseModel):
    """The first piece of a call has all members, those after it only `index` and more of the arguments."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: ChunkFunction


class ChunkDelta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChunkToolCall] | None = None
    annotations: list[Annotation] | None = Field(None, description="Behind the text that they are about.")


class ChunkChoice(BaseModel):
    index: Literal[0]
    delta: ChunkDelta
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls"] | None


class ChatCompletionChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice] = Field(description="One, or with `usage` none.")
    usage: CompletionUsage | None = Field(None, description="With `include_usage`: once, in the last chunk.")


class ModelObject(BaseModel):
    """An agent or a model; either can be named as `model`."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Unix seconds; for agents the time when they were last listed.")
    owned_by: str = Field(description="`dormouse` for agents, `ollama` for models.")


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelObject]


MODEL_EXAMPLE: Final[dict[str, Any]] = {"id": "chat", "object": "model", "created": 1793000000, "owned_by": "dormouse"}
MODEL_LIST_EXAMPLE: Final[dict[str, Any]] = {
    "object": "list",
    "data": [MODEL_EXAMPLE, {"id": "llama3.2:3b", "object": "model", "created": 1790000000, "owned_by": "ollama"}],
}
COMPLETION_EXAMPLE: Final[dict[str, Any]] = {
    "id": "chatcmpl-8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "chat.completion",
    "created": 1793000000,
    "model": "chat",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A small rodent that sleeps a lot.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 14,
        "completion_tokens": 9,
        "total_tokens": 23,
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
STREAM_EXAMPLE: Final = (
    'data: {"id":"chatcmpl-8dYh2mPz0ZcA5kQw1nRtXvBg","object":"chat.completion.chunk","created":1793000000,'
    '"model":"chat","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
    '"finish_reason":null}]}\n\n'
    'data: {"id":"chatcmpl-8dYh2mPz0ZcA5kQw1nRtXvBg","object":"chat.completion.chunk","created":1793000000,'
    '"model":"chat","choices":[{"index":0,"delta":{"content":"A small"},"logprobs":null,"finish_reason":null}]}\n\n'
    "data: [DONE]\n\n"
)
