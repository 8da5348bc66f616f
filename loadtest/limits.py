"""What limits cost, and what they are good for beyond the capacity. python -m loadtest.limits

Three tables: asking Redis for the limits of one request; the time to the first token of the same chat for a caller
whose plan limits nothing and for one with every kind of limit, in turns; and ten times as many requests as the platform
can answer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import uvloop
from devstack.errors import DevstackError

from loadtest.bench import LIMITED_EDGE, MESSAGES
from loadtest.figures import percentile
from loadtest.limit_checks import Checks, measure_checks
from loadtest.limited_caller import PLAN, limited_env
from loadtest.meters import cpu_seconds
from loadtest.overload import Load, Pool, closed_loop, open_loop
from loadtest.platform_stack import Stack, whole_platform
from loadtest.report import columns
from loadtest.wire import chat_request

WARM_UP = 20
SLOTS = 8
CROWD = 10


@dataclass(frozen=True, slots=True)
class Added:
    """Times to the first token, in ms, of requests one after the other, and the edge's CPU time for each."""

    what: str
    requests: int
    p50_ms: float
    p95_ms: float
    edge_cpu_ms: float


@dataclass(frozen=True, slots=True)
class Results:
    """All that was measured."""

    checks: Sequence[Checks]
    added: Sequence[Added]
    loads: Sequence[Load]


async def measure(*, asked: int, requests: int, seconds: float) -> Results:
    """Start platforms and measure everything once."""
    async with whole_platform({"ttft_ms": 20, "token_ms": 0, "tokens": 4, "queue": 10_000}) as stack:
        _say("checks")
        checks = [await measure_checks(stack.redis_url, at_once, asked) for at_once in (1, 16)]
        _say("time to the first token")
        added = await _measure_added(stack, requests)
    _say("more than there is room for")
    capacity = {"DORMOUSE_RUN_CAPACITY": str(SLOTS), "DORMOUSE_RUN_QUEUE": str(SLOTS)}
    pace = {"ttft_ms": 50, "token_ms": 10, "tokens": 32, "slots": SLOTS, "queue": 10_000}
    async with whole_platform(pace, edge_env=capacity) as stack:
        loads = await _measure_loads(stack, seconds)
    return Results(checks, added, loads)


async def _measure_added(stack: Stack, requests: int) -> list[Added]:
    """The same requests in turns, so that whatever else the machine does hits both."""
    await stack.start_edge(LIMITED_EDGE, **limited_env(stack.folder))
    pools = {
        "nothing limited": _pool(stack, "edge", stack.credentials.api_key),
        "every limit": _pool(stack, LIMITED_EDGE, await stack.add_key(PLAN)),
    }
    pids = dict(zip(pools, (stack.pids["edge"], stack.pids[LIMITED_EDGE]), strict=True))
    for _ in range(WARM_UP):
        for pool in pools.values():
            await pool.ask()
    times: dict[str, list[float]] = {what: [] for what in pools}
    cpu = {what: -cpu_seconds(pid) for what, pid in pids.items()}
    for _ in range(requests):
        for what, pool in pools.items():
            exchange = await pool.ask()
            if not exchange.is_complete:
                raise RuntimeError(f"{what}: an answer was lost (status {exchange.status})")
            times[what].append(1000 * (exchange.first_at - exchange.sent_at))
    for what, pool in pools.items():
        cpu[what] += cpu_seconds(pids[what])
        pool.close()
    return [
        Added(what, requests, percentile(each, 0.5), percentile(each, 0.95), 1000 * cpu[what] / requests)
        for what, each in times.items()
    ]


async def _measure_loads(stack: Stack, seconds: float) -> list[Load]:
    pool = _pool(stack, "edge", stack.credentials.api_key)
    await closed_loop("warm-up", pool, SLOTS, 2)
    peak = await closed_loop("as many as there is room for", pool, SLOTS, seconds)
    await asyncio.sleep(1)
    crowd = await open_loop(f"{CROWD} times as many", pool, CROWD * peak.goodput_per_s, seconds)
    pool.close()
    return [peak, crowd]


def _pool(stack: Stack, edge: str, key: str) -> Pool:
    host, _, port = stack.addresses[edge].rpartition(":")
    body = {"model": "chat", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"Authorization": f"Bearer {key}"}
    return Pool(host, int(port), chat_request(host, "/v1/chat/completions", body, headers))


def table(results: Results) -> str:
    """For people."""
    checks = [["asking for six windows", "asked", "p50 ms", "p99 ms", "script ms", "per s"]]
    checks += [
        [f"{one.at_once} at once", str(one.asked), f"{one.p50_ms:.3f}", f"{one.p99_ms:.3f}", f"{one.script_ms:.3f}",
         f"{one.per_s:,.0f}"]
        for one in results.checks
    ]  # fmt: skip
    plain = results.added[0]
    added = [["time to the first token", "requests", "p50 ms", "added", "p95 ms", "added", "edge CPU ms", "added"]]
    added += [
        [one.what, str(one.requests), f"{one.p50_ms:.2f}", f"{one.p50_ms - plain.p50_ms:+.2f}", f"{one.p95_ms:.2f}",
         f"{one.p95_ms - plain.p95_ms:+.2f}", f"{one.edge_cpu_ms:.2f}", f"{one.edge_cpu_ms - plain.edge_cpu_ms:+.2f}"]
        for one in results.added
    ]  # fmt: skip
    peak = results.loads[0].goodput_per_s
    loads = [
        ["requests", "per s", "complete per s", "of peak", "refused", "failed", "ttft p50", "p99", "whole p50",
         "refusal p50 ms", "p99"]
    ]  # fmt: skip
    loads += [
        [one.name, f"{one.offered_per_s:.0f}", f"{one.goodput_per_s:.1f}", f"{one.goodput_per_s / peak:.1%}",
         str(one.refused), str(one.failed), f"{one.ttft_p50_ms:.0f}", f"{one.ttft_p99_ms:.0f}",
         f"{one.whole_p50_ms:.0f}", f"{one.refusal_p50_ms:.1f}", f"{one.refusal_p99_ms:.1f}"]
        for one in results.loads
    ]  # fmt: skip
    return "\n\n".join([columns(checks), columns(added), columns(loads)])


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run it; 1 when the platform does not start or an answer was lost."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.limits", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--json", type=Path, default=Path(".dormouse/limits.json"), metavar="PATH")
    arguments = parser.parse_args()
    sizes = (1_000, 50, 3.0) if arguments.quick else (20_000, 500, 12.0)
    asked, requests, seconds = sizes
    try:
        results = uvloop.run(measure(asked=asked, requests=requests, seconds=seconds))
    except (DevstackError, RuntimeError, OSError) as error:
        print(f"limits: {error}", file=sys.stderr)
        return 1
    print(table(results))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_bytes(orjson.dumps(asdict(results), option=orjson.OPT_INDENT_2))
    print(f"\nJSON: {arguments.json}")
    return 1 if any(load.failed for load in results.loads) else 0


if __name__ == "__main__":
    sys.exit(main())
