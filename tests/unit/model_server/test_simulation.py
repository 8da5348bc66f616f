"""The simulated GPU: pace, slots, queue, loading, and clients that leave in every phase."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.unit.model_server.conftest import Server, lines, text_of

HI: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "hi"}]}


async def test_the_simulated_model_says_exactly_so_many_tokens_at_the_wanted_pace(server: Server) -> None:
    await server.configure(tokens=10, ttft_ms=50, token_ms=10)
    began = time.monotonic()
    response = await server.chat()
    took = time.monotonic() - began
    assert text_of(response) == "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10"
    assert [line["done"] for line in lines(response)] == [False] * 10 + [True]
    assert lines(response)[-1]["eval_count"] == 10
    assert 0.145 <= took < 0.5


async def test_requests_beyond_the_slots_wait_their_turn_and_beyond_the_queue_are_refused(server: Server) -> None:
    await server.configure(slots=1, queue=1)
    await server.fault(kind="hang")
    first = await server.open(HI)
    await server.wait(state="prefilling")
    second = asyncio.create_task(server.chat("second"))
    await server.wait(state="queued")
    refused = await server.chat("third")
    assert (refused.status_code, refused.json()) == (
        503,
        {"error": "server busy, please try again.  maximum pending requests exceeded"},
    )
    first.close()
    assert (await second).status_code == 200
    assert [entry["state"] for entry in await server.wait(state="aborted,done,failed", count=3)] == [
        "aborted",
        "done",
        "failed",
    ]


async def test_clients_that_all_leave_at_once_leave_a_slot_to_whoever_comes_next(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await server.configure(slots=1)
    await server.fault(kind="hang")
    clients = [await server.open(HI) for _ in range(10)]
    await server.wait(state="queued", count=9)
    for client in clients:
        client.transport.abort()
    assert (await server.chat("next")).status_code == 200
    await server.wait(state="aborted", count=10)
    assert not caplog.records


async def test_more_slots_at_run_time_admit_whoever_waits(server: Server) -> None:
    await server.configure(slots=1)
    await server.fault(kind="hang")
    first = await server.open(HI)
    await server.wait(state="prefilling")
    second = asyncio.create_task(server.chat("second"))
    await server.wait(state="queued")
    await server.configure(slots=2)
    assert (await second).status_code == 200
    first.close()


async def test_a_model_is_loaded_once_and_again_for_another_context_length(server: Server) -> None:
    await server.configure(load_ms=80)

    async def load_time(**body: Any) -> float:
        return float(lines(await server.chat(**body))[-1]["load_duration"]) / 1e6

    both = await asyncio.gather(load_time(), load_time())
    assert all(75 <= took < 1000 for took in both)
    await server.configure(load_ms=60_000)  # nobody loads again
    assert await load_time() < 1000
    await server.configure(load_ms=80)
    assert await load_time(options={"num_ctx": 8192}) >= 75
    await server.configure(load_ms=60_000)
    assert await load_time(options={"num_ctx": 8192}, keep_alive=0) < 1000
    assert (await server.http.get("/api/ps")).json() == {"models": []}


async def test_a_client_that_leaves_while_loading_leaves_the_load_to_the_next(server: Server) -> None:
    await server.configure(load_ms=60_000)
    first = await server.open(HI)
    await server.wait(state="loading")
    await server.configure(load_ms=1)
    second = asyncio.create_task(server.chat("second"))
    await server.wait(state="loading", count=2)
    first.close()
    assert (await second).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("phase", ["queued", "loading", "prefilling", "streaming"])
async def test_a_client_that_leaves_is_noticed_at_once_in_every_phase(server: Server, phase: str, stream: bool) -> None:
    slow = {"loading": {"load_ms": 60_000}, "prefilling": {"ttft_ms": 60_000}, "streaming": {"token_ms": 60_000}}
    holder = None
    if phase == "queued":
        await server.configure(slots=1, ttft_ms=60_000)
        holder = await server.open(HI)
        await server.wait(state="prefilling")
    else:
        await server.configure(**slow[phase])
    writer = await server.open({**HI, "stream": stream, "messages": [{"role": "user", "content": "leaver"}]})
    await server.wait(state=phase, contains="leaver")
    left = time.time()
    writer.transport.abort()
    (entry,) = await server.wait(state="aborted", contains="leaver")
    assert entry["times"]["aborted"] - left < 0.25
    assert entry["reason"] == "client left"
    assert entry["tokens_sent"] == (1 if phase == "streaming" else 0)
    if holder is not None:
        holder.close()


async def test_a_slot_can_stay_busy_after_its_client_left(server: Server) -> None:
    await server.configure(slots=1, linger_ms=150, ttft_ms=60_000)
    writer = await server.open(HI)
    await server.wait(state="prefilling")
    await server.configure(ttft_ms=1)
    left = time.monotonic()
    writer.close()
    assert (await server.chat("second")).status_code == 200
    assert time.monotonic() - left >= 0.14


async def test_waiting_for_a_number_of_tokens_returns_in_mid_stream(server: Server) -> None:
    await server.configure(token_ms=5, tokens=500)
    writer = await server.open(HI)
    (entry,) = await server.wait(tokens=20)
    assert entry["state"] == "streaming"
    assert 20 <= entry["tokens_sent"] < 500
    writer.close()


async def test_a_wait_in_vain_ends_with_408(server: Server) -> None:
    response = await server.http.get("/_sim/wait", params={"state": "aborted", "timeout_s": 0.05})
    assert (response.status_code, response.json()) == (408, {"requests": []})


async def test_the_log_shows_bodies_and_is_cleared(server: Server) -> None:
    await server.http.post("/api/chat", json=HI, headers={"x-request-id": "req-7"})
    (entry,) = (await server.http.get("/_sim/requests")).json()["requests"]
    assert entry["headers"] == {"x-request-id": "req-7"}
    assert (entry["state"], entry["tokens_sent"], entry["last_content"]) == ("done", 8, "hi")
    assert list(entry["times"]) == ["queued", "loading", "prefilling", "streaming", "done"]
    assert (await server.http.get(f"/_sim/requests/{entry['id']}")).json()["body"] == HI
    await server.http.delete("/_sim/requests")
    assert (await server.http.get("/_sim/requests")).json() == {"requests": []}
    assert (await server.http.get(f"/_sim/requests/{entry['id']}")).status_code == 404


@pytest.mark.parametrize("knobs", [{"nope": 1}, {"slots": -1}, {"tokens": "8"}, {"seed": True}])
async def test_a_knob_that_makes_no_sense_is_refused_by_name(server: Server, knobs: dict[str, Any]) -> None:
    response = await server.http.put("/_sim/config", json=knobs)
    assert response.status_code == 400
    assert next(iter(knobs)) in response.json()["error"]


async def test_a_connection_serves_one_stream_after_the_other(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    data = json.dumps(HI).encode()
    for _ in range(3):
        writer.write(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 5)
        assert answer.count(b'"done":false') == 8
    writer.close()


async def test_models_can_be_made_to_think_unless_they_are_told_not_to(server: Server) -> None:
    async def thinks(model: str, **body: Any) -> bool:
        return any(line["message"].get("thinking") for line in lines(await server.chat(model=model, **body)))

    assert not await thinks("dormouse-dev")
    await server.configure(think=1)
    assert await thinks("dormouse-dev")
    assert not await thinks("dormouse-dev", think=False)
    assert not await thinks("sim")
