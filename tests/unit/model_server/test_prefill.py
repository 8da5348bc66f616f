"""An answer that was cut off is continued byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
from devstack.model_server.calls import Call
from devstack.model_server.catalog import BUILT_IN, Model
from devstack.model_server.model import answer

from tests.unit.model_server.conftest import Server, lines, text_of

MODELS = {model.name.removesuffix(":latest"): model for model in BUILT_IN}
QUESTION = {"role": "user", "content": "Tell me a story about a hedgehog"}


def told(model: Model, *messages: dict[str, Any], **body: Any) -> str:
    call = Call.of_chat({"model": model.name, "messages": list(messages), **body})
    return answer(model, call, 64).content


@pytest.mark.parametrize("name", ["dormouse-dev", "sim"])
def test_an_answer_continued_from_any_character_equals_the_undisturbed_one(name: str) -> None:
    model = MODELS[name]
    whole = told(model, QUESTION)
    for cut in range(len(whole) + 1):
        begun = {"role": "assistant", "content": whole[:cut]}
        assert whole[:cut] + told(model, QUESTION, begun) == whole


def test_a_json_answer_is_continued_too() -> None:
    model, schema = MODELS["dormouse-dev"], {"type": "object", "properties": {"animal": {"type": "string"}}}
    whole = told(model, QUESTION, format=schema)
    assert told(model, QUESTION, {"role": "assistant", "content": whole[:7]}, format=schema) == whole[7:]


def test_a_stop_text_cuts_the_continued_answer_at_the_same_place() -> None:
    model = MODELS["dormouse-dev"]
    options = {"options": {"stop": ["development"]}}
    whole = told(model, QUESTION, **options)
    assert told(model, QUESTION, {"role": "assistant", "content": whole[:9]}, **options) == whole[9:]


def test_a_model_without_prefill_starts_over() -> None:
    model = MODELS["dormouse-dev-noprefill"]
    whole = told(model, QUESTION)
    assert told(model, QUESTION, {"role": "assistant", "content": whole[:30]}) == whole


def test_text_that_the_model_would_not_have_said_is_followed_by_the_whole_answer() -> None:
    model = MODELS["dormouse-dev"]
    assert told(model, QUESTION, {"role": "assistant", "content": "Certainly!"}) == told(model, QUESTION)


async def test_a_stream_that_was_cut_goes_on_over_http_and_counts_only_the_rest(server: Server) -> None:
    whole = await server.chat(QUESTION["content"], model="dormouse-dev", think=True)
    text = text_of(whole)
    parts = [line["message"]["content"] for line in lines(whole)]
    begun = "".join(parts[: len(parts) // 2])
    messages = [QUESTION, {"role": "assistant", "content": begun}]
    rest = await server.http.post("/api/chat", json={"model": "dormouse-dev", "messages": messages})
    assert begun + text_of(rest) == text
    assert lines(rest)[-1]["eval_count"] == sum(1 for part in parts[len(parts) // 2 :] if part)


async def test_cut_thinking_is_continued_before_the_answer(server: Server) -> None:
    whole = lines(await server.chat("What is glue?", model="dormouse-dev", think=True))
    thinking = "".join(line["message"].get("thinking", "") for line in whole)
    begun = {"role": "assistant", "content": "", "thinking": thinking[:40]}
    body = {"model": "dormouse-dev", "think": True, "messages": [{"role": "user", "content": "What is glue?"}, begun]}
    rest = lines(await server.http.post("/api/chat", json=body))
    assert thinking[:40] + "".join(line["message"].get("thinking", "") for line in rest) == thinking
