"""The react agent on a stage: what its model server refuses, and every place at which its run may be cut."""

import pytest
from agent_fn.models.port import ModelCall, ModelDescription
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from agent_fn import errors
from tests.unit.agent_fn.stage import MODEL, Log, Puts, Said, ScriptedTools, Stage

TEXT_ONLY = ModelDescription("plain", frozenset({"completion"}), continues=True, context_length=32_768)


def tools() -> ScriptedTools:
    return ScriptedTools(
        {"look": lambda arguments: f"It is {arguments['of']}.", "send": lambda _: "Sent.", "pay": lambda _: "Paid."},
        with_side_effects=frozenset({"send", "pay"}),
        to_approve=frozenset({"pay"}),
    )


def results(call: ModelCall) -> int:
    """How many results the model sees, in whichever form."""
    return sum((message["role"] == "tool") + str(message["content"]).count("<tool_result") for message in call.messages)


def three_turns(call: ModelCall) -> Said:
    """look and send, then pay, then the answer; as text where the model knows no tools."""
    wanted = {0: [("look", {"of": "late"}), ("send", {"of": "it"})], 2: [("pay", {"of": "it"})]}.get(results(call), [])
    if call.tools:
        return Said("" if wanted else "All is done.", wanted)
    written = "".join(f'<tool_call>{{"name": "{name}", "arguments": {{"of": "it"}}}}</tool_call>' for name, _ in wanted)
    return Said(f"Well. {written}" if wanted else "All is done.")


@pytest.mark.parametrize("model", [MODEL, TEXT_ONLY], ids=["native", "text"])
async def test_cut_anywhere_a_run_comes_to_the_same_end(model: ModelDescription) -> None:
    whole = await to_the_end(Stage(three_turns, tools(), model=model), [])
    assert whole.messages["run_1.m3"].text == "All is done."
    puts = await Stage(three_turns, tools(), model=model).run("react", "Do it.", can_interrupt=True)
    for cut in range(len(puts)):
        stage = Stage(three_turns, tools(), model=model)
        # The tools have done what is in the log, and perhaps more.
        await stage.run("react", "Do it.", can_interrupt=True)
        again = await to_the_end(stage, puts[:cut])
        assert again.messages.keys() == whole.messages.keys()
        assert [said.text for said in again.messages.values()] == [said.text for said in whole.messages.values()]
        assert again.calls == whole.calls
        assert sorted(stage.tools.effects) == ["run_1:run_1.m1.c2", "run_1:run_1.m2.c1"]


async def to_the_end(stage: Stage, told: Puts) -> Log:
    """The log of a run that goes on from what is told, through its question, to its end."""
    log = Log(told)
    for events in await stage.run("react", "Do it.", log=log, can_interrupt=True):
        log.add(events)
    log = log.answered("run_1.m2.c1.approval", {"action": "approve"})
    for events in await stage.run("react", "Do it.", log=log, can_interrupt=True):
        log.add(events)
    return log


async def test_a_conversation_that_the_model_server_refuses_is_sent_without_its_long_results() -> None:
    lengths: list[int] = []

    def script(call: ModelCall) -> Said:
        if not results(call):
            return Said(calls=[("look", {"of": "it"})])
        lengths.append(len(str(call.messages)))
        if lengths[-1] > 4000:
            raise errors.context_length_exceeded("scripted")
        return Said("Enough.")

    log = Log(await Stage(script, ScriptedTools({"look": lambda _: "y" * 5000})).run("react", "Do it."))
    assert log.messages["run_1.m2"].text == "Enough."
    assert len(lengths) == 2


async def test_a_conversation_that_stays_too_long_is_an_error() -> None:
    def script(call: ModelCall) -> Said:
        raise errors.context_length_exceeded("scripted")

    with pytest.raises(DormouseError) as failed:
        await Stage(script, tools()).run("react", "Do it.")
    assert failed.value.reason == error_pb2.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED


async def test_a_call_that_the_model_server_cannot_read_is_asked_for_again() -> None:
    asked: list[ModelCall] = []

    def script(call: ModelCall) -> Said:
        asked.append(call)
        if len(asked) < 3:
            raise errors.UnreadableToolCall
        return Said("There.")

    log = Log(await Stage(script, tools()).run("react", "Do it."))
    assert log.messages["run_1.m1"].text == "There."
    assert "cannot be read" in str(asked[1].messages[-1]["content"])


async def test_after_three_of_them_the_run_may_be_tried_again() -> None:
    def script(call: ModelCall) -> Said:
        raise errors.UnreadableToolCall

    with pytest.raises(DormouseError) as failed:
        await Stage(script, tools()).run("react", "Do it.")
    assert failed.value.retryable
