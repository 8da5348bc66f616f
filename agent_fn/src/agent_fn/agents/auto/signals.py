"""What a request looks like from outside: cheap signs of which agent it needs, without asking a model.

A sign speaks for one agent with a weight: 1 hints, 2 speaks for it, 3 and more all but decides. The weights were set by
the labelled requests of the tests.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent_fn.agents.auto import phrases
from agent_fn.conversation import Message, has_images, text_of

CHAT: Final = "chat"
REACT: Final = "react"
PLAN: Final = "plan-execute"

# The best has to lead by this much, or the signs disagree.
_LEAD: Final = 1.5
_READ_CHARACTERS: Final = 4000
_FOLLOW_UP_WORDS: Final = 8
_LONG_WORDS: Final = 60
_HISTORY: Final = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """`scores` by agent; `agent` leads them. `is_clear`: by so much that no model need be asked. `why`: for people."""

    agent: str
    scores: dict[str, float]
    is_clear: bool
    why: str


@dataclass(slots=True)
class _Tally:
    scores: dict[str, float] = field(default_factory=lambda: {CHAT: 0.0, REACT: 0.0, PLAN: 0.0})
    signs: list[tuple[str, str]] = field(default_factory=list)

    def add(self, agent: str, weight: float, sign: str) -> None:
        if weight:
            self.scores[agent] += weight
            self.signs.append((agent, sign))


def judge(conversation: Sequence[Message], tools: Iterable[str]) -> Verdict:
    """Which agent the last thing that the user said needs, where these tools are offered."""
    names = list(tools)
    if not names:
        return Verdict(CHAT, {CHAT: 3.0, REACT: 0.0, PLAN: 0.0}, True, "There are no tools.")
    last = next((message for message in reversed(conversation) if message["role"] == "user"), None)
    text = text_of(last)[:_READ_CHARACTERS].strip() if last else ""
    tally = _Tally()
    words = len(text.split())
    needs = _signs_of_tools(tally, text, names)
    _signs_of_several(tally, text, words, needs)
    _signs_of_talk(tally, text, words, shows_image=last is not None and has_images([last]))
    if words <= _FOLLOW_UP_WORDS and not phrases.GREETING.search(text):
        _signs_of_history(tally, text, conversation)
    return _verdict(tally)


def _signs_of_tools(tally: _Tally, text: str, tools: Sequence[str]) -> int:
    """Signs that a tool is needed; how many kinds of needs they are."""
    found = [
        (2.5, "asks to look something up", phrases.LOOKING_UP.search(text)),
        (1.5, "is about the present", phrases.CURRENT.search(text)),
        (2.5, "asks for live figures", phrases.LIVE.search(text)),
        (3.0, "has something to calculate", phrases.COMPUTING.search(text) or phrases.ARITHMETIC.search(text)),
        (2.5, "asks to do something", phrases.RUNNING.search(text)),
        (3.0, "names a web address", phrases.URL.search(text)),
        (1.5, "names an e-mail address", phrases.EMAIL.search(text)),
        (3.0, "names a tool", _names_a_tool(text, tools)),
    ]
    signs = [(weight, sign) for weight, sign, match in found if match]
    for weight, sign in signs:
        tally.add(REACT, weight, sign)
    # "today" beside "the weather" is no second need.
    return max(sum(weight >= 2.5 for weight, _ in signs), bool(signs))


def _names_a_tool(text: str, tools: Sequence[str]) -> bool:
    """Whether the text has the words of a tool's name, side by side: "web search" for web_search."""
    plain = f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "
    return any(f" {' '.join(re.findall(r'[a-z0-9]+', tool.lower()))} " in plain for tool in tools)


def _signs_of_several(tally: _Tally, text: str, words: int, needs: int) -> None:
    """Signs of more than one step. They count for little where nothing needs a tool: a model thinks by itself."""
    questions = text.count("?")
    follows = phrases.SEQUENCE.search(text) is not None
    if not needs:
        tally.add(PLAN, 2.0 if phrases.RESEARCH.search(text) else 0, "asks for research")
        tally.add(PLAN, 0.5 if follows else 0, "has steps that follow on one another")
        return
    tasks = sum(len(pattern.findall(text)) for pattern in (phrases.LOOKING_UP, phrases.LIVE, phrases.COMPUTING))
    tally.add(PLAN, 3.5 if phrases.RESEARCH.search(text) else 0, "asks for research")
    tally.add(PLAN, 4.0 if follows else 0, "has steps that follow on one another")
    tally.add(PLAN, 3.0 if len(phrases.LIST_LINE.findall(text)) >= 2 else 0, "lists several tasks")
    tally.add(PLAN, 3.0 if questions >= 3 else 1.5 * (questions == 2), "asks several questions")
    tally.add(PLAN, 2.0 if needs >= 2 and tasks >= 3 else 0, "needs several tools")
    tally.add(PLAN, 1.0 if words > _LONG_WORDS else 0, "is long")
    if tally.scores[PLAN]:
        # Steps that need tools show the signs of these tools, too: they speak for both.
        tally.scores[PLAN] += tally.scores[REACT] * 0.75


def _signs_of_talk(tally: _Tally, text: str, words: int, *, shows_image: bool) -> None:
    """Signs that a model answers this by itself."""
    tally.add(CHAT, 4.0 if phrases.GREETING.search(text) else 0, "is a greeting")
    tally.add(CHAT, 4.0 if words <= 12 and phrases.SELF.search(text) else 0, "asks who is speaking")
    tally.add(CHAT, 3.0 if phrases.WRITING.search(text) else 0, "asks for a text")
    tally.add(CHAT, 3.0 if phrases.REWORDING.search(text) else 0, "works on a text that is there")
    tally.add(CHAT, 2.5 if phrases.EXPLAINING.search(text) else 0, "asks for an explanation")
    tally.add(CHAT, 2.0 if shows_image else 0, "shows a picture")
    tally.add(CHAT, 1.5 if phrases.CODE.search(text) else 0, "holds code")


def _signs_of_history(tally: _Tally, text: str, conversation: Sequence[Message]) -> None:
    """A short question after an answer that needed tools needs them again."""
    earlier = [message for message in conversation if message["role"] in ("assistant", "tool")][-_HISTORY:]
    if any(message["role"] == "tool" or message.get("tool_calls") for message in earlier):
        tally.add(REACT, 3.0 if phrases.FOLLOW_UP.search(text) else 1.5, "follows on what tools have found")


def _verdict(tally: _Tally) -> Verdict:
    (agent, best), (_, second), _ = sorted(tally.scores.items(), key=lambda entry: -entry[1])
    if not best:
        return Verdict(CHAT, tally.scores, False, "Nothing speaks for any agent.")
    why = f"It {', '.join(sign for speaks_for, sign in tally.signs if speaks_for == agent)}."
    return Verdict(agent, tally.scores, best - second >= _LEAD, why)
