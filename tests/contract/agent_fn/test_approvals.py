"""Tools that need approval wait for a person, while nothing of the run is left here."""

from typing import Any

import orjson
import pytest
from dormouse.agent.v1.agent_pb2 import ThreadRef
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import InterruptAnswer
from dormouse.common.v1 import error_pb2

from tests.contract.agent_fn.caller import Caller, Event, kinds, only, recovery, text_of
from tests.contract.agent_fn.conftest import Tooled
from tests.contract.agent_fn.test_react import called, react, results_of

DELETE = "run_1.m1.c1"


def answer(response: Any, call_id: str = DELETE) -> InterruptAnswer:
    return InterruptAnswer(interrupt_id=f"{call_id}.approval", response_json=orjson.dumps(response).decode())


async def interrupted(caller: Caller, asked: ExecuteRequest) -> list[Event]:
    """What a run says until it asks; `asked` is then what goes on with it."""
    events = await caller.run(asked)
    assert kinds(events)[-1] == "run_interrupted"
    asked.recovery.CopyFrom(recovery(events[:-1]))
    return events


async def test_a_call_waits_for_approval_while_the_others_run(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("delete", "look", text="x"), {"content": "Done."})
    asked = react(can_interrupt=True)
    events = await interrupted(user_of_tools, asked)
    [interrupt] = only(events, "run_interrupted").interrupts
    assert (interrupt.id, interrupt.reason, interrupt.tool_call_id) == (f"{DELETE}.approval", "tool_approval", DELETE)
    assert orjson.loads(interrupt.details_json) == {"tool": "delete", "arguments": {"text": "x"}}
    assert "delete" in interrupt.message
    assert orjson.loads(interrupt.response_json_schema)["required"] == ["action"]
    assert tooled.tools.names() == ["look"]
    assert list(results_of(events)) == ["run_1.m1.c2"]
    asked.answers.append(answer({"action": "approve"}))
    rest = await user_of_tools.run(asked)
    assert tooled.tools.names() == ["look", "delete"]
    assert list(results_of(rest)) == [DELETE]
    assert text_of(rest) == "Done."


async def test_a_person_may_change_the_arguments(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("delete", text="all"), {"content": "Done."})
    asked = react(can_interrupt=True)
    await interrupted(user_of_tools, asked)
    asked.answers.append(answer({"action": "edit", "arguments": {"text": "one"}}))
    result = only(await user_of_tools.run(asked), "tool_result")
    assert [call.arguments for call in tooled.tools.calls] == [{"text": "one"}]
    assert '{"text":"one"}' in result.content
    assert result.content.endswith("delete says one")


async def test_a_person_may_refuse(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("delete"), called("delete"), {"content": "Then not."})
    asked = react(can_interrupt=True)
    await interrupted(user_of_tools, asked)
    asked.answers.append(answer({"action": "reject", "reason": "Too much."}))
    rest = await user_of_tools.run(asked)
    results = list(results_of(rest).values())
    assert "Too much." in results[0].content
    assert all(result.is_error for result in results)
    assert "Too much." in results[1].content, "nobody is asked the same again"
    assert tooled.tools.calls == []
    assert text_of(rest) == "Then not."


async def test_several_questions_are_asked_at_once(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("delete", "pay"), {"content": "Done."})
    asked = react(can_interrupt=True)
    events = await interrupted(user_of_tools, asked)
    interrupts = only(events, "run_interrupted").interrupts
    assert [interrupt.tool_call_id for interrupt in interrupts] == [DELETE, "run_1.m1.c2"]
    asked.answers.extend([answer({"action": "reject"}, "run_1.m1.c2"), answer({"action": "approve"})])
    await user_of_tools.run(asked)
    assert tooled.tools.names() == ["delete"]


async def test_a_later_question_goes_on_with_the_earlier_answers(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("delete"), called("pay"), {"content": "Done."})
    asked = react(can_interrupt=True)
    log = (await interrupted(user_of_tools, asked))[:-1]
    asked.answers.append(answer({"action": "approve"}))
    events = await user_of_tools.run(asked)
    assert only(events, "run_interrupted").interrupts[0].tool_call_id == "run_1.m2.c1"
    asked.recovery.CopyFrom(recovery(log + events[:-1]))
    asked.answers.append(answer({"action": "approve"}, "run_1.m2.c1"))
    assert text_of(await user_of_tools.run(asked)) == "Done."
    assert tooled.tools.names() == ["delete", "pay"]


