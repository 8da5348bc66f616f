"""What a run of the chat agent says, and what the model server is asked for it."""

import asyncio
import json
from typing import Any

import psutil
import pytest
from dormouse.agent.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, ROLE_USER, ClientTool, ContentPart, Image, Message
from dormouse.agent.v1.message_pb2 import ToolCall as ToolCallProto
from dormouse.agent.v1.run_event_pb2 import (
    ACTIVITY_KIND_LOADING_MODEL,
    ACTIVITY_KIND_PROCESSING_PROMPT,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)

from tests.contract.agent_fn.caller import Caller, calling, kinds, only, options, reasoning_of, request, text_of, user
from tests.contract.agent_fn.conftest import Shared
from tests.stack import Fleet, Stack, Tenant

QUESTION = "Tell me about dormice."
WEATHER = ClientTool(
    name="get_weather",
    description="The weather of a city",
    parameters_json_schema='{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}',
)


async def last_body(shared: Shared, word: str) -> dict[str, Any]:
    """The latest request to the model server with this word in its messages."""
    async with shared.model_server.control() as http:
        found = (await http.get("/_sim/requests", params={"contains": word})).json()["requests"]
        body: dict[str, Any] = (await http.get(f"/_sim/requests/{found[-1]['id']}")).json()["body"]
    return body


async def straight(shared: Shared, **body: Any) -> dict[str, Any]:
    """What the model server itself answers."""
    async with shared.model_server.control() as http:
        answered = await http.post("/api/chat", json={"model": "dormouse-dev", "stream": False, **body})
    whole: dict[str, Any] = answered.json()
    return whole


async def test_a_run_streams_what_the_model_says(caller: Caller, shared: Shared) -> None:
    events = await caller.run(request(QUESTION))
    assert kinds(events) == [
        "step_started",
        "message_started",
        "message_delta",
        "message_finished",
        "usage_reported",
        "step_finished",
        "run_finished",
    ]
    whole = await straight(shared, messages=[{"role": "user", "content": QUESTION}])
    assert text_of(events) == whole["message"]["content"]
    assert only(events, "run_finished").finish_reason == FINISH_REASON_STOP
    assert all(event.message_delta.text for event in events if event.HasField("message_delta"))
    assert {event.seq for event in events} == {0}


async def test_usage_is_as_the_model_server_counts_it(caller: Caller, shared: Shared) -> None:
    usage = only(await caller.run(request(QUESTION)), "usage_reported")
    whole = await straight(shared, messages=[{"role": "user", "content": QUESTION}])
    assert usage.model == "dormouse-dev:latest"
    assert usage.prompt_tokens == whole["prompt_eval_count"]
    assert usage.completion_tokens == whole["eval_count"]
    assert usage.reasoning_tokens == 0
    assert usage.prompt_ns > 0
    assert usage.completion_ns > 0


async def test_a_token_limit_ends_a_run_by_its_length(caller: Caller) -> None:
    events = await caller.run(request(QUESTION, options=options(max_tokens=5)))
    assert only(events, "run_finished").finish_reason == FINISH_REASON_LENGTH
    assert only(events, "usage_reported").completion_tokens == 5


async def test_reasoning_comes_before_the_answer_and_is_counted(caller: Caller, shared: Shared) -> None:
    events = await caller.run(request(QUESTION, options=options(reasoning=True)))
    assert kinds(events)[2:4] == ["reasoning_delta", "message_delta"]
    whole = await straight(shared, messages=[{"role": "user", "content": QUESTION}], think=True)
    assert reasoning_of(events) == whole["message"]["thinking"]
    assert text_of(events) == whole["message"]["content"]
    usage = only(events, "usage_reported")
    assert usage.completion_tokens == whole["eval_count"]
    assert 0 < usage.reasoning_tokens < usage.completion_tokens


async def test_a_clients_tools_come_back_as_calls_with_ids_of_their_own(caller: Caller) -> None:
    question = "What is the weather in Paris and what is the weather in Rome? Use get_weather."
    events = await caller.run(request(question, client_tools=[WEATHER]))
    started = [event.tool_call_started for event in events if event.HasField("tool_call_started")]
    assert {call.name for call in started} == {"get_weather"}
    assert len({call.tool_call_id for call in started}) == len(started) > 0
    assert {call.message_id for call in started} == {only(events, "message_started").message_id}
    arguments = [json.loads(event.tool_call_args.delta) for event in events if event.HasField("tool_call_args")]
    assert all("city" in found for found in arguments)
    assert kinds(events)[-4:] == ["message_finished", "usage_reported", "step_finished", "run_finished"]
    assert only(events, "run_finished").finish_reason == FINISH_REASON_TOOL_CALLS


async def test_a_tools_result_goes_back_to_the_model(caller: Caller, shared: Shared) -> None:
    call = ToolCallProto(id="call_7", name="get_weather", arguments_json='{"city": "Paris"}')
    events = await caller.run(
        request(
            input=[
                user("What is the weather in Paris, Aloysius?"),
                Message(role=ROLE_ASSISTANT, tool_calls=[call], reasoning="I had better look."),
                Message(role=ROLE_TOOL, tool_call_id="call_7", content=[ContentPart(text="Sunny, 21 degrees.")]),
            ],
            client_tools=[WEATHER],
        )
    )
    assert "21 degrees" in text_of(events)
    asked, called, returned = (await last_body(shared, "Aloysius"))["messages"]
    assert asked["role"] == "user"
    assert called["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": {"city": "Paris"}}
    assert "thinking" not in called
    assert (returned["role"], returned["tool_name"], returned["tool_call_id"]) == ("tool", "get_weather", "call_7")


