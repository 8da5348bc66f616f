"""Artifacts as values: what edits make of them and answer to those that make no sense, patches between versions."""

import random
import time
from typing import Any

import jsonpatch
import orjson
import pytest
from agent_fn.agents.artifacts import (
    CONTENT_BYTES,
    EDIT_BYTES,
    Artifact,
    ArtifactError,
    Edit,
    Replace,
    ReplaceLines,
    artifact_id,
    document,
    edited,
    known_media_type,
    new_artifact,
    numbered,
    patch,
    rewritten,
)

POEM = "The dormouse sleeps\nall winter long,\nall winter long\nit dreams of song.\n"


def artifact(content: str = POEM, version: int = 1) -> Artifact:
    return Artifact("art_1", version, "Poem", "text/markdown", content)


@pytest.mark.parametrize(
    ("edits", "content"),
    [
        ([Replace("winter", "summer", everywhere=True)], POEM.replace("winter", "summer")),
        ([Replace("dreams of song", "is quiet")], POEM.replace("dreams of song", "is quiet")),
        ([Replace("sleeps\nall", "naps\nall")], POEM.replace("sleeps", "naps")),
        ([Replace(",\n", "\n")], POEM.replace(",", "")),
        ([ReplaceLines(1, 1, "The mouse runs")], POEM.replace("The dormouse sleeps", "The mouse runs")),
        ([ReplaceLines(2, 3, "all night")], "The dormouse sleeps\nall night\nit dreams of song.\n"),
        ([ReplaceLines(2, 3, "")], "The dormouse sleeps\nit dreams of song.\n"),
        ([ReplaceLines(2, 2, "\n")], POEM.replace("all winter long,\n", "\n")),
        ([ReplaceLines(1, 0, "Title")], "Title\n" + POEM),
        ([ReplaceLines(3, 2, "and\nmore")], POEM.replace(",\n", ",\nand\nmore\n")),
        ([ReplaceLines(5, 4, "The end.")], POEM + "The end.\n"),
        ([ReplaceLines(6, 5, "The end.")], POEM + "\nThe end."),
        ([ReplaceLines(4, 4, "one."), ReplaceLines(1, 1, "four")], "four\nall winter long,\nall winter long\none.\n"),
        ([Replace("song", "nuts"), ReplaceLines(1, 0, "T")], "T\n" + POEM.replace("song", "nuts")),
    ],
)
def test_edits_change_what_they_name_and_nothing_else(edits: list[Edit], content: str) -> None:
    changed = edited(artifact(), edits)
    assert (changed.content, changed.version) == (content, 2)


def test_the_last_line_can_go() -> None:
    assert edited(artifact("a\nb"), [ReplaceLines(2, 2, "")]).content == "a"
    assert edited(artifact("a"), [ReplaceLines(1, 1, "")]).content == ""
    assert edited(artifact(""), [ReplaceLines(1, 1, "first")]).content == "first"


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ([Replace("winter", "x")], "occurs 2 times, in lines 2, 3."),
        ([Replace("so", "x"), Replace("ll", "x")], "Edit 2: the text to find occurs 2 times, in lines 2, 3."),
        ([Replace("l", "x")], "in lines 1, 2, 2, 2, 3, …"),
        ([Replace("The  dormouse\nsleeps", "x")], "0 times. From line 1 on it stands with other white space"),
        ([Replace("it dreams of songs", "x")], "0 times. The nearest is line 4: 'it dreams of song.'"),
        ([Replace("something else altogether", "x")], "0 times. Read the artifact"),
        ([Replace("", "x")], "The text to find is empty"),
        ([ReplaceLines(0, 1, "x")], "there are no lines 0 to 1; the artifact has 5 lines"),
        ([ReplaceLines(4, 9, "x")], "there are no lines 4 to 9"),
        ([ReplaceLines(3, 1, "x")], "there are no lines 3 to 1"),
        ([Replace("song", "x"), Replace("of song", "y")], "overlaps"),
        ([ReplaceLines(1, 2, "x"), ReplaceLines(2, 3, "y")], "Edit 2 overlaps"),
        ([Replace("song", "song")], "change nothing"),
        ([], "1 to 100 edits"),
        ([Replace("song", "x" * EDIT_BYTES)], "more than 200,000 bytes"),
        ([Replace("song", "a\0b")], "NUL"),
    ],
)
def test_edits_that_make_no_sense_say_why_and_change_nothing(edits: list[Edit], says: str) -> None:
    with pytest.raises(ArtifactError) as refused:
        edited(artifact(), edits)
    assert says in str(refused.value)


