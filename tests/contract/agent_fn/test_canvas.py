"""The canvas agent on a real model server: documents in versions over the wire, and deaths in between."""

from typing import Any

import jsonpatch
import orjson
import pytest
from dormouse.agent.v1.agent_pb2 import Artifact, ThreadRef
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest

from tests.contract.agent_fn.caller import Caller, Event, kinds, recovery, request, text_of
from tests.contract.agent_fn.conftest import Tooled
from tests.contract.agent_fn.test_react_recovery import broken_off, ids

GIVEN = Artifact(id="art_given", version=3, title="Notes", media_type="text/markdown", content="# Notes\nold\n")
EDIT = {"name": "edit_artifact", "arguments": {"id": "art_given", "edits": [{"find": "old", "replace": "new"}]}}
CREATE = {"name": "create_artifact", "arguments": {"title": "Table", "media_type": "csv", "content": "a,b\n1,2"}}
INSERT = {
    "name": "edit_artifact",
    "arguments": {"id": "art_given", "edits": [{"first_line": 3, "last_line": 2, "replace": "more"}]},
}
SCRIPT: list[dict[str, Any]] = [
    {"tool_calls": [EDIT, {"name": "send", "arguments": {"text": "a"}}, CREATE], "results": 0, "times": 0},
    {"tool_calls": [INSERT], "content": "One more.", "results": 3, "times": 0},
    {"content": "Your notes are up to date.", "results": 4, "times": 0},
]


def edit(**fields: Any) -> ExecuteRequest:
    return request("Bring it up to date.", **{"agent_id": "canvas", "artifacts": [GIVEN], **fields})


def artifacts_of(events: list[Event]) -> dict[str, tuple[int, str]]:
    """Version and content of each artifact, as the edge makes them of their patches."""
    lines = GIVEN.content.split("\n")
    found = {"art_given": (3, {"title": GIVEN.title, "media_type": GIVEN.media_type, "lines": lines})}
    for event in events:
        if event.HasField("artifact_delta"):
            delta = event.artifact_delta
            version, held = found.get(delta.artifact_id, (0, None))
            assert delta.version == version + 1
            found[delta.artifact_id] = delta.version, jsonpatch.apply_patch(held, orjson.loads(delta.patch_json))
        elif event.HasField("artifact_saved"):
            assert found[event.artifact_saved.artifact_id][0] == event.artifact_saved.version
    return {name: (version, "\n".join(held["lines"])) for name, (version, held) in found.items()}


async def test_documents_are_written_and_changed(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(*SCRIPT)
    events = await user_of_tools.run(edit(thread=ThreadRef(thread_id="thread_1")))
    made = artifacts_of(events)
    assert made.pop("art_given") == (5, "# Notes\nnew\nmore\n")
    assert list(made.values()) == [(1, "a,b\n1,2")]
    assert text_of(events) == "One more.Your notes are up to date."
    state = await user_of_tools.state("thread_1")
    assert [message.id.partition(".")[2] for message in state.messages] == [
        *("i0", "m1", "m1.c1.result", "m1.c2.result", "m1.c3.result", "m2", "m2.c1.result", "m3")
    ]
    assert b"old" not in state.values_json.encode(), "documents are not the thread's to keep"


@pytest.mark.parametrize("responses", range(1, 16, 2))
async def test_from_every_point_it_comes_to_the_same_end(tooled: Tooled, user_of_tools: Caller, responses: int) -> None:
    await tooled.says(*SCRIPT)
    asked = edit(run_id=f"run_{responses}")
    told = await broken_off(user_of_tools, asked, responses)
    while told and told[-1].WhichOneof("event") == "run_finished":
        told.pop()
    asked.recovery.CopyFrom(recovery(told))
    log = told + await user_of_tools.run(asked)
    assert kinds(log)[-1] == "run_finished"
    made = artifacts_of(log)
    assert made.pop("art_given") == (5, "# Notes\nnew\nmore\n")
    assert list(made.values()) == [(1, "a,b\n1,2")]
    assert set(ids(log, "tool_result", "tool_call_id").values()) == {1}
    assert list(tooled.tools.effects.values()) == [1]


async def test_a_model_without_tools_writes_documents_too(tooled: Tooled, user_of_tools: Caller) -> None:
    written = f"<tool_call>\n{orjson.dumps(CREATE).decode()}\n</tool_call>"
    await tooled.says({"content": written}, {"content": "There it is."})
    events = await user_of_tools.run(edit(model="dormouse-dev-notools"))
    assert len(artifacts_of(events)) == 2
    assert text_of(events) == "There it is."


async def test_without_any_tool_service_the_desk_is_there(caller: Caller) -> None:
    events = await caller.run(request('Create an artifact "Dormouse" that says how they sleep.', agent_id="canvas"))
    [(version, content)] = list(artifacts_of(events).values())[1:]
    assert version == 1
    assert "sleep" in content
