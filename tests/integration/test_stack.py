"""The test harness itself: what other tests rely on."""

import asyncio
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
import redis.asyncio as redis
from dormouse_runtime.identity import TokenVerifier

from tests.stack import Fleet, Platform, Stack, Tenant
from tests.stack.endings import wait_ended
from tests.stack.spreading import Turns

ROOT = Path(__file__).parents[2]


async def test_a_killed_server_comes_back_on_its_port(fleet: Fleet) -> None:
    server = await fleet.model_server()
    address, pid = server.address, server.pid
    async with server.control() as http:
        assert (await http.get("/api/version")).status_code == 200
    await server.kill()
    await server.restart()
    assert server.address == address
    assert server.pid != pid
    async with server.control() as http:
        assert (await http.get("/api/version")).status_code == 200


async def test_an_own_postgres_keeps_its_rows_over_a_kill(fleet: Fleet) -> None:
    database = await fleet.postgres()
    tenant = await database.tenant()
    await database.kill()
    with pytest.raises(psycopg.OperationalError):
        await psycopg.AsyncConnection.connect(database.url)
    await database.resume()
    async with await psycopg.AsyncConnection.connect(database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        found = await connection.execute("select name from tenants where id = %s", [tenant.id])
        assert await found.fetchone() == ("Test",)


async def test_an_own_valkey_keeps_its_keys_over_a_stop(fleet: Fleet) -> None:
    valkey = await fleet.valkey()
    async with redis.Redis.from_url(valkey.url) as client:
        await client.set("a", "1")
    await valkey.stop()
    await valkey.start()
    async with redis.Redis.from_url(valkey.url) as client:
        assert await client.get("a") == b"1"


async def test_the_shared_platform_streams_an_answer(platform: Platform, tenant: Tenant) -> None:
    body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    async with (
        platform.edge.client(tenant) as http,
        http.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        lines = [line async for line in response.aiter_lines() if line]
    assert response.status_code == 200
    assert lines[-1] == "data: [DONE]"


async def test_service_tokens_are_those_that_functions_accept(stack: Stack, tenant: Tenant) -> None:
    verifier = TokenVerifier.from_file(stack.credentials.trusted_keys, "agent_fn")
    identity = verifier.verify(stack.token(tenant, scopes=("runs",), run_id="run_1"))
    assert (identity.tenant, identity.user, identity.run_id) == (tenant.id, tenant.user, "run_1")


async def test_a_killed_test_session_leaves_no_process(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from tests.stack import Stack
        async def main():
            folder = Path(sys.argv[1]); stack = Stack(folder)
            await asyncio.gather(stack.database.server.start(), stack.valkey.start())
            async with stack.fleet() as fleet:
                server = await fleet.model_server()
                print(stack.database.server.process.pid, stack.valkey.process.pid, server.pid, flush=True)
                await asyncio.sleep(600)
        asyncio.run(main())
    """)
    session = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert session.stdout is not None
    pids = [int(pid) for pid in (await session.stdout.readline()).split()]
    assert len(pids) == 3
    session.kill()
    await session.wait()
    await wait_ended(pids)


async def test_a_test_that_is_alone_waits_for_others_and_others_for_it(tmp_path: Path) -> None:
    running, alone, later = (Turns(tmp_path) for _ in range(3))
    try:
        running.begin(alone=False)
        aloneness = asyncio.create_task(asyncio.to_thread(alone.begin, alone=True))
        assert not await ends_soon(aloneness)
        side_by_side = asyncio.create_task(asyncio.to_thread(later.begin, alone=False))
        assert not await ends_soon(side_by_side), "it would hold up for ever what waits to be alone"
        running.end()
        await aloneness
        assert not await ends_soon(side_by_side)
        alone.end()
        await side_by_side
        running.begin(alone=False)  # beside `later`
    finally:
        for turns in (running, alone, later):
            turns.close()


async def ends_soon(task: asyncio.Task[None]) -> bool:
    return bool((await asyncio.wait([task], timeout=0.05))[0])
