"""Pages of transcripts are the same whatever ran first, and whatever ids and addresses there were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loadtest.transcripts.exchanges import Client, Event, Exchange, events_of
from loadtest.transcripts.pages import page
from loadtest.transcripts.readable import native_lines, text_of
from loadtest.transcripts.recording import differences, write
from loadtest.transcripts.scenes import Scene

RUN = "run_0123456789abcdefABCDEFGH"


def result(call: str, content: str) -> Event:
    data = {"tool_call_id": f"{RUN}.{call}", "content": content, "is_error": False, "outcome_unknown": False}
    return Event("tool_call.result", data)


def started(call: str) -> Event:
    data = {"tool_call_id": f"{RUN}.{call}", "name": "math", "message_id": None, "at_client": False}
    return Event("tool_call.started", data)


async def nothing(client: Client, provider: str) -> None:
    """Asks for nothing."""


def shown(*exchanges: Exchange, provider: str = "127.0.0.1:1234") -> str:
    return page(Scene("chat", "chat", "Talks.", nothing), exchanges, provider)


def test_results_of_one_turn_stand_in_the_order_of_their_calls() -> None:
    lines = native_lines([result("m1.c2", "second"), result("m1.c1", "first")])
    assert [line.split()[-1] for line in lines] == ["first", "second"]


def test_steps_of_a_plan_that_ran_side_by_side_are_told_one_after_the_other() -> None:
    events = [started("p1.s2"), started("p1.s1"), result("p1.s2", "two"), result("p1.s1", "one\nline")]
    assert native_lines(events) == [
        "tool_call.started  math  (p1.s1)",
        "tool_call.result   (p1.s1)  one",
        "                   line",
        "tool_call.started  math  (p1.s2)",
        "tool_call.result   (p1.s2)  two",
    ]


def test_deltas_are_one_text_and_one_line() -> None:
    deltas = [Event("message.delta", {"message_id": "m", "text": text, "pieces": 1}) for text in ("Good ", "morning.")]
    assert native_lines(deltas) == ["message.delta      Good morning."]
    assert text_of(deltas) == "Good morning."


def test_ids_addresses_and_times_do_not_show() -> None:
    def exchange(run: str, address: str) -> Exchange:
        answer: dict[str, Any] = {"id": run, "url": f"http://{address}/x", "created_at": address}
        return Exchange("One", "POST", f"/v1/runs/{run}/resume", {"run": run}, answer=answer)

    first = shown(exchange(RUN, "127.0.0.1:1234"))
    second = shown(exchange(f"{RUN[:-1]}x", "127.0.0.1:5"), provider="127.0.0.1:5")
    assert first == second
    assert "run_1" in first
    assert "http://127.0.0.1:8790/x" in first


def test_a_quotation_mark_in_a_request_does_not_end_the_command() -> None:
    assert "it'\\''s" in shown(Exchange("One", "POST", "/v1/runs", {"text": "it's"}, answer={}))


def test_a_stream_is_read_event_by_event() -> None:
    text = 'id: 1\nevent: run.started\ndata: {"a": 1}\n\n: ping\n\ndata: {"type": "X"}\n\ndata: [DONE]\n\n'
    assert events_of(text) == [Event("run.started", {"a": 1}), Event("", {"type": "X"})]


def test_a_folder_is_compared_and_brought_up_to_date(tmp_path: Path) -> None:
    write({"a.md": "1", "b.md": "2"}, tmp_path)
    assert differences({"a.md": "1", "b.md": "2"}, tmp_path) == []
    assert differences({"a.md": "3", "c.md": "4"}, tmp_path) == ["a.md", "c.md", "b.md (no scene makes it)"]
    write({"a.md": "3"}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md"]
