"""Plain text answers."""

from __future__ import annotations

from devstack.model_server.calls import Call
from devstack.model_server.frames import Answer


def simulated_text(tokens: int) -> str:
    """A text of exactly so many tokens whose words are numbered, so that a lost or doubled one shows."""
    return " ".join(f"w{number}" for number in range(1, tokens + 1))


def answer_in_prose(call: Call) -> Answer:
    """What the development model says."""
    question = next((turn.content for turn in reversed(call.turns) if turn.role == "user"), "")
    return Answer(f"I am dormouse-dev, a small program and not a language model. You said: {question}")
