"""The shape of a run's trace."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from edge.runs.model import RunStatus
from edge.sources import CitedSource


class TraceModelCall(BaseModel):
    """One call of a model, as the model server counted."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    load_ms: int
    prompt_ms: int
    completion_ms: int


class TraceResult(BaseModel):
    """What a tool brought."""

    content: str
    size: int = Field(description="Characters.")
    is_error: bool
    outcome_unknown: bool
    tool_ms: int = Field(description="Of the tool itself. 0: it was not run.")
    sources: list[CitedSource] = Field(description="The passages that the content quotes.")


class TraceCitation(BaseModel):
    """What a span of a message rests on."""

    start: int = Field(description="In code points of the text.")
    end: int = Field(description="Exclusive.")
    source: CitedSource | None = Field(description="Null: nothing supports the span.")


class TraceSpan(BaseModel):
    """A stretch of time in a run. Which members there are beside the first eight depends on `kind`."""

    kind: Literal["run", "attempt", "step", "message", "tool_call", "interrupt"]
    id: str
    name: str
    seq: int = Field(description="Of the event that it begins with.")
    started_at: str
    ended_at: str | None = Field(description="Null: it goes on.")
    duration_ms: int | None
    children: list["TraceSpan"] = Field(description="In the order of their beginnings.")
    model_calls: list[TraceModelCall] = Field(default=[], description="What the models in it used up.")
    activities: list[dict[str, Any]] = Field(default=[], description="What took time beside.")
    artifacts: list[dict[str, Any]] = Field(default=[], description="Which versions of artifacts were saved in it.")
    continued: bool = Field(default=False, description="An earlier attempt has begun it.")
    broken_off: bool = Field(default=False, description="The attempt ended before it did.")
    text: str = Field(default="", description="Of a message.")
    reasoning: str | None = Field(default=None, description="What was thought before the text.")
    size: int = Field(default=0, description="Characters of the text.")
    pieces: int = Field(default=0, description="Of the model's stream, in text and reasoning.")
    first_token_ms: int | None = Field(default=None, description="From the message's start.")
    citations: list[TraceCitation] = Field(default=[], description="What a message rests on.")
    arguments: Any = Field(default=None, description="Of a tool call; the text itself where it is no JSON.")
    result: TraceResult | None = None
    at_client: bool = Field(default=False, description="The client has to carry the call out.")
    message_id: str | None = Field(default=None, description="The message that asked for the call. Null: a plan did.")
    answer: Any = Field(default=None, description="What a person answered to an interrupt.")
    state: dict[str, Any] | None = Field(default=None, description="Of a run: what the agent keeps, as it stands.")


class TraceTotals(BaseModel):
    model_calls: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    tool_calls: int
    tool_errors: int
    tool_ms: int
    waited_ms: int = Field(description="For people.")
    first_token_ms: int | None = Field(description="From the run's start to the first piece of text or reasoning.")


class RunTrace(BaseModel):
    """Everything that happened in a run."""

    object: Literal["run.trace"]
    run_id: str
    status: RunStatus
    totals: TraceTotals
    root: TraceSpan


MODELS: Final = (RunTrace,)

_TIMES: Final = {"started_at": "2026-11-20T09:34:55.595Z", "ended_at": "2026-11-20T09:34:55.995Z", "duration_ms": 400}
EXAMPLE: Final[dict[str, Any]] = {
    "object": "run.trace",
    "run_id": "run_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "status": "completed",
    "totals": {
        "model_calls": 1,
        "prompt_tokens": 14,
        "completion_tokens": 9,
        "reasoning_tokens": 0,
        "tool_calls": 0,
        "tool_errors": 0,
        "tool_ms": 0,
        "waited_ms": 0,
        "first_token_ms": 45,
    },
    "root": {
        "kind": "run",
        "id": "run_8dYh2mPz0ZcA5kQw1nRtXvBg",
        "name": "chat",
        "seq": 1,
        **_TIMES,
        "model": None,
        "thread_id": None,
        "finish_reason": "stop",
        "children": [{"kind": "attempt", "id": "1", "name": "attempt 1", "seq": 1, **_TIMES, "children": []}],
    },
}
TEXT_EXAMPLE: Final = (
    "run_8dYh2mPz0ZcA5kQw1nRtXvBg  completed  400 ms, first token after 45 ms, 14 + 9 tokens in 1 model call\n"
    "      0 ms  run chat  (400 ms)\n"
    "        0 ms  attempt 1  (400 ms)\n"
)
