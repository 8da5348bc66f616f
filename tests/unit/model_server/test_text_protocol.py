"""Tool calls as text, in a form that the prompt shows by an example."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from devstack.model_server.calls import Call
from devstack.model_server.catalog import BUILT_IN
from devstack.model_server.model import answer

from tests.unit.model_server.toolbox import TOOLS

MODEL = next(model for model in BUILT_IN if model.name == "dormouse-dev-notools:latest")
LISTED = "\n".join(
    f"- {tool['function']['name']}: {tool['function']['description']} "
    f"JSON Schema: {orjson.dumps(tool['function']['parameters']).decode()}"
    for tool in TOOLS
)
CALL = '<tool_call>\n{"name": "tool_name", "arguments": {…}}\n</tool_call>'
TAGGED = f"You can call these tools:\n{LISTED}\n\nWrite:\n{CALL}"
FENCED = f'Tools:\n{LISTED}\n\nWrite:\n```json\n{{"tool": "its name", "input": {{}}}}\n```'


def say(system: str, *contents: str) -> str:
    """What is said to a conversation of the user and the model in turns."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    for number, content in enumerate(contents):
        messages.append({"role": "assistant" if number % 2 else "user", "content": content})
    return answer(MODEL, Call.of_chat({"model": MODEL.name, "messages": messages}), 64).content


def test_it_has_no_tools_by_its_capabilities() -> None:
    assert MODEL.capabilities == ("completion",)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (TAGGED, '<tool_call>\n{"name":"weather","arguments":{"place":"Rome"}}\n</tool_call>'),
        (FENCED, '```json\n{"tool":"weather","input":{"place":"Rome"}}\n```'),
    ],
)
def test_a_call_is_written_as_the_prompt_shows(system: str, expected: str) -> None:
    assert say(system, "What is the weather in Rome?") == expected


def test_calls_go_on_and_end_in_an_answer_that_quotes_the_results() -> None:
    request = "Calculate 12*7 and the weather in Rome, then add 5 to 84"
    first = say(TAGGED, request)
    assert first.count("<tool_call>") == 2
    results = '<tool_result name="math">\n84\n</tool_result>\n<tool_result name="weather">\nSunny\n</tool_result>'
    second = say(TAGGED, request, first, results)
    assert (
        second
        == '<tool_call>\n{"name":"math","arguments":{"operation":"evaluate","expression":"84 + 5"}}\n</tool_call>'
    )
    last = say(TAGGED, request, first, results, second, '<tool_result name="math">\n89\n</tool_result>')
    assert "<tool_call>" not in last
    for part in ("returned: 84.", "weather returned: Sunny.", "returned: 89."):
        assert part in last


def test_without_an_example_or_a_reason_to_call_it_just_talks() -> None:
    assert say("Be kind.", "What is the weather like in Rome?").startswith("You asked")
    assert say(TAGGED, "Explain entropy").startswith("You asked")
