"""An edge replica is killed in the middle of runs: the ledger says of each what its log says, once."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import psycopg
from devstack.valkey import Valkey
from edge.redis_link import make_client

from tests.chaos.answers import events_of, question, run_body
from tests.chaos.conftest import Tasks, moments
from tests.chaos.platforms import open_platform
from tests.stack import Edge, Fleet, Stack, Tenant

KILLS = 4
ANSWER_S = 0.6
LEASE_S = 0.5


async def test_the_ledger_says_what_the_logs_say_after_every_kill(
    fleet: Fleet, tenant: Tenant, tasks: Tasks, dice: random.Random
) -> None:
    valkey = await fleet.valkey()
    env = {"DORMOUSE_LEASE_S": f"{LEASE_S:g}"}
    parts = await open_platform(fleet, replicas=2, pace={"ttft_ms": 30, "token_ms": 6}, edge_env=env, valkey=valkey)
    checked: set[str] = set()
    hit, (victim, other) = 0, parts.edges
    revival = tasks.start(asyncio.sleep(0))
    async with victim.client(tenant) as http:
        await http.put("/v1/budgets", json={"kind": "tenant", "period": "month", "tokens": 10**9})
    for moment in moments(dice, KILLS, ANSWER_S):
        await revival
        async with victim.client(tenant) as dying:
            thread = (await dying.post("/v1/threads")).json()["id"]
            chat = {"model": "dormouse-dev", "messages": [question("Count to 81.")]}
            asked: list[tuple[str, dict[str, Any]]] = [
                ("/v1/runs", run_body("Count to 80.")),
                ("/v1/runs", run_body("Count to 82.", on_disconnect="cancel")),
                (f"/v1/threads/{thread}/runs", run_body("Count to 83.")),
                ("/v1/chat/completions", {**chat, "stream": True}),
                ("/v1/chat/completions", chat),
                ("/v1/runs", run_body("Count to 20.")),
            ]
            answers = [tasks.start(ask(dying, path, body)) for path, body in asked]
            await asyncio.sleep(moment)
            await victim.kill()
            hit += (await asyncio.gather(*answers)).count(False)
            revival = tasks.start(revive(victim))
        await balanced(other, fleet.stack, tenant, valkey, checked)
        victim, other = other, victim
    await revival
    print(f"{hit} runs were under way at {KILLS} kills")
    assert hit >= 2 * KILLS


async def revive(edge: Edge) -> None:
    await edge.restart()


async def ask(http: httpx.AsyncClient, path: str, body: Mapping[str, Any]) -> bool:
    """Whether the answer came to its end."""
    try:
        return (await http.post(path, json=body)).status_code == 200
    except httpx.TransportError:
        return False


async def balanced(living: Edge, stack: Stack, tenant: Tenant, valkey: Valkey, checked: set[str]) -> None:
    """Returns once the ledger has what the logs of this pair's runs say, and nothing is held back for any of them."""
    said: dict[str, tuple[int, int]] = {}
    found: dict[str, tuple[int, int]] = {}
    held: list[str] = []
    try:
        async with asyncio.timeout(20), living.client(tenant) as http:
            while True:
                run_ids = [run_id for run_id in await runs_of(tenant, valkey) if run_id not in checked]
                said = {run_id: await log_says(http, run_id) for run_id in run_ids}
                found, held = await ledger_says(stack, tenant, run_ids)
                if said == found and not held:
                    checked.update(run_ids)
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        differing = {run_id: (said.get(run_id), found.get(run_id)) for run_id in said | found}
        differing = {run_id: pair for run_id, pair in differing.items() if pair[0] != pair[1]}
        raise AssertionError(f"log and ledger differ: {differing}; held back: {held}") from None


async def runs_of(tenant: Tenant, valkey: Valkey) -> list[str]:
    """Every run that there is a log of."""
    redis = make_client(valkey.url)
    keys = [key async for key in redis.scan_iter("dm:run:*") if not key.endswith(b":log")]
    run_ids = [key.decode().removeprefix("dm:run:{").removesuffix("}") for key in keys]
    await redis.aclose()
    return sorted(run_ids)


async def log_says(http: httpx.AsyncClient, run_id: str) -> tuple[int, int]:
    """Prompt and completion: as they were reported, and of a message that was cut off what had come of it."""
    response = await http.get(f"/v1/runs/{run_id}/events")
    prompt = completion = 0
    pieces: dict[str, int] = {}
    for _, name, data in events_of(response.content):
        if name == "usage.reported":
            prompt, completion = prompt + data["prompt_tokens"], completion + data["completion_tokens"]
        elif name == "message.delta":
            pieces[data["message_id"]] = pieces.get(data["message_id"], 0) + data["pieces"]
        elif name == "message.finished":
            pieces.pop(data["message_id"], None)
    if pieces:
        prompt += 8 + len("Count to 80.") // 3
    return prompt, completion + sum(pieces.values())


async def ledger_says(
    stack: Stack, tenant: Tenant, run_ids: Sequence[str]
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, false)", [tenant.id])
        cursor = await connection.execute(
            "select id, prompt_tokens, completion_tokens from charges where id = any (%s)", [list(run_ids)]
        )
        found = {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}
        cursor = await connection.execute("select id from reservations where id = any (%s)", [list(run_ids)])
        return found, [row[0] for row in await cursor.fetchall()]
