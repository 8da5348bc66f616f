"""The openai SDK when something goes wrong: its typed exceptions, its retries, and leaving in the middle."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, AsyncStream, OpenAI
from openai.types.chat import ChatCompletionChunk

from tests.clients.simulation import Simulation, steering
from tests.stack import Platform, Tenant

QUESTION: list[Any] = [{"role": "user", "content": "What is a dormouse?"}]
FREED_WITHIN_S = 1.0


@asynccontextmanager
async def sdk(platform: Platform, api_key: str, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        **{"api_key": api_key, "base_url": f"{platform.edge.url}/v1", "max_retries": 0, **options}
    ) as client:
        yield client


@asynccontextmanager
async def counting(platform: Platform, tenant: Tenant) -> AsyncIterator[tuple[AsyncOpenAI, list[httpx.Request]]]:
    """A client that would retry twice, and the requests it sends."""
    sent: list[httpx.Request] = []

    async def note(request: httpx.Request) -> None:
        sent.append(request)

    async with (
        httpx.AsyncClient(event_hooks={"request": [note]}) as http,
        sdk(platform, tenant.api_key, http_client=http, max_retries=2) as client,
    ):
        yield client, sent


@pytest.fixture
async def client(platform: Platform, tenant: Tenant) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(platform, tenant.api_key) as client:
        yield client


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "oracle", "content": "Hi"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        ({"temperature": 2.5}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": [""]}, "stop[0]"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "function", "function": {"name": "none"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_is_a_bad_request_that_names_the_field(
    client: AsyncOpenAI, change: dict[str, Any], param: str, stream: bool
) -> None:
    wanted: Any = {"model": "chat", "messages": QUESTION, "stream": stream, **change}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(**wanted)
    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert refused.value.code == "invalid_argument"
    assert refused.value.request_id


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_is_not_found(client: AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError, match="The model `gpt-9` does not exist") as missing:
        await client.chat.completions.create(model="gpt-9", messages=QUESTION, stream=stream)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError) as missing:
        await client.models.retrieve("hf.co/nobody/nothing:Q4_K_M")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")


async def test_what_is_not_served_is_not_found(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.completions.create(model="chat", prompt="Once")
    assert missing.value.code == "unknown_url"


@pytest.mark.parametrize("key", ["sk-somebody-elses", "dm_live_" + "0" * 49, "dm_live_", "x" * 5000], ids=len)
async def test_a_key_that_is_none_fails_to_authenticate(platform: Platform, key: str) -> None:
    async with sdk(platform, key) as client:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await client.chat.completions.create(model="chat", messages=QUESTION)
    assert unknown.value.code == "invalid_api_key"
    assert key not in str(unknown.value)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_lacks_an_ability_says_which(client: AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support thinking") as lacking:
        await client.chat.completions.create(model="sim", messages=QUESTION, reasoning_effort="high", stream=stream)
    assert lacking.value.code == "model_capability_missing"


async def test_a_body_that_is_too_long_is_refused_and_not_sent_again(platform: Platform, tenant: Tenant) -> None:
    async with counting(platform, tenant) as (client, sent):
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "x" * 10_000_000}])
    assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")
    assert len(sent) == 1


async def test_a_silent_model_is_retried_after_as_long_as_the_answer_says(
    fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    async with sdk(fragile, tenant.api_key, max_retries=0) as client, simulation.failing("hang"):
        with pytest.raises(openai.InternalServerError) as silent:
            await client.chat.completions.create(model="sim", messages=QUESTION)
    assert (silent.value.status_code, silent.value.code) == (504, "model_timeout")
    headers = silent.value.response.headers
    assert (headers["x-should-retry"], headers["retry-after"]) == ("true", "2")
    await simulation.forget()
    async with sdk(fragile, tenant.api_key, max_retries=1) as client, simulation.failing("hang"):
        answer = await client.chat.completions.create(model="sim", messages=QUESTION)
    assert answer.choices[0].message.content
    first, second = await simulation.calls()
    assert (first["state"], second["state"]) == ("aborted", "done")
    assert second["times"]["queued"] - first["times"]["aborted"] >= 2


async def test_a_conflict_is_not_tried_again(fragile: Platform, tenant: Tenant, simulation: Simulation) -> None:
    run = {"model": "sim", "input": {"messages": QUESTION}, "background": True}
    async with (
        simulation.configured(tokens=10_000),
        counting(fragile, tenant) as (client, sent),
        fragile.edge.client(tenant) as http,
    ):
        thread = (await http.post("/v1/threads")).json()["id"]
        first = (await http.post(f"/v1/threads/{thread}/runs", json=run)).json()["id"]
        with pytest.raises(openai.ConflictError) as busy:
            await client.post(f"/threads/{thread}/runs", body=run, cast_to=object)
        assert busy.value.code == "thread_busy"
        assert len(sent) == 1
        assert (await http.post(f"/v1/runs/{first}/cancel")).json()["status"] == "cancelled"


async def test_an_answer_that_breaks_off_in_the_middle_raises(
    fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    async with sdk(fragile, tenant.api_key) as client, simulation.failing("hang", at_token=4):
        stream = await client.chat.completions.create(model="sim", messages=QUESTION, stream=True)
        texts: list[str] = []
        with pytest.raises(openai.APIError, match="stopped in the middle") as broken:
            await read_into(texts, stream)
    assert broken.value.code == "model_timeout"
    assert "".join(texts) == "w1 w2 w3 w4"


async def test_an_answer_that_is_cancelled_in_the_middle_raises(
    fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    async with (
        simulation.configured(token_ms=5, tokens=10_000),
        sdk(fragile, tenant.api_key) as client,
        fragile.edge.client(tenant) as http,
    ):
        stream = await client.chat.completions.create(model="sim", messages=QUESTION, stream=True)
        await simulation.wait("streaming", tokens=3)
        run = await http.post(f"/v1/runs/{stream.response.headers['x-dormouse-run-id']}/cancel")
        assert run.json()["status"] == "cancelled"
        with pytest.raises(openai.APIError) as cancelled:
            await read_into([], stream)
        assert cancelled.value.code == "run_cancelled"


async def test_an_answer_that_cannot_be_continued_ends_with_an_error_that_says_so(
    fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    async with sdk(fragile, tenant.api_key) as client:
        undisturbed = await client.chat.completions.create(model="chat", messages=QUESTION)
        async with simulation.failing("cut", at_token=4):
            stream = await client.chat.completions.create(model="chat", messages=QUESTION, stream=True)
            with pytest.raises(openai.APIError) as broken:
                await read_into([], stream)
        assert broken.value.code == "stream_broken"
        async with simulation.failing("cut", at_token=4):
            again = await client.chat.completions.create(model="chat", messages=QUESTION)
        assert again.choices[0].message.content == undisturbed.choices[0].message.content


async def read_into(texts: list[str], stream: AsyncStream[ChatCompletionChunk]) -> None:
    async for chunk in stream:
        texts.append(chunk.choices[0].delta.content or "")


async def leave_stream(client: AsyncOpenAI, simulation: Simulation) -> None:
    stream = await client.chat.completions.create(model="sim", messages=QUESTION, stream=True)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()


async def leave_helper(client: AsyncOpenAI, simulation: Simulation) -> None:
    async with client.chat.completions.stream(model="sim", messages=QUESTION) as stream:
        async for event in stream:
            if event.type == "content.delta":
                break


async def leave_waiting(client: AsyncOpenAI, simulation: Simulation) -> None:
    asking = asyncio.create_task(client.chat.completions.create(model="sim", messages=QUESTION))
    await simulation.wait("streaming", tokens=3)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def time_out(client: AsyncOpenAI, simulation: Simulation) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.3).chat.completions.create(model="sim", messages=QUESTION)


@pytest.mark.parametrize("leave", [leave_stream, leave_helper, leave_waiting, time_out])
async def test_a_client_that_leaves_stops_the_model(
    fragile: Platform,
    tenant: Tenant,
    simulation: Simulation,
    leave: Callable[[AsyncOpenAI, Simulation], Awaitable[None]],
) -> None:
    async with simulation.configured(token_ms=5, tokens=10_000), sdk(fragile, tenant.api_key) as client:
        await leave(client, simulation)
        left = time.time()
        call = await simulation.wait("aborted")
    assert call["times"]["aborted"] - left < FREED_WITHIN_S
    assert 0 < call["tokens_sent"] < 1000


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_first_token_stops_the_model(
    platform: Platform, client: AsyncOpenAI, stream: bool
) -> None:
    async with steering(platform.model_server) as simulation, simulation.configured(ttft_ms=60_000):
        asking = asyncio.create_task(client.chat.completions.create(model="sim", messages=QUESTION, stream=stream))
        await simulation.wait("prefilling")
        asking.cancel()
        call = await simulation.wait("aborted", within_s=FREED_WITHIN_S)
    assert call["tokens_sent"] == 0


def test_the_synchronous_client_can_leave_too(fragile: Platform, tenant: Tenant) -> None:
    url = f"{fragile.edge.url}/v1"
    with (
        httpx.Client(base_url=fragile.model_server.url, timeout=10) as control,
        OpenAI(api_key=tenant.api_key, base_url=url, max_retries=0) as client,
    ):
        seen = max((call["id"] for call in control.get("/_sim/requests").json()["requests"]), default=0)
        before = control.get("/_sim/config").json()
        control.put("/_sim/config", json={"token_ms": 5, "tokens": 10_000})
        try:
            with client.chat.completions.create(model="sim", messages=QUESTION, stream=True) as stream:
                next(iter(stream))
            gone = control.get("/_sim/wait", params={"state": "aborted", "after": seen, "timeout_s": FREED_WITHIN_S})
        finally:
            control.put("/_sim/config", json=before)
    assert gone.status_code == 200
