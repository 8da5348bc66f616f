"""Plans as values: the schema a model is asked for, and what is made of what it wrote.

Models write plans with ids that occur twice, steps that wait for themselves and tools that nobody has. What can be set
right is; what can't is told, so that the model can be asked once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

MOST_STEPS: Final = 8
_TASK_CHARACTERS: Final = 500
_NO_TOOL: Final = frozenset(("", "none", "null", "no", "n/a", "-"))


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `tool` None: nothing is called, the model thinks. `depends_on`: ids of steps whose results it needs."""

    id: str
    task: str
    tool: str | None
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` can be carried out whatever `problems` say; those are sentences for the model that made it."""

    steps: Sequence[Step]
    problems: Sequence[str] = ()

    @property
    def calls_tools(self) -> bool:
        """Whether any step calls one."""
        return any(step.tool for step in self.steps)


def plan_schema(tools: Sequence[str]) -> dict[str, Any]:
    """What a plan looks like where there are these tools."""
    step = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "s1, s2 and so on"},
            "task": {"type": "string", "description": "what to find out or to do in this step"},
            "tool": {"enum": [*tools, None], "description": "the tool to call; null to think without one"},
            "depends_on": {
                "type": "array",
                "items": {"type": "string"},
                "description": "ids of the steps whose results this step needs",
            },
        },
        "required": ["id", "task", "tool", "depends_on"],
    }
    return {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": step, "maxItems": MOST_STEPS}},
        "required": ["steps"],
    }


def single_step(task: str) -> Plan:
    """The plan for when there is none: think, and answer."""
    return Plan([Step("s1", task[:_TASK_CHARACTERS], None)])


def read_plan(value: Any, tools: Sequence[str]) -> Plan | None:
    """The plan in what a model wrote; None where there is none in it.

    Ids become s1, s2, …; steps that occur twice become one; what waits for itself or for nothing does not wait.
    """
    written = value.get("steps") if isinstance(value, Mapping) else value
    if not isinstance(written, list):
        return None
    drafts = [draft for entry in written if (draft := _draft(entry)) is not None]
    if not drafts and written:
        return None
    problems: list[str] = []
    written_ids: dict[str, str] = {}
    numbers: dict[str, str] = {}
    steps: list[Step] = []
    same: dict[tuple[str, str | None], str] = {}
    for number, draft in enumerate(drafts, 1):
        tool = _known_tool(draft.tool, tools)
        if draft.tool is not None and tool is None:
            problems.append(f"Step {draft.id or number}: there is no tool {draft.tool!r}.")
        known = same.get((draft.task, tool))
        if known is None and len(steps) == MOST_STEPS:
            continue
        identity = known or f"s{len(steps) + 1}"
        written_ids.setdefault(draft.id, identity)
        numbers |= {str(number): identity, f"s{number}": identity}
        if known is None:
            same[draft.task, tool] = identity
            steps.append(Step(identity, draft.task, tool, draft.depends_on))
    ids = numbers | written_ids
    return Plan(_ordered([_with_known_dependencies(step, ids) for step in steps]), problems)


def _draft(entry: Any) -> Step | None:
    """A step as it was written; None where nothing says what to do."""
    if isinstance(entry, str):
        entry = {"task": entry}
    if not isinstance(entry, Mapping):
        return None
    task = next((text for name in ("task", "description", "title") if (text := _text(entry.get(name)))), "")
    tool: Any = entry.get("tool")
    if isinstance(tool, Mapping):
        tool = tool.get("name")
    tool = _text(tool)
    depends_on = entry.get("depends_on")
    if not isinstance(depends_on, list):
        depends_on = [] if depends_on is None else [depends_on]
    if not task and tool.lower() in _NO_TOOL:
        return None
    return Step(
        id=_text(entry.get("id")),
        task=(task or f"Call {tool}.")[:_TASK_CHARACTERS],
        tool=None if tool.lower() in _NO_TOOL else tool,
        depends_on=tuple(filter(None, map(_text, depends_on))),
    )


def _text(value: Any) -> str:
    return " ".join(str(value).split()) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _known_tool(name: str | None, tools: Sequence[str]) -> str | None:
    """The tool that is meant: "Web Search" is web_search, "functions.math" is math."""
    if name is None:
        return None
    if name in tools:
        return name
    meant = _plain(name)
    last = _plain(name.rpartition(".")[2])
    return next((tool for tool in tools if _plain(tool) in (meant, last)), None)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _with_known_dependencies(step: Step, ids: Mapping[str, str]) -> Step:
    found = dict.fromkeys(ids[name] for name in step.depends_on if name in ids)
    found.pop(step.id, None)
    return replace(step, depends_on=tuple(found))


def _ordered(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps without circles: one that waits, by way of others, for itself waits only for steps before it."""
    settled: set[str] = set()
    waiting = list(steps)
    while waiting:
        free = [step for step in waiting if settled.issuperset(step.depends_on)]
        if not free:
            places = {step.id: place for place, step in enumerate(steps)}
            return [
                replace(step, depends_on=tuple(name for name in step.depends_on if places[name] < places[step.id]))
                if step in waiting
                else step
                for step in steps
            ]
        settled.update(step.id for step in free)
        waiting = [step for step in waiting if step.id not in settled]
    return steps
