"""react with the real tool_fn: what has side effects happens once, whichever of the two processes dies."""

import asyncio
from pathlib import Path

import pytest

from tests.contract.agent_fn.caller import Event, calling, kinds, only, recovery, text_of
from tests.contract.agent_fn.conftest import Tooled
from tests.contract.agent_fn.test_react import called, react
from tests.contract.tool_fn.caller import OPERATOR_TOOLS, appears
from tests.stack import Fleet, Stack, Tenant


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def lines_in(file: Path) -> int:
    return len(file.read_text().splitlines())


async def test_agent_fn_dies_in_the_middle_of_a_call(
    stack: Stack, fleet: Fleet, tenant: Tenant, tooled: Tooled, notes: Path, tmp_path: Path
) -> None:
    tool_fn = await fleet.tool_fn(folder=OPERATOR_TOOLS)
    agent_fn = await fleet.agent_fn(tooled.model_server, tools=tool_fn)
    until = tmp_path / "go"
    await tooled.says(called("note", file=str(notes), until=str(until)), {"content": "Noted."})
    asked, seen = react(run_id=f"run_{tenant.id}"), list[Event]()
    async with calling(stack, agent_fn, tenant, "tools") as caller:
        call = caller.open(asked)
        while "activity" not in kinds(seen):  # the tool has said that it noted
            seen += (await call.read()).events
        await agent_fn.kill()
        call.cancel()
        await agent_fn.start()
        asked.recovery.CopyFrom(recovery(seen))
        running = asyncio.create_task(caller.run(asked))
        await asyncio.sleep(0.1)
        until.touch()
        rest = await running
    assert only(rest, "tool_result").content == "noted in notes"
    assert text_of(rest) == "Noted."
    assert lines_in(notes) == 1


async def test_tool_fn_dies_in_the_middle_of_a_call(
    stack: Stack, fleet: Fleet, tenant: Tenant, tooled: Tooled, notes: Path
) -> None:
    tool_fn = await fleet.tool_fn(folder=OPERATOR_TOOLS)
    agent_fn = await fleet.agent_fn(tooled.model_server, tools=tool_fn)
    lines = [called("note", file=str(notes), until="/never"), called("echo", text="still there")]
    await tooled.says(*lines, {"content": "I cannot say."})
    async with calling(stack, agent_fn, tenant, "tools") as caller:
        running = asyncio.create_task(caller.run(react(run_id=f"run_{tenant.id}")))
        await appears(notes)
        await tool_fn.restart()
        events = await running
    results = [event.tool_result for event in events if event.HasField("tool_result")]
    assert [result.outcome_unknown for result in results] == [True, False]
    assert results[1].content == "still there"
    assert text_of(events) == "I cannot say."
    assert lines_in(notes) == 1
