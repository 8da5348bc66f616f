"""The platform's own key is replaced while calls go on through every function, and none of them fails."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from dormouse_runtime import issuers

from tests.stack import Edge, Stack, Tenant

TURN_S = 1.3
"""A file that has changed is noticed within a second."""


@dataclass(frozen=True, slots=True)
class Installation:
    edge: Edge
    private: Path
    trusted: Path


@pytest.fixture(scope="module")
async def installation(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """A platform with key files of its own."""
    folder = tmp_path_factory.mktemp("keys")
    private, trusted = folder / "service-key.json", folder / "trusted-keys.json"
    shutil.copy(stack.credentials.service_key, private)
    shutil.copy(stack.credentials.trusted_keys, trusted)
    keys = {"DORMOUSE_TRUSTED_KEYS": str(trusted)}
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=1, token_ms=1, tokens=20)
        embed_fn, tool_fn = await asyncio.gather(fleet.embed_fn(model_server, env=keys), fleet.tool_fn(env=keys))
        agent_fn = await fleet.agent_fn(model_server, tools=tool_fn, env=keys)
        env = {"DORMOUSE_SERVICE_KEY": str(private)}
        yield Installation(await fleet.edge(agent_fn, tools=tool_fn, embed=embed_fn, env=env), private, trusted)


async def test_a_rotation_of_the_service_key_fails_no_call(installation: Installation, tenant: Tenant) -> None:
    counts = dict.fromkeys(("chat", "embeddings", "tools"), 0)
    done = asyncio.Event()

    async def keep_calling(name: str, http: httpx.AsyncClient) -> None:
        while not done.is_set():
            if name == "chat":
                body = {"model": "react", "messages": [{"role": "user", "content": "What is 6 times 7?"}]}
                response = await http.post("/v1/chat/completions", json=body)
            elif name == "embeddings":
                body = {"model": "dormouse-dev-embed", "input": f"number {counts[name]}"}
                response = await http.post("/v1/embeddings", json=body)
            else:
                response = await http.get("/v1/tools")
            assert response.status_code == 200, response.text
            counts[name] += 1

    private, trusted = installation.private, installation.trusted
    async with installation.edge.client(tenant) as http, asyncio.TaskGroup() as callers:
        for name in counts:
            callers.create_task(keep_calling(name, http))
        while not all(counts.values()):  # the first ones load models
            await asyncio.sleep(0.05)
        before = dict(counts)
        kid = issuers.prepare(private, trusted)
        await asyncio.sleep(TURN_S)
        assert issuers.switch(private, trusted) == kid
        await asyncio.sleep(TURN_S)
        # Tokens of the old key live for minutes; here calls are over in less than the turn.
        assert len(issuers.withdraw(private, trusted, at_once=True)) == 1
        await asyncio.sleep(TURN_S)
        assert all(counts[name] > before[name] for name in counts), counts
        done.set()
    assert [entry.key_ids for entry in issuers.listing(trusted)] == [[kid]]


async def test_a_switch_before_the_functions_know_the_key_would_fail_calls(
    installation: Installation, tenant: Tenant
) -> None:
    """What the order of the steps is for."""
    async with installation.edge.client(tenant) as http:
        body = {"model": "dormouse-dev-embed", "input": "a"}
        assert (await http.post("/v1/embeddings", json=body)).status_code == 200
        shutil.copy(installation.trusted, installation.trusted.with_suffix(".old"))
        issuers.prepare(installation.private, installation.trusted)
        issuers.switch(installation.private, installation.trusted)
        shutil.copy(installation.trusted.with_suffix(".old"), installation.trusted)
        await asyncio.sleep(TURN_S)
        refused = await http.post("/v1/embeddings", json=body)
        # And nobody is told that their own key is wrong.
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "function_unavailable")
