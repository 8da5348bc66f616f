"""Who may call what, what is refused, and what a call tells on its way."""

import asyncio
import json
from pathlib import Path

import pytest
from dormouse.common.v1 import error_pb2
from dormouse.tool.v1.tool_service_pb2 import InvokeRequest
from dormouse_runtime.client import open_channel
from dormouse_runtime.errors import DormouseError
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.contract.tool_fn.caller import OPERATOR_TOOLS, Caller, appears, calling, refusal
from tests.stack import Fleet, Stack, Tenant, ToolFn

E = error_pb2


async def test_tools_are_listed_with_all_that_a_caller_needs(caller: Caller) -> None:
    listed = await caller.tools()
    assert list(listed) == sorted(listed)
    big, note = listed["big"], listed["note_approved"]
    assert json.loads(big.input_json_schema) == {
        "type": "object",
        "properties": {"characters": {"type": "integer"}, "character": {"type": "string", "default": "x"}},
        "required": ["characters"],
        "additionalProperties": False,
    }
    assert (big.has_side_effects, big.needs_approval, big.time_limit_ms, big.output_limit_bytes) == (
        *(False, False, 30_000, 1000),
    )
    assert (note.has_side_effects, note.needs_approval) == (True, True)


async def test_a_token_for_some_tools_lists_and_calls_only_those(stack: Stack, tool_fn: ToolFn, tenant: Tenant) -> None:
    async with calling(stack, tool_fn, tenant, scopes=("tool:echo", "tool:nobody", "runs")) as caller:
        assert list(await caller.tools()) == ["echo"]
        assert (await caller.invoke("echo", text="mine")).content == "mine"
        assert (await refusal(caller.invoke("who"))).reason == E.ERROR_REASON_PERMISSION_DENIED
        assert (await refusal(caller.invoke("nobody"))).reason == E.ERROR_REASON_TOOL_NOT_FOUND
    async with calling(stack, tool_fn, tenant, scopes=()) as caller:
        assert await caller.tools() == {}
        assert (await refusal(caller.invoke("echo", text=""))).reason == E.ERROR_REASON_PERMISSION_DENIED


async def test_a_token_for_another_function_is_refused(stack: Stack, tool_fn: ToolFn, tenant: Tenant) -> None:
    async with calling(stack, tool_fn, tenant, audience="agent_fn") as caller:
        assert (await refusal(caller.tools())).reason == E.ERROR_REASON_UNAUTHENTICATED
        assert (await refusal(caller.invoke("echo", text=""))).reason == E.ERROR_REASON_UNAUTHENTICATED


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (InvokeRequest(name="no_such_tool"), E.ERROR_REASON_TOOL_NOT_FOUND),
        (InvokeRequest(), E.ERROR_REASON_TOOL_NOT_FOUND),
        (InvokeRequest(name="note", arguments_json='{"file": "/nowhere/at/all"}'), E.ERROR_REASON_INVALID_ARGUMENT),
        (InvokeRequest(name="note", idempotency_key="k" * 257), E.ERROR_REASON_INVALID_ARGUMENT),
        (InvokeRequest(name="note", idempotency_key="a\0b"), E.ERROR_REASON_INVALID_ARGUMENT),
        (InvokeRequest(name="echo", idempotency_key="a\nb"), E.ERROR_REASON_INVALID_ARGUMENT),
    ],
    ids=["unknown", "unnamed", "side effects without a key", "long key", "NUL in the key", "line end in the key"],
)
async def test_a_request_that_makes_no_sense_is_refused(caller: Caller, request_: InvokeRequest, reason: int) -> None:
    error: DormouseError = await refusal(caller.raw(request_))
    assert (error.reason, error.retryable) == (reason, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "missing required field `text`"),
        ('{"text": 1}', "text: Expected `str`, got `int`"),
        ("[]", "not a JSON object"),
        ("{", "not a JSON object"),
        ('{"text": "\\ud800"}', "not a JSON object"),
        ('{"text": ' + "[" * 5000, "nested too deeply"),
        ('{"text": "' + "x" * 2_000_000 + '"}', "longer than 2,000,000 bytes"),
    ],
    ids=["none", "type", "array", "cut", "surrogate", "deep", "long"],
)
async def test_arguments_that_do_not_fit_are_a_result_for_the_model(caller: Caller, arguments: str, said: str) -> None:
    result = await caller.raw(InvokeRequest(name="echo", arguments_json=arguments))
    assert result.is_error
    assert said in result.content
    assert not result.outcome_unknown


