"""Plans: what is built in, what an operator's file may say, and how a wrong one is refused."""

from pathlib import Path

import pytest
from edge.auth.scopes import Scope
from edge.limits.groups import Group, group_of
from edge.limits.plans import PlansError, Subject, load_plans
from edge.limits.rates import Rate

TEAM = """
plans:
  team:
    requests:
      models: {key: [60/min], user: [60/min, 1000/h], tenant: [10/s]}
    tokens_per_minute: {tenant: 500000}
    concurrent_runs: {user: 5}
    priority: 7
    queue_share: 0.25
"""


def test_a_free_plan_gives_ten_runs_a_minute_and_a_hundred_an_hour() -> None:
    free = load_plans(None).of("free")
    for subject in (Subject.KEY, Subject.USER):
        assert free.requests[Group.MODELS][subject] == (Rate(10, 60), Rate(100, 3600))


def test_an_unlimited_plan_limits_nothing() -> None:
    plan = load_plans(None).of("unlimited")
    assert (plan.requests, plan.tokens_per_minute, plan.concurrent_runs) == ({}, {}, {})


def test_a_plan_that_is_not_there_is_the_free_one() -> None:
    assert load_plans(None).of("platinum").name == "free"


def test_plans_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(TEAM)
    plan = load_plans(path).of("team")
    assert plan.requests[Group.MODELS][Subject.USER] == (Rate(60, 60), Rate(1000, 3600))
    assert (plan.tokens_per_minute, plan.concurrent_runs) == ({Subject.TENANT: 500_000}, {Subject.USER: 5})
    assert (plan.priority, plan.queue_share) == (7, 0.25)


def test_free_can_be_given_anew(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    path.write_text('{"plans": {"free": {"requests": {"models": {"key": ["3/d"]}}}}}')
    assert load_plans(path).of("free").requests == {Group.MODELS: {Subject.KEY: (Rate(3, 86400),)}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plans: {team: {requests: {modles: {}}}}", "plan `team`, requests.modles: wants 'models'"),
        ("plans: {team: {requests: {models: {keys: [1/s]}}}}", "plan `team`, requests.models.keys: wants 'key'"),
        ("plans: {team: {requests: {models: {key: ['60']}}}}", "plan `team`, requests.models.key[0]: wants a rate"),
        ("plans: {team: {requests: {models: {key: [0/s]}}}}", "at least 1"),
        ("plans: {team: {requests: {models: {key: [2000000/s]}}}}", "a million"),
        ("plans: {team: {concurrent_runs: {user: many}}}", "plan `team`, concurrent_runs.user: wants"),
        ("plans: {team: {queue_share: 2}}", "plan `team`, queue_share: wants"),
        ("plans: {team: {colour: red}}", "plan `team`, colour: is not a field"),
        ("plans: {team: {name: other}}", "plan `team`, name: is not a field"),
        ("plans: {team: 5}", "plan `team`: wants a mapping"),
        ("plans: {te am: {}}", "plan `te am`, name: wants"),
        ("plans: {unlimited: {}}", "plan `unlimited`: it is built in"),
        ("team: {}", "one mapping, `plans`"),
        ("plans: [", "wants YAML or JSON"),
    ],
)
def test_a_wrong_file_is_refused_with_the_plan_and_the_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(text)
    with pytest.raises(PlansError) as error:
        load_plans(path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("scope", "route", "method", "group"),
    [
        (Scope.RUNS, "/v1/chat/completions", "POST", Group.MODELS),
        (Scope.RUNS, "/v1/runs/{run_id}/resume", "POST", Group.MODELS),
        (Scope.RUNS, "/v1/runs/{run_id}/cancel", "POST", Group.OTHER),
        (Scope.RUNS_READ, "/v1/runs", "GET", Group.OTHER),
        (Scope.SEARCH, "/v1/search", "POST", Group.SEARCH),
        (Scope.FILES, "/v1/files", "POST", Group.FILES),
        (Scope.THREADS, "/v1/threads", "POST", Group.OTHER),
    ],
)
def test_a_route_counts_as_what_it_costs(scope: Scope, route: str, method: str, group: Group) -> None:
    assert group_of([scope], route, method) is group


@pytest.mark.parametrize("rate", [Rate(7, 1), Rate(13, 60), Rate(100_000, 60), Rate(1_000_000_000, 60), Rate(3, 86400)])
def test_a_rate_has_room_for_as_many_as_it_says_and_no_more(rate: Rate) -> None:
    assert rate.cost_us(rate.count) <= rate.capacity_us < rate.cost_us(rate.count + rate.count // 1000 + 1)
    assert rate.increment_us >= 1
    assert rate.capacity_us <= rate.period_s * 1_000_000
