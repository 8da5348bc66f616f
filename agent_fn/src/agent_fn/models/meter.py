"""Measures model calls: Prometheus numbers of all, a gen_ai span of each."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final

import orjson
from dormouse_runtime import gen_ai, redaction, telemetry
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.metrics import Histogram
from dormouse_runtime.telemetry import Span, Value

from agent_fn.conversation import text_of
from agent_fn.models.port import Completion, ModelCall

if TYPE_CHECKING:
    from prometheus_client.core import Metric

# Seconds: from a token at hand to a cold model, and from a word to a long answer.
_FIRST_TOKEN_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_CALL_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_OK: Final = "ok"
_CANCELLED: Final = "cancelled"


class _ModelNumbers:
    __slots__ = ("completion_tokens", "first_token", "in_flight", "outcomes", "prompt_tokens", "seconds")

    def __init__(self) -> None:
        self.in_flight = 0
        self.outcomes: dict[str, int] = {}
        self.seconds = Histogram(_CALL_BUCKETS)
        self.first_token = Histogram(_FIRST_TOKEN_BUCKETS)
        self.prompt_tokens = 0
        self.completion_tokens = 0


class ModelMeter:
    """Counts all calls of a process; a Prometheus collector. `Measurement` counts one."""

    def __init__(self) -> None:
        self._models: dict[str, _ModelNumbers] = {}

    def measure(self, call: ModelCall) -> "Measurement":
        """The measurement of a call that begins now."""
        return Measurement(self._models.setdefault(call.model, _ModelNumbers()), call)

    def collect(self) -> "Iterator[Metric]":
        """What prometheus_client asks a collector for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        calls = CounterMetricFamily("dormouse_model_calls", "Finished model calls.", labels=["model", "outcome"])
        tokens = CounterMetricFamily("dormouse_model_tokens", "Tokens, as the server counts.", labels=["model", "kind"])
        in_flight = GaugeMetricFamily("dormouse_model_calls_in_flight", "Model calls under way.", labels=["model"])
        seconds = HistogramMetricFamily("dormouse_model_call_seconds", "Whole model calls.", labels=["model"])
        first = HistogramMetricFamily(
            "dormouse_model_first_token_seconds", "From a model call's start to its first token.", labels=["model"]
        )
        for model, numbers in self._models.items():
            for outcome, count in numbers.outcomes.items():
                calls.add_metric([model, outcome], count)
            tokens.add_metric([model, "prompt"], numbers.prompt_tokens)
            tokens.add_metric([model, "completion"], numbers.completion_tokens)
            in_flight.add_metric([model], numbers.in_flight)
            seconds.add_metric([model], *numbers.seconds.exported())
            first.add_metric([model], *numbers.first_token.exported())
        yield from (calls, tokens, in_flight, seconds, first)


class Measurement:
    """One model call, as a context manager around it."""

    __slots__ = ("_call", "_completion", "_numbers", "_span", "_started")

    def __init__(self, numbers: _ModelNumbers, call: ModelCall) -> None:
        self._numbers = numbers
        self._call = call
        self._completion: Completion | None = None

    def __enter__(self) -> "Measurement":
        self._started = time.perf_counter()
        self._numbers.in_flight += 1
        attributes = _request_attributes(self._call) if telemetry.is_on() else None
        self._span: Span = telemetry.span(f"{gen_ai.CHAT} {self._call.model}", kind="client", attributes=attributes)
        self._span.__enter__()
        return self

    def first_token(self) -> None:
        """The answer begins."""
        seconds = time.perf_counter() - self._started
        self._numbers.first_token.observe(seconds)
        self._span.set(gen_ai.RESPONSE_TIME_TO_FIRST_CHUNK, seconds)

    def completed(self, completion: Completion) -> None:
        """The answer is whole."""
        self._completion = completion

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        numbers, completion, span = self._numbers, self._completion, self._span
        numbers.in_flight -= 1
        if completion is not None:
            outcome = _OK
            numbers.prompt_tokens += completion.prompt_tokens
            numbers.completion_tokens += completion.completion_tokens
            span.set(gen_ai.USAGE_INPUT_TOKENS, completion.prompt_tokens)
            span.set(gen_ai.USAGE_OUTPUT_TOKENS, completion.completion_tokens)
            span.set(gen_ai.RESPONSE_FINISH_REASONS, [completion.finish_reason.name.lower()])
        elif isinstance(error, DormouseError):
            outcome = error.reason_name.lower()
            span.fail(error.reason_name)
        else:
            outcome = _CANCELLED
        numbers.outcomes[outcome] = numbers.outcomes.get(outcome, 0) + 1
        numbers.seconds.observe(time.perf_counter() - self._started)
        span.__exit__(None, None, None)


def _request_attributes(call: ModelCall) -> dict[str, Value]:
    options = call.options
    chosen: dict[str, Value | None] = {
        gen_ai.OPERATION_NAME: gen_ai.CHAT,
        gen_ai.PROVIDER_NAME: gen_ai.OLLAMA,
        gen_ai.REQUEST_MODEL: call.model,
        gen_ai.REQUEST_STREAM: True,
        gen_ai.REQUEST_TEMPERATURE: options.temperature,
        gen_ai.REQUEST_TOP_P: options.top_p,
        gen_ai.REQUEST_TOP_K: options.top_k,
        gen_ai.REQUEST_MAX_TOKENS: options.max_tokens,
        gen_ai.REQUEST_SEED: options.seed,
        gen_ai.REQUEST_STOP_SEQUENCES: list(options.stop) or None,
        gen_ai.INPUT_MESSAGES: _messages(call) if redaction.is_content_allowed() else None,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _messages(call: ModelCall) -> str:
    """What the model reads, as JSON."""
    return orjson.dumps([{"role": message["role"], "content": text_of(message)} for message in call.messages]).decode()
