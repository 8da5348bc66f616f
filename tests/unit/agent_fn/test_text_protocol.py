"""Calls in a model's text, in whatever pieces it comes."""

import random

import orjson
import pytest
from agent_fn.agents.text_protocol import CallReader, Reading, with_tools
from agent_fn.conversation import Message, ToolCall, assistant_message, text_of, tool_message
from agent_fn.generation import ToolDefinition

NAMES = ("weather", "math")
OSLO = ("weather", {"city": "Oslo"})
SUM = ("math", {"expression": "1+1"})


def read(text: str, seed: int, *, before: str = "", holds_all: bool = False) -> tuple[str, Reading]:
    """What is shown of a text that comes in pieces, and the rest of it."""
    reader = CallReader(NAMES, before=before, holds_all=holds_all)
    cut = random.Random(seed)
    shown, pieces, came, at = "", 0, 0, 0
    while at < len(text):
        end = at + cut.randint(1, 7)
        part, count = reader.feed(text[at:end], 1)
        assert bool(part) == bool(count)
        shown, pieces, came, at = shown + part, pieces + count, came + 1, end
    reading = reader.finish()
    assert pieces + reading.pieces <= came
    return shown, reading


def calls(reading: Reading) -> list[tuple[str, object]]:
    return [(call.name, orjson.loads(call.arguments_json)) for call in reading.calls]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("text", "shown", "found"),
    [
        ('Hm.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>\nFine.', "Hm.\n", [OSLO]),
        ('<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}', "", [OSLO]),
        (
            '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>\n'
            '<tool_call>{"name": "math", "arguments": {"expression": "1+1"}}</tool_call>',
            "",
            [OSLO, SUM],
        ),
        (
            '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}\n'
            '{"name": "math", "arguments": {"expression": "1+1"}}</tool_call>',
            "",
            [OSLO, SUM],
        ),
        ('```json\n{"name": "weather", "arguments": {"city": "Oslo"}}\n```\nIt is 12 °C.', "", [OSLO]),
        ('```tool_call\n{"name": "weather", "arguments": {"city": "Oslo"}}', "", [OSLO]),
        ("{'name': 'weather', 'parameters': {'city': 'Oslo',}}", "", [OSLO]),
        ('{"name": "weather", "arguments": {"city": "Oslo"}', "", [OSLO]),
        ('{"tool": "weather", "city": "Oslo"}', "", [OSLO]),
        ('{"weather": {"city": "Oslo"}}', "", [OSLO]),
        ('{"action": "weather", "action_input": {"city": "Oslo"}}', "", [OSLO]),
        ('{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}', "", [OSLO]),
        ('{"name": "functions.weather", "arguments": {"city": "Oslo"}}', "", [OSLO]),
        ('[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}]', "", [OSLO]),
        ('<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}', "", [OSLO]),
        ('<|tool_call|>{"name": "weather", "arguments": {"city": "Oslo"}}<|/tool_call|>', "", [OSLO]),
        ('<function=weather>{"city": "Oslo"}</function>', "", [OSLO]),
        ('Thought: x\nAction: weather\nAction Input: {"city": "Oslo"}\nObservation: 12', "Thought: x\n", [OSLO]),
        ('Action:\n```json\n{"action": "weather", "action_input": {"city": "Oslo"}}\n```', "", [OSLO]),
        ('{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}', "", [OSLO]),
    ],
)
def test_calls_are_found_and_held_back(text: str, shown: str, found: list[tuple[str, object]], seed: int) -> None:
    told, reading = read(text, seed)
    assert (told, reading.text, calls(reading)) == (shown, "", found)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "text",
    [
        "Hello there, [a link](x) and `code` {x}.\n{not json}\n- A\nAction movie\n",
        'Here:\n```json\n{"a": 1}\n```\nDone.',
        '{"name": "Fridolin", "arguments": "many"}',
        '{"a": [1, 2, "}"]} and more',
        "```python\nprint({'name': 'weather'})\n```\nok",
        "Action: none needed, really.",
        *("A", "```", "<", "<tool", "[", "{", ""),
        "a < b <t and <b>bold</b>",
    ],
)
def test_other_text_is_shown_to_the_last_character(text: str, seed: int) -> None:
    for holds_all in (False, True):
        told, reading = read(text, seed, holds_all=holds_all)
        assert (told + reading.text, reading.calls, reading.problem) == (text, (), "")


def test_text_is_not_held_back_longer_than_it_may_be_a_call() -> None:
    reader = CallReader(NAMES)
    assert reader.feed("The sum is 2", 1) == ("The sum is 2", 1)
    assert reader.feed(" <b", 1) == (" <b", 1)
    assert reader.feed(" <tool", 1) == (" ", 1)
    assert reader.feed("box>", 1) == ("<toolbox>", 1)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "weather", "arguments": {"city": "Os',
        "<tool_call>\nweather\n</tool_call>",
        '<tool_call>{"arguments": {"city": "Oslo"}}</tool_call>',
        '```json\n{"name": "weather", "arguments": {"city": "Osl',
    ],
)
def test_a_call_that_has_to_be_guessed_is_a_problem(text: str) -> None:
    told, reading = read(text, 1)
    assert (told, reading.text, reading.calls) == ("", "", ())
    assert reading.problem


def test_what_follows_a_text_begins_no_line() -> None:
    assert read('{"name": "weather"}', 1, before="See ") == ('{"name": "weather"}', Reading())
    assert calls(read('{"name": "weather"}', 1, before="See\n")[1]) == [("weather", {})]


def test_a_long_answer_in_json_takes_no_long_time() -> None:
    rows = ", ".join(f'{{"a": "{number}"}}' for number in range(4000))
    for text in (f'{{"rows": [{rows}]}}', f"```json\n[{rows}]\n```"):
        told, reading = read(text, 1)
        assert told + reading.text == text


def test_a_conversation_is_told_in_text() -> None:
    call = ToolCall(id="c", name="weather", arguments_json='{"city":"Oslo"}')
    other = ToolCall(id="d", name="math", arguments_json="")
    messages: list[Message] = [
        Message(id="s", role="system", content=[{"text": "Be kind."}]),
        Message(id="u", role="user", content=[{"text": "Weather?"}]),
        assistant_message("m", "I look.", "", [call, other]),
        tool_message(call, "Rain."),
        tool_message(other, "2"),
        Message(id="v", role="user", content=[{"text": "And?"}]),
    ]
    told = with_tools(messages, [ToolDefinition("weather", "Tells the weather.", "")])
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user", "user"]
    assert text_of(told[0]).startswith("You can call these tools:\n- weather: Tells the weather.")
    assert text_of(told[0]).endswith("\n\nBe kind.")
    assert '{"name": "weather", "arguments": {"city":"Oslo"}}' in text_of(told[2])
    assert '<tool_result name="weather">\nRain.\n</tool_result>\n<tool_result name="math">' in text_of(told[3])
    assert "tool_calls" not in told[2]
    assert with_tools(messages[:1], []) == messages[:1]