async def test_a_schema_binds_the_answer(caller: Caller) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    events = await caller.run(request("Who?", options=options(response_json_schema=json.dumps(schema))))
    assert isinstance(json.loads(text_of(events))["name"], str)
    events = await caller.run(request("Who?", options=options(response_json_schema="json")))
    assert isinstance(json.loads(text_of(events)), dict)


async def test_options_reach_the_model_server_by_its_names(caller: Caller, shared: Shared) -> None:
    chosen = options(
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        max_tokens=3,
        stop=["END"],
        seed=42,
        frequency_penalty=0.25,
        presence_penalty=0.75,
        reasoning=False,
    )
    await caller.run(request("Leopold asks.", options=chosen))
    body = await last_body(shared, "Leopold")
    assert body["options"] == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "num_predict": 3,
        "stop": ["END"],
        "seed": 42,
        "frequency_penalty": 0.25,
        "presence_penalty": 0.75,
    }
    assert body["think"] is False
    assert body["truncate"] is False
    await caller.run(request("Ludovica asks."))
    body = await last_body(shared, "Ludovica")
    assert body["options"] == {}
    assert not {"think", "format", "tools"} & body.keys()


async def test_a_picture_goes_to_a_model_that_sees(caller: Caller, shared: Shared) -> None:
    picture = ContentPart(image=Image(media_type="image/png", data=b"\x89PNG"))
    seen = Message(role=ROLE_USER, content=[ContentPart(text="What is this, Gwendolen?"), picture])
    await caller.run(request(input=[seen]))
    assert (await last_body(shared, "Gwendolen"))["messages"][0]["images"] == ["iVBORw=="]


@pytest.mark.parametrize("model", ["", "sim", "dormouse-dev:latest"])
async def test_any_model_that_the_server_has_can_be_chatted_with(caller: Caller, model: str) -> None:
    events = await caller.run(request(QUESTION, model=model))
    assert only(events, "usage_reported").model.startswith(model or "dormouse-dev")


async def test_agents_and_models_are_listed(caller: Caller) -> None:
    listed = await caller.agents()
    agents = {agent.id: agent for agent in listed.agents}
    assert list(agents) == sorted(agents)
    assert set(agents["chat"].capabilities) >= {"streaming", "threads", "reasoning", "client_tools"}
    assert not agents["chat"].any_tools
    assert set(agents["react"].capabilities) >= {"tools", "client_tools", "interrupts"}
    assert agents["react"].any_tools
    assert listed.model_server_reachable
    assert listed.default_model == "dormouse-dev:latest"
    models = {model.name: model for model in listed.models}
    assert list(models) == sorted(models)
    assert "completion" in models["sim:latest"].capabilities
    assert models["sim:latest"].context_length > 0
    assert models["sim:latest"].modified_unix_ms > 0


async def test_a_wait_for_the_first_word_is_explained(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(load_ms=1500, token_ms=0)
    agent_fn = await fleet.agent_fn(model_server)
    async with calling(stack, agent_fn, tenant) as caller, model_server.control() as http:
        events = await caller.run(request(QUESTION, options=options(max_tokens=1)))
        assert kinds(events)[0] == "activity"
        assert events[0].activity.kind == ACTIVITY_KIND_LOADING_MODEL
        assert events[0].activity.subject == "dormouse-dev:latest"
        (await http.put("/_sim/config", json={"ttft_ms": 1500})).raise_for_status()
        events = await caller.run(request(QUESTION, options=options(max_tokens=1)))
        assert kinds(events)[:2] == ["activity", "step_started"]
        assert events[0].activity.kind == ACTIVITY_KIND_PROCESSING_PROMPT


async def test_model_calls_are_measured(caller: Caller, shared: Shared) -> None:
    await caller.run(request(QUESTION))
    page = await shared.agent_fn.metrics()
    for sample in (
        'dormouse_model_calls_total{model="dormouse-dev:latest",outcome="ok"}',
        'dormouse_model_tokens_total{kind="completion",model="dormouse-dev:latest"}',
        'dormouse_model_first_token_seconds_count{model="dormouse-dev:latest"}',
        'dormouse_model_call_seconds_bucket{le="+Inf",model="dormouse-dev:latest"}',
        'dormouse_model_calls_in_flight{model="dormouse-dev:latest"}',
    ):
        assert sample in page


async def test_what_a_caller_does_not_read_does_not_pile_up(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    tokens = 300_000  # some 40 MB as the model server sends them
    model_server = await fleet.model_server(ttft_ms=1, token_ms=0, tokens=tokens)
    # Without a database, whose driver would be loaded just now and counted with the rest.
    agent_fn = await fleet.agent_fn(model_server, env={"DORMOUSE_POSTGRES_URL": ""})
    process = psutil.Process(agent_fn.pid)
    async with calling(stack, agent_fn, tenant) as caller:
        call, seen = await caller.start(request(QUESTION, model="sim"))
        used, before = -1.0, process.memory_info().rss
        while used != (used := sum(process.cpu_times()[:2])):
            await asyncio.sleep(0.3)
        assert process.memory_info().rss - before < 8_000_000
        seen += await caller.rest(call)
        assert sum(event.message_delta.pieces for event in seen) == tokens
        assert kinds(seen)[-1] == "run_finished"
