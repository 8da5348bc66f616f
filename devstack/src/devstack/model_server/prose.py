"""Plain answers: who it is, an echo, a quotation of what it was given, or a text made of the question's words."""

from __future__ import annotations

import functools
import hashlib
import math
import random
import re
from collections.abc import Sequence

from devstack.model_server.calls import Call, Turn
from devstack.model_server.dialogue import question_of
from devstack.model_server.reports import shortened
from devstack.model_server.words import sentences, stems, topic_words

MAX_WORDS = 20_000
MAX_PASSAGES = 200_000
_WHO = re.compile(
    r"\b(?:who|what) (?:exactly )?are you\b|\bwho is this\b|\byour name\b|\bwhat (?:model|llm|ai) (?:are|is)\b"
    r"|\bwhich (?:model|llm|ai)\b"
    r"|\bare you (?:an? |the )?(?:real )?(?:llm|ai|gpt|chatgpt|language model|human|person|bot|model)\b",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^(?:hi|hello|hey|good (?:morning|day|evening)|thanks|thank you)\b", re.IGNORECASE)
_ECHO = re.compile(
    r"^(?:please )?(?:say|repeat|(?:reply|answer|respond) with)"
    r"(?: exactly| only| just| this| the words?)*\s*:?\s+(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_COUNT = re.compile(r"\bcount (?:from 1 |from one |up )?to (\d{1,5})\b", re.IGNORECASE)
_LENGTH = re.compile(r"\b(\d{2,5}) words\b", re.IGNORECASE)
_STORY = re.compile(r"\b(?:story|tale|poem|once)\b", re.IGNORECASE)
_MARK = re.compile(r"^\s*[\[(](\d{1,3})[\])]")

_EXPLANATION = (
    "Think of {a} first, because {b} rests on it.",
    "Whoever meets {a} for the first time tends to overlook {b}.",
    "There are two sides to {a}: the one that shows, and {b}.",
    "Without {a} there would be little to say about {b}.",
    "Put {a} next to {b} and the difference is easy to see.",
    "It helps to take {a} apart before going on to {b}.",
    "In the end {a} and {b} belong together.",
    "A good question about {a} always asks for {b} as well.",
    "Some say {a} matters most, others begin with {b}.",
    "One step after the other: {a}, and only then {b}.",
)
_TALE = (
    "Once upon a time {a} lived beside {b}, and neither knew the other.",
    "One morning {a} woke up and found that {b} had gone.",
    "So {a} set out across the hills to look for {b}.",
    "On the way it met a dormouse, who had slept through all of {b}.",
    "“Ask {a},” said the dormouse, “and leave {b} to the winter.”",
    "By evening {a} had learned more about {b} than it wanted to know.",
    "Nobody had told {a} that {b} was waiting behind the door.",
    "That night {a} and {b} shared the last of the hazelnuts.",
    "And if {b} has not ended, {a} is still telling of it today.",
    "Far away, in a quiet burrow, {b} dreamed of {a}.",
)


@functools.lru_cache(maxsize=16)
def simulated_text(tokens: int) -> str:
    """A text of exactly so many tokens whose words are numbered, so that a lost or doubled one shows."""
    return " ".join(f"w{number}" for number in range(1, tokens + 1))


def introduction(model: str) -> str:
    """What the model says it is."""
    name = model.removesuffix(":latest")
    return (
        f"I am {name}, the development model of Dormouse. I am not a language model: a small deterministic program "
        "makes my answers from the words of the question, so that the platform around me can be developed and tested "
        "without a GPU. Start Ollama with a model of your choice and Dormouse will use that one instead."
    )


def is_about_the_model(question: str) -> bool:
    """Whether somebody asks the model what it is, or only greets it."""
    return bool(_WHO.search(question) or (_GREETING.match(question) and len(question.split()) <= 4))


def is_echo(question: str) -> bool:
    """Whether the model is to repeat or to count something."""
    return bool(_ECHO.match(question) or _COUNT.search(question))


def answer_in_prose(call: Call) -> str:
    """The answer to the last question of a conversation without tools."""
    question = question_of(call.turns)
    name = call.model.removesuffix(":latest")
    if _WHO.search(question):
        return introduction(call.model)
    if _GREETING.match(question) and len(question.split()) <= 4:
        return (
            f"Hello! This is {name}, a development model and not an LLM. Ask me something and watch the answer stream."
        )
    if found := _ECHO.match(question):
        return found.group(1).strip().strip("\"'“”")
    if found := _COUNT.search(question):
        return ", ".join(str(number) for number in range(1, min(int(found.group(1)), MAX_WORDS) + 1))
    if quoted := quotation(call.turns, question):
        return quoted
    return _made_up(call, question)


def thoughts(call: Call) -> str:
    """What the model shows as its thinking."""
    topics = topic_words(question_of(call.turns))[:5] or ["nothing in particular"]
    return (
        f"The question is about {', '.join(topics)}. The conversation has {len(call.turns)} "
        f"{'message' if len(call.turns) == 1 else 'messages'} and there are {len(call.tools)} tools. "
        "I look for a tool that fits, then for a passage to quote, and otherwise use the words of the question."
    )


def quotation(turns: Sequence[Turn], question: str) -> str:
    """Up to three sentences of the conversation that share the most words with the question; "" if none does."""
    asked = stems(_last_paragraph(question))
    if not asked:
        return ""
    needed = max(1, math.ceil(len(asked) * 0.34))
    found: list[tuple[int, int, str]] = []
    for text in _passages(turns, question):
        mark = _MARK.match(text)
        for sentence in sentences(text):
            shared = len(asked & stems(sentence))
            if shared >= needed and sentence.strip() != question and not sentence.endswith("?"):
                bare = _MARK.sub("", sentence).strip()
                found.append((-shared, len(found), f"“{bare}”" + (f" [{mark.group(1)}]" if mark else "")))
    if not found:
        return ""
    best = [text for _, _, text in sorted(found)[:3]]
    return (
        f"Here is what I was told that fits: {' '.join(dict.fromkeys(best))} "
        "I am a development model: I quote the sentences that share words with the question and add nothing."
    )


def _passages(turns: Sequence[Turn], question: str) -> list[str]:
    """Paragraphs and marked passages before the question, the question's own leading paragraphs included."""
    texts = [turn.content for turn in turns if turn.role in ("system", "tool", "user")]
    if texts and question:
        texts = [text for text in texts if text.strip() != question]
        own = question.removesuffix(_last_paragraph(question))
        texts += [own] if own else []
    texts = [text[:MAX_PASSAGES] for text in texts]
    return [part for text in texts for part in re.split(r"\n+|(?=\[\d{1,3}\] )", text) if part.strip()]


def _last_paragraph(text: str) -> str:
    return re.split(r"\n\s*\n|\n(?=[^\n]*\?\s*$)", text.strip())[-1]


def _made_up(call: Call, question: str) -> str:
    spoken = "\x00".join(f"{turn.role}\x01{turn.content}" for turn in call.turns)
    seed = hashlib.blake2b(f"{call.seed}\x00{spoken}".encode(errors="replace"), digest_size=8).digest()
    choice = random.Random(seed)  # noqa: S311 - the same question must always get the same answer
    topics = topic_words(shortened(question, 2000)) or ["silence"]
    templates = list(_TALE if _STORY.search(question) else _EXPLANATION)
    choice.shuffle(templates)
    length = _LENGTH.search(question)
    wanted = min(int(length.group(1)), MAX_WORDS) if length else 70 + choice.randrange(45)
    text = [
        f"{_asked(call, 120)} I am a development model and know nothing about the world, "
        "so here is a text made of your own words."
    ]
    count = 0
    while count < wanted - len(text[0].split()):
        first = choice.choice(topics)
        second = choice.choice([topic for topic in topics if topic != first] or ["everything around it"])
        text.append(templates[len(text) % len(templates)].format(a=first, b=second))
        count += len(text[-1].split())
    return " ".join(text)


def _asked(call: Call, limit: int) -> str:
    question = shortened(question_of(call.turns), limit)
    return f"You asked: “{question}”" + ("" if question.endswith(("?", "!", ".", "…")) else ".")
