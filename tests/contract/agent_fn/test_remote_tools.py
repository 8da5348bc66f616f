"""ToolService as agents see it: whatever goes wrong there is a short result for the model."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from agent_fn.conversation import ToolCall
from agent_fn.tools import remote
from agent_fn.tools.port import ToolOutcome
from agent_fn.tools.remote import RemoteToolbox, RemoteTools
from dormouse.common.v1 import error_pb2
from dormouse_runtime import deadlines
from dormouse_runtime.errors import DormouseError

from tests.contract.agent_fn.tool_service import Invocation, ScriptedTools, serving_tools
from tests.stack import Stack, Tenant

RETRY_S = 1.0


@pytest.fixture
async def tools(stack: Stack) -> AsyncIterator[ScriptedTools]:
    async with serving_tools(stack.credentials.trusted_keys) as tools:
        yield tools


@pytest.fixture
async def toolbox(stack: Stack, tools: ScriptedTools, tenant: Tenant) -> AsyncIterator[RemoteToolbox]:
    async with RemoteTools.connect(tools.address, RETRY_S) as service:
        yield service.open(tenant.id, stack.token(tenant, audience="tool_fn", scopes=("tools",)))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_MARGIN_S", 0.2)


async def ok(call: Invocation) -> str:
    return "ok"


def failing(times: int, fail: Callable[[Invocation], Awaitable[Any]]) -> Callable[[Invocation], Awaitable[str]]:
    left = times

    async def behave(call: Invocation) -> str:
        nonlocal left
        if left:
            left -= 1
            await fail(call)
        return "ok"

    return behave


def aborting(code: grpc.StatusCode) -> Callable[[Invocation], Awaitable[Any]]:
    return lambda call: call.context.abort(code, "the text of an exception")


async def invoke(toolbox: RemoteToolbox, name: str = "x", tell: Callable[[str], None] = print) -> ToolOutcome:
    await toolbox.describe()
    call = ToolCall(id="run_1.m1.c1", name=name, arguments_json="{}")
    return await toolbox.invoke(call, key="run_1:run_1.m1.c1", tell=tell)


async def test_tools_are_described_by_name(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    tools.add("b", ok, has_side_effects=True, needs_approval=True, time_limit_ms=1500)
    tools.add("a", ok)
    tools.add("broken", ok, input_json_schema="{")
    first, second = await toolbox.describe()
    assert (first.name, first.has_side_effects, first.needs_approval) == ("a", False, False)
    assert (second.name, second.has_side_effects, second.needs_approval, second.time_limit_s) == ("b", True, True, 1.5)
    assert toolbox.is_reachable


@pytest.mark.parametrize("has_side_effects", [False, True])
async def test_a_service_that_dies_in_the_middle_is_called_again(
    tools: ScriptedTools, toolbox: RemoteToolbox, has_side_effects: bool
) -> None:
    tools.add("x", failing(2, aborting(grpc.StatusCode.UNAVAILABLE)), has_side_effects=has_side_effects)
    assert await invoke(toolbox) == ToolOutcome("ok", duration_ms=7)
    assert [call.key for call in tools.calls] == ["run_1:run_1.m1.c1"] * 3


async def test_a_service_that_comes_back_gets_the_call(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    tools.add("x", ok)
    await toolbox.describe()
    await tools.stop()
    running = asyncio.create_task(invoke(toolbox))
    await asyncio.sleep(0.15)
    await tools.start()
    assert (await running).content == "ok"


async def test_a_service_that_stays_away_was_not_asked(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    tools.add("x", ok, has_side_effects=True)
    await toolbox.describe()
    await tools.stop()
    outcome = await invoke(toolbox)
    assert outcome.is_error
    assert not outcome.outcome_unknown
    assert not outcome.is_answered
    assert outcome.content == "x cannot be reached at the moment. It was not run."


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
async def test_a_tool_with_side_effects_that_breaks_off_for_good_has_an_unknown_outcome(
    tools: ScriptedTools, toolbox: RemoteToolbox, code: grpc.StatusCode
) -> None:
    tools.add("x", failing(100, aborting(code)), has_side_effects=True)
    outcome = await invoke(toolbox)
    assert (outcome.is_error, outcome.outcome_unknown) == (True, True)
    assert "Nobody knows" in outcome.content
    assert "exception" not in outcome.content


async def test_a_tool_that_fails_without_a_result_is_an_error(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    tools.add("x", failing(100, aborting(grpc.StatusCode.INTERNAL)))
    outcome = await invoke(toolbox)
    assert outcome == ToolOutcome("x failed on its side and gave no result.", is_error=True, is_answered=False)
    assert len(tools.calls) == 1, "only what may pass is tried again"


async def test_a_tool_that_is_lost_each_time_is_not_called_one_that_did_not_run(
    tools: ScriptedTools, toolbox: RemoteToolbox
) -> None:
    tools.add("x", failing(100, aborting(grpc.StatusCode.UNAVAILABLE)))
    outcome = await invoke(toolbox)
    assert outcome.content == "x was lost before it had a result, each time that it was tried."
    assert (outcome.is_error, outcome.outcome_unknown) == (True, False)


async def test_a_refusal_is_told_in_the_services_words(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    async def refuse(call: Invocation) -> str:
        raise DormouseError(error_pb2.ERROR_REASON_INVALID_ARGUMENT, "city wants a text.")

    tools.add("x", refuse, has_side_effects=True)
    assert await invoke(toolbox) == ToolOutcome("city wants a text.", is_error=True)
    assert (await invoke(toolbox, "y")).content == "There is no tool 'y'."


async def test_a_tool_that_hangs_is_given_up(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    async def hang(call: Invocation) -> str:
        await asyncio.Event().wait()
        return ""

    tools.add("x", hang, time_limit_ms=50)
    outcome = await invoke(toolbox)
    assert outcome.content == "x gave no result within 0.05 seconds."


async def test_no_call_lasts_longer_than_its_run(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    remaining: list[float] = []

    async def look(call: Invocation) -> str:
        remaining.append(call.context.time_remaining())
        return ""

    tools.add("x", look, time_limit_ms=60_000)

    async def with_deadline() -> None:
        deadlines.bind_deadline(3)
        await invoke(toolbox)

    await asyncio.create_task(with_deadline())
    await invoke(toolbox)
    assert remaining[0] <= 3.1
    assert 59 < remaining[1] < 61


async def test_ten_megabytes_come_through(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    async def big(call: Invocation) -> str:
        return "x" * 10_000_000

    tools.add("x", big)
    assert len((await invoke(toolbox)).content) == 10_000_000


async def test_progress_is_told_now_and_then(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    async def chatter(call: Invocation) -> str:
        for number in range(50):
            await call.progress(f"{number} of 50")
        return "done"

    tools.add("x", chatter)
    told: list[str] = []
    await invoke(toolbox, tell=told.append)
    assert told[0] == "0 of 50"
    assert len(told) < 10


async def test_a_call_that_is_cancelled_ends_there_too(tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
    async def hang(call: Invocation) -> str:
        await asyncio.Event().wait()
        return ""

    tools.add("x", hang)
    running = asyncio.create_task(invoke(toolbox))
    await tools.wait_for(1)
    running.cancel()
    async with asyncio.timeout(2):
        while not tools.cancelled:
            await asyncio.sleep(0.01)


class TestAServiceThatIsAway:
    async def test_has_no_tools_and_says_why(self, tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
        await tools.stop()
        assert await toolbox.describe() == ()
        assert not toolbox.is_reachable

    async def test_is_waited_for_once_and_not_by_every_run(
        self, stack: Stack, tools: ScriptedTools, tenant: Tenant
    ) -> None:
        token = stack.token(tenant, audience="tool_fn", scopes=("tools",))
        await tools.stop()
        async with RemoteTools.connect(tools.address, RETRY_S) as service:
            await service.open(tenant.id, token).describe()
            async with asyncio.timeout(0.3):
                assert await service.open(tenant.id, token).describe() == ()

    async def test_is_found_when_it_comes_in_time(self, tools: ScriptedTools, toolbox: RemoteToolbox) -> None:
        tools.add("x", ok)
        await tools.stop()
        describing = asyncio.create_task(toolbox.describe())
        await asyncio.sleep(0.1)
        await tools.start()
        assert [tool.name for tool in await describing] == ["x"]
        assert toolbox.is_reachable


async def test_lists_are_shared_by_tenant_and_scopes(stack: Stack, tools: ScriptedTools, tenant: Tenant) -> None:
    other = await stack.database.tenant()

    def token(tenant: Tenant, *scopes: str) -> str:
        return stack.token(tenant, audience="tool_fn", scopes=("tools", *scopes))

    async with RemoteTools.connect(tools.address, RETRY_S) as service:
        for _ in range(3):
            await service.open(tenant.id, token(tenant)).describe()
        assert tools.lists == 1
        await service.open(tenant.id, token(tenant, "more")).describe()
        await service.open(other.id, token(other)).describe()
        assert tools.lists == 3


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.e30.c"])
async def test_a_token_that_is_none_reaches_nothing(tools: ScriptedTools, tenant: Tenant, token: str) -> None:
    async with RemoteTools.connect(tools.address, RETRY_S) as service:
        toolbox = service.open(tenant.id, token)
        assert await toolbox.describe() == ()
        assert not toolbox.is_reachable
