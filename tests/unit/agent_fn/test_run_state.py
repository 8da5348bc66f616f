"""The state that a run shows is built of its patches again, just as it was."""

from typing import Any

import orjson
import pytest
from agent_fn.agents.run_state import RunState


def test_changes_are_told_as_patches_that_build_the_same_state() -> None:
    state, steps = RunState(), [{"tool": "look"}]
    patches = [
        state.set("/plan", {"round": 1, "steps": steps}),
        state.set("/plan/steps/0", {"tool": "find"}),
        state.append("/plan/steps", {"tool": "a/b~c"}),
        state.set_all({"/plan/round": 2, "/verdict": None}),
        state.remove("/verdict"),
    ]
    assert state.value == {"plan": {"round": 2, "steps": [{"tool": "find"}, {"tool": "a/b~c"}]}}
    assert RunState.from_log("", [patch.patch_json for patch in patches]).value == state.value
    assert orjson.loads(patches[1].patch_json)[0]["op"] == "replace"
    steps.append({"tool": "later"})
    assert len(state.get("/plan/steps")) == 2, "it holds no caller's list"


def test_a_snapshot_comes_before_its_patches() -> None:
    state = RunState()
    snapshot = state.replace({"a": 1})
    patch = state.set("/b~1c", [1])
    assert RunState.from_log(snapshot.json, [patch.patch_json]).value == {"a": 1, "b/c": [1]}


@pytest.mark.parametrize(
    ("path", "value"),
    [("", {"a": [{"b": 1}]}), ("/a/0/b", 1), ("/a/1", None), ("/x", None), ("/a/b", None), ("/a/0/b/c", None)],
)
def test_what_stands_somewhere_can_be_read(path: str, value: Any) -> None:
    assert RunState({"a": [{"b": 1}]}).get(path) == value


def test_a_change_that_does_not_fit_changes_nothing() -> None:
    state = RunState({"a": 1})
    with pytest.raises(ValueError, match="patch does not fit"):
        state.set("/x/y", 1)
    with pytest.raises(ValueError, match="patch does not fit"):
        state.remove("/x")
    with pytest.raises(ValueError, match="patch does not fit"):
        state.append("/a", 1)
    assert state.value == {"a": 1}


@pytest.mark.parametrize(("snapshot", "patches"), [("[]", []), ("{", []), ("", ['[{"op":"add","path":"","value":1}]'])])
def test_a_log_that_makes_no_state_is_refused(snapshot: str, patches: list[str]) -> None:
    with pytest.raises(ValueError, match=r"JSON|expected"):
        RunState.from_log(snapshot, patches)
