"""A run goes on in another call where an earlier one was cut off, word for word wherever that can be."""

import asyncio
from typing import Any

import pytest
from dormouse.agent.v1.message_pb2 import ClientTool
from dormouse.common.v1 import error_pb2

from tests.contract.agent_fn.caller import (
    Caller,
    Event,
    cut,
    kinds,
    only,
    options,
    reasoning_of,
    recovery,
    request,
    text_of,
)
from tests.contract.agent_fn.conftest import Shared

QUESTION = "Tell me about dormice."


async def model_calls(shared: Shared) -> int:
    async with shared.model_server.control() as http:
        return len((await http.get("/_sim/requests")).json()["requests"])


@pytest.mark.parametrize("pieces", [1, 7, 40])
async def test_an_answer_cut_off_goes_on_word_for_word(caller: Caller, pieces: int) -> None:
    whole = await caller.run(request(QUESTION))
    told = cut(whole, pieces)
    rest = await caller.run(request(QUESTION, recovery=recovery(told)))
    assert text_of(told) + text_of(rest) == text_of(whole)
    assert kinds(told + rest) == kinds(whole)
    usage, undisturbed = only(rest, "usage_reported"), only(whole, "usage_reported")
    assert usage.completion_tokens == undisturbed.completion_tokens
    assert usage.prompt_tokens == undisturbed.prompt_tokens


@pytest.mark.parametrize("pieces", [1, 6, 20, 60])
async def test_reasoning_cut_off_is_told_once(caller: Caller, pieces: int) -> None:
    asked: dict[str, Any] = {"options": options(reasoning=True)}
    whole = await caller.run(request(QUESTION, **asked))
    told = cut(whole, pieces)
    rest = await caller.run(request(QUESTION, recovery=recovery(told), **asked))
    assert reasoning_of(told) + reasoning_of(rest) == reasoning_of(whole)
    assert text_of(told) + text_of(rest) == text_of(whole)
    assert only(rest, "usage_reported").reasoning_tokens == only(whole, "usage_reported").reasoning_tokens
    assert only(rest, "usage_reported").completion_tokens == only(whole, "usage_reported").completion_tokens


async def test_reasoning_that_takes_another_way_follows_as_a_paragraph(caller: Caller) -> None:
    asked: dict[str, Any] = {"options": options(reasoning=True)}
    whole = await caller.run(request(QUESTION, **asked))
    other = Event()
    other.CopyFrom(cut(whole, 2)[-1])
    other.reasoning_delta.text = " Something else."
    told = [*cut(whole, 1), other]
    rest = await caller.run(request(QUESTION, recovery=recovery(told), **asked))
    assert reasoning_of(rest) == "\n\n" + reasoning_of(whole)
    assert text_of(rest) == text_of(whole)


async def test_an_answer_that_was_whole_is_not_asked_for_again(caller: Caller, shared: Shared) -> None:
    whole = await caller.run(request(QUESTION))
    told = [event for event in whole if event.WhichOneof("event") != "run_finished"]
    calls = await model_calls(shared)
    assert kinds(await caller.run(request(QUESTION, recovery=recovery(told)))) == ["run_finished"]
    assert await model_calls(shared) == calls


async def test_an_answer_cut_off_at_its_limit_is_not_asked_for_again(caller: Caller, shared: Shared) -> None:
    asked: dict[str, Any] = {"options": options(max_tokens=8)}
    whole = await caller.run(request(QUESTION, **asked))
    told = whole[: [event.WhichOneof("event") for event in whole].index("message_finished")]
    assert sum(event.message_delta.pieces for event in told) == 8
    calls = await model_calls(shared)
    rest = await caller.run(request(QUESTION, recovery=recovery(told), **asked))
    assert only(rest, "run_finished").finish_reason == only(whole, "run_finished").finish_reason
    assert await model_calls(shared) == calls


async def test_a_limit_holds_for_both_parts_together(caller: Caller) -> None:
    asked: dict[str, Any] = {"options": options(max_tokens=20)}
    whole = await caller.run(request(QUESTION, **asked))
    told = cut(whole, 9)
    rest = await caller.run(request(QUESTION, recovery=recovery(told), **asked))
    assert text_of(told + rest) == text_of(whole)
    assert only(rest, "usage_reported").completion_tokens == 20


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "dormouse-dev-noprefill"},
        {"options": options(response_json_schema='{"type": "object", "properties": {"a": {"type": "string"}}}')},
    ],
    ids=["template", "schema"],
)
class TestAnAnswerThatCannotGoOn:
    """The model's template closes each turn, or a schema binds it from its first token on."""

    async def test_is_replaced_where_the_client_can_be_told(self, caller: Caller, asked: dict[str, Any]) -> None:
        whole = await caller.run(request(QUESTION, **asked))
        text = text_of(whole)
        told = cut(whole, 1)
        told[-1].message_delta.text = text[:1]
        rest = await caller.run(request(QUESTION, recovery=recovery(told, may_replace=True), **asked))
        assert kinds(rest)[:2] == ["message_replaced", "message_delta"]
        assert only(rest, "message_replaced").text == ""
        assert text_of(rest) == text

    async def test_breaks_the_stream_where_not(self, caller: Caller, asked: dict[str, Any]) -> None:
        whole = await caller.run(request(QUESTION, **asked))
        error, seen = await caller.failure(request(QUESTION, recovery=recovery(cut(whole, 1)), **asked))
        assert (error.reason, error.retryable) == (error_pb2.ERROR_REASON_STREAM_BROKEN, True)
        assert seen == []


async def test_nothing_said_yet_is_said_from_the_beginning(caller: Caller) -> None:
    asked: dict[str, Any] = {"model": "dormouse-dev-noprefill"}
    whole = await caller.run(request(QUESTION, **asked))
    again = await caller.run(request(QUESTION, recovery=recovery([]), **asked))
    assert kinds(again) == kinds(whole)
    again = await caller.run(request(QUESTION, recovery=recovery(cut(whole, 1)[:2]), **asked))
    assert kinds(again) == kinds(whole)[2:]


async def test_tool_calls_already_told_are_not_asked_for_again(caller: Caller, shared: Shared) -> None:
    tool = ClientTool(
        name="get_weather",
        description="The weather of a city",
        parameters_json_schema='{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}',
    )
    asked: dict[str, Any] = {"client_tools": [tool]}
    question = "What is the weather in Paris? Use get_weather."
    whole = await caller.run(request(question, **asked))
    assert "tool_call_started" in kinds(whole)
    end = kinds(whole).index("tool_call_finished")
    told = whole[: end + 1]
    calls = await model_calls(shared)
    rest = await caller.run(request(question, recovery=recovery(told), **asked))
    assert kinds(rest) == ["message_finished", "step_finished", "run_finished"]
    assert only(rest, "run_finished").finish_reason == only(whole, "run_finished").finish_reason
    assert await model_calls(shared) == calls


async def test_runs_at_once_do_not_mix(caller: Caller) -> None:
    questions = [f"Tell me about the number {number}." for number in range(24)]
    alone = [await caller.run(request(question)) for question in questions[:3]]
    together = await asyncio.gather(
        *(caller.run(request(question, run_id=f"run_{index}")) for index, question in enumerate(questions))
    )
    assert [text_of(events) for events in together[:3]] == [text_of(events) for events in alone]
    assert len({text_of(events) for events in together}) == len(questions)
