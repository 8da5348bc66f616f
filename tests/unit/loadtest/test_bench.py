"""The generator's process against a real model server, and a benchmark in small."""

from __future__ import annotations

import json
import os
import sys

import httpx
import pytest
from devstack.model_server.prose import simulated_text

from loadtest.bench import AT_ONCE, SPREAD, Settings, benchmark, straight_plan
from loadtest.driver import Driver
from loadtest.platform_stack import Stack, model_server_only
from loadtest.report import table

OPTIONS = {"ttft_ms": 5.0, "token_ms": 1.0, "tokens": 8.0}


async def fault(stack: Stack, **values: object) -> None:
    async with httpx.AsyncClient(base_url=f"http://{stack.addresses['model server']}") as http:
        (await http.post("/_sim/faults", json=values)).raise_for_status()


async def test_every_stream_of_a_round_is_read_to_its_end_and_broken_ones_are_lost() -> None:
    async with model_server_only(OPTIONS) as stack:
        plan = straight_plan(stack, streams=4, repeats=2)
        async with Driver.started(plan, stack.pids) as driver:
            whole = await driver.round()
            await fault(stack, kind="reset", at_token=3)
            await fault(stack, kind="truncate", at_token=3)
            await fault(stack, kind="busy")
            broken = await driver.round()
            again = await driver.round()
    assert [sample.text for sample in whole.samples] == [simulated_text(8)] * 8
    assert whole.tokens == sum(sample.pieces for sample in whole.samples) == 64
    assert all(0.004 < sample.ttft_s < sample.whole_s < 1 for sample in whole.samples)
    assert set(whole.cpu_s) == {"model server", "load generator"}
    assert all(0 < seconds < 1 for seconds in whole.cpu_s.values())
    reasons = " ".join(sample.lost for sample in broken.samples)
    for reason in ("connection", "no closing line", "HTTP 503"):
        assert reason in reasons
    assert not [sample for sample in again.samples if sample.lost]


async def test_a_small_benchmark_of_the_model_server_alone_gives_a_table_and_json() -> None:
    settings = Settings(levels=(1, 4), rounds=1, tokens=8, ttft_ms=5, token_ms=1, straight_only=True)
    report = await benchmark(settings)
    assert [(found.streams, found.start, found.lost) for found in report.figures] == [
        (1, AT_ONCE, 0),
        (4, AT_ONCE, 0),
        (4, SPREAD, 0),
    ]
    assert json.loads(json.dumps(report.as_json()))["figures"][0]["tokens"] == 48
    assert "straight" in table(report)


async def test_nothing_of_a_measurement_is_left_afterwards() -> None:
    async with model_server_only(OPTIONS) as stack:
        process = stack.processes["model server"]
        assert stack.folder.name in os.listdir(stack.folder.parent)  # noqa: PTH208
    assert process.returncode == 0
    assert stack.folder.name not in os.listdir(stack.folder.parent)  # noqa: PTH208


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's CPU clock")
async def test_cpu_is_read_finer_than_a_tick() -> None:
    async with model_server_only(OPTIONS) as stack, Driver.started(straight_plan(stack), stack.pids) as driver:
        seconds = (await driver.round()).cpu_s["model server"]
    assert seconds % 0.01 != 0