@pytest.mark.parametrize("response", [{}, {"action": "maybe"}, {"action": "edit"}, "yes", None])
async def test_an_answer_that_says_nothing_is_asked_for_again(
    tooled: Tooled, user_of_tools: Caller, response: Any
) -> None:
    await tooled.says(called("delete"), {"content": "Done."})
    asked = react(can_interrupt=True)
    await interrupted(user_of_tools, asked)
    asked.answers.append(answer(response))
    assert kinds(await user_of_tools.run(asked))[-1] == "run_interrupted"
    asked.answers.append(answer({"action": "approve"}))
    assert text_of(await user_of_tools.run(asked)) == "Done."


async def test_answers_to_what_nobody_asked_change_nothing(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("look"), {"content": "Done."})
    asked = react(answers=[answer({"action": "approve"}, "run_1.m7.c1")])
    assert text_of(await user_of_tools.run(asked)) == "Done."


async def test_an_answer_that_is_not_json_is_refused(user_of_tools: Caller) -> None:
    asked = react(answers=[InterruptAnswer(interrupt_id="x", response_json="{")])
    error, _ = await user_of_tools.failure(asked)
    assert error.reason == error_pb2.ERROR_REASON_INVALID_ARGUMENT


async def test_where_nobody_can_be_asked_the_call_is_refused(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("delete"), {"content": "I may not."})
    events = await user_of_tools.run(react())
    assert only(events, "tool_result").is_error
    assert "approves" in only(events, "tool_result").content
    assert tooled.tools.calls == []
    assert text_of(events) == "I may not."


async def test_an_approved_call_survives_a_handoff(tooled: Tooled, user_of_tools: Caller) -> None:
    # Again and again, because the attempt that is broken off may get as far as the answer, too.
    await tooled.says(called("delete", text="a"), {"content": "Done.", "times": 0})
    asked = react(can_interrupt=True, run_id="run_h")
    log = (await interrupted(user_of_tools, asked))[:-1]
    asked.answers.append(answer({"action": "approve"}, "run_h.m1.c1"))
    call = user_of_tools.open(asked)
    await tooled.tools.wait_for(1)
    call.cancel()
    asked.recovery.CopyFrom(recovery(log))
    assert text_of(await user_of_tools.run(asked)) == "Done."
    assert list(tooled.tools.effects.values()) == [1]


class TestOnAThread:
    thread = ThreadRef(thread_id="thread_1")

    async def ids(self, caller: Caller) -> list[str]:
        return [message.id for message in (await caller.state("thread_1")).messages]

    async def test_the_run_goes_on_from_its_base(self, tooled: Tooled, user_of_tools: Caller) -> None:
        await tooled.says({"content": "Hello."}, called("delete"), {"content": "Done."})
        await user_of_tools.run(react("Hi.", run_id="run_0", thread=self.thread))
        base = (await user_of_tools.state("thread_1")).checkpoint_id
        asked = react(can_interrupt=True, thread=self.thread)
        await interrupted(user_of_tools, asked)
        assert await self.ids(user_of_tools) == ["run_0.i0", "run_0.m1", "run_1.i0", "run_1.m1"]
        asked.answers.append(answer({"action": "approve"}))
        rest = await user_of_tools.run(asked)
        assert rest[0].checkpoint_saved.checkpoint_id == base
        assert (await self.ids(user_of_tools))[2:] == ["run_1.i0", "run_1.m1", "run_1.m1.c1.result", "run_1.m2"]

    async def test_a_run_that_is_given_up_leaves_a_thread_that_goes_on(
        self, tooled: Tooled, user_of_tools: Caller
    ) -> None:
        await tooled.says(called("delete"), {"content": "Something else, then."})
        await interrupted(user_of_tools, react("Delete it.", can_interrupt=True, thread=self.thread))
        events = await user_of_tools.run(react("Never mind.", run_id="run_2", thread=self.thread))
        assert text_of(events) == "Something else, then."
        told = (await tooled.asked())[-1]["messages"]
        assert [message["role"] for message in told] == ["system", "user", "assistant", "tool", "user"]
        assert "no result" in told[3]["content"]
        assert await self.ids(user_of_tools) == ["run_1.i0", "run_1.m1", "run_2.i0", "run_2.m1"]
        assert tooled.tools.calls == []
