"""The development model: a deterministic program that turns a conversation into an answer."""

from __future__ import annotations

from dataclasses import replace

from devstack.model_server.calls import Call, Turn
from devstack.model_server.catalog import Model
from devstack.model_server.frames import Answer
from devstack.model_server.prose import answer_in_prose, simulated_text
from devstack.model_server.tokens import count_tokens, split_tokens


def answer(model: Model, call: Call, simulated_tokens: int) -> Answer:
    """What `model` says to `call`: always the same to the same conversation.

    An assistant message at the end is continued: when the whole answer begins with it, exactly the rest is said.
    """
    turns, begun = call.turns, None
    if turns[-1].role == "assistant" and not turns[-1].tool_calls:
        turns, begun = turns[:-1], turns[-1]
    whole = _stopped(_whole(model, replace(call, turns=turns), simulated_tokens), call.stop)
    if begun is not None and model.prefill:
        whole = _rest(whole, begun)
    return _limited(whole, call.num_predict)


def prompt_tokens(call: Call) -> int:
    """Tokens of the prompt: all messages, four more for each, and the tools."""
    spoken = sum(count_tokens(turn.content) + 4 for turn in call.turns)
    return spoken + sum(count_tokens(str(tool)) for tool in call.tools)


def _whole(model: Model, call: Call, simulated_tokens: int) -> Answer:
    if model.simulated:
        return Answer(simulated_text(simulated_tokens))
    return answer_in_prose(call)


def _stopped(whole: Answer, stops: tuple[str, ...]) -> Answer:
    cuts = [at for stop in stops if (at := whole.content.find(stop)) >= 0]
    return replace(whole, content=whole.content[: min(cuts)], tool_calls=()) if cuts else whole


def _rest(whole: Answer, begun: Turn) -> Answer:
    if begun.content:
        rest = whole.content.removeprefix(begun.content) if whole.content.startswith(begun.content) else whole.content
        return replace(whole, thinking="", content=rest)
    return replace(whole, thinking=whole.thinking.removeprefix(begun.thinking))


def _limited(whole: Answer, limit: int) -> Answer:
    if limit <= 0:
        return whole
    thinking, content = split_tokens(whole.thinking), split_tokens(whole.content)
    if len(thinking) + len(content) <= limit:
        return whole
    kept = content[: max(0, limit - len(thinking))]
    return Answer("".join(kept), "".join(thinking[:limit]), (), length=True)