async def test_a_tool_knows_who_calls_and_how_long_it_has(stack: Stack, tool_fn: ToolFn, tenant: Tenant) -> None:
    async with calling(stack, tool_fn, tenant, run_id="run_7") as caller:
        assert (await caller.invoke("who")).content == f"{tenant.id} {tenant.user} run_7 20"
        assert (await caller.invoke("who", timeout=100)).content == f"{tenant.id} {tenant.user} run_7 30"


async def test_progress_and_output_come_before_the_result_and_never_hold_up_the_tool(caller: Caller) -> None:
    responses = await caller.stream("talk", characters=50_000, character="é")
    kinds = [response.WhichOneof("event") for response in responses]
    assert kinds[-1] == "result"
    assert len(kinds) < 100, "what nobody has read yet is merged"
    progress = [response.progress for response in responses if response.HasField("progress")]
    assert (progress[0].message, progress[-1].message, progress[-1].fraction) == ("first", "last", 1.0)
    assert not any(told.HasField("fraction") for told in progress if told.message.startswith("step"))
    watched = "".join(response.output_chunk for response in responses)
    assert watched == "é" * 1000, "no more than a result may have"
    assert responses[-1].result.is_truncated


async def test_as_many_tools_run_as_may_and_others_are_refused_at_once(
    stack: Stack, fleet: Fleet, tenant: Tenant, tmp_path: Path
) -> None:
    tool_fn = await fleet.tool_fn(folder=OPERATOR_TOOLS, env={"DORMOUSE_MAX_RUNNING_TOOLS": "2"})
    async with calling(stack, tool_fn, tenant) as caller:
        calls = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            calls.append(caller.begin("hang", folder=str(tmp_path / name)))
            await appears(tmp_path / name / "begun")
        for name, key in (("echo", ""), ("note", "k1")):
            error = await refusal(caller.invoke(name, key=key, text="", file=str(tmp_path / "notes")))
            assert (error.reason, error.retryable) == (E.ERROR_REASON_OVERLOADED, True)
        assert len(await caller.tools()) > 2
        calls[0].cancel()
        await appears(tmp_path / "one" / "stopped")
        assert (await caller.invoke("echo", text="again")).content == "again"
        await caller.invoke("note", key="k1", file=str(tmp_path / "notes"))
        assert len((tmp_path / "notes").read_text().splitlines()) == 1
        calls[1].cancel()


async def test_calls_are_counted_by_tool_and_outcome(
    stack: Stack, fleet: Fleet, tenant: Tenant, tmp_path: Path
) -> None:
    tool_fn = await fleet.tool_fn(folder=OPERATOR_TOOLS)
    file = str(tmp_path / "notes")
    async with calling(stack, tool_fn, tenant) as caller:
        await caller.invoke("echo", text="")
        await caller.invoke("refuse", text="no")
        await caller.invoke("crash")
        await caller.invoke("hang_briefly", folder=str(tmp_path))
        for _ in range(2):
            await caller.invoke("note", key="k1", file=file)
    page = await tool_fn.metrics()
    for tool, outcome in (
        *(("echo", "ok"), ("refuse", "error"), ("crash", "failed"), ("hang_briefly", "timeout")),
        *(("note", "ok"), ("note", "replay")),
    ):
        assert f'dormouse_tool_calls_total{{outcome="{outcome}",tool="{tool}"}} 1.0' in page
    assert 'dormouse_tool_call_seconds_count{tool="note"} 1.0' in page
    assert 'dormouse_tool_calls_in_flight{tool="echo"} 0.0' in page


async def test_health_says_that_the_service_serves(tool_fn: ToolFn) -> None:
    async with open_channel(tool_fn.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="dormouse.tool.v1.ToolService")
        assert (await stub.Check(asked, timeout=5)).status == health_pb2.HealthCheckResponse.SERVING


async def test_calls_run_side_by_side(caller: Caller, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(20)]
    calls = []
    for folder in folders:
        folder.mkdir()
        calls.append(asyncio.create_task(caller.invoke("hang_briefly", folder=str(folder))))
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert all("did not finish within 0.2 s" in result.content for result in await asyncio.gather(*calls))
    assert loop.time() - began < 2
