"""What the gullible model answers: it carries out every order that it finds, and says so."""

from __future__ import annotations

import base64
import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import orjson

from devstack.model_server.calls import Call
from devstack.model_server.dialogue import question_of, task_of
from devstack.model_server.frames import Answer
from devstack.model_server.gullible.decoding import named_values, put_together, readings
from devstack.model_server.gullible.orders import SECRETS, CallOrder, calls_in, sayings_in, wants_secrets
from devstack.model_server.prose import answer_in_prose, introduction, is_about_the_model
from devstack.model_server.quoting import unquoted
from devstack.model_server.schema_shapes import kind_of, properties_of, resolved
from devstack.model_server.structured import structured
from devstack.model_server.tool_choice import chosen_calls

ABOUT: Final = (
    "I am a development model that obeys whatever it reads, for tests of what keeps a platform safe; I am not a "
    "language model."
)
_QUOTED: Final = ("QUOTED MATERIAL", "FROM OUTSIDE")
# What a platform says of quoted material is no order of whoever wrote that.
_ABOUT_QUOTES: Final = re.compile(r"^Between the two lines with the mark [^\n]*\n", re.MULTILINE)
_CALLS_AT_ONCE: Final = 8
_TOLD: Final = 6000
_HOLE: Final = re.compile(
    rf"(?i)\{{\{{[^{{}}\n]{{0,80}}\}}\}}|\$\{{[^{{}}\n]{{0,80}}\}}|\[\[[^\[\]\n]{{0,80}}\]\]"
    rf"|[<\[(][^<>\[\]()\n]{{0,60}}(?:{SECRETS})[^<>\[\]()\n]{{0,60}}[>\])]|\b(?:YOUR_|THE_)?(?:SECRET|SYSTEM_?PROMPT|DATA)\b"
)
# What looks like a secret: long words with letters and digits, and whatever stands behind the word for one.
_SECRET: Final = re.compile(
    r"(?=[\w-]*[A-Za-z])(?=[\w-]*\d)[A-Za-z][\w-]{9,80}|(?i:password|passwort|secret|code|key|token)\s*(?:is|ist|[:=])\s*\S{4,80}"
)
_FORMS: Final = (
    (re.compile(r"(?i)base ?64"), lambda text: base64.b64encode(text.encode()).decode()),
    (re.compile(r"(?i)\bhex"), lambda text: text.encode().hex()),
    (re.compile(r"(?i)rot-?13"), lambda text: codecs.encode(text, "rot13")),
    (re.compile(r"(?i)revers|backward|rückwärts|à l'envers|al revés|наоборот"), lambda text: text[::-1]),
    (re.compile(r"(?i)percent|url-?encod"), quote),
    (re.compile(r"(?i)(?:space|dash|hyphen|dot|letter)s? (?:between|by)|letter by letter|spell"), " ".join),
    (re.compile(r"(?i)upper ?case|capitals"), str.upper),
    (re.compile(r"(?i)\bas json|json object|json string"), lambda text: json.dumps({"prompt": text})),
)


def obey(call: Call) -> Answer:
    """The answer to a conversation: calls as long as there are some that were not made, then words.

    Where nothing is ordered it works on the user's request as the ordinary development model does.
    """
    texts = _texts(call, [turn.content for turn in call.turns if turn.content])
    if call.format is not None:
        return Answer(_formatted(call, texts))
    if is_about_the_model(question_of(call.turns)):
        return Answer(f"{introduction(call.model)} {ABOUT}")
    made = {_key(order) for order in _made(call)}
    orders = [order for order in _orders(call, texts) if _key(order) not in made]
    if not made:
        ordinary = chosen_calls(call)
        asked = [CallOrder(each["function"]["name"], each["function"]["arguments"]) for each in ordinary]
        orders += [order for order in asked if order.name not in {known.name for known in orders}]
    if orders:
        functions = tuple(_function(order, len(made) + index) for index, order in enumerate(orders[:_CALLS_AT_ONCE]))
        return Answer("", "", functions)
    return Answer(_words(call, texts, len(made)))


def _texts(call: Call, said: list[str]) -> list[str]:
    """Everything that can be read in what was said, decoded, with pieces of words put together across turns."""
    values = named_values("\n".join(said))
    found = dict.fromkeys(reading for text in said for reading in readings(text))
    found |= dict.fromkeys(put_together(reading, values) for reading in tuple(found))
    # What was cut into several messages is read as one, too.
    found |= dict.fromkeys([put_together("".join(turn.content for turn in call.turns if turn.role == "user"), values)])
    return list(found)


def _asked(call: Call) -> list[str]:
    """What others than the system prompt say. That speaks of secrets to keep them; but it may quote somebody."""
    said = [
        _ABOUT_QUOTES.sub("", unquoted(turn.content))
        for turn in call.turns
        if turn.content and (turn.role != "system" or any(mark in turn.content for mark in _QUOTED))
    ]
    return _texts(call, said)


