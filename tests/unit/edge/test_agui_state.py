"""The state that AG-UI clients share: every patch applies to what they hold, and leads to what the run keeps."""

from typing import Any

import orjson
import pytest
from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.agent.v1.agent_pb2 import Artifact
from edge.agui.encoder import AguiEncoder
from edge.agui.shared_state import SharedState, artifact_value

from tests.agui import AguiChecker, parse_stream
from tests.unit.edge.events import finished, log, started

NOTE = Artifact(id="art_1", version=2, title="Note", media_type="text/markdown", content="# A\nb")


def told(*payloads: Any, given: Any = None, artifacts: tuple[Artifact, ...] = ()) -> tuple[list[str], Any]:
    """The kinds of state events, and what a client then holds."""
    state = SharedState(given, {artifact.id: artifact_value(artifact) for artifact in artifacts})
    encoder = AguiEncoder(thread_id="T", run_id="R", history=list, state=state)
    checker, kinds = AguiChecker(given), []
    for event in log(started("t"), *payloads, finished()):
        for shown in parse_stream(encoder.encode([event])):
            checker.feed(shown)
            kinds.append(shown["type"])
    checker.finish()
    return [kind for kind in kinds if kind.startswith("STATE")], checker.state


def delta(*steps: dict[str, Any]) -> pb.StateDelta:
    return pb.StateDelta(patch_json=orjson.dumps(steps).decode())


def draft(artifact_id: str, version: int, *steps: dict[str, Any]) -> pb.ArtifactDelta:
    return pb.ArtifactDelta(artifact_id=artifact_id, version=version, patch_json=orjson.dumps(steps).decode())


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def test_a_run_that_keeps_no_state_says_nothing_of_it() -> None:
    assert told(given={"mine": 1}) == ([], {"mine": 1})


def test_the_first_change_comes_behind_a_snapshot_and_the_clients_own_part_stays() -> None:
    kinds, state = told(delta(add("/plan", [])), delta(add("/plan/-", "look")), given={"mine": [1e400, 10**400]})
    assert kinds == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_DELTA"]
    assert state == {"mine": [None, 10**400], "plan": ["look"], "artifacts": {}}


@pytest.mark.parametrize("given", [None, 7, "x", [1], {}, {"artifacts": {}}])
def test_a_clients_state_that_is_no_object_gives_way(given: Any) -> None:
    assert told(pb.StateSnapshot(json='{"a":1}'), given=given) == (["STATE_SNAPSHOT"], {"a": 1, "artifacts": {}})


def test_what_the_agent_takes_away_is_gone_though_the_client_held_it() -> None:
    kinds, state = told(
        pb.StateSnapshot(json='{"a":1,"b":2}'),
        delta({"op": "remove", "path": "/a"}),
        pb.StateSnapshot(json='{"c":3}'),
        given={"a": 0, "b": 0, "mine": 1},
    )
    assert kinds == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_SNAPSHOT"]
    assert state == {"mine": 1, "c": 3, "artifacts": {}}


def test_a_whole_new_state_is_a_snapshot() -> None:
    kinds, state = told(pb.StateSnapshot(json='{"a":1}'), delta({"op": "replace", "path": "", "value": {"b": 2}}))
    assert kinds == ["STATE_SNAPSHOT", "STATE_SNAPSHOT"]
    assert state == {"b": 2, "artifacts": {}}


def test_a_patch_that_does_not_fit_is_not_passed_on() -> None:
    kinds, state = told(delta(add("/a/b/c", 1)), delta({"op": "replace", "path": "", "value": 5}), delta(add("/a", 1)))
    assert state["artifacts"] == {}
    assert "STATE_DELTA" not in kinds


def test_an_artifact_is_built_before_the_clients_eyes() -> None:
    whole = {"title": "T", "media_type": "text/plain", "lines": ["a"]}
    kinds, state = told(
        draft("art_9", 1, {"op": "add", "path": "", "value": whole}),
        draft("art_9", 1, add("/lines/-", "b")),
        pb.ArtifactSaved(artifact_id="art_9", version=1),
    )
    assert kinds == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_DELTA"]
    assert state == {"artifacts": {"art_9": {**whole, "lines": ["a", "b"], "version": 1}}}


def test_the_threads_artifacts_are_there_from_the_start_and_are_edited_in_place() -> None:
    kinds, state = told(
        draft("art_1", 3, {"op": "replace", "path": "/lines/1", "value": "c"}),
        draft("art_1", 3, {"op": "move", "from": "/lines/1", "path": "/lines/0"}),
        artifacts=(NOTE,),
    )
    assert kinds == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_DELTA"]
    assert state["artifacts"]["art_1"]["lines"] == ["c", "# A"]
    assert state["artifacts"]["art_1"]["version"] == 3


def test_what_a_run_had_written_before_the_artifacts_were_read_is_not_written_twice() -> None:
    kinds, state = told(
        draft("art_1", 2, add("/lines/-", "b")), draft("art_1", 3, add("/lines/-", "c")), artifacts=(NOTE,)
    )
    assert kinds == ["STATE_SNAPSHOT", "STATE_DELTA"]
    assert state["artifacts"]["art_1"]["lines"] == ["# A", "b", "c"]


def test_a_client_that_holds_the_artifacts_is_not_told_them_again() -> None:
    given = {"artifacts": {"art_1": artifact_value(NOTE)}}
    assert told(given=given, artifacts=(NOTE,)) == ([], given)
    assert told(given={"artifacts": {"art_0": {}}}) == (["STATE_SNAPSHOT"], {"artifacts": {}})


def test_an_edit_of_what_nobody_knows_is_not_passed_on() -> None:
    kinds, state = told(draft("art_7", 2, add("/lines/-", "b")))
    assert "STATE_DELTA" not in kinds
    assert state == {"artifacts": {}}
