"""Capacity on paper: what so many users need, from what a stream and a token cost. python -m loadtest.capacity"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MODEL = Path(__file__).parent / "capacity_model.yaml"
PRICES = Path(__file__).parent.parent / "terraform" / "cost" / "prices.yaml"
USERS = (100, 10_000, 1_000_000)
PARTS = ("edge", "agent_fn")
LEFT_OUT = """
- **One cell.** A Redis serves the logs of one installation, with one core for commands. Where the table wants more
  than one core or a hundred GiB of it, the answer is several installations, each with databases of its own and
  users by tenant, and not a larger number in a chart. At a million users that is certain.
- **Tools and documents.** An agent with tools makes two to four model calls for an answer; count its tokens, not
  its answers. Searches and ingestion are in [performance](performance.md).
- **Postgres, traffic, control plane**: [what an environment costs](cost.md).
- **The GPU** is by far the most of it, and its figures are assumed, not measured: a simulated GPU stands in wherever
  this repository measures. An L4 reads the 5 GB of such a model 60 times a second, which bounds one stream; eight at
  once get 25 tokens/s each. A larger GPU, a smaller model or an engine that batches more of them change the bill by a
  factor of ten. Measure yours (`breakpoint` against your own GPU) before anything hangs on it.
- **Waiting.** Utilisation leaves room for chance, not for a morning on which everybody comes at nine; `burst` and
  `breakpoint` of the [load tests](guides/load-tests.md) tell what happens then.