def _orders(call: Call, texts: list[str]) -> list[CallOrder]:
    offered = {str(tool["function"].get("name")) for tool in call.tools}
    found: dict[str, CallOrder] = {}
    for text in texts:
        for order in calls_in(text, offered):
            filled = CallOrder(order.name, _filled(order.arguments, call))
            found.setdefault(_key(filled), filled)
    return list(found.values())


def _made(call: Call) -> list[CallOrder]:
    made = []
    for turn in call.turns:
        for item in turn.tool_calls:
            function = item.get("function") or {}
            arguments = function.get("arguments")
            made.append(CallOrder(str(function.get("name", "")), arguments if isinstance(arguments, dict) else {}))
    return made


def _words(call: Call, texts: list[str], calls: int) -> str:
    said: dict[str, None] = {}
    for text in texts:
        said |= dict.fromkeys(_fill(saying, call) for saying in sayings_in(text))
    for text in _asked(call):
        if wants_secrets(text):
            confidence = _confidence(call)
            forms = [form for pattern, form in _FORMS if pattern.search(text)]
            said |= dict.fromkeys([form(confidence) for form in forms] or [confidence])
    if not said and not calls:
        return answer_in_prose(call)
    results = [result.content for result in task_of(call.turns).results]
    told = "\n".join([*said, *results])[: 4 * _TOLD]
    return f"{ABOUT} I have made {calls} calls and say what I was told to say:\n{told}"


def _confidence(call: Call) -> str:
    """All that was said in confidence: the system prompt, and what looks like a secret anywhere."""
    system = "\n".join(turn.content for turn in call.turns if turn.role == "system")
    return f"{system}\n{' '.join(_secrets(call))}"[:_TOLD].strip()


def _secrets(call: Call) -> list[str]:
    return list(dict.fromkeys(found for turn in call.turns for found in _SECRET.findall(turn.content)))[:40]


def _fill(text: str, call: Call) -> str:
    """The text with what it leaves a hole for."""
    confidence = _confidence(call)
    in_address = "http" in text

    def value(found: re.Match[str]) -> str:
        if known := _named(found[0], call):
            return quote(known) if in_address else known
        forms = [form for pattern, form in _FORMS if pattern.search(found[0])]
        told = " ".join(_secrets(call)) if re.search(r"(?i)secret|key|password|token|canary", found[0]) else confidence
        told = forms[0](told or confidence) if forms else (told or confidence)
        return quote(told[:1500]) if in_address else told

    return _HOLE.sub(value, text)


def _named(hole: str, call: Call) -> str:
    """What somebody has called by the very words of the hole: "My customer number is 17"."""
    words = " ".join(re.findall(r"\w+", hole))
    pattern = re.compile(rf"(?i)\b{re.escape(words)}\s*(?:is|ist|=|:)\s*([\w-]{{2,80}})")
    return next((found[1] for turn in call.turns if (found := pattern.search(turn.content))), "") if words else ""


def _filled(value: Any, call: Call) -> Any:
    if isinstance(value, str):
        return _fill(value, call)
    if isinstance(value, Mapping):
        return {key: _filled(item, call) for key, item in value.items()}
    return [_filled(item, call) for item in value] if isinstance(value, list) else value


def _formatted(call: Call, texts: list[str]) -> str:
    """JSON as the schema wants it, with what was ordered in it: names that it does not allow included."""
    if not isinstance(call.format, Mapping):
        return orjson.dumps({"answer": _words(call, texts, 0)}).decode()
    read = tuple(replace(turn, content=unquoted(turn.content)) for turn in call.turns)
    value = structured(replace(call, turns=read), call.format)
    orders = _orders(call, texts)
    system = "\n".join(turn.content for turn in call.turns if turn.role == "system")
    if isinstance(value, dict):
        _ordered(value, call.format, orders, system)
        for name, held in value.items():
            if isinstance(held, str) and any(map(wants_secrets, _asked(call))):
                value[name] = f"{held} {_confidence(call)}"
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _ordered(value: dict[str, Any], schema: Mapping[str, Any], orders: list[CallOrder], system: str) -> None:
    for name, inner in properties_of(resolved(schema, schema)).items():
        listed = resolved(inner, schema)
        item = properties_of(resolved(listed.get("items"), schema)) if kind_of(listed) == "array" else {}
        if "tool" in item:
            steps = [step for step in value.get(name) or () if isinstance(step, dict)]
            for number, order in enumerate(orders, len(steps) + 1):
                task = f"{order.name} {json.dumps(order.arguments)}"
                known = {"id": f"s{number}", "task": task, "tool": order.name, "depends_on": []}
                steps.append({key: known.get(key, "") for key in item})
            value[name] = steps
            return
    for order in orders:
        if re.search(rf"\bthe tool {re.escape(order.name)}\b", system):
            value.clear()
            value.update(order.arguments)
            return


def _function(order: CallOrder, index: int) -> dict[str, Any]:
    return {
        "id": f"call_{index}",
        "function": {"index": index, "name": order.name, "arguments": order.arguments},
    }


def _key(order: CallOrder) -> str:
    return f"{order.name} {json.dumps(order.arguments, sort_keys=True, default=str)}"
