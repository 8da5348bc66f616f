"""What counts as a whole stream, and by which name a broken one is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson
import pytest

from loadtest.results import Stream
from loadtest.traffic.reading import SameText, contains, follow, read_chat, read_run, read_upload, says_something
from loadtest.traffic.sse import Event


def chunk(at: float = 0.0, *, finish: str = "", used: int = 0, error: str = "", **delta: str) -> Event:
    data: dict[str, object] = {"choices": [{"delta": delta, "finish_reason": finish or None}]}
    if used:
        data = {"choices": [], "usage": {"completion_tokens": used}}
    if error:
        data = {"error": {"message": error}}
    return Event("", orjson.dumps(data), "", at)


DONE = Event("", b"[DONE]", "", 9.0)
WAKING = Event("", b"", "waking agent_fn", 0.0)
WHOLE = [chunk(1.0, content="Hello"), chunk(1.5, content=" you"), chunk(finish="stop"), chunk(used=2), DONE]


def numbered(*names: str, numbers: Iterable[int] = ()) -> list[Event]:
    found = []
    for seq, name in zip(numbers or range(1, len(names) + 1), names, strict=False):
        found.append(
            Event(name, orjson.dumps({"seq": seq, "text": "so", "pieces": 1, "kind": "waking"}), "", 1.0 + seq)
        )
    return found


def followed(events: list[Event], check: Callable[[str], str] = says_something) -> Stream:
    return follow(lambda: events, read_chat, check)


def test_a_whole_chat_has_its_times_and_tokens() -> None:
    stream = followed([WAKING, *WHOLE])
    assert (stream.error, stream.tokens, stream.wakings) == ("", 2, 1)
    assert stream.gaps_ms == [500.0]
    assert stream.ttft_ms is not None


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        (WHOLE[:-1], "truncated"),
        (WHOLE[:2], "truncated"),
        ([*WHOLE[:2], DONE], "truncated"),
        ([*WHOLE[:3], DONE], "no_usage"),
        ([WHOLE[0], chunk(error="The model is gone.")], "error_event"),
        ([*WHOLE, WHOLE[0]], "after_end"),
        ([Event("", b"{broken", "", 0.0)], "bad_event"),
        (WHOLE[2:], "wrong_text"),
    ],
)
def test_a_chat_that_is_not_whole_is_lost_by_name(events: list[Event], kind: str) -> None:
    assert followed(events).error == kind


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        (numbered("run.started", "message.delta", "run.finished"), ""),
        (numbered("run.started", "message.delta"), "truncated"),
        (numbered("run.started", "message.delta", "run.finished", numbers=(1, 3, 4)), "gap"),
        (numbered("run.started", "run.failed"), "run_failed"),
        (numbered("run.started", "message.delta", "run.finished", "message.delta"), "after_end"),
    ],
)
def test_a_run_is_whole_when_its_numbers_are(events: list[Event], kind: str) -> None:
    assert follow(lambda: events, read_run, contains("so")).error == kind


def test_a_run_tells_of_what_wakes() -> None:
    events = numbered("run.started", "activity", "message.delta", "run.finished")
    assert follow(lambda: events, read_run, contains("so")).wakings == 1


def test_an_upload_is_whole_once_it_can_be_found() -> None:
    def event(name: str) -> Event:
        return Event(name, b'{"file":{"id":"file-1"}}', "", 1.0)

    assert follow(lambda: [event("file.uploaded"), event("file.processed")], read_upload, says_something).error == ""
    assert follow(lambda: [event("file.uploaded")], read_upload, says_something).error == "truncated"
    assert follow(lambda: [event("file.failed")], read_upload, says_something).error == "file_failed"


def test_another_text_than_before_is_wrong() -> None:
    same = SameText()
    assert followed(WHOLE, same).error == ""
    assert followed([chunk(1.0, content="Hell"), *WHOLE[1:]], same).error == "wrong_text"
