"""Runs of canvas, with a model that follows a script: documents in versions, told once however often one is killed."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from agent_fn.agents.artifacts import CONTENT_BYTES, MOST_ARTIFACTS, artifact_id
from agent_fn.conversation import text_of
from agent_fn.events import ArtifactDelta, ArtifactSaved, FinishReason, RunFinished, StepFinished, ToolResult
from agent_fn.models.port import ModelCall
from dormouse.agent.v1.agent_pb2 import Artifact, ToolSelection

from tests.unit.agent_fn.stage import Log, Said, ScriptedTools, Stage, check_every_prefix, everything

ID = artifact_id("run_1", 1)
SECOND = artifact_id("run_1", 2)
PAGE = "<h1>Dormice</h1>\n<p>They sleep.</p>"
Call = tuple[str, dict[str, Any]]
Turns = list[list[Call]]

WRITING: Turns = [
    [
        ("create_artifact", {"title": "Page", "media_type": "html", "content": PAGE}),
        ("lookup", {"of": "dormice"}),
        ("create_artifact", {"title": "Data", "media_type": "csv", "content": "name,age\nDor,3"}),
    ],
    [
        ("edit_artifact", {"id": ID, "edits": [{"find": "They sleep.", "replace": "They sleep for seven months."}]}),
        ("edit_artifact", {"id": ID, "edits": [{"find": "no such text", "replace": "x"}]}),
        ("edit_artifact", {"id": ID, "edits": [{"first_line": 3, "last_line": 2, "replace": "<p>Good night.</p>"}]}),
        ("note", {"of": "the page"}),
    ],
    [("read_artifact", {"id": ID}), ("list_artifacts", {})],
    [
        ("rewrite_artifact", {"id": SECOND, "content": "name,age\nDor,3\nHazel,4"}),
        ("edit_artifact", {"id": ID, "edits": '[{"find": "Dormice", "replace": "The dormouse"}]'}),
    ],
]


def script_of(turns: Turns) -> Any:
    """A model that makes these calls, turn by turn, and then answers."""

    def script(call: ModelCall) -> Said:
        made = sum(bool(message.get("tool_calls")) for message in call.messages)
        if made < len(turns) and call.tools:
            return Said("One moment. ", turns[made])
        return Said("The page is ready.")

    return script


def tools() -> ScriptedTools:
    return ScriptedTools(
        {"lookup": lambda arguments: "They sleep for seven months.", "note": lambda arguments: "It is noted."},
        with_side_effects=frozenset({"note"}),
    )


def stage(turns: Turns = WRITING) -> Stage:
    return Stage(script_of(turns), tools())


async def result_of(name: str, arguments: dict[str, Any], *before: Call, **fields: Any) -> ToolResult:
    """What one call brings, made after others."""
    turns = [[call] for call in (*before, (name, arguments))]
    log = Log(await stage(turns).run("canvas", "Go.", **fields))
    result = log.calls[f"run_1.m{len(turns)}.c1"].result
    assert result is not None
    return result


def content(document: Mapping[str, Any]) -> str:
    return "\n".join(document["lines"])


async def test_a_run_makes_and_changes_documents_in_versions() -> None:
    log = Log(await stage().run("canvas", "Write a page about dormice."))
    assert log.end == RunFinished(FinishReason.STOP)
    version, page = log.artifacts[ID]
    assert (version, page["title"], page["media_type"]) == (4, "Page", "text/html")
    assert content(page) == "<h1>The dormouse</h1>\n<p>They sleep for seven months.</p>\n<p>Good night.</p>"
    assert log.artifacts[SECOND] == (
        2,
        {"title": "Data", "media_type": "text/csv", "lines": ["name,age", "Dor,3", "Hazel,4"]},
    )
    assert log.saved == [(ID, 1), (SECOND, 1), (ID, 2), (ID, 3), (SECOND, 2), (ID, 4)]
    read = log.calls["run_1.m3.c1"].result
    assert read is not None
    assert read.content.endswith("1  <h1>Dormice</h1>\n2  <p>They sleep for seven months.</p>\n3  <p>Good night.</p>")


async def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_end() -> None:
    log, kills = await check_every_prefix(stage, "canvas", "Write a page about dormice.")
    assert kills > 25
    assert len(log.calls) == 11


async def test_a_run_that_is_killed_again_and_again_comes_to_the_same_end() -> None:
    wanted = Log(await stage().run("canvas", "Write a page.")).outcome()
    for most in (2, 3, 5):
        log, acting = Log(), stage()
        for _ in range(60):
            for events in (await acting.run("canvas", "Write a page.", log=log))[:most]:
                log.add(events)
            if log.end is not None:
                break
        assert log.outcome() == wanted
        assert len(acting.tools.effects) == 1


async def test_what_was_asked_for_twice_is_done_once_after_a_kill_too() -> None:
    create: Call = ("create_artifact", {"title": "A", "media_type": "text", "content": "a"})
    more: Call = ("edit_artifact", {"id": ID, "edits": [{"first_line": 2, "last_line": 1, "replace": "b"}]})
    turns: Turns = [[create, create], [more, more], [("list_artifacts", {})], [create]]
    log, _ = await check_every_prefix(lambda: stage(turns), "canvas", "Go.")
    assert {name: content(document) for name, (_, document) in log.artifacts.items()} == {ID: "a\nb"}


async def test_a_version_is_told_together_with_the_result_of_its_call() -> None:
    puts = await stage().run("canvas", "Write a page about dormice.")
    changed = 0
    for events in puts:
        kinds = [type(event) for event in events if not isinstance(event, StepFinished)]
        if ArtifactDelta in kinds:
            changed += 1
            assert sorted(kind.__name__ for kind in kinds) == ["ArtifactDelta", "ArtifactSaved", "ToolResult"]
    assert changed == 6


async def test_a_small_edit_is_a_small_patch() -> None:
    long = "\n".join(f"line {number}" for number in range(2000))
    given = Artifact(id="art_given", version=7, title="Long", media_type="text/plain", content=long)
    edits = {"id": "art_given", "edits": [{"find": "line 1234\n", "replace": "line one\n"}]}
    events = everything(await stage([[("edit_artifact", edits)]]).run("canvas", "Edit it.", artifacts=[given]))
    (delta,) = (event for event in events if isinstance(event, ArtifactDelta))
    assert (delta.artifact_id, delta.version) == ("art_given", 8)
    assert orjson.loads(delta.patch_json) == [{"op": "replace", "path": "/lines/1234", "value": "line one"}]
    assert ArtifactSaved("art_given", 8) in events


async def test_the_model_is_told_of_the_documents_that_there_are() -> None:
    acting = stage()
    given = Artifact(id="art_given", version=7, title="Long", media_type="text/plain", content="a\nb")
    await acting.run("canvas", "Go on.", artifacts=[given])
    told = [text_of(call.messages[0]) for call in acting.model.calls]
    assert all("- art_given: Long (text/plain, version 7, 2 lines)" in text for text in told)
    assert f"- {ID}: Page (text/html, version 4, 3 lines)" in told[-1]
    assert {tool.name for tool in acting.model.calls[0].tools} == {
        *("create_artifact", "edit_artifact", "list_artifacts", "read_artifact", "rewrite_artifact", "lookup", "note")
    }


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("create_artifact", {"title": "A", "media_type": "html"}, "content is missing."),
        (
            "create_artifact",
            {"title": " ", "media_type": "html", "content": ""},
            "The title wants 1 to 200 characters.",
        ),
        ("create_artifact", {"title": "A", "media_type": "image/png", "content": ""}, "no media type of a text"),
        ("create_artifact", {"title": ["A"], "media_type": "html", "content": ""}, "title wants a string."),
        ("create_artifact", {"title": "A", "media_type": "text", "content": "x" * (CONTENT_BYTES + 1)}, "are the most"),
        ("edit_artifact", {"id": "nope", "edits": []}, "There is no artifact 'nope'. There are: art_given (Long)."),
        ("edit_artifact", {"id": "art_given"}, "edits wants a list of objects"),
        ("edit_artifact", {"id": "art_given", "edits": ["x"]}, "edits wants a list of objects"),
        ("edit_artifact", {"id": "art_given", "edits": [{"find": "a"}]}, "Edit 1: replace is missing."),
        ("edit_artifact", {"id": "art_given", "edits": [{"replace": "a"}]}, "Edit 1: find or first_line is missing."),
        ("edit_artifact", {"id": "art_given", "edits": [{"find": "c", "replace": "d"}]}, "occurs 0 times"),
        ("edit_artifact", {"id": "art_given", "edits": {"first_line": "x", "replace": ""}}, "wants a whole number"),
        ("rewrite_artifact", {"id": "art_given", "content": "a\nb\0"}, "NUL"),
        ("read_artifact", {"id": "art_given", "first_line": 5}, "has 2 lines; there are no lines 5 to 2"),
    ],
)
async def test_what_cannot_be_done_is_said_and_changes_nothing(name: str, arguments: dict[str, Any], says: str) -> None:
    given = Artifact(id="art_given", version=7, title="Long", media_type="text/plain", content="a\nb")
    result = await result_of(name, arguments, artifacts=[given])
    assert result.is_error
    assert says in result.content


async def test_there_are_at_most_so_many_documents() -> None:
    given = [
        Artifact(id=f"art_{number}", version=1, title="T", media_type="text/plain", content="x")
        for number in range(MOST_ARTIFACTS - 1)
    ]
    one = ("create_artifact", {"title": "A", "media_type": "text", "content": "1"})
    result = await result_of("create_artifact", {**one[1], "content": "2"}, one, artifacts=given)
    assert result.is_error
    assert "There are 20 artifacts" in result.content


async def test_contents_that_are_not_what_they_should_be_are_kept_and_warned_of() -> None:
    result = await result_of("create_artifact", {"title": "D", "media_type": "json", "content": '{"a": '})
    assert not result.is_error
    assert result.content.startswith(f"Saved {ID}: D (application/json, version 1, 1 line).\nWarning")


async def test_data_in_place_of_a_text_is_written_as_json() -> None:
    made = {"title": "D", "media_type": "json", "content": {"a": [1]}}
    log = Log(await stage([[("create_artifact", made)]]).run("canvas", "Go."))
    assert orjson.loads(content(log.artifacts[ID][1])) == {"a": [1]}


async def test_a_long_document_is_read_in_parts() -> None:
    long = "\n".join(f"line {number} {'x' * 50}" for number in range(1, 1001))
    given = Artifact(id="art_given", version=1, title="Long", media_type="text/plain", content=long)
    first = await result_of("read_artifact", {"id": "art_given"}, artifacts=[given])
    assert "Read on with first_line 2" in first.content
    following = int(first.content.rpartition("first_line ")[2].rstrip(".]"))
    assert f"\n{following - 1:>4}  line {following - 1} " in first.content
    second = await result_of("read_artifact", {"id": "art_given", "first_line": following}, artifacts=[given])
    assert f"\n{following:>4}  line {following} " in second.content


async def test_a_caller_may_leave_the_desk_out() -> None:
    acting = stage()
    log = Log(await acting.run("canvas", "Write a page.", tools=ToolSelection(names=["lookup"])))
    assert [tool.name for tool in acting.model.calls[0].tools] == ["lookup"]
    assert log.artifacts == {}
    refused = log.calls["run_1.m1.c1"].result
    assert refused is not None
    assert refused.is_error


async def test_arguments_that_are_nearly_json_survive_a_kill() -> None:
    def script(call: ModelCall) -> Said:
        return Said("Ready.") if len(call.messages) > 2 else Said("", [("create_artifact", {})])

    def broken() -> Stage:
        acting = Stage(script, tools())
        speak = acting.model._speak

        async def misspeak(call: ModelCall, said: Said) -> Any:
            async for chunk in speak(call, said):
                for tool in chunk.tools:
                    object.__setattr__(tool, "arguments_json", "{'title': 'A', 'media_type': 'md', 'content': 'x',}")
                yield chunk

        acting.model._speak = misspeak  # type: ignore[method-assign]
        return acting

    log, _ = await check_every_prefix(broken, "canvas", "Go.")
    assert log.artifacts[ID] == (1, {"title": "A", "media_type": "text/markdown", "lines": ["x"]})
