"""Measures calls of tools: Prometheus numbers of all, a gen_ai span of each."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final

from dormouse_runtime import gen_ai, telemetry
from dormouse_runtime.metrics import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

# Seconds: from a sum to the longest limit.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

OK: Final = "ok"
ERROR: Final = "error"
FAILED: Final = "failed"
TIMEOUT: Final = "timeout"
CANCELLED: Final = "cancelled"


class _ToolNumbers:
    __slots__ = ("in_flight", "outcomes", "seconds")

    def __init__(self) -> None:
        self.in_flight = 0
        self.outcomes: dict[str, int] = {}
        self.seconds = Histogram(_BUCKETS)


class ToolMeter:
    """Counts all calls of a process; a Prometheus collector. `Measurement` counts one."""

    def __init__(self) -> None:
        self._tools: dict[str, _ToolNumbers] = {}

    def measure(self, tool: str, call_id: str) -> "Measurement":
        """The measurement of a call that begins now."""
        return Measurement(self._numbers(tool), tool, call_id)

    def count(self, tool: str, outcome: str) -> None:
        """Counts a call that was answered without running the tool: `replay`, `unknown`, `refused`."""
        outcomes = self._numbers(tool).outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    def collect(self) -> "Iterator[Metric]":
        """What prometheus_client asks a collector for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        calls = CounterMetricFamily("dormouse_tool_calls", "Calls of tools by outcome.", labels=["tool", "outcome"])
        seconds = HistogramMetricFamily("dormouse_tool_call_seconds", "How long tools ran.", labels=["tool"])
        in_flight = GaugeMetricFamily("dormouse_tool_calls_in_flight", "Tools that run now.", labels=["tool"])
        for tool, numbers in self._tools.items():
            for outcome, count in numbers.outcomes.items():
                calls.add_metric([tool, outcome], count)
            seconds.add_metric([tool], *numbers.seconds.exported())
            in_flight.add_metric([tool], numbers.in_flight)
        yield from (calls, seconds, in_flight)

    def _numbers(self, tool: str) -> _ToolNumbers:
        return self._tools.setdefault(tool, _ToolNumbers())


class Measurement:
    """One run of a tool, as a context manager around it. Set `outcome` before its end, else it was cancelled."""

    __slots__ = ("_call_id", "_name", "_numbers", "_span", "_started", "outcome")

    def __init__(self, numbers: _ToolNumbers, name: str, call_id: str) -> None:
        self._numbers = numbers
        self._name = name
        self._call_id = call_id
        self.outcome = CANCELLED

    def __enter__(self) -> "Measurement":
        self._started = time.perf_counter()
        self._numbers.in_flight += 1
        attributes: dict[str, telemetry.Value] = {
            gen_ai.OPERATION_NAME: gen_ai.EXECUTE_TOOL,
            gen_ai.TOOL_NAME: self._name,
            gen_ai.TOOL_CALL_ID: self._call_id,
        }
        self._span = telemetry.span(f"{gen_ai.EXECUTE_TOOL} {self._name}", attributes=attributes)
        self._span.__enter__()
        return self

    @property
    def duration_ms(self) -> int:
        """So far, rounded."""
        return round((time.perf_counter() - self._started) * 1000)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        numbers = self._numbers
        numbers.in_flight -= 1
        numbers.outcomes[self.outcome] = numbers.outcomes.get(self.outcome, 0) + 1
        numbers.seconds.observe(time.perf_counter() - self._started)
        if self.outcome != OK:
            self._span.fail(self.outcome)
        self._span.__exit__(None, None, None)
