"""What is made of the plans that models write."""

import random
from typing import Any

import pytest
from agent_fn.agents.plan_execute.plan import MOST_STEPS, Step, plan_schema, read_plan, single_step

TOOLS = ("math", "sql_query", "web_search")


def steps(*written: Any) -> list[Step]:
    plan = read_plan({"steps": list(written)}, TOOLS)
    assert plan is not None
    return list(plan.steps)


def wrote(identity: Any = "s1", task: str = "t", tool: Any = "math", depends_on: Any = ()) -> dict[str, Any]:
    return {"id": identity, "task": task, "tool": tool, "depends_on": depends_on}


def test_a_good_plan_stays_as_it_is() -> None:
    assert steps(wrote("s1", "a"), wrote("s2", "b", None), wrote("s3", "c", "web_search", ["s1", "s2"])) == [
        Step("s1", "a", "math"),
        Step("s2", "b", None),
        Step("s3", "c", "web_search", ("s1", "s2")),
    ]


@pytest.mark.parametrize(
    ("ids", "needs", "found"),
    [
        (["a", "b"], ["a"], ("s1",)),
        ([1, 2], [1], ("s1",)),
        ([1, 2], "1", ("s1",)),
        (["s2", "s1"], ["s2"], ("s1",)),
        (["x", "y"], ["s1"], ("s1",)),
        (["a", "b"], ["b"], ()),
        (["a", "b"], ["nobody", None, {}], ()),
        (["a", "b"], None, ()),
        ([None, None], ["1"], ("s1",)),
    ],
)
def test_dependencies_are_found_under_whatever_names_they_have(ids: list[Any], needs: Any, found: tuple[str]) -> None:
    first, second = steps(wrote(ids[0], "a"), wrote(ids[1], "b", "math", needs))
    assert (first.depends_on, second.depends_on) == ((), found)


def test_ids_that_occur_twice_are_told_apart() -> None:
    found = steps(wrote("s1", "a"), wrote("s1", "b"), wrote("s2", "c", "math", ["s1"]))
    assert [(step.id, step.depends_on) for step in found] == [("s1", ()), ("s2", ()), ("s3", ("s1",))]


def test_steps_that_occur_twice_become_one() -> None:
    found = steps(wrote("a", "look"), wrote("b", "look"), wrote("c", "add", "math", ["a", "b"]))
    assert found == [Step("s1", "look", "math"), Step("s2", "add", "math", ("s1",))]


@pytest.mark.parametrize(
    ("needs", "kept"),
    [
        ({"a": ["b"], "b": ["a"]}, {"s1": (), "s2": ("s1",)}),
        ({"a": ["c"], "b": ["a"], "c": ["b"]}, {"s1": (), "s2": ("s1",), "s3": ("s2",)}),
        ({"a": ["b"], "b": []}, {"s1": ("s2",), "s2": ()}),
        ({"a": [], "b": ["c"], "c": ["b", "a"]}, {"s1": (), "s2": (), "s3": ("s2", "s1")}),
    ],
)
def test_circles_are_opened(needs: dict[str, list[str]], kept: dict[str, tuple[str, ...]]) -> None:
    found = steps(*(wrote(name, name, "math", wanted) for name, wanted in needs.items()))
    assert {step.id: step.depends_on for step in found} == kept


def test_no_plan_waits_for_itself() -> None:
    chance = random.Random(3)
    for _ in range(300):
        names = [chance.choice("abcdefgh") for _ in range(chance.randrange(1, 12))]
        found = steps(
            *(
                wrote(name, str(place), "math", chance.sample(names, chance.randrange(len(names))))
                for place, name in enumerate(names)
            )
        )
        assert 1 <= len(found) <= MOST_STEPS
        done: set[str] = set()
        while len(done) < len(found):
            free = {step.id for step in found if done.issuperset(step.depends_on)}
            assert free - done, found
            done |= free


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("web_search", "web_search"),
        ("Web Search", "web_search"),
        ("web-search", "web_search"),
        ("functions.math", "math"),
        ({"name": "math", "arguments": {}}, "math"),
        (None, None),
        ("none", None),
        ("null", None),
        ("", None),
    ],
)
def test_tools_are_known_under_the_names_that_models_give_them(written: Any, known: str | None) -> None:
    plan = read_plan({"steps": [wrote(tool=written)]}, TOOLS)
    assert plan is not None
    assert (plan.steps[0].tool, plan.problems, plan.calls_tools) == (known, [], known is not None)


def test_a_tool_that_nobody_has_is_a_problem_and_the_step_goes_without() -> None:
    plan = read_plan({"steps": [wrote("x", tool="telepathy"), wrote("y", "u")]}, TOOLS)
    assert plan is not None
    assert plan.problems == ["Step x: there is no tool 'telepathy'."]
    assert [step.tool for step in plan.steps] == [None, "math"]


def test_a_plan_has_few_steps() -> None:
    found = steps(*(wrote(number, str(number), "math", [number - 1]) for number in range(1, 30)))
    assert len(found) == MOST_STEPS


@pytest.mark.parametrize(
    "written", [["look it up"], [{"description": "look it up"}], [{"task": "look\nit  up", "x": 1}]]
)
def test_steps_are_found_in_other_forms(written: list[Any]) -> None:
    assert steps(*written) == [Step("s1", "look it up", None)]


@pytest.mark.parametrize("value", [None, "x", 3, {}, {"steps": None}, {"steps": "x"}, {"steps": [3, {}, None, ""]}])
def test_what_is_no_plan_is_none(value: Any) -> None:
    assert read_plan(value, TOOLS) is None


def test_an_empty_plan_is_a_plan() -> None:
    plan = read_plan({"steps": []}, TOOLS)
    assert plan is not None
    assert (plan.steps, plan.calls_tools) == ([], False)


def test_a_task_is_no_novel() -> None:
    assert len(steps(wrote(task="x" * 5000))[0].task) == 500
    assert len(single_step("x" * 5000).steps[0].task) == 500


def test_the_schema_names_the_tools() -> None:
    properties = plan_schema(TOOLS)["properties"]["steps"]["items"]["properties"]
    assert properties["tool"]["enum"] == [*TOOLS, None]
