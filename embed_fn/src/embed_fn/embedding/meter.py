"""Measures embeddings: Prometheus numbers of all, a gen_ai span of each request to the model server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final

from dormouse_runtime import gen_ai, telemetry
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.metrics import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_OK: Final = "ok"
_CANCELLED: Final = "cancelled"

MEMORY: Final = "memory"
STORE: Final = "store"
MODEL: Final = "model"


class _ModelNumbers:
    __slots__ = ("inputs", "outcomes", "seconds", "tokens")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.seconds = Histogram(_BUCKETS)
        self.inputs: dict[str, int] = {}
        self.tokens = 0


class EmbeddingMeter:
    """Counts all embeddings of a process; a Prometheus collector. `Measurement` counts one request."""

    def __init__(self) -> None:
        self._models: dict[str, _ModelNumbers] = {}

    def measure(self, model: str, inputs: int) -> Measurement:
        """The measurement of a request that begins now."""
        return Measurement(self._numbers(model), model, inputs)

    def count(self, model: str, source: str, inputs: int) -> None:
        """Counts texts by where their vectors came from: MEMORY, STORE, MODEL."""
        if inputs:
            counts = self._numbers(model).inputs
            counts[source] = counts.get(source, 0) + inputs

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks a collector for."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        inputs = CounterMetricFamily(
            "dormouse_embedding_inputs", "Texts, by where their vectors came from.", labels=["model", "source"]
        )
        tokens = CounterMetricFamily("dormouse_embedding_tokens", "Tokens, as the server counts.", labels=["model"])
        batches = CounterMetricFamily(
            "dormouse_embedding_batches", "Requests to the model server.", labels=["model", "outcome"]
        )
        seconds = HistogramMetricFamily(
            "dormouse_embedding_batch_seconds", "How long requests to the model server took.", labels=["model"]
        )
        for model, numbers in self._models.items():
            for source, count in numbers.inputs.items():
                inputs.add_metric([model, source], count)
            for outcome, count in numbers.outcomes.items():
                batches.add_metric([model, outcome], count)
            tokens.add_metric([model], numbers.tokens)
            seconds.add_metric([model], *numbers.seconds.exported())
        yield from (inputs, tokens, batches, seconds)

    def _numbers(self, model: str) -> _ModelNumbers:
        return self._models.setdefault(model, _ModelNumbers())


class Measurement:
    """One request, as a context manager around it."""

    __slots__ = ("_inputs", "_model", "_numbers", "_span", "_started", "_tokens")

    def __init__(self, numbers: _ModelNumbers, model: str, inputs: int) -> None:
        self._numbers = numbers
        self._model = model
        self._inputs = inputs
        self._tokens = 0

    def __enter__(self) -> Measurement:
        self._started = time.perf_counter()
        attributes: dict[str, telemetry.Value] = {
            gen_ai.OPERATION_NAME: gen_ai.EMBEDDINGS,
            gen_ai.PROVIDER_NAME: gen_ai.OLLAMA,
            gen_ai.REQUEST_MODEL: self._model,
        }
        self._span = telemetry.span(f"{gen_ai.EMBEDDINGS} {self._model}", kind="client", attributes=attributes)
        self._span.__enter__()
        return self

    def done(self, tokens: int) -> None:
        """The server has answered; how many tokens it counted."""
        self._tokens = tokens

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        outcome = _outcome(kind, error)
        numbers = self._numbers
        numbers.outcomes[outcome] = numbers.outcomes.get(outcome, 0) + 1
        numbers.seconds.observe(time.perf_counter() - self._started)
        numbers.tokens += self._tokens
        if outcome == _OK:
            self._span.set(gen_ai.USAGE_INPUT_TOKENS, self._tokens)
        else:
            self._span.fail(outcome)
        self._span.__exit__(None, None, None)


def _outcome(kind: type[BaseException] | None, error: BaseException | None) -> str:
    if kind is None:
        return _OK
    return error.reason_name.lower() if isinstance(error, DormouseError) else _CANCELLED
