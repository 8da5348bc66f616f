"""The development model: a deterministic program that turns a conversation into an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from devstack.model_server.calls import Call, Turn
from devstack.model_server.catalog import Model
from devstack.model_server.dialogue import task_of
from devstack.model_server.frames import Answer
from devstack.model_server.gullible.model import obey
from devstack.model_server.prose import answer_in_prose, simulated_text, thoughts
from devstack.model_server.quoting import unquoted
from devstack.model_server.reports import report
from devstack.model_server.structured import structured
from devstack.model_server.text_protocol import translated
from devstack.model_server.tokens import count_tokens, split_tokens
from devstack.model_server.tool_choice import chosen_calls, next_calls
from devstack.model_server.understanding.material import done
from devstack.model_server.understanding.offers import offered


def answer(model: Model, call: Call, simulated_tokens: int, scripted: Answer | None = None) -> Answer:
    """What `model` says to `call`: always the same to the same conversation, or what a script wants it to say.

    An assistant message at the end is continued: when the whole answer begins with it, exactly the rest is said.
    """
    begun = call.begun
    whole = scripted or _whole(model, replace(call, turns=call.conversation), simulated_tokens)
    whole = _stopped(whole, call.stop)
    if begun is not None and model.prefill:
        whole = _rest(whole, begun)
    return _limited(whole, call.num_predict)


def prompt_tokens(call: Call) -> int:
    """Tokens of the prompt: all messages, four more for each, and the tools.

    An assistant's turn that is left open costs no more than its text: its beginning stands before every answer.
    """
    spoken = sum(count_tokens(turn.content) + 4 for turn in call.turns)
    if call.begun is not None:
        spoken -= 4
    return spoken + sum(count_tokens(str(tool)) for tool in call.tools)


def _whole(model: Model, call: Call, simulated_tokens: int) -> Answer:
    if model.simulated:
        return Answer(simulated_text(simulated_tokens))
    if model.gullible:
        return obey(call)
    call = replace(call, turns=tuple(replace(turn, content=unquoted(turn.content)) for turn in call.turns))
    thinking = thoughts(call) if call.think else ""
    if call.format is not None:
        return Answer(_formatted(call), thinking)
    if shown := translated(call):
        call, form = shown
        if functions := next_calls(task_of(call.turns), offered(call.tools)):
            return Answer(form.written(functions), thinking)
    elif calls := chosen_calls(call):
        return Answer("", thinking, calls)
    return Answer(_in_words(call), thinking)


def _formatted(call: Call) -> str:
    if isinstance(call.format, Mapping):
        value = structured(call, call.format)
    else:
        task = task_of(call.turns)
        results = " ".join(result.content for result in task.results)
        value = {"question": task.request, "answer": results or answer_in_prose(call)}
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _in_words(call: Call) -> str:
    """The answer without a schema: what tools gave or what the prompt says they did, else prose."""
    task = task_of(call.turns)
    told = [turn.content for turn in call.turns if turn.role == "system"]
    results = [*(note.result for note in done(told)), *task.results]
    return report(task.request, results) if results else answer_in_prose(call)


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
