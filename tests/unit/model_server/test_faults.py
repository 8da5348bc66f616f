"""Faults on demand, as a client sees them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.unit.model_server.conftest import Server, lines, text_of


async def streamed(server: Server) -> tuple[str, Exception | None]:
    """What arrived of a chat and how it broke."""
    got = b""
    body = {"model": "sim", "messages": [{"role": "user", "content": "hi"}]}
    try:
        async with server.http.stream("POST", "/api/chat", json=body) as response:
            async for part in response.aiter_raw():
                got += part
    except httpx.TransportError as error:
        return got.decode(), error
    return got.decode(), None


@pytest.mark.parametrize("at_token", [0, 3, 100])
async def test_a_reset_breaks_the_connection_at_its_token(server: Server, at_token: int) -> None:
    await server.configure(token_ms=3)
    await server.fault(kind="reset", at_token=at_token)
    text, error = await streamed(server)
    assert isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
    assert len(text.splitlines()) <= min(at_token, 8)
    (entry,) = await server.wait(state="failed")
    assert (entry["fault"], entry["tokens_sent"]) == ("reset", min(at_token, 8))
    assert text_of(await server.chat()).endswith("w8")


async def test_a_cut_ends_the_connection_in_the_middle_of_the_body(server: Server) -> None:
    await server.fault(kind="cut", at_token=3)
    text, error = await streamed(server)
    assert isinstance(error, httpx.RemoteProtocolError)
    assert len(text.splitlines()) == 3


async def test_a_truncated_stream_ends_properly_without_the_closing_line(server: Server) -> None:
    await server.fault(kind="truncate", at_token=3)
    response = await server.chat()
    assert [line["done"] for line in lines(response)] == [False] * 3


async def test_a_malformed_line_is_not_json(server: Server) -> None:
    await server.fault(kind="malformed", at_token=2)
    *good, bad = (await server.chat()).text.splitlines()
    assert len([json.loads(line) for line in good]) == 2
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad)


async def test_an_error_before_the_first_token_is_a_500_and_later_a_line(server: Server) -> None:
    await server.fault(kind="error")
    response = await server.chat()
    assert (response.status_code, response.json()) == (500, {"error": "simulated failure of the model runner"})
    await server.fault(kind="error", at_token=2)
    response = await server.chat()
    assert response.status_code == 200
    assert lines(response)[-1] == {"error": "simulated failure of the model runner"}
    await server.fault(kind="error", at_token=2)
    assert (await server.chat(stream=False)).status_code == 500


@pytest.mark.parametrize("at_token", [0, 3])
async def test_a_hang_keeps_the_connection_open_until_the_client_leaves(server: Server, at_token: int) -> None:
    await server.fault(kind="hang", at_token=at_token)
    with pytest.raises(httpx.ReadTimeout):
        await server.http.post(
            "/api/chat",
            json={"model": "sim", "messages": [{"role": "user", "content": "hi"}]},
            timeout=0.2,
        )
    (entry,) = await server.wait(state="aborted")
    assert (entry["fault"], entry["tokens_sent"]) == ("hang", at_token)


@pytest.mark.parametrize("kind", ["reset", "cut"])
async def test_a_fault_breaks_an_answer_that_is_not_streamed_too(server: Server, kind: str) -> None:
    await server.fault(kind=kind, at_token=3)
    with pytest.raises(httpx.TransportError):
        await server.chat(stream=False)


async def test_busy_refuses_and_slow_takes_longer(server: Server) -> None:
    await server.fault(kind="busy")
    assert (await server.chat()).status_code == 503
    await server.configure(token_ms=2)
    await server.fault(kind="slow", factor=10)
    slow = lines(await server.chat())[-1]["eval_duration"]
    assert slow >= 7 * 20e6
    assert lines(await server.chat())[-1]["eval_duration"] < slow / 2


async def test_faults_strike_so_often_and_only_what_they_are_meant_for(server: Server) -> None:
    await server.fault(kind="busy", times=2, model="sim", endpoint="chat")
    other = await server.chat("hi", model="dormouse-dev")
    assert other.status_code == 200
    generated = await server.http.post("/api/generate", json={"model": "sim", "prompt": "hi"})
    assert generated.status_code == 200
    assert [(await server.chat()).status_code for _ in range(3)] == [503, 503, 200]
    assert (await server.http.get("/_sim/faults")).json() == {"faults": []}


async def test_a_fault_can_let_requests_pass_first(server: Server) -> None:
    await server.fault(kind="busy", after=2)
    assert [(await server.chat()).status_code for _ in range(4)] == [200, 200, 503, 200]


async def test_faults_by_probability_are_the_same_in_every_run(server: Server) -> None:
    runs: list[list[int]] = []
    for _ in range(2):
        body = {"faults": [{"kind": "busy", "times": 0, "probability": 0.5}]}
        assert (await server.http.put("/_sim/faults", json=body)).status_code == 200
        runs.append([(await server.chat()).status_code for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}
    await server.http.delete("/_sim/faults")
    assert (await server.chat()).status_code == 200


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "nope"}, "kind"),
        ({"kind": "hang", "when": 3}, "when"),
        ({"kind": "hang", "at_token": -1}, "at_token"),
        ({"kind": "hang", "model": 7}, "model"),
        ({"faults": [3]}, "object"),
        ({"faults": 3}, "not iterable"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(server: Server, fault: dict[str, Any], named: str) -> None:
    response = await server.http.post("/_sim/faults", json=fault)
    assert response.status_code == 400
    assert named in response.json()["error"]


async def test_embedding_requests_are_logged_and_fail_on_demand(server: Server) -> None:
    await server.fault(kind="error", endpoint="embed")
    body = {"model": "dormouse-dev-embed", "input": "hi"}
    assert (await server.http.post("/api/embed", json=body)).status_code == 500
    assert (await server.http.post("/api/embed", json=body)).status_code == 200
    states = [entry["state"] for entry in await server.wait(endpoint="embed")]
    assert states == ["failed", "done"]
