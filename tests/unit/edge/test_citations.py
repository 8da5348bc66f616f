"""Citations in every protocol: the same spans and sources, as far as each can say them."""

import json
from typing import Any

from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.common.v1.source_pb2 import Source
from edge.agui.encoder import AguiEncoder
from edge.native.events import NativeEncoder
from edge.native.trace import trace_of
from edge.native.trace_schemas import RunTrace
from edge.native.trace_text import trace_to_json, trace_to_text
from edge.openai.chunks import ChunkEncoder
from edge.openai.completion import CompletionCollector
from edge.runs.recovery import LogAccount
from openai.types.chat import ChatCompletion

from tests.agui import check_stream
from tests.unit.edge.events import call, finished, log, message, said, started, used

URL = "/v1/files/file-A%2FB/chunks/17"
SOURCE = Source(
    label="1",
    document_id="file-A/B",
    document_name="handbook.pdf",
    chunk_id="17",
    start_offset=100,
    end_offset=116,
    first_page=3,
    text="30 days for all.",
)
SHOWN = {
    "label": "1", "file_id": "file-A/B", "filename": "handbook.pdf", "chunk_id": "17", "text": "30 days for all.",
    "first_page": 3, "start_offset": 100, "end_offset": 116, "url": URL,
}  # fmt: skip
CITED = pb.Citation(message_id="m2", start=2, end=12, source=SOURCE)
UNSUPPORTED = pb.Citation(message_id="m2", start=13, end=20)
RESULT = pb.ToolResult(tool_call_id="c1", content="[1] …", sources=[SOURCE])
TEXT = "🐭 30 days in. And so on."
EVENTS = [
    started("thread_1"),
    *message("I look. ", message_id="m1"),
    *call("c1", "rag_search", "{}"),
    RESULT,
    pb.MessageStarted(message_id="m2"),
    said(TEXT, "m2"),
    CITED,
    UNSUPPORTED,
    pb.MessageFinished(message_id="m2"),
    used(),
    finished(),
]


def chunks(*payloads: Any) -> list[dict[str, Any]]:
    encoder = ChunkEncoder(
        completion_id="c", created=7, model="react", include_usage=False, base_url="http://localhost:8080/"
    )
    lines = encoder.encode(log(*payloads)).decode().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


def collected(*payloads: Any) -> dict[str, Any]:
    collector = CompletionCollector("http://localhost:8080/")
    collector.take(log(*payloads))
    answer = collector.completion("c", 7, "react")
    ChatCompletion.model_validate(answer, strict=True)
    told: dict[str, Any] = answer["choices"][0]["message"]
    return told


def test_chat_completions_annotate_the_span_in_the_whole_content() -> None:
    told = collected(*EVENTS)
    (annotation,) = told["annotations"]
    cited = annotation["url_citation"]
    assert told["content"][cited["start_index"] : cited["end_index"]] == "30 days in"
    assert (cited["title"], cited["url"]) == ("handbook.pdf, page 3", f"http://localhost:8080{URL}")
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(*EVENTS)]
    places = [place for place, delta in enumerate(deltas) if "annotations" in delta]
    assert [deltas[place]["annotations"] for place in places] == [[annotation]]
    assert "".join(delta.get("content", "") for delta in deltas[: places[0]]) == told["content"]


def test_an_attempt_that_repeats_a_citation_annotates_once() -> None:
    repeated = [*EVENTS[:-3], CITED, *EVENTS[-3:]]
    assert len(collected(*repeated)["annotations"]) == 1
    assert sum("annotations" in chunk["choices"][0]["delta"] for chunk in chunks(*repeated)) == 1


def test_what_was_cited_in_a_text_that_was_replaced_is_void() -> None:
    replaced = pb.MessageReplaced(message_id="m2", text="Other.")
    assert "annotations" not in collected(*EVENTS[:-3], replaced, *EVENTS[-3:])


def test_an_answer_without_citations_has_no_annotations() -> None:
    assert "annotations" not in collected(started(), *message("Hi"), finished())


def test_the_native_stream_tells_sources_and_citations() -> None:
    blocks = NativeEncoder().encode(log(*EVENTS)).decode().split("\n\n")
    data = [
        (block.split("\n")[1].removeprefix("event: "), json.loads(block.split("data: ", 1)[1]))
        for block in blocks
        if block
    ]
    (result,) = [fields for name, fields in data if name == "tool_call.result"]
    assert result["sources"] == [SHOWN]
    first, second = [fields for name, fields in data if name == "citation"]
    assert (first["message_id"], first["start"], first["end"], first["source"]) == ("m2", 2, 12, SHOWN)
    assert second["source"] is None


def test_agui_tells_citations_as_custom_events_and_sources_with_the_result() -> None:
    encoder = AguiEncoder(thread_id="T", run_id="R", history=list)
    events = check_stream(encoder.encode(log(*EVENTS)))
    custom = [event for event in events if event["type"] == "CUSTOM"]
    assert [event["name"] for event in custom] == ["dormouse.citation"] * 2
    assert custom[0]["value"] == {"message_id": "m2", "start": 2, "end": 12, "source": SHOWN}
    assert custom[1]["value"] == {"message_id": "m2", "start": 13, "end": 20}
    (result,) = [event for event in events if event["type"] == "TOOL_CALL_RESULT"]
    assert result["metadata"] == {"dormouse": {"sources": [SHOWN]}}


def test_a_trace_shows_what_was_quoted_and_what_rests_on_it() -> None:
    trace = trace_of(log(*EVENTS))
    told = trace_to_json(trace)
    RunTrace.model_validate_json(json.dumps(told))
    spans = {span["id"]: span for span in told["root"]["children"][0]["children"]}
    assert spans["c1"]["result"]["sources"] == [SHOWN]
    assert spans["m2"]["citations"] == [
        {"start": 2, "end": 12, "source": SHOWN},
        {"start": 13, "end": 20, "source": None},
    ]
    text = trace_to_text(trace)
    assert f"cited: 30 days in — handbook.pdf at {URL}" in text
    assert "cited: And so — nothing supports it" in text


def test_a_new_attempt_learns_the_sources() -> None:
    account = LogAccount()
    for event in log(*EVENTS[:-5]):
        account.take(event, event.WhichOneof("event") or "")
    (known,) = account.recovery(attempt=2, may_replace=False, tokens=0).tool_results
    assert list(known.sources) == [SOURCE]
