"""Which calls a request leads to: the tool that fits, its arguments out of the request, and their order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from devstack.model_server.calls import Call
from devstack.model_server.catalog import BUILT_IN
from devstack.model_server.frames import Answer
from devstack.model_server.model import answer

from tests.unit.model_server.toolbox import CANVAS, TOOLS

MODEL = BUILT_IN[0]
CSV = "city,price\nRome,10\nOslo,20\nRome,30"
ROWS = '[{"city": "Rome", "price": 10}, {"city": "Oslo", "price": 20}]'
Message = dict[str, Any]


def say(messages: Sequence[Message], tools: list[dict[str, Any]] = TOOLS, **body: Any) -> Answer:
    return answer(MODEL, Call.of_chat({"model": MODEL.name, "messages": messages, "tools": tools, **body}), 64)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def calls(text: str, tools: list[dict[str, Any]] = TOOLS) -> list[tuple[str, dict[str, Any]]]:
    return functions(say([user(text)], tools))


def functions(said: Answer) -> list[tuple[str, dict[str, Any]]]:
    return [(call["function"]["name"], call["function"]["arguments"]) for call in said.tool_calls]


def turns(text: str, *results: Sequence[str], tools: list[dict[str, Any]] = TOOLS) -> tuple[list[Message], Answer]:
    """Ask, give each turn of calls its results, and return the conversation and what is said then."""
    messages = [user(text)]
    for contents in results:
        said = say(messages, tools)
        assert len(said.tool_calls) == len(contents), said
        messages.append({"role": "assistant", "content": "", "tool_calls": list(said.tool_calls)})
        for call, content in zip(said.tool_calls, contents, strict=True):
            messages.append({"role": "tool", "tool_name": call["function"]["name"], "content": content})
    return messages, say(messages, tools)


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("How much is 12 * (3+4)?", "math", {"operation": "evaluate", "expression": "12 * (3+4)"}),
        ("What is 17 times 23?", "math", {"operation": "evaluate", "expression": "17 * 23"}),
        ("What is 15% of 80?", "math", {"operation": "evaluate", "expression": "15/100 * 80"}),
        ("Solve x^2 - 4 = 0 for x", "math", {"operation": "solve", "expression": "x^2 - 4 = 0", "variable": "x"}),
        ("What is the derivative of x^3 + 2x?", "math", {"operation": "differentiate", "expression": "x^3 + 2x"}),
        (
            "Integrate sin(x) from 0 to pi",
            "math",
            {"operation": "integrate", "expression": "sin(x)", "lower": "0", "upper": "pi"},
        ),
        (
            "What is the limit of sin(x)/x as x approaches 0?",
            "math",
            {"operation": "limit", "expression": "sin(x)/x", "variable": "x", "at": "0"},
        ),
        ("What is the sum of 3, 4 and 8?", "math", {"operation": "evaluate", "expression": "3 + 4 + 8"}),
        ("Convert 100 km/h to mph", "math", {"operation": "convert", "expression": "100 km/h", "to": "mph"}),
        ("Is 97 prime?", "math", {"operation": "evaluate", "expression": "isprime(97)"}),
        (
            "What is the second derivative of sin(x)?",
            "math",
            {"operation": "differentiate", "expression": "sin(x)", "order": 2},
        ),
        (
            "Solve x + y = 3; x - y = 1 for x and y",
            "math",
            {"operation": "solve", "expression": "x + y = 3; x - y = 1", "variable": "x, y"},
        ),
        (
            "What is the sum of k^2 for k from 1 to 10?",
            "math",
            {"operation": "sum", "expression": "k^2", "variable": "k", "lower": "1", "upper": "10"},
        ),
        ("What is the weather in Paris?", "weather", {"place": "Paris"}),
        ("Give me a 3 day forecast for New York, please.", "weather", {"place": "New York", "days": 3}),
        ("Will it rain in Oslo tomorrow?", "weather", {"place": "Oslo"}),
        ("Who was Ada Lovelace?", "wikipedia", {"query": "Ada Lovelace"}),
        ("What is a dormouse?", "wikipedia", {"query": "dormouse"}),
        ("Tell me about the history of Rome", "wikipedia", {"query": "history of Rome"}),
        ("Search the web for Knative autoscaling", "web_search", {"query": "Knative autoscaling"}),
        ("What is the latest news on pgvector?", "web_search", {"query": "latest news on pgvector"}),
        ("Fetch http://127.0.0.1:9/a.txt and summarise it.", "http_get", {"url": "http://127.0.0.1:9/a.txt"}),
        (
            'Post {"name": "Ann"} to https://example.com/users.',
            "http_post",
            {"url": "https://example.com/users", "json": {"name": "Ann"}, "body": '{"name": "Ann"}'},
        ),
        (
            f"What is the average price per city in this table?\n{CSV}",
            "data_analysis",
            {"data": CSV, "steps": [{"do": "group_by", "columns": ["city"], "aggregate": {"price": ["mean"]}}]},
        ),
        (
            f"What is the highest price in {ROWS}?",
            "data_analysis",
            {"data": ROWS, "steps": [{"do": "max", "columns": ["price"]}]},
        ),
        ("Run this code:\n```python\nprint(1)\nprint(2)\n```", "python", {"code": "print(1)\nprint(2)"}),
        ("What do my documents say about holidays?", "rag_search", {"query": "holidays"}),
        ("Look up the user ann@example.com", "find_user", {"email": "ann@example.com"}),
        ("Show me item 42", "get_item", {"item_id": 42}),
        ("List the items of user 7", "list_user_items", {"user_id": 7}),
        (
            "Run the SQL query `select count(*) from orders`",
            "sql_query",
            {"sql": "select count(*) from orders"},
        ),
    ],
)
def test_the_tool_that_fits_is_called_with_arguments_from_the_request(
    text: str, name: str, arguments: dict[str, Any]
) -> None:
    assert calls(text) == [(name, arguments)]


@pytest.mark.parametrize(
    "text",
    ["Hello!", "Tell me a joke", "Who are you?", "Reply with exactly: 2 + 2", "Thanks, that is all", "Write a poem"],
)
def test_what_no_tool_is_for_is_answered_without_one(text: str) -> None:
    assert calls(text) == []


def test_parts_that_are_independent_are_asked_for_in_one_turn() -> None:
    assert calls("What is the weather in Rome and what is 6*7?") == [
        ("weather", {"place": "Rome"}),
        ("math", {"operation": "evaluate", "expression": "6*7"}),
    ]
    assert calls("What is the weather in Rome, Oslo and New York?") == [
        ("weather", {"place": "Rome"}),
        ("weather", {"place": "Oslo"}),
        ("weather", {"place": "New York"}),
    ]
    assert calls("Who was Ada Lovelace? Calculate 2+3. What is the weather in Kiel?") == [
        ("wikipedia", {"query": "Ada Lovelace"}),
        ("math", {"operation": "evaluate", "expression": "2+3"}),
        ("weather", {"place": "Kiel"}),
    ]
    assert calls("Please do this:\n1. Calculate 2+3\n2. Look up the user bo@example.com") == [
        ("math", {"operation": "evaluate", "expression": "2+3"}),
        ("find_user", {"email": "bo@example.com"}),
    ]


def test_a_part_that_needs_an_earlier_result_waits_for_it_and_uses_it() -> None:
    messages, said = turns("Calculate 12*7, then add 5 to the result", ["84"])
    assert functions(said) == [("math", {"operation": "evaluate", "expression": "84 + 5"})]
    messages, said = turns(
        "Look up the user ann@example.com and then list the items of that user", ['{"id": 7, "name": "Ann"}']
    )
    assert functions(said) == [("list_user_items", {"user_id": 7})]
    messages, said = turns("What is 3*3 and multiply it by 2?", ["3*3 = 9"])
    assert functions(said) == [("math", {"operation": "evaluate", "expression": "9 * 2"})]
    assert messages[0]["role"] == "user"


def test_the_answer_quotes_what_each_call_gave_and_calls_nothing_again() -> None:
    _, said = turns(
        "The weather in Rome and in Oslo, then 3*4",
        ["Sunny, 21 degrees.", "Snow"],
        ["12"],
    )
    assert said.tool_calls == ()
    assert "weather (place Rome) returned: Sunny, 21 degrees." in said.content
    assert "weather (place Oslo) returned: Snow." in said.content
    assert "math returned: 12." in said.content


def test_an_error_is_reported_as_one() -> None:
    _, said = turns("What is the weather in Atlantis?", ["There is no place called Atlantis."])
    assert "weather failed: There is no place called Atlantis." in said.content


def test_a_hint_behind_the_results_is_no_new_request() -> None:
    messages, _ = turns("Calculate 12*7", ["84"])
    said = say([*messages, user("You have no calls left. Answer with what you have.")], tools=[])
    assert "Calculate 12*7" in said.content
    assert "84" in said.content


def test_a_short_question_goes_on_with_the_one_before_it() -> None:
    messages, said = turns("What is the weather in Rome?", ["Sunny"])
    messages += [{"role": "assistant", "content": said.content}, user("And in Oslo?")]
    assert functions(say(messages)) == [("weather", {"place": "Oslo"})]


def test_an_answer_from_results_is_continued_from_any_character() -> None:
    messages, said = turns("The weather in Rome and 3*4", ["Sunny", "12"])
    for cut in range(len(said.content) + 1):
        begun = {"role": "assistant", "content": said.content[:cut]}
        assert said.content[:cut] + say([*messages, begun]).content == said.content


@pytest.mark.parametrize("piece", ["(", "[{", "1+", "a and ", "then ", "x,y\n", "“", "convert 1 a to ", "“a” with "])
def test_a_request_that_means_nothing_is_read_quickly(piece: str) -> None:
    request = piece * (20_000 // len(piece))
    began = time.process_time()
    say([SHELF, user(request)], [*CANVAS, *TOOLS])
    assert time.process_time() - began < 1.0


def test_a_schema_that_refers_to_itself_is_filled_as_far_as_the_request_goes() -> None:
    names = ["left", "right", "up", "down"]
    node = {"type": "object", "properties": {name: {"$ref": "#/$defs/node"} for name in names}}
    nodes = {name: {"type": "array", "items": {"$ref": "#/$defs/node"}} for name in names}
    parameters = {"type": "object", "properties": nodes, "$defs": {"node": node}}
    tree = {"type": "function", "function": {"name": "grow_tree", "description": "", "parameters": parameters}}
    ((name, _),) = calls("Please grow a tree", [tree])
    assert name == "grow_tree"


def test_an_artifact_is_written_when_one_is_asked_for() -> None:
    ((name, arguments),) = calls("Write a Python function that adds two numbers", CANVAS)
    assert (name, arguments["media_type"]) == ("create_artifact", "text/x-python")
    compile(arguments["content"], "artifact", "exec")
    ((_, arguments),) = calls('Create a markdown checklist called "Moving house" for boxes, keys and paint', CANVAS)
    assert (arguments["title"], arguments["media_type"]) == ("Moving house", "text/markdown")
    assert "boxes" in arguments["content"]


LIST = "art_0123456789abcdefABCDEFGH"
PAGE = "art_abcdefABCDEF0123456789ab"
SHELF = {
    "role": "system",
    "content": f"The artifacts:\n\n- {PAGE}: Winter (text/html)\n- {LIST}: Moving (text/markdown, version 1)",
}


@pytest.mark.parametrize(
    ("text", "artifact", "edit"),
    [
        ('Replace "boxes" with "crates"', LIST, {"find": "boxes", "replace": "crates"}),
        ('In the winter page, change "snow" to "deep snow"', PAGE, {"find": "snow", "replace": "deep snow"}),
        ("Rename boxes to crates", LIST, {"find": "boxes", "replace": "crates"}),
        ('Replace all "boxes" with "crates"', LIST, {"find": "boxes", "replace": "crates", "all": True}),
        ('Replace line 3 with "- nothing"', LIST, {"replace": "- nothing", "first_line": 3, "last_line": 3}),
    ],
)
def test_an_artifact_is_edited_by_what_the_request_says(text: str, artifact: str, edit: dict[str, Any]) -> None:
    said = say([SHELF, user(text)], [*CANVAS, *TOOLS])
    assert functions(said) == [("edit_artifact", {"id": artifact, "edits": [edit]})]


def test_an_artifact_holds_what_tools_have_found() -> None:
    request = "What is the weather in Rome? Then write a markdown report about it."
    _, said = turns(request, ["Sunny, 21 degrees."], tools=[*CANVAS, *TOOLS])
    ((name, arguments),) = functions(said)
    assert name == "create_artifact"
    assert "Sunny, 21 degrees." in arguments["content"]
