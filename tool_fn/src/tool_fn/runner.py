"""Runs one tool: within its time, whatever it does, to a result that can be sent."""

import asyncio
import logging
from typing import Final

from tool_fn import meter
from tool_fn.fitting import cut
from tool_fn.meter import Measurement, ToolMeter
from tool_fn.results import Result
from tool_fn.tool import Call, OutcomeUnknownError, Tool, ToolError

_logger = logging.getLogger(__name__)
# How long a tool that was stopped may take to clean up behind itself.
_CLEAN_UP_S: Final = 1.0


class _CrashError(Exception):
    """Stands for what must not leave a task as itself: SystemExit would end the process."""


class Runner:
    """Runs tools, at most so many at a time."""

    def __init__(self, tool_meter: ToolMeter, most: int) -> None:
        self._meter = tool_meter
        self._most = most
        self._running: set[asyncio.Task[str]] = set()

    @property
    def is_full(self) -> bool:
        """Whether no further tool may begin."""
        return len(self._running) >= self._most

    async def run(self, tool: Tool, arguments: bytes, call: Call, call_id: str) -> Result:
        """The tool's result; never raises but CancelledError, when whoever waits for it goes away.

        The tool is stopped then, and at `call.deadline`. One that does not heed that is left to itself, and counts
        among those that run until it ends.
        """
        loop = asyncio.get_running_loop()
        limit_s = max(call.deadline - loop.time(), 0.0)
        with self._meter.measure(tool.name, call_id) as measurement:
            task = loop.create_task(_guarded(tool, arguments, call), name=f"tool {tool.name}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            try:
                await asyncio.wait([task], timeout=limit_s)
            finally:
                stopped = not task.done()
                if stopped:
                    await _stop(task, tool)
            if stopped and (not task.done() or task.cancelled()):
                measurement.outcome = meter.TIMEOUT
                text = f"The tool {tool.name} did not finish within {round(limit_s, 1):g} s and was stopped."
                return _broken_off(tool, text, measurement)
            return self._result(tool, task, call, measurement)

    def _result(self, tool: Tool, task: asyncio.Task[str], call: Call, measurement: Measurement) -> Result:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            measurement.outcome = meter.OK
            content, is_truncated = cut(task.result(), tool.output_limit_bytes)
            # What was cut off is not quoted.
            shown = tuple(source for source in call.sources if not is_truncated or f"[{source.label}]" in content)
            return Result(content, is_truncated=is_truncated, duration_ms=measurement.duration_ms, sources=shown)
        if isinstance(error, ToolError | OutcomeUnknownError):
            measurement.outcome = meter.ERROR
            content, is_truncated = cut(str(error) or "The tool failed.", tool.output_limit_bytes)
            unknown = isinstance(error, OutcomeUnknownError)
            return Result(
                content,
                is_error=True,
                is_truncated=is_truncated,
                outcome_unknown=unknown,
                duration_ms=measurement.duration_ms,
            )
        measurement.outcome = meter.FAILED
        _logger.error("a tool failed", exc_info=error, extra={"tool": tool.name})
        return _broken_off(tool, f"The tool {tool.name} failed on its side; it is logged there.", measurement)


def _broken_off(tool: Tool, text: str, measurement: Measurement) -> Result:
    """Where a tool that changes something broke off, nobody knows how far it had come."""
    unknown = tool.has_side_effects
    if unknown:
        text += " Nobody can say whether it was carried out."
    return Result(text, is_error=True, outcome_unknown=unknown, duration_ms=measurement.duration_ms)


async def _guarded(tool: Tool, arguments: bytes, call: Call) -> str:
    try:
        text = await tool.invoke(arguments, call)
    except (asyncio.CancelledError, Exception):
        raise
    except BaseException as error:
        raise _CrashError from error
    if not isinstance(text, str):
        raise TypeError(f"the tool returned {type(text).__name__} and not text")
    return text


async def _stop(task: asyncio.Task[str], tool: Tool) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=_CLEAN_UP_S)
    if not task.done():
        _logger.error("a tool does not stop", extra={"tool": tool.name})