def test_a_content_has_a_limit() -> None:
    most = "é" * (CONTENT_BYTES // 2)
    assert new_artifact("art_1", "Long", "text/plain", most).content == most
    with pytest.raises(ArtifactError, match="262,145 bytes; 262,144 are the most"):
        new_artifact("art_1", "Long", "text/plain", most + "x")
    with pytest.raises(ArtifactError, match="bytes"):
        edited(artifact(most[:-100]), [ReplaceLines(1, 0, "x" * 300)])


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("text/html; charset=utf-8", "text/html"),
        ("HTML", "text/html"),
        (".csv", "text/csv"),
        ("Markdown", "text/markdown"),
        ("json", "application/json"),
        ("python", "text/x-python"),
        ("rust", "text/x-rust"),
        ("C++", "text/x-cpp"),
        ("c#", "text/x-csharp"),
        ("application/vnd.api+json", "application/vnd.api+json"),
    ],
)
def test_models_name_media_types_in_many_ways(written: str, known: str) -> None:
    assert known_media_type(written) == known


@pytest.mark.parametrize("written", ["", "image/png", "a b", "text/", "../x", "x" * 100])
def test_what_is_no_text_has_no_artifact(written: str) -> None:
    with pytest.raises(ArtifactError, match="media type"):
        known_media_type(written)


def test_ids_are_the_same_in_every_attempt_and_differ_otherwise() -> None:
    ids = {artifact_id(run, number) for run in ("run_1", "run_2", "run_11") for number in (1, 2, 11)}
    assert len(ids) == 9
    assert all(len(each) == 28 and each.startswith("art_") and each[4:].isalnum() for each in ids)
    assert artifact_id("run_1", 1) in ids


def test_lines_are_shown_with_their_numbers() -> None:
    assert numbered(artifact(), 2, 3) == "2  all winter long,\n3  all winter long"
    assert numbered(artifact("x\n" * 9)).startswith(" 1  x\n")
    with pytest.raises(ArtifactError, match="has 5 lines; there are no lines 7 to 5"):
        numbered(artifact(), 7)


def applied(before: Artifact | None, after: Artifact) -> Any:
    operations = orjson.loads(orjson.dumps(patch(before, after)))
    return jsonpatch.apply_patch(None if before is None else document(before), operations)


def test_the_first_patch_adds_the_whole() -> None:
    assert patch(None, artifact()) == [{"op": "add", "path": "", "value": document(artifact())}]
    assert applied(None, artifact()) == document(artifact())


def test_a_small_edit_of_a_long_document_is_a_small_patch() -> None:
    lines = [f"line {number}" for number in range(5000)]
    before = artifact("\n".join(lines))
    after = edited(before, [Replace("line 17\n", "line seventeen\n"), Replace("line 4321\n", "")])
    operations = patch(before, after)
    assert operations == [
        {"op": "replace", "path": "/lines/17", "value": "line seventeen"},
        {"op": "remove", "path": "/lines/4321"},
    ]
    assert applied(before, after) == document(after)


def test_a_document_that_is_another_one_is_patched_as_a_whole() -> None:
    before, after = artifact("\n".join("abc")), rewritten(artifact("\n".join("abc")), "x\ny", "New", "html")
    assert [operation["path"] for operation in patch(before, after)] == ["/title", "/media_type", "/lines"]
    assert applied(before, after) == document(after)


def test_patches_lead_from_any_version_to_any_other() -> None:
    chance = random.Random(7)
    for _ in range(300):
        old = [chance.choice("abcde") for _ in range(chance.randrange(30))]
        new = list(old)
        for _ in range(chance.randrange(6)):
            place = chance.randrange(len(new) + 1)
            new[place : place + chance.randrange(3)] = [chance.choice("abcxyz") for _ in range(chance.randrange(3))]
        before, after = artifact("\n".join(old)), artifact("\n".join(new), version=2)
        assert applied(before, after) == document(after)


@pytest.mark.parametrize("different", [2, 40, 10**6])
def test_no_comparison_takes_long(different: int) -> None:
    chance = random.Random(7)
    old, new = ("\n".join(str(chance.randrange(different)) for _ in range(60_000)) for _ in range(2))
    before, after = artifact(old[:CONTENT_BYTES]), artifact(new[:CONTENT_BYTES], version=2)
    started = time.process_time()
    operations = patch(before, after)
    assert time.process_time() - started < 1
    assert len(orjson.dumps(operations)) < 2.5 * CONTENT_BYTES
