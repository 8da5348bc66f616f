"""Capacity on paper: the page is what the command makes, and its arithmetic holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from loadtest import capacity

MODEL = yaml.safe_load(capacity.MODEL.read_text())
PRICES = yaml.safe_load(capacity.PRICES.read_text())


def test_the_page_is_the_one_that_the_command_makes() -> None:
    page = Path(__file__).parents[3] / "docs" / "capacity.md"
    assert page.read_text() == capacity.page(MODEL, PRICES), "run `make capacity`"


def test_a_hundred_times_the_users_need_a_hundred_times_the_work() -> None:
    few, many = (capacity.need(users, MODEL, PRICES) for users in (10_000, 1_000_000))
    for part in ("edge", "agent_fn", "redis"):
        assert many.cores[part] == pytest.approx(100 * few.cores[part])
    assert many.gpu_nodes <= 100 * few.gpu_nodes
    assert many.dollars_busy / many.users <= few.dollars_busy / few.users


def test_a_gpu_is_full_of_tokens_or_of_streams() -> None:
    fast, wide = (
        {**MODEL, "assumed": {**MODEL["assumed"], **of}} for of in ({"gpu_tokens_per_s": 1500}, {"gpu_streams": 64})
    )
    by_streams, by_tokens = (capacity.need(10_000, model, PRICES) for model in (fast, wide))
    assert (by_streams.bound_by["GPU"], by_tokens.bound_by["GPU"]) == ("streams at once", "tokens")


def test_pods_are_those_of_the_chart() -> None:
    values = yaml.safe_load((Path(__file__).parents[3] / "charts" / "dormouse" / "values.yaml").read_text())
    assumed, agent = MODEL["assumed"], values["functions"]["agent"]
    assert assumed["streams_of_a_pod"]["agent_fn"] == agent["concurrency"]
    limits = {"edge": values["edge"]["resources"], "agent_fn": agent["resources"]}
    assert {name: f"{mib}Mi" for name, mib in assumed["mib_of_a_pod"].items()} == {
        name: each["limits"]["memory"] for name, each in limits.items()
    }


def test_a_few_users_still_have_an_edge_that_may_lose_a_replica() -> None:
    one = capacity.need(1, MODEL, PRICES)
    assert one.replicas["edge"] == 2
    assert one.gpu_nodes == 1
