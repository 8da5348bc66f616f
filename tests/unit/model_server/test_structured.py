"""Answers in a schema that prompts of agents ask for: plans, verdicts, findings, arguments, choices."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
from devstack.model_server.calls import Call
from devstack.model_server.catalog import BUILT_IN
from devstack.model_server.model import answer

from tests.unit.model_server.toolbox import MATH, TOOLS

MODEL = BUILT_IN[0]
NAMES = [tool["function"]["name"] for tool in TOOLS]
LISTED = "The tools:\n" + "\n".join(
    f"- {tool['function']['name']}: {tool['function']['description']}" for tool in TOOLS
)
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
STEP = {
    "type": "object",
    "properties": {"id": TEXT, "task": TEXT, "tool": {"enum": [*NAMES, None]}, "depends_on": TEXTS},
    "required": ["id", "task", "tool", "depends_on"],
}
PLAN = {
    "type": "object",
    "properties": {"steps": {"type": "array", "items": STEP, "maxItems": 8}},
    "required": ["steps"],
}
VERDICT = {
    "type": "object",
    "properties": {"complete": {"type": "boolean"}, "missing": TEXTS, "reason": TEXT},
    "required": ["complete", "missing", "reason"],
}
FINDINGS = {"type": "object", "properties": {"findings": TEXT}, "required": ["findings"]}
RESULTS = (
    "The results:\n\n- Calculate 12*7 (math) — done\n84\n\n- The weather in Rome (weather) — done\nSunny\n- 21 degrees"
)


def ask(system: str, request: str, schema: dict[str, Any]) -> Any:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": request}]
    value = orjson.loads(said(messages, format=schema))
    jsonschema_rs.validate(schema, value)
    return value


def said(messages: list[dict[str, Any]], **body: Any) -> str:
    return answer(MODEL, Call.of_chat({"model": MODEL.name, "messages": messages, **body}), 64).content


def steps(request: str, system: str = LISTED) -> list[tuple[str, str | None, list[str]]]:
    made = ask(system, request, PLAN)["steps"]
    assert [step["id"] for step in made] == [f"s{number}" for number in range(1, len(made) + 1)]
    return [(step["task"], step["tool"], step["depends_on"]) for step in made]


def test_a_plan_has_a_step_for_each_part_with_its_tool_and_what_it_waits_for() -> None:
    assert steps("Who was Ada Lovelace, and what is 6*7? Then add 1 to the result.") == [
        ("Who was Ada Lovelace", "wikipedia", []),
        ("what is 6*7?", "math", []),
        ("add 1 to the result.", "math", ["s1", "s2"]),
    ]


def test_where_no_tool_helps_a_plan_has_one_step_without_one() -> None:
    assert steps("Explain entropy") == [("Explain entropy", None, [])]


def test_the_next_plan_is_for_what_is_missing_and_tries_another_tool() -> None:
    system = (
        f"{LISTED}\n\nEarlier steps were:\n- Who was Foo Bar? (wikipedia) — failed: No article.\n- 6*7 (math) — done"
        "\n\nThis is still missing:\n- Who was Foo Bar?\n- the weather in Oslo\n\nPlan just that."
    )
    assert steps("Who was Foo Bar? What is 6*7, and the weather in Oslo?", system) == [
        ("Who was Foo Bar?", "web_search", []),
        ("the weather in Oslo", "weather", []),
    ]


def test_a_verdict_says_complete_when_every_part_has_a_result() -> None:
    request = "Calculate 12*7 and tell me the weather in Rome"
    assert ask(RESULTS, request, VERDICT)["complete"] is True
    verdict = ask(RESULTS, f"{request}, then look up the user ann@example.com", VERDICT)
    assert (verdict["complete"], verdict["missing"]) == (False, ["look up the user ann@example.com"])
    failed = ask("The results:\n\n- Who was Foo? (wikipedia) — failed: No article.", "Who was Foo?", VERDICT)
    assert (failed["complete"], failed["missing"]) == (False, ["Who was Foo?"])
    assert "Who was Foo?" in failed["reason"]


def test_findings_quote_the_results() -> None:
    findings = ask(RESULTS, "Calculate 12*7 and the weather in Rome", FINDINGS)["findings"]
    assert findings == "math returned: 84.\n\nweather returned:\n\n> Sunny\n> - 21 degrees"


def test_the_answer_quotes_the_results_that_the_prompt_holds() -> None:
    content = said([{"role": "system", "content": RESULTS}, {"role": "user", "content": "Calculate 12*7"}])
    assert "math returned: 84." in content
    assert "weather returned:\n\n> Sunny\n> - 21 degrees\n\n" in content


def test_the_arguments_of_a_tool_come_from_its_task_and_what_is_known() -> None:
    schema = MATH["function"]["parameters"]
    system = (
        "Answer with the tool's arguments.\n\nThe plan serves this request: Calculate 12*7, then add 5 to the result"
    )
    assert ask(system, "Calculate 12*7", schema) == {"operation": "evaluate", "expression": "12*7"}
    known = "What is known:\n\n- Calculate 12*7 (math) — done\n84"
    assert ask(system, f"add 5 to the result\n\n{known}", schema) == {"operation": "evaluate", "expression": "84 + 5"}


def test_a_choice_goes_to_the_option_whose_description_shares_words_and_says_why() -> None:
    system = "- chat: talks, writes and explains\n- react: looks something up with tools, for instance the weather\n"
    schema = {"type": "object", "properties": {"agent": {"enum": ["chat", "react"]}, "reason": TEXT}}
    chosen = ask(system, "Look up the weather in Rome", schema)
    assert chosen["agent"] == "react"
    assert "weather" in chosen["reason"]
    assert ask(system, "Please explain how to write well", schema)["agent"] == "chat"
