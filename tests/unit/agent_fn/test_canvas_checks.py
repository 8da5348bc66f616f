"""What is said about contents that are not what their media type says."""

import time

import pytest
from agent_fn.agents.artifacts import Artifact
from agent_fn.agents.canvas.checks import problems


def found(media_type: str, content: str) -> list[str]:
    return problems(Artifact("art_1", 1, "T", media_type, content))


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("application/json", '{"a": [1, 2, {"b": null}]}'),
        ("application/json", "  "),
        ("text/csv", 'name,age\n"Dor, mouse",3\n\nHazel,4\n'),
        ("text/csv", 'a,b\r\n"one\ntwo",3\r\n'),
        (
            "text/html",
            "<!DOCTYPE html><html><head><meta charset=utf-8><title>A < B</title></head><body><p>One<p>Two<br>",
        ),
        ("text/html", "<ul><li>a<li>b</ul><img src='x>y'><svg><path d='M0 0'/></svg><input disabled>"),
        ("text/html", "<script>if (a < b) { document.write('</div>') }</script><!-- <div> --><p>a</P>"),
        ("text/html", "<table><tr><td>1<td>2<tr><td>3</table>"),
        ("text/markdown", "# {not json, <div>"),
        ("text/x-python", "def f(:"),
    ],
)
def test_what_is_right_is_not_warned_of(media_type: str, content: str) -> None:
    assert found(media_type, content) == []


@pytest.mark.parametrize(
    ("media_type", "content", "says"),
    [
        (
            "application/json",
            '{"a": 1,\n "b": x}',
            ["It is not valid JSON: unexpected character, expected a JSON value, in line 2, column 7."],
        ),
        ("text/csv", "a,b,c\n1,2,3\n1,2\n", ["Line 3 has 2 fields, the first row has 3."]),
        ("text/csv", 'a,b\n"1"x,2\n', ["It is not valid CSV: ',' expected after '\"', near line 2."]),
        ("text/html", "<div>\n<b>bold</div>", ["Line 2: <b> is not closed before </div>."]),
        ("text/html", "<p>text</p>\n</div>", ["Line 2: </div> closes nothing."]),
        ("text/html", "<div>\n<section>", ["Line 1: <div> is never closed.", "Line 2: <section> is never closed."]),
        ("text/html", "a\n<a href='x>link</a>", ['Line 2: what begins with "<a href=\'x>link</a>" never ends.']),
    ],
)
def test_what_is_wrong_is_named_with_its_place(media_type: str, content: str, says: list[str]) -> None:
    assert found(media_type, content) == says


@pytest.mark.parametrize(
    ("media_type", "piece"),
    [
        ("text/html", "<a "),
        ("text/html", "<div>"),
        ("text/html", "</p>"),
        ("text/html", "<i></b>"),
        ("text/html", "<!--"),
        ("text/html", "<a b='"),
        ("text/html", "<script>"),
        ("text/csv", ",\n"),
        ("text/csv", '"'),
        ("application/json", "["),
        ("application/json", '{"":'),
    ],
)
def test_no_content_takes_long_and_few_problems_are_named(media_type: str, piece: str) -> None:
    started = time.process_time()
    assert len(found(media_type, piece * (262_144 // len(piece)))) <= 3
    assert time.process_time() - started < 1
