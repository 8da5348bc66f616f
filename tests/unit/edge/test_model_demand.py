"""What a pool of GPUs is woken by, and how often runs look for models that are not there."""

import asyncio

import pytest
from dormouse_runtime.errors import MODEL_AWAY, DormouseError
from edge.metrics import MODEL_DEMAND
from edge.model_demand import HOLD_S, ModelDemand
from edge.runs import model_wait
from edge.runs.model_wait import ModelWait
from prometheus_client import generate_latest


def test_demand_is_what_is_under_way_and_one_for_a_while_after_it() -> None:
    now, runs = 0.0, 0
    demand = ModelDemand(lambda: now)
    demand.publish(lambda: runs)
    assert demand.value() == 0, "nobody has asked for anything"
    runs = 2
    with demand.during():
        assert demand.value() == 3
        assert b"\ndormouse_edge_model_demand 3.0\n" in generate_latest()
    runs = 0
    now += HOLD_S - 1
    assert demand.value() == 1, "who looks every few seconds sees what took less"
    demand.ended()
    now += HOLD_S - 1
    assert demand.value() == 1
    now += 1
    assert demand.value() == 0
    MODEL_DEMAND.set_function(lambda: 0)


async def test_many_that_wait_look_no_more_often_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_wait, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(model_wait, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(model_wait, "PER_RUN_S", 0.005)
    models, looks = ModelWait(60), 0
    assert models.is_for(DormouseError(41, "away", details=MODEL_AWAY))
    assert not models.is_for(DormouseError(41, "it fails"))
    assert not ModelWait(0).is_for(DormouseError(41, "away", details=MODEL_AWAY))

    async def look() -> None:
        nonlocal looks
        tries = 0
        while True:
            await models.pause(0, tries)
            tries, looks = tries + 1, looks + 1

    tasks = [asyncio.create_task(look()) for _ in range(100)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 20 < looks < 250, "200 a second, whoever waits; on their own they would have looked 2500 times"
