"""Answers in a given JSON Schema: plans, verdicts, choices with reasons, a tool's arguments, or values of the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devstack.model_server.calls import Call
from devstack.model_server.dialogue import Task, task_of
from devstack.model_server.reports import findings, shortened
from devstack.model_server.schema_shapes import kind_of, properties_of, resolved
from devstack.model_server.understanding.choice import arguments_for, spelled_out, wanted_calls
from devstack.model_server.understanding.concepts import concepts
from devstack.model_server.understanding.earlier import Result, says_nothing
from devstack.model_server.understanding.finders import PROPER
from devstack.model_server.understanding.intents import intents_of
from devstack.model_server.understanding.material import Noted, done, labelled, listed_tools, section, without_notes
from devstack.model_server.understanding.offers import Offer
from devstack.model_server.understanding.parts import stages
from devstack.model_server.values import ValueMaker
from devstack.model_server.words import words

_ARGUMENTS = re.compile(r"\b(?:tool's arguments|arguments of the tool)\b", re.IGNORECASE)
_FOR_THE_ANSWER = re.compile(
    r"(?:compare|summari[sz]e|write|explain|discuss|decide|recommend|conclude|draft|tell me (?:which|why)|say) ?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_TASK = ("task", "description", "goal", "title", "instruction", "objective", "what", "step")
_DONE = frozenset({"complete", "completed", "done", "sufficient", "enough", "satisfied", "answered", "finished"})
_TOLD = frozenset({"findings", "result", "results", "summary", "answer", "conclusion", "observations", "text"})
_WHY = frozenset({"reason", "why", "rationale", "explanation", "justification", "because"})
_MISSING = frozenset({"missing", "gaps", "open", "unanswered", "remaining", "todo"})


def structured(call: Call, schema: Mapping[str, Any]) -> Any:
    """The value that answers `call`, valid against `schema` as far as a value can be told from common keywords."""
    return _Answer(call, schema).value()


@dataclass(slots=True)
class _Verdict:
    missing: list[str]

    @property
    def reason(self) -> str:
        if not self.missing:
            return "Every part of the request has a result."
        return f"There is no result for: {'; '.join(self.missing)}."


class _Answer:
    """Looks at what the schema is for and what the prompt holds."""

    def __init__(self, call: Call, schema: Mapping[str, Any]) -> None:
        self._schema = resolved(schema, schema)
        self._root = schema
        self._task: Task = task_of(call.turns)
        self._system = "\n\n".join(turn.content for turn in call.turns if turn.role == "system")
        self._noted = done([self._system, self._task.request])
        self._request = without_notes(self._task.request)

    def value(self) -> Any:
        """See structured."""
        properties = properties_of(self._schema)
        if plan := self._plan_property(properties):
            return {plan: self._plan(properties[plan])}
        if verdict := self._verdict(properties):
            return verdict
        if self._noted and (told := next((name for name in properties if name in _TOLD), "")):
            return self._with(properties, {told: findings(self._results())})
        if chosen := self._choice(properties):
            return chosen
        if self._is_for_a_tool(properties):
            tool = Offer("", "", self._root)
            request = labelled(self._system, "request") or self._request
            return arguments_for(tool, self._request, request, self._results(), self._task.around)
        results = " ".join(result.content for result in self._task.results)
        return ValueMaker(f"{self._request} {results}".strip(), self._root).value(self._root)

    def _results(self) -> list[Result]:
        return [*(note.result for note in self._noted), *self._task.results]

    def _with(self, properties: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        """The object with these values, and the others out of the text."""
        maker = ValueMaker(self._request, self._root)
        return {name: known[name] if name in known else maker.value(properties[name], name) for name in properties}

    # Plans

    def _plan_property(self, properties: Mapping[str, Any]) -> str:
        """The name of the list of steps, each with a tool or at least a task; "" if the schema wants no plan."""
        for name, schema in properties.items():
            listed = resolved(schema, self._root)
            item = resolved(listed.get("items"), self._root) if kind_of(listed) == "array" else {}
            inner = properties_of(item)
            if {"tool", "tool_name", "action"} & set(inner) and set(_TASK) & set(inner):
                return name
        return ""

    def _plan(self, schema: object) -> list[dict[str, Any]]:
        listed = resolved(schema, self._root)
        inner = properties_of(resolved(listed.get("items"), self._root))
        offers = listed_tools(self._system, self._tool_names(inner))
        missing = section(self._system, "missing")
        steps: list[dict[str, Any]] = []
        before: list[str] = []
        for stage in self._stages(missing, offers):
            made = [_step(inner, len(steps) + place, *wanted, before) for place, wanted in enumerate(stage, 1)]
            before = [f"s{len(steps) + place}" for place in range(1, len(made) + 1)]
            steps += made
        if not steps and not missing and self._may_lack_a_tool(inner):
            steps = [_step(inner, 1, shortened(self._request, 400), None, [])]
        return steps[: int(listed.get("maxItems", 100))]

    def _stages(self, missing: Sequence[str], offers: Sequence[Offer]) -> list[list[tuple[str, str | None]]]:
        """What is to be done: parts of the request or what is missing of it, each with its tool."""
        tried = {(note.task, note.tool) for note in self._noted}
        found: list[list[tuple[str, str | None]]] = []
        for text in missing or [self._request]:
            left = [offer for offer in offers if (text, offer.name) not in tried] if missing else offers
            for stage in wanted_calls(text, left):
                found += [[(shortened(wanted.text, 400), wanted.tool.name) for wanted in stage]]
        if missing:  # what is missing is missing side by side
            found = [[wanted for stage in found for wanted in stage]] if found else []
        return found

    def _tool_options(self, inner: Mapping[str, Any]) -> list[Any]:
        schema = resolved(inner.get("tool", inner.get("tool_name", inner.get("action"))), self._root)
        options = [*(schema.get("enum") or ())]
        for option in schema.get("anyOf") or ():
            option = resolved(option, self._root)
            options += option.get("enum") or ([None] if option.get("type") == "null" else [])
        return options

    def _tool_names(self, inner: Mapping[str, Any]) -> list[str]:
        return [option for option in self._tool_options(inner) if isinstance(option, str)]

    def _may_lack_a_tool(self, inner: Mapping[str, Any]) -> bool:
        return None in self._tool_options(inner) or not self._tool_names(inner)

    # Verdicts

    def _verdict(self, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        done_name = next((name for name in properties if set(words(name)) & _DONE), "")
        if not done_name or kind_of(resolved(properties[done_name], self._root)) != "boolean":
            return None
        verdict = _Verdict(self._missing())
        known: dict[str, Any] = {done_name: not verdict.missing}
        for name, schema in properties.items():
            kind = kind_of(resolved(schema, self._root))
            if set(words(name)) & _MISSING:
                most = int(resolved(schema, self._root).get("maxItems", 100))
                known[name] = verdict.missing[:most] if kind == "array" else "; ".join(verdict.missing)
            elif set(words(name)) & _WHY and kind == "string":
                known[name] = verdict.reason
        return self._with(properties, known)

    def _missing(self) -> list[str]:
        """Parts of the request that nothing was done for, and tasks that failed."""
        good = [note for note in self._noted if not note.is_idle]
        missing = [note.task for note in self._noted if note.is_idle and not _covered(note.task, good)]
        told = self._told()
        texts = [text for stage in stages(self._request) for text in spelled_out(stage)]
        texts = [text for text in texts if len(concepts(text)) > 1 and not _FOR_THE_ANSWER.match(text)]
        open_texts = [text for text in texts if not _covered(text, self._noted) and not _speaks_of(told, text)]
        missing += [text.strip(" .") for text in open_texts]
        return list(dict.fromkeys(missing))

    def _told(self) -> str:
        """What the prompt says was found, besides the entries of what was done; not what it says was not found."""
        parts = re.split(r"\n\s*\n", without_notes(self._system))
        parts += [note.text for note in self._noted if not note.is_idle]
        parts += [result.content for result in self._task.results]
        return "\n".join(part for part in parts if not says_nothing(part))

    # Choices

    def _choice(self, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        """One of several options that the prompt describes, and why."""
        for name, schema in properties.items():
            options = resolved(schema, self._root).get("enum")
            if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
                continue
            described = {offer.name: offer for offer in listed_tools(self._system, options) if offer.description}
            if len(described) != len(options) or len(options) < 2:
                continue
            asked = concepts(f"{self._request} {self._needs()}")
            scores = {option: len(asked & concepts(described[option].description)) for option in options}
            best = max(options, key=lambda option: scores[option])
            shared = ", ".join(sorted(word.strip("=") for word in asked & concepts(described[best].description)))
            reason = f"The request shares words with what {best} is for: {shared}."
            reason = reason if shared else "Nothing speaks for another."
            known = {other: reason for other in properties if set(words(other)) & _WHY}
            return self._with(properties, {name: best, **known})
        return None

    def _needs(self) -> str:
        """What kind of answer the request needs, in the words that descriptions of agents have for it."""
        texts = [text for stage in stages(self._request) for text in spelled_out(stage)]
        count = sum(bool(intents_of(text)) for text in texts)
        if not count:
            return "conversation explanations texts"
        return "one tool look something up calculate" if count == 1 else "several things plan steps research"

    # Arguments

    def _is_for_a_tool(self, properties: Mapping[str, Any]) -> bool:
        """Whether the prompt asks for the arguments of a tool."""
        return bool(properties) and bool(_ARGUMENTS.search(self._system))


def _covered(text: str, noted: Sequence[Noted]) -> bool:
    """Whether something was done for `text`."""
    return any(note.task == text or _speaks_of(note.task, text) for note in noted)


def _speaks_of(told: str, text: str) -> bool:
    """Whether half of the words of `text` occur, and every name and number in it."""
    asked, known = concepts(text), concepts(told)
    special = concepts(" ".join([*PROPER.findall(text), *_NUMBER.findall(text)]))
    return special <= known and len(asked & known) * 2 >= max(1, len(asked))


def _step(inner: Mapping[str, Any], number: int, task: str, tool: str | None, before: Sequence[str]) -> dict[str, Any]:
    """One step of a plan in the names that its schema has for things."""
    step: dict[str, Any] = {}
    for name, schema in inner.items():
        kind = schema.get("type") if isinstance(schema, Mapping) else None
        parts = set(words(name.replace("_", " ")))
        if "id" in parts or name == "number":
            step[name] = number if kind in ("integer", "number") else f"s{number}"
        elif "depends" in parts or "after" in parts or "needs" in parts:
            step[name] = list(before)
        elif name in ("tool", "tool_name", "action"):
            step[name] = tool
        elif parts & set(_TASK):
            step[name] = task
    return step
