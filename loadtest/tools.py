"""What a tool call costs beside the tool itself. python -m loadtest.tools

Measured by the edge's clock, from `tool_call.finished` to `tool_call.result` in a run's log: the call is complete, and
its result is told. That is the agent's way to tool_fn and back, the tool included.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from devstack.errors import DevstackError
from devstack.postgres import Postgres

from loadtest.figures import percentile
from loadtest.platform_stack import Stack, whole_platform
from loadtest.transcripts.exchanges import Event, events_of

MODEL = "dormouse-dev:latest"
FOLDER = Path(__file__).parent / "operator_tools"
WARM_UP = 10
WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """Times of one kind of turn, in ms: from the end of its last call to the last result."""

    what: str
    turns: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer that the model is made to begin with: the calls, as name and arguments."""

    calls: Sequence[tuple[str, Mapping[str, Any]]]

    @property
    def line(self) -> dict[str, Any]:
        """For the model server's script."""
        return {"results": 0, "tool_calls": [{"name": name, "arguments": given} for name, given in self.calls]}


async def measure(calls: int, waits: int) -> list[Overhead]:
    """Start a platform and measure `calls` single calls of `math` and `waits` turns of two calls of one second."""
    async with (
        whole_platform({"ttft_ms": 0, "token_ms": 0}, tools=_tools, model=MODEL) as stack,
        aiohttp.ClientSession() as http,
    ):
        driver = Driver(
            http,
            edge=stack.addresses["edge"],
            model_server=stack.addresses["model server"],
            api_key=stack.credentials.api_key,
        )
        await driver.times([one_sum(number) for number in range(WARM_UP)])
        single = await driver.times([one_sum(number) for number in range(calls)])
        both = await driver.times([two_waits() for _ in range(waits)])
    return [_figures("one call of math, warm", single), _figures("two calls of 1 s in one turn", both)]


def table(figures: Sequence[Overhead]) -> str:
    """For people."""
    heads = f"{'from the call to its result':<32}{'turns':>7}{'p50 ms':>10}{'p95 ms':>10}{'max ms':>10}"
    rows = (f"{one.what:<32}{one.turns:>7}{one.p50_ms:>10.1f}{one.p95_ms:>10.1f}{one.max_ms:>10.1f}" for one in figures)
    return "\n".join([heads, *rows])


class Driver:
    """Runs of the react agent, one after the other, whose model says what a turn wants. Addresses are host:port."""

    def __init__(self, http: aiohttp.ClientSession, *, edge: str, model_server: str, api_key: str) -> None:
        self._runs = f"http://{edge}/v1/runs"
        self._script = f"http://{model_server}/_sim/script"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._http = http

    async def times(self, turns: Sequence[Turn]) -> list[float]:
        """Milliseconds of each turn. RuntimeError where a run does not end well."""
        return [await self._time(turn) for turn in turns]

    async def _time(self, turn: Turn) -> float:
        lines = [turn.line, {"content": "Done.", "times": 1}]
        async with self._http.put(self._script, json={"lines": lines}) as response:
            response.raise_for_status()
        body = {"agent": "react", "input": {"messages": [{"role": "user", "content": "Go."}]}}
        async with self._http.post(self._runs, json=body, headers=self._headers) as response:
            events = events_of(await response.text())
        return _elapsed(events, len(turn.calls))


def _elapsed(events: Sequence[Event], calls: int) -> float:
    results = [event.data for event in events if event.name == "tool_call.result"]
    asked = [event.data for event in events if event.name == "tool_call.finished"]
    ended = events[-1].name if events else "nothing"
    if ended != "run.finished" or len(results) != calls or any(result["is_error"] for result in results):
        raise RuntimeError(f"a run ended with {ended} and results {[result.get('content') for result in results]}")
    return float(results[-1]["unix_ms"] - asked[-1]["unix_ms"])


def one_sum(number: int) -> Turn:
    """A call of `math` that differs from those with other numbers."""
    return Turn([("math", {"operation": "evaluate", "expression": f"{number} * 7 + 1"})])


def two_waits() -> Turn:
    """Two calls of a second each that do not depend on each other."""
    return Turn([("wait", {"label": label, "seconds": WAIT_S}) for label in ("the kettle", "the toast")])


def _figures(what: str, times: Sequence[float]) -> Overhead:
    return Overhead(what, len(times), percentile(times, 0.5), percentile(times, 0.95), max(times))


async def _tools(stack: Stack, postgres: Postgres) -> Mapping[str, str]:
    return {"DORMOUSE_TOOLS_PATH": str(FOLDER)}


def main() -> int:
    """Run it; 1 when a run fails or the platform does not start."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.tools", description="What a tool call costs.")
    parser.add_argument("--calls", type=int, default=200, metavar="N", help="single calls (200)")
    parser.add_argument("--waits", type=int, default=5, metavar="N", help="turns of two calls of a second (5)")
    parser.add_argument(
        "--json", type=Path, default=Path(".dormouse/tools.json"), metavar="PATH", help="where the JSON goes"
    )
    arguments = parser.parse_args()
    try:
        figures = asyncio.run(measure(arguments.calls, arguments.waits))
    except (DevstackError, RuntimeError, OSError) as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(figures))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_bytes(orjson.dumps([asdict(one) for one in figures], option=orjson.OPT_INDENT_2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