"""


@dataclass(frozen=True, slots=True)
class Need:
    """What so many users need at their busiest, and what that costs."""

    users: int
    streams: float
    tokens_per_s: float
    runs_per_s: float
    cores: Mapping[str, float]
    replicas: Mapping[str, int]
    bound_by: Mapping[str, str]
    redis_gib: float
    general_nodes: int
    gpu_nodes: int
    dollars_busy: float
    dollars_month: float


def need(users: int, model: Mapping[str, Any], prices: Mapping[str, Any]) -> Need:
    """All from the model; nothing is measured here."""
    measured, assumed, nodes = model["measured"], model["assumed"], model["nodes"]
    streams = users * assumed["active_share"]
    tokens = streams * assumed["tokens_per_s_per_stream"]
    runs = tokens / assumed["tokens_per_answer"]
    cores = {
        part: (tokens * measured["cpu_us_per_token"][part] / 1e6 + runs * measured["cpu_ms_per_run"][part] / 1e3)
        / assumed["utilisation"]
        for part in (*PARTS, "redis")
    }
    replicas, bound_by = {}, {}
    for part in PARTS:
        room = assumed["mib_of_a_pod"][part] - measured["mib_at_rest"][part]
        wants = {
            "CPU": cores[part],  # one event loop, one core
            "memory": streams * measured["kib_per_waiting_stream"][part] / 1024 / room,
            "streams of a pod": streams / assumed["streams_of_a_pod"][part],
        }
        wants["may lose one"] = 2 if part == "edge" else 0
        bound_by[part] = max(wants, key=lambda each: wants[each])
        replicas[part] = max(1, math.ceil(max(wants.values())))
    redis_gib = tokens * assumed["log_bytes_per_token"] * assumed["log_hours"] * 3600 / 2**30
    memory_gib = sum(replicas[part] * assumed["mib_of_a_pod"][part] for part in PARTS) / 1024
    general = nodes["general"]
    by_cpu = (cores["edge"] + cores["agent_fn"]) / (general["vcpu"] * general["usable"])
    by_memory = memory_gib / (general["gib"] * general["usable"])
    general_nodes = max(2, math.ceil(max(by_cpu, by_memory)))
    gpus = {
        "tokens": round(tokens / (assumed["gpu_tokens_per_s"] * assumed["gpu_utilisation"]), 6),
        "streams at once": round(streams / (assumed["gpu_streams"] * assumed["gpu_utilisation"]), 6),
    }
    bound_by["GPU"] = max(gpus, key=lambda each: gpus[each])
    gpu_nodes = max(1, math.ceil(max(gpus.values()) / nodes["gpu"]["gpus"]))
    hourly = prices["hourly"]["instances"]
    base = 2 * hourly[general["type"]]
    busy = general_nodes * hourly[general["type"]] + gpu_nodes * hourly[nodes["gpu"]["type"]]
    hours, share = assumed["hours_a_month"], assumed["busy_share"]
    return Need(
        users, streams, tokens, runs, cores, replicas, bound_by, redis_gib, general_nodes, gpu_nodes,
        busy * hours, (busy * share + base * (1 - share)) * hours,
    )  # fmt: skip


def page(model: Mapping[str, Any], prices: Mapping[str, Any], users: Sequence[int] = USERS) -> str:
    """docs/capacity.md."""
    needs = [need(each, model, prices) for each in users]
    assumed = model["assumed"]
    rows: list[tuple[str, list[str]]] = [
        ("streams at a moment", [f"{n.streams:,.0f}" for n in needs]),
        ("runs per second", [f"{n.runs_per_s:,.1f}" for n in needs]),
        ("tokens per second", [f"{n.tokens_per_s:,.0f}" for n in needs]),
    ]
    for part in PARTS:
        rows.append((f"cores of {part}", [f"{n.cores[part]:,.1f}" for n in needs]))
        rows.append(
            (f"replicas of {part} (what bounds them)", [f"{n.replicas[part]:,} ({n.bound_by[part]})" for n in needs])
        )
    rows += [
        ("cores of Redis", [f"{n.cores['redis']:,.2f}" for n in needs]),
        ("memory of Redis, for an hour of logs", [f"{n.redis_gib:,.1f} GiB" for n in needs]),
        (f"general nodes ({model['nodes']['general']['type']})", [f"{n.general_nodes:,}" for n in needs]),
        (
            f"GPU nodes ({model['nodes']['gpu']['type']}; what bounds them)",
            [f"{n.gpu_nodes:,} ({n.bound_by['GPU']})" for n in needs],
        ),
        ("nodes, all month at this load", [f"{n.dollars_busy:,.0f} $" for n in needs]),
        (
            f"nodes, {assumed['busy_share']:.0%} of the month, asleep otherwise",
            [f"{n.dollars_month:,.0f} $" for n in needs],
        ),
        ("of which a user, a month", [f"{n.dollars_month / n.users:,.2f} $" for n in needs]),
    ]
    lines = [
        "# Capacity on paper",
        "",
        "Made by `make capacity` from [what was measured and assumed](../loadtest/capacity_model.yaml) and",
        "[list prices](../terraform/cost/prices.yaml). Edit those, not this page.",
        "`python -m loadtest.capacity --users 5000` answers for another number, `--gpu-tokens-per-s` and",
        "`--gpu-streams` for another GPU.",
        "",
        "| users who are there | " + " | ".join(f"{n.users:,}" for n in needs) + " |",
        "|---|" + "---:|" * len(needs),
        *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows),
        "",
        "## What it stands on",
        "",
        *_bullets("Measured", model["measured"]),
        *_bullets("Assumed", assumed),
        "",
        "## What it leaves out",
        "",
        *LEFT_OUT.strip().splitlines(),
    ]
    return "\n".join(lines) + "\n"


def _bullets(title: str, values: Mapping[str, Any]) -> list[str]:
    def text(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name} {each}" for name, each in value.items())
        return str(value)

    return [f"- {title}: {name.replace('_', ' ')}: {text(value)}" for name, value in values.items()]


def main() -> int:
    """Print the page."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=list(USERS))
    parser.add_argument("--gpu-tokens-per-s", type=float, help="of a whole GPU, with batching")
    parser.add_argument("--gpu-streams", type=float, help="at once on a GPU")
    parser.add_argument("--active-share", type=float, help="of the users that are there")
    arguments = parser.parse_args()
    model = yaml.safe_load(MODEL.read_text())
    for name in ("gpu_tokens_per_s", "gpu_streams", "active_share"):
        if (value := getattr(arguments, name)) is not None:
            model["assumed"][name] = value
    sys.stdout.write(page(model, yaml.safe_load(PRICES.read_text()), arguments.users))
    return 0


if __name__ == "__main__":
    sys.exit(main())
