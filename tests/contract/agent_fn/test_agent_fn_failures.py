"""What goes wrong comes back as the right reason, whether it may work later included."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from dormouse.agent.v1.agent_pb2 import ThreadRef
from dormouse.agent.v1.message_pb2 import ROLE_TOOL, ROLE_USER, ClientTool, ContentPart, Image, Message
from dormouse.common.v1 import error_pb2

from tests.contract.agent_fn.caller import Caller, calling, kinds, options, request, user
from tests.stack import Fleet, ModelServer, Stack, Tenant

E = error_pb2
PNG = ContentPart(image=Image(media_type="image/png", data=b"\x89PNG"))
NOT_AN_IMAGE = ContentPart(image=Image(media_type="image/tiff", data=b"II"))
TOOL = ClientTool(name="weather", description="The weather", parameters_json_schema='{"type": "object"}')


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"agent_id": "nobody"}, E.ERROR_REASON_AGENT_NOT_FOUND),
        ({"model": "no-such-model"}, E.ERROR_REASON_MODEL_NOT_FOUND),
        ({"model": "dormouse-dev-embed"}, E.ERROR_REASON_MODEL_CAPABILITY_MISSING),
        ({"model": "sim", "client_tools": [TOOL]}, E.ERROR_REASON_MODEL_CAPABILITY_MISSING),
        ({"model": "sim", "options": options(reasoning=True)}, E.ERROR_REASON_MODEL_CAPABILITY_MISSING),
        ({"model": "sim", "input": [Message(role=ROLE_USER, content=[PNG])]}, E.ERROR_REASON_MODEL_CAPABILITY_MISSING),
        ({"run_id": ""}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"input": []}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"input": [], "thread": ThreadRef(thread_id="thread_new")}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"input": [Message(content=[ContentPart(text="No role.")])]}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"input": [Message(role=ROLE_USER, content=[ContentPart()])]}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"input": [Message(role=ROLE_USER, content=[NOT_AN_IMAGE])]}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"input": [Message(role=ROLE_TOOL)]}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"thread": ThreadRef()}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"thread": ThreadRef(thread_id="a\0b")}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"run_id": "a\0b"}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"options": options(max_tokens=0)}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"options": options(stop=["x"] * 17)}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"options": options(response_json_schema="{")}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"client_tools": [ClientTool(name="t", parameters_json_schema="[]")]}, E.ERROR_REASON_INVALID_ARGUMENT),
        ({"client_tools": [ClientTool()]}, E.ERROR_REASON_INVALID_ARGUMENT),
    ],
    ids=lambda value: None if isinstance(value, int) else "-".join(value),
)
async def test_a_request_that_makes_no_sense_is_refused(caller: Caller, asked: dict[str, Any], reason: int) -> None:
    error, seen = await caller.failure(request("Hello.", **asked))
    assert error.reason == reason
    assert not error.retryable
    assert seen == [] or kinds(seen) == ["checkpoint_saved"]


@pytest.fixture(scope="module")
async def faulty(stack: Stack) -> AsyncIterator[tuple[ModelServer, Caller]]:
    """A model server that this module's tests break, and a caller of its agent_fn, which waits 0.5 s at most."""
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=5, token_ms=1)
        agent_fn = await fleet.agent_fn(model_server, env={"DORMOUSE_MODEL_READ_TIMEOUT_S": "0.5"})
        async with calling(stack, agent_fn, await stack.database.tenant()) as caller:
            yield model_server, caller


async def break_next(server: ModelServer, kind: str, at_token: int = 0) -> None:
    async with server.control() as http:
        (await http.put("/_sim/faults", json={"kind": kind, "at_token": at_token})).raise_for_status()


