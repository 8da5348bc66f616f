"""The benchmark: the same streamed chat straight to the model server and through Dormouse. python -m loadtest.bench"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
from devstack.errors import DevstackError
from devstack.model_server.prose import simulated_text

from loadtest.cold_start import bare_server, measure_cold_start
from loadtest.driver import Driver
from loadtest.figures import Figures, summarise
from loadtest.generator import Plan
from loadtest.idle_streams import measure_idle_streams
from loadtest.limited_caller import PLAN, limited_env
from loadtest.meters import resident_bytes
from loadtest.platform_stack import MODEL, Stack, model_server_only, whole_platform
from loadtest.report import STRAIGHT, Report, table
from loadtest.wire import chat_request

MESSAGES = [{"role": "user", "content": "Explain in a few sentences how a dormouse sleeps through the winter."}]
AT_ONCE, SPREAD = "at once", "spread"
LIMITED = "through, limited"
LIMITED_EDGE = "limited edge"
LIMITED_STREAMS = 16
"""Where more streams are open, what a limit costs is lost among them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One run of the benchmark."""

    levels: tuple[int, ...] = (1, 16, 64, 256)
    rounds: int = 5
    tokens: int = 64
    ttft_ms: float = 20.0
    token_ms: float = 10.0
    starts: tuple[str, ...] = (AT_ONCE, SPREAD)
    models: tuple[str, ...] = ("chat",)
    idle: int = 500
    cold_starts: int = 5
    straight_only: bool = False

    @property
    def stream_s(self) -> float:
        """The length of an undisturbed stream in seconds."""
        return (self.ttft_ms + self.tokens * self.token_ms) / 1000

    @property
    def simulation(self) -> dict[str, float]:
        """Options of the model server."""
        return {"ttft_ms": self.ttft_ms, "token_ms": self.token_ms, "tokens": self.tokens, "queue": 10_000}


async def benchmark(settings: Settings) -> Report:
    """Measure everything once."""
    report = Report({name: getattr(settings, name) for name in Settings.__dataclass_fields__})
    started = model_server_only if settings.straight_only else whole_platform
    _say("starting " + ("the model server" if settings.straight_only else "the platform"))
    async with started(settings.simulation) as stack:
        plans = {STRAIGHT: straight_plan(stack)}
        if not settings.straight_only:
            plans |= {f"through, {model}": platform_plan(stack, model) for model in settings.models}
            plans[LIMITED] = await limited_plan(stack, settings.models[0])
        await _warm_up(stack, plans)
        if not settings.straight_only:
            await _measure_memory(report, settings, stack, plans)
        for streams in settings.levels:
            for start, (way, plan) in itertools.product(settings.starts, plans.items()):
                if way == LIMITED and (streams > LIMITED_STREAMS or start == SPREAD):
                    continue
                if streams > 1 or start == AT_ONCE:
                    _say(f"{streams} streams, {start}, {way}")
                    report.figures.append(await measure(settings, stack, way, start, plan, streams))
        if not settings.straight_only:
            report.resident_after_mb = _resident(stack)
            _say("cold starts")
            report.cold_starts += [
                await measure_cold_start("bare grpcio", bare_server, settings.cold_starts),
                await measure_cold_start("agent_fn", stack.agent_fn, settings.cold_starts),
            ]
    return report


async def measure(settings: Settings, stack: Stack, way: str, start: str, plan: Plan, streams: int) -> Figures:
    """One way at one number of streams; few streams are repeated within a round, for enough samples."""
    if start == SPREAD:
        sized = replace(plan, streams=streams, repeats=2, spread_s=settings.stream_s)
    else:
        sized = replace(plan, streams=streams, repeats=max(1, 6 // streams))
    async with Driver.started(sized, _measured(stack, way)) as driver:
        await driver.round()
        rounds = [await driver.round() for _ in range(settings.rounds)]
    return summarise(way, start, streams, rounds, text=simulated_text(settings.tokens))


async def _warm_up(stack: Stack, plans: Mapping[str, Plan]) -> None:
    """Code paths, pools and connections are there before anything is measured."""
    for way, plan in plans.items():
        async with Driver.started(replace(plan, streams=8, repeats=2), _measured(stack, way)) as driver:
            samples = (await driver.round()).samples
        if lost := {sample.lost for sample in samples if sample.lost}:
            raise RuntimeError(f"{way}: streams are lost already in the warm-up: {'; '.join(sorted(lost))}")


async def _measure_memory(report: Report, settings: Settings, stack: Stack, plans: Mapping[str, Plan]) -> None:
    report.resident_mb = _resident(stack)
    if settings.idle:
        _say(f"{settings.idle} idle streams")
        plan = replace(plans[f"through, {settings.models[0]}"], streams=settings.idle)
        pids = {name: stack.pids[name] for name in ("edge", "agent_fn")}
        try:
            report.idle_streams = await measure_idle_streams(plan, pids, f"http://{stack.addresses['model server']}")
        except RuntimeError as error:
            report.missing.append(f"memory of idle streams: {error}")


def straight_plan(stack: Stack, streams: int = 1, repeats: int = 1) -> Plan:
    """The chat to the model server."""
    host, _, port = stack.addresses["model server"].rpartition(":")
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    return Plan(host, int(port), "ollama", chat_request(host, "/api/chat", body, {}).decode(), streams, repeats)


def platform_plan(stack: Stack, model: str, edge: str = "edge", api_key: str = "") -> Plan:
    """The chat through an edge, for a caller whom nothing limits unless another key is given."""
    host, _, port = stack.addresses[edge].rpartition(":")
    body = {"model": model, "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"Authorization": f"Bearer {api_key or stack.credentials.api_key}"}
    return Plan(host, int(port), "openai", chat_request(host, "/v1/chat/completions", body, headers).decode(), 1)


async def limited_plan(stack: Stack, model: str) -> Plan:
    """The chat through another edge, of a caller who is limited in every way."""
    await stack.start_edge(LIMITED_EDGE, **limited_env(stack.folder))
    return platform_plan(stack, model, LIMITED_EDGE, await stack.add_key(PLAN))


def _measured(stack: Stack, way: str) -> dict[str, int]:
    pids = stack.pids
    limited = pids.pop(LIMITED_EDGE, None)
    if way == LIMITED and limited is not None:
        pids["edge"] = limited
    return {"model server": pids["model server"]} if way == STRAIGHT else pids


def _resident(stack: Stack) -> dict[str, float]:
    return {name: resident_bytes(pid) / 2**20 for name, pid in stack.pids.items()}


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def _parse(argv: Sequence[str]) -> tuple[Settings, Path]:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few streams, one round")
    parser.add_argument("--straight-only", action="store_true", help="measure the model server and the generator alone")
    parser.add_argument("--streams", type=int, nargs="+", metavar="N", help="numbers of streams (1 16 64 256)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds for each (5)")
    parser.add_argument("--starts", nargs="+", choices=(AT_ONCE, SPREAD), help="how a round begins (both)")
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help=f"agents or models to talk to (chat; another: {MODEL})"
    )
    parser.add_argument(
        "--json", type=Path, default=Path(".dormouse/bench.json"), metavar="PATH", help="where the JSON goes"
    )
    arguments = parser.parse_args(argv)
    quick = {"levels": (1, 8), "rounds": 1, "tokens": 16, "idle": 20, "cold_starts": 1} if arguments.quick else {}
    chosen: dict[str, object] = {"levels": arguments.streams, "rounds": arguments.rounds, "models": arguments.models}
    chosen["starts"] = arguments.starts
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items() if value}
    settings = Settings(**{**quick, **chosen, "straight_only": arguments.straight_only})
    return settings, arguments.json


def main() -> int:
    """Run it; 1 when a stream was lost or the platform does not start."""
    settings, path = _parse(sys.argv[1:])
    try:
        report = asyncio.run(benchmark(settings))
    except (DevstackError, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(report))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
    print(f"\nJSON: {path}")
    return 1 if any(figures.lost for figures in report.figures) else 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
