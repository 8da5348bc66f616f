"""What the development model says: always the same, from the conversation alone."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
import pytest
from devstack.model_server.calls import Call
from devstack.model_server.catalog import BUILT_IN
from devstack.model_server.frames import Answer
from devstack.model_server.model import answer
from devstack.model_server.tokens import split_tokens

MODEL = BUILT_IN[0]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        },
    },
}
CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate an arithmetic expression",
        "parameters": {
            "type": "object",
            "required": ["expression"],
            "properties": {"expression": {"type": "string"}},
        },
    },
}
Texts = tuple[str | dict[str, Any], ...]
TOOLS = [WEATHER, CALCULATOR]


def ask(*texts: str | dict[str, Any], **body: Any) -> Answer:
    messages = [{"role": "user", "content": text} if isinstance(text, str) else text for text in texts]
    return answer(MODEL, Call.of_chat({"model": MODEL.name, "messages": messages, **body}), 64)


def called(*texts: str | dict[str, Any]) -> list[tuple[str, Any]]:
    calls = ask(*texts, tools=TOOLS).tool_calls
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


@pytest.mark.parametrize("question", ["Tell me a story about a fox", "Explain entropy", "Why is the sky blue?"])
def test_a_story_or_an_explanation_is_long_enough_to_watch(question: str) -> None:
    assert 60 <= len(split_tokens(ask(question).content)) <= 150
    assert "development model" in ask(question).content


@pytest.mark.parametrize("question", ["Hi!", "hello there", "Good morning"])
def test_a_greeting_is_answered_in_short(question: str) -> None:
    assert len(split_tokens(ask(question).content)) <= 30


@pytest.mark.parametrize("question", ["Who are you?", "What's your name?", "Are you ChatGPT?", "what model is this"])
def test_it_says_what_it_is_when_asked(question: str) -> None:
    assert "I am not a language model" in ask(question).content


def test_it_repeats_and_counts_on_demand() -> None:
    assert ask("Reply with exactly: pong 42").content == "pong 42"
    assert ask("Please count to 5").content == "1, 2, 3, 4, 5"
    assert len(ask("Write 700 words about tea").content.split()) >= 700


def test_it_quotes_the_passage_that_fits_with_its_mark() -> None:
    system = "Use these.\n[1] Invoices are paid in 14 days.\n[2] The hall in Kiel holds 40 pumps."
    said = ask({"role": "system", "content": system}, "How many pumps does the hall in Kiel hold?").content
    assert "“The hall in Kiel holds 40 pumps.” [2]" in said
    assert "Invoices" not in said
    in_the_question = ask(f"{system}\n\nWhen are invoices paid?").content
    assert "“Invoices are paid in 14 days.” [1]" in in_the_question


def test_it_remembers_what_was_said_earlier() -> None:
    said = ask("My name is Ann.", {"role": "assistant", "content": "Fine."}, "What is my name?").content
    assert "“My name is Ann.”" in said


def test_it_calls_the_tool_that_fits_with_arguments_from_the_question() -> None:
    assert called("What is the weather in Paris?") == [("get_weather", {"city": "Paris"})]
    assert called("How much is 12 * (3+4)?") == [("calculator", {"expression": "12 * (3+4)"})]
    assert called("Tell me a joke") == []


def test_and_asks_for_calls_side_by_side_and_then_for_one_after_the_other() -> None:
    question = "The weather in Rome and calculate 3*4, then the weather in New York"
    first = ask(question, tools=TOOLS).tool_calls
    assert [call["function"]["arguments"] for call in first] == [{"city": "Rome"}, {"expression": "3*4"}]
    assert len({call["id"] for call in first}) == 2
    results = [{"role": "tool", "tool_name": "get_weather", "content": "rain"}, {"role": "tool", "content": "12"}]
    second: Texts = (question, {"role": "assistant", "content": "", "tool_calls": list(first)}, *results)
    assert called(*second) == [("get_weather", {"city": "New York"})]
    third: Texts = (
        *second,
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get_weather"}}]},
    )
    final = ask(*third, {"role": "tool", "tool_name": "get_weather", "content": "snow"}, tools=TOOLS)
    assert final.tool_calls == ()
    assert "rain" in final.content
    assert "get_weather returned: snow" in final.content


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}}, "required": ["score"]},
    {"type": "object", "properties": {"p": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}}},
    {"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"], "properties": {"a": {"const": 7}}}]},
    {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "minLength": 3}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}},
    {"allOf": [{"properties": {"a": {"type": "boolean"}}, "required": ["a"]}, {"required": ["b"]}]},
    {"type": "string", "pattern": "^[0-9]{4}$"},
    {"properties": {"when": {"type": "string", "format": "date"}, "at": {"type": "string", "format": "uri"}}},
    {"type": ["string", "null"], "enum": ["red", "blue", None]},
    {"type": "object", "additionalProperties": {"type": "integer"}, "required": ["x", "y"]},
    {"type": "integer", "multipleOf": 7, "minimum": 15},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
@pytest.mark.parametrize("question", ["", "Rate the blue answer 9 of 5 on 2024-05-06 in “Oslo”, please"])
def test_json_schemas_are_filled_validly(schema: dict[str, Any], question: str) -> None:
    value = orjson.loads(ask(question, format=schema).content)
    jsonschema_rs.validate(schema, value)


def test_values_come_from_the_question_where_it_offers_some() -> None:
    schema = {"properties": {"score": {"type": "integer", "maximum": 5}, "colour": {"enum": ["red", "blue"]}}}
    assert ask("Give the blue one 4 points", format=schema).content == '{"score":4,"colour":"blue"}'


def test_tokens_join_to_the_text() -> None:
    text = "  Ein  Satz\nmit Donaudampfschifffahrt und 🐹🐹.\n\n"
    assert "".join(split_tokens(text)) == text