@pytest.mark.parametrize("at_token", [0, 5])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("reset", E.ERROR_REASON_MODEL_UNAVAILABLE),
        ("cut", E.ERROR_REASON_MODEL_UNAVAILABLE),
        ("truncate", E.ERROR_REASON_MODEL_UNAVAILABLE),
        ("malformed", E.ERROR_REASON_MODEL_UNAVAILABLE),
        ("error", E.ERROR_REASON_MODEL_UNAVAILABLE),
        ("busy", E.ERROR_REASON_MODEL_UNAVAILABLE),
        ("hang", E.ERROR_REASON_MODEL_TIMEOUT),
    ],
)
async def test_a_model_server_that_fails_makes_a_run_fail_that_may_be_tried_again(
    faulty: tuple[ModelServer, Caller], kind: str, at_token: int, reason: int
) -> None:
    model_server, caller = faulty
    await break_next(model_server, kind, at_token)
    error, seen = await caller.failure(request("Tell me about dormice."))
    assert (error.reason, error.retryable) == (reason, True)
    said = at_token if kind != "busy" else 0
    assert sum(event.message_delta.pieces for event in seen) == said, "what came before the failure was passed on"
    assert "run_finished" not in kinds(seen)
    assert kinds(await caller.run(request("Tell me about dormice.")))[-1] == "run_finished"


async def test_a_model_server_that_is_away_is_unavailable_and_comes_back(
    stack: Stack, fleet: Fleet, tenant: Tenant
) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=1)
    agent_fn = await fleet.agent_fn(model_server)
    async with calling(stack, agent_fn, tenant) as caller:
        await model_server.kill()
        error, _ = await caller.failure(request("Hello."))
        assert (error.reason, error.retryable) == (E.ERROR_REASON_MODEL_UNAVAILABLE, True)
        listed = await caller.agents()
        assert {"chat", "react"} <= {agent.id for agent in listed.agents}
        assert (listed.model_server_reachable, len(listed.models), listed.default_model) == (False, 0, "")
        await model_server.restart()
        assert kinds(await caller.run(request("Hello.")))[-1] == "run_finished"
        await model_server.kill()
        error, _ = await caller.failure(request("Hello."))
        assert error.reason == E.ERROR_REASON_MODEL_UNAVAILABLE, "also when its description is remembered"


async def test_a_database_that_is_away_stops_threads_only(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=1)
    database = await fleet.postgres()
    await database.stop()
    agent_fn = await fleet.agent_fn(model_server, database=database)
    on_thread = request("Hello.", thread=ThreadRef(thread_id="thread_1"))
    async with calling(stack, agent_fn, tenant) as caller:
        for resume in (database.resume, None):
            started = time.monotonic()
            error, seen = await caller.failure(on_thread)
            assert (error.reason, error.retryable, seen) == (E.ERROR_REASON_DATABASE_UNAVAILABLE, True, [])
            assert time.monotonic() - started < 4
            assert kinds(await caller.run(request("Hello.")))[-1] == "run_finished"
            if resume is not None:
                await resume()
                assert kinds(await caller.run(on_thread))[-1] == "run_finished"
                await database.kill()


async def test_a_database_that_is_frozen_is_given_up(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=5)
    database = await fleet.postgres()
    agent_fn = await fleet.agent_fn(model_server, database=database)
    on_thread = request("Hello.", thread=ThreadRef(thread_id="thread_1"))
    async with calling(stack, agent_fn, tenant) as caller:
        await caller.run(on_thread)
        call, _ = await caller.start(request("Tell me about dormice.", run_id="run_2", thread=on_thread.thread))
        processes = [psutil.Process(database.server.process.pid)]
        processes += processes[0].children()
        for process in processes:
            process.suspend()
        call.cancel()
        async with model_server.control() as http:
            aborted = await http.get("/_sim/wait", params={"state": "aborted", "timeout_s": 1})
            assert aborted.status_code == 200, "a cancelled run's model call does not wait for the database"
        started = time.monotonic()
        results = await asyncio.gather(*(caller.failure(on_thread) for _ in range(3)))
        assert {error.reason for error, _ in results} == {E.ERROR_REASON_DATABASE_UNAVAILABLE}
        assert time.monotonic() - started < 4
        for process in processes:
            process.resume()
        assert kinds(await caller.run(on_thread))[-1] == "run_finished"


async def test_an_unset_database_leaves_stateless_runs(stack: Stack, fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=5, token_ms=1)
    agent_fn = await fleet.agent_fn(model_server, env={"DORMOUSE_POSTGRES_URL": ""})
    async with calling(stack, agent_fn, tenant) as caller:
        error, _ = await caller.failure(request("Hello.", thread=ThreadRef(thread_id="thread_1")))
        assert error.reason == E.ERROR_REASON_DATABASE_UNAVAILABLE
        assert kinds(await caller.run(request("Hello.", input=[user("Hello.")])))[-1] == "run_finished"
